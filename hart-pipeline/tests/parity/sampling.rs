//! Top-k, top-p and smooth sampling of recorded logits.

use hart_ar::sampling::{Smoothing, filter, smooth_weights};
use hart_core::HartBackend;
use libtest_mimic::Failed;

use crate::kinds::{FILTERED, INDICES, SMOOTH};
use crate::trace::Trace;

/// `trace_sampling`.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, _: &B::Device) -> Result<(), Failed> {
    let golden = trace.input("logits")?;
    let entries = *golden.shape.last().ok_or("logits without a shape")?;
    let logits = golden.floats();
    let rows: Vec<&[f32]> = logits.chunks_exact(entries).collect();
    for case in trace.cases("top.", ".probabilities") {
        compare_filter(trace, &format!("top.{case}.probabilities"), &rows, &case)?;
    }
    for case in trace.cases("top.", ".kept") {
        compare_filter(trace, &format!("top.{case}.kept"), &rows, &case)?;
    }
    for (what, factor) in [("noisy", 1.0), ("silent", 0.0)] {
        for temperature in trace.cases("smooth.", &format!(".{what}")) {
            let name = format!("smooth.{temperature}.{what}");
            compare_smooth(trace, &name, &rows, temperature.parse()?, factor)?;
        }
    }
    Ok(())
}

/// `<k>.<p>`: top-k, then top-p.
fn compare_filter(trace: &Trace, name: &str, rows: &[&[f32]], case: &str) -> Result<(), Failed> {
    let (top_k, top_p) = case.split_once('.').ok_or("a filter without two numbers")?;
    let (top_k, top_p) = (top_k.parse()?, top_p.parse()?);
    let Some(recorded) = trace.about(name) else { return Ok(()) };
    let (mut found, mut expected) = (vec![], vec![]);
    for (logits, recorded) in rows.iter().zip(recorded.values.chunks_exact(rows[0].len())) {
        // Among exact ties top-p may keep any: the choice depends on the sort.
        if top_p > 0.0 && has_ties(logits, top_k) {
            continue;
        }
        let kept = filter(logits, top_k, top_p);
        let mut row = vec![0.0; logits.len()];
        if name.ends_with("kept") {
            kept.iter().for_each(|&(index, _)| row[index] = 1.0);
        } else {
            let plain = Smoothing { factor: 1.0, temperature: 1.0 };
            let weights = smooth_weights(&kept, plain, &vec![0.0; logits.len()]);
            kept.iter().zip(weights).for_each(|(&(index, _), w)| row[index] = f64::from(w));
        }
        found.extend(row);
        expected.extend_from_slice(recorded);
    }
    trace.compare(
        if name.ends_with("kept") { &INDICES } else { &FILTERED },
        name,
        &found,
        &expected,
    );
    Ok(())
}

fn has_ties(logits: &[f32], top_k: usize) -> bool {
    let mut sorted: Vec<f32> = filter(logits, top_k, 0.0).iter().map(|&(_, logit)| logit).collect();
    sorted.sort_by(f32::total_cmp);
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// Smooth sampling with the recorded noise times a factor.
fn compare_smooth(
    trace: &Trace,
    name: &str,
    rows: &[&[f32]],
    temperature: f64,
    factor: f32,
) -> Result<(), Failed> {
    let smoothing = Smoothing { factor: 1.0, temperature };
    let noise = trace.input("smooth.noise")?.floats();
    let noise = noise.chunks_exact(rows[0].len());
    let found = rows.iter().zip(noise).flat_map(|(logits, noise)| {
        let noise: Vec<f32> = noise.iter().map(|value| value * factor).collect();
        smooth_weights(&filter(logits, 0, 0.0), smoothing, &noise)
    });
    let found: Vec<f64> = found.map(f64::from).collect();
    trace.close_values(&SMOOTH, name, &found);
    Ok(())
}
