//! Kernels that were compiled, and what tuning has found, kept on the disk.

use std::path::PathBuf;
use std::sync::Arc;

use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Has all GPU backends keep in `folder` what they compile, and what tuning finds. Compiling takes seconds
/// to minutes; a later process finds everything there.
///
/// It is a setting of the process, to be made before a device is first used. A `cubecl.toml` of the user
/// comes first. `false` when CubeCL has its settings already, and nothing changes.
pub fn keep_kernels(folder: impl Into<PathBuf>) -> bool {
    let mut settings = CubeClRuntimeConfig::storage().lock();
    if settings.is_some() {
        return false;
    }
    let kept = CacheConfig::File(folder.into());
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    if matches!(config.autotune.cache, CacheConfig::Target) {
        config.autotune.cache = kept.clone();
    }
    config.compilation.cache.get_or_insert(kept);
    *settings = Some(Arc::new(config));
    true
}
