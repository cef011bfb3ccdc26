//! Pipelines of models at the hub.

use hart_core::{HartBackend, Result};

use super::client::Client;
use super::{Hub, HubName, Repository, TEXT_ENCODER, files};
use crate::builder::{PipelineBuilder, Source};
use crate::observer::Observer;
use crate::pipeline::HartPipeline;
use crate::text::KnownWords;

impl<B: HartBackend> HartPipeline<B> {
    /// The model of this name at the Hugging Face hub, such as `mit-han-lab/hart-0.7b-1024px` or
    /// `owner/name@revision`, with its text encoder (feature `hub`). What is not in the cache yet
    /// is fetched; [`PipelineBuilder::pretrained`] says more.
    ///
    /// # Errors
    /// As [`PipelineBuilder::build`].
    pub fn from_pretrained(name: &str, device: &B::Device) -> Result<Self> {
        PipelineBuilder::default().pretrained(name).build(device)
    }
}

impl PipelineBuilder {
    /// The model of this name at the Hugging Face hub, `owner/name` or `owner/name@revision`
    /// (feature `hub`). Its text encoder is its own, `text/`, if it has one, else that of the
    /// release ([`TEXT_ENCODER`]), unless another one is named. Images record the name with the
    /// commit, which fetches the same files again.
    pub fn pretrained(mut self, name: &str) -> Self {
        self.source = Source::Hub(name.to_string());
        self
    }

    /// The text encoder of this name at the hub (feature `hub`), also for a model in a folder.
    pub fn text_encoder_pretrained(mut self, name: &str) -> Self {
        self.text_encoder = None;
        self.text_encoder_name = Some(name.to_string());
        self
    }

    /// The hub, and where what it gives is kept (default: [`Hub::from_env`]; feature `hub`).
    pub fn hub(mut self, hub: Hub) -> Self {
        self.hub = Some(hub);
        self
    }

    /// Fetches what was named and is not here, and goes on with the folders it is in (feature
    /// `hub`). [`Self::build`] and [`Self::open`] do so, too; this shows an observer how far it is
    /// ([`Event::Download`](crate::Event::Download)) and lets it stop.
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) for names of another form, and those of
    /// [`Hub::fetch_model`].
    pub fn fetch(mut self, observer: &mut dyn Observer) -> Result<Self> {
        let name = match &self.source {
            Source::Hub(name) => Some(name.parse::<HubName>()?),
            Source::Folder(_) if self.text_encoder_name.is_some() => None,
            _ => return Ok(self),
        };
        let hub = self.hub.clone().unwrap_or_default();
        let client = Client::new(&hub);
        let model = match name {
            Some(name) => Some(Repository::open(&client, &name, observer)?),
            None => None,
        };
        // Both are asked for before gigabytes of either are fetched.
        let encoder = match self.text_encoder_for(model.as_ref())? {
            Some(name) => Some(Repository::open(&client, &name, observer)?),
            None => None,
        };
        if let Some(model) = model {
            let own = encoder.is_none() && self.text_encoder.is_none();
            self.source = Source::Folder(model.fetch_model(self.weights, own, observer)?);
            self.name = Some(model.pinned.to_string());
        }
        if let Some(encoder) = encoder {
            self.text_encoder = Some(encoder.fetch_text_encoder(observer)?);
            self.text_encoder_name = None;
        }
        Ok(self)
    }

    /// The words that the text encoder of this name, or that of the model of this name, knows: only
    /// its lists of words are fetched.
    pub(crate) fn words_at_hub(
        &self,
        encoder: Option<&str>,
        model: &str,
        observer: &mut dyn Observer,
    ) -> Result<Option<KnownWords>> {
        let (name, folder) = match encoder {
            Some(encoder) => (encoder, ""),
            None => (model, "text/"),
        };
        let hub = self.hub.clone().unwrap_or_default();
        let client = Client::new(&hub);
        let repository = Repository::open(&client, &name.parse()?, observer)?;
        match repository.fetch_words(folder, observer)? {
            Some(folder) => KnownWords::open(folder),
            None => Ok(None),
        }
    }

    /// The name of the text encoder that is to be fetched, if one is.
    fn text_encoder_for(&self, model: Option<&Repository<'_>>) -> Result<Option<HubName>> {
        let released = || match model {
            Some(model) if self.text_encoder.is_none() && !files::has_text(&model.listed) => {
                Some(TEXT_ENCODER)
            }
            _ => None,
        };
        self.text_encoder_name.as_deref().or_else(released).map(str::parse).transpose()
    }
}
