//! Errors as JavaScript throws them.

use hart_pipeline::Error;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// An error whose `name` says whose mistake it is and whose message says what to do.
pub(crate) fn failure(error: &Error) -> JsValue {
    let name = match error {
        Error::Invalid { .. } => "InvalidInput",
        Error::Malformed { .. } | Error::Config { .. } | Error::Weights { .. } => "BadModel",
        Error::NonFinite { .. } => "BadModel",
        Error::Cancelled => "Cancelled",
        _ => "Failed",
    };
    let thrown = js_sys::Error::new(&error.to_string());
    thrown.set_name(name);
    thrown.into()
}

/// A panic is thrown with its message; otherwise JavaScript would learn of an `unreachable` alone. The
/// worker does not go on with a module that panicked.
#[wasm_bindgen(start)]
pub(crate) fn throw_panics() {
    std::panic::set_hook(Box::new(|panic| wasm_bindgen::throw_str(&panic.to_string())));
}
