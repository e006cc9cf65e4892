//! What extraction chooses from: the values of an e-graph and the ways to compute each.

use crate::analysis::{EGraph, Site, aval, operation};
use crate::places::Places;
use crate::term::{Head, Prim, Term};
use egg::Id;
use egrad_ir::schedule::Schedule;
use egrad_ir::{Aval, Error, Literal, Op, Result, Span};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// A value of [`Choices`]: an e-class that some result may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ValueIx(pub(crate) u32);

impl ValueIx {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl From<usize> for ValueIx {
    fn from(i: usize) -> ValueIx {
        ValueIx(u32::try_from(i).expect("fewer than 2^32 values"))
    }
}

impl fmt::Display for ValueIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A parameter of the function.
    Param(usize),
    /// Every element is this literal.
    Literal(Literal),
    /// A result of [`Choices::calls`]' call of that number, written by it.
    Call(usize),
    /// One of the value's [`Alternative`]s.
    Computed,
}

/// One way to compute a value.
#[derive(Clone, Debug)]
pub(crate) struct Alternative {
    /// The primitive.
    pub(crate) op: Op,
    /// Its operands.
    pub(crate) args: SmallVec<[ValueIx; 3]>,
    /// Whether a kernel that reads the value may compute it instead (`fuse/inline-…`).
    pub(crate) inline: bool,
    /// Whether a matrix product can (`fuse/contract`).
    pub(crate) contract: bool,
}

/// A value and the ways to compute it.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) aval: Aval,
    pub(crate) source: Source,
    pub(crate) alternatives: Vec<Alternative>,
    /// Whether a kernel may read it from memory (`fuse/load`).
    pub(crate) load: bool,
    /// Where the positions are that the value holds, if they are no data.
    pub(crate) places: Option<Arc<Places>>,
    pub(crate) span: Span,
}

/// What is called: a function as it was compiled by itself, or several for a loop or branch.
#[derive(Clone, Debug)]
pub(crate) struct Callee {
    pub(crate) site: Site,
    pub(crate) name: String,
    /// Per function.
    pub(crate) schedules: SmallVec<[Arc<Schedule>; 2]>,
}

/// A call that is made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) callee: Callee,
    pub(crate) args: Vec<ValueIx>,
    /// Every result, used or not; what is also known otherwise has a value of its own here.
    pub(crate) results: Vec<ValueIx>,
}

/// Every value the results may depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    pub(crate) values: Vec<Value>,
    pub(crate) calls: Vec<Call>,
    pub(crate) results: Vec<ValueIx>,
    /// The avals of the parameters, used or not.
    pub(crate) params: Vec<Aval>,
}

/// The values that a body reads.
fn reads<'a>(egraph: &'a EGraph, body: &'a Term) -> impl Iterator<Item = Id> + 'a {
    body.operands()
        .iter()
        .filter_map(|source| egraph[*source].nodes.iter().find(|n| n.head == Head::Source).map(|n| n.args[0]))
}

/// The way of computing a value that a body says.
fn alternative(
    egraph: &EGraph,
    term: &Term,
    prim: Prim,
    contract: bool,
    body: Id,
    visit: &mut dyn FnMut(Id) -> ValueIx,
) -> Result<Alternative> {
    let op = operation(egraph, prim, term.attrs())?;
    let args: SmallVec<[ValueIx; 3]> = reads(egraph, term).map(visit).collect();
    if args.len() < term.operands().len() {
        return Err(Error::internal("a kernel reads a source of no value"));
    }
    // A body that some source computes in place may be inlined.
    let inline = egraph[body].parents().any(|parent| {
        let nodes = &egraph[parent].nodes;
        nodes.iter().any(|n| n.head == Head::Inline && egraph.find(n.args[0]) == egraph.find(body))
    });
    Ok(Alternative { op, args, inline, contract })
}

/// The call among these whose result a class holds: the class of its tuple, it, and what it calls.
/// Of several the oldest; none of those `without`.
fn call_in<'a>(
    egraph: &'a EGraph,
    id: Id,
    called: &'a HashMap<u32, Callee>,
    without: &HashSet<Id>,
) -> Option<(Id, &'a Term, &'a Callee)> {
    let tuples = egraph[id].nodes.iter().filter(|n| matches!(n.head, Head::Get(_))).map(|n| egraph.find(n.args[0]));
    let calls = tuples.flat_map(|tuple| egraph[tuple].nodes.iter().map(move |n| (tuple, n)));
    let kept = calls.filter_map(|(tuple, n)| match n.head {
        Head::Call(site, _) => Some((tuple, n, called.get(&site)?)),
        _ => None,
    });
    kept.filter(|(tuple, ..)| !without.contains(tuple)).min_by_key(|(tuple, ..)| *tuple)
}

impl Choices {
    pub(crate) fn value(&self, v: ValueIx) -> &Value {
        &self.values[v.index()]
    }

    /// The choices a saturated e-graph offers for the values in these classes, if what these sites
    /// call is called and everything else is not, and nothing is made of the classes `without`.
    ///
    /// # Errors
    /// If no kernel can make some value: the fuse rule that would say so is missing or disabled.
    pub(crate) fn of_egraph(
        egraph: &EGraph,
        results: &[Id],
        span: &dyn Fn(Id) -> Span,
        called: &HashMap<u32, Callee>,
        without: &HashSet<Id>,
    ) -> Result<Choices> {
        let mut choices = Choices { params: egraph.analysis.params.clone(), ..Choices::default() };
        let read = egraph.classes().flat_map(|c| c.nodes.iter().filter(|n| n.head == Head::Source).map(|n| (n, c.id)));
        let sources: HashMap<Id, Id> = read.map(|(n, class)| (egraph.find(n.args[0]), class)).collect();
        let mut known: HashMap<Id, ValueIx> = HashMap::new();
        let mut order: Vec<Id> = Vec::new();
        let mut visit = |id: Id, order: &mut Vec<Id>| {
            let id = egraph.find(id);
            *known.entry(id).or_insert_with(|| {
                order.push(id);
                ValueIx::from(order.len() - 1)
            })
        };
        choices.results = results.iter().map(|r| visit(*r, &mut order)).collect();
        let mut next = 0;
        let mut calls: HashMap<Id, usize> = HashMap::new();
        while let Some(id) = order.get(next).copied() {
            next += 1;
            let class = &egraph[id];
            let param = class.nodes.iter().find_map(|n| match n.head {
                Head::Param(i) => Some(i as usize),
                _ => None,
            });
            let mut alternatives: Vec<Alternative> = Vec::new();
            let mut source = match (class.data.constant(), param) {
                (Some(literal), _) => Source::Literal(literal),
                (None, Some(i)) => Source::Param(i),
                (None, None) => Source::Computed,
            };
            if source == Source::Computed
                && let Some((tuple, term, callee)) = call_in(egraph, id, called, without)
            {
                let call = *calls.entry(tuple).or_insert_with(|| {
                    let args = term.operands().iter().map(|a| visit(*a, &mut order)).collect();
                    choices.calls.push(Call { callee: callee.clone(), args, results: Vec::new() });
                    choices.calls.len() - 1
                });
                source = Source::Call(call);
            }
            if source == Source::Computed {
                let bodies = class.nodes.iter().filter(|n| n.head == Head::Kernel).map(|n| n.args[0]);
                for body in bodies {
                    for term in &egraph[body].nodes {
                        let (prim, contract) = match term.head {
                            Head::Compute(prim) => (prim, false),
                            Head::Contract => (Prim::DotGeneral, true),
                            _ => continue,
                        };
                        if reads(egraph, term).any(|value| without.contains(&egraph.find(value))) {
                            continue;
                        }
                        let alternative =
                            alternative(egraph, term, prim, contract, body, &mut |v| visit(v, &mut order))?;
                        let same = |a: &&mut Alternative| a.op == alternative.op && a.args == alternative.args;
                        match alternatives.iter_mut().find(same) {
                            Some(a) => {
                                a.contract |= alternative.contract;
                            }
                            None => alternatives.push(alternative),
                        }
                    }
                }
                if alternatives.is_empty() && without.is_empty() {
                    let prims = class.nodes.iter().filter(|n| n.head.is_plain()).map(|n| n.to_string());
                    let prims = prims.collect::<Vec<_>>().join("` or `");
                    let message = format!("no fuse rule makes a kernel of `{prims}`, {}", aval(egraph, id));
                    return Err(Error::missing_rule(message).at(span(id)));
                }
            }
            // A value that nobody reads has no source to say how.
            let load = sources.get(&id).is_none_or(|s| egraph[*s].nodes.iter().any(|n| n.head == Head::Load));
            let places = class.data.places().cloned().map(Arc::new);
            let aval = aval(egraph, id).clone();
            choices.values.push(Value { aval, source, alternatives, load, places, span: span(id) });
        }
        let mut calls: Vec<(Id, usize)> = calls.into_iter().collect();
        calls.sort_unstable();
        for (tuple, call) in calls {
            for (i, aval) in choices.calls[call].callee.site.results.clone().iter().enumerate() {
                let class = egraph.lookup(Term::new(Head::Get(i as u32), [tuple]));
                let value = class.and_then(|c| known.get(&egraph.find(c)).copied());
                let own = |v: &ValueIx| {
                    choices.value(*v).source == Source::Call(call) && !choices.calls[call].results.contains(v)
                };
                let value = value.filter(own).unwrap_or_else(|| {
                    let span = span(tuple);
                    let source = Source::Call(call);
                    choices.values.push(Value {
                        aval: aval.clone(),
                        source,
                        alternatives: Vec::new(),
                        load: true,
                        places: None,
                        span,
                    });
                    ValueIx::from(choices.values.len() - 1)
                });
                choices.calls[call].results.push(value);
            }
        }
        Ok(choices)
    }

    /// The operands of each way to compute a value.
    pub(crate) fn ways(&self, v: ValueIx) -> SmallVec<[&[ValueIx]; 2]> {
        match self.value(v).source {
            Source::Param(_) | Source::Literal(_) => SmallVec::new(),
            Source::Call(c) => SmallVec::from_slice(&[&self.calls[c].args[..]]),
            Source::Computed => self.value(v).alternatives.iter().map(|a| &a.args[..]).collect(),
        }
    }

    /// The choices of a plain function as it is written: one alternative per value.
    #[cfg(test)]
    pub(crate) fn of_function(f: &egrad_ir::Function) -> Choices {
        use egrad_ir::NodeKind;
        let mut choices = Choices { params: f.param_avals(), ..Choices::default() };
        for (_, node) in f.nodes() {
            let args = node.args.iter().map(|a| ValueIx::from(a.index())).collect();
            let (source, alternatives) = match &node.kind {
                NodeKind::Param(i) => (Source::Param(*i), Vec::new()),
                NodeKind::Op(Op::Constant(l)) => (Source::Literal(*l), Vec::new()),
                NodeKind::Op(op) => {
                    let contract = matches!(op, Op::DotGeneral(_));
                    let op = op.clone();
                    (Source::Computed, vec![Alternative { op, args, inline: true, contract }])
                }
                NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => panic!("not plain"),
            };
            let aval = node.avals[0].clone();
            choices.values.push(Value { aval, source, alternatives, load: true, places: None, span: node.span });
        }
        choices.results = f.results().iter().map(|r| ValueIx::from(r.index())).collect();
        choices
    }
}
