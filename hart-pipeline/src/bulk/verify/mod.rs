//! Whether everything is there, and as it should be.

mod contents;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use hart_core::random::generator;
use hart_core::{Error, Result};
use rand::Rng;

use super::dead::Dead;
use super::fingerprint::Model;
use super::observer::{BulkEvent, BulkObserver};
use super::run::{Run, SHARDS};
use super::shard::{Manifest, Outcome, read_manifest, read_tar};
use super::store::Failure;
use contents::Contents;

/// The stream of a seed from which pictures are chosen to be made again.
const CHOSEN: u64 = 202;

/// What was verified, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Verification {
    /// Shards that are whole.
    pub shards: u64,
    /// Pictures in them.
    pub pictures: u64,
    /// Pictures that were made again and are the same.
    pub made_again: u64,
    /// What is wrong, in the order of the shards.
    pub findings: Vec<Finding>,
}

/// Something that is wrong with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Makes some pictures again while a run is verified.
#[derive(Clone, Copy)]
pub struct Again<'a> {
    /// What they are made with.
    pub model: &'a Model,
    /// How many; they are chosen at random.
    pub pictures: u64,
    /// The seed of that choice.
    pub seed: u64,
}

/// Reads every shard of a run and compares: tars and the files in them with the manifests, prompts, seeds
/// and labels with the recipe, the settings in pictures with those beside them; and makes some pictures
/// again and compares their bytes.
///
/// # Errors
/// [`Error::Invalid`] when the model is not the plan's, [`Error::Cancelled`] when the observer asks to
/// stop, and [`Error::Io`] or [`Error::Store`] when the run cannot be read. That something is wrong
/// with it is no error but a [`Finding`].
pub fn verify(
    run: &Run,
    again: Option<Again<'_>>,
    observer: &mut dyn BulkObserver,
) -> Result<Verification> {
    if let Some(again) = again {
        let found = again.model.fingerprint(run.recipe().request())?;
        found.check(&run.plan().fingerprint)?;
    }
    let chosen = again.map_or_else(BTreeSet::new, |again| choose(run.plan().pictures, again));
    let dead = Dead::all(run)?.into_iter().map(|dead| (dead.shard, dead)).collect();
    let mut work = Verifier { run, again, chosen, dead, found: Verification::default() };
    for shard in 0..run.plan().shards() {
        work.shard(shard)?;
        if observer.event(BulkEvent::Read { shard }).is_break() {
            return Err(Error::Cancelled);
        }
    }
    work.others()?;
    Ok(work.found)
}

/// Different pictures at random.
fn choose(pictures: u64, again: Again<'_>) -> BTreeSet<u64> {
    let wanted = again.pictures.min(pictures);
    let mut chosen = BTreeSet::new();
    let mut draw = 0;
    while (chosen.len() as u64) < wanted {
        chosen.insert(generator(again.seed, CHOSEN, [draw, 0]).next_u64() % pictures);
        draw += 1;
    }
    chosen
}

struct Verifier<'a> {
    run: &'a Run,
    again: Option<Again<'a>>,
    chosen: BTreeSet<u64>,
    dead: BTreeMap<u64, Dead>,
    found: Verification,
}

impl Verifier<'_> {
    fn find(&mut self, name: &str, problem: impl Display) {
        let place = self.run.store().path(name);
        self.found.findings.push(Finding { place, problem: problem.to_string() });
    }

    /// Verifies a shard.
    fn shard(&mut self, shard: u64) -> Result<()> {
        let before = self.found.findings.len();
        let (tar, manifest) = (self.run.tar_name(shard), self.run.manifest_name(shard));
        let found = match read_manifest(self.run, shard) {
            Ok(Some(found)) => found,
            Ok(None) => {
                let why = match self.dead.get(&shard) {
                    Some(dead) => format!("it was given up: {}", dead.tries.join("; ")),
                    None => "it is not done".to_string(),
                };
                self.find(&manifest, format!("missing: {why}"));
                return Ok(());
            }
            Err(Failure::Final(Error::Malformed { problem, .. })) => {
                self.find(&manifest, problem);
                return Ok(());
            }
            Err(failure) => return Err(failure.into()),
        };
        self.manifest(shard, &manifest, &found);
        self.tar(shard, &tar, &found)?;
        if self.found.findings.len() == before {
            self.found.shards += 1;
            self.found.pictures += found.made;
        }
        Ok(())
    }

    /// Compares a manifest with the plan.
    fn manifest(&mut self, shard: u64, name: &str, found: &Manifest) {
        let plan = self.run.plan();
        let range = plan.pictures_of(shard);
        let count = range.end - range.start;
        let tar = format!("{}.tar", plan.shard_name(shard));
        let checks = [
            ("the plan's SHA-256", found.plan.clone(), self.run.id().to_string()),
            ("the shard", found.shard.to_string(), shard.to_string()),
            ("the number of pictures", found.pictures().to_string(), count.to_string()),
            ("the name of the tar", found.tar.name.clone(), tar),
        ];
        for (what, found, expected) in checks {
            if found != expected {
                self.find(name, format!("{what} is {found}, expected {expected}"));
            }
        }
    }

    /// Compares a tar with its manifest and the recipe.
    fn tar(&mut self, shard: u64, name: &str, manifest: &Manifest) -> Result<()> {
        let first = self.run.plan().pictures_of(shard).start;
        let run = self.run;
        let mut contents = Contents::new(self, name, manifest, first);
        let read = read_tar(run, shard, |member| contents.member(member));
        let (next, index, counts) = contents.finish();
        let found = match read {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.find(name, "missing, while its manifest is there");
                return Ok(());
            }
            Err(Failure::Final(Error::Malformed { problem, .. })) => {
                self.find(name, problem);
                return Ok(());
            }
            Err(failure) => return Err(failure.into()),
        };
        let end = self.run.plan().pictures_of(shard).end;
        let count = |outcome: Outcome| counts.get(outcome.name()).copied().unwrap_or(0).to_string();
        let checks = [
            ("its SHA-256", found.sha256, manifest.tar.sha256.clone()),
            ("its number of bytes", found.bytes.to_string(), manifest.tar.bytes.to_string()),
            ("the number of its files", next.to_string(), manifest.files.len().to_string()),
            ("the picture behind its last one", index.to_string(), end.to_string()),
            ("the pictures made", count(Outcome::Made), manifest.made.to_string()),
            ("the prompts refused", count(Outcome::Refused), manifest.refused.to_string()),
            ("the pictures broken", count(Outcome::Broken), manifest.broken.to_string()),
        ];
        for (what, found, expected) in checks {
            if found != expected {
                self.find(name, format!("{what} is {found}, expected {expected}"));
            }
        }
        Ok(())
    }

    /// Makes a picture again; gives its bytes.
    fn again(&mut self, index: u64) -> Result<Option<Vec<u8>>> {
        let Some(again) = self.again.filter(|_| self.chosen.contains(&index)) else {
            return Ok(None);
        };
        let picture = self.run.recipe().picture(index);
        let request = self.run.recipe().request().prompts([picture.prompt]).seed(picture.seed);
        let images = again.model.pipeline().generate(&request)?;
        images.first().map(crate::image::Image::to_png).transpose()
    }

    /// Finds what is among the shards and none of their files.
    fn others(&mut self) -> Result<()> {
        let plan = self.run.plan();
        let is_ours = |name: &str| {
            let shard = name.strip_suffix(".tar").or_else(|| name.strip_suffix(".json"));
            shard.is_some_and(|shard| plan.shard_called(shard).is_some())
        };
        let mut entries = self.run.store().list(SHARDS)?;
        entries.retain(|entry| !is_ours(&entry.name));
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        for entry in entries {
            let problem = format!("{} bytes that belong to no shard", entry.bytes);
            self.find(&format!("{SHARDS}/{}", entry.name), problem);
        }
        Ok(())
    }
}
