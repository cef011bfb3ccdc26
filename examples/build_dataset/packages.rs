//! The packages that pictures and words come from, each of one version with one hash.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};

/// A package of the npm registry.
pub(crate) struct Package {
    /// Its name there.
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The SHA-256 of its archive.
    pub(crate) sha256: &'static str,
    /// The licence it is under.
    pub(crate) licence: &'static str,
    /// Who made what is used of it.
    pub(crate) origin: &'static str,
}

/// Noto Emoji as SVG.
pub(crate) const NOTO: Package = Package {
    name: "@iconify-json/noto",
    version: "1.2.9",
    sha256: "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    licence: "Apache-2.0",
    origin: "Noto Emoji, Google",
};

/// Fluent Emoji, flat, as SVG.
pub(crate) const FLAT: Package = Package {
    name: "@iconify-json/fluent-emoji-flat",
    version: "1.2.6",
    sha256: "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    licence: "MIT",
    origin: "Fluent Emoji, Microsoft Corporation",
};

/// Fluent Emoji, three-dimensional, as WebP.
pub(crate) const ROUND: Package = Package {
    name: "@lobehub/fluent-emoji-3d",
    version: "1.1.0",
    sha256: "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    licence: "MIT",
    origin: "Fluent Emoji, Microsoft Corporation, packed by LobeHub",
};

/// Labels and tags.
pub(crate) const EMOJIBASE: Package = Package {
    name: "emojibase-data",
    version: "17.0.0",
    sha256: "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    licence: "MIT",
    origin: "Emojibase, Miles Johnson",
};

/// Keywords.
pub(crate) const EMOJILIB: Package = Package {
    name: "emojilib",
    version: "4.0.3",
    sha256: "7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303",
    licence: "MIT",
    origin: "emojilib, Mu-An Chiou",
};

/// All of them.
pub(crate) const ALL: [&Package; 5] = [&NOTO, &FLAT, &ROUND, &EMOJIBASE, &EMOJILIB];

impl Package {
    /// The files of the package by their paths inside it. Its archive is looked for in `folder`,
    /// and fetched into it by `npm pack` when it is not there.
    pub(crate) fn files(&self, folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let path = self.fetch(folder)?;
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let found = sha256(&bytes);
        ensure!(
            found == self.sha256,
            "{} is not the {} {} this program was written for: its SHA-256 is {found}, expected {}",
            path.display(),
            self.name,
            self.version,
            self.sha256
        );
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let mut files = BTreeMap::new();
        for entry in archive.entries()? {
            let mut entry = entry.with_context(|| format!("{} is damaged", path.display()))?;
            let name = entry.path()?.to_string_lossy().into_owned();
            let mut content = vec![];
            entry.read_to_end(&mut content)?;
            files.insert(name.trim_start_matches("package/").to_string(), content);
        }
        Ok(files)
    }

    fn fetch(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let base = self.name.trim_start_matches('@').replace('/', "-");
        let path = folder.join(format!("{base}-{}.tgz", self.version));
        if path.is_file() {
            return Ok(path);
        }
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let wanted = format!("{}@{}", self.name, self.version);
        let output = Command::new("npm")
            .args(["pack", &wanted, "--silent"])
            .current_dir(folder)
            .output()
            .context("cannot run `npm`, which fetches the packages; it comes with Node.js")?;
        if !output.status.success() || !path.is_file() {
            bail!(
                "`npm pack {wanted}` gave no {}: {}",
                path.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(path)
    }
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of a package as JSON.
pub(crate) fn json(
    package: &Package,
    files: &BTreeMap<String, Vec<u8>>,
    name: &str,
) -> anyhow::Result<serde_json::Value> {
    let bytes = files.get(name).with_context(|| format!("{} has no {name}", package.name))?;
    serde_json::from_slice(bytes).with_context(|| format!("{name} of {} is no JSON", package.name))
}
