//! The part of Python's pickle format that files of tensors need.
//!
//! A pickle is a program for a stack machine that may call anything. This interpreter calls nothing:
//! it knows what the few callables that rebuild dictionaries and tensors give, and keeps a name in
//! place of what any other would have given, so that a file can lie but not act.

use std::collections::HashMap;
use std::rc::Rc;

use super::pickled::{Id, Value, Values};

/// The longest program that is run, in bytes: the names and shapes of a million tensors fit.
pub(super) const MAX_PROGRAM: usize = 256 << 20;

/// The most values a program may make in all, copies on its stack included. Each takes some 50 bytes,
/// so that no program takes more than half a GiB besides its own strings.
const MAX_VALUES: usize = 1 << 23;

/// What a program left.
#[derive(Debug)]
pub(super) struct Pickle {
    /// All values it made.
    pub(super) values: Values,
    /// The one that it is for.
    pub(super) root: Id,
    /// The bytes of the program.
    pub(super) length: usize,
}

/// Runs the pickle program at the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine {
        program: &bytes[..bytes.len().min(MAX_PROGRAM)],
        position: 0,
        values: Values::default(),
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        made: 0,
    };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root, length: machine.position });
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    program: &'a [u8],
    position: usize,
    values: Values,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    made: usize,
}

impl Machine<'_> {
    /// One instruction, named in comments as in Python's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // PROTO, FRAME
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            // MARK, POP_MARK
            b'(' => {
                self.count(1)?;
                self.marks.push(self.stack.len());
            }
            b'1' => drop(self.since_mark()?),
            // POP, DUP
            b'0' if self.stack.len() == self.floor() && !self.marks.is_empty() => {
                self.marks.pop();
            }
            b'0' => drop(self.pop()?),
            b'2' => self.push(self.top()?)?,
            // BINPERSID, REDUCE, NEWOBJ
            b'Q' => {
                let reference = self.pop()?;
                let storage = self.values.storage(reference)?;
                self.push(storage)?;
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            // NEWOBJ_EX, OBJ, INST
            0x92 => {
                let (_, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            b'o' => {
                let items = self.since_mark()?;
                let (callable, arguments) =
                    items.split_first().ok_or("its pickle makes an object of nothing")?;
                let arguments = self.values.add(Value::Sequence(arguments.to_vec()));
                self.call(*callable, arguments)?;
            }
            b'i' => {
                let callable = self.global()?;
                let callable = self.values.add(callable);
                let items = self.since_mark()?;
                let arguments = self.values.add(Value::Sequence(items));
                self.call(callable, arguments)?;
            }
            // BUILD: attributes of an object, such as `_metadata`, of no use here.
            b'b' => drop(self.pop()?),
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let global = self.global()?;
                self.make(global)?;
            }
            0x93 => self.stack_global()?,
            // GET, BINGET, LONG_BINGET
            b'g' | b'h' | b'j' => {
                let slot = self.slot(opcode)?;
                let value = self.memo.get(&slot).copied();
                self.push(value.ok_or("its pickle recalls a value it did not remember")?)?;
            }
            // PUT, BINPUT, LONG_BINPUT, MEMOIZE
            b'p' | b'q' | b'r' | 0x94 => {
                let slot = self.slot(opcode)?;
                let value = self.top()?;
                self.count(1)?;
                self.memo.insert(slot, value);
            }
            _ if self.collection(opcode)? => {}
            _ => {
                let value = self.literal(opcode)?;
                self.make(value)?;
            }
        }
        Ok(())
    }

    /// Tuples, lists, dictionaries and sets; whether the instruction is about one.
    fn collection(&mut self, opcode: u8) -> Result<bool, String> {
        match opcode {
            // EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, EMPTY_SET
            b')' | b']' => self.make(Value::Sequence(vec![]))?,
            b'}' => self.make(Value::Dict(vec![]))?,
            0x8f => self.make(Value::Other)?,
            // TUPLE1, TUPLE2, TUPLE3
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                self.make(Value::Sequence(items))?;
            }
            // TUPLE, LIST
            b't' | b'l' => {
                let items = self.since_mark()?;
                self.make(Value::Sequence(items))?;
            }
            // DICT
            b'd' => {
                let items = self.since_mark()?;
                self.make(Value::Dict(vec![]))?;
                self.set_items(&items)?;
            }
            // FROZENSET
            0x91 => {
                self.since_mark()?;
                self.make(Value::Other)?;
            }
            // SETITEM, SETITEMS
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items)?;
            }
            // APPEND, APPENDS, ADDITEMS
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.append(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A value that an instruction spells out.
    fn literal(&mut self, opcode: u8) -> Result<Value, String> {
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
                text.map_err(|_| "its pickle has a string that is not UTF-8")?;
                let text = text.map(Rc::from);
                Value::Text(text.map_err(|_| "its pickle has a string that is not UTF-8")?)
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

    /// The number that a value is remembered by.
    fn slot(&mut self, opcode: u8) -> Result<u32, String> {
        match opcode {
            b'h' | b'q' => Ok(u32::from(self.byte()?)),
            b'j' | b'r' => Ok(u32::from_le_bytes(self.array()?)),
            b'g' | b'p' => {
                let slot = self.line()?.parse();
                slot.map_err(|_| "its pickle remembers a value by something unknown".into())
            }
            _ => Ok(self.memo.len() as u32),
        }
    }

    fn make(&mut self, value: Value) -> Result<(), String> {
        let id = self.values.add(value);
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Result<(), String> {
        self.count(1)?;
        self.stack.push(id);
        Ok(())
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        self.made += values;
        if self.made > MAX_VALUES {
            return Err("its pickle makes too many values".into());
        }
        Ok(())
    }

    /// Values below a mark belong to the collection that is being built around it.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, String> {
        let above = self.stack.get(self.floor()..).and_then(<[Id]>::last);
        above.copied().ok_or_else(|| "its pickle takes more values than it makes".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.position.checked_add(length).filter(|&end| end <= self.program.len());
        let end = end.ok_or("its pickle is truncated")?;
        let bytes = &self.program[self.position..end];
        self.position = end;
        Ok(bytes)
    }

    fn skip(&mut self, length: usize) -> Result<Value, String> {
        self.take(length)?;
        Ok(Value::Other)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
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

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.program[self.position..];
        let length =
            rest.iter().position(|&byte| byte == b'\n').ok_or("its pickle is truncated")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.position += length + 1;
        Ok(line)
    }

    fn global(&mut self) -> Result<Value, String> {
        Ok(Value::Global(format!("{}.{}", self.line()?, self.line()?).into()))
    }

    fn stack_global(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.values.text(module), self.values.text(name)) {
            (Some(module), Some(name)) => {
                let global = format!("{module}.{name}");
                self.make(Value::Global(global.into()))
            }
            _ => Err("its pickle names a callable by something that is not a string".into()),
        }
    }

    fn call(&mut self, callable: Id, arguments: Id) -> Result<(), String> {
        let value = self.values.call(callable, arguments)?;
        self.push(value)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("its pickle ends a collection that it did not begin")?;
        Ok(self.stack.split_off(mark))
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), String> {
        if !items.len().is_multiple_of(2) {
            return Err("its pickle has a key without a value".into());
        }
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::Dict(entries) => entries.extend(items.chunks(2).map(|pair| (pair[0], pair[1]))),
            Value::Object(_) => {}
            _ => {
                return Err("its pickle sets items of something that is not a dictionary".into());
            }
        }
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::Sequence(list) => list.extend(items),
            Value::Object(_) | Value::Other => {}
            _ => return Err("its pickle appends to something that is not a list".into()),
        }
        Ok(())
    }
}
