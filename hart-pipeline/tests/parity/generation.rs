//! Whole generations, with recorded draws, through the code that users run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use hart_ar::TextCondition;
use hart_ar::mask_passes::mask_passes;
use hart_ar::modulation::pool_context;
use hart_ar::sampling::{filter, smooth_weights};
use hart_core::checkpoint::LoadOptions;
use hart_core::config::{ModulationKind, PoolingKind};
use hart_core::random::{Draws, Pick};
use hart_core::tap::Tap;
use hart_core::{HartBackend, ScaleSchedule};
use hart_diffusion::NoiseSchedule;
use hart_diffusion::sampler::RESIDUAL_SCALE;
use hart_pipeline::{
    GenerationSettings, HartModel, ModelCheckpoints, ModelConfig, TransformerWeights,
};
use hart_tokenizer::to_pixels;
use libtest_mimic::Failed;

use crate::diffusion::estimate_tolerance;
use crate::harness::{Fixtures, GENERATION, Trace};

/// A trace of a generation: every recorded tensor, and the final image.
pub(crate) fn compare<B: HartBackend>(trace: &mut Trace, device: &B::Device) -> Result<(), Failed> {
    let folder = model_folder(&trace.folder, trace.name.trim_start_matches("trace_gen_"))?;
    let config = config_of(trace, &folder)?;
    let model = load_model::<B>(&config, &folder, TransformerWeights::Ema, trace.options, device)?;
    let settings = settings(trace, &config);
    let scales = config.transformer.scales.clone();
    let draws = Recorded::new(trace, &settings, &scales);
    let text = text_condition::<B>(trace, device);
    let mut recording = Recording::default();
    let latent =
        model.generate_latent(&text, &settings, &draws, &mut |_| Ok(()), &mut recording)?;
    let image = to_pixels(model.tokenizer.decode_latent(latent.clone(), &mut ()));

    trace.close("f_hat_final", latent.to_data(), GENERATION);
    trace.close("img", image.to_data(), GENERATION);
    recording.compare_with(trace, &settings, &scales);
    compare_pooling::<B>(trace, &recording, &text, device);
    trace.given(&["context", "context_mask", "context_position_ids", "orders"]);
    Ok(())
}

/// A trace of the images of both weight files, made with the inputs of another trace.
pub(crate) fn compare_weights<B: HartBackend>(
    trace: &mut Trace,
    device: &B::Device,
) -> Result<(), Failed> {
    let name = trace.name.trim_start_matches("trace_ema_").to_string();
    let folder = model_folder(&trace.folder, &name)?;
    let inputs =
        Fixtures::find().trace(&format!("trace_gen_{name}_smooth0_it1_fs0"), trace.options);
    let config = config_of(&inputs, &folder)?;
    let settings = settings(&inputs, &config);
    let draws = Recorded::new(&inputs, &settings, &config.transformer.scales);
    let text = text_condition::<B>(&inputs, device);
    let files = [
        ("img_ema_checkpoint", TransformerWeights::Ema),
        ("img_raw_checkpoint", TransformerWeights::Raw),
    ];
    for (image, weights) in files {
        let model = load_model::<B>(&config, &folder, weights, trace.options, device)?;
        let latent = model.generate_latent(&text, &settings, &draws, &mut |_| Ok(()), &mut ())?;
        let found = to_pixels(model.tokenizer.decode_latent(latent, &mut ()));
        trace.close(image, found.to_data(), GENERATION);
    }
    trace.given(&["context_tokens"]);
    Ok(())
}

/// The folders of the fixtures that hold a model.
pub(crate) fn model_folders(fixtures: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    let mut folders: Vec<_> =
        folders.filter(|folder| folder.join("llm/config.json").is_file()).collect();
    folders.sort();
    folders
}

/// The model a trace belongs to: the one with the longest name that begins the trace's.
pub(crate) fn model_folder(fixtures: &Path, trace: &str) -> Result<PathBuf, Failed> {
    let folders = model_folders(fixtures).into_iter();
    let named = folders.filter(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        trace == name || trace.starts_with(&format!("{name}_"))
    });
    named
        .max_by_key(|folder| folder.as_os_str().len())
        .ok_or_else(|| "no model of that name".into())
}

/// The model's configuration, with the change that some traces were recorded with.
pub(crate) fn config_of(trace: &Trace, folder: &Path) -> Result<ModelConfig, Failed> {
    let mut config = ModelConfig::open(folder)?;
    let pooling = match trace.name.rsplit_once("_pool") {
        Some((_, "max")) => Some(PoolingKind::Max),
        Some((_, "avg")) => Some(PoolingKind::MaskedMean),
        _ => None,
    };
    if let (Some(pooling), ModulationKind::PerBlock(_)) = (pooling, config.transformer.modulation) {
        config.transformer.modulation = ModulationKind::PerBlock(pooling);
    }
    Ok(config)
}

pub(crate) fn load_model<B: HartBackend>(
    config: &ModelConfig,
    folder: &Path,
    weights: TransformerWeights,
    options: LoadOptions,
    device: &B::Device,
) -> Result<HartModel<B>, Failed> {
    let files = ModelCheckpoints::open(folder, weights)?;
    Ok(HartModel::load(config, &files, options, device)?)
}

fn settings(trace: &Trace, config: &ModelConfig) -> GenerationSettings {
    let steps = config.transformer.residual_head.sampling_steps.clone();
    let schedule = || NoiseSchedule::respaced(&steps).expect("the configured steps");
    GenerationSettings {
        guidance: trace.json["cfg"].as_f64().expect("cfg"),
        top_k: None,
        top_p: trace.json["top_k_top_p"][0][1].as_f64().expect("top_k_top_p"),
        smooth: trace.json["more_smooth"].as_bool().expect("more_smooth"),
        mask_passes: trace.json["num_maskgit_iters"].as_u64().expect("num_maskgit_iters") as usize,
        noise_schedule: (trace.json["final_stage"] == 0).then(schedule),
        diffusion_steps: steps.clone(),
        temperature: trace.json["diffusion_temperature"].as_f64().unwrap_or(1.0),
    }
}

pub(crate) fn text_condition<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> TextCondition<B> {
    let tokens = trace.get("context_mask").shape[1];
    let rows = |name: &str| -> Vec<Vec<i64>> {
        trace.get(name).indices().chunks_exact(tokens).map(<[i64]>::to_vec).collect()
    };
    let mask = rows("context_mask").into_iter();
    TextCondition {
        context: trace.get("context").tensor(device),
        mask: mask.map(|row| row.into_iter().map(|valid| valid == 1).collect()).collect(),
        positions: rows("context_position_ids"),
    }
}

/// Greedy tokens, no smooth noise, and the recorded orders and diffusion noise.
struct Recorded {
    orders: Vec<Vec<usize>>,
    /// For each image and position its pass and its row there.
    places: Vec<BTreeMap<usize, (usize, usize)>>,
    /// For each pass the noise `[batch · positions, Z]` of the start and of every step.
    starts: Vec<Vec<f32>>,
    steps: Vec<Vec<f32>>,
    batch: usize,
}

impl Recorded {
    fn new(trace: &Trace, settings: &GenerationSettings, scales: &ScaleSchedule) -> Self {
        let orders = trace.get("orders");
        let batch = orders.shape[0];
        let orders: Vec<Vec<usize>> = orders
            .indices()
            .chunks_exact(scales.tokens(scales.last()))
            .map(|order| order.iter().map(|&position| position as usize).collect())
            .collect();
        let passes = mask_passes(&orders, settings.mask_passes);
        let mut places = vec![BTreeMap::new(); batch];
        for (pass, images) in passes.iter().enumerate() {
            for (image, positions) in images.iter().enumerate() {
                for (i, &position) in positions.iter().enumerate() {
                    places[image].insert(position, (pass, image * positions.len() + i));
                }
            }
        }
        let noise = |what: &str| -> Vec<Vec<f32>> {
            let names = (0..passes.len()).map(|pass| format!("m{pass}.diff_{what}"));
            names.filter(|name| trace.has(name)).map(|name| trace.get(&name).floats()).collect()
        };
        let (starts, steps) = (noise("init_noise"), noise("step_noise"));
        Self { orders, places, starts, steps, batch }
    }

    /// How many rows a pass has, the conditional half alone.
    fn rows(&self, pass: usize) -> usize {
        let of_pass = self.places.iter().flat_map(BTreeMap::values);
        of_pass.filter(|(other, _)| *other == pass).count()
    }
}

impl Draws for Recorded {
    fn token(&self, _: usize, _: usize, _: usize) -> Pick {
        Pick::Greedy
    }

    fn smooth_noise(&self, _: usize, _: usize, _: usize, noise: &mut [f32]) {
        noise.fill(0.0);
    }

    fn order(&self, image: usize, _: usize) -> Vec<usize> {
        assert!(image < self.batch);
        self.orders[image].clone()
    }

    fn diffusion_start(&self, image: usize, position: usize, noise: &mut [f32]) {
        let (pass, row) = self.places[image][&position];
        noise.copy_from_slice(&self.starts[pass][row * noise.len()..][..noise.len()]);
    }

    fn diffusion_step(&self, image: usize, step: usize, position: usize, noise: &mut [f32]) {
        let (pass, row) = self.places[image][&position];
        // Both halves were recorded for every step, the conditional one first.
        let row = step * 2 * self.rows(pass) + row;
        noise.copy_from_slice(&self.steps[pass][row * noise.len()..][..noise.len()]);
    }
}

/// Every intermediate tensor of a generation on the host.
#[derive(Default)]
struct Recording(BTreeMap<String, TensorData>);

impl Tap for Recording {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        self.0.insert(name.to_string(), data());
    }
}

impl Recording {
    fn values(&self, name: &str) -> Vec<f64> {
        let data = self.0.get(name).unwrap_or_else(|| panic!("nothing was recorded as {name}"));
        data.iter::<f64>().collect()
    }

    fn compare_with(
        &self,
        trace: &mut Trace,
        settings: &GenerationSettings,
        scales: &ScaleSchedule,
    ) {
        for name in trace.names() {
            let Some((step, what)) = name.split_once('.') else {
                if let Some(data) = self.0.get(&name) {
                    trace.close(&name, data.clone(), GENERATION);
                }
                continue;
            };
            let scale = match step.strip_prefix('s') {
                Some(scale) => scale.parse().expect("a scale"),
                None => scales.last(),
            };
            match what {
                "idx" => {
                    let found: Vec<i64> = self.values(&name).iter().map(|&i| i as i64).collect();
                    trace.equal(&name, &found);
                }
                "soft" | "kept_count" | "kth_logit" => {
                    self.compare_sampling(trace, &name, step, what, settings, scales, scale);
                }
                "diff_init_noise" | "diff_step_noise" => trace.given(&[&name]),
                "diff_samples" => {
                    self.compare_steps(trace, &name, &format!("{step}.diff_sample"), |_| {
                        GENERATION
                    });
                }
                "diff_pred_xstart" => {
                    let schedule = settings.noise_schedule.as_ref().expect("a residual");
                    let guidance = settings.guidance * scales.ratio(scales.last());
                    self.compare_steps(
                        trace,
                        &name,
                        &format!("{step}.diff_pred_xstart"),
                        |index| estimate_tolerance(GENERATION, schedule, index, guidance),
                    );
                }
                "diff_out" => {
                    let last = settings.noise_schedule.as_ref().expect("a residual").steps() - 1;
                    let found = self.values(&format!("{step}.diff_sample.{last}"));
                    let found: Vec<f64> = found.iter().map(|x| x * RESIDUAL_SCALE).collect();
                    let expected = trace.get(&name).values[..found.len()].to_vec();
                    trace.compare(&name, &found, &expected, GENERATION);
                }
                // Recorded with the doubled batch and the tokens as one axis.
                "last_stage_cond" => trace.close_values(&name, &self.values(&name), GENERATION),
                _ => {
                    if let Some(data) = self.0.get(&name) {
                        trace.close(&name, data.clone(), GENERATION);
                    }
                }
            }
        }
    }

    /// What follows from the logits: the filter, and the smooth probabilities.
    #[expect(clippy::too_many_arguments)]
    fn compare_sampling(
        &self,
        trace: &mut Trace,
        name: &str,
        step: &str,
        what: &str,
        settings: &GenerationSettings,
        scales: &ScaleSchedule,
        scale: usize,
    ) {
        let logits = self.0.get(&format!("{step}.logits_cfg")).expect("recorded logits");
        let entries = *logits.shape.last().expect("a shape");
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let rule = settings.token_rule(scales, scale);
        let mut found = vec![];
        for row in logits.chunks_exact(entries) {
            let kept = filter(row, rule.top_k, rule.top_p);
            match what {
                "kept_count" => found.push(kept.len() as f64),
                "kth_logit" => {
                    let smallest = kept.iter().map(|&(_, logit)| logit).fold(f32::MAX, f32::min);
                    found.push(f64::from(smallest));
                }
                _ => {
                    let mut dense = vec![0.0; entries];
                    let smoothing = rule.smooth.expect("a smooth trace");
                    let weights = smooth_weights(&kept, smoothing, &vec![0.0; entries]);
                    kept.iter().zip(weights).for_each(|(&(i, _), w)| dense[i] = f64::from(w));
                    found.extend(dense);
                }
            }
        }
        // Dividing by a small temperature magnifies the differences of the logits as much.
        trace.close_values(name, &found, GENERATION);
    }

    /// Tensors recorded for every diffusion step, of which the conditional half is computed.
    fn compare_steps(
        &self,
        trace: &mut Trace,
        name: &str,
        tap: &str,
        tolerance: impl Fn(usize) -> f64,
    ) {
        let steps = trace.get(name).shape[0];
        let expected = trace.get(name).values.clone();
        for (step, expected) in expected.chunks_exact(expected.len() / steps).enumerate() {
            let found = self.values(&format!("{tap}.{step}"));
            trace.compare(name, &found, &expected[..found.len()], tolerance(step));
        }
    }
}

/// Both poolings of the embedded context, whichever the configuration uses.
fn compare_pooling<B: HartBackend>(
    trace: &mut Trace,
    recording: &Recording,
    text: &TextCondition<B>,
    device: &B::Device,
) {
    if !trace.has("cond_avg_pooled") {
        return;
    }
    let embedded: Tensor<B, 3> = Tensor::from_data(recording.0["cond_BLD"].clone(), device);
    let [rows, tokens, _] = embedded.dims();
    let mut valid: Vec<f32> =
        text.mask.iter().flatten().map(|&valid| f32::from(u8::from(valid))).collect();
    valid.resize(rows * tokens, 0.0);
    (rows / 2..rows).for_each(|row| valid[row * tokens] = 1.0);
    let valid = Tensor::from_data(TensorData::new(valid, [rows, tokens]), device);
    let mean = pool_context(ModulationKind::Shared, embedded, valid);
    trace.close("cond_avg_pooled", mean.to_data(), GENERATION);
}
