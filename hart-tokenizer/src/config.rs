//! `tokenizer/config.json`: the hybrid tokenizer.

use std::path::Path;

use hart_core::config::ConfigReader;
use hart_core::{Grid, Result, ScaleSchedule};

/// What the last scale of the quantizer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuantizerKind {
    /// Every scale is discrete (`quantizer_type` "var").
    Discrete,
    /// The last scale keeps a continuous residual (`quantizer_type` "var_hybrid").
    Hybrid,
}

/// How the convolutions after each scale are shared (`share_quant_resi`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedConvolutions {
    /// One for all scales (1).
    One,
    /// A list of this many, as a rule one a scale (0, with `default_qresi_counts`).
    List(usize),
    /// This many shared ones, the nearest in position is used (4 in the release).
    Partly(usize),
}

/// The configuration of the tokenizer, read from `tokenizer/config.json`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AutoencoderConfig {
    /// Codebook entries, V (`vocab_size`).
    pub codebook_size: usize,
    /// Latent channels, Z (`z_channels`).
    pub latent_channels: usize,
    /// Channels of the first level (`ch`).
    pub base_channels: usize,
    /// Channels of each level over `base_channels` (`ch_mult`).
    pub channel_multipliers: Vec<usize>,
    /// Groups of every GroupNorm (`norm_groups`, a key of ours: the release always has 32).
    pub norm_groups: usize,
    /// Dropout in the residual blocks (`dropout`), used in training.
    pub dropout: f64,
    /// Weight of the commitment term of the quantizer's loss (`beta`).
    pub commitment: f64,
    /// Whether codes are matched by cosine instead of distance (`using_znorm`).
    pub cosine_codes: bool,
    /// Side of the convolutions around the quantizer (`quant_conv_ks`).
    pub quantizer_kernel: usize,
    /// Weight of the convolution after each scale, |r| of section 2.1 (`quant_resi`).
    pub convolution_weight: f64,
    /// How those convolutions are shared (`share_quant_resi`).
    pub shared_convolutions: SharedConvolutions,
    /// The maps of the scales (`v_patch_nums`).
    pub scales: ScaleSchedule,
    /// Discrete or hybrid (`quantizer_type`).
    pub quantizer: QuantizerKind,
}

impl SharedConvolutions {
    /// How many convolutions there are.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::List(count) | Self::Partly(count) => count,
        }
    }
}

impl AutoencoderConfig {
    /// Reads `tokenizer/config.json`.
    ///
    /// # Errors
    /// [`hart_core::Error::Io`], [`hart_core::Error::Malformed`] or [`hart_core::Error::Config`], each naming
    /// the file, and the last the key, what was found and what is supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(&ConfigReader::open(path)?)
    }

    /// Reads the keys of an open configuration; errors as for [`Self::open`].
    pub fn read(file: &ConfigReader) -> Result<Self> {
        let model_types = [("hart_autoencoder_with_disc", ()), ("hart_autoencoder", ())];
        file.choice("model_type", "hart_autoencoder_with_disc", &model_types)?;
        if file.flag("double_decoder", false)? {
            return Err(file.refuse("double_decoder", "false: a second decoder is not supported"));
        }
        let quantizers = [("var", QuantizerKind::Discrete), ("var_hybrid", QuantizerKind::Hybrid)];
        let config = Self {
            codebook_size: file.integer("vocab_size", 4096, 2..=1 << 20)?,
            latent_channels: file.integer("z_channels", 32, 1..=4096)?,
            base_channels: file.integer("ch", 160, 1..=1 << 14)?,
            channel_multipliers: file.integers("ch_mult", &[1, 1, 2, 2, 4], 1..=64)?,
            norm_groups: file.integer("norm_groups", 32, 1..=1024)?,
            dropout: file.number("dropout", 0.0, 0.0..=1.0)?,
            commitment: file.number("beta", 0.25, 0.0..=1e3)?,
            cosine_codes: file.flag("using_znorm", false)?,
            quantizer_kernel: file.integer("quant_conv_ks", 3, 1..=15)?,
            convolution_weight: file.number("quant_resi", 0.5, -1e3..=1e3)?.abs(),
            shared_convolutions: shared_convolutions(file)?,
            scales: ScaleSchedule::read(file, "v_patch_nums")?,
            quantizer: file.choice("quantizer_type", "var", &quantizers)?,
        };
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &ConfigReader) -> Result<()> {
        if !self.base_channels.is_multiple_of(self.norm_groups) {
            let expected = format!("a multiple of {}, the groups of GroupNorm", self.norm_groups);
            return Err(file.refuse("ch", expected));
        }
        if self.quantizer_kernel.is_multiple_of(2) {
            return Err(file.refuse("quant_conv_ks", "an odd number"));
        }
        if self.channel_multipliers.len() > 8 {
            return Err(file.refuse("ch_mult", "at most 8 levels"));
        }
        Ok(())
    }

    /// Pixels a latent cell covers along each axis.
    pub fn downsampling(&self) -> usize {
        1 << (self.channel_multipliers.len() - 1)
    }

    /// The size of the images the tokenizer is made for, in pixels.
    pub fn image_size(&self) -> Grid {
        self.scales.latent().times(self.downsampling())
    }
}

fn shared_convolutions(file: &ConfigReader) -> Result<SharedConvolutions> {
    let listed = file.integer("default_qresi_counts", 0, 0..=1024)?;
    Ok(match file.integer("share_quant_resi", 4, 0..=1024)? {
        0 if listed == 0 => {
            SharedConvolutions::List(ScaleSchedule::read(file, "v_patch_nums")?.count())
        }
        0 => SharedConvolutions::List(listed),
        1 => SharedConvolutions::One,
        count => SharedConvolutions::Partly(count),
    })
}
