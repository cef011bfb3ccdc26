//! Editing: images that exist, changed (feature `images`).
//!
//! Nothing is trained for it: parts of a generation are taken from the source instead of being sampled.
//!
//! | what | taken from the source |
//! |---|---|
//! | [`Edit::inpaint`], [`Edit::outpaint`] | at every scale what is not marked, and its pixels bit for bit |
//! | [`Edit::variation`], [`Edit::restyle`] | the coarse scales, by the strength |
//! | [`Edit::enlarge`] | the scales that the source is large enough for |
//! | [`Edit::change`] | the coarse scales, and at finer ones the noise that explains the source |
//!
//! An image of any size comes in, and one of the same size goes out (but for [`Edit::outpaint`] and
//! [`Edit::enlarge`], which say theirs). The model makes images of one size: it is shown the whole
//! image in that size or, to inpaint, as much around the marked part as it makes, so that a face in a
//! photograph of twenty megapixels is painted with all the detail that the model has.
//!
//! ```
//! # #[cfg(all(feature = "flex", feature = "embedded"))] {
//! use hart_pipeline::edit::{Edit, Mask};
//! use hart_pipeline::{HartPipeline, Request};
//!
//! let pipeline = HartPipeline::<burn::backend::Flex>::embedded(&Default::default())?;
//! let source = pipeline.generate(&Request::new("a red heart, flat style"))?[0].pixels().clone();
//!
//! let mut mask = Mask::empty(source.width(), source.height());
//! let half = source.width() / 2;
//! mask.mark(half, 0, half, source.height());
//! let edit = Edit::inpaint(source.clone(), mask).prompt("a green apple, flat style").seed(7);
//! let edited = pipeline.edit(&edit)?;
//! assert_eq!(edited[0].pixels().at(3, 5), source.at(3, 5));
//! # }
//! # Ok::<(), hart_pipeline::Error>(())
//! ```

mod change;
mod contrast;
mod frame;
mod mask;
mod source;
mod work;

use hart_core::{Error, Result};

use crate::image::{EditSettings, Pixels};
use crate::request::Request;

pub use mask::{Mask, MaskFrom};

/// An image and what is to become of it; [`HartPipeline::edit`](crate::HartPipeline::edit) does it.
#[derive(Debug, Clone)]
pub struct Edit {
    source: Pixels,
    kind: Kind,
    seam: usize,
    prompt: Option<String>,
    request: Request,
}

#[derive(Debug, Clone)]
enum Kind {
    Inpaint { mask: Mask },
    Outpaint { mask: Mask },
    Variation { strength: f64 },
    Restyle { strength: f64 },
    Enlarge,
    Change { from: String, by: ChangeBy, margin: f64, strength: Option<f64> },
}

/// How [`Edit::change`] keeps what the prompts have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChangeBy {
    /// By the noise under which the model makes the source of its own prompt (VARIN, arXiv 2509.01984).
    /// The coarse scales are the source's.
    #[default]
    Noise,
    /// By guidance from one prompt to the other, and a pull to the source's tokens where both say the
    /// same (MLN, arXiv 2604.14591). No scale is the source's altogether.
    Contrast,
}

impl ChangeBy {
    /// How much is new unless it is said.
    fn strength(self) -> f64 {
        match self {
            Self::Noise => change::STRENGTH,
            Self::Contrast => 1.0,
        }
    }
}

impl Edit {
    fn new(source: Pixels, kind: Kind) -> Self {
        Self { source, kind, seam: mask::SEAM, prompt: None, request: Request::new("") }
    }

    /// Makes the marked part of an image anew. Without a prompt it is filled with what suits the rest.
    ///
    /// All other pixels are returned bit for bit. Where the mask ends, the source's pixels go over into
    /// the new ones ([`Self::seam`]); cells of the latent that touch the mask, and their neighbours, are
    /// new, so that a mask should be a little larger than the thing it covers.
    pub fn inpaint(image: Pixels, mask: Mask) -> Self {
        Self::new(image, Kind::Inpaint { mask })
    }

    /// Puts an image on a larger canvas of `width` × `height` pixels, its upper left corner in column `x`
    /// of row `y`, and paints the rest. The image itself is returned bit for bit.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not lie on the canvas, or fills it.
    pub fn outpaint(
        image: Pixels,
        [width, height]: [usize; 2],
        [x, y]: [usize; 2],
    ) -> Result<Self> {
        let (canvas, mask) = frame::on_canvas(&image, [width, height], [x, y])?;
        Ok(Self::new(canvas, Kind::Outpaint { mask }))
    }

    /// The same image once more: `strength` is how many of the scales are new, the finest first, from 0
    /// (only what encoding and decoding change) to 1 (another image). 0.5 keeps the composition. A prompt
    /// helps, and is not needed.
    pub fn variation(image: Pixels, strength: f64) -> Self {
        Self::new(image, Kind::Variation { strength })
    }

    /// The composition of an image with another prompt; `strength` as in [`Self::variation`].
    pub fn restyle(image: Pixels, prompt: impl Into<String>, strength: f64) -> Self {
        Self::new(image, Kind::Restyle { strength }).prompt(prompt)
    }

    /// An image enlarged to the size that the model makes, with new detail: the scales that the source is
    /// large enough for are its own. The result has the shape of the image and as many pixels as the model's
    /// images along one axis.
    ///
    /// # Errors
    /// Making it fails with [`Error::Invalid`] when the image is that large already.
    pub fn enlarge(image: Pixels) -> Self {
        Self::new(image, Kind::Enlarge)
    }

    /// Changes what `from` says of an image into what `to` says, and keeps the rest ([`ChangeBy`]).
    pub fn change(image: Pixels, from: impl Into<String>, to: impl Into<String>) -> Self {
        let by = ChangeBy::default();
        let kind = Kind::Change { from: from.into(), by, margin: change::MARGIN, strength: None };
        Self::new(image, kind).prompt(to)
    }

    /// What the image shows when it is done.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// The seed of the first result (default 0).
    pub fn seed(mut self, seed: u64) -> Self {
        self.request = self.request.seed(seed);
        self
    }

    /// How many results, with seeds that count on (default 1).
    pub fn count(mut self, count: usize) -> Self {
        self.request = self.request.count(count);
        self
    }

    /// Any other setting of a generation: `edit.with(|request| request.guidance(3.0))`.
    pub fn with(mut self, change: impl FnOnce(Request) -> Request) -> Self {
        self.request = change(self.request);
        self
    }

    /// How many pixels the source's pixels take to go over into new ones, inside of the mask (default 8;
    /// 0 for a hard edge).
    pub fn seam(mut self, pixels: usize) -> Self {
        self.seam = pixels;
        self
    }

    /// For [`Self::change`]: how much is new, from 0 to 1, as in [`Self::variation`] (default 8/14 by
    /// noise, 1 by contrast).
    pub fn strength(mut self, share: f64) -> Self {
        match &mut self.kind {
            Kind::Variation { strength } | Kind::Restyle { strength } => *strength = share,
            Kind::Change { strength, .. } => *strength = Some(share),
            _ => {}
        }
        self
    }

    /// For [`Self::change`]: how what the prompts have in common is kept.
    pub fn by(mut self, way: ChangeBy) -> Self {
        if let Kind::Change { by, .. } = &mut self.kind {
            *by = way;
        }
        self
    }

    /// For [`Self::change`]: how far the noise holds all tokens below the source's (default 18). Less changes
    /// more.
    pub fn margin(mut self, margin: f64) -> Self {
        if let Kind::Change { margin: old, .. } = &mut self.kind {
            *old = margin;
        }
        self
    }

    /// The image that is edited; of an [`Self::outpaint`] on its canvas.
    pub fn source(&self) -> &Pixels {
        &self.source
    }

    /// What images say of this edit.
    fn settings(&self) -> EditSettings {
        let (kind, strength, from) = match &self.kind {
            Kind::Inpaint { .. } => ("inpaint", None, None),
            Kind::Outpaint { .. } => ("outpaint", None, None),
            Kind::Variation { strength } => ("variation", Some(*strength), None),
            Kind::Restyle { strength } => ("restyle", Some(*strength), None),
            Kind::Enlarge => ("enlarge", None, None),
            Kind::Change { from, by, strength, .. } => {
                let kind = match by {
                    ChangeBy::Noise => "change",
                    ChangeBy::Contrast => "change by contrast",
                };
                (kind, Some(strength.unwrap_or(by.strength())), Some(from.clone()))
            }
        };
        EditSettings {
            kind: kind.to_string(),
            source: [self.source.width(), self.source.height()],
            strength,
            from,
        }
    }

    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a strength or a mask that cannot be.
    fn check(&self) -> Result<()> {
        match &self.kind {
            Kind::Inpaint { mask } | Kind::Outpaint { mask } => {
                let found = [mask.width(), mask.height()];
                let expected = [self.source.width(), self.source.height()];
                if found != expected {
                    let [found, expected] = [found, expected].map(|[w, h]| format!("{w} × {h}"));
                    let expected = format!("{expected}, as the image has");
                    return Err(Error::invalid("the size of the mask", found, expected));
                }
                if mask.marked() == 0 {
                    return Err(Error::invalid("the mask", "no marked pixel", "at least one"));
                }
                Ok(())
            }
            Kind::Variation { strength } | Kind::Restyle { strength } => {
                in_unit("strength", *strength)
            }
            Kind::Change { margin, strength, .. } => {
                if !(margin.is_finite() && *margin >= 0.0) {
                    return Err(Error::invalid("the margin", margin, "a number, 0 or above"));
                }
                strength.map_or(Ok(()), |strength| in_unit("strength", strength))
            }
            Kind::Enlarge => Ok(()),
        }
    }
}

fn in_unit(what: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("the {what}"), value, "from 0 to 1"))
}
