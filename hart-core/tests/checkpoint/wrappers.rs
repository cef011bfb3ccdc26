//! Prefixes that training puts before all names.

use std::collections::HashMap;

use burn::tensor::DType;
use hart_core::checkpoint::{Checkpoint, LoadOptions, load, save_safetensors};
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::files::{NAMES, file, module};
use crate::values::with;

type Flex = burn::backend::Flex;

/// The names of a file of tensors with these names.
fn names(names: &[&str]) -> Vec<String> {
    let (_folder, path) = file("model.safetensors", &of(names));
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    checkpoint.names().map(str::to_string).collect()
}

fn of(names: &[&str]) -> Vec<u8> {
    let tensor = TensorView::new(Dtype::F32, vec![1], &[0; 4]).expect("a tensor");
    let tensors: HashMap<_, _> = names.iter().map(|&name| (name, tensor.clone())).collect();
    serialize(tensors, None).expect("a serialized file")
}

#[test]
fn what_all_names_begin_with_is_taken_off() {
    for prefix in [
        "module.",
        "_orig_mod.",
        "model.",
        "module._orig_mod.",
        "_orig_mod.module.model.",
        "model.module.",
    ] {
        let prefixed = ["a.weight", "b"].map(|name| format!("{prefix}{name}"));
        assert_eq!(names(&prefixed.each_ref().map(String::as_str)), ["a.weight", "b"], "{prefix}");
    }
}

#[test]
fn the_count_of_a_mean_is_no_weight() {
    assert_eq!(names(&["module.a", "module.b", "n_averaged"]), ["a", "b"]);
    assert_eq!(names(&["_orig_mod.module.a", "_orig_mod.n_averaged"]), ["a"]);
}

#[test]
fn compiled_and_sharded_parts_have_their_own_names() {
    let parts =
        ["vae._orig_mod.a", "vae._checkpoint_wrapped_module.b", "disc._fsdp_wrapped_module.c"];
    assert_eq!(names(&parts), ["disc.c", "vae.a", "vae.b"]);
}

#[test]
fn other_names_stay_as_they_are() {
    assert_eq!(names(&["model.a", "lm_head.b"]), ["lm_head.b", "model.a"]);
    assert_eq!(names(&["modules.a", "modules.b"]), ["modules.a", "modules.b"]);
    assert_eq!(names(&["vae._orig_mod.a", "vae.a"]), ["vae._orig_mod.a", "vae.a"]);
}

#[test]
fn any_prefix_that_all_names_have_is_passed_over() {
    let prefixed = with(1.0, DType::F32).into_iter();
    let prefixed = prefixed.map(|(name, data)| (format!("student.net.{name}"), data)).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.safetensors");
    save_safetensors(&path, &prefixed).expect("a file");
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    load(module::<Flex>(), &checkpoint, &NAMES, LoadOptions::default()).expect("a module");
}

#[test]
fn a_prefix_of_some_names_is_said_in_one_line() {
    let names = ["student.norm.weight", "student.a.weight", "student.a.bias", "teacher.a.bias"];
    let (_folder, path) = file("model.safetensors", &of(&names));
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    let error = load(module::<Flex>(), &checkpoint, &NAMES, LoadOptions::default());
    let error = error.map(|_| ()).expect_err("other names").to_string();
    assert!(error.contains("3 of 3 tensors of the small module are missing"), "{error}");
    assert!(error.contains("begin with `student.`"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
