//! The images of both weight files of a model, made with the inputs of another trace.

use hart_core::HartBackend;
use hart_pipeline::TransformerWeights;
use hart_pipeline::text::{PaddingSide, PromptTokenizer};
use libtest_mimic::Failed;

use crate::fixtures::Fixtures;
use crate::generation::Generation;
use crate::kinds::WHOLE_IMAGE;
use crate::models::{config_of, load_model, model_folder};
use crate::text::{prompts, vocabulary};
use crate::trace::Trace;

/// `trace_ema_*`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let folder = model_folder(&trace.folder, trace.case("trace_ema_"))?;
    let inputs = inputs_of(trace)?;
    let config = config_of(&inputs, &folder)?;
    let generation = Generation::<B>::of(&inputs, &config, device)?;
    let files = [("image.ema", TransformerWeights::Ema), ("image.raw", TransformerWeights::Raw)];
    for (image, weights) in files {
        let model = load_model::<B>(&config, &folder, weights, trace.options, device)?;
        trace.close(&WHOLE_IMAGE, image, generation.image(&model)?.to_data());
    }
    compare_prompt_tokens(trace, &inputs)
}

/// Prompts of the recorded texts give these tokens and the recorded mask, padded on the side that the
/// mask says. Tokens of other texts are inputs.
fn compare_prompt_tokens(trace: &Trace, inputs: &Trace) -> Result<(), Failed> {
    let Some(tokens) = trace.optional("text.tokens") else { return Ok(()) };
    let mask = inputs.input("text.mask")?.rows();
    let left = mask.iter().any(|row| row[0] == 0);
    let side = if left { PaddingSide::Left } else { PaddingSide::Right };
    let tokenizer = PromptTokenizer::open(vocabulary(&trace.folder)?, Some(side))?;
    let prompts = recorded_prompts(trace)?;
    let mut found = vec![];
    for (tokens, mask) in tokens.rows().iter().zip(mask) {
        let valid = tokens.iter().zip(&mask).filter(|(_, valid)| **valid == 1);
        let ids: Vec<u32> = valid.map(|(&token, _)| token as u32).collect();
        let text = tokenizer.text(&ids)?;
        let Some(prompt) = prompts.iter().find(|prompt| prompt.starts_with(&text)) else {
            return Ok(());
        };
        let tokenized = tokenizer.tokenize(prompt, tokens.len())?;
        found.extend(tokenized.tokens.iter().map(|&token| i64::from(token)));
        let valid: Vec<i64> = tokenized.mask.iter().map(|&valid| i64::from(valid)).collect();
        trace.check("the mask of the prompts", valid == mask);
    }
    trace.equal("text.tokens", &found);
    Ok(())
}

/// The prompts of all recorded texts.
fn recorded_prompts(trace: &Trace) -> Result<Vec<String>, Failed> {
    let mut all = vec![];
    for name in Fixtures::find().traces() {
        if name.starts_with("trace_text") {
            all.extend(prompts(&Fixtures::find().trace(&name, trace.options)?.json));
        }
    }
    Ok(all)
}

/// The trace whose inputs these images were made with: its image is the same.
fn inputs_of(trace: &Trace) -> Result<Trace, Failed> {
    let image = &trace.input("image.ema")?.values;
    for name in Fixtures::find().traces() {
        let other = Fixtures::find().trace(&name, trace.options)?;
        if name.starts_with("trace_gen_")
            && other.about("image").is_some_and(|i| i.values == *image)
        {
            return Ok(other);
        }
    }
    Err("no generation with this image was recorded".into())
}
