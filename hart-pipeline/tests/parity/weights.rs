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

/// The prompts are those of the recorded texts, padded on the side that the mask says.
fn compare_prompt_tokens(trace: &Trace, inputs: &Trace) -> Result<(), Failed> {
    let Some(tokens) = trace.about("text.tokens") else { return Ok(()) };
    let mask = inputs.input("text.mask")?.rows();
    let left = mask.iter().any(|row| row[0] == 0);
    let side = if left { PaddingSide::Left } else { PaddingSide::Right };
    let tokenizer = PromptTokenizer::open(vocabulary(&trace.folder)?, Some(side))?;
    let mut names = Fixtures::find().traces().into_iter();
    let texts = names.find(|name| name.starts_with("trace_text")).ok_or("no texts")?;
    let texts = Fixtures::find().trace(&texts, trace.options)?;
    let mut found = vec![];
    for (prompt, mask) in prompts(&texts.json).iter().zip(mask) {
        let tokenized = tokenizer.tokenize(prompt, tokens.shape[1])?;
        found.extend(tokenized.tokens.iter().map(|&token| i64::from(token)));
        let valid: Vec<i64> = tokenized.mask.iter().map(|&valid| i64::from(valid)).collect();
        trace.check("the mask of the prompts", valid == mask);
    }
    trace.equal("text.tokens", &found);
    Ok(())
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
