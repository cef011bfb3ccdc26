//! Requests and folders that are wrong: each is answered with an error that says how.

use std::ops::ControlFlow;
use std::path::Path;

use hart_pipeline::{
    Error, Event, HartPipeline, Outcome, Precision, Request, Result, TransformerWeights,
};

use crate::{PIPELINE, Pipeline, build, builder, fixture, heart};

#[test]
fn bad_requests_are_refused_before_any_work() {
    let bad = [
        Request::new(""),
        Request::new(" \n\t "),
        Request::batch(Vec::<String>::new()),
        Request::batch(["a cat", ""]),
        heart().count(0),
        heart().count(usize::MAX),
        heart().seeds([1, 2]),
        heart().guidance(f64::NAN),
        heart().guidance(-1.0),
        heart().guidance(f64::INFINITY),
        heart().top_p(f64::NAN),
        heart().top_p(1.5),
        heart().mask_passes(0),
        heart().mask_passes(65),
        heart().diffusion_steps("many"),
        heart().diffusion_steps("1001"),
        heart().temperature(f64::NAN),
        heart().size(0, 32),
        heart().size(32, 0),
        heart().size(33, 32),
        heart().size(4, 4),
        heart().size(8, 4),
        heart().size(1 << 20, 1 << 20),
        heart().size(usize::MAX / 4 * 4, usize::MAX / 4 * 4),
    ];
    for request in bad {
        let result = PIPELINE.generate(&request);
        assert!(matches!(result, Err(Error::Invalid { .. })), "{request:?} was accepted");
    }
    assert!(matches!(build(builder().batch_size(0)), Err(Error::Invalid { .. })));
    assert!(matches!(build(HartPipeline::builder()), Err(Error::Invalid { .. })));
}

#[test]
fn a_bad_prompt_costs_one_image() {
    let request = Request::batch(["a cat", " ", "a red heart"]).seeds([1, 2, 7]);
    let mut refused = vec![];
    let outcomes = PIPELINE.generate_with(&request, &mut |event: Event<'_>| {
        if let Event::Refused { image, reason } = event {
            refused.push((image, reason.to_string()));
        }
        ControlFlow::Continue(())
    });
    let outcomes = outcomes.expect("outcomes");
    assert!(matches!(outcomes[1], Outcome::Refused(Error::Invalid { .. })));
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, 1);
    let heart = outcomes[2].image().expect("an image").to_png().expect("a file");
    assert!(heart == *crate::HEART, "the others changed");
    assert!(outcomes[0].image().is_some());
    let summary = PIPELINE.generate_each(&request, &mut ()).expect("a summary");
    assert_eq!((summary.made, summary.refused, summary.cancelled), (2, 1, 0));
    assert!(matches!(PIPELINE.generate(&request), Err(Error::Invalid { .. })));
}

#[test]
fn an_endless_prompt_is_cut_and_reported() {
    let long = [
        "an endless story ".repeat(6000),
        format!("{} word", "- ".repeat(50_000)),
        "é".repeat(100_000),
        "🚀".repeat(30_000),
    ];
    for prompt in long {
        let mut cut = None;
        let request = Request::new(prompt.as_str());
        let outcomes = PIPELINE.generate_with(&request, &mut |event: Event<'_>| {
            if let Event::PromptCut { tokens, kept, .. } = event {
                cut = Some((tokens, kept));
            }
            ControlFlow::Continue(())
        });
        let outcomes = outcomes.expect("an image");
        let (tokens, kept) = cut.expect("the observer heard of the cut");
        assert!(tokens > kept && kept == 12, "{tokens} tokens, {kept} kept");
        assert_eq!(outcomes[0].image().expect("an image").settings().prompt, prompt);
    }
}

/// A copy of a model folder that can be damaged.
fn copy_of(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for part in ["llm", "tokenizer"] {
        std::fs::create_dir(folder.path().join(part)).expect("a folder");
        for entry in std::fs::read_dir(fixture(name).join(part)).expect("a folder").flatten() {
            let target = folder.path().join(part).join(entry.file_name());
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
    folder
}

fn open(folder: &Path) -> Result<Pipeline> {
    build(HartPipeline::builder().model(folder).text_encoder(fixture("qwen-tiny")))
}

#[test]
fn a_missing_file_is_named() {
    let files = [
        "llm/config.json",
        "llm/model.safetensors",
        "tokenizer/config.json",
        "tokenizer/model.safetensors",
    ];
    for file in files {
        let folder = copy_of("hart-tiny");
        // Without it the last weights are taken, as long as there are any.
        std::fs::remove_file(folder.path().join("llm/ema_model.bin")).expect("a file to remove");
        open(folder.path()).expect("a pipeline of the last weights");
        let path = folder.path().join(file);
        std::fs::remove_file(&path).expect("a file to remove");
        let error = open(folder.path()).map(|_| ()).expect_err(file).to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn weights_of_another_model_are_listed() {
    let folder = copy_of("hart-tiny");
    let other = fixture("hart-tiny-b/llm/ema_model.bin");
    std::fs::copy(other, folder.path().join("llm/ema_model.bin")).expect("a copy");
    let error = open(folder.path()).map(|_| ()).expect_err("the wrong weights");
    let Error::Weights { problems, .. } = error else { panic!("another error: {error}") };
    assert!(problems.missing.contains(&"context_norm.weight".to_string()));
    assert!(problems.unexpected.contains(&"blocks.0.ada_lin.1.weight".to_string()));
    assert!(problems.mismatched.iter().any(|(name, _, _)| name == "head.weight"));
}

#[test]
fn a_tokenizer_of_other_scales_is_refused() {
    let folder = copy_of("hart-tiny");
    let other = fixture("hart-tiny-b/tokenizer/config.json");
    std::fs::copy(other, folder.path().join("tokenizer/config.json")).expect("a copy");
    let error = open(folder.path()).map(|_| ()).expect_err("contradicting scales");
    assert!(matches!(&error, Error::Config { key, .. } if key == "patch_nums"), "{error}");
}

#[test]
fn a_text_encoder_of_another_width_is_refused() {
    let folder = copy_of("hart-tiny");
    let path = folder.path().join("llm/config.json");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    let changed = config.replace("\"context_dim\": 48", "\"context_dim\": 64");
    assert_ne!(config, changed);
    std::fs::write(&path, changed).expect("written");
    let error = open(folder.path()).map(|_| ()).expect_err("another width");
    assert!(matches!(&error, Error::Config { key, .. } if key == "context_dim"), "{error}");
}

/// Overwrites the first elements of a tensor in a safetensors file with NaN.
fn poison(path: &Path, tensor: &str) {
    let mut bytes = std::fs::read(path).expect("a checkpoint");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).expect("a header");
    let start = json[tensor]["data_offsets"][0].as_u64().expect("an offset") as usize + 8 + header;
    bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn weights_that_are_not_a_number_are_refused_by_name_in_every_precision() {
    let cases = [
        ("llm/model.safetensors", "blocks.1.attn.proj.weight"),
        ("llm/model.safetensors", "head.bias"),
        ("tokenizer/model.safetensors", "vae.decoder.conv_out.bias"),
        ("tokenizer/model.safetensors", "vae.post_quant_conv.weight"),
    ];
    for (file, tensor) in cases {
        let folder = copy_of("hart-tiny");
        poison(&folder.path().join(file), tensor);
        for precision in [Precision::F32, Precision::Bf16, Precision::F16, Precision::Int8] {
            let builder = HartPipeline::builder()
                .model(folder.path())
                .text_encoder(fixture("qwen-tiny"))
                .precision(precision)
                .weights(TransformerWeights::Raw);
            let error = build(builder).map(|_| ()).expect_err(tensor).to_string();
            let named =
                error.contains(file) && error.contains(&format!("tensor `{tensor}` holds NaN"));
            assert!(named, "{precision}: {error}");
        }
    }
}
