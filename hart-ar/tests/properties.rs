//! What must hold of any transformer, whatever its weights.

use burn::tensor::{Tensor, TensorData};
use hart_ar::cache::Keep;
use hart_ar::sampling::{TokenRule, sample_tokens};
use hart_ar::{
    Computed, Halves, ScaleStep, Session, TextCondition, Transformer, TransformerConfig,
    TransformerSize, scale_weights,
};
use hart_core::config::ConfigReader;
use hart_core::random::{Draws, SeededDraws};
use hart_core::{Error, ScaleSchedule};

type Flex = burn::backend::Flex;

const SIZE: TransformerSize = TransformerSize { codebook_size: 64, latent_channels: 8 };

/// A transformer large enough for matrix products that are split over threads.
fn transformer() -> Transformer<Flex> {
    let json = br#"{"attn_type": "llama", "mlp_type": "llama", "embed_dim": 384, "num_heads": 6,
        "depth": 2, "context_token": 40, "context_dim": 32, "disable_aln": true,
        "shared_aln": true, "use_timestep_embed": true, "attn_l2_norm": true,
        "patch_nums": [1, 3, 8, 16]}"#;
    let file = ConfigReader::parse("config.json", json).expect("a configuration");
    let config = TransformerConfig::read(&file).expect("a supported configuration");
    Transformer::init(&config, SIZE, &Default::default())
}

/// Standard normal values with an address, so that every image of a batch has its own.
fn normal<const D: usize>(seed: usize, shape: [usize; D]) -> Tensor<Flex, D> {
    let mut values = vec![0.0; shape.iter().product()];
    SeededDraws::new([seed as u64]).diffusion_start(0, 0, &mut values);
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn text(prompts: &[usize]) -> TextCondition<Flex> {
    let contexts = prompts.iter().map(|&prompt| normal(prompt, [1, 40, 32])).collect();
    let valid = |prompt: usize| (0..40).map(|i| i < 5 + prompt).collect();
    let positions = |prompt: usize| (0..40).map(|i| i.min(4 + prompt as i64)).collect();
    TextCondition {
        context: Tensor::cat(contexts, 0),
        mask: prompts.iter().map(|&prompt| valid(prompt)).collect(),
        positions: prompts.iter().map(|&prompt| positions(prompt)).collect(),
    }
}

/// The guided logits of every step for some prompts, `[prompts, tokens · V]` a step.
fn logits(transformer: &Transformer<Flex>, prompts: &[usize]) -> Vec<Vec<Vec<f32>>> {
    logits_of(transformer, prompts, |_| Computed::All)
}

/// The same where not all tokens of a scale go through the blocks.
fn logits_of(
    transformer: &Transformer<Flex>,
    prompts: &[usize],
    computed: impl Fn(usize) -> Computed,
) -> Vec<Vec<Vec<f32>>> {
    let batch = prompts.len();
    let text = text(prompts);
    let session = Session::new(transformer, &text, 0, Halves::Both, &mut ());
    let mut session = session.expect("a session");
    let scales = transformer.scales().clone();
    let steps = (0..scales.count()).map(|scale| {
        let tokens = scales.tokens(scale);
        let hidden = if scale == 0 {
            session.context_step(&mut ()).expect("the first step")
        } else {
            let inputs = prompts.iter().map(|prompt| normal(100 * scale + prompt, [1, tokens, 8]));
            let input = Tensor::cat(inputs.collect(), 0);
            let keep = if scale == scales.last() { Keep::No } else { Keep::Yes };
            let positions = vec![(0..tokens).collect(); batch];
            let step = ScaleStep::whole(scale, &positions, keep, Halves::Both);
            let step = ScaleStep { computed: computed(scale), ..step };
            session.scale_step(step, input, &mut ()).expect("a step")
        };
        let logits = session.guided_logits(&hidden, scale as f64).expect("logits");
        let logits: Vec<f32> = logits.into_data().into_vec().expect("32 bits");
        logits.chunks_exact(logits.len() / batch).map(<[f32]>::to_vec).collect()
    });
    steps.collect()
}

#[test]
fn an_image_has_the_same_logits_to_the_last_bit_in_every_batch() {
    let transformer = transformer();
    let alone = logits(&transformer, &[2]);
    for batch in [vec![2, 1], vec![0, 1, 2], vec![3, 2, 4, 5, 6]] {
        let at = batch.iter().position(|&prompt| prompt == 2).expect("the prompt");
        for (scale, step) in logits(&transformer, &batch).iter().enumerate() {
            let differ = step[at].iter().zip(&alone[scale][0]).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "scale {scale} of a batch of {}", batch.len());
        }
    }
}

#[test]
fn a_negative_prompt_is_in_the_place_of_the_empty_one() {
    let transformer = transformer();
    let (wanted, negative) = (text(&[0, 4]), text(&[3, 1]));
    let session = Session::with_negative(&transformer, &wanted, &negative, 0, &mut ());
    let mut session = session.expect("a session");
    let alone = Session::new(&transformer, &negative, 0, Halves::Conditional, &mut ());
    let mut alone = alone.expect("a session");
    let scales = transformer.scales().clone();
    for scale in 0..scales.count() {
        let tokens = scales.tokens(scale);
        let positions = vec![(0..tokens).collect(); 2];
        let keep = if scale == scales.last() { Keep::No } else { Keep::Yes };
        let [both, conditional] = [(&mut session, Halves::Both), (&mut alone, Halves::Conditional)]
            .map(|(session, halves)| {
                let hidden = if scale == 0 {
                    session.context_step(&mut ())
                } else {
                    let step = ScaleStep::whole(scale, &positions, keep, halves);
                    session.scale_step(step, normal(100 * scale, [2, tokens, 8]), &mut ())
                };
                let hidden = hidden.expect("a step");
                session.half_logits(&hidden, halves == Halves::Both)
            });
        let of = |tensor: Tensor<Flex, 3>| tensor.into_data().into_vec::<f32>().expect("32 bits");
        let (found, expected) =
            (of(both.unconditional.expect("both halves")), of(conditional.conditional));
        assert!(found == expected, "scale {scale}");
        assert!(found != of(both.conditional), "scale {scale}");
    }
    let wrong = Session::with_negative(&transformer, &wanted, &text(&[1]), 0, &mut ());
    assert!(matches!(wrong, Err(Error::Invalid { .. })));
}

#[test]
fn tokens_that_are_not_computed_take_earlier_results() {
    let transformer = transformer();
    let pruned = |count: usize| {
        logits_of(&transformer, &[0, 1], |scale| match scale {
            2 => Computed::AllKept,
            3 => Computed::Most(count),
            _ => Computed::All,
        })
    };
    let all = logits(&transformer, &[0, 1]);
    // With all 256 tokens of the last scale nothing is taken from the one before.
    assert!(pruned(256) == all && pruned(1000) == all);
    let some = pruned(64);
    assert!(some[..3] == all[..3], "earlier scales have changed");
    assert!(some[3] != all[3]);
    assert!(some[3].iter().flatten().all(|logit| logit.is_finite()));
    let alone = logits_of(&transformer, &[1], |scale| match scale {
        2 => Computed::AllKept,
        3 => Computed::Most(64),
        _ => Computed::All,
    });
    assert!(alone[3][0] == some[3][1], "an image depends on its batch");
}

#[test]
fn results_that_were_not_kept_cannot_be_taken() {
    let transformer = transformer();
    let text = text(&[0]);
    let mut session =
        Session::new(&transformer, &text, 0, Halves::Both, &mut ()).expect("a session");
    session.context_step(&mut ()).expect("the first step");
    let positions = vec![(0..9).collect()];
    let step = ScaleStep::whole(1, &positions, Keep::Yes, Halves::Both);
    let step = ScaleStep { computed: Computed::Most(3), ..step };
    let refused = session.scale_step(step, normal(1, [1, 9, 8]), &mut ()).map(|_| ());
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let transformer = transformer();
    let expected = logits(&transformer, &[0, 1]);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let found = pool.install(|| logits(&transformer, &[0, 1]));
        assert!(found == expected, "{threads} threads");
    }
}

#[test]
fn sampling_changes_with_the_seed_and_not_with_the_batch_or_the_threads() {
    let logits: Vec<f32> = (0..3 * 50 * 64).map(|i| ((i * 37 % 101) as f32) * 0.05).collect();
    let codebook: Vec<f32> = (0..64 * 8).map(|i| i as f32).collect();
    let positions = vec![(0..50).collect::<Vec<_>>(); 3];
    let rule = TokenRule { top_k: 30, top_p: 0.9, smooth: None };
    let sample = |logits: &[f32], seeds: &[u64]| {
        let draws = SeededDraws::new(seeds);
        let positions = &positions[..seeds.len()];
        sample_tokens(logits, &codebook, 8, &rule, &draws, 2, positions).expect("tokens").indices
    };
    let together = sample(&logits, &[5, 6, 7]);
    assert_eq!(sample(&logits[50 * 64..100 * 64], &[6]), together[50..100]);
    assert_ne!(sample(&logits, &[8, 9, 10]), together);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    assert_eq!(pool.install(|| sample(&logits, &[5, 6, 7])), together);
}

#[test]
fn logits_that_are_no_numbers_are_reported() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = vec![0.0; 2 * 4];
        logits[5] = bad;
        let rule = TokenRule { top_k: 2, top_p: 0.0, smooth: None };
        let draws = SeededDraws::new([0]);
        let result = sample_tokens(&logits, &[0.0; 4], 1, &rule, &draws, 3, &[vec![0, 1]]);
        assert!(matches!(result, Err(Error::NonFinite { .. })), "{bad}");
    }
}

#[test]
fn a_context_of_another_shape_is_refused() {
    let transformer = transformer();
    let mut cases = vec![text(&[0]), text(&[0, 1]), text(&[0])];
    cases[0].context = normal(0, [1, 39, 32]);
    cases[1].mask.pop();
    cases[2].positions[0].pop();
    for case in cases {
        let session = Session::new(&transformer, &case, 0, Halves::Both, &mut ());
        assert!(matches!(session, Err(Error::Invalid { .. })));
    }
}

#[test]
fn balanced_weights_give_every_scale_the_same_share() {
    let scales = ScaleSchedule::squares(&[1, 2, 4]).expect("a schedule");
    let even = scale_weights(&scales, 5, 0.0);
    assert_eq!(even, [1.0; 10]);
    let balanced = scale_weights(&scales, 5, 1.0);
    let shares = [&balanced[..1], &balanced[1..5], &balanced[5..]];
    for share in shares.map(|weights| weights.iter().sum::<f32>()) {
        assert!((share - 10.0 / 3.0).abs() < 1e-5, "a share of {share}");
    }
}
