//! Steps as long as they may be: the orbit of Arenstorf, on which a satellite of Earth and Moon is back
//! where it was after 17.07 units of time. It passes the Moon so closely that steps there have to be
//! far shorter than elsewhere (Hairer, Nørsett and Wanner, *Solving Ordinary Differential
//! Equations I*, II.0, from which the numbers are).
//!
//! How far from its start it ends, for tolerances from loose to tight, says how good the steps are; the
//! monodromy, the derivative of the end by the start, says how errors grow on the way.
//!
//! ```text
//! cargo run --release --example arenstorf
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::ode::{Solution, Tolerance, solve};
use egrad::{Array, Result, Tensor, concatenate, jacfwd, jit};
use std::process::ExitCode;

/// The Moon's part of the mass, and where the satellite starts: beside the Moon.
const MOON: f64 = 0.012_277_471;
const START: [f64; 4] = [0.994, 0.0, 0.0, -2.001_585_106_379_082_5];
const PERIOD: f64 = 17.065_216_560_157_963;

/// The restricted problem of three bodies, in axes that turn with Earth and Moon: x, y and velocities.
fn satellite(state: Tensor, _t: Tensor, _: Vec<Tensor>) -> Tensor {
    let [x, y, u, v] = [0, 1, 2, 3].map(|i| state.slice_axis(0, i, i + 1));
    let pull = |from: f64, mass: f64| {
        let square = (x - from).powi(2) + y.powi(2);
        mass / (square * square.sqrt())
    };
    let (earth, moon) = (pull(-MOON, 1.0 - MOON), pull(1.0 - MOON, MOON));
    let du = x + 2.0 * v - earth * (x + MOON) - moon * (x - (1.0 - MOON));
    let dv = y - 2.0 * u - earth * y - moon * y;
    concatenate([u, v, du, dv], 0)
}

/// Where the satellite is at these times, and how many steps that took.
fn fly(times: &[f64], tolerance: f64) -> Result<(Vec<f64>, i32)> {
    let tolerance = Tolerance { rtol: tolerance, atol: tolerance, steps: 100_000 };
    let way = jit(move |start: Tensor, ts: Tensor| solve(satellite, start, ts, vec![], tolerance));
    let (start, ts) = (Array::from_vec(START.to_vec(), [4])?, Array::from_vec(times.to_vec(), [times.len()])?);
    let Solution { ys, steps } = way(&start, &ts)?;
    Ok((ys.to_f64(), steps.elements::<i32>()?.iter().sum()))
}

pub(crate) fn run(args: &Args) -> Done {
    println!("tolerance  steps  distance from the start, in place");
    let mut rows = Vec::new();
    for digits in args.size(vec![5, 6, 7, 8, 9, 10, 11, 12], vec![6, 10]) {
        let tolerance = 10f64.powi(-digits);
        let (ys, steps) = fly(&[0.0, PERIOD], tolerance)?;
        let away = (ys[4] - START[0]).hypot(ys[5] - START[1]);
        println!("{tolerance:9.0e} {steps:6} {away:14.2e}");
        rows.push((f64::from(steps), away));
    }
    let times: Vec<f64> = (0..=1000).map(|i| PERIOD * f64::from(i) / 1000.0).collect();
    let (way, _) = fly(&times, 1e-10)?;
    let plot = Plot {
        title: "The orbit of Arenstorf".to_owned(),
        x: "x".to_owned(),
        y: "y".to_owned(),
        log: false,
        series: vec![
            Series::new("satellite", Mark::Line, way.chunks(4).map(|s| (s[0], s[1]))),
            Series::new("Earth and Moon", Mark::Dots, [(-MOON, 0.0), (1.0 - MOON, 0.0)]),
        ],
    };
    args.save("arenstorf", &plot.svg()?)?;

    // What keeps volumes in phase space has a monodromy of determinant 1.
    let tolerance = Tolerance { rtol: 1e-11, atol: 1e-11, steps: 100_000 };
    let last = move |start: Tensor, ts: Tensor| {
        solve(satellite, start, ts, vec![], tolerance).ys.slice_axis(0, 1, 2).squeeze(0)
    };
    let half = Array::from_vec(vec![0.0, PERIOD / 2.0], [2])?;
    let monodromy = jit(jacfwd(last))(&Array::from_vec(START.to_vec(), [4])?, &half)?;
    let matrix: Vec<Vec<f64>> = monodromy.to_f64().chunks(4).map(<[f64]>::to_vec).collect();
    common::agree("determinant of the flow's derivative", determinant(matrix), 1.0, 1e-4)?;
    let (_, away) = rows[rows.len() - 1];
    common::between("distance from the start", away, 0.0, args.size(1e-5, 1e-3))?;
    // A tolerance 10⁴ times tighter takes about 10⁴ᐟ⁵ = 6.3 times as many steps, of a method of order 5.
    let (loose, tight) = (rows[args.size(1, 0)].0, rows[args.size(5, 1)].0);
    common::between("more steps for 10⁻¹⁰ than for 10⁻⁶", tight / loose, 4.0, 7.5)
}

/// The determinant, by elimination.
fn determinant(mut m: Vec<Vec<f64>>) -> f64 {
    let mut product = 1.0;
    while let Some(width) = m.first().map(Vec::len) {
        let best = (0..m.len()).max_by(|a, b| m[*a][0].abs().total_cmp(&m[*b][0].abs())).unwrap_or(0);
        if best != 0 {
            product = -product;
        }
        m.swap(0, best);
        let pivot = m.remove(0);
        product *= pivot[0];
        for row in &mut m {
            let by = row[0] / pivot[0];
            *row = (1..width).map(|i| row[i] - by * pivot[i]).collect();
        }
    }
    product
}

fn main() -> ExitCode {
    common::main(run)
}
