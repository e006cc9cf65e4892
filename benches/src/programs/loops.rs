//! Recurrent networks, and a loop of scalars.

use crate::data::normal;
use crate::program::{Program, case};
use egrad::{Arg, Array, Dtype, Tensor, fori_loop, grad_argnums, jit, scan, zeros};

/// The states of a plain recurrent network over the inputs `xs`.
fn rnn(w: Tensor, u: Tensor, b: Tensor, xs: Tensor) -> Tensor {
    let cell = move |h: Tensor, x: Tensor| {
        let h = (x.matmul(w) + h.matmul(u) + b).tanh();
        (h, h)
    };
    scan(cell, zeros([BATCH, HIDDEN], Dtype::F32), xs).1
}

/// The states of a long short-term memory.
fn lstm(w: Tensor, u: Tensor, b: Tensor, xs: Tensor) -> Tensor {
    let cell = move |(h, c): (Tensor, Tensor), x: Tensor| {
        let gates = (x.matmul(w) + h.matmul(u) + b).split(&[HIDDEN; 4], -1);
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate: usize| gates[gate]);
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        ((h, c), h)
    };
    let zero = zeros([BATCH, HIDDEN], Dtype::F32);
    scan(cell, (zero, zero), xs).1
}

type Network = fn(Tensor, Tensor, Tensor, Tensor) -> Tensor;

const STEPS: usize = 64;
const HIDDEN: usize = 128;
const BATCH: usize = 32;

/// Weights of the inputs and of the states, biases, and inputs.
fn recurrent(gates: usize) -> (Array, Array, Array, Array) {
    let columns = gates * HIDDEN;
    (
        normal([HIDDEN, columns], 29, 0.05),
        normal([HIDDEN, columns], 30, 0.05),
        normal([columns], 31, 0.1),
        normal([STEPS, BATCH, HIDDEN], 32, 1.0),
    )
}

fn network(kind: &str, net: Network, gates: usize) -> [Program; 2] {
    let products = (4 * STEPS * BATCH * HIDDEN * HIDDEN * gates) as u64;
    let points = (STEPS * BATCH * HIDDEN * if gates == 1 { 2 } else { 12 }) as u64;
    // Back to both weights for all steps, and to the state before.
    let back = products + products / 2 + 3 * points;
    let what = "a recurrent network, 64 steps of 32 examples, 128 units";
    let forward = Program::new(format!("scan.{kind}_fwd"), what, products + points, move |options| {
        let (w, u, b, xs) = recurrent(gates);
        case!(options, jit(net), w, u, b, xs)
    });
    let what = "gradient of its mean square by the weights and biases";
    let gradient = Program::new(format!("scan.{kind}_grad"), what, products + back, move |options| {
        let (w, u, b, xs) = recurrent(gates);
        let loss = move |w: Tensor, u: Tensor, b: Tensor, xs: Tensor| net(w, u, b, xs).powi(2).mean();
        case!(options, jit(grad_argnums(loss, (Arg::<0>, Arg::<1>, Arg::<2>))), w, u, b, xs)
    });
    [forward, gradient]
}

fn scalar_loop(x: Tensor) -> Tensor {
    fori_loop(0, 10_000, |_: Tensor, v: Tensor| 0.999 * v + v.sin() * 1e-3, x)
}

pub(super) fn programs() -> Vec<Program> {
    let scalar = Program::new("scan.scalar_10000", "x -> 0.999*x + sin(x)/1000, 10k times", 30_000, |options| {
        let x = Array::from(1.0f32);
        case!(options, jit(scalar_loop), x)
    });
    let networks = [network("rnn", rnn, 1), network("lstm", lstm, 4)];
    networks.into_iter().flatten().chain([scalar]).collect()
}
