//! How much memory a run takes, and its refusal before it is begun.

use crate::device::{Device, Options, Ready};
use egrad_cpu::batch_bytes;
use egrad_ir::array::available_memory;
use egrad_ir::kernel::Body;
use egrad_ir::schedule::{BufferId, Schedule};
use egrad_ir::{Aval, Control, Error, Function, NodeKind, Program, Result};

/// What a run takes, in bytes.
#[derive(Clone)]
pub(crate) struct Memory {
    inputs: usize,
    results: usize,
    between: usize,
    /// What it may take.
    limit: Option<usize>,
    /// Whether it is the system's memory.
    host: bool,
}

/// From so many bytes on, a run is compared with the memory that is free.
const LARGE: usize = 1 << 28;

impl Memory {
    /// That of a program on its device.
    pub(crate) fn of(program: &Program, ready: &Ready, options: &Options) -> Memory {
        let f = program.entry();
        let bytes = |avals: Vec<Aval>| avals.iter().map(Aval::bytes).fold(0, usize::saturating_add);
        let between = match (ready.schedule(), ready.plain()) {
            (Some(schedule), _) => temporaries(schedule, ready.device() == Device::Vulkan),
            (None, Some(program)) => values(program, program.entry(), false),
            (None, None) => 0,
        };
        Memory {
            inputs: bytes(f.param_avals()),
            results: bytes(f.result_avals()),
            between,
            limit: options.memory,
            host: ready.device() != Device::Vulkan,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.inputs.saturating_add(self.results).saturating_add(self.between)
    }

    /// Refuses a run that takes too much.
    ///
    /// # Errors
    /// [`Error::Memory`] naming what it takes and what to do.
    #[inline]
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        if self.limit.is_none() && self.bytes() < LARGE {
            return Ok(());
        }
        self.compare(name)
    }

    #[cold]
    fn compare(&self, name: &str) -> Result<()> {
        let (needed, may, whose) = match self.limit {
            Some(limit) => (self.bytes(), limit, "allowed (`Options::memory`)"),
            None => match available_memory().filter(|_| self.host) {
                Some(free) => (self.bytes() - self.inputs, free, "free"),
                None => return Ok(()),
            },
        };
        if needed <= may {
            return Ok(());
        }
        Err(Error::memory(format!(
            "a run of `{name}` takes about {}: {} of inputs, {} of results and {} between, and {} are {whose}; map over \
             fewer elements at a time (`vmap_chunked`), or give it less at once",
            readable(self.bytes()),
            readable(self.inputs),
            readable(self.results),
            readable(self.between),
            readable(may)
        )))
    }
}

/// A number of bytes for people.
fn readable(bytes: usize) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut x, mut unit) = (bytes as f64, 0);
    while x >= 1024.0 && unit + 1 < UNITS.len() {
        x /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{x:.1} {}", UNITS[unit]) }
}

/// The most that buffers between inputs and results take at one time: each lives from the step that
/// writes it to the last that reads it. A call's own are those of a tile of its batch for every thread, or of
/// all of the batch where a device runs it at once. A loop has a second place for what it
/// carries, and a third one on a device.
fn temporaries(schedule: &Schedule, at_once: bool) -> usize {
    let n = schedule.buffers.len();
    let mut kept = vec![false; n];
    for (buffer, _) in schedule.inputs.iter().chain(&schedule.outputs) {
        kept[buffer.index()] = true;
    }
    let mut last = vec![0; n];
    let mut first = vec![usize::MAX; n];
    for (i, step) in schedule.steps.iter().enumerate() {
        for buffer in &step.operands {
            last[buffer.index()] = i;
            first[buffer.index()] = first[buffer.index()].min(i);
        }
    }
    let carried = |of: &[(BufferId, Aval)]| {
        let bytes = of.iter().map(|(_, aval)| aval.bytes()).fold(0, usize::saturating_add);
        bytes.saturating_mul(if at_once { 2 } else { 1 })
    };
    let (mut live, mut most) = (0usize, 0);
    for (i, step) in schedule.steps.iter().enumerate() {
        let bytes = |b: usize| schedule.buffers[b].len.saturating_mul(schedule.buffers[b].dtype.bytes());
        let mut ends = 0usize;
        let mut operands: Vec<usize> = step.operands.iter().map(|b| b.index()).filter(|b| !kept[*b]).collect();
        operands.sort_unstable();
        operands.dedup();
        for b in operands {
            live = live.saturating_add(if first[b] == i { bytes(b) } else { 0 });
            ends = ends.saturating_add(if last[b] == i { bytes(b) } else { 0 });
        }
        let inside = match &step.kernel.body {
            Body::Loops(_)
            | Body::Contract(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Print(_) => 0,
            Body::Call(call) => {
                let one = temporaries(&call.callee, at_once);
                if at_once { one.saturating_mul(call.count) } else { batch_bytes(one, call.count, threads()) }
            }
            Body::Scan(scan) => {
                temporaries(&scan.body, at_once).saturating_add(carried(&scan.body.outputs[..scan.carry]))
            }
            Body::While(run) => {
                let step = temporaries(&run.cond, at_once).max(temporaries(&run.body, at_once));
                step.saturating_add(carried(&run.body.outputs))
            }
            Body::Switch(switch) => {
                switch.branches.iter().map(|branch| temporaries(branch, at_once)).max().unwrap_or(0)
            }
        };
        most = most.max(live.saturating_add(inside));
        live = live.saturating_sub(ends);
    }
    most
}

/// How many threads the CPU may run a batch on.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The most that the interpreter's values take at one time: a function's, and those of the one that runs
/// inside of it, a step of a loop with the elements it is given. Results are counted by whoever asked for
/// them, but for those `inside`.
fn values(program: &Program, function: &Function, inside: bool) -> usize {
    let live = function.live();
    let mut last: Vec<usize> = (0..function.len()).collect();
    for (id, node) in function.nodes().filter(|(id, _)| live[id.index()]) {
        for a in &node.args {
            last[a.index()] = id.index();
        }
    }
    if inside {
        function.results().iter().for_each(|r| last[r.index()] = function.len() - 1);
    }
    let params = function.params().len();
    let mut ends = vec![0usize; function.len()];
    let (mut now, mut most) = (0usize, 0);
    for (id, node) in function.nodes().skip(params).filter(|(id, _)| live[id.index()]) {
        let bytes: usize = node.avals.iter().map(Aval::bytes).fold(0, usize::saturating_add);
        now = now.saturating_add(bytes);
        let run = node.kind.callees().into_iter().map(|callee| {
            let f = program.function(callee);
            let fixed = match &node.kind {
                NodeKind::Control(Control::Scan { consts, carry, .. }) => consts + carry,
                NodeKind::Control(_)
                | NodeKind::Apply(..)
                | NodeKind::Param(_)
                | NodeKind::Op(_)
                | NodeKind::Get(_) => f.params().len(),
            };
            let elements = f.param_avals()[fixed..].iter().map(Aval::bytes).fold(0, usize::saturating_add);
            values(program, f, true).saturating_add(elements)
        });
        most = most.max(now.saturating_add(run.max().unwrap_or(0)));
        ends[last[id.index()]] += bytes;
        now = now.saturating_sub(ends[id.index()]);
    }
    most
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_for_people() {
        let text = [0, 1023, 1024, 3 << 29, usize::MAX].map(super::readable);
        assert_eq!(text, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 GiB", "16777216.0 TiB"]);
    }
}
