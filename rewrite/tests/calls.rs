//! Calls: every way of making them computes what inlining does, under every nesting of transforms.

mod support;

use egrad_ir::eval::Elementary;
use egrad_ir::op::Axes;
use egrad_ir::{Array, Aval, FnId, Function, Literal, NodeId, Numerics, Op, Program, Transform};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::{Calls, Options, compile, expand, transform};
use proptest::prelude::*;
use support::programs::{Choices, random_function};
use support::{Build, Random, close, function, run, same_bits};

/// A function that applies a transform to one of the program, and does something with the results.
fn wrap(program: &Program, callee: FnId, transform: Transform, choices: &mut Choices<'_>) -> Function {
    let f = program.function(callee);
    let mut avals = f.param_avals();
    match &transform {
        Transform::Call => {}
        Transform::CustomJvp { .. }
        | Transform::CustomVjp { .. }
        | Transform::Checkpoint { .. }
        | Transform::Named { .. } => unreachable!("it is applied, not derived from"),
        Transform::Jvp { wrt } => avals.extend(wrt.iter().map(|i| avals[*i].clone()).collect::<Vec<_>>()),
        Transform::Vjp { .. } => avals.extend(f.result_avals().into_iter().filter(|a| a.dtype.is_float())),
        Transform::Vmap { in_axes, size, .. } => {
            for (aval, axis) in avals.iter_mut().zip(in_axes) {
                if let Some(axis) = axis {
                    *aval = Aval::new(aval.dtype, aval.shape.insert(*axis, *size));
                }
            }
        }
    }
    function(transform.name(), &avals, |b, p| {
        let before: Vec<NodeId> = p.to_vec();
        // Sometimes through another operation, a view, or not at all, so that calls are not all there is.
        let through = |b: &mut Build, choices: &mut Choices<'_>, x: NodeId| {
            let aval = b.f.aval(x).clone();
            match choices.below(8) {
                0 | 1 => b.unary("sin", x),
                2 => {
                    let y = b.unary("sin", x);
                    let y = b.op(Op::Reshape(aval.shape.insert(0, 1)), &[y]);
                    b.op(Op::Reshape(aval.shape), &[y])
                }
                3 if aval.dtype.is_float() => {
                    let half = b.op(Op::Constant(Literal::new(aval.dtype, 0.5)), &[]);
                    b.op(Op::BroadcastInDim { shape: aval.shape, dims: Axes::new() }, &[half])
                }
                _ => x,
            }
        };
        let args: Vec<NodeId> = before.iter().map(|x| through(b, choices, *x)).collect();
        let mut results = b.apply(program, transform, callee, &args);
        if choices.below(2) == 0 {
            results[0] = b.unary("tanh", results[0]);
        }
        if choices.below(4) == 0 {
            results.push(before[0]);
        }
        results
    })
}

fn random_transform(f: &Function, choices: &mut Choices<'_>) -> Transform {
    let n = f.params().len();
    match choices.below(6) {
        0 => Transform::Jvp { wrt: some(n, choices) },
        1 => Transform::Vjp { wrt: some(n, choices) },
        2 | 3 => {
            let mapped = some(n, choices);
            let rank = |i: usize| f.param_avals()[i].shape.rank();
            let in_axes = (0..n).map(|i| mapped.contains(&i).then(|| choices.below(rank(i) + 1))).collect();
            let out_axes = f.result_avals().iter().map(|a| choices.below(a.shape.rank() + 1)).collect();
            Transform::Vmap { in_axes, out_axes, size: 1 + choices.below(3) }
        }
        _ => Transform::Call,
    }
}

/// Some of `n` positions, at least one.
fn some(n: usize, choices: &mut Choices<'_>) -> Vec<usize> {
    let first = choices.below(n);
    (0..n).filter(|i| *i == first || choices.below(2) == 0).collect()
}

/// A random function, called and transformed in turns; the last function is the entry.
fn random_program(all: &[u16]) -> Program {
    let (shape, body) = all.split_at(all.len().min(40));
    let mut program = Program::new();
    let mut f = program.add(random_function(&mut Choices { left: body }));
    let mut choices = Choices { left: shape };
    for level in 0..2 + choices.below(4) {
        // A call first: without one there is nothing to test.
        let transform = if level == 0 { Transform::Call } else { random_transform(program.function(f), &mut choices) };
        let wrapped = wrap(&program, f, transform, &mut choices);
        if wrapped.result_avals().iter().chain(&wrapped.param_avals()).any(|a| a.shape.rank() > 5) {
            break;
        }
        f = program.add(wrapped);
    }
    program
}

fn options(calls: Calls) -> Options {
    Options { calls, ..Options::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_mode_computes_what_inlining_does(all in prop::collection::vec(any::<u16>(), 42..90), seed: u64) {
        let program = random_program(&all);
        let mut random = Random(seed);
        let inputs: Vec<Array> =
            program.entry().param_avals().iter().map(|a| random.array(a, -1.5, 1.5)).collect();
        let refs: Vec<&Array> = inputs.iter().collect();
        let want = run(&expand(&program).unwrap(), &inputs);
        for calls in [Calls::Auto, Calls::PushIn, Calls::Dispatch] {
            let kept = transform(&program, Tables::standard(), calls).unwrap();
            kept.verify().unwrap_or_else(|e| panic!("{calls}: {e}\n{kept}"));
            let reference = run(&expand(&kept).unwrap(), &inputs);
            for strict in [false, true] {
                let numerics = if strict { Numerics::Strict } else { Numerics::Fast };
                let compiled = compile(&program, &Options { numerics, ..options(calls) });
                let schedule = compiled.unwrap_or_else(|e| panic!("{calls}: {e}\n{program}")).schedule;
                let got = schedule.eval(&refs, Elementary::Std).unwrap_or_else(|e| panic!("{calls}: {e}\n{program}"));
                for (i, got) in got.outputs.iter().enumerate() {
                    prop_assert!(close(got, &want[i], 1e-8), "{calls}, result {i}:\n{got:?}\n{:?}\n{program}\n{schedule}", want[i]);
                }
                // Strict results are those of what was transformed, to the bit; by itself, of what was
                // written.
                for (i, got) in got.outputs.iter().enumerate().filter(|_| strict) {
                    prop_assert!(same_bits(got, &reference[i]), "{calls}, result {i}:\n{kept}\n{schedule}");
                }
            }
        }
    }
}
