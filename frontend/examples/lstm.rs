//! Long short-term memory on strings of the embedded Reber grammar (Hochreiter and Schmidhuber,
//! *Long Short-Term Memory*, 1997, experiment 1). Each string is `B`, `T` or `P`, a string of Reber's
//! grammar, the same `T` or `P` again, `E`: to know the last letter but one, the network has to keep
//! what it read at the beginning. Every choice of the grammar is a coin's, so the best possible loss is
//! known: ln 2 a choice, seven choices a string on average.
//!
//! ```text
//! cargo run --release --example lstm
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::optim::{self, AdamState};
use egrad::random::{self, Key};
use egrad::{Array, Dtype, Result, Tensor, Tree, arange, init, jit, losses, scan, value_and_grad, zeros};
use std::process::ExitCode;

const LETTERS: &str = "BTSXPVE";
const UNITS: usize = 16;
/// No string is longer; one in ten thousand would be.
const LENGTH: usize = 40;

/// Where each letter leads from each of the grammar's states.
const GRAMMAR: [&[(char, usize)]; 7] = [
    &[('B', 1)],
    &[('T', 2), ('P', 3)],
    &[('S', 2), ('X', 4)],
    &[('T', 3), ('V', 5)],
    &[('X', 3), ('S', 6)],
    &[('P', 4), ('V', 6)],
    &[('E', 7)],
];

/// A string, as numbers of letters, and how many choices it took, of coins; cut off where it is too long.
fn string(coins: &[bool]) -> (Vec<i32>, usize) {
    let mut coins = coins.iter().map(|c| usize::from(*c)).cycle();
    let kept = ['T', 'P'][coins.next().unwrap_or(0)];
    let (mut text, mut state, mut choices) = (String::from_iter(['B', kept]), 0, 1);
    while state < GRAMMAR.len() && text.len() <= LENGTH {
        let ways = GRAMMAR[state];
        let coin = if ways.len() > 1 { coins.next().unwrap_or(0) } else { 0 };
        choices += ways.len() - 1;
        let (letter, next) = ways[coin];
        text.push(letter);
        state = next;
    }
    text.extend([kept, 'E']);
    let numbers = text.chars().map(|c| LETTERS.find(c).expect("a letter of the grammar") as i32).collect();
    (numbers, choices)
}

/// Strings, each a column.
struct Strings {
    /// The letters but the last `[length, n]`, and the letters but the first, which are to be foretold;
    /// -1 after the end.
    read: Array,
    next: Array,
    /// How many choices there are in all.
    choices: usize,
    /// How long each is.
    lengths: Vec<usize>,
}

/// Strings of coins `[n, LENGTH]`, a row each. More choices than that fit no string that is short enough.
fn strings(coins: &Array) -> Result<Strings> {
    let n = coins.shape()[0];
    let (mut read, mut next) = (vec![-1; LENGTH * n], vec![-1; LENGTH * n]);
    let (mut choices, mut lengths) = (0, Vec::new());
    for (i, coins) in coins.elements::<bool>()?.chunks(LENGTH).enumerate() {
        let (mut text, mut took) = string(coins);
        if text.len() > LENGTH {
            // One in ten thousand: the shortest one instead.
            (text, took) = string(&[false, false, true, true]);
        }
        for (t, pair) in text.windows(2).enumerate() {
            (read[t * n + i], next[t * n + i]) = (pair[0], pair[1]);
        }
        choices += took;
        lengths.push(text.len());
    }
    let array = |letters| Array::from_vec(letters, [LENGTH, n]);
    Ok(Strings { read: array(read)?, next: array(next)?, choices, lengths })
}

#[derive(Tree, Clone)]
pub(crate) struct Lstm<T> {
    /// From a letter, from the units, and alone, to the four gates.
    input: T,
    own: T,
    bias: T,
    /// From the units to scores.
    out: T,
    out_bias: T,
}

/// The network at first. The bias of forgetting is 1, so that what is remembered is kept.
fn lstm(key: Key) -> Lstm<Tensor> {
    let n = LETTERS.len();
    let [input, own, out] = random::split(key);
    let weights = |key: Key, from: usize, to: usize| init::lecun_normal(key, [from, to], Dtype::F32);
    let gate = arange(4 * UNITS, Dtype::I32);
    Lstm {
        input: weights(input, n, 4 * UNITS),
        own: weights(own, UNITS, 4 * UNITS),
        bias: gate.ge(UNITS as i32).and(gate.lt(2 * UNITS as i32)).convert(Dtype::F32),
        out: weights(out, UNITS, n),
        out_bias: zeros([n], Dtype::F32),
    }
}

/// Scores `[length, n, letters]` of what comes next.
fn logits(lstm: Lstm<Tensor>, read: Tensor) -> Tensor {
    let n = read.shape()[1];
    let Lstm { input, own, bias, out, out_bias } = lstm;
    let step = move |(h, c): (Tensor, Tensor), x: Tensor| {
        let gates = x + h.matmul(own);
        let [i, f, g, o] = [0, 1, 2, 3].map(|k| gates.slice_axis(-1, k * UNITS, (k + 1) * UNITS));
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        let h = o.sigmoid() * c.tanh();
        ((h, c), h)
    };
    // What letters add to the gates doesn't wait for the steps before.
    let seen = read.one_hot(LETTERS.len(), Dtype::F32).matmul(input) + bias;
    let start = zeros([n, UNITS], Dtype::F32);
    let (_, units) = scan(step, (start, start), seen);
    units.matmul(out) + out_bias
}

/// The mean over strings of −ln of what is foretold of each.
fn loss(lstm: Lstm<Tensor>, read: Tensor, next: Tensor) -> Tensor {
    let there = next.ge(0);
    let each = losses::cross_entropy(logits(lstm, read), next.maximum(0));
    there.select(each, 0.0).sum() / read.shape()[1] as f32
}

/// In how many of the strings the last letter but one is foretold.
fn recalled(scores: &Array, test: &Strings) -> Result<usize> {
    let (scores, next) = (scores.elements::<f32>()?, test.next.elements::<i32>()?);
    let n = test.lengths.len();
    let right = |(i, length): (usize, &usize)| {
        let at = (length - 3) * n + i;
        let row = &scores[at * 7..at * 7 + 7];
        let other = |letter: char| row[LETTERS.find(letter).expect("a letter")];
        let said = if other('T') > other('P') { 'T' } else { 'P' };
        LETTERS.find(said) == Some(next[at] as usize)
    };
    Ok(test.lengths.iter().enumerate().filter(|x| right(*x)).count())
}

pub(crate) fn run(args: &Args) -> Done {
    let [first, of_test, of_training] = random::split(random::key(5));
    let mut lstm = jit(lstm)(&first)?;
    let adam = optim::Adam { rate: 0.01.into(), ..optim::Adam::default() };
    let mut state: AdamState<Array, Lstm<Array>> = jit(move |p: Lstm<Tensor>| adam.init(&p))(&lstm)?;
    let step = jit(move |p: Lstm<Tensor>, state: AdamState<Tensor, Lstm<Tensor>>, x: Tensor, y: Tensor| {
        let (loss, gradient) = value_and_grad(loss)(p.clone(), x, y);
        (loss, adam.step(&p, &gradient, &state))
    });
    let coins = |n: usize| jit(move |key: Key| random::bernoulli(key, 0.5, [n, LENGTH]));
    let test = strings(&coins(1000)(&of_test)?)?;
    let coins = coins(32);
    let best = test.choices as f64 * 2f64.ln() / 1000.0;
    let (score, tell) = (jit(loss), jit(logits));

    println!("steps   loss of a string  last letter but one");
    let (mut rows, steps) = (Vec::new(), args.size(3000u32, 100));
    for i in 1..=steps {
        let batch = strings(&coins(&random::fold_in(of_training.clone(), i))?)?;
        (_, (lstm, state)) = step(&lstm, &state, &batch.read, &batch.next)?;
        if i % (steps / 20) == 0 {
            let loss = f64::from(score(&lstm, &test.read, &test.next)?.item::<f32>()?);
            let right = recalled(&tell(&lstm, &test.read)?, &test)? as f64 / 1000.0;
            println!("{i:5} {loss:18.4} {:18.1} %", 100.0 * right);
            rows.push((f64::from(i), loss, right));
        }
    }
    let plot = Plot {
        title: "LSTM on the embedded Reber grammar".to_owned(),
        x: "step".to_owned(),
        y: "loss of a string, nats".to_owned(),
        log: false,
        series: vec![
            Series::new("LSTM", Mark::Line, rows.iter().map(|r| (r.0, r.1))),
            Series::new("the best there is", Mark::Known, rows.iter().map(|r| (r.0, best))),
            Series::new("and without memory", Mark::Known, rows.iter().map(|r| (r.0, best + 2f64.ln()))),
        ],
    };
    args.save("lstm", &plot.svg()?)?;
    common::agree("choices of a string", test.choices as f64 / 1000.0, 7.0, 0.5)?;
    let (_, loss, right) = rows[rows.len() - 1];
    common::agree("loss beside the best", loss, best, args.size(0.05, 6.0))?;
    common::between("last letter but one", right, args.size(0.995, 0.4), 1.0)
}

fn main() -> ExitCode {
    common::main(run)
}
