//! What the operations of [`crate::HartBackend`] are computed with, by kind of device.
//!
//! These are internals: they change without notice, whatever the version says.

#[cfg(feature = "flex")]
pub mod cpu;
