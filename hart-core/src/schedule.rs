//! The scales an image is made at.

use serde_json::Value;

use crate::config::ConfigReader;
use crate::{Error, Grid, Result};

/// The token maps from coarse to fine, `patch_nums` in a checkpoint's configuration.
///
/// The first scale is a single token. Later maps never have fewer rows or columns than those
/// before, and each has more tokens; the last one is the grid of the latent. The release's maps are
/// squares; rectangles are experimental.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleSchedule {
    grids: Vec<Grid>,
}

impl ScaleSchedule {
    /// The largest side accepted: a latent of 1024 × 1024 cells.
    pub const MAX_SIDE: usize = 1024;

    /// The most scales accepted.
    pub const MAX_COUNT: usize = 64;

    /// What [`Self::new`] accepts, for messages.
    const EXPECTED: &str = "from 2 to 64 maps that begin with 1 × 1, each with more tokens than \
                            the one before and no fewer rows or columns, no side above 1024";

    /// Checks and wraps the maps.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless there are from 2 to [`Self::MAX_COUNT`] maps, the first is 1 × 1,
    /// none has fewer rows or columns than the one before, each has more tokens, and no side
    /// exceeds [`Self::MAX_SIDE`].
    pub fn new(grids: Vec<Grid>) -> Result<Self> {
        let grows = |pair: &[Grid]| {
            pair[0].rows <= pair[1].rows
                && pair[0].columns <= pair[1].columns
                && pair[0].cells() < pair[1].cells()
        };
        let valid = (2..=Self::MAX_COUNT).contains(&grids.len())
            && grids[0] == Grid::square(1)
            && grids.iter().all(|grid| grid.longest() <= Self::MAX_SIDE)
            && grids.windows(2).all(grows);
        if valid {
            return Ok(Self { grids });
        }
        let found: Vec<String> = grids.iter().take(Self::MAX_COUNT).map(Grid::to_string).collect();
        Err(Error::invalid("the scale schedule", found.join(", "), Self::EXPECTED))
    }

    /// Square maps of these sides.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn squares(sides: &[usize]) -> Result<Self> {
        Self::new(sides.iter().map(|&side| Grid::square(side)).collect())
    }

    /// Reads the maps under `key` of a configuration: a list with a side for every square, or the
    /// rows and columns `[rows, columns]` of a rectangle. Without the key those of the official
    /// code, for 256 pixels a side.
    ///
    /// # Errors
    /// [`Error::Config`] for another value or an impossible schedule.
    pub fn read(file: &ConfigReader, key: &str) -> Result<Self> {
        const DEFAULT: [usize; 10] = [1, 2, 3, 4, 5, 6, 8, 10, 13, 16];
        let refuse = || file.refuse(key, Self::EXPECTED);
        let Some(value) = file.value(key) else { return Self::squares(&DEFAULT) };
        let list = value.as_array().filter(|list| list.len() <= Self::MAX_COUNT);
        let grids: Option<Vec<Grid>> = list.ok_or_else(refuse)?.iter().map(read_grid).collect();
        Self::new(grids.ok_or_else(refuse)?).map_err(|_| refuse())
    }

    /// The value that [`Self::read`] reads.
    pub fn to_json(&self) -> Value {
        let grid = |grid: &Grid| -> Value {
            if grid.is_square() { grid.rows.into() } else { vec![grid.rows, grid.columns].into() }
        };
        self.grids.iter().map(grid).collect()
    }

    /// The schedule for a latent of another shape: as many scales, each with nearly the share of
    /// the latent's tokens that it has here.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the latent is too small or too narrow for as many scales.
    pub fn reshaped(&self, latent: Grid) -> Result<Self> {
        if latent == self.latent() {
            return Ok(self.clone());
        }
        let own = self.latent();
        let part = |side: usize, of: usize, latent: usize| {
            let part = (side * latent) as f64 / of as f64;
            (part.round() as usize).clamp(1, latent)
        };
        let mut grids: Vec<Grid> = self
            .grids
            .iter()
            .map(|grid| {
                let rows = part(grid.rows, own.rows, latent.rows);
                Grid::new(rows, part(grid.columns, own.columns, latent.columns))
            })
            .collect();
        // Scale 0 is read from the last context token: it can be but one.
        grids[0] = Grid::square(1);
        Self::new(grids).map_err(|_| {
            let expected = format!("a latent large and wide enough for {} scales", self.count());
            Error::invalid("the size of the latent", latent, expected)
        })
    }

    /// The maps, coarse to fine.
    pub fn grids(&self) -> &[Grid] {
        &self.grids
    }

    /// The number of scales, S in the paper.
    pub fn count(&self) -> usize {
        self.grids.len()
    }

    /// The index of the last scale, whose residual the diffusion head predicts.
    pub fn last(&self) -> usize {
        self.grids.len() - 1
    }

    /// The map of scale `scale`.
    pub fn grid(&self, scale: usize) -> Grid {
        self.grids[scale]
    }

    /// The number of tokens of scale `scale`.
    pub fn tokens(&self, scale: usize) -> usize {
        self.grids[scale].cells()
    }

    /// The cells of the latent, the map of the last scale.
    pub fn latent(&self) -> Grid {
        self.grids[self.last()]
    }

    /// The tokens of all scales together.
    pub fn total_tokens(&self) -> usize {
        self.grids.iter().map(|grid| grid.cells()).sum()
    }

    /// How far scale `scale` is towards the last, in [0, 1): `k / (S - 1)`, the last step reusing the
    /// ratio of the step before it. Guidance and the smoothing temperature grow with it (section
    /// 4.4).
    pub fn ratio(&self, scale: usize) -> f64 {
        scale.min(self.count() - 2) as f64 / (self.count() - 1) as f64
    }
}

/// A side, or rows and columns.
fn read_grid(value: &Value) -> Option<Grid> {
    let side = |value: &Value| {
        let side = usize::try_from(value.as_u64()?).ok()?;
        (1..=ScaleSchedule::MAX_SIDE).contains(&side).then_some(side)
    };
    match value.as_array().map(Vec::as_slice) {
        None => side(value).map(Grid::square),
        Some([rows, columns]) => Some(Grid::new(side(rows)?, side(columns)?)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Grid, ScaleSchedule};
    use crate::config::ConfigReader;

    fn released() -> ScaleSchedule {
        let sides = [1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64];
        ScaleSchedule::squares(&sides).expect("the released schedule")
    }

    #[test]
    fn another_shape_has_as_many_scales_of_nearly_as_many_tokens() {
        let squares = released();
        for latent in [Grid::new(48, 80), Grid::new(80, 48), Grid::new(40, 100)] {
            let scales = squares.reshaped(latent).expect("a schedule");
            assert_eq!((scales.count(), scales.latent()), (14, latent));
            let share = latent.cells() as f64 / 4096.0;
            for scale in 5..13 {
                let ratio = scales.tokens(scale) as f64 / squares.tokens(scale) as f64;
                assert!((ratio / share - 1.0).abs() < 0.15, "scale {scale} of {latent}: {ratio}");
            }
        }
        assert_eq!(squares.reshaped(Grid::square(64)).expect("the same"), squares);
        assert!(squares.reshaped(Grid::new(2, 8)).is_err());
    }

    #[test]
    fn a_schedule_is_written_as_it_is_read() {
        for scales in [released(), released().reshaped(Grid::new(48, 80)).expect("a schedule")] {
            let json = format!("{{\"patch_nums\": {}}}", scales.to_json());
            let file = ConfigReader::parse("config.json", json.as_bytes()).expect("an object");
            assert_eq!(ScaleSchedule::read(&file, "patch_nums").expect("a schedule"), scales);
        }
        assert!(released().to_json().to_string().starts_with("[1,2,3,4,5,7"));
    }

    #[test]
    fn maps_that_shrink_or_repeat_are_refused() {
        let grid = Grid::new;
        for bad in [
            vec![],
            vec![grid(1, 1)],
            vec![grid(1, 2), grid(2, 2)],
            vec![grid(1, 1), grid(2, 2), grid(2, 2)],
            vec![grid(1, 1), grid(2, 3), grid(3, 2)],
            vec![grid(1, 1), grid(2, 1025)],
        ] {
            assert!(ScaleSchedule::new(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
