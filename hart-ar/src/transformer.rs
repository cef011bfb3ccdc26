//! The transformer with its weights.

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use hart_core::checkpoint::{Checkpoint, LoadOptions, check, load_part, load_parts};
use hart_core::initialize::{Start, initialize};
use hart_core::nn::{Linear, Prepare, RmsNorm, RmsNormConfig};
use hart_core::{Error, HartBackend, Precision, Result, ScaleSchedule};

use crate::block::Block;
use crate::config::{ModulationKind, TransformerConfig};
use crate::embedding::{ContextEmbedding, LevelEmbedding};
use crate::head::Head;
use crate::names::NAMES;
use crate::rotary::{axis_angles, extent, visual_angles};

/// The sizes that a transformer takes from its tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformerSize {
    /// Codebook entries V.
    pub codebook_size: usize,
    /// Latent channels Z.
    pub latent_channels: usize,
}

/// The transformer over scales.
#[derive(Module, Debug)]
pub struct Transformer<B: Backend> {
    /// Embeds the text context.
    pub context: ContextEmbedding<B>,
    /// Embeds the image so far.
    pub words: Linear<B>,
    /// Tells scales apart.
    pub levels: LevelEmbedding<B>,
    /// The blocks, in order.
    pub blocks: Vec<Block<B>>,
    /// Vocabulary logits.
    pub head: Head<B>,
    /// Normalises the condition of the residual diffusion.
    residual_norm: RmsNorm<B>,
    #[module(skip)]
    config: TransformerConfig,
    /// Those of the configuration, or of another shape.
    #[module(skip)]
    scales: ScaleSchedule,
}

impl<B: Backend> Transformer<B> {
    /// A transformer of the configured sizes; no weight is made before it is used.
    pub fn init(config: &TransformerConfig, size: TransformerSize, device: &B::Device) -> Self {
        let width = config.width;
        Self {
            context: ContextEmbedding::init(config, device),
            words: Linear::init(size.latent_channels, width, device),
            levels: LevelEmbedding::init(config, device),
            blocks: (0..config.depth).map(|_| Block::init(config, device)).collect(),
            head: Head::init(config, size.codebook_size, device),
            residual_norm: RmsNormConfig::new(width).with_epsilon(config.norm_epsilon).init(device),
            config: config.clone(),
            scales: config.scales.clone(),
        }
    }

    /// The same transformer with fresh weights that follow from a seed: matrices truncated normal
    /// with deviation 0.02; those that end a residual branch divided by √(2·depth), that of the
    /// vocabulary and of modulations smaller still, gates of blocks all but closed, biases zero
    /// (section 6).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the transformer is prepared.
    pub fn initialize(self, seed: u64) -> Result<Self> {
        let branch = 0.02 / (2.0 * self.blocks.len() as f64).sqrt();
        let mut model = initialize(self, seed, &|path, shape| match path {
            _ if path.ends_with("bias") => Start::Constant(0.0),
            _ if shape.len() != 2 => Start::AsMade,
            _ if path.ends_with("modulation.table") => Start::Normal((shape[1] as f64).powf(-0.5)),
            "head.output.weight" => Start::TruncatedNormal(0.02 * 0.02),
            _ if path.contains("modulation") => Start::TruncatedNormal(0.02 * 0.5),
            _ if path.starts_with("blocks") && is_branch_end(path) => {
                Start::TruncatedNormal(branch)
            }
            _ => Start::TruncatedNormal(0.02),
        })?;
        for block in &mut model.blocks {
            block.modulation = block.modulation.clone().scale_gates(1e-5 / 0.5)?;
        }
        Ok(model)
    }

    /// The configuration it was made from.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The scale schedule that images are made at.
    pub fn scales(&self) -> &ScaleSchedule {
        &self.scales
    }

    /// The same transformer, its weights shared, for latents of another shape than it was trained
    /// with.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another number of scales.
    pub fn with_scales(&self, scales: ScaleSchedule) -> Result<Self> {
        if scales.count() != self.scales.count() {
            let expected = format!("{}, those of the model", self.scales.count());
            return Err(Error::invalid("the number of scales", scales.count(), expected));
        }
        Ok(Self { scales, ..self.clone() })
    }

    /// The angles of some tokens of a scale, `[tokens, head width]` row by row, when the position
    /// of the last context token is `offset`.
    pub(crate) fn rotations(&self, scale: usize, cells: &[usize], offset: i64) -> Vec<f32> {
        let extent = extent(self.scales.latent(), self.config.scales.latent());
        let grid = self.scales.grid(scale);
        visual_angles(cells, grid, extent, offset, self.config.head_width())
    }

    /// The angles of all rows and of all columns of a scale, `[rows or columns, head width / 2]` each: the
    /// halves of [`Self::rotations`].
    pub(crate) fn axis_rotations(&self, scale: usize, offset: i64) -> [Vec<f32>; 2] {
        let [rows, columns] = extent(self.scales.latent(), self.config.scales.latent());
        let grid = self.scales.grid(scale);
        let width = self.config.head_width();
        [
            axis_angles(grid.rows, rows, offset, width),
            axis_angles(grid.columns, columns, offset, width),
        ]
    }

    /// How its blocks are modulated.
    pub fn modulation(&self) -> ModulationKind {
        self.config.modulation
    }
}

impl<B: HartBackend> Transformer<B> {
    /// A transformer with the weights of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Weights`] when the checkpoint does not fit the configuration.
    pub fn from_checkpoint(
        config: &TransformerConfig,
        size: TransformerSize,
        checkpoint: &Checkpoint,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let mut transformer = Self::init(config, size, device);
        check(&transformer, checkpoint, &NAMES)?;
        let blocks = std::mem::take(&mut transformer.blocks);
        let blocks = load_parts(blocks, "blocks", checkpoint, &NAMES, options)?;
        let rest = load_part(transformer, "", checkpoint, &NAMES, options)?;
        Ok(Self { blocks, ..options.finish(rest) })
    }

    /// The condition of the residual diffusion, `[rows, tokens, C]`: the normalised sum of the last
    /// block's output `[rows, tokens, C]` and the embedded codes `[batch, tokens, Z]` of the chosen
    /// indices. Under guidance there are twice as many rows as images, and both halves get the same
    /// codes (section 4.5).
    pub fn residual_condition(&self, hidden: Tensor<B, 3>, codes: Tensor<B, 3>) -> Tensor<B, 3> {
        let halves = hidden.dims()[0] / codes.dims()[0];
        let embedded = self.words.forward(codes);
        let embedded = if halves > 1 { embedded.repeat_dim(0, halves) } else { embedded };
        let embedded = embedded.cast(hidden.dtype());
        self.residual_norm.forward(hidden + embedded)
    }
}

impl<B: HartBackend> Prepare for Transformer<B> {
    fn prepare(&mut self, precision: Precision) {
        self.context.prepare(precision);
        self.words.prepare(Precision::F32);
        self.blocks.prepare(precision);
        self.head.prepare(precision);
    }
}

/// Whether a block's matrix is the last one of its attention or feed-forward part.
fn is_branch_end(path: &str) -> bool {
    path.ends_with("output.weight") || path.ends_with("down.weight")
}
