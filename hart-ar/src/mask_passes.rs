//! The order in which masked passes reveal the last scale (section 4.5).

use std::f64::consts::FRAC_PI_2;

/// One masked pass over the last scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// For each image the row-major positions that are predicted, increasing; the same number for
    /// all images.
    pub positions: Vec<Vec<usize>>,
}

impl Pass {
    /// How many positions of each image are predicted.
    pub fn len(&self) -> usize {
        self.positions.first().map_or(0, Vec::len)
    }

    /// Whether nothing is predicted; [`mask_passes`] leaves such passes out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which positions each of `count` passes predicts. Every position is in exactly one pass.
///
/// `orders` holds a permutation of the positions for each image. After pass j of n the first
/// `floor(L·cos(π/2·(j + 1)/n))` positions of the order are still masked, at least one and fewer
/// than before; the last pass predicts all that remain. Passes that would predict nothing, because
/// there are more passes than positions, are left out.
pub fn mask_passes(orders: &[Vec<usize>], count: usize) -> Vec<Pass> {
    let length = orders.first().map_or(0, Vec::len);
    let mut masked = length;
    let mut passes = vec![];
    for pass in 0..count {
        let remaining = if pass + 1 == count {
            0
        } else {
            let ratio = (FRAC_PI_2 * (pass + 1) as f64 / count as f64).cos();
            let remaining = (length as f64 * ratio).floor() as usize;
            remaining.min(masked.saturating_sub(1)).max(1)
        };
        if remaining >= masked {
            continue;
        }
        let revealed = |order: &Vec<usize>| {
            let mut positions = order[remaining..masked].to_vec();
            positions.sort_unstable();
            positions
        };
        passes.push(Pass { positions: orders.iter().map(revealed).collect() });
        masked = remaining;
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::{Pass, mask_passes};

    #[test]
    fn every_position_is_predicted_once() {
        let order: Vec<usize> = (0..49).map(|i| i * 10 % 49).collect();
        for count in [1, 2, 3, 7, 48, 49, 50, 200] {
            let passes = mask_passes(&[order.clone(), (0..49).rev().collect()], count);
            assert!(passes.len() <= count);
            for image in 0..2 {
                let mut seen: Vec<usize> =
                    passes.iter().flat_map(|pass| pass.positions[image].clone()).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..49).collect::<Vec<_>>(), "{count} passes");
            }
            let even = |pass: &Pass| pass.positions.iter().all(|cells| cells.len() == pass.len());
            assert!(passes.iter().all(|pass| !pass.is_empty() && even(pass)));
        }
    }

    #[test]
    fn one_pass_is_the_whole_scale_in_order() {
        assert_eq!(
            mask_passes(&[vec![3, 1, 0, 2]], 1),
            [Pass { positions: vec![vec![0, 1, 2, 3]] }]
        );
    }
}
