//! The residual head: schedules, one network call, whole sampling loops.

use burn::tensor::{Tensor, TensorData};
use hart_core::HartBackend;
use hart_core::tap::Tap;
use hart_diffusion::sampler::RESIDUAL_SCALE;
use hart_diffusion::{NoiseSchedule, ResidualHead, SamplerSettings};
use hart_pipeline::{ModelCheckpoints, ModelConfig, TransformerWeights};
use libtest_mimic::Failed;

use crate::generation::model_folders;
use crate::harness::{COMPONENT, Trace};

pub(crate) fn compare<B: HartBackend>(trace: &mut Trace, device: &B::Device) -> Result<(), Failed> {
    for name in trace.names() {
        if let Some((respacing, table)) =
            name.strip_prefix("sched.").and_then(|n| n.rsplit_once('.'))
        {
            compare_schedule(trace, &name, respacing, table)?;
        }
    }
    let head = recorded_head::<B>(trace, device)?;
    compare_network(trace, &head, device)?;
    let names = trace.names();
    let loops = names.iter().filter_map(|name| name.strip_prefix("loop.")?.strip_suffix(".final"));
    for case in loops.map(str::to_string).collect::<Vec<_>>() {
        compare_loop(trace, &head, device, &case)?;
    }
    crate::training::compare_diffusion::<B>(trace, device)?;
    trace.given(&["cond_z", "init_noise", "net.t", "net.x"]);
    Ok(())
}

fn compare_schedule(
    trace: &mut Trace,
    name: &str,
    respacing: &str,
    table: &str,
) -> Result<(), Failed> {
    let schedule = match respacing {
        "full1000" => NoiseSchedule::full(),
        _ => NoiseSchedule::respaced(respacing)?,
    };
    let values = match table {
        "timestep_map" => {
            let times: Vec<i64> = schedule.times.iter().map(|&time| time as i64).collect();
            trace.equal(name, &times);
            return Ok(());
        }
        "betas" => schedule.betas,
        "alphas_cumprod" => schedule.alphas_cumulative,
        "sqrt_recip_alphas_cumprod" => schedule.sqrt_reciprocal_alphas,
        "sqrt_recipm1_alphas_cumprod" => schedule.sqrt_reciprocal_alphas_minus_one,
        "posterior_log_variance_clipped" => schedule.posterior_log_variance,
        "posterior_mean_coef1" => schedule.posterior_mean_start,
        "posterior_mean_coef2" => schedule.posterior_mean_present,
        other => return Err(format!("an unknown table {other}").into()),
    };
    // Computed in double precision on both sides.
    trace.close_values(name, &values, 1e-12);
    Ok(())
}

/// The head of the model whose sizes fit the recorded network.
pub(crate) fn recorded_head<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> Result<ResidualHead<B>, Failed> {
    let channels = trace.get("net.x").shape[1];
    let width = trace.get("cond_z").shape[1];
    for folder in model_folders(&trace.folder) {
        let config = ModelConfig::open(&folder)?;
        let size = config.residual_head_size();
        let recorded = trace.get("train.grad.input_proj.weight").shape[0];
        if (size.channels, size.condition_width, size.width) == (channels, width, recorded) {
            let files = ModelCheckpoints::open(&folder, TransformerWeights::Ema)?;
            let options = trace.options;
            return Ok(ResidualHead::from_checkpoint(
                &size,
                "8",
                &files.transformer,
                options,
                device,
            )?);
        }
    }
    Err("no model of the folder has a head of the recorded sizes".into())
}

/// Rows as a batch of one-token images, so that every row has its own time.
fn rows<B: HartBackend>(trace: &Trace, name: &str, device: &B::Device) -> Tensor<B, 3> {
    trace.get(name).tensor::<B, 2>(device).unsqueeze_dim(1)
}

fn compare_network<B: HartBackend>(
    trace: &mut Trace,
    head: &ResidualHead<B>,
    device: &B::Device,
) -> Result<(), Failed> {
    let network = &head.network;
    let condition = network.embed_condition(rows(trace, "cond_z", device));
    let times = trace.get("net.t").values.clone();
    let x = rows::<B>(trace, "net.x", device);
    let joined = |parts: [Tensor<B, 3>; 2]| {
        Tensor::cat(parts.to_vec(), 2).to_data().iter::<f64>().collect::<Vec<_>>()
    };
    let found = joined(network.forward(x.clone(), &times, condition.clone()));
    trace.close_values("net.out", &found, COMPONENT);
    for name in trace.names() {
        let Some(guidance) = name.strip_prefix("net.out_cfg") else { continue };
        let guidance: f64 = guidance.parse()?;
        // Under guidance both halves see the conditional half's input.
        let half = x.dims()[0] / 2;
        let both = x.clone().narrow(0, 0, half).repeat_dim(0, 2);
        let [noise, variance] = network.forward(both, &times, condition.clone());
        let guided = noise.clone().narrow(0, 0, half) * (1.0 + guidance)
            - noise.narrow(0, half, half) * guidance;
        let found = joined([guided.repeat_dim(0, 2), variance]);
        trace.close_values(&name, &found, COMPONENT);
    }
    Ok(())
}

/// `<respacing>.temp<T>.cfg<c>`.
fn compare_loop<B: HartBackend>(
    trace: &mut Trace,
    head: &ResidualHead<B>,
    device: &B::Device,
    case: &str,
) -> Result<(), Failed> {
    let (respacing, rest) = case.split_once(".temp").ok_or("a loop without a temperature")?;
    let (temperature, guidance) = rest.split_once(".cfg").ok_or("a loop without guidance")?;
    let settings =
        SamplerSettings { guidance: guidance.parse()?, temperature: temperature.parse()? };
    let schedule = NoiseSchedule::respaced(respacing)?;
    // The noise of one temperature was used for all.
    let noise_case = [case.to_string(), format!("{respacing}.temp1.0.cfg{guidance}")];
    let noise_case = noise_case.iter().find(|case| trace.has(&format!("loop.{case}.step_noise")));
    let noise = format!("loop.{}.step_noise", noise_case.ok_or("no recorded noise")?);
    trace.given(&[&noise]);
    let noise: Tensor<B, 3> = trace.get(&noise).tensor(device);
    let z = rows::<B>(trace, "cond_z", device);
    let half = z.dims()[0] / 2;
    // Without guidance the reference samples both halves by themselves, each as a conditional one.
    let parts = if settings.guidance == 1.0 { vec![0, half] } else { vec![0] };
    let mut found: Vec<Vec<Vec<f64>>> = vec![];
    for start in parts {
        let condition =
            if start == 0 { z.clone() } else { z.clone().narrow(0, start, half).repeat_dim(0, 2) };
        let init = rows::<B>(trace, "init_noise", device).narrow(0, start, half);
        let step = |index: usize| -> Tensor<B, 3> {
            noise.clone().narrow(0, index, 1).narrow(1, start, half).swap_dims(0, 1)
        };
        let mut steps = Steps::default();
        let result = head.sample_with(&schedule, condition, init, step, &settings, &mut steps)?;
        let result: Vec<f64> =
            result.to_data().iter::<f64>().map(|value| value / RESIDUAL_SCALE).collect();
        found.push(vec![result, steps.estimates, steps.samples]);
    }
    for (i, what) in ["final", "pred_xstart", "samples"].into_iter().enumerate() {
        let name = format!("loop.{case}.{what}");
        if !trace.has(&name) {
            continue;
        }
        let expected = trace.get(&name).values.clone();
        let count = if what == "final" { 1 } else { schedule.steps() };
        for (index, expected) in expected.chunks_exact(expected.len() / count).enumerate() {
            // Of guided loops the conditional half is computed, which is the half that is returned.
            let size = expected.len() / 2;
            let ours: Vec<f64> =
                found.iter().flat_map(|part| part[i][index * size..][..size].to_vec()).collect();
            let tolerance = match what {
                "pred_xstart" => estimate_tolerance(COMPONENT, &schedule, index, settings.guidance),
                _ => COMPONENT,
            };
            trace.compare(&name, &ours, &expected[..ours.len()], tolerance);
        }
    }
    Ok(())
}

/// What is accepted of the estimate of x_0 at a step, counted in sampling order.
///
/// The estimate is a difference of x_t and the predicted noise, both magnified by the schedule, so
/// it inherits what is accepted of those times their factor. At the first step, where the factor
/// may be 20,000, x_t is given exactly; what remains there is the rounding of the noise to single
/// precision (16 units in the last place for the sums in the network), magnified by guidance too.
pub(crate) fn estimate_tolerance(
    base: f64,
    schedule: &NoiseSchedule,
    index: usize,
    guidance: f64,
) -> f64 {
    let factor = schedule.sqrt_reciprocal_alphas_minus_one[schedule.steps() - 1 - index];
    match index {
        0 => base + 16.0 * f64::from(f32::EPSILON) * (1.0 + 2.0 * guidance) * factor,
        _ => base * (1.0 + factor),
    }
}

/// The estimates and samples of every step.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) estimates: Vec<f64>,
    pub(crate) samples: Vec<f64>,
}

impl Tap for Steps {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        let values = match name.split('.').next() {
            Some("pred_xstart") => &mut self.estimates,
            Some("sample") => &mut self.samples,
            _ => return,
        };
        values.extend(data().iter::<f64>());
    }
}
