//! The error function, its complement and its inverse.
//!
//! Up to 1, erf x = x + x·P(x²). From ½ on, erfc x = e^(-x²)·t·P(t), t = 1/(x + 3): t·P(t) is the
//! scaled complement e^(x²)·erfc x, which is smooth in t (the substitution is Shepherd's and
//! Laframboise's, 1981). What rounding x² loses is made up for, or large x would lose all digits.
//!
//! In f32, where 1 - erfc x takes few of its digits, erfc x = 2^(x·P(x)) from 1 on.
//!
//! The inverse is x·P(w), w = -ln(1 - x²), near 0, and beyond x·P(√w), after Giles (Approximating the
//! erfinv function, 2010).

use super::Lanes;
use super::exp::{self, Exp};
use super::format::{at_most, polynomial, scaled_polynomial, two_product, two_sum, with_sign_of};
use super::log::{self, Log};

/// What the error functions of one format need to know.
pub(super) struct Erf {
    exp: &'static Exp,
    log: &'static Log,
    /// P of erf x = x + x·P(x²), up to 1.
    series: &'static [f64],
    /// Of the scaled complement, in t.
    tail: Piece,
    /// How the complement falls from 1 on, where a few of its digits will do.
    fall: Option<Fall>,
    /// Of the inverse, in w; and in √w, each from some w on.
    near: Piece,
    far: &'static [(f64, Piece)],
}

/// 2^(x·P(x)), and 2ʳ for |r| ≤ ½.
struct Fall {
    exponent: &'static [f64],
    power: &'static [f64],
    /// From here on 1 - erfc x rounds to 1.
    flat_from: f64,
}

/// A polynomial in `scale·v - offset`.
struct Piece {
    scale: f64,
    offset: f64,
    series: &'static [f64],
}

impl Piece {
    fn at<L: Lanes>(&self, l: &mut L, v: L::F) -> L::F {
        let scale = l.float(self.scale);
        let offset = l.float(-self.offset);
        let u = l.fma(v, scale, offset);
        polynomial(l, self.series, u)
    }
}

/// Relative errors 2⁻²⁹, 2⁻²⁹; of 1 - 2^(x·P(x)) 2⁻³¹; of the inverse 2⁻²⁷ and 2⁻²⁶.
pub(super) const SINGLE: Erf = Erf {
    exp: &exp::SINGLE,
    log: &log::SINGLE,
    series: &[
        1.283791661e-1,
        -3.761262596e-1,
        1.128358543e-1,
        -2.685381286e-2,
        5.188328214e-3,
        -8.01019778e-4,
        7.853877469e-5,
    ],
    tail: Piece {
        scale: 9.525773195876289,
        offset: 1.7216494845360826,
        series: &[
            1.152978063e0,
            6.235556602e-1,
            2.674494088e-1,
            8.814191073e-2,
            2.056558989e-2,
            2.551511861e-3,
            -1.948211284e-4,
            -1.296812115e-4,
            -6.046853287e-6,
            4.610966698e-6,
        ],
    },
    fall: Some(Fall {
        exponent: &[
            -1.62836579e0,
            -9.160512007e-1,
            -1.537178397e-1,
            3.46614622e-2,
            -5.431246835e-3,
            5.083054427e-4,
            -2.039057411e-5,
        ],
        power: &[1.0, 6.931472057e-1, 2.402264689e-1, 5.550328777e-2, 9.618488957e-3, 1.339993122e-3, 1.53458119e-4],
        flat_from: 4.0,
    }),
    near: Piece {
        scale: 1.0,
        offset: 0.0,
        series: &[
            8.862268925e-1,
            2.320138216e-1,
            1.154865418e-2,
            -2.334296238e-3,
            -1.274815731e-4,
            4.456515308e-5,
            3.983264378e-6,
            -1.976467502e-6,
            2.210312857e-7,
            -8.791055883e-9,
        ],
    },
    far: &[(
        5.0,
        Piece {
            scale: 1.0598622671862417,
            offset: 3.369924076215481,
            series: &[
                3.013130188e0,
                9.477110505e-1,
                5.560170393e-3,
                -3.817022778e-3,
                2.489468083e-3,
                -1.589419437e-3,
                8.439128869e-4,
                -2.383877727e-4,
                -7.939441275e-5,
                6.524372293e-5,
            ],
        },
    )],
};

/// Relative errors 2⁻⁶², 2⁻⁵⁹; of the inverse 2⁻⁵⁸, 2⁻⁵⁹ and 2⁻⁵⁶.
pub(super) const DOUBLE: Erf = Erf {
    exp: &exp::DOUBLE,
    log: &log::DOUBLE,
    series: &[
        0.1283791670955126,
        -0.3761263890318375,
        0.11283791670954857,
        -0.026866170645072896,
        0.005223977624780878,
        -0.0008548326978742835,
        0.00012055331036919498,
        -1.4925593507269706e-5,
        1.6460972821383026e-6,
        -1.635002525043636e-7,
        1.4657879910627581e-8,
        -1.136566580151185e-9,
        5.945260824914696e-11,
    ],
    tail: Piece {
        scale: 7.910780669144981,
        offset: 1.2602230483271375,
        series: &[
            1.0361101562246902,
            0.63181646783603,
            0.3166583884694594,
            0.12647458519512045,
            0.03758499826417043,
            0.006783560645619423,
            -5.827611749989883e-5,
            -0.00040745631303776416,
            -7.101764211032804e-5,
            1.8800069736919757e-5,
            7.558120901691635e-6,
            -9.797956386009838e-7,
            -7.128608571835619e-7,
            7.84909870230353e-8,
            6.919046487450787e-8,
            -1.0293655249522629e-8,
            -6.7835552363277255e-9,
            1.6109917041392018e-9,
            6.015870366416022e-10,
            -2.206295736870451e-10,
            -3.550858848103543e-11,
            1.7973907020696237e-11,
        ],
    },
    fall: None,
    near: Piece {
        scale: 0.32,
        offset: 1.0,
        series: &[
            1.6536545626831027,
            0.7504943200799635,
            -0.058922567103779265,
            -0.022604447453447092,
            0.017808361818364093,
            -0.004137314377485897,
            -0.0012716922697276806,
            0.0012324855695493092,
            -0.00026439365588395395,
            -0.00011688884577865836,
            9.336731981312068e-5,
            -1.5027686385365844e-5,
            -1.1257057887036735e-5,
            7.129993893244547e-6,
            -6.843427494815778e-7,
            -1.0592119867051677e-6,
            5.404255582211245e-7,
            -1.0308222885979655e-8,
            -9.972125246588515e-8,
            3.9241599820969124e-8,
            5.487915740464386e-9,
            -8.59771721821147e-9,
            1.2741128765127367e-9,
            7.750348640232097e-10,
            -2.2581192144349339e-10,
        ],
    },
    far: &[
        (
            6.25,
            Piece {
                scale: 1.3333333333333333,
                offset: 4.333333333333333,
                series: &[
                    3.0838856104922208,
                    0.753944225770624,
                    0.003021139436374738,
                    -0.001582541089406919,
                    0.0007883078513055833,
                    -0.00040063569836049995,
                    0.00016966502199025754,
                    -4.739182726061427e-5,
                    2.405864706117512e-6,
                    5.127316544581543e-6,
                    -2.6647934637373905e-6,
                    5.264627802058414e-7,
                    9.28924953759351e-8,
                    -9.469042138267214e-8,
                    2.6400314245700444e-8,
                    -3.6818723881388856e-10,
                    -2.461639230989451e-9,
                    9.886918667918696e-10,
                    -1.1737900677183437e-10,
                    -6.46231583199548e-11,
                    2.42477663141687e-11,
                ],
            },
        ),
        (
            16.0,
            Piece {
                scale: 0.9417418006472508,
                offset: 4.766967202589003,
                series: &[
                    4.912405208403126,
                    1.0727790813201374,
                    -0.00019949388458197974,
                    -0.0002358179686956405,
                    8.919856839293822e-5,
                    -2.440664916120254e-5,
                    5.905197843254172e-6,
                    -1.352076484871265e-6,
                    3.1663545771960197e-7,
                    -8.998305660036054e-8,
                    3.719737752029177e-8,
                    -2.0152372682729847e-8,
                    1.113123668912385e-8,
                    -5.36521525278548e-9,
                    2.267664169745998e-9,
                    -9.197999848026361e-10,
                    2.1853748072075558e-10,
                    7.247168812727181e-11,
                    -4.567632303111113e-11,
                ],
            },
        ),
    ],
};

/// erf x for |x| ≤ 1.
fn near_zero<L: Lanes>(l: &mut L, erf: &Erf, x: L::F) -> L::F {
    let w = l.mul(x, x);
    let series = polynomial(l, erf.series, w);
    l.fma(series, x, x)
}

/// erfc x for x ≥ ½.
fn tail<L: Lanes>(l: &mut L, erf: &Erf, x: L::F) -> L::F {
    let square = two_product(l, x, x);
    let minus = l.neg(square.hi);
    let power = exp::exp(l, erf.exp, minus);
    // t to twice the digits: the scaled complement falls three times as fast in it as it rises.
    let three = l.float(3.0);
    let one = l.float(1.0);
    let shifted = two_sum(l, x, three);
    let t = l.div(one, shifted.hi);
    let minus_t = l.neg(t);
    let rest = l.fma(minus_t, shifted.hi, one);
    let rest = l.fma(minus_t, shifted.lo, rest);
    let rest = l.mul(rest, t);
    let scale = l.float(erf.tail.scale);
    let offset = l.float(-erf.tail.offset);
    let u = l.fma(t, scale, offset);
    let u = l.fma(rest, scale, u);
    let series = polynomial(l, erf.tail.series, u);
    let scaled = l.mul(series, rest);
    let scaled = l.fma(series, t, scaled);
    // e^-(hi + lo) = e^-hi·(1 - lo), where it is not 0 and lo no NaN.
    let lost = l.neg(square.lo);
    let corrected = l.fma(scaled, lost, scaled);
    let zero = l.float(0.0);
    let some = l.gt(power, zero);
    let y = l.mul(power, corrected);
    l.select(some, y, power)
}

/// 1 - erfc x for x ≥ 1.
fn fallen<L: Lanes>(l: &mut L, exp: &Exp, fall: &Fall, x: L::F) -> L::F {
    let x = at_most(l, x, fall.flat_from);
    let slope = polynomial(l, fall.exponent, x);
    // x·slope = n + r
    let rounder = l.float(exp::rounder(exp, 0));
    let rounded = l.fma(slope, x, rounder);
    let minus_n = l.sub(rounder, rounded);
    let r = l.fma(slope, x, minus_n);
    let bits = l.bits_of(rounded);
    let bits = l.shl(bits, exp.format.mantissa);
    let scale = l.of_bits(bits);
    let minus_power = scaled_polynomial(l, -1.0, fall.power, r);
    let one = l.float(1.0);
    l.fma(minus_power, scale, one)
}

/// erf x
pub(super) fn erf<L: Lanes>(l: &mut L, erf: &Erf, x: L::F) -> L::F {
    let size = l.abs(x);
    let near = near_zero(l, erf, size);
    let one = l.float(1.0);
    let far = match &erf.fall {
        Some(fall) => fallen(l, erf.exp, fall, size),
        None => {
            let far = tail(l, erf, size);
            l.sub(one, far)
        }
    };
    let small = l.lt(size, one);
    let y = l.select(small, near, far);
    with_sign_of(l, erf.exp.format, y, x)
}

/// 1 - erf x
pub(super) fn erfc<L: Lanes>(l: &mut L, erf: &Erf, x: L::F) -> L::F {
    let size = l.abs(x);
    let [zero, half, one, two] = [0.0, 0.5, 1.0, 2.0].map(|v| l.float(v));
    let near = near_zero(l, erf, x);
    let near = l.sub(one, near);
    let far = tail(l, erf, size);
    let mirrored = l.sub(two, far);
    let negative = l.lt(x, zero);
    let far = l.select(negative, mirrored, far);
    let small = l.lt(size, half);
    l.select(small, near, far)
}

/// The inverse of erf.
pub(super) fn erf_inv<L: Lanes>(l: &mut L, erf: &Erf, x: L::F) -> L::F {
    let size = l.abs(x);
    let one = l.float(1.0);
    let below = l.sub(one, size);
    let above = l.add(one, size);
    let square = l.mul(below, above);
    let w = log::log(l, erf.log, square);
    let w = l.neg(w);
    let root = l.sqrt(w);
    let mut factor = erf.near.at(l, w);
    for (from, piece) in erf.far {
        let next = piece.at(l, root);
        let from = l.float(*from);
        let beyond = l.ge(w, from);
        factor = l.select(beyond, next, factor);
    }
    let y = l.mul(x, factor);
    // w is infinite at ±1 and NaN beyond; the polynomials may have made anything of it.
    let infinity = l.float(f64::INFINITY);
    let end = l.eq(w, infinity);
    let endless = l.mul(x, infinity);
    let y = l.select(end, endless, y);
    let nan = l.float(f64::NAN);
    let inside = l.le(size, one);
    l.select(inside, y, nan)
}
