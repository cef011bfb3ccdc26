//! The files that describe a set and its sources.

use std::path::Path;

use hart_examples::scene::Colour;
use serde_json::{Map, Value, json};

use crate::concepts::{Concept, Concepts};
use crate::folder::write;
use crate::images::Style;
use crate::packages::ALL;
use crate::splits::{Plan, Set};

/// Writes `dataset.json` and `SOURCES.md`.
pub(crate) fn describe(
    folder: &Path,
    plan: &Plan,
    sets: &[Set<'_>],
    concepts: &Concepts,
) -> anyhow::Result<()> {
    let listed = |concepts: &[Concept]| -> Vec<Value> {
        let entry =
            |concept: &Concept| json!({ "name": concept.name.text, "group": concept.group });
        concepts.iter().map(entry).collect()
    };
    let packages = ALL.map(|package| {
        json!({ "name": package.name, "version": package.version, "sha256": package.sha256,
                "licence": package.licence })
    });
    let records: Map<_, _> =
        sets.iter().map(|set| (set.name.to_string(), json!(set.images.len()))).collect();
    let colours: Map<_, _> =
        Colour::ALL.iter().map(|colour| (colour.name().to_string(), json!(colour.rgb()))).collect();
    let description = json!({
        "side": plan.side,
        "white": plan.white,
        "records": records,
        "colours": colours,
        "styles": Style::ALL.map(Style::name),
        "concepts": listed(&concepts.trained),
        "unseen": listed(&concepts.unseen),
        "packages": packages,
    });
    write(&folder.join("dataset.json"), serde_json::to_string_pretty(&description)? + "\n")?;
    write(&folder.join("SOURCES.md"), sources())
}

/// The text of `SOURCES.md`: packages, versions, licences and hashes.
pub(crate) fn sources() -> String {
    let mut text = "# Sources\n\n| package (npm) | version | licence | by | used | SHA-256 |\n\
                    |---|---|---|---|---|---|\n"
        .to_string();
    for package in ALL {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            package.name,
            package.version,
            package.licence,
            package.origin,
            package.used,
            package.sha256
        );
    }
    text += "\nThe drawings were rasterized, cut out, scaled and laid over plain backgrounds, some \
             of them mirrored or beside each other. The texts of the licences:\n\n\
             - Apache-2.0: <https://www.apache.org/licenses/LICENSE-2.0>\n\
             - MIT: <https://opensource.org/license/mit>\n\n\
             Scenes of plain shapes are drawn by the program itself.\n";
    text
}
