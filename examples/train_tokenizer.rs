//! Trains a hybrid tokenizer on a folder of images.
//!
//! ```sh
//! cargo run --release --example train_tokenizer -- examples/configs/sample-tokenizer.toml
//! ```
//!
//! The run's folder gets `metrics.csv` with its plot, pictures (source, discrete and continuous
//! reconstruction) as training goes, and at every save `tokenizer/` in the released layout. Start
//! the same command again to continue a run that was stopped or killed.
#![allow(clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use clap::Parser;
use hart_core::HartBackend;
use hart_core::checkpoint::{Checkpoint, LoadOptions, save_safetensors};
use hart_core::config::{AutoencoderConfig, ConfigReader};
use hart_core::random::{generator, uniform};
use hart_examples::data::{Augmentation, Records};
use hart_examples::run_on;
use hart_examples::training::config::{OptimizerSettings, RunSettings, read};
use hart_examples::training::metrics::Metrics;
use hart_examples::training::optimizer::{ScalarF64, Trainee};
use hart_examples::training::prefetch::{Order, Prefetch};
use hart_examples::training::run::RunFolder;
use hart_examples::training::{Clock, picture_grid, tensor};
use hart_pipeline::backend::OnBackend;
use hart_tokenizer::discriminator::{AdversarialPull, hinge_loss};
use hart_tokenizer::{HybridTokenizer, PatchDiscriminator, Reconstruction, to_pixels};
use rand::Rng;
use rayon::prelude::*;
use serde::Deserialize;

/// The stream of a seed that decides which images are decoded with their residual.
const DECODING: u64 = 130;
/// The stream of a seed that unused codes are drawn from again.
const REVIVAL: u64 = 131;
/// The columns of the metrics.
const COLUMNS: [&str; 10] = [
    "loss",
    "reconstruction",
    "quantizer",
    "adversarial",
    "discriminator",
    "codes_used",
    "gradient",
    "rate",
    "validation_discrete_db",
    "validation_continuous_db",
];
/// Images in the pictures of an evaluation.
const SHOWN: usize = 12;

/// Train a hybrid tokenizer.
#[derive(Parser)]
struct Arguments {
    /// The experiment, a TOML file
    experiment: PathBuf,
    /// The backend to run on, one of those compiled in
    #[arg(long)]
    device: Option<String>,
}

/// What the TOML file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    run: RunSettings,
    data: Data,
    /// The keys of the released `tokenizer/config.json`.
    tokenizer: toml::Table,
    #[serde(default)]
    loss: Loss,
    #[serde(default)]
    optimizer: OptimizerSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Records to train on.
    records: PathBuf,
    /// Records that are only looked at.
    validation: PathBuf,
    /// How many of the validation images are measured.
    #[serde(default = "most")]
    validation_images: usize,
    #[serde(default)]
    augmentation: Augmentation,
    /// A folder with a tokenizer of the same configuration to start from.
    start_from: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Loss {
    /// The share of images whose decoder sees the discrete codes alone.
    discrete_share: f64,
    /// Weight of the quantizer's loss.
    quantizer: f64,
    /// Codes that nothing was nearest to for so many steps are put where latents are; 0 for never.
    revive_after: u64,
    /// Whether everything up to the quantizer stays as it is.
    freeze_latents: bool,
    /// Weight of the adversarial loss over its adaptive one; 0 for none.
    adversarial: f64,
    /// The step from which it counts.
    adversarial_start: u64,
    /// Channels of the discriminator.
    discriminator_channels: usize,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            discrete_share: 0.5,
            quantizer: 1.0,
            revive_after: 100,
            freeze_latents: false,
            adversarial: 0.0,
            adversarial_start: 0,
            discriminator_channels: 64,
        }
    }
}

fn most() -> usize {
    256
}

/// What a step trains on.
struct Batch {
    images: Vec<f32>,
    continuous: Vec<bool>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_on(arguments.device.clone(), Program(arguments))
}

struct Program(Arguments);

impl OnBackend for Program {
    type Output = anyhow::Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Self::Output {
        let (experiment, text): (Experiment, _) = read(&self.0.experiment)?;
        experiment.run.check()?;
        experiment.optimizer.check()?;
        Training::<B>::start(experiment, &text, device)?.run()
    }
}

/// A run in progress.
struct Training<B: HartBackend> {
    experiment: Experiment,
    config: AutoencoderConfig,
    folder: RunFolder,
    train: Arc<Records>,
    validation: Records,
    tokenizer: Trainee<Autodiff<B>, HybridTokenizer<Autodiff<B>>>,
    adversary: Option<Trainee<Autodiff<B>, PatchDiscriminator<Autodiff<B>>>>,
    /// For each code how many steps ago it was last used.
    unused: Vec<u64>,
    step: u64,
    device: B::Device,
}

/// What is measured of a step.
#[derive(Default)]
struct Measured {
    reconstruction: f64,
    quantizer: f64,
    adversarial: f64,
    discriminator: f64,
    gradient: f64,
}

impl<B: HartBackend> Training<B> {
    fn start(experiment: Experiment, text: &str, device: B::Device) -> anyhow::Result<Self> {
        let json = serde_json::to_vec(&experiment.tokenizer)?;
        let config = AutoencoderConfig::read(&ConfigReader::parse("[tokenizer]", &json)?)?;
        let train = Arc::new(Records::open(&experiment.data.records)?);
        let validation = Records::open(&experiment.data.validation)?;
        let folder = RunFolder::open(&experiment.run.folder, text)?;
        let seed = experiment.run.seed;
        let tokenizer = HybridTokenizer::init(&config, &device);
        let tokenizer = match &experiment.data.start_from {
            Some(path) => HybridTokenizer::from_checkpoint(
                &config,
                &Checkpoint::open_folder(path)?,
                LoadOptions::default(),
                &device,
            )?,
            None => tokenizer.initialize(seed),
        };
        let freeze = experiment.loss.freeze_latents;
        let tokenizer = if freeze { tokenizer.freeze_latents() } else { tokenizer };
        let tokenizer = Trainee::new(tokenizer, experiment.optimizer.clone());
        let adversary = (experiment.loss.adversarial > 0.0).then(|| {
            let channels = experiment.loss.discriminator_channels;
            let module = PatchDiscriminator::init(channels, &device).initialize(seed);
            Trainee::new(module, experiment.optimizer.clone())
        });
        let unused = vec![0; config.codebook_size];
        let mut training = Self {
            experiment,
            config,
            folder,
            train,
            validation,
            tokenizer,
            adversary,
            unused,
            step: 0,
            device,
        };
        if let Some(snapshot) = training.folder.latest()? {
            let read = |name: &str| snapshot.read(name);
            let device = &training.device;
            training.tokenizer = training.tokenizer.restore("tokenizer", &read, device)?;
            training.adversary = match training.adversary {
                Some(adversary) => Some(adversary.restore("adversary", &read, device)?),
                None => None,
            };
            training.unused = serde_json::from_slice(&snapshot.read("unused.json")?)?;
            training.step = snapshot.step;
            eprintln!("continuing after step {}", snapshot.step);
        }
        Ok(training)
    }

    fn run(mut self) -> anyhow::Result<()> {
        let run = self.experiment.run.clone();
        let mut metrics = Metrics::open(self.folder.path(), &COLUMNS, self.step)?;
        let mut batches = self.batches();
        let clock = Clock::start(self.step, run.steps);
        while self.step < run.steps {
            let rate = self.experiment.optimizer.rate(self.step, run.steps);
            let measured = self.train_step(batches.take()?, rate)?;
            self.step += 1;
            let last = self.step == run.steps;
            let evaluate = last || self.step.is_multiple_of(run.evaluate_every);
            if evaluate || self.step.is_multiple_of(run.log_every) {
                let decibels = if evaluate { self.evaluate()? } else { [f64::NAN; 2] };
                let used = self.unused.iter().filter(|&&steps| steps < 20).count() as f64;
                let loss = measured.reconstruction + measured.quantizer;
                let row = [loss, measured.reconstruction, measured.quantizer, measured.adversarial];
                let rest = [measured.discriminator, used, measured.gradient, rate];
                metrics.add(self.step, &[&row[..], &rest, &decibels].concat())?;
                clock.report(self.step, &format!("loss {loss:.5}, {used} codes"));
                ensure!(loss.is_finite(), "the training has diverged: the loss is {loss}");
                if evaluate {
                    metrics.draw()?;
                    let [discrete, continuous] = decibels;
                    clock.line(&format!(
                        "step {}: validation {discrete:.2} dB discrete, {continuous:.2} dB continuous",
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

    /// The batches of all steps to come, prepared on another thread.
    fn batches(&self) -> Prefetch<Batch> {
        let (run, data) = (self.experiment.run.clone(), self.experiment.data.clone());
        let (records, side) = (self.train.clone(), self.config.image_side());
        let share = self.experiment.loss.discrete_share;
        let mut order = Order::new(records.len(), run.seed);
        Prefetch::start(self.step..run.steps, move |step| {
            let items = order.batch(step, run.batch);
            let image = |(place, &item): (usize, &usize)| {
                let address = [step, place as u64];
                records.varied(item, side, &data.augmentation, run.seed, address)
            };
            let images: anyhow::Result<Vec<Vec<f32>>> =
                items.par_iter().enumerate().map(image).collect();
            let mut draws = generator(run.seed, DECODING, [step, 0]);
            let mut discrete = || uniform(draws.next_u64()) >= share;
            Ok(Batch {
                images: images?.concat(),
                continuous: items.iter().map(|_| discrete()).collect(),
            })
        })
    }

    fn train_step(&mut self, batch: Batch, rate: f64) -> anyhow::Result<Measured> {
        let parts = self.experiment.run.accumulate;
        let size = batch.continuous.len() / parts;
        let side = self.config.image_side();
        let mut measured = Measured::default();
        let mut accumulated = self.tokenizer.accumulator();
        let mut used = vec![];
        for part in 0..parts {
            let pixels = 3 * side * side * size;
            let images = batch.images[part * pixels..][..pixels].to_vec();
            let images = tensor(images, [size, 3, side, side], &self.device);
            let continuous = &batch.continuous[part * size..][..size];
            let found = self.tokenizer.module.reconstruct(
                images.clone(),
                continuous,
                self.config.commitment,
            )?;
            let mut loss =
                found.error.clone() + found.latent.loss.clone() * self.experiment.loss.quantizer;
            measured.reconstruction += found.error.clone().into_scalar_f64() / parts as f64;
            measured.quantizer += found.latent.loss.clone().into_scalar_f64() / parts as f64;
            if let Some(term) = self.adversarial(&found, &images, rate, &mut measured) {
                loss = loss + term;
            }
            accumulated.add(&self.tokenizer.module, (loss / parts as f64).backward());
            used.push(found.latent);
        }
        measured.gradient = self.tokenizer.step(accumulated, rate);
        self.count_codes(&used);
        self.revive_codes(&used)?;
        Ok(measured)
    }

    /// The adversarial term of the tokenizer's loss, after a step of the adversary on the same
    /// images.
    fn adversarial(
        &mut self,
        found: &Reconstruction<Autodiff<B>>,
        images: &Tensor<Autodiff<B>, 4>,
        rate: f64,
        measured: &mut Measured,
    ) -> Option<Tensor<Autodiff<B>, 1>> {
        let weight = self.experiment.loss.adversarial;
        let adversary = self.adversary.as_mut()?;
        if self.step < self.experiment.loss.adversarial_start {
            return None;
        }
        let last_layer = self.tokenizer.module.last_layer();
        let pull = AdversarialPull::of(&adversary.module, last_layer, found, images.clone());
        measured.adversarial = pull.loss.clone().into_scalar_f64();
        let term = pull.term(found) * weight;

        let reconstructed = adversary.module.forward(found.images.clone().detach());
        let loss = hinge_loss(adversary.module.forward(images.clone()), reconstructed);
        measured.discriminator = loss.clone().into_scalar_f64();
        let mut gradients = adversary.accumulator();
        gradients.add(&adversary.module, loss.backward());
        adversary.step(gradients, rate);
        Some(term)
    }

    fn count_codes(&mut self, latents: &[hart_tokenizer::QuantizedLatent<Autodiff<B>>]) {
        self.unused.iter_mut().for_each(|steps| *steps += 1);
        for indices in latents.iter().flat_map(|latent| &latent.indices) {
            for code in indices.to_data().iter::<i64>() {
                self.unused[code as usize] = 0;
            }
        }
    }

    /// Puts codes that were not used for long to latents of this batch that codes are far from.
    fn revive_codes(
        &mut self,
        latents: &[hart_tokenizer::QuantizedLatent<Autodiff<B>>],
    ) -> anyhow::Result<()> {
        let after = self.experiment.loss.revive_after;
        let frozen = self.experiment.loss.freeze_latents;
        if after == 0 || frozen || !self.step.is_multiple_of(after.div_ceil(4)) {
            return Ok(());
        }
        let dead: Vec<usize> =
            (0..self.unused.len()).filter(|&code| self.unused[code] >= after).collect();
        if dead.is_empty() {
            return Ok(());
        }
        let mut draws = generator(self.experiment.run.seed, REVIVAL, [self.step, 0]);
        let channels = self.config.latent_channels;
        let vectors: Vec<Vec<f32>> = latents
            .iter()
            .flat_map(|latent| &latent.vectors)
            .map(|vectors| vectors.to_data().iter::<f32>().collect())
            .collect();
        // Every scale has a like share, not every token: the last scale has most tokens.
        let codebook = self.tokenizer.module.quantizer.codebook.val().inner();
        let [entries, _] = codebook.dims();
        let mut values: Vec<f32> = codebook.into_data().iter::<f32>().collect();
        for code in dead {
            let scale = &vectors[draws.next_u64() as usize % vectors.len()];
            let token = draws.next_u64() as usize % (scale.len() / channels);
            values[code * channels..][..channels]
                .copy_from_slice(&scale[token * channels..][..channels]);
            self.unused[code] = 0;
        }
        let values: Tensor<B, 2> = tensor(values, [entries, channels], &self.device);
        let codebook = self.tokenizer.module.quantizer.codebook.clone();
        self.tokenizer.module.quantizer.codebook =
            codebook.map(|_| Tensor::from_inner(values).require_grad());
        Ok(())
    }

    /// Decibels of the discrete and the continuous reconstruction of the validation images by the
    /// mean of the weights; pictures of the first ones.
    fn evaluate(&self) -> anyhow::Result<[f64; 2]> {
        let tokenizer = self.tokenizer.averaged();
        let side = self.config.image_side();
        let count = self.validation.len().min(self.experiment.data.validation_images);
        let mut errors = [0.0; 2];
        let mut shown = vec![];
        for start in (0..count).step_by(32) {
            let items: Vec<usize> = (start..count.min(start + 32)).collect();
            let images: anyhow::Result<Vec<Vec<f32>>> =
                items.par_iter().map(|&item| self.validation.image(item, side)).collect();
            let images =
                tensor::<B, 4>(images?.concat(), [items.len(), 3, side, side], &self.device);
            let latent = tokenizer.encode_latent(images.clone(), &mut ());
            let quantized = tokenizer.quantizer.quantize(latent.clone(), 0.0);
            let decoded = [quantized.discrete, latent]
                .map(|latent| to_pixels(tokenizer.decode_latent(latent, &mut ())));
            let images = to_pixels(images);
            for (error, decoded) in errors.iter_mut().zip(&decoded) {
                let square = (decoded.clone() - images.clone()).square().mean();
                *error += square.into_scalar_f64() * items.len() as f64 / count as f64;
            }
            if start == 0 {
                let [discrete, continuous] = decoded;
                let rows = SHOWN.min(items.len());
                for row in [images, discrete, continuous] {
                    shown.extend(row.narrow(0, 0, rows).into_data().iter::<f32>());
                }
                let path = self.folder.path().join(format!("pictures/{:07}.png", self.step));
                picture_grid(&path, &shown, side, rows)?;
            }
        }
        Ok(errors.map(|error| -10.0 * error.log10()))
    }

    /// A snapshot, and the mean of the weights in the released layout.
    fn save(&self) -> anyhow::Result<()> {
        let mut files = self.tokenizer.files("tokenizer")?;
        if let Some(adversary) = &self.adversary {
            files.extend(adversary.files("adversary")?);
        }
        files.push(("unused.json".to_string(), serde_json::to_vec(&self.unused)?));
        self.folder.save(self.step, &files)?;
        let folder = self.folder.path().join("tokenizer");
        std::fs::create_dir_all(&folder)?;
        let mut tensors = self.tokenizer.averaged().tensors(&self.config);
        if let Some(adversary) = &self.adversary {
            tensors.extend(adversary.module.valid().tensors());
        }
        save_safetensors(folder.join("model.safetensors"), &tensors)?;
        let mut config = serde_json::to_value(&self.experiment.tokenizer)?;
        config["model_type"] = "hart_autoencoder_with_disc".into();
        let config = serde_json::to_vec_pretty(&config)?;
        hart_core::write_atomically(folder.join("config.json"), &config)?;
        Ok(())
    }
}
