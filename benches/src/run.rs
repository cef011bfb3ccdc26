//! What one process measured, handed over as a line of JSON.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::phases::Phases;

/// One generation in a process of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Seconds.
    pub seconds: Phases<f64>,
    /// The most memory the process has held, in MiB: resident on the processor, allocated on a GPU.
    /// `None` where the system does not tell.
    pub peak_mib: Option<f64>,
    /// Threads it worked on.
    pub threads: usize,
}

/// Starts a process, hands it `input`, and reads the last line it prints as JSON.
///
/// # Errors
/// When it cannot be started, fails, or prints something else; with what it said.
pub fn last_line<T: DeserializeOwned>(command: &mut Command, input: &str) -> Result<T> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().with_context(|| format!("no result of {shown}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed ({}):\n{}", output.status, said.trim_end());
    }
    written.with_context(|| format!("{shown} did not read its input"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("{shown} printed `{line}`"))
}
