//! What captions say.

use hart_examples::scene::{Colour, Relation};

use crate::lists::Noun;
use crate::pictures::Style;

/// The captions of an object: one with its name, then one with each keyword.
pub(crate) fn object(
    name: Noun,
    keywords: &[Noun],
    style: Style,
    background: Colour,
) -> Vec<String> {
    let nouns = std::iter::once(&name).chain(keywords);
    nouns.map(|noun| noun.with_article() + &ending(style, background)).collect()
}

/// The caption of two objects.
pub(crate) fn pair(
    [first, second]: [Noun; 2],
    relation: Relation,
    style: Style,
    background: Colour,
) -> String {
    let [first, second] = [first, second].map(Noun::with_article);
    format!("{first} {} {second}{}", relation.name(), ending(style, background))
}

/// The design, and the background unless it is white.
fn ending(style: Style, background: Colour) -> String {
    let article = if background == Colour::Orange { "an" } else { "a" };
    match background {
        Colour::White => format!(", {} style", style.name()),
        other => format!(", {} style, on {article} {} background", style.name(), other.name()),
    }
}

/// A name as a part of a file name.
pub(crate) fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use hart_examples::scene::{Colour, Relation};

    use super::{object, pair};
    use crate::lists::Noun;
    use crate::pictures::Style;

    const APPLE: Noun = Noun { text: "apple", counted: true };
    const FIRE: Noun = Noun { text: "fire", counted: false };

    #[test]
    fn white_is_not_named() {
        assert_eq!(
            object(APPLE, &[FIRE], Style::Flat, Colour::White),
            ["an apple, flat style", "fire, flat style"]
        );
        assert_eq!(
            object(FIRE, &[], Style::Round, Colour::Orange),
            ["fire, 3D style, on an orange background"]
        );
    }

    #[test]
    fn pairs_say_where_the_first_is() {
        let caption = pair([APPLE, FIRE], Relation::LeftOf, Style::Cartoon, Colour::Blue);
        assert_eq!(caption, "an apple left of fire, cartoon style, on a blue background");
    }
}
