//! f64 against correctly rounded values.

use super::super::{Elementary, Scalar64, double, unary64};
use super::reference;

/// How many doubles apart two are, -0 and 0 being neighbours.
fn apart(a: f64, b: f64) -> u64 {
    let place = |x: f64| {
        let magnitude = (x.to_bits() & !(1 << 63)) as i64;
        if x.is_sign_negative() { -1 - magnitude } else { magnitude }
    };
    place(a).abs_diff(place(b))
}

/// The bound counts doubles from the correctly rounded one, so an error of e ulp may show as e + ½.
#[track_caller]
fn compare(function: Elementary, table: &[(u64, u64)], bound: u64) {
    for &(x, y) in table {
        let (x, y) = (f64::from_bits(x), f64::from_bits(y));
        let got = unary64(&mut Scalar64, function, x);
        assert!(apart(got, y) <= bound, "{function:?}({x:e}) = {got:e}, not {y:e}: {} off", apart(got, y));
    }
}

#[test]
fn exp() {
    compare(Elementary::Exp, reference::EXP, 1);
}

#[test]
fn expm1() {
    compare(Elementary::Expm1, reference::EXPM1, 2);
}

#[test]
fn log() {
    compare(Elementary::Log, reference::LOG, 1);
}

#[test]
fn log1p() {
    compare(Elementary::Log1p, reference::LOG1P, 2);
}

#[test]
fn sin() {
    compare(Elementary::Sin, reference::SIN, 1);
}

#[test]
fn cos() {
    compare(Elementary::Cos, reference::COS, 2);
}

#[test]
fn tanh() {
    compare(Elementary::Tanh, reference::TANH, 2);
}

#[test]
fn logistic() {
    compare(Elementary::Logistic, reference::LOGISTIC, 2);
}

#[test]
fn asin() {
    compare(Elementary::Asin, reference::ASIN, 2);
}

#[test]
fn acos() {
    compare(Elementary::Acos, reference::ACOS, 2);
}

#[test]
fn atan() {
    compare(Elementary::Atan, reference::ATAN, 2);
}

#[test]
fn erf() {
    compare(Elementary::Erf, reference::ERF, 2);
}

#[test]
fn erfc() {
    compare(Elementary::Erfc, reference::ERFC, 3);
}

#[test]
fn erf_inv() {
    compare(Elementary::ErfInv, reference::ERF_INV, 3);
}

/// What the oracle computes without `math`.
#[test]
fn error_functions_of_the_oracle() {
    oracle(crate::erf::erf, reference::ERF);
    oracle(crate::erf::erfc, reference::ERFC);
    oracle(crate::erf::erf_inv, reference::ERF_INV);
}

#[track_caller]
fn oracle(function: fn(f64) -> f64, table: &[(u64, u64)]) {
    for &(x, y) in table {
        let (x, y) = (f64::from_bits(x), f64::from_bits(y));
        let got = function(x);
        assert!(apart(got, y) <= 4, "{x:e} gives {got:e}, not {y:e}: {} off", apart(got, y));
    }
}

#[test]
fn atan2() {
    for &(y, x, z) in reference::ATAN2 {
        let (y, x, z) = (f64::from_bits(y), f64::from_bits(x), f64::from_bits(z));
        let got = double::atan2(&mut Scalar64, y, x);
        assert!(apart(got, z) <= 2, "atan2({y:e}, {x:e}) = {got:e}, not {z:e}: {} off", apart(got, z));
    }
}

/// Exactly Rust's `%`, for quotients of every size.
#[test]
fn rem() {
    for &(x, y, _) in reference::ATAN2 {
        let (x, y) = (f64::from_bits(x), f64::from_bits(y));
        for (x, y) in [(x, y), (y, x), (x, x), (x, 3.0 * x), (1e9 * x, x), (1e15 * x, x)] {
            let got = double::rem(&mut Scalar64, x, y);
            let same = got.to_bits() == (x % y).to_bits() || got.is_nan() && (x % y).is_nan();
            assert!(same, "{x:e} rem {y:e}: {got:e}, not {:e}", x % y);
        }
    }
    for bits in 0..2000 {
        let x = f64::from_bits((bits << 52) | 0x000f_1234_5678_9abc);
        let y = f64::from_bits(0x0000_0000_0765_4321 + bits);
        if x.is_finite() {
            assert_eq!(double::rem(&mut Scalar64, x, y).to_bits(), (x % y).to_bits(), "{x:e} rem {y:e}");
        }
    }
}

#[test]
fn pow() {
    for &(x, y, z) in reference::POW {
        let (x, y, z) = (f64::from_bits(x), f64::from_bits(y), f64::from_bits(z));
        let got = double::pow(&mut Scalar64, x, y);
        assert!(apart(got, z) <= 1, "pow({x:e}, {y:e}) = {got:e}, not {z:e}: {} off", apart(got, z));
    }
}

/// sin² + cos² = 1 and nothing beyond 1, however large the angle.
#[test]
fn huge_angles_stay_on_the_circle() {
    for exponent in 20..1024 {
        for mantissa in [1.0, 1.1, 1.3, 1.7, 1.9999999999999998] {
            let x = mantissa * 2f64.powi(exponent);
            let (s, c) = (double::sin(&mut Scalar64, x), double::cos(&mut Scalar64, x));
            assert!(s.abs() <= 1.0 && c.abs() <= 1.0, "{x:e}");
            assert!((s * s + c * c - 1.0).abs() < 1e-15, "{x:e}");
        }
    }
}
