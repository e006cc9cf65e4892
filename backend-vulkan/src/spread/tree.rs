//! Kernels of kernels as what runs: calls, loops and branches are opened until launches are left.

use super::batch::{self, Placed};
use super::rows::{self, Rows};
use super::{Guard, Memory, Moves, Node, Part, Repeat, Spread, control};
use egrad_ir::kernel::{Body, Call, Kernel, Linalg, Slot};
use egrad_ir::schedule::{Buffer, BufferId, Schedule};
use egrad_ir::{Error, Numerics, Result};

/// What is around a kernel.
#[derive(Clone, Default)]
pub(super) struct Scope {
    /// Extents of the calls of whole batches.
    pub(super) batch: Vec<usize>,
    /// Per counter of a loop how many values it has.
    pub(super) counters: Vec<usize>,
    /// Without which nothing is done.
    pub(super) guard: Option<Guard>,
}

impl Scope {
    /// The scope with counters of a loop inside; the first of them.
    ///
    /// # Errors
    /// If a launch can't be told as many.
    pub(super) fn counting(&self, extents: &[usize], kernel: &Kernel) -> Result<(usize, Scope)> {
        let counters = [&self.counters[..], extents].concat();
        if counters.len() > MOST_COUNTERS {
            return Err(Error::device(format!(
                "the Vulkan backend runs loops in loops up to a depth of {}, and kernel `{}` is deeper; use \
                 `--device cpu`",
                MOST_COUNTERS / 3,
                kernel.name
            )));
        }
        Ok((self.counters.len(), Scope { counters, ..self.clone() }))
    }
}

/// Counters that shaders are told, in the 128 bytes of push constants that every device has.
const MOST_COUNTERS: usize = 30;

/// A kernel being opened. [`Node::Launches`] are numbers of parts so far.
pub(super) struct Expansion<'a> {
    pub(super) parts: Vec<Part>,
    pub(super) numerics: Numerics,
    spread: &'a mut Spread,
}

impl<'a> Expansion<'a> {
    /// Memory between launches becomes scratch memory of `spread`.
    pub(super) fn new(kernel: &Kernel, spread: &'a mut Spread) -> Expansion<'a> {
        Expansion { parts: Vec::new(), numerics: kernel.numerics, spread }
    }

    /// What runs for a kernel, on all of each operand.
    ///
    /// # Errors
    /// If the memory a called function needs for its batch can't be counted, or loops are too deep.
    pub(super) fn whole(&mut self, kernel: &Kernel) -> Result<Vec<Node>> {
        let at: Vec<Placed> = (0..kernel.operands.len()).map(|i| Placed::whole(Memory::Operand(i))).collect();
        let mut nodes = Vec::new();
        self.kernel(&mut nodes, kernel, &at, &Scope::default())?;
        Ok(nodes)
    }

    /// What runs for a kernel on operands at these places.
    fn kernel(&mut self, nodes: &mut Vec<Node>, kernel: &Kernel, at: &[Placed], scope: &Scope) -> Result<()> {
        match &kernel.body {
            Body::Loops(_) | Body::Contract(_) => {
                self.launch(nodes, kernel, &at.iter().collect::<Vec<_>>(), scope);
                Ok(())
            }
            Body::Scatter(_) | Body::Argsort(_) => self.rows(nodes, kernel, at, scope),
            Body::Linalg(linalg) => Err(no_linalg(kernel, linalg)),
            Body::Call(call) => self.call(nodes, kernel, call, at, scope),
            Body::Scan(scan) => self.scan(nodes, kernel, scan, at, scope),
            Body::While(w) => self.repeat(nodes, kernel, w, at, scope),
            Body::Switch(switch) => self.switch(nodes, switch, at, scope),
            // A shader has nowhere to print to.
            Body::Print(_) => {
                Err(Error::device("Vulkan can't print (`debug_print`): run the function on the CPU or the interpreter"))
            }
        }
    }

    /// A loop nest or a matrix product over the batch.
    pub(super) fn launch(&mut self, nodes: &mut Vec<Node>, kernel: &Kernel, at: &[&Placed], scope: &Scope) {
        let Some(part) = batch::batched(kernel, at, scope) else { unreachable!("it is a loop nest or a product") };
        let next = self.parts.len();
        self.parts.push(part);
        match nodes.last_mut() {
            Some(Node::Launches(range)) if range.end == next => range.end += 1,
            _ => nodes.push(Node::Launches(next..next + 1)),
        }
    }

    /// The loop nests of a scatter or sort.
    fn rows(&mut self, nodes: &mut Vec<Node>, kernel: &Kernel, at: &[Placed], scope: &Scope) -> Result<()> {
        let Some(Rows { kernels, between }) = rows::loops(kernel) else { return Ok(()) };
        let own = between.iter().map(|buffer| self.scratch(buffer, scope)).collect::<Result<Vec<_>>>()?;
        let all: Vec<&Placed> = at.iter().chain(&own).collect();
        for (kernel, operands) in &kernels {
            self.launch(nodes, kernel, &operands.iter().map(|i| all[*i]).collect::<Vec<_>>(), scope);
        }
        Ok(())
    }

    /// A call: for the whole batch at once, if all of it runs the same kernels, or else element by
    /// element.
    fn call(
        &mut self,
        nodes: &mut Vec<Node>,
        kernel: &Kernel,
        call: &Call,
        at: &[Placed],
        scope: &Scope,
    ) -> Result<()> {
        let places = |slots: &[Slot], place: &dyn Fn(&Placed, usize) -> Placed| -> Vec<Placed> {
            slots.iter().map(|s| place(&at[s.operand], s.stride)).collect()
        };
        let each =
            |place: &dyn Fn(&Placed, usize) -> Placed| (places(&call.inputs, place), places(&call.outputs, place));
        if call.count == 1 {
            let (inputs, outputs) = each(&|at, _| at.clone());
            return self.schedule(nodes, &call.callee, inputs, outputs, scope);
        }
        if !control::decides(&call.callee) {
            let (inputs, outputs) = each(&Placed::along);
            let batch = [&scope.batch[..], &[call.count]].concat();
            return self.schedule(nodes, &call.callee, inputs, outputs, &Scope { batch, ..scope.clone() });
        }
        let (counter, inner) = scope.counting(&[call.count], kernel)?;
        let (inputs, outputs) = each(&|at, stride| at.moved(counter, stride));
        let mut body = Vec::new();
        self.schedule(&mut body, &call.callee, inputs, outputs, &inner)?;
        nodes.push(Node::Repeat(Repeat { counter, length: call.count, reverse: false, carries: false, body }));
        Ok(())
    }

    /// What runs for a function whose inputs and outputs are at these places; its other buffers become
    /// scratch memory.
    pub(super) fn schedule(
        &mut self,
        nodes: &mut Vec<Node>,
        callee: &Schedule,
        inputs: Vec<Placed>,
        outputs: Vec<Placed>,
        scope: &Scope,
    ) -> Result<()> {
        let mut places: Vec<Option<Placed>> = vec![None; callee.buffers.len()];
        for (at, (id, _)) in inputs.into_iter().zip(&callee.inputs) {
            places[id.index()] = Some(at);
        }
        // A result that is an input, or another result, is a copy.
        let mut copies: Vec<(BufferId, Placed)> = Vec::new();
        for (at, (id, _)) in outputs.into_iter().zip(&callee.outputs) {
            match &mut places[id.index()] {
                place @ None => *place = Some(at),
                Some(_) => copies.push((*id, at)),
            }
        }
        for (place, buffer) in places.iter_mut().zip(&callee.buffers) {
            if place.is_none() {
                *place = Some(self.scratch(buffer, scope)?);
            }
        }
        let places: Vec<Placed> = places.into_iter().flatten().collect();
        for step in &callee.steps {
            let at: Vec<Placed> = step.operands.iter().map(|id| places[id.index()].clone()).collect();
            self.kernel(nodes, &step.kernel, &at, scope)?;
        }
        for (id, to) in copies {
            self.copy(nodes, callee.buffer(id), &places[id.index()], &to, scope);
        }
        Ok(())
    }

    /// Copies a buffer.
    pub(super) fn copy(&mut self, nodes: &mut Vec<Node>, buffer: &Buffer, from: &Placed, to: &Placed, scope: &Scope) {
        if let Some(kernel) = batch::copy(buffer, self.numerics) {
            self.launch(nodes, &kernel, &[from, to], scope);
        }
    }

    /// Memory for a buffer, for every element of the batch.
    pub(super) fn scratch(&mut self, buffer: &Buffer, scope: &Scope) -> Result<Placed> {
        Ok(self.places(buffer, 1, scope)?.0)
    }

    /// So many places for a buffer, each for every element of the batch; and how far they are apart.
    pub(super) fn places(&mut self, buffer: &Buffer, count: usize, scope: &Scope) -> Result<(Placed, usize)> {
        let (strides, size) = batch::strides(buffer, &scope.batch)?;
        self.spread.scratch.push(Buffer { dtype: buffer.dtype, len: size * count });
        let memory = Memory::Scratch(self.spread.scratch.len() - 1);
        Ok((Placed { memory, strides, moves: Moves::default() }, size))
    }
}

/// The error of linear algebra.
fn no_linalg(kernel: &Kernel, linalg: &Linalg) -> Error {
    let m = format!(
        "the Vulkan backend doesn't do linear algebra and Fourier transforms, as kernel `{}` does by `{}`; \
         use `--device cpu`",
        kernel.name,
        linalg.kind.name()
    );
    Error::device(m)
}
