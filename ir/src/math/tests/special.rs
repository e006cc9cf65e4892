//! Special values, the same in both widths.

use super::super::{Elementary, Scalar32, Scalar64, double, single, unary32, unary64};

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// The same float to the bit, or both NaN.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[track_caller]
fn check(function: Elementary, table: &[(f64, f64)]) {
    for &(x, y) in table {
        let got = unary32(&mut Scalar32, function, x as f32);
        assert!(same(got.into(), y), "f32: {function:?}({x:e}) = {got:e}, not {y:e}");
        let got = unary64(&mut Scalar64, function, x);
        assert!(same(got, y), "f64: {function:?}({x:e}) = {got:e}, not {y:e}");
    }
}

#[test]
fn exp() {
    check(Elementary::Exp, &[(0.0, 1.0), (-0.0, 1.0), (1e4, INF), (-1e4, 0.0), (INF, INF), (-INF, 0.0), (NAN, NAN)]);
    assert_eq!(single::exp(&mut Scalar32, -103.9), f32::from_bits(1));
    assert_eq!(single::exp(&mut Scalar32, -104.0), 0.0);
    assert_eq!(single::exp(&mut Scalar32, 88.72284), INF as f32);
    assert!(single::exp(&mut Scalar32, 88.722_83).is_finite());
    assert_eq!(double::exp(&mut Scalar64, -745.1), f64::from_bits(1));
    assert_eq!(double::exp(&mut Scalar64, -745.2), 0.0);
    assert_eq!(double::exp(&mut Scalar64, 709.782712893385), INF);
    assert!(double::exp(&mut Scalar64, 709.782712893383).is_finite());
}

#[test]
fn expm1() {
    check(
        Elementary::Expm1,
        &[(0.0, 0.0), (-0.0, -0.0), (1e4, INF), (-1e4, -1.0), (INF, INF), (-INF, -1.0), (NAN, NAN)],
    );
}

#[test]
fn log() {
    check(
        Elementary::Log,
        &[(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-1e-30, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    );
}

#[test]
fn log1p() {
    check(
        Elementary::Log1p,
        &[(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-1.5, NAN), (-1e30, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    );
}

#[test]
fn sin() {
    check(Elementary::Sin, &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN)]);
}

#[test]
fn cos() {
    check(Elementary::Cos, &[(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (NAN, NAN)]);
}

#[test]
fn tanh() {
    check(
        Elementary::Tanh,
        &[(0.0, 0.0), (-0.0, -0.0), (30.0, 1.0), (-30.0, -1.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN)],
    );
}

#[test]
fn logistic() {
    check(
        Elementary::Logistic,
        &[(0.0, 0.5), (-0.0, 0.5), (50.0, 1.0), (-1e4, 0.0), (INF, 1.0), (-INF, 0.0), (NAN, NAN)],
    );
    assert!(single::logistic(&mut Scalar32, -103.0) > 0.0);
    assert!(double::logistic(&mut Scalar64, -745.0) > 0.0);
}

#[test]
fn arcs() {
    check(Elementary::Asin, &[(0.0, 0.0), (-0.0, -0.0), (1.5, NAN), (-1.5, NAN), (INF, NAN), (-INF, NAN), (NAN, NAN)]);
    check(Elementary::Acos, &[(1.0, 0.0), (1.5, NAN), (-1.5, NAN), (INF, NAN), (-INF, NAN), (NAN, NAN)]);
    check(Elementary::Atan, &[(0.0, 0.0), (-0.0, -0.0), (NAN, NAN)]);
    for (function, x, y) in [
        (Elementary::Asin, 1.0, FRAC_PI_2),
        (Elementary::Asin, -1.0, -FRAC_PI_2),
        (Elementary::Acos, 0.0, FRAC_PI_2),
        (Elementary::Acos, -0.0, FRAC_PI_2),
        (Elementary::Acos, -1.0, PI),
        (Elementary::Atan, INF, FRAC_PI_2),
        (Elementary::Atan, -INF, -FRAC_PI_2),
        (Elementary::Atan, 1.0, FRAC_PI_4),
    ] {
        assert_eq!(unary32(&mut Scalar32, function, x as f32), y as f32, "{function:?}({x})");
        assert_eq!(unary64(&mut Scalar64, function, x), y, "{function:?}({x})");
    }
}

/// C99, annex F.9.1.4.
#[test]
fn atan2() {
    let mut table = Vec::new();
    for sign in [1.0, -1.0] {
        for (y, x, z) in [
            (0.0, 0.0, 0.0),
            (0.0, -0.0, PI),
            (0.0, 1.0, 0.0),
            (0.0, -1.0, PI),
            (0.0, INF, 0.0),
            (0.0, -INF, PI),
            (1.0, 0.0, FRAC_PI_2),
            (1.0, -0.0, FRAC_PI_2),
            (1.0, INF, 0.0),
            (1.0, -INF, PI),
            (INF, 1.0, FRAC_PI_2),
            (INF, -1.0, FRAC_PI_2),
            (INF, 0.0, FRAC_PI_2),
            (INF, INF, FRAC_PI_4),
            (INF, -INF, 3.0 * FRAC_PI_4),
            (1.0, -1.0, 3.0 * FRAC_PI_4),
        ] {
            table.push((sign * y, x, sign * z));
        }
    }
    table.extend([
        (NAN, 0.0, NAN),
        (NAN, INF, NAN),
        (0.0, NAN, NAN),
        (INF, NAN, NAN),
        (NAN, NAN, NAN),
        (1.0, NAN, NAN),
    ]);
    for (y, x, z) in table {
        let got = single::atan2(&mut Scalar32, y as f32, x as f32);
        assert!(same(got.into(), (z as f32).into()), "f32: atan2({y:e}, {x:e}) = {got:e}, not {z:e}");
        let got = double::atan2(&mut Scalar64, y, x);
        assert!(same(got, z), "f64: atan2({y:e}, {x:e}) = {got:e}, not {z:e}");
    }
}

#[test]
fn error_functions() {
    check(
        Elementary::Erf,
        &[(0.0, 0.0), (-0.0, -0.0), (10.0, 1.0), (-10.0, -1.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN)],
    );
    check(
        Elementary::Erfc,
        &[(0.0, 1.0), (-0.0, 1.0), (30.0, 0.0), (-10.0, 2.0), (1e30, 0.0), (INF, 0.0), (-INF, 2.0), (NAN, NAN)],
    );
    check(
        Elementary::ErfInv,
        &[(0.0, 0.0), (-0.0, -0.0), (1.0, INF), (-1.0, -INF), (1.5, NAN), (INF, NAN), (-INF, NAN), (NAN, NAN)],
    );
    assert!(single::erfc(&mut Scalar32, 10.0) > 0.0);
    assert!(double::erfc(&mut Scalar64, 27.2) > 0.0);
}

/// C99, annex F.9.7.1.
#[test]
#[rustfmt::skip]
fn rem() {
    for (x, y, z) in [
        (7.0, 2.0, 1.0), (-7.0, 2.0, -1.0), (7.0, -2.0, 1.0), (-7.0, -2.0, -1.0),
        (0.0, 2.0, 0.0), (-0.0, 2.0, -0.0), (6.0, 3.0, 0.0), (-6.0, 3.0, -0.0), (0.0, INF, 0.0), (-0.0, INF, -0.0),
        (1.0, INF, 1.0), (-1.0, -INF, -1.0), (1e3, INF, 1e3), (1.0, 0.0, NAN), (0.0, 0.0, NAN), (1.0, -0.0, NAN),
        (INF, 1.0, NAN), (-INF, 1.0, NAN), (INF, INF, NAN), (INF, 0.0, NAN),
        (NAN, 1.0, NAN), (1.0, NAN, NAN), (NAN, INF, NAN), (NAN, 0.0, NAN), (INF, NAN, NAN),
    ] {
        let got = single::rem(&mut Scalar32, x as f32, y as f32);
        assert!(same(got.into(), z), "f32: {x:e} rem {y:e} = {got:e}, not {z:e}");
        let got = double::rem(&mut Scalar64, x, y);
        assert!(same(got, z), "f64: {x:e} rem {y:e} = {got:e}, not {z:e}");
    }
}

/// A NaN comes through with any payload and sign: its bits are taken apart as a number's are.
#[test]
fn nan_payloads() {
    for function in Elementary::ALL {
        for low in [0, 1, 0x0055_5555, 0x003f_ffff] {
            for sign in [0, 1 << 31] {
                let x = f32::from_bits(0x7fc0_0000 | sign | low);
                assert!(unary32(&mut Scalar32, function, x).is_nan(), "{function:?}");
                let x = f64::from_bits(0x7ff8_0000_0000_0000 | u64::from(sign) << 32 | u64::from(low));
                assert!(unary64(&mut Scalar64, function, x).is_nan(), "{function:?}");
            }
        }
    }
}

/// Near 0 these are their arguments, the least subnormal numbers included.
#[test]
fn tiny_arguments_return() {
    for function in
        [Elementary::Expm1, Elementary::Log1p, Elementary::Sin, Elementary::Asin, Elementary::Atan, Elementary::Tanh]
    {
        for bits in [1, 2, 3, 7, 0x0040_0001, 0x007f_ffff, 0x0080_0000, 0x0080_0001, 0x2000_0001, 0x3100_0001] {
            let x = f32::from_bits(bits);
            assert_eq!(unary32(&mut Scalar32, function, x), x, "{function:?}");
            assert_eq!(unary32(&mut Scalar32, function, -x), -x, "{function:?}");
        }
        for bits in [1, 3, 0x000f_ffff_ffff_ffff, 0x0010_0000_0000_0001, 0x2000_0000_0000_0001, 0x3c00_0000_0000_0001] {
            let x = f64::from_bits(bits);
            assert_eq!(unary64(&mut Scalar64, function, x), x, "{function:?}");
            assert_eq!(unary64(&mut Scalar64, function, -x), -x, "{function:?}");
        }
    }
}

/// C99, annex F.9.4.4, and some plain powers of negative numbers.
#[test]
#[rustfmt::skip]
fn pow() {
    for (x, y, z) in [
        (0.0, -1.0, INF), (-0.0, -1.0, -INF), (-0.0, -3.0, -INF),
        (0.0, -2.0, INF), (-0.0, -2.0, INF), (0.0, -0.5, INF), (-0.0, -0.5, INF), (0.0, -INF, INF), (-0.0, -INF, INF),
        (0.0, 1.0, 0.0), (-0.0, 1.0, -0.0), (-0.0, 3.0, -0.0),
        (0.0, 2.0, 0.0), (-0.0, 2.0, 0.0), (0.0, 0.5, 0.0), (-0.0, 0.5, 0.0), (0.0, INF, 0.0), (-0.0, INF, 0.0),
        (-1.0, INF, 1.0), (-1.0, -INF, 1.0),
        (1.0, 3.0, 1.0), (1.0, INF, 1.0), (1.0, -INF, 1.0), (1.0, NAN, 1.0),
        (5.0, 0.0, 1.0), (-5.0, -0.0, 1.0), (0.0, 0.0, 1.0), (-0.0, -0.0, 1.0), (INF, 0.0, 1.0), (-INF, 0.0, 1.0),
        (NAN, 0.0, 1.0), (NAN, -0.0, 1.0),
        (-2.0, 0.5, NAN), (-2.0, -1.5, NAN), (-1e-40, 0.25, NAN),
        (0.5, -INF, INF), (-0.5, -INF, INF), (2.0, -INF, 0.0), (-2.0, -INF, 0.0),
        (0.5, INF, 0.0), (-0.5, INF, 0.0), (2.0, INF, INF), (-2.0, INF, INF),
        (-INF, -1.0, -0.0), (-INF, -3.0, -0.0), (-INF, -2.0, 0.0), (-INF, -0.5, 0.0),
        (-INF, 1.0, -INF), (-INF, 3.0, -INF), (-INF, 2.0, INF), (-INF, 0.5, INF),
        (INF, -1.0, 0.0), (INF, -0.5, 0.0), (INF, 1.0, INF), (INF, 0.5, INF),
        (INF, INF, INF), (INF, -INF, 0.0), (-INF, INF, INF), (-INF, -INF, 0.0),
        (NAN, 1.0, NAN), (NAN, INF, NAN), (2.0, NAN, NAN), (-1.0, NAN, NAN), (0.0, NAN, NAN), (INF, NAN, NAN), (NAN, NAN, NAN),
        (-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (-2.0, -3.0, -0.125), (-1.0, 16777215.0, -1.0), (-1.0, 8388609.0, -1.0),
        (-1.0, 4194303.5, NAN), (-1.0, 1e30, 1.0), (-2.0, 1e30, INF), (-0.5, 1e30, 0.0),
        (2.0, 1e30, INF), (2.0, -1e30, 0.0), (1e30, 1e30, INF), (1e-30, 1e30, 0.0), (1e30, -1e30, 0.0), (3.0, 1e-30, 1.0),
    ] {
        let got = single::pow(&mut Scalar32, x as f32, y as f32);
        assert!(same(got.into(), z), "f32: pow({x:e}, {y:e}) = {got:e}, not {z:e}");
        let got = double::pow(&mut Scalar64, x, y);
        assert!(same(got, z), "f64: pow({x:e}, {y:e}) = {got:e}, not {z:e}");
    }
}
