//! Looking at intermediate tensors without touching the model.

use burn::tensor::TensorData;

/// Receives named intermediate tensors of a forward pass.
///
/// The tensor is only brought to the host when the tap asks for it, so a tap that ignores a name
/// costs nothing. The unit type is the tap that ignores everything.
///
/// ```
/// use hart_core::tap::Tap;
///
/// struct Names(Vec<String>);
/// impl Tap for Names {
///     fn record(&mut self, name: &str, _: &dyn Fn() -> burn::tensor::TensorData) {
///         self.0.push(name.to_string());
///     }
/// }
/// ```
pub trait Tap {
    /// Offers the tensor `name`; `data` copies it to the host.
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData);
}

impl Tap for () {
    fn record(&mut self, _: &str, _: &dyn Fn() -> TensorData) {}
}

/// Prefixes every name, such as `s3.` for scale 3.
pub struct Prefixed<'a> {
    /// What is put before each name.
    pub prefix: String,
    /// The tap that receives the longer names.
    pub tap: &'a mut dyn Tap,
}

impl Tap for Prefixed<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        self.tap.record(&format!("{}{name}", self.prefix), data);
    }
}
