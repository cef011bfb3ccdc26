//! Every operation that a generation spends its time in, at the shapes of the released model.
//!
//! ```text
//! cargo bench -p hart-benches --bench operations                # everything, some minutes
//! cargo bench -p hart-benches --bench operations -- attention   # one group
//! ```
//!
//! Operations are called through the doors the model uses ([`hart_core::HartBackend`]), on the
//! fastest backend compiled in. Where that one has a kernel of its own, one shape is also measured
//! in plain operations of the same backend ([`plain`]), to see what the kernel is worth. Products
//! are counted as written down, so `Gelem/s` reads as GFLOP/s; operations that only pass over
//! memory are given in bytes read and written.

mod attention;
mod diffusion;
mod elementwise;
mod images;
mod linear;
mod plain;
mod sampling;
mod timing;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    linear::measure(&mut criterion);
    attention::measure(&mut criterion);
    elementwise::measure(&mut criterion);
    diffusion::measure(&mut criterion);
    images::measure(&mut criterion);
    sampling::measure(&mut criterion);
    criterion.final_summary();
}
