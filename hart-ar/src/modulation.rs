//! How the prompt modulates a block (section 4.2).

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::nn::Linear;
use hart_core::{HartBackend, Result};

use crate::config::{ModulationKind, PoolingKind, TransformerConfig};

/// The learned part of a block's modulation: a table, a linear layer, or neither.
#[derive(Module, Debug)]
pub struct Modulation<B: Backend> {
    /// `[6, C]`, added to the pooled context.
    table: Option<Param<Tensor<B, 2>>>,
    /// From the pooled context to 6·C.
    linear: Option<Linear<B>>,
}

/// The six factors and shifts of a block, `[batch, 1, C]` each in 32 bits.
#[derive(Debug, Clone)]
pub struct ModulationValues<B: Backend> {
    /// Factors of the attention's and the feed-forward part's result.
    pub gates: [Tensor<B, 3>; 2],
    /// One less than the factors of the normalised inputs.
    pub scales: [Tensor<B, 3>; 2],
    /// Added to the normalised inputs.
    pub shifts: [Tensor<B, 3>; 2],
}

impl<B: Backend> Modulation<B> {
    /// Parameters of the configured kind.
    pub fn init(config: &TransformerConfig, device: &B::Device) -> Self {
        let width = config.width;
        let table = Initializer::Normal { mean: 0.0, std: (width as f64).powf(-0.5) };
        Self {
            table: (config.modulation == ModulationKind::Shared)
                .then(|| table.init([6, width], device)),
            linear: matches!(config.modulation, ModulationKind::PerBlock(_))
                .then(|| Linear::init(width, 6 * width, device)),
        }
    }
}

impl<B: Backend> Modulation<B> {
    /// Multiplies the part of a linear layer's weights that makes the gates.
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) when the layer is prepared.
    pub(crate) fn scale_gates(self, factor: f64) -> Result<Self> {
        let scale = |weight: Tensor<B, 2>| {
            let [input, output] = weight.dims();
            let gates = weight.clone().narrow(1, 0, output / 3) * factor;
            weight.slice_assign([0..input, 0..output / 3], gates)
        };
        let linear = self.linear.map(|layer| layer.map_weight(scale)).transpose()?;
        Ok(Self { linear, ..self })
    }
}

impl<B: HartBackend> Modulation<B> {
    /// The values for a pooled context `[batch, C]`, or `None` for a block without modulation.
    pub fn values(&self, pooled: Tensor<B, 2>) -> Option<ModulationValues<B>> {
        let [batch, width] = pooled.dims();
        let all = match (&self.table, &self.linear) {
            (Some(table), _) => table.val().unsqueeze::<3>() + pooled.unsqueeze_dim(1),
            (None, Some(layer)) => {
                layer.forward(B::silu(pooled)).cast(DType::F32).reshape([batch, 6, width])
            }
            (None, None) => return None,
        };
        let part = |i| all.clone().narrow(1, i, 1);
        Some(ModulationValues {
            gates: [part(0), part(1)],
            scales: [part(2), part(3)],
            shifts: [part(4), part(5)],
        })
    }
}

impl<B: Backend> ModulationValues<B> {
    /// Some of the batch rows.
    pub fn rows(&self, start: usize, length: usize) -> Self {
        let rows =
            |parts: &[Tensor<B, 3>; 2]| parts.clone().map(|part| part.narrow(0, start, length));
        Self { gates: rows(&self.gates), scales: rows(&self.scales), shifts: rows(&self.shifts) }
    }
}

/// The pooled context `[batch, C]` in 32 bits that modulation starts from: of the embedded context
/// `[batch, T, C]` the mean over the valid tokens, or the largest value over all of them.
pub fn pool_context<B: Backend>(
    kind: ModulationKind,
    context: Tensor<B, 3>,
    valid: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let context = context.cast(DType::F32);
    match kind {
        ModulationKind::PerBlock(PoolingKind::Max) => pool_max(context),
        _ => {
            let weights = valid.unsqueeze_dim::<3>(2);
            let count = weights.clone().sum_dim(1).clamp_min(1.0);
            ((context * weights).sum_dim(1) / count).squeeze_dim(1)
        }
    }
}

/// The largest value over all tokens, pads included: `[batch, C]` in 32 bits.
pub fn pool_max<B: Backend>(context: Tensor<B, 3>) -> Tensor<B, 2> {
    context.cast(DType::F32).max_dim(1).squeeze_dim(1)
}
