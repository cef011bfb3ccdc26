//! Text to image with HART.

pub mod text;
