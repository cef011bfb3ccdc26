//! Attention that never stores its scores, by the kernel that burn's GPU backends bring.
//!
//! What was read in cubek 0.2: tiles are of 16-bit floats, whatever the type, and sums of 32; scores are
//! divided by the root of the heads' width; queries must fill whole stages, and keys must be more than
//! those of one stage, for only then are rows beyond the last one looked out for; and all heads of all
//! items must lie evenly spaced.

use burn::tensor::backend::Backend;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Shape, Tensor, TensorPrimitive};
use burn_cubecl::kernel::attention::{AttentionStrategy, attention};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeBackend, CubeRuntime, tensor::CubeTensor};
use cubek::attention::routines::blackbox_accelerated::BlackboxAcceleratedStrategy;

use super::attention::with_scores;
use super::operation::{RunsCube, input, run};
use crate::kernels::cube::CubeOperation;

/// The fewest queries for which the kernel is taken; `None` for never.
const FEWEST_QUERIES: Option<usize> = Some(128);

/// The fewest keys: more than a stage holds.
const FEWEST_KEYS: usize = 64;

/// The most identical keys that are written out for it.
const MOST_COPIES: usize = 512;

/// Planes that share the keys of a stage, each with the queries of one tile.
const PLANES: usize = 8;

/// Queries of a tile; heads are cut into tiles of this width, too.
const TILE: usize = 16;

/// Whether the kernel computes this attention, without a bias.
pub(super) fn is_taken<B: RunsCube>(
    q: &Tensor<B, 4>,
    k: &Tensor<B, 4>,
    v: &Tensor<B, 4>,
    copies: usize,
) -> bool {
    let [_, _, queries, width] = q.dims();
    let dtype = q.dtype();
    let typed = matches!(dtype, DType::F16 | DType::BF16) && [k.dtype(), v.dtype()] == [dtype; 2];
    let sized = FEWEST_QUERIES.is_some_and(|fewest| queries >= fewest)
        && k.dims()[2] >= FEWEST_KEYS
        && width.is_multiple_of(TILE)
        && v.dims()[3] == width;
    typed && sized && copies <= MOST_COPIES && B::multiplies_f16(&q.device())
}

/// [`super::HartBackend::attend_repeated`] by the kernel.
pub(super) fn attend<B: RunsCube>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    scale: f64,
    copies: usize,
) -> Tensor<B, 4> {
    let [batch, heads, queries, width] = q.dims();
    // The kernel divides by the root of the width: exact here where that is a power of two.
    let factor = scale * (width as f64).sqrt();
    let q = if factor == 1.0 { q } else { q * factor };
    let rows = queries.next_multiple_of(PLANES * TILE);
    let padded = if rows == queries {
        q
    } else {
        let shape = [batch, heads, rows - queries, width];
        Tensor::cat(vec![q.clone(), Tensor::zeros(shape, (&q.device(), q.dtype()))], 2)
    };
    let inputs = [padded, written_out(k, copies), written_out(v, copies)].map(input);
    let [out] = run::<B, 4, 1>(FlashAttention, inputs.into());
    if rows == queries { out } else { out.narrow(2, 0, queries) }
}

/// Keys or values with the first one as often as it stands for.
fn written_out<B: Backend>(rows: Tensor<B, 4>, copies: usize) -> Tensor<B, 4> {
    if copies == 1 {
        return rows;
    }
    let first = rows.clone().narrow(2, 0, 1).repeat_dim(2, copies - 1);
    Tensor::cat(vec![first, rows], 2)
}

/// `softmax(q·kᵀ / √width)·v`.
#[derive(Clone, Copy, Debug)]
struct FlashAttention;

impl CubeOperation for FlashAttention {
    const NAME: &'static str = "hart_flash_attention";

    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [q, k, v] = inputs.try_into().expect("queries, keys and values");
        let [q, k, v] = [q, k, v].map(evenly_spaced);
        let options = AttentionModuleOptions { scale: None, softcap: None, is_causal: false };
        let strategy = AttentionStrategy::FlashBlackboxAccelerated(BlackboxAcceleratedStrategy {
            num_planes: PLANES as u8,
            seq_q: 1,
            seq_kv: 1,
        });
        let copies = (q.clone(), k.clone(), v.clone());
        let out = attention(q, k, v, None, None, options, strategy);
        vec![out.unwrap_or_else(|_| refused(copies))]
    }
}

/// A tensor whose heads lie evenly spaced, as those of a cache with room for more do: as it is, or a copy.
fn evenly_spaced<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    let (shape, strides) = (&x.meta.shape, &x.meta.strides);
    let items = shape[0] == 1 || strides[0] == shape[1] * strides[1];
    // The kernel reads vectors as wide as a tile allows.
    let aligned = strides[..3].iter().all(|stride| stride.is_multiple_of(TILE));
    if items && aligned && strides[3] == 1 { x } else { into_contiguous(x) }
}

/// The same with its scores stored, on a device that refuses the kernel.
fn refused<R: CubeRuntime>(
    (q, k, v): (CubeTensor<R>, CubeTensor<R>, CubeTensor<R>),
) -> CubeTensor<R> {
    type Plain<R> = CubeBackend<R, f32, i32, u8>;
    let [q, k, v] = [q, k, v].map(|x| Tensor::from_primitive(TensorPrimitive::Float(x)));
    let scale = 1.0 / (q.dims()[3] as f64).sqrt();
    input(with_scores::<Plain<R>>(q, k, v, None, scale, 1))
}
