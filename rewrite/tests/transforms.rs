//! Every primitive's rules, one at a time: the values against differences and loops, and what
//! happens when a line is missing.

mod support;

use egrad_ir::{Aval, Dtype, Op, Program, Transform};
use egrad_rewrite::expand;
use support::*;

fn f64s(shape: &[usize]) -> Aval {
    Aval::new(Dtype::F64, shape)
}

#[test]
fn tutorial() {
    let scalar = f64s(&[]);
    let f = function("squared_error", &[scalar.clone(), scalar.clone(), scalar.clone(), scalar], |b, p| {
        let wx = b.binary("mul", p[0], p[2]);
        let y = b.binary("add", wx, p[1]);
        let e = b.binary("sub", y, p[3]);
        vec![b.op(Op::IntegerPow(2), &[e])]
    });
    let mut random = Random(1);
    let vjp = Transform::Vjp { wrt: vec![0, 1] };
    let program = transformed(&f, &vjp);
    let got = expand(&program).unwrap();
    got.verify().unwrap();
    let inputs: Vec<_> = got.param_avals().iter().map(|a| random.array(a, -1.0, 1.0)).collect();
    assert_close("vjp", &run(&got, &inputs), &reference(&f, &vjp, &inputs), 1e-8);

    let mut program = Program::new();
    program.add(f.clone());
    let g = program.add(got.clone());
    let vmap = Transform::Vmap { in_axes: vec![None, None, Some(0), Some(0), None], out_axes: vec![0; 3], size: 5 };
    let avals = [f64s(&[]), f64s(&[]), f64s(&[5]), f64s(&[5]), f64s(&[])];
    let entry = function("entry", &avals, |b, p| b.apply(&program, vmap.clone(), g, p));
    program.add(entry);
    let batched = expand(&program).unwrap();
    batched.verify().unwrap();
    let inputs: Vec<_> = batched.param_avals().iter().map(|a| random.array(a, -1.0, 1.0)).collect();
    assert_close("vmap", &run(&batched, &inputs), &reference(&got, &vmap, &inputs), 1e-12);
    for (id, n) in batched.nodes() {
        println!("{id} = {:?} {:?} : {:?} {}", n.kind, n.args, n.avals, n.span);
    }
    println!("{:?}", batched.results());
}
