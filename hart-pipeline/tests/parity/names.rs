//! What the recordings call their tensors, and what the library and these tests call them: the one
//! place that knows the former.
//!
//! Where the library offers a tensor to a tap, our name is that of the tap. Gradients keep the names
//! that checkpoints give to their parameters, which the tables of the crates know.

/// Recorded names and ours; each `*` of the one is the text of the same `*` of the other.
type Names = &'static [(&'static str, &'static str)];

/// The names of every kind of trace.
const KINDS: [(&str, Names); 10] = [
    ("trace_primitives", PRIMITIVES),
    ("trace_sampling", SAMPLING),
    ("trace_gen_", GENERATION),
    ("trace_ema_", &[("img_*_checkpoint", "image.*"), ("context_tokens", "text.tokens")]),
    ("trace_tokenizer_", TOKENIZER),
    ("trace_text", TEXT),
    ("trace_block", BLOCK),
    ("trace_diffusion", DIFFUSION),
    ("trace_train_", TRAINING),
    ("trace_vq_train", TOKENIZER_TRAINING),
];

/// Resizing from side to side; tables of context and visual tokens by head width and side, the full
/// ones of the released size.
const PRIMITIVES: Names = &[
    ("interp*.area.*to*", "resize*.area.*.*"),
    ("interp*.bicubic.*to*", "resize*.bicubic.*.*"),
    ("interp*.up_src*", "resize*.small.*"),
    ("interp*.src*", "resize*.source.*"),
    ("coord1d.pn*", "full.coordinates.*"),
    ("rope1d.pos", "context.positions"),
    ("rope1d.hd*.cos", "context.*.cos"),
    ("rope1d.hd*.sin", "context.*.sin"),
    ("rope2d.pn*.pos", "visual.*.coordinates"),
    ("rope2d.hd*.pn*.cos", "visual.*.*.cos"),
    ("rope2d.hd*.pn*.sin", "visual.*.*.sin"),
    ("rope2d.apply_pn*.*_rot", "rotated.*.*.output"),
    ("rope2d.apply_pn*.*", "rotated.*.*.input"),
    ("rope2d_full.pn*.rows", "full.*.cells"),
    ("rope2d_full.pn*.cos", "full.*.cos"),
    ("rope2d_full.pn*.sin", "full.*.sin"),
    ("tstep.t", "sinusoid.times"),
    ("tstep.*", "sinusoid.of.*"),
    ("rms.w", "norm.weight"),
    ("rms.x", "norm.input"),
    ("rms.out", "norm.output"),
    ("rms.tiny_out", "norm.output.tiny"),
    ("rms.zero_out", "norm.output.zero"),
    ("rms.fp16_x", "norm.half.input"),
    ("rms.fp16_out", "norm.half.output"),
    ("rms.weight_after_fp16_call", "norm.half.weight"),
    ("l2.x", "length.input"),
    ("l2.out", "length.output"),
    ("act.x", "activation.input"),
    ("act.silu", "activation.silu"),
    ("act.gelu_tanh", "activation.gelu"),
];

const SAMPLING: Names = &[
    ("k*_p*.probs", "top.*.*.probabilities"),
    ("k*_p*.kept", "top.*.*.kept"),
    ("gumbel.noise", "smooth.noise"),
    ("gumbel.tau*.soft_zero_noise", "smooth.*.silent"),
    ("gumbel.tau*.soft", "smooth.*.noisy"),
];

/// Where the recordings keep what belongs to a scale or to a masked pass over the last one.
const STEPS: Names = &[("s*", "scale.*"), ("m*", "pass.*")];

/// Tensors of such a step.
const STEP: Names = &[
    ("x_in", "input"),
    ("block0_attn_out", "block.0.attention"),
    ("block0_out", "block.0.output"),
    ("blocklast_out", "hidden"),
    ("logits_pre_cfg", "logits"),
    ("logits_cfg", "logits.guided"),
    ("idx", "indices"),
    ("soft", "probabilities"),
    ("kept_count", "kept"),
    ("kth_logit", "smallest"),
    ("h", "tokens"),
    ("f_hat", "latent"),
    ("next_map", "next_input"),
    ("last_stage_cond", "residual.condition"),
    ("diff_init_noise", "residual.start"),
    ("diff_step_noise", "residual.noise"),
    ("diff_samples", "residual.sample"),
    ("diff_pred_xstart", "residual.estimate"),
    ("diff_out", "residual.result"),
];

const GENERATION: Names = &[
    ("context", "text.context"),
    ("context_mask", "text.mask"),
    ("context_position_ids", "text.positions"),
    ("cond_BLD", "context.embedded"),
    ("cond_avg_pooled", "context.mean"),
    ("cond_max_pooled", "context.largest"),
    ("lvl_embed_rows", "levels"),
    ("f_hat_final", "latent"),
    ("img", "image"),
];

const TOKENIZER: Names = &[
    ("act.encoder.conv_in", "encoder.input"),
    ("act.encoder.down.*.downsample", "encoder.level.*"),
    ("act.*.mid.attn_1", "*.middle.attention"),
    ("act.*.mid.block_*", "*.middle.block_*"),
    ("act.encoder.norm_out", "encoder.norm"),
    ("enc_out", "encoder.output"),
    ("f", "latent"),
    ("frest.idx.*", "hybrid.indices.*"),
    ("frest.rest", "hybrid.residual"),
    ("idxbl.*", "discrete.indices.*"),
    ("fhat.*", "discrete.latent.*"),
    ("embed_to_fhat_last", "discrete.latent"),
    ("ar.fhat_final", "hybrid.latent"),
    ("ar.fhat.*", "generated.latent.*"),
    ("ar.next.*", "generated.next_input.*"),
    ("var_input", "images_so_far"),
    ("post_quant", "decoder.latent"),
    ("act.decoder.conv_in", "decoder.input"),
    ("act.decoder.up.*.upsample", "decoder.level.*"),
    ("dec_unclamped", "decoded"),
    ("img", "discrete.image"),
    ("img_continuous", "continuous.image"),
];

const TEXT: Names = &[
    ("*.position_ids", "*.positions"),
    ("*.context_sdpa", "*.context.fused"),
    ("*.hidden_states.*", "*.layer.*.input"),
    ("*.before_final_norm", "*.unnormalized"),
];

const BLOCK: Names = &[
    ("x", "input"),
    ("cond", "context"),
    ("context_mask", "text.mask"),
    ("context_position_ids", "text.positions"),
    ("nocache_si0_out", "uncached"),
    ("*.full_masked_out", "*.masked"),
    ("*.cached_out.*", "*.cached.*"),
    ("*.cache_k", "*.keys"),
    ("*.cache_v", "*.values"),
    ("*.scale_mul_1H11", "*.log_scale"),
    ("partial_last.keep", "partial.positions"),
    ("partial_last.out", "partial.output"),
];

const DIFFUSION: Names = &[
    ("sched.*.timestep_map", "schedule.*.time"),
    ("sched.*.betas", "schedule.*.beta"),
    ("sched.*.alphas_cumprod", "schedule.*.alpha_cumulative"),
    ("sched.*.sqrt_recip_alphas_cumprod", "schedule.*.sqrt_reciprocal_alpha"),
    ("sched.*.sqrt_recipm1_alphas_cumprod", "schedule.*.sqrt_reciprocal_alpha_minus_one"),
    ("sched.*.posterior_log_variance_clipped", "schedule.*.posterior_log_variance"),
    ("sched.*.posterior_mean_coef1", "schedule.*.posterior_mean_start"),
    ("sched.*.posterior_mean_coef2", "schedule.*.posterior_mean_present"),
    ("cond_z", "condition"),
    ("init_noise", "start"),
    ("net.t", "network.times"),
    ("net.x", "network.input"),
    ("net.out", "network.output"),
    ("net.out_cfg*", "network.guided.*"),
    ("loop.*.temp*.cfg*.step_noise", "loop.*.temperature.*.guidance.*.noise"),
    ("loop.*.temp*.cfg*.samples", "loop.*.temperature.*.guidance.*.sample"),
    ("loop.*.temp*.cfg*.pred_xstart", "loop.*.temperature.*.guidance.*.estimate"),
    ("loop.*.temp*.cfg*.final", "loop.*.temperature.*.guidance.*.result"),
    ("train.x_start", "train.start"),
    ("train.x_t", "train.noised"),
    ("train.terms.vb", "train.terms.bound"),
    ("train.terms.mse", "train.terms.noise"),
    ("train.terms.loss", "train.terms.total"),
];

const TRAINING: Names = &[
    ("context", "text.context"),
    ("context_mask", "text.mask"),
    ("context_position_ids", "text.positions"),
    ("cond_drop_randn", "text.dropped"),
    ("f", "latent"),
    ("gt_idx.*", "indices.*"),
    ("last_layer_gt", "residual"),
    ("last_layer_gt_discrete", "residual.indices"),
    ("x_BLCv_wo_first_l", "images_so_far"),
    ("kept_rows", "kept.rows"),
    ("kept_cols", "kept.columns"),
    ("ce_target", "targets"),
    ("ce_loss", "cross_entropy"),
    ("idx_sampled", "chosen"),
    ("decoder_norm_out", "condition"),
    ("diff_t", "diffusion.times"),
    ("diff_noise", "diffusion.noise"),
    ("diff_loss", "diffusion.loss"),
    ("diff_terms.vb", "diffusion.terms.bound"),
    ("diff_terms.mse", "diffusion.terms.noise"),
    ("diff_terms.loss", "diffusion.terms.total"),
];

/// `skip0` and `skip1`: whether the decoder sees what the codes leave over.
const TOKENIZER_TRAINING: Names = &[
    ("*.skip0.loss_recon", "*.continuous.error"),
    ("*.skip0.loss_total", "*.continuous.total"),
    ("*.skip0.vq_loss", "*.continuous.quantizer"),
    ("*.skip0.out", "*.continuous.images"),
    ("*.skip0.grad.*", "*.continuous.grad.*"),
    ("*.skip1.loss_recon", "*.discrete.error"),
    ("*.skip1.loss_total", "*.discrete.total"),
    ("*.skip1.vq_loss", "*.discrete.quantizer"),
    ("*.skip1.out", "*.discrete.images"),
    ("*.skip1.grad.*", "*.discrete.grad.*"),
];

/// Our name of a recorded tensor; one that no table has keeps its own.
pub(crate) fn ours(trace: &str, recorded: &str) -> String {
    let tables = KINDS.into_iter().filter(|(kind, _)| trace.starts_with(kind));
    let named = tables.flat_map(|(_, names)| names).find_map(|names| renamed(names, recorded));
    named.or_else(|| of_step(trace, recorded)).unwrap_or_else(|| recorded.to_string())
}

/// Our name of a tensor that belongs to a scale or a pass of a generation.
fn of_step(trace: &str, recorded: &str) -> Option<String> {
    let (step, what) = recorded.split_once('.').filter(|_| trace.starts_with("trace_gen_"))?;
    let step = STEPS.iter().find_map(|names| renamed(names, step))?;
    let what = STEP.iter().find_map(|names| renamed(names, what))?;
    Some(format!("{step}.{what}"))
}

fn renamed((recorded, ours): &(&str, &str), name: &str) -> Option<String> {
    let mut filled = ours.to_string();
    for text in stars(recorded, name)? {
        filled = filled.replacen('*', text, 1);
    }
    Some(filled)
}

/// The texts that the stars of a pattern stand for, when `name` has its form.
fn stars<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = pattern.split('*');
    let mut rest = name.strip_prefix(parts.next()?)?;
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty().then(Vec::new) };
    let mut texts = vec![];
    for part in parts {
        let (text, behind) = rest.split_once(part)?;
        texts.push(text);
        rest = behind;
    }
    texts.push(rest.strip_suffix(last)?);
    Some(texts)
}
