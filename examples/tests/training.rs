//! The training programs as a user runs them: on the sample of the repository, killed and continued,
//! with damaged data and a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a program may take to reach its first snapshot.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program of this package, built beside this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let target = test.parent().and_then(Path::parent).expect("it is in target/<profile>/deps");
    target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample/captions.jsonl")
}

/// An experiment with a tokenizer of 16 pixels.
fn tokenizer_experiment(folder: &Path, run: &str, records: &Path) -> PathBuf {
    let text = format!(
        r#"
[run]
folder = {run:?}
seed = 3
steps = 18
batch = 8
accumulate = 2
log_every = 1
evaluate_every = 9
save_every = 6

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
v_patch_nums = [1, 2, 4]

[loss]
revive_after = 4
adversarial = 0.1
adversarial_start = 3
discriminator_channels = 4

[optimizer]
learning_rate = 3e-3
warm_up = 2
ema = 0.9
"#,
        run = folder.join(run)
    );
    let path = folder.join(format!("{run}.toml"));
    fs::write(&path, text).expect("a writable folder");
    path
}

/// An experiment with a model over a trained tokenizer.
fn hart_experiment(folder: &Path, run: &str, tokenizer: &Path, more: &str) -> PathBuf {
    let text = format!(
        r#"
[run]
folder = {run:?}
seed = 4
steps = 18
batch = 8
accumulate = 2
log_every = 1
evaluate_every = 9
save_every = 6

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

[optimizer]
learning_rate = 3e-3
warm_up = 2
ema = 0.9

[pictures]
prompts = ["a red heart, flat style", "a robot"]
"#,
        run = folder.join(run),
        records = sample(),
    );
    let path = folder.join(format!("{run}.toml"));
    fs::write(&path, text).expect("a writable folder");
    path
}

fn run(name: &str, arguments: &[&Path]) -> Output {
    let output = Command::new(program(name)).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {name}: {error}"))
}

fn succeeds(name: &str, arguments: &[&Path]) {
    let output = run(name, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed: {said}");
}

/// The reason a program gives for its failure.
fn fails(name: &str, arguments: &[&Path]) -> String {
    let output = run(name, arguments);
    assert!(!output.status.success(), "{name} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a program and kills it as soon as its first snapshot is there.
fn kill_after_first_snapshot(name: &str, experiment: &Path, run: &Path) {
    let mut child = Command::new(program(name))
        .arg(experiment)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let began = Instant::now();
    while !run.join("snapshots/step-000000006").is_dir() {
        assert!(began.elapsed() < PATIENCE, "{name} wrote no snapshot");
        assert!(child.try_wait().expect("a child").is_none(), "{name} ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("the program is killed");
    child.wait().expect("the program has ended");
    assert!(!run.join("snapshots/step-000000018").exists(), "{name} was faster than the kill");
}

/// The column `name` of a run's metrics.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.csv")).expect("metrics");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    let index = names.iter().position(|column| *column == name).expect("a column of that name");
    lines
        .map(|line| line.split(',').nth(index).expect("a field").parse().expect("a number"))
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A run that was killed and continued has the metrics of one that was not, to the last digit.
fn assert_same_metrics(one: &Path, other: &Path) {
    let read = |run: &Path| fs::read_to_string(run.join("metrics.csv")).expect("metrics");
    assert_eq!(read(one), read(other));
}

/// A folder with the finished run `tokenizer`, trained once for all tests.
fn trained_tokenizer() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let experiment = tokenizer_experiment(folder.path(), "tokenizer", &sample());
        succeeds("train_tokenizer", &[&experiment]);
        folder
    });
    folder.path()
}

#[test]
fn a_tokenizer_learns_and_goes_on_exactly_after_a_kill() {
    let whole = trained_tokenizer().join("tokenizer");
    let losses = column(&whole, "reconstruction");
    assert!(mean(&losses[14..]) < 0.7 * mean(&losses[..4]), "{losses:?}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "killed", &sample());
    let killed = folder.path().join("killed");
    kill_after_first_snapshot("train_tokenizer", &experiment, &killed);
    succeeds("train_tokenizer", &[&experiment]);
    assert_same_metrics(&whole, &killed);
    for file in ["metrics.png", "pictures/0000018.png", "tokenizer/config.json"] {
        assert!(killed.join(file).is_file(), "there is no {file}");
    }
}

#[test]
fn a_model_learns_goes_on_exactly_after_a_kill_and_paints() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tokenizer = trained_tokenizer().join("tokenizer/tokenizer");
    let experiment = hart_experiment(folder.path(), "whole", &tokenizer, "");
    succeeds("train_hart", &[&experiment]);
    let whole = folder.path().join("whole");
    let losses = column(&whole, "loss");
    assert!(mean(&losses[14..]) < mean(&losses[..4]), "{losses:?}");

    let experiment = hart_experiment(folder.path(), "killed", &tokenizer, "");
    let killed = folder.path().join("killed");
    kill_after_first_snapshot("train_hart", &experiment, &killed);
    succeeds("train_hart", &[&experiment]);
    assert_same_metrics(&whole, &killed);

    // The folder is taken as it is.
    let out = folder.path().join("heart.png");
    let model = whole.join("model");
    let words = ["--model", "--out", "a red heart, flat style"].map(Path::new);
    succeeds("text_to_image", &[words[0], &model, words[1], &out, words[2]]);
    let picture = image::open(&out).expect("a picture");
    assert_eq!((picture.width(), picture.height()), (16, 16));

    // And can be taught more, some of its parts kept as they are.
    let more = format!("start_from = {model:?}\nfreeze = [\"text\", \"residual\"]");
    let experiment = hart_experiment(folder.path(), "taught", &tokenizer, &more);
    succeeds("train_hart", &[&experiment]);
    let taught = column(&folder.path().join("taught"), "loss");
    assert!(mean(&taught) < mean(&losses[..9]), "{taught:?}");
    let text = |run: &str| {
        fs::read(folder.path().join(run).join("model/text/model.safetensors")).expect("weights")
    };
    assert!(text("taught") == text("whole"), "a frozen part has changed");
}

#[test]
fn damaged_data_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let refused = |name: &str, lines: &str| {
        let records = path(&format!("{name}.jsonl"));
        fs::write(&records, lines).expect("a writable folder");
        fails("train_tokenizer", &[&tokenizer_experiment(folder.path(), name, &records)])
    };
    fs::write(path("broken.png"), b"\x89PNG\r\n\x1a\nno more").expect("a writable folder");

    let said = refused("empty", "\n");
    assert!(said.contains("empty.jsonl has no records"), "{said}");
    let said = refused("columns", "{\"picture\": \"a.png\", \"caption\": \"a\"}\n");
    assert!(said.contains("columns.jsonl, line 1") && said.contains("captions"), "{said}");
    let said = refused("missing", "{\"image\": \"none.png\", \"captions\": [\"a\"]}\n");
    assert!(said.contains("line 1") && said.contains("none.png"), "{said}");
    let said = refused("silent", "{\"image\": \"broken.png\", \"captions\": [\" \"]}\n");
    assert!(said.contains("there is no caption"), "{said}");
    let said = refused("unreadable", "{\"image\": \"broken.png\", \"captions\": [\"a\"]}\n");
    assert!(said.contains("cannot read the image") && said.contains("broken.png"), "{said}");

    let experiment = path("typo.toml");
    let text = fs::read_to_string(tokenizer_experiment(folder.path(), "typo", &sample()));
    let text = text.expect("an experiment").replace("save_every", "safe_every");
    fs::write(&experiment, text).expect("a writable folder");
    let said = fails("train_tokenizer", &[&experiment]);
    assert!(said.contains("typo.toml") && said.contains("safe_every"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "full", &sample());
    let run = folder.path().join("full");
    kill_after_first_snapshot("train_tokenizer", &experiment, &run);
    let before: Vec<_> = fs::read_dir(run.join("snapshots/step-000000006"))
        .expect("a snapshot")
        .flatten()
        .map(|entry| (entry.file_name(), fs::read(entry.path()).expect("a file")))
        .collect();
    // Files cannot grow beyond a limit, as on a disk that is full.
    let script = format!(
        "trap '' XFSZ; ulimit -f 64; exec {:?} {:?}",
        program("train_tokenizer"),
        experiment
    );
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("cannot save step 12"), "{said}");
    for (name, bytes) in before {
        let path = run.join("snapshots/step-000000006").join(name);
        assert_eq!(fs::read(&path).ok(), Some(bytes), "{} has changed", path.display());
    }
    succeeds("train_tokenizer", &[&experiment]);
    assert_same_metrics(&trained_tokenizer().join("tokenizer"), &run);
}
