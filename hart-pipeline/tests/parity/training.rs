//! Losses and their gradients: transformer with residual head, tokenizer, diffusion terms.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::module::{Module, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use hart_ar::kept_tokens;
use hart_core::HartBackend;
use hart_core::checkpoint::{Checkpoint, LoadOptions, NameTable, tensors};
use hart_core::config::AutoencoderConfig;
use hart_core::random::Pick;
use hart_core::walk::{self, Place};
use hart_diffusion::{DiffusionDraws, DiffusionLoss};
use hart_pipeline::training::{HartTerms, StepDraws, TokenBatch, hart_loss};
use hart_pipeline::{HartModel, TransformerWeights};
use hart_tokenizer::quantizer::to_tokens;
use hart_tokenizer::{DecoderInput, HybridTokenizer, QuantizedLatent};
use libtest_mimic::Failed;

use crate::diffusion::recorded_head;
use crate::generation::{config_of, load_model, model_folder, model_folders, text_condition};
use crate::harness::{COMPONENT, Trace};

/// Largest difference accepted for a loss or a gradient, over the tensor's largest magnitude.
const TRAINING: f64 = 1e-3;

/// `trace_train_*`: one step of training of transformer and residual head.
pub(crate) fn compare_hart<B: HartBackend>(
    trace: &mut Trace,
    device: &B::Device,
) -> Result<(), Failed> {
    let name = trace.name.trim_start_matches("trace_train_").to_string();
    let folder = model_folder(&trace.folder, &name)?;
    let config = config_of(trace, &folder)?;
    let model = load_model::<Autodiff<B>>(
        &config,
        &folder,
        TransformerWeights::Ema,
        trace.options,
        device,
    )?;
    let batch = token_batch(trace, &model, device)?;
    let draws = step_draws(trace)?;
    let text = text_condition::<Autodiff<B>>(trace, device);
    let network = &model.residual_head.network;
    let loss = DiffusionLoss::default();
    let terms = hart_loss(&model.transformer, network, &loss, &text, &batch, &draws)?;
    compare_terms(trace, &terms);

    let grads = terms.total().backward();
    let mut found = gradients(model.transformer.clone(), &grads, &hart_ar::NAMES)?;
    found.extend(gradients(network.clone(), &grads, &hart_diffusion::NAMES)?);
    compare_gradients(trace, "grad.", found)?;
    trace.given(&["context", "context_mask", "context_position_ids", "cond_drop_randn", "image"]);
    trace.given(&["diff_noise", "diff_t"]);
    Ok(())
}

/// The recorded image as tokens, each compared with the recorded ones on the way.
fn token_batch<B: AutodiffBackend + HartBackend>(
    trace: &mut Trace,
    model: &HartModel<B>,
    device: &B::Device,
) -> Result<TokenBatch<B>, Failed> {
    let image: Tensor<B, 4> = trace.get("image").tensor(device);
    let latent = model.tokenizer.encode_latent(image, &mut ()).detach();
    trace.close("f", latent.to_data(), COMPONENT);
    let tokens = model.tokenizer.quantizer.encode(latent);
    trace.close("last_layer_gt", tokens.residual.to_data(), COMPONENT);
    let last = tokens.indices.len() - 1;
    let mut codes = vec![vec![]; tokens.residual.dims()[0]];
    for (scale, indices) in tokens.indices.iter().enumerate() {
        let found: Vec<i64> = indices.to_data().iter::<i64>().collect();
        trace.equal(&format!("gt_idx.{scale}"), &found);
        if scale == last {
            trace.equal("last_layer_gt_discrete", &found);
        }
        let per_image = found.len() / codes.len();
        for (codes, found) in codes.iter_mut().zip(found.chunks_exact(per_image)) {
            codes.extend(found.iter().map(|&code| code as usize));
        }
    }
    let images_so_far = model.tokenizer.quantizer.teacher_forcing(&tokens.indices).detach();
    trace.close("x_BLCv_wo_first_l", images_so_far.to_data(), COMPONENT);
    let codebook = model.tokenizer.quantizer.codebook.val().detach();
    Ok(TokenBatch { codes, residual: tokens.residual, images_so_far, codebook })
}

/// The recorded draws; the kept tokens are derived from the recorded orders and compared.
fn step_draws(trace: &mut Trace) -> Result<StepDraws, Failed> {
    let ratio = trace.json["mask_rate"].as_f64().ok_or("no mask rate")?;
    let orders = trace.get("orders");
    let order = |order: &[i64]| order.iter().map(|&position| position as usize).collect();
    let orders: Vec<Vec<usize>> =
        orders.indices().chunks_exact(orders.shape[1]).map(order).collect();
    let kept: Vec<Vec<usize>> = orders.iter().map(|order| kept_tokens(order, ratio)).collect();
    let columns: Vec<i64> = kept.iter().flatten().map(|&position| position as i64).collect();
    let rows = kept.iter().enumerate().flat_map(|(image, kept)| vec![image as i64; kept.len()]);
    trace.equal("kept_rows", &rows.collect::<Vec<_>>());
    trace.equal("kept_cols", &columns);
    trace.given(&["orders"]);
    // The reference compares a normal draw with the rate; these two are far from it.
    let dropped = trace.get("cond_drop_randn").values.iter().map(|&draw| draw < 0.1).collect();
    let truth = trace.json["fallback_to_ground_truth"].as_bool().unwrap_or(false);
    Ok(StepDraws {
        dropped,
        picks: (!truth).then(|| vec![Pick::Greedy; columns.len()]),
        kept,
        times: trace.get("diff_t").indices().into_iter().map(|time| time as usize).collect(),
        noise: trace.get("diff_noise").floats(),
    })
}

fn compare_terms<B: HartBackend>(trace: &mut Trace, terms: &HartTerms<B>) {
    let whole = |indices: &[usize]| indices.iter().map(|&i| i as i64).collect::<Vec<_>>();
    trace.equal("ce_target", &whole(&terms.targets));
    if trace.has("idx_sampled") {
        trace.equal("idx_sampled", &whole(&terms.chosen));
    }
    trace.close("logits", terms.logits.to_data(), TRAINING);
    trace.close("decoder_norm_out", terms.condition.to_data(), TRAINING);
    let scalar = |tensor: &Tensor<B, 1>| tensor.to_data().iter::<f64>().collect::<Vec<_>>();
    trace.close_values("ce_loss", &scalar(&terms.cross_entropy()), TRAINING);
    trace.close_values("diff_loss", &scalar(&terms.diffusion.total()), TRAINING);
    compare_diffusion_terms(trace, "diff_terms", &terms.diffusion.noise, &terms.diffusion.bound);
}

fn compare_diffusion_terms<B: HartBackend>(
    trace: &mut Trace,
    prefix: &str,
    noise: &Tensor<B, 1>,
    bound: &Tensor<B, 1>,
) {
    trace.close(&format!("{prefix}.mse"), noise.to_data(), TRAINING);
    trace.close(&format!("{prefix}.vb"), bound.to_data(), TRAINING);
    let loss = noise.clone() + bound.clone();
    trace.close(&format!("{prefix}.loss"), loss.to_data(), TRAINING);
}

/// `trace_diffusion`'s `train.*`: the loss of the residual head alone.
pub(crate) fn compare_diffusion<B: HartBackend>(
    trace: &mut Trace,
    device: &B::Device,
) -> Result<(), Failed> {
    let network = recorded_head::<Autodiff<B>>(trace, device)?.network;
    let start = trace.get("train.x_start").tensor(device);
    let condition = trace.get("cond_z").tensor(device);
    let times = trace.get("net.t").indices().into_iter().map(|time| time as usize).collect();
    let draws = DiffusionDraws { times, noise: trace.get("train.noise").tensor(device) };
    let loss = DiffusionLoss::default();
    let noised = loss.noise(trace.get("train.x_start").tensor(device), &draws);
    trace.close("train.x_t", noised.to_data(), COMPONENT);
    let terms = loss.terms(&network, start, condition, &draws)?;
    compare_diffusion_terms(trace, "train.terms", &terms.noise, &terms.bound);
    let grads = terms.total().backward();
    let found = gradients(network, &grads, &hart_diffusion::NAMES)?;
    let scope = hart_diffusion::NAMES.scope;
    let found = found.into_iter().map(|(name, data)| (name.replacen(scope, "", 1), data));
    compare_gradients(trace, "train.grad.", found.collect())?;
    trace.given(&["train.noise", "train.x_start"]);
    Ok(())
}

/// `trace_vq_train`: the tokenizer's losses, decoding continuous and discrete latents, with all
/// parts trained or only those after the quantizer.
pub(crate) fn compare_tokenizer<B: HartBackend>(
    trace: &mut Trace,
    device: &B::Device,
) -> Result<(), Failed> {
    let (config, tokenizer) = recorded_tokenizer::<Autodiff<B>>(trace, device)?;
    let images: Tensor<Autodiff<B>, 4> = trace.get("image").tensor(device);
    trace.given(&["image"]);
    let cases: Vec<String> =
        trace.names().iter().filter_map(|n| n.strip_suffix(".out").map(str::to_string)).collect();
    for case in cases {
        let (trained, skip) = case.split_once('.').ok_or("a case without a decoding")?;
        let tokenizer = match trained {
            "frozen" => tokenizer.clone().freeze_latents(),
            _ => tokenizer.clone(),
        };
        let input = match skip {
            "skip0" => DecoderInput::Continuous,
            _ => DecoderInput::Discrete,
        };
        let inputs = vec![input; images.dims()[0]];
        let found = tokenizer.reconstruct(images.clone(), &inputs, config.commitment)?;
        check_head_residual(&tokenizer, images.clone(), &found.latent)?;
        trace.close(&format!("{case}.out"), found.images.to_data(), TRAINING);
        let scalar =
            |tensor: &Tensor<Autodiff<B>, 1>| tensor.to_data().iter::<f64>().collect::<Vec<_>>();
        let total = found.error.clone() + found.latent.loss.clone();
        trace.close_values(&format!("{case}.loss_recon"), &scalar(&found.error), TRAINING);
        trace.close_values(&format!("{case}.vq_loss"), &scalar(&found.latent.loss), TRAINING);
        trace.close_values(&format!("{case}.loss_total"), &scalar(&total), TRAINING);
        let grads = total.backward();
        let found = gradients(tokenizer, &grads, &hart_tokenizer::NAMES)?;
        let scope = hart_tokenizer::NAMES.scope;
        let found = found.into_iter().map(|(name, data)| (name.replacen(scope, "", 1), data));
        compare_gradients(trace, &format!("{case}.grad."), found.collect())?;
    }
    Ok(())
}

/// The tokenizer whose sizes fit what was recorded.
fn recorded_tokenizer<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> Result<(AutoencoderConfig, HybridTokenizer<B>), Failed> {
    let codebook = &trace.get("unfrozen.skip0.grad.quantize.embedding.weight").shape;
    let side = trace.get("image").shape[2];
    for folder in model_folders(&trace.folder) {
        let folder = folder.join("tokenizer");
        let config = AutoencoderConfig::open(folder.join("config.json"))?;
        if config.image_side() == side
            && codebook[..] == [config.codebook_size, config.latent_channels]
        {
            let checkpoint = Checkpoint::open_folder(&folder)?;
            let options = LoadOptions::default();
            let tokenizer =
                HybridTokenizer::from_checkpoint(&config, &checkpoint, options, device)?;
            return Ok((config, tokenizer));
        }
    }
    Err("no tokenizer of the folder has the recorded sizes".into())
}

/// The gradient of every parameter that has one, as a checkpoint would store it.
fn gradients<B: AutodiffBackend, M: Module<B>>(
    module: M,
    grads: &B::Gradients,
    table: &NameTable,
) -> hart_core::Result<BTreeMap<String, TensorData>> {
    tensors(&walk::map(module, &mut Replace { grads })?, table)
}

/// Puts gradients in the place of parameters, zeros where there is none.
struct Replace<'a, B: AutodiffBackend> {
    grads: &'a B::Gradients,
}

impl<B: AutodiffBackend> walk::Map<B> for Replace<'_, B> {
    fn parameter<const D: usize>(
        &mut self,
        _: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        param.map(|tensor| match tensor.grad(self.grads) {
            Some(gradient) => Tensor::from_inner(gradient),
            None => tensor.zeros_like(),
        })
    }
}

/// Compares every recorded gradient; each must be among those found.
fn compare_gradients(
    trace: &mut Trace,
    prefix: &str,
    found: BTreeMap<String, TensorData>,
) -> Result<(), Failed> {
    for name in trace.names() {
        let Some(parameter) = name.strip_prefix(prefix) else { continue };
        let gradient = found.get(parameter).ok_or(format!("no parameter {parameter}"))?;
        trace.close(&name, gradient.clone(), TRAINING);
    }
    Ok(())
}

/// What training takes for the residual head's share is what generation leaves to it.
fn check_head_residual<B: HartBackend>(
    tokenizer: &HybridTokenizer<Autodiff<B>>,
    images: Tensor<Autodiff<B>, 4>,
    found: &QuantizedLatent<Autodiff<B>>,
) -> Result<(), Failed> {
    let tokens = tokenizer.quantizer.encode(tokenizer.encode_latent(images, &mut ()));
    let last = tokens.indices.last().ok_or("there are no scales")?;
    let codes = tokenizer.quantizer.embed(last.clone());
    let expected = tokens.residual - codes;
    let found = to_tokens(found.head_residual.clone());
    let difference = (expected - found).abs().max().into_data().iter::<f64>().sum::<f64>();
    if difference > 1e-4 {
        return Err(format!("the head's residual is off by {difference}").into());
    }
    Ok(())
}
