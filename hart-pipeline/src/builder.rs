//! Building a pipeline.

use std::path::{Path, PathBuf};

use hart_core::checkpoint::LoadOptions;
use hart_core::{Error, HartBackend, Precision, Result};

#[cfg(feature = "embedded")]
use crate::archive::Archive;
use crate::backend::{DefaultBackend, OnBackend, on_device, start_threads};
use crate::defaults::ModelDefaults;
#[cfg(feature = "embedded")]
use crate::embedded::{ARCHIVE, EMBEDDED};
use crate::model::{HartModel, ModelCheckpoints, ModelConfig, TransformerWeights};
use crate::observer::Observer;
use crate::pipeline::{About, HartPipeline, LazyModel, batch_size, check_sizes};
use crate::text::{KnownWords, PaddingSide, SystemPrompt, TextEncoder, TextEncoderOptions};
use crate::text_to_image::TextToImage;

/// Says what a pipeline is loaded from and how. It ends in [`Self::build`], for a backend that is
/// chosen when the program is compiled, or in [`Self::open`], for one that is named when it runs.
#[derive(Debug, Clone, Default)]
pub struct PipelineBuilder {
    pub(crate) source: Source,
    /// What images call the model; `None` for its folder's name.
    pub(crate) name: Option<String>,
    pub(crate) text_encoder: Option<PathBuf>,
    precision: Precision,
    pub(crate) weights: TransformerWeights,
    padding_side: Option<PaddingSide>,
    system_prompt: Option<SystemPrompt>,
    batch_size: Option<usize>,
    strip_height: Option<usize>,
    drop_text_encoder: bool,
    #[cfg(feature = "hub")]
    pub(crate) hub: Option<crate::hub::Hub>,
    /// The text encoder's name at the hub, in the place of its folder.
    #[cfg(feature = "hub")]
    pub(crate) text_encoder_name: Option<String>,
}

/// Where the model is.
#[derive(Debug, Clone, Default)]
pub(crate) enum Source {
    #[default]
    Missing,
    Folder(PathBuf),
    /// Its name at the hub.
    #[cfg(feature = "hub")]
    Hub(String),
    #[cfg(feature = "embedded")]
    Embedded,
}

impl HartPipeline<DefaultBackend> {
    /// Starts building a pipeline, for any backend.
    pub fn builder() -> PipelineBuilder {
        PipelineBuilder::default()
    }

    /// A pipeline on the device called `device`, such as `flex` or `cuda:1`, that is chosen when
    /// the program runs; `model` is its folder, or a [`PipelineBuilder`] that says more. For
    /// libraries this is the door: Cargo features of a dependency graph add up, so that
    /// [`DefaultBackend`] may change under them.
    ///
    /// ```
    /// use hart_pipeline::{HartPipeline, Request};
    /// # #[cfg(all(feature = "flex", feature = "embedded"))] {
    /// let pipeline = HartPipeline::open("flex", HartPipeline::builder().embedded())?;
    /// let images = pipeline.generate(&Request::new("a red heart, flat style").seed(7))?;
    /// assert_eq!(images[0].settings().backend.as_deref(), Some("flex"));
    /// # }
    /// # Ok::<(), hart_pipeline::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`PipelineBuilder::open`].
    pub fn open(device: &str, model: impl Into<PipelineBuilder>) -> Result<Box<dyn TextToImage>> {
        model.into().open(device)
    }
}

impl From<&str> for PipelineBuilder {
    fn from(folder: &str) -> Self {
        Self::default().model(folder)
    }
}

impl From<&Path> for PipelineBuilder {
    fn from(folder: &Path) -> Self {
        Self::default().model(folder)
    }
}

impl From<PathBuf> for PipelineBuilder {
    fn from(folder: PathBuf) -> Self {
        Self::default().model(folder)
    }
}

impl PipelineBuilder {
    /// The model's folder, with `llm/` and `tokenizer/` in it.
    pub fn model(mut self, folder: impl AsRef<Path>) -> Self {
        self.source = Source::Folder(folder.as_ref().to_path_buf());
        self
    }

    /// The small model compiled into the crate (feature `embedded`, on by default).
    #[cfg(feature = "embedded")]
    pub fn embedded(mut self) -> Self {
        self.source = Source::Embedded;
        self
    }

    /// The text encoder's folder, a Qwen2 model in Hugging Face's layout (default: `text` in the
    /// model's folder, where the training programs put it).
    pub fn text_encoder(mut self, folder: impl AsRef<Path>) -> Self {
        self.text_encoder = Some(folder.as_ref().to_path_buf());
        #[cfg(feature = "hub")]
        {
            self.text_encoder_name = None;
        }
        self
    }

    /// The element type of weights and activations (default [`Precision::F32`]).
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Which weights of the transformer (default [`TransformerWeights::Auto`]).
    pub fn weights(mut self, weights: TransformerWeights) -> Self {
        self.weights = weights;
        self
    }

    /// What is put before every prompt (default: what the model's [`ModelDefaults`] say, as a rule
    /// the released model's).
    pub fn system_prompt(mut self, prompt: SystemPrompt) -> Self {
        self.system_prompt = Some(prompt);
        self
    }

    /// Which side of short prompts is padded (default: what `tokenizer_config.json` says).
    pub fn padding_side(mut self, side: PaddingSide) -> Self {
        self.padding_side = Some(side);
        self
    }

    /// How many images are made at once (default: as many as keep the key/value cache under 2 GiB,
    /// at most 16). It changes speed and memory, not the images.
    pub fn batch_size(mut self, images: usize) -> Self {
        self.batch_size = Some(images);
        self
    }

    /// Whether the text encoder stays in memory (default: yes). It has twice the parameters of the
    /// transformer. Without it in memory, the model is not loaded before the first prompts are
    /// encoded and the text encoder's memory is freed, and every later request loads the text
    /// encoder again: for few requests of many images where memory is short.
    pub fn keep_text_encoder(mut self, keep: bool) -> Self {
        self.drop_text_encoder = !keep;
        self
    }

    /// Decodes images in strips of about this many rows of pixels (default: whole). The images are
    /// the same up to rounding; large ones need less than half the memory, and more time.
    pub fn strip_height(mut self, rows: usize) -> Self {
        self.strip_height = Some(rows);
        self
    }

    /// The words that the model knows, in the order of the alphabet; `None` when it does not say,
    /// like the released one, which has read more than can be listed. No weights are read, and of a
    /// model at the hub none are fetched.
    ///
    /// ```
    /// # #[cfg(feature = "embedded")] {
    /// use hart_pipeline::HartPipeline;
    ///
    /// let words = HartPipeline::builder().embedded().known_words(&mut ())?.unwrap();
    /// assert!(words.iter().any(|word| word == "banana"));
    /// assert_eq!(words.nearest("bananna"), Some("banana"));
    /// # }
    /// # Ok::<(), hart_pipeline::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::build`], as far as these words are concerned.
    pub fn known_words(&self, observer: &mut dyn Observer) -> Result<Option<KnownWords>> {
        #[cfg(feature = "hub")]
        match (&self.source, self.text_encoder_name.as_deref()) {
            (Source::Hub(model), encoder) if self.text_encoder.is_none() => {
                return self.words_at_hub(encoder, model, observer);
            }
            (_, Some(encoder)) => return self.words_at_hub(Some(encoder), "", observer),
            _ => {}
        }
        let _ = observer;
        match (&self.source, &self.text_encoder) {
            (Source::Missing, _) => Err(Error::invalid("the model", "not named", "a folder")),
            #[cfg(feature = "embedded")]
            (Source::Embedded, _) => Archive::open(EMBEDDED, ARCHIVE)?.known_words().map(Some),
            (Source::Folder(model), _) => KnownWords::open(self.text_folder(model)?),
            #[cfg(feature = "hub")]
            (Source::Hub(_), encoder) => encoder.as_ref().map_or(Ok(None), KnownWords::open),
        }
    }

    /// Loads everything, on a device of backend `B`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when no model was named or the precision is not supported by the device,
    /// and [`Error::Io`], [`Error::Malformed`], [`Error::Config`] or [`Error::Weights`] when a file
    /// is missing, damaged or does not fit the others; [`Error::System`] without threads;
    /// [`Error::Hub`] when a model that was named cannot be fetched.
    pub fn build<B: HartBackend>(self, device: &B::Device) -> Result<HartPipeline<B>> {
        start_threads()?;
        B::check_precision(self.precision, device)?;
        check_sizes(self.batch_size, self.strip_height)?;
        match self.source.clone() {
            Source::Missing => Err(Error::invalid("the model", "not named", "a folder")),
            #[cfg(feature = "embedded")]
            Source::Embedded => self.load_embedded(device),
            #[cfg(feature = "hub")]
            Source::Hub(_) => self.fetch(&mut ())?.build(device),
            #[cfg(feature = "hub")]
            Source::Folder(_) if self.text_encoder_name.is_some() => {
                self.fetch(&mut ())?.build(device)
            }
            Source::Folder(folder) => self.load(&folder, device),
        }
    }

    /// Loads everything, on the device called `device`: a backend of
    /// [`compiled_in`](crate::backend::compiled_in), and for GPUs optionally which one.
    ///
    /// # Errors
    /// As [`Self::build`], and [`Error::Invalid`] for a backend that is not compiled in.
    pub fn open(self, device: &str) -> Result<Box<dyn TextToImage>> {
        struct Open(PipelineBuilder);
        impl OnBackend for Open {
            type Output = Result<Box<dyn TextToImage>>;

            fn run<B: HartBackend>(self, device: B::Device) -> Self::Output {
                Ok(Box::new(self.0.build::<B>(&device)?))
            }
        }
        on_device(device, Open(self))?
    }

    #[cfg(feature = "embedded")]
    fn names_text_encoder(&self) -> bool {
        #[cfg(feature = "hub")]
        if self.text_encoder_name.is_some() {
            return true;
        }
        self.text_encoder.is_some()
    }

    #[cfg(feature = "embedded")]
    fn load_embedded<B: HartBackend>(self, device: &B::Device) -> Result<HartPipeline<B>> {
        let unused = [
            ("a text encoder", self.names_text_encoder()),
            ("a system prompt", self.system_prompt.is_some()),
            ("a padding side", self.padding_side.is_some()),
        ];
        if let Some((what, _)) = unused.iter().find(|(_, given)| *given) {
            let expected = "none: the embedded model brings its own";
            return Err(Error::invalid(*what, "given", expected));
        }
        let mut pipeline = HartPipeline::embedded_with(self.precision, device)?;
        if let Some(images) = self.batch_size {
            pipeline.about.batch_size = images;
        }
        pipeline.about.strip_height = self.strip_height;
        Ok(pipeline)
    }

    fn load<B: HartBackend>(self, folder: &Path, device: &B::Device) -> Result<HartPipeline<B>> {
        let text_folder = self.text_folder(folder)?;
        // The small files first: a mistake in them should not wait for gigabytes.
        let defaults = ModelDefaults::open(folder)?;
        let config = ModelConfig::open(folder)?;
        let options = LoadOptions { precision: self.precision, prepare: true };
        let text = TextEncoderOptions {
            weights: options,
            padding_side: self.padding_side,
            system_prompt: self.system_prompt.unwrap_or_else(|| defaults.system_prompt.clone()),
            on_demand: self.drop_text_encoder,
        };
        let tokens = config.transformer.context_tokens;
        let encoder = TextEncoder::open(&text_folder, tokens, &text, device)?;
        check_width(folder, &config, &text_folder, encoder.width())?;
        let files = ModelCheckpoints::open(folder, self.weights)?;
        let name = self.name.or_else(|| Some(folder.file_name()?.to_string_lossy().into_owned()));
        let usual = batch_size(&config.transformer, self.precision);
        let about = About {
            scales: config.transformer.scales.clone(),
            downsampling: config.autoencoder.downsampling(),
            diffusion_steps: config.residual_head.sampling_steps.clone(),
            name: name.unwrap_or_else(|| folder.display().to_string()),
            weights: Some(files.weights.name().to_string()),
            precision: self.precision,
            batch_size: self.batch_size.unwrap_or(usual),
            strip_height: self.strip_height,
            defaults,
        };
        let model = if encoder.is_kept() {
            LazyModel::loaded(HartModel::load(&config, &files, options, device)?)
        } else {
            LazyModel::waiting(config, files, options)
        };
        Ok(HartPipeline::new(model, encoder, about, device.clone()))
    }

    /// The text encoder's folder: the one named, or that beside the model.
    fn text_folder(&self, model: &Path) -> Result<PathBuf> {
        // A model's folder that is not there is the first thing to say.
        std::fs::read_dir(model).map_err(|error| Error::io(model, error))?;
        let beside = model.join("text");
        let named = self.text_encoder.clone();
        named.or_else(|| beside.is_dir().then(|| beside.clone())).ok_or_else(|| {
            let expected = format!("a folder, since there is no {}", beside.display());
            Error::invalid("the text encoder's folder", "not named", expected)
        })
    }
}

/// Checks that the text encoder's hidden states are as wide as the transformer expects.
fn check_width(folder: &Path, config: &ModelConfig, text: &Path, width: usize) -> Result<()> {
    let expected = config.transformer.context_width;
    if width == expected {
        return Ok(());
    }
    Err(Error::Config {
        path: folder.join("llm/config.json"),
        key: "context_dim".to_string(),
        found: expected.to_string(),
        expected: format!("{width}, the width of the text encoder in {}", text.display()),
    })
}
