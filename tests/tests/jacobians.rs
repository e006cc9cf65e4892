//! Jacobians by trees and by arguments of one's choice: JAX's values, the same in both modes.

use egrad::{
    Arg, Array, Device, Options, Tensor, checkpoint, custom_vjp, grad, hessian, jacfwd, jacfwd_argnums, jacobian,
    jacrev, jacrev_argnums, jit, psum, vmap, vmap_named,
};

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

/// Forward for a wide result, reverse for a narrow one: what has reverse mode alone tells them apart.
#[test]
fn the_smaller_side_decides() {
    let sine =
        |x: Tensor| custom_vjp(|x: Tensor| x.sin(), |x: Tensor| (x.sin(), x), |x: Tensor, c: Tensor| (x.cos() * c,))(x);
    let narrow = move |x: Tensor| sine(x).sum();
    like(&jit(jacobian(narrow))(&x()).unwrap(), &[3], &x().to_f64().iter().map(|x| x.cos()).collect::<Vec<_>>());
    let error = jit(jacobian(sine))(&x()).unwrap_err().to_string();
    assert!(error.contains("none for forward mode"), "{error}");
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
