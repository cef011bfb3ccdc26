//! Prompts as people type them: a file of JSON objects, one a line.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use hart_core::HartBackend;
use hart_examples::gallery::Gallery;
use hart_examples::scene::{Colour, Scene};
use image::RgbImage;
use serde::Deserialize;
use serde_json::json;

use super::{Label, Scores};
use crate::captioned;
use crate::table::{Score, Table};

/// A prompt, and what its image should show.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompt {
    /// What is typed.
    prompt: String,
    /// The concept of the data set that is meant.
    concept: String,
    /// The style that is asked for; any is right without it.
    style: Option<String>,
    /// The background that is asked for; white without it.
    #[serde(default = "white")]
    background: Colour,
    /// What kind of wording it is.
    form: String,
    /// Whether the wording was kept from training.
    withheld: bool,
}

/// What of a prompt an image shows.
#[derive(Debug, Clone, Copy)]
struct Found {
    first: bool,
    among_five: bool,
    style: bool,
    background: bool,
}

/// Reads a file of prompts for things that are among `known`.
pub(super) fn read(path: &Path, known: &[Label]) -> anyhow::Result<Vec<Prompt>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut prompts = vec![];
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let place = || format!("{}, line {}", path.display(), line + 1);
        let prompt: Prompt =
            serde_json::from_str(text).with_context(|| format!("{}: not a prompt", place()))?;
        prompt.check(known).map_err(|problem| anyhow!("{}: {problem}", place()))?;
        prompts.push(prompt);
    }
    ensure!(!prompts.is_empty(), "{} has no prompts", path.display());
    Ok(prompts)
}

impl Prompt {
    /// Checks that there are images of what is asked for; the error says what is wrong.
    fn check(&self, known: &[Label]) -> Result<(), String> {
        let Self { prompt, concept, style, .. } = self;
        if prompt.trim().is_empty() {
            return Err("`prompt` is blank, expected some text".to_string());
        }
        if !known.iter().any(|label| label.concept == *concept) {
            return Err(format!("`concept` is `{concept}`, which the data set has not"));
        }
        let Some(style) = style else { return Ok(()) };
        if known.iter().any(|label| label.concept == *concept && label.style == *style) {
            return Ok(());
        }
        Err(format!("`style` is `{style}`, in which the data set has no `{concept}`"))
    }
}

impl<B: HartBackend> Scores<'_, B> {
    /// Retrieval by prompts as people type them, wordings that were trained and others apart.
    pub(super) fn prompts(&self, table: &mut Table) -> anyhow::Result<()> {
        if self.prompts.is_empty() {
            return Ok(());
        }
        let galleries: BTreeMap<&str, Gallery<Label>> =
            Colour::ALL.iter().map(|colour| (colour.name(), self.gallery_on(*colour))).collect();
        let texts: Vec<String> = self.prompts.iter().map(|prompt| prompt.prompt.clone()).collect();
        let painted = self.painter.paint("prompts", &texts)?;
        let found: Vec<Found> = self
            .prompts
            .iter()
            .zip(&painted)
            .map(|(prompt, image)| judge(prompt, image, &galleries[prompt.background.name()]))
            .collect();
        let marks: Vec<bool> = found.iter().map(|found| found.first).collect();
        captioned::sheet(&painted, &texts, &marks)
            .save(self.painter.folder().join("prompts-captioned.png"))?;
        let one = 3.0 / galleries["white"].len() as f64;
        let kinds = [(false, "trained wordings", 0.9), (true, "withheld wordings", 0.75)];
        for (withheld, name, target) in kinds {
            let rows: Vec<Found> = self.those(&found, |prompt| prompt.withheld == withheld);
            let name = |what: &str| format!("natural prompts, {name}: {what}");
            let mut add = |what: &str, right: fn(&Found) -> bool, chance: f64, target: f64| {
                let score = Score::new(name(what), share(&rows, right), rows.len());
                table.add(score.chance(chance).ceiling(1.0).target(target));
            };
            add("top-1", |found| found.first, one, target);
            add("top-5", |found| found.among_five, 5.0 * one, 0.9);
        }
        let styled = self.those(&found, |prompt| prompt.style.is_some());
        let score = share(&styled, |found| found.style);
        let score = Score::new("natural prompts: in the style asked for", score, styled.len());
        table.add(score.chance(one / 3.0).ceiling(1.0).target(0.7));
        let coloured = self.those(&found, |prompt| prompt.background != Colour::White);
        let score = share(&coloured, |found| found.background);
        let score =
            Score::new("natural prompts: on the background asked for", score, coloured.len());
        table.add(score.chance(0.1).ceiling(1.0).target(0.95));
        self.detail_prompts(&found, table);
        Ok(())
    }

    /// What was found for some of the prompts.
    fn those(&self, found: &[Found], chosen: impl Fn(&Prompt) -> bool) -> Vec<Found> {
        let all = self.prompts.iter().zip(found);
        all.filter(|(prompt, _)| chosen(prompt)).map(|(_, found)| *found).collect()
    }

    /// Which wordings are understood, and the prompts that are not.
    fn detail_prompts(&self, found: &[Found], table: &mut Table) {
        let mut forms = BTreeMap::<&str, [usize; 2]>::new();
        for (prompt, found) in self.prompts.iter().zip(found) {
            let [right, all] = forms.entry(&prompt.form).or_default();
            *right += usize::from(found.first);
            *all += 1;
        }
        table.detail("prompts_right_of_all_by_form", json!(forms));
        let missed = self.prompts.iter().zip(found).filter(|(_, found)| !found.first);
        let missed: Vec<&str> = missed.map(|(prompt, _)| prompt.prompt.as_str()).collect();
        table.detail("prompts_missed", json!(missed));
    }
}

/// Compares an image with those of the data set on the same background.
fn judge(prompt: &Prompt, image: &RgbImage, gallery: &Gallery<Label>) -> Found {
    let nearest = gallery.nearest(image, 5);
    let is_right = |label: &Label| label.concept == prompt.concept;
    let first = nearest.first().map(|(label, _)| *label);
    let in_style = |label: &Label| prompt.style.as_ref().is_none_or(|style| label.style == *style);
    Found {
        first: first.is_some_and(is_right),
        among_five: nearest.iter().any(|(label, _)| is_right(label)),
        style: first.is_some_and(|label| is_right(label) && in_style(label)),
        background: Scene::background_of(image) == prompt.background,
    }
}

fn share(found: &[Found], right: fn(&Found) -> bool) -> f64 {
    found.iter().filter(|found| right(found)).count() as f64 / found.len().max(1) as f64
}

fn white() -> Colour {
    Colour::White
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::scores::Label;

    #[test]
    fn prompts_that_cannot_be_judged_are_refused_by_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("prompts.jsonl");
        let known = [("cat", "flat"), ("cat", "3D"), ("owl", "flat")];
        let known =
            known.map(|(concept, style)| Label { concept: concept.into(), style: style.into() });
        let good = r#"{"prompt": "a 3d cat", "concept": "cat", "style": "3D", "form": "style", "withheld": false}"#;
        let read_with = |line: &str| {
            std::fs::write(&path, format!("{good}\n\n{line}\n")).expect("a file");
            read(&path, &known)
        };
        assert_eq!(read_with("").expect("a prompt").len(), 1);
        for (from, to, part) in [
            ("a 3d cat", " ", "`prompt` is blank"),
            ("\"cat\"", "\"cow\"", "`concept` is `cow`"),
            ("\"cat\"", "\"owl\"", "`style` is `3D`, in which the data set has no `owl`"),
            ("3D", "round", "`style` is `round`"),
            ("\"form\"", "\"from\"", "not a prompt"),
        ] {
            let error = read_with(&good.replace(from, to)).expect_err(to);
            let said = format!("{error:#}");
            assert!(said.contains("prompts.jsonl, line 3: ") && said.contains(part), "{said}");
        }
        std::fs::write(&path, "\n").expect("a file");
        assert!(read(&path, &known).is_err(), "there is none");
    }
}
