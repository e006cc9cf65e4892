//! Elements at positions that are data: takes, gathers, scatters, dynamic slices.
//!
//! Indices are integers of any type. As in JAX, negative ones count from the end.

use super::shape::axis as one_axis;
use super::{Tensor, full, iota, zeros};
use crate::{raise, trace};
use egrad_ir::{Dtype, Error, Op, Reduce, Shape, Span};

/// What [`Tensor::take`] gives for indices outside of the axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// NaN of floats, the smallest of signed integers and the largest of unsigned ones, true. Negative indices count from the end.
    #[default]
    Fill,
    /// The nearest element; negative indices are outside.
    Clip,
    /// Every axis goes on from its start.
    Wrap,
}

impl Tensor {
    /// The elements at these positions along an axis, whose place the indices' axes take.
    ///
    /// ```
    /// # use egrad::{Array, Outside, Tensor, jit};
    /// let f = jit(|x: Tensor, i: Tensor| x.take(i, 0, Outside::Fill));
    /// let x = Array::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
    /// let y = f(&x, &Array::from_vec(vec![2i32, 0, -1], [3]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<f32>().unwrap(), [3.0, 1.0, 3.0]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there is no such axis or the indices aren't integers.
    #[track_caller]
    pub fn take(self, indices: Tensor, axis: isize, outside: Outside) -> Tensor {
        let _in = crate::raise::within("take");
        let at = one_axis("take", axis, self.rank());
        let length = self.shape()[at];
        let end = length_i32("take", self, length);
        match outside {
            Outside::Fill => {
                let indices = indices.counted_from_end("take", end);
                let inside = indices.ge(0).and(indices.lt(end));
                let taken = self.take_within(indices, at, 0);
                let place = self.expand_indices(inside, at, 0);
                place.broadcast_to(taken.shape()).select(taken, taken.missing())
            }
            Outside::Clip => self.take_within(indices.index("take").clamp(0, (end - 1).max(0)), at, 0),
            Outside::Wrap if matches!(indices.dtype(), Dtype::I64 | Dtype::U32) => {
                self.take_within(indices.modulo(end.max(1)).convert(Dtype::I32), at, 0)
            }
            Outside::Wrap => {
                let indices = indices.index("take");
                self.take_within(indices - indices.floor_div_by(end.max(1)) * end.max(1), at, 0)
            }
        }
    }

    /// The elements at each of these positions along an axis, one for one: the other axes of the
    /// indices are those of the tensor, or have length 1. Outside, as [`Outside::Fill`] says.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor, i: Tensor| x.take_along_axis(i, 1));
    /// let x = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// let y = f(&x, &Array::from_vec(vec![1i32, 0], [2, 1]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<f32>().unwrap(), [2.0, 3.0]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if the other axes don't fit or the indices aren't integers.
    #[track_caller]
    pub fn take_along_axis(self, indices: Tensor, axis: isize) -> Tensor {
        let _in = crate::raise::within("take_along_axis");
        let (span, rank) = (Span::here(), self.rank());
        let at = one_axis("take_along_axis", axis, rank);
        let (shape, own) = (self.shape(), indices.shape());
        let fits =
            own.rank() == rank && (0..rank).all(|a| a == at || own[a] == shape[a] || own[a] == 1 || shape[a] == 1);
        if !fits {
            let (x, i) = (self.aval(), indices.aval());
            let m = format!("`take_along_axis` along axis {at} of {x} at {i}: the other axes must be alike");
            raise::throw(Error::shape(m).at(span));
        }
        let other = |a: usize| if own[a] == 1 { shape[a] } else { own[a] };
        let wide =
            |length: usize| -> Vec<usize> { (0..rank).map(|a| if a == at { length } else { other(a) }).collect() };
        let end = length_i32("take_along_axis", self, shape[at]);
        let x = self.broadcast_to(wide(shape[at])).move_axis(at as isize, -1);
        let i = indices.counted_from_end("take_along_axis", end).broadcast_to(wide(own[at])).move_axis(at as isize, -1);
        let inside = i.ge(0).and(i.lt(end));
        let taken = x.take_within(i, rank - 1, rank - 1);
        inside.select(taken, taken.missing()).move_axis(-1, at as isize)
    }

    /// `x[i0, i1, …]`: the elements at these positions along the first axes, the indices broadcast
    /// against each other. Outside, the nearest.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor, i: Tensor, j: Tensor| x.gather(&[i, j]));
    /// let x = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// let y = f(&x, &Array::from(1i32), &Array::from(0i32)).unwrap();
    /// assert_eq!(y.item::<f32>().unwrap(), 3.0);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there are more indices than axes, they aren't integers, or they
    /// don't broadcast.
    #[track_caller]
    pub fn gather(self, indices: &[Tensor]) -> Tensor {
        let _in = crate::raise::within("gather");
        let (flat, at) = self.flat("gather", indices, Place::Nearest);
        flat.take_within(at, 0, 0)
    }

    /// The tensor with `updates` added at these positions of its first axis; what is outside is
    /// dropped.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor, i: Tensor, u: Tensor| x.scatter_add(i, u));
    /// let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// let i = Array::from_vec(vec![1i32, 1, 7], [3]).unwrap();
    /// let y = f(&x, &i, &Array::from_vec(vec![10.0f32, 20.0, 30.0], [3]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<f32>().unwrap(), [1.0, 32.0]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if the indices aren't integers or the updates aren't of the shape
    /// that [`take`](Tensor::take) gives.
    #[track_caller]
    pub fn scatter_add(self, indices: Tensor, updates: Tensor) -> Tensor {
        let _in = crate::raise::within("scatter_add");
        self.scatter("scatter_add", Reduce::Sum, indices, updates)
    }

    /// The tensor with the largest of itself and `updates` at these positions of its first axis.
    /// It has no derivative, as in JAX.
    ///
    /// # Errors and panics
    /// As [`scatter_add`](Tensor::scatter_add).
    #[track_caller]
    pub fn scatter_max(self, indices: Tensor, updates: Tensor) -> Tensor {
        let _in = crate::raise::within("scatter_max");
        self.scatter("scatter_max", Reduce::Max, indices, updates)
    }

    /// The tensor with `updates` in place of what is at these positions of its first axis; of
    /// several updates of one element the last counts.
    ///
    /// # Errors and panics
    /// As [`scatter_add`](Tensor::scatter_add).
    #[track_caller]
    pub fn scatter_set(self, indices: Tensor, updates: Tensor) -> Tensor {
        let _in = crate::raise::within("scatter_set");
        let (found, update) = self.updates("scatter_set", indices, updates);
        found.select(update, self)
    }

    /// The tensor multiplied by `updates` at these positions of its first axis, of which none may
    /// come twice: of several updates of one element the last counts.
    ///
    /// # Errors and panics
    /// As [`scatter_add`](Tensor::scatter_add).
    #[track_caller]
    pub fn scatter_mul(self, indices: Tensor, updates: Tensor) -> Tensor {
        let _in = crate::raise::within("scatter_mul");
        let (found, update) = self.updates("scatter_mul", indices, updates);
        self * found.select(update, 1)
    }

    /// `x[i0, i1, …] + updates`: added at these positions along the first axes; what is outside is
    /// dropped.
    ///
    /// # Errors and panics
    /// As [`gather`](Tensor::gather), and if the updates aren't of the shape that gives.
    #[track_caller]
    pub fn scatter_add_at(self, indices: &[Tensor], updates: Tensor) -> Tensor {
        let _in = crate::raise::within("scatter_add_at");
        let (flat, at) = self.flat("scatter_add_at", indices, Place::Dropped);
        let op = Op::Scatter { kind: Reduce::Sum, axis: 0, batch: 0 };
        trace::add(op, &[flat, at, updates], Span::here()).reshape(self.shape())
    }

    /// Sums of the elements along the first axis by the segment each belongs to, of which there are
    /// n; those of other segments are dropped.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor, s: Tensor| x.segment_sum(s, 2));
    /// let x = Array::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
    /// let y = f(&x, &Array::from_vec(vec![1i32, 0, 1], [3]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<f32>().unwrap(), [2.0, 4.0]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there isn't an integer segment for each element.
    #[track_caller]
    pub fn segment_sum(self, segments: Tensor, n: usize) -> Tensor {
        let _in = crate::raise::within("segment_sum");
        let rest = if self.rank() == 0 { Shape::scalar() } else { self.shape().without(&[0]) };
        let start = zeros(rest.insert(0, n), self.dtype());
        let op = Op::Scatter { kind: Reduce::Sum, axis: 0, batch: 0 };
        trace::add(op, &[start, segments.index("segment_sum"), self], Span::here())
    }

    /// A part of these sizes that begins at positions which are data, one scalar per axis: negative
    /// ones count from the end, and all are moved so that the part fits.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor, i: Tensor| x.dynamic_slice(&[i], &[2]));
    /// let x = Array::from_vec(vec![1i32, 2, 3], [3]).unwrap();
    /// let y = f(&x, &Array::from(5i32)).unwrap();
    /// assert_eq!(y.as_slice::<i32>().unwrap(), [2, 3]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there isn't a scalar and a size per axis or a size is larger
    /// than its axis.
    #[track_caller]
    pub fn dynamic_slice(self, starts: &[Tensor], sizes: &[usize]) -> Tensor {
        let _in = crate::raise::within("dynamic_slice");
        let starts = self.starts("dynamic_slice", starts, sizes);
        let mut x = self;
        for (axis, (start, size)) in starts.into_iter().zip(sizes).enumerate() {
            if *size < self.shape()[axis] {
                x = x.take_within(start + iota([*size], 0, Dtype::I32), axis, 0);
            }
        }
        x
    }

    /// The tensor with `update` in place of the part that begins at these positions, which are as
    /// [`dynamic_slice`](Tensor::dynamic_slice) has them.
    ///
    /// # Errors and panics
    /// As [`dynamic_slice`](Tensor::dynamic_slice).
    #[track_caller]
    pub fn dynamic_update_slice(self, update: Tensor, starts: &[Tensor]) -> Tensor {
        let _in = crate::raise::within("dynamic_update_slice");
        let (shape, sizes) = (self.shape(), update.shape());
        if update.dtype() != self.dtype() {
            let m =
                format!("`dynamic_update_slice` of {} needs an update of its type, not {}", self.aval(), update.aval());
            raise::throw(Error::dtype(m).at(Span::here()));
        }
        let starts = self.starts("dynamic_update_slice", starts, &sizes);
        let mut placed = update;
        let mut inside: Option<Tensor> = None;
        for (axis, start) in starts.into_iter().enumerate() {
            if sizes[axis] == shape[axis] {
                continue;
            }
            let from = iota([shape[axis]], 0, Dtype::I32) - start;
            placed = placed.take_within(from, axis, 0);
            let within = from.ge(0).and(from.lt(sizes[axis] as i32)).broadcast_in_dim(shape.clone(), vec![axis]);
            inside = Some(inside.map_or(within, |others| others.and(within)));
        }
        inside.map_or(placed, |inside| inside.select(placed, self))
    }

    /// Elements at positions of which those outside hold zeros.
    #[track_caller]
    pub(crate) fn take_within(self, indices: Tensor, axis: usize, batch: usize) -> Tensor {
        trace::add(Op::Take { axis, batch }, &[self, indices], Span::here())
    }

    #[track_caller]
    fn scatter(self, name: &str, kind: Reduce, indices: Tensor, updates: Tensor) -> Tensor {
        let end = length_i32(name, self, self.shape().first().copied().unwrap_or(0));
        let indices = indices.counted_from_end(name, end);
        trace::add(Op::Scatter { kind, axis: 0, batch: 0 }, &[self, indices, updates], Span::here())
    }

    /// Per element of the tensor whether there is an update of it, and the last one.
    #[track_caller]
    fn updates(self, name: &str, indices: Tensor, updates: Tensor) -> (Tensor, Tensor) {
        let span = Span::here();
        let (shape, own) = (self.shape(), indices.shape());
        let end = length_i32(name, self, shape.first().copied().unwrap_or(0));
        let want: Vec<usize> = own.iter().chain(shape.iter().skip(1)).copied().collect();
        if shape.rank() == 0 || *updates.shape() != *want || updates.dtype() != self.dtype() {
            let (x, i, u) = (self.aval(), indices.aval(), updates.aval());
            let m = format!("the updates of `{name}` of {x} at {i} must be {}{}, not {u}", x.dtype, Shape::from(want));
            raise::throw(Error::shape(m).at(span));
        }
        let count = own.size();
        let at = indices.counted_from_end(name, end).reshape([count]);
        let rows = updates.reshape([&[count], &shape[1..]].concat());
        let none = full([shape[0]], -1i32);
        let op = Op::Scatter { kind: Reduce::Max, axis: 0, batch: 0 };
        let last = trace::add(op, &[none, at, iota([count], 0, Dtype::I32)], span);
        let found = last.ge(0).broadcast_in_dim(shape.clone(), vec![0]);
        (found, rows.take_within(last, 0, 0))
    }

    /// The first axes as one, and the positions along it of these indices along them.
    #[track_caller]
    fn flat(self, name: &str, indices: &[Tensor], place: Place) -> (Tensor, Tensor) {
        let (span, shape) = (Span::here(), self.shape());
        if indices.is_empty() || indices.len() > shape.rank() {
            let (n, aval) = (indices.len(), self.aval());
            raise::throw(Error::axis(format!("`{name}` of {aval} takes an index per axis, got {n}")).at(span));
        }
        let (lead, rest) = shape.split_at(indices.len());
        let total: usize = lead.iter().product();
        length_i32(name, self, total);
        let (mut flat, mut inside): (Option<Tensor>, Option<Tensor>) = (None, None);
        for (index, length) in indices.iter().zip(lead) {
            let end = *length as i32;
            let mut at = index.counted_from_end(name, end);
            let own = at.ge(0).and(at.lt(end));
            if place == Place::Nearest {
                at = at.clamp(0, (end - 1).max(0));
            }
            flat = Some(flat.map_or(at, |flat| flat * end + at));
            inside = Some(inside.map_or(own, |inside| inside.and(own)));
        }
        let (flat, inside) = (flat.expect("there is an index"), inside.expect("there is an index"));
        let at = match place {
            Place::Nearest => flat,
            Place::Dropped => inside.select(flat, -1),
        };
        (self.reshape([&[total], rest].concat()), at)
    }

    /// Starts that let parts of these sizes fit.
    #[track_caller]
    fn starts(self, name: &str, starts: &[Tensor], sizes: &[usize]) -> Vec<Tensor> {
        let (span, aval) = (Span::here(), self.aval());
        let rank = aval.shape.rank();
        if starts.len() != rank || sizes.len() != rank {
            let (n, m) = (starts.len(), sizes.len());
            let m = format!("`{name}` of {aval} needs a start and a size per axis, got {n} and {m}");
            raise::throw(Error::axis(m).at(span));
        }
        let start = |(axis, (start, size)): (usize, (&Tensor, &usize))| {
            let length = aval.shape[axis];
            if *size > length || start.rank() != 0 {
                let of = start.aval();
                let m = format!("`{name}` of {aval}: a start {of} and a size {size} don't fit axis {axis}");
                raise::throw(Error::shape(m).at(span));
            }
            let end = length_i32(name, self, length);
            start.counted_from_end(name, end).clamp(0, end - *size as i32)
        };
        starts.iter().zip(sizes).enumerate().map(start).collect()
    }

    /// Indices, of which negative ones count from `end`.
    #[track_caller]
    fn counted_from_end(self, name: &str, end: i32) -> Tensor {
        let index = self.index(name);
        index.lt(0).select(index + end, index)
    }

    /// Indices as `i32`; those it doesn't hold are beyond every axis, and so are its ends.
    #[track_caller]
    pub(crate) fn index(self, name: &str) -> Tensor {
        match self.dtype() {
            Dtype::I32 => self,
            Dtype::I64 => self.clamp(i32::MIN, i32::MAX).convert(Dtype::I32),
            Dtype::U32 => self.minimum(i32::MAX).convert(Dtype::I32),
            Dtype::U8 => self.convert(Dtype::I32),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::Bool => {
                let m = format!("the indices of `{name}` must be integers, not {}", self.aval());
                raise::throw(Error::dtype(m).at(Span::here()))
            }
        }
    }

    /// Something per index, as something per element taken.
    #[track_caller]
    fn expand_indices(self, of: Tensor, axis: usize, batch: usize) -> Tensor {
        let (rank, own) = (self.rank(), of.rank());
        let after = rank - axis - 1;
        let mut shape = of.shape()[..batch].to_vec();
        shape.extend(std::iter::repeat_n(1, axis - batch));
        shape.extend(&of.shape()[batch..own]);
        shape.extend(std::iter::repeat_n(1, after));
        of.reshape(shape)
    }

    /// What stands for an element that isn't there.
    #[track_caller]
    fn missing(self) -> Tensor {
        let missing = match self.dtype() {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => f64::NAN,
            // Saturates to the smallest, or the largest.
            Dtype::I32 | Dtype::I64 => f64::NEG_INFINITY,
            Dtype::U32 | Dtype::U8 => f64::INFINITY,
            Dtype::Bool => 1.0,
        };
        let literal = egrad_ir::Literal::new(self.dtype(), missing);
        trace::add(Op::Constant(literal), &[], Span::here()).broadcast_to(self.shape())
    }

    /// The quotient by a positive number, rounded down.
    #[track_caller]
    fn floor_div_by(self, n: i32) -> Tensor {
        // In floats of 64 bits, where every quotient of two i32 rounds to its own side of a whole number.
        let quotient = self.convert(Dtype::F64) / f64::from(n);
        let toward_zero = quotient.convert(Dtype::I32);
        toward_zero.convert(Dtype::F64).gt(quotient).select(toward_zero - 1, toward_zero)
    }
}

/// What becomes of an index outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nearest,
    Dropped,
}

/// The length of an axis as an `i32`.
#[track_caller]
fn length_i32(name: &str, x: Tensor, length: usize) -> i32 {
    i32::try_from(length).unwrap_or_else(|_| {
        let m = format!("`{name}` of {}: {length} positions are beyond what an i32 counts", x.aval());
        raise::throw(Error::shape(m).at(Span::here()))
    })
}
