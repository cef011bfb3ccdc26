//! The table of all samples.

use hart_pipeline::bulk::{INDEX, write_index};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use sha2::{Digest, Sha256};

use crate::{SHAPES, folder, make, members, plan};

fn column(row: &Row, name: &str) -> Field {
    let field = row.get_column_iter().find(|(column, _)| *column == name);
    field.unwrap_or_else(|| panic!("no column {name}")).1.clone()
}

#[test]
fn an_index_has_a_row_for_every_sample() {
    let folder = folder();
    let run =
        plan(folder.path(), &SHAPES.replace("\"star\"", "{ text = \"star\", label = \"*\" }"));
    make(&run);
    let summary = write_index(&run, &mut ()).expect("an index");
    assert_eq!((summary.shards, summary.rows), (3, 6));
    let file = std::fs::File::open(folder.path().join(INDEX)).expect("an index");
    let reader = SerializedFileReader::new(file).expect("a table");
    let rows: Vec<Row> =
        reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 6);
    for (index, row) in rows.iter().enumerate() {
        let picture = run.recipe().picture(index as u64);
        let shard = index as u64 / 2;
        let png = &members(&run, shard)[&format!("{index:09}.png")];
        let sha256: String = Sha256::digest(png).iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            ("key", Field::Str(format!("{index:09}"))),
            ("index", Field::Long(index as i64)),
            ("shard", Field::Str(format!("shards/{shard:06}.tar"))),
            ("prompt", Field::Str(picture.prompt)),
            ("seed", Field::ULong(picture.seed)),
            ("outcome", Field::Str("made".to_string())),
            ("reason", Field::Null),
            ("width", Field::Int(64)),
            ("height", Field::Int(64)),
            ("png_bytes", Field::Long(png.len() as i64)),
            ("png_sha256", Field::Str(sha256)),
            ("label_shape", Field::Str(picture.labels["shape"].as_str().expect("text").into())),
        ];
        for (name, expected) in expected {
            assert_eq!(column(row, name), expected, "{name} of {index}");
        }
    }
    let known = reader.metadata().file_metadata().key_value_metadata().expect("what is known");
    assert!(known.iter().any(|pair| pair.value.as_deref() == Some(run.id())));
}

#[test]
fn a_damaged_shard_is_not_indexed_and_the_old_index_stays() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    make(&run);
    write_index(&run, &mut ()).expect("an index");
    let before = std::fs::read(folder.path().join(INDEX)).expect("an index");
    let tar = folder.path().join(run.tar_name(1));
    let mut bytes = std::fs::read(&tar).expect("a tar");
    bytes[600] ^= 1;
    std::fs::write(&tar, bytes).expect("a tar");
    let error = write_index(&run, &mut ()).expect_err("a damaged shard").to_string();
    assert!(error.contains("000001.tar"), "{error}");
    assert!(std::fs::read(folder.path().join(INDEX)).expect("an index") == before);
}
