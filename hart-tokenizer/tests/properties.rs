//! What must hold of any tokenizer, whatever its weights.

use burn::tensor::{Distribution, Tensor, TensorData};
use hart_core::Error;
use hart_core::config::ConfigReader;
use hart_core::random::{Draws, SeededDraws};
use hart_tokenizer::quantizer::to_map;
use hart_tokenizer::{AutoencoderConfig, DecoderInput, HybridTokenizer, HybridTokens};

type Flex = burn::backend::Flex;

fn tokenizer(more: &str) -> HybridTokenizer<Flex> {
    let json = format!(
        r#"{{"ch": 32, "ch_mult": [1, 1], "z_channels": 4, "vocab_size": 32,
            "v_patch_nums": [1, 2, 5, 8], "quantizer_type": "var_hybrid"{more}}}"#
    );
    let file = ConfigReader::parse("config.json", json.as_bytes()).expect("a configuration");
    let config = AutoencoderConfig::read(&file).expect("a supported configuration");
    HybridTokenizer::init(&config, &Default::default())
}

/// Every form of shared convolutions, and of matching codes.
const FORMS: [&str; 6] = [
    "",
    r#", "share_quant_resi": 1"#,
    r#", "share_quant_resi": 0"#,
    r#", "share_quant_resi": 0, "default_qresi_counts": 2"#,
    r#", "quant_resi": 0"#,
    r#", "using_znorm": true"#,
];

/// Standard normal values, the same in every run: differences by rounding are close to their limits.
fn latent(batch: usize) -> Tensor<Flex, 4> {
    let mut values = vec![0.0; batch * 4 * 8 * 8];
    SeededDraws::new([1]).diffusion_start(0, batch, &mut values);
    Tensor::from_data(TensorData::new(values, [batch, 4, 8, 8]), &Default::default())
}

fn largest_difference<const D: usize>(a: Tensor<Flex, D>, b: Tensor<Flex, D>) -> f32 {
    (a - b).abs().max().into_scalar()
}

#[test]
fn the_residual_restores_the_latent() {
    for form in FORMS {
        let quantizer = tokenizer(form).quantizer;
        let latent = latent(2);
        let tokens = quantizer.encode(latent.clone());
        let restored = quantizer.latent(&tokens);
        assert!(largest_difference(restored, latent.clone()) < 1e-5, "{form}");
        // Without it something is missing.
        let discrete = quantizer.discrete_latents(&tokens.indices).pop().expect("a latent");
        assert!(largest_difference(discrete, latent) > 1e-2, "{form}");
    }
}

#[test]
fn larger_latents_are_the_same_images() {
    for form in FORMS {
        // Drawn now: fresh weights would be drawn when they are first looked at, others for a copy.
        let plain = tokenizer(form).initialize(1).expect("fresh weights");
        let factor = 2.0;
        let scaled = plain.clone().scale_latents(factor).expect("plain weights");
        let side = plain.image_size().rows;
        let images = Tensor::random(
            [1, 3, side, side],
            Distribution::Uniform(0.0, 1.0),
            &Default::default(),
        );
        let (before, after) = (plain.encode(images.clone()), scaled.encode(images));
        let (before, after) = (before.expect("tokens"), after.expect("tokens"));
        for (before, after) in before.indices.iter().zip(&after.indices) {
            assert_eq!(before.to_data(), after.to_data(), "{form}");
        }
        let grown = before.residual.clone() * factor;
        assert!(largest_difference(grown, after.residual.clone()) < 1e-4, "{form}");
        let images = [plain.decode(&before), scaled.decode(&after)];
        let [before, after] = images.map(|image| image.expect("images"));
        assert!(largest_difference(before, after) < 1e-4, "{form}");
    }
}

#[test]
fn training_decodes_what_generation_will() {
    for form in FORMS {
        let tokenizer = tokenizer(form).initialize(1).expect("fresh weights");
        let side = tokenizer.image_size().rows;
        let images = Tensor::<Flex, 4>::random(
            [1, 3, side, side],
            Distribution::Uniform(-1.0, 1.0),
            &Default::default(),
        );
        let decode = |input, predicted| {
            let found = tokenizer.reconstruct(images.clone(), &[input], predicted, 0.25);
            found.map(|found| found.images)
        };
        let reconstruct = |input| decode(input, None).expect("a reconstruction");
        let latent = tokenizer.encode_latent(images.clone(), &mut ());
        let tokens = tokenizer.quantizer.encode(latent);
        let codes = tokenizer.quantizer.embed(tokens.indices[3].clone());
        let generated = |share: f32| {
            let beyond = tokens.residual.clone() - codes.clone();
            let residual = codes.clone() + beyond * share;
            let tokens = HybridTokens { residual, ..tokens.clone() };
            tokenizer.decode_latent(tokenizer.quantizer.latent(&tokens), &mut ())
        };
        for share in [0.0, 0.3, 1.0] {
            let found = reconstruct(DecoderInput::Partial(share));
            assert!(largest_difference(found, generated(share)) < 1e-4, "{form}, {share}");
        }
        // A prediction of a third of the truth is a third of the truth.
        let truth =
            to_map(tokens.residual.clone() - codes.clone(), tokenizer.quantizer.scales().latent());
        let found = decode(DecoderInput::Predicted, Some(truth.clone() * 0.3)).expect("an image");
        assert!(largest_difference(found, generated(0.3)) < 1e-4, "{form}");
        for wrong in [None, Some(truth.narrow(2, 0, 1))] {
            let said =
                decode(DecoderInput::Predicted, wrong).expect_err("no prediction").to_string();
            assert!(said.starts_with("the predictions"), "{said}");
        }
        let continuous = reconstruct(DecoderInput::Continuous);
        assert!(largest_difference(continuous.clone(), generated(1.0)) < 1e-4, "{form}");
        // The cases are different ones.
        assert!(largest_difference(continuous, generated(0.0)) > 1e-3, "{form}");
    }
}

#[test]
fn strips_are_the_whole_image() {
    let tokenizer = tokenizer("").initialize(1).expect("fresh weights");
    let latent = latent(2);
    let whole = tokenizer.decode_latent(latent.clone(), &mut ());
    // One row, a number that does not divide the height, all rows, more than there are.
    for rows in [0, 1, 3, 8, 100] {
        let strips = tokenizer.decode_latent_in_strips(latent.clone(), rows);
        assert_eq!(strips.dims(), whole.dims());
        let difference = largest_difference(strips, whole.clone());
        assert!(difference < 1e-5, "{rows} rows: {difference}");
    }
}

#[test]
fn tokens_have_the_sides_of_their_scales() {
    let tokens = tokenizer("").quantizer.encode(latent(3));
    let dims: Vec<_> = tokens.indices.iter().map(|indices| indices.dims()).collect();
    assert_eq!(dims, [[3, 1], [3, 4], [3, 25], [3, 64]]);
    assert_eq!(tokens.residual.dims(), [3, 64, 4]);
}

#[test]
fn the_last_indices_are_the_nearest_codes_of_the_residual() {
    let quantizer = tokenizer("").quantizer;
    let tokens = quantizer.encode(latent(2) * 0.02);
    let host = |data: burn::tensor::TensorData| data.iter::<f64>().collect::<Vec<_>>();
    let codes = host(quantizer.codebook.val().into_data());
    let vectors = host(tokens.residual.into_data());
    let distance = |vector: &[f64], code: &[f64]| -> f64 {
        vector.iter().zip(code).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let chosen = host(tokens.indices.last().expect("the last scale").clone().into_data());
    for (vector, chosen) in vectors.chunks_exact(4).zip(chosen) {
        let distances: Vec<f64> = codes.chunks_exact(4).map(|c| distance(vector, c)).collect();
        let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        // Rounding may decide between codes that are equally near.
        assert!(distances[chosen as usize] <= nearest + 1e-7);
    }
}

#[test]
fn an_image_has_the_same_tokens_in_every_batch() {
    let tokenizer = tokenizer("");
    let images = Tensor::<Flex, 4>::random(
        [3, 3, 16, 16],
        Distribution::Uniform(0.0, 1.0),
        &Default::default(),
    );
    let together = tokenizer.encode(images.clone()).expect("tokens");
    let alone = tokenizer.encode(images.narrow(0, 1, 1)).expect("tokens");
    for (together, alone) in together.indices.into_iter().zip(alone.indices) {
        assert_eq!(together.narrow(0, 1, 1).into_data(), alone.into_data());
    }
    assert_eq!(together.residual.narrow(0, 1, 1).into_data(), alone.residual.into_data());
}

#[test]
fn wrong_shapes_are_refused() {
    let tokenizer = tokenizer("");
    let refused = |result: hart_core::Result<()>| matches!(result, Err(Error::Invalid { .. }));
    for shape in [[1, 3, 8, 8], [1, 1, 16, 16], [0, 3, 16, 16], [1, 3, 16, 17]] {
        let image = Tensor::<Flex, 4>::zeros(shape, &Default::default());
        assert!(refused(tokenizer.encode(image).map(|_| ())), "{shape:?}");
    }
    let tokens = tokenizer.quantizer.encode(latent(1));
    assert!(refused(tokenizer.decode_discrete(&tokens.indices[..3]).map(|_| ())));
    let mut other = tokens.clone();
    other.indices.swap(1, 2);
    assert!(refused(tokenizer.decode(&other).map(|_| ())));
    let mut other = tokens;
    other.residual = other.residual.narrow(1, 0, 63);
    assert!(refused(tokenizer.decode(&other).map(|_| ())));
}
