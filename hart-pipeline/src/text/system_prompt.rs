//! The instruction put before every prompt.

use hart_core::{Error, Result};

/// The system prompt that the released model was conditioned on, to the letter: a constant of the
/// official code (mit-han-lab/hart, MIT licence).
pub const RELEASED: &str = concat!(
    "Given a user prompt, generate an \"Enhanced prompt\" that provides detailed visual descriptions suitable for image generation.\n",
    "\n",
    "Examples:\n",
    "- User Prompt: A cat sleeping -> A small, fluffy white cat curled up in a round shape, sleeping peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.\n",
    "- User Prompt: A busy city street -> A bustling city street scene at dusk, featuring glowing street lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering glass skyscrapers.\n",
    "\n",
    "Please generate only the enhanced description for the prompt below and DO NOT include any additional sentences. Start your response with \"Enhanced Prompt:\".\n",
    "\n",
    "User Prompt:\n",
);

/// What is put before every prompt. It changes the context, so a model wants the one it was trained
/// with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SystemPrompt {
    /// The one of the released model, [`RELEASED`].
    #[default]
    Released,
    /// Another one.
    Custom(String),
    /// None.
    None,
}

impl SystemPrompt {
    /// Its text, when there is any.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Released => Some(RELEASED),
            Self::Custom(text) => Some(text),
            Self::None => None,
        }
    }

    /// As image settings say it: `released`, `none`, or the text behind `text:`.
    pub fn to_settings(&self) -> String {
        match self {
            Self::Released => "released".to_string(),
            Self::Custom(text) => format!("text:{text}"),
            Self::None => "none".to_string(),
        }
    }

    /// What [`Self::to_settings`] was given.
    ///
    /// # Errors
    /// [`Error::Invalid`] for any other text.
    pub fn from_settings(text: &str) -> Result<Self> {
        match (text, text.strip_prefix("text:")) {
            (_, Some(text)) => Ok(Self::Custom(text.to_string())),
            ("released", _) => Ok(Self::Released),
            ("none", _) => Ok(Self::None),
            _ => Err(Error::invalid(
                "the system prompt of the settings",
                format!("`{text}`"),
                "released, none, or a text behind `text:`",
            )),
        }
    }
}
