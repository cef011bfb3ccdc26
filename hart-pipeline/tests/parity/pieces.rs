//! The pieces of a generation: a hook that replaces what was computed by what was recorded, after
//! comparing it, and a tap that compares what lies between.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use hart_ar::HalfLogits;
use hart_ar::sampling::{Smoothing, TokenRule, filter, smooth_weights};
use hart_core::tap::Tap;
use hart_core::{Error, HartBackend, Result};
use hart_pipeline::generation::{
    GenerationHook, GenerationSettings, ResidualSampling, ScaleTokens, Step,
};
use hart_tokenizer::quantizer::{to_map, to_tokens};
use libtest_mimic::Failed;

use crate::kinds::{
    ATTENTION, BLOCK, CONDITION, CONTEXT, FINAL_LATENT, FINAL_LATENT_OF_LATENT, GUIDED, HIDDEN,
    KEPT, Kind, LATENT, LEVELS, LOGITS, NEXT_INPUT, PROBABILITIES, RESIDUAL, SCALE_INPUT, TOKENS,
    TOKENS_OF_LATENT,
};
use crate::steps::Steps;
use crate::trace::{Trace, values};

/// Judges every step of a generation from its recorded inputs.
pub(crate) struct Pieces<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) settings: &'a GenerationSettings,
}

/// What the tensors of a step are called.
fn name<B: HartBackend>(step: &Step<'_, B>, what: &str) -> String {
    if step.scale == step.model.transformer.scales().last() {
        format!("pass.{}.{what}", step.pass)
    } else {
        format!("scale.{}.{what}", step.scale)
    }
}

impl<B: HartBackend> GenerationHook<B> for Pieces<'_> {
    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        let logits = logits.guided(step.guidance)?;
        let recorded = name(step, "logits.guided");
        self.trace.close(&GUIDED, &recorded, logits.to_data());
        let logits = match self.trace.optional(&recorded) {
            Some(golden) => golden.tensor(&logits.device()),
            None => logits,
        };
        self.compare_sampling(step, &logits);
        Ok(logits)
    }

    fn tokens(&mut self, step: &Step<'_, B>, tokens: ScaleTokens<B>) -> Result<ScaleTokens<B>> {
        let ScaleTokens { mut indices, mut vectors } = tokens;
        let recorded = name(step, "indices");
        self.trace.equal(&recorded, &indices.to_data().iter::<i64>().collect::<Vec<_>>());
        if let Some(golden) = self.trace.optional(&recorded) {
            indices = golden.ints(&vectors.device());
        }
        let recorded = name(step, "tokens");
        if let Some(golden) = self.trace.optional(&recorded) {
            let map = to_map(vectors.clone(), step.grid);
            let unknown = self.mixes_unknown_logits(&name(step, ""));
            let kind = if unknown { &TOKENS_OF_LATENT } else { &TOKENS };
            self.trace.close(kind, &recorded, map.to_data());
            vectors = to_tokens(golden.tensor(&vectors.device()));
        }
        Ok(ScaleTokens { indices, vectors })
    }

    fn latent(&mut self, scale: usize, latent: Tensor<B, 4>) -> Result<Tensor<B, 4>> {
        let recorded = format!("scale.{scale}.latent");
        let Some(golden) = self.trace.optional(&recorded) else {
            let kind = if self.mixes_unknown_logits("pass.0.") {
                &FINAL_LATENT_OF_LATENT
            } else {
                &FINAL_LATENT
            };
            self.trace.close(kind, "latent", latent.to_data());
            return Ok(latent);
        };
        self.trace.close(&LATENT, &recorded, latent.to_data());
        Ok(golden.tensor(&latent.device()))
    }

    fn residual(
        &mut self,
        step: &Step<'_, B>,
        sampling: ResidualSampling<'_, B>,
    ) -> Result<Tensor<B, 3>> {
        self.compare_residual(step, &sampling).map_err(invalid)?;
        let Some(result) = self.trace.optional(&name(step, "residual.result")) else {
            return sampling.sample();
        };
        // Both halves were recorded, the conditional one first.
        let shape = sampling.start.dims();
        let conditional = result.floats()[..shape.iter().product()].to_vec();
        let conditional = TensorData::new(conditional, shape);
        Ok(Tensor::from_data(conditional, &sampling.start.device()))
    }
}

/// A failed comparison as the error of a hook.
fn invalid(failed: Failed) -> Error {
    Error::invalid("the recording", failed.message().unwrap_or_default(), "what is compared with")
}

impl Pieces<'_> {
    /// The condition from the recorded last block and indices, and every diffusion step from the
    /// recorded condition.
    fn compare_residual<B: HartBackend>(
        &self,
        step: &Step<'_, B>,
        sampling: &ResidualSampling<'_, B>,
    ) -> Result<(), Failed> {
        let (trace, device) = (self.trace, sampling.start.device());
        let guidance = trace.json["diffusion_cfg"][step.pass].as_f64();
        let same = guidance.is_none_or(|guidance| guidance == sampling.settings.guidance);
        trace.check("the diffusion guidance", same);

        let hidden = trace.optional(&name(step, "hidden"));
        let mut condition = match (hidden, trace.optional(&name(step, "indices"))) {
            (Some(hidden), Some(indices)) => {
                let codes = step.model.tokenizer.quantizer.embed(indices.ints(&device));
                step.model.transformer.residual_condition(hidden.tensor(&device), codes)
            }
            _ => sampling.condition.clone(),
        };
        // Recorded with rows and tokens as one axis.
        let recorded = name(step, "residual.condition");
        trace.close_values(&CONDITION, &recorded, &values(&condition));
        if let Some(golden) = trace.optional(&recorded) {
            condition = golden.reshaped(condition.dims(), &device);
        }
        Steps {
            trace,
            beginning: name(step, "residual."),
            head: sampling.head,
            schedule: sampling.schedule,
            settings: sampling.settings,
            condition,
            start: sampling.start.clone(),
            noise: &*sampling.noise,
        }
        .compare(&RESIDUAL, 1.0)
    }

    /// Whether the tokens of a step are mixed by probabilities of logits that were not recorded.
    fn mixes_unknown_logits(&self, step: &str) -> bool {
        let logits = self.trace.about(&format!("{step}logits.guided"));
        self.settings.smooth && logits.is_none()
    }

    /// What follows from the logits: the filter, and the smooth probabilities.
    fn compare_sampling<B: HartBackend>(&self, step: &Step<'_, B>, logits: &Tensor<B, 3>) {
        let rule = self.settings.token_rule(step.model.transformer.scales(), step.scale);
        self.check_temperature(step, &rule);
        let [_, _, entries] = logits.dims();
        let logits: Vec<f32> = logits.to_data().iter::<f32>().collect();
        let (mut counts, mut smallest, mut probabilities) = (vec![], vec![], vec![]);
        for row in logits.chunks_exact(entries) {
            let kept = filter(row, rule.top_k, rule.top_p);
            counts.push(kept.len() as i64);
            let logits = kept.iter().map(|&(_, logit)| logit);
            smallest.push(f64::from(logits.fold(f32::MAX, f32::min)));
            if let Some(smoothing) = rule.smooth {
                probabilities.extend(dense(&kept, smoothing, entries));
            }
        }
        self.trace.equal(&name(step, "kept"), &counts);
        let recorded = name(step, "smallest");
        if let Some(golden) = self.trace.about(&recorded) {
            // Of all logits: the smallest that is kept is near zero.
            let largest = logits.iter().fold(0.0f32, |m, logit| m.max(logit.abs()));
            let expected = &golden.values;
            self.trace.compare_over(&KEPT, &recorded, &smallest, expected, largest.into());
        }
        self.trace.close_values(&PROBABILITIES, &name(step, "probabilities"), &probabilities);
    }

    /// The temperatures are listed for every scale, then for every pass over the last one.
    fn check_temperature<B: HartBackend>(&self, step: &Step<'_, B>, rule: &TokenRule) {
        let listed = &self.trace.json["gumbel_tau"][step.scale + step.pass];
        let found = rule.smooth.map(|smoothing| smoothing.temperature);
        if let (Some(listed), Some(found)) = (listed.as_f64(), found) {
            self.trace.check("the temperature", (listed - found).abs() < 1e-15);
        }
    }
}

/// The smooth probabilities of all entries, without noise; those left out have none.
fn dense(kept: &[(usize, f32)], smoothing: Smoothing, entries: usize) -> Vec<f64> {
    let mut dense = vec![0.0; entries];
    let weights = smooth_weights(kept, smoothing, &vec![0.0; entries]);
    kept.iter().zip(weights).for_each(|(&(entry, _), weight)| dense[entry] = f64::from(weight));
    dense
}

/// Compares what a generation offers between the calls of the hook.
///
/// What is offered after the hook has replaced it is left alone. Both halves of the context step are
/// recorded as one tensor, in which the tokens of the empty prompt are all there, though they are
/// identical.
pub(crate) struct Between<'a> {
    pub(crate) trace: &'a Trace,
    conditional: BTreeMap<String, TensorData>,
}

impl<'a> Between<'a> {
    pub(crate) fn new(trace: &'a Trace) -> Self {
        Self { trace, conditional: BTreeMap::new() }
    }
}

impl Tap for Between<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        let conditional = name.replacen("conditional.", "", 1);
        let unconditional = name.replacen("unconditional.", "", 1);
        if unconditional != name {
            let Some(kind) = kind_of(&unconditional) else { return };
            if let Some(first) = self.conditional.remove(&unconditional) {
                self.trace.close(kind, &unconditional, join_halves(first, &data()));
            }
        } else if conditional != name {
            if self.trace.about(&conditional).is_some() {
                self.conditional.insert(conditional, data());
            }
        } else if let Some(kind) = kind_of(name)
            && self.trace.about(name).is_some()
        {
            self.trace.close(kind, name, data());
        }
    }
}

/// The kind of a tensor that is offered as it was computed.
fn kind_of(name: &str) -> Option<&'static Kind> {
    let what = match name.split_once('.') {
        Some(("scale" | "pass", step)) => step.split_once('.')?.1,
        _ => name,
    };
    Some(match what {
        "context.embedded" | "context.largest" => &CONTEXT,
        "levels" => &LEVELS,
        "input" => &SCALE_INPUT,
        "block.0.attention" => &ATTENTION,
        "block.0.output" => &BLOCK,
        "hidden" => &HIDDEN,
        "logits" => &LOGITS,
        "next_input" => &NEXT_INPUT,
        _ => return None,
    })
}

/// Both halves `[2 · batch, tokens, width]`, from the conditional one and the single token of the
/// other.
fn join_halves(conditional: TensorData, unconditional: &TensorData) -> TensorData {
    let [batch, tokens, width] = conditional.shape.to_vec()[..] else { return conditional };
    let mut values: Vec<f32> = conditional.iter::<f32>().collect();
    let other: Vec<f32> = unconditional.iter::<f32>().collect();
    values.extend(other.chunks_exact(width).flat_map(|token| token.repeat(tokens)));
    TensorData::new(values, [2 * batch, tokens, width])
}
