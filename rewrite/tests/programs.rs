//! Whole programs: random ones under nested transforms, and what every e-node of their e-graphs
//! means.

mod support;

use egrad_ir::{Array, Aval, Function, Numerics, Program, Transform};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::saturate::saturate;
use egrad_rewrite::{Options, egraph_of, expand};
use proptest::prelude::*;
use support::denote::{Agreement, check};
use support::programs::{Choices, random_function};
use support::*;

fn choices() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 8..48)
}

/// So many cases, unless `PROPTEST_CASES` says otherwise.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if asked { default.cases } else { cases }, failure_persistence: None, ..default }
}

fn inputs(avals: &[Aval], seed: u64) -> Vec<Array> {
    let mut random = Random(seed);
    avals.iter().map(|a| random.array(a, -1.0, 1.0)).collect()
}

/// A random transform that suits the function.
fn transform(f: &Function, choices: &mut Choices<'_>) -> Transform {
    let params = f.param_avals();
    let mut wrt: Vec<usize> = (0..params.len()).filter(|_| choices.below(2) == 0).collect();
    wrt.retain(|i| params[*i].dtype.is_float());
    if wrt.is_empty() {
        wrt.push(0);
    }
    match choices.below(3) {
        0 => Transform::Vjp { wrt },
        1 => Transform::Jvp { wrt },
        _ => {
            let mut axis = |a: &Aval| (choices.below(3) > 0).then(|| choices.below(a.shape.rank() + 1));
            let in_axes = params.iter().map(&mut axis).collect();
            let out_axes = f.result_avals().iter().map(|a| choices.below(a.shape.rank() + 1)).collect();
            Transform::Vmap { in_axes, out_axes, size: 1 + choices.below(3) }
        }
    }
}

/// Expands a transform of a plain function and compares it with differences and loops.
fn check_transform(f: &Function, transform: &Transform, tolerance: f64) -> Function {
    let g = expand(&transformed(f, transform)).unwrap_or_else(|e| panic!("{e}"));
    g.verify().unwrap_or_else(|e| panic!("{e}"));
    let inputs = inputs(&g.param_avals(), 3);
    if !matches!(transform, Transform::Vmap { .. }) && !is_smooth(f, &inputs[..f.params().len()]) {
        return g;
    }
    assert_close(&format!("{transform:?}"), &run(&g, &inputs), &reference(f, transform, &inputs), tolerance);
    g
}

proptest! {
    #![proptest_config(config(96))]

    /// Three transforms on top of one another, each against the reference of the one before.
    #[test]
    fn nested_transforms(program in choices(), pick in prop::collection::vec(any::<u16>(), 40)) {
        let mut f = random_function(&mut Choices { left: &program });
        let mut pick = Choices { left: &pick };
        for _ in 0..3 {
            let t = transform(&f, &mut pick);
            f = check_transform(&f, &t, 1e-5);
            if f.len() > 400 {
                break;
            }
        }
    }

    /// Every e-node of a transform's e-graph, markers included, means what its class does.
    #[test]
    fn transforms_keep_meanings(program in choices(), pick in prop::collection::vec(any::<u16>(), 20)) {
        let f = random_function(&mut Choices { left: &program });
        let t = transform(&f, &mut Choices { left: &pick });
        let egraph = egraph_of(&f, &t, Tables::standard()).unwrap();
        let (count, wrong) = check(&egraph, &inputs(&egraph.analysis.params.clone(), 4), Agreement::Bits);
        prop_assert!(count > 0);
        prop_assert!(wrong.is_empty(), "{t:?}: {}", wrong.join("\n"));
    }

    /// Likewise after simplification: the same bits under strict numerics, the same numbers else.
    #[test]
    fn simplification_keeps_meanings(program in choices(), pick in prop::collection::vec(any::<u16>(), 20)) {
        let f = random_function(&mut Choices { left: &program });
        let g = expand(&transformed(&f, &transform(&f, &mut Choices { left: &pick }))).unwrap();
        for (f, numerics) in [(&f, Numerics::Strict), (&g, Numerics::Strict), (&f, Numerics::Fast), (&g, Numerics::Fast)] {
            let options = Options { numerics, ..Options::default() };
            let saturated = saturate(f, &options).unwrap();
            let agreement = match numerics {
                Numerics::Strict => Agreement::Bits,
                Numerics::Fast => Agreement::Within(1e-9),
            };
            let (_, wrong) = check(&saturated.egraph, &inputs(&f.param_avals(), 5), agreement);
            prop_assert!(wrong.is_empty(), "{numerics:?}: {}", wrong.join("\n"));
        }
    }
}

/// A function's results as one number.
fn total(b: &mut Build, results: &[egrad_ir::NodeId]) -> egrad_ir::NodeId {
    let mut sum = None;
    for r in results {
        let part = b.sum(*r);
        sum = Some(match sum {
            Some(s) => b.binary("add", s, part),
            None => part,
        });
    }
    sum.unwrap()
}

/// `grad(mean(vmap f))`, `vmap(grad(vmap f))`, `grad(grad f)` and `vmap(vmap f)` with mixed axes,
/// each as one program of several functions.
#[test]
fn transforms_nest_in_one_program() {
    let (m, v, s) = (
        Aval::new(egrad_ir::Dtype::F64, [3, 2]),
        Aval::new(egrad_ir::Dtype::F64, [2]),
        Aval::new(egrad_ir::Dtype::F64, []),
    );
    let f = function("f", &[m.clone(), v.clone()], |b, p| {
        let dims = egrad_ir::DotDims { contract: [vec![1].into(), vec![0].into()], batch: Default::default() };
        let y = b.op(egrad_ir::Op::DotGeneral(dims), &[p[0], p[1]]);
        vec![b.unary("tanh", y)]
    });
    let mut program = Program::new();
    let callee = program.add(f.clone());
    let batch = Aval::new(egrad_ir::Dtype::F64, [2, 4]);
    // The mean over a batch that lies along the vectors' axis 1.
    let vmap = Transform::Vmap { in_axes: vec![None, Some(1)], out_axes: vec![1], size: 4 };
    let mean = function("mean", &[m.clone(), batch.clone()], |b, p| {
        let y = b.apply(&program, vmap.clone(), callee, p);
        vec![total(b, &y)]
    });
    let mean_plain = {
        let mut alone = program.clone();
        alone.add(mean.clone());
        expand(&alone).unwrap()
    };
    let mean = program.add(mean);
    // Its gradient, squared and summed: the inner half of a second derivative.
    let grad = Transform::Vjp { wrt: vec![0] };
    let slope = function("slope", &[m.clone(), batch.clone(), s.clone()], |b, p| {
        let out = b.apply(&program, grad.clone(), mean, p);
        let square = b.binary("mul", out[1], out[1]);
        vec![b.sum(square), out[1]]
    });
    let slope_plain = {
        let mut alone = program.clone();
        alone.add(slope.clone());
        expand(&alone).unwrap()
    };
    let at = inputs(&slope_plain.param_avals(), 1);
    assert_close("grad(mean(vmap f))", &run(&slope_plain, &at)[1..], &reference(&mean_plain, &grad, &at)[1..], 1e-7);
    let slope = program.add(slope);
    // Second order, and all of it mapped, with the batches of batches in the middle.
    let second = Transform::Vjp { wrt: vec![0, 1] };
    let outer =
        Transform::Vmap { in_axes: vec![Some(2), Some(1), None, None, None], out_axes: vec![0, 0, 1, 0], size: 3 };
    let hessian = function("hessian", &[m, batch, s.clone(), s, Aval::new(egrad_ir::Dtype::F64, [3, 2])], |b, p| {
        b.apply(&program, second.clone(), slope, p)
    });
    let hessian_plain = {
        let mut alone = program.clone();
        alone.add(hessian.clone());
        expand(&alone).unwrap()
    };
    let at = inputs(&hessian_plain.param_avals(), 2);
    assert_close("grad(grad f)", &run(&hessian_plain, &at), &reference(&slope_plain, &second, &at), 1e-7);
    let hessian_id = program.add(hessian);
    let avals: Vec<Aval> = hessian_plain
        .param_avals()
        .into_iter()
        .zip([Some(2), Some(1), None, None, None])
        .map(|(a, axis): (Aval, Option<usize>)| match axis {
            Some(axis) => Aval::new(a.dtype, a.shape.insert(axis, 3)),
            None => a,
        })
        .collect();
    let entry = function("entry", &avals, |b, p| b.apply(&program, outer.clone(), hessian_id, p));
    program.add(entry);
    let all = expand(&program).unwrap();
    all.verify().unwrap();
    let at = inputs(&avals, 3);
    assert_close("vmap(grad(grad(vmap f)))", &run(&all, &at), &reference(&hessian_plain, &outer, &at), 1e-10);
}
