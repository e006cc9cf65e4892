//! The primitives on integers, beside Rust's own arithmetic, and their text.

use egrad_ir::scalar::{binary, compare, convert, integer_pow, unary};
use egrad_ir::*;

const INTEGERS: [Dtype; 4] = [Dtype::I32, Dtype::I64, Dtype::U32, Dtype::U8];

/// The value as a number wide enough for every type.
fn wide(x: Literal) -> i128 {
    i128::from(x.to_i64().unwrap())
}

/// The low bits of a number, as the type has it.
fn low(dtype: Dtype, x: i128) -> Literal {
    Literal::wrapped(dtype, x as i64)
}

fn bits(dtype: Dtype) -> i128 {
    8 * dtype.bytes() as i128
}

/// What Rust makes of two numbers of the type.
fn reference(op: Binary, dtype: Dtype, x: i128, y: i128) -> Option<i128> {
    // As many places as a shift moves; a negative number is a large one.
    let places = if (0..bits(dtype)).contains(&y) { Some(y as u32) } else { None };
    let unsigned = if x < 0 { x + (1 << bits(dtype)) } else { x };
    let signed = if unsigned >> (bits(dtype) - 1) == 1 { unsigned - (1 << bits(dtype)) } else { unsigned };
    Some(match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x.wrapping_mul(y),
        Binary::Div => {
            if y == 0 {
                -1
            } else {
                x / y
            }
        }
        Binary::Rem => {
            if y == 0 {
                x
            } else {
                x % y
            }
        }
        Binary::Max => x.max(y),
        Binary::Min => x.min(y),
        Binary::And => x & y,
        Binary::Or => x | y,
        Binary::Xor => x ^ y,
        Binary::ShiftLeft => places.map_or(0, |n| x << n),
        Binary::ShiftRightLogical => places.map_or(0, |n| unsigned >> n),
        Binary::ShiftRightArithmetic => signed >> places.unwrap_or(bits(dtype) as u32 - 1),
        Binary::Pow | Binary::Atan2 => return None,
    })
}

/// Numbers of the type: all bytes, and of wider types the ends, powers of two and others.
fn numbers(dtype: Dtype) -> Vec<Literal> {
    if dtype == Dtype::U8 {
        return (0..256).map(|x| Literal::wrapped(dtype, x)).collect();
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state as i64
    };
    let powers = (0..64).flat_map(|n| [1i64 << n, (1i64 << n).wrapping_sub(1), (1i64 << n).wrapping_neg()]);
    let others: Vec<i64> = (0..40).map(|i| next() >> (i % 40)).collect();
    powers.chain(others).chain([0, 31, 32, 63, 64, -1, i64::MAX]).map(|x| Literal::wrapped(dtype, x)).collect()
}

#[test]
fn arithmetic_wraps_around_as_in_rust() {
    for dtype in INTEGERS {
        let all = numbers(dtype);
        for (x, y) in all.iter().flat_map(|x| all.iter().map(move |y| (*x, *y))) {
            for op in Binary::ALL {
                let want = reference(*op, dtype, wide(x), wide(y)).map(|z| low(dtype, z));
                assert_eq!(binary(*op, x, y, scalar::Elementary::Std), want, "{} {x:?} {y:?}", op.name());
            }
            for op in Compare::ALL {
                let (x, y, got) = (wide(x), wide(y), compare(*op, x, y).unwrap());
                let want = match op {
                    Compare::Eq => x == y,
                    Compare::Ne => x != y,
                    Compare::Lt => x < y,
                    Compare::Le => x <= y,
                    Compare::Gt => x > y,
                    Compare::Ge => x >= y,
                };
                assert_eq!(got, want, "{} {x} {y}", op.name());
            }
        }
        for x in all {
            let of = |op| unary(op, x, scalar::Elementary::Std);
            let v = wide(x);
            assert_eq!(of(Unary::Neg), Some(low(dtype, -v)));
            assert_eq!(of(Unary::Not), Some(low(dtype, !v)));
            assert_eq!(of(Unary::Sign), Some(low(dtype, v.signum())));
            assert_eq!(of(Unary::Abs), (!dtype.is_unsigned()).then(|| low(dtype, v.abs())));
            assert_eq!(of(Unary::Sqrt), None);
            let cube = low(dtype, v.wrapping_mul(v).wrapping_mul(v));
            assert_eq!(integer_pow(3, x, scalar::Elementary::Std), Some(cube));
        }
    }
}

#[test]
fn conversions() {
    for (from, to) in INTEGERS.into_iter().flat_map(|a| INTEGERS.map(|b| (a, b))) {
        for x in numbers(from) {
            let y = convert(to, x, scalar::Elementary::Std);
            assert_eq!(y, low(to, wide(x)), "{x:?} to {to}");
            assert!(!to.holds(from) || wide(y) == wide(x));
        }
    }
    for (x, want) in [
        (-1.5, [-1, -1, 0, 0]),
        (255.9, [255, 255, 255, 255]),
        (256.0, [256, 256, 256, 255]),
        (-3e9, [-(1 << 31), -3_000_000_000, 0, 0]),
        (5e9, [(1 << 31) - 1, 5_000_000_000, (1 << 32) - 1, 255]),
        (f64::INFINITY, [(1 << 31) - 1, i64::MAX, (1 << 32) - 1, 255]),
        (f64::NEG_INFINITY, [-(1 << 31), i64::MIN, 0, 0]),
        (f64::NAN, [0; 4]),
    ] {
        let got = INTEGERS.map(|d| convert(d, x.literal(), scalar::Elementary::Shared).to_i64().unwrap());
        assert_eq!(got, want, "{x}");
    }
    // One rounding, not two.
    let x = ((1i64 << 54) + (1 << 30) + 1).literal();
    assert_eq!(convert(Dtype::F32, x, scalar::Elementary::Std), (((1i64 << 54) + (1 << 30) + 1) as f32).literal());
}

#[test]
fn literals_have_a_text() {
    for dtype in INTEGERS {
        for x in numbers(dtype) {
            let text = format!(
                "egrad 1\n\nfn @0 f() -> ({dtype}[]) {{\n  %0: {dtype}[] = constant {{value = {x}}}\n  return %0\n}}\n"
            );
            assert_eq!(Program::parse(&text).unwrap().to_string(), text);
            assert_eq!(Literal::from_bits(dtype, x.bits()), Some(x));
        }
    }
    for (dtype, number) in [("u8", "256"), ("u8", "-1"), ("u32", "4294967296"), ("i64", "9223372036854775808")] {
        let e =
            Program::parse(&format!("egrad 1 fn @0 f() {{ %0: {dtype}[] = constant {{value = {number}}} return %0 }}"));
        let e = e.unwrap_err().to_string();
        assert!(e.contains(&format!("`{number}` is no {dtype}")), "{e}");
    }
}

#[test]
fn arrays() {
    let x = Array::from_vec(vec![i64::MIN, (1 << 53) + 1], [2]).unwrap();
    assert_eq!(x.to_string(), "i64[2] [-9223372036854775808, 9007199254740993]");
    assert_eq!(Array::from(ndarray::arr1(&[1u8, 255])).to_string(), "u8[2] [1, 255]");
    assert_eq!(Array::scalar(u32::MAX).to_ndarray::<u32>().unwrap().into_raw_vec_and_offset().0, [u32::MAX]);
    assert_eq!(Array::full([3], 7u8.literal()).unwrap().elements::<u8>().unwrap(), [7; 3]);
    assert_eq!(Array::from_f64(Dtype::U8, &[-1.0, 300.0, 2.9], [3]).unwrap().elements::<u8>().unwrap(), [0, 255, 2]);
    assert_eq!(x.elements::<i32>().unwrap_err().kind(), "dtype");
}
