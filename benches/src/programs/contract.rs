//! Matrix products, and attention.

use crate::data::normal;
use crate::program::{Program, case};
use egrad::{Arg, Array, Tensor, einsum, grad_argnums, jit};

fn product(a: Tensor, b: Tensor) -> Tensor {
    a.matmul(b)
}

fn attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor {
    let s = einsum("bhtd,bhsd->bhts", [q, k]) / (DEPTH as f64).sqrt();
    einsum("bhts,bhsd->bhtd", [s.softmax(-1), v])
}

fn weighted_attention(q: Tensor, k: Tensor, v: Tensor, c: Tensor) -> Tensor {
    (attention(q, k, v) * c).sum()
}

/// Batch, heads, positions, and elements of each.
const BATCH: usize = 8;
const HEADS: usize = 8;
const POSITIONS: usize = 128;
const DEPTH: usize = 64;

fn heads(seed: u64) -> Array {
    normal([BATCH, HEADS, POSITIONS, DEPTH], seed, 1.0)
}

pub(super) fn programs() -> Vec<Program> {
    let mut all = Vec::new();
    for n in [512usize, 1024] {
        let what = "a square matrix times another";
        all.push(Program::new(format!("matmul.{n}"), what, 2 * n.pow(3) as u64, move |options| {
            let (a, b) = (normal([n, n], 15, 1.0), normal([n, n], 16, 1.0));
            case!(options, jit(product), a, b)
        }));
    }
    let batched = 2 * 1024 * 32u64.pow(3);
    all.push(Program::new("matmul.batched_1024x32", "1024 products of 32x32 by 32x32", batched, |options| {
        let (a, b) = (normal([1024, 32, 32], 17, 1.0), normal([1024, 32, 32], 18, 1.0));
        case!(options, jit(product), a, b)
    }));
    all.push(Program::new("matvec.2048", "2048x2048 times a vector", 2 * 2048 * 2048, |options| {
        let (a, b) = (normal([2048, 2048], 15, 1.0), normal([2048], 16, 1.0));
        case!(options, jit(product), a, b)
    }));
    let (rows, t, d) = ((BATCH * HEADS * POSITIONS) as u64, POSITIONS as u64, DEPTH as u64);
    all.push(Program::new("attention.fwd", "B=8 H=8 T=128 D=64", rows * t * (4 * d + 5), |options| {
        let (q, k, v) = (heads(19), heads(20), heads(21));
        case!(options, jit(attention), q, k, v)
    }));
    let what = "gradient of sum(attention * c) by q, k, v";
    all.push(Program::new("attention.grad", what, rows * t * (10 * d + 10), |options| {
        let (q, k, v, c) = (heads(19), heads(20), heads(21), heads(22));
        let f = grad_argnums(weighted_attention, (Arg::<0>, Arg::<1>, Arg::<2>));
        case!(options, jit(f), q, k, v, c)
    }));
    all
}
