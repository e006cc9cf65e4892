//! Jacobians by trees and by arguments of one's choice: JAX's values, the same in both modes.

use egrad::{
    Arg, Array, Aval, Calls, Device, Dtype, Numerics, Options, Program, ScanOptions, Tensor, Tree, checkpoint,
    custom_vjp, eager, grad, hessian, hessian_argnums, jacfwd, jacfwd_argnums, jacobian, jacobian_argnums, jacrev,
    jacrev_argnums, jit, psum, scan, scan_with, stack, trace_avals, vmap, vmap_named, while_loop,
};
use egrad_rewrite::{Picked, compile};

type Params = (Tensor, Vec<Tensor>);

/// A layer, whose second parameter is in a list.
fn layer((w, b): Params, x: Tensor) -> Tensor {
    (w.dot(x) + b[0]).tanh()
}

fn array(data: &[f64], shape: &[usize]) -> Array {
    Array::from_vec(data.to_vec(), shape.to_vec()).unwrap()
}

fn params() -> (Array, Vec<Array>) {
    (array(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], &[2, 3]), vec![array(&[0.05, -0.1], &[2])])
}

fn x() -> Array {
    array(&[1.0, -2.0, 0.5], &[3])
}

#[track_caller]
fn like(got: &Array, shape: &[usize], want: &[f64]) {
    assert_eq!(&got.shape()[..], shape);
    let close = |(g, w): (&f64, &f64)| (g - w).abs() <= 1e-12;
    assert!(got.to_f64().iter().zip(want).all(close), "{got}, not {want:?}");
}

/// JAX 0.10.2's, by the weights, the biases, and the input.
const BY_W: [f64; 12] = [
    0.9900662908474398,
    -1.9801325816948796,
    0.4950331454237199,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.8556387860811777,
    -1.7112775721623554,
    0.42781939304058886,
];
const BY_B: [f64; 4] = [0.9900662908474398, 0.0, 0.0, 0.8556387860811777];
const BY_X: [f64; 6] = [
    0.09900662908474399,
    0.19801325816948798,
    0.29701988725423195,
    0.3422555144324711,
    0.4278193930405888,
    0.5133832716487067,
];

/// JAX 0.10.2's second derivatives of the sum of the layer, for each pair.
const WW: [f64; 36] = [
    0.1973558435090652,
    -0.3947116870181304,
    0.0986779217545326,
    0.0,
    0.0,
    0.0,
    -0.3947116870181304,
    0.7894233740362608,
    -0.1973558435090652,
    0.0,
    0.0,
    0.0,
    0.0986779217545326,
    -0.1973558435090652,
    0.0493389608772663,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.6501981376737276,
    -1.3003962753474552,
    0.3250990688368638,
    0.0,
    0.0,
    0.0,
    -1.3003962753474552,
    2.6007925506949103,
    -0.6501981376737276,
    0.0,
    0.0,
    0.0,
    0.3250990688368638,
    -0.6501981376737276,
    0.1625495344184319,
];
const WB: [f64; 12] = [
    0.1973558435090652,
    0.0,
    -0.3947116870181304,
    0.0,
    0.0986779217545326,
    0.0,
    0.0,
    0.6501981376737276,
    0.0,
    -1.3003962753474552,
    0.0,
    0.3250990688368638,
];
const BW: [f64; 12] = [
    0.1973558435090652,
    -0.3947116870181304,
    0.0986779217545326,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.0,
    0.6501981376737276,
    -1.3003962753474552,
    0.3250990688368638,
];
const BB: [f64; 4] = [0.1973558435090652, 0.0, 0.0, 0.6501981376737276];
const XX: [f64; 9] = [
    0.10600526046288715,
    0.13398674440492683,
    0.16196822834696667,
    0.13398674440492692,
    0.1704437681587945,
    0.2069007919126623,
    0.16196822834696667,
    0.2069007919126622,
    0.25183335547835795,
];
const XW: [f64; 18] = [
    1.0098018751983464,
    -0.039471168701813046,
    0.009867792175453262,
    1.1157180411506689,
    -0.5201585101389821,
    0.13003962753474552,
    0.039471168701813046,
    0.9111239534438137,
    0.019735584350906523,
    0.3250990688368638,
    0.20544064840745013,
    0.1625495344184319,
    0.05920675305271956,
    -0.11841350610543912,
    1.0196696673737995,
    0.39011888260423655,
    -0.7802377652084731,
    1.0506982273832959,
];
const XB: [f64; 6] = [
    0.019735584350906523,
    0.26007925506949103,
    0.039471168701813046,
    0.3250990688368638,
    0.05920675305271956,
    0.39011888260423655,
];
const WX: [f64; 18] = [
    1.0098018751983464,
    0.03947116870181305,
    0.05920675305271961,
    -0.03947116870181305,
    0.9111239534438137,
    -0.11841350610543921,
    0.009867792175453263,
    0.019735584350906527,
    1.0196696673737997,
    1.1157180411506689,
    0.3250990688368638,
    0.39011888260423677,
    -0.5201585101389824,
    0.20544064840745013,
    -0.7802377652084735,
    0.1300396275347456,
    0.1625495344184319,
    1.050698227383296,
];
const BX: [f64; 6] = [
    0.019735584350906527,
    0.03947116870181305,
    0.05920675305271961,
    0.2600792550694912,
    0.3250990688368638,
    0.39011888260423677,
];

#[test]
fn by_trees() {
    for device in [Device::Interpreter, Device::Cpu] {
        let options = || Options { device, ..Options::default() };
        let all = [
            jit(jacfwd(layer)).options(options())(&params(), &x()).unwrap(),
            jit(jacrev(layer)).options(options())(&params(), &x()).unwrap(),
            jit(jacobian(layer)).options(options())(&params(), &x()).unwrap(),
            jit(jacrev(checkpoint(layer))).options(options())(&params(), &x()).unwrap(),
        ];
        for (w, b) in all {
            like(&w, &[2, 2, 3], &BY_W);
            like(&b[0], &[2, 2], &BY_B);
        }
    }
}

#[test]
fn by_chosen_arguments() {
    for (x_, (w, b)) in [
        jit(jacfwd_argnums(layer, (Arg::<1>, Arg::<0>)))(&params(), &x()).unwrap(),
        jit(jacrev_argnums(layer, (Arg::<1>, Arg::<0>)))(&params(), &x()).unwrap(),
        jit(jacobian_argnums(layer, (Arg::<1>, Arg::<0>)))(&params(), &x()).unwrap(),
    ] {
        like(&x_, &[2, 3], &BY_X);
        like(&w, &[2, 2, 3], &BY_W);
        like(&b[0], &[2, 2], &BY_B);
    }
    like(&jit(jacrev_argnums(layer, Arg::<1>))(&params(), &x()).unwrap(), &[2, 3], &BY_X);
}

/// In batches, with names too, and of one another; of nothing at all.
#[test]
fn nested() {
    let xs = array(&[1.0, -2.0, 0.5, 1.0, -2.0, 0.5], &[2, 3]);
    let by_x = |p: Params, x: Tensor| jacobian(move |x: Tensor| layer(p.clone(), x))(x);
    let both = jit(vmap(by_x, (None, 0)))(&params(), &xs).unwrap();
    like(&both, &[2, 2, 3], &[BY_X, BY_X].concat());
    let named = jit(vmap_named(jacrev_argnums(|x: Tensor| psum(x, "i").sin(), Arg::<0>), 0, "i"))(&xs).unwrap();
    let c = [2.0f64, -4.0, 1.0].map(|x| 2.0 * x.cos());
    let diagonal = [c[0], 0.0, 0.0, 0.0, c[1], 0.0, 0.0, 0.0, c[2]];
    like(&named, &[2, 3, 3], &[diagonal, diagonal].concat());
    let scalar = |x: Tensor| x.powi(3).sum();
    let want = jit(hessian(scalar))(&x()).unwrap().to_f64();
    like(&jit(jacobian(jacobian(scalar)))(&x()).unwrap(), &[3, 3], &want);
    like(&jit(jacrev(grad(scalar)))(&x()).unwrap(), &[3, 3], &want);
    let none = array(&[], &[0]);
    like(&jit(jacobian(|x: Tensor| x.sin()))(&none).unwrap(), &[0, 0], &[]);
    like(&jit(jacrev(|x: Tensor| x.sum()))(&none).unwrap(), &[0], &[]);
}

/// What a function's own derivative, or a loop, rules out is not taken.
#[test]
fn the_possible_mode_is_taken() {
    let sine =
        |x: Tensor| custom_vjp(|x: Tensor| x.sin(), |x: Tensor| (x.sin(), x), |x: Tensor, c: Tensor| (x.cos() * c,))(x);
    let cosines: Vec<f64> = x().to_f64().iter().map(|x| x.cos()).collect();
    let diagonal = [cosines[0], 0.0, 0.0, 0.0, cosines[1], 0.0, 0.0, 0.0, cosines[2]];
    for device in [Device::Interpreter, Device::Cpu] {
        let options = || Options { device, ..Options::default() };
        like(&jit(jacobian(move |x: Tensor| sine(x).sum())).options(options())(&x()).unwrap(), &[3], &cosines);
        like(&jit(jacobian(sine)).options(options())(&x()).unwrap(), &[3, 3], &diagonal);
        // A `while` has no reverse mode.
        let looped = |x: Tensor| while_loop(|x: Tensor| x.sum().lt(100.0), |x: Tensor| 2.0 * x, x).sum();
        like(&jit(jacobian(looped)).options(options())(&array(&[1.0, 2.0, 3.0], &[3])).unwrap(), &[3], &[32.0; 3]);
        // Neither mode: the error is that of the mode that sizes say.
        let neither = move |x: Tensor| sine(while_loop(|x: Tensor| x.sum().lt(100.0), |x: Tensor| 2.0 * x, x));
        let error = jit(jacobian(neither)).options(options())(&x()).unwrap_err().to_string();
        assert!(error.contains("none for forward mode") && error.contains("jacobians.rs"), "{error}");
    }
}

/// Compiled for the CPU: what became of the choice of a mode, and the program's price in microseconds.
fn picked(program: &Program) -> (Picked, f64) {
    let compiled = compile(program, &egrad_rewrite::Options::default()).unwrap();
    let [picked] = &compiled.picked[..] else { panic!("one choice, not {:?}", compiled.picked) };
    (picked.clone(), compiled.predicted_us.iter().sum())
}

fn taken(picked: &Picked) -> &str {
    picked.taken.map_or("parts of both", |way| &picked.ways[way].name)
}

/// The price of a mode as extraction saw it is the price of that mode by itself, about; and the program's is that of the cheapest.
#[track_caller]
fn cheapest(name: &str, program: &Program, modes: [&Program; 2]) -> String {
    let (picked, us) = picked(program);
    println!("{name} {picked:?}");
    let alone = modes.map(|m| compile(m, &egrad_rewrite::Options::default()).unwrap().predicted_us.iter().sum::<f64>());
    let least = alone[0].min(alone[1]);
    assert!(us <= 1.02 * least, "{name}: {us} µs, and by themselves the modes take {alone:?} µs; {picked:?}");
    if let Some(way) = picked.taken {
        let best = picked.ways.iter().filter_map(|w| w.us).fold(f64::INFINITY, f64::min);
        assert_eq!(picked.ways[way].us, Some(best), "{name}: {picked:?}");
    }
    taken(&picked).to_owned()
}

macro_rules! mode_of {
    ($name:literal, $f:expr, $($dims:expr),*) => {{
        let avals = [$(Aval::new(Dtype::F32, $dims)),*];
        let all = [trace_avals(jacobian($f), &avals), trace_avals(jacfwd($f), &avals), trace_avals(jacrev($f), &avals)];
        let [program, fwd, rev] = all.map(Result::unwrap);
        cheapest($name, &program, [&fwd, &rev])
    }};
}

/// By price: tall, wide and square, and where sizes would say the other mode.
#[test]
fn the_cheaper_mode_is_taken() {
    let tall = |x: Tensor, w: Tensor| w.dot(x.sin()).tanh();
    assert_eq!(mode_of!("tall", tall, [4], [512, 4]), "forward");
    let wide = |x: Tensor, w: Tensor| w.dot(x.sin()).tanh();
    assert_eq!(mode_of!("wide", wide, [512], [4, 512]), "reverse");
    mode_of!("square", wide, [64], [64, 64]);
    // Seven numbers of eight: back by sizes. But the way back through a loop is another loop, over what the
    // first one has saved.
    let last = |x: Tensor, w: Tensor| {
        let step = move |h: Tensor, _: Vec<Tensor>| (w.dot(h).tanh(), Vec::<Tensor>::new());
        let steps = ScanOptions { length: Some(500), ..ScanOptions::default() };
        scan_with(step, x, Vec::<Tensor>::new(), steps).0.slice([0], [7])
    };
    assert_eq!(mode_of!("a loop", last, [8], [8, 8]), "forward");
}

/// Whatever is around it: another batch, `jit`, a Jacobian, a loop; and op by op, strict, on the interpreter.
#[test]
fn choices_in_transforms() {
    let f = |x: Tensor| x.sin() * x.sum();
    let xs = array(&[1.0, -2.0, 0.5, 0.3, 0.2, 0.1], &[2, 3]);
    macro_rules! same {
        ($of:expr, $want:expr, $($x:expr),*) => {{
            let want = jit($want)($($x),*).unwrap();
            for device in [Device::Interpreter, Device::Cpu] {
                for numerics in [Numerics::Fast, Numerics::Strict] {
                    for calls in Calls::ALL {
                        let options = Options { device, numerics, calls, ..Options::default() };
                        like(&jit($of).options(options)($($x),*).unwrap(), &want.shape()[..], &want.to_f64());
                    }
                }
            }
            like(&eager($of)($($x),*).unwrap(), &want.shape()[..], &want.to_f64());
        }};
    }
    same!(jacobian(f), jacfwd(f), &x());
    same!(jacobian(jit(f)), jacrev(f), &x());
    same!(vmap(jacobian(f), 0), vmap(jacfwd(f), 0), &xs);
    same!(vmap(jit(jacobian(f)), 0), vmap(jacrev(f), 0), &xs);
    same!(jacobian(jacobian(f)), jacfwd(jacrev(f)), &x());
    same!(grad(move |x: Tensor| jacobian(f)(x).powi(2).sum()), grad(move |x: Tensor| jacrev(f)(x).powi(2).sum()), &x());
    same!(jacfwd(jacobian(f)), jacfwd(jacrev(f)), &x());
    let traces =
        move |x: Tensor| scan(move |s: Tensor, x: Tensor| (s + jacobian(f)(x).sum(), s), x.sum(), x.stack3()).0;
    let traced = move |x: Tensor| scan(move |s: Tensor, x: Tensor| (s + jacfwd(f)(x).sum(), s), x.sum(), x.stack3()).0;
    same!(traces, traced, &x());
    // What it captures is differentiated through.
    let outer = |y: Tensor| jacobian(move |x: Tensor| x.sin() * y.sum())(y).sum();
    let outer_rev = |y: Tensor| jacrev(move |x: Tensor| x.sin() * y.sum())(y).sum();
    same!(grad(outer), grad(outer_rev), &x());
}

trait Stack3 {
    fn stack3(self) -> Tensor;
}
impl Stack3 for Tensor {
    fn stack3(self) -> Tensor {
        stack([self, 2.0 * self, self.cos()], 0)
    }
}

/// JAX 0.10.2's `hessian(layer_sum, argnums=(0, 1))`, for each pair of leaves.
#[test]
fn hessians_of_trees() {
    let f = |(w, b): Params, x: Tensor| (w.dot(x) + b[0]).tanh().sum();
    for device in [Device::Interpreter, Device::Cpu] {
        let options = || Options { device, ..Options::default() };
        let ((ww, wb), b_) = jit(hessian(f)).options(options())(&params(), &x()).unwrap();
        let (bw, bb) = &b_[0];
        like(&ww, &[2, 3, 2, 3], &WW);
        like(&wb[0], &[2, 3, 2], &WB);
        like(bw, &[2, 2, 3], &BW);
        like(&bb[0], &[2, 2], &BB);
        let (by_x, (of_w, of_b)) =
            jit(hessian_argnums(f, (Arg::<1>, Arg::<0>))).options(options())(&params(), &x()).unwrap();
        let (xx, (xw, xb)) = by_x;
        like(&xx, &[3, 3], &XX);
        like(&xw, &[3, 2, 3], &XW);
        like(&xb[0], &[3, 2], &XB);
        let (wx, (ww, _)) = of_w;
        like(&wx, &[2, 3, 3], &WX);
        like(&ww, &[2, 3, 2, 3], &WW);
        let (bx, (_, bb)) = &of_b[0];
        like(bx, &[2, 3], &BX);
        like(&bb[0], &[2, 2], &BB);
    }
    // Of a struct, and in a batch.
    let of_line = |line: Line<Tensor>, x: Tensor| (line.slope * x + line.offset).sin();
    let xs = array(&[0.5, 2.0], &[2]);
    let line = Line { slope: Array::from(0.3f64), offset: Array::from(0.1f64) };
    let h: Line<Line<Array>> = jit(vmap(hessian(of_line), (None, 0)))(&line, &xs).unwrap();
    let s = [0.25f64, 0.7].map(|y| -y.sin());
    like(&h.slope.slope, &[2], &[s[0] * 0.25, s[1] * 4.0]);
    like(&h.slope.offset, &[2], &[s[0] * 0.5, s[1] * 2.0]);
    like(&h.offset.offset, &[2], &s);
}

#[derive(Tree)]
struct Line<T> {
    slope: T,
    offset: T,
}

#[test]
fn mistakes_are_named() {
    let error = jit(jacfwd(|(a, i): (Tensor, Tensor)| a * i.convert(egrad::Dtype::F64)))(&(x(), Array::from(3i32)));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`jacfwd` can't differentiate by argument 0 at `.1`, i32[]"), "{error}");
    for error in [
        jit(jacfwd(|x: Tensor| x.gt(0.0)))(&x()).unwrap_err().to_string(),
        jit(jacobian(|x: Tensor| x.gt(0.0)))(&x()).unwrap_err().to_string(),
        jit(jacrev_argnums(|x: Tensor| x.gt(0.0), Arg::<0>))(&x()).unwrap_err().to_string(),
    ] {
        assert!(error.contains("needs a function with a float result, not bool[3]"), "{error}");
        assert!(error.contains("jacobians.rs"), "{error}");
    }
}
