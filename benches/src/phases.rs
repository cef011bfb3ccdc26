//! The parts of a generation that are told apart.

use std::ops::Add;

use serde::{Deserialize, Serialize};

/// A value for each part of a generation, and one for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases<T> {
    /// The transformer over all scales, to the tokens of the last one.
    pub transformer: T,
    /// The residual diffusion of the last scale.
    pub diffusion: T,
    /// The image decoder.
    pub decoder: T,
    /// Everything.
    pub total: T,
}

impl<T: Copy> Phases<T> {
    /// From the parts, which add up to the whole.
    pub fn sum(transformer: T, diffusion: T, decoder: T) -> Self
    where
        T: Add<Output = T>,
    {
        Self { transformer, diffusion, decoder, total: transformer + diffusion + decoder }
    }

    /// Another value for each part and for the whole.
    pub fn map<U>(self, f: impl Fn(T) -> U) -> Phases<U> {
        Phases {
            transformer: f(self.transformer),
            diffusion: f(self.diffusion),
            decoder: f(self.decoder),
            total: f(self.total),
        }
    }

    /// A value for each part and for the whole from two.
    pub fn zip<U: Copy, V>(self, other: Phases<U>, f: impl Fn(T, U) -> V) -> Phases<V> {
        Phases {
            transformer: f(self.transformer, other.transformer),
            diffusion: f(self.diffusion, other.diffusion),
            decoder: f(self.decoder, other.decoder),
            total: f(self.total, other.total),
        }
    }

    /// The values by name, the whole last.
    pub fn named(self) -> [(&'static str, T); 4] {
        [
            ("transformer", self.transformer),
            ("diffusion", self.diffusion),
            ("decoder", self.decoder),
            ("together", self.total),
        ]
    }
}

impl Phases<f64> {
    /// The median over several, of each part and of the whole by itself.
    pub fn median(all: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| median(all.iter().map(part));
        Self {
            transformer: of(|phases| phases.transformer),
            diffusion: of(|phases| phases.diffusion),
            decoder: of(|phases| phases.decoder),
            total: of(|phases| phases.total),
        }
    }
}

/// The middle value, or the mean of the two in the middle; NaN of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 9.0].into_iter()), 3.0);
        assert_eq!(median([4.0, 1.0, 9.0, 2.0].into_iter()), 3.0);
    }
}
