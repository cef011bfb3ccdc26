//! The scales an image is made at.

use crate::{Error, Result};

/// The sides of the token maps from coarse to fine, `patch_nums` in a checkpoint's configuration.
///
/// Scale `k` has `side(k)²` tokens. The first scale is a single token and sides increase strictly;
/// the last side is the side of the latent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleSchedule {
    sides: Vec<usize>,
}

impl ScaleSchedule {
    /// The largest side accepted: a latent of 1024 × 1024 cells.
    pub const MAX_SIDE: usize = 1024;

    /// Checks and wraps the sides.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there are at least two sides, the first is 1, they increase
    /// strictly and none exceeds [`Self::MAX_SIDE`].
    pub fn new(sides: Vec<usize>) -> Result<Self> {
        let valid = sides.len() >= 2
            && sides[0] == 1
            && sides.windows(2).all(|pair| pair[0] < pair[1])
            && sides.iter().all(|&side| side <= Self::MAX_SIDE);
        if valid {
            Ok(Self { sides })
        } else {
            let expected = format!(
                "two or more sides that start at 1 and increase strictly up to at most {}",
                Self::MAX_SIDE
            );
            Err(Error::invalid("the scale schedule", format!("{sides:?}"), expected))
        }
    }

    /// The sides, coarse to fine.
    pub fn sides(&self) -> &[usize] {
        &self.sides
    }

    /// The number of scales, S in the paper.
    pub fn count(&self) -> usize {
        self.sides.len()
    }

    /// The index of the last scale, whose residual the diffusion head predicts.
    pub fn last(&self) -> usize {
        self.sides.len() - 1
    }

    /// The side of scale `scale`.
    pub fn side(&self, scale: usize) -> usize {
        self.sides[scale]
    }

    /// The number of tokens of scale `scale`.
    pub fn tokens(&self, scale: usize) -> usize {
        self.sides[scale] * self.sides[scale]
    }

    /// The side of the latent, that of the last scale.
    pub fn latent_side(&self) -> usize {
        self.sides[self.last()]
    }

    /// The tokens of all scales together.
    pub fn total_tokens(&self) -> usize {
        (0..self.count()).map(|scale| self.tokens(scale)).sum()
    }

    /// How far scale `scale` is on the way, in [0, 1): `k / (S - 1)`, the last step reusing the
    /// ratio of the step before it. Guidance and the smoothing temperature grow with it (section
    /// 4.4).
    pub fn ratio(&self, scale: usize) -> f64 {
        scale.min(self.count() - 2) as f64 / (self.count() - 1) as f64
    }
}
