//! Losses and gradients of transformer and residual head.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use hart_ar::kept_tokens;
use hart_core::HartBackend;
use hart_core::random::Pick;
use hart_diffusion::{DiffusionDraws, DiffusionLoss, DiffusionTerms};
use hart_pipeline::training::{HartTerms, StepDraws, TokenBatch, hart_loss};
use hart_pipeline::{HartModel, TransformerWeights};
use libtest_mimic::Failed;

use crate::diffusion::recorded_head;
use crate::gradients::{compare_gradients, gradients, gradients_inside};
use crate::kinds::{
    DIFFUSION_TERMS, ENCODER, GRADIENT, HEAD_GRADIENT, LOSS, QUANTIZER, SAMPLE, TRAINED_CONDITION,
    TRAINED_LOGITS,
};
use crate::models::{config_of, load_model, model_folder, text_condition};
use crate::trace::{Trace, values};

/// `trace_train_*`: one step of training of transformer and residual head.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let folder = model_folder(&trace.folder, trace.case("trace_train_"))?;
    let (config, weights) = (config_of(trace, &folder)?, TransformerWeights::Ema);
    let model = load_model::<Autodiff<B>>(&config, &folder, weights, trace.options, device)?;
    compare_tokens(trace, &model, device)?;
    let batch = token_batch(trace, &model, device)?;
    let draws = step_draws(trace)?;
    let text = text_condition::<Autodiff<B>>(trace, device)?;
    let network = &model.residual_head.network;
    let loss = DiffusionLoss::default();
    let terms = hart_loss(&model.transformer, network, &loss, &text, &batch, &draws)?;
    compare_terms(trace, &terms);

    let grads = terms.total().backward();
    let mut found = gradients(model.transformer.clone(), &grads, &hart_ar::NAMES)?;
    found.extend(gradients(network.clone(), &grads, &hart_diffusion::NAMES)?);
    compare_gradients::<B>(trace, &GRADIENT, "grad.", &found)
}

/// The recorded image as a latent, and the recorded latent as tokens.
fn compare_tokens<B: AutodiffBackend + HartBackend>(
    trace: &Trace,
    model: &HartModel<B>,
    device: &B::Device,
) -> Result<(), Failed> {
    let image: Tensor<B, 4> = trace.input("image")?.tensor(device);
    let encoded = model.tokenizer.encode_latent(image, &mut ());
    trace.close(&ENCODER, "latent", encoded.to_data());
    let quantizer = &model.tokenizer.quantizer;
    let tokens = quantizer.encode(trace.input("latent")?.tensor(device));
    trace.close(&QUANTIZER, "residual", tokens.residual.to_data());
    for (scale, indices) in tokens.indices.iter().enumerate() {
        let found: Vec<i64> = indices.to_data().iter::<i64>().collect();
        trace.equal(&format!("indices.{scale}"), &found);
        if scale == quantizer.scales().last() {
            trace.equal("residual.indices", &found);
        }
    }
    let images_so_far = quantizer.teacher_forcing(&tokens.indices);
    trace.close(&QUANTIZER, "images_so_far", images_so_far.to_data());
    Ok(())
}

/// The recorded tokens.
fn token_batch<B: AutodiffBackend + HartBackend>(
    trace: &Trace,
    model: &HartModel<B>,
    device: &B::Device,
) -> Result<TokenBatch<B>, Failed> {
    let residual = trace.input("residual")?;
    let mut codes = vec![vec![]; residual.shape[0]];
    for scale in 0..model.transformer.scales().count() {
        let indices = trace.input(&format!("indices.{scale}"))?.position_rows();
        codes.iter_mut().zip(indices).for_each(|(codes, indices)| codes.extend(indices));
    }
    Ok(TokenBatch {
        codes,
        residual: residual.tensor(device),
        images_so_far: trace.input("images_so_far")?.tensor(device),
        codebook: model.tokenizer.quantizer.codebook.val().detach(),
    })
}

/// The recorded draws; the kept tokens are derived from the recorded orders and compared.
fn step_draws(trace: &Trace) -> Result<StepDraws, Failed> {
    let ratio = trace.json["mask_rate"].as_f64().ok_or("no mask rate")?;
    let orders = trace.input("orders")?.position_rows();
    let kept: Vec<Vec<usize>> = orders.iter().map(|order| kept_tokens(order, ratio)).collect();
    let columns: Vec<i64> = kept.iter().flatten().map(|&position| position as i64).collect();
    let rows = kept.iter().enumerate().flat_map(|(image, kept)| vec![image as i64; kept.len()]);
    trace.equal("kept.rows", &rows.collect::<Vec<_>>());
    trace.equal("kept.columns", &columns);
    // The reference compares a normal draw with the rate; these two are far from it.
    let dropped = trace.input("text.dropped")?.values.iter().map(|&draw| draw < 0.1).collect();
    let truth = trace.json["fallback_to_ground_truth"].as_bool().unwrap_or(false);
    Ok(StepDraws {
        dropped,
        picks: (!truth).then(|| vec![Pick::Greedy; columns.len()]),
        kept,
        times: trace.input("diffusion.times")?.position_rows().concat(),
        noise: trace.input("diffusion.noise")?.floats(),
    })
}

fn compare_terms<B: HartBackend>(trace: &Trace, terms: &HartTerms<B>) {
    let whole = |indices: &[usize]| indices.iter().map(|&i| i as i64).collect::<Vec<_>>();
    trace.equal("targets", &whole(&terms.targets));
    trace.equal("chosen", &whole(&terms.chosen));
    trace.close(&TRAINED_LOGITS, "logits", terms.logits.to_data());
    trace.close(&TRAINED_CONDITION, "condition", terms.condition.to_data());
    trace.close_values(&LOSS, "cross_entropy", &values(&terms.cross_entropy()));
    trace.close_values(&LOSS, "diffusion.loss", &values(&terms.diffusion.total()));
    compare_diffusion_terms(trace, "diffusion.terms", &terms.diffusion);
}

fn compare_diffusion_terms<B: HartBackend>(
    trace: &Trace,
    beginning: &str,
    terms: &DiffusionTerms<B>,
) {
    let DiffusionTerms { noise, bound } = terms;
    trace.close(&DIFFUSION_TERMS, &format!("{beginning}.noise"), noise.to_data());
    trace.close(&DIFFUSION_TERMS, &format!("{beginning}.bound"), bound.to_data());
    let total = noise.clone() + bound.clone();
    trace.close(&DIFFUSION_TERMS, &format!("{beginning}.total"), total.to_data());
}

/// `trace_diffusion`'s `train.*`: the loss of the residual head alone.
pub(crate) fn compare_diffusion<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> Result<(), Failed> {
    let Some(start) = trace.optional("train.start") else { return Ok(()) };
    let start = start.tensor(device);
    let network = recorded_head::<Autodiff<B>>(trace, device)?.network;
    let condition = trace.input("condition")?.tensor(device);
    let times = trace.input("network.times")?.position_rows().concat();
    let draws = DiffusionDraws { times, noise: trace.input("train.noise")?.tensor(device) };
    let loss = DiffusionLoss::default();
    let noised: Tensor<Autodiff<B>, 2> = loss.noise(start.clone(), &draws);
    trace.close(&SAMPLE, "train.noised", noised.to_data());
    let terms = loss.terms(&network, start, condition, &draws)?;
    compare_diffusion_terms(trace, "train.terms", &terms);
    let grads = terms.total().backward();
    let found = gradients_inside(network, &grads, &hart_diffusion::NAMES)?;
    compare_gradients::<B>(trace, &HEAD_GRADIENT, "train.grad.", &found)
}
