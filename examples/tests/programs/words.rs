//! The words that models know.

use super::{TINY, fails, folder, run, succeeds, without_a_reader};

#[test]
fn the_words_of_a_model_are_listed() {
    let folder = folder();
    let at = folder.path();
    let embedded = succeeds(at, "text_to_image", "--words");
    let words: Vec<&str> = embedded.lines().collect();
    assert_eq!(words.len(), 1688, "the model card says how many there are");
    assert!(words.is_sorted() && ["3d", "banana", "zebra"].iter().all(|word| words.contains(word)));

    succeeds(at, "pack", "--unpack REPO/hart-pipeline/embedded/model.zip --out model");
    assert_eq!(succeeds(at, "text_to_image", "--words --model model"), embedded);
    // Synonyms lead to words of the list, so they must not outlive it.
    let path = at.join("model/text/words.txt");
    std::fs::write(&path, "cat\n").expect("a file");
    let (code, reason) = fails(at, "text_to_image", "--words --model model");
    assert!(code == 1 && reason.contains("synonyms.json"), "{reason}");
    std::fs::remove_file(at.join("model/text/synonyms.json")).expect("it was there");
    std::fs::write(&path, "cat\nA\ncat\nbat\n").expect("a file");
    assert_eq!(succeeds(at, "text_to_image", "--words --model model"), "a\nbat\ncat\n");
    std::fs::write(&path, [0xff]).expect("a file");
    let (code, reason) = fails(at, "text_to_image", "--words --model model");
    assert!(code == 1 && reason.contains("words.txt: "), "{reason}");
    assert!(!at.join("out.png").exists());
}

#[test]
fn a_model_without_a_list_says_so() {
    let folder = folder();
    let at = folder.path();
    let output = run(at, "text_to_image", &format!("--words {TINY}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("has no list of words"), "{said}");
    for needless in ["a+cat", "--seed 3", "--out words.txt", "--again a.png"] {
        assert_eq!(fails(at, "text_to_image", &format!("--words {needless}")).0, 2, "{needless}");
    }
    assert_eq!(fails(at, "text_to_image", "--words --model no/such/model").0, 1);
}

#[test]
fn a_list_that_nobody_reads_to_its_end_is_no_failure() {
    let folder = folder();
    let (code, said) = without_a_reader(folder.path(), "text_to_image", &["--words"]);
    assert_eq!((code, said.as_str()), (Some(141), ""));
}

#[test]
fn the_nearest_known_word_is_said() {
    let folder = folder();
    let output = run(folder.path(), "text_to_image", "a+penguim,+baroque+style");
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = "image 0: the model does not know `penguim` (try `penguin`), `baroque`";
    assert!(output.status.success() && said.contains(expected), "{said}");
}

/// What is printed last is for whoever still reads; the image is made before.
#[test]
fn research_programs_end_quietly_without_a_reader() {
    let folder = folder();
    let (code, said) = without_a_reader(folder.path(), "ddim_residual", &[]);
    assert_eq!((code, said.as_str()), (Some(141), ""));
    assert!(folder.path().join("ddim_residual.png").exists());
}
