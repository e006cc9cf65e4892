//! A convolutional network on hand-written digits: two layers of 3×3 kernels, each followed by the
//! largest of 2×2 pixels, and a dense layer; trained by AdamW on four of five images. Of those held
//! out it recognises more than a perceptron does (`digits_mlp`, 97 %).
//!
//! ```text
//! cargo run --release --example digits_cnn
//! ```

pub(crate) mod common;

use common::picture::{Plot, Series};
use common::{Args, Done, digits};
use egrad::optim::{self, AdamState, Schedule};
use egrad::random::{self, Key};
use egrad::{Array, Convolution, Dtype, Result, Tensor, Tree, conv, init, jit, losses, value_and_grad, zeros};
use std::process::ExitCode;

/// Kernels `[3, 3, in, out]`, a matrix, and what is added to what they give.
#[derive(Tree, Clone)]
pub(crate) struct Network<T> {
    convolutions: Vec<(T, T)>,
    dense: (T, T),
}

/// Scores `[n, 10]` of images `[n, 64]`.
fn logits(network: Network<Tensor>, x: Tensor) -> Tensor {
    let n = x.shape()[0];
    let same = Convolution { padding: vec![(1, 1); 2], ..Convolution::default() };
    let seen = network.convolutions.into_iter().fold(x.reshape([n, 8, 8, 1]), |x, (kernel, b)| {
        let y = (conv(x, kernel, &same) + b).relu();
        y.window_max(&[1, 2, 2, 1], &[1, 2, 2, 1], &[(0, 0); 4])
    });
    let (w, b) = network.dense;
    seen.reshape([n, 2 * 2 * 32]).matmul(w) + b
}

fn loss(network: Network<Tensor>, x: Tensor, y: Tensor) -> Tensor {
    losses::cross_entropy(logits(network, x), y).mean()
}

/// The network at first.
fn network(key: Key) -> Network<Tensor> {
    let [first, second, dense] = random::split(key);
    let zeros = |n: usize| zeros([n], Dtype::F32);
    Network {
        convolutions: vec![
            (init::he_normal(first, [3, 3, 1, 16], Dtype::F32), zeros(16)),
            (init::he_normal(second, [3, 3, 16, 32], Dtype::F32), zeros(32)),
        ],
        dense: (init::lecun_normal(dense, [128, 10], Dtype::F32), zeros(10)),
    }
}

const BATCH: usize = 64;

const SCHEDULE: Schedule =
    Schedule::Warmup { steps: 20, then: &Schedule::Cosine { peak: 0.004, steps: 400, floor: 0.0002 } };

/// What an epoch ended with: the mean loss of its batches, and which part of the images held out is
/// recognised.
type Epoch = (f64, f64);

fn train(epochs: usize) -> Result<Vec<Epoch>> {
    let (train, held_out) = digits::images();
    let held_out = digits::arrays(held_out.iter())?;
    let mut key = random::key(0);
    let mut network = jit(network)(&key)?;
    let adam = optim::Adam { rate: SCHEDULE, ..optim::Adam::w(0.0) };
    let mut state: AdamState<Array, Network<Array>> = jit(move |p: Network<Tensor>| adam.init(&p))(&network)?;
    let step = jit(move |p: Network<Tensor>, state: AdamState<Tensor, Network<Tensor>>, x: Tensor, y: Tensor| {
        let (loss, gradient) = value_and_grad(loss)(p.clone(), x, y);
        (loss, adam.step(&p, &gradient, &state))
    });
    let scores = jit(logits);

    let n = train.len();
    let shuffled = jit(move |key: Key| random::permutation(key, n));
    let mut epoch = |i: usize| {
        key = random::fold_in(key.clone(), 1);
        let order = shuffled(&key)?;
        let (mut sum, mut batches) = (0.0, 0);
        for batch in order.elements::<i32>()?.chunks_exact(BATCH) {
            let (x, y) = digits::arrays(batch.iter().map(|i| &train[*i as usize]))?;
            let loss;
            (loss, (network, state)) = step(&network, &state, &x, &y)?;
            sum += f64::from(loss.item::<f32>()?);
            batches += 1;
        }
        let (x, y) = &held_out;
        let (loss, accuracy) = (sum / f64::from(batches), digits::accuracy(&scores(&network, x)?, y)?);
        println!("{:5} {loss:6.3} {:8.1} %", i + 1, 100.0 * accuracy);
        Ok((loss, accuracy))
    };
    println!("epoch   loss  accuracy on images held out");
    (0..epochs).map(&mut epoch).collect()
}

pub(crate) fn run(args: &Args) -> Done {
    let epochs = train(args.size(20, 2))?;
    let wrong = epochs.iter().map(|(_, accuracy)| 100.0 * (1.0 - accuracy));
    let plot = Plot {
        title: "A convolutional network on digits held out".to_owned(),
        x: "epoch".to_owned(),
        y: "errors, %".to_owned(),
        log: false,
        series: vec![Series::counted("errors", wrong)],
    };
    args.save("digits_cnn", &plot.svg()?)?;
    let (_, accuracy) = epochs[epochs.len() - 1];
    common::between("accuracy", accuracy, args.size(0.98, 0.8), 1.0)
}

fn main() -> ExitCode {
    common::main(run)
}
