//! What is wrong is said, with the user's own line.

use egrad::*;

fn f32s(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::F32, 0.5)).unwrap()
}
fn i32s(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::I32, 1.0)).unwrap()
}

/// Asserts that the error has this kind and message, and is placed on that line of this file.
#[track_caller]
fn check<T>(result: Result<T>, line: u32, expected: &str) {
    let Err(error) = result else { panic!("no error") };
    let report = error.report();
    assert_eq!(format!("{}: {}", error.kind(), report.message), expected);
    match report.at {
        Span::Rust(at) => {
            assert_eq!((at.file(), at.line()), (file!(), line), "{error}");
        }
        other => panic!("placed at {other}: {error}"),
    }
    assert!(error.to_string().contains(&format!("--> {}:{line}", file!())), "{error}");
}

// Each check is one line, so that the operator is on the line the macro is called on.
#[rustfmt::skip]
mod operators {
    use super::*;
    macro_rules! at {
        ($args:expr, $f:expr, $expected:literal) => { check(trace($f, &$args), line!(), $expected) };
    }

    #[test]
    fn elementwise() {
        at!((f32s([2]), f32s([3])), |x: Tensor, y: Tensor| x * y, "shape: the operands of `mul`, f32[2] and f32[3], don't broadcast: from the last axis, lengths must be equal or 1");
        at!((f32s([2]), i32s([2])), |x: Tensor, y: Tensor| x + y, "dtype: `add` takes operands of one type, not f32[2] and i32[2]: convert one of them");
        at!((i32s([2]),), |x: Tensor| x * 0.5, "dtype: `mul`: the number 0.5 doesn't fit a tensor of i32: convert the tensor first");
        at!((i32s([2]),), |x: Tensor| 1.5 - x, "dtype: `sub`: the number 1.5 doesn't fit a tensor of i32: convert the tensor first");
        at!((f32s([2]),), |x: Tensor| x.and(true), "dtype: `and`: the truth value true doesn't fit a tensor of f32: convert the tensor first");
        at!((i32s([2]),), |x: Tensor| x / 2, "dtype: `/` doesn't take i32: `div_trunc` and `floor_div` divide integers, `convert` makes floats of them");
        at!((i32s([2]),), |x: Tensor| x.floor(), "dtype: `floor` doesn't take i32[2]");
        at!((i32s([2]),), |x: Tensor| x.lgamma(), "dtype: `lt`: the number inf doesn't fit a tensor of i32: convert the tensor first");
        at!((i32s([2]),), |x: Tensor| x.atan2(1), "dtype: `atan2` doesn't take i32[2] and i32[2]");
        at!((f32s([2]),), |x: Tensor| x << 1, "dtype: `shift_left` doesn't take f32[2] and f32[2]");
        at!((f32s([2]),), |x: Tensor| x ^ 1, "dtype: `xor` doesn't take f32[2] and f32[2]");
        at!((i32s([2]),), |x: Tensor| x.exp(), "dtype: `exp` doesn't take i32[2]");
        at!((i32s([2]),), |x: Tensor| x.powi(-1), "dtype: `integer_pow` doesn't take i32[2]");
        at!((f32s([2]),), |x: Tensor| !x, "dtype: `not` doesn't take f32[2]");
        at!((f32s([2]),), |x: Tensor| x.select(x, 0.0), "dtype: the predicate of `select` must be bool, not f32[2]");
        at!((f32s([2]),), |x: Tensor| x.lt(0).select(x, zeros([3], Dtype::F32)), "shape: the operands of `select`, bool[2] and f32[2] and f32[3], don't broadcast: from the last axis, lengths must be equal or 1");
        at!((f32s([2]),), |x: Tensor| x.softplus().hypot(zeros([3], Dtype::F32)), "shape: `hypot`: the operands of `max`, f32[2] and f32[3], don't broadcast: from the last axis, lengths must be equal or 1");
    }

    #[test]
    fn shapes() {
        at!((f32s([2, 3]),), |x: Tensor| x.reshape([4]), "shape: can't reshape f32[2,3] (6 elements) to [4] (4 elements)");
        at!((f32s([2, 3]),), |x: Tensor| x.transpose([0]), "axis: `transpose` of f32[2,3] needs a permutation of its 2 axes, got [0]");
        at!((f32s([2, 3]),), |x: Tensor| x.transpose([0, 0]), "axis: axis 0 of `transpose` is listed twice");
        at!((f32s([2, 3]),), |x: Tensor| x.broadcast_to([3, 2]), "shape: can't broadcast f32[2,3] to [3,2]: from the last axis, its lengths must be equal or 1");
        at!((f32s([2, 3]),), |x: Tensor| x.squeeze(0), "shape: `squeeze` can't take out axis 0 of f32[2,3]: its length is 2, not 1");
        at!((f32s([2, 3]),), |x: Tensor| x.expand_dims(4), "axis: `expand_dims`: axis 4 is out of range for rank 3: it must be from -3 to 2");
        at!((f32s([2, 3]),), |x: Tensor| x.sum_axes(2), "axis: `sum_axes`: axis 2 is out of range for rank 2: it must be from -2 to 1");
        at!((f32s([]),), |x: Tensor| x.mean_axes(-1), "axis: `mean_axes`: axis -1 is out of range: a scalar has no axes");
        at!((f32s([2]),), |x: Tensor| x.gt(0).max(), "dtype: `reduce_max` doesn't take bool[2]: convert it, or use `any` or `all`");
        at!((f32s([2]),), |x: Tensor| x.tril(0), "axis: `tril` takes a tensor of at least two axes, not f32[2]");
        at!((f32s([2]),), |x: Tensor| stack([x, x.sum()], 0), "shape: `stack` takes tensors of one shape and element type: tensor 0 is f32[2], tensor 1 is f32[]");
        at!((f32s([2]),), |x: Tensor| x + iota([2], 1, Dtype::F32), "axis: `iota`: axis 1 is out of range for rank 1: it must be from -1 to 0");
        at!((f32s([1]),), |x: Tensor| x.broadcast_to([usize::MAX / 2, 4]), "memory: the result of `broadcast_in_dim` would be f32[9223372036854775807,4], more than any memory holds");
    }

    #[test]
    fn products() {
        at!((f32s([2, 3]),), |x: Tensor| x.matmul(x), "shape: `matmul` of f32[2,3] and f32[2,3]: the last axis of the left operand has length 3, and the right operand expects 2");
        at!((f32s([2, 3]),), |x: Tensor| x.matmul(x.sum()), "shape: `matmul` of f32[2,3] and f32[]: it takes no scalars; multiply with `*`");
        at!((f32s([2, 3, 4]), f32s([3, 4, 5])), |x: Tensor, y: Tensor| x.matmul(y), "shape: `matmul` of f32[2,3,4] and f32[3,4,5]: axes before the last two must broadcast, and lengths 2 and 3 don't");
        at!((f32s([2, 3]),), |x: Tensor| einsum("ij->k", [x]), "axis: `einsum` \"ij->k\": the result's axis k is in no operand");
        at!((f32s([2, 3]),), |x: Tensor| einsum("ij,jk", [x]), "axis: `einsum` \"ij,jk\": it names 2 operands, and there are 1");
        at!((f32s([2, 3]),), |x: Tensor| einsum("ij,jk", [x, x]), "axis: `einsum` \"ij,jk\": axis j has length 3 in operand 0 and 2 in operand 1");
        at!((f32s([2, 3]),), |x: Tensor| einsum("ijk", [x]), "axis: `einsum` \"ijk\": operand 0 has shape [2,3] and 3 axis names");
        at!((f32s([2, 3]),), |x: Tensor| einsum("...j->j", [x]), "axis: `einsum` \"...j->j\": the result lacks `...`, which stands for 1 axes of the operands");
        at!((f32s([2, 3]),), |x: Tensor| einsum("...i...", [x]), "axis: `einsum` \"...i...\": \"...i...\" has `...` twice");
        at!((f32s([2, 3]),), |x: Tensor| einsum("...ijk", [x]), "axis: `einsum` \"...ijk\": operand 0 has shape [2,3] and 3 axis names");
        at!((f32s([2, 3]),), |x: Tensor| einsum("...i,i...", [x, x]), "axis: `einsum` \"...i,i...\": axis i has length 3 in operand 0 and 2 in operand 1");
        at!((f32s([2, 3]),), |x: Tensor| einsum("...,...i", [x, x]), "axis: `einsum` \"...,...i\": an axis of `...` has length 3 in operand 0 and 2 in operand 1");
        at!((f32s([2, 3]),), |x: Tensor| einsum("i.", [x]), "axis: `einsum` \"i.\": '.' names no axis");
    }

    #[test]
    fn gradients() {
        at!((f32s([3]),), grad(|x: Tensor| x.sin()), "shape: `grad` needs a function with a scalar result, and `gradients` returns f32[3]: sum or average it, or take `jacrev`");
        at!((f32s([]),), grad(|x: Tensor| x.gt(0)), "dtype: `grad` needs a function with a float result, and `gradients` returns bool[]");
        at!((i32s([]),), grad(|x: Tensor| x.convert(Dtype::F32)), "dtype: `grad` can't differentiate by argument 0, i32[]: only floats have derivatives");
        at!(((f32s([]), vec![f32s([]), i32s([2])]),), grad(|p: (Tensor, Vec<Tensor>)| p.0), "dtype: `grad` can't differentiate by argument 0 at `.1[1]`, i32[2]: only floats have derivatives");
        at!((f32s([]), i32s([])), value_and_grad_argnums(|x: Tensor, _n: Tensor| x, Arg::<1>), "dtype: `value_and_grad_argnums` can't differentiate by argument 1, i32[]: only floats have derivatives");
        at!(((f32s([3]),), (f32s([2]),)), jvp(|x: Tensor| x), "shape: `jvp`: the tangent of argument 0 must be f32[3], not f32[2]");
        at!(((f32s([3]),), f32s([2])), vjp(|x: Tensor| x), "shape: `vjp`: the cotangent of the result must be f32[3], not f32[2]");
        at!(((vec![f32s([3])],), (vec![],)), jvp(|x: Vec<Tensor>| x), "tree: `jvp`: the arguments and the tangents have different structures: at `.0` a `Vec` of 1 and a `Vec` of 0");
        at!(((f32s([3]),), vec![f32s([2])]), vjp(|x: Tensor| vec![x, x]), "tree: `vjp`: the result and the cotangents have different structures: a `Vec` of 2 and a `Vec` of 1");
        at!((i32s([3]),), jacfwd(|x: Tensor| x), "dtype: `jacfwd` can't differentiate by argument 0, i32[3]: only floats have derivatives");
        at!((f32s([3]),), jacrev(|x: Tensor| x.gt(0)), "dtype: `jacrev` needs a function with a float result, not bool[3]");
    }

    #[test]
    fn batches() {
        at!((f32s([3]), f32s([4])), vmap(|x: Tensor, y: Tensor| x + y, 0), "axis: `vmap`: the mapped axes must have one length, and argument 0, f32[3], has 3 along axis 0; argument 1, f32[4], has 4 along axis 0");
        at!((f32s([3]),), vmap(|x: Tensor| x, 1), "axis: `vmap`: in_axes 1 is out of range for argument 0, f32[3]");
        at!((f32s([3]), (f32s([]), f32s([3]))), vmap(|x: Tensor, (_, y): (Tensor, Tensor)| x + y, (0, -1)), "axis: `vmap`: in_axes -1 is out of range for argument 1 at `.0`, f32[]");
        at!((f32s([3]),), vmap(|x: Tensor| x, None), "axis: `vmap` needs at least one mapped argument: every in_axes is None");
        at!((vec![f32s([3])],), vmap(|x: Vec<Tensor>| x, (vec![Some(0), None],)), "tree: `vmap`: in in_axes, 2 axes are given for 1 elements");
        at!((f32s([3]),), vmap_with(|x: Tensor| x, 0, 1), "axis: `vmap`: out_axes 1 is out of range for the result, f32[] per element");
        at!((f32s([3]),), vmap_with(|x: Tensor| (x, x), 0, (0, None)), "axis: `vmap` needs an axis in out_axes for the result at `.1`, f32[], not None");
    }
}

// Each check is one line, as above.
#[rustfmt::skip]
mod loops {
    use super::*;
    macro_rules! at {
        ($args:expr, $f:expr, $expected:literal) => { check(trace($f, &$args), line!(), $expected) };
    }

    #[test]
    fn scans() {
        at!((f32s([]), f32s([3])), |c: Tensor, xs: Tensor| scan(|c: Tensor, x: Tensor| (c.expand_dims(0) + x, x), c, xs), "shape: `scan`: what is carried is f32[] before a step and f32[1] after it");
        at!((f32s([]), f32s([3])), |c: Tensor, xs: Tensor| scan(|(i, c): (Tensor, Tensor), x: Tensor| ((i.convert(Dtype::F32), c), x), (full([], 1), c), xs), "dtype: `scan`: the carry at `.0` is i32[] before a step and f32[] after it");
        at!((f32s([]), f32s([3])), |c: Tensor, xs: Tensor| scan(|c: Vec<Tensor>, x: Tensor| (vec![c[0], c[0]], x), vec![c], xs), "tree: `scan`: what is carried has another structure after a step than before it");
        at!((f32s([]),), |c: Tensor| scan(|c: Tensor, x: Tensor| (c, x), c, c), "axis: `scan` goes over axis 0, which xs, f32[], doesn't have");
        at!((f32s([2]), f32s([3])), |x: Tensor, y: Tensor| scan(|c: Tensor, _: (Tensor, Tensor)| (c, c), x, (x, y)), "axis: `scan` needs one number of elements: xs at `.1`, f32[3], has 3, that of xs at `.0` is 2");
        at!((f32s([2]),), |x: Tensor| scan_with(|c: Tensor, x: Tensor| (c, x), x.sum(), x, ScanOptions { length: Some(4), reverse: false }), "axis: `scan` needs one number of elements: xs, f32[2], has 2, the length given is 4");
        at!((f32s([2]),), |x: Tensor| scan(|c: Tensor, _: Vec<Tensor>| (c, c), x, vec![]), "axis: `scan` over nothing needs `ScanOptions::length`");
        // The operator's own line, inside of a body.
        at!((f32s([2]),), |x: Tensor| scan(|c: Tensor, x: Tensor| (c.and(true), x), x.sum(), x), "dtype: `and`: the truth value true doesn't fit a tensor of f32: convert the tensor first");
    }

    #[test]
    fn other_loops() {
        at!((f32s([2]),), |x: Tensor| while_loop(|x: Tensor| x.lt(3), |x: Tensor| x + 1, x), "dtype: `while_loop`: the condition must give bool[], not bool[2]");
        at!((f32s([]),), |x: Tensor| while_loop(|x: Tensor| x, |x: Tensor| x + 1, x), "dtype: `while_loop`: the condition must give bool[], not f32[]");
        at!((f32s([]),), |x: Tensor| while_loop(|x: Tensor| x.lt(3), |x: Tensor| x.convert(Dtype::F64), x), "dtype: `while_loop`: what is carried is f32[] before a step and f64[] after it");
        at!((f32s([]),), |x: Tensor| fori_loop(0, x, |_: Tensor, x: Tensor| x, x), "dtype: `fori_loop`: the upper bound must be i32[], not f32[]");
        at!((f32s([]),), |x: Tensor| fori_loop(0, 3, |_: Tensor, x: Tensor| x.expand_dims(0), x), "shape: `fori_loop`: what is carried is f32[] before a step and f32[1] after it");
    }

    #[test]
    fn branches() {
        at!((f32s([]),), |x: Tensor| cond(x, |x: Tensor| x, |x: Tensor| x, (x,)), "dtype: `cond`: the predicate must be bool[], not f32[]");
        at!((f32s([2]),), |x: Tensor| cond(x.lt(0), |x: Tensor| x, |x: Tensor| x, (x,)), "dtype: `cond`: the predicate must be bool[], not bool[2]");
        at!((f32s([]),), |x: Tensor| cond(x.lt(0), |x: Tensor| (x, x.lt(0)), |x: Tensor| (x, x), (x,)), "dtype: `cond`: the result at `.1` is f32[] by on_false and bool[] by on_true");
        at!((f32s([]),), |x: Tensor| cond(x.lt(0), |x: Tensor| vec![x], |_: Tensor| Vec::<Tensor>::new(), (x,)), "tree: `cond`: the results of on_true have another structure than those of on_false");
        at!((f32s([]),), |x: Tensor| switch(x, [|x: Tensor| x], (x,)), "dtype: `switch`: the index must be one integer, not f32[]");
        at!((i32s([]),), |x: Tensor| switch(x, Vec::<fn(Tensor) -> Tensor>::new(), (x,)), "tree: `switch` needs a branch");
        at!((i32s([]),), |x: Tensor| switch(x, [|x: Tensor| x, |x: Tensor| x.expand_dims(0)] as [fn(Tensor) -> Tensor; 2], (x,)), "shape: `switch`: the result is i32[] by branch 0 and i32[1] by branch 1");
    }
}

/// How many steps there are isn't known when the derivative is made.
#[test]
fn loops_that_end_by_a_condition_have_no_gradient() {
    let line = line!() + 1;
    let f = |x: Tensor| while_loop(|x: Tensor| x.lt(3), |x: Tensor| 2 * x, x);
    let error = jit(grad(f))(&f32s([])).unwrap_err();
    assert_eq!(error.kind(), "missing_rule");
    assert!(error.to_string().contains("`while` has no reverse-mode derivative"), "{error}");
    assert!(matches!(error.report().at, Span::Rust(at) if at.line() == line), "{error}");
    let tangent = jit(move |x: Tensor| jvp(f)((x,), (ones_like(x),)).1)(&f32s([])).unwrap();
    assert_eq!(tangent.item::<f32>().unwrap(), 8.0);
}

#[test]
fn operands_are_traced_to_their_lines() {
    let made = line!() + 2;
    let f = |x: Tensor| {
        let y = x.sum_axes(0);
        x.reshape([6]) + y
    };
    let error = trace(f, &(f32s([2, 3]),)).unwrap_err();
    let note = &error.report().notes[1];
    assert_eq!(note.0, "operand 1, f32[3], was made here");
    assert!(matches!(note.1, Span::Rust(at) if at.line() == made), "{error}");
}

#[test]
fn tensors_do_not_outlive_their_trace() {
    let kept = std::rc::Rc::new(std::cell::Cell::new(None::<Tensor>));
    let inside = std::rc::Rc::clone(&kept);
    let keep = jit(move |x: Tensor| {
        inside.set(Some(x));
        x
    });
    keep(&f32s([])).unwrap();
    let stale = kept.get().unwrap();
    assert_eq!(format!("{stale:?}"), "Tensor(of an ended trace)");

    let error = jit(move |x: Tensor| x + stale)(&f32s([])).unwrap_err();
    assert_eq!(error.kind(), "trace");
    assert!(error.to_string().contains("this tensor's trace has ended"), "{error}");

    // Outside of any trace: a panic with the same text.
    let panic = std::panic::catch_unwind(move || stale.shape()).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("trace error: this tensor's trace has ended"));
    let panic = std::panic::catch_unwind(|| zeros([2], Dtype::F32)).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("tensors exist only while a function is traced"));
}

#[test]
fn a_tensor_of_an_inner_function_does_not_escape_it() {
    let f = jit(|x: Tensor| {
        let kept = std::rc::Rc::new(std::cell::Cell::new(None::<Tensor>));
        let inside = std::rc::Rc::clone(&kept);
        let y = vmap(
            move |x: Tensor| {
                inside.set(Some(x));
                x
            },
            0,
        )(x);
        y + kept.get().unwrap()
    });
    let error = f(&f32s([3])).unwrap_err();
    assert!(error.to_string().contains("this tensor's trace has ended"), "{error}");
}

#[test]
fn a_tensor_is_not_captured_by_a_function_run_on_arrays() {
    let f = jit(|x: Tensor| {
        let inner = jit(move |y: Tensor| x + y);
        let error = inner(&f32s([])).unwrap_err();
        assert!(error.to_string().contains("a tensor of an enclosing trace"), "{error}");
        inner.call((x,))
    });
    f(&f32s([])).unwrap();
}

#[test]
fn frames_are_popped_when_user_code_panics() {
    let f = jit(|x: Tensor| {
        let inner = vmap(|_: Tensor| -> Tensor { std::panic::resume_unwind(Box::new("user")) }, 0);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inner(x)));
        assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "user");
        x + 1
    });
    assert_eq!(f(&f32s([1])).unwrap().as_slice::<f32>().unwrap(), [1.5]);

    // A panic that isn't egrad's goes through the door as it is.
    let g = jit(|_: Tensor| -> Tensor { std::panic::resume_unwind(Box::new(7i32)) });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| g(&f32s([]))));
    assert_eq!(*caught.unwrap_err().downcast_ref::<i32>().unwrap(), 7);
    assert_eq!(f(&f32s([1])).unwrap().as_slice::<f32>().unwrap(), [1.5]);
}

#[test]
fn compiled_functions_check_their_arguments() {
    let f = jit(|x: Tensor, p: (Tensor, Vec<Tensor>)| x + p.0 + p.1[0]);
    let args = |x: Array, ys: Vec<Array>| (x, (f32s([]), ys));
    let g = f.compile(&args(f32s([2]), vec![f32s([])])).unwrap();
    let message = |args| g.call(&args).unwrap_err().to_string();
    assert_eq!(
        message(args(f32s([3]), vec![f32s([])])),
        "shape error: the function was compiled for argument 0 of type f32[2], not f32[3]"
    );
    assert_eq!(
        message(args(f32s([2]), vec![i32s([])])),
        "dtype error: the function was compiled for argument 1 at `.1[0]` of type f32[], not i32[]"
    );
    assert_eq!(
        message(args(f32s([2]), vec![])),
        "tree error: the function was compiled for a `Vec` of 1 as argument 1 at `.1`, not a `Vec` of 0"
    );
}

#[test]
fn argument_counts_of_traced_types() {
    let of = |n: usize| vec![Aval::new(Dtype::F32, []); n];
    let f = |x: Tensor, y: Tensor| x + y;
    assert_eq!(trace_avals(f, &of(1)).unwrap_err().kind(), "tree");
    assert_eq!(trace_avals(f, &of(3)).unwrap_err().kind(), "tree");
    assert_eq!(trace_avals(|x: Vec<Tensor>| x, &of(1)).unwrap_err().kind(), "tree");
}

#[test]
fn device_names() {
    assert_eq!("cpu".parse::<Device>().unwrap(), Device::Cpu);
    let error = "gpu".parse::<Device>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "device error: there is no device \"gpu\": it must be one of auto, interpreter, cpu, vulkan"
    );
}
