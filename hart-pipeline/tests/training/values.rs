//! Values of experiments out of their range.

use hart_pipeline::backend::Flex;
use hart_pipeline::training::hart::{HartExperiment, train_hart};
use hart_pipeline::training::tokenizer::TokenizerExperiment;

use crate::{hart_experiment, tokenizer_experiment, trained};

#[test]
fn values_of_experiments_are_checked_before_any_work() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = |change: &dyn Fn(&mut TokenizerExperiment), expected: &str| {
        let mut experiment = tokenizer_experiment(folder.path(), "checked");
        change(&mut experiment);
        let said = trained(&experiment).0.expect_err(expected).to_string();
        assert!(said.starts_with(expected), "{said}, not {expected}");
    };
    for bad in [2.0, -5.0, 0.0, f64::NAN] {
        let expected = format!("[data.augmentation]: `least_crop` is {bad}, expected above 0");
        refused(&|experiment| experiment.data.augmentation.least_crop = bad, &expected);
    }
    for bad in [7.0, -0.1, f64::NAN] {
        let expected = format!("[data.augmentation]: `mirror` is {bad}, expected from 0 to 1");
        refused(&|experiment| experiment.data.augmentation.mirror = bad, &expected);
        let expected = format!("[loss]: `discrete_share` is {bad}, expected from 0 to 1");
        refused(&|experiment| experiment.loss.discrete_share = bad, &expected);
    }
    for bad in [-1.0, f64::INFINITY, f64::NAN] {
        refused(&|e| e.loss.quantizer = bad, "[loss]: `quantizer` is ");
        refused(&|e| e.loss.adversarial = bad, "[loss]: `adversarial` is ");
        refused(&|e| e.export.residual_spread = Some(bad), "[export]: `residual_spread` is ");
    }
    // An image of 8 × 16 pixels has no patch to judge.
    refused(
        &|e| e.loss.adversarial = 0.1,
        "[loss]: `adversarial` is 0.1, expected 0 for images of",
    );
    refused(&|e| e.loss.discriminator_channels = 0, "[loss]: `discriminator_channels` is 0");
    refused(&|e| e.data.validation_images = 0, "[data]: `validation_images` is 0");
    refused(&|e| e.run.batch = 0, "[run]: `batch` is 0, expected at least 1");
    refused(&|e| e.run.batch = usize::MAX, "[run]: `batch` is ");
    refused(&|e| e.run.steps = u64::MAX, "[run]: `steps` is ");

    let tokenizer = folder.path().join("none");
    let refused = |change: &dyn Fn(&mut HartExperiment), expected: &str| {
        let mut experiment = hart_experiment(folder.path(), &tokenizer);
        change(&mut experiment);
        let trained = train_hart::<Flex>(&experiment, &Default::default(), &mut ());
        let said = trained.expect_err(expected).to_string();
        assert!(said.starts_with(expected), "{said}, not {expected}");
    };
    for bad in [7.0, f64::NAN] {
        refused(&|e| e.data.plain_captions = bad, "[data]: `plain_captions` is ");
        refused(&|e| e.data.new_share = bad, "[data]: `new_share` is ");
        refused(&|e| e.samples.top_p = bad, "[images]: `top_p` is ");
    }
    for bad in [-1.0, 1e9, f64::NAN] {
        refused(&|e| e.samples.guidance = bad, "[images]: `guidance` is ");
        refused(&|e| e.samples.temperature = bad, "[images]: `temperature` is ");
    }
    refused(&|e| e.samples.top_k = 1 << 30, "[images]: `top_k` is ");
    refused(&|e| e.samples.prompts.push(" ".into()), "[images]: `prompts` is \" \": a prompt is");
    refused(&|e| e.data.validation_images = 0, "[data]: `validation_images` is 0");
    refused(&|e| drop(e.text.insert("vocab_size".into(), 9.into())), "[text]: `vocab_size` is 9");
    assert!(!folder.path().join("checked").exists() && !folder.path().join("hart").exists());
}
