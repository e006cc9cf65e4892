//! Conversions between element types, as [`egrad_ir::Op::Convert`] defines them.

use super::code::Code;
use super::group::{Form, Group, Values};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, F64X2, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, Value};
use egrad_ir::{Dtype, Literal};

impl Code<'_> {
    /// The numbers of `a` as another type.
    pub(crate) fn convert(&mut self, a: &Group, to: Dtype) -> Group {
        let lanes = a.lanes;
        let form = Form::of(to, lanes);
        match (a.form, form) {
            (from, to) if from == to => a.clone(),
            (Form::Mask64, Form::Mask32) => a.clone(),
            (Form::Bit, Form::I32 | Form::U32 | Form::U8) => self.map1(form, a, |c, x| c.byte_to_i32(x)),
            (Form::Bit | Form::Mask32 | Form::Mask64, _) => {
                let one = Literal::new(to, 1.0).bits();
                let (one, zero) = (self.splat_bits(form, lanes, one), self.splat_bits(form, lanes, 0));
                self.pick(a, &one, &zero)
            }
            (Form::F16 | Form::Bf16, _) => {
                let wide = self.widened(a);
                self.convert(&wide, to)
            }
            (_, Form::F16 | Form::Bf16) => {
                let wide = self.convert(a, Dtype::F32);
                self.rounded(&wide, form)
            }
            (Form::F32 | Form::F64, Form::Bit | Form::Mask32) => {
                let zero = self.splat_bits(a.form, lanes, 0);
                self.fcmp(FloatCC::NotEqual, a, &zero)
            }
            (Form::I32 | Form::I64 | Form::U32 | Form::U8, Form::Bit | Form::Mask32) => {
                let zero = self.splat_bits(a.form, lanes, 0);
                self.icmp(IntCC::NotEqual, a, &zero)
            }
            (Form::F32 | Form::F64, Form::F32 | Form::F64) => self.float_to_float(a, form),
            (Form::F32 | Form::F64, _) => self.float_to_integer(a, form),
            (_, Form::F32 | Form::F64) => self.integer_to_float(a, form),
            (_, Form::I32 | Form::I64 | Form::U32 | Form::U8) => self.integer_to_integer(a, form),
            (from, to) => unreachable!("{from:?} to {to:?}"),
        }
    }

    fn float_to_float(&mut self, a: &Group, form: Form) -> Group {
        match (form, a.lanes) {
            (Form::F64, 1) => self.map1(form, a, |c, x| c.f.ins().fpromote(F64, x)),
            (Form::F64, _) => self.halves(form, a, |c, x| c.f.ins().fvpromote_low(x)),
            (_, 1) => self.map1(form, a, |c, x| c.f.ins().fdemote(F32, x)),
            _ => self.join(form, a, |c, x| c.f.ins().fvdemote(x)),
        }
    }

    /// Truncated and saturated.
    fn float_to_integer(&mut self, a: &Group, form: Form) -> Group {
        let ty = form.ty(a.lanes);
        match (a.form, form) {
            (_, Form::U8) => {
                let x = self.float_to_integer(a, Form::I32);
                let [zero, most] = [0, form.ones()].map(|bits| self.splat_bits(Form::I32, a.lanes, bits));
                let x = self.map2(form, &x, &zero, |c, x, zero| c.f.ins().smax(x, zero));
                self.map2(form, &x, &most, |c, x, most| c.f.ins().smin(x, most))
            }
            (_, Form::I64) => self.each_lane(form, a, |c, _, x| c.f.ins().fcvt_to_sint_sat(I64, x)),
            (Form::F32, Form::U32) => self.map1(form, a, |c, x| c.f.ins().fcvt_to_uint_sat(ty, x)),
            (Form::F32, _) => self.map1(form, a, |c, x| c.f.ins().fcvt_to_sint_sat(ty, x)),
            (_, Form::U32) if a.lanes == 1 => self.map1(form, a, |c, x| c.f.ins().fcvt_to_uint_sat(I32, x)),
            _ if a.lanes == 1 => self.map1(form, a, |c, x| c.f.ins().fcvt_to_sint_sat(I32, x)),
            // The selector knows these pairs (with a zero that stands beside them).
            (_, Form::U32) => self.join(form, a, |c, x| {
                let zero = c.zero_beside();
                let wide = c.f.ins().fcvt_to_uint_sat(I64X2, x);
                c.f.ins().uunarrow(wide, zero)
            }),
            _ => self.join(form, a, |c, x| {
                let zero = c.zero_beside();
                let wide = c.f.ins().fcvt_to_sint_sat(I64X2, x);
                c.f.ins().snarrow(wide, zero)
            }),
        }
    }

    fn zero_beside(&mut self) -> Value {
        let data = self.f.func.dfg.constants.insert(vec![0u8; 16].into());
        self.f.ins().vconst(I64X2, data)
    }

    fn integer_to_float(&mut self, a: &Group, form: Form) -> Group {
        let scalar = form.ty(1);
        match (a.form, form) {
            (Form::I64, _) => self.each_lane(form, a, |c, _, x| c.f.ins().fcvt_from_sint(scalar, x)),
            (Form::U32, _) if a.lanes == 1 => self.map1(form, a, |c, x| c.f.ins().fcvt_from_uint(scalar, x)),
            (_, _) if a.lanes == 1 => self.map1(form, a, |c, x| c.f.ins().fcvt_from_sint(scalar, x)),
            (Form::U32, Form::F32) => self.map1(form, a, |c, x| c.f.ins().fcvt_from_uint(form.ty(4), x)),
            (_, Form::F32) => self.map1(form, a, |c, x| c.f.ins().fcvt_from_sint(form.ty(4), x)),
            (Form::U32, _) => self.halves(form, a, |c, x| {
                let wide = c.f.ins().uwiden_low(x);
                c.f.ins().fcvt_from_uint(F64X2, wide)
            }),
            _ => self.halves(form, a, |c, x| {
                let wide = c.f.ins().swiden_low(x);
                c.f.ins().fcvt_from_sint(F64X2, wide)
            }),
        }
    }

    /// The low bits, or as many more as the sign says.
    fn integer_to_integer(&mut self, a: &Group, form: Form) -> Group {
        let (lanes, signed) = (a.lanes, a.form == Form::I32);
        let mut v = Values::new();
        match (a.form, form) {
            (Form::I64, _) if lanes == 1 => v.push(self.f.ins().ireduce(I32, a.v[0])),
            (Form::I64, _) => {
                for pair in a.v.chunks(2) {
                    let (x, y) = (self.cast(I32X4, pair[0]), self.cast(I32X4, pair[1]));
                    v.push(self.even_words(x, y));
                }
            }
            (_, Form::I64) if lanes == 1 && signed => v.push(self.f.ins().sextend(I64, a.v[0])),
            (_, Form::I64) if lanes == 1 => v.push(self.f.ins().uextend(I64, a.v[0])),
            (_, Form::I64) => {
                for x in &a.v {
                    if signed {
                        v.push(self.f.ins().swiden_low(*x));
                        v.push(self.f.ins().swiden_high(*x));
                    } else {
                        v.push(self.f.ins().uwiden_low(*x));
                        v.push(self.f.ins().uwiden_high(*x));
                    }
                }
            }
            _ => v.clone_from(&a.v),
        }
        self.narrow(Group { form, lanes, v })
    }

    /// Widens each vector: `op` makes two lanes of the low half of its operand.
    fn halves(&mut self, form: Form, a: &Group, mut op: impl FnMut(&mut Self, Value) -> Value) -> Group {
        let mut v = Values::new();
        for x in &a.v {
            v.push(op(self, *x));
            let high = self.high(*x);
            v.push(op(self, high));
        }
        Group { form, lanes: a.lanes, v }
    }

    /// Narrows pairs of vectors: `op` puts two lanes into the low half of its result.
    fn join(&mut self, form: Form, a: &Group, mut op: impl FnMut(&mut Self, Value) -> Value) -> Group {
        let mut v = Values::new();
        for pair in a.v.chunks(2) {
            let (x, y) = (op(self, pair[0]), op(self, pair[1]));
            v.push(self.low_halves(x, y));
        }
        Group { form, lanes: a.lanes, v }
    }
}
