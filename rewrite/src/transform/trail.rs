//! Where the nodes of an expanded function come from: which rule made each of which primitive, back
//! to what was written.
//!
//! The program is expanded once more with a number in place of each node's line. Lines are handed
//! down by every step of the expansion, so the numbers tell where a node was copied from, and the
//! e-graph that a transform was carried out in tells which rules made it.

use super::functions::Functions;
use super::{Marked, Watch, Workspace, expand_by, without_customs};
use crate::explain::{Bound, Named, Origin, Sides, Whence};
use crate::rules::{Applied, Table, Tables};
use egg::Id;
use egrad_ir::{Error, FnId, Function, NodeId, NodeKind, Program, Result, Span, Transform};
use hashbrown::HashMap;
use std::borrow::Cow;
use std::cell::OnceCell;

/// Where a numbered node was made.
#[derive(Clone, Copy, Debug)]
enum Made {
    /// It was written: a node of the program.
    Traced(FnId, NodeId),
    /// It is a node of what the expansion of that number gave.
    Expanded(usize, NodeId),
}

/// One transform of one function.
struct Expansion {
    callee: FnId,
    transform: Transform,
    /// The function, expanded and numbered, and what the transform made of it.
    plain: Function,
    result: Function,
    work: Workspace,
    /// Per node of the result its class; per class its first node.
    classes: Vec<Option<Id>>,
    node: HashMap<Id, NodeId>,
    /// The function's node that a value or marker stands for.
    source: HashMap<Id, NodeId>,
}

/// The origins of every node of an expanded function.
pub(crate) struct Trail<'p> {
    program: Cow<'p, Program>,
    /// Whether that is not what was written, but what functions with derivatives of their own, and
    /// checkpoints, have made of it.
    opened: bool,
    made: Vec<Made>,
    expansions: Vec<Expansion>,
    /// The expanded function, with numbers for lines.
    expanded: Function,
    /// Per function of the program the lines of its text, once they are asked for.
    lines: Vec<OnceCell<Vec<String>>>,
}

/// The number of a node, in place of its line.
fn mark(number: usize) -> Span {
    Span::Text { line: (number >> 32) as u32, column: number as u32 }
}

fn number(span: Span) -> Option<usize> {
    match span {
        Span::Text { line, column } => Some((line as usize) << 32 | column as usize),
        Span::Unknown | Span::Rust(_) => None,
    }
}

/// The function with a new number for every node.
fn numbered(f: &Function, made: &mut Vec<Made>, what: impl Fn(NodeId) -> Made) -> Function {
    let mut next = |id: NodeId| {
        made.push(what(id));
        mark(made.len() - 1)
    };
    let params: Vec<_> = f.params().map(|p| (f.aval(p).clone(), next(p))).collect();
    let mut out = Function::new(f.name.clone(), params);
    for (id, node) in f.nodes().skip(f.params().len()) {
        out.push(node.kind.clone(), &node.args, node.avals.clone(), next(id));
    }
    out.set_results(f.results().to_vec());
    out
}

impl<'p> Trail<'p> {
    /// Expands the program, keeping where everything comes from.
    ///
    /// # Errors
    /// If a primitive has no rule for a transform.
    pub(crate) fn new(program: &'p Program, tables: &Tables) -> Result<Trail<'p>> {
        let opened = super::custom::is_in(program);
        let program = without_customs(program, tables)?;
        let mut made = Vec::new();
        let mut expansions = Vec::new();
        let mut marked_program = Program::new();
        for (id, f) in program.functions() {
            marked_program.add(numbered(f, &mut made, |node| Made::Traced(id, node)));
        }
        let expanded = expand_by(&marked_program, &mut |callee, plain, transform| {
            let marked = Marked::watched(plain, transform, &mut Functions::new(tables), Watch::Applications)?;
            let of = expansions.len();
            let result = numbered(&marked.read_back(&plain.name)?, &mut made, |node| Made::Expanded(of, node));
            let egraph = &marked.work.egraph;
            let classes = super::classes(egraph, &result);
            let mut node = HashMap::new();
            for (i, class) in classes.iter().enumerate() {
                if let Some(class) = class {
                    node.entry(*class).or_insert(NodeId::from(i));
                }
            }
            let mut source = HashMap::new();
            for (i, id) in marked.nodes.iter().enumerate() {
                if let Some(id) = id {
                    source.entry(egraph.find(*id)).or_insert(NodeId::from(i));
                }
            }
            let (transform, plain) = (transform.clone(), plain.clone());
            let of = result.clone();
            expansions.push(Expansion { callee, transform, plain, result, work: marked.work, classes, node, source });
            Ok(of)
        })?;
        let expanded = crate::widened(&expanded)?.into_owned();
        let lines = vec![OnceCell::new(); program.functions().len()];
        Ok(Trail { program, opened, made, expansions, expanded, lines })
    }

    /// The origins of a node of the expanded function, from the last transform back to what was
    /// written.
    ///
    /// # Errors
    /// If a rule is malformed.
    pub(crate) fn follow(&self, node: NodeId, tables: &Tables) -> Result<Vec<Origin>> {
        let mut origins = Vec::new();
        let (mut function, mut node) = (&self.expanded, node);
        let mut within = FnId::from(self.program.functions().len() - 1);
        loop {
            let made = number(function.node(node).span).and_then(|n| self.made.get(n)).copied();
            let made =
                made.ok_or_else(|| Error::internal(format!("{node} of `{}` came from nowhere", function.name)))?;
            let (number, of) = match made {
                Made::Traced(f, node) => {
                    origins.push(self.traced(f, node));
                    return Ok(origins);
                }
                Made::Expanded(number, node) => (number, node),
            };
            let expansion = &self.expansions[number];
            let (whence, from, terms) =
                expansion.whence(of, tables, function.len(), &|n| self.place(function, node, of, number, n))?;
            let Expansion { callee, transform, plain, .. } = expansion;
            origins.push(Origin {
                transform: Some(transform.name()),
                function: *callee,
                name: plain.name.clone(),
                node,
                within,
                whence,
                terms,
            });
            let Some(from) = from else { return Ok(origins) };
            (function, node, within) = (plain, from, *callee);
        }
    }

    fn traced(&self, id: FnId, node: NodeId) -> Origin {
        let f = self.program.function(id);
        // A node per line, after that of the signature.
        let text = || f.to_string().lines().skip(1).map(|l| l.trim().to_owned()).collect();
        let lines = self.lines[id.index()].get_or_init(text);
        let line = node.index().checked_sub(f.params().len()).and_then(|i| lines.get(i).cloned());
        let text = line.unwrap_or_else(|| format!("{node}: {}", f.aval(node)));
        let at = f.node(node).span;
        let whence = if self.opened { Whence::Opened { text, at } } else { Whence::Written { text, at } };
        Origin { transform: None, function: id, name: f.name.clone(), node, within: id, whence, terms: Vec::new() }
    }

    /// Where in `function` node `n` of an expansion's result was copied to, in the copy whose node
    /// `of` is `node`. A copy keeps the order of the nodes and lies in one piece.
    fn place(&self, function: &Function, node: NodeId, of: NodeId, expansion: usize, n: NodeId) -> Option<NodeId> {
        let result = &self.expansions[expansion].result;
        let copy = |n: NodeId| {
            let marked = result.node(n).span;
            let mut copies = function.nodes().filter(|(_, m)| m.span == marked).map(|(id, _)| id);
            if n <= of { copies.rfind(|id| *id <= node) } else { copies.find(|id| *id > node) }
        };
        match result.node(n).kind {
            NodeKind::Param(_) => {
                let user = |(id, m): (NodeId, &egrad_ir::Node)| {
                    let k = m.args.iter().position(|a| *a == n)?;
                    function.node(copy(id)?).args.get(k).copied()
                };
                result.nodes().find_map(user)
            }
            NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => copy(n),
        }
    }
}

impl Expansion {
    fn table<'t>(&self, tables: &'t Tables) -> Option<&'t Table> {
        match self.transform {
            Transform::Call
            | Transform::CustomJvp { .. }
            | Transform::CustomVjp { .. }
            | Transform::Checkpoint { .. }
            | Transform::Named { .. } => None,
            Transform::Jvp { .. } => Some(&tables.push),
            Transform::Vjp { .. } => Some(&tables.pull),
            Transform::Vmap { .. } => Some(&tables.batch),
        }
    }

    /// Where a node of the result comes from; the function's node it was made of; and what the
    /// numbers in it stand for. `place` gives a node of the result its number, which is below `length`.
    fn whence(
        &self,
        node: NodeId,
        tables: &Tables,
        length: usize,
        place: &dyn Fn(NodeId) -> Option<NodeId>,
    ) -> Result<(Whence, Option<NodeId>, Vec<Named>)> {
        let egraph = &self.work.egraph;
        let class = self.classes[node.index()].ok_or_else(|| Error::internal("a node without a class"))?;
        let log: &[Applied] = egraph.analysis.applied.as_deref().unwrap_or_default();
        let mut said: Vec<&Applied> = log.iter().filter(|a| egraph.find(a.class) == class).collect();
        // A marker that passes its value on is younger than the one it has it from.
        said.sort_by_key(|a| a.class);
        let part = said.is_empty();
        if part {
            // What no marker stands for is a part of what some rule built.
            let first = log.iter().map(|a| a.made).min().unwrap_or(usize::MAX);
            let maker = log.iter().rfind(|a| a.made <= usize::from(class));
            said.extend(maker.filter(|_| usize::from(class) >= first));
        }
        let source = |id: Id| self.source.get(&egraph.find(id)).copied();
        let Some(first) = said.first() else {
            if let Some(from) = source(class) {
                return Ok((Whence::Kept, Some(from), Vec::new()));
            }
            let span = self.work.spans.iter().find(|(id, _)| egraph.find(*id) == class).map(|(_, span)| *span);
            let from = span.and_then(|s| self.plain.nodes().find(|(_, n)| n.span == s)).map(|(id, _)| id);
            return Ok((Whence::Structure, from, Vec::new()));
        };
        let marker = egraph.id_to_node(first.class);
        let from = source(marker.head.primal().map_or(first.class, |k| marker.args[k]));

        let table = self.table(tables).ok_or_else(|| Error::internal("a call has no rules"))?;
        let mut names: HashMap<u32, u32> = HashMap::new();
        let mut terms: Vec<Named> = Vec::new();
        let mut spare = NodeId::from(length).0;
        let mut name = |key: u32| {
            *names.entry(key).or_insert_with(|| {
                let id = Id::from(key as usize);
                let known = self.node.get(&id).copied();
                // What nothing needs has no place; it gets a number of this step alone.
                let number = known.and_then(place).map_or(spare, |placed| placed.0);
                spare += u32::from(number == spare);
                let text = known.map_or_else(|| egraph.id_to_node(id).to_string(), |n| self.text(n, place));
                if let Some(aval) = egraph[id].data.aval() {
                    terms.push(Named { number, text, aval: aval.clone() });
                }
                number
            })
        };
        let mut steps = Vec::new();
        for applied in said {
            let rule = &table.rules()[applied.rule];
            let bound = applied.bound.iter().filter_map(|(var, id, _)| {
                let id = egraph.find(*id);
                let data = &egraph[id].data;
                let value = || Some(Bound::Value { key: usize::from(id) as u32, aval: data.aval()?.clone() });
                Some((*var, data.attr().cloned().map(Bound::Attr).or_else(value)?))
            });
            let bound: Vec<_> = bound.collect();
            if let Some(sides) = Sides::of(rule, &bound)? {
                steps.push(sides.step(rule, true, &mut name));
            }
        }
        terms.sort_by_key(|t| t.number);
        Ok((Whence::Rules { steps, part }, from, terms))
    }

    /// A node of the result as a term over the numbers of its operands.
    fn text(&self, n: NodeId, place: &dyn Fn(NodeId) -> Option<NodeId>) -> String {
        let node = self.result.node(n);
        let number = |a: &NodeId| place(*a).map_or_else(|| "_".to_owned(), |p| p.to_string());
        match &node.kind {
            NodeKind::Op(op) => crate::explain::shallow(op, node.args.iter().map(number)),
            NodeKind::Param(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egrad_ir::{Aval, Dtype, Op, Unary};

    #[test]
    fn numbers_survive_as_lines() {
        for n in [0, 1, u32::MAX as usize, u32::MAX as usize + 1, 1 << 40] {
            assert_eq!(number(mark(n)), Some(n));
        }
        assert_eq!(number(Span::Unknown), None);
    }

    #[test]
    fn a_numbered_function_is_the_same_function() {
        let mut f = Function::new("f", [(Aval::new(Dtype::F32, [2]), Span::Unknown)]);
        let y = f.add(Op::Unary(Unary::Sin), &[NodeId(0)], Span::here()).unwrap();
        f.set_results(vec![y]);
        let mut made = Vec::new();
        assert_eq!(numbered(&f, &mut made, |n| Made::Traced(FnId(0), n)), f);
        assert_eq!(made.len(), f.len());
    }
}
