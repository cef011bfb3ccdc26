//! Generations at the released size with random weights, without the text encoder: time of each
//! part and peak memory.
//!
//! ```text
//! cargo run --release -p hart-benches --bin generate -- --px 256
//! ```
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use hart_benches::generation::Generator;
use hart_benches::machine::peak_memory_mib;
use hart_benches::setup::Setup;
use hart_core::HartBackend;
use hart_pipeline::backend::{OnBackend, on_device};
use serde_json::{Value, json};

/// Times generations at the released size with random weights.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    setup: Setup,
    /// Generations; the first one also warms up.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Guidance, 4.5 in the release; 0 leaves the unconditional half out.
    #[arg(long, default_value_t = 4.5)]
    guidance: f64,
    /// Counts launches, waits for the device and bytes over the bus instead of seconds.
    #[arg(long)]
    count: bool,
    /// Samples tokens on the host, where a GPU would do it.
    #[arg(long)]
    host_sampling: bool,
    /// Writes the numbers to a file as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Arguments {
    /// Counts a generation after one that warms up.
    fn count<B: HartBackend>(&self, generator: &Generator<B>) -> Result<()> {
        generator.run()?;
        let counts = generator.count()?;
        for (name, counts) in counts.named() {
            println!("{name}: {counts}");
        }
        self.write(&json!({ "case": self.setup.case, "counts": counts }))
    }

    fn write(&self, numbers: &Value) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let text = serde_json::to_string_pretty(numbers)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {path:?}"))
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    #[cfg(feature = "cube")]
    if arguments.count {
        hart_benches::launches::watch()?;
    }
    on_device(&arguments.setup.device(), arguments)?
}

impl OnBackend for Arguments {
    type Output = Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Result<()> {
        let start = Instant::now();
        let Setup { case, precision, effort, .. } = &self.setup;
        let generator = Generator::<B>::new(case, *precision, &device)?;
        let generator = generator.guidance(self.guidance).effort(*effort);
        let generator = generator.sampled_on_host(self.host_sampling);
        println!("{:.1} s for random weights", start.elapsed().as_secs_f64());
        if self.count {
            return self.count(&generator);
        }
        let mut runs = vec![];
        for _ in 0..self.repeat {
            let seconds = generator.run()?;
            let parts = seconds.named().map(|(name, seconds)| format!("{name} {seconds:.2} s"));
            println!("{}", parts.join(", "));
            runs.push(seconds);
        }
        let peak = peak_memory_mib();
        if let Some(peak) = peak {
            println!("peak resident memory {peak:.0} MiB");
        }
        self.write(&json!({
            "case": case,
            "precision": precision.name(),
            "guidance": self.guidance,
            "effort": effort,
            "device": B::name(&device),
            "threads": rayon::current_num_threads(),
            "seconds": runs,
            "peak_mib": peak,
        }))
    }
}
