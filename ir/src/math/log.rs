//! ln x and ln(1 + x).
//!
//! The argument is m·2ᵏ with √½ ≤ m < √2, z = m - 1, and ln(1 + z) + k·ln 2 is the result.

use super::Lanes;
use super::format::{self, Format, Split, itself_below, polynomial, power, small_float, split, two_sum};

/// What the logarithm of one format needs to know.
pub(super) struct Log {
    format: &'static Format,
    ln2_hi: f64,
    ln2_lo: f64,
    kernel: Kernel,
    /// Where ln(1 + x) rounds to x.
    tiny: f64,
}

/// How ln(1 + z) is approximated.
enum Kernel {
    /// z - z²/2 + z³·P(z): no division.
    Polynomial(&'static [f64]),
    /// With s = z/(2 + z): z - (z²/2 - s·(z²/2 + s²·P(s²))), after fdlibm's `e_log.c`.
    Quotient(&'static [f64]),
}

/// Relative error 2⁻²⁷.
pub(super) const SINGLE: Log = Log {
    format: &format::SINGLE,
    ln2_hi: 0.6931471824645996,
    ln2_lo: -1.9046542121259336e-9,
    kernel: Kernel::Polynomial(&[
        3.333331645e-1,
        -2.500081062e-1,
        2.000228614e-1,
        -1.662455499e-1,
        1.418119669e-1,
        -1.312875301e-1,
        1.288161874e-1,
        -7.859580964e-2,
    ]),
    tiny: 1.0 / (1 << 25) as f64,
};

/// Relative error 2⁻⁵⁸.
pub(super) const DOUBLE: Log = Log {
    format: &format::DOUBLE,
    ln2_hi: std::f64::consts::LN_2,
    ln2_lo: 2.3190468138462996e-17,
    kernel: Kernel::Quotient(&[
        0.6666666666666734,
        0.39999999999414343,
        0.2857142874247167,
        0.22222198563723441,
        0.1818356485774119,
        0.1531403599770459,
        0.14796104334450338,
    ]),
    tiny: 1.0 / (1_u64 << 54) as f64,
};

/// ln(1 + z) + k·ln 2 for √½ - 1 ≤ z < √2 - 1.
fn sum<L: Lanes>(l: &mut L, log: &Log, z: L::F, k: L::F) -> L::F {
    let hi = l.float(log.ln2_hi);
    let lo = l.float(log.ln2_lo);
    let square = l.mul(z, z);
    let near = match log.kernel {
        Kernel::Polynomial(coefficients) => {
            let series = polynomial(l, coefficients, z);
            let cube = l.mul(square, z);
            let low = l.mul(k, lo);
            let tail = l.fma(series, cube, low);
            let minus_half = l.float(-0.5);
            let tail = l.fma(square, minus_half, tail);
            l.add(z, tail)
        }
        Kernel::Quotient(coefficients) => {
            let two = l.float(2.0);
            let denominator = l.add(z, two);
            let s = l.div(z, denominator);
            let w = l.mul(s, s);
            let half = l.float(0.5);
            let half_square = l.mul(square, half);
            let series = polynomial(l, coefficients, w);
            let inner = l.fma(series, w, half_square);
            let low = l.mul(k, lo);
            let tail = l.fma(s, inner, low);
            let tail = l.sub(half_square, tail);
            l.sub(z, tail)
        }
    };
    l.fma(k, hi, near)
}

/// The logarithm of u = `x + shift`: `finite` where u is positive and finite; -∞ at 0, ∞ at ∞, NaN
/// below 0 and of NaN.
fn with_special_values<L: Lanes>(l: &mut L, x: L::F, shift: f64, finite: L::F) -> L::F {
    let edge = l.float(-shift);
    let infinity = l.float(f64::INFINITY);
    let minus_infinity = l.float(f64::NEG_INFINITY);
    let nan = l.float(f64::NAN);
    let inside = l.gt(x, edge);
    let at_edge = l.eq(x, edge);
    let outside = l.select(at_edge, minus_infinity, nan);
    let y = l.select(inside, finite, outside);
    let infinite = l.eq(x, infinity);
    l.select(infinite, x, y)
}

/// ln x
pub(super) fn log<L: Lanes>(l: &mut L, log: &Log, x: L::F) -> L::F {
    let format = log.format;
    // A subnormal number is brought among the normal ones, and its exponent corrected.
    let lift = format.mantissa + 1;
    let least = l.float(format.least_normal);
    let subnormal = l.lt(x, least);
    let factor = l.float(power(lift));
    let lifted = l.mul(x, factor);
    let normal = l.select(subnormal, lifted, x);
    let offset = power(format.mantissa) + format.bias as f64;
    let plain = l.float(offset);
    let lifted = l.float(offset + f64::from(lift));
    let offset = l.select(subnormal, lifted, plain);

    let Split { mantissa, biased } = split(l, format, normal);
    let k = small_float(l, format, biased, offset);
    let one = l.float(1.0);
    let z = l.sub(mantissa, one);
    let y = sum(l, log, z, k);
    with_special_values(l, x, 0.0, y)
}

/// ln(1 + x). What rounding 1 + x loses is added to z, where it counts.
pub(super) fn log1p<L: Lanes>(l: &mut L, log: &Log, x: L::F) -> L::F {
    let format = log.format;
    let one = l.float(1.0);
    let u = two_sum(l, x, one);
    let Split { mantissa, biased } = split(l, format, u.hi);
    let offset = l.float(power(format.mantissa) + format.bias as f64);
    let k = small_float(l, format, biased, offset);

    // 2¹⁻ᵏ, which unlike 2⁻ᵏ never leaves the normal numbers but for 0 (k = bias + 1).
    let top = l.int(2 * format.bias + 1);
    let inverse = l.int_sub(top, biased);
    let inverse = l.shl(inverse, format.mantissa);
    let scale = l.of_bits(inverse);
    let half = l.float(0.5);
    let lost = l.mul(u.lo, half);
    let z = l.sub(mantissa, one);
    let z = l.fma(lost, scale, z);

    let y = sum(l, log, z, k);
    let y = with_special_values(l, x, 1.0, y);
    itself_below(l, log.tiny, x, y)
}
