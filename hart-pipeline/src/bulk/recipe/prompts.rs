//! Prompts of a file, one a line.

use std::path::Path;

use hart_core::{Error, Result};
use serde_json::{Map, Value};

use super::Labels;

/// The column of prompts, and that of their seeds.
const PROMPT: &str = "prompt";
const SEED: &str = "seed";
/// What samples say besides; no column may be called so.
const TAKEN: [&str; 4] = ["key", "index", "outcome", "reason"];

/// A prompt with what its file says of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prompt {
    pub(super) prompt: String,
    pub(super) seed: Option<u64>,
    pub(super) labels: Labels,
}

/// The prompts of a file, JSON lines or CSV by the ending of its name.
///
/// # Errors
/// [`Error::Config`] or [`Error::Malformed`], with the line.
pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Vec<Prompt>> {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    let prompts = match ending.as_deref().and_then(|ending| ending.to_str()) {
        Some("jsonl") => parse_lines(path, content)?,
        Some("csv") => parse_table(path, content)?,
        _ => return Err(Error::malformed(path, "its ending is neither `.jsonl` nor `.csv`")),
    };
    if prompts.is_empty() {
        return Err(Error::malformed(path, "it has no prompts"));
    }
    Ok(prompts)
}

fn parse_lines(path: &Path, content: &[u8]) -> Result<Vec<Prompt>> {
    let text = std::str::from_utf8(content).map_err(|error| Error::malformed(path, error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let prompts = lines.map(|(number, line)| {
        let place = format!("{}, line {}", path.display(), number + 1);
        let row: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| Error::malformed(&place, error))?;
        prompt(&place, row)
    });
    prompts.collect()
}

fn parse_table(path: &Path, content: &[u8]) -> Result<Vec<Prompt>> {
    let mut reader = csv::Reader::from_reader(content);
    let broken = |error: csv::Error| Error::malformed(path, error);
    let columns = reader.headers().map_err(broken)?.clone();
    let mut prompts = vec![];
    for row in reader.records() {
        let row = row.map_err(broken)?;
        let line = row.position().map_or(0, csv::Position::line);
        let place = format!("{}, line {line}", path.display());
        let fields = columns.iter().zip(&row).filter(|(column, field)| {
            // An empty field says nothing, but an empty prompt is one that will be refused.
            *column == PROMPT || !field.is_empty()
        });
        let value = |(column, field): (&str, &str)| match field.parse::<u64>() {
            Ok(seed) if column == SEED => (column.to_string(), seed.into()),
            _ => (column.to_string(), field.into()),
        };
        prompts.push(prompt(&place, fields.map(value).collect())?);
    }
    Ok(prompts)
}

/// A prompt of the fields of a line.
fn prompt(place: &str, mut row: Map<String, Value>) -> Result<Prompt> {
    let wrong = |key: &str, found: Option<&Value>, expected: &str| Error::Config {
        path: place.into(),
        key: key.to_string(),
        found: found.map_or("missing".to_string(), Value::to_string),
        expected: expected.to_string(),
    };
    let text = row.remove(PROMPT);
    let Some(Value::String(prompt)) = text else {
        return Err(wrong(PROMPT, text.as_ref(), "a text"));
    };
    let seed = row.remove(SEED).filter(|seed| !seed.is_null());
    let number = seed.as_ref().map(Value::as_u64);
    if number == Some(None) {
        return Err(wrong(SEED, seed.as_ref(), "a whole number, 0 or above"));
    }
    row.retain(|_, label| !label.is_null());
    for (key, label) in &row {
        if TAKEN.contains(&key.as_str()) {
            return Err(wrong(key, Some(label), "under another name: samples use this one"));
        }
        if label.is_object() || label.is_array() {
            return Err(wrong(key, Some(label), "a text, a number, true or false"));
        }
    }
    Ok(Prompt { prompt, seed: number.flatten(), labels: row.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parse;

    #[test]
    fn both_forms_of_a_file_say_the_same() {
        let lines =
            "{\"prompt\": \"a cat\", \"seed\": 5, \"kind\": \"pet\"}\n\n{\"prompt\": \"\"}\n";
        let table = "kind,prompt,seed\npet,a cat,5\n,,\n";
        let [lines, table] = [("p.jsonl", lines), ("p.csv", table)]
            .map(|(name, text)| parse(Path::new(name), text.as_bytes()).unwrap());
        assert_eq!(lines, table);
        assert_eq!((lines.len(), lines[0].seed, lines[1].prompt.as_str()), (2, Some(5), ""));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let cases = [
            ("p.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": 3}", "line 2: `prompt` is 3"),
            ("p.jsonl", "{\"seed\": 3}", "line 1: `prompt` is missing"),
            ("p.jsonl", "{\"prompt\": \"a\", \"seed\": -1}", "line 1: `seed` is -1"),
            ("p.jsonl", "{\"prompt\": \"a\", \"box\": [1]}", "line 1: `box` is [1]"),
            ("p.jsonl", "{\"prompt\": \"a\", \"outcome\": 1}", "line 1: `outcome` is 1"),
            ("p.jsonl", "[]", "line 1"),
            ("p.jsonl", "\n", "no prompts"),
            ("p.csv", "prompt,seed\na,1\nb,x", "line 3: `seed` is \"x\""),
            ("p.csv", "text\na", "line 2: `prompt` is missing"),
            ("p.csv", "prompt,seed\na", "line"),
            ("p.txt", "a", "`.jsonl`"),
        ];
        for (name, text, expected) in cases {
            let error = parse(Path::new(name), text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.starts_with(name), "{text}: {error}");
        }
    }
}
