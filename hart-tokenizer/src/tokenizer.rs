//! Encoder, quantizer and decoder together.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use hart_core::checkpoint::{Checkpoint, LoadOptions, load, tensors};
use hart_core::initialize::{Start, initialize};
use hart_core::nn::{Convolution, Prepare};
use hart_core::tap::Tap;
use hart_core::{Error, Grid, HartBackend, Precision, Result, ScaleSchedule};

use crate::blocks::same_convolution;
use crate::config::AutoencoderConfig;
use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::names::{NAMES, shared_name};
use crate::quantizer::{HybridTokens, Quantizer};

/// The hybrid tokenizer: images to tokens and back.
#[derive(Module, Debug)]
pub struct HybridTokenizer<B: Backend> {
    encoder: Encoder<B>,
    before_quantizer: Convolution<B>,
    /// The quantizer, for those who work on latents.
    pub quantizer: Quantizer<B>,
    after_quantizer: Convolution<B>,
    decoder: Decoder<B>,
    downsampling: usize,
}

impl<B: Backend> HybridTokenizer<B> {
    /// A tokenizer of the configured sizes with fresh weights; none is made before it is used.
    pub fn init(config: &AutoencoderConfig, device: &B::Device) -> Self {
        let channels = config.latent_channels;
        let kernel = config.quantizer_kernel;
        Self {
            encoder: Encoder::init(config, device),
            before_quantizer: same_convolution(channels, channels, kernel, device),
            quantizer: Quantizer::init(config, device),
            after_quantizer: same_convolution(channels, channels, kernel, device),
            decoder: Decoder::init(config, device),
            downsampling: config.downsampling(),
        }
    }

    /// The same tokenizer with fresh weights that follow from a seed: convolutions uniform in ±1/√(inputs
    /// of a unit), biases zero, codes uniform in ±1/V.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the tokenizer is prepared.
    pub fn initialize(self, seed: u64) -> Result<Self> {
        let codes = 1.0 / self.quantizer.codebook_shape()[0] as f64;
        initialize(self, seed, &|path, shape| match (path, shape.len()) {
            ("quantizer.codebook", _) => Start::Uniform(codes),
            (_, 4) => Start::FanIn,
            _ if path.ends_with("bias") => Start::Constant(0.0),
            _ => Start::AsMade,
        })
    }

    /// The same tokenizer with everything up to the quantizer, and that itself, kept as it is in
    /// training: tokens stay what they are while the decoder learns (the release's default).
    pub fn freeze_latents(mut self) -> Self {
        self.encoder = self.encoder.no_grad();
        self.before_quantizer = self.before_quantizer.no_grad();
        self.quantizer = self.quantizer.no_grad();
        self
    }

    /// The same tokenizer with latents `factor` times as large: images get the same codes and codes
    /// the same images, but residuals grow with the latents.
    ///
    /// The residual head takes residuals for values in ±0.6 (section 5) and cuts what is beyond;
    /// those of much smaller latents would drown in its noise.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the tokenizer is prepared.
    pub fn scale_latents(self, factor: f64) -> Result<Self> {
        Ok(Self {
            before_quantizer: self.before_quantizer.scale(factor, factor)?,
            quantizer: self.quantizer.scale_codes(factor)?,
            after_quantizer: self.after_quantizer.scale(1.0 / factor, 1.0)?,
            ..self
        })
    }

    /// A tokenizer of twice the pixels, with as many tokens, that does what this one of `config`
    /// does ([`crate::finer`]); what is new in it and of no effect yet follows from a seed. Its
    /// configuration is [`AutoencoderConfig::finer`].
    ///
    /// # Errors
    /// Those of that, and [`Error::Invalid`] when the tokenizer is prepared.
    pub fn finer(self, config: &AutoencoderConfig, seed: u64) -> Result<Self> {
        let device = self.before_quantizer.bias().device();
        let fresh = Self::init(&config.finer()?, &device).initialize(seed)?;
        Ok(Self {
            encoder: self.encoder.behind(fresh.encoder)?,
            decoder: self.decoder.before(fresh.decoder)?,
            downsampling: fresh.downsampling,
            ..self
        })
    }

    /// The size of the images it is made for, in pixels.
    pub fn image_size(&self) -> Grid {
        self.quantizer.scales().latent().times(self.downsampling)
    }

    /// Pixels that a cell of the latent covers along each axis.
    pub fn downsampling(&self) -> usize {
        self.downsampling
    }

    /// The same tokenizer, its weights shared, for images of another shape.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another number of scales.
    pub fn with_scales(&self, scales: ScaleSchedule) -> Result<Self> {
        Ok(Self { quantizer: self.quantizer.with_scales(scales)?, ..self.clone() })
    }
}

impl<B: Backend> HybridTokenizer<B> {
    /// All weights by their names in the released layout, for [`hart_core::checkpoint`] to write.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the tokenizer is prepared.
    pub fn tensors(&self, config: &AutoencoderConfig) -> Result<BTreeMap<String, TensorData>> {
        let named = tensors(self, &NAMES)?.into_iter();
        let shared = |name| shared_name(name, config.shared_convolutions);
        Ok(named.map(|(name, data)| (shared(name), data)).collect())
    }
}

impl<B: HartBackend> HybridTokenizer<B> {
    /// A tokenizer with the weights of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Weights`] when the checkpoint does not fit the configuration.
    pub fn from_checkpoint(
        config: &AutoencoderConfig,
        checkpoint: &Checkpoint,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let tokenizer = load(Self::init(config, device), checkpoint, &NAMES, options)?;
        Ok(options.finish(tokenizer))
    }

    /// Images `[batch, 3, height, width]` in [0, 1] to tokens.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another shape than that of [`Self::image_size`].
    pub fn encode(&self, images: Tensor<B, 4>) -> Result<HybridTokens<B>> {
        self.check_images(&images)?;
        Ok(self.quantizer.encode(self.encode_latent(images * 2.0 - 1.0, &mut ())))
    }

    /// Tokens to images `[batch, 3, height, width]` in [0, 1].
    ///
    /// # Errors
    /// [`Error::Invalid`] for tokens of other shapes than the scales have.
    pub fn decode(&self, tokens: &HybridTokens<B>) -> Result<Tensor<B, 4>> {
        self.check_indices(&tokens.indices)?;
        self.check_residual(tokens)?;
        Ok(to_pixels(self.decode_latent(self.quantizer.latent(tokens), &mut ())))
    }

    /// The indices of all scales alone, without the residual, to images in [0, 1].
    ///
    /// # Errors
    /// [`Error::Invalid`] for indices of other shapes than the scales have.
    pub fn decode_discrete(&self, indices: &[Tensor<B, 2, Int>]) -> Result<Tensor<B, 4>> {
        self.check_indices(indices)?;
        let latent = self.quantizer.discrete_latents(indices).pop();
        let latent = latent.expect("a schedule has at least two scales");
        Ok(to_pixels(self.decode_latent(latent, &mut ())))
    }

    /// Images `[batch, 3, h, w]` in [-1, 1] to the latent `[batch, Z, h / f, w / f]` in 32 bits.
    pub fn encode_latent(&self, images: Tensor<B, 4>, tap: &mut dyn Tap) -> Tensor<B, 4> {
        let encoded = self.encoder.forward(images, tap);
        tap.record("encoder.output", &|| encoded.to_data());
        self.before_quantizer.forward(encoded).cast(DType::F32)
    }

    /// A latent `[batch, Z, H, W]` to images `[batch, 3, f·H, f·W]` in 32 bits, not yet clamped to
    /// [-1, 1].
    pub fn decode_latent(&self, latent: Tensor<B, 4>, tap: &mut dyn Tap) -> Tensor<B, 4> {
        self.decode_with_features(latent, tap).0
    }

    /// [`Self::decode_latent`] in strips of `rows` rows of the latent (0 counts as 1). The result is
    /// the same up to rounding; of the large maps at the finest level, which are what decoding
    /// needs memory for, two are held and not five.
    pub fn decode_latent_in_strips(&self, latent: Tensor<B, 4>, rows: usize) -> Tensor<B, 4> {
        let x = self.after_quantizer.forward(latent);
        self.decoder.forward_in_strips(x, rows).cast(DType::F32)
    }

    /// As [`Self::decode_latent`], and the features that the decoder's last layer made it from.
    pub(crate) fn decode_with_features(
        &self,
        latent: Tensor<B, 4>,
        tap: &mut dyn Tap,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let x = self.after_quantizer.forward(latent);
        tap.record("decoder.latent", &|| x.to_data());
        let (images, features) = self.decoder.forward_with_features(x, tap);
        (images.cast(DType::F32), features)
    }

    /// The last layer of the decoder: features to pixels.
    pub fn last_layer(&self) -> &Convolution<B> {
        self.decoder.last_layer()
    }

    pub(crate) fn check_images(&self, images: &Tensor<B, 4>) -> Result<()> {
        let [batch, channels, height, width] = images.dims();
        let size = self.image_size();
        if batch > 0 && channels == 3 && Grid::new(height, width) == size {
            return Ok(());
        }
        let expected = format!("[batch, 3, {}, {}]", size.rows, size.columns);
        Err(Error::shape("the shape of the images", &images.dims(), expected))
    }

    fn check_indices(&self, indices: &[Tensor<B, 2, Int>]) -> Result<()> {
        let scales = self.quantizer.scales();
        let tokens = indices.iter().map(|indices| indices.dims());
        let fits = tokens.clone().enumerate().all(|(scale, [batch, tokens])| {
            scale < scales.count()
                && tokens == scales.tokens(scale)
                && batch == indices[0].dims()[0]
        });
        if fits && indices.len() == scales.count() {
            return Ok(());
        }
        let found: Vec<_> = tokens.collect();
        let expected: Vec<usize> = (0..scales.count()).map(|scale| scales.tokens(scale)).collect();
        let expected = format!("[batch, tokens] of {expected:?} tokens");
        Err(Error::invalid("the shapes of the indices", format!("{found:?}"), expected))
    }

    fn check_residual(&self, tokens: &HybridTokens<B>) -> Result<()> {
        let cells = self.quantizer.scales().latent().cells();
        let [_, channels] = self.quantizer.codebook_shape();
        let expected = [tokens.indices[0].dims()[0], cells, channels];
        if tokens.residual.dims() == expected {
            return Ok(());
        }
        let found = tokens.residual.dims();
        Err(Error::shape("the shape of the residual", &found, format!("{expected:?}")))
    }
}

impl<B: HartBackend> Prepare for HybridTokenizer<B> {
    /// Quantizer and encoder stay as they are: images are made by the decoder.
    fn prepare(&mut self, precision: Precision) {
        self.after_quantizer.prepare(precision);
        self.decoder.prepare(precision);
    }
}

/// What the decoder gives, clamped to [-1, 1] and moved to [0, 1].
pub fn to_pixels<B: Backend>(decoded: Tensor<B, 4>) -> Tensor<B, 4> {
    (decoded.clamp(-1.0, 1.0) + 1.0) / 2.0
}
