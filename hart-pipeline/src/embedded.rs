//! The small model compiled into the crate.
//!
//! It paints emoji-like drawings of some hundred things in three styles on plain backgrounds, of prompts
//! as people type them, and simple scenes of shapes; `embedded/MODEL_CARD.md` says what it can do, how it was trained and
//! where its images come from.

use hart_core::{HartBackend, Precision, Result};

use crate::pipeline::HartPipeline;

/// The model, as an archive.
pub(crate) const ARCHIVE: &[u8] = include_bytes!("../embedded/model.zip");

/// The name of the model compiled in, in the settings of images ([`ImageSettings::model`]). Another
/// model has another name: images of the first one, of 32 pixels, say `embedded`.
///
/// [`ImageSettings::model`]: crate::ImageSettings::model
pub const EMBEDDED: &str = "embedded-64px";

impl<B: HartBackend> HartPipeline<B> {
    /// The small model compiled into the crate (feature `embedded`, on by default), with its text
    /// encoder: nothing is read from a disk or fetched.
    ///
    /// ```
    /// use hart_pipeline::{HartPipeline, Request};
    /// # #[cfg(feature = "flex")] {
    /// let pipeline = HartPipeline::<burn::backend::Flex>::embedded(&Default::default())?;
    /// let images = pipeline.generate(&Request::new("draw me a fox").seed(7))?;
    /// assert_eq!(images[0].width(), 64);
    /// # }
    /// # Ok::<(), hart_pipeline::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`hart_core::Error::Malformed`], [`hart_core::Error::Config`] or
    /// [`hart_core::Error::Weights`] when the crate was built from a damaged archive.
    pub fn embedded(device: &B::Device) -> Result<Self> {
        Self::embedded_with(Precision::F32, device)
    }

    /// The same in another precision.
    ///
    /// # Errors
    /// As [`Self::embedded`], and [`hart_core::Error::Invalid`] when the device does not compute in
    /// the precision.
    pub fn embedded_with(precision: Precision, device: &B::Device) -> Result<Self> {
        Self::from_archive(EMBEDDED, ARCHIVE, precision, device)
    }
}
