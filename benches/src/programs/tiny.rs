//! What a call costs, and what long programs cost to compile.

use crate::data::normal;
use crate::program::{Program, case};
use egrad::{Array, Tensor, eager, grad, jit};

fn sinx(x: Tensor) -> Tensor {
    x.sin() * x
}

/// n operations, one after another.
fn chain(x: Tensor, n: usize) -> Tensor {
    (0..n / 4).fold(x, |x, _| (x * 1.01).sin() + 0.1 * x)
}

/// Elements of the chain's operand.
const SIZE: usize = 16;

pub(super) fn programs() -> Vec<Program> {
    let what = "sin(x)*x on a scalar";
    let flops = |n: u64| 3 * n / 4 * SIZE as u64;
    vec![
        Program::new("tiny.sinx_jit", what, 1, |options| {
            let x = Array::from(0.7f32);
            case!(options, jit(sinx), x)
        }),
        Program::new("tiny.sinx_eager", what, 1, |options| {
            let x = Array::from(0.7f32);
            case!(options, eager(sinx), x)
        }),
        Program::new("tiny.sinx_jit_grad", what, 1, |options| {
            let x = Array::from(0.7f32);
            case!(options, jit(grad(sinx)), x)
        }),
        Program::new("tiny.sinx_eager_grad", what, 1, |options| {
            let x = Array::from(0.7f32);
            case!(options, eager(grad(sinx)), x)
        }),
        Program::new("tiny.chain100_jit", "100 elementwise operations on 16 elements", flops(100), |options| {
            let x = normal([SIZE], 33, 1.0);
            case!(options, jit(|x: Tensor| chain(x, 100)), x)
        }),
        Program::new("tiny.chain100_eager", "the same without jit", flops(100), |options| {
            let x = normal([SIZE], 33, 1.0);
            case!(options, eager(|x: Tensor| chain(x, 100)), x)
        }),
        Program::new("tiny.args100_jit", "sum of 100 scalar arguments", 99, |options| {
            let x: Vec<Array> = (0..100).map(|i| Array::from(i as f32)).collect();
            let sum = |x: Vec<Tensor>| x.into_iter().reduce(|a, b| a + b).expect("100 arguments");
            case!(options, jit(sum), x)
        }),
        Program::new("compile.chain1000", "1000 elementwise operations on 16 elements", flops(1000), |options| {
            let x = normal([SIZE], 33, 1.0);
            case!(options, jit(|x: Tensor| chain(x, 1000)), x)
        }),
    ]
}
