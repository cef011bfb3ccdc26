//! Smaller copies of models.

use std::path::{Path, PathBuf};

use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::{HartPipeline, Precision, Request};

use crate::programs::{fails, succeeds};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// The pixels of an image by a model, whose text encoder is beside it or elsewhere.
fn pixels(model: &Path, text_encoder: Option<&Path>, precision: Precision) -> Vec<u8> {
    let mut builder = HartPipeline::builder().model(model).precision(precision);
    if let Some(folder) = text_encoder {
        builder = builder.text_encoder(folder);
    }
    let pipeline: HartPipeline<DefaultBackend> =
        builder.build(&default_device()).expect("a pipeline");
    let images = pipeline.generate(&Request::new("a red heart").seed(5)).expect("an image");
    images[0].pixels().rgb().to_vec()
}

fn size(model: &Path) -> u64 {
    let files = ["llm/ema_model.bin", "llm/model.safetensors", "tokenizer/model.safetensors"];
    let files = files.map(|file| std::fs::metadata(model.join(file)).expect("a file").len());
    files.iter().sum()
}

#[test]
fn a_converted_model_makes_the_images_of_the_original() {
    let words = fixture("qwen-tiny");
    for name in ["hart-tiny", "hart-tiny-b", "hart-tiny-c"] {
        let original = fixture(name);
        for precision in [Precision::Int8, Precision::Bf16, Precision::F16] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let copy = folder.path().join("copy");
            let own = Path::new(precision.name());
            let arguments =
                ["--precision".as_ref(), own, "--text-encoder".as_ref(), &words, "--out".as_ref()];
            succeeds("convert", &[&arguments[..], &[&copy, &original]].concat());
            assert!(size(&copy) < size(&original), "{name} in {precision}");
            let expected = pixels(&original, Some(&words), precision);
            assert!(expected.iter().any(|&value| value != expected[0]), "an image of one colour");
            assert_eq!(pixels(&copy, None, precision), expected, "{name} in {precision}");
        }
    }
}

#[test]
fn a_conversion_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (copy, original) = (folder.path().join("copy"), fixture("hart-tiny"));
    let convert = |model: &Path| {
        let arguments = ["--precision".as_ref(), "int8".as_ref(), "--out".as_ref(), &*copy, model];
        fails("convert", &arguments)
    };
    std::fs::create_dir(&copy).expect("a folder");
    let reason = convert(&original);
    assert!(reason.contains("there already"), "{reason}");
    std::fs::remove_dir(&copy).expect("the folder is empty");

    let damaged = folder.path().join("damaged");
    for part in ["llm", "tokenizer"] {
        std::fs::create_dir_all(damaged.join(part)).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            let file = Path::new(part).join(file);
            std::fs::copy(original.join(&file), damaged.join(&file)).expect("a copy");
        }
    }
    let weights = damaged.join("tokenizer/model.safetensors");
    let bytes = std::fs::read(&weights).expect("a file");
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).expect("a file");
    let reason = convert(&damaged);
    assert!(reason.contains("model.safetensors"), "{reason}");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 1, "something is left of a copy");
}
