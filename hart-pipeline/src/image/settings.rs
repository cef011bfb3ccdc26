//! What made an image, as its file carries it.

use std::io::Cursor;
use std::path::Path;

use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::EditSettings;
use super::encode::Texts;

/// The keyword of the settings of an image.
const KEYWORD: &str = "hart";

/// The keyword of the list of settings of a grid of images.
const GRID_KEYWORD: &str = "hart-grid";

/// What PNG files begin with.
const PNG_SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The most memory that reading a file's text chunks may take, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// The most bytes of settings as a text.
const MAX_TEXT: usize = 16 << 20;

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
    /// The edit that the generation was part of, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<EditSettings>,
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
            edit: None,
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
    /// [`Error::Io`] when the file cannot be read, [`Error::Malformed`] when it is not an image of
    /// a kind that [`FileFormat`](super::FileFormat) has, holds no settings of ours, those of several
    /// images ([`Self::read_all`]), or some of a later version than this library knows.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(path, &std::fs::read(path).map_err(|error| Error::io(path, error))?)
    }

    /// Reads the settings of a file whose content is in memory; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(name: impl AsRef<Path>, file: &[u8]) -> Result<Self> {
        let name = name.as_ref();
        let mut all = Self::parse_all(name, file)?;
        match (all.pop(), all.len()) {
            (Some(settings), 0) => Ok(settings),
            (_, others) => {
                let problem = format!("it is a grid of {} images, expected one image", others + 1);
                Err(Error::malformed(name, problem))
            }
        }
    }

    /// Reads the settings of every image of a file, row by row: one, or those of an
    /// [`ImageGrid`](super::ImageGrid).
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let path = path.as_ref();
        Self::parse_all(path, &std::fs::read(path).map_err(|error| Error::io(path, error))?)
    }

    fn parse_all(path: &Path, file: &[u8]) -> Result<Vec<Self>> {
        let unreadable =
            |problem: String| Error::malformed(path, format!("its settings: {problem}"));
        let mut texts = texts(file).map_err(|problem| Error::malformed(path, problem))?;
        let parsed = match (texts.remove(KEYWORD), texts.remove(GRID_KEYWORD)) {
            (Some(one), _) => serde_json::from_value(one).map(|settings| vec![settings]),
            (None, Some(grid)) => serde_json::from_value(grid),
            (None, None) => return Err(Error::malformed(path, "it has no settings of HART")),
        };
        let all: Vec<Self> = parsed.map_err(|error| unreadable(error.to_string()))?;
        let (newest, known) = (all.iter().map(|one| one.version).max(), Self::VERSION);
        match newest {
            Some(found) if found > known => {
                Err(unreadable(format!("version {found}, expected at most {known}")))
            }
            _ => Ok(all),
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("settings are plain values")
    }
}

impl Texts {
    /// What the file of an image carries.
    pub(super) fn of_image(settings: &ImageSettings) -> Self {
        let (software, description) = (settings.software.clone(), settings.prompt.clone());
        Self { software, description, settings: (KEYWORD, settings.json()) }
    }

    /// What the file of several images carries.
    pub(super) fn of_grid(settings: &[ImageSettings]) -> Self {
        let mut prompts: Vec<&str> = settings.iter().map(|one| one.prompt.as_str()).collect();
        prompts.dedup();
        let all: Vec<String> = settings.iter().map(ImageSettings::json).collect();
        Self {
            software: settings.first().map(|one| one.software.clone()).unwrap_or_default(),
            description: prompts.join("\n"),
            settings: (GRID_KEYWORD, format!("[{}]", all.join(","))),
        }
    }
}

/// The settings in a file by their keywords; the error says what is wrong with it.
fn texts(file: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    if !file.starts_with(&PNG_SIGNATURE) {
        #[cfg(feature = "images")]
        return Ok(super::exif::read(file)?.unwrap_or_default());
        #[cfg(not(feature = "images"))]
        return Err("not a PNG file".to_string());
    }
    let limits = png::Limits { bytes: MAX_BYTES };
    let reader = png::Decoder::new_with_limits(Cursor::new(file), limits)
        .read_info()
        .map_err(|error| format!("not a readable PNG file: {error}"))?;
    let chunks = reader.info().utf8_text.iter().cloned();
    let ours = chunks.filter(|chunk| [KEYWORD, GRID_KEYWORD].contains(&chunk.keyword.as_str()));
    ours.map(|mut chunk| {
        let unreadable = |problem: String| format!("its settings: {problem}");
        // A compressed text may be a thousand times its length.
        let bounded = chunk.decompress_text_with_limit(MAX_TEXT);
        bounded.map_err(|error| unreadable(error.to_string()))?;
        let text = chunk.get_text().map_err(|error| unreadable(error.to_string()))?;
        let value = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        Ok((chunk.keyword.clone(), value))
    })
    .collect()
}
