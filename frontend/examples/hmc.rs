//! Hamiltonian Monte Carlo on the eight schools (Rubin, *Estimation in parallel randomized experiments*,
//! 1981): how much did coaching help in each of eight schools, whose effects have a common mean and
//! spread? Many chains run at once (`vmap`), each a `scan` over its draws, compiled as one program.
//!
//! The posterior's means are known: given the spread everything is normal, so one integral is left,
//! which is done here by sums.
//!
//! ```text
//! cargo run --release --example hmc
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::random::{self, Key};
use egrad::{Array, Dtype, Result, ScanOptions, Tensor, fori_loop, jit, scan_with, value_and_grad, vmap, zeros};
use std::process::ExitCode;

/// The effects measured, in points of a test, and their standard errors.
const EFFECTS: [f64; 8] = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
const ERRORS: [f64; 8] = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0];

/// The logarithm of the density, up to a constant, at [mean / 5, ln spread, and how far each school is from
/// the mean in spreads]. Before the data: the mean is normal with deviation 5, the spread half Cauchy
/// with scale 5.
fn log_density(at: Tensor, data: (Tensor, Tensor)) -> Tensor {
    let part = |from: usize, to: usize| at.slice_axis(0, from, to);
    let (mean, log_spread, apart) = (part(0, 1), part(1, 2), part(2, 10));
    let spread = log_spread.exp();
    let (effects, errors) = data;
    let misses = (effects - 5.0 * mean - spread * apart) / errors;
    // The last term makes a density of the spread one of its logarithm.
    let of_spread = log_spread - (spread / 5.0).powi(2).log1p();
    of_spread.sum() - 0.5 * (mean.powi(2).sum() + apart.powi(2).sum() + misses.powi(2).sum())
}

/// A chain's draws `[draws, 10]`, and which part of the proposals it took.
fn chain(key: Key, data: (Tensor, Tensor), draws: usize, leaps: i32, step: f64) -> (Tensor, Tensor) {
    let slope = move |at: Tensor| value_and_grad(log_density)(at, data);
    let draw = move |(at, key): (Tensor, Key), _: Vec<Tensor>| {
        let [next, of_push, of_length, of_choice] = random::split(key);
        let push = random::normal(of_push, [10], Dtype::F64);
        // Steps of several lengths, so that no chain runs in circles.
        let dt = step * random::uniform_between(of_length, [], Dtype::F64, 0.6, 1.2);
        let (density, force) = slope(at);
        let leap = move |_: Tensor, (x, p, force): (Tensor, Tensor, Tensor)| {
            let p = p + 0.5 * dt * force;
            let x = x + dt * p;
            let force = slope(x).1;
            (x, p + 0.5 * dt * force, force)
        };
        let (x, p, _) = fori_loop(0, leaps, leap, (at, push, force));
        let gain = slope(x).0 - density - 0.5 * (p.powi(2).sum() - push.powi(2).sum());
        let taken = random::uniform(of_choice, [], Dtype::F64).log().lt(gain);
        let at = taken.select(x, at);
        ((at, next), (at, taken.convert(Dtype::F64)))
    };
    let start = zeros([10], Dtype::F64);
    let options = ScanOptions { length: Some(draws), ..ScanOptions::default() };
    let (_, (all, taken)) = scan_with(draw, (start, key), Vec::<Tensor>::new(), options);
    (all, taken.mean())
}

/// The posterior's means: of the common mean, of the spread, and of the first school's effect.
fn known() -> [f64; 3] {
    let (mut sums, mut weights) = ([0.0; 3], 0.0);
    let n = 400_000;
    for i in 0..n {
        // Spreads of equal probability before the data.
        let spread = 5.0 * (std::f64::consts::FRAC_PI_2 * (f64::from(i) + 0.5) / f64::from(n)).tan();
        let variances = ERRORS.map(|e| e * e + spread * spread);
        let precision = 1.0 / 25.0 + variances.iter().map(|v| 1.0 / v).sum::<f64>();
        let pulled: f64 = EFFECTS.iter().zip(variances).map(|(y, v)| y / v).sum();
        let mean = pulled / precision;
        let misfit: f64 = EFFECTS.iter().zip(variances).map(|(y, v)| v.ln() + y * y / v).sum();
        let weight = (-0.5 * (misfit + precision.ln() - pulled * mean)).exp();
        let own = spread.powi(2) / variances[0];
        let first = own * EFFECTS[0] + (1.0 - own) * mean;
        for (sum, x) in sums.iter_mut().zip([mean, spread, first]) {
            *sum += weight * x;
        }
        weights += weight;
    }
    sums.map(|sum| sum / weights)
}

/// How far the means of independent chains are spread, in relation to what one chain is: R̂ of Gelman
/// and Rubin, of `[chains][draws]`.
fn r_hat(chains: &[Vec<f64>]) -> f64 {
    let n = chains[0].len() as f64;
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let variance = |x: &[f64]| {
        let m = mean(x);
        x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (x.len() - 1) as f64
    };
    let within = mean(&chains.iter().map(|c| variance(c)).collect::<Vec<_>>());
    let between = variance(&chains.iter().map(|c| mean(c)).collect::<Vec<_>>());
    ((n - 1.0) / n + between / within).sqrt()
}

fn sample(chains: usize, draws: usize) -> Result<(Vec<f64>, f64)> {
    let data = (Array::from_vec(EFFECTS.to_vec(), [8])?, Array::from_vec(ERRORS.to_vec(), [8])?);
    let one = move |key: Key, data: (Tensor, Tensor)| chain(key, data, draws, 8, 0.3);
    let run = jit(move |key: Key, data: (Tensor, Tensor)| {
        let (all, taken) = vmap(one, (0, None))(random::split_many(key, chains), data);
        (all, taken.mean())
    });
    let (all, taken) = run(&random::key(1), &data)?;
    Ok((all.to_f64(), taken.item()?))
}

/// A number of a draw.
type Value = fn(&[f64]) -> f64;

pub(crate) fn run(args: &Args) -> Done {
    let (chains, draws) = args.size((64, 3000), (16, 800));
    let (all, taken) = sample(chains, draws)?;
    let warm = draws / 5;
    let of = |value: Value| -> Vec<Vec<f64>> {
        let chain = |c: &[f64]| c.chunks(10).skip(warm).map(value).collect();
        all.chunks(draws * 10).map(chain).collect()
    };
    let values: [(&str, Value); 3] = [
        ("common mean", |x| 5.0 * x[0]),
        ("spread", |x| x[1].exp()),
        ("effect in the first school", |x| 5.0 * x[0] + x[1].exp() * x[2]),
    ];
    println!("what                           mean     R̂");
    let mut means = Vec::new();
    for (name, value) in values {
        let each = of(value);
        let mean = each.iter().flatten().sum::<f64>() / (chains * (draws - warm)) as f64;
        println!("{name:28} {mean:6.3} {:6.4}", r_hat(&each));
        means.push((name, mean, r_hat(&each)));
    }
    let places = all.chunks(10).skip(warm).step_by(args.size(40, 10));
    let plot = Plot {
        title: "Eight schools: draws of the common mean and the spread".to_owned(),
        x: "common mean, points".to_owned(),
        y: "ln spread".to_owned(),
        log: false,
        series: vec![Series::new("draws", Mark::Dots, places.map(|x| (5.0 * x[0], x[1])))],
    };
    args.save("hmc", &plot.svg()?)?;
    common::between("part of the proposals taken", taken, 0.6, 0.98)?;
    for ((name, mean, r_hat), known) in means.into_iter().zip(known()) {
        common::agree(name, mean, known, args.size(0.06, 0.2))?;
        common::between("its R̂", r_hat, 0.9, args.size(1.01, 1.1))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    common::main(run)
}
