//! `bulk run`: plans a run and makes it.

use clap::Args;

use crate::ModelArguments;
use crate::plan::{RecipeArguments, plan};
use crate::work::WorkerArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The folder that the run is kept in. One that was begun goes on.
    #[arg(long, value_name = "RUN")]
    out: String,
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    worker: WorkerArguments,
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let recipe = self.recipe.open()?;
        let model = self.model.open()?;
        let run = plan(recipe, &self.out, &model)?;
        self.worker.work_with_leases(&run, &model)
    }
}
