//! What a quotient rounded to zero leaves, exactly.
//!
//! For quotients that a float's mantissa can count, |x| - n·|y| is exact for the integer n next to the
//! quotient, and at most one |y| off the remainder. For larger ones it is done again and again, from
//! the highest digits of the quotient to the lowest.

use super::format::{self, Format, power, with_sign_of};
use super::{Lanes, Rare};

/// What the remainder of one format needs to know.
pub(super) struct Remainder {
    format: &'static Format,
    /// Numbers above 2 to the first are scaled by 2 to the minus second, so that arithmetic without a
    /// fused multiply-add can take them apart.
    large: [u32; 2],
    /// How many binades there are from the least subnormal number to the largest one.
    binades: u32,
    rare: Rare,
}

pub(super) const SINGLE: Remainder =
    Remainder { format: &format::SINGLE, large: [60, 30], binades: 277, rare: Rare::LargeQuotient32 };
pub(super) const DOUBLE: Remainder =
    Remainder { format: &format::DOUBLE, large: [500, 60], binades: 2098, rare: Rare::LargeQuotient64 };

/// x less the multiple of y next to zero, or exactly there.
pub(super) fn rem<L: Lanes>(l: &mut L, remainder: &Remainder, x: L::F, y: L::F) -> L::F {
    let format = remainder.format;
    let [size, unit] = [l.abs(x), l.abs(y)];
    let quotient = l.div(size, unit);
    let usual = step(l, remainder, quotient, size, unit);
    let countable = l.float(power(format.mantissa - 2));
    let large = l.ge(quotient, countable);
    let [rest, _] = l.rarely(large, [size, unit], [usual, usual], remainder.rare);

    let [zero, infinity] = [l.float(0.0), l.float(f64::INFINITY)];
    let nan = l.float(f64::NAN);
    let endless = l.eq(unit, infinity);
    let rest = l.select(endless, size, rest);
    // Not where x is infinite, y zero or one of them NaN.
    let finite = l.lt(size, infinity);
    let some = l.gt(unit, zero);
    let defined = l.both(finite, some);
    let rest = l.select(defined, rest, nan);
    with_sign_of(l, format, rest, x)
}

/// The remainder of r by `unit`, where their quotient is below 2ᵐ⁻².
fn step<L: Lanes>(l: &mut L, remainder: &Remainder, quotient: L::F, r: L::F, unit: L::F) -> L::F {
    let smaller = l.lt(r, unit);
    let given = r;
    let [from, by] = remainder.large.map(power);
    let from = l.float(from);
    let large = l.gt(unit, from);
    let [one, down, up] = [1.0, 1.0 / by, by].map(|v| l.float(v));
    let down = l.select(large, down, one);
    let back = l.select(large, up, one);
    let r = l.mul(r, down);
    let unit = l.mul(unit, down);

    let rounder = l.float(remainder.format.rounder(0));
    let rounded = l.add(quotient, rounder);
    let n = l.sub(rounded, rounder);
    let minus = l.neg(n);
    let rest = l.fma(minus, unit, r);
    let zero = l.float(0.0);
    let below = l.lt(rest, zero);
    let up = l.add(rest, unit);
    let rest = l.select(below, up, rest);
    // A division that is not rounded to nearest may have counted one too few.
    let above = l.ge(rest, unit);
    let down = l.sub(rest, unit);
    let rest = l.select(above, down, rest);
    let rest = l.mul(rest, back);
    l.select(smaller, given, rest)
}

/// The remainder of x ≥ 0 by `unit` > 0, both finite.
pub(super) fn large_quotient<L: Lanes>(l: &mut L, remainder: &Remainder, x: L::F, unit: L::F) -> L::F {
    let format = remainder.format;
    let digits = format.mantissa - 2;
    let infinity = l.float(f64::INFINITY);
    let mut rest = x;
    for index in (0..=remainder.binades / digits).rev() {
        // unit·2ˢ in three steps: the power alone may be infinite.
        let s = digits * index;
        let mut scaled = unit;
        for part in [s / 3, s / 3, s - 2 * (s / 3)] {
            let factor = l.float(power(part));
            scaled = l.mul(scaled, factor);
        }
        let finite = l.lt(scaled, infinity);
        let quotient = l.div(rest, scaled);
        let next = step(l, remainder, quotient, rest, scaled);
        rest = l.select(finite, next, rest);
    }
    rest
}
