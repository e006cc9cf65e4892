//! Heating a plate so that it has a given pattern of temperatures at a given time, at the least cost.
//!
//! The temperature u obeys ∂u/∂t = Δu + q on a square whose edge is kept at 0, in explicit steps of
//! the five-point stencil. What is sought is the heating q, at every point and in every step, that
//! minimises ½|u(T) − target|² + ½λ ∫|q|². The cost is quadratic, so the method of conjugate
//! gradients finds the minimum from gradients, which come from differentiating through all steps.
//!
//! The minimum is known: waves sin(πjx) sin(πky) don't mix, and each has a formula.
//!
//! ```text
//! cargo run --release --example heat_control
//! ```

pub(crate) mod common;

use common::{Args, Done, picture};
use egrad::{Array, Dtype, Result, Tensor, grad, jit, scan, zeros};
use std::f64::consts::PI;
use std::process::ExitCode;

/// What a unit of heating costs.
const COST: f64 = 1e-3;
const TIME: f64 = 0.02;

/// The temperatures at last, `[n, n]` points inside of the edge, of heating `[steps, n, n]` from 0.
fn heated(q: Tensor) -> Tensor {
    let (steps, n) = (q.shape()[0], q.shape()[1]);
    let (dt, dx) = (TIME / steps as f64, 1.0 / (n + 1) as f64);
    let step = move |u: Tensor, q: Tensor| {
        let wide = u.pad(0.0, [(1, 1), (1, 1)]);
        let from = |i: usize, j: usize| wide.slice([i, j], [i + n, j + n]);
        let around = from(0, 1) + from(2, 1) + from(1, 0) + from(1, 2) - 4.0 * u;
        (u + dt / (dx * dx) * around + dt * q, Vec::<Tensor>::new())
    };
    scan(step, zeros([n, n], Dtype::F64), q).0
}

/// What heating costs, and what it misses.
fn cost(q: Tensor, target: Tensor) -> Tensor {
    let (steps, n) = (q.shape()[0], q.shape()[1]);
    let (dt, area) = (TIME / steps as f64, ((n + 1) as f64).powi(-2));
    ((heated(q) - target).powi(2).sum() + COST * dt * q.powi(2).sum()) * 0.5 * area
}

/// The minimum by conjugate gradients, in arrays; and the gradient's norm before every step.
fn minimise(target: &Array, steps: usize) -> Result<(Array, Vec<f64>)> {
    let n = target.shape()[0];
    let gradient = jit(grad(cost));
    // Of a quadratic cost the gradient without a target is the Hessian times q.
    let product = jit(move |q: Tensor| grad(cost)(q, zeros([n, n], Dtype::F64)));
    // What a step of the method does to the solution, the residual and the direction.
    let along = jit(|(q, r, p): (Tensor, Tensor, Tensor), hp: Tensor| {
        let (dot, rr) = ((p * hp).sum(), r.powi(2).sum());
        let far = rr / dot;
        let (q, r) = (q + far * p, r - far * hp);
        let next = r.powi(2).sum();
        ((q, r, r + next / rr * p), next.sqrt())
    });
    let q = Array::from_vec(vec![0.0; steps * n * n], [steps, n, n])?;
    let r = jit(|g: Tensor| -g)(&gradient(&q, target)?)?;
    let mut norms = vec![r.to_f64().iter().map(|r| r * r).sum::<f64>().sqrt()];
    let mut state = (q, r.clone(), r);
    while norms.len() < 200 && norms[norms.len() - 1] > 1e-12 * norms[0] {
        let norm;
        (state, norm) = along(&state, &product(&state.2)?)?;
        norms.push(norm.item()?);
    }
    Ok((state.0, norms))
}

/// The best temperatures at last and the best cost, wave by wave. In a step, heat in a wave shrinks by
/// a = 1 − dt(ej + ek); heating it by q in the steps from the end, a⁰, a¹, …, is best in proportion.
fn known(target: &[f64], n: usize, steps: usize) -> (Vec<f64>, f64) {
    let (dt, dx) = (TIME / steps as f64, 1.0 / (n + 1) as f64);
    let sines: Vec<f64> = (0..n * n).map(|i| (PI * ((i / n + 1) * (i % n + 1)) as f64 * dx).sin()).collect();
    // sᵀ x s, which is its own inverse up to 4 dx².
    let waves = |x: &[f64]| -> Vec<f64> {
        let times = |x: &[f64]| -> Vec<f64> {
            let one = |i: usize, j: usize| (0..n).map(|k| sines[i * n + k] * x[k * n + j]).sum();
            // Transposed, so that the second time is along the other axis.
            (0..n * n).map(|ij| one(ij % n, ij / n)).collect()
        };
        times(&times(x))
    };
    let rate = |j: usize| 4.0 / (dx * dx) * (0.5 * PI * (j + 1) as f64 * dx).sin().powi(2);
    let (mut at_last, mut least) = (waves(target), 0.0);
    for (i, u) in at_last.iter_mut().enumerate() {
        let a = 1.0 - dt * (rate(i / n) + rate(i % n));
        let reach: f64 = (0..steps).map(|s| dt * a.powi(2 * s as i32)).sum();
        let goal = *u * 4.0 * dx * dx;
        *u = goal * reach / (reach + COST);
        // A wave's square is 1/4 on average.
        least += 0.5 * 0.25 * COST * goal * goal / (reach + COST);
    }
    (waves(&at_last), least)
}

/// A ring and a disc in it.
fn pattern(n: usize) -> Vec<f64> {
    let at = |k: usize| (k + 1) as f64 / (n + 1) as f64 - 0.5;
    let hot = |r: f64| f64::from(u8::from(r < 0.12 || (0.22..0.34).contains(&r)));
    (0..n * n).map(|i| hot(at(i / n).hypot(at(i % n)))).collect()
}

pub(crate) fn run(args: &Args) -> Done {
    let (n, steps) = args.size((64, 400), (24, 60));
    let target = pattern(n);
    let array = Array::from_vec(target.clone(), [n, n])?;
    let (q, norms) = minimise(&array, steps)?;
    println!("step  gradient's norm");
    for (i, norm) in norms.iter().enumerate().step_by(5) {
        println!("{i:4} {norm:16.2e}");
    }

    let (reached, total) = (jit(heated)(&q)?.to_f64(), jit(cost)(&q, &array)?.item::<f64>()?);
    let (best, least) = known(&target, n, steps);
    let q = q.to_f64();
    let heating = |part: usize| q[part * n * n..(part + 1) * n * n].to_vec();
    let picture = [
        ("target".to_owned(), target, n),
        ("reached".to_owned(), reached.clone(), n),
        ("heating halfway".to_owned(), heating(steps / 2), n),
        ("heating at last".to_owned(), heating(steps - 1), n),
    ];
    args.save("heat_control", &picture::fields("Heating a plate into a pattern", &picture, 4)?)?;

    let apart = reached.iter().zip(&best).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    common::agree("cost", total, least, 1e-12)?;
    common::agree("distance from the best temperatures", apart, 0.0, 1e-9)
}

fn main() -> ExitCode {
    common::main(run)
}
