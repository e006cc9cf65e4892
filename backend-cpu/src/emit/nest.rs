//! Emitting a loop nest: axes are entered one by one, and each instruction is emitted as soon as
//! the axes it depends on have been.

use super::code::{Carried, Code, Loop};
use super::group::{Form, Group};
use crate::plan::{Plan, ValuePlan};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use egrad_ir::kernel::{Affine, Inst, Kernel, ValueId};
use egrad_ir::{Binary, Dtype, Literal, Numerics};
use smallvec::SmallVec;

/// Words of an argument block before the operands' addresses: the range of the plan's `split` axis
/// (the first index and the one after the last), and that of the batch.
///
/// The first may be a part of the axis, see [`Plan::grain`], for other threads to run the rest. The
/// second isn't empty. After the addresses of the operands' first elements come the bytes from one
/// element of the batch to the next, again one word per operand.
pub(crate) const HEADER: usize = 4;

/// Emits one nest.
pub(super) struct Nest<'f, 'p> {
    pub(super) code: Code<'f>,
    pub(super) kernel: &'p Kernel,
    pub(super) plan: &'p Plan,
    /// The range of the axis that threads share.
    range: (Value, Value),
    /// Per stream the address of the element that the axes entered lead to, offsets left out.
    addresses: Vec<Value>,
    /// The axes entered, outermost first.
    pub(super) axes: SmallVec<[Axis; 8]>,
    /// Values computed so far.
    values: Vec<Option<Held>>,
    /// How many lanes a varying value has now.
    pub(super) lanes: usize,
}

/// An index of an axis that has been entered: `value + plus`.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) value: Option<Value>,
    pub(super) plus: usize,
}

/// The loop over a domain axis.
struct DomainLoop {
    index: Axis,
    /// The loop, its end and its step; `None` where there is only one index.
    this: Option<(Loop, Value, usize)>,
}

/// What was changed by entering an axis.
pub(super) struct Entered {
    addresses: SmallVec<[(usize, Value); 8]>,
}

/// A value.
#[derive(Clone)]
struct Held {
    group: Content,
    /// A scalar's copy in the lanes of one vector, made where the scalar was.
    splat: Option<Group>,
    /// A computed float that may be a NaN other than the canonical one.
    dirty: bool,
}

#[derive(Clone)]
enum Content {
    /// Put where it is needed, free of charge.
    Literal(Literal),
    Group(Group),
}

impl<'f, 'p> Nest<'f, 'p> {
    /// Emits the whole function.
    pub(super) fn emit(mut code: Code<'f>, block: Value, kernel: &'p Kernel, plan: &'p Plan) -> Code<'f> {
        let range = (code.argument(block, 0), code.argument(block, 1));
        let (first, end) = (code.argument(block, 2), code.argument(block, 3));
        let batch = code.begin_loop(first, &[]);
        let count = kernel.operands.len();
        let operands: Vec<Value> = (0..count)
            .map(|i| {
                let (address, stride) = (code.argument(block, HEADER + i), code.argument(block, HEADER + count + i));
                let offset = code.f.ins().imul(batch.index, stride);
                code.f.ins().iadd(address, offset)
            })
            .collect();
        let addresses = plan.streams.iter().map(|s| operands[s.operand]).collect();
        let values = vec![None; plan.values.len()];
        let mut nest = Nest { code, kernel, plan, range, addresses, axes: SmallVec::new(), values, lanes: 1 };
        nest.hoisted(0);
        nest.domain();
        nest.code.end_loop(&batch, end, 1, &[]);
        nest.code.f.ins().return_(&[]);
        nest.code
    }

    /// The domain's axes from the next one on, then the passes.
    fn domain(&mut self) {
        let axis = self.axes.len();
        let rank = self.plan.nest.domain.len();
        if axis == rank {
            return self.passes();
        }
        if self.plan.strip > 0 && axis == rank - 2 {
            return self.strips();
        }
        if self.plan.blocked && axis == rank - 1 {
            let range = self.range(axis);
            return self.blocks(range);
        }
        let this = self.begin_axis(axis);
        let entered = self.enter(this.index, None);
        self.hoisted(axis + 1);
        self.domain();
        self.leave(entered);
        self.end_axis(&this);
    }

    /// The last two axes: strips of the first, groups of the second, the indices of a strip.
    fn strips(&mut self) {
        let axis = self.axes.len();
        let (start, end) = self.range(axis);
        let strips = self.code.begin_loop(start, &[]);
        let strip_end = self.code.offset(strips.index, self.plan.strip);
        let strip_end = self.code.smaller(strip_end, end);
        let groups = self.begin_axis(axis + 1);
        let indices = self.code.begin_loop(strips.index, &[]);
        let outer = self.enter(Axis { value: Some(indices.index), plus: 0 }, None);
        self.hoisted(axis + 1);
        let inner = self.enter(groups.index, None);
        self.passes();
        self.leave(inner);
        self.leave(outer);
        self.code.end_loop(&indices, strip_end, 1, &[]);
        self.end_axis(&groups);
        self.code.end_loop(&strips, end, self.plan.strip, &[]);
    }

    /// Where a domain axis starts and ends.
    fn range(&mut self, axis: usize) -> (Value, Value) {
        if axis == self.plan.split {
            self.range
        } else {
            (self.code.index(0), self.code.index(self.plan.nest.domain[axis]))
        }
    }

    /// Starts the loop over a domain axis, by groups if it is the one that lanes run along.
    fn begin_axis(&mut self, axis: usize) -> DomainLoop {
        let n = self.plan.nest.domain[axis];
        let grouped = self.plan.points > 1 && axis == self.plan.nest.domain.len() - 1;
        let step = if grouped { self.plan.points } else { 1 };
        self.lanes = step;
        if n == step {
            // A part of the axis has at least `step` points, so this is the whole of it.
            return DomainLoop { index: Axis { value: None, plus: 0 }, this: None };
        }
        let (start, end) = self.range(axis);
        // The last group is moved back to end with the axis: the points it shares with the group
        // before are computed twice, from the same operands to the same results.
        let last = (grouped && !n.is_multiple_of(step)).then(|| {
            if axis == self.plan.split {
                let back = self.code.f.ins().iconst(I64, step as i64);
                self.code.f.ins().isub(end, back)
            } else {
                self.code.index(n - step)
            }
        });
        let this = self.code.begin_loop(start, &[]);
        let index = match last {
            Some(last) => self.code.smaller(this.index, last),
            None => this.index,
        };
        DomainLoop { index: Axis { value: Some(index), plus: 0 }, this: Some((this, end, step)) }
    }

    fn end_axis(&mut self, axis: &DomainLoop) {
        if let Some((this, end, step)) = &axis.this {
            self.code.end_loop(this, *end, *step, &[]);
        }
    }

    /// Emits what needs exactly the domain axes entered so far, of every pass.
    fn hoisted(&mut self, level: usize) {
        if level < self.plan.nest.domain.len() {
            for p in 0..self.plan.passes.len() {
                self.level(p, level);
            }
        }
    }

    /// The passes, for one point or group of points.
    fn passes(&mut self) {
        self.passes_from(0);
    }

    /// The passes from number `first` on.
    pub(super) fn passes_from(&mut self, first: usize) {
        let rank = self.plan.nest.domain.len();
        for p in first..self.plan.passes.len() {
            self.level(p, rank);
            if self.plan.nest.passes[p].loops.is_empty() {
                self.stores(p);
            } else {
                self.loops(p);
            }
        }
    }

    /// Enters the next axis; of a pass's loops only that pass's streams take notice.
    pub(super) fn enter(&mut self, index: Axis, pass: Option<usize>) -> Entered {
        let plan = self.plan;
        let axis = self.axes.len();
        self.axes.push(index);
        let mut entered = Entered { addresses: SmallVec::new() };
        let Some(index) = index.value else { return entered };
        let mut scaled: SmallVec<[(usize, Value); 4]> = SmallVec::new();
        let all: SmallVec<[usize; 8]> = match pass {
            Some(p) => plan.passes[p].streams.clone(),
            None => (0..plan.streams.len()).collect(),
        };
        for s in all {
            let stream = &plan.streams[s];
            let stride = stream.strides[axis] * self.kernel.operands[stream.operand].dtype.bytes();
            if stride == 0 {
                continue;
            }
            let step = match scaled.iter().find(|(n, _)| *n == stride) {
                Some((_, v)) => *v,
                None => {
                    let v = self.code.scale(index, stride);
                    scaled.push((stride, v));
                    v
                }
            };
            entered.addresses.push((s, self.addresses[s]));
            self.addresses[s] = self.code.f.ins().iadd(self.addresses[s], step);
        }
        entered
    }

    /// Leaves the innermost axis.
    pub(super) fn leave(&mut self, entered: Entered) {
        for (stream, address) in entered.addresses {
            self.addresses[stream] = address;
        }
        self.axes.pop();
    }

    /// Emits the instructions of a pass that need that many axes.
    pub(super) fn level(&mut self, p: usize, level: usize) {
        let (plan, pass) = (self.plan, &self.plan.nest.passes[p]);
        let first = plan.passes[p].first;
        for (i, inst) in pass.insts.iter().enumerate() {
            let planned = &plan.values[first + i];
            if planned.level == level && !planned.absorbed {
                self.inst(p, i, inst, planned);
            }
        }
    }

    fn inst(&mut self, p: usize, i: usize, inst: &Inst, planned: &ValuePlan) {
        let lanes = if planned.varying { self.lanes } else { 1 };
        let strict = self.plan.numerics == Numerics::Strict;
        let mut dirty = false;
        let group = match inst {
            Inst::Literal(literal) => {
                self.hold(self.plan.passes[p].first + i, Content::Literal(*literal), None, false);
                return;
            }
            Inst::Index(index) => self.index(index, lanes),
            Inst::Load { operand, index } => self.load_at(self.plan.passes[p].load_streams[i], *operand, index, lanes),
            Inst::LoadWithin { operand, index, along } => {
                self.load_within(self.plan.passes[p].load_streams[i], *operand, index, along, lanes)
            }
            Inst::Within(along) => self.within(along, lanes),
            Inst::Unary(op, x) => {
                let moved = matches!(op, egrad_ir::Unary::StopGradient | egrad_ir::Unary::Barrier);
                dirty = !moved;
                let x = if moved { self.moved(*x, lanes) } else { self.get(*x, lanes) };
                self.code.unary(*op, &x)
            }
            Inst::Binary(op, x, y) => {
                dirty = true;
                match planned.fused {
                    Some(at) => self.fused(*op, at, [*x, *y], lanes),
                    None => {
                        let places = self.known_places(*y);
                        let (x, y) = (self.get(*x, lanes), self.get(*y, lanes));
                        let shifted = places.and_then(|places| self.code.shift_by(*op, &x, places));
                        shifted.unwrap_or_else(|| self.code.binary(*op, &x, &y, self.plan.numerics))
                    }
                }
            }
            Inst::Compare(op, x, y) => {
                let (x, y) = (self.get(*x, lanes), self.get(*y, lanes));
                self.code.compare(*op, &x, &y)
            }
            Inst::Select(mask, x, y) => {
                let mask = self.get(*mask, lanes);
                let (x, y) = (self.moved(*x, lanes), self.moved(*y, lanes));
                self.code.select(&mask, &x, &y)
            }
            Inst::IntegerPow(n, x) => {
                dirty = true;
                let x = self.get(*x, lanes);
                self.code.integer_pow(*n, &x)
            }
            Inst::Convert(to, x) => {
                let from = self.plan.values[x.index()].dtype;
                dirty = from != *to;
                let x = if dirty { self.get(*x, lanes) } else { self.moved(*x, lanes) };
                self.code.convert(&x, *to)
            }
        };
        let splat = (lanes == 1 && planned.splat && !planned.varying).then(|| self.code.splat(&group, 4));
        let dirty = dirty && strict && group.form.is_float();
        self.hold(self.plan.passes[p].first + i, Content::Group(group), splat, dirty);
    }

    /// A sum or difference of which one operand is a product of its own.
    fn fused(&mut self, op: Binary, at: usize, args: [ValueId; 2], lanes: usize) -> Group {
        let (x, y) = self.product(args[at], lanes);
        let other = self.get(args[1 - at], lanes);
        let negate = |c: &mut Code<'f>, g: &Group| c.map1(g.form, g, |c, v| c.f.ins().fneg(v));
        match (op, at) {
            (Binary::Sub, 0) => {
                let other = negate(&mut self.code, &other);
                self.code.fma(&x, &y, &other)
            }
            (Binary::Sub, _) => {
                let x = negate(&mut self.code, &x);
                self.code.fma(&x, &y, &other)
            }
            _ => self.code.fma(&x, &y, &other),
        }
    }

    /// The factors of an absorbed product.
    pub(super) fn product(&mut self, value: ValueId, lanes: usize) -> (Group, Group) {
        let p = self.plan.passes.iter().rposition(|p| p.first <= value.index()).expect("values belong to passes");
        match &self.plan.nest.passes[p].insts[value.index() - self.plan.passes[p].first] {
            Inst::Binary(Binary::Mul, x, y) => (self.get(*x, lanes), self.get(*y, lanes)),
            other => unreachable!("{other:?} is no product"),
        }
    }

    fn hold(&mut self, value: usize, group: Content, splat: Option<Group>, dirty: bool) {
        self.values[value] = Some(Held { group, splat, dirty });
    }

    /// How far a shift by a value goes, if that is an integer known here.
    fn known_places(&self, y: ValueId) -> Option<i64> {
        match &self.values[y.index()].as_ref()?.group {
            Content::Literal(literal) => literal.to_i64(),
            Content::Group(_) => None,
        }
    }

    /// Holds an accumulator's result.
    pub(super) fn hold_result(&mut self, value: usize, group: Group) {
        let planned = &self.plan.values[value];
        let splat = (planned.splat && !planned.varying).then(|| self.code.splat(&group, 4));
        let dirty = self.plan.numerics == Numerics::Strict && group.form.is_float();
        self.hold(value, Content::Group(group), splat, dirty);
    }

    /// A value in so many lanes.
    pub(super) fn get(&mut self, value: ValueId, lanes: usize) -> Group {
        let held = self.values[value.index()].clone().expect("computed before it is used");
        match held.group {
            Content::Literal(literal) => self.literal(literal, lanes),
            Content::Group(group) if group.lanes == lanes => group,
            Content::Group(group) => {
                debug_assert_eq!(group.lanes, 1);
                let splat = held.splat.unwrap_or_else(|| self.code.splat(&group, 4));
                let v = splat.v[0];
                Group { form: splat.form, lanes, v: SmallVec::from_elem(v, splat.form.count(lanes)) }
            }
        }
    }

    fn literal(&mut self, literal: Literal, lanes: usize) -> Group {
        let form = Form::of(literal.dtype(), lanes);
        let bits = match form {
            Form::Mask32 => literal.bits().wrapping_neg(),
            Form::F32
            | Form::F64
            | Form::I32
            | Form::I64
            | Form::U32
            | Form::U8
            | Form::F16
            | Form::Bf16
            | Form::Bit
            | Form::Mask64 => literal.bits(),
        };
        self.code.splat_bits(form, lanes, bits)
    }

    /// A value that is moved rather than computed with: its NaNs are to be seen.
    fn moved(&mut self, value: ValueId, lanes: usize) -> Group {
        let group = self.get(value, lanes);
        if self.values[value.index()].as_ref().is_some_and(|held| held.dirty) {
            self.code.canonical(&group)
        } else {
            group
        }
    }

    /// The position of an element for lane 0: an address and a displacement.
    pub(super) fn place(&mut self, stream: usize, operand: usize, index: &Affine, bytes_after: usize) -> (Value, i32) {
        let bytes = self.kernel.operands[operand].dtype.bytes();
        let fixed: usize = self.axes.iter().zip(&index.strides).map(|(axis, s)| axis.plus * s).sum();
        let disp = (index.offset + fixed) * bytes;
        let address = self.addresses[stream];
        if disp + bytes_after < i32::MAX as usize {
            (address, disp as i32)
        } else {
            (self.code.offset(address, disp), 0)
        }
    }

    /// The axis that lanes run along.
    pub(super) fn lane(&self) -> usize {
        if self.plan.points > 1 { self.plan.nest.domain.len() - 1 } else { self.axes.len() - 1 }
    }

    /// The stride along the lanes of a group.
    pub(super) fn lane_stride(&self, index: &Affine) -> usize {
        index.strides.get(self.lane()).copied().unwrap_or(0)
    }

    fn load_at(&mut self, stream: usize, operand: usize, index: &Affine, lanes: usize) -> Group {
        let dtype = self.kernel.operands[operand].dtype;
        let stride = if lanes == 1 { 1 } else { self.lane_stride(index) };
        let reach = stride.max(1) * dtype.bytes() * lanes;
        let (address, disp) = self.place(stream, operand, index, reach);
        match stride {
            1 => self.code.load(dtype, lanes, address, disp),
            0 => {
                let one = self.code.load(dtype, 1, address, disp);
                self.code.splat(&one, lanes)
            }
            _ => {
                let step = stride * dtype.bytes();
                let scalars: SmallVec<[Value; 32]> = (0..lanes)
                    .map(|lane| {
                        let (address, disp) = self.lane_place(address, disp, lane * step);
                        self.code.load(dtype, 1, address, disp).v[0]
                    })
                    .collect();
                self.code.gather(Form::of(dtype, lanes), &scalars)
            }
        }
    }

    pub(super) fn lane_place(&mut self, address: Value, disp: i32, after: usize) -> (Value, i32) {
        match i32::try_from(disp as usize + after) {
            Ok(disp) => (address, disp),
            Err(_) => (self.code.offset(address, after), disp),
        }
    }

    /// Emits the stores of a pass.
    pub(super) fn stores(&mut self, p: usize) {
        let plan = self.plan;
        let lanes = self.lanes;
        for (store, stream) in plan.nest.passes[p].stores.iter().zip(&plan.passes[p].store_streams) {
            let dtype = self.kernel.operands[store.operand].dtype;
            let group = self.moved(store.value, lanes);
            let stride = if lanes == 1 { 1 } else { self.lane_stride(&store.index) };
            let reach = stride.max(1) * dtype.bytes() * lanes;
            let (address, disp) = self.place(*stream, store.operand, &store.index, reach);
            if stride == 1 {
                self.code.store(&group, address, disp);
                continue;
            }
            for lane in 0..lanes {
                let x = self.code.lane(&group, lane);
                let (address, disp) = self.lane_place(address, disp, lane * stride * dtype.bytes());
                self.code.store_lane(group.form, x, address, disp);
            }
        }
    }

    /// An index as an `i32`, in so many lanes.
    fn index(&mut self, index: &Affine, lanes: usize) -> Group {
        let mut sum: Option<Value> = None;
        let mut fixed = index.offset;
        let axes = self.axes.clone();
        for (axis, stride) in axes.iter().zip(&index.strides) {
            fixed += axis.plus * stride;
            if let (Some(v), true) = (axis.value, *stride != 0) {
                let term = self.code.scale(v, *stride);
                sum = Some(sum.map_or(term, |sum| self.code.f.ins().iadd(sum, term)));
            }
        }
        let first = match sum {
            None => self.code.constant(I32, fixed as u64),
            Some(sum) => {
                let wide = self.code.offset(sum, fixed);
                self.code.f.ins().ireduce(I32, wide)
            }
        };
        let scalar = Group { form: Form::I32, lanes: 1, v: [first].into_iter().collect() };
        if lanes == 1 {
            return scalar;
        }
        let stride = self.lane_stride(index);
        let base = self.code.splat(&scalar, lanes);
        let ty = Form::I32.ty(lanes);
        let v = (0..base.v.len())
            .map(|k| {
                let steps = [0, 1, 2, 3].map(|l| ((4 * k + l) * stride) as u64);
                let steps = self.code.lanes(ty, &steps);
                self.code.f.ins().iadd(base.v[k], steps)
            })
            .collect();
        Group { form: Form::I32, lanes, v }
    }

    /// The element type of a value.
    pub(super) fn dtype(&self, value: ValueId) -> Dtype {
        self.plan.values[value.index()].dtype
    }
}

/// The values of groups, one after the other, as a loop carries them.
pub(super) fn flatten(groups: &[Group]) -> Carried {
    groups.iter().flat_map(|g| g.v.iter().copied()).collect()
}

/// Groups like `like` made of the values a loop carried.
pub(super) fn unflatten(like: &[Group], carried: &[Value]) -> Vec<Group> {
    let mut at = 0;
    like.iter()
        .map(|g| {
            let v = carried[at..at + g.v.len()].into();
            at += g.v.len();
            Group { form: g.form, lanes: g.lanes, v }
        })
        .collect()
}
