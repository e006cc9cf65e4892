//! Choices between whole functions that compute the same ([`Control::Either`](egrad_ir::Control::Either)).
//!
//! All of them are written out in the e-graph, and their results share classes, so that rules see one
//! value with several ways to make it. A search by single changes hardly gets from one way to another,
//! so extraction is asked once per way: with nothing made of values that only other ways have, and once
//! with everything allowed. The cheapest plan is taken.

use crate::saturate::Saturated;
use crate::term::Head;
use egg::Id;
use egrad_ir::{Result, Span};
use hashbrown::HashSet;

/// A choice as it was put into the e-graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) span: Span,
    pub(crate) ways: Vec<Way>,
}

/// One of the functions of a [`Choice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) name: String,
    /// The classes its nodes were given, tuples of calls included.
    pub(crate) classes: Vec<Id>,
    /// Those of its results.
    pub(crate) results: Vec<Id>,
}

/// What became of a choice between functions that compute the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    /// The user's line.
    pub span: Span,
    /// The functions.
    pub ways: Vec<Priced>,
    /// Which of them was taken; `None` if parts of several cost less than any alone.
    pub taken: Option<usize>,
}

/// A function that could be taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Priced {
    /// Its name.
    pub name: String,
    /// The predicted time of the whole program with it, in microseconds, if there is such a program.
    pub us: Option<f64>,
}

/// How many choices are priced; of others everything is allowed.
const MOST_PRICED: usize = 8;

/// What a mixture of ways must bring the price down to, to be preferred to one of them.
const WORTHWHILE: f64 = 0.999;

/// Per way the classes that nothing but it needs.
fn own(saturated: &Saturated, choices: &[Choice], this: usize) -> Vec<HashSet<Id>> {
    let find = |id: &Id| saturated.egraph.find(*id);
    let mut elsewhere: HashSet<Id> = saturated.classes.iter().flatten().map(find).collect();
    let results = choices.iter().flat_map(|choice| choice.ways.iter().flat_map(|w| &w.results)).map(find);
    let results: HashSet<Id> = results.collect();
    // What is called for others, unless it is just what a way calls for its results.
    let called = elsewhere.iter().filter(|id| !results.contains(*id)).flat_map(|id| {
        let gets = saturated.egraph[*id].nodes.iter().filter(|n| matches!(n.head, Head::Get(_)));
        gets.map(|n| find(&n.args[0]))
    });
    let called: Vec<Id> = called.collect();
    elsewhere.extend(called);
    elsewhere.extend(results);
    for (_, choice) in choices.iter().enumerate().filter(|(i, _)| *i != this) {
        elsewhere.extend(choice.ways.iter().flat_map(|w| &w.classes).map(find));
    }
    let all: Vec<HashSet<Id>> = choices[this].ways.iter().map(|w| w.classes.iter().map(find).collect()).collect();
    let others = |i: usize| all.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, set)| set);
    let own = |(i, set): (usize, &HashSet<Id>)| {
        set.iter().filter(|id| !elsewhere.contains(*id) && !others(i).any(|o| o.contains(*id))).copied().collect()
    };
    all.iter().enumerate().map(own).collect()
}

/// Decides every choice, one after the other. `price` is given the classes to do without, and gives the
/// predicted nanoseconds of what extraction makes of the rest, if it makes anything. Gives the classes
/// that the cheapest does without.
///
/// # Errors
/// As `price`.
pub(crate) fn pick(
    saturated: &Saturated,
    choices: &[Choice],
    mut price: impl FnMut(&HashSet<Id>) -> Result<Option<f64>>,
) -> Result<(HashSet<Id>, Vec<Picked>)> {
    let mut without = HashSet::new();
    let mut picked = Vec::new();
    for (i, choice) in choices.iter().enumerate().take(MOST_PRICED) {
        let own = own(saturated, choices, i);
        let mut ways = Vec::with_capacity(choice.ways.len());
        let mut best: Option<(usize, f64, HashSet<Id>)> = None;
        for (w, way) in choice.ways.iter().enumerate() {
            let mut others: HashSet<Id> = without.clone();
            others.extend(own.iter().enumerate().filter(|(o, _)| *o != w).flat_map(|(_, set)| set));
            let ns = price(&others)?;
            ways.push(Priced { name: way.name.clone(), us: ns.map(|ns| ns / 1e3) });
            if let Some(ns) = ns.filter(|ns| best.as_ref().is_none_or(|(_, least, _)| ns < least)) {
                best = Some((w, ns, others));
            }
        }
        let free = price(&without)?;
        let mixed = match (&best, free) {
            (Some((_, least, _)), Some(free)) => free < least * WORTHWHILE,
            (None, _) => true,
            (Some(_), None) => false,
        };
        let taken = best.filter(|_| !mixed).map(|(w, _, others)| {
            without = others;
            w
        });
        picked.push(Picked { span: choice.span, ways, taken });
    }
    Ok((without, picked))
}
