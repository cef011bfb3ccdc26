//! The transformer in training: all scales at once under a block-wise causal mask, and its loss
//! (section 6).

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use hart_core::nn::context_angles;
use hart_core::ops::{Angles, pick_rows};
use hart_core::{Error, HartBackend, Result, ScaleSchedule};

use crate::condition::TextCondition;
use crate::modulation::{pool_context, pool_max};
use crate::session::CONTEXT_BASE;
use crate::transformer::Transformer;

/// Added to the score of a token of a later scale. Finite, and within the range of half precision.
const MASKED: f32 = -30_000.0;

/// What the transformer predicts of known images.
#[derive(Debug, Clone)]
pub struct Predictions<B: Backend> {
    /// Logits `[batch, tokens, V]` in 32 bits of the tokens of all scales, of the last one only
    /// those kept.
    pub logits: Tensor<B, 3>,
    /// The last block's output for the kept tokens of the last scale, `[batch, kept, C]`.
    pub hidden: Tensor<B, 3>,
}

impl<B: HartBackend> Transformer<B> {
    /// Predicts every token of known images from the scales before it.
    ///
    /// `images_so_far` holds the inputs of scales 1 … S-1, `[batch, total tokens - 1, Z]`, and
    /// `kept` for each image the row-major positions of the last scale that are fed and predicted;
    /// each image keeps as many. The others are not fed at all (section 6).
    ///
    /// # Errors
    /// [`Error::Invalid`] when shapes do not fit the transformer or each other, or a position is
    /// beyond the last scale.
    pub fn predict(
        &self,
        text: &TextCondition<B>,
        images_so_far: Tensor<B, 3>,
        kept: &[Vec<usize>],
    ) -> Result<Predictions<B>> {
        text.check(self)?;
        check_tokens(self.scales(), text.mask.len(), &images_so_far, kept)?;
        let device = text.context.device();
        let context = self.context.forward(text.context.clone());
        let valid = text.valid_tokens(&device);
        let pooled = pool_context(self.modulation(), context.clone(), valid);
        let head = self.head.modulate(pool_max(context.clone()));

        let [_, prompt, _] = context.dims();
        let words = self.words.forward(keep_rows(self.scales(), images_so_far, kept));
        let levels = self.token_levels(prompt, kept[0].len(), &device);
        let mut x = Tensor::cat(vec![context, words], 1);
        x = x.clone() + levels.cast(x.dtype()).unsqueeze();
        let angles = self.token_angles(text, kept, &device);
        let mask = causal_mask(self.scales(), prompt, kept[0].len(), &device);
        for block in &self.blocks {
            let modulation = block.modulation.values(pooled.clone());
            x = block.forward_masked(x, modulation.as_ref(), &angles, Some(mask.clone()));
        }
        // The last context token predicts scale 0.
        let [_, tokens, _] = x.dims();
        let x = x.narrow(1, prompt - 1, tokens - prompt + 1);
        let first = x.dims()[1] - kept[0].len();
        let hidden = x.clone().narrow(1, first, kept[0].len());
        let logits = self.head.logits(self.head.features(x, &head));
        Ok(Predictions { logits: logits.cast(DType::F32), hidden })
    }

    /// The level embedding of every token, `[prompt + tokens - 1, C]`.
    fn token_levels(&self, prompt: usize, kept: usize, device: &B::Device) -> Tensor<B, 2> {
        let scales = self.scales();
        let later = (1..scales.count())
            .flat_map(|scale| std::iter::repeat_n(scale as i64, fed(scales, scale, kept)));
        let levels: Vec<i64> = std::iter::repeat_n(0, prompt).chain(later).collect();
        let count = levels.len();
        let levels = Tensor::<B, 1, Int>::from_data(TensorData::new(levels, [count]), device);
        self.levels.rows(scales.count(), device).select(0, levels)
    }

    /// The rotation of every token: those of the prompt, then scale after scale.
    fn token_angles(
        &self,
        text: &TextCondition<B>,
        kept: &[Vec<usize>],
        device: &B::Device,
    ) -> Angles<B> {
        let (scales, head_width) = (self.scales(), self.config().head_width());
        let mut angles = vec![];
        let images = text.positions.iter().zip(text.last_positions()).zip(kept);
        for ((positions, offset), kept) in images {
            angles.extend(context_angles(positions, head_width, CONTEXT_BASE));
            for scale in 1..scales.count() {
                let all = || (0..scales.tokens(scale)).collect();
                let cells = if scale == scales.last() { kept.clone() } else { all() };
                angles.extend(self.rotations(scale, &cells, offset));
            }
        }
        let tokens = angles.len() / head_width / kept.len();
        Angles::new(&angles, [kept.len(), tokens, head_width], device)
    }
}

/// Cross entropy in nats of logits `[batch, tokens, V]` against codes `[batch, tokens]`, of every
/// token: `[batch, tokens]`. The loss of section 6 is its mean.
pub fn cross_entropy<B: Backend>(logits: Tensor<B, 3>, codes: Tensor<B, 2, Int>) -> Tensor<B, 2> {
    let likelihood = log_softmax(logits.cast(DType::F32), 2);
    -likelihood.gather(2, codes.unsqueeze_dim(2)).squeeze_dim(2)
}

/// Weights of the predicted tokens of all scales, of the last one only `kept`: with a `balance` of
/// 0 all are 1, as in section 6; with 1 every scale counts alike, however few its tokens; their mean
/// is 1.
///
/// What a caption says of an image's layout is decided in a handful of coarse tokens, which a mean
/// over tokens all but drowns in those of fine details.
pub fn scale_weights(scales: &ScaleSchedule, kept: usize, balance: f64) -> Vec<f32> {
    let weights = |scale: usize| {
        let tokens = fed(scales, scale, kept);
        std::iter::repeat_n((tokens as f64).powf(-balance), tokens)
    };
    let weights: Vec<f64> = (0..scales.count()).flat_map(weights).collect();
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    weights.into_iter().map(|weight| (weight / mean) as f32).collect()
}

/// The fewest tokens of the last scale that are kept in training.
pub const LEAST_KEPT: usize = 32;

/// Which tokens of the last scale are kept when a share of `mask_ratio` is dropped: of a random
/// `order` of all positions those behind the dropped ones, at least [`LEAST_KEPT`], increasing.
pub fn kept_tokens(order: &[usize], mask_ratio: f64) -> Vec<usize> {
    let dropped = (order.len() as f64 * mask_ratio).ceil() as usize;
    let dropped = dropped.min(order.len().saturating_sub(LEAST_KEPT));
    let mut kept = order[dropped..].to_vec();
    kept.sort_unstable();
    kept
}

/// How many tokens of scale `scale` are fed.
fn fed(scales: &ScaleSchedule, scale: usize, kept: usize) -> usize {
    if scale == scales.last() { kept } else { scales.tokens(scale) }
}

/// Of `[batch, total tokens - 1, Z]` the tokens of all scales but the last, and of that one those
/// kept.
fn keep_rows<B: Backend>(
    scales: &ScaleSchedule,
    tokens: Tensor<B, 3>,
    kept: &[Vec<usize>],
) -> Tensor<B, 3> {
    let first = tokens.dims()[1] - scales.tokens(scales.last());
    let of_image = |kept: &Vec<usize>| {
        (0..first).chain(kept.iter().map(|position| first + position)).collect()
    };
    let positions: Vec<Vec<usize>> = kept.iter().map(of_image).collect();
    pick_rows(tokens, &positions)
}

/// `[1, 1, n, n]`: tokens see the prompt and all tokens of their own scale and those before it.
fn causal_mask<B: Backend>(
    scales: &ScaleSchedule,
    prompt: usize,
    kept: usize,
    device: &B::Device,
) -> Tensor<B, 4> {
    let mut levels = vec![0; prompt];
    for scale in 1..scales.count() {
        levels.extend(std::iter::repeat_n(scale, fed(scales, scale, kept)));
    }
    let row = |query: usize| levels.iter().map(move |&key| if key > query { MASKED } else { 0.0 });
    let values: Vec<f32> = levels.iter().flat_map(|&query| row(query)).collect();
    let data = TensorData::new(values, [1, 1, levels.len(), levels.len()]);
    Tensor::from_data(data, (device, DType::F32))
}

fn check_tokens<B: Backend>(
    scales: &ScaleSchedule,
    batch: usize,
    images_so_far: &Tensor<B, 3>,
    kept: &[Vec<usize>],
) -> Result<()> {
    let tokens = (1..scales.count()).map(|scale| scales.tokens(scale)).sum::<usize>();
    let found = images_so_far.dims();
    if found[0] != batch || found[1] != tokens {
        let expected = format!("[{batch}, {tokens}, Z]");
        return Err(Error::shape("the shape of the images so far", &found, expected));
    }
    let last = scales.tokens(scales.last());
    let count = kept.first().map_or(0, Vec::len);
    let fits = kept.len() == batch
        && count > 0
        && kept.iter().all(|k| k.len() == count && k.iter().all(|&position| position < last));
    if !fits {
        let expected = format!("{count} positions below {last} for each of {batch} images");
        let found = format!("{:?} for {} images", kept.iter().map(Vec::len).max(), kept.len());
        return Err(Error::invalid("the kept tokens of the last scale", found, expected));
    }
    Ok(())
}
