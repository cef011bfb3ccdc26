//! The run.

use std::sync::Arc;

use anyhow::ensure;
use burn::backend::Autodiff;
use hart_core::HartBackend;
use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::config::AutoencoderConfig;
use hart_core::random::SeededDraws;
use hart_diffusion::{DiffusionLoss, NoiseSchedule, ResidualHead};
use hart_examples::data::Records;
use hart_examples::training::metrics::Metrics;
use hart_examples::training::optimizer::{ScalarF64, Trainee};
use hart_examples::training::run::RunFolder;
use hart_examples::training::text::TextFiles;
use hart_examples::training::tokens::TokenCache;
use hart_examples::training::{Clock, picture_grid};
use hart_pipeline::text::{SystemPrompt, TextEncoder};
use hart_pipeline::{GenerationSettings, HartModel};
use hart_tokenizer::{HybridTokenizer, to_pixels};

use crate::Experiment;
use crate::batches::{Batch, Batches, DataSet};
use crate::export::export;
use crate::learner::{Configs, Learner};

/// The columns of the metrics.
const COLUMNS: [&str; 8] = [
    "loss",
    "cross_entropy",
    "diffusion",
    "accuracy",
    "gradient",
    "rate",
    "validation_cross_entropy",
    "validation_diffusion",
];
/// The seed of the pictures.
const PICTURES: u64 = 7;
/// Pictures a row.
const PICTURE_COLUMNS: usize = 8;
/// Records measured at a time.
const VALIDATION_BATCH: usize = 32;

/// A run in progress.
pub(crate) struct Training<B: HartBackend> {
    experiment: Experiment,
    configs: Configs,
    words: TextFiles,
    folder: RunFolder,
    tokenizer: HybridTokenizer<B>,
    train: Batches,
    validation: Batches,
    learner: Trainee<Autodiff<B>, Learner<Autodiff<B>>>,
    diffusion: DiffusionLoss,
    step: u64,
    device: B::Device,
}

/// What is measured of a step.
#[derive(Default)]
struct Measured {
    cross_entropy: f64,
    diffusion: f64,
    accuracy: f64,
    gradient: f64,
}

impl<B: HartBackend> Training<B> {
    /// Begins a run, or continues it from its last snapshot.
    pub(crate) fn start(
        experiment: Experiment,
        text: &str,
        device: B::Device,
    ) -> anyhow::Result<Self> {
        let train = Records::open(&experiment.data.records)?;
        let validation = Records::open(&experiment.data.validation)?;
        let folder = RunFolder::open(&experiment.run.folder, text)?;
        let snapshot = folder.latest()?;
        let words = match (&snapshot, &experiment.data.start_from) {
            (Some(snapshot), _) => TextFiles::from_bytes(&snapshot.read("words.json")?)?,
            (None, Some(model)) => TextFiles::open(&model.join("text"))?,
            (None, None) => {
                let captions = train.records.iter().flat_map(|record| &record.captions);
                let vocabulary =
                    experiment.text.get("vocab_size").and_then(toml::Value::as_integer);
                let vocabulary = usize::try_from(vocabulary.unwrap_or(2048))?;
                TextFiles::learn(captions.map(String::as_str), vocabulary)?
            }
        };
        let configs = Configs::read(&experiment, &words)?;
        let tokenizer = open_tokenizer(&experiment, &configs.model.autoencoder, &device)?;
        let weights = std::fs::read(experiment.data.tokenizer.join("model.safetensors"))?;
        let data = |records: Records, name: &str| -> anyhow::Result<Arc<DataSet>> {
            let path = folder.path().join(format!("{name}-tokens.safetensors"));
            let tokens = TokenCache::open(&path, &records, &tokenizer, &weights, &device)?;
            Ok(Arc::new(DataSet { records, tokens }))
        };
        let train = data(train, "train")?;
        let validation = data(validation, "validation")?;
        let train = Batches::new(&experiment, &configs, train, words.tokenizer()?);
        let validation = train.for_validation(validation);
        let learner = Learner::start(&experiment, &configs, &device)?;
        let mut learner = Trainee::new(learner, experiment.optimizer.clone());
        let mut step = 0;
        if let Some(snapshot) = snapshot {
            learner = learner.restore("learner", &|name| snapshot.read(name), &device)?;
            step = snapshot.step;
            crate::say(&format!("continuing after step {step}"));
        }
        Ok(Self {
            experiment,
            configs,
            words,
            folder,
            tokenizer,
            train,
            validation,
            learner,
            diffusion: DiffusionLoss::default(),
            step,
            device,
        })
    }

    /// Trains to the end.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let run = self.experiment.run.clone();
        let mut metrics = Metrics::open(self.folder.path(), &COLUMNS, self.step)?;
        let part = run.batch / run.accumulate;
        let parts = run.accumulate as u64;
        // Every part of a batch has draws of its own.
        let mut batches = self.train.clone().prefetch(self.step * parts..run.steps * parts, part);
        let clock = Clock::start(self.step, run.steps);
        while self.step < run.steps {
            let rate = self.experiment.optimizer.rate(self.step, run.steps);
            let mut step = Vec::with_capacity(run.accumulate);
            for _ in 0..parts {
                step.push(batches.take()?);
            }
            let measured = self.train_step(&step, rate)?;
            self.step += 1;
            let last = self.step == run.steps;
            let evaluate = last || self.step.is_multiple_of(run.evaluate_every);
            if evaluate || self.step.is_multiple_of(run.log_every) {
                let validation = if evaluate { self.validate()? } else { [f64::NAN; 2] };
                let Measured { cross_entropy, diffusion, accuracy, gradient } = measured;
                let loss = cross_entropy + diffusion * self.experiment.loss.diffusion;
                let row = [loss, cross_entropy, diffusion, accuracy, gradient, rate];
                metrics.add(self.step, &[&row[..], &validation].concat())?;
                clock.report(
                    self.step,
                    &format!("entropy {cross_entropy:.3}, diffusion {diffusion:.3}"),
                );
                ensure!(loss.is_finite(), "the training has diverged: the loss is {loss}");
                if evaluate {
                    metrics.draw()?;
                    self.paint()?;
                    let [entropy, diffusion] = validation;
                    clock.line(&format!(
                        "step {}: validation entropy {entropy:.3}, diffusion {diffusion:.3}",
                        self.step
                    ));
                }
            }
            if last || self.step.is_multiple_of(run.save_every) {
                self.save()?;
            }
        }
        clock.finish();
        Ok(())
    }

    fn train_step(&mut self, parts: &[Batch], rate: f64) -> anyhow::Result<Measured> {
        let count = parts.len() as f64;
        let mut measured = Measured::default();
        let mut accumulated = self.learner.accumulator();
        for batch in parts {
            let learner = &self.learner.module;
            let terms = batch.loss(learner, &self.tokenizer, &self.diffusion, &self.device)?;
            let diffusion = terms.diffusion.total();
            let loss =
                terms.cross_entropy.clone() + diffusion.clone() * self.experiment.loss.diffusion;
            measured.cross_entropy += terms.cross_entropy.clone().into_scalar_f64() / count;
            measured.diffusion += diffusion.into_scalar_f64() / count;
            measured.accuracy += Batch::accuracy(&terms) / count;
            accumulated.add(learner, (loss / count).backward());
        }
        measured.gradient = self.learner.step(accumulated, rate);
        Ok(measured)
    }

    /// Cross entropy and diffusion loss on the validation records, by the mean of the weights.
    fn validate(&self) -> anyhow::Result<[f64; 2]> {
        use burn::module::AutodiffModule;
        let learner = Learner::<Autodiff<B>>::from_inner(self.learner.averaged());
        let count = self.validation.records().min(self.experiment.data.validation_images);
        let mut sums = [0.0; 2];
        for start in (0..count).step_by(VALIDATION_BATCH) {
            let items: Vec<usize> = (start..count.min(start + VALIDATION_BATCH)).collect();
            let batch = self.validation.make(start as u64, &items)?;
            let terms = batch.loss(&learner, &self.tokenizer, &self.diffusion, &self.device)?;
            let share = items.len() as f64 / count as f64;
            sums[0] += terms.cross_entropy.clone().into_scalar_f64() * share;
            sums[1] += terms.diffusion.total().into_scalar_f64() * share;
        }
        Ok(sums)
    }

    /// Makes the pictures of the fixed prompts with the mean of the weights.
    fn paint(&self) -> anyhow::Result<()> {
        let pictures = &self.experiment.pictures;
        if pictures.prompts.is_empty() {
            return Ok(());
        }
        let Learner { text, transformer, residual } = self.learner.averaged();
        let config = &self.configs.model;
        let steps = config.transformer.residual_head.sampling_steps.clone();
        let mut head = ResidualHead::init(&config.residual_head_size(), &steps, &self.device)?;
        head.network = residual;
        let model =
            HartModel { tokenizer: self.tokenizer.clone(), transformer, residual_head: head };
        let encoder = TextEncoder::new(
            self.words.tokenizer()?,
            text,
            self.configs.text.width,
            config.transformer.context_tokens,
            &SystemPrompt::None,
        )?;
        let settings = GenerationSettings {
            guidance: pictures.guidance,
            top_k: Some(pictures.top_k),
            top_p: pictures.top_p,
            smooth: pictures.smooth,
            mask_passes: 1,
            noise_schedule: Some(NoiseSchedule::respaced(&steps)?),
            diffusion_steps: steps,
            temperature: pictures.temperature,
        };
        let prompts = encoder.encode(&pictures.prompts)?;
        let draws = SeededDraws::new(vec![PICTURES; pictures.prompts.len()]);
        let latent =
            model.generate_latent(&prompts.text, &settings, &draws, &mut |_| Ok(()), &mut ())?;
        let images = to_pixels(model.tokenizer.decode_latent(latent, &mut ()));
        let values: Vec<f32> = images.into_data().iter::<f32>().collect();
        let path = self.folder.path().join(format!("pictures/{:07}.png", self.step));
        picture_grid(&path, &values, model.tokenizer.image_side(), PICTURE_COLUMNS)
    }

    /// A snapshot, and a model in the released layout.
    fn save(&self) -> anyhow::Result<()> {
        let mut files = self.learner.files("learner")?;
        files.push(("words.json".to_string(), self.words.to_bytes()?));
        self.folder.save(self.step, &files)?;
        use burn::module::AutodiffModule;
        let (present, mean) = (self.learner.module.valid(), self.learner.averaged());
        let folder = self.folder.path().join("model");
        export(&folder, &self.experiment, &self.configs, &self.words, &present, &mean)
    }
}

fn open_tokenizer<B: HartBackend>(
    experiment: &Experiment,
    config: &AutoencoderConfig,
    device: &B::Device,
) -> anyhow::Result<HybridTokenizer<B>> {
    let checkpoint = Checkpoint::open_folder(&experiment.data.tokenizer)?;
    let options = LoadOptions::default();
    Ok(HybridTokenizer::from_checkpoint(config, &checkpoint, options, device)?)
}
