//! Experiments small enough for a test, and what runs of them leave.

use std::fs;
use std::path::{Path, PathBuf};

/// The records of the sample in the repository.
pub(crate) fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample/captions.jsonl")
}

/// Writes the experiment `run`: all have the same length and rates, `own` are its other tables.
fn experiment(folder: &Path, run: &str, seed: u64, own: &str) -> PathBuf {
    let text = format!(
        r#"
[run]
folder = {run:?}
seed = {seed}
steps = 18
batch = 8
accumulate = 2
log_every = 1
evaluate_every = 9
save_every = 6

[optimizer]
learning_rate = 3e-3
warm_up = 2
ema = 0.9
{own}"#,
        run = folder.join(run)
    );
    let path = folder.join(format!("{run}.toml"));
    fs::write(&path, text).expect("a writable folder");
    path
}

/// An experiment with a tokenizer of 24 pixels, the least that its adversary can judge.
pub(crate) fn tokenizer_experiment(folder: &Path, run: &str, records: &Path) -> PathBuf {
    let own = format!(
        r#"
[data]
records = {records:?}
validation = {records:?}
validation_images = 8
augmentation = {{ mirror = 0.5, least_crop = 0.7 }}

[tokenizer]
quantizer_type = "var_hybrid"
ch = 8
ch_mult = [1, 2, 2]
norm_groups = 4
z_channels = 4
vocab_size = 32
v_patch_nums = [1, 2, 6]

[loss]
discrete_share = 0.4
partial_share = 0.3
revive_after = 4
adversarial = 0.1
adversarial_start = 3
discriminator_channels = 4
"#,
    );
    experiment(folder, run, 3, &own)
}

/// An experiment with a model over a trained tokenizer.
pub(crate) fn hart_experiment(folder: &Path, run: &str, tokenizer: &Path, more: &str) -> PathBuf {
    let own = format!(
        r#"
[data]
records = {records:?}
validation = {records:?}
validation_images = 8
tokenizer = {tokenizer:?}
{more}

[hart]
context_token = 12
depth = 1
embed_dim = 32
num_heads = 2
mlp_type = "llama"
mlp_ratio = 1.0
attn_l2_norm = true
disable_aln = true
shared_aln = true
use_timestep_embed = true
use_context_norm = true
diff_width = 32
diff_depth = 1
num_sampling_steps = "4"
diffusion_batch_mul = 2

[text]
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
max_position_embeddings = 32
vocab_size = 300

[loss]
spoiled = 0.1

[images]
prompts = ["a red heart, flat style", "a robot"]
"#,
        records = sample(),
    );
    experiment(folder, run, 4, &own)
}

/// Spreads an experiment over a number of devices.
pub(crate) fn spread(experiment: &Path, devices: usize) {
    let text = fs::read_to_string(experiment).expect("an experiment");
    let text = text.replace("accumulate = 2", &format!("accumulate = 2\ndevices = {devices}"));
    fs::write(experiment, text).expect("a writable folder");
}

/// The column `name` of a run's metrics.
pub(crate) fn column(run: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.csv")).expect("metrics");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    let index = names.iter().position(|column| *column == name).expect("a column of that name");
    lines
        .map(|line| line.split(',').nth(index).expect("a field").parse().expect("a number"))
        .collect()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Both runs have the same metrics, to the last digit.
pub(crate) fn assert_same_metrics(one: &Path, other: &Path) {
    let read = |run: &Path| fs::read_to_string(run.join("metrics.csv")).expect("metrics");
    assert_eq!(read(one), read(other));
}
