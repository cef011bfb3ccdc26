//! The residual head by itself: schedules, one network call, and samplings step by step.

use burn::tensor::Tensor;
use hart_core::HartBackend;
use hart_diffusion::sampler::RESIDUAL_SCALE;
use hart_diffusion::{NoiseSchedule, NoiseStep, ResidualHead, SamplerSettings};
use hart_pipeline::{ModelCheckpoints, ModelConfig, TransformerWeights};
use libtest_mimic::Failed;

use crate::kinds::{GUIDED_NETWORK, LOOP, NETWORK, RESIDUAL, SCHEDULE};
use crate::models::model_folders;
use crate::steps::Steps;
use crate::trace::{Trace, values};
use crate::training;

/// `trace_diffusion`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    if trace.options.prepare {
        // Training and tables of numbers know no prepared layers.
        trace.leave_out("train.");
        trace.leave_out("schedule.");
    } else {
        compare_schedules(trace)?;
        training::compare_diffusion::<B>(trace, device)?;
    }
    let head = recorded_head::<B>(trace, device)?;
    compare_network(trace, &head, device)?;
    for case in trace.cases("loop.", ".result") {
        compare_loop(trace, &head, device, &case)?;
    }
    Ok(())
}

fn compare_schedules(trace: &Trace) -> Result<(), Failed> {
    for case in trace.cases("schedule.", "") {
        let (respacing, table) = case.rsplit_once('.').ok_or("a schedule without a table")?;
        let schedule = match respacing {
            "full1000" => NoiseSchedule::full(),
            _ => NoiseSchedule::respaced(respacing)?,
        };
        let value: fn(&NoiseStep) -> f64 = match table {
            "time" => |step| step.time as f64,
            "beta" => |step| step.beta,
            "alpha_cumulative" => |step| step.alpha_cumulative,
            "sqrt_reciprocal_alpha" => |step| step.sqrt_reciprocal_alpha,
            "sqrt_reciprocal_alpha_minus_one" => |step| step.sqrt_reciprocal_alpha_minus_one,
            "posterior_log_variance" => |step| step.posterior_log_variance,
            "posterior_mean_start" => |step| step.posterior_mean_start,
            "posterior_mean_present" => |step| step.posterior_mean_present,
            other => return Err(format!("an unknown table {other}").into()),
        };
        let found: Vec<f64> = schedule.steps().iter().map(value).collect();
        trace.close_values(&SCHEDULE, &format!("schedule.{case}"), &found);
    }
    Ok(())
}

/// The head of the model whose sizes fit the recorded network.
pub(crate) fn recorded_head<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> Result<ResidualHead<B>, Failed> {
    let side = |name: &str, axis: usize| trace.about(name)?.shape.get(axis).copied();
    let sizes =
        [side("network.input", 1), side("condition", 1), side("train.grad.input_proj.weight", 0)];
    for folder in model_folders(&trace.folder) {
        let config = ModelConfig::open(&folder)?;
        let size = config.residual_head_size();
        let found = [size.channels, size.condition_width, size.width];
        if sizes.iter().zip(found).all(|(recorded, found)| recorded.is_none_or(|r| r == found)) {
            let files = ModelCheckpoints::open(&folder, TransformerWeights::Ema)?;
            let steps = &config.residual_head.sampling_steps;
            let weights = &files.transformer;
            let options = trace.options;
            return Ok(ResidualHead::from_checkpoint(&size, steps, weights, options, device)?);
        }
    }
    Err("no model of the folder has a head of the recorded sizes".into())
}

/// Rows as a batch of one-token images, so that every row has its own time.
fn rows<B: HartBackend>(
    trace: &Trace,
    name: &str,
    device: &B::Device,
) -> Result<Tensor<B, 3>, Failed> {
    Ok(trace.input(name)?.tensor::<B, 2>(device).unsqueeze_dim(1))
}

fn compare_network<B: HartBackend>(
    trace: &Trace,
    head: &ResidualHead<B>,
    device: &B::Device,
) -> Result<(), Failed> {
    let network = &head.network;
    let condition = network.embed_condition(rows(trace, "condition", device)?);
    let times = trace.input("network.times")?.values.clone();
    let x = rows::<B>(trace, "network.input", device)?;
    let joined = |parts: [Tensor<B, 3>; 2]| values(&Tensor::cat(parts.to_vec(), 2));
    let found = joined(network.forward(x.clone(), &times, condition.clone()));
    trace.close_values(&NETWORK, "network.output", &found);
    for guidance in trace.cases("network.guided.", "") {
        let name = format!("network.guided.{guidance}");
        let guidance: f64 = guidance.parse()?;
        // Under guidance both halves see the conditional half's input.
        let half = x.dims()[0] / 2;
        let both = x.clone().narrow(0, 0, half).repeat_dim(0, 2);
        let [noise, variance] = network.forward(both, &times, condition.clone());
        let guided = noise.clone().narrow(0, 0, half) * (1.0 + guidance)
            - noise.narrow(0, half, half) * guidance;
        let found = joined([guided.repeat_dim(0, 2), variance]);
        trace.close_values(&GUIDED_NETWORK, &name, &found);
    }
    Ok(())
}

/// `<respacing>.temperature.<T>.guidance.<s>`: every step by itself, and all of them.
fn compare_loop<B: HartBackend>(
    trace: &Trace,
    head: &ResidualHead<B>,
    device: &B::Device,
    case: &str,
) -> Result<(), Failed> {
    let (respacing, rest) = case.split_once(".temperature.").ok_or("no temperature")?;
    let (temperature, guidance) = rest.split_once(".guidance.").ok_or("no guidance")?;
    let settings = SamplerSettings::new(guidance.parse()?, temperature.parse()?);
    let schedule = NoiseSchedule::respaced(respacing)?;
    // The noise of one temperature was used for all.
    let noises = trace.cases(&format!("loop.{respacing}.temperature."), ".noise");
    let noise_case = noises.iter().find(|rest| rest.ends_with(&format!(".guidance.{guidance}")));
    let noise_case = noise_case.ok_or("no recorded noise")?;
    let noise = format!("loop.{respacing}.temperature.{noise_case}.noise");
    let noise: Tensor<B, 3> = trace.input(&noise)?.tensor(device);

    let condition = rows::<B>(trace, "condition", device)?;
    let all = condition.dims()[0];
    // Without guidance the reference samples both halves by themselves, each as a conditional one.
    let batch = if settings.is_guided() { all / 2 } else { all };
    let start = rows::<B>(trace, "start", device)?.narrow(0, 0, batch);
    let noise = |index: usize| -> Tensor<B, 3> {
        noise.clone().narrow(0, index, 1).narrow(1, 0, batch).swap_dims(0, 1)
    };
    let beginning = format!("loop.{case}.");
    let steps = Steps {
        trace,
        beginning: beginning.clone(),
        head,
        schedule: &schedule,
        settings,
        condition: condition.clone(),
        start: start.clone(),
        noise: &noise,
    };
    if trace.about(&format!("{beginning}sample")).is_some() {
        steps.compare(&RESIDUAL, RESIDUAL_SCALE)?;
    }
    let result = head.sample(&schedule, condition, start, noise, &settings, &mut ())?;
    // Recorded before it is scaled.
    let result = values(&(result / RESIDUAL_SCALE));
    trace.close_part(&LOOP, &format!("{beginning}result"), &result, 0..result.len());
    Ok(())
}
