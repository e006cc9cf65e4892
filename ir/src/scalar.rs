//! The primitives on single elements: what every interpreter in egrad means by them.
//!
//! [`unary`], [`binary`], [`compare`], [`integer_pow`] and [`convert`] take and give [`Literal`]s;
//! the interpreters of graphs and kernels resolve the same functions once per operation instead of
//! once per element. The semantics are JAX's:
//!
//! * `max` and `min` give NaN if either operand is NaN, and order -0 below 0;
//! * `sign` keeps zeros with their sign, and NaN;
//! * integer arithmetic wraps around; `x / 0` has every bit set (-1, or the largest unsigned number),
//!   and `x rem 0 = x`;
//! * conversion from float to integer truncates and saturates, NaN becomes 0; between integers it
//!   keeps the low bits; to bool it is `x != 0`;
//! * an operation on `f16` or `bf16` is that of `f32`, rounded once to the nearest (ties to even):
//!   sums and products of matrices when they are complete. Conversions to them go by way of `f32`.

use crate::dtype::{Dtype, Element, Literal};
use crate::math::{self, Scalar32, Scalar64};
use crate::op::{Binary, Compare, Reduce, Unary};
use half::{bf16, f16};

/// Which elementary functions an interpreter computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Elementary {
    /// Rust's own, independent of everything else in egrad; `f32` results are computed in `f64`
    /// and rounded where the function is not exact. The best oracle for closeness.
    #[default]
    Std,
    /// The polynomials of `egrad_ir::math`, which the backends also compile, and canonical NaNs:
    /// the bits [`Numerics::Strict`](crate::Numerics::Strict) promises.
    ///
    /// Every float an operation *computes* has the canonical NaN (positive, quiet, no payload) for
    /// any NaN; that is [`Unary`] (with `neg` and `abs`), [`Binary`], `integer_pow`, a `convert`
    /// between types, reductions and products. What only moves values (`stop_gradient`, `barrier`, `select`,
    /// `broadcast_in_dim`, `reshape`, `transpose`, a `convert` to the same type) keeps their bits.
    Shared,
}

/// An identity and the operation it is the identity of.
pub(crate) type Monoid<T> = (T, fn(T, T) -> T);

/// An element type's own version of every primitive. `None`: the type has no such operation, which
/// [`infer`](crate::infer::infer) has refused.
pub(crate) trait Scalar: Element + PartialOrd {
    /// What reductions are made in: `f32` for floats of 16 bits, for others the type itself.
    type Wide: Scalar<Wide = Self::Wide>;
    fn unary(op: Unary, mode: Elementary) -> Option<fn(Self) -> Self>;
    fn binary(op: Binary, mode: Elementary) -> Option<fn(Self, Self) -> Self>;
    /// xⁿ, see [`integer_pow`].
    fn integer_pow(self, n: i32) -> Option<Self>;
    /// The identity of a reduction and its operation.
    fn reduce(kind: Reduce) -> Option<Monoid<Self::Wide>>;
    /// The number as reductions take it.
    fn widen(self) -> Self::Wide;
    /// What a reduction made, rounded to the type.
    fn narrow(wide: Self::Wide) -> Self;
    /// The number nearest to `x`, by the rules of [`Literal::new`].
    fn from_f64(x: f64) -> Self;
    /// The number `x`, by the rules of [`Literal::wrapped`].
    fn from_i64(x: i64) -> Self;
    /// The element a literal of this type stands for.
    fn from_literal(x: Literal) -> Self;
    /// Canonicalises a computed NaN.
    fn canonical(self) -> Self;

    fn fix(mode: Elementary) -> fn(Self) -> Self {
        match mode {
            Elementary::Std => |x| x,
            Elementary::Shared => Self::canonical,
        }
    }
}

pub(crate) fn compare_fn<T: PartialOrd>(op: Compare) -> fn(T, T) -> bool {
    match op {
        Compare::Eq => |x, y| x == y,
        Compare::Ne => |x, y| x != y,
        Compare::Lt => |x, y| x < y,
        Compare::Le => |x, y| x <= y,
        Compare::Gt => |x, y| x > y,
        Compare::Ge => |x, y| x >= y,
    }
}

/// xⁿ by repeated squaring; for negative n the reciprocal of the positive power, as JAX has it.
fn power<T: Copy>(x: T, n: i32, one: T, mul: fn(T, T) -> T, reciprocal: fn(T) -> T) -> T {
    let mut exponent = n.unsigned_abs();
    let (mut square, mut result) = (x, None);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = Some(result.map_or(square, |r| mul(r, square)));
        }
        exponent >>= 1;
        if exponent > 0 {
            square = mul(square, square);
        }
    }
    match result {
        None => one,
        Some(r) if n < 0 => reciprocal(r),
        Some(r) => r,
    }
}

macro_rules! float {
    ($($T:ident, $bits:ident, $module:ident, $Lanes:ident, $of:ident;)*) => {$(
        impl Scalar for $T {
            type Wide = $T;

            fn unary(op: Unary, mode: Elementary) -> Option<fn($T) -> $T> {
                let shared = mode == Elementary::Shared;
                Some(match op {
                    Unary::Neg => |x| -x,
                    Unary::Abs => $T::abs,
                    Unary::Sign => |x| if x.is_nan() || x == 0.0 { x } else { 1.0_f64.copysign(f64::from(x)) as $T },
                    Unary::Floor => $T::floor,
                    Unary::Round => $T::round_ties_even,
                    Unary::Sqrt => $T::sqrt,
                    Unary::Rsqrt if shared => |x| 1.0 / x.sqrt(),
                    Unary::Rsqrt => |x| (1.0 / f64::from(x).sqrt()) as $T,
                    elementary!() => math::Elementary::of(op)?.$of(shared),
                    Unary::StopGradient | Unary::Barrier => |x| x,
                    Unary::Not => return None,
                })
            }

            fn binary(op: Binary, mode: Elementary) -> Option<fn($T, $T) -> $T> {
                Some(match op {
                    Binary::Add => |x, y| x + y,
                    Binary::Sub => |x, y| x - y,
                    Binary::Mul => |x, y| x * y,
                    Binary::Div => |x, y| x / y,
                    Binary::Rem => |x, y| x % y,
                    Binary::Atan2 if mode == Elementary::Shared => |x, y| math::$module::atan2(&mut $Lanes, x, y),
                    Binary::Atan2 => |x, y| f64::from(x).atan2(f64::from(y)) as $T,
                    Binary::Pow if mode == Elementary::Shared => |x, y| math::$module::pow(&mut $Lanes, x, y),
                    Binary::Pow => |x, y| f64::from(x).powf(f64::from(y)) as $T,
                    Binary::Max => $T::reduce(Reduce::Max)?.1,
                    Binary::Min => |x, y| {
                        if x.is_nan() || y.is_nan() { $T::NAN }
                        else if x < y || (x == y && x.is_sign_negative()) { x } else { y }
                    },
                    Binary::And
                    | Binary::Or
                    | Binary::Xor
                    | Binary::ShiftLeft
                    | Binary::ShiftRightLogical
                    | Binary::ShiftRightArithmetic => return None,
                })
            }

            fn integer_pow(self, n: i32) -> Option<$T> {
                Some(power(self, n, 1.0, |x, y| x * y, |x| 1.0 / x))
            }

            #[inline]
            fn reduce(kind: Reduce) -> Option<Monoid<$T>> {
                Some(match kind {
                    Reduce::Sum => (0.0, |x, y| x + y),
                    Reduce::Max => ($T::NEG_INFINITY, |x, y| {
                        if x.is_nan() || y.is_nan() { $T::NAN }
                        else if x > y || (x == y && x.is_sign_positive()) { x } else { y }
                    }),
                    Reduce::Prod => (1.0, |x, y| x * y),
                })
            }

            fn widen(self) -> $T {
                self
            }

            fn narrow(wide: $T) -> $T {
                wide
            }

            fn from_f64(x: f64) -> $T {
                x as $T
            }

            fn from_i64(x: i64) -> $T {
                x as $T
            }

            fn from_literal(x: Literal) -> $T {
                $T::from_bits(x.bits() as $bits)
            }

            #[inline]
            fn canonical(self) -> $T {
                if self.is_nan() { $T::NAN } else { self }
            }
        }
    )*};
}
float! {
    f32, u32, single, Scalar32, of_f32;
    f64, u64, double, Scalar64, of_f64;
}

/// A function of 16-bit floats: that of `f32`, rounded once.
macro_rules! rounded {
    ($op:expr, $mode:expr, $Class:ident::$function:ident$args:tt {
        $($Variant:ident)*; as they are: $($Same:ident)*; refused: $($Refused:ident)* $(; $others:pat => $value:expr)?
    }) => {
        match $op {
            $($Class::$Variant => match $mode {
                Elementary::Std => rounded!($Class::$function $args $Variant Std),
                Elementary::Shared => rounded!($Class::$function $args $Variant Shared),
            },)*
            $($Class::$Same => |x| x,)*
            $($Class::$Refused => return None,)*
            $($others => $value,)?
        }
    };
    ($Class:ident::$function:ident($($x:ident),*) $Variant:ident $Mode:ident) => {
        |$($x: Self),*| {
            let f = f32::$function($Class::$Variant, Elementary::$Mode);
            f.map_or(Self::NAN, |f| Self::narrow(f($($x.widen()),*)))
        }
    };
}

macro_rules! half {
    ($($T:ident;)*) => {$(
        impl Scalar for $T {
            type Wide = f32;

            fn unary(op: Unary, mode: Elementary) -> Option<fn($T) -> $T> {
                Some(rounded!(op, mode, Unary::unary(x) {
                    Neg Abs Sign Floor Round Sqrt Rsqrt;
                    as they are: StopGradient Barrier;
                    refused: Not;
                    elementary!() => math::Elementary::of(op)?.of_half(mode == Elementary::Shared)
                }))
            }

            fn binary(op: Binary, mode: Elementary) -> Option<fn($T, $T) -> $T> {
                Some(rounded!(op, mode, Binary::binary(x, y) {
                    Add Sub Mul Div Rem Atan2 Pow Max Min;
                    as they are:;
                    refused: And Or Xor ShiftLeft ShiftRightLogical ShiftRightArithmetic
                }))
            }

            fn integer_pow(self, n: i32) -> Option<$T> {
                self.widen().integer_pow(n).map($T::narrow)
            }

            fn reduce(kind: Reduce) -> Option<Monoid<f32>> {
                f32::reduce(kind)
            }

            fn widen(self) -> f32 {
                self.to_f32()
            }

            fn narrow(wide: f32) -> $T {
                $T::from_f32(wide)
            }

            fn from_f64(x: f64) -> $T {
                $T::from_f32(x as f32)
            }

            fn from_i64(x: i64) -> $T {
                $T::from_f32(x as f32)
            }

            fn from_literal(x: Literal) -> $T {
                $T::from_bits(x.bits() as u16)
            }

            fn canonical(self) -> $T {
                if self.is_nan() { $T::NAN } else { self }
            }
        }
    )*};
}
half! {
    f16;
    bf16;
}

/// 1 / (1 + e⁻ˣ) without overflow on either side.
pub(crate) fn logistic(x: f64) -> f64 {
    if x < 0.0 {
        let e = x.exp();
        e / (1.0 + e)
    } else {
        1.0 / (1.0 + (-x).exp())
    }
}

macro_rules! integer {
    ($($T:ident, $Unsigned:ident, $Signed:ident, $abs:expr, $sign:expr;)*) => {$(
        impl Scalar for $T {
            type Wide = $T;

            fn unary(op: Unary, _mode: Elementary) -> Option<fn($T) -> $T> {
                Some(match op {
                    Unary::Neg => $T::wrapping_neg,
                    Unary::Abs => return $abs,
                    Unary::Sign => $sign,
                    Unary::Not => |x| !x,
                    Unary::StopGradient | Unary::Barrier => |x| x,
                    Unary::Floor | Unary::Round | Unary::Sqrt | Unary::Rsqrt | elementary!() => return None,
                })
            }

            fn binary(op: Binary, _mode: Elementary) -> Option<fn($T, $T) -> $T> {
                Some(match op {
                    Binary::Add => $T::wrapping_add,
                    Binary::Sub => $T::wrapping_sub,
                    Binary::Mul => $T::wrapping_mul,
                    Binary::Max => Ord::max,
                    Binary::Min => Ord::min,
                    Binary::And => |x, y| x & y,
                    Binary::Or => |x, y| x | y,
                    Binary::Xor => |x, y| x ^ y,
                    Binary::Div => |x, y| if y == 0 { !0 } else { x.wrapping_div(y) },
                    Binary::Rem => |x, y| if y == 0 { x } else { x.wrapping_rem(y) },
                    Binary::ShiftLeft => |x, y| places(y as $Unsigned).and_then(|y| x.checked_shl(y)).unwrap_or(0),
                    Binary::ShiftRightLogical => {
                        |x, y| places(y as $Unsigned).and_then(|y| (x as $Unsigned).checked_shr(y)).unwrap_or(0) as $T
                    }
                    Binary::ShiftRightArithmetic => {
                        |x, y| (x as $Signed >> (y as $Unsigned).min($Unsigned::BITS as $Unsigned - 1)) as $T
                    }
                    Binary::Pow | Binary::Atan2 => return None,
                })
            }

            fn integer_pow(self, n: i32) -> Option<$T> {
                (n >= 0).then(|| power(self, n, 1, $T::wrapping_mul, |x| x))
            }

            #[inline]
            fn reduce(kind: Reduce) -> Option<Monoid<$T>> {
                Some(match kind {
                    Reduce::Sum => (0, $T::wrapping_add),
                    Reduce::Max => ($T::MIN, Ord::max),
                    Reduce::Prod => (1, $T::wrapping_mul),
                })
            }

            fn widen(self) -> $T {
                self
            }

            fn narrow(wide: $T) -> $T {
                wide
            }

            fn from_f64(x: f64) -> $T {
                x as $T
            }

            fn from_i64(x: i64) -> $T {
                x as $T
            }

            fn from_literal(x: Literal) -> $T {
                x.bits() as $T
            }

            #[inline]
            fn canonical(self) -> $T {
                self
            }
        }
    )*};
}
integer! {
    i32, u32, i32, Some(i32::wrapping_abs), i32::signum;
    i64, u64, i64, Some(i64::wrapping_abs), i64::signum;
    u32, u32, i32, None, |x| x.min(1);
    u8,  u8,  i8,  None, |x| x.min(1);
}

/// How far to shift; `None` is farther than any integer is wide. A negative number of places is a
/// large one.
fn places(y: impl Into<u64>) -> Option<u32> {
    u32::try_from(y.into()).ok()
}

impl Scalar for bool {
    type Wide = bool;

    fn unary(op: Unary, _mode: Elementary) -> Option<fn(bool) -> bool> {
        Some(match op {
            Unary::Not => |x| !x,
            Unary::StopGradient | Unary::Barrier => |x| x,
            Unary::Neg
            | Unary::Abs
            | Unary::Sign
            | Unary::Floor
            | Unary::Round
            | Unary::Sqrt
            | Unary::Rsqrt
            | elementary!() => return None,
        })
    }

    fn binary(op: Binary, _mode: Elementary) -> Option<fn(bool, bool) -> bool> {
        Some(match op {
            Binary::And => |x, y| x & y,
            Binary::Or => |x, y| x | y,
            Binary::Xor => |x, y| x ^ y,
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Atan2
            | Binary::Pow
            | Binary::Max
            | Binary::Min
            | Binary::ShiftLeft
            | Binary::ShiftRightLogical
            | Binary::ShiftRightArithmetic => return None,
        })
    }

    fn integer_pow(self, _n: i32) -> Option<bool> {
        None
    }

    fn reduce(_kind: Reduce) -> Option<Monoid<bool>> {
        None
    }

    fn widen(self) -> bool {
        self
    }

    fn narrow(wide: bool) -> bool {
        wide
    }

    fn from_f64(x: f64) -> bool {
        x != 0.0
    }

    fn from_i64(x: i64) -> bool {
        x != 0
    }

    fn from_literal(x: Literal) -> bool {
        x.bits() == 1
    }

    fn canonical(self) -> bool {
        self
    }
}

/// Runs `$body` with the type alias `$T` naming the Rust type of the element type `$dtype`.
macro_rules! by_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::Dtype::F32 => {
                type $T = f32;
                $body
            }
            $crate::Dtype::F64 => {
                type $T = f64;
                $body
            }
            $crate::Dtype::F16 => {
                type $T = $crate::f16;
                $body
            }
            $crate::Dtype::Bf16 => {
                type $T = $crate::bf16;
                $body
            }
            $crate::Dtype::I32 => {
                type $T = i32;
                $body
            }
            $crate::Dtype::I64 => {
                type $T = i64;
                $body
            }
            $crate::Dtype::U32 => {
                type $T = u32;
                $body
            }
            $crate::Dtype::U8 => {
                type $T = u8;
                $body
            }
            $crate::Dtype::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}
pub(crate) use by_dtype;

/// The function of one element; `None` if its type has no such operation.
///
/// ```
/// use egrad_ir::{Dtype, Literal, Unary, scalar::{Elementary, unary}};
/// let x = Literal::new(Dtype::F32, -0.0);
/// assert_eq!(unary(Unary::Sign, x, Elementary::Std), Some(x));
/// assert_eq!(unary(Unary::Exp, Literal::new(Dtype::I32, 1.0), Elementary::Std), None);
/// ```
pub fn unary(op: Unary, x: Literal, mode: Elementary) -> Option<Literal> {
    by_dtype!(x.dtype(), T => {
        let y = T::unary(op, mode)?(T::from_literal(x));
        Some(if matches!(op, Unary::StopGradient | Unary::Barrier) { y } else { T::fix(mode)(y) }.literal())
    })
}

/// The function of two elements; `None` if they differ in type or it has no such operation.
pub fn binary(op: Binary, x: Literal, y: Literal, mode: Elementary) -> Option<Literal> {
    if x.dtype() != y.dtype() {
        return None;
    }
    by_dtype!(x.dtype(), T => {
        Some(T::fix(mode)(T::binary(op, mode)?(T::from_literal(x), T::from_literal(y))).literal())
    })
}

/// The comparison of two elements; `None` if they differ in type.
pub fn compare(op: Compare, x: Literal, y: Literal) -> Option<bool> {
    if x.dtype() != y.dtype() {
        return None;
    }
    by_dtype!(x.dtype(), T => Some(compare_fn::<T>(op)(T::from_literal(x), T::from_literal(y))))
}

/// xⁿ by repeated squaring, for negative n the reciprocal of the positive power; `None` for a bool
/// or a negative power of an integer.
pub fn integer_pow(n: i32, x: Literal, mode: Elementary) -> Option<Literal> {
    by_dtype!(x.dtype(), T => Some(T::fix(mode)(T::from_literal(x).integer_pow(n)?).literal()))
}

/// The element as another type: a float rounded as [`Literal::new`] says, an integer as
/// [`Literal::wrapped`] does.
pub fn convert(to: Dtype, x: Literal, mode: Elementary) -> Literal {
    if x.dtype() == to {
        return x;
    }
    by_dtype!(to, T => T::fix(mode)(converted(x)).literal())
}

/// An element as another type.
pub(crate) fn converted<T: Scalar>(x: Literal) -> T {
    x.to_i64().map_or_else(|| T::from_f64(x.to_f64()), T::from_i64)
}

/// What a reduction starts from; `None` for bool.
pub fn identity(kind: Reduce, dtype: Dtype) -> Option<Literal> {
    by_dtype!(dtype, T => Some(T::narrow(T::reduce(kind)?.0).literal()))
}

/// How many lanes a reduction has. See [`Acc`](crate::kernel::Acc) for the order.
pub const LANES: usize = 8;

/// A reduction in progress, in the order documented on [`Acc`](crate::kernel::Acc).
#[derive(Clone)]
pub(crate) struct Lanes<T: Scalar> {
    lanes: [T::Wide; LANES],
    op: fn(T::Wide, T::Wide) -> T::Wide,
}

impl<T: Scalar> Lanes<T> {
    pub(crate) fn new(kind: Reduce) -> Option<Lanes<T>> {
        let (identity, op) = T::reduce(kind)?;
        Some(Lanes { lanes: [identity; LANES], op })
    }

    /// Adds the element at index `innermost` of the innermost loop.
    pub(crate) fn add(&mut self, innermost: usize, x: T::Wide) {
        let lane = &mut self.lanes[innermost % LANES];
        *lane = (self.op)(*lane, x);
    }

    pub(crate) fn finish(&self, mode: Elementary) -> T {
        let [a, b, c, d, e, f, g, h] = self.lanes;
        let o = self.op;
        T::fix(mode)(T::narrow(o(o(o(a, e), o(c, g)), o(o(b, f), o(d, h)))))
    }
}
