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
    let dtype = case["dtype"].as_str().map_or(Dtype::I32, |d| if d == "f32" { Dtype::F32 } else { Dtype::F64 });
    let scalar = |name: &str| Tensor::from(number(name)).convert(dtype);
    let list = |name: &str| {
        let numbers: Vec<f64> = params[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        Tensor::from(&Array::from_f64(dtype, &numbers, [numbers.len()]).unwrap())
    };
    let both = |key: Key| stack(key.into_words(), -1);
    let matrix = || arange(24, Dtype::I32).reshape([4, 6]);
    let logits = || {
        let values: Vec<f64> = (0..12).map(|i| -2.0 + f64::from(i) * 4.0 / 11.0).collect();
        Tensor::from(&Array::from_f64(dtype, &values, [3, 4]).unwrap())
    };
    match case["op"].as_str().unwrap() {
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

/// How far a draw may be from JAX's, relative to its size and absolutely, in units of the element
/// type's last place at 1; 0 is bit for bit.
fn tolerance(op: &str) -> f64 {
    match op {
        "uniform" | "rademacher" => 0.0,
        "uniform_between" => 1.0,
        "normal" | "exponential" | "gumbel" | "laplace" => 8.0,
        // A tangent near its poles; a difference of logarithms.
        "cauchy" | "logistic" => 64.0,
        // Differences of error functions that are close.
        "truncated_normal" => 64.0,
        "gamma" | "loggamma" | "beta" | "dirichlet" => 64.0,
        "gamma_slope" | "loggamma_slope" => 2000.0,
        other => panic!("{other} draws no floats"),
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
    let (got, want, last): (Vec<f64>, Vec<f64>, f64) = match got.dtype() {
        Dtype::F32 => {
            let want = values.iter().map(|bits| f64::from(f32::from_bits(*bits as u32))).collect();
            (got.to_f64(), want, f64::from(f32::EPSILON))
        }
        Dtype::F64 => (got.to_f64(), values.iter().map(|bits| f64::from_bits(*bits)).collect(), f64::EPSILON),
        _ => {
            let got = got.as_slice::<i32>().unwrap();
            let at = got.iter().zip(&values).position(|(x, y)| *x as u32 != *y as u32)?;
            return Some(format!("element {at} is {}, not {}", got[at] as u32, values[at] as u32));
        }
    };
    let most = tolerance(case["op"].as_str().unwrap()) * last;
    let close = |x: f64, y: f64| x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= most * y.abs().max(1e-3);
    let at = got.iter().zip(&want).position(|(x, y)| !close(*x, *y))?;
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
