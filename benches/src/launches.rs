//! Kernels that are launched on a GPU, counted by what CubeCL says of each.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, anyhow};
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;

static LAUNCHES: AtomicU64 = AtomicU64::new(0);

/// How CubeCL begins what it says of a launch.
const LAUNCH: &str = "Executing ";
/// CubeCL says it from a thread of its own: how long nothing must come until everything has.
const SILENCE: Duration = Duration::from_millis(200);

/// Has every launch counted from now on. It must be called before a device is first used, and once.
///
/// # Errors
/// When the program has a logger already.
pub fn watch() -> Result<()> {
    log::set_logger(&Counter).map_err(|error| anyhow!("{error}"))?;
    log::set_max_level(LevelFilter::Trace);
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.profiling.logger =
        serde_json::from_value(json!({ "level": "minimal", "log": "trace" }))?;
    CubeClRuntimeConfig::set(config);
    Ok(())
}

/// How many kernels were launched. The device has to be in step with the host.
pub fn so_far() -> u64 {
    let mut count = LAUNCHES.load(Relaxed);
    loop {
        std::thread::sleep(SILENCE);
        let now = LAUNCHES.load(Relaxed);
        if now == count {
            return count;
        }
        count = now;
    }
}

struct Counter;

impl Log for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cubecl_common::config")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) && record.args().to_string().starts_with(LAUNCH) {
            LAUNCHES.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self) {}
}
