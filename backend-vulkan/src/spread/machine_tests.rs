//! A device of one's own: what kernels become, run on the reference interpreter of kernels.

use super::tree::Expansion;
use super::{Asks, Binding, Memory, Node, Part, Repeat, Spread, While};
use egrad_ir::kernel::{Kernel, Operand};
use egrad_ir::scalar::Elementary;
use egrad_ir::schedule::Buffer;
use egrad_ir::{Array, Dtype, Literal};

fn blank(dtype: Dtype, len: usize) -> Array {
    Array::full([len], Literal::new(dtype, if dtype == Dtype::Bool { 0.0 } else { -77.0 })).unwrap()
}

/// The elements of a part of an array.
fn part(array: &Array, first: usize, len: usize) -> Array {
    Array::from_f64(array.dtype(), &array.to_f64()[first..first + len], [len]).unwrap()
}

/// A kernel opened: what runs, of which parts, with which memory between.
pub(super) fn open(kernel: &Kernel) -> egrad_ir::Result<(Vec<Node>, Vec<Part>, Vec<Buffer>)> {
    let mut spread = Spread::default();
    let mut expansion = Expansion::new(kernel, &mut spread);
    let nodes = expansion.whole(kernel)?;
    let parts = expansion.parts;
    Ok((nodes, parts, spread.scratch))
}

/// Runs parts on the interpreter, as a device does.
struct Machine<'a> {
    parts: &'a [Part],
    operands: Vec<Array>,
    scratch: Vec<Array>,
    counters: Vec<usize>,
    /// Parts run.
    ran: usize,
}

impl Machine<'_> {
    fn memory(&mut self, memory: Memory) -> &mut Array {
        match memory {
            Memory::Operand(i) => &mut self.operands[i],
            Memory::Scratch(i) => &mut self.scratch[i],
        }
    }

    /// Those of the elements bound that a kernel's operand is.
    fn read(&mut self, binding: &Binding, len: usize) -> (Array, usize) {
        let first = binding.first as isize + binding.moves.at(&self.counters);
        let first = usize::try_from(first).unwrap();
        (part(self.memory(binding.memory), first, len), first)
    }

    fn part(&mut self, at: usize) {
        let Part { kernel, bindings, guard, when } = &self.parts[at];
        assert_eq!(when.len(), self.counters.len());
        if !when.iter().zip(&self.counters).all(|(when, value)| when.contains(value)) {
            return;
        }
        if let Some(guard) = guard
            && self.read(&guard.flags, guard.flags.len).0.to_f64()[guard.at] == 0.0
        {
            return;
        }
        self.ran += 1;
        let operands = || kernel.operands.iter().zip(bindings);
        for (o, b) in operands() {
            // What is bound lies inside, in every step.
            assert!(b.first + b.reach(when) <= self.memory(b.memory).shape().size(), "{b:?}");
            assert!(o.len <= b.len);
        }
        let read: Vec<Array> = operands().filter(|(o, _)| !o.written).map(|(o, b)| self.read(b, o.len).0).collect();
        let made = kernel.eval_part(&read.iter().collect::<Vec<_>>(), Elementary::Std);
        let made = made.unwrap_or_else(|e| panic!("{e}\n{kernel}"));
        for ((o, b), new) in operands().filter(|(o, _)| o.written).zip(made) {
            let first = self.read(b, o.len).1;
            let mut all = self.memory(b.memory).to_f64();
            let nothing = match new.dtype() {
                Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => f64::is_nan,
                Dtype::I32 => |x: f64| x == f64::from(i32::MIN),
                Dtype::I64 => |x: f64| x == i64::MIN as f64,
                Dtype::U32 | Dtype::U8 | Dtype::Bool => |_: f64| false,
            };
            for (old, new) in all[first..].iter_mut().zip(new.to_f64()).filter(|(_, new)| !nothing(*new)) {
                *old = new;
            }
            *self.memory(b.memory) = Array::from_f64(new.dtype(), &all, [all.len()]).unwrap();
        }
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Launches(range) => range.clone().for_each(|at| self.part(at)),
                Node::Repeat(Repeat { counter, length, reverse, carries, body }) => {
                    assert_eq!(*counter, self.counters.len());
                    for step in 0..*length {
                        self.counters.push(if *reverse { length - 1 - step } else { step });
                        self.counters.extend([step % 2, 1 - step % 2].iter().filter(|_| *carries));
                        self.nodes(body);
                        self.counters.truncate(*counter);
                    }
                }
                Node::While(While { counter, cond, body, after, asks }) => {
                    assert_eq!(*counter, self.counters.len());
                    let mut place = 0;
                    for step in 0.. {
                        self.counters.extend([place, 1 - place]);
                        self.nodes(cond);
                        match asks {
                            Asks::EveryStep(more) if self.read(&more.at, 1).0.to_f64() == [0.0] => break,
                            Asks::EveryStep(_) => {}
                            // Some more steps, which do nothing.
                            Asks::AfterSteps(state) => {
                                let state = self.read(&state.at, 2).0.to_f64();
                                if state[0] == 0.0 && step % 5 == 4 {
                                    self.counters.truncate(*counter);
                                    let place = state[1] as usize % 2;
                                    self.counters.extend([place, 1 - place]);
                                    break;
                                }
                            }
                        }
                        self.nodes(body);
                        self.counters.truncate(*counter);
                        place = 1 - place;
                    }
                    self.nodes(after);
                    self.counters.truncate(*counter);
                }
                Node::Switch(index, branches) => {
                    let index = self.read(&index.at, 1).0.to_f64()[0].max(0.0) as usize;
                    self.nodes(&branches[index.min(branches.len() - 1)]);
                }
            }
        }
    }
}

/// Runs nodes of parts, and expects what the whole kernel gives for what it reads; how many parts ran.
#[track_caller]
pub(super) fn check_nodes(
    kernel: &Kernel,
    read: Vec<Array>,
    nodes: &[Node],
    parts: &[Part],
    scratch: &[Buffer],
) -> usize {
    kernel.verify().unwrap();
    let expect = kernel.eval(&read.iter().collect::<Vec<_>>(), Elementary::Std).unwrap();
    let mut read = read.into_iter();
    let operand = |o: &Operand| match o.written {
        true => blank(o.dtype, o.len),
        false => read.next().unwrap(),
    };
    let operands = kernel.operands.iter().map(operand).collect();
    let scratch = scratch.iter().map(|b| blank(b.dtype, b.len)).collect();
    let mut machine = Machine { parts, operands, scratch, counters: Vec::new(), ran: 0 };
    machine.nodes(nodes);
    let written = kernel.operands.iter().zip(&machine.operands).filter(|(o, _)| o.written).map(|(_, a)| a);
    for (got, want) in written.zip(&expect) {
        for (i, (g, w)) in got.to_f64().into_iter().zip(want.to_f64()).enumerate() {
            assert!((g - w).abs() <= 1e-5 * w.abs().max(1.0), "element {i}: {g}, expected {w}\n{kernel}");
        }
    }
    machine.ran
}
