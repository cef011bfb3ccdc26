//! Whether it helps to wait.

use std::error::Error as _;
use std::fmt::Display;
use std::io::ErrorKind;

use hart_core::Error;

/// Why a store or an engine did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It may do so later: it is full, or away.
    Passing {
        /// What did not work.
        what: String,
        /// Why.
        why: String,
    },
    /// It will not.
    Final(Error),
}

impl Failure {
    /// What went wrong at `what`.
    pub(super) fn of(what: impl Display, error: object_store::Error, is_remote: bool) -> Self {
        let why = reason(&error);
        let what = what.to_string();
        if let Some(io) = io_error(&error) {
            return match passes(io.kind()) {
                true => Self::Passing { what, why: io.to_string() },
                false => Self::Final(Error::io(what, std::io::Error::new(io.kind(), why))),
            };
        }
        match error {
            // Of a server that does not answer, or that answers that it cannot now.
            object_store::Error::Generic { .. } if is_remote => Self::Passing { what, why },
            _ => Self::Final(Error::store(what, why)),
        }
    }

    /// What went wrong with a file of this machine.
    pub(in crate::bulk) fn of_file(what: impl Display, error: std::io::Error) -> Self {
        let what = what.to_string();
        if passes(error.kind()) {
            return Self::Passing { what, why: error.to_string() };
        }
        Self::Final(Error::io(what, error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { path, source } => Self::of_file(path.display(), source),
            error => Self::Final(error),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing { what, why } => Error::store(what, why),
            Failure::Final(error) => error,
        }
    }
}

/// Whether an error of the system may pass by itself or by what a person does about it.
fn passes(kind: ErrorKind) -> bool {
    use ErrorKind::{
        HostUnreachable, NetworkDown, NetworkUnreachable, QuotaExceeded, ResourceBusy,
        StaleNetworkFileHandle, StorageFull, TimedOut,
    };
    matches!(
        kind,
        StorageFull
            | QuotaExceeded
            | TimedOut
            | StaleNetworkFileHandle
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | ResourceBusy
    )
}

/// The error of the system behind another one.
fn io_error(error: &object_store::Error) -> Option<&std::io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// An error in a line: what it says, and what its causes say that it does not quote.
fn reason(error: &object_store::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        cause = error.source();
    }
    reason
}
