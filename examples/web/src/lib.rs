//! HART as a WebAssembly module: what the JavaScript of the package (`package/`) calls.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | a model that was opened, and the images it makes (feature `cpu`) |
//! | [`gpu`] | the same on a GPU, through WebGPU (feature `gpu`) |
//! | [`about`] | what is asked of a model without an image, on both |
//! | [`settings`] | what JavaScript says of an image, checked |
//! | [`report`] | scales and words, told to JavaScript while an image is made |
//! | [`picture`] | a finished image; pixels and masks as JavaScript has them |
//! | [`failure`] | errors as JavaScript throws them |
//!
//! Calls of [`model`] return when their work is done: the package makes them in a worker.
#![cfg(target_arch = "wasm32")]

mod about;
mod failure;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "cpu")]
mod model;
mod picture;
mod report;
mod settings;

#[cfg(feature = "gpu")]
pub use gpu::GpuModel;
#[cfg(feature = "cpu")]
pub use model::Model;
pub use picture::Picture;

// Their features are what is asked of them: random bytes from the browser, for crates that draw some.
use {getrandom_03 as _, getrandom_04 as _};
