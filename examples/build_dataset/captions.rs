//! The words of captions.

use hart_examples::scene::{Colour, Figure, Relation, Size};

use crate::concepts::Concept;
use crate::images::Style;
use crate::lists::Noun;

/// The names of a concept with their articles, the usual one first.
pub(crate) fn names(concept: &Concept) -> Vec<String> {
    let nouns = std::iter::once(&concept.name).chain(&concept.keywords);
    nouns.map(|noun| noun.with_article()).collect()
}

/// The names of a figure: with its size, without, and with another word for it.
pub(crate) fn figure(figure: Figure) -> Vec<String> {
    let other = match figure.size {
        Size::Small => "little",
        Size::Large => "big",
    };
    let sized = |size: &str| format!("a {size} {} {}", figure.colour.name(), figure.shape.name());
    vec![sized(figure.size.name()), plain_figure(figure), sized(other)]
}

/// A figure without its size.
pub(crate) fn plain_figure(figure: Figure) -> String {
    format!("{} {}", figure.colour.with_article(), figure.shape.name())
}

/// Two things from left to right or from top to bottom, and their relation.
pub(crate) fn in_order<T>(relation: Relation, things: [T; 2]) -> (Relation, [T; 2]) {
    match relation {
        Relation::LeftOf | Relation::Above => (relation, things),
        Relation::RightOf | Relation::Below => {
            let [first, second] = things;
            (relation.inverse(), [second, first])
        }
    }
}

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

/// The two captions of two things, one from each of them. The one that goes from left to right or
/// from top to bottom comes first.
///
/// Most captions that a model is trained on are first ones. So the order of the words alone says
/// what is where, which is learned soon, and afterwards how the other two relations change it. With
/// all four equally frequent, neither order nor relation is informative alone, and models guess for
/// a long time.
pub(crate) fn both_ways(relation: Relation, told: String, reversed: String) -> Vec<String> {
    match relation {
        Relation::LeftOf | Relation::Above => vec![told, reversed],
        Relation::RightOf | Relation::Below => vec![reversed, told],
    }
}

/// The style, and the background unless it is white.
fn ending(style: Style, background: Colour) -> String {
    match background {
        Colour::White => format!(", {} style", style.name()),
        other => format!(", {} style, on {} background", style.name(), other.with_article()),
    }
}

/// A name in the form that file names use.
pub(crate) fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use hart_examples::scene::{Colour, Relation};

    use super::{both_ways, object, pair};
    use crate::images::Style;
    use crate::lists::Noun;

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

    #[test]
    fn two_things_are_told_from_left_to_right_first() {
        let told = |relation: Relation| {
            let reversed = pair([FIRE, APPLE], relation.inverse(), Style::Flat, Colour::White);
            both_ways(relation, pair([APPLE, FIRE], relation, Style::Flat, Colour::White), reversed)
        };
        let (apple, fire) =
            ("an apple left of fire, flat style", "fire right of an apple, flat style");
        assert_eq!(told(Relation::LeftOf), [apple, fire]);
        let (apple, fire) = ("an apple below fire, flat style", "fire above an apple, flat style");
        assert_eq!(told(Relation::Below), [fire, apple]);
    }
}
