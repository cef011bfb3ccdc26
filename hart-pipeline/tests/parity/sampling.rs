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
    for name in trace.names() {
        if let Some((top_k, top_p)) = filter_case(&name) {
            compare_filter(trace, &name, &rows, top_k, top_p);
        } else if let Some(tau) = name.strip_prefix("gumbel.tau") {
            compare_smooth(trace, &name, &rows, tau)?;
        }
    }
    Ok(())
}

/// `k<k>_p<p>.probs` or `.kept`.
fn filter_case(name: &str) -> Option<(usize, f64)> {
    let (case, _) = name.rsplit_once('.')?;
    let (k, p) = case.strip_prefix('k')?.split_once("_p")?;
    Some((k.parse().ok()?, p.parse().ok()?))
}

fn compare_filter(trace: &Trace, name: &str, rows: &[&[f32]], top_k: usize, top_p: f64) {
    let Some(recorded) = trace.about(name) else { return };
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
}

fn has_ties(logits: &[f32], top_k: usize) -> bool {
    let mut sorted: Vec<f32> = filter(logits, top_k, 0.0).iter().map(|&(_, logit)| logit).collect();
    sorted.sort_by(f32::total_cmp);
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn compare_smooth(trace: &Trace, name: &str, rows: &[&[f32]], tau: &str) -> Result<(), Failed> {
    let (tau, noisy) = match tau.strip_suffix(".soft_zero_noise") {
        Some(tau) => (tau, 0.0),
        None => (tau.strip_suffix(".soft").ok_or("an unknown tensor")?, 1.0),
    };
    let smoothing = Smoothing { factor: 1.0, temperature: tau.parse()? };
    let noise = trace.input("gumbel.noise")?.floats();
    let noise = noise.chunks_exact(rows[0].len());
    let found = rows.iter().zip(noise).flat_map(|(logits, noise)| {
        let noise: Vec<f32> = noise.iter().map(|value| value * noisy).collect();
        smooth_weights(&filter(logits, 0, 0.0), smoothing, &noise)
    });
    let found: Vec<f64> = found.map(f64::from).collect();
    trace.close_values(&SMOOTH, name, &found);
    Ok(())
}
