//! Reductions over axes.

use super::{AxisList, Tensor};
use crate::{raise, trace};
use egrad_ir::op::Axes;
use egrad_ir::{Dtype, Error, Op, Reduce, Span};

/// From this many factors on, a product is split.
const LONG_PRODUCT: usize = 64;
/// Into products of at least so many.
const SHORT_PRODUCT: usize = 8;

/// Every reduction in three forms: over all axes, over some, and over some keeping them with
/// length 1.
macro_rules! reductions {
    ($($(#[$doc:meta])* $all:ident $axes:ident $keepdims:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            ///
            /// Over all axes: the result is a scalar.
            #[track_caller]
            pub fn $all(self) -> Tensor {
                let axes: Axes = (0..self.rank()).collect();
                self.reduction(Kind::$all, axes)
            }

            $(#[$doc])*
            ///
            /// Over these axes, which disappear from the shape; negative ones count from the end.
            #[track_caller]
            pub fn $axes(self, axes: impl Into<AxisList>) -> Tensor {
                let axes = axes.into().sorted(stringify!($axes), self);
                self.reduction(Kind::$all, axes)
            }

            $(#[$doc])*
            ///
            /// Over these axes, which stay in the shape with length 1, so that the result broadcasts
            /// against the tensor.
            #[track_caller]
            pub fn $keepdims(self, axes: impl Into<AxisList>) -> Tensor {
                let axes = axes.into().sorted(stringify!($keepdims), self);
                let kept = self.shape().iter().enumerate().map(|(i, n)| if axes.contains(&i) { 1 } else { *n }).collect::<Vec<_>>();
                self.reduction(Kind::$all, axes).reshape(kept)
            }
        )*}

        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        enum Kind { $($all,)* }
    };
}
reductions! {
    /// The sum of the elements; of bools, how many are true. 0 where there are none. As in JAX, bools are
    /// added up as `i32` and a `u8` as `u32`; other types keep theirs, in which integers wrap around.
    sum sum_axes sum_keepdims;
    /// The product of the elements, of bools as `i32` and of a `u8` as `u32`; 1 where there are none. The derivative by an
    /// element is the product of the others, also where elements are 0.
    prod prod_axes prod_keepdims;
    /// The mean of the elements; integers and bools as `f32`. NaN where there are none.
    mean mean_axes mean_keepdims;
    /// The largest element; NaN if any is NaN. Where several are equal, they share the derivative.
    /// -∞ (or the smallest integer) where there are none.
    max max_axes max_keepdims;
    /// The smallest element; NaN if any is NaN. Where several are equal, they share the
    /// derivative. ∞ (or the largest integer) where there are none.
    min min_axes min_keepdims;
    /// Whether any element is true (or not 0).
    any any_axes any_keepdims;
    /// Whether all elements are true (or not 0).
    all all_axes all_keepdims;
    /// ln Σ eˣ, computed without overflow; -∞ where there are no elements.
    logsumexp logsumexp_axes logsumexp_keepdims;
    /// The mean squared distance from the mean. [`var_ddof`](Tensor::var_ddof) has the unbiased
    /// estimate.
    var var_axes var_keepdims;
    /// The square root of [`var`](Tensor::var).
    std std_axes std_keepdims;
}

impl Tensor {
    #[track_caller]
    fn reduction(self, kind: Kind, axes: Axes) -> Tensor {
        match kind {
            Kind::sum => self.number().reduce(Reduce::Sum, axes),
            Kind::prod => {
                let x = self.number();
                x.wide().product(axes).convert(x.dtype())
            }
            Kind::mean => {
                let (x, n) = (self.float(), self.count(&axes));
                (x.wide().reduce(Reduce::Sum, axes) / n).convert(x.dtype())
            }
            Kind::max => self.reduce(Reduce::Max, axes),
            Kind::min => match self.dtype() {
                Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => -(-self).reduce(Reduce::Max, axes),
                // `-1 - x` or, without a sign, what is left to the largest: no integer overflows.
                Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                    self.not().reduce(Reduce::Max, axes).not()
                }
            },
            Kind::any => self.convert(Dtype::Bool).convert(Dtype::I32).reduce(Reduce::Max, axes).gt(0),
            Kind::all => self.convert(Dtype::Bool).not().convert(Dtype::I32).reduce(Reduce::Max, axes).le(0),
            Kind::logsumexp => {
                let x = self.float();
                let keep = x.keep(&axes);
                // The largest element, or 0 where that is infinite: ∞ - ∞ would be NaN.
                let top = x.stop_gradient().reduce(Reduce::Max, axes.clone());
                let top = top.abs().lt(f64::INFINITY).select(top, 0.0);
                (x - top.reshape(keep)).exp().reduce(Reduce::Sum, axes).log() + top
            }
            Kind::var => self.variance(axes, 0),
            Kind::std => self.variance(axes, 0).sqrt(),
        }
    }

    /// The variance over these axes with `ddof` degrees of freedom taken off the divisor: 0 for
    /// that of a population, 1 for the unbiased estimate from a sample.
    #[track_caller]
    pub fn var_ddof(self, axes: impl Into<AxisList>, ddof: usize) -> Tensor {
        let axes = axes.into().sorted("var_ddof", self);
        self.variance(axes, ddof)
    }

    #[track_caller]
    fn variance(self, axes: Axes, ddof: usize) -> Tensor {
        let (dtype, x) = (self.float().dtype(), self.float().wide());
        let (keep, n) = (x.keep(&axes), x.count(&axes));
        let mean = x.reduce(Reduce::Sum, axes.clone()) / n;
        let variance = (x - mean.reshape(keep)).powi(2).reduce(Reduce::Sum, axes) / (n - ddof as f64).max(0.0);
        variance.convert(dtype)
    }

    #[track_caller]
    fn reduce(self, kind: Reduce, axes: Axes) -> Tensor {
        let span = Span::here();
        if self.dtype() == Dtype::Bool {
            let aval = self.aval();
            let m = format!("`{}` doesn't take {aval}: convert it, or use `any` or `all`", kind.name());
            raise::throw(Error::dtype(m).at(span));
        }
        if axes.is_empty() {
            return self;
        }
        trace::add(Op::Reduce { kind, axes }, &[self], span)
    }

    /// The product over these axes.
    ///
    /// Its derivative takes as many multiplications per element as the product has factors. So long
    /// products of floats are products of products, of as few as their lengths divide into; where
    /// nothing is differentiated, those are merged again.
    #[track_caller]
    fn product(self, axes: Axes) -> Tensor {
        let long = |x: Tensor, axis: usize| x.dtype().is_float() && x.shape()[axis] > LONG_PRODUCT;
        let Some(axis) = axes.iter().copied().find(|a| long(self, *a)) else {
            return self.reduce(Reduce::Prod, axes);
        };
        let shape = self.shape();
        let n = shape[axis];
        let Some(inner) = (SHORT_PRODUCT..=n / 2).take_while(|k| k * k <= n).find(|k| n.is_multiple_of(*k)) else {
            // No factors: over this axis alone, at least.
            let rest: Axes = axes.iter().filter(|a| **a != axis).map(|a| a - usize::from(*a > axis)).collect();
            return self.reduce(Reduce::Prod, Axes::from_slice(&[axis])).product(rest);
        };
        let mut split = shape.to_vec();
        split[axis] = n / inner;
        split.insert(axis + 1, inner);
        self.reshape(split).reduce(Reduce::Prod, Axes::from_slice(&[axis + 1])).product(axes)
    }

    /// What sums and products are of: bools and bytes as integers of 32 bits.
    #[track_caller]
    fn number(self) -> Tensor {
        match self.dtype() {
            Dtype::Bool => self.convert(Dtype::I32),
            Dtype::U8 => self.convert(Dtype::U32),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 => self,
        }
    }

    /// Integers and bools as `f32`.
    #[track_caller]
    pub(crate) fn float(self) -> Tensor {
        if self.dtype().is_float() { self } else { self.convert(Dtype::F32) }
    }

    /// Floats of 16 bits as the `f32` that functions of several steps take them for, to round once at the
    /// end; other types as they are.
    #[track_caller]
    pub(crate) fn wide(self) -> Tensor {
        self.convert(self.dtype().computed())
    }

    /// The shape with these axes of length 1.
    #[track_caller]
    fn keep(self, axes: &[usize]) -> Vec<usize> {
        self.shape().iter().enumerate().map(|(i, n)| if axes.contains(&i) { 1 } else { *n }).collect()
    }

    /// How many elements these axes hold.
    #[track_caller]
    fn count(self, axes: &[usize]) -> f64 {
        let shape = self.shape();
        axes.iter().map(|a| shape[*a] as f64).product()
    }
}
