//! Right-hand sides: what a rule builds from what its pattern has bound.
//!
//! ```text
//! ?x                          what the pattern bound
//! (mul ?c ?y)                 a term
//! (full 2 ?x)                 a number in the element type and shape of ?x
//! (fold add ?x ?y)            the primitive of constants, computed; nothing if it is not cheap
//! (let ?v (mul ?c ?y) …)      the last, in which ?v is the second
//! (matmul ?x ?y)              a short form of a template (see `notation`)
//! {except ?axes ?x}           a computed attribute (see `attrs`)
//! [0,1]  3  f32               an attribute
//! ```
//!
//! A move that moves nothing (a reshape to the same shape, an identity permutation, a reduction
//! over no axes, …) is not built: its operand stands in its place.

use super::attrs::{self, Arg, Function};
use super::notation;
use crate::analysis::{EGraph, Fact};
use crate::term::{Attr, Head, Prim, Term};
use egg::{Id, Subst, Var};
use egrad_ir::scalar::{self, Elementary};
use egrad_ir::{Binary, Element, Error, Literal, Result, Unary, elementary};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A compiled right-hand side: steps, each naming earlier steps, of which the last is the result.
pub struct Template {
    steps: Vec<Step>,
    /// Terms are built as written, moves that move nothing included: fusion rules name the very
    /// term that their pattern matched.
    verbatim: bool,
}

enum Step {
    Var(Var),
    Attr(Attr),
    Call(&'static Function<Attr>, SmallVec<[usize; 4]>),
    Term(Head, SmallVec<[usize; 6]>),
    /// A number, or a computed integer or literal, in the type and shape of another value.
    Full(Scalar, usize),
    /// A primitive of constants.
    Fold(Prim, SmallVec<[usize; 3]>),
}

/// What names stand for besides the pattern's variables.
type Names<'a> = BTreeMap<&'a str, usize>;

enum Scalar {
    Number(f64),
    Step(usize),
}

/// A step's outcome: a class, or an attribute that is not in the e-graph yet.
enum Slot {
    Class(Id),
    Attr(Attr),
}

impl Template {
    /// Compiles a right-hand side.
    ///
    /// # Errors
    /// If the text is malformed or names what doesn't exist.
    pub fn parse(text: &str) -> Result<Template> {
        let mut template = Template { steps: Vec::new(), verbatim: text.contains("(body ") };
        let sexp = parse(text)?;
        let result = template.compile(&sexp, &Names::new())?;
        match template.steps[result..].first().filter(|_| result + 1 == template.steps.len()) {
            Some(Step::Var(_) | Step::Term(..) | Step::Full(..) | Step::Fold(..)) => Ok(template),
            Some(Step::Attr(_) | Step::Call(..)) | None => Err(wrong(text, "is no value")),
        }
    }

    /// The variables it uses.
    pub fn vars(&self) -> Vec<Var> {
        let var = |s: &Step| match s {
            Step::Var(v) => Some(*v),
            Step::Attr(_) | Step::Call(..) | Step::Term(..) | Step::Full(..) | Step::Fold(..) => None,
        };
        self.steps.iter().filter_map(var).collect()
    }

    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    /// Compiles an expression in which these names stand for steps; the step that is its result.
    fn compile<'a>(&mut self, sexp: &Sexp<'a>, names: &Names<'a>) -> Result<usize> {
        let step = match sexp {
            Sexp::Atom(a) if names.contains_key(a) => return Ok(names[a]),
            Sexp::Atom(a) if a.starts_with('?') => Step::Var(var(a)?),
            Sexp::Atom(a) => Step::Attr(Attr::parse(a).ok_or_else(|| wrong(a, "is no attribute"))?),
            Sexp::Brace(parts) => {
                let (name, args) = split(parts)?;
                let function = attrs::function(name).ok_or_else(|| wrong(name, "is no attribute function"))?;
                if args.len() != function.takes.len() {
                    return Err(wrong(name, &format!("takes ({})", function.takes.join(", "))));
                }
                Step::Call(function, args.iter().map(|a| self.compile(a, names)).collect::<Result<_>>()?)
            }
            Sexp::Paren(parts) => match split(parts)? {
                ("full", [scalar, like]) => {
                    let scalar = match scalar {
                        Sexp::Atom(a) if !a.starts_with('?') => {
                            Scalar::Number(a.parse().map_err(|_| wrong(a, "is no number"))?)
                        }
                        other => Scalar::Step(self.compile(other, names)?),
                    };
                    Step::Full(scalar, self.compile(like, names)?)
                }
                ("let", [Sexp::Atom(name), value, body]) => {
                    let value = self.compile(value, names)?;
                    let mut names = names.clone();
                    names.insert(name, value);
                    return self.compile(body, &names);
                }
                ("fold", [Sexp::Atom(name), args @ ..]) => {
                    let prim = Prim::parse(name).ok_or_else(|| wrong(name, "is no primitive"))?;
                    if args.len() != prim.attrs() + prim.arity() {
                        return Err(wrong(name, "has other arguments"));
                    }
                    Step::Fold(prim, args.iter().map(|a| self.compile(a, names)).collect::<Result<_>>()?)
                }
                (name, args) if notation::find(name).is_some_and(|n| n.takes.len() == args.len()) => {
                    let Some(form) = notation::find(name) else { return Err(wrong(name, "is no term")) };
                    let args = args.iter().map(|a| self.compile(a, names)).collect::<Result<Vec<_>>>()?;
                    return self.compile(&parse(form.body)?, &form.takes.iter().copied().zip(args).collect());
                }
                (name, args) => {
                    let head = Head::parse(name).ok_or_else(|| wrong(name, "is no term"))?;
                    if head.args() != args.len() {
                        return Err(wrong(name, &format!("takes {} arguments", head.args())));
                    }
                    Step::Term(head, args.iter().map(|a| self.compile(a, names)).collect::<Result<_>>()?)
                }
            },
        };
        Ok(self.push(step))
    }

    /// Builds the right-hand side in the e-graph; `None` if there is nothing to say.
    ///
    /// # Errors
    /// If an attribute function is given things of other types.
    pub fn build(&self, egraph: &mut EGraph, subst: &Subst) -> Result<Option<Id>> {
        let mut slots: SmallVec<[Slot; 12]> = SmallVec::new();
        for step in &self.steps {
            let slot = match step {
                Step::Var(v) => Slot::Class(egraph.find(subst[*v])),
                Step::Attr(a) => Slot::Attr(a.clone()),
                Step::Call(function, args) => {
                    let computed = {
                        let args: SmallVec<[Arg<'_>; 4]> =
                            args.iter().map(|a| slots[*a].arg(egraph)).collect::<Option<_>>().unwrap_or_default();
                        (function.apply)(&args)
                    };
                    Slot::Attr(computed.ok_or_else(|| wrong(function.name, "can't take what the pattern bound"))?)
                }
                Step::Term(head, args) => match still(egraph, head, args, &slots).filter(|_| !self.verbatim) {
                    Some(operand) => Slot::Class(operand),
                    None => {
                        let args: SmallVec<[Id; 4]> = args.iter().map(|a| slots[*a].class(egraph)).collect();
                        Slot::Class(egraph.add(Term { head: head.clone(), args }))
                    }
                },
                Step::Full(scalar, like) => {
                    let like = slots[*like].class(egraph);
                    let aval =
                        egraph[like].data.aval().ok_or_else(|| wrong("full", "needs a value to be like"))?.clone();
                    let literal = match scalar {
                        Scalar::Number(n) => Some(Literal::new(aval.dtype, *n)),
                        Scalar::Step(s) => match slots[*s].attr(egraph) {
                            Some(Attr::Int(n)) => Some(Literal::wrapped(aval.dtype, *n)),
                            Some(Attr::Literal(l)) => Some(*l),
                            Some(Attr::Dims(_) | Attr::Dtype(_)) | None => None,
                        },
                    };
                    let literal = literal.ok_or_else(|| wrong("full", "needs a number"))?;
                    Slot::Class(full(egraph, literal, &aval.shape))
                }
                Step::Fold(prim, args) => {
                    let Some(literal) = fold(egraph, *prim, args, &slots) else { return Ok(None) };
                    let operand = slots[args[args.len() - 1]].class(egraph);
                    let aval = egraph[operand].data.aval().ok_or_else(|| wrong("fold", "needs values"))?.clone();
                    Slot::Class(full(egraph, literal, &aval.shape))
                }
            };
            slots.push(slot);
        }
        let last = slots.pop().ok_or_else(|| Error::internal("a rule builds nothing"))?;
        Ok(Some(last.class(egraph)))
    }
}

/// An elementwise primitive of constants; `None` for the elementary functions, whose bits depend on
/// who computes them.
fn fold(egraph: &EGraph, prim: Prim, args: &[usize], slots: &[Slot]) -> Option<Literal> {
    let mode = Elementary::Shared;
    let constant = |i: usize| match slots[args[i]].arg(egraph)? {
        Arg::Value(fact) => fact.constant(),
        Arg::Attr(_) | Arg::Number(_) => None,
    };
    match prim {
        Prim::Unary(u) => match u {
            Unary::Neg
            | Unary::Abs
            | Unary::Sign
            | Unary::Floor
            | Unary::Round
            | Unary::Sqrt
            | Unary::Not
            | Unary::StopGradient
            | Unary::Barrier => scalar::unary(u, constant(0)?, mode),
            Unary::Rsqrt | elementary!() => None,
        },
        Prim::Binary(Binary::Pow | Binary::Atan2) => None,
        Prim::Binary(b) => scalar::binary(b, constant(0)?, constant(1)?, mode),
        Prim::Compare(c) => scalar::compare(c, constant(0)?, constant(1)?).map(Element::literal),
        Prim::IntegerPow => {
            let n = i32::try_from(slots[args[0]].attr(egraph)?.as_int()?).ok()?;
            scalar::integer_pow(n, constant(1)?, mode)
        }
        Prim::Convert => match slots[args[0]].attr(egraph)? {
            Attr::Dtype(to) => Some(scalar::convert(*to, constant(1)?, mode)),
            Attr::Literal(_) | Attr::Dims(_) | Attr::Int(_) => None,
        },
        Prim::Constant
        | Prim::Iota
        | Prim::Select
        | Prim::BroadcastInDim
        | Prim::Reshape
        | Prim::Transpose
        | Prim::Reduce(_)
        | Prim::DotGeneral
        | Prim::Slice
        | Prim::Pad
        | Prim::Reverse
        | Prim::Concatenate
        | Prim::Take
        | Prim::Scatter(_)
        | Prim::Argsort
        | Prim::Factor(_)
        | Prim::TriangularSolve
        | Prim::Fft => None,
    }
}

impl Slot {
    fn class(&self, egraph: &mut EGraph) -> Id {
        match self {
            Slot::Class(id) => *id,
            Slot::Attr(a) => egraph.add(Term::leaf(Head::Attr(a.clone()))),
        }
    }

    fn attr<'a>(&'a self, egraph: &'a EGraph) -> Option<&'a Attr> {
        match self {
            Slot::Class(id) => egraph[*id].data.attr(),
            Slot::Attr(a) => Some(a),
        }
    }

    fn arg<'a>(&'a self, egraph: &'a EGraph) -> Option<Arg<'a>> {
        match self {
            Slot::Attr(a) => Some(Arg::Attr(a)),
            Slot::Class(id) => arg(egraph, *id),
        }
    }
}

/// What a class is to an attribute function or guard.
pub fn arg(egraph: &EGraph, id: Id) -> Option<Arg<'_>> {
    match &egraph[id].data {
        Fact::Attr(a) => Some(Arg::Attr(a)),
        fact @ Fact::Value { .. } => Some(Arg::Value(fact)),
        Fact::Tuple(_) | Fact::Ill => None,
    }
}

/// A literal broadcast to a shape.
pub fn full(egraph: &mut EGraph, literal: Literal, shape: &[usize]) -> Id {
    let attr = egraph.add(Term::leaf(Head::Attr(Attr::Literal(literal))));
    let scalar = egraph.add(Term::new(Head::Prim(Prim::Constant), [attr]));
    if shape.is_empty() {
        return scalar;
    }
    let shape = egraph.add(Term::leaf(Head::Attr(Attr::Dims(shape.into()))));
    let dims = egraph.add(Term::leaf(Head::Attr(Attr::dims([]))));
    egraph.add(Term::new(Head::Prim(Prim::BroadcastInDim), [shape, dims, scalar]))
}

/// The operand of a move that moves nothing.
fn still(egraph: &EGraph, head: &Head, args: &[usize], slots: &[Slot]) -> Option<Id> {
    let Head::Prim(prim) = head else { return None };
    let operand = || match slots[*args.last()?] {
        Slot::Class(id) => Some((id, egraph[id].data.aval()?)),
        Slot::Attr(_) => None,
    };
    let attr = |i: usize| slots[args[i]].attr(egraph);
    let (id, aval) = match prim {
        Prim::Convert
        | Prim::BroadcastInDim
        | Prim::Reshape
        | Prim::Transpose
        | Prim::Reduce(_)
        | Prim::Slice
        | Prim::Reverse => operand()?,
        // What is padded comes before what it is padded with.
        Prim::Pad => match slots[args[2]] {
            Slot::Class(id) => (id, egraph[id].data.aval()?),
            Slot::Attr(_) => return None,
        },
        Prim::Constant
        | Prim::Iota
        | Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::Compare(_)
        | Prim::Select
        | Prim::IntegerPow
        | Prim::DotGeneral
        | Prim::Concatenate
        | Prim::Take
        | Prim::Scatter(_)
        | Prim::Argsort
        | Prim::Factor(_)
        | Prim::TriangularSolve
        | Prim::Fft => return None,
    };
    let same = match (prim, attr(0)?) {
        (Prim::Convert, Attr::Dtype(d)) => *d == aval.dtype,
        (Prim::Reshape | Prim::BroadcastInDim, Attr::Dims(shape)) => **shape == *aval.shape,
        (Prim::Transpose, Attr::Dims(perm)) => perm.iter().copied().eq(0..perm.len()),
        (Prim::Reduce(_) | Prim::Reverse, Attr::Dims(axes)) => axes.is_empty(),
        // The size is the same only where it starts at the start.
        (Prim::Slice, Attr::Dims(_)) => {
            attr(1)?.as_dims()? == &*aval.shape && attr(0)?.as_dims()?.iter().all(|s| *s == 0)
        }
        (Prim::Pad, Attr::Dims(_)) => {
            (0..2).all(|i| attr(i).and_then(Attr::as_dims).is_some_and(|d| d.iter().all(|n| *n == 0)))
        }
        (_, Attr::Literal(_) | Attr::Dims(_) | Attr::Int(_) | Attr::Dtype(_)) => false,
    };
    same.then_some(id)
}

/// Text between brackets, or an atom.
pub(super) enum Sexp<'a> {
    /// A word.
    Atom(&'a str),
    /// `( … )`
    Paren(Vec<Sexp<'a>>),
    /// `{ … }`
    Brace(Vec<Sexp<'a>>),
}

/// Reads one expression.
pub(super) fn parse(text: &str) -> Result<Sexp<'_>> {
    let mut open: Vec<(char, Vec<Sexp<'_>>)> = vec![(' ', Vec::new())];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | '{' | ')' | '}' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "(){}".contains(c)).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after.trim_start();
        let done = match token {
            "(" | "{" => {
                open.push((first, Vec::new()));
                continue;
            }
            ")" | "}" => {
                let want = if token == ")" { '(' } else { '{' };
                match open.pop() {
                    Some((c, parts)) if c == want && !open.is_empty() => {
                        if want == '(' {
                            Sexp::Paren(parts)
                        } else {
                            Sexp::Brace(parts)
                        }
                    }
                    _ => return Err(wrong(text, "has a stray bracket")),
                }
            }
            atom => Sexp::Atom(atom),
        };
        open.last_mut().ok_or_else(|| wrong(text, "has a stray bracket"))?.1.push(done);
    }
    match (open.len(), open.pop()) {
        (1, Some((_, mut parts))) if parts.len() == 1 => parts.pop().ok_or_else(|| wrong(text, "is empty")),
        _ => Err(wrong(text, "is not one expression")),
    }
}

fn split<'s, 'a>(parts: &'s [Sexp<'a>]) -> Result<(&'a str, &'s [Sexp<'a>])> {
    match parts {
        [Sexp::Atom(name), args @ ..] => Ok((name, args)),
        _ => Err(Error::internal("a rule has brackets without a name")),
    }
}

/// The variable of that name.
pub(super) fn var(name: &str) -> Result<Var> {
    name.parse().map_err(|_| wrong(name, "is no variable"))
}

pub(super) fn wrong(what: &str, why: &str) -> Error {
    Error::internal(format!("in a rule, `{what}` {why}"))
}
