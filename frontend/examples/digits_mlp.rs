//! A multilayer perceptron on hand-written digits: 64 pixels, 32 hidden units, 10 digits, trained by
//! AdamW with a warmup and half a cosine, on four of five images; every fifth is held out.
//!
//! ```text
//! cargo run --release --example digits_mlp
//! ```

use egrad::optim::{self, AdamState, Schedule};
use egrad::{Array, Result, Tensor, Tree, jit, losses, value_and_grad};

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
pub(crate) struct Epoch {
    /// The mean loss of its batches.
    pub loss: f32,
    /// Which part of the images held out is recognised.
    pub accuracy: f64,
}

const PIXELS: usize = 64;
const BATCH: usize = 64;

const SCHEDULE: Schedule =
    Schedule::Warmup { steps: 20, then: &Schedule::Cosine { peak: 0.01, steps: 600, floor: 0.0005 } };

/// Trains for so many epochs.
pub(crate) fn train(epochs: usize) -> Result<Vec<Epoch>> {
    let (train, held_out) = images()?;
    let mut random = Random(1);
    let mut network: Network<Array> = vec![random.dense(PIXELS, 32)?, random.dense(32, 10)?];

    let adam = optim::Adam { rate: SCHEDULE, ..optim::Adam::w(0.0) };
    let mut state: AdamState<Array, Network<Array>> = jit(move |p: Network<Tensor>| adam.init(&p))(&network)?;
    let step = jit(move |p: Network<Tensor>, state: AdamState<Tensor, Network<Tensor>>, x: Tensor, y: Tensor| {
        let (loss, gradient) = value_and_grad(loss)(p.clone(), x, y);
        (loss, adam.step(&p, &gradient, &state))
    });
    let classes = jit(logits);

    let mut order: Vec<usize> = (0..train.len()).collect();
    let mut table = Vec::new();
    for _ in 0..epochs {
        random.shuffle(&mut order);
        let mut sum = 0.0;
        let batches = order.chunks_exact(BATCH);
        let n = batches.len();
        for batch in batches {
            let (x, y) = arrays(batch.iter().map(|i| &train[*i]))?;
            let (loss, next) = step(&network, &state, &x, &y)?;
            (network, state) = next;
            sum += loss.item::<f32>()?;
        }
        let (x, y) = arrays(held_out.iter())?;
        let scores = classes(&network, &x)?;
        let scores = scores.as_slice::<f32>().unwrap_or_default().chunks(10);
        let best = |row: &[f32]| (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        let right =
            scores.zip(y.as_slice::<i32>().unwrap_or_default()).filter(|(row, y)| best(row) == Some(**y as usize));
        table.push(Epoch { loss: sum / n as f32, accuracy: right.count() as f64 / held_out.len() as f64 });
    }
    Ok(table)
}

/// An image: its pixels, 0 to 1, and its digit.
type Image = ([f32; PIXELS], i32);

/// The images to train on and those held out.
fn images() -> Result<(Vec<Image>, Vec<Image>)> {
    let parse = |line: &str| {
        let mut numbers = line.split(',').map(|n| n.parse::<i16>().expect("the file holds integers"));
        let pixels = std::array::from_fn(|_| f32::from(numbers.next().expect("64 pixels")) / 16.0);
        (pixels, i32::from(numbers.next().expect("a digit")))
    };
    let lines = include_str!("../data/digits.csv").lines().map(parse).enumerate();
    let (held_out, train): (Vec<_>, Vec<_>) = lines.partition(|(i, _)| i % 5 == 4);
    let images = |part: Vec<(usize, Image)>| part.into_iter().map(|(_, image)| image).collect();
    Ok((images(train), images(held_out)))
}

fn arrays<'a>(images: impl Iterator<Item = &'a Image> + Clone) -> Result<(Array, Array)> {
    let digits: Vec<i32> = images.clone().map(|(_, digit)| *digit).collect();
    let n = digits.len();
    Ok((Array::from_vec(images.flat_map(|(x, _)| *x).collect(), [n, PIXELS])?, Array::from_vec(digits, [n])?))
}

/// Numbers that look random and are the same in every run: SplitMix64.
struct Random(u64);

impl Random {
    /// Between 0 and 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn shuffle(&mut self, items: &mut [usize]) {
        for i in (1..items.len()).rev() {
            items.swap(i, (self.uniform() * (i + 1) as f64) as usize);
        }
    }

    /// A layer with uniform weights of variance 2 / inputs (He) and no biases.
    fn dense(&mut self, inputs: usize, outputs: usize) -> Result<Dense<Array>> {
        let limit = (6.0 / inputs as f64).sqrt();
        let w = (0..inputs * outputs).map(|_| ((2.0 * self.uniform() - 1.0) * limit) as f32).collect();
        Ok(Dense { w: Array::from_vec(w, [inputs, outputs])?, b: Array::from_vec(vec![0.0f32; outputs], [outputs])? })
    }
}

fn main() -> Result<()> {
    println!("epoch   loss  accuracy on images held out");
    for (i, Epoch { loss, accuracy }) in train(30)?.iter().enumerate() {
        println!("{:5} {loss:6.3} {:8.1} %", i + 1, 100.0 * accuracy);
    }
    Ok(())
}
