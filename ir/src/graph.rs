//! Functions as dataflow graphs, and programs made of them.

use crate::dtype::Dtype;
use crate::error::{Error, Result, Span};
use crate::infer;
use crate::op::{Axes, Op};
use crate::shape::Shape;
use petgraph::graph::DiGraph;
use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A value's element type and shape (JAX's "abstract value").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aval {
    /// The element type.
    pub dtype: Dtype,
    /// The shape.
    pub shape: Shape,
}

impl Aval {
    /// The aval of tensors of this element type and shape.
    pub fn new(dtype: Dtype, shape: impl Into<Shape>) -> Aval {
        Aval { dtype, shape: shape.into() }
    }

    /// Bytes its elements take.
    pub fn bytes(&self) -> usize {
        self.shape.size() * self.dtype.bytes()
    }
}

impl fmt::Display for Aval {
    /// `f32[2,3]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

impl fmt::Debug for Aval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! id {
    ($($(#[$doc:meta])* $Id:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $Id(pub u32);
        impl $Id {
            /// Its position as an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
        impl From<usize> for $Id {
            fn from(index: usize) -> $Id {
                $Id(u32::try_from(index).expect("fewer than 2^32 of them"))
            }
        }
        impl std::fmt::Display for $Id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
        impl std::fmt::Debug for $Id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )*};
}
pub(crate) use id;
id! {
    /// A node of one [`Function`].
    NodeId "%";
    /// A function of one [`Program`].
    FnId "@";
}

/// A transform applied to a function. The operands and results it has follow from the callee's
/// parameters `p…` and results `y…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// The function itself: `(p…) -> (y…)`.
    Call,
    /// Forward mode: `(p…, a tangent per wrt) -> (y…, a tangent per float y…)`; integer and bool
    /// results have none.
    Jvp {
        /// The parameters with a tangent, increasing, all of them floats.
        wrt: Vec<usize>,
    },
    /// Reverse mode: `(p…, a cotangent per float y) -> (y…, a gradient per wrt)`.
    Vjp {
        /// The parameters differentiated, increasing, all of them floats.
        wrt: Vec<usize>,
    },
    /// The function of every element along an axis: `(P…) -> (Y…)`.
    Vmap {
        /// Per parameter the axis of the operand mapped over; `None`: the same for every element.
        in_axes: Vec<Option<usize>>,
        /// Per result the axis of the stacked result that counts the elements.
        out_axes: Vec<usize>,
        /// How many elements there are.
        size: usize,
    },
    /// A function with a forward-mode derivative of its own, which is used for reverse mode too:
    /// `(p…, o…) -> (y…)`. The callee is
    /// `(p…, a tangent per float p, o…) -> (y…, y…, a tangent per float y)`: the first results are the
    /// function, which knows nothing of tangents, and the others the rule, linear in them. There is
    /// no derivative by the other operands `o…`.
    CustomJvp {
        /// How many `p…` there are.
        params: usize,
        /// How many `y…` there are.
        results: usize,
    },
    /// A function with a reverse-mode derivative of its own, and no other: `(p…, o…) -> (y…)`. The
    /// callee is `(p…, a cotangent per float y, o…) -> (y…, y…, a gradient per float p)`: the first
    /// results are the function, which knows nothing of cotangents, and the others the rule. There is
    /// no derivative by the other operands `o…`.
    CustomVjp {
        /// How many `p…` there are.
        params: usize,
        /// How many `y…` there are.
        results: usize,
    },
    /// The function itself, of which reverse mode keeps the operands and what `policy` says, and
    /// computes the rest again: `(p…) -> (y…)`.
    Checkpoint {
        /// What is kept.
        policy: Policy,
    },
    /// The function itself, whose results have a name that a [`Policy`] may keep them by:
    /// `(p…) -> (y…)`.
    Named {
        /// The name.
        name: String,
    },
}

/// What reverse mode keeps of a function that computes the rest again ([`Transform::Checkpoint`]),
/// beside its operands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing.
    #[default]
    Nothing,
    /// Whatever the derivative needs.
    Everything,
    /// Matrix products.
    Dots,
    /// Matrix products that share no axis, as a batch does: those whose results are smaller than
    /// what they take to compute.
    DotsWithoutBatch,
    /// What has one of these names ([`Transform::Named`]).
    Names(Vec<String>),
}

impl Policy {
    /// The policy's name in text.
    pub fn name(&self) -> &'static str {
        match self {
            Policy::Nothing => "nothing",
            Policy::Everything => "everything",
            Policy::Dots => "dots",
            Policy::DotsWithoutBatch => "dots_without_batch",
            Policy::Names(_) => "names",
        }
    }
}

impl Transform {
    /// The transform's name in text and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Transform::Call => "call",
            Transform::Jvp { .. } => "jvp",
            Transform::Vjp { .. } => "vjp",
            Transform::Vmap { .. } => "vmap",
            Transform::CustomJvp { .. } => "custom_jvp",
            Transform::CustomVjp { .. } => "custom_vjp",
            Transform::Checkpoint { .. } => "checkpoint",
            Transform::Named { .. } => "named",
        }
    }
}

/// A loop or a branch over functions, or what looks beyond the function it is in. What its operands and results are follows from theirs; a tuple
/// of results, as that of an applied [`Transform`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// A loop over the elements along axis 0 of the `xs…`, in order:
    /// `(consts…, carry…, xs…) -> (carry…, ys…)`, where the body is
    /// `(consts…, carry…, an element per xs…) -> (carry…, an element per ys…)`.
    Scan {
        /// What each step computes.
        body: FnId,
        /// How many operands are the same in every step.
        consts: usize,
        /// How many are handed from step to step.
        carry: usize,
        /// How many steps there are; may be 0.
        length: usize,
        /// Whether the steps go from the last element to the first.
        reverse: bool,
    },
    /// A loop as long as a condition holds: `(consts of cond…, consts of body…, carry…) -> (carry…)`,
    /// where the condition is `(its consts…, carry…) -> (bool[])` and the body
    /// `(its consts…, carry…) -> (carry…)`.
    While {
        /// Whether there is another step.
        cond: FnId,
        /// What each step computes.
        body: FnId,
        /// How many operands the condition has beside the carry.
        cond_consts: usize,
        /// How many the body has.
        body_consts: usize,
    },
    /// One of some functions of the same parameters and results: `(i32[], p…) -> (y…)`. An index that
    /// is out of range means the nearest branch.
    Switch {
        /// The functions; at least one.
        branches: Vec<FnId>,
    },
    /// Functions of the same parameters that compute the same results, of which the compiler runs the
    /// cheapest: `(p…) -> (y…)`. Where nothing is priced it is the first.
    Either {
        /// The functions, the most likely one first; at least one.
        ways: Vec<FnId>,
    },
    /// What the elements of a batch have, stacked along axis 0, the same for all of them: `(x) -> (xs)`.
    /// Which batch is counted from within: 0 is that of the innermost [`Transform::Vmap`] around.
    AllGather {
        /// How many batches further out.
        up: usize,
        /// How many elements the batch has.
        size: usize,
    },
    /// Which element of a batch, counted as for [`Control::AllGather`], this one is: `() -> (i32[])`.
    AxisIndex {
        /// How many batches further out.
        up: usize,
        /// How many elements the batch has.
        size: usize,
    },
    /// Prints its operands: `(token, x…) -> (token)`. Tokens are `i32[]`, 0, and say what is printed
    /// first: a print happens if something depends on its token, after those that its own depends on.
    Print {
        /// What to print, with a placeholder `{}` per `x`; see [`print`](crate::print).
        format: String,
        /// The leading axes of every `x`: batches, the outermost first, of which each element is
        /// printed.
        levels: Vec<usize>,
    },
}

impl Control {
    /// The name in text and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Control::Scan { .. } => "scan",
            Control::While { .. } => "while",
            Control::Switch { .. } => "switch",
            Control::Either { .. } => "either",
            Control::AllGather { .. } => "all_gather",
            Control::AxisIndex { .. } => "axis_index",
            Control::Print { .. } => "print",
        }
    }

    /// The functions it is over: a loop's condition before its body.
    pub fn callees(&self) -> SmallVec<[FnId; 2]> {
        match self {
            Control::Scan { body, .. } => SmallVec::from_slice(&[*body]),
            Control::While { cond, body, .. } => SmallVec::from_slice(&[*cond, *body]),
            Control::Switch { branches: all } | Control::Either { ways: all } => all.iter().copied().collect(),
            Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. } => SmallVec::new(),
        }
    }

    /// The same over other functions, in the order of [`callees`](Self::callees).
    ///
    /// # Panics
    /// If there are fewer of them.
    #[must_use]
    pub fn over(&self, callees: &[FnId]) -> Control {
        let mut new = self.clone();
        match &mut new {
            Control::Scan { body, .. } => *body = callees[0],
            Control::While { cond, body, .. } => (*cond, *body) = (callees[0], callees[1]),
            Control::Switch { branches } => *branches = callees[..branches.len()].to_vec(),
            // Ways that turn out to be impossible drop out.
            Control::Either { ways } => *ways = callees.to_vec(),
            Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. } => {}
        }
        new
    }
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// The function's parameter of that position.
    Param(usize),
    /// A primitive of the operands.
    Op(Op),
    /// A transformed function of the operands: a tuple, taken apart by [`NodeKind::Get`].
    Apply(Transform, FnId),
    /// A loop or branch on the operands: a tuple, taken apart by [`NodeKind::Get`].
    Control(Control),
    /// One result of the tuple that is the only operand.
    Get(usize),
}

impl NodeKind {
    /// Whether the value is a tuple.
    pub fn is_tuple(&self) -> bool {
        match self {
            NodeKind::Apply(..) | NodeKind::Control(_) => true,
            NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => false,
        }
    }

    /// The functions it is over, none for a primitive.
    pub fn callees(&self) -> SmallVec<[FnId; 2]> {
        match self {
            NodeKind::Apply(_, callee) => SmallVec::from_slice(&[*callee]),
            NodeKind::Control(control) => control.callees(),
            NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => SmallVec::new(),
        }
    }

    /// The same over other functions, each found by `new`.
    #[must_use]
    pub fn over(&self, mut new: impl FnMut(FnId) -> FnId) -> NodeKind {
        match self {
            NodeKind::Apply(transform, callee) => NodeKind::Apply(transform.clone(), new(*callee)),
            NodeKind::Control(control) => {
                let callees: SmallVec<[FnId; 2]> = control.callees().into_iter().map(new).collect();
                NodeKind::Control(control.over(&callees))
            }
            NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => self.clone(),
        }
    }
}

/// A node: what it computes, of which operands, and what comes out.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it computes.
    pub kind: NodeKind,
    /// The operands, all of them earlier nodes.
    pub args: SmallVec<[NodeId; 3]>,
    /// The result's aval; for a tuple one per result.
    pub avals: SmallVec<[Aval; 1]>,
    /// The user's line it comes from.
    pub span: Span,
}

impl PartialEq for Node {
    /// The same computation; where it was written doesn't count.
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind && self.args == other.args && self.avals == other.avals
    }
}

impl Eq for Node {}

impl Hash for Node {
    /// As [`Node::eq`] compares.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.kind, &self.args, &self.avals).hash(state);
    }
}

/// A function: nodes in topological order, of which the first are the parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Function {
    /// A name for people; not unique.
    pub name: String,
    pub(crate) nodes: Vec<Node>,
    params: usize,
    results: Vec<NodeId>,
}

impl Function {
    /// A function of these parameters, with no nodes and no results yet.
    pub fn new(name: impl Into<String>, params: impl IntoIterator<Item = (Aval, Span)>) -> Function {
        let mut f = Function { name: name.into(), ..Function::default() };
        for (i, (aval, span)) in params.into_iter().enumerate() {
            let avals = SmallVec::from_elem(aval, 1);
            f.nodes.push(Node { kind: NodeKind::Param(i), args: SmallVec::new(), avals, span });
            f.params = i + 1;
        }
        f
    }

    /// Adds a parameter after the existing ones.
    ///
    /// # Panics
    /// If the function already has other nodes.
    pub fn add_param(&mut self, aval: Aval, span: Span) -> NodeId {
        assert_eq!(self.nodes.len(), self.params, "parameters come before the other nodes");
        let avals = SmallVec::from_elem(aval, 1);
        self.nodes.push(Node { kind: NodeKind::Param(self.params), args: SmallVec::new(), avals, span });
        self.params += 1;
        NodeId::from(self.nodes.len() - 1)
    }

    /// Adds a primitive of earlier nodes.
    ///
    /// # Errors
    /// If the operands don't fit the primitive; the error names both, `span`, and where the
    /// operands come from.
    pub fn add(&mut self, op: Op, args: &[NodeId], span: Span) -> Result<NodeId> {
        let inferred = {
            let avals: SmallVec<[&Aval; 3]> = args.iter().map(|a| self.aval(*a)).collect();
            infer::infer(&op, &avals)
        };
        let aval = inferred.map_err(|e| {
            let e = e.at(span);
            args.iter().enumerate().fold(e, |e, (i, a)| {
                let node = self.node(*a);
                e.note(format!("operand {i}, {}, comes from here", node.avals[0]), node.span)
            })
        })?;
        Ok(self.push(NodeKind::Op(op), args, SmallVec::from_elem(aval, 1), span))
    }

    /// Adds a node without inferring its avals: for rewriting, which knows them already.
    pub fn push(&mut self, kind: NodeKind, args: &[NodeId], avals: SmallVec<[Aval; 1]>, span: Span) -> NodeId {
        debug_assert!(args.iter().all(|a| a.index() < self.nodes.len()));
        self.nodes.push(Node { kind, args: args.into(), avals, span });
        NodeId::from(self.nodes.len() - 1)
    }

    /// Adds a transformed function and gives its results; `avals` are the results' avals (see
    /// [`Program::apply_avals`]).
    pub fn apply(
        &mut self,
        transform: Transform,
        callee: FnId,
        args: &[NodeId],
        avals: Vec<Aval>,
        span: Span,
    ) -> Vec<NodeId> {
        self.push_tuple(NodeKind::Apply(transform, callee), args, avals, span)
    }

    /// Adds a loop or branch and gives its results; `avals` are the results' avals (see
    /// [`Program::control_avals`]).
    pub fn control(&mut self, control: Control, args: &[NodeId], avals: Vec<Aval>, span: Span) -> Vec<NodeId> {
        self.push_tuple(NodeKind::Control(control), args, avals, span)
    }

    fn push_tuple(&mut self, kind: NodeKind, args: &[NodeId], avals: Vec<Aval>, span: Span) -> Vec<NodeId> {
        let tuple = self.push(kind, args, avals.iter().cloned().collect(), span);
        let get = |(i, aval)| self.push(NodeKind::Get(i), &[tuple], SmallVec::from_elem(aval, 1), span);
        avals.into_iter().enumerate().map(get).collect()
    }

    /// Says what the function returns.
    pub fn set_results(&mut self, results: Vec<NodeId>) {
        self.results = results;
    }

    /// What the function returns.
    pub fn results(&self) -> &[NodeId] {
        &self.results
    }

    /// The avals of the results.
    pub fn result_avals(&self) -> Vec<Aval> {
        self.results.iter().map(|r| self.aval(*r).clone()).collect()
    }

    /// The parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        (0..self.params).map(NodeId::from)
    }

    /// The avals of the parameters.
    pub fn param_avals(&self) -> Vec<Aval> {
        self.params().map(|p| self.aval(p).clone()).collect()
    }

    /// Every node with its id, operands before users.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> + ExactSizeIterator {
        self.nodes.iter().enumerate().map(|(i, n)| (NodeId::from(i), n))
    }

    /// Every node in order, to say anew what it applies; what it computes must stay the same.
    pub fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.iter_mut()
    }

    /// Number of nodes, parameters included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node of that id.
    ///
    /// # Panics
    /// If the function has no such node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The aval of a node that has one result.
    ///
    /// # Panics
    /// If the function has no such node, or if it is a tuple.
    pub fn aval(&self, id: NodeId) -> &Aval {
        let node = self.node(id);
        assert!(!node.kind.is_tuple(), "{id} is a tuple: take a result with `get`");
        &node.avals[0]
    }

    /// Whether it holds primitives alone: every transform has been expanded, and there are no loops
    /// and branches.
    pub fn is_plain(&self) -> bool {
        self.nodes.iter().all(|n| match n.kind {
            NodeKind::Param(_) | NodeKind::Op(_) => true,
            NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => false,
        })
    }

    /// The function with other parameters: parameter `i` of this one is the new one's parameter
    /// `places[i]`, which has its aval. It returns these results of this one.
    ///
    /// # Panics
    /// If there are fewer parameters or results than that.
    pub fn rearranged(
        &self,
        params: impl IntoIterator<Item = (Aval, Span)>,
        places: &[usize],
        results: impl IntoIterator<Item = usize>,
    ) -> Function {
        let mut new = Function::new(self.name.clone(), params);
        let mut chosen = self.clone();
        chosen.results = results.into_iter().map(|r| self.results[r]).collect();
        let args: Vec<NodeId> = places.iter().map(|p| NodeId::from(*p)).collect();
        let results = chosen.copy_into(&mut new, &args);
        new.results = results;
        new
    }

    /// Copies the nodes that the results depend on into another function, with `args` for the
    /// parameters; the results in the copy.
    ///
    /// # Panics
    /// If there are fewer `args` than parameters.
    pub fn copy_into(&self, into: &mut Function, args: &[NodeId]) -> Vec<NodeId> {
        let live = self.live();
        let mut at: Vec<NodeId> = Vec::with_capacity(self.len());
        for (id, node) in self.nodes() {
            at.push(match &node.kind {
                NodeKind::Param(i) => args[*i],
                // Never looked at: only dead nodes use dead nodes.
                NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_)
                    if !live[id.index()] =>
                {
                    id
                }
                kind @ (NodeKind::Op(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_)) => {
                    let args: SmallVec<[NodeId; 3]> = node.args.iter().map(|a| at[a.index()]).collect();
                    into.push(kind.clone(), &args, node.avals.clone(), node.span)
                }
            });
        }
        self.results.iter().map(|r| at[r.index()]).collect()
    }

    /// Which nodes the results depend on, by index.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        for r in &self.results {
            live[r.index()] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if live[i] {
                for a in &self.nodes[i].args {
                    live[a.index()] = true;
                }
            }
        }
        live
    }

    /// The dataflow graph: a node per node, an edge from operand to user labelled with the
    /// operand's position.
    pub fn dataflow(&self) -> DiGraph<NodeId, usize> {
        let mut graph = DiGraph::with_capacity(self.nodes.len(), self.nodes.len());
        let ids: Vec<_> = (0..self.nodes.len()).map(|i| graph.add_node(NodeId::from(i))).collect();
        for (user, node) in self.nodes() {
            for (position, arg) in node.args.iter().enumerate() {
                graph.add_edge(ids[arg.index()], ids[user.index()], position);
            }
        }
        graph
    }
}

/// Functions that apply transforms to one another; a function's callees come before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Program {
    functions: Vec<Function>,
}

impl Program {
    /// A program with no function.
    pub fn new() -> Program {
        Program::default()
    }

    /// Adds a function, which may apply transforms to the functions already there.
    pub fn add(&mut self, function: Function) -> FnId {
        self.functions.push(function);
        FnId::from(self.functions.len() - 1)
    }

    /// The function of that id.
    ///
    /// # Panics
    /// If the program has no such function.
    pub fn function(&self, id: FnId) -> &Function {
        &self.functions[id.index()]
    }

    /// Every function, callees before callers.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = (FnId, &Function)> {
        self.functions.iter().enumerate().map(|(i, f)| (FnId::from(i), f))
    }

    /// The function the program is about: the last one.
    ///
    /// # Panics
    /// If the program has no function.
    pub fn entry(&self) -> &Function {
        self.functions.last().expect("a program has an entry function")
    }

    /// The program about one of its functions: that one and the functions it needs, in their order.
    ///
    /// # Panics
    /// If the program has no such function.
    pub fn about(&self, entry: FnId) -> Program {
        let n = entry.index() + 1;
        let mut needed = vec![false; n];
        needed[entry.index()] = true;
        for i in (0..n).rev() {
            if needed[i] {
                for callee in self.functions[i].nodes.iter().flat_map(|node| node.kind.callees()) {
                    needed[callee.index()] = true;
                }
            }
        }
        let mut about = Program::new();
        let mut new: Vec<Option<FnId>> = vec![None; n];
        for i in (0..n).filter(|i| needed[*i]) {
            let mut function = self.functions[i].clone();
            for node in &mut function.nodes {
                node.kind = node.kind.over(|callee| new[callee.index()].expect("callees come before callers"));
            }
            new[i] = Some(about.add(function));
        }
        about
    }

    /// Per function a sum over its nodes with everything it applies written out: `weight` is given a
    /// node and, for one over functions, the sum of theirs (else 0); a loop counts as one step. Sums that overflow stay at
    /// the largest number.
    pub fn written_out(&self, weight: impl Fn(&NodeKind, usize) -> usize) -> Vec<usize> {
        let mut sums: Vec<usize> = Vec::with_capacity(self.functions.len());
        for f in &self.functions {
            let of = |node: &Node| {
                let callees = node.kind.callees();
                weight(&node.kind, callees.iter().fold(0, |sum, callee| sum.saturating_add(sums[callee.index()])))
            };
            sums.push(f.nodes.iter().fold(0, |sum: usize, node| sum.saturating_add(of(node))));
        }
        sums
    }

    /// The avals of the results of `transform` applied to `callee` with operands of these avals.
    ///
    /// # Errors
    /// If the operands don't fit: their number, avals, mapped axes or differentiated types.
    pub fn apply_avals(&self, transform: &Transform, callee: FnId, args: &[Aval]) -> Result<Vec<Aval>> {
        infer::apply(transform, self.function(callee), args)
    }

    /// The avals of the results of a loop or branch with operands of these avals.
    ///
    /// # Errors
    /// If there is no such function, or the functions or the operands don't fit: their number, a
    /// carry whose type changes, branches that differ.
    pub fn control_avals(&self, control: &Control, args: &[Aval]) -> Result<Vec<Aval>> {
        infer::control(control, self, args)
    }

    /// Whether the entry, or a function it needs, has a loop or a branch.
    pub fn has_control(&self) -> bool {
        self.has(|n| matches!(n.kind, NodeKind::Control(_)))
    }

    /// Whether the entry, or a function it needs, leaves the compiler a choice ([`Control::Either`]).
    pub fn has_choices(&self) -> bool {
        self.has(|n| matches!(n.kind, NodeKind::Control(Control::Either { .. })))
    }

    fn has(&self, what: impl Fn(&Node) -> bool) -> bool {
        self.functions.iter().any(|f| f.nodes.iter().any(&what))
    }
}

/// The error of what looks at the elements of a batch where there is no batch.
pub fn no_batch(control: &Control) -> Error {
    Error::axis(format!(
        "`{}` is over the elements of a batch, and there is no `vmap` around it for them",
        control.name()
    ))
}

/// Moves axis `from` to position `to`, as a permutation for [`Op::Transpose`].
pub fn move_axis(rank: usize, from: usize, to: usize) -> Axes {
    let mut perm: Axes = (0..rank).filter(|a| *a != from).collect();
    perm.insert(to, from);
    perm
}

/// An [`Error::Internal`] about a function that should have been plain.
pub fn not_plain(f: &Function) -> Error {
    Error::internal(format!("function `{}` still applies transforms, loops or branches", f.name))
}
