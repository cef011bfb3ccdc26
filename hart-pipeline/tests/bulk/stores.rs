//! Where runs are kept.

use hart_pipeline::bulk::Store;

use crate::folder;

#[test]
fn an_address_that_cannot_be_opened_is_refused_with_the_reason() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("a file");
    let cases = [
        (folder.path().join("none").display().to_string(), "none: "),
        (file.display().to_string(), "it is a file, expected the folder of a run"),
        ("ftp://here/there".to_string(), "`s3://"),
        #[cfg(not(feature = "bulk-s3"))]
        ("s3://bucket/run".to_string(), "built without the feature `bulk-s3`"),
    ];
    for (address, expected) in cases {
        let error = Store::open(&address).expect_err(&address).to_string();
        assert!(error.contains(expected) && error.contains(&address), "{error}");
    }
}
