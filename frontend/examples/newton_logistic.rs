//! Logistic regression by Newton's method: which digits are even? Each step solves for the direction
//! with the method of conjugate gradients, which needs products with the Hessian alone (`hvp`). The
//! gradient's norm squares from step to step, once it is small.
//!
//! ```text
//! cargo run --release --example newton_logistic
//! ```

pub(crate) mod common;

use common::picture::{Plot, Series};
use common::{Args, Done};
use egrad::{Array, Result, Tensor, hvp, jit, losses, value_and_grad};
use std::process::ExitCode;

const PIXELS: usize = 64;

/// The mean loss and a little weight decay, which makes the minimum the only one.
fn loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor {
    let logits = x.matmul(w);
    losses::binary_cross_entropy(logits, y).mean() + w.powi(2).sum() * 0.5e-3
}

/// How a step began, and what it took.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The loss.
    loss: f64,
    /// The gradient's norm.
    norm: f64,
    /// How many products with the Hessian solving took.
    products: usize,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves H d = g by conjugate gradients, to a residual of 10⁻¹⁰ of g; and how many products it took.
fn solve(g: &[f64], product: impl Fn(&[f64]) -> Result<Vec<f64>>) -> Result<(Vec<f64>, usize)> {
    let (mut d, mut r) = (vec![0.0; g.len()], g.to_vec());
    let (mut p, mut rr) = (r.clone(), dot(g, g));
    let enough = rr * 1e-20;
    let mut products = 0;
    while rr > enough && products < 10 * g.len() {
        let hp = product(&p)?;
        products += 1;
        let alpha = rr / dot(&p, &hp);
        for i in 0..d.len() {
            d[i] += alpha * p[i];
            r[i] -= alpha * hp[i];
        }
        let next = dot(&r, &r);
        for i in 0..p.len() {
            p[i] = r[i] + next / rr * p[i];
        }
        rr = next;
    }
    Ok((d, products))
}

/// Newton's steps from zero, on so many images, until the gradient is 10⁻¹².
fn minimise(images: usize) -> Result<Vec<Step>> {
    let mut pixels = Vec::new();
    let mut even = Vec::new();
    for line in include_str!("../data/digits.csv").lines().take(images) {
        let numbers: Vec<f64> = line.split(',').map(|n| n.parse().expect("the file holds numbers")).collect();
        pixels.extend(numbers[..PIXELS].iter().map(|p| p / 16.0));
        // A constant, for the bias.
        pixels.push(1.0);
        even.push(if numbers[PIXELS] % 2.0 == 0.0 { 1.0 } else { 0.0 });
    }
    let n = even.len();
    let (x, y) = (Array::from_vec(pixels, [n, PIXELS + 1])?, Array::from_vec(even, [n])?);
    let (gradient, product) = (jit(value_and_grad(loss)), jit(hvp(loss)));
    let vector = |v: &[f64]| Array::from_vec(v.to_vec(), [v.len()]);

    let mut w = vec![0.0; PIXELS + 1];
    let mut steps = Vec::new();
    for _ in 0..30 {
        let at = vector(&w)?;
        let (value, g) = gradient(&at, &x, &y)?;
        let (loss, g) = (value.item::<f64>()?, g.to_f64());
        let norm = dot(&g, &g).sqrt();
        let small = norm < 1e-12;
        let (d, products) = match small {
            true => (vec![0.0; g.len()], 0),
            false => solve(&g, |p| Ok(product(&(at.clone(), x.clone(), y.clone()), &vector(p)?)?.to_f64()))?,
        };
        steps.push(Step { loss, norm, products });
        if small {
            break;
        }
        w.iter_mut().zip(&d).for_each(|(w, d)| *w -= d);
    }
    Ok(steps)
}

pub(crate) fn run(args: &Args) -> Done {
    let steps = minimise(args.size(1797, 300))?;
    println!("step        loss  gradient  products with the Hessian");
    for (i, Step { loss, norm, products }) in steps.iter().enumerate() {
        println!("{i:4} {loss:11.8} {norm:9.1e} {products:26}");
    }
    let plot = Plot {
        title: "Newton's method on logistic regression".to_owned(),
        x: "step".to_owned(),
        y: "norm of the gradient".to_owned(),
        log: true,
        series: vec![Series::counted("gradient", steps.iter().map(|s| s.norm))],
    };
    args.save("newton_logistic", &plot.svg()?)?;
    let last = steps.len() - 1;
    common::agree("loss of knowing nothing", steps[0].loss, 2f64.ln(), 1e-12)?;
    common::between("steps", last as f64, 3.0, 15.0)?;
    common::between("gradient at last", steps[last].norm, 0.0, 1e-12)?;
    let (before, after) = (steps[last - 2].norm, steps[last - 1].norm);
    common::between("exponent of a late step", after.ln() / before.ln(), 1.5, 3.0)?;
    // The minimum that NumPy finds, which solves with the whole Hessian.
    common::agree("loss at last", steps[last].loss, args.size(0.225_412_405_468, 0.132_039_650_378), 1e-11)
}

fn main() -> ExitCode {
    common::main(run)
}
