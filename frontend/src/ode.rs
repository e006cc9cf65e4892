//! Ordinary differential equations dy/dt = f(y, t, args): Dormand and Prince's method of order 5(4),
//! with steps as long as tolerances allow.
//!
//! [`odeint`] has a derivative in reverse mode, from the adjoint equation, which takes no memory for
//! steps. [`solve`] has derivatives in forward mode, and tells how many steps it took. Both may be
//! mapped: elements of a batch have steps of their own.
//!
//! ```
//! use egrad::ode::{self, Tolerance};
//! use egrad::{Array, Tensor, grad, jit};
//! # fn main() -> egrad::Result<()> {
//! // Decay at a rate, which has the solution y₀ exp(−rate t).
//! let decay = |y: Tensor, _t: Tensor, rate: Tensor| -rate * y;
//! let at_last = move |rate: Tensor, y0: Tensor, ts: Tensor| {
//!     ode::odeint(decay, y0, ts, rate, Tolerance::default()).slice_axis(0, 1, 2).sum()
//! };
//! let (rate, y0, ts) = (Array::from(2.0), Array::from(3.0), Array::from_vec(vec![0.0, 0.5], [2])?);
//! let y = jit(at_last)(&rate, &y0, &ts)?.item::<f64>()?;
//! assert!((y - 3.0 * (-1.0f64).exp()).abs() < 1e-5);
//! let slope = jit(grad(at_last))(&rate, &y0, &ts)?.item::<f64>()?;
//! assert!((slope + 0.5 * y).abs() < 1e-5);
//! # Ok(()) }
//! ```

mod adjoint;
mod step;

use crate::function::Function;
use crate::tensor::{Tensor, concatenate, zeros};
use crate::transform::{custom_vjp, scan, while_loop};
use crate::tree::{self, Flat, Traced, build};
use crate::{Tree, raise};
use egrad_ir::{Aval, Dtype, Error, Span};
use std::rc::Rc;

/// How far a step may be off, and how many there may be.
///
/// A step is taken if the root mean square of error / (atol + rtol · |y|) is at most 1, else tried
/// again, shorter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The error in proportion to y. Below what the element type can tell apart, steps never end.
    pub rtol: f64,
    /// The error where y is small.
    pub atol: f64,
    /// How many steps may be tried from one time to the next. Where they don't suffice, y is NaN.
    pub steps: usize,
}

impl Default for Tolerance {
    /// 10⁻⁶ each, and 10,000 steps.
    fn default() -> Tolerance {
        Tolerance { rtol: 1e-6, atol: 1e-6, steps: 10_000 }
    }
}

/// What [`solve`] gives.
#[derive(Tree, Clone, Debug, PartialEq)]
pub struct Solution<T, Y> {
    /// y at each time: every leaf has an axis of times, first.
    pub ys: Y,
    /// How many steps were tried up to each time after the first, `i32`.
    pub steps: T,
}

/// The right-hand side, of y as one vector and of the leaves of the arguments.
type Field = Rc<dyn Fn(Tensor, Tensor, &[Tensor]) -> Tensor>;

/// y at each of the times `ts`, the first of which is that of `y0`: the solution of
/// dy/dt = f(y, t, args). Times increase; y is NaN at one that lies before what has been reached, or
/// isn't reached. Every leaf of the result has an axis of times, first.
///
/// In reverse mode the derivatives by `y0`, `ts` and `args` are those of the exact solution, from the
/// adjoint equation (Chen et al., *Neural Ordinary Differential Equations*, 2018, appendix C), which is
/// solved backwards to the same tolerance. Forward mode applies to them in turn (`hvp`, `hessian`),
/// but not to `odeint` itself, for which there is [`solve`]; reverse mode twice is refused.
///
/// ```
/// use egrad::ode::{Tolerance, odeint};
/// use egrad::{Array, Tensor, jit};
/// # fn main() -> egrad::Result<()> {
/// // A pendulum that swings little: x'' = −x.
/// let swing = |(x, v): (Tensor, Tensor), _t: Tensor, _: Vec<Tensor>| (v, -x);
/// let f = jit(move |x: Tensor, ts: Tensor| odeint(swing, (x, 0.0 * x), ts, vec![], Tolerance::default()));
/// let ts = Array::from_vec(vec![0.0, 1.0, 2.0], [3])?;
/// let (x, _) = f(&Array::from(1.0), &ts)?;
/// assert!(x.to_f64().iter().zip([0.0f64, 1.0, 2.0]).all(|(x, t)| (x - t.cos()).abs() < 1e-5));
/// # Ok(()) }
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Dtype`] if the leaves of `y0` and `ts` aren't of one float
/// type, [`Error::Shape`] if `ts` isn't a vector of at least one time or f gives another shape than
/// y has, [`Error::Tree`] if f gives another structure. When it is compiled: [`Error::MissingRule`] for
/// derivatives that it hasn't, and by tensors that `f` captures.
#[track_caller]
pub fn odeint<Y, P, F>(f: F, y0: Y, ts: Tensor, args: P, tolerance: Tolerance) -> Y
where
    F: Function<(Y, Tensor, P), Output = Y>,
    Y: Traced,
    P: Traced,
{
    let problem = Problem::new("odeint", f, &y0, ts, &args, Span::here());
    let (field, again) = (Rc::clone(&problem.field), Rc::clone(&problem.field));
    let primal = move |y0: Tensor, ts: Tensor, args: Vec<Tensor>| integrate(&field, y0, ts, &args, tolerance).0;
    let keep = {
        let primal = primal.clone();
        move |y0: Tensor, ts: Tensor, args: Vec<Tensor>| {
            let ys = primal(y0, ts, args.clone());
            (ys, (ys, ts, args))
        }
    };
    let back = move |(ys, ts, args): (Tensor, Tensor, Vec<Tensor>), g: Tensor| {
        adjoint::pull(&again, ys, ts, args, g, tolerance)
    };
    let ys = custom_vjp(primal, keep, back)(problem.y0, ts, tree::leaves(&args));
    problem.parts.build(ys, &y0)
}

/// As [`odeint`], with derivatives in forward mode, of any order, and none in reverse mode; and how
/// many steps were tried. The lengths of steps count as constants, and are chosen for the error of y, not
/// for that of its derivatives, which is larger.
///
/// ```
/// use egrad::ode::{Tolerance, solve};
/// use egrad::{Array, Tensor, jacfwd, jit};
/// # fn main() -> egrad::Result<()> {
/// let grow = |y: Tensor, _t: Tensor, rate: Tensor| rate * y;
/// let ys = move |rate: Tensor, ts: Tensor| solve(grow, rate * 0.0 + 1.0, ts, rate, Tolerance::default());
/// let (rate, ts) = (Array::from(1.0), Array::from_vec(vec![0.0, 1.0], [2])?);
/// let solution = jit(ys)(&rate, &ts)?;
/// assert!((solution.ys.to_f64()[1] - 1f64.exp()).abs() < 1e-5);
/// assert!(solution.steps.item::<i32>()? < 20);
/// let slope = jit(jacfwd(move |rate: Tensor, ts: Tensor| ys(rate, ts).ys))(&rate, &ts)?;
/// assert!((slope.to_f64()[1] - 1f64.exp()).abs() < 5e-5);
/// # Ok(()) }
/// ```
///
/// # Errors and panics
/// As [`odeint`].
#[track_caller]
pub fn solve<Y, P, F>(f: F, y0: Y, ts: Tensor, args: P, tolerance: Tolerance) -> Solution<Tensor, Y>
where
    F: Function<(Y, Tensor, P), Output = Y>,
    Y: Traced,
    P: Traced,
{
    let problem = Problem::new("solve", f, &y0, ts, &args, Span::here());
    let (ys, steps) = integrate(&problem.field, problem.y0, ts, &tree::leaves(&args), tolerance);
    Solution { ys: problem.parts.build(ys, &y0), steps }
}

/// Tensors of some shapes, one after the other in a vector.
#[derive(Clone)]
struct Pieces(Vec<Aval>);

impl Pieces {
    fn of(tensors: &[Tensor]) -> Pieces {
        Pieces(tensors.iter().map(|t| t.aval()).collect())
    }

    /// The vector, of that element type.
    fn join(tensors: &[Tensor], dtype: Dtype) -> Tensor {
        let flat: Vec<Tensor> = tensors.iter().map(|t| t.convert(dtype).flatten()).collect();
        if flat.is_empty() { zeros([0], dtype) } else { concatenate(flat, 0) }
    }

    /// The tensors of the last axis of `joined`, behind the axes before it.
    fn split(&self, joined: Tensor) -> Vec<Tensor> {
        let shape = joined.shape();
        let before = &shape[..shape.rank() - 1];
        let mut start = 0;
        let part = |aval: &Aval| {
            let end = start + aval.shape.size();
            let own = [before, &aval.shape[..]].concat();
            let part = joined.slice_axis(-1, start, end).reshape(own).convert(aval.dtype);
            start = end;
            part
        };
        self.0.iter().map(part).collect()
    }

    fn build<T: Traced>(&self, joined: Tensor, like: &T) -> T {
        build(self.split(joined), &Flat::of(like).structure)
    }
}

/// An equation with its parts joined.
struct Problem {
    field: Field,
    y0: Tensor,
    parts: Pieces,
}

impl Problem {
    #[track_caller]
    fn new<Y, P, F>(name: &str, f: F, y0: &Y, ts: Tensor, args: &P, span: Span) -> Problem
    where
        F: Function<(Y, Tensor, P), Output = Y>,
        Y: Traced,
        P: Traced,
    {
        let (flat, times) = (Flat::of(y0), ts.aval());
        let dtype = times.dtype;
        let one_type = dtype.is_float() && flat.leaves.iter().all(|y| y.dtype() == dtype);
        if !one_type {
            let avals: Vec<String> = flat.leaves.iter().map(|y| y.aval().to_string()).collect();
            let m = format!("`{name}` needs y0 and ts of one float type, not {} and {times}", avals.join(", "));
            raise::throw(Error::dtype(m).at(span));
        }
        if times.shape.rank() != 1 || times.shape[0] == 0 {
            raise::throw(Error::shape(format!("`{name}` needs a vector of times, not {times}")).at(span));
        }
        let leaves: Vec<Tensor> = flat.leaves.iter().map(|y| **y).collect();
        let parts = Pieces::of(&leaves);
        let y0 = Pieces::join(&leaves, dtype);
        let (own, structure, of_args) = (parts.clone(), flat.structure, Flat::of(args).structure);
        let name = name.to_owned();
        let field = move |y: Tensor, t: Tensor, args: &[Tensor]| {
            let y = build::<Y>(own.split(y), &structure);
            let slope = f.call((y, t, build::<P>(args.iter().copied(), &of_args)));
            let flat = Flat::of(&slope);
            if flat.structure != structure || flat.leaves.len() != own.0.len() {
                raise::throw(Error::tree(format!("`{name}`: f gives another structure than y has")).at(span));
            }
            let slopes: Vec<Tensor> = flat.leaves.iter().map(|s| **s).collect();
            for (path, (s, y)) in tree::paths(&slope).iter().zip(slopes.iter().zip(&own.0)) {
                if s.aval() != *y {
                    let at = if path.is_empty() { String::new() } else { format!(" at `{path}`") };
                    let m = format!("`{name}`: f gives {}{at} where y is {y}", s.aval());
                    let error = if s.dtype() == y.dtype { Error::shape(m) } else { Error::dtype(m) };
                    raise::throw(error.at(span));
                }
            }
            Pieces::join(&slopes, dtype)
        };
        Problem { field: Rc::new(field), y0, parts }
    }
}

/// Where the solution is: what has been reached, and the last step, as a polynomial.
#[derive(Tree, Clone)]
struct Reached<T> {
    y: T,
    /// f there.
    slope: T,
    t: T,
    /// How far to try to go next.
    dt: T,
    /// The time at which the last step began.
    before: T,
    /// That step's coefficients `[5, n]`, of powers of its part from 4 to 0.
    curve: T,
}

/// y `[times, n]`, and how many steps were tried up to each time but the first.
fn integrate(field: &Field, y0: Tensor, ts: Tensor, args: &[Tensor], tolerance: Tolerance) -> (Tensor, Tensor) {
    let field = {
        let (field, args) = (Rc::clone(field), args.to_vec());
        Rc::new(move |y: Tensor, t: Tensor| field(y, t, &args)) as step::Slope
    };
    let start = ts.slice_axis(0, 0, 1).squeeze(0);
    let slope = field(y0, start);
    let dt = step::first(&field, y0, start, slope, tolerance);
    let curve = step::resting(y0);
    let reached = Reached { y: y0, slope, t: start, dt, before: start, curve };
    let next = move |reached: Reached<Tensor>, target: Tensor| {
        let field = Rc::clone(&field);
        let more = move |(n, at): (Tensor, Reached<Tensor>)| {
            at.t.lt(target).and(n.lt(tolerance.steps as i32)).and(at.dt.gt(0.0))
        };
        let go = move |(n, at): (Tensor, Reached<Tensor>)| (n + 1, step::tried(&field, at, tolerance));
        let (n, at) = while_loop(more, go, (zeros([], Dtype::I32), reached));
        let y = step::between(&at, target);
        (at, (y, n))
    };
    let count = ts.shape()[0];
    let (_, (ys, steps)) = scan(next, reached, ts.slice_axis(0, 1, count));
    (concatenate([y0.expand_dims(0), ys], 0), steps)
}
