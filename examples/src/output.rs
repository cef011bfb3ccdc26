//! What programs give: lines on standard output, and images in files.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use hart_core::{check_writable, write_atomically};
use hart_pipeline::image::FileFormat;

use crate::CLOSED_PIPE;

/// Writes a line to standard output.
///
/// # Errors
/// When nobody reads it any more, which [`crate::exit`] knows.
pub fn say(line: impl Display) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Writes a line to standard output, of a program that has nothing to put in order: it ends when
/// nobody reads it any more.
pub fn tell(line: impl Display) {
    if say(line).is_err() {
        std::process::exit(CLOSED_PIPE.into());
    }
}

/// Writes a line to standard error. That nobody reads it is not worth the work.
pub fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Where an image goes: to a file, or to standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The file; none for standard output.
    file: Option<PathBuf>,
    format: FileFormat,
}

impl Destination {
    /// What was asked for: `-` is standard output, which gets a PNG file; else the ending of the
    /// path says the format.
    ///
    /// # Errors
    /// When the ending is of no format that is written, or the file could not be written.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { file: None, format: FileFormat::Png });
        }
        let format = FileFormat::of(path)?;
        check_writable(path)?;
        Ok(Self { file: Some(path.to_path_buf()), format })
    }

    /// Whether it is standard output, so that nothing else may be written there.
    pub fn is_standard_output(&self) -> bool {
        self.file.is_none()
    }

    /// Another file beside this one, with `suffix` before the ending.
    ///
    /// # Errors
    /// For standard output, which takes one image.
    pub fn with_suffix(&self, suffix: impl Display) -> anyhow::Result<Self> {
        let Some(file) = &self.file else { bail!("standard output takes one image") };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let mut name = format!("{stem}-{suffix}");
        if let Some(ending) = file.extension() {
            name = format!("{name}.{}", ending.to_string_lossy());
        }
        Ok(Self { file: Some(file.with_file_name(name)), format: self.format })
    }

    /// Writes a line to standard output, or to standard error where the image takes the former.
    ///
    /// # Errors
    /// As [`say`].
    pub fn say(&self, line: impl Display) -> anyhow::Result<()> {
        match self.file {
            Some(_) => say(line),
            None => {
                note(line);
                Ok(())
            }
        }
    }

    /// The format of the file.
    pub fn format(&self) -> FileFormat {
        self.format
    }

    /// Writes the content of the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        match &self.file {
            Some(file) => Ok(write_atomically(file, bytes)?),
            None => {
                let mut standard = std::io::stdout().lock();
                standard.write_all(bytes)?;
                Ok(standard.flush()?)
            }
        }
    }
}

impl Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display()),
            None => f.write_str("standard output"),
        }
    }
}
