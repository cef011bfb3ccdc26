//! The correspondence between a checkpoint's names and the fields of a module.

use super::Checkpoint;

/// Which tensor of a checkpoint is which parameter of a module: the one place of a crate that
/// knows the checkpoint's names.
///
/// In patterns a `*` stands for one dotted segment, as a rule an index, and a final `**` for any
/// rest. Where several rows name the same parameter, the first whose tensor is in the checkpoint
/// counts.
#[derive(Debug, Clone, Copy)]
pub struct NameTable {
    /// What errors call the module: "the transformer".
    pub part: &'static str,
    /// What is put before every checkpoint name of `rows` and `ignored`. Tensors of the checkpoint
    /// that begin otherwise belong to other modules and are ignored.
    pub scope: &'static str,
    /// Pairs of a checkpoint name and a module path.
    pub rows: &'static [(&'static str, &'static str)],
    /// Names that may be in the checkpoint and are never read: buffers, and parts that other
    /// modules load.
    pub ignored: &'static [&'static str],
    /// Module paths whose parameters stay in 32 bits whatever the precision.
    pub full_precision: &'static [&'static str],
    /// Module paths of the matrices that [`crate::Precision::Int8`] rounds.
    pub rounded: &'static [&'static str],
}

impl NameTable {
    /// The checkpoint names under which the parameter at `path` may be found.
    fn candidates(&self, path: &str) -> Vec<String> {
        let rows = self.rows.iter();
        rows.filter_map(|(stored, module)| {
            let wild = matches(module, path)?;
            Some(format!("{}{}", self.scope, fill(stored, &wild)))
        })
        .collect()
    }

    /// The name under which `checkpoint` has the parameter at `path`.
    pub(super) fn stored_name(&self, path: &str, checkpoint: &Checkpoint) -> Option<String> {
        let candidates = self.candidates(path);
        let is_there = |name: &String| checkpoint.get(name).is_some();
        let prefixed = candidates.iter().map(|name| format!("{}{name}", checkpoint.common));
        candidates.iter().cloned().chain(prefixed).find(is_there)
    }

    /// The name of the parameter at `path` in its first row, or its path if no row matches.
    pub(super) fn first_name(&self, path: String) -> String {
        self.candidates(&path).into_iter().next().unwrap_or(path)
    }

    /// Whether a name of the checkpoint belongs to another module or is listed as ignored.
    pub(super) fn ignores(&self, name: &str, checkpoint: &Checkpoint) -> bool {
        let short = name.strip_prefix(checkpoint.common.as_str()).unwrap_or(name);
        [name, short].into_iter().all(|name| self.is_foreign(name))
            || [name, short].into_iter().any(|name| self.is_ignored(name))
    }

    fn is_foreign(&self, name: &str) -> bool {
        !name.starts_with(self.scope)
    }

    fn is_ignored(&self, name: &str) -> bool {
        name.strip_prefix(self.scope)
            .is_some_and(|rest| self.ignored.iter().any(|pattern| matches(pattern, rest).is_some()))
    }

    /// Whether the parameter at `path` stays in 32 bits.
    pub(super) fn keeps_full_precision(&self, path: &str) -> bool {
        self.full_precision.iter().any(|pattern| matches(pattern, path).is_some())
    }

    /// Whether the parameter at `path` is a matrix that may be stored in 8 bits.
    #[cfg(feature = "fs")]
    pub(super) fn is_rounded(&self, path: &str) -> bool {
        self.rounded.iter().any(|pattern| matches(pattern, path).is_some())
    }
}

/// The segments that the pattern's stars stand for, or `None` when it does not match.
fn matches<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut wild = vec![];
    let mut segments = name.split('.');
    for part in pattern.split('.') {
        match part {
            "**" => return Some(wild),
            "*" => wild.push(segments.next()?),
            part if segments.next()? == part => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(wild)
}

/// The pattern with its stars replaced in order; surplus replacements are ignored.
fn fill(pattern: &str, wild: &[&str]) -> String {
    let mut wild = wild.iter();
    let parts = pattern.split('.').map(|part| match part {
        "*" => wild.next().copied().unwrap_or("*"),
        part => part,
    });
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::NameTable;

    const TABLE: NameTable = NameTable {
        part: "the autoencoder",
        scope: "vae.",
        rows: &[
            ("down.*.block.*.conv1.weight", "levels.*.blocks.*.first.weight"),
            ("phi.*.weight", "phi.*.weight"),
            ("shared.weight", "phi.*.weight"),
        ],
        ignored: &["hits", "old.**"],
        full_precision: &["phi.**"],
        rounded: &[],
    };

    #[test]
    fn stars_carry_indices_over() {
        let names = TABLE.candidates("levels.3.blocks.12.first.weight");
        assert_eq!(names, ["vae.down.3.block.12.conv1.weight"]);
        assert_eq!(TABLE.candidates("phi.0.weight"), ["vae.phi.0.weight", "vae.shared.weight"]);
        assert!(TABLE.candidates("levels.3.blocks.first.weight").is_empty());
    }

    #[test]
    fn foreign_and_ignored_names_are_not_unexpected_ones() {
        assert!(TABLE.is_foreign("disc.main.0.weight"));
        assert!(TABLE.is_ignored("vae.hits"));
        assert!(TABLE.is_ignored("vae.old.conv.bias"));
        assert!(!TABLE.is_ignored("vae.hits.more"));
        assert!(!TABLE.is_ignored("vae.new") && !TABLE.is_foreign("vae.new"));
    }
}
