//! Bad input: each is an error with a kind, a text that names what is wrong, and the user's line;
//! what is merely unusual has the right result. (Every operator by itself: `frontend/tests/errors.rs`.
//! Texts of programs: `ir/tests/text.rs`.)

use egrad::*;
use egrad_ir::eval::{Elementary, eval};
use std::cell::RefCell;
use std::process::Command;

fn f32s(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::F32, 0.5)).unwrap()
}
fn i32s(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::I32, 2.0)).unwrap()
}
fn vector(data: &[f32]) -> Array {
    Array::from_vec(data.to_vec(), [data.len()]).unwrap()
}

/// Asserts the error's kind, that its text has these parts, and that it points at that line.
#[track_caller]
fn check<T>(result: Result<T>, line: u32, kind: &str, parts: &[&str]) {
    let Err(error) = result else { panic!("no error") };
    assert_eq!(error.kind(), kind, "{error}");
    let message = &error.report().message;
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {error}");
    }
    match error.report().at {
        Span::Rust(at) => assert_eq!((at.file(), at.line()), (file!(), line), "{error}"),
        other => panic!("placed at {other}: {error}"),
    }
    assert!(error.to_string().contains(&format!("--> {}:{line}", file!())), "{error}");
}

/// Through the doors, and from the middle of transforms: the line is the operator's own.
#[rustfmt::skip]
mod through_the_doors {
    use super::*;

    /// `jit` and `eager`, on the CPU and the interpreter: the same error.
    macro_rules! at {
        ($f:expr, ($($x:expr),+), $kind:literal, [$($part:literal),+]) => {{
            let line = line!();
            check(jit($f).device(Device::Cpu)($(&$x),+), line, $kind, &[$($part),+]);
            check(jit($f).device(Device::Interpreter)($(&$x),+), line, $kind, &[$($part),+]);
            check(eager($f)($(&$x),+), line, $kind, &[$($part),+]);
            check(jit($f).compile(&($($x,)+)), line, $kind, &[$($part),+]);
        }};
    }

    #[test]
    fn ranks() {
        at!(|x: Tensor| x.matmul(x.sum()), (f32s([2, 2])), "shape", ["`matmul`", "f32[2,2]", "f32[]", "scalars"]);
        at!(|x: Tensor| x.transpose([1, 0]), (f32s([2, 2, 2])), "axis", ["`transpose`", "f32[2,2,2]", "3 axes", "[1, 0]"]);
        at!(|x: Tensor| x.tril(0), (f32s([])), "axis", ["`tril`", "f32[]"]);
        at!(|x: Tensor| x.reshape(vec![1; 65]), (f32s([])), "shape", ["`reshape`", "65 axes", "64"]);
        at!(|x: Tensor| einsum("ij->i", [x]), (f32s([2])), "axis", ["`einsum`", "[2]", "2 axis names"]);
    }

    #[test]
    fn shapes() {
        at!(|x: Tensor, y: Tensor| x + y, (f32s([2]), f32s([3])), "shape", ["`add`", "f32[2]", "f32[3]", "broadcast"]);
        at!(|x: Tensor, y: Tensor| x.lt(y), (f32s([4, 2]), f32s([4])), "shape", ["`lt`", "f32[4,2]", "f32[4]"]);
        at!(|x: Tensor| x.reshape([7]), (f32s([2, 3])), "shape", ["f32[2,3]", "6 elements", "[7]"]);
        at!(|x: Tensor| x.broadcast_to([2]), (f32s([2, 3])), "shape", ["f32[2,3]", "[2]"]);
        at!(|x: Tensor, y: Tensor| x.matmul(y), (f32s([2, 3]), f32s([2, 3])), "shape", ["`matmul`", "3", "2"]);
        // Shapes are those of an example, inside of `vmap`.
        at!(vmap(|x: Tensor, y: Tensor| x * y, 0), (f32s([5, 2]), f32s([5, 3])), "shape", ["`mul`", "f32[2]", "f32[3]"]);
        at!(vmap(grad(|x: Tensor, y: Tensor| x.dot(y) * x.dot(y)), 0), (f32s([5, 2]), f32s([5, 3])), "shape", ["`dot_general`", "f32[2]", "f32[3]"]);
        at!(grad(|x: Tensor| vmap(|x: Tensor| x + ones([3], Dtype::F32), 0)(x).sum()), (f32s([4, 2])), "shape", ["`add`", "f32[2]", "f32[3]"]);
    }

    #[test]
    fn axes() {
        at!(|x: Tensor| x.sum_axes(2), (f32s([2, 3])), "axis", ["`sum_axes`", "axis 2", "rank 2", "from -2 to 1"]);
        at!(|x: Tensor| x.softmax(-3), (f32s([2, 3])), "axis", ["axis -3", "rank 2"]);
        at!(|x: Tensor| x.max_axes([0, -2]), (f32s([2, 3])), "axis", ["`max_axes`", "twice"]);
        at!(vmap(|x: Tensor| x.sum_axes(1), 0), (f32s([2, 3])), "axis", ["`sum_axes`", "axis 1", "rank 1"]);
        at!(vmap(|x: Tensor| x, 2), (f32s([2, 3])), "axis", ["`vmap`", "in_axes 2", "argument 0", "f32[2,3]"]);
        at!(vmap_with(|x: Tensor| x.sum(), 0, -2), (f32s([2, 3])), "axis", ["`vmap`", "out_axes -2", "f32[] per element"]);
        at!(vmap(|x: Tensor, _: Tensor| x, (None, None)), (f32s([2]), f32s([2])), "axis", ["`vmap`", "None"]);
    }

    #[test]
    fn dtypes() {
        at!(|x: Tensor, n: Tensor| x * n, (f32s([2]), i32s([2])), "dtype", ["`mul`", "f32[2]", "i32[2]"]);
        at!(|x: Tensor, n: Tensor| x.matmul(n), (f32s([2]), i32s([2])), "dtype", ["`dot_general`", "f32[2]", "i32[2]"]);
        at!(|n: Tensor| n.sin(), (i32s([2])), "dtype", ["`sin`", "i32[2]"]);
        at!(|n: Tensor| n + 0.5, (i32s([2])), "dtype", ["`add`", "0.5", "i32"]);
        at!(|x: Tensor| x.select(1.0, 2.0), (f32s([2])), "dtype", ["`select`", "bool", "f32[2]"]);
        at!(|x: Tensor| x & x, (f32s([2])), "dtype", ["`and`", "f32[2]"]);
        at!(|x: Tensor| x.gt(0) + x.lt(0), (f32s([2])), "dtype", ["`add`", "bool[2]"]);
    }

    #[test]
    fn gradients() {
        at!(grad(|x: Tensor| x.sin()), (f32s([3])), "shape", ["`grad`", "scalar", "f32[3]", "jacrev"]);
        at!(vmap(grad(|x: Tensor| x.sin()), 0), (f32s([4, 3])), "shape", ["`grad`", "scalar", "f32[3]"]);
        at!(grad(|n: Tensor| n.convert(Dtype::F32).sum()), (i32s([3])), "dtype", ["`grad`", "argument 0", "i32[3]", "floats"]);
        at!(grad(|x: Tensor| x.gt(0).all()), (f32s([3])), "dtype", ["`grad`", "float result", "bool[]"]);
        at!(grad(|x: Tensor| x.sum().convert(Dtype::I32)), (f32s([3])), "dtype", ["`grad`", "float result", "i32[]"]);
        at!(grad_argnums(|x: Tensor, n: Tensor| x.sum() * n.sum().convert(Dtype::F32), (Arg::<0>, Arg::<1>)), (f32s([3]), i32s([3])), "dtype", ["argument 1", "i32[3]"]);
        at!(grad(|(x, _): (Tensor, Tensor)| x), ((f32s([]), i32s([]))), "dtype", ["argument 0 at `.1`", "i32[]"]);
    }

    #[test]
    fn sizes_of_batches() {
        at!(vmap(|x: Tensor, y: Tensor| x + y, 0), (f32s([3]), f32s([4])), "axis", ["`vmap`", "argument 0, f32[3], has 3 along axis 0", "argument 1, f32[4], has 4 along axis 0"]);
        at!(vmap(|x: Tensor, y: Tensor| x + y, (1, -1)), (f32s([3, 2]), f32s([2, 4])), "axis", ["f32[3,2], has 2 along axis 1", "f32[2,4], has 4 along axis 1"]);
        at!(vmap(|(x, y): (Tensor, Tensor)| x + y, 0), ((f32s([0]), f32s([1]))), "axis", ["argument 0 at `.0`, f32[0], has 0", "argument 0 at `.1`, f32[1], has 1"]);
        at!(|x: Tensor| vmap(move |y: Tensor, z: Tensor| x.sum() + y + z, 0)(x, ones([3], Dtype::F32)), (f32s([2])), "axis", ["f32[2], has 2", "f32[3], has 3"]);
    }

    #[test]
    fn memory() {
        at!(|x: Tensor| x.broadcast_to([usize::MAX]), (f32s([])), "memory", ["`broadcast_in_dim`", "18446744073709551615", "memory"]);
        at!(|x: Tensor| x + zeros([1 << 40, 1 << 40], Dtype::F32), (f32s([])), "memory", ["`broadcast_in_dim`", "1099511627776"]);
        at!(vmap(|x: Tensor| x.broadcast_to([1 << 62]), 0), (f32s([8])), "memory", ["4611686018427387904"]);
        at!(|x: Tensor| iota([1 << 33, 1 << 33], 0, Dtype::F32).sum() + x, (f32s([])), "memory", ["`iota`", "8589934592"]);
        at!(|x: Tensor| einsum("i,j->ij", [x.broadcast_to([1 << 40]), x.broadcast_to([1 << 40])]), (f32s([])), "memory", ["`dot_general`", "1099511627776"]);
    }
}

/// An array that no machine can hold, though its size can be written down: 256 TiB, beyond the
/// addresses of a process.
#[test]
fn memory_that_can_not_be_had() {
    let huge = |x: Tensor| x.broadcast_to([1 << 46]).sin();
    for device in [Device::Cpu, Device::Interpreter] {
        for f in [jit(huge).device(device), eager(huge).device(device)] {
            let error = f(&f32s([])).unwrap_err();
            assert_eq!(error.kind(), "memory", "{error}");
            // Refused by what a run takes, or by its one array where nothing is compiled.
            let sizes = ["256.0 TiB of results", "70368744177664 elements of f32"];
            assert!(sizes.iter().any(|size| error.to_string().contains(size)), "{error}");
            // The next call has its memory.
            assert!(jit(|x: Tensor| x.sin()).device(device)(&f32s([3])).is_ok());
        }
    }
    // What is only on the way to a result needs no memory on the CPU, but a mapped one does.
    let error = jit(vmap(|x: Tensor| x.broadcast_to([1 << 44]) * 2.0, 0))(&f32s([4])).unwrap_err();
    assert_eq!(error.kind(), "memory", "{error}");
    assert_eq!(Array::full([1 << 46], Literal::new(Dtype::F32, 0.0)).unwrap_err().kind(), "memory");
    assert_eq!(Array::full([usize::MAX, 2], Literal::new(Dtype::F32, 0.0)).unwrap_err().kind(), "memory");
    assert_eq!(Array::from_vec(vec![1.0f32], [usize::MAX, usize::MAX]).unwrap_err().kind(), "shape");
}

#[test]
fn counts_of_arguments() {
    let scalar = || Aval::new(Dtype::F32, []);
    let f = |x: Tensor, (y, z): (Tensor, Tensor)| x + y * z;
    for n in [0, 1, 2, 4, 7] {
        let error = trace_avals(f, &vec![scalar(); n]).unwrap_err();
        assert_eq!(error.kind(), "tree", "{error}");
    }
    let program = trace_avals(f, &[scalar(), scalar(), scalar()]).unwrap();
    // Kernels given too few, too many, or other arrays.
    let schedule = egrad_rewrite::compile(&program, &Default::default()).unwrap().schedule;
    let cpu = egrad_cpu::Cpu::new().unwrap();
    let executable = egrad_ir::kernel::Backend::compile(&cpu, schedule).unwrap();
    let x = f32s([]);
    assert!(executable.run(&[&x, &x, &x]).is_ok());
    let (vector, int) = (f32s([1]), i32s([]));
    for (inputs, kind) in [
        (vec![], "tree"),
        (vec![&x, &x], "tree"),
        (vec![&x; 4], "tree"),
        (vec![&x, &x, &vector], "shape"),
        (vec![&x, &x, &int], "dtype"),
    ] {
        let error = executable.run(&inputs).expect_err("refused");
        assert!(error.to_string().contains("inputs"), "{error}");
        let error = eval(program.entry(), &inputs, Elementary::Std).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    // A `Vec` of another length is another program, except for one compiled for a length.
    let sum = jit(|xs: Vec<Tensor>| xs.iter().fold(Tensor::from(0.0f32), |a, x| a + *x));
    assert_eq!(sum(&vec![]).unwrap().item::<f32>().unwrap(), 0.0);
    assert_eq!(sum(&vec![x.clone(), x.clone()]).unwrap().item::<f32>().unwrap(), 1.0);
    let error = sum.compile(&(vec![x.clone()],)).unwrap().call(&(vec![x.clone(), x],)).unwrap_err();
    assert_eq!(error.kind(), "tree", "{error}");
}

thread_local! {
    static KEPT: RefCell<Vec<Tensor>> = const { RefCell::new(Vec::new()) };
}

/// Tensors kept beyond their trace are told apart from living ones, wherever they turn up.
#[test]
fn escaped_tensors() {
    const ENDED: [&str; 2] = ["trace has ended", "return it"];
    let keep = jit(|x: Tensor| {
        KEPT.with_borrow_mut(|k| k.push(x * 2));
        vmap(
            grad(|x: Tensor| {
                KEPT.with_borrow_mut(|k| k.push(x));
                x.sin()
            }),
            0,
        )(x)
    });
    keep(&f32s([3])).unwrap();
    // Compiled already: the second call traces nothing.
    keep(&f32s([3])).unwrap();
    let kept = KEPT.with_borrow(|k| k.clone());
    assert_eq!(kept.len(), 2);
    for old in kept {
        assert_eq!(format!("{old:?}"), "Tensor(of an ended trace)");
        let line = line!() + 1;
        check(jit(move |x: Tensor| x + old)(&f32s([3])), line, "trace", &ENDED);
        let line = line!() + 1;
        check(jit(grad(move |x: Tensor| (x * old.sin()).sum()))(&f32s([3])), line, "trace", &ENDED);
        let line = line!() + 1;
        check(eager(vmap(move |x: Tensor| x * old.shape()[0] as f64, 0))(&f32s([3])), line, "trace", &ENDED);
        // Returned by a function that doesn't compute with it: the place is the door's.
        let line = line!() + 1;
        check(jit(move |_: Tensor| old)(&f32s([3])), line, "trace", &ENDED);
        let line = line!() + 1;
        check(jit(vmap(move |_: Tensor| old, 0))(&f32s([3])), line, "trace", &ENDED);
    }
    // An inner tensor used after its function has returned, while the outer trace goes on.
    let keep = |x: Tensor| {
        KEPT.with_borrow_mut(|k| k.push(x));
        x
    };
    let line = line!() + 3;
    let leak = move |x: Tensor| {
        let y = vmap(keep, 0)(x);
        y + KEPT.with_borrow(|k| k[k.len() - 1])
    };
    check(jit(leak)(&f32s([3])), line, "trace", &ENDED);
    // No harm is done: the next trace is as good as any.
    assert!(jit(|x: Tensor| x + 1)(&f32s([3])).is_ok());
}

/// Axes of length 0 and tensors without axes have the right results everywhere.
#[test]
fn empty_arrays_and_scalars() {
    let empty = |shape: &[usize]| Array::from_vec(Vec::<f32>::new(), shape).unwrap();
    for device in [Device::Cpu, Device::Interpreter] {
        for numerics in [Numerics::Fast, Numerics::Strict] {
            let options = || Options { device, numerics, ..Options::default() };
            let scalar = |a: Array| a.item::<f32>().unwrap();
            let f = jit(|x: Tensor| (x.sum(), x.max(), x.min(), x.softmax(-1).sum(), (x + 1).powi(2).sum_axes(0)))
                .options(options());
            let (sum, max, min, softmax, columns) = f(&empty(&[0, 3])).unwrap();
            assert_eq!(
                (scalar(sum), scalar(max), scalar(min), scalar(softmax)),
                (0.0, f32::NEG_INFINITY, f32::INFINITY, 0.0)
            );
            assert_eq!(columns.as_slice::<f32>().unwrap(), [0.0; 3]);
            // Rows without elements: each has its sum, its maximum, and no softmax.
            let (.., columns) = f(&empty(&[3, 0])).unwrap();
            assert_eq!(columns.shape()[..], [0]);
            let rows = jit(|x: Tensor| (x.sum_axes(1), x.max_axes(1), x.logsumexp_axes(1))).options(options());
            let (sum, max, lse) = rows(&empty(&[3, 0])).unwrap();
            assert_eq!(sum.as_slice::<f32>().unwrap(), [0.0; 3]);
            assert_eq!(max.as_slice::<f32>().unwrap(), [f32::NEG_INFINITY; 3]);
            assert_eq!(lse.as_slice::<f32>().unwrap(), [f32::NEG_INFINITY; 3]);
            // Products over nothing, and of nothing.
            let product = jit(|a: Tensor, b: Tensor| a.matmul(b) + 1).options(options());
            assert_eq!(product(&empty(&[2, 0]), &empty(&[0, 3])).unwrap().as_slice::<f32>().unwrap(), [1.0; 6]);
            assert_eq!(product(&empty(&[0, 2]), &f32s([2, 3])).unwrap().shape()[..], [0, 3]);
            // Batches of nothing, gradients by nothing, batches of empty examples.
            let loss = |w: Tensor, x: Tensor| (w * x).sin().sum();
            let per_example = jit(vmap(grad(loss), (None, 0))).options(options());
            assert_eq!(per_example(&f32s([4]), &empty(&[0, 4])).unwrap().shape()[..], [0, 4]);
            assert_eq!(per_example(&f32s([]), &empty(&[2, 0])).unwrap().as_slice::<f32>().unwrap(), [0.0; 2]);
            assert_eq!(per_example(&empty(&[0]), &empty(&[2, 0])).unwrap().shape()[..], [2, 0]);
            let total = jit(grad(move |w: Tensor, x: Tensor| vmap(loss, (None, 0))(w, x).sum())).options(options());
            assert_eq!(total(&f32s([4]), &empty(&[0, 4])).unwrap().as_slice::<f32>().unwrap(), [0.0; 4]);
            // Scalars: everything over no axes.
            let x = Array::from(0.25f32);
            let f = jit(|x: Tensor| (x.sum() + x.max() + x.mean(), x.reshape([1, 1]).t().squeeze([0, 1]), x.flatten()))
                .options(options());
            let (a, b, c) = f(&x).unwrap();
            assert_eq!((scalar(a), scalar(b), c.shape().to_vec()), (0.75, 0.25, vec![1]));
            assert_eq!(scalar(jit(grad(grad(|x: Tensor| x.powi(3)))).options(options())(&x).unwrap()), 1.5);
        }
    }
}

/// NaN and infinities go through and come out as IEEE 754 and JAX have it.
#[test]
fn nan_and_infinity() {
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    use std::f32::consts::{E, LN_2};
    type F = fn(Tensor) -> Tensor;
    let xs = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0];
    let elementwise: [(&str, F, [f32; 7]); 21] = [
        ("exp", |x| x.exp(), [NAN, INF, 0.0, 1.0, 1.0, E, 1.0 / E]),
        ("log", |x| x.log(), [NAN, INF, NAN, -INF, -INF, 0.0, NAN]),
        ("log1p", |x| x.log1p(), [NAN, INF, NAN, 0.0, -0.0, LN_2, -INF]),
        ("sqrt", |x| x.sqrt(), [NAN, INF, NAN, 0.0, -0.0, 1.0, NAN]),
        ("rsqrt", |x| x.rsqrt(), [NAN, 0.0, NAN, INF, -INF, 1.0, NAN]),
        ("sin", |x| x.sin(), [NAN, NAN, NAN, 0.0, -0.0, 0.841_471, -0.841_471]),
        ("tanh", |x| x.tanh(), [NAN, 1.0, -1.0, 0.0, -0.0, 0.761_594_2, -0.761_594_2]),
        ("sigmoid", |x| x.sigmoid(), [NAN, 1.0, 0.0, 0.5, 0.5, 0.731_058_6, 0.268_941_4]),
        ("softplus", |x| x.softplus(), [NAN, INF, 0.0, LN_2, LN_2, 1.313_261_7, 0.313_261_7]),
        ("1 / x", |x| 1.0 / x, [NAN, 0.0, -0.0, INF, -INF, 1.0, -1.0]),
        ("x - x", |x| x - x, [NAN, NAN, NAN, 0.0, 0.0, 0.0, 0.0]),
        ("x * 0", |x| x * 0.0, [NAN, NAN, NAN, 0.0, -0.0, 0.0, -0.0]),
        ("x / x", |x| x / x, [NAN, NAN, NAN, NAN, NAN, 1.0, 1.0]),
        ("max", |x| x.maximum(0.5), [NAN, INF, 0.5, 0.5, 0.5, 1.0, 0.5]),
        ("min", |x| x.minimum(0.5), [NAN, 0.5, -INF, 0.0, -0.0, 0.5, -1.0]),
        ("abs", |x| x.abs(), [NAN, INF, INF, 0.0, 0.0, 1.0, 1.0]),
        ("sign", |x| x.sign(), [NAN, 1.0, -1.0, 0.0, -0.0, 1.0, -1.0]),
        ("powi(0)", |x| x.powi(0), [1.0; 7]),
        ("powi(-1)", |x| x.powi(-1), [NAN, 0.0, -0.0, INF, -INF, 1.0, -1.0]),
        ("relu", |x| x.gt(0).select(x, 0.0), [0.0, INF, 0.0, 0.0, 0.0, 1.0, 0.0]),
        ("is_finite", |x| x.is_finite().convert(Dtype::F32), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
    ];
    let same = |what: &str, got: &Array, want: &[f32], signs: bool| {
        for ((g, w), x) in got.as_slice::<f32>().unwrap().iter().zip(want).zip(xs) {
            let equal = (g.is_nan() && w.is_nan()) || g == w || (g - w).abs() <= 1e-6 * w.abs();
            let sign = !signs || *w != 0.0 || g.is_sign_negative() == w.is_sign_negative();
            assert!(equal && sign, "{what} of {x} is {g}, not {w}");
        }
    };
    for device in [Device::Cpu, Device::Interpreter] {
        for numerics in [Numerics::Fast, Numerics::Strict] {
            let options = || Options { device, numerics, ..Options::default() };
            for (name, f, want) in elementwise {
                // Also where lanes of vectors and what is left over hold the same.
                let long: Vec<f32> = xs.iter().copied().cycle().take(7 * 9).collect();
                let all = jit(f).options(options())(&vector(&long)).unwrap();
                let all = all.reshape([9, 7]).unwrap();
                for row in all.as_slice::<f32>().unwrap().chunks(7) {
                    same(
                        &format!("{name} on {device}, {numerics:?}"),
                        &vector(row),
                        &want,
                        numerics == Numerics::Strict,
                    );
                }
            }
            let of = |f: F, data: &[f32]| jit(f).options(options())(&vector(data)).unwrap().item::<f32>().unwrap();
            assert!(of(|x| x.sum(), &[1.0, NAN, 2.0]).is_nan());
            assert!(of(|x| x.sum(), &[INF, -INF, 2.0]).is_nan());
            assert_eq!(of(|x| x.sum(), &[INF, 1.0, 2.0]), INF);
            assert!(of(|x| x.max(), &[1.0, NAN, 2.0]).is_nan());
            assert!(of(|x| x.min(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, NAN]).is_nan());
            assert_eq!(of(|x| x.logsumexp(), &[-INF, -INF]), -INF);
            assert_eq!(of(|x| x.logsumexp(), &[INF, 0.0]), INF);
            assert_eq!(of(|x| x.softmax(0).max(), &[-INF, 0.0]), 1.0);
            // Integers saturate, and NaN is 0.
            let ints = jit(|x: Tensor| x.convert(Dtype::I32)).options(options())(&vector(&xs)).unwrap();
            assert_eq!(ints.as_slice::<i32>().unwrap(), [0, i32::MAX, i32::MIN, 0, 0, 1, -1]);
            // A branch that isn't taken has no part in the derivative, but 0·∞ is NaN in JAX's rule.
            let guarded = jit(vmap(
                grad(|x: Tensor| {
                    let safe = x.gt(0).select(x, 1.0);
                    x.gt(0).select(safe.log(), 0.0)
                }),
                0,
            ))
            .options(options());
            let slopes = guarded(&vector(&[2.0, 0.0, -1.0])).unwrap();
            assert_eq!(slopes.as_slice::<f32>().unwrap(), [0.5, 0.0, 0.0]);
            let naive = jit(vmap(grad(|x: Tensor| x.gt(0).select(x.sqrt(), 0.0)), 0)).options(options());
            assert!(naive(&vector(&[0.0])).unwrap().as_slice::<f32>().unwrap()[0].is_nan());
        }
    }
}

/// Texts of programs that are wrong in a place, and such that ask for too much.
#[test]
fn texts_of_programs() {
    let place = |text: &str, kind: &str, at: (u32, u32), part: &str| {
        let error = Program::parse(text).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.report().at, Span::Text { line: at.0, column: at.1 }, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().contains(&format!("line {}, column {}", at.0, at.1)), "{error}");
    };
    place("", "parse", (1, 1), "`egrad`");
    place("egrad 1\nfn f(%0: f32[]) {\n  %1 = sine %0\n  return %1\n}", "parse", (3, 8), "sine");
    place("egrad 1\nfn f(%0: f32[]) {\n  %1 = sin %7\n  return %1\n}", "parse", (3, 12), "%7");
    place("egrad 1\nfn f(%0: i32[]) {\n  %1 = sin %0\n  return %1\n}", "dtype", (3, 3), "`sin` doesn't take i32[]");
    place("egrad 1\nfn f(%0: f32[2], %1: f32[3]) {\n  %2 = add %0 %1\n  return %2\n}", "shape", (3, 3), "f32[3]");

    // A million operations, and 30 functions which call each other twice: 2³⁰ operations.
    let chain: String = (1..200_000).map(|i| format!("%{i} = neg %{}\n", i - 1)).collect();
    let long = format!("egrad 1\nfn f(%0: f32[]) {{\n{chain}return %199999 }}");
    assert_eq!(Program::parse(&long).unwrap().entry().len(), 200_000);
    assert_eq!(Program::parse(&long[..long.len() - 1]).unwrap_err().kind(), "parse");
    let mut doubling = "egrad 1\nfn @0 f(%0: f32[]) { %1 = sin %0 return %1 }\n".to_owned();
    for i in 1..=30 {
        let call = format!("call @{}", i - 1);
        doubling.push_str(&format!(
            "fn @{i} f(%0: f32[]) {{ %1 = {call} %0 %2 = get %1 {{index = 0}} %3 = {call} %2 %4 = get %3 {{index = 0}} return %4 }}\n"
        ));
    }
    let error = egrad_rewrite::compile(&Program::parse(&doubling).unwrap(), &Default::default()).unwrap_err();
    assert_eq!(error.kind(), "memory", "{error}");
    assert!(matches!(error.report().at, Span::Text { line: 24.., .. }), "{error}");
    // A chain of calls whose links are 1, 2, 3, … operations.
    let mut deep = "egrad 1\nfn @0 f(%0: f32[]) { %1 = sin %0 return %1 }\n".to_owned();
    for i in 1..=20_000 {
        let call = format!("%1 = call @{} %0 %2 = get %1 {{index = 0}}", i - 1);
        deep.push_str(&format!("fn @{i} f(%0: f32[]) {{ {call} %3 = cos %2 return %3 }}\n"));
    }
    let error = egrad_rewrite::compile(&Program::parse(&deep).unwrap(), &Default::default()).unwrap_err();
    assert_eq!(error.kind(), "memory", "{error}");
    // The derivative of 2²⁰ operations.
    let lines: Vec<&str> = doubling.lines().collect();
    let large = lines[..22].join("\n");
    let vjp = "fn @21 g(%0: f32[]) { %1: f32[] = constant {value = 1.0} %2 = vjp @20 %0 %1 {wrt = [0]} %3 = get %2 {index = 1} return %3 }";
    let error =
        egrad_rewrite::compile(&Program::parse(&format!("{large}\n{vjp}")).unwrap(), &Default::default()).unwrap_err();
    assert_eq!(error.kind(), "memory", "{error}");
    assert!(error.to_string().contains("the vjp of `f`"), "{error}");
    assert!(matches!(error.report().at, Span::Text { line: 23, .. }), "{error}");
}

/// Runs one of the tests below in a process of its own, in another environment.
#[track_caller]
fn child(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("EGRAD_TEST_CHILD", test);
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn is_child(test: &str) -> bool {
    std::env::var("EGRAD_TEST_CHILD").is_ok_and(|t| t == test)
}

#[test]
fn no_vulkan() {
    if !is_child("no_vulkan") {
        return child("no_vulkan", &[("EGRAD_VULKAN_LOADER", "/nowhere/libvulkan.so.1")]);
    }
    let f = jit(|x: Tensor| x + 1).device(Device::Vulkan);
    for _ in 0..2 {
        let error = f(&f32s([3])).unwrap_err();
        assert_eq!(error.kind(), "device");
        for part in ["Vulkan", "/nowhere/libvulkan.so.1", "install"] {
            assert!(error.to_string().contains(part), "{part:?} is not in: {error}");
        }
    }
    // The CPU doesn't mind.
    assert!(f.device(Device::Cpu)(&f32s([3])).is_ok());
}

#[test]
fn no_vulkan_driver() {
    if !is_child("no_vulkan_driver") {
        let nowhere = "/nowhere/icd.json";
        return child("no_vulkan_driver", &[("VK_DRIVER_FILES", nowhere), ("VK_ICD_FILENAMES", nowhere)]);
    }
    // Without a loader, that is what is missing.
    let error = jit(|x: Tensor| x + 1).device(Device::Vulkan)(&f32s([3])).unwrap_err();
    assert_eq!(error.kind(), "device");
    for part in ["Vulkan", "install"] {
        assert!(error.to_string().contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn no_such_device() {
    if !is_child("no_such_device") {
        return child("no_such_device", &[("EGRAD_DEVICE", "gpu")]);
    }
    let line = line!() + 1;
    check(jit(|x: Tensor| x + 1)(&f32s([3])), line, "device", &["EGRAD_DEVICE", "\"gpu\"", "interpreter, cpu, vulkan"]);
    assert!(jit(|x: Tensor| x + 1).device(Device::Cpu)(&f32s([3])).is_ok());
}
