//! Emitting a pass with loops: groups of the innermost loop, accumulators, tails.

use super::code::Code;
use super::group::{Form, Group};
use super::nest::{Axis, Nest, flatten, unflatten};
use cranelift_codegen::ir::{InstBuilder, Value};
use egrad_ir::kernel::{Acc, ValueId};
use egrad_ir::scalar::{self, LANES};
use egrad_ir::{Numerics, Reduce};
use smallvec::SmallVec;

/// The accumulators of a pass while its loops run.
#[derive(Clone)]
pub(super) enum Accs {
    /// In registers, carried by the loops.
    Carried(Vec<Group>),
    /// In memory, the eight lanes of a strict reduction one after the other, each for all points
    /// in flight: their number is that of the index, which registers can't have.
    Memory(Vec<Lanes>),
}

/// Eight groups in memory.
#[derive(Clone)]
pub(super) struct Lanes {
    address: Value,
    form: Form,
    lanes: usize,
}

/// Which elements of a group of indices count: those of the last `rest` lanes.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    rest: usize,
}

impl Nest<'_, '_> {
    /// A pass's loops and what its accumulators end with.
    pub(super) fn loops(&mut self, p: usize) {
        let plan = self.plan;
        let (pass, planned) = (&plan.nest.passes[p], &plan.passes[p]);
        let rows = planned.lanes > 1;
        if rows {
            self.lanes = planned.lanes;
        }
        let lanes = self.lanes;
        let strict = plan.numerics == Numerics::Strict;
        let accs = if strict && !rows {
            Accs::Memory(pass.accs.iter().map(|acc| self.in_memory(acc, lanes)).collect())
        } else {
            Accs::Carried(pass.accs.iter().map(|acc| self.identity(acc, lanes)).collect())
        };
        let accs = self.loop_at(p, 0, accs);
        let first = planned.first + pass.insts.len();
        for (i, acc) in pass.accs.iter().enumerate() {
            let result = match &accs {
                Accs::Carried(groups) if rows => {
                    let one = self.across(acc.kind, &groups[i]);
                    Group { form: groups[i].form, lanes: 1, v: [one].into_iter().collect() }
                }
                Accs::Carried(groups) => groups[i].clone(),
                Accs::Memory(all) => self.finish_memory(acc.kind, &all[i]),
            };
            self.hold_result(first + i, result);
        }
        if rows {
            self.lanes = 1;
        }
    }

    fn loop_at(&mut self, p: usize, depth: usize, accs: Accs) -> Accs {
        let plan = self.plan;
        let (pass, planned) = (&plan.nest.passes[p], &plan.passes[p]);
        let Some(&n) = pass.loops.get(depth) else { return self.body(p, accs, None) };
        let innermost = depth + 1 == pass.loops.len();
        let step = if innermost { planned.lanes } else { 1 };
        let rest = n % step;
        // Without accumulators the last group is moved back to end with the loop, running some
        // indices twice; with them it is a group of its own that counts the rest alone.
        let moved = rest != 0 && pass.accs.is_empty();
        let end = if moved { n } else { n - rest };
        let mut accs = if end <= step {
            self.at(p, depth, Axis { value: None, plus: 0 }, accs, None)
        } else {
            let (start, end) = (self.code.index(0), self.code.index(end));
            let this = self.code.begin_loop(start, &accs.carried());
            let index = if moved {
                let last = self.code.index(n - step);
                self.code.smaller(this.index, last)
            } else {
                this.index
            };
            let inside = accs.with(&this.carried);
            let after = self.at(p, depth, Axis { value: Some(index), plus: 0 }, inside, None);
            let out = self.code.end_loop(&this, end, step, &after.carried());
            accs.with(&out)
        };
        if rest != 0 && !moved {
            accs = self.at(p, depth, Axis { value: None, plus: n - step }, accs, Some(Tail { rest }));
        }
        accs
    }

    pub(super) fn at(&mut self, p: usize, depth: usize, index: Axis, accs: Accs, tail: Option<Tail>) -> Accs {
        let entered = self.enter(index, Some(p));
        let accs = if depth + 1 == self.plan.nest.passes[p].loops.len() {
            self.body(p, accs, tail)
        } else {
            self.level(p, self.axes.len());
            self.loop_at(p, depth + 1, accs)
        };
        self.leave(entered);
        accs
    }

    /// The innermost part: what needs all axes, the stores, the accumulators.
    fn body(&mut self, p: usize, accs: Accs, tail: Option<Tail>) -> Accs {
        self.level(p, self.axes.len());
        self.stores(p);
        let plan = self.plan;
        let all = &plan.nest.passes[p].accs;
        match accs {
            Accs::Carried(groups) => {
                let step = |(acc, group): (&Acc, &Group)| self.accumulate(acc, group, tail);
                Accs::Carried(all.iter().zip(&groups).map(step).collect())
            }
            Accs::Memory(lanes) => {
                for (acc, lanes) in all.iter().zip(&lanes) {
                    self.accumulate_in_memory(acc, lanes);
                }
                Accs::Memory(lanes)
            }
        }
    }

    fn accumulate(&mut self, acc: &Acc, so_far: &Group, tail: Option<Tail>) -> Group {
        let lanes = self.lanes;
        let numerics = self.plan.numerics;
        let absorbed = self.plan.values[acc.value.index()].absorbed;
        if absorbed && tail.is_none() {
            let (x, y) = self.product(acc.value, lanes);
            return self.code.fma(&x, &y, so_far);
        }
        let mut x = self.element(acc.value, lanes, absorbed);
        if let Some(Tail { rest }) = tail {
            let identity = self.identity(acc, lanes);
            x = if numerics == Numerics::Strict {
                self.rotated(&x, &identity, rest)
            } else {
                let counts = self.last_lanes(&x, rest);
                self.code.pick(&counts, &x, &identity)
            };
        }
        self.code.reduce(acc.kind, so_far, &x, numerics)
    }

    /// The element an accumulator takes.
    fn element(&mut self, value: ValueId, lanes: usize, absorbed: bool) -> Group {
        if absorbed {
            let (x, y) = self.product(value, lanes);
            return self.code.binary(egrad_ir::Binary::Mul, &x, &y, Numerics::Fast);
        }
        self.get(value, lanes)
    }

    /// The identity of a reduction in every lane.
    pub(super) fn identity(&mut self, acc: &Acc, lanes: usize) -> Group {
        let dtype = self.dtype(acc.value);
        let bits = scalar::identity(acc.kind, dtype).expect("verified: bools have no reduction").bits();
        self.code.splat_bits(Form::of(dtype, lanes), lanes, bits)
    }

    /// A mask of the last `rest` lanes of a group like `x`.
    fn last_lanes(&mut self, x: &Group, rest: usize) -> Group {
        let form = x.form.compared(x.lanes);
        let ty = form.ty(x.lanes);
        let per = form.per_vector();
        let v = (0..x.v.len())
            .map(|k| {
                let bits: SmallVec<[u64; 4]> =
                    (0..per).map(|l| if k * per + l >= x.lanes - rest { u64::MAX } else { 0 }).collect();
                self.code.lanes(ty, &bits)
            })
            .collect();
        Group { form, lanes: x.lanes, v }
    }

    /// The last `rest` lanes of `x` moved to the front; `identity` in the others.
    fn rotated(&mut self, x: &Group, identity: &Group, rest: usize) -> Group {
        let mut out = identity.clone();
        let per = x.form.per_vector();
        for lane in 0..rest {
            let e = self.code.lane(x, x.lanes - rest + lane);
            out.v[lane / per] = self.code.f.ins().insertlane(out.v[lane / per], e, (lane % per) as u8);
        }
        out
    }

    /// All lanes of a group reduced to one, halving.
    fn across(&mut self, kind: Reduce, x: &Group) -> Value {
        let mut x = x.clone();
        while x.v.len() > 1 {
            let half = x.v.len() / 2;
            let part = |v: &[Value]| Group { form: x.form, lanes: x.lanes / 2, v: v.into() };
            let (low, high) = (part(&x.v[..half]), part(&x.v[half..]));
            x = self.code.reduce(kind, &low, &high, self.plan.numerics);
        }
        let lanes = (0..x.form.per_vector()).map(|l| self.code.lane(&x, l)).collect();
        self.halved(kind, x.form, lanes)
    }

    fn halved(&mut self, kind: Reduce, form: Form, mut lanes: SmallVec<[Value; 8]>) -> Value {
        while lanes.len() > 1 {
            let half = lanes.len() / 2;
            for l in 0..half {
                let one = |v| Group { form, lanes: 1, v: [v].into_iter().collect() };
                lanes[l] = self.code.reduce(kind, &one(lanes[l]), &one(lanes[l + half]), self.plan.numerics).v[0];
            }
            lanes.truncate(half);
        }
        lanes[0]
    }

    fn in_memory(&mut self, acc: &Acc, lanes: usize) -> Lanes {
        let identity = self.identity(acc, lanes);
        let memory = Lanes { address: identity.v[0], form: identity.form, lanes };
        let (_, address) = self.code.stack(memory.bytes() * LANES);
        for lane in 0..LANES {
            self.code.keep(&identity, address, (lane * memory.bytes()) as i32);
        }
        Lanes { address, ..memory }
    }

    fn accumulate_in_memory(&mut self, acc: &Acc, memory: &Lanes) {
        let innermost = *self.axes.last().expect("inside a loop");
        let bytes = memory.bytes();
        let (address, disp) = match innermost.value {
            None => (memory.address, (innermost.plus % LANES * bytes) as i32),
            Some(index) => {
                let mask = self.code.index(LANES - 1);
                let lane = self.code.f.ins().band(index, mask);
                let offset = self.code.scale(lane, bytes);
                (self.code.f.ins().iadd(memory.address, offset), 0)
            }
        };
        let x = self.get(acc.value, memory.lanes);
        let so_far = memory.load(&mut self.code, address, disp);
        let sum = self.code.reduce(acc.kind, &so_far, &x, self.plan.numerics);
        self.code.keep(&sum, address, disp);
    }

    fn finish_memory(&mut self, kind: Reduce, memory: &Lanes) -> Group {
        let bytes = memory.bytes();
        let mut lanes: Vec<Group> =
            (0..LANES).map(|l| memory.load(&mut self.code, memory.address, (l * bytes) as i32)).collect();
        while lanes.len() > 1 {
            let half = lanes.len() / 2;
            for l in 0..half {
                lanes[l] = self.code.reduce(kind, &lanes[l], &lanes[l + half], self.plan.numerics);
            }
            lanes.truncate(half);
        }
        lanes.remove(0)
    }
}

impl Accs {
    pub(super) fn carried(&self) -> SmallVec<[Value; 8]> {
        match self {
            Accs::Carried(groups) => flatten(groups),
            Accs::Memory(_) => SmallVec::new(),
        }
    }

    /// The same accumulators with the values a loop carried.
    pub(super) fn with(&self, carried: &[Value]) -> Accs {
        match self {
            Accs::Carried(groups) => Accs::Carried(unflatten(groups, carried)),
            Accs::Memory(lanes) => Accs::Memory(lanes.clone()),
        }
    }
}

impl Lanes {
    fn bytes(&self) -> usize {
        self.form.ty(self.lanes).bytes() as usize * self.form.count(self.lanes)
    }

    fn load(&self, code: &mut Code<'_>, address: Value, disp: i32) -> Group {
        let ty = self.form.ty(self.lanes);
        let v = (0..self.form.count(self.lanes))
            .map(|k| code.f.ins().load(ty, Code::memory(), address, disp + (k as u32 * ty.bytes()) as i32))
            .collect();
        Group { form: self.form, lanes: self.lanes, v }
    }
}
