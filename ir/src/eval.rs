//! The reference interpreter: the oracle every transform, rule and backend is tested against.
//!
//! It does what the primitives' definitions say, one node at a time, in the element type's own
//! width, with no rewriting and no fusion.

use crate::array::Array;
use crate::dtype::{Dtype, Element};
use crate::error::{Error, Result};
use crate::graph::{Aval, Control, FnId, Function, Node, NodeId, NodeKind, Program, Transform};
use crate::infer;
use crate::kernel::Run;
use crate::linalg;
use crate::op::{Axes, Binary, Compare, DotDims, Linalg, Op, Reduce, Unary};
use crate::scalar::{Lanes, Scalar, by_dtype, compare_fn};
use crate::shape::Shape;
use crate::sortable::Sortable;

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
    Machine { program: None, mode, ran: 0, depth: 0, each: None }.function(function, inputs)
}

/// Runs the entry of a program whose transforms are expanded: primitives, calls, loops and branches.
/// What it "dispatches" are primitives, each as often as it was run.
///
/// # Errors
/// If the inputs are not the parameters' number and avals, if a function applies a transform, if
/// functions nest more than 200 deep, or if memory runs out.
///
/// ```
/// use egrad_ir::{Array, Program, eval::{Elementary, run}};
/// let double_five_times = "egrad 1
///   fn @0 double(%0: f32[]) { %1 = add %0 %0 return %1 }
///   fn @1 main(%0: f32[]) {
///     %1 = scan @0 %0 {consts = 0, carry = 1, length = 5, reverse = false}
///     %2 = get %1 {index = 0}
///     return %2
///   }";
/// let run = run(&Program::parse(double_five_times)?, &[&Array::from(1.0f32)], Elementary::Std)?;
/// assert_eq!(run.outputs[0].item::<f32>()?, 32.0);
/// assert_eq!(run.dispatches, 5);
/// # Ok::<(), egrad_ir::Error>(())
/// ```
pub fn run(program: &Program, inputs: &[&Array], mode: Elementary) -> Result<Run> {
    let mut machine = Machine { program: Some(program), mode, ran: 0, depth: 0, each: None };
    let outputs = machine.function(program.entry(), inputs)?;
    Ok(Run { outputs: outputs.into(), dispatches: machine.ran })
}

/// As [`run`], showing every value of the entry function as it is computed; of a tuple, its parts.
///
/// # Errors
/// As [`run`].
pub fn run_each(
    program: &Program,
    inputs: &[&Array],
    mode: Elementary,
    mut each: impl FnMut(NodeId, &Array),
) -> Result<Vec<Array>> {
    let mut machine = Machine { program: Some(program), mode, ran: 0, depth: 0, each: Some(&mut each) };
    machine.function(program.entry(), inputs)
}

/// How deep functions may nest.
const DEEPEST: usize = 200;

/// What a node computes.
enum Value {
    One(Array),
    Tuple(Vec<Array>),
}

impl Value {
    fn one(&self) -> Option<&Array> {
        match self {
            Value::One(array) => Some(array),
            Value::Tuple(_) => None,
        }
    }
}

/// What is given each value of a function as it is computed.
type Shown<'p> = dyn FnMut(NodeId, &Array) + 'p;

/// A run.
struct Machine<'p> {
    /// Who is shown the values of the function that isn't called.
    each: Option<&'p mut Shown<'p>>,
    program: Option<&'p Program>,
    mode: Elementary,
    /// How many primitives have been run.
    ran: usize,
    depth: usize,
}

impl Machine<'_> {
    fn function(&mut self, function: &Function, inputs: &[&Array]) -> Result<Vec<Array>> {
        check_inputs(&function.name, &function.param_avals(), inputs)?;
        let live = function.live();
        let mut uses = vec![0u32; function.len()];
        for (id, node) in function.nodes() {
            if live[id.index()] {
                node.args.iter().for_each(|a| uses[a.index()] += 1);
            }
        }
        function.results().iter().for_each(|r| uses[r.index()] += 1);

        let mut values: Vec<Option<Value>> = Vec::new();
        values.resize_with(function.len(), || None);
        for (id, node) in function.nodes() {
            if !live[id.index()] {
                continue;
            }
            let missing = || Error::internal(format!("an operand of {id} comes after it")).at(node.span);
            let value = match &node.kind {
                NodeKind::Param(i) => Value::One(inputs[*i].clone()),
                NodeKind::Get(i) => {
                    let tuple = node.args.first().and_then(|t| values[t.index()].as_ref());
                    match tuple {
                        Some(Value::Tuple(parts)) => Value::One(parts.get(*i).ok_or_else(missing)?.clone()),
                        Some(Value::One(_)) | None => return Err(missing()),
                    }
                }
                NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) => {
                    let args = node.args.iter().map(|a| values[a.index()].as_ref()?.one());
                    let args = args.collect::<Option<Vec<&Array>>>().ok_or_else(missing)?;
                    self.node(function, node, &args)?
                }
            };
            if let Some(each) = self.each.as_mut().filter(|_| self.depth == 0) {
                match &value {
                    Value::One(array) => each(id, array),
                    Value::Tuple(parts) => parts.iter().for_each(|part| each(id, part)),
                }
            }
            values[id.index()] = Some(value);
            for a in &node.args {
                uses[a.index()] -= 1;
                if uses[a.index()] == 0 {
                    values[a.index()] = None;
                }
            }
        }
        let result = |r: &crate::NodeId| {
            let value = values[r.index()].as_ref().and_then(Value::one);
            value.cloned().ok_or_else(|| Error::internal(format!("no value {r}")))
        };
        function.results().iter().map(result).collect()
    }

    fn node(&mut self, function: &Function, node: &Node, args: &[&Array]) -> Result<Value> {
        Ok(match &node.kind {
            NodeKind::Op(op) => {
                self.ran += 1;
                Value::One(eval_op(op, args, self.mode).map_err(|e| e.at(node.span))?)
            }
            NodeKind::Apply(Transform::Call, callee) if self.program.is_some() => {
                Value::Tuple(self.callee(*callee, args).map_err(|e| e.at(node.span))?)
            }
            NodeKind::Control(control) if self.program.is_some() => {
                Value::Tuple(self.control(control, args).map_err(|e| e.at(node.span))?)
            }
            NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Param(_) | NodeKind::Get(_) => {
                return Err(crate::graph::not_plain(function).at(node.span));
            }
        })
    }

    fn callee(&mut self, callee: FnId, args: &[&Array]) -> Result<Vec<Array>> {
        let program = self.program.ok_or_else(|| Error::internal("a callee without a program"))?;
        if self.depth >= DEEPEST {
            return Err(Error::memory(format!("functions nest more than {DEEPEST} deep")));
        }
        self.depth += 1;
        let results = self.function(program.function(callee), args);
        self.depth -= 1;
        results
    }

    fn control(&mut self, control: &Control, args: &[&Array]) -> Result<Vec<Array>> {
        let results = match self.program {
            Some(program) => {
                let avals: Vec<Aval> = args.iter().map(|a| a.aval().clone()).collect();
                program.control_avals(control, &avals)?
            }
            None => return Err(Error::internal("a loop without a program")),
        };
        match control {
            Control::Scan { body, consts, carry, length, reverse } => {
                let (shared, rest) = args.split_at(*consts);
                let (init, xs) = rest.split_at(*carry);
                let mut state: Vec<Array> = init.iter().map(|x| (*x).clone()).collect();
                let mut stacked: Vec<Array> =
                    results[*carry..].iter().map(|y| Array::scratch(y.clone())).collect::<Result<_>>()?;
                for step in 0..*length {
                    let at = if *reverse { length - 1 - step } else { step };
                    let elements = xs.iter().map(|x| element(x, at)).collect::<Result<Vec<_>>>()?;
                    let operands: Vec<&Array> = shared.iter().copied().chain(&state).chain(&elements).collect();
                    let mut next = self.callee(*body, &operands)?;
                    for (ys, y) in stacked.iter_mut().zip(next.drain(*carry..)) {
                        set_element(ys, at, &y)?;
                    }
                    state = next;
                }
                state.extend(stacked);
                Ok(state)
            }
            Control::While { cond, body, cond_consts, body_consts } => {
                let (asked, rest) = args.split_at(*cond_consts);
                let (shared, init) = rest.split_at(*body_consts);
                let mut state: Vec<Array> = init.iter().map(|x| (*x).clone()).collect();
                loop {
                    let operands: Vec<&Array> = asked.iter().copied().chain(&state).collect();
                    let more = self.callee(*cond, &operands)?;
                    if more.first().map(|p| p.literal(0).bits()) != Some(1) {
                        return Ok(state);
                    }
                    let operands: Vec<&Array> = shared.iter().copied().chain(&state).collect();
                    state = self.callee(*body, &operands)?;
                }
            }
            Control::Switch { branches } => {
                let index = slice::<i32>(args[0])?[0];
                let last = branches.len() - 1;
                let chosen = usize::try_from(index).map_or(0, |i| i.min(last));
                self.callee(branches[chosen], &args[1..])
            }
            Control::Either { ways } => self.callee(ways[0], args),
            Control::AllGather { .. } | Control::AxisIndex { .. } => Err(crate::graph::no_batch(control)),
            Control::Print { format, levels } => {
                let values: Vec<Array> = args[1..].iter().map(|x| (*x).clone()).collect();
                crate::print::print(format, levels, &values)?;
                Ok(vec![Array::from(0i32)])
            }
        }
    }
}

/// The element at a position along axis 0.
pub(crate) fn element(x: &Array, at: usize) -> Result<Array> {
    let shape = Shape::from(&x.shape()[1..]);
    let n = shape.size();
    by_dtype!(x.dtype(), T => {
        let x = slice::<T>(x)?;
        fill::<T>(&Aval::new(T::DTYPE, shape), |i| x[at * n + i])
    })
}

/// Writes the element at a position along axis 0.
fn set_element(of: &mut Array, at: usize, x: &Array) -> Result<()> {
    let n = x.shape().size();
    by_dtype!(x.dtype(), T => {
        let x = slice::<T>(x)?;
        let wrong = || Error::internal("an element of another type");
        of.as_mut_slice::<T>().ok_or_else(wrong)?[at * n..][..n].copy_from_slice(x);
        Ok(())
    })
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
            fill::<T>(&aval, |k| T::from_i64((k / step % length) as i64))
        }),
        Op::Unary(Unary::StopGradient | Unary::Barrier) => Ok(args[0].clone()),
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
            fill::<T>(&aval, |i| fix(crate::scalar::converted(x[i].literal())))
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
            let mut sums: Vec<_> = x.iter().map(|x| x.widen()).collect();
            let mut touched = vec![false; x.len()];
            for (i, update) in slice::<T>(args[2])?.iter().enumerate() {
                if let Some(at) = places.of(i) {
                    sums[at] = f(sums[at], update.widen());
                    touched[at] = true;
                }
            }
            // Floats of 16 bits are all rounded.
            let all = T::DTYPE.computed() != T::DTYPE;
            fill::<T>(&aval, |i| if all || touched[i] { fix(T::narrow(sums[i])) } else { x[i] })
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
        Op::Linalg(l) => matrices(*l, args, &aval),
    }
}

/// Matrix after matrix by the textbook.
fn matrices(l: Linalg, args: &[&Array], aval: &Aval) -> Result<Array> {
    let x = args[args.len() - 1].shape();
    let [rows, columns] = [x[x.rank() - 2], x[x.rank() - 1]];
    let result = l.result(rows, columns).ok_or_else(|| Error::internal("inference lets through no such matrix"))?;
    let batch: usize = x[..x.rank() - 2].iter().product();
    let size = result[0] * result[1];
    let mut data = vec![0.0; aval.shape.size()];
    let operands: Vec<Vec<f64>> = args.iter().map(|a| a.to_f64()).collect();
    for i in 0..batch {
        let part = |x: &'_ Vec<f64>| x[i * (x.len() / batch)..][..x.len() / batch].to_vec();
        let parts: Vec<Vec<f64>> = operands.iter().map(part).collect();
        linalg::matrix(l, [rows, columns], &parts[0], parts.get(1).map_or(&[], |b| b), &mut data[i * size..][..size]);
    }
    Array::from_f64(aval.dtype, &data, aval.shape.clone())
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
                lanes.add(j, x[base + middle + j * step].widen());
            }
        }
        lanes.finish(mode)
    })
}

fn dot<T: Scalar>(dims: &DotDims, x: &Array, y: &Array, aval: &Aval, mode: Elementary) -> Result<Array> {
    let refused = || Error::internal(format!("no `dot_general` of {}", x.aval()));
    let zero = Lanes::<T>::new(Reduce::Sum).ok_or_else(refused)?;
    let (mul, fix) = (<T::Wide as Scalar>::binary(Binary::Mul, mode).ok_or_else(refused)?, T::fix(mode));
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
            return fix(T::narrow(mul(x[x0].widen(), y[y0].widen())));
        }
        let mut lanes = zero.clone();
        for (k, (dx, dy)) in contract[0].iter().zip(&contract[1]).enumerate() {
            lanes.add(k % innermost, mul(x[x0 + dx].widen(), y[y0 + dy].widen()));
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
