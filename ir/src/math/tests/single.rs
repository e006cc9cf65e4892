//! f32 against Rust's f64 functions, which are right to far less than an ulp of f32.

use super::super::{Elementary, Scalar32, single, unary32};

/// The distance of `got` from `exact` in units in the last place of `exact`; 0 where both are the same
/// infinity, NaN, or zero of the same sign.
fn ulps(got: f32, exact: f64) -> f64 {
    let nearest = exact as f32;
    if nearest.is_nan() || nearest.is_infinite() || exact == 0.0 {
        let same = got.to_bits() == nearest.to_bits() || (got.is_nan() && nearest.is_nan());
        return if same { 0.0 } else { f64::INFINITY };
    }
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    (f64::from(got) - exact).abs() / 2f64.powi(exponent.max(-126) - 23)
}

/// Every 997th float of either sign, NaNs and infinities among them.
#[track_caller]
fn sweep(function: Elementary, bound: f64) {
    for sign in [0, 1 << 31] {
        for bits in (0..1 << 31).step_by(997) {
            let x = f32::from_bits(sign | bits);
            let got = unary32(&mut Scalar32, function, x);
            let error = ulps(got, function.exact()(f64::from(x)));
            assert!(error <= bound, "{function:?}({x:e}) = {got:e} is {error} ulp off");
        }
    }
}

#[test]
fn exp() {
    sweep(Elementary::Exp, 1.3);
}

#[test]
fn expm1() {
    sweep(Elementary::Expm1, 1.5);
}

#[test]
fn log() {
    sweep(Elementary::Log, 0.85);
}

#[test]
fn log1p() {
    sweep(Elementary::Log1p, 1.5);
}

#[test]
fn sin() {
    sweep(Elementary::Sin, 1.6);
}

#[test]
fn cos() {
    sweep(Elementary::Cos, 1.6);
}

#[test]
fn tanh() {
    sweep(Elementary::Tanh, 2.6);
}

#[test]
fn logistic() {
    sweep(Elementary::Logistic, 2.6);
}

#[test]
fn asin() {
    sweep(Elementary::Asin, 2.5);
}

#[test]
fn acos() {
    sweep(Elementary::Acos, 2.3);
}

#[test]
fn atan() {
    sweep(Elementary::Atan, 1.6);
}

#[test]
fn erf() {
    sweep(Elementary::Erf, 1.1);
}

#[test]
fn erfc() {
    sweep(Elementary::Erfc, 4.7);
}

#[test]
fn erf_inv() {
    sweep(Elementary::ErfInv, 2.1);
}

/// Points of every size and direction.
#[test]
fn atan2() {
    let mut random = random();
    for round in 0..1_000_000 {
        let mut side = || {
            let size = (random() * 277.0 - 149.0).exp2() as f32;
            if random() < 0.5 { -size } else { size }
        };
        let x = side();
        let near = x * (1.0 + (f64::from(round) / 1e6 - 0.5)) as f32;
        let y = if round % 2 == 0 { side() } else { near };
        let got = single::atan2(&mut Scalar32, y, x);
        let error = ulps(got, f64::from(y).atan2(f64::from(x)));
        assert!(error <= 2.0, "atan2({y:e}, {x:e}) = {got:e} is {error} ulp off");
    }
}

/// Exactly Rust's `%`, for quotients of every size.
#[test]
fn rem() {
    let mut random = random();
    for round in 0..300_000 {
        let mut side = || {
            let size = (random() * 277.0 - 149.0).exp2() as f32;
            if random() < 0.5 { -size } else { size }
        };
        let y = side();
        let x = if round % 2 == 0 { side() } else { (f64::from(y) * f64::from(round) * 0.37) as f32 };
        let got = single::rem(&mut Scalar32, x, y);
        let same = got.to_bits() == (x % y).to_bits() || got.is_nan() && (x % y).is_nan();
        assert!(same, "{x:e} rem {y:e}: {got:e}, not {:e}", x % y);
    }
}

/// Numbers from 0 to 1, the same ones every time.
fn random() -> impl FnMut() -> f64 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f64 / (1 << 24) as f64
    }
}

/// The float nearest, in proportion, to a multiple of π/2, and others that lose most of their bits.
#[test]
fn angles_near_multiples_of_a_quarter_turn() {
    let mut angles = vec![16_367_173.0 * 2f32.powi(72)];
    for exponent in 0..127 {
        let power = 2f64.powi(exponent);
        for step in 0..200 {
            let quarters = (power * (1.0 + f64::from(step) / 200.0)).floor();
            angles.push((quarters * std::f64::consts::FRAC_PI_2) as f32);
        }
    }
    for x in angles {
        for function in [Elementary::Sin, Elementary::Cos] {
            let error = ulps(unary32(&mut Scalar32, function, x), function.exact()(f64::from(x)));
            assert!(error <= 1.6, "{function:?}({x:e}) is {error} ulp off");
        }
    }
}

/// xʸ over the whole range of results, with bases of every size and many near 1.
#[test]
fn pow() {
    let mut random = random();
    for round in 0..1_000_000 {
        let x = if round % 2 == 0 {
            (random() * 277.0 - 149.0).exp2() as f32
        } else {
            (1.0 + (random() - 0.5) * (-24.0 * random()).exp2()) as f32
        };
        let y = ((random() * 285.0 - 153.0) / f64::from(x).log2()) as f32;
        let got = single::pow(&mut Scalar32, x, y);
        let error = ulps(got, f64::from(x).powf(f64::from(y)));
        assert!(error <= 1.1, "pow({x:e}, {y:e}) = {got:e} is {error} ulp off");
    }
}

#[test]
fn integer_powers_are_exact() {
    for x in -9_i32..=9 {
        for y in 0..=7 {
            assert_eq!(single::pow(&mut Scalar32, x as f32, y as f32), x.pow(y) as f32, "{x}^{y}");
        }
    }
    for e in -149..=127 {
        assert_eq!(single::pow(&mut Scalar32, 2.0, e as f32), 2f64.powi(e) as f32, "2^{e}");
    }
}
