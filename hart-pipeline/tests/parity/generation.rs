//! Whole generations with recorded draws, through the code that users run: once piece by piece from
//! recorded inputs, once by itself to the image.

use burn::tensor::{Tensor, TensorData};
use hart_ar::modulation::pool_context;
use hart_ar::{ModulationKind, TextCondition};
use hart_core::HartBackend;
use hart_core::random::SeededDraws;
use hart_core::tap::Tap;
use hart_core::transfer::counted;
use hart_diffusion::NoiseSchedule;
use hart_pipeline::{GenerationSettings, HartModel, ModelConfig, TransformerWeights};
use hart_tokenizer::to_pixels;
use libtest_mimic::Failed;

use crate::draws::Recorded;
use crate::kinds::{CONTEXT, PIXELS, WHOLE_IMAGE, WHOLE_LATENT};
use crate::models::{config_of, load_model, model_folder, text_condition};
use crate::pieces::{Between, Pieces};
use crate::trace::Trace;

/// `trace_gen_*`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let folder = model_folder(&trace.folder, trace.case("trace_gen_"))?;
    let config = config_of(trace, &folder)?;
    let model = load_model::<B>(&config, &folder, TransformerWeights::Ema, trace.options, device)?;
    let generation = Generation::of(trace, &config, device)?;
    generation.compare_pieces(trace, &model)?;
    generation.compare_whole(trace, &model)?;
    generation.count_waits(&model, &B::name(device))
}

/// The inputs of a recorded generation.
pub(crate) struct Generation<B: HartBackend> {
    text: TextCondition<B>,
    settings: GenerationSettings,
    draws: Recorded,
}

impl<B: HartBackend> Generation<B> {
    pub(crate) fn of(
        trace: &Trace,
        config: &ModelConfig,
        device: &B::Device,
    ) -> Result<Self, Failed> {
        let settings = settings(trace, config)?;
        let draws = Recorded::new(trace, settings.mask_passes, settings.noise_schedule.is_some())?;
        Ok(Self { text: text_condition(trace, device)?, settings, draws })
    }

    /// Every piece from its recorded input.
    fn compare_pieces(&self, trace: &Trace, model: &HartModel<B>) -> Result<(), Failed> {
        let mut pieces = Pieces { trace, settings: &self.settings };
        let mut between = Between::new(trace);
        let generation = model.generation(&self.text, &self.settings, &self.draws);
        generation.hook(&mut pieces).tap(&mut between).run()?;
        let device = self.text.context.device();
        if let Some(latent) = trace.optional("latent") {
            let decoded = model.tokenizer.decode_latent(latent.tensor(&device), &mut ());
            trace.close(&PIXELS, "image", to_pixels(decoded).to_data());
        }
        self.compare_pooling(trace, &device);
        Ok(())
    }

    /// The mean of the recorded context, whether or not the configuration pools so.
    fn compare_pooling(&self, trace: &Trace, device: &B::Device) {
        let Some(embedded) = trace.optional("context.embedded") else { return };
        let [rows, tokens] = [embedded.shape[0], embedded.shape[1]];
        let mask = self.text.mask.iter().flatten();
        let mut valid: Vec<f32> = mask.map(|&valid| f32::from(u8::from(valid))).collect();
        // Of the empty prompt the first token alone.
        valid.resize(rows * tokens, 0.0);
        (rows / 2..rows).for_each(|row| valid[row * tokens] = 1.0);
        let valid = Tensor::from_data(TensorData::new(valid, [rows, tokens]), device);
        let mean = pool_context::<B>(ModulationKind::Shared, embedded.tensor(device), valid);
        trace.close(&CONTEXT, "context.mean", mean.to_data());
    }

    /// The final latent, the image and all indices of a generation that nothing interferes with.
    fn compare_whole(&self, trace: &Trace, model: &HartModel<B>) -> Result<(), Failed> {
        let generation = model.generation(&self.text, &self.settings, &self.draws);
        let latent = generation.tap(&mut Indices(trace)).run()?;
        trace.close(&WHOLE_LATENT, "latent", latent.to_data());
        let image = to_pixels(model.tokenizer.decode_latent(latent, &mut ()));
        trace.close(&WHOLE_IMAGE, "image", image.to_data());
        Ok(())
    }

    /// On a GPU, where tokens are sampled on the device, a generation waits once, at its end.
    fn count_waits(&self, model: &HartModel<B>, device: &str) -> Result<(), Failed> {
        if !device.contains("cubecl") {
            return Ok(());
        }
        let draws = SeededDraws::new((0..self.text.mask.len() as u64).collect::<Vec<_>>());
        let run = || model.generation(&self.text, &self.settings, &draws).run();
        let (latent, traffic) = counted(run);
        latent?;
        match traffic.waits {
            1 => Ok(()),
            waits => Err(format!("{waits} waits instead of one: {traffic:?}").into()),
        }
    }

    /// The image alone.
    pub(crate) fn image(&self, model: &HartModel<B>) -> Result<Tensor<B, 4>, Failed> {
        let latent = model.generation(&self.text, &self.settings, &self.draws).run()?;
        Ok(to_pixels(model.tokenizer.decode_latent(latent, &mut ())))
    }
}

/// Compares the indices of all steps.
struct Indices<'a>(&'a Trace);

impl Tap for Indices<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        if name.ends_with(".indices") {
            self.0.equal(name, &data().iter::<i64>().collect::<Vec<_>>());
        }
    }
}

/// The settings that a trace was recorded with.
fn settings(trace: &Trace, config: &ModelConfig) -> Result<GenerationSettings, Failed> {
    let json = &trace.json;
    let number = |value: &serde_json::Value, key: &str| {
        value.as_f64().ok_or_else(|| Failed::from(format!("no number {key} in the JSON file")))
    };
    let mut settings = GenerationSettings::released();
    settings.guidance = number(&json["cfg"], "cfg")?;
    settings.top_p = json["top_k_top_p"][0][1].as_f64().unwrap_or(0.0);
    settings.smooth = json["more_smooth"].as_bool().ok_or("no more_smooth in the JSON file")?;
    settings.mask_passes = number(&json["num_maskgit_iters"], "num_maskgit_iters")? as usize;
    settings.noise_schedule = match number(&json["final_stage"], "final_stage")? {
        0.0 => Some(NoiseSchedule::respaced(&config.residual_head.sampling_steps)?),
        _ => None,
    };
    settings.temperature = json["diffusion_temperature"].as_f64().unwrap_or(1.0);
    Ok(settings)
}
