//! A table of all samples of a run: Parquet, as pandas, DuckDB and others read it.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use hart_core::{Error, Result, Spool};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde_json::Value;

use super::observer::{BulkEvent, BulkObserver};
use super::run::{Run, SHARDS};
use super::shard::{Sample, read_manifest, read_tar};

/// The name of the index of a run.
pub const INDEX: &str = "index.parquet";
/// Rows of a group, at least: they are in memory together.
const ROWS: usize = 50_000;

/// What an index holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexSummary {
    /// Shards that were done.
    pub shards: u64,
    /// Their samples, a row each.
    pub rows: u64,
}

/// Writes `index.parquet` of all shards that are done, with a row for each sample:
///
/// | column | what |
/// |---|---|
/// | `key`, `index` | what its files are called, and its place in the run |
/// | `shard` | the tar that they are in, such as `shards/000012.tar` |
/// | `prompt`, `seed` | what it was made of |
/// | `outcome`, `reason` | `made`, `refused` or `broken`, and why if it was not made |
/// | `width`, `height` | of the picture in pixels |
/// | `png_bytes`, `png_sha256` | its size and hash |
/// | `label_NAME` | each label, as text |
///
/// # Errors
/// [`Error::Malformed`] when a shard is damaged; [`Error::Cancelled`] when the observer asks to stop;
/// [`Error::Io`] or [`Error::Store`]. An index that is there stays as it was then.
pub fn write_index(run: &Run, observer: &mut dyn BulkObserver) -> Result<IndexSummary> {
    let labels = run.recipe().label_names();
    let mut table = Table::begin(run, labels)?;
    let mut summary = IndexSummary::default();
    for shard in run.numbers(SHARDS)? {
        let rows = rows_of(run, shard)?;
        summary.shards += 1;
        summary.rows += rows.len() as u64;
        table.add(rows)?;
        if observer.event(BulkEvent::Read { shard }).is_break() {
            return Err(Error::Cancelled);
        }
    }
    let bytes = table.finish()?;
    run.store().replace(INDEX, bytes)?;
    Ok(summary)
}

/// A row of the table.
struct Row {
    shard: String,
    sample: Sample,
    /// Size and hash of the picture.
    png: Option<(u64, String)>,
}

/// The rows of a shard.
fn rows_of(run: &Run, shard: u64) -> Result<Vec<Row>> {
    let tar = run.tar_name(shard);
    let broken = |problem: String| Error::malformed(run.store().path(&tar), problem);
    let manifest = read_manifest(run, shard)?.ok_or_else(|| broken("without a manifest".into()))?;
    let mut pictures =
        manifest.files.into_iter().filter(|file| file.name.ends_with(".png")).peekable();
    let mut rows = vec![];
    let read = read_tar(run, shard, |member| {
        if !member.name.ends_with(".json") {
            return Ok(());
        }
        let sample: Sample = serde_json::from_slice(&member.content)
            .map_err(|error| broken(format!("`{}` is not a sample: {error}", member.name)))?;
        let name = format!("{}.png", sample.key);
        let png = pictures.next_if(|file| file.name == name).map(|file| (file.bytes, file.sha256));
        rows.push(Row { shard: tar.clone(), sample, png });
        Ok(())
    })?;
    match read {
        Some(found) if found.sha256 == manifest.tar.sha256 => Ok(rows),
        Some(_) => Err(broken("it is not what its manifest says: `verify` tells more".into())),
        None => Err(broken("missing, while its manifest is there".into())),
    }
}

/// The file on its way.
struct Table {
    writer: SerializedFileWriter<Spool>,
    labels: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    fn begin(run: &Run, labels: Vec<String>) -> Result<Self> {
        let scratch = run.store().folder().map_or_else(std::env::temp_dir, |folder| folder.into());
        let known = [("plan", run.id().to_string()), ("recipe", run.recipe().text().to_string())];
        let known = known.map(|(key, value)| KeyValue::new(format!("hart.{key}"), value));
        let properties = WriterProperties::builder()
            .set_created_by(super::plan::program())
            .set_key_value_metadata(Some(known.to_vec()));
        let schema = Arc::new(schema(&labels).map_err(wrong)?);
        let writer =
            SerializedFileWriter::new(Spool::begin(scratch)?, schema, Arc::new(properties.build()));
        Ok(Self { writer: writer.map_err(wrong)?, labels, rows: vec![] })
    }

    fn add(&mut self, rows: Vec<Row>) -> Result<()> {
        self.rows.extend(rows);
        if self.rows.len() >= ROWS { self.write_group() } else { Ok(()) }
    }

    fn finish(mut self) -> Result<Bytes> {
        self.write_group()?;
        let mut spool = self.writer.into_inner().map_err(wrong)?;
        spool.flush().map_err(at_file)?;
        Ok(Bytes::from_owner(spool.finish().map_err(at_file)?))
    }

    fn write_group(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(wrong)?;
        write_columns(&mut group, &rows, &self.labels).map_err(wrong)?;
        group.close().map_err(wrong).map(drop)
    }
}

/// The columns, in the order in which they are written.
fn schema(labels: &[String]) -> Result<Type, ParquetError> {
    let (optional, required) = (Repetition::OPTIONAL, Repetition::REQUIRED);
    let text = |name: &str, repetition| {
        let builder = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
        builder.with_logical_type(Some(LogicalType::String)).with_repetition(repetition).build()
    };
    let number = |name: &str, physical, repetition| {
        Type::primitive_type_builder(name, physical).with_repetition(repetition).build()
    };
    let seed = Type::primitive_type_builder("seed", Physical::INT64)
        .with_logical_type(Some(LogicalType::integer(64, false)))
        .with_repetition(required);
    let mut columns = vec![
        text("key", required)?,
        number("index", Physical::INT64, required)?,
        text("shard", required)?,
        text("prompt", required)?,
        seed.build()?,
        text("outcome", required)?,
        text("reason", optional)?,
        number("width", Physical::INT32, optional)?,
        number("height", Physical::INT32, optional)?,
        number("png_bytes", Physical::INT64, optional)?,
        text("png_sha256", optional)?,
    ];
    for label in labels {
        columns.push(text(&format!("label_{label}"), optional)?);
    }
    Type::group_type_builder("sample")
        .with_fields(columns.into_iter().map(Arc::new).collect())
        .build()
}

fn write_columns(
    group: &mut SerializedRowGroupWriter<'_, Spool>,
    rows: &[Row],
    labels: &[String],
) -> Result<(), ParquetError> {
    let side = |row: &Row, place: usize| {
        let size = row.sample.settings.as_ref().and_then(|settings| settings.size);
        size.and_then(|size| i32::try_from(size[place]).ok())
    };
    texts(group, rows, |row| Some(row.sample.key.clone()), true)?;
    column::<Int64Type>(group, rows.iter().map(|row| Some(row.sample.index as i64)), true)?;
    texts(group, rows, |row| Some(row.shard.clone()), true)?;
    texts(group, rows, |row| Some(row.sample.prompt.clone()), true)?;
    // The format has no other place for numbers without a sign.
    let seeds = rows.iter().map(|row| Some(row.sample.seed.cast_signed()));
    column::<Int64Type>(group, seeds, true)?;
    texts(group, rows, |row| Some(row.sample.outcome.name().to_string()), true)?;
    texts(group, rows, |row| row.sample.reason.clone(), false)?;
    column::<Int32Type>(group, rows.iter().map(|row| side(row, 0)), false)?;
    column::<Int32Type>(group, rows.iter().map(|row| side(row, 1)), false)?;
    let bytes = rows.iter().map(|row| row.png.as_ref().map(|(bytes, _)| *bytes as i64));
    column::<Int64Type>(group, bytes, false)?;
    texts(group, rows, |row| row.png.as_ref().map(|(_, sha256)| sha256.clone()), false)?;
    for label in labels {
        texts(group, rows, |row| row.sample.labels.get(label).map(plain), false)?;
    }
    Ok(())
}

/// A label as text.
fn plain(label: &Value) -> String {
    label.as_str().map_or_else(|| label.to_string(), str::to_string)
}

fn texts(
    group: &mut SerializedRowGroupWriter<'_, Spool>,
    rows: &[Row],
    text: impl Fn(&Row) -> Option<String>,
    is_required: bool,
) -> Result<(), ParquetError> {
    let texts = rows.iter().map(|row| text(row).map(|text| ByteArray::from(text.into_bytes())));
    column::<ByteArrayType>(group, texts, is_required)
}

/// Writes the next column.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Spool>,
    values: impl Iterator<Item = Option<T::T>>,
    is_required: bool,
) -> Result<(), ParquetError> {
    let (mut levels, mut present) = (vec![], vec![]);
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    let levels = (!is_required).then_some(&levels[..]);
    let more = "more columns than the schema has";
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General(more.to_string()))?;
    column.typed::<T>().write_batch(&present, levels, None)?;
    column.close()
}

fn wrong(error: ParquetError) -> Error {
    Error::store(INDEX, error)
}

fn at_file(error: std::io::Error) -> Error {
    Error::io(INDEX, error)
}
