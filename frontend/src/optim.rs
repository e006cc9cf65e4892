//! Optimizers: plain functions over trees, to be traced with whatever they follow.
//!
//! Each optimizer is a struct of numbers with two methods: `init` makes its state from parameters,
//! `step` makes new parameters and a new state of parameters, gradients and state. A number is the
//! same in every step, or a tensor, as a [`Schedule`] makes of the count of steps. Numbers and
//! formulas are those of optax.
//!
//! ```
//! use egrad::{Array, Tensor, grad, jit, optim};
//! # fn main() -> egrad::Result<()> {
//! let loss = |x: Tensor| (x - 3.0).powi(2).sum();
//! let adam = optim::Adam { rate: 0.1.into(), ..Default::default() };
//! let init = jit(move |x: Tensor| adam.init(&x));
//! let step = jit(move |x: Tensor, state: optim::AdamState<Tensor, Tensor>| {
//!     let gradient = grad(loss)(x);
//!     adam.step(&x, &gradient, &state)
//! });
//! let mut x = Array::from_vec(vec![0.0f32, 10.0], [2])?;
//! let mut state = init(&x)?;
//! for _ in 0..300 {
//!     (x, state) = step(&x, &state)?;
//! }
//! assert!(x.to_f64().iter().all(|x| (x - 3.0).abs() < 1e-2));
//! # Ok(()) }
//! ```

use crate::Tree;
use crate::raise;
use crate::tensor::{Tensor, zeros, zeros_like};
use crate::tree::{self, Flat, Traced, build, zip};
use egrad_ir::{Dtype, Error, Span};
use std::f64::consts::PI;

/// A rate: the same in every step, or a function of the count of steps made so far.
///
/// ```
/// use egrad::optim::Schedule;
/// let rate = Schedule::Warmup { steps: 10, then: &Schedule::Cosine { peak: 0.1, steps: 90, floor: 0.0 } };
/// # let _ = rate;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant(f64),
    /// Multiplied by `factor` after every so many steps.
    Step {
        /// The rate at first.
        start: f64,
        /// What it is multiplied by.
        factor: f64,
        /// After how many steps each time.
        every: usize,
    },
    /// From `peak` to `floor` along half a cosine, and there it stays.
    Cosine {
        /// The rate at first.
        peak: f64,
        /// After how many steps it is at the floor.
        steps: usize,
        /// The rate at last.
        floor: f64,
    },
    /// From 0 to the first rate of what follows, along a line; then what follows, from its beginning.
    Warmup {
        /// How many steps the line takes.
        steps: usize,
        /// What follows.
        then: &'static Schedule,
    },
}

impl From<f64> for Schedule {
    fn from(rate: f64) -> Schedule {
        Schedule::Constant(rate)
    }
}

impl Schedule {
    /// The rate after so many steps, an integer scalar, as `f32`.
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), for a count that is no integer; [`Error::Shape`] for periods of 0
    /// steps.
    #[track_caller]
    pub fn at(&self, count: Tensor) -> Tensor {
        let span = Span::here();
        if count.dtype() != Dtype::I32 || count.rank() > 0 {
            let m = format!("`Schedule::at` takes a count, i32[], not {}", count.aval());
            raise::throw(Error::dtype(m).at(span));
        }
        let few = |steps: usize| {
            if steps == 0 {
                raise::throw(Error::shape("a schedule of 0 steps").at(span));
            }
            steps as f64
        };
        let done = count.convert(Dtype::F32);
        match self {
            Schedule::Constant(rate) => done * 0.0 + *rate,
            Schedule::Step { start, factor, every } => {
                // How often it has been, rounded down.
                let times = (done / few(*every)).convert(Dtype::I32).convert(Dtype::F32);
                (times * 0.0 + *factor).pow(times) * *start
            }
            Schedule::Cosine { peak, steps, floor } => {
                let along = (done / few(*steps)).minimum(1.0);
                ((along * PI).cos() * 0.5 + 0.5) * (*peak - *floor) + *floor
            }
            Schedule::Warmup { steps, then } => {
                let n = few(*steps);
                let first = then.at(zeros_like(count));
                let after = then.at((count - *steps as i32).maximum(0));
                done.lt(n).select(first * done / n, after)
            }
        }
    }
}

/// How a parameter moves: new parameters and states of old ones and gradients, leaf by leaf.
///
/// The trees beside the parameters must have their structure, leaf for leaf the same shape.
#[track_caller]
fn moved<P: Traced, const N: usize>(
    name: &str,
    params: &P,
    others: [(&str, &P); N],
    mut step: impl FnMut(Tensor, [Tensor; N]) -> [Tensor; N],
) -> [P; N] {
    let span = Span::here();
    let flat = Flat::of(params);
    let rest = raise::get(zip(name, ("the parameters", params), &others, span));
    let paths = tree::paths(params);
    let mut new: [Vec<Tensor>; N] = std::array::from_fn(|_| Vec::with_capacity(flat.leaves.len()));
    for (i, p) in flat.leaves.iter().enumerate() {
        let aval = p.aval();
        if !aval.dtype.is_float() {
            let m = format!("`{name}`: the parameter `{}` is {aval}: only floats can be trained", paths[i]);
            raise::throw(Error::dtype(m).at(span));
        }
        let given: [Tensor; N] = std::array::from_fn(|j| *rest[j][i]);
        for (t, (called, _)) in given.iter().zip(&others) {
            if t.aval() != aval {
                let m = format!("`{name}`: `{}` is {aval} in the parameters and {} in {called}", paths[i], t.aval());
                raise::throw(Error::shape(m).at(span));
            }
        }
        for (all, leaf) in new.iter_mut().zip(step(**p, given)) {
            all.push(leaf);
        }
    }
    new.map(|leaves| build(leaves, &flat.structure))
}

/// The count of no steps.
#[track_caller]
fn none() -> Tensor {
    zeros([], Dtype::I32)
}

/// A rate for a parameter.
#[track_caller]
fn rate(schedule: &Schedule, count: Tensor, like: Tensor) -> Tensor {
    match schedule {
        Schedule::Constant(rate) => zeros_like(like) + *rate,
        Schedule::Step { .. } | Schedule::Cosine { .. } | Schedule::Warmup { .. } => {
            schedule.at(count).convert(like.dtype())
        }
    }
}

/// 1 - decayᵏ of the k-th step, counted from 1, in the type of a parameter.
#[track_caller]
fn debias(decay: f64, count: Tensor, like: Tensor) -> Tensor {
    let k = (count + 1).convert(like.dtype());
    1.0 - (k * 0.0 + decay).pow(k)
}

/// Gradients scaled down so that their norm, all leaves together, is no larger than `most`; and the
/// norm that they had.
///
/// ```
/// use egrad::{Array, Tensor, jit, optim};
/// let clip = jit(|g: (Tensor, Tensor)| optim::clip_by_global_norm(&g, 1.0));
/// let ((a, b), norm) = clip(&(Array::from(3.0f32), Array::from(4.0f32))).unwrap();
/// assert_eq!([a, b, norm].map(|x| (x.item::<f32>().unwrap() * 10.0).round()), [6.0, 8.0, 50.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Tree`] if there is no leaf.
#[track_caller]
pub fn clip_by_global_norm<G: Traced>(gradients: &G, most: f64) -> (G, Tensor) {
    let leaves = tree::leaves(gradients);
    let Some(first) = leaves.first() else {
        raise::throw(Error::tree("`clip_by_global_norm` needs a gradient").at(Span::here()))
    };
    let dtype = first.dtype();
    let mut squares = first.powi(2).sum();
    for g in &leaves[1..] {
        squares += g.powi(2).sum().convert(dtype);
    }
    let norm = squares.sqrt();
    // Where nothing is clipped the gradients keep their bits, and a norm of 0 divides nothing.
    let clipped = norm.gt(most);
    let scale = clipped.select(most / clipped.select(norm, 1.0), 1.0);
    let by = |g: &Tensor| *g * scale.convert(g.dtype());
    (tree::map(by, gradients), norm)
}

/// Stochastic gradient descent, with momentum if that isn't 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// How far to go.
    pub rate: Schedule,
    /// How much of the last step to go again.
    pub momentum: f64,
    /// Whether to look ahead by the momentum (Nesterov).
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd { rate: 0.01.into(), momentum: 0.0, nesterov: false }
    }
}

/// What an optimizer keeps that has one moment of the gradients: a count and a tree like the
/// parameters.
#[derive(Tree, Clone, Debug, PartialEq)]
pub struct MomentState<T, P> {
    /// How many steps were made.
    pub count: T,
    /// The moment.
    pub moment: P,
}

impl Sgd {
    /// The state before the first step.
    #[track_caller]
    pub fn init<P: Traced>(&self, params: &P) -> MomentState<Tensor, P> {
        MomentState { count: none(), moment: tree::map(|p| zeros_like(*p), params) }
    }

    /// m ← momentum · m + g; p ← p − rate · m, or with Nesterov p − rate · (momentum · m + g).
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]): [`Error::Tree`], [`Error::Shape`] and [`Error::Dtype`] if
    /// gradients or state aren't like the parameters, naming the leaf.
    #[track_caller]
    pub fn step<P: Traced>(
        &self,
        params: &P,
        gradients: &P,
        state: &MomentState<Tensor, P>,
    ) -> (P, MomentState<Tensor, P>) {
        let others = [("the gradients", gradients), ("the moment", &state.moment)];
        let [params, moment] = moved("Sgd::step", params, others, |p, [g, m]| {
            let m = if self.momentum == 0.0 { g } else { m * self.momentum + g };
            let by = if self.nesterov { m * self.momentum + g } else { m };
            [p - by * rate(&self.rate, state.count, p), m]
        });
        (params, MomentState { count: state.count + 1, moment })
    }
}

/// Adam; with decay of the weights themselves, AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// How far to go.
    pub rate: Schedule,
    /// How slowly the mean of gradients changes.
    pub b1: f64,
    /// How slowly the mean of squares changes.
    pub b2: f64,
    /// What is added to the root of the mean of squares.
    pub eps: f64,
    /// What fraction of a parameter is taken off in a step, times the rate: that of AdamW.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Adam {
        Adam { rate: 0.001.into(), b1: 0.9, b2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// What [`Adam`] keeps.
#[derive(Tree, Clone, Debug, PartialEq)]
pub struct AdamState<T, P> {
    /// How many steps were made.
    pub count: T,
    /// The mean of gradients.
    pub mean: P,
    /// The mean of their squares.
    pub squares: P,
}

impl Adam {
    /// AdamW with the usual decay, 10⁻⁴.
    pub fn w(rate: impl Into<Schedule>) -> Adam {
        Adam { rate: rate.into(), weight_decay: 1e-4, ..Adam::default() }
    }

    /// The state before the first step.
    #[track_caller]
    pub fn init<P: Traced>(&self, params: &P) -> AdamState<Tensor, P> {
        let zeros = || tree::map(|p| zeros_like(*p), params);
        AdamState { count: none(), mean: zeros(), squares: zeros() }
    }

    /// m ← b₁m + (1−b₁)g; v ← b₂v + (1−b₂)g²; p ← p − rate · (m̂ / (√v̂ + ε) + decay · p), where m̂ and
    /// v̂ are m and v divided by 1 − b₁ᵏ and 1 − b₂ᵏ in step k.
    ///
    /// # Errors and panics
    /// As [`Sgd::step`].
    #[track_caller]
    pub fn step<P: Traced>(
        &self,
        params: &P,
        gradients: &P,
        state: &AdamState<Tensor, P>,
    ) -> (P, AdamState<Tensor, P>) {
        let others = [("the gradients", gradients), ("the mean", &state.mean), ("the squares", &state.squares)];
        let [params, mean, squares] = moved("Adam::step", params, others, |p, [g, m, v]| {
            let m = m * self.b1 + g * (1.0 - self.b1);
            let v = v * self.b2 + g * g * (1.0 - self.b2);
            let (mean, squares) = (m / debias(self.b1, state.count, p), v / debias(self.b2, state.count, p));
            let mut by = mean / (squares.sqrt() + self.eps);
            if self.weight_decay != 0.0 {
                by += p * self.weight_decay;
            }
            [p - by * rate(&self.rate, state.count, p), m, v]
        });
        (params, AdamState { count: state.count + 1, mean, squares })
    }
}

/// RMSProp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// How far to go.
    pub rate: Schedule,
    /// How slowly the mean of squares changes.
    pub decay: f64,
    /// What is added to the mean of squares, under the root.
    pub eps: f64,
}

impl Default for RmsProp {
    fn default() -> RmsProp {
        RmsProp { rate: 0.001.into(), decay: 0.9, eps: 1e-8 }
    }
}

impl RmsProp {
    /// The state before the first step.
    #[track_caller]
    pub fn init<P: Traced>(&self, params: &P) -> MomentState<Tensor, P> {
        MomentState { count: none(), moment: tree::map(|p| zeros_like(*p), params) }
    }

    /// v ← decay · v + (1−decay)g²; p ← p − rate · g / √(v + ε).
    ///
    /// # Errors and panics
    /// As [`Sgd::step`].
    #[track_caller]
    pub fn step<P: Traced>(
        &self,
        params: &P,
        gradients: &P,
        state: &MomentState<Tensor, P>,
    ) -> (P, MomentState<Tensor, P>) {
        let others = [("the gradients", gradients), ("the moment", &state.moment)];
        let [params, moment] = moved("RmsProp::step", params, others, |p, [g, v]| {
            let v = v * self.decay + g * g * (1.0 - self.decay);
            [p - g * (v + self.eps).rsqrt() * rate(&self.rate, state.count, p), v]
        });
        (params, MomentState { count: state.count + 1, moment })
    }
}

/// Lion: steps of the moment's sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// How far to go.
    pub rate: Schedule,
    /// How much of the moment decides the step.
    pub b1: f64,
    /// How slowly the moment changes.
    pub b2: f64,
    /// What fraction of a parameter is taken off in a step, times the rate.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Lion {
        Lion { rate: 0.0001.into(), b1: 0.9, b2: 0.99, weight_decay: 0.001 }
    }
}

impl Lion {
    /// The state before the first step.
    #[track_caller]
    pub fn init<P: Traced>(&self, params: &P) -> MomentState<Tensor, P> {
        MomentState { count: none(), moment: tree::map(|p| zeros_like(*p), params) }
    }

    /// p ← p − rate · (sign(b₁m + (1−b₁)g) + decay · p); m ← b₂m + (1−b₂)g.
    ///
    /// # Errors and panics
    /// As [`Sgd::step`].
    #[track_caller]
    pub fn step<P: Traced>(
        &self,
        params: &P,
        gradients: &P,
        state: &MomentState<Tensor, P>,
    ) -> (P, MomentState<Tensor, P>) {
        let others = [("the gradients", gradients), ("the moment", &state.moment)];
        let [params, moment] = moved("Lion::step", params, others, |p, [g, m]| {
            let mut by = (m * self.b1 + g * (1.0 - self.b1)).sign();
            if self.weight_decay != 0.0 {
                by += p * self.weight_decay;
            }
            [p - by * rate(&self.rate, state.count, p), m * self.b2 + g * (1.0 - self.b2)]
        });
        (params, MomentState { count: state.count + 1, moment })
    }
}
