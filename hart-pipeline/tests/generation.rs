//! What a seed means, what can be cancelled, and what bad input is answered with.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::tensor::{Tensor, TensorData};
use hart_ar::Session;
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::image::grid;
use hart_pipeline::text::SystemPrompt;
use hart_pipeline::{
    Error, Event, HartPipeline, Image, ImageSettings, PipelineBuilder, Precision, Request, Result,
    TransformerWeights,
};
use proptest::prelude::*;

type Pipeline = HartPipeline<DefaultBackend>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn builder() -> PipelineBuilder<DefaultBackend> {
    Pipeline::builder()
        .model(fixture("hart-tiny"))
        .text_encoder(fixture("qwen-tiny"))
        .device(default_device())
}

static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| builder().build().expect("a pipeline"));

fn heart() -> Request {
    Request::new("a red heart").seed(7)
}

/// The bytes of the first picture's file.
fn png(images: Result<Vec<Image>>) -> Vec<u8> {
    images.expect("pictures")[0].to_png().expect("a file")
}

static HEART: LazyLock<Vec<u8>> = LazyLock::new(|| png(PIPELINE.generate(&heart())));

#[test]
fn a_pipeline_is_shared_between_threads() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Pipeline>();
    assert_shared::<Image>();
}

#[test]
fn the_same_seed_gives_the_same_bytes_twice() {
    assert_eq!(png(PIPELINE.generate(&heart())), *HEART);
}

#[test]
fn another_seed_or_prompt_gives_another_picture() {
    let pixels = |request| PIPELINE.generate(&request).expect("a picture")[0].pixels().to_vec();
    let heart = pixels(heart());
    assert_ne!(pixels(Request::new("a red heart").seed(8)), heart);
    assert_ne!(pixels(Request::new("a blue house").seed(7)), heart);
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
    let prompts = ["a cat", "a dog on a hill", "a red heart", "rain", "x"];
    let request = Request::batch(prompts).seeds([1, 2, 7, 3, 4]);
    for batch_size in [1, 2, 5] {
        let pipeline = builder().batch_size(batch_size).build().expect("a pipeline");
        let images = pipeline.generate(&request).expect("pictures");
        let found = images[2].to_png().expect("a file");
        assert!(found == *HEART, "the picture changed in batches of {batch_size}");
    }
}

#[test]
fn mask_passes_do_not_depend_on_the_batch_either() {
    let one = Request::new("a red heart").seed(7).mask_passes(3).smooth(false);
    let five = Request::batch(["a", "a red heart", "b", "c", "d"])
        .seeds([1, 7, 2, 3, 4])
        .mask_passes(3)
        .smooth(false);
    let alone = PIPELINE.generate(&one).expect("a picture");
    let together = PIPELINE.generate(&five).expect("pictures");
    assert_eq!(alone[0].pixels(), together[1].pixels());
}

#[test]
fn a_picture_does_not_depend_on_the_number_of_threads() {
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let found = pool.install(|| png(PIPELINE.generate(&heart())));
        assert!(found == *HEART, "the picture changed with {threads} threads");
    }
}

#[test]
fn two_generations_at_once_do_not_disturb_each_other() {
    std::thread::scope(|scope| {
        let others = scope.spawn(|| PIPELINE.generate(&Request::new("a cat").count(3)));
        assert_eq!(png(PIPELINE.generate(&heart())), *HEART);
        assert_eq!(others.join().expect("no panic").expect("pictures").len(), 3);
    });
}

#[test]
fn a_cancelled_generation_leaves_nothing_behind() {
    for stop_at in 0..5 {
        let mut seen = 0;
        let result = PIPELINE.generate_with(&heart(), &mut |event: Event<'_, DefaultBackend>| {
            if let Event::Scale { scale, .. } = event {
                seen = scale;
                if scale == stop_at {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(seen, stop_at);
        assert_eq!(png(PIPELINE.generate(&heart())), *HEART);
    }
}

/// Resident memory of this process in MiB.
#[cfg(target_os = "linux")]
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

#[test]
#[cfg(target_os = "linux")]
fn a_dropped_pipeline_gives_its_memory_back() {
    let make = || drop(png(builder().build().expect("a pipeline").generate(&heart())));
    (0..5).for_each(|_| make());
    let before = resident_mib();
    // Each holds 7 MiB of weights.
    (0..60).for_each(|_| make());
    let grown = resident_mib() - before;
    assert!(grown < 150.0, "60 pipelines left {grown:.0} MiB behind");
}

#[test]
fn every_scale_is_reported_with_a_latent_to_preview() {
    let mut sides = vec![];
    let mut last = vec![];
    let request = heart();
    let images = PIPELINE.generate_with(&request, &mut |event: Event<'_, DefaultBackend>| {
        if let Event::Scale { side, latent, .. } = event {
            sides.push(side);
            last = PIPELINE.preview(latent).expect("a preview");
        }
        ControlFlow::Continue(())
    });
    let images = images.expect("a picture");
    assert_eq!(sides, [1, 2, 3, 5, 8]);
    // The latent of the last scale is that of the picture.
    assert_eq!(last[0].1, images[0].pixels());
}

#[test]
fn the_two_weight_files_give_different_pictures() {
    let raw = builder().weights(TransformerWeights::Raw).build().expect("a pipeline");
    assert_ne!(png(raw.generate(&heart())), *HEART);
}

#[test]
fn settings_change_the_picture() {
    let changed = [
        heart().guidance(0.0),
        heart().top_k(3),
        heart().top_p(0.5),
        heart().smooth(false),
        heart().mask_passes(4),
        heart().diffusion_steps("3"),
        heart().temperature(0.5),
        heart().residual(false),
    ];
    let plain = PIPELINE.generate(&heart()).expect("a picture")[0].pixels().to_vec();
    for request in changed {
        let found = PIPELINE.generate(&request).expect("a picture");
        assert_ne!(found[0].pixels(), plain, "{request:?} changed nothing");
    }
    let bare = builder().system_prompt(SystemPrompt::None).build().expect("a pipeline");
    assert_ne!(bare.generate(&heart()).expect("a picture")[0].pixels(), plain);
}

/// The root mean square of the difference over that of the values.
fn relative_error(found: Vec<f32>, expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    (difference / expected.iter().map(|&x| square(x)).sum::<f64>()).sqrt()
}

#[test]
fn half_precisions_round_but_do_not_mislead() {
    // Not whole pictures: a token near a tie may fall the other way, and all after it differ.
    let parts = |pipeline: &Pipeline| -> [Vec<f32>; 3] {
        let encoded = pipeline.text_encoder().encode(&["a red heart"]).expect("a context");
        let context = encoded.text.context.clone().into_data();
        let transformer = &pipeline.model().transformer;
        let mut session = Session::new(transformer, &encoded.text, 0, &mut ()).expect("a session");
        let hidden = session.context_step(&mut ());
        let logits = session.guided_logits(hidden, 0.0).into_data();
        let latent: Vec<f32> = (0..512).map(|i| (i as f32 * 0.7).sin()).collect();
        let latent = TensorData::new(latent, [1, 8, 8, 8]);
        let latent = Tensor::from_data(latent, pipeline.device());
        let image = pipeline.model().tokenizer.decode_latent(latent, &mut ()).into_data();
        [context, logits, image].map(|data| data.into_vec().expect("values in 32 bits"))
    };
    let full = parts(&PIPELINE);
    for (precision, largest) in [(Precision::F16, 0.01), (Precision::Bf16, 0.08)] {
        let pipeline = builder().precision(precision).build().expect("a pipeline");
        for (i, (half, full)) in parts(&pipeline).into_iter().zip(&full).enumerate() {
            let error = relative_error(half, full);
            assert!(error > 0.0, "part {i} computes in 32 bits for {precision}");
            assert!(error < largest, "part {i} is off by {error} for {precision}");
        }
        assert_eq!(pipeline.generate(&heart()).expect("a picture")[0].width(), 32);
    }
}

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
    ];
    for request in bad {
        let mut events = 0;
        let result = PIPELINE.generate_with(&request, &mut |_: Event<'_, DefaultBackend>| {
            events += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(result, Err(Error::Invalid { .. })), "{request:?} was accepted");
        assert_eq!(events, 0, "{request:?} was begun");
    }
    assert!(matches!(builder().batch_size(0).build(), Err(Error::Invalid { .. })));
    assert!(matches!(Pipeline::builder().build(), Err(Error::Invalid { .. })));
}

#[test]
fn an_endless_prompt_is_cut_and_reported() {
    let long = [
        "an endless story ".repeat(6000),
        format!("{} word", " ".repeat(100_000)),
        "é".repeat(100_000),
        "🚀".repeat(30_000),
    ];
    for prompt in long {
        let mut cut = None;
        let request = Request::new(prompt.as_str());
        let images = PIPELINE.generate_with(&request, &mut |event: Event<'_, DefaultBackend>| {
            if let Event::PromptCut { tokens, kept, .. } = event {
                cut = Some((tokens, kept));
            }
            ControlFlow::Continue(())
        });
        let images = images.expect("a picture");
        let (tokens, kept) = cut.expect("the observer heard of the cut");
        assert!(tokens > kept && kept == 12, "{tokens} tokens, {kept} kept");
        assert_eq!(images[0].settings().prompt, prompt);
    }
}

#[test]
fn any_text_is_a_prompt() {
    let prompts =
        ["\u{0}", "a\u{7}\u{1b}[31m", "日本語 العربية हिन्दी", "\u{202e}x", "a\r\n\"b\"", "👩‍👩‍👧"];
    for image in PIPELINE.generate(&Request::batch(prompts)).expect("pictures") {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        image.save(file.path()).expect("saved");
        assert_eq!(&ImageSettings::read(file.path()).expect("settings"), image.settings());
    }
}

#[test]
fn an_unwritable_place_is_an_error_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = &PIPELINE.generate(&heart()).expect("a picture")[0];
    let path = folder.path().join("missing/heart.png");
    assert!(matches!(image.save(&path), Err(Error::Io { .. })));
    assert!(matches!(image.save(folder.path()), Err(Error::Io { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn pictures_of_a_grid_keep_their_places() {
    let images = PIPELINE.generate(&Request::new("a").count(3)).expect("pictures");
    let (width, height, pixels) = grid(&images).expect("a grid");
    assert_eq!((width, height), (64, 64));
    let row = |x: usize, y: usize| &pixels[(y * width + x) * 3..][..32 * 3];
    assert_eq!(row(32, 5), &images[1].pixels()[5 * 96..6 * 96]);
    assert_eq!(row(0, 37), &images[2].pixels()[5 * 96..6 * 96]);
    assert!(row(32, 40).iter().all(|&byte| byte == 255));
    assert!(grid(&[]).is_err());
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
    Pipeline::builder().model(folder).text_encoder(fixture("qwen-tiny")).build()
}

#[test]
fn a_missing_file_is_named() {
    let files = [
        "llm/config.json",
        "llm/ema_model.bin",
        "tokenizer/config.json",
        "tokenizer/model.safetensors",
    ];
    for file in files {
        let folder = copy_of("hart-tiny");
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
fn weights_that_are_not_a_number_are_reported_with_the_picture() {
    let cases = [
        ("llm/model.safetensors", "blocks.1.attn.proj.weight", "the logits"),
        ("llm/model.safetensors", "head.bias", "the logits"),
        ("tokenizer/model.safetensors", "vae.decoder.conv_out.bias", "the picture"),
        ("tokenizer/model.safetensors", "vae.post_quant_conv.weight", "the picture"),
    ];
    for (file, tensor, place) in cases {
        let folder = copy_of("hart-tiny");
        poison(&folder.path().join(file), tensor);
        let pipeline = Pipeline::builder()
            .model(folder.path())
            .text_encoder(fixture("qwen-tiny"))
            .weights(TransformerWeights::Raw)
            .build()
            .expect("what is in a tensor is not looked at when loading");
        let error = pipeline.generate(&heart()).map(|_| ()).expect_err(tensor);
        let reported = matches!(&error, Error::NonFinite { what } if what.contains(place));
        assert!(reported, "{tensor}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_reader_of_settings_panic(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = HEART.clone();
        let at = at.index(bytes.len());
        bytes[at] = value;
        bytes.truncate(length.index(bytes.len()) + 1);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("written");
        let _ = ImageSettings::read(file.path());
    }
}

#[test]
fn a_file_without_settings_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    hart_pipeline::image::save_pixels(file.path(), 1, 1, &[1, 2, 3]).expect("saved");
    assert!(matches!(ImageSettings::read(file.path()), Err(Error::Malformed { .. })));
    std::fs::write(file.path(), b"text").expect("written");
    assert!(matches!(ImageSettings::read(file.path()), Err(Error::Malformed { .. })));
}
