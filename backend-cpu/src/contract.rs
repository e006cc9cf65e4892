//! Contractions: large ones by the `gemm` crate, small and strict ones as loop nests.
#![allow(unsafe_code)]

use egrad_ir::kernel::{Acc, Affine, Contract, Inst, LoopNest, Matrix, Pass, Store, ValueId};
use egrad_ir::{Binary, Dtype, Literal, Numerics, Reduce};

/// Up to so many multiplications per matrix product, a call of `gemm` costs more than it saves.
const SMALL: usize = 16 * 16 * 16;

/// Whether a contraction is compiled as a loop nest.
pub(crate) fn as_loops(contract: &Contract, numerics: Numerics) -> bool {
    let work = contract.m.saturating_mul(contract.n).saturating_mul(contract.k);
    numerics == Numerics::Strict || work <= SMALL || reads(contract)
}

/// Whether a contraction is of a matrix and a vector, where little more is to do than to read the
/// matrix, which lies in rows or columns.
fn reads(c: &Contract) -> bool {
    let dense = |matrix: &Matrix| matrix.row == 1 || matrix.column == 1;
    (c.n == 1 && dense(&c.a)) || (c.m == 1 && dense(&c.b))
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

/// A contraction as matrix products that can run in any order: one per index of its batch, or if
/// threads share them one per strip of rows or columns of its result.
pub(crate) struct Products {
    contract: Contract,
    /// Whether strips are of rows.
    rows: bool,
    /// Rows or columns of a strip.
    width: usize,
    /// Strips per index of the batch.
    pub(crate) strips: usize,
    /// Indices of the batch.
    pub(crate) batch: usize,
    /// About how long all take, in ns.
    pub(crate) time: f64,
}

/// Strips are as wide as a multiple of this: every strip packs the other operand once more, which
/// then costs a twentieth of the multiplications.
const GRAIN: usize = 256;

/// Multiplications of a strip, at least.
const STRIP: usize = 1 << 20;

impl Products {
    pub(crate) fn new(contract: Contract) -> Products {
        let rows = contract.m >= contract.n;
        let (extent, other) = if rows { (contract.m, contract.n) } else { (contract.n, contract.m) };
        let each = other.saturating_mul(contract.k).max(1);
        let width = STRIP.div_ceil(each).next_multiple_of(GRAIN);
        let batch: usize = contract.batch.iter().product();
        let work = contract.m as f64 * contract.n as f64 * contract.k as f64;
        Products { rows, width, strips: (extent / width).max(1), batch, time: 0.03 * work * batch as f64, contract }
    }

    /// Runs one of the products on the operands at these addresses, `strips` of them (one or
    /// `self.strips`) being those of one index of the batch.
    ///
    /// # Safety
    /// The contraction has been verified for operands of the lengths of the live buffers at
    /// `operands`, of its element type and aligned to it; what this product writes (which differs
    /// from what the others do) is not accessed by anything else meanwhile, and nothing writes the
    /// other operands.
    pub(crate) unsafe fn run(&self, number: usize, strips: usize, operands: &[u64]) {
        let c = &self.contract;
        let strip = number % strips;
        let start = strip * self.width;
        let width = |extent: usize| if strip + 1 == strips { extent - start } else { self.width };
        let (extents, corners) = if self.rows {
            ([width(c.m), c.n], [c.c.row * start, c.a.row * start, 0])
        } else {
            ([c.m, width(c.n)], [c.c.column * start, 0, c.b.column * start])
        };
        let at = |matrix: &Matrix, corner: usize| {
            let mut element = matrix.offset + corner;
            let mut rest = number / strips;
            for (extent, stride) in c.batch.iter().zip(&matrix.batch_strides).rev() {
                element += rest % extent * stride;
                rest /= extent;
            }
            operands[matrix.operand] + (element * c.dtype.bytes()) as u64
        };
        let at = [at(&c.c, corners[0]), at(&c.a, corners[1]), at(&c.b, corners[2])];
        match c.dtype {
            // SAFETY: by the caller's promise, for `f32`; a strip's elements are the contraction's.
            Dtype::F32 => unsafe { product::<f32>(c, extents, at, 0.0, 1.0) },
            // SAFETY: as above, for `f64`.
            Dtype::F64 => unsafe { product::<f64>(c, extents, at, 0.0, 1.0) },
            Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                unreachable!("verified: contractions are of `f32` or `f64`")
            }
        }
    }
}

/// One matrix product, m × n; `at` are the addresses of the first elements of c, a and b.
///
/// # Safety
/// As for [`Products::run`], with `T` the contraction's element type.
unsafe fn product<T: 'static>(contract: &Contract, [m, n]: [usize; 2], at: [u64; 3], zero: T, one: T) {
    let (a, b, c) = (&contract.a, &contract.b, &contract.c);
    // SAFETY: every element (i, j) of each matrix lies in its buffer, which the verifier checked for
    // all indices below the contraction's extents; c is written and not read (`read_dst` is false)
    // and aliases neither a nor b, since a written operand aliases no other one.
    unsafe {
        gemm::gemm(
            m,
            n,
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
