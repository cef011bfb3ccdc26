//! The text encoder, with padding on either side and with and without a system prompt.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use hart_core::HartBackend;
use hart_core::config::ConfigReader;
use hart_core::tap::Tap;
use hart_pipeline::text::model::Qwen2;
use hart_pipeline::text::{
    PaddingSide, PromptTokenizer, SystemPrompt, TextEncoder, TextEncoderConfig, TokenizedPrompt,
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
    let is_text_model = |folder: &PathBuf| {
        let config = ConfigReader::open(folder.join("config.json"));
        config.is_ok_and(|config| config.value("model_type").is_some_and(|kind| kind == "qwen2"))
    };
    let entries = std::fs::read_dir(fixtures).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(is_text_model).collect();
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
        let text = text(&case["text"]);
        trace.check(&format!("the tokens of {text:?}"), tokenizer.ids(&text)? == ids(&case));
    }
    for case in list("decode") {
        let text = text(&case["text"]);
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
    let padding = match side {
        "left" => PaddingSide::Left,
        "right" => PaddingSide::Right,
        other => return Err(format!("an unknown side {other}").into()),
    };
    let tokenizer = PromptTokenizer::open(vocabulary, Some(padding))?;
    let system = match case {
        "nosys" => SystemPrompt::None,
        "sys" => SystemPrompt::Custom(text(&trace.json["system_prompt"])),
        "official_sys" => SystemPrompt::Released,
        other => return Err(format!("an unknown case {other}").into()),
    };
    let name = |what: &str| format!("{side}.{case}.{what}");
    let length = trace.json["max_length"].as_u64().expect("a length") as usize;
    if let Some(text) = system.text() {
        let ids = tokenizer.system_ids(text, length)?;
        let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
        trace.equal(&name("system_tokens"), &ids);
        let uncut = name("system_tokens_untruncated_len");
        let holds = trace.json["cases"][&uncut] == tokenizer.ids(text)?.len();
        trace.check(&uncut, holds);
    }
    let config = TextEncoderConfig::open(folder.join("config.json"))?;
    // The embeddings, and what every layer gives.
    trace.check("hidden_states_len", trace.json["hidden_states_len"] == config.depth + 1);
    let (model, checkpoint) = (Qwen2::<B>::init(&config, device), open_checkpoint(folder)?);
    let model = model.load(&checkpoint, trace.options)?;
    let encoder = TextEncoder::new(tokenizer, model.clone(), config.width, length, &system)?;

    let prompts: Vec<String> =
        trace.json["prompts"].as_array().expect("prompts").iter().map(text).collect();
    let tokenized: Result<Vec<_>, _> = prompts.iter().map(|p| encoder.tokenize(p)).collect();
    let tokenized = tokenized?;
    let valid = compare_tokens(trace, &name, &tokenized);
    // A left pad without a system prompt attends to nothing: what it gives is not defined.
    let rows = (side == "left" && case == "nosys").then_some(valid);
    if case == "nosys" {
        let tokens: Vec<_> = tokenized.iter().map(|prompt| prompt.tokens.clone()).collect();
        let mask: Vec<_> = tokenized.iter().map(|prompt| prompt.mask.clone()).collect();
        let prefix = format!("{side}.{case}.");
        let mut layers = Layers { trace, prefix, rows: rows.as_deref() };
        model.forward(&tokens, &mask, None, &mut layers);
    }
    let context = encoder.encode_tokens(tokenized)?.text.context.to_data();
    for recorded in ["context", "context_sdpa"] {
        if trace.has(&name(recorded)) {
            compare_rows(trace, &name(recorded), context.clone(), rows.as_deref());
        }
    }
    Ok(())
}

/// Compares the tokens with their masks and positions; returns the mask of all tokens.
fn compare_tokens(
    trace: &mut Trace,
    name: &dyn Fn(&str) -> String,
    prompts: &[TokenizedPrompt],
) -> Vec<i64> {
    let tokens = prompts.iter().flat_map(|prompt| prompt.tokens.iter().map(|&id| i64::from(id)));
    trace.equal(&name("tokens"), &tokens.collect::<Vec<_>>());
    let valid = prompts.iter().flat_map(|prompt| prompt.mask.iter().map(|&one| i64::from(one)));
    let valid: Vec<i64> = valid.collect();
    trace.equal(&name("mask"), &valid);
    let positions = prompts.iter().flat_map(|prompt| prompt.positions.clone());
    trace.equal(&name("position_ids"), &positions.collect::<Vec<_>>());
    valid
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_string()
}

/// Compares the rows of `[prompts, tokens, width]` where `valid` is 1, or all.
fn compare_rows(trace: &mut Trace, name: &str, found: TensorData, valid: Option<&[i64]>) {
    if found.shape.to_vec() != trace.get(name).shape {
        // Says that the shapes differ.
        return trace.close(name, found, COMPONENT);
    }
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
    /// Which rows are defined, when not all are.
    rows: Option<&'a [i64]>,
}

impl Tap for Layers<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        let name = format!("{}{name}", self.prefix);
        if self.trace.has(&name) {
            compare_rows(self.trace, &name, data(), self.rows);
        }
    }
}
