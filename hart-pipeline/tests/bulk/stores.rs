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
        #[cfg(feature = "buckets")]
        ("ftp://here/there".to_string(), "a bucket `s3://NAME/PREFIX`, `gs://…` or `az://…`"),
        #[cfg(not(feature = "buckets"))]
        ("ftp://here/there".to_string(), "built without the features `bulk-s3`"),
        #[cfg(not(feature = "bulk-s3"))]
        ("s3://bucket/run".to_string(), "`bulk-s3`"),
        #[cfg(not(feature = "bulk-gs"))]
        ("gs://bucket/run".to_string(), "`bulk-gs`"),
        #[cfg(not(feature = "bulk-az"))]
        ("az://container/run".to_string(), "`bulk-az`"),
    ];
    for (address, expected) in cases {
        let error = Store::open(&address).expect_err(&address).to_string();
        assert!(error.contains(expected) && error.contains(&address), "{error}");
    }
}

#[cfg(feature = "bulk-s3")]
#[test]
fn an_address_with_a_password_is_refused_and_not_repeated() {
    for address in ["s3://me:secret@bucket/run", "s3:///run", "s3://bucket?key=secret"] {
        let error = Store::open(address).expect_err(address).to_string();
        assert!(error.contains("credentials come from the environment"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
