//! The instruction put before every prompt.

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
}
