//! Defaults for settings that a request leaves unset.

use std::path::Path;

use hart_core::Result;
use hart_core::config::ConfigReader;

use crate::text::SystemPrompt;

/// The settings that suit a model. Those of the release, unless the model's folder has a file
/// `generation.json` that says otherwise, as models of the training programs do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelDefaults {
    /// Classifier-free guidance (`guidance`).
    pub guidance: f64,
    /// Codes kept for sampling, 0 for all (`top_k`); `None` for the release's.
    pub top_k: Option<usize>,
    /// Nucleus sampling, 0 for none (`top_p`).
    pub top_p: f64,
    /// Whether codes are mixed instead of chosen (`smooth`).
    pub smooth: bool,
    /// Factor of the noise of every diffusion step (`temperature`).
    pub temperature: f64,
    /// What was put before every prompt in training (`system_prompt`; empty for nothing).
    pub system_prompt: SystemPrompt,
}

impl Default for ModelDefaults {
    fn default() -> Self {
        Self {
            guidance: 4.5,
            top_k: None,
            top_p: 0.0,
            smooth: true,
            temperature: 1.0,
            system_prompt: SystemPrompt::Released,
        }
    }
}

impl ModelDefaults {
    /// Reads `generation.json` of a model's folder; the release's when there is none.
    ///
    /// # Errors
    /// [`hart_core::Error::Malformed`] or [`hart_core::Error::Config`] when it is damaged or a
    /// value is out of its range.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref().join("generation.json");
        if path.exists() { Self::read(&ConfigReader::open(path)?) } else { Ok(Self::default()) }
    }

    /// Reads the keys of an open file; errors as for [`Self::open`].
    pub fn read(file: &ConfigReader) -> Result<Self> {
        let released = Self::default();
        let top_k = match file.value("top_k") {
            Some(_) => Some(file.integer("top_k", 0, 0..=1 << 20)?),
            None => None,
        };
        let system_prompt = match file.value("system_prompt") {
            Some(_) => match file.text("system_prompt", "")? {
                text if text.is_empty() => SystemPrompt::None,
                text => SystemPrompt::Custom(text),
            },
            None => released.system_prompt,
        };
        Ok(Self {
            guidance: file.number("guidance", released.guidance, 0.0..=100.0)?,
            top_k,
            top_p: file.number("top_p", released.top_p, 0.0..=1.0)?,
            smooth: file.flag("smooth", released.smooth)?,
            temperature: file.number("temperature", released.temperature, 0.0..=100.0)?,
            system_prompt,
        })
    }
}
