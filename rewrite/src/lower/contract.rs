//! A `dot_general` as a strided matrix product.
//!
//! Every axis of the product belongs to one of four roles: batch, rows, columns, contracted. Each
//! operand says with which stride it moves along each axis, views included (a transpose or a
//! broadcast of a value in memory needs no copy). Axes of one role are then merged where the
//! strides allow it; rows or columns that don't merge become batch axes.

use super::index::{Axis, Index, Position, operand_index};
use super::{Chosen, Illegal, Lowered, Operands};
use crate::choices::ValueIx;
use egrad_ir::kernel::{Affine, Body, Contract, Matrix};
use egrad_ir::{DotDims, Op, Shape, Unary};
use smallvec::SmallVec;

/// An axis of the product, with the stride of each of left, right and result.
#[derive(Clone, Copy, Debug)]
struct Extent {
    extent: usize,
    strides: [usize; 3],
}

/// Lowers `v`, a `dot_general` of floats, to a [`Contract`].
///
/// # Errors
/// If an operand is neither in memory nor a view of what is, or lies there in an order no matrix
/// product reads.
pub(crate) fn contract(chosen: &dyn Chosen, v: ValueIx) -> Result<Lowered, Illegal> {
    let choices = chosen.choices();
    let alternative = chosen.alternative(v);
    let Op::DotGeneral(dims) = &alternative.op else { unreachable!("only dot_general is a contraction") };
    let [x, y] = [alternative.args[0], alternative.args[1]];
    let shapes = [&choices.value(x).aval.shape, &choices.value(y).aval.shape];
    let axes = axes(dims, shapes);
    let result = choices.value(v);

    let mut extents: SmallVec<[Extent; 8]> =
        axes.extents.iter().map(|e| Extent { extent: *e, strides: [0; 3] }).collect();
    let mut operands = Operands::default();
    let (mut positions, mut offsets) = ([0; 3], [0; 3]);
    for (side, value) in [x, y].into_iter().enumerate() {
        let (storage, place) = view(chosen, value, axes.operands[side].clone(), extents.len())?;
        positions[side] = operands.position(chosen, storage, false);
        offsets[side] = place.offset;
        for (e, s) in extents.iter_mut().zip(place.strides) {
            e.strides[side] = s;
        }
    }
    positions[2] = operands.position(chosen, v, true);
    // The result is row-major over batch, rows, columns: in the order of the axes.
    let mut stride = 1;
    for e in extents[..axes.contracted].iter_mut().rev() {
        e.strides[2] = stride;
        stride *= e.extent;
    }

    let pick = |from: usize, to: usize| -> SmallVec<[Extent; 4]> {
        extents[from..to].iter().copied().filter(|e| e.extent != 1).collect()
    };
    let mut batch = pick(0, axes.rows);
    let (m, rows_left) = merge(pick(axes.rows, axes.columns));
    let (n, columns_left) = merge(pick(axes.columns, axes.contracted));
    let (k, contracted_left) = merge(pick(axes.contracted, extents.len()));
    if !contracted_left.is_empty() {
        // A copy in its own order may merge; what already is one never will.
        let view = [x, y].into_iter().find(|v| !chosen.in_memory(*v));
        return Err(view.map_or(Illegal::Together, Illegal::Anchor));
    }
    batch.extend(rows_left);
    batch.extend(columns_left);
    let matrix = |side: usize, row: &Extent, column: &Extent| Matrix {
        operand: positions[side],
        offset: offsets[side],
        batch_strides: batch.iter().map(|e| e.strides[side]).collect(),
        row: row.strides[side],
        column: column.strides[side],
    };
    let body = Body::Contract(Contract {
        dtype: result.aval.dtype,
        batch: batch.iter().map(|e| e.extent).collect(),
        m: m.extent,
        n: n.extent,
        k: k.extent,
        a: matrix(0, &m, &k),
        b: matrix(1, &k, &n),
        c: matrix(2, &m, &n),
    });
    Ok(Lowered { body, operands: operands.operands, values: operands.values, name: "dot_general".to_owned(), size: 4 })
}

/// The product's axes in order: batch, rows, columns, contracted.
struct Axes {
    extents: SmallVec<[usize; 8]>,
    /// Where rows, columns and contracted axes begin.
    rows: usize,
    columns: usize,
    contracted: usize,
    /// Per operand the axis of the product along each of its own.
    operands: [Index; 2],
}

fn axes(dims: &DotDims, shapes: [&Shape; 2]) -> Axes {
    let mut extents: SmallVec<[usize; 8]> = SmallVec::new();
    let mut operands: [Index; 2] = [
        SmallVec::from_elem(Position::default(), shapes[0].rank()),
        SmallVec::from_elem(Position::default(), shapes[1].rank()),
    ];
    let mut add = |at: &[(usize, usize)], extents: &mut SmallVec<[usize; 8]>| {
        let extent = shapes[at[0].0][at[0].1];
        let along = Position::along(Axis::Loop(extents.len() as u8), extent);
        for (side, axis) in at {
            operands[*side][*axis] = if extent == 1 { Position::default() } else { along.clone() };
        }
        extents.push(extent);
    };
    for (a, b) in dims.batch[0].iter().zip(&dims.batch[1]) {
        add(&[(0, *a), (1, *b)], &mut extents);
    }
    let rows = extents.len();
    for a in dims.free(0, shapes[0].rank()) {
        add(&[(0, a)], &mut extents);
    }
    let columns = extents.len();
    for b in dims.free(1, shapes[1].rank()) {
        add(&[(1, b)], &mut extents);
    }
    let contracted = extents.len();
    for (a, b) in dims.contract[0].iter().zip(&dims.contract[1]) {
        add(&[(0, *a), (1, *b)], &mut extents);
    }
    Axes { extents, rows, columns, contracted, operands }
}

/// The value in memory that `v` is a view of, and where its elements are by the product's axes.
fn view(chosen: &dyn Chosen, mut v: ValueIx, mut index: Index, axes: usize) -> Result<(ValueIx, Affine), Illegal> {
    let start = v;
    loop {
        if chosen.in_memory(v) {
            let strides = chosen.choices().value(v).aval.shape.strides();
            return Ok((v, super::affine(&index, &strides, 0, axes)));
        }
        if super::literal(chosen, v).is_some() {
            return Err(Illegal::Anchor(start));
        }
        let alternative = chosen.alternative(v);
        match &alternative.op {
            Op::Reshape(_)
            | Op::Transpose(_)
            | Op::BroadcastInDim { .. }
            | Op::Slice { .. }
            | Op::Unary(Unary::Barrier) => {
                let below = alternative.args[0];
                let shape = &chosen.choices().value(below).aval.shape;
                // Of what is in memory a reshape is there, too.
                let wanted = if let Op::Reshape(_) = &alternative.op { v } else { start };
                index = operand_index(&alternative.op, 0, shape, &index).ok_or(Illegal::Anchor(wanted))?;
                v = below;
            }
            Op::Constant(_)
            | Op::Iota { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::IntegerPow(_)
            | Op::Convert(_)
            | Op::Reduce { .. }
            | Op::DotGeneral(_)
            | Op::Pad { .. }
            | Op::Reverse(_)
            | Op::Concatenate(_)
            | Op::Take { .. }
            | Op::Scatter { .. }
            | Op::Argsort(_)
            | Op::Linalg(_) => return Err(Illegal::Anchor(start)),
        }
    }
}

/// Merges axes from the innermost outwards as long as every stride allows it; the rest is left.
fn merge(mut axes: SmallVec<[Extent; 4]>) -> (Extent, SmallVec<[Extent; 4]>) {
    let Some(mut merged) = axes.pop() else {
        return (Extent { extent: 1, strides: [0; 3] }, axes);
    };
    while let Some(outer) = axes.last() {
        if (0..3).any(|s| outer.strides[s] != merged.strides[s] * merged.extent) {
            break;
        }
        merged.extent *= outer.extent;
        axes.pop();
    }
    (merged, axes)
}
