//! x to the power y: 2^(y·log₂|x|), the logarithm carried as an unevaluated sum of two floats.
//!
//! log₂ m = K·(s + s³/3 + s⁵/5 + …) with s = (m - 1)/(m + 1) and K = 2/ln 2. The first two terms are
//! computed in two floats each, the rest is a minimax polynomial.

use super::Lanes;
use super::format::{
    self, Format, Pair, Split, at_least, at_most, fast_two_sum, polynomial, power, small_float, split, two_product,
    with_sign_of,
};

/// What the power of one format needs to know.
pub(super) struct Pow {
    format: &'static Format,
    /// K = 2/ln 2 in two parts.
    first: [f64; 2],
    /// K/3 in two parts.
    third: [f64; 2],
    /// T of log₂ m = K·s + K/3·s³ + s⁵·T(s²).
    series: &'static [f64],
    /// E of 2ʳ = 1 + r·E(r), |r| ≤ ½.
    power_of_two: &'static [f64],
    /// Binary logarithms beyond which the result is ∞ or 0.
    highest: f64,
    lowest: f64,
    /// Below this the result is computed [`LIFT`] binades too high.
    lifted_below: f64,
}

/// How far results near the subnormal numbers are lifted before their one rounding.
const LIFT: i64 = 64;

/// Relative errors 2⁻³⁵ and 2⁻²⁹.
pub(super) const SINGLE: Pow = Pow {
    format: &format::SINGLE,
    first: [2.885390043258667, 3.851926067000022e-8],
    third: [0.9617967009544373, -7.028461812552678e-9],
    series: &[5.770801902e-1, 4.118480086e-1, 3.378604650e-1],
    power_of_two: &[6.931471825e-1, 2.402264774e-1, 5.550331995e-2, 9.618438780e-3, 1.339900307e-3, 1.535323681e-4],
    highest: 128.4,
    lowest: -151.0,
    lifted_below: -120.0,
};

/// Relative errors 2⁻⁶⁵ and 2⁻⁵⁸.
pub(super) const DOUBLE: Pow = Pow {
    format: &format::DOUBLE,
    first: [2.8853900817779268, 4.0710547481862066e-17],
    third: [0.9617966939259756, 5.0577616648125907e-17],
    series: &[
        0.5770780163556176,
        0.4121985830920743,
        0.32059890225273574,
        0.2623077027493447,
        0.22198392989737567,
        0.19125661363682492,
        0.19037290643435223,
    ],
    power_of_two: &[
        std::f64::consts::LN_2,
        0.24022650695910133,
        0.05550410866482007,
        0.009618129107593847,
        0.001333355814677743,
        0.00015403530457493443,
        1.5252733491217314e-5,
        1.3215435076804507e-6,
        1.0178200045256177e-7,
        7.073820903453468e-9,
        4.434746903410494e-10,
    ],
    highest: 1024.4,
    lowest: -1076.0,
    lifted_below: -1000.0,
};

/// xʸ with C99's special values (annex F.9.4.4).
pub(super) fn pow<L: Lanes>(l: &mut L, pow: &Pow, x: L::F, y: L::F) -> L::F {
    let size = l.abs(x);
    let logarithm = log2(l, pow, size);
    let magnitude = exp2_of_product(l, pow, y, logarithm);
    with_special_values(l, pow.format, x, y, magnitude)
}

/// log₂ x for x ≥ 0: -∞ at 0, ∞ at ∞, NaN of NaN.
fn log2<L: Lanes>(l: &mut L, pow: &Pow, x: L::F) -> Pair<L::F> {
    let format = pow.format;
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

    // s = (m - 1)/(m + 1)
    let one = l.float(1.0);
    let numerator = l.sub(mantissa, one);
    let denominator = l.add(mantissa, one);
    let back = l.sub(denominator, one);
    let denominator_lo = l.sub(mantissa, back);
    let reciprocal = l.div(one, denominator);
    let s = l.mul(numerator, reciprocal);
    let minus_s = l.neg(s);
    let rest = l.fma(minus_s, denominator, numerator);
    let rest = l.fma(minus_s, denominator_lo, rest);
    let s = Pair { hi: s, lo: l.mul(rest, reciprocal) };

    // s·(K + s²·(K/3 + s²·T(s²)))
    let w = product(l, s, s);
    let series = polynomial(l, pow.series, w.hi);
    let tail = Pair { hi: l.mul(series, w.hi), lo: l.float(0.0) };
    let inner = plus(l, pow.third, tail);
    let inner = product(l, inner, w);
    let inner = plus(l, pow.first, inner);
    let p = product(l, s, inner);

    // The special values as infinite or NaN sums; a finite rest does no harm to them.
    let sum = fast_two_sum(l, k, p.hi);
    let lo = l.add(sum.lo, p.lo);
    let sum = fast_two_sum(l, sum.hi, lo);
    let infinity = l.float(f64::INFINITY);
    let finite = l.lt(x, infinity);
    let hi = l.select(finite, sum.hi, x);
    let zero = l.float(0.0);
    let is_zero = l.eq(x, zero);
    let minus_infinity = l.float(f64::NEG_INFINITY);
    Pair { hi: l.select(is_zero, minus_infinity, hi), lo: sum.lo }
}

/// A constant in two parts plus a number smaller than it.
fn plus<L: Lanes>(l: &mut L, [hi, lo]: [f64; 2], b: Pair<L::F>) -> Pair<L::F> {
    let hi = l.float(hi);
    let lo = l.float(lo);
    let sum = fast_two_sum(l, hi, b.hi);
    let lo = l.add(b.lo, lo);
    Pair { hi: sum.hi, lo: l.add(sum.lo, lo) }
}

/// `a · b` to nearly twice the precision of a float.
fn product<L: Lanes>(l: &mut L, a: Pair<L::F>, b: Pair<L::F>) -> Pair<L::F> {
    let Pair { hi, lo } = two_product(l, a.hi, b.hi);
    let lo = l.fma(a.hi, b.lo, lo);
    Pair { hi, lo: l.fma(a.lo, b.hi, lo) }
}

/// 2^(y·log), through ∞ and 0 at the ends of the range.
fn exp2_of_product<L: Lanes>(l: &mut L, pow: &Pow, y: L::F, log: Pair<L::F>) -> L::F {
    let format = pow.format;
    let e = two_product(l, y, log.hi);
    let rest = l.fma(y, log.lo, e.lo);
    // Beyond the range, and for infinite y, the rest is meaningless.
    let size = l.abs(e.hi);
    let bound = l.float(2.0 * -pow.lowest);
    let within = l.lt(size, bound);
    let zero = l.float(0.0);
    let rest = l.select(within, rest, zero);
    let e = at_most(l, e.hi, pow.highest);
    let e = at_least(l, e, pow.lowest);

    let bound = l.float(pow.lifted_below);
    let low = l.lt(e, bound);
    let plain = l.float(format.rounder(0) + (format.bias - 1) as f64);
    let lifting = l.float(format.rounder(0) + (format.bias + LIFT - 1) as f64);
    let rounder = l.select(low, lifting, plain);
    let rounded = l.add(e, rounder);
    let n = l.sub(rounded, rounder);
    let r = l.sub(e, n);
    let r = l.add(r, rest);
    let bits = l.bits_of(rounded);
    let bits = l.shl(bits, format.mantissa);
    let scale = l.of_bits(bits);

    let series = polynomial(l, pow.power_of_two, r);
    let one = l.float(1.0);
    let p = l.fma(series, r, one);
    let p = l.add(p, p);
    let y = l.mul(p, scale);
    let lowering = l.float(1.0 / power(LIFT as u32));
    let lowering = l.select(low, lowering, one);
    l.mul(y, lowering)
}

fn with_special_values<L: Lanes>(l: &mut L, format: &Format, x: L::F, y: L::F, magnitude: L::F) -> L::F {
    let zero = l.float(0.0);
    let one = l.float(1.0);
    let infinity = l.float(f64::INFINITY);
    let minus_infinity = l.float(f64::NEG_INFINITY);

    // A negative number has a power only to integers, and its sign in the odd ones.
    let y_size = l.abs(y);
    let integer = is_integer(l, format, y_size);
    let half = l.float(0.5);
    let half_y = l.mul(y_size, half);
    let even = is_integer(l, format, half_y);
    let uneven = l.not(even);
    let odd = l.both(integer, uneven);
    let signed = with_sign_of(l, format, magnitude, x);
    let power = l.select(odd, signed, magnitude);
    let negative = l.lt(x, zero);
    let finite = l.gt(x, minus_infinity);
    let fractional = l.not(integer);
    let undefined = l.both(negative, finite);
    let undefined = l.both(undefined, fractional);
    let nan = l.float(f64::NAN);
    let power = l.select(undefined, nan, power);

    // 1 whatever else, NaN included: y = 0, x = 1, and x = -1 to an infinite power.
    let y_is_zero = l.eq(y, zero);
    let x_is_one = l.eq(x, one);
    let x_size = l.abs(x);
    let unit = l.eq(x_size, one);
    let y_is_infinite = l.eq(y_size, infinity);
    let turning = l.both(unit, y_is_infinite);
    let is_one = l.either(y_is_zero, x_is_one);
    let is_one = l.either(is_one, turning);
    l.select(is_one, one, power)
}

/// Whether v ≥ 0 is an integer or infinite; false of NaN.
fn is_integer<L: Lanes>(l: &mut L, format: &Format, v: L::F) -> L::M {
    let large = l.float(power(format.mantissa));
    let no_fraction = l.ge(v, large);
    let rounded = l.add(v, large);
    let rounded = l.sub(rounded, large);
    let unchanged = l.eq(v, rounded);
    l.either(no_fraction, unchanged)
}
