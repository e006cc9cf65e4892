//! The elementary functions, each written once, in the arithmetic of [`Lanes`].
//!
//! The interpreter runs them on plain numbers ([`Scalar32`], [`Scalar64`]), the compiling backends on
//! the values of the code they emit; both get the same bits. All of it is straight-line code: special
//! values are selected, never branched to. Only the reduction of huge angles is long and rare enough
//! to be marked for a branch ([`Lanes::rarely`]).
//!
//! [`single`] and [`double`] hold the functions by the width of the lanes, [`unary32`] and [`unary64`]
//! choose one by its name. What each does with special values, and how accurate it is, stands at
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
pub use lanes::Lanes;
pub use scalar::{Scalar32, Scalar64};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elementary {
    /// eˣ. Subnormal results are right; e^∞ = ∞, e^-∞ = 0.
    Exp,
    /// eˣ - 1, x itself near 0; ∞ at ∞, -1 at -∞.
    Expm1,
    /// ln x, of subnormal x too; -∞ at ±0, ∞ at ∞, NaN below 0.
    Log,
    /// ln(1 + x), x itself near 0; -∞ at -1, ∞ at ∞, NaN below -1.
    Log1p,
    /// sin x, for every finite x however large; NaN at ±∞.
    Sin,
    /// cos x, for every finite x however large; NaN at ±∞.
    Cos,
    /// arcsin x, x itself near 0; NaN beyond ±1.
    Asin,
    /// arccos x, 0 at 1 and π at -1; NaN beyond ±1.
    Acos,
    /// arctan x, x itself near 0; ±π/2 at ±∞.
    Atan,
    /// tanh x, x itself near 0; ±1 at ±∞, and never beyond.
    Tanh,
    /// 1/(1 + e⁻ˣ), as small as eˣ for negative x, subnormal results included; 0 at -∞, 1 at ∞.
    Logistic,
    /// 2/√π ∫₀ˣ e^(-t²) dt; ±1 at ±∞, and never beyond.
    Erf,
    /// 1 - erf x, as small as e^(-x²)/x for large x, subnormal results included; 0 at ∞, 2 at -∞.
    Erfc,
    /// The inverse of erf; ±∞ at ±1, NaN beyond.
    ErfInv,
}

impl Elementary {
    /// The function that a primitive is, if it is one.
    pub const fn of(op: Unary) -> Option<Elementary> {
        Some(match op {
            Unary::Exp => Elementary::Exp,
            Unary::Expm1 => Elementary::Expm1,
            Unary::Log => Elementary::Log,
            Unary::Log1p => Elementary::Log1p,
            Unary::Sin => Elementary::Sin,
            Unary::Cos => Elementary::Cos,
            Unary::Asin => Elementary::Asin,
            Unary::Acos => Elementary::Acos,
            Unary::Atan => Elementary::Atan,
            Unary::Tanh => Elementary::Tanh,
            Unary::Logistic => Elementary::Logistic,
            Unary::Erf => Elementary::Erf,
            Unary::Erfc => Elementary::Erfc,
            Unary::ErfInv => Elementary::ErfInv,
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
        match self {
            Elementary::Exp | Elementary::Expm1 => 18.0,
            Elementary::Tanh | Elementary::Logistic => 22.0,
            Elementary::Log | Elementary::Log1p | Elementary::Sin | Elementary::Cos => 28.0,
            Elementary::Atan | Elementary::Asin | Elementary::Acos => 32.0,
            Elementary::Erf => 30.0,
            Elementary::Erfc => 55.0,
            Elementary::ErfInv => 75.0,
        }
    }

    /// All of them.
    pub const ALL: [Elementary; 14] = [
        Elementary::Exp,
        Elementary::Expm1,
        Elementary::Log,
        Elementary::Log1p,
        Elementary::Sin,
        Elementary::Cos,
        Elementary::Asin,
        Elementary::Acos,
        Elementary::Atan,
        Elementary::Tanh,
        Elementary::Logistic,
        Elementary::Erf,
        Elementary::Erfc,
        Elementary::ErfInv,
    ];
}

macro_rules! functions {
    ($(#[$doc:meta])* $module:ident, $CONSTANTS:ident) => {
        $(#[$doc])*
        pub mod $module {
            use super::{Lanes, arc, erf, exp, log, pow, remainder, tanh, trig};

            /// eˣ; see [`Exp`](super::Elementary::Exp).
            pub fn exp<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                exp::exp(l, &exp::$CONSTANTS, x)
            }

            /// eˣ - 1; see [`Expm1`](super::Elementary::Expm1).
            pub fn expm1<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                exp::expm1(l, &exp::$CONSTANTS, x)
            }

            /// ln x; see [`Log`](super::Elementary::Log).
            pub fn log<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                log::log(l, &log::$CONSTANTS, x)
            }

            /// ln(1 + x); see [`Log1p`](super::Elementary::Log1p).
            pub fn log1p<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                log::log1p(l, &log::$CONSTANTS, x)
            }

            /// sin x; see [`Sin`](super::Elementary::Sin).
            pub fn sin<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                trig::sin(l, &trig::$CONSTANTS, x)
            }

            /// cos x; see [`Cos`](super::Elementary::Cos).
            pub fn cos<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                trig::cos(l, &trig::$CONSTANTS, x)
            }

            /// arcsin x; see [`Asin`](super::Elementary::Asin).
            pub fn asin<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                arc::asin(l, &arc::$CONSTANTS, x)
            }

            /// arccos x; see [`Acos`](super::Elementary::Acos).
            pub fn acos<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                arc::acos(l, &arc::$CONSTANTS, x)
            }

            /// arctan x; see [`Atan`](super::Elementary::Atan).
            pub fn atan<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                arc::atan(l, &arc::$CONSTANTS, x)
            }

            /// The angle of the point (x, y) in [-π, π], with the special values of C99 (annex
            /// F.9.1.4): among them ±0 and ±π where y is a zero, by the signs of both.
            pub fn atan2<L: Lanes>(l: &mut L, y: L::F, x: L::F) -> L::F {
                arc::atan2(l, &arc::$CONSTANTS, y, x)
            }

            /// tanh x; see [`Tanh`](super::Elementary::Tanh).
            pub fn tanh<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                tanh::tanh(l, &exp::$CONSTANTS, x)
            }

            /// 1/(1 + e⁻ˣ); see [`Logistic`](super::Elementary::Logistic).
            pub fn logistic<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                exp::logistic(l, &exp::$CONSTANTS, x)
            }

            /// erf x; see [`Erf`](super::Elementary::Erf).
            pub fn erf<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                erf::erf(l, &erf::$CONSTANTS, x)
            }

            /// 1 - erf x; see [`Erfc`](super::Elementary::Erfc).
            pub fn erfc<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                erf::erfc(l, &erf::$CONSTANTS, x)
            }

            /// The inverse of erf; see [`ErfInv`](super::Elementary::ErfInv).
            pub fn erf_inv<L: Lanes>(l: &mut L, x: L::F) -> L::F {
                erf::erf_inv(l, &erf::$CONSTANTS, x)
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
    };
}

functions! {
    /// The functions of f32 lanes.
    single, SINGLE
}
functions! {
    /// The functions of f64 lanes.
    double, DOUBLE
}

macro_rules! dispatch {
    ($(#[$doc:meta])* $unary:ident, $module:ident) => {
        $(#[$doc])*
        pub fn $unary<L: Lanes>(l: &mut L, function: Elementary, x: L::F) -> L::F {
            match function {
                Elementary::Exp => $module::exp(l, x),
                Elementary::Expm1 => $module::expm1(l, x),
                Elementary::Log => $module::log(l, x),
                Elementary::Log1p => $module::log1p(l, x),
                Elementary::Sin => $module::sin(l, x),
                Elementary::Cos => $module::cos(l, x),
                Elementary::Asin => $module::asin(l, x),
                Elementary::Acos => $module::acos(l, x),
                Elementary::Atan => $module::atan(l, x),
                Elementary::Tanh => $module::tanh(l, x),
                Elementary::Logistic => $module::logistic(l, x),
                Elementary::Erf => $module::erf(l, x),
                Elementary::Erfc => $module::erfc(l, x),
                Elementary::ErfInv => $module::erf_inv(l, x),
            }
        }
    };
}

dispatch! {
    /// An elementary function of f32 lanes.
    unary32, single
}
dispatch! {
    /// An elementary function of f64 lanes.
    unary64, double
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
