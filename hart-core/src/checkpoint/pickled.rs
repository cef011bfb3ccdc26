//! The values a pickle of tensors is made of, and the two calls it may make.

/// A value on the stack of the pickle machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pickled {
    None,
    Flag(bool),
    Integer(i64),
    Text(String),
    Tuple(Vec<Pickled>),
    Dict(Vec<(Pickled, Pickled)>),
    /// A callable or type, by its dotted name.
    Global(String),
    /// A reference to a storage: its class, such as `FloatStorage`, and its key in the archive.
    Storage {
        class: String,
        key: String,
    },
    Tensor(PickledTensor),
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PickledTensor {
    pub(super) storage: String,
    pub(super) storage_type: String,
    /// In elements.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// In elements.
    pub(super) strides: Vec<usize>,
}

/// The deepest nesting of values, so that comparing or dropping one cannot exhaust the stack.
const MAX_DEPTH: usize = 64;

/// A storage reference: `("storage", class, key, device, elements)`.
pub(super) fn storage(reference: Pickled) -> Result<Pickled, String> {
    let Pickled::Tuple(parts) = reference else {
        return Err("its pickle refers to a storage in an unknown way".into());
    };
    match parts.as_slice() {
        [Pickled::Text(kind), Pickled::Global(class), Pickled::Text(key), ..]
            if kind == "storage" =>
        {
            let class = class.rsplit('.').next().unwrap_or(class).to_string();
            Ok(Pickled::Storage { class, key: key.clone() })
        }
        _ => Err("its pickle refers to a storage in an unknown way".into()),
    }
}

/// The two callables of a state dictionary.
pub(super) fn call(callable: &Pickled, arguments: Pickled) -> Result<Pickled, String> {
    let (Pickled::Global(name), Pickled::Tuple(arguments)) = (callable, arguments) else {
        return Err("its pickle calls something that is not callable".into());
    };
    match (name.as_str(), arguments.as_slice()) {
        ("collections.OrderedDict", []) => Ok(Pickled::Dict(vec![])),
        (
            "torch._utils._rebuild_tensor_v2",
            [Pickled::Storage { class, key }, Pickled::Integer(offset), shape, strides, ..],
        ) => {
            let (shape, strides) = (sizes(shape)?, sizes(strides)?);
            let offset = usize::try_from(*offset).map_err(|_| "a tensor with a negative offset")?;
            if shape.len() != strides.len() || shape.len() > 8 {
                return Err("a tensor whose shape and strides do not fit each other".into());
            }
            let (storage, storage_type) = (key.clone(), class.clone());
            Ok(Pickled::Tensor(PickledTensor { storage, storage_type, offset, shape, strides }))
        }
        ("torch._utils._rebuild_parameter", [tensor @ Pickled::Tensor(_), ..]) => {
            Ok(tensor.clone())
        }
        _ => Err(format!("its pickle calls `{name}`, which a dictionary of tensors does not need")),
    }
}

fn sizes(tuple: &Pickled) -> Result<Vec<usize>, String> {
    let Pickled::Tuple(items) = tuple else {
        return Err("a tensor whose shape is not a tuple".into());
    };
    let size = |item: &Pickled| match item {
        Pickled::Integer(value) => usize::try_from(*value).ok(),
        _ => None,
    };
    items
        .iter()
        .map(|item| size(item).ok_or_else(|| "a tensor with a negative size".into()))
        .collect()
}

pub(super) fn check_depth(items: &[impl std::borrow::Borrow<Pickled>]) -> Result<(), String> {
    if items.iter().any(|item| depth(item.borrow(), 0) > MAX_DEPTH) {
        return Err("its pickle nests values too deeply".into());
    }
    Ok(())
}

/// The nesting of a value, followed no further than one past the limit.
fn depth(value: &Pickled, above: usize) -> usize {
    if above > MAX_DEPTH {
        return above;
    }
    match value {
        Pickled::Tuple(items) => {
            items.iter().map(|item| depth(item, above + 1)).max().unwrap_or(above + 1)
        }
        Pickled::Dict(entries) => {
            let items = entries.iter().flat_map(|(key, value)| [key, value]);
            items.map(|item| depth(item, above + 1)).max().unwrap_or(above + 1)
        }
        _ => above,
    }
}

/// How many values a value is made of.
pub(super) fn size(value: &Pickled) -> usize {
    match value {
        Pickled::Tuple(items) => items.iter().map(size).sum::<usize>() + 1,
        _ => 1,
    }
}
