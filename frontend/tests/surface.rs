//! The surface of the design document: transforms of plain functions, nested freely, called on
//! arrays.

use egrad::*;

fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor {
    w * x + b
}
fn squared_error(p: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
    (predict(p, x) - y).powi(2)
}
fn mean_loss(p: (Tensor, Tensor), xs: Tensor, ys: Tensor) -> Tensor {
    (vmap(predict, (None, 0))(p, xs) - ys).powi(2).mean()
}

fn vector(data: &[f32]) -> Array {
    Array::from_vec(data.to_vec(), [data.len()]).unwrap()
}

fn params() -> (Array, Array) {
    (Array::from(2.0f32), Array::from(1.0f32))
}

#[track_caller]
fn check(array: &Array, expected: &[f32]) {
    let got = array.as_slice::<f32>().unwrap();
    assert_eq!(got.len(), expected.len(), "{array}");
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{array} is not {expected:?}");
    }
}

#[test]
fn the_tutorial() {
    let (p, xs, ys) = (params(), vector(&[0.0, 1.0, 2.0]), vector(&[0.5, 3.0, 6.0]));
    let forward = jit(vmap(predict, (None, 0)));
    check(&forward(&p, &xs).unwrap(), &[1.0, 3.0, 5.0]);
    let per_example = jit(vmap(grad(squared_error), (None, 0, 0)));
    let (dw, db) = per_example(&p, &xs, &ys).unwrap();
    check(&dw, &[0.0, 0.0, -4.0]);
    check(&db, &[1.0, 0.0, -2.0]);
    let mean = jit(grad(mean_loss));
    let (dw, db) = mean(&p, &xs, &ys).unwrap();
    check(&dw, &[-4.0 / 3.0]);
    check(&db, &[-1.0 / 3.0]);
    let boundary = jit(vmap(jit(grad(squared_error)), (None, 0, 0)));
    check(&boundary(&p, &xs, &ys).unwrap().0, &[0.0, 0.0, -4.0]);
    let plain = eager(vmap(predict, (None, 0)));
    check(&plain(&p, &xs).unwrap(), &[1.0, 3.0, 5.0]);
}

#[derive(Tree)]
struct Layer<T> {
    w: T,
    b: T,
}

#[derive(Tree)]
struct Model<T> {
    layers: Vec<Layer<T>>,
    scale: Option<T>,
    pair: (T, [T; 2]),
}

#[derive(Tree)]
struct Pair<T>(T, T);

#[test]
fn derived_trees_go_through_every_transform() {
    let model = || Model {
        layers: vec![Layer { w: Array::from(2.0f32), b: Array::from(1.0f32) }, Layer { w: Array::from(3.0f32), b: Array::from(0.0f32) }],
        scale: Some(Array::from(10.0f32)),
        pair: (Array::from(0.0f32), [Array::from(0.0f32), Array::from(5.0f32)]),
    };
    fn run(m: Model<Tensor>, x: Tensor) -> Tensor {
        let y = m.layers.iter().fold(x, |x, l| l.w * x + l.b);
        m.scale.unwrap() * y + m.pair.1[1]
    }
    let x = Array::from(1.0f32);
    let gradient = jit(grad(run))(&model(), &x).unwrap();
    check(&gradient.layers[0].w, &[30.0]);
    check(&gradient.layers[1].w, &[30.0]);
    check(&gradient.layers[1].b, &[10.0]);
    check(gradient.scale.as_ref().unwrap(), &[9.0]);
    check(&gradient.pair.1[1], &[1.0]);

    // Axes for the leaves of a struct.
    let pair = Pair(vector(&[1.0, 2.0]), Array::from(10.0f32));
    let f = jit(vmap(|p: Pair<Tensor>| p.0 + p.1, (Pair(Some(0), None),)));
    check(&f(&pair).unwrap(), &[11.0, 12.0]);
}
