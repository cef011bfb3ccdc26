//! Ways to need less memory: the images stay what they are.

use std::ops::ControlFlow;

use hart_pipeline::{Error, Event, Request};

use crate::{HEART, PIPELINE, build, builder, heart, png};

#[test]
fn a_text_encoder_that_is_not_kept_makes_the_same_images() {
    let pipeline = build(builder().keep_text_encoder(false).batch_size(2)).expect("a pipeline");
    assert!(!pipeline.text_encoder().is_kept());
    // Five images of two prompts in batches of two, and again with the model in memory.
    let request =
        Request::batch(["a red heart", "a blue square", "a cat", "a dog", "a tree"]).seed(7);
    let expected = PIPELINE.generate(&request).expect("images");
    for _ in 0..2 {
        let found = pipeline.generate(&request).expect("images");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.pixels(), expected.pixels());
        }
    }
    assert_eq!(png(pipeline.generate(&heart())), *HEART);
}

#[test]
fn every_batch_is_announced_once() {
    let pipeline = build(builder().keep_text_encoder(false).batch_size(2)).expect("a pipeline");
    let mut batches = vec![];
    let request = Request::batch(["a heart", "a star", "a moon"]);
    let found = pipeline.generate_with(&request, &mut |event: Event<'_>| {
        if let Event::Started { images, .. } = event {
            batches.push(images.to_vec());
        }
        ControlFlow::Continue(())
    });
    assert_eq!(found.expect("images").len(), 3);
    assert_eq!(batches, [vec![0, 1], vec![2]]);
}

#[test]
fn images_decoded_in_strips_are_those_decoded_whole() {
    let pipeline = build(builder().strip_height(3)).expect("a pipeline");
    let found = pipeline.generate(&heart()).expect("images");
    let expected = PIPELINE.generate(&heart()).expect("images");
    let pairs = found[0].pixels().rgb().iter().zip(expected[0].pixels().rgb());
    let most = pairs.map(|(a, b)| a.abs_diff(*b)).max();
    assert!(most <= Some(1), "bytes differ by {most:?}");
}

#[test]
fn strips_without_rows_are_refused() {
    let error = build(builder().strip_height(0)).expect_err("no rows");
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}
