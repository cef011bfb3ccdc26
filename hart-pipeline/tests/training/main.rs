//! The training library as a program uses it: on rectangles, stopped and continued, and fine-tuning
//! in memory.
#![cfg(all(feature = "train", feature = "flex", feature = "embedded"))]

mod captions;
mod data;
mod runs;
mod values;
mod whole;

use hart_pipeline::Pixels;
use hart_pipeline::backend::Flex;
use hart_pipeline::training::TrainingEvent;
use hart_pipeline::training::hart::{self, HartExperiment};
use hart_pipeline::training::run::{RunSettings, TrainingSummary};
use hart_pipeline::training::tokenizer::{self, TokenizerExperiment, train_tokenizer};
use serde_json::{Map, Value, json};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn keys(json: Value) -> Map<String, Value> {
    json.as_object().expect("an object").clone()
}

/// Eight images with a caption each, as files in a folder.
fn write_records(folder: &Path) -> PathBuf {
    let mut lines = String::new();
    for (index, (pixels, captions)) in images().into_iter().enumerate() {
        let name = format!("{index}.png");
        pixels.save(folder.join(&name)).expect("a writable folder");
        lines += &format!("{}\n", json!({ "image": name, "captions": captions }));
    }
    let path = folder.join("records.jsonl");
    fs::write(&path, lines).expect("a writable folder");
    path
}

/// Eight images of one colour each, 40 × 24 pixels.
fn images() -> Vec<(Pixels, Vec<String>)> {
    let image = |index: usize| {
        let colour = [index & 1, index >> 1 & 1, index >> 2].map(|bit| 255 * bit as u8);
        let pixels = Pixels::new(40, 24, colour.repeat(40 * 24)).expect("pixels");
        (pixels, vec![format!("colour {index}")])
    };
    (0..8).map(image).collect()
}

/// A tokenizer of images with 8 rows and 16 columns.
fn tokenizer_experiment(folder: &Path, run: &str) -> TokenizerExperiment {
    let records = write_records(folder);
    let mut settings = RunSettings::new(folder.join(run), 4, 4);
    settings.log_every = 1;
    let tokenizer = json!({
        "quantizer_type": "var_hybrid", "ch": 4, "ch_mult": [1, 2], "norm_groups": 2,
        "z_channels": 4, "vocab_size": 16, "v_patch_nums": [1, [1, 2], [2, 4], [4, 8]],
    });
    let data = tokenizer::DataSettings::new(&records, &records);
    TokenizerExperiment::new(settings, data, keys(tokenizer))
}

fn hart_experiment(folder: &Path, tokenizer: &Path) -> HartExperiment {
    let records = write_records(folder);
    let data = hart::DataSettings::new(&records, &records, tokenizer);
    let hart = json!({
        "context_token": 8, "depth": 1, "embed_dim": 32, "num_heads": 2, "mlp_type": "llama",
        "mlp_ratio": 1.0, "attn_l2_norm": true, "disable_aln": true, "shared_aln": true,
        "use_timestep_embed": true, "use_context_norm": true, "diff_width": 16, "diff_depth": 1,
        "num_sampling_steps": "4",
    });
    let text = json!({
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16,
        "vocab_size": 300,
    });
    let settings = RunSettings::new(folder.join("hart"), 3, 4);
    let mut experiment = HartExperiment::new(settings, data, keys(hart), keys(text));
    experiment.samples.prompts = vec!["colour 3".to_string()];
    experiment
}

/// Trains a tokenizer, and gives the notices with what came of it.
fn trained(
    experiment: &TokenizerExperiment,
) -> (hart_pipeline::Result<TrainingSummary>, Vec<String>) {
    let mut said = vec![];
    let mut observer = |event: TrainingEvent<'_>| {
        if let TrainingEvent::Notice(notice) = event {
            said.push(notice.to_string());
        }
        ControlFlow::Continue(())
    };
    (train_tokenizer::<Flex>(experiment, &Default::default(), &mut observer), said)
}
