//! Random programs under nested transforms: the CPU's results are the interpreter's, those of
//! explicit loops over the examples, and agree with differences of the values.

use egrad::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::rc::Rc;

/// The same cases on every run; more of them with `PROPTEST_CASES`, others with `PROPTEST_RNG_SEED`.
fn config(cases: u32, seed: u64) -> ProptestConfig {
    let given = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let cases = given("PROPTEST_CASES").map_or(cases, |n: u64| n as u32);
    let rng_seed = RngSeed::Fixed(given("PROPTEST_RNG_SEED").unwrap_or(seed));
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

/// A program as the choices it is drawn from, so that a failure shrinks; zeros when they run out.
fn choices(most: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 6..most)
}

/// What is left of them.
struct Choices<'a>(&'a [u16]);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % n
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
    /// None and ones, multiples of no vector's length, and now and then an axis of length 0.
    fn shape(&mut self, empty: bool) -> Vec<usize> {
        let rank = self.pick(&[1, 0, 2, 2, 3]);
        let lengths: &[usize] = if empty { &[3, 1, 0, 2] } else { &[3, 1, 5, 2, 7, 4, 9] };
        (0..rank).map(|_| self.pick(lengths)).collect()
    }
}

/// What programs are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ops {
    /// Differentiable nearly everywhere, with differences that tell the derivative.
    Smooth,
    /// Those, and steps, integers, bools and what has no derivative.
    All,
    /// Those, and loops that have no derivative in reverse mode.
    Forward,
}

/// Tensors of more elements than this are not made.
const LARGEST: usize = 600;

/// A program of two tensors.
#[derive(Clone)]
struct Program {
    choices: Rc<[u16]>,
    ops: Ops,
    /// Whether its loops are loops; else each step is written out, and every branch.
    looped: bool,
}

impl Program {
    /// The last value it makes, by way of all the others that led there.
    fn run(&self, w: Tensor, x: Tensor) -> Tensor {
        let mut choices = Choices(&self.choices);
        let mut values = vec![x, w, (x.sum() + w.sin().sum()).tanh()];
        while !choices.0.is_empty() {
            let from = values[values.len() - 1 - choices.below(values.len().min(4))];
            let y = self.grow(&mut choices, &values, from);
            if y.size() <= LARGEST && y.rank() <= 5 {
                values.push(y);
            }
        }
        values[values.len() - 1]
    }

    /// The same as one number.
    fn scalar(&self, w: Tensor, x: Tensor) -> Tensor {
        self.run(w, x).sum()
    }

    fn grow(&self, choices: &mut Choices<'_>, values: &[Tensor], x: Tensor) -> Tensor {
        let (rank, shape, dtype) = (x.rank(), x.shape().to_vec(), x.dtype());
        let some_axes = |choices: &mut Choices<'_>| (0..rank).filter(|_| choices.below(2) == 0).collect::<Vec<_>>();
        // A value that broadcasts against x, or its sum.
        let other = |choices: &mut Choices<'_>| {
            let y = values[choices.below(values.len())];
            let fits = |(a, b): (&usize, &usize)| a == b || *a == 1 || *b == 1;
            let size = |(a, b): (&usize, &usize)| *a.max(b);
            let pairs =
                || y.shape().to_vec().into_iter().rev().zip(shape.clone().into_iter().rev()).collect::<Vec<_>>();
            let large: usize = pairs().iter().map(|(a, b)| size((a, b))).product();
            if pairs().iter().all(|(a, b)| fits((a, b))) && large <= LARGEST { y } else { y.sum().tanh() }
        };
        let steps = match self.ops {
            Ops::Smooth => 24,
            Ops::All => 30,
            Ops::Forward => 31,
        };
        match choices.below(steps) {
            0 => x.sin(),
            1 => choices.pick::<fn(Tensor) -> Tensor>(&[
                Tensor::cos,
                Tensor::tanh,
                Tensor::sigmoid,
                |x| -x,
                Tensor::atan,
                Tensor::erf,
                |x| x.tanh().erfc(),
                |x| (0.9 * x.sin()).asin(),
                |x| (0.9 * x.sin()).acos(),
                |x| (0.9 * x.sin()).erf_inv(),
                Tensor::gelu,
            ])(x),
            2 => {
                let positive = x.powi(2) + 1;
                choices.pick::<fn(Tensor) -> Tensor>(&[
                    Tensor::log,
                    Tensor::sqrt,
                    Tensor::rsqrt,
                    Tensor::log1p,
                    |x| (x.cos() + 1.5).lgamma(),
                    |x| (x.sin() + 2).digamma(),
                ])(positive)
            }
            3 => choices.pick::<fn(Tensor) -> Tensor>(&[Tensor::exp, Tensor::expm1, Tensor::softplus])(x.tanh()),
            4 => x + other(choices),
            5 => x * other(choices).sin(),
            6 => (other(choices) - 0.3 * x).sin(),
            7 => match choices.below(2) {
                0 => x / (other(choices).cos() + 2),
                _ => x.atan2(other(choices).cos() + 2),
            },
            8 => (x.sin() + 2).pow(other(choices).tanh()),
            9 => x.tanh().powi(choices.pick(&[2, 3, 4])),
            10 => {
                let axes = some_axes(choices);
                match choices.below(5) {
                    0 => x.sum_axes(axes).sin(),
                    3 => x.tanh().prod_axes(axes),
                    1 => x.sum_keepdims(axes).tanh(),
                    2 => x.logsumexp_axes(axes).tanh(),
                    _ => x.powi(2).sum_axes(axes).cos(),
                }
            }
            11 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                for i in (1..rank).rev() {
                    perm.swap(i, choices.below(i + 1));
                }
                x.transpose(perm)
            }
            12 => match choices.below(3) {
                0 => x.flatten(),
                1 if rank >= 2 => x.reshape([&[shape[0] * shape[1]], &shape[2..]].concat()),
                _ => match shape.iter().position(|n| *n % 2 == 0 && *n > 0) {
                    Some(i) => x.reshape([&shape[..i], &[2, shape[i] / 2], &shape[i + 1..]].concat()),
                    None => x.expand_dims(choices.below(rank + 1)),
                },
            },
            13 => {
                let mut wide = shape.clone();
                wide.insert(0, choices.pick(&[2, 1, 3]));
                if wide.iter().product::<usize>() <= LARGEST { x.broadcast_to(wide) } else { x }
            }
            14 => {
                let y = values[choices.below(values.len())];
                match (rank, y.rank()) {
                    (0, _) | (_, 0) => x * y.cos(),
                    (_, 1) if y.shape()[0] == shape[rank - 1] => x.matmul(y).tanh(),
                    (1..3, 2) if y.shape()[0] == shape[rank - 1] => x.matmul(y).sin(),
                    (1, _) => x.dot(x).cos(),
                    _ => x.matmul(x.swap_axes(-1, -2)).tanh(),
                }
            }
            15 if rank > 0 => x.softmax(-1),
            16 if rank > 0 => x * iota(shape, choices.below(rank) as isize, dtype).cos(),
            15..=17 => x.sin() + 0.5,
            18..=23 => self.control(choices, values, x),
            // From here on with steps.
            24 => {
                let other = other(choices);
                let integers: [fn(Tensor, Tensor) -> Tensor; 8] = [
                    |n, _| n,
                    |n, m| n.div_trunc(m),
                    |n, m| n % m,
                    |n, m| n.floor_div(m) + n.modulo(m),
                    |n, m| n ^ m,
                    |n, m| (n << m) >> 3,
                    |n, m| n.shift_right_logical(m + 28),
                    |n, m| n >> m,
                ];
                let types = [Dtype::I32, Dtype::I64, Dtype::U32, Dtype::U8];
                let pick = choices.below(integers.len() * types.len());
                let (operation, integer) = (integers[pick % integers.len()], types[pick / integers.len()]);
                // By way of a signed type: what is below 0 wraps around.
                let whole = |x: Tensor| x.convert(Dtype::I32).convert(integer);
                operation(whole(x * 2.7 + 0.31), whole(other * 5.3)).convert(dtype).sin() + x
            }
            25 => x.lt(0.37 * other(choices) + 0.1).select(other(choices).sum().sin(), x),
            26 => {
                let (y, z) = (other(choices), other(choices));
                let p = x.ge(0.11).and(y.sum().gt(0.05)).or(z.sum().sin().not_equal(0.123));
                (!p).select(x, x.sum().sin())
            }
            27 => match choices.below(5) {
                0 => x.maximum(other(choices)),
                1 => x % (other(choices).cos() + 1.3),
                2 => x.modulo(other(choices).cos() - 1.3),
                3 => (x * 3.3).floor() - x.ceil(),
                _ => (x * 5.1).round() + x,
            },
            28 => x * x.stop_gradient() + x.abs().minimum(0.4),
            29 => {
                let axes = some_axes(choices);
                x.max_axes(axes)
            }
            _ => self.repeated(choices, values, x),
        }
    }

    /// A part of a program, as a function: the last of what it makes of some values.
    fn part(&self, choices: &mut Choices<'_>, values: &[Tensor]) -> impl Fn(&[Tensor]) -> Tensor + Clone + 'static {
        let n = (1 + choices.below(6)).min(choices.0.len());
        let (own, rest) = choices.0.split_at(n);
        choices.0 = rest;
        let (program, own, captured) = (self.clone(), own.to_vec(), values[values.len().saturating_sub(2)..].to_vec());
        move |given| {
            let mut choices = Choices(&own);
            let mut values = [&captured[..], given].concat();
            while !choices.0.is_empty() {
                let from = values[values.len() - 1 - choices.below(given.len() + 1)];
                let y = program.grow(&mut choices, &values, from);
                if y.size() <= LARGEST / 4 && y.rank() <= 4 {
                    values.push(y);
                }
            }
            values[values.len() - 1]
        }
    }

    /// A loop or a branch.
    fn control(&self, choices: &mut Choices<'_>, values: &[Tensor], x: Tensor) -> Tensor {
        let init = values[choices.below(values.len())];
        let step = self.part(choices, values);
        // What is carried keeps its type, and neither it nor its derivatives grow.
        let mean = |y: Tensor| y.sum() / (1 + y.size()) as f64;
        let carried = move |c: Tensor, y: Tensor| (0.5 * c + 0.3 * mean(y).sin()).sin();
        match choices.below(4) {
            0 => {
                let (n, reverse) = (x.shape().first().copied(), choices.below(2) == 0);
                let (n, xs) = n.map_or((choices.below(4), None), |n| (n, Some(x)));
                let size = n * (x.size() / n.max(1)).max(init.size());
                let step = move |c: Tensor, x: Option<Tensor>| {
                    let y = step(&[c, x.unwrap_or(c)]);
                    (carried(c, y), if size.max(n * y.size()) > LARGEST { mean(y) } else { y })
                };
                let (last, ys) = self.scan(step, init, xs, n, reverse);
                ys + mean(last).cos()
            }
            1 => {
                let (lower, upper) = (choices.below(3) as i32, choices.below(6) as i32);
                let step = move |i: Tensor, c: Tensor| carried(c, step(&[c, c * (i.convert(c.dtype()) * 0.3).cos()]));
                if self.looped {
                    return fori_loop(lower, upper, step, init);
                }
                let index = |i: i32| full([], i);
                (lower..upper).fold(init, |c, i| step(index(i), c))
            }
            2 => {
                let (p, other) = (x.sum().sin().gt(0.123), self.part(choices, values));
                let on_true = move |c: Tensor, x: Tensor| carried(c, step(&[c, x]));
                let on_false = move |c: Tensor, x: Tensor| carried(c, other(&[x, c]).cos());
                if self.looped {
                    return cond(p, on_true, on_false, (init, x));
                }
                p.select(on_true(init, x), on_false(init, x))
            }
            _ => {
                let i = (x.sum().sin() * 2.9).convert(Dtype::I32);
                let parts = [step.clone(), self.part(choices, values), step];
                let branches = parts.map(|part| move |c: Tensor, x: Tensor| carried(c, part(&[c, x])));
                if self.looped {
                    return switch(i, branches, (init, x));
                }
                let [a, b, c] = branches.map(|branch| branch(init, x));
                i.lt(1).select(a, i.lt(2).select(b, c))
            }
        }
    }

    /// A scan, or its steps one by one.
    fn scan(
        &self,
        step: impl Fn(Tensor, Option<Tensor>) -> (Tensor, Tensor) + 'static,
        init: Tensor,
        xs: Option<Tensor>,
        n: usize,
        reverse: bool,
    ) -> (Tensor, Tensor) {
        if self.looped || n == 0 {
            return scan_with(step, init, xs, ScanOptions { length: Some(n), reverse });
        }
        let (mut c, mut ys) = (init, vec![None; n]);
        for k in 0..n {
            let i = if reverse { n - 1 - k } else { k };
            let element = |xs: Tensor| {
                let here = iota(xs.shape().to_vec(), 0, Dtype::I32).equal(i as i32);
                here.select(xs, 0).sum_axes([0])
            };
            let (next, y) = step(c, xs.map(element));
            (c, ys[i]) = (next, Some(y));
        }
        let ys: Vec<Tensor> = ys.into_iter().flatten().collect();
        (c, stack(&ys, 0))
    }

    /// A loop that ends by a condition.
    fn repeated(&self, choices: &mut Choices<'_>, values: &[Tensor], x: Tensor) -> Tensor {
        const MOST: i32 = 5;
        let (init, step) = (values[choices.below(values.len())], self.part(choices, values));
        let until = (x.sum().sin() * 3.0).convert(Dtype::I32);
        let more = move |i: Tensor, c: Tensor| i.lt(MOST).and(i.lt(until).or(c.sum().lt(0.2)));
        let step = move |i: Tensor, c: Tensor| (i + 1, (0.5 * c + step(&[c, c]).sum().sin()).sin());
        let zero = full([], 0);
        if self.looped {
            return while_loop(move |(i, c): (Tensor, Tensor)| more(i, c), move |(i, c)| step(i, c), (zero, init)).1;
        }
        let (mut i, mut c, mut on) = (zero, init, more(zero, init));
        for _ in 0..MOST {
            let next = step(i, c);
            (i, c) = (on.select(next.0, i), on.select(next.1, c));
            on = on.and(more(i, c));
        }
        c
    }
}

/// Numbers between -1 and 1 (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn array(&mut self, dtype: Dtype, shape: &[usize]) -> Array {
        let unit = |bits: u64| (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        let data: Vec<f64> = (0..shape.iter().product()).map(|_| unit(self.bits())).collect();
        Array::from_f64(dtype, &data, shape).unwrap()
    }
    /// The same with whatever is odd among it.
    fn wild(&mut self, dtype: Dtype, shape: &[usize]) -> Array {
        const ODD: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-40, 1e30, -1.0];
        let mut data = self.array(dtype, shape).to_f64();
        for x in &mut data {
            if self.bits().is_multiple_of(5) {
                *x = ODD[(self.bits() % 8) as usize];
            }
        }
        Array::from_f64(dtype, &data, shape).unwrap()
    }
}

/// Element `i` along an axis, which may count from the end; the whole where there is no axis.
fn element(a: &Array, axis: Option<isize>, i: usize) -> Array {
    let Some(axis) = axis else { return a.clone() };
    let shape = a.shape().to_vec();
    let axis = axis.rem_euclid(shape.len() as isize) as usize;
    let inner: usize = shape[axis + 1..].iter().product();
    let data: Vec<f64> =
        a.to_f64().into_iter().enumerate().filter(|(k, _)| k / inner % shape[axis] == i).map(|(_, x)| x).collect();
    let left: Vec<usize> = [&shape[..axis], &shape[axis + 1..]].concat();
    Array::from_f64(a.dtype(), &data, left).unwrap()
}

/// The shape of `n` such elements along an axis.
fn batched(shape: &[usize], axis: Option<isize>, n: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if let Some(axis) = axis {
        let rank = shape.len() as isize + 1;
        shape.insert(axis.rem_euclid(rank) as usize, n);
    }
    shape
}

/// An axis for a batch of tensors of this rank.
fn axis(choices: &mut Choices<'_>, rank: usize) -> isize {
    if rank == 0 { choices.pick(&[0, -1]) } else { choices.pick(&[0, 1, -1]) }
}

/// Axes for two arguments, not both None.
fn axes(choices: &mut Choices<'_>, w: usize, x: usize) -> (Option<isize>, Option<isize>) {
    let (aw, ax) = (axis(choices, w), axis(choices, x));
    match choices.below(3) {
        0 => (None, Some(ax)),
        1 => (Some(aw), None),
        _ => (Some(aw), Some(ax)),
    }
}

type Binary = Box<dyn Fn(Tensor, Tensor) -> Tensor>;

fn run(f: Binary, device: Device, numerics: Numerics, w: &Array, x: &Array) -> Array {
    let options = Options { device, numerics, ..Options::default() };
    jit(f).options(options)(w, x).unwrap_or_else(|e| panic!("on {device}: {e}"))
}

fn interpret(f: Binary, w: &Array, x: &Array) -> Array {
    run(f, Device::Interpreter, Numerics::Fast, w, x)
}

/// Runs on the CPU what `make` makes, and asserts that it is what the interpreter computes.
#[track_caller]
fn on_cpu(make: &dyn Fn() -> Binary, w: &Array, x: &Array) -> Array {
    let got = run(make(), Device::Cpu, Numerics::Fast, w, x);
    close("CPU and interpreter", &got, 1e-9, w, x, &|w, x| interpret(make(), w, x));
    got
}

/// Asserts that an array is what `reference` gives of w and x, within a share of the largest entry, NaN and
/// infinities exactly. Where rounding decides (steps of a loop may double an error each), within what the
/// reference itself moves when its operands do by 2⁻⁴⁶ of themselves.
#[track_caller]
fn close(what: &str, got: &Array, tolerance: f64, w: &Array, x: &Array, reference: &dyn Fn(&Array, &Array) -> Array) {
    let want = reference(w, x);
    assert_eq!(got.aval(), want.aval(), "{what}");
    let (got, want) = (got.to_f64(), want.to_f64());
    let scale = largest(&want).max(1.0);
    let Some(i) = (0..got.len()).find(|i| differ(got[*i], want[*i], tolerance * scale)) else { return };
    let moved = reference(&nudged(w), &nudged(x)).to_f64();
    let moves = largest(&moved.iter().zip(&want).map(|(m, w)| m - w).collect::<Vec<_>>());
    let bad = (0..got.len()).find(|i| differ(got[*i], want[*i], tolerance * scale + 4.0 * moves));
    assert!(bad.is_none(), "{what}: element {i} is {}, not {}; an ulp moves it by {moves}", got[i], want[i]);
    eprintln!("rounding decides: {what}: element {i} is {}, not {}; an ulp moves it by {moves}", got[i], want[i]);
}

fn differ(a: f64, b: f64, by: f64) -> bool {
    let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= by;
    !same
}

/// The largest size among those that are finite.
fn largest(a: &[f64]) -> f64 {
    a.iter().filter(|x| x.is_finite()).fold(0.0, |m: f64, x| m.max(x.abs()))
}

/// Every number a few ulps larger or smaller.
fn nudged(a: &Array) -> Array {
    let by = |i: usize| 1.0 + [1.0, -1.0, -1.0][i % 3] * 2f64.powi(-46);
    let data: Vec<f64> = a.to_f64().iter().enumerate().map(|(i, x)| x * by(i)).collect();
    Array::from_f64(a.dtype(), &data, a.shape().clone()).unwrap()
}

/// a + t·b.
fn along(a: &Array, t: f64, b: &Array) -> Array {
    let data: Vec<f64> = a.to_f64().iter().zip(b.to_f64()).map(|(a, b)| a + t * b).collect();
    Array::from_f64(a.dtype(), &data, a.shape().clone()).unwrap()
}

fn dot(a: &Array, b: &Array) -> f64 {
    a.to_f64().iter().zip(b.to_f64()).map(|(a, b)| a * b).sum()
}

/// Slopes at 0 by central differences, and how far wider and narrower ones are from them: infinitely far
/// where they don't converge, as of the sine of something very steep.
fn slopes(at: &dyn Fn(f64) -> Vec<f64>) -> (Vec<f64>, f64) {
    let slope = |h: f64| at(h).iter().zip(at(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect::<Vec<_>>();
    let [near, wide, narrow] = [1e-6, 2e-6, 5e-7].map(slope);
    let far = |other: &[f64]| largest(&near.iter().zip(other).map(|(a, b)| a - b).collect::<Vec<_>>());
    let doubt = far(&wide).max(far(&narrow));
    if doubt <= 1e-2 * largest(&near).max(1.0) {
        return (near, doubt);
    }
    eprintln!("differences tell nothing: {near:?}, {wide:?}, {narrow:?}");
    (near, f64::INFINITY)
}

impl Program {
    fn value(&self) -> Binary {
        let p = self.clone();
        Box::new(move |w, x| p.run(w, x))
    }
    fn total(&self) -> Binary {
        let p = self.clone();
        Box::new(move |w, x| p.scalar(w, x))
    }
    fn gradient(&self) -> Binary {
        let p = self.clone();
        grad(move |w: Tensor, x: Tensor| p.scalar(w, x))
    }
    /// The mean of the scalars of a batch of x's.
    fn mean(&self, axis: isize) -> Binary {
        let p = self.clone();
        Box::new(move |w, xs| {
            let p = p.clone();
            vmap(move |w: Tensor, x: Tensor| p.scalar(w, x), (None, Some(axis)))(w, xs).mean()
        })
    }
    /// The gradient of a number made of the gradient.
    fn second(&self) -> Binary {
        let p = self.clone();
        grad(move |w: Tensor, x: Tensor| p.gradient()(w, x).sin().sum())
    }
    /// What becomes of the value along the direction (cos w, cos x).
    fn tangent(&self) -> Binary {
        let p = self.clone();
        Box::new(move |w: Tensor, x: Tensor| jvp(p.value())((w, x), (w.cos(), x.cos())).1)
    }
    /// The same with no loops or branches.
    fn written_out(&self) -> Program {
        Program { looped: false, ..self.clone() }
    }
    /// What becomes of the gradient along the direction (cos w, cos x).
    fn pushed(&self) -> Binary {
        let p = self.clone();
        Box::new(move |w: Tensor, x: Tensor| jvp(p.gradient())((w, x), (w.cos(), x.cos())).1)
    }
}

/// A random program, the shapes it is for, and choices for what is done with it.
struct Case<'a> {
    program: Program,
    w: Vec<usize>,
    x: Vec<usize>,
    pick: Choices<'a>,
    numbers: Numbers,
}

impl Case<'_> {
    fn new<'a>(program: &[u16], pick: &'a [u16], ops: Ops) -> Case<'a> {
        let mut pick = Choices(pick);
        let empty = pick.below(8) == 0;
        let (w, x) = (pick.shape(empty), pick.shape(empty));
        let seed = program.iter().fold(7, |h: u64, c| h.wrapping_mul(31).wrapping_add(u64::from(*c)));
        Case { program: Program { choices: program.into(), ops, looped: true }, w, x, pick, numbers: Numbers(seed) }
    }

    fn axes(&mut self) -> (Option<isize>, Option<isize>) {
        axes(&mut self.pick, self.w.len(), self.x.len())
    }

    /// Arguments for `n` elements along these axes, in f64.
    fn arguments(&mut self, axes: (Option<isize>, Option<isize>), n: usize) -> (Array, Array) {
        let (w, x) = (batched(&self.w, axes.0, n), batched(&self.x, axes.1, n));
        (self.numbers.array(Dtype::F64, &w), self.numbers.array(Dtype::F64, &x))
    }
}

/// Whether there is a Vulkan device. Without one, tests skip and say so; with `EGRAD_REQUIRE_VULKAN=1`
/// they fail.
fn there_is_vulkan() -> bool {
    let required = std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some_and(|v| v == "1");
    match egrad_vulkan::Vulkan::new(egrad_vulkan::Selection::Any) {
        Ok(_) => true,
        Err(e) if required => panic!("EGRAD_REQUIRE_VULKAN is set: {e}"),
        Err(e) => {
            eprintln!("SKIPPED: {e}");
            false
        }
    }
}

proptest! {
    #![proptest_config(config(120, 1))]

    /// `jit(vmap(grad f))`, with the batch along any axis of the arguments and of the result.
    #[test]
    fn gradients_of_each_example(program in choices(26), pick in choices(30)) {
        let mut case = Case::new(&program, &pick, Ops::All);
        let (axes, out, n) = (case.axes(), axis(&mut case.pick, case.w.len()), 1 + case.pick.below(5));
        let (w, x) = case.arguments(axes, n);
        let all = on_cpu(&|| vmap_with(case.program.gradient(), axes, out), &w, &x);
        for i in 0..n {
            let (w, x, got) = (element(&w, axes.0, i), element(&x, axes.1, i), element(&all, Some(out), i));
            close("vmap and loop", &got, 1e-9, &w, &x, &|w, x| interpret(case.program.gradient(), w, x));
        }
    }

    /// The gradient itself, against differences along a direction.
    #[test]
    fn gradients_are_slopes(program in choices(32), pick in choices(20)) {
        let mut case = Case::new(&program, &pick, Ops::Smooth);
        let (w, x) = case.arguments((None, None), 1);
        let direction = case.numbers.array(Dtype::F64, &case.w);
        let gradient = on_cpu(&|| case.program.gradient(), &w, &x);
        let value = interpret(case.program.total(), &w, &x).item::<f64>().unwrap();
        let (slope, doubt) = slopes(&|t| interpret(case.program.total(), &along(&w, t, &direction), &x).to_f64());
        let (got, tolerance) = (dot(&gradient, &direction), 1e-5 * slope[0].abs().max(value.abs()).max(1.0));
        prop_assert!(!differ(got, slope[0], tolerance + doubt), "{got} is not {}", slope[0]);
    }

    /// `grad(mean(vmap f))` and `vmap(grad(mean(vmap f)))`: an inner batch of x's.
    #[test]
    fn gradients_through_batches(program in choices(22), pick in choices(30)) {
        let mut case = Case::new(&program, &pick, Ops::All);
        let (inner, m) = (axis(&mut case.pick, case.x.len()), 1 + case.pick.below(4));
        // The mean of what loops over the batch give.
        let program = case.program.clone();
        let reference = |w: &Array, xs: &Array| {
            let mut sum = vec![0.0; w.shape().size()];
            for i in 0..m {
                let one = interpret(program.gradient(), w, &element(xs, Some(inner), i));
                one.to_f64().iter().zip(&mut sum).for_each(|(g, s)| *s += g / m as f64);
            }
            Array::from_f64(Dtype::F64, &sum, w.shape().clone()).unwrap()
        };
        let xs = batched(&case.x, Some(inner), m);
        let (aw, ax) = axes(&mut case.pick, case.w.len(), xs.len());
        let (w, x) = (case.numbers.array(Dtype::F64, &case.w), case.numbers.array(Dtype::F64, &xs));
        let mean = on_cpu(&|| grad(case.program.mean(inner)), &w, &x);
        close("grad(mean(vmap)) and loop", &mean, 1e-9, &w, &x, &reference);

        let n = 1 + case.pick.below(3);
        let w = case.numbers.array(Dtype::F64, &batched(&case.w, aw, n));
        let x = case.numbers.array(Dtype::F64, &batched(&xs, ax, n));
        let all = on_cpu(&|| vmap(grad(case.program.mean(inner)), (aw, ax)).boxed(), &w, &x);
        for i in 0..n {
            let (w, x, got) = (element(&w, aw, i), element(&x, ax, i), element(&all, Some(0), i));
            close("vmap(grad(vmap)) and loops", &got, 1e-9, &w, &x, &reference);
        }
    }

    /// `grad(grad f)` and `jvp(grad f)`, against differences of the gradient, and batched.
    #[test]
    fn second_derivatives(program in choices(18), pick in choices(20)) {
        let mut case = Case::new(&program, &pick, Ops::Smooth);
        let (w, x) = case.arguments((None, None), 1);
        let direction = case.numbers.array(Dtype::F64, &case.w);

        let second = on_cpu(&|| case.program.second(), &w, &x);
        let (slope, doubt) = slopes(&|t| {
            let gradient = interpret(case.program.gradient(), &along(&w, t, &direction), &x);
            vec![gradient.to_f64().iter().map(|g| g.sin()).sum()]
        });
        let (got, tolerance) = (dot(&second, &direction), 1e-4 * slope[0].abs().max(1.0));
        prop_assert!(!differ(got, slope[0], tolerance + doubt), "grad(grad) gives {got}, not {}", slope[0]);

        let pushed = on_cpu(&|| case.program.pushed(), &w, &x);
        let cosine = |a: &Array| Array::from_f64(Dtype::F64, &a.to_f64().iter().map(|x| x.cos()).collect::<Vec<_>>(), a.shape().clone()).unwrap();
        let (dw, dx) = (cosine(&w), cosine(&x));
        let (slope, doubt) =
            slopes(&|t| interpret(case.program.gradient(), &along(&w, t, &dw), &along(&x, t, &dx)).to_f64());
        let tolerance = 1e-4 * largest(&slope).max(1.0) + doubt;
        for (got, slope) in pushed.to_f64().iter().zip(&slope) {
            prop_assert!(!differ(*got, *slope, tolerance), "jvp(grad) gives {got}, not {slope}");
        }

        let axes = case.axes();
        let (w, x) = case.arguments(axes, 2);
        for make in [Program::second, Program::pushed] {
            let all = on_cpu(&|| vmap(make(&case.program), axes).boxed(), &w, &x);
            for i in 0..2 {
                let (w, x, got) = (element(&w, axes.0, i), element(&x, axes.1, i), element(&all, Some(0), i));
                let loops = |w: &Array, x: &Array| interpret(make(&case.program), w, x);
                close("vmap of second derivatives and loop", &got, 1e-9, &w, &x, &loops);
            }
        }
    }

    /// `vmap(vmap f)`, with the batches along mixed axes.
    #[test]
    fn batches_of_batches(program in choices(30), pick in choices(30)) {
        let mut case = Case::new(&program, &pick, Ops::All);
        let ((iw, ix), n, m) = (case.axes(), 1 + case.pick.below(4), 1 + case.pick.below(4));
        let inner = (batched(&case.w, iw, n), batched(&case.x, ix, n));
        let (ow, ox) = axes(&mut case.pick, inner.0.len(), inner.1.len());
        let w = case.numbers.array(Dtype::F64, &batched(&inner.0, ow, m));
        let x = case.numbers.array(Dtype::F64, &batched(&inner.1, ox, m));
        let out = case.pick.pick(&[0, 1, -1]);
        let all = on_cpu(&|| vmap_with(vmap(case.program.value(), (iw, ix)), (ow, ox), out), &w, &x);
        for j in 0..m {
            let (w, x, all) = (element(&w, ow, j), element(&x, ox, j), element(&all, Some(out), j));
            for i in 0..n {
                let (w, x, got) = (element(&w, iw, i), element(&x, ix, i), element(&all, Some(0), i));
                close("vmap(vmap) and loops", &got, 1e-9, &w, &x, &|w, x| interpret(case.program.value(), w, x));
            }
        }
    }

    /// Loops and branches compute what their steps and branches do written out, and so do what
    /// transforms make of them.
    #[test]
    fn loops_are_their_steps(program in choices(26), pick in choices(20)) {
        let mut case = Case::new(&program, &pick, Ops::All);
        let (axes, n) = (case.axes(), 1 + case.pick.below(3));
        let (w, x) = case.arguments(axes, n);
        let written_out = case.program.written_out();
        for make in [Program::value, Program::tangent, Program::gradient, Program::second, Program::pushed] {
            let got = on_cpu(&|| vmap(make(&case.program), axes).boxed(), &w, &x);
            let steps = |w: &Array, x: &Array| interpret(vmap(make(&written_out), axes).boxed(), w, x);
            close("loop and steps", &got, 1e-9, &w, &x, &steps);
        }
    }

    /// As that, of loops that end by a condition, perhaps another one for each element of a batch.
    #[test]
    fn loops_with_conditions_are_their_steps(program in choices(26), pick in choices(20)) {
        let mut case = Case::new(&program, &pick, Ops::Forward);
        let (axes, n) = (case.axes(), 1 + case.pick.below(3));
        let (w, x) = case.arguments(axes, n);
        let written_out = case.program.written_out();
        for make in [Program::value, Program::tangent] {
            let got = on_cpu(&|| vmap(make(&case.program), axes).boxed(), &w, &x);
            let steps = |w: &Array, x: &Array| interpret(vmap(make(&written_out), axes).boxed(), w, x);
            close("loop and steps", &got, 1e-9, &w, &x, &steps);
        }
    }

    /// Programs with loops and branches on a Vulkan device, batched and differentiated.
    #[test]
    fn loops_on_vulkan(program in choices(18), pick in choices(20)) {
        // Each takes a driver long to compile.
        if program.len() % 6 > 0 || !there_is_vulkan() {
            return Ok(());
        }
        let mut case = Case::new(&program, &pick, Ops::Smooth);
        let (axes, n) = (case.axes(), 1 + case.pick.below(3));
        let (w, x) = case.arguments(axes, n);
        for make in [Program::value, Program::gradient] {
            let got = run(vmap(make(&case.program), axes).boxed(), Device::Vulkan, Numerics::Fast, &w, &x);
            let reference = |w: &Array, x: &Array| interpret(vmap(make(&case.program), axes).boxed(), w, x);
            close("Vulkan and interpreter", &got, 1e-9, &w, &x, &reference);
        }
    }

    /// Under strict numerics the CPU's results have the interpreter's bits, whatever the numbers.
    #[test]
    fn strict_bits(program in choices(26), pick in choices(30)) {
        check_strict_bits(&program, &pick, [Dtype::F32, Dtype::F64]);
    }
}

const HALVES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

proptest! {
    #![proptest_config(config(60, 3))]

    /// The same of floats of 16 bits, which each operation rounds.
    #[test]
    fn strict_bits_of_halves(program in choices(22), pick in choices(30)) {
        check_strict_bits(&program, &pick, HALVES);
    }

    /// On Vulkan devices such numbers are the interpreter's, but for roundings the other way and what becomes
    /// of these.
    #[test]
    fn halves_on_vulkan(program in choices(12), pick in choices(20)) {
        // Each takes a driver long to compile.
        if program.len() % 3 > 0 || !there_is_vulkan() {
            return Ok(());
        }
        let mut case = Case::new(&program, &pick, Ops::Smooth);
        let (axes, n, dtype) = (case.axes(), 1 + case.pick.below(3), case.pick.pick(&HALVES));
        let (w, x) = (batched(&case.w, axes.0, n), batched(&case.x, axes.1, n));
        let (w, x) = (case.numbers.array(dtype, &w), case.numbers.array(dtype, &x));
        let unit = if dtype == Dtype::F16 { f16::EPSILON.to_f64() } else { bf16::EPSILON.to_f64() };
        for make in [Program::value, Program::gradient] {
            let got = run(vmap(make(&case.program), axes).boxed(), Device::Vulkan, Numerics::Fast, &w, &x);
            let reference = |w: &Array, x: &Array| interpret(vmap(make(&case.program), axes).boxed(), w, x);
            close("Vulkan and interpreter", &got, 16.0 * unit, &w, &x, &reference);
        }
    }
}

/// Programs that have found a bug, and choices for them.
#[test]
fn what_once_was_wrong() {
    // A value waited in the memory of a result which was written before its last use.
    let program = [9676, 49045, 4124, 21587, 20092, 27611, 37990, 10301, 45371, 968, 18193, 15, 14168];
    let types = [Dtype::F32, Dtype::F64];
    check_strict_bits(&program, &[1, 14667, 20218, 25047, 25096, 0, 0, 15616, 0, 31610, 0], types);
    // The result of a loop in a loop was taken for one that all steps share, as its value is, though
    // the inner loop's other results differ.
    let program = [31087, 447, 0, 18864, 7648, 11963, 46788, 0, 10670, 3236, 45228, 359];
    check_strict_bits(&program, &[0, 10672, 0, 0, 0, 0], types);
}

fn check_strict_bits(program: &[u16], pick: &[u16], types: [Dtype; 2]) {
    let mut case = Case::new(program, pick, Ops::All);
    let (axes, n) = (case.axes(), 1 + case.pick.below(6));
    let (dtype, wild) = (case.pick.pick(&types), case.pick.below(2) == 0);
    let numbers = &mut case.numbers;
    let mut array = |shape: &[usize]| if wild { numbers.wild(dtype, shape) } else { numbers.array(dtype, shape) };
    let (w, x) = (array(&batched(&case.w, axes.0, n)), array(&batched(&case.x, axes.1, n)));
    for make in [Program::value, Program::gradient, Program::second, Program::pushed] {
        let on = |device| run(vmap(make(&case.program), axes).boxed(), device, Numerics::Strict, &w, &x);
        let (cpu, interpreter) = (on(Device::Cpu), on(Device::Interpreter));
        assert_eq!(cpu.aval(), interpreter.aval());
        assert!(cpu == interpreter, "{cpu} is not {interpreter}");
    }
}
