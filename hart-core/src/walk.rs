//! Walks through the tree of a module, parameter by parameter, with the place of each.
//!
//! burn calls its visitors and mappers with the name of every field that they enter and leave, but
//! does not say where a parameter is: [`ModuleVisitor::visit_float_with_path`] has a path, and
//! nothing in burn 0.21 calls it. Here the path is kept. [`parameters`] lists what there is;
//! [`visit`] and [`map`] hand over the parameters themselves.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use burn::backend::Flex;
//! use burn::nn::{Linear, LinearConfig};
//! use hart_core::walk;
//!
//! let layer: Linear<Flex> = LinearConfig::new(2, 3).init(&Default::default());
//! let found = walk::parameters(&layer);
//! assert_eq!(found[0].place.path(), "weight");
//! assert_eq!(found[0].shape, [2, 3]);
//! # }
//! ```

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, backend::Backend};

use crate::{Error, Result};

/// The container that prepared weights enter and leave in place of showing a parameter: entering is
/// the only thing that burn's visitors learn of a module without parameters.
pub(crate) const PREPARED: &str = "Prepared";

/// Where a walk is: the fields from the module down to a parameter, and what each is a field of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    names: Vec<String>,
    containers: Vec<String>,
}

impl Place {
    /// The place of a part of a module: its field names joined by dots, empty for the whole.
    pub fn of_part(path: &str) -> Self {
        let names = path.split('.').filter(|name| !name.is_empty());
        let mut place = Self::default();
        names.for_each(|name| place.enter(name, ""));
        place
    }

    /// The field names, from the outermost to the parameter's own.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The field names joined by dots, such as `blocks.3.norm.weight`.
    pub fn path(&self) -> String {
        self.names.join(".")
    }

    /// What the parameter is a field of, as burn calls it: `Struct:Linear`; empty outside of any.
    pub fn container(&self) -> &str {
        self.containers.last().map_or("", String::as_str)
    }

    fn enter(&mut self, name: &str, container: &str) {
        self.names.push(name.to_string());
        self.containers.push(container.to_string());
    }

    fn exit(&mut self) {
        self.names.pop();
        self.containers.pop();
    }
}

/// What is known of a parameter before its values are made, so that listing a module of the released
/// size costs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Where it is in the module.
    pub place: Place,
    /// burn's name of it, by which gradients are found.
    pub id: ParamId,
    /// Its shape as burn has it.
    pub shape: Vec<usize>,
}

/// What is done with every parameter of a module.
pub trait Visit<B: Backend> {
    /// Looks at the parameter at `place`.
    fn parameter<const D: usize>(&mut self, place: &Place, param: &Param<Tensor<B, D>>);
}

/// What every parameter of a module is replaced by.
pub trait Map<B: Backend> {
    /// What comes to `place` instead of `param`.
    fn parameter<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>>;
}

/// The floating-point parameters of `module` in the order of its fields. Prepared layers have no
/// weights to be listed.
pub fn parameters<B: Backend, M: Module<B>>(module: &M) -> Vec<Parameter> {
    let mut list = List(vec![]);
    module.visit(&mut Walk::new(Place::default(), &mut list));
    list.0
}

/// Shows `with` the floating-point parameters of `module`, in the order of its fields.
///
/// # Errors
/// [`Error::Invalid`] when a layer is [prepared](crate::nn::Prepare): `with` has seen all parameters
/// but its weights.
pub fn visit<B: Backend, M: Module<B>>(module: &M, with: &mut impl Visit<B>) -> Result<()> {
    let mut walk = Walk::new(Place::default(), with);
    module.visit(&mut walk);
    walk.finish()
}

/// Replaces the floating-point parameters of `module`, in the order of its fields.
///
/// # Errors
/// [`Error::Invalid`] when a layer is [prepared](crate::nn::Prepare).
pub fn map<B: Backend, M: Module<B>>(module: M, with: &mut impl Map<B>) -> Result<M> {
    map_part(module, Place::default(), with)
}

/// As [`map`], of a module that is the part at `place` of a larger one.
///
/// # Errors
/// As for [`map`].
pub fn map_part<B: Backend, M: Module<B>>(
    module: M,
    place: Place,
    with: &mut impl Map<B>,
) -> Result<M> {
    let mut walk = Walk::new(place, with);
    let module = module.map(&mut walk);
    walk.finish()?;
    Ok(module)
}

struct List(Vec<Parameter>);

impl<B: Backend> Visit<B> for List {
    fn parameter<const D: usize>(&mut self, place: &Place, param: &Param<Tensor<B, D>>) {
        let shape = param.lazy_shape().to_vec();
        self.0.push(Parameter { place: place.clone(), id: param.id, shape });
    }
}

struct Walk<'a, W> {
    place: Place,
    with: &'a mut W,
    /// The first prepared layer on the way.
    prepared: Option<Place>,
}

impl<'a, W> Walk<'a, W> {
    fn new(place: Place, with: &'a mut W) -> Self {
        Self { place, with, prepared: None }
    }

    fn enter(&mut self, name: &str, container: &str) {
        if container == PREPARED {
            self.prepared.get_or_insert_with(|| self.place.clone());
        }
        self.place.enter(name, container);
    }

    fn finish(self) -> Result<()> {
        self.prepared.map_or(Ok(()), |place| {
            Err(Error::prepared(format!("the layer of `{}`", place.path())))
        })
    }
}

impl<B: Backend, W: Visit<B>> ModuleVisitor<B> for Walk<'_, W> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.with.parameter(&self.place, param);
    }
}

impl<B: Backend, W: Map<B>> ModuleMapper<B> for Walk<'_, W> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.with.parameter(&self.place, param)
    }
}
