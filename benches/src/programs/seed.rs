//! The tutorial's programs: a straight line, and its squared error.
//!
//! Each comes as `vmap f` run op by op, as `jit(vmap f)`, and as `vmap(jit f)`. The last one is
//! itself compiled here; JAX's `vmap` around a `jit` is interpreted at every call.

use crate::data::normal;
use crate::program::{Program, case};
use egrad::{Array, Tensor, eager, grad, jit, vmap};

/// A linear model of one number.
pub fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor {
    w * x + b
}

/// The squared error of one example.
pub fn squared_error(params: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
    (predict(params, x) - y).powi(2)
}

fn mean_loss(params: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
    vmap(squared_error, (None, 0, 0))(params, x, y).mean()
}

fn line() -> (Array, Array) {
    (Array::from(1.5f32), Array::from(-0.25f32))
}

pub(super) fn programs() -> Vec<Program> {
    const N: usize = 10_000;
    let what = "w*x+b, batch 10k";
    let flops = 2 * N as u64;
    let mut all = vec![
        Program::new("seed_predict.vmap", what, flops, |options| {
            let (params, x) = (line(), normal([N], 1, 1.0));
            case!(options, eager(vmap(predict, (None, 0))), params, x)
        }),
        Program::new("seed_predict.jit_vmap", what, flops, |options| {
            let (params, x) = (line(), normal([N], 1, 1.0));
            case!(options, jit(vmap(predict, (None, 0))), params, x)
        }),
        Program::new("seed_predict.vmap_jit", what, flops, |options| {
            let (params, x) = (line(), normal([N], 1, 1.0));
            case!(options, jit(vmap(jit(predict), (None, 0))), params, x)
        }),
    ];
    for (label, n) in [("100k", 100_000), ("10m", 10_000_000)] {
        let what = "d(w*x+b-y)^2/d(w,b) per example";
        let flops = 5 * n as u64;
        let name = |order: &str| format!("seed_per_example_grad.{label}.{order}");
        all.push(Program::new(name("vmap"), what, flops, move |options| {
            let (params, x, y) = (line(), normal([n], 1, 1.0), normal([n], 2, 1.0));
            case!(options, eager(vmap(grad(squared_error), (None, 0, 0))), params, x, y)
        }));
        all.push(Program::new(name("jit_vmap"), what, flops, move |options| {
            let (params, x, y) = (line(), normal([n], 1, 1.0), normal([n], 2, 1.0));
            case!(options, jit(vmap(grad(squared_error), (None, 0, 0))), params, x, y)
        }));
        all.push(Program::new(name("vmap_jit"), what, flops, move |options| {
            let (params, x, y) = (line(), normal([n], 1, 1.0), normal([n], 2, 1.0));
            case!(options, jit(vmap(jit(grad(squared_error)), (None, 0, 0))), params, x, y)
        }));
    }
    const BATCH: usize = 100_000;
    let what = "gradient of the mean squared error, batch 100k";
    all.push(Program::new("seed_mean_grad.100k", what, 7 * BATCH as u64, |options| {
        let (params, x, y) = (line(), normal([BATCH], 1, 1.0), normal([BATCH], 2, 1.0));
        case!(options, jit(grad(mean_loss)), params, x, y)
    }));
    all
}
