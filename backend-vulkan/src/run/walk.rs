//! Running the launches of a plan: recorded, submitted, and looked after where the device decides.
//!
//! A walk goes along the plan's tree, counts the steps of its loops, and records a launch for each of
//! them; a step adds commands, and nothing else. Command buffers hold so many launches and a walk has
//! so many of them, which it uses again when the device is done: a long loop takes no more memory than
//! a short one. Where the device decides what is next, the walk submits, waits, and reads that.
#![allow(unsafe_code)]

use super::plan::{Asked, Home, Launch, Plan};
use crate::commands::{Actor, Commands};
use crate::device::Context;
use crate::memory::{Ring, Spot};
use crate::queue::Commanded;
use crate::spread::{Asks, Node, Repeat, While};
use ash::vk;
use egrad_ir::{Error, Result};
use smallvec::SmallVec;
use std::sync::Arc;

/// Launches in a command buffer.
pub(super) const MOST: usize = 512;

/// Command buffers of a walk: the device works on some while another one is recorded.
const BUFFERS: usize = 3;

/// Steps of a loop that ends by a condition, guarded and submitted together: at first, and at most.
const STEPS: [usize; 2] = [4, 64];

/// Bytes of host memory for what the device decides.
const ANSWERS: u64 = 64;

/// Launches of these nodes, each as often as it runs; `None` where the device decides.
pub(super) fn count(nodes: &[Node<Asked>]) -> Option<usize> {
    nodes.iter().try_fold(0usize, |all, node| {
        let own = match node {
            Node::Launches(range) => range.len(),
            Node::Repeat(repeat) => count(&repeat.body)?.saturating_mul(repeat.length),
            Node::While(_) | Node::Switch(..) => return None,
        };
        Some(all.saturating_add(own))
    })
}

/// What a run of a plan works with.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    /// Per launch its descriptors.
    pub(super) sets: &'a [vk::DescriptorSet],
    pub(super) commands: &'a mut Vec<Commands>,
    pub(super) answers: &'a mut Option<Ring>,
    /// Where everything is.
    pub(super) spot: &'a dyn Fn(Home) -> Spot,
    /// Told the timeline's value up to which everything is used.
    pub(super) used: &'a dyn Fn(u64),
    pub(super) context: &'a Arc<Context>,
    state: State,
}

/// How far a walk is.
#[derive(Default)]
struct State {
    counters: Vec<usize>,
    /// Which of the command buffers is being recorded.
    current: usize,
    /// How many launches are in it.
    recorded: usize,
    /// Whether something was launched since the last barrier.
    dirty: bool,
    /// Whether the next launch waits for those before, as one did that was left out.
    owed: bool,
    launches: usize,
    /// The timeline's value at which what was submitted is over.
    value: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        sets: &'a [vk::DescriptorSet],
        (commands, answers): (&'a mut Vec<Commands>, &'a mut Option<Ring>),
        spot: &'a dyn Fn(Home) -> Spot,
        used: &'a dyn Fn(u64),
        context: &'a Arc<Context>,
    ) -> Walk<'a> {
        Walk { plan, sets, commands, answers, spot, used, context, state: State::default() }
    }

    /// Records all launches in the command buffer being recorded, the first, which they fit; says how
    /// many there are.
    pub(super) fn record(&mut self) -> Result<usize> {
        self.nodes(&self.plan.nodes)?;
        Ok(self.state.launches)
    }

    /// Runs all launches; says which value the timeline has when they are over, and how many there were.
    pub(super) fn run(&mut self, shared: bool) -> Result<(u64, usize)> {
        self.begin()?;
        self.nodes(&self.plan.nodes)?;
        if shared {
            self.buffer().barrier(Actor::Kernels, Actor::Host);
        }
        self.submit()?;
        Ok((self.state.value, self.state.launches))
    }

    fn failed(&self) -> impl Fn(vk::Result) -> Error + use<'a> {
        let context = self.context;
        move |e| context.error("run a loop", e)
    }

    fn buffer(&self) -> &Commands {
        &self.commands[self.state.current]
    }

    /// Begins to record a command buffer that the device is done with.
    fn begin(&mut self) -> Result<()> {
        let failed = self.failed();
        if self.state.current == self.commands.len() {
            self.commands.push(Commands::new(self.context).map_err(&failed)?);
        }
        let buffer = &mut self.commands[self.state.current];
        self.context.wait(buffer.until).map_err(&failed)?;
        buffer.begin().map_err(failed)?;
        (self.state.recorded, self.state.dirty, self.state.owed) = (0, false, false);
        Ok(())
    }

    /// Submits what was recorded.
    fn submit(&mut self) -> Result<()> {
        let failed = self.failed();
        let buffer = &mut self.commands[self.state.current];
        buffer.end().map_err(&failed)?;
        // SAFETY: the commands are recorded and not in flight: they were waited for before. All they use
        // is the frame's, or the run's inputs and outputs, each of which `used` tells until when.
        self.state.value = unsafe { buffer.submit() }.map_err(failed)?;
        (self.used)(self.state.value);
        self.state.current = (self.state.current + 1) % BUFFERS;
        Ok(())
    }

    /// A barrier, if something was launched since the last one.
    fn barrier(&mut self) {
        if self.state.dirty {
            self.buffer().barrier(Actor::Kernels, Actor::Kernels);
        }
        (self.state.dirty, self.state.owed) = (false, false);
    }

    fn nodes(&mut self, nodes: &[Node<Asked>]) -> Result<()> {
        for node in nodes {
            match node {
                Node::Launches(range) => {
                    for at in range.clone() {
                        self.launch(at)?;
                    }
                }
                Node::Repeat(repeat) => self.repeat(repeat)?,
                Node::While(w) => self.go_on(w)?,
                Node::Switch(index, branches) => {
                    let index = i32::from_ne_bytes(self.ask(index)?[..4].try_into().unwrap_or_default());
                    let last = branches.len() - 1;
                    self.nodes(&branches[usize::try_from(index).map_or(0, |i| i.min(last))])?;
                    self.barrier();
                }
            }
        }
        Ok(())
    }

    fn repeat(&mut self, Repeat { counter, length, reverse, carries, body }: &Repeat<Asked>) -> Result<()> {
        for step in 0..*length {
            self.barrier();
            self.state.counters.truncate(*counter);
            self.state.counters.push(if *reverse { length - 1 - step } else { step });
            if *carries {
                self.state.counters.extend([step % 2, 1 - step % 2]);
            }
            self.nodes(body)?;
        }
        self.state.counters.truncate(*counter);
        self.barrier();
        Ok(())
    }

    /// A loop that ends by a condition.
    fn go_on(&mut self, w: &While<Asked>) -> Result<()> {
        let counter = w.counter;
        let mut place = 0;
        let at = |walk: &mut Self, place: usize| {
            walk.barrier();
            walk.state.counters.truncate(counter);
            walk.state.counters.extend([place, 1 - place]);
        };
        match &w.asks {
            Asks::EveryStep(more) => loop {
                at(self, place);
                self.nodes(&w.cond)?;
                if self.ask(more)?[0] == 0 {
                    break;
                }
                self.nodes(&w.body)?;
                place = 1 - place;
            },
            Asks::AfterSteps(state) => {
                let each = count(&w.cond).zip(count(&w.body)).map_or(MOST, |(cond, body)| cond + body);
                let [mut steps, most] = STEPS.map(|steps| steps.min(MOST / each.max(1)).max(1));
                loop {
                    for _ in 0..steps {
                        at(self, place);
                        self.nodes(&w.cond)?;
                        self.nodes(&w.body)?;
                        place = 1 - place;
                    }
                    let [on @ .., a, b, c, d] = self.ask(state)?;
                    if on == [0; 4] {
                        place = (u32::from_ne_bytes([a, b, c, d]) % 2) as usize;
                        break;
                    }
                    steps = most.min(2 * steps);
                }
            }
        }
        at(self, place);
        self.nodes(&w.after)?;
        self.state.counters.truncate(counter);
        Ok(())
    }

    /// What the device computed of that: submits all there is, and waits.
    fn ask(&mut self, asked: &Asked) -> Result<[u8; 8]> {
        let failed = self.failed();
        if self.answers.is_none() {
            *self.answers = Some(Ring::new(self.context, ANSWERS)?);
        }
        let Some(ring) = self.answers.as_mut() else { return Err(Error::internal("no memory for answers")) };
        let (piece, address) = ring.take(self.context, 8)?;
        let spot = (self.spot)(asked.home);
        let moved = asked.moves.at(&self.state.counters) * asked.width as isize;
        let offset = (spot.offset + asked.start).strict_add_signed(moved as i64);
        let buffer = self.buffer();
        buffer.barrier(Actor::Kernels, Actor::Copies);
        buffer.copy(Spot { offset, ..spot }, piece, asked.bytes);
        buffer.barrier(Actor::Copies, Actor::Host);
        let submitted = self.submit();
        if let Some(ring) = self.answers.as_mut() {
            match submitted {
                Ok(()) => ring.submitted(self.state.value),
                Err(_) => ring.cancel(),
            }
        }
        submitted?;
        self.context.wait(self.state.value).map_err(failed)?;
        let mut answer = [0; 8];
        // SAFETY: the piece has eight bytes, of which the device has just written some, and which nobody
        // else uses; `answer` has as many.
        unsafe { std::ptr::copy_nonoverlapping(address.as_ptr(), answer.as_mut_ptr(), answer.len()) };
        self.begin()?;
        Ok(answer)
    }

    /// Records a launch, if it is one for this step.
    fn launch(&mut self, at: usize) -> Result<()> {
        let plan = self.plan;
        let launch = &plan.launches[at];
        self.state.owed |= launch.waits;
        let steps = launch.when.iter().zip(&self.state.counters);
        if steps.into_iter().any(|(when, value)| !when.contains(value)) {
            return Ok(());
        }
        if self.state.recorded == MOST {
            self.submit()?;
            self.begin()?;
        }
        if self.state.owed {
            self.barrier();
        }
        self.dispatch(launch, at);
        self.state.dirty = true;
        self.state.recorded += 1;
        self.state.launches += 1;
        Ok(())
    }

    fn dispatch(&self, launch: &Launch, at: usize) {
        let (device, commands) = (&self.context.raw, self.buffer().raw);
        let pipeline = &self.plan.pipelines[at];
        let (compute, layout) = (vk::PipelineBindPoint::COMPUTE, pipeline.layout);
        let counters = self.state.counters.iter().take(launch.counters).map(|value| *value as u32);
        let push: SmallVec<[u8; 32]> = launch.push.iter().copied().chain(counters).flat_map(u32::to_ne_bytes).collect();
        let [x, y] = launch.groups;
        // SAFETY: the commands are being recorded; pipeline, layout and set fit each other, are alive,
        // and stay so as long as the frame; the push constants fill the layout's range: a launch's
        // shader is told no more counters than there are loops around it; the group counts are within
        // the device's limits (`grid`).
        unsafe {
            device.cmd_bind_pipeline(commands, compute, pipeline.raw);
            device.cmd_bind_descriptor_sets(commands, compute, layout, 0, &[self.sets[at]], &[]);
            device.cmd_push_constants(commands, layout, vk::ShaderStageFlags::COMPUTE, 0, &push);
            device.cmd_dispatch(commands, x, y, 1);
        }
    }
}

/// The latest value up to which one of the command buffers is in flight.
pub(super) fn until(commands: &[Commands]) -> u64 {
    commands.iter().map(|c| c.until).max().unwrap_or(0)
}

/// Begins the first command buffer.
pub(super) fn begin_first(commands: &mut [Commands]) -> Commanded<()> {
    commands.iter_mut().take(1).try_for_each(Commands::begin)
}
