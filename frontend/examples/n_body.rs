//! Three bodies on the figure of eight that Chenciner and Montgomery found (2000), which they run
//! along forever. The forces are the gradient of the potential; steps are those of leapfrog, which
//! keeps the energy.
//!
//! ```text
//! cargo run --release --example n_body
//! ```

pub(crate) mod common;

use common::picture::{Mark, Plot, Series};
use common::{Args, Done};
use egrad::{Array, Dtype, Result, Tensor, Tree, eye, grad, jit};
use std::process::ExitCode;

/// Places and velocities of bodies in the plane, each `[n, 2]`; all have mass 1, as has the constant
/// of gravitation.
#[derive(Tree, Clone)]
pub(crate) struct Bodies<T> {
    x: T,
    v: T,
}

/// −Σ 1/r over pairs.
fn potential(x: Tensor) -> Tensor {
    let n = x.shape()[0];
    let apart = x.expand_dims(1) - x.expand_dims(0);
    let oneself = eye(n, n, Dtype::F64);
    // A body is no distance from itself: there 1/√1 is taken off again.
    let inverse = (apart.powi(2).sum_axes(-1) + oneself).rsqrt() - oneself;
    inverse.sum() * -0.5
}

/// One step of leapfrog: half a kick, a drift, half a kick.
fn step(b: Bodies<Tensor>, dt: Tensor) -> Bodies<Tensor> {
    let force = |x: Tensor| -grad(potential)(x);
    let v = b.v + force(b.x) * dt * 0.5;
    let x = b.x + v * dt;
    Bodies { x, v: v + force(x) * dt * 0.5 }
}

fn energy(b: Bodies<Tensor>) -> Tensor {
    b.v.powi(2).sum() * 0.5 + potential(b.x)
}

/// Published initial conditions.
fn figure_of_eight() -> Result<Bodies<Array>> {
    let (x, y) = (0.97000436, -0.24308753);
    let (u, w) = (0.93240737, 0.86473146);
    Ok(Bodies {
        x: Array::from_vec(vec![x, y, -x, -y, 0.0, 0.0], [3, 2])?,
        v: Array::from_vec(vec![u / 2.0, w / 2.0, u / 2.0, w / 2.0, -u, -w], [3, 2])?,
    })
}

/// The time after which the bodies are back.
const PERIOD: f64 = 6.32591398;

/// How things stand after a part of the period.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The time.
    time: f64,
    /// The energy less that at the start.
    drift: f64,
    /// How far the bodies are from where they started, at most.
    distance: f64,
}

/// One period in so many steps; eight rows.
fn orbit(steps: usize) -> Result<Vec<Row>> {
    let start = figure_of_eight()?;
    let (step, energy) = (jit(step), jit(energy));
    let dt = PERIOD / steps as f64;
    let e0 = energy(&start)?.item::<f64>()?;
    let (mut bodies, mut rows) = (start.clone(), Vec::new());
    for i in 1..=steps {
        bodies = step(&bodies, &Array::from(dt))?;
        if i % (steps / 8) == 0 {
            let away = bodies.x.to_f64().iter().zip(start.x.to_f64()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            rows.push(Row { time: dt * i as f64, drift: energy(&bodies)?.item::<f64>()? - e0, distance: away });
        }
    }
    Ok(rows)
}

/// Where the bodies are, through a period.
fn ways(steps: usize) -> Result<[Vec<(f64, f64)>; 3]> {
    let (step, dt) = (jit(step), Array::from(PERIOD / steps as f64));
    let (mut bodies, mut ways) = (figure_of_eight()?, [const { Vec::new() }; 3]);
    for _ in 0..steps {
        bodies = step(&bodies, &dt)?;
        for (way, x) in ways.iter_mut().zip(bodies.x.to_f64().chunks(2)) {
            way.push((x[0], x[1]));
        }
    }
    Ok(ways)
}

pub(crate) fn run(args: &Args) -> Done {
    let steps = args.size(8000, 1600);
    let (coarse, fine) = (orbit(steps / 2)?, orbit(steps)?);
    println!("    time  energy − energy at the start  distance from the start");
    for row in &fine {
        println!("{:8.4} {:29.2e} {:24.2e}", row.time, row.drift, row.distance);
    }
    // A third of the way of each, so that all three are seen.
    let thirds = ways(480)?.into_iter().zip(["first", "second", "third"]);
    let plot = Plot {
        title: "Three bodies on a figure of eight, for a third of the period".to_owned(),
        x: "x".to_owned(),
        y: "y".to_owned(),
        log: false,
        series: thirds.map(|(way, name)| Series::new(name, Mark::Line, way.into_iter().take(160))).collect(),
    };
    args.save("n_body", &plot.svg()?)?;
    let drift = fine.iter().map(|row| row.drift.abs()).fold(0.0, f64::max);
    common::between("drift of the energy, at most", drift, 0.0, args.size(1e-6, 2e-5))?;
    common::between("distance after half the period", fine[3].distance, 0.1, 3.0)?;
    common::between("distance after the period", fine[7].distance, 0.0, 1e-3)?;
    // Leapfrog is of second order.
    common::between("that of half as many steps, beside", coarse[7].distance / fine[7].distance, 3.5, 4.5)
}

fn main() -> ExitCode {
    common::main(run)
}
