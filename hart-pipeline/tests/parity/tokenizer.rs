//! The tokenizer: encoder, quantizer of both kinds, decoder.

use burn::tensor::{Int, Tensor, TensorData};
use hart_core::HartBackend;
use hart_core::checkpoint::Checkpoint;
use hart_core::config::AutoencoderConfig;
use hart_core::tap::Tap;
use hart_tokenizer::HybridTokenizer;
use hart_tokenizer::quantizer::to_tokens;
use libtest_mimic::Failed;

use crate::harness::{COMPONENT, Trace};

pub(crate) fn compare<B: HartBackend>(trace: &mut Trace, device: &B::Device) -> Result<(), Failed> {
    let model = trace.name.trim_start_matches("trace_tokenizer_").to_string();
    let folder = trace.folder.join(model).join("tokenizer");
    let config = AutoencoderConfig::open(folder.join("config.json"))?;
    let checkpoint = Checkpoint::open_folder(&folder)?;
    let tokenizer =
        HybridTokenizer::<B>::from_checkpoint(&config, &checkpoint, trace.options, device)?;
    let image: Tensor<B, 4> = trace.get("image").tensor(device);
    trace.given(&["image"]);

    let latent = tokenizer.encode_latent(image, &mut Activations(trace));
    trace.close("f", latent.to_data(), COMPONENT);
    compare_encoding(trace, &tokenizer, latent.clone())?;

    // Recorded before the move to [0, 1].
    let continuous = tokenizer.decode_latent(latent, &mut ()).clamp(-1.0, 1.0);
    trace.close("img_continuous", continuous.to_data(), COMPONENT);
    Ok(())
}

fn compare_encoding<B: HartBackend>(
    trace: &mut Trace,
    tokenizer: &HybridTokenizer<B>,
    latent: Tensor<B, 4>,
) -> Result<(), Failed> {
    let quantizer = &tokenizer.quantizer;
    let tokens = quantizer.encode(latent.clone());
    let last = quantizer.scales().last();
    for (scale, indices) in tokens.indices.iter().enumerate() {
        let found: Vec<i64> = indices.to_data().iter::<i64>().collect();
        // Both quantizers choose the same indices: they differ only after the last choice.
        for name in [format!("frest.idx.{scale}"), format!("idxbl.{scale}")] {
            trace.equal(&name, &found);
        }
    }
    trace.close("frest.rest", tokens.residual.to_data(), COMPONENT);
    let restored = quantizer.latent(&tokens).to_data();
    let latent: Vec<f64> = latent.to_data().iter::<f64>().collect();
    trace.compare("f", &restored.iter::<f64>().collect::<Vec<_>>(), &latent, COMPONENT);

    // From the recorded indices, so that one wrong index does not spoil everything behind it.
    let indices: Vec<Tensor<B, 2, Int>> =
        (0..=last).map(|scale| recorded_indices(trace, scale, &latent_device(tokenizer))).collect();
    let latents = quantizer.discrete_latents(&indices);
    for (scale, latent) in latents.iter().enumerate() {
        trace.close(&format!("fhat.{scale}"), latent.to_data(), COMPONENT);
        if scale == last {
            trace.close("embed_to_fhat_last", latent.to_data(), COMPONENT);
        } else {
            trace.close(&format!("ar.fhat.{scale}"), latent.to_data(), COMPONENT);
            let next = quantizer.scale_input(scale + 1, latent.clone());
            trace.close(&format!("ar.next.{scale}"), next.to_data(), COMPONENT);
        }
    }
    let sum = to_tokens(latents[last - 1].clone()) + tokens.residual;
    let side = quantizer.scales().latent_side();
    let sum = hart_tokenizer::quantizer::to_map(sum, side);
    trace.close("ar.fhat_final", sum.to_data(), COMPONENT);
    trace.close("var_input", quantizer.teacher_forcing(&indices).to_data(), COMPONENT);

    let decoded = tokenizer.decode_latent(latents[last].clone(), &mut Activations(trace));
    trace.close("dec_unclamped", decoded.to_data(), COMPONENT);
    trace.close("img", decoded.clamp(-1.0, 1.0).to_data(), COMPONENT);
    let decoded = tokenizer.decode_discrete(&indices)?;
    trace.check("pictures are in [0, 1]", {
        let data = decoded.to_data();
        data.iter::<f64>().all(|value| (0.0..=1.0).contains(&value))
    });
    Ok(())
}

fn latent_device<B: HartBackend>(tokenizer: &HybridTokenizer<B>) -> B::Device {
    tokenizer.quantizer.codebook.device()
}

fn recorded_indices<B: HartBackend>(
    trace: &Trace,
    scale: usize,
    device: &B::Device,
) -> Tensor<B, 2, Int> {
    let golden = trace.get(&format!("idxbl.{scale}"));
    Tensor::from_data(TensorData::new(golden.indices(), golden.shape.clone()), device)
}

/// Compares the activations that were recorded, those of the first image.
struct Activations<'a>(&'a mut Trace);

impl Tap for Activations<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        for name in [name.to_string(), format!("act.{name}")] {
            if self.0.has(&name) {
                self.0.close_leading(&name, data(), COMPONENT);
            }
        }
    }
}
