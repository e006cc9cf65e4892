//! Reshaping, permuting and broadcasting.

use super::Tensor;
use crate::trace::Tape;
use crate::{raise, trace};
use egrad_ir::builder::{Recorder, normalize_axis};
use egrad_ir::graph::move_axis;
use egrad_ir::op::Axes;
use egrad_ir::{Error, Op, Result, Shape, Span};
use smallvec::SmallVec;

/// Axis numbers, of which negative ones count from the end: made from a number, an array, a slice
/// or a `Vec` of numbers.
///
/// ```
/// # use egrad::{Array, Tensor, jit};
/// let f = jit(|x: Tensor| (x.sum_axes(-1), x.sum_axes([0, 2]), x.sum_axes(vec![1])));
/// # f(&Array::from_vec(vec![0.0f32; 8], [2, 2, 2]).unwrap()).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisList(SmallVec<[isize; 4]>);

macro_rules! axis_list {
    ($($T:ty),*) => {$(
        impl From<$T> for AxisList {
            fn from(axis: $T) -> AxisList {
                AxisList(SmallVec::from_elem(axis as isize, 1))
            }
        }
        impl<const N: usize> From<[$T; N]> for AxisList {
            fn from(axes: [$T; N]) -> AxisList {
                AxisList(axes.iter().map(|a| *a as isize).collect())
            }
        }
        impl From<&[$T]> for AxisList {
            fn from(axes: &[$T]) -> AxisList {
                AxisList(axes.iter().map(|a| *a as isize).collect())
            }
        }
        impl From<Vec<$T>> for AxisList {
            fn from(axes: Vec<$T>) -> AxisList {
                AxisList::from(axes.as_slice())
            }
        }
    )*};
}
axis_list!(i32, isize, usize);

/// An axis of a tensor of that rank, counted from the end if negative.
pub(crate) fn normalize(name: &str, axis: isize, rank: usize) -> Result<usize> {
    normalize_axis(axis, rank).map_err(|e| Error::axis(format!("`{name}`: {}", e.report().message)))
}

#[track_caller]
pub(super) fn axis(name: &str, axis: isize, rank: usize) -> usize {
    let span = Span::here();
    raise::get(normalize(name, axis, rank).map_err(|e| e.at(span)))
}

impl AxisList {
    pub(crate) fn iter(&self) -> impl Iterator<Item = isize> + use<'_> {
        self.0.iter().copied()
    }

    /// The axes, in the order given, each within the rank and none twice.
    fn ordered(&self, name: &str, rank: usize) -> Result<Axes> {
        let mut axes = Axes::new();
        for a in &self.0 {
            let axis = normalize(name, *a, rank)?;
            if axes.contains(&axis) {
                return Err(Error::axis(format!("axis {a} of `{name}` is listed twice")));
            }
            axes.push(axis);
        }
        Ok(axes)
    }

    /// The axes, increasing.
    #[track_caller]
    pub(super) fn sorted(&self, name: &str, x: Tensor) -> Axes {
        let span = Span::here();
        let mut axes = raise::get(self.ordered(name, x.rank()).map_err(|e| e.at(span)));
        axes.sort_unstable();
        axes
    }
}

impl Tensor {
    /// The same elements in row-major order under another shape.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.reshape([3, 2]));
    /// let y = f(&Array::from_vec(vec![0i32, 1, 2, 3, 4, 5], [6]).unwrap()).unwrap();
    /// assert_eq!(**y.shape(), [3, 2]);
    /// ```
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if self.shape() == shape {
            return self;
        }
        trace::add(Op::Reshape(shape), &[self], Span::here())
    }

    /// All elements along one axis.
    #[track_caller]
    pub fn flatten(self) -> Tensor {
        let n = self.size();
        self.reshape([n])
    }

    /// Result axis `i` is axis `perm[i]` of this tensor.
    #[track_caller]
    pub fn transpose(self, perm: impl Into<AxisList>) -> Tensor {
        let span = Span::here();
        let rank = self.rank();
        let perm = raise::get(perm.into().ordered("transpose", rank).map_err(|e| e.at(span)));
        if perm.len() == rank && perm.iter().copied().eq(0..rank) {
            return self;
        }
        trace::add(Op::Transpose(perm), &[self], span)
    }

    /// The axes in reverse order: a matrix's transpose.
    #[track_caller]
    pub fn t(self) -> Tensor {
        let perm: Vec<usize> = (0..self.rank()).rev().collect();
        self.transpose(perm)
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn swap_axes(self, a: isize, b: isize) -> Tensor {
        let rank = self.rank();
        let (a, b) = (axis("swap_axes", a, rank), axis("swap_axes", b, rank));
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(a, b);
        self.transpose(perm)
    }

    /// Axis `from` moved to position `to`, the others in their order.
    #[track_caller]
    pub fn move_axis(self, from: isize, to: isize) -> Tensor {
        let rank = self.rank();
        let (from, to) = (axis("move_axis", from, rank), axis("move_axis", to, rank));
        self.transpose(move_axis(rank, from, to).as_slice())
    }

    /// The tensor stretched to a shape by NumPy's rule: aligned at the last axis, axes of length 1
    /// repeated.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor {
        raise::get(Tape.broadcast_to(self, &shape.into(), Span::here()))
    }

    /// Axis `i` becomes axis `dims[i]` of a tensor of that shape; axes of length 1 stretch, and the
    /// tensor is repeated over the axes not listed. `dims` increase.
    #[track_caller]
    pub fn broadcast_in_dim(self, shape: impl Into<Shape>, dims: impl Into<AxisList>) -> Tensor {
        let (span, shape) = (Span::here(), shape.into());
        let dims = raise::get(dims.into().ordered("broadcast_in_dim", shape.rank()).map_err(|e| e.at(span)));
        trace::add(Op::BroadcastInDim { shape, dims }, &[self], span)
    }

    /// Axes of length 1 put in, at these positions of the result.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let column = jit(|x: Tensor| x.expand_dims(-1));
    /// assert_eq!(**column(&Array::from_vec(vec![1.0f32; 3], [3]).unwrap()).unwrap().shape(), [3, 1]);
    /// ```
    #[track_caller]
    pub fn expand_dims(self, axes: impl Into<AxisList>) -> Tensor {
        let span = Span::here();
        let (axes, mut shape) = (axes.into(), self.shape());
        let axes = raise::get(axes.ordered("expand_dims", shape.rank() + axes.0.len()).map_err(|e| e.at(span)));
        let mut sorted = axes;
        sorted.sort_unstable();
        for a in sorted {
            shape = shape.insert(a, 1);
        }
        self.reshape(shape)
    }

    /// Axes of length 1 taken out.
    #[track_caller]
    pub fn squeeze(self, axes: impl Into<AxisList>) -> Tensor {
        let span = Span::here();
        let axes = axes.into().sorted("squeeze", self);
        let aval = self.aval();
        if let Some(a) = axes.iter().find(|a| aval.shape[**a] != 1) {
            let m = format!("`squeeze` can't take out axis {a} of {aval}: its length is {}, not 1", aval.shape[*a]);
            raise::throw(Error::shape(m).at(span));
        }
        self.reshape(aval.shape.without(&axes))
    }
}
