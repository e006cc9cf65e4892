//! Primitives that are kernels of their own: scatters, sorts and linear algebra.

use super::{Chosen, Illegal, Lowered, Operands};
use crate::choices::ValueIx;
use egrad_ir::kernel::{Argsort, Body, Linalg, Scatter};
use egrad_ir::{Op, Shape};

/// Lowers `v`, which [`is_alone`](super::is_alone).
///
/// # Errors
/// If an operand is not in memory.
pub(crate) fn alone(chosen: &dyn Chosen, v: ValueIx) -> Result<Lowered, Illegal> {
    let alternative = chosen.alternative(v);
    if let Some(arg) = alternative.args.iter().find(|a| !chosen.in_memory(**a)) {
        return Err(Illegal::Anchor(*arg));
    }
    let mut operands = Operands::default();
    let read: Vec<usize> = alternative.args.iter().map(|a| operands.position(chosen, *a, false)).collect();
    let result = operands.position(chosen, v, true);
    let shape = |i: usize| &chosen.choices().value(alternative.args[i]).aval.shape;
    let size = |shape: &Shape, from: usize, to: usize| shape[from..to].iter().product::<usize>();
    let body = match &alternative.op {
        Op::Scatter { kind, axis, batch } => {
            let (x, indices) = (shape(0), shape(1));
            Body::Scatter(Scatter {
                kind: *kind,
                batch: size(x, 0, *batch),
                between: size(x, *batch, *axis),
                length: x[*axis],
                inner: size(x, axis + 1, x.rank()),
                taken: size(indices, *batch, indices.rank()),
                x: read[0],
                indices: read[1],
                updates: read[2],
                result,
            })
        }
        Op::Argsort(axis) => {
            let x = shape(0);
            Body::Argsort(Argsort {
                outer: size(x, 0, *axis),
                length: x[*axis],
                inner: size(x, axis + 1, x.rank()),
                x: read[0],
                result,
            })
        }
        Op::Linalg(kind) => {
            let x = shape(alternative.args.len() - 1);
            let lead = x.rank() - 2;
            Body::Linalg(Linalg {
                kind: *kind,
                batch: size(x, 0, lead),
                rows: x[lead],
                columns: x[lead + 1],
                read: read.into(),
                result,
            })
        }
        Op::Constant(_)
        | Op::Iota { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::IntegerPow(_)
        | Op::Convert(_)
        | Op::BroadcastInDim { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Reduce { .. }
        | Op::DotGeneral(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Take { .. } => return Err(Illegal::Anchor(v)),
    };
    let name = alternative.op.name().to_owned();
    Ok(Lowered { body, operands: operands.operands, values: operands.values, name, size: 4 })
}
