//! Logistic regression, pairs of points, k-means.

use crate::data::{coins, normal, uniform};
use crate::program::{Program, case};
use egrad::{Array, Dtype, Tensor, grad, hessian, jit, ones};

fn logistic_loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor {
    let z = x.matmul(w);
    (z.logaddexp(0.0) - y * z).mean()
}

fn regression(rows: usize, columns: usize) -> (Array, Array, Array) {
    (normal([columns], 1100, 0.1), normal([rows, columns], 1101, 1.0), coins([rows], 1102))
}

fn distances(x: Tensor) -> Tensor {
    let d = x.expand_dims(1) - x.expand_dims(0);
    ((d * d).sum_axes(-1) + 1e-6).sqrt()
}

/// Differences of all pairs of points, and their squared lengths, softened.
fn pairs(x: Tensor) -> (Tensor, Tensor) {
    let d = x.expand_dims(0) - x.expand_dims(1);
    (d, (d * d).sum_axes(-1) + 1e-2)
}

fn forces(x: Tensor, m: Tensor) -> Tensor {
    let (d, r2) = pairs(x);
    let inverse = 1.0 / (r2 * r2.sqrt());
    (d * (m.expand_dims(0) * inverse).expand_dims(2)).sum_axes(1)
}

fn energy(x: Tensor, m: Tensor) -> Tensor {
    let (_, r2) = pairs(x);
    -0.5 * (m.expand_dims(1) * m.expand_dims(0) / r2.sqrt()).sum()
}

/// The nearest centre of each point, by all differences.
fn nearest_by_differences(x: Tensor, c: Tensor) -> Tensor {
    (x.expand_dims(1) - c.expand_dims(0)).square().sum_axes(-1).argmin(1)
}

/// The nearest centre of each point, by a matrix product.
fn nearest(x: Tensor, c: Tensor) -> Tensor {
    ((c * c).sum_axes(1) - 2.0 * x.matmul(c.t())).argmin(1)
}

/// New centres: the means of the points that are nearest to each.
fn kmeans_step(x: Tensor, c: Tensor) -> Tensor {
    let label = nearest(x, c);
    let total = x.segment_sum(label, K);
    let count = ones([POINTS], Dtype::F32).segment_sum(label, K);
    total / count.maximum(1.0).expand_dims(1)
}

const BODIES: usize = 2048;
const POINTS: usize = 100_000;
const D: usize = 16;
const K: usize = 64;

fn bodies() -> (Array, Array) {
    (normal([BODIES, 3], 13, 1.0), uniform([BODIES], 14, 0.5, 1.5))
}

fn clusters() -> (Array, Array) {
    (normal([POINTS, D], 27, 1.0), normal([K, D], 28, 1.0))
}

pub(super) fn programs() -> Vec<Program> {
    let n = (BODIES * BODIES) as u64;
    let assign = (2 * POINTS * D * K) as u64;
    vec![
        Program::new("logreg.grad.100kx64", "gradient of the mean logistic loss", 4 * 100_000 * 65, |options| {
            let (w, x, y) = regression(100_000, 64);
            case!(options, jit(grad(logistic_loss)), w, x, y)
        }),
        Program::new(
            "logreg.hessian.1000x64",
            "jacfwd(jacrev) of the mean logistic loss",
            1000 * (2 * 64 * 64 + 3 * 64 + 5),
            |options| {
                let (w, x, y) = regression(1000, 64);
                case!(options, jit(hessian(logistic_loss)), w, x, y)
            },
        ),
        Program::new("pairwise.dist.2048", "distance matrix of 2048 points in 3-d", 9 * n, |options| {
            let (x, _) = bodies();
            case!(options, jit(distances), x)
        }),
        Program::new("nbody.forces.2048", "softened gravity by broadcasting", 20 * n, |options| {
            let (x, m) = bodies();
            case!(options, jit(forces), x, m)
        }),
        Program::new("nbody.energy_grad.2048", "gradient of the potential energy", 21 * n, |options| {
            let (x, m) = bodies();
            case!(options, jit(grad(energy)), x, m)
        }),
        Program::new("kmeans.assign_broadcast", "argmin of squared distances, 100k x 16, k=64", assign, |options| {
            let (x, c) = clusters();
            case!(options, jit(nearest_by_differences), x, c)
        }),
        Program::new("kmeans.assign_matmul", "same, |c|^2 - 2xc written by hand", assign, |options| {
            let (x, c) = clusters();
            case!(options, jit(nearest), x, c)
        }),
        Program::new("kmeans.step", "assignment and new centres", assign + (POINTS * D) as u64, |options| {
            let (x, c) = clusters();
            case!(options, jit(kmeans_step), x, c)
        }),
    ]
}
