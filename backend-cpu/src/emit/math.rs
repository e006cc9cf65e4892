//! The elementary functions: `egrad_ir::math` writes them once, in terms of [`Lanes`]; here `Lanes`
//! records instructions.

use super::code::Code;
use super::group::{Form, Group, Values};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use egrad_ir::math::{self, Elementary, Lanes, Rare};
use smallvec::SmallVec;

/// At most so many values make up a group.
const WIDEST: usize = 8;

/// Records the arithmetic of one group.
struct Recorder<'c, 'f> {
    code: &'c mut Code<'f>,
    /// `F32` or `F64`.
    float: Form,
    int: Form,
    lanes: usize,
}

/// The values of a group; floats or integers.
#[derive(Clone, Copy)]
pub(crate) struct Pack {
    v: [Value; WIDEST],
}

/// A truth value per lane, or its complement.
#[derive(Clone, Copy)]
pub(crate) struct Mask {
    pack: Pack,
    /// Turning a mask over costs nothing where a choice follows.
    inverted: bool,
}

impl Code<'_> {
    /// A function of `egrad_ir::math`.
    pub(crate) fn elementary(&mut self, op: Elementary, x: &Group) -> Group {
        let single = x.form == Form::F32;
        self.record(x, |r, x| if single { math::unary32(r, op, x) } else { math::unary64(r, op, x) })
    }

    /// xʸ
    pub(crate) fn power(&mut self, x: &Group, y: &Group) -> Group {
        let (single, y) = (x.form == Form::F32, Pack::of(&y.v));
        self.record(x, |r, x| if single { math::single::pow(r, x, y) } else { math::double::pow(r, x, y) })
    }

    /// The angle of the point (x, y).
    pub(crate) fn angle(&mut self, y: &Group, x: &Group) -> Group {
        let (single, x) = (y.form == Form::F32, Pack::of(&x.v));
        self.record(y, |r, y| if single { math::single::atan2(r, y, x) } else { math::double::atan2(r, y, x) })
    }

    /// What x/y rounded to zero leaves, of floats.
    pub(crate) fn remainder(&mut self, x: &Group, y: &Group) -> Group {
        let (single, y) = (x.form == Form::F32, Pack::of(&y.v));
        self.record(x, |r, x| if single { math::single::rem(r, x, y) } else { math::double::rem(r, x, y) })
    }

    fn record(&mut self, x: &Group, emit: impl FnOnce(&mut Recorder<'_, '_>, Pack) -> Pack) -> Group {
        let int = if x.form == Form::F32 { Form::I32 } else { Form::I64 };
        let mut recorder = Recorder { code: self, float: x.form, int, lanes: x.lanes };
        let y = emit(&mut recorder, Pack::of(&x.v));
        let v = y.v[..x.v.len()].into();
        Group { form: x.form, lanes: x.lanes, v }
    }
}

impl Pack {
    fn of(values: &[Value]) -> Pack {
        debug_assert!(!values.is_empty() && values.len() <= WIDEST);
        let mut v = [values[0]; WIDEST];
        v[..values.len()].copy_from_slice(values);
        Pack { v }
    }
}

impl Recorder<'_, '_> {
    fn count(&self) -> usize {
        self.float.count(self.lanes)
    }

    fn each1(&mut self, a: Pack, mut op: impl FnMut(&mut Code<'_>, Value) -> Value) -> Pack {
        let v: Values = a.v[..self.count()].iter().map(|a| op(self.code, *a)).collect();
        Pack::of(&v)
    }

    fn each2(&mut self, a: Pack, b: Pack, mut op: impl FnMut(&mut Code<'_>, Value, Value) -> Value) -> Pack {
        let n = self.count();
        let v: Values = a.v[..n].iter().zip(&b.v).map(|(a, b)| op(self.code, *a, *b)).collect();
        Pack::of(&v)
    }

    fn compare(&mut self, cc: FloatCC, a: Pack, b: Pack) -> Mask {
        Mask { pack: self.each2(a, b, |c, a, b| c.f.ins().fcmp(cc, a, b)), inverted: false }
    }

    fn group(&self, form: Form, pack: Pack) -> Group {
        Group { form, lanes: self.lanes, v: pack.v[..self.count()].into() }
    }

    /// The mask itself, not its complement.
    fn upright(&mut self, mask: Mask) -> Pack {
        if !mask.inverted {
            return mask.pack;
        }
        let scalar = self.lanes == 1;
        self.each1(mask.pack, |c, m| {
            if scalar {
                let one = c.f.ins().iconst(cranelift_codegen::ir::types::I8, 1);
                c.f.ins().bxor(m, one)
            } else {
                c.f.ins().bnot(m)
            }
        })
    }

    /// A shift by a constant that stands beside it, for the instruction selector.
    fn shift(&mut self, a: Pack, bits: u32, op: fn(&mut Code<'_>, Value, Value) -> Value) -> Pack {
        self.each1(a, |c, a| {
            let bits = c.f.ins().iconst(I32, i64::from(bits));
            op(c, a, bits)
        })
    }
}

impl Lanes for Recorder<'_, '_> {
    type F = Pack;
    type I = Pack;
    type M = Mask;

    fn float(&mut self, value: f64) -> Pack {
        let group = self.code.splat_float(self.float, self.lanes, value);
        Pack::of(&group.v)
    }

    fn int(&mut self, value: i64) -> Pack {
        let group = self.code.splat_bits(self.int, self.lanes, value as u64);
        Pack::of(&group.v)
    }

    fn add(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().fadd(a, b))
    }

    fn sub(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().fsub(a, b))
    }

    fn mul(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().fmul(a, b))
    }

    fn div(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().fdiv(a, b))
    }

    fn fma(&mut self, a: Pack, b: Pack, c: Pack) -> Pack {
        let v: Values = (0..self.count()).map(|k| self.code.f.ins().fma(a.v[k], b.v[k], c.v[k])).collect();
        Pack::of(&v)
    }

    fn neg(&mut self, a: Pack) -> Pack {
        self.each1(a, |c, a| c.f.ins().fneg(a))
    }

    fn abs(&mut self, a: Pack) -> Pack {
        self.each1(a, |c, a| c.f.ins().fabs(a))
    }

    fn sqrt(&mut self, a: Pack) -> Pack {
        self.each1(a, |c, a| c.f.ins().sqrt(a))
    }

    fn lt(&mut self, a: Pack, b: Pack) -> Mask {
        self.compare(FloatCC::LessThan, a, b)
    }

    fn le(&mut self, a: Pack, b: Pack) -> Mask {
        self.compare(FloatCC::LessThanOrEqual, a, b)
    }

    fn eq(&mut self, a: Pack, b: Pack) -> Mask {
        self.compare(FloatCC::Equal, a, b)
    }

    fn ne(&mut self, a: Pack, b: Pack) -> Mask {
        self.compare(FloatCC::NotEqual, a, b)
    }

    fn any_bit(&mut self, a: Pack, bits: i64) -> Mask {
        let (bits, zero) = (self.int(bits), self.int(0));
        let shared = self.int_and(a, bits);
        // Vectors compare for equality alone.
        Mask { pack: self.each2(shared, zero, |c, a, b| c.f.ins().icmp(IntCC::Equal, a, b)), inverted: true }
    }

    fn both(&mut self, a: Mask, b: Mask) -> Mask {
        let (a, b) = (self.upright(a), self.upright(b));
        Mask { pack: self.int_and(a, b), inverted: false }
    }

    fn either(&mut self, a: Mask, b: Mask) -> Mask {
        let (a, b) = (self.upright(a), self.upright(b));
        Mask { pack: self.int_or(a, b), inverted: false }
    }

    fn not(&mut self, a: Mask) -> Mask {
        Mask { inverted: !a.inverted, ..a }
    }

    fn select(&mut self, mask: Mask, yes: Pack, no: Pack) -> Pack {
        let (yes, no) = if mask.inverted { (no, yes) } else { (yes, no) };
        let form = self.float.compared(self.lanes);
        let [mask, yes, no] = [self.group(form, mask.pack), self.group(self.float, yes), self.group(self.float, no)];
        let chosen = self.code.pick(&mask, &yes, &no);
        Pack::of(&chosen.v)
    }

    fn bits_of(&mut self, a: Pack) -> Pack {
        let ty = self.int.ty(self.lanes);
        self.each1(a, |c, a| c.cast(ty, a))
    }

    fn of_bits(&mut self, a: Pack) -> Pack {
        let ty = self.float.ty(self.lanes);
        self.each1(a, |c, a| c.cast(ty, a))
    }

    fn int_add(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().iadd(a, b))
    }

    fn int_sub(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().isub(a, b))
    }

    fn int_and(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().band(a, b))
    }

    fn int_or(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().bor(a, b))
    }

    fn int_xor(&mut self, a: Pack, b: Pack) -> Pack {
        self.each2(a, b, |c, a, b| c.f.ins().bxor(a, b))
    }

    fn shl(&mut self, a: Pack, bits: u32) -> Pack {
        self.shift(a, bits, |c, a, bits| c.f.ins().ishl(a, bits))
    }

    fn shr(&mut self, a: Pack, bits: u32) -> Pack {
        self.shift(a, bits, |c, a, bits| c.f.ins().ushr(a, bits))
    }

    /// Out of line, by a call, when any lane asks for it.
    fn rarely(&mut self, when: Mask, x: [Pack; 2], usual: [Pack; 2], rare: Rare) -> [Pack; 2] {
        let n = self.count();
        let when = self.upright(when);
        let any = if self.lanes == 1 {
            when.v[0]
        } else {
            let mut all = when.v[0];
            for m in &when.v[1..n] {
                all = self.code.f.ins().bor(all, *m);
            }
            self.code.f.ins().vany_true(all)
        };
        let results: SmallVec<[Value; 2 * WIDEST]> =
            usual.iter().flat_map(|pack| pack.v[..n].iter().copied()).collect();
        let (bytes, ty) = (self.float.ty(self.lanes).bytes(), self.float.ty(self.lanes));
        let cold = self.code.begin_rarely(any, &results);
        // In memory: the two arguments, the two usual results and the mask, each for all lanes.
        let (_, memory) = self.code.stack(bytes as usize * n * 5);
        let mask_type = self.int.ty(self.lanes);
        let masks: Values = when.v[..n].iter().map(|m| self.code.wide_mask(mask_type, *m)).collect();
        let parts = x.iter().flat_map(|x| &x.v[..n]).chain(&results).chain(&masks);
        for (k, v) in parts.enumerate() {
            self.code.f.ins().store(Code::memory(), *v, memory, (k as u32 * bytes) as i32);
        }
        let lanes = self.code.f.ins().iconst(I64, self.lanes as i64);
        self.code.call(crate::symbols::rare(rare), &[memory, lanes]);
        let after: SmallVec<[Value; 2 * WIDEST]> = (2 * n..4 * n)
            .map(|k| self.code.f.ins().load(ty, Code::memory(), memory, (k as u32 * bytes) as i32))
            .collect();
        let results = self.code.end_rarely(&cold, &after);
        [Pack::of(&results[..n]), Pack::of(&results[n..])]
    }
}
