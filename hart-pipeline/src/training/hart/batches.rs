//! Makes the batches of steps.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use hart_core::random::{generator, uniform};
use hart_core::{Result, ScaleSchedule};
use rand::Rng;

use super::batch::Batch;
use super::experiment::ResidualFrom;
use super::tokens::TokenCache;
use crate::text::PromptTokenizer;
use crate::training::captions::CaptionGrammar;
use crate::training::data::{Order, Prefetch, Records};
use crate::training::draws::StepDraws;

/// The stream of a seed that spoiled codes are drawn from.
const SPOILING: u64 = 140;
/// The stream of a seed that decides where new records are trained on.
const NEW: u64 = 141;
/// The stream of a seed that decides which images have a caption of their own.
const OWN_CAPTION: u64 = 142;
/// The seed of validation draws.
const VALIDATION: u64 = 0x5eed;

/// Records with the tokens of their images.
#[derive(Debug)]
pub(in crate::training) struct DataSet {
    pub(in crate::training) records: Records,
    pub(in crate::training) tokens: TokenCache,
}

/// The sizes of a model that batches are made for.
#[derive(Debug, Clone)]
pub(in crate::training) struct Shape {
    pub(in crate::training) scales: ScaleSchedule,
    /// V and Z of the codebook.
    pub(in crate::training) codebook: [usize; 2],
    /// Tokens of a prompt, T.
    pub(in crate::training) context_tokens: usize,
    /// Times and noises drawn for each token of the last scale.
    pub(in crate::training) repeats: usize,
}

/// How often something happens to an image of a batch, and which code its residual is measured
/// from.
#[derive(Debug, Clone, Copy)]
pub(in crate::training) struct Rates {
    /// It has its first caption, or with a grammar any of its own.
    pub(in crate::training) plain: f64,
    /// An input code is replaced by another.
    pub(in crate::training) spoiled: f64,
    /// Its prompt is withheld.
    pub(in crate::training) dropped: f64,
    pub(in crate::training) residual_from: ResidualFrom,
}

/// Makes batches of records.
#[derive(Debug, Clone)]
pub(in crate::training) struct Batches {
    pub(in crate::training) data: Arc<DataSet>,
    /// Records that take the place of others with this probability.
    pub(in crate::training) new: Option<(Arc<DataSet>, f64)>,
    /// What makes captions, for all but a share of the images.
    pub(in crate::training) grammar: Option<Arc<CaptionGrammar>>,
    pub(in crate::training) prompts: PromptTokenizer,
    /// The tokens of the system prompt.
    pub(in crate::training) system: Vec<u32>,
    pub(in crate::training) shape: Shape,
    pub(in crate::training) rates: Rates,
    pub(in crate::training) seed: u64,
}

impl Batches {
    /// Of other records, for measuring: first captions, nothing spoiled, no prompt withheld.
    pub(super) fn for_validation(&self, data: Arc<DataSet>) -> Self {
        let rates = Rates { plain: 1.0, spoiled: 0.0, dropped: 0.0, ..self.rates };
        Self { data, new: None, grammar: None, seed: VALIDATION, rates, ..self.clone() }
    }

    /// How many records there are.
    pub(in crate::training) fn records(&self) -> usize {
        self.data.records.len()
    }

    /// The batches of some steps, prepared on another thread.
    pub(super) fn prefetch(self, steps: Range<u64>, batch: usize) -> Prefetch<Batch> {
        let mut order = Order::new(self.records(), self.seed);
        Prefetch::start(steps, move |step| self.make(step, &order.batch(step, batch)))
    }

    /// The batch of some records, with the draws of a step.
    pub(in crate::training) fn make(&self, step: u64, items: &[usize]) -> Result<Batch> {
        let Shape { scales, codebook, context_tokens, repeats } = &self.shape;
        let chosen: Vec<(&DataSet, usize)> = items
            .iter()
            .enumerate()
            .map(|(place, &item)| self.choose([step, place as u64], item))
            .collect();
        let prompts: Result<Vec<_>> = chosen
            .iter()
            .enumerate()
            .map(|(place, (data, item))| {
                let address = [step, place as u64];
                self.prompts.tokenize(&self.caption(&data.records, *item, address), *context_tokens)
            })
            .collect();
        let codes: Vec<Vec<usize>> =
            chosen.iter().map(|(data, item)| data.tokens.codes(*item)).collect();
        let sizes = [*repeats, codebook[1]];
        let mut draws =
            StepDraws::new(self.seed, step, items.len(), scales, self.rates.dropped, sizes);
        if self.rates.residual_from == ResidualFrom::True {
            draws.picks = None;
        }
        let residuals = chosen.iter().flat_map(|(data, item)| data.tokens.residual(*item));
        Ok(Batch {
            system: self.system.clone(),
            prompts: prompts?,
            inputs: self.spoil(step, &codes),
            residuals: residuals.copied().collect(),
            draws,
            codes,
        })
    }

    /// The caption of a record in some step: its own, or one that the grammar makes.
    fn caption<'a>(&self, records: &'a Records, item: usize, address: [u64; 2]) -> Cow<'a, str> {
        let own = || Cow::Borrowed(records.caption(item, self.rates.plain, self.seed, address));
        let Some(grammar) = &self.grammar else { return own() };
        let mut draws = generator(self.seed, OWN_CAPTION, address);
        if uniform(draws.next_u64()) < self.rates.plain {
            return own();
        }
        grammar.caption(records.get(item), self.seed, address).map_or_else(own, Cow::Owned)
    }

    /// The record for a place of a batch: that of the order, or a new one instead.
    fn choose(&self, [step, place]: [u64; 2], item: usize) -> (&DataSet, usize) {
        let Some((new, share)) = &self.new else { return (&self.data, item) };
        let mut draws = generator(self.seed, NEW, [step, place]);
        if uniform(draws.next_u64()) >= *share {
            return (&self.data, item);
        }
        (new, (draws.next_u64() % new.records.len() as u64) as usize)
    }

    /// Codes, some of them replaced.
    fn spoil(&self, step: u64, codes: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let mut draws = generator(self.seed, SPOILING, [step, 0]);
        let mut spoil = |&code: &usize| {
            if uniform(draws.next_u64()) < self.rates.spoiled {
                (draws.next_u64() % self.shape.codebook[0] as u64) as usize
            } else {
                code
            }
        };
        codes.iter().map(|codes| codes.iter().map(&mut spoil).collect()).collect()
    }
}
