//! Shape and type inference: one function for primitives, one for transforms, and NumPy's
//! broadcasting, written once.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::graph::{Aval, Control, FnId, Function, Program, Transform};
use crate::op::{Axes, Binary, DotDims, Factor, Linalg, Op, Unary};
use crate::shape::Shape;
use std::fmt;

/// The aval of the primitive's result for operands of these avals.
///
/// # Errors
/// If the operands don't fit, saying what was found and what would fit; the error has no place yet.
pub fn infer(op: &Op, args: &[&Aval]) -> Result<Aval> {
    let name = op.name();
    if args.len() != op.arity() {
        let n = op.arity();
        return Err(Error::tree(format!("`{name}` takes {n} operand{}, not {}", plural(n), args.len())));
    }
    let aval = match op {
        Op::Constant(l) => Aval::new(l.dtype(), Shape::scalar()),
        Op::Iota { dtype, shape, axis } => {
            if *dtype == Dtype::Bool {
                return Err(Error::dtype("`iota` counts in numbers, not in bool"));
            }
            check_axis(name, *axis, shape.rank())?;
            Aval::new(*dtype, shape.clone())
        }
        Op::Unary(u) => {
            let ok = match u {
                Unary::Neg | Unary::Sign => args[0].dtype != Dtype::Bool,
                Unary::Abs => args[0].dtype != Dtype::Bool && !args[0].dtype.is_unsigned(),
                Unary::Floor | Unary::Round | Unary::Sqrt | Unary::Rsqrt | elementary!() => args[0].dtype.is_float(),
                Unary::Not => !args[0].dtype.is_float(),
                Unary::StopGradient | Unary::Barrier => true,
            };
            accept(name, ok, args)?;
            args[0].clone()
        }
        Op::Binary(b) => {
            same(name, args)?;
            let ok = match b {
                Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem | Binary::Max | Binary::Min => {
                    args[0].dtype != Dtype::Bool
                }
                Binary::Pow | Binary::Atan2 => args[0].dtype.is_float(),
                Binary::And | Binary::Or | Binary::Xor => !args[0].dtype.is_float(),
                Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => {
                    args[0].dtype.is_integer()
                }
            };
            accept(name, ok, args)?;
            args[0].clone()
        }
        Op::Compare(_) => {
            same(name, args)?;
            Aval::new(Dtype::Bool, args[0].shape.clone())
        }
        Op::Select => {
            if args[0].dtype != Dtype::Bool {
                return Err(Error::dtype(format!("the predicate of `select` must be bool, not {}", args[0])));
            }
            same(name, &args[1..])?;
            if args[0].shape != args[1].shape {
                return Err(mismatch(name, args));
            }
            args[1].clone()
        }
        Op::IntegerPow(n) => {
            let ok = args[0].dtype.is_float() || (args[0].dtype.is_integer() && *n >= 0);
            accept(name, ok, args)?;
            args[0].clone()
        }
        Op::Convert(d) => Aval::new(*d, args[0].shape.clone()),
        Op::BroadcastInDim { shape, dims } => {
            let x = args[0];
            if dims.len() != x.shape.rank() {
                let m = format!("`{name}` of {x} needs an axis for each of its {} axes, got {dims:?}", x.shape.rank());
                return Err(Error::axis(m));
            }
            for (i, d) in dims.iter().enumerate() {
                check_axis(name, *d, shape.rank())?;
                if i > 0 && *d <= dims[i - 1] {
                    return Err(Error::axis(format!("the axes of `{name}` must increase, got {dims:?}")));
                }
                if x.shape[i] != 1 && x.shape[i] != shape[*d] {
                    let m = format!("`{name}` can't stretch axis {i} of {x} to length {} in {shape}", shape[*d]);
                    return Err(Error::shape(m));
                }
            }
            Aval::new(x.dtype, shape.clone())
        }
        Op::Reshape(shape) => {
            let x = args[0];
            if shape.checked_size() != x.shape.checked_size() {
                let have = x.shape.size();
                let want = shape.checked_size().map_or("too many".to_owned(), |n| n.to_string());
                return Err(Error::shape(format!("can't reshape {x} ({have} elements) to {shape} ({want} elements)")));
            }
            Aval::new(x.dtype, shape.clone())
        }
        Op::Transpose(perm) => {
            let x = args[0];
            let mut seen: Axes = perm.clone();
            seen.sort_unstable();
            if !seen.iter().copied().eq(0..x.shape.rank()) {
                let m = format!("`{name}` of {x} needs a permutation of its {} axes, got {perm:?}", x.shape.rank());
                return Err(Error::axis(m));
            }
            Aval::new(x.dtype, perm.iter().map(|p| x.shape[*p]).collect::<Shape>())
        }
        Op::Reduce { kind: _, axes } => {
            let x = args[0];
            accept(name, x.dtype != Dtype::Bool, args)?;
            increasing(name, axes, x.shape.rank())?;
            Aval::new(x.dtype, x.shape.without(axes))
        }
        Op::DotGeneral(dims) => dot(name, dims, args)?,
        Op::Slice { start, limit } => {
            let x = args[0];
            per_axis(name, x, &[("start", start), ("limit", limit)])?;
            for (i, n) in x.shape.iter().enumerate() {
                if start[i] > limit[i] || limit[i] > *n {
                    let m = format!("`{name}` of {x}: {}..{} is no part of axis {i}", start[i], limit[i]);
                    return Err(Error::shape(m));
                }
            }
            Aval::new(x.dtype, start.iter().zip(limit).map(|(s, l)| l - s).collect::<Shape>())
        }
        Op::Pad { low, high } => {
            let [x, value] = [args[0], args[1]];
            if value.dtype != x.dtype || value.shape.rank() != 0 {
                return Err(Error::dtype(format!("`{name}` of {x} needs a scalar of its type, not {value}")));
            }
            per_axis(name, x, &[("low", low), ("high", high)])?;
            let longer = |i: usize| x.shape[i].checked_add(low[i])?.checked_add(high[i]);
            let shape: Option<Shape> = (0..x.shape.rank()).map(longer).collect();
            Aval::new(x.dtype, shape.ok_or_else(|| Error::memory(format!("`{name}` of {x}: no axis is that long")))?)
        }
        Op::Reverse(axes) => {
            increasing(name, axes, args[0].shape.rank())?;
            args[0].clone()
        }
        Op::Concatenate(axis) => {
            let [x, y] = [args[0], args[1]];
            check_axis(name, *axis, x.shape.rank())?;
            let fits = x.dtype == y.dtype
                && x.shape.rank() == y.shape.rank()
                && (0..x.shape.rank()).all(|i| i == *axis || x.shape[i] == y.shape[i]);
            if !fits {
                let m = format!("`{name}` along axis {axis} of {x} and {y}: all but that axis must be alike");
                return Err(if x.dtype == y.dtype { Error::shape(m) } else { Error::dtype(m) });
            }
            // An axis of more than memory holds is refused below.
            let length = x.shape[*axis].saturating_add(y.shape[*axis]);
            Aval::new(x.dtype, x.shape.without(&[*axis]).insert(*axis, length))
        }
        Op::Take { axis, batch } => taken(name, *axis, *batch, args[0], args[1])?,
        Op::Scatter { kind: _, axis, batch } => {
            let [x, indices, updates] = [args[0], args[1], args[2]];
            accept(name, x.dtype != Dtype::Bool, args)?;
            let want = taken(name, *axis, *batch, x, indices)?;
            if *updates != want {
                let m = format!("the updates of `{name}` of {x} at {indices} must be {want}, not {updates}");
                return Err(if updates.dtype == want.dtype { Error::shape(m) } else { Error::dtype(m) });
            }
            x.clone()
        }
        Op::Argsort(axis) => {
            check_axis(name, *axis, args[0].shape.rank())?;
            if i32::try_from(args[0].shape[*axis]).is_err() {
                return Err(Error::shape(format!("`{name}` along axis {axis} of {}: positions must be i32", args[0])));
            }
            Aval::new(Dtype::I32, args[0].shape.clone())
        }
        Op::Linalg(l) => linalg(*l, args)?,
    };
    check_size(format_args!("the result of `{name}`"), &aval)?;
    Ok(aval)
}

/// Whether a value named `what` has no more axes than [`Shape::MAX_RANK`] and no more elements
/// than a machine can address.
///
/// # Errors
/// [`Error::Shape`] or [`Error::Memory`] if it has.
pub fn check_size(what: impl fmt::Display, aval: &Aval) -> Result<()> {
    if aval.shape.rank() > Shape::MAX_RANK {
        let (rank, most) = (aval.shape.rank(), Shape::MAX_RANK);
        return Err(Error::shape(format!("{what} would have {rank} axes; {most} are the most there can be")));
    }
    match aval.shape.checked_size().and_then(|n| n.checked_mul(aval.dtype.bytes())) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(Error::memory(format!("{what} would be {aval}, more than any memory holds"))),
    }
}

/// Checks axes that must exist and increase.
fn increasing(name: &str, axes: &[usize], rank: usize) -> Result<()> {
    for (i, a) in axes.iter().enumerate() {
        check_axis(name, *a, rank)?;
        if i > 0 && *a <= axes[i - 1] {
            return Err(Error::axis(format!("the axes of `{name}` must increase, got {axes:?}")));
        }
    }
    Ok(())
}

/// Checks lists that must have a number per axis of x.
fn per_axis(name: &str, x: &Aval, lists: &[(&str, &Axes)]) -> Result<()> {
    match lists.iter().find(|(_, list)| list.len() != x.shape.rank()) {
        None => Ok(()),
        Some((what, list)) => {
            let (rank, n) = (x.shape.rank(), list.len());
            Err(Error::axis(format!("`{name}` of {x} needs a {what} for each of its {rank} axes, got {n}")))
        }
    }
}

/// What [`Op::Linalg`] gives.
fn linalg(l: Linalg, args: &[&Aval]) -> Result<Aval> {
    let name = l.name();
    accept(name, args.iter().all(|x| x.dtype.is_float()), args)?;
    if let Some(x) = args.iter().find(|x| x.dtype.computed() != x.dtype) {
        let (own, wide) = (x.dtype, x.dtype.computed());
        return Err(Error::dtype(format!("`{name}` doesn't take {own}: convert to {wide} first, and the result back")));
    }
    let Some(lead) = args.iter().map(|x| x.shape.rank()).min().and_then(|rank| rank.checked_sub(2)) else {
        let which = args.iter().find(|x| x.shape.rank() < 2).unwrap_or(&args[0]);
        return Err(Error::shape(format!("`{name}` takes matrices, with at least two axes, not {which}")));
    };
    if let [a, b] = args {
        let n = b.shape[b.shape.rank() - 2];
        if a.dtype != b.dtype {
            return Err(Error::dtype(format!("`{name}` of {a} and {b}: the element types must be the same")));
        }
        if a.shape.rank() != b.shape.rank() || a.shape[..lead] != b.shape[..lead] || a.shape[lead..] != [n, n] {
            let m = format!("`{name}` of {a} and {b}: needs [n,n] and [n,k] behind the same other axes");
            return Err(Error::shape(m));
        }
    }
    let x = args[args.len() - 1];
    match l.result(x.shape[lead], x.shape[lead + 1]) {
        Some(matrix) => Ok(Aval::new(x.dtype, [&x.shape[..lead], &matrix].concat())),
        None => {
            let takes = match l {
                Linalg::Factor(Factor::Cholesky | Factor::Eigh) => "square matrices",
                Linalg::Factor(Factor::Lu) => "matrices with no fewer rows than columns and at most 2^24 rows",
                Linalg::Factor(Factor::Qr | Factor::Svd) => "matrices with no fewer rows than columns",
                Linalg::TriangularSolve(_) => "matrices",
                Linalg::Fft { .. } => "a row of real and a row of imaginary parts",
            };
            Err(Error::shape(format!("`{name}` takes {takes} in the last two axes, not {x}")))
        }
    }
}

/// What [`Op::Take`] gives.
fn taken(name: &str, axis: usize, batch: usize, x: &Aval, indices: &Aval) -> Result<Aval> {
    check_axis(name, axis, x.shape.rank())?;
    if indices.dtype != Dtype::I32 {
        return Err(Error::dtype(format!("the indices of `{name}` must be i32, not {indices}")));
    }
    if batch > axis || batch > indices.shape.rank() || x.shape[..batch] != indices.shape[..batch] {
        let m = format!("`{name}` along axis {axis} of {x} at {indices}: they don't share {batch} leading axes");
        return Err(Error::shape(m));
    }
    let parts = [&x.shape[..axis], &indices.shape[batch..], &x.shape[axis + 1..]];
    Ok(Aval::new(x.dtype, parts.concat()))
}

fn dot(name: &str, dims: &DotDims, args: &[&Aval]) -> Result<Aval> {
    let [x, y] = [args[0], args[1]];
    if x.dtype != y.dtype || x.dtype == Dtype::Bool {
        return Err(Error::dtype(format!("`{name}` takes two operands of one numeric type, not {x} and {y}")));
    }
    for (what, [l, r]) in [("contracted", &dims.contract), ("batch", &dims.batch)] {
        if l.len() != r.len() {
            return Err(Error::axis(format!("the {what} axes of `{name}` must come in pairs, got {l:?} and {r:?}")));
        }
        for (a, b) in l.iter().zip(r) {
            check_axis(name, *a, x.shape.rank())?;
            check_axis(name, *b, y.shape.rank())?;
            if x.shape[*a] != y.shape[*b] {
                let m = format!(
                    "`{name}` of {x} and {y}: {what} axes {a} and {b} have lengths {} and {}",
                    x.shape[*a], y.shape[*b]
                );
                return Err(Error::shape(m));
            }
        }
    }
    for side in 0..2 {
        let mut all: Axes = dims.contract[side].iter().chain(&dims.batch[side]).copied().collect();
        all.sort_unstable();
        if all.windows(2).any(|w| w[0] == w[1]) {
            return Err(Error::axis(format!("`{name}` uses an axis of operand {side} twice")));
        }
    }
    let mut shape: Vec<usize> = dims.batch[0].iter().map(|a| x.shape[*a]).collect();
    shape.extend(dims.free(0, x.shape.rank()).iter().map(|a| x.shape[*a]));
    shape.extend(dims.free(1, y.shape.rank()).iter().map(|a| y.shape[*a]));
    Ok(Aval::new(x.dtype, shape))
}

/// The avals of the results of a transform of `callee`. See [`Transform`] for the signatures.
///
/// # Errors
/// If the operands don't fit.
pub fn apply(transform: &Transform, callee: &Function, args: &[Aval]) -> Result<Vec<Aval>> {
    let (params, results) = (callee.param_avals(), callee.result_avals());
    let name = &callee.name;
    let expect = |what: &str, want: &[Aval], got: &[Aval]| -> Result<()> {
        if want.len() != got.len() {
            let m = format!("`{name}` takes {} {what}{}, not {}", want.len(), plural(want.len()), got.len());
            return Err(Error::tree(m));
        }
        match want.iter().zip(got).position(|(w, g)| w != g) {
            Some(i) => Err(Error::shape(format!("{what} {i} of `{name}` must be {}, not {}", want[i], got[i]))),
            None => Ok(()),
        }
    };
    let differentiated = |wrt: &[usize]| -> Result<Vec<Aval>> {
        if let Some(w) = wrt.windows(2).find(|w| w[0] >= w[1]) {
            let m =
                format!("the arguments `{name}` is differentiated by must increase: {} comes before {}", w[0], w[1]);
            return Err(Error::tree(m));
        }
        wrt.iter()
            .map(|i| match params.get(*i) {
                Some(p) if p.dtype.is_float() => Ok(p.clone()),
                Some(p) => Err(Error::dtype(format!(
                    "can't differentiate `{name}` by argument {i}, {p}: only floats have derivatives"
                ))),
                None => Err(Error::tree(format!("`{name}` has {} arguments; there is no argument {i}", params.len()))),
            })
            .collect()
    };
    let floats = || results.iter().filter(|r| r.dtype.is_float()).cloned();
    let avals = match transform {
        Transform::Call | Transform::Checkpoint { .. } | Transform::Named { .. } => {
            expect("argument", &params, args)?;
            results
        }
        Transform::Jvp { wrt } => {
            let tangents = differentiated(wrt)?;
            expect("argument", &[params.clone(), tangents].concat(), args)?;
            results.iter().cloned().chain(floats()).collect()
        }
        Transform::Vjp { wrt } => {
            let gradients = differentiated(wrt)?;
            let cotangents: Vec<Aval> = floats().collect();
            expect("argument", &[params.clone(), cotangents].concat(), args)?;
            results.iter().cloned().chain(gradients).collect()
        }
        Transform::Vmap { in_axes, out_axes, size } => {
            if in_axes.len() != params.len() || out_axes.len() != results.len() {
                let m = format!(
                    "`{name}` has {} arguments and {} results; vmap got {} in_axes and {} out_axes",
                    params.len(),
                    results.len(),
                    in_axes.len(),
                    out_axes.len()
                );
                return Err(Error::tree(m));
            }
            let mut want = Vec::new();
            for (p, axis) in params.iter().zip(in_axes) {
                want.push(match axis {
                    None => p.clone(),
                    Some(a) if *a <= p.shape.rank() => Aval::new(p.dtype, p.shape.insert(*a, *size)),
                    Some(a) => {
                        return Err(Error::axis(format!(
                            "in_axes {a} is out of range for an argument whose element is {p}"
                        )));
                    }
                });
            }
            expect("argument", &want, args)?;
            let stacked = results.iter().zip(out_axes).map(|(r, axis)| {
                if *axis <= r.shape.rank() {
                    Ok(Aval::new(r.dtype, r.shape.insert(*axis, *size)))
                } else {
                    Err(Error::axis(format!("out_axes {axis} is out of range for a result whose element is {r}")))
                }
            });
            stacked.collect::<Result<Vec<Aval>>>()?
        }
        Transform::CustomJvp { params: n, results: m } | Transform::CustomVjp { params: n, results: m } => {
            let refused = |what: String| Err(Error::tree(format!("`{name}` is no `{}`: {what}", transform.name())));
            if *n > params.len() || 2 * m > results.len() {
                return refused(format!("it has {} arguments and {} results", params.len(), results.len()));
            }
            let (own, rule) = (&params[..*n], &results[*m..]);
            let y = &results[..*m];
            let floats = |of: &[Aval]| of.iter().filter(|a| a.dtype.is_float()).cloned().collect::<Vec<_>>();
            let (directions, derivatives) = match matches!(transform, Transform::CustomJvp { .. }) {
                true => (floats(own), floats(y)),
                false => (floats(y), floats(own)),
            };
            let (given, others) = params[*n..].split_at_checked(directions.len()).unwrap_or((&params[*n..], &[]));
            if given != directions {
                return refused(format!("it should take {directions:?} behind its arguments, not {given:?}"));
            }
            if rule[..*m] != *y || rule[*m..] != derivatives {
                return refused(format!("behind {y:?} it should return {y:?} and {derivatives:?}, not {rule:?}"));
            }
            expect("argument", &[own, others].concat(), args)?;
            y.to_vec()
        }
    };
    for aval in &avals {
        check_size(format_args!("a result of `{}` of `{name}`", transform.name()), aval)?;
    }
    Ok(avals)
}

/// The avals of the results of a loop or branch. See [`Control`] for the signatures.
///
/// # Errors
/// If there is no such function, or the functions or the operands don't fit.
pub fn control(control: &Control, program: &Program, args: &[Aval]) -> Result<Vec<Aval>> {
    let name = control.name();
    let functions = program.functions().len();
    if let Some(missing) = control.callees().iter().find(|f| f.index() >= functions) {
        return Err(Error::tree(format!("`{name}` of {missing}, which is not defined")));
    }
    let signature = |f: FnId| (program.function(f).param_avals(), program.function(f).result_avals());
    let results = match control {
        Control::Scan { body, consts, carry, length, .. } => {
            let (params, results) = signature(*body);
            count(name, "the body's parameters", params.len(), args.len())?;
            let fixed = consts.checked_add(*carry).filter(|n| *n <= params.len() && *carry <= results.len());
            let fixed = fixed.ok_or_else(|| {
                let m = format!(
                    "`{name}`: the body, of {} parameters and {} results, has no {consts} consts and {carry} carries",
                    params.len(),
                    results.len()
                );
                Error::tree(m)
            })?;
            expect(name, "operand", &params[..fixed], &args[..fixed])?;
            for (i, (param, arg)) in params.iter().zip(args).enumerate().skip(fixed) {
                let want = Aval::new(param.dtype, param.shape.insert(0, *length));
                if *arg != want {
                    return Err(Error::shape(format!(
                        "`{name}`: operand {i} must have {length} elements of {param}, {want}, not be {arg}"
                    )));
                }
            }
            carried(name, &params[*consts..fixed], &results[..*carry])?;
            let stack = |y: &Aval| Aval::new(y.dtype, y.shape.insert(0, *length));
            results[..*carry].iter().cloned().chain(results[*carry..].iter().map(stack)).collect()
        }
        Control::While { cond, body, cond_consts, body_consts } => {
            let ((asked, predicate), (params, results)) = (signature(*cond), signature(*body));
            let carry = args.len().checked_sub(*cond_consts).and_then(|n| n.checked_sub(*body_consts));
            let carry = carry.ok_or_else(|| {
                Error::tree(format!(
                    "`{name}` of {} operands has no {cond_consts} and {body_consts} consts",
                    args.len()
                ))
            })?;
            count(name, "the condition's parameters", asked.len(), cond_consts + carry)?;
            count(name, "the body's parameters", params.len(), body_consts + carry)?;
            count(name, "the body's results", results.len(), carry)?;
            if predicate != [Aval::new(Dtype::Bool, Shape::scalar())] {
                let found = predicate.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(", ");
                return Err(Error::dtype(format!("`{name}`: the condition must give one bool[], not ({found})")));
            }
            let (own, carried_in) = args.split_at(cond_consts + body_consts);
            expect(name, "operand", &asked[..*cond_consts], &own[..*cond_consts])?;
            expect(name, "operand", &params[..*body_consts], &own[*cond_consts..])?;
            expect(name, "carry", &params[*body_consts..], carried_in)?;
            expect(name, "the condition's carry", carried_in, &asked[*cond_consts..])?;
            carried(name, carried_in, &results)?;
            results
        }
        Control::Switch { branches } => {
            let Some(first) = branches.first() else {
                return Err(Error::tree(format!("`{name}` needs a branch")));
            };
            let (params, results) = signature(*first);
            for (b, branch) in branches.iter().enumerate().skip(1) {
                let (others, given) = signature(*branch);
                count(name, &format!("the parameters of branch {b} and of branch 0"), others.len(), params.len())?;
                count(name, &format!("the results of branch {b} and of branch 0"), given.len(), results.len())?;
                expect(name, &format!("branch {b}, parameter"), &params, &others)?;
                expect(name, &format!("branch {b}, result"), &results, &given)?;
            }
            let index = Aval::new(Dtype::I32, Shape::scalar());
            match args.split_first() {
                Some((i, _)) if *i != index => {
                    return Err(Error::dtype(format!("`{name}`: the index must be {index}, not {i}")));
                }
                Some((_, rest)) => {
                    count(name, "the branches' parameters", params.len(), rest.len())?;
                    expect(name, "operand", &params, rest)?;
                }
                None => return Err(Error::tree(format!("`{name}` needs an index"))),
            }
            results
        }
        Control::Either { ways } => {
            let Some(first) = ways.first() else {
                return Err(Error::tree(format!("`{name}` needs a function")));
            };
            let (params, results) = signature(*first);
            for (i, way) in ways.iter().enumerate().skip(1) {
                let (others, given) = signature(*way);
                count(name, &format!("the parameters of way {i} and of way 0"), others.len(), params.len())?;
                count(name, &format!("the results of way {i} and of way 0"), given.len(), results.len())?;
                expect(name, &format!("way {i}, parameter"), &params, &others)?;
                expect(name, &format!("way {i}, result"), &results, &given)?;
            }
            count(name, "the functions' parameters", params.len(), args.len())?;
            expect(name, "operand", &params, args)?;
            results
        }
        Control::AllGather { size, .. } => {
            count(name, "the operands", 1, args.len())?;
            vec![Aval::new(args[0].dtype, args[0].shape.insert(0, *size))]
        }
        Control::AxisIndex { .. } => {
            count(name, "the operands", 0, args.len())?;
            vec![Aval::new(Dtype::I32, Shape::scalar())]
        }
        Control::Print { format, levels } => {
            let token = Aval::new(Dtype::I32, Shape::scalar());
            // A text more than placeholders, and a token.
            count(name, "the operands", crate::print::pieces(format)?.len(), args.len())?;
            if args[0] != token {
                return Err(Error::dtype(format!("`{name}`: the token must be {token}, not {}", args[0])));
            }
            if let Some(x) = args[1..].iter().find(|x| !x.shape.starts_with(levels)) {
                return Err(Error::shape(format!("`{name}`: {x} has not the leading axes {levels:?}")));
            }
            vec![token]
        }
    };
    for aval in &results {
        check_size(format_args!("a result of `{name}`"), aval)?;
    }
    Ok(results)
}

fn count(name: &str, what: &str, want: usize, got: usize) -> Result<()> {
    if want == got {
        return Ok(());
    }
    Err(Error::tree(format!("`{name}`: {what} number {want}, not {got}")))
}

fn expect(name: &str, what: &str, want: &[Aval], got: &[Aval]) -> Result<()> {
    match want.iter().zip(got).position(|(w, g)| w != g) {
        Some(i) => Err(Error::shape(format!("`{name}`: {what} {i} must be {}, not {}", want[i], got[i]))),
        None => Ok(()),
    }
}

fn carried(name: &str, from: &[Aval], to: &[Aval]) -> Result<()> {
    match from.iter().zip(to).position(|(f, t)| f != t) {
        Some(i) => {
            let m = format!("`{name}`: carry {i} is {} before a step and {} after it", from[i], to[i]);
            Err(Error::shape(m))
        }
        None => Ok(()),
    }
}

/// The shape both shapes broadcast to by NumPy's rule: aligned at the last axis, where lengths
/// differ one of them must be 1.
///
/// # Errors
/// If they don't broadcast.
pub fn broadcast(a: &Shape, b: &Shape) -> Result<Shape> {
    let rank = a.rank().max(b.rank());
    let dim = |s: &Shape, i: usize| if i + s.rank() >= rank { s[i + s.rank() - rank] } else { 1 };
    (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(Error::shape(format!(
                "shapes {a} and {b} don't broadcast: from the last axis, lengths must be equal or 1"
            ))),
        })
        .collect()
}

/// Where the axes of a shape go when it broadcasts to `rank` axes by NumPy's rule.
pub fn broadcast_dims(from: &Shape, rank: usize) -> Axes {
    (rank - from.rank()..rank).collect()
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn check_axis(name: &str, axis: usize, rank: usize) -> Result<()> {
    if axis < rank {
        return Ok(());
    }
    Err(Error::axis(format!("axis {axis} of `{name}` is out of range for rank {rank}")))
}

fn accept(name: &str, ok: bool, args: &[&Aval]) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::dtype(format!("`{name}` doesn't take {}", list(args))))
}

fn same(name: &str, args: &[&Aval]) -> Result<()> {
    if args[0].dtype != args[1].dtype {
        return Err(Error::dtype(format!("`{name}` takes operands of one type, not {}", list(args))));
    }
    if args[0].shape != args[1].shape {
        return Err(mismatch(name, args));
    }
    Ok(())
}

fn mismatch(name: &str, args: &[&Aval]) -> Error {
    Error::shape(format!("`{name}` takes operands of one shape, not {}", list(args)))
}

fn list(args: &[&Aval]) -> String {
    args.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(" and ")
}
