//! A case's program as a Rust function of tensors, that calls the frontend as users do.

use super::ops::{self, Method};
use super::schema::{self, Case, Equation, OutAxes};
use egrad::{Dtype, Function, ScanOptions, Tensor};
use egrad::{checkpoint, cond, fori_loop, scan_with, switch, while_loop};
use egrad::{grad, hessian, jacfwd, jacrev, jit, jvp, value_and_grad, vjp, vmap, vmap_with};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A function of a list of tensors.
#[derive(Clone)]
pub(super) struct Callable {
    f: Rc<dyn Fn(Vec<Tensor>) -> Vec<Tensor>>,
    params: usize,
    results: usize,
}

/// Why a case has no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unbuilt {
    /// Operations or transforms that the frontend doesn't offer.
    Missing(Vec<String>),
    /// The file is wrong.
    Malformed(String),
}

/// The case's entry, where floats are `width` wide; if `called`, every function of the case is called
/// as a jitted one.
///
/// # Errors
/// If it can't be built.
pub(super) fn entry(case: &Case, width: Dtype, called: bool) -> Result<Callable, Unbuilt> {
    let mut link = Link { case, width, called, missing: BTreeSet::new() };
    let entry = link.callable(&case.entry).map_err(Unbuilt::Malformed)?;
    if link.missing.is_empty() { Ok(entry) } else { Err(Unbuilt::Missing(link.missing.into_iter().collect())) }
}

struct Link<'a> {
    case: &'a Case,
    width: Dtype,
    called: bool,
    /// What was met that the frontend doesn't offer.
    missing: BTreeSet<String>,
}

impl Link<'_> {
    fn callable(&mut self, callable: &schema::Callable) -> Result<Callable, String> {
        use schema::Callable as C;
        Ok(match callable {
            C::Fn { name } if self.called => self.function(name)?.jit(),
            C::Fn { name } => self.function(name)?,
            C::Jit { jit } => self.callable(jit)?.jit(),
            C::Checkpoint { checkpoint } => self.callable(checkpoint)?.checkpointed(),
            C::Grad { grad, argnums } => self.callable(grad)?.grad(argnums),
            C::ValueAndGrad { value_and_grad, argnums } => self.callable(value_and_grad)?.value_and_grad(argnums),
            C::Vmap { vmap, in_axes, out_axes } => self.callable(vmap)?.vmap(in_axes.clone(), out_axes),
            C::Jvp { jvp, argnums } => self.callable(jvp)?.jvp(argnums),
            C::Vjp { vjp, argnums } => self.callable(vjp)?.vjp(argnums),
            C::Jacfwd { jacfwd: f, argnum } => self.callable(f)?.jacobian(*argnum, |f| jacfwd(f)),
            C::Jacrev { jacrev: f, argnum } => self.callable(f)?.jacobian(*argnum, |f| jacrev(f)),
            C::Hessian { hessian: f, argnum } => self.callable(f)?.jacobian(*argnum, |f| hessian(f)),
        })
    }

    fn function(&mut self, name: &str) -> Result<Callable, String> {
        let function = self.case.functions.get(name).ok_or_else(|| format!("there is no function `{name}`"))?;
        let mut names: HashMap<&str, usize> = HashMap::new();
        for p in &function.params {
            let n = names.len();
            names.insert(&p.name, n);
        }
        let mut steps = Vec::new();
        for equation in &function.body {
            let at = |e: String| format!("`{}` in `{name}`: {e}", equation.op);
            let find = |x: &String| names.get(x.as_str()).copied().ok_or_else(|| at(format!("`{x}` is not known")));
            let operands = equation.args.iter().map(find).collect::<Result<Vec<_>, _>>()?;
            let method = self.method(equation).map_err(at)?;
            let types = self.types(&equation.types);
            steps.push(Step { op: equation.op.clone(), method, operands, types });
            for out in &equation.outs {
                let n = names.len();
                names.insert(out, n);
            }
        }
        let find = |x: &String| {
            names.get(x.as_str()).copied().ok_or_else(|| format!("`{name}` returns `{x}`, which is not known"))
        };
        let results = function.results.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let params = self.types(function.params.iter().map(|p| &p.aval));
        let name = name.to_owned();
        Ok(Callable::new(params.len(), results.len(), move |mut values| {
            check(&name, &values, &params);
            for step in &steps {
                let operands: Vec<Tensor> = step.operands.iter().map(|i| values[*i]).collect();
                values.extend(step.run(&operands));
            }
            results.iter().map(|i| values[*i]).collect()
        }))
    }

    fn types<'a>(&self, of: impl IntoIterator<Item = &'a schema::Type>) -> Vec<(Dtype, Vec<usize>)> {
        of.into_iter().map(|t| (t.dtype.dtype(self.width), t.shape.clone())).collect()
    }

    /// A loop or a branch over functions of the case.
    fn control(&mut self, equation: &Equation) -> Result<Option<Method>, String> {
        let attrs = &equation.attrs;
        let mut function = |name: &str| self.callable(&attrs.get(name)?);
        Ok(Some(match equation.op.as_str() {
            "scan" => {
                let body = function("body")?;
                let (consts, carry): (usize, usize) = (attrs.get("n_consts")?, attrs.get("n_carry")?);
                let reverse = attrs.maybe("reverse")?.unwrap_or(false);
                let options = ScanOptions { length: Some(attrs.get("length")?), reverse };
                Box::new(move |args| {
                    let (body, consts, (init, xs)) =
                        (body.clone(), args[..consts].to_vec(), args[consts..].split_at(carry));
                    let step = move |c: Vec<Tensor>, x: Vec<Tensor>| {
                        let mut results = body.call([consts.clone(), c, x].concat());
                        let ys = results.split_off(carry);
                        (results, ys)
                    };
                    let (last, ys) = scan_with(step, init.to_vec(), xs.to_vec(), options);
                    [last, ys].concat()
                })
            }
            "fori" => {
                let body = function("body")?;
                let (consts, lower, upper): (usize, i32, i32) =
                    (attrs.get("n_consts")?, attrs.get("lower")?, attrs.get("upper")?);
                Box::new(move |args| {
                    let (body, consts, init) = (body.clone(), args[..consts].to_vec(), args[consts..].to_vec());
                    let step = move |i: Tensor, c: Vec<Tensor>| body.call([vec![i], consts.clone(), c].concat());
                    fori_loop(lower, upper, step, init)
                })
            }
            "while" => {
                let (cond, body) = (function("cond")?, function("body")?);
                let consts: usize = attrs.get("n_consts")?;
                Box::new(move |args| {
                    let (consts, init) = (args[..consts].to_vec(), args[consts..].to_vec());
                    let with = |f: &Callable| {
                        let (f, consts) = (f.clone(), consts.clone());
                        move |c: Vec<Tensor>| f.call([consts.clone(), c].concat())
                    };
                    let asked = with(&cond);
                    while_loop(move |c: Vec<Tensor>| asked(c)[0], with(&body), init)
                })
            }
            "cond" => {
                let (on_true, on_false) = (function("on_true")?, function("on_false")?);
                Box::new(move |args| cond(args[0], on_true.function(), on_false.function(), (args[1..].to_vec(),)))
            }
            "switch" => {
                let branches: Vec<schema::Callable> = attrs.get("branches")?;
                let branches = branches.iter().map(|b| self.callable(b)).collect::<Result<Vec<_>, _>>()?;
                Box::new(move |args| switch(args[0], branches.iter().map(Callable::function), (args[1..].to_vec(),)))
            }
            _ => return Ok(None),
        }))
    }

    fn method(&mut self, equation: &Equation) -> Result<Method, String> {
        if equation.op == "apply" {
            let callee = self.callable(&equation.attrs.get("callee")?)?;
            return Ok(Box::new(move |args| callee.call(args.to_vec())));
        }
        if let Some(method) = self.control(equation)? {
            return Ok(method);
        }
        Ok(ops::method(equation, self.width)?.unwrap_or_else(|| {
            self.missing.insert(equation.op.clone());
            Box::new(|_| Vec::new())
        }))
    }
}

/// An equation.
struct Step {
    op: String,
    method: Method,
    /// Positions among the parameters and the results of earlier equations.
    operands: Vec<usize>,
    /// The types the case says the results have.
    types: Vec<(Dtype, Vec<usize>)>,
}

impl Step {
    fn run(&self, operands: &[Tensor]) -> Vec<Tensor> {
        let results = (self.method)(operands);
        check(&self.op, &results, &self.types);
        results
    }
}

/// # Panics
/// If these tensors aren't of the types the case says.
fn check(what: &str, tensors: &[Tensor], types: &[(Dtype, Vec<usize>)]) {
    let have: Vec<_> = tensors.iter().map(|x| (x.dtype(), x.shape().to_vec())).collect();
    assert_eq!(have, types, "the types of `{what}`");
}

/// A function of one tensor.
type Single = Box<dyn Fn(Tensor) -> Tensor>;

impl Callable {
    fn new(params: usize, results: usize, f: impl Fn(Vec<Tensor>) -> Vec<Tensor> + 'static) -> Callable {
        Callable { f: Rc::new(f), params, results }
    }

    /// Calls it in traced code.
    pub(super) fn call(&self, args: Vec<Tensor>) -> Vec<Tensor> {
        (self.f)(args)
    }

    /// As a Rust function.
    pub(super) fn function(&self) -> impl Fn(Vec<Tensor>) -> Vec<Tensor> + 'static {
        let f = self.clone();
        move |args| f.call(args)
    }

    /// As a function of the arguments at these positions, the others held fixed.
    fn of(&self, argnums: &[usize], args: &[Tensor]) -> impl Fn(Vec<Tensor>) -> Vec<Tensor> + 'static {
        let (f, argnums, args) = (self.clone(), argnums.to_vec(), args.to_vec());
        move |chosen: Vec<Tensor>| {
            let mut args = args.clone();
            for (i, x) in argnums.iter().zip(chosen) {
                args[*i] = x;
            }
            f.call(args)
        }
    }

    fn jit(&self) -> Callable {
        let f = jit(self.function());
        Callable::new(self.params, self.results, move |args| f.call((args,)))
    }

    fn checkpointed(&self) -> Callable {
        Callable::new(self.params, self.results, checkpoint(self.function()))
    }

    fn grad(&self, argnums: &[usize]) -> Callable {
        let (f, by) = (self.clone(), argnums.to_vec());
        Callable::new(self.params, argnums.len(), move |args| {
            let f = f.of(&by, &args);
            grad(move |x: Vec<Tensor>| f(x)[0])(at(&by, &args))
        })
    }

    fn value_and_grad(&self, argnums: &[usize]) -> Callable {
        let (f, by) = (self.clone(), argnums.to_vec());
        Callable::new(self.params, 1 + argnums.len(), move |args| {
            let f = f.of(&by, &args);
            let (value, gradients) = value_and_grad(move |x: Vec<Tensor>| f(x)[0])(at(&by, &args));
            [vec![value], gradients].concat()
        })
    }

    fn vmap(&self, in_axes: Vec<Option<isize>>, out_axes: &OutAxes) -> Callable {
        let f = match out_axes {
            OutAxes::All(axis) => vmap_with(self.function(), (in_axes,), *axis),
            OutAxes::Each(axes) => vmap_with(self.function(), (in_axes,), axes.clone()),
        };
        Callable::new(self.params, self.results, f)
    }

    /// Mapped, with the results along axis 0.
    pub(super) fn mapped(&self, in_axes: Vec<Option<isize>>) -> Callable {
        Callable::new(self.params, self.results, vmap(self.function(), (in_axes,)).boxed())
    }

    /// (args.., a tangent per argnum) → outputs.., output tangents..
    pub(super) fn jvp(&self, argnums: &[usize]) -> Callable {
        let (f, by) = (self.clone(), argnums.to_vec());
        Callable::new(self.params + argnums.len(), 2 * self.results, move |args| {
            let (args, tangents) = args.split_at(f.params);
            let (outputs, tangents) = jvp(f.of(&by, args))((at(&by, args),), (tangents.to_vec(),));
            [outputs, tangents].concat()
        })
    }

    /// (args.., a cotangent per output) → outputs.., a gradient per argnum
    pub(super) fn vjp(&self, argnums: &[usize]) -> Callable {
        let (f, by) = (self.clone(), argnums.to_vec());
        Callable::new(self.params + self.results, self.results + argnums.len(), move |args| {
            let (args, cotangents) = args.split_at(f.params);
            let (outputs, (gradients,)) = vjp(f.of(&by, args))((at(&by, args),), cotangents.to_vec());
            [outputs, gradients].concat()
        })
    }

    /// A transform of functions of one tensor, of the first result by the argument at a position.
    fn jacobian(&self, argnum: usize, transform: fn(Single) -> Single) -> Callable {
        let f = self.clone();
        Callable::new(self.params, 1, move |args| {
            let of_one = f.of(&[argnum], &args);
            vec![transform(Box::new(move |x| of_one(vec![x])[0]))(args[argnum])]
        })
    }

    /// The same without the first results, which the transforms return beside derivatives.
    pub(super) fn without_first(&self, n: usize) -> Callable {
        let f = self.clone();
        Callable::new(self.params, self.results - n, move |args| f.call(args).split_off(n))
    }

    /// How many results it has.
    pub(super) fn results(&self) -> usize {
        self.results
    }
}

fn at(positions: &[usize], args: &[Tensor]) -> Vec<Tensor> {
    positions.iter().map(|i| args[*i]).collect()
}
