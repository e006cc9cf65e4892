//! Single operations where a CPU compiler may be weak.

use crate::data::{below, normal};
use crate::program::{Program, case};
use egrad::{Array, Dtype, Tensor, grad, jit, zeros};

fn scatter_add(i: Tensor, v: Tensor) -> Tensor {
    zeros([TABLE], Dtype::F32).scatter_add(i, v)
}

fn gather(t: Tensor, i: Tensor) -> Tensor {
    t.gather(&[i])
}

fn looked_up(t: Tensor, i: Tensor, c: Tensor) -> Tensor {
    (t.gather(&[i]) * c).sum()
}

/// The largest of each 2×2 window, weighted by c and summed.
fn pooled(x: Tensor, c: Tensor) -> Tensor {
    (x.window_max(&WINDOW, &WINDOW, &[(0, 0); 4]) * c).sum()
}

/// Elements of a table, and how many of them are looked up.
const TABLE: usize = 65_536;
const UPDATES: usize = 1_000_000;

/// Words of a vocabulary, how many of them are looked up, and elements of each.
const WORDS: usize = 32_768;
const TOKENS: usize = 8_192;
const DEPTH: usize = 64;

const WINDOW: [usize; 4] = [1, 2, 2, 1];
const POOLED: [usize; 4] = [32, 28, 28, 32];

fn matrix() -> Array {
    normal([4096, 1024], 41, 1.0)
}

fn positions() -> Array {
    below([UPDATES], 34, TABLE as u32)
}

/// Elements at positions that are data, and orders.
fn places() -> Vec<Program> {
    let updates = UPDATES as u64;
    vec![
        Program::new("micro.scatter_add.1m", "1M updates added to 65536 zeros", updates, |options| {
            let (i, v) = (positions(), normal([UPDATES], 35, 1.0));
            case!(options, jit(scatter_add), i, v)
        }),
        Program::new("micro.gather.1m", "1M elements out of 65536", 0, |options| {
            let (t, i) = (normal([TABLE], 35, 1.0), positions());
            case!(options, jit(gather), t, i)
        }),
        Program::new(
            "micro.embedding_grad",
            "gradient of a 32k x 64 table through 8192 look-ups",
            (TOKENS * DEPTH) as u64,
            |options| {
                let t = normal([WORDS, DEPTH], 36, 1.0);
                let (i, c) = (below([TOKENS], 37, WORDS as u32), normal([TOKENS, DEPTH], 38, 1.0));
                case!(options, jit(grad(looked_up)), t, i, c)
            },
        ),
        Program::new("micro.cumsum.4m", "sums of the elements up to each of 4M", 4 << 20, |options| {
            let x = normal([4 << 20], 39, 1.0);
            case!(options, jit(|x: Tensor| x.cumsum(0, false)), x)
        }),
        Program::new("micro.sort.1m", "1M elements in order", 20 * 1_000_000, |options| {
            let x = normal([1_000_000], 40, 1.0);
            case!(options, jit(|x: Tensor| x.sort(0)), x)
        }),
    ]
}

/// Reductions of a matrix, a transposition, windows.
fn whole() -> Vec<Program> {
    let n = 4096 * 1024;
    let pixels: u64 = POOLED.iter().map(|n| *n as u64).product();
    let what = "sum of a 4096x1024 array";
    vec![
        Program::new("micro.sum_all.4096x1024", what, n, |options| {
            let x = matrix();
            case!(options, jit(|x: Tensor| x.sum()), x)
        }),
        Program::new("micro.sum_axis0.4096x1024", what, n, |options| {
            let x = matrix();
            case!(options, jit(|x: Tensor| x.sum_axes(0)), x)
        }),
        Program::new("micro.sum_axis1.4096x1024", what, n, |options| {
            let x = matrix();
            case!(options, jit(|x: Tensor| x.sum_axes(1)), x)
        }),
        Program::new("micro.argmax_rows.4096x1024", "argmax along rows", n, |options| {
            let x = matrix();
            case!(options, jit(|x: Tensor| x.argmax(1)), x)
        }),
        Program::new("micro.transpose.2048", "2048x2048 transpose plus 1", 2048 * 2048, |options| {
            let x = normal([2048, 2048], 42, 1.0);
            case!(options, jit(|x: Tensor| x.t() + 1.0), x)
        }),
        Program::new(
            "micro.maxpool2x2_grad",
            "gradient of 2x2 max-pooling, 32x28x28x32",
            pixels + pixels / 4,
            |options| {
                let (x, c) = (normal(POOLED, 43, 1.0), normal([32, 14, 14, 32], 44, 1.0));
                case!(options, jit(grad(pooled)), x, c)
            },
        ),
    ]
}

pub(super) fn programs() -> Vec<Program> {
    places().into_iter().chain(whole()).collect()
}
