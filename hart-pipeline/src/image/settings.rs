//! What made an image, as its file carries it.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The keyword of the PNG text chunk that holds the settings as JSON.
const KEYWORD: &str = "hart";

/// The most memory that reading a file's text chunks may take, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// Everything that made an image: with the same weights on the same backend these settings make it
/// again, byte by byte.
///
/// They are written as JSON with a [`Self::version`]. Files of older versions stay readable: what
/// they do not say is [`None`], or what was usual then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ImageSettings {
    /// Version of these settings: [`Self::VERSION`] when written by this version of the library, 0
    /// by the first, which did not count.
    pub version: u32,
    /// The prompt, whole even where the model saw only its beginning.
    pub prompt: String,
    /// The seed.
    pub seed: u64,
    /// Width and height in pixels as generated; `None` in files of version 0, whose images have
    /// the size that the model was trained with.
    pub size: Option<[usize; 2]>,
    /// How many times the pixels of the file are enlarged along each axis after that.
    pub enlarged: u32,
    /// Classifier-free guidance.
    pub guidance: f64,
    /// Codes kept for sampling, 0 for all; `None` for the release's 600 and 300.
    pub top_k: Option<usize>,
    /// Nucleus sampling; 0 for none.
    pub top_p: f64,
    /// Whether codes were mixed instead of chosen.
    pub smooth: bool,
    /// Masked passes over the last scale.
    pub mask_passes: usize,
    /// Steps of the residual diffusion; `None` without a residual.
    pub diffusion_steps: Option<String>,
    /// Factor of the noise of every diffusion step.
    pub temperature: f64,
    /// How much was computed: `exact`, the only level so far.
    pub effort: String,
    /// Name of the hook that changed the generation, if there was one.
    pub hook: Option<String>,
    /// What was put before the prompt: `released` for the released model's, `none`, or the text
    /// itself behind `text:`; `None` in files of version 0.
    pub system_prompt: Option<String>,
    /// Side of short prompts that was padded, `left` or `right`; `None` in files of version 0.
    pub padding_side: Option<String>,
    /// Element type of the weights: `f32`, `bf16`, `f16` or `int8`.
    pub precision: String,
    /// Rows of pixels that were decoded at a time, if not all at once.
    pub strip_height: Option<usize>,
    /// Name of the model's folder; `embedded` for the model compiled in.
    pub model: String,
    /// Weights of the transformer, `ema` or `raw`; `None` in files of version 0 and for models
    /// that were put together by a program.
    pub weights: Option<String>,
    /// The backend, as burn names it; `None` in files of version 0.
    pub backend: Option<String>,
    /// Name and version of the library.
    pub software: String,
}

impl Default for ImageSettings {
    /// What files of version 0 mean where they say nothing.
    fn default() -> Self {
        Self {
            version: 0,
            prompt: String::new(),
            seed: 0,
            size: None,
            enlarged: 1,
            guidance: 4.5,
            top_k: None,
            top_p: 0.0,
            smooth: true,
            mask_passes: 1,
            diffusion_steps: None,
            temperature: 1.0,
            effort: "exact".to_string(),
            hook: None,
            system_prompt: None,
            padding_side: None,
            precision: "f32".to_string(),
            strip_height: None,
            model: String::new(),
            weights: None,
            backend: None,
            software: String::new(),
        }
    }
}

impl ImageSettings {
    /// The version that this library writes.
    pub const VERSION: u32 = 1;

    /// Reads back the settings that an image was saved with.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Malformed`] when it is not a PNG file,
    /// has no settings of ours, or some of a later version than this library knows.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Self::read_from(path, BufReader::new(file))
    }

    /// Reads the settings of a PNG file whose content is in memory; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(name: impl AsRef<Path>, png: &[u8]) -> Result<Self> {
        Self::read_from(name.as_ref(), Cursor::new(png))
    }

    fn read_from(path: &Path, file: impl std::io::BufRead + std::io::Seek) -> Result<Self> {
        let limits = png::Limits { bytes: MAX_BYTES };
        let reader = png::Decoder::new_with_limits(file, limits)
            .read_info()
            .map_err(|error| Error::malformed(path, format!("not a readable PNG file: {error}")))?;
        let chunk = reader.info().utf8_text.iter().find(|chunk| chunk.keyword == KEYWORD);
        let chunk = chunk.ok_or_else(|| Error::malformed(path, "it has no settings of HART"))?;
        let unreadable =
            |problem: String| Error::malformed(path, format!("its settings: {problem}"));
        let text = chunk.get_text().map_err(|error| unreadable(error.to_string()))?;
        let settings: Self =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if settings.version > Self::VERSION {
            let (found, known) = (settings.version, Self::VERSION);
            return Err(unreadable(format!("version {found}, expected at most {known}")));
        }
        Ok(settings)
    }

    /// The text chunks of a PNG file: keywords and texts.
    pub(super) fn chunks(&self) -> Vec<(&'static str, String)> {
        // A PNG text chunk ends at a NUL; JSON escapes them, the plain description cannot.
        let description = self.prompt.replace('\0', "");
        let json = serde_json::to_string(self).expect("settings are plain values");
        vec![("Software", self.software.clone()), ("Description", description), (KEYWORD, json)]
    }
}
