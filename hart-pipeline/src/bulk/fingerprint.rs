//! What a picture's bytes follow from besides its prompt, seed and settings: weights and arithmetic.

use std::path::Path;

use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::builder::{PipelineBuilder, Source};
use crate::hash::Hash;
use crate::image::ImageSettings;
use crate::request::Request;
use crate::text_to_image::TextToImage;

/// Parts of a model's folder that pictures follow from.
const PARTS: [&str; 2] = ["llm", "tokenizer"];
/// The text encoder, where no other one is named.
const TEXT: &str = "text";
/// Files besides them.
const FILES: [&str; 1] = ["generation.json"];
/// Endings of the files that are read.
const ENDINGS: [&str; 4] = ["json", "safetensors", "bin", "txt"];
/// What is drawn to compare arithmetic.
const PROMPT: &str = "a red heart, flat style";
const SEED: u64 = 20;

/// A pipeline with what its weights are known by.
pub struct Model {
    pipeline: Box<dyn TextToImage>,
    weights: String,
}

/// What two machines have to have in common to make the same pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The SHA-256 of the model's files.
    pub weights: String,
    /// The SHA-256 of a picture that is made to compare: it tells arithmetic that differs, of another
    /// backend or another kind of processor.
    pub picture: String,
    /// The settings of that picture.
    pub settings: ImageSettings,
}

impl Model {
    /// Reads the files of a model, and opens it on a device.
    ///
    /// # Errors
    /// Those of [`PipelineBuilder::open`], and [`Error::Io`].
    pub fn open(builder: PipelineBuilder, device: &str) -> Result<Self> {
        #[cfg(feature = "hub")]
        let builder = builder.fetch(&mut ())?;
        let weights = hash_of(&builder)?;
        Ok(Self { pipeline: builder.open(device)?, weights })
    }

    /// A pipeline that is there. `weights` is what its weights are known by, such as their hash.
    pub fn new(pipeline: Box<dyn TextToImage>, weights: impl Into<String>) -> Self {
        Self { pipeline, weights: weights.into() }
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &dyn TextToImage {
        &*self.pipeline
    }

    /// Makes a picture with the settings of a request to tell what pictures follow from.
    ///
    /// # Errors
    /// Those of [`TextToImage::generate`]: among them [`Error::Invalid`] for a setting out of its range.
    pub fn fingerprint(&self, request: Request) -> Result<Fingerprint> {
        let images = self.pipeline.generate(&request.prompts([PROMPT]).seed(SEED))?;
        let image = images.first().ok_or_else(|| Error::invalid("the pictures", 0, 1))?;
        Ok(Fingerprint {
            weights: self.weights.clone(),
            picture: Hash::of(&image.to_png()?).to_string(),
            settings: image.settings().clone(),
        })
    }
}

impl Fingerprint {
    /// Refuses this one, of a worker, unless it is the plan's.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what differs.
    pub(super) fn check(&self, plan: &Self) -> Result<()> {
        let [worker, expected] = [self, plan].map(|one| &one.settings);
        let none = || "none".to_string();
        let of = |settings: &ImageSettings| {
            [
                ("the program of this worker", settings.software.clone()),
                ("the model of this worker", settings.model.clone()),
                ("the precision of this worker", settings.precision.clone()),
                ("the backend of this worker", settings.backend.clone().unwrap_or_else(none)),
            ]
        };
        let mut pairs: Vec<(&str, String, String)> = of(worker)
            .into_iter()
            .zip(of(expected))
            .map(|((what, found), (_, expected))| (what, found, expected))
            .collect();
        let weights = (self.weights.clone(), plan.weights.clone());
        pairs.insert(1, ("the SHA-256 of this worker's weights", weights.0, weights.1));
        let settings =
            [worker, expected].map(|settings| serde_json::to_string(settings).unwrap_or_default());
        let [found, wanted] = settings;
        pairs.push(("the settings of this worker", found, wanted));
        let picture = (self.picture.clone(), plan.picture.clone());
        let what = "the SHA-256 of a picture of this worker, whose arithmetic differs,";
        pairs.push((what, picture.0, picture.1));
        match pairs.into_iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => {
                Err(Error::invalid(what, found, format!("{expected}, as in the plan")))
            }
            None => Ok(()),
        }
    }
}

/// The hash of all files that a model is loaded from.
fn hash_of(builder: &PipelineBuilder) -> Result<String> {
    let mut files = vec![];
    match &builder.source {
        #[cfg(feature = "embedded")]
        Source::Embedded => return Ok(Hash::of(crate::embedded::ARCHIVE).to_string()),
        Source::Folder(folder) => {
            PARTS.iter().try_for_each(|part| hash_folder(part, &folder.join(part), &mut files))?;
            for file in FILES.iter().filter(|file| folder.join(file).exists()) {
                files.push((file.to_string(), hash_file(&folder.join(file))?));
            }
            let text = builder.text_encoder.clone().unwrap_or_else(|| folder.join(TEXT));
            hash_folder(TEXT, &text, &mut files)?;
        }
        // Opening it says what is missing.
        _ => {}
    }
    files.sort();
    let pieces = files.iter().flat_map(|(name, hash)| [name.as_bytes(), hash.as_slice()]);
    Ok(Hash::of_all(pieces).to_string())
}

/// Adds the files of a folder, if it is there.
fn hash_folder(part: &str, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            let name = format!("{part}/{}", entry.file_name().to_string_lossy());
            files.push((name, hash_file(&path)?));
        }
    }
    Ok(())
}

fn hash_file(path: &Path) -> Result<Vec<u8>> {
    let at = |error| Error::io(path, error);
    let mut file = std::fs::File::open(path).map_err(at)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut part).map_err(at)? {
            0 => return Ok(hash.finalize().to_vec()),
            count => hash.update(&part[..count]),
        }
    }
}
