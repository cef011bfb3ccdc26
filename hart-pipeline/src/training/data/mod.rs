//! Images with captions, and how steps come by them.
//!
//! ```
//! use hart_pipeline::Pixels;
//! use hart_pipeline::training::data::Records;
//!
//! let red = Pixels::new(2, 2, [255, 0, 0].repeat(4))?;
//! let records = Records::from_images([(red, vec!["a red square".to_string()])])?;
//! assert_eq!(records.len(), 1);
//! # Ok::<(), hart_pipeline::Error>(())
//! ```

mod check;
mod crop;
mod order;
mod prefetch;
mod records;

pub(super) use check::check_images;
pub use crop::Augmentation;
pub use order::Order;
pub use prefetch::Prefetch;
pub use records::{Record, Records};
