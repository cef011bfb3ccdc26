//! The tokenizer and its adversary in training.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use hart_core::checkpoint::{Checkpoint, LoadOptions, save_safetensors};
use hart_core::{Error, HartBackend, Result, write_atomically};
use hart_tokenizer::discriminator::{AdversarialPull, hinge_loss};
use hart_tokenizer::{
    AutoencoderConfig, HybridTokenizer, PatchDiscriminator, QuantizedLatent, Reconstruction,
};
use serde_json::Value;

use super::batches::{Batch, batches};
use super::codes::{self, CodeUse};
use super::evaluation::{evaluate, residual_spread};
use super::experiment::TokenizerExperiment;
use super::predictor::Predictor;
use crate::hash::Hash;
use crate::training::data::{Prefetch, Records};
use crate::training::devices::Devices;
use crate::training::observer::TrainingObserver;
use crate::training::optimizer::Trainee;
use crate::training::prepare::{hash_folder, prepare};
use crate::training::run::{Run, Snapshot, Training};
use crate::training::values::{ScalarF64, finite, tensor};

/// The folder of the tokenizer in that of the run.
const MODEL: &str = "tokenizer";

/// A run in progress.
pub(super) struct TokenizerTraining<B: HartBackend> {
    experiment: TokenizerExperiment,
    run: Run,
    config: AutoencoderConfig,
    batches: Prefetch<Batch>,
    validation: Records,
    tokenizer: Trainee<Autodiff<B>, HybridTokenizer<Autodiff<B>>>,
    adversary: Option<Trainee<Autodiff<B>, PatchDiscriminator<Autodiff<B>>>>,
    codes: CodeUse,
    predictor: Option<Predictor<B>>,
    devices: Devices<B::Device>,
}

/// A part of a batch on its device: the tokenizer's reconstruction, and the images themselves.
type Reconstructed<B> = (Reconstruction<Autodiff<B>>, Tensor<Autodiff<B>, 4>);

/// The parts of a step's loss.
#[derive(Default)]
struct Terms {
    reconstruction: f64,
    quantizer: f64,
    adversarial: f64,
    discriminator: f64,
}

impl<B: HartBackend> TokenizerTraining<B> {
    /// Begins a run, or continues it from its last snapshot.
    pub(super) fn start(
        experiment: &TokenizerExperiment,
        device: &B::Device,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Self> {
        let devices = Devices::open::<B>(device, experiment.run.devices)?;
        let device = devices.first();
        let config = experiment.config()?;
        let (mut run, train, validation) = open_run(experiment, observer)?;
        let state = run.restore(observer, |snapshot| {
            State::<B>::begin(experiment, &config, snapshot.is_none(), device)?.restored(snapshot)
        })?;
        let State { tokenizer, adversary, codes } = state;
        let predictor = experiment.predictor();
        let predictor = predictor
            .map(|folder| Predictor::open(folder, &tokenizer.module.valid(), device))
            .transpose()?;
        let batches = batches(experiment, Arc::new(train), config.image_size(), run.done());
        Ok(Self {
            experiment: experiment.clone(),
            run,
            config,
            batches,
            validation,
            tokenizer,
            adversary,
            codes,
            predictor,
            devices,
        })
    }

    /// What the residual head predicts for the images of a part of a step's batch, as values of the
    /// latents `[images, Z, H, W]`.
    fn predictions(&self, step: u64, batch: &Batch, part: usize) -> Result<Option<Vec<f32>>> {
        let Some(predictor) = &self.predictor else { return Ok(None) };
        let size = batch.inputs.len() / self.experiment.run.accumulate;
        let image = self.config.image_size();
        let values = 3 * image.cells() * size;
        let images = batch.images[part * values..][..values].to_vec();
        let shape = [size, 3, image.rows, image.columns];
        let images = tensor::<B, 4>(images, shape, self.devices.first());
        let (inputs, captions) =
            (&batch.inputs[part * size..][..size], &batch.captions[part * size..][..size]);
        let tokenizer = self.tokenizer.module.valid();
        let seed = step * batch.inputs.len() as u64 + (part * size) as u64;
        let found = predictor.predict(&tokenizer, &images, inputs, captions, seed)?;
        Ok(found.map(|found| found.into_data().iter::<f32>().collect()))
    }

    /// Reconstructs some parts of a batch at once, each by a copy of the tokenizer on its device.
    fn reconstruct(
        &self,
        copies: &[HybridTokenizer<Autodiff<B>>],
        step: u64,
        batch: &Batch,
        parts: Range<usize>,
    ) -> Result<Vec<Reconstructed<B>>> {
        let latent = self.config.scales.latent();
        let channels = self.config.latent_channels;
        let size = batch.inputs.len() / self.experiment.run.accumulate;
        let image = self.config.image_size();
        let values = 3 * image.cells() * size;
        let places = copies.iter().zip(self.devices.all()).zip(parts);
        let items = places.map(|((tokenizer, device), part)| -> Result<_> {
            let images = batch.images[part * values..][..values].to_vec();
            let inputs = batch.inputs[part * size..][..size].to_vec();
            let predicted = self.predictions(step, batch, part)?;
            Ok((tokenizer.clone(), device.clone(), images, inputs, predicted))
        });
        let items = items.collect::<Result<Vec<_>>>()?;
        let commitment = self.config.commitment;
        let found = self.devices.at_once(items, move |item| {
            let (tokenizer, device, images, inputs, predicted) = item;
            let images = tensor(images, [size, 3, image.rows, image.columns], &device);
            let shape = [size, channels, latent.rows, latent.columns];
            let predicted = predicted.map(|values| tensor(values, shape, &device));
            let found = tokenizer.reconstruct(images.clone(), &inputs, predicted, commitment)?;
            Ok((found, images))
        });
        found.into_iter().collect()
    }

    /// The adversarial term of the tokenizer's loss, after a step of the adversary on the same
    /// images.
    fn adversarial(
        &mut self,
        step: u64,
        rate: f64,
        found: &Reconstruction<Autodiff<B>>,
        images: Tensor<Autodiff<B>, 4>,
        terms: &mut Terms,
    ) -> Result<Option<Tensor<Autodiff<B>, 1>>> {
        let Some(adversary) = &mut self.adversary else { return Ok(None) };
        if step < self.experiment.loss.adversarial_start {
            return Ok(None);
        }
        let last_layer = self.tokenizer.module.last_layer();
        let pull = AdversarialPull::of(&adversary.module, last_layer, found, images.clone())?;
        terms.adversarial = finite("the adversarial loss", pull.loss.clone().into_scalar_f64())?;
        let term = pull.term(found) * self.experiment.loss.adversarial;

        // The adversary stays on the first device and learns from part after part: every one
        // moves it, and its batch norms count what each thread has seen on its own.
        let device = self.devices.first();
        let reconstructed = found.images.clone().detach().to_device(device);
        let reconstructed = adversary.module.forward(reconstructed);
        let loss = hinge_loss(adversary.module.forward(images.to_device(device)), reconstructed);
        terms.discriminator = finite("the discriminator's loss", loss.clone().into_scalar_f64())?;
        let mut gradients = adversary.accumulator();
        gradients.add(&adversary.module, loss.backward());
        adversary.step(gradients, rate)?;
        Ok(Some(term))
    }

    fn revive_codes(&mut self, step: u64, latents: &[QuantizedLatent<Autodiff<B>>]) {
        let loss = &self.experiment.loss;
        if loss.freeze_latents {
            return;
        }
        let quantizer = &mut self.tokenizer.module.quantizer;
        let address = [self.experiment.run.seed, step];
        let codebook = quantizer.codebook.val().inner();
        if let Some(moved) = self.codes.revive(loss.revive_after, address, codebook, latents) {
            let codebook = quantizer.codebook.clone();
            quantizer.codebook = codebook.map(|_| Tensor::from_inner(moved).require_grad());
        }
    }
}

impl<B: HartBackend> Training for TokenizerTraining<B> {
    const STEP: &'static [&'static str] = &[
        "loss",
        "reconstruction",
        "quantizer",
        "adversarial",
        "discriminator",
        "codes_used",
        "gradient",
    ];
    const EVALUATION: &'static [&'static str] =
        &["validation_discrete_db", "validation_continuous_db", "validation_codes_db"];

    fn run(&self) -> &Run {
        &self.run
    }

    fn step(&mut self, step: u64, rate: f64) -> Result<Vec<f64>> {
        let batch = self.batches.take()?;
        let parts = self.experiment.run.accumulate;
        let mut terms = Terms::default();
        let mut latents = vec![];
        let copies = self.devices.copies::<Autodiff<B>, _>(&self.tokenizer.module);
        let mut accumulated = self.tokenizer.accumulator();
        for round in self.devices.rounds(parts) {
            let mut losses = vec![];
            for (found, images) in self.reconstruct(&copies, step, &batch, round)? {
                let quantizer = found.latent.loss.clone();
                let weight = self.experiment.loss.quantizer;
                let mut loss = found.error.clone() + quantizer.clone() * weight;
                let error = found.error.clone().into_scalar_f64();
                terms.reconstruction += finite("the reconstruction loss", error)? / parts as f64;
                let quantizer = quantizer.into_scalar_f64();
                terms.quantizer += finite("the quantizer's loss", quantizer)? / parts as f64;
                if let Some(term) = self.adversarial(step, rate, &found, images, &mut terms)? {
                    loss = loss + term;
                }
                losses.push(loss / parts as f64);
                latents.push(found.latent);
            }
            let gradients = self.devices.at_once(losses, |loss| loss.backward());
            // Whichever device is ready first, sums are made in the order of the parts.
            for (copy, gradients) in copies.iter().zip(gradients) {
                accumulated.add(copy, gradients);
            }
        }
        let gradient = self.tokenizer.step(accumulated, rate)?;
        self.codes.count(&latents);
        self.revive_codes(step, &latents);
        let Terms { reconstruction, quantizer, adversarial, discriminator } = terms;
        let (loss, used) = (reconstruction + quantizer, self.codes.used() as f64);
        Ok(vec![loss, reconstruction, quantizer, adversarial, discriminator, used, gradient])
    }

    fn evaluate(&self, step: u64) -> Result<Vec<f64>> {
        let (tokenizer, sheet) = (self.tokenizer.averaged(), self.run.images(step));
        let count = self.experiment.data.validation_images;
        let device = self.devices.first();
        Ok(evaluate(&tokenizer, &self.validation, count, &sheet, device)?.to_vec())
    }

    fn save(&self, step: u64) -> Result<()> {
        let mut files = self.tokenizer.files("tokenizer")?;
        if let Some(adversary) = &self.adversary {
            files.extend(adversary.files("adversary")?);
        }
        files.push((codes::FILE.to_string(), self.codes.to_bytes()));
        self.run.folder.save(step, &files)
    }

    fn export(&self) -> Result<()> {
        let folder = self.run.folder.path().join(MODEL);
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        let mut tensors = self.scaled()?.tensors(&self.config)?;
        if let Some(adversary) = &self.adversary {
            tensors.extend(adversary.module.valid().tensors()?);
        }
        save_safetensors(folder.join("model.safetensors"), &tensors)?;
        let mut config = Value::from(self.experiment.tokenizer.clone());
        config["model_type"] = "hart_autoencoder_with_disc".into();
        write_atomically(folder.join("config.json"), format!("{config:#}").as_bytes())
    }
}

impl<B: HartBackend> TokenizerTraining<B> {
    /// The tokenizer with the mean of its weights, its residuals as large as they are wanted.
    fn scaled(&self) -> Result<HybridTokenizer<B>> {
        let tokenizer = self.tokenizer.averaged();
        let Some(wanted) = self.experiment.export.residual_spread else { return Ok(tokenizer) };
        let count = self.experiment.data.validation_images;
        let found = residual_spread(&tokenizer, &self.validation, count, self.devices.first())?;
        if found > 0.0 {
            return tokenizer.scale_latents(wanted / found);
        }
        Err(Error::invalid("the spread of the residuals", found, "above 0, to be scaled"))
    }
}

/// What a snapshot holds.
struct State<B: HartBackend> {
    tokenizer: Trainee<Autodiff<B>, HybridTokenizer<Autodiff<B>>>,
    adversary: Option<Trainee<Autodiff<B>, PatchDiscriminator<Autodiff<B>>>>,
    codes: CodeUse,
}

impl<B: HartBackend> State<B> {
    /// Before the first step. Weights to start from are read for a `new` run alone.
    fn begin(
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
    fn restored(self, snapshot: Option<&Snapshot>) -> Result<Self> {
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
fn open_run(
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
