//! What a training begins with: records as tokens, and batches of them.

use std::path::Path;
use std::sync::Arc;

use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::{Error, HartBackend, Result};
use hart_tokenizer::HybridTokenizer;

use super::batches::{Batches, DataSet, Rates, Shape};
use super::configs::Configs;
use super::experiment::HartExperiment;
use super::tokens::TokenCache;
use super::words::TextFiles;
use crate::training::captions::CaptionGrammar;
use crate::training::data::Records;
use crate::training::observer::TrainingObserver;
use crate::training::run::Run;

/// Turns records into tokens, kept in the run's folder.
pub(super) struct Encoder<'a, B: HartBackend> {
    folder: &'a Path,
    tokenizer: &'a HybridTokenizer<B>,
    /// The bytes of the tokenizer's file.
    weights: Vec<u8>,
    device: &'a B::Device,
    observer: &'a mut dyn TrainingObserver,
}

impl<'a, B: HartBackend> Encoder<'a, B> {
    /// Over the tokenizer of an experiment; tokens are kept in the folder of `run`.
    pub(super) fn open(
        experiment: &HartExperiment,
        run: &'a Run,
        tokenizer: &'a HybridTokenizer<B>,
        device: &'a B::Device,
        observer: &'a mut dyn TrainingObserver,
    ) -> Result<Self> {
        let path = experiment.data.tokenizer.join("model.safetensors");
        let weights = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        Ok(Self { folder: run.folder.path(), tokenizer, weights, device, observer })
    }

    /// Some records with their tokens; `name` is that of the file.
    pub(super) fn encode(&mut self, records: Records, name: &str) -> Result<Arc<DataSet>> {
        let path = self.folder.join(format!("{name}-tokens.safetensors"));
        let Self { tokenizer, weights, device, observer, .. } = self;
        let tokens = TokenCache::open(&path, &records, tokenizer, weights, device, *observer)?;
        Ok(Arc::new(DataSet { records, tokens }))
    }
}

/// The batches of the training records.
pub(super) fn batches(
    experiment: &HartExperiment,
    configs: &Configs,
    words: &TextFiles,
    data: Arc<DataSet>,
    new: Option<Arc<DataSet>>,
    grammar: Option<CaptionGrammar>,
) -> Result<Batches> {
    let config = &configs.model;
    let autoencoder = &config.autoencoder;
    Ok(Batches {
        data,
        new: new.map(|new| (new, experiment.data.new_share)),
        grammar: grammar.map(Arc::new),
        prompts: words.tokenizer()?,
        system: vec![],
        shape: Shape {
            scales: config.transformer.scales.clone(),
            codebook: [autoencoder.codebook_size, autoencoder.latent_channels],
            context_tokens: config.transformer.context_tokens,
            repeats: config.residual_head.training_repeats,
        },
        rates: Rates {
            plain: experiment.data.plain_captions,
            spoiled: experiment.loss.spoiled,
            dropped: config.transformer.condition_drop_rate,
            residual_from: experiment.loss.residual_from,
        },
        seed: experiment.run.seed,
    })
}

/// The tokenizer that the images are turned into tokens by.
pub(super) fn open_tokenizer<B: HartBackend>(
    experiment: &HartExperiment,
    configs: &Configs,
    device: &B::Device,
) -> Result<HybridTokenizer<B>> {
    let checkpoint = Checkpoint::open_folder(&experiment.data.tokenizer)?;
    let config = &configs.model.autoencoder;
    HybridTokenizer::from_checkpoint(config, &checkpoint, LoadOptions::default(), device)
}
