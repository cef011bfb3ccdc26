//! A model that may be loaded later than its configuration.

use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::backend::Backend;
use hart_core::checkpoint::LoadOptions;
use hart_core::{HartBackend, Result};

use crate::model::{HartModel, ModelCheckpoints, ModelConfig};

/// A model, or what it is loaded from when it is first needed.
#[derive(Debug)]
pub(crate) struct LazyModel<B: Backend> {
    config: ModelConfig,
    model: OnceLock<HartModel<B>>,
    source: Option<Source<B>>,
    /// Held while the model is loaded, so that it is loaded once.
    loading: Mutex<()>,
}

#[derive(Debug)]
struct Source<B: Backend> {
    files: ModelCheckpoints,
    options: LoadOptions,
    device: B::Device,
}

impl<B: HartBackend> LazyModel<B> {
    /// A model that is there.
    pub(crate) fn loaded(config: ModelConfig, model: HartModel<B>) -> Self {
        Self { config, model: OnceLock::from(model), source: None, loading: Mutex::new(()) }
    }

    /// A model that waits in its files.
    pub(crate) fn waiting(
        config: ModelConfig,
        files: ModelCheckpoints,
        options: LoadOptions,
        device: B::Device,
    ) -> Self {
        let source = Some(Source { files, options, device });
        Self { config, model: OnceLock::new(), source, loading: Mutex::new(()) }
    }

    /// What is known without weights.
    pub(crate) fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The model, loaded if it is not yet.
    ///
    /// # Errors
    /// Those of [`HartModel::load`].
    pub(crate) fn get(&self) -> Result<&HartModel<B>> {
        let _loading = match (self.model.get(), &self.source) {
            (Some(model), _) => return Ok(model),
            _ => self.loading.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if let (None, Some(Source { files, options, device })) = (self.model.get(), &self.source) {
            let model = HartModel::load(&self.config, files, *options, device)?;
            // Nobody else sets it while the lock is held.
            let _ = self.model.set(model);
        }
        Ok(self.model.get().expect("a model that is there or has a source"))
    }
}
