//! Scatters and sorts, what goes where the data says, row by row; and linear algebra, matrix by matrix.
//!
//! A row is what has to be done in order: of a scatter the updates of one index of the shared axes
//! and the axes before the scattered one, of a sort one row, of linear algebra a matrix. Rows run in any order and in parallel.
#![allow(unsafe_code)]

use crate::linalg::{Matrices, Real};
use egrad_ir::Dtype;
use egrad_ir::kernel::{Argsort, Kernel, Linalg, Scatter};
use egrad_ir::scalar::Sortable;
use smallvec::SmallVec;
use std::slice;

/// The rows of a scatter or sort.
pub(crate) struct Rows {
    what: What,
    dtype: Dtype,
    /// How many rows there are.
    pub(crate) count: usize,
    /// About how long all take, in ns.
    pub(crate) time: f64,
}

enum What {
    Scatter(Scatter),
    Argsort(Argsort),
    Matrices(Matrices),
}

/// The addresses of the operands.
type Addresses = SmallVec<[u64; 4]>;

impl Rows {
    pub(crate) fn scatter(kernel: &Kernel, scatter: &Scatter) -> Rows {
        let [x, _, updates] = scatter.sizes().unwrap_or_default();
        Rows {
            dtype: kernel.operands[scatter.x].dtype,
            count: scatter.batch * scatter.between,
            time: 0.1 * x as f64 + 2.0 * updates as f64,
            what: What::Scatter(scatter.clone()),
        }
    }

    pub(crate) fn argsort(kernel: &Kernel, argsort: &Argsort) -> Rows {
        let elements = (argsort.outer * argsort.length * argsort.inner) as f64;
        Rows {
            dtype: kernel.operands[argsort.x].dtype,
            count: argsort.outer * argsort.inner,
            time: 2.0 * elements * (argsort.length as f64 + 1.0).log2(),
            what: What::Argsort(argsort.clone()),
        }
    }

    pub(crate) fn linalg(kernel: &Kernel, linalg: &Linalg) -> Rows {
        Rows {
            dtype: kernel.operands[linalg.result].dtype,
            count: linalg.batch,
            time: linalg.batch as f64 * 200.0 + 0.5 * linalg.work(),
            what: What::Matrices(Matrices::new(kernel, linalg)),
        }
    }

    /// Does one row, of operands at these addresses.
    ///
    /// # Safety
    /// The kernel has been verified, and its operands are at these addresses: live memory of their
    /// lengths, aligned to their types, which nothing writes meanwhile; what the row writes of the
    /// result nothing else accesses.
    pub(crate) unsafe fn run(&self, number: usize, at: Addresses) {
        // SAFETY: by the caller's promise, for operands of the type the verifier has checked.
        unsafe {
            match (&self.what, self.dtype) {
                (What::Matrices(m), Dtype::F32) => matrix::<f32>(m, number, &at),
                (What::Matrices(m), _) => matrix::<f64>(m, number, &at),
                (What::Scatter(_) | What::Argsort(_), Dtype::F32) => self.row::<f32>(number, &at),
                (What::Scatter(_) | What::Argsort(_), Dtype::F64) => self.row::<f64>(number, &at),
                (What::Scatter(_) | What::Argsort(_), Dtype::I32) => self.row::<i32>(number, &at),
                (What::Scatter(_) | What::Argsort(_), Dtype::Bool) => self.row::<bool>(number, &at),
            }
        }
    }

    /// Does one row.
    ///
    /// # Safety
    /// As for [`run`](Self::run), with `T` the element type of what is scattered or sorted.
    unsafe fn row<T: Sortable>(&self, number: usize, at: &[u64]) {
        // SAFETY: by the caller's promise.
        unsafe {
            match &self.what {
                What::Scatter(s) => scatter::<T>(s, number, at),
                What::Argsort(s) => argsort::<T>(s, number, at),
                What::Matrices(_) => unreachable!("they are done matrix by matrix"),
            }
        }
    }
}

/// The elements of an operand.
///
/// # Safety
/// There are that many at the address, aligned, live and not written meanwhile.
unsafe fn elements<'a, T>(at: u64, len: usize) -> &'a [T] {
    if len == 0 {
        return &[];
    }
    // SAFETY: by the caller's promise; memory of some elements isn't null.
    unsafe { slice::from_raw_parts(at as *const T, len) }
}

/// A part of a written operand.
///
/// # Safety
/// There are so many elements from `first` on, aligned, live, and accessed by nothing else meanwhile;
/// any bits are elements of `T`.
unsafe fn part<'a, T>(at: u64, first: usize, len: usize) -> &'a mut [T] {
    if len == 0 {
        return &mut [];
    }
    // SAFETY: by the caller's promise; memory of some elements isn't null.
    unsafe { slice::from_raw_parts_mut((at as *mut T).add(first), len) }
}

/// # Safety
/// As for [`Rows::row`].
unsafe fn scatter<T: Sortable>(s: &Scatter, number: usize, at: &[u64]) {
    let combine = T::combiner(s.kind).expect("verified: scatters are of numbers");
    let [x, indices, updates] = s.sizes().expect("verified: they can be counted");
    // SAFETY: the operands have these lengths, which the verifier has checked; the row's part of the
    // result is its own. `T` is no bool, of which not all bits are elements.
    let (x, indices, updates, result) = unsafe {
        (
            elements::<T>(at[s.x], x),
            elements::<i32>(at[s.indices], indices),
            elements::<T>(at[s.updates], updates),
            part::<T>(at[s.result], number * s.length * s.inner, s.length * s.inner),
        )
    };
    result.copy_from_slice(&x[number * s.length * s.inner..][..s.length * s.inner]);
    let batch = number / s.between;
    let indices = &indices[batch * s.taken..][..s.taken];
    let updates = &updates[number * s.taken * s.inner..][..s.taken * s.inner];
    for (index, updates) in indices.iter().zip(updates.chunks_exact(s.inner.max(1))) {
        if let Some(position) = usize::try_from(*index).ok().filter(|p| *p < s.length) {
            for (to, update) in result[position * s.inner..][..s.inner].iter_mut().zip(updates) {
                *to = combine(*to, *update);
            }
        }
    }
}

/// # Safety
/// As for [`Rows::row`].
unsafe fn argsort<T: Sortable>(s: &Argsort, number: usize, at: &[u64]) {
    let first = number / s.inner * s.length * s.inner + number % s.inner;
    // SAFETY: x has that length, which the verifier has checked.
    let x = unsafe { elements::<T>(at[s.x], s.outer * s.length * s.inner) };
    let mut order: Vec<u32> = (0..s.length as u32).collect();
    order.sort_by(|i, j| x[first + *i as usize * s.inner].ascending(&x[first + *j as usize * s.inner]));
    for (i, from) in order.into_iter().enumerate() {
        // SAFETY: the element is inside the result, which is as long as x, and belongs to this row.
        unsafe { *(at[s.result] as *mut i32).add(first + i * s.inner) = from as i32 };
    }
}

/// # Safety
/// As for [`Rows::row`], of the float type of the kernel's operands.
unsafe fn matrix<T: Real>(m: &Matrices, number: usize, at: &[u64]) {
    let sizes = m.linalg.sizes().expect("verified: they can be counted");
    let read = |k: usize| {
        let len = sizes[k] * m.linalg.batch;
        // SAFETY: the operand has this length, which the verifier has checked.
        let whole = unsafe { elements::<T>(at[m.linalg.read[k]], len) };
        &whole[number * sizes[k]..][..sizes[k]]
    };
    let x = read(0);
    let y = if m.linalg.read.len() > 1 { read(1) } else { &[] };
    let size = sizes[m.linalg.read.len()];
    // SAFETY: the result has a batch of matrices of this size, and this one is the row's own.
    let result = unsafe { part::<T>(at[m.linalg.result], number * size, size) };
    m.run(x, y, result);
}
