//! Normalisations along rows, and activations.

use crate::data::{below, normal};
use crate::program::{Program, case};
use egrad::{Arg, Array, Tensor, grad, grad_argnums, jit};

/// softmax along the last axis.
pub fn softmax(x: Tensor) -> Tensor {
    x.softmax(-1)
}

/// The rows (along the last axis) brought to mean 0 and variance 1, then scaled and shifted.
pub fn layernorm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor {
    let d = x - x.mean_keepdims(-1);
    let variance = (d * d).mean_keepdims(-1);
    d * (1.0 / (variance + 1e-5).sqrt()) * gamma + beta
}

fn weighted_layernorm(x: Tensor, gamma: Tensor, beta: Tensor, c: Tensor) -> Tensor {
    (layernorm(x, gamma, beta) * c).sum()
}

/// The mean negative logarithm of the probability of each row's label.
fn nll(logits: Tensor, labels: Tensor) -> Tensor {
    -logits.log_softmax(-1).take_along_axis(labels.expand_dims(1), 1).mean()
}

fn gelu(x: Tensor) -> Tensor {
    0.5 * x * (1.0 + (0.7978845608028654 * (x + 0.044715 * x * x * x)).tanh())
}

fn gelu_chain(x: Tensor) -> Tensor {
    (0..4).fold(x, |y, _| gelu(y) + 0.1 * x)
}

const ROWS: usize = 4096;
const COLUMNS: usize = 1024;

fn matrix(seed: u64) -> Array {
    normal([ROWS, COLUMNS], seed, 1.0)
}

pub(super) fn programs() -> Vec<Program> {
    let n = (ROWS * COLUMNS) as u64;
    const CHAIN: usize = 4 << 20;
    let m = CHAIN as u64;
    vec![
        Program::new("softmax.4096x1024", "softmax over rows", 4 * n, |options| {
            let x = matrix(5);
            case!(options, jit(softmax), x)
        }),
        Program::new("layernorm.4096x1024", "layernorm over rows with scale and shift", 7 * n, |options| {
            let (x, gamma, beta) = (matrix(5), normal([COLUMNS], 6, 1.0), normal([COLUMNS], 7, 1.0));
            case!(options, jit(layernorm), x, gamma, beta)
        }),
        Program::new(
            "layernorm_grad.4096x1024",
            "gradient of sum(layernorm * c) by x, gamma, beta",
            16 * n,
            |options| {
                let (x, gamma, beta) = (matrix(5), normal([COLUMNS], 6, 1.0), normal([COLUMNS], 7, 1.0));
                let c = matrix(8);
                let f = grad_argnums(weighted_layernorm, (Arg::<0>, Arg::<1>, Arg::<2>));
                case!(options, jit(f), x, gamma, beta, c)
            },
        ),
        Program::new("log_softmax_nll_grad.4096x1024", "gradient of the mean NLL by the logits", 5 * n, |options| {
            let (x, labels) = (matrix(5), below([ROWS], 9, COLUMNS as u32));
            case!(options, jit(grad(nll)), x, labels)
        }),
        Program::new("gelu_chain.4m", "4 x (y = gelu(y) + 0.1*x), 4M elements", 4 * 10 * m, |options| {
            let x = normal([CHAIN], 10, 1.0);
            case!(options, jit(gelu_chain), x)
        }),
        Program::new("gelu_chain_grad.4m", "gradient of the sum of gelu_chain", 4 * 22 * m, |options| {
            let x = normal([CHAIN], 10, 1.0);
            case!(options, jit(grad(|x: Tensor| gelu_chain(x).sum())), x)
        }),
    ]
}
