//! `llm/config.json`: the residual diffusion head's part of it.

use std::path::Path;

use hart_core::Result;
use hart_core::config::ConfigReader;

/// The configuration of the residual diffusion head, part of `llm/config.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResidualHeadConfig {
    /// Width of the network (`diff_width`).
    pub width: usize,
    /// Residual blocks (`diff_depth`).
    pub depth: usize,
    /// Respacing of the 1000 diffusion steps, such as `8`, `10,15,20` or `ddim25`
    /// (`num_sampling_steps`).
    pub sampling_steps: String,
    /// Times and noises drawn for each token in training (`diffusion_batch_mul`).
    pub training_repeats: usize,
}

impl ResidualHeadConfig {
    /// Reads `llm/config.json`.
    ///
    /// # Errors
    /// [`hart_core::Error::Io`], [`hart_core::Error::Malformed`] or [`hart_core::Error::Config`],
    /// each naming the file, and the last the key, what was found and what is supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(&ConfigReader::open(path)?)
    }

    /// Reads the keys of an open configuration; errors as for [`Self::open`].
    pub fn read(file: &ConfigReader) -> Result<Self> {
        file.choice("sampler", "iddpm", &[("iddpm", ())])?;
        Ok(Self {
            width: file.integer("diff_width", 1024, 1..=1 << 16)?,
            depth: file.integer("diff_depth", 6, 1..=1024)?,
            sampling_steps: sampling_steps(file)?,
            training_repeats: file.integer("diffusion_batch_mul", 4, 1..=1024)?,
        })
    }
}

/// A string in the official configurations; a number says the same.
fn sampling_steps(file: &ConfigReader) -> Result<String> {
    match file.value("num_sampling_steps") {
        Some(value) if value.is_u64() => Ok(value.to_string()),
        _ => file.text("num_sampling_steps", "8"),
    }
}
