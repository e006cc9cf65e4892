//! A transformer that reads seven of Shakespeare's sonnets letter by letter and guesses the next one:
//! two blocks of attention and a perceptron, trained by AdamW. It ends up far below what the letters
//! just before tell (the entropy of a letter given one and given two before it), and then it recites.
//!
//! ```text
//! cargo run --release --example language_model
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::optim::{self, AdamState, Schedule};
use egrad::random::{self, Key};
use egrad::{
    Array, Dtype, Outside, Tensor, Tree, arange, einsum, init, iota, jit, losses, ones, value_and_grad, zeros,
};
use std::collections::HashMap;
use std::process::ExitCode;

const TEXT: &str = include_str!("../data/sonnets.txt");

/// Letters that are seen at once, and how wide things are.
const CONTEXT: usize = 64;
const WIDTH: usize = 64;
const HEADS: usize = 4;

/// A block: attention, then a perceptron; both read what is normalised and add to what they read.
#[derive(Tree, Clone)]
pub(crate) struct Block<T> {
    norms: [Norm<T>; 2],
    /// Queries, keys and values `[width, 3, heads, width / heads]`.
    attend: T,
    gather: T,
    up: (T, T),
    down: (T, T),
}

#[derive(Tree, Clone)]
pub(crate) struct Norm<T> {
    scale: T,
    offset: T,
}

#[derive(Tree, Clone)]
pub(crate) struct Model<T> {
    letters: T,
    places: T,
    blocks: Vec<Block<T>>,
    norm: Norm<T>,
}

fn normalised(norm: Norm<Tensor>, x: Tensor) -> Tensor {
    let centred = x - x.mean_keepdims(-1);
    centred * (centred.powi(2).mean_keepdims(-1) + 1e-5).rsqrt() * norm.scale + norm.offset
}

/// Every place looks at those up to itself.
fn attention(attend: Tensor, gather: Tensor, x: Tensor) -> Tensor {
    let (n, length) = (x.shape()[0], x.shape()[1]);
    let seen = einsum("nld,dkhe->knhle", [x, attend]);
    let [q, k, v] = [0, 1, 2].map(|i| seen.slice_axis(0, i, i + 1).squeeze(0));
    let scores = einsum("nhqe,nhke->nhqk", [q, k]) * ((WIDTH / HEADS) as f64).powf(-0.5);
    let places = [length, length];
    let later = iota(places, 1, Dtype::I32).gt(iota(places, 0, Dtype::I32));
    let weights = later.select(-1e9, scores).softmax(-1);
    einsum("nhqk,nhke->nqhe", [weights, v]).reshape([n, length, WIDTH]).matmul(gather)
}

/// Scores `[n, length, letters]` of the letters after each of `[n, length]`.
fn logits(model: Model<Tensor>, text: Tensor) -> Tensor {
    let length = text.shape()[1];
    let x = model.letters.take(text, 0, Outside::Clip) + model.places.slice_axis(0, 0, length);
    let x = model.blocks.into_iter().fold(x, |x, Block { norms: [first, second], attend, gather, up, down }| {
        let x = x + attention(attend, gather, normalised(first, x));
        let hidden = (normalised(second, x).matmul(up.0) + up.1).gelu_tanh();
        x + hidden.matmul(down.0) + down.1
    });
    normalised(model.norm, x).matmul(model.letters.t())
}

fn loss(model: Model<Tensor>, text: Tensor, next: Tensor) -> Tensor {
    losses::cross_entropy(logits(model, text), next).mean()
}

/// The model at first: normal numbers, so that what comes out of a matrix is about as large as what goes in.
fn model(letters: usize, key: Key) -> Model<Tensor> {
    let normal = |key: Key, shape: &[usize], deviation: f64| init::normal(key, shape, Dtype::F32, deviation);
    let zeros = |n: usize| zeros([n], Dtype::F32);
    let norm = || Norm { scale: ones([WIDTH], Dtype::F32), offset: zeros(WIDTH) };
    let block = |key: Key| {
        let [attend, gather, up, down] = random::split(key);
        let one = (WIDTH as f64).powf(-0.5);
        Block {
            norms: [norm(), norm()],
            attend: normal(attend, &[WIDTH, 3, HEADS, WIDTH / HEADS], one),
            gather: normal(gather, &[WIDTH, WIDTH], 0.5 * one),
            up: (normal(up, &[WIDTH, 4 * WIDTH], one), zeros(4 * WIDTH)),
            down: (normal(down, &[4 * WIDTH, WIDTH], 0.25 * one), zeros(WIDTH)),
        }
    };
    let [of_letters, of_places, first, second] = random::split(key);
    Model {
        letters: normal(of_letters, &[letters, WIDTH], 0.02),
        places: normal(of_places, &[CONTEXT, WIDTH], 0.02),
        blocks: vec![block(first), block(second)],
        norm: norm(),
    }
}

const BATCH: usize = 16;

const SCHEDULE: Schedule =
    Schedule::Warmup { steps: 30, then: &Schedule::Cosine { peak: 0.003, steps: 800, floor: 0.0002 } };

/// The letters that occur, in order, and the text as their numbers.
fn numbered() -> (Vec<char>, Vec<i32>) {
    let mut letters: Vec<char> = TEXT.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    let number = |c: char| letters.binary_search(&c).expect("it occurs") as i32;
    let text = TEXT.chars().map(number).collect();
    (letters, text)
}

/// The entropy of a letter given so many before it, over the text.
fn entropy(text: &[i32], before: usize) -> f64 {
    let (mut pairs, mut contexts) = (HashMap::new(), HashMap::new());
    for window in text.windows(before + 1) {
        *pairs.entry(window).or_insert(0.0f64) += 1.0;
        *contexts.entry(&window[..before]).or_insert(0.0f64) += 1.0;
    }
    let n: f64 = contexts.values().sum();
    pairs.iter().map(|(window, k)| -k / n * (k / contexts[&window[..before]]).ln()).sum()
}

pub(crate) fn run(args: &Args) -> Done {
    let (letters, text) = numbered();
    let [first, drawn] = random::split(random::key(0));
    let n = letters.len();
    let mut model = jit(move |key: Key| model(n, key))(&first)?;
    let adam = optim::Adam { rate: SCHEDULE, ..optim::Adam::w(0.0) };
    let mut state: AdamState<Array, Model<Array>> = jit(move |p: Model<Tensor>| adam.init(&p))(&model)?;
    let step = jit(move |p: Model<Tensor>, state: AdamState<Tensor, Model<Tensor>>, text: Tensor, key: Key| {
        let starts = random::randint(key, [BATCH, 1], 0, (text.size() - CONTEXT) as i32);
        let read = text.take(starts + arange(CONTEXT + 1, Dtype::I32), 0, Outside::Clip);
        let (x, next) = (read.slice_axis(1, 0, CONTEXT), read.slice_axis(1, 1, CONTEXT + 1));
        let (loss, gradient) = value_and_grad(loss)(p.clone(), x, next);
        (loss, adam.step(&p, &gradient, &state))
    });
    let letters_read = Array::from_vec(text.clone(), [text.len()])?;

    println!("step   loss, nats a letter");
    let mut losses = Vec::new();
    for i in 0..args.size(800u32, 50) {
        let loss;
        (loss, (model, state)) = step(&model, &state, &letters_read, &random::fold_in(drawn.clone(), i))?;
        losses.push(f64::from(loss.item::<f32>()?));
        if i % 50 == 0 {
            println!("{i:4} {:6.3}", losses[losses.len() - 1]);
        }
    }

    let known = [0, 1, 2].map(|before| entropy(&text, before));
    let last = losses.len() as f64;
    let level = |y: f64, name: &str| Series::new(name, Mark::Known, [(1.0, y), (last, y)]);
    let plot = Plot {
        title: "A transformer reads seven sonnets".to_owned(),
        x: "step".to_owned(),
        y: "nats a letter".to_owned(),
        log: false,
        series: vec![
            Series::counted("transformer", losses.clone()),
            level(known[0], "entropy of a letter"),
            level(known[1], "given one before"),
            level(known[2], "given two before"),
        ],
    };
    args.save("language_model", &plot.svg()?)?;

    let tail = &losses[losses.len() - losses.len() / 10..];
    let end = tail.iter().sum::<f64>() / tail.len() as f64;
    common::agree("loss at first, where all letters are alike", losses[0], (letters.len() as f64).ln(), 0.1)?;
    // In a few steps it learns how often letters are; in many, whole lines.
    common::between("loss at last", end, 0.0, args.size(known[2], known[0]))?;
    if !args.quick {
        let recited = recite(&model, &letters, &TEXT[..CONTEXT], 60)?;
        println!("{recited}");
        if !TEXT.contains(&recited) {
            return Err(format!("that isn't Shakespeare's: {recited}").into());
        }
    }
    Ok(())
}

/// Goes on from some text by the likeliest letter, so many times.
fn recite(model: &Model<Array>, letters: &[char], start: &str, n: usize) -> Done<String> {
    let likeliest = jit(|p: Model<Tensor>, text: Tensor| logits(p, text).argmax(-1));
    let mut written = start.to_owned();
    for _ in 0..n {
        // What comes after the text is not seen from it.
        let tail: Vec<char> = written.chars().rev().take(CONTEXT).collect();
        let mut seen: Vec<i32> =
            tail.iter().rev().map(|c| letters.binary_search(c).expect("it occurs") as i32).collect();
        let last = seen.len() - 1;
        seen.resize(CONTEXT, 0);
        let next = likeliest(model, &Array::from_vec(seen, [1, CONTEXT])?)?;
        written.push(letters[next.elements::<i32>()?[last] as usize]);
    }
    Ok(written)
}

fn main() -> ExitCode {
    common::main(run)
}
