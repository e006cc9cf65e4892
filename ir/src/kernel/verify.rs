//! The verifier of kernels and schedules: what backends may rely on.

use super::{
    Affine, Along, Argsort, Body, Call, Contract, Inst, Kernel, Linalg, LoopNest, Matrix, Operand, Print, Scan,
    Scatter, Slot, Store, Switch, ValueId, While,
};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::graph::Aval;
use crate::infer;
use crate::op::{Op, Unary};
use crate::schedule::{BufferId, Schedule};
use crate::shape::Shape;
use std::result::Result as StdResult;

/// How much of a written operand must be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    Whole,
    Partly,
}

/// What is wrong; the caller says where.
type Check<T = ()> = StdResult<T, String>;

impl Kernel {
    /// Checks everything the kernel IR promises:
    ///
    /// * no extent is 0, and only passes with loops accumulate;
    /// * every instruction's operands are visible to it and have types it takes;
    /// * every index is in bounds for all indices of the axes in scope;
    /// * distinct points store distinct elements, every element of a written operand is stored,
    ///   and nothing else is;
    /// * a written operand is loaded only in passes after the one that stored it, at elements the
    ///   same domain point stored;
    /// * a call's callee is sound, and the elements of its batch lie inside the operands, those of an
    ///   output side by side;
    /// * the parts of a loop or branch are sound, take and give what they are handed, and what they
    ///   are handed lies whole in the operands.
    ///
    /// Distinctness is judged by the strides: a kernel whose stores are distinct for a subtler
    /// reason than mixed radices is refused too.
    ///
    /// # Errors
    /// [`Error::Internal`] naming the kernel and the pass, value or operand.
    pub fn verify(&self) -> Result<()> {
        self.check(Stored::Whole)
    }

    /// Checks all of [`verify`](Self::verify), but that written operands are stored whole: for a
    /// kernel that does a part of another one's work.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_part(&self) -> Result<()> {
        self.check(Stored::Partly)
    }

    fn check(&self, stored: Stored) -> Result<()> {
        let checked = match &self.body {
            Body::Loops(nest) => check_loops(nest, &self.operands, stored),
            Body::Contract(contract) => check_contract(contract, &self.operands, stored),
            Body::Call(call) => check_call(call, &self.operands),
            Body::Scan(scan) => check_scan(scan, &self.operands),
            Body::While(w) => check_while(w, &self.operands),
            Body::Switch(switch) => check_switch(switch, &self.operands),
            Body::Scatter(scatter) => check_scatter(scatter, &self.operands),
            Body::Argsort(argsort) => check_argsort(argsort, &self.operands),
            Body::Print(print) => check_print(print, &self.operands),
            Body::Linalg(linalg) => check_linalg(linalg, &self.operands),
        };
        checked.map_err(|what| Error::internal(format!("kernel `{}`: {what}", self.name)))
    }
}

impl LoopNest {
    /// The element type of every value, by [`ValueId`]: of a kernel with these operands.
    ///
    /// # Errors
    /// [`Error::Internal`] if a value's operands are not visible to it or not what it takes.
    pub fn dtypes(&self, operands: &[Operand]) -> Result<Vec<Dtype>> {
        check_values(self, operands).map_err(Error::internal)
    }
}

fn check_loops(nest: &LoopNest, operands: &[Operand], stored: Stored) -> Check {
    if let Some(axis) = nest.domain.iter().position(|n| *n == 0) {
        return Err(format!("axis p{axis} of the domain is empty"));
    }
    for (p, pass) in nest.passes.iter().enumerate() {
        if let Some(axis) = pass.loops.iter().position(|n| *n == 0) {
            return Err(format!("loop r{axis} of pass {p} is empty"));
        }
        if pass.loops.is_empty() && !pass.accs.is_empty() {
            return Err(format!("pass {p} has no loops but accumulates"));
        }
    }
    check_values(nest, operands)?;
    for (p, pass) in nest.passes.iter().enumerate() {
        let axes: Vec<usize> = nest.domain.iter().chain(&pass.loops).copied().collect();
        for inst in &pass.insts {
            match inst {
                Inst::Index(index) => {
                    let last = last(index, &axes).map_err(|e| format!("pass {p}: `index`: {e}"))?;
                    if i32::try_from(last).is_err() {
                        return Err(format!("pass {p}: an index up to {last} is no i32"));
                    }
                }
                Inst::Load { operand, index } => {
                    let what = format!("pass {p}: load of b{operand}");
                    in_bounds(&operands[*operand], index, &axes).map_err(|e| format!("{what}: {e}"))?;
                    if operands[*operand].written && !stored_before(nest, p, *operand, index) {
                        return Err(format!("{what}: no earlier pass stored that element at the same point"));
                    }
                }
                Inst::LoadWithin { operand, index, along } => {
                    let what = format!("pass {p}: load of b{operand}");
                    check_positions(along, &axes).map_err(|e| format!("{what}: {e}"))?;
                    // The farthest positions inside are as far as an axis of `extent` steps of `by`.
                    let far = Affine {
                        offset: index.offset,
                        strides: index.strides.iter().copied().chain(along.iter().map(|a| a.by)).collect(),
                    };
                    let extents: Vec<usize> = axes.iter().copied().chain(along.iter().map(|a| a.extent)).collect();
                    in_bounds(&operands[*operand], &far, &extents).map_err(|e| format!("{what}: {e}"))?;
                    if operands[*operand].written {
                        return Err(format!("{what}: it is written, and positions may be any"));
                    }
                }
                Inst::Within(along) => {
                    check_positions(along, &axes).map_err(|e| format!("pass {p}: `within`: {e}"))?;
                    if along.iter().any(|a| a.by != 0) {
                        return Err(format!("pass {p}: `within`: there are no elements to go by"));
                    }
                }
                Inst::Literal(_)
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Compare(..)
                | Inst::Select(..)
                | Inst::IntegerPow(..)
                | Inst::Convert(..) => {}
            }
        }
        for store in &pass.stores {
            let what = format!("pass {p}: store to b{}", store.operand);
            in_bounds(&operands[store.operand], &store.index, &axes).map_err(|e| format!("{what}: {e}"))?;
            if !distinct(1, &store.index.strides, &axes) {
                return Err(format!("{what}: distinct points may store the same element"));
            }
        }
    }
    for (i, operand) in operands.iter().enumerate().filter(|(_, o)| o.written) {
        check_written(nest, i, operand, stored)?;
    }
    Ok(())
}

/// So many positions an axis may have, and so large one may be: its sum with any `i32` then lies
/// outside, or doesn't wrap around.
const MOST_POSITIONS: usize = 1 << 30;

fn check_positions(along: &[Along], axes: &[usize]) -> Check {
    if along.is_empty() {
        return Err("there is no position".into());
    }
    for a in along {
        if a.strides.len() != axes.len() {
            return Err(format!("a position has {} strides for {} axes", a.strides.len(), axes.len()));
        }
        if a.extent == 0 || a.extent > MOST_POSITIONS {
            return Err(format!("there are {} positions", a.extent));
        }
        let far = a.strides.iter().zip(axes).try_fold(a.offset.unsigned_abs(), |sum, (stride, n)| {
            stride.unsigned_abs().checked_mul(n - 1)?.checked_add(sum)
        });
        if far.is_none_or(|far| far > MOST_POSITIONS) {
            return Err("a position is no number of 31 bits".into());
        }
    }
    Ok(())
}

/// Checks visibility and types, and gives the type of each value.
fn check_values(nest: &LoopNest, operands: &[Operand]) -> Check<Vec<Dtype>> {
    let mut dtypes: Vec<Dtype> = Vec::new();
    let mut visible: Vec<bool> = Vec::new();
    for (p, pass) in nest.passes.iter().enumerate() {
        let first = dtypes.len();
        for inst in &pass.insts {
            let id = ValueId::from(dtypes.len());
            let dtype = inst_dtype(inst, operands, &dtypes, &visible);
            dtypes.push(dtype.map_err(|e| format!("pass {p}, {id}: {e}"))?);
            visible.push(true);
        }
        let insts = first..dtypes.len();
        for store in &pass.stores {
            let what = format!("pass {p}: store to b{}", store.operand);
            let fail = |e: String| format!("{what}: {e}");
            let operand = operands.get(store.operand).ok_or_else(|| fail("there is no such operand".into()))?;
            let dtype = use_of(store.value, &dtypes, &visible).map_err(fail)?;
            if !operand.written {
                return Err(fail("the kernel says it only reads it".into()));
            }
            if dtype != operand.dtype {
                return Err(fail(format!("{} is {dtype}, the operand {}", store.value, operand.dtype)));
            }
        }
        for acc in &pass.accs {
            let id = ValueId::from(dtypes.len());
            let fail = |e: String| format!("pass {p}, {id}: {e}");
            if !insts.contains(&acc.value.index()) {
                return Err(fail(format!("`{}` reduces {}, no instruction of this pass", acc.kind.name(), acc.value)));
            }
            let dtype = dtypes[acc.value.index()];
            if dtype == Dtype::Bool || dtype.computed() != dtype {
                return Err(fail(format!("`{}` doesn't take {dtype}", acc.kind.name())));
            }
            dtypes.push(dtype);
            visible.push(true);
        }
        if !pass.loops.is_empty() {
            visible[insts].fill(false);
        }
    }
    Ok(dtypes)
}

fn use_of(value: ValueId, dtypes: &[Dtype], visible: &[bool]) -> Check<Dtype> {
    match visible.get(value.index()) {
        None => Err(format!("{value} is not an earlier value")),
        Some(false) => Err(format!("{value} belongs to the loops of another pass")),
        Some(true) => Ok(dtypes[value.index()]),
    }
}

fn inst_dtype(inst: &Inst, operands: &[Operand], dtypes: &[Dtype], visible: &[bool]) -> Check<Dtype> {
    let op = match inst {
        Inst::Literal(literal) => return Ok(literal.dtype()),
        Inst::Index(_) => return Ok(Dtype::I32),
        Inst::Load { operand, .. } => return dtype_of(*operand, operands),
        Inst::LoadWithin { operand, along, .. } => {
            check_added(along, dtypes, visible)?;
            return dtype_of(*operand, operands);
        }
        Inst::Within(along) => return check_added(along, dtypes, visible).map(|()| Dtype::Bool),
        Inst::Unary(u, _) => Op::Unary(*u),
        Inst::Binary(b, ..) => Op::Binary(*b),
        Inst::Compare(c, ..) => Op::Compare(*c),
        Inst::Select(..) => Op::Select,
        Inst::IntegerPow(n, _) => Op::IntegerPow(*n),
        Inst::Convert(d, _) => Op::Convert(*d),
    };
    let mut avals = Vec::new();
    for value in inst.args() {
        avals.push(Aval::new(use_of(value, dtypes, visible)?, Shape::scalar()));
    }
    if computes(inst)
        && let Some(x) = avals.iter().find(|x| x.dtype.computed() != x.dtype)
    {
        return Err(format!("computes in {}, which kernels only move and convert", x.dtype));
    }
    let avals: Vec<&Aval> = avals.iter().collect();
    infer::infer(&op, &avals).map(|a| a.dtype).map_err(|e| e.report().message.clone())
}

/// Whether an instruction does more with elements than to move or to convert them.
fn computes(inst: &Inst) -> bool {
    match inst {
        Inst::Unary(Unary::StopGradient | Unary::Barrier, _)
        | Inst::Literal(_)
        | Inst::Index(_)
        | Inst::Load { .. }
        | Inst::LoadWithin { .. }
        | Inst::Within(_)
        | Inst::Select(..)
        | Inst::Convert(..) => false,
        Inst::Unary(..) | Inst::Binary(..) | Inst::Compare(..) | Inst::IntegerPow(..) => true,
    }
}

fn dtype_of(operand: usize, operands: &[Operand]) -> Check<Dtype> {
    operands.get(operand).map(|o| o.dtype).ok_or_else(|| format!("there is no operand b{operand}"))
}

/// Checks the values added to positions.
fn check_added(along: &[Along], dtypes: &[Dtype], visible: &[bool]) -> Check {
    for value in along.iter().filter_map(|a| a.plus) {
        let dtype = use_of(value, dtypes, visible)?;
        if dtype != Dtype::I32 {
            return Err(format!("{value}, added to a position, is {dtype}, not i32"));
        }
    }
    Ok(())
}

/// The largest index an affine makes.
fn last(index: &Affine, axes: &[usize]) -> Check<usize> {
    if index.strides.len() != axes.len() {
        return Err(format!("the index has {} strides for {} axes", index.strides.len(), axes.len()));
    }
    let reach = index
        .strides
        .iter()
        .zip(axes)
        .try_fold(index.offset, |sum, (stride, n)| stride.checked_mul(n - 1)?.checked_add(sum));
    reach.ok_or_else(|| "the index overflows".to_owned())
}

fn in_bounds(operand: &Operand, index: &Affine, axes: &[usize]) -> Check {
    let last = last(index, axes)?;
    if last < operand.len {
        return Ok(());
    }
    Err(format!("the index reaches {last}, but there are {} elements", operand.len))
}

/// Whether blocks of `width` elements, one at each index's offset, are disjoint: sorted by stride,
/// each axis steps over all that lies within.
fn distinct(width: usize, strides: &[usize], axes: &[usize]) -> bool {
    let mut axes: Vec<(usize, usize)> = strides.iter().copied().zip(axes.iter().copied()).filter(|a| a.1 > 1).collect();
    axes.sort_unstable();
    let mut covered = width;
    axes.into_iter().all(|(stride, n)| {
        let fits = stride >= covered;
        covered = covered.saturating_add(stride.saturating_mul(n - 1));
        fits
    })
}

/// The axes that matter for which elements are touched.
fn touched<'a>(strides: &'a [usize], axes: &'a [usize]) -> Vec<(usize, usize)> {
    let mut all: Vec<_> = strides.iter().copied().zip(axes.iter().copied()).filter(|a| a.0 > 0 && a.1 > 1).collect();
    all.sort_unstable();
    all
}

/// Whether a pass before `p` stored, at the same domain point, every element the load touches.
fn stored_before(nest: &LoopNest, p: usize, operand: usize, load: &Affine) -> bool {
    let d = nest.domain.len();
    let loaded = touched(&load.strides[d..], &nest.passes[p].loops);
    let covers = |pass: &super::Pass, store: &Store| {
        let stored = touched(&store.index.strides[d..], &pass.loops);
        let same_point = touched(&store.index.strides[..d], &nest.domain) == touched(&load.strides[..d], &nest.domain)
            && store.index.strides[..d]
                .iter()
                .zip(&load.strides[..d])
                .zip(&nest.domain)
                .all(|((a, b), n)| a == b || *n == 1);
        store.operand == operand
            && same_point
            && store.index.offset == load.offset
            && loaded.iter().all(|(stride, n)| stored.iter().any(|(s, m)| s == stride && m >= n))
    };
    nest.passes[..p].iter().any(|pass| {
        pass.stores.iter().any(|store| store.index.strides.len() == d + pass.loops.len() && covers(pass, store))
    })
}

/// Checks that a written operand is stored whole, and by one domain point per element.
fn check_written(nest: &LoopNest, i: usize, operand: &Operand, needed: Stored) -> Check {
    let d = nest.domain.len();
    let stores: Vec<(&Store, &[usize])> = nest
        .passes
        .iter()
        .flat_map(|pass| pass.stores.iter().map(|s| (s, &pass.loops[..])))
        .filter(|(s, _)| s.operand == i)
        .collect();
    let points = |loops: &[usize]| nest.domain.iter().chain(loops).product::<usize>();
    let stored = stores.iter().map(|(_, loops)| points(loops)).fold(0, usize::saturating_add);
    if needed == Stored::Whole && stored < operand.len {
        return Err(format!("b{i} is written, but {} of its elements are never stored", operand.len - stored));
    }
    // What one domain point stores lies within one interval; the intervals must be disjoint.
    let Some((first, _)) = stores.first() else { return Ok(()) };
    let same_domain = stores.iter().all(|(s, _)| s.index.strides[..d] == first.index.strides[..d]);
    let reach = |s: &Store, loops: &[usize]| -> usize {
        s.index.offset + s.index.strides[d..].iter().zip(loops).map(|(stride, n)| stride * (n - 1)).sum::<usize>()
    };
    let low = stores.iter().map(|(s, _)| s.index.offset).min().unwrap_or(0);
    let high = stores.iter().map(|(s, loops)| reach(s, loops)).max().unwrap_or(0);
    if same_domain && distinct(high - low + 1, &first.index.strides[..d], &nest.domain) {
        return Ok(());
    }
    for (n, (a, a_loops)) in stores.iter().enumerate() {
        for (b, b_loops) in &stores[..n] {
            let whole = |s: &Store, loops: &[usize]| {
                let axes: Vec<usize> = nest.domain.iter().chain(loops).copied().collect();
                (s.index.offset, last(&s.index, &axes).unwrap_or(usize::MAX))
            };
            let ((a_low, a_high), (b_low, b_high)) = (whole(a, a_loops), whole(b, b_loops));
            let same = same_domain
                && a.index.offset == b.index.offset
                && touched(&a.index.strides[d..], a_loops) == touched(&b.index.strides[d..], b_loops);
            if !same && a_low <= b_high && b_low <= a_high {
                return Err(format!("two stores to b{i} may meet at elements of distinct points"));
            }
        }
    }
    Ok(())
}

fn check_contract(c: &Contract, operands: &[Operand], needed: Stored) -> Check {
    if !c.dtype.is_float() || c.dtype.computed() != c.dtype {
        return Err(format!("contracts f32 or f64, not {}", c.dtype));
    }
    if c.m == 0 || c.n == 0 || c.batch.contains(&0) {
        return Err(format!("an extent is 0: batch {:?}, m {}, n {}", c.batch, c.m, c.n));
    }
    let matrices = [("a", &c.a, c.m, c.k, false), ("b", &c.b, c.k, c.n, false), ("c", &c.c, c.m, c.n, true)];
    for (name, matrix, rows, columns, written) in matrices {
        check_matrix(c, matrix, rows, columns, written, operands).map_err(|e| format!("matrix {name}: {e}"))?;
    }
    if let Some(i) = (0..operands.len()).find(|i| operands[*i].written && *i != c.c.operand) {
        return Err(format!("b{i} is written, but never stored"));
    }
    let (axes, strides) = axes_of(c, &c.c, c.m, c.n);
    if !distinct(1, &strides, &axes) {
        return Err("matrix c: distinct indices may store the same element".into());
    }
    let stored: usize = axes.iter().product();
    if needed == Stored::Whole && stored < operands[c.c.operand].len {
        return Err(format!("matrix c: {} elements are never stored", operands[c.c.operand].len - stored));
    }
    Ok(())
}

fn axes_of(c: &Contract, matrix: &Matrix, rows: usize, columns: usize) -> (Vec<usize>, Vec<usize>) {
    let axes = c.batch.iter().copied().chain([rows, columns]).collect();
    (axes, matrix.batch_strides.iter().copied().chain([matrix.row, matrix.column]).collect())
}

fn check_matrix(
    c: &Contract,
    matrix: &Matrix,
    rows: usize,
    columns: usize,
    written: bool,
    operands: &[Operand],
) -> Check {
    let operand = operands.get(matrix.operand).ok_or_else(|| format!("there is no operand b{}", matrix.operand))?;
    if operand.dtype != c.dtype {
        return Err(format!("b{} is {}, the product {}", matrix.operand, operand.dtype, c.dtype));
    }
    if operand.written != written {
        return Err(format!("b{} is {}", matrix.operand, if written { "only read" } else { "written" }));
    }
    if matrix.batch_strides.len() != c.batch.len() {
        return Err(format!("{} strides for {} batch axes", matrix.batch_strides.len(), c.batch.len()));
    }
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    let (axes, strides) = axes_of(c, matrix, rows, columns);
    in_bounds(operand, &Affine { offset: matrix.offset, strides: strides.into() }, &axes)
}

/// Checks that the operands, of which the last is written, are all there are, and of these types and
/// lengths; `None` is any type.
fn check_whole(operands: &[Operand], want: &[(&str, usize, Option<Dtype>, Option<usize>)]) -> Check {
    for (i, (name, at, dtype, len)) in want.iter().enumerate() {
        let operand = operands.get(*at).ok_or_else(|| format!("there is no operand b{at}"))?;
        let written = i + 1 == want.len();
        if operand.written != written {
            return Err(format!("{name}: b{at} is {}", if written { "only read" } else { "written" }));
        }
        if dtype.is_some_and(|dtype| dtype != operand.dtype) || Some(operand.len) != *len {
            let len = len.map_or("too many".to_owned(), |n| n.to_string());
            let dtype = dtype.unwrap_or(operand.dtype);
            return Err(format!("{name}: b{at} is {} {}, not {len} {dtype}", operand.len, operand.dtype));
        }
    }
    match (0..operands.len()).find(|i| !want.iter().any(|(_, at, ..)| at == i)) {
        Some(i) => Err(format!("b{i} is no operand of it")),
        None => Ok(()),
    }
}

fn check_scatter(c: &Scatter, operands: &[Operand]) -> Check {
    let [x, indices, updates] = c.sizes().map_or([None; 3], |sizes| sizes.map(Some));
    let dtype = operands.get(c.x).map(|o| o.dtype);
    if let Some(dtype) = dtype.filter(|d| *d == Dtype::Bool || d.computed() != *d) {
        return Err(format!("combines f32, f64 or integers, not {dtype}"));
    }
    check_whole(
        operands,
        &[
            ("x", c.x, None, x),
            ("indices", c.indices, Some(Dtype::I32), indices),
            ("updates", c.updates, dtype, updates),
            ("result", c.result, dtype, x),
        ],
    )
}

fn check_argsort(c: &Argsort, operands: &[Operand]) -> Check {
    if i32::try_from(c.length).is_err() {
        return Err(format!("positions up to {} are no i32", c.length));
    }
    if let Some(dtype) = operands.get(c.x).map(|o| o.dtype).filter(|d| d.computed() != *d) {
        return Err(format!("sorts no {dtype}"));
    }
    let len = c.outer.checked_mul(c.length).and_then(|n| n.checked_mul(c.inner));
    check_whole(operands, &[("x", c.x, None, len), ("result", c.result, Some(Dtype::I32), len)])
}

fn check_print(p: &Print, operands: &[Operand]) -> Check {
    let pieces = crate::print::pieces(&p.format).map_err(|e| e.report().message.clone())?;
    if p.values.len() + 1 != pieces.len() {
        return Err(format!("prints {} values with {} placeholders", p.values.len(), pieces.len() - 1));
    }
    if let Some((_, shape)) = p.values.iter().find(|(_, shape)| !shape.starts_with(&p.levels)) {
        return Err(format!("a value of shape {shape:?} has not the levels {:?}", p.levels));
    }
    let len = |shape: &[usize]| shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent));
    let values = p.values.iter().map(|(operand, shape)| ("value", *operand, None, len(shape)));
    let mut want = vec![("token", p.token, Some(Dtype::I32), Some(1))];
    want.extend(values);
    want.push(("result", p.result, Some(Dtype::I32), Some(1)));
    check_whole(operands, &want)
}

fn check_linalg(c: &Linalg, operands: &[Operand]) -> Check {
    let name = c.kind.name();
    if c.read.len() != c.kind.arity() {
        return Err(format!("{name} reads {} operands, not {}", c.kind.arity(), c.read.len()));
    }
    let Some(sizes) = c.sizes() else {
        return Err(format!("{name} takes no matrices of {} rows and {} columns", c.rows, c.columns));
    };
    let dtype = operands.get(c.result).map_or(Dtype::F64, |o| o.dtype);
    if !dtype.is_float() || dtype.computed() != dtype {
        return Err(format!("{name} is of f32 or f64, not {dtype}"));
    }
    let len = |i: usize| c.batch.checked_mul(sizes[i]);
    let names: &[&str] = if c.read.len() == 1 { &["x"] } else { &["a", "b"] };
    let mut want: Vec<_> =
        (names.iter().zip(&c.read).enumerate()).map(|(i, (name, at))| (*name, *at, Some(dtype), len(i))).collect();
    want.push(("result", c.result, Some(dtype), len(c.read.len())));
    check_whole(operands, &want)
}

fn check_call(c: &Call, operands: &[Operand]) -> Check {
    c.callee.verify().map_err(|e| format!("callee: {}", e.report().message))?;
    if c.count == 0 {
        return Err("calls for no element".into());
    }
    for (role, slots, own, written) in
        [("input", &c.inputs, &c.callee.inputs, false), ("output", &c.outputs, &c.callee.outputs, true)]
    {
        if slots.len() != own.len() {
            return Err(format!("has {} {role}s, the callee {}", slots.len(), own.len()));
        }
        for (i, (slot, (_, aval))) in slots.iter().zip(own).enumerate() {
            check_slot(c.count, slot, aval, written, operands).map_err(|e| format!("{role} {i}: {e}"))?;
        }
    }
    each_once(&c.outputs, operands)
}

/// Checks that every written operand is one output's.
fn each_once(outputs: &[Slot], operands: &[Operand]) -> Check {
    let mut stored = vec![false; operands.len()];
    for (i, slot) in outputs.iter().enumerate() {
        if std::mem::replace(&mut stored[slot.operand], true) {
            return Err(format!("output {i}: b{} is another output's operand", slot.operand));
        }
    }
    match (0..operands.len()).find(|i| operands[*i].written && !stored[*i]) {
        Some(i) => Err(format!("b{i} is written, but is no output")),
        None => Ok(()),
    }
}

fn sound(role: &str, schedule: &Schedule) -> Check {
    schedule.verify().map_err(|e| format!("{role}: {}", e.report().message))
}

fn number(role: &str, want: usize, got: usize) -> Check {
    if want == got { Ok(()) } else { Err(format!("has {got} {role}, not {want}")) }
}

/// The avals of a schedule's inputs or outputs.
fn avals(of: &[(BufferId, Aval)]) -> impl Iterator<Item = &Aval> + Clone {
    of.iter().map(|(_, aval)| aval)
}

/// What a loop or branch is handed whole, in one piece (`steps` is `None`) or an element per step.
fn check_piece(slot: &Slot, aval: &Aval, steps: Option<usize>, written: bool, operands: &[Operand]) -> Check {
    let Slot { operand: i, stride } = *slot;
    let operand = operands.get(i).ok_or_else(|| format!("there is no operand b{i}"))?;
    let len = aval.shape.checked_size().ok_or_else(|| format!("{aval} has too many elements"))?;
    let all = len.checked_mul(steps.unwrap_or(1)).ok_or_else(|| "the steps' places overflow".to_owned())?;
    if (operand.dtype, operand.len, operand.written) != (aval.dtype, all, written) {
        let access = if operand.written { "written" } else { "read" };
        return Err(format!(
            "b{i}, {access} {}[{}], is no place for {aval}, {all} elements",
            operand.dtype, operand.len
        ));
    }
    let want = if steps.is_some() { len } else { 0 };
    if stride == want { Ok(()) } else { Err(format!("b{i} has stride {stride}, not {want}")) }
}

/// Checks that steps hand on what they carry.
fn check_carry<'a>(from: impl Iterator<Item = &'a Aval>, to: impl Iterator<Item = &'a Aval>) -> Check {
    match from.zip(to).enumerate().find(|(_, (from, to))| from != to) {
        Some((i, (from, to))) => Err(format!("carry {i} is {from} before a step and {to} after it")),
        None => Ok(()),
    }
}

fn check_scan(s: &Scan, operands: &[Operand]) -> Check {
    sound("body", &s.body)?;
    let (inputs, outputs) = (&s.body.inputs, &s.body.outputs);
    number("inputs", inputs.len(), s.inputs.len())?;
    number("outputs", outputs.len(), s.outputs.len())?;
    let fixed = s.consts.checked_add(s.carry).filter(|n| *n <= inputs.len() && s.carry <= outputs.len());
    let Some(fixed) = fixed else {
        return Err(format!("the body has no {} consts and {} carries", s.consts, s.carry));
    };
    for (i, (slot, aval)) in s.inputs.iter().zip(avals(inputs)).enumerate() {
        let steps = (i >= fixed).then_some(s.length);
        check_piece(slot, aval, steps, false, operands).map_err(|e| format!("input {i}: {e}"))?;
    }
    for (i, (slot, aval)) in s.outputs.iter().zip(avals(outputs)).enumerate() {
        let steps = (i >= s.carry).then_some(s.length);
        check_piece(slot, aval, steps, true, operands).map_err(|e| format!("output {i}: {e}"))?;
    }
    check_carry(avals(&inputs[s.consts..fixed]), avals(&outputs[..s.carry]))?;
    each_once(&s.outputs, operands)
}

fn check_while(w: &While, operands: &[Operand]) -> Check {
    sound("cond", &w.cond)?;
    sound("body", &w.body)?;
    let carry = w.outputs.len();
    let consts = w.cond_consts.saturating_add(w.body_consts);
    number("inputs", consts.saturating_add(carry), w.inputs.len())?;
    number("condition's inputs", w.cond_consts + carry, w.cond.inputs.len())?;
    number("body's inputs", w.body_consts + carry, w.body.inputs.len())?;
    number("body's outputs", carry, w.body.outputs.len())?;
    if !avals(&w.cond.outputs).eq([&Aval::new(Dtype::Bool, Shape::scalar())]) {
        return Err("the condition must give one bool".into());
    }
    let asked = avals(&w.cond.inputs[..w.cond_consts]).chain(avals(&w.body.inputs));
    for (i, (slot, aval)) in w.inputs.iter().zip(asked).enumerate() {
        check_piece(slot, aval, None, false, operands).map_err(|e| format!("input {i}: {e}"))?;
    }
    for (i, (slot, aval)) in w.outputs.iter().zip(avals(&w.body.outputs)).enumerate() {
        check_piece(slot, aval, None, true, operands).map_err(|e| format!("output {i}: {e}"))?;
    }
    check_carry(avals(&w.body.inputs[w.body_consts..]), avals(&w.body.outputs))?;
    check_carry(avals(&w.cond.inputs[w.cond_consts..]), avals(&w.body.outputs))?;
    each_once(&w.outputs, operands)
}

fn check_switch(s: &Switch, operands: &[Operand]) -> Check {
    if s.branches.is_empty() {
        return Err("has no branch".into());
    }
    check_piece(&Slot { operand: s.index, stride: 0 }, &Aval::new(Dtype::I32, []), None, false, operands)
        .map_err(|e| format!("index: {e}"))?;
    for (b, branch) in s.branches.iter().enumerate() {
        let role = format!("branch {b}");
        sound(&role, branch)?;
        number(&format!("{role}'s inputs"), s.inputs.len(), branch.inputs.len())?;
        number(&format!("{role}'s outputs"), s.outputs.len(), branch.outputs.len())?;
        for (i, (slot, aval)) in s.inputs.iter().zip(avals(&branch.inputs)).enumerate() {
            check_piece(slot, aval, None, false, operands).map_err(|e| format!("{role}, input {i}: {e}"))?;
        }
        for (i, (slot, aval)) in s.outputs.iter().zip(avals(&branch.outputs)).enumerate() {
            check_piece(slot, aval, None, true, operands).map_err(|e| format!("{role}, output {i}: {e}"))?;
        }
    }
    each_once(&s.outputs, operands)
}

fn check_slot(count: usize, slot: &Slot, aval: &Aval, written: bool, operands: &[Operand]) -> Check {
    let operand = operands.get(slot.operand).ok_or_else(|| format!("there is no operand b{}", slot.operand))?;
    if operand.dtype != aval.dtype {
        return Err(format!("b{} is {}, the callee's {}", slot.operand, operand.dtype, aval.dtype));
    }
    if operand.written != written {
        return Err(format!("b{} is {}", slot.operand, if written { "only read" } else { "written" }));
    }
    let len = aval.shape.checked_size().ok_or_else(|| format!("{aval} has too many elements"))?;
    let end = slot.stride.checked_mul(count - 1).and_then(|n| n.checked_add(len));
    let end = end.ok_or_else(|| "the elements' places overflow".to_owned())?;
    if end > operand.len {
        return Err(format!("reaches {end} elements, but there are {}", operand.len));
    }
    // Stored whole, and each element once.
    if written && (end < operand.len || (count > 1 && slot.stride != len)) {
        return Err(format!("stride {} doesn't lay elements of {len} side by side in {}", slot.stride, operand.len));
    }
    Ok(())
}

impl Schedule {
    /// Checks every kernel and how they are connected: operands that exist and have the kernel's
    /// type and length; inputs on distinct buffers that nobody writes; each other buffer written
    /// by one step, before it is read (unless it has no elements); no step reading what it writes; outputs that exist.
    ///
    /// # Errors
    /// [`Error::Internal`] naming the step and the buffer.
    pub fn verify(&self) -> Result<()> {
        for (i, step) in self.steps.iter().enumerate() {
            step.kernel.verify().map_err(|e| Error::internal(format!("step {i}: {}", e.report().message)))?;
        }
        check_schedule(self).map_err(|what| Error::internal(format!("schedule: {what}")))
    }
}

fn check_schedule(schedule: &Schedule) -> Check {
    let fits = |id: BufferId, dtype: Dtype, len: Option<usize>| -> Check {
        let buffer = schedule.buffers.get(id.index()).ok_or_else(|| format!("there is no buffer {id}"))?;
        if buffer.dtype == dtype && Some(buffer.len) == len {
            return Ok(());
        }
        let len = len.map_or("too many".to_owned(), |n| n.to_string());
        Err(format!("{id} holds {} {}, not {len} {dtype}", buffer.len, buffer.dtype))
    };
    let mut ready = vec![false; schedule.buffers.len()];
    for (i, (id, aval)) in schedule.inputs.iter().enumerate() {
        fits(*id, aval.dtype, aval.shape.checked_size()).map_err(|e| format!("input {i}: {e}"))?;
        if std::mem::replace(&mut ready[id.index()], true) {
            return Err(format!("input {i}: {id} is another input's buffer"));
        }
    }
    for (i, step) in schedule.steps.iter().enumerate() {
        let fail = |e: String| format!("step {i} (`{}`): {e}", step.kernel.name);
        if step.operands.len() != step.kernel.operands.len() {
            let (got, want) = (step.operands.len(), step.kernel.operands.len());
            return Err(fail(format!("has {got} buffers for {want} operands")));
        }
        for (operand, id) in step.kernel.operands.iter().zip(&step.operands) {
            fits(*id, operand.dtype, Some(operand.len)).map_err(fail)?;
            // What has no elements needs no writer.
            if !operand.written && !ready[id.index()] && operand.len > 0 {
                return Err(fail(format!("reads {id} before it is written")));
            }
        }
        for (operand, id) in step.kernel.operands.iter().zip(&step.operands) {
            if operand.written && std::mem::replace(&mut ready[id.index()], true) {
                return Err(fail(format!("writes {id}, which is an input or already written")));
            }
        }
    }
    for (i, (id, aval)) in schedule.outputs.iter().enumerate() {
        fits(*id, aval.dtype, aval.shape.checked_size()).map_err(|e| format!("output {i}: {e}"))?;
        if !ready[id.index()] && schedule.buffer(*id).len > 0 {
            return Err(format!("output {i}: {id} is never written"));
        }
    }
    Ok(())
}
