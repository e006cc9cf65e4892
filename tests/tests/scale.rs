//! Programs of 100,000 nodes compile and run, on little stack, and what is made of them grows in
//! proportion. (Gradients and e-graphs alone: `rewrite/tests/linear.rs`.)

use egrad::*;
use egrad_rewrite::Compilation;

/// y ← y·sin y, `n` times: two nodes each.
fn chain(n: usize) -> impl Fn(Tensor) -> Tensor + Clone {
    move |x: Tensor| (0..n).fold(x, |y, _| y * y.sin())
}

/// The chain and its derivative, in f64.
fn expected(x: f64, n: usize) -> (f64, f64) {
    (0..n).fold((x, 1.0), |(y, d), _| (y * y.sin(), d * (y.sin() + y * y.cos())))
}

/// Runs `f` on a thread whose stack holds no recursion over 100,000 nodes; what `f` made is dropped
/// there, too.
fn on_little_stack(f: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(512 << 10).spawn(f).unwrap().join().unwrap();
}

/// Numbers near π/2, where the chain's are stable: it has a fixed point there.
fn inputs() -> Vec<f64> {
    (0..13).map(|i| std::f64::consts::FRAC_PI_2 + f64::from(i) * 1e-6).collect()
}

#[track_caller]
fn check(got: &Array, want: impl Iterator<Item = f64>, tolerance: f64) {
    for (g, w) in got.to_f64().into_iter().zip(want) {
        assert!((g - w).abs() <= tolerance * w.abs().max(1e-300), "{g} is not {w}");
    }
}

#[test]
fn a_chain_of_100_000_nodes_compiles_and_runs() {
    on_little_stack(|| {
        let n = 50_000;
        let x = Array::from_vec(inputs(), [13]).unwrap();
        let f = jit(chain(n)).device(Device::Cpu);
        let y = f(&x).unwrap();
        check(&y, inputs().into_iter().map(|x| expected(x, n).0), 1e-6);
        let g = jit(chain(n)).device(Device::Interpreter);
        check(&g(&x).unwrap(), inputs().into_iter().map(|x| expected(x, n).0), 1e-6);
        drop((f, g, y, x));
    });
}

#[test]
fn the_gradient_of_a_long_chain_is_right() {
    on_little_stack(|| {
        let n = 5_000;
        let x = Array::from_vec(inputs(), [13]).unwrap();
        let f = jit(grad(move |x: Tensor| chain(n)(x).sum())).device(Device::Cpu);
        let dx = f(&x).unwrap();
        check(&dx, inputs().into_iter().map(|x| expected(x, n).1), 1e-6);
        let batched = jit(vmap(grad(chain(n)), 0)).device(Device::Cpu);
        check(&batched(&x).unwrap(), inputs().into_iter().map(|x| expected(x, n).1), 1e-6);
    });
}

/// Operator by operator, a program as deep as that has as many kernels.
#[test]
fn many_kernels() {
    on_little_stack(|| {
        let x = Array::from_vec(inputs(), [13]).unwrap();
        let (y, report) = eager(chain(2_000)).device(Device::Cpu).run(&(x,)).unwrap();
        assert_eq!(report.dispatches, 4_000);
        check(&y, inputs().into_iter().map(|x| expected(x, 2_000).0), 1e-6);
    });
}

/// Functions that apply transforms to functions that apply transforms …
#[test]
fn deep_nests_of_functions_need_no_stack() {
    on_little_stack(|| {
        let mut program = Program::parse("egrad 1\nfn @0 f(%0: f64[3]) { %1 = sin %0 return %1 }").unwrap();
        for _ in 0..1_000 {
            let callee = egrad_ir::FnId::from(program.functions().len() - 1);
            let mut b = egrad_ir::builder::GraphBuilder::new(&mut program, "f");
            let x = b.param(Dtype::F64, [3]).unwrap();
            let y = b.call(callee, &[x]).unwrap()[0];
            let y = b.neg(y).unwrap();
            b.finish(&[y]).unwrap();
        }
        assert_eq!(Program::parse(&program.to_string()).unwrap(), program);
        program.verify().unwrap();
        let plain = egrad_rewrite::expand(&program).unwrap();
        assert_eq!(plain.live().iter().filter(|l| **l).count(), 1_002);
        let compiled = egrad_rewrite::compile(&program, &Default::default()).unwrap();
        drop((plain, compiled, program));
    });
}

fn compiled(n: usize) -> Compilation {
    let program = trace_avals(vmap(grad(chain(n)), 0), &[Aval::new(Dtype::F32, [1000])]).unwrap();
    egrad_rewrite::compile(&program, &egrad_rewrite::Options::default()).unwrap()
}

#[test]
fn compiled_programs_grow_in_proportion() {
    on_little_stack(|| {
        let sizes = |n: usize| {
            let c = compiled(n);
            let kernels = c.schedule.steps.len();
            let length = c.schedule.steps.iter().map(|s| s.kernel.to_string().lines().count()).sum::<usize>();
            let applied = c
                .stages
                .iter()
                .flat_map(|(_, r)| &r.iterations)
                .flat_map(|i| &i.rules)
                .map(|r| r.applied)
                .sum::<usize>();
            [c.transformed.len(), c.extracted.len(), c.size.nodes, c.schedule.buffers.len(), kernels, length, applied]
        };
        let (small, large) = (sizes(100), sizes(3_200));
        let names = ["transformed", "extracted", "e-nodes", "buffers", "kernels", "lines of kernels", "rules applied"];
        for ((name, s), l) in names.iter().zip(small).zip(large) {
            let exponent = (l as f64 / s as f64).ln() / 32f64.ln();
            println!("{name}: {s} at 100, {l} at 3,200: exponent {exponent:.3}");
            assert!(exponent <= 1.1, "{name}: {s} at 100, {l} at 3,200");
        }
    });
}
