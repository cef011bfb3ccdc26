//! How tensors are handed to kernels, and how many units work on them.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::features::Plane;
use cubecl::prelude::*;

/// The most units of a cube. Every device has as many.
const UNITS: usize = 256;

/// Cubes are laid out in lines of this length: a device may not have more along one axis than 65535.
const CUBES_IN_A_LINE: usize = 1 << 15;

/// A tensor whose last axis lies in a row: as it is, or a copy.
pub(super) fn in_rows<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    match (x.meta.shape.last(), x.meta.strides.last()) {
        (Some(&length), Some(&stride)) if length != 1 && stride != 1 => into_contiguous(x),
        _ => x,
    }
}

/// [`in_rows`], and axes of one entry are read again and again.
pub(super) fn broadcast<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    let mut x = in_rows(x);
    for axis in 0..x.meta.num_dims() - 1 {
        if x.meta.shape[axis] == 1 {
            x.meta.strides[axis] = 0;
        }
    }
    x
}

/// How many neighbours in rows of `length` are read at once: as many as the device likes of the first
/// tensor's type, if they divide the rows and the distances between these.
pub(super) fn vector_size<R: CubeRuntime>(tensors: &[&CubeTensor<R>], length: usize) -> usize {
    let fits = |size: usize| {
        let aligned = |x: &&CubeTensor<R>| {
            let (_, outer) = x.meta.strides.split_last().expect("tensors have axes");
            outer.iter().all(|stride| stride.is_multiple_of(size))
        };
        length.is_multiple_of(size) && tensors.iter().all(aligned)
    };
    let x = tensors[0];
    x.client.io_optimized_vector_sizes(x.dtype.size()).find(|&size| fits(size)).unwrap_or(1)
}

/// Room for a tensor on the device of another.
pub(super) fn room<R: CubeRuntime>(x: &CubeTensor<R>, shape: Shape, dtype: DType) -> CubeTensor<R> {
    let buffer = x.client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(x.client.clone(), x.device.clone(), shape, buffer, dtype)
}

/// The type that positions in all these tensors fit into.
pub(super) fn address_type<R: CubeRuntime>(tensors: &[&CubeTensor<R>]) -> AddressType {
    tensors.iter().map(|x| x.required_address_type()).max().unwrap_or_default()
}

/// At least `count` cubes: a kernel ends those beyond.
pub(super) fn cubes(count: usize) -> CubeCount {
    let line = count.clamp(1, CUBES_IN_A_LINE);
    CubeCount::Static(line as u32, count.div_ceil(line).max(1) as u32, 1)
}

/// The units that share a piece of work, as a kernel is compiled for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Team {
    /// How many.
    pub(super) units: u32,
    /// Whether planes of a known size sum the values of their units by themselves.
    pub(super) planes: bool,
}

impl Team {
    /// For `pieces` pieces on the device of a tensor: units work in as few rounds as they can, and then
    /// no more units than that takes.
    pub(super) fn new<R: CubeRuntime>(x: &CubeTensor<R>, pieces: usize) -> Self {
        let rounds = pieces.div_ceil(UNITS).max(1);
        let units = pieces.div_ceil(rounds).next_multiple_of(32).clamp(32, UNITS);
        let properties = x.client.properties();
        let (least, most) =
            (properties.hardware.plane_size_min, properties.hardware.plane_size_max);
        let planes = properties.features.plane.contains(Plane::Ops) && least == most;
        Self { units: units as u32, planes }
    }

    pub(super) fn dim(self) -> CubeDim {
        CubeDim::new_1d(self.units)
    }
}
