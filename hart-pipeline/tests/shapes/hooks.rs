//! A hook does what it says, and nothing else.

use burn::tensor::{Tensor, TensorData};
use hart_core::random::{Draws, SeededDraws};
use hart_core::{HartBackend, Result};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::generation::{GenerationHook, ResidualSampling, ScaleTokens, Step};
use hart_pipeline::{GenerationSettings, HartModel};

use crate::{Kept, as_usual, assert_close, draws, model, settings, text};

type Backend = DefaultBackend;

/// A generation under a hook: the latent, and all that it offered.
fn run(
    model: &HartModel<Backend>,
    settings: &GenerationSettings,
    hook: &mut dyn GenerationHook<Backend>,
) -> (Vec<f32>, Kept) {
    let (text, draws, mut kept) = (text(), draws(), Kept::default());
    let generation = model.generation(&text, settings, &draws);
    let latent = generation.hook(hook).tap(&mut kept).run().expect("a latent");
    (latent.into_data().iter::<f32>().collect(), kept)
}

/// Puts back the latents of another generation, and its tokens at the last scale.
struct Replay<'a>(&'a Kept);

impl Replay<'_> {
    fn tensor<const D: usize>(&self, name: &str) -> Tensor<Backend, D> {
        Tensor::from_data(self.0.get(name).clone(), &default_device())
    }
}

impl GenerationHook<Backend> for Replay<'_> {
    fn tokens(
        &mut self,
        step: &Step<'_, Backend>,
        tokens: ScaleTokens<Backend>,
    ) -> Result<ScaleTokens<Backend>> {
        if step.scale < step.model.transformer.scales().last() {
            return Ok(tokens);
        }
        let indices = self.0.get(&format!("pass.{}.indices", step.pass)).clone();
        Ok(ScaleTokens { indices: Tensor::from_data(indices, &default_device()), ..tokens })
    }

    fn latent(&mut self, scale: usize, latent: Tensor<Backend, 4>) -> Result<Tensor<Backend, 4>> {
        let name = format!("scale.{scale}.latent");
        if self.0.0.contains_key(&name) { Ok(self.tensor(&name)) } else { Ok(latent) }
    }
}

/// On the CPU a row is computed in the same order whatever rows are beside it.
#[test]
#[cfg(feature = "flex")]
fn no_guidance_is_the_conditional_half_of_guidance() {
    let unguided = settings(|settings| settings.guidance = 0.0);
    let (_, alone) = run(model(), &unguided, &mut ());
    let (_, both) = run(model(), &settings(as_usual), &mut Replay(&alone));
    let mut compared = 0;
    for (name, expected) in &alone.0 {
        let is_of_one_half = ["input", "attention", "output", "hidden", "logits", "condition"]
            .contains(&name.rsplit('.').next().unwrap_or_default());
        if !is_of_one_half {
            continue;
        }
        let expected: Vec<f32> = expected.iter::<f32>().collect();
        let found = both.values(name);
        // The context step offers its halves apart, later ones one behind the other.
        let whole = name.contains(".conditional.");
        assert_eq!(found.len(), expected.len() * if whole { 1 } else { 2 }, "{name}");
        assert!(found[..expected.len()] == expected, "{name} is not the same");
        compared += 1;
    }
    assert!(compared > 20, "only {compared} tensors were compared");
    assert!(!alone.0.keys().any(|name| name.contains("unconditional")), "it was computed");
}

/// Every other cell from some scale on.
struct Sparse {
    from: usize,
    seen: Vec<(usize, Vec<Vec<usize>>)>,
}

impl GenerationHook<Backend> for Sparse {
    fn positions(&mut self, scale: usize, image: usize) -> Option<Vec<usize>> {
        let cells = model().transformer.scales().tokens(scale);
        (scale >= self.from).then(|| (image..cells - 1 + image).step_by(2).collect())
    }

    fn tokens(
        &mut self,
        step: &Step<'_, Backend>,
        tokens: ScaleTokens<Backend>,
    ) -> Result<ScaleTokens<Backend>> {
        self.seen.push((step.scale, step.positions.to_vec()));
        Ok(tokens)
    }
}

#[test]
fn what_is_not_computed_adds_nothing() {
    let scales = model().transformer.scales();
    let mut hook = Sparse { from: scales.last() - 1, seen: vec![] };
    let (latent, kept) = run(model(), &settings(as_usual), &mut hook);
    let (_, usual) = run(model(), &settings(as_usual), &mut ());
    for (scale, positions) in &hook.seen {
        let cells = scales.tokens(*scale);
        let computed = |image: usize, cell: usize| positions[image].contains(&cell);
        if *scale < hook.from {
            let name = format!("scale.{scale}.latent");
            assert!(kept.values(&name) == usual.values(&name), "{name} has changed");
            assert!(positions.iter().all(|cells_of| cells_of.len() == cells));
            continue;
        }
        // What the scale adds to every cell of its map.
        let added = if *scale == scales.last() {
            let before = kept.values(&format!("scale.{}.latent", scale - 1));
            latent.iter().zip(&before).map(|(after, before)| after - before).collect()
        } else {
            kept.values(&format!("scale.{scale}.tokens"))
        };
        let channels = added.len() / (2 * cells);
        for (plane, added) in added.chunks_exact(cells).enumerate() {
            for (cell, value) in added.iter().enumerate() {
                let image = plane / channels;
                assert!(*value == 0.0 || computed(image, cell), "image {image}, cell {cell}");
            }
        }
        assert!(added.iter().any(|value| *value != 0.0));
    }
}

#[test]
fn masked_passes_cover_exactly_the_positions_asked_for() {
    let last = model().transformer.scales().last();
    let settings = settings(|settings| settings.mask_passes = 3);
    let mut hook = Sparse { from: last, seen: vec![] };
    run(model(), &settings, &mut hook);
    for image in 0..2 {
        let passes = hook.seen.iter().filter(|(scale, _)| *scale == last);
        let mut cells: Vec<usize> = passes.flat_map(|(_, cells)| cells[image].clone()).collect();
        cells.sort_unstable();
        assert_eq!(Some(cells), hook.positions(last, image));
    }
}

/// The same code everywhere.
struct OneCode(i64);

impl GenerationHook<Backend> for OneCode {
    fn tokens(
        &mut self,
        step: &Step<'_, Backend>,
        tokens: ScaleTokens<Backend>,
    ) -> Result<ScaleTokens<Backend>> {
        let indices = tokens.indices.full_like(self.0);
        let vectors = step.model.tokenizer.quantizer.embed(indices.clone());
        Ok(ScaleTokens { indices, vectors })
    }
}

#[test]
fn forced_tokens_are_what_the_latent_is_made_of() {
    let settings = settings(|settings| settings.noise_schedule = None);
    let (_, kept) = run(model(), &settings, &mut OneCode(5));
    let (quantizer, scales) = (&model().tokenizer.quantizer, model().transformer.scales());
    let mut latents: Vec<Tensor<Backend, 4>> = vec![];
    for scale in 0..scales.last() {
        let shape = [2, scales.tokens(scale)];
        let codes = quantizer.embed(Tensor::full(shape, 5, &default_device()));
        let added = quantizer.contribution(scale, codes);
        latents.push(latents.last().map_or(added.clone(), |latent| latent.clone() + added));
        let expected: Vec<f32> = latents[scale].to_data().iter::<f32>().collect();
        let name = format!("scale.{scale}.latent");
        assert_close(&kept.values(&name), &expected, &name);
        let indices = kept.get(&format!("scale.{scale}.indices"));
        assert!(indices.iter::<i64>().all(|index| index == 5));
    }
}

/// Draws of its own.
struct OtherSeeds;

impl GenerationHook<Backend> for OtherSeeds {
    fn draws<'d>(&mut self, _: Box<dyn Draws + 'd>) -> Box<dyn Draws + 'd> {
        Box::new(SeededDraws::new([70, 80]))
    }
}

#[test]
fn draws_of_a_hook_take_the_place_of_the_seeds() {
    let (found, _) = run(model(), &settings(as_usual), &mut OtherSeeds);
    let (text, settings, draws) = (text(), settings(as_usual), SeededDraws::new([70, 80]));
    let expected = model().generation(&text, &settings, &draws).run().expect("a latent");
    assert!(found == expected.into_data().iter::<f32>().collect::<Vec<_>>());
    assert!(found != run(model(), &settings, &mut ()).0);
}

/// A residual of its own, the same everywhere.
struct ConstantResidual(f32);

impl<B: HartBackend> GenerationHook<B> for ConstantResidual {
    fn residual(
        &mut self,
        _: &Step<'_, B>,
        sampling: ResidualSampling<'_, B>,
    ) -> Result<Tensor<B, 3>> {
        let shape = sampling.start.dims();
        let values = vec![self.0; shape.iter().product()];
        Ok(Tensor::from_data(TensorData::new(values, shape), &sampling.start.device()))
    }
}

#[test]
fn a_residual_of_a_hook_is_added_to_the_codes() {
    let codes_alone = settings(|settings| settings.noise_schedule = None);
    let (codes, _) = run(model(), &codes_alone, &mut ());
    let (nothing, _) = run(model(), &settings(as_usual), &mut ConstantResidual(0.0));
    assert!(nothing == codes, "a residual of zero is not zero");
    let (moved, _) = run(model(), &settings(as_usual), &mut ConstantResidual(0.25));
    let expected: Vec<f32> = codes.iter().map(|value| value + 0.25).collect();
    assert_close(&moved, &expected, "the latent");
}

/// No guidance from some scale on.
struct GuidanceUntil(usize);

impl<B: HartBackend> GenerationHook<B> for GuidanceUntil {
    fn guidance(&mut self, scale: usize, usual: f64) -> f64 {
        if scale < self.0 { usual } else { 0.0 }
    }
}

#[test]
fn guidance_that_ends_leaves_earlier_scales_as_they_are() {
    let scales = model().transformer.scales();
    let (_, usual) = run(model(), &settings(as_usual), &mut ());
    for until in 2..scales.last() {
        let (latent, kept) = run(model(), &settings(as_usual), &mut GuidanceUntil(until));
        for scale in 0..until {
            let name = format!("scale.{scale}.latent");
            assert!(kept.values(&name) == usual.values(&name), "{name}, guided until {until}");
        }
        // Nothing of the other half is computed any more.
        let rows = |scale: usize| kept.get(&format!("scale.{scale}.hidden")).shape[0];
        assert_eq!((rows(until - 1), rows(until)), (4, 2));
        assert!(latent != usual.values("latent"), "guided until {until}");
    }
}
