//! What the tokenizer is trained with: the loss of the quantizer and the reconstruction (section
//! 6). The adversarial part is in [`crate::discriminator`].

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use hart_core::{Error, HartBackend, Result};

use crate::quantizer::{Quantizer, to_map, to_tokens};
use crate::tokenizer::HybridTokenizer;

/// A latent through the quantizer, with gradients.
#[derive(Debug, Clone)]
pub struct QuantizedLatent<B: Backend> {
    /// The sum of the codes of all scales, `[batch, Z, H, W]`. Its gradient goes to the latent as
    /// if nothing had been quantized (straight through).
    pub discrete: Tensor<B, 4>,
    /// What the codes leave over, `[batch, Z, H, W]`, without gradient.
    pub residual: Tensor<B, 4>,
    /// What they leave over where the last scale's are added as they are, without `phi`,
    /// `[batch, Z, H, W]`, without gradient: what the residual head is to predict (section 2.1).
    pub head_residual: Tensor<B, 4>,
    /// Mean over the scales of `β·mse(sum so far, latent) + mse(latent, sum so far)`: the first
    /// term moves the latent, the second the codes and convolutions; `[1]`.
    pub loss: Tensor<B, 1>,
    /// For each scale the nearest codes, `[batch, tokens]`.
    pub indices: Vec<Tensor<B, 2, Int>>,
    /// For each scale the vectors they are nearest to, `[batch, tokens, Z]`, without gradient.
    pub vectors: Vec<Tensor<B, 3>>,
}

/// What the decoder sees of an image in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DecoderInput {
    /// The sum of the codes alone.
    Discrete,
    /// The codes, and all that they leave over.
    Continuous,
    /// What generation gives it: the codes, those of the last scale as they are, and this share
    /// (0 to 1) of what they leave over. A residual head cannot know all of it, and what it predicts
    /// is smaller than the truth; a decoder that has seen nothing between none and all takes such
    /// latents for others.
    Partial(f32),
    /// What generation gives it, whole: the codes as for [`Self::Partial`], and what a residual head
    /// has predicted of the rest.
    Predicted,
}

impl DecoderInput {
    /// The factors of both residuals, [`QuantizedLatent::residual`] and
    /// [`QuantizedLatent::head_residual`], in what is added to the sum of the codes.
    fn factors(self) -> [f32; 2] {
        match self {
            Self::Discrete => [0.0, 0.0],
            Self::Continuous => [1.0, 0.0],
            Self::Partial(share) => [1.0, share - 1.0],
            Self::Predicted => [1.0, -1.0],
        }
    }
}

/// Images through the tokenizer, with gradients.
#[derive(Debug, Clone)]
pub struct Reconstruction<B: Backend> {
    /// The decoded images `[batch, 3, h, w]`, around [-1, 1] and not clamped.
    pub images: Tensor<B, 4>,
    /// What the decoder's last layer made them from, `[batch, channels, h, w]`.
    pub features: Tensor<B, 4>,
    /// Mean squared error of the images, `[1]`.
    pub error: Tensor<B, 1>,
    /// The latent through the quantizer.
    pub latent: QuantizedLatent<B>,
}

/// A distance of images as people see it, such as that of a network's features. It is added to
/// the loss by whoever trains.
pub trait PerceptualLoss<B: Backend> {
    /// The mean distance of `reconstructions` from `images`, both `[batch, 3, h, w]` in [-1, 1]:
    /// `[1]`.
    fn distance(&self, images: Tensor<B, 4>, reconstructions: Tensor<B, 4>) -> Tensor<B, 1>;
}

impl<B: HartBackend> Quantizer<B> {
    /// Quantizes a latent `[batch, Z, H, W]` for training: `phi` at every scale, the last
    /// included. `commitment` is β, the weight of the term that moves the latent.
    pub fn quantize(&self, latent: Tensor<B, 4>, commitment: f64) -> QuantizedLatent<B> {
        let fixed = latent.clone().detach();
        // Before the first scale the sum is 0, and all of the latent is left over.
        let mut sum = fixed.zeros_like();
        let (mut rest, mut head_residual) = (fixed.clone(), fixed.clone());
        let mut loss = Tensor::zeros([1], &fixed.device());
        let (mut indices, mut vectors) = (vec![], vec![]);
        for scale in 0..self.scales().count() {
            let wanted = to_tokens(self.scale_input(scale, rest.clone()));
            let nearest = self.nearest(wanted.clone());
            let codes = self.embed(nearest.clone());
            // Taken before `vectors` keeps the tokens: burn-tch may write over those below.
            let left = wanted.clone() - codes.clone().detach();
            head_residual = to_map(left, self.scales().grid(scale));
            let contribution = self.contribution(scale, codes);
            rest = rest - contribution.clone().detach();
            sum = sum + contribution;
            let moves_latent = squared_error(sum.clone().detach(), latent.clone());
            let moves_codes = squared_error(sum.clone(), fixed.clone());
            loss = loss + moves_latent * commitment + moves_codes;
            indices.push(nearest);
            vectors.push(wanted);
        }
        QuantizedLatent {
            discrete: sum.detach() - fixed + latent,
            residual: rest,
            head_residual,
            loss: loss / self.scales().count() as f64,
            indices,
            vectors,
        }
    }
}

impl<B: HartBackend> HybridTokenizer<B> {
    /// Reconstructs images `[batch, 3, height, width]` in [-1, 1], each from what `inputs` says that
    /// its decoder sees; training alternates, so that one decoder serves all of them (section 6).
    /// `predicted` is what is added to the latents of [`DecoderInput::Predicted`], `[batch, Z, H, W]`;
    /// that of other images does not count. `commitment` is the quantizer's β.
    ///
    /// # Errors
    /// [`Error::Invalid`] for images of another shape, another number of inputs, and predictions that
    /// are missing or of another shape.
    pub fn reconstruct(
        &self,
        images: Tensor<B, 4>,
        inputs: &[DecoderInput],
        predicted: Option<Tensor<B, 4>>,
        commitment: f64,
    ) -> Result<Reconstruction<B>> {
        self.check_images(&images)?;
        let batch = images.dims()[0];
        if inputs.len() != batch {
            return Err(Error::invalid("the decoder's inputs", inputs.len(), batch));
        }
        let latent = self.encode_latent(images.clone(), &mut ());
        let latent = self.quantizer.quantize(latent, commitment);
        let of_each = |factor: &dyn Fn(&DecoderInput) -> f32| {
            let factors: Vec<f32> = inputs.iter().map(factor).collect();
            let factors = TensorData::new(factors, [batch, 1, 1, 1]);
            Tensor::<B, 4>::from_data(factors, &images.device())
        };
        let mut seen = latent.discrete.clone()
            + latent.residual.clone() * of_each(&|input| input.factors()[0])
            + latent.head_residual.clone() * of_each(&|input| input.factors()[1]);
        let is_predicted = |input: &DecoderInput| *input == DecoderInput::Predicted;
        if inputs.iter().any(is_predicted) {
            let shape = latent.residual.dims();
            let found = predicted.as_ref().map(Tensor::dims);
            let Some(predicted) = predicted.filter(|predicted| predicted.dims() == shape) else {
                let found = found.map_or("missing".to_string(), |found| format!("{found:?}"));
                return Err(Error::invalid("the predictions", found, format!("{shape:?}")));
            };
            seen = seen + predicted * of_each(&|input| f32::from(u8::from(is_predicted(input))));
        }
        let (decoded, features) = self.decode_with_features(seen, &mut ());
        Ok(Reconstruction {
            error: squared_error(decoded.clone(), images),
            images: decoded,
            features,
            latent,
        })
    }
}

fn squared_error<B: Backend>(a: Tensor<B, 4>, b: Tensor<B, 4>) -> Tensor<B, 1> {
    (a - b).square().mean()
}
