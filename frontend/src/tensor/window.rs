//! Convolutions, and reductions over sliding windows.
//!
//! Both look at the tensor through windows: [`Tensor::windows`] takes, along each axis, the elements
//! `position·stride + offset·dilation − low`, which adds an axis of offsets behind each axis of
//! positions. A convolution contracts the offsets with its kernel; a reduction reduces them.

use super::{Tensor, iota, zeros};
use crate::{raise, trace};
use egrad_ir::{DotDims, Dtype, Error, Op, Span};

/// A window that slides along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// How many elements it holds.
    size: usize,
    /// How far it moves.
    stride: usize,
    /// How far its elements are apart.
    dilation: usize,
    /// How many elements it may begin before and end after the tensor.
    padding: (usize, usize),
}

impl Window {
    /// How many positions it has along an axis of that length.
    fn positions(&self, length: usize) -> usize {
        let reach = (self.size.max(1) - 1) * self.dilation + 1;
        let room = length + self.padding.0 + self.padding.1;
        if room < reach { 0 } else { (room - reach) / self.stride + 1 }
    }
}

/// How a convolution slides, as in JAX's `lax.conv_general_dilated`. Missing lists are ones, or no
/// padding, along every spatial axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// The axes of the left operand, the kernel and the result: `N` batch, `C` channels, `O` and `I`
    /// the kernel's output and input channels, any other letter a spatial axis.
    pub layouts: [String; 3],
    /// How far the kernel moves along each spatial axis, in the order the left operand has them.
    pub strides: Vec<usize>,
    /// Zeros before and after along each spatial axis.
    pub padding: Vec<(usize, usize)>,
    /// How far elements of the left operand are apart; zeros are put between.
    pub lhs_dilation: Vec<usize>,
    /// How far elements of the kernel are apart.
    pub rhs_dilation: Vec<usize>,
    /// In how many groups channels are convolved, each by itself.
    pub groups: usize,
}

impl Default for Convolution {
    /// Images in `NHWC`, kernels in `HWIO`, strides of 1, no padding.
    fn default() -> Convolution {
        Convolution {
            layouts: ["NHWC", "HWIO", "NHWC"].map(str::to_owned),
            strides: Vec::new(),
            padding: Vec::new(),
            lhs_dilation: Vec::new(),
            rhs_dilation: Vec::new(),
            groups: 1,
        }
    }
}

/// Refuses windows whose positions an `i32` doesn't count, by the argument that makes them too many.
#[track_caller]
fn fitting(name: &str, x: Tensor, windows: &[Window], span: Span) {
    for (axis, (w, n)) in windows.iter().zip(x.shape().iter()).enumerate() {
        let reach = w.size.saturating_sub(1).saturating_mul(w.dilation);
        let room = n.saturating_add(w.padding.0).saturating_add(w.padding.1);
        let too_large = |n: usize| i32::try_from(n).is_err();
        let what = if too_large(w.stride) {
            format!("strides of {}", w.stride)
        } else if too_large(reach) && w.dilation > 1 {
            format!("{} elements with a dilation of {}", w.size, w.dilation)
        } else if too_large(reach) {
            format!("windows of {}", w.size)
        } else if too_large(room) {
            format!("{n} elements with a padding of {:?}", w.padding)
        } else {
            continue;
        };
        let m = format!("`{name}` of {}: {what}, along axis {axis}, reach over more than {}", x.aval(), i32::MAX);
        raise::throw(Error::memory(m).at(span));
    }
}

impl Tensor {
    /// Sums over windows of these sizes, one per axis, that move by `strides`, with zeros before and
    /// after.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.window_sum(&[2], &[2], &[(0, 0)]));
    /// let y = f(&Array::from_vec(vec![1i32, 2, 3, 4], [4]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<i32>().unwrap(), [3, 7]);
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there isn't a size, a stride from 1 and a padding per axis.
    #[track_caller]
    pub fn window_sum(self, window: &[usize], strides: &[usize], padding: &[(usize, usize)]) -> Tensor {
        let _in = crate::raise::within("window_sum");
        let windows = self.sliding("window_sum", window, strides, padding);
        self.windows(&windows, None).sum_axes(offsets(self.rank()))
    }

    /// The largest element of each window; as [`window_sum`](Tensor::window_sum), but nothing is
    /// before and after. Where several are equal, the first has the derivative; so has the first NaN,
    /// where JAX's slope depends on the order it compares in.
    ///
    /// # Errors and panics
    /// As [`window_sum`](Tensor::window_sum), and if a window is empty.
    #[track_caller]
    pub fn window_max(self, window: &[usize], strides: &[usize], padding: &[(usize, usize)]) -> Tensor {
        let _in = crate::raise::within("window_max");
        let windows = self.sliding("window_max", window, strides, padding);
        self.windows(&windows, Some(f64::NEG_INFINITY)).pick(Tensor::argmax)
    }

    /// The smallest element of each window; as [`window_max`](Tensor::window_max).
    ///
    /// # Errors and panics
    /// As [`window_sum`](Tensor::window_sum).
    #[track_caller]
    pub fn window_min(self, window: &[usize], strides: &[usize], padding: &[(usize, usize)]) -> Tensor {
        let _in = crate::raise::within("window_min");
        let windows = self.sliding("window_min", window, strides, padding);
        self.windows(&windows, Some(f64::INFINITY)).pick(Tensor::argmin)
    }

    /// Of the elements in each window the one at that position.
    #[track_caller]
    fn pick(self, position: fn(Tensor, isize) -> Tensor) -> Tensor {
        let (shape, rank) = (self.shape(), self.rank() / 2);
        let perm: Vec<usize> = (0..rank).map(|a| 2 * a).chain((0..rank).map(|a| 2 * a + 1)).collect();
        let positions: Vec<usize> = (0..rank).map(|a| shape[2 * a]).collect();
        let size: usize = (0..rank).map(|a| shape[2 * a + 1]).product();
        let rows = self.transpose(perm).reshape([&positions[..], &[size]].concat());
        let at = position(rows, -1);
        rows.take_within(at.expand_dims(-1), rank, rank).reshape(positions)
    }

    #[track_caller]
    fn sliding(self, name: &str, window: &[usize], strides: &[usize], padding: &[(usize, usize)]) -> Vec<Window> {
        let (span, rank) = (Span::here(), self.rank());
        let zero = strides.contains(&0) || window.contains(&0);
        if window.len() != rank || strides.len() != rank || padding.len() != rank || zero {
            let m = format!(
                "`{name}` of {} needs a size from 1, a stride from 1 and a padding per axis, got {window:?}, {strides:?} and {padding:?}",
                self.aval()
            );
            raise::throw(Error::axis(m).at(span));
        }
        let of = |i: usize| Window { size: window[i], stride: strides[i], dilation: 1, padding: padding[i] };
        let windows: Vec<Window> = (0..rank).map(of).collect();
        fitting(name, self, &windows, span);
        windows
    }

    /// The elements in each window: behind each axis of positions an axis of offsets. Outside of the
    /// tensor is `outside`, or zero.
    #[track_caller]
    fn windows(self, windows: &[Window], outside: Option<f64>) -> Tensor {
        let mut x = self;
        let mut inside: Option<Tensor> = None;
        let full: Vec<usize> =
            windows.iter().zip(self.shape().iter()).flat_map(|(w, n)| [w.positions(*n), w.size]).collect();
        for (axis, w) in windows.iter().enumerate() {
            let (length, at) = (self.shape()[axis], 2 * axis);
            let shape = [w.positions(length), w.size];
            if *w == (Window { size: 1, stride: 1, dilation: 1, padding: (0, 0) }) {
                x = x.expand_dims(at as isize + 1);
                continue;
            }
            // Side by side they are parts of the axis.
            if w.size == w.stride && w.dilation == 1 && w.padding == (0, 0) {
                let own = x.slice_axis(at as isize, 0, shape[0] * shape[1]);
                x = own.reshape([&x.shape()[..at], &shape, &x.shape()[at + 1..]].concat());
                continue;
            }
            let place = iota(shape, 0, Dtype::I32) * w.stride as i32 + iota(shape, 1, Dtype::I32) * w.dilation as i32
                - w.padding.0 as i32;
            x = x.take_within(place, at, 0);
            if outside.is_some() && w.padding != (0, 0) {
                let own = place.ge(0).and(place.lt(length as i32)).broadcast_in_dim(full.clone(), vec![at, at + 1]);
                inside = Some(inside.map_or(own, |others| others.and(own)));
            }
        }
        match (inside, outside) {
            (Some(inside), Some(outside)) => {
                // Of integers and truth values, an infinity is the end on its side.
                let end = if x.dtype() == Dtype::Bool { f64::from(u8::from(outside > 0.0)) } else { outside };
                let literal = egrad_ir::Literal::new(x.dtype(), end);
                let outside = trace::add(Op::Constant(literal), &[], Span::here()).broadcast_to(x.shape());
                inside.select(x, outside)
            }
            _ => x,
        }
    }
}

/// The axes of offsets.
fn offsets(rank: usize) -> Vec<usize> {
    (0..rank).map(|axis| 2 * axis + 1).collect()
}

/// The convolution (in fact the cross-correlation, as everywhere in machine learning) of `lhs` with
/// the kernel `rhs`.
///
/// ```
/// # use egrad::{Array, Convolution, Tensor, conv, jit};
/// let f = jit(|x: Tensor, k: Tensor| {
///     let layouts = ["NWC", "WIO", "NWC"].map(str::to_owned);
///     conv(x, k, &Convolution { layouts, ..Convolution::default() })
/// });
/// let x = Array::from_vec(vec![1.0f32, 2.0, 4.0], [1, 3, 1]).unwrap();
/// let y = f(&x, &Array::from_vec(vec![1.0f32, -1.0], [2, 1, 1]).unwrap()).unwrap();
/// assert_eq!(y.as_slice::<f32>().unwrap(), [-1.0, -2.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if the layouts aren't those of the operands, lists have another
/// length than there are spatial axes, the kernel has a spatial axis of length 0, there are no groups, or
/// channels don't fit each other and the groups.
#[track_caller]
pub fn conv(lhs: Tensor, rhs: Tensor, how: &Convolution) -> Tensor {
    let _in = crate::raise::within("conv");
    let span = Span::here();
    let (x, k) = (lhs.aval(), rhs.aval());
    let wrong = |what: String| -> ! { raise::throw(Error::shape(format!("`conv` of {x} and {k}: {what}")).at(span)) };
    let [of_x, of_k, of_y] = how.layouts.each_ref().map(|l| l.chars().collect::<Vec<char>>());
    let spatial: Vec<char> = of_x.iter().copied().filter(|c| *c != 'N' && *c != 'C').collect();
    let find = |layout: &[char], c: char| layout.iter().position(|l| *l == c);
    for (layout, rank, own) in
        [(&of_x, x.shape.rank(), ['N', 'C']), (&of_k, k.shape.rank(), ['O', 'I']), (&of_y, x.shape.rank(), ['N', 'C'])]
    {
        let all = own.iter().chain(&spatial);
        let twice = layout.iter().enumerate().any(|(i, c)| layout[..i].contains(c));
        let missing = all.into_iter().any(|c| find(layout, *c).is_none());
        if layout.len() != rank || rank != spatial.len() + 2 || twice || missing {
            wrong(format!("the layouts {:?} don't name their axes", how.layouts));
        }
    }
    let n = spatial.len();
    let list = |list: &[usize], what: &str| -> Vec<usize> {
        match list {
            [] => vec![1; n],
            list if list.len() == n && !list.contains(&0) => list.to_vec(),
            list => wrong(format!("{what} {list:?} for {n} spatial axes")),
        }
    };
    let (strides, dilation) = (list(&how.strides, "strides"), list(&how.rhs_dilation, "kernel dilations"));
    let apart = list(&how.lhs_dilation, "input dilations");
    let padding = match &how.padding[..] {
        [] => vec![(0, 0); n],
        list if list.len() == n => list.to_vec(),
        list => wrong(format!("padding {list:?} for {n} spatial axes")),
    };
    let axis = |layout: &[char], c: char| find(layout, c).unwrap_or(0);
    // Batch, spatial axes, channels; spatial axes, input and output channels.
    let order =
        |layout: &[char], all: Vec<char>| -> Vec<isize> { all.iter().map(|c| axis(layout, *c) as isize).collect() };
    let with = |first: &[char], last: &[char]| [first, &spatial, last].concat();
    let mut x = lhs.transpose(order(&of_x, with(&['N'], &['C'])));
    let k = rhs.transpose(order(&of_k, with(&[], &['I', 'O'])));
    let groups = how.groups;
    if groups == 0 || k.shape()[..n].contains(&0) {
        wrong(format!(
            "there must be a group and an element of the kernel along every spatial axis, not {groups} groups"
        ));
    }
    let (batch, channels, outputs) = (x.shape()[0], x.shape()[n + 1], k.shape()[n + 1]);
    if channels != k.shape()[n] * groups || outputs % groups != 0 {
        wrong(format!("{channels} channels, {} of the kernel and {outputs} outputs in {groups} groups", k.shape()[n]));
    }
    if lhs.dtype() != rhs.dtype() || !lhs.dtype().is_float() {
        raise::throw(
            Error::dtype(format!(
                "`conv` takes two operands of one float type, not {x} and {k}",
                x = lhs.aval(),
                k = rhs.aval()
            ))
            .at(span),
        );
    }
    for (i, d) in apart.iter().enumerate() {
        let length = x.shape()[1 + i];
        if i32::try_from(length.saturating_sub(1).saturating_mul(*d)).is_err() {
            let m = format!(
                "`conv` of {}: {length} elements with an input dilation of {d} reach over more than {}",
                lhs.aval(),
                i32::MAX
            );
            raise::throw(Error::memory(m).at(span));
        }
        x = x.pad_axis(1 + i, (0, 0, d - 1).into(), 0.0);
    }
    let whole = Window { size: 1, stride: 1, dilation: 1, padding: (0, 0) };
    let window =
        |i: usize| Window { size: k.shape()[i], stride: strides[i], dilation: dilation[i], padding: padding[i] };
    let windows: Vec<Window> = [whole].into_iter().chain((0..n).map(window)).chain([whole]).collect();
    fitting("conv", x, &windows, span);
    let positions: Vec<usize> = (0..n).map(|i| windows[1 + i].positions(x.shape()[1 + i])).collect();
    let sizes: Vec<usize> = k.shape()[..n].to_vec();
    // batch, 1, then positions and offsets in turn, channels, 1.
    let seen = x.windows(&windows, None);
    let in_group = channels / groups;
    let pairs: Vec<usize> = positions.iter().zip(&sizes).flat_map(|(p, s)| [*p, *s]).collect();
    // A matrix per group: a row per window, in it the channels of every offset, side by side.
    let (rows, columns) = (batch * positions.iter().product::<usize>(), in_group * sizes.iter().product::<usize>());
    let seen = seen.reshape([&[batch], &pairs[..], &[groups, in_group]].concat());
    let (at, offsets) = ((0..n).map(|i| 1 + 2 * i), (0..n).map(|i| 2 + 2 * i));
    let last = 2 * n + 1;
    let seen = seen.transpose([last, 0].into_iter().chain(at).chain(offsets).chain([last + 1]).collect::<Vec<usize>>());
    let seen = seen.reshape([groups, rows, columns]);
    let kernel = k.reshape([&sizes[..], &[in_group, groups, outputs / groups]].concat());
    let kernel = kernel.transpose([n + 1].into_iter().chain(0..=n).chain([n + 2]).collect::<Vec<usize>>());
    let kernel = kernel.reshape([groups, columns, outputs / groups]);
    let one = |axis: usize| [axis].into_iter().collect();
    let dims = DotDims { contract: [one(2), one(1)], batch: [one(0), one(0)] };
    if batch * outputs * positions.iter().product::<usize>() == 0 {
        let shape: Vec<usize> = of_y
            .iter()
            .map(|c| match c {
                'N' => batch,
                'C' => outputs,
                c => positions[spatial.iter().position(|s| s == c).unwrap_or(0)],
            })
            .collect();
        return zeros(shape, lhs.dtype());
    }
    // groups, batch, positions, outputs of a group.
    let y = trace::add(Op::DotGeneral(dims), &[seen, kernel], span);
    let y = y.reshape([&[groups, batch], &positions[..], &[outputs / groups]].concat());
    let group_last: Vec<usize> = (1..n + 2).chain([0, n + 2]).collect();
    let y = y.transpose(group_last).reshape([&[batch], &positions[..], &[outputs]].concat());
    let back = |c: &char| match c {
        'N' => 0,
        'C' => n as isize + 1,
        c => 1 + spatial.iter().position(|s| s == c).unwrap_or(0) as isize,
    };
    y.transpose(of_y.iter().map(back).collect::<Vec<isize>>())
}
