//! Effort: how much of a generation is computed.

use std::fmt;
use std::str::FromStr;

use hart_ar::Computed;
use hart_core::{Error, ScaleSchedule};
use serde::{Deserialize, Serialize};

/// How much is computed for an image. A level is part of what a seed means: the same seed gives the same
/// image at the same level, and similar ones at others.
///
/// | level | guidance at the two largest scales | tokens in the blocks there |
/// |---|---|---|
/// | `exact` | yes | all |
/// | `fast` | no | all |
/// | `faster` | no | a half, then a quarter |
///
/// For an image of 1024 × 1024 pixels of the released layout 19,500 tokens go through the blocks, 13,100,
/// or 8,876. Guidance is left out as in Switti (arXiv 2412.01819), tokens as in FastVAR (arXiv 2503.23367).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// All that the release computes.
    #[default]
    Exact,
    /// The two largest scales are not guided: what is where is decided before.
    Fast,
    /// Besides, at the two largest scales only the tokens that differ most from the others go through the
    /// blocks.
    Faster,
}

/// How many scales are computed with less.
const FINE: usize = 2;

impl Effort {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Fast, Self::Faster];

    /// Its name, as arguments and settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fast => "fast",
            Self::Faster => "faster",
        }
    }

    /// Whether a scale is guided.
    pub(super) fn is_guided(self, scales: &ScaleSchedule, scale: usize) -> bool {
        self == Self::Exact || scale + FINE < scales.count()
    }

    /// Which tokens of a scale go through the blocks. Short schedules have no scale to take results
    /// from: all of them do then.
    pub(super) fn computed(self, scales: &ScaleSchedule, scale: usize) -> Computed {
        if self != Self::Faster || scales.count() < FINE + 2 {
            return Computed::All;
        }
        let tokens = scales.tokens(scale);
        match scales.last() - scale {
            0 => Computed::Most(tokens.div_ceil(4)),
            1 => Computed::Most(tokens.div_ceil(2)),
            FINE => Computed::AllKept,
            _ => Computed::All,
        }
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Effort {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| {
            Error::invalid("the effort", format!("`{name}`"), "exact, fast or faster")
        })
    }
}

#[cfg(test)]
mod tests {
    use hart_ar::Computed;
    use hart_core::ScaleSchedule;

    use super::Effort;

    /// Context tokens of the release.
    const CONTEXT: usize = 300;

    /// Tokens that go through the blocks, of both halves of guidance: those of the context, from which
    /// scale 0 follows, and those of later scales.
    fn tokens(effort: Effort, scales: &ScaleSchedule) -> usize {
        let tokens = |scale: usize| {
            let halves = if effort.is_guided(scales, scale) { 2 } else { 1 };
            let computed = match effort.computed(scales, scale) {
                Computed::Most(count) => count,
                _ => scales.tokens(scale),
            };
            halves * computed
        };
        2 * CONTEXT + (1..scales.count()).map(tokens).sum::<usize>()
    }

    #[test]
    fn the_levels_compute_what_is_known_of_the_release() {
        let sides = [1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64];
        let scales = ScaleSchedule::squares(&sides).expect("the release's scales");
        let counts = Effort::ALL.map(|effort| tokens(effort, &scales));
        assert_eq!(counts, [19_500, 13_100, 8_876]);
    }

    #[test]
    fn short_schedules_compute_everything() {
        let scales = ScaleSchedule::squares(&[1, 2, 4]).expect("scales");
        assert!((0..3).all(|scale| Effort::Faster.computed(&scales, scale) == Computed::All));
    }
}
