//! The tutorial's functions, and the programs built in for `explore`.

use egrad::{Aval, Device, Dtype, Program, Result, Tensor, Tree, grad, jit, trace_avals, value_and_grad, vmap};

/// sin(x)·x.
fn sinx(x: Tensor) -> Tensor {
    x.sin() * x
}

/// A linear model of one number.
pub(crate) fn predict((w, b): (Tensor, Tensor), x: Tensor) -> Tensor {
    w * x + b
}

/// The squared error of one example.
pub(crate) fn squared_error(params: (Tensor, Tensor), x: Tensor, y: Tensor) -> Tensor {
    (predict(params, x) - y).powi(2)
}

/// The mean squared error of a batch.
pub(crate) fn mean_loss(params: (Tensor, Tensor), xs: Tensor, ys: Tensor) -> Tensor {
    (vmap(predict, (None, 0))(params, xs) - ys).powi(2).mean()
}

/// A dense layer's weights (inputs × outputs) and biases.
#[derive(Tree, Clone)]
pub(crate) struct Layer<T> {
    pub(crate) w: T,
    pub(crate) b: T,
}

/// A network with one hidden layer.
#[derive(Tree, Clone)]
pub(crate) struct Mlp<T> {
    pub(crate) hidden: Layer<T>,
    pub(crate) out: Layer<T>,
}

impl<T> Mlp<T> {
    /// Combines each leaf with the other network's.
    pub(crate) fn zip(self, other: Mlp<T>, f: impl Fn(T, T) -> T) -> Mlp<T> {
        let layer = |x: Layer<T>, y: Layer<T>| Layer { w: f(x.w, y.w), b: f(x.b, y.b) };
        Mlp { hidden: layer(self.hidden, other.hidden), out: layer(self.out, other.out) }
    }
}

/// Pixels of an image, units of the hidden layer, digits.
pub(crate) const SIZES: [usize; 3] = [64, 64, 10];

/// The logits of one image, or of a batch of images.
pub(crate) fn logits(net: Mlp<Tensor>, x: Tensor) -> Tensor {
    let hidden = (x.dot(net.hidden.w) + net.hidden.b).relu();
    hidden.dot(net.out.w) + net.out.b
}

/// The cross-entropy of one image with its digit (an integer), or the mean of a batch.
pub(crate) fn cross_entropy(net: Mlp<Tensor>, x: Tensor, digit: Tensor) -> Tensor {
    let log_p = logits(net, x).log_softmax(-1);
    -(log_p * digit.one_hot(SIZES[2], log_p.dtype())).sum_axes(-1).mean()
}

/// A program that `explore` knows by name.
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// What it is, in the library's words.
    pub(crate) what: &'static str,
    /// Traces it.
    pub(crate) trace: fn() -> Result<Program>,
}

/// Examples in the tutorial's batches, and in the networks'.
const EXAMPLES: usize = 100_000;
const IMAGES: usize = 256;

/// The program of that name.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|p| p.name == name)
}

/// Every program that is built in.
pub(crate) static ALL: &[Builtin] = &[
    Builtin { name: "sinx", what: "sin(x) * x of a number", trace: || trace_avals(sinx, &[f32s([])]) },
    Builtin {
        name: "predict",
        what: "vmap(predict, (None, 0)), 100,000 examples",
        trace: || trace_avals(vmap(predict, (None, 0)), &line(1)),
    },
    Builtin {
        name: "squared_error",
        what: "vmap(squared_error, (None, 0, 0)), 100,000 examples",
        trace: || trace_avals(vmap(squared_error, (None, 0, 0)), &line(2)),
    },
    Builtin {
        name: "per_example_grad",
        what: "vmap(grad(squared_error), (None, 0, 0)), 100,000 examples",
        trace: || trace_avals(vmap(grad(squared_error), (None, 0, 0)), &line(2)),
    },
    Builtin {
        name: "per_example_grad_vmap_jit",
        what: "vmap(jit(grad(squared_error)), (None, 0, 0)), 100,000 examples",
        trace: || {
            let inner = jit(grad(squared_error)).device(Device::Interpreter);
            trace_avals(vmap(inner, (None, 0, 0)), &line(2))
        },
    },
    Builtin {
        name: "mean_grad",
        what: "grad of the mean loss, with vmap(predict) inside, 100,000 examples",
        trace: || trace_avals(grad(mean_loss), &line(2)),
    },
    Builtin {
        name: "mlp",
        what: "value_and_grad of a 64-64-10 network's mean cross-entropy, 256 images",
        trace: || trace_avals(value_and_grad(cross_entropy), &network()),
    },
    Builtin {
        name: "mlp_per_example_grad",
        what: "vmap(grad(cross_entropy), (None, 0, 0)) of the same network, 256 images",
        trace: || trace_avals(vmap(grad(cross_entropy), (None, 0, 0)), &network()),
    },
];

fn f32s<const N: usize>(shape: [usize; N]) -> Aval {
    Aval::new(Dtype::F32, shape)
}

/// The types of a slope, an offset and `n` columns of examples.
fn line(n: usize) -> Vec<Aval> {
    let mut avals = vec![f32s([]), f32s([])];
    avals.extend((0..n).map(|_| f32s([EXAMPLES])));
    avals
}

/// The types of a network, of images and of their digits.
fn network() -> Vec<Aval> {
    let [pixels, units, digits] = SIZES;
    let weights = [f32s([pixels, units]), f32s([units]), f32s([units, digits]), f32s([digits])];
    weights.into_iter().chain([f32s([IMAGES, pixels]), Aval::new(Dtype::I32, [IMAGES])]).collect()
}
