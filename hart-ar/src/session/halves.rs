//! The two halves of guidance, the prompts and what they are led away from, and their logits
//! (section 4.4).

use burn::tensor::{Tensor, backend::Backend};
use hart_core::{Error, HartBackend, Result};

use super::Session;

/// Which halves of guidance are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// The prompts alone.
    Conditional,
    /// The prompts, and the empty prompt that guidance leads away from.
    Both,
}

impl Halves {
    /// How many halves are computed.
    pub fn count(self) -> usize {
        match self {
            Self::Conditional => 1,
            Self::Both => 2,
        }
    }
}

/// The last block's output for the tokens of a step.
#[derive(Debug, Clone)]
pub struct Hidden<B: Backend> {
    /// `[rows, tokens, C]`, the rows of the conditional half before those of the unconditional
    /// one, if that was computed.
    pub states: Tensor<B, 3>,
    pub(super) batch: usize,
}

impl<B: Backend> Hidden<B> {
    /// The rows of the conditional half, `[batch, tokens, C]`.
    pub fn conditional(&self) -> Tensor<B, 3> {
        self.states.clone().narrow(0, 0, self.batch)
    }

    /// The rows of the unconditional half, if it was computed.
    pub fn unconditional(&self) -> Option<Tensor<B, 3>> {
        let rows = self.states.dims()[0];
        (rows > self.batch).then(|| self.states.clone().narrow(0, self.batch, self.batch))
    }
}

/// The logits of the halves of guidance, `[batch, tokens, V]` each, in 32 bits.
#[derive(Debug, Clone)]
pub struct HalfLogits<B: Backend> {
    /// With the prompts.
    pub conditional: Tensor<B, 3>,
    /// With the empty prompt, where a step is guided.
    pub unconditional: Option<Tensor<B, 3>>,
}

impl<B: Backend> HalfLogits<B> {
    /// `(1 + guidance)·conditional - guidance·unconditional`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for guidance where there is no unconditional half.
    pub fn guided(self, guidance: f64) -> Result<Tensor<B, 3>> {
        if guidance == 0.0 {
            return Ok(self.conditional);
        }
        let unconditional = self.unconditional.ok_or_else(|| {
            Error::invalid("the guidance", guidance, "0 where the unconditional half is left out")
        })?;
        Ok(self.conditional * (1.0 + guidance) - unconditional * guidance)
    }
}

impl<B: HartBackend> Session<'_, B> {
    /// Guided logits `[batch, tokens, V]` in 32 bits ([`HalfLogits::guided`]); without guidance the
    /// unconditional half is left out.
    ///
    /// The head is linear behind its norm, so features could be guided instead and projected once.
    /// That saves two thousandths of a generation and doubles the rounding error of the logits,
    /// whose terms nearly cancel: smooth sampling would magnify it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for guidance of a step whose unconditional half was left out.
    pub fn guided_logits(&self, hidden: &Hidden<B>, guidance: f64) -> Result<Tensor<B, 3>> {
        self.half_logits(hidden, guidance != 0.0).guided(guidance)
    }

    /// The logits of the conditional half, and of the other one if the step is `guided` and it was
    /// computed.
    pub fn half_logits(&self, hidden: &Hidden<B>, guided: bool) -> HalfLogits<B> {
        let unconditional = hidden.unconditional().filter(|_| guided);
        HalfLogits {
            conditional: self.logits(hidden.conditional(), 0),
            unconditional: unconditional.map(|rows| self.logits(rows, 1)),
        }
    }

    /// The logits of one half's hidden states.
    pub(super) fn logits(&self, hidden: Tensor<B, 3>, half: usize) -> Tensor<B, 3> {
        let head = &self.transformer.head;
        let modulation = self.head.rows(half * self.batch, self.batch);
        head.logits(head.features(hidden, &modulation))
    }
}
