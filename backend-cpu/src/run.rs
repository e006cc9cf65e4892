//! Running a compiled schedule.
//!
//! What a run needs is worked out when the schedule is compiled: which steps to launch on which
//! buffers, and where temporaries lie in one block of memory, so that buffers whose lifetimes don't
//! overlap share its bytes. A run allocates the outputs and that block, both recycled, and fills
//! argument blocks on the stack.
#![allow(unsafe_code)]

use crate::contract;
use crate::emit::HEADER;
use crate::jit::{Code, Entry};
use egrad_ir::kernel::{Contract, Run};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Aval, Dtype, Error, Result};
use smallvec::SmallVec;

/// How to run a schedule.
pub(crate) struct Runner {
    launches: Vec<Launch>,
    /// Per buffer where its memory comes from.
    places: Vec<Place>,
    /// Per result what it is.
    results: Vec<Outcome>,
    /// Arrays made for results: their avals.
    made: Vec<Aval>,
    /// Elements of `f64` in the block of temporaries.
    scratch: usize,
    /// What the entries of `launches` point into.
    _code: Code,
}

/// A kernel to launch.
pub(crate) struct Launch {
    pub(crate) work: Work,
    /// The buffers it is launched on.
    pub(crate) operands: Vec<usize>,
}

/// What a launch does.
pub(crate) enum Work {
    /// Calls a compiled function for all of the outermost axis.
    Call {
        /// Its number in the code.
        function: usize,
        /// The extent of the outermost domain axis.
        extent: usize,
    },
    /// Calls `gemm`.
    Contract(Box<Contract>),
}

/// Where a buffer's memory comes from.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// An input.
    Input(usize),
    /// An array made for a result.
    Made(usize),
    /// This many bytes into the block of temporaries.
    Scratch(usize),
    /// Nobody needs it.
    None,
}

/// What a result is.
enum Outcome {
    /// An input, perhaps under another shape.
    Input(usize),
    /// An array made for it.
    Made(usize),
}

/// Temporaries begin at multiples of this many bytes.
const ALIGN: usize = 64;

impl Runner {
    /// Plans the runs of a verified schedule.
    pub(crate) fn new(schedule: &Schedule, launches: Vec<Launch>, code: Code) -> Runner {
        let mut places = vec![Place::None; schedule.buffers.len()];
        for (i, (id, _)) in schedule.inputs.iter().enumerate() {
            places[id.index()] = Place::Input(i);
        }
        let mut made = Vec::new();
        let mut results = Vec::new();
        for (id, aval) in &schedule.outputs {
            let place = &mut places[id.index()];
            if *place == Place::None {
                *place = Place::Made(made.len());
                made.push(aval.clone());
            }
            results.push(match *place {
                Place::Input(i) => Outcome::Input(i),
                Place::Made(i) => Outcome::Made(i),
                Place::Scratch(_) | Place::None => unreachable!("no temporaries yet"),
            });
        }
        let bytes = place_temporaries(schedule, &mut places);
        Runner { launches, places, results, made, scratch: bytes.div_ceil(8), _code: code }
    }

    /// Runs on inputs of the schedule's avals.
    pub(crate) fn run(&self, schedule: &Schedule, inputs: &[&Array]) -> Result<Run> {
        let fit = inputs.len() == schedule.inputs.len()
            && inputs.iter().zip(&schedule.inputs).all(|(x, (_, aval))| x.aval() == aval);
        if !fit {
            return Err(Error::internal("the inputs are not those the schedule was compiled for"));
        }
        let mut made: SmallVec<[Array; 4]> = SmallVec::new();
        for aval in &self.made {
            made.push(Array::scratch(aval.clone())?);
        }
        let mut scratch = match self.scratch {
            0 => None,
            n => Some(Array::scratch(Aval::new(Dtype::F64, [n]))?),
        };
        let block = scratch.as_mut().map_or(std::ptr::null_mut(), address);
        let made_at: SmallVec<[*mut u8; 4]> = made.iter_mut().map(address).collect();
        let mut arguments: SmallVec<[u64; 16]> = SmallVec::new();
        for launch in &self.launches {
            arguments.clear();
            arguments.extend([0, 0]);
            arguments.extend(launch.operands.iter().map(|buffer| match self.places[*buffer] {
                Place::Input(i) => inputs[i].as_ptr() as u64,
                Place::Made(i) => made_at[i] as u64,
                Place::Scratch(offset) => block.wrapping_add(offset) as u64,
                Place::None => unreachable!("every operand has been placed"),
            }));
            match &launch.work {
                Work::Call { function, extent } => {
                    arguments[1] = *extent as u64;
                    // SAFETY: the function was compiled from a kernel of this schedule, and reads a
                    // header and one address per operand from the block, which `arguments` is. The
                    // verifier has checked that every index the kernel makes is below its operand's
                    // length; the addresses are those of live memory of at least that length and
                    // aligned to the element type: inputs, borrowed for this call and of the avals
                    // just checked, which the kernel only reads; results and temporaries that this
                    // call made and nothing else refers to. A written operand aliases no other one:
                    // it is no input, and its bytes of the block are not shared while it lives.
                    unsafe { call(self._code.entry(*function), arguments.as_ptr()) };
                }
                Work::Contract(contract) => {
                    // SAFETY: as above.
                    unsafe { contract::run(contract, &arguments[HEADER..]) };
                }
            }
        }
        let mut outputs = SmallVec::new();
        for (outcome, (_, aval)) in self.results.iter().zip(&schedule.outputs) {
            let array = match outcome {
                Outcome::Input(i) => inputs[*i],
                Outcome::Made(i) => &made[*i],
            };
            outputs.push(if array.aval() == aval { array.clone() } else { array.reshape(aval.shape.clone())? });
        }
        Ok(Run { outputs, dispatches: self.launches.len() })
    }
}

/// Where an array that has just been made begins.
fn address(array: &mut Array) -> *mut u8 {
    array.as_mut_ptr().expect("nothing else refers to an array that has just been made")
}

/// Calls a compiled kernel.
///
/// # Safety
/// As the kernel demands of its argument block.
unsafe fn call(entry: Entry, arguments: *const u64) {
    // Code before us may have left the upper halves of the vector registers dirty, which makes
    // every 128-bit instruction depend on them.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the machine has the instruction; callees may clobber the vector registers, and
        // the upper halves hold nothing anyone preserved.
        unsafe {
            std::arch::asm!("vzeroupper", options(nostack, nomem, preserves_flags), out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _)
        };
    }
    // SAFETY: by the caller's promise.
    unsafe { entry(arguments) }
}

/// Gives every temporary its bytes in one block, first fit by lifetime; returns the block's length.
fn place_temporaries(schedule: &Schedule, places: &mut [Place]) -> usize {
    let mut last_use = vec![0; schedule.buffers.len()];
    for (i, step) in schedule.steps.iter().enumerate() {
        for buffer in &step.operands {
            last_use[buffer.index()] = i;
        }
    }
    // Bytes in use: from, to, and the step that uses them last; by where they begin.
    let mut used: Vec<(usize, usize, usize)> = Vec::new();
    let mut total = 0;
    for (i, step) in schedule.steps.iter().enumerate() {
        used.retain(|(_, _, last)| *last >= i);
        for buffer in &step.operands {
            let b = buffer.index();
            if places[b] != Place::None {
                continue;
            }
            let info = &schedule.buffers[b];
            let bytes = (info.len * info.dtype.bytes()).max(1).next_multiple_of(ALIGN);
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
            places[b] = Place::Scratch(start);
            total = total.max(start + bytes);
        }
    }
    total
}
