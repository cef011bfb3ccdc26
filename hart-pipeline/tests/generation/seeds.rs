//! What a seed means: the same image in every batch, on every number of threads, after anything.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
use hart_ar::{Halves, Session};
use hart_pipeline::text::SystemPrompt;
use hart_pipeline::{Event, Image, Outcome, Precision, Request, TransformerWeights};

use crate::{HEART, PIPELINE, Pipeline, build, builder, heart, png};

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
fn an_image_is_the_same_where_no_thread_waits_for_the_device() {
    let size = PIPELINE.image_size();
    for request in [heart(), heart().size(2 * size.columns, size.rows)] {
        let mut scales = 0;
        let mut count = |event: Event<'_>| {
            scales += usize::from(matches!(event, Event::Scale(_)));
            ControlFlow::Continue(())
        };
        let found = pollster::block_on(PIPELINE.generate_async(&request, &mut count));
        let found = found.expect("an outcome").remove(0).into_image();
        assert_eq!(png(found.map(|image| vec![image])), png(PIPELINE.generate(&request)));
        assert!(scales > 1, "{scales} scales were reported");
    }
}

#[test]
fn an_image_that_nobody_waits_for_can_be_cancelled() {
    let mut stop = |_: Event<'_>| ControlFlow::Break(());
    let outcomes = pollster::block_on(PIPELINE.generate_async(&heart(), &mut stop));
    assert!(matches!(outcomes.expect("outcomes")[..], [Outcome::Cancelled]));
}

#[test]
fn warming_up_reports_every_scale_of_one_batch_and_changes_no_image() {
    let pipeline = build(builder().batch_size(2)).expect("a pipeline");
    let request = Request::batch(["a cat", "a dog", "a red heart"]).seeds([1, 2, 7]);
    let mut seen = vec![];
    let mut watch = |event: Event<'_>| {
        if let Event::WarmUp { scale, scales, .. } = event {
            seen.push((scale, scales));
        }
        ControlFlow::Continue(())
    };
    pipeline.warm_up(&request, &mut watch).expect("a warm pipeline");
    let scales = seen.len();
    assert!(scales > 1, "{scales} scales were reported");
    assert_eq!(seen, (0..scales).map(|scale| (scale, scales)).collect::<Vec<_>>());
    assert!(pipeline.generate(&request).expect("images")[2].to_png().expect("a file") == *HEART);

    let mut stop = |_: Event<'_>| ControlFlow::Break(());
    assert!(matches!(pipeline.warm_up(&request, &mut stop), Err(hart_pipeline::Error::Cancelled)));
}

#[test]
fn another_seed_or_prompt_gives_another_image() {
    let pixels = |request| PIPELINE.generate(&request).expect("an image")[0].pixels().clone();
    let heart = pixels(heart());
    assert_ne!(pixels(Request::new("a red heart").seed(8)), heart);
    assert_ne!(pixels(Request::new("a blue house").seed(7)), heart);
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let prompts = ["a cat", "a dog on a hill", "a red heart", "rain", "x"];
    let request = Request::batch(prompts).seeds([1, 2, 7, 3, 4]);
    for batch_size in [1, 2, 5] {
        let pipeline = build(builder().batch_size(batch_size)).expect("a pipeline");
        let images = pipeline.generate(&request).expect("images");
        let found = images[2].to_png().expect("a file");
        assert!(found == *HEART, "the image changed in batches of {batch_size}");
    }
}

#[test]
fn mask_passes_do_not_depend_on_the_batch_either() {
    let one = Request::new("a red heart").seed(7).mask_passes(3).smooth(false);
    let five = Request::batch(["a", "a red heart", "b", "c", "d"])
        .seeds([1, 7, 2, 3, 4])
        .mask_passes(3)
        .smooth(false);
    let alone = PIPELINE.generate(&one).expect("an image");
    let together = PIPELINE.generate(&five).expect("images");
    assert_eq!(alone[0].pixels(), together[1].pixels());
}

#[test]
fn an_image_does_not_depend_on_the_number_of_threads() {
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let found = pool.install(|| png(PIPELINE.generate(&heart())));
        assert!(found == *HEART, "the image changed with {threads} threads");
    }
}

#[test]
fn two_generations_at_once_do_not_disturb_each_other() {
    std::thread::scope(|scope| {
        let others = scope.spawn(|| PIPELINE.generate(&Request::new("a cat").count(3)));
        assert_eq!(png(PIPELINE.generate(&heart())), *HEART);
        assert_eq!(others.join().expect("no panic").expect("images").len(), 3);
    });
}

#[test]
fn a_cancelled_generation_leaves_nothing_behind() {
    for stop_at in 0..5 {
        let mut seen = 0;
        let result = PIPELINE.generate_with(&heart(), &mut |event: Event<'_>| {
            if let Event::Scale(done) = event {
                seen = done.scale;
                if done.scale == stop_at {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        assert!(matches!(result.expect("outcomes")[..], [Outcome::Cancelled]));
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
    let make = || drop(png(build(builder()).expect("a pipeline").generate(&heart())));
    (0..5).for_each(|_| make());
    let before = resident_mib();
    // Each holds 7 MiB of weights.
    (0..60).for_each(|_| make());
    let grown = resident_mib() - before;
    assert!(grown < 150.0, "60 pipelines left {grown:.0} MiB behind");
}

#[test]
fn the_two_weight_files_give_different_images() {
    let raw = build(builder().weights(TransformerWeights::Raw)).expect("a pipeline");
    assert_ne!(png(raw.generate(&heart())), *HEART);
}

#[test]
fn settings_change_the_image() {
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
    let plain = PIPELINE.generate(&heart()).expect("an image")[0].pixels().clone();
    for request in changed {
        let found = PIPELINE.generate(&request).expect("an image");
        assert_ne!(found[0].pixels(), &plain, "{request:?} changed nothing");
    }
    let bare = build(builder().system_prompt(SystemPrompt::None)).expect("a pipeline");
    assert_ne!(bare.generate(&heart()).expect("an image")[0].pixels(), &plain);
}

/// The root mean square of the difference over that of the values.
fn relative_error(found: Vec<f32>, expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    (difference / expected.iter().map(|&x| square(x)).sum::<f64>()).sqrt()
}

#[test]
fn half_precisions_round_but_do_not_mislead() {
    // Not whole images: a token near a tie may fall the other way, and all after it differ.
    let parts = |pipeline: &Pipeline| -> [Vec<f32>; 3] {
        let encoded = pipeline.text_encoder().encode(&["a red heart"]).expect("a context");
        let context = encoded.text.context.clone().into_data();
        let transformer = &pipeline.model().expect("a loaded model").transformer;
        let session = Session::new(transformer, &encoded.text, 0, Halves::Conditional, &mut ());
        let mut session = session.expect("a session");
        let hidden = session.context_step(&mut ()).expect("the first step");
        let logits = session.guided_logits(&hidden, 0.0).expect("logits").into_data();
        let latent: Vec<f32> = (0..512).map(|i| (i as f32 * 0.7).sin()).collect();
        let latent = TensorData::new(latent, [1, 8, 8, 8]);
        let latent = Tensor::from_data(latent, pipeline.device());
        let image = pipeline
            .model()
            .expect("a loaded model")
            .tokenizer
            .decode_latent(latent, &mut ())
            .into_data();
        [context, logits, image].map(|data| data.into_vec().expect("values in 32 bits"))
    };
    let full = parts(&PIPELINE);
    for (precision, largest) in [(Precision::F16, 0.01), (Precision::Bf16, 0.08)] {
        let pipeline = build(builder().precision(precision)).expect("a pipeline");
        for (i, (half, full)) in parts(&pipeline).into_iter().zip(&full).enumerate() {
            let error = relative_error(half, full);
            assert!(error > 0.0, "part {i} computes in 32 bits for {precision}");
            assert!(error < largest, "part {i} is off by {error} for {precision}");
        }
        assert_eq!(pipeline.generate(&heart()).expect("an image")[0].width(), 32);
    }
}
