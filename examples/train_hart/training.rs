//! Text encoder, transformer and residual head in training.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use hart_core::HartBackend;
use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::config::AutoencoderConfig;
use hart_core::random::SeededDraws;
use hart_diffusion::{DiffusionLoss, NoiseSchedule, ResidualHead};
use hart_examples::data::Records;
use hart_examples::training::devices::Devices;
use hart_examples::training::optimizer::{ScalarF64, Trainee};
use hart_examples::training::picture_grid;
use hart_examples::training::prefetch::Prefetch;
use hart_examples::training::run::{Measured, Run, Training};
use hart_examples::training::text::TextFiles;
use hart_examples::training::tokens::TokenCache;
use hart_pipeline::text::{SystemPrompt, TextEncoder};
use hart_pipeline::{GenerationSettings, HartModel};
use hart_tokenizer::{HybridTokenizer, to_pixels};

use crate::Experiment;
use crate::batches::{Batch, Batches, DataSet};
use crate::export::export;
use crate::learner::{Configs, Learner};
use crate::part::Part;

/// The seed of the pictures.
const PICTURES: u64 = 7;
/// Pictures a row.
const PICTURE_COLUMNS: usize = 8;
/// Records measured at a time.
const VALIDATION_BATCH: usize = 32;

/// A run in progress.
pub(crate) struct HartTraining<B: HartBackend> {
    experiment: Experiment,
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
    pub(crate) fn start(
        experiment: Experiment,
        text: &str,
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let devices = Devices::open::<B>(device, experiment.run.devices)?;
        let device = devices.first();
        let train = Records::open(&experiment.data.records)?;
        let validation = Records::open(&experiment.data.validation)?;
        let run = Run::open(&experiment.run, &experiment.optimizer, text)?;
        let new = experiment.data.new.as_deref().map(Records::open).transpose()?;
        let words = begin_words(&experiment, &run, &train, new.as_ref())?;
        let configs = Configs::read(&experiment, &words)?;
        let tokenizer = open_tokenizer(&experiment, &configs.model.autoencoder, device)?;
        let weights = std::fs::read(experiment.data.tokenizer.join("model.safetensors"))?;
        let data = |records: Records, name: &str| -> anyhow::Result<Arc<DataSet>> {
            let path = run.folder.path().join(format!("{name}-tokens.safetensors"));
            let tokens = TokenCache::open(&path, &records, &tokenizer, &weights, device)?;
            Ok(Arc::new(DataSet { records, tokens }))
        };
        let train = data(train, "train")?;
        let new = new.map(|new| data(new, "new")).transpose()?;
        let validation = data(validation, "validation")?;
        let train = Batches::new(&experiment, &configs, train, new, words.tokenizer()?);
        let validation = train.for_validation(validation);
        let learner = Learner::start(&experiment, &configs, device)?;
        let mut learner = Trainee::new(learner, experiment.optimizer.clone());
        if let Some(snapshot) = &run.snapshot {
            learner = learner.restore("learner", &|name| snapshot.read(name), device)?;
        }
        // Every part of a batch has draws of its own.
        let parts = run.settings.accumulate;
        let steps = run.done() * parts as u64..run.settings.steps * parts as u64;
        let batches = train.prefetch(steps, run.settings.batch / parts);
        Ok(Self {
            experiment,
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
    fn validate(&self) -> anyhow::Result<[f64; 2]> {
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

    /// Makes the pictures of the fixed prompts with the mean of the weights.
    fn paint(&self, step: u64) -> anyhow::Result<()> {
        let pictures = &self.experiment.pictures;
        if pictures.prompts.is_empty() {
            return Ok(());
        }
        let Learner { text, transformer, residual } = self.learner.averaged();
        let config = &self.configs.model;
        let steps = config.transformer.residual_head.sampling_steps.clone();
        let mut head =
            ResidualHead::init(&config.residual_head_size(), &steps, self.devices.first())?;
        head.network = residual;
        let model =
            HartModel { tokenizer: self.tokenizers[0].clone(), transformer, residual_head: head };
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
        let side = model.tokenizer.image_side();
        picture_grid(&self.run.pictures(step), &values, side, PICTURE_COLUMNS)
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

    fn step(&mut self, _: u64, rate: f64) -> anyhow::Result<Measured> {
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
        let gradient = self.learner.step(accumulated, rate);
        let loss = cross_entropy + diffusion * weight;
        Ok(Measured {
            values: vec![loss, cross_entropy, diffusion, accuracy, gradient],
            message: format!("entropy {cross_entropy:.3}, diffusion {diffusion:.3}"),
        })
    }

    fn evaluate(&self, step: u64) -> anyhow::Result<Measured> {
        let [entropy, diffusion] = self.validate()?;
        self.paint(step)?;
        Ok(Measured {
            values: vec![entropy, diffusion],
            message: format!("validation entropy {entropy:.3}, diffusion {diffusion:.3}"),
        })
    }

    fn save(&self, step: u64) -> anyhow::Result<()> {
        let mut files = self.learner.files("learner")?;
        files.push(("words.json".to_string(), self.words.to_bytes()?));
        self.run.folder.save(step, &files)?;
        let (present, mean) = (self.learner.module.valid(), self.learner.averaged());
        let folder = self.run.folder.path().join("model");
        export(&folder, &self.experiment, &self.configs, &self.words, &present, &mean)
    }
}

/// The text tokenizer: of the run that is continued, of the model that is started from, or learned
/// from the captions.
fn begin_words(
    experiment: &Experiment,
    run: &Run,
    train: &Records,
    new: Option<&Records>,
) -> anyhow::Result<TextFiles> {
    let records = train.records.iter().chain(new.into_iter().flat_map(|new| &new.records));
    let captions = records.flat_map(|record| &record.captions);
    match (&run.snapshot, &experiment.data.start_from) {
        (Some(snapshot), _) => TextFiles::from_bytes(&snapshot.read("words.json")?),
        (None, Some(model)) => {
            let words = TextFiles::open(&model.join("text"))?;
            Ok(words.with_captions(captions.map(String::as_str)))
        }
        (None, None) => {
            let vocabulary = experiment.text.get("vocab_size").and_then(toml::Value::as_integer);
            let vocabulary = usize::try_from(vocabulary.unwrap_or(2048))?;
            TextFiles::learn(captions.map(String::as_str), vocabulary)
        }
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
