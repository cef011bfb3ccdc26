//! What the benchmarks share.
//!
//! | module | what |
//! |---|---|
//! | [`setup`] | the arguments that programs share |
//! | [`released`] | configurations of the released size |
//! | [`folder`] | folders of that size with random weights |
//! | [`generation`] | generations with random weights, timed part by part |
//! | [`place`] | where all sides compute |
//! | [`python`] | a Python with PyTorch |
//! | [`peer`] | the same work in PyTorch |
//! | [`diffusion`] | the diffusion models that HART is compared with |
//! | [`run`], [`phases`] | what a process measured |
//! | [`counts`], `launches` | launches, waits and bytes over the bus |
//! | [`work`] | the operations that a generation takes, counted |
//! | [`machine`], [`ceiling`] | the machine, and the most operations it does in a second |
//! | [`report`], [`table`] | the comparison as numbers and as text |

pub mod ceiling;
pub mod counts;
pub mod diffusion;
pub mod folder;
pub mod generation;
#[cfg(feature = "cube")]
pub mod launches;
pub mod machine;
pub mod peer;
pub mod phases;
pub mod place;
pub mod python;
pub mod released;
pub mod report;
pub mod run;
pub mod setup;
pub mod table;
pub mod work;
