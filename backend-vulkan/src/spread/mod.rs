//! How a kernel is spread over a device: the launches it takes, how invocations share the work of
//! each, and the memory in between.
//!
//! ```text
//! kernel ── tree ──▶ ── split ──▶ ── window ──▶ ── form ──▶ launches: a kernel, its form, its bindings
//! ```
//!
//! Calls become their kernels over a batch (`batch`), loops and branches a tree of launches
//! (`control`). Every step is from kernel IR to kernel IR, so that the reference interpreter of kernels
//! tells whether it is right; what a launch's kernel means is what it means anywhere.

mod batch;
mod control;
#[cfg(test)]
mod control_tests;
mod form;
#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod machine_tests;
mod rows;
mod split;
#[cfg(test)]
mod tests;
mod tree;
mod window;

pub(crate) use form::{Cooperative, Form, Tile, across, iterations, tile_iterations};
pub(crate) use split::Worth;

use crate::device::Caps;
use egrad_ir::kernel::Kernel;
use egrad_ir::schedule::Buffer;
use egrad_ir::{Dtype, Result};
use smallvec::SmallVec;
use std::ops::Range;
use tree::Expansion;
use window::Limits;

/// What one kernel becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) launches: Vec<Launch>,
    /// In which order launches run, and how often.
    pub(crate) nodes: Vec<Node>,
    /// Buffers between the launches.
    pub(crate) scratch: Vec<Buffer>,
}

/// What runs.
///
/// Loops have *counters*, numbered from the outermost loop inwards: who runs the launches counts, and
/// tells the launches inside, whose [`Binding`]s depend on them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<A = Answer> {
    /// [`Spread::launches`], one after the other.
    Launches(Range<usize>),
    /// A loop of known length.
    Repeat(Repeat<A>),
    /// A loop that ends by what the device computes.
    While(While<A>),
    /// What the device computes says which branch: `i32`, out of range the nearest.
    Switch(A, Vec<Vec<Node<A>>>),
}

/// A loop of known length, whose counter is the step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Repeat<A> {
    pub(crate) counter: usize,
    pub(crate) length: usize,
    /// Whether the counter goes down.
    pub(crate) reverse: bool,
    /// Whether something is carried: the next two counters are then the place it is read from, 0 in
    /// the first step and the other one in every next, and the place it is written to.
    pub(crate) carries: bool,
    pub(crate) body: Vec<Node<A>>,
}

/// A loop that ends by what the device computes. Its two counters are the places that what is carried
/// is read from and written to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct While<A> {
    pub(crate) counter: usize,
    pub(crate) cond: Vec<Node<A>>,
    pub(crate) body: Vec<Node<A>>,
    /// Once after the loop, with the counters of a step that there is not.
    pub(crate) after: Vec<Node<A>>,
    pub(crate) asks: Asks<A>,
}

/// How whoever runs a [`While`] learns whether there is another step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asks<A> {
    /// After `cond`, before every step: a bool.
    EveryStep(A),
    /// After any number of steps, of which those beyond the last do nothing: two `i32`, whether there
    /// may be more, and how many there were.
    AfterSteps(A),
}

impl<A> Node<A> {
    /// The same, with other numbers of launches and other answers.
    ///
    /// # Errors
    /// Those of `answer`.
    pub(crate) fn map<B>(
        self,
        launches: &dyn Fn(Range<usize>) -> Range<usize>,
        answer: &dyn Fn(A) -> Result<B>,
    ) -> Result<Node<B>> {
        let all = |nodes: Vec<Node<A>>| -> Result<Vec<Node<B>>> {
            nodes.into_iter().map(|node| node.map(launches, answer)).collect()
        };
        Ok(match self {
            Node::Launches(range) => Node::Launches(launches(range)),
            Node::Repeat(Repeat { counter, length, reverse, carries, body }) => {
                Node::Repeat(Repeat { counter, length, reverse, carries, body: all(body)? })
            }
            Node::While(While { counter, cond, body, after, asks }) => {
                let asks = match asks {
                    Asks::EveryStep(a) => Asks::EveryStep(answer(a)?),
                    Asks::AfterSteps(a) => Asks::AfterSteps(answer(a)?),
                };
                Node::While(While { counter, cond: all(cond)?, body: all(body)?, after: all(after)?, asks })
            }
            Node::Switch(index, branches) => {
                Node::Switch(answer(index)?, branches.into_iter().map(all).collect::<Result<_>>()?)
            }
        })
    }
}

/// Elements that decide what runs next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) at: Binding,
    pub(crate) dtype: Dtype,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    /// What it computes: a loop nest or a matrix product.
    pub(crate) kernel: Kernel,
    /// How invocations share it.
    pub(crate) form: Form,
    /// Per operand of `kernel` what it is bound to.
    pub(crate) bindings: Vec<Binding>,
    /// Without which it does nothing.
    pub(crate) guard: Option<Guard>,
    /// Per counter around it for which of its values it is.
    pub(crate) when: Counters,
}

/// Per counter its values.
pub(crate) type Counters = SmallVec<[Range<usize>; 3]>;

/// Where an operand's elements are: `len` of them, the operand's, from element `first` on, where no
/// counter moves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) memory: Memory,
    pub(crate) first: usize,
    pub(crate) len: usize,
    pub(crate) moves: Moves,
}

/// How counters move elements: so many from one value of a counter to the next, and once. Shaders add
/// that up, so that one binding serves all steps of a loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// Per counter, the last of them not 0.
    pub(crate) by: SmallVec<[usize; 3]>,
    pub(crate) once: isize,
}

/// An element of a buffer of `i32`: a launch it guards does nothing where it is 0.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Guard {
    pub(crate) flags: Binding,
    pub(crate) at: usize,
}

/// A buffer of a spread kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// The kernel's operand of that position.
    Operand(usize),
    /// [`Spread::scratch`] of that position.
    Scratch(usize),
}

impl Binding {
    /// Elements that no counter moves.
    pub(crate) fn fixed(memory: Memory, len: usize) -> Binding {
        Binding { memory, first: 0, len, moves: Moves::default() }
    }

    /// The operand's first element, at the first of these values of the counters.
    fn origin(&self, when: &Counters) -> usize {
        let first: Vec<usize> = when.iter().map(|values| values.start).collect();
        (self.first as isize + self.moves.at(&first)) as usize
    }

    /// How many elements there are from `first` on, wherever these values of the counters move them.
    pub(crate) fn reach(&self, when: &Counters) -> usize {
        let far: usize = self.moves.by.iter().zip(when).map(|(by, values)| by * (values.len() - 1)).sum();
        far + self.len
    }
}

impl Moves {
    /// Whether there are none.
    pub(crate) fn are_none(&self) -> bool {
        self.by.is_empty() && self.once == 0
    }

    /// These, and so many elements with each value of a counter, which is an inner one.
    fn and(mut self, counter: usize, by: usize) -> Moves {
        if by > 0 {
            self.by.resize(counter, 0);
            self.by.push(by);
        }
        self
    }

    /// How many elements that is.
    pub(crate) fn at(&self, counters: &[usize]) -> isize {
        self.by.iter().zip(counters).map(|(by, value)| (by * value) as isize).sum::<isize>() + self.once
    }
}

impl Launch {
    /// A launch outside of loops.
    #[cfg(test)]
    pub(crate) fn plain(kernel: Kernel, form: Form, bindings: Vec<Binding>) -> Launch {
        Launch { kernel, form, bindings, guard: None, when: Counters::new() }
    }

    /// How counters move an operand.
    pub(crate) fn moves(&self, operand: usize) -> Option<&Moves> {
        self.bindings.get(operand).map(|b| &b.moves).filter(|moves| !moves.are_none())
    }

    /// How many buffers its shader has: one per operand, and the guard's after them.
    pub(crate) fn buffers(&self) -> usize {
        self.kernel.operands.len() + usize::from(self.guard.is_some())
    }

    /// How many counters its shader is told.
    pub(crate) fn counters(&self) -> usize {
        let all = self.bindings.iter().chain(self.guard.as_ref().map(|g| &g.flags));
        all.map(|b| b.moves.by.len()).max().unwrap_or(0)
    }
}

/// A kernel on its way to becoming a launch.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    kernel: Kernel,
    bindings: Vec<Binding>,
    guard: Option<Guard>,
    when: Counters,
}

impl Part {
    /// One outside of loops, on all of each operand of a kernel.
    #[cfg(test)]
    fn whole(kernel: Kernel) -> Part {
        let bind = |(i, o): (usize, &egrad_ir::kernel::Operand)| Binding::fixed(Memory::Operand(i), o.len);
        let bindings = kernel.operands.iter().enumerate().map(bind).collect();
        Part { kernel, bindings, guard: None, when: Counters::new() }
    }
}

/// The launches of a kernel on a device of these capabilities.
///
/// # Errors
/// If the memory a called function needs for its batch can't be counted, loops are nested too deep, or
/// the kernel is invalid.
pub(crate) fn spread(kernel: &Kernel, caps: &Caps) -> Result<Spread> {
    let mut spread = Spread::default();
    let mut expansion = Expansion::new(kernel, &mut spread);
    let nodes = expansion.whole(kernel)?;
    let parts = expansion.parts;
    let limits = Limits { range: caps.range, alignment: caps.alignment, points: MOST_POINTS };
    let mut first = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        first.push(spread.launches.len());
        let part = Part { kernel: form::untiled(part.kernel, caps), ..part };
        for part in split::split(part, caps.worth, &mut spread)? {
            for Part { kernel, bindings, guard, when } in fit(part, limits, &mut spread)? {
                let (kernel, form) = form::form(kernel, &bindings, caps);
                spread.launches.push(Launch { kernel, form, bindings, guard, when });
            }
        }
    }
    first.push(spread.launches.len());
    let numbered = |node: Node| node.map(&|range| first[range.start]..first[range.end], &Ok);
    spread.nodes = nodes.into_iter().map(numbered).collect::<Result<_>>()?;
    Ok(spread)
}

/// The part within the limits where that can be: by windows, and where a point's loops are what is
/// too long, by cutting those.
fn fit(part: Part, limits: Limits, spread: &mut Spread) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for part in window::windows(part, limits) {
        let (pieces, points) = (window::pieces(&part, limits), window::points(&part.kernel.body));
        if pieces == 1 {
            parts.push(part);
            continue;
        }
        for piece in split::split(part, Worth::at_least(points, pieces), spread)? {
            parts.extend(window::windows(piece, limits));
        }
    }
    Ok(parts)
}

/// Points of one launch: their numbers fit 32 bits, and so do those of the last row of workgroups.
const MOST_POINTS: usize = 1 << 31;
