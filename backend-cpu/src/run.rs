//! Running a compiled schedule, once or for every element of a batch.
//!
//! What a run needs is worked out when the schedule is compiled: which steps to launch on which
//! buffers, and where temporaries lie in one block of memory, so that buffers whose lifetimes don't
//! overlap share its bytes. A run allocates the outputs and that block, both recycled, and fills
//! argument blocks on the stack.
//!
//! A call runs its callee's kernels over a batch: each is launched once for all elements, at the
//! strides the call says; temporaries lie element by element where one of them would. A batch
//! whose temporaries are too large for the cache runs in tiles.
#![allow(unsafe_code)]

use crate::compile::Callee;
use crate::contract::Products;
use crate::control::Control;
use crate::jit::Code;
use crate::launch::{self, Function, Place, part};
use crate::pool::Pool;
use crate::print::Printer;
use crate::rows::Rows;
use egrad_ir::kernel::{self, Run};
use egrad_ir::schedule::{BufferId, Schedule};
use egrad_ir::{Array, Aval, Dtype, Error, Result};
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, PoisonError};

/// How to run a schedule.
pub(crate) struct Program {
    pub(crate) launches: Vec<Launch>,
    /// Per buffer where its memory comes from; after the schedule's buffers come those that launches
    /// have for themselves.
    pub(crate) homes: Vec<Home>,
    /// Per result what it is.
    results: Vec<Outcome>,
    /// Per array made for results: the first result that is it.
    pub(crate) made: Vec<usize>,
    /// Bytes of the block of temporaries, per element of a batch.
    pub(crate) scratch: usize,
    /// What the launches' functions are in.
    pub(crate) code: Code,
    /// About how long a run takes, in ns.
    time: f64,
    /// How many kernels of the schedule that was asked for a run launches.
    dispatches: usize,
}

/// A step.
pub(crate) struct Launch {
    pub(crate) work: Work,
    /// The buffers it is launched on. Those after the schedule's are memory of its own.
    pub(crate) operands: Vec<usize>,
}

/// What a launch does.
pub(crate) enum Work {
    /// Calls a compiled function.
    Function(Function),
    /// Calls `gemm`.
    Products(Box<Products>),
    /// Scatters or sorts.
    Rows(Box<Rows>),
    /// Prints.
    Print(Box<Printer>),
    /// Runs another schedule's steps.
    Call(Box<Call>),
    /// Loops over other schedules, or runs one of several.
    Control(Box<Control>),
    /// The same, as a compiled function that calls those of the schedules, and whatever that relies on.
    Loop(Function, Vec<Arc<Callee>>),
}

/// A call of a callee, with its slots' strides in bytes.
pub(crate) struct Call {
    callee: Arc<Callee>,
    count: usize,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
}

/// The operand of an input or output, and the bytes from one element of the batch, or step of a loop,
/// to the next.
pub(crate) struct Slot {
    pub(crate) operand: usize,
    pub(crate) stride: u64,
}

impl Slot {
    /// Those of a schedule's inputs or outputs.
    pub(crate) fn all(slots: &[kernel::Slot], own: &[(BufferId, Aval)]) -> Vec<Slot> {
        let slot = |(slot, (_, aval)): (&kernel::Slot, &(BufferId, Aval))| Slot {
            operand: slot.operand,
            stride: (slot.stride * aval.dtype.bytes()) as u64,
        };
        slots.iter().zip(own).map(slot).collect()
    }
}

/// Where a buffer's memory comes from.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Home {
    /// It is given to the run: the inputs, then an array made for each result that is none.
    Given(usize),
    /// So many bytes, from there in the block of temporaries.
    Scratch { offset: usize, bytes: usize },
    /// Nobody needs it.
    None,
}

/// What a result is, which one of those given to the run, and its bytes.
struct Outcome {
    given: usize,
    bytes: usize,
}

/// Temporaries begin at multiples of this many bytes.
pub(crate) const ALIGN: usize = 64;

/// Up to so many bytes, the temporaries of a batch stay in the cache from one kernel to the next.
const TILE: usize = 1 << 18;

/// The most that the temporaries of a function take at one time that is called for so many elements of a
/// batch and needs so many bytes for one: each thread has a tile of the batch.
pub fn batch_bytes(bytes: usize, count: usize, threads: usize) -> usize {
    bytes.saturating_mul(count).min(bytes.max(TILE).saturating_mul(threads.max(1)))
}

/// The memory a run has.
struct Frame<'a> {
    /// What it was given.
    given: &'a [Place],
    /// The block of temporaries.
    block: *mut u8,
    /// The elements of the batch, for which there is room in the block.
    count: usize,
}

impl Call {
    pub(crate) fn new(call: &kernel::Call, callee: Arc<Callee>) -> Call {
        let inputs = Slot::all(&call.inputs, &call.callee.inputs);
        let outputs = Slot::all(&call.outputs, &call.callee.outputs);
        Call { count: call.count, inputs, outputs, callee }
    }

    fn time(&self) -> f64 {
        self.callee.program.time * self.count as f64
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn callee(&self) -> &Arc<Callee> {
        &self.callee
    }

    /// Where inputs and outputs are.
    pub(crate) fn slots(&self) -> [&[Slot]; 2] {
        [&self.inputs, &self.outputs]
    }

    /// Runs the call for so many elements of an outer batch, whose operands are at `places`.
    ///
    /// # Safety
    /// As for [`launch::kernel`], of the call.
    unsafe fn run(&self, places: &[Place], outer: usize, pool: Option<&Pool>) -> Result<()> {
        let slots = || self.inputs.iter().chain(&self.outputs);
        // As one batch, if it lies as one: an element of the outer batch is where the last of the
        // one before is followed by the next.
        let one = slots().all(|slot| places[slot.operand].stride == slot.stride * self.count as u64);
        let (turns, count) = if self.count == 1 {
            (1, outer)
        } else if one || outer == 1 {
            (1, outer * self.count)
        } else {
            (outer, self.count)
        };
        for turn in 0..turns {
            let place = |slot: &Slot| {
                let place = places[slot.operand].at(turn as u64);
                if self.count == 1 { place } else { Place { stride: slot.stride, ..place } }
            };
            let inputs: SmallVec<[Place; 8]> = self.inputs.iter().map(place).collect();
            let outputs: SmallVec<[Place; 4]> = self.outputs.iter().map(place).collect();
            // SAFETY: the call has been verified: for every element, inputs and outputs lie in its
            // operands and are as long as the callee's, outputs are operands of their own and side
            // by side. The rest the caller promises.
            unsafe { self.callee.program.run_batch(&inputs, &outputs, count, pool)? };
        }
        Ok(())
    }
}

impl Program {
    /// Plans the runs of a verified schedule, which count as so many dispatches. `own` are the bytes of
    /// memory that launches have for themselves.
    pub(crate) fn new(
        schedule: &Schedule,
        launches: Vec<Launch>,
        own: &[usize],
        code: Code,
        dispatches: usize,
    ) -> Program {
        let mut homes = vec![Home::None; schedule.buffers.len() + own.len()];
        let inputs = schedule.inputs.len();
        for (i, (id, _)) in schedule.inputs.iter().enumerate() {
            homes[id.index()] = Home::Given(i);
        }
        let mut made = Vec::new();
        let mut results = Vec::new();
        for (i, (id, aval)) in schedule.outputs.iter().enumerate() {
            let home = &mut homes[id.index()];
            if *home == Home::None {
                *home = Home::Given(inputs + made.len());
                made.push(i);
            }
            let Home::Given(given) = *home else { unreachable!("no temporaries yet") };
            results.push(Outcome { given, bytes: aval.shape.size() * aval.dtype.bytes() });
        }
        let bytes = schedule.buffers.iter().map(|b| b.len * b.dtype.bytes()).chain(own.iter().copied());
        let scratch = place_temporaries(&launches, &bytes.collect::<Vec<_>>(), &mut homes);
        let time = launches.iter().map(|launch| launch.work.time()).sum();
        Program { launches, homes, results, made, scratch, code, time, dispatches }
    }

    /// Runs on inputs of the schedule's avals, sharing the work with the pool's threads.
    pub(crate) fn run(&self, schedule: &Schedule, inputs: &[&Array], pool: &Pool) -> Result<Run> {
        let fit = inputs.len() == schedule.inputs.len()
            && inputs.iter().zip(&schedule.inputs).all(|(x, (_, aval))| x.aval() == aval);
        if !fit {
            return Err(Error::internal("the inputs are not those the schedule was compiled for"));
        }
        let mut made: SmallVec<[Array; 4]> = SmallVec::new();
        for result in &self.made {
            made.push(Array::scratch(schedule.outputs[*result].1.clone())?);
        }
        let mut given: SmallVec<[Place; 8]> = SmallVec::new();
        for x in inputs {
            given.push(Place { address: x.as_ptr()? as u64, stride: 0 });
        }
        given.extend(made.iter_mut().map(|x| Place { address: address(x) as u64, stride: 0 }));
        // SAFETY: the inputs are borrowed for this call and of the avals just checked; the results
        // this call made, and nothing else refers to them.
        unsafe { self.launch(&given, 1, Some(pool))? };
        let mut outputs = SmallVec::new();
        for (outcome, (_, aval)) in self.results.iter().zip(&schedule.outputs) {
            let array =
                if outcome.given < inputs.len() { inputs[outcome.given] } else { &made[outcome.given - inputs.len()] };
            outputs.push(if array.aval() == aval { array.clone() } else { array.reshape(aval.shape.clone())? });
        }
        Ok(Run { outputs, dispatches: self.dispatches })
    }

    /// Runs for so many elements of a batch, whose inputs and outputs are at these places.
    ///
    /// # Safety
    /// For every element, the places are live memory as long as the schedule's inputs and outputs
    /// and aligned to their types; nothing writes inputs meanwhile, and nothing else accesses
    /// outputs, which differ from one another and from one element to the next.
    unsafe fn run_batch(&self, inputs: &[Place], outputs: &[Place], count: usize, pool: Option<&Pool>) -> Result<()> {
        let made = self.made.iter().map(|result| outputs[*result]);
        let given: SmallVec<[Place; 8]> = inputs.iter().copied().chain(made).collect();
        let tile = |range: std::ops::Range<usize>, pool: Option<&Pool>| {
            let at = |place: &Place| place.at(range.start as u64);
            let given: SmallVec<[Place; 8]> = given.iter().map(at).collect();
            // SAFETY: by the caller's promise, for these elements of the batch.
            unsafe { self.launch(&given, range.len(), pool)? };
            // SAFETY: as above.
            unsafe { self.hand_out(inputs.len(), &given, &|i| at(&outputs[i]), range.len()) };
            Ok(())
        };
        let fits = TILE.checked_div(self.scratch).map_or(count, |n| n.clamp(1, count));
        let parts = pool.and_then(|pool| pool.parts(self.time * count as f64)).map_or(1, |parts| parts.min(count));
        match pool {
            // Threads share the batch if it has some elements for each; else each launch.
            Some(pool) if parts >= 2 * pool.threads() => {
                let tiles = parts.max(count.div_ceil(fits));
                let failed = Mutex::new(None);
                pool.run(tiles, &|i| {
                    if let Err(error) = tile(part(count, 1, tiles, i), None) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                });
                failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
            }
            _ => {
                let tiles = count.div_ceil(fits);
                (0..tiles).try_for_each(|i| tile(part(count, 1, tiles, i), pool))
            }
        }
    }

    /// Copies results that are inputs, or other results, to where they belong, for so many elements.
    ///
    /// # Safety
    /// As for [`Program::run_batch`]; what is given are its inputs, so many, then the results made.
    unsafe fn hand_out(&self, inputs: usize, given: &[Place], outputs: &dyn Fn(usize) -> Place, count: usize) {
        for (result, from, bytes) in self.handed_out(inputs) {
            // SAFETY: by the caller's promise; the verifier has checked that what becomes this
            // result, an input or another result, has as many elements of its type.
            unsafe { launch::copy(given[from], outputs(result), bytes, count) };
        }
    }

    /// Results that are inputs, of which there are so many, or other results: which, of what is given
    /// to a run, and its bytes.
    pub(crate) fn handed_out(&self, inputs: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let of = move |(i, outcome): (usize, &Outcome)| {
            let first = outcome.given.checked_sub(inputs).map(|made| self.made[made]);
            (first != Some(i)).then_some((i, outcome.given, outcome.bytes))
        };
        self.results.iter().enumerate().filter_map(of)
    }

    /// Runs once, with temporaries in a block that the caller has.
    ///
    /// # Safety
    /// As for [`Program::run_batch`], of one element; the block is live memory of
    /// `scratch` bytes, aligned to [`ALIGN`], that nothing else accesses meanwhile.
    pub(crate) unsafe fn step(
        &self,
        inputs: &[Place],
        outputs: &[Place],
        block: *mut u8,
        pool: Option<&Pool>,
    ) -> Result<()> {
        let made = self.made.iter().map(|result| outputs[*result]);
        let given: SmallVec<[Place; 8]> = inputs.iter().copied().chain(made).collect();
        // SAFETY: by the caller's promise.
        unsafe { self.launch_in(&given, 1, pool, block)? };
        // SAFETY: by the caller's promise.
        unsafe { self.hand_out(inputs.len(), &given, &|i| outputs[i], 1) };
        Ok(())
    }

    /// About how long a run takes, in ns.
    pub(crate) fn time(&self) -> f64 {
        self.time
    }

    /// Runs the steps for so many elements of a batch, with temporaries of its own.
    ///
    /// # Safety
    /// As for [`Program::run_batch`], of what is given: the inputs, then per array made for results
    /// its place.
    unsafe fn launch(&self, given: &[Place], count: usize, pool: Option<&Pool>) -> Result<()> {
        let mut scratch = match self.scratch {
            0 => None,
            bytes => Some(block(bytes.saturating_mul(count))?),
        };
        let block = scratch.as_mut().map_or(std::ptr::null_mut(), address);
        // SAFETY: by the caller's promise; the block is this call's own, with room for each element.
        unsafe { self.launch_in(given, count, pool, block) }
    }

    /// Runs the steps for so many elements of a batch, with temporaries in this block.
    ///
    /// # Safety
    /// As for [`Program::launch`]; the block is live memory of `scratch` bytes for each
    /// element, aligned to [`ALIGN`], that nothing else accesses meanwhile.
    unsafe fn launch_in(&self, given: &[Place], count: usize, pool: Option<&Pool>, block: *mut u8) -> Result<()> {
        let frame = Frame { given, block, count };
        for launch in &self.launches {
            let places = launch.operands.iter().map(|buffer| self.place(*buffer, &frame));
            match &launch.work {
                Work::Function(function) | Work::Loop(function, _) => {
                    let entry = self.code.entry(function.number);
                    // SAFETY: the function was compiled from this step's kernel (a loop or branch calls
                    // those of callees, which it keeps, by the same rules), and the schedule has been
                    // verified: the kernel's operands have the buffers' types and lengths, and a
                    // written one is no input and aliases no other one, its bytes of the block not
                    // being shared while it lives.
                    unsafe { launch::kernel(entry, function, places, count, pool) };
                }
                Work::Products(products) => {
                    // SAFETY: as above.
                    unsafe { launch::contraction(products, places, count, pool) };
                }
                Work::Rows(rows) => {
                    // SAFETY: as above.
                    unsafe { launch::rows(rows, places, count, pool) };
                }
                Work::Print(printer) => {
                    let places: SmallVec<[Place; 8]> = places.collect();
                    for i in 0..count as u64 {
                        let at: SmallVec<[u64; 4]> = places.iter().map(|place| place.at(i).address).collect();
                        // SAFETY: as above, for an element of the batch.
                        unsafe { printer.run(&at)? };
                    }
                }
                Work::Call(call) => {
                    let places: SmallVec<[Place; 8]> = places.collect();
                    // SAFETY: as above.
                    unsafe { call.run(&places, count, pool)? };
                }
                Work::Control(control) => {
                    let places: SmallVec<[Place; 8]> = places.collect();
                    // SAFETY: as above.
                    unsafe { control.run(&places, count, pool)? };
                }
            }
        }
        Ok(())
    }

    /// Where a buffer is in a run.
    fn place(&self, buffer: usize, frame: &Frame<'_>) -> Place {
        match self.homes[buffer] {
            Home::Given(i) => frame.given[i],
            // Every temporary has its share of the block as if there were one element, as many times
            // as there are; they lie side by side at its start.
            Home::Scratch { offset, bytes } => {
                Place { address: frame.block.wrapping_add(offset * frame.count) as u64, stride: bytes as u64 }
            }
            Home::None => unreachable!("every operand has been placed"),
        }
    }

    /// The addresses of the functions it calls, those of callees included.
    pub(crate) fn code(&self) -> Vec<usize> {
        let mut code = Vec::new();
        for launch in &self.launches {
            match &launch.work {
                Work::Function(function) => code.push(self.code.entry(function.number) as usize),
                Work::Loop(function, callees) => {
                    code.push(self.code.entry(function.number) as usize);
                    code.extend(callees.iter().flat_map(|callee| callee.program.code()));
                }
                Work::Products(_) | Work::Rows(_) | Work::Print(_) => {}
                Work::Call(call) => code.extend(call.callee.program.code()),
                Work::Control(control) => code.extend(control.code()),
            }
        }
        code
    }
}

impl Work {
    /// About how long it takes, in ns.
    pub(crate) fn time(&self) -> f64 {
        match self {
            Work::Function(function) | Work::Loop(function, _) => function.time,
            Work::Products(products) => products.time,
            Work::Rows(rows) => rows.time,
            // On the thread that came upon it.
            Work::Print(_) => 0.0,
            Work::Call(call) => call.time(),
            Work::Control(control) => control.time(),
        }
    }
}

/// Memory of so many bytes.
pub(crate) fn block(bytes: usize) -> Result<Array> {
    Array::scratch(Aval::new(Dtype::F64, [bytes.div_ceil(8)]))
}

/// Where an array that has just been made begins.
pub(crate) fn address(array: &mut Array) -> *mut u8 {
    array.as_mut_ptr().expect("nothing else refers to an array that has just been made")
}

/// Gives every temporary its bytes in one block, first fit by lifetime; returns the block's length.
fn place_temporaries(launches: &[Launch], bytes: &[usize], homes: &mut [Home]) -> usize {
    let mut last_use = vec![0; bytes.len()];
    for (i, launch) in launches.iter().enumerate() {
        for buffer in &launch.operands {
            last_use[*buffer] = i;
        }
    }
    // Bytes in use: from, to, and the step that uses them last; by where they begin.
    let mut used: Vec<(usize, usize, usize)> = Vec::new();
    let mut total = 0;
    for (i, launch) in launches.iter().enumerate() {
        used.retain(|(_, _, last)| *last >= i);
        for b in launch.operands.iter().copied() {
            if homes[b] != Home::None {
                continue;
            }
            let each = bytes[b];
            let bytes = each.max(1).next_multiple_of(ALIGN);
            let mut start = 0;
            let mut at = 0;
            for (from, to, _) in &used {
                if start + bytes <= *from {
                    break;
                }
                start = *to;
                at += 1;
            }
            used.insert(at, (start, start + bytes, last_use[b]));
            homes[b] = Home::Scratch { offset: start, bytes: each };
            total = total.max(start + bytes);
        }
    }
    total
}
