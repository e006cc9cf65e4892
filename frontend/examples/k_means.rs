//! k-means on hand-written digits: Lloyd's method from several starts at once, each until nothing moves
//! any more (`vmap` of `while_loop`), and the best of what they end with. Where it ends the gradient of
//! the cost is zero, which `grad` says without knowing the method.
//!
//! ```text
//! cargo run --release --example k_means
//! ```

pub(crate) mod common;

use common::random::Random;
use common::{Args, Done, digits, picture};
use egrad::{Array, Dtype, Tensor, grad, jit, ones, vmap, while_loop, zeros};
use std::process::ExitCode;

const CLUSTERS: usize = 10;

/// The squares of distances `[n, clusters]`.
fn distances(centres: Tensor, x: Tensor) -> Tensor {
    let (own, of_centres) = (x.powi(2).sum_keepdims(-1), centres.powi(2).sum_axes(-1));
    own + of_centres - 2.0 * x.matmul(centres.t())
}

/// What is to be as small as possible: the squares of distances from the nearest centres.
fn cost(centres: Tensor, x: Tensor) -> Tensor {
    distances(centres, x).min_axes(-1).sum()
}

/// The means of what is nearest to each centre. A centre to which nothing is nearest stays.
fn moved(centres: Tensor, x: Tensor) -> Tensor {
    let nearest = distances(centres, x).argmin(-1);
    let sums = x.segment_sum(nearest, CLUSTERS);
    let sizes = ones([x.shape()[0], 1], x.dtype()).segment_sum(nearest, CLUSTERS);
    sizes.gt(0.0).select(sums / sizes.maximum(1.0), centres)
}

/// Where the centres end, and after how many steps.
fn lloyd(centres: Tensor, x: Tensor) -> (Tensor, Tensor) {
    let more = |(before, now, _): (Tensor, Tensor, Tensor)| before.not_equal(now).any();
    let go = move |(_, now, n): (Tensor, Tensor, Tensor)| (now, moved(now, x), n + 1);
    let (_, last, n) = while_loop(more, go, (centres, moved(centres, x), zeros([], Dtype::I32) + 1));
    (last, n)
}

/// Which part of the images belongs to a cluster whose commonest digit is theirs.
fn purity(nearest: &[i32], digits: &[i32]) -> f64 {
    let mut counts = [[0usize; 10]; CLUSTERS];
    for (cluster, digit) in nearest.iter().zip(digits) {
        counts[*cluster as usize][*digit as usize] += 1;
    }
    counts.iter().filter_map(|row| row.iter().max()).sum::<usize>() as f64 / digits.len() as f64
}

pub(crate) fn run(args: &Args) -> Done {
    let (train, held_out) = digits::images();
    let images: Vec<digits::Image> = train.into_iter().chain(held_out).take(args.size(1797, 600)).collect();
    let (x, labels) = digits::arrays(images.iter())?;
    // As in the file, 0 to 16, in f64.
    let x = Array::from_vec(x.to_f64().iter().map(|p| 16.0 * p).collect(), [images.len(), digits::PIXELS])?;
    let starts = args.size(32, 4);
    let mut random = Random(2);
    let mut first: Vec<f64> = Vec::new();
    for _ in 0..starts {
        let mut order: Vec<usize> = (0..images.len()).collect();
        random.shuffle(&mut order);
        first.extend(order[..CLUSTERS].iter().flat_map(|i| images[*i].0.map(|p| 16.0 * f64::from(p))));
    }
    let first = Array::from_vec(first, [starts, CLUSTERS, digits::PIXELS])?;

    let all = jit(vmap(
        |c: Tensor, x: Tensor| {
            let (last, n) = lloyd(c, x);
            (last, cost(last, x), n)
        },
        (0, None),
    ));
    let (ends, costs, steps) = all(&first, &x)?;
    let costs = costs.to_f64();
    println!("start  steps         cost");
    for (i, (cost, steps)) in costs.iter().zip(steps.to_f64()).enumerate() {
        println!("{i:5} {steps:6} {cost:12.2}");
    }
    let best = (0..starts).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
    let size = CLUSTERS * digits::PIXELS;
    let centres = Array::from_vec(ends.to_f64()[best * size..][..size].to_vec(), [CLUSTERS, digits::PIXELS])?;
    let nearest = jit(|c: Tensor, x: Tensor| distances(c, x).argmin(-1))(&centres, &x)?;
    let purity = purity(nearest.elements::<i32>()?, labels.elements::<i32>()?);
    let slope = jit(grad(cost))(&centres, &x)?.to_f64().iter().fold(0.0f64, |most, g| most.max(g.abs()));

    let centre = |(i, c): (usize, &[f64])| (format!("cluster {i}"), c.to_vec(), 8);
    let pictures: Vec<_> = centres.to_f64().chunks(digits::PIXELS).enumerate().map(centre).collect();
    args.save("k_means", &picture::fields("Centres of ten clusters of digits", &pictures, 5)?)?;
    common::between("gradient where it ends, at most", slope, 0.0, 1e-6)?;
    common::between("purity", purity, 0.7, 1.0)?;
    // SciPy's kmeans2 finds 1,165,118.4 in all images and 366,817.7 in the first 600, of 60 starts.
    let known = args.size(1_165_118.4, 366_817.7);
    common::agree("the least cost", costs[best], known, args.size(1e-4, 0.05) * known)
}

fn main() -> ExitCode {
    common::main(run)
}
