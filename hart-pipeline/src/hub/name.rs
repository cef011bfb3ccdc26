//! What a model is called at the hub.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use hart_core::{Error, Result};

/// Characters of an owner's or a repository's name at most, as at the hub.
const MAX_NAME: usize = 96;

/// A repository at the hub and a revision of it: `owner/name`, or `owner/name@revision`.
///
/// ```
/// use hart_pipeline::hub::HubName;
///
/// let name: HubName = "mit-han-lab/hart-0.7b-1024px@v1".parse()?;
/// assert_eq!(name.repository(), "mit-han-lab/hart-0.7b-1024px");
/// assert_eq!(name.revision(), "v1");
/// # Ok::<(), hart_pipeline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    repository: String,
    revision: Option<String>,
}

impl HubName {
    /// The name that an argument of a program means which may also be a path: one of the right
    /// form, with nothing at that path.
    pub fn unless_path(argument: impl AsRef<Path>) -> Option<Self> {
        let path = argument.as_ref();
        // A link that leads nowhere is a path, too.
        if path.symlink_metadata().is_ok() { None } else { path.to_str()?.parse().ok() }
    }

    /// Owner and name.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// A branch, a tag or a commit: `main` unless another one is named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The same repository at another revision.
    ///
    /// # Errors
    /// [`Error::Invalid`] when no branch, tag or commit can be called so.
    pub fn at(self, revision: &str) -> Result<Self> {
        format!("{}@{revision}", self.repository).parse()
    }

    /// The same repository at this commit.
    pub(super) fn at_commit(&self, commit: &str) -> Self {
        Self { repository: self.repository.clone(), revision: Some(commit.to_string()) }
    }
}

impl FromStr for HubName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let is_repository = repository
            .split_once('/')
            .is_some_and(|(owner, name)| is_plain(owner) && is_plain(name));
        if !is_repository || !revision.is_none_or(is_revision) {
            let expected = "`owner/name` or `owner/name@revision`";
            return Err(Error::invalid("a name at the hub", format!("`{text}`"), expected));
        }
        Ok(Self { repository: repository.to_string(), revision: revision.map(str::to_string) })
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

/// Whether a commit is called so: the 40 hexadecimal digits of a SHA-1.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The hub's rule for names. They become parts of paths here, where `--` stands for a slash.
fn is_plain(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(is_inner)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
        && !name.contains("--")
        && !name.contains("..")
}

/// Git's rule for names of branches and tags, as far as it matters where they become paths.
fn is_revision(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains("..");
    let is_odd = |c: char| c.is_control() || matches!(c, ' ' | '\\' | ':' | '?' | '*' | '[');
    !name.contains(is_odd) && name.split('/').all(is_part)
}
