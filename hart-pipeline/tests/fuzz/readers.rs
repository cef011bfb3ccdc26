//! The readers, as programs call them.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use hart_ar::TransformerConfig;
use hart_core::checkpoint::Checkpoint;
use hart_core::config::ConfigReader;
use hart_core::{Precision, Result};
use hart_diffusion::ResidualHeadConfig;
use hart_pipeline::archive::{Existing, unpack};
use hart_pipeline::backend::Flex;
use hart_pipeline::image::ReadOptions;
use hart_pipeline::text::{KnownWords, PromptTokenizer, TextEncoderConfig};
use hart_pipeline::training::captions::CaptionGrammar;
use hart_pipeline::training::data::{Record, Records};
use hart_pipeline::training::hart::HartExperiment;
use hart_pipeline::training::tokenizer::TokenizerExperiment;
use hart_pipeline::{HartPipeline, ImageSettings, ModelDefaults};
use hart_tokenizer::AutoencoderConfig;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::bulk;

/// What became of a file.
#[derive(Debug, PartialEq)]
pub(crate) enum Check {
    Read,
    Refused(String),
}

impl<T> From<Result<T>> for Check {
    fn from(result: Result<T>) -> Self {
        result.map_or_else(|error| Self::Refused(error.to_string()), |_| Self::Read)
    }
}

pub(crate) struct Reader {
    pub(crate) name: &'static str,
    /// Reads bytes; the folder is for what must be a file.
    pub(crate) read: fn(&Path, &[u8]) -> Check,
}

const fn reader(name: &'static str, read: fn(&Path, &[u8]) -> Check) -> Reader {
    Reader { name, read }
}

pub(crate) const READERS: [Reader; 22] = [
    reader("safetensors", safetensors),
    reader("torch", torch),
    reader("pickle", pickle),
    reader("index", index),
    reader("config", config),
    reader("experiment", experiment),
    reader("records", records),
    reader("grammar", grammar),
    reader("synonyms", synonyms),
    reader("tokenizer", tokenizer),
    reader("image", image),
    reader("settings", settings),
    reader("archive", archive),
    reader("model", model),
    reader("planes", planes),
    reader("recipe", bulk::recipe),
    reader("prompts", bulk::prompts),
    reader("plan", bulk::plan),
    reader("manifest", bulk::manifest),
    reader("shard", bulk::shard),
    reader("dead", bulk::dead),
    reader("lease", bulk::lease),
];

pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a writable folder");
    path
}

/// Every tensor of a checkpoint.
fn tensors(checkpoint: Result<Checkpoint>) -> Check {
    let read = |checkpoint: Checkpoint| {
        let mut names = checkpoint
            .names()
            .filter(|name| checkpoint.get(name).is_some_and(|tensor| tensor.dtype().is_loadable()));
        names.try_for_each(|name| checkpoint.read(name).map(|_| ()))
    };
    checkpoint.and_then(read).into()
}

fn safetensors(folder: &Path, bytes: &[u8]) -> Check {
    // From memory, and as a file that is mapped: the same code after that, so each every other time.
    if bytes.len().is_multiple_of(2) {
        tensors(Checkpoint::from_safetensors("x.safetensors", bytes.to_vec()))
    } else {
        tensors(Checkpoint::open_safetensors(write(folder, "x.safetensors", bytes)))
    }
}

fn torch(folder: &Path, bytes: &[u8]) -> Check {
    tensors(Checkpoint::open_torch(write(folder, "x.pt", bytes)))
}

/// A zip archive whose members are not compressed.
fn stored(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in members {
        zip.start_file(*name, options).expect("a member");
        zip.write_all(content).expect("its content");
    }
    zip.finish().expect("an archive").into_inner()
}

fn pickle(folder: &Path, bytes: &[u8]) -> Check {
    let floats: Vec<u8> = (0..6u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    torch(folder, &stored(&[("m/data.pkl", bytes), ("m/data/0", &floats)]))
}

fn index(folder: &Path, bytes: &[u8]) -> Check {
    const SHARD: &[u8] = include_bytes!("corpus/safetensors/plain.safetensors");
    write(folder, "one.safetensors", SHARD);
    write(folder, "model.safetensors.index.json", bytes);
    tensors(Checkpoint::open_folder(folder))
}

/// Every kind of configuration, of which one suits.
fn config(_: &Path, bytes: &[u8]) -> Check {
    let kinds: [fn(&ConfigReader) -> Result<()>; 5] = [
        |file| TransformerConfig::read(file).map(|_| ()),
        |file| ResidualHeadConfig::read(file).map(|_| ()),
        |file| AutoencoderConfig::read(file).map(|_| ()),
        |file| TextEncoderConfig::read(file).map(|_| ()),
        |file| ModelDefaults::read(file).map(|_| ()),
    ];
    let read = ConfigReader::parse("config.json", bytes).and_then(|file| {
        let all: Vec<Result<()>> = kinds.iter().map(|read| read(&file)).collect();
        if all.iter().any(Result::is_ok) { Ok(()) } else { all.into_iter().collect() }
    });
    read.into()
}

fn experiment(folder: &Path, bytes: &[u8]) -> Check {
    let path = write(folder, "x.toml", bytes);
    let hart = HartExperiment::open(&path).and_then(|experiment| experiment.check());
    if hart.is_ok() {
        return Check::Read;
    }
    TokenizerExperiment::open(&path).and_then(|experiment| experiment.check()).into()
}

fn records(folder: &Path, bytes: &[u8]) -> Check {
    write(folder, "a.png", b"");
    Records::open(write(folder, "x.jsonl", bytes)).into()
}

/// A grammar, and captions by it.
fn grammar(folder: &Path, bytes: &[u8]) -> Check {
    const RECORD: &str = r#"{"image": "a.png", "captions": ["a cat"], "kind": "pair",
        "style": "flat", "relation": "left of", "inverse": "right of",
        "things": [["a cat"], ["an owl", "cherries"]]}"#;
    let record: Record = serde_json::from_str(RECORD).expect("a record");
    let read = CaptionGrammar::open(write(folder, "x.toml", bytes)).map(|grammar| {
        let _ = (grammar.check([&record].into_iter()), grammar.words([&record].into_iter()));
        for step in 0..4 {
            let _ =
                (grammar.caption(&record, 1, [step, 0]), grammar.withheld(&record, 1, [step, 0]));
        }
    });
    read.into()
}

/// A list of synonyms beside one of words.
fn synonyms(folder: &Path, bytes: &[u8]) -> Check {
    write(folder, "words.txt", b"a\ncat\nred\ncar\n");
    write(folder, "synonyms.json", bytes);
    let read = KnownWords::open(folder).map(|known| {
        let known = known.expect("there is a list of words");
        known.unknown("a feline, a red cab & Größe")
    });
    read.into()
}

fn tokenizer(_: &Path, bytes: &[u8]) -> Check {
    const CONFIG: &[u8] = br#"{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}"#;
    let tokens = PromptTokenizer::parse(bytes, CONFIG)
        .and_then(|tokenizer| tokenizer.tokenize("A red heart, don't", 12));
    tokens.into()
}

fn image(_: &Path, bytes: &[u8]) -> Check {
    ReadOptions::default().max_pixels(1 << 20).decode("x", bytes).into()
}

fn settings(folder: &Path, bytes: &[u8]) -> Check {
    ImageSettings::read_all(write(folder, "x", bytes)).into()
}

/// A whole model, unpacked and loaded.
fn archive(folder: &Path, bytes: &[u8]) -> Check {
    let path = write(folder, "x.zip", bytes);
    let unpacked = unpack(&path, folder.join("model"), Existing::Replaced);
    let precision = Precision::F32;
    let pipeline = HartPipeline::<Flex>::from_archive("x", bytes, precision, &Default::default());
    unpacked.and(pipeline).into()
}

/// The files of the archive in the corpus but its weights.
static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    const ARCHIVE: &[u8] = include_bytes!("corpus/archive/tiny.zip");
    let mut archive = ZipArchive::new(Cursor::new(ARCHIVE)).expect("an archive");
    let file = |number| {
        let mut file = archive.by_index(number).expect("a file");
        let mut content = vec![];
        file.read_to_end(&mut content).expect("its content");
        (file.name().to_string(), content)
    };
    (0..10).map(file).collect()
});

/// The files of a model, each after its number.
pub(crate) fn model_files() -> Vec<(String, Vec<u8>)> {
    let files = FILES.iter().zip(0u8..);
    files.map(|((name, bytes), number)| (name.clone(), [&[number], &bytes[..]].concat())).collect()
}

/// A model one of whose files is changed: the one whose number comes first.
fn model(_: &Path, bytes: &[u8]) -> Check {
    let (number, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let mut files: Vec<_> = FILES.iter().map(|(name, file)| (name.as_str(), &file[..])).collect();
    let changed = usize::from(*number) % files.len();
    files[changed].1 = bytes;
    let archive = stored(&files);
    HartPipeline::<Flex>::from_archive("x", &archive, Precision::F32, &Default::default()).into()
}

/// Weights in the form that archives keep them in.
fn planes(folder: &Path, bytes: &[u8]) -> Check {
    let plain = ["generation.json", "llm/config.json", "tokenizer/config.json", "text/config.json"];
    let text = ["text/tokenizer.json", "text/tokenizer_config.json", "text/words.txt"];
    let weights =
        ["llm", "tokenizer", "text"].map(|part| format!("{part}/model.safetensors.planes"));
    let plain = plain.iter().chain(&text).map(|name| (*name, &b"{}"[..]));
    let weights = weights.iter().map(|name| (name.as_str(), bytes));
    let path = write(folder, "x.zip", &stored(&plain.chain(weights).collect::<Vec<_>>()));
    unpack(&path, folder.join("model"), Existing::Replaced).into()
}
