//! Layers in the form that a backend computes fastest.

use crate::Precision;

/// A part of a model whose layers can be brought into the form that the backend computes fastest.
///
/// The plain weights are freed for it: a prepared part generates images, and cannot be trained,
/// saved or cast any more; functions that need its weights return an error. Backends without a
/// faster form leave everything as it is.
pub trait Prepare {
    /// Prepares every layer; those whose weights follow the precision take up this one.
    fn prepare(&mut self, precision: Precision);
}

impl<T: Prepare> Prepare for Vec<T> {
    fn prepare(&mut self, precision: Precision) {
        self.iter_mut().for_each(|part| part.prepare(precision));
    }
}

impl<T: Prepare> Prepare for Option<T> {
    fn prepare(&mut self, precision: Precision) {
        self.iter_mut().for_each(|part| part.prepare(precision));
    }
}
