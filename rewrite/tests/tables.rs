//! The tables as a whole: what may fire when, and what malformed or wrong lines come to.

mod support;

use egrad_ir::op::Axes;
use egrad_ir::{Array, Aval, DotDims, Dtype, Function, Literal, NodeId, Numerics, Op, Reduce, Shape, Transform};
use egrad_rewrite::analysis::aval;
use egrad_rewrite::rules::{FloatClass, Line, Right, Tables};
use egrad_rewrite::saturate::{Saturated, saturate, saturate_with};
use egrad_rewrite::{Options, expand_with};
use support::*;

fn f32s(shape: &[usize]) -> Aval {
    Aval::new(Dtype::F32, shape)
}

fn options(numerics: Numerics, disabled: &[&str]) -> Options {
    Options { numerics, disabled: disabled.iter().map(|d| d.to_string()).collect(), ..Options::default() }
}

/// x + 0 − (−(x·1)), of which only the −(−x) and the ·1 are exact.
fn example() -> Function {
    function("f", &[f32s(&[3])], |b, p| {
        let zero = b.op(Op::Constant(Literal::new(Dtype::F32, 0.0)), &[]);
        let zero = b.op(Op::BroadcastInDim { shape: Shape::from([3]), dims: Axes::new() }, &[zero]);
        let one = b.op(Op::Constant(Literal::new(Dtype::F32, 1.0)), &[]);
        let one = b.op(Op::BroadcastInDim { shape: Shape::from([3]), dims: Axes::new() }, &[one]);
        let left = b.binary("add", p[0], zero);
        let right = b.binary("mul", p[0], one);
        let right = b.unary("neg", right);
        vec![b.binary("sub", left, right)]
    })
}

/// The rules that said something, with their classes.
fn fired(s: &Saturated) -> Vec<(&'static str, FloatClass)> {
    let all = s.report.iterations.iter().flat_map(|i| &i.rules);
    all.filter(|f| f.applied > 0).map(|f| (f.rule, f.float)).collect()
}

#[test]
fn strict_programs_see_exact_rules_only() {
    let strict = fired(&saturate(&example(), &options(Numerics::Strict, &[])).unwrap());
    let fast = fired(&saturate(&example(), &options(Numerics::Fast, &[])).unwrap());
    assert!(strict.contains(&("simplify/mul-one", FloatClass::Exact)));
    assert!(strict.iter().all(|(_, class)| *class == FloatClass::Exact), "{strict:?}");
    assert!(fast.contains(&("simplify/add-plus-zero", FloatClass::SignedZero)), "{fast:?}");
    assert!(fast.iter().all(|(_, class)| class.allowed(Numerics::Fast)));
    let never = [FloatClass::AssumesFinite, FloatClass::AssumesDomain];
    assert!(never.iter().all(|c| !c.allowed(Numerics::Fast) && !c.allowed(Numerics::Strict)));
}

#[test]
fn disabled_rules_do_not_fire() {
    let names = ["simplify/add-plus-zero", "simplify/mul-one"];
    let without = fired(&saturate(&example(), &options(Numerics::Fast, &names)).unwrap());
    assert!(without.iter().all(|(name, _)| !names.contains(name)), "{without:?}");
    assert!(without.iter().any(|(name, _)| *name == "simplify/sub-neg"), "{without:?}");
}

#[test]
fn simplification_ends() {
    let s = saturate(&example(), &Options::default()).unwrap();
    assert!(s.report.saturated);
    let x = s.class(NodeId(0)).unwrap();
    let sum = s.egraph[s.results[0]].nodes.iter().any(|t| t.to_string() == "add" && t.args.iter().all(|a| *a == x));
    assert!(sum, "x + 0 − (−(x·1)) is x + x: {:?}", s.egraph[s.results[0]].nodes);
    assert_eq!(aval(&s.egraph, s.results[0]), &f32s(&[3]));
}

fn line(name: &'static str, left: &'static str, right: &'static str, guards: &[&'static str]) -> Line {
    Line {
        name,
        about: &[],
        float: FloatClass::Exact,
        left: left.into(),
        right: Right::Text(right.into()),
        guards: guards.iter().map(|g| (*g).into()).collect(),
    }
}

#[test]
fn clashes_name_the_rule() {
    let run = |l: Line| {
        let f = function("f", &[f32s(&[2, 3])], |b, p| {
            let y = b.op(Op::Transpose(vec![1, 0].into()), &[p[0]]);
            let y = b.op(Op::Reduce { kind: Reduce::Sum, axes: vec![0].into() }, &[y]);
            vec![b.unary("neg", y)]
        });
        let tables = Tables::new(vec![l]).unwrap();
        saturate_with(&f, &Options::default(), &tables).unwrap_err().to_string()
    };
    let shapes = run(line("simplify/wrong", "(reduce_sum ?a ?x)", "?x", &[]));
    assert!(shapes.contains("rule `simplify/wrong` merged a value f32[") && shapes.contains("internal"), "{shapes}");
    let ill = run(line("simplify/ill", "(neg ?x)", "(and ?x ?x)", &[]));
    assert!(ill.contains("rule `simplify/ill`") && ill.contains("`and`"), "{ill}");
    let attrs = run(line("simplify/attrs", "(transpose ?p ?x)", "(transpose {shape ?p} ?x)", &[]));
    assert!(attrs.contains("`shape` can't take"), "{attrs}");
    let guard = run(line("simplify/guard", "(transpose ?p ?x)", "?x", &["float ?p"]));
    assert!(guard.contains("guard `float` on other types"), "{guard}");
}

#[test]
fn malformed_lines_are_named() {
    let check = |l: Line| Tables::new(vec![l]).and_then(|t| t.check()).unwrap_err().to_string();
    for (left, right, guards, says) in [
        ("(frobnicate ?x)", "?x", &[][..], "frobnicate"),
        ("?x", "?x", &[], "no pattern with a term at its root"),
        ("(neg ?x)", "(neg ?y)", &[], "?y"),
        ("(neg ?x)", "(neg ?x ?x)", &[], "takes 1 arguments"),
        ("(neg ?x)", "(neg ?x", &[], "not one expression"),
        ("(neg ?x)", "(neg ?x))", &[], "stray bracket"),
        ("(neg ?x)", "{shape ?x}", &[], "no value"),
        ("(neg ?x)", "(reshape {frob ?x} ?x)", &[], "`frob` is no attribute function"),
        ("(neg ?x)", "(reshape {shape ?x ?x} ?x)", &[], "takes (x: Value)"),
        ("(neg ?x)", "?x", &["frob ?x"], "`frob` is no guard"),
        ("(neg ?x)", "?x", &["constant ?x"], "takes (x: Known, n: Number)"),
    ] {
        let error = check(line("simplify/bad", left, right, guards));
        assert!(error.contains(says), "{left} => {right}: {error}");
    }
    let nameless = Tables::new(vec![line("frob/x", "(neg ?x)", "?x", &[])]).err().unwrap().to_string();
    assert!(nameless.contains("names no stage"), "{nameless}");
}

#[test]
fn lines_read_as_written() {
    let tables = Tables::standard();
    let text = |name| tables.lines().iter().find(|l| l.name == name).unwrap().to_string();
    assert_eq!(text("pull/mul-0"), "pull/mul-0 [exact] (pull:mul:0 ?x ?y ?z ?c) => (mul ?c ?y)");
    assert_eq!(text("push/sign"), "push/sign [exact] (push:sign:0 ?x ?y ?t) => absent");
    assert_eq!(
        text("simplify/add-plus-zero"),
        "simplify/add-plus-zero [signed-zero] (add ?x ?k) => ?x, if constant ?k 0"
    );
}

#[test]
fn a_replaced_line_takes_effect() {
    let lines = Tables::standard().lines().iter().map(|l| {
        let wrong = Right::Text("(mul ?c ?x)".into());
        if l.name == "pull/sin" { Line { right: wrong, ..l.clone() } } else { l.clone() }
    });
    let tables = Tables::new(lines.collect()).unwrap();
    let f = function("f", &[Aval::new(Dtype::F64, [])], |b, p| vec![b.unary("sin", p[0])]);
    let g = expand_with(&transformed(&f, &Transform::Vjp { wrt: vec![0] }), &tables).unwrap();
    assert_eq!(run(&g, &[Array::scalar(3.0), Array::scalar(2.0)])[1].to_f64(), [6.0]);
}

/// Two functions that are the same after simplification share the class of their results.
#[track_caller]
fn equal(
    params: &[Aval],
    a: impl FnOnce(&mut Build, &[NodeId]) -> NodeId,
    b: impl FnOnce(&mut Build, &[NodeId]) -> NodeId,
) {
    let both = function("both", params, |build, p| {
        let (x, y) = (a(build, p), b(build, p));
        vec![x, y]
    });
    let s = saturate(&both, &Options::default()).unwrap();
    assert_eq!(s.results[0], s.results[1], "{:?}\n{:?}", s.egraph[s.results[0]].nodes, s.egraph[s.results[1]].nodes);
}

fn dot(contract: [usize; 2]) -> Op {
    Op::DotGeneral(DotDims { contract: contract.map(|a| vec![a].into()), batch: Default::default() })
}

#[test]
fn products_find_their_transposes() {
    // (x w)ᵀ = wᵀ xᵀ, without moving anything.
    let params = [f32s(&[2, 3]), f32s(&[3, 4])];
    let transpose = Op::Transpose(vec![1, 0].into());
    equal(
        &params,
        |b, p| {
            let y = b.op(dot([1, 0]), p);
            b.op(transpose.clone(), &[y])
        },
        |b, p| b.op(dot([0, 1]), &[p[1], p[0]]),
    );
    equal(
        &params,
        |b, p| {
            let x = b.op(transpose.clone(), &[p[0]]);
            b.op(dot([0, 0]), &[x, p[1]])
        },
        |b, p| b.op(dot([1, 0]), p),
    );
}

#[test]
fn sums_of_repeated_values_are_products() {
    let repeat = |b: &mut Build, x| b.op(Op::BroadcastInDim { shape: [5, 3].into(), dims: vec![1].into() }, &[x]);
    let sum = |axes: &[usize]| Op::Reduce { kind: Reduce::Sum, axes: axes.into() };
    equal(
        &[f32s(&[3])],
        |b, p| {
            let y = repeat(b, p[0]);
            b.op(sum(&[0]), &[y])
        },
        |b, p| {
            let five = b.op(Op::Constant(Literal::new(Dtype::F32, 5.0)), &[]);
            let five = b.op(Op::BroadcastInDim { shape: [3].into(), dims: Axes::new() }, &[five]);
            b.binary("mul", p[0], five)
        },
    );
}
