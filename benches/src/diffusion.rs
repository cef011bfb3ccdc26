//! The diffusion models that HART is compared with, in PyTorch.

use std::fmt;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::phases::median;
use crate::python::Python;
use crate::released::Case;
use crate::report::Side;

/// The module of Python that the program needs beside PyTorch.
pub const MODULE: &str = "diffusers";
/// The program, handed to Python as its input.
const PROGRAM: &str = include_str!("../peer/diffusion_torch.py");

/// A released model whose size is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Stable Diffusion XL: 2.6 B parameters, usually 40 steps.
    Sdxl,
    /// PixArt-Sigma: 0.6 B parameters, usually 20 steps.
    PixartSigma,
    /// Stable Diffusion 3 medium: 2 B parameters, usually 28 steps.
    Sd3,
}

/// Which models, and how many steps they take.
#[derive(Debug, Clone, Args)]
pub struct Peers {
    /// Diffusion models to measure as well, separated by commas; needs diffusers.
    #[arg(long = "peer", value_name = "MODEL", value_delimiter = ',')]
    pub models: Vec<Model>,
    /// Steps of every diffusion model [default: 40 of sdxl, 20 of pixart-sigma, 28 of sd3].
    #[arg(long = "peer-steps", value_name = "STEPS")]
    steps: Option<usize>,
    /// Steps that are taken and scaled to all, for slow machines [default: all].
    #[arg(long = "peer-measured-steps", value_name = "STEPS")]
    measured_steps: Option<usize>,
}

/// One generation of a diffusion model in a process of its own, as its program prints it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DiffusionRun {
    /// Millions of parameters of the denoiser.
    pub parameters: f64,
    /// Steps of a generation.
    pub steps: usize,
    /// Those that were taken; the time of the others follows from them.
    pub measured_steps: usize,
    /// Seconds of a generation.
    pub seconds: Seconds,
    /// The most memory held, in MiB: resident on the processor, allocated on a GPU.
    pub peak_mib: f64,
    /// Threads it worked on.
    pub threads: usize,
}

/// Seconds of the parts of a generation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Seconds {
    /// All steps.
    pub denoiser: f64,
    /// The image decoder.
    pub decoder: f64,
}

/// A diffusion model, measured.
#[derive(Debug, Serialize)]
pub struct Diffusion {
    /// Which.
    pub model: Model,
    /// Every round.
    pub runs: Vec<DiffusionRun>,
    /// Medians over the rounds.
    pub seconds: Seconds,
    /// The median of whole generations, in seconds.
    pub total: f64,
    /// The median of the most memory held, in MiB.
    pub peak_mib: f64,
    /// The seconds over those of HART, where HART was measured at full effort.
    pub seconds_over_hart: Option<f64>,
}

impl Peers {
    /// Whether these numbers of steps can be measured.
    ///
    /// # Errors
    /// When they cannot: with what to do about it.
    pub fn check(&self) -> Result<()> {
        let (steps, measured) = (self.steps, self.measured_steps);
        ensure!(steps != Some(0), "`--peer-steps 0` makes no image: 1 step or more");
        ensure!(measured != Some(0), "`--peer-measured-steps 0` measures nothing: 1 step or more");
        let of_none = self.models.is_empty() && steps.or(measured).is_some();
        ensure!(!of_none, "steps of which diffusion model? Name it with `--peer`");
        Ok(())
    }

    /// One generation after `warmup` others, in a process of its own.
    ///
    /// # Errors
    /// When the program fails; with what it said.
    pub fn run(
        &self,
        python: &Python,
        model: Model,
        case: &Case,
        warmup: usize,
    ) -> Result<DiffusionRun> {
        let mut arguments = vec![format!("--model={}", model.flag())];
        arguments.extend([format!("--px={}", case.px), format!("--batch={}", case.batch)]);
        arguments.push(format!("--warmup={warmup}"));
        arguments.extend(self.steps.map(|steps| format!("--steps={steps}")));
        arguments.extend(self.measured_steps.map(|steps| format!("--measured-steps={steps}")));
        python.turn(PROGRAM, &arguments).with_context(|| model.to_string())
    }
}

impl Model {
    /// As command lines name it.
    fn flag(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sdxl => "SDXL",
            Self::PixartSigma => "PixArt-Sigma",
            Self::Sd3 => "SD3-medium",
        })
    }
}

impl DiffusionRun {
    /// Seconds of the whole generation.
    pub fn total(&self) -> f64 {
        self.seconds.denoiser + self.seconds.decoder
    }
}

impl Diffusion {
    /// From its rounds; `hart` is our side at full effort.
    pub fn new(model: Model, runs: Vec<DiffusionRun>, hart: Option<&Side>) -> Self {
        let of = |value: fn(&DiffusionRun) -> f64| median(runs.iter().map(value));
        let total = of(DiffusionRun::total);
        Self {
            model,
            seconds: Seconds {
                denoiser: of(|run| run.seconds.denoiser),
                decoder: of(|run| run.seconds.decoder),
            },
            total,
            peak_mib: of(|run| run.peak_mib),
            seconds_over_hart: hart.map(|hart| total / hart.seconds.total),
            runs,
        }
    }
}
