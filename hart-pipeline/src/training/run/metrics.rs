//! Metrics as CSV: a heading, and a row every few steps.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use hart_core::{Error, Result, write_atomically};

use crate::training::values::significant;

/// A table with a row every few steps, in `metrics.csv`.
#[derive(Debug)]
pub(super) struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Begins the table of a new run, or opens that of a run that is continued after `step` steps:
    /// later rows, of steps that will be made again, are dropped, and one that a kill has cut.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Malformed`] when the table has other columns.
    pub(super) fn open(folder: &Path, columns: &[&str], step: u64) -> Result<Self> {
        let path = folder.join("metrics.csv");
        let heading = row(std::iter::once("step").chain(columns.iter().copied()))?;
        if step == 0 || !path.exists() {
            write_atomically(&path, &heading)?;
        }
        let io = |error| Error::io(&path, error);
        let bytes = std::fs::read(&path).map_err(io)?;
        if !bytes.starts_with(&heading) {
            let columns = columns.join(",");
            return Err(Error::malformed(&path, format!("expected the columns step,{columns}")));
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        file.set_len(whole_rows(&bytes, columns.len(), step)).map_err(io)?;
        Ok(Self { path, file })
    }

    /// Adds a row after `step` steps; NaN where a value was not measured.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub(super) fn add(&mut self, step: u64, values: &[f64]) -> Result<()> {
        let field = |value: &f64| {
            if value.is_nan() { String::new() } else { significant(*value) }
        };
        let row = row(std::iter::once(step.to_string()).chain(values.iter().map(field)))?;
        let written = self.file.write_all(&row).and_then(|()| self.file.sync_data());
        written.map_err(|error| Error::io(&self.path, error))
    }
}

/// Fields as a line.
fn row<T: AsRef<[u8]>>(fields: impl Iterator<Item = T>) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().from_writer(vec![]);
    let failed = |error: &dyn std::fmt::Display| Error::invalid("a row", error, "one for CSV");
    writer.write_record(fields).map_err(|error| failed(&error))?;
    writer.into_inner().map_err(|error| failed(&error))
}

/// How many bytes of a table its rows up to a step take, as far as they are whole.
fn whole_rows(bytes: &[u8], columns: usize, step: u64) -> u64 {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(bytes);
    let mut end = 0;
    let mut record = StringRecord::new();
    // The heading is read with the first row.
    if reader.headers().is_ok() {
        end = reader.position().byte();
    }
    while let Ok(true) = reader.read_record(&mut record) {
        let next = reader.position().byte();
        let is_ended = bytes[..next as usize].ends_with(b"\n");
        let at: Option<u64> = record.get(0).and_then(|step| step.parse().ok());
        let is_wanted = at.is_some_and(|at| at <= step);
        if !is_ended || !is_wanted || record.len() != columns + 1 {
            break;
        }
        end = next;
    }
    end
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Metrics;

    #[test]
    fn a_continued_table_is_that_of_a_run_without_a_break() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("metrics.csv");
        let open = |step| Metrics::open(folder.path(), &["loss", "rate"], step).expect("a table");
        let rows = |metrics: &mut Metrics, steps: std::ops::RangeInclusive<u64>| {
            steps.for_each(|step| {
                metrics.add(step, &[f64::NAN, step as f64 / 3.0]).expect("a row");
            });
        };
        rows(&mut open(0), 1..=4);
        let whole = fs::read(&path).expect("a file");
        assert!(whole.starts_with(b"step,loss,rate\n1,,0.3333333\n2,,0.6666667\n"));
        // Killed after the snapshot of step 2: within the row of step 4, or anywhere in it.
        for cut in 0..12 {
            fs::write(&path, &whole[..whole.len() - cut]).expect("a file");
            rows(&mut open(2), 3..=4);
            assert_eq!(fs::read(&path).expect("a file"), whole, "{cut} bytes are cut");
        }
        // Killed within the row of the very step that was saved.
        fs::write(&path, &whole[..whole.len() - 1]).expect("a file");
        rows(&mut open(3), 4..=4);
        assert_eq!(fs::read(&path).expect("a file"), whole);
        assert!(Metrics::open(folder.path(), &["loss"], 3).is_err());
        assert_eq!(fs::read(&path).expect("a file"), whole);
    }
}
