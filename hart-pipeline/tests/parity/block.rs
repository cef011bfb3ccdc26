//! One block with and without a cache, under the mask of training, and with a scale to clamp.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use hart_ar::block::{Block, BlockStep};
use hart_ar::cache::{Keep, LayerCache};
use hart_ar::modulation::{ModulationValues, pool_context};
use hart_ar::rotary::visual_angles;
use hart_ar::{Transformer, TransformerConfig};
use hart_core::HartBackend;
use hart_core::nn::context_angles;
use hart_core::ops::Angles;
use hart_pipeline::{ModelCheckpoints, ModelConfig, TransformerWeights};
use libtest_mimic::Failed;

use crate::kinds::{CACHE, ONE_BLOCK};
use crate::models::model_folders;
use crate::trace::Trace;

/// What all cases share.
struct Inputs<B: HartBackend> {
    config: TransformerConfig,
    x: Tensor<B, 3>,
    modulation: Option<ModulationValues<B>>,
    positions: Vec<Vec<i64>>,
    device: B::Device,
}

/// `trace_block`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let (config, block) = block::<B>(trace, device)?;
    let inputs = Inputs::new(trace, config, &block, device)?;
    compare_masked(trace, &inputs, &block, "plain");
    compare_cached(trace, &inputs, &block, "plain");
    // A scale of normalised queries beyond its bound; recorded for models that have one.
    if let Some(scale) = trace.optional("clamp.log_scale") {
        let mut clamped = block.clone();
        let scale: Tensor<B, 4> = scale.tensor(device);
        clamped.attention.log_scale = Some(Param::from_tensor(scale));
        compare_masked(trace, &inputs, &clamped, "clamp");
        compare_cached(trace, &inputs, &clamped, "clamp");
    }

    let context = inputs.config.context_tokens;
    let first =
        inputs.forward(&block, 0, (0..context).collect(), &mut LayerCache::new(0), Keep::No);
    trace.close(&ONE_BLOCK, "uncached", first.to_data());
    compare_partial(trace, &inputs, &block);
    Ok(())
}

/// The block of the model whose sizes fit the recorded tensors.
fn block<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> Result<(TransformerConfig, Block<B>), Failed> {
    let index = trace.json["block_index"].as_u64().ok_or("no block_index")? as usize;
    let [_, tokens, width] = trace.input("input")?.shape[..] else {
        return Err("an input of another rank".into());
    };
    for folder in model_folders(&trace.folder) {
        let config = ModelConfig::open(&folder)?;
        let transformer = &config.transformer;
        let total = transformer.context_tokens + transformer.scales.total_tokens() - 1;
        if total == tokens && transformer.width == width && transformer.depth > index {
            let files = ModelCheckpoints::open(&folder, TransformerWeights::Ema)?;
            let (size, options) = (config.transformer_size(), trace.options);
            let model = Transformer::<B>::from_checkpoint(
                transformer,
                size,
                &files.transformer,
                options,
                device,
            )?;
            return Ok((config.transformer, model.blocks[index].clone()));
        }
    }
    Err("no model of the folder has the recorded sizes".into())
}

impl<B: HartBackend> Inputs<B> {
    fn new(
        trace: &Trace,
        config: TransformerConfig,
        block: &Block<B>,
        device: &B::Device,
    ) -> Result<Self, Failed> {
        let context: Tensor<B, 3> = trace.input("context")?.tensor(device);
        let valid: Tensor<B, 2> = trace.input("text.mask")?.tensor(device);
        let pooled = pool_context(config.modulation, context, valid);
        Ok(Self {
            x: trace.input("input")?.tensor(device),
            modulation: block.modulation.values(pooled),
            positions: trace.input("text.positions")?.rows(),
            device: device.clone(),
            config,
        })
    }

    /// Where the tokens of a step begin in `x`, and how many there are; step 0 is the context.
    fn span(&self, step: usize) -> (usize, usize) {
        let context = self.config.context_tokens;
        let tokens = |step| if step == 0 { context } else { self.config.scales.tokens(step) };
        ((0..step).map(tokens).sum(), tokens(step))
    }

    /// The angles of some tokens of a step.
    fn angles(&self, step: usize, cells: &[Vec<usize>]) -> Vec<Vec<f32>> {
        let width = self.config.head_width();
        let scales = &self.config.scales;
        let rows = self.positions.iter().zip(cells);
        rows.map(|(positions, cells)| match step {
            0 => context_angles(positions, width, 10_000.0),
            _ => {
                let offset = *positions.last().expect("a context");
                let latent = scales.latent();
                let extent = [latent.rows as f32, latent.columns as f32];
                visual_angles(cells, scales.grid(step), extent, offset, width)
            }
        })
        .collect()
    }

    fn tensor(&self, angles: Vec<Vec<f32>>) -> Angles<B> {
        let width = self.config.head_width();
        let shape = [angles.len(), angles[0].len() / width, width];
        Angles::new(&angles.concat(), shape, &self.device)
    }

    /// The block on some tokens of one step, the same for every row.
    fn forward(
        &self,
        block: &Block<B>,
        step: usize,
        cells: Vec<usize>,
        cache: &mut LayerCache<B>,
        keep: Keep,
    ) -> Tensor<B, 3> {
        let (start, length) = self.span(step);
        let x = self.x.clone().narrow(1, start, length);
        let angles = self.tensor(self.angles(step, &vec![cells; self.positions.len()]));
        let caches = std::slice::from_mut(cache);
        let modulation = self.modulation.as_ref();
        block.forward(x, BlockStep { modulation, angles: &angles, caches, keep }, &mut ())
    }
}

/// All steps at once under the block-wise causal mask.
fn compare_masked<B: HartBackend>(trace: &Trace, inputs: &Inputs<B>, block: &Block<B>, case: &str) {
    let steps = inputs.config.scales.count();
    let rows = inputs.positions.len();
    let mut angles = vec![vec![]; rows];
    let mut levels = vec![];
    for step in 0..steps {
        let (_, length) = inputs.span(step);
        let cells = vec![(0..length).collect::<Vec<_>>(); rows];
        for (all, of_step) in angles.iter_mut().zip(inputs.angles(step, &cells)) {
            all.extend(of_step);
        }
        levels.extend(std::iter::repeat_n(step, length));
    }
    let visible = levels.iter().flat_map(|query| levels.iter().map(move |key| key <= query));
    let mask: Vec<f32> = visible.map(|visible| if visible { 0.0 } else { -1e9 }).collect();
    let mask = TensorData::new(mask, [1, 1, levels.len(), levels.len()]);
    let mask = Tensor::from_data(mask, &inputs.device);
    let found = block.forward_masked(
        inputs.x.clone(),
        inputs.modulation.as_ref(),
        &inputs.tensor(angles),
        Some(mask),
    );
    trace.close(&ONE_BLOCK, &format!("{case}.masked"), found.to_data());
}

/// The recorded steps one after another with a cache.
fn compare_cached<B: HartBackend>(trace: &Trace, inputs: &Inputs<B>, block: &Block<B>, case: &str) {
    let name = |step: usize| format!("{case}.cached.{step}");
    let steps = (0..).take_while(|&step| trace.about(&name(step)).is_some()).count();
    let capacity = (0..steps).map(|step| inputs.span(step).1).sum();
    let mut cache = LayerCache::new(capacity);
    for step in 0..steps {
        let cells = (0..inputs.span(step).1).collect();
        let found = inputs.forward(block, step, cells, &mut cache, Keep::Yes);
        trace.close(&ONE_BLOCK, &name(step), found.to_data());
    }
    let Some((keys, values)) = cache.kept() else { return };
    trace.close(&CACHE, &format!("{case}.keys"), keys.to_data());
    trace.close(&CACHE, &format!("{case}.values"), values.to_data());
}

/// Some tokens of the last scale, different ones for each row, attending to themselves.
fn compare_partial<B: HartBackend>(trace: &Trace, inputs: &Inputs<B>, block: &Block<B>) {
    let Some(positions) = trace.optional("partial.positions") else { return };
    let cells = positions.position_rows();
    let last = inputs.config.scales.last();
    let (start, _) = inputs.span(last);
    let rows = cells.iter().enumerate().map(|(row, cells)| {
        let cells: Vec<i64> = cells.iter().map(|&cell| (start + cell) as i64).collect();
        let cells = Tensor::from_data(TensorData::from(cells.as_slice()), &inputs.device);
        inputs.x.clone().narrow(0, row, 1).select(1, cells)
    });
    let x = Tensor::cat(rows.collect(), 0);
    let angles = inputs.tensor(inputs.angles(last, &cells));
    let found = block.forward_masked(x, inputs.modulation.as_ref(), &angles, None);
    trace.close(&ONE_BLOCK, "partial.output", found.to_data());
}
