//! The files of a tar, one by one.

use std::collections::BTreeMap;
use std::fmt::Display;

use hart_core::Result;

use super::Verifier;
use crate::bulk::shard::{Manifest, Member, Outcome, Sample};
use crate::hash::Hash;
use crate::image::ImageSettings;

/// The files of a tar, compared as they come.
pub(super) struct Contents<'a, 'b> {
    work: &'a mut Verifier<'b>,
    name: &'a str,
    manifest: &'a Manifest,
    /// How many files have come.
    next: usize,
    /// The picture that has come, and its sample has not.
    picture: Option<Member>,
    /// The picture whose sample comes next.
    index: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl<'a, 'b> Contents<'a, 'b> {
    /// Those of a tar with this name and manifest, whose first picture is `index`.
    pub(super) fn new(
        work: &'a mut Verifier<'b>,
        name: &'a str,
        manifest: &'a Manifest,
        index: u64,
    ) -> Self {
        Self { work, name, manifest, next: 0, picture: None, index, counts: BTreeMap::new() }
    }

    /// How many files came, the picture behind the last one, and how often each outcome came.
    pub(super) fn finish(self) -> (usize, u64, BTreeMap<&'static str, u64>) {
        (self.next, self.index, self.counts)
    }

    /// Compares the next file.
    pub(super) fn member(&mut self, member: Member) -> Result<()> {
        let expected = self.manifest.files.get(self.next);
        let sha256 = Hash::of(&member.content).to_string();
        let is_same = expected.is_some_and(|expected| {
            expected.name == member.name
                && expected.sha256 == sha256
                && expected.bytes == member.content.len() as u64
        });
        if !is_same {
            self.find(format!("`{}` is not what the manifest says", member.name));
        }
        self.next += 1;
        match member.name.strip_suffix(".png") {
            Some(_) => self.picture = Some(member),
            None => self.sample(&member)?,
        }
        Ok(())
    }

    fn find(&mut self, problem: impl Display) {
        self.work.find(self.name, problem);
    }

    /// Compares a sample with the recipe, and with its picture.
    fn sample(&mut self, member: &Member) -> Result<()> {
        let (picture, index) = (self.picture.take(), self.index);
        self.index += 1;
        let key = self.work.run.plan().key(index);
        let sample: Sample = match serde_json::from_slice(&member.content) {
            Ok(sample) => sample,
            Err(error) => {
                self.find(format!("`{}` is not a sample: {error}", member.name));
                return Ok(());
            }
        };
        *self.counts.entry(sample.outcome.name()).or_default() += 1;
        let is_named = member.name == format!("{key}.json") && sample.key == key;
        if !is_named || !sample.is_of(&self.work.run.recipe().picture(index)) {
            self.find(format!("`{}` is not of picture {index} of the recipe", member.name));
        }
        match (picture, sample.outcome) {
            (Some(picture), Outcome::Made) => self.made(&key, &picture, &sample)?,
            (None, Outcome::Made) => self.find(format!("`{key}.png` is missing")),
            (Some(picture), _) => self.find(format!("`{}` was not made", picture.name)),
            (None, _) => {}
        }
        Ok(())
    }

    /// Compares a picture with its sample, and with itself made again.
    fn made(&mut self, key: &str, picture: &Member, sample: &Sample) -> Result<()> {
        if picture.name != format!("{key}.png") {
            self.find(format!("`{}` is where `{key}.png` should be", picture.name));
        }
        match ImageSettings::parse(&picture.name, &picture.content) {
            Ok(settings) if sample.settings.as_deref() == Some(&settings) => {}
            Ok(_) => self.find(format!("`{}` has other settings than its sample", picture.name)),
            Err(error) => self.find(error),
        }
        if let Some(again) = self.work.again(sample.index)? {
            if again == picture.content {
                self.work.found.made_again += 1;
            } else {
                self.find(format!("`{}` is another picture when it is made again", picture.name));
            }
        }
        Ok(())
    }
}
