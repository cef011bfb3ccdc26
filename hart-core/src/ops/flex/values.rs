//! Between tensors of Flex and the slices that kernels take.

use burn::backend::Flex;
use burn::tensor::{DType, Element, Tensor, TensorData, TensorPrimitive};
use burn_flex::FlexTensor;
use bytemuck::Pod;

use crate::kernels::cpu::{Broadcast, memory};

/// The values of a tensor, row by row.
pub(super) struct Values(FlexTensor);

impl Values {
    pub(super) fn of<const D: usize>(x: Tensor<Flex, D>) -> Self {
        let x = x.into_primitive().tensor();
        Self(if x.is_contiguous() { x } else { x.to_contiguous() })
    }

    pub(super) fn get(&self) -> &[f32] {
        self.of_type()
    }

    /// In the tensor's own type.
    pub(super) fn of_type<T: Element + Pod>(&self) -> &[T] {
        self.0.as_slice().expect("contiguous values of the type that was looked at")
    }
}

/// Blocks of values, each without gaps, that lie evenly spaced in the memory of a tensor:
/// slices of a larger tensor often do, and then need not be copied.
pub(super) struct Strided {
    data: FlexTensor,
    /// From the first value of a block to that of the next.
    pub(super) step: usize,
}

impl Strided {
    /// The blocks of the last `inner` axes of a tensor where they lie; `None` if a block has gaps or
    /// another order, or the blocks are not evenly spaced.
    pub(super) fn of<const D: usize>(x: &Tensor<Flex, D>, inner: usize) -> Option<Self> {
        let data = x.clone().into_primitive().tensor();
        let shape = x.dims();
        let (outer_shape, inner_shape) = shape.split_at(D - inner);
        let (outer_strides, inner_strides) = data.layout().strides().split_at(D - inner);
        let block: usize = inner_shape.iter().product();
        let is_whole = spacing(inner_shape, inner_strides, 1) == Some(1);
        let step = spacing(outer_shape, outer_strides, block as isize)?;
        (is_whole && step > 0).then_some(Self { data, step: step as usize })
    }

    /// The blocks where they lie if they can be [had there](Self::of), and in a copy otherwise.
    pub(super) fn or_copied<const D: usize>(x: &Tensor<Flex, D>, inner: usize) -> Self {
        Self::of(x, inner).unwrap_or_else(|| {
            let data = x.clone().into_primitive().tensor().to_contiguous();
            Self { data, step: x.dims()[D - inner..].iter().product() }
        })
    }

    /// The memory from the first block on, in the tensor's own type.
    pub(super) fn get<T: Element + Pod>(&self) -> &[T] {
        &self.data.storage()[self.data.layout().start_offset()..]
    }
}

/// The distance between neighbours when some axes are taken as a single one; `None` if it is not the
/// same everywhere. Axes of one entry are ignored: nothing is ever read at their stride. Without any
/// others the distance is `alone`.
fn spacing(shape: &[usize], strides: &[isize], alone: isize) -> Option<isize> {
    let mut axes = shape.iter().zip(strides).filter(|(size, _)| **size != 1).rev();
    let Some((&size, &least)) = axes.next() else { return Some(alone) };
    let mut reach = least * size as isize;
    for (&size, &stride) in axes {
        if stride != reach {
            return None;
        }
        reach *= size as isize;
    }
    Some(least)
}

/// Rows that those of another tensor are combined with.
pub(super) struct SharedRows {
    values: Strided,
    /// How many rows share one.
    rows: usize,
}

impl SharedRows {
    /// Those of `shared` `[batch or 1, tokens or 1, width]` for `x` `[batch, tokens, width]`; `None`
    /// where the rows that share one do not follow each other, or for other types than 32-bit
    /// floats.
    pub(super) fn of(x: &Tensor<Flex, 3>, shared: &Tensor<Flex, 3>) -> Option<Self> {
        let ([batch, tokens, width], [items, places, entries]) = (x.dims(), shared.dims());
        let rows = match (items, places) {
            _ if entries != width || !is_f32(shared) => return None,
            (1, 1) => batch * tokens,
            (_, 1) if items == batch => tokens,
            _ if [items, places] == [batch, tokens] => 1,
            _ => return None,
        };
        Some(Self { values: Strided::or_copied(shared, 1), rows })
    }

    pub(super) fn get(&self) -> Broadcast<'_> {
        Broadcast { values: self.values.get(), step: self.values.step, rows: self.rows }
    }
}

pub(super) fn wrap<const D: usize>(data: FlexTensor) -> Tensor<Flex, D> {
    Tensor::from_primitive(TensorPrimitive::Float(data))
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<Flex, D> {
    wrap(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// Room for all values of a shape.
pub(super) fn room<const D: usize>(shape: [usize; D]) -> Vec<f32> {
    memory::fresh(shape.iter().product())
}

pub(super) fn is_f32<const D: usize>(x: &Tensor<Flex, D>) -> bool {
    x.dtype() == DType::F32
}

/// Changes the values of a tensor in place, or those of a copy when someone else holds it.
pub(super) fn change<const D: usize>(
    x: Tensor<Flex, D>,
    f: impl FnOnce(&mut [f32]),
) -> Tensor<Flex, D> {
    let mut data = x.into_data();
    f(data.as_mut_slice().expect("32-bit values"));
    wrap(FlexTensor::from_data(data))
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::Tensor;

    use super::Strided;

    /// `[2, 3, 4, 5]` with the values 0, 1, 2 and so on.
    fn tensor() -> Tensor<Flex, 4> {
        Tensor::arange(0..120, &Default::default()).float().reshape([2, 3, 4, 5])
    }

    /// The blocks read by their step, if they need not be copied, are those of a copy.
    fn assert_blocks<const D: usize>(x: Tensor<Flex, D>, inner: usize, expected: Option<usize>) {
        let block: usize = x.dims()[D - inner..].iter().product();
        let read = |blocks: &Strided| -> Vec<f32> {
            let count = x.dims()[..D - inner].iter().product();
            (0..count).flat_map(|i| blocks.get()[i * blocks.step..][..block].to_vec()).collect()
        };
        let values: Vec<f32> = x.to_data().iter().collect();
        let found = Strided::of(&x, inner);
        assert_eq!(found.as_ref().map(|blocks| blocks.step), expected);
        if let Some(blocks) = found {
            assert_eq!(read(&blocks), values);
        }
        assert_eq!(read(&Strided::or_copied(&x, inner)), values);
    }

    #[test]
    fn whole_tensors_are_read_in_place() {
        assert_blocks(tensor(), 1, Some(5));
        assert_blocks(tensor(), 2, Some(20));
        assert_blocks(tensor().reshape([24, 5, 1]), 1, Some(1));
    }

    #[test]
    fn slices_are_read_in_place_where_their_blocks_are_whole_and_evenly_spaced() {
        // Some rows of every head, as in a cache with room for more.
        assert_blocks(tensor().narrow(2, 1, 2), 2, Some(20));
        // A part of every row: rows are whole, blocks of rows have gaps.
        assert_blocks(tensor().narrow(3, 2, 3), 1, Some(5));
        assert_blocks(tensor().narrow(3, 2, 3), 2, None);
        // Some heads of every item leave a gap after the last one.
        assert_blocks(tensor().narrow(1, 0, 2), 2, None);
        assert_blocks(tensor().narrow(0, 1, 1).narrow(1, 1, 2), 2, Some(20));
        assert_blocks(tensor().narrow(1, 2, 1), 2, Some(60));
    }

    #[test]
    fn broadcast_and_swapped_tensors_are_copied() {
        assert_blocks(tensor().narrow(1, 1, 1).expand([2, 3, 4, 5]), 2, None);
        assert_blocks(tensor().narrow(2, 1, 1).expand([2, 3, 4, 5]), 1, None);
        assert_blocks(tensor().swap_dims(2, 3), 1, None);
        assert_blocks(tensor().swap_dims(1, 2), 2, None);
        // Swapped with an axis of one entry, nothing has moved.
        let head = tensor().narrow(0, 1, 1).narrow(1, 2, 1);
        assert_blocks(head.swap_dims(1, 2), 1, Some(5));
    }
}
