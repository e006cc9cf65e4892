//! What the e-graph knows about every class: an attribute, or a value's aval and, where all its
//! elements are one constant, that constant.
//!
//! Classes are typed. Merging classes of different avals, or two attributes, is a bug in a rule;
//! the first such [fault](Facts::fault) is kept with the rule's name and surfaces after the run.

use crate::places::{self, Places};
use crate::rules::Applied;
use crate::term::{Attr, Head, Prim, Term, decode};
use egg::{DidMerge, Id};
use egrad_ir::{Aval, Control, Dtype, Error, FnId, Literal, NodeKind, Op, Result, Transform, infer};
use smallvec::SmallVec;
use std::sync::Arc;

/// The e-graph of egrad.
pub type EGraph = egg::EGraph<Term, Facts>;

/// Which kind of thing a class that has an aval holds; classes of different kinds never merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A value.
    Value,
    /// A kernel's body that makes the value.
    Body,
    /// A value as a kernel reads it.
    Source,
}

/// What is known about a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An attribute.
    Attr(Attr),
    /// A value, or a body or source of one.
    Value {
        /// Which of them.
        sort: Sort,
        /// The value's element type and shape; equal ones mostly share it.
        aval: Arc<Aval>,
        /// The one constant all elements are, if known.
        constant: Option<Literal>,
        /// Where positions are, of what counts along axes.
        places: Option<Arc<Places>>,
    },
    /// The results of a call.
    Tuple(Arc<[Aval]>),
    /// A term that makes no sense: a fault has been recorded.
    Ill,
}

/// What is run by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A function: once ([`Transform::Call`]), or for every element of a batch (a
    /// [`Transform::Vmap`] whose mapped axes are all at position 0); while transforms are expanded,
    /// also one with a derivative of its own.
    Function(Transform, FnId),
    /// A loop or a branch.
    Control(Control),
}

impl What {
    /// As a node.
    pub fn kind(&self) -> NodeKind {
        match self {
            What::Function(transform, callee) => NodeKind::Apply(transform.clone(), *callee),
            What::Control(control) => NodeKind::Control(control.clone()),
        }
    }
}

/// A function that is called, perhaps for every element of a batch, or what loops or branches over
/// functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// What is run.
    pub what: What,
    /// The operands' avals.
    pub params: Arc<[Aval]>,
    /// The results' avals.
    pub results: Arc<[Aval]>,
}

impl Fact {
    /// The aval of a value, body or source.
    pub fn aval(&self) -> Option<&Aval> {
        match self {
            Fact::Value { aval, .. } => Some(aval),
            Fact::Attr(_) | Fact::Tuple(_) | Fact::Ill => None,
        }
    }

    /// The attribute.
    pub fn attr(&self) -> Option<&Attr> {
        match self {
            Fact::Attr(a) => Some(a),
            Fact::Value { .. } | Fact::Tuple(_) | Fact::Ill => None,
        }
    }

    /// Where positions are, of an i32 value that counts along axes.
    pub fn places(&self) -> Option<&Places> {
        match self {
            Fact::Value { places, .. } => places.as_deref(),
            Fact::Attr(_) | Fact::Tuple(_) | Fact::Ill => None,
        }
    }

    /// The constant all elements are.
    pub fn constant(&self) -> Option<Literal> {
        match self {
            Fact::Value { constant, .. } => *constant,
            Fact::Attr(_) | Fact::Tuple(_) | Fact::Ill => None,
        }
    }
}

/// The analysis: the parameters' avals, what is called, and the first fault.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The avals of [`Head::Param`] leaves.
    pub params: Vec<Aval>,
    /// What [`Head::Call`] terms call.
    pub sites: Vec<Site>,
    /// The name of the rule being applied, to blame.
    pub rule: Option<&'static str>,
    /// Every application of a rule that said something new, in order, if that is wanted.
    pub applied: Option<Vec<Applied>>,
    /// Whether each rule's search is timed.
    pub timed: bool,
    fault: Option<Error>,
}

impl Facts {
    /// Facts about terms over parameters of these avals.
    pub fn new(params: Vec<Aval>) -> Facts {
        Facts { params, ..Facts::default() }
    }

    /// The first clash or ill-formed term, if there was any.
    ///
    /// # Errors
    /// The fault, as an [`Error::Internal`].
    pub fn check(&self) -> Result<()> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Records a fault, if it is the first.
    pub fn fault(&mut self, what: String) {
        let rule = self.rule;
        self.fault.get_or_insert_with(|| {
            Error::internal(match rule {
                Some(rule) => format!("rule `{rule}` {what}"),
                None => what,
            })
        });
    }
}

/// The aval of class `id`.
///
/// # Panics
/// If the class holds an attribute or a call.
pub fn aval(egraph: &EGraph, id: Id) -> &Aval {
    egraph[id].data.aval().expect("a class that has an aval")
}

/// The operation of a primitive whose attribute leaves these are.
///
/// # Errors
/// If they are not attributes, or not the ones the primitive takes.
pub fn operation(egraph: &EGraph, prim: Prim, attrs: &[Id]) -> Result<Op> {
    let attrs: Option<SmallVec<[&Attr; 4]>> = attrs.iter().map(|a| egraph[*a].data.attr()).collect();
    let attrs = attrs.ok_or_else(|| Error::internal(format!("an attribute of `{prim}` is no attribute")))?;
    decode(prim, &attrs)
}

/// The fact about a term whose arguments' facts are known.
fn derive(egraph: &EGraph, term: &Term) -> Result<Fact> {
    let value = |sort, aval: Arc<Aval>| Fact::Value { sort, aval, constant: None, places: None };
    let of = |id: Id, want: Sort| match &egraph[id].data {
        Fact::Value { sort, aval, .. } if *sort == want => Ok(aval),
        other => Err(Error::internal(format!("has a term `{term}` of {other:?} where a {want:?} belongs"))),
    };
    let operands = |prim: Prim, want: Sort| -> Result<SmallVec<[&Arc<Aval>; 3]>> {
        term.operands()[..prim.arity()].iter().map(|o| of(*o, want)).collect()
    };
    let result = |op: &Op, operands: &[&Arc<Aval>]| -> Result<Arc<Aval>> {
        let avals: SmallVec<[&Aval; 3]> = operands.iter().map(|a| &***a).collect();
        let aval = infer::infer(op, &avals)?;
        let shared = operands.iter().find(|o| ****o == aval);
        Ok(shared.map_or_else(|| Arc::new(aval), |o| Arc::clone(o)))
    };
    Ok(match &term.head {
        Head::Attr(a) => Fact::Attr(a.clone()),
        Head::Param(i) => match egraph.analysis.params.get(*i as usize) {
            Some(aval) => value(Sort::Value, Arc::new(aval.clone())),
            None => return Err(Error::internal(format!("names parameter {i}, which doesn't exist"))),
        },
        Head::Prim(prim) => {
            let op = operation(egraph, *prim, term.attrs())?;
            let aval = result(&op, &operands(*prim, Sort::Value)?)?;
            let constant = if let Op::Constant(literal) = op {
                Some(literal)
            } else if matches!(
                prim,
                Prim::BroadcastInDim | Prim::Reshape | Prim::Transpose | Prim::Slice | Prim::Reverse
            ) {
                egraph[term.operands()[0]].data.constant()
            } else {
                None
            };
            let places = if aval.dtype == Dtype::I32 { counted(egraph, &op, term.operands(), &aval) } else { None };
            Fact::Value { sort: Sort::Value, aval, constant, places: places.map(Arc::new) }
        }
        Head::Compute(prim) => {
            let op = operation(egraph, *prim, term.attrs())?;
            value(Sort::Body, result(&op, &operands(*prim, Sort::Source)?)?)
        }
        Head::Contract => {
            let op = operation(egraph, Prim::DotGeneral, term.attrs())?;
            value(Sort::Body, result(&op, &operands(Prim::DotGeneral, Sort::Source)?)?)
        }
        Head::Pull(prim, k) => {
            let operands = operands(*prim, Sort::Value)?;
            let [y, c] =
                [of(term.operands()[prim.arity()], Sort::Value)?, of(term.operands()[prim.arity() + 1], Sort::Value)?];
            if y != c {
                return Err(Error::internal(format!("has a term `{term}` with a cotangent {c} of a result {y}")));
            }
            value(Sort::Value, Arc::clone(operands[usize::from(*k)]))
        }
        Head::Push(prim, k) => {
            let operands = operands(*prim, Sort::Value)?;
            let [y, t] =
                [of(term.operands()[prim.arity()], Sort::Value)?, of(term.operands()[prim.arity() + 1], Sort::Value)?];
            if operands[usize::from(*k)] != t {
                return Err(Error::internal(format!("has a term `{term}` with a tangent {t} of another type")));
            }
            value(Sort::Value, Arc::clone(y))
        }
        Head::Batch(prim, mask) => {
            let op = operation(egraph, *prim, term.attrs())?;
            let mut size = None;
            let mut elements: SmallVec<[Aval; 3]> = SmallVec::new();
            for (k, aval) in operands(*prim, Sort::Value)?.into_iter().enumerate() {
                if !mask.get(k) {
                    elements.push(Aval::clone(aval));
                    continue;
                }
                let n = aval.shape.first().copied();
                if n.is_none() || size.is_some_and(|s| Some(s) != n) {
                    return Err(Error::internal(format!("has a term `{term}` with no common batch axis")));
                }
                size = n;
                elements.push(Aval::new(aval.dtype, &aval.shape[1..]));
            }
            let size = size.ok_or_else(|| Error::internal(format!("has a term `{term}` with nothing batched")))?;
            let one = infer::infer(&op, &elements.iter().collect::<SmallVec<[&Aval; 3]>>())?;
            let aval = Aval::new(one.dtype, one.shape.insert(0, size));
            let shared = operands(*prim, Sort::Value)?.into_iter().find(|o| ***o == aval).map(Arc::clone);
            value(Sort::Value, shared.unwrap_or_else(|| Arc::new(aval)))
        }
        Head::Call(site, _) => {
            let site = egraph.analysis.sites.get(*site as usize);
            let site = site.ok_or_else(|| Error::internal(format!("has a term `{term}` of no site")))?;
            let fits = term.operands().iter().zip(site.params.iter());
            for (operand, aval) in fits {
                if **of(*operand, Sort::Value)? != *aval {
                    return Err(Error::internal(format!("has a term `{term}` of operands it doesn't take")));
                }
            }
            Fact::Tuple(Arc::clone(&site.results))
        }
        Head::Get(i) => match &egraph[term.args[0]].data {
            Fact::Tuple(results) if (*i as usize) < results.len() => {
                value(Sort::Value, Arc::new(results[*i as usize].clone()))
            }
            other => return Err(Error::internal(format!("has a term `{term}` of {other:?}"))),
        },
        Head::Kernel => value(Sort::Value, of(term.args[0], Sort::Body)?.clone()),
        Head::Body => value(Sort::Body, of(term.args[0], Sort::Value)?.clone()),
        Head::Source => value(Sort::Source, of(term.args[0], Sort::Value)?.clone()),
        Head::Load => value(Sort::Source, of(term.args[0], Sort::Value)?.clone()),
        Head::Inline => value(Sort::Source, of(term.args[0], Sort::Body)?.clone()),
    })
}

/// Where the positions are that a primitive makes.
fn counted(egraph: &EGraph, op: &Op, operands: &[Id], aval: &Aval) -> Option<Places> {
    let of = |id: &Id| {
        let fact = &egraph[*id].data;
        let own = fact.aval()?;
        let constant = || fact.constant().and_then(|l| places::of_constant(l, own.shape.rank()));
        Some((own, fact.places().cloned().or_else(constant)))
    };
    let operands: SmallVec<[(&Aval, Option<Places>); 3]> = operands.iter().map(of).collect::<Option<_>>()?;
    places::places(op, &operands, aval)
}

impl egg::Analysis<Term> for Facts {
    type Data = Fact;

    fn make(egraph: &mut EGraph, term: &Term, _id: Id) -> Fact {
        match derive(egraph, term) {
            Ok(fact) => fact,
            Err(e) => {
                egraph.analysis.fault(e.report().message.clone());
                Fact::Ill
            }
        }
    }

    fn merge(&mut self, into: &mut Fact, from: Fact) -> DidMerge {
        match (&mut *into, &from) {
            (
                Fact::Value { sort: s, aval: a, constant: k, places: p },
                Fact::Value { sort: t, aval: b, constant: l, places: q },
            ) if s == t && a == b => {
                // Equal values that both count are at the same places.
                let learned = p.is_none() && q.is_some();
                let taught = p.is_some() && q.is_none();
                if learned {
                    p.clone_from(q);
                }
                let constants = match (*k, *l) {
                    (k, l) if k == l => DidMerge(false, false),
                    (Some(_), None) => DidMerge(false, true),
                    (None, Some(_)) => {
                        *k = *l;
                        DidMerge(true, false)
                    }
                    // Constants that are equal but for the sign of a zero: keep either, always the same.
                    (x, y) => {
                        *k = x.min(y);
                        DidMerge(x != *k, y != *k)
                    }
                };
                constants | DidMerge(learned, taught)
            }
            (Fact::Attr(a), Fact::Attr(b)) if a == b => DidMerge(false, false),
            (Fact::Tuple(a), Fact::Tuple(b)) if a == b => DidMerge(false, false),
            (Fact::Ill, _) => DidMerge(false, false),
            (a, b) => {
                let what = format!("merged {} with {}", describe(a), describe(b));
                self.fault(what);
                *into = Fact::Ill;
                DidMerge(true, true)
            }
        }
    }
}

fn describe(fact: &Fact) -> String {
    match fact {
        Fact::Attr(a) => format!("the attribute {a}"),
        Fact::Value { sort: Sort::Value, aval, .. } => format!("a value {aval}"),
        Fact::Value { sort: Sort::Body, aval, .. } => format!("a body {aval}"),
        Fact::Value { sort: Sort::Source, aval, .. } => format!("a source {aval}"),
        Fact::Tuple(results) => format!("a tuple {results:?}"),
        Fact::Ill => "an ill-formed term".to_owned(),
    }
}
