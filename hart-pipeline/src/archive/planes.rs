//! Bytes of 16-bit numbers sorted by place, for archives.
//!
//! The high bytes of weights are alike and the low ones are noise; apart from each other they
//! compress by a seventh, in turns hardly at all.

/// All bytes at even places, then all at odd ones.
pub(super) fn split_planes(bytes: &[u8]) -> Vec<u8> {
    let plane = |first: usize| bytes.iter().skip(first).step_by(2).copied();
    plane(0).chain(plane(1)).collect()
}

/// What [`split_planes`] was given.
pub(super) fn join_planes(planes: &[u8]) -> Vec<u8> {
    let (even, odd) = planes.split_at(planes.len().div_ceil(2));
    let mut bytes = vec![0; planes.len()];
    for (first, plane) in [even, odd].into_iter().enumerate() {
        bytes.iter_mut().skip(first).step_by(2).zip(plane).for_each(|(byte, &value)| *byte = value);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{join_planes, split_planes};

    #[test]
    fn planes_are_joined_as_they_were() {
        for length in [0, 1, 2, 7, 100] {
            let bytes: Vec<u8> = (0..length).map(|i| i * 7 % 251).collect();
            assert_eq!(join_planes(&split_planes(&bytes)), bytes);
        }
        assert_eq!(split_planes(&[1, 2, 3, 4, 5]), [1, 3, 5, 2, 4]);
    }
}
