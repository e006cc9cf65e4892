//! Random numbers against those JAX draws (`fixtures/draws.json`), on every device; and what keys are for.

use egrad::random::{self, Key};
use egrad::*;
use serde_json::Value;

/// The devices of this machine.
fn devices() -> Vec<Device> {
    let vulkan = std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some();
    let mut devices = vec![Device::Interpreter, Device::Cpu];
    devices.extend(vulkan.then_some(Device::Vulkan));
    devices
}

fn on(device: Device, numerics: Numerics) -> Options {
    Options { device, numerics, ..Options::default() }
}

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("fixtures/draws.json")).unwrap()
}

/// What a case draws, of its key.
fn draw(case: &Value, key: Key) -> Tensor {
    let params = &case["params"];
    let number = |name: &str| params[name].as_f64().unwrap();
    let int = |name: &str| params[name].as_i64().unwrap() as i32;
    let n = |name: &str| params[name].as_u64().unwrap() as usize;
    let axis = || params["axis"].as_i64().unwrap() as isize;
    let shape: Vec<usize> = case["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let dtype = match case["dtype"].as_str() {
        None => Dtype::I32,
        Some(name) => Dtype::ALL.into_iter().find(|d| d.to_string() == name).unwrap(),
    };
    let scalar = |name: &str| Tensor::from(number(name)).convert(dtype);
    let list = |name: &str| {
        let numbers: Vec<f64> = params[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        Tensor::from(&Array::from_f64(dtype, &numbers, [numbers.len()]).unwrap())
    };
    // The words, by way of a raw key.
    let both = |key: Key| random::key_data(random::wrap_key_data(random::key_data(key)));
    let matrix = || arange(24, Dtype::I32).reshape([4, 6]);
    let logits = || {
        let values: Vec<f64> = (0..12).map(|i| -2.0 + f64::from(i) * 4.0 / 11.0).collect();
        Tensor::from(&Array::from_f64(dtype, &values, [3, 4]).unwrap())
    };
    match case["op"].as_str().unwrap() {
        "glorot_uniform" => init::glorot_uniform(key, shape, dtype),
        "glorot_normal" => init::glorot_normal(key, shape, dtype),
        "lecun_uniform" => init::lecun_uniform(key, shape, dtype),
        "lecun_normal" => init::lecun_normal(key, shape, dtype),
        "he_uniform" => init::he_uniform(key, shape, dtype),
        "he_normal" => init::he_normal(key, shape, dtype),
        "init_uniform" => init::uniform(key, shape, dtype, number("scale")),
        "init_normal" => init::normal(key, shape, dtype, number("deviation")),
        "init_truncated_normal" => init::truncated_normal(key, shape, dtype, number("deviation"), -1.0, 1.5),
        "key" => both(key),
        "split" => both(random::split_many(key, n("n"))),
        "fold_in" => both(random::fold_in(key, params["number"].as_u64().unwrap() as u32)),
        "bits" => random::bits(key, shape),
        "uniform" => random::uniform(key, shape, dtype),
        "uniform_between" => random::uniform_between(key, shape, dtype, number("low"), number("high")),
        "normal" => random::normal(key, shape, dtype),
        "exponential" => random::exponential(key, shape, dtype),
        "gumbel" => random::gumbel(key, shape, dtype),
        "laplace" => random::laplace(key, shape, dtype),
        "logistic" => random::logistic(key, shape, dtype),
        "cauchy" => random::cauchy(key, shape, dtype),
        "truncated_normal" => random::truncated_normal(key, shape, dtype, number("low"), scalar("high")),
        "bernoulli" => random::bernoulli(key, scalar("p"), shape).convert(Dtype::I32),
        "rademacher" => random::rademacher(key, shape, dtype),
        "gamma" => random::gamma(key, number("a"), shape, dtype),
        "loggamma" => random::loggamma(key, scalar("a"), shape, dtype),
        "gamma_slope" => grad(move |a: Tensor| random::gamma(key, a, shape.clone(), dtype).sum())(scalar("a")),
        "loggamma_slope" => grad(move |a: Tensor| random::loggamma(key, a, shape.clone(), dtype).sum())(scalar("a")),
        "beta" => random::beta(key, scalar("a"), number("b"), shape, dtype),
        "dirichlet" => random::dirichlet(key, list("alpha"), shape),
        "categorical" if shape.len() == 1 => random::categorical(key, logits(), axis()),
        "categorical" => random::categorical_with_shape(key, logits(), axis(), shape),
        "choice_weighted" => random::choice_weighted(key, arange(4, Dtype::I32), list("p"), shape),
        "randint" => random::randint(key, shape, int("low"), int("high")),
        "permutation" => random::permutation(key, n("n")),
        "shuffle" => random::shuffle(key, matrix(), axis()),
        "shuffle_independent" => random::shuffle_independent(key, matrix(), axis()),
        "choice" => random::choice(key, matrix(), shape),
        "choice_without_replacement" => random::choice_without_replacement(key, arange(24, Dtype::I32), shape),
        other => panic!("no draw {other}"),
    }
}

/// How far a draw may be from JAX's: relative to its size, and absolutely, in units of the element
/// type's last place at 1; 0 is bit for bit.
fn tolerance(case: &Value, dtype: Dtype) -> (f64, f64) {
    // JAX's log1p in f64 is off by tens of last places around -0.4: of exponential(key(2), [5, 3])
    // element 11 is 0.50542048130153574 exactly, here 0.5054204813015357, there 0.5054204813015313.
    let log1p = if dtype == Dtype::F64 { 256.0 } else { 16.0 };
    let op = case["op"].as_str().unwrap();
    if dtype.computed() != dtype {
        return tolerance_of_halves(op);
    }
    match op {
        "uniform" | "rademacher" => (0.0, 0.0),
        "uniform_between" => (1.0, 0.001),
        "normal" | "exponential" | "laplace" => (log1p, 0.128),
        // Logarithms near 1 and their differences near 0, where an error of one is absolute.
        "gumbel" => (8.0, 2.0),
        "logistic" => (log1p, 2.0),
        // A tangent near its poles.
        "cauchy" => (64.0, 0.064),
        // Differences of error functions that are close.
        op if op.ends_with("truncated_normal") => (64.0, 1.0),
        op if initializer(op) => (64.0, 0.064),
        // Logarithms of numbers near 1.
        "loggamma" => (64.0, 8.0),
        "gamma" | "beta" | "dirichlet" => (64.0, 0.064),
        // JAX takes what is below the smallest normal number for it; here subnormal numbers count. Of
        // this shape most are below that in f32.
        "loggamma_slope" if dtype == Dtype::F32 && case["params"]["a"] == 0.01 => (1e5, 2.0),
        "gamma_slope" | "loggamma_slope" => (2000.0, 2.0),
        other => panic!("{other} draws no floats"),
    }
}

/// The same for floats of 16 bits, of which each operation rounds in JAX as here.
fn tolerance_of_halves(op: &str) -> (f64, f64) {
    match op {
        "uniform" | "uniform_between" | "rademacher" | "normal" | "exponential" | "laplace" => (0.0, 0.0),
        // JAX's logarithms of f16 are off by one now and then, and its subnormal numbers are 0.
        "gumbel" | "logistic" => (2.0, 0.0),
        "loggamma" | "gamma" | "beta" | "dirichlet" => (8.0, 1e-30),
        // As near as the error function of the bounds, which lie at 0.001.
        op if op.ends_with("truncated_normal") => (3.0, 0.002),
        // Of draws that are as near as that.
        "gamma_slope" | "loggamma_slope" => (64.0, 0.0),
        _ => (1.0, 0.0),
    }
}

/// How the draw differs from the case's, or `None`.
fn difference(case: &Value, got: &Array) -> Option<String> {
    let values: Vec<u64> = case["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_i64().map_or_else(|| x.as_u64().unwrap(), |x| x as u64))
        .collect();
    let shape: Vec<usize> = case["result"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    if got.shape()[..] != shape[..] {
        return Some(format!("the shape is {}", got.shape()));
    }
    let dtype = got.dtype();
    let (got, want, last): (Vec<f64>, Vec<f64>, f64) = match dtype {
        Dtype::F32 => {
            let want = values.iter().map(|bits| f64::from(f32::from_bits(*bits as u32))).collect();
            (got.to_f64(), want, f64::from(f32::EPSILON))
        }
        Dtype::F64 => (got.to_f64(), values.iter().map(|bits| f64::from_bits(*bits)).collect(), f64::EPSILON),
        Dtype::F16 => {
            let want = values.iter().map(|bits| f16::from_bits(*bits as u16).to_f64()).collect();
            (got.to_f64(), want, f16::EPSILON.to_f64())
        }
        Dtype::Bf16 => {
            let want = values.iter().map(|bits| bf16::from_bits(*bits as u16).to_f64()).collect();
            (got.to_f64(), want, bf16::EPSILON.to_f64())
        }
        _ => {
            let integers = |x: &Array| match x.as_slice::<u32>() {
                Some(words) => words.to_vec(),
                None => x.as_slice::<i32>().unwrap().iter().map(|x| *x as u32).collect(),
            };
            let got = integers(got);
            let at = got.iter().zip(&values).position(|(x, y)| *x != *y as u32)?;
            return Some(format!("element {at} is {}, not {}", got[at], values[at] as u32));
        }
    };
    let (relative, absolute) = tolerance(case, dtype);
    let most = |y: f64| last * absolute.max(relative * y.abs());
    let close = |x: f64, y: f64| x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= most(y);
    // Whether a gamma number is accepted may depend on a rounding to 16 bits.
    let op = case["op"].as_str().unwrap();
    let mut free = if dtype.computed() != dtype && loops(op) { got.len() / 8 } else { 0 };
    let mut far = |x: f64, y: f64| {
        let far = !close(x, y);
        far && free.checked_sub(1).map(|left| free = left).is_none()
    };
    let at = got.iter().zip(&want).position(|(x, y)| far(*x, *y))?;
    let off = (got[at] - want[at]).abs() / last / want[at].abs();
    Some(format!("element {at} is {:e}, not {:e}: {off:.1} last places", got[at], want[at]))
}

/// Draws every case whose operation is one of these.
#[track_caller]
fn check(ops: impl Fn(&str) -> bool, devices: &[(Device, Numerics)]) {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for case in cases().into_iter().filter(|c| ops(c["op"].as_str().unwrap())) {
        for (device, numerics) in devices {
            let one = case.clone();
            let draws = jit(move |key: Key| draw(&one, key)).options(on(*device, *numerics));
            let mut label = case.clone();
            label.as_object_mut().unwrap().remove("values");
            match draws(&random::key(case["seed"].as_u64().unwrap())) {
                Ok(got) => wrong.extend(difference(&case, &got).map(|d| format!("{device} {label}: {d}"))),
                Err(e) => wrong.push(format!("{device} {label}: {e}")),
            }
            checked += 1;
        }
    }
    assert!(checked > 0);
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
}

fn everywhere() -> Vec<(Device, Numerics)> {
    let fast = devices().into_iter().map(|d| (d, Numerics::Fast));
    fast.chain([(Device::Cpu, Numerics::Strict)]).collect()
}

/// Made by loops, which not every device has.
fn loops(op: &str) -> bool {
    ["gamma", "loggamma", "gamma_slope", "loggamma_slope", "beta", "dirichlet"].contains(&op)
}

fn initializer(op: &str) -> bool {
    ["glorot", "lecun", "he", "init"].contains(&op.split('_').next().unwrap())
}

#[test]
fn initializers() {
    check(initializer, &everywhere());
}

#[test]
fn keys_and_bits() {
    check(|op| ["key", "split", "fold_in", "bits"].contains(&op), &everywhere());
}

#[test]
fn floats() {
    let ops = [
        "uniform",
        "uniform_between",
        "normal",
        "exponential",
        "gumbel",
        "laplace",
        "logistic",
        "cauchy",
        "truncated_normal",
    ];
    check(|op| ops.contains(&op), &everywhere());
}

#[test]
fn whole_numbers() {
    let ops = ["bernoulli", "rademacher", "randint", "categorical", "permutation", "shuffle", "shuffle_independent"];
    check(|op| ops.contains(&op) || op.starts_with("choice"), &everywhere());
}

#[test]
fn gammas() {
    check(loops, &[(Device::Interpreter, Numerics::Fast), (Device::Cpu, Numerics::Fast)]);
}

/// What the function draws of one key.
fn run(device: Device, f: impl Fn(Key) -> Tensor + 'static) -> Array {
    jit(f).options(on(device, Numerics::Fast))(&random::key(11)).unwrap()
}

#[test]
fn batches_and_loops_draw_as_single_keys() {
    fn one(key: Key) -> Tensor {
        random::normal(key, [7], Dtype::F32)
    }
    for device in devices() {
        let batch = run(device, |key: Key| vmap(one, 0)(random::split_many(key, 5)));
        let each = |key: Key| {
            let keys = random::split_many(key, 5);
            stack((0..5).map(|i| one(keys.at(i))).collect::<Vec<_>>(), 0)
        };
        assert_eq!(batch, run(device, each), "{device}");
        let split = |key: Key| stack(random::split::<Tensor, 5>(key).map(one), 0);
        assert_eq!(batch, run(device, split), "{device}");
        if device == Device::Vulkan {
            continue;
        }
        let steps = |key: Key| scan(|n: Tensor, key: Key| (n + 1, one(key)), full([], 0), random::split_many(key, 5)).1;
        assert_eq!(batch, run(device, steps), "{device}");
        // Gammas are loops of their own, which end at different times.
        let gammas = |key: Key| random::gamma(key, 0.3, [6], Dtype::F64);
        let batch = run(device, move |key: Key| vmap(gammas, 0)(random::split_many(key, 3)));
        let split = move |key: Key| stack(random::split::<Tensor, 3>(key).map(gammas), 0);
        assert_eq!(batch, run(device, split), "{device}");
    }
}

#[test]
fn host_and_traced_keys_are_the_same() {
    let words = |keys: Vec<Key<Array>>| {
        keys.into_iter().map(|key| random::key_data(key).as_slice::<u32>().unwrap().to_vec()).collect::<Vec<_>>()
    };
    let host: [Key<Array>; 3] = random::split(random::fold_in(random::key(11), 6));
    let traced =
        jit(|key: Key| random::split::<Tensor, 3>(random::fold_in(key, full([], 6))))(&random::key(11)).unwrap();
    assert_eq!(words(host.into()), words(traced.into()));
}

#[test]
fn parameters_have_derivatives() {
    // Σ (m + s x), and its derivatives by m and s: n and Σ x.
    let sum = |m: Tensor, s: Tensor, key: Key| (m + s * random::normal(key, [9], Dtype::F64)).sum();
    let at = (Array::from(0.5f64), Array::from(2.0f64), random::key(11));
    for device in [Device::Interpreter, Device::Cpu] {
        let (by_m, by_s) =
            jit(grad_argnums(sum, (Arg::<0>, Arg::<1>))).options(on(device, Numerics::Fast))(&at.0, &at.1, &at.2)
                .unwrap();
        let drawn = run(device, |key: Key| random::normal(key, [9], Dtype::F64).sum()).item::<f64>().unwrap();
        assert_eq!(by_m.item::<f64>().unwrap(), 9.0);
        assert!((by_s.item::<f64>().unwrap() - drawn).abs() < 1e-13);
    }
}

/// Asserts that the trace fails at that line, with this message.
#[track_caller]
fn refused<T>(result: Result<T>, line: u32, expected: &str) {
    let Err(error) = result else { panic!("no error") };
    assert_eq!(format!("{}: {}", error.kind(), error.report().message), expected);
    let place = format!("--> {}:{line}", file!());
    assert!(error.to_string().contains(&place), "{error}");
}

#[test]
#[rustfmt::skip]
fn what_is_wrong_is_said_at_its_line() {
    macro_rules! at {
        ($f:expr, $expected:literal) => { refused(trace($f, &(random::key(0),)), line!(), $expected) };
    }
    at!(|key: Key| random::uniform(key, [2], Dtype::I32), "dtype: `uniform` draws floats, not i32");
    at!(|key: Key| random::normal(random::split_many(key, 2), [2], Dtype::F32), "shape: `normal` takes one key, and this is a batch of them, of shape [2]: `vmap` goes over it, `Key::at` picks one");
    at!(|key: Key| random::uniform_between(key, [2], Dtype::F32, 0.0, zeros([3], Dtype::F32)), "shape: `uniform_between`: high, f32[3], doesn't broadcast to the shape drawn, [2]");
    at!(|key: Key| random::uniform_between(key, [2], Dtype::F32, zeros([], Dtype::F64), 1.0), "dtype: `uniform_between`: low must be f32, not f64[]");
    at!(|key: Key| random::fold_in(key, zeros([], Dtype::F32)).into_words()[0], "dtype: `fold_in` takes an integer scalar, u32[] or i32[], not f32[]");
    at!(|key: Key| random::wrap_key_data(random::key_data(key).convert(Dtype::I32)).into_words()[0], "dtype: `wrap_key_data` takes two words of u32 a key along the last axis, not i32[2]");
    at!(|key: Key| random::wrap_key_data(key.into_words()[0]).into_words()[0], "shape: `wrap_key_data` takes two words of u32 a key along the last axis, not u32[]");
    at!(|key: Key| random::bits(key, [1 << 16, 1 << 16]), "shape: `bits` of shape [65536,65536]: no more than 4294967295 elements are drawn at once");
}

/// The line before the first of the two that draw with one key.
const TWICE: u32 = line!() + 7;

/// Run by `keys_used_twice_are_reported`, for what it says on standard error.
#[test]
#[ignore]
fn draws_twice() {
    let twice = |key: Key| {
        let x = random::normal(key, [3], Dtype::F32);
        x + random::uniform(key, [3], Dtype::F32)
    };
    trace(twice, &(random::key(0),)).unwrap();
    let apart = |key: Key| {
        let [a, b] = random::split(key);
        random::normal(a, [3], Dtype::F32) + random::laplace(b, [3], Dtype::F32)
    };
    trace(apart, &(random::key(0),)).unwrap();
    // One branch alone runs.
    let branches = |key: Key| {
        let draw = |key: Key| random::gumbel(key, [], Dtype::F32);
        cond(random::key::<Tensor>(1).into_words()[0].lt(1), draw, move |key: Key| 2.0 * draw(key), (key,))
    };
    trace(branches, &(random::key(0),)).unwrap();
}

#[test]
fn keys_used_twice_are_reported() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "draws_twice", "--nocapture"])
        .output()
        .unwrap();
    assert!(child.status.success());
    let said = String::from_utf8(child.stderr).unwrap();
    let said: Vec<&str> = said.lines().filter(|l| l.starts_with("egrad: the key")).collect();
    if !cfg!(debug_assertions) {
        assert!(said.is_empty(), "{said:?}");
        return;
    }
    assert_eq!(said.len(), 1, "{said:?}");
    let place = |line: u32| format!("{}:{line}", file!());
    assert!(said[0].contains(&format!("`uniform` uses at {}", place(TWICE + 1))), "{}", said[0]);
    assert!(said[0].contains(&format!("by `normal` at {}", place(TWICE))), "{}", said[0]);
}
