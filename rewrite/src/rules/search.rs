//! Left-hand sides: finding what a rule is about.
//!
//! Most patterns are one term over variables, and most of those have a guard that nearly nothing
//! passes (`constant ?k 0`). These are matched directly, guards first; the others by egg's machine.

use super::attrs::{self, Arg, Function};
use super::template::{self, wrong};
use crate::analysis::{EGraph, Facts};
use crate::term::{Head, Term};
use egg::{ENodeOrVar, Id, Language, Pattern, PatternAst, SearchMatches, Searcher, Subst, Var};
use egrad_ir::Result;
use smallvec::SmallVec;
use std::sync::Arc;

/// A compiled guard.
pub(super) struct Guard {
    /// What it asks.
    pub(super) function: &'static Function<bool>,
    args: SmallVec<[GuardArg; 2]>,
}

enum GuardArg {
    Var(Var),
    Number(f64),
}

impl Guard {
    /// Reads `name ?x 0`.
    pub(super) fn parse(text: &str) -> Result<Guard> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let function = attrs::guard(name).ok_or_else(|| wrong(name, "is no guard"))?;
        let arg = |word: &str| match word.parse() {
            Ok(n) => Ok(GuardArg::Number(n)),
            Err(_) => template::var(word).map(GuardArg::Var),
        };
        let args: SmallVec<[GuardArg; 2]> = words.map(arg).collect::<Result<_>>()?;
        if args.len() != function.takes.len() {
            return Err(wrong(name, &format!("takes ({})", function.takes.join(", "))));
        }
        Ok(Guard { function, args })
    }

    /// Whether it holds; `None` if it is about things of other types.
    pub(super) fn holds(&self, egraph: &EGraph, bound: impl Fn(Var) -> Option<Id>) -> Option<bool> {
        let arg = |a: &GuardArg| match a {
            GuardArg::Var(v) => template::arg(egraph, bound(*v)?),
            GuardArg::Number(n) => Some(Arg::Number(*n)),
        };
        let args: SmallVec<[Arg<'_>; 2]> = self.args.iter().map(arg).collect::<Option<_>>()?;
        (self.function.apply)(&args)
    }

    /// The variables it is about.
    pub(super) fn vars(&self) -> impl Iterator<Item = Var> + '_ {
        self.args.iter().filter_map(|a| match a {
            GuardArg::Var(v) => Some(*v),
            GuardArg::Number(_) => None,
        })
    }
}

/// A pattern with guards.
pub(super) struct Search {
    pattern: Pattern<Term>,
    /// The root and its variables, if that is all there is to the pattern.
    flat: Option<(Head, SmallVec<[Var; 4]>)>,
    guards: Arc<[Guard]>,
}

impl Search {
    pub(super) fn new(pattern: Pattern<Term>, guards: Arc<[Guard]>) -> Search {
        let ast: &[ENodeOrVar<Term>] = &pattern.ast;
        let flat = match ast.split_last() {
            Some((ENodeOrVar::ENode(root), rest)) => {
                let var = |id: &Id| match &rest[usize::from(*id)] {
                    ENodeOrVar::Var(v) => Some(*v),
                    ENodeOrVar::ENode(_) => None,
                };
                let vars: Option<SmallVec<[Var; 4]>> = root.children().iter().map(var).collect();
                vars.map(|vars| (root.head.clone(), vars))
            }
            Some((ENodeOrVar::Var(_), _)) | None => None,
        };
        Search { pattern, flat, guards }
    }

    /// Whether every guard holds. One about things of other types counts as holding here: applying
    /// the rule reports it.
    fn admits(&self, egraph: &EGraph, bound: impl Fn(Var) -> Option<Id>) -> bool {
        self.guards.iter().all(|g| g.holds(egraph, &bound) != Some(false))
    }
}

impl Searcher<Term, Facts> for Search {
    fn search_with_limit(&self, egraph: &EGraph, limit: usize) -> Vec<SearchMatches<'_, Term>> {
        let mut found = self.pattern.search_with_limit(egraph, limit);
        for matches in &mut found {
            matches.substs.retain(|s| self.admits(egraph, |v| s.get(v).copied()));
        }
        found.retain(|m| !m.substs.is_empty());
        found
    }

    fn search_eclass_with_limit(&self, egraph: &EGraph, class: Id, limit: usize) -> Option<SearchMatches<'_, Term>> {
        let Some((head, vars)) = &self.flat else {
            let mut matches = self.pattern.search_eclass_with_limit(egraph, class, limit)?;
            matches.substs.retain(|s| self.admits(egraph, |v| s.get(v).copied()));
            return (!matches.substs.is_empty()).then_some(matches);
        };
        let mut substs = Vec::new();
        for term in egraph[class].nodes.iter().filter(|t| t.head == *head) {
            let bound = |v: Var| vars.iter().position(|w| *w == v).map(|i| term.args[i]);
            // A variable that occurs twice stands for one class.
            let consistent = vars.iter().zip(&term.args).all(|(v, id)| bound(*v) == Some(*id));
            if consistent && substs.len() < limit && self.admits(egraph, bound) {
                let mut subst = Subst::with_capacity(vars.len());
                vars.iter().zip(&term.args).for_each(|(v, id)| {
                    subst.insert(*v, *id);
                });
                substs.push(subst);
            }
        }
        (!substs.is_empty()).then_some(SearchMatches { eclass: class, substs, ast: None })
    }

    fn get_pattern_ast(&self) -> Option<&PatternAst<Term>> {
        Some(&self.pattern.ast)
    }

    fn vars(&self) -> Vec<Var> {
        self.pattern.vars()
    }
}
