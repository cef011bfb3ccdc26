//! Parity with the official implementation: every trace of the fixtures folder, on every backend
//! that is compiled in.
//!
//! The folder is `fixtures/` of the workspace, or `HART_FIXTURES` when set; traces and the
//! configurations they belong to are discovered in it, none is named here.
#![allow(clippy::print_stdout)]

mod block;
mod diffusion;
mod generation;
mod harness;
mod primitives;
mod sampling;
mod text;
mod tokenizer;
mod training;

use std::process::ExitCode;

use harness::{Fixtures, Report, Trace};
use hart_core::HartBackend;
use hart_core::checkpoint::LoadOptions;
use libtest_mimic::{Arguments, Failed, Trial};

/// Compares what one kind of trace holds on backend `B`.
type Comparison<B> =
    fn(&mut Trace, &<B as burn::tensor::backend::BackendTypes>::Device) -> Result<(), Failed>;

/// The comparison for a trace, by the beginning of its name. Safety traces belong to a part that is
/// not here.
fn comparison<B: HartBackend>(name: &str) -> Option<Comparison<B>> {
    let table: [(&str, Comparison<B>); 10] = [
        ("trace_primitives", primitives::compare::<B>),
        ("trace_text", text::compare::<B>),
        ("trace_tokenizer_", tokenizer::compare::<B>),
        ("trace_block", block::compare::<B>),
        ("trace_gen_", generation::compare::<B>),
        ("trace_ema_", generation::compare_weights::<B>),
        ("trace_diffusion", diffusion::compare::<B>),
        ("trace_sampling", sampling::compare::<B>),
        ("trace_train_", training::compare_hart::<B>),
        ("trace_vq_train", training::compare_tokenizer::<B>),
    ];
    table.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, comparison)| comparison)
}

/// One trial a trace on backend `B`.
fn trials<B: HartBackend>(
    backend: &'static str,
    options: LoadOptions,
    report: &Report,
    trials: &mut Vec<Trial>,
) {
    for name in Fixtures::find().traces() {
        let Some(compare) = comparison::<B>(&name) else { continue };
        let report = report.clone();
        trials.push(Trial::test(format!("{backend}::{name}"), move || {
            let mut trace = Fixtures::find().trace(&name, options);
            compare(&mut trace, &Default::default())?;
            let compared = trace.finish()?;
            report.add(backend, compared);
            Ok(())
        }));
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let report = Report::default();
    let mut all = vec![];
    let plain = LoadOptions::default();
    #[cfg(feature = "flex")]
    let prepared = LoadOptions { prepare: true, ..plain };
    #[cfg(feature = "flex")]
    trials::<burn::backend::Flex>("flex", plain, &report, &mut all);
    // What training does not do: layers in the form that the backend computes fastest.
    #[cfg(feature = "flex")]
    trials::<burn::backend::Flex>("flex prepared", prepared, &report, &mut all);
    #[cfg(feature = "ndarray")]
    trials::<burn::backend::NdArray>("ndarray", plain, &report, &mut all);
    #[cfg(feature = "vulkan")]
    trials::<burn::backend::Vulkan>("vulkan", plain, &report, &mut all);
    #[cfg(all(feature = "wgpu", not(feature = "vulkan")))]
    trials::<burn::backend::Wgpu>("wgpu", plain, &report, &mut all);
    #[cfg(feature = "cuda")]
    trials::<burn::backend::Cuda>("cuda", plain, &report, &mut all);
    #[cfg(feature = "tch")]
    trials::<burn::backend::LibTorch>("tch", plain, &report, &mut all);
    if all.is_empty() {
        println!("no traces in {}", Fixtures::find().folder().display());
        return ExitCode::FAILURE;
    }
    let conclusion = libtest_mimic::run(&arguments, all);
    if !arguments.list {
        report.print();
    }
    conclusion.exit_code()
}
