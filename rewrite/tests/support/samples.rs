//! Applications of every primitive, with every kind of attribute.

use egrad_ir::op::Axes;
use egrad_ir::{
    Array, Aval, Binary, DotDims, Dtype, Factor, Linalg, Op, Reduce, Shape, Triangle, Unary, elementary, infer,
};
use egrad_rewrite::term::Prim;

/// A primitive, operands it takes, and the numbers it is smooth on.
#[derive(Clone, Debug)]
pub struct Sample {
    pub op: Op,
    pub operands: Vec<Aval>,
    pub low: f64,
    pub high: f64,
    /// Of what is taken, the first position and how far it is from one to the next along each axis, if
    /// the positions aren't data.
    pub counted: Option<(i32, &'static [i32])>,
}

/// The integer types.
const INTEGERS: [Dtype; 4] = [Dtype::I32, Dtype::I64, Dtype::U32, Dtype::U8];

fn axes(a: &[usize]) -> Axes {
    a.into()
}

/// At least one sample per primitive that has operands.
pub fn samples() -> Vec<Sample> {
    let float = |shape: &[usize]| Aval::new(Dtype::F64, shape);
    let of = |dtype, shape: &[usize]| Aval::new(dtype, shape);
    let mut all = Vec::new();
    let part = |x: &[usize], indices: &[usize], axis, batch, start, steps| Sample {
        op: Op::Take { axis, batch },
        operands: vec![float(x), of(Dtype::I32, indices)],
        low: -2.0,
        high: 5.0,
        counted: Some((start, steps)),
    };
    // Parts of an axis, and windows.
    all.extend([
        part(&[4, 2], &[3], 0, 0, -1, &[1]),
        part(&[2, 5], &[2, 3], 1, 1, 0, &[2, 1]),
        part(&[2, 3, 4], &[2, 1], 2, 1, 1, &[-1, 0]),
        part(&[5], &[2, 3], 0, 0, -1, &[2, 1]),
        part(&[2, 7, 3], &[3, 2], 1, 0, -2, &[1, 3]),
        part(&[9], &[3, 2], 0, 0, 0, &[3, -1]),
    ]);
    let mut add = |op: Op, operands: Vec<Aval>, low, high| all.push(Sample { op, operands, low, high, counted: None });
    // Its derivative is infinite next to 1.
    add(Op::IntegerPow(i32::MIN), vec![float(&[3])], 1.0, 1.0);
    for prim in Prim::all() {
        match prim {
            Prim::Constant | Prim::Iota => {}
            Prim::Unary(u) => {
                let op = Op::Unary(u);
                match u {
                    Unary::Not => {
                        add(op.clone(), vec![of(Dtype::Bool, &[2, 3])], 0.0, 1.0);
                        for dtype in INTEGERS {
                            add(op.clone(), vec![of(dtype, &[3])], -5.0, 5.0);
                        }
                    }
                    Unary::Sqrt | Unary::Rsqrt => {
                        add(op.clone(), vec![float(&[2, 3])], 0.3, 2.0);
                        add(op, vec![float(&[])], 0.3, 2.0);
                    }
                    // Between integers.
                    Unary::Floor | Unary::Round => {
                        add(op.clone(), vec![float(&[2, 3])], 1.55, 1.95);
                        add(op, vec![float(&[])], -0.45, -0.05);
                    }
                    // Defined at all of these, and smooth.
                    Unary::Neg | Unary::Abs | Unary::Sign | elementary!() | Unary::StopGradient | Unary::Barrier => {
                        add(op.clone(), vec![float(&[2, 3])], 0.1, 0.9);
                        if u != Unary::Log {
                            add(op.clone(), vec![float(&[3])], -0.9, -0.1);
                        }
                        add(op, vec![float(&[])], 0.1, 0.9);
                    }
                }
            }
            Prim::Binary(b) => {
                let op = Op::Binary(b);
                match b {
                    Binary::And | Binary::Or | Binary::Xor => {
                        add(op.clone(), vec![of(Dtype::Bool, &[4]); 2], 0.0, 1.0);
                        for dtype in INTEGERS {
                            add(op.clone(), vec![of(dtype, &[4]); 2], -9.0, 9.0);
                        }
                    }
                    Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => {
                        for dtype in INTEGERS {
                            add(op.clone(), vec![of(dtype, &[7]); 2], -9.0, 40.0);
                        }
                    }
                    Binary::Pow | Binary::Atan2 => {
                        add(op.clone(), vec![float(&[2, 3]); 2], 0.3, 2.0);
                        add(op, vec![float(&[]); 2], 0.3, 2.0);
                    }
                    Binary::Div | Binary::Rem => {
                        add(op.clone(), vec![float(&[2, 3]); 2], 0.3, 2.0);
                        add(op.clone(), vec![float(&[]); 2], 0.3, 2.0);
                        for dtype in INTEGERS {
                            add(op.clone(), vec![of(dtype, &[7]); 2], -9.0, 9.0);
                        }
                    }
                    Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min => {
                        add(op.clone(), vec![float(&[2, 3]); 2], -2.0, 2.0);
                        add(op.clone(), vec![float(&[]); 2], -2.0, 2.0);
                        for dtype in INTEGERS {
                            add(op.clone(), vec![of(dtype, &[3]); 2], -2.0, 2.0);
                        }
                    }
                }
            }
            Prim::Compare(c) => {
                add(Op::Compare(c), vec![float(&[2, 3]); 2], -2.0, 2.0);
                for dtype in INTEGERS {
                    add(Op::Compare(c), vec![of(dtype, &[7]); 2], -0.4, 0.4);
                }
            }
            Prim::Select => {
                for dtype in INTEGERS {
                    add(Op::Select, vec![of(Dtype::Bool, &[3]), of(dtype, &[3]), of(dtype, &[3])], -2.0, 2.0);
                }
                add(Op::Select, vec![of(Dtype::Bool, &[2, 3]), float(&[2, 3]), float(&[2, 3])], -2.0, 2.0);
                add(Op::Select, vec![of(Dtype::Bool, &[]), float(&[]), float(&[])], -2.0, 2.0);
            }
            Prim::IntegerPow => {
                for n in [-2, -1, 0, 1, 2, 3, 5] {
                    add(Op::IntegerPow(n), vec![float(&[3])], 0.4, 1.5);
                    for dtype in INTEGERS.into_iter().filter(|_| n >= 0) {
                        add(Op::IntegerPow(n), vec![of(dtype, &[3])], -2.0, 2.0);
                    }
                }
            }
            Prim::Convert => {
                // Differences of 16 bits say nothing of derivatives.
                for to in Dtype::ALL.into_iter().filter(|d| d.computed() == *d) {
                    add(Op::Convert(to), vec![float(&[2, 2])], -3.0, 3.0);
                    for from in INTEGERS {
                        add(Op::Convert(to), vec![of(from, &[2])], -1.0, 1.0);
                    }
                    add(Op::Convert(to), vec![of(Dtype::Bool, &[2])], 0.0, 1.0);
                }
            }
            Prim::BroadcastInDim => {
                let to = |shape: &[usize], dims: &[usize]| Op::BroadcastInDim {
                    shape: Shape::from(shape),
                    dims: axes(dims),
                };
                add(to(&[4], &[]), vec![float(&[])], -2.0, 2.0);
                add(to(&[2, 3, 4], &[1]), vec![float(&[3])], -2.0, 2.0);
                add(to(&[2, 3, 4], &[0, 2]), vec![float(&[2, 4])], -2.0, 2.0);
                add(to(&[2, 3, 4], &[0, 1, 2]), vec![float(&[2, 1, 4])], -2.0, 2.0);
                add(to(&[2, 3], &[0, 1]), vec![float(&[1, 1])], -2.0, 2.0);
                add(to(&[2, 1, 3], &[0, 2]), vec![float(&[2, 3])], -2.0, 2.0);
            }
            Prim::Reshape => {
                add(Op::Reshape(Shape::from([3, 2])), vec![float(&[2, 3])], -2.0, 2.0);
                add(Op::Reshape(Shape::from([])), vec![float(&[1, 1])], -2.0, 2.0);
            }
            Prim::Transpose => {
                add(Op::Transpose(axes(&[1, 0])), vec![float(&[2, 3])], -2.0, 2.0);
                add(Op::Transpose(axes(&[2, 0, 1])), vec![float(&[2, 3, 4])], -2.0, 2.0);
            }
            Prim::Reduce(kind) => {
                for a in [&[0][..], &[1], &[0, 2], &[]] {
                    add(Op::Reduce { kind, axes: axes(a) }, vec![float(&[2, 3, 2])], -2.0, 2.0);
                }
                for dtype in INTEGERS {
                    add(Op::Reduce { kind, axes: axes(&[0]) }, vec![of(dtype, &[3, 2])], -2.0, 2.0);
                }
            }
            Prim::Slice => {
                let slice = |start: &[usize], limit: &[usize]| Op::Slice { start: axes(start), limit: axes(limit) };
                add(slice(&[0, 1], &[2, 3]), vec![float(&[2, 4])], -2.0, 2.0);
                add(slice(&[1, 2], &[1, 4]), vec![float(&[2, 4])], -2.0, 2.0);
                add(slice(&[], &[]), vec![float(&[])], -2.0, 2.0);
                add(slice(&[1], &[2]), vec![of(Dtype::Bool, &[3])], 0.0, 1.0);
            }
            Prim::Pad => {
                let pad = |low: &[usize], high: &[usize]| Op::Pad { low: axes(low), high: axes(high) };
                add(pad(&[1, 0], &[0, 2]), vec![float(&[2, 3]), float(&[])], -2.0, 2.0);
                add(pad(&[2], &[1]), vec![float(&[0]), float(&[])], -2.0, 2.0);
                add(pad(&[], &[]), vec![float(&[]), float(&[])], -2.0, 2.0);
                add(pad(&[2], &[1]), vec![of(Dtype::I32, &[3]), of(Dtype::I32, &[])], -2.0, 2.0);
            }
            Prim::Reverse => {
                for a in [&[0][..], &[1], &[0, 1], &[]] {
                    add(Op::Reverse(axes(a)), vec![float(&[2, 3])], -2.0, 2.0);
                }
            }
            Prim::Concatenate => {
                add(Op::Concatenate(1), vec![float(&[2, 3]), float(&[2, 1])], -2.0, 2.0);
                add(Op::Concatenate(0), vec![float(&[0, 2]), float(&[3, 2])], -2.0, 2.0);
                add(Op::Concatenate(0), vec![of(Dtype::Bool, &[2]), of(Dtype::Bool, &[3])], 0.0, 1.0);
            }
            Prim::Take | Prim::Scatter(_) => {
                for (x, indices, axis, batch) in [
                    (&[4, 2][..], &[3][..], 0, 0),
                    (&[2, 4, 3], &[], 1, 0),
                    (&[2, 4], &[2, 3], 1, 1),
                    (&[2, 3, 4], &[2, 5], 2, 1),
                    (&[2, 3, 4], &[2, 1], 2, 1),
                    (&[2, 4, 3], &[2], 1, 1),
                    (&[4], &[2, 2], 0, 0),
                    (&[3, 4, 2], &[0], 1, 0),
                ] {
                    // Only the sum and what reads have derivatives.
                    let none = matches!(prim, Prim::Scatter(Reduce::Max | Reduce::Prod));
                    let dtype = if none { Dtype::I32 } else { Dtype::F64 };
                    let (x, indices) = (of(dtype, x), of(Dtype::I32, indices));
                    match prim {
                        Prim::Scatter(kind) => {
                            let taken = infer::infer(&Op::Take { axis, batch }, &[&x, &indices]).unwrap();
                            add(Op::Scatter { kind, axis, batch }, vec![x, indices, taken], -2.0, 5.0);
                        }
                        _ => add(Op::Take { axis, batch }, vec![x, indices], -2.0, 5.0),
                    }
                }
            }
            Prim::Argsort => {
                add(Op::Argsort(1), vec![float(&[2, 5])], -2.0, 2.0);
                for dtype in INTEGERS {
                    add(Op::Argsort(0), vec![of(dtype, &[5, 2])], -2.0, 2.0);
                }
            }
            Prim::Factor(factor) => {
                let op = Op::Linalg(Linalg::Factor(factor));
                let tall = matches!(factor, Factor::Lu | Factor::Qr | Factor::Svd);
                for shape in [&[2, 2][..], &[3, 3], &[2, 3, 3], &[1, 1], &[0, 0], &[0, 2, 2]] {
                    add(op.clone(), vec![float(shape)], -1.0, 1.0);
                }
                for shape in [&[3, 2][..], &[2, 4, 3], &[3, 1]].iter().filter(|_| tall) {
                    add(op.clone(), vec![float(shape)], -1.0, 1.0);
                }
            }
            Prim::TriangularSolve => {
                for bits in 0..8 {
                    let triangle = Triangle { lower: bits & 1 > 0, transpose: bits & 2 > 0, unit: bits & 4 > 0 };
                    let op = Op::Linalg(Linalg::TriangularSolve(triangle));
                    add(op.clone(), vec![float(&[3, 3]), float(&[3, 2])], -1.0, 1.0);
                    add(op.clone(), vec![float(&[2, 2, 2]), float(&[2, 2, 1])], -1.0, 1.0);
                    add(op, vec![float(&[2, 0, 0]), float(&[2, 0, 3])], -1.0, 1.0);
                }
            }
            Prim::Fft => {
                for inverse in [false, true] {
                    let op = Op::Linalg(Linalg::Fft { inverse });
                    for shape in [&[2, 1][..], &[2, 3], &[2, 8], &[3, 2, 6], &[2, 0]] {
                        add(op.clone(), vec![float(shape)], -1.0, 1.0);
                    }
                }
            }
            Prim::DotGeneral => {
                for dtype in INTEGERS {
                    let dims = DotDims { contract: [axes(&[1]), axes(&[0])], ..DotDims::default() };
                    add(Op::DotGeneral(dims), vec![of(dtype, &[2, 3]), of(dtype, &[3, 4])], -2.0, 2.0);
                }
                let mut dot = |x: &[usize], y: &[usize], contract: [&[usize]; 2], batch: [&[usize]; 2]| {
                    let dims = DotDims { contract: contract.map(axes), batch: batch.map(axes) };
                    add(Op::DotGeneral(dims), vec![float(x), float(y)], -2.0, 2.0);
                };
                dot(&[2, 3], &[3, 4], [&[1], &[0]], [&[], &[]]);
                dot(&[3], &[3], [&[0], &[0]], [&[], &[]]);
                dot(&[2, 3], &[3], [&[1], &[0]], [&[], &[]]);
                dot(&[3], &[4, 3], [&[0], &[1]], [&[], &[]]);
                dot(&[2], &[3], [&[], &[]], [&[], &[]]);
                dot(&[5, 2, 3], &[5, 3, 4], [&[2], &[1]], [&[0], &[0]]);
                dot(&[2, 5, 3, 6], &[3, 4, 6, 5], [&[2], &[0]], [&[3, 1], &[2, 3]]);
                dot(&[2, 3, 4], &[4, 5, 3], [&[1, 2], &[2, 0]], [&[], &[]]);
                dot(&[4, 3, 2, 3], &[3, 4, 3], [&[3, 0], &[0, 1]], [&[1], &[2]]);
            }
        }
    }
    all
}

/// The first operand of a primitive, as it is or, of linear algebra, with numbers added that keep it from
/// what has no derivative: different ones on the diagonal, of `lu` beside it, so that rows move.
pub fn conditioned(prim: Prim, x: &Array) -> Array {
    let beside = match prim {
        Prim::Factor(Factor::Lu) => 1,
        Prim::Factor(_) | Prim::TriangularSolve => 0,
        _ => return x.clone(),
    };
    let [m, n] = x.shape()[x.shape().rank() - 2..] else { unreachable!("it is a matrix") };
    let add = |(k, x): (usize, f64)| {
        let (i, j) = (k / n % m, k % n);
        if (i + beside) % n == j && i < n { x + 5.0 * (i + 1) as f64 } else { x }
    };
    let data: Vec<f64> = x.to_f64().into_iter().enumerate().map(add).collect();
    Array::from_f64(x.dtype(), &data, x.shape().clone()).unwrap()
}
