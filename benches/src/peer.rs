//! The same work in PyTorch.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::phases::Phases;
use crate::released::Case;
use crate::run::{Run, last_line};

/// The program, handed to Python as its input.
const PROGRAM: &str = include_str!("../peer/hart_torch.py");

/// Prints the list of what is missing and, where nothing is, the version of PyTorch.
const LOOK: &str = "
import importlib.util, json
missing = [name for name in ('torch', 'numpy') if importlib.util.find_spec(name) is None]
version = ''
if not missing:
    import torch
    version = torch.__version__
print(json.dumps({'missing': missing, 'version': version}))
";

/// A Python that has PyTorch.
#[derive(Debug)]
pub struct Peer {
    python: String,
    /// The version of PyTorch.
    pub version: String,
}

/// What [`LOOK`] prints.
#[derive(Deserialize)]
struct Found {
    missing: Vec<String>,
    version: String,
}

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

impl Peer {
    /// Looks whether this Python has what the program needs.
    ///
    /// # Errors
    /// When there is no such Python, or it has no PyTorch or NumPy: with what to do about it.
    pub fn find(python: &str) -> Result<Self> {
        let advice = format!(
            "PyTorch is measured with a Python that has torch and numpy: install them with \
             `{python} -m pip install torch numpy`, name another Python with `--python PATH`, or \
             measure HART alone with `--python none`"
        );
        let found: Found =
            last_line(&mut Command::new(python), LOOK).with_context(|| advice.clone())?;
        if !found.missing.is_empty() {
            bail!("`{python}` has no {}. {advice}", found.missing.join(" and no "));
        }
        Ok(Self { python: python.to_string(), version: found.version })
    }

    /// One generation after `warmup` others, in a process of its own.
    ///
    /// # Errors
    /// When the program fails; with what it said.
    pub fn run(&self, case: &Case, warmup: usize) -> Result<Run> {
        let mut command = Command::new(&self.python);
        command.arg("-").args(["--repeat", "1", "--warmup", &warmup.to_string()]);
        command.args(["--px", &case.px.to_string()]);
        command.args(["--depth", &case.depth.to_string(), "--batch", &case.batch.to_string()]);
        let line: Line = last_line(&mut command, PROGRAM).context("the PyTorch side")?;
        let Seconds { transformer, diffusion, decoder } = line.seconds;
        Ok(Run {
            seconds: Phases::sum(transformer, diffusion, decoder),
            peak_mib: Some(line.peak_mib),
            threads: line.threads,
        })
    }
}
