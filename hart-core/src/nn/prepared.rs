//! Layers in the form that a backend computes fastest.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::Precision;

/// A layer's weights in the form that one backend computes fastest; only that backend can read
/// them.
#[derive(Clone)]
pub struct Prepared(Arc<dyn Any + Send + Sync>);

impl Prepared {
    /// Wraps a backend's form.
    pub fn new(form: impl Any + Send + Sync) -> Self {
        Self(Arc::new(form))
    }

    /// The form, if it is a `T`.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}

/// A part of a model whose layers can be brought into the form that the backend computes fastest.
///
/// The plain weights are given up for it: a prepared part generates pictures, and cannot be
/// trained, saved or cast any more. Backends without a faster form leave everything as it is.
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
