//! Names as the model has them: what training puts before all of them is taken off.

use std::collections::BTreeMap;

use super::StoredTensor;

/// What wrappers put before the names of all their tensors: data parallelism, compilation, running
/// means, and programs that hold the model as a part of a whole.
const WRAPPERS: [&str; 5] =
    ["module.", "_orig_mod.", "_fsdp_wrapped_module.", "ema_model.", "model."];
/// What wrappers of parts put into names.
const INSIDE: [&str; 3] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];
/// What a running mean counts its steps by.
const COUNTER: &str = "n_averaged";

/// The same tensors without wrappers.
pub(super) fn unwrap(
    mut tensors: BTreeMap<String, StoredTensor>,
) -> BTreeMap<String, StoredTensor> {
    loop {
        if tensors.len() > 1 {
            tensors.remove(COUNTER);
        }
        let is_common = |wrapper: &&&str| tensors.keys().all(|name| name.starts_with(**wrapper));
        let Some(wrapper) = WRAPPERS.iter().find(is_common) else { break };
        if tensors.is_empty() {
            break;
        }
        let shorter = |name: String| name[wrapper.len()..].to_string();
        tensors = tensors.into_iter().map(|(name, tensor)| (shorter(name), tensor)).collect();
    }
    without_inside(tensors)
}

/// What all names begin with, up to a dot.
pub(super) fn common(tensors: &BTreeMap<String, StoredTensor>) -> String {
    // Names are sorted: what the first and the last share, all do.
    let (Some((first, _)), Some((last, _))) = (tensors.first_key_value(), tensors.last_key_value())
    else {
        return String::new();
    };
    let shared = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let end = first.as_bytes()[..shared].iter().rposition(|&byte| byte == b'.');
    end.map_or_else(String::new, |end| first[..=end].to_string())
}

fn without_inside(tensors: BTreeMap<String, StoredTensor>) -> BTreeMap<String, StoredTensor> {
    let shorter = |name: &String| {
        INSIDE
            .iter()
            .fold(format!(".{name}"), |name, wrapper| name.replace(&format!(".{wrapper}"), "."))
            [1..]
            .to_string()
    };
    let wrapped = |name: &String| INSIDE.iter().any(|wrapper| name.contains(wrapper));
    if !tensors.keys().any(wrapped) {
        return tensors;
    }
    let renamed: BTreeMap<_, _> =
        tensors.iter().map(|(name, tensor)| (shorter(name), tensor.clone())).collect();
    // Names that would fall together are kept apart.
    if renamed.len() == tensors.len() { renamed } else { tensors }
}
