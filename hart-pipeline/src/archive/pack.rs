//! Packing a model's folder.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use burn::tensor::{DType, TensorData, f16};
use hart_core::checkpoint::{Checkpoint, to_safetensors};
use hart_core::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::MAX_FILE;
use super::planes::split_planes;

/// The ending of a weights file whose bytes are in planes.
pub(super) const PLANES: &str = "planes";

/// Files that are taken as they are.
pub(super) const PLAIN: [&str; 7] = [
    "generation.json",
    "llm/config.json",
    "tokenizer/config.json",
    "text/config.json",
    "text/tokenizer.json",
    "text/tokenizer_config.json",
    "text/words.txt",
];
/// One that a folder may have as well.
const OPTIONAL: &str = "text/synonyms.json";

/// Bits of the fraction of a number in 16 bits.
pub const FRACTION_BITS: u32 = 10;

/// Packs a model's folder, with its text encoder in `text/`: the mean of the weights alone, in 16
/// bits, whose high and low bytes are stored apart. The same folder gives the same bytes. Returns
/// the archive and how many parameters it holds.
///
/// Weights are rounded to `fraction_bits` bits behind the leading one, at most [`FRACTION_BITS`], all
/// that there are. Each bit less makes the archive smaller by nearly one bit a parameter, since zeros
/// compress to nothing; bfloat16 has 7.
///
/// # Errors
/// [`Error::Io`] or [`Error::Malformed`] when a file is missing, damaged, or larger than 1 GiB,
/// [`Error::Invalid`] for more bits than there are.
pub fn pack(folder: impl AsRef<Path>, fraction_bits: u32) -> Result<(Vec<u8>, usize)> {
    if fraction_bits > FRACTION_BITS {
        return Err(Error::invalid("bits of the fraction", fraction_bits, "at most 10"));
    }
    let folder = folder.as_ref();
    let mut files = BTreeMap::new();
    let optional = folder.join(OPTIONAL).is_file().then_some(OPTIONAL);
    for name in PLAIN.into_iter().chain(optional) {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        files.insert(name.to_string(), bytes);
    }
    let weights = [
        ("llm", Checkpoint::open_torch(folder.join("llm/ema_model.bin"))?),
        ("tokenizer", Checkpoint::open_folder(folder.join("tokenizer"))?),
        ("text", Checkpoint::open_folder(folder.join("text"))?),
    ];
    let mut parameters = 0;
    for (part, checkpoint) in &weights {
        let tensors = in_bits(checkpoint, DType::F16)?;
        let rounded = |(name, data): (String, TensorData)| (name, round(data, fraction_bits));
        let tensors: BTreeMap<_, _> = tensors.into_iter().map(rounded).collect();
        parameters += tensors.values().map(|data| data.shape.num_elements()).sum::<usize>();
        let name = format!("{part}/model.safetensors.{PLANES}");
        files.insert(name, split_planes(&to_safetensors(&tensors)?));
    }
    if let Some((name, _)) = files.iter().find(|(_, bytes)| bytes.len() as u64 > MAX_FILE) {
        let problem = "larger than 1 GiB, the most that is read of an archive";
        return Err(Error::malformed(folder.join(name), problem));
    }
    let archive = write(&files);
    Ok((archive.map_err(|error| Error::malformed(folder, error))?, parameters))
}

/// Numbers in 16 bits rounded to the nearest with N bits of the fraction, ties to even. One that
/// would become infinite stays.
fn round(data: TensorData, fraction_bits: u32) -> TensorData {
    let dropped = FRACTION_BITS - fraction_bits;
    let round = |value: f16| {
        let bits = u32::from(value.to_bits());
        let even = (bits >> dropped) & 1;
        let half = if dropped == 0 { 0 } else { (1 << (dropped - 1)) - 1 + even };
        let rounded = f16::from_bits(((bits + half) >> dropped << dropped) as u16);
        if rounded.is_finite() { rounded } else { value }
    };
    let shape = data.shape.clone();
    let values: Vec<f16> = data.iter::<f16>().map(round).collect();
    TensorData::new(values, shape)
}

/// All weights of a checkpoint but those of the adversary, which generating does not need.
pub(super) fn in_bits(
    checkpoint: &Checkpoint,
    dtype: DType,
) -> Result<BTreeMap<String, TensorData>> {
    let mut tensors = BTreeMap::new();
    for name in checkpoint.names().filter(|name| !name.starts_with("disc.")) {
        if checkpoint.get(name).is_some_and(|tensor| tensor.dtype().is_loadable()) {
            tensors.insert(name.to_string(), checkpoint.read_finite(name, dtype)?);
        }
    }
    Ok(tensors)
}

fn write(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut archive = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default());
    for (name, bytes) in files {
        archive.start_file(name.as_str(), options)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{TensorData, f16};

    use super::round;

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        let values =
            [1.0, -1.0 - 3.0 / 1024.0, 1.0 + 1.0 / 1024.0, 1.999, 6e-8, 0.0, -0.0, 65504.0];
        let data = TensorData::from(values.map(f16::from_f32));
        let of = |bits| round(data.clone(), bits).iter::<f32>().collect::<Vec<_>>();
        assert_eq!(round(data.clone(), 10), data);
        // Ties go to the even one; the largest number stays, as its neighbour would be infinite.
        let expected = [1.0, -1.0 - 4.0 / 1024.0, 1.0, 2.0, 0.0, 0.0, -0.0, 65504.0];
        assert_eq!(of(9), expected);
        for bits in 0..10 {
            for (value, rounded) in values.iter().zip(of(bits)) {
                let error = (value - rounded).abs() / value.abs().max(1e-4);
                assert!(error <= 0.6 * 0.5f32.powi(bits as i32), "{bits}: {value} {rounded}");
            }
        }
    }
}
