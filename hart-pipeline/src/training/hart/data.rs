//! What a training begins with: records as tokens, and batches of them.

use std::path::Path;
use std::sync::Arc;

use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::{HartBackend, Result};
use hart_tokenizer::HybridTokenizer;

use super::batches::{Batches, DataSet, Rates, Shape};
use super::configs::Configs;
use super::experiment::HartExperiment;
use super::tokens::TokenCache;
use super::words::{TextFiles, Texts};
use crate::hash::Hash;
use crate::training::captions::CaptionGrammar;
use crate::training::data::Records;
use crate::training::experiment::refuse;
use crate::training::notice::Notice;
use crate::training::observer::{TrainingEvent, TrainingObserver, report};
use crate::training::prepare::{hash_folder, prepare};
use crate::training::run::Run;

/// The folder of the model in that of the run.
pub(super) const MODEL: &str = "model";

/// The records of an experiment, and what makes captions of them.
pub(super) struct Sets {
    pub(super) train: Records,
    pub(super) validation: Records,
    pub(super) new: Option<Records>,
    pub(super) grammar: Option<CaptionGrammar>,
}

impl Sets {
    /// Where captions to train on come from.
    pub(super) fn texts(&self) -> Texts<'_> {
        Texts { train: &self.train, new: self.new.as_ref(), grammar: self.grammar.as_ref() }
    }

    /// The hash of all that is learned from records.
    fn fingerprint(&self, records: &Records) -> Hash {
        let own = records.fingerprint(true);
        match &self.grammar {
            Some(grammar) => {
                let made = Hash::of_all(grammar.content_of(records.iter()));
                Hash::of_all([own, made])
            }
            None => own,
        }
    }

    /// Checks that the grammar makes captions of the records, and says of how many it makes none.
    fn check_captions(
        &self,
        experiment: &HartExperiment,
        observer: &mut dyn TrainingObserver,
    ) -> Result<()> {
        let Some((grammar, path)) = self.grammar.as_ref().zip(experiment.data.captions.as_ref())
        else {
            return Ok(());
        };
        let records = self.train.iter().chain(self.new.iter().flat_map(Records::iter));
        let (of, count) = (records.clone().count(), grammar.check(records)?);
        if count == of {
            let expected = "a grammar that makes a caption of some record: none has the `things` and \
                            columns that its forms name";
            return Err(refuse("data", "captions", path.display(), expected));
        }
        if count > 0 {
            report(observer, TrainingEvent::Notice(&Notice::Uncaptioned { count, of }))?;
        }
        Ok(())
    }
}

/// The run in its folder, with its records.
pub(super) fn open_run(
    experiment: &HartExperiment,
    observer: &mut dyn TrainingObserver,
) -> Result<(Run, Sets)> {
    let data = &experiment.data;
    let grammar = data.captions.as_ref().map(CaptionGrammar::open).transpose()?;
    let paths = [Some(&data.records), Some(&data.validation), data.new.as_ref()];
    let sets = paths.into_iter().flatten().map(|path| Records::read(path, false));
    let sets = sets.collect::<Result<Vec<_>>>()?;
    let (folder, sets, content) =
        prepare(&experiment.run, MODEL, sets, data.skip_bad, &mut *observer)?;
    let mut sets = sets.into_iter();
    let train = sets.next().zip(sets.next());
    let (train, validation) = train.expect("as many sets as were given");
    let sets = Sets { train, validation, new: sets.next(), grammar };
    sets.check_captions(experiment, observer)?;
    let mut content = content
        .with("records", sets.fingerprint(&sets.train))
        .with("validation", sets.validation.fingerprint(true))
        .with("tokenizer", hash_folder(&data.tokenizer)?);
    if let Some(new) = &sets.new {
        content = content.with("new", sets.fingerprint(new));
    }
    if let Some(grammar) = &sets.grammar {
        content = content.with("captions", Hash::of(grammar.content().as_bytes()));
    }
    if let Some(model) = data.start_from.as_ref().filter(|folder| folder.is_dir()) {
        let parts = [hash_folder(&model.join("llm"))?, hash_folder(&model.join("text"))?];
        content = content.with("start_from", Hash::of_all(parts));
    }
    let (run, optimizer) = (&experiment.run, &experiment.optimizer);
    Ok((Run::open(folder, run, optimizer, experiment, content, observer)?, sets))
}

/// Turns records into tokens, kept in the run's folder.
pub(super) struct Encoder<'a, B: HartBackend> {
    folder: &'a Path,
    tokenizer: &'a HybridTokenizer<B>,
    /// The hash of the tokenizer's files.
    hash: Hash,
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
        let hash = hash_folder(&experiment.data.tokenizer)?;
        Ok(Self { folder: run.folder.path(), tokenizer, hash, device, observer })
    }

    /// Some records with their tokens; `name` is that of the file.
    pub(super) fn encode(&mut self, records: Records, name: &str) -> Result<Arc<DataSet>> {
        let path = self.folder.join(format!("{name}-tokens.safetensors"));
        let Self { tokenizer, hash, device, observer, .. } = self;
        let tokens = TokenCache::open(&path, &records, tokenizer, hash, device, *observer)?;
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
