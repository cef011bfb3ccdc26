//! The same work in PyTorch.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::phases::Phases;
use crate::python::Python;
use crate::released::Case;
use crate::run::Run;

/// The modules of Python that the program needs.
pub const MODULES: [&str; 2] = ["torch", "numpy"];
/// The program, handed to Python as its input.
const PROGRAM: &str = include_str!("../peer/hart_torch.py");

/// What the program prints.
#[derive(Deserialize)]
struct Line {
    seconds: Seconds,
    peak_mib: f64,
    threads: usize,
}

#[derive(Deserialize)]
struct Seconds {
    transformer: f64,
    diffusion: f64,
    decoder: f64,
}

/// One generation after `warmup` others, in a process of its own.
///
/// # Errors
/// When the program fails; with what it said.
pub fn run(python: &Python, case: &Case, warmup: usize) -> Result<Run> {
    let Case { px, depth, batch } = case;
    let arguments = [("--px", px), ("--depth", depth), ("--batch", batch), ("--warmup", &warmup)]
        .map(|(flag, number)| format!("{flag}={number}"));
    let line: Line = python.turn(PROGRAM, &arguments).context("the PyTorch side")?;
    let Seconds { transformer, diffusion, decoder } = line.seconds;
    Ok(Run {
        seconds: Phases::sum(transformer, diffusion, decoder),
        peak_mib: Some(line.peak_mib),
        threads: line.threads,
    })
}
