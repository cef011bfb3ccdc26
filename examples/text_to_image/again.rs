//! Making the image of a file again, from the settings in it.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use hart_examples::Progress;
use hart_examples::images::enlarge;
use hart_examples::named::{fetch, with_model, with_text_encoder};
use hart_pipeline::backend::compiled_in;
use hart_pipeline::image::FileFormat;
use hart_pipeline::text::{PaddingSide, SystemPrompt};
use hart_pipeline::{Event, HartPipeline, Image, ImageSettings, PipelineBuilder, Pixels, Request};
use serde_json::Value;

use crate::Arguments;

/// Makes the image of `file` again and compares the two files.
///
/// # Errors
/// When the file has no settings or some that cannot be followed, and when the images differ: with
/// what is missing or different.
pub(crate) fn make_again(file: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let settings = ImageSettings::read(file)?;
    let out = arguments.destination(1)?;
    let request = Request::again(&settings)?;
    let pipeline = fetch(builder(&settings, arguments)?)?.open(&device(&settings, arguments))?;
    let progress = Progress::start();
    let outcomes = pipeline.generate_with(&request, &mut |event: Event<'_>| progress.show(&event));
    progress.finish();
    let outcomes = outcomes
        .with_context(|| format!("the image was made with the model `{}`", settings.model))?;
    let image =
        outcomes.into_iter().next().context("a request for one image gave none")?.into_image()?;
    let factor = enlargement(file, &settings, &image)?;
    let image = enlarge(&image, factor)?;
    out.write(&image.encode(out.format())?)?;
    progress.line(&out.to_string());

    let before = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let line = if before == image.encode(FileFormat::of(file)?)? {
        format!("the same bytes as {}", file.display())
    } else {
        compare(file, &settings, &image)?
    };
    out.say(line)
}

/// The pipeline that the settings ask for.
fn builder(settings: &ImageSettings, arguments: &Arguments) -> anyhow::Result<PipelineBuilder> {
    let mut builder = match &arguments.pipeline.model {
        Some(model) => {
            let mut builder = with_model(HartPipeline::builder(), model);
            if let Some(weights) = &settings.weights {
                builder = builder.weights(weights.parse()?);
            }
            if let Some(side) = &settings.padding_side {
                builder = builder.padding_side(side.parse::<PaddingSide>()?);
            }
            if let Some(prompt) = &settings.system_prompt {
                builder = builder.system_prompt(SystemPrompt::from_settings(prompt)?);
            }
            builder
        }
        #[cfg(feature = "embedded")]
        None if settings.model == hart_pipeline::EMBEDDED => HartPipeline::builder().embedded(),
        None => bail!(
            "the image was made with the model `{}`, which is missing: give its folder, or its \
             name at the hub, with `--model`, and that of its text encoder with `--text-encoder`",
            settings.model
        ),
    };
    builder = builder.precision(settings.precision.parse()?);
    if let Some(encoder) = &arguments.pipeline.text_encoder {
        builder = with_text_encoder(builder, encoder);
    }
    if let Some(rows) = settings.strip_height {
        builder = builder.strip_height(rows);
    }
    Ok(builder)
}

/// The device that was asked for, or the one that the image was made on, if it is compiled in.
fn device(settings: &ImageSettings, arguments: &Arguments) -> String {
    let recorded = settings.backend.as_deref().filter(|name| compiled_in().contains(name));
    let chosen = arguments.pipeline.device.as_deref().or(recorded);
    chosen.unwrap_or(compiled_in()[0]).to_string()
}

/// How many times the file's pixels are enlarged. Files of version 0 do not say, but show it.
fn enlargement(file: &Path, settings: &ImageSettings, image: &Image) -> anyhow::Result<u32> {
    if settings.version > 0 {
        return Ok(settings.enlarged);
    }
    let width = Pixels::open(file)?.width();
    let factor = (width / image.width()) as u32;
    ensure!(factor >= 1, "the image is smaller than the model makes them: {width} pixels wide");
    Ok(factor)
}

/// How the images and their settings differ; an error when the pixels do.
fn compare(file: &Path, settings: &ImageSettings, image: &Image) -> anyhow::Result<String> {
    let old = Pixels::open(file)?;
    let size = (image.width(), image.height());
    let mut reasons = differences(settings, image.settings())?;
    if settings.version == 0 {
        reasons.push(
            "the file is of an older version, which did not record the system prompt, the padding \
             side, the weights and the backend; those usual now were taken"
                .to_string(),
        );
    }
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    if (old.width(), old.height()) != size {
        bail!("the image has another size than {}{reasons}", file.display());
    }
    let pairs = old.rgb().iter().zip(image.pixels().rgb());
    let apart: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).filter(|&d| d > 0).collect();
    match apart.iter().max() {
        None => {
            Ok(format!("the same pixels as {}, beside other settings{reasons}", file.display()))
        }
        Some(most) => bail!(
            "{} of {} values differ from {}, by at most {most} of 255{reasons}",
            apart.len(),
            old.rgb().len(),
            file.display()
        ),
    }
}

/// The settings that are recorded in both files with different values.
fn differences(old: &ImageSettings, new: &ImageSettings) -> anyhow::Result<Vec<String>> {
    let (old, new) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return Ok(vec![]) };
    let differ = new.iter().filter_map(|(key, new)| {
        let old = old.get(key).filter(|old| **old != Value::Null)?;
        let differs = old != new && key != "version" && key != "enlarged";
        differs.then(|| format!("`{key}` was {old} and is {new}"))
    });
    Ok(differ.collect())
}
