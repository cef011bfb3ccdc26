//! A layer's weights in a backend's own form.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

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
