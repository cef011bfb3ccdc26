//! What a run begins with: its folder, its records, and the weights of its last snapshot.

use burn::backend::Autodiff;
use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::{HartBackend, Result};
use hart_tokenizer::{AutoencoderConfig, HybridTokenizer, PatchDiscriminator};

use super::codes::{self, CodeUse};
use super::experiment::TokenizerExperiment;
use super::training::MODEL;
use crate::hash::Hash;
use crate::training::data::Records;
use crate::training::observer::TrainingObserver;
use crate::training::optimizer::Trainee;
use crate::training::prepare::{hash_folder, prepare};
use crate::training::run::{Run, Snapshot};

/// What a snapshot holds.
pub(super) struct State<B: HartBackend> {
    pub(super) tokenizer: Trainee<Autodiff<B>, HybridTokenizer<Autodiff<B>>>,
    pub(super) adversary: Option<Trainee<Autodiff<B>, PatchDiscriminator<Autodiff<B>>>>,
    pub(super) codes: CodeUse,
}

impl<B: HartBackend> State<B> {
    /// Before the first step. Weights to start from are read for a `new` run alone.
    pub(super) fn begin(
        experiment: &TokenizerExperiment,
        config: &AutoencoderConfig,
        new: bool,
        device: &B::Device,
    ) -> Result<Self> {
        let tokenizer = match experiment.data.start_from.as_ref().filter(|_| new) {
            Some(path) => {
                let checkpoint = Checkpoint::open_folder(path)?;
                let options = LoadOptions::default();
                HybridTokenizer::from_checkpoint(config, &checkpoint, options, device)?
            }
            None => HybridTokenizer::init(config, device).initialize(experiment.run.seed)?,
        };
        let freeze = experiment.loss.freeze_latents;
        let tokenizer = if freeze { tokenizer.freeze_latents() } else { tokenizer };
        let mut adversary = None;
        if experiment.loss.adversarial > 0.0 {
            let channels = experiment.loss.discriminator_channels;
            let module = PatchDiscriminator::init(channels, device);
            let module = module.initialize(experiment.run.seed)?;
            adversary = Some(Trainee::new(module, experiment.optimizer.clone()));
        }
        let tokenizer = Trainee::new(tokenizer, experiment.optimizer.clone());
        Ok(Self { tokenizer, adversary, codes: CodeUse::new(config.codebook_size) })
    }

    /// As a snapshot has it.
    pub(super) fn restored(self, snapshot: Option<&Snapshot>) -> Result<Self> {
        let Some(snapshot) = snapshot else { return Ok(self) };
        let read = |name: &str| snapshot.read(name);
        let adversary = self.adversary.map(|adversary| adversary.restore("adversary", &read));
        Ok(Self {
            tokenizer: self.tokenizer.restore("tokenizer", &read)?,
            adversary: adversary.transpose()?,
            codes: self.codes.restored(&snapshot.read(codes::FILE)?)?,
        })
    }
}

/// The run in its folder, with its training and validation records.
pub(super) fn open_run(
    experiment: &TokenizerExperiment,
    observer: &mut dyn TrainingObserver,
) -> Result<(Run, Records, Records)> {
    let data = &experiment.data;
    let sets = [&data.records, &data.validation].map(|path| Records::read(path, false));
    let sets = sets.into_iter().collect::<Result<Vec<_>>>()?;
    let (folder, mut sets, mut content) =
        prepare(&experiment.run, MODEL, sets, data.skip_bad, &mut *observer)?;
    let (validation, train) = (sets.pop(), sets.pop());
    let (train, validation) = train.zip(validation).expect("as many sets as were given");
    // Captions are not learned from.
    content = content.with("records", train.fingerprint(false));
    content = content.with("validation", validation.fingerprint(false));
    if let Some(folder) = data.start_from.as_ref().filter(|folder| folder.is_dir()) {
        content = content.with("start_from", hash_folder(folder)?);
    }
    if let Some(folder) = experiment.predictor() {
        let parts = ["llm", "text"].map(|part| hash_folder(&folder.join(part)));
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        content = content.with("predictor", Hash::of_all(parts));
    }
    let (run, optimizer) = (&experiment.run, &experiment.optimizer);
    let run = Run::open(folder, run, optimizer, experiment, content, observer)?;
    Ok((run, train, validation))
}
