//! How a checkpoint stores a parameter, from its place in the module.

use burn::tensor::DType;

use super::{LoadOptions, NameTable};
use crate::walk::Place;

/// In which order the elements of a matrix are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// As the checkpoint has them.
    Stored,
    /// With rows and columns transposed.
    Transposed,
}

impl Layout {
    /// How a parameter of `rank` axes lies in a module: checkpoints store the matrix of a linear
    /// layer as `[out, in]`, burn's layers hold `[in, out]`.
    pub(super) fn of(place: &Place, rank: usize) -> Self {
        if rank == 2 && place.container() == "Struct:Linear" {
            Self::Transposed
        } else {
            Self::Stored
        }
    }
}

/// Whether a parameter is one of the large weights that follow the precision, or their bias.
pub(super) fn follows_precision(place: &Place, table: &NameTable) -> bool {
    let large = ["Struct:Linear", "Struct:Convolution", "Struct:Embedding"];
    large.contains(&place.container()) && !table.keeps_full_precision(&place.path())
}

/// The element type of the parameter at a place.
pub(super) fn dtype_at(place: &Place, table: &NameTable, options: LoadOptions) -> DType {
    if follows_precision(place, table) { options.precision.dtype() } else { DType::F32 }
}
