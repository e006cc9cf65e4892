//! One step of Dormand and Prince's method, and how long it should be.

use super::{Reached, Tolerance};
use crate::tensor::{Tensor, concatenate, ones_like, zeros_like};
use std::rc::Rc;

/// The right-hand side of y and t.
pub(super) type Slope = Rc<dyn Fn(Tensor, Tensor) -> Tensor>;

/// Stages 2 to 7: when they are, and what they add of the slopes before. The last one is the step
/// itself. Dormand and Prince, *A family of embedded Runge-Kutta formulae*, 1980.
const STAGES: [(f64, &[f64]); 6] = [
    (1.0 / 5.0, &[1.0 / 5.0]),
    (3.0 / 10.0, &[3.0 / 40.0, 9.0 / 40.0]),
    (4.0 / 5.0, &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0]),
    (8.0 / 9.0, &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0]),
    (1.0, &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0]),
    (1.0, &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0]),
];

/// What the step of order 5 has of each slope more than that of order 4.
const ERROR: [f64; 7] = [
    35.0 / 384.0 - 1951.0 / 21600.0,
    0.0,
    500.0 / 1113.0 - 22642.0 / 50085.0,
    125.0 / 192.0 - 451.0 / 720.0,
    -2187.0 / 6784.0 + 12231.0 / 42400.0,
    11.0 / 84.0 - 649.0 / 6300.0,
    -1.0 / 60.0,
];

/// What the middle of the step has of each slope. Shampine, *Some practical Runge-Kutta formulas*, 1986.
const MIDDLE: [f64; 7] = [
    6025192743.0 / 30085553152.0 / 2.0,
    0.0,
    51252292925.0 / 65400821598.0 / 2.0,
    -2691868925.0 / 45128329728.0 / 2.0,
    187940372067.0 / 1594534317056.0 / 2.0,
    -1776094331.0 / 19743644256.0 / 2.0,
    11237099.0 / 235043384.0 / 2.0,
];

/// Σ weight · slope, of weights that aren't 0.
fn weighted(weights: &[f64], slopes: &[Tensor]) -> Tensor {
    let terms = weights.iter().zip(slopes).filter(|(w, _)| **w != 0.0).map(|(w, k)| *k * *w);
    terms.reduce(|a, b| a + b).unwrap_or_else(|| zeros_like(slopes[0]))
}

/// The root mean square.
fn size(x: Tensor) -> Tensor {
    if x.size() == 0 { x.sum() } else { x.powi(2).mean().sqrt() }
}

/// How long the first step should be: Hairer, Nørsett and Wanner, *Solving Ordinary Differential
/// Equations I*, II.4.
pub(super) fn first(field: &Slope, y: Tensor, t: Tensor, slope: Tensor, tolerance: Tolerance) -> Tensor {
    let scale = 1.0 / (y.abs() * tolerance.rtol + tolerance.atol);
    let (d0, d1) = (size(y * scale), size(slope * scale));
    let still = d0.lt(1e-5).or(d1.lt(1e-5));
    let short = still.select(1e-6, 0.01 * d0 / still.select(1.0, d1));
    let after = field(y + short * slope, t + short);
    let d2 = size((after - slope) * scale) / short;
    let most = d1.maximum(d2);
    let straight = most.le(1e-15);
    let long = straight.select((short * 1e-3).maximum(1e-6), (0.01 / straight.select(1.0, most)).pow(1.0 / 5.0));
    (short * 100.0).minimum(long).stop_gradient()
}

/// The curve of no step at all.
pub(super) fn resting(y: Tensor) -> Tensor {
    let zero = zeros_like(y);
    stacked([zero, zero, zero, zero, y])
}

fn stacked(rows: [Tensor; 5]) -> Tensor {
    concatenate(rows.map(|row| row.expand_dims(0)), 0)
}

/// What has been reached after trying a step: more, or as much as before and a shorter step to try.
pub(super) fn tried(field: &Slope, at: Reached<Tensor>, tolerance: Tolerance) -> Reached<Tensor> {
    let Reached { y, slope, t, dt, before, curve } = at;
    let (mut slopes, mut end) = (vec![slope], y);
    for (when, weights) in STAGES {
        end = y + dt * weighted(weights, &slopes);
        slopes.push(field(end, t + dt * when));
    }
    let allowed = y.abs().maximum(end.abs()) * tolerance.rtol + tolerance.atol;
    let error = size((dt * weighted(&ERROR, &slopes) / allowed).stop_gradient());
    let taken = error.le(1.0);
    // As long as the error asks for, with some safety; no shorter after a step that was taken.
    let factor = (error.pow(-0.2) * 0.9).maximum(taken.select(ones_like(dt), 0.2)).minimum(10.0);
    let last = slopes[6];
    let new = fitted([y, y + dt * weighted(&MIDDLE, &slopes), end], [slope, last], dt);
    Reached {
        y: taken.select(end, y),
        slope: taken.select(last, slope),
        t: taken.select(t + dt, t),
        dt: (dt * factor).stop_gradient(),
        before: taken.select(t, before),
        curve: taken.select(new, curve),
    }
}

/// The polynomial of order 4 through a step's begin, middle and end, with the slopes at begin and end.
fn fitted([begin, middle, end]: [Tensor; 3], [first, last]: [Tensor; 2], dt: Tensor) -> Tensor {
    let (first, last) = (first * dt, last * dt);
    stacked([
        2.0 * (last - first) - 8.0 * (begin + end) + 16.0 * middle,
        5.0 * first - 3.0 * last + 18.0 * begin + 14.0 * end - 32.0 * middle,
        last - 4.0 * first - 11.0 * begin - 5.0 * end + 16.0 * middle,
        first,
        begin,
    ])
}

/// y at a time within the last step; NaN beyond.
pub(super) fn between(at: &Reached<Tensor>, target: Tensor) -> Tensor {
    let went = at.t.gt(at.before);
    let part = (target - at.before) / went.select(at.t - at.before, 1.0);
    let row = |i: usize| at.curve.slice_axis(0, i, i + 1).squeeze(0);
    let y = (1..5).fold(row(0), |y, i| y * part + row(i));
    target.ge(at.before).and(target.le(at.t)).select(y, f64::NAN)
}
