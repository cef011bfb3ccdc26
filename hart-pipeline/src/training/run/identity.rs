//! Whether a run is continued as it was begun: its experiment by values, its data by content.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use hart_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::training::optimizer::OptimizerSettings;

/// Tables that no weight follows from: what is shown, and how a result is written.
const TABLES: [&str; 2] = ["images", "export"];
/// Keys of `[run]` that no weight follows from; the number of steps is compared apart.
const RUN: [&str; 6] = ["steps", "log_every", "evaluate_every", "save_every", "folder", "devices"];
/// Keys of `[data]` that no weight follows from.
const DATA: [&str; 2] = ["validation_images", "skip_bad"];

/// What a run follows from besides the values of its experiment, by the hashes of its content:
/// where it lies and what it is called does not count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Content(BTreeMap<String, String>);

impl Content {
    /// Adds the hash of `key`: that of a path in the table `[data]`, or `images` for the files that
    /// were found to be readable.
    pub fn with(mut self, key: &str, hash: impl Display) -> Self {
        self.0.insert(key.to_string(), hash.to_string());
        self
    }

    /// The hash of a key, if it is known.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// From a file in a run's folder; nothing is known of runs that older versions have begun.
    pub(super) fn open(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        Self(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// As the content of that file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        format!("{:#}", serde_json::json!(self.0)).into_bytes()
    }
}

/// What differs between a run as it was begun and as it is to be continued.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// What other weights would follow from.
    pub(super) weighty: Vec<String>,
    /// What is worth saying.
    pub(super) said: Vec<String>,
    /// The steps and rates that the run was begun with, where they are others.
    pub(super) schedule: Option<(u64, OptimizerSettings)>,
}

/// A run as its folder has it, or as it is started.
pub(super) struct Identity {
    pub(super) experiment: Table,
    pub(super) content: Content,
}

impl Identity {
    /// The experiment of an earlier start, `text` of `file`, as this program understands it.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not an experiment of this kind.
    pub(super) fn parse<T>(file: &Path, text: &str, content: Content) -> Result<Self>
    where
        T: Serialize + DeserializeOwned,
    {
        let experiment: T = toml::from_str(text).map_err(|error| {
            Error::malformed(file, format!("not this experiment; name another folder: {error}"))
        })?;
        Ok(Self { experiment: table(&experiment)?, content })
    }

    /// What `present` changes of this earlier run.
    pub(super) fn changes(&self, present: &Self) -> Changes {
        let mut changes = Changes::default();
        let [one, other] = [self, present].map(|run| run.weighty([self, present]));
        differences("", &one, &other, &mut changes.weighty);
        for (key, hash) in &self.content.0 {
            if present.content.0.get(key).is_some_and(|present| present != hash) {
                changes.content(key);
            }
        }
        let [(steps, rates), (present_steps, present_rates)] =
            [self, present].map(|run| (run.steps(), run.rates()));
        if steps != present_steps {
            changes.said.push(format!("the run has {present_steps} steps instead of {steps}"));
        }
        if steps != present_steps || rates != present_rates {
            changes.schedule = rates.map(|rates| (steps, rates));
        }
        changes
    }

    /// The values that weights follow from; paths to content that both of some runs know are not
    /// among them.
    fn weighty(&self, [begun, present]: [&Self; 2]) -> Table {
        let known = begun.content.0.keys().filter(|key| present.content.0.contains_key(*key));
        let mut table = self.experiment.clone();
        TABLES.iter().for_each(|key| drop(table.remove(*key)));
        if let Some(Value::Table(run)) = table.get_mut("run") {
            RUN.iter().for_each(|key| drop(run.remove(*key)));
        }
        if let Some(Value::Table(data)) = table.get_mut("data") {
            DATA.iter().for_each(|key| drop(data.remove(*key)));
            known.for_each(|key| drop(data.remove(key)));
        }
        table
    }

    fn steps(&self) -> u64 {
        let steps = self.experiment.get("run").and_then(|run| run.get("steps"));
        steps.and_then(Value::as_integer).and_then(|steps| steps.try_into().ok()).unwrap_or(0)
    }

    fn rates(&self) -> Option<OptimizerSettings> {
        self.experiment.get("optimizer")?.clone().try_into().ok()
    }
}

impl Changes {
    /// The content of `key` is another one.
    fn content(&mut self, key: &str) {
        let what = match key {
            // Which files could be read changes nothing by itself.
            "images" => return,
            "records" => "the records are not those",
            "validation" => "the validation records are not those",
            "new" => "the new records are not those",
            "captions" => "the grammar of captions is not the one",
            "tokenizer" => "the tokenizer is not the one",
            "start_from" => "the weights to start from are not those",
            other => return self.weighty.push(format!("`{other}` has changed")),
        };
        let text = format!("{what} that the run was begun with");
        if key == "validation" { self.said.push(text) } else { self.weighty.push(text) }
    }
}

/// An experiment as a table of values.
///
/// # Errors
/// [`Error::Invalid`] when it has values that TOML has not.
pub(super) fn table<T: Serialize>(experiment: &T) -> Result<Table> {
    let table = Table::try_from(experiment);
    table.map_err(|error| Error::invalid("the experiment", error, "values that TOML has"))
}

/// Adds every key whose values differ, with both of them.
fn differences(inside: &str, one: &Table, other: &Table, found: &mut Vec<String>) {
    let new = other.keys().filter(|key| !one.contains_key(*key));
    for key in one.keys().chain(new) {
        match (one.get(key), other.get(key)) {
            (Some(Value::Table(one)), Some(Value::Table(other))) => {
                differences(&format!("{inside}{key}."), one, other, found);
            }
            (one, other) if one == other => {}
            (one, other) => {
                let text = |value: Option<&Value>| value.map_or("absent".into(), Value::to_string);
                found.push(format!("`{inside}{key}` was {} and is {}", text(one), text(other)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Identity};

    fn identity(text: &str, content: Content) -> Identity {
        Identity { experiment: text.parse().expect("a table"), content }
    }

    #[test]
    fn values_count_and_not_how_they_are_written() {
        let one = "[run]\nseed = 1\nlog_every = 5\n[data]\nrecords = \"a # b\"\nshare = 0.5";
        let other = "# a comment\n[data]\nshare = 5e-1\nrecords = 'a # b'\n\n[run]\nlog_every = 7\n\
                     seed = 1\n[images]\nprompts = [\"a\"]";
        let changes =
            identity(one, Content::default()).changes(&identity(other, Content::default()));
        assert!(changes.weighty.is_empty() && changes.said.is_empty(), "{changes:?}");

        let other = "[run]\nseed = 2\n[data]\nrecords = \"c\"\nshare = 0.5";
        let changes =
            identity(one, Content::default()).changes(&identity(other, Content::default()));
        let expected = ["`data.records` was \"a # b\" and is \"c\"", "`run.seed` was 1 and is 2"];
        assert_eq!(changes.weighty, expected);
    }

    #[test]
    fn data_is_known_by_its_content() {
        let content = |records: &str, validation: &str| {
            Content::default().with("records", records).with("validation", validation)
        };
        let [here, there] = ["here", "there"].map(|path| format!("[data]\nrecords = \"{path}\""));
        let begun = identity(&here, content("1", "2"));
        let changes = begun.changes(&identity(&there, content("1", "2")));
        assert!(changes.weighty.is_empty() && changes.said.is_empty(), "{changes:?}");
        let changes = begun.changes(&identity(&here, content("3", "4")));
        assert_eq!(changes.weighty, ["the records are not those that the run was begun with"]);
        assert_eq!(changes.said.len(), 1);
        // What is not there any more is missed.
        let less = identity("[data]\nother = 1", Content::default());
        let more = identity("[data]\nnew = \"here\"\nother = 1", Content::default().with("new", 1));
        assert_eq!(more.changes(&less).weighty, ["`data.new` was \"here\" and is absent"]);
        assert_eq!(less.changes(&more).weighty, ["`data.new` was absent and is \"here\""]);
    }

    #[test]
    fn another_length_is_said() {
        let run = |steps: u64| {
            let text = format!("[run]\nsteps = {steps}\n[optimizer]\nlearning_rate = 1e-3");
            identity(&text, Content::default())
        };
        let changes = run(40).changes(&run(80));
        assert!(changes.weighty.is_empty());
        assert_eq!(changes.said, ["the run has 80 steps instead of 40"]);
        assert_eq!(changes.schedule.expect("a schedule").0, 40);
    }
}
