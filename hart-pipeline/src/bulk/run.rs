//! A plan in its store.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hart_core::{Error, Result};

use super::plan::Plan;
use super::recipe::Recipe;
use super::store::{Failure, Store, missing};
use crate::hash::Hash;

/// Where the plan is, and the folders of everything else.
const PLAN: &str = "plan.json";
const PROMPTS: &str = "prompts";
pub(super) const SHARDS: &str = "shards";
pub(super) const DEAD: &str = "dead";

/// A run that was planned: the plan, its recipe and where it is kept. A clone is the same run.
#[derive(Debug, Clone)]
pub struct Run(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    plan: Plan,
    recipe: Recipe,
    id: String,
}

impl Run {
    /// Writes a plan to a store, unless the same one is there.
    ///
    /// # Errors
    /// [`Error::Malformed`] when another plan is there, which stays as it is; [`Error::Config`] when
    /// the recipe asks for more of some labels than come; [`Error::Io`] or [`Error::Store`].
    pub fn create(store: Store, recipe: Recipe, plan: Plan) -> Result<Self> {
        recipe.check_at_least()?;
        if let (Some(file), Some(copy)) = (recipe.prompts_file(), &plan.prompts) {
            let name = format!("{PROMPTS}/{}", copy.name);
            create_or_same(&store, &name, &file.bytes)?;
        }
        let json = plan.to_json()?;
        create_or_same(&store, PLAN, &json)?;
        let id = Hash::of(&json).to_string();
        Ok(Self(Arc::new(Inner { store, plan, recipe, id })))
    }

    /// Opens a run that was planned.
    ///
    /// # Errors
    /// [`Error::Store`] when nothing was planned there, [`Error::Malformed`] or [`Error::Config`] when
    /// the plan is damaged or of a later version, [`Error::Io`].
    pub fn open(store: Store) -> Result<Self> {
        let hint = "plan the run first";
        let json = store.read(PLAN)?.ok_or_else(|| missing(&store, PLAN, hint))?;
        let place = store.path(PLAN);
        let broken = |problem: String| Error::malformed(&place, problem);
        let version = serde_json::from_slice::<serde_json::Value>(&json)
            .map_err(|error| broken(format!("not a plan: {error}")))?;
        let version = version.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(Plan::VERSION.into()) {
            let found = version.map_or("none".to_string(), |version| version.to_string());
            return Err(broken(format!("its version is {found}, expected {}", Plan::VERSION)));
        }
        let plan: Plan = serde_json::from_slice(&json)
            .map_err(|error| broken(format!("not a plan: {error}")))?;
        let recipe = recipe_of(&store, &plan, Path::new(&place))?;
        let id = Hash::of(&json).to_string();
        Ok(Self(Arc::new(Inner { store, plan, recipe, id })))
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.0.recipe
    }

    /// Where it is kept.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The SHA-256 of `plan.json`, which every manifest names.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The name of a shard's tar.
    pub fn tar_name(&self, shard: u64) -> String {
        format!("{SHARDS}/{}.tar", self.0.plan.shard_name(shard))
    }

    /// The name of a shard's manifest.
    pub fn manifest_name(&self, shard: u64) -> String {
        format!("{SHARDS}/{}.json", self.0.plan.shard_name(shard))
    }

    /// The name of what says why a shard was given up.
    pub fn dead_name(&self, shard: u64) -> String {
        format!("{DEAD}/{}.json", self.0.plan.shard_name(shard))
    }

    /// Whether a shard is done: its manifest is there.
    pub(super) fn is_done(&self, shard: u64) -> Result<bool, Failure> {
        Ok(self.store().size(&self.manifest_name(shard))?.is_some())
    }

    /// Whether a shard was given up.
    pub(super) fn is_dead(&self, shard: u64) -> Result<bool, Failure> {
        Ok(self.store().size(&self.dead_name(shard))?.is_some())
    }

    /// The numbers of the shards whose manifests (or reasons, of the dead) are in a folder.
    pub(super) fn numbers(&self, folder: &str) -> Result<Vec<u64>, Failure> {
        let entries = self.store().list(folder)?;
        let names = entries.iter().filter_map(|entry| entry.name.strip_suffix(".json"));
        let mut numbers: Vec<u64> =
            names.filter_map(|name| self.plan().shard_called(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// What is left to do, and what was left behind.
impl Run {
    /// The shards that are neither done nor given up.
    pub(super) fn open_shards(&self) -> Result<Vec<u64>, Failure> {
        let mut settled = self.numbers(SHARDS)?;
        settled.extend(self.numbers(DEAD)?);
        settled.sort_unstable();
        let shards = 0..self.plan().shards();
        Ok(shards.filter(|shard| settled.binary_search(shard).is_err()).collect())
    }

    /// Removes what workers left behind that were killed while they wrote: for every engine, when no
    /// shard is open any more.
    pub(super) fn sweep(&self) -> Result<(), Failure> {
        self.store().sweep(SHARDS)?;
        self.store().sweep(DEAD)
    }
}

/// The recipe of a plan, with the numbers that the plan has.
fn recipe_of(store: &Store, plan: &Plan, place: &Path) -> Result<Recipe> {
    let mut recipe = Recipe::read(place, &plan.recipe, |_| {
        let copy = plan.prompts.as_ref();
        let copy = copy.ok_or_else(|| Error::malformed(place, "it names no file of prompts"))?;
        let name = format!("{PROMPTS}/{}", copy.name);
        let hint = "copy the whole run, or plan it again";
        let bytes = store.read(&name)?.ok_or_else(|| missing(store, &name, hint))?;
        let found = Hash::of(&bytes).to_string();
        if found != copy.sha256 {
            let problem = format!("its SHA-256 is {found}, and that of the plan {}", copy.sha256);
            return Err(Error::malformed(store.path(&name), problem));
        }
        Ok(bytes.to_vec())
    })?;
    recipe.set_pictures(plan.pictures)?;
    recipe.set_shard_size(plan.shard_size)?;
    recipe.set_seed(plan.seed);
    Ok(recipe)
}

/// Creates an object unless the same one is there.
fn create_or_same(store: &Store, name: &str, content: &[u8]) -> Result<()> {
    if store.create(name, Bytes::copy_from_slice(content))? {
        return Ok(());
    }
    match store.read(name)? {
        Some(found) if found == content => Ok(()),
        _ => Err(Error::malformed(
            store.path(name),
            "another run was planned here: name another place, or go on with that run",
        )),
    }
}
