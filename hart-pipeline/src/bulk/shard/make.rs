//! Making the pictures of a shard.

use std::ops::ControlFlow;

use hart_core::{Error, Result, Spool};

use super::manifest::Manifest;
use super::sample::{Outcome, Sample};
use super::tar::TarWriter;
use crate::bulk::recipe::Picture;
use crate::bulk::run::Run;
use crate::bulk::store::Failure;
use crate::observer::Event;
use crate::text_to_image::TextToImage;

/// A shard that was made, in a temporary file.
pub(in crate::bulk) struct MadeShard {
    pub(in crate::bulk) manifest: Manifest,
    pub(in crate::bulk) tar: Spool,
}

/// How far a shard is: told at every scale of a batch and at every picture.
#[derive(Debug, Clone, Copy)]
pub(in crate::bulk) struct Step {
    /// Pictures that are settled: made, refused or broken.
    pub(in crate::bulk) settled: u64,
}

/// Makes a shard. `step` may end it, which is [`Error::Cancelled`].
///
/// # Errors
/// Those of generation, when they are about more than single pictures; those of the temporary file.
pub(in crate::bulk) fn make(
    run: &Run,
    pipeline: &dyn TextToImage,
    shard: u64,
    spool: Spool,
    step: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> Result<MadeShard, Failure> {
    let range = run.plan().pictures_of(shard);
    let pictures: Vec<Picture> = range.map(|index| run.recipe().picture(index)).collect();
    let count = pictures.len();
    let mut work = Work {
        run,
        pipeline,
        pictures,
        tar: TarWriter::new(spool),
        settled: 0,
        refused: vec![None; count],
        counts: [0; 3],
        batch: 0..0,
        failure: None,
    };
    work.run(step)?;
    work.finish(shard)
}

struct Work<'a> {
    run: &'a Run,
    pipeline: &'a dyn TextToImage,
    pictures: Vec<Picture>,
    tar: TarWriter,
    /// Pictures whose files are in the tar, from the first one on.
    settled: usize,
    /// Why pictures are refused: that is known before others are made.
    refused: Vec<Option<String>>,
    /// How many were made, refused and broken.
    counts: [u64; 3],
    /// What was begun last.
    batch: std::ops::Range<usize>,
    /// What went wrong with the temporary file.
    failure: Option<Failure>,
}

impl Work<'_> {
    /// Settles every picture. When a batch has values that are not finite, its pictures are made one by
    /// one, to find those that it is about.
    fn run(&mut self, step: &mut dyn FnMut(Step) -> ControlFlow<()>) -> Result<(), Failure> {
        let count = self.pictures.len();
        while self.settled < count {
            match self.generate(self.settled..count, step) {
                Ok(()) => {}
                Err(Failure::Final(Error::NonFinite { .. })) => {
                    let end = self.batch.end.clamp(self.settled + 1, count);
                    for picture in self.settled..end {
                        self.make_alone(picture, step)?;
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    fn make_alone(
        &mut self,
        picture: usize,
        step: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        match self.generate(picture..picture + 1, step) {
            Err(Failure::Final(error @ Error::NonFinite { .. })) => {
                self.settle_without(picture, Outcome::Broken, error.to_string())
            }
            other => other,
        }
    }

    /// Makes some pictures, the first of them the first that is not settled.
    fn generate(
        &mut self,
        range: std::ops::Range<usize>,
        step: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let first = range.start;
        let pictures = &self.pictures[range.clone()];
        let seeds: Vec<u64> = pictures.iter().map(|picture| picture.seed).collect();
        let prompts = pictures.iter().map(|picture| picture.prompt.clone());
        let request = self.run.recipe().request().prompts(prompts).seeds(seeds);
        let pipeline = self.pipeline;
        let result = pipeline.generate_each(&request, &mut |event: Event<'_>| match self
            .note(first, &event)
        {
            Ok(()) => step(Step { settled: self.settled as u64 }),
            Err(failure) => {
                self.failure = Some(failure);
                ControlFlow::Break(())
            }
        });
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if result.map_err(Failure::Final)?.cancelled > 0 {
            return Err(Failure::Final(Error::Cancelled));
        }
        self.settle_refused(range.end)
    }

    /// Keeps what an event tells of pictures from `first` on.
    fn note(&mut self, first: usize, event: &Event<'_>) -> Result<(), Failure> {
        match event {
            Event::Refused { image, reason } => {
                self.refused[first + image] = Some(reason.to_string());
            }
            Event::Started { images, .. } => {
                let last = images.last().map_or(first, |last| first + last + 1);
                self.batch = first..last;
            }
            Event::Image { index, image } => {
                let place = first + index;
                self.settle_refused(place)?;
                let picture = self.pictures[place].clone();
                let sample = Sample::made(self.run.plan(), picture, image.settings());
                self.add(format!("{}.png", sample.key), &image.to_png()?)?;
                self.settle(&sample)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Settles refused pictures before one that is not.
    fn settle_refused(&mut self, end: usize) -> Result<(), Failure> {
        while self.settled < end {
            let reason = self.refused[self.settled].take();
            let reason = reason.unwrap_or_else(|| "it was neither made nor refused".to_string());
            self.settle_without(self.settled, Outcome::Refused, reason)?;
        }
        Ok(())
    }

    fn settle_without(
        &mut self,
        picture: usize,
        outcome: Outcome,
        reason: String,
    ) -> Result<(), Failure> {
        let picture = self.pictures[picture].clone();
        self.settle(&Sample::without(self.run.plan(), picture, outcome, Some(reason)))
    }

    fn settle(&mut self, sample: &Sample) -> Result<(), Failure> {
        self.add(format!("{}.json", sample.key), &sample.to_json()?)?;
        self.counts[sample.outcome as usize] += 1;
        self.settled += 1;
        Ok(())
    }

    fn add(&mut self, name: String, content: &[u8]) -> Result<(), Failure> {
        let added = self.tar.add(name, content);
        added.map_err(|error| Failure::of_file("the temporary file of a shard", error))
    }

    fn finish(self, shard: u64) -> Result<MadeShard, Failure> {
        let [made, refused, broken] = self.counts;
        if broken > 0 && made == 0 {
            return Err(Failure::Final(Error::NonFinite { what: "every picture".to_string() }));
        }
        let name = format!("{}.tar", self.run.plan().shard_name(shard));
        let (tar, hash, files) = (self.tar.finish(name))
            .map_err(|error| Failure::of_file("the temporary file of a shard", error))?;
        let manifest = Manifest {
            version: Manifest::VERSION,
            plan: self.run.id().to_string(),
            shard,
            made,
            refused,
            broken,
            tar: hash,
            files,
        };
        Ok(MadeShard { manifest, tar })
    }
}
