//! Readers of files that were changed at random: an error, or what the file now says, never a panic.

use hart_core::Result;
use hart_core::checkpoint::Checkpoint;
use proptest::prelude::*;

use crate::files::{archive, file, small};
use crate::{tensor_pickle, torch};

/// Reads every tensor of whatever was opened.
fn read_all(checkpoint: Result<Checkpoint>) {
    if let Ok(checkpoint) = checkpoint {
        let names: Vec<String> = checkpoint.names().map(str::to_string).collect();
        for name in names {
            let _ = checkpoint.read(&name);
        }
    }
}

/// Applies small changes to bytes: replace, remove, repeat.
fn mutate(mut bytes: Vec<u8>, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    for &(at, kind, value) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match kind % 4 {
            0 => bytes[at] = value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => drop(bytes.drain(at..(at + usize::from(value)).min(bytes.len()))),
            _ => {
                let piece = bytes[at..(at + usize::from(value)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (_folder, path) = file("x", &bytes);
        read_all(Checkpoint::open_safetensors(&path));
        read_all(Checkpoint::open_torch(&path));
    }

    #[test]
    fn no_change_of_a_safetensors_file_makes_its_reader_panic(
        changes in prop::collection::vec((0usize..400, any::<u8>(), any::<u8>()), 1..6)
    ) {
        let (_folder, path) = file("x", &mutate(small(), &changes));
        read_all(Checkpoint::open_safetensors(&path));
    }

    #[test]
    fn no_change_of_a_pickle_makes_its_reader_panic(
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..8)
    ) {
        let pickle = tensor_pickle(0, [2, 3], [3, 1]);
        let (_folder, path) = file("x", &archive(&mutate(pickle, &changes)));
        read_all(Checkpoint::open_torch(&path));
    }

    #[test]
    fn no_change_of_a_torch_archive_makes_its_reader_panic(
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..8)
    ) {
        let whole = archive(&tensor_pickle(0, [2, 3], [3, 1]));
        let (_folder, path) = file("x", &mutate(whole, &changes));
        read_all(Checkpoint::open_torch(&path));
    }

    #[test]
    fn no_change_of_an_old_file_or_a_training_checkpoint_makes_its_reader_panic(
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..8)
    ) {
        for whole in torch::samples() {
            let (_folder, path) = file("x", &mutate(whole, &changes));
            read_all(Checkpoint::open_torch(&path));
        }
    }

    #[test]
    fn no_change_of_an_index_makes_its_reader_panic(
        changes in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..8)
    ) {
        let index = br#"{"metadata": {"total_size": 24}, "weight_map": {"b": "one.safetensors"}}"#;
        let (folder, _) = file("one.safetensors", &small());
        let path = folder.path().join("model.safetensors.index.json");
        std::fs::write(path, mutate(index.to_vec(), &changes)).expect("an index");
        read_all(Checkpoint::open_folder(folder.path()));
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
