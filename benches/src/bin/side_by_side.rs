//! PyTorch and HART in turns on the same machine, at the released size with random weights; and
//! diffusion models beside them.
//!
//! ```text
//! cargo run --release -p hart-benches --bin side_by_side -- --px 256 --precision f32,int8
//! cargo run --release -p hart-benches --bin side_by_side -- --px 256 --peer sdxl,pixart-sigma,sd3
//! ```
//!
//! The table goes to the standard output, what is being done to the standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hart_benches::diffusion::{self, Diffusion, DiffusionRun, Model, Peers};
use hart_benches::generation::Generator;
use hart_benches::machine::{Machine, peak_memory_mib};
use hart_benches::peer;
use hart_benches::place::Place;
use hart_benches::python::Python;
use hart_benches::released::Case;
use hart_benches::report::{Report, Side};
use hart_benches::run::{Run, last_line};
use hart_benches::work;
use hart_core::{HartBackend, Precision};
use hart_pipeline::Effort;
use hart_pipeline::backend::{OnBackend, on_device};

/// Compares the speed and memory of HART with those of PyTorch, and of diffusion models, on this
/// machine.
///
/// Exit code 0: all was measured. 1: something failed, and was said. 2: an argument is wrong.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    case: Case,
    /// Precisions of our side, separated by commas; PyTorch computes in f32 on the processor, and in
    /// the first of these on a GPU.
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    precision: Vec<Precision>,
    /// Levels of effort of our side, separated by commas; PyTorch computes everything.
    #[arg(long, value_delimiter = ',', default_value = "exact")]
    effort: Vec<Effort>,
    #[command(flatten)]
    peers: Peers,
    /// The Python that has torch and numpy; `none` measures our side alone.
    #[arg(long, default_value = "python3")]
    python: String,
    /// Rounds, in each of which every side has its turn.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Generations before the one that counts, in every process of all sides.
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Backend of our side, and which GPU; on a GPU PyTorch computes through CUDA [default: the
    /// fastest compiled in that computes on the processor].
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
    let place = Place::new(arguments.device.as_deref())?;
    if arguments.turn {
        let device = place.device.clone();
        on_device(&device, Turn(arguments, place))?
    } else {
        arguments.check()?;
        compare(&arguments, &place)
    }
}

impl Arguments {
    /// Whether there is something to measure.
    fn check(&self) -> Result<()> {
        ensure!(self.repeat > 0, "`--repeat 0` measures nothing");
        let lists = self.precision.len() * self.effort.len();
        ensure!(lists > 0, "`--precision` and `--effort` name nothing to measure");
        let alone = self.python == "none" && !self.peers.models.is_empty();
        ensure!(!alone, "the models of `--peer` are PyTorch's: name a Python, not `--python none`");
        self.peers.check()
    }

    /// The Python that has what the PyTorch sides need; `None` where our side is alone.
    fn python(&self, place: &Place) -> Result<Option<Python>> {
        if self.python == "none" {
            return Ok(None);
        }
        let mut modules = peer::MODULES.to_vec();
        if !self.peers.models.is_empty() {
            modules.push(diffusion::MODULE);
        }
        Python::find(&self.python, &modules, place.torch(self.precision[0])?).map(Some)
    }

    /// One turn of our side, in a process of its own.
    fn turn(&self, precision: Precision, effort: Effort, place: &Place) -> Result<Run> {
        let Case { px, depth, batch } = self.case;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--turn", "--device", &place.device]);
        command.args(["--precision", precision.name(), "--effort", effort.name()]);
        command.args(["--px", &px.to_string(), "--depth", &depth.to_string()]);
        command.args(["--batch", &batch.to_string(), "--warmup", &self.warmup.to_string()]);
        last_line(&mut command, "").context("our side")
    }
}

/// One turn of our side.
struct Turn(Arguments, Place);

impl OnBackend for Turn {
    type Output = Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Result<()> {
        let Self(Arguments { case, precision, effort, warmup, .. }, place) = self;
        let generator = Generator::<B>::new(&case, precision[0], &device)?.effort(effort[0]);
        for _ in 0..warmup {
            generator.run()?;
        }
        let run = Run {
            seconds: generator.run()?,
            // What the process holds on a GPU, no backend tells.
            peak_mib: if place.on_gpu() { None } else { peak_memory_mib() },
            threads: rayon::current_num_threads(),
        };
        println!("{}", serde_json::to_string(&run)?);
        Ok(())
    }
}

/// A side and the runs of its turns so far.
struct Turns<'a, R> {
    name: String,
    turn: Box<dyn Fn() -> Result<R> + 'a>,
    runs: Vec<R>,
}

impl<'a, R> Turns<'a, R> {
    fn new(name: String, turn: impl Fn() -> Result<R> + 'a) -> Self {
        Self { name, turn: Box::new(turn), runs: vec![] }
    }

    /// Takes a turn, and says how many seconds its generation took.
    fn take(&mut self, round: &str, total: impl Fn(&R) -> f64) -> Result<()> {
        eprint!("{round}, {}: ", self.name);
        let run = (self.turn)().inspect_err(|_| eprintln!("failed"))?;
        eprintln!("{:.2} s", total(&run));
        self.runs.push(run);
        Ok(())
    }
}

/// The sides that do HART's work, PyTorch first, and the diffusion models.
struct Sides<'a> {
    hart: Vec<Turns<'a, Run>>,
    diffusion: Vec<(Model, Turns<'a, DiffusionRun>)>,
}

impl<'a> Sides<'a> {
    fn new(arguments: &'a Arguments, python: Option<&'a Python>, place: &'a Place) -> Self {
        let (case, warmup) = (&arguments.case, arguments.warmup);
        let mut sides = Self { hart: vec![], diffusion: vec![] };
        if let Some(python) = python {
            let turn = move || peer::run(python, case, warmup);
            sides.hart.push(Turns::new(python.side(), turn));
            for &model in &arguments.peers.models {
                let turn = move || arguments.peers.run(python, model, case, warmup);
                sides.diffusion.push((model, Turns::new(model.to_string(), turn)));
            }
        }
        for &precision in &arguments.precision {
            for &effort in &arguments.effort {
                let turn = move || arguments.turn(precision, effort, place);
                sides.hart.push(Turns::new(name(place, precision, effort), turn));
            }
        }
        sides
    }

    /// A turn of every side.
    fn round(&mut self, round: &str) -> Result<()> {
        self.hart.iter_mut().try_for_each(|side| side.take(round, |run| run.seconds.total))?;
        self.diffusion.iter_mut().try_for_each(|(_, side)| side.take(round, DiffusionRun::total))
    }
}

/// Runs all rounds and reports.
fn compare(arguments: &Arguments, place: &Place) -> Result<()> {
    let config = arguments.case.config()?;
    let python = arguments.python(place)?;
    let machine = look_at_the_machine(place, python.as_ref());
    let version = |module| Some(python.as_ref()?.version(module)?.to_string());
    let mut report = Report {
        case: arguments.case,
        warmup: arguments.warmup,
        machine,
        device: place.device.clone(),
        hart: env!("CARGO_PKG_VERSION"),
        torch: version("torch"),
        diffusers: version(diffusion::MODULE),
        gflop: work::operations(&config, arguments.case.batch).map(|count| count as f64 / 1e9),
        sides: vec![],
        exact: exact(arguments, place),
        diffusion: vec![],
    };
    let mut sides = Sides::new(arguments, python.as_ref(), place);
    for round in 1..=arguments.repeat {
        sides.round(&format!("round {round} of {}", arguments.repeat))?;
    }
    fill(&mut report, sides);
    print!("{report}");
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {path:?}"))?;
    }
    Ok(())
}

/// The ceiling is that of the processor: a GPU is measured without.
fn look_at_the_machine(place: &Place, python: Option<&Python>) -> Machine {
    if place.on_gpu() {
        let gpu = python.and_then(|python| python.gpu.clone());
        return Machine::with_gpu(gpu.unwrap_or_else(|| place.device.clone()));
    }
    eprintln!("measuring the ceiling of this machine");
    Machine::measure()
}

/// Sets the sides against each other.
fn fill(report: &mut Report, sides: Sides<'_>) {
    for Turns { name, runs, .. } in sides.hart {
        let torch = report.torch.as_ref().and(report.sides.first());
        let side = Side::new(name, runs, report.gflop, report.machine.ceiling, torch);
        report.sides.push(side);
    }
    let exact = report.sides.iter().find(|side| Some(&side.name) == report.exact.as_ref());
    for (model, side) in sides.diffusion {
        report.diffusion.push(Diffusion::new(model, side.runs, exact));
    }
}

/// The name of our side in the table.
fn name(place: &Place, precision: Precision, effort: Effort) -> String {
    match effort {
        Effort::Exact => format!("HART on {}, {precision}", place.device),
        effort => format!("HART on {}, {precision}, {effort}", place.device),
    }
}

/// The name of the first of our sides at full effort, where there is one.
fn exact(arguments: &Arguments, place: &Place) -> Option<String> {
    let exact = arguments.effort.iter().find(|&&effort| matches!(effort, Effort::Exact))?;
    Some(name(place, arguments.precision[0], *exact))
}
