//! What does not fit between a checkpoint and the model it is loaded into.

use std::fmt;

/// Every tensor of a checkpoint that does not fit the model it is loaded into, by its name in the
/// checkpoint. Displayed, they are one line with an example of each kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WeightProblems {
    /// What the model is called.
    pub part: &'static str,
    /// How many tensors it needs.
    pub parameters: usize,
    /// Needed by the model, absent from the checkpoint.
    pub missing: Vec<String>,
    /// In the checkpoint, unknown to the model.
    pub unexpected: Vec<String>,
    /// In both, with different shapes or an unusable element type: name, found, expected.
    pub mismatched: Vec<(String, String, String)>,
}

impl WeightProblems {
    /// Whether every tensor fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }

    /// All of them, a line each.
    pub fn lines(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|name| format!("missing    {name}"));
        let unexpected = self.unexpected.iter().map(|name| format!("unexpected {name}"));
        let mismatched = self.mismatched.iter().map(|(name, found, expected)| {
            format!("mismatched {name}: found {found}, expected {expected}")
        });
        missing.chain(unexpected).chain(mismatched).collect()
    }

    /// What stands before the name of every tensor that is missing, if they are all there under
    /// longer names.
    fn prefix(&self) -> Option<&str> {
        let first = self.missing.first()?;
        let mut names = self.unexpected.iter();
        let prefix = names.find_map(|name| {
            name.strip_suffix(first.as_str()).filter(|prefix| prefix.ends_with('.'))
        })?;
        let prefixed = |name: &String| self.unexpected.contains(&format!("{prefix}{name}"));
        self.missing.iter().all(prefixed).then_some(prefix)
    }
}

impl fmt::Display for WeightProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, parameters) = (self.part, self.parameters);
        let mut parts = vec![];
        if let Some(name) = self.missing.first() {
            let (count, are) = (self.missing.len(), verb(self.missing.len()));
            parts.push(format!(
                "{count} of {parameters} tensors of {part} {are} missing, e.g. `{name}`"
            ));
        }
        if let Some((name, found, expected)) = self.mismatched.first() {
            let (count, are) = (self.mismatched.len(), verb(self.mismatched.len()));
            parts.push(format!(
                "{count} of {parameters} tensors of {part} {are} of another shape or type, e.g. \
                 `{name}` is {found}, expected {expected}"
            ));
        }
        if let Some(prefix) = self.prefix() {
            parts.push(format!("found them under names that begin with `{prefix}`: take it off"));
        } else if let Some(name) = self.unexpected.first() {
            let (count, are) = (self.unexpected.len(), verb(self.unexpected.len()));
            parts.push(format!("{count} {are} found that {part} does not have, e.g. `{name}`"));
        }
        f.write_str(&parts.join("; "))
    }
}

fn verb(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use super::WeightProblems;

    #[test]
    fn a_hundred_tensors_are_said_in_one_line() {
        let names = |prefix: &str| (0..100).map(|i| format!("{prefix}{i}.weight")).collect();
        let prefixed = WeightProblems {
            part: "the transformer",
            parameters: 100,
            missing: names("blocks."),
            unexpected: names("student.blocks."),
            mismatched: vec![],
        };
        assert_eq!(
            prefixed.to_string(),
            "100 of 100 tensors of the transformer are missing, e.g. `blocks.0.weight`; found them \
             under names that begin with `student.`: take it off"
        );
        assert_eq!(prefixed.lines().len(), 200);
        let others = WeightProblems { unexpected: vec!["foo.bar".to_string()], ..prefixed };
        assert!(
            others
                .to_string()
                .ends_with("; 1 is found that the transformer does not have, e.g. `foo.bar`")
        );
    }
}
