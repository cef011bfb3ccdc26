//! The text encoder, with padding on either side and with and without a system prompt.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use hart_core::HartBackend;
use hart_core::checkpoint::{LoadOptions, load};
use hart_core::tap::Tap;
use hart_pipeline::text::model::Qwen2;
use hart_pipeline::text::{
    NAMES, PaddingSide, PromptTokenizer, SystemPrompt, TextEncoder, TextEncoderConfig,
    open_checkpoint, system_prompt,
};
use libtest_mimic::Failed;
use serde_json::Value;

use crate::harness::{COMPONENT, Trace};

pub(crate) fn compare<B: HartBackend>(trace: &mut Trace, device: &B::Device) -> Result<(), Failed> {
    let folders = text_folders(&trace.folder);
    let with_tokenizer = folders.iter().find(|folder| folder.join("tokenizer.json").is_file());
    let vocabulary = with_tokenizer.ok_or("no folder has a tokenizer.json")?.clone();
    compare_tokenizer(trace, &vocabulary)?;
    for folder in folders {
        for (side, case) in cases(trace) {
            compare_case::<B>(trace, device, &folder, &vocabulary, &side, &case)?;
        }
    }
    Ok(())
}

/// The folders that hold a Qwen2 model.
fn text_folders(fixtures: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    let mut folders: Vec<_> = folders
        .filter(|folder| TextEncoderConfig::open(folder.join("config.json")).is_ok())
        .collect();
    folders.sort();
    folders
}

/// The pairs of a padding side and a system prompt that were recorded.
fn cases(trace: &Trace) -> BTreeSet<(String, String)> {
    let names = trace.names();
    let cases = names.iter().filter_map(|name| {
        let mut parts = name.split('.');
        Some((parts.next()?.to_string(), parts.next()?.to_string()))
    });
    cases.collect()
}

fn compare_tokenizer(trace: &mut Trace, folder: &Path) -> Result<(), Failed> {
    let tokenizer = PromptTokenizer::open(folder, None)?;
    let json = trace.json.clone();
    let ids = |case: &Value| -> Vec<u32> {
        let ids = case["ids"].as_array().expect("a list of ids");
        ids.iter().map(|id| id.as_u64().expect("an id") as u32).collect()
    };
    let list = |key: &str| json[key].as_array().expect("a list of cases").clone();
    for case in list("tokenization") {
        let text = case["text"].as_str().expect("a text");
        trace.check(&format!("the tokens of {text:?}"), tokenizer.ids(text)? == ids(&case));
    }
    for case in list("decode") {
        let text = case["text"].as_str().expect("a text");
        trace.check(&format!("the text of {text:?}"), tokenizer.text(&ids(&case))? == text);
    }
    let official = trace.json["official_system_prompt"] == system_prompt::RELEASED;
    trace.check("the released system prompt", official);
    Ok(())
}

fn compare_case<B: HartBackend>(
    trace: &mut Trace,
    device: &B::Device,
    folder: &Path,
    vocabulary: &Path,
    side: &str,
    case: &str,
) -> Result<(), Failed> {
    let padding = if side == "left" { PaddingSide::Left } else { PaddingSide::Right };
    let tokenizer = PromptTokenizer::open(vocabulary, Some(padding))?;
    let system = match case {
        "nosys" => SystemPrompt::None,
        "sys" => SystemPrompt::Custom(trace.json["system_prompt"].as_str().unwrap().to_string()),
        "official_sys" => SystemPrompt::Released,
        other => return Err(format!("an unknown case {other}").into()),
    };
    let name = |what: &str| format!("{side}.{case}.{what}");
    let length = trace.json["max_length"].as_u64().expect("a length") as usize;
    let prompts = trace.json["prompts"].as_array().expect("prompts").clone();
    let prompts: Vec<&str> = prompts.iter().map(|p| p.as_str().expect("a prompt")).collect();

    if let Some(text) = system.text() {
        let ids: Vec<i64> =
            tokenizer.system_ids(text, length)?.into_iter().map(i64::from).collect();
        trace.equal(&name("system_tokens"), &ids);
    }
    let config = TextEncoderConfig::open(folder.join("config.json"))?;
    let model = load(
        Qwen2::<B>::init(&config, device),
        &open_checkpoint(folder)?,
        &NAMES,
        LoadOptions::default(),
    )?;
    let encoder = TextEncoder::new(tokenizer, model.clone(), config.width, length, &system)?;

    let tokenized: Result<Vec<_>, _> =
        prompts.iter().map(|prompt| encoder.tokenize(prompt)).collect();
    let tokenized = tokenized?;
    let tokens: Vec<Vec<u32>> = tokenized.iter().map(|p| p.tokens.clone()).collect();
    let mask: Vec<Vec<bool>> = tokenized.iter().map(|p| p.mask.clone()).collect();
    let flat: Vec<i64> = tokens.iter().flatten().map(|&id| i64::from(id)).collect();
    trace.equal(&name("tokens"), &flat);
    let valid: Vec<i64> = mask.iter().flatten().map(|&valid| i64::from(valid)).collect();
    trace.equal(&name("mask"), &valid);
    let positions: Vec<i64> = tokenized.iter().flat_map(|p| p.positions.clone()).collect();
    trace.equal(&name("position_ids"), &positions);

    let encoded = encoder.encode(&prompts)?;
    // A left pad without a system prompt attends to nothing: what it gives is not defined.
    let only_valid = side == "left" && case == "nosys";
    let rows: Option<&[i64]> = only_valid.then_some(valid.as_slice());
    for recorded in ["context", "context_sdpa"] {
        if trace.has(&name(recorded)) {
            compare_rows(trace, &name(recorded), encoded.text.context.to_data(), rows);
        }
    }
    let mut layers = Layers { trace, prefix: format!("{side}.{case}.") };
    if case == "nosys" {
        model.forward(&tokens, &mask, None, &mut layers);
    }
    Ok(())
}

/// Compares the rows of `[prompts, tokens, width]` where `valid` is 1, or all.
fn compare_rows(trace: &mut Trace, name: &str, found: TensorData, valid: Option<&[i64]>) {
    let width = *found.shape.last().expect("a shape");
    let found: Vec<f64> = found.iter::<f64>().collect();
    let expected = trace.get(name).values.clone();
    let rows = |values: &[f64]| -> Vec<f64> {
        let rows = values.chunks_exact(width).enumerate();
        let kept = rows.filter(|(i, _)| valid.is_none_or(|valid| valid[*i] == 1));
        kept.flat_map(|(_, row)| row.to_vec()).collect()
    };
    trace.compare(name, &rows(&found), &rows(&expected), COMPONENT);
}

/// Compares the hidden states of every layer that was recorded.
struct Layers<'a> {
    trace: &'a mut Trace,
    prefix: String,
}

impl Tap for Layers<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        let name = format!("{}{name}", self.prefix);
        if self.trace.has(&name) {
            self.trace.close(&name, data(), COMPONENT);
        }
    }
}
