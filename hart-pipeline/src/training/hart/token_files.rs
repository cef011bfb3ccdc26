//! Files with the tokens of images: one of all, and while they are being encoded one a piece.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use hart_core::{Error, Result, write_atomically};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// The tensor that says what a file is of, as the bytes of JSON.
const ABOUT: &str = "tokens";

/// The tokens of some images.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tokens {
    /// For each image the codes of all scales.
    pub(super) codes: Vec<u32>,
    /// For each image the residual, `[last tokens, Z]`.
    pub(super) residuals: Vec<f32>,
    sizes: [usize; 2],
}

impl Tokens {
    /// Of no image; an image has as many codes and values of the residual as `sizes` says.
    pub(super) fn new(sizes: [usize; 2]) -> Self {
        Self { codes: vec![], residuals: vec![], sizes }
    }

    pub(super) fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// How many images there are.
    pub(super) fn images(&self) -> usize {
        self.codes.len() / self.sizes[0]
    }

    /// The codes of an image.
    pub(super) fn codes(&self, image: usize) -> Vec<usize> {
        let codes = &self.codes[image * self.sizes[0]..][..self.sizes[0]];
        codes.iter().map(|&code| code as usize).collect()
    }

    /// The residual of an image, row by row.
    pub(super) fn residual(&self, image: usize) -> &[f32] {
        &self.residuals[image * self.sizes[1]..][..self.sizes[1]]
    }

    pub(super) fn append(&mut self, other: Self) {
        self.codes.extend(other.codes);
        self.residuals.extend(other.residuals);
    }

    /// Some images, counted from `first`.
    fn part(&self, first: usize, count: usize) -> Self {
        let [codes, values] = self.sizes;
        Self {
            codes: self.codes[first * codes..][..count * codes].to_vec(),
            residuals: self.residuals[first * values..][..count * values].to_vec(),
            sizes: self.sizes,
        }
    }
}

/// What a file is of.
#[derive(Serialize, Deserialize)]
struct About {
    /// Images of a piece; the last one may have fewer.
    piece: usize,
    /// The key of each piece.
    keys: Vec<String>,
    /// The hash of codes and residuals.
    sha256: String,
}

/// The files of one set of records.
pub(super) struct Store {
    /// The file of all tokens.
    path: PathBuf,
    /// The folder of pieces, until that is written.
    pieces: PathBuf,
    sizes: [usize; 2],
    /// Whether codes need more than 16 bits.
    wide: bool,
    /// What the file of all tokens had.
    whole: Option<(About, Tokens)>,
}

impl Store {
    /// Reads the file of all tokens; one that is damaged, or of an older version, is passed over.
    pub(super) fn open(path: &Path, sizes: [usize; 2], wide: bool) -> Self {
        let pieces = path.with_extension("pieces");
        let mut store = Self { path: path.to_path_buf(), pieces, sizes, wide, whole: None };
        store.whole = store.read(path);
        store
    }

    /// The tokens of a piece of `images` images, if they are known.
    pub(super) fn piece(&self, key: &Hash, images: usize) -> Option<Tokens> {
        let key = key.to_string();
        let from_whole = self.whole.as_ref().and_then(|(about, tokens)| {
            let place = about.keys.iter().position(|known| *known == key)? * about.piece;
            (place + images <= tokens.images()).then(|| tokens.part(place, images))
        });
        from_whole.or_else(|| {
            let (about, tokens) = self.read(&self.file(&key))?;
            (about.keys == [key] && tokens.images() == images).then_some(tokens)
        })
    }

    /// Keeps the tokens of a piece that was encoded.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub(super) fn keep(&self, key: &Hash, tokens: &Tokens) -> Result<()> {
        fs::create_dir_all(&self.pieces).map_err(|error| Error::io(&self.pieces, error))?;
        let key = key.to_string();
        self.write(&self.file(&key), vec![key], tokens.images(), tokens)
    }

    /// Writes the file of all tokens, if it is not the one that was read, and removes the pieces.
    ///
    /// # Errors
    /// [`Error::Io`] when that cannot be done.
    pub(super) fn finish(&self, keys: &[Hash], piece: usize, tokens: &Tokens) -> Result<()> {
        let keys: Vec<String> = keys.iter().map(Hash::to_string).collect();
        if self.whole.as_ref().is_none_or(|(about, _)| about.keys != keys) {
            self.write(&self.path, keys, piece, tokens)?;
        }
        if self.pieces.exists() {
            fs::remove_dir_all(&self.pieces).map_err(|error| Error::io(&self.pieces, error))?;
        }
        Ok(())
    }

    /// The file of a piece.
    fn file(&self, key: &str) -> PathBuf {
        self.pieces.join(format!("{key}.safetensors"))
    }

    fn write(&self, path: &Path, keys: Vec<String>, piece: usize, tokens: &Tokens) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| Error::malformed(path, error);
        let codes: Vec<u8> = match self.wide {
            true => tokens.codes.iter().flat_map(|code| code.to_le_bytes()).collect(),
            false => tokens.codes.iter().flat_map(|&code| (code as u16).to_le_bytes()).collect(),
        };
        let residuals: Vec<u8> =
            tokens.residuals.iter().flat_map(|value| value.to_le_bytes()).collect();
        let sha256 = Hash::of_all([&codes, &residuals]).to_string();
        // A tensor, since the order of several metadata is another in every process.
        let about = serde_json::to_vec(&About { piece, keys, sha256 });
        let about = about.map_err(|error| failed(&error))?;
        let format = HashMap::from([("format".to_string(), "pt".to_string())]);
        let (images, [per_code, per_value]) = (tokens.images(), self.sizes);
        let kind = if self.wide { Dtype::U32 } else { Dtype::U16 };
        let serialize = || {
            let views = [
                ("codes", TensorView::new(kind, vec![images, per_code], &codes)?),
                ("residuals", TensorView::new(Dtype::F32, vec![images, per_value], &residuals)?),
                (ABOUT, TensorView::new(Dtype::U8, vec![about.len()], &about)?),
            ];
            safetensors::serialize(views, Some(format))
        };
        write_atomically(path, &serialize().map_err(|error| failed(&error))?)
    }

    /// What a file has, if it is there and whole.
    fn read(&self, path: &Path) -> Option<(About, Tokens)> {
        let bytes = fs::read(path).ok()?;
        let tensors = SafeTensors::deserialize(&bytes).ok()?;
        let about: About = serde_json::from_slice(tensors.tensor(ABOUT).ok()?.data()).ok()?;
        let (codes, residuals) = (tensors.tensor("codes").ok()?, tensors.tensor("residuals").ok()?);
        if Hash::of_all([codes.data(), residuals.data()]).to_string() != about.sha256 {
            return None;
        }
        let wide = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let narrow = |b: &[u8]| u32::from(u16::from_le_bytes([b[0], b[1]]));
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let found = Tokens {
            codes: match codes.dtype() {
                Dtype::U32 => codes.data().chunks_exact(4).map(wide).collect(),
                _ => codes.data().chunks_exact(2).map(narrow).collect(),
            },
            residuals: residuals.data().chunks_exact(4).map(value).collect(),
            sizes: self.sizes,
        };
        let images = found.images();
        let fits = codes.shape() == [images, self.sizes[0]]
            && residuals.shape() == [images, self.sizes[1]]
            && about.piece > 0
            && about.keys.len() == images.div_ceil(about.piece);
        fits.then_some((about, found))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Store, Tokens};
    use crate::hash::Hash;

    /// Tokens of images with two codes and one value each.
    fn tokens(codes: [u32; 4]) -> Tokens {
        Tokens { codes: codes.to_vec(), residuals: vec![0.5, -0.25], sizes: [2, 1] }
    }

    #[test]
    fn codes_beyond_16_bits_are_kept_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokens.safetensors");
        for (wide, codes) in [(true, [70_001, 0, 65_536, 65_535]), (false, [9, 0, 65_535, 1])] {
            let key = Hash::of(&[u8::from(wide)]);
            Store::open(&path, [2, 1], wide).finish(&[key], 2, &tokens(codes)).expect("a file");
            let read = Store::open(&path, [2, 1], wide).piece(&key, 2);
            assert_eq!(read.expect("the tokens"), tokens(codes));
        }
    }

    #[test]
    fn pieces_are_kept_until_all_are_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tokens.safetensors");
        let open = || Store::open(&path, [2, 1], false);
        let [first, second] = [1, 2].map(|key| Hash::of(&[key]));
        open().keep(&first, &tokens([1, 2, 3, 4])).expect("a file");
        assert_eq!(open().piece(&first, 2), Some(tokens([1, 2, 3, 4])));
        assert_eq!(open().piece(&second, 2), None);
        let mut all = tokens([1, 2, 3, 4]);
        all.append(tokens([5, 6, 7, 8]));
        open().finish(&[first, second], 2, &all).expect("a file");
        assert_eq!(open().piece(&second, 2), Some(tokens([5, 6, 7, 8])));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);

        // Damage is seen, whether it is a byte or a half.
        let bytes = fs::read(&path).expect("a file");
        let mut other = bytes.clone();
        *other.last_mut().expect("bytes") ^= 1;
        for damaged in [&other[..], &bytes[..bytes.len() / 2], b""] {
            fs::write(&path, damaged).expect("a file");
            assert_eq!(open().piece(&first, 2), None);
        }
    }
}
