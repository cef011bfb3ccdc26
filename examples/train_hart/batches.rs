//! What the steps train on.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use hart_ar::TextCondition;
use hart_core::HartBackend;
use hart_core::random::{generator, uniform};
use hart_diffusion::DiffusionLoss;
use hart_examples::data::Records;
use hart_examples::training::prefetch::{Order, Prefetch};
use hart_examples::training::tensor;
use hart_examples::training::tokens::{TokenCache, by_scale};
use hart_pipeline::text::{PromptTokenizer, TokenizedPrompt};
use hart_pipeline::training::{HartTerms, StepDraws, TokenBatch, hart_loss};
use hart_tokenizer::HybridTokenizer;
use rand::Rng;

use crate::learner::{Configs, Learner};
use crate::{Experiment, ResidualFrom};

/// The stream of a seed that spoiled codes are drawn from.
const SPOILING: u64 = 140;
/// The stream of a seed that decides where new records are trained on.
const NEW: u64 = 141;
/// The seed of validation draws.
const VALIDATION: u64 = 0x5eed;

/// Records with the tokens of their images.
#[derive(Debug)]
pub(crate) struct DataSet {
    pub(crate) records: Records,
    pub(crate) tokens: TokenCache,
}

/// What a step trains on.
#[derive(Debug)]
pub(crate) struct Batch {
    prompts: Vec<TokenizedPrompt>,
    codes: Vec<Vec<usize>>,
    /// The codes that inputs are made from.
    inputs: Vec<Vec<usize>>,
    residuals: Vec<f32>,
    draws: StepDraws,
}

/// Makes batches of records.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    data: Arc<DataSet>,
    /// Records that take the place of others with this probability.
    new: Option<(Arc<DataSet>, f64)>,
    words: PromptTokenizer,
    configs: Configs,
    seed: u64,
    plain: f64,
    spoiled: f64,
    residual_from: ResidualFrom,
    drop_rate: f64,
}

impl Batches {
    /// Of the training records.
    pub(crate) fn new(
        experiment: &Experiment,
        configs: &Configs,
        data: Arc<DataSet>,
        new: Option<Arc<DataSet>>,
        words: PromptTokenizer,
    ) -> Self {
        Self {
            data,
            new: new.map(|new| (new, experiment.data.new_share)),
            words,
            configs: configs.clone(),
            seed: experiment.run.seed,
            plain: experiment.data.plain_captions,
            spoiled: experiment.loss.spoiled,
            residual_from: experiment.loss.residual_from,
            drop_rate: configs.model.transformer.condition_drop_rate,
        }
    }

    /// Of other records, for measuring: first captions, nothing spoiled, no prompt withheld.
    pub(crate) fn for_validation(&self, data: Arc<DataSet>) -> Self {
        let rates = Self { plain: 1.0, spoiled: 0.0, drop_rate: 0.0, ..self.clone() };
        Self { data, new: None, seed: VALIDATION, ..rates }
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> usize {
        self.data.records.len()
    }

    /// The batches of some steps, prepared on another thread.
    pub(crate) fn prefetch(self, steps: std::ops::Range<u64>, batch: usize) -> Prefetch<Batch> {
        let mut order = Order::new(self.records(), self.seed);
        Prefetch::start(steps, move |step| self.make(step, &order.batch(step, batch)))
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

    /// The batch of some records, with the draws of a step.
    pub(crate) fn make(&self, step: u64, items: &[usize]) -> anyhow::Result<Batch> {
        let config = &self.configs.model.transformer;
        let chosen: Vec<(&DataSet, usize)> = items
            .iter()
            .enumerate()
            .map(|(place, &item)| self.choose([step, place as u64], item))
            .collect();
        let prompts: anyhow::Result<Vec<_>> = chosen
            .iter()
            .enumerate()
            .map(|(place, (data, item))| {
                let address = [step, place as u64];
                let caption = data.records.caption(*item, self.plain, self.seed, address);
                Ok(self.words.tokenize(caption, config.context_tokens)?)
            })
            .collect();
        let codes: Vec<Vec<usize>> =
            chosen.iter().map(|(data, item)| data.tokens.codes(*item)).collect();
        let entries = self.configs.model.autoencoder.codebook_size as u64;
        let mut spoiling = generator(self.seed, SPOILING, [step, 0]);
        let mut spoil = |&code: &usize| {
            if uniform(spoiling.next_u64()) < self.spoiled {
                (spoiling.next_u64() % entries) as usize
            } else {
                code
            }
        };
        let inputs = codes.iter().map(|codes| codes.iter().map(&mut spoil).collect()).collect();
        let sizes =
            [config.residual_head.training_repeats, self.configs.model.autoencoder.latent_channels];
        let mut draws =
            StepDraws::new(self.seed, step, items.len(), &config.scales, self.drop_rate, sizes);
        if self.residual_from == ResidualFrom::True {
            draws.picks = None;
        }
        let residuals = chosen.iter().flat_map(|(data, item)| data.tokens.residual(*item));
        Ok(Batch {
            prompts: prompts?,
            inputs,
            residuals: residuals.copied().collect(),
            draws,
            codes,
        })
    }
}

impl Batch {
    /// How many tokens of the last scale each image keeps.
    pub(crate) fn kept(&self) -> usize {
        self.draws.kept.first().map_or(0, Vec::len)
    }

    /// The loss on the batch.
    pub(crate) fn loss<B: AutodiffBackend + HartBackend>(
        &self,
        learner: &Learner<B>,
        tokenizer: &HybridTokenizer<B::InnerBackend>,
        diffusion: &DiffusionLoss,
        device: &B::Device,
    ) -> anyhow::Result<HartTerms<B>>
    where
        B::InnerBackend: HartBackend,
    {
        let quantizer = &tokenizer.quantizer;
        let scales = quantizer.scales();
        let indices = by_scale::<B::InnerBackend>(&self.inputs, scales, device);
        let [_, channels] = quantizer.codebook_shape();
        let shape = [self.codes.len(), scales.tokens(scales.last()), channels];
        let batch = TokenBatch {
            codes: self.codes.clone(),
            residual: tensor(self.residuals.clone(), shape, device),
            images_so_far: Tensor::from_inner(quantizer.teacher_forcing(&indices)),
            codebook: Tensor::from_inner(quantizer.codebook.val()),
        };
        let of_all = |part: &dyn Fn(&TokenizedPrompt) -> Vec<bool>| {
            self.prompts.iter().map(part).collect::<Vec<_>>()
        };
        let mask = of_all(&|prompt| prompt.mask.clone());
        let tokens: Vec<Vec<u32>> = self.prompts.iter().map(|p| p.tokens.clone()).collect();
        let text = TextCondition {
            context: learner.text.forward(&tokens, &mask, None, &mut ()),
            mask,
            positions: self.prompts.iter().map(|prompt| prompt.positions.clone()).collect(),
        };
        let (transformer, residual) = (&learner.transformer, &learner.residual);
        Ok(hart_loss(transformer, residual, diffusion, &text, &batch, &self.draws)?)
    }

    /// The share of codes that are the most likely ones.
    pub(crate) fn accuracy<B: HartBackend>(terms: &HartTerms<B>) -> f64 {
        let best = terms.logits.clone().argmax(2).into_data();
        let right =
            best.iter::<i64>().zip(&terms.targets).filter(|(best, code)| *best as usize == **code);
        right.count() as f64 / terms.targets.len() as f64
    }
}
