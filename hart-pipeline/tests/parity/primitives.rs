//! Resizing, norms, activations, and which convolution a scale uses; rotary tables and sinusoids are
//! in files of their own.

use burn::tensor::activation::silu;
use burn::tensor::{DType, Tensor, TensorData};
use hart_core::ops::unit_length;
use hart_core::{Grid, HartBackend};
use hart_tokenizer::SharedConvolutions;
use hart_tokenizer::quantizer::select_convolutions;
use hart_tokenizer::resize::Resize;
use libtest_mimic::Failed;

use crate::kinds::{ACTIVATION, HALF, NORMALIZED, RESIZED};
use crate::trace::{Trace, values};
use crate::{rotary, sinusoid};

/// `trace_primitives`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    for name in trace.names() {
        let parts: Vec<&str> = name.split('.').collect();
        if let [set, kind @ ("area" | "bicubic"), from, to] = parts[..] {
            resize::<B>(trace, device, &name, [set, kind, from, to])?;
        }
    }
    rotary::compare::<B>(trace, device)?;
    sinusoid::compare::<B>(trace, device)?;
    norms::<B>(trace, device)?;
    lengths::<B>(trace, device)?;
    activations::<B>(trace, device)?;
    phi_selection(trace)
}

/// A set of sources, how they are resized, and the sides of squares from and to which.
fn resize<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
    name: &str,
    [set, kind, from, to]: [&str; 4],
) -> Result<(), Failed> {
    let sources = [format!("{set}.source.{from}"), format!("{set}.small.{from}")];
    // Shrinking reads the source of full size, growing that of the side itself.
    let grows = kind == "bicubic" && trace.about(&sources[1]).is_some();
    let source = trace.input(&sources[usize::from(grows)])?.tensor::<B, 4>(device);
    let (from, to) = (Grid::square(from.parse()?), Grid::square(to.parse()?));
    let resize = match kind {
        "area" => Resize::area(from, to, device),
        _ => Resize::bicubic(from, to, device),
    };
    trace.close(&RESIZED, name, resize.apply(source).to_data());
    Ok(())
}

fn norms<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let Some(weight) = trace.optional("norm.weight") else { return Ok(()) };
    let weight: Tensor<B, 1> = weight.tensor(device);
    let norm = |x: Tensor<B, 3>| B::rms_norm(x, weight.clone(), 1e-6);
    let x: Tensor<B, 3> = trace.input("norm.input")?.tensor(device);
    trace.close(&NORMALIZED, "norm.output", norm(x.clone()).to_data());
    // Recorded for inputs too small to be seen beside epsilon.
    trace.close(&NORMALIZED, "norm.output.tiny", norm(x * 1e-4).to_data());
    let zero = norm(Tensor::zeros([1, 1, weight.dims()[0]], device));
    trace.close_values(&NORMALIZED, "norm.output.zero", &values(&zero));
    if !B::supports_dtype(device, DType::F16) {
        trace.leave_out("norm.half.");
        return Ok(());
    }
    if let Some(x) = trace.optional("norm.half.input") {
        let x: Tensor<B, 3> = x.tensor(device);
        trace.close(&HALF, "norm.half.output", norm(x.cast(DType::F16)).to_data());
    }
    let rounded = values(&weight.cast(DType::F16));
    trace.close_values(&NORMALIZED, "norm.half.weight", &rounded);
    Ok(())
}

fn lengths<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let Some(x) = trace.optional("length.input") else { return Ok(()) };
    trace.close(&NORMALIZED, "length.output", unit_length(x.tensor::<B, 2>(device)).to_data());
    Ok(())
}

fn activations<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let Some(x) = trace.optional("activation.input") else { return Ok(()) };
    let x = x.floats();
    let x: Tensor<B, 3> = Tensor::from_data(TensorData::new(x.clone(), [1, 1, x.len()]), device);
    trace.close_values(&ACTIVATION, "activation.silu", &values(&silu(x.clone())));
    trace.close_values(&ACTIVATION, "activation.silu", &values(&B::silu(x.clone())));
    trace.close_values(&ACTIVATION, "activation.gelu", &values(&B::gelu_tanh(x)));
    Ok(())
}

fn phi_selection(trace: &Trace) -> Result<(), Failed> {
    let Some(table) = trace.json["phi_select"].as_object() else { return Ok(()) };
    for (key, expected) in table {
        let Some((count, scales)) = key.trim_start_matches('K').split_once(".S") else { continue };
        let found =
            select_convolutions(SharedConvolutions::Partly(count.parse()?), scales.parse()?);
        trace.check(&format!("phi_select {key}"), serde_json::json!(found) == *expected);
    }
    Ok(())
}
