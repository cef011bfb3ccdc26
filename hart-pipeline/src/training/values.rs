//! Between values of the host and tensors.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use hart_core::{Error, Result};

/// Values as a tensor of a shape.
pub(super) fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The value of a tensor with one element.
pub(super) trait ScalarF64 {
    /// As a double.
    fn into_scalar_f64(self) -> f64;
}

impl<B: Backend> ScalarF64 for Tensor<B, 1> {
    fn into_scalar_f64(self) -> f64 {
        self.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
    }
}

/// A value that has to be finite; `what` is called by its name in the error.
///
/// # Errors
/// [`Error::NonFinite`] when it is not.
pub(super) fn finite(what: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::NonFinite { what: format!("{what} ({value})") })
}

/// A number in its shortest form with seven significant digits, one more than decimals of a value
/// of 32 bits are worth; in powers of ten when it is below a hundredth.
pub(super) fn significant(value: f64) -> String {
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    let size = rounded.abs();
    if size == 0.0 || !size.is_finite() || (1e-2..1e9).contains(&size) {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::{finite, significant};

    #[test]
    fn small_numbers_keep_their_digits() {
        let cases = [
            (1e-7, "1e-7"),
            (1e-7 * 5.0 / 20.0, "2.5e-8"),
            (1.45e-4, "1.45e-4"),
            (0.687_447_123_4, "0.6874471"),
            (85.0, "85"),
            (0.0, "0"),
            (-1.0 / 3.0, "-0.3333333"),
            (f64::INFINITY, "inf"),
            (1.5e12, "1.5e12"),
        ];
        for (value, text) in cases {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn what_is_not_finite_is_named() {
        assert_eq!(finite("the loss", 2.0).unwrap(), 2.0);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let said = finite("the loss", value).unwrap_err().to_string();
            assert!(said.starts_with(&format!("the loss ({value})")), "{said}");
        }
    }
}
