//! What a kernel costs: the price extraction compares by.

use egrad_ir::Dtype;
use egrad_ir::kernel::{Affine, Along, Body, Call, Contract, Inst, LoopNest, Operand, Pass, ValueId};
use egrad_ir::schedule::{Schedule, Step};
use egrad_ir::{Binary, Reduce, Unary, elementary, math};

/// What the cost model knows of a machine. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Starting a kernel.
    pub launch_ns: f64,
    /// Moving a byte to or from memory.
    pub memory_ns_per_byte: f64,
    /// Moving a byte that a cache holds.
    pub cache_ns_per_byte: f64,
    /// How many bytes stay in cache between the kernels of a run.
    pub cache_bytes: f64,
    /// How many bytes of a row stay in the innermost cache between the passes over it.
    pub row_bytes: f64,
    /// One cheap instruction (add, compare, load) on one element, in vector code.
    pub simple_ns: f64,
    /// An element whose neighbours along the vector lanes are not adjacent in memory.
    pub gather_ns: f64,
    /// Entering a loop.
    pub loop_ns: f64,
    /// Going on to the next element of a batch in a kernel that runs over one.
    pub element_ns: f64,
    /// Starting a matrix product.
    pub contract_launch_ns: f64,
    /// One multiply-add of a large matrix product in f32.
    pub contract_ns: f64,
}

impl Default for Machine {
    /// One core of a current x86-64 server.
    fn default() -> Machine {
        Machine {
            launch_ns: 100.0,
            memory_ns_per_byte: 0.04,
            cache_ns_per_byte: 0.012,
            cache_bytes: 8e6,
            row_bytes: 32e3,
            simple_ns: 0.07,
            gather_ns: 0.7,
            loop_ns: 1.0,
            element_ns: 2.0,
            contract_launch_ns: 120.0,
            contract_ns: 0.011,
        }
    }
}

/// The predicted time of a kernel in nanoseconds: its launch plus the larger of memory traffic
/// and arithmetic.
pub(crate) fn kernel_ns(machine: &Machine, operands: &[Operand], body: &Body) -> f64 {
    match body {
        Body::Loops(nest) => machine.launch_ns + loops_ns(machine, operands, nest),
        Body::Contract(c) => machine.launch_ns + contract_ns(machine, operands, c),
        Body::Call(c) => call_ns(machine, operands, c),
        Body::Scan(s) => machine.launch_ns + s.length as f64 * step_ns(machine, &s.body),
        Body::While(w) => machine.launch_ns + GUESSED_STEPS * (step_ns(machine, &w.cond) + step_ns(machine, &w.body)),
        Body::Switch(s) => machine.launch_ns + s.branches.iter().map(|b| step_ns(machine, b)).fold(0.0, f64::max),
        Body::Print(_) => machine.launch_ns + moved_ns(machine, operands),
        // Element by element, wherever the indices say.
        Body::Scatter(c) => {
            let [x, _, updates] = c.sizes().unwrap_or_default().map(|n| n as f64);
            machine.launch_ns
                + moved_ns(machine, operands).max(x * machine.simple_ns + 3.0 * updates * machine.gather_ns)
        }
        Body::Argsort(c) => {
            let elements = (c.outer * c.length * c.inner) as f64;
            let levels = (c.length as f64 + 1.0).log2();
            machine.launch_ns + moved_ns(machine, operands).max(elements * levels * 3.0 * machine.gather_ns)
        }
        Body::Linalg(c) => machine.launch_ns + moved_ns(machine, operands).max(c.work() * machine.simple_ns),
    }
}

/// Moving every operand once.
fn moved_ns(machine: &Machine, operands: &[Operand]) -> f64 {
    let bytes: f64 = operands.iter().map(|o| (o.len * o.dtype.bytes()) as f64).sum();
    bytes * if bytes > machine.cache_bytes { machine.memory_ns_per_byte } else { machine.cache_ns_per_byte }
}

/// How many steps a loop is taken to have that ends by a condition.
const GUESSED_STEPS: f64 = 16.0;

/// A step of a loop, or a branch.
fn step_ns(machine: &Machine, schedule: &Schedule) -> f64 {
    let of = |step: &Step| kernel_ns(machine, &step.kernel.operands, &step.kernel.body);
    schedule.steps.iter().map(of).sum()
}

/// Every kernel of the callee is launched once and runs for every element.
fn call_ns(machine: &Machine, operands: &[Operand], c: &Call) -> f64 {
    let count = c.count as f64;
    let of = |step: &Step| {
        let ns = kernel_ns(machine, &step.kernel.operands, &step.kernel.body);
        machine.launch_ns + count * (ns - machine.launch_ns + machine.element_ns)
    };
    let kernels: f64 = c.callee.steps.iter().map(of).sum();
    kernels.max(moved_ns(machine, operands))
}

fn loops_ns(machine: &Machine, operands: &[Operand], nest: &LoopNest) -> f64 {
    let points: f64 = nest.domain.iter().map(|d| *d as f64).product();
    let mut compute = 0.0;
    let mut bytes = 0.0;
    let mut total_bytes = 0.0;
    let mut seen = vec![false; operands.len()];
    // Per value the axes it varies along, as bits; a value is computed once per index of the loops
    // down to the innermost of them.
    let mut varies: Vec<u64> = Vec::new();
    // Per value whether it is a number known now.
    let mut known: Vec<bool> = Vec::new();
    let by_rows = by_rows(nest);
    for pass in &nest.passes {
        let all: Vec<usize> = nest.domain.iter().chain(&pass.loops).copied().collect();
        let inner: f64 = pass.loops.iter().map(|d| *d as f64).product();
        let count = points * inner;
        // A pass over a handful of elements can't fill vectors.
        let scalar = if inner.max(points) < LANES as f64 { LANES as f64 } else { 1.0 };
        let beside_rows = by_rows && pass.loops.is_empty() && scalar == 1.0;
        let along =
            |strides: &[usize]| strides.iter().enumerate().fold(0u64, |m, (i, s)| m | (u64::from(*s != 0) << i));
        let times = |bits: u64| -> f64 {
            let depth = 64 - bits.leading_zeros() as usize;
            all[..depth.min(all.len())].iter().map(|d| *d as f64).product()
        };
        let mut access = |operand: usize, strides: &[usize], compute: &mut f64| {
            let o = &operands[operand];
            let spanned = |from: usize| {
                let extents = strides.iter().zip(&all).skip(from).filter(|(s, _)| **s != 0).map(|(_, e)| *e as f64);
                extents.product::<f64>().min(o.len as f64) * o.dtype.bytes() as f64
            };
            let touched = spanned(0);
            // A second pass over a row finds it in the innermost cache.
            if !seen[operand] {
                bytes += touched;
                total_bytes += touched;
            } else if spanned(nest.domain.len()) > machine.row_bytes {
                bytes += touched;
            }
            seen[operand] = true;
            let each = times(along(strides)) * machine.simple_ns;
            *compute += match strides.last() {
                None | Some(0) => each,
                Some(1) => each * 0.5 * o.dtype.bytes() as f64 / 4.0,
                // Lanes may run along another axis on which the access is contiguous.
                Some(_) if strides.iter().zip(&all).any(|(s, n)| *s == 1 && *n >= LANES) => {
                    each * 0.7 * o.dtype.bytes() as f64 / 4.0
                }
                Some(_) => each * machine.gather_ns / machine.simple_ns,
            };
        };
        for inst in &pass.insts {
            let bits = match inst {
                Inst::Literal(_) => 0,
                Inst::Index(index) => along(&index.strides),
                Inst::Load { operand, index } => {
                    access(*operand, &index.strides, &mut compute);
                    along(&index.strides)
                }
                Inst::LoadWithin { operand, index, along: positions } => {
                    let strides = touched(index, positions, &varies);
                    access(*operand, &strides, &mut compute);
                    let tested = along(&touched(&Affine::default(), positions, &varies));
                    compute += times(tested) * machine.simple_ns * scalar * tests(positions);
                    along(&strides)
                }
                Inst::Within(positions) => along(&touched(&Affine::default(), positions, &varies)),
                Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Compare(..)
                | Inst::Select(..)
                | Inst::IntegerPow(..)
                | Inst::Convert(..) => inst.args().iter().fold(0, |m, a| m | varies[a.index()]),
            };
            let weight = match inst_weight(inst, &known) {
                _ if only_summed(pass, inst, varies.len()) => 0.0,
                long if beside_rows && long >= LONG => long * LANES as f64,
                weight => weight,
            };
            varies.push(bits);
            known.push(matches!(inst, Inst::Literal(_)));
            compute += times(bits) * machine.simple_ns * scalar * weight;
        }
        for store in &pass.stores {
            access(store.operand, &store.index.strides, &mut compute);
        }
        compute += count * machine.simple_ns * scalar * pass.accs.len() as f64;
        let domain_bits = (1u64 << nest.domain.len()) - 1;
        varies.extend(pass.accs.iter().map(|_| domain_bits));
        known.extend(pass.accs.iter().map(|_| false));
        compute += rows(pass, &all) * machine.loop_ns;
    }
    let per_byte =
        if total_bytes > machine.cache_bytes { machine.memory_ns_per_byte } else { machine.cache_ns_per_byte };
    // Overlap is imperfect: a little of the smaller part shows.
    let memory = bytes * per_byte;
    memory.max(compute) + 0.1 * memory.min(compute)
}

/// Lanes of the vectors that prices have in mind.
const LANES: usize = 4;

/// From this weight on an instruction takes so long that nothing hides what it takes beside rows,
/// where points run one by one.
const LONG: f64 = 8.0;

/// A row shorter than this is rather walked for several points at once.
const ROW: usize = 8;

/// Whether vectors run along the rows that passes walk, and points one by one.
fn by_rows(nest: &LoopNest) -> bool {
    let mut walked = nest.passes.iter().filter(|pass| !pass.loops.is_empty()).peekable();
    let along = |s: &[usize]| s.split_last().is_none_or(|(_, outer)| !outer.contains(&1));
    walked.peek().is_some() && walked.all(|pass| *pass.loops.last().unwrap_or(&0) >= ROW && strides(pass).all(along))
}

/// The strides of what a pass loads and stores everywhere.
fn strides(pass: &Pass) -> impl Iterator<Item = &[usize]> {
    let loads = pass.insts.iter().filter_map(|i| match i {
        Inst::Load { index, .. } | Inst::Index(index) => Some(&index.strides[..]),
        Inst::LoadWithin { .. }
        | Inst::Within(_)
        | Inst::Literal(_)
        | Inst::Unary(..)
        | Inst::Binary(..)
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => None,
    });
    loads.chain(pass.stores.iter().map(|s| &s.index.strides[..]))
}

/// Whether value `number` of a pass is a product that a sum takes and nothing else does: they are a
/// multiply-add.
fn only_summed(pass: &Pass, inst: &Inst, number: usize) -> bool {
    let is = |value: &ValueId| value.index() == number;
    matches!(inst, Inst::Binary(Binary::Mul, ..))
        && pass.accs.iter().any(|acc| acc.kind == Reduce::Sum && is(&acc.value))
        && !pass.insts.iter().any(|user| user.args().iter().any(is))
}

/// How far what is read moves along each axis; where a value is added that varies along an axis,
/// nobody knows how far, and it is read element by element.
fn touched(index: &Affine, positions: &[Along], varies: &[u64]) -> Vec<usize> {
    let rank = positions.iter().map(|a| a.strides.len()).max().unwrap_or(0);
    let mut strides: Vec<usize> = (0..rank).map(|axis| index.strides.get(axis).copied().unwrap_or(0)).collect();
    for a in positions {
        let added = a.plus.map_or(0, |v| varies[v.index()]);
        for (axis, (stride, own)) in strides.iter_mut().zip(&a.strides).enumerate() {
            *stride += own.unsigned_abs() * a.by.max(1);
            if added & (1 << axis) != 0 {
                *stride += 2;
            }
        }
    }
    strides
}

/// How often a pass enters its innermost loop, after axes that are walked as one are merged.
fn rows(pass: &Pass, all: &[usize]) -> f64 {
    let mut outer = all.len().saturating_sub(1);
    let first_loop = all.len() - pass.loops.len();
    while outer > first_loop || (outer > 0 && pass.loops.is_empty()) {
        if !strides(pass).all(|s| s[outer - 1] == s[outer] * all[outer]) {
            break;
        }
        outer -= 1;
    }
    all[..outer].iter().map(|d| *d as f64).product()
}

/// Tests of both ends, for every position.
fn tests(positions: &[Along]) -> f64 {
    2.0 * positions.len() as f64
}

/// What an instruction of an elementary function costs beside a cheap one alone: those of several
/// elements are under way at once.
const OVERLAP: f64 = 0.55;

/// How many cheap instructions one instruction takes, given which values are known numbers.
fn inst_weight(inst: &Inst, known: &[bool]) -> f64 {
    match inst {
        Inst::Literal(_) | Inst::Load { .. } => 0.0,
        Inst::Index(_) => 1.0,
        // What is outside is replaced.
        Inst::LoadWithin { .. } => 1.0,
        Inst::Within(along) => tests(along),
        Inst::Unary(u, _) => match u {
            Unary::Neg | Unary::Abs | Unary::Not => 1.0,
            Unary::StopGradient | Unary::Barrier => 0.0,
            Unary::Sign => 3.0,
            Unary::Sqrt => 4.0,
            Unary::Rsqrt => 8.0,
            Unary::Floor | Unary::Round => 1.0,
            elementary!() => math::Elementary::of(*u).map_or(0.0, math::Elementary::work) * OVERLAP,
        },
        Inst::Binary(b, _, y) => match b {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::And | Binary::Or | Binary::Xor => 1.0,
            Binary::Max | Binary::Min => 3.0,
            Binary::Div => 4.0,
            Binary::Rem => 14.0,
            Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic if known[y.index()] => 1.0,
            Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => 18.0,
            Binary::Atan2 => 26.0,
            Binary::Pow => 40.0,
        },
        Inst::Compare(..) | Inst::Select(..) => 1.0,
        Inst::IntegerPow(n, _) => (f64::from(n.unsigned_abs()) + 1.0).log2().ceil() + if *n < 0 { 4.0 } else { 0.0 },
        // To 16 bits, in integers.
        Inst::Convert(to, _) if to.computed() != *to => 10.0,
        Inst::Convert(..) => 2.0,
    }
}

fn contract_ns(machine: &Machine, operands: &[Operand], c: &Contract) -> f64 {
    let batch: f64 = c.batch.iter().map(|d| *d as f64).product();
    let width = if c.dtype == Dtype::F64 { 2.0 } else { 1.0 };
    if c.m == 1 || c.n == 1 {
        // Backends make loops of the product of a matrix and a vector.
        let results = batch * (c.m * c.n) as f64;
        let compute = results * (machine.loop_ns + c.k as f64 * 2.0 * machine.simple_ns * width);
        let memory = moved_ns(machine, operands);
        return machine.contract_launch_ns + memory.max(compute) + 0.1 * memory.min(compute);
    }
    // Blocks of the product are padded: thin ones waste most of the work.
    let pad = |n: usize, block: f64| (n as f64 / block).ceil() * block;
    let madds = pad(c.m, 6.0) * pad(c.n, 16.0) * (c.k as f64 + 4.0);
    let compute = batch * (machine.contract_launch_ns + madds * machine.contract_ns * width);
    compute.max(moved_ns(machine, operands))
}
