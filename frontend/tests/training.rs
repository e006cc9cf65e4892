//! Optimizers, schedules and losses against optax (`fixtures/training.py`).

use egrad::optim::{Adam, Lion, RmsProp, Schedule, Sgd, clip_by_global_norm};
use egrad::{Array, Dtype, Tensor, grad, jit, losses};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/training.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
}

#[track_caller]
fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{what}: {got:?}, not {want:?}");
    }
}

fn array(data: &[f64], shape: &[usize]) -> Array {
    Array::from_vec(data.to_vec(), shape).unwrap()
}

type Params = (Tensor, Tensor);

/// The gradient of Σ sin(3a) + Σ b² c.
fn gradient(p: Params) -> Params {
    grad(|(a, b): Params| {
        let c = Tensor::from(&array(&[0.5, -1.0, 2.0], &[3]));
        (a * 3.0).sin().sum() + (b.powi(2) * c).sum()
    })(p)
}

/// What five steps of each optimizer make of the parameters.
macro_rules! after_five {
    ($optimizer:expr, $of:expr) => {{
        let (optimizer, of) = ($optimizer, $of);
        let init = jit(move |p: Params| optimizer.init(&p));
        let step = jit(move |p: Params, state| {
            let g = of(gradient((p.0, p.1)));
            optimizer.step(&p, &g, &state)
        });
        let mut p = (array(&[0.1, -0.4, 0.7, 2.0], &[2, 2]), array(&[1.0, -2.0, 0.3], &[3]));
        let mut state = init(&p).unwrap();
        for _ in 0..5 {
            (p, state) = step(&p, &state).unwrap();
        }
        assert_eq!(step.compiled(), 1);
        assert_eq!(state.count.item::<i32>().unwrap(), 5);
        [p.0.to_f64(), p.1.to_f64()]
    }};
}

const COSINE: Schedule = Schedule::Cosine { peak: 0.1, steps: 4, floor: 0.02 };
const WARM: Schedule = Schedule::Warmup { steps: 3, then: &COSINE };

#[test]
fn optimizers_make_the_steps_of_optax() {
    let as_they_are = |g: Params| g;
    let got = [
        ("sgd", after_five!(Sgd { rate: 0.1.into(), ..Sgd::default() }, as_they_are)),
        ("momentum", after_five!(Sgd { rate: 0.1.into(), momentum: 0.9, nesterov: false }, as_they_are)),
        ("nesterov", after_five!(Sgd { rate: 0.1.into(), momentum: 0.9, nesterov: true }, as_they_are)),
        ("scheduled", after_five!(Sgd { rate: WARM, ..Sgd::default() }, as_they_are)),
        ("adam", after_five!(Adam { rate: 0.1.into(), ..Adam::default() }, as_they_are)),
        ("adamw", after_five!(Adam { weight_decay: 0.02, ..Adam::w(0.1) }, as_they_are)),
        ("rmsprop", after_five!(RmsProp { rate: 0.05.into(), decay: 0.8, ..RmsProp::default() }, as_they_are)),
        ("lion", after_five!(Lion { rate: 0.05.into(), weight_decay: 0.02, ..Lion::default() }, as_they_are)),
        (
            "clipped",
            after_five!(Sgd { rate: 0.1.into(), ..Sgd::default() }, |g: Params| clip_by_global_norm(&g, 0.5).0),
        ),
    ];
    let fixture = fixture();
    for (name, params) in got {
        // Rates that follow a schedule are rounded to f32, there and here.
        let tolerance = if name == "scheduled" { 1e-7 } else { 1e-12 };
        for (i, leaf) in params.iter().enumerate() {
            close(name, leaf, &numbers(&fixture["optimizers"][name][i]), tolerance);
        }
    }
}

#[test]
fn schedules_are_those_of_optax() {
    let step = Schedule::Step { start: 0.1, factor: 0.5, every: 2 };
    for (name, schedule) in [("cosine", COSINE), ("warmup", WARM), ("step", step)] {
        let at = jit(move |count: Tensor| schedule.at(count));
        let got: Vec<f64> = (0..9).map(|i| at(&Array::from(i)).unwrap().to_f64()[0]).collect();
        close(name, &got, &numbers(&fixture()["schedules"][name]), 1e-7);
    }
    let constant = jit(|count: Tensor| Schedule::from(0.25).at(count));
    assert_eq!(constant(&Array::from(7)).unwrap(), Array::from(0.25f32));
}

#[test]
fn losses_and_their_gradients_are_those_of_optax() {
    let x = array(&[0.5, -1.5, 3.0, 0.0, 40.0, -40.0], &[2, 3]);
    let y = array(&[0.25, 0.0, 2.0, 1.0, 0.0, 0.0], &[2, 3]);
    let p = array(&[0.2, 0.3, 0.5, 1.0, 0.0, 0.0], &[2, 3]);
    let sign = array(&[1.0, -1.0, 1.0, -1.0, 1.0, 1.0], &[2, 3]);
    let labels = |_: Tensor| Tensor::from(&Array::from_vec(vec![2, 0], [2]).unwrap());
    type Loss = fn(Tensor, Tensor) -> Tensor;
    let cases: [(&str, Loss, &Array); 6] = [
        ("squared_error", losses::squared_error, &y),
        ("huber", |x, y| losses::huber(x, y, 0.75), &y),
        ("cross_entropy_with_probabilities", losses::cross_entropy_with_probabilities, &p),
        ("binary_cross_entropy", losses::binary_cross_entropy, &p),
        ("kl_divergence", |x, p| losses::kl_divergence(x.log_softmax(-1), p), &p),
        ("hinge", losses::hinge, &sign),
    ];
    let fixture = fixture();
    let check = |name: &str, value: Array, gradient: Array| {
        close(name, &value.to_f64(), &numbers(&fixture["losses"][name][0]), 1e-12);
        close(name, &gradient.to_f64(), &numbers(&fixture["losses"][name][1]), 1e-12);
    };
    fn weighted(losses: Tensor) -> Tensor {
        let shape = losses.shape();
        let weights = egrad::arange(losses.size(), Dtype::F64).reshape(shape) + 1.0;
        (losses * weights).sum()
    }
    for (name, loss, y) in cases {
        let gradient = jit(grad(move |x: Tensor, y: Tensor| weighted(loss(x, y))))(&x, y).unwrap();
        check(name, jit(move |x: Tensor, y: Tensor| loss(x, y))(&x, y).unwrap(), gradient);
    }
    let loss = move |x: Tensor| losses::cross_entropy(x, labels(x));
    check("cross_entropy", jit(loss)(&x).unwrap(), jit(grad(move |x: Tensor| weighted(loss(x))))(&x).unwrap());
}

#[test]
fn means_and_labels_out_of_range() {
    let (x, y) = (array(&[1.0, -2.0], &[2]), array(&[0.0, 2.0], &[2]));
    assert_eq!(jit(losses::mse)(&x, &y).unwrap(), Array::from(8.5f64));
    assert_eq!(jit(losses::mae)(&x, &y).unwrap(), Array::from(2.5f64));
    let logits = array(&[0.0; 6], &[3, 2]);
    let labels = Array::from_vec(vec![-1, 1, 2], [3]).unwrap();
    let loss = jit(losses::cross_entropy)(&logits, &labels).unwrap().to_f64();
    assert!(loss[0].is_nan() && loss[2].is_nan() && (loss[1] - 2f64.ln()).abs() < 1e-15, "{loss:?}");
    // Infinite logits of classes that aren't the label's don't spoil the loss.
    let (logits, label) = (array(&[0.0, f64::NEG_INFINITY], &[1, 2]), Array::from_vec(vec![0], [1]).unwrap());
    assert_eq!(jit(losses::cross_entropy)(&logits, &label).unwrap().to_f64(), [0.0]);
}

#[track_caller]
fn refused<T>(result: egrad::Result<T>, kind: &str, message: &str) {
    let error = result.err().expect("it should be refused");
    assert_eq!((error.kind(), &*error.report().message), (kind, message));
}

#[test]
fn bad_losses() {
    let (x, y) = (array(&[1.0, -2.0], &[2]), array(&[0.0], &[1]));
    let i = Array::from_vec(vec![1, 2], [2]).unwrap();
    refused(
        jit(losses::mse)(&x, &y),
        "shape",
        "`mse`: `squared_error`: the predictions and the targets must have one shape, not f64[2] and f64[1]",
    );
    refused(
        jit(losses::hinge)(&x, &i),
        "dtype",
        "`hinge`: the predictions and the labels must be floats of one type, not f64[2] and i32[2]",
    );
    refused(
        jit(losses::cross_entropy)(&x, &x),
        "dtype",
        "`cross_entropy` takes labels that are numbers of classes, integers, not f64[2]; \
         for probabilities there is `cross_entropy_with_probabilities`",
    );
    refused(
        jit(losses::cross_entropy)(&x, &i),
        "shape",
        "`cross_entropy`: labels of f64[2] have one axis less, and are i32[2]",
    );
    refused(
        jit(losses::cross_entropy)(&Array::from(1.0f64), &i),
        "axis",
        "`cross_entropy`: the logits need an axis of classes, not f64[]",
    );
    refused(jit(losses::cross_entropy)(&i, &i), "dtype", "`cross_entropy`: the logits must be floats, not i32[2]");
}

#[test]
fn bad_parameters() {
    let step = |p: Vec<Tensor>, g: Vec<Tensor>| {
        let sgd = Sgd::default();
        let state = sgd.init(&p);
        sgd.step(&p, &g, &state).0
    };
    let x = array(&[1.0, -2.0], &[2]);
    refused(
        jit(step)(&vec![x.clone()], &vec![]),
        "tree",
        "`Sgd::step`: the parameters and the gradients have different structures: a `Vec` of 1 and a `Vec` of 0",
    );
    refused(
        jit(step)(&vec![x.clone(), x.clone()], &vec![x.clone(), array(&[1.0], &[1])]),
        "shape",
        "`Sgd::step`: `[1]` is f64[2] in the parameters and f64[1] in the gradients",
    );
    let i = Array::from(1);
    refused(
        jit(step)(&vec![i.clone()], &vec![i.clone()]),
        "dtype",
        "`Sgd::step`: the parameter `[0]` is i32[]: only floats can be trained",
    );
    refused(
        jit(|p: Vec<Tensor>| clip_by_global_norm(&p, 1.0))(&vec![]),
        "tree",
        "`clip_by_global_norm` needs a gradient",
    );
    refused(jit(|c: Tensor| COSINE.at(c))(&x), "dtype", "`Schedule::at` takes a count, i32[], not f64[2]");
    let never = Schedule::Cosine { peak: 1.0, steps: 0, floor: 0.0 };
    refused(jit(move |c: Tensor| never.at(c))(&i), "shape", "a schedule of 0 steps");
}

#[test]
fn clipping_leaves_small_gradients_and_zeros_alone() {
    let clip = jit(|g: (Tensor, Tensor)| clip_by_global_norm(&g, 1.0));
    for g in [0.0, 0.3] {
        let g = (array(&[g, -g], &[2]), Array::from(g));
        assert_eq!(clip(&g).unwrap().0, g);
    }
}
