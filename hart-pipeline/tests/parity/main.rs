//! Parity with the official implementation: every trace of the fixtures folder, on every backend
//! that is compiled in.
//!
//! The folder is `fixtures/` of the workspace, or `HART_FIXTURES` when set; traces and the models
//! they belong to are discovered in it, none is named here. Every piece is computed from the
//! recorded input of that piece, so that a difference shows where it arises and is not magnified by
//! what follows; of whole generations only what is well conditioned is compared. With
//! `HART_PARITY_TABLE=1` the test prints the largest difference of every kind of tensor, and with
//! `HART_TCH_GPU=N` LibTorch computes on that NVIDIA GPU instead of the processor.
#![allow(clippy::print_stdout)]

mod block;
mod diffusion;
mod draws;
mod fixtures;
mod generation;
mod gradients;
mod kinds;
mod models;
mod names;
mod pieces;
mod primitives;
mod report;
mod rotary;
mod sampling;
mod sinusoid;
mod steps;
mod text;
mod tokenizer;
mod tokenizer_training;
mod trace;
mod training;
mod weights;

use std::process::ExitCode;

use fixtures::Fixtures;
use hart_core::HartBackend;
use hart_core::checkpoint::LoadOptions;
use libtest_mimic::{Arguments, Failed, Trial};
use report::Report;
use trace::Trace;

type Device<B> = <B as burn::tensor::backend::BackendTypes>::Device;

/// Compares what one kind of trace holds on backend `B`.
type Comparison<B> = fn(&Trace, &Device<B>) -> Result<(), Failed>;

/// A kind of trace.
struct TraceKind<B: HartBackend> {
    /// How the names of its traces begin.
    beginning: &'static str,
    compare: Comparison<B>,
    /// Whether it computes with layers that a backend may prepare.
    prepares: bool,
}

/// All kinds of traces.
fn trace_kinds<B: HartBackend>() -> Vec<TraceKind<B>> {
    let kind =
        |beginning, compare: Comparison<B>, prepares| TraceKind { beginning, compare, prepares };
    vec![
        kind("trace_primitives", primitives::compare::<B>, false),
        kind("trace_text", text::compare::<B>, true),
        kind("trace_tokenizer_", tokenizer::compare::<B>, true),
        kind("trace_block", block::compare::<B>, true),
        kind("trace_gen_", generation::compare::<B>, true),
        kind("trace_ema_", weights::compare::<B>, true),
        kind("trace_diffusion", diffusion::compare::<B>, true),
        kind("trace_sampling", sampling::compare::<B>, false),
        kind("trace_train_", training::compare::<B>, false),
        kind("trace_vq_train", tokenizer_training::compare::<B>, false),
    ]
}

/// The kind of trace of the safety check, which does not exist yet.
const SAFETY: &str = "trace_safety";

/// The trial of one trace on backend `B`, if there is anything to try.
fn trial<B: HartBackend>(
    backend: &'static str,
    name: String,
    options: LoadOptions,
    device: Device<B>,
    report: &Report,
) -> Option<Trial> {
    let title = format!("{backend}::{name}");
    if name.starts_with(SAFETY) {
        let missing = || Err("the safety check does not exist yet".into());
        return Some(Trial::test(title, missing).with_ignored_flag(true));
    }
    let kind = trace_kinds::<B>().into_iter().find(|kind| name.starts_with(kind.beginning));
    let Some(TraceKind { compare, prepares, .. }) = kind else {
        return Some(Trial::test(title, || Err("a trace of an unknown kind".into())));
    };
    // What prepares nothing would be compared twice.
    if options.prepare && !prepares {
        return None;
    }
    let report = report.clone();
    Some(Trial::test(title, move || {
        let trace = Fixtures::find().trace(&name, options)?;
        let outcome = compare(&trace, &device);
        let mut verdict = trace.finish();
        if let Err(failed) = outcome {
            verdict.problems.push(failed.message().unwrap_or("failed").to_string());
        }
        report.add(backend, &verdict);
        if verdict.problems.is_empty() { Ok(()) } else { Err(verdict.problems.join("\n").into()) }
    }))
}

/// One trial a trace on a device of backend `B`.
fn trials<B: HartBackend>(
    backend: &'static str,
    options: LoadOptions,
    device: &Device<B>,
    report: &Report,
) -> Vec<Trial> {
    let names = Fixtures::find().traces().into_iter();
    names.filter_map(|name| trial::<B>(backend, name, options, device.clone(), report)).collect()
}

/// What LibTorch computes on.
#[cfg(feature = "tch")]
fn libtorch_device() -> burn::backend::libtorch::LibTorchDevice {
    use burn::backend::libtorch::LibTorchDevice;
    match std::env::var("HART_TCH_GPU") {
        Ok(index) => LibTorchDevice::Cuda(index.parse().expect("HART_TCH_GPU is a number")),
        Err(_) => LibTorchDevice::Cpu,
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
    all.extend(trials::<burn::backend::Flex>("flex", plain, &Default::default(), &report));
    // Layers in the form that the backend computes fastest, as generating has them.
    #[cfg(feature = "flex")]
    all.extend(trials::<burn::backend::Flex>(
        "flex prepared",
        prepared,
        &Default::default(),
        &report,
    ));
    #[cfg(feature = "ndarray")]
    all.extend(trials::<burn::backend::NdArray>("ndarray", plain, &Default::default(), &report));
    #[cfg(feature = "vulkan")]
    all.extend(trials::<burn::backend::Vulkan>("vulkan", plain, &Default::default(), &report));
    #[cfg(all(feature = "wgpu", not(feature = "vulkan")))]
    all.extend(trials::<burn::backend::Wgpu>("wgpu", plain, &Default::default(), &report));
    #[cfg(feature = "cuda")]
    all.extend(trials::<burn::backend::Cuda>("cuda", plain, &Default::default(), &report));
    #[cfg(feature = "tch")]
    all.extend(trials::<burn::backend::LibTorch>("tch", plain, &libtorch_device(), &report));
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
