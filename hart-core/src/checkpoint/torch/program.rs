//! The bytes of a pickle: instructions, and the values that they spell out.

use super::pickled::Value;

/// A pickle program, read from its beginning.
pub(super) struct Program<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Program<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The bytes that were read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// A value that an instruction spells out.
    pub(super) fn literal(&mut self, opcode: u8) -> Result<Value, String> {
        Ok(match opcode {
            // NONE, NEWTRUE, NEWFALSE
            b'N' => Value::None,
            0x88 => Value::Flag(true),
            0x89 => Value::Flag(false),
            // BININT1, BININT2, BININT
            b'K' => Value::Integer(i64::from(self.byte()?)),
            b'M' => Value::Integer(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Value::Integer(i64::from(i32::from_le_bytes(self.array()?))),
            // LONG1, LONG4
            0x8a => {
                let length = usize::from(self.byte()?);
                self.long(length)?
            }
            0x8b => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.long(length)?
            }
            // INT, LONG
            b'I' | b'L' => match self.line()?.trim_end_matches('L') {
                "00" => Value::Flag(false),
                "01" => Value::Flag(true),
                digits => digits.parse().map_or(Value::Other, Value::Integer),
            },
            // BINFLOAT, FLOAT
            b'G' => self.skip(8)?,
            b'F' => {
                self.line()?;
                Value::Other
            }
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8; SHORT_BINSTRING, BINSTRING
            0x8c | b'X' | 0x8d | b'U' | b'T' => {
                let length = self.length(opcode)?;
                let text = std::str::from_utf8(self.take(length)?);
                Value::Text(text.map_err(|_| "its pickle has a string that is not UTF-8")?.into())
            }
            // UNICODE, STRING
            b'V' => Value::Text(self.line()?.into()),
            b'S' => Value::Text(self.line()?.trim_matches(['\'', '"']).into()),
            // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
            b'C' | b'B' | 0x8e | 0x96 => {
                let length = self.length(opcode)?;
                self.skip(length)?
            }
            other => return Err(format!("its pickle has an unsupported instruction {other:#04x}")),
        })
    }

    /// The length before a string, as wide as its instruction has it.
    fn length(&mut self, opcode: u8) -> Result<usize, String> {
        let length = match opcode {
            0x8c | b'U' | b'C' => u64::from(self.byte()?),
            b'X' | b'T' | b'B' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => u64::from_le_bytes(self.array()?),
        };
        usize::try_from(length).map_err(|_| "its pickle is truncated".into())
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.position.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("its pickle is truncated")?;
        let bytes = &self.bytes[self.position..end];
        self.position = end;
        Ok(bytes)
    }

    fn skip(&mut self, length: usize) -> Result<Value, String> {
        self.take(length)?;
        Ok(Value::Other)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("a slice of N bytes"))
    }

    /// A little-endian two's complement integer; longer ones than eight bytes are of no use.
    fn long(&mut self, length: usize) -> Result<Value, String> {
        let bytes = self.take(length)?;
        if length > 8 {
            return Ok(Value::Other);
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut padded = [if negative { 0xff } else { 0 }; 8];
        padded[..length].copy_from_slice(bytes);
        Ok(Value::Integer(i64::from_le_bytes(padded)))
    }

    pub(super) fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.position..];
        let length =
            rest.iter().position(|&byte| byte == b'\n').ok_or("its pickle is truncated")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.position += length + 1;
        Ok(line)
    }

    pub(super) fn global(&mut self) -> Result<Value, String> {
        Ok(Value::Global(format!("{}.{}", self.line()?, self.line()?).into()))
    }
}
