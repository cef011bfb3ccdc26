//! Gates.

use burn::tensor::activation::silu;
use hart_core::HartBackend;

use crate::{Gpu, assert_close, types, values};

#[test]
fn gates_are_what_they_are_named() {
    let shapes =
        [([1, 1, 1], [1, 1]), ([3, 5, 37], [3, 1]), ([2, 9, 64], [1, 9]), ([2, 3, 512], [1, 1])];
    for ((dtype, unit), (shape, [items, places])) in
        types().into_iter().flat_map(|dtype| shapes.map(|shape| (dtype, shape)))
    {
        let tolerance = (2.0 * unit).max(1e-6);
        let [batch, tokens, width] = shape;
        let what = format!("{shape:?} in {dtype:?}");
        // Both halves of one projection, as a layer gives them.
        let joined = values([batch, tokens, 2 * width], dtype) * 10.0;
        let (gate, up) = (joined.clone().narrow(2, 0, width), joined.narrow(2, width, width));
        let expected = silu(gate.clone()) * up.clone();
        let found = Gpu::gated_silu(gate.clone(), up.clone());
        assert_close(found, expected, tolerance, &format!("gated SiLU of {what}"));

        let shared = values([items, places, width], dtype);
        let expected = gate.clone() + up.clone() * shared.clone();
        let found = Gpu::add_gated(gate, up, shared);
        assert_close(found, expected, tolerance, &format!("gated sum of {what}"));
    }
}
