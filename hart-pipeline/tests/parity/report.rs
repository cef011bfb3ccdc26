//! What all trials of a backend found: how many tensors, and how far off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::kinds::Kind;
use crate::trace::Verdict;

/// Asks for the table of differences.
const TABLE: &str = "HART_PARITY_TABLE";

/// Counts and differences of every backend.
#[derive(Clone, Default)]
pub(crate) struct Report(Arc<Mutex<BTreeMap<&'static str, Counts>>>);

#[derive(Default)]
struct Counts {
    traces: usize,
    compared: usize,
    inputs: usize,
    largest: BTreeMap<&'static Kind, f64>,
}

impl Report {
    /// Counts one trace; of one that failed the differences alone.
    pub(crate) fn add(&self, backend: &'static str, verdict: &Verdict) {
        let mut all = self.0.lock().expect("no trial panics while counting");
        let counts = all.entry(backend).or_default();
        if verdict.problems.is_empty() {
            counts.traces += 1;
            counts.compared += verdict.compared.len();
            counts.inputs += verdict.inputs.len();
        }
        for (&kind, &difference) in &verdict.largest {
            let largest = counts.largest.entry(kind).or_default();
            if difference.is_nan() || difference > *largest {
                *largest = difference;
            }
        }
    }

    /// One line a backend, and the table if it was asked for.
    pub(crate) fn print(&self) {
        let all = self.0.lock().expect("all trials are over");
        if std::env::var_os(TABLE).is_some_and(|value| !value.is_empty() && value != "0") {
            print_table(&all);
        }
        for (backend, Counts { traces, compared, inputs, .. }) in all.iter() {
            println!(
                "parity on {backend}: {traces} traces, {compared} tensors compared, {inputs} inputs"
            );
        }
    }
}

/// For every kind of tensor the tolerance, and the largest difference on each backend.
fn print_table(all: &BTreeMap<&'static str, Counts>) {
    let kinds: BTreeSet<&Kind> =
        all.values().flat_map(|counts| counts.largest.keys().copied()).collect();
    let columns: Vec<String> = all.keys().map(|backend| format!("{backend:>13}")).collect();
    println!("{:36} {:>8} {}", "kind of tensor", "accepted", columns.join(" "));
    for kind in kinds {
        let largest = all.values().map(|counts| match counts.largest.get(kind) {
            Some(difference) => format!("{difference:>13.1e}"),
            None => format!("{:>13}", "-"),
        });
        let largest: Vec<String> = largest.collect();
        println!("{:36} {:>8.0e} {}", kind.name, kind.tolerance, largest.join(" "));
    }
}
