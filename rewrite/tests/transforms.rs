//! Every primitive's rules, one at a time: the values against differences and loops, and what
//! happens when a line is missing.

mod support;

use egrad_ir::op::Axes;
use egrad_ir::{Array, Aval, Binary, Dtype, Element, Function, NodeId, Op, Program, Shape, Span, Transform, Unary};
use egrad_rewrite::rules::{Line, Right, Rule, Tables};
use egrad_rewrite::term::{Head, Mask, Prim, encode};
use egrad_rewrite::{expand, expand_with};
use std::collections::{BTreeMap, BTreeSet};
use support::samples::{Sample, conditioned, samples};
use support::*;

/// One primitive under one transform of one operand (or mask).
struct Case {
    /// The marker that the transform makes.
    marker: Head,
    sample: Sample,
    function: Function,
    transform: Transform,
    program: Program,
}

/// Every sample under every transform that says something about it.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for sample in samples() {
        let op = sample.op.clone();
        let (prim, _) = encode(&op);
        let f = function(prim.name(), &sample.operands, |b, p| {
            let place = sample.counted.map(|(start, steps)| counted(b, &sample.operands[1].shape, start, steps));
            let args: Vec<NodeId> = p.iter().enumerate().map(|(k, p)| place.filter(|_| k == 1).unwrap_or(*p)).collect();
            vec![b.op(op.clone(), &args)]
        });
        let mut add = |marker, transform| {
            let (sample, function) = (sample.clone(), f.clone());
            let program = transformed(&f, &transform);
            cases.push(Case { marker, sample, function, transform, program });
        };
        for (k, operand) in sample.operands.iter().enumerate() {
            if operand.dtype.is_float() && f.result_avals()[0].dtype.is_float() {
                add(Head::Pull(prim, k as u8), Transform::Vjp { wrt: vec![k] });
                add(Head::Push(prim, k as u8), Transform::Jvp { wrt: vec![k] });
            }
        }
        for mask in 1..1u8 << prim.arity() {
            let mask = Mask(mask);
            if sample.counted.is_some() {
                continue;
            }
            let in_axes = (0..prim.arity()).map(|k| mask.get(k).then_some(0)).collect();
            add(Head::Batch(prim, mask), Transform::Vmap { in_axes, out_axes: vec![0], size: 3 });
        }
    }
    cases
}

/// Positions that are no data.
fn counted(b: &mut Build, shape: &Shape, start: i32, steps: &[i32]) -> NodeId {
    let number = |b: &mut Build, n: i32| {
        let one = b.op(Op::Constant(n.literal()), &[]);
        b.op(Op::BroadcastInDim { shape: shape.clone(), dims: Axes::new() }, &[one])
    };
    let mut sum = number(b, start);
    for (axis, step) in steps.iter().enumerate() {
        let step = number(b, *step);
        let index = b.op(Op::Iota { dtype: Dtype::I32, shape: shape.clone(), axis }, &[]);
        let far = b.op(Op::Binary(Binary::Mul), &[index, step]);
        sum = b.op(Op::Binary(Binary::Add), &[sum, far]);
    }
    sum
}

impl Case {
    /// What kind of positions are taken, as guards say it.
    fn taken(&self) -> &'static str {
        let Op::Take { batch, .. } = self.sample.op else { return "" };
        let own = &self.sample.operands[1].shape[batch..];
        match self.sample.counted {
            Some((_, steps)) if own.len() == 1 && (own[0] == 1 || steps.last() == Some(&1)) => "shifts",
            Some(_) if batch == 0 && own.len() == 2 => "slides",
            _ if batch > 0 && own.iter().all(|n| *n == 1) => "single",
            _ => "strewn",
        }
    }

    fn name(&self) -> String {
        format!("{:?} {:?} of {:?}", self.transform, self.sample.op, self.sample.operands)
    }

    /// Whether a line says what this case needs.
    fn needs(&self, line: &Line, rules: &BTreeMap<&str, Vec<Head>>) -> bool {
        // A guard may be about an attribute, which the pattern names at its place.
        let (_, attrs) = encode(&self.sample.op);
        let variables: Vec<&str> = line.left.trim_end_matches(')').split(' ').skip(1).collect();
        let holds = |guard: &str| {
            let words: Vec<&str> = guard.split(' ').collect();
            let int = |v: &str| attrs.get(variables.iter().position(|w| *w == v)?)?.as_int();
            match words[..] {
                ["int", v, n] => int(v) == n.parse().ok(),
                ["not_int", v, n] => int(v) != n.parse().ok(),
                [kind @ ("shifts" | "slides" | "single" | "strewn"), ..] => kind == self.taken(),
                ["square", _] => matches!(self.sample.operands[0].shape[..], [.., m, n] if m == n),
                ["tall", _] => matches!(self.sample.operands[0].shape[..], [.., m, n] if m > n),
                _ => true,
            }
        };
        rules[line.name].contains(&self.marker) && line.guards.iter().all(|g| holds(g))
    }
}

/// The markers that each line of the transform tables covers.
fn covered(tables: &Tables) -> BTreeMap<&'static str, Vec<Head>> {
    let mut heads: BTreeMap<&'static str, Vec<Head>> = BTreeMap::new();
    let all = [&tables.pull, &tables.push, &tables.batch];
    for rule in all.iter().flat_map(|t| t.rules()) {
        let rule: &Rule = rule;
        heads.entry(rule.name).or_default().push(rule.head.clone());
    }
    for line in transform_lines(tables).iter().filter(|l| l.right == Right::Absent) {
        let head = line.left.trim_start_matches('(').split(' ').next().unwrap();
        heads.entry(line.name).or_default().push(Head::parse(head).unwrap());
    }
    heads
}

fn transform_lines(tables: &Tables) -> Vec<Line> {
    let stages = ["pull/", "push/", "batch/"];
    tables.lines().iter().filter(|l| stages.iter().any(|s| l.name.starts_with(s))).cloned().collect()
}

#[test]
fn values_are_right() {
    let mut random = Random(1);
    let cases = cases();
    for case in &cases {
        let expanded = expand(&case.program).unwrap_or_else(|e| panic!("{}: {e}", case.name()));
        expanded.verify().unwrap_or_else(|e| panic!("{}: {e}", case.name()));
        let (low, high) = (case.sample.low, case.sample.high);
        let mut inputs: Vec<_> = expanded.param_avals().iter().map(|a| random.array(a, low, high)).collect();
        inputs[0] = conditioned(encode(&case.sample.op).0, &inputs[0]);
        let (got, want) = (run(&expanded, &inputs), reference(&case.function, &case.transform, &inputs));
        match case.transform {
            // A batch has the bits of the loop.
            Transform::Vmap { .. } => {
                assert!(got.iter().zip(&want).all(|(g, w)| same_bits(g, w)), "{}: {got:?}\n{want:?}", case.name());
            }
            // Its derivative is said, not computed.
            _ if case.sample.op == Op::Unary(Unary::StopGradient) => {
                assert!(got[1].to_f64().iter().all(|g| *g == 0.0), "{}: {got:?}", case.name());
            }
            // So is this one's, which differences can't tell.
            _ if case.sample.op == Op::IntegerPow(i32::MIN) => {
                let given = inputs[1].to_f64().into_iter().map(|t| t * f64::from(i32::MIN));
                assert!(got[1].to_f64().into_iter().eq(given), "{}: {got:?}", case.name());
            }
            _ => {
                let f32s = case.sample.op == Op::Convert(Dtype::F32);
                assert_close(&case.name(), &got, &want, if f32s { 0.2 } else { 1e-7 });
            }
        }
    }
    assert!(cases.len() > 300, "{} cases", cases.len());
}

#[test]
fn every_line_has_a_case_and_every_edge_a_line() {
    let tables = Tables::standard();
    let (heads, cases) = (covered(tables), cases());
    for line in transform_lines(tables) {
        assert!(cases.iter().any(|c| c.needs(&line, &heads)), "{} is never needed", line.name);
    }
    let tried: BTreeSet<String> = cases.iter().map(|c| c.marker.to_string()).collect();
    let said: BTreeSet<String> = heads.values().flatten().map(|h| h.to_string()).collect();
    assert_eq!(tried, said, "samples and tables cover the same edges");
    for prim in Prim::all() {
        for mask in 1..1u8 << prim.arity() {
            assert!(said.contains(&Head::Batch(prim, Mask(mask)).to_string()), "{prim} {mask:b}");
        }
    }
}

#[test]
fn without_a_line_its_primitives_fail_and_no_others() {
    let standard = Tables::standard();
    let (heads, cases) = (covered(standard), cases());
    for removed in transform_lines(standard) {
        let lines = standard.lines().iter().filter(|l| l.name != removed.name).cloned().collect();
        let tables = Tables::new(lines).unwrap();
        for case in &cases {
            let result = expand_with(&case.program, &tables);
            if !case.needs(&removed, &heads) {
                assert!(result.is_ok(), "without {}: {} fails", removed.name, case.name());
                continue;
            }
            let error = result.expect_err(&format!("without {}: {}", removed.name, case.name()));
            assert_eq!(error.kind(), "missing_rule", "{error}");
            let report = error.report();
            let (prim, transform, operand) = match &case.marker {
                Head::Pull(p, k) => (p.name(), "vjp", format!("operand {k}")),
                Head::Push(p, k) => (p.name(), "jvp", format!("operand {k}")),
                Head::Batch(p, m) => (p.name(), "vmap", format!("batched {}", m.text(p.arity()))),
                other => panic!("{other} is no marker"),
            };
            for part in [&format!("`{prim}`"), transform, &operand] {
                assert!(report.message.contains(part), "{error}");
            }
            let Span::Rust(at) = report.at else { panic!("{error}") };
            assert!(at.file().ends_with("transforms.rs"), "{error}");
        }
    }
}

#[test]
fn a_missing_line_reads_well() {
    let lines = Tables::standard().lines().iter().filter(|l| l.name != "pull/tanh").cloned().collect();
    let tables = Tables::new(lines).unwrap();
    let f = function("f", &[Aval::new(Dtype::F32, [3])], |b, p| vec![b.unary("tanh", p[0])]);
    let error = expand_with(&transformed(&f, &Transform::Vjp { wrt: vec![0] }), &tables).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("missing rule error: `tanh` has no reverse-mode rule (vjp) for operand 0\n"), "{text}");
    assert!(text.contains("the vjp of `f` is taken here"), "{text}");
}

#[test]
fn what_has_no_derivative_makes_no_edge() {
    // 0 · inf would be NaN: stop_gradient, sign, integers and bools must not multiply by zeros.
    let x = Aval::new(Dtype::F64, [3]);
    let f = function("f", &[x], |b, p| {
        let huge = b.unary("exp", p[0]);
        let huge = b.unary("exp", huge);
        let stopped = b.unary("stop_gradient", huge);
        let whole = b.op(Op::Convert(Dtype::I32), &[huge]);
        let back = b.op(Op::Convert(Dtype::F64), &[whole]);
        let sign = b.unary("sign", huge);
        let sum = b.binary("add", stopped, back);
        let sum = b.binary("add", sum, sign);
        vec![b.binary("add", sum, p[0])]
    });
    for transform in [Transform::Vjp { wrt: vec![0] }, Transform::Jvp { wrt: vec![0] }] {
        let g = expand(&transformed(&f, &transform)).unwrap();
        let x = Array::from_vec(vec![0.0, 100.0, 1000.0], [3]).unwrap();
        let c = Array::from_vec(vec![1.0, 2.0, 3.0], [3]).unwrap();
        let out = run(&g, &[x, c]);
        assert_eq!(out[1].to_f64(), [1.0, 2.0, 3.0]);
    }
    // Nothing reaches it at all: zeros.
    let f = function("f", &[Aval::new(Dtype::F64, [2])], |b, p| vec![b.unary("stop_gradient", p[0])]);
    for transform in [Transform::Vjp { wrt: vec![0] }, Transform::Jvp { wrt: vec![0] }] {
        let g = expand(&transformed(&f, &transform)).unwrap();
        let x = Array::from_vec(vec![f64::INFINITY, f64::NAN], [2]).unwrap();
        assert_eq!(run(&g, &[x.clone(), x])[1].to_f64(), [0.0, 0.0]);
    }
}

#[test]
fn axes_go_where_they_are_asked_to() {
    let mut random = Random(2);
    let (x, y) = (Aval::new(Dtype::F64, [2, 3]), Aval::new(Dtype::F64, [3]));
    let f = function("f", &[x, y], |b, p| {
        let z = b.op(Op::BroadcastInDim { shape: [2, 3].into(), dims: vec![1].into() }, &[p[1]]);
        let z = b.binary("mul", p[0], z);
        let s = b.unary("sin", p[1]);
        vec![z, s]
    });
    for (i, in_axes) in [[Some(0), None], [Some(1), Some(1)], [Some(2), Some(0)], [None, Some(1)]].iter().enumerate() {
        for out_axes in [[0, 0], [1, 1], [2, 0]] {
            let transform = Transform::Vmap { in_axes: in_axes.to_vec(), out_axes: out_axes.to_vec(), size: i };
            let g = expand(&transformed(&f, &transform)).unwrap();
            g.verify().unwrap();
            let inputs: Vec<_> = g.param_avals().iter().map(|a| random.array(a, -1.0, 1.0)).collect();
            let (got, want) = (run(&g, &inputs), reference(&f, &transform, &inputs));
            assert!(got.iter().zip(&want).all(|(g, w)| same_bits(g, w)), "{transform:?}");
        }
    }
}
