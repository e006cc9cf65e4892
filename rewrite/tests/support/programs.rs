//! Random programs, drawn from a list of choices so that a failure shrinks.

use super::{Build, function};
use egrad_ir::op::Axes;
use egrad_ir::{Aval, Binary, Compare, DotDims, Dtype, Function, NodeId, Op, Reduce, Shape, Unary};

/// Choices to draw from; zeros when they run out.
pub struct Choices<'a> {
    pub left: &'a [u16],
}

impl Choices<'_> {
    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        match self.left.split_first() {
            Some((first, rest)) => {
                self.left = rest;
                usize::from(*first) % n
            }
            None => 0,
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn shape(&mut self) -> Shape {
        let rank = self.below(3);
        (0..rank).map(|_| self.pick(&[2, 3, 1])).collect()
    }
}

/// A function of `params` floats that is smooth nearly everywhere and stays small.
pub fn random_function(choices: &mut Choices<'_>) -> Function {
    let params: Vec<Aval> = (0..1 + choices.below(3)).map(|_| Aval::new(Dtype::F64, choices.shape())).collect();
    function("random", &params, |b, p| {
        let mut values: Vec<NodeId> = p.to_vec();
        while !choices.left.is_empty() {
            let x = values[values.len() - 1 - choices.below(values.len().min(4))];
            if let Some(y) = grow(b, choices, &values, x) {
                values.push(y);
            }
        }
        let mut results = vec![values[values.len() - 1]];
        if choices.below(2) == 0 && values.len() > 2 {
            results.push(values[values.len() / 2]);
        }
        results
    })
}

/// The dot of two values over axes of equal length, if there are any.
fn dot(choices: &mut Choices<'_>, x: &Aval, y: &Aval) -> Op {
    let (mut contract, mut batch) = ([Axes::new(), Axes::new()], [Axes::new(), Axes::new()]);
    for a in 0..x.shape.rank() {
        let b = (0..y.shape.rank())
            .find(|b| x.shape[a] == y.shape[*b] && !contract[1].contains(b) && !batch[1].contains(b));
        let Some(b) = b else { continue };
        let into = match choices.below(3) {
            0 => &mut contract,
            1 => &mut batch,
            _ => continue,
        };
        into[0].push(a);
        into[1].push(b);
    }
    Op::DotGeneral(DotDims { contract, batch })
}

fn grow(b: &mut Build, choices: &mut Choices<'_>, values: &[NodeId], x: NodeId) -> Option<NodeId> {
    let aval = b.f.aval(x).clone();
    let rank = aval.shape.rank();
    // Another value of that shape, or a number.
    let like = |b: &mut Build, choices: &mut Choices<'_>| {
        let same: Vec<NodeId> = values.iter().copied().filter(|v| *b.f.aval(*v) == aval).collect();
        if choices.below(4) == 0 {
            let number = choices.pick(&[0.0, 1.0, 2.0, -1.0, 0.5, 3.0]);
            let k = b.op(Op::Constant(egrad_ir::Literal::new(Dtype::F64, number)), &[]);
            b.op(Op::BroadcastInDim { shape: aval.shape.clone(), dims: Axes::new() }, &[k])
        } else {
            same[choices.below(same.len())]
        }
    };
    Some(match choices.below(14) {
        0 => b.op(Op::Unary(choices.pick(&[Unary::Sin, Unary::Cos, Unary::Tanh, Unary::Logistic])), &[x]),
        1 => b.op(Op::Unary(choices.pick(&[Unary::Neg, Unary::Abs, Unary::Sin])), &[x]),
        2 => {
            // 1 + x² first: in the domain of all of them, and never large.
            let square = b.op(Op::IntegerPow(2), &[x]);
            let one = b.op(Op::Constant(egrad_ir::Literal::new(Dtype::F64, 1.0)), &[]);
            let one = b.op(Op::BroadcastInDim { shape: aval.shape.clone(), dims: Axes::new() }, &[one]);
            let positive = b.binary("add", one, square);
            b.op(Op::Unary(choices.pick(&[Unary::Log, Unary::Sqrt, Unary::Rsqrt, Unary::Log1p])), &[positive])
        }
        3..=5 => {
            let y = like(b, choices);
            let op = choices.pick(&[Binary::Add, Binary::Mul, Binary::Sub, Binary::Max, Binary::Min]);
            b.op(Op::Binary(op), &[x, y])
        }
        6 => {
            let y = like(b, choices);
            let cosine = b.unary("cos", y);
            let two = b.op(Op::Constant(egrad_ir::Literal::new(Dtype::F64, 2.0)), &[]);
            let two = b.op(Op::BroadcastInDim { shape: aval.shape.clone(), dims: Axes::new() }, &[two]);
            let positive = b.binary("add", two, cosine);
            let op = choices.pick(&[Binary::Div, Binary::Pow]);
            if op == Binary::Pow { b.op(Op::Binary(op), &[positive, x]) } else { b.op(Op::Binary(op), &[x, positive]) }
        }
        7 => {
            let y = like(b, choices);
            let p = b.op(Op::Compare(choices.pick(&[Compare::Lt, Compare::Ge, Compare::Ne])), &[x, y]);
            let p = if choices.below(3) == 0 { b.unary("not", p) } else { p };
            let z = like(b, choices);
            b.op(Op::Select, &[p, z, y])
        }
        8 => {
            let axes: Axes = (0..rank).filter(|_| choices.below(2) == 0).collect();
            let kind = choices.pick(&[Reduce::Sum, Reduce::Max]);
            b.op(Op::Reduce { kind, axes }, &[x])
        }
        9 if rank < 3 => {
            let at = choices.below(rank + 1);
            let shape = aval.shape.insert(at, choices.pick(&[2, 3, 1]));
            b.op(Op::BroadcastInDim { shape, dims: (0..=rank).filter(|a| *a != at).collect() }, &[x])
        }
        10 => {
            let mut perm: Axes = (0..rank).collect();
            perm.rotate_left(choices.below(rank.max(1)));
            b.op(Op::Transpose(perm), &[x])
        }
        11 => {
            let mut dims = aval.shape.to_vec();
            dims.reverse();
            b.op(Op::Reshape(Shape::from(dims)), &[x])
        }
        12 => {
            let y = values[choices.below(values.len())];
            let op = dot(choices, &aval, &b.f.aval(y).clone());
            let both = [&aval, b.f.aval(y)];
            if egrad_ir::infer::infer(&op, &both).ok()?.shape.rank() > 3 {
                return None;
            }
            let z = b.op(op, &[x, y]);
            b.unary("tanh", z)
        }
        _ => b.op(Op::IntegerPow(choices.pick(&[2, 1, 3, 0])), &[x]),
    })
}
