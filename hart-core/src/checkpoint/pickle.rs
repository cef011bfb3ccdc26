//! The part of Python's pickle format that a dictionary of tensors needs.
//!
//! A pickle is a program for a stack machine that may call anything. This interpreter knows the
//! instructions that `torch.save` writes for a state dictionary, two callables (the rebuilding of a
//! tensor and `OrderedDict`) and no others, so that a file can lie but not act.

use std::collections::HashMap;

use super::pickled::{Pickled, call, check_depth, size, storage};

/// The most values a program may make in all, copies to and from the memo included, so that they
/// cannot grow without end.
const MAX_VALUES: usize = 1 << 23;

/// Runs a pickle program and returns the value it leaves.
pub(super) fn parse(program: &[u8]) -> Result<Pickled, String> {
    let mut machine = Machine {
        program,
        position: 0,
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        made: 0,
    };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            return machine.pop();
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    program: &'a [u8],
    position: usize,
    stack: Vec<Pickled>,
    marks: Vec<usize>,
    memo: HashMap<u32, Pickled>,
    made: usize,
}

impl Machine<'_> {
    /// One instruction, named in comments as in Python's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // PROTO, FRAME
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            // MARK
            b'(' => self.marks.push(self.stack.len()),
            // NONE, NEWTRUE, NEWFALSE
            b'N' => self.push(Pickled::None)?,
            0x88 => self.push(Pickled::Flag(true))?,
            0x89 => self.push(Pickled::Flag(false))?,
            // BININT1, BININT2, BININT, LONG1
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Pickled::Integer(i64::from(value)))?;
            }
            0x8a => self.long()?,
            // BINUNICODE, SHORT_BINUNICODE
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let length = self.byte()?;
                self.text(usize::from(length))?;
            }
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
            b')' => self.push(Pickled::Tuple(vec![]))?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.since_mark()?;
                self.push(Pickled::Tuple(items))?;
            }
            // EMPTY_DICT, SETITEM, SETITEMS
            b'}' => self.push(Pickled::Dict(vec![]))?,
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(vec![key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.extend_dict(items)?;
            }
            // BINPUT, LONG_BINPUT, MEMOIZE
            b'q' => {
                let slot = u32::from(self.byte()?);
                self.memoize(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memoize(slot)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            // BINGET, LONG_BINGET
            b'h' => {
                let slot = u32::from(self.byte()?);
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.push(Pickled::Global(name))?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Pickled::Text(name), Pickled::Text(module)) => {
                    self.push(Pickled::Global(format!("{module}.{name}")))?;
                }
                _ => {
                    return Err(
                        "its pickle names a callable by something that is not a string".into()
                    );
                }
            },
            // BINPERSID, REDUCE, BUILD
            b'Q' => {
                let reference = self.pop()?;
                self.push(storage(reference)?)?;
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.push(call(&callable, arguments)?)?;
            }
            // The state of an OrderedDict: attributes such as `_metadata`, of no use here.
            b'b' => drop(self.pop()?),
            other => return Err(format!("its pickle has an unsupported instruction {other:#04x}")),
        }
        Ok(())
    }

    fn push(&mut self, value: Pickled) -> Result<(), String> {
        self.count(1)?;
        self.stack.push(value);
        Ok(())
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        self.made += values;
        if self.made > MAX_VALUES {
            return Err("its pickle makes too many values".into());
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Pickled, String> {
        // Values below a mark belong to the collection that is being built around it.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("its pickle takes more values than it makes".into());
        }
        Ok(self.stack.pop().expect("the stack is higher than its floor"))
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.position.checked_add(length).filter(|&end| end <= self.program.len());
        let end = end.ok_or("its pickle is truncated")?;
        let bytes = &self.program[self.position..end];
        self.position = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("a slice of N bytes"))
    }

    fn integer(&mut self, length: usize) -> Result<(), String> {
        let value =
            self.take(length)?.iter().rev().fold(0, |sum, &byte| sum << 8 | i64::from(byte));
        self.push(Pickled::Integer(value))
    }

    /// A little-endian two's complement integer of up to eight bytes.
    fn long(&mut self) -> Result<(), String> {
        let length = usize::from(self.byte()?);
        if length > 8 {
            return Err("its pickle has an integer that is too large".into());
        }
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut padded = [if negative { 0xff } else { 0 }; 8];
        padded[..length].copy_from_slice(bytes);
        self.push(Pickled::Integer(i64::from_le_bytes(padded)))
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?);
        let text = text.map_err(|_| "its pickle has a string that is not UTF-8")?.to_string();
        self.push(Pickled::Text(text))
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.program[self.position..];
        let length =
            rest.iter().position(|&byte| byte == b'\n').ok_or("its pickle is truncated")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.position += length + 1;
        Ok(line)
    }

    fn tuple(&mut self, length: usize) -> Result<(), String> {
        let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        check_depth(&items)?;
        self.push(Pickled::Tuple(items))
    }

    fn since_mark(&mut self) -> Result<Vec<Pickled>, String> {
        let mark = self.marks.pop().ok_or("its pickle ends a collection that it did not begin")?;
        let items = self.stack.split_off(mark);
        check_depth(&items)?;
        Ok(items)
    }

    fn extend_dict(&mut self, items: Vec<Pickled>) -> Result<(), String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let dict = self.stack.len() > floor;
        let Some(Pickled::Dict(entries)) = self.stack.last_mut().filter(|_| dict) else {
            return Err("its pickle sets items of something that is not a dictionary".into());
        };
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            let value = items.next().ok_or("its pickle has a key without a value")?;
            check_depth(&[&key, &value])?;
            entries.push((key, value));
        }
        Ok(())
    }

    /// Remembers the value on top. Dictionaries are never recalled in a state dictionary, so a
    /// placeholder saves the copy.
    fn memoize(&mut self, slot: u32) -> Result<(), String> {
        let value =
            match self.stack.last().ok_or("its pickle remembers a value that is not there")? {
                Pickled::Dict(_) => Pickled::None,
                value => value.clone(),
            };
        self.count(size(&value))?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let value = self.memo.get(&slot).cloned();
        let value = value.ok_or("its pickle recalls a value it did not remember")?;
        self.count(size(&value))?;
        self.push(value)
    }
}
