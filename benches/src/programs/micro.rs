//! Single operations where a CPU compiler may be weak.

use crate::data::normal;
use crate::program::{Program, case};
use egrad::{Array, Dtype, Tensor, grad, iota, jit};

/// Per row the first position of its largest element: JAX's `argmax` along the last axis.
fn argmax(x: Tensor) -> Tensor {
    let shape = x.shape();
    let position = iota(shape.clone(), -1, Dtype::I32);
    x.ge(x.max_keepdims(-1)).select(position, shape[shape.rank() - 1] as i32).min_axes(-1)
}

/// The largest of each 2×2 window, weighted by c and summed. Windows that don't overlap are axes.
fn pooled(x: Tensor, c: Tensor) -> Tensor {
    let [n, h, w, channels] = POOLED;
    (x.reshape([n, h / 2, 2, w / 2, 2, channels]).max_axes([2, 4]) * c).sum()
}

const POOLED: [usize; 4] = [32, 28, 28, 32];

fn matrix() -> Array {
    normal([4096, 1024], 41, 1.0)
}

pub(super) fn programs() -> Vec<Program> {
    let n = 4096 * 1024;
    let pixels: u64 = POOLED.iter().map(|n| *n as u64).product();
    let what = "sum of a 4096x1024 array";
    vec![
        Program::new("micro.sum_all.4096x1024", what, n, |options| {
            let x = matrix();
            Ok(case!(options, jit(|x: Tensor| x.sum()), x))
        }),
        Program::new("micro.sum_axis0.4096x1024", what, n, |options| {
            let x = matrix();
            Ok(case!(options, jit(|x: Tensor| x.sum_axes(0)), x))
        }),
        Program::new("micro.sum_axis1.4096x1024", what, n, |options| {
            let x = matrix();
            Ok(case!(options, jit(|x: Tensor| x.sum_axes(1)), x))
        }),
        Program::new("micro.argmax_rows.4096x1024", "argmax along rows", n, |options| {
            let x = matrix();
            Ok(case!(options, jit(argmax), x))
        }),
        Program::new("micro.transpose.2048", "2048x2048 transpose plus 1", 2048 * 2048, |options| {
            let x = normal([2048, 2048], 42, 1.0);
            Ok(case!(options, jit(|x: Tensor| x.t() + 1.0), x))
        }),
        Program::new(
            "micro.maxpool2x2_grad",
            "gradient of 2x2 max-pooling, 32x28x28x32",
            pixels + pixels / 4,
            |options| {
                let (x, c) = (normal(POOLED, 43, 1.0), normal([32, 14, 14, 32], 44, 1.0));
                Ok(case!(options, jit(grad(pooled)), x, c))
            },
        ),
    ]
}
