//! The machine that is measured on.

use serde::Serialize;

use crate::ceiling;

/// What the numbers depend on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's name; `None` where the system does not tell.
    pub processor: Option<String>,
    /// Threads of our side.
    pub threads: usize,
    /// The GPU that computes; `None` where the processor does.
    pub gpu: Option<String>,
    /// The most 32-bit operations of the processor in a second, in GFLOP/s ([`ceiling::measure`]);
    /// `None` where a GPU computes.
    pub ceiling: Option<f64>,
}

impl Machine {
    /// Looks at the machine and measures its ceiling, which takes about a second.
    pub fn measure() -> Self {
        Self {
            processor: processor(),
            threads: rayon::current_num_threads(),
            gpu: None,
            ceiling: Some(ceiling::measure()),
        }
    }

    /// Looks at the machine, on whose GPU of this name everything is computed.
    pub fn with_gpu(name: String) -> Self {
        let threads = rayon::current_num_threads();
        Self { processor: processor(), threads, gpu: Some(name), ceiling: None }
    }
}

/// The processor's name on Linux.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_string())
}

/// The most memory this process has held, in MiB; `None` where the system does not tell.
pub fn peak_memory_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// The memory this process holds, in MiB; `None` where the system does not tell.
pub fn memory_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// An entry of what Linux says of this process.
fn status_mib(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
