//! What the reference interpreter makes of each primitive, written out by hand.

use egrad_ir::eval::{Elementary, eval, eval_op};
use egrad_ir::op::Axes;
use egrad_ir::*;

const MODES: [Elementary; 2] = [Elementary::Std, Elementary::Shared];
const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn axes(a: &[usize]) -> Axes {
    a.into()
}

fn array(dtype: Dtype, shape: &[usize], data: &[f64]) -> Array {
    Array::from_f64(dtype, data, shape).unwrap()
}

/// Runs the op in both modes and wants these elements: exactly, signs of zero included, but any NaN.
#[track_caller]
fn check(op: Op, args: &[&Array], dtype: Dtype, shape: &[usize], want: &[f64]) {
    for mode in MODES {
        let got = eval_op(&op, args, mode).unwrap();
        assert_eq!(got.aval(), &Aval::new(dtype, shape), "{op:?}");
        let got = got.to_f64();
        let same = |(g, w): (&f64, &f64)| (g.is_nan() && w.is_nan()) || g.to_bits() == w.to_bits();
        assert!(got.len() == want.len() && got.iter().zip(want).all(same), "{op:?} {mode:?}: {got:?}, not {want:?}");
    }
}

/// Runs an elementwise op on vectors; numbers are rounded to the type.
#[track_caller]
fn elementwise(op: Op, dtype: Dtype, result: Dtype, args: &[&[f64]], want: &[f64]) {
    let args: Vec<Array> = args.iter().map(|a| array(dtype, &[a.len()], a)).collect();
    let want = array(result, &[want.len()], want).to_f64();
    check(op, &args.iter().collect::<Vec<_>>(), result, &[want.len()], &want);
}

#[track_caller]
fn floats(op: Op, args: &[&[f64]], want: &[f64]) {
    elementwise(op.clone(), Dtype::F32, Dtype::F32, args, want);
    elementwise(op, Dtype::F64, Dtype::F64, args, want);
}

#[track_caller]
fn ints(op: Op, args: &[&[f64]], want: &[f64]) {
    elementwise(op, Dtype::I32, Dtype::I32, args, want);
}

#[track_caller]
fn bools(op: Op, args: &[&[f64]], want: &[f64]) {
    elementwise(op, Dtype::Bool, Dtype::Bool, args, want);
}

const MIN: f64 = i32::MIN as f64;
const MAX: f64 = i32::MAX as f64;

#[test]
fn signs() {
    let x = &[1.5, -2.5, 0.0, -0.0, INF, -INF, NAN];
    floats(Op::Unary(Unary::Neg), &[x], &[-1.5, 2.5, -0.0, 0.0, -INF, INF, NAN]);
    floats(Op::Unary(Unary::Abs), &[x], &[1.5, 2.5, 0.0, 0.0, INF, INF, NAN]);
    floats(Op::Unary(Unary::Sign), &[x], &[1.0, -1.0, 0.0, -0.0, 1.0, -1.0, NAN]);
    floats(Op::Unary(Unary::StopGradient), &[x], x);
    floats(Op::Unary(Unary::Barrier), &[x], x);
    let n = &[3.0, -3.0, 0.0, MIN, MAX];
    ints(Op::Unary(Unary::Neg), &[n], &[-3.0, 3.0, 0.0, MIN, -MAX]);
    ints(Op::Unary(Unary::Abs), &[n], &[3.0, 3.0, 0.0, MIN, MAX]);
    ints(Op::Unary(Unary::Sign), &[n], &[1.0, -1.0, 0.0, -1.0, 1.0]);
    ints(Op::Unary(Unary::Not), &[n], &[-4.0, 2.0, -1.0, MAX, MIN]);
    bools(Op::Unary(Unary::Not), &[&[0.0, 1.0]], &[1.0, 0.0]);
    bools(Op::Unary(Unary::StopGradient), &[&[0.0, 1.0]], &[0.0, 1.0]);
}

#[test]
fn elementary_functions_at_special_values() {
    let x = &[0.0, -0.0, INF, -INF, NAN];
    let table: [(Unary, [f64; 5]); 10] = [
        (Unary::Sqrt, [0.0, -0.0, INF, NAN, NAN]),
        (Unary::Rsqrt, [INF, -INF, 0.0, NAN, NAN]),
        (Unary::Exp, [1.0, 1.0, INF, 0.0, NAN]),
        (Unary::Expm1, [0.0, -0.0, INF, -1.0, NAN]),
        (Unary::Log, [-INF, -INF, INF, NAN, NAN]),
        (Unary::Log1p, [0.0, -0.0, INF, NAN, NAN]),
        (Unary::Sin, [0.0, -0.0, NAN, NAN, NAN]),
        (Unary::Cos, [1.0, 1.0, NAN, NAN, NAN]),
        (Unary::Tanh, [0.0, -0.0, 1.0, -1.0, NAN]),
        (Unary::Logistic, [0.5, 0.5, 1.0, 0.0, NAN]),
    ];
    for (op, want) in table {
        floats(Op::Unary(op), &[x], &want);
    }
    floats(Op::Unary(Unary::Log1p), &[&[-1.0, -2.0]], &[-INF, NAN]);
    floats(Op::Unary(Unary::Log), &[&[1.0, -1.0]], &[0.0, NAN]);
    floats(Op::Unary(Unary::Sqrt), &[&[4.0, 2.25, -1.0]], &[2.0, 1.5, NAN]);
    floats(Op::Unary(Unary::Rsqrt), &[&[4.0, 0.25]], &[0.5, 2.0]);
}

#[test]
fn elementary_functions_are_close() {
    type Row = (Unary, fn(f64) -> f64);
    let functions: [Row; 10] = [
        (Unary::Sqrt, f64::sqrt),
        (Unary::Rsqrt, |x| 1.0 / x.sqrt()),
        (Unary::Exp, f64::exp),
        (Unary::Expm1, f64::exp_m1),
        (Unary::Log, f64::ln),
        (Unary::Log1p, f64::ln_1p),
        (Unary::Sin, f64::sin),
        (Unary::Cos, f64::cos),
        (Unary::Tanh, f64::tanh),
        (Unary::Logistic, |x| 1.0 / (1.0 + (-x).exp())),
    ];
    let x: Vec<f64> = (1..200).map(|i| f64::from(i) / 16.0).collect();
    for (op, f) in functions {
        for (dtype, tolerance) in [(Dtype::F32, 1e-6), (Dtype::F64, 1e-14)] {
            for mode in MODES {
                let x = array(dtype, &[x.len()], &x);
                let got = eval_op(&Op::Unary(op), &[&x], mode).unwrap().to_f64();
                for (x, got) in x.to_f64().into_iter().zip(got) {
                    let want = f(x);
                    assert!(
                        (got - want).abs() <= tolerance * want.abs().max(0.1),
                        "{op:?} {mode:?} {x}: {got}, {want}"
                    );
                }
            }
        }
    }
    // Where the textbook formula overflows or cancels.
    floats(Op::Unary(Unary::Logistic), &[&[-1000.0, 1000.0]], &[0.0, 1.0]);
    for mode in MODES {
        let small = eval_op(&Op::Unary(Unary::Logistic), &[&Array::from(-740.0f64)], mode).unwrap();
        assert!((small.item::<f64>().unwrap() / (-740.0f64).exp() - 1.0).abs() < 0.1, "{mode:?}");
        let tiny = eval_op(&Op::Unary(Unary::Expm1), &[&Array::from(1e-30f32)], mode).unwrap();
        assert_eq!(tiny.item::<f32>().unwrap(), 1e-30);
    }
}

#[test]
fn arithmetic() {
    let (x, y) = (&[1.5, -1.0, 0.0, INF, NAN, -0.0], &[2.0, 0.0, -0.0, -INF, 1.0, -0.0]);
    floats(Op::Binary(Binary::Add), &[x, y], &[3.5, -1.0, 0.0, NAN, NAN, -0.0]);
    floats(Op::Binary(Binary::Sub), &[x, y], &[-0.5, -1.0, 0.0, INF, NAN, 0.0]);
    floats(Op::Binary(Binary::Mul), &[x, y], &[3.0, -0.0, -0.0, -INF, NAN, 0.0]);
    floats(Op::Binary(Binary::Div), &[x, y], &[0.75, -INF, NAN, NAN, NAN, NAN]);
    let (m, n) = (&[MAX, MIN, 65536.0, -7.0], &[1.0, -1.0, 65536.0, 3.0]);
    ints(Op::Binary(Binary::Add), &[m, n], &[MIN, MAX, 131072.0, -4.0]);
    ints(Op::Binary(Binary::Sub), &[n, m], &[-MAX + 1.0, MAX, 0.0, 10.0]);
    ints(Op::Binary(Binary::Mul), &[m, n], &[MAX, MIN, 0.0, -21.0]);
    ints(Op::Binary(Binary::Max), &[m, n], &[MAX, -1.0, 65536.0, 3.0]);
    ints(Op::Binary(Binary::Min), &[m, n], &[1.0, MIN, 65536.0, -7.0]);
    ints(Op::Binary(Binary::And), &[m, n], &[1.0, MIN, 65536.0, 1.0]);
    ints(Op::Binary(Binary::Or), &[m, n], &[MAX, -1.0, 65536.0, -5.0]);
    let (p, q) = (&[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0]);
    bools(Op::Binary(Binary::And), &[p, q], &[0.0, 0.0, 0.0, 1.0]);
    bools(Op::Binary(Binary::Or), &[p, q], &[0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn extremes_propagate_nan_and_order_zeros() {
    let (x, y) = (&[1.0, NAN, 2.0, 0.0, -0.0, -0.0, -INF, INF], &[2.0, 1.0, NAN, -0.0, 0.0, -0.0, INF, NAN]);
    floats(Op::Binary(Binary::Max), &[x, y], &[2.0, NAN, NAN, 0.0, 0.0, -0.0, INF, NAN]);
    floats(Op::Binary(Binary::Min), &[x, y], &[1.0, NAN, NAN, -0.0, -0.0, -0.0, -INF, NAN]);
}

#[test]
fn powers() {
    let x = &[NAN, 1.0, -8.0, -2.0, 0.0, -0.0, -0.0, 0.0, -1.0, INF, 2.0];
    let y = &[0.0, NAN, 0.5, 3.0, -1.0, -1.0, 3.0, 0.0, INF, -1.0, 10.0];
    floats(Op::Binary(Binary::Pow), &[x, y], &[1.0, 1.0, NAN, -8.0, INF, -INF, -0.0, 1.0, 1.0, 0.0, 1024.0]);
    let x = &[-2.0, 0.0, -0.0, 1.5, INF, NAN];
    floats(Op::IntegerPow(0), &[x], &[1.0; 6]);
    floats(Op::IntegerPow(1), &[x], x);
    floats(Op::IntegerPow(2), &[x], &[4.0, 0.0, 0.0, 2.25, INF, NAN]);
    floats(Op::IntegerPow(-1), &[&[-2.0, 0.0, -0.0, INF, NAN]], &[-0.5, INF, -INF, 0.0, NAN]);
    floats(Op::IntegerPow(-3), &[&[-2.0, 4.0]], &[-0.125, 1.0 / 64.0]);
    ints(Op::IntegerPow(0), &[&[0.0, 5.0]], &[1.0, 1.0]);
    ints(Op::IntegerPow(3), &[&[-2.0, 65536.0]], &[-8.0, 0.0]);
    // By repeated squaring: x⁵ = x·(x²)², each product rounded.
    let x = 1.1f32;
    let want = x * ((x * x) * (x * x));
    check(Op::IntegerPow(5), &[&Array::from(x)], Dtype::F32, &[], &[f64::from(want)]);
    check(Op::IntegerPow(-5), &[&Array::from(x)], Dtype::F32, &[], &[f64::from(1.0 / want)]);
    check(Op::IntegerPow(i32::MIN), &[&Array::from(2.0f64)], Dtype::F64, &[], &[0.0]);
    check(Op::IntegerPow(i32::MIN), &[&Array::from(-1.0f64)], Dtype::F64, &[], &[1.0]);
}

#[test]
fn comparisons() {
    let (x, y) = (&[1.0, 2.0, 2.0, NAN, 0.0, -INF], &[2.0, 1.0, 2.0, NAN, -0.0, INF]);
    let table = [
        (Compare::Eq, [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
        (Compare::Ne, [1.0, 1.0, 0.0, 1.0, 0.0, 1.0]),
        (Compare::Lt, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        (Compare::Le, [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]),
        (Compare::Gt, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        (Compare::Ge, [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]),
    ];
    for (op, want) in table {
        elementwise(Op::Compare(op), Dtype::F32, Dtype::Bool, &[x, y], &want);
        elementwise(Op::Compare(op), Dtype::F64, Dtype::Bool, &[x, y], &want);
        elementwise(Op::Compare(op), Dtype::I32, Dtype::Bool, &[&x[..3], &y[..3]], &want[..3]);
        elementwise(Op::Compare(op), Dtype::Bool, Dtype::Bool, &[&[0.0, 1.0, 1.0], &[1.0, 0.0, 1.0]], &want[..3]);
    }
}

#[test]
fn selects() {
    let p = array(Dtype::Bool, &[2], &[1.0, 0.0]);
    for dtype in Dtype::ALL {
        let (x, y) = (array(dtype, &[2], &[1.0, 1.0]), array(dtype, &[2], &[0.0, 0.0]));
        check(Op::Select, &[&p, &x, &y], dtype, &[2], &[1.0, 0.0]);
    }
    let (x, y) = (array(Dtype::F32, &[2], &[-0.0, NAN]), array(Dtype::F32, &[2], &[NAN, -0.0]));
    check(Op::Select, &[&p, &x, &y], Dtype::F32, &[2], &[-0.0, -0.0]);
}

#[test]
fn conversions() {
    let x = &[NAN, INF, -INF, 3e9, -3e9, 2.9, -2.9, -0.0];
    for from in [Dtype::F32, Dtype::F64] {
        elementwise(Op::Convert(Dtype::I32), from, Dtype::I32, &[x], &[0.0, MAX, MIN, MAX, MIN, 2.0, -2.0, 0.0]);
        elementwise(Op::Convert(Dtype::Bool), from, Dtype::Bool, &[x], &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        for to in [Dtype::F32, Dtype::F64] {
            elementwise(Op::Convert(to), from, to, &[&[NAN, INF, 1.5, -0.0]], &[NAN, INF, 1.5, -0.0]);
        }
        elementwise(Op::Convert(from), Dtype::Bool, from, &[&[0.0, 1.0]], &[0.0, 1.0]);
    }
    elementwise(Op::Convert(Dtype::F32), Dtype::I32, Dtype::F32, &[&[16777217.0, MIN]], &[16777216.0, MIN]);
    elementwise(Op::Convert(Dtype::F64), Dtype::I32, Dtype::F64, &[&[16777217.0, MAX]], &[16777217.0, MAX]);
    elementwise(Op::Convert(Dtype::Bool), Dtype::I32, Dtype::Bool, &[&[-1.0, 0.0]], &[1.0, 0.0]);
    elementwise(Op::Convert(Dtype::I32), Dtype::Bool, Dtype::I32, &[&[1.0, 0.0]], &[1.0, 0.0]);
    let wide = array(Dtype::F64, &[2], &[1e300, 1e-320]);
    check(Op::Convert(Dtype::F32), &[&wide], Dtype::F32, &[2], &[INF, 0.0]);
}

#[test]
fn literals_and_counts() {
    for literal in [1.5f32.literal(), (-0.0f64).literal(), 7i32.literal(), true.literal(), f32::NAN.literal()] {
        check(Op::Constant(literal), &[], literal.dtype(), &[], &[literal.to_f64()]);
    }
    let iota = |dtype, shape: &[usize], axis| Op::Iota { dtype, shape: shape.into(), axis };
    for dtype in [Dtype::I32, Dtype::F32, Dtype::F64] {
        check(iota(dtype, &[2, 3], 1), &[], dtype, &[2, 3], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        check(iota(dtype, &[2, 3], 0), &[], dtype, &[2, 3], &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        check(iota(dtype, &[0, 3], 1), &[], dtype, &[0, 3], &[]);
    }
}

#[test]
fn moves() {
    let x = array(Dtype::I32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let spread = |shape: &[usize], dims: &[usize]| Op::BroadcastInDim { shape: shape.into(), dims: axes(dims) };
    let turn = |perm: &[usize]| Op::Transpose(axes(perm));
    check(turn(&[1, 0]), &[&x], Dtype::I32, &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    check(turn(&[0, 1]), &[&x], Dtype::I32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let cube = x.reshape([1, 2, 3]).unwrap();
    check(turn(&[2, 0, 1]), &[&cube], Dtype::I32, &[3, 1, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    check(Op::Reshape([3, 2].into()), &[&x], Dtype::I32, &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let row = array(Dtype::F32, &[2], &[1.0, 2.0]);
    check(spread(&[2, 3], &[0]), &[&row], Dtype::F32, &[2, 3], &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    check(spread(&[3, 2], &[1]), &[&row], Dtype::F32, &[3, 2], &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    let column = array(Dtype::F64, &[2, 1], &[1.0, 2.0]);
    check(spread(&[2, 2], &[0, 1]), &[&column], Dtype::F64, &[2, 2], &[1.0, 1.0, 2.0, 2.0]);
    check(spread(&[2, 0], &[0, 1]), &[&column], Dtype::F64, &[2, 0], &[]);
    for dtype in Dtype::ALL {
        let one = array(dtype, &[], &[1.0]);
        check(spread(&[2], &[]), &[&one], dtype, &[2], &[1.0, 1.0]);
        check(spread(&[], &[]), &[&one], dtype, &[], &[1.0]);
        check(turn(&[]), &[&one], dtype, &[], &[1.0]);
        check(Op::Reshape([1, 1].into()), &[&one], dtype, &[1, 1], &[1.0]);
        let none = array(dtype, &[2, 0], &[]);
        check(turn(&[1, 0]), &[&none], dtype, &[0, 2], &[]);
        check(Op::Reshape([0].into()), &[&none], dtype, &[0], &[]);
    }
}

#[test]
fn reductions() {
    let reduce = |kind, a: &[usize]| Op::Reduce { kind, axes: axes(a) };
    let (sum, max) = (Reduce::Sum, Reduce::Max);
    for dtype in Dtype::ALL.into_iter().filter(|d| *d != Dtype::Bool) {
        let x = array(dtype, &[2, 3], &[1.0, 5.0, 3.0, 4.0, 2.0, 6.0]);
        check(reduce(sum, &[1]), &[&x], dtype, &[2], &[9.0, 12.0]);
        check(reduce(sum, &[0]), &[&x], dtype, &[3], &[5.0, 7.0, 9.0]);
        check(reduce(sum, &[0, 1]), &[&x], dtype, &[], &[21.0]);
        check(reduce(max, &[1]), &[&x], dtype, &[2], &[5.0, 6.0]);
        check(reduce(max, &[0, 1]), &[&x], dtype, &[], &[6.0]);
        check(reduce(max, &[]), &[&x], dtype, &[2, 3], &x.to_f64());
        let none = array(dtype, &[2, 0], &[]);
        let lowest = Literal::new(dtype, -INF).to_f64();
        check(reduce(sum, &[1]), &[&none], dtype, &[2], &[0.0, 0.0]);
        check(reduce(max, &[1]), &[&none], dtype, &[2], &[lowest, lowest]);
        check(reduce(max, &[0]), &[&none], dtype, &[0], &[]);
        check(reduce(sum, &[]), &[&array(dtype, &[], &[3.0])], dtype, &[], &[3.0]);
    }
    let odd = array(Dtype::F32, &[4, 2], &[1.0, INF, NAN, -INF, 3.0, 0.0, -INF, 1.0]);
    check(reduce(max, &[0]), &[&odd], Dtype::F32, &[2], &[NAN, INF]);
    check(reduce(sum, &[0]), &[&odd], Dtype::F32, &[2], &[NAN, NAN]);
    // Adding to the identity makes the sum of -0 alone 0; the empty list of axes adds nothing.
    let zero = array(Dtype::F32, &[1], &[-0.0]);
    check(reduce(sum, &[0]), &[&zero], Dtype::F32, &[], &[0.0]);
    check(reduce(max, &[0]), &[&zero], Dtype::F32, &[], &[-0.0]);
    check(reduce(sum, &[]), &[&zero], Dtype::F32, &[1], &[-0.0]);
    let wrap = array(Dtype::I32, &[2], &[MAX, 1.0]);
    check(reduce(sum, &[0]), &[&wrap], Dtype::I32, &[], &[MIN]);
}

/// The order of a sum: eight lanes by the innermost index, combined pairwise.
#[test]
fn sums_keep_the_documented_order() {
    let x: Vec<f32> = (0..3 * 19).map(|i| [1e8, 1.0, -1e8, 0.3, 1e-4, 7.7][i * i % 6] * (1.0 + i as f32)).collect();
    let mut lanes = [0f32; 8];
    for (i, x) in x.iter().enumerate() {
        lanes[i % 19 % 8] += x;
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let want = f64::from(((a + e) + (c + g)) + ((b + f) + (d + h)));
    let array = Array::from_vec(x.clone(), [3, 19]).unwrap();
    check(Op::Reduce { kind: Reduce::Sum, axes: axes(&[0, 1]) }, &[&array], Dtype::F32, &[], &[want]);
    // A product contracts in the same order.
    let ones = Array::from_vec(vec![1f32; 57], [3, 19]).unwrap();
    let contract = [axes(&[0, 1]), axes(&[0, 1])];
    let dims = DotDims { contract, batch: Default::default() };
    check(Op::DotGeneral(dims), &[&array, &ones], Dtype::F32, &[], &[want]);
}

#[test]
fn products() {
    let dot = |contract: [&[usize]; 2], batch: [&[usize]; 2]| {
        Op::DotGeneral(DotDims { contract: contract.map(axes), batch: batch.map(axes) })
    };
    for dtype in Dtype::ALL.into_iter().filter(|d| *d != Dtype::Bool) {
        let x = array(dtype, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let y = array(dtype, &[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        check(dot([&[1], &[0]], [&[], &[]]), &[&x, &y], dtype, &[2, 2], &[4.0, 5.0, 10.0, 11.0]);
        check(dot([&[1], &[1]], [&[], &[]]), &[&x, &x], dtype, &[2, 2], &[14.0, 32.0, 32.0, 77.0]);
        check(dot([&[1], &[1]], [&[0], &[0]]), &[&x, &x], dtype, &[2], &[14.0, 77.0]);
        check(dot([&[0, 1], &[1, 0]], [&[], &[]]), &[&x, &y], dtype, &[], &[1.0 + 3.0 + 5.0 + 6.0]);
        let (u, v) = (array(dtype, &[2], &[2.0, 3.0]), array(dtype, &[2], &[5.0, 7.0]));
        check(dot([&[], &[]], [&[], &[]]), &[&u, &v], dtype, &[2, 2], &[10.0, 14.0, 15.0, 21.0]);
        check(dot([&[], &[]], [&[0], &[0]]), &[&u, &v], dtype, &[2], &[10.0, 21.0]);
        let (s, t) = (array(dtype, &[], &[2.0]), array(dtype, &[], &[4.0]));
        check(dot([&[], &[]], [&[], &[]]), &[&s, &t], dtype, &[], &[8.0]);
        let none = array(dtype, &[2, 0], &[]);
        check(dot([&[1], &[1]], [&[], &[]]), &[&none, &none], dtype, &[2, 2], &[0.0; 4]);
        check(dot([&[0], &[0]], [&[], &[]]), &[&none, &none], dtype, &[0, 0], &[]);
        // A batch axis in the middle, free axes on both sides.
        let a = array(dtype, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let b = array(dtype, &[3, 2, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        check(dot([&[0], &[1]], [&[1], &[0]]), &[&a, &b], dtype, &[3, 1], &[9.0, 26.0, 51.0]);
    }
    let huge = array(Dtype::I32, &[1], &[65536.0]);
    check(dot([&[0], &[0]], [&[], &[]]), &[&huge, &huge], Dtype::I32, &[], &[0.0]);
    let (x, y) = (array(Dtype::F32, &[2], &[INF, 1.0]), array(Dtype::F32, &[2], &[0.0, 1.0]));
    check(dot([&[0], &[0]], [&[], &[]]), &[&x, &y], Dtype::F32, &[], &[NAN]);
}

#[test]
fn every_elementwise_op_takes_empty_and_scalar_operands() {
    let ops = Unary::ALL.iter().map(|u| Op::Unary(*u)).chain(Binary::ALL.iter().map(|b| Op::Binary(*b)));
    let ops = ops.chain(Compare::ALL.iter().map(|c| Op::Compare(*c))).chain([Op::IntegerPow(3)]);
    for op in ops.chain(Dtype::ALL.map(Op::Convert)) {
        let mut types = 0;
        for dtype in Dtype::ALL {
            for shape in [&[0][..], &[2, 0, 3], &[], &[1], &[1, 1]] {
                let n = shape.iter().product();
                let x = array(dtype, shape, &vec![1.0; n]);
                let Ok(y) = eval_op(&op, &vec![&x; op.arity()], Elementary::Shared) else { continue };
                assert_eq!(&y.shape()[..], shape);
                types += 1;
            }
        }
        assert!(types > 0, "{op:?}");
    }
}

#[test]
fn shared_mode_has_canonical_nans() {
    let odd = [f32::from_bits(0xffc0_0001), f32::from_bits(0x7f80_0001), -f32::NAN];
    let x = Array::from_vec(odd.to_vec(), [3]).unwrap();
    let bits = |a: &Array| a.as_slice::<f32>().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for u in Unary::ALL {
        let Ok(y) = eval_op(&Op::Unary(*u), &[&x], Elementary::Shared) else { continue };
        let want = if matches!(u, Unary::StopGradient | Unary::Barrier) { bits(&x) } else { vec![0x7fc0_0000; 3] };
        assert_eq!(bits(&y), want, "{u:?}");
    }
    for op in Binary::ALL.iter().map(|b| Op::Binary(*b)).chain([Op::IntegerPow(1), Op::IntegerPow(-2)]) {
        let Ok(y) = eval_op(&op, &vec![&x; op.arity()], Elementary::Shared) else { continue };
        assert_eq!(bits(&y), [0x7fc0_0000; 3], "{op:?}");
    }
    for kind in Reduce::ALL {
        let y = eval_op(&Op::Reduce { kind: *kind, axes: axes(&[0]) }, &[&x], Elementary::Shared).unwrap();
        assert_eq!(bits(&y), [0x7fc0_0000]);
    }
    let wide = eval_op(&Op::Convert(Dtype::F64), &[&x], Elementary::Shared).unwrap();
    assert!(wide.as_slice::<f64>().unwrap().iter().all(|x| x.to_bits() == f64::NAN.to_bits()));
    for op in [Op::Convert(Dtype::F32), Op::Reshape([3].into()), Op::Transpose(axes(&[0]))] {
        assert_eq!(bits(&eval_op(&op, &[&x], Elementary::Shared).unwrap()), bits(&x), "{op:?}");
    }
}

#[test]
fn unfit_operands_are_errors() {
    let (x, n) = (Array::from(1f32), Array::from(1i32));
    for (op, args, kind) in [
        (Op::Binary(Binary::Add), vec![&x], "tree"),
        (Op::Binary(Binary::Add), vec![&x, &n], "dtype"),
        (Op::Unary(Unary::Exp), vec![&n], "dtype"),
        (Op::Unary(Unary::Not), vec![&x], "dtype"),
        (Op::Reduce { kind: Reduce::Sum, axes: axes(&[0]) }, vec![&x], "axis"),
        (Op::Reshape([2].into()), vec![&x], "shape"),
        (Op::BroadcastInDim { shape: [1 << 40, 1 << 40].into(), dims: axes(&[]) }, vec![&x], "memory"),
        (Op::BroadcastInDim { shape: [1 << 55].into(), dims: axes(&[]) }, vec![&x], "memory"),
        (Op::BroadcastInDim { shape: [1; 65].into(), dims: axes(&[]) }, vec![&x], "shape"),
    ] {
        assert_eq!(eval_op(&op, &args, Elementary::Std).unwrap_err().kind(), kind, "{op:?}");
    }
}

/// A function of one f32 scalar.
fn chain(n: usize) -> Function {
    let mut f = Function::new("chain", [(Aval::new(Dtype::F32, []), Span::Unknown)]);
    let mut x = f.params().next().unwrap();
    for _ in 0..n {
        x = f.add(Op::Unary(Unary::Neg), &[x], Span::Unknown).unwrap();
    }
    f.set_results(vec![x]);
    f
}

#[test]
fn deep_chains_evaluate() {
    let f = chain(100_000);
    f.verify().unwrap();
    let y = eval(&f, &[&Array::from(3f32)], Elementary::Std).unwrap();
    assert_eq!(y[0].item::<f32>().unwrap(), 3.0);
}

#[test]
fn dead_nodes_are_not_evaluated_and_results_may_repeat() {
    let mut f = chain(1);
    let x = f.params().next().unwrap();
    let whole = Op::BroadcastInDim { shape: [1 << 50].into(), dims: axes(&[]) };
    let dead = f.add(whole, &[x], Span::here()).unwrap();
    let y = f.results()[0];
    f.set_results(vec![y, x, y]);
    let out = eval(&f, &[&Array::from(3f32)], Elementary::Std).unwrap();
    assert_eq!(out.iter().map(|x| x.item::<f32>().unwrap()).collect::<Vec<_>>(), [-3.0, 3.0, -3.0]);
    f.set_results(vec![dead]);
    let error = eval(&f, &[&Array::from(3f32)], Elementary::Std).unwrap_err();
    assert_eq!(error.kind(), "memory");
    assert!(error.to_string().contains("eval.rs"), "{error}");
}

#[test]
fn wrong_inputs_are_errors() {
    let f = chain(1);
    let run = |inputs: &[&Array]| eval(&f, inputs, Elementary::Std).unwrap_err();
    assert_eq!(run(&[]).kind(), "tree");
    assert_eq!(run(&[&Array::from(1i32)]).kind(), "dtype");
    let error = run(&[&Array::from_vec(vec![1f32], [1]).unwrap()]);
    assert_eq!(error.to_string(), "shape error: input 0 of `chain` must be f32[], not f32[1]");
    let mut g = chain(0);
    let x = g.params().collect::<Vec<_>>();
    let y = g.apply(Transform::Call, FnId(0), &x, vec![Aval::new(Dtype::F32, [])], Span::Unknown);
    g.set_results(y);
    let error = eval(&g, &[&Array::from(1f32)], Elementary::Std).unwrap_err();
    assert_eq!(error.kind(), "internal");
}

#[test]
fn slices_pads_reverses_and_concatenations() {
    let slice = |start: &[usize], limit: &[usize]| Op::Slice { start: axes(start), limit: axes(limit) };
    let pad = |low: &[usize], high: &[usize]| Op::Pad { low: axes(low), high: axes(high) };
    for dtype in Dtype::ALL.into_iter().filter(|d| *d != Dtype::Bool) {
        let x = array(dtype, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let (seven, none) = (array(dtype, &[], &[7.0]), array(dtype, &[2, 0], &[]));
        check(slice(&[0, 1], &[2, 3]), &[&x], dtype, &[2, 2], &[2.0, 3.0, 5.0, 6.0]);
        check(slice(&[1, 1], &[1, 2]), &[&x], dtype, &[0, 1], &[]);
        check(slice(&[], &[]), &[&seven], dtype, &[], &[7.0]);
        check(
            pad(&[1, 0], &[0, 2]),
            &[&x, &seven],
            dtype,
            &[3, 5],
            &[7.0, 7.0, 7.0, 7.0, 7.0, 1.0, 2.0, 3.0, 7.0, 7.0, 4.0, 5.0, 6.0, 7.0, 7.0],
        );
        check(pad(&[0, 1], &[0, 0]), &[&none, &seven], dtype, &[2, 1], &[7.0, 7.0]);
        check(Op::Reverse(axes(&[1])), &[&x], dtype, &[2, 3], &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        check(Op::Reverse(axes(&[0, 1])), &[&x], dtype, &[2, 3], &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        check(Op::Reverse(axes(&[])), &[&seven], dtype, &[], &[7.0]);
        let y = array(dtype, &[2, 1], &[8.0, 9.0]);
        check(Op::Concatenate(1), &[&x, &y], dtype, &[2, 4], &[1.0, 2.0, 3.0, 8.0, 4.0, 5.0, 6.0, 9.0]);
        check(Op::Concatenate(1), &[&none, &y], dtype, &[2, 1], &[8.0, 9.0]);
        check(Op::Concatenate(0), &[&y, &y], dtype, &[4, 1], &[8.0, 9.0, 8.0, 9.0]);
    }
    let truth = array(Dtype::Bool, &[2], &[1.0, 0.0]);
    check(Op::Reverse(axes(&[0])), &[&truth], Dtype::Bool, &[2], &[0.0, 1.0]);
}

#[test]
fn takes_and_scatters() {
    let take = |axis, batch| Op::Take { axis, batch };
    let x = array(Dtype::F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let at = array(Dtype::I32, &[4], &[2.0, -1.0, 0.0, MAX]);
    check(take(1, 0), &[&x, &at], Dtype::F32, &[2, 4], &[3.0, 0.0, 1.0, 0.0, 6.0, 0.0, 4.0, 0.0]);
    check(take(0, 0), &[&x, &array(Dtype::I32, &[], &[1.0])], Dtype::F32, &[3], &[4.0, 5.0, 6.0]);
    let each = array(Dtype::I32, &[2, 2], &[0.0, 2.0, 1.0, 3.0]);
    check(take(1, 1), &[&x, &each], Dtype::F32, &[2, 2], &[1.0, 3.0, 5.0, 0.0]);
    check(
        take(0, 0),
        &[&x, &each],
        Dtype::F32,
        &[2, 2, 3],
        &[1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0],
    );
    let scatter = |kind, axis, batch| Op::Scatter { kind, axis, batch };
    let twice = array(Dtype::I32, &[3], &[1.0, 1.0, -5.0]);
    let updates = array(Dtype::F32, &[2, 3], &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
    check(scatter(Reduce::Sum, 1, 0), &[&x, &twice, &updates], Dtype::F32, &[2, 3], &[1.0, 32.0, 3.0, 4.0, 95.0, 6.0]);
    check(scatter(Reduce::Max, 1, 0), &[&x, &twice, &updates], Dtype::F32, &[2, 3], &[1.0, 20.0, 3.0, 4.0, 50.0, 6.0]);
    let updates = array(Dtype::F32, &[2, 2], &[10.0, 20.0, 30.0, 40.0]);
    check(scatter(Reduce::Sum, 1, 1), &[&x, &each, &updates], Dtype::F32, &[2, 3], &[11.0, 2.0, 23.0, 4.0, 35.0, 6.0]);
    let (none, nowhere) = (array(Dtype::F32, &[0, 3], &[]), array(Dtype::I32, &[2], &[0.0, 1.0]));
    check(take(0, 0), &[&none, &nowhere], Dtype::F32, &[2, 3], &[0.0; 6]);
}

/// A matrix product.
fn matmul(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    (0..m * n).map(|i| (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum()).collect()
}

fn turned(a: &[f64], m: usize, n: usize) -> Vec<f64> {
    (0..m * n).map(|i| a[i % m * n + i / m]).collect()
}

/// Numbers without a pattern.
fn scattered(n: usize) -> Vec<f64> {
    (0..n).map(|i| (1.0 + 7.3 * i as f64).sin() * 2.0).collect()
}

#[track_caller]
fn near(got: &[f64], want: &[f64], what: &str) {
    let off = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max);
    assert!(got.len() == want.len() && off < 1e-9, "{what}: {got:?}, not {want:?}");
}

/// One matrix through a factorisation.
fn factored(factor: Factor, x: &[f64], m: usize, n: usize) -> Vec<f64> {
    let x = array(Dtype::F64, &[m, n], x);
    eval_op(&Op::Linalg(Linalg::Factor(factor)), &[&x], Elementary::Std).unwrap().to_f64()
}

#[test]
fn factors_multiply_to_what_was_factored() {
    let diagonal = |w: &[f64]| -> Vec<f64> {
        let n = w.len();
        (0..n * n).map(|i| if i / n == i % n { w[i / n] } else { 0.0 }).collect()
    };
    for (m, n) in [(0, 0), (1, 1), (2, 2), (5, 5), (17, 17), (3, 2), (17, 5), (4, 0), (5, 1)] {
        let x = scattered(m * n);
        let what = format!("{m} × {n}");
        let lu = factored(Factor::Lu, &x, m, n);
        let at = |i: usize, j: usize| lu[i * (n + 1) + j];
        let l: Vec<f64> = (0..m * n)
            .map(|k| (k / n, k % n))
            .map(|(i, j)| {
                if i == j {
                    1.0
                } else if j < i {
                    at(i, j)
                } else {
                    0.0
                }
            })
            .collect();
        let u: Vec<f64> = (0..n * n).map(|k| if k / n <= k % n { at(k / n, k % n) } else { 0.0 }).collect();
        let rows: Vec<f64> = (0..m * n).map(|k| x[at(k / n, n) as usize * n + k % n]).collect();
        near(&matmul(&l, &u, m, n, n), &rows, &what);
        assert!(l.iter().all(|x| x.abs() <= 1.0), "{what}");

        let qr = factored(Factor::Qr, &x, m, n);
        let (q, r) = qr.split_at(m * n);
        near(&matmul(q, r, m, n, n), &x, &what);
        near(&matmul(&turned(q, m, n), q, n, m, n), &diagonal(&vec![1.0; n]), &what);
        assert!((0..n * n).all(|k| k / n <= k % n || r[k] == 0.0), "{what}");

        let svd = factored(Factor::Svd, &x, m, n);
        let (s, rest) = svd.split_at(n);
        let (u, v) = rest.split_at(m * n);
        near(&matmul(&matmul(u, &diagonal(s), m, n, n), &turned(v, n, n), m, n, n), &x, &what);
        near(&matmul(&turned(u, m, n), u, n, m, n), &diagonal(&vec![1.0; n]), &what);
        assert!(s.windows(2).all(|s| s[0] >= s[1]) && s.iter().all(|s| *s >= 0.0), "{what}");
        if m != n {
            continue;
        }
        let symmetric: Vec<f64> = x.iter().zip(turned(&x, n, n)).map(|(x, y)| 0.5 * (x + y)).collect();
        let eigh = factored(Factor::Eigh, &x, n, n);
        let (w, v) = eigh.split_at(n);
        near(&matmul(&matmul(v, &diagonal(w), n, n, n), &turned(v, n, n), n, n, n), &symmetric, &what);
        assert!(w.windows(2).all(|w| w[0] <= w[1]), "{what}");
        let definite: Vec<f64> = matmul(&x, &turned(&x, n, n), n, n, n);
        let l = factored(Factor::Cholesky, &definite, n, n);
        near(&matmul(&l, &turned(&l, n, n), n, n, n), &definite, &what);
    }
}

#[test]
fn matrices_that_have_no_factors_give_what_jax_gives() {
    let nan = |x: &[f64]| x.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
    let l = factored(Factor::Cholesky, &[1.0, 2.0, 2.0, 1.0], 2, 2);
    assert_eq!(nan(&l), [true, false, true, true]);
    assert!(factored(Factor::Svd, &[1.0, f64::NAN], 2, 1).iter().all(|x| x.is_nan()));
    assert!(factored(Factor::Eigh, &[f64::INFINITY], 1, 1).iter().all(|x| x.is_nan()));
    // Rank 1: zeros where there is nothing left.
    assert_eq!(factored(Factor::Lu, &[1.0, 2.0, 2.0, 4.0], 2, 2), [2.0, 4.0, 1.0, 0.5, 0.0, 0.0]);
    let svd = factored(Factor::Svd, &[0.0; 6], 3, 2);
    assert_eq!(svd, [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    assert_eq!(factored(Factor::Qr, &[0.0, 3.0], 2, 1), [-0.0, -1.0, -3.0]);
}

#[test]
fn triangles_are_solved_with_and_the_rest_is_not_read() {
    let nan = f64::NAN;
    for bits in 0..8 {
        let triangle = Triangle { lower: bits & 1 > 0, transpose: bits & 2 > 0, unit: bits & 4 > 0 };
        for (n, k) in [(0, 2), (1, 1), (2, 3), (5, 1), (17, 2), (3, 0)] {
            let full = scattered(n * n);
            let inside = |i: usize, j: usize| if triangle.lower { j < i } else { i < j };
            let part = |other: f64, one: f64| -> Vec<f64> {
                let at = |(i, j): (usize, usize)| match i == j {
                    true if triangle.unit => one,
                    true => 3.0 + full[i * n + j],
                    false if inside(i, j) => full[i * n + j],
                    false => other,
                };
                (0..n * n).map(|c| at((c / n, c % n))).collect()
            };
            let a = if triangle.transpose { turned(&part(0.0, 1.0), n, n) } else { part(0.0, 1.0) };
            let x = scattered(n * k);
            let b = array(Dtype::F64, &[n, k], &matmul(&a, &x, n, n, k));
            let op = Op::Linalg(Linalg::TriangularSolve(triangle));
            let got = eval_op(&op, &[&array(Dtype::F64, &[n, n], &part(nan, nan)), &b], Elementary::Std).unwrap();
            let off = got.to_f64().iter().zip(&x).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max);
            assert!(off < 1e-6 * (1 << n.min(30)) as f64, "{triangle:?} {n} {k}: {:?}, not {x:?}", got.to_f64());
        }
    }
}

#[test]
fn transforms_are_the_sums_they_are_defined_by() {
    for n in [0, 1, 2, 3, 4, 5, 6, 8, 12, 17, 30] {
        let x = scattered(2 * n);
        for inverse in [false, true] {
            let got =
                eval_op(&Op::Linalg(Linalg::Fft { inverse }), &[&array(Dtype::F64, &[2, n], &x)], Elementary::Std);
            let mut want = vec![0.0; 2 * n];
            for (k, j) in (0..n).flat_map(|k| (0..n).map(move |j| (k, j))) {
                let angle = 2.0 * std::f64::consts::PI * (j * k % n) as f64 / n as f64;
                let (c, s) = (angle.cos(), if inverse { angle.sin() } else { -angle.sin() });
                want[k] += x[j] * c - x[n + j] * s;
                want[n + k] += x[j] * s + x[n + j] * c;
            }
            near(&got.unwrap().to_f64(), &want, &format!("{n}"));
        }
    }
}

#[test]
fn sorting_is_stable_with_nan_last() {
    let x = array(Dtype::F32, &[6], &[2.0, f64::NAN, -0.0, 0.0, f64::NEG_INFINITY, 2.0]);
    check(Op::Argsort(0), &[&x], Dtype::I32, &[6], &[4.0, 2.0, 3.0, 0.0, 5.0, 1.0]);
    let y = array(Dtype::I32, &[3, 2], &[3.0, 1.0, 1.0, 1.0, 2.0, 0.0]);
    check(Op::Argsort(0), &[&y], Dtype::I32, &[3, 2], &[1.0, 2.0, 2.0, 0.0, 0.0, 1.0]);
    check(Op::Argsort(1), &[&y], Dtype::I32, &[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    let truth = array(Dtype::Bool, &[3], &[1.0, 0.0, 1.0]);
    check(Op::Argsort(0), &[&truth], Dtype::I32, &[3], &[1.0, 0.0, 2.0]);
}

#[test]
fn rounding() {
    let x = &[0.5, -0.5, 1.5, 2.5, -2.5, 0.0, -0.0, 2.75, -2.75, 1e9, INF, -INF, NAN];
    floats(Op::Unary(Unary::Floor), &[x], &[0.0, -1.0, 1.0, 2.0, -3.0, 0.0, -0.0, 2.0, -3.0, 1e9, INF, -INF, NAN]);
    floats(Op::Unary(Unary::Round), &[x], &[0.0, -0.0, 2.0, 2.0, -2.0, 0.0, -0.0, 3.0, -3.0, 1e9, INF, -INF, NAN]);
}

#[test]
fn integer_quotients() {
    let x = &[7.0, -7.0, 7.0, -7.0, 5.0, 0.0, MIN, MIN, MIN, MAX];
    let y = &[2.0, 2.0, -2.0, -2.0, 0.0, 0.0, -1.0, 0.0, 2.0, MIN];
    ints(Op::Binary(Binary::Div), &[x, y], &[3.0, -3.0, -3.0, 3.0, -1.0, -1.0, MIN, -1.0, MIN / 2.0, 0.0]);
    ints(Op::Binary(Binary::Rem), &[x, y], &[1.0, -1.0, 1.0, -1.0, 5.0, 0.0, 0.0, MIN, 0.0, MAX]);
}

#[test]
fn remainders() {
    let x = &[7.0, -7.0, 7.0, -0.0, 1.0, INF, 1.0, NAN, -6.0, 1e9];
    let y = &[2.0, 2.0, -2.0, 2.0, 0.0, 1.0, INF, 1.0, 3.0, 0.75];
    floats(Op::Binary(Binary::Rem), &[x, y], &[1.0, -1.0, 1.0, -0.0, NAN, NAN, 1.0, NAN, -0.0, 0.25]);
}

#[test]
fn bits_moved() {
    let x = &[1.0, -8.0, -8.0, 5.0, 1.0, -1.0, MIN];
    let y = &[31.0, 1.0, 32.0, -1.0, 0.0, 31.0, 31.0];
    ints(Op::Binary(Binary::ShiftLeft), &[x, y], &[MIN, -16.0, 0.0, 0.0, 1.0, MIN, 0.0]);
    ints(Op::Binary(Binary::ShiftRightLogical), &[x, y], &[0.0, 2147483644.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    ints(Op::Binary(Binary::ShiftRightArithmetic), &[x, y], &[0.0, -4.0, -1.0, 0.0, 1.0, -1.0, -1.0]);
    ints(Op::Binary(Binary::Xor), &[x, y], &[30.0, -7.0, -40.0, -6.0, 1.0, -32.0, MIN + 31.0]);
    bools(Op::Binary(Binary::Xor), &[&[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0]], &[0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn reduced_products() {
    let x = array(Dtype::F64, &[2, 3], &[1.0, -2.0, 3.0, 0.0, 5.0, 6.0]);
    let prod = |a: &[usize]| Op::Reduce { kind: Reduce::Prod, axes: axes(a) };
    check(prod(&[1]), &[&x], Dtype::F64, &[2], &[-6.0, 0.0]);
    check(prod(&[0]), &[&x], Dtype::F64, &[3], &[0.0, -10.0, 18.0]);
    check(prod(&[0]), &[&array(Dtype::I32, &[0], &[])], Dtype::I32, &[], &[1.0]);
    check(prod(&[0]), &[&array(Dtype::I32, &[3], &[65536.0, 65536.0, 3.0])], Dtype::I32, &[], &[0.0]);
}
