//! Why a program became what it became: for a node, the named rules from what was written to what
//! was chosen.
//!
//! There are three parts. The transforms' part follows a node back through the e-graph of every
//! transform to the primitive it was made of ([`Origin`]). The simplifier's part proves the chosen
//! term equal to the written one: the table is run once more, every application is noted down, and
//! of the equations so found one path is kept (`terms`). The last part says which fusion rules
//! make the chosen term part of which kernel. Every step is an instance of one rule of the tables
//! and can be [replayed](RuleStep::replays) by that rule alone.
//!
//! A proof is a list of [`Chain`]s. A chain leads from one term to another, by rules at the root or
//! by earlier chains in its operands; so a proof is no longer than the equations it uses, and terms
//! are shared instead of printed again.

mod instance;
mod terms;

pub use instance::RuleStep;
pub(crate) use instance::{Bound, Sides};

use crate::rules::{Rule, Tables};
use crate::saturate::{Saturated, saturate_logged};
use crate::term::{Attr, Head, Prim, encode};
use crate::transform::Trail;
use crate::{Compilation, Fusion, Options, Place};
use egg::{Id, Var};
use egrad_ir::kernel::Body;
use egrad_ir::{Aval, Error, FnId, Function, Literal, NodeId, NodeKind, Op, Program, Result, Span};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use terms::{Args, By, Edge, TermIx, Terms};

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A result, by its position.
    Result(usize),
    /// A node of the function that the transforms left.
    Transformed(NodeId),
    /// A node of the function that extraction chose.
    Extracted(NodeId),
}

/// A term that has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its number: that of the function's node, or a higher one for a term that is no node.
    pub number: u32,
    /// The term over other numbers, in the notation of the tables; empty for a parameter.
    pub text: String,
    /// Its type.
    pub aval: Aval,
}

/// Where a node comes from: one transform, or what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The transform that made it; none for what was written.
    pub transform: Option<&'static str>,
    /// The function that was transformed, or that it was written in.
    pub function: FnId,
    /// That function's name.
    pub name: String,
    /// The node, in the function whose nodes the numbers are.
    pub node: NodeId,
    /// That function, expanded, which this transform's result became a part of; for what was
    /// written, the function it was written in.
    pub within: FnId,
    /// How it was made.
    pub whence: Whence,
    /// What the numbers in the steps stand for.
    pub terms: Vec<Named>,
}

/// How a transform made a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// It was written.
    Written {
        /// The node as text.
        text: String,
        /// The user's line.
        at: Span,
    },
    /// It is what became of something written there, by way of a function with a derivative of its own
    /// or a checkpoint. Those are opened before anything else, and what happens then isn't followed.
    Opened {
        /// The node as text.
        text: String,
        /// The user's line.
        at: Span,
    },
    /// These rules made it, each of a marker; all but the first pass it on. If it is a `part`, it
    /// is one of the terms within the right-hand side.
    Rules {
        /// The steps.
        steps: Vec<RuleStep>,
        /// Whether it is only a part of what the rule built.
        part: bool,
    },
    /// It is the function's own node.
    Kept,
    /// The structural rule made it: a sum of contributions, or a move of the batch axis.
    Structure,
}

/// A proof that two terms are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the first term.
    pub from: u32,
    /// The number of the last term.
    pub to: u32,
    /// The steps, each from where the one before led.
    pub steps: Vec<Step>,
}

/// One step of a [`Chain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of the term before.
    pub from: u32,
    /// The number of the term after.
    pub to: u32,
    /// Why they are equal.
    pub reason: Reason,
}

/// Why two terms are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule says so.
    Rule(RuleStep),
    /// They differ in these arguments (counted from 0, attributes included), which the chains of
    /// these numbers, all of them earlier ones, prove equal.
    Operands(Vec<(usize, usize)>),
    /// Every element of both is this number, whatever moves repeat it.
    Constant(Literal),
}

/// Why a node became what it became.
#[derive(Clone, Debug)]
pub struct Why {
    /// The node of the transformed function.
    pub written: NodeId,
    /// The node of the extracted function that computes it; none if nothing chosen needs it.
    pub chosen: Option<NodeId>,
    /// If the extracted node that was asked about computes nothing that was written: that node, a
    /// part of what was chosen for `written`.
    pub part: Option<NodeId>,
    /// Where the node comes from, the last transform first; empty if the program is not known.
    pub origins: Vec<Origin>,
    /// The same of every other written node that the chains are about, in order.
    pub inner: Vec<(NodeId, Vec<Origin>)>,
    /// From what was written to what was chosen; the last chain is the node's own. None if nothing
    /// was rewritten.
    pub chains: Vec<Chain>,
    /// Which fusion rules make the chosen term a part of a kernel.
    pub fused: Vec<RuleStep>,
    /// Where the chosen node is computed.
    pub place: Option<Place>,
    /// What the numbers in chains and fusion rules stand for, in increasing order.
    pub terms: Vec<Named>,
}

/// The instance of a rule of the `simplify` table.
struct Instance {
    rule: usize,
    bound: Vec<(Var, Bound)>,
}

/// Everything there is to say about a program's compilation.
pub struct Explanation<'a> {
    compilation: &'a Compilation,
    tables: &'a Tables,
    numerics: egrad_ir::Numerics,
    disabled: &'a [String],
    trail: Option<Trail<'a>>,
    terms: Terms,
    instances: Vec<Instance>,
    /// Per node of the transformed function its term; none for dead nodes.
    written: Vec<Option<TermIx>>,
    /// Per node of the extracted function its term.
    chosen: Vec<TermIx>,
}

/// A primitive of these operands, as a term.
pub(crate) fn shallow(op: &Op, operands: impl Iterator<Item = String>) -> String {
    let (prim, attrs) = encode(op);
    let parts: Vec<String> = attrs.iter().map(Attr::to_string).chain(operands).collect();
    if parts.is_empty() { format!("({prim})") } else { format!("({prim} {})", parts.join(" ")) }
}

/// The terms of a plain function's nodes; of the live ones, if `live` is given.
fn load(terms: &mut Terms, f: &Function, live: Option<&[bool]>) -> Result<Vec<Option<TermIx>>> {
    let mut at: Vec<Option<TermIx>> = vec![None; f.len()];
    for (id, node) in f.nodes() {
        at[id.index()] = match &node.kind {
            NodeKind::Param(i) => Some(terms.param(NodeId::from(*i).0, node.avals[0].clone())),
            NodeKind::Op(_) if live.is_some_and(|l| !l[id.index()]) => None,
            NodeKind::Op(op) => {
                let (prim, attrs) = encode(op);
                let mut args: Args = attrs.into_iter().map(|a| terms.attr(a)).collect();
                args.extend(node.args.iter().filter_map(|a| at[a.index()]));
                Some(terms.prim(prim, args)?)
            }
            NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => {
                return Err(egrad_ir::graph::not_plain(f));
            }
        };
    }
    Ok(at)
}

impl<'a> Explanation<'a> {
    /// Explains a compilation: `options` and `tables` are those it was made with, and `program` is
    /// what was expanded to `compilation.transformed`, if that is to be explained as well.
    ///
    /// # Errors
    /// If the compilation was made with other options or tables: some equation can't be proved.
    pub fn new(
        program: Option<&'a Program>,
        compilation: &'a Compilation,
        options: &'a Options,
        tables: &'a Tables,
    ) -> Result<Explanation<'a>> {
        let none = Tables::default();
        let run = match options.fusion {
            Fusion::Search => tables,
            Fusion::Off => &none,
        };
        let transformed = &compilation.transformed;
        let saturated = saturate_logged(transformed, options, run)?;
        let mut terms = Terms::default();
        let written = load(&mut terms, transformed, Some(&transformed.live()))?;
        let mut all = Explanation {
            compilation,
            tables,
            numerics: options.numerics,
            disabled: &options.disabled,
            trail: program.map(|p| Trail::new(p, tables)).transpose()?,
            terms,
            instances: Vec::new(),
            written,
            chosen: Vec::new(),
        };
        all.replay(&saturated)?;
        let chosen = load(&mut all.terms, &compilation.extracted, None)?;
        all.chosen = chosen.into_iter().flatten().collect();
        Ok(all)
    }

    /// Draws the equations of every application, in order.
    fn replay(&mut self, saturated: &Saturated) -> Result<()> {
        let egraph = &saturated.egraph;
        let mut known: HashMap<Id, TermIx> = HashMap::new();
        for applied in egraph.analysis.applied.as_deref().unwrap_or_default() {
            let rule = &self.tables.simplify.rules()[applied.rule];
            let mut term = |id: Id, terms: &mut Terms| terms.of_egraph(egraph, id, &mut known, &|_| None);
            let root = term(applied.class, &mut self.terms)?;
            let mut leaves: SmallVec<[(Var, TermIx, Option<Literal>); 4]> = SmallVec::new();
            for (var, id, constant) in &applied.bound {
                let leaf = term(*id, &mut self.terms)?;
                leaves.push((*var, self.terms.oldest(leaf), *constant));
            }
            // Most rules look at nothing below what their variables stand for; those about constants
            // do, and then there is a term to show them.
            let opaque = leaves.iter().map(|(var, t, _)| Ok((*var, self.bound(*t)?)));
            let opaque: Vec<(Var, Bound)> = opaque.collect::<Result<_>>()?;
            let (bound, sides) = match Sides::of(rule, &opaque)? {
                Some(sides) => (opaque, sides),
                None => {
                    for (_, leaf, constant) in &mut leaves {
                        if let Some(literal) = constant {
                            *leaf = self.terms.evident(*leaf, *literal)?.unwrap_or(*leaf);
                        }
                    }
                    let shown = leaves.iter().map(|(var, t, constant)| {
                        Ok((*var, if constant.is_some() { self.constant(*t)? } else { self.bound(*t)? }))
                    });
                    let shown: Vec<(Var, Bound)> = shown.collect::<Result<_>>()?;
                    let sides = Sides::of(rule, &shown)?;
                    (shown, sides.ok_or_else(|| unproved(rule, "doesn't apply to what it was applied to"))?)
                }
            };
            let [left, right] = [sides.left, sides.right].map(|id| self.side(&sides, id));
            let (left, right) = (left?, right?);
            if !self.terms.equal(left, root) {
                return Err(unproved(rule, "matched a term that isn't known to be equal"));
            }
            if !self.terms.equal(left, right) {
                self.terms.unite(left, right, By::Rule(self.instances.len() as u32));
                self.instances.push(Instance { rule: applied.rule, bound });
            }
        }
        // Where every element is a known number, extraction writes that number.
        let mut constants: Vec<(Id, Literal)> =
            egraph.classes().filter_map(|c| Some((c.id, c.data.constant()?))).collect();
        constants.sort_unstable_by_key(|(id, _)| *id);
        for (id, literal) in constants {
            let term = self.terms.of_egraph(egraph, id, &mut known, &|_| None)?;
            let Some(aval) = self.terms.aval(term).cloned() else { continue };
            let value = self.terms.attr(Attr::Literal(literal));
            let mut full = self.terms.prim(Prim::Constant, [value].into_iter().collect())?;
            if aval.shape.rank() > 0 {
                let attrs = [Attr::dims(aval.shape.iter().copied()), Attr::dims([])].map(|a| self.terms.attr(a));
                let args: Args = attrs.into_iter().chain([full]).collect();
                full = self.terms.prim(Prim::BroadcastInDim, args)?;
            }
            if !self.terms.equal(term, full)
                && let Some(shown) = self.terms.evident(term, literal)?
            {
                self.terms.unite(shown, full, By::Constant);
            }
        }
        Ok(())
    }

    /// What a variable that stands for a term is bound to.
    fn bound(&self, t: TermIx) -> Result<Bound> {
        if let Some(attr) = self.terms.as_attr(t) {
            return Ok(Bound::Attr(attr.clone()));
        }
        let aval = self.terms.aval(t).ok_or_else(|| Error::internal("a value without a type"))?;
        Ok(Bound::Value { key: t.index() as u32, aval: aval.clone() })
    }

    /// Likewise where it is a constant, perhaps moved.
    fn constant(&self, mut t: TermIx) -> Result<Bound> {
        let whole = t;
        let mut moves = Vec::new();
        while let Head::Prim(prim) = *self.terms.head(t) {
            let (attrs, operands) = self.terms.args(t).split_at(prim.attrs());
            let attrs: Vec<Attr> = attrs.iter().filter_map(|a| self.terms.as_attr(*a).cloned()).collect();
            match (operands, &attrs[..]) {
                ([], [Attr::Literal(literal)]) => {
                    moves.reverse();
                    return Ok(Bound::Constant { literal: *literal, moves });
                }
                ([operand], _) => {
                    t = *operand;
                    moves.push((prim, attrs));
                }
                _ => break,
            }
        }
        self.bound(whole)
    }

    /// A side of an instance, over the terms that its variables stand for.
    fn side(&mut self, sides: &Sides, id: Id) -> Result<TermIx> {
        let leaf = |id: Id| match sides.egraph.id_to_node(id).head {
            Head::Param(i) => sides.keys.get(i as usize).map(|key| TermIx::from(*key)),
            _ => None,
        };
        self.terms.of_egraph(&sides.egraph, id, &mut HashMap::new(), &leaf)
    }

    /// Why a node became what it became.
    ///
    /// # Errors
    /// If there is no such node or result, or nothing depends on it.
    pub fn why(&mut self, subject: Subject) -> Result<Why> {
        let compilation = self.compilation;
        let (transformed, extracted) = (&compilation.transformed, &compilation.extracted);
        let (written, chosen, part) = match subject {
            Subject::Result(i) => match (transformed.results().get(i), extracted.results().get(i)) {
                (Some(written), Some(chosen)) => (*written, Some(*chosen), None),
                _ => {
                    let m =
                        format!("there is no result {i}: `{}` has {}", transformed.name, transformed.results().len());
                    return Err(Error::tree(m));
                }
            },
            Subject::Transformed(node) => {
                self.exists(transformed, node, "transformed")?;
                let Some(term) = self.written[node.index()] else {
                    return Err(Error::tree(format!("no result depends on {node} of the transformed function")));
                };
                (node, self.choice(term), None)
            }
            Subject::Extracted(node) => {
                self.exists(extracted, node, "extracted")?;
                match self.writing(node) {
                    Some(written) => (written, Some(node), None),
                    None => {
                        let user = self.user(node);
                        let user = user.ok_or_else(|| Error::tree(format!("nothing written became {node}")))?;
                        (user.0, Some(user.1), Some(node))
                    }
                }
            }
        };
        let mut print = Print::new(self, transformed);
        let from = self.written[written.index()].ok_or_else(|| Error::internal("a result that is dead"))?;
        let chains = match chosen {
            Some(chosen) => self.chains(from, self.chosen[chosen.index()], &mut print)?,
            None => Vec::new(),
        };
        let place = chosen.and_then(|c| compilation.places.get(c.index()).cloned());
        let asked = part.or(chosen);
        let fused = asked.map(|c| self.fused(c, &mut print)).transpose()?.unwrap_or_default();
        print.number(from);
        if let Some(chosen) = chosen {
            print.number(self.chosen[chosen.index()]);
        }
        let terms = print.finish(self);
        let follow = |node: NodeId| match &self.trail {
            Some(trail) => trail.follow(node, self.tables),
            None => Ok(Vec::new()),
        };
        let origins = follow(written)?;
        let from: BTreeSet<NodeId> = chains.iter().map(|c| NodeId(c.from)).collect();
        let inner = from.into_iter().filter(|n| n.index() < transformed.len() && *n != written);
        let inner = inner.filter(|_| self.trail.is_some());
        let inner = inner.map(|node| Ok((node, follow(node)?))).collect::<Result<_>>()?;
        let place = part.and_then(|p| compilation.places.get(p.index()).cloned()).or(place);
        Ok(Why { written, chosen, part, origins, inner, chains, fused, place, terms })
    }

    fn exists(&self, f: &Function, node: NodeId, which: &str) -> Result<()> {
        if node.index() < f.len() {
            return Ok(());
        }
        Err(Error::tree(format!("the {which} function has no {node}: its nodes are %0 to %{}", f.len() - 1)))
    }

    /// The node of the extracted function that computes what a term computes.
    fn choice(&self, term: TermIx) -> Option<NodeId> {
        self.chosen.iter().position(|c| self.terms.equal(*c, term)).map(NodeId::from)
    }

    /// The node of the transformed function that a chosen one computes.
    fn writing(&self, chosen: NodeId) -> Option<NodeId> {
        let term = self.chosen[chosen.index()];
        self.written.iter().position(|w| w.is_some_and(|w| self.terms.equal(w, term))).map(NodeId::from)
    }

    /// The first chosen node that needs this one and computes something written, with that.
    fn user(&self, node: NodeId) -> Option<(NodeId, NodeId)> {
        let f = &self.compilation.extracted;
        let mut needs = vec![false; f.len()];
        needs[node.index()] = true;
        for (id, user) in f.nodes().skip(node.index() + 1) {
            needs[id.index()] = user.args.iter().any(|a| needs[a.index()]);
            if needs[id.index()]
                && let Some(written) = self.writing(id)
            {
                return Some((written, id));
            }
        }
        None
    }

    /// The chains that lead from a term to an equal one, what they rest on first; the last one is
    /// about the terms themselves.
    fn chains(&self, from: TermIx, to: TermIx, print: &mut Print<'_>) -> Result<Vec<Chain>> {
        if !self.terms.equal(from, to) {
            return Err(Error::internal("what was chosen isn't known to be equal to what was written"));
        }
        let mut chains: Vec<Chain> = Vec::new();
        let mut known: HashMap<(TermIx, TermIx), usize> = HashMap::new();
        let mut stack = vec![(from, to, false)];
        while let Some((from, to, ready)) = stack.pop() {
            if from == to || known.contains_key(&(from, to)) {
                continue;
            }
            let path = self.terms.path(from, to);
            if !ready {
                stack.push((from, to, true));
                let inner = path
                    .iter()
                    .filter(|e| matches!(e.by, By::Congruence))
                    .flat_map(|e| self.terms.args(e.from).iter().copied().zip(self.terms.args(e.to).iter().copied()));
                stack.extend(inner.filter(|(a, b)| a != b).map(|(a, b)| (a, b, false)));
                continue;
            }
            let mut steps = Vec::with_capacity(path.len());
            for edge in path {
                let reason = self.reason(&edge, &known, print)?;
                steps.push(Step { from: print.number(edge.from), to: print.number(edge.to), reason });
            }
            known.insert((from, to), chains.len());
            chains.push(Chain { from: print.number(from), to: print.number(to), steps });
        }
        Ok(chains)
    }

    fn reason(&self, edge: &Edge, known: &HashMap<(TermIx, TermIx), usize>, print: &mut Print<'_>) -> Result<Reason> {
        Ok(match edge.by {
            By::Rule(i) => {
                let Instance { rule, bound } = &self.instances[i as usize];
                let rule = &self.tables.simplify.rules()[*rule];
                let sides = Sides::of(rule, bound)?.ok_or_else(|| unproved(rule, "applies no more"))?;
                Reason::Rule(sides.step(rule, edge.forward, &mut |key| print.number(TermIx::from(key))))
            }
            By::Congruence => {
                let pairs = self.terms.args(edge.from).iter().zip(self.terms.args(edge.to)).enumerate();
                let differ = pairs.filter(|(_, (a, b))| a != b);
                Reason::Operands(differ.filter_map(|(k, (a, b))| Some((k, *known.get(&(*a, *b))?))).collect())
            }
            By::Constant => {
                let mut t = edge.from;
                // Both are a literal under moves.
                while let Some(last) = self.terms.args(t).last() {
                    t = *last;
                }
                match self.terms.as_attr(t) {
                    Some(Attr::Literal(literal)) => Reason::Constant(*literal),
                    _ => return Err(Error::internal("a constant without a number")),
                }
            }
        })
    }

    /// The fusion rules that make a chosen node a part of a kernel.
    fn fused(&self, node: NodeId, print: &mut Print<'_>) -> Result<Vec<RuleStep>> {
        let (f, places) = (&self.compilation.extracted, &self.compilation.places);
        let (steps, inline): (&[usize], bool) = match places.get(node.index()) {
            Some(Place::Kernel(step)) => (std::slice::from_ref(step), false),
            Some(Place::Inline(steps)) => (steps, true),
            Some(Place::Input | Place::Literal | Place::View(_)) | None => return Ok(Vec::new()),
        };
        let NodeKind::Op(op) = &f.node(node).kind else { return Ok(Vec::new()) };
        let (prim, _) = encode(op);
        let args: Vec<Bound> =
            self.terms.args(self.chosen[node.index()]).iter().map(|t| self.bound(*t)).collect::<Result<_>>()?;
        let contract = steps.iter().any(|s| match &self.compilation.schedule.steps[*s].kernel.body {
            Body::Contract(_) => prim == Prim::DotGeneral && !inline,
            Body::Loops(_)
            | Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Print(_)
            | Body::Scan(_)
            | Body::While(_)
            | Body::Switch(_) => false,
        });
        let body = if contract { "fuse/contract" } else { "fuse/compute" };
        let wanted = if inline {
            [("fuse/inline", Some(Head::Source)), (body, Some(Head::Body))]
        } else {
            [("fuse/kernel", None), (body, Some(Head::Body))]
        };
        let mut out = Vec::new();
        for (prefix, around) in wanted {
            out.extend(self.fusion(prefix, around, &Head::Prim(prim), &args, print)?);
        }
        for arg in &f.node(node).args {
            let term = self.chosen[arg.index()];
            match &places[arg.index()] {
                // In the same kernel, it is there already.
                Place::Kernel(step) if steps == [*step] => {}
                Place::Kernel(_) | Place::Input | Place::View(_) => {
                    let value = [self.bound(term)?];
                    out.extend(self.fusion("fuse/load", Some(Head::Source), &Head::Param(0), &value, print)?);
                }
                Place::Inline(_) => {
                    let NodeKind::Op(op) = &f.node(*arg).kind else { continue };
                    let args: Vec<Bound> =
                        self.terms.args(term).iter().map(|t| self.bound(*t)).collect::<Result<_>>()?;
                    let head = Head::Prim(encode(op).0);
                    out.extend(self.fusion("fuse/inline", Some(Head::Source), &head, &args, print)?);
                }
                Place::Literal => {}
            }
        }
        let mut seen: Vec<RuleStep> = Vec::new();
        out.retain(|step| {
            let new = !seen.contains(step);
            seen.extend(new.then(|| step.clone()));
            new
        });
        Ok(out)
    }

    /// The fusion rule of that kind, at such a term.
    fn fusion(
        &self,
        prefix: &str,
        around: Option<Head>,
        head: &Head,
        args: &[Bound],
        print: &mut Print<'_>,
    ) -> Result<Option<RuleStep>> {
        let root = around.as_ref().unwrap_or(head).key();
        let allowed = |r: &&Rule| {
            r.name.starts_with(prefix) && r.float.allowed(self.numerics) && !self.disabled.iter().any(|d| d == r.name)
        };
        for rule in self.tables.fuse.rules().iter().filter(allowed).filter(|r| r.head.key() == root) {
            if let Some(sides) = Sides::at(rule, around.clone(), head, args)? {
                return Ok(Some(sides.step(rule, true, &mut |key| print.number(TermIx::from(key)))));
            }
        }
        Ok(None)
    }
}

fn unproved(rule: &Rule, why: &str) -> Error {
    Error::internal(format!("rule `{}` {why}", rule.name))
}

/// Numbers for terms: a written node's own, and those after the last node for others.
struct Print<'f> {
    written: &'f Function,
    numbers: HashMap<TermIx, u32>,
    /// The numbers given out, in order.
    used: Vec<(u32, TermIx)>,
    seen: HashSet<u32>,
    next: u32,
}

impl<'f> Print<'f> {
    fn new(all: &Explanation<'_>, written: &'f Function) -> Print<'f> {
        let mut numbers = HashMap::new();
        for (i, term) in all.written.iter().enumerate() {
            if let Some(term) = term {
                numbers.entry(*term).or_insert(NodeId::from(i).0);
            }
        }
        Print { written, numbers, used: Vec::new(), seen: HashSet::new(), next: NodeId::from(written.len()).0 }
    }

    fn number(&mut self, t: TermIx) -> u32 {
        let next = &mut self.next;
        let number = *self.numbers.entry(t).or_insert_with(|| {
            *next += 1;
            *next - 1
        });
        if self.seen.insert(number) {
            self.used.push((number, t));
        }
        number
    }

    /// What every number used stands for, down to written nodes.
    fn finish(mut self, all: &Explanation<'_>) -> Vec<Named> {
        let mut named = Vec::new();
        let mut next = 0;
        while let Some((number, t)) = self.used.get(next).copied() {
            next += 1;
            let Some(aval) = all.terms.aval(t).cloned() else { continue };
            let written = (number as usize) < self.written.len();
            let text = match all.terms.head(t) {
                Head::Prim(prim) => {
                    let mut parts = vec![prim.to_string()];
                    for a in all.terms.args(t) {
                        parts.push(match all.terms.as_attr(*a) {
                            Some(attr) => attr.to_string(),
                            // A written node's operands are written nodes: no need to go on.
                            None if written => format!("%{}", self.numbers[a]),
                            None => format!("%{}", self.number(*a)),
                        });
                    }
                    format!("({})", parts.join(" "))
                }
                _ => String::new(),
            };
            named.push(Named { number, text, aval });
        }
        named.sort_by_key(|n| n.number);
        named
    }
}
