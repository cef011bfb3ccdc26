//! `bulk plan`: a recipe becomes a run.

use std::path::PathBuf;

use clap::Args;
use hart_examples::say;
use hart_pipeline::bulk::{Model, Plan, Recipe, Run, Store};

use crate::ModelArguments;
use crate::{coverage, map};

/// What is drawn.
#[derive(Args)]
pub(crate) struct RecipeArguments {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// How many pictures [default: what the recipe says].
    #[arg(long, value_name = "N")]
    pictures: Option<u64>,
    /// Seed of the run [default: what the recipe says].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Pictures of a shard [default: what the recipe says, or 1000].
    #[arg(long, value_name = "N")]
    shard_size: Option<u64>,
}

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The folder or bucket (s3://NAME/PREFIX) that the run is kept in.
    #[arg(long, value_name = "RUN", required_unless_present = "dry_run")]
    out: Option<String>,
    /// Check the recipe and show what it covers, and write nothing.
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
    #[command(flatten)]
    model: ModelArguments,
}

impl RecipeArguments {
    pub(crate) fn open(&self) -> anyhow::Result<Recipe> {
        let mut recipe = Recipe::from_file(&self.recipe)?;
        if let Some(pictures) = self.pictures {
            recipe.set_pictures(pictures)?;
        }
        if let Some(pictures) = self.shard_size {
            recipe.set_shard_size(pictures)?;
        }
        if let Some(seed) = self.seed {
            recipe.set_seed(seed);
        }
        Ok(recipe)
    }
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let recipe = self.recipe.open()?;
        match &self.out {
            Some(out) => plan(recipe, out, &self.model.open()?).map(drop),
            None => {
                recipe.check_at_least()?;
                coverage::show(&recipe.coverage());
                Ok(())
            }
        }
    }
}

/// Plans a run, unless the same plan is there, and shows what it covers: also as `coverage.csv` and
/// `coverage.svg` beside the plan.
pub(crate) fn plan(recipe: Recipe, out: &str, model: &Model) -> anyhow::Result<Run> {
    let plan = Plan::new(&recipe, model.fingerprint(recipe.request())?);
    let run = Run::create(Store::create_at(out)?, recipe, plan)?;
    let coverage = run.recipe().coverage();
    run.store().replace("coverage.csv", coverage::table(&coverage)?)?;
    run.store().replace("coverage.svg", map::draw(&coverage)?)?;
    coverage::show(&coverage);
    let (pictures, shards) = (run.plan().pictures, run.plan().shards());
    say(format!("{pictures} pictures in {shards} shards, to be made in {}", run.store()))?;
    Ok(run)
}
