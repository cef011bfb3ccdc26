//! Progress, previews and cancellation.

use std::ops::ControlFlow;

use hart_core::{Error, Grid, Result};

use crate::image::{Image, Pixels};
use crate::text::UnknownWord;

/// What happens while a request is worked on. Images are made in batches; `images` are the indices
/// of a batch's images in the request. A model that is fetched by its name has events of its own.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A prompt was longer than the context and was cut, as the reference does.
    PromptCut {
        /// Index of its image in the request.
        image: usize,
        /// Tokens the prompt has.
        tokens: usize,
        /// Tokens that were kept.
        kept: usize,
    },
    /// A prompt has words that the model has never seen, and will not understand.
    UnknownWords {
        /// Index of its image in the request.
        image: usize,
        /// The words, each with the known one that is nearest.
        words: &'a [UnknownWord],
    },
    /// An image will not be made; the others will.
    Refused {
        /// Its index in the request.
        image: usize,
        /// Why.
        reason: &'a Error,
    },
    /// A batch was begun.
    Started {
        /// The images of the batch.
        images: &'a [usize],
        /// Scales that will follow.
        scales: usize,
    },
    /// A scale is finished.
    Scale(ScaleDone<'a>),
    /// A masked pass over the last scale is finished (when there are several).
    MaskPass {
        /// The pass, counted from 0.
        pass: usize,
        /// How many passes there are.
        passes: usize,
    },
    /// An image is finished. It is handed out now, so that a program can save it while others are
    /// made.
    Image {
        /// Its index in the request.
        index: usize,
        /// The image.
        image: &'a Image,
    },
    /// A scale of an image that nobody gets is finished: [`HartPipeline::warm_up`](crate::HartPipeline::warm_up)
    /// has kernels compiled and tuned.
    WarmUp {
        /// The scale, counted from 0.
        scale: usize,
        /// How many scales there are.
        scales: usize,
        /// The scale's token map.
        grid: Grid,
    },
    /// A file of a model is being fetched, by this process or by another one that is waited for.
    Download {
        /// The repository at the hub.
        repository: &'a str,
        /// The file in it.
        file: &'a str,
        /// Bytes that are here.
        done: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The hub was not reached, and what was fetched earlier is used.
    FromCache {
        /// The repository at the hub.
        repository: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// A finished scale of a batch.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ScaleDone<'a> {
    /// The images of the batch.
    pub images: &'a [usize],
    /// The scale, counted from 0.
    pub scale: usize,
    /// How many scales there are.
    pub scales: usize,
    /// The scale's token map.
    pub grid: Grid,
    pub(crate) decode: &'a dyn Fn(usize) -> Result<Pixels>,
}

impl ScaleDone<'_> {
    /// The images as they would be if the generation ended here, in the order of
    /// [`Self::images`]. They are decoded when this is called, and cost nothing otherwise.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when the weights are damaged.
    pub fn preview(&self) -> Result<Vec<Pixels>> {
        (0..self.images.len()).map(|place| self.preview_of(place)).collect()
    }

    /// One of them: that of `images[place]`.
    ///
    /// # Errors
    /// As [`Self::preview`], and [`Error::Invalid`] when there is no such image in the batch.
    pub fn preview_of(&self, place: usize) -> Result<Pixels> {
        if place >= self.images.len() {
            let expected = format!("below {}", self.images.len());
            return Err(Error::invalid("the place in the batch", place, expected));
        }
        (self.decode)(place)
    }
}

impl std::fmt::Debug for ScaleDone<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { images, scale, scales, grid, .. } = self;
        write!(f, "ScaleDone {{ images: {images:?}, scale: {scale} of {scales}, grid: {grid} }}")
    }
}

/// Watches a generation or the download of a model; `ControlFlow::Break(())` cancels it.
///
/// Any closure of the right shape is an observer, and the unit type is the one that watches
/// nothing.
pub trait Observer {
    /// Called for every event, from the thread that generates.
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()>;
}

impl Observer for () {
    fn event(&mut self, _: Event<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(Event<'_>) -> ControlFlow<()>> Observer for F {
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        self(event)
    }
}

/// What became of an image of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was made.
    Made(Image),
    /// It was refused, for this reason.
    Refused(Error),
    /// The observer cancelled the request before it was finished.
    Cancelled,
}

impl Outcome {
    /// The image, if it was made.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Made(image) => Some(image),
            _ => None,
        }
    }

    /// The image, or why there is none.
    ///
    /// # Errors
    /// The reason of the refusal, or [`Error::Cancelled`].
    pub fn into_image(self) -> Result<Image> {
        match self {
            Self::Made(image) => Ok(image),
            Self::Refused(reason) => Err(reason),
            Self::Cancelled => Err(Error::Cancelled),
        }
    }
}

/// How many images of a request were made, refused and cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Images that were made.
    pub made: usize,
    /// Images that were refused.
    pub refused: usize,
    /// Images that were left when the observer cancelled.
    pub cancelled: usize,
}

/// Gives the observer an event; its wish to stop becomes an error.
pub(crate) fn tell(observer: &mut dyn Observer, event: Event<'_>) -> Result<()> {
    match observer.event(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
