//! Trees: derived ones, their structure, and functions of their leaves.

use egrad::{Array, Tensor, Tree, grad, jit, jvp, tree, vmap};
use std::collections::BTreeMap;

/// Dense, scaled by a power that is no tensor, or nothing.
#[derive(Tree, Clone, Debug, PartialEq)]
enum Layer<T> {
    Dense { w: T, b: Option<T> },
    Scale(T, #[tree(fixed)] i32),
    Relu,
}

impl Layer<Tensor> {
    fn apply(self, x: Tensor) -> Tensor {
        match self {
            Layer::Dense { w, b: Some(b) } => w * x + b,
            Layer::Dense { w, b: None } => w * x,
            Layer::Scale(by, n) => x * by.powi(n),
            Layer::Relu => x.relu(),
        }
    }
}

/// Any model with a rate that decides nothing but the structure.
#[derive(Tree, Clone, Debug, PartialEq)]
struct Training<T, M, S = f64> {
    step: T,
    model: M,
    #[tree(fixed)]
    rate: S,
}

fn layers() -> Vec<Layer<Array>> {
    vec![
        Layer::Dense { w: Array::from(3.0f32), b: Some(Array::from(1.0f32)) },
        Layer::Relu,
        Layer::Scale(Array::from(2.0f32), 3),
        Layer::Dense { w: Array::from(5.0f32), b: None },
    ]
}

fn forward(layers: Vec<Layer<Tensor>>, x: Tensor) -> Tensor {
    layers.into_iter().fold(x, |x, layer| layer.apply(x))
}

fn item(x: &Array) -> f32 {
    x.item::<f32>().unwrap()
}

#[test]
fn enums_are_structure() {
    let f = jit(forward);
    assert_eq!(item(&f(&layers(), &Array::from(2.0f32)).unwrap()), 280.0);
    // Another variant, another power: traced anew.
    let mut other = layers();
    other[1] = Layer::Scale(Array::from(1.0f32), 1);
    assert_eq!(item(&f(&other, &Array::from(-2.0f32)).unwrap()), -200.0);
    other[2] = Layer::Scale(Array::from(2.0f32), 0);
    assert_eq!(item(&f(&other, &Array::from(-2.0f32)).unwrap()), -25.0);
    assert_eq!(f.compiled(), 3);
    f(&other, &Array::from(-3.0f32)).unwrap();
    assert_eq!(f.compiled(), 3);
}

#[test]
fn gradients_are_like_what_they_are_taken_by() {
    let g = jit(grad(forward))(&layers(), &Array::from(2.0f32)).unwrap();
    // y = 5 s³ (3x + 1) of s = 2.
    assert_eq!(
        g,
        vec![
            Layer::Dense { w: Array::from(80.0f32), b: Some(Array::from(40.0f32)) },
            Layer::Relu,
            Layer::Scale(Array::from(420.0f32), 3),
            Layer::Dense { w: Array::from(56.0f32), b: None },
        ]
    );
}

#[test]
fn subtrees_and_fixed_parameters() {
    let model = BTreeMap::from([("a".to_owned(), layers()[0].clone()), ("b".to_owned(), layers()[2].clone())]);
    let training = Training { step: Array::from(1i32), model, rate: "slow".to_owned() };
    let f = jit(|t: Training<Tensor, BTreeMap<String, Layer<Tensor>>, String>| {
        let rate = if t.rate == "slow" { 0.5 } else { 2.0 };
        Training { step: t.step + 1, model: tree::map(|x| *x * rate, &t.model), rate: t.rate }
    });
    let next = f(&training).unwrap();
    assert_eq!(next.step.item::<i32>().unwrap(), 2);
    assert_eq!(next.rate, "slow");
    assert_eq!(next.model["b"], Layer::Scale(Array::from(1.0f32), 3));
    let fast = f(&Training { rate: "fast".to_owned(), ..training }).unwrap();
    assert_eq!(fast.model["b"], Layer::Scale(Array::from(4.0f32), 3));
}

#[test]
fn paths_name_fields() {
    let model = BTreeMap::from([("bias".to_owned(), Box::new(layers()))]);
    let training = Training { step: Array::from(1i32), model: (model, [Array::from(0.0f32)]), rate: 0.5 };
    let paths = [
        ".step",
        r#".model.0["bias"][0].w"#,
        r#".model.0["bias"][0].b"#,
        r#".model.0["bias"][2].0"#,
        r#".model.0["bias"][3].w"#,
        ".model.1[0]",
    ];
    assert_eq!(tree::paths(&training), paths);
    let leaves: Vec<String> = tree::leaves(&training).iter().map(Array::to_string).collect();
    assert_eq!(leaves, ["i32[] [1]", "f32[] [3.0]", "f32[] [1.0]", "f32[] [2.0]", "f32[] [5.0]", "f32[] [0.0]"]);
}

#[test]
fn maps_of_leaves() {
    let doubled = tree::map(|x| Array::from(2.0 * item(x)), &layers());
    let sum = tree::zip_map(|x, y| Array::from(item(x) + item(y)), &layers(), &doubled);
    assert_eq!(sum[2], Layer::Scale(Array::from(6.0f32), 3));
    assert_eq!(sum[1], Layer::Relu);
}

/// The error of adding two trees.
#[track_caller]
fn refused<T: Tree<Leaf = Tensor, Tensors = T> + Clone>(a: T::Arrays, b: T::Arrays, expect: &str) {
    let error = jit(|a: T, b: T| tree::zip_map(|x, y| *x + *y, &a, &b))(&a, &b).err().unwrap();
    assert_eq!(error.kind(), "tree");
    let message = &error.report().message;
    assert_eq!(message, &format!("`zip_map`: the first tree and the second tree have different structures: {expect}"));
}

#[test]
fn mismatches_say_where() {
    type Layers = Vec<Layer<Tensor>>;
    let mut other = layers();
    other[1] = Layer::Scale(Array::from(1.0f32), 1);
    refused::<Layers>(layers(), other.clone(), "at `[1]` the variant `Relu` and the variant `Scale`");
    other[0] = Layer::Dense { w: Array::from(3.0f32), b: None };
    refused::<Layers>(layers(), other, "at `[0].b` `Some` and `None`");
    let mut other = layers();
    other[2] = Layer::Scale(Array::from(1.0f32), 4);
    refused::<Layers>(layers(), other.clone(), "at `[2].1` 3 and 4");
    other.pop();
    refused::<Layers>(layers(), other, "a `Vec` of 4 and a `Vec` of 3");
    let map = |key: &str| BTreeMap::from([(key.to_owned(), Array::from(1.0f32))]);
    refused::<(Tensor, BTreeMap<String, Tensor>)>(
        (Array::from(1.0f32), map("w")),
        (Array::from(1.0f32), map("b")),
        r#"at `.1` a map with the keys ["w"] and a map with the keys ["b"]"#,
    );
}

#[test]
fn tangents_and_compiled_arguments_are_checked() {
    let x = Array::from(2.0f32);
    let mut other = layers();
    other[1] = other[2].clone();
    let error = jit(jvp(forward))(&(layers(), x.clone()), &(other.clone(), x.clone())).unwrap_err();
    assert_eq!(
        error.report().message,
        "`jvp`: the arguments and the tangents have different structures: \
         at `.0[1]` the variant `Relu` and the variant `Scale`"
    );
    let compiled = jit(forward).compile(&(layers(), x.clone())).unwrap();
    let error = compiled.call(&(other, x)).unwrap_err();
    assert_eq!(
        error.report().message,
        "the function was compiled for the variant `Relu` as argument 0 at `[1]`, not the variant `Scale`"
    );
}

#[test]
fn axes_of_enums_and_maps() {
    let stacked = vec![
        Layer::Dense { w: Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap(), b: None },
        Layer::Scale(Array::from(3.0f32), 2),
    ];
    let axes = || vec![Layer::Dense { w: 0isize.into(), b: None::<Option<isize>> }, Layer::Scale(None, 2)];
    let f = jit(vmap(forward, (axes(), None)));
    let y = f(&stacked, &Array::from(1.0f32)).unwrap();
    assert_eq!(y.as_slice::<f32>().unwrap(), [9.0, 18.0]);

    let mut wrong = axes();
    wrong[1] = Layer::Relu;
    let error = jit(vmap(forward, (wrong, None)))(&stacked, &Array::from(1.0f32)).unwrap_err();
    assert_eq!(
        error.report().message,
        "`vmap`: in in_axes, axes for the variant `Relu` are given for the variant `Scale`"
    );

    let map = |key: &str| BTreeMap::from([(key.to_owned(), Some(0isize))]);
    let x = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    let sum = |m: BTreeMap<String, Tensor>| m["x"] + 1;
    let arrays = BTreeMap::from([("x".to_owned(), x)]);
    assert_eq!(jit(vmap(sum, (map("x"),)))(&arrays).unwrap().as_slice::<f32>().unwrap(), [2.0, 3.0]);
    let error = jit(vmap(sum, (map("y"),)))(&arrays).unwrap_err();
    assert!(error.to_string().contains(r#"axes for the keys ["y"] are given for the keys ["x"]"#), "{error}");
}

#[test]
fn types_alone_do_not_say_what_a_structure_is() {
    let scalar = || egrad::Aval::new(egrad::Dtype::F32, []);
    let error = egrad::trace_avals(forward, &[scalar(), scalar()]).unwrap_err();
    assert!(error.to_string().contains("of which types alone don't say how it is"), "{error}");
    let error = egrad::trace_avals(|m: BTreeMap<String, Tensor>| m["x"], &[scalar()]).unwrap_err();
    assert!(error.to_string().contains("a map or a fixed field"), "{error}");
}
