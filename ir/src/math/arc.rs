//! arctan x, arcsin x, arccos x and the angle of a point.
//!
//! All are the angle of a point (x, y) with y ≥ 0. It is folded into the octant where y/x ≤ 1; there
//! arctan a = a + a·w·P(w), w = a², with π/2 or π in two parts where the fold calls for it.

use super::Lanes;
use super::format::{self, Format, polynomial, with_sign_of};

/// What the inverse circular functions of one format need to know.
pub(super) struct Arc {
    format: &'static Format,
    /// P of arctan a = a + a·w·P(w), w = a², for a ≤ 1.
    series: &'static [f64],
    /// π/2 in two parts.
    quarter_turn: [f64; 2],
}

/// Relative error 2⁻³⁰.
pub(super) const SINGLE: Arc = Arc {
    format: &format::SINGLE,
    series: &[
        -3.333332837e-1,
        1.999975145e-1,
        -1.428060532e-1,
        1.106164232e-1,
        -8.818456531e-2,
        6.747514009e-2,
        -4.463931173e-2,
        2.239652537e-2,
        -7.208696101e-3,
        1.084492775e-3,
    ],
    quarter_turn: [std::f32::consts::FRAC_PI_2 as f64, -4.371139000186241e-8],
};

/// Relative error 2⁻⁵⁹.
pub(super) const DOUBLE: Arc = Arc {
    format: &format::DOUBLE,
    series: &[
        -0.3333333333333332,
        0.19999999999995496,
        -0.1428571428531463,
        0.1111111109425902,
        -0.09090908679165004,
        0.07692301179380102,
        -0.06666595121066549,
        0.05881780351510915,
        -0.0525970268414434,
        0.047457768245994285,
        -0.04288438313820526,
        0.03824747867297236,
        -0.03283661013805924,
        0.02620214151055906,
        -0.01864656661564576,
        0.011325810608144858,
        -0.005605343006905076,
        0.0021425404266445626,
        -0.0005881079098263379,
        0.00010254652527563757,
        -8.497004717751987e-6,
    ],
    quarter_turn: [std::f64::consts::FRAC_PI_2, 6.123233995736766e-17],
};

/// arctan a for 0 ≤ a ≤ 1.
fn of_quotient<L: Lanes>(l: &mut L, arc: &Arc, a: L::F) -> L::F {
    let w = l.mul(a, a);
    let series = polynomial(l, arc.series, w);
    let cube = l.mul(w, a);
    l.fma(series, cube, a)
}

/// The angle of the point (x, y) for x, y ≥ 0, not both zero or both infinite; that of (-x, y) where
/// it is `left`.
fn in_half_plane<L: Lanes>(l: &mut L, arc: &Arc, y: L::F, x: L::F, left: Option<L::M>) -> L::F {
    let steep = l.gt(y, x);
    let short = l.select(steep, x, y);
    let long = l.select(steep, y, x);
    let a = l.div(short, long);
    let angle = of_quotient(l, arc, a);
    // 0 + angle, π/2 - angle, π/2 + angle or π - angle.
    let minus = l.neg(angle);
    let [hi, lo] = arc.quarter_turn;
    let [mut flat_hi, mut flat_lo] = [l.float(0.0), l.float(0.0)];
    let [mut flat, mut upright] = [angle, minus];
    if let Some(left) = left {
        let half_turn = [l.float(2.0 * hi), l.float(2.0 * lo)];
        flat_hi = l.select(left, half_turn[0], flat_hi);
        flat_lo = l.select(left, half_turn[1], flat_lo);
        flat = l.select(left, minus, angle);
        upright = l.select(left, angle, minus);
    }
    let [hi, lo] = [l.float(hi), l.float(lo)];
    let hi = l.select(steep, hi, flat_hi);
    let lo = l.select(steep, lo, flat_lo);
    let angle = l.select(steep, upright, flat);
    let sum = l.add(hi, angle);
    l.add(sum, lo)
}

/// arctan x
pub(super) fn atan<L: Lanes>(l: &mut L, arc: &Arc, x: L::F) -> L::F {
    let size = l.abs(x);
    let one = l.float(1.0);
    let angle = in_half_plane(l, arc, size, one, None);
    with_sign_of(l, arc.format, angle, x)
}

/// √(1 - x²) for |x| ≤ 1, NaN beyond.
fn cosine<L: Lanes>(l: &mut L, size: L::F) -> L::F {
    let one = l.float(1.0);
    let below = l.sub(one, size);
    let above = l.add(one, size);
    let square = l.mul(below, above);
    l.sqrt(square)
}

/// arcsin x
pub(super) fn asin<L: Lanes>(l: &mut L, arc: &Arc, x: L::F) -> L::F {
    let size = l.abs(x);
    let other = cosine(l, size);
    let angle = in_half_plane(l, arc, size, other, None);
    with_sign_of(l, arc.format, angle, x)
}

/// arccos x
pub(super) fn acos<L: Lanes>(l: &mut L, arc: &Arc, x: L::F) -> L::F {
    let size = l.abs(x);
    let other = cosine(l, size);
    let zero = l.float(0.0);
    let left = l.lt(x, zero);
    in_half_plane(l, arc, other, size, Some(left))
}

/// The angle of the point (x, y).
pub(super) fn atan2<L: Lanes>(l: &mut L, arc: &Arc, y: L::F, x: L::F) -> L::F {
    let [height, width] = [l.abs(y), l.abs(x)];
    // The origin counts as (1, 0) with x's sign, and both infinite as (1, 1).
    let [zero, one] = [l.float(0.0), l.float(1.0)];
    let infinity = l.float(f64::INFINITY);
    let sum = l.add(height, width);
    let origin = l.eq(sum, zero);
    let width = l.select(origin, one, width);
    let high = l.eq(height, infinity);
    let wide = l.eq(width, infinity);
    let both = l.both(high, wide);
    let height = l.select(both, one, height);
    let width = l.select(both, one, width);

    let bits = l.bits_of(x);
    let left = l.any_bit(bits, arc.format.sign());
    let angle = in_half_plane(l, arc, height, width, Some(left));
    with_sign_of(l, arc.format, angle, y)
}
