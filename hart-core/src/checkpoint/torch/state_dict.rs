//! Which dictionary of a PyTorch file holds the weights.
//!
//! Beside a dictionary of tensors alone, training programs save the whole state of a run: the weights
//! in an inner dictionary, and epochs, losses and an optimizer's state around it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::pickle::Pickle;
use super::pickled::{Id, PickledTensor, Value};

/// What inner dictionaries of weights are called. Where a file has several, the first of these
/// counts: the mean of the weights before the last ones.
const INNER: [&str; 18] = [
    "model_ema",
    "ema",
    "ema_model",
    "ema_state_dict",
    "model_ema_state_dict",
    "state_dict_ema",
    "params_ema",
    "shadow",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "params",
    "weights",
    "transformer",
];

/// How deep dictionaries of weights are looked for.
const MAX_DEPTH: usize = 4;

/// Tensors by name, in their order.
pub(super) type Tensors = Vec<(Rc<str>, Rc<PickledTensor>)>;

/// The weights that a pickle holds.
///
/// # Errors
/// What it holds instead, and what to do.
pub(super) fn find(pickle: &Pickle) -> Result<Tensors, String> {
    let mut search = Search { pickle, seen: HashSet::new() };
    search.below(pickle.root, 0)?.ok_or_else(|| match pickle.values.get(pickle.root) {
        Value::Object(name) => format!(
            "it holds a Python object of `{name}`, expected a dictionary of tensors: save its \
             `state_dict()` alone"
        ),
        _ => "the file does not hold a dictionary of tensors".to_string(),
    })
}

struct Search<'a> {
    pickle: &'a Pickle,
    seen: HashSet<Id>,
}

impl Search<'_> {
    /// The weights in the dictionary `id`: those of an inner one, else its own.
    fn below(&mut self, id: Id, depth: usize) -> Result<Option<Tensors>, String> {
        let values = &self.pickle.values;
        let Some(entries) = values.dict(id).filter(|_| depth < MAX_DEPTH) else { return Ok(None) };
        // A dictionary that is reached twice is the same both times.
        if !self.seen.insert(id) {
            return Ok(None);
        }
        let inner: HashMap<&str, Id> = entries
            .iter()
            .filter(|(_, value)| values.dict(*value).is_some())
            .filter_map(|(key, value)| Some((&**values.text(*key)?, *value)))
            .collect();
        for name in INNER {
            if let Some(&dict) = inner.get(name)
                && let Some(tensors) = self.below(dict, depth + 1)?
            {
                return Ok(Some(tensors));
            }
        }
        let own = self.own(entries)?;
        let mut others = vec![];
        for (&name, &dict) in inner.iter().filter(|(name, _)| !name.contains("optim")) {
            if let Some(tensors) = self.below(dict, depth + 1)?
                && tensors.len() > own.len()
            {
                others.push((name, tensors));
            }
        }
        if others.len() > 1 {
            let mut names: Vec<_> = others.iter().map(|(name, _)| format!("`{name}`")).collect();
            names.sort();
            return Err(format!(
                "it holds several dictionaries of tensors, {}: save the one that is meant alone",
                names.join(", ")
            ));
        }
        let other = others.pop().map(|(_, tensors)| tensors);
        Ok(other.or_else(|| (!own.is_empty()).then_some(own)))
    }

    /// The tensors among the entries of a dictionary. What is not a tensor is passed over, but for
    /// tensors of a kind that is not understood.
    fn own(&self, entries: &[(Id, Id)]) -> Result<Tensors, String> {
        let values = &self.pickle.values;
        let mut own = vec![];
        for (key, value) in entries {
            let Some(name) = values.text(*key) else { continue };
            match values.get(*value) {
                Value::Tensor(tensor) => own.push((name.clone(), tensor.clone())),
                Value::Object(call) if call.contains("_rebuild_") => {
                    return Err(format!(
                        "tensor `{name}`: its pickle calls `{call}`, expected a plain tensor"
                    ));
                }
                _ => {}
            }
        }
        Ok(own)
    }
}
