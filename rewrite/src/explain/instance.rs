//! Instances of rules: both sides, built in an e-graph that holds nothing else, as text that can be
//! read back and tried again.

use crate::analysis::{EGraph, Facts};
use crate::clock;
use crate::rules::{FloatClass, Rule, Tables};
use crate::term::{Attr, Head, Prim, Term};
use egg::{ENodeOrVar, Id, RecExpr, Subst, Symbol, Var};
use egrad_ir::{Aval, Error, Literal, Result};
use hashbrown::HashMap;

/// What a variable of a pattern stands for.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    /// An attribute.
    Attr(Attr),
    /// A value that the rule needs to know nothing of but its type; `key` tells them apart.
    Value { key: u32, aval: Aval },
    /// A constant, moved by these primitives with these attributes, the innermost first.
    Constant { literal: Literal, moves: Vec<(Prim, Vec<Attr>)> },
}

/// The two sides of an instance.
pub(crate) struct Sides {
    pub(crate) egraph: EGraph,
    pub(crate) left: Id,
    pub(crate) right: Id,
    /// The key of every value that is a parameter of the e-graph.
    pub(crate) keys: Vec<u32>,
}

impl Sides {
    fn empty() -> Sides {
        let mut facts = Facts::default();
        facts.applied = Some(Vec::new());
        Sides { egraph: EGraph::new(facts), left: Id::from(0), right: Id::from(0), keys: Vec::new() }
    }

    fn add(&mut self, bound: &Bound) -> Id {
        let attr = |a: &Attr, egraph: &mut EGraph| egraph.add(Term::leaf(Head::Attr(a.clone())));
        match bound {
            Bound::Attr(a) => attr(a, &mut self.egraph),
            Bound::Value { key, aval } => {
                let known = self.keys.iter().position(|k| k == key);
                let i = known.unwrap_or_else(|| {
                    self.keys.push(*key);
                    self.egraph.analysis.params.push(aval.clone());
                    self.keys.len() - 1
                });
                self.egraph.add(Term::leaf(Head::Param(i as u32)))
            }
            Bound::Constant { literal, moves } => {
                let value = attr(&Attr::Literal(*literal), &mut self.egraph);
                let mut id = self.egraph.add(Term::new(Head::Prim(Prim::Constant), [value]));
                for (prim, attrs) in moves {
                    let mut args: Vec<Id> = attrs.iter().map(|a| attr(a, &mut self.egraph)).collect();
                    args.push(id);
                    id = self.egraph.add(Term::new(Head::Prim(*prim), args));
                }
                id
            }
        }
    }

    /// The rule's sides where its variables are bound so; none if a guard doesn't hold or there is
    /// nothing new to say.
    ///
    /// # Errors
    /// If the rule is malformed or a variable unbound.
    pub(crate) fn of(rule: &Rule, bound: &[(Var, Bound)]) -> Result<Option<Sides>> {
        let rewrite = rule.rewrite()?;
        let pattern = rewrite.searcher.get_pattern_ast();
        let pattern = pattern.ok_or_else(|| Error::internal(format!("rule `{}` has no pattern", rule.name)))?;
        let mut sides = Sides::empty();
        let mut subst = Subst::with_capacity(bound.len());
        for (var, value) in bound {
            let id = sides.add(value);
            subst.insert(*var, id);
        }
        let nodes: &[ENodeOrVar<Term>] = pattern;
        let mut ids: Vec<Id> = Vec::with_capacity(nodes.len());
        for node in nodes {
            ids.push(match node {
                ENodeOrVar::Var(v) => *subst.get(*v).ok_or_else(|| unbound(rule, *v))?,
                ENodeOrVar::ENode(term) => {
                    let args = term.args.iter().map(|a| ids[usize::from(*a)]);
                    let term = Term::new(term.head.clone(), args);
                    sides.egraph.add(term)
                }
            });
        }
        sides.left = ids.last().copied().ok_or_else(|| Error::internal("an empty pattern"))?;
        sides.apply(rule, &subst)
    }

    /// The sides of the rule at the root of `head` of these arguments, itself within `around`; none
    /// if it doesn't match.
    ///
    /// # Errors
    /// If the rule is malformed.
    pub(crate) fn at(rule: &Rule, around: Option<Head>, head: &Head, args: &[Bound]) -> Result<Option<Sides>> {
        let rewrite = rule.rewrite()?;
        let mut sides = Sides::empty();
        let args: Vec<Id> = args.iter().map(|a| sides.add(a)).collect();
        sides.left = match head {
            // A value by itself.
            Head::Param(_) => args[0],
            head => sides.egraph.add(Term::new(head.clone(), args)),
        };
        if let Some(around) = around {
            sides.left = sides.egraph.add(Term::new(around, [sides.left]));
        }
        clock::stopped(|| sides.egraph.rebuild());
        let found = rewrite.searcher.search_eclass(&sides.egraph, sides.left);
        match found.and_then(|m| m.substs.into_iter().next()) {
            Some(subst) => sides.apply(rule, &subst),
            None => Ok(None),
        }
    }

    fn apply(mut self, rule: &Rule, subst: &Subst) -> Result<Option<Sides>> {
        let name = Symbol::from(rule.name);
        rule.rewrite()?.applier.apply_one(&mut self.egraph, self.left, subst, None, name);
        if self.egraph.analysis.check().is_err() {
            return Ok(None);
        }
        let applied = self.egraph.analysis.applied.take().and_then(|mut all| all.pop());
        Ok(applied.map(|applied| Sides { right: applied.result, ..self }))
    }

    /// A side as text; `name` gives each key a number.
    pub(crate) fn text(&self, id: Id, name: &mut dyn FnMut(u32) -> u32) -> String {
        let term = self.egraph.id_to_node(id);
        match &term.head {
            Head::Param(i) => format!("%{}", name(self.keys[*i as usize])),
            head if term.args.is_empty() => head.to_string(),
            head => {
                let args: Vec<String> = term.args.iter().map(|a| self.text(*a, name)).collect();
                format!("({head} {})", args.join(" "))
            }
        }
    }

    /// The step from the left side to the right, or back.
    pub(crate) fn step(&self, rule: &Rule, forward: bool, name: &mut dyn FnMut(u32) -> u32) -> RuleStep {
        let (left, right) = (self.text(self.left, name), self.text(self.right, name));
        let (before, after) = if forward { (left, right) } else { (right, left) };
        let avals = self.egraph.analysis.params.iter().cloned();
        let leaves = self.keys.iter().map(|k| name(*k)).zip(avals).collect();
        RuleStep { rule: rule.name, float: rule.float, forward, before, after, leaves }
    }
}

fn unbound(rule: &Rule, var: Var) -> Error {
    Error::internal(format!("rule `{}` was applied without {var}", rule.name))
}

/// One application of a rule, at the root of a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStep {
    /// The rule's name.
    pub rule: &'static str,
    /// What it does to floats.
    pub float: FloatClass,
    /// Whether it goes from the rule's left side to its right; an equation may be used either way.
    pub forward: bool,
    /// The term as far as the rule looks at it, in the notation of the tables; `%n` is a term
    /// that the rule takes as it is.
    pub before: String,
    /// What it is equal to.
    pub after: String,
    /// The number and type of every `%n`.
    pub leaves: Vec<(u32, Aval)>,
}

impl RuleStep {
    /// Whether the rule of this step's name, alone and applied to the root of the one side as
    /// printed, gives the other.
    ///
    /// # Errors
    /// If a side is no term over the leaves, or the rule is malformed.
    pub fn replays(&self, tables: &Tables) -> Result<bool> {
        let (left, right) = if self.forward { (&self.before, &self.after) } else { (&self.after, &self.before) };
        let (left, right) = (self.read(left)?, self.read(right)?);
        let table = self.rule.split('/').next().and_then(|stage| tables.table(stage));
        for rule in table.iter().flat_map(|t| t.rules()).filter(|r| r.name == self.rule) {
            let mut egraph = EGraph::new(Facts::new(self.leaves.iter().map(|(_, aval)| aval.clone()).collect()));
            let root = egraph.add_expr(&left);
            clock::stopped(|| egraph.rebuild());
            if egraph.lookup_expr(&right) == Some(root) {
                return Ok(false); // nothing was said
            }
            let rewrite = rule.rewrite()?;
            if let Some(found) = rewrite.searcher.search_eclass(&egraph, root) {
                rewrite.apply(&mut egraph, &[found]);
                clock::stopped(|| egraph.rebuild());
                if egraph.analysis.check().is_ok() && egraph.lookup_expr(&right) == Some(egraph.find(root)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A side, over parameters numbered as the leaves are.
    fn read(&self, text: &str) -> Result<RecExpr<Term>> {
        let wrong = |why: String| Error::internal(format!("`{text}` is no term: {why}"));
        let written: RecExpr<Term> = text.parse().map_err(|e| wrong(format!("{e}")))?;
        let numbers: HashMap<u32, usize> = self.leaves.iter().enumerate().map(|(i, (n, _))| (*n, i)).collect();
        let mut read = RecExpr::default();
        for term in written.as_ref() {
            let head = match &term.head {
                Head::Param(n) => {
                    let i = numbers.get(n).ok_or_else(|| wrong(format!("%{n} has no type")))?;
                    Head::Param(*i as u32)
                }
                head => head.clone(),
            };
            read.add(Term::new(head, term.args.iter().copied()));
        }
        Ok(read)
    }
}
