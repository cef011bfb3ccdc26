//! Seeds as arguments.

use std::str::FromStr;

/// The seed of the first image: a number, or `random` for one from the operating system.
#[derive(Debug, Clone, Copy)]
pub struct Seed {
    /// The number. One that was drawn is small enough that others can be counted on from it.
    pub value: u64,
    /// Whether it was drawn, so that a program says it.
    pub is_drawn: bool,
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text != "random" {
            let value = text.parse();
            let value = value.map_err(|_| "expected a whole number from 0, or `random`")?;
            return Ok(Self { value, is_drawn: false });
        }
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
        Ok(Self { value: u32::from_le_bytes(bytes).into(), is_drawn: true })
    }
}
