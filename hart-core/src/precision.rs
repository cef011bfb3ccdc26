//! The element type of weights and activations.

use std::str::FromStr;

use burn::tensor::DType;

use crate::{Error, Result};

/// How the large weights are stored and in what type activations flow between layers.
///
/// Whatever the choice, norms, softmax, rotary angles, logits, the latent sum, the codebook and the
/// noise schedule stay in 32 bits. On the Flex backend models that are prepared for generating keep
/// weights, and keys and values of attention, in 16 bits where the choice is lower than [`Self::F32`],
/// and compute in 32: half of the memory, no less speed, and less rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16: the range of `F32`, 8 bits of significand.
    Bf16,
    /// IEEE half precision: 11 bits of significand, largest value 65504.
    F16,
    /// 8-bit integers for the matrices of the large linear layers, rounded as they are loaded:
    /// every output has a scale of its own, inputs are rounded token by token. Keys and values of
    /// attention are kept as `F16`, everything else is `F32`. For generating, where a backend
    /// multiplies integers faster than floats.
    Int8,
}

impl Precision {
    /// The element type of tensors: of `Int8` that of everything but the rounded matrices.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 | Self::Int8 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// The name used on command lines and in image settings: `f32`, `bf16`, `f16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let expected = "f32, bf16, f16 or int8";
        [Self::F32, Self::Bf16, Self::F16, Self::Int8]
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| Error::invalid("the precision", format!("`{name}`"), expected))
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
