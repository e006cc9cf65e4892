//! Private training (Abadi et al., *Deep Learning with Differential Privacy*, 2016): a perceptron learns
//! hand-written digits from gradients of single images (`vmap` of `grad`), each of which is made no
//! longer than 1, with noise on their sum. How much any one image may show in the network is bounded
//! by ε, for δ = 10⁻⁴: see `epsilon`.
//!
//! ```text
//! cargo run --release --example dp_sgd
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done, digits};
use egrad::optim::{self, Sgd};
use egrad::random::{self, Key};
use egrad::{Array, Dtype, Result, Tensor, grad, init, jit, losses, tree, vmap};
use std::process::ExitCode;

type Network<T> = Vec<(T, T)>;

fn logits(network: Network<Tensor>, x: Tensor) -> Tensor {
    let last = network.len() - 1;
    network.into_iter().enumerate().fold(x, |x, (i, (w, b))| {
        let y = x.matmul(w) + b;
        if i < last { y.tanh() } else { y }
    })
}

fn loss(network: Network<Tensor>, x: Tensor, y: Tensor) -> Tensor {
    losses::cross_entropy(logits(network, x), y)
}

/// The longest gradient of an image.
const CLIP: f64 = 1.0;
/// Images of a step, on average, and what has room.
const BATCH: usize = 96;
const ROOM: usize = 160;
/// The noise's deviation, in longest gradients.
const NOISE: f64 = 1.5;
const DELTA: f64 = 1e-4;

/// The gradients of images, none longer than [`CLIP`], summed over those that count, with noise.
fn private(network: Network<Tensor>, x: Tensor, y: Tensor, counts: Tensor, key: Key) -> Network<Tensor> {
    let one = |network: Network<Tensor>, x: Tensor, y: Tensor, count: Tensor| {
        let gradient = grad(loss)(network, x, y);
        let (short, _) = optim::clip_by_global_norm(&gradient, CLIP);
        tree::map(|g| *g * count, &short)
    };
    let each = vmap(one, (None, 0, 0, 0))(network, x, y, counts);
    let mut i = 0;
    let noisy = |g: &Tensor| {
        i += 1;
        let sum = g.sum_axes(0);
        let noise = random::normal(random::fold_in(key, i), sum.shape(), Dtype::F32);
        (sum + noise * (NOISE * CLIP)) / BATCH as f32
    };
    tree::map(noisy, &each)
}

/// The least ε for which so many steps are (ε, δ)-private, if each takes every image with probability q
/// and adds noise of deviation `noise`: by Rényi divergences of whole orders (Mironov, Talwar and Zhang,
/// *Rényi Differential Privacy of the Sampled Gaussian Mechanism*, 2019, section 3.3).
fn epsilon(q: f64, noise: f64, steps: usize, delta: f64) -> f64 {
    let of_order = |a: i32| {
        // ln of C(a, k), one k after the other, and of the sum of terms.
        let (mut choose, mut sum) = (0.0, f64::NEG_INFINITY);
        for k in 0..=a {
            let (k, a) = (f64::from(k), f64::from(a));
            let term: f64 = choose + k * q.ln() + (a - k) * (-q).ln_1p() + (k * k - k) / (2.0 * noise * noise);
            let (high, low) = (sum.max(term), sum.min(term));
            sum = high + (low - high).exp().ln_1p();
            choose += ((a - k) / (k + 1.0)).ln();
        }
        let order = f64::from(a) - 1.0;
        steps as f64 * sum / order - delta.ln() / order
    };
    (2..=256).map(of_order).fold(f64::INFINITY, f64::min)
}

/// How far one image more or less moves the sum of gradients, at most, of the first ten.
fn reach(network: &Network<Array>, images: &[digits::Image]) -> Result<f64> {
    let (x, y) = digits::arrays(images.iter())?;
    let step = jit(private);
    let gradient = |left_out: Option<usize>| -> Result<Vec<f64>> {
        let counts: Vec<f32> = (0..images.len()).map(|i| if left_out == Some(i) { 0.0 } else { 1.0 }).collect();
        let counts = Array::from_vec(counts, [images.len()])?;
        // The same noise, which the difference doesn't have.
        let gradient = step(network, &x, &y, &counts, &random::key(0))?;
        Ok(tree::leaves(&gradient).iter().flat_map(Array::to_f64).collect())
    };
    let (all, mut most) = (gradient(None)?, 0.0f64);
    for i in 0..10 {
        let squares: f64 = all.iter().zip(gradient(Some(i))?).map(|(a, b)| (a - b).powi(2)).sum();
        most = most.max(BATCH as f64 * squares.sqrt());
    }
    Ok(most)
}

/// Trains, and gives how far one image reaches at first, and ε and the accuracy on images held out after
/// every so many steps.
fn train(steps: usize, every: usize) -> Result<(f64, Vec<(f64, f64)>)> {
    let (train, held_out) = digits::images();
    let (held_x, held_y) = digits::arrays(held_out.iter())?;
    let q = BATCH as f64 / train.len() as f64;
    let [first, mut key] = random::split(random::key(4));
    let start = |key: Key| -> Network<Tensor> {
        let [a, b] = random::split(key);
        let layer = |key: Key, from: usize, to: usize| {
            let w = init::lecun_normal(key, [from, to], Dtype::F32);
            (w, egrad::zeros([to], Dtype::F32))
        };
        vec![layer(a, digits::PIXELS, 24), layer(b, 24, 10)]
    };
    let mut network = jit(start)(&first)?;
    let reach = reach(&network, &train[..ROOM])?;
    let sgd = Sgd { rate: 1.0.into(), momentum: 0.5, ..Sgd::default() };
    let mut state = jit(move |p: Network<Tensor>| sgd.init(&p))(&network)?;
    let step = jit(move |(p, state): (Network<Tensor>, _), x: Tensor, y: Tensor, counts: Tensor, key: Key| {
        let gradient = private(p.clone(), x, y, counts, key);
        sgd.step(&p, &gradient, &state)
    });
    let n = train.len();
    let draw = jit(move |key: Key| random::bernoulli(key, q, [n]));
    let scores = jit(logits);

    let mut rows = Vec::new();
    for i in 1..=steps {
        // Every image by a coin of its own, as the bound wants it.
        let [next, of_batch, of_noise] = random::split(key);
        key = next;
        let drawn = draw(&of_batch)?;
        let taken = train.iter().zip(drawn.elements::<bool>()?).filter(|(_, drawn)| **drawn).map(|(image, _)| image);
        let mut batch: Vec<&digits::Image> = taken.take(ROOM).collect();
        let mut counts = vec![1.0f32; batch.len()];
        counts.resize(ROOM, 0.0);
        batch.resize(ROOM, &train[0]);
        let (x, y) = digits::arrays(batch.iter().copied())?;
        (network, state) = step(&(network, state), &x, &y, &Array::from_vec(counts, [ROOM])?, &of_noise)?;
        if i % every == 0 {
            rows.push((epsilon(q, NOISE, i, DELTA), digits::accuracy(&scores(&network, &held_x)?, &held_y)?));
        }
    }
    Ok((reach, rows))
}

pub(crate) fn run(args: &Args) -> Done {
    let steps = args.size(300, 60);
    let (reach, rows) = train(steps, steps / 10)?;
    println!("     ε  accuracy on images held out");
    for (epsilon, accuracy) in &rows {
        println!("{epsilon:6.2} {:8.1} %", 100.0 * accuracy);
    }
    let plot = Plot {
        title: "Private training on digits: accuracy for privacy".to_owned(),
        x: "ε, of δ = 0.0001".to_owned(),
        y: "accuracy, %".to_owned(),
        log: false,
        series: vec![Series::new("held out", Mark::Line, rows.iter().map(|(e, a)| (*e, 100.0 * a)))],
    };
    args.save("dp_sgd", &plot.svg()?)?;
    // What TensorFlow Privacy's tutorial states for 60,000 images in batches of 256 and δ = 10⁻⁵.
    for (noise, epochs, known) in [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)] {
        let own = epsilon(256.0 / 60000.0, noise, epochs * 60000 / 256, 1e-5);
        common::agree("ε of a case of the tutorial's", own, known, 0.03)?;
    }
    // Gradients are longer at first.
    common::agree("how far one image moves the sum of gradients, at most", reach, CLIP, 1e-3)?;
    let (epsilon, accuracy) = rows[rows.len() - 1];
    common::between("ε", epsilon, 0.5, args.size(8.0, 4.0))?;
    common::between("accuracy", accuracy, args.size(0.88, 0.6), 1.0)
}

fn main() -> ExitCode {
    common::main(run)
}
