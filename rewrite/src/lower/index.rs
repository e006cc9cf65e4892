//! Index maps: which axes of a kernel an element's position comes from.
//!
//! The position along a tensor's axis is written as mixed-radix *digits*, most significant first;
//! each digit is an axis of the kernel. Transposes permute the digits, broadcasts drop them, and a
//! reshape regroups them, so every access stays affine in the kernel's axes.

use egrad_ir::{Op, Shape};
use smallvec::SmallVec;

/// An axis of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Axis {
    /// Of the parallel domain.
    Domain(u8),
    /// A pass's own loop.
    Loop(u8),
}

impl Axis {
    /// Its position among the strides of an affine index.
    pub(crate) fn position(self, domain: usize) -> usize {
        match self {
            Axis::Domain(i) => i as usize,
            Axis::Loop(i) => domain + i as usize,
        }
    }
}

/// One digit of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digit {
    pub(crate) axis: Axis,
    /// The axis's length, at least 2.
    pub(crate) extent: usize,
}

/// Per axis of a tensor the digits of the position along it; none where the position is 0.
pub(crate) type Index = SmallVec<[SmallVec<[Digit; 1]>; 4]>;

/// The operands' indices when the result of a primitive without loops is wanted at `index`; `None`
/// where a reshape cuts through a digit.
pub(crate) fn operand_index(op: &Op, operand: usize, shape: &Shape, index: &Index) -> Option<Index> {
    match op {
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::IntegerPow(_)
        | Op::Convert(_)
        | Op::Constant(_)
        | Op::Iota { .. }
        | Op::Reduce { .. } => Some(index.clone()),
        Op::BroadcastInDim { dims, .. } => {
            let digits = |(i, d): (usize, &usize)| if shape[i] == 1 { SmallVec::new() } else { index[*d].clone() };
            Some(dims.iter().enumerate().map(digits).collect())
        }
        Op::Transpose(perm) => {
            let mut out: Index = SmallVec::from_elem(SmallVec::new(), perm.len());
            for (i, p) in perm.iter().enumerate() {
                out[*p] = index[i].clone();
            }
            Some(out)
        }
        Op::Reshape(_) => regroup(index, shape),
        // Result axes: batch, then free axes of the left, then of the right operand.
        Op::DotGeneral(dims) => {
            let rank = shape.rank();
            let mut out: Index = SmallVec::from_elem(SmallVec::new(), rank);
            for (i, a) in dims.batch[operand].iter().enumerate() {
                out[*a] = index[i].clone();
            }
            let free = dims.free(operand, rank);
            let first = if operand == 0 { dims.batch[0].len() } else { index.len() - free.len() };
            for (i, a) in free.iter().enumerate() {
                out[*a] = index[first + i].clone();
            }
            Some(out)
        }
    }
}

/// The same row-major position in a tensor of another shape.
fn regroup(index: &Index, shape: &Shape) -> Option<Index> {
    let mut digits = index.iter().flatten().copied();
    let mut out = Index::new();
    for extent in shape.iter() {
        let mut group = SmallVec::new();
        let mut product = 1;
        while product < *extent {
            let digit: Digit = digits.next()?;
            product *= digit.extent;
            group.push(digit);
        }
        if product != *extent {
            return None;
        }
        out.push(group);
    }
    Some(out)
}
