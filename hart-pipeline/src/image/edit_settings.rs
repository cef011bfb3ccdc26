//! What an image says of the edit that made it.

use serde::{Deserialize, Serialize};

/// What an image says of the edit that made it, beside the settings of its generation. It cannot be made
/// again without its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EditSettings {
    /// `inpaint`, `outpaint`, `variation`, `restyle`, `enlarge`, `change` or `change by contrast`.
    pub kind: String,
    /// Width and height of the source, of its canvas for `outpaint`.
    pub source: [usize; 2],
    /// How much was new, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// The prompt of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}
