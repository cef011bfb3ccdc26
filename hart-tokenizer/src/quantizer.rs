//! The multi-scale residual quantizer (section 2.1).

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Int, Tensor, backend::Backend};
use hart_core::nn::Convolution;
use hart_core::ops::{swap_neighbours_apart, unit_length};
use hart_core::{Error, Grid, HartBackend, Result, ScaleSchedule};

use crate::blocks::same_convolution;
use crate::config::{AutoencoderConfig, SharedConvolutions};
use crate::resize::Resize;

/// The most distances that are held at once, in elements.
const DISTANCES: usize = 1 << 26;

/// A latent as tokens: what the transformer and the diffusion head predict.
#[derive(Debug, Clone)]
pub struct HybridTokens<B: Backend> {
    /// For each scale the indices of its tokens, `[batch, tokens]` row by row.
    pub indices: Vec<Tensor<B, 2, Int>>,
    /// What the discrete tokens of all scales but the last leave over, `[batch, tokens, Z]`. The
    /// last scale's indices are its nearest codes; diffusion predicts what those leave.
    pub residual: Tensor<B, 3>,
}

/// The codebook and the convolutions after each scale; always in 32 bits.
#[derive(Module, Debug)]
pub struct Quantizer<B: Backend> {
    /// The codes, `[V, Z]`.
    pub codebook: Param<Tensor<B, 2>>,
    /// The learned part of `phi`, shared by several scales.
    pub convolutions: Vec<Convolution<B>>,
    /// Which convolution each scale uses.
    #[module(skip)]
    selection: Vec<usize>,
    #[module(skip)]
    scales: ScaleSchedule,
    /// Weight of the convolution in `phi`.
    convolution_weight: f64,
    cosine: bool,
}

impl<B: Backend> Quantizer<B> {
    /// A quantizer of the configured sizes; codes uniform in ±1/V.
    pub fn init(config: &AutoencoderConfig, device: &B::Device) -> Self {
        let bound = 1.0 / config.codebook_size as f64;
        let shape = [config.codebook_size, config.latent_channels];
        let channels = config.latent_channels;
        // Without weight there is nothing to learn: phi is the identity then.
        let has_weight = config.convolution_weight > 1e-6;
        let count = if has_weight { config.shared_convolutions.count() } else { 0 };
        Self {
            codebook: Initializer::Uniform { min: -bound, max: bound }.init(shape, device),
            convolutions: (0..count)
                .map(|_| same_convolution(channels, channels, 3, device))
                .collect(),
            selection: select_convolutions(config.shared_convolutions, config.scales.count()),
            scales: config.scales.clone(),
            convolution_weight: config.convolution_weight,
            cosine: config.cosine_codes,
        }
    }

    /// The scale schedule.
    pub fn scales(&self) -> &ScaleSchedule {
        &self.scales
    }

    /// The same quantizer, its weights shared, for latents of another shape.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another number of scales: which convolution a scale uses depends on
    /// it.
    pub fn with_scales(&self, scales: ScaleSchedule) -> Result<Self> {
        if scales.count() != self.scales.count() {
            let expected = format!("{}, those of the model", self.scales.count());
            return Err(Error::invalid("the number of scales", scales.count(), expected));
        }
        Ok(Self { scales, ..self.clone() })
    }

    /// Codebook entries V and channels Z.
    pub fn codebook_shape(&self) -> [usize; 2] {
        self.codebook.lazy_shape().dims()
    }
}

impl<B: Backend> Quantizer<B> {
    /// The same quantizer of latents that are `factor` times as large.
    ///
    /// # Errors
    /// [`Error::Invalid`] when its convolutions are prepared.
    pub(crate) fn scale_codes(mut self, factor: f64) -> Result<Self> {
        self.codebook = self.codebook.map(|codes| codes * factor);
        let convolutions = std::mem::take(&mut self.convolutions).into_iter();
        let scaled = convolutions.map(|layer| layer.scale(1.0, factor));
        self.convolutions = scaled.collect::<Result<_>>()?;
        Ok(self)
    }
}

impl<B: HartBackend> Quantizer<B> {
    /// The codes of `indices` `[batch, tokens]`: `[batch, tokens, Z]`.
    pub fn embed(&self, indices: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let [batch, tokens] = indices.dims();
        let rows = self.codebook.val().select(0, indices.reshape([batch * tokens]));
        let channels = rows.dims()[1];
        rows.reshape([batch, tokens, channels])
    }

    /// What scale `scale` adds to the latent: its tokens `[batch, tokens, Z]` as a map, resized by
    /// bicubic interpolation to `[batch, Z, H, W]` and passed through `phi`.
    pub fn contribution(&self, scale: usize, tokens: Tensor<B, 3>) -> Tensor<B, 4> {
        let grid = self.scales.grid(scale);
        let map = to_map(tokens, grid);
        let resize = Resize::bicubic(grid, self.scales.latent(), &map.device());
        self.phi(scale, resize.apply(map))
    }

    /// The input of scale `scale`: the latent `[batch, Z, H, W]` so far, resized by area averaging
    /// to `[batch, Z, rows, columns]`.
    pub fn scale_input(&self, scale: usize, latent: Tensor<B, 4>) -> Tensor<B, 4> {
        let (from, to) = (self.scales.latent(), self.scales.grid(scale));
        Resize::area(from, to, &latent.device()).apply(latent)
    }

    /// `phi_k(h) = (1 - r)·h + r·convolution(h)`.
    fn phi(&self, scale: usize, h: Tensor<B, 4>) -> Tensor<B, 4> {
        if self.convolutions.is_empty() {
            return h;
        }
        let learned = self.convolutions[self.selection[scale]].forward(h.clone());
        h * (1.0 - self.convolution_weight) + learned * self.convolution_weight
    }

    /// Splits a latent `[batch, Z, H, W]` into the tokens of all scales and the residual.
    pub fn encode(&self, latent: Tensor<B, 4>) -> HybridTokens<B> {
        let mut rest = latent;
        let mut indices = vec![];
        let last = self.scales.last();
        for scale in 0..last {
            let nearest = self.nearest(to_tokens(self.scale_input(scale, rest.clone())));
            rest = rest - self.contribution(scale, self.embed(nearest.clone()));
            indices.push(nearest);
        }
        let residual = to_tokens(rest);
        indices.push(self.nearest(residual.clone()));
        HybridTokens { indices, residual }
    }

    /// The latent after each scale from discrete tokens alone, `phi` applied at every scale, the
    /// last included (the discrete-only quantizer); `[batch, Z, H, W]` each, the last complete.
    pub fn discrete_latents(&self, indices: &[Tensor<B, 2, Int>]) -> Vec<Tensor<B, 4>> {
        let mut latents: Vec<Tensor<B, 4>> = vec![];
        for (scale, indices) in indices.iter().enumerate() {
            let contribution = self.contribution(scale, self.embed(indices.clone()));
            latents.push(match latents.last() {
                Some(latent) => latent.clone() + contribution,
                None => contribution,
            });
        }
        latents
    }

    /// The latent of hybrid tokens: the discrete sum of all scales but the last, and the residual.
    pub fn latent(&self, tokens: &HybridTokens<B>) -> Tensor<B, 4> {
        let residual = to_map(tokens.residual.clone(), self.scales.latent());
        let mut latents = self.discrete_latents(&tokens.indices[..self.scales.last()]);
        match latents.pop() {
            Some(latent) => latent + residual,
            None => residual,
        }
    }

    /// The transformer's inputs in training: for the indices of scales 0 … S-2 the inputs of scales
    /// 1 … S-1, concatenated: `[batch, total tokens - 1, Z]` (section 2.1, teacher forcing).
    pub fn teacher_forcing(&self, indices: &[Tensor<B, 2, Int>]) -> Tensor<B, 3> {
        let latents = self.discrete_latents(&indices[..self.scales.last()]);
        let inputs = latents.into_iter().enumerate();
        let inputs = inputs.map(|(scale, latent)| to_tokens(self.scale_input(scale + 1, latent)));
        Tensor::cat(inputs.collect(), 1)
    }

    /// The nearest code of every vector of `[batch, tokens, Z]`, the first on a tie:
    /// `[batch, tokens]`.
    pub fn nearest(&self, vectors: Tensor<B, 3>) -> Tensor<B, 2, Int> {
        let [batch, tokens, channels] = vectors.dims();
        let [entries, _] = self.codebook_shape();
        let vectors = vectors.cast(DType::F32).reshape([batch * tokens, channels]);
        let rows = (DISTANCES / entries).max(1);
        let starts = (0..batch * tokens).step_by(rows);
        let parts = starts.map(|start| {
            let length = rows.min(batch * tokens - start);
            self.nearest_rows(vectors.clone().narrow(0, start, length))
        });
        Tensor::cat(parts.collect(), 0).reshape([batch, tokens])
    }

    fn nearest_rows(&self, vectors: Tensor<B, 2>) -> Tensor<B, 1, Int> {
        let codes = self.codebook.val().detach();
        let distances = if self.cosine {
            unit_length(vectors).matmul(unit_length(codes).transpose()).neg()
        } else {
            let squares = vectors.clone().square().sum_dim(1);
            let code_squares = codes.clone().square().sum_dim(1).transpose();
            squares + code_squares - vectors.matmul(codes.transpose()) * 2.0
        };
        let rows = distances.dims()[0];
        distances.argmin(1).reshape([rows])
    }
}

/// Tokens `[batch, rows · columns, Z]` as a map `[batch, Z, rows, columns]`.
pub fn to_map<B: Backend>(tokens: Tensor<B, 3>, grid: Grid) -> Tensor<B, 4> {
    let [batch, _, channels] = tokens.dims();
    swap_neighbours_apart(tokens, 1).reshape([batch, channels, grid.rows, grid.columns])
}

/// A map `[batch, Z, rows, columns]` as tokens `[batch, rows · columns, Z]`, row by row.
pub fn to_tokens<B: Backend>(map: Tensor<B, 4>) -> Tensor<B, 3> {
    let [batch, channels, height, width] = map.dims();
    swap_neighbours_apart(map.reshape([batch, channels, height * width]), 1)
}

/// Which of the convolutions each of `scales` scales uses: the one whose tick is nearest to
/// `k / (S - 1)`, the first on a tie, in double precision (section 2.1).
pub fn select_convolutions(shared: SharedConvolutions, scales: usize) -> Vec<usize> {
    let count = shared.count();
    let first = if count == 4 { 1.0 / 3.0 / 4.0 } else { 1.0 / 2.0 / count as f64 };
    let last = 1.0 - first;
    let tick = |i: usize| match count {
        1 => first,
        _ if i == count - 1 => last,
        _ => first + i as f64 * ((last - first) / (count - 1) as f64),
    };
    let nearest = |at: f64| {
        let ticks = (0..count).map(|i| (i, (tick(i) - at).abs()));
        ticks.reduce(|best, next| if next.1 < best.1 { next } else { best }).map_or(0, |(i, _)| i)
    };
    (0..scales).map(|scale| nearest(scale as f64 / (scales - 1) as f64)).collect()
}
