//! Checkpoints that are truncated, lying, huge or of another kind: each gets an error that names
//! the file, and none a panic.
#![cfg(feature = "fs")]

mod files;
mod stand_ins;
mod torch;
mod values;
mod wrappers;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::DType;
use hart_core::checkpoint::{Checkpoint, Container, LoadOptions, StoredAs, convert, load};
use hart_core::{Error, Result};
use safetensors::tensor::{Dtype, TensorView, serialize};

use files::{NAMES, archive, file, floats, module, small};

type Flex = burn::backend::Flex;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)
}

fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn assert_refused(result: Result<Checkpoint>, path: &Path, case: &str) {
    let error = result.map(|_| ()).expect_err(case).to_string();
    assert!(
        error.contains(&path.display().to_string()),
        "{case}: the error names no file: {error}"
    );
}

#[test]
fn damaged_safetensors_files_are_refused() {
    let whole = small();
    let mut cases: Vec<(String, Vec<u8>)> = (0..whole.len())
        .step_by(7)
        .map(|length| (format!("cut to {length} bytes"), whole[..length].to_vec()))
        .collect();
    let tensor = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    cases.extend([
        ("trailing bytes".to_string(), [whole.clone(), vec![0; 8]].concat()),
        ("a huge header".to_string(), [u64::MAX.to_le_bytes().to_vec(), whole.clone()].concat()),
        (
            "a header past the end".to_string(),
            [1000u64.to_le_bytes().to_vec(), vec![b'{'; 9]].concat(),
        ),
        ("no JSON".to_string(), with_header("{{{{", 0)),
        ("a list".to_string(), with_header("[1, 2]", 0)),
        ("not UTF-8".to_string(), [2u64.to_le_bytes().to_vec(), vec![0xff, 0xfe]].concat()),
        ("a shape larger than its bytes".to_string(), with_header(&tensor("[9]", "[0,8]"), 8)),
        ("offsets past the end".to_string(), with_header(&tensor("[9]", "[0,36]"), 8)),
        ("offsets backwards".to_string(), with_header(&tensor("[2]", "[8,0]"), 8)),
        ("a gap before the data".to_string(), with_header(&tensor("[1]", "[4,8]"), 8)),
        (
            "a shape that overflows".to_string(),
            with_header(&tensor("[4294967296,4294967296,2]", "[0,8]"), 8),
        ),
        ("a negative size".to_string(), with_header(&tensor("[-1]", "[0,8]"), 8)),
    ]);
    for (case, bytes) in cases {
        let (_folder, path) = file("model.safetensors", &bytes);
        assert_refused(Checkpoint::open_safetensors(&path), &path, &case);
    }
}

#[test]
fn a_missing_file_and_a_folder_in_its_place_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.safetensors");
    assert_refused(Checkpoint::open_folder(folder.path()), &path, "a missing file");
    std::fs::create_dir(&path).expect("a folder");
    assert_refused(Checkpoint::open_safetensors(&path), &path, "a folder");
    assert_refused(Checkpoint::open_torch(&path), &path, "a folder");
}

/// Writes an index with one intact shard and opens the folder.
fn open_index(index: &str) -> (tempfile::TempDir, Result<Checkpoint>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("one.safetensors"), small()).expect("a shard");
    let path = folder.path().join("model.safetensors.index.json");
    std::fs::write(path, index).expect("an index");
    let checkpoint = Checkpoint::open_folder(folder.path());
    (folder, checkpoint)
}

#[test]
fn what_an_index_does_not_list_is_not_there() {
    let (_folder, checkpoint) = open_index(r#"{"weight_map": {"b": "one.safetensors"}}"#);
    assert_eq!(checkpoint.expect("a checkpoint").names().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn damaged_indices_are_refused() {
    let cases = [
        (r#"{"weight_map": {"b": "two.safetensors"}}"#, "two.safetensors"),
        (r#"{"weight_map": {"c": "one.safetensors"}}"#, "`c` is listed"),
        (r#"{"weight_map": {"b": "../one.safetensors"}}"#, "expected a file name"),
        (r#"{"weight_map": {"b": "/etc/passwd"}}"#, "expected a file name"),
        (r#"{"weight_map": {"b": ""}}"#, "expected a file name"),
        (r#"{"weight_map": {"b": 3}}"#, "expected a file name"),
        (r#"{"weight_map": ["b"]}"#, "weight_map"),
        (r#"{"metadata": {}}"#, "weight_map"),
        ("", "the file is empty"),
        ("{", "not valid JSON"),
    ];
    for (index, expected) in cases {
        let (_folder, checkpoint) = open_index(index);
        let error = checkpoint.map(|_| ()).expect_err(index).to_string();
        assert!(error.contains(expected), "{index}: {error}");
    }
}

/// The pickle of `{"w": tensor}` with the given offset, shape and strides in one byte each.
pub(crate) fn tensor_pickle(offset: u8, shape: [u8; 2], strides: [u8; 2]) -> Vec<u8> {
    let mut program =
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage\
        ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQ"
            .to_vec();
    program.extend([b'K', offset, b'K', shape[0], b'K', shape[1], 0x86]);
    program.extend([b'K', strides[0], b'K', strides[1], 0x86]);
    program.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    program
}

#[test]
fn a_view_of_a_torch_storage_is_read_in_its_own_order() {
    // The storage holds 0, 1, … 5; a transposed view of it visits every other one.
    let (_folder, path) = file("ema.bin", &archive(&tensor_pickle(0, [2, 3], [1, 2])));
    let checkpoint = Checkpoint::open_torch(&path).expect("a checkpoint");
    let data = checkpoint.read("w").expect("a tensor");
    assert_eq!(data.shape.to_vec(), [2, 3]);
    assert_eq!(data.into_vec::<f32>().expect("floats"), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
}

/// What `torch.save` writes for an ordered dictionary of a parameter and a tensor in bfloat16 with
/// module versions as its metadata, in the pickle protocols 2 and 4.
const STATE_DICTIONARIES: [&[u8]; 2] = [
    b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x08\x00\x00\x00a.weightq\x02ctorch\
    ._utils\n_rebuild_parameter\nq\x03ctorch._utils\n_rebuild_tensor_v2\nq\x04((X\x07\
    \x00\x00\x00storageq\x05ctorch\nBFloat16Storage\nq\x06X\x01\x00\x00\x000q\x07X\x06\
    \x00\x00\x00cuda:0q\x08K\x0ctq\x09QK\x02K\x02K\x03\x86q\x0aK\x03K\x01\x86q\x0b\x89h\
    \x00)Rq\x0ctq\x0dRq\x0e\x88h\x00)Rq\x0f\x87q\x10Rq\x11X\x01\x00\x00\x00bq\x12h\x04((\
    h\x05h\x06h\x07h\x08K\x0ctq\x13QK\x02h\x0ah\x0b\x89h\x00)Rq\x14tq\x15Rq\x16u}q\x17X\
    \x09\x00\x00\x00_metadataq\x18h\x00)Rq\x19(X\x00\x00\x00\x00q\x1a}q\x1bX\x07\x00\x00\
    \x00versionq\x1cK\x01sX\x01\x00\x00\x00aq\x1d}q\x1eh\x1cK\x01susb.",
    b"\x80\x04\x95#\x01\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x94\x8c\x0bOrderedDict\
    \x94\x93\x94)R\x94(\x8c\x08a.weight\x94\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_para\
    meter\x94\x93\x94h\x05\x8c\x12_rebuild_tensor_v2\x94\x93\x94((\x8c\x07storage\x94\
    \x8c\x05torch\x94\x8c\x0fBFloat16Storage\x94\x93\x94\x8c\x010\x94\x8c\x06cuda:0\x94K\
    \x0ct\x94QK\x02K\x02K\x03\x86\x94K\x03K\x01\x86\x94\x89h\x02)R\x94t\x94R\x94\x88h\
    \x02)R\x94\x87\x94R\x94\x8c\x01b\x94h\x09((h\x0ah\x0dh\x0eh\x0fK\x0ct\x94QK\x02h\x11\
    h\x12\x89h\x02)R\x94t\x94R\x94u}\x94\x8c\x09_metadata\x94h\x02)R\x94(\x8c\x00\x94}\
    \x94\x8c\x07version\x94K\x01s\x8c\x01a\x94}\x94h#K\x01susb.",
];

#[test]
fn ordered_dictionaries_of_parameters_are_read_in_both_protocols() {
    for pickle in STATE_DICTIONARIES {
        let (_folder, path) = file("ema.bin", &archive(pickle));
        let checkpoint = Checkpoint::open_torch(&path).expect("a checkpoint");
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a.weight", "b"]);
        for name in ["a.weight", "b"] {
            let data = checkpoint.read(name).expect("a tensor");
            assert_eq!((data.shape.to_vec(), data.dtype), (vec![2, 3], DType::BF16));
        }
    }
}

#[test]
fn damaged_torch_files_are_refused() {
    let real = std::fs::read(fixture("hart-tiny-b/llm/ema_model.bin")).expect("a fixture");
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("an empty file", vec![]),
        ("a text file", b"not a checkpoint".to_vec()),
        ("half a file", real[..real.len() / 2].to_vec()),
        ("a file without its end", real[..real.len() - 30].to_vec()),
        ("an offset past the end", archive(&tensor_pickle(5, [2, 1], [1, 1]))),
        ("a shape past the end", archive(&tensor_pickle(0, [3, 3], [3, 1]))),
        ("strides past the end", archive(&tensor_pickle(0, [2, 3], [200, 1]))),
        ("a view that repeats", archive(&tensor_pickle(0, [255, 255], [0, 0]))),
        ("an empty pickle", archive(b"")),
        ("a number", archive(b"\x80\x02K\x01.")),
        ("a list key", archive(b"\x80\x02}K\x01K\x02s.")),
        ("a value that is not a tensor", archive(b"\x80\x02}X\x01\0\0\0wK\x01s.")),
        ("a call", archive(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.")),
        ("an endless string", archive(b"\x80\x02X\xff\xff\xff\xff.")),
        ("a stack that is empty", archive(b"\x80\x020R.")),
        ("a deep nest", archive(&[vec![b')'; 1], vec![0x85; 100_000], vec![b'.']].concat())),
    ];
    // Doubling through the memo: 2^40 values if it were believed.
    let mut doubling = b"\x80\x02)q\0".to_vec();
    (0..40).for_each(|_| doubling.extend(b"0h\0h\0\x86q\0"));
    cases.push(("a pickle that doubles itself", archive(&doubling)));
    for (case, bytes) in cases {
        let (_folder, path) = file("ema_model.bin", &bytes);
        assert_refused(Checkpoint::open_torch(&path), &path, case);
    }
}

#[test]
fn all_that_does_not_fit_is_listed_in_one_error() {
    let module = module::<Flex>();
    let (_folder, path) = file("model.safetensors", &small());
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    let error = load(module, &checkpoint, &NAMES, LoadOptions::default()).expect_err("misfits");
    let Error::Weights { problems, .. } = error else { panic!("another error: {error}") };
    assert_eq!((problems.part, problems.parameters), ("the small module", 3));
    assert_eq!(problems.missing, ["norm.weight", "a.bias"]);
    assert_eq!(problems.unexpected, ["b"]);
    // The layer is [2, 3] in memory and therefore [3, 2] in a file; the file has [2, 3].
    assert_eq!(problems.mismatched[0].0, "a.weight");
    assert_eq!(problems.mismatched.len(), 1);
}

/// A valid file of an 8-bit matrix `[2, 3]` and what is said to be its scales.
fn integers(scales: Option<(Dtype, Vec<usize>, Vec<u8>)>) -> Vec<u8> {
    let values: Vec<u8> = [127i8, -127, 1, 0, 64, -2].map(|q| q as u8).to_vec();
    let matrix = TensorView::new(Dtype::I8, vec![2, 3], &values).expect("a tensor");
    let mut tensors = HashMap::from([("a.weight", matrix)]);
    if let Some((dtype, shape, bytes)) = &scales {
        let scales = TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor");
        tensors.insert("a.weight.scale", scales);
    }
    serialize(tensors, None).expect("a serialized file")
}

#[test]
fn integers_and_their_scales_are_one_tensor_of_floats() {
    let bytes = integers(Some((Dtype::F32, vec![2], floats(&[0.5, 2.0]))));
    let (_folder, path) = file("model.safetensors", &bytes);
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a.weight"]);
    let read = checkpoint.read("a.weight").expect("a tensor");
    assert_eq!(read.to_vec::<f32>().expect("floats"), [63.5, -63.5, 0.5, 0.0, 128.0, -4.0]);
}

#[test]
fn damaged_scales_are_refused() {
    let cases = [
        ("too few", (Dtype::F32, vec![1], floats(&[0.5]))),
        ("of columns", (Dtype::F32, vec![3], floats(&[0.5; 3]))),
        ("integers", (Dtype::I32, vec![2], vec![0; 8])),
        ("not finite", (Dtype::F32, vec![2], floats(&[0.5, f32::NAN]))),
        ("negative", (Dtype::F32, vec![2], floats(&[0.5, -1.0]))),
    ];
    for (case, scales) in cases {
        let (_folder, path) = file("model.safetensors", &integers(Some(scales)));
        let opened = Checkpoint::open_safetensors(&path);
        let error = opened.as_ref().map(|_| ()).expect_err(case).to_string();
        assert!(error.contains("a.weight.scale"), "{case}: {error}");
        assert_refused(opened, &path, case);
    }
    // Without scales it is a tensor that no parameter can be loaded from.
    let (_folder, path) = file("model.safetensors", &integers(None));
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    checkpoint.read("a.weight").expect_err("no floats");
}

#[test]
fn what_a_type_cannot_hold_is_not_converted() {
    let values = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 1e6]);
    let spoiled = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, f32::INFINITY]);
    for (values, format, good) in [
        (&values, StoredAs::Float(DType::F16), false),
        (&values, StoredAs::Float(DType::BF16), true),
        (&values, StoredAs::Int8, true),
        (&spoiled, StoredAs::Int8, false),
    ] {
        let tensor = TensorView::new(Dtype::F32, vec![2, 3], values).expect("a tensor");
        let bytes = serialize([("a.weight", tensor)], None).expect("a serialized file");
        let (folder, path) = file("model.safetensors", &bytes);
        let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
        let formats = BTreeMap::from([("a.weight".to_string(), format)]);
        for container in [Container::Safetensors, Container::Torch] {
            let target = folder.path().join("converted");
            let go_on = &|_, _| ControlFlow::Continue(());
            let converted = convert(&checkpoint, &formats, container, &target, go_on);
            assert_eq!(converted.is_ok(), good, "{format:?} in {container:?}: {converted:?}");
            assert_eq!(target.exists(), good, "{format:?} in {container:?}");
            let _ = std::fs::remove_file(&target);
            let left = std::fs::read_dir(folder.path()).expect("a folder").count();
            assert_eq!(left, 1, "files that were left in the folder");
        }
    }
}
