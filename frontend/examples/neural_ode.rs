//! A neural ordinary differential equation (Chen et al., 2018): a small network learns the right-hand
//! side of an equation from noisy pieces of its solutions. Gradients come from the adjoint equation.
//!
//! The equation is that of Lotka and Volterra, which has an invariant, x − ln x + y − ln y: what the
//! network has learned is judged by how well it keeps it on rounds that it was never shown.
//!
//! ```text
//! cargo run --release --example neural_ode
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::ode::{Tolerance, odeint};
use egrad::optim::{self, AdamState, Schedule};
use egrad::random::{self, Key};
use egrad::{Array, Dtype, Result, Tensor, concatenate, init, jit, value_and_grad, vmap, zeros};
use std::process::ExitCode;

type Network<T> = Vec<(T, T)>;

/// dy/dt of y, two logarithms of populations.
fn learned(y: Tensor, _t: Tensor, network: Network<Tensor>) -> Tensor {
    let last = network.len() - 1;
    network.into_iter().enumerate().fold(y, |y, (i, (w, b))| {
        let y = y.matmul(w) + b;
        if i < last { y.tanh() } else { y }
    })
}

/// The network at first.
fn network(key: Key) -> Network<Tensor> {
    let layer =
        |key: Key, from: usize, to: usize| (init::lecun_normal(key, [from, to], Dtype::F64), zeros([to], Dtype::F64));
    let [first, second, third] = random::split(key);
    vec![layer(first, 2, 24), layer(second, 24, 24), layer(third, 24, 2)]
}

/// What it should learn: hunters live on prey.
fn true_one(y: Tensor, _t: Tensor, _: Vec<Tensor>) -> Tensor {
    let [prey, hunters] = [0, 1].map(|i| y.slice_axis(0, i, i + 1));
    concatenate([1.0 - hunters.exp(), prey.exp() - 1.0], 0)
}

const TOLERANCE: Tolerance = Tolerance { rtol: 1e-7, atol: 1e-7, steps: 1000 };
/// Times of a piece, and how far they're apart.
const POINTS: usize = 6;
const APART: f64 = 0.25;

fn times(n: usize) -> Result<Array> {
    Array::from_vec((0..n).map(|i| APART * i as f64).collect(), [n])
}

/// How far the network's solutions are from the pieces `[n, points, 2]`, each from its first point on.
fn loss(network: Network<Tensor>, pieces: Tensor, ts: Tensor) -> Tensor {
    let one = |network: Network<Tensor>, piece: Tensor, ts: Tensor| {
        let start = piece.slice_axis(0, 0, 1).squeeze(0);
        (odeint(learned, start, ts, network, TOLERANCE) - piece).powi(2).mean()
    };
    vmap(one, (None, 0, None))(network, pieces, ts).mean()
}

/// What stays the same along a true solution.
fn invariant(y: &[f64]) -> f64 {
    y[0].exp() - y[0] + y[1].exp() - y[1]
}

pub(crate) fn run(args: &Args) -> Done {
    let [of_network, of_noise] = random::split(random::key(7));
    let noise = jit(|key: Key| random::uniform_between(key, [4, 31, 2], Dtype::F64, -0.01, 0.01))(&of_noise)?.to_f64();
    let truth = jit(|y: Tensor, ts: Tensor| odeint(true_one, y, ts, vec![], TOLERANCE));
    // Rounds of several sizes, each cut into pieces.
    let (mut pieces, mut rounds) = (Vec::new(), Vec::new());
    for (size, noise) in [0.3, 0.6, 0.9, 1.2].into_iter().zip(noise.chunks(62)) {
        let start = Array::from_vec(vec![size, 0.0], [2])?;
        let round = truth(&start, &times(31)?)?.to_f64();
        let noisy: Vec<f64> = round.iter().zip(noise).map(|(y, noise)| y + noise).collect();
        for piece in noisy.chunks(2).collect::<Vec<_>>().chunks_exact(POINTS) {
            pieces.extend(piece.concat());
        }
        rounds.extend(noisy);
    }
    let pieces = Array::from_vec(pieces.clone(), [pieces.len() / 2 / POINTS, POINTS, 2])?;
    let ts = times(POINTS)?;

    let mut network = jit(network)(&of_network)?;
    let steps = args.size(1500, 60);
    let rate = Schedule::Cosine { peak: 0.01, steps: 1500, floor: 0.0002 };
    let adam = optim::Adam { rate, ..optim::Adam::default() };
    let mut state: AdamState<Array, Network<Array>> = jit(move |p: Network<Tensor>| adam.init(&p))(&network)?;
    let step = jit(move |p: Network<Tensor>, state: AdamState<Tensor, Network<Tensor>>, x: Tensor, ts: Tensor| {
        let (loss, gradient) = value_and_grad(loss)(p.clone(), x, ts);
        (loss, adam.step(&p, &gradient, &state))
    });
    println!("step       loss");
    let mut losses = Vec::new();
    for i in 0..steps {
        let loss;
        (loss, (network, state)) = step(&network, &state, &pieces, &ts)?;
        losses.push(loss.item::<f64>()?);
        if i % 100 == 0 {
            println!("{i:4} {:10.2e}", losses[i]);
        }
    }

    // Two rounds between those shown, four times as long as a piece and more.
    let follow = jit(|y: Tensor, ts: Tensor, p: Network<Tensor>| odeint(learned, y, ts, p, TOLERANCE));
    let (mut drift, mut lines) = (0.0f64, Vec::new());
    for size in [0.45, 1.05] {
        let start = Array::from_vec(vec![size, 0.0], [2])?;
        let ts = times(25)?;
        let (own, real) = (follow(&start, &ts, &network)?.to_f64(), truth(&start, &ts)?.to_f64());
        let at_first = invariant(&real[..2]);
        drift = own.chunks(2).map(|y| (invariant(y) - at_first).abs() / (at_first - 2.0)).fold(drift, f64::max);
        let points = |ys: &[f64]| ys.chunks(2).map(|y| (y[0].exp(), y[1].exp())).collect::<Vec<_>>();
        lines.push(Series::new(&format!("network, from {size}"), Mark::Line, points(&own)));
        lines.push(Series::new("", Mark::Known, points(&real)));
    }
    lines.push(Series::new("shown", Mark::Dots, rounds.chunks(2).map(|y| (y[0].exp(), y[1].exp()))));
    let plot = Plot {
        title: "A network learns the equation of Lotka and Volterra".to_owned(),
        x: "prey".to_owned(),
        y: "hunters".to_owned(),
        log: false,
        series: lines,
    };
    args.save("neural_ode", &plot.svg()?)?;
    // Noise of ±0.01 has a variance of 3.3e-5. A piece's first point has it too, which all others feel;
    // there the solution starts, and misses nothing.
    let noise = 0.01f64.powi(2) / 3.0 * 10.0 / 6.0;
    common::agree("loss, beside what noise alone leaves", losses[steps - 1], noise, args.size(2e-5, 2e-2))?;
    common::between("drift of the invariant, of its range", drift, 0.0, args.size(0.15, 1.0))
}

fn main() -> ExitCode {
    common::main(run)
}
