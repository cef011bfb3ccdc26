//! PyTorch files as training programs and old versions leave them.

use hart_core::checkpoint::Checkpoint;

use crate::files::{archive, file};

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    [b"X", &length.to_le_bytes()[..], text.as_bytes()].concat()
}

/// A row of two floats of the storage, which holds 0, 1, … 5.
fn tensor(offset: u8) -> Vec<u8> {
    let storage = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
        X\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ";
    let view = [b'K', offset, b'K', 2, 0x85, b'K', 1, 0x85];
    [&storage[..], &view, b"\x89ccollections\nOrderedDict\n)RtR"].concat()
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat());
    [&b"}("[..], &entries.collect::<Vec<u8>>(), b"u"].concat()
}

fn program(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// What a file of this value holds: its names, and the first number of each tensor.
fn opened(value: &[u8]) -> Result<Vec<(String, f32)>, String> {
    read(&archive(&program(value)))
}

fn read(bytes: &[u8]) -> Result<Vec<(String, f32)>, String> {
    let (_folder, path) = file("ema_model.bin", bytes);
    let checkpoint = Checkpoint::open_torch(&path).map_err(|error| error.to_string())?;
    let first = |name: &str| {
        let values: Vec<f32> = checkpoint.read(name).expect("a tensor").iter().collect();
        (name.to_string(), values[0])
    };
    Ok(checkpoint.names().map(first).collect())
}

fn one(name: &str, value: f32) -> Result<Vec<(String, f32)>, String> {
    Ok(vec![(name.to_string(), value)])
}

const FLOAT: &[u8] = b"G\x3f\xe0\0\0\0\0\0\0";

/// The state of an optimizer: `{"state": {0: {"exp_avg": tensor}}, "param_groups": [{"lr": 0.5}]}`.
fn optimizer() -> Vec<u8> {
    let moments = dict(&[("exp_avg", tensor(4))]);
    let state = [&b"}K\0"[..], &moments, b"s"].concat();
    let groups = [&b"]"[..], &dict(&[("lr", FLOAT.to_vec())]), b"a"].concat();
    dict(&[("state", state), ("param_groups", groups)])
}

#[test]
fn the_weights_of_a_training_checkpoint_are_looked_into() {
    // `argparse.Namespace`, made and given its attributes.
    let namespace =
        [&b"cargparse\nNamespace\n)\x81"[..], &dict(&[("lr", FLOAT.to_vec())]), b"b"].concat();
    for name in ["model", "state_dict", "model_ema", "ema", "model_state_dict"] {
        let value = dict(&[
            ("epoch", b"K\x03".to_vec()),
            ("loss", FLOAT.to_vec()),
            ("betas", [b"](", FLOAT, FLOAT, b"e"].concat()),
            ("optimizer", optimizer()),
            ("args", namespace.clone()),
            (name, dict(&[("w", tensor(1))])),
            ("rng_state", tensor(2)),
        ]);
        assert_eq!(opened(&value), one("w", 1.0), "{name}");
    }
}

#[test]
fn the_mean_counts_before_the_last_weights_and_nested_ones_are_found() {
    let weights = |offset| dict(&[("w", tensor(offset))]);
    let both = dict(&[("model", weights(1)), ("model_ema", weights(2))]);
    assert_eq!(opened(&both), one("w", 2.0));
    let nested = dict(&[("state_dict", dict(&[("model", weights(3))])), ("decay", FLOAT.to_vec())]);
    assert_eq!(opened(&nested), one("w", 3.0));
    let unknown = dict(&[("my_network", weights(1)), ("optimizer", optimizer())]);
    assert_eq!(opened(&unknown), one("w", 1.0));
    let two = dict(&[("one", weights(1)), ("two", weights(2))]);
    let error = opened(&two).expect_err("two dictionaries");
    assert!(error.contains("`one`, `two`"), "{error}");
}

#[test]
fn a_dictionary_that_is_saved_twice_is_found_by_both_names() {
    let weights = dict(&[("w", tensor(1))]);
    // `best` recalls from the memo what `model` remembered.
    let value = [&b"}("[..], &text("best"), &weights, b"q\x05", &text("model"), b"h\x05u"].concat();
    assert_eq!(opened(&value), one("w", 1.0));
}

#[test]
fn attributes_of_parameters_and_tensors_are_passed_over() {
    let state = dict(&[("no_decay", b"\x88".to_vec())]);
    let hooks = b"ccollections\nOrderedDict\n)R";
    let parameter = [
        &b"ctorch._utils\n_rebuild_parameter_with_state\n("[..],
        &tensor(1),
        b"\x89",
        hooks,
        &state,
        b"tR",
    ];
    // The same of a tensor: the callable, the type, its arguments, the attributes.
    let call = tensor(2);
    let arguments = &call[b"ctorch._utils\n_rebuild_tensor_v2\n".len()..call.len() - 1];
    let attributed = [
        &b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n\
           ctorch\nTensor\n"[..],
        arguments,
        &state,
        b"tR",
    ];
    let value = dict(&[("a", parameter.concat()), ("b", attributed.concat())]);
    let expected = [one("a", 1.0), one("b", 2.0)].map(|one| one.expect("a value")).concat();
    assert_eq!(opened(&value), Ok(expected));
}

#[test]
fn nothing_a_pickle_names_is_called() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = folder.path().join("made");
    let call = [&b"cos\nmkdir\n"[..], &text(&made.display().to_string()), b"\x85R"].concat();
    let value = dict(&[("w", tensor(1)), ("evil", call)]);
    assert_eq!(opened(&value), one("w", 1.0));
    assert!(!made.exists());
}

#[test]
fn what_is_no_dictionary_of_tensors_is_said() {
    let whole = b"cvar\nTransformer\n)\x81}b";
    let sparse = dict(&[("w", b"ctorch._utils\n_rebuild_sparse_tensor\n)R".to_vec())]);
    for (value, expected) in [
        (&whole[..], "`var.Transformer`"),
        (&sparse, "_rebuild_sparse_tensor"),
        (b"K\x01", "dictionary"),
    ] {
        let error = opened(value).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
}

/// A file of the format before PyTorch 1.6, with one storage of the floats 0, 1, … 5.
fn legacy(value: &[u8], byte_order: u8, elements: u64) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let machine =
        dict(&[("protocol_version", b"M\xe9\x03".to_vec()), ("little_endian", vec![byte_order])]);
    // A sixth part of the storage's reference says that it is no view.
    let value = program(value);
    let reference = b"X\x03\0\0\0cpuK\x06tQ";
    let at = value.windows(reference.len()).position(|window| window == reference);
    let mut value = value;
    at.into_iter().for_each(|at| value.insert(at + reference.len() - 2, b'N'));
    let keys = [&b"]"[..], &text("0"), b"a"].concat();
    let floats: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let pickles = [&magic[..], &program(b"M\xe9\x03"), &program(&machine), &value, &program(&keys)];
    [&pickles.concat()[..], &elements.to_le_bytes(), &floats].concat()
}

#[test]
fn files_from_before_version_1_6_are_read() {
    const LITTLE: u8 = 0x88;
    let value = dict(&[("w", tensor(3))]);
    let whole = legacy(&value, LITTLE, 6);
    assert_eq!(read(&whole), one("w", 3.0));
    for (case, bytes) in [
        ("big-endian", legacy(&value, 0x89, 6)),
        ("more elements than bytes", legacy(&value, LITTLE, 7)),
        ("endless elements", legacy(&value, LITTLE, u64::MAX)),
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("without storages", whole[..whole.len() - 32].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
    ] {
        read(&bytes).expect_err(case);
    }
}

#[test]
fn a_pickle_cannot_take_memory_without_end() {
    // Each instruction recalls a value that was made once; each name is made of two long strings.
    let recalled = [&b"\x80\x02Nq\0"[..], &b"h\0".repeat(9 << 20)].concat();
    let long = [&b"X\0\0\x10\0"[..], &[b'a'; 1 << 20]].concat();
    let named = [&b"\x80\x02"[..], &long, b"q\0", &b"h\0h\0\x930".repeat(1 << 12)].concat();
    for endless in [recalled, named] {
        let (_folder, path) = file("x", &archive(&endless));
        let error = Checkpoint::open_torch(&path).map(|_| ()).expect_err("too many values");
        assert!(error.to_string().contains("too many values"), "{error}");
    }
}
