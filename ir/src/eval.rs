//! The reference interpreter: the oracle every transform, rule and backend is tested against.
//!
//! It does what the primitives' definitions say, one node at a time, in the element type's own
//! width, with no rewriting and no fusion.

use crate::array::Array;
use crate::dtype::{Dtype, Element};
use crate::error::{Error, Result};
use crate::graph::{Aval, Function, NodeKind};
use crate::infer;
use crate::op::{Axes, Binary, Compare, DotDims, Op, Reduce, Unary};
use crate::scalar::{Lanes, Scalar, Sortable, by_dtype, compare_fn};
use crate::shape::Shape;

pub use crate::scalar::Elementary;

/// Runs a plain function: parameters and primitives, every transform expanded.
///
/// Nodes no result depends on are not evaluated, and a value's memory is freed after its last use.
///
/// # Errors
/// If the inputs are not the parameters' number and avals, if the function applies a transform, or
/// if memory runs out.
///
/// ```
/// use egrad_ir::{Array, Aval, Dtype, Function, Op, Span, Unary, eval::{Elementary, eval}};
/// let mut f = Function::new("double", [(Aval::new(Dtype::F32, [2]), Span::Unknown)]);
/// let x = f.params().next().unwrap();
/// let y = f.add(Op::Unary(Unary::Neg), &[x], Span::here())?;
/// f.set_results(vec![y]);
/// let out = eval(&f, &[&Array::from_vec(vec![1.0f32, -2.0], [2])?], Elementary::Std)?;
/// assert_eq!(out[0].as_slice::<f32>().unwrap(), [-1.0, 2.0]);
/// # Ok::<(), egrad_ir::Error>(())
/// ```
pub fn eval(function: &Function, inputs: &[&Array], mode: Elementary) -> Result<Vec<Array>> {
    eval_each(function, inputs, mode, |_, _| ())
}

/// As [`eval`], showing every value that is computed.
///
/// # Errors
/// As [`eval`].
pub fn eval_each(
    function: &Function,
    inputs: &[&Array],
    mode: Elementary,
    mut each: impl FnMut(crate::NodeId, &Array),
) -> Result<Vec<Array>> {
    check_inputs(&function.name, &function.param_avals(), inputs)?;
    let live = function.live();
    let mut uses = vec![0u32; function.len()];
    for (id, node) in function.nodes() {
        if live[id.index()] {
            node.args.iter().for_each(|a| uses[a.index()] += 1);
        }
    }
    function.results().iter().for_each(|r| uses[r.index()] += 1);

    let mut values: Vec<Option<Array>> = vec![None; function.len()];
    for (id, node) in function.nodes() {
        if !live[id.index()] {
            continue;
        }
        let value = match &node.kind {
            NodeKind::Param(i) => inputs[*i].clone(),
            NodeKind::Op(op) => {
                let missing = || Error::internal(format!("an operand of {id} comes after it")).at(node.span);
                let args: Option<Vec<&Array>> = node.args.iter().map(|a| values[a.index()].as_ref()).collect();
                eval_op(op, &args.ok_or_else(missing)?, mode).map_err(|e| e.at(node.span))?
            }
            NodeKind::Apply(..) | NodeKind::Get(_) => return Err(crate::graph::not_plain(function).at(node.span)),
        };
        each(id, &value);
        values[id.index()] = Some(value);
        for a in &node.args {
            uses[a.index()] -= 1;
            if uses[a.index()] == 0 {
                values[a.index()] = None;
            }
        }
    }
    let result = |r: &crate::NodeId| values[r.index()].clone().ok_or_else(|| Error::internal(format!("no value {r}")));
    function.results().iter().map(result).collect()
}

/// Whether `inputs` are what something called `name` takes.
pub(crate) fn check_inputs(name: &str, want: &[Aval], inputs: &[&Array]) -> Result<()> {
    if want.len() != inputs.len() {
        return Err(Error::tree(format!("`{name}` takes {} inputs, not {}", want.len(), inputs.len())));
    }
    match want.iter().zip(inputs).position(|(w, x)| w != x.aval()) {
        Some(i) => {
            let (want, got) = (&want[i], inputs[i].aval());
            let message = format!("input {i} of `{name}` must be {want}, not {got}");
            Err(if want.dtype == got.dtype { Error::shape(message) } else { Error::dtype(message) })
        }
        None => Ok(()),
    }
}

/// Runs one primitive.
///
/// `dot_general` adds the products up in the order a reduction over the contracted axes would,
/// the last contracted pair being the innermost; see [`Acc`](crate::kernel::Acc). A reduction over
/// no axes, or a product that contracts none, adds nothing.
///
/// # Errors
/// If the operands don't fit the primitive or memory runs out.
pub fn eval_op(op: &Op, args: &[&Array], mode: Elementary) -> Result<Array> {
    let avals: Vec<&Aval> = args.iter().map(|a| a.aval()).collect();
    let aval = infer::infer(op, &avals)?;
    let refused = || Error::internal(format!("`{}` has no meaning for {avals:?}", op.name()));
    match op {
        Op::Constant(literal) => Array::full(Shape::scalar(), *literal),
        Op::Iota { dtype, axis, .. } => by_dtype!(*dtype, T => {
            let (length, step) = (aval.shape[*axis], aval.shape.strides()[*axis]);
            fill::<T>(&aval, |k| T::from_f64((k / step % length) as f64))
        }),
        Op::Unary(Unary::StopGradient) => Ok(args[0].clone()),
        Op::Unary(u) => by_dtype!(aval.dtype, T => {
            let (f, fix) = (T::unary(*u, mode).ok_or_else(refused)?, T::fix(mode));
            let x = slice::<T>(args[0])?;
            fill::<T>(&aval, |i| fix(f(x[i])))
        }),
        Op::Binary(b) => by_dtype!(aval.dtype, T => {
            let (f, fix) = (T::binary(*b, mode).ok_or_else(refused)?, T::fix(mode));
            let (x, y) = (slice::<T>(args[0])?, slice::<T>(args[1])?);
            fill::<T>(&aval, |i| fix(f(x[i], y[i])))
        }),
        Op::Compare(c) => by_dtype!(args[0].dtype(), T => compare::<T>(*c, args, &aval)),
        Op::Select => by_dtype!(aval.dtype, T => {
            let (p, x, y) = (slice::<bool>(args[0])?, slice::<T>(args[1])?, slice::<T>(args[2])?);
            fill::<T>(&aval, |i| if p[i] { x[i] } else { y[i] })
        }),
        Op::IntegerPow(n) => by_dtype!(aval.dtype, T => {
            let (x, fix) = (slice::<T>(args[0])?, T::fix(mode));
            T::from_f64(1.0).integer_pow(*n).ok_or_else(refused)?;
            fill::<T>(&aval, |i| fix(x[i].integer_pow(*n).unwrap_or(x[i])))
        }),
        Op::Convert(to) if *to == args[0].dtype() => Ok(args[0].clone()),
        Op::Convert(to) => by_dtype!(args[0].dtype(), S => by_dtype!(*to, T => {
            let (x, fix) = (slice::<S>(args[0])?, T::fix(mode));
            fill::<T>(&aval, |i| fix(T::from_f64(x[i].literal().to_f64())))
        })),
        Op::BroadcastInDim { dims, .. } => {
            let x = args[0].shape();
            let mut strides: Axes = aval.shape.iter().map(|_| 0).collect();
            for ((d, n), s) in dims.iter().zip(x.iter()).zip(x.strides()) {
                strides[*d] = if *n == 1 { 0 } else { s };
            }
            by_dtype!(aval.dtype, T => gather::<T>(args[0], &aval, &strides))
        }
        Op::Reshape(shape) => args[0].reshape(shape.clone()),
        Op::Transpose(perm) => {
            let x = args[0].shape().strides();
            let strides: Axes = perm.iter().map(|p| x[*p]).collect();
            by_dtype!(aval.dtype, T => gather::<T>(args[0], &aval, &strides))
        }
        Op::Reduce { axes, .. } if axes.is_empty() => Ok(args[0].clone()),
        Op::Reduce { kind, axes } => by_dtype!(aval.dtype, T => reduce::<T>(*kind, axes, args[0], &aval, mode)),
        Op::DotGeneral(dims) => by_dtype!(aval.dtype, T => dot::<T>(dims, args[0], args[1], &aval, mode)),
        Op::Slice { start, .. } => {
            let strides = args[0].shape().strides();
            let first: usize = start.iter().zip(&strides).map(|(s, stride)| s * stride).sum();
            by_dtype!(aval.dtype, T => moved::<T>(args[0], &aval, &|index| {
                Some(first + index.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>())
            }, None))
        }
        Op::Pad { low, .. } => {
            let (shape, strides) = (args[0].shape(), args[0].shape().strides());
            by_dtype!(aval.dtype, T => moved::<T>(args[0], &aval, &|index| {
                index.iter().zip(low).zip(shape.iter().zip(&strides)).try_fold(0, |at, ((i, low), (n, stride))| {
                    let i = i.checked_sub(*low).filter(|i| i < n)?;
                    Some(at + i * stride)
                })
            }, Some(slice::<T>(args[1])?[0])))
        }
        Op::Reverse(axes) => {
            let (shape, strides) = (args[0].shape(), args[0].shape().strides());
            by_dtype!(aval.dtype, T => moved::<T>(args[0], &aval, &|index| {
                let at = |(axis, i): (usize, &usize)| if axes.contains(&axis) { shape[axis] - 1 - i } else { *i };
                Some(index.iter().enumerate().map(|(axis, i)| at((axis, i)) * strides[axis]).sum())
            }, None))
        }
        Op::Concatenate(axis) => by_dtype!(aval.dtype, T => {
            let (x, y) = (slice::<T>(args[0])?, slice::<T>(args[1])?);
            let inner: usize = aval.shape[axis + 1..].iter().product();
            let (mine, theirs) = (args[0].shape()[*axis] * inner, args[1].shape()[*axis] * inner);
            fill::<T>(&aval, |i| {
                let (row, at) = (i / (mine + theirs), i % (mine + theirs));
                if at < mine { x[row * mine + at] } else { y[row * theirs + at - mine] }
            })
        }),
        Op::Take { axis, batch } => by_dtype!(aval.dtype, T => {
            let (x, places) = (slice::<T>(args[0])?, Places::new(args[0], args[1], *axis, *batch)?);
            fill::<T>(&aval, |i| places.of(i).map_or(T::from_f64(0.0), |at| x[at]))
        }),
        Op::Scatter { kind, axis, batch } => by_dtype!(aval.dtype, T => {
            let (_, f) = T::reduce(*kind).ok_or_else(refused)?;
            let fix = T::fix(mode);
            let (x, places) = (slice::<T>(args[0])?, Places::new(args[0], args[1], *axis, *batch)?);
            let mut out = fill::<T>(&aval, |i| x[i])?;
            let elements = out.as_mut_slice::<T>().ok_or_else(refused)?;
            for (i, update) in slice::<T>(args[2])?.iter().enumerate() {
                if let Some(at) = places.of(i) {
                    elements[at] = fix(f(elements[at], *update));
                }
            }
            Ok(out)
        }),
        Op::Argsort(axis) => by_dtype!(args[0].dtype(), T => {
            let x = slice::<T>(args[0])?;
            let (length, step) = (aval.shape[*axis], aval.shape.strides()[*axis]);
            let mut out = fill::<i32>(&aval, |_| 0)?;
            let elements = out.as_mut_slice::<i32>().ok_or_else(refused)?;
            let mut order: Vec<usize> = Vec::new();
            for row in 0..x.len().checked_div(length).unwrap_or(0) {
                let first = row / step * step * length + row % step;
                order.clear();
                order.extend(0..length);
                order.sort_by(|i, j| x[first + i * step].ascending(&x[first + j * step]));
                for (i, from) in order.iter().enumerate() {
                    elements[first + i * step] = *from as i32;
                }
            }
            Ok(out)
        }),
    }
}

/// The elements of x that `place` finds for each index, or `other` where it finds none.
fn moved<T: Scalar>(
    x: &Array,
    aval: &Aval,
    place: &dyn Fn(&[usize]) -> Option<usize>,
    other: Option<T>,
) -> Result<Array> {
    let x = slice::<T>(x)?;
    let mut indices = aval.shape.indices();
    let nowhere = other.unwrap_or(T::from_f64(0.0));
    fill(aval, |_| indices.next().and_then(|index| place(&index)).map_or(nowhere, |at| x[at]))
}

/// Where the elements of a [`Op::Take`] come from.
struct Places<'a> {
    indices: &'a [i32],
    /// Indices per index of the batch.
    taken: usize,
    /// Elements of x after the axis, along it, and between the batch and it.
    inner: usize,
    length: usize,
    between: usize,
}

impl Places<'_> {
    fn new<'a>(x: &Array, indices: &'a Array, axis: usize, batch: usize) -> Result<Places<'a>> {
        let shape = x.shape();
        Ok(Places {
            taken: indices.shape()[batch..].iter().product(),
            inner: shape[axis + 1..].iter().product(),
            length: shape[axis],
            between: shape[batch..axis].iter().product(),
            indices: slice::<i32>(indices)?,
        })
    }

    /// The element of x that element `i` of the result is; none outside.
    fn of(&self, i: usize) -> Option<usize> {
        let (rest, inner) = (i / self.inner, i % self.inner);
        let (rest, taken) = (rest / self.taken, rest % self.taken);
        let batch = rest / self.between;
        let position = usize::try_from(self.indices[batch * self.taken + taken]).ok().filter(|p| *p < self.length)?;
        Some((rest * self.length + position) * self.inner + inner)
    }
}

fn slice<T: Element>(x: &Array) -> Result<&[T]> {
    x.elements()
}

/// An array whose element at row-major position `i` is `f(i)`.
fn fill<T: Element>(aval: &Aval, mut f: impl FnMut(usize) -> T) -> Result<Array> {
    let mut out = Array::scratch(aval.clone())?;
    let elements = out.as_mut_slice::<T>();
    let elements = elements.ok_or_else(|| Error::internal(format!("{aval} taken for {}", T::DTYPE)))?;
    elements.iter_mut().enumerate().for_each(|(i, e)| *e = f(i));
    Ok(out)
}

fn compare<T: Scalar>(op: Compare, args: &[&Array], aval: &Aval) -> Result<Array> {
    let (f, x, y) = (compare_fn::<T>(op), slice::<T>(args[0])?, slice::<T>(args[1])?);
    debug_assert_eq!(aval.dtype, Dtype::Bool);
    fill(aval, |i| f(x[i], y[i]))
}

/// The elements of `x` at the offsets the strides make of each index of `aval`'s shape.
fn gather<T: Scalar>(x: &Array, aval: &Aval, strides: &[usize]) -> Result<Array> {
    let x = slice::<T>(x)?;
    let mut offsets = Offsets::new(&aval.shape, strides);
    fill(aval, |_| x[offsets.next().unwrap_or_default()])
}

fn reduce<T: Scalar>(kind: Reduce, axes: &[usize], x: &Array, aval: &Aval, mode: Elementary) -> Result<Array> {
    let zero = Lanes::<T>::new(kind).ok_or_else(|| Error::internal(format!("no `{}` of {aval}", kind.name())))?;
    let (shape, strides) = (x.shape(), x.shape().strides());
    let x = slice::<T>(x)?;
    let pick = |keep: bool| -> (Axes, Axes) {
        (0..shape.rank()).filter(|a| axes.contains(a) != keep).map(|a| (shape[a], strides[a])).unzip()
    };
    let (kept, kept_strides) = pick(true);
    let (mut reduced, mut reduced_strides) = pick(false);
    let (length, step) = (reduced.pop().unwrap_or(1), reduced_strides.pop().unwrap_or(0));
    let mut outer = Offsets::new(&kept, &kept_strides);
    fill(aval, |_| {
        let base = outer.next().unwrap_or_default();
        let mut lanes = zero.clone();
        for middle in Offsets::new(&reduced, &reduced_strides) {
            for j in 0..length {
                lanes.add(j, x[base + middle + j * step]);
            }
        }
        lanes.finish(mode)
    })
}

fn dot<T: Scalar>(dims: &DotDims, x: &Array, y: &Array, aval: &Aval, mode: Elementary) -> Result<Array> {
    let refused = || Error::internal(format!("no `dot_general` of {}", x.aval()));
    let zero = Lanes::<T>::new(Reduce::Sum).ok_or_else(refused)?;
    let (mul, fix) = (T::binary(Binary::Mul, mode).ok_or_else(refused)?, T::fix(mode));
    let operands = [x.shape(), y.shape()];
    let offsets = |side: usize, axes: &[usize]| -> Vec<usize> {
        let strides = operands[side].strides();
        let (lengths, strides): (Axes, Axes) = axes.iter().map(|a| (operands[side][*a], strides[*a])).unzip();
        Offsets::new(&lengths, &strides).collect()
    };
    let batch = [0, 1].map(|side| offsets(side, &dims.batch[side]));
    let free = [0, 1].map(|side| offsets(side, &dims.free(side, operands[side].rank())));
    let contract = [0, 1].map(|side| offsets(side, &dims.contract[side]));
    let innermost = dims.contract[0].last().map_or(1, |a| operands[0][*a]);
    let (x, y) = (slice::<T>(x)?, slice::<T>(y)?);
    let [rows, columns] = [free[0].len(), free[1].len()];
    fill(aval, |i| {
        let (b, row, column) = (i / columns / rows, i / columns % rows, i % columns);
        let (x0, y0) = (batch[0][b] + free[0][row], batch[1][b] + free[1][column]);
        if dims.contract[0].is_empty() {
            return fix(mul(x[x0], y[y0]));
        }
        let mut lanes = zero.clone();
        for (k, (dx, dy)) in contract[0].iter().zip(&contract[1]).enumerate() {
            lanes.add(k % innermost, mul(x[x0 + dx], y[y0 + dy]));
        }
        lanes.finish(mode)
    })
}

/// The offsets `Σ strides[i]·index[i]` of every index of a shape, in row-major order.
struct Offsets {
    dims: Axes,
    strides: Axes,
    index: Axes,
    offset: usize,
    left: usize,
}

impl Offsets {
    fn new(dims: &[usize], strides: &[usize]) -> Offsets {
        let left = Shape::from(dims).size();
        Offsets { dims: dims.into(), strides: strides.into(), index: dims.iter().map(|_| 0).collect(), offset: 0, left }
    }
}

impl Iterator for Offsets {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let offset = self.offset;
        for axis in (0..self.dims.len()).rev() {
            self.index[axis] += 1;
            self.offset += self.strides[axis];
            if self.index[axis] < self.dims[axis] {
                break;
            }
            self.offset -= self.strides[axis] * self.dims[axis];
            self.index[axis] = 0;
        }
        Some(offset)
    }
}
