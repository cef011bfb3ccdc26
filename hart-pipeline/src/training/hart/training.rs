//! Text encoder, transformer and residual head in training.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use hart_core::random::SeededDraws;
use hart_core::{HartBackend, Result};
use hart_diffusion::{DiffusionLoss, ResidualHead};
use hart_tokenizer::{HybridTokenizer, to_pixels};

use super::batch::Batch;
use super::batches::Batches;
use super::configs::Configs;
use super::data::{Encoder, MODEL, Sets, batches, open_run, open_tokenizer};
use super::experiment::HartExperiment;
use super::export::export;
use super::learner::Learner;
use super::part::Part;
use super::words::{self, TextFiles};
use crate::generation::GenerationSettings;
use crate::text::SystemPrompt;
use crate::training::data::Prefetch;
use crate::training::devices::Devices;
use crate::training::observer::TrainingObserver;
use crate::training::optimizer::Trainee;
use crate::training::run::{Run, Snapshot, Training};
use crate::training::sheet::save_sheet;
use crate::training::values::ScalarF64;

/// The seed of the images.
const SAMPLES: u64 = 7;
/// Images a row of their sheet.
const COLUMNS: usize = 8;
/// Records measured at a time.
const VALIDATION_BATCH: usize = 32;

/// A run in progress.
pub(super) struct HartTraining<B: HartBackend> {
    experiment: HartExperiment,
    run: Run,
    configs: Configs,
    words: TextFiles,
    /// The tokenizer on every device.
    tokenizers: Vec<HybridTokenizer<B>>,
    /// The parts of all steps to come.
    batches: Prefetch<Batch>,
    validation: Batches,
    learner: Trainee<Autodiff<B>, Learner<Autodiff<B>>>,
    diffusion: Arc<DiffusionLoss>,
    devices: Devices<B::Device>,
}

impl<B: HartBackend> HartTraining<B> {
    /// Begins a run, or continues it from its last snapshot.
    pub(super) fn start(
        experiment: &HartExperiment,
        device: &B::Device,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Self> {
        let devices = Devices::open::<B>(device, experiment.run.devices)?;
        let device = devices.first();
        Configs::check(experiment)?;
        let (mut run, sets) = open_run(experiment, observer)?;
        let (words, configs, learner) =
            run.restore(observer, |snapshot| begin(experiment, &sets, snapshot, device))?;
        let tokenizer = open_tokenizer(experiment, &configs, device)?;
        let mut encoder = Encoder::open(experiment, &run, &tokenizer, device, observer)?;
        let train = encoder.encode(sets.train, "train")?;
        let new = sets.new.map(|new| encoder.encode(new, "new")).transpose()?;
        let validation = encoder.encode(sets.validation, "validation")?;
        let train = batches(experiment, &configs, &words, train, new, sets.grammar)?;
        let validation = train.for_validation(validation);
        // Every part of a batch has draws of its own.
        let parts = run.settings.accumulate;
        let steps = run.done() * parts as u64..run.settings.steps * parts as u64;
        let batches = train.prefetch(steps, run.settings.batch / parts);
        Ok(Self {
            experiment: experiment.clone(),
            run,
            configs,
            words,
            tokenizers: devices.copies::<B, _>(&tokenizer),
            batches,
            validation,
            learner,
            diffusion: Arc::new(DiffusionLoss::default()),
            devices,
        })
    }

    /// Cross entropy and diffusion loss on the validation records, by the mean of the weights.
    fn validate(&self) -> Result<[f64; 2]> {
        let learner = Learner::<Autodiff<B>>::from_inner(self.learner.averaged());
        let count = self.validation.records().min(self.experiment.data.validation_images);
        let (tokenizer, device) = (&self.tokenizers[0], self.devices.first());
        let mut sums = [0.0; 2];
        for start in (0..count).step_by(VALIDATION_BATCH) {
            let items: Vec<usize> = (start..count.min(start + VALIDATION_BATCH)).collect();
            let batch = self.validation.make(start as u64, &items)?;
            let terms = batch.loss(&learner, tokenizer, &self.diffusion, device)?;
            let share = items.len() as f64 / count as f64;
            sums[0] += terms.cross_entropy().into_scalar_f64() * share;
            sums[1] += terms.diffusion.total().into_scalar_f64() * share;
        }
        Ok(sums)
    }

    /// Makes the images of the fixed prompts with the mean of the weights.
    fn sample(&self, step: u64) -> Result<()> {
        let samples = &self.experiment.samples;
        if samples.prompts.is_empty() {
            return Ok(());
        }
        let config = &self.configs.model;
        let steps = &config.residual_head.sampling_steps;
        let head = ResidualHead::init(&config.residual_head_size(), steps, self.devices.first())?;
        let (tokenizer, prompts) = (self.tokenizers[0].clone(), self.words.tokenizer()?);
        let learner = self.learner.averaged();
        let parts = learner.into_parts(tokenizer, head, prompts, &SystemPrompt::None)?;
        let settings = GenerationSettings::for_model(&samples.defaults(), steps)?;
        let text = parts.text_encoder.encode(&samples.prompts)?.text;
        let draws = SeededDraws::new(vec![SAMPLES; samples.prompts.len()]);
        let latent = parts.model.generation(&text, &settings, &draws).run()?;
        let tokenizer = &parts.model.tokenizer;
        let images = to_pixels(tokenizer.decode_latent(latent, &mut ()));
        let values: Vec<f32> = images.into_data().iter::<f32>().collect();
        save_sheet(&self.run.images(step), &values, tokenizer.image_size(), COLUMNS)
    }
}

impl<B: HartBackend> Training for HartTraining<B> {
    const STEP: &'static [&'static str] =
        &["loss", "cross_entropy", "diffusion", "accuracy", "gradient"];
    const EVALUATION: &'static [&'static str] =
        &["validation_cross_entropy", "validation_diffusion"];

    fn run(&self) -> &Run {
        &self.run
    }

    fn step(&mut self, _: u64, rate: f64) -> Result<Vec<f64>> {
        let parts = self.experiment.run.accumulate;
        let count = parts as f64;
        let (weight, balance) =
            (self.experiment.loss.diffusion, self.experiment.loss.scale_balance);
        let [mut cross_entropy, mut diffusion, mut accuracy] = [0.0; 3];
        let copies = self.devices.copies::<Autodiff<B>, _>(&self.learner.module);
        let mut accumulated = self.learner.accumulator();
        for round in self.devices.rounds(parts) {
            let mut work = vec![];
            for (place, learner) in copies.iter().enumerate().take(round.len()) {
                work.push(Part {
                    batch: self.batches.take()?,
                    learner: learner.clone(),
                    tokenizer: self.tokenizers[place].clone(),
                    device: self.devices.all()[place].clone(),
                });
            }
            let terms = self.diffusion.clone();
            let learn = move |part: Part<B>| part.learn(&terms, [weight, balance], count);
            // Whichever device is ready first, sums are made in the order of the parts.
            for (copy, found) in copies.iter().zip(self.devices.at_once(work, learn)) {
                let found = found?;
                cross_entropy += found.cross_entropy / count;
                diffusion += found.diffusion / count;
                accuracy += found.accuracy / count;
                accumulated.add(copy, found.gradients);
            }
        }
        let gradient = self.learner.step(accumulated, rate)?;
        let loss = cross_entropy + diffusion * weight;
        Ok(vec![loss, cross_entropy, diffusion, accuracy, gradient])
    }

    fn evaluate(&self, step: u64) -> Result<Vec<f64>> {
        let validated = self.validate()?;
        self.sample(step)?;
        Ok(validated.to_vec())
    }

    fn save(&self, step: u64) -> Result<()> {
        let mut files = self.learner.files("learner")?;
        files.push((words::FILE.to_string(), self.words.to_bytes()?));
        self.run.folder.save(step, &files)
    }

    fn export(&self) -> Result<()> {
        let (present, mean) = (self.learner.module.valid(), self.learner.averaged());
        let folder = self.run.folder.path().join(MODEL);
        export(&folder, &self.experiment, &self.configs, &self.words, &present, &mean)
    }
}

/// All that is trained, before the first step or as a snapshot has it.
#[expect(clippy::type_complexity, reason = "three values of one function")]
fn begin<B: HartBackend>(
    experiment: &HartExperiment,
    sets: &Sets,
    snapshot: Option<&Snapshot>,
    device: &B::Device,
) -> Result<(TextFiles, Configs, Trainee<Autodiff<B>, Learner<Autodiff<B>>>)> {
    let words = words::begin(experiment, snapshot, &sets.texts())?;
    let configs = Configs::read(experiment, words.tokenizer()?.vocabulary())?;
    // Weights to start from are read for a new run alone.
    let start_from = experiment.data.start_from.as_deref().filter(|_| snapshot.is_none());
    let learner = Learner::start(&configs, experiment.run.seed, start_from, device)?;
    let learner = learner.freeze(&experiment.data.freeze);
    let learner = Trainee::new(learner, experiment.optimizer.clone());
    let learner = match snapshot {
        Some(snapshot) => learner.restore("learner", &|name| snapshot.read(name))?,
        None => learner,
    };
    Ok((words, configs, learner))
}
