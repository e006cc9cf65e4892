//! sin x and cos x.
//!
//! |x| = n·π/2 + r with |r| ≤ π/4; then sin r or cos r, by n's low bits, with a sign. Common arguments
//! are reduced after Cody and Waite, with π/2 in three parts. Huge ones go another way, see
//! [`huge_angle`]; both ways end in the same polynomials.

use super::format::{self, Format, Pair, fast_two_sum, polynomial, power, two_product, two_sum};
use super::{Lanes, Rare};

/// What the circular functions of one format need to know.
pub(super) struct Trig {
    format: &'static Format,
    /// π/2 in three positive parts, the first two truncated.
    quarter_turn: [f64; 3],
    /// S of sin r = r + r³·S(r²).
    sine: &'static [f64],
    /// C of cos r = 1 - r²/2 + r⁴·C(r²).
    cosine: &'static [f64],
    /// Above this, Cody and Waite's reduction is left.
    huge: f64,
    rare: Rare,
}

/// Relative errors 2⁻²⁸ and 2⁻³³.
pub(super) const SINGLE: Trig = Trig {
    format: &format::SINGLE,
    quarter_turn: [1.570796251296997, 7.549789415861596e-8, 5.390302529957765e-15],
    sine: &[-1.666665524e-1, 8.332176134e-3, -1.951697777e-4],
    cosine: &[4.166664556e-2, -1.388736418e-3, 2.443809171e-5],
    huge: (1 << 17) as f64,
    rare: Rare::HugeAngle32,
};

/// Relative errors 2⁻⁵⁸ and 2⁻⁶⁴.
pub(super) const DOUBLE: Trig = Trig {
    format: &format::DOUBLE,
    quarter_turn: [std::f64::consts::FRAC_PI_2, 6.123233995736765e-17, 1.0828566739219139e-32],
    sine: &[
        -0.16666666666666632,
        0.00833333333332237,
        -0.00019841269829771086,
        2.7557313678643845e-6,
        -2.505075595863526e-8,
        1.5896666370939634e-10,
    ],
    cosine: &[
        0.0416666666666666,
        -0.0013888888888874064,
        2.480158728944353e-5,
        -2.755731434067416e-7,
        2.0875721625702183e-9,
        -1.1359559428690583e-11,
    ],
    huge: (1 << 30) as f64,
    rare: Rare::HugeAngle64,
};

/// sin x
pub(super) fn sin<L: Lanes>(l: &mut L, trig: &Trig, x: L::F) -> L::F {
    let size = l.abs(x);
    let [r, quarters] = reduce(l, trig, size);
    let quarters = l.bits_of(quarters);
    let bits = l.bits_of(x);
    let moved = l.shl(quarters, trig.format.width() - 2);
    let signs = l.int_xor(moved, bits);
    sine_at(l, trig, r, quarters, signs)
}

/// cos x = sin(|x| + π/2)
pub(super) fn cos<L: Lanes>(l: &mut L, trig: &Trig, x: L::F) -> L::F {
    let size = l.abs(x);
    let [r, quarters] = reduce(l, trig, size);
    let quarters = l.bits_of(quarters);
    let one = l.int(1);
    let quarters = l.int_add(quarters, one);
    let signs = l.shl(quarters, trig.format.width() - 2);
    sine_at(l, trig, r, quarters, signs)
}

/// sin r where `quarters` is even, cos r where it is odd, negated by the top bit of `signs`.
fn sine_at<L: Lanes>(l: &mut L, trig: &Trig, r: L::F, quarters: L::I, signs: L::I) -> L::F {
    let w = l.mul(r, r);
    let series = polynomial(l, trig.sine, w);
    let cube = l.mul(w, r);
    let sine = l.fma(series, cube, r);

    let series = polynomial(l, trig.cosine, w);
    let minus_half = l.float(-0.5);
    let one = l.float(1.0);
    let start = l.fma(w, minus_half, one);
    let fourth = l.mul(w, w);
    let cosine = l.fma(series, fourth, start);

    let odd = l.any_bit(quarters, 1);
    let y = l.select(odd, cosine, sine);
    let mask = l.int(trig.format.sign());
    let sign = l.int_and(signs, mask);
    let y = l.bits_of(y);
    let y = l.int_xor(y, sign);
    l.of_bits(y)
}

/// The rest r of x ≥ 0 after quarter turns, and a float whose low bits count those.
fn reduce<L: Lanes>(l: &mut L, trig: &Trig, x: L::F) -> [L::F; 2] {
    let per_quarter = l.float(std::f64::consts::FRAC_2_PI);
    let rounder = l.float(trig.format.rounder(0));
    let rounded = l.fma(x, per_quarter, rounder);
    let n = l.sub(rounded, rounder);
    let mut r = x;
    for part in trig.quarter_turn {
        let part = l.float(-part);
        r = l.fma(n, part, r);
    }
    let huge = l.float(trig.huge);
    let huge = l.gt(x, huge);
    l.rarely(huge, [x, x], [r, rounded], trig.rare)
}

/// 2/π, its bits after the point.
const TWO_OVER_PI: [u64; 20] = [
    0xA2F9_836E_4E44_1529,
    0xFC27_57D1_F534_DDC0,
    0xDB62_9599_3C43_9041,
    0xFE51_63AB_DEBB_C561,
    0xB724_6E3A_424D_D2E0,
    0x0649_2EEA_09D1_921C,
    0xFE1D_EB1C_B129_A73E,
    0xE882_35F5_2EBB_4484,
    0xE99C_7026_B45F_7E41,
    0x3991_D639_8353_39F4,
    0x9C84_5F8B_BDF9_283B,
    0x1FF8_97FF_DE05_980F,
    0xEF2F_118B_5A0A_6D1F,
    0x6D36_7ECF_27CB_09B7,
    0x4F46_3F66_9E5F_EA2D,
    0x7527_BAC7_EBE5_F17B,
    0x3D07_39F7_8A52_92EA,
    0x6BFB_5FB1_1F8D_5D08,
    0x5603_3046_FC7B_6BAB,
    0xF0CF_BC20_9AF4_361D,
];

/// The `width` bits of 2/π from bit `width·index` on, as a fraction below 1.
fn chunk(width: u32, index: usize) -> f64 {
    let start = width as usize * index;
    let (word, shift) = (start / 64, start % 64);
    let pair = (u128::from(TWO_OVER_PI[word]) << 64) | u128::from(TWO_OVER_PI.get(word + 1).copied().unwrap_or(0));
    let bits = (pair >> (128 - shift - width as usize)) as u64 & ((1 << width) - 1);
    bits as f64 / power(width)
}

/// How many chunks of 2/π meet the argument: enough that what is left out stays far below an ulp of
/// the least rest that any float leaves.
const CHUNKS: usize = 5;

/// The same as [`reduce`], for x above `huge` up to the largest finite number (Payne and Hanek, 1983).
///
/// With 2/π cut into chunks c₀ + c₁·2⁻ᵂ + c₂·2⁻²ᵂ + … as wide as a float's mantissa, x·2/π is a sum of
/// exact products. Products that are multiples of 4 quarter turns count for nothing; so for large x
/// the leading chunks are left out, and x takes on the exponent that remains. Five chunks follow. All
/// of it is floating-point arithmetic with error-free sums; the result is right to an ulp.
pub(super) fn huge_angle<L: Lanes>(l: &mut L, trig: &Trig, x: L::F) -> [L::F; 2] {
    let format = trig.format;
    let width = format.mantissa + 1;

    // Leave out chunks until x < 2^limit. A chunk may go when x ≥ 2^(W + 1) still holds afterwards.
    let limit = 2 * width + 1;
    let first_step: u32 = if format.mantissa == 23 { 4 } else { 16 };
    let count = CHUNKS + 2 * first_step as usize - 1;
    let mut chunks: Vec<L::F> = Vec::with_capacity(count);
    let available = TWO_OVER_PI.len() * 64 / width as usize;
    for index in 0..count {
        let value = if index < available { chunk(width, index) } else { 0.0 };
        chunks.push(l.float(value));
    }
    let mut x = x;
    let mut step = first_step;
    while step > 0 {
        let bound = l.float(power(limit + width * (step - 1)));
        let skip = l.ge(x, bound);
        let factor = l.float(1.0 / power(width * step));
        let scaled = l.mul(x, factor);
        x = l.select(skip, scaled, x);
        let kept = CHUNKS + step as usize - 1;
        for index in 0..kept {
            chunks[index] = l.select(skip, chunks[index + step as usize], chunks[index]);
        }
        step /= 2;
    }

    // The products, from large to small, without the whole turns of the large ones.
    let mut terms: Vec<L::F> = Vec::with_capacity(2 * CHUNKS);
    for (index, &chunk) in chunks[..CHUNKS].iter().enumerate() {
        let factor = l.float(1.0 / power(width * index as u32));
        let scaled = l.mul(x, factor);
        if index == CHUNKS - 1 {
            terms.push(l.mul(scaled, chunk));
            break;
        }
        let mut product = two_product(l, scaled, chunk);
        if index == 0 {
            product.hi = without_multiples(l, format, width + 3, product.hi);
            product.lo = without_multiples(l, format, 4, product.lo);
        }
        if index < 2 {
            product.hi = without_multiples(l, format, 4, product.hi);
        }
        terms.extend([product.hi, product.lo]);
    }

    // The whole quarters off the sum, then the sum again: what is left may have cancelled.
    distil(l, &mut terms);
    let rounder = l.float(format.rounder(0));
    let quarters = l.add(terms[0], rounder);
    let n = l.sub(quarters, rounder);
    terms[0] = l.sub(terms[0], n);
    distil(l, &mut terms);
    distil(l, &mut terms);
    let rest = fast_two_sum(l, terms[0], terms[1]);

    // Quarter turns to radians.
    let [hi, lo, _] = trig.quarter_turn;
    let hi = l.float(hi);
    let lo = l.float(lo);
    let Pair { hi: r, lo: tail } = two_product(l, rest.hi, hi);
    let tail = l.fma(rest.hi, lo, tail);
    let tail = l.fma(rest.lo, hi, tail);
    [l.add(r, tail), quarters]
}

/// `v` less the nearest multiple of 2^`s`, for |v| < 2^(m - 1 + s).
fn without_multiples<L: Lanes>(l: &mut L, format: &Format, s: u32, v: L::F) -> L::F {
    let rounder = l.float(format.rounder(s));
    let rounded = l.add(v, rounder);
    let multiple = l.sub(rounded, rounder);
    l.sub(v, multiple)
}

/// Gathers the sum of the terms in the first, what that cannot hold in the second, and so on
/// (one pass of Ogita, Rump and Oishi's VecSum).
fn distil<L: Lanes>(l: &mut L, terms: &mut [L::F]) {
    for index in (1..terms.len()).rev() {
        let sum = two_sum(l, terms[index - 1], terms[index]);
        terms[index - 1] = sum.hi;
        terms[index] = sum.lo;
    }
}
