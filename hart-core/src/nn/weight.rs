//! The weights of a layer, plain or prepared.

use burn::module::{
    AutodiffModule, Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::ops::Prepared;
use crate::walk::PREPARED;
use crate::{Error, Result};

/// The weights of a layer: a parameter, or what a backend made of it to compute fastest.
///
/// Where a module is walked through, it stands for the parameter itself. That is why it is written
/// by hand: burn's derive would put the name of a variant between a layer and its `weight`, and
/// checkpoints know parameters by their paths.
#[derive(Debug, Clone)]
pub enum Weight<B: Backend, const D: usize> {
    /// As trained.
    Plain(Param<Tensor<B, D>>),
    /// In a backend's form; the parameter was freed for it.
    Prepared(Prepared),
}

impl<B: Backend, const D: usize> Weight<B, D> {
    /// The values.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they were freed for a prepared form.
    pub fn values(&self) -> Result<Tensor<B, D>> {
        match self {
            Self::Plain(param) => Ok(param.val()),
            Self::Prepared(_) => Err(Error::prepared("the layer")),
        }
    }

    /// The weights with other values of the same shape.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they were freed for a prepared form.
    pub fn map_values(self, f: impl FnOnce(Tensor<B, D>) -> Tensor<B, D>) -> Result<Self> {
        match self {
            Self::Plain(param) => Ok(Self::Plain(param.map(f))),
            Self::Prepared(_) => Err(Error::prepared("the layer")),
        }
    }

    /// Replaces plain weights by what `make` makes of them, if anything.
    pub(super) fn prepare(&mut self, make: impl FnOnce(Tensor<B, D>) -> Option<Prepared>) {
        if let Self::Plain(param) = self
            && let Some(prepared) = make(param.val())
        {
            *self = Self::Prepared(prepared);
        }
    }
}

impl<B: Backend, const D: usize> Module<B> for Weight<B, D> {
    /// `None` of prepared weights.
    type Record = Option<Param<Tensor<B, D>>>;

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        match self {
            Self::Plain(param) => param.collect_devices(devices),
            Self::Prepared(_) => devices,
        }
    }

    fn fork(self, device: &B::Device) -> Self {
        match self {
            Self::Plain(param) => Self::Plain(param.fork(device)),
            prepared => prepared,
        }
    }

    fn to_device(self, device: &B::Device) -> Self {
        match self {
            Self::Plain(param) => Self::Plain(param.to_device(device)),
            prepared => prepared,
        }
    }

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        match self {
            Self::Plain(param) => param.visit(visitor),
            Self::Prepared(_) => {
                visitor.enter_module("", PREPARED);
                visitor.exit_module("", PREPARED);
            }
        }
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        match self {
            Self::Plain(param) => Self::Plain(Module::map(param, mapper)),
            prepared => {
                mapper.enter_module("", PREPARED);
                mapper.exit_module("", PREPARED);
                prepared
            }
        }
    }

    fn load_record(self, record: Self::Record) -> Self {
        match (self, record) {
            (Self::Plain(param), Some(record)) => Self::Plain(param.load_record(record)),
            (Self::Prepared(_), Some(record)) => Self::Plain(record),
            (weight, None) => weight,
        }
    }

    fn into_record(self) -> Self::Record {
        match self {
            Self::Plain(param) => Some(param.into_record()),
            Self::Prepared(_) => None,
        }
    }
}

impl<B: AutodiffBackend, const D: usize> AutodiffModule<B> for Weight<B, D> {
    type InnerModule = Weight<B::InnerBackend, D>;

    fn valid(&self) -> Self::InnerModule {
        match self {
            Self::Plain(param) => Weight::Plain(param.valid()),
            Self::Prepared(prepared) => Weight::Prepared(prepared.clone()),
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        match module {
            Weight::Plain(param) => Self::Plain(Param::from_inner(param)),
            Weight::Prepared(prepared) => Self::Prepared(prepared),
        }
    }
}

impl<B: Backend, const D: usize> ModuleDisplayDefault for Weight<B, D> {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::Plain(param) => content.add_single(param).optional(),
            Self::Prepared(_) => content.add_formatted(&"Prepared").optional(),
        }
    }
}

impl<B: Backend, const D: usize> ModuleDisplay for Weight<B, D> {}
