//! The values a pickle of tensors is made of, and the few calls it may make.
//!
//! Values live in one list and name each other by their place in it, so that a value that holds
//! another twice, or itself, costs no more than one.

use std::rc::Rc;

/// The place of a value in its [`Values`].
pub(super) type Id = u32;

/// A value that a pickle makes.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Flag(bool),
    Integer(i64),
    Text(Rc<str>),
    /// A tuple or a list.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A callable or type, by its dotted name.
    Global(Rc<str>),
    Storage(Rc<PickledStorage>),
    Tensor(Rc<PickledTensor>),
    /// What no tensor needs: floats, bytes, sets, large integers.
    Other,
    /// What a callable of this name would have given. It was not called.
    Object(Rc<str>),
}

/// A reference to a storage.
#[derive(Debug)]
pub(super) struct PickledStorage {
    /// Its class, such as `torch.FloatStorage`.
    pub(super) class: Rc<str>,
    /// Its name in the file.
    pub(super) key: Rc<str>,
    /// Whether it is a part of another storage, as only old files have it.
    pub(super) is_view: bool,
}

/// A tensor: a view of a storage.
#[derive(Debug)]
pub(super) struct PickledTensor {
    pub(super) storage: Rc<PickledStorage>,
    /// In elements.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// In elements.
    pub(super) strides: Vec<usize>,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<Value>);

impl Values {
    pub(super) fn add(&mut self, value: Value) -> Id {
        self.0.push(value);
        (self.0.len() - 1) as Id
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.0[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.0[id as usize]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    pub(super) fn text(&self, id: Id) -> Option<&Rc<str>> {
        if let Value::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Value::Sequence(items) = self.get(id) { Some(items) } else { None }
    }

    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        if let Value::Dict(entries) = self.get(id) { Some(entries) } else { None }
    }

    /// A storage reference: `("storage", class, key, device, elements)`, in old files with a sixth
    /// part for views. A `("module", class, …)` is its class.
    pub(super) fn storage(&mut self, reference: Id) -> Result<Id, String> {
        let unknown = || "its pickle refers to a storage in an unknown way".to_string();
        let parts = self.sequence(reference).ok_or_else(unknown)?;
        let kind = parts.first().and_then(|&kind| self.text(kind)).ok_or_else(unknown)?;
        if **kind == *"module" && parts.len() > 1 {
            return Ok(parts[1]);
        }
        let (Some(&class), Some(&key)) = (parts.get(1), parts.get(2)) else {
            return Err(unknown());
        };
        match (&**kind, self.get(class), self.get(key)) {
            ("storage", Value::Global(class), Value::Text(key)) => {
                let view = parts.get(5).map(|&view| self.get(view));
                let is_view = !matches!(view, None | Some(Value::None));
                let storage = PickledStorage { class: class.clone(), key: key.clone(), is_view };
                Ok(self.add(Value::Storage(Rc::new(storage))))
            }
            _ => Err(unknown()),
        }
    }

    /// What a call gives: the few that make dictionaries and tensors are understood, of all others
    /// only the name is kept.
    pub(super) fn call(&mut self, callable: Id, arguments: Id) -> Result<Id, String> {
        let name = match self.get(callable) {
            Value::Global(name) | Value::Object(name) => name.clone(),
            _ => return Err("its pickle calls something that is not callable".into()),
        };
        let arguments = self.sequence(arguments).unwrap_or_default();
        let value = match (&*name, arguments) {
            ("collections.OrderedDict" | "builtins.dict" | "__builtin__.dict", _) => {
                Value::Dict(self.pairs(arguments))
            }
            ("collections.defaultdict", _) => Value::Dict(vec![]),
            ("torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", _) => {
                self.tensor(&name, arguments)?
            }
            // A tensor with attributes: `(callable, type, arguments, attributes)`.
            ("torch._tensor._rebuild_from_type_v2", [inner, _, inner_arguments, ..]) => {
                let inner_arguments = self.sequence(*inner_arguments).unwrap_or_default();
                match self.get(*inner) {
                    Value::Global(inner) if &**inner == "torch._utils._rebuild_tensor_v2" => {
                        self.tensor(inner, inner_arguments)?
                    }
                    Value::Global(inner) => Value::Object(inner.clone()),
                    _ => Value::Object(name),
                }
            }
            (
                "torch._utils._rebuild_parameter"
                | "torch._utils._rebuild_parameter_with_state"
                | "torch.nn.parameter.Parameter",
                [tensor, ..],
            ) if matches!(self.get(*tensor), Value::Tensor(_)) => return Ok(*tensor),
            _ => Value::Object(name),
        };
        Ok(self.add(value))
    }

    /// The entries of a dictionary that is made of a list of pairs.
    fn pairs(&self, arguments: &[Id]) -> Vec<(Id, Id)> {
        let list = arguments.first().and_then(|&list| self.sequence(list)).unwrap_or_default();
        let pairs = list.iter().filter_map(|&pair| match self.sequence(pair) {
            Some(&[key, value]) => Some((key, value)),
            _ => None,
        });
        pairs.collect()
    }

    fn tensor(&self, name: &str, arguments: &[Id]) -> Result<Value, String> {
        let [storage, offset, shape, strides, ..] = *arguments else {
            return Err(format!("its pickle calls `{name}` with too few arguments"));
        };
        let (Value::Storage(storage), Value::Integer(offset)) =
            (self.get(storage), self.get(offset))
        else {
            return Err(format!("its pickle calls `{name}` with arguments that it does not take"));
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        let offset = usize::try_from(*offset).map_err(|_| "a tensor with a negative offset")?;
        if shape.len() != strides.len() || shape.len() > 8 {
            return Err("a tensor whose shape and strides do not fit each other".into());
        }
        let tensor = PickledTensor { storage: storage.clone(), offset, shape, strides };
        Ok(Value::Tensor(Rc::new(tensor)))
    }

    fn sizes(&self, tuple: Id) -> Result<Vec<usize>, String> {
        let items = self.sequence(tuple).ok_or("a tensor whose shape is not a tuple")?;
        let size = |&item: &Id| match self.get(item) {
            Value::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        };
        let sizes = items.iter().map(|item| size(item).ok_or("a tensor with a negative size"));
        Ok(sizes.collect::<Result<_, _>>()?)
    }
}
