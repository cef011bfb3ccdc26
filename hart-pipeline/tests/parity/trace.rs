//! A trace: its tensors, what has been compared with them, and what was only put in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData, backend::Backend};
use hart_core::checkpoint::LoadOptions;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::fixtures::Golden;
use crate::kinds::{INDICES, Kind};

/// A recording that is being compared.
///
/// Looking a tensor up as an input counts it as an input, comparing it counts it as compared; what
/// was neither is a problem in the end. Comparisons take the trace by shared reference: hooks and
/// taps of the same generation compare with it.
pub(crate) struct Trace {
    /// Its name, the file without its ending.
    pub(crate) name: String,
    /// The fixtures folder.
    pub(crate) folder: PathBuf,
    /// The settings recorded beside the tensors.
    pub(crate) json: Value,
    /// How models are loaded.
    pub(crate) options: LoadOptions,
    tensors: BTreeMap<String, Golden>,
    verdict: RefCell<Verdict>,
}

/// What came out of comparing a trace.
#[derive(Default)]
pub(crate) struct Verdict {
    /// The tensors that something computed was compared with.
    pub(crate) compared: BTreeSet<String>,
    /// The tensors that something was computed from.
    pub(crate) inputs: BTreeSet<String>,
    /// The largest relative difference of every kind of tensor.
    pub(crate) largest: BTreeMap<&'static Kind, f64>,
    /// Everything that was wrong.
    pub(crate) problems: Vec<String>,
    left_out: BTreeSet<String>,
}

impl Trace {
    pub(crate) fn new(
        name: &str,
        folder: &Path,
        json: Value,
        options: LoadOptions,
        tensors: Vec<(String, Golden)>,
    ) -> Self {
        let (name, folder) = (name.to_string(), folder.to_path_buf());
        let mut verdict = Verdict::default();
        let mut named: BTreeMap<String, Golden> = BTreeMap::new();
        for (name, golden) in tensors {
            if let Some(other) = named.insert(name.clone(), golden) {
                verdict.problems.push(format!("{} is also called {name}", other.recorded));
            }
        }
        Self { name, folder, json, options, tensors: named, verdict: RefCell::new(verdict) }
    }

    /// The part of the name behind the kind.
    pub(crate) fn case(&self, kind: &str) -> &str {
        self.name.strip_prefix(kind).unwrap_or(&self.name)
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// What stands for `*` in the names of the form `before*after`, each once.
    pub(crate) fn cases(&self, before: &str, after: &str) -> Vec<String> {
        let names = self.tensors.keys();
        let case =
            |name: &String| name.strip_prefix(before)?.strip_suffix(after).map(str::to_string);
        names.filter_map(case).collect()
    }

    /// A tensor to read a shape from, which counts as nothing.
    pub(crate) fn about(&self, name: &str) -> Option<&Golden> {
        self.tensors.get(name)
    }

    /// A tensor that something is computed from, if it was recorded.
    pub(crate) fn optional(&self, name: &str) -> Option<&Golden> {
        let golden = self.tensors.get(name)?;
        self.verdict.borrow_mut().inputs.insert(name.to_string());
        Some(golden)
    }

    /// A tensor that something is computed from, without which there is nothing to compare.
    pub(crate) fn input(&self, name: &str) -> Result<&Golden, Failed> {
        let missing = || format!("{} has no tensor {name}", self.name);
        Ok(self.optional(name).ok_or_else(missing)?)
    }

    /// Leaves out the tensors whose names begin with `beginning`: another trial compares them, or
    /// the device cannot compute them. They are not counted.
    pub(crate) fn leave_out(&self, beginning: &str) {
        let names = self.tensors.keys().filter(|name| name.starts_with(beginning));
        self.verdict.borrow_mut().left_out.extend(names.cloned());
    }

    /// Compares a result with the recorded tensor `name`, if there is one: equal shapes, and no
    /// value further off than the kind's share of the tensor's largest magnitude.
    pub(crate) fn close(&self, kind: &'static Kind, name: &str, found: TensorData) {
        let Some(golden) = self.tensors.get(name) else { return };
        let shape = found.shape.to_vec();
        if shape != golden.shape {
            self.count(name);
            self.problem(name, &format!("shape {shape:?}, expected {:?}", golden.shape));
            return;
        }
        self.close_values(kind, name, &found.iter::<f64>().collect::<Vec<_>>());
    }

    /// As [`Self::close`] for values without a shape, in the recorded order.
    pub(crate) fn close_values(&self, kind: &'static Kind, name: &str, found: &[f64]) {
        let Some(golden) = self.tensors.get(name) else { return };
        self.close_part(kind, name, found, 0..golden.values.len());
    }

    /// Compares values with a part of the recorded ones, with the largest magnitude of that part.
    pub(crate) fn close_part(
        &self,
        kind: &'static Kind,
        name: &str,
        found: &[f64],
        part: Range<usize>,
    ) {
        let Some(golden) = self.tensors.get(name) else { return };
        self.compare(kind, name, found, &golden.values[part]);
    }

    /// Compares any values with those expected, under the name of a recorded tensor.
    pub(crate) fn compare(&self, kind: &'static Kind, name: &str, found: &[f64], expected: &[f64]) {
        let magnitude = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        self.compare_over(kind, name, found, expected, magnitude);
    }

    /// The same over another magnitude than that of the expected values: that of the tensor that
    /// they were taken from.
    pub(crate) fn compare_over(
        &self,
        kind: &'static Kind,
        name: &str,
        found: &[f64],
        expected: &[f64],
        magnitude: f64,
    ) {
        self.count(name);
        if found.len() != expected.len() {
            let (found, expected) = (found.len(), expected.len());
            return self.problem(name, &format!("{found} values, expected {expected}"));
        }
        let magnitude = magnitude.max(1e-12);
        let relative = largest_difference(found, expected) / magnitude;
        self.measure(kind, relative);
        if relative.is_nan() || relative > kind.tolerance {
            let accepted = kind.tolerance;
            let kind = kind.name;
            let text = format!("off by {relative:.2e} of {magnitude:.3e}, accepted {accepted:.0e}");
            self.problem(name, &format!("{text} ({kind})"));
        }
    }

    /// Compares indices or masks, which must be equal.
    pub(crate) fn equal(&self, name: &str, found: &[i64]) {
        let Some(golden) = self.tensors.get(name) else { return };
        self.count(name);
        let expected = golden.indices();
        let wrong = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
        self.measure(&INDICES, wrong as f64 / expected.len().max(1) as f64);
        if found != expected {
            let (found, expected) = (found.len(), expected.len());
            self.problem(name, &format!("{wrong} of {expected} differ ({found} found)"));
        }
    }

    /// A statement that has no tensor of its own, such as a value of the JSON file.
    pub(crate) fn check(&self, what: &str, holds: bool) {
        if !holds {
            self.problem(what, "does not hold");
        }
    }

    /// Counts a tensor as compared.
    pub(crate) fn count(&self, name: &str) {
        self.verdict.borrow_mut().compared.insert(name.to_string());
    }

    /// Notes a difference of a kind of tensor for the table.
    pub(crate) fn measure(&self, kind: &'static Kind, difference: f64) {
        let largest = &mut self.verdict.borrow_mut().largest;
        let so_far = largest.entry(kind).or_default();
        if difference.is_nan() || difference > *so_far {
            *so_far = difference;
        }
    }

    /// Notes that something is wrong with a tensor.
    pub(crate) fn problem(&self, name: &str, problem: &str) {
        let recorded = self.tensors.get(name).map(|golden| &golden.recorded);
        let called = match recorded {
            Some(recorded) if recorded != name => format!("{name} ({recorded})"),
            _ => name.to_string(),
        };
        self.verdict.borrow_mut().problems.push(format!("{called}: {problem}"));
    }

    /// The verdict. A recorded tensor that was neither compared nor an input is a problem too.
    pub(crate) fn finish(self) -> Verdict {
        let mut verdict = self.verdict.into_inner();
        let used = |name: &&String| {
            [&verdict.compared, &verdict.inputs, &verdict.left_out]
                .iter()
                .any(|names| names.contains(*name))
        };
        let forgotten: Vec<String> =
            self.tensors.keys().filter(|name| !used(name)).cloned().collect();
        if !forgotten.is_empty() {
            verdict.problems.push(format!("never compared: {}", forgotten.join(", ")));
        }
        verdict.inputs = &verdict.inputs - &verdict.compared;
        verdict
    }
}

/// The largest difference of two lists; a NaN counts as one, whatever it is compared with.
fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    let difference = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() };
    let differences = found.iter().zip(expected).map(difference);
    differences.fold(0.0f64, |m, d| if d.is_nan() || d > m { d } else { m })
}

/// The values of a tensor.
pub(crate) fn values<B: Backend, const D: usize>(tensor: &Tensor<B, D>) -> Vec<f64> {
    tensor.to_data().iter::<f64>().collect()
}
