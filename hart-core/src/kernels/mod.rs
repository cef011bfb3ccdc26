//! What the operations of [`crate::HartBackend`] are computed with, by kind of device.
//!
//! These are internals: they change without notice, whatever the version says.

// Tiles of vectors that several threads write, and advice about pages: what Rust cannot check is here
// and at the memory map of checkpoints, and nowhere else in the workspace.
#![allow(unsafe_code)]

#[cfg(feature = "flex")]
pub mod cpu;
#[cfg(feature = "cube")]
pub mod cube;
