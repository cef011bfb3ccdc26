//! Prefixes that training puts before all names.

use std::collections::HashMap;

use hart_core::checkpoint::{Checkpoint, LoadOptions, load};
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::files::{NAMES, file, module};

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
fn an_unknown_prefix_is_said_in_one_line() {
    let (_folder, path) = file(
        "model.safetensors",
        &of(&["student.norm.weight", "student.a.weight", "student.a.bias"]),
    );
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    let error = load(module::<Flex>(), &checkpoint, &NAMES, LoadOptions::default());
    let error = error.map(|_| ()).expect_err("other names").to_string();
    assert!(error.contains("3 of 3 tensors of the small module are missing"), "{error}");
    assert!(error.contains("begin with `student.`"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
