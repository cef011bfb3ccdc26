//! Sums over the units of a cube, and rounding.

use cubecl::prelude::*;

use super::arguments::Team;

/// The sum of what each unit of a cube brings, for all of them. All must come here.
#[cube]
pub(super) fn cube_sum(value: f32, #[comptime] team: Team) -> f32 {
    let mut sums = SharedMemory::<f32>::new(comptime!(team.units as usize));
    if comptime!(team.planes) {
        let sum = plane_sum(value);
        if UNIT_POS_PLANE == 0 {
            sums[(UNIT_POS / PLANE_DIM) as usize] = sum;
        }
        sync_cube();
        let mut total = f32::new(0.0_f32);
        for plane in 0..CUBE_DIM.div_ceil(PLANE_DIM) {
            total += sums[plane as usize];
        }
        total
    } else {
        sums[UNIT_POS as usize] = value;
        sync_cube();
        // The lower part takes the upper one in; with an odd count the middle value stays.
        let mut count = u32::cast_from(team.units);
        while count > 1 {
            let kept = count.div_ceil(2);
            if UNIT_POS < count / 2 {
                sums[UNIT_POS as usize] =
                    sums[UNIT_POS as usize] + sums[(UNIT_POS + kept) as usize];
            }
            sync_cube();
            count = kept;
        }
        sums[0]
    }
}

/// The largest of what the units of a cube bring, for all of them. All must come here.
#[cube]
pub(super) fn cube_max(value: f32, #[comptime] team: Team) -> f32 {
    let mut largest = SharedMemory::<f32>::new(comptime!(team.units as usize));
    if comptime!(team.planes) {
        let of_plane = plane_max(value);
        if UNIT_POS_PLANE == 0 {
            largest[(UNIT_POS / PLANE_DIM) as usize] = of_plane;
        }
        sync_cube();
        let mut result = largest[0];
        for plane in 1..CUBE_DIM.div_ceil(PLANE_DIM) {
            result = max(result, largest[plane as usize]);
        }
        result
    } else {
        largest[UNIT_POS as usize] = value;
        sync_cube();
        let mut count = u32::cast_from(team.units);
        while count > 1 {
            let kept = count.div_ceil(2);
            if UNIT_POS < count / 2 {
                let other = largest[(UNIT_POS + kept) as usize];
                largest[UNIT_POS as usize] = max(largest[UNIT_POS as usize], other);
            }
            sync_cube();
            count = kept;
        }
        largest[0]
    }
}

/// The sum of the entries of a vector.
#[cube]
pub(super) fn vector_sum<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut total = f32::new(0.0_f32);
    #[unroll]
    for i in 0..N::value() {
        total += vector[i];
    }
    total
}

/// The largest entry of a vector.
#[cube]
pub(super) fn vector_max<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut largest = vector[0];
    #[unroll]
    for i in 1..N::value() {
        largest = max(largest, vector[i]);
    }
    largest
}

/// The values as `F` holds them.
#[cube]
pub(super) fn rounded<F: Float, N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    Vector::cast_from(Vector::<F, N>::cast_from(x))
}

/// `1 / (1 + e⁻ˣ)`.
#[cube]
pub(super) fn sigmoid<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::new(f32::new(1.0_f32));
    one / (one + Vector::exp(-x))
}
