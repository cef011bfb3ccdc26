//! Losses and gradients of the tokenizer.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use hart_core::HartBackend;
use hart_core::checkpoint::Checkpoint;
use hart_tokenizer::quantizer::to_tokens;
use hart_tokenizer::{AutoencoderConfig, DecoderInput, HybridTokenizer, QuantizedLatent};
use libtest_mimic::Failed;

use crate::gradients::{compare_gradients, gradients_inside};
use crate::kinds::{LOSS, RECONSTRUCTION, TOKENIZER_GRADIENT};
use crate::models::model_folders;
use crate::trace::{Trace, values};

/// `trace_vq_train`: continuous and discrete latents are decoded, and all parts are trained or only
/// those after the quantizer.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let (config, tokenizer) = recorded_tokenizer::<Autodiff<B>>(trace, device)?;
    let images: Tensor<Autodiff<B>, 4> = trace.input("image")?.tensor(device);
    for case in trace.cases("", ".images") {
        let tokenizer = match case.split_once('.') {
            Some(("frozen", _)) => tokenizer.clone().freeze_latents(),
            _ => tokenizer.clone(),
        };
        let input = if case.ends_with("discrete") {
            DecoderInput::Discrete
        } else {
            DecoderInput::Continuous
        };
        let inputs = vec![input; images.dims()[0]];
        let found = tokenizer.reconstruct(images.clone(), &inputs, None, config.commitment)?;
        check_head_residual(trace, &tokenizer, images.clone(), &found.latent)?;
        trace.close(&RECONSTRUCTION, &format!("{case}.images"), found.images.to_data());
        let quantizer = found.latent.loss;
        let total = found.error.clone() + quantizer.clone();
        for (what, loss) in
            [("error", found.error), ("quantizer", quantizer), ("total", total.clone())]
        {
            trace.close_values(&LOSS, &format!("{case}.{what}"), &values(&loss));
        }
        let grads = total.backward();
        let found = gradients_inside(tokenizer, &grads, &hart_tokenizer::NAMES)?;
        compare_gradients::<B>(trace, &TOKENIZER_GRADIENT, &format!("{case}.grad."), &found)?;
    }
    Ok(())
}

/// The tokenizer whose sizes fit what was recorded.
fn recorded_tokenizer<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> Result<(AutoencoderConfig, HybridTokenizer<B>), Failed> {
    let image = &trace.input("image")?.shape;
    let codebook = trace.about("unfrozen.continuous.grad.quantize.embedding.weight");
    for folder in model_folders(&trace.folder) {
        let folder = folder.join("tokenizer");
        let config = AutoencoderConfig::open(folder.join("config.json"))?;
        let (size, codes) = (config.image_size(), [config.codebook_size, config.latent_channels]);
        let same_codes = codebook.is_none_or(|codebook| codebook.shape == codes);
        if image[2..] == [size.rows, size.columns] && same_codes {
            let weights = Checkpoint::open_folder(&folder)?;
            let options = trace.options;
            let tokenizer = HybridTokenizer::from_checkpoint(&config, &weights, options, device)?;
            return Ok((config, tokenizer));
        }
    }
    Err("no tokenizer of the folder has the recorded sizes".into())
}

/// What training takes for the residual head's share is what generation leaves to it.
fn check_head_residual<B: HartBackend>(
    trace: &Trace,
    tokenizer: &HybridTokenizer<Autodiff<B>>,
    images: Tensor<Autodiff<B>, 4>,
    found: &QuantizedLatent<Autodiff<B>>,
) -> Result<(), Failed> {
    let tokens = tokenizer.quantizer.encode(tokenizer.encode_latent(images, &mut ()));
    let last = tokens.indices.last().ok_or("there are no scales")?;
    let codes = tokenizer.quantizer.embed(last.clone());
    let expected = tokens.residual - codes;
    let found = to_tokens(found.head_residual.clone());
    let difference = (expected - found).abs().max().into_data().iter::<f64>().sum::<f64>();
    trace.check(&format!("the head's residual, off by {difference:.1e},"), difference <= 1e-5);
    Ok(())
}
