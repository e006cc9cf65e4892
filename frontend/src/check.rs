//! Derivatives compared with differences.

use crate::function::{Args, Function};
use crate::jit::jit;
use crate::tensor::Tensor;
use crate::transform::{argument, jvp, vjp};
use crate::tree::{Flat, Traced, build, paths};
use egrad_ir::{Array, Dtype, Error, Result, Span};
use std::rc::Rc;

/// Which derivatives [`check_grads`] looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Modes {
    /// Those of `jvp`.
    Forward,
    /// Those of `vjp`.
    Reverse,
    /// Both.
    #[default]
    Both,
}

impl Modes {
    fn forward(self) -> bool {
        match self {
            Modes::Forward | Modes::Both => true,
            Modes::Reverse => false,
        }
    }

    fn reverse(self) -> bool {
        match self {
            Modes::Reverse | Modes::Both => true,
            Modes::Forward => false,
        }
    }
}

/// Compares the derivatives of a function at these arguments, a tuple, with central differences, up
/// to an order: those by each leaf of the arguments, along directions that are the same in every run.
///
/// ```
/// use egrad::{Array, Modes, Tensor, check_grads};
/// # fn main() -> egrad::Result<()> {
/// let x = Array::from_vec(vec![0.3f64, 1.2], [2])?;
/// check_grads(|x: Tensor| (x.sin() * x).sum(), &(x.clone(),), 2, Modes::Both)?;
/// let wrong = |x: Tensor| x.sin() * x.stop_gradient();
/// let error = check_grads(wrong, &(x,), 1, Modes::Reverse).unwrap_err();
/// assert!(error.to_string().contains("the derivative by argument 0"));
/// # Ok(()) }
/// ```
///
/// Differences of `f32` have few digits: in `f64` the derivatives must agree to 10⁻⁵, in `f32` to
/// 10⁻², relative to their size where that is above 1. Integers and bools are held fixed.
///
/// # Errors
/// [`Error::Numeric`] naming the order, the mode, the argument and its leaf, and both numbers;
/// whatever the function gives.
#[track_caller]
pub fn check_grads<F, A>(f: F, args: &A::Arrays, order: usize, modes: Modes) -> Result<()>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
{
    let span = Span::here();
    let flat = Flat::of(args);
    let all: Vec<Array> = flat.leaves.iter().map(|x| (*x).clone()).collect();
    let floats: Vec<usize> = (0..all.len()).filter(|i| all[*i].dtype().is_float()).collect();
    if let Some(dtype) = floats.iter().map(|i| all[*i].dtype()).find(|d| d.computed() != *d) {
        let m = format!(
            "`check_grads` of {dtype}: its differences say nothing of derivatives; check in {} or f64",
            dtype.computed()
        );
        return Err(Error::dtype(m).at(span));
    }
    let names: Vec<String> = paths(args).iter().map(|p| argument(p)).collect();
    let names: Vec<String> = floats.iter().map(|i| names[*i].clone()).collect();
    let at: Vec<Array> = floats.iter().map(|i| all[*i].clone()).collect();
    let structure = flat.structure.clone();
    let erased: Erased = Rc::new(move |given: Vec<Tensor>| {
        let mut given = given.into_iter();
        let mut leaf = |x: &Array| match x.dtype().is_float() {
            true => given.next().expect("a tensor for each float"),
            false => Tensor::from(x),
        };
        let leaves: Vec<Tensor> = all.iter().map(&mut leaf).collect();
        let out = f.call(build::<A>(leaves, &structure));
        Flat::of(&out).leaves.iter().map(|t| **t).filter(|t| t.dtype().is_float()).collect()
    });
    Check { at: &at, names: &names, modes, order, span }.run(&erased, 1)
}

/// A function of floats by their number.
type Erased = Rc<dyn Fn(Vec<Tensor>) -> Vec<Tensor>>;

struct Check<'a> {
    at: &'a [Array],
    names: &'a [String],
    modes: Modes,
    order: usize,
    span: Span,
}

impl Check<'_> {
    /// Compares the first derivatives of `f`, itself a derivative of order one less.
    fn run(&self, f: &Erased, order: usize) -> Result<()> {
        if order > self.order {
            return Ok(());
        }
        let at = self.at.to_vec();
        let (value, pushed, pulled) = (Rc::clone(f), Rc::clone(f), Rc::clone(f));
        let value = jit(move |x: Vec<Tensor>| value(x));
        let results = value(&at)?;
        let coarse = self.at.iter().chain(&results).any(|x| x.dtype() == Dtype::F32);
        let (step, tolerance) = if coarse { (1.0 / 512.0, 1e-2) } else { (1.0 / 16384.0, 1e-5) };
        let forward = jit(move |x: Vec<Tensor>, t: Vec<Tensor>| {
            let f = Rc::clone(&pushed);
            jvp(move |x: Vec<Tensor>| f(x))((x,), (t,)).1
        });
        let reverse = jit(move |x: Vec<Tensor>, ct: Vec<Tensor>| {
            let f = Rc::clone(&pulled);
            vjp(move |x: Vec<Tensor>| f(x))((x,), ct).1.0
        });
        let cotangents = directions(&results, 1000 + order)?;
        let gradients = if self.modes.reverse() { reverse(&at, &cotangents)? } else { Vec::new() };
        let all = directions(self.at, order)?;
        for (k, name) in self.names.iter().enumerate() {
            let moved = |by: f64| -> Result<Vec<Vec<f64>>> {
                let mut x = at.clone();
                let shifted = x[k].to_f64().iter().zip(all[k].to_f64()).map(|(x, v)| x + by * v).collect::<Vec<_>>();
                x[k] = Array::from_f64(x[k].dtype(), &shifted, x[k].shape().clone())?;
                Ok(value(&x)?.iter().map(Array::to_f64).collect())
            };
            let (up, down) = (moved(step)?, moved(-step)?);
            let slope = |(u, d): (&Vec<f64>, &Vec<f64>)| u.iter().zip(d).map(|(u, d)| (u - d) / (2.0 * step)).collect();
            let differences: Vec<Vec<f64>> = up.iter().zip(&down).map(slope).collect();
            if self.modes.forward() {
                let mut tangents = Vec::new();
                for (j, v) in all.iter().enumerate() {
                    let zeros = vec![0.0; v.shape().size()];
                    tangents.push(if j == k {
                        v.clone()
                    } else {
                        Array::from_f64(v.dtype(), &zeros, v.shape().clone())?
                    });
                }
                let derivatives = forward(&at, &tangents)?;
                for (j, (derivative, difference)) in derivatives.iter().zip(&differences).enumerate() {
                    for (i, (a, b)) in derivative.to_f64().iter().zip(difference).enumerate() {
                        let of = format!("element {i} of result {j}");
                        self.agree(order, "`jvp`", name, &of, *a, *b, tolerance)?;
                    }
                }
            }
            if self.modes.reverse() {
                let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                let a = dot(&gradients[k].to_f64(), &all[k].to_f64());
                let b = cotangents.iter().zip(&differences).map(|(c, d)| dot(&c.to_f64(), d)).sum();
                // The sum adds errors up.
                let n = differences.iter().map(Vec::len).sum::<usize>().max(1) as f64;
                self.agree(order, "`vjp`", name, "all results", a, b, tolerance * n.sqrt())?;
            }
        }
        if self.modes.forward() {
            let (f, tangents) = (Rc::clone(f), all.clone());
            let derivative: Erased = Rc::new(move |x: Vec<Tensor>| {
                let f = Rc::clone(&f);
                let t = tangents.iter().map(Tensor::from).collect();
                jvp(move |x: Vec<Tensor>| f(x))((x,), (t,)).1
            });
            self.run(&derivative, order + 1)?;
        }
        if self.modes.reverse() {
            let f = Rc::clone(f);
            let derivative: Erased = Rc::new(move |x: Vec<Tensor>| {
                let f = Rc::clone(&f);
                let ct = cotangents.iter().map(Tensor::from).collect();
                vjp(move |x: Vec<Tensor>| f(x))((x,), ct).1.0
            });
            self.run(&derivative, order + 1)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what the message says")]
    fn agree(&self, order: usize, by: &str, name: &str, of: &str, a: f64, b: f64, tolerance: f64) -> Result<()> {
        if (a - b).abs() <= tolerance * b.abs().max(1.0) {
            return Ok(());
        }
        let order = if order == 1 { String::new() } else { format!(" of order {order}") };
        let m = format!(
            "`check_grads`: the derivative by {name} of {of}{order} along a direction is {a} by {by} and {b} by \
             differences"
        );
        Err(Error::numeric(m).at(self.span))
    }
}

/// Directions like these arrays, between -1 and 1: the same in every run.
fn directions(like: &[Array], seed: usize) -> Result<Vec<Array>> {
    let mut state = seed as u64;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let of = |x: &Array| {
        let elements: Vec<f64> = (0..x.shape().size()).map(|_| next()).collect();
        Array::from_f64(x.dtype(), &elements, x.shape().clone())
    };
    like.iter().map(of).collect()
}
