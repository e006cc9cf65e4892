//! Sorts, positions of extremes, and cumulative sums.

use super::shape::axis as one_axis;
use super::{Tensor, iota};
use crate::{raise, trace};
use egrad_ir::{Dtype, Error, Op, Span};

impl Tensor {
    /// Where the elements are in ascending order along an axis, as `i32`: equals in the order they
    /// stand in, NaN last.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| (x.argsort(0), x.sort(0)));
    /// let (order, sorted) = f(&Array::from_vec(vec![3.0f32, 1.0, 2.0], [3]).unwrap()).unwrap();
    /// assert_eq!(order.as_slice::<i32>().unwrap(), [1, 2, 0]);
    /// assert_eq!(sorted.as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn argsort(self, axis: isize) -> Tensor {
        let _in = crate::raise::within("argsort");
        let axis = one_axis("argsort", axis, self.rank());
        trace::add(Op::Argsort(axis), &[self], Span::here())
    }

    /// The elements in ascending order along an axis, NaN last.
    #[track_caller]
    pub fn sort(self, axis: isize) -> Tensor {
        let _in = crate::raise::within("sort");
        let axis = one_axis("sort", axis, self.rank());
        self.in_order(trace::add(Op::Argsort(axis), &[self], Span::here()), axis)
    }

    /// The k largest elements along the last axis in descending order (NaN first, equals in the
    /// order they stand in), and where they are.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.top_k(2));
    /// let (largest, at) = f(&Array::from_vec(vec![1.0f32, 3.0, 2.0], [3]).unwrap()).unwrap();
    /// assert_eq!(largest.as_slice::<f32>().unwrap(), [3.0, 2.0]);
    /// assert_eq!(at.as_slice::<i32>().unwrap(), [1, 2]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there is no axis or it has fewer than k elements.
    #[track_caller]
    pub fn top_k(self, k: usize) -> (Tensor, Tensor) {
        let _in = crate::raise::within("top_k");
        let (span, aval) = (Span::here(), self.aval());
        let Some(length) = aval.shape.last().copied().filter(|n| k <= *n) else {
            raise::throw(Error::shape(format!("`top_k` of {aval}: its last axis hasn't {k} elements")).at(span));
        };
        let last = aval.shape.rank() - 1;
        // Reversed before and after, so that equals keep their order.
        let order = trace::add(Op::Argsort(last), &[self.flip(-1)], span);
        let order = (length as i32 - 1) - order.flip(-1).slice_axis(-1, 0, k);
        (self.in_order(order, last), order)
    }

    /// The elements at these positions, which are inside, along an axis.
    #[track_caller]
    fn in_order(self, order: Tensor, axis: usize) -> Tensor {
        let last = self.rank() - 1;
        let at = axis as isize;
        let (x, order) = (self.move_axis(at, -1), order.move_axis(at, -1));
        x.take_within(order, last, last).move_axis(-1, at)
    }

    /// Where the largest element is along an axis, as `i32`: the first of several, the first NaN if
    /// there is one.
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there is no such axis or it is empty.
    #[track_caller]
    pub fn argmax(self, axis: isize) -> Tensor {
        let _in = crate::raise::within("argmax");
        self.first_of("argmax", axis, Tensor::max_keepdims)
    }

    /// Where the smallest element is along an axis, as `i32`: the first of several, the first NaN if
    /// there is one.
    ///
    /// # Errors and panics
    /// As [`argmax`](Tensor::argmax).
    #[track_caller]
    pub fn argmin(self, axis: isize) -> Tensor {
        let _in = crate::raise::within("argmin");
        self.first_of("argmin", axis, Tensor::min_keepdims)
    }

    #[track_caller]
    fn first_of(self, name: &str, axis: isize, extreme: fn(Tensor, usize) -> Tensor) -> Tensor {
        let (span, aval) = (Span::here(), self.aval());
        let at = one_axis(name, axis, aval.shape.rank());
        if aval.shape[at] == 0 {
            raise::throw(Error::shape(format!("`{name}` along axis {at} of {aval}, which is empty")).at(span));
        }
        let x = if aval.dtype == Dtype::Bool { self.convert(Dtype::I32) } else { self.stop_gradient() };
        let wanted = x.equal(extreme(x, at)).or(x.is_nan());
        let position = iota(aval.shape.clone(), at as isize, Dtype::I32);
        wanted.select(position, i32::MAX).min_axes(at)
    }

    /// The sums of the elements up to each along an axis; in reverse, from each on.
    ///
    /// In log₂ n steps of whole tensors (Hillis and Steele, "Data parallel algorithms", 1986), and along
    /// a long axis in steps of blocks, whose sums are then treated likewise.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.cumsum(0, false));
    /// let y = f(&Array::from_vec(vec![1i32, 2, 3], [3]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<i32>().unwrap(), [1, 3, 6]);
    /// ```
    #[track_caller]
    pub fn cumsum(self, axis: isize, reverse: bool) -> Tensor {
        let _in = crate::raise::within("cumsum");
        self.cumulative("cumsum", axis, reverse, |x, y| x + y)
    }

    /// The products of the elements up to each along an axis; in reverse, from each on.
    #[track_caller]
    pub fn cumprod(self, axis: isize, reverse: bool) -> Tensor {
        let _in = crate::raise::within("cumprod");
        self.cumulative("cumprod", axis, reverse, |x, y| x * y)
    }

    /// The largest of the elements up to each along an axis; in reverse, from each on.
    #[track_caller]
    pub fn cummax(self, axis: isize, reverse: bool) -> Tensor {
        let _in = crate::raise::within("cummax");
        self.cumulative("cummax", axis, reverse, |x, y| x.maximum(y))
    }

    /// The smallest of the elements up to each along an axis; in reverse, from each on.
    #[track_caller]
    pub fn cummin(self, axis: isize, reverse: bool) -> Tensor {
        let _in = crate::raise::within("cummin");
        self.cumulative("cummin", axis, reverse, |x, y| x.minimum(y))
    }

    /// ln Σ eˣ of the elements up to each along an axis; in reverse, from each on.
    #[track_caller]
    pub fn cumlogsumexp(self, axis: isize, reverse: bool) -> Tensor {
        let _in = crate::raise::within("cumlogsumexp");
        self.cumulative("cumlogsumexp", axis, reverse, |x, y| x.logaddexp(y))
    }

    #[track_caller]
    fn cumulative(self, name: &str, axis: isize, reverse: bool, combine: fn(Tensor, Tensor) -> Tensor) -> Tensor {
        let (span, aval) = (Span::here(), self.aval());
        let at = one_axis(name, axis, aval.shape.rank());
        if aval.dtype == Dtype::Bool {
            raise::throw(Error::dtype(format!("`{name}` doesn't take {aval}: convert it")).at(span));
        }
        self.wide().up_to_each(at, reverse, combine).convert(aval.dtype)
    }

    /// Combines every element with all before it. A long axis is cut into blocks: each by itself, then
    /// what the blocks come to, which everything after them is combined with.
    #[track_caller]
    fn up_to_each(self, at: usize, reverse: bool, combine: fn(Tensor, Tensor) -> Tensor) -> Tensor {
        let (shape, axis) = (self.shape(), at as isize);
        let length = shape[at];
        if length <= 2 * BLOCK || shape.size() == 0 {
            return self.in_steps(at, reverse, combine);
        }
        // Blocks are counted from where it begins; what is left over comes last.
        let (blocks, over) = (length / BLOCK, length % BLOCK);
        let cut = |x: Tensor, first: usize, second: usize| {
            let [low, high] = if reverse { [second, first] } else { [first, second] };
            let (low, high) = (x.slice_axis(axis, 0, low), x.slice_axis(axis, low, low + high));
            if reverse { (high, low) } else { (low, high) }
        };
        let join = |first: Tensor, second: Tensor| {
            super::concatenate(if reverse { [second, first] } else { [first, second] }, axis)
        };
        let (whole, rest) = match over {
            0 => (self, None),
            _ => {
                let (whole, rest) = cut(self, blocks * BLOCK, over);
                (whole, Some(rest))
            }
        };
        let rows = whole.reshape(shape.without(&[at]).insert(at, BLOCK).insert(at, blocks));
        let rows = rows.in_steps(at + 1, reverse, combine);
        let last = if reverse { 0 } else { BLOCK - 1 };
        let sums = rows.slice_axis(axis + 1, last, last + 1).squeeze(axis + 1).up_to_each(at, reverse, combine);
        let after = |sums: Tensor, x: Tensor| combine(sums.expand_dims(axis + 1).broadcast_to(x.shape()), x);
        let (before, all) = cut(sums, blocks - 1, 1);
        let (first, others) = cut(rows, 1, blocks - 1);
        let whole = join(first, after(before, others)).reshape(shape.without(&[at]).insert(at, blocks * BLOCK));
        match rest {
            None => whole,
            Some(rest) => {
                let rest = rest.in_steps(at, reverse, combine);
                join(whole, combine(all.broadcast_to(rest.shape()), rest))
            }
        }
    }

    /// The same in steps, each with what lies twice as far back.
    #[track_caller]
    fn in_steps(self, at: usize, reverse: bool, combine: fn(Tensor, Tensor) -> Tensor) -> Tensor {
        let length = self.shape()[at];
        let mut x = self;
        let mut back = 1;
        while back < length {
            // The first elements, which have nothing so far back, stay as they are.
            let (low, high) = if reverse { (back, length) } else { (0, length - back) };
            let (same_low, same_high) = if reverse { (length - back, length) } else { (0, back) };
            let moved = x.slice_axis(at as isize, low, high);
            let (own_low, own_high) = if reverse { (0, length - back) } else { (back, length) };
            let own = x.slice_axis(at as isize, own_low, own_high);
            let (same, both) = (x.slice_axis(at as isize, same_low, same_high), combine(moved, own));
            x = super::concatenate(if reverse { [both, same] } else { [same, both] }, at as isize);
            back *= 2;
        }
        x
    }
}

/// Elements of a block of a cumulative sum.
const BLOCK: usize = 512;
