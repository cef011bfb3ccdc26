//! The kinds of tensors, and how far each may be off.

use std::cmp::Ordering;

/// A kind of tensor.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What the table of differences calls it.
    pub(crate) name: &'static str,
    /// The largest difference accepted, over the largest magnitude of the tensor.
    pub(crate) tolerance: f64,
}

impl Kind {
    const fn new(name: &'static str, tolerance: f64) -> Self {
        Self { name, tolerance }
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(other.name)
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Kind {}

/// Indices, masks, positions: equal. What is noted is the share that differs.
pub(crate) static INDICES: Kind = Kind::new("indices and masks", 0.0);

macro_rules! kinds {
    ($($constant:ident $name:literal $tolerance:literal,)*) => {
        $(pub(crate) static $constant: Kind = Kind::new($name, $tolerance);)*
    };
}

// What a tolerance of 1e-5 judges is off by 5e-6 at most, as a rule by 1e-6.
kinds! {
    // Tables in double precision on both sides.
    SCHEDULE "diffusion: noise schedule" 1e-12,
    NETWORK "diffusion: network" 1e-5,
    GUIDED_NETWORK "diffusion: guided network" 1e-5,
    // A difference of the sample and the noise, both larger than it where there is much noise.
    ESTIMATE "diffusion: estimate of a step" 1e-4,
    SAMPLE "diffusion: sample of a step" 1e-5,
    // Up to 45 steps, each from the one before it.
    LOOP "diffusion: all steps" 1e-4,
    RESIDUAL "diffusion: residual" 1e-5,
    CONDITION "diffusion: condition" 1e-5,

    CONTEXT "context: embedded and pooled" 1e-5,
    LEVELS "context: levels" 1e-5,
    SCALE_INPUT "scale: input" 1e-5,
    ATTENTION "scale: attention of block 0" 1e-5,
    BLOCK "scale: output of block 0" 1e-5,
    HIDDEN "scale: hidden" 1e-5,
    LOGITS "scale: logits" 1e-5,
    GUIDED "scale: guided logits" 1e-5,
    PROBABILITIES "scale: smooth probabilities" 1e-5,
    KEPT "scale: kept logits" 1e-5,
    TOKENS "scale: tokens" 1e-5,
    LATENT "scale: latent" 1e-5,
    NEXT_INPUT "scale: next input" 1e-5,
    FINAL_LATENT "scale: final latent" 1e-5,
    // Some traces lack the logits, so that the mixture of codes is that of logits computed from the
    // recorded latent: a softmax at temperatures down to 0.05.
    TOKENS_OF_LATENT "scale: tokens, logits unknown" 1e-4,
    FINAL_LATENT_OF_LATENT "scale: final latent, logits unknown" 1e-4,
    PIXELS "scale: pixels of the latent" 3e-5,
    WHOLE_LATENT "whole: final latent" 1e-3,
    WHOLE_IMAGE "whole: image" 1e-3,

    ONE_BLOCK "block: output" 1e-5,
    CACHE "block: keys and values" 1e-5,

    SINUSOID "primitives: sinusoid" 1e-6,
    ROTATION "primitives: rotary table" 1e-6,
    ROTATED "primitives: rotated" 1e-6,
    RESIZED "primitives: resized" 1e-5,
    NORMALIZED "primitives: normalised" 1e-6,
    ACTIVATION "primitives: activation" 1e-6,
    // One rounding in half precision is 2^-11 of the value.
    HALF "primitives: in half precision" 5e-4,

    FILTERED "sampling: filtered probabilities" 1e-6,
    SMOOTH "sampling: smooth probabilities" 1e-6,

    TEXT_LAYER "text: layers" 1e-5,
    TEXT_CONTEXT "text: context" 1e-5,

    ENCODER "tokenizer: encoder" 1e-5,
    // Not 1e-5, though the recordings are within 2e-6 of double precision: on Flex convolutions are
    // Winograd's for tiles of 4 × 4, which rounds seven times as much as sums (2.6e-5 of these images
    // in place of 0.4e-5).
    DECODER "tokenizer: decoder" 3e-5,
    QUANTIZER "tokenizer: quantizer" 1e-5,

    TRAINED_LOGITS "training: logits" 1e-5,
    TRAINED_CONDITION "training: condition" 1e-5,
    LOSS "training: loss" 1e-5,
    DIFFUSION_TERMS "training: diffusion terms" 1e-5,
    GRADIENT "training: gradients" 1e-5,
    // Of twelve tokens, some at times where a unit in the last place of a frequency shows.
    HEAD_GRADIENT "training: gradients of the head alone" 1e-4,
    // Of a backend whose reciprocals are good to 14 bits: every norm and softmax has one.
    ROUGH_GRADIENT "training: gradients, rough reciprocals" 1e-3,
    // Through the decoder and back.
    RECONSTRUCTION "training: reconstruction" 3e-5,
    TOKENIZER_GRADIENT "training: gradients of the tokenizer" 3e-5,
}
