//! Packs a trained model into one small archive, such as the one compiled into the crate.
//!
//! ```sh
//! cargo run --release --example pack -- runs/emoji-hart/model --out model.zip
//! ```
//!
//! The archive holds the model's folder in the released layout. Of the transformer's weights it has
//! only the running mean, in 16 bits, with high and low bytes stored apart so that they compress
//! better. `--unpack` makes a folder of an archive again, which training can start from:
//!
//! ```sh
//! cargo run --release --example pack -- --unpack hart-pipeline/embedded/model.zip --out runs/embedded
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use hart_core::write_atomically;
use hart_examples::interrupt::Interrupt;
use hart_examples::{exit, say};
use hart_pipeline::archive::{self, Existing};

/// Packs a trained model into one small archive, or unpacks one.
#[derive(Parser)]
struct Arguments {
    /// Folder of the model, with its text encoder in `text/`; an archive with `--unpack`.
    model: PathBuf,
    /// Archive to write; a folder with `--unpack`.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Unpack an archive into a folder.
    #[arg(long)]
    unpack: bool,
    /// Replace files that are in the folder already, with `--unpack`.
    #[arg(long, requires = "unpack")]
    force: bool,
    /// The largest size of the archive, in bytes.
    #[arg(long, value_name = "N", default_value_t = 8_000_000)]
    most: usize,
    /// Bits of the fraction that weights are rounded to: each one less saves nearly a bit a parameter.
    #[arg(long, value_name = "N", default_value_t = archive::FRACTION_BITS, conflicts_with = "unpack")]
    fraction_bits: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    exit(if arguments.unpack { unpack(&arguments) } else { pack(&arguments) })
}

fn pack(arguments: &Arguments) -> anyhow::Result<()> {
    let (bytes, parameters) = archive::pack(&arguments.model, arguments.fraction_bits)?;
    let (length, most) = (bytes.len(), arguments.most);
    ensure!(length <= most, "the archive has {length} bytes, expected at most {most}");
    // What has begun to be written is written to its end.
    let _watched = Interrupt::watch()?;
    write_atomically(&arguments.out, &bytes)?;
    say(format_args!("{}: {parameters} parameters in {length} bytes", arguments.out.display()))
}

fn unpack(arguments: &Arguments) -> anyhow::Result<()> {
    let existing = if arguments.force { Existing::Replaced } else { Existing::Refused };
    // What has begun to be written is written to its end.
    let _watched = Interrupt::watch()?;
    archive::unpack(&arguments.model, &arguments.out, existing)?;
    say(arguments.out.display())
}
