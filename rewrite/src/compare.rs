//! Whether two functions compute the same, as far as the simplifier can tell: both on the same
//! parameters, in one e-graph.

use crate::saturate::saturate;
use crate::{Options, Saturated};
use egrad_ir::graph::not_plain;
use egrad_ir::{Aval, Error, Function, NodeId, NodeKind, Result};
use hashbrown::HashSet;
use smallvec::SmallVec;

/// What the simplifier knows of two functions' results.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Per result, in order.
    pub results: Vec<Compared>,
}

/// One result of two functions.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its type.
    pub aval: Aval,
    /// Where the two differ; none if they are in one e-class.
    pub difference: Option<Difference>,
}

/// Where two results differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The operands (counted from 0) that lead from the result to `nodes` in both functions.
    pub path: Vec<usize>,
    /// The first nodes that are different primitives or constants, of the first function and of
    /// the second.
    pub nodes: [NodeId; 2],
    /// How many operations the result takes in either function.
    pub operations: [usize; 2],
    /// How many of those the other function's result takes as well.
    pub shared: [usize; 2],
}

/// Compares two plain functions of the same parameters and results.
///
/// # Errors
/// If the functions take or give values of other types, naming the first.
///
/// # Examples
/// ```
/// # fn main() -> egrad_ir::Result<()> {
/// let parse = |text: &str| egrad_ir::Program::parse(text);
/// let a = parse("egrad 1 fn a(%0: f32[3]) { %1 = mul %0 %0 return %1 }")?;
/// let b = parse("egrad 1 fn b(%0: f32[3]) { %1 = integer_pow %0 {n = 2} return %1 }")?;
/// let c = parse("egrad 1 fn c(%0: f32[3]) { %1 = exp %0 %2 = mul %1 %0 return %2 }")?;
/// let same = |x: &egrad_ir::Program, y: &egrad_ir::Program| {
///     let both = egrad_rewrite::compare(x.entry(), y.entry(), &Default::default())?;
///     egrad_ir::Result::Ok(both.results[0].difference.is_none())
/// };
/// assert!(same(&a, &b)?);
/// assert!(!same(&a, &c)?);
/// # Ok(())
/// # }
/// ```
pub fn compare(a: &Function, b: &Function, options: &Options) -> Result<Comparison> {
    same_types("parameter", &a.param_avals(), &b.param_avals())?;
    same_types("result", &a.result_avals(), &b.result_avals())?;
    let (joined, at) = join(a, b)?;
    let saturated = saturate(&joined, options)?;
    let n = a.results().len();
    let mut results = Vec::with_capacity(n);
    for (i, aval) in a.result_avals().into_iter().enumerate() {
        let [x, y] = [joined.results()[i], joined.results()[n + i]];
        let difference = if saturated.class(x)? == saturated.class(y)? {
            None
        } else {
            Some(difference(&joined, &saturated, &at, [(a, x), (b, y)])?)
        };
        results.push(Compared { aval, difference });
    }
    Ok(Comparison { results })
}

fn same_types(what: &str, a: &[Aval], b: &[Aval]) -> Result<()> {
    if let Some((i, (x, y))) = a.iter().zip(b).enumerate().find(|(_, (x, y))| x != y) {
        return Err(Error::shape(format!("{what} {i} is {x} in the first program and {y} in the second")));
    }
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    if a.len() != b.len() {
        let (n, m) = (a.len(), b.len());
        let text = format!("the first program has {n} {what}{}, the second {m}", plural(n));
        return Err(Error::tree(text));
    }
    Ok(())
}

/// One function that computes the results of both, the first's before the second's; and where the
/// second's nodes are in it.
fn join(a: &Function, b: &Function) -> Result<(Function, Vec<NodeId>)> {
    let mut joined = a.clone();
    let mut at: Vec<NodeId> = Vec::with_capacity(b.len());
    for (_, node) in b.nodes() {
        at.push(match &node.kind {
            NodeKind::Param(i) => NodeId::from(*i),
            NodeKind::Op(_) => {
                let args: SmallVec<[NodeId; 3]> = node.args.iter().map(|a| at[a.index()]).collect();
                joined.push(node.kind.clone(), &args, node.avals.clone(), node.span)
            }
            NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => return Err(not_plain(b)),
        });
    }
    let both = a.results().iter().copied().chain(b.results().iter().map(|r| at[r.index()]));
    joined.set_results(both.collect());
    Ok((joined, at))
}

/// Where two results, given by their nodes in the joined function, differ.
fn difference(
    joined: &Function,
    saturated: &Saturated,
    at: &[NodeId],
    results: [(&Function, NodeId); 2],
) -> Result<Difference> {
    let [(_, mut x), (_, mut y)] = results;
    let mut path = Vec::new();
    loop {
        let (a, b) = (joined.node(x), joined.node(y));
        if a.kind != b.kind {
            break;
        }
        let mut differs = None;
        for (k, (c, d)) in a.args.iter().zip(&b.args).enumerate() {
            if saturated.class(*c)? != saturated.class(*d)? {
                differs = Some((k, *c, *d));
                break;
            }
        }
        let Some((k, c, d)) = differs else { break };
        path.push(k);
        (x, y) = (c, d);
    }
    let cones = results.map(|(_, result)| cone(joined, result));
    let mut classes = Vec::new();
    for cone in &cones {
        let all: HashSet<_> = cone.iter().map(|n| saturated.class(*n)).collect::<Result<_>>()?;
        classes.push(all);
    }
    let shared = |mine: usize, other: usize| {
        cones[mine].iter().filter(|n| saturated.class(**n).is_ok_and(|c| classes[other].contains(&c))).count()
    };
    // Back to the second function's own nodes.
    let own = at.iter().position(|n| *n == y).map(NodeId::from);
    let own = own.ok_or_else(|| Error::internal("a node that was not joined"))?;
    Ok(Difference {
        path,
        nodes: [x, own],
        operations: [cones[0].len(), cones[1].len()],
        shared: [shared(0, 1), shared(1, 0)],
    })
}

/// The operations that a node depends on, itself included.
fn cone(f: &Function, node: NodeId) -> Vec<NodeId> {
    let mut needed = vec![false; node.index() + 1];
    needed[node.index()] = true;
    let mut cone = Vec::new();
    for i in (0..needed.len()).rev().filter(|i| *i >= f.params().len()) {
        if needed[i] {
            cone.push(NodeId::from(i));
            f.node(NodeId::from(i)).args.iter().for_each(|a| needed[a.index()] = true);
        }
    }
    cone
}
