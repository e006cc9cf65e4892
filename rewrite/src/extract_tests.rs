//! Extraction and lowering against the reference interpreter.

use crate::choices::Choices;
use crate::cost::Machine;
use crate::extract::extract;
use crate::schedule::{extracted, schedule};
use crate::{Fusion, Options, compile_plain};
use egrad_ir::eval::{self, Elementary};
use egrad_ir::schedule::Schedule;
use egrad_ir::{
    Array, Aval, Binary, DotDims, Dtype, FnId, Function, Literal, NodeId, NodeKind, Numerics, Op, Reduce, Shape, Span,
    Transform, Unary,
};
use smallvec::smallvec;

struct Build(Function);

impl Build {
    fn new(params: &[&[usize]]) -> (Build, Vec<NodeId>) {
        let f = Function::new("f", params.iter().map(|s| (Aval::new(Dtype::F32, *s), Span::Unknown)));
        let p = f.params().collect();
        (Build(f), p)
    }
    fn op(&mut self, op: Op, args: &[NodeId]) -> NodeId {
        self.0.add(op, args, Span::Unknown).unwrap()
    }
    fn un(&mut self, u: Unary, x: NodeId) -> NodeId {
        self.op(Op::Unary(u), &[x])
    }
    fn bin(&mut self, b: Binary, x: NodeId, y: NodeId) -> NodeId {
        self.op(Op::Binary(b), &[x, y])
    }
    fn bc(&mut self, shape: &[usize], dims: &[usize], x: NodeId) -> NodeId {
        self.op(Op::BroadcastInDim { shape: shape.into(), dims: dims.into() }, &[x])
    }
    fn sum(&mut self, axes: &[usize], x: NodeId) -> NodeId {
        self.op(Op::Reduce { kind: Reduce::Sum, axes: axes.into() }, &[x])
    }
    fn c(&mut self, v: f64) -> NodeId {
        self.op(Op::Constant(Literal::new(Dtype::F32, v)), &[])
    }
    fn softmax(&mut self, x: NodeId, axis: usize) -> NodeId {
        let shape = self.0.aval(x).shape.to_vec();
        let dims: Vec<usize> = (0..shape.len()).filter(|a| *a != axis).collect();
        let m = self.op(Op::Reduce { kind: Reduce::Max, axes: smallvec![axis] }, &[x]);
        let m = self.bc(&shape, &dims, m);
        let d = self.bin(Binary::Sub, x, m);
        let e = self.un(Unary::Exp, d);
        let s = self.sum(&[axis], e);
        let s = self.bc(&shape, &dims, s);
        self.bin(Binary::Div, e, s)
    }
    fn done(mut self, results: &[NodeId]) -> Function {
        self.0.set_results(results.to_vec());
        self.0
    }
}

fn input(aval: &Aval, seed: usize) -> Array {
    let n = aval.shape.size();
    let data: Vec<f64> = (0..n).map(|i| (((i * 7919 + seed * 104_729) % 1000) as f64 / 500.0 - 1.0) * 1.5).collect();
    Array::from_f64(aval.dtype, &data, aval.shape.clone()).unwrap()
}

#[track_caller]
fn check_with(f: &Function, machine: &Machine, strict: bool, fusion: Fusion) -> Schedule {
    f.verify().unwrap();
    let choices = Choices::of_function(f);
    let plan = extract(&choices, machine, strict, fusion).expect("it calls nothing");
    let numerics = if strict { Numerics::Strict } else { Numerics::Fast };
    let (schedule, predicted, _) = schedule(&plan, numerics).unwrap();
    assert_eq!(schedule.steps.len(), predicted.len());
    schedule.verify().unwrap_or_else(|e| panic!("{e}"));
    let inputs: Vec<Array> = f.param_avals().iter().enumerate().map(|(i, a)| input(a, i)).collect();
    let refs: Vec<&Array> = inputs.iter().collect();
    let want = eval::eval(f, &refs, Elementary::Std).unwrap();
    let (chosen, _) = extracted(&plan, "f").unwrap();
    chosen.verify().unwrap();
    let again = eval::eval(&chosen, &refs, Elementary::Std).unwrap();
    let got = schedule.eval(&refs, Elementary::Std).unwrap();
    for ((w, a), g) in want.iter().zip(&again).zip(&got.outputs) {
        assert_eq!(w.aval(), g.aval());
        for ((x, y), z) in w.to_f64().iter().zip(a.to_f64()).zip(g.to_f64()) {
            let close =
                |p: f64, q: f64| p == q || (p.is_nan() && q.is_nan()) || (p - q).abs() <= 1e-5 * p.abs().max(1.0);
            assert!(close(*x, y), "extracted {x} {y}");
            assert!(if strict { x.to_bits() == z.to_bits() } else { close(*x, z) }, "kernels {x} {z}");
        }
    }
    schedule
}

/// The whole pipeline of one function, against the interpreter.
#[track_caller]
fn check_pipeline(f: &Function, options: &Options) {
    let compiled = compile_plain(f.clone(), options).unwrap_or_else(|e| panic!("{e}"));
    compiled.schedule.verify().unwrap();
    let inputs: Vec<Array> = f.param_avals().iter().enumerate().map(|(i, a)| input(a, i)).collect();
    let refs: Vec<&Array> = inputs.iter().collect();
    let want = eval::eval(f, &refs, Elementary::Std).unwrap();
    let got = compiled.schedule.eval(&refs, Elementary::Std).unwrap();
    for (w, g) in want.iter().zip(&got.outputs) {
        assert_eq!(w.aval(), g.aval());
        for (x, y) in w.to_f64().iter().zip(g.to_f64()) {
            let close = *x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-5 * x.abs().max(1.0);
            let strict = options.numerics == Numerics::Strict;
            assert!(if strict { x.to_bits() == y.to_bits() } else { close }, "{x} {y}");
        }
    }
}

#[track_caller]
fn check(f: &Function) -> Schedule {
    check_pipeline(f, &Options::default());
    check_pipeline(f, &Options { numerics: Numerics::Strict, ..Options::default() });
    check_pipeline(f, &Options { fusion: Fusion::Off, ..Options::default() });
    check_with(f, &Machine::default(), false, Fusion::Off);
    check_with(f, &Machine::default(), true, Fusion::Search);
    check_with(f, &Machine { launch_ns: 0.0, ..Machine::default() }, false, Fusion::Search);
    check_with(f, &Machine { launch_ns: 1e6, ..Machine::default() }, false, Fusion::Search);
    check_with(f, &Machine::default(), false, Fusion::Search)
}

#[test]
fn per_example_gradient_is_one_kernel() {
    for n in [1, 5, 1000] {
        let (mut b, p) = Build::new(&[&[], &[], &[n], &[n]]);
        let w = b.bc(&[n], &[], p[0]);
        let bias = b.bc(&[n], &[], p[1]);
        let wx = b.bin(Binary::Mul, w, p[2]);
        let y = b.bin(Binary::Add, wx, bias);
        let e = b.bin(Binary::Sub, y, p[3]);
        let two = b.c(2.0);
        let two = b.bc(&[n], &[], two);
        let d = b.bin(Binary::Mul, two, e);
        let dw = b.bin(Binary::Mul, d, p[2]);
        let s = check(&b.done(&[dw, d]));
        assert_eq!(s.steps.len(), 1, "{s:?}");
    }
}

#[test]
fn vector_weights_are_one_kernel() {
    let (n, k) = (50, 8);
    let (mut b, p) = Build::new(&[&[k], &[], &[n, k], &[n]]);
    let dims = DotDims { contract: [smallvec![1], smallvec![0]], batch: [smallvec![], smallvec![]] };
    let wx = b.op(Op::DotGeneral(dims), &[p[2], p[0]]);
    let bias = b.bc(&[n], &[], p[1]);
    let y = b.bin(Binary::Add, wx, bias);
    let e = b.bin(Binary::Sub, y, p[3]);
    let d = b.bin(Binary::Add, e, e);
    let spread = b.bc(&[n, k], &[0], d);
    let dw = b.bin(Binary::Mul, spread, p[2]);
    let s = check(&b.done(&[dw, d]));
    assert_eq!(s.steps.len(), 1, "{s:?}");
}

#[test]
fn softmax_along_either_axis() {
    for axis in [0, 1] {
        for shape in [[40, 30], [30, 30], [1, 7], [7, 1]] {
            let (mut b, p) = Build::new(&[&shape]);
            let y = b.softmax(p[0], axis);
            let s = check(&b.done(&[y]));
            assert_eq!(s.steps.len(), 1, "{shape:?} {axis} {s:?}");
        }
    }
}

#[test]
fn much_work_beside_short_rows_is_a_kernel_of_its_own() {
    let rows = |count: usize, functions: &[Unary]| {
        let (mut b, p) = Build::new(&[&[count, 16], &[16]]);
        let v = b.bc(&[count, 16], &[1], p[1]);
        let products = b.bin(Binary::Mul, p[0], v);
        let mut y = b.sum(&[1], products);
        for function in functions {
            y = b.un(*function, y);
        }
        check(&b.done(&[y])).steps.len()
    };
    let (light, heavy) = (&[Unary::Abs], &[Unary::Tanh, Unary::Exp]);
    assert_eq!([rows(300, light), rows(300, heavy), rows(4, heavy)], [1, 2, 1]);
}

#[test]
fn empty_and_scalar_shapes() {
    for shape in [&[][..], &[0], &[0, 3], &[3, 0], &[1], &[1, 1]] {
        let (mut b, p) = Build::new(&[shape]);
        let e = b.un(Unary::Exp, p[0]);
        let rank = shape.len();
        let mut results = vec![e];
        for a in 0..rank {
            let r = b.sum(&[a], e);
            results.push(r);
            let r = b.op(Op::Reduce { kind: Reduce::Max, axes: smallvec![a] }, &[p[0]]);
            results.push(r);
        }
        let all: Vec<usize> = (0..rank).collect();
        let r = b.sum(&all, p[0]);
        results.push(r);
        results.push(p[0]);
        let c = b.c(3.0);
        results.push(c);
        check(&b.done(&results));
    }
}

#[test]
fn long_chains_of_views() {
    let (mut b, p) = Build::new(&[&[2, 3]]);
    let mut y = p[0];
    for i in 0..2000 {
        let shape = if i % 2 == 0 { [3, 2] } else { [2, 3] };
        y = b.op(Op::Reshape(Shape::from(shape)), &[y]);
        y = b.op(Op::Transpose(smallvec![1, 0]), &[y]);
        y = b.op(Op::Transpose(smallvec![1, 0]), &[y]);
    }
    check(&b.done(&[y]));
}

#[test]
fn strict_sums_keep_their_order() {
    for shape in [[50, 1], [1, 50], [9, 11]] {
        let (mut b, p) = Build::new(&[&shape]);
        let all = b.sum(&[0, 1], p[0]);
        let first = b.sum(&[0], p[0]);
        let dims = DotDims { contract: [smallvec![1, 0], smallvec![1, 0]], batch: [smallvec![], smallvec![]] };
        let dot = b.op(Op::DotGeneral(dims), &[p[0], p[0]]);
        check(&b.done(&[all, first, dot]));
    }
}

#[test]
fn views_reshapes_and_products() {
    let (mut b, p) = Build::new(&[&[6, 4], &[4, 5], &[2, 3, 4]]);
    let mm = DotDims { contract: [smallvec![1], smallvec![0]], batch: [smallvec![], smallvec![]] };
    let m = b.op(Op::DotGeneral(mm.clone()), &[p[0], p[1]]);
    let t = b.un(Unary::Tanh, m);
    let tt = b.op(Op::Transpose(smallvec![1, 0]), &[t]);
    let r = b.op(Op::Reshape(Shape::from([5, 2, 3])), &[tt]);
    let x = b.op(Op::Reshape(Shape::from([6, 4])), &[p[2]]);
    let xe = b.un(Unary::Exp, x);
    let m2 = b.op(Op::DotGeneral(mm), &[xe, p[1]]);
    let batched = DotDims { contract: [smallvec![2], smallvec![2]], batch: [smallvec![0], smallvec![0]] };
    let m3 = b.op(Op::DotGeneral(batched), &[p[2], p[2]]);
    let outer = DotDims::default();
    let v = b.sum(&[1], p[0]);
    let w = b.sum(&[0], p[1]);
    let o = b.op(Op::DotGeneral(outer), &[v, w]);
    let weird = DotDims { contract: [smallvec![0, 2], smallvec![0, 2]], batch: [smallvec![], smallvec![]] };
    let m4 = b.op(Op::DotGeneral(weird), &[p[2], p[2]]);
    let flat = b.op(Op::Reshape(Shape::from([24])), &[xe]);
    let sum = b.bin(Binary::Add, m2, o);
    let odd = b.op(Op::Reshape(Shape::from([4, 6])), &[xe]);
    let odd = b.un(Unary::Sin, odd);
    check(&b.done(&[r, m2, m3, o, m4, flat, sum, odd]));
}

#[test]
fn deep_chains_and_wide_fans() {
    for n in [10, 300] {
        let (mut b, p) = Build::new(&[&[5]]);
        let mut y = p[0];
        for _ in 0..n {
            let s = b.un(Unary::Sin, y);
            y = b.bin(Binary::Mul, y, s);
        }
        let s = check(&b.done(&[y]));
        assert!(s.steps.len() <= n / 20 + 1, "{}", s.steps.len());
        let (mut b, p) = Build::new(&[&[5]]);
        let mut y = p[0];
        for i in 0..n {
            let c = b.c(i as f64);
            let c = b.bc(&[5], &[], c);
            let t = b.bin(Binary::Mul, p[0], c);
            let t = b.un(Unary::Cos, t);
            y = b.bin(Binary::Add, y, t);
        }
        check(&b.done(&[y]));
    }
}

#[test]
#[should_panic = "no fuse rule"]
fn a_primitive_no_rule_computes_is_an_error() {
    let (mut b, p) = Build::new(&[&[5]]);
    let y = b.un(Unary::Sin, p[0]);
    check_pipeline(&b.done(&[y]), &Options { disabled: vec!["fuse/compute-unary".into()], ..Options::default() });
}

#[test]
#[should_panic = "no fuse rule lets a kernel read"]
fn memory_no_rule_reads_is_an_error() {
    let (mut b, p) = Build::new(&[&[5]]);
    let y = b.un(Unary::Sin, p[0]);
    check_pipeline(&b.done(&[y]), &Options { disabled: vec!["fuse/load".into()], ..Options::default() });
}

#[test]
fn calls_that_double_forever_are_refused() {
    let mut program = egrad_ir::Program::new();
    let scalar = Aval::new(Dtype::F32, Shape::scalar());
    for i in 0..60u32 {
        let mut f = Function::new(format!("f{i}"), [(scalar.clone(), Span::Unknown)]);
        let mut y = f.params().next().unwrap();
        for _ in 0..2 {
            y = match i.checked_sub(1) {
                None => f.add(Op::Unary(Unary::Sin), &[y], Span::Unknown).unwrap(),
                Some(callee) => {
                    let call = NodeKind::Apply(Transform::Call, FnId(callee));
                    let tuple = f.push(call, &[y], smallvec![scalar.clone()], Span::Unknown);
                    f.push(NodeKind::Get(0), &[tuple], smallvec![scalar.clone()], Span::Unknown)
                }
            };
        }
        f.set_results(vec![y]);
        program.add(f);
    }
    let error = crate::expand(&program).unwrap_err();
    assert!(matches!(error, egrad_ir::Error::Memory(_)), "{error}");
}
