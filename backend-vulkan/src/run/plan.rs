//! How a schedule runs: launches, the barriers between them, and where temporaries lie.
//!
//! A temporary has a place from the launch that first writes it to the last that uses it, or as long as
//! a loop runs that it outlives a step of (`live`). Its memory serves the next one as soon as a barrier
//! lies between, so that using memory again never makes launches wait that needn't. A barrier lies at
//! the beginning of every step of a loop and after the last, and around branches.

use super::live::{Event, Lives};
use crate::device::Context;
use crate::memory::{Layout, Place};
use crate::pipeline::Pipeline;
use crate::spirv::{self, Module};
use crate::spread::{self, Binding, Counters, Memory, Moves, Node, Spread};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Aval, Dtype, Error, Result};
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How a schedule runs.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) launches: Vec<Launch>,
    /// In which order they run, and how often.
    pub(super) nodes: Vec<Node<Asked>>,
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
    pub(super) push: [u32; spirv::PUSHED],
    /// How many counters its shader is told.
    pub(super) counters: usize,
    /// For which values of the counters it is.
    pub(super) when: Counters,
    /// Whether it must not begin before the earlier ones are over.
    pub(crate) waits: bool,
}

/// Elements the host must know to go on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) home: Home,
    /// Where they begin if no counter moves them.
    pub(super) start: u64,
    pub(super) bytes: u64,
    /// In elements of `width` bytes.
    pub(super) moves: Moves,
    pub(super) width: usize,
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
}

impl Buffer {
    /// Where that part of it is, elements of that many bytes, once it has a place.
    fn part(&self, binding: &Binding, when: &Counters, width: usize) -> Option<Bound> {
        let (home, offset) = self.home?;
        let start = offset + binding.first as u64 * width as u64;
        Some(Bound { home, bytes: start..start + (binding.reach(when) as u64 * width as u64).max(1) })
    }
}

/// A launch on buffers of the plan.
struct Use<'a> {
    launch: &'a spread::Launch,
    /// Per buffer of its shader: the binding, which buffer, bytes of an element, whether it is written.
    bound: Vec<(&'a Binding, usize, usize, bool)>,
}

impl Plan {
    /// The plan, without pipelines yet.
    pub(crate) fn new(context: &Context, schedule: &Schedule, spread: &[Spread], modules: &[Module]) -> Result<Plan> {
        let mut plan = Plan::default();
        let size = |b: &egrad_ir::schedule::Buffer| b.len as u64 * b.dtype.bytes() as u64;
        let buffer = |bytes| Buffer { bytes, home: None, place: None };
        let mut buffers: Vec<Buffer> = schedule.buffers.iter().map(|b| buffer(size(b))).collect();
        let mut uses: Vec<Use<'_>> = Vec::new();
        let mut nodes = Vec::new();
        for (step, spread) in schedule.steps.iter().zip(spread) {
            let scratch = buffers.len();
            buffers.extend(spread.scratch.iter().map(|b| buffer(size(b))));
            let index = |memory: Memory| match memory {
                Memory::Operand(i) => step.operands[i].index(),
                Memory::Scratch(i) => scratch + i,
            };
            let first = uses.len();
            let numbered = |node: &Node| {
                let answer = |a: spread::Answer| Ok((index(a.at.memory), a));
                node.clone().map(&|range| range.start + first..range.end + first, &answer)
            };
            nodes.extend(spread.nodes.iter().map(numbered).collect::<Result<Vec<_>>>()?);
            for launch in &spread.launches {
                let operands = launch.bindings.iter().zip(&launch.kernel.operands);
                let operands = operands.map(|(b, o)| (b, index(b.memory), o.dtype.bytes(), o.written));
                let guard = launch.guard.iter().map(|g| (&g.flags, index(g.flags.memory), Dtype::I32.bytes(), false));
                uses.push(Use { launch, bound: operands.chain(guard).collect() });
            }
        }
        let touched = |launch: usize| uses[launch].bound.iter().map(|(_, buffer, ..)| *buffer);
        let lives = Lives::of(&nodes, buffers.len(), &|launch| touched(launch).collect());
        plan.name_results(schedule, &mut buffers, &lives.used);
        plan.place(context, &lives, &mut buffers, &uses, modules)?;
        let asked = |(buffer, answer): (usize, spread::Answer)| {
            let width = answer.dtype.bytes();
            let bound = buffers[buffer].part(&answer.at, &Counters::new(), width);
            let Bound { home, bytes } = bound.ok_or_else(|| Error::internal("an answer without a place"))?;
            Ok(Asked { home, start: bytes.start, bytes: bytes.end - bytes.start, moves: answer.at.moves, width })
        };
        plan.nodes = nodes.into_iter().map(|node| node.map(&|range| range, &asked)).collect::<Result<_>>()?;
        Ok(plan)
    }

    /// Gives temporaries their places, and launches their barriers.
    fn place(
        &mut self,
        context: &Context,
        lives: &Lives,
        buffers: &mut [Buffer],
        uses: &[Use<'_>],
        modules: &[Module],
    ) -> Result<()> {
        let alignment = context.caps.alignment;
        let mut launches: Vec<Option<Launch>> = uses.iter().map(|_| None).collect();
        let mut accesses = Accesses::default();
        // Places whose buffers are dead, but not yet behind a barrier.
        let mut dead: Vec<Place> = Vec::new();
        for (at, event) in lives.events.iter().enumerate() {
            let mut waits = matches!(event, Event::Wait);
            if let Event::Launch(i) = event {
                let mut known = uses[*i].bound.iter().filter_map(|(binding, buffer, width, written)| {
                    Some((buffers[*buffer].part(binding, &uses[*i].launch.when, *width)?, *written))
                });
                waits = known.any(|(bound, written)| accesses.conflict(&bound, written));
            }
            if waits {
                accesses.made.clear();
                dead.drain(..).for_each(|place| self.temporaries.give(place));
            }
            for i in &lives.begin[at] {
                let buffer = &mut buffers[*i];
                if buffer.home.is_some() {
                    continue;
                }
                let place = self.temporaries.place(buffer.bytes, alignment);
                buffer.home = Some((Home::Temporary(place.slab), place.offset));
                buffer.place = Some(place);
            }
            if let Event::Launch(i) = event {
                let Use { launch, bound } = &uses[*i];
                let part = |(binding, buffer, width, _): &(&Binding, usize, usize, bool)| {
                    let bound = buffers[*buffer].part(binding, &launch.when, *width);
                    bound.ok_or_else(|| Error::internal("a buffer without a place"))
                };
                let operands: Vec<Bound> = bound.iter().map(part).collect::<Result<_>>()?;
                operands.iter().zip(bound).for_each(|(part, (.., written))| accesses.note(part, *written));
                let (groups, push) = grid(context, &modules[*i])?;
                let (counters, when) = (modules[*i].counters, launch.when.clone());
                launches[*i] = Some(Launch { operands, groups, push, counters, when, waits });
            }
            dead.extend(lives.end[at].iter().filter_map(|i| buffers[*i].place.take()));
        }
        let launches: Option<_> = launches.into_iter().collect();
        self.launches = launches.ok_or_else(|| Error::internal("a launch that nothing runs"))?;
        Ok(())
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
fn grid(context: &Context, module: &Module) -> Result<([u32; 2], [u32; spirv::PUSHED])> {
    let caps = &context.caps;
    let groups = module.points.div_ceil(u64::from(module.per_group));
    let x = groups.min(u64::from(caps.groups[0])).max(1);
    let y = groups.div_ceil(x);
    // Numbers of points are computed in 32 bits, for the whole of the last row.
    if y > u64::from(caps.groups[1]) || y * x * u64::from(module.per_group) > u64::from(u32::MAX) {
        let (name, points) = (&context.info.name, module.points);
        return Err(Error::device(format!("`{name}` can't run a kernel over {points} points in one launch")));
    }
    Ok(([x as u32, y as u32], [module.points as u32, x as u32]))
}
