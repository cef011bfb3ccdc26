//! Resizing, rotary tables, sinusoids, norms and activations.

use burn::tensor::activation::silu;
use burn::tensor::{DType, Tensor, TensorData};
use hart_core::HartBackend;
use hart_core::config::SharedConvolutions;
use hart_core::nn::{Angles, context_angles, sinusoid, visual_angles, visual_positions};
use hart_core::ops::unit_length;
use hart_core::resize::Resize;
use hart_tokenizer::quantizer::select_convolutions;
use libtest_mimic::Failed;

use crate::harness::{COMPONENT, Trace};

pub(crate) fn compare<B: HartBackend>(trace: &mut Trace, device: &B::Device) -> Result<(), Failed> {
    for name in trace.names() {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            [set, kind @ ("area" | "bicubic"), sides] => {
                resize::<B>(trace, device, &name, set, kind, sides)
            }
            ["coord1d", side] => {
                let side: usize = side.trim_start_matches("pn").parse()?;
                let found = visual_positions(side, latent_side(trace, "coord1d.pn"));
                let found: Vec<f64> = found.into_iter().map(f64::from).collect();
                trace.close_values(&name, &found, COMPONENT);
            }
            ["rope1d", width, kind @ ("cos" | "sin")] => {
                let width: usize = width.trim_start_matches("hd").parse()?;
                let angles = context_angles(&trace.get("rope1d.pos").indices(), width, 10_000.0);
                trigonometric(trace, &name, &angles, kind);
            }
            ["rope2d", width, side, kind @ ("cos" | "sin")] => {
                let width: usize = width.trim_start_matches("hd").parse()?;
                rope2d(trace, &name, width, side, kind)?;
            }
            ["rope2d", side, "pos"] => rope2d_positions(trace, &name, side)?,
            ["rope2d_full", side, kind @ ("cos" | "sin")] => rope2d_full(trace, &name, side, kind)?,
            ["tstep", kind] if *kind != "t" => {
                let times = trace.get("tstep.t").values.clone();
                let width = trace.get(&name).shape[1];
                trace.close(&name, sinusoid::<B>(&times, width, device).to_data(), COMPONENT);
            }
            _ => {}
        }
    }
    apply_rotation::<B>(trace, device);
    norms::<B>(trace, device);
    activations::<B>(trace, device);
    phi_selection(trace)?;
    let given: Vec<String> = trace
        .names()
        .into_iter()
        .filter(|name| {
            let last = name.rsplit('.').next().unwrap_or_default();
            last.starts_with("src")
                || last.starts_with("up_src")
                || ["pos", "rows", "t", "x", "w", "q", "k", "fp16_x"].contains(&last)
        })
        .collect();
    trace.given(&given.iter().map(String::as_str).collect::<Vec<_>>());
    trace.given(&["rms.weight_after_fp16_call"]);
    Ok(())
}

/// The largest side recorded under a name: that of the latent.
fn latent_side(trace: &Trace, beginning: &str) -> usize {
    let names = trace.names();
    let sides = names.iter().filter_map(|name| name.strip_prefix(beginning)?.parse().ok());
    sides.max().expect("a side")
}

fn resize<B: HartBackend>(
    trace: &mut Trace,
    device: &B::Device,
    name: &str,
    set: &str,
    kind: &str,
    sides: &str,
) {
    let (from, to) = sides.split_once("to").expect("two sides");
    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
    let candidates = [format!("{set}.src{from}"), format!("{set}.up_src{from}")];
    let shape = trace.get(name).shape.clone();
    // Shrinking reads the source of full size, growing that of the side itself.
    let source = match kind {
        "area" => &candidates[0],
        _ if trace.has(&candidates[1]) => &candidates[1],
        _ => &candidates[0],
    };
    let source: Tensor<B, 4> = trace.get(source).tensor(device);
    let resize = match kind {
        "area" => Resize::area(from, to, device),
        _ => Resize::bicubic(from, to, device),
    };
    let resized = resize.apply(source);
    assert_eq!(resized.dims().to_vec(), shape, "{name}");
    trace.close(name, resized.to_data(), COMPONENT);
}

fn trigonometric(trace: &mut Trace, name: &str, angles: &[f32], kind: &str) {
    let f = if kind == "cos" { f32::cos } else { f32::sin };
    let found: Vec<f64> = angles.iter().map(|&angle| f64::from(f(angle))).collect();
    trace.close_values(name, &found, COMPONENT);
}

/// The recorded positions give the side of the latent and the offset of each row of the batch.
fn rope2d_layout(trace: &Trace, side: &str) -> (usize, usize, Vec<i64>) {
    let count: usize = side.trim_start_matches("pn").parse().expect("a side");
    let positions = trace.get(&format!("rope2d.{side}.pos"));
    let [batch, tokens, _] = positions.shape[..] else { panic!("positions of another rank") };
    let offsets = (0..batch).map(|row| positions.values[row * tokens * 2] as i64).collect();
    // The step from one row of cells to the next is latent side / side.
    let step = positions.values[2 * count] - positions.values[0];
    (count, (step * count as f64).round() as usize, offsets)
}

fn rope2d(
    trace: &mut Trace,
    name: &str,
    width: usize,
    side: &str,
    kind: &str,
) -> Result<(), Failed> {
    let (count, latent, offsets) = rope2d_layout(trace, side);
    let cells: Vec<usize> = (0..count * count).collect();
    let angles = offsets.into_iter().flat_map(|o| visual_angles(&cells, count, latent, o, width));
    trigonometric(trace, name, &angles.collect::<Vec<_>>(), kind);
    Ok(())
}

fn rope2d_positions(trace: &mut Trace, name: &str, side: &str) -> Result<(), Failed> {
    let (count, latent, offsets) = rope2d_layout(trace, side);
    let coordinates = visual_positions(count, latent);
    let mut found = vec![];
    for offset in offsets {
        for cell in 0..count * count {
            for coordinate in [coordinates[cell / count], coordinates[cell % count]] {
                found.push(f64::from(coordinate + offset as f32));
            }
        }
    }
    trace.close_values(name, &found, COMPONENT);
    Ok(())
}

/// Some rows of a table of the released size.
fn rope2d_full(trace: &mut Trace, name: &str, side: &str, kind: &str) -> Result<(), Failed> {
    let count: usize = side.trim_start_matches("pn").parse()?;
    let rows = trace.get(&format!("rope2d_full.{side}.rows")).indices();
    let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
    let width = *trace.get(name).shape.last().ok_or("a table without a shape")?;
    let latent = latent_side(trace, "coord1d.pn");
    // The offset of the recording is not stored: the first row, of cell (0, 0), tells its angle.
    let expected = trace.get(name).values.clone();
    let matches = |offset: &i64| {
        let angles = visual_angles(&rows, count, latent, *offset, width);
        let f = if kind == "cos" { f32::cos } else { f32::sin };
        angles.iter().zip(&expected).all(|(&a, e)| (f64::from(f(a)) - e).abs() < 2e-4)
    };
    let offset = (-1..400).find(matches).unwrap_or(0);
    trigonometric(trace, name, &visual_angles(&rows, count, latent, offset, width), kind);
    Ok(())
}

fn apply_rotation<B: HartBackend>(trace: &mut Trace, device: &B::Device) {
    let names = trace.names();
    let applied = names.iter().filter_map(|name| name.strip_suffix(".q_rot"));
    for beginning in applied.map(str::to_string).collect::<Vec<_>>() {
        let side = beginning.rsplit('_').next().expect("a side").to_string();
        let (count, latent, offsets) = rope2d_layout(trace, &side);
        let shape = trace.get(&format!("{beginning}.q")).shape.clone();
        let cells: Vec<usize> = (0..count * count).collect();
        let angles: Vec<f32> = offsets
            .iter()
            .flat_map(|o| visual_angles(&cells, count, latent, *o, shape[3]))
            .collect();
        let angles = Angles::<B>::new(&angles, [shape[0], shape[2], shape[3]], device);
        for kind in ["q", "k"] {
            let x = trace.get(&format!("{beginning}.{kind}")).tensor(device);
            let rotated = B::rotate(x, angles.cos.clone(), angles.sin.clone());
            trace.close(&format!("{beginning}.{kind}_rot"), rotated.to_data(), COMPONENT);
        }
    }
}

fn norms<B: HartBackend>(trace: &mut Trace, device: &B::Device) {
    let weight: Tensor<B, 1> = trace.get("rms.w").tensor(device);
    let x: Tensor<B, 3> = trace.get("rms.x").tensor(device);
    let norm = |x: Tensor<B, 3>| B::rms_norm(x, weight.clone(), 1e-6).to_data();
    trace.close("rms.out", norm(x.clone()), COMPONENT);
    // Recorded for inputs too small to be seen beside epsilon.
    trace.close("rms.tiny_out", norm(x.clone() * 1e-4), COMPONENT);
    let zero = norm(Tensor::zeros([1, 1, weight.dims()[0]], device));
    trace.close_values("rms.zero_out", &zero.iter::<f64>().collect::<Vec<_>>(), COMPONENT);
    if B::supports_dtype(device, DType::F16) {
        let x: Tensor<B, 3> = trace.get("rms.fp16_x").tensor(device);
        // One rounding in half precision is 2^-11 of the value.
        trace.close("rms.fp16_out", norm(x.cast(DType::F16)), 5e-4);
    } else {
        trace.given(&["rms.fp16_out"]);
    }
    let x: Tensor<B, 2> = trace.get("l2.x").tensor(device);
    trace.close("l2.out", unit_length(x).to_data(), COMPONENT);
}

fn activations<B: HartBackend>(trace: &mut Trace, device: &B::Device) {
    let x = trace.get("act.x").floats();
    let x: Tensor<B, 3> = Tensor::from_data(TensorData::new(x.clone(), [1, 1, x.len()]), device);
    let values = |x: Tensor<B, 3>| x.to_data().iter::<f64>().collect::<Vec<_>>();
    trace.close_values("act.silu", &values(silu(x.clone())), COMPONENT);
    trace.close_values("act.gelu_tanh", &values(B::gelu_tanh(x)), COMPONENT);
}

fn phi_selection(trace: &mut Trace) -> Result<(), Failed> {
    let table = trace.json["phi_select"].as_object().ok_or("no phi_select")?.clone();
    for (key, expected) in table {
        let Some((count, scales)) = key.trim_start_matches('K').split_once(".S") else { continue };
        let found =
            select_convolutions(SharedConvolutions::Partly(count.parse()?), scales.parse()?);
        trace.check(&format!("phi_select {key}"), serde_json::json!(found) == expected);
    }
    Ok(())
}
