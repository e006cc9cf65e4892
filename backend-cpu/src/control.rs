//! Loops and branches over compiled schedules.
//!
//! A loop has memory of its own for what it carries, so that a step writes what the next one reads
//! beside what it reads itself: two places for each carry, of which the last step's is the output.
//! Temporaries of the body lie in one block for all steps. Elements of a batch run one after the
//! other.
#![allow(unsafe_code)]

use crate::compile::Callee;
use crate::launch::{self, Place};
use crate::pool::Pool;
use crate::run::{ALIGN, Launch, Program, Slot, Work, address, block};
use egrad_ir::kernel::{self, Body};
use egrad_ir::schedule::BufferId;
use egrad_ir::{Aval, Result};
use smallvec::SmallVec;
use std::sync::Arc;

/// A loop or a branch.
pub(crate) struct Control {
    pub(crate) kind: Kind,
    /// The functions, as [`Body::callees`] has them.
    pub(crate) callees: Vec<Arc<Callee>>,
    pub(crate) inputs: Vec<Slot>,
    pub(crate) outputs: Vec<Slot>,
    /// Per carry its bytes.
    pub(crate) carry: Vec<usize>,
    /// Bytes of memory a run needs: for what is carried, the predicate, and the temporaries of
    /// whichever callee needs most.
    scratch: usize,
    /// About how long a run takes, in ns.
    time: f64,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Scan { consts: usize, length: usize, reverse: bool },
    While { cond_consts: usize, body_consts: usize },
    Switch { index: usize },
}

/// A kernel that takes longer, in ns, may gain by several threads.
const LIGHT: f64 = 3000.0;

/// How many launches one function may contain.
const MOST_LAUNCHES: usize = 200;

/// Whether a schedule's launches can be called one after the other; counts them.
fn light(program: &Program, launches: &mut usize) -> bool {
    *launches += program.launches.len();
    *launches <= MOST_LAUNCHES
        && program.launches.iter().all(|launch| match &launch.work {
            Work::Function(_) | Work::Products(_) => launch.work.time() < LIGHT,
            // What it loops over is light.
            Work::Loop(..) => true,
            Work::Call(call) => call.count() == 1 && light(&call.callee().program, launches),
            Work::Rows(_) | Work::Control(_) | Work::Print(_) => false,
        })
}

/// Bytes of temporaries of a schedule and of what it calls once.
fn memory(program: &Program) -> usize {
    let of = |launch: &Launch| match &launch.work {
        Work::Call(call) if call.count() == 1 => memory(&call.callee().program),
        Work::Call(_)
        | Work::Function(_)
        | Work::Products(_)
        | Work::Rows(_)
        | Work::Control(_)
        | Work::Print(_)
        | Work::Loop(..) => 0,
    };
    program.scratch + program.launches.iter().map(of).max().unwrap_or(0)
}

/// How many steps a loop is taken to have that ends by a condition.
const GUESSED_STEPS: f64 = 16.0;

type Places = SmallVec<[Place; 8]>;

impl Control {
    /// The body, which is a loop or a branch, of a verified kernel over these callees.
    pub(crate) fn new(body: &Body, callees: Vec<Arc<Callee>>) -> Control {
        let bytes = |of: &[(BufferId, Aval)]| of.iter().map(|(_, aval)| aval.bytes()).collect::<Vec<_>>();
        let time = |i: usize| callees[i].program.time();
        let (kind, inputs, outputs, carry, time) = match body {
            Body::Scan(kernel::Scan { body, consts, carry, length, reverse, inputs, outputs }) => (
                Kind::Scan { consts: *consts, length: *length, reverse: *reverse },
                Slot::all(inputs, &body.inputs),
                Slot::all(outputs, &body.outputs),
                bytes(&body.outputs[..*carry]),
                *length as f64 * time(0),
            ),
            Body::While(kernel::While { cond, body, cond_consts, body_consts, inputs, outputs }) => {
                let (asked, rest) = inputs.split_at(*cond_consts);
                let mut slots = Slot::all(asked, &cond.inputs);
                slots.extend(Slot::all(rest, &body.inputs));
                (
                    Kind::While { cond_consts: *cond_consts, body_consts: *body_consts },
                    slots,
                    Slot::all(outputs, &body.outputs),
                    bytes(&body.outputs),
                    GUESSED_STEPS * (time(0) + time(1)),
                )
            }
            Body::Switch(kernel::Switch { branches, index, inputs, outputs }) => (
                Kind::Switch { index: *index },
                Slot::all(inputs, &branches[0].inputs),
                Slot::all(outputs, &branches[0].outputs),
                Vec::new(),
                (0..branches.len()).map(time).fold(0.0, f64::max),
            ),
            Body::Loops(_)
            | Body::Contract(_)
            | Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Print(_) => {
                unreachable!("neither a loop nor a branch")
            }
        };
        let own = carry.iter().map(|bytes| bytes.next_multiple_of(ALIGN)).sum::<usize>() + ALIGN;
        let most = callees.iter().map(|callee| memory(&callee.program)).max().unwrap_or(0);
        Control { kind, callees, inputs, outputs, carry, scratch: own + most, time }
    }

    /// Bytes of memory a run needs, a multiple of [`ALIGN`].
    pub(crate) fn scratch(&self) -> usize {
        self.scratch
    }

    /// Whether it can be one function: if nothing in it is worth several threads by itself, or has to
    /// be run by this module.
    pub(crate) fn is_light(&self) -> bool {
        let mut launches = 0;
        self.callees.iter().all(|callee| light(&callee.program, &mut launches)) && launches <= MOST_LAUNCHES
    }

    pub(crate) fn time(&self) -> f64 {
        self.time
    }

    /// The addresses of the functions it calls.
    pub(crate) fn code(&self) -> Vec<usize> {
        self.callees.iter().flat_map(|callee| callee.program.code()).collect()
    }

    /// Runs it for so many elements of a batch, whose operands are at `places`.
    ///
    /// # Safety
    /// As for [`launch::kernel`], of the loop or branch.
    pub(crate) unsafe fn run(&self, places: &[Place], count: usize, pool: Option<&Pool>) -> Result<()> {
        let mut memory = block(self.scratch)?;
        let memory = address(&mut memory);
        for element in 0..count as u64 {
            let at = |slot: &Slot| Place { stride: slot.stride, ..places[slot.operand].at(element) };
            let inputs: Places = self.inputs.iter().map(at).collect();
            let outputs: Places = self.outputs.iter().map(at).collect();
            // SAFETY: by the caller's promise, for an element of the batch. The kernel has been
            // verified: what a slot stands for lies whole in its operand, and outputs are operands of
            // their own. The memory is this call's own, and nothing else accesses it.
            unsafe {
                match self.kind {
                    Kind::Scan { consts, length, reverse } => {
                        self.scan((consts, length, reverse), &inputs, &outputs, memory, pool)?;
                    }
                    Kind::While { cond_consts, body_consts } => {
                        self.repeat((cond_consts, body_consts), &inputs, &outputs, memory, pool)?;
                    }
                    Kind::Switch { index } => {
                        let index = (places[index].at(element).address as *const i32).read_unaligned();
                        let last = self.callees.len() - 1;
                        let branch = usize::try_from(index).map_or(0, |i| i.min(last));
                        self.callees[branch].program.step(&inputs, &outputs, memory, pool)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The second places of what is carried, and the memory after them.
    fn spare(&self, mut memory: *mut u8) -> (Places, *mut u8) {
        let mut spare = Places::new();
        for bytes in &self.carry {
            spare.push(Place { address: memory as u64, stride: 0 });
            memory = memory.wrapping_add(bytes.next_multiple_of(ALIGN));
        }
        (spare, memory)
    }

    /// Copies what is carried.
    ///
    /// # Safety
    /// The places are live memory of the carries' bytes; nothing else accesses what is written, or
    /// writes what is read, meanwhile.
    unsafe fn hand_over(&self, from: &[Place], to: &[Place]) {
        for ((from, to), bytes) in from.iter().zip(to).zip(&self.carry) {
            // SAFETY: by the caller's promise.
            unsafe { launch::copy(*from, *to, *bytes, 1) };
        }
    }

    /// Runs a loop of known length.
    ///
    /// # Safety
    /// As for [`run`](Self::run), of one element; the memory is that of [`scratch`](Self::scratch).
    unsafe fn scan(
        &self,
        (consts, length, reverse): (usize, usize, bool),
        inputs: &[Place],
        outputs: &[Place],
        memory: *mut u8,
        pool: Option<&Pool>,
    ) -> Result<()> {
        let carry = self.carry.len();
        let fixed = consts + carry;
        let (spare, memory) = self.spare(memory);
        let body = &self.callees[0].program;
        let mut from: Places = inputs.iter().copied().collect();
        let mut to: Places = outputs.iter().copied().collect();
        for step in 0..length {
            let at = if reverse { length - 1 - step } else { step } as u64;
            for (place, x) in from[fixed..].iter_mut().zip(&inputs[fixed..]) {
                *place = x.at(at);
            }
            for (place, y) in to[carry..].iter_mut().zip(&outputs[carry..]) {
                *place = y.at(at);
            }
            // The last step writes the outputs.
            let last = (length - 1 - step).is_multiple_of(2);
            to[..carry].copy_from_slice(if last { &outputs[..carry] } else { &spare });
            // SAFETY: by the caller's promise: elements of the `xs` and `ys` of this step lie inside
            // their operands, and a step writes another place of a carry than the one before, which is
            // where it reads it.
            unsafe { body.step(&from, &to, memory, pool)? };
            from[consts..fixed].copy_from_slice(&to[..carry]);
        }
        if length == 0 {
            // SAFETY: by the caller's promise.
            unsafe { self.hand_over(&inputs[consts..], outputs) };
        }
        Ok(())
    }

    /// Runs a loop that ends by a condition.
    ///
    /// # Safety
    /// As for [`scan`](Self::scan).
    unsafe fn repeat(
        &self,
        (cond_consts, body_consts): (usize, usize),
        inputs: &[Place],
        outputs: &[Place],
        memory: *mut u8,
        pool: Option<&Pool>,
    ) -> Result<()> {
        let (spare, predicate) = self.spare(memory);
        let memory = predicate.wrapping_add(ALIGN);
        let answer = [Place { address: predicate as u64, stride: 0 }];
        let (cond, body) = (&self.callees[0].program, &self.callees[1].program);
        let mut asked: Places =
            inputs[..cond_consts].iter().chain(&inputs[cond_consts + body_consts..]).copied().collect();
        let mut from: Places = inputs[cond_consts..].iter().copied().collect();
        let (mut to, mut next): (&[Place], &[Place]) = (outputs, &spare);
        loop {
            // SAFETY: by the caller's promise; the predicate's byte is this run's own.
            let more = unsafe {
                cond.step(&asked, &answer, memory, pool)?;
                predicate.read() != 0
            };
            if !more {
                break;
            }
            // SAFETY: by the caller's promise; a step writes another place of a carry than the one
            // before, which is where it reads it.
            unsafe { body.step(&from, to, memory, pool)? };
            from[body_consts..].copy_from_slice(to);
            asked[cond_consts..].copy_from_slice(to);
            (to, next) = (next, to);
        }
        // What was carried last lies where the next step would not have written.
        if to.as_ptr() == outputs.as_ptr() {
            // SAFETY: by the caller's promise, from other memory.
            unsafe { self.hand_over(&from[body_consts..], outputs) };
        }
        Ok(())
    }
}
