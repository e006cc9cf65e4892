//! `vmap` of so many elements at a time.

use super::vmap::{Vmapped, mapped, vmap};
use crate::axes::Axes;
use crate::function::{Args, Function};
use crate::jit::jit;
use crate::trace;
use crate::tree::{Flat, Traced, Tree, build, paths};
use egrad_ir::{Array, Dtype, Error, Result, Shape, Span, bf16, f16};
use std::fmt;
use std::ops::Deref;

impl<A: Args, O: Traced> Vmapped<A, O> {
    /// The same for so many elements at a time: the same results in less memory. It takes arrays, as
    /// what [`jit`](crate::jit()) returns does.
    ///
    /// ```
    /// use egrad::{Array, Tensor, vmap};
    /// # fn main() -> egrad::Result<()> {
    /// let squares = vmap(|x: Tensor, y: Tensor| x * y, (0, None)).chunked(2);
    /// let xs = Array::from_vec(vec![1.0f32, 2.0, 3.0], [3])?;
    /// assert_eq!(squares(&xs, &Array::from(2.0f32))?.as_slice::<f32>().unwrap(), [2.0, 4.0, 6.0]);
    /// # Ok(()) }
    /// ```
    ///
    /// The last chunk may be smaller. One program is compiled for each of the two sizes.
    ///
    /// # Errors
    /// When it is called: as `vmap` under `jit`, and [`Error::Axis`] for chunks of no elements.
    #[track_caller]
    pub fn chunked(self, chunk: usize) -> Chunked<A, O> {
        let Vmapped { over, in_axes, span } = self;
        let door = jit::<A::Fn<O>, A>(over);
        let at = Span::here();
        let run = A::by_ref(move |args: Flat<'_, Array>| {
            if chunk == 0 {
                return Err(Error::axis("`chunked` takes at least one element at a time, not 0").at(at));
            }
            let (axes, size) = lengths::<A>(&args, &*in_axes, span)?;
            let of = |start: usize, n: usize| -> Result<A::Arrays> {
                let mut leaves = Vec::with_capacity(args.leaves.len());
                for (leaf, axis) in args.leaves.iter().zip(&axes) {
                    leaves.push(match axis {
                        Some(axis) => part(leaf, *axis, start, n)?,
                        None => (*leaf).clone(),
                    });
                }
                Ok(build(leaves, &args.structure))
            };
            if size <= chunk {
                return Ok(door.run(&of(0, size)?)?.0);
            }
            let mut chunks = Vec::new();
            for start in (0..size).step_by(chunk) {
                chunks.push(door.run(&of(start, chunk.min(size - start))?)?.0);
            }
            joined(&chunks, size)
        });
        Chunked { run, chunk }
    }
}

/// `vmap(f, in_axes).chunked(chunk)`: see [`Vmapped::chunked`].
#[track_caller]
pub fn vmap_chunked<F, A, X>(f: F, in_axes: X, chunk: usize) -> Chunked<A, F::Output>
where
    F: Function<A>,
    F::Output: Traced,
    A: Args,
    X: Axes<A> + 'static,
{
    vmap(f, in_axes).chunked(chunk)
}

/// A function of arrays that runs for so many elements at a time: what [`Vmapped::chunked`] returns.
///
/// It derefs to `dyn Fn(&A, &B, …) -> Result<O>`, so that it is called like a function.
pub struct Chunked<A: Args, O: Tree> {
    run: Box<A::RefFn<Result<O::Arrays>>>,
    chunk: usize,
}

impl<A: Args, O: Tree> Deref for Chunked<A, O> {
    type Target = A::RefFn<Result<O::Arrays>>;
    fn deref(&self) -> &Self::Target {
        &self.run
    }
}

impl<A: Args, O: Tree> fmt::Debug for Chunked<A, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunked(of {})", self.chunk)
    }
}

/// The axis of each leaf, and how many elements there are.
fn lengths<A: Args>(args: &Flat<'_, Array>, in_axes: &dyn Axes<A>, span: Span) -> Result<(Vec<Option<usize>>, usize)> {
    // Arrays are made nowhere in traced code.
    let params: Vec<_> = args.leaves.iter().map(|x| (x.aval().clone(), Span::Unknown)).collect();
    let traced = trace::outermost("axes".to_owned(), params.clone(), span, |tensors| {
        let args: A = build(tensors.iter().copied(), &args.structure);
        (Vec::new(), mapped(&args, in_axes, &params, || paths(&args)))
    });
    traced?.extra.map_err(|e| e.at(span))
}

/// So many slices of an array along an axis.
fn part(x: &Array, axis: usize, start: usize, n: usize) -> Result<Array> {
    let mut shape = x.shape().to_vec();
    let inner: usize = shape[axis + 1..].iter().product();
    let (outer, length): (usize, _) = (shape[..axis].iter().product(), shape[axis]);
    shape[axis] = n;
    fn each<T: egrad_ir::Element>(
        x: &Array,
        runs: impl Iterator<Item = std::ops::Range<usize>>,
        to: Shape,
    ) -> Result<Array> {
        let elements = x.elements::<T>()?;
        Array::from_vec(runs.flat_map(|run| elements[run].iter().copied()).collect::<Vec<T>>(), to)
    }
    let runs = (0..outer).map(|o| {
        let at = (o * length + start) * inner;
        at..at + n * inner
    });
    match x.dtype() {
        Dtype::F32 => each::<f32>(x, runs, shape.into()),
        Dtype::F64 => each::<f64>(x, runs, shape.into()),
        Dtype::F16 => each::<f16>(x, runs, shape.into()),
        Dtype::Bf16 => each::<bf16>(x, runs, shape.into()),
        Dtype::I32 => each::<i32>(x, runs, shape.into()),
        Dtype::I64 => each::<i64>(x, runs, shape.into()),
        Dtype::U32 => each::<u32>(x, runs, shape.into()),
        Dtype::U8 => each::<u8>(x, runs, shape.into()),
        Dtype::Bool => each::<bool>(x, runs, shape.into()),
    }
}

/// Trees of arrays joined along their axes 0, leaf by leaf.
fn joined<T: Tree<Leaf = Array>>(chunks: &[T], size: usize) -> Result<T> {
    let flats: Vec<Flat<'_, Array>> = chunks.iter().map(Flat::of).collect();
    let mut leaves = Vec::new();
    for (i, first) in flats[0].leaves.iter().enumerate() {
        fn each<T: egrad_ir::Element>(parts: &[&Array], shape: Shape) -> Result<Array> {
            let mut elements = Vec::with_capacity(shape.size());
            for part in parts {
                elements.extend_from_slice(part.elements::<T>()?);
            }
            Array::from_vec(elements, shape)
        }
        let parts: Vec<&Array> = flats.iter().map(|flat| flat.leaves[i]).collect();
        let shape = first.shape().without(&[0]).insert(0, size);
        leaves.push(match first.dtype() {
            Dtype::F32 => each::<f32>(&parts, shape)?,
            Dtype::F64 => each::<f64>(&parts, shape)?,
            Dtype::F16 => each::<f16>(&parts, shape)?,
            Dtype::Bf16 => each::<bf16>(&parts, shape)?,
            Dtype::I32 => each::<i32>(&parts, shape)?,
            Dtype::I64 => each::<i64>(&parts, shape)?,
            Dtype::U32 => each::<u32>(&parts, shape)?,
            Dtype::U8 => each::<u8>(&parts, shape)?,
            Dtype::Bool => each::<bool>(&parts, shape)?,
        });
    }
    Ok(build(leaves, &flats[0].structure))
}
