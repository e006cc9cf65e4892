//! eˣ and what is made of it: eˣ - 1 and the logistic function.
//!
//! x = n·ln 2 + r with |r| ≤ ½ ln 2; eʳ by a minimax polynomial; 2ⁿ from n in the exponent's place.
//! The reduction is Cody and Waite's, with fused multiply-adds in place of short constants.

use super::Lanes;
use super::format::{self, Format, at_least, at_most, itself_below, polynomial, power, scaled_polynomial};

/// What the exponential of one format needs to know.
pub(super) struct Exp {
    pub(super) format: &'static Format,
    ln2_hi: f64,
    ln2_lo: f64,
    /// P of eʳ = 1 + r + r²·P(r), minimax in eʳ's relative error.
    series: &'static [f64],
    /// A little above the largest argument whose result is finite.
    highest: f64,
    /// A little below the least argument whose result is not zero.
    lowest: f64,
    /// Below this the result is computed [`LIFT`] binades too high.
    lifted_below: f64,
    /// Where eˣ - 1 rounds to x.
    tiny: f64,
    /// Where eˣ - 1 has rounded to -1.
    flat_below: f64,
}

/// How far results near the subnormal numbers are lifted, so that 2ⁿ is a normal number; one last
/// multiplication brings them down and rounds them once.
const LIFT: i64 = 64;

/// Relative error of the series 2⁻²⁸.
pub(super) const SINGLE: Exp = Exp {
    format: &format::SINGLE,
    ln2_hi: 0.6931471824645996,
    ln2_lo: -1.9046542121259336e-9,
    series: &[4.999999404e-1, 1.666652113e-1, 4.166838899e-2, 8.368745446e-3, 1.381454407e-3],
    highest: 89.0,
    lowest: -104.0,
    lifted_below: -80.0,
    tiny: 1.0 / (1 << 26) as f64,
    flat_below: -20.0,
};

/// Relative error of the series 2⁻⁵⁸.
pub(super) const DOUBLE: Exp = Exp {
    format: &format::DOUBLE,
    ln2_hi: std::f64::consts::LN_2,
    ln2_lo: 2.3190468138462996e-17,
    series: &[
        0.5000000000000011,
        0.1666666666666641,
        0.04166666666652973,
        0.00833333333349498,
        0.001388888894375879,
        0.0001984126950576047,
        2.480149295080446e-5,
        2.755758681881435e-6,
        2.7630305859655486e-7,
        2.50000138317822e-8,
    ],
    highest: 710.0,
    lowest: -746.0,
    lifted_below: -700.0,
    tiny: 1.0 / (1_u64 << 55) as f64,
    flat_below: -45.0,
};

/// x = n·ln 2 + r.
struct Reduced<F> {
    r: F,
    /// 2ⁿ⁺ᵉ, with the e the caller asked for.
    scale: F,
}

/// The rounding constant that leaves n + bias + `e` in the low bits, and so 2ⁿ⁺ᵉ after a shift.
pub(super) fn rounder(exp: &Exp, e: i64) -> f64 {
    exp.format.rounder(0) + (exp.format.bias + e) as f64
}

fn reduce<L: Lanes>(l: &mut L, exp: &Exp, x: L::F, rounder: L::F) -> Reduced<L::F> {
    let per_ln2 = l.float(std::f64::consts::LOG2_E);
    let rounded = l.fma(x, per_ln2, rounder);
    let n = l.sub(rounded, rounder);
    let hi = l.float(-exp.ln2_hi);
    let lo = l.float(-exp.ln2_lo);
    let r = l.fma(n, hi, x);
    let r = l.fma(n, lo, r);
    let bits = l.bits_of(rounded);
    let bits = l.shl(bits, exp.format.mantissa);
    Reduced { r, scale: l.of_bits(bits) }
}

/// 2·eʳ: doubled, so that the scale 2ⁿ⁻¹ beside it is finite up to the largest result.
fn twice_exp_of_rest<L: Lanes>(l: &mut L, exp: &Exp, r: L::F) -> L::F {
    let series = scaled_polynomial(l, 2.0, exp.series, r);
    let two = l.float(2.0);
    let linear = l.fma(r, two, two);
    let square = l.mul(r, r);
    l.fma(series, square, linear)
}

/// eʳ - 1 for the small rest r, accurate near 0.
fn expm1_of_rest<L: Lanes>(l: &mut L, exp: &Exp, r: L::F) -> L::F {
    let series = polynomial(l, exp.series, r);
    let square = l.mul(r, r);
    l.fma(series, square, r)
}

/// Brings a lifted result down again.
fn lowering() -> f64 {
    1.0 / power(LIFT as u32)
}

/// eˣ
pub(super) fn exp<L: Lanes>(l: &mut L, exp: &Exp, x: L::F) -> L::F {
    let x = at_most(l, x, exp.highest);
    let x = at_least(l, x, exp.lowest);
    let bound = l.float(exp.lifted_below);
    let low = l.lt(x, bound);
    let plain = l.float(rounder(exp, -1));
    let lifting = l.float(rounder(exp, LIFT - 1));
    let rounder = l.select(low, lifting, plain);
    let Reduced { r, scale } = reduce(l, exp, x, rounder);
    let p = twice_exp_of_rest(l, exp, r);
    let y = l.mul(p, scale);
    let one = l.float(1.0);
    let lowering = l.float(lowering());
    let lowering = l.select(low, lowering, one);
    l.mul(y, lowering)
}

/// eˣ - 1
pub(super) fn expm1<L: Lanes>(l: &mut L, exp: &Exp, x: L::F) -> L::F {
    // 2·(½·2ⁿ·(eʳ - 1) + (½·2ⁿ - ½))
    let bounded = at_most(l, x, exp.highest);
    let bounded = at_least(l, bounded, exp.flat_below);
    let rounder = l.float(rounder(exp, -1));
    let Reduced { r, scale } = reduce(l, exp, bounded, rounder);
    let p = expm1_of_rest(l, exp, r);
    let half = l.float(0.5);
    let constant = l.sub(scale, half);
    let y = l.fma(p, scale, constant);
    let y = l.add(y, y);
    itself_below(l, exp.tiny, x, y)
}

/// eˣ - 1 for x ≤ 0, exact where it rounds to x; the sign of a zero may be lost.
pub(super) fn expm1_of_negative<L: Lanes>(l: &mut L, exp: &Exp, x: L::F) -> L::F {
    let x = at_least(l, x, exp.flat_below);
    let rounder = l.float(rounder(exp, 0));
    let Reduced { r, scale } = reduce(l, exp, x, rounder);
    let p = expm1_of_rest(l, exp, r);
    let one = l.float(1.0);
    let constant = l.sub(scale, one);
    l.fma(p, scale, constant)
}

/// 1/(1 + e⁻ˣ) as eˣ/(1 + eˣ) for negative x, so that it falls to 0 as gradually as eˣ.
pub(super) fn logistic<L: Lanes>(l: &mut L, exp: &Exp, x: L::F) -> L::F {
    let size = l.abs(x);
    let argument = l.neg(size);
    let argument = at_least(l, argument, exp.lowest);
    let lifting = l.float(rounder(exp, LIFT - 1));
    let Reduced { r, scale } = reduce(l, exp, argument, lifting);
    let p = twice_exp_of_rest(l, exp, r);
    let y = l.mul(p, scale);
    let lowering = l.float(lowering());
    let e = l.mul(y, lowering);
    let zero = l.float(0.0);
    let one = l.float(1.0);
    let negative = l.lt(x, zero);
    let numerator = l.select(negative, e, one);
    let denominator = l.add(e, one);
    l.div(numerator, denominator)
}
