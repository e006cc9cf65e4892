//! Index maps: which axes of a kernel an element's position comes from.
//!
//! The position along a tensor's axis is written as mixed-radix *digits*, most significant first;
//! each digit is an axis of the kernel. Transposes permute the positions, broadcasts drop them, and
//! a reshape regroups their digits. Slices, pads and reversals shift and mirror a position; taking
//! adds a value to it. So every access stays affine in the kernel's axes and what is added, and a
//! position may lie outside of its axis.

use crate::choices::ValueIx;
use egrad_ir::{Op, Shape};
use smallvec::{SmallVec, smallvec};

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

/// A value that is added to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Taken {
    /// The indices,
    pub(crate) value: ValueIx,
    /// and the number of the index they are wanted at.
    pub(crate) at: u32,
}

/// An axis counted in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Term {
    pub(crate) digit: Digit,
    pub(crate) by: isize,
}

/// A position along an axis: `offset` plus, or if it is mirrored minus, what the digits, the terms and
/// the value taken make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) digits: SmallVec<[Digit; 1]>,
    /// Of positions that were computed, as windows' are; one for each axis.
    pub(crate) terms: SmallVec<[Term; 2]>,
    pub(crate) taken: Option<Taken>,
    pub(crate) offset: isize,
    pub(crate) mirrored: bool,
}

/// Per axis of a tensor the position along it.
pub(crate) type Index = SmallVec<[Position; 4]>;

impl Position {
    /// Along a whole axis of the kernel, which is that long.
    pub(crate) fn along(axis: Axis, extent: usize) -> Position {
        Position { digits: smallvec![Digit { axis, extent }], ..Position::default() }
    }

    /// Whether it is its digits' number.
    pub(crate) fn is_plain(&self) -> bool {
        self.offset == 0 && !self.mirrored && self.terms.is_empty() && self.taken.is_none()
    }

    /// Whether it runs along the whole of an axis of that length.
    fn is_whole(&self, extent: usize) -> bool {
        self.is_plain() && self.digits.iter().map(|d| d.extent).product::<usize>() == extent
    }

    /// The least and greatest it can be; `None` if it depends on a value.
    pub(crate) fn reach(&self) -> Option<(isize, isize)> {
        if self.taken.is_some() {
            return None;
        }
        let (mut low, mut high) = (0, self.digits.iter().map(|d| d.extent).product::<usize>() as isize - 1);
        for t in &self.terms {
            let far = (t.digit.extent as isize - 1) * t.by;
            (low, high) = (low + far.min(0), high + far.max(0));
        }
        Some(if self.mirrored {
            (self.offset - high, self.offset - low)
        } else {
            (self.offset + low, self.offset + high)
        })
    }

    /// Whether it never goes down along an axis.
    pub(crate) fn ascends(&self) -> bool {
        !self.mirrored && self.terms.iter().all(|t| t.by >= 0)
    }

    /// The axes it runs along.
    pub(crate) fn axes(&self) -> impl Iterator<Item = Axis> + '_ {
        self.digits.iter().chain(self.terms.iter().map(|t| &t.digit)).map(|d| d.axis)
    }

    /// By how much it grows along each of its axes, from the innermost.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Term> + '_ {
        let sign = if self.mirrored { -1 } else { 1 };
        let digits = self.digits.iter().rev().scan(sign, |by, digit| {
            let step = Term { digit: *digit, by: *by };
            *by *= digit.extent as isize;
            Some(step)
        });
        digits.chain(self.terms.iter().map(move |t| Term { by: sign * t.by, ..*t }))
    }

    fn shifted(&self, by: isize) -> Position {
        Position { offset: self.offset + by, ..self.clone() }
    }

    /// The position from the other end of an axis of that length.
    fn mirror(&self, extent: usize) -> Position {
        Position { offset: extent as isize - 1 - self.offset, mirrored: !self.mirrored, ..self.clone() }
    }
}

/// The operands' indices when the result of a primitive without loops is wanted at `index`; `None`
/// where a reshape cuts through a position. `shape` is the operand's. Of the primitives that look
/// at where they are it is what to read if that is in the operand.
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
            let digits = |(i, d): (usize, &usize)| if shape[i] == 1 { Position::default() } else { index[*d].clone() };
            Some(dims.iter().enumerate().map(digits).collect())
        }
        Op::Transpose(perm) => {
            let mut out: Index = SmallVec::from_elem(Position::default(), perm.len());
            for (i, p) in perm.iter().enumerate() {
                out[*p] = index[i].clone();
            }
            Some(out)
        }
        Op::Reshape(from) => regroup(index, from, shape),
        // Result axes: batch, then free axes of the left, then of the right operand.
        Op::DotGeneral(dims) => {
            let rank = shape.rank();
            let mut out: Index = SmallVec::from_elem(Position::default(), rank);
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
        Op::Slice { start, .. } => Some(index.iter().zip(start).map(|(p, s)| p.shifted(*s as isize)).collect()),
        Op::Pad { .. } if operand == 1 => Some(Index::new()),
        Op::Pad { low, .. } => Some(index.iter().zip(low).map(|(p, l)| p.shifted(-(*l as isize))).collect()),
        Op::Reverse(axes) => {
            let position = |(i, p): (usize, &Position)| if axes.contains(&i) { p.mirror(shape[i]) } else { p.clone() };
            Some(index.iter().enumerate().map(position).collect())
        }
        // The second operand begins where the first ends, which the caller knows.
        Op::Concatenate(_) => Some(index.clone()),
        Op::Take { axis, batch } => {
            let rank = shape.rank();
            let indices = index.len() + 1 - if operand == 0 { rank } else { 0 };
            Some(match operand {
                0 => {
                    let mut out: Index = index[..*axis].iter().cloned().collect();
                    out.push(Position::default());
                    out.extend(index[axis + indices..].iter().cloned());
                    out
                }
                _ => index[..*batch].iter().chain(&index[*axis..axis + rank - batch]).cloned().collect(),
            })
        }
        Op::Scatter { .. } | Op::Argsort(_) | Op::Linalg(_) => None,
    }
}

/// The same row-major position in a tensor of another shape: axes that both have stay as they are,
/// others are cut up and put together along their digits.
fn regroup(index: &Index, from: &Shape, to: &Shape) -> Option<Index> {
    let mut out = Index::new();
    let (mut i, mut j) = (0, 0);
    while i < from.rank() || j < to.rank() {
        // What has no length has one position.
        if i < from.rank() && from[i] == 1 && !(j < to.rank() && to[j] == 1) {
            if !index[i].is_whole(1) {
                return None;
            }
            i += 1;
            continue;
        }
        if j < to.rank() && to[j] == 1 && !(i < from.rank() && from[i] == 1) {
            out.push(Position::default());
            j += 1;
            continue;
        }
        let (first, mut have, mut want) = (i, *from.get(i)?, *to.get(j)?);
        if have == want {
            out.push(index[i].clone());
            (i, j) = (i + 1, j + 1);
            continue;
        }
        let mut lengths: SmallVec<[usize; 4]> = smallvec![want];
        (i, j) = (i + 1, j + 1);
        while have != want {
            if have < want {
                have *= *from.get(i)?;
                i += 1;
            } else {
                lengths.push(*to.get(j)?);
                want *= *to.get(j)?;
                j += 1;
            }
        }
        if (first..i).any(|k| !index[k].is_whole(from[k])) {
            return None;
        }
        let mut digits = index[first..i].iter().flat_map(|p| p.digits.iter().copied());
        for length in lengths {
            let mut position = Position::default();
            let mut product = 1;
            while product < length {
                let digit = digits.next()?;
                product *= digit.extent;
                position.digits.push(digit);
            }
            if product != length {
                return None;
            }
            out.push(position);
        }
    }
    Some(out)
}

/// The axis of a reshaped tensor that is this axis of the result, if there is one.
pub(crate) fn reshaped_axis(from: &Shape, to: &Shape, axis: usize) -> Option<usize> {
    let before = |shape: &Shape, axis: usize| shape[..axis].iter().product::<usize>();
    let same = |i: &usize| to[*i] == from[axis] && before(to, *i) == before(from, axis);
    if from[axis] == 1 || from.size() == 0 { None } else { (0..to.rank()).find(same) }
}
