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
        if let [set, kind @ ("area" | "bicubic"), sides] = parts[..] {
            resize::<B>(trace, device, &name, set, kind, sides)?;
        }
    }
    rotary::compare::<B>(trace, device)?;
    sinusoid::compare::<B>(trace, device)?;
    norms::<B>(trace, device)?;
    lengths::<B>(trace, device)?;
    activations::<B>(trace, device)?;
    phi_selection(trace)
}

/// `<from>to<to>`, two sides of squares.
fn resize<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
    name: &str,
    set: &str,
    kind: &str,
    sides: &str,
) -> Result<(), Failed> {
    let (from, to) = sides.split_once("to").ok_or("a resizing without two sides")?;
    let sources = [format!("{set}.src{from}"), format!("{set}.up_src{from}")];
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
    let Some(weight) = trace.optional("rms.w") else { return Ok(()) };
    let weight: Tensor<B, 1> = weight.tensor(device);
    let norm = |x: Tensor<B, 3>| B::rms_norm(x, weight.clone(), 1e-6);
    let x: Tensor<B, 3> = trace.input("rms.x")?.tensor(device);
    trace.close(&NORMALIZED, "rms.out", norm(x.clone()).to_data());
    // Recorded for inputs too small to be seen beside epsilon.
    trace.close(&NORMALIZED, "rms.tiny_out", norm(x * 1e-4).to_data());
    let zero = norm(Tensor::zeros([1, 1, weight.dims()[0]], device));
    trace.close_values(&NORMALIZED, "rms.zero_out", &values(&zero));
    if !B::supports_dtype(device, DType::F16) {
        ["rms.fp16", "rms.weight_after_fp16"].iter().for_each(|name| trace.leave_out(name));
        return Ok(());
    }
    if let Some(x) = trace.optional("rms.fp16_x") {
        let x: Tensor<B, 3> = x.tensor(device);
        trace.close(&HALF, "rms.fp16_out", norm(x.cast(DType::F16)).to_data());
    }
    let rounded = values(&weight.cast(DType::F16));
    trace.close_values(&NORMALIZED, "rms.weight_after_fp16_call", &rounded);
    Ok(())
}

fn lengths<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let Some(x) = trace.optional("l2.x") else { return Ok(()) };
    trace.close(&NORMALIZED, "l2.out", unit_length(x.tensor::<B, 2>(device)).to_data());
    Ok(())
}

fn activations<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let Some(x) = trace.optional("act.x") else { return Ok(()) };
    let x = x.floats();
    let x: Tensor<B, 3> = Tensor::from_data(TensorData::new(x.clone(), [1, 1, x.len()]), device);
    trace.close_values(&ACTIVATION, "act.silu", &values(&silu(x.clone())));
    trace.close_values(&ACTIVATION, "act.silu", &values(&B::silu(x.clone())));
    trace.close_values(&ACTIVATION, "act.gelu_tanh", &values(&B::gelu_tanh(x)));
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
