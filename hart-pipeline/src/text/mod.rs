//! The text encoder.
