//! Models that an argument names: by a folder, or by a name at the hub.

use std::path::Path;

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
