//! One value of every unit, put together over the workgroup.
//!
//! Through shared memory in two steps, whatever the size of planes: a few units put the values of
//! groups together, then everybody those of the groups.

use cubecl::prelude::*;

/// Values of a group; the number of units is a multiple of it.
const GROUP: usize = 16;

/// The shared memory that values meet in. All units must call its functions together.
#[derive(CubeType)]
pub(super) struct Together<N: Numeric> {
    each: SharedMemory<N>,
    groups: SharedMemory<N>,
    #[cube(comptime)]
    count: usize,
}

#[cube]
impl<N: Numeric> Together<N> {
    /// Memory for workgroups of `units`.
    pub(super) fn new(#[comptime] units: usize) -> Together<N> {
        Together::<N> {
            each: SharedMemory::new(units),
            groups: SharedMemory::new(comptime!(units / GROUP)),
            count: comptime!(units / GROUP),
        }
    }

    /// The sum of all values.
    pub(super) fn sum(&mut self, value: N) -> N {
        let count = comptime!(self.count);
        let unit = UNIT_POS as usize;
        self.each[unit] = value;
        sync_cube();
        if unit < count {
            let mut sum = N::from_int(0);
            for place in 0..GROUP {
                sum += self.each[unit + place * count];
            }
            self.groups[unit] = sum;
        }
        // Also keeps the next call from writing what is still being read here.
        sync_cube();
        let mut sum = N::from_int(0);
        for group in 0..count {
            sum += self.groups[group];
        }
        sum
    }

    /// The largest value.
    pub(super) fn largest(&mut self, value: N) -> N {
        let count = comptime!(self.count);
        let unit = UNIT_POS as usize;
        self.each[unit] = value;
        sync_cube();
        if unit < count {
            let mut largest = self.each[unit];
            for place in 1..GROUP {
                largest = max(largest, self.each[unit + place * count]);
            }
            self.groups[unit] = largest;
        }
        sync_cube();
        let mut largest = self.groups[0];
        for group in 1..count {
            largest = max(largest, self.groups[group]);
        }
        largest
    }

    /// The sum of the values of the units before this one.
    pub(super) fn sum_before(&mut self, value: N) -> N {
        let count = comptime!(self.count);
        let unit = UNIT_POS as usize;
        self.each[unit] = value;
        sync_cube();
        if unit < count {
            let mut sum = N::from_int(0);
            for place in 0..GROUP {
                let own = self.each[unit * GROUP + place];
                self.each[unit * GROUP + place] = sum;
                sum += own;
            }
            self.groups[unit] = sum;
        }
        sync_cube();
        let mut sum = N::from_int(0);
        for group in 0..unit / GROUP {
            sum += self.groups[group];
        }
        sum + self.each[unit]
    }
}
