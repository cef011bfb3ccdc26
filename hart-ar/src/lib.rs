//! HART's transformer over scales.
//!
//! The transformer reads the text context, then predicts all tokens of a scale at once from the
//! image so far, scale after scale. Keys and values of earlier steps are kept in a cache that
//! belongs to the generation, not to the model, so that one model can run several generations at
//! once.
//!
//! | module | box of the paper's figure |
//! |---|---|
//! | [`embedding`] | context, words and levels |
//! | [`block`], [`attention`], [`mlp`], [`modulation`] | a transformer block |
//! | [`head`] | vocabulary logits |
//! | [`transformer`] | all of it, with the released weights |
//! | [`session`] | one generation: cache, guidance, step after step |
//! | [`sampling`] | logits to tokens, on the host |
//! | [`mask_passes`] | the order in which the last scale is revealed |
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod attention;
pub mod block;
pub mod cache;
pub mod embedding;
pub mod head;
pub mod mask_passes;
pub mod mlp;
pub mod modulation;
mod names;
pub mod sampling;
pub mod session;
pub mod transformer;

pub use names::NAMES;
pub use session::{Session, TextCondition};
pub use transformer::{Transformer, TransformerSize};
