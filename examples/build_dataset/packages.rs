//! The packages that drawings and words come from, each with one version and one hash.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use hart_core::StagedFolder;
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
    /// The authors of the parts that are used.
    pub(crate) origin: &'static str,
    /// The parts that are used.
    pub(crate) used: &'static str,
}

/// Noto Emoji as SVG.
pub(crate) const NOTO: Package = Package {
    name: "@iconify-json/noto",
    version: "1.2.9",
    sha256: "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    licence: "Apache-2.0",
    origin: "Noto Emoji, Google LLC",
    used: "drawings called cartoon",
};

/// Fluent Emoji, flat, as SVG.
pub(crate) const FLAT: Package = Package {
    name: "@iconify-json/fluent-emoji-flat",
    version: "1.2.6",
    sha256: "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    licence: "MIT",
    origin: "Fluent Emoji, © Microsoft Corporation",
    used: "drawings called flat",
};

/// Fluent Emoji, three-dimensional, as WebP.
pub(crate) const ROUND: Package = Package {
    name: "@lobehub/fluent-emoji-3d",
    version: "1.1.0",
    sha256: "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    licence: "MIT",
    origin: "Fluent Emoji, © Microsoft Corporation, packed by LobeHub",
    used: "drawings called 3D",
};

/// Labels and tags.
pub(crate) const EMOJIBASE: Package = Package {
    name: "emojibase-data",
    version: "17.0.0",
    sha256: "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    licence: "MIT",
    origin: "Emojibase, © Miles Johnson",
    used: "labels, tags and groups",
};

/// Keywords.
pub(crate) const EMOJILIB: Package = Package {
    name: "emojilib",
    version: "4.0.3",
    sha256: "7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303",
    licence: "MIT",
    origin: "emojilib, © Mu-An Chiou",
    used: "keywords",
};

/// All of them.
pub(crate) const ALL: [&Package; 5] = [&NOTO, &FLAT, &ROUND, &EMOJIBASE, &EMOJILIB];

impl Package {
    /// The files of the package. Its archive is read from `folder`; if it is missing, `npm pack`
    /// fetches it into that folder.
    pub(crate) fn open(&self, folder: &Path) -> anyhow::Result<Files> {
        let path = self.fetch(folder)?;
        let bytes = self
            .read(&path)
            .with_context(|| format!("delete {} to fetch it again", path.display()))?;
        let files = unpack(&bytes).with_context(|| format!("cannot unpack {}", path.display()))?;
        Ok(Files { package: self.name, files })
    }

    /// The archive, if its hash is right.
    fn read(&self, path: &Path) -> anyhow::Result<Vec<u8>> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let found = sha256(&bytes);
        ensure!(
            found == self.sha256,
            "{} is not {} {}: its SHA-256 is {found}, expected {}",
            path.display(),
            self.name,
            self.version,
            self.sha256
        );
        Ok(bytes)
    }

    fn fetch(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let base = self.name.trim_start_matches('@').replace('/', "-");
        let archive = format!("{base}-{}.tgz", self.version);
        let path = folder.join(&archive);
        if path.is_file() {
            return Ok(path);
        }
        let wanted = format!("{}@{}", self.name, self.version);
        // An incomplete download never gets the name of the archive.
        let arriving = arrivals(folder)?;
        let output = Command::new("npm")
            .args(["pack", &wanted, "--silent"])
            .current_dir(arriving.path())
            .output()
            .with_context(|| {
                format!("cannot run `npm`, which comes with Node.js, to fetch {wanted}")
            })?;
        let arrived = arriving.path().join(&archive);
        if !output.status.success() || !arrived.is_file() {
            let reason = String::from_utf8_lossy(&output.stderr);
            bail!("`npm pack {wanted}` did not write {archive}: {}", reason.trim());
        }
        self.read(&arrived).with_context(|| format!("`npm pack {wanted}` wrote another file"))?;
        std::fs::rename(&arrived, &path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// A temporary folder inside `folder` for a download; it is deleted when it is dropped, and by the
/// next download when the process is killed.
pub(crate) fn arrivals(folder: &Path) -> anyhow::Result<StagedFolder> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    Ok(StagedFolder::begin(folder.join("arriving"), ".arriving-")?)
}

/// The files of a package by their paths inside it.
pub(crate) struct Files {
    package: &'static str,
    files: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// A file as JSON.
    pub(crate) fn json(&self, name: &str) -> anyhow::Result<serde_json::Value> {
        let bytes =
            self.files.get(name).with_context(|| format!("{} has no {name}", self.package))?;
        serde_json::from_slice(bytes)
            .with_context(|| format!("{name} of {} is not valid JSON", self.package))
    }
}

impl IntoIterator for Files {
    type Item = (String, Vec<u8>);
    type IntoIter = std::collections::btree_map::IntoIter<String, Vec<u8>>;

    fn into_iter(self) -> Self::IntoIter {
        self.files.into_iter()
    }
}

fn unpack(bytes: &[u8]) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut content = vec![];
        entry.read_to_end(&mut content)?;
        files.insert(path.trim_start_matches("package/").to_string(), content);
    }
    Ok(files)
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{NOTO, Package, sha256, unpack};

    const ARCHIVE: &str = "iconify-json-noto-1.2.9.tgz";

    fn archive() -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        // Long enough that half of the archive is not all of it.
        let content: Vec<u8> =
            (0..4096u32).flat_map(|i| sha256(&i.to_le_bytes()).into_bytes()).collect();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut files = tar::Builder::new(GzEncoder::new(vec![], Compression::fast()));
        files.append_data(&mut header, "package/words.txt", &content[..]).unwrap();
        files.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let bytes = archive();
        assert!(unpack(&bytes).unwrap().contains_key("words.txt"));
        assert!(unpack(&bytes[..bytes.len() / 2]).is_err());
        assert!(unpack(b"no archive").is_err());
    }

    #[test]
    fn another_archive_is_refused_with_both_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = archive();
        std::fs::File::create(folder.path().join(ARCHIVE)).unwrap().write_all(&bytes).unwrap();
        let error = format!("{:#}", NOTO.open(folder.path()).err().unwrap());
        for part in [ARCHIVE, NOTO.name, NOTO.sha256, &sha256(&bytes)] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn files_that_are_not_as_expected_are_named() {
        let package = Package { sha256: Box::leak(sha256(&archive()).into_boxed_str()), ..NOTO };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(ARCHIVE), archive()).unwrap();
        let files = package.open(folder.path()).unwrap();
        let error = |name| files.json(name).unwrap_err().to_string();
        assert_eq!(error("icons.json"), "@iconify-json/noto has no icons.json");
        assert_eq!(error("words.txt"), "words.txt of @iconify-json/noto is not valid JSON");
    }
}
