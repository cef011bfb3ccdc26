//! The text encoder, with padding on either side and with and without a system prompt.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use hart_core::HartBackend;
use hart_core::config::ConfigReader;
use hart_core::tap::Tap;
use hart_pipeline::text::{
    PaddingSide, PromptTokenizer, Qwen2, SystemPrompt, TextEncoder, TextEncoderConfig,
    TokenizedPrompt, open_checkpoint, system_prompt,
};
use libtest_mimic::Failed;
use serde_json::Value;

use crate::kinds::{Kind, TEXT_CONTEXT, TEXT_LAYER};
use crate::trace::Trace;

/// `trace_text`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let vocabulary = vocabulary(&trace.folder)?;
    compare_tokenizer(trace, &vocabulary)?;
    for folder in text_folders(&trace.folder) {
        for (side, system) in cases(trace) {
            let vocabulary = vocabulary.clone();
            let case = Case { trace, beginning: format!("{side}.{system}."), vocabulary };
            case.compare::<B>(device, &folder, padding(&side)?, &system)?;
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

/// The folder whose tokenizer all text models share.
pub(crate) fn vocabulary(fixtures: &Path) -> Result<PathBuf, Failed> {
    let mut folders = text_folders(fixtures).into_iter();
    let found = folders.find(|folder| folder.join("tokenizer.json").is_file());
    Ok(found.ok_or("no folder of a text model has a tokenizer.json")?)
}

/// The prompts that a trace of texts was recorded with.
pub(crate) fn prompts(json: &Value) -> Vec<String> {
    json["prompts"].as_array().into_iter().flatten().map(text).collect()
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

fn padding(side: &str) -> Result<PaddingSide, Failed> {
    match side {
        "left" => Ok(PaddingSide::Left),
        "right" => Ok(PaddingSide::Right),
        other => Err(format!("an unknown side {other}").into()),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// Texts to ids and back.
fn compare_tokenizer(trace: &Trace, folder: &Path) -> Result<(), Failed> {
    let tokenizer = PromptTokenizer::open(folder, None)?;
    let ids = |case: &Value| -> Vec<u32> {
        let ids = case["ids"].as_array().into_iter().flatten();
        ids.filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
    };
    let list = |key: &str| trace.json[key].as_array().cloned().unwrap_or_default();
    for case in list("tokenization") {
        let text = text(&case["text"]);
        trace.check(&format!("the tokens of {text:?}"), tokenizer.ids(&text)? == ids(&case));
    }
    for case in list("decode") {
        let text = text(&case["text"]);
        trace.check(&format!("the text of {text:?}"), tokenizer.text(&ids(&case))? == text);
    }
    if let Some(official) = trace.json["official_system_prompt"].as_str() {
        trace.check("the released system prompt", official == system_prompt::RELEASED);
    }
    Ok(())
}

/// One padding side with one system prompt.
struct Case<'a> {
    trace: &'a Trace,
    /// What the names of its tensors begin with.
    beginning: String,
    vocabulary: PathBuf,
}

impl Case<'_> {
    fn name(&self, what: &str) -> String {
        format!("{}{what}", self.beginning)
    }

    fn compare<B: HartBackend>(
        &self,
        device: &B::Device,
        folder: &Path,
        padding: PaddingSide,
        system: &str,
    ) -> Result<(), Failed> {
        let (trace, json) = (self.trace, &self.trace.json);
        let tokenizer = PromptTokenizer::open(&self.vocabulary, Some(padding))?;
        let length = json["max_length"].as_u64().ok_or("no max_length in the JSON file")? as usize;
        let prompt = match system {
            "nosys" => SystemPrompt::None,
            "sys" => SystemPrompt::Custom(text(&json["system_prompt"])),
            "official_sys" => SystemPrompt::Released,
            other => return Err(format!("an unknown case {other}").into()),
        };
        self.compare_system(&tokenizer, &prompt, length)?;
        let config = TextEncoderConfig::open(folder.join("config.json"))?;
        // The embeddings, and what every layer gives.
        if let Some(recorded) = json["hidden_states_len"].as_u64() {
            trace.check("hidden_states_len", recorded as usize == config.depth + 1);
        }
        let (model, checkpoint) = (Qwen2::<B>::init(&config, device), open_checkpoint(folder)?);
        let model = model.load(&checkpoint, trace.options)?;
        let encoder = TextEncoder::new(tokenizer, model.clone(), length, &prompt)?;

        let tokenized: Result<Vec<_>, _> =
            prompts(json).iter().map(|prompt| encoder.tokenize(prompt)).collect();
        let tokenized = tokenized?;
        let valid = self.compare_tokens(&tokenized);
        // A left pad without a system prompt attends to nothing: what it gives is not defined.
        let undefined = padding == PaddingSide::Left && system == "nosys";
        let rows = undefined.then_some(valid);
        if system == "nosys" {
            let tokens: Vec<_> = tokenized.iter().map(|prompt| prompt.tokens.clone()).collect();
            let mask: Vec<_> = tokenized.iter().map(|prompt| prompt.mask.clone()).collect();
            let mut layers = Layers { case: self, depth: config.depth, rows: rows.as_deref() };
            model.forward(&tokens, &mask, None, &mut layers);
        }
        let context = encoder.encode_tokens(tokenized)?.text.context.to_data();
        for recorded in ["context", "context.fused"] {
            self.compare_rows(&TEXT_CONTEXT, recorded, context.clone(), rows.as_deref());
        }
        Ok(())
    }

    /// The tokens of the system prompt, cut, and how many there were.
    fn compare_system(
        &self,
        tokenizer: &PromptTokenizer,
        prompt: &SystemPrompt,
        length: usize,
    ) -> Result<(), Failed> {
        let Some(text) = prompt.text() else { return Ok(()) };
        let ids = tokenizer.system_ids(text, length)?;
        let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
        self.trace.equal(&self.name("system_tokens"), &ids);
        let uncut = self.name("system_tokens_untruncated_len");
        let holds = self.trace.json["cases"][&uncut] == tokenizer.ids(text)?.len();
        self.trace.check(&uncut, holds);
        Ok(())
    }

    /// Compares the tokens with their masks and positions; returns the mask of all tokens.
    fn compare_tokens(&self, prompts: &[TokenizedPrompt]) -> Vec<i64> {
        let tokens = prompts.iter().flat_map(|prompt| prompt.tokens.iter().map(|&id| id.into()));
        self.trace.equal(&self.name("tokens"), &tokens.collect::<Vec<_>>());
        let valid = prompts.iter().flat_map(|prompt| prompt.mask.iter().map(|&one| one.into()));
        let valid: Vec<i64> = valid.collect();
        self.trace.equal(&self.name("mask"), &valid);
        let positions = prompts.iter().flat_map(|prompt| prompt.positions.clone());
        self.trace.equal(&self.name("positions"), &positions.collect::<Vec<_>>());
        valid
    }

    /// Compares the rows of `[prompts, tokens, width]` where `valid` is 1, or all.
    fn compare_rows(
        &self,
        kind: &'static Kind,
        what: &str,
        found: TensorData,
        valid: Option<&[i64]>,
    ) {
        let name = self.name(what);
        let Some(golden) = self.trace.about(&name) else { return };
        let (Some(valid), true) = (valid, found.shape.to_vec() == golden.shape) else {
            return self.trace.close(kind, &name, found);
        };
        let width = golden.values.len() / valid.len();
        let found: Vec<f64> = found.iter::<f64>().collect();
        let rows = |values: &[f64]| -> Vec<f64> {
            let rows = values.chunks_exact(width).zip(valid).filter(|(_, valid)| **valid == 1);
            rows.flat_map(|(row, _)| row.to_vec()).collect()
        };
        self.trace.compare(kind, &name, &rows(&found), &rows(&golden.values));
    }
}

/// Compares the hidden states of every layer that was recorded.
struct Layers<'a> {
    case: &'a Case<'a>,
    depth: usize,
    /// Which rows are defined, when not all are.
    rows: Option<&'a [i64]>,
}

impl Tap for Layers<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        // The result was recorded as the input of one more layer.
        let what = match name {
            "hidden" => format!("layer.{}.input", self.depth),
            other => other.to_string(),
        };
        if self.case.trace.about(&self.case.name(&what)).is_some() {
            self.case.compare_rows(&TEXT_LAYER, &what, data(), self.rows);
        }
    }
}
