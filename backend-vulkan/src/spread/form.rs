//! How invocations share a launch.
//!
//! A loop nest's points get a team each: one invocation where there are many points with short
//! loops, more the fewer points there are and the longer their loops. A matrix product large enough
//! for tiles is computed by tiles; others are loop nests.

use super::Binding;
use crate::device::Caps;
use egrad_ir::kernel::{Acc, Affine, Body, Contract, Inst, Kernel, LoopNest, Matrix, Pass, Positions, Store, ValueId};
use egrad_ir::op::{Binary, Reduce};
use egrad_ir::{Dtype, Literal};
use std::ops::Range;

/// How invocations share the work of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// A team of so many invocations (a power of two, no more than a workgroup) for each point of
    /// a loop nest's domain. The team shares out the loops of a pass and combines what each of its
    /// members accumulated; a workgroup holds as many teams as fit.
    Team(u32),
    /// A workgroup for each tile of a matrix product.
    Tile(Tile),
    /// The same with cooperative matrices, for products of whole tiles.
    Cooperative(Cooperative),
}

/// A tile of a matrix product's result, and how a workgroup computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// How far along `k` at once.
    pub(crate) depth: usize,
    /// Rows and columns of each invocation.
    pub(crate) each: [usize; 2],
}

impl Tile {
    /// Largest first.
    pub(crate) const ALL: [Tile; 3] = [
        Tile { rows: 128, columns: 128, depth: 8, each: [8, 8] },
        Tile { rows: 64, columns: 64, depth: 16, each: [4, 4] },
        Tile::LEAST,
    ];
    /// One that every device has room for.
    const LEAST: Tile = Tile { rows: 32, columns: 32, depth: 16, each: [4, 4] };

    /// Invocations down and right.
    pub(crate) fn invocations(self) -> [usize; 2] {
        [self.rows / self.each[0], self.columns / self.each[1]]
    }

    /// Elements of shared memory for a strip of that width: one more in each row, so that columns
    /// lie in different banks.
    pub(crate) fn padded(self, width: usize) -> u32 {
        (self.depth * (width + 1)) as u32
    }

    /// Whether a workgroup of the device has room for it.
    pub(crate) fn fits(self, dtype: Dtype, caps: &Caps) -> bool {
        const REGISTER_BYTES: usize = 256;
        let [high, wide] = self.invocations();
        let shared = (self.padded(self.rows) + self.padded(self.columns)) as usize * dtype.bytes();
        high * wide <= caps.workgroup as usize
            && shared <= caps.local_bytes as usize
            && self.each[0] * self.each[1] * dtype.bytes() <= REGISTER_BYTES
    }

    /// The largest tile of which there are enough to keep a device busy, or the least.
    fn of(c: &Contract, caps: &Caps) -> Tile {
        const ENOUGH: usize = 128;
        let worth = |tile: &Tile| {
            let count = c.m.div_ceil(tile.rows) * c.n.div_ceil(tile.columns) * c.batch.iter().product::<usize>();
            count >= ENOUGH && c.m * 2 > tile.rows && c.n * 2 > tile.columns && tile.fits(c.dtype, caps)
        };
        Tile::ALL.into_iter().find(worth).unwrap_or(Tile::LEAST)
    }
}

/// Cooperative matrices, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cooperative {
    /// Rows of the left matrix, columns of the right one, and what they share.
    pub(crate) shape: [usize; 3],
    /// Of a subgroup, down and right.
    pub(crate) blocks: [usize; 2],
    /// Of a workgroup, down and right.
    pub(crate) subgroups: [usize; 2],
}

impl Cooperative {
    /// Rows and columns of a workgroup's tile.
    pub(crate) fn tile(self) -> [usize; 2] {
        [0, 1].map(|i| self.shape[i] * self.blocks[i] * self.subgroups[i])
    }

    /// For products of whole tiles, whose matrices lie as cooperative matrices are loaded.
    fn of(c: &Contract, bindings: &[Binding], caps: &Caps) -> Option<Cooperative> {
        let with = |shape| Cooperative { shape, blocks: [2, 2], subgroups: [2, 2] };
        let subgroup = caps.subgroup? as usize;
        let fits = |by: &Cooperative| {
            let [rows, columns] = by.tile();
            let whole = c.m.is_multiple_of(rows) && c.n.is_multiple_of(columns) && c.k.is_multiple_of(by.shape[2]);
            let loads = |m: &&Matrix| loads(m, &bindings[m.operand], c.dtype);
            whole && 4 * subgroup <= caps.workgroup as usize && [&c.a, &c.b, &c.c].iter().all(loads)
        };
        caps.cooperative.iter().filter(|(dtype, _)| *dtype == c.dtype).map(|(_, shape)| with(*shape)).find(fits)
    }
}

/// Whether a matrix lies row by row or column by column, each at a multiple of 16 bytes.
fn loads(m: &Matrix, binding: &Binding, dtype: Dtype) -> bool {
    let aligned = |elements: usize| (elements * dtype.bytes()).is_multiple_of(16);
    if binding.moves.once != 0 || !binding.moves.by.iter().all(|by| aligned(*by)) {
        return false;
    }
    let stride = match (m.row, m.column) {
        (row, 1) => row,
        (1, column) => column,
        _ => return false,
    };
    aligned(stride) && aligned(m.offset) && m.batch_strides.iter().all(|s| aligned(*s))
}

/// The kernel, with the order of its axes that suits invocations, and how they share it.
pub(super) fn form(mut kernel: Kernel, bindings: &[Binding], caps: &Caps) -> (Kernel, Form) {
    let form = match &mut kernel.body {
        Body::Loops(nest) => {
            order(nest);
            Form::Team(team(nest, caps))
        }
        Body::Contract(c) => {
            Cooperative::of(c, bindings, caps).map_or_else(|| Form::Tile(Tile::of(c, caps)), Form::Cooperative)
        }
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => Form::Team(1),
    };
    (kernel, form)
}

/// A matrix product too small for tiles, or too long for an invocation, as a loop nest; every other
/// kernel as it is.
pub(super) fn untiled(kernel: Kernel, caps: &Caps) -> Kernel {
    const SIDE: usize = 16;
    const DEPTH: usize = 8;
    let body = match kernel.body {
        Body::Contract(c) if c.m < SIDE || c.n < SIDE || c.k < DEPTH => Body::Loops(nest(&c)),
        Body::Contract(c) if tile_iterations(&c) > caps.iterations => Body::Loops(nest(&c)),
        body => body,
    };
    Kernel { body, ..kernel }
}

/// The product as a sum at each of its elements.
fn nest(c: &Contract) -> LoopNest {
    // Strides along m, n and k.
    let index = |m: &Matrix, strides: &[usize]| Affine {
        offset: m.offset,
        strides: m.batch_strides.iter().chain(strides).copied().collect(),
    };
    let store = |value| Store { operand: c.c.operand, index: index(&c.c, &[c.c.row, c.c.column]), value };
    let domain = c.batch.iter().copied().chain([c.m, c.n]).collect();
    if c.k == 0 {
        let zero = Inst::Literal(Literal::new(c.dtype, 0.0));
        let pass = Pass { insts: vec![zero], stores: vec![store(ValueId(0))], ..Pass::default() };
        return LoopNest { domain, passes: vec![pass] };
    }
    let [x, y, product, sum] = [0, 1, 2, 3].map(ValueId);
    let sums = Pass {
        loops: vec![c.k],
        insts: vec![
            Inst::Load { operand: c.a.operand, index: index(&c.a, &[c.a.row, 0, c.a.column]) },
            Inst::Load { operand: c.b.operand, index: index(&c.b, &[0, c.b.column, c.b.row]) },
            Inst::Binary(Binary::Mul, x, y),
        ],
        accs: vec![Acc { kind: Reduce::Sum, value: product }],
        stores: Vec::new(),
    };
    LoopNest { domain, passes: vec![sums, Pass { stores: vec![store(sum)], ..Pass::default() }] }
}

/// Moves the first of some axes, by the positions of their strides, behind the others.
fn rotate(pass: &mut Pass, axes: Range<usize>) {
    let positions = |along: &mut Positions| along.iter_mut().for_each(|a| a.strides[axes.clone()].rotate_left(1));
    for inst in &mut pass.insts {
        match inst {
            Inst::Index(index) | Inst::Load { index, .. } => index.strides[axes.clone()].rotate_left(1),
            Inst::LoadWithin { index, along, .. } => {
                index.strides[axes.clone()].rotate_left(1);
                positions(along);
            }
            Inst::Within(along) => positions(along),
            Inst::Literal(_)
            | Inst::Unary(..)
            | Inst::Binary(..)
            | Inst::Compare(..)
            | Inst::Select(..)
            | Inst::IntegerPow(..)
            | Inst::Convert(..) => {}
        }
    }
    pass.stores.iter_mut().for_each(|s| s.index.strides[axes.clone()].rotate_left(1));
}

/// The strides of every load and store of a pass.
fn accesses(pass: &Pass) -> impl Iterator<Item = &[usize]> {
    let loads = pass.insts.iter().filter_map(|inst| match inst {
        Inst::Load { index, .. } => Some(index),
        Inst::LoadWithin { .. }
        | Inst::Within(_)
        | Inst::Literal(_)
        | Inst::Index(_)
        | Inst::Unary(..)
        | Inst::Binary(..)
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => None,
    });
    loads.chain(pass.stores.iter().map(|s| &s.index)).map(|index| &index.strides[..])
}

/// Puts the axis innermost along which most loads and stores go from element to element: of the
/// domain, and of each pass's loops.
fn order(nest: &mut LoopNest) {
    let d = nest.domain.len();
    if let Some(axis) = innermost(&nest.domain, 0, &nest.passes) {
        let extent = nest.domain.remove(axis);
        nest.domain.push(extent);
        nest.passes.iter_mut().for_each(|pass| rotate(pass, axis..d));
    }
    for pass in &mut nest.passes {
        if let Some(axis) = innermost(&pass.loops, d, std::slice::from_ref(pass)) {
            let extent = pass.loops.remove(axis);
            pass.loops.push(extent);
            let end = d + pass.loops.len();
            rotate(pass, d + axis..end);
        }
    }
}

/// Of axes whose strides are from `first` on, the one to put innermost, if it isn't there.
fn innermost(extents: &[usize], first: usize, passes: &[Pass]) -> Option<usize> {
    let steps = |axis: usize| -> usize {
        if extents[axis] == 1 {
            return 0;
        }
        passes.iter().flat_map(accesses).filter(|s| s.get(first + axis) == Some(&1)).count()
    };
    let last = (0..extents.len()).rev().find(|axis| extents[*axis] > 1)?;
    let best = (0..last).max_by_key(|axis| steps(*axis))?;
    (steps(best) > steps(last)).then_some(best)
}

/// Whether neighbouring points are at neighbouring elements in the loops of more accesses than
/// neighbouring iterations are: sums of columns.
pub(crate) fn across(nest: &LoopNest) -> bool {
    let d = nest.domain.len();
    let Some(point) = nest.domain.iter().rposition(|n| *n > 1) else { return false };
    let (mut across, mut along) = (0, 0);
    for pass in &nest.passes {
        let Some(iteration) = pass.loops.iter().rposition(|n| *n > 1) else { continue };
        for strides in accesses(pass) {
            across += usize::from(strides[point] == 1);
            along += usize::from(strides[d + iteration] == 1);
        }
    }
    across > along
}

/// No fewer iterations than an invocation of a team runs, of all loops together: each loop around
/// another one has half as many at most, and so do all of them.
pub(crate) fn iterations(nest: &LoopNest, lanes: u32) -> usize {
    let of_pass = |p: &Pass| p.loops.iter().fold(1usize, |n, e| n.saturating_mul(*e)).div_ceil(lanes as usize);
    let all = nest.passes.iter().filter(|p| !p.loops.is_empty()).map(of_pass);
    all.fold(0, usize::saturating_add).saturating_mul(2)
}

/// No fewer iterations than an invocation of a tile runs.
pub(crate) fn tile_iterations(c: &Contract) -> usize {
    c.k.saturating_add(Tile::LEAST.depth).saturating_mul(2)
}

/// How many invocations each point gets.
fn team(nest: &LoopNest, caps: &Caps) -> u32 {
    /// Invocations that keep a device busy.
    const BUSY: usize = 1 << 16;
    /// Iterations that are few for an invocation.
    const FEW: usize = 8;
    /// Neighbouring elements that are read at once.
    const LINE: usize = 32;
    let points = nest.domain.iter().product::<usize>();
    let longest = nest.passes.iter().map(|p| p.loops.iter().product::<usize>()).max().unwrap_or(1);
    let (workgroup, for_all) = (caps.workgroup as usize, BUSY.div_ceil(points));
    let lanes = if across(nest) {
        // Teams side by side read whole lines.
        for_all.min(longest / FEW).min(workgroup / LINE)
    } else if longest < 2 * FEW && points >= BUSY / FEW {
        1
    } else {
        let wanted = (longest / FEW).max(for_all).max(LINE);
        // A subgroup needs no barriers.
        let subgroup = caps.subgroup.map(|s| s as usize).filter(|s| points * s >= BUSY && longest <= s * 4 * FEW);
        wanted.min(longest).min(subgroup.unwrap_or(workgroup))
    };
    let mut lanes = lanes.max(1).next_power_of_two().min(workgroup) as u32;
    while lanes < caps.workgroup && iterations(nest, lanes) > caps.iterations {
        lanes *= 2;
    }
    lanes
}
