//! Loops and branches as the launches that run them.
//!
//! What a loop carries has two places: a step reads one and writes the other. A copy fills the first
//! before the loop, and another one takes what the last step left.
//!
//! A condition is computed on the device. Where a step or a branch is few launches, whoever runs them
//! needn't look: the launches have a *guard*, a number that another kernel computed beside, and do
//! nothing where it is 0. So all branches are launched, of which one works, and many steps of a loop,
//! of which those beyond the last do nothing. Everywhere else, what the device computed is read before
//! it is known what to launch.

use super::batch::Placed;
use super::tree::{Expansion, Scope};
use super::{Answer, Asks, Guard, Node, Repeat, While};
use egrad_ir::kernel::{
    Affine, Body, Inst, Kernel, LoopNest, Operand, Pass, Scan, Slot, Store, Switch, ValueId, While as WhileKernel,
};
use egrad_ir::op::{Binary, Compare};
use egrad_ir::schedule::{Buffer, Schedule};
use egrad_ir::{Dtype, Literal, Numerics, Result};

/// A branch, or a step of a loop that ends by a condition, is guarded up to so many launches.
const MOST_GUARDED: usize = 64;

/// Whether what a function runs depends on what it computes: then the elements of a batch can't run
/// together.
pub(super) fn decides(schedule: &Schedule) -> bool {
    schedule.steps.iter().any(|step| match &step.kernel.body {
        Body::While(_) | Body::Switch(_) => true,
        Body::Loops(_) | Body::Contract(_) | Body::Scatter(_) | Body::Argsort(_) | Body::Linalg(_) | Body::Print(_) => {
            false
        }
        Body::Call(call) => decides(&call.callee),
        Body::Scan(scan) => decides(&scan.body),
    })
}

/// About how many launches a function is; `None` if that is known only when it runs.
fn size(schedule: &Schedule) -> Option<usize> {
    let mut all = 0usize;
    for step in &schedule.steps {
        let own = match &step.kernel.body {
            Body::Loops(_) | Body::Contract(_) => 1,
            Body::Scatter(_) | Body::Argsort(_) => 2,
            Body::Print(_) => 0,
            // Refused when it is spread.
            Body::Linalg(_) => 1,
            Body::Call(call) if decides(&call.callee) => size(&call.callee)?.saturating_mul(call.count),
            Body::Call(call) => size(&call.callee)?,
            Body::Scan(scan) => size(&scan.body)?.saturating_mul(scan.length).saturating_add(2 * scan.carry),
            Body::While(_) => return None,
            Body::Switch(switch) => guarded(&switch.branches.iter().map(|b| &**b).collect::<Vec<_>>())?,
        };
        all = all.saturating_add(own);
    }
    Some(all)
}

/// About how many launches these functions are, if they are few enough to be guarded.
fn guarded(schedules: &[&Schedule]) -> Option<usize> {
    let sizes = schedules.iter().map(|s| size(s));
    let all = sizes.sum::<Option<usize>>()?;
    (all <= MOST_GUARDED).then_some(all + 1)
}

/// What a loop carries: per carry its buffer, its two places and how far they are apart.
struct Carried(Vec<(Buffer, Placed, usize)>);

impl Carried {
    /// Each where a counter says.
    fn by(&self, counter: usize) -> impl Iterator<Item = Placed> {
        self.0.iter().map(move |(_, place, apart)| place.moved(counter, *apart))
    }
}

impl Expansion<'_> {
    /// Places for what a function carries that has these inputs from `first` on, filled with what is
    /// there before the loop.
    fn carry<'a>(
        &mut self,
        nodes: &mut Vec<Node>,
        body: &Schedule,
        first: usize,
        from: impl Iterator<Item = &'a Placed>,
        scope: &Scope,
    ) -> Result<Carried> {
        let mut all = Vec::new();
        for (from, (id, _)) in from.zip(&body.inputs[first..]) {
            let buffer = body.buffer(*id).clone();
            let (place, apart) = self.places(&buffer, 2, scope)?;
            self.copy(nodes, &buffer, from, &place, scope);
            all.push((buffer, place, apart));
        }
        Ok(Carried(all))
    }

    /// A loop of known length.
    pub(super) fn scan(
        &mut self,
        nodes: &mut Vec<Node>,
        kernel: &Kernel,
        s: &Scan,
        at: &[Placed],
        scope: &Scope,
    ) -> Result<()> {
        let of = |slot: &Slot| &at[slot.operand];
        let fixed = s.consts + s.carry;
        if s.length == 0 {
            for ((from, to), (id, _)) in
                s.inputs[s.consts..fixed].iter().zip(&s.outputs).zip(&s.body.inputs[s.consts..])
            {
                self.copy(nodes, s.body.buffer(*id), of(from), of(to), scope);
            }
            return Ok(());
        }
        let carried = self.carry(nodes, &s.body, s.consts, s.inputs[s.consts..fixed].iter().map(of), scope)?;
        let carries = s.carry > 0;
        let (counter, inner) = scope.counting(&[s.length, 2, 2][..if carries { 3 } else { 1 }], kernel)?;
        let stepped = |slot: &Slot| of(slot).moved(counter, slot.stride);
        let consts = s.inputs[..s.consts].iter().map(|slot| of(slot).clone());
        let inputs = consts.chain(carried.by(counter + 1)).chain(s.inputs[fixed..].iter().map(stepped)).collect();
        let outputs = carried.by(counter + 2).chain(s.outputs[s.carry..].iter().map(stepped)).collect();
        let mut body = Vec::new();
        self.schedule(&mut body, &s.body, inputs, outputs, &inner)?;
        nodes.push(Node::Repeat(Repeat { counter, length: s.length, reverse: s.reverse, carries, body }));
        for ((buffer, place, apart), to) in carried.0.iter().zip(&s.outputs) {
            self.copy(nodes, buffer, &place.from(s.length % 2 * apart), of(to), scope);
        }
        Ok(())
    }

    /// A loop that ends by a condition.
    pub(super) fn repeat(
        &mut self,
        nodes: &mut Vec<Node>,
        kernel: &Kernel,
        w: &WhileKernel,
        at: &[Placed],
        scope: &Scope,
    ) -> Result<()> {
        let of = |slot: &Slot| &at[slot.operand];
        let (consts, from) = w.inputs.split_at(w.cond_consts + w.body_consts);
        let (of_cond, of_body) = consts.split_at(w.cond_consts);
        let carried = self.carry(nodes, &w.body, w.body_consts, from.iter().map(of), scope)?;
        let (counter, plain) = scope.counting(&[2, 2], kernel)?;
        let answer = self.scratch(&Buffer { dtype: Dtype::Bool, len: 1 }, scope)?;
        let state = match guarded(&[&w.cond, &w.body]) {
            Some(_) => Some(self.state(nodes, scope)?),
            None => None,
        };
        let guard = |counter: usize| {
            let flags = state.as_ref().map(|state| state.moved(counter, STATE).binding(STATE));
            Scope { guard: flags.map(|flags| Guard { flags, at: 0 }), ..plain.clone() }
        };
        let inputs = |own: &[Slot]| {
            let consts = own.iter().map(|slot| of(slot).clone());
            consts.chain(carried.by(counter)).collect::<Vec<_>>()
        };
        let (mut cond, mut body, mut after) = (Vec::new(), Vec::new(), Vec::new());
        self.schedule(&mut cond, &w.cond, inputs(of_cond), vec![answer.clone()], &guard(counter))?;
        let asks = match &state {
            Some(state) => {
                let [from, to] = [counter, counter + 1].map(|c| state.moved(c, STATE));
                self.launch(&mut cond, &step_kernel(self.numerics), &[&answer, &from, &to], &plain);
                Asks::AfterSteps(Answer { at: to.binding(STATE), dtype: Dtype::I32 })
            }
            None => Asks::EveryStep(Answer { at: answer.binding(1), dtype: Dtype::Bool }),
        };
        let to = carried.by(counter + 1).collect();
        self.schedule(&mut body, &w.body, inputs(of_body), to, &guard(counter + 1))?;
        for (((buffer, ..), from), to) in carried.0.iter().zip(carried.by(counter)).zip(&w.outputs) {
            self.copy(&mut after, buffer, &from, of(to), &plain);
        }
        nodes.push(Node::While(While { counter, cond, body, after, asks }));
        Ok(())
    }

    /// Two places for whether a loop goes on and how many steps it took; the first is filled.
    fn state(&mut self, nodes: &mut Vec<Node>, scope: &Scope) -> Result<Placed> {
        let (state, _) = self.places(&Buffer { dtype: Dtype::I32, len: STATE }, 2, scope)?;
        self.launch(nodes, &begin_kernel(self.numerics), &[&state], scope);
        Ok(state)
    }

    /// One of several functions.
    pub(super) fn switch(&mut self, nodes: &mut Vec<Node>, s: &Switch, at: &[Placed], scope: &Scope) -> Result<()> {
        let places = |slots: &[Slot]| slots.iter().map(|slot| at[slot.operand].clone()).collect::<Vec<_>>();
        let index = &at[s.index];
        if guarded(&s.branches.iter().map(|b| &**b).collect::<Vec<_>>()).is_none() {
            let mut branches = Vec::new();
            for branch in &s.branches {
                let mut own = Vec::new();
                self.schedule(&mut own, branch, places(&s.inputs), places(&s.outputs), scope)?;
                branches.push(own);
            }
            nodes.push(Node::Switch(Answer { at: index.binding(1), dtype: Dtype::I32 }, branches));
            return Ok(());
        }
        let n = s.branches.len();
        let flags = self.scratch(&Buffer { dtype: Dtype::I32, len: n }, scope)?;
        let whether = scope.guard.as_ref().map(|g| (g.at, g.flags.len));
        let parent = scope.guard.as_ref().map(|g| Placed {
            memory: g.flags.memory,
            strides: vec![0; scope.batch.len()],
            moves: g.flags.moves.clone(),
        });
        let kernel = branch_kernel(n, whether, self.numerics);
        let operands: Vec<&Placed> = [Some(index), parent.as_ref(), Some(&flags)].into_iter().flatten().collect();
        // Whoever is around this branch needn't be heeded: the flags are 0 where it does nothing.
        self.launch(nodes, &kernel, &operands, &Scope { guard: None, ..scope.clone() });
        for (at, branch) in s.branches.iter().enumerate() {
            let inner = Scope { guard: Some(Guard { flags: flags.binding(n), at }), ..scope.clone() };
            self.schedule(nodes, branch, places(&s.inputs), places(&s.outputs), &inner)?;
        }
        Ok(())
    }
}

/// Elements of a loop's state: 1 as long as it goes on, and how many steps it took.
const STATE: usize = 2;

/// A kernel of one point, in the making.
struct Point {
    operands: Vec<Operand>,
    pass: Pass,
}

impl Point {
    fn new(operands: &[(Dtype, usize, bool)]) -> Point {
        let operand =
            |(dtype, len, written): &(Dtype, usize, bool)| Operand { dtype: *dtype, len: *len, written: *written };
        Point { operands: operands.iter().map(operand).collect(), pass: Pass::default() }
    }

    fn inst(&mut self, inst: Inst) -> ValueId {
        self.pass.insts.push(inst);
        ValueId::from(self.pass.insts.len() - 1)
    }

    fn number(&mut self, n: usize) -> ValueId {
        self.inst(Inst::Literal(Literal::new(Dtype::I32, n as f64)))
    }

    fn load(&mut self, operand: usize, offset: usize) -> ValueId {
        self.inst(Inst::Load { operand, index: Affine { offset, ..Affine::default() } })
    }

    /// Whether an `i32` isn't 0.
    fn holds(&mut self, x: ValueId) -> ValueId {
        let zero = self.number(0);
        self.inst(Inst::Compare(Compare::Ne, x, zero))
    }

    /// Stores a bool or an `i32` as an `i32`.
    fn store(&mut self, operand: usize, offset: usize, value: ValueId) {
        self.pass.stores.push(Store { operand, index: Affine { offset, ..Affine::default() }, value });
    }

    fn kernel(self, name: &str, numerics: Numerics) -> Kernel {
        let nest = LoopNest { domain: Vec::new(), passes: vec![self.pass] };
        Kernel { name: name.into(), operands: self.operands, body: Body::Loops(nest), numerics }
    }
}

/// The state before the first step: the loop goes on, and took none.
fn begin_kernel(numerics: Numerics) -> Kernel {
    let mut k = Point::new(&[(Dtype::I32, STATE, true)]);
    for (at, n) in [1, 0].into_iter().enumerate() {
        let n = k.number(n);
        k.store(0, at, n);
    }
    k.kernel("begin_loop", numerics)
}

/// Of the condition and the state before it, the state after it: whether the loop goes on, and how
/// many steps it takes with the next one, if there is one.
fn step_kernel(numerics: Numerics) -> Kernel {
    let mut k = Point::new(&[(Dtype::Bool, 1, false), (Dtype::I32, STATE, false), (Dtype::I32, STATE, true)]);
    let (more, before, taken) = (k.load(0, 0), k.load(1, 0), k.load(1, 1));
    let before = k.holds(before);
    let on = k.inst(Inst::Binary(Binary::And, before, more));
    let on = k.inst(Inst::Convert(Dtype::I32, on));
    let taken = k.inst(Inst::Binary(Binary::Add, taken, on));
    k.store(2, 0, on);
    k.store(2, 1, taken);
    k.kernel("continue_loop", numerics)
}

/// Of the index of a branch, and of the guard around it if there is one (an element of so many), the
/// guards of the branches.
fn branch_kernel(branches: usize, around: Option<(usize, usize)>, numerics: Numerics) -> Kernel {
    let mut operands = vec![(Dtype::I32, 1, false)];
    operands.extend(around.map(|(_, len)| (Dtype::I32, len, false)));
    operands.push((Dtype::I32, branches, true));
    let to = operands.len() - 1;
    let mut k = Point::new(&operands);
    let index = k.load(0, 0);
    let (first, last) = (k.number(0), k.number(branches - 1));
    let index = k.inst(Inst::Binary(Binary::Max, index, first));
    let index = k.inst(Inst::Binary(Binary::Min, index, last));
    let around = around.map(|(at, _)| {
        let flag = k.load(1, at);
        k.holds(flag)
    });
    for at in 0..branches {
        let own = k.number(at);
        let mut this = k.inst(Inst::Compare(Compare::Eq, index, own));
        if let Some(around) = around {
            this = k.inst(Inst::Binary(Binary::And, this, around));
        }
        let this = k.inst(Inst::Convert(Dtype::I32, this));
        k.store(to, at, this);
    }
    k.kernel("choose_branch", numerics)
}
