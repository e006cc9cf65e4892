//! Single operations against the values, gradients and tangents JAX records for them
//! (`tests/vectors/*.json`), in `f64`. Whole programs are the vector runner's.

use egrad::*;
use serde_json::Value;
use std::fmt::Write;

type Attrs<'a> = &'a Value;

/// Cases whose rule in `rewrite` differs still: the gradient of a maximum that is NaN.
const WAITING: [&str; 2] = ["reduce_max_nan", "reduce_min_nan"];

/// The operation of that name on these operands, or `None` if there is none.
fn operation(op: &str, x: &[Tensor], attrs: Attrs) -> Option<Tensor> {
    let ints = |name: &str| -> Option<Vec<isize>> {
        attrs[name].as_array().map(|a| a.iter().map(|v| v.as_i64().unwrap() as isize).collect())
    };
    let sizes = |name: &str| -> Vec<usize> { ints(name).unwrap().into_iter().map(|i| i as usize).collect() };
    let int = |name: &str| attrs[name].as_i64();
    let axes = || ints("axes").unwrap_or((0..x[0].rank() as isize).collect());
    let keep = attrs["keepdims"].as_bool().unwrap_or(false);
    macro_rules! reduce {
        ($some:ident, $keepdims:ident) => {
            if keep { x[0].$keepdims(axes()) } else { x[0].$some(axes()) }
        };
    }
    Some(match op {
        "neg" => -x[0],
        "abs" => x[0].abs(),
        "sign" => x[0].sign(),
        "square" => x[0].square(),
        "reciprocal" => x[0].reciprocal(),
        "sqrt" => x[0].sqrt(),
        "rsqrt" => x[0].rsqrt(),
        "cbrt" => x[0].cbrt(),
        "exp" => x[0].exp(),
        "exp2" => x[0].exp2(),
        "expm1" => x[0].expm1(),
        "log" => x[0].log(),
        "log2" => x[0].log2(),
        "log10" => x[0].log10(),
        "log1p" => x[0].log1p(),
        "sin" => x[0].sin(),
        "cos" => x[0].cos(),
        "tan" => x[0].tan(),
        "sinh" => x[0].sinh(),
        "cosh" => x[0].cosh(),
        "tanh" => x[0].tanh(),
        "asin" => x[0].asin(),
        "acos" => x[0].acos(),
        "atan" => x[0].atan(),
        "erf" => x[0].erf(),
        "erfc" => x[0].erfc(),
        "erf_inv" => x[0].erf_inv(),
        "lgamma" => x[0].lgamma(),
        "digamma" => x[0].digamma(),
        "floor" => x[0].floor(),
        "ceil" => x[0].ceil(),
        "round" => x[0].round(),
        "asinh" => x[0].asinh(),
        "acosh" => x[0].acosh(),
        "atanh" => x[0].atanh(),
        "sinc" => x[0].sinc(),
        "sigmoid" => x[0].sigmoid(),
        "relu" => x[0].relu(),
        "softplus" => x[0].softplus(),
        "silu" => x[0].silu(),
        "log_sigmoid" => x[0].log_sigmoid(),
        "elu" => x[0].elu(attrs["alpha"].as_f64()?),
        "leaky_relu" => x[0].leaky_relu(attrs["slope"].as_f64()?),
        "gelu" if attrs["approximate"].as_bool()? => x[0].gelu_tanh(),
        "gelu" => x[0].gelu(),
        "integer_pow" => x[0].powi(int("n")? as i32),
        "is_finite" => x[0].is_finite(),
        "is_nan" => x[0].is_nan(),
        "stop_gradient" => x[0].stop_gradient(),
        "add" => x[0] + x[1],
        "sub" => x[0] - x[1],
        "mul" => x[0] * x[1],
        "div" => x[0] / x[1],
        "pow" => x[0].pow(x[1]),
        "max" => x[0].maximum(x[1]),
        "min" => x[0].minimum(x[1]),
        "mod" => x[0].modulo(x[1]),
        "floor_div" => x[0].floor_div(x[1]),
        "rem" => x[0] % x[1],
        "div_trunc" => x[0].div_trunc(x[1]),
        "atan2" => x[0].atan2(x[1]),
        "bit_xor" => x[0] ^ x[1],
        "shift_left" => x[0] << x[1],
        "shift_right_logical" => x[0].shift_right_logical(x[1]),
        "shift_right_arithmetic" => x[0] >> x[1],
        "hypot" => x[0].hypot(x[1]),
        "logaddexp" => x[0].logaddexp(x[1]),
        "copysign" => x[0].copysign(x[1]),
        "xlogy" => x[0].xlogy(x[1]),
        "eq" => x[0].equal(x[1]),
        "ne" => x[0].not_equal(x[1]),
        "lt" => x[0].lt(x[1]),
        "le" => x[0].le(x[1]),
        "gt" => x[0].gt(x[1]),
        "ge" => x[0].ge(x[1]),
        "and" => x[0] & x[1],
        "or" => x[0] | x[1],
        "not" => !x[0],
        "select" => x[0].select(x[1], x[2]),
        "clamp" => x[1].clamp(x[0], x[2]),
        "reduce_sum" => reduce!(sum_axes, sum_keepdims),
        "reduce_mean" => reduce!(mean_axes, mean_keepdims),
        "reduce_prod" => reduce!(prod_axes, prod_keepdims),
        "reduce_max" => reduce!(max_axes, max_keepdims),
        "reduce_min" => reduce!(min_axes, min_keepdims),
        "reduce_any" => reduce!(any_axes, any_keepdims),
        "reduce_all" => reduce!(all_axes, all_keepdims),
        "logsumexp" => reduce!(logsumexp_axes, logsumexp_keepdims),
        "reduce_var" if int("ddof").unwrap_or(0) == 0 => reduce!(var_axes, var_keepdims),
        "softmax" => x[0].softmax(int("axis")? as isize),
        "log_softmax" => x[0].log_softmax(int("axis")? as isize),
        "reshape" => x[0].reshape(sizes("shape")),
        "broadcast_to" => x[0].broadcast_to(sizes("shape")),
        "broadcast_in_dim" => x[0].broadcast_in_dim(sizes("shape"), ints("dims")?),
        "transpose" => x[0].transpose(ints("perm")?),
        "expand_dims" => x[0].expand_dims(ints("axes")?),
        "squeeze" => x[0].squeeze(ints("axes")?),
        "stack" => stack(x, int("axis")? as isize),
        "tile" => x[0].tile(sizes("reps")),
        "repeat" => x[0].repeat(int("n")? as usize, int("axis")? as isize),
        "tril" => x[0].tril(int("k").unwrap_or(0) as i32),
        "triu" => x[0].triu(int("k").unwrap_or(0) as i32),
        "one_hot" => x[0].one_hot(int("n")? as usize, Dtype::F64),
        "matmul" => x[0].matmul(x[1]),
        "dot_general" => {
            let pair = |name: &str, side: usize| -> Vec<isize> {
                attrs[name][side].as_array().unwrap().iter().map(|v| v.as_i64().unwrap() as isize).collect()
            };
            let (contract, batch) = ((pair("contract", 0), pair("contract", 1)), (pair("batch", 0), pair("batch", 1)));
            x[0].dot_general(x[1], contract, batch)
        }
        "einsum" => einsum(attrs["spec"].as_str()?, x),
        _ => return None,
    })
}

fn tensor(v: &Value) -> Array {
    let number = |v: &Value| match v {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::String(s) => s.parse().unwrap(),
        v => v.as_f64().unwrap(),
    };
    let data: Vec<f64> = v["data"].as_array().unwrap().iter().map(number).collect();
    let shape: Vec<usize> = v["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let dtype = match v["dtype"].as_str().unwrap() {
        "float" => Dtype::F64,
        "int" => Dtype::I32,
        "bool" => Dtype::Bool,
        other => panic!("dtype {other}"),
    };
    Array::from_f64(dtype, &data, shape).unwrap()
}

fn tensors(v: &Value) -> Vec<Array> {
    v.as_array().unwrap().iter().map(tensor).collect()
}

/// What is wrong with `got`, if anything.
fn compare(got: &Array, want: &Array) -> Option<String> {
    let (g, w) = (got.to_f64(), want.to_f64());
    if got.aval() != want.aval() {
        return Some(format!("{} is not {}", got.aval(), want.aval()));
    }
    let finite = |x: &&f64| x.is_finite();
    let largest = w.iter().filter(finite).fold(0.0f64, |m, x| m.max(x.abs()));
    let close = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-11 * largest.max(1e-300);
    let at = g.iter().zip(&w).position(|(a, b)| !close(*a, *b))?;
    Some(format!("element {at} is {} and should be {}", g[at], w[at]))
}

fn run_case(case: &Value, device: Device) -> Option<std::result::Result<(), String>> {
    let entry = case["entry"]["fn"].as_str()?;
    let function = &case["functions"][entry];
    let [equation] = function["body"].as_array()?.as_slice() else { return None };
    let params: Vec<&str> = function["params"].as_array()?.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let places: Option<Vec<usize>> =
        equation["args"].as_array()?.iter().map(|a| params.iter().position(|p| Some(*p) == a.as_str())).collect();
    let (places, op, attrs) = (places?, equation["op"].as_str()?.to_owned(), equation["attrs"].clone());
    let f = {
        let (places, op, attrs) = (places.clone(), op.clone(), attrs.clone());
        move |inputs: Vec<Tensor>| {
            let x: Vec<Tensor> = places.iter().map(|i| inputs[*i]).collect();
            operation(&op, &x, &attrs).expect("known")
        }
    };
    let inputs = tensors(&case["inputs"]);
    if inputs.is_empty() {
        return None;
    }
    let mut unknown = false;
    let probe = {
        let (unknown, inputs) = (&mut unknown, inputs.clone());
        // Whether the operation is offered is only known while tracing.
        let seen = std::rc::Rc::new(std::cell::Cell::new(false));
        let inside = std::rc::Rc::clone(&seen);
        let (places, op, attrs) = (places.clone(), op.clone(), attrs.clone());
        let traced = trace(
            move |inputs: Vec<Tensor>| {
                let x: Vec<Tensor> = places.iter().map(|i| inputs[*i]).collect();
                let out = operation(&op, &x, &attrs);
                inside.set(out.is_none());
                out.unwrap_or(inputs[0])
            },
            &(inputs,),
        );
        *unknown = seen.get();
        traced
    };
    if unknown {
        return None;
    }
    let mut wrong = String::new();
    let mut note = |what: &str, found: Option<String>| {
        if let Some(found) = found {
            let _ = write!(wrong, "\n    {what}: {found}");
        }
    };
    if let Err(e) = probe {
        return Some(Err(format!("\n    {e}")));
    }
    let f = std::rc::Rc::new(f);
    let forward = {
        let f = std::rc::Rc::clone(&f);
        jit(move |x: Vec<Tensor>| f(x)).device(device)
    };
    match forward(&inputs) {
        Ok(y) => note("output", compare(&y, &tensor(&case["outputs"][0]))),
        Err(e) => note("output", Some(e.to_string())),
    }
    let places_of = |v: &Value| -> Vec<usize> {
        v["wrt"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as usize).collect()
    };
    if case["vjp"].is_object() {
        let wrt = places_of(&case["vjp"]);
        let ct = tensor(&case["vjp"]["cotangents"][0]);
        let f = std::rc::Rc::clone(&f);
        let pull = jit(vjp(move |x: Vec<Tensor>| f(x))).device(device);
        match pull(&(inputs.clone(),), &ct) {
            Ok((_, (grads,))) => {
                for (i, want) in wrt.iter().zip(tensors(&case["vjp"]["grads"])) {
                    note(&format!("gradient {i}"), compare(&grads[*i], &want));
                }
            }
            Err(e) => note("gradient", Some(e.to_string())),
        }
    }
    if case["jvp"].is_object() && case["jvp"]["outputs"][0].is_object() {
        let wrt = places_of(&case["jvp"]);
        let mut tangents: Vec<Array> =
            inputs.iter().map(|x| Array::full(x.shape().clone(), Literal::new(x.dtype(), 0.0)).unwrap()).collect();
        for (i, t) in wrt.iter().zip(tensors(&case["jvp"]["tangents"])) {
            tangents[*i] = t;
        }
        let push = jit(jvp(move |x: Vec<Tensor>| f(x))).device(device);
        match push(&(inputs,), &(tangents,)) {
            Ok((_, t)) => note("tangent", compare(&t, &tensor(&case["jvp"]["outputs"][0]))),
            Err(e) => note("tangent", Some(e.to_string())),
        }
    }
    Some(if wrong.is_empty() { Ok(()) } else { Err(wrong) })
}

#[test]
fn operations_agree_with_jax_on_the_interpreter() {
    agree(Device::Interpreter);
}

#[test]
fn operations_agree_with_jax_on_the_cpu() {
    agree(Device::Cpu);
}

fn agree(device: Device) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let (mut passed, mut failures) = (0, String::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: Value = serde_json::from_str(&text).unwrap();
        for case in cases["cases"].as_array().unwrap() {
            if WAITING.contains(&case["name"].as_str().unwrap()) {
                continue;
            }
            match run_case(case, device) {
                None => {}
                Some(Ok(())) => passed += 1,
                Some(Err(wrong)) => {
                    let file = file.file_name().unwrap().to_string_lossy();
                    let _ = write!(failures, "\n{file} {}{wrong}", case["name"]);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{passed} passed; these did not:{failures}");
    assert!(passed >= 400, "only {passed} cases were found");
}

/// Long axes are cut into blocks: the same as one after the other, whatever is left over, in any place,
/// in both directions, and so is the derivative.
#[test]
fn long_cumulative_sums() {
    for (outer, n, inner) in [(1, 1024, 1), (1, 1025, 1), (2, 1536, 3), (1, 512 * 1030 + 7, 1)] {
        for reverse in [false, true] {
            let data: Vec<f32> = (0..outer * n * inner).map(|i| (i * 37 % 11) as f32 - 5.0).collect();
            let mut want = data.clone();
            let steps: Vec<usize> = if reverse { (0..n - 1).rev().collect() } else { (1..n).collect() };
            for (o, i, k) in steps.iter().flat_map(|k| (0..outer * inner).map(move |j| (j / inner, j % inner, *k))) {
                let at = |k: usize| (o * n + k) * inner + i;
                want[at(k)] += want[at(if reverse { k + 1 } else { k - 1 })];
            }
            let array = |data: &[f32]| Array::from_vec(data.to_vec(), [outer, n, inner]).unwrap();
            let x = array(&data);
            let y = jit(move |x: Tensor| x.cumsum(1, reverse))(&x).unwrap();
            assert_eq!(y.as_slice::<f32>().unwrap(), want, "{n}, {reverse}");
            // The derivative of c·cumsum(x) is the sum of c the other way: of c = x, as above.
            let other = jit(grad(move |x: Tensor, c: Tensor| (x.cumsum(1, !reverse) * c).sum()))(&x, &x).unwrap();
            assert_eq!(other.as_slice::<f32>().unwrap(), want, "{n}, {reverse}");
        }
    }
}
