//! Progress, previews and cancellation.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, backend::Backend};

use crate::image::Image;

/// What happens while a request is worked on. Pictures are made in batches; `pictures` are the
/// indices of a batch's pictures in the request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a, B: Backend> {
    /// A prompt was longer than the context and was cut, as the reference does.
    PromptCut {
        /// Index of its picture in the request.
        picture: usize,
        /// Tokens the prompt has.
        tokens: usize,
        /// Tokens that were kept.
        kept: usize,
    },
    /// A prompt has words that the model has never seen, and will not understand.
    UnknownWords {
        /// Index of its picture in the request.
        picture: usize,
        /// The words, in small letters.
        words: &'a [String],
    },
    /// A batch was begun.
    Started {
        /// The pictures of the batch.
        pictures: std::ops::Range<usize>,
        /// Scales that will follow.
        scales: usize,
    },
    /// A scale is finished. The latent can be decoded to a preview with
    /// [`HartPipeline::preview`](crate::HartPipeline::preview).
    Scale {
        /// The pictures of the batch.
        pictures: std::ops::Range<usize>,
        /// The scale, counted from 0.
        scale: usize,
        /// How many scales there are.
        scales: usize,
        /// Side of the scale's token map.
        side: usize,
        /// The sum of all scales so far, `[batch, Z, H, W]`.
        latent: &'a Tensor<B, 4>,
    },
    /// A masked pass over the last scale is finished (when there are several).
    MaskPass {
        /// The pass, counted from 0.
        pass: usize,
        /// How many passes there are.
        passes: usize,
    },
    /// A picture is finished. It is handed out now, so that a program can save it while others
    /// are made.
    Picture {
        /// Its index in the request.
        picture: usize,
        /// The picture.
        image: &'a Image,
    },
}

/// Watches a generation; `ControlFlow::Break(())` cancels it, and the generation returns
/// [`Error::Cancelled`](crate::Error::Cancelled).
///
/// Any closure of the right shape is an observer, and the unit type is the one that watches
/// nothing.
pub trait Observer<B: Backend> {
    /// Called for every event, from the thread that generates.
    fn event(&mut self, event: Event<'_, B>) -> ControlFlow<()>;
}

impl<B: Backend> Observer<B> for () {
    fn event(&mut self, _: Event<'_, B>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<B: Backend, F: FnMut(Event<'_, B>) -> ControlFlow<()>> Observer<B> for F {
    fn event(&mut self, event: Event<'_, B>) -> ControlFlow<()> {
        self(event)
    }
}
