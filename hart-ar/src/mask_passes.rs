//! The order in which masked passes reveal the last scale (section 4.5).

use std::f64::consts::FRAC_PI_2;

/// Which positions each pass predicts, for each image: `passes[pass][image]` is an increasing list
/// of row-major positions. Every position is in exactly one pass, and all images have as many
/// positions in a pass.
///
/// `orders` holds a permutation of the positions for each image. After pass j of n the first
/// `floor(L·cos(π/2·(j + 1)/n))` positions of the order are still masked, at least one and fewer
/// than before; the last pass predicts all that remain. Passes that would predict nothing, because
/// there are more passes than positions, are left out.
pub fn mask_passes(orders: &[Vec<usize>], count: usize) -> Vec<Vec<Vec<usize>>> {
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
        passes.push(orders.iter().map(revealed).collect());
        masked = remaining;
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::mask_passes;

    #[test]
    fn every_position_is_predicted_once() {
        let order: Vec<usize> = (0..49).map(|i| i * 10 % 49).collect();
        for count in [1, 2, 3, 7, 48, 49, 50, 200] {
            let passes = mask_passes(&[order.clone(), (0..49).rev().collect()], count);
            assert!(passes.len() <= count);
            for image in 0..2 {
                let mut seen: Vec<usize> = passes.iter().flat_map(|p| p[image].clone()).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..49).collect::<Vec<_>>(), "{count} passes");
            }
            assert!(
                passes.iter().all(|pass| !pass[0].is_empty() && pass[0].len() == pass[1].len())
            );
        }
    }

    #[test]
    fn one_pass_is_the_whole_scale_in_order() {
        assert_eq!(mask_passes(&[vec![3, 1, 0, 2]], 1), [[[0, 1, 2, 3]]]);
    }
}
