//! PyTorch and HART in turns on the same machine, at the released size with random weights.
//!
//! ```text
//! cargo run --release -p hart-benches --bin side_by_side -- --px 256 --precision f32,int8
//! ```
//!
//! The table goes to the standard output, what is being done to the standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hart_benches::generation::Generator;
use hart_benches::machine::{Machine, peak_memory_mib};
use hart_benches::peer::Peer;
use hart_benches::released::Case;
use hart_benches::report::{Report, Side};
use hart_benches::run::{Run, last_line};
use hart_benches::work;
use hart_core::{HartBackend, Precision};
use hart_pipeline::Effort;
use hart_pipeline::backend::{OnBackend, compiled_in, on_device};

/// The backends that compute on the processor, like the PyTorch side.
const ON_THE_CPU: [&str; 3] = ["flex", "ndarray", "tch"];

/// Compares the speed and memory of HART with those of PyTorch on this machine's processor.
///
/// Exit code 0: all was measured. 1: something failed, and was said. 2: an argument is wrong.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    case: Case,
    /// Precisions of our side, separated by commas; PyTorch computes in f32.
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    precision: Vec<Precision>,
    /// Levels of effort of our side, separated by commas; PyTorch computes everything.
    #[arg(long, value_delimiter = ',', default_value = "exact")]
    effort: Vec<Effort>,
    /// The Python that has torch and numpy; `none` measures our side alone.
    #[arg(long, default_value = "python3")]
    python: String,
    /// Rounds, in each of which every side has its turn.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Generations before the one that counts, in every process of both sides.
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Backend of our side: flex, ndarray or tch [default: the first of these compiled in].
    #[arg(long)]
    device: Option<String>,
    /// Writes all numbers to a file as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measures our side once, in the first precision and effort, and prints one line.
    #[arg(long, hide = true)]
    turn: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = arguments.device()?;
    if arguments.turn { on_device(&device, Turn(arguments))? } else { compare(&arguments, &device) }
}

impl Arguments {
    fn device(&self) -> Result<String> {
        let compiled_in = compiled_in();
        let fastest = compiled_in.iter().find(|name| ON_THE_CPU.contains(name));
        let named = self.device.as_deref().or(fastest.copied());
        let device = named.context("no backend that computes on the processor is compiled in")?;
        let fits = ON_THE_CPU.contains(&device);
        ensure!(fits, "`{device}` is not on the processor: name one of {}", ON_THE_CPU.join(", "));
        Ok(device.to_string())
    }

    /// One turn of our side, in a process of its own.
    fn turn(&self, precision: Precision, effort: Effort, device: &str) -> Result<Run> {
        let Case { px, depth, batch } = self.case;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--turn", "--device", device]);
        command.args(["--precision", precision.name(), "--effort", effort.name()]);
        command.args(["--px", &px.to_string(), "--depth", &depth.to_string()]);
        command.args(["--batch", &batch.to_string(), "--warmup", &self.warmup.to_string()]);
        last_line(&mut command, "").context("our side")
    }
}

/// One turn of our side.
struct Turn(Arguments);

impl OnBackend for Turn {
    type Output = Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Result<()> {
        let Arguments { case, precision, effort, warmup, .. } = self.0;
        let generator = Generator::<B>::new(&case, precision[0], &device)?.effort(effort[0]);
        for _ in 0..warmup {
            generator.run()?;
        }
        let run = Run {
            seconds: generator.run()?,
            peak_mib: peak_memory_mib(),
            threads: rayon::current_num_threads(),
        };
        println!("{}", serde_json::to_string(&run)?);
        Ok(())
    }
}

/// Runs all rounds and reports.
fn compare(arguments: &Arguments, device: &str) -> Result<()> {
    ensure!(arguments.repeat > 0, "`--repeat 0` measures nothing");
    let lists = arguments.precision.len() * arguments.effort.len();
    ensure!(lists > 0, "`--precision` and `--effort` name nothing to measure");
    let config = arguments.case.config()?;
    let peer = match arguments.python.as_str() {
        "none" => None,
        python => Some(Peer::find(python)?),
    };
    eprintln!("measuring the ceiling of this machine");
    let machine = Machine::measure();
    let gflop = work::operations(&config, arguments.case.batch).map(|count| count as f64 / 1e9);
    let sides = measure(arguments, peer.as_ref(), device)?;
    let mut report = Report {
        case: arguments.case,
        warmup: arguments.warmup,
        machine,
        hart: env!("CARGO_PKG_VERSION"),
        torch: peer.map(|peer| peer.version),
        gflop,
        sides: vec![],
    };
    for (name, runs) in sides {
        let torch = report.torch.as_ref().and(report.sides.first());
        let side = Side::new(name, runs, gflop, report.machine.ceiling, torch);
        report.sides.push(side);
    }
    print!("{report}");
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {path:?}"))?;
    }
    Ok(())
}

/// The runs of every side in turns, PyTorch first.
fn measure(
    arguments: &Arguments,
    peer: Option<&Peer>,
    device: &str,
) -> Result<Vec<(String, Vec<Run>)>> {
    type Turn<'a> = Box<dyn Fn() -> Result<Run> + 'a>;
    let mut turns: Vec<(String, Turn<'_>)> = vec![];
    if let Some(peer) = peer {
        let turn = || peer.run(&arguments.case, arguments.warmup);
        turns.push((format!("PyTorch {}, f32", peer.version), Box::new(turn)));
    }
    for &precision in &arguments.precision {
        for &effort in &arguments.effort {
            let turn = move || arguments.turn(precision, effort, device);
            let name = match effort {
                Effort::Exact => format!("HART on {device}, {precision}"),
                effort => format!("HART on {device}, {precision}, {effort}"),
            };
            turns.push((name, Box::new(turn)));
        }
    }
    let mut sides: Vec<_> = turns.iter().map(|(name, _)| (name.clone(), vec![])).collect();
    for round in 1..=arguments.repeat {
        for ((name, turn), (_, runs)) in turns.iter().zip(&mut sides) {
            eprint!("round {round} of {}, {name}: ", arguments.repeat);
            let run = turn().inspect_err(|_| eprintln!("failed"))?;
            eprintln!("{:.2} s", run.seconds.total);
            runs.push(run);
        }
    }
    Ok(sides)
}
