//! Settings in the EXIF block of JPEG and WebP files.

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Field, In, Reader, Tag, Value};

use super::encode::Texts;

/// What stands before a comment that does not say how its characters are encoded.
const UNDEFINED: [u8; 8] = [0; 8];

/// The largest block that a JPEG file can hold: a segment, less its length and `Exif\0\0`.
const MAX_BYTES: usize = 0xffff - 2 - 6;

/// The block with the texts: the settings as its comment, an object with their keyword.
pub(super) fn write(texts: &Texts) -> Result<Vec<u8>, String> {
    let (keyword, settings) = &texts.settings;
    let comment = format!("{{\"{keyword}\":{settings}}}");
    let text = |tag, text: &str| {
        let value = Value::Ascii(vec![text.replace('\0', "").into_bytes()]);
        Field { tag, ifd_num: In::PRIMARY, value }
    };
    let comment = Value::Undefined([&UNDEFINED[..], comment.as_bytes()].concat(), 0);
    let fields = [
        text(Tag::ImageDescription, &texts.description),
        text(Tag::Software, &texts.software),
        Field { tag: Tag::UserComment, ifd_num: In::PRIMARY, value: comment },
    ];
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut block = Cursor::new(vec![]);
    writer.write(&mut block, false).map_err(|error| error.to_string())?;
    let block = block.into_inner();
    if block.len() > MAX_BYTES {
        let length = block.len();
        return Err(format!("{length} bytes of settings, of {MAX_BYTES} that an EXIF block holds"));
    }
    Ok(block)
}

/// The settings in the block of a file: the text that stands with one of the keywords.
pub(super) fn read(
    file: &[u8],
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, String> {
    let block = match Reader::new().read_from_container(&mut Cursor::new(file)) {
        Ok(block) => block,
        Err(exif::Error::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let Some(comment) = block.get_field(Tag::UserComment, In::PRIMARY) else { return Ok(None) };
    let Value::Undefined(bytes, _) = &comment.value else { return Ok(None) };
    // Other programs write comments as well.
    Ok(bytes.strip_prefix(&UNDEFINED).and_then(|json| serde_json::from_slice(json).ok()))
}
