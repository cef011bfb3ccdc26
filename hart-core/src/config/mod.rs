//! The released `config.json` files as checked structs.
//!
//! Absent keys take the defaults of the official code, unknown keys are tolerated, and anything
//! impossible, contradictory or unsupported is refused by name.

mod autoencoder;
mod reader;
mod transformer;

pub use autoencoder::{AutoencoderConfig, QuantizerKind, SharedConvolutions};
pub use reader::ConfigReader;
pub use transformer::{
    LevelEmbeddingKind, MlpKind, ModulationKind, PoolingKind, ResidualHeadConfig, TransformerConfig,
};
