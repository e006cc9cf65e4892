//! The two binary formats, and the tricks with their bits that the functions share.

use super::Lanes;

/// The numbers that describe a binary floating-point format.
#[derive(Debug)]
pub(super) struct Format {
    /// Bits of the mantissa that are stored.
    pub(super) mantissa: u32,
    /// What the stored exponent exceeds the exponent by.
    pub(super) bias: i64,
    /// The bits of the float nearest to √½.
    pub(super) sqrt_half: i64,
    /// The least normal number.
    pub(super) least_normal: f64,
}

pub(super) const SINGLE: Format =
    Format { mantissa: 23, bias: 127, sqrt_half: 0x3f35_04f3, least_normal: f32::MIN_POSITIVE as f64 };
pub(super) const DOUBLE: Format =
    Format { mantissa: 52, bias: 1023, sqrt_half: 0x3fe6_a09e_667f_3bcd, least_normal: f64::MIN_POSITIVE };

impl Format {
    /// The width of the float.
    pub(super) const fn width(&self) -> u32 {
        if self.mantissa == 23 { 32 } else { 64 }
    }

    /// The bits of 1.
    pub(super) const fn one(&self) -> i64 {
        self.bias << self.mantissa
    }

    /// The sign bit.
    pub(super) const fn sign(&self) -> i64 {
        1 << (self.width() - 1)
    }

    /// 1.5·2ᵐ⁺ˢ, which added to a float below 2ᵐ⁻¹⁺ˢ rounds it to a multiple of 2ˢ. With s = 0 the
    /// low bits of the sum are then the integer in two's complement.
    pub(super) fn rounder(&self, s: u32) -> f64 {
        1.5 * power(self.mantissa + s)
    }
}

/// 2ᵉ
pub(super) fn power(e: u32) -> f64 {
    f64::from_bits(u64::from(1023 + e) << 52)
}

/// `c₀ + c₁x + c₂x² + …` by Horner's rule, one fused multiply-add a coefficient.
pub(super) fn polynomial<L: Lanes>(l: &mut L, coefficients: &[f64], x: L::F) -> L::F {
    scaled_polynomial(l, 1.0, coefficients, x)
}

/// `factor · (c₀ + c₁x + c₂x² + …)`, the factor folded into the coefficients.
pub(super) fn scaled_polynomial<L: Lanes>(l: &mut L, factor: f64, coefficients: &[f64], x: L::F) -> L::F {
    let (&last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
    let mut sum = l.float(factor * last);
    for &c in rest.iter().rev() {
        let c = l.float(factor * c);
        sum = l.fma(sum, x, c);
    }
    sum
}

/// The lesser of `x` and `bound`; NaN stays NaN.
pub(super) fn at_most<L: Lanes>(l: &mut L, x: L::F, bound: f64) -> L::F {
    let bound = l.float(bound);
    let above = l.gt(x, bound);
    l.select(above, bound, x)
}

/// The greater of `x` and `bound`; NaN stays NaN.
pub(super) fn at_least<L: Lanes>(l: &mut L, x: L::F, bound: f64) -> L::F {
    let bound = l.float(bound);
    let below = l.lt(x, bound);
    l.select(below, bound, x)
}

/// `x` where |x| is below `bound`, `y` elsewhere: for functions whose value near 0 is their argument.
pub(super) fn itself_below<L: Lanes>(l: &mut L, bound: f64, x: L::F, y: L::F) -> L::F {
    let size = l.abs(x);
    let bound = l.float(bound);
    let tiny = l.lt(size, bound);
    l.select(tiny, x, y)
}

/// `magnitude`, which has no sign bit, with the sign bit of `x` turned into it.
pub(super) fn with_sign_of<L: Lanes>(l: &mut L, format: &Format, magnitude: L::F, x: L::F) -> L::F {
    let x = l.bits_of(x);
    let mask = l.int(format.sign());
    let sign = l.int_and(x, mask);
    let magnitude = l.bits_of(magnitude);
    let bits = l.int_or(magnitude, sign);
    l.of_bits(bits)
}

/// A number as the unevaluated sum of a float and a small rest.
#[derive(Clone, Copy)]
pub(super) struct Pair<F> {
    pub(super) hi: F,
    pub(super) lo: F,
}

/// `a + b` exactly, whichever is larger (Knuth).
pub(super) fn two_sum<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> Pair<L::F> {
    let hi = l.add(a, b);
    let of_b = l.sub(hi, a);
    let of_a = l.sub(hi, of_b);
    let lost_a = l.sub(a, of_a);
    let lost_b = l.sub(b, of_b);
    Pair { hi, lo: l.add(lost_a, lost_b) }
}

/// `a + b` exactly, for |a| ≥ |b| or a = 0 (Dekker).
pub(super) fn fast_two_sum<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> Pair<L::F> {
    let hi = l.add(a, b);
    let of_b = l.sub(hi, a);
    Pair { hi, lo: l.sub(b, of_b) }
}

/// `a · b` exactly.
pub(super) fn two_product<L: Lanes>(l: &mut L, a: L::F, b: L::F) -> Pair<L::F> {
    let hi = l.mul(a, b);
    let minus = l.neg(hi);
    Pair { hi, lo: l.fma(a, b, minus) }
}

/// A positive normal number taken apart: m·2ᵏ with √½ ≤ m < √2.
pub(super) struct Split<L: Lanes> {
    /// m
    pub(super) mantissa: L::F,
    /// k + bias, as an integer.
    pub(super) biased: L::I,
}

/// Takes a positive normal number apart.
pub(super) fn split<L: Lanes>(l: &mut L, format: &Format, x: L::F) -> Split<L> {
    // Adding 1/√½ in the exponent's place moves the borders of the binades from 1 to √½.
    let bits = l.bits_of(x);
    let up = l.int(format.one() - format.sqrt_half);
    let moved = l.int_add(bits, up);
    let biased = l.shr(moved, format.mantissa);
    let mask = l.int((1 << format.mantissa) - 1);
    let rest = l.int_and(moved, mask);
    let down = l.int(format.sqrt_half);
    let rest = l.int_add(rest, down);
    Split { mantissa: l.of_bits(rest), biased }
}

/// `biased - offset` as a float, for a non-negative integer below 2ᵐ.
pub(super) fn small_float<L: Lanes>(l: &mut L, format: &Format, biased: L::I, offset: L::F) -> L::F {
    // The bits of 2ᵐ with `biased` in its empty mantissa; `offset` includes the 2ᵐ.
    let empty = l.int((format.bias + i64::from(format.mantissa)) << format.mantissa);
    let filled = l.int_or(biased, empty);
    let filled = l.of_bits(filled);
    l.sub(filled, offset)
}
