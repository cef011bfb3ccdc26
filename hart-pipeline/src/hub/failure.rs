//! Why the hub gave nothing, in words.

use hart_core::Error;
use ureq::http::{HeaderMap, StatusCode};

use super::{Hub, HubName};

/// Why a request had no useful answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// None came, or one that says to try again: it may come another time.
    Passing(String),
    /// Asking again would not help.
    Final(Error),
}

impl Failure {
    /// The error of somebody who gives up.
    pub(super) fn into_error(self, hub: &Hub, what: impl std::fmt::Display) -> Error {
        match self {
            Self::Passing(why) => Error::hub(
                what,
                format!(
                    "{} cannot be reached: {why}; check the network and the proxy, or name a \
                     mirror in HF_ENDPOINT",
                    hub.endpoint
                ),
            ),
            Self::Final(error) => error,
        }
    }
}

/// No answer, in the words of whoever noticed.
impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Self::Passing(match error {
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::Timeout(_) => "no answer in time".to_string(),
            other => other.to_string(),
        })
    }
}

/// What an answer that is no success means: of a repository, or of a file in it.
pub(super) fn refusal(
    hub: &Hub,
    name: &HubName,
    file: Option<&str>,
    status: StatusCode,
    headers: &HeaderMap,
) -> Failure {
    let code = headers.get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or_default();
    let (page, has_token) = (page(hub, name), hub.token.is_some());
    let problem = match (code, status.as_u16()) {
        ("GatedRepo", _) | (_, 403) if has_token => format!(
            "may not be read with your token: accept the licence at {page} with the account that \
             the token in HF_TOKEN belongs to, and let the token read gated repositories"
        ),
        ("GatedRepo", _) | (_, 403) => format!(
            "is gated: accept its licence at {page}, then set HF_TOKEN to a token of your account \
             ({}/settings/tokens)",
            hub.endpoint
        ),
        ("RevisionNotFound", _) => format!(
            "there is no revision `{}`: expected a branch, a tag or a commit of {page}",
            name.revision()
        ),
        ("EntryNotFound", _) => format!("is not at {page}"),
        (_, 404) if code.is_empty() && file.is_some() => format!("is not at {page}"),
        ("RepoNotFound", _) | (_, 404) => not_found(hub),
        (_, 401) if has_token => format!(
            "your token is not valid: set HF_TOKEN to a new one ({}/settings/tokens), or to \
             nothing for public repositories",
            hub.endpoint
        ),
        (_, 401) => not_found(hub),
        (_, 408 | 429 | 500..) => return Failure::Passing(format!("it answers {status}")),
        _ => format!("{} answers {status}", hub.endpoint),
    };
    Failure::Final(Error::hub(about(name, file), problem))
}

/// The hub does not tell what is private from what is not there.
fn not_found(hub: &Hub) -> String {
    let token = if hub.token.is_some() { "your token may not read it" } else { "it is private" };
    format!(
        "there is no such repository at {}, or {token}: check the name (if a folder was meant, it \
         is not there), or set HF_TOKEN to a token that may read it",
        hub.endpoint
    )
}

/// A repository, or a file in it.
pub(super) fn about(name: &HubName, file: Option<&str>) -> String {
    file.map_or_else(|| name.to_string(), |file| format!("`{file}` of {name}"))
}

fn page(hub: &Hub, name: &HubName) -> String {
    format!("{}/{}", hub.endpoint, name.repository())
}
