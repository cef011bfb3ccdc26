//! Putting the tensors of a checkpoint into a module.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::layout::{Layout, dtype_at};
use super::{Checkpoint, NameTable};
use crate::nn::Prepare;
use crate::walk::{self, Place};
use crate::{Error, Precision, Result, WeightProblems};

/// How a checkpoint is loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// The element type of linear, convolution and embedding weights; everything else stays in 32
    /// bits.
    pub precision: Precision,
    /// Whether layers are brought into the form that the backend computes fastest as they are
    /// loaded ([`Prepare`]): for generating, not for training.
    pub prepare: bool,
}

impl LoadOptions {
    /// A part that was loaded, prepared if that was asked for.
    pub fn finish<T: Prepare>(self, mut part: T) -> T {
        if self.prepare {
            part.prepare(self.precision);
        }
        part
    }
}

/// Loads every parameter of `module` from `checkpoint`.
///
/// The checkpoint is checked as a whole before anything is read, so a failure leaves no
/// half-loaded module. Weights of linear layers are transposed on the way: checkpoints store
/// `[out, in]`, burn's layers `[in, out]`.
///
/// # Errors
/// [`Error::Weights`] with every missing, unexpected and mis-shaped tensor, and those of
/// [`load_part`].
pub fn load<B: Backend, M: Module<B>>(
    module: M,
    checkpoint: &Checkpoint,
    table: &NameTable,
    options: LoadOptions,
) -> Result<M> {
    check(&module, checkpoint, table)?;
    load_part(module, "", checkpoint, table, options)
}

/// Checks that [`load`] would find every parameter of `module` in `checkpoint`, and nothing else.
///
/// # Errors
/// [`Error::Weights`] with every missing, unexpected and mis-shaped tensor.
pub fn check<B: Backend, M: Module<B>>(
    module: &M,
    checkpoint: &Checkpoint,
    table: &NameTable,
) -> Result<()> {
    let problems = inspect(module, checkpoint, table);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Weights { path: checkpoint.path().to_path_buf(), problems: Box::new(problems) })
}

/// Loads a part of a module that was [checked](check) as a whole; `place` is the path of the part
/// in it, empty for the whole. A large module is loaded part by part so that the plain weights of
/// one part are freed before those of the next are read.
///
/// # Errors
/// [`Error::Malformed`] for a tensor that is missing, cannot be read, or holds a value that is not
/// finite or too large for the precision, [`Error::Invalid`] when a layer of the part is prepared
/// already.
pub fn load_part<B: Backend, M: Module<B>>(
    module: M,
    place: &str,
    checkpoint: &Checkpoint,
    table: &NameTable,
    options: LoadOptions,
) -> Result<M> {
    let mut loader = Loader { checkpoint, table, options, error: None };
    let module = walk::map_part(module, Place::of_part(place), &mut loader)?;
    loader.error.map_or(Ok(module), Err)
}

/// Loads parts of the same kind one after the other, at `place.0`, `place.1` and so on, and prepares
/// each when that was asked for: as [`load_part`].
///
/// # Errors
/// As for [`load_part`].
pub fn load_parts<B: Backend, M: Module<B> + Prepare>(
    parts: Vec<M>,
    place: &str,
    checkpoint: &Checkpoint,
    table: &NameTable,
    options: LoadOptions,
) -> Result<Vec<M>> {
    let parts = parts.into_iter().enumerate();
    let loaded = parts.map(|(i, part)| {
        let part = load_part(part, &format!("{place}.{i}"), checkpoint, table, options)?;
        Ok(options.finish(part))
    });
    loaded.collect()
}

/// Compares the parameters of `module` with the tensors of `checkpoint`, reading none of them.
pub fn inspect<B: Backend, M: Module<B>>(
    module: &M,
    checkpoint: &Checkpoint,
    table: &NameTable,
) -> WeightProblems {
    let mut problems = WeightProblems { part: table.part, ..Default::default() };
    let mut used = BTreeSet::new();
    for parameter in list::<B, M>(module) {
        problems.parameters += 1;
        let Some(name) = table.stored_name(&parameter.path, checkpoint) else {
            problems.missing.push(table.first_name(parameter.path));
            continue;
        };
        let stored = checkpoint.get(&name).expect("a name that was just found");
        if !stored.dtype().is_loadable() || stored.shape() != parameter.stored_shape {
            let found = format!("{:?} of {}", stored.shape(), stored.dtype());
            let expected = format!("{:?} of floats", parameter.stored_shape);
            problems.mismatched.push((name.clone(), found, expected));
        }
        used.insert(name);
    }
    let unexpected =
        checkpoint.names().filter(|name| !used.contains(*name) && !table.ignores(name, checkpoint));
    problems.unexpected = unexpected.map(str::to_string).collect();
    problems
}

/// The name and shape that every parameter of `module` has in a checkpoint, without making any of
/// them: a module of the released size costs nothing here.
pub fn parameters<B: Backend, M: Module<B>>(
    module: &M,
    table: &NameTable,
) -> BTreeMap<String, Vec<usize>> {
    let named = list::<B, M>(module)
        .into_iter()
        .map(|parameter| (table.first_name(parameter.path), parameter.stored_shape));
    named.collect()
}

/// Gives the parameters of a module made in memory the types that [`load`] would have given them.
///
/// # Errors
/// [`Error::Invalid`] when a layer is prepared.
pub fn cast<B: Backend, M: Module<B>>(
    module: M,
    table: &NameTable,
    options: LoadOptions,
) -> Result<M> {
    walk::map(module, &mut Caster { table, options })
}

/// A parameter as a checkpoint stores it.
struct Listed {
    path: String,
    stored_shape: Vec<usize>,
}

fn list<B: Backend, M: Module<B>>(module: &M) -> Vec<Listed> {
    let parameters = walk::parameters(module).into_iter().map(|parameter| {
        let mut stored_shape = parameter.shape;
        if Layout::of(&parameter.place, stored_shape.len()) == Layout::Transposed {
            stored_shape.reverse();
        }
        Listed { path: parameter.place.path(), stored_shape }
    });
    parameters.collect()
}

struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    table: &'a NameTable,
    options: LoadOptions,
    error: Option<Error>,
}

impl<B: Backend> walk::Map<B> for Loader<'_> {
    fn parameter<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let path = place.path();
        let name = self.table.stored_name(&path, self.checkpoint);
        // A missing one is read as well, by its first name: that gives the error.
        let name = name.unwrap_or_else(|| self.table.first_name(path));
        let dtype = dtype_at(place, self.table, self.options);
        let read = self.checkpoint.read_as(&name, dtype, Layout::of(place, D));
        let finite = |data| self.checkpoint.refuse_not_finite(&name, &data).map(|()| data);
        let data = match read.and_then(finite) {
            Ok(data) => data,
            Err(error) => {
                self.error.get_or_insert(error);
                return param;
            }
        };
        let device = param.lazy_device();
        let tensor = Tensor::from_data(data, (&device, dtype));
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

struct Caster<'a> {
    table: &'a NameTable,
    options: LoadOptions,
}

impl<B: Backend> walk::Map<B> for Caster<'_> {
    fn parameter<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let dtype = dtype_at(place, self.table, self.options);
        param.map(|tensor| tensor.cast(dtype))
    }
}
