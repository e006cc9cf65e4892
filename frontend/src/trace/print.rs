//! Tokens: how what is printed stays in order.
//!
//! A print takes the token of the print before it and gives one, so it is computed if the last token
//! is, and none is mistaken for another. A function that prints has its last token as a last result,
//! which becomes what its caller has printed last. Loops carry it.

use super::{Session, Tensor, on_session, resolve};
use crate::raise;
use egrad_ir::op::Axes;
use egrad_ir::{
    Aval, Control, Dtype, Error, FnId, Function, Literal, NodeId, NodeKind, Op, Reduce, Result, Shape, Span, Transform,
};
use smallvec::{SmallVec, smallvec};

/// Records a print of these values, after all that have been recorded.
#[track_caller]
pub(crate) fn print(format: &str, values: &[Tensor], span: Span) {
    let mut ids = raise::get(resolve(values, span));
    let recorded = on_session(span, |session| {
        ids.insert(0, session.token_or_first(span)?);
        let control = Control::Print { format: format.to_owned(), levels: Vec::new() };
        let frame = session.top();
        let avals: Vec<Aval> = ids.iter().map(|a| frame.nodes[a.index()].avals[0].clone()).collect();
        let results = session.program.control_avals(&control, &avals).map_err(|e| e.at(span))?;
        let frame = session.top();
        let node = frame.push(NodeKind::Control(control), &ids, results.into(), span);
        frame.token = Some(frame.push(NodeKind::Get(0), &[node], smallvec![token()], span));
        Ok(())
    });
    raise::get(recorded);
}

fn token() -> Aval {
    Aval::new(Dtype::I32, Shape::scalar())
}

/// What a function is taken with other parameters by.
fn params(f: &Function) -> Vec<(Aval, Span)> {
    f.params().map(|p| (f.aval(p).clone(), f.node(p).span)).collect()
}

impl Session {
    /// What has been printed last, as a node of the innermost frame.
    fn token(&mut self) -> Option<NodeId> {
        let own = self.frames.iter().rev().find_map(|f| Some(Tensor::new(f.id, f.token?)));
        let first = || Some(Tensor::new(self.frames.first()?.id, self.start?));
        let last = own.or_else(first)?;
        self.resolve(last)
    }

    fn token_or_first(&mut self, span: Span) -> Result<NodeId> {
        if self.start.is_none() {
            let zero = NodeKind::Op(Op::Constant(Literal::new(Dtype::I32, 0.0)));
            self.start = Some(self.frames[0].push(zero, &[], smallvec![token()], span));
        }
        self.token().ok_or_else(|| Error::internal("nothing to print after"))
    }

    /// Where the token is among these operands.
    fn place(&mut self, ids: &[NodeId]) -> Result<usize> {
        let token = self.token();
        let place = ids.iter().position(|id| Some(*id) == token);
        place.ok_or_else(|| Error::internal("a loop or branch that prints isn't given the last token"))
    }

    /// What to record in place of a node over functions, if any of these prints, with the place of the
    /// token among its results.
    ///
    /// # Errors
    /// If what prints has to have no effects.
    pub(super) fn threaded(
        &mut self,
        kind: NodeKind,
        ids: &mut SmallVec<[NodeId; 3]>,
    ) -> Result<(NodeKind, Option<usize>)> {
        if !kind.callees().iter().any(|f| self.printing.contains(f)) {
            return Ok((kind, None));
        }
        let (control, place) = match kind {
            NodeKind::Apply(transform, callee) => {
                let last = self.program.function(callee).results().len() - 1;
                return Ok((NodeKind::Apply(self.threaded_transform(transform, callee)?, callee), Some(last)));
            }
            NodeKind::Control(Control::Scan { body, consts, carry, length, reverse }) => {
                let at = self.place(&ids[..consts])?;
                let body = self.carried(body, at, consts, carry);
                let token = ids.remove(at);
                ids.insert(consts - 1 + carry, token);
                (Control::Scan { body, consts: consts - 1, carry: carry + 1, length, reverse }, carry)
            }
            NodeKind::Control(Control::While { cond, body, cond_consts, body_consts }) => {
                if self.printing.contains(&cond) {
                    let m = "`debug_print` in the condition of a `while_loop` is not supported: print in its body";
                    return Err(Error::trace(m));
                }
                let carry = ids.len() - cond_consts - body_consts;
                let at = self.place(&ids[cond_consts..cond_consts + body_consts])?;
                let body = self.carried(body, at, body_consts, carry);
                let asked = self.program.function(cond);
                let places: Vec<usize> = (0..cond_consts + carry).collect();
                let signature = params(asked).into_iter().chain([(token(), Span::Unknown)]);
                let asked = asked.rearranged(signature, &places, [0]);
                let cond = self.intern(asked);
                let token = ids.remove(cond_consts + at);
                ids.push(token);
                (Control::While { cond, body, cond_consts, body_consts: body_consts - 1 }, carry)
            }
            NodeKind::Control(Control::Switch { branches }) => {
                let at = self.place(&ids[1..])?;
                let mut last = 0;
                let mut threaded = Vec::with_capacity(branches.len());
                for branch in branches {
                    let mut function = self.program.function(branch).clone();
                    if !self.printing.contains(&branch) {
                        // It has printed what had been printed before.
                        let results = function.results().iter().copied().chain([NodeId::from(at)]).collect();
                        function.set_results(results);
                    }
                    last = function.results().len() - 1;
                    threaded.push(self.intern(function));
                }
                (Control::Switch { branches: threaded }, last)
            }
            NodeKind::Control(
                Control::Either { .. } | Control::AllGather { .. } | Control::AxisIndex { .. } | Control::Print { .. },
            )
            | NodeKind::Param(_)
            | NodeKind::Op(_)
            | NodeKind::Get(_) => return Err(Error::internal("a node over no function")),
        };
        Ok((NodeKind::Control(control), Some(place)))
    }

    /// The transform of a function that prints.
    fn threaded_transform(&self, transform: Transform, callee: FnId) -> Result<Transform> {
        Ok(match transform {
            Transform::Vmap { in_axes, mut out_axes, size } => {
                out_axes.push(0);
                Transform::Vmap { in_axes, out_axes, size }
            }
            Transform::CustomJvp { .. } | Transform::CustomVjp { .. } => {
                let m = format!(
                    "`debug_print` in `{}`, which has a derivative of its own, is not supported: print outside of it",
                    self.program.function(callee).name
                );
                return Err(Error::trace(m));
            }
            Transform::Call
            | Transform::Jvp { .. }
            | Transform::Vjp { .. }
            | Transform::Checkpoint { .. }
            | Transform::Named { .. } => transform,
        })
    }

    /// A loop's body, which takes its token as the constant at that place and gives it at last, with the
    /// token as the last of what is carried.
    fn carried(&mut self, body: FnId, at: usize, consts: usize, carry: usize) -> FnId {
        let function = self.program.function(body);
        let fixed = consts + carry;
        let mut signature = params(function);
        let token = signature.remove(at);
        signature.insert(fixed - 1, token);
        let place = |i: usize| match i {
            i if i == at => fixed - 1,
            i if i > at && i < fixed => i - 1,
            i => i,
        };
        let places: Vec<usize> = (0..signature.len()).map(place).collect();
        let last = function.results().len() - 1;
        let results = (0..carry).chain([last]).chain(carry..last);
        let carried = function.rearranged(signature, &places, results);
        self.intern(carried)
    }

    /// Notes the token that a node over functions gave. If the node wasn't given the last one, what it
    /// prints has been printed: the function has been applied before. It doesn't print again.
    pub(super) fn printed(&mut self, token: NodeId, operands: &[NodeId], span: Span) -> Result<()> {
        let before = self.token();
        if !operands.iter().any(|id| Some(*id) == before) {
            return Ok(());
        }
        let frame = self.top();
        // Of a batch, one for all elements.
        frame.token = Some(match frame.nodes[token.index()].avals[0].shape.rank() {
            0 => token,
            _ => {
                let join = NodeKind::Op(Op::Reduce { kind: Reduce::Max, axes: Axes::from_slice(&[0]) });
                frame.push(join, &[token], smallvec![self::token()], span)
            }
        });
        Ok(())
    }
}
