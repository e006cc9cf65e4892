//! Matrix products and `einsum`.

use super::{AxisList, Tensor, eye};
use crate::trace::Tape;
use crate::{raise, trace};
use egrad_ir::builder::Recorder;
use egrad_ir::op::Axes;
use egrad_ir::{DotDims, Dtype, Error, Op, Result, Shape, Span};

impl Tensor {
    /// The generalised matrix product: sums over pairs of `contract` axes (of this tensor and of
    /// `other`), once per index of the `batch` axes. The result's axes are the batch axes, then
    /// what is left of this tensor, then what is left of `other`.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// // Rows of x against rows of y.
    /// let gram = jit(|x: Tensor, y: Tensor| x.dot_general(y, ([1], [1]), ([0usize; 0], [0usize; 0])));
    /// let x = Array::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
    /// assert_eq!(gram(&x, &x).unwrap().as_slice::<f32>().unwrap(), [5.0]);
    /// ```
    #[track_caller]
    pub fn dot_general<C: Into<AxisList>, B: Into<AxisList>>(
        self,
        other: Tensor,
        contract: (C, C),
        batch: (B, B),
    ) -> Tensor {
        let span = Span::here();
        let (m, n) = (self.rank(), other.rank());
        let axes = |list: AxisList, rank| raise::get(list.pairs("dot_general", rank).map_err(|e| e.at(span)));
        let contract = [axes(contract.0.into(), m), axes(contract.1.into(), n)];
        let batch = [axes(batch.0.into(), m), axes(batch.1.into(), n)];
        trace::add(Op::DotGeneral(DotDims { contract, batch }), &[self, other], span)
    }

    /// The matrix product by NumPy's rules: over the last axis of this tensor and the last but one
    /// of `other`; 1-d operands are rows on the left and columns on the right; axes before the
    /// last two broadcast.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|a: Tensor, b: Tensor| a.matmul(b));
    /// let a = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// let b = Array::from_vec(vec![1.0f32, -1.0], [2]).unwrap();
    /// assert_eq!(f(&a, &b).unwrap().as_slice::<f32>().unwrap(), [-1.0, -1.0]);
    /// ```
    #[track_caller]
    pub fn matmul(self, other: Tensor) -> Tensor {
        let span = Span::here();
        let (a, b) = (self.aval(), other.aval());
        let (m, n) = (a.shape.rank(), b.shape.rank());
        let wrong = |what: String| {
            let e = Error::shape(format!("`matmul` of {a} and {b}: {what}"));
            raise::throw(Tape.blame(e, &[self, other], span))
        };
        if m == 0 || n == 0 {
            wrong("it takes no scalars; multiply with `*`".to_owned());
        }
        let (k, l) = (a.shape[m - 1], b.shape[n.saturating_sub(2)]);
        if k != l {
            wrong(format!("the last axis of the left operand has length {k}, and the right operand expects {l}"));
        }
        // Axes before the last two, aligned from the right: those both have are batch axes, except
        // where one has length 1 and the other not; those are dropped and the axis stays free.
        let lead = [m.saturating_sub(2), n.saturating_sub(2)];
        let rank = lead[0].max(lead[1]);
        let mut keep = [vec![], vec![]];
        let mut batch = [Axes::new(), Axes::new()];
        let (mut order, mut free) = (vec![], [vec![], vec![]]);
        for i in 0..rank {
            let at = [0, 1].map(|side| (i + lead[side]).checked_sub(rank));
            let len = [at[0].map(|x| a.shape[x]), at[1].map(|x| b.shape[x])];
            match (len[0], len[1]) {
                (Some(x), Some(y)) if x != y && x != 1 && y != 1 => {
                    wrong(format!("axes before the last two must broadcast, and lengths {x} and {y} don't"));
                }
                (Some(x), Some(y)) if x == y => {
                    for side in 0..2 {
                        batch[side].push(keep[side].len());
                        keep[side].push(x);
                    }
                    order.push((0, batch[0].len() - 1));
                }
                (x, y) => {
                    // One of them has the axis, or has it longer.
                    let side = usize::from(x.is_none() || (x == Some(1) && y.is_some()));
                    let length = if side == 0 { x } else { y }.unwrap_or(1);
                    order.push((1 + side, free[side].len()));
                    free[side].push(keep[side].len());
                    keep[side].push(length);
                }
            }
        }
        let [x_lead, y_lead] = [keep[0].len(), keep[1].len()];
        let x = self.reshape([&keep[0][..], &a.shape[lead[0]..]].concat());
        let y = other.reshape([&keep[1][..], &b.shape[lead[1]..]].concat());
        let contract = [Axes::from_slice(&[x_lead + usize::from(m > 1)]), Axes::from_slice(&[y_lead])];
        let batches = batch[0].len();
        let product = trace::add(Op::DotGeneral(DotDims { contract, batch }), &[x, y], span);
        // The product's axes: batch, free of x (rows last), free of y (columns last).
        let rows = usize::from(m > 1);
        let x_free = free[0].len() + rows;
        let mut perm: Vec<usize> = order
            .iter()
            .map(|(group, i)| match group {
                0 => *i,
                1 => batches + i,
                _ => batches + x_free + i,
            })
            .collect();
        if m > 1 {
            perm.push(batches + free[0].len());
        }
        if n > 1 {
            perm.push(batches + x_free + free[1].len());
        }
        product.transpose(perm)
    }

    /// NumPy's `dot`: the product over the last axis of this tensor and the last but one of
    /// `other` (its only one if it is 1-d); with a scalar, the plain product.
    #[track_caller]
    pub fn dot(self, other: Tensor) -> Tensor {
        let (m, n) = (self.rank(), other.rank());
        if m == 0 || n == 0 {
            return self * other;
        }
        self.dot_general(other, ([m - 1], [n.saturating_sub(2)]), ([0usize; 0], [0usize; 0]))
    }

    /// The diagonal over two axes, which become one: the first of them.
    #[track_caller]
    fn merge_axes(self, a: usize, b: usize) -> Tensor {
        let aval = self.aval();
        let n = aval.shape[a];
        let dims: Vec<usize> = vec![a, b];
        let mask = eye(n, n, Dtype::Bool).broadcast_in_dim(aval.shape, dims);
        mask.select(self, super::zeros_like(self)).sum_axes(b as isize)
    }
}

impl AxisList {
    /// The axes in the order given; that none is listed twice is left to inference.
    fn pairs(&self, name: &str, rank: usize) -> Result<Axes> {
        self.iter().map(|a| super::shape::normalize(name, a, rank)).collect()
    }
}

/// Einstein's summation: `"ij,jk->ik"` names the axes of each operand and of the result, and sums
/// over every name the result lacks. Without `->` the result's names are those that occur once, in
/// alphabetical order.
///
/// Operands are taken from left to right; a name repeated within one operand takes its diagonal. `...`
/// stands for axes without names: they broadcast among the operands, and are where `...` is in the result,
/// first if there is no `->`.
///
/// ```
/// # use egrad::{Array, Tensor, einsum, jit};
/// let f = jit(|a: Tensor, b: Tensor| einsum("ij,kj->ik", [a, b]));
/// let a = Array::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
/// assert_eq!(f(&a, &a).unwrap().as_slice::<f32>().unwrap(), [5.0]);
/// // The same for each of a batch.
/// let each = jit(|a: Tensor, b: Tensor| einsum("...ij,kj->...ik", [a, b]));
/// let batch = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 1, 2]).unwrap();
/// assert_eq!(each(&batch, &a).unwrap().as_slice::<f32>().unwrap(), [5.0, 11.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if the names don't fit the operands' ranks or lengths, or the result lacks
/// `...` where operands have such axes.
#[track_caller]
pub fn einsum(spec: &str, operands: impl AsRef<[Tensor]>) -> Tensor {
    let span = Span::here();
    let operands = operands.as_ref();
    let shapes: Vec<Shape> = operands.iter().map(|x| trace::aval(*x, span).shape).collect();
    let Names { mut inputs, output, lengths } = raise::get(Names::parse(spec, &shapes).map_err(|e| e.at(span)));
    let operands: Vec<Tensor> =
        operands.iter().zip(&mut inputs).map(|(x, names)| unstretched(*x, names, &lengths)).collect();

    let mut acc: Option<(Tensor, Vec<char>)> = None;
    for (i, (x, names)) in operands.iter().zip(inputs.iter()).enumerate() {
        let (mut x, mut names) = (*x, names.clone());
        while let Some((a, b)) = repeated(&names) {
            x = x.merge_axes(a, b);
            names.remove(b);
        }
        let later = |c: &char| output.contains(c) || inputs[i + 1..].iter().any(|other| other.contains(c));
        let (x, names) = match acc {
            None => sum_out(x, names, |c| later(c)),
            Some((y, known)) => {
                // What only one of the two has and nobody needs later is summed before the product.
                let (y, known) = sum_out(y, known, |c| later(c) || names.contains(c));
                let (x, names) = sum_out(x, names, |c| later(c) || known.contains(c));
                let place = |of: &[char], c: &char| of.iter().position(|d| d == c);
                let mut dims = DotDims::default();
                let mut result = vec![];
                for (a, c) in known.iter().enumerate() {
                    if let Some(b) = place(&names, c) {
                        let pairs = if later(c) { &mut dims.batch } else { &mut dims.contract };
                        pairs[0].push(a);
                        pairs[1].push(b);
                        if later(c) {
                            result.push(*c);
                        }
                    }
                }
                result.extend(dims.free(0, known.len()).iter().map(|a| known[*a]));
                result.extend(dims.free(1, names.len()).iter().map(|b| names[*b]));
                (trace::add(Op::DotGeneral(dims), &[y, x], span), result)
            }
        };
        acc = Some((x, names));
    }
    let Some((x, names)) = acc else { raise::throw(Error::tree("`einsum` needs an operand").at(span)) };
    let perm: Vec<usize> = output.iter().filter_map(|c| names.iter().position(|d| d == c)).collect();
    x.transpose(perm)
}

/// The tensor summed over the axes that aren't kept, and the names left.
#[track_caller]
fn sum_out(x: Tensor, names: Vec<char>, keep: impl Fn(&char) -> bool) -> (Tensor, Vec<char>) {
    let axes: Vec<usize> = (0..names.len()).filter(|i| !keep(&names[*i])).collect();
    if axes.is_empty() {
        return (x, names);
    }
    (x.sum_axes(axes), names.into_iter().filter(|c| keep(c)).collect())
}

/// Two positions of one name.
fn repeated(names: &[char]) -> Option<(usize, usize)> {
    (0..names.len()).find_map(|b| (0..b).find(|a| names[*a] == names[b]).map(|a| (a, b)))
}

/// The tensor without the axes of length 1 that stretch to the others' length, and without their names.
#[track_caller]
fn unstretched(x: Tensor, names: &mut Vec<char>, lengths: &[Length]) -> Tensor {
    let shape = x.shape();
    let stays: Vec<bool> = (names.iter().zip(shape.iter()))
        .map(|(c, n)| lengths.iter().all(|of| of.name != *c || of.length == *n))
        .collect();
    if stays.iter().all(|stays| *stays) {
        return x;
    }
    let kept = |i: &usize| stays[*i];
    let rest: Vec<usize> = (0..names.len()).filter(kept).map(|i| shape[i]).collect();
    *names = (0..names.len()).filter(kept).map(|i| names[i]).collect();
    x.reshape(rest)
}

/// What stands for the axes without names while a specification is read.
const DOTS: char = '…';

/// The name of the axis without a name that so many such axes follow. It is no letter.
fn nameless(after: usize) -> char {
    char::from_u32(0xE000 + after as u32).unwrap_or(char::MAX)
}

/// How long the axes of a name are, and the operand that says so.
struct Length {
    name: char,
    operand: usize,
    length: usize,
}

/// The names of each operand's axes, and the result's.
struct Names {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
    lengths: Vec<Length>,
}

impl Names {
    fn parse(spec: &str, shapes: &[Shape]) -> Result<Names> {
        let wrong = |what: String| Error::axis(format!("`einsum` \"{spec}\": {what}"));
        let (left, right) = match spec.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (spec, None),
        };
        let names = |s: &str| -> Result<Vec<char>> {
            let text = s.replace("...", &DOTS.to_string());
            if text.matches(DOTS).count() > 1 {
                return Err(wrong(format!("{s:?} has `...` twice")));
            }
            let named = |c: char| {
                if c.is_alphabetic() || c == DOTS { Ok(c) } else { Err(wrong(format!("{c:?} names no axis"))) }
            };
            text.chars().filter(|c| !c.is_whitespace()).map(named).collect()
        };
        let mut inputs: Vec<Vec<char>> = left.split(',').map(names).collect::<Result<_>>()?;
        if inputs.len() != shapes.len() {
            return Err(wrong(format!("it names {} operands, and there are {}", inputs.len(), shapes.len())));
        }
        let mut most = 0;
        for (i, (names, shape)) in inputs.iter_mut().zip(shapes).enumerate() {
            let letters = names.iter().filter(|c| **c != DOTS).count();
            let dots = names.len() > letters;
            if letters > shape.rank() || (letters < shape.rank() && !dots) {
                return Err(wrong(format!("operand {i} has shape {shape} and {letters} axis names")));
            }
            most = most.max(shape.rank() - letters);
            *names = expanded(names, shape.rank() - letters);
        }
        let lengths = lengths(&inputs, shapes).map_err(wrong)?;
        let output = match right {
            Some(right) => names(right)?,
            None => {
                let times = |c: char| inputs.iter().flatten().filter(|d| **d == c).count();
                let letters = lengths.iter().map(|of| of.name).filter(|c| c.is_alphabetic());
                let mut once: Vec<char> = letters.filter(|c| times(*c) == 1).collect();
                once.sort_unstable();
                [vec![DOTS], once].concat()
            }
        };
        if most > 0 && !output.contains(&DOTS) {
            return Err(wrong(format!("the result lacks `...`, which stands for {most} axes of the operands")));
        }
        let output = expanded(&output, most);
        if let Some(c) = output.iter().find(|c| !lengths.iter().any(|of| of.name == **c)) {
            return Err(wrong(format!("the result's axis {c} is in no operand")));
        }
        if let Some((_, b)) = repeated(&output) {
            return Err(wrong(format!("the result names axis {} twice", output[b])));
        }
        Ok(Names { inputs, output, lengths })
    }
}

/// The names with those of so many axes in the place of `...`.
fn expanded(names: &[char], axes: usize) -> Vec<char> {
    let one = |c: &char| if *c == DOTS { (0..axes).rev().map(nameless).collect() } else { vec![*c] };
    names.iter().flat_map(one).collect()
}

/// The lengths of all axes; those without names stretch from 1.
fn lengths(inputs: &[Vec<char>], shapes: &[Shape]) -> std::result::Result<Vec<Length>, String> {
    let mut lengths: Vec<Length> = vec![];
    for (i, (names, shape)) in inputs.iter().zip(shapes).enumerate() {
        for (c, n) in names.iter().zip(shape.iter()) {
            match lengths.iter_mut().find(|of| of.name == *c) {
                None => lengths.push(Length { name: *c, operand: i, length: *n }),
                Some(of) if of.length == *n || (!c.is_alphabetic() && *n == 1) => {}
                Some(of) if !c.is_alphabetic() && of.length == 1 => (of.operand, of.length) = (i, *n),
                Some(of) => {
                    let axis = if c.is_alphabetic() { format!("axis {c}") } else { "an axis of `...`".to_owned() };
                    return Err(format!(
                        "{axis} has length {} in operand {} and {n} in operand {i}",
                        of.length, of.operand
                    ));
                }
            }
        }
    }
    Ok(lengths)
}
