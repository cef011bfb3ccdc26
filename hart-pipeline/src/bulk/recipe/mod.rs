//! What a run draws: prompts with their labels and seeds.
//!
//! A [`Recipe`] is a TOML file with a template and lists, or with a file of prompts:
//!
//! ```
//! use hart_pipeline::bulk::Recipe;
//!
//! let recipe = Recipe::from_toml(r#"
//!     pictures = 100
//!     seed = 7
//!     template = "a {colour} {thing} on a {ground} background"
//!     exclude = [{ colour = "white", ground = "white" }]
//!
//!     [lists]
//!     colour = [[3, "red"], "blue", "white"]
//!     thing = ["circle", { text = "square", labels = { corners = "four" } }]
//!     ground = ["white", "black"]
//! "#)?;
//! let picture = recipe.picture(12);
//! let colour = picture.labels["colour"].as_str().unwrap();
//! assert!(picture.prompt.starts_with(&format!("a {colour} ")));
//! # Ok::<(), hart_pipeline::Error>(())
//! ```
//!
//! | key | what |
//! |---|---|
//! | `pictures` | how many; of a file of prompts one a prompt if it is not said, and each again and again if there are more |
//! | `seed` | the seed of the run (default 0), of which every picture has a seed of its own |
//! | `shard_size` | pictures of a shard (default 1,000): what a worker may lose, so some minutes of work |
//! | `settings` | `size`, `guidance`, `top_k`, `top_p`, `smooth`, `mask_passes`, `diffusion_steps`, `temperature`, `residual`, `effort`, as a [`Request`] has them |
//! | `template` | a text with names of lists in braces, or several of which each picture has one |
//! | `lists.NAME` | what the name stands for. `{NAME.2}` is chosen apart from `{NAME}` |
//! | `exclude` | tables of labels that do not occur together: such a choice is made anew, so that the others keep their shares of each other |
//! | `different` | lists of names, such as `["colour", "colour.2"]`, that never have the same label |
//! | `at_least` | `{ pictures = 500, of = { weather = "snow" } }`: the recipe is refused if fewer come |
//! | `prompts.file` | in the place of template and lists a `.jsonl` or `.csv` file with `prompt`, perhaps `seed`, and any other columns as labels |
//!
//! Templates and values are texts, `[weight, text]` with a weight other than 1, or tables with `text`
//! and perhaps `weight`, `label` (what the value is called, without it the text itself, or `none` if
//! that is empty) and `labels` (what else it says of a picture).

mod at_least;
mod compile;
mod file;
mod grammar;
mod picture;
mod prompts;
mod settings;
mod shares;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hart_core::random::generator;
use hart_core::{Error, Result};
use rand::Rng;

use super::coverage::Coverage;
use crate::problem::Problem;
use crate::request::Request;
use file::RecipeFile;
use grammar::Grammar;
pub use picture::{Labels, Picture};
use prompts::Prompt;
use shares::Shares;

/// The stream of a run's seed from which the seeds of its pictures are drawn.
const SEEDS: u64 = 201;
/// The most pictures of a run.
const MOST: u64 = 1_000_000_000;
/// The most pictures of a shard, of which one request is made.
const LARGEST_SHARD: u64 = 1 << 20;

/// What to draw, checked; see the [module](self).
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What errors call it.
    name: PathBuf,
    text: String,
    source: Source,
    file: RecipeFile,
    pictures: u64,
}

/// Where prompts come from.
#[derive(Debug, Clone)]
enum Source {
    Grammar { grammar: Grammar, shares: Shares },
    Prompts { content: PromptsFile, prompts: Vec<Prompt> },
}

/// A file of prompts as it is.
#[derive(Debug, Clone)]
pub(super) struct PromptsFile {
    /// Its name, without a folder.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// A share that a recipe aims at, of a label or of two.
pub(super) type Wanted<'a> = (&'a str, &'a str);

impl Recipe {
    /// Reads a recipe, and the file of prompts that it may name, from its own folder.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when a file is not what its name says; [`Error::Config`]
    /// for a value that is out of its range, leads nowhere or cannot be met, with file, line and key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::read(path, &text, |file| {
            let file = folder.join(file);
            std::fs::read(&file).map_err(|error| Error::io(file, error))
        })
    }

    /// From the text of such a file; a file of prompts is looked for in the current folder.
    ///
    /// # Errors
    /// As [`Self::from_file`].
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::read(Path::new("the recipe"), text, |file| {
            std::fs::read(file).map_err(|error| Error::io(file, error))
        })
    }

    /// From a text, whatever gives the content of a file of prompts.
    pub(super) fn read(
        name: &Path,
        text: &str,
        read: impl FnOnce(&Path) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let file: RecipeFile = toml::from_str(text)
            .map_err(|error| Error::malformed(name, format!("not a recipe: {error}")))?;
        let at = |problem: Problem| problem.into_error(name, text);
        let source = match (&file.template, &file.prompts) {
            (Some(template), None) => {
                let grammar = compile::compile(&file, template).map_err(at)?;
                let shares = Shares::of(&grammar).map_err(at)?;
                Source::Grammar { grammar, shares }
            }
            (None, Some(table)) => {
                check_unused(&file).map_err(at)?;
                let path = Path::new(&table.file);
                let bytes = read(path)?;
                let prompts = prompts::parse(path, &bytes)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Source::Prompts { content: PromptsFile { name, bytes }, prompts }
            }
            (template, _) => {
                let found = if template.is_some() { "beside `prompts`" } else { "missing" };
                return Err(at(Problem::new(&["template"], found, "either it or `prompts`")));
            }
        };
        let count = match &source {
            Source::Prompts { prompts, .. } => Some(prompts.len() as u64),
            Source::Grammar { .. } => None,
        };
        let Some(pictures) = file.pictures.or(count) else {
            return Err(at(Problem::new(&["pictures"], "missing", "how many there shall be")));
        };
        let mut recipe =
            Self { name: name.to_path_buf(), text: text.to_string(), source, file, pictures };
        recipe.set_pictures(pictures)?;
        recipe.set_shard_size(recipe.file.shard_size)?;
        Ok(recipe)
    }

    /// How many pictures it asks for.
    pub fn pictures(&self) -> u64 {
        self.pictures
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.file.seed
    }

    /// Pictures of a shard.
    pub fn shard_size(&self) -> u64 {
        self.file.shard_size
    }

    /// Asks for another number of pictures.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is from 1 to a thousand millions.
    pub fn set_pictures(&mut self, pictures: u64) -> Result<()> {
        self.pictures = self.within("pictures", pictures, MOST)?;
        Ok(())
    }

    /// Takes another seed.
    pub fn set_seed(&mut self, seed: u64) {
        self.file.seed = seed;
    }

    /// Asks for shards of another size.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is from 1 to 2²⁰.
    pub fn set_shard_size(&mut self, pictures: u64) -> Result<()> {
        self.file.shard_size = self.within("shard_size", pictures, LARGEST_SHARD)?;
        Ok(())
    }

    fn within(&self, key: &str, found: u64, most: u64) -> Result<u64> {
        if (1..=most).contains(&found) {
            return Ok(found);
        }
        let problem = Problem::new(&[key], found, format!("from 1 to {most}"));
        Err(problem.into_error(&self.name, &self.text))
    }

    /// A picture of the run, by its index: a function of the recipe, the seed of the run and this
    /// index alone.
    pub fn picture(&self, index: u64) -> Picture {
        let seed = generator(self.file.seed, SEEDS, [index, 0]).next_u64() >> 11;
        match &self.source {
            Source::Grammar { grammar, .. } => {
                let (prompt, labels) = grammar.draw(self.file.seed, index);
                Picture { index, prompt, seed, labels }
            }
            Source::Prompts { prompts, .. } => {
                let count = prompts.len() as u64;
                let Prompt { prompt, seed: own, labels } = &prompts[(index % count) as usize];
                // Of a prompt that comes again the seed in the file would give the same picture.
                let seed = own.filter(|_| index < count).unwrap_or(seed);
                Picture { index, prompt: prompt.clone(), seed, labels: labels.clone() }
            }
        }
    }

    /// The text that it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A request with its settings, without prompts.
    pub fn request(&self) -> Request {
        self.file.settings.request()
    }

    /// The file of prompts, if it has one.
    pub(super) fn prompts_file(&self) -> Option<&PromptsFile> {
        match &self.source {
            Source::Prompts { content, .. } => Some(content),
            Source::Grammar { .. } => None,
        }
    }

    /// The names of labels that its pictures may have.
    pub(super) fn label_names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = match &self.source {
            Source::Grammar { grammar, .. } => {
                let slots = grammar.forms.iter().flat_map(|form| &form.slots);
                let names = slots.flat_map(|slot| {
                    let further = slot.values.iter().flat_map(|value| &value.labels);
                    further.map(|(key, _)| key.as_str()).chain([slot.name.as_str()])
                });
                names.collect()
            }
            Source::Prompts { prompts, .. } => {
                prompts.iter().flat_map(|prompt| prompt.labels.keys()).map(String::as_str).collect()
            }
        };
        names.into_iter().map(str::to_string).collect()
    }

    /// The shares of labels that it aims at; `None` for a file of prompts, which is as it is.
    pub(super) fn shares(&self) -> Option<Shown<'_>> {
        match &self.source {
            Source::Grammar { shares, .. } => Some(Shown(shares)),
            Source::Prompts { .. } => None,
        }
    }

    /// Draws every picture, and tells how often each label and each pair of labels comes. It takes a
    /// second for each some hundred thousand pictures.
    pub fn coverage(&self) -> Coverage {
        Coverage::of(self)
    }
}

/// The shares that a grammar aims at.
pub(super) struct Shown<'a>(&'a Shares);

impl<'a> Shown<'a> {
    /// Every label with its share of all pictures.
    pub(super) fn values(&self) -> impl Iterator<Item = (Wanted<'a>, f64)> {
        self.0.values.iter().map(|((slot, label), share)| ((&**slot, &**label), *share))
    }

    /// Whether pairs with labels of this name are told.
    pub(super) fn is_paired(&self, name: &str) -> bool {
        self.0.paired.contains(name)
    }

    /// Every pair of labels, the first one the first by the alphabet.
    pub(super) fn pairs(&self) -> impl Iterator<Item = ([Wanted<'a>; 2], f64)> {
        self.0
            .pairs
            .iter()
            .map(|(((one, a), (other, b)), share)| ([(&**one, &**a), (&**other, &**b)], *share))
    }
}

/// Refuses what only templates have.
fn check_unused(file: &RecipeFile) -> Result<(), Problem> {
    let unused = [
        ("lists", file.lists.is_empty()),
        ("exclude", file.exclude.is_empty()),
        ("different", file.different.is_empty()),
    ];
    match unused.iter().find(|(_, is_empty)| !is_empty) {
        Some((key, _)) => {
            let expected = "nothing: a file of prompts says all of them itself";
            Err(Problem::new(&[key], "given", expected))
        }
        None => Ok(()),
    }
}
