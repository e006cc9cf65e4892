//! Parts of tensors and tensors made of parts: slices, pads, flips, concatenations.

use super::shape::axis as one_axis;
use super::{AxisList, Operand, Tensor, operand};
use crate::{raise, trace};
use egrad_ir::op::Axes;
use egrad_ir::{Error, Literal, Op, Span};

/// How much is put before and after a tensor along an axis, and between its elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// How many before; negative: how many are cut off.
    pub low: isize,
    /// How many after; negative: how many are cut off.
    pub high: isize,
    /// How many between every two elements.
    pub interior: usize,
}

impl From<(isize, isize)> for Padding {
    fn from((low, high): (isize, isize)) -> Padding {
        Padding { low, high, interior: 0 }
    }
}

impl From<(isize, isize, usize)> for Padding {
    fn from((low, high, interior): (isize, isize, usize)) -> Padding {
        Padding { low, high, interior }
    }
}

impl Tensor {
    /// The elements from `start` up to `limit` along each axis.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.slice([1], [3]));
    /// let y = f(&Array::from_vec(vec![0i32, 1, 2, 3], [4]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<i32>().unwrap(), [1, 2]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there isn't a start and a limit per axis, or a part isn't
    /// inside its axis.
    #[track_caller]
    pub fn slice(self, start: impl AsRef<[usize]>, limit: impl AsRef<[usize]>) -> Tensor {
        let _in = crate::raise::within("slice");
        let (start, limit) = (start.as_ref(), limit.as_ref());
        if start.iter().all(|s| *s == 0) && limit == &*self.shape() {
            return self;
        }
        trace::add(Op::Slice { start: start.into(), limit: limit.into() }, &[self], Span::here())
    }

    /// Every `stride`-th element from `start` up to `limit`, along each axis.
    ///
    /// # Errors and panics
    /// As [`slice`](Tensor::slice), and if a stride is 0 or missing.
    #[track_caller]
    pub fn slice_strided(
        self,
        start: impl AsRef<[usize]>,
        limit: impl AsRef<[usize]>,
        stride: impl AsRef<[usize]>,
    ) -> Tensor {
        let _in = crate::raise::within("slice_strided");
        let (span, stride) = (Span::here(), stride.as_ref());
        if stride.len() != self.rank() || stride.contains(&0) {
            let m = format!("`slice_strided` of {} needs a stride from 1 for each axis, got {stride:?}", self.aval());
            raise::throw(Error::axis(m).at(span));
        }
        let x = self.slice(start, limit);
        stride.iter().enumerate().fold(x, |x, (axis, stride)| x.every(*stride, axis))
    }

    /// Every n-th element along an axis, from the first.
    #[track_caller]
    fn every(self, n: usize, axis: usize) -> Tensor {
        let shape = self.shape();
        let length = shape[axis];
        if n == 1 || length <= 1 {
            return self;
        }
        // In rows of n of which the first is wanted.
        let rows = length.div_ceil(n);
        let full = self.pad_axis(axis, (0, (rows * n - length) as isize).into(), 0.0);
        let rows_of = full.reshape(shape.without(&[axis]).insert(axis, rows).insert(axis + 1, n));
        let (start, mut limit) = (vec![0; shape.rank() + 1], rows_of.shape().to_vec());
        limit[axis + 1] = 1;
        rows_of.slice(start, limit).reshape(shape.without(&[axis]).insert(axis, rows))
    }

    /// The elements from `start` up to `limit` along one axis; the others are kept whole.
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there is no such axis or no such part of it.
    #[track_caller]
    pub fn slice_axis(self, axis: isize, start: usize, limit: usize) -> Tensor {
        let _in = crate::raise::within("slice_axis");
        let axis = one_axis("slice_axis", axis, self.rank());
        let (mut starts, mut limits) = (vec![0; self.rank()], self.shape().to_vec());
        (starts[axis], limits[axis]) = (start, limit);
        self.slice(starts, limits)
    }

    /// The tensor with a scalar around it: per axis how often before and after, and with three
    /// numbers how often between every two elements. Negative numbers cut off, after what was put
    /// between.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.pad(9, [(1, -1, 1)]));
    /// let y = f(&Array::from_vec(vec![1i32, 2, 3], [3]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<i32>().unwrap(), [9, 1, 9, 2, 9]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if the value isn't a scalar of the tensor's type, if there isn't
    /// one padding per axis, or if more is cut off than there is.
    #[track_caller]
    pub fn pad<P: Into<Padding>>(self, value: impl Operand, padding: impl IntoIterator<Item = P>) -> Tensor {
        let _in = crate::raise::within("pad");
        let span = Span::here();
        let padding: Vec<Padding> = padding.into_iter().map(Into::into).collect();
        if padding.len() != self.rank() {
            let (n, aval) = (padding.len(), self.aval());
            raise::throw(Error::axis(format!("`pad` of {aval} needs a padding per axis, got {n}")).at(span));
        }
        let value = match value.as_tensor() {
            Some(t) => t,
            None => operand("pad", value, self.dtype()),
        };
        let mut x = self;
        for (axis, p) in padding.iter().enumerate() {
            // No length that doesn't fit an `isize` fits a memory.
            let most = |n: usize| isize::try_from(n).ok();
            let spread = x.shape()[axis].checked_mul(p.interior.saturating_add(1)).and_then(most);
            if spread.and_then(|n| n.checked_add(p.low)?.checked_add(p.high)).is_none() {
                let m = format!("`pad` of {} by {p:?} along axis {axis} is longer than any memory", self.aval());
                raise::throw(Error::memory(m).at(span));
            }
            x = x.spread(axis, p.interior, value);
            let length = x.shape()[axis] as isize;
            let total = length + p.low + p.high;
            if total < 0 {
                let (low, high, aval) = (p.low, p.high, self.aval());
                let m = format!("`pad` of {aval}: ({low}, {high}) cuts more off axis {axis} than there is");
                raise::throw(Error::shape(m).at(span));
            }
            let (start, limit) = ((-p.low).clamp(0, length), (length + p.high).clamp(0, length));
            let kept = (limit - start).max(0);
            // Where nothing is kept, all of it is padding.
            let before = if kept == 0 { total } else { p.low.max(0) };
            x = x.slice_axis(axis as isize, start as usize, (start + kept) as usize);
            let (before, after) = (before as usize, (total - before - kept) as usize);
            x = x.around(axis, before, after, value);
        }
        x
    }

    /// The scalar so often before and after along an axis.
    #[track_caller]
    fn around(self, axis: usize, before: usize, after: usize, value: Tensor) -> Tensor {
        if before == 0 && after == 0 {
            return self;
        }
        let amounts = |n: usize| -> Axes { (0..self.rank()).map(|a| if a == axis { n } else { 0 }).collect() };
        trace::add(Op::Pad { low: amounts(before), high: amounts(after) }, &[self, value], Span::here())
    }

    /// The scalar so often between every two elements along an axis.
    #[track_caller]
    fn spread(self, axis: usize, interior: usize, value: Tensor) -> Tensor {
        let shape = self.shape();
        let length = shape[axis];
        if interior == 0 || length <= 1 {
            return self;
        }
        let rows = self.reshape(shape.insert(axis + 1, 1)).around(axis + 1, 0, interior, value);
        let long = rows.reshape(shape.without(&[axis]).insert(axis, length * (interior + 1)));
        long.slice_axis(axis as isize, 0, length * (interior + 1) - interior)
    }

    /// Padding along one axis with a number.
    #[track_caller]
    pub(crate) fn pad_axis(self, axis: usize, padding: Padding, number: f64) -> Tensor {
        let value = trace::add(Op::Constant(Literal::new(self.dtype(), number)), &[], Span::here());
        let paddings = (0..self.rank()).map(|a| if a == axis { padding } else { Padding::default() });
        self.pad(value, paddings.collect::<Vec<_>>())
    }

    /// The same elements in reverse along these axes.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.flip(0));
    /// let y = f(&Array::from_vec(vec![1i32, 2, 3], [3]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<i32>().unwrap(), [3, 2, 1]);
    /// ```
    #[track_caller]
    pub fn flip(self, axes: impl Into<AxisList>) -> Tensor {
        let _in = crate::raise::within("flip");
        let axes = axes.into().sorted("flip", self);
        if axes.is_empty() {
            return self;
        }
        trace::add(Op::Reverse(axes), &[self], Span::here())
    }

    /// Parts of these lengths along an axis, one after the other.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.split(&[1, 2], 0));
    /// let parts = f(&Array::from_vec(vec![1i32, 2, 3], [3]).unwrap()).unwrap();
    /// assert_eq!(parts[1].as_slice::<i32>().unwrap(), [2, 3]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if the lengths don't sum to the axis's.
    #[track_caller]
    pub fn split(self, sizes: &[usize], axis: isize) -> Vec<Tensor> {
        let _in = crate::raise::within("split");
        let span = Span::here();
        let at = one_axis("split", axis, self.rank());
        let length = self.shape()[at];
        if sizes.iter().try_fold(0usize, |sum, n| sum.checked_add(*n)) != Some(length) {
            let m = format!("`split` of {} along axis {at}: {sizes:?} don't sum to {length}", self.aval());
            raise::throw(Error::shape(m).at(span));
        }
        let mut start = 0;
        let part = |n: &usize| {
            start += n;
            self.slice_axis(at as isize, start - n, start)
        };
        sizes.iter().map(part).collect()
    }

    /// The elements moved along an axis by `shift` positions; those pushed out come in at the other
    /// end.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.roll(1, 0));
    /// let y = f(&Array::from_vec(vec![1i32, 2, 3], [3]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<i32>().unwrap(), [3, 1, 2]);
    /// ```
    #[track_caller]
    pub fn roll(self, shift: isize, axis: isize) -> Tensor {
        let _in = crate::raise::within("roll");
        let at = one_axis("roll", axis, self.rank());
        let length = self.shape()[at];
        let by = if length == 0 { 0 } else { shift.rem_euclid(length as isize) as usize };
        if by == 0 {
            return self;
        }
        let (head, tail) = (self.slice_axis(axis, 0, length - by), self.slice_axis(axis, length - by, length));
        concatenate([tail, head], axis)
    }

    /// The main diagonal of the last two axes, as the last axis.
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there are fewer than two axes.
    #[track_caller]
    pub fn diagonal(self) -> Tensor {
        let _in = crate::raise::within("diagonal");
        let (span, aval) = (Span::here(), self.aval());
        let rank = aval.shape.rank();
        if rank < 2 {
            let m = format!("`diagonal` takes a tensor of at least two axes, not {aval}");
            raise::throw(Error::axis(m).at(span));
        }
        let (rows, columns) = (aval.shape[rank - 2], aval.shape[rank - 1]);
        let length = rows.min(columns);
        // Rows of one more than there are columns begin with the diagonal's elements.
        let square = self.slice_axis(-2, 0, length);
        let mut flat = aval.shape[..rank - 2].to_vec();
        flat.push(length * columns);
        square.reshape(flat).every(columns + 1, rank - 2).slice_axis(-1, 0, length)
    }
}

/// Tensors one after the other along an axis.
///
/// ```
/// # use egrad::{Array, Tensor, concatenate, jit};
/// let f = jit(|x: Tensor| concatenate([x, x + 1], 0));
/// let y = f(&Array::from_vec(vec![1i32, 5], [2]).unwrap()).unwrap();
/// assert_eq!(y.as_slice::<i32>().unwrap(), [1, 5, 2, 6]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if there are no tensors, or they differ in type or another axis.
#[track_caller]
pub fn concatenate(tensors: impl AsRef<[Tensor]>, axis: isize) -> Tensor {
    let _in = crate::raise::within("concatenate");
    let (span, tensors) = (Span::here(), tensors.as_ref());
    let Some(first) = tensors.first() else { raise::throw(Error::tree("`concatenate` needs a tensor").at(span)) };
    let at = one_axis("concatenate", axis, first.rank());
    // In halves, so that what is far back isn't copied many times over.
    let mut level: Vec<Tensor> = tensors.to_vec();
    while level.len() > 1 {
        let pair = |pair: &[Tensor]| match pair {
            [x, y] => trace::add(Op::Concatenate(at), &[*x, *y], span),
            rest => rest[0],
        };
        level = level.chunks(2).map(pair).collect();
    }
    level[0]
}
