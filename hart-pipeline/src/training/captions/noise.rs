//! Words that people add and leave out without meaning another image.

use hart_core::random::uniform;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// What made-up words are made of.
const ONSETS: [&str; 16] =
    ["b", "br", "d", "f", "fl", "g", "gr", "k", "l", "m", "n", "p", "s", "st", "v", "z"];
/// Their vowels.
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ai", "ee", "ou"];
/// Their ends.
const CODAS: [&str; 8] = ["", "n", "r", "l", "sk", "t", "m", "x"];

/// The most words of talk before a caption, and behind it.
const LONGEST_TALK: usize = 4;
/// The share of words of talk that are made up.
const MADE_UP: f64 = 0.3;

/// How captions are spoiled, each a share of the captions or, where it says so, of their words.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Noise {
    /// A word of `fillers` is put in somewhere.
    filler: f64,
    /// A word that nobody knows is put in somewhere.
    invented: f64,
    /// Up to [`LONGEST_TALK`] words that mean nothing stand before the caption, behind it or both, as in
    /// a sentence that a model has never seen: words of `strangers`, and made-up ones.
    talk: f64,
    /// The share of words that are left out, of those that do not say what is to be drawn.
    drop: f64,
    /// The share of such words in whose place another filler is.
    replace: f64,
    /// Everything is in capitals.
    shouted: f64,
    /// It begins with a capital and ends with a full stop.
    sentence: f64,
    /// Words that mean nothing to a painter.
    pub(super) fillers: Vec<String>,
    /// Lines of words for `talk`. Unlike fillers, they are not among the words that a model knows:
    /// whoever types one is told.
    pub(super) strangers: Vec<String>,
}

/// A word of a caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// The part of the caption it belongs to, if it says what is to be drawn: nothing is put
    /// between the words of a part.
    pub(super) part: Option<usize>,
}

/// Words as text.
pub(super) fn join(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

impl Noise {
    /// All shares by their keys.
    pub(super) fn shares(&self) -> [(&'static str, f64); 7] {
        [
            ("filler", self.filler),
            ("invented", self.invented),
            ("talk", self.talk),
            ("drop", self.drop),
            ("replace", self.replace),
            ("shouted", self.shouted),
            ("sentence", self.sentence),
        ]
    }

    /// Whether there is use for `strangers`.
    pub(super) fn needs_strangers(&self) -> bool {
        self.talk > 0.0
    }

    /// Whether there is use for `fillers`.
    pub(super) fn needs_fillers(&self) -> bool {
        self.filler > 0.0 || self.replace > 0.0
    }

    /// The caption that is made of these words.
    pub(super) fn spoil(&self, words: Vec<Word>, draws: &mut impl Rng) -> String {
        let mut words: Vec<Word> =
            words.into_iter().filter_map(|word| self.change(word, draws)).collect();
        if chance(self.filler, draws) {
            let filler = self.filler(draws);
            insert(&mut words, filler, draws);
        }
        if chance(self.invented, draws) {
            let invented = invent(draws);
            insert(&mut words, invented, draws);
        }
        if chance(self.talk, draws) {
            words = self.talk_around(words, draws);
        }
        let text = join(&words);
        if chance(self.shouted, draws) {
            return text.to_uppercase();
        }
        if chance(self.sentence, draws) {
            let mut letters = text.chars();
            let first = letters.next().map(|letter| letter.to_uppercase().to_string());
            return first.unwrap_or_default() + letters.as_str() + ".";
        }
        text
    }

    /// A word, or what is in its place.
    fn change(&self, word: Word, draws: &mut impl Rng) -> Option<Word> {
        if word.part.is_some() {
            return Some(word);
        }
        let draw = uniform(draws.next_u64());
        if draw < self.drop {
            None
        } else if draw < self.drop + self.replace {
            Some(Word { text: self.filler(draws), part: None })
        } else {
            Some(word)
        }
    }

    /// Words with talk before and behind them: none to [`LONGEST_TALK`] words each, as probable.
    fn talk_around(&self, words: Vec<Word>, draws: &mut impl Rng) -> Vec<Word> {
        let mut talk = || -> Vec<Word> {
            let count = below(LONGEST_TALK + 1, draws);
            (0..count).map(|_| Word { text: self.stranger(draws), part: None }).collect()
        };
        [talk(), words, talk()].concat()
    }

    /// A word of talk.
    fn stranger(&self, draws: &mut impl Rng) -> String {
        if chance(MADE_UP, draws) {
            return invent(draws);
        }
        let line = &self.strangers[below(self.strangers.len(), draws)];
        let words: Vec<&str> = line.split_whitespace().collect();
        words[below(words.len(), draws)].to_string()
    }

    fn filler(&self, draws: &mut impl Rng) -> String {
        self.fillers[below(self.fillers.len(), draws)].clone()
    }
}

/// Puts a word anywhere but between the words of a part.
fn insert(words: &mut Vec<Word>, text: String, draws: &mut impl Rng) {
    let is_free = |place: &usize| {
        let around = words.get(place.wrapping_sub(1)).zip(words.get(*place));
        around.is_none_or(|(before, after)| before.part.is_none() || before.part != after.part)
    };
    let free: Vec<usize> = (0..=words.len()).filter(is_free).collect();
    words.insert(free[below(free.len(), draws)], Word { text, part: None });
}

/// A word that there is not.
fn invent(draws: &mut impl Rng) -> String {
    let mut syllable = || {
        let mut pick = |list: &[&'static str]| list[below(list.len(), draws)];
        [pick(&ONSETS), pick(&VOWELS), pick(&CODAS)].concat()
    };
    syllable() + &syllable()
}

/// Whether something of this share happens.
pub(super) fn chance(share: f64, draws: &mut impl Rng) -> bool {
    uniform(draws.next_u64()) < share
}

/// A number below `count`.
pub(super) fn below(count: usize, draws: &mut impl Rng) -> usize {
    (draws.next_u64() % count as u64) as usize
}
