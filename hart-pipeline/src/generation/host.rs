//! From the device to the host, with and without waiting.
//!
//! A thread may wait for a device everywhere but on the GPU of a browser, whose values come when the program
//! has gone back to the browser. So what reads values is `async`, and whatever is not ends here.

use std::future::Future;

use burn::tensor::{DType, Tensor, backend::Backend, try_read_sync};
use hart_core::transfer::download;
use hart_core::{Error, Result};

/// The values of a tensor on the host, in 32 bits.
///
/// # Errors
/// [`Error::System`] when the device fails.
pub(crate) async fn on_host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    let data = download(tensor.cast(DType::F32)).await?;
    Ok(data.into_vec().expect("a tensor that was just cast to 32 bits"))
}

/// As [`on_host`], and the thread waits.
///
/// # Errors
/// [`Error::System`] when the device fails or cannot be waited for.
pub(crate) fn to_host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    wait(on_host(tensor))
}

/// The codes of tokens `[batch, positions]` one after the other; the thread waits.
///
/// # Errors
/// [`Error::System`] when the device fails or cannot be waited for.
#[cfg(feature = "images")]
pub(crate) fn codes_to_host<B: Backend>(
    codes: Tensor<B, 2, burn::tensor::Int>,
) -> Result<Vec<usize>> {
    let data = wait(download(codes))?;
    Ok(data.iter::<i64>().map(|code| code as usize).collect())
}

/// Waits for some work.
///
/// # Errors
/// Those of the work, and [`Error::System`] where a thread cannot wait for the device.
pub(crate) fn wait<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    try_read_sync(work).unwrap_or_else(|| {
        let reason = "a browser does not let a thread wait for its GPU; use an `async` function";
        let source = std::io::Error::new(std::io::ErrorKind::Unsupported, reason);
        Err(Error::System { what: "wait for the device".to_string(), source })
    })
}
