//! Operations that bring their own backward pass.
//!
//! burn's autodiff takes a composite operation apart and keeps every intermediate result. For the
//! large maps of the tokenizer that is too much memory: there a backend gives an operation together
//! with its [`Pullback`], and `Autodiff` keeps just that.

use std::fmt;

use burn::tensor::{Tensor, backend::Backend};

/// The gradients by input, weight and bias of a layer over maps `[batch, channels, height,
/// width]`, from that of its result; `W` is the rank of the weight.
pub struct Pullback<B: Backend, const W: usize>(
    #[expect(clippy::type_complexity, reason = "it has a name: the struct")]
    Box<dyn FnOnce(Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, W>, Tensor<B, 1>) + Send>,
);

impl<B: Backend, const W: usize> Pullback<B, W> {
    /// From a function.
    pub fn new(
        function: impl FnOnce(Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, W>, Tensor<B, 1>)
        + Send
        + 'static,
    ) -> Self {
        Self(Box::new(function))
    }

    /// The gradients by input, weight and bias.
    pub fn apply(self, gradient: Tensor<B, 4>) -> (Tensor<B, 4>, Tensor<B, W>, Tensor<B, 1>) {
        (self.0)(gradient)
    }
}

impl<B: Backend, const W: usize> fmt::Debug for Pullback<B, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pullback")
    }
}

/// Such operations in the graph of `Autodiff`.
#[cfg(feature = "train")]
pub(super) mod tracked {
    use std::sync::{Arc, Mutex};

    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::tensor::{Tensor, TensorPrimitive, backend::Backend, ops::FloatTensor};

    use super::Pullback;

    #[derive(Debug)]
    struct Layer<const W: usize>;

    /// A graph is differentiated once, but burn requires the state of its nodes to be `Clone`.
    type Kept<B, const W: usize> = Arc<Mutex<Option<Pullback<B, W>>>>;

    impl<B: Backend, const W: usize> Backward<B, 3> for Layer<W> {
        type State = Kept<B, W>;

        fn backward(
            self,
            ops: Ops<Self::State, 3>,
            grads: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let gradient = wrap::<B, 4>(grads.consume::<B>(&ops.node));
            let pullback = ops.state.lock().ok().and_then(|mut kept| kept.take());
            let pullback = pullback.expect("a graph is differentiated once");
            let (x, weight, bias) = pullback.apply(gradient);
            let found = [unwrap(x), unwrap(weight), unwrap(bias)];
            for (parent, gradient) in ops.parents.into_iter().zip(found) {
                if let Some(parent) = parent {
                    grads.register::<B>(parent.id, gradient);
                }
            }
        }
    }

    fn wrap<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
        Tensor::from_primitive(TensorPrimitive::Float(primitive))
    }

    fn unwrap<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
        tensor.into_primitive().tensor()
    }

    /// A layer as one operation: `plain` computes its result alone, `both` with its pullback.
    pub(in crate::ops) fn layer<B: Backend, C: CheckpointStrategy, const W: usize>(
        x: Tensor<Autodiff<B, C>, 4>,
        weight: Tensor<Autodiff<B, C>, W>,
        bias: Tensor<Autodiff<B, C>, 1>,
        plain: impl FnOnce(Tensor<B, 4>, Tensor<B, W>, Tensor<B, 1>) -> Tensor<B, 4>,
        both: impl FnOnce(Tensor<B, 4>, Tensor<B, W>, Tensor<B, 1>) -> (Tensor<B, 4>, Pullback<B, W>),
    ) -> Tensor<Autodiff<B, C>, 4> {
        let (x, weight, bias) = (unwrap(x), unwrap(weight), unwrap(bias));
        let nodes = [x.node.clone(), weight.node.clone(), bias.node.clone()];
        let (x, weight, bias) = (wrap(x.primitive), wrap(weight.primitive), wrap(bias.primitive));
        let prepared = Backward::<B, 3>::prepare::<C>(Layer::<W>, nodes);
        wrap(match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (result, pullback) = both(x, weight, bias);
                prepared.finish(Arc::new(Mutex::new(Some(pullback))), unwrap(result))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(unwrap(plain(x, weight, bias))),
        })
    }
}
