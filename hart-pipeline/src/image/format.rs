//! The kinds of files that images are written as.

use std::fmt;
use std::path::Path;

use hart_core::{Error, Result};

/// A kind of image file. All of them can carry the settings that made the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FileFormat {
    /// PNG: every pixel as it is. Settings are text chunks.
    #[default]
    Png,
    /// JPEG of quality 95 with full colour resolution: smaller, and pixels are only nearly those
    /// that were made. Settings are in its EXIF block, of at most 64 KiB.
    #[cfg(feature = "images")]
    Jpeg,
    /// WebP without loss: every pixel as it is. Settings are in its EXIF block.
    #[cfg(feature = "images")]
    WebP,
}

impl FileFormat {
    /// The format that the ending of a path asks for, in small or capital letters: `png`, and with
    /// the feature `images` `jpg`, `jpeg` and `webp`. PNG for a path without ending, such as a
    /// device's.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another ending.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let Some(ending) = path.extension() else { return Ok(Self::Png) };
        match ending.to_string_lossy().to_lowercase().as_str() {
            "png" => Ok(Self::Png),
            #[cfg(feature = "images")]
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            #[cfg(feature = "images")]
            "webp" => Ok(Self::WebP),
            _ => {
                let written = if cfg!(feature = "images") { ".png, .jpg or .webp" } else { ".png" };
                Err(Error::invalid(
                    format!("the ending of {}", path.display()),
                    format!("`.{}`", ending.to_string_lossy()),
                    format!("{written}, which say what is written"),
                ))
            }
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            #[cfg(feature = "images")]
            Self::Jpeg => "JPEG",
            #[cfg(feature = "images")]
            Self::WebP => "WebP",
        })
    }
}
