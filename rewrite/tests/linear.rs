//! Sizes and times grow no faster than the program.

mod support;

use egrad_ir::{Aval, DotDims, Dtype, Function, Program, Transform};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::saturate::saturate;
use egrad_rewrite::{Options, egraph_of, expand};
use std::time::Instant;
use support::*;

/// y ← y · sin y, n times.
fn chain(n: usize) -> Function {
    function("chain", &[Aval::new(Dtype::F32, [8])], |b, p| {
        let mut y = p[0];
        for _ in 0..n {
            let s = b.unary("sin", y);
            y = b.binary("mul", y, s);
        }
        vec![y]
    })
}

/// x used n times, each time by something else.
fn fan_out(n: usize) -> Function {
    function("fan_out", &[Aval::new(Dtype::F32, [8]), Aval::new(Dtype::F32, [8])], |b, p| {
        let mut sum = p[0];
        let mut other = p[1];
        for _ in 0..n {
            other = b.unary("cos", other);
            let part = b.binary("mul", p[0], other);
            sum = b.binary("add", sum, part);
        }
        vec![sum]
    })
}

/// y ← y · w, n matrix products.
fn matmuls(n: usize) -> Function {
    function("matmuls", &[Aval::new(Dtype::F32, [4, 4]), Aval::new(Dtype::F32, [4, 4])], |b, p| {
        let mut y = p[0];
        for _ in 0..n {
            let dims = DotDims { contract: [vec![1].into(), vec![0].into()], batch: Default::default() };
            y = b.op(egrad_ir::Op::DotGeneral(dims), &[y, p[1]]);
        }
        vec![y]
    })
}

fn grad(f: &Function) -> Function {
    expand(&transformed(f, &Transform::Vjp { wrt: vec![0] })).unwrap()
}

fn grad_grad(n: usize) -> Function {
    grad(&grad(&chain(n)))
}

/// Nodes that compute something.
fn size(f: &Function) -> usize {
    f.live().iter().skip(f.params().len()).filter(|l| **l).count()
}

/// How fast a size grows from n = 10 to 10,000: the exponent.
fn exponent(name: &str, size: impl Fn(usize) -> usize) -> f64 {
    let (small, large) = (size(10), size(10_000));
    let e = (large as f64 / small as f64).log10() / 3.0;
    println!("{name}: {small} at 10, {large} at 10,000: exponent {e:.3}");
    e
}

#[test]
fn sizes_are_linear() {
    let vjp = Transform::Vjp { wrt: vec![0] };
    let enodes = |f: &Function| egraph_of(f, &vjp, Tables::standard()).unwrap().total_number_of_nodes();
    let simplified = |f: &Function| saturate(f, &Options::default()).unwrap().egraph.total_number_of_nodes();
    for (name, f) in [("chain", chain as fn(usize) -> Function), ("fan-out", fan_out), ("matmuls", matmuls)] {
        assert!(exponent(&format!("gradient of {name}"), |n| size(&grad(&f(n)))) <= 1.1);
        assert!(exponent(&format!("e-nodes of {name}"), |n| enodes(&f(n))) <= 1.1);
        assert!(exponent(&format!("simplified gradient of {name}"), |n| simplified(&grad(&f(n)))) <= 1.1);
    }
    assert!(exponent("grad of grad", |n| size(&grad_grad(n))) <= 1.1);
    let ratio = size(&grad(&chain(1000))) as f64 / size(&chain(1000)) as f64;
    println!("gradient / primal: {ratio}; second order {}", size(&grad_grad(1000)) as f64 / size(&chain(1000)) as f64);
    assert!(ratio <= 4.0, "{ratio}");
}

#[test]
fn times_are_linear() {
    let time = |n: usize| {
        let f = chain(n);
        let start = Instant::now();
        let g = grad(&f);
        let expanded = start.elapsed();
        let saturated = saturate(&g, &Options::default()).unwrap();
        println!(
            "chain of {n}: expand {expanded:.1?}, with simplify {:.1?}, {} e-nodes",
            start.elapsed(),
            saturated.egraph.total_number_of_nodes()
        );
        start.elapsed().as_secs_f64()
    };
    time(1000);
    let (small, large) = (time(500), time(20_000));
    // 40 times the work, 1600 times if anything were quadratic; caches end, machines are busy.
    assert!(large < 250.0 * small, "{small} s, {large} s");
}

#[test]
fn small_programs_are_quick() {
    let scalar = Aval::new(Dtype::F32, []);
    let f = function("squared_error", &[scalar.clone(), scalar.clone(), scalar.clone(), scalar], |b, p| {
        let y = b.binary("mul", p[0], p[2]);
        let y = b.binary("add", y, p[1]);
        let e = b.binary("sub", y, p[3]);
        vec![b.op(egrad_ir::Op::IntegerPow(2), &[e])]
    });
    let program = transformed(&f, &Transform::Vjp { wrt: vec![0, 1] });
    let once = || {
        let g = expand(&program).unwrap();
        saturate(&g, &Options::default()).unwrap();
    };
    once();
    let start = Instant::now();
    (0..200).for_each(|_| once());
    println!("squared_error: gradient and simplify in {:.1?}", start.elapsed() / 200);
    // Far above what it takes, even on a busy machine without optimisation.
    assert!(start.elapsed().as_millis() < 200 * 20);
}

#[test]
fn deep_programs_need_no_stack() {
    let deep = || {
        let f = chain(50_000);
        assert_eq!(size(&f), 100_000);
        let start = Instant::now();
        let g = grad(&f);
        println!("gradient of 100,000 nodes: {:.1?}", start.elapsed());
        assert_eq!(size(&g), 350_000);
        let vmap = Transform::Vmap { in_axes: vec![Some(0)], out_axes: vec![0], size: 2 };
        let batched = expand(&transformed(&f, &vmap)).unwrap();
        let jvp = Transform::Jvp { wrt: vec![0] };
        let pushed = expand(&transformed(&batched, &jvp)).unwrap();
        println!("the batched tangents: {:.1?}", start.elapsed());
        let saturated = saturate(&pushed, &Options::default()).unwrap();
        println!("simplified: {:.1?}, {} e-nodes", start.elapsed(), saturated.egraph.total_number_of_nodes());
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(deep).unwrap().join().unwrap();
}

#[test]
fn sharing_a_callee_does_not_copy_its_transforms() {
    // A function applied a hundred times is transformed once.
    let mut program = Program::new();
    let callee = program.add(chain(200));
    let vjp = Transform::Vjp { wrt: vec![0] };
    let x = Aval::new(Dtype::F32, [8]);
    let entry = function("entry", &[x.clone(), x], |b, p| {
        let mut c = p[1];
        for _ in 0..100 {
            c = b.apply(&program, vjp.clone(), callee, &[p[0], c])[1];
        }
        vec![c]
    });
    program.add(entry);
    let start = Instant::now();
    let plain = expand(&program).unwrap();
    println!("{} nodes in {:.1?}", plain.len(), start.elapsed());
    assert!(size(&plain) > 100 * 200);
}
