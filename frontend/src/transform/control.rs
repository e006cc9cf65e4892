//! Loops and branches: `scan`, `while_loop`, `fori_loop`, `cond` and `switch`.
//!
//! Each function is traced in a frame of its own, and what it captures becomes a constant of the loop
//! or an operand of the branch.

use super::{leaves, output};
use crate::function::{Args, Function};
use crate::tensor::Tensor;
use crate::trace::{self, Inner};
use crate::tree::{Flat, Structure, Traced, Tree, build, paths};
use crate::{raise, tree};
use egrad_ir::{Aval, Control, Dtype, Error, FnId, Literal, Span, Transform};

/// How a [`scan_with`] goes over its elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// How many steps there are. Needed if there is nothing to go over; else what the elements' number
    /// must be.
    pub length: Option<usize>,
    /// From the last element to the first. Results of a step lie where its element does.
    pub reverse: bool,
}

/// Goes over the elements along axis 0 of `xs`, from the first to the last: `f` takes what the step
/// before carried, `init` at first, and an element, and gives what is carried on and a result. Gives
/// what was carried last, and the results stacked along axis 0.
///
/// The body is compiled once, however many steps there are; there may be none. The derivatives of a
/// loop are loops, and so is its batch.
///
/// ```
/// use egrad::{Array, Dtype, Tensor, grad, jit, scan, zeros, zeros_like};
/// # fn main() -> egrad::Result<()> {
/// // Sums of the first elements.
/// let sums = jit(|xs: Tensor| scan(|sum: Tensor, x: Tensor| (sum + x, sum + x), zeros([], Dtype::F32), xs).1);
/// let xs = Array::from_vec(vec![1.0f32, 2.0, 3.0], [3])?;
/// assert_eq!(sums(&xs)?.as_slice::<f32>().unwrap(), [1.0, 3.0, 6.0]);
///
/// // A polynomial by Horner's rule, and its derivative: 3 + 2x + x².
/// let horner = |x: Tensor, c: Tensor| scan(move |y: Tensor, c: Tensor| (y * x + c, y), zeros_like(x), c).0;
/// assert_eq!(jit(horner)(&Array::from(2.0f32), &xs)?.item::<f32>()?, 11.0);
/// assert_eq!(jit(grad(horner))(&Array::from(2.0f32), &xs)?.item::<f32>()?, 6.0);
/// # Ok(()) }
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`] or [`Error::Dtype`] if what `f` carries on has
/// another type than what it took, and [`Error::Tree`] if it has another structure, naming the leaf;
/// [`Error::Axis`] if an element of `xs` has no axis or the axes differ in length.
#[track_caller]
pub fn scan<C, X, Y, F>(f: F, init: C, xs: X) -> (C, Y)
where
    F: Function<(C, X), Output = (C, Y)>,
    C: Traced,
    X: Traced,
    Y: Traced,
{
    scan_with(f, init, xs, ScanOptions::default())
}

/// As [`scan`], in either direction, and over nothing where the number of steps is given (`xs` may be
/// an empty `Vec`).
///
/// ```
/// use egrad::{Array, Dtype, ScanOptions, Tensor, jit, scan_with, zeros};
/// # fn main() -> egrad::Result<()> {
/// let reverse = ScanOptions { reverse: true, ..ScanOptions::default() };
/// // How much is still to come.
/// let rest = jit(move |xs: Tensor| scan_with(|s: Tensor, x: Tensor| (s + x, s), zeros([], Dtype::F32), xs, reverse).1);
/// let xs = Array::from_vec(vec![1.0f32, 2.0, 3.0], [3])?;
/// assert_eq!(rest(&xs)?.as_slice::<f32>().unwrap(), [5.0, 3.0, 0.0]);
///
/// let ten = ScanOptions { length: Some(10), ..ScanOptions::default() };
/// let doubled = jit(move |x: Tensor| scan_with(|x: Tensor, _: Vec<Tensor>| (2 * x, x), x, vec![], ten));
/// let (last, all) = doubled(&Array::from(1.0f32))?;
/// assert_eq!((last.item::<f32>()?, all.shape()[0]), (1024.0, 10));
/// # Ok(()) }
/// ```
///
/// # Errors and panics
/// As [`scan`]; [`Error::Axis`] if no length is given and there are no elements to count, or another
/// one than they have.
#[track_caller]
pub fn scan_with<C, X, Y, F>(f: F, init: C, xs: X, options: ScanOptions) -> (C, Y)
where
    F: Function<(C, X), Output = (C, Y)>,
    C: Traced,
    X: Traced,
    Y: Traced,
{
    let span = Span::here();
    let (carried, mut params) = leaves(&init, span);
    let (elements, stacked) = leaves(&xs, span);
    let length = elements_of(&xs, &stacked, options.length, span);
    let carry = params.len();
    params.extend(stacked.into_iter().map(|(aval, at)| (Aval::new(aval.dtype, &aval.shape[1..]), at)));
    let structure = (Flat::of(&init).structure, Flat::of(&xs).structure);
    let names = || paths(&init);
    let inner = trace::inner(trace::name_of::<F>(), params.clone(), span, |tensors| {
        let (carried, x) = tensors.split_at(carry);
        let carried = build::<C>(carried.iter().copied(), &structure.0);
        let (next, y) = f.call_at((carried, build::<X>(x.iter().copied(), &structure.1)), span);
        check_carry("scan", &next, &params[..carry], &structure.0, &names, span);
        let (mut results, _) = output(&next, span);
        let (ys, out) = output(&y, span);
        results.extend(ys);
        (results, out.structure)
    });
    let (body, mut operands) = constants_first(&inner, &params, span);
    let consts = operands.len();
    operands.extend(carried);
    operands.extend(elements);
    let control = Control::Scan { body, consts, carry, length, reverse: options.reverse };
    let results = trace::control(control, &operands, span);
    let (last, ys) = results.split_at(carry);
    (build(last.iter().copied(), &structure.0), build(ys.iter().copied(), &inner.extra))
}

/// How many elements there are along axis 0 of every leaf.
#[track_caller]
fn elements_of<X: Tree>(xs: &X, avals: &[(Aval, Span)], given: Option<usize>, span: Span) -> usize {
    let at = |i: usize| {
        let path = &paths(xs)[i];
        if path.is_empty() { "xs".to_owned() } else { format!("xs at `{path}`") }
    };
    let mut length = given.map(|n| (n, "the length given".to_owned()));
    for (i, (aval, made)) in avals.iter().enumerate() {
        let Some(n) = aval.shape.first().copied() else {
            let m = format!("`scan` goes over axis 0, which {}, {aval}, doesn't have", at(i));
            raise::throw(Error::axis(m).at(span).note("it was made here", *made))
        };
        match &length {
            Some((want, what)) if *want != n => {
                let m = format!("`scan` needs one number of elements: {}, {aval}, has {n}, {what} is {want}", at(i));
                raise::throw(Error::axis(m).at(span).note("it was made here", *made))
            }
            Some(_) => {}
            None => length = Some((n, format!("that of {}", at(i)))),
        }
    }
    match length {
        Some((n, _)) => n,
        None => raise::throw(Error::axis("`scan` over nothing needs `ScanOptions::length`").at(span)),
    }
}

/// Refuses what a step carries on if it isn't like what it took.
#[track_caller]
fn check_carry<C: Traced>(
    name: &str,
    next: &C,
    want: &[(Aval, Span)],
    structure: &Structure,
    names: &dyn Fn() -> Vec<String>,
    span: Span,
) {
    let flat = Flat::of(next);
    if flat.structure != *structure || flat.leaves.len() != want.len() {
        let m = format!("`{name}`: what is carried has another structure after a step than before it");
        raise::throw(Error::tree(m).at(span));
    }
    for (i, (leaf, (before, started))) in flat.leaves.iter().zip(want).enumerate() {
        let (after, made) = trace::look(**leaf, span, |n| (n.avals[0].clone(), n.span));
        if after != *before {
            let path = &names()[i];
            let what = if path.is_empty() { "what is carried".to_owned() } else { format!("the carry at `{path}`") };
            let m = format!("`{name}`: {what} is {before} before a step and {after} after it");
            let error = if after.dtype == before.dtype { Error::shape(m) } else { Error::dtype(m) };
            raise::throw(error.at(span).note("it starts here", *started).note("the step makes it here", made));
        }
    }
}

/// The function with what it captures before its other parameters, and that.
#[track_caller]
fn constants_first<R>(inner: &Inner<R>, params: &[(Aval, Span)], span: Span) -> (FnId, Vec<Tensor>) {
    let n = inner.captures.len();
    if n == 0 {
        return (inner.function, Vec::new());
    }
    let mut all: Vec<(Aval, Span)> = inner.captures.iter().map(|c| captured(*c, span)).collect();
    all.extend(params.iter().cloned());
    let places: Vec<usize> = (n..n + params.len()).chain(0..n).collect();
    (trace::rearranged(inner.function, &all, &places, span), inner.captures.clone())
}

#[track_caller]
fn captured(t: Tensor, span: Span) -> (Aval, Span) {
    trace::look(t, span, |n| (n.avals[0].clone(), n.span))
}

/// Applies `body` as long as `cond` of what it gives holds, `init` at first.
///
/// How many steps there are is not known beforehand, so it has no derivative in reverse mode (`grad`);
/// [`fori_loop`] between numbers and [`scan`] have. Mapped by [`vmap`](crate::vmap), it goes on until
/// every element has finished; those that have stay as they are.
///
/// There is no limit to the steps: a loop whose condition never fails runs until the process is ended, and
/// mapped it does if it never fails for one of the elements. Where that may happen (an iteration that may
/// not converge), carry a counter, and let the condition look at it too.
///
/// ```
/// use egrad::{Array, Tensor, jit, while_loop};
/// // The square root by Newton's method.
/// let root = jit(|a: Tensor| {
///     while_loop(move |x: Tensor| (x * x - a).abs().gt(1e-5 * a), move |x: Tensor| 0.5 * (x + a / x), a)
/// });
/// assert!((root(&Array::from(2.0f32)).unwrap().item::<f32>().unwrap() - 2f32.sqrt()).abs() < 1e-5);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): as [`scan`] for what is carried, and [`Error::Dtype`] if `cond`
/// doesn't give one bool. The derivative in reverse mode is [`Error::MissingRule`].
#[track_caller]
pub fn while_loop<C, P, F>(cond: P, body: F, init: C) -> C
where
    P: Function<(C,), Output = Tensor>,
    F: Function<(C,), Output = C>,
    C: Traced,
{
    let span = Span::here();
    let (carried, params) = leaves(&init, span);
    let structure = Flat::of(&init).structure;
    let names = || paths(&init);
    let asked = trace::inner(trace::name_of::<P>(), params.clone(), span, |tensors| {
        let more = cond.call_at((build::<C>(tensors.iter().copied(), &structure),), span);
        (vec![more], trace::look(more, span, |n| n.span))
    });
    if asked.results != [Aval::new(Dtype::Bool, [])] {
        let m = format!("`while_loop`: the condition must give bool[], not {}", asked.results[0]);
        raise::throw(Error::dtype(m).at(span).note("it was made here", asked.extra));
    }
    let step = trace::inner(trace::name_of::<F>(), params.clone(), span, |tensors| {
        let next = body.call_at((build::<C>(tensors.iter().copied(), &structure),), span);
        check_carry("while_loop", &next, &params, &structure, &names, span);
        (output(&next, span).0, ())
    });
    let (cond, mut operands) = constants_first(&asked, &params, span);
    let (body, constants) = constants_first(&step, &params, span);
    let (cond_consts, body_consts) = (operands.len(), constants.len());
    operands.extend(constants);
    operands.extend(carried);
    let control = Control::While { cond, body, cond_consts, body_consts };
    build(trace::control(control, &operands, span), &structure)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i32 {}
    impl Sealed for crate::Tensor {}
}

/// An end of a [`fori_loop`]: a number, or an `i32` tensor that is known when the loop runs.
pub trait Bound: sealed::Sealed + Copy {
    #[doc(hidden)]
    fn known(self) -> Option<i32>;
    #[doc(hidden)]
    fn tensor(self, span: Span) -> Tensor;
}

impl Bound for i32 {
    fn known(self) -> Option<i32> {
        Some(self)
    }
    #[track_caller]
    fn tensor(self, span: Span) -> Tensor {
        trace::literal(Literal::new(Dtype::I32, f64::from(self)), span)
    }
}

impl Bound for Tensor {
    fn known(self) -> Option<i32> {
        None
    }
    fn tensor(self, _: Span) -> Tensor {
        self
    }
}

/// Applies `body` to each of `lower, lower + 1, …` below `upper`, as an `i32`, and to what it gave
/// before, `init` at first.
///
/// Between two numbers it is a [`scan`], which has a derivative in reverse mode; else a
/// [`while_loop`].
///
/// ```
/// use egrad::{Array, Tensor, fori_loop, grad, jit, ones_like};
/// let power = |x: Tensor| fori_loop(0, 5, move |_: Tensor, y: Tensor| y * x, ones_like(x));
/// assert_eq!(jit(power)(&Array::from(2.0f32)).unwrap().item::<f32>().unwrap(), 32.0);
/// assert_eq!(jit(grad(power))(&Array::from(2.0f32)).unwrap().item::<f32>().unwrap(), 80.0);
/// ```
///
/// # Errors and panics
/// As [`scan`]; [`Error::Dtype`] if a bound is a tensor other than one `i32`.
#[track_caller]
pub fn fori_loop<C, F>(lower: impl Bound, upper: impl Bound, body: F, init: C) -> C
where
    F: Function<(Tensor, C), Output = C>,
    C: Traced,
{
    let span = Span::here();
    let (first, last) = (lower.tensor(span), upper.tensor(span));
    for (what, bound) in [("lower", first), ("upper", last)] {
        let (aval, made) = captured(bound, span);
        if aval != Aval::new(Dtype::I32, []) {
            let m = format!("`fori_loop`: the {what} bound must be i32[], not {aval}");
            raise::throw(Error::dtype(m).at(span).note("it was made here", made));
        }
    }
    let ((_, params), structure, names) = (leaves(&init, span), Flat::of(&init).structure, paths(&init));
    let body = move |i: Tensor, x: C| {
        let next = body.call_at((i, x), span);
        check_carry("fori_loop", &next, &params, &structure, &|| names.clone(), span);
        next
    };
    if let (Some(lower), Some(upper)) = (lower.known(), upper.known()) {
        let length = usize::try_from(i64::from(upper) - i64::from(lower)).unwrap_or(0);
        let options = ScanOptions { length: Some(length), reverse: false };
        let step = move |(i, x): (Tensor, C), _: Vec<Tensor>| ((i + 1, body(i, x)), Vec::<Tensor>::new());
        let ((_, last), _) = scan_with(step, (first, init), Vec::<Tensor>::new(), options);
        return last;
    }
    let more = move |(i, _): (Tensor, C)| i.lt(last);
    let step = move |(i, x): (Tensor, C)| (i + 1, body(i, x));
    while_loop(more, step, (first, init)).1
}

/// `on_true` of the arguments, a tuple, if the predicate holds, else `on_false` of them. Only that one
/// runs, unless [`vmap`](crate::vmap) makes the predicate another for each element: both run then.
///
/// ```
/// use egrad::{Array, Tensor, cond, grad, jit};
/// let f = |x: Tensor| cond(x.gt(1), |x: Tensor| x.sin(), |x: Tensor| 3 * x, (x,));
/// assert_eq!(jit(f)(&Array::from(0.5f32)).unwrap().item::<f32>().unwrap(), 1.5);
/// assert_eq!(jit(grad(f))(&Array::from(0.5f32)).unwrap().item::<f32>().unwrap(), 3.0);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Dtype`] if the predicate isn't one bool; [`Error::Shape`],
/// [`Error::Dtype`] or [`Error::Tree`] if the results of the two differ in type, naming the leaf, or
/// in structure.
#[track_caller]
pub fn cond<A, O, F, G>(predicate: Tensor, on_true: F, on_false: G, args: A) -> O
where
    A: Args,
    O: Traced,
    F: Function<A, Output = O>,
    G: Function<A, Output = O>,
{
    let span = Span::here();
    let (aval, made) = captured(predicate, span);
    if aval != Aval::new(Dtype::Bool, []) {
        let m = format!("`cond`: the predicate must be bool[], not {aval}");
        raise::throw(Error::dtype(m).at(span).note("it was made here", made));
    }
    let index = trace::add(egrad_ir::Op::Convert(Dtype::I32), &[predicate], span);
    let branches = [branch(&on_false, &args, span), branch(&on_true, &args, span)];
    choose("cond", index, &["on_false", "on_true"].map(str::to_owned), branches.into(), &args, span)
}

/// The branch of that number, of the arguments, a tuple. Below 0 it is the first one, beyond the last
/// the last. Only that one runs, unless [`vmap`](crate::vmap) makes the index another for each element:
/// all run then.
///
/// ```
/// use egrad::{Array, Tensor, jit, switch};
/// let f = |i: Tensor, x: Tensor| {
///     let branches: [fn(Tensor) -> Tensor; 3] = [|x| x, |x| x * x, |x| -x];
///     switch(i, branches, (x,))
/// };
/// assert_eq!(jit(f)(&Array::from(1i32), &Array::from(3.0f32)).unwrap().item::<f32>().unwrap(), 9.0);
/// assert_eq!(jit(f)(&Array::from(7i32), &Array::from(3.0f32)).unwrap().item::<f32>().unwrap(), -3.0);
/// ```
///
/// # Errors and panics
/// As [`cond`]; [`Error::Dtype`] if the index isn't one integer, [`Error::Tree`] if there is no branch.
#[track_caller]
pub fn switch<A, O, F>(index: Tensor, branches: impl IntoIterator<Item = F>, args: A) -> O
where
    A: Args,
    O: Traced,
    F: Function<A, Output = O>,
{
    let span = Span::here();
    let (aval, made) = captured(index, span);
    if !aval.dtype.is_integer() || aval.shape.rank() > 0 {
        let m = format!("`switch`: the index must be one integer, not {aval}");
        raise::throw(Error::dtype(m).at(span).note("it was made here", made));
    }
    let index = index.index("switch");
    let branches: Vec<Inner<Branch>> = branches.into_iter().map(|f| branch(&f, &args, span)).collect();
    if branches.is_empty() {
        raise::throw(Error::tree("`switch` needs a branch").at(span));
    }
    let names: Vec<String> = (0..branches.len()).map(|b| format!("branch {b}")).collect();
    choose("switch", index, &names, branches, &args, span)
}

/// What is known of a branch's result.
struct Branch {
    structure: Structure,
    paths: Vec<String>,
    spans: Vec<Span>,
}

#[track_caller]
fn branch<A, O, F>(f: &F, args: &A, span: Span) -> Inner<Branch>
where
    A: Args,
    O: Traced,
    F: Function<A, Output = O>,
{
    let (_, params) = leaves(args, span);
    super::inner_with::<F, A, _>(None, f, params, &Flat::of(args).structure, span, |out| {
        let (tensors, output) = output(out, span);
        (tensors, Branch { structure: output.structure, paths: tree::paths(out), spans: output.spans })
    })
}

/// Whether two tensors are one value of one trace.
fn same(a: &Tensor, b: &Tensor) -> bool {
    (a.frame, a.node) == (b.frame, b.node)
}

/// Records a branch.
#[track_caller]
fn choose<A: Args, O: Traced>(
    name: &str,
    index: Tensor,
    names: &[String],
    branches: Vec<Inner<Branch>>,
    args: &A,
    span: Span,
) -> O {
    let first = &branches[0];
    for (what, branch) in names.iter().zip(&branches).skip(1) {
        if branch.extra.structure != first.extra.structure || branch.results.len() != first.results.len() {
            let m = format!("`{name}`: the results of {what} have another structure than those of {}", names[0]);
            raise::throw(Error::tree(m).at(span));
        }
        if let Some(i) = (0..first.results.len()).find(|i| branch.results[*i] != first.results[*i]) {
            let (a, b) = (&first.results[i], &branch.results[i]);
            let at = super::result(&first.extra.paths[i]);
            let m = format!("`{name}`: {at} is {a} by {} and {b} by {what}", names[0]);
            let error = if a.dtype == b.dtype { Error::shape(m) } else { Error::dtype(m) };
            let error = error.at(span).note(format!("{} makes it here", names[0]), first.extra.spans[i]);
            raise::throw(error.note(format!("{what} makes it here"), branch.extra.spans[i]));
        }
    }
    let (own, params) = leaves(args, span);
    let (functions, captures) = of_same_parameters(&branches, params, span);
    let control = Control::Switch { branches: functions };
    let operands: Vec<Tensor> = [index].into_iter().chain(own).chain(captures).collect();
    build(trace::control(control, &operands, span), &first.extra.structure)
}

/// The functions with what any of them captures as parameters after their own, and that.
#[track_caller]
fn of_same_parameters<R>(
    functions: &[Inner<R>],
    mut params: Vec<(Aval, Span)>,
    span: Span,
) -> (Vec<FnId>, Vec<Tensor>) {
    let mut captures: Vec<Tensor> = Vec::new();
    for capture in functions.iter().flat_map(|f| &f.captures) {
        if !captures.iter().any(|known| same(known, capture)) {
            captures.push(*capture);
        }
    }
    let own = params.len();
    params.extend(captures.iter().map(|c| captured(*c, span)));
    let taking = |f: &Inner<R>| {
        let place = |c: &Tensor| captures.iter().position(|known| same(known, c)).map(|i| own + i);
        let places: Vec<usize> = (0..own).chain(f.captures.iter().filter_map(place)).collect();
        trace::rearranged(f.function, &params, &places, span)
    };
    (functions.iter().map(taking).collect(), captures)
}

/// The results of functions of these parameters that compute the same, by whichever the compiler prefers.
/// What prints is not left to its choice: then it is the first.
#[track_caller]
pub(super) fn either(ways: &[Inner<()>], operands: Vec<Tensor>, params: Vec<(Aval, Span)>, span: Span) -> Vec<Tensor> {
    let prints = ways.iter().any(|way| trace::prints(way.function));
    let ways = if prints { &ways[..1] } else { ways };
    let (functions, captures) = of_same_parameters(ways, params, span);
    let operands: Vec<Tensor> = operands.into_iter().chain(captures).collect();
    match functions[..] {
        [first] => trace::apply(Transform::Call, first, &operands, span),
        _ => trace::control(Control::Either { ways: functions }, &operands, span),
    }
}
