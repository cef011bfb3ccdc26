//! Indexing PyTorch files: storages, and a pickle that says which tensor lies where.
//!
//! Since PyTorch 1.6 a file is a ZIP archive of uncompressed storages; before that it was a row of
//! pickles with the storages behind them.

mod pickle;
mod pickled;
mod program;
mod state_dict;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::DType;
use zip::{CompressionMethod, ZipArchive};

use super::int8::INTEGERS;
use super::{Content, StoredTensor, StoredType};
use crate::stand_in::stand_in_for_weights;
use crate::{Error, Result};
use pickle::{MAX_PROGRAM, Pickle};
use pickled::{PickledTensor, Value};
pub(super) use write::write_torch;

/// The number that files from before PyTorch 1.6 begin with, in their first pickle.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The version of that format.
const VERSION: i64 = 1001;

/// Where a storage lies in the file.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    length: usize,
}

type Storages = HashMap<String, Span>;

/// The tensors of a state dictionary, by name.
pub(super) fn index(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
    let file = Arc::new(Content::map(path)?);
    let bytes = file.bytes();
    let refused = |problem| Error::malformed(path, stand_in_for_weights(bytes).unwrap_or(problem));
    let read = if is_legacy(bytes) { read_legacy(bytes) } else { read_archive(bytes) };
    let (pickle, storages) = read.map_err(refused)?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in state_dict::find(&pickle).map_err(refused)? {
        let tensor = stored_tensor(&tensor, &storages, &file)
            .map_err(|problem| refused(format!("tensor `{name}`: {problem}")))?;
        tensors.insert(name.to_string(), tensor);
    }
    Ok(tensors)
}

/// The pickle of an archive, and the spans of its storages by key.
fn read_archive(bytes: &[u8]) -> Result<(Pickle, Storages), String> {
    let zip_problem = |error: zip::result::ZipError| match bytes {
        [b'P', b'K', ..] => format!("a damaged PyTorch archive, download it again: {error}"),
        _ => format!("not a PyTorch archive: {error}"),
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(zip_problem)?;
    let mut pickle = None;
    let mut storages = HashMap::new();
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).map_err(zip_problem)?;
        let name = member.name().to_string();
        if name == "data.pkl" || name.ends_with("/data.pkl") {
            if member.size() > MAX_PROGRAM as u64 {
                return Err(format!("its pickle of {} bytes is too large", member.size()));
            }
            let mut content = Vec::new();
            let limited = Read::by_ref(&mut member).take(MAX_PROGRAM as u64);
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
    Ok((pickle::parse(&pickle)?, storages))
}

/// Whether a file is of the format before PyTorch 1.6.
fn is_legacy(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(40)].windows(MAGIC.len()).any(|window| window == MAGIC)
}

/// As [`read_archive`], of the older format: the magic number, the version, a dictionary about the
/// machine, the content and the list of storages, each a pickle; then each storage as its number of
/// elements and their bytes.
fn read_legacy(bytes: &[u8]) -> Result<(Pickle, Storages), String> {
    let mut position = 0;
    let mut next = || -> Result<Pickle, String> {
        let pickle = pickle::parse(&bytes[position..])?;
        position += pickle.length;
        Ok(pickle)
    };
    let [_magic, version, machine] = [next()?, next()?, next()?];
    if !matches!(version.values.get(version.root), Value::Integer(VERSION)) {
        return Err("an old PyTorch file of an unknown version: save it anew".into());
    }
    if is_big_endian(&machine) {
        return Err("only little-endian files are supported".into());
    }
    let [content, keys] = [next()?, next()?];
    let mut classes = HashMap::new();
    for value in content.values.all() {
        let Value::Storage(storage) = value else { continue };
        if storage.is_view {
            return Err("an old PyTorch file whose storages share memory: save it anew with \
                        `torch.save(torch.load(\"old\"), \"new\")`"
                .into());
        }
        classes.insert(&*storage.key, &*storage.class);
    }
    let list = keys.values.sequence(keys.root).ok_or("its list of storages is not a list")?;
    let mut storages = HashMap::new();
    for &key in list {
        let key = keys.values.text(key).ok_or("a storage whose key is not a string")?;
        let class = classes.get(&**key).ok_or_else(|| format!("storage `{key}` is not used"))?;
        let (_, size) = element_type(class);
        let size = size.ok_or_else(|| format!("storage `{key}` is of unknown type `{class}`"))?;
        let start = position + 8;
        let past = || format!("storage `{key}` goes past the end of the file");
        let count = bytes.get(position..start).ok_or_else(past)?;
        let count = u64::from_le_bytes(count.try_into().expect("a slice of 8 bytes"));
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
        let end = length.and_then(|length| start.checked_add(length));
        let end = end.filter(|&end| end <= bytes.len()).ok_or_else(past)?;
        storages.insert(key.to_string(), Span { start, length: end - start });
        position = end;
    }
    Ok((content, storages))
}

/// Whether the dictionary about the machine says so.
fn is_big_endian(machine: &Pickle) -> bool {
    let values = &machine.values;
    values.dict(machine.root).unwrap_or_default().iter().any(|(key, value)| {
        values.text(*key).is_some_and(|key| &**key == "little_endian")
            && matches!(values.get(*value), Value::Flag(false))
    })
}

/// Resolves one tensor of the dictionary and checks that it lies inside its storage.
fn stored_tensor(
    tensor: &PickledTensor,
    storages: &Storages,
    file: &Arc<Content>,
) -> Result<StoredTensor, String> {
    let storage = &tensor.storage;
    let span = storages
        .get(&*storage.key)
        .ok_or_else(|| format!("its storage `{}` is not in the file", storage.key))?;
    let (dtype, size) = element_type(&storage.class);
    let size = size.unwrap_or(1);
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

/// The element type of a storage class, with its size in bytes where it is known.
fn element_type(storage_class: &str) -> (StoredType, Option<usize>) {
    let (dtype, size) = match storage_class.rsplit('.').next().unwrap_or_default() {
        "DoubleStorage" => (StoredType::Float(DType::F64), 8),
        "FloatStorage" => (StoredType::Float(DType::F32), 4),
        "HalfStorage" => (StoredType::Float(DType::F16), 2),
        "BFloat16Storage" => (StoredType::Float(DType::BF16), 2),
        "CharStorage" => (INTEGERS, 1),
        "LongStorage" => (StoredType::Other("i64"), 8),
        "IntStorage" => (StoredType::Other("i32"), 4),
        "ShortStorage" => (StoredType::Other("i16"), 2),
        "ByteStorage" => (StoredType::Other("u8"), 1),
        "BoolStorage" => (StoredType::Other("bool"), 1),
        "ComplexFloatStorage" => (StoredType::Other("complex"), 8),
        "ComplexDoubleStorage" => (StoredType::Other("complex"), 16),
        _ => return (StoredType::Other("an unsupported type"), None),
    };
    (dtype, Some(size))
}
