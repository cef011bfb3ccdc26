//! Where models are fetched from and kept, and who asks for them.

use std::fmt;
use std::path::{Path, PathBuf};

/// The hub itself.
const ENDPOINT: &str = "https://huggingface.co";

/// A hub of models, and the folder on this machine that keeps what was fetched.
///
/// [`Hub::from_env`] reads the environment variables that Python's `huggingface_hub` reads, and so
/// shares its folder.
#[derive(Debug, Clone)]
pub struct Hub {
    pub(super) endpoint: String,
    pub(super) cache: PathBuf,
    pub(super) token: Option<Token>,
    pub(super) offline: bool,
}

/// A secret; it is not shown.
#[derive(Clone)]
pub(super) struct Token(pub(super) String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Hub {
    /// The hub that the environment asks for:
    ///
    /// | variable | what it says | when it is not set |
    /// |---|---|---|
    /// | `HF_HUB_CACHE` | the folder that keeps models | `hub` in `HF_HOME` |
    /// | `HF_HOME` | the folder of everything | `huggingface` in `XDG_CACHE_HOME`, else `~/.cache/huggingface` |
    /// | `HF_TOKEN` | the token that proves who asks | the file `HF_TOKEN_PATH`, else `token` in `HF_HOME` |
    /// | `HF_ENDPOINT` | another hub, or a mirror | `https://huggingface.co` |
    /// | `HF_HUB_OFFLINE` | `1`: nothing is asked or fetched | `0` |
    /// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | `1`: no token is sent | `0` |
    ///
    /// A proxy is taken from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
    }

    /// As [`Self::from_env`], with the value of a variable from `variable` and the user's folder
    /// `home`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>, home: Option<&Path>) -> Self {
        // Set to nothing is not set.
        let value =
            |name: &str| variable(name).map(|v| v.trim().to_string()).filter(|v| !v.is_empty());
        let home = home.unwrap_or(Path::new(""));
        let folder = |name: &str| {
            value(name).map(|path| match path.strip_prefix("~/") {
                Some(rest) => home.join(rest),
                None => PathBuf::from(path),
            })
        };
        let is_set = |name: &str| {
            value(name).is_some_and(|v| {
                matches!(v.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true")
            })
        };
        let everything = folder("HF_HOME").unwrap_or_else(|| {
            folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache")).join("huggingface")
        });
        let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
        let token_file = folder("HF_TOKEN_PATH").unwrap_or_else(|| everything.join("token"));
        let kept = || std::fs::read_to_string(token_file).ok();
        let token = value("HF_TOKEN").or_else(|| value("HUGGING_FACE_HUB_TOKEN")).or_else(kept);
        let hub = Self {
            endpoint: String::new(),
            cache: cache.unwrap_or_else(|| everything.join("hub")),
            token: None,
            offline: is_set("HF_HUB_OFFLINE"),
        };
        let hub = match token {
            Some(token) if !is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") => hub.token(&token),
            _ => hub,
        };
        hub.endpoint(&value("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string()))
    }

    /// Another hub, or a mirror of it: the beginning of its addresses.
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = endpoint.trim_end_matches('/').to_string();
        self
    }

    /// The folder that keeps what was fetched.
    pub fn cache(mut self, folder: impl AsRef<Path>) -> Self {
        self.cache = folder.as_ref().to_path_buf();
        self
    }

    /// The token that proves who asks, for repositories that not everybody may read. It is sent to
    /// the hub and to nobody else.
    pub fn token(mut self, token: &str) -> Self {
        let token = token.trim();
        self.token = (!token.is_empty()).then(|| Token(token.to_string()));
        self
    }

    /// Whether nothing is asked or fetched, so that only models that were fetched before are found.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::from_env()
    }
}
