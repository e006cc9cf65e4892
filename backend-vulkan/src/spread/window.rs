//! Kernels on buffers larger than a device binds, and over more points than it counts, as several
//! kernels over parts of the domain.
//!
//! ```text
//! parallel p0 in 0..3000000 { load b0[16*p0] … }, with 128 MiB at most to a binding
//!     ──▶ parallel p0 in 0..1500000, b0 bound from element 0 on
//!     ──▶ parallel p0 in 0..1500000, b0 bound from element 24000000 on
//! ```
//!
//! What a kernel touches of an operand is an interval; where that is too long, the axis whose
//! halving makes it shortest is halved, and so on. The values of counters are halved as axes are: each
//! half is a launch for some steps of a loop.

use super::{Binding, Counters, Moves, Part};
use egrad_ir::kernel::{Affine, Along, Body, Contract, Inst, Kernel, LoopNest, Matrix, Operand, Pass, Store};

/// What a launch may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a binding.
    pub(super) range: u64,
    /// What a binding's offset is a multiple of, in bytes.
    pub(super) alignment: u64,
    /// Points.
    pub(super) points: usize,
}

/// The part, or several that together do its work, each within the limits if that can be done by
/// dividing the domain: which parts are not is for the caller to see.
pub(super) fn windows(part: Part, limits: Limits) -> Vec<Part> {
    let mut done = Vec::new();
    let mut open = vec![part];
    while let Some(part) = open.pop() {
        let excess = Excess::of(&part, limits);
        if !excess.any() {
            done.push(narrow(part, limits));
            continue;
        }
        let by_axis = (0..axes(&part.kernel.body)).filter_map(|axis| halve(&part, axis));
        let halves = by_axis.chain((0..part.when.len()).filter_map(|counter| fewer(&part, counter, limits)));
        let worst = |halves: &[Part; 2]| Excess::of(&halves[0], limits).max(Excess::of(&halves[1], limits));
        match halves.map(|halves| (worst(&halves), halves)).min_by(|a, b| a.0.cmp(&b.0)) {
            Some((less, [low, high])) if less < excess => open.extend([high, low]),
            Some(_) | None => done.push(narrow(part, limits)),
        }
    }
    done
}

/// In how many pieces the loops of a kernel must be cut for its windows to be within the limits: 1
/// where they are.
pub(super) fn pieces(part: &Part, limits: Limits) -> usize {
    // A piece's window is at most as long as two pieces, for what is left over.
    2 * (Excess::of(part, limits).bytes.div_ceil(limits.range.max(1))) as usize + 1
}

/// How far a kernel is beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Excess {
    /// Bytes beyond the range, of all operands together.
    bytes: u64,
    points: usize,
}

impl Excess {
    fn of(part: &Part, limits: Limits) -> Excess {
        let window = |(i, operand): (usize, &Operand)| {
            let size = operand.dtype.bytes() as u64;
            let (low, high) = touched(&part.kernel.body, i)?;
            let binding = &part.bindings[i];
            let origin = binding.origin(&part.when);
            let first = aligned(origin + low, size, limits.alignment);
            let moved = binding.reach(&part.when) - binding.len;
            let bytes = (origin + high + 1 + moved - first) as u64 * size;
            Some(bytes.saturating_sub(limits.range))
        };
        let bytes = part.kernel.operands.iter().enumerate().filter_map(window).sum();
        Excess { bytes, points: points(&part.kernel.body).saturating_sub(limits.points) }
    }

    fn any(self) -> bool {
        self.bytes > 0 || self.points > 0
    }
}

/// The element at or before this one at which a binding can begin.
fn aligned(element: usize, size: u64, alignment: u64) -> usize {
    let unit = (alignment / size).max(1) as usize;
    element / unit * unit
}

/// How many elements the first values of the counters are from their value 0.
fn skipped(binding: &Binding, when: &Counters) -> isize {
    binding.moves.by.iter().zip(when).map(|(by, values)| (by * values.start) as isize).sum()
}

/// The points of its domain, or the elements of a product.
pub(super) fn points(body: &Body) -> usize {
    match body {
        Body::Loops(nest) => nest.domain.iter().fold(1, |n, e| n.saturating_mul(*e)),
        Body::Contract(c) => [c.m, c.n].iter().chain(&c.batch).fold(1, |n, e| n.saturating_mul(*e)),
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => 0,
    }
}

/// How many axes may be halved: of a loop nest the domain's, of a product the batch's, rows and
/// columns.
fn axes(body: &Body) -> usize {
    match body {
        Body::Loops(nest) => nest.domain.len(),
        Body::Contract(c) => c.batch.len() + 2,
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => 0,
    }
}

/// The smallest and the largest element of an operand the kernel touches.
fn touched(body: &Body, operand: usize) -> Option<(usize, usize)> {
    let reach = |a: &Affine, extents: &mut dyn Iterator<Item = &usize>| {
        let far: usize = a.strides.iter().zip(extents).map(|(s, n)| s * (n - 1)).sum();
        (a.offset, a.offset + far)
    };
    let all: Vec<(usize, usize)> = match body {
        Body::Loops(nest) => {
            let of_pass = |pass: &Pass| -> Vec<(usize, usize)> {
                let axes = || nest.domain.iter().chain(&pass.loops);
                let loads = pass.insts.iter().filter_map(|inst| match inst {
                    Inst::Load { operand: of, index } => (*of == operand).then(|| reach(index, &mut axes())),
                    Inst::LoadWithin { operand: of, index, along } => (*of == operand).then(|| {
                        let (low, high) = reach(index, &mut axes());
                        (low, high + along.iter().map(|a| a.by * (a.extent - 1)).sum::<usize>())
                    }),
                    Inst::Within(_)
                    | Inst::Literal(_)
                    | Inst::Index(_)
                    | Inst::Unary(..)
                    | Inst::Binary(..)
                    | Inst::Compare(..)
                    | Inst::Select(..)
                    | Inst::IntegerPow(..)
                    | Inst::Convert(..) => None,
                });
                let stores = pass.stores.iter().filter(|s| s.operand == operand);
                let stores = stores.map(|s| reach(&s.index, &mut nest.domain.iter().chain(&pass.loops)));
                loads.chain(stores).collect()
            };
            nest.passes.iter().flat_map(of_pass).collect()
        }
        Body::Contract(c) => {
            let sides = [(&c.a, c.m, c.k), (&c.b, c.k, c.n), (&c.c, c.m, c.n)];
            let of = |(m, rows, columns): (&Matrix, usize, usize)| {
                if m.operand != operand || rows == 0 || columns == 0 {
                    return None;
                }
                let batch: usize = m.batch_strides.iter().zip(&c.batch).map(|(s, n)| s * (n - 1)).sum();
                Some((m.offset, m.offset + batch + m.row * (rows - 1) + m.column * (columns - 1)))
            };
            sides.into_iter().filter_map(of).collect()
        }
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => Vec::new(),
    };
    let low = all.iter().map(|t| t.0).min()?;
    Some((low, all.iter().map(|t| t.1).max()?))
}

/// The kernel with its operands no longer than what it touches of them.
fn narrow(part: Part, limits: Limits) -> Part {
    let Part { mut kernel, mut bindings, guard, when } = part;
    let mut shift = vec![0; bindings.len()];
    for (i, (operand, binding)) in kernel.operands.iter_mut().zip(&mut bindings).enumerate() {
        let size = operand.dtype.bytes() as u64;
        // What is only read may be longer than what is touched of it: most kernels need no window,
        // and are left alone.
        if binding.reach(&when) as u64 * size <= limits.range && !operand.written {
            continue;
        }
        if let Some((low, high)) = touched(&kernel.body, i) {
            let origin = binding.origin(&when);
            let first = aligned(origin + low, size, limits.alignment);
            let end = origin + high + 1;
            // A binding begins before the operand where that begins off the alignment.
            shift[i] = first as isize - origin as isize;
            let moves = Moves { once: -skipped(binding, &when), ..binding.moves.clone() };
            *binding = Binding { first, len: end - first, moves, ..*binding };
            operand.len = end - first;
        }
    }
    let offset = |operand: usize, offset: usize| (offset as isize - shift[operand]) as usize;
    kernel.body = match kernel.body {
        Body::Loops(nest) => {
            let index = |operand: Option<usize>, a: &Affine| Affine {
                offset: operand.map_or(a.offset, |i| offset(i, a.offset)),
                strides: a.strides.clone(),
            };
            Body::Loops(map(&nest, nest.domain.clone(), &index, &Along::clone))
        }
        Body::Contract(c) => {
            let matrix = |m: Matrix| Matrix { offset: offset(m.operand, m.offset), ..m };
            Body::Contract(Contract { a: matrix(c.a), b: matrix(c.b), c: matrix(c.c), ..c })
        }
        other @ (Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Linalg(_)
        | Body::Print(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)) => other,
    };
    Part { kernel, bindings, guard, when }
}

/// The loop nest over another domain, with other indices and positions; of instructions that are an index, the
/// operand is `None`.
pub(super) fn map(
    nest: &LoopNest,
    domain: Vec<usize>,
    index: &dyn Fn(Option<usize>, &Affine) -> Affine,
    position: &dyn Fn(&Along) -> Along,
) -> LoopNest {
    let inst = |inst: &Inst| match inst {
        Inst::Index(a) => Inst::Index(index(None, a)),
        Inst::Load { operand, index: a } => Inst::Load { operand: *operand, index: index(Some(*operand), a) },
        Inst::LoadWithin { operand, index: a, along } => Inst::LoadWithin {
            operand: *operand,
            index: index(Some(*operand), a),
            along: along.iter().map(position).collect(),
        },
        Inst::Within(along) => Inst::Within(along.iter().map(position).collect()),
        Inst::Literal(_)
        | Inst::Unary(..)
        | Inst::Binary(..)
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => inst.clone(),
    };
    let store = |s: &Store| Store { index: index(Some(s.operand), &s.index), ..s.clone() };
    let pass = |pass: &Pass| Pass {
        loops: pass.loops.clone(),
        insts: pass.insts.iter().map(inst).collect(),
        accs: pass.accs.clone(),
        stores: pass.stores.iter().map(store).collect(),
    };
    LoopNest { domain, passes: nest.passes.iter().map(pass).collect() }
}

/// Two kernels, each over one half of the axis; none if there is nothing to halve.
fn halve(part: &Part, axis: usize) -> Option<[Part; 2]> {
    let half = |start: usize, extent: usize| {
        let body = match &part.kernel.body {
            Body::Loops(nest) => {
                let mut domain = nest.domain.clone();
                domain[axis] = extent;
                let index = |_: Option<usize>, a: &Affine| Affine {
                    offset: a.offset + a.strides[axis] * start,
                    strides: a.strides.clone(),
                };
                let position = |a: &Along| Along { offset: a.offset + a.strides[axis] * start as isize, ..a.clone() };
                Body::Loops(map(nest, domain, &index, &position))
            }
            Body::Contract(c) => Body::Contract(product(c, axis, start, extent)),
            other @ (Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Print(_)
            | Body::Scan(_)
            | Body::While(_)
            | Body::Switch(_)) => other.clone(),
        };
        Part { kernel: Kernel { body, ..part.kernel.clone() }, ..part.clone() }
    };
    let extent = match &part.kernel.body {
        Body::Loops(nest) => nest.domain[axis],
        Body::Contract(c) => *[&c.batch[..], &[c.m, c.n]].concat().get(axis)?,
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => 0,
    };
    let low = extent / 2;
    (extent > 1).then(|| [half(0, low), half(low, extent - low)])
}

/// Two kernels, each for one half of a counter's values; none if there is nothing to halve.
fn fewer(part: &Part, counter: usize, limits: Limits) -> Option<[Part; 2]> {
    let values = part.when[counter].clone();
    let middle = values.start + values.len() / 2;
    let half = |own: std::ops::Range<usize>| {
        let mut half = part.clone();
        half.when[counter] = own.clone();
        for (operand, binding) in half.kernel.operands.iter().zip(&mut half.bindings) {
            let moved = binding.moves.by.get(counter).copied().unwrap_or(0) * (own.start - values.start);
            let origin = binding.origin(&part.when) + moved;
            // What is bound before it, for a binding to begin where it can, is skipped.
            let first = aligned(origin, operand.dtype.bytes() as u64, limits.alignment);
            let before = origin - first;
            binding.moves.once = before as isize - skipped(binding, &half.when);
            (binding.first, binding.len) = (first, operand.len + before);
        }
        half
    };
    (values.len() > 1).then(|| [half(values.start..middle), half(middle..values.end)])
}

/// The part of a product from `start` on along an axis: of the batch, rows, columns.
fn product(c: &Contract, axis: usize, start: usize, extent: usize) -> Contract {
    let mut part = c.clone();
    let ranks = c.batch.len();
    let shift = |m: &mut Matrix, stride: usize| m.offset += stride * start;
    if axis < ranks {
        part.batch[axis] = extent;
        for m in [&mut part.a, &mut part.b, &mut part.c] {
            shift(m, m.batch_strides[axis]);
        }
    } else if axis == ranks {
        part.m = extent;
        for m in [&mut part.a, &mut part.c] {
            shift(m, m.row);
        }
    } else {
        part.n = extent;
        for m in [&mut part.b, &mut part.c] {
            shift(m, m.column);
        }
    }
    part
}
