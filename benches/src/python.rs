//! A Python with the modules that a program needs.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::place::Torch;
use crate::run::last_line;

/// Prints the list of what is missing of the modules and, where nothing is, their versions and the
/// name of the GPU.
const LOOK: &str = "
import importlib.util, json, sys
device, modules = sys.argv[1], sys.argv[2:]
missing = [name for name in modules if importlib.util.find_spec(name) is None]
versions, gpu = {}, None
if not missing:
    versions = {name: __import__(name).__version__ for name in modules}
    import torch
    number = torch.device(device).index
    if number is not None and torch.cuda.is_available() and number < torch.cuda.device_count():
        gpu = torch.cuda.get_device_name(number)
print(json.dumps({'missing': missing, 'versions': versions, 'gpu': gpu}))
";

/// A Python that has PyTorch and what else was asked for.
#[derive(Debug)]
pub struct Python {
    program: String,
    versions: BTreeMap<String, String>,
    torch: Torch,
    /// The name of the GPU; `None` on the processor.
    pub gpu: Option<String>,
}

/// What [`LOOK`] prints.
#[derive(Deserialize)]
struct Found {
    missing: Vec<String>,
    versions: BTreeMap<String, String>,
    gpu: Option<String>,
}

impl Python {
    /// Looks whether this Python has the `modules`, and PyTorch the device.
    ///
    /// # Errors
    /// When there is no such Python, or it lacks a module or the GPU: with what to do about it.
    pub fn find(program: &str, modules: &[&str], torch: Torch) -> Result<Self> {
        let advice = format!(
            "PyTorch is measured with a Python that has {}: install them with `{program} -m pip \
             install {}`, name another Python with `--python PATH`, or measure HART alone with \
             `--python none`",
            modules.join(" and "),
            modules.join(" ")
        );
        let mut command = Command::new(program);
        command.args(["-", &torch.device]).args(modules);
        let found: Found = last_line(&mut command, LOOK).with_context(|| advice.clone())?;
        if !found.missing.is_empty() {
            bail!("`{program}` has no {}. {advice}", found.missing.join(" and no "));
        }
        let there = torch.device == "cpu" || found.gpu.is_some();
        ensure!(
            there,
            "PyTorch of `{program}` finds no GPU `{}`: install a PyTorch built for CUDA, name \
             another Python with `--python PATH`, or measure HART alone with `--python none`",
            torch.device
        );
        let Found { versions, gpu, .. } = found;
        Ok(Self { program: program.to_string(), versions, torch, gpu })
    }

    /// The version of a module that [`Self::find`] was asked for.
    pub fn version(&self, module: &str) -> Option<&str> {
        self.versions.get(module).map(String::as_str)
    }

    /// The name of a side that computes in PyTorch.
    pub fn side(&self) -> String {
        let version = self.version("torch").unwrap_or_default();
        format!("PyTorch {version}, {}", self.torch.precision)
    }

    /// Runs a program of one turn on the device, and reads the line that it prints.
    ///
    /// # Errors
    /// When the program fails; with what it said.
    pub fn turn<T: DeserializeOwned>(&self, source: &str, arguments: &[String]) -> Result<T> {
        let mut command = Command::new(&self.program);
        command.args(["-", "--repeat", "1", "--device", &self.torch.device]);
        command.args(["--dtype", self.torch.precision.name()]).args(arguments);
        last_line(&mut command, source)
    }
}
