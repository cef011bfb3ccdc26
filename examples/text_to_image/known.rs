//! Listing the words that a model knows.

use std::io::Write;

use anyhow::bail;
use hart_examples::Progress;
use hart_pipeline::Event;

use crate::Arguments;

/// Writes the words of the model to standard output, one a line, in the order of the alphabet.
///
/// # Errors
/// When the model has no list of words, or cannot be read.
pub(crate) fn list_words(arguments: &Arguments) -> anyhow::Result<()> {
    let progress = Progress::start();
    let known = arguments.builder()?.known_words(&mut |event: Event<'_>| progress.show(&event));
    progress.finish();
    let Some(known) = known? else {
        bail!(
            "the model has no list of words (`words.txt` in its text encoder's folder): it was \
             trained on text of all kinds, or its list is lost; try any prompt"
        );
    };
    let lines: String = known.iter().flat_map(|word| [word, "\n"]).collect();
    Ok(std::io::stdout().lock().write_all(lines.as_bytes())?)
}
