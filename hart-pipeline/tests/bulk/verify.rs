//! What is wrong with a run is found.

use std::path::{Path, PathBuf};

use hart_pipeline::bulk::{Again, Manifest, Run, Verification, verify};
use hart_pipeline::core::Error;
use sha2::{Digest, Sha256};

use crate::pipelines::Failing;
use crate::{SHAPES, folder, make, members, model, open, plan};

fn verified(run: &Run) -> Verification {
    verify(run, None, &mut ()).expect("a verification")
}

/// What is found, a line each.
fn findings(run: &Run) -> Vec<String> {
    let found = verified(run).findings.into_iter();
    found.map(|finding| format!("{}: {}", finding.place, finding.problem)).collect()
}

fn made(folder: &Path) -> Run {
    let run = plan(folder, SHAPES);
    make(&run);
    run
}

fn path(run: &Run, name: &str) -> PathBuf {
    run.store().folder().expect("a folder").join(name)
}

#[test]
fn a_run_that_is_whole_has_nothing_wrong() {
    let folder = folder();
    let run = made(folder.path());
    let again = Some(Again { model: model(), pictures: 4, seed: 1 });
    let found = verify(&run, again, &mut ()).expect("a verification");
    assert_eq!((found.shards, found.pictures, found.made_again), (3, 6, 4));
    assert!(found.findings.is_empty(), "{found:?}");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let folder = folder();
    let run = made(folder.path());
    for name in [run.tar_name(1), run.manifest_name(1)] {
        let path = path(&run, &name);
        let whole = std::fs::read(&path).expect("a file");
        let step = whole.len() / 37;
        for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).expect("a file");
            let found = findings(&run);
            assert!(!found.is_empty(), "byte {at} of {name}");
            assert!(found.iter().all(|line| line.contains("000001")), "{found:?}");
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("a file");
        assert!(!findings(&run).is_empty(), "{name} cut off");
        std::fs::write(&path, &whole).expect("a file");
    }
    assert!(findings(&run).is_empty());
}

#[test]
fn what_is_missing_or_does_not_belong_is_found() {
    let folder = folder();
    let run = made(folder.path());
    std::fs::remove_file(path(&run, &run.tar_name(0))).expect("a file");
    std::fs::remove_file(path(&run, &run.manifest_name(2))).expect("a file");
    std::fs::write(path(&run, "shards/000003.tar"), "x").expect("a file");
    let found = findings(&run);
    let expected = [
        "000000.tar: missing, while its manifest is there",
        "000002.json: missing: it is not done",
        "000003.tar: 1 bytes that belong to no shard",
    ];
    assert_eq!(found.len(), 3, "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.ends_with(expected), "{found}");
    }
}

/// Changes a manifest.
fn forge(run: &Run, shard: u64, change: impl FnOnce(&mut Manifest)) {
    let path = path(run, &run.manifest_name(shard));
    let json = std::fs::read(&path).expect("a manifest");
    let mut manifest: Manifest = serde_json::from_slice(&json).expect("a manifest");
    change(&mut manifest);
    std::fs::write(&path, serde_json::to_vec_pretty(&manifest).expect("json")).expect("a file");
}

/// A change of a manifest, and what is found of it.
type Forgery = (fn(&mut Manifest), &'static str);

#[test]
fn a_forged_manifest_is_found() {
    let forgeries: [Forgery; 6] = [
        (|manifest| manifest.plan = "0".repeat(64), "the plan's SHA-256 is 000"),
        (|manifest| manifest.shard = 1, "the shard is 1, expected 0"),
        (|manifest| manifest.made = 1, "the number of pictures is 1, expected 2"),
        (
            |manifest| (manifest.made, manifest.refused) = (1, 1),
            "the pictures made is 2, expected 1",
        ),
        (|manifest| manifest.files.swap(0, 2), "is not what the manifest says"),
        (|manifest| manifest.tar.sha256 = "0".repeat(64), "its SHA-256 is "),
    ];
    let folder = folder();
    let run = made(folder.path());
    let whole = std::fs::read(path(&run, &run.manifest_name(0))).expect("a manifest");
    for (change, expected) in forgeries {
        forge(&run, 0, change);
        let found = findings(&run);
        assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {found:?}");
        std::fs::write(path(&run, &run.manifest_name(0)), &whole).expect("a manifest");
    }
}

/// Puts other files into a shard, with a manifest that fits them.
fn replace(run: &Run, shard: u64, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) {
    let hash = |bytes: &[u8]| -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut tar = tar::Builder::new(vec![]);
    let mut hashes = vec![];
    // A picture comes before its sample.
    let mut files: Vec<(String, Vec<u8>)> = members(run, shard).into_iter().collect();
    files.sort_by_key(|(name, _)| (name[..9].to_string(), name.ends_with(".json")));
    for (name, content) in files {
        let content = change(&name, content);
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, &name, &content[..]).expect("a file");
        hashes.push((content.len() as u64, hash(&content)));
    }
    let tar = tar.into_inner().expect("a tar");
    forge(run, shard, |manifest| {
        (manifest.tar.bytes, manifest.tar.sha256) = (tar.len() as u64, hash(&tar));
        for (file, (bytes, sha256)) in manifest.files.iter_mut().zip(hashes) {
            (file.bytes, file.sha256) = (bytes, sha256);
        }
    });
    std::fs::write(path(run, &run.tar_name(shard)), tar).expect("a tar");
}

#[test]
fn a_sample_that_is_not_the_recipes_is_found() {
    let folder = folder();
    let run = made(folder.path());
    replace(&run, 0, |name, content| {
        if name != "000000000.json" {
            return content;
        }
        let text = String::from_utf8(content).expect("text");
        text.replacen("circle", "square", 1).replacen("star", "square", 1).into_bytes()
    });
    let found = findings(&run);
    assert!(found.iter().any(|line| line.contains("is not of picture 0")), "{found:?}");
}

#[test]
fn a_picture_that_is_another_one_is_found_when_it_is_made_again() {
    let folder = folder();
    let run = made(folder.path());
    // The same settings, other pixels.
    replace(&run, 1, |name, content| {
        if name != "000000003.png" {
            return content;
        }
        let picture = run.recipe().picture(3);
        let request = hart_pipeline::Request::new(picture.prompt).seed(picture.seed);
        let image = &model().pipeline().generate(&request).expect("a picture")[0];
        let (width, height) = (image.width(), image.height());
        let black = hart_pipeline::Pixels::new(width, height, vec![0; width * height * 3]);
        let black = black.expect("pixels");
        hart_pipeline::Image::new(black, image.settings().clone()).to_png().expect("a file")
    });
    assert!(findings(&run).is_empty(), "it fits all that is written down");
    let again = Some(Again { model: model(), pictures: 6, seed: 1 });
    let found = verify(&open(folder.path()), again, &mut ()).expect("a verification");
    assert_eq!((found.made_again, found.findings.len()), (5, 1));
    assert!(found.findings[0].problem.contains("`000000003.png` is another picture"));
}

#[test]
fn only_the_plans_model_tells() {
    let folder = folder();
    let run = made(folder.path());
    let other = Failing::model("nothing", || Error::Cancelled);
    let other = hart_pipeline::bulk::Model::new(
        Box::new(Failing { at: "nothing", with: || Error::Cancelled }),
        format!("not {}", other.fingerprint(Default::default()).expect("a fingerprint").weights),
    );
    let again = Some(Again { model: &other, pictures: 1, seed: 1 });
    let error = verify(&run, again, &mut ()).expect_err("a refusal");
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}
