//! A natural logarithm that is exact to a few units in the last place near one too.

use cubecl::prelude::*;

/// `ln x` for positive x.
///
/// Between 1/2 and 2 Vulkan promises an absolute error of 2⁻²¹ only, while the logarithm of a
/// uniform value just below one is as small as 2⁻²⁴. There it is `2·artanh((x - 1) / (x + 1))`, as
/// a series; x - 1 is exact.
#[cube]
pub(super) fn logarithm(x: f32) -> f32 {
    let mut result = x.ln();
    if x > 0.5 && x < 2.0 {
        let above = x - 1.0;
        let ratio = above / (above + 2.0);
        let square = ratio * ratio;
        let series = square * comptime!(1.0f32 / 17.0) + comptime!(1.0f32 / 15.0);
        let series = series * square + comptime!(1.0f32 / 13.0);
        let series = series * square + comptime!(1.0f32 / 11.0);
        let series = series * square + comptime!(1.0f32 / 9.0);
        let series = series * square + comptime!(1.0f32 / 7.0);
        let series = series * square + comptime!(1.0f32 / 5.0);
        let series = series * square + comptime!(1.0f32 / 3.0);
        result = 2.0 * (ratio + ratio * square * series);
    }
    result
}
