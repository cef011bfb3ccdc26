//! Indexing PyTorch files: a ZIP archive of uncompressed storages and a pickle that says which
//! tensor lies where.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::DType;
use zip::{CompressionMethod, ZipArchive};

use super::int8::INTEGERS;
use super::pickle;
use super::pickled::Pickled;
use super::{MappedFile, StoredTensor, StoredType};
use crate::{Error, Result};

/// The largest pickle that is interpreted: the names and shapes of a million tensors fit.
const MAX_PICKLE: u64 = 256 << 20;

/// Where a member of the archive lies in the file.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    length: usize,
}

/// The tensors of a state dictionary, by name.
pub(super) fn index(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
    let file = Arc::new(MappedFile::open(path)?);
    let malformed = |problem: String| Error::malformed(path, problem);
    let (pickle, storages) = read_archive(file.bytes()).map_err(malformed)?;
    let entries = match pickle::parse(&pickle).map_err(malformed)? {
        Pickled::Dict(entries) => entries,
        _ => return Err(malformed("the file does not hold a dictionary of tensors".into())),
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        let Pickled::Text(name) = key else {
            return Err(malformed("a key of the dictionary is not a string".into()));
        };
        let tensor = stored_tensor(&value, &storages, &file)
            .map_err(|problem| malformed(format!("tensor `{name}`: {problem}")))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The pickle of the archive, and the spans of its storages by key.
fn read_archive(bytes: &[u8]) -> Result<(Vec<u8>, HashMap<String, Span>), String> {
    let zip_problem = |error: zip::result::ZipError| format!("not a PyTorch archive: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(zip_problem)?;
    let mut pickle = None;
    let mut storages = HashMap::new();
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).map_err(zip_problem)?;
        let name = member.name().to_string();
        if name == "data.pkl" || name.ends_with("/data.pkl") {
            if member.size() > MAX_PICKLE {
                return Err(format!("its pickle of {} bytes is too large", member.size()));
            }
            let mut content = Vec::new();
            let limited = Read::by_ref(&mut member).take(MAX_PICKLE);
            { limited }.read_to_end(&mut content).map_err(|e| format!("its pickle: {e}"))?;
            pickle = Some(content);
        } else if name.ends_with("byteorder") {
            let mut order = String::new();
            let read = Read::by_ref(&mut member).take(16).read_to_string(&mut order);
            if read.is_err() || order.trim() != "little" {
                return Err("only little-endian files are supported".into());
            }
        } else if let Some((_, key)) = name.rsplit_once("data/") {
            if member.compression() != CompressionMethod::Stored {
                return Err(format!("member `{name}` is compressed"));
            }
            let start = member.data_start().ok_or("a member without a position")?;
            let span = Span { start: start as usize, length: member.size() as usize };
            let end = span.start.checked_add(span.length);
            if end.is_none_or(|end| end > bytes.len()) {
                return Err(format!("member `{name}` goes past the end of the file"));
            }
            storages.insert(key.to_string(), span);
        }
    }
    let pickle = pickle.ok_or("the archive has no data.pkl")?;
    Ok((pickle, storages))
}

/// Resolves one tensor of the dictionary and checks that it lies inside its storage.
fn stored_tensor(
    value: &Pickled,
    storages: &HashMap<String, Span>,
    file: &Arc<MappedFile>,
) -> Result<StoredTensor, String> {
    let Pickled::Tensor(tensor) = value else {
        return Err("is not a tensor".into());
    };
    let span = storages
        .get(&tensor.storage)
        .ok_or_else(|| format!("its storage `{}` is not in the archive", tensor.storage))?;
    let (dtype, size) = element_type(&tensor.storage_type);
    // The last element is at offset + Σ (shape - 1) · stride; an empty tensor has none.
    let reach = if tensor.shape.contains(&0) {
        Some(0)
    } else {
        let steps = tensor.shape.iter().zip(&tensor.strides);
        steps
            .map(|(&n, &stride)| (n - 1).checked_mul(stride))
            .try_fold(tensor.offset, |sum, step| sum.checked_add(step?))
            .and_then(|last| last.checked_add(1))
    };
    let elements = tensor.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let fits = |reach: usize| reach.checked_mul(size).is_some_and(|end| end <= span.length);
    // A view that repeats elements may claim any size: more than its storage is refused as well.
    match (reach, elements) {
        (Some(reach), Some(elements)) if fits(reach) && fits(elements) => Ok(StoredTensor {
            file: file.clone(),
            start: span.start + tensor.offset.min(reach) * size,
            dtype,
            shape: tensor.shape.clone(),
            strides: tensor.strides.clone(),
            scales: None,
        }),
        _ => Err(format!(
            "shape {:?} with strides {:?} from element {} does not fit its {} bytes",
            tensor.shape, tensor.strides, tensor.offset, span.length
        )),
    }
}

/// The element type of a storage class, with its size in bytes.
fn element_type(storage_type: &str) -> (StoredType, usize) {
    match storage_type {
        "DoubleStorage" => (StoredType::Float(DType::F64), 8),
        "FloatStorage" => (StoredType::Float(DType::F32), 4),
        "HalfStorage" => (StoredType::Float(DType::F16), 2),
        "BFloat16Storage" => (StoredType::Float(DType::BF16), 2),
        "CharStorage" => (INTEGERS, 1),
        "LongStorage" => (StoredType::Other("i64"), 8),
        "IntStorage" => (StoredType::Other("i32"), 4),
        "BoolStorage" => (StoredType::Other("bool"), 1),
        _ => (StoredType::Other("an unsupported type"), 1),
    }
}
