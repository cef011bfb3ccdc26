//! From the file of a recipe to a grammar, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Choice, Choices, OneOrMore, RecipeFile};
use super::grammar::{Exclusion, Form, Grammar, Piece, Slot, SlotValue};
use crate::problem::Problem;

/// The most names in a template.
const MOST_SLOTS: usize = 64;
/// The label of a value without words.
const NONE: &str = "none";
/// What samples call the rest of what they say; no label may be called so.
const TAKEN: [&str; 6] = ["key", "index", "prompt", "seed", "outcome", "reason"];

/// The grammar of a recipe with this template.
pub(super) fn compile(file: &RecipeFile, template: &Choices) -> Result<Grammar, Problem> {
    check_choices(&["template"], template)?;
    for (name, list) in &file.lists {
        check_name(&["lists", name], name)?;
        check_list(name, list)?;
    }
    let mut forms = vec![];
    for (place, choice) in template.0.iter().enumerate() {
        forms.push(compile_form(file, choice).map_err(|found| {
            let expected = "names of lists in braces, such as {colour} or {colour.2}";
            let problem = Problem::new(&["template"], found, expected);
            if template.0.len() > 1 { problem.at(place) } else { problem }
        })?);
    }
    check_use(file, &forms)?;
    for form in &mut forms {
        form.exclusions = exclusions(file, form);
        check_keys(form)?;
    }
    forms.retain(|form| form.weight > 0.0);
    Ok(Grammar { forms })
}

/// A template without its exclusions; the error is what was found.
fn compile_form(file: &RecipeFile, choice: &Choice) -> Result<Form, String> {
    let (mut found, mut slots): (Vec<Piece>, Vec<Slot>) = (vec![], vec![]);
    let mut rest = choice.text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').ok_or("a brace without its other")?;
        if before.contains('}') || name.contains('{') {
            return Err("a brace without its other".to_string());
        }
        let slot = match slots.iter().position(|slot| slot.name == name) {
            Some(slot) => slot,
            None => {
                let list = file.lists.get(list_of(name));
                slots.push(slot(name, list.ok_or(format!("`{{{name}}}`"))?));
                if slots.len() > MOST_SLOTS {
                    return Err(format!("more than {MOST_SLOTS} names"));
                }
                slots.len() - 1
            }
        };
        found.extend([Piece::Text(before.to_string()), Piece::Slot(slot)]);
        rest = behind;
    }
    if rest.contains('}') {
        return Err("a brace without its other".to_string());
    }
    found.push(Piece::Text(rest.to_string()));
    Ok(Form { weight: choice.weight, pieces: found, slots, exclusions: vec![] })
}

/// The list of a slot: `colour` of `colour` and of `colour.2`.
fn list_of(slot: &str) -> &str {
    match slot.rsplit_once('.') {
        Some((list, number)) if number.parse::<u32>().is_ok() => list,
        _ => slot,
    }
}

fn slot(name: &str, list: &Choices) -> Slot {
    let suffix = &name[list_of(name).len()..];
    let value = |choice: &Choice| SlotValue {
        weight: choice.weight,
        text: choice.text.clone(),
        label: label(choice),
        labels: (choice.labels.iter())
            .map(|(key, label)| (format!("{key}{suffix}"), label.clone()))
            .collect(),
    };
    let used = list.0.iter().filter(|choice| choice.weight > 0.0);
    Slot { name: name.to_string(), values: used.map(value).collect() }
}

/// What a value is called.
fn label(choice: &Choice) -> String {
    let text = choice.text.trim();
    let plain = if text.is_empty() { NONE } else { text };
    choice.label.clone().unwrap_or_else(|| plain.to_string())
}

fn check_name(keys: &[&str], name: &str) -> Result<(), Problem> {
    let letters = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if name.is_empty() || !letters || TAKEN.contains(&name) {
        let expected = format!("another name, of letters, digits, `-` and `_`; not {TAKEN:?}");
        return Err(Problem::new(keys, format!("`{name}`"), expected));
    }
    Ok(())
}

/// Checks weights.
fn check_choices(keys: &[&str], list: &Choices) -> Result<(), Problem> {
    for (place, choice) in list.0.iter().enumerate() {
        if !(choice.weight.is_finite() && (0.0..=1e9).contains(&choice.weight)) {
            let found = format!("{}, the weight of `{}`", choice.weight, choice.text);
            return Err(Problem::new(keys, found, "a weight from 0 to 1e9").at(place));
        }
    }
    if list.0.iter().all(|choice| choice.weight == 0.0) {
        let found = if list.0.is_empty() { "empty" } else { "without a weight above 0" };
        return Err(Problem::new(keys, found, "something with a weight above 0"));
    }
    Ok(())
}

/// Checks a list and its labels.
fn check_list(name: &str, list: &Choices) -> Result<(), Problem> {
    let keys = ["lists", name];
    check_choices(&keys, list)?;
    let mut seen = BTreeSet::new();
    for (place, choice) in list.0.iter().enumerate() {
        if choice.text.contains(['{', '}']) {
            let found = format!("`{}`", choice.text);
            return Err(Problem::new(&keys, found, "a text without braces").at(place));
        }
        if !seen.insert(label(choice)) {
            let found = format!("`{}` a second time", label(choice));
            let expected = "values that differ, or a `label` that tells them apart";
            return Err(Problem::new(&keys, found, expected).at(place));
        }
        for key in choice.labels.keys() {
            check_name(&["lists", name], key).map_err(|problem| problem.at(place))?;
        }
    }
    Ok(())
}

/// Checks that lists are used, and that exclusions and wishes are about slots and labels that occur.
fn check_use(file: &RecipeFile, forms: &[Form]) -> Result<(), Problem> {
    let slots: BTreeMap<&str, &Slot> =
        forms.iter().flat_map(|form| &form.slots).map(|slot| (slot.name.as_str(), slot)).collect();
    if let Some(name) = file.lists.keys().find(|&name| !slots.keys().any(|s| list_of(s) == name)) {
        let expected = format!("`{{{name}}}` in the template, or no such list");
        return Err(Problem::new(&["lists", name], "not used", expected));
    }
    let check = |problem: &dyn Fn(String, String) -> Problem, name: &str, labels: &[String]| {
        let Some(slot) = slots.get(name) else {
            let known: Vec<&str> = slots.keys().copied().collect();
            let expected = format!("names in the template: {}", known.join(", "));
            return Err(problem(format!("`{name}`"), expected));
        };
        let known: Vec<&str> = slot.values.iter().map(|value| value.label.as_str()).collect();
        match labels.iter().find(|label| !known.contains(&label.as_str())) {
            Some(label) => {
                let expected = format!("labels of `{name}`: {}", known.join(", "));
                Err(problem(format!("`{label}`"), expected))
            }
            None => Ok(()),
        }
    };
    for (place, exclusion) in file.exclude.iter().enumerate() {
        let about = |found: String, expected: String| Problem::new(&["exclude"], found, expected);
        if exclusion.is_empty() {
            return Err(about("empty".into(), "names with labels".into()).at(place));
        }
        for (name, OneOrMore(labels)) in exclusion {
            check(&|found, expected| about(found, expected).at(place).key(name), name, labels)?;
        }
    }
    for (place, slots) in file.different.iter().enumerate() {
        let about = |found, expected| Problem::new(&["different"], found, expected).at(place);
        for name in slots {
            check(&about, name, &[])?;
        }
        if slots.len() < 2 {
            return Err(about(format!("{slots:?}"), "two names or more".into()));
        }
    }
    for (place, wish) in file.at_least.iter().enumerate() {
        let about =
            |found, expected| Problem::new(&["at_least"], found, expected).at(place).key("of");
        if wish.of.is_empty() {
            return Err(about("empty".into(), "names with a label".into()));
        }
        for (name, label) in &wish.of {
            check(
                &|found, expected| about(found, expected).key(name),
                name,
                std::slice::from_ref(label),
            )?;
        }
    }
    Ok(())
}

/// The exclusions that are about slots of a form, all of them.
fn exclusions(file: &RecipeFile, form: &Form) -> Vec<Exclusion> {
    let place = |name: &String| form.slots.iter().position(|slot| slot.name == *name);
    let together = file.exclude.iter().filter_map(|exclusion| {
        let parts = exclusion.iter().map(|(name, OneOrMore(labels))| {
            let slot = place(name)?;
            let values = form.slots[slot].values.iter();
            Some((slot, values.map(|value| labels.contains(&value.label)).collect()))
        });
        parts.collect::<Option<_>>().map(Exclusion::Together)
    });
    let same = file.different.iter().map(|names| names.iter().filter_map(place).collect());
    let same = same.filter(|slots: &Vec<usize>| slots.len() > 1).map(Exclusion::Same);
    together.chain(same).collect()
}

/// Checks that no two slots say something under the same key.
fn check_keys(form: &Form) -> Result<(), Problem> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for slot in &form.slots {
        let further = slot.values.iter().flat_map(|value| &value.labels);
        let keys: BTreeSet<&str> =
            further.map(|(key, _)| key.as_str()).chain([slot.name.as_str()]).collect();
        for key in keys {
            if let Some(other) = seen.insert(key, &slot.name) {
                let found = format!("a label `{key}`, which `{other}` has, too");
                let keys = ["lists", list_of(&slot.name)];
                return Err(Problem::new(&keys, found, "labels of other names"));
            }
        }
    }
    Ok(())
}
