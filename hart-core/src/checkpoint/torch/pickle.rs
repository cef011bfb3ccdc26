//! The part of Python's pickle format that files of tensors need.
//!
//! A pickle is a program for a stack machine that may call anything. This interpreter calls nothing:
//! it knows what the few callables that rebuild dictionaries and tensors give, and keeps a name in
//! place of what any other would have given, so that a file can lie but not act.

use std::collections::HashMap;
use std::rc::Rc;

use super::pickled::{Id, Value, Values};
use super::program::Program;

/// The longest program that is run, in bytes: the names and shapes of a million tensors fit.
pub(super) const MAX_PROGRAM: usize = 256 << 20;

/// The most values a program may make in all, copies on its stack included. A value takes up to 64
/// bytes, so that no program takes more than half a GiB besides its own strings.
const MAX_VALUES: usize = 1 << 23;
/// The values that a tensor counts as, for its shape and strides.
const CALL: usize = 4;

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
        program: Program::new(&bytes[..bytes.len().min(MAX_PROGRAM)]),
        values: Values::default(),
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        made: 0,
    };
    loop {
        let opcode = machine.program.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root, length: machine.program.position() });
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    program: Program<'a>,
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
            0x80 => drop(self.program.take(1)?),
            0x95 => drop(self.program.take(8)?),
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
            // BUILD: attributes of an object, such as `_metadata`, of no use here.
            b'b' => drop(self.pop()?),
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let global = self.program.global()?;
                self.make(global)?;
            }
            0x93 => self.stack_global()?,
            _ if self.object(opcode)? || self.memory(opcode)? || self.collection(opcode)? => {}
            _ => {
                let value = self.program.literal(opcode)?;
                self.make(value)?;
            }
        }
        Ok(())
    }

    /// Calls, and storages of tensors; whether the instruction is about one.
    fn object(&mut self, opcode: u8) -> Result<bool, String> {
        match opcode {
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
                let callable = self.program.global()?;
                let callable = self.values.add(callable);
                let items = self.since_mark()?;
                let arguments = self.values.add(Value::Sequence(items));
                self.call(callable, arguments)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Values that are remembered and recalled; whether the instruction is about one.
    fn memory(&mut self, opcode: u8) -> Result<bool, String> {
        match opcode {
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
            _ => return Ok(false),
        }
        Ok(true)
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

    /// The number that a value is remembered by.
    fn slot(&mut self, opcode: u8) -> Result<u32, String> {
        match opcode {
            b'h' | b'q' => Ok(u32::from(self.program.byte()?)),
            b'j' | b'r' => Ok(u32::from_le_bytes(self.program.array()?)),
            b'g' | b'p' => {
                let slot = self.program.line()?.parse();
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

    fn stack_global(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.values.text(module), self.values.text(name)) {
            (Some(module), Some(name)) => {
                let global: Rc<str> = format!("{module}.{name}").into();
                // Made of strings that may be recalled without end.
                self.count(global.len() / 16)?;
                self.make(Value::Global(global))
            }
            _ => Err("its pickle names a callable by something that is not a string".into()),
        }
    }

    fn call(&mut self, callable: Id, arguments: Id) -> Result<(), String> {
        let value = self.values.call(callable, arguments)?;
        self.count(CALL)?;
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
