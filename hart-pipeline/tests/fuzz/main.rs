//! Every reader of files that come from elsewhere, on files changed at random.
//!
//! Whatever the bytes, a reader gives a value or an error: it never panics, never takes more than
//! [`MAX_MEMORY`], never longer than [`MAX_TIME`]. The files it starts from lie in `corpus`, a folder
//! for each reader; of each reader `HART_FUZZ` cases are tried, 1,000 without it. A case depends on
//! its number alone. `scripts/fuzz` tries a million.

mod bulk;
mod changes;
mod readers;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

use changes::changed;
use readers::{Check, READERS, Reader, model_files};

/// The most memory that a file of the corpus, which has a few kilobytes, may make a reader take.
const MAX_MEMORY: usize = 64 << 20;
/// Far more than any case needs on a busy machine.
const MAX_TIME: Duration = Duration::from_secs(20);

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory is counted for the whole process, so that one reader runs at a time.
static ONE: Mutex<()> = Mutex::new(());

fn cases() -> u64 {
    let cases = std::env::var("HART_FUZZ").unwrap_or("1000".to_string());
    cases.parse().expect("HART_FUZZ is a number of cases")
}

/// The files that a reader's cases start from: their names and bytes.
fn corpus(reader: &Reader) -> Vec<(String, Vec<u8>)> {
    if reader.name == "model" {
        return model_files();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(reader.name);
    let mut files: Vec<_> = fs::read_dir(&path)
        .expect("a folder of the corpus")
        .map(|entry| {
            let path = entry.expect("a file of the corpus").path();
            let name = path.file_name().expect("a name").to_string_lossy().to_string();
            (name, fs::read(path).expect("a file of the corpus"))
        })
        .collect();
    files.sort();
    files
}

/// Reads bytes and checks what that took.
fn run(reader: &Reader, folder: &Path, bytes: &[u8]) -> Result<Check, String> {
    let before = PeakAlloc.current_usage();
    MEMORY.reset_peak_usage();
    let start = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| (reader.read)(folder, bytes)));
    let read = read.map_err(|_| "it panicked".to_string())?;
    let (taken, time) = (PeakAlloc.peak_usage().saturating_sub(before), start.elapsed());
    if taken > MAX_MEMORY {
        return Err(format!("it took {} MiB", taken >> 20));
    }
    if time > MAX_TIME {
        return Err(format!("it took {time:?}"));
    }
    Ok(read)
}

/// Keeps a case that failed as a file, for the corpus of a test of its own.
fn keep(reader: &Reader, case: u64, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{case}", reader.name));
    fs::write(&path, bytes).expect("a writable folder");
    path
}

/// All cases of one reader.
fn fuzz(name: &str) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reader = READERS.iter().find(|reader| reader.name == name).expect("a reader of this name");
    let corpus = corpus(reader);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in &corpus {
        let read = run(reader, folder.path(), bytes);
        assert_eq!(read, Ok(Check::Read), "{name} of the corpus, unchanged");
    }
    let mut refused = 0;
    for case in 0..cases() {
        let bytes = changed(&corpus, case);
        match run(reader, folder.path(), &bytes) {
            Ok(Check::Read) => {}
            Ok(Check::Refused(_)) => refused += 1,
            Err(problem) => {
                let kept = keep(reader, case, &bytes);
                panic!("{name}, case {case}: {problem}; its bytes are in {}", kept.display());
            }
        }
    }
    assert!(refused > 0, "{name}: no case was refused, so the changes did not reach the reader");
}

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { fuzz(stringify!($name)); })*

        #[test]
        fn every_reader_has_a_test() {
            let readers: Vec<&str> = READERS.iter().map(|reader| reader.name).collect();
            assert_eq!(readers, [$(stringify!($name)),*]);
        }
    };
}

tests!(
    safetensors,
    torch,
    pickle,
    index,
    config,
    experiment,
    records,
    grammar,
    synonyms,
    tokenizer,
    image,
    settings,
    archive,
    model,
    planes,
    recipe,
    prompts,
    plan,
    manifest,
    shard,
    dead,
    lease,
);

#[test]
fn a_text_that_is_endless_when_it_is_decompressed_is_refused() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = vec![];
    let mut chunk = png::text_metadata::ITXtChunk::new("hart", " ".repeat(100 << 20));
    chunk.compressed = true;
    let mut writer = png::Encoder::new(&mut file, 1, 1).write_header().expect("a header");
    writer.write_text_chunk(&chunk).expect("a text");
    writer.write_image_data(&[0]).expect("a pixel");
    writer.finish().expect("a file");
    drop(chunk);
    assert!(file.len() < 1 << 20, "{} bytes", file.len());

    let reader = READERS.iter().find(|reader| reader.name == "settings").expect("a reader");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let read = run(reader, folder.path(), &file);
    assert!(matches!(read, Ok(Check::Refused(_))), "{read:?}");
}
