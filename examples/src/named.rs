//! Models that an argument names: by a folder, or by a name at the hub.

use std::path::{Path, PathBuf};

use hart_pipeline::PipelineBuilder;

/// A pipeline of the model in a folder or, where there is nothing of this name, at the hub.
pub fn with_model(builder: PipelineBuilder, model: &Path) -> PipelineBuilder {
    #[cfg(feature = "hub")]
    if let Some(name) = hart_pipeline::hub::HubName::unless_path(model) {
        return builder.pretrained(&name.to_string());
    }
    builder.model(model)
}

/// The same with the text encoder in a folder or at the hub.
pub fn with_text_encoder(builder: PipelineBuilder, encoder: &Path) -> PipelineBuilder {
    #[cfg(feature = "hub")]
    if let Some(name) = hart_pipeline::hub::HubName::unless_path(encoder) {
        return builder.text_encoder_pretrained(&name.to_string());
    }
    builder.text_encoder(encoder)
}

/// Fetches what was named and is not here yet, showing how far it is.
///
/// # Errors
/// When it cannot be fetched.
pub fn fetch(builder: PipelineBuilder) -> anyhow::Result<PipelineBuilder> {
    #[cfg(feature = "hub")]
    let builder = {
        let progress = crate::Progress::start();
        let fetched = builder.fetch(&mut |event: hart_pipeline::Event<'_>| progress.show(&event));
        progress.finish();
        fetched?
    };
    Ok(builder)
}

/// The folder of a model that is named by its folder or, where there is nothing of this name, at the
/// hub: fetched then, showing how far it is. With its text encoder, if it brings its own.
///
/// # Errors
/// When it cannot be fetched.
pub fn model_folder(model: &Path) -> anyhow::Result<PathBuf> {
    #[cfg(feature = "hub")]
    if let Some(name) = hart_pipeline::hub::HubName::unless_path(model) {
        let weights = hart_pipeline::TransformerWeights::Auto;
        return fetched(|hub, observer| hub.fetch_model(&name, weights, observer));
    }
    Ok(model.to_path_buf())
}

/// The same for a text encoder.
///
/// # Errors
/// When it cannot be fetched.
pub fn text_encoder_folder(encoder: &Path) -> anyhow::Result<PathBuf> {
    #[cfg(feature = "hub")]
    if let Some(name) = hart_pipeline::hub::HubName::unless_path(encoder) {
        return fetched(|hub, observer| hub.fetch_text_encoder(&name, observer));
    }
    Ok(encoder.to_path_buf())
}

/// Fetches a folder from the hub of the environment.
#[cfg(feature = "hub")]
fn fetched(
    fetch: impl FnOnce(
        &hart_pipeline::hub::Hub,
        &mut dyn hart_pipeline::Observer,
    ) -> hart_pipeline::Result<PathBuf>,
) -> anyhow::Result<PathBuf> {
    let hub = hart_pipeline::hub::Hub::from_env();
    let progress = crate::Progress::start();
    let folder = fetch(&hub, &mut |event: hart_pipeline::Event<'_>| progress.show(&event));
    progress.finish();
    Ok(folder?)
}
