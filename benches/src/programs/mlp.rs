//! A network of dense layers with tanh between, trained by cross-entropy.

use crate::data::{below, normal};
use crate::program::{Program, case};
use egrad::{Array, Outside, Tensor, grad, jit, vmap};

/// Weights (inputs × outputs) and biases of each layer.
pub type Params<T> = Vec<(T, T)>;

/// Units of the input, of the hidden layers and of the output.
pub const SIZES: [usize; 4] = [64, 128, 128, 10];

/// A network of layers of these sizes.
pub fn params(sizes: &[usize]) -> Params<Array> {
    let layer = |(i, io): (usize, &[usize])| {
        let (inputs, outputs, seed) = (io[0], io[1], 300 + 2 * i as u64);
        let scale = (1.0 / (inputs as f64).sqrt()) as f32;
        (normal([inputs, outputs], seed, scale), normal([outputs], seed + 1, 0.1))
    };
    sizes.windows(2).enumerate().map(layer).collect()
}

/// A batch of inputs.
pub fn pixels(batch: usize) -> Array {
    normal([batch, SIZES[0]], 400, 1.0)
}

/// Their classes.
pub fn labels(batch: usize) -> Array {
    below([batch], 401, SIZES[3] as u32)
}

fn logits(params: Params<Tensor>, mut x: Tensor) -> Tensor {
    let last = params.len() - 1;
    for (i, (w, b)) in params.into_iter().enumerate() {
        x = x.matmul(w) + b;
        if i < last {
            x = x.tanh();
        }
    }
    x
}

/// The cross-entropy of one example.
pub fn xent(params: Params<Tensor>, x: Tensor, label: Tensor) -> Tensor {
    -logits(params, x).log_softmax(-1).take(label, -1, Outside::Fill)
}

fn mean_loss(params: Params<Tensor>, x: Tensor, y: Tensor) -> Tensor {
    vmap(xent, (None, 0, 0))(params, x, y).mean()
}

fn sgd_step(params: Params<Tensor>, x: Tensor, y: Tensor) -> Params<Tensor> {
    let grads = grad(mean_loss)(params.clone(), x, y);
    params.into_iter().zip(grads).map(|((w, b), (dw, db))| (w - 0.1 * dw, b - 0.1 * db)).collect()
}

/// The gradient of one example, scaled down to norm 1 where it is longer.
fn clipped(params: Params<Tensor>, x: Tensor, y: Tensor) -> Params<Tensor> {
    let g = grad(xent)(params, x, y);
    let squares = g.iter().flat_map(|(w, b)| [w.square().sum(), b.square().sum()]);
    let norm = squares.reduce(|a, b| a + b).expect("a network has layers").sqrt();
    let scale = 1.0 / norm.maximum(1.0);
    g.into_iter().map(|(w, b)| (w * scale, b * scale)).collect()
}

fn dp_sgd_step(params: Params<Tensor>, x: Tensor, y: Tensor) -> Params<Tensor> {
    let grads = vmap(clipped, (None, 0, 0))(params, x, y);
    grads.into_iter().map(|(w, b)| (w.sum_axes(0), b.sum_axes(0))).collect()
}

fn mean_square(params: Params<Tensor>, x: Tensor) -> Tensor {
    logits(params, x).square().mean()
}

/// How many products a forward pass of one example sums, all layers but the first `skip`.
fn products(skip: usize) -> u64 {
    SIZES.windows(2).skip(skip).map(|io| (io[0] * io[1]) as u64).sum()
}

pub(super) fn programs() -> Vec<Program> {
    const BATCH: usize = 256;
    let n = BATCH as u64;
    // Forward, back to the weights, and back to the inputs of every layer but the first.
    let mean = 2 * n * (2 * products(0) + products(1));
    // One example's weight gradient is an outer product: a multiply per entry.
    let each = mean - n * products(0);
    vec![
        Program::new("mlp.per_example_grad.256", "64-128-128-10 tanh MLP, 256 gradients", each, |options| {
            let (params, x, y) = (params(&SIZES), pixels(BATCH), labels(BATCH));
            case!(options, jit(vmap(grad(xent), (None, 0, 0))), params, x, y)
        }),
        Program::new("mlp.mean_grad.256", "same MLP, gradient of the mean loss", mean, |options| {
            let (params, x, y) = (params(&SIZES), pixels(BATCH), labels(BATCH));
            case!(options, jit(grad(mean_loss)), params, x, y)
        }),
        Program::new("mlp.sgd_step.256", "same MLP, one SGD step", mean, |options| {
            let (params, x, y) = (params(&SIZES), pixels(BATCH), labels(BATCH));
            case!(options, jit(sgd_step), params, x, y)
        }),
        // A dense layer's gradient has the norm |input| · |output's gradient|: no example's matrix
        // need exist, so the least work is the mean gradient's.
        Program::new("dp_sgd_step.256", "per-example gradients clipped to norm 1, summed", mean, |options| {
            let (params, x, y) = (params(&SIZES), pixels(BATCH), labels(BATCH));
            case!(options, jit(dp_sgd_step), params, x, y)
        }),
        Program::new(
            "compile.mlp32_grad",
            "gradient of a 32-layer tanh MLP, width 32, batch 16",
            32 * 16 * 32 * 32 * 6,
            |options| {
                let (params, x) = (params(&[32; 33]), normal([16, 32], 45, 1.0));
                case!(options, jit(grad(mean_square)), params, x)
            },
        ),
    ]
}
