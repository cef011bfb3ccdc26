//! Packs a trained model into one small archive, as the one compiled into the crate is.
//!
//! ```sh
//! cargo run --release --example pack -- runs/emoji-hart/model --out model.zip
//! ```
//!
//! The archive is the model's folder in the released layout with the mean of the weights alone, in
//! 16 bits, whose high and low bytes are stored apart. `--unpack` makes a folder of an archive
//! again, which training can start from:
//!
//! ```sh
//! cargo run --release --example pack -- --unpack hart-pipeline/embedded/model.zip --out runs/embedded
//! ```
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use burn::tensor::{DType, TensorData};
use clap::Parser;
use hart_core::checkpoint::{Checkpoint, join_planes, save_torch, split_planes, to_safetensors};
use hart_core::write_atomically;
use hart_examples::exit;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// Packs a trained model into one small archive, or unpacks one.
#[derive(Parser)]
struct Arguments {
    /// Folder of the model, with its text encoder in `text/`; with `--unpack` an archive.
    model: PathBuf,
    /// File to write, or folder.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Make a folder of an archive.
    #[arg(long)]
    unpack: bool,
    /// The most bytes the archive may have.
    #[arg(long, value_name = "N", default_value_t = 8_000_000)]
    most: usize,
}

/// The most bytes of a file that is unpacked.
const MOST_UNPACKED: u64 = 1 << 30;

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
    let arguments = Arguments::parse();
    exit(if arguments.unpack { unpack(&arguments) } else { pack(&arguments) })
}

fn pack(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.model;
    let mut files = BTreeMap::new();
    for name in PLAIN {
        let path = folder.join(name);
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.insert(name, bytes);
    }
    let weights = [
        ("llm/model.safetensors.planes", Checkpoint::open_torch(folder.join("llm/ema_model.bin"))?),
        ("tokenizer/model.safetensors.planes", Checkpoint::open_folder(folder.join("tokenizer"))?),
        ("text/model.safetensors.planes", Checkpoint::open_folder(folder.join("text"))?),
    ];
    let mut parameters = 0;
    for (name, checkpoint) in &weights {
        let tensors = in_bits(checkpoint, DType::F16)?;
        parameters += tensors.values().map(|data| data.shape.num_elements()).sum::<usize>();
        files.insert(name, split_planes(&to_safetensors(&tensors)?));
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

/// The folder of an archive, in the released layout: the mean of the weights in both places of the
/// transformer's.
fn unpack(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.model.display();
    let bytes = std::fs::read(&arguments.model).with_context(|| format!("cannot read {path}"))?;
    let archive = ZipArchive::new(Cursor::new(bytes));
    let mut archive = archive.with_context(|| format!("{path} is no archive"))?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).with_context(|| format!("{path} is damaged"))?;
        let name = file.enclosed_name().with_context(|| format!("{path} has unsafe names"))?;
        let mut content = vec![];
        file.by_ref().take(MOST_UNPACKED).read_to_end(&mut content)?;
        let (name, content) = match name.extension().is_some_and(|ending| ending == "planes") {
            true => (name.with_extension(""), join_planes(&content)),
            false => (name, content),
        };
        let target = arguments.out.join(&name);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        write_atomically(&target, &content)?;
        if name == Path::new("llm/model.safetensors") {
            let checkpoint = Checkpoint::from_safetensors(&name, content)?;
            let tensors = in_bits(&checkpoint, DType::F32)?;
            save_torch(arguments.out.join("llm/ema_model.bin"), &tensors)?;
        }
    }
    println!("{}", arguments.out.display());
    Ok(())
}

/// All weights of a checkpoint but those of the adversary, which generating does not need.
fn in_bits(checkpoint: &Checkpoint, dtype: DType) -> anyhow::Result<BTreeMap<String, TensorData>> {
    let mut tensors = BTreeMap::new();
    for name in checkpoint.names().filter(|name| !name.starts_with("disc.")) {
        if checkpoint.get(name).is_some_and(|tensor| tensor.dtype().is_loadable()) {
            let data = checkpoint.read(name)?.convert_dtype(dtype);
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
