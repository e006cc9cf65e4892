//! The graph builder: broadcasting, axes, and errors that show the caller's line.

use egrad_ir::builder::{GraphBuilder, Recorder, normalize_axes, normalize_axis};
use egrad_ir::eval::{Elementary, eval};
use egrad_ir::*;

/// Builds a function, runs it on ones, and gives the result.
#[track_caller]
fn run(avals: &[Aval], build: impl FnOnce(&mut GraphBuilder<'_>, &[NodeId]) -> Result<NodeId>) -> Array {
    let mut program = Program::new();
    let mut b = GraphBuilder::new(&mut program, "f");
    let params: Vec<NodeId> = avals.iter().map(|a| b.param(a.dtype, a.shape.clone()).unwrap()).collect();
    let result = build(&mut b, &params).unwrap();
    b.finish(&[result]).unwrap();
    program.verify().unwrap();
    let inputs: Vec<Array> =
        avals.iter().map(|a| Array::full(a.shape.clone(), Literal::new(a.dtype, 1.0)).unwrap()).collect();
    let inputs: Vec<&Array> = inputs.iter().collect();
    eval(program.entry(), &inputs, Elementary::Std).unwrap().remove(0)
}

fn f32s(shape: &[usize]) -> Aval {
    Aval::new(Dtype::F32, shape)
}

#[test]
fn elementwise_operations_broadcast() {
    for (a, b, want) in [
        (&[2, 3][..], &[3][..], &[2, 3][..]),
        (&[3], &[2, 3], &[2, 3]),
        (&[2, 1], &[1, 3], &[2, 3]),
        (&[], &[2], &[2]),
        (&[4, 1, 3], &[2, 1], &[4, 2, 3]),
        (&[0], &[1], &[0]),
        (&[2, 0], &[], &[2, 0]),
        (&[2], &[2], &[2]),
        (&[], &[], &[]),
    ] {
        let sum = run(&[f32s(a), f32s(b)], |g, p| g.add(p[0], p[1]));
        assert_eq!(&sum.shape()[..], want);
        assert!(sum.to_f64().iter().all(|x| *x == 2.0));
        let less = run(&[f32s(a), f32s(b)], |g, p| g.lt(p[0], p[1]));
        assert_eq!((less.dtype(), &less.shape()[..]), (Dtype::Bool, want));
        let chosen = run(&[Aval::new(Dtype::Bool, []), f32s(a), f32s(b)], |g, p| g.select(p[0], p[1], p[2]));
        assert_eq!(&chosen.shape()[..], want);
    }
    let wide = run(&[Aval::new(Dtype::Bool, [2, 1]), f32s(&[]), f32s(&[])], |g, p| g.select(p[0], p[1], p[2]));
    assert_eq!(&wide.shape()[..], [2, 1]);
}

#[test]
fn equal_shapes_record_no_broadcast() {
    let mut program = Program::new();
    let mut b = GraphBuilder::new(&mut program, "f");
    let x = b.param(Dtype::F32, [2]).unwrap();
    assert_eq!(b.broadcast_to(x, [2]).unwrap(), x);
    assert_eq!(b.convert(x, Dtype::F32).unwrap(), x);
    b.mul(x, x).unwrap();
    assert_eq!(b.function().len(), 2);
}

#[test]
fn every_method_records_its_primitive() {
    let mut program = Program::new();
    let mut b = GraphBuilder::new(&mut program, "f");
    let x = b.param(Dtype::F32, [2, 3]).unwrap();
    let n = b.param(Dtype::I32, [2, 3]).unwrap();
    b.neg(x).unwrap();
    b.abs(x).unwrap();
    b.sign(x).unwrap();
    b.floor(x).unwrap();
    b.round(x).unwrap();
    b.sqrt(x).unwrap();
    b.rsqrt(x).unwrap();
    b.exp(x).unwrap();
    b.expm1(x).unwrap();
    b.log(x).unwrap();
    b.log1p(x).unwrap();
    b.sin(x).unwrap();
    b.cos(x).unwrap();
    b.asin(x).unwrap();
    b.acos(x).unwrap();
    b.atan(x).unwrap();
    b.tanh(x).unwrap();
    b.logistic(x).unwrap();
    b.erf(x).unwrap();
    b.erfc(x).unwrap();
    b.erf_inv(x).unwrap();
    b.not(n).unwrap();
    b.stop_gradient(x).unwrap();
    b.barrier(x).unwrap();
    b.add(x, x).unwrap();
    b.sub(x, x).unwrap();
    b.mul(x, x).unwrap();
    b.div(x, x).unwrap();
    b.rem(x, x).unwrap();
    b.atan2(x, x).unwrap();
    b.pow(x, x).unwrap();
    b.max(x, x).unwrap();
    b.min(x, x).unwrap();
    b.and(n, n).unwrap();
    b.or(n, n).unwrap();
    b.xor(n, n).unwrap();
    b.shift_left(n, n).unwrap();
    b.shift_right_logical(n, n).unwrap();
    b.shift_right_arithmetic(n, n).unwrap();
    b.eq(x, x).unwrap();
    b.ne(x, x).unwrap();
    b.lt(x, x).unwrap();
    b.le(x, x).unwrap();
    b.gt(x, x).unwrap();
    let p = b.ge(x, x).unwrap();
    b.select(p, x, x).unwrap();
    b.integer_pow(x, 2).unwrap();
    b.convert(x, Dtype::I32).unwrap();
    b.constant(Dtype::F32, 1.5).unwrap();
    b.iota(Dtype::I32, [2, 3], -1).unwrap();
    b.broadcast_in_dim(x, [2, 4, 3], &[0, 2]).unwrap();
    b.reshape(x, [6]).unwrap();
    b.transpose(x, &[-1, 0]).unwrap();
    b.reduce_sum(x, &[-1]).unwrap();
    b.reduce_max(x, &[0, 1]).unwrap();
    b.reduce_prod(x, &[1]).unwrap();
    b.dot_general(x, x, DotDims { contract: Default::default(), batch: Default::default() }).unwrap();
    b.slice(x, &[0, 1], &[2, 2]).unwrap();
    let value = b.constant(Dtype::F32, 1.5).unwrap();
    b.pad(x, value, &[0, 1], &[2, 0]).unwrap();
    b.reverse(x, &[1]).unwrap();
    b.concatenate(x, x, 0).unwrap();
    b.take(x, n, 1, 0).unwrap();
    let updates = b.take(x, n, 1, 1).unwrap();
    for kind in Reduce::ALL {
        b.scatter(*kind, x, n, updates, 1, 1).unwrap();
    }
    b.argsort(x, 1).unwrap();
    b.linalg(Linalg::Fft { inverse: false }, &[x]).unwrap();
    let square = b.broadcast_in_dim(value, [3, 3], &[]).unwrap();
    for factor in Factor::ALL {
        b.linalg(Linalg::Factor(*factor), &[square]).unwrap();
    }
    b.linalg(Linalg::TriangularSolve(Triangle::default()), &[square, square]).unwrap();
    let mut recorded: Vec<&str> = b
        .function()
        .nodes()
        .filter_map(|(_, n)| if let NodeKind::Op(op) = &n.kind { Some(op.name()) } else { None })
        .collect();
    let mut names = Op::names();
    recorded.sort_unstable();
    recorded.dedup();
    names.sort_unstable();
    assert_eq!(recorded, names);
}

#[test]
fn errors_show_the_line_that_called() {
    let mut program = Program::new();
    let mut b = GraphBuilder::new(&mut program, "f");
    let (x_line, x) = (line!(), b.param(Dtype::F32, [2, 3]).unwrap());
    let y = b.param(Dtype::F32, [4]).unwrap();
    let n = b.param(Dtype::I32, [2, 3]).unwrap();
    let (call, error) = (line!(), b.add(x, y).unwrap_err());
    let text = error.to_string();
    assert_eq!(error.kind(), "shape");
    assert!(text.contains("the operands of `add`, f32[2,3] and f32[4], don't broadcast"), "{text}");
    assert!(text.contains(&format!("builder.rs:{call}:")) && text.contains(&format!("builder.rs:{x_line}:")), "{text}");
    let here = |error: Error, kind: &str, expect: &str| {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expect), "{error}\nshould say: {expect}");
        assert!(matches!(error.report().at, Span::Rust(at) if at.file().ends_with("builder.rs")), "{error}");
        assert!(error.to_string().contains("tests/builder.rs"), "{error}");
    };
    here(b.mul(x, n).unwrap_err(), "dtype", "`mul` takes operands of one type, not f32[2,3] and i32[2,3]: convert");
    here(b.exp(n).unwrap_err(), "dtype", "`exp` doesn't take i32[2,3]");
    here(b.select(x, x, x).unwrap_err(), "dtype", "must be bool, not f32[2,3]");
    here(b.reduce_sum(x, &[2]).unwrap_err(), "axis", "axis 2 is out of range for rank 2: it must be from -2 to 1");
    here(b.reduce_sum(x, &[1, -1]).unwrap_err(), "axis", "axis 1 is named twice in [1, -1]");
    here(b.transpose(x, &[0]).unwrap_err(), "axis", "a permutation of its 2 axes");
    here(b.transpose(x, &[0, -3]).unwrap_err(), "axis", "axis -3 is out of range");
    here(b.iota(Dtype::I32, [], 0).unwrap_err(), "axis", "a scalar has no axes");
    here(b.iota(Dtype::Bool, [2], 0).unwrap_err(), "dtype", "not in bool");
    here(b.reshape(x, [5]).unwrap_err(), "shape", "can't reshape f32[2,3]");
    here(b.broadcast_to(x, [3]).unwrap_err(), "shape", "can't broadcast f32[2,3] to [3]");
    here(b.broadcast_to(y, [usize::MAX, 4]).unwrap_err(), "memory", "more than any memory");
    here(b.add(x, NodeId(77)).unwrap_err(), "trace", "%77 is no value of function `f`");
    here(b.neg(NodeId(77)).unwrap_err(), "trace", "%77 is no value");
    here(b.call(FnId(3), &[]).unwrap_err(), "tree", "the program has no function @3");
    b.neg(x).unwrap();
    here(b.param(Dtype::F32, []).unwrap_err(), "tree", "declare the parameters before");
    here(b.finish(&[NodeId(78)]).unwrap_err(), "trace", "%78 is no value");
}

#[test]
fn transforms_apply_to_finished_functions() {
    let mut program = Program::new();
    let mut b = GraphBuilder::new(&mut program, "square");
    let x = b.param(Dtype::F32, []).unwrap();
    let y = b.mul(x, x).unwrap();
    let square = b.finish(&[y]).unwrap();
    let mut b = GraphBuilder::new(&mut program, "main");
    let x = b.param(Dtype::F32, []).unwrap();
    let xs = b.param(Dtype::F32, [7]).unwrap();
    assert_eq!(b.call(square, &[x]).unwrap().len(), 1);
    assert_eq!(b.jvp(square, &[0], &[x, x]).unwrap().len(), 2);
    let pair = b.vjp(square, &[0], &[x, x]).unwrap();
    let all = b.vmap(square, &[Some(0)], &[0], 7, &[xs]).unwrap();
    assert_eq!(b.aval_of(all[0]).unwrap(), f32s(&[7]));
    let tuple = NodeId(pair[0].0 - 1);
    assert_eq!(b.neg(tuple).unwrap_err().kind(), "trace");
    let error = b.vmap(square, &[Some(0)], &[0], 8, &[xs]).unwrap_err();
    assert!(error.to_string().contains("argument 0 of `square` must be f32[8], not f32[7]"), "{error}");
    b.finish(&[pair[1], all[0]]).unwrap();
    program.verify().unwrap();
}

#[test]
fn axes_are_normalised() {
    for (axis, rank, want) in [(0, 1, 0), (-1, 1, 0), (-3, 3, 0), (2, 3, 2), (-1, 3, 2)] {
        assert_eq!(normalize_axis(axis, rank).unwrap(), want);
    }
    for (axis, rank) in [(1, 1), (-2, 1), (0, 0), (-1, 0), (isize::MIN, 3), (isize::MAX, 3)] {
        assert_eq!(normalize_axis(axis, rank).unwrap_err().kind(), "axis");
    }
    assert_eq!(normalize_axes(&[-1, 0], 3).unwrap()[..], [0, 2]);
    assert_eq!(normalize_axes(&[2, -1], 3).unwrap_err().kind(), "axis");
    assert!(normalize_axes(&[], 0).unwrap().is_empty());
}

#[test]
fn functions_record_too() {
    let mut f = Function::new("f", [(f32s(&[2, 3]), Span::Unknown), (f32s(&[3]), Span::Unknown)]);
    let params: Vec<NodeId> = f.params().collect();
    let sum = f.elementwise(Op::Binary(Binary::Add), &params, Span::here()).unwrap();
    let kept = f.reduce(Reduce::Sum, sum, &[-1], true, Span::here()).unwrap();
    assert_eq!(f.aval(kept), &f32s(&[2, 1]));
    let all = f.reduce(Reduce::Max, sum, &[0, 1], false, Span::here()).unwrap();
    assert_eq!(f.aval(all), &f32s(&[]));
    let ones = f.full(&[4, 2].into(), Literal::new(Dtype::F32, 1.0), Span::here()).unwrap();
    assert_eq!(f.aval(ones), &f32s(&[4, 2]));
    f.verify().unwrap();
}
