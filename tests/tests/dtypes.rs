//! Integers of every type, and floats of 16 bits: against JAX, and the same bits on every device.

use egrad::*;
use egrad_tests::devices;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use std::path::Path;

const INTEGERS: [Dtype; 4] = [Dtype::I32, Dtype::I64, Dtype::U32, Dtype::U8];

fn dtype(name: &Value) -> Dtype {
    Dtype::parse(name.as_str().unwrap()).unwrap()
}

/// A tensor of the table.
fn array(x: &Value) -> Array {
    let shape: Vec<usize> = x["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let data = x["data"].as_array().unwrap();
    let whole = || data.iter().map(|x| x.as_i64().unwrap());
    let float = |x: &Value| x.as_f64().unwrap_or_else(|| x.as_str().unwrap().parse().unwrap());
    match dtype(&x["dtype"]) {
        Dtype::F32 => Array::from_vec(data.iter().map(|x| float(x) as f32).collect(), shape),
        dtype @ (Dtype::F64 | Dtype::F16 | Dtype::Bf16) => {
            Array::from_f64(dtype, &data.iter().map(float).collect::<Vec<_>>(), shape)
        }
        Dtype::I32 => Array::from_vec(whole().map(|x| x as i32).collect(), shape),
        Dtype::I64 => Array::from_vec(whole().collect(), shape),
        Dtype::U32 => Array::from_vec(whole().map(|x| x as u32).collect(), shape),
        Dtype::U8 => Array::from_vec(whole().map(|x| x as u8).collect(), shape),
        Dtype::Bool => Array::from_vec(data.iter().map(|x| x.as_bool().unwrap()).collect(), shape),
    }
    .unwrap()
}

/// The operation of that name.
fn operation(case: &Value, x: &[Tensor]) -> Tensor {
    match case["op"].as_str().unwrap() {
        "neg" => -x[0],
        "sign" => x[0].sign(),
        "not" => !x[0],
        "abs" => x[0].abs(),
        "floor" => x[0].floor(),
        "round" => x[0].round(),
        "sqrt" => x[0].sqrt(),
        "exp" => x[0].exp(),
        "log" => x[0].log(),
        "log1p" => x[0].log1p(),
        "expm1" => x[0].expm1(),
        "sin" => x[0].sin(),
        "tanh" => x[0].tanh(),
        "logistic" => x[0].sigmoid(),
        "erf" => x[0].erf(),
        "div" => x[0] / x[1],
        "pow" => x[0].pow(x[1]),
        "atan2" => x[0].atan2(x[1]),
        "add" => x[0] + x[1],
        "sub" => x[0] - x[1],
        "mul" => x[0] * x[1],
        "div_trunc" => x[0].div_trunc(x[1]),
        "rem" => x[0] % x[1],
        "floor_div" => x[0].floor_div(x[1]),
        "modulo" => x[0].modulo(x[1]),
        "max" if x.len() == 2 => x[0].maximum(x[1]),
        "min" if x.len() == 2 => x[0].minimum(x[1]),
        "and" => x[0] & x[1],
        "or" => x[0] | x[1],
        "xor" => x[0] ^ x[1],
        "shift_left" => x[0] << x[1],
        "shift_right_logical" => x[0].shift_right_logical(x[1]),
        "shift_right_arithmetic" => x[0].shift_right_arithmetic(x[1]),
        ">>" => x[0] >> x[1],
        "eq" => x[0].equal(x[1]),
        "ne" => x[0].not_equal(x[1]),
        "lt" => x[0].lt(x[1]),
        "le" => x[0].le(x[1]),
        "gt" => x[0].gt(x[1]),
        "ge" => x[0].ge(x[1]),
        "powi" => x[0].powi(case["n"].as_i64().unwrap() as i32),
        "sum" => x[0].sum_axes(-1),
        "prod" => x[0].prod_axes(-1),
        "max" => x[0].max_axes(-1),
        "min" => x[0].min_axes(-1),
        "mean" => x[0].mean_axes(-1),
        "any" => x[0].any_axes(-1),
        "all" => x[0].all_axes(-1),
        "argmax" => x[0].argmax(-1),
        "argmin" => x[0].argmin(-1),
        "cumsum" => x[0].cumsum(-1, false),
        "cumprod" => x[0].cumprod(-1, false),
        "cummax" => x[0].cummax(-1, false),
        "sort" => x[0].sort(-1),
        "argsort" => x[0].argsort(-1),
        "matmul" => x[0].matmul(x[1]),
        "take" => {
            let taken = x[0].take(x[1], 0, Outside::Fill);
            taken.equal(i32::MIN).select(-7, taken)
        }
        "take_missing" => x[0].take(x[1], 0, Outside::Fill),
        "scatter_add" => x[0].scatter_add(x[1], x[2]),
        "one_hot" => x[0].one_hot(200, Dtype::I32),
        // JAX's wraps around.
        "iota" if x[0].dtype() == Dtype::U8 => arange(300, Dtype::I32).convert(Dtype::U8) + x[0],
        "iota" => arange(300, x[0].dtype()) + x[0],
        "convert" => x[0].convert(dtype(&case["to"])),
        other => panic!("`{other}` is no operation of the table"),
    }
}

/// The distance of neighbours from 1 up.
fn unit(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => f64::from(f16::EPSILON),
        Dtype::Bf16 => f64::from(bf16::EPSILON),
        _ => 0.0,
    }
}

/// Equal, zeros of both signs and any NaN too; of means, up to the order of the sum. Functions and sums in 16
/// bits may round to the other neighbour.
fn same(op: &Value, operands: &[Array], got: &Array, want: &Array) -> bool {
    if !want.dtype().is_float() {
        return got == want;
    }
    let largest = operands.iter().flat_map(Array::to_f64).fold(0.0, |m: f64, x| m.max(x.abs()));
    let most = if op == "mean" { 1e-6 * largest } else { 0.0 };
    let unit = if EXACT.iter().any(|exact| op == exact) { 0.0 } else { unit(want.dtype()) };
    let close = |(g, w): (f64, f64)| {
        g == w
            || (g.is_nan() && w.is_nan())
            || (g - w).abs() <= most.max(unit * w.abs().max(f64::from(f16::MIN_POSITIVE)))
    };
    got.aval() == want.aval() && got.to_f64().into_iter().zip(want.to_f64()).all(close)
}

/// What is the same to the last bit in 16 bits, too.
const EXACT: [&str; 16] = [
    "neg",
    "sign",
    "abs",
    "floor",
    "round",
    "add",
    "sub",
    "mul",
    "div",
    "max",
    "min",
    "cummax",
    "sort",
    "iota",
    "convert",
    "take_missing",
];

#[test]
fn what_jax_computes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dtypes/table.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() > 350, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for device in devices().iter().copied() {
        for case in &cases {
            let operands: Vec<Array> = case["operands"].as_array().unwrap().iter().map(array).collect();
            let (of, want) = (case.clone(), array(&case["result"]));
            let f = jit(move |x: Vec<Tensor>| operation(&of, &x)).device(device);
            let got = f(&operands).unwrap_or_else(|e| panic!("{device} {}: {e}", case["op"]));
            if !same(&case["op"], &operands, &got, &want) {
                wrong.push(format!("{device} {} of {operands:?}: {got}, not {want}", case["op"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The same cases on every run; more of them with `PROPTEST_CASES`, others with `PROPTEST_RNG_SEED`.
fn config(cases: u32) -> ProptestConfig {
    let given = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let cases = given("PROPTEST_CASES").map_or(cases, |n: u64| n as u32);
    let rng_seed = RngSeed::Fixed(given("PROPTEST_RNG_SEED").unwrap_or(11));
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// Any bits as numbers of that type, small ones among them.
fn numbers(dtype: Dtype, shape: &[usize], seed: &mut u64) -> Array {
    let mut bits = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let bits = (*seed >> 20) as i64 ^ (*seed << 40) as i64;
        if *seed >> 62 == 0 { bits & 7 } else { bits }
    };
    let n = shape.iter().product();
    match dtype {
        Dtype::I64 => Array::from_vec((0..n).map(|_| bits()).collect(), shape),
        Dtype::U32 => Array::from_vec((0..n).map(|_| bits() as u32).collect(), shape),
        Dtype::U8 => Array::from_vec((0..n).map(|_| bits() as u8).collect(), shape),
        _ => Array::from_vec((0..n).map(|_| bits() as i32).collect(), shape),
    }
    .unwrap()
}

/// A value of a program: a choice, and two earlier values.
type Step = (u8, u8, u8);

/// Vectors of one length, made by integer operations.
fn program(steps: &[Step], x: Tensor, y: Tensor) -> Vec<Tensor> {
    let mut values = vec![x, y];
    for (choice, a, b) in steps {
        let of = |i: &u8| values[usize::from(*i) % values.len()];
        let (a, b) = (of(a), of(b));
        let b = b.convert(a.dtype());
        let made = match choice % 25 {
            0 => a + b,
            1 => a - b,
            2 => a * b,
            3 => a.div_trunc(b),
            4 => a % b,
            5 => a.floor_div(b) + a.modulo(b),
            6 => a & b,
            7 => a | !b,
            8 => a ^ b,
            9 => a << b.and(15),
            10 => a.shift_right_logical(b),
            11 => a.shift_right_arithmetic(b.and(63)),
            12 => a.maximum(b),
            13 => a.minimum(-b),
            14 => a.lt(b).select(a.sign(), b.abs()),
            15 => a.powi(i32::from(*choice / 25) % 4),
            16 => a + a.sum().convert(a.dtype()),
            17 => b - a.max() + a.min(),
            18 => a.cumsum(0, *choice > 100),
            19 => b.sort(0) + a.argsort(0).convert(a.dtype()),
            20 => a.take(b, 0, Outside::Wrap),
            21 => a.convert(Dtype::F32).convert(b.dtype()) ^ a,
            22 => a + a.ge(b).or(a.equal(3)).convert(a.dtype()) * b.prod().convert(a.dtype()),
            _ => a.convert(INTEGERS[usize::from(*choice / 25) % 4]),
        };
        values.push(made);
    }
    values
}

proptest! {
    #![proptest_config(config(40))]

    /// Programs of integers have the same bits on every device, strict or not, alone and in a batch.
    #[test]
    fn devices_agree(
        steps in prop::collection::vec(any::<Step>(), 1..14),
        (of, n, seed) in (0..4usize, prop::sample::select(vec![0usize, 1, 3, 7, 33]), any::<u64>()),
    ) {
        let (mut seed, steps) = (seed, std::rc::Rc::new(steps));
        let batch = |dtype, seed: &mut u64| numbers(dtype, &[3, n], seed);
        let (xs, ys) = (batch(INTEGERS[of], &mut seed), batch(INTEGERS[(of + 1) % 4], &mut seed));
        let run = |device, numerics| {
            let own = std::rc::Rc::clone(&steps);
            let f = move |x: Tensor, y: Tensor| program(&own, x, y);
            let options = Options { device, numerics, ..Options::default() };
            jit(vmap(f, (0, 0))).options(options)(&xs, &ys).unwrap_or_else(|e| panic!("{device}: {e}"))
        };
        let want = run(Device::Interpreter, Numerics::Fast);
        for i in 0..3 {
            let row = |a: &Array| jit(move |x: Tensor| x.slice_axis(0, i, i + 1).squeeze(0)).device(Device::Interpreter)(a).unwrap();
            let own = std::rc::Rc::clone(&steps);
            let one = jit(move |x: Tensor, y: Tensor| program(&own, x, y)).device(Device::Interpreter)(&row(&xs), &row(&ys)).unwrap();
            for (all, one) in want.iter().zip(&one) {
                prop_assert_eq!(&row(all), one);
            }
        }
        prop_assert_eq!(&run(Device::Cpu, Numerics::Strict), &want);
        for device in devices().iter().copied().skip(1) {
            prop_assert_eq!(&run(device, Numerics::Fast), &want, "{}", device);
        }
    }
}

/// Loops and branches carry every type; a generator of random numbers is one.
#[test]
fn loops_carry_integers() {
    // Marsaglia, "Xorshift RNGs", 2003.
    let next = |x: Tensor| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 17);
        x ^ (x << 5)
    };
    let mut want = 2463534242u32;
    for _ in 0..100 {
        want ^= want << 13;
        want ^= want >> 17;
        want ^= want << 5;
    }
    let seeds = Array::from_vec(vec![2463534242u32, 1, 77], [3]).unwrap();
    for device in [Device::Interpreter, Device::Cpu] {
        let generator = move |seed: Tensor| fori_loop(0, 100, move |_: Tensor, x: Tensor| next(x), seed);
        assert_eq!(jit(generator).device(device)(&Array::from(2463534242u32)).unwrap().item::<u32>().unwrap(), want);
        let all = jit(vmap(generator, 0)).device(device)(&seeds).unwrap();
        assert_eq!(all.elements::<u32>().unwrap()[0], want);

        // A scan whose carry and steps are bytes, and a while over 64 bits.
        let sums = jit(|x: Tensor| scan(|c: Tensor, x: Tensor| (c + x, c * x), zeros([], Dtype::U8), x)).device(device);
        let (last, products) = sums(&Array::from_vec(vec![200u8, 100, 7], [3]).unwrap()).unwrap();
        assert_eq!(last.item::<u8>().unwrap(), 51);
        assert_eq!(products.elements::<u8>().unwrap(), [0, 32, 52]);
        let doubled =
            jit(|x: Tensor| while_loop(|x: Tensor| x.lt(1i64 << 40), |x: Tensor| x * 3 + 1, x)).device(device);
        let (mut x, y) = (5i64, doubled(&Array::from(5i64)).unwrap());
        while x < 1 << 40 {
            x = x * 3 + 1;
        }
        assert_eq!(y.item::<i64>().unwrap(), x);
        // Indices of branches out of range mean the nearest.
        let one = |k: i32| move |x: Tensor| x + k;
        for index in [Array::from(1u8), Array::from(u32::MAX), Array::from(i64::MAX), Array::from(1i64)] {
            let f = jit(move |i: Tensor, x: Tensor| switch(i, [one(10), one(20)], (x,))).device(device);
            assert_eq!(f(&index, &Array::from(2i32)).unwrap().item::<i32>().unwrap(), 22);
        }
        let f = jit(move |i: Tensor, x: Tensor| switch(i, [one(0), one(1)], (x,))).device(device);
        assert_eq!(f(&Array::from(i64::MIN), &Array::from(2i32)).unwrap().item::<i32>().unwrap(), 2);
    }
}

/// Integers have no tangents: gradients flow around them.
#[test]
fn integers_have_no_derivative() {
    for dtype in INTEGERS {
        let f = move |x: Tensor| {
            let n = (x * 3.0).convert(dtype);
            (x * x * n.convert(x.dtype()) + (n * 2 + 1).convert(x.dtype())).sum()
        };
        for device in [Device::Interpreter, Device::Cpu] {
            let slope = jit(grad(f)).device(device)(&Array::from(1.5f64)).unwrap();
            assert_eq!(slope.item::<f64>().unwrap(), 2.0 * 1.5 * 4.0);
            let second = jit(grad(grad(f))).device(device)(&Array::from(1.5f64)).unwrap();
            assert_eq!(second.item::<f64>().unwrap(), 2.0 * 4.0);
        }
        let e = jit(grad(move |x: Tensor| x.convert(Dtype::F32)))(&Array::full([], Literal::new(dtype, 1.0)).unwrap());
        let text = e.unwrap_err().to_string();
        assert!(text.contains("only floats") || text.contains("float"), "{text}");
    }
}

#[track_caller]
fn refused(f: impl Fn(Tensor) -> Tensor + 'static, x: impl Into<Array>, parts: &[&str]) {
    let e = jit(f).device(Device::Interpreter)(&x.into()).unwrap_err();
    assert_eq!(e.kind(), "dtype", "{e}");
    for part in parts {
        assert!(e.to_string().contains(part), "no `{part}` in: {e}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    refused(|x| x + 300, 1u8, &["`add`", "300", "u8", "doesn't hold that number", "convert the tensor"]);
    refused(|x| x + -1, 1u32, &["`add`", "-1", "u32"]);
    refused(|x| x.maximum(1i64 << 40), 1i32, &["`max`", "1099511627776", "i32"]);
    refused(|x| x * 1.5, 1i64, &["`mul`", "1.5", "i64", "convert the tensor first"]);
    refused(|x| x + x.convert(Dtype::I32), 1u8, &["`add`", "u8[]", "i32[]"]);
    refused(|x| x.lt(x.convert(Dtype::U32)), 1i64, &["`lt`", "i64[]", "u32[]"]);
    refused(|x| x / 2, 1u32, &["`/` doesn't take u32", "floor_div", "convert"]);
    refused(|x| x.sin(), 1u8, &["`sin`", "u8[]"]);
    refused(|x| x.powi(-1), 1i64, &["`integer_pow`", "i64[]"]);
    refused(
        |x| x.take(x, 0, Outside::Fill),
        Array::from_vec(vec![1.0f32], [1]).unwrap(),
        &["`take`", "integers", "f32[1]"],
    );
}

/// A literal takes the tensor's type where that holds it; shifts by a negative number leave nothing.
#[test]
fn literals_take_the_type_of_the_tensor() {
    fn run<T: Element>(f: impl Fn(Tensor) -> Tensor + 'static, x: T) -> T {
        jit(f).device(Device::Cpu)(&Array::from(x)).unwrap().item().unwrap()
    }
    assert_eq!(run(|x| (x + 55) * 2u8, 200u8), 255u8.wrapping_mul(2));
    assert_eq!(run(|x| 3 - x, 5u32), 3u32.wrapping_sub(5));
    assert_eq!(run(|x| x + i64::MAX, 1i64), i64::MIN);
    assert_eq!(run(|x| x * 2i64 + 1u32, 1.5f32), 4.0);
    assert_eq!(run(|x| (x << -1) + (x >> -1), -8i32), -1);
    assert_eq!(run(|x| (x << 64) + (x >> 64), -8i64), -1);
    assert_eq!(run(|x| (x << 8) + (x >> 8), 255u8), 0);
    assert_eq!(run(|x| x.clamp(10, 20u8), 7u8), 10);
}
