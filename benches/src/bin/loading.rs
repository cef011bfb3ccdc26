//! Loading a model of the released size from a folder: time against reading its files once, and
//! memory against what stays.
//!
//! ```text
//! cargo run --release -p hart-benches --bin loading -- --px 512 --precision f32,int8 --folder released
//! ```
//!
//! The folder is filled with random weights when it is not there yet. The table goes to the standard
//! output, what is being done to the standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hart_benches::folder::{write_model, write_text_encoder};
use hart_benches::machine::{memory_mib, peak_memory_mib};
use hart_benches::phases::median;
use hart_benches::released::Case;
use hart_benches::run::last_line;
use hart_core::checkpoint::LoadOptions;
use hart_core::{HartBackend, Precision};
use hart_pipeline::backend::{OnBackend, compiled_in, on_device};
use hart_pipeline::{HartModel, HartPipeline, Request, TransformerWeights};
use serde::{Deserialize, Serialize};

/// Measures how a model of the released size is loaded, and with `--text-encoder` how much memory a
/// picture takes from the prompt to the pixels.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    case: Case,
    /// Folder of the model; made with random weights when it is not there.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Element type of the large weights in files that are made: f32, bf16 or f16.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    stored: Precision,
    /// Precisions to load in, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    precision: Vec<Precision>,
    /// Makes a picture as well, with a text encoder of the size of Qwen2-VL-1.5B in 16 bits. The
    /// folder named lends its tokenizer.
    #[arg(long, value_name = "DIR")]
    text_encoder: Option<PathBuf>,
    /// How often each is measured, in a process of its own.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Backend [default: the fastest compiled in].
    #[arg(long)]
    device: Option<String>,
    /// Does one thing in one precision and prints one line: what a turn runs.
    #[arg(long, hide = true)]
    turn: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.repeat > 0, "`--repeat 0` measures nothing");
    let device = arguments.device.clone().unwrap_or_else(|| compiled_in()[0].to_string());
    on_device(&device, Program(arguments))?
}

struct Program(Arguments);

impl OnBackend for Program {
    type Output = Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Result<()> {
        let arguments = self.0;
        if arguments.turn {
            println!("{}", serde_json::to_string(&Turn::take::<B>(&arguments, device)?)?);
            return Ok(());
        }
        let folder = &arguments.folder;
        // What is written last of each: a folder that was left half filled is filled again.
        if !folder.join("tokenizer/model.safetensors").exists() {
            eprintln!("filling {} with random weights", folder.display());
            write_model::<B>(folder, &arguments.case, arguments.stored, &device)?;
        }
        if let Some(words) = &arguments.text_encoder
            && !folder.join("text/model.safetensors").exists()
        {
            eprintln!("and with a text encoder");
            write_text_encoder::<B>(folder, words, Precision::Bf16, &device)?;
        }
        compare(&arguments)
    }
}

/// What one process found.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Turn {
    /// Seconds that loading took.
    loading: f64,
    /// Seconds of the picture, if one was made.
    picture: Option<f64>,
    /// Memory held in the end, in MiB.
    stays: Option<f64>,
    /// The most memory that was held, in MiB.
    peak: Option<f64>,
}

impl Turn {
    fn take<B: HartBackend>(arguments: &Arguments, device: B::Device) -> Result<Self> {
        let precision = arguments.precision[0];
        let folder = &arguments.folder;
        let start = Instant::now();
        if arguments.text_encoder.is_none() {
            let options = LoadOptions { precision, prepare: true };
            let weights = TransformerWeights::Ema;
            let model = HartModel::<B>::open(folder, weights, options, &device)?;
            B::sync(&device)?;
            let found = Self::found(start.elapsed().as_secs_f64(), None);
            drop(model);
            return Ok(found);
        }
        let pipeline = HartPipeline::builder().model(folder).precision(precision);
        let pipeline = pipeline.keep_text_encoder(false).build::<B>(&device)?;
        let (loading, start) = (start.elapsed().as_secs_f64(), Instant::now());
        pipeline.generate(&Request::new("a red heart, flat style").seed(1))?;
        Ok(Self::found(loading, Some(start.elapsed().as_secs_f64())))
    }

    fn found(loading: f64, picture: Option<f64>) -> Self {
        Self { loading, picture, stays: memory_mib(), peak: peak_memory_mib() }
    }
}

/// Measures every precision in turns and prints the table.
fn compare(arguments: &Arguments) -> Result<()> {
    let mut files = vec!["llm/ema_model.bin", "tokenizer/model.safetensors"];
    files.extend(arguments.text_encoder.as_ref().map(|_| "text/model.safetensors"));
    let paths: Vec<PathBuf> = files.iter().map(|name| arguments.folder.join(name)).collect();
    let (mut readings, mut turns) = (vec![], vec![vec![]; arguments.precision.len()]);
    for round in 1..=arguments.repeat {
        eprintln!("round {round} of {}", arguments.repeat);
        readings.push(read(&paths)?);
        for (precision, turns) in arguments.precision.iter().zip(&mut turns) {
            turns.push(turn(arguments, *precision)?);
        }
    }
    let bytes: u64 = paths.iter().map(|path| path.metadata().map_or(0, |file| file.len())).sum();
    let reading = median(readings.into_iter());
    println!(
        "{:.0} MiB in files, read once in {reading:.2} s; medians of {}\n",
        bytes as f64 / f64::from(1 << 20),
        arguments.repeat
    );
    println!(
        "| precision | loading, s | loading / reading | picture, s | stays, MiB | peak, MiB |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for (precision, turns) in arguments.precision.iter().zip(turns) {
        let of = |part: fn(&Turn) -> Option<f64>| -> Option<Vec<f64>> {
            turns.iter().map(part).collect()
        };
        let shown = |part, digits: usize| {
            of(part).map_or_else(
                || "-".to_string(),
                |all| format!("{:.digits$}", median(all.into_iter())),
            )
        };
        let loading = median(turns.iter().map(|turn| turn.loading));
        println!(
            "| {} | {loading:.2} | {:.2} | {} | {} | {} |",
            precision.name(),
            loading / reading,
            shown(|turn| turn.picture, 2),
            shown(|turn| turn.stays, 0),
            shown(|turn| turn.peak, 0),
        );
    }
    Ok(())
}

/// One turn, in a process of its own.
fn turn(arguments: &Arguments, precision: Precision) -> Result<Turn> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--turn", "--precision", precision.name(), "--folder"]).arg(&arguments.folder);
    if let Some(words) = &arguments.text_encoder {
        command.arg("--text-encoder").arg(words);
    }
    if let Some(device) = &arguments.device {
        command.args(["--device", device]);
    }
    last_line(&mut command, "")
}

/// Seconds to read files from the first byte to the last, through a buffer.
fn read(paths: &[PathBuf]) -> Result<f64> {
    let start = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    for path in paths {
        let unreadable = || format!("cannot read {}", Path::display(path));
        let mut file = File::open(path).with_context(unreadable)?;
        while file.read(&mut buffer).with_context(unreadable)? > 0 {}
    }
    Ok(start.elapsed().as_secs_f64())
}
