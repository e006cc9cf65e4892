//! Devices run kernels, and nothing else: what a run dispatches is what was scheduled, and no
//! operation is evaluated on the host.

use egrad::*;
use egrad_ir::{NodeKind, Op};
use std::collections::HashMap;

fn f32s(shape: impl Into<Shape>) -> Array {
    let shape = shape.into();
    let data = (0..shape.size()).map(|i| (i * 29 % 97) as f32 / 50.0 - 0.9).collect();
    Array::from_vec(data, shape).unwrap()
}

fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor {
    w * x + b
}
fn squared_error(p: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
    (predict(p, x) - y).powi(2)
}
fn mean_loss(p: (Tensor, Tensor), xs: Tensor, ys: Tensor) -> Tensor {
    (vmap(predict, (None, 0))(p, xs) - ys).powi(2).mean()
}
fn line() -> (Array, Array) {
    (Array::from(2.0f32), Array::from(1.0f32))
}
fn attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor {
    q.matmul(k.t()).softmax(-1).matmul(v)
}

#[track_caller]
fn close(got: &Array, want: &Array, tolerance: f64) {
    assert_eq!(got.aval(), want.aval());
    for (g, w) in got.to_f64().iter().zip(want.to_f64()) {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0) || (g.is_nan() && w.is_nan()), "{g} is not {w}");
    }
}

/// A function on the CPU: as many dispatches as steps, on every run, and the interpreter's numbers.
/// How many those are.
#[track_caller]
fn check<F, A>(make: impl Fn() -> F, args: &A::Arrays) -> usize
where
    F: Function<A, Output = Tensor>,
    A: Args,
{
    let compiled = jit::<F, A>(make()).device(Device::Cpu).compile(args).unwrap();
    let (want, interpreted) = jit::<F, A>(make()).device(Device::Interpreter).run(args).unwrap();
    assert_eq!(interpreted.device, Device::Interpreter);
    let steps = compiled.schedule().unwrap().steps.len();
    for _ in 0..3 {
        let (got, report) = compiled.run(args).unwrap();
        assert_eq!(report, Report { device: Device::Cpu, dispatches: steps });
        close(&got, &want, 1e-4);
    }
    steps
}

#[test]
fn the_cpu_dispatches_what_was_scheduled() {
    assert_eq!(check(|| |x: Tensor| x.sin() * x, &(f32s([1000]),)), 1);
    assert_eq!(check(|| |x: Tensor| (x.sin() * x).sum(), &(f32s([1000]),)), 1);
    assert_eq!(check(|| |x: Tensor| x.softmax(-1), &(f32s([8, 100]),)), 1);
    let qkv = (f32s([48, 16]), f32s([40, 16]), f32s([40, 8]));
    assert!(check(|| attention, &qkv) >= 2);
    assert!(check(|| grad(|q: Tensor, k: Tensor, v: Tensor| attention(q, k, v).sum()), &qkv) >= 2);
    // What needs no kernel has none: a parameter, and one of another shape.
    assert_eq!(check(|| |x: Tensor| x, &(f32s([5]),)), 0);
    assert_eq!(check(|| |x: Tensor| x.reshape([5, 1]), &(f32s([5]),)), 0);
}

#[test]
fn the_tutorials_programs_are_one_dispatch_each() {
    let (xs, ys) = (f32s([1000]), f32s([1000]));
    let (_, report) = jit(vmap(predict, (None, 0))).run(&(line(), xs.clone())).unwrap();
    assert_eq!(report.dispatches, 1);
    let args = (line(), xs, ys);
    let per_example = jit(vmap(grad(squared_error), (None, 0, 0)));
    let ((dw, db), report) = per_example.run(&args).unwrap();
    assert_eq!(report.dispatches, 1);
    let ((mean_dw, mean_db), report) = jit(grad(mean_loss)).run(&args).unwrap();
    assert_eq!(report.dispatches, 1);
    let mean = |a: &Array| a.to_f64().iter().sum::<f64>() / 1000.0;
    assert!((mean(&dw) - mean_dw.to_f64()[0]).abs() < 1e-5);
    assert!((mean(&db) - mean_db.to_f64()[0]).abs() < 1e-5);
}

/// The distinct primitives that results depend on, and all there are of them. Of the distinct ones
/// literals don't count, nor copies of them, which kernels contain, and reshapes, which share memory.
fn primitives(program: &Program) -> (usize, usize) {
    let f = egrad_rewrite::expand(program).unwrap();
    let live = f.live();
    let renames = |kind: &NodeKind| matches!(kind, NodeKind::Param(_) | NodeKind::Op(Op::Reshape(_)));
    let (mut known, mut number, mut literal) = (HashMap::new(), Vec::new(), Vec::new());
    for (id, node) in f.nodes() {
        let args: Vec<usize> = node.args.iter().map(|a| number[a.index()]).collect();
        literal.push(match &node.kind {
            NodeKind::Op(Op::Constant(_)) => true,
            NodeKind::Op(Op::BroadcastInDim { .. }) => literal[node.args[0].index()],
            NodeKind::Op(_) | NodeKind::Param(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => {
                false
            }
        });
        let counts = live[id.index()] && !literal[id.index()] && !renames(&node.kind);
        let next = (known.len(), counts);
        number.push(known.entry((node.kind.clone(), args)).or_insert(next).0);
    }
    let params = f.params().filter(|p| live[p.index()]).count();
    (known.values().filter(|(_, counts)| *counts).count(), live.iter().filter(|l| **l).count() - params)
}

#[test]
fn eager_is_one_dispatch_per_primitive() {
    /// As many dispatches as there are primitives (`least` of them); the interpreter does what is
    /// written.
    #[track_caller]
    fn check<F, A>(make: impl Fn() -> F, args: &A::Arrays, least: usize)
    where
        F: Function<A>,
        F::Output: Traced,
        A: Args,
    {
        let (n, repeated) = primitives(&trace::<F, A>(make(), args).unwrap());
        assert!(n >= least, "{n} primitives");
        let (_, report) = eager::<F, A>(make()).device(Device::Cpu).run(args).unwrap();
        assert_eq!(report, Report { device: Device::Cpu, dispatches: n });
        let (_, report) = eager::<F, A>(make()).device(Device::Interpreter).run(args).unwrap();
        assert_eq!(report, Report { device: Device::Interpreter, dispatches: repeated });
        let (_, fused) = jit::<F, A>(make()).device(Device::Cpu).run(args).unwrap();
        assert!(fused.dispatches < n, "{} kernels of {n} primitives", fused.dispatches);
    }
    let args = (line(), f32s([100]), f32s([100]));
    check(|| vmap(predict, (None, 0)), &(line(), f32s([100])), 2);
    check(|| vmap(squared_error, (None, 0, 0)), &args, 4);
    check(|| vmap(grad(squared_error), (None, 0, 0)), &args, 5);
    check(|| grad(mean_loss), &args, 5);
    check(|| attention, &(f32s([4, 3]), f32s([5, 3]), f32s([5, 2])), 8);
    check(|| |x: Tensor| (x.sin() * x + x.cos() / 2.0).sum(), &(f32s([100]),), 6);
}

/// Backends get kernels and can't evaluate primitives: they don't name the interpreter. In the
/// frontend only the interpreter's own device does.
#[test]
fn no_backend_names_the_interpreter() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut named = Vec::new();
    let mut files = Vec::new();
    let mut folders: Vec<_> = ["backend-cpu/src", "backend-vulkan/src", "frontend/src"].map(|p| root.join(p)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend((path.file_name() != Some("tests".as_ref())).then_some(path));
            } else if path.extension() == Some("rs".as_ref()) && !path.to_string_lossy().ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 30, "{} files", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if [" eval(", "::eval(", ".eval(", "eval_op("].iter().any(|call| code.contains(call)) {
            named.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
    named.retain(|path| !["frontend/src/device.rs", "frontend/src/cli/device.rs"].contains(&path.as_str()));
    assert_eq!(named, Vec::<String>::new());
}

mod vulkan {
    use super::*;
    use egrad_ir::kernel::Backend;
    use egrad_vulkan::{Selection, Vulkan};

    /// Whether there is a device. Without one, tests skip and say so; with
    /// `EGRAD_REQUIRE_VULKAN=1` they fail.
    fn there_is_one() -> bool {
        let required = std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some_and(|v| v == "1");
        match Vulkan::new(Selection::Any) {
            Ok(_) => true,
            Err(e) if required => panic!("EGRAD_REQUIRE_VULKAN is set: {e}"),
            Err(e) => {
                eprintln!("SKIPPED: {e}");
                false
            }
        }
    }

    fn gated(x: Tensor, y: Tensor) -> (Tensor, Tensor) {
        let z = (x * y).tanh() + x.abs().sqrt();
        (z.gt(0.5).select(z, x - 2.0 * y), z.exp())
    }

    #[test]
    fn an_elementwise_function_equals_the_interpreter() {
        if !there_is_one() {
            return;
        }
        let args = (f32s([37, 5]), f32s([5]));
        let compiled = jit(gated).device(Device::Vulkan).compile(&args).unwrap();
        assert_eq!(compiled.device(), Device::Vulkan);
        let ((a, b), report) = compiled.run(&args).unwrap();
        assert_eq!(report, Report { device: Device::Vulkan, dispatches: compiled.schedule().unwrap().steps.len() });
        assert!(report.dispatches >= 1);
        let (want_a, want_b) = jit(gated).device(Device::Interpreter)(&args.0, &args.1).unwrap();
        close(&a, &want_a, 1e-5);
        close(&b, &want_b, 1e-5);
        // The tutorial's gradients: one kernel here, too.
        let args = (line(), f32s([1000]), f32s([1000]));
        let per_example = jit(vmap(grad(squared_error), (None, 0, 0)));
        let ((dw, db), report) = per_example.device(Device::Vulkan).run(&args).unwrap();
        assert_eq!(report, Report { device: Device::Vulkan, dispatches: 1 });
        let per_example = jit(vmap(grad(squared_error), (None, 0, 0))).device(Device::Interpreter);
        let want = per_example(&args.0, &args.1, &args.2).unwrap();
        close(&dw, &want.0, 1e-5);
        close(&db, &want.1, 1e-5);
    }

    #[test]
    fn the_validation_layers_say_nothing() {
        let required = std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some_and(|v| v == "1");
        let options = egrad_vulkan::Options { validation: true, ..egrad_vulkan::Options::from_env(Selection::Any) };
        let vulkan = match Vulkan::open(&options) {
            Ok(vulkan) => vulkan,
            Err(e) if required => panic!("EGRAD_REQUIRE_VULKAN is set: {e}"),
            Err(e) => return eprintln!("SKIPPED: {e}"),
        };
        let messages = vulkan.messages();
        let args = (f32s([37, 5]), f32s([5]));
        let program = trace(gated, &args).unwrap();
        let schedule = egrad_rewrite::compile(&program, &Default::default()).unwrap().schedule;
        let steps = schedule.steps.len();
        let executable = vulkan.compile(schedule).unwrap();
        let (want, _) = jit(gated).device(Device::Interpreter)(&args.0, &args.1).unwrap();
        for _ in 0..3 {
            let run = executable.run(&[&args.0, &args.1]).unwrap();
            assert_eq!(run.dispatches, steps);
            close(&run.outputs[0], &want, 1e-5);
        }
        drop((executable, vulkan));
        assert_eq!(messages.texts(), Vec::<String>::new());
    }

    #[test]
    fn what_it_can_not_run_is_refused_before_anything_runs() {
        if !there_is_one() {
            return;
        }
        let refused = |message: String, parts: &[&str]| {
            for part in parts {
                assert!(message.contains(part), "{part:?} is not in: {message}");
            }
        };
        // Loops run, in loops up to some depth.
        fn deep(depth: usize, x: Tensor) -> Tensor {
            match depth {
                0 => x.sin(),
                _ => fori_loop(0, 2, move |_: Tensor, c: Tensor| deep(depth - 1, c), x),
            }
        }
        assert!(jit(|x: Tensor| deep(4, x)).device(Device::Vulkan)(&f32s([4])).is_ok());
        let error = jit(|x: Tensor| deep(11, x)).device(Device::Vulkan)(&f32s([4])).unwrap_err();
        assert_eq!(error.kind(), "device");
        refused(error.to_string(), &["Vulkan", "loops in loops up to a depth of 10", "scan"]);
        let strict = Options { device: Device::Vulkan, numerics: Numerics::Strict, ..Options::default() };
        let error = jit(|x: Tensor| x + 1).options(strict)(&f32s([4])).unwrap_err();
        assert_eq!(error.kind(), "device");
        refused(error.to_string(), &["strict"]);
    }
}
