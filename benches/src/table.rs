//! The comparison as text: Markdown that reads well as it is.

use std::fmt;

use crate::report::{Report, Side};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.sides.first().map_or(0, |side| side.runs.len());
        let processor = self.machine.processor.as_deref().unwrap_or("unknown processor");
        writeln!(
            f,
            "{} px, {} blocks, batch {}; medians of {rounds}, warm-up {}; {processor}, {} threads, \
             ceiling {:.0} GFLOP/s in f32\n",
            self.case.px,
            self.case.depth,
            self.case.batch,
            self.warmup,
            self.machine.threads,
            self.machine.ceiling
        )?;
        write_rows(f, &self.speed())?;
        writeln!(f)?;
        write_rows(f, &self.memory())?;
        writeln!(
            f,
            "\nGFLOP are nominal: both halves of guidance in full, every convolution tap by tap. \
             A share of the f32\nceiling above 100 % is not an error: 8-bit integers are multiplied \
             faster, and a transformed convolution takes\nfewer products."
        )
    }
}

impl Report {
    /// A row for each part and side.
    fn speed(&self) -> Vec<Vec<String>> {
        let heads =
            ["part", "GFLOP", "side", "seconds", "GFLOP/s", "of the ceiling", "PyTorch / this"];
        let mut rows = vec![heads.map(String::from).to_vec()];
        for (part, (name, gflop)) in self.gflop.named().into_iter().enumerate() {
            for (i, side) in self.sides.iter().enumerate() {
                let (name, gflop) = match i {
                    0 => (name.to_string(), format!("{gflop:.0}")),
                    _ => (String::new(), String::new()),
                };
                rows.push([vec![name, gflop], side.speed(part)].concat());
            }
        }
        rows
    }

    /// A row for each side.
    fn memory(&self) -> Vec<Vec<String>> {
        let heads = ["side", "peak MiB", "this / PyTorch"].map(String::from);
        let rows = self.sides.iter().map(|side| {
            vec![
                side.name.clone(),
                side.peak_mib.map_or_else(unknown, |peak| format!("{peak:.0}")),
                side.memory_over_torch.map_or_else(unknown, |ratio| format!("{ratio:.2}")),
            ]
        });
        std::iter::once(heads.to_vec()).chain(rows).collect()
    }
}

impl Side {
    /// The columns about one part, counted as in [`crate::phases::Phases::named`].
    fn speed(&self, part: usize) -> Vec<String> {
        let ratio = self.speed_over_torch.map(|ratios| ratios.named()[part].1);
        vec![
            self.name.clone(),
            format!("{:.3}", self.seconds.named()[part].1),
            format!("{:.0}", self.gflop_per_second.named()[part].1),
            format!("{:.0} %", 100.0 * self.share_of_ceiling.named()[part].1),
            ratio.map_or_else(unknown, |ratio| format!("{ratio:.2}")),
        ]
    }
}

fn unknown() -> String {
    "-".to_string()
}

/// A table with its heads in the first row. Columns of numbers are aligned to the right.
fn write_rows(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let is_text = |column: usize| matches!(rows[0][column].as_str(), "part" | "side");
    for (i, row) in rows.iter().enumerate() {
        for (column, (entry, &width)) in row.iter().zip(&widths).enumerate() {
            if is_text(column) {
                write!(f, "| {entry:<width$} ")?;
            } else {
                write!(f, "| {entry:>width$} ")?;
            }
        }
        writeln!(f, "|")?;
        if i == 0 {
            for (column, &width) in widths.iter().enumerate() {
                let end = if is_text(column) { '-' } else { ':' };
                write!(f, "|{}{end}", "-".repeat(width + 1))?;
            }
            writeln!(f, "|")?;
        }
    }
    Ok(())
}
