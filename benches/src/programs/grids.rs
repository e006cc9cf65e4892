//! Values on grids: heat that spreads, and convolutions of images.

use crate::data::normal;
use crate::program::{Program, case};
use egrad::{Arg, Array, Convolution, Tensor, conv, fori_loop, grad, grad_argnums, jit, vmap};

/// One explicit step of the heat equation; around the grid it is 0.
fn heat_step(u: Tensor) -> Tensor {
    let (rows, columns) = (u.shape()[0], u.shape()[1]);
    let p = u.pad(0.0, [(1, 1), (1, 1)]);
    let moved = |i: usize, j: usize| p.slice([i, j], [i + rows, j + columns]);
    let around = moved(0, 1) + moved(2, 1) + moved(1, 0) + moved(1, 2);
    u + 0.1 * (around - 4.0 * u)
}

fn heat10(u: Tensor) -> Tensor {
    (0..10).fold(u, |u, _| heat_step(u))
}

fn heat100(u: Tensor) -> Tensor {
    fori_loop(0, 10, |_: Tensor, u: Tensor| heat10(u), u)
}

fn heat10_square(u: Tensor) -> Tensor {
    heat10(u).powi(2).sum()
}

const GRID: usize = 512;

fn grid() -> Array {
    normal([GRID, GRID], 23, 1.0)
}

/// A 3×3 convolution with as much padding as keeps the size.
fn same(x: Tensor, w: Tensor) -> Tensor {
    conv(x, w, &Convolution { padding: vec![(1, 1); 2], ..Convolution::default() })
}

fn weighted(x: Tensor, w: Tensor, c: Tensor) -> Tensor {
    (same(x, w) * c).sum()
}

/// The same for one image, by the kernel first.
fn weighted_one(w: Tensor, x: Tensor, c: Tensor) -> Tensor {
    (same(x.expand_dims(0), w).squeeze(0) * c).sum()
}

/// Batch, height and width, input channels, output channels.
const IMAGES: usize = 32;
const SIZE: usize = 28;
const FROM: usize = 16;
const TO: usize = 32;

fn images() -> Array {
    normal([IMAGES, SIZE, SIZE, FROM], 24, 1.0)
}

fn kernel() -> Array {
    normal([3, 3, FROM, TO], 25, 0.1)
}

fn weights() -> Array {
    normal([IMAGES, SIZE, SIZE, TO], 26, 1.0)
}

fn heat() -> Vec<Program> {
    let n = (GRID * GRID) as u64;
    vec![
        Program::new("heat.1step.512", "one 5-point heat step on 512x512", 7 * n, |options| {
            let u = grid();
            case!(options, jit(heat_step), u)
        }),
        Program::new("heat.10steps.512", "ten steps, unrolled", 70 * n, |options| {
            let u = grid();
            case!(options, jit(heat10), u)
        }),
        Program::new("heat.100steps.512", "a loop of ten times ten unrolled steps", 700 * n, |options| {
            let u = grid();
            case!(options, jit(heat100), u)
        }),
        Program::new("heat.grad_10steps.512", "gradient of sum(u10^2) by the initial state", 141 * n, |options| {
            let u = grid();
            case!(options, jit(grad(heat10_square)), u)
        }),
    ]
}

fn convolutions() -> Vec<Program> {
    let flops = (2 * IMAGES * SIZE * SIZE * 9 * FROM * TO) as u64;
    vec![
        Program::new("conv2d.fwd", "3x3 SAME, NHWC 32x28x28x16 to 32 channels", flops, |options| {
            let (x, w) = (images(), kernel());
            case!(options, jit(same), x, w)
        }),
        Program::new("conv2d.grad", "gradient of sum(conv * c) by x and w", 2 * flops, |options| {
            let (x, w, c) = (images(), kernel(), weights());
            case!(options, jit(grad_argnums(weighted, (Arg::<0>, Arg::<1>))), x, w, c)
        }),
        Program::new("conv2d.per_example_grad", "vmap(grad) by w: 32 kernel gradients", flops, |options| {
            let (w, x, c) = (kernel(), images(), weights());
            case!(options, jit(vmap(grad(weighted_one), (None, 0, 0))), w, x, c)
        }),
    ]
}

pub(super) fn programs() -> Vec<Program> {
    heat().into_iter().chain(convolutions()).collect()
}
