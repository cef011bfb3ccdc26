//! Sinusoids of times and levels.

use hart_core::HartBackend;
use hart_core::nn::sinusoid;
use libtest_mimic::Failed;

use crate::kinds::SINUSOID;
use crate::trace::{Trace, values};

/// One of this many frequencies may be a unit in the last place off: the exponential that the
/// recordings were made with is not correctly rounded for 2 of 128.
const ROUNDED_OTHERWISE: usize = 64;

/// The sinusoids of the recorded times.
pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    for case in trace.cases("sinusoid.of.", "") {
        let name = format!("sinusoid.of.{case}");
        let [_, width] = trace.about(&name).map_or(vec![], |golden| golden.shape.clone())[..]
        else {
            continue;
        };
        let times = trace.input("sinusoid.times")?.values.clone();
        let found = values(&sinusoid::<B>(&times, width, device));
        compare_table(trace, &name, &found, &times, width);
    }
    Ok(())
}

/// Every entry within the tolerance; those of a few frequencies as far as one unit in the last place
/// of the frequency moves the angle at that time, which is a product rounded once more. More
/// frequencies than that, or farther, is the error of frequencies computed in another precision: in 64
/// bits 34 of 128 are off by more than the tolerance, up to 6e-5 at time 999.
fn compare_table(trace: &Trace, name: &str, found: &[f64], times: &[f64], width: usize) {
    trace.count(name);
    let expected = trace.about(name).map_or(&[][..], |golden| &golden.values);
    if found.len() != expected.len() {
        return trace.problem(name, &format!("{} values", found.len()));
    }
    let half = width / 2;
    let mut columns = vec![0.0f64; half + width % 2];
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let (time, entry) = (times[i / width], i % width);
        let column = if entry < 2 * half { entry % half } else { half };
        let difference = (found - expected).abs();
        columns[column] = columns[column].max(difference);
        let frequency = 10_000f64.powf(-(column as f64) / half as f64);
        let moved = time * last_place(frequency) + last_place(time * frequency);
        if difference.is_nan() || difference > SINUSOID.tolerance + moved {
            trace.problem(name, &format!("time {time}, entry {entry}: off by {difference:.2e}"));
        }
    }
    columns.sort_by(|a, b| b.total_cmp(a));
    let excused = half.div_ceil(ROUNDED_OTHERWISE);
    let largest = columns.get(excused).copied().unwrap_or(0.0);
    trace.measure(&SINUSOID, largest);
    if largest > SINUSOID.tolerance {
        let beyond = columns.iter().filter(|&&d| d > SINUSOID.tolerance).count();
        let text = format!("{beyond} of {half} frequencies are off, up to {:.2e}", columns[0]);
        trace.problem(name, &text);
    }
}

/// A unit in the last place of a value in 32 bits.
fn last_place(value: f64) -> f64 {
    let value = value as f32;
    f64::from(value.next_up()) - f64::from(value)
}
