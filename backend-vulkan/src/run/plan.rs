//! How a schedule runs: launches, the barriers between them, and where temporaries lie.
//!
//! A temporary has a place from the launch that first writes it to the last that uses it. Its
//! memory serves the next one as soon as a barrier lies between, so that using memory again never
//! makes launches wait that needn't.

use crate::device::Context;
use crate::memory::{Layout, Place};
use crate::pipeline::Pipeline;
use crate::spirv::{self, Module};
use crate::spread::{Memory, Spread};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Aval, Error, Result};
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How a schedule runs.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) launches: Vec<Launch>,
    /// A pipeline per launch.
    pub(super) pipelines: Vec<Arc<Pipeline>>,
    /// Memory for what lives during a run alone.
    pub(crate) temporaries: Layout,
    /// The positions of the inputs some kernel reads.
    pub(super) inputs: Vec<usize>,
    /// Buffers that are results and no inputs, each once.
    pub(super) outputs: Vec<Aval>,
    /// Per result what it is.
    pub(super) results: Vec<Source>,
}

/// A launch of a kernel.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(super) operands: Vec<Bound>,
    pub(super) groups: [u32; 2],
    pub(super) push: [u8; spirv::PUSH_BYTES as usize],
    /// Whether it must not begin before the earlier ones are over.
    pub(crate) waits: bool,
}

#[cfg(test)]
impl Launch {
    /// Where its operands are.
    pub(crate) fn homes(&self) -> Vec<Home> {
        self.operands.iter().map(|bound| bound.home).collect()
    }
}

/// Part of the memory of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) home: Home,
    pub(crate) bytes: Range<u64>,
}

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Home {
    /// The array of that position in [`Plan::inputs`].
    Input(usize),
    /// The array of that position in [`Plan::outputs`].
    Output(usize),
    /// The temporaries' slab of that position.
    Temporary(usize),
}

/// What a result is.
pub(super) enum Source {
    /// The input of that position.
    Input(usize),
    /// The output of that position.
    Output(usize),
    /// Nothing: it has no elements.
    Empty,
}

/// What launches access since the last barrier.
#[derive(Default)]
struct Accesses {
    made: HashMap<Home, Vec<(Range<u64>, bool)>>,
}

impl Accesses {
    /// Whether an access must wait for one of these: one of the two writes what both access.
    fn conflict(&self, bound: &Bound, writes: bool) -> bool {
        let meets = |(bytes, wrote): &(Range<u64>, bool)| {
            (writes || *wrote) && bytes.start < bound.bytes.end && bound.bytes.start < bytes.end
        };
        self.made.get(&bound.home).is_some_and(|made| made.iter().any(meets))
    }

    fn note(&mut self, bound: &Bound, writes: bool) {
        self.made.entry(bound.home).or_default().push((bound.bytes.clone(), writes));
    }
}

/// A buffer in the making of a plan.
#[derive(Clone)]
struct Buffer {
    bytes: u64,
    /// Where it is, once it has a place.
    home: Option<(Home, u64)>,
    /// The place of a temporary.
    place: Option<Place>,
    /// The last launch that uses it.
    last: usize,
}

impl Plan {
    /// The plan, without pipelines yet.
    pub(crate) fn new(context: &Context, schedule: &Schedule, spread: &[Spread], modules: &[Module]) -> Result<Plan> {
        let mut plan = Plan::default();
        let size = |b: &egrad_ir::schedule::Buffer| b.len as u64 * b.dtype.bytes() as u64;
        let buffer = |bytes| Buffer { bytes, home: None, place: None, last: 0 };
        let mut buffers: Vec<Buffer> = schedule.buffers.iter().map(|b| buffer(size(b))).collect();
        // Per step its scratch buffers, from there on in `buffers`.
        let mut scratch = Vec::new();
        for spread in spread {
            scratch.push(buffers.len());
            buffers.extend(spread.scratch.iter().map(|b| buffer(size(b))));
        }
        let steps = || schedule.steps.iter().zip(spread).zip(&scratch);
        let launches = || steps().flat_map(|((step, s), first)| s.launches.iter().map(move |l| (step, l, *first)));
        let index = |(step, first): (&egrad_ir::schedule::Step, usize), memory: Memory| match memory {
            Memory::Operand(i) => step.operands[i].index(),
            Memory::Scratch(i) => first + i,
        };
        let mut used = vec![false; buffers.len()];
        for (at, (step, launch, first)) in launches().enumerate() {
            for binding in &launch.bindings {
                let i = index((step, first), binding.memory);
                buffers[i].last = at;
                used[i] = true;
            }
        }
        plan.name_results(schedule, &mut buffers, &used);

        let alignment = context.caps.alignment;
        let mut accesses = Accesses::default();
        // Places whose buffers are dead, but not yet behind a barrier.
        let mut dead: Vec<Place> = Vec::new();
        for ((at, (step, launch, first)), module) in launches().enumerate().zip(modules) {
            let operands = || launch.bindings.iter().zip(&launch.kernel.operands);
            let part = |buffer: &Buffer, binding: &crate::spread::Binding, width: usize| {
                let (home, offset) = buffer.home?;
                let start = offset + binding.first as u64 * width as u64;
                Some(Bound { home, bytes: start..start + (binding.len as u64 * width as u64).max(1) })
            };
            let waits = operands().any(|(binding, operand)| {
                let known = part(&buffers[index((step, first), binding.memory)], binding, operand.dtype.bytes());
                known.is_some_and(|bound| accesses.conflict(&bound, operand.written))
            });
            if waits {
                accesses.made.clear();
                dead.drain(..).for_each(|place| plan.temporaries.give(place));
            }
            let mut bounds = Vec::new();
            for (binding, operand) in operands() {
                let buffer = &mut buffers[index((step, first), binding.memory)];
                if buffer.home.is_none() {
                    let place = plan.temporaries.place(buffer.bytes, alignment);
                    buffer.home = Some((Home::Temporary(place.slab), place.offset));
                    buffer.place = Some(place);
                }
                let bound = part(buffer, binding, operand.dtype.bytes());
                bounds.push(bound.ok_or_else(|| Error::internal("a buffer without a place"))?);
            }
            for (bound, (_, operand)) in bounds.iter().zip(operands()) {
                accesses.note(bound, operand.written);
            }
            for binding in &launch.bindings {
                let buffer = &mut buffers[index((step, first), binding.memory)];
                if buffer.last == at {
                    dead.extend(buffer.place.take());
                }
            }
            let (groups, push) = grid(context, module)?;
            plan.launches.push(Launch { operands: bounds, groups, push, waits });
        }
        Ok(plan)
    }

    /// Which buffers are inputs and results.
    fn name_results(&mut self, schedule: &Schedule, buffers: &mut [Buffer], used: &[bool]) {
        for (at, (id, _)) in schedule.inputs.iter().enumerate() {
            if used[id.index()] {
                buffers[id.index()].home = Some((Home::Input(self.inputs.len()), 0));
                self.inputs.push(at);
            }
        }
        for (id, aval) in &schedule.outputs {
            let buffer = &mut buffers[id.index()];
            let source = match schedule.inputs.iter().position(|(i, _)| i == id) {
                Some(input) => Source::Input(input),
                // Nobody need write what has no elements.
                None if aval.shape.size() == 0 && !used[id.index()] => Source::Empty,
                None => match buffer.home {
                    Some((Home::Output(i), _)) => Source::Output(i),
                    Some((Home::Input(_) | Home::Temporary(_), _)) | None => {
                        buffer.home = Some((Home::Output(self.outputs.len()), 0));
                        self.outputs.push(aval.clone());
                        Source::Output(self.outputs.len() - 1)
                    }
                },
            };
            self.results.push(source);
        }
    }

    /// Compiles the launches' modules.
    pub(crate) fn compile(&mut self, context: &Arc<Context>, modules: &[Module]) -> Result<()> {
        self.pipelines = super::pipelines(context, modules)?;
        Ok(())
    }
}

/// Workgroups along two axes for the module's points, and the push constants that tell them which
/// are theirs. One axis may have as few as 65,535 workgroups; two have more than a launch has
/// points.
fn grid(context: &Context, module: &Module) -> Result<([u32; 2], [u8; spirv::PUSH_BYTES as usize])> {
    let caps = &context.caps;
    let groups = module.points.div_ceil(u64::from(module.per_group));
    let x = groups.min(u64::from(caps.groups[0])).max(1);
    let y = groups.div_ceil(x);
    // Numbers of points are computed in 32 bits, for the whole of the last row.
    if y > u64::from(caps.groups[1]) || y * x * u64::from(module.per_group) > u64::from(u32::MAX) {
        let (name, points) = (&context.info.name, module.points);
        return Err(Error::device(format!("`{name}` can't run a kernel over {points} points in one launch")));
    }
    let mut push = [0; spirv::PUSH_BYTES as usize];
    push[..4].copy_from_slice(&(module.points as u32).to_ne_bytes());
    push[4..].copy_from_slice(&(x as u32).to_ne_bytes());
    Ok(([x as u32, y as u32], push))
}
