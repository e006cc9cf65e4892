//! Loops and branches on every device: the interpreter's numbers, as they are, batched, and
//! differentiated.

use egrad::*;

/// The devices to compare with the interpreter. Without a Vulkan device tests say so and do without;
/// with `EGRAD_REQUIRE_VULKAN=1` they fail.
fn devices() -> Vec<Device> {
    let required = std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some_and(|v| v == "1");
    match egrad_vulkan::Vulkan::new(egrad_vulkan::Selection::Any) {
        Ok(_) => vec![Device::Cpu, Device::Vulkan],
        Err(e) if required => panic!("EGRAD_REQUIRE_VULKAN is set: {e}"),
        Err(e) => {
            eprintln!("SKIPPED on Vulkan: {e}");
            vec![Device::Cpu]
        }
    }
}

type Binary = fn(Tensor, Tensor) -> Tensor;

fn numbers(shape: &[usize], seed: usize) -> Array {
    let n: usize = shape.iter().product();
    let data: Vec<f64> = (0..n).map(|i| ((i * 7919 + seed * 131 + 13) % 1009) as f64 / 500.0 - 1.0).collect();
    Array::from_f64(Dtype::F32, &data, shape).unwrap()
}

#[track_caller]
fn close(what: &str, got: &Array, want: &Array) {
    assert_eq!(got.aval(), want.aval(), "{what}");
    let scale = want.to_f64().iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (i, (g, w)) in got.to_f64().iter().zip(want.to_f64()).enumerate() {
        assert!((g - w).abs() <= 2e-5 * scale, "{what}: element {i} is {g}, not {w}");
    }
}

/// Runs a function of a parameter and a row, and what transforms make of it, on every device.
#[track_caller]
fn check(f: Binary, w: &[usize], x: &[usize], reverse: bool) {
    fn total(f: Binary) -> impl Fn(Tensor, Tensor) -> Tensor + Copy {
        move |w: Tensor, x: Tensor| f(w, x).sum()
    }
    fn directed(f: Binary) -> impl Fn(Tensor, Tensor) -> Tensor + Copy {
        move |w: Tensor, x: Tensor| jvp(move |w: Tensor| f(w, x))((w,), (w.cos(),)).1
    }
    let batch = |shape: &[usize]| [&[3], shape].concat();
    let devices = devices();
    let all = |what: &str, run: &dyn Fn(Device) -> Array| {
        let want = run(Device::Interpreter);
        for device in &devices {
            close(&format!("{what} on {device}"), &run(*device), &want);
        }
    };
    let (one, many) = ((numbers(w, 1), numbers(x, 2)), (numbers(&batch(w), 3), numbers(&batch(x), 4)));
    all("value", &|device| jit(f).device(device)(&one.0, &one.1).unwrap());
    all("vmap", &|device| jit(vmap(f, (0, 0))).device(device)(&many.0, &many.1).unwrap());
    all("vmap of rows", &|device| jit(vmap(f, (None, 0))).device(device)(&one.0, &many.1).unwrap());
    all("tangent", &|device| jit(directed(f)).device(device)(&one.0, &one.1).unwrap());
    if reverse {
        all("gradient", &|device| jit(grad(total(f))).device(device)(&one.0, &one.1).unwrap());
        all("gradients", &|device| jit(vmap(grad(total(f)), (0, 0))).device(device)(&many.0, &many.1).unwrap());
        let second =
            move |w: Tensor, x: Tensor| grad(move |w: Tensor, x: Tensor| grad(total(f))(w, x).sin().sum())(w, x);
        all("second derivative", &|device| jit(second).device(device)(&one.0, &one.1).unwrap());
    }
    for calls in [Calls::PushIn, Calls::Dispatch] {
        all(&format!("{calls:?}"), &|device| {
            let calls = if device == Device::Interpreter { Calls::Auto } else { calls };
            let options = Options { device, calls, ..Options::default() };
            jit(vmap(jit(f), (None, 0))).options(options)(&one.0, &many.1).unwrap()
        });
    }
}

/// A recurrent network over the rows of a sequence.
#[test]
fn recurrence() {
    fn network(w: Tensor, xs: Tensor) -> Tensor {
        let step = move |h: Tensor, x: Tensor| {
            let h = (h.matmul(w) + x).tanh();
            (h, h.sum())
        };
        let (last, ys) = scan(step, full([4], 0.1f32), xs);
        last.sum() + ys
    }
    check(network, &[4, 4], &[7, 4], true);
}

/// Backwards, without rows, and with none.
#[test]
fn directions_and_lengths() {
    fn back(w: Tensor, xs: Tensor) -> Tensor {
        let options = ScanOptions { reverse: true, ..ScanOptions::default() };
        let (c, ys) = scan_with(move |c: Tensor, x: Tensor| ((c * w).sin() + x, c * x), w, xs, options);
        ys + c
    }
    check(back, &[], &[5], true);
    fn counted(w: Tensor, x: Tensor) -> Tensor {
        fori_loop(1, 6, move |i: Tensor, c: Tensor| (c * w).sin() + i.convert(x.dtype()) * 0.1, x)
    }
    check(counted, &[3], &[3], true);
    fn none(w: Tensor, x: Tensor) -> Tensor {
        let (c, _) = scan(|c: Tensor, x: Tensor| (c + x, x), w, x);
        c * w
    }
    check(none, &[], &[0], true);
}

/// A loop in a loop, and branches in both.
#[test]
fn nested() {
    fn inner(w: Tensor, x: Tensor) -> Tensor {
        let step = move |c: Tensor, x: Tensor| {
            let c = cond(x.gt(0.0), |c: Tensor, x: Tensor| (c + x).sin(), |c: Tensor, _: Tensor| c * 0.9, (c, x));
            (fori_loop(0, 3, move |_: Tensor, c: Tensor| (c * w).tanh() + 0.1, c), c)
        };
        let (c, ys) = scan(step, w.sin(), x);
        ys * c
    }
    check(inner, &[], &[6], true);
    fn one_of(w: Tensor, x: Tensor) -> Tensor {
        let step = move |c: Tensor, x: Tensor| {
            let i = (x * 2.9).convert(Dtype::I32);
            let branches: [fn(Tensor, Tensor) -> Tensor; 3] = [
                |c, x| c * x,
                |c, x| (c + x).cos(),
                |c, x| fori_loop(0, 2, move |_: Tensor, c: Tensor| (c + x).sin(), c),
            ];
            let c = switch(i, branches, (c, x));
            (c * w.sum(), c)
        };
        scan(step, w.sum(), x).1
    }
    check(one_of, &[2], &[6], true);
}

/// Loops that end by a condition, that begin or not, in loops and around them.
#[test]
fn conditions() {
    fn root(w: Tensor, x: Tensor) -> Tensor {
        let square = x * x + w * w + 0.5;
        let more = move |(i, y): (Tensor, Tensor)| i.lt(40).and((y * y - square).abs().max().gt(1e-5));
        while_loop(more, move |(i, y): (Tensor, Tensor)| (i + 1, 0.5 * (y + square / y)), (full([], 0), square)).1
    }
    check(root, &[], &[5], false);
    fn in_a_loop(w: Tensor, x: Tensor) -> Tensor {
        let step = move |c: Tensor, x: Tensor| {
            let shrunk = while_loop(|c: Tensor| c.abs().gt(0.3), |c: Tensor| c * 0.7, c + x);
            (shrunk + w.sin(), shrunk)
        };
        scan(step, w, x).1
    }
    check(in_a_loop, &[], &[6], false);
    fn around(w: Tensor, x: Tensor) -> Tensor {
        let step = move |c: Tensor| scan(|c: Tensor, x: Tensor| ((c + x).sin() * 0.8, c), c * w, x).0 + 1.1;
        let (_, c) = while_loop(
            |(i, c): (Tensor, Tensor)| i.lt(9).and(c.lt(100.0)),
            move |(i, c): (Tensor, Tensor)| {
                let inner = while_loop(|c: Tensor| c.gt(2.0), |c: Tensor| c * 0.5, c);
                (i + 1, step(inner))
            },
            (full([], 0), x.sum()),
        );
        c
    }
    check(around, &[], &[4], false);
}
