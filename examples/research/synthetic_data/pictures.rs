//! Pictures with what they show: made by a model after a recipe, or drawn by code.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hart_core::random::generator;
use hart_examples::Progress;
use hart_examples::scene::{Relation, Scene, Shape};
use hart_pipeline::backend::compiled_in;
use hart_pipeline::bulk::{
    BulkEvent, LeaseEngine, Model, Outcome, Plan, Recipe, Run, Sample, Store, Worker,
};
use hart_pipeline::{HartPipeline, Pixels};
use image::RgbImage;

/// The recipe that pictures are made after.
const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/recipes/shapes.toml");
/// The stream of a seed that scenes are drawn from.
const SCENES: u64 = 1100;
/// How long a worker may be silent.
const LEASE: Duration = Duration::from_secs(60);

/// A picture and what it shows.
pub(crate) struct Picture {
    /// Planes `[3, side, side]` in [-1, 1].
    pub(crate) planes: Vec<f32>,
    /// The shape on the left or above, the other one, and whether they lie beside each other.
    pub(crate) shown: [usize; 3],
}

impl Picture {
    /// Whatever a picture shows, told from either of its figures.
    fn new(image: &Pixels, shapes: [Shape; 2], relation: Relation) -> anyhow::Result<Self> {
        let place = |shape: Shape| Shape::ALL.iter().position(|other| *other == shape);
        let [first, second] =
            shapes.map(|shape| place(shape).context("a shape that is not listed"));
        let (first, second) = (first?, second?);
        let (one, other) = match relation {
            Relation::LeftOf | Relation::Above => (first, second),
            Relation::RightOf | Relation::Below => (second, first),
        };
        let is_beside = matches!(relation, Relation::LeftOf | Relation::RightOf);
        Ok(Self { planes: image.to_planes(), shown: [one, other, usize::from(is_beside)] })
    }
}

/// `count` pictures of two shapes that the model compiled in has made, and their side. The run in
/// `folder` is begun, or gone on with.
pub(crate) fn made(folder: &Path, count: usize) -> anyhow::Result<(Vec<Picture>, usize)> {
    let mut recipe = Recipe::from_file(RECIPE)?;
    // Three of four prompts are of two shapes; some more, so that enough are.
    recipe.set_pictures((count as u64 * 3 / 2).next_multiple_of(recipe.shard_size()))?;
    let model = Model::open(HartPipeline::builder().embedded(), compiled_in()[0])?;
    let side = model.pipeline().image_size().rows;
    let plan = Plan::new(&recipe, model.fingerprint(recipe.request())?);
    let name = folder.to_str().context("the folder's name is not text")?;
    let run = Run::create(Store::create_at(name)?, recipe, plan)
        .with_context(|| format!("remove {name}, or start this elsewhere"))?;
    work(&run, &model)?;

    let mut pictures = vec![];
    for shard in 0..run.plan().shards() {
        read(&folder.join(run.tar_name(shard)), &mut pictures)?;
    }
    ensure!(pictures.len() >= count, "{} pictures of two shapes, not {count}", pictures.len());
    pictures.truncate(count);
    Ok((pictures, side))
}

/// Makes what is missing of a run.
fn work(run: &Run, model: &Model) -> anyhow::Result<()> {
    let progress = Progress::start();
    let shards = run.plan().shards();
    let mut observer = |event: BulkEvent<'_>| {
        if let BulkEvent::Done { shard, made, .. } = event {
            progress.line(&format!("shard {shard} of {shards}: {made} pictures"));
        }
        ControlFlow::Continue(())
    };
    let engine = LeaseEngine::join(run.clone(), None, "synthetic_data", LEASE)?;
    let summary = Worker::new(run.clone(), model)?.work(&engine, &mut observer)?;
    progress.finish();
    ensure!(summary.dead == 0, "{} shards could not be made", summary.dead);
    Ok(())
}

/// Adds the pictures of a shard that show two shapes.
fn read(path: &Path, pictures: &mut Vec<Picture>) -> anyhow::Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {path:?}"))?;
    let mut image = None;
    for entry in tar::Archive::new(std::io::BufReader::new(file)).entries()? {
        let mut entry = entry?;
        let is_image = entry.path()?.extension().is_some_and(|ending| ending == "png");
        let mut content = vec![];
        entry.read_to_end(&mut content)?;
        if is_image {
            image = Some(Pixels::try_from(image::load_from_memory(&content)?.into_rgb8())?);
            continue;
        }
        // What is known of a picture stands behind it.
        let sample: Sample = serde_json::from_slice(&content)?;
        let Some(image) = image.take().filter(|_| sample.outcome == Outcome::Made) else {
            bail!("{}: there is no picture of `{}`", path.display(), sample.prompt)
        };
        let label = |name: &str| sample.labels.get(name).cloned();
        let Some(relation) = label("relation") else { continue };
        let shapes = [label("shape"), label("shape.2")].map(|shape| shape.context("no shape"));
        let [first, second] = shapes;
        let shapes = [serde_json::from_value(first?)?, serde_json::from_value(second?)?];
        pictures.push(Picture::new(&image, shapes, serde_json::from_value(relation)?)?);
    }
    Ok(())
}

/// Scenes at random, of another seed other ones.
pub(crate) fn drawn(seed: u64, count: usize, side: usize) -> anyhow::Result<Vec<Picture>> {
    let scene = |index: usize| {
        let mut draws = generator(seed, SCENES, [index as u64, 0]);
        let scene = Scene::random(&mut draws);
        let image: RgbImage = scene.draw(side as u32, &mut draws);
        let shapes = scene.figures.map(|figure| figure.shape);
        Picture::new(&image.try_into()?, shapes, scene.relation)
    };
    (0..count).map(scene).collect()
}
