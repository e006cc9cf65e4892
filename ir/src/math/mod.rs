//! The elementary functions, each written once, in the arithmetic of [`Lanes`].
//!
//! The interpreter runs them on plain numbers ([`Scalar32`], [`Scalar64`]), the compiling backends on
//! the values of the code they emit; both get the same bits. All of it is straight-line code: special
//! values are selected, never branched to. Only the reduction of huge angles is long and rare enough
//! to be marked for a branch ([`Lanes::rarely`]).
//!
//! [`single`] and [`double`] hold the functions by the width of the lanes, [`unary32`] and [`unary64`]
//! choose one by its name: all written by the table below, a line each. What each does with special values, and how accurate it is, stands at
//! [`Elementary`].
//!
//! Where to read: [`lanes`](Lanes) is the vocabulary, `format` the tricks with bits, then one file for
//! each family: `exp`, `tanh`, `log`, `trig`, `arc`, `erf`, `pow`, `remainder`. Polynomials are our own minimax fits (Remez
//! exchange on the relative error of the result, then rounded to the format).

mod arc;
mod erf;
mod exp;
mod format;
mod lanes;
mod log;
mod pow;
mod remainder;
mod scalar;
mod tanh;
#[cfg(test)]
mod tests;
mod trig;

use crate::op::Unary;
use crate::scalar::Scalar;
pub use lanes::Lanes;
pub use scalar::{Scalar32, Scalar64};

/// Writes what belongs to each elementary function, and the functions of each width.
macro_rules! functions {
    (
        $(#[$about:meta])* $Elementary:ident
        $($(#[$doc:meta])* $Name:ident: $function:ident = $file:ident::$written:ident($constants:ident), $work:literal, $exact:expr;)*
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Elementary { $($(#[$doc])* $Name,)* }

        impl $Elementary {
            /// All of them.
            pub const ALL: [$Elementary; [$(stringify!($Name)),*].len()] = [$($Elementary::$Name,)*];

            /// The function that a primitive is, if it is one.
            pub const fn of(op: Unary) -> Option<$Elementary> {
                Some(match op {
                    $(Unary::$Name => $Elementary::$Name,)*
                    Unary::Neg
                    | Unary::Abs
                    | Unary::Sign
                    | Unary::Floor
                    | Unary::Round
                    | Unary::Sqrt
                    | Unary::Rsqrt
                    | Unary::Not
                    | Unary::StopGradient
                    | Unary::Barrier => return None,
                })
            }

            /// About how many cheap instructions its code takes.
            pub const fn work(self) -> f64 {
                match self { $($Elementary::$Name => $work,)* }
            }

            /// The function of f64 that the oracle has, independent of this module.
            pub(crate) const fn exact(self) -> fn(f64) -> f64 {
                match self { $($Elementary::$Name => $exact,)* }
            }

            /// The function of one number of 16 bits: that of f32, rounded once more.
            pub(crate) fn of_half<T: Scalar<Wide = f32>>(self, shared: bool) -> fn(T) -> T {
                match self {
                    $($Elementary::$Name if shared => |x| T::narrow($Elementary::$Name.of_f32(true)(x.widen())),
                    $Elementary::$Name => |x| T::narrow($Elementary::$Name.of_f32(false)(x.widen())),)*
                }
            }
        }

        functions! {
            @width f32, "The functions of f32 lanes.", single, SINGLE, unary32, Scalar32, of_f32,
            $Elementary $([$Name $function $file $written $constants])*
        }
        functions! {
            @width f64, "The functions of f64 lanes.", double, DOUBLE, unary64, Scalar64, of_f64,
            $Elementary $([$Name $function $file $written $constants])*
        }
    };
    (
        @width $T:ident, $about:literal, $module:ident, $CONSTANTS:ident, $unary:ident, $Scalar:ident, $of:ident,
        $Elementary:ident $([$Name:ident $function:ident $file:ident $written:ident $constants:ident])*
    ) => {
        #[doc = $about]
        pub mod $module {
            use super::{Lanes, arc, erf, exp, log, pow, remainder, tanh, trig};

            $(
                #[doc = concat!("See [`", stringify!($Name), "`](super::Elementary::", stringify!($Name), ").")]
                pub fn $function<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                    $file::$written(l, &$constants::$CONSTANTS, x)
                }
            )*

            /// The angle of the point (x, y) in [-π, π], with the special values of C99 (annex
            /// F.9.1.4): among them ±0 and ±π where y is a zero, by the signs of both.
            pub fn atan2<L: Lanes>(l: &mut L, y: L::F, x: L::F) -> L::F {
                arc::atan2(l, &arc::$CONSTANTS, y, x)
            }

            /// What x/y rounded to zero leaves, exactly: C's `fmod`. It has x's sign; NaN where x is
            /// infinite or y zero.
            pub fn rem<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
                remainder::rem(l, &remainder::$CONSTANTS, x, y)
            }

            /// x to the power y, with the special values of C99 (annex F.9.4.4): among them 1 for
            /// `pow(x, 0)` and `pow(1, y)` even of NaN, and NaN for a negative finite x and a y that
            /// is no integer.
            pub fn pow<L: Lanes>(l: &mut L, x: L::F, y: L::F) -> L::F {
                pow::pow(l, &pow::$CONSTANTS, x, y)
            }
        }

        #[doc = concat!("An elementary function of ", stringify!($T), " lanes.")]
        pub fn $unary<L: Lanes>(l: &mut L, function: $Elementary, x: L::F) -> L::F {
            match function { $($Elementary::$Name => $module::$function(l, x),)* }
        }

        impl $Elementary {
            /// The function of one number: the one written here, or else the oracle's, rounded once.
            pub(crate) const fn $of(self, shared: bool) -> fn($T) -> $T {
                match self {
                    $($Elementary::$Name if shared => |x| $module::$function(&mut $Scalar, x),
                    $Elementary::$Name => |x| $Elementary::$Name.exact()(f64::from(x)) as $T,)*
                }
            }
        }
    };
}

// Name: what it is called here = where it is written (whose constants it takes), about how many cheap
// instructions that takes, and what the oracle computes.
functions! {
    /// The functions of one argument that hardware and code generators lack.
    ///
    /// NaN gives NaN everywhere (which NaN is left open). Odd functions are odd to the bit, and keep the
    /// sign of a zero. Accuracy, as the largest error met in units in the last place of the exact result:
    ///
    /// |            | f32  | f64  |
    /// |------------|------|------|
    /// | `Exp`      | 1.23 | 1.21 |
    /// | `Expm1`    | 1.40 | 1.81 |
    /// | `Log`      | 0.82 | 0.67 |
    /// | `Log1p`    | 1.40 | 1.15 |
    /// | `Sin`      | 1.57 | 1.42 |
    /// | `Cos`      | 1.57 | 1.51 |
    /// | `Asin`     | 2.44 | 2    |
    /// | `Acos`     | 2.22 | 2    |
    /// | `Atan`     | 1.56 | 2    |
    /// | `Tanh`     | 2.49 | 2.44 |
    /// | `Logistic` | 2.53 | 2.10 |
    /// | `Erf`      | 0.96 | 2    |
    /// | `Erfc`     | 4.62 | 3    |
    /// | `ErfInv`   | 2.04 | 3    |
    /// | `pow`      | 1.05 | 0.98 |
    ///
    /// For f32 over every 61st number there is (`pow`: 8 million pairs), for f64 over 18 000 numbers a
    /// function, spread over exponents and thickened where it is difficult. Whole numbers are bounds that
    /// hold for the hundred numbers of the tests; `atan2` stays below 2 there and `rem` is exact.
    Elementary

    /// eˣ. Subnormal results are right; e^∞ = ∞, e^-∞ = 0.
    Exp: exp = exp::exp(exp), 18.0, f64::exp;
    /// eˣ - 1, x itself near 0; ∞ at ∞, -1 at -∞.
    Expm1: expm1 = exp::expm1(exp), 18.0, f64::exp_m1;
    /// ln x, of subnormal x too; -∞ at ±0, ∞ at ∞, NaN below 0.
    Log: log = log::log(log), 28.0, f64::ln;
    /// ln(1 + x), x itself near 0; -∞ at -1, ∞ at ∞, NaN below -1.
    Log1p: log1p = log::log1p(log), 28.0, f64::ln_1p;
    /// sin x, for every finite x however large; NaN at ±∞.
    Sin: sin = trig::sin(trig), 28.0, f64::sin;
    /// cos x, for every finite x however large; NaN at ±∞.
    Cos: cos = trig::cos(trig), 28.0, f64::cos;
    /// arcsin x, x itself near 0; NaN beyond ±1.
    Asin: asin = arc::asin(arc), 32.0, f64::asin;
    /// arccos x, 0 at 1 and π at -1; NaN beyond ±1.
    Acos: acos = arc::acos(arc), 32.0, f64::acos;
    /// arctan x, x itself near 0; ±π/2 at ±∞.
    Atan: atan = arc::atan(arc), 32.0, f64::atan;
    /// tanh x, x itself near 0; ±1 at ±∞, and never beyond.
    Tanh: tanh = tanh::tanh(exp), 22.0, f64::tanh;
    /// 1/(1 + e⁻ˣ), as small as eˣ for negative x, subnormal results included; 0 at -∞, 1 at ∞.
    Logistic: logistic = exp::logistic(exp), 22.0, crate::scalar::logistic;
    /// 2/√π ∫₀ˣ e^(-t²) dt; ±1 at ±∞, and never beyond.
    Erf: erf = erf::erf(erf), 30.0, crate::erf::erf;
    /// 1 - erf x, as small as e^(-x²)/x for large x, subnormal results included; 0 at ∞, 2 at -∞.
    Erfc: erfc = erf::erfc(erf), 55.0, crate::erf::erfc;
    /// The inverse of erf; ±∞ at ±1, NaN beyond.
    ErfInv: erf_inv = erf::erf_inv(erf), 75.0, crate::erf::erf_inv;
}

/// Work that few arguments need, too long to do for all; see [`Lanes::rarely`]. Some takes one
/// argument of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rare {
    /// Of f32 lanes above 2¹⁷, the rest after quarter turns and a float whose low bits count those.
    HugeAngle32,
    /// The same of f64 lanes above 2³⁰.
    HugeAngle64,
    /// Of two positive f32 lanes, the remainder of one by the other, for quotients that a mantissa
    /// can't count; twice.
    LargeQuotient32,
    /// The same of f64 lanes.
    LargeQuotient64,
}

impl Rare {
    /// Emits the work in line: for every lane, its result where `x` is in the work's domain.
    pub fn emit<L: Lanes>(self, l: &mut L, [x, y]: [L::F; 2]) -> [L::F; 2] {
        match self {
            Rare::HugeAngle32 => trig::huge_angle(l, &trig::SINGLE, x),
            Rare::HugeAngle64 => trig::huge_angle(l, &trig::DOUBLE, x),
            Rare::LargeQuotient32 => [remainder::large_quotient(l, &remainder::SINGLE, x, y); 2],
            Rare::LargeQuotient64 => [remainder::large_quotient(l, &remainder::DOUBLE, x, y); 2],
        }
    }

    /// The work on one f32, of the `…32` members.
    pub fn eval32(self, x: [f32; 2]) -> [f32; 2] {
        self.emit(&mut Scalar32, x)
    }

    /// The work on one f64, of the `…64` members.
    pub fn eval64(self, x: [f64; 2]) -> [f64; 2] {
        self.emit(&mut Scalar64, x)
    }
}
