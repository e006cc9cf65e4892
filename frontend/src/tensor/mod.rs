//! [`Tensor`]: a value of a trace, and what can be done with it.
//!
//! * this file: the handle, making tensors, and elementwise operations with NumPy's broadcasting;
//! * `operators`: `+ - * /` and their friends;
//! * `shape`: reshaping, permuting, broadcasting;
//! * `reduce`: sums, means, maxima, … over axes;
//! * `contract`: matrix products and `einsum`;
//! * `parts`: slices, pads, flips, concatenations;
//! * `index`: elements at positions that are data: takes, gathers, scatters;
//! * `order`: sorts, extremes' positions, cumulative sums;
//! * `window`: convolutions and sliding windows.

mod contract;
mod index;
mod operators;
mod order;
mod parts;
mod reduce;
mod shape;
mod window;

pub use contract::einsum;
pub use index::Outside;
pub use parts::{Padding, concatenate};
pub use shape::AxisList;
pub(crate) use shape::normalize as normalize_axis;
pub use window::{Convolution, conv};

use crate::{raise, trace};
use egrad_ir::{Array, Aval, Binary, Compare, Dtype, Element, Error, Literal, NodeId, Op, Result, Shape, Span, Unary};
use egrad_ir::{bf16, f16};
use std::fmt;
use std::marker::PhantomData;

/// A value inside a function that is being traced.
///
/// It has a [`dtype`](Tensor::dtype) and a [`shape`](Tensor::shape) but no numbers yet: operators
/// record what is to be computed. A tensor is a small handle, `Copy`, tied to its thread and to
/// the function it was made in; used anywhere else it gives [`Error::Trace`], never a wrong result.
///
/// Binary operations broadcast as NumPy's do: shapes are aligned at the last axis, and axes of
/// length 1 stretch. Both operands have one element type; number literals take the tensor's.
///
/// ```
/// use egrad::{Array, Tensor, jit};
/// # fn main() -> egrad::Result<()> {
/// let f = jit(|x: Tensor| 2.0 * x.sin() + 1);
/// let y = f(&Array::scalar(0.0f32))?;
/// assert_eq!(y.item::<f32>()?, 1.0);
/// # Ok(()) }
/// ```
///
/// # Errors and panics
/// Where operands don't fit, the method doesn't return: inside a function given to
/// [`jit`](crate::jit()), [`eager`](crate::eager) or [`trace`](crate::trace()) the error comes out of
/// that door as `Err`, with the line that is wrong and the lines its operands were made on.
/// Outside of a trace, and under `panic = "abort"`, it is a panic with the same text.
#[derive(Clone, Copy)]
pub struct Tensor {
    pub(crate) frame: u64,
    pub(crate) node: NodeId,
    /// Traces belong to threads.
    not_send: PhantomData<*const ()>,
}

impl Tensor {
    pub(crate) fn new(frame: u64, node: NodeId) -> Tensor {
        Tensor { frame, node, not_send: PhantomData }
    }

    /// Element type and shape.
    #[track_caller]
    pub fn aval(self) -> Aval {
        trace::aval(self, Span::here())
    }

    /// The lengths of its axes.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| {
    ///     assert_eq!(*x.shape(), [2, 3]);
    ///     x
    /// });
    /// # f(&Array::from_vec(vec![0.0f32; 6], [2, 3]).unwrap()).unwrap();
    /// ```
    #[track_caller]
    pub fn shape(self) -> Shape {
        trace::look(self, Span::here(), |n| n.avals[0].shape.clone())
    }

    /// Its element type.
    #[track_caller]
    pub fn dtype(self) -> Dtype {
        trace::look(self, Span::here(), |n| n.avals[0].dtype)
    }

    /// How many axes it has.
    #[track_caller]
    pub fn rank(self) -> usize {
        trace::look(self, Span::here(), |n| n.avals[0].shape.rank())
    }

    /// How many elements it has.
    #[track_caller]
    pub fn size(self) -> usize {
        trace::look(self, Span::here(), |n| n.avals[0].shape.size())
    }

    #[track_caller]
    fn unary(self, op: Unary) -> Tensor {
        trace::add(Op::Unary(op), &[self], Span::here())
    }

    #[track_caller]
    pub(crate) fn binary(self, op: Binary, other: impl Operand) -> Tensor {
        pair(Op::Binary(op), self, other)
    }

    #[track_caller]
    fn compare(self, op: Compare, other: impl Operand) -> Tensor {
        pair(Op::Compare(op), self, other)
    }
}

impl fmt::Debug for Tensor {
    /// The aval, as in `Tensor(f32[2,3])`, while the trace lives.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match trace::peek(*self) {
            Some(aval) => write!(f, "Tensor({aval})"),
            None => f.write_str("Tensor(of an ended trace)"),
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Tensor {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for egrad_ir::f16 {}
    impl Sealed for egrad_ir::bf16 {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
    impl Sealed for u32 {}
    impl Sealed for u8 {}
    impl Sealed for bool {}
}

/// What stands beside a tensor in an operation: another tensor, or a number, which takes the
/// tensor's element type.
///
/// A whole number fits float tensors and those of integers that hold it, a number with a point float
/// tensors alone, and a `bool` bool tensors alone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an operand of a tensor operation",
    note = "operands are `Tensor`s and the numbers `f32`, `f64`, `f16`, `bf16`, `i32`, `i64`, `u32`, `u8` and `bool`; an `Array` becomes a tensor by `Tensor::from(&array)`"
)]
pub trait Operand: Copy + sealed::Sealed {
    /// The tensor itself, if it is one.
    #[doc(hidden)]
    fn as_tensor(self) -> Option<Tensor>;
    /// The element type it has where nothing else says.
    #[doc(hidden)]
    fn own_dtype(self) -> Dtype;
    /// The value as a literal of that type.
    #[doc(hidden)]
    fn literal(self, dtype: Dtype) -> Result<Literal>;
}

impl Operand for Tensor {
    fn as_tensor(self) -> Option<Tensor> {
        Some(self)
    }
    #[track_caller]
    fn own_dtype(self) -> Dtype {
        self.dtype()
    }
    fn literal(self, _: Dtype) -> Result<Literal> {
        Err(Error::internal("a tensor is no literal"))
    }
}

macro_rules! number {
    ($($T:ty, $own:ident, $literal:expr, $what:literal;)*) => {$(
        impl Operand for $T {
            fn as_tensor(self) -> Option<Tensor> {
                None
            }
            fn own_dtype(self) -> Dtype {
                Dtype::$own
            }
            fn literal(self, dtype: Dtype) -> Result<Literal> {
                let literal: fn(Dtype, $T) -> Option<Literal> = $literal;
                literal(dtype, self).ok_or_else(|| {
                    let remedy = if dtype.is_integer() && Dtype::$own.is_integer() {
                        "it doesn't hold that number, convert the tensor first"
                    } else {
                        "convert the tensor first"
                    };
                    let m = format!(concat!("the ", $what, " {:?} doesn't fit a tensor of {}: {}"), self, dtype, remedy);
                    Error::dtype(m)
                })
            }
        }
    )*};
}
number! {
    f32,  F32,  |dtype, x| float(dtype, f64::from(x)),     "number";
    f64,  F32,  float,                                     "number";
    f16,  F16,  |dtype, x| float(dtype, x.to_f64()),       "number";
    bf16, Bf16, |dtype, x| float(dtype, x.to_f64()),       "number";
    i32,  I32,  |dtype, x| whole(dtype, i64::from(x)),     "number";
    i64,  I64,  whole,                                     "number";
    u32,  U32,  |dtype, x| whole(dtype, i64::from(x)),     "number";
    u8,   U8,   |dtype, x| whole(dtype, i64::from(x)),     "number";
    bool, Bool, |dtype, x| (dtype == Dtype::Bool).then(|| Element::literal(x)), "truth value";
}

/// A number with a point as a float.
fn float(dtype: Dtype, x: f64) -> Option<Literal> {
    dtype.is_float().then(|| Literal::new(dtype, x))
}

/// A whole number as a float, or as an integer that holds it.
fn whole(dtype: Dtype, x: i64) -> Option<Literal> {
    let literal = Literal::wrapped(dtype, x);
    (dtype.is_float() || (dtype.is_integer() && literal.to_i64() == Some(x))).then_some(literal)
}

/// An operand as a tensor of that element type (which only literals are given).
#[track_caller]
pub(crate) fn operand(name: &str, x: impl Operand, dtype: Dtype) -> Tensor {
    let span = Span::here();
    match x.as_tensor() {
        Some(t) => t,
        None => match x.literal(dtype) {
            Ok(literal) => trace::add(Op::Constant(literal), &[], span),
            Err(e) => {
                let r = e.report();
                raise::throw(Error::dtype(format!("`{name}`: {}", r.message)).at(span))
            }
        },
    }
}

/// The element type of an operation between operands: that of the tensor among them, else the
/// first one's own.
#[track_caller]
fn common_dtype(a: impl Operand, b: impl Operand) -> Dtype {
    match (a.as_tensor(), b.as_tensor()) {
        (Some(t), _) | (None, Some(t)) => t.dtype(),
        (None, None) if a.own_dtype() == Dtype::I32 => b.own_dtype(),
        (None, None) if a.own_dtype().is_integer() && b.own_dtype().is_float() => b.own_dtype(),
        (None, None) => a.own_dtype(),
    }
}

/// Records an elementwise primitive of two operands.
#[track_caller]
fn pair(op: Op, a: impl Operand, b: impl Operand) -> Tensor {
    let span = Span::here();
    let dtype = common_dtype(a, b);
    let operands = [operand(op.name(), a, dtype), operand(op.name(), b, dtype)];
    trace::elementwise(op, &operands, span)
}

macro_rules! unary {
    (elsewhere $($Other:ident)*; $($(#[$doc:meta])* $name:ident = $Op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(self) -> Tensor {
                self.unary(Unary::$Op)
            }
        )*}

        // Every one has a method: here, or `elsewhere` as an operator or by hand.
        const _: fn(Unary) = |op| match op {
            $(Unary::$Op => {})*
            $(Unary::$Other => {})*
        };
    };
}
unary! {
    elsewhere Neg Abs Not;
    /// -1, 0 or 1 by the sign of x; a float zero keeps its sign, NaN stays NaN.
    sign = Sign;
    /// The largest integer that isn't above x, of floats; the derivative is 0.
    floor = Floor;
    /// The integer nearest to x, of floats; halves go to the even one. The derivative is 0.
    round = Round;
    /// √x of floats.
    sqrt = Sqrt;
    /// 1/√x of floats.
    rsqrt = Rsqrt;
    /// eˣ of floats.
    exp = Exp;
    /// eˣ − 1, exact for small x.
    expm1 = Expm1;
    /// ln x of floats.
    log = Log;
    /// ln (1 + x), exact for small x.
    log1p = Log1p;
    /// sin x of floats.
    sin = Sin;
    /// cos x of floats.
    cos = Cos;
    /// arcsin x of floats, from -π/2 to π/2; NaN beyond ±1.
    asin = Asin;
    /// arccos x of floats, from 0 to π; NaN beyond ±1.
    acos = Acos;
    /// arctan x of floats, from -π/2 to π/2.
    atan = Atan;
    /// tanh x of floats.
    tanh = Tanh;
    /// 1 / (1 + e⁻ˣ), the logistic function.
    sigmoid = Logistic;
    /// The error function, 2/√π ∫₀ˣ e^(−t²) dt, of floats.
    erf = Erf;
    /// 1 − erf x of floats, which keeps its digits where that is small.
    erfc = Erfc;
    /// The inverse of [`erf`](Tensor::erf), of floats; ±∞ at ±1 and NaN beyond.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.erf_inv());
    /// assert_eq!(f(&Array::from(0.5f64)).unwrap().item::<f64>().unwrap(), 0.4769362762044699);
    /// ```
    erf_inv = ErfInv;
    /// The same values, with no derivative.
    stop_gradient = StopGradient;
    /// The same values, which the compiler simplifies nothing through: what is computed from them is
    /// computed apart from what is computed from the tensor itself. Derivatives go through.
    barrier = Barrier;
}

macro_rules! binary {
    ($via:ident $Class:ident elsewhere $($Other:ident)*; $($(#[$doc:meta])* $name:ident = $Op:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(self, other: impl Operand) -> Tensor {
                self.$via($Class::$Op, other)
            }
        )*}

        // Every one has a method: here, or `elsewhere` as an operator.
        const _: fn($Class) = |op| match op {
            $($Class::$Op => {})*
            $($Class::$Other => {})*
        };
    };
}
binary! {
    binary Binary elsewhere Add Sub Mul Div Rem;
    /// x to the power y, elementwise, of floats. See [`powi`](Tensor::powi) for whole exponents.
    pow = Pow;
    /// The larger of x and y, elementwise; NaN if either is NaN. Where both are equal, each gets
    /// half of the derivative.
    maximum = Max;
    /// The smaller of x and y, elementwise; NaN if either is NaN. Where both are equal, each gets
    /// half of the derivative.
    minimum = Min;
    /// Logical and of bools, bitwise of integers; also `x & y`.
    and = And;
    /// Logical or of bools, bitwise of integers; also `x | y`.
    or = Or;
    /// Logical exclusive or of bools, bitwise of integers; also `x ^ y`.
    xor = Xor;
    /// The bits of an integer moved y places up; 0 where y is negative or not below how many bits x
    /// has. Also `x << y`.
    shift_left = ShiftLeft;
    /// The bits of an integer moved y places down, zeros after them; 0 where y is negative or not below
    /// how many bits x has. Also `x >> y` of unsigned integers.
    shift_right_logical = ShiftRightLogical;
    /// The bits of an integer moved y places down, copies of its highest one (a sign, where it has one)
    /// after them; nothing but those where y is negative or not below how many bits x has. Also `x >> y`
    /// of signed integers.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| (x >> 1, x.shift_right_logical(1)));
    /// let (signed, unsigned) = f(&Array::from(-6i32)).unwrap();
    /// assert_eq!(signed.item::<i32>().unwrap(), -3);
    /// assert_eq!(unsigned.item::<i32>().unwrap(), 0x7fff_fffd);
    /// ```
    shift_right_arithmetic = ShiftRightArithmetic;
    /// The angle of the point whose coordinates are y = `self` and x = `other`, from -π to π, of floats.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|y: Tensor, x: Tensor| y.atan2(x));
    /// let angle = f(&Array::from(1.0f64), &Array::from(-1.0f64)).unwrap();
    /// assert_eq!(angle.item::<f64>().unwrap(), 0.75 * std::f64::consts::PI);
    /// ```
    atan2 = Atan2;
}
binary! {
    compare Compare elsewhere;
    /// x < y, elementwise, as bool.
    lt = Lt;
    /// x ≤ y, elementwise, as bool.
    le = Le;
    /// x > y, elementwise, as bool.
    gt = Gt;
    /// x ≥ y, elementwise, as bool.
    ge = Ge;
    /// x = y, elementwise, as bool; NaN equals nothing.
    equal = Eq;
    /// x ≠ y, elementwise, as bool; NaN differs from everything.
    not_equal = Ne;
}

impl Tensor {
    /// |x|, which unsigned integers are; the derivative at 0 is 1.
    #[track_caller]
    pub fn abs(self) -> Tensor {
        if self.dtype().is_unsigned() { self } else { self.unary(Unary::Abs) }
    }

    /// xⁿ for a whole n; negative n for floats alone. `powi(0)` is 1 everywhere.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, grad, jit};
    /// let slope = jit(grad(|x: Tensor| x.powi(3)));
    /// assert_eq!(slope(&Array::scalar(2.0f32)).unwrap().item::<f32>().unwrap(), 12.0);
    /// ```
    #[track_caller]
    pub fn powi(self, n: i32) -> Tensor {
        trace::add(Op::IntegerPow(n), &[self], Span::here())
    }

    /// Logical complement of bools, bitwise of integers; also `!x`.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "it is implemented, too")]
    pub fn not(self) -> Tensor {
        self.unary(Unary::Not)
    }

    /// What x/y rounded to zero leaves, with the sign of x; also `x % y`. Of floats it is exact, and
    /// NaN where y is 0; of integers it is x there. [`modulo`](Tensor::modulo) has the sign of y.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "it is implemented, too")]
    pub fn rem(self, other: impl Operand) -> Tensor {
        self.binary(Binary::Rem, other)
    }

    /// `on_true` where this bool tensor is true, else `on_false`; all three broadcast.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let relu = jit(|x: Tensor| x.gt(0.0).select(x, 0.0));
    /// let y = relu(&Array::from_vec(vec![-1.0f32, 2.0], [2]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<f32>().unwrap(), [0.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn select(self, on_true: impl Operand, on_false: impl Operand) -> Tensor {
        let dtype = common_dtype(on_true, on_false);
        let [a, b] = [operand("select", on_true, dtype), operand("select", on_false, dtype)];
        trace::elementwise(Op::Select, &[self, a, b], Span::here())
    }

    /// The same numbers as another element type: float to integer truncates and saturates (NaN becomes
    /// 0), integer to integer keeps the low bits, to bool is `x != 0`; to `f16` and `bf16` it rounds the `f32`
    /// to the nearest (ties to even).
    ///
    /// ```
    /// # use egrad::{Array, Dtype, Tensor, jit};
    /// let f = jit(|x: Tensor| (x.convert(Dtype::U8), x.convert(Dtype::I32).convert(Dtype::U8)));
    /// let (saturated, wrapped) = f(&Array::from(-1.5f32)).unwrap();
    /// assert_eq!([saturated, wrapped].map(|y| y.item::<u8>().unwrap()), [0, 255]);
    /// ```
    #[track_caller]
    pub fn convert(self, dtype: Dtype) -> Tensor {
        if self.dtype() == dtype {
            return self;
        }
        trace::add(Op::Convert(dtype), &[self], Span::here())
    }
}

/// `on_true` where `predicate` holds, else `on_false`: [`Tensor::select`] as a function.
#[track_caller]
pub fn select(predicate: Tensor, on_true: impl Operand, on_false: impl Operand) -> Tensor {
    predicate.select(on_true, on_false)
}

/// A tensor of this shape whose elements all equal `value`; its element type is the value's.
///
/// ```
/// # use egrad::{Array, Dtype, Tensor, full, jit};
/// let f = jit(|x: Tensor| x + full([2, 2], 0.5f32));
/// assert_eq!(f(&Array::scalar(1.0f32)).unwrap().as_slice::<f32>().unwrap(), [1.5; 4]);
/// ```
#[track_caller]
pub fn full<T: Element>(shape: impl Into<Shape>, value: T) -> Tensor {
    trace::add(Op::Constant(value.literal()), &[], Span::here()).broadcast_to(shape)
}

/// Zeros of this shape and element type.
#[track_caller]
pub fn zeros(shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    trace::add(Op::Constant(Literal::new(dtype, 0.0)), &[], Span::here()).broadcast_to(shape)
}

/// Ones of this shape and element type.
#[track_caller]
pub fn ones(shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    trace::add(Op::Constant(Literal::new(dtype, 1.0)), &[], Span::here()).broadcast_to(shape)
}

/// Zeros of the tensor's shape and element type.
#[track_caller]
pub fn zeros_like(x: Tensor) -> Tensor {
    let aval = x.aval();
    zeros(aval.shape, aval.dtype)
}

/// Ones of the tensor's shape and element type.
#[track_caller]
pub fn ones_like(x: Tensor) -> Tensor {
    let aval = x.aval();
    ones(aval.shape, aval.dtype)
}

/// `0, 1, 2, …` along one axis of a tensor of this shape, the same along the others. `axis` may
/// count from the end. The element type isn't `bool`; integers that don't hold a count wrap around.
#[track_caller]
pub fn iota(shape: impl Into<Shape>, axis: isize, dtype: Dtype) -> Tensor {
    let shape = shape.into();
    let axis = shape::axis("iota", axis, shape.rank());
    trace::add(Op::Iota { dtype, shape, axis }, &[], Span::here())
}

/// `0, 1, …, n - 1`.
///
/// ```
/// # use egrad::{Array, Dtype, Tensor, arange, jit};
/// let f = jit(|x: Tensor| x * arange(3, x.dtype()));
/// assert_eq!(f(&Array::scalar(2.0f32)).unwrap().as_slice::<f32>().unwrap(), [0.0, 2.0, 4.0]);
/// ```
#[track_caller]
pub fn arange(n: usize, dtype: Dtype) -> Tensor {
    let _in = crate::raise::within("arange");
    iota([n], 0, dtype)
}

/// An `n × m` matrix with ones on the diagonal.
#[track_caller]
pub fn eye(n: usize, m: usize, dtype: Dtype) -> Tensor {
    let _in = crate::raise::within("eye");
    iota([n, m], 0, Dtype::I32).equal(iota([n, m], 1, Dtype::I32)).convert(dtype)
}

impl From<&Array> for Tensor {
    /// The array as a constant of the function being traced: a scalar is written into it, anything
    /// larger becomes a hidden input, kept alive by the compiled function.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let table = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// let f = jit(move |x: Tensor| x * Tensor::from(&table));
    /// assert_eq!(f(&Array::scalar(3.0f32)).unwrap().as_slice::<f32>().unwrap(), [3.0, 6.0]);
    /// ```
    #[track_caller]
    fn from(array: &Array) -> Tensor {
        trace::constant(array, Span::here())
    }
}

macro_rules! from_number {
    ($($T:ty),*) => {$(
        impl From<$T> for Tensor {
            /// A scalar of the number's own element type.
            #[track_caller]
            fn from(value: $T) -> Tensor {
                trace::add(Op::Constant(Element::literal(value)), &[], Span::here())
            }
        }
    )*};
}
from_number!(f32, f64, i32, i64, u32, u8, bool);
