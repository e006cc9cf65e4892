//! Positions that are computed from where they are, as windows' are: sums of multiples of axes.
//!
//! A `take` at `2·i + k - 1`, with `i` and `k` from iotas, reads at strides that are known here, so that
//! nothing of it need be computed for each element, and what lies in a row is read as one.

use super::Chosen;
use super::index::{Index, Position, Term, operand_index};
use crate::choices::{Source, ValueIx};
use egrad_ir::{Binary, Dtype, Op, Unary};

/// Positions and what they are computed from stay below this in size, where the kernel's arithmetic is
/// the integers'.
const FAR: isize = 1 << 30;

/// What `v`, a tensor of i32, is at that index, if it depends on the axes alone.
pub(super) fn counted(chosen: &dyn Chosen, v: ValueIx, index: &Index) -> Option<Position> {
    if let Some(literal) = super::literal(chosen, v) {
        return near(Position { offset: literal.to_i64()? as isize, ..Position::default() });
    }
    let value = chosen.choices().value(v);
    if value.aval.dtype != Dtype::I32 || value.source != Source::Computed {
        return None;
    }
    let alternative = chosen.alternative(v);
    let (op, args) = (&alternative.op, &alternative.args);
    let operand = |which: usize| {
        let shape = &chosen.choices().value(args[which]).aval.shape;
        counted(chosen, args[which], &operand_index(op, which, shape, index)?)
    };
    match op {
        Op::Iota { axis, .. } => {
            let place = &index[*axis];
            if place.taken.is_some() {
                return None;
            }
            sum(Position { offset: place.offset, ..Position::default() }, place.steps())
        }
        Op::Binary(Binary::Add) => plus(operand(0)?, operand(1)?, 1),
        Op::Binary(Binary::Sub) => plus(operand(0)?, operand(1)?, -1),
        Op::Binary(Binary::Mul) => match (operand(0)?, operand(1)?) {
            (x, y) if x.terms.is_empty() => plus(Position::default(), y, x.offset),
            (x, y) if y.terms.is_empty() => plus(Position::default(), x, y.offset),
            _ => None,
        },
        Op::Unary(Unary::Neg) => plus(Position::default(), operand(0)?, -1),
        Op::Unary(Unary::Barrier | Unary::StopGradient)
        | Op::BroadcastInDim { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Reverse(_) => operand(0),
        Op::Constant(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::IntegerPow(_)
        | Op::Convert(_)
        | Op::Reduce { .. }
        | Op::DotGeneral(_)
        | Op::Pad { .. }
        | Op::Concatenate(_)
        | Op::Take { .. }
        | Op::Scatter { .. }
        | Op::Argsort(_)
        | Op::Linalg(_) => None,
    }
}

/// `x + times·y`
fn plus(x: Position, y: Position, times: isize) -> Option<Position> {
    let offset = x.offset + y.offset * times;
    sum(Position { offset, ..x }, y.terms.into_iter().map(|t| Term { by: t.by * times, ..t }))
}

fn sum(mut x: Position, terms: impl Iterator<Item = Term>) -> Option<Position> {
    for term in terms {
        match x.terms.iter_mut().find(|t| t.digit == term.digit) {
            Some(own) => own.by += term.by,
            None => x.terms.push(term),
        }
    }
    x.terms.retain(|t| t.by != 0);
    near(x)
}

fn near(x: Position) -> Option<Position> {
    let (low, high) = x.reach()?;
    // Not the sum alone: what the verifier bounds is each of its parts.
    let parts = x.offset.unsigned_abs() + x.terms.iter().map(|t| t.by.unsigned_abs() * t.digit.extent).sum::<usize>();
    (low > -FAR && high < FAR && parts < FAR as usize).then_some(x)
}
