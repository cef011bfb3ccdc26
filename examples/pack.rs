//! Packs a trained model into one small archive, as the one compiled into the crate is.
//!
//! ```sh
//! cargo run --release --example pack -- runs/emoji-hart/model --out model.zip
//! ```
//!
//! The archive is the model's folder in the released layout with the mean of the weights alone, in
//! 16 bits.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use burn::tensor::{DType, TensorData};
use clap::Parser;
use hart_core::checkpoint::{Checkpoint, StoredType, to_safetensors};
use hart_core::write_atomically;
use hart_examples::exit;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Packs a trained model into one small archive.
#[derive(Parser)]
struct Arguments {
    /// Folder of the model, with its text encoder in `text/`.
    model: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The most bytes the archive may have.
    #[arg(long, value_name = "N", default_value_t = 8 << 20)]
    most: usize,
}

/// Files that are taken as they are.
const PLAIN: [&str; 7] = [
    "generation.json",
    "llm/config.json",
    "tokenizer/config.json",
    "text/config.json",
    "text/tokenizer.json",
    "text/tokenizer_config.json",
    "text/words.txt",
];

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.model;
    let mut files = BTreeMap::new();
    for name in PLAIN {
        let path = folder.join(name);
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.insert(name, bytes);
    }
    let weights = [
        ("llm/model.safetensors", Checkpoint::open_torch(folder.join("llm/ema_model.bin"))?),
        ("tokenizer/model.safetensors", Checkpoint::open_folder(folder.join("tokenizer"))?),
        ("text/model.safetensors", Checkpoint::open_folder(folder.join("text"))?),
    ];
    let mut parameters = 0;
    for (name, checkpoint) in &weights {
        let tensors = in_16_bits(checkpoint)?;
        parameters += tensors.values().map(|data| data.shape.num_elements()).sum::<usize>();
        files.insert(name, to_safetensors(&tensors)?);
    }
    let bytes = archive(&files)?;
    ensure!(
        bytes.len() <= arguments.most,
        "the archive has {} bytes, {} are allowed",
        bytes.len(),
        arguments.most
    );
    write_atomically(&arguments.out, &bytes)?;
    let name = Path::new(&arguments.out).display();
    println!("{name}: {parameters} parameters in {} bytes", bytes.len());
    Ok(())
}

/// All weights of a checkpoint but those of the adversary, which generating does not need.
fn in_16_bits(checkpoint: &Checkpoint) -> anyhow::Result<BTreeMap<String, TensorData>> {
    let mut tensors = BTreeMap::new();
    for name in checkpoint.names().filter(|name| !name.starts_with("disc.")) {
        let floats = checkpoint.get(name).map(|tensor| tensor.dtype());
        if matches!(floats, Some(StoredType::Float(_))) {
            let data = checkpoint.read(name)?.convert_dtype(DType::F16);
            tensors.insert(name.to_string(), data);
        }
    }
    Ok(tensors)
}

/// The archive; the same files give the same bytes.
fn archive(files: &BTreeMap<&str, Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default());
    for (name, bytes) in files {
        archive.start_file(*name, options)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
