//! Traces: what operators record into.
//!
//! Each thread has a stack of *sessions*, one per function being traced from a door (`jit`,
//! `eager`, [`trace()`]); a session has a stack of *frames*, one per function being built: the
//! traced function itself and, inside, each function that a transform is applied to. An operator
//! records into the innermost frame. A [`Tensor`] names its frame by a number that no other frame
//! of the process has, so a tensor whose trace has ended is told apart from every living one.
//!
//! Functions are closed when they are finished: a tensor of an outer frame becomes a parameter of
//! each frame between, and an operand of the node that applies the transform. Outer transforms so
//! see what inner functions capture. Concrete arrays become parameters of the outermost function,
//! its *hidden inputs*.
//!
//! What a function prints is threaded through it by a token (`print.rs`), which is captured like any
//! tensor, and a last, hidden result of what prints.
//!
//! The user's code never runs while the stack is borrowed.

mod print;

pub(crate) use print::print;

use crate::raise;
use crate::tensor::Tensor;
use egrad_ir::builder::Recorder;
use egrad_ir::graph::NodeKind;
use egrad_ir::{
    Array, Aval, Control, Error, FnId, Function, Literal, Node, NodeId, Op, Program, Result, Span, Transform, infer,
};
use hashbrown::{HashMap, HashSet};
use smallvec::{SmallVec, smallvec};
use std::cell::RefCell;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static SESSIONS: RefCell<Vec<Session>> = const { RefCell::new(Vec::new()) };
}

/// The next frame's number. Frames of all threads are numbered together.
static NEXT_FRAME: AtomicU64 = AtomicU64::new(1);

/// A trace from a door.
#[derive(Default)]
struct Session {
    frames: Vec<Frame>,
    /// Finished functions.
    program: Program,
    /// Finished functions by a hash of what they compute, so that equal ones are stored once.
    known: HashMap<u64, Vec<FnId>>,
    /// Concrete arrays captured, with their parameter of the outermost frame.
    constants: Vec<(Array, NodeId)>,
    /// Finished functions that print: a token is the last of their results, which nobody outside of
    /// this module counts.
    printing: HashSet<FnId>,
    /// The token that nothing is printed before, of the outermost frame.
    start: Option<NodeId>,
}

/// A function being built. Parameters for captured values turn up among the other nodes; they are
/// brought to the front when the frame is finished.
struct Frame {
    id: u64,
    name: String,
    nodes: Vec<Node>,
    /// How many parameters the function was declared with.
    declared: usize,
    /// The captured values, in order of first use: nodes of the frame outside, each with the
    /// parameter it became.
    captures: Vec<(NodeId, NodeId)>,
    captured: HashMap<NodeId, NodeId>,
    /// If the function is being mapped over a batch, that.
    axis: Option<Axis>,
    /// What it has printed last.
    token: Option<NodeId>,
}

/// A batch that a function is mapped over.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What the user calls it, if anything.
    pub(crate) name: Option<Rc<str>>,
    /// How many elements it has.
    pub(crate) size: usize,
}

impl Frame {
    fn new(name: String, params: Vec<(Aval, Span)>) -> Frame {
        let mut frame = Frame {
            id: NEXT_FRAME.fetch_add(1, Ordering::Relaxed),
            name,
            declared: params.len(),
            nodes: Vec::with_capacity(params.len() + 16),
            captures: Vec::new(),
            captured: HashMap::new(),
            axis: None,
            token: None,
        };
        for (aval, span) in params {
            frame.add_param(aval, span);
        }
        frame
    }

    fn push(&mut self, kind: NodeKind, args: &[NodeId], avals: SmallVec<[Aval; 1]>, span: Span) -> NodeId {
        self.nodes.push(Node { kind, args: args.into(), avals, span });
        NodeId::from(self.nodes.len() - 1)
    }

    /// A parameter; its position is settled by [`finish`](Self::finish).
    fn add_param(&mut self, aval: Aval, span: Span) -> NodeId {
        self.push(NodeKind::Param(usize::MAX), &[], smallvec![aval], span)
    }

    /// The function and the values it captures that its results depend on.
    fn finish(self, results: &[NodeId], extra: &[NodeId]) -> (Function, Vec<NodeId>) {
        let mut live = vec![false; self.nodes.len()];
        for r in results {
            live[r.index()] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if live[i] {
                for a in &self.nodes[i].args {
                    live[a.index()] = true;
                }
            }
        }
        let mut new: Vec<Option<NodeId>> = vec![None; self.nodes.len()];
        let captures: Vec<_> = self.captures.iter().filter(|(_, inner)| live[inner.index()]).copied().collect();
        let params = (0..self.declared)
            .map(NodeId::from)
            .chain(captures.iter().map(|(_, inner)| *inner))
            .chain(extra.iter().copied());
        let params: Vec<NodeId> = params.collect();
        let avals = params.iter().map(|p| {
            let node = &self.nodes[p.index()];
            (node.avals[0].clone(), node.span)
        });
        let mut function = Function::new(self.name, avals);
        for (position, p) in params.iter().enumerate() {
            new[p.index()] = Some(NodeId::from(position));
        }
        for (i, node) in self.nodes.into_iter().enumerate() {
            if live[i] && new[i].is_none() {
                let at = |a: &NodeId| new[a.index()].expect("operands come before their users");
                let args: SmallVec<[NodeId; 3]> = node.args.iter().map(at).collect();
                new[i] = Some(function.push(node.kind, &args, node.avals, node.span));
            }
        }
        function.set_results(results.iter().map(|r| new[r.index()].expect("results are live")).collect());
        (function, captures.into_iter().map(|(outer, _)| outer).collect())
    }
}

impl Session {
    fn top(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("a session has a frame while it is active")
    }

    /// The node of the innermost frame that stands for a tensor, captured if need be.
    fn resolve(&mut self, t: Tensor) -> Option<NodeId> {
        let depth = self.frames.iter().rposition(|f| f.id == t.frame)?;
        let mut id = t.node;
        for inner in depth + 1..self.frames.len() {
            let outside = &self.frames[inner - 1].nodes[id.index()];
            let (aval, span) = (outside.avals[0].clone(), outside.span);
            let frame = &mut self.frames[inner];
            id = match frame.captured.get(&id) {
                Some(known) => *known,
                None => {
                    let param = frame.add_param(aval, span);
                    frame.captures.push((id, param));
                    frame.captured.insert(id, param);
                    param
                }
            };
        }
        Some(id)
    }

    /// Stores a finished function, or finds the equal one already stored.
    fn intern(&mut self, function: Function) -> FnId {
        let key = |f: &Function| {
            let mut h = DefaultHasher::new();
            f.hash(&mut h);
            h.finish()
        };
        let known = self.known.entry(key(&function)).or_default();
        if let Some(id) = known.iter().find(|id| *self.program.function(**id) == function) {
            return *id;
        }
        let id = self.program.add(function);
        known.push(id);
        id
    }
}

/// Pops what was pushed since, whether the code between returned or unwound.
struct Pop {
    sessions: usize,
    frames: usize,
}

impl Drop for Pop {
    fn drop(&mut self) {
        SESSIONS.with_borrow_mut(|s| {
            s.truncate(self.sessions);
            if let Some(session) = s.last_mut() {
                session.frames.truncate(self.frames);
            }
        });
    }
}

/// Whether this thread is tracing.
pub(crate) fn is_active() -> bool {
    SESSIONS.with_borrow(|s| !s.is_empty())
}

/// The numbers of the current session's frames, outermost first.
pub(crate) fn frames() -> SmallVec<[u64; 4]> {
    SESSIONS.with_borrow(|s| s.last().map(|session| session.frames.iter().map(|f| f.id).collect()).unwrap_or_default())
}

/// The literal that a tensor is, if it is one.
pub(crate) fn constant_of(t: Tensor) -> Option<Literal> {
    let literal = |node: &Node| if let NodeKind::Op(Op::Constant(literal)) = node.kind { Some(literal) } else { None };
    find(t, Span::Unknown, literal).ok().flatten()
}

/// The error of a tensor that is not of the current session.
fn stray(sessions: &[Session], t: Tensor, span: Span) -> Error {
    let frame = sessions.iter().flat_map(|s| &s.frames).find(|f| f.id == t.frame);
    match frame {
        Some(frame) => Error::trace(
            "a tensor of an enclosing trace can't be used in a function run on arrays: pass it as an argument, \
             or call the inner function in traced code with `.call(..)`",
        )
        .at(span)
        .note("the tensor was made here", frame.nodes[t.node.index()].span),
        None => Error::trace(
            "this tensor's trace has ended: a tensor can't be kept beyond the function it was made in, \
             nor used in another thread; return it, and use the array that comes out",
        )
        .at(span),
    }
}

fn inactive(span: Span) -> Error {
    let m =
        "tensors exist only while a function is traced: call this inside a function given to `jit`, `eager` or `trace`";
    Error::trace(m).at(span)
}

/// Runs `f` on the current session.
fn on_session<T>(span: Span, f: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
    SESSIONS.with_borrow_mut(|s| match s.last_mut() {
        Some(session) => f(session),
        None => Err(inactive(span)),
    })
}

/// The nodes of the innermost frame that stand for these tensors.
fn resolve(tensors: &[Tensor], span: Span) -> Result<SmallVec<[NodeId; 3]>> {
    SESSIONS.with_borrow_mut(|s| {
        let mut ids = SmallVec::new();
        for t in tensors {
            match s.last_mut().and_then(|session| session.resolve(*t)) {
                Some(id) => ids.push(id),
                None => return Err(stray(s, *t, span)),
            }
        }
        Ok(ids)
    })
}

/// Records a primitive as it stands.
#[track_caller]
pub(crate) fn add(op: Op, args: &[Tensor], span: Span) -> Tensor {
    raise::get(Tape.record(op, args, span))
}

/// Records an elementwise primitive, its operands broadcast to one shape.
#[track_caller]
pub(crate) fn elementwise(op: Op, args: &[Tensor], span: Span) -> Tensor {
    raise::get(Tape.elementwise(op, args, span))
}

/// The innermost frame, as what operations are recorded into.
pub(crate) struct Tape;

impl Recorder for Tape {
    type Value = Tensor;

    fn aval_of(&self, t: Tensor) -> Result<Aval> {
        find(t, Span::Unknown, |node| node.avals[0].clone())
    }

    fn span_of(&self, t: Tensor) -> Span {
        find(t, Span::Unknown, |node| node.span).unwrap_or_default()
    }

    fn record(&mut self, op: Op, args: &[Tensor], span: Span) -> Result<Tensor> {
        let ids = resolve(args, span)?;
        let recorded = on_session(span, |session| {
            let frame = session.top();
            let inferred = {
                let avals: SmallVec<[&Aval; 3]> = ids.iter().map(|a| &frame.nodes[a.index()].avals[0]).collect();
                infer::infer(&op, &avals)
            };
            inferred.map(|aval| Tensor::new(frame.id, frame.push(NodeKind::Op(op), &ids, smallvec![aval], span)))
        });
        recorded.map_err(|e| self.blame(e, args, span))
    }
}

/// Records a transform of a function, and its results.
#[track_caller]
pub(crate) fn apply(transform: Transform, callee: FnId, args: &[Tensor], span: Span) -> Vec<Tensor> {
    tuple(NodeKind::Apply(transform, callee), args, span)
}

/// Records a loop or a branch, and its results.
#[track_caller]
pub(crate) fn control(control: Control, args: &[Tensor], span: Span) -> Vec<Tensor> {
    tuple(NodeKind::Control(control), args, span)
}

/// Stores a function inside the current trace that is another one with other parameters (see
/// [`Function::rearranged`]).
#[track_caller]
pub(crate) fn rearranged(f: FnId, params: &[(Aval, Span)], places: &[usize], span: Span) -> FnId {
    let rearranged = on_session(span, |session| {
        let function = session.program.function(f);
        let function = function.rearranged(params.iter().cloned(), places, 0..function.results().len());
        let rearranged = session.intern(function);
        if session.printing.contains(&f) {
            session.printing.insert(rearranged);
        }
        Ok(rearranged)
    });
    raise::get(rearranged)
}

/// Records a node over functions, and its results.
#[track_caller]
fn tuple(kind: NodeKind, args: &[Tensor], span: Span) -> Vec<Tensor> {
    let mut ids = raise::get(resolve(args, span));
    let applied = on_session(span, |session| {
        let (kind, token) = session.threaded(kind, &mut ids).map_err(|e| e.at(span))?;
        let avals: Vec<Aval> = {
            let frame = session.top();
            ids.iter().map(|a| frame.nodes[a.index()].avals[0].clone()).collect()
        };
        let results = match &kind {
            NodeKind::Apply(transform, callee) => session.program.apply_avals(transform, *callee, &avals),
            NodeKind::Control(control) => session.program.control_avals(control, &avals),
            NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => Err(Error::internal("a node over no function")),
        };
        let results = results.map_err(|e| e.at(span))?;
        let frame = session.top();
        let node = frame.push(kind, &ids, results.iter().cloned().collect(), span);
        let get = |(i, aval)| Tensor::new(frame.id, frame.push(NodeKind::Get(i), &[node], smallvec![aval], span));
        let mut results: Vec<Tensor> = results.into_iter().enumerate().map(get).collect();
        if let Some(place) = token {
            let token = results.remove(place);
            session.printed(token.node, &ids, span)?;
        }
        Ok(results)
    });
    raise::get(applied)
}

/// A literal as a scalar tensor.
#[track_caller]
pub(crate) fn literal(literal: Literal, span: Span) -> Tensor {
    add(Op::Constant(literal), &[], span)
}

/// An array as a tensor: a literal where it is a scalar, else a hidden input of the outermost
/// function.
#[track_caller]
pub(crate) fn constant(array: &Array, span: Span) -> Tensor {
    if array.shape().rank() == 0 {
        if let Err(e) = array.fetch() {
            raise::throw(e.at(span));
        }
        return add(Op::Constant(array.literal(0)), &[], span);
    }
    let tensor = on_session(span, |session| {
        let same = |a: &Array| a.shares_elements_with(array) && a.aval() == array.aval();
        let known = session.constants.iter().find(|(a, _)| same(a)).map(|(_, param)| *param);
        let outermost = &mut session.frames[0];
        let param = known.unwrap_or_else(|| outermost.add_param(array.aval().clone(), span));
        let tensor = Tensor::new(outermost.id, param);
        if known.is_none() {
            session.constants.push((array.clone(), param));
        }
        Ok(tensor)
    });
    raise::get(tensor)
}

/// A tensor's aval.
#[track_caller]
pub(crate) fn aval(t: Tensor, span: Span) -> Aval {
    look(t, span, |node| node.avals[0].clone())
}

/// Reads something off a tensor's node.
#[track_caller]
pub(crate) fn look<T>(t: Tensor, span: Span, f: impl FnOnce(&Node) -> T) -> T {
    raise::get(find(t, span, f))
}

fn find<T>(t: Tensor, span: Span, f: impl FnOnce(&Node) -> T) -> Result<T> {
    SESSIONS.with_borrow(|s| {
        let frame = s.last().and_then(|session| session.frames.iter().rfind(|f| f.id == t.frame));
        match frame {
            Some(frame) => Ok(f(&frame.nodes[t.node.index()])),
            None => Err(stray(s, t, span)),
        }
    })
}

/// A function that a transform is about to be applied to.
pub(crate) struct Inner<R> {
    /// The function: its parameters are those it was traced with, then one per capture.
    pub(crate) function: FnId,
    /// What it captures from outside.
    pub(crate) captures: Vec<Tensor>,
    /// The avals of its results.
    pub(crate) results: Vec<Aval>,
    /// What the body returned beside the results.
    pub(crate) extra: R,
}

/// The batch of that name around: how many others are between, and how many elements it has.
///
/// # Errors
/// If there is none, naming those there are.
pub(crate) fn batch(what: &str, name: &str, span: Span) -> Result<(usize, usize)> {
    on_session(span, |session| {
        let axes: Vec<&Axis> = session.frames.iter().rev().filter_map(|f| f.axis.as_ref()).collect();
        if let Some(up) = axes.iter().position(|axis| axis.name.as_deref() == Some(name)) {
            return Ok((up, axes[up].size));
        }
        let known: Vec<String> = axes.iter().filter_map(|a| a.name.as_ref()).map(|n| format!("`{n}`")).collect();
        let known = match known.is_empty() {
            true => "none around has a name".to_owned(),
            false => format!("those around are called {}", known.join(", ")),
        };
        let m = format!("`{what}`: no `vmap_named` around calls its elements `{name}`; {known}");
        Err(Error::axis(m).at(span))
    })
}

/// Traces a function inside the current trace.
#[track_caller]
pub(crate) fn inner<R>(
    name: String,
    params: Vec<(Aval, Span)>,
    span: Span,
    body: impl FnOnce(&[Tensor]) -> (Vec<Tensor>, R),
) -> Inner<R> {
    inner_over(None, name, params, span, body)
}

/// As [`inner`], of a function that is to be mapped over a batch.
#[track_caller]
pub(crate) fn inner_over<R>(
    axis: Option<Axis>,
    name: String,
    params: Vec<(Aval, Span)>,
    span: Span,
    body: impl FnOnce(&[Tensor]) -> (Vec<Tensor>, R),
) -> Inner<R> {
    let n = params.len();
    let (pop, frame) = SESSIONS.with_borrow_mut(|s| {
        let sessions = s.len();
        let Some(session) = s.last_mut() else { return (None, 0) };
        let pop = Pop { sessions, frames: session.frames.len() };
        let frame = Frame { axis, ..Frame::new(name, params) };
        let id = frame.id;
        session.frames.push(frame);
        (Some(pop), id)
    });
    let Some(pop) = pop else { raise::throw(inactive(span)) };
    let params: SmallVec<[Tensor; 8]> = (0..n).map(|i| Tensor::new(frame, NodeId::from(i))).collect();
    let (results, extra) = body(&params);
    let mut ids = raise::get(resolve(&results, span));
    let inner = on_session(span, |session| {
        let frame = session.frames.pop().expect("the frame pushed above");
        let prints = frame.token.is_some();
        ids.extend(frame.token);
        let (function, captures) = frame.finish(&ids, &[]);
        let outside = session.top().id;
        let captures = captures.into_iter().map(|id| Tensor::new(outside, id)).collect();
        let mut results = function.result_avals();
        let function = session.intern(function);
        if prints {
            results.pop();
            session.printing.insert(function);
        }
        Ok(Inner { function, captures, results, extra })
    });
    drop(pop);
    raise::get(inner)
}

/// Whether a finished function prints.
pub(crate) fn prints(function: FnId) -> bool {
    SESSIONS.with_borrow(|s| s.last().is_some_and(|session| session.printing.contains(&function)))
}

/// The function with only these of its results. It prints nothing.
#[track_caller]
pub(crate) fn select(function: FnId, results: &[usize]) -> FnId {
    let selected = on_session(Span::Unknown, |session| {
        let mut selected = session.program.function(function).clone();
        selected.set_results(results.iter().map(|r| selected.results()[*r]).collect());
        Ok(session.intern(selected))
    });
    raise::get(selected)
}

/// A traced program with the arrays it captured.
#[derive(Clone, Debug)]
pub(crate) struct Traced<R> {
    /// The program; its entry has the declared parameters, then one per hidden input. If it prints, a
    /// token comes after its results.
    pub(crate) program: Program,
    /// Arrays the function captured, for the last parameters.
    pub(crate) hidden: Vec<Array>,
    /// What the body returned beside the results.
    pub(crate) extra: R,
}

/// Traces a function from a door.
pub(crate) fn outermost<R>(
    name: String,
    params: Vec<(Aval, Span)>,
    span: Span,
    body: impl FnOnce(&[Tensor]) -> (Vec<Tensor>, R),
) -> Result<Traced<R>> {
    let n = params.len();
    let frame = Frame::new(name, params);
    let id = frame.id;
    let pop = SESSIONS.with_borrow_mut(|s| {
        let pop = Pop { sessions: s.len(), frames: s.last().map_or(0, |session| session.frames.len()) };
        s.push(Session { frames: vec![frame], ..Session::default() });
        pop
    });
    let traced = raise::catch(|| {
        let params: SmallVec<[Tensor; 8]> = (0..n).map(|i| Tensor::new(id, NodeId::from(i))).collect();
        let (results, extra) = body(&params);
        Ok((resolve(&results, span)?, extra))
    });
    let session = SESSIONS.with_borrow_mut(|s| s.pop());
    drop(pop);
    let (mut results, extra) = traced?;
    let Some(mut session) = session else { return Err(Error::internal("the trace vanished while it was active")) };
    let frame = session.frames.swap_remove(0);
    results.extend(frame.token);
    let (hidden, positions): (Vec<Array>, Vec<NodeId>) = session.constants.into_iter().unzip();
    let (entry, _) = frame.finish(&results, &positions);
    let entry = session.program.add(entry);
    Ok(Traced { program: session.program.about(entry), hidden, extra })
}

/// A function's name for people, from its type's.
pub(crate) fn name_of<F>() -> String {
    let full = std::any::type_name::<F>();
    // What transforms return has no name of its own.
    if full.contains("Box<dyn") || full.contains("::Vmapped<") {
        return "f".to_owned();
    }
    let full = full.split_once("Jit<").map_or(full, |(_, inside)| inside);
    let path = full.split(['<', ',', '>']).next().unwrap_or(full);
    let named = path.rsplit("::").find(|segment| !segment.starts_with('{')).unwrap_or(path);
    let word: String = named.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if word.is_empty() { "f".to_owned() } else { word }
}

/// A tensor's aval, if its trace lives.
pub(crate) fn peek(t: Tensor) -> Option<Aval> {
    SESSIONS.with_borrow(|s| {
        let frame = s.iter().flat_map(|session| &session.frames).find(|f| f.id == t.frame)?;
        frame.nodes.get(t.node.index()).map(|n| n.avals[0].clone())
    })
}
