//! Levels of effort.

use hart_pipeline::{Effort, Error, Request};

use crate::{HEART, PIPELINE, heart, png};

#[test]
fn all_effort_is_the_default_and_changes_no_bit() {
    assert_eq!(png(PIPELINE.generate(&heart().effort(Effort::Exact))), *HEART);
}

#[test]
fn every_level_has_its_own_image_and_says_so() {
    let made = |effort| PIPELINE.generate(&heart().effort(effort)).expect("an image").remove(0);
    let images = Effort::ALL.map(made);
    for (image, effort) in images.iter().zip(Effort::ALL) {
        assert_eq!(image.settings().effort, effort.name());
        assert_eq!(effort.name().parse::<Effort>().expect("a level"), effort);
    }
    let [exact, fast, faster] = images.each_ref().map(|image| image.pixels());
    assert!(exact != fast && fast != faster && exact != faster);
    assert!("fastest".parse::<Effort>().is_err());
}

#[test]
fn an_image_is_the_same_alone_and_in_a_batch_at_every_level() {
    for effort in Effort::ALL {
        let together = Request::batch(["a red heart", "two cats", "a fox"]).effort(effort).seed(3);
        let together = PIPELINE.generate(&together).expect("images");
        let alone = Request::new("two cats").effort(effort).seed(4);
        let alone = PIPELINE.generate(&alone).expect("an image");
        assert_eq!(alone[0].pixels(), together[1].pixels(), "{effort}");
    }
}

#[test]
fn without_guidance_fast_is_exact() {
    let made = |effort| {
        let request = heart().guidance(0.0).effort(effort);
        PIPELINE.generate(&request).expect("an image").remove(0).pixels().clone()
    };
    assert_eq!(made(Effort::Fast), made(Effort::Exact));
}

#[test]
fn masked_passes_over_a_part_of_the_tokens_are_refused() {
    let refused = PIPELINE.generate(&heart().effort(Effort::Faster).mask_passes(2));
    assert!(matches!(&refused, Err(Error::Invalid { what, .. }) if what.contains("mask passes")));
    PIPELINE.generate(&heart().effort(Effort::Fast).mask_passes(2)).expect("an image");
}
