//! What is known of positions that are made of iotas, as those of windows are.

use egrad_ir::{Aval, Binary, Literal, Op, Unary};
use smallvec::SmallVec;

/// An i32 tensor whose elements are a start and, along each axis, steps: `start + Σ steps[a]·index[a]`.
/// Along an axis of length 1 the step is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The first element.
    pub start: i64,
    /// How far one is from the next along each axis.
    pub steps: SmallVec<[i64; 3]>,
}

/// Elements, and what they are computed from, stay below this in size: nothing wraps around.
const FAR: i64 = 1 << 30;

/// What the primitive makes of its operands, of which what is known is given; `aval` is the result's.
pub(crate) fn places(op: &Op, operands: &[(&Aval, Option<Places>)], aval: &Aval) -> Option<Places> {
    let of = |k: usize| operands.get(k).and_then(|(_, places)| places.clone());
    let shape = |k: usize| &operands[k].0.shape;
    let rank = aval.shape.rank();
    let found = match op {
        Op::Constant(literal) => of_constant(*literal, 0)?,
        Op::Iota { axis, .. } => {
            let steps = (0..rank).map(|a| i64::from(a == *axis)).collect();
            Places { start: 0, steps }
        }
        Op::Binary(Binary::Add) => sum(of(0)?, &of(1)?, 1)?,
        Op::Binary(Binary::Sub) => sum(of(0)?, &of(1)?, -1)?,
        Op::Binary(Binary::Mul) => match (of(0)?, of(1)?) {
            (x, y) if x.is_constant() => sum(of_number(0, rank), &y, x.start)?,
            (x, y) if y.is_constant() => sum(of_number(0, rank), &x, y.start)?,
            _ => return None,
        },
        Op::Unary(Unary::Neg) => sum(of_number(0, rank), &of(0)?, -1)?,
        Op::Unary(Unary::StopGradient | Unary::Barrier) => of(0)?,
        Op::BroadcastInDim { dims, .. } => {
            let x = of(0)?;
            let mut y = of_number(x.start, rank);
            for (d, step) in dims.iter().zip(x.steps) {
                y.steps[*d] = step;
            }
            y
        }
        Op::Transpose(perm) => {
            let x = of(0)?;
            Places { steps: perm.iter().map(|p| x.steps[*p]).collect(), ..x }
        }
        Op::Slice { start, .. } => {
            let x = of(0)?;
            let far: i64 = start.iter().zip(&x.steps).map(|(n, step)| *n as i64 * step).sum();
            Places { start: x.start + far, ..x }
        }
        Op::Reverse(axes) => {
            let mut x = of(0)?;
            for a in axes {
                x.start += x.steps[*a] * (shape(0)[*a] as i64 - 1).max(0);
                x.steps[*a] = -x.steps[*a];
            }
            x
        }
        // Axes of length 1 come and go.
        Op::Reshape(_) => {
            let x = of(0)?;
            let long =
                |shape: &egrad_ir::Shape| -> Vec<usize> { (0..shape.rank()).filter(|a| shape[*a] != 1).collect() };
            let (from, to) = (long(shape(0)), long(&aval.shape));
            let same = from.len() == to.len() && from.iter().zip(&to).all(|(a, b)| shape(0)[*a] == aval.shape[*b]);
            let mut y = of_number(x.start, rank);
            for (a, b) in from.iter().zip(&to) {
                y.steps[*b] = x.steps[*a];
            }
            if same { y } else { return None }
        }
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::IntegerPow(_)
        | Op::Convert(_)
        | Op::Reduce { .. }
        | Op::DotGeneral(_)
        | Op::Pad { .. }
        | Op::Concatenate(_)
        | Op::Take { .. }
        | Op::Scatter { .. }
        | Op::Argsort(_)
        | Op::Linalg(_) => return None,
    };
    found.normal(aval)
}

/// What is known of a constant of that rank.
pub(crate) fn of_constant(literal: Literal, rank: usize) -> Option<Places> {
    literal.to_i64().map(|n| of_number(n, rank))
}

fn of_number(start: i64, rank: usize) -> Places {
    Places { start, steps: SmallVec::from_elem(0, rank) }
}

fn sum(x: Places, y: &Places, times: i64) -> Option<Places> {
    let steps = x.steps.iter().zip(&y.steps).map(|(a, b)| a + b * times).collect();
    (x.steps.len() == y.steps.len()).then_some(Places { start: x.start + y.start * times, steps })
}

impl Places {
    fn is_constant(&self) -> bool {
        self.steps.iter().all(|s| *s == 0)
    }

    /// With steps of 0 along axes of length 1; none if an element may be far.
    fn normal(mut self, aval: &Aval) -> Option<Places> {
        let mut far = self.start.abs();
        for (step, n) in self.steps.iter_mut().zip(aval.shape.iter()) {
            if *n == 1 {
                *step = 0;
            }
            far = far.saturating_add(step.abs().saturating_mul(*n as i64));
        }
        (far < FAR).then_some(self)
    }

    /// Whether the last axis counts up one by one.
    pub fn counts(&self, aval: &Aval) -> bool {
        match (self.steps.last(), aval.shape.last()) {
            (Some(step), Some(n)) => *n == 1 || *step == 1 && *n > 0,
            _ => false,
        }
    }

    /// How far windows, whose positions are the first of two axes, are apart, if they go up.
    pub fn stride(&self, aval: &Aval) -> Option<i64> {
        match (&self.steps[..], &aval.shape[..]) {
            ([_, _], [1, n]) if *n > 0 => Some(1),
            ([step, _], [m, n]) if *m > 0 && *n > 0 && *step > 0 => Some(*step),
            _ => None,
        }
    }
}
