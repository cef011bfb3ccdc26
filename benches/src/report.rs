//! The comparison as numbers.

use serde::Serialize;

use crate::diffusion::Diffusion;
use crate::machine::Machine;
use crate::phases::{Phases, median};
use crate::released::Case;
use crate::run::Run;

/// What was measured, and what follows from it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was generated.
    pub case: Case,
    /// Generations before the one that counts, in every process.
    pub warmup: usize,
    /// Where.
    pub machine: Machine,
    /// The backend of our side, and which GPU.
    pub device: String,
    /// The version of HART.
    pub hart: &'static str,
    /// The version of PyTorch, where it was measured.
    pub torch: Option<String>,
    /// The version of diffusers, where diffusion models were measured.
    pub diffusers: Option<String>,
    /// Nominal operations in GFLOP ([`crate::work`]).
    pub gflop: Phases<f64>,
    /// PyTorch first, where it was measured.
    pub sides: Vec<Side>,
    /// Of our sides, the one that diffusion models are set against: the first at full effort.
    pub exact: Option<String>,
    /// The diffusion models.
    pub diffusion: Vec<Diffusion>,
}

/// One side of the comparison.
#[derive(Debug, Serialize)]
pub struct Side {
    /// Whose, and in which precision.
    pub name: String,
    /// Every round.
    pub runs: Vec<Run>,
    /// Medians over the rounds.
    pub seconds: Phases<f64>,
    /// The median of the most memory held, in MiB; `None` where it is not known.
    pub peak_mib: Option<f64>,
    /// Nominal operations in a second, in GFLOP/s.
    pub gflop_per_second: Phases<f64>,
    /// The same over the ceiling of 32-bit operations. Can be above 1: of 8-bit integers, and
    /// where fewer operations than the nominal ones do. `None` where there is no ceiling.
    pub share_of_ceiling: Option<Phases<f64>>,
    /// The seconds of PyTorch over these.
    pub speed_over_torch: Option<Phases<f64>>,
    /// This memory over that of PyTorch.
    pub memory_over_torch: Option<f64>,
}

impl Side {
    /// From its rounds; `torch` is the other side.
    pub fn new(
        name: String,
        runs: Vec<Run>,
        gflop: Phases<f64>,
        ceiling: Option<f64>,
        torch: Option<&Self>,
    ) -> Self {
        let all: Vec<Phases<f64>> = runs.iter().map(|run| run.seconds).collect();
        let seconds = Phases::median(&all);
        let peaks: Option<Vec<f64>> = runs.iter().map(|run| run.peak_mib).collect();
        let peak_mib = peaks.map(|peaks| median(peaks.into_iter()));
        let gflop_per_second = gflop.zip(seconds, |gflop, seconds| gflop / seconds);
        Self {
            name,
            runs,
            seconds,
            peak_mib,
            gflop_per_second,
            share_of_ceiling: ceiling.map(|most| gflop_per_second.map(|rate| rate / most)),
            speed_over_torch: torch
                .map(|torch| torch.seconds.zip(seconds, |torch, ours| torch / ours)),
            memory_over_torch: torch
                .and_then(|torch| torch.peak_mib)
                .zip(peak_mib)
                .map(|(torch, ours)| ours / torch),
        }
    }
}
