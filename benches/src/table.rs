//! The comparison as text: Markdown that reads well as it is.

use std::fmt;

use crate::diffusion::Diffusion;
use crate::machine::Machine;
use crate::report::{Report, Side};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.sides.first().map_or(0, |side| side.runs.len());
        writeln!(
            f,
            "{} px, {} blocks, batch {}; medians of {rounds}, warm-up {}; {}\n",
            self.case.px, self.case.depth, self.case.batch, self.warmup, self.machine
        )?;
        write_rows(f, &self.speed())?;
        writeln!(f)?;
        write_rows(f, &self.memory())?;
        if !self.diffusion.is_empty() {
            writeln!(f)?;
            write_rows(f, &self.diffusion())?;
        }
        self.write_notes(f)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(gpu) = &self.gpu {
            write!(f, "{gpu}; ")?;
        }
        let processor = self.processor.as_deref().unwrap_or("unknown processor");
        write!(f, "{processor}, {} threads", self.threads)?;
        match self.ceiling {
            Some(ceiling) => write!(f, ", ceiling {ceiling:.0} GFLOP/s in f32"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// A row for each part and side.
    fn speed(&self) -> Vec<Vec<String>> {
        let mut heads = vec!["part", "GFLOP", "side", "seconds", "GFLOP/s"];
        heads.extend(self.machine.ceiling.map(|_| "of the ceiling"));
        heads.push("PyTorch / this");
        let mut rows = vec![heads.into_iter().map(String::from).collect()];
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

    /// A row for each diffusion model.
    fn diffusion(&self) -> Vec<Vec<String>> {
        let heads = [
            "diffusion model",
            "M parameters",
            "steps",
            "denoiser, s",
            "decoder, s",
            "together, s",
            "peak MiB",
            "this / HART",
        ];
        let rows = self.diffusion.iter().map(Diffusion::row);
        std::iter::once(heads.map(String::from).to_vec()).chain(rows).collect()
    }

    /// How to read the tables.
    fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nGFLOP are nominal: both halves of guidance in full, every convolution tap by tap."
        )?;
        if self.machine.ceiling.is_some() {
            writeln!(
                f,
                "A share of the f32 ceiling above 100 % is not an error: 8-bit integers are multiplied \
                 faster, and a\ntransformed convolution takes fewer products."
            )?;
        }
        match (&self.exact, self.diffusion.is_empty()) {
            (Some(exact), false) => writeln!(
                f,
                "this / HART: how many times as long as {exact}. No side encodes text, and with \
                 random weights\nnothing is said of the images."
            ),
            _ => Ok(()),
        }
    }
}

impl Side {
    /// The columns about one part, counted as in [`crate::phases::Phases::named`].
    fn speed(&self, part: usize) -> Vec<String> {
        let ratio = self.speed_over_torch.map(|ratios| ratios.named()[part].1);
        let mut columns = vec![
            self.name.clone(),
            format!("{:.3}", self.seconds.named()[part].1),
            format!("{:.0}", self.gflop_per_second.named()[part].1),
        ];
        let share = self.share_of_ceiling.map(|shares| shares.named()[part].1);
        columns.extend(share.map(|share| format!("{:.0} %", 100.0 * share)));
        columns.push(ratio.map_or_else(unknown, |ratio| format!("{ratio:.2}")));
        columns
    }
}

impl Diffusion {
    /// All columns. Every run took the same steps.
    fn row(&self) -> Vec<String> {
        let (parameters, steps) = match self.runs.first() {
            Some(run) if run.measured_steps < run.steps => (
                format!("{:.0}", run.parameters),
                format!("{}, from {}", run.steps, run.measured_steps),
            ),
            Some(run) => (format!("{:.0}", run.parameters), run.steps.to_string()),
            None => (unknown(), unknown()),
        };
        vec![
            self.model.to_string(),
            parameters,
            steps,
            format!("{:.3}", self.seconds.denoiser),
            format!("{:.3}", self.seconds.decoder),
            format!("{:.3}", self.total),
            format!("{:.0}", self.peak_mib),
            self.seconds_over_hart.map_or_else(unknown, |ratio| format!("{ratio:.2}")),
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
    let is_text =
        |column: usize| matches!(rows[0][column].as_str(), "part" | "side" | "diffusion model");
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
