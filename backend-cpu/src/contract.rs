//! Contractions: large ones by the `gemm` crate, small and strict ones as loop nests.
#![allow(unsafe_code)]

use egrad_ir::kernel::{Acc, Affine, Contract, Inst, LoopNest, Matrix, Pass, Store, ValueId};
use egrad_ir::{Binary, Dtype, Literal, Numerics, Reduce};
use smallvec::SmallVec;

/// Up to so many multiplications per matrix product, a call of `gemm` costs more than it saves.
const SMALL: usize = 16 * 16 * 16;

/// Whether a contraction is compiled as a loop nest.
pub(crate) fn as_loops(contract: &Contract, numerics: Numerics) -> bool {
    let work = contract.m.saturating_mul(contract.n).saturating_mul(contract.k);
    numerics == Numerics::Strict || work <= SMALL
}

/// The loop nest that computes a contraction.
pub(crate) fn loop_nest(c: &Contract) -> LoopNest {
    let domain: Vec<usize> = c.batch.iter().copied().chain([c.m, c.n]).collect();
    let index = |matrix: &Matrix, last: &[usize]| Affine {
        offset: matrix.offset,
        strides: matrix.batch_strides.iter().chain(last).copied().collect(),
    };
    let store = |value: usize| Store {
        operand: c.c.operand,
        index: index(&c.c, &[c.c.row, c.c.column]),
        value: ValueId::from(value),
    };
    if c.k == 0 {
        let zero = Inst::Literal(Literal::new(c.dtype, 0.0));
        return LoopNest {
            domain,
            passes: vec![Pass { insts: vec![zero], stores: vec![store(0)], ..Pass::default() }],
        };
    }
    let sum = Pass {
        loops: vec![c.k],
        insts: vec![
            Inst::Load { operand: c.a.operand, index: index(&c.a, &[c.a.row, 0, c.a.column]) },
            Inst::Load { operand: c.b.operand, index: index(&c.b, &[0, c.b.column, c.b.row]) },
            Inst::Binary(Binary::Mul, ValueId::from(0), ValueId::from(1)),
        ],
        accs: vec![Acc { kind: Reduce::Sum, value: ValueId::from(2) }],
        stores: Vec::new(),
    };
    LoopNest { domain, passes: vec![sum, Pass { stores: vec![store(3)], ..Pass::default() }] }
}

/// Runs a contraction on the operands at these addresses.
///
/// # Safety
/// The contraction has been verified for operands of the lengths of the live buffers at
/// `operands`, of its element type and aligned to it; that of `c` is not accessed by anything
/// else meanwhile.
pub(crate) unsafe fn run(contract: &Contract, operands: &[u64]) {
    let mut batch: SmallVec<[usize; 4]> = SmallVec::from_elem(0, contract.batch.len());
    loop {
        let at = |m: &Matrix| {
            let element = m.offset + m.batch_strides.iter().zip(&batch).map(|(s, i)| s * i).sum::<usize>();
            operands[m.operand] + (element * contract.dtype.bytes()) as u64
        };
        let at = [at(&contract.c), at(&contract.a), at(&contract.b)];
        match contract.dtype {
            // SAFETY: by the caller's promise, for `f32`.
            Dtype::F32 => unsafe { product::<f32>(contract, at, 0.0, 1.0) },
            // SAFETY: by the caller's promise, for `f64`.
            Dtype::F64 => unsafe { product::<f64>(contract, at, 0.0, 1.0) },
            Dtype::I32 | Dtype::Bool => unreachable!("verified: contractions are of floats"),
        }
        // The next batch index, the last axis fastest.
        let Some(axis) = (0..batch.len()).rev().find(|a| batch[*a] + 1 < contract.batch[*a]) else { return };
        batch[axis] += 1;
        batch[axis + 1..].fill(0);
    }
}

/// One matrix product; `at` are the addresses of the first elements of c, a and b.
///
/// # Safety
/// As for [`run`], with `T` the contraction's element type.
unsafe fn product<T: 'static>(contract: &Contract, at: [u64; 3], zero: T, one: T) {
    let (a, b, c) = (&contract.a, &contract.b, &contract.c);
    // SAFETY: every element (i, j) of each matrix lies in its buffer, which the verifier checked for
    // all indices below the extents; c is written and not read (`read_dst` is false) and aliases
    // neither a nor b, since a written operand aliases no other one.
    unsafe {
        gemm::gemm(
            contract.m,
            contract.n,
            contract.k,
            at[0] as *mut T,
            c.column as isize,
            c.row as isize,
            false,
            at[1] as *const T,
            a.column as isize,
            a.row as isize,
            at[2] as *const T,
            b.column as isize,
            b.row as isize,
            zero,
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
