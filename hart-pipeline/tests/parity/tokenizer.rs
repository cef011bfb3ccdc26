//! The tokenizer: encoder, quantizer of both kinds, decoder.

use burn::tensor::{Int, Tensor, TensorData};
use hart_core::HartBackend;
use hart_core::checkpoint::Checkpoint;
use hart_core::tap::Tap;
use hart_tokenizer::quantizer::{to_map, to_tokens};
use hart_tokenizer::{AutoencoderConfig, HybridTokenizer, HybridTokens};
use libtest_mimic::Failed;

use crate::kinds::{DECODER, ENCODER, Kind, QUANTIZER};
use crate::models::model_folder;
use crate::trace::{Trace, values};

/// `trace_tokenizer_*`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let folder = model_folder(&trace.folder, trace.case("trace_tokenizer_"))?.join("tokenizer");
    let config = AutoencoderConfig::open(folder.join("config.json"))?;
    let checkpoint = Checkpoint::open_folder(&folder)?;
    let tokenizer =
        HybridTokenizer::<B>::from_checkpoint(&config, &checkpoint, trace.options, device)?;

    let image = trace.input("image")?.tensor(device);
    let encoded = tokenizer.encode_latent(image, &mut Activations(trace, &ENCODER));
    trace.close(&ENCODER, "latent", encoded.to_data());
    let latent = trace.input("latent")?.tensor(device);
    compare_hybrid(trace, &tokenizer, latent.clone())?;
    let indices = recorded_indices::<B>(trace, "discrete.indices", device);
    if indices.len() == config.scales.count() {
        compare_discrete(trace, &tokenizer, &indices)?;
    }
    // Recorded before the move to [0, 1].
    let continuous = tokenizer.decode_latent(latent, &mut ()).clamp(-1.0, 1.0);
    trace.close(&DECODER, "continuous.image", continuous.to_data());
    Ok(())
}

/// The indices of all scales, as far as they were recorded.
fn recorded_indices<B: HartBackend>(
    trace: &Trace,
    name: &str,
    device: &B::Device,
) -> Vec<Tensor<B, 2, Int>> {
    let scales = (0..).map(|scale| trace.optional(&format!("{name}.{scale}")));
    scales.map_while(|golden| Some(golden?.ints(device))).collect()
}

/// The recorded latent as tokens of all scales and a residual, and back.
fn compare_hybrid<B: HartBackend>(
    trace: &Trace,
    tokenizer: &HybridTokenizer<B>,
    latent: Tensor<B, 4>,
) -> Result<(), Failed> {
    let (quantizer, device) = (&tokenizer.quantizer, latent.device());
    let tokens = quantizer.encode(latent);
    for (scale, indices) in tokens.indices.iter().enumerate() {
        let found: Vec<i64> = indices.to_data().iter::<i64>().collect();
        // Both quantizers choose the same indices: they differ only after the last choice.
        for kind in ["hybrid", "discrete"] {
            trace.equal(&format!("{kind}.indices.{scale}"), &found);
        }
    }
    trace.close(&QUANTIZER, "hybrid.residual", tokens.residual.to_data());
    // From what was recorded, so that one wrong index does not spoil everything behind it.
    let tokens = HybridTokens {
        indices: recorded_indices(trace, "hybrid.indices", &device),
        residual: trace.input("hybrid.residual")?.tensor(&device),
    };
    let restored = quantizer.latent(&tokens).to_data();
    trace.close(&QUANTIZER, "latent", restored.clone());
    trace.close(&QUANTIZER, "hybrid.latent", restored);
    Ok(())
}

/// The latent after every scale of the recorded indices, and the image of the last.
fn compare_discrete<B: HartBackend>(
    trace: &Trace,
    tokenizer: &HybridTokenizer<B>,
    indices: &[Tensor<B, 2, Int>],
) -> Result<(), Failed> {
    let quantizer = &tokenizer.quantizer;
    let (device, last) = (indices[0].device(), quantizer.scales().last());
    for (scale, latent) in quantizer.discrete_latents(indices).into_iter().enumerate() {
        trace.close(&QUANTIZER, &format!("discrete.latent.{scale}"), latent.to_data());
        if scale == last {
            trace.close(&QUANTIZER, "discrete.latent", latent.to_data());
        } else {
            let recorded = format!("generated.latent.{scale}");
            trace.close(&QUANTIZER, &recorded, latent.to_data());
            let latent = trace.input(&recorded)?.tensor(&device);
            let next = quantizer.scale_input(scale + 1, latent);
            trace.close(&QUANTIZER, &format!("generated.next_input.{scale}"), next.to_data());
        }
    }
    trace.close(&QUANTIZER, "images_so_far", quantizer.teacher_forcing(indices).to_data());

    let latent = trace.input(&format!("discrete.latent.{last}"))?.tensor(&device);
    // Tokens and maps are two views of the same values.
    let grid = quantizer.scales().latent();
    let mapped = to_map(to_tokens::<B>(latent.clone()), grid);
    trace.check("maps survive tokens", values(&mapped) == values(&latent));
    let decoded = tokenizer.decode_latent(latent, &mut Activations(trace, &DECODER));
    trace.close(&DECODER, "decoded", decoded.to_data());
    let image = tokenizer.decode_discrete(indices)? * 2.0 - 1.0;
    trace.close(&DECODER, "discrete.image", image.to_data());
    Ok(())
}

/// Compares the activations that were recorded; some recordings hold those of the first image alone.
struct Activations<'a>(&'a Trace, &'static Kind);

impl Tap for Activations<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        let Some(golden) = self.0.about(name) else { return };
        let found = data();
        let shape = found.shape.to_vec();
        if shape.get(1..) != golden.shape.get(1..) || shape[0] < golden.shape[0] {
            return self.0.close(self.1, name, found);
        }
        let values: Vec<f64> = found.iter::<f64>().take(golden.values.len()).collect();
        self.0.close_values(self.1, name, &values);
    }
}
