//! Terms that are never rewritten, which of them are equal, and why.
//!
//! An e-graph forgets: a class holds what is equal, not what made it so. Here every term stays what
//! it is; equality is a congruence closure beside it, and each time two classes meet, the reason is
//! kept as an edge between two terms. The edges form a forest, so two equal terms are joined by one
//! path, and an edge by congruence only rests on edges that were there before it.

use crate::analysis::{EGraph, Fact};
use crate::term::{Attr, Head, Prim, Term, decode};
use egg::Id;
use egrad_ir::{Aval, Error, Literal, Result, infer};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

/// A term of a [`Terms`]; operands have lower numbers than their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TermIx(u32);

impl TermIx {
    /// Its position as an index.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl From<u32> for TermIx {
    fn from(i: u32) -> TermIx {
        TermIx(i)
    }
}

/// A term's arguments.
pub(super) type Args = SmallVec<[TermIx; 4]>;

/// Why two terms are equal.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// The instance of a rule of that number says so.
    Rule(u32),
    /// Their arguments are.
    Congruence,
    /// All elements of both are the same known number.
    Constant,
}

/// One step from a term to an equal one; rules point from their left side to their right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: TermIx,
    pub(super) to: TermIx,
    pub(super) by: By,
    /// Whether it was recorded in this direction.
    pub(super) forward: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Terms {
    heads: Vec<Head>,
    args: Vec<Args>,
    avals: Vec<Option<Aval>>,
    known: HashMap<(Head, Args), TermIx>,
    /// Per term the class it is in, by one of its terms.
    class: Vec<TermIx>,
    /// Per class its terms, the oldest of them, and the terms with an argument in it.
    members: Vec<Vec<TermIx>>,
    oldest: Vec<TermIx>,
    users: Vec<Vec<TermIx>>,
    /// The first term of every head and classes of arguments.
    signatures: HashMap<(Head, Args), TermIx>,
    /// Per term the edge towards the root of its tree.
    towards: Vec<Option<Edge>>,
}

impl Terms {
    pub(super) fn head(&self, t: TermIx) -> &Head {
        &self.heads[t.index()]
    }

    pub(super) fn args(&self, t: TermIx) -> &[TermIx] {
        &self.args[t.index()]
    }

    /// The type of a value; none of an attribute.
    pub(super) fn aval(&self, t: TermIx) -> Option<&Aval> {
        self.avals[t.index()].as_ref()
    }

    pub(super) fn equal(&self, a: TermIx, b: TermIx) -> bool {
        self.class(a) == self.class(b)
    }

    fn class(&self, t: TermIx) -> TermIx {
        self.class[t.index()]
    }

    /// The first term equal to one.
    pub(super) fn oldest(&self, t: TermIx) -> TermIx {
        self.oldest[self.class(t).index()]
    }

    /// A leaf of a parameter of that aval.
    pub(super) fn param(&mut self, i: u32, aval: Aval) -> TermIx {
        self.insert(Head::Param(i), Args::new(), Some(aval))
    }

    /// An attribute.
    pub(super) fn attr(&mut self, attr: Attr) -> TermIx {
        self.insert(Head::Attr(attr), Args::new(), None)
    }

    /// A primitive: attributes, then operands.
    pub(super) fn prim(&mut self, prim: Prim, args: Args) -> Result<TermIx> {
        if let Some(t) = self.known.get(&(Head::Prim(prim), args.clone())) {
            return Ok(*t);
        }
        let aval = self.infer(prim, &args)?;
        Ok(self.insert(Head::Prim(prim), args, Some(aval)))
    }

    fn infer(&self, prim: Prim, args: &[TermIx]) -> Result<Aval> {
        let (attrs, operands) = args.split_at(prim.attrs());
        let attrs: Option<SmallVec<[&Attr; 4]>> = attrs.iter().map(|a| self.as_attr(*a)).collect();
        let operands: Option<SmallVec<[&Aval; 3]>> = operands.iter().map(|o| self.aval(*o)).collect();
        let (Some(attrs), Some(operands)) = (attrs, operands) else {
            return Err(Error::internal(format!("a term `{prim}` of what it can't take")));
        };
        infer::infer(&decode(prim, &attrs)?, &operands)
    }

    /// The attribute that a term is.
    pub(super) fn as_attr(&self, t: TermIx) -> Option<&Attr> {
        if let Head::Attr(a) = self.head(t) { Some(a) } else { None }
    }

    fn insert(&mut self, head: Head, args: Args, aval: Option<Aval>) -> TermIx {
        let key = (head, args);
        if let Some(t) = self.known.get(&key) {
            return *t;
        }
        let t = TermIx(u32::try_from(self.heads.len()).expect("fewer than 2^32 terms"));
        self.heads.push(key.0.clone());
        self.args.push(key.1.clone());
        self.avals.push(aval);
        self.class.push(t);
        self.members.push(vec![t]);
        self.oldest.push(t);
        self.users.push(Vec::new());
        self.towards.push(None);
        let classes: HashSet<TermIx> = key.1.iter().map(|a| self.class(*a)).collect();
        classes.into_iter().for_each(|c| self.users[c.index()].push(t));
        let signature = self.signature(t);
        self.known.insert(key, t);
        match self.signatures.get(&signature).copied() {
            Some(same) => self.unite(t, same, By::Congruence),
            None => {
                self.signatures.insert(signature, t);
            }
        }
        t
    }

    fn signature(&self, t: TermIx) -> (Head, Args) {
        (self.head(t).clone(), self.args(t).iter().map(|a| self.class(*a)).collect())
    }

    /// Says that two terms are equal; what follows by congruence is drawn at once.
    pub(super) fn unite(&mut self, a: TermIx, b: TermIx, by: By) {
        let mut pending = vec![(a, b, by)];
        while let Some((a, b, by)) = pending.pop() {
            if self.equal(a, b) {
                continue;
            }
            let size = |t: TermIx| {
                let class = self.class(t).index();
                self.members[class].len() + self.users[class].len()
            };
            let (near, far, forward) = if size(a) <= size(b) { (a, b, true) } else { (b, a, false) };
            self.turn(near);
            self.towards[near.index()] = Some(Edge { from: near, to: far, by, forward });
            let (small, large) = (self.class(near), self.class(far));
            let moved = std::mem::take(&mut self.members[small.index()]);
            moved.iter().for_each(|t| self.class[t.index()] = large);
            self.members[large.index()].extend(moved);
            self.oldest[large.index()] = self.oldest[large.index()].min(self.oldest[small.index()]);
            for user in std::mem::take(&mut self.users[small.index()]) {
                let signature = self.signature(user);
                match self.signatures.get(&signature).copied() {
                    Some(same) if self.equal(same, user) => {}
                    Some(same) => pending.push((user, same, By::Congruence)),
                    None => {
                        self.signatures.insert(signature, user);
                    }
                }
                self.users[large.index()].push(user);
            }
        }
    }

    /// Makes a term the root of its tree.
    fn turn(&mut self, t: TermIx) {
        let mut edge = self.towards[t.index()].take();
        while let Some(Edge { from, to, by, forward }) = edge {
            let turned = Edge { from: to, to: from, by, forward: !forward };
            edge = self.towards[to.index()].replace(turned);
        }
    }

    /// The steps from a term to an equal one; none if they are not equal, or the same.
    pub(super) fn path(&self, from: TermIx, to: TermIx) -> Vec<Edge> {
        if !self.equal(from, to) {
            return Vec::new();
        }
        let up = |t: TermIx| {
            let mut edges: Vec<Edge> = Vec::new();
            while let Some(edge) = self.towards[edges.last().map_or(t, |e| e.to).index()] {
                edges.push(edge);
            }
            edges
        };
        let (mut up, mut down) = (up(from), up(to));
        // What both have in common is no detour worth taking.
        while let (Some(a), Some(b)) = (up.last(), down.last()) {
            if a.from != b.from {
                break;
            }
            up.pop();
            down.pop();
        }
        let turned = |e: Edge| Edge { from: e.to, to: e.from, by: e.by, forward: !e.forward };
        up.extend(down.into_iter().rev().map(turned));
        up
    }

    /// A term equal to this one that shows by itself that every element is `literal`: a constant,
    /// perhaps moved.
    pub(super) fn evident(&mut self, t: TermIx, literal: Literal) -> Result<Option<TermIx>> {
        // (class, and by which move of what it was reached)
        let mut queue: Vec<(TermIx, Option<(TermIx, usize)>)> = vec![(self.class(t), None)];
        let mut seen: HashSet<TermIx> = queue.iter().map(|(c, _)| *c).collect();
        let mut next = 0;
        while let Some((class, _)) = queue.get(next).copied() {
            for member in self.members[class.index()].clone() {
                let Head::Prim(prim) = *self.head(member) else { continue };
                match prim {
                    Prim::Constant if self.as_attr(self.args(member)[0]) == Some(&Attr::Literal(literal)) => {
                        let mut found = member;
                        let mut at = next;
                        while let Some((moved, user)) = queue[at].1 {
                            let Head::Prim(prim) = *self.head(moved) else { break };
                            let mut args = self.args[moved.index()].clone();
                            if let Some(last) = args.last_mut() {
                                *last = found;
                            }
                            found = self.prim(prim, args)?;
                            at = user;
                        }
                        return Ok(Some(found));
                    }
                    Prim::BroadcastInDim | Prim::Reshape | Prim::Transpose | Prim::Slice | Prim::Reverse => {
                        let operand = self.args(member).last().map(|o| self.class(*o));
                        if let Some(operand) = operand.filter(|o| seen.insert(*o)) {
                            queue.push((operand, Some((member, next))));
                        }
                    }
                    Prim::Constant
                    | Prim::Iota
                    | Prim::Unary(_)
                    | Prim::Binary(_)
                    | Prim::Compare(_)
                    | Prim::Select
                    | Prim::IntegerPow
                    | Prim::Convert
                    | Prim::Reduce(_)
                    | Prim::DotGeneral
                    | Prim::Pad
                    | Prim::Concatenate
                    | Prim::Take
                    | Prim::Scatter(_)
                    | Prim::Argsort
                    | Prim::Factor(_)
                    | Prim::TriangularSolve
                    | Prim::Fft => {}
                }
            }
            next += 1;
        }
        Ok(None)
    }

    /// A term of an e-graph as it was made, with everything below it. `leaf` says what stands for
    /// a class instead, if anything does.
    pub(super) fn of_egraph(
        &mut self,
        egraph: &EGraph,
        id: Id,
        known: &mut HashMap<Id, TermIx>,
        leaf: &dyn Fn(Id) -> Option<TermIx>,
    ) -> Result<TermIx> {
        let mut stack = vec![(id, false)];
        while let Some((id, ready)) = stack.pop() {
            if known.contains_key(&id) {
                continue;
            }
            if let Some(t) = leaf(id) {
                known.insert(id, t);
                continue;
            }
            let term: &Term = egraph.id_to_node(id);
            if !ready {
                stack.push((id, true));
                stack.extend(term.args.iter().map(|a| (*a, false)));
                continue;
            }
            let args: Args = term.args.iter().filter_map(|a| known.get(a).copied()).collect();
            let t = match (&term.head, &egraph[id].data) {
                (Head::Attr(a), _) => self.attr(a.clone()),
                (Head::Prim(prim), _) => self.prim(*prim, args)?,
                (Head::Param(i), Fact::Value { aval, .. }) => self.param(*i, Aval::clone(aval)),
                (head, _) => return Err(Error::internal(format!("`{head}` is no term of a plain function"))),
            };
            known.insert(id, t);
        }
        known.get(&id).copied().ok_or_else(|| Error::internal("a term that was not read"))
    }
}
