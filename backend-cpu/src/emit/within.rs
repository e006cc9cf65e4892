//! Loads at positions that may lie outside, and tests of them.
//!
//! A position is computed in 32 bits, like the values added to it: the verifier keeps what the axes
//! make of it below 2^30 in size, and lengths too, so that a sum that wraps around lies outside as the
//! true one does. Whether it is inside is one unsigned comparison.
//!
//! What is outside is never read: the load goes to position 0, which is inside, and its result is
//! replaced.

use super::code::Code;
use super::group::{Form, Group, Values};
use super::nest::Nest;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use egrad_ir::kernel::{Affine, Along};
use smallvec::SmallVec;

/// A position in every lane.
struct Position {
    /// Of lane 0, without what is added.
    first: Value,
    /// From one lane to the next.
    step: isize,
    /// What is added: one number, or one per lane.
    plus: Option<Group>,
}

/// How the lanes of a load lie.
enum Lanes {
    /// One after the other, those of the position of that number within its axis; in reverse if it
    /// goes down.
    InRow { moving: Option<usize>, reversed: bool },
    /// Anyhow.
    Scattered,
}

impl Nest<'_, '_> {
    /// Whether all positions are inside, in so many lanes.
    pub(super) fn within(&mut self, along: &[Along], lanes: usize) -> Group {
        let tests: SmallVec<[Group; 2]> = along
            .iter()
            .map(|a| {
                let position = self.position(a, lanes);
                let x = self.spread(&position, lanes);
                self.inside(&x, a.extent)
            })
            .collect();
        self.all(tests)
    }

    fn all(&mut self, tests: SmallVec<[Group; 2]>) -> Group {
        let mut tests = tests.into_iter();
        let first = tests.next().expect("verified: there is a position");
        tests.fold(first, |all, test| self.code.map2(all.form, &all, &test, |c, x, y| c.f.ins().band(x, y)))
    }

    fn inside(&mut self, x: &Group, extent: usize) -> Group {
        let end = self.code.splat_bits(Form::I32, x.lanes, extent as u64);
        self.code.icmp(IntCC::UnsignedLessThan, x, &end)
    }

    fn position(&mut self, a: &Along, lanes: usize) -> Position {
        let mut sum: Option<Value> = None;
        let mut fixed = a.offset;
        let axes = self.axes.clone();
        for (axis, stride) in axes.iter().zip(&a.strides) {
            fixed += axis.plus as isize * stride;
            if let (Some(v), true) = (axis.value, *stride != 0) {
                let term = self.code.scale(v, stride.unsigned_abs());
                sum = Some(match (sum, *stride < 0) {
                    (None, false) => term,
                    (None, true) => self.code.f.ins().ineg(term),
                    (Some(sum), false) => self.code.f.ins().iadd(sum, term),
                    (Some(sum), true) => self.code.f.ins().isub(sum, term),
                });
            }
        }
        let first = match sum {
            None => self.code.constant(I32, fixed as u64 & 0xffff_ffff),
            Some(sum) => {
                let k = self.code.f.ins().iconst(I64, fixed as i64);
                let sum = if fixed == 0 { sum } else { self.code.f.ins().iadd(sum, k) };
                self.code.f.ins().ireduce(I32, sum)
            }
        };
        let step = if lanes == 1 { 0 } else { a.strides.get(self.lane()).copied().unwrap_or(0) };
        let plus = a.plus.map(|v| self.get(v, lanes));
        Position { first, step, plus }
    }

    /// A position as a group.
    fn spread(&mut self, p: &Position, lanes: usize) -> Group {
        let scalar = Group { form: Form::I32, lanes: 1, v: [p.first].into_iter().collect() };
        let mut x = scalar;
        if lanes > 1 {
            x = self.code.splat(&x, lanes);
            let ty = Form::I32.ty(lanes);
            for k in 0..x.v.len() {
                if p.step != 0 {
                    let steps = [0, 1, 2, 3].map(|l| ((4 * k as isize + l) * p.step) as u64 & 0xffff_ffff);
                    let steps = self.code.lanes(ty, &steps);
                    x.v[k] = self.code.f.ins().iadd(x.v[k], steps);
                }
            }
        }
        match &p.plus {
            None => x,
            Some(plus) => self.code.map2(Form::I32, &x, plus, |c, x, y| c.f.ins().iadd(x, y)),
        }
    }

    /// Elements by their positions; zeros where one is outside.
    pub(super) fn load_within(
        &mut self,
        stream: usize,
        operand: usize,
        index: &Affine,
        along: &[Along],
        lanes: usize,
    ) -> Group {
        let positions: SmallVec<[Position; 2]> = along.iter().map(|a| self.position(a, lanes)).collect();
        match self.lie(index, along, &positions, lanes) {
            Lanes::InRow { moving, reversed } => {
                self.load_row((stream, operand), index, along, &positions, (moving, reversed), lanes)
            }
            Lanes::Scattered => {
                let all: SmallVec<[Group; 2]> = positions.iter().map(|p| self.spread(p, lanes)).collect();
                self.load_lanes(stream, operand, index, along, &all, lanes)
            }
        }
    }

    /// How the lanes of a load lie.
    fn lie(&self, index: &Affine, along: &[Along], positions: &[Position], lanes: usize) -> Lanes {
        if lanes == 1 || positions.iter().any(|p| p.plus.is_some()) {
            return Lanes::Scattered;
        }
        let moving: SmallVec<[usize; 2]> = (0..along.len()).filter(|i| positions[*i].step != 0).collect();
        match (self.lane_stride(index), &moving[..]) {
            (1, []) => Lanes::InRow { moving: None, reversed: false },
            // A row must have as many elements as are read at once.
            (0, [i]) if along[*i].by == 1 && along[*i].extent >= lanes => match positions[*i].step {
                1 => Lanes::InRow { moving: Some(*i), reversed: false },
                -1 => Lanes::InRow { moving: Some(*i), reversed: true },
                _ => Lanes::Scattered,
            },
            _ => Lanes::Scattered,
        }
    }

    /// Lanes that lie in a row, and for the rare row that sticks out of its axis, lane by lane.
    fn load_row(
        &mut self,
        (stream, operand): (usize, usize),
        index: &Affine,
        along: &[Along],
        positions: &[Position],
        (moving, reversed): (Option<usize>, bool),
        lanes: usize,
    ) -> Group {
        let dtype = self.kernel.operands[operand].dtype;
        let test = |nest: &mut Self, x: Value, extent: usize| {
            let end = nest.code.constant(I32, extent as u64);
            nest.code.f.ins().icmp(IntCC::UnsignedLessThan, x, end)
        };
        // Whether the positions that don't move are inside, and both ends of the one that does.
        let mut still = self.code.constant(I8, 1);
        let mut starts: SmallVec<[Value; 2]> = SmallVec::new();
        let mut ends = None;
        for (i, (p, a)) in positions.iter().zip(along).enumerate() {
            if Some(i) == moving {
                let far = self.code.f.ins().iconst(I32, (p.step * (lanes as isize - 1)) as i64 & 0xffff_ffff);
                let last = self.code.f.ins().iadd(p.first, far);
                let (a, b) = (test(self, p.first, a.extent), test(self, last, a.extent));
                ends = Some((a, b));
                starts.push(if reversed { last } else { p.first });
            } else {
                let inside = test(self, p.first, a.extent);
                still = self.code.f.ins().band(still, inside);
                starts.push(p.first);
            }
        }
        let whole = match ends {
            None => still,
            Some((a, b)) => {
                let both = self.code.f.ins().band(a, b);
                self.code.f.ins().band(still, both)
            }
        };
        let zero = self.code.constant(I64, 0);
        let mut offset: Option<Value> = None;
        for (start, a) in starts.iter().zip(along) {
            let wide = self.code.f.ins().sextend(I64, *start);
            let bytes = self.code.scale(wide, a.by * dtype.bytes());
            offset = Some(offset.map_or(bytes, |sum| self.code.f.ins().iadd(sum, bytes)));
        }
        let offset = offset.expect("verified: there is a position");
        let offset = self.code.f.ins().select(whole, offset, zero);
        let reach = dtype.bytes() * lanes;
        let (address, disp) = self.place(stream, operand, index, reach);
        let address = self.code.f.ins().iadd(address, offset);
        let loaded = self.code.load(dtype, lanes, address, disp);
        let loaded = if reversed { self.code.reversed(&loaded) } else { loaded };
        let zeros = self.code.splat_bits(loaded.form, lanes, 0);
        let scalar = Group { form: Form::Bit, lanes: 1, v: [whole].into_iter().collect() };
        let mask = self.code.splat(&scalar, lanes);
        let usual = self.code.pick(&mask, &loaded, &zeros);
        let Some((a, b)) = ends else { return usual };
        let mixed = self.code.f.ins().bxor(a, b);
        let mixed = self.code.f.ins().band(mixed, still);
        let rejoin = self.code.begin_rarely(mixed, &usual.v);
        let all: SmallVec<[Group; 2]> = positions.iter().map(|p| self.spread(p, lanes)).collect();
        let single = self.load_lanes(stream, operand, index, along, &all, lanes);
        let v = self.code.end_rarely(&rejoin, &single.v);
        Group { form: usual.form, lanes, v: v.into_iter().collect() }
    }

    /// Lane by lane.
    fn load_lanes(
        &mut self,
        stream: usize,
        operand: usize,
        index: &Affine,
        along: &[Along],
        positions: &[Group],
        lanes: usize,
    ) -> Group {
        let dtype = self.kernel.operands[operand].dtype;
        let tests: SmallVec<[Group; 2]> = positions.iter().zip(along).map(|(x, a)| self.inside(x, a.extent)).collect();
        let inside = self.all(tests);
        let stride = if lanes == 1 { 0 } else { self.lane_stride(index) };
        let (address, disp) = self.place(stream, operand, index, stride.max(1) * dtype.bytes() * lanes);
        let zero = self.code.constant(I64, 0);
        let scalars: Values = (0..lanes)
            .map(|lane| {
                let mut offset: Option<Value> = None;
                for (x, a) in positions.iter().zip(along) {
                    let x = self.code.lane(x, lane);
                    let wide = self.code.f.ins().sextend(I64, x);
                    let bytes = self.code.scale(wide, a.by * dtype.bytes());
                    offset = Some(offset.map_or(bytes, |sum| self.code.f.ins().iadd(sum, bytes)));
                }
                let own = self.code.lane(&inside, lane);
                let offset = offset.expect("verified: there is a position");
                let offset = self.code.f.ins().select(own, offset, zero);
                let (address, disp) = self.lane_place(address, disp, lane * stride * dtype.bytes());
                let address = self.code.f.ins().iadd(address, offset);
                self.code.load(dtype, 1, address, disp).v[0]
            })
            .collect();
        let loaded = self.code.gather(Form::of(dtype, lanes), &scalars);
        let zeros = self.code.splat_bits(loaded.form, lanes, 0);
        self.code.pick(&inside, &loaded, &zeros)
    }
}

impl Code<'_> {
    /// A group's lanes in reverse.
    fn reversed(&mut self, a: &Group) -> Group {
        let per = a.form.per_vector();
        let width = 16 / per;
        let bytes: [u8; 16] = std::array::from_fn(|i| (16 - width - i / width * width + i % width) as u8);
        let v = a.v.iter().rev().map(|x| self.shuffle(*x, *x, bytes)).collect();
        Group { form: a.form, lanes: a.lanes, v }
    }
}
