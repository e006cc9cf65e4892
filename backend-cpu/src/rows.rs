//! Scatters and sorts, what goes where the data says, row by row; and linear algebra, matrix by matrix.
//!
//! A row is what has to be done in order: of a scatter the updates of one index of the shared axes
//! and the axes before the scattered one, of a sort one row, of linear algebra a
//! matrix. Rows run in any order and in parallel. If
//! there are few of them, a scatter's can be cut by the positions that updates go to: every part looks
//! at all indices, and does the updates that are its own in the same order.
#![allow(unsafe_code)]

use crate::launch;
use crate::linalg::{Matrices, Real};
use egrad_ir::kernel::{Argsort, Kernel, Linalg, Scatter};
use egrad_ir::{Dtype, Literal, Reduce, Sortable, bf16, f16};
use smallvec::SmallVec;
use std::ops::Range;
use std::slice;

/// The rows of a scatter or sort.
pub(crate) struct Rows {
    what: What,
    dtype: Dtype,
    /// How many rows there are.
    pub(crate) count: usize,
    /// Of how many positions each is that it can be cut by; 1 if it can't.
    pub(crate) positions: usize,
    /// About how long all take, in ns.
    pub(crate) time: f64,
}

/// An update of so many elements takes so long that it doesn't matter if every part looks at its index.
const WIDE: usize = 16;

enum What {
    /// Into a copy of its first operand, or, where that is one number, into so many of it.
    Scatter(Scatter, Option<Literal>),
    Argsort(Argsort),
    Matrices(Matrices),
}

/// The addresses of the operands.
type Addresses = SmallVec<[u64; 4]>;

impl Rows {
    /// `fill`: the number that x is everywhere; x isn't read then.
    pub(crate) fn scatter(kernel: &Kernel, scatter: &Scatter, fill: Option<Literal>) -> Rows {
        let [x, _, updates] = scatter.sizes().unwrap_or_default();
        Rows {
            dtype: kernel.operands[scatter.x].dtype,
            count: scatter.batch * scatter.between,
            positions: if scatter.inner >= WIDE { scatter.length } else { 1 },
            time: 0.1 * x as f64 + 2.0 * updates as f64,
            what: What::Scatter(scatter.clone(), fill),
        }
    }

    pub(crate) fn argsort(kernel: &Kernel, argsort: &Argsort) -> Rows {
        let elements = (argsort.outer * argsort.length * argsort.inner) as f64;
        Rows {
            dtype: kernel.operands[argsort.x].dtype,
            count: argsort.outer * argsort.inner,
            positions: 1,
            time: 2.0 * elements * (argsort.length as f64 + 1.0).log2(),
            what: What::Argsort(argsort.clone()),
        }
    }

    pub(crate) fn linalg(kernel: &Kernel, linalg: &Linalg) -> Rows {
        Rows {
            dtype: kernel.operands[linalg.result].dtype,
            count: linalg.batch,
            positions: 1,
            time: linalg.batch as f64 * 200.0 + 0.5 * linalg.work(),
            what: What::Matrices(Matrices::new(kernel, linalg)),
        }
    }

    /// Does one row, or what goes to part `i` of `parts` of its positions, of operands at these addresses.
    ///
    /// # Safety
    /// The kernel has been verified, and its operands are at these addresses: live memory of their
    /// lengths, aligned to their types, which nothing writes meanwhile; what the row writes of the
    /// result nothing else accesses.
    pub(crate) unsafe fn run(&self, number: usize, i: usize, parts: usize, at: Addresses) {
        // SAFETY: by the caller's promise, for operands of the type the verifier has checked.
        unsafe {
            if let What::Matrices(m) = &self.what {
                return match self.dtype {
                    Dtype::F32 => matrix::<f32>(m, number, &at),
                    _ => matrix::<f64>(m, number, &at),
                };
            }
            match self.dtype {
                Dtype::F32 => self.row::<f32>(number, [i, parts], &at),
                Dtype::F64 => self.row::<f64>(number, [i, parts], &at),
                Dtype::F16 => self.row::<f16>(number, [i, parts], &at),
                Dtype::Bf16 => self.row::<bf16>(number, [i, parts], &at),
                Dtype::I32 => self.row::<i32>(number, [i, parts], &at),
                Dtype::I64 => self.row::<i64>(number, [i, parts], &at),
                Dtype::U32 => self.row::<u32>(number, [i, parts], &at),
                Dtype::U8 => self.row::<u8>(number, [i, parts], &at),
                Dtype::Bool => self.row::<bool>(number, [i, parts], &at),
            }
        }
    }

    /// Does one row.
    ///
    /// # Safety
    /// As for [`run`](Self::run), with `T` the element type of what is scattered or sorted.
    unsafe fn row<T: Sortable>(&self, number: usize, [i, parts]: [usize; 2], at: &[u64]) {
        // SAFETY: by the caller's promise.
        unsafe {
            match &self.what {
                What::Scatter(s, fill) => {
                    scatter::<T>(s, fill.map(T::of), number, launch::part(s.length, 1, parts, i), at)
                }
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
/// As for [`Rows::row`], of these positions.
unsafe fn scatter<T: Sortable>(s: &Scatter, fill: Option<T>, number: usize, positions: Range<usize>, at: &[u64]) {
    let first = (number * s.length + positions.start) * s.inner;
    // SAFETY: the result has as many elements as x, which the verifier has checked; these positions of
    // the row's part of it are the caller's own. `T` is no bool, of which not all bits are elements.
    let result = unsafe { part::<T>(at[s.result], first, positions.len() * s.inner) };
    match fill {
        Some(number) => result.fill(number),
        None => {
            // SAFETY: so has x, which nothing writes meanwhile.
            let x = unsafe { elements::<T>(at[s.x] + (first * size_of::<T>()) as u64, result.len()) };
            result.copy_from_slice(x);
        }
    }
    let [_, indices, updates] = s.sizes().expect("verified: they can be counted");
    // SAFETY: the operands have these lengths, which the verifier has checked.
    let (indices, updates) =
        unsafe { (elements::<i32>(at[s.indices], indices), elements::<T>(at[s.updates], updates)) };
    // A loop for each, with the combination inlined.
    let row = Row { s, number, positions, indices, updates, result };
    match s.kind {
        Reduce::Sum => row.combine(|x, y| T::combine(Reduce::Sum, x, y)),
        Reduce::Max => row.combine(|x, y| T::combine(Reduce::Max, x, y)),
        Reduce::Prod => row.combine(|x, y| T::combine(Reduce::Prod, x, y)),
    }
}

/// A row of a scatter, or the part that goes to some positions.
struct Row<'a, T> {
    s: &'a Scatter,
    number: usize,
    positions: Range<usize>,
    indices: &'a [i32],
    updates: &'a [T],
    result: &'a mut [T],
}

impl<T: Sortable> Row<'_, T> {
    fn combine(self, combine: impl Fn(T, T) -> T) {
        let Row { s, number, positions, indices, updates, result } = self;
        let batch = number / s.between;
        let indices = &indices[batch * s.taken..][..s.taken];
        let updates = &updates[number * s.taken * s.inner..][..s.taken * s.inner];
        // The place of a position among these; beyond them for one that isn't.
        let place = |index: i32| usize::try_from(index).map_or(usize::MAX, |i| i.wrapping_sub(positions.start));
        if s.inner == 1 {
            for (index, update) in indices.iter().zip(updates) {
                if let Some(to) = result.get_mut(place(*index)) {
                    *to = combine(*to, *update);
                }
            }
            return;
        }
        for (index, updates) in indices.iter().zip(updates.chunks_exact(s.inner.max(1))) {
            let place = place(*index);
            if place < positions.len() {
                for (to, update) in result[place * s.inner..][..s.inner].iter_mut().zip(updates) {
                    *to = combine(*to, *update);
                }
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
    let mut order: Vec<T::Placed> = (0..s.length).map(|i| x[first + i * s.inner].placed(i as u32)).collect();
    order.sort_unstable();
    for (i, placed) in order.into_iter().enumerate() {
        // SAFETY: the element is inside the result, which is as long as x, and belongs to this row.
        unsafe { *(at[s.result] as *mut i32).add(first + i * s.inner) = T::position(placed) as i32 };
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

#[cfg(test)]
mod tests {
    use super::{Rows, WIDE};
    use egrad_ir::kernel::{Body, Kernel, Operand, Scatter};
    use egrad_ir::{Array, Dtype, Numerics, Reduce};

    fn scattering(kind: Reduce, batch: usize, length: usize, inner: usize, taken: usize) -> (Kernel, Scatter) {
        let scatter =
            Scatter { kind, batch, between: 1, length, inner, taken, x: 0, indices: 1, updates: 2, result: 3 };
        let operand = |dtype, len, written| Operand { dtype, len, written };
        let (x, updates) = (batch * length * inner, batch * taken * inner);
        let operands = vec![
            operand(Dtype::F32, x, false),
            operand(Dtype::I32, batch * taken, false),
            operand(Dtype::F32, updates, false),
            operand(Dtype::F32, x, true),
        ];
        let kernel = Kernel {
            name: "scatter".into(),
            operands,
            body: Body::Scatter(scatter.clone()),
            numerics: Numerics::Strict,
        };
        kernel.verify().unwrap();
        (kernel, scatter)
    }

    /// Cut into any number of parts, a scatter has the interpreter's bits; also with indices outside.
    #[test]
    #[allow(unsafe_code)]
    fn parts_make_the_whole() {
        for kind in [Reduce::Sum, Reduce::Max, Reduce::Prod] {
            for (batch, length, inner, taken) in
                [(1, 7, 1, 40), (1, 7, WIDE, 40), (3, 5, WIDE + 3, 9), (2, 1, 2, 3), (1, 4, 5, 0)]
            {
                let (kernel, scatter) = scattering(kind, batch, length, inner, taken);
                let rows = Rows::scatter(&kernel, &scatter, None);
                let numbers = |n: usize, scale: f32| -> Vec<f32> {
                    (0..n).map(|i| scale * ((i * 37 % 101) as f32 - 50.0)).collect()
                };
                let array = |data: Vec<f32>| Array::from_vec(data.clone(), [data.len()]).unwrap();
                let (x, updates) =
                    (array(numbers(batch * length * inner, 0.3)), array(numbers(batch * taken * inner, 0.7)));
                let indices: Vec<i32> = (0..batch * taken).map(|i| (i * 5 % (length + 2)) as i32 - 1).collect();
                let indices = Array::from_vec(indices, [batch * taken]).unwrap();
                let want =
                    kernel.eval(&[&x, &indices, &updates], egrad_ir::scalar::Elementary::Shared).unwrap().remove(0);
                assert_eq!(rows.positions, if inner >= WIDE { length } else { 1 });
                for parts in [1, 2, 3, length].into_iter().filter(|parts| *parts <= length) {
                    let mut got = Array::scratch(want.aval().clone()).unwrap();
                    let addresses = [x.as_ptr().unwrap(), indices.as_ptr().unwrap(), updates.as_ptr().unwrap()];
                    let mut addresses: Vec<u64> = addresses.into_iter().map(|p| p as u64).collect();
                    addresses.push(got.as_mut_ptr().unwrap() as u64);
                    for number in 0..rows.count {
                        for i in 0..parts {
                            // SAFETY: the addresses are those of live arrays of the operands' types and
                            // lengths, the last of which nothing else refers to.
                            unsafe { rows.run(number, i, parts, addresses.iter().copied().collect()) };
                        }
                    }
                    assert_eq!(got.to_f64(), want.to_f64());
                }
            }
        }
    }
}
