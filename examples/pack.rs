//! Packs a trained model into one small archive, such as the one compiled into the crate.
//!
//! ```sh
//! cargo run --release --example pack -- runs/emoji-hart/model --out model.zip
//! ```
//!
//! The archive holds the model's folder in the released layout. Of the transformer's weights it has
//! only the running mean, in 16 bits, with high and low bytes stored apart so that they compress
//! better. `--unpack` makes a folder of an archive again, which training can start from:
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
    /// Folder of the model, with its text encoder in `text/`; an archive with `--unpack`.
    model: PathBuf,
    /// Archive to write; a folder with `--unpack`.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Unpack an archive into a folder.
    #[arg(long)]
    unpack: bool,
    /// The largest size of the archive, in bytes.
    #[arg(long, value_name = "N", default_value_t = 8_000_000)]
    most: usize,
}

/// The largest size of an unpacked file, in bytes.
const MOST_UNPACKED: u64 = 1 << 30;

/// Files that are copied unchanged.
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
        "the archive has {} bytes, expected at most {}; see `--most`",
        bytes.len(),
        arguments.most
    );
    write_atomically(&arguments.out, &bytes)?;
    let name = Path::new(&arguments.out).display();
    println!("{name}: {parameters} parameters in {} bytes", bytes.len());
    Ok(())
}

/// Makes a folder in the released layout. Both weight files of the transformer hold the running
/// mean.
fn unpack(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.model.display();
    let bytes = std::fs::read(&arguments.model).with_context(|| format!("cannot read {path}"))?;
    let archive = ZipArchive::new(Cursor::new(bytes));
    let mut archive = archive.with_context(|| format!("{path} is not a zip archive"))?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).with_context(|| format!("{path} is damaged"))?;
        let name = file.enclosed_name().with_context(|| format!("{path} has unsafe file names"))?;
        let mut content = vec![];
        file.by_ref().take(MOST_UNPACKED).read_to_end(&mut content)?;
        let (name, content) = match name.extension().is_some_and(|ending| ending == "planes") {
            true => (name.with_extension(""), join_planes(&content)),
            false => (name, content),
        };
        let target = arguments.out.join(&name);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create the folder {}", folder.display()))?;
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

/// All weights of a checkpoint but those of the discriminator, which generation does not need.
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

/// The archive's bytes: the same for the same files.
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
