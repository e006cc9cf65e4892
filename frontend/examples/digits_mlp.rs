//! A multilayer perceptron on hand-written digits: 64 pixels, 32 hidden units, 10 digits, trained by
//! AdamW with a warmup and half a cosine, on four of five images; every fifth is held out.
//!
//! ```text
//! cargo run --release --example digits_mlp
//! ```

pub(crate) mod common;

use common::picture::{Plot, Series};
use common::{Args, Done, digits};
use egrad::optim::{self, AdamState, Schedule};
use egrad::random::{self, Key};
use egrad::{Array, Dtype, Result, Tensor, Tree, init, jit, losses, value_and_grad, zeros};
use std::process::ExitCode;

/// A layer's weights and biases.
#[derive(Tree, Clone)]
pub(crate) struct Dense<T> {
    w: T,
    b: T,
}

type Network<T> = Vec<Dense<T>>;

fn logits(layers: Network<Tensor>, x: Tensor) -> Tensor {
    let last = layers.len() - 1;
    layers.into_iter().enumerate().fold(x, |x, (i, Dense { w, b })| {
        let y = x.matmul(w) + b;
        if i < last { y.relu() } else { y }
    })
}

fn loss(layers: Network<Tensor>, x: Tensor, y: Tensor) -> Tensor {
    losses::cross_entropy(logits(layers, x), y).mean()
}

/// What an epoch ended with.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// The mean loss of its batches.
    loss: f32,
    /// Which part of the images held out is recognised.
    accuracy: f64,
}

const BATCH: usize = 64;

const SCHEDULE: Schedule =
    Schedule::Warmup { steps: 20, then: &Schedule::Cosine { peak: 0.01, steps: 600, floor: 0.0005 } };

/// A layer with weights of variance 2 / inputs (He) and no biases.
fn dense(key: Key, inputs: usize, outputs: usize) -> Dense<Tensor> {
    Dense { w: init::he_normal(key, [inputs, outputs], Dtype::F32), b: zeros([outputs], Dtype::F32) }
}

fn network(key: Key) -> Network<Tensor> {
    let [first, second] = random::split(key);
    vec![dense(first, digits::PIXELS, 32), dense(second, 32, 10)]
}

/// Trains for so many epochs.
fn train(epochs: usize) -> Result<Vec<Epoch>> {
    let (train, held_out) = digits::images();
    let mut key = random::key(0);
    let mut network = jit(network)(&key)?;
    let adam = optim::Adam { rate: SCHEDULE, ..optim::Adam::w(0.0) };
    let mut state: AdamState<Array, Network<Array>> = jit(move |p: Network<Tensor>| adam.init(&p))(&network)?;
    let step = jit(move |p: Network<Tensor>, state: AdamState<Tensor, Network<Tensor>>, x: Tensor, y: Tensor| {
        let (loss, gradient) = value_and_grad(loss)(p.clone(), x, y);
        (loss, adam.step(&p, &gradient, &state))
    });
    let classes = jit(logits);

    let images = train.len();
    let shuffled = jit(move |key: Key| random::permutation(key, images));
    let mut table = Vec::new();
    for _ in 0..epochs {
        key = random::fold_in(key, 1);
        let order = shuffled(&key)?;
        let mut sum = 0.0;
        let batches = order.elements::<i32>()?.chunks_exact(BATCH);
        let n = batches.len();
        for batch in batches {
            let (x, y) = digits::arrays(batch.iter().map(|i| &train[*i as usize]))?;
            let (loss, next) = step(&network, &state, &x, &y)?;
            (network, state) = next;
            sum += loss.item::<f32>()?;
        }
        let (x, y) = digits::arrays(held_out.iter())?;
        let accuracy = digits::accuracy(&classes(&network, &x)?, &y)?;
        let loss = sum / n as f32;
        println!("{:5} {loss:6.3} {:8.1} %", table.len() + 1, 100.0 * accuracy);
        table.push(Epoch { loss, accuracy });
    }
    Ok(table)
}

pub(crate) fn run(args: &Args) -> Done {
    println!("epoch   loss  accuracy on images held out");
    let epochs = train(args.size(30, 6))?;
    let errors = Series::counted("held out, %", epochs.iter().map(|e| 100.0 * (1.0 - e.accuracy)));
    let losses = Series::counted("loss, %", epochs.iter().map(|e| 100.0 * f64::from(e.loss)));
    let plot = Plot {
        title: "A perceptron on digits held out".to_owned(),
        x: "epoch".to_owned(),
        y: "errors and loss".to_owned(),
        log: false,
        series: vec![errors, losses],
    };
    args.save("digits_mlp", &plot.svg()?)?;
    let last = epochs[epochs.len() - 1];
    common::between("loss beside that of the first epoch", f64::from(last.loss / epochs[0].loss), 0.0, 0.5)?;
    common::between("accuracy", last.accuracy, args.size(0.96, 0.9), 1.0)
}

fn main() -> ExitCode {
    common::main(run)
}
