//! Floats of 16 bits as floats of 32, and back: in integers, as no vector instructions are for it.

use super::code::Code;
use super::group::{Form, Group};
use cranelift_codegen::ir::InstBuilder;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::I32;
use egrad_ir::{Binary, Dtype, Numerics, bf16, f16};

/// How far the exponent of an `f16` is moved to be that of an `f32`, where it lies there.
const REBIAS: u64 = (127 - 15) << 23;

impl Code<'_> {
    /// The same numbers, exactly; NaN as NaN.
    pub(super) fn widened(&mut self, a: &Group) -> Group {
        let x = Group { form: Form::I32, ..a.clone() };
        if a.form == Form::Bf16 {
            let high = self.up(&x, 16);
            return self.viewed(Form::F32, &high);
        }
        let (sign, size) = (self.masked(&x, 0x8000), self.masked(&x, 0x7fff));
        let sign = self.up(&sign, 16);
        let moved = self.up(&size, 13);
        let rebias = self.number(&x, REBIAS);
        let normal = self.sum(&moved, &rebias);
        // The largest exponent stays the largest.
        let endless = self.sum(&normal, &rebias);
        // Below 2⁻¹⁴ numbers are multiples of 2⁻²⁴.
        let count = self.convert(&size, Dtype::F32);
        let unit = self.splat_float(Form::F32, x.lanes, 2f64.powi(-24));
        let small = self.binary(Binary::Mul, &count, &unit, Numerics::Strict);
        let small = self.viewed(Form::I32, &small);
        let [infinity, least] = [0x7c00, 0x0400].map(|bits| self.number(&x, bits));
        let is_finite = self.icmp(IntCC::SignedLessThan, &size, &infinity);
        let is_small = self.icmp(IntCC::SignedLessThan, &size, &least);
        let bits = self.pick(&is_finite, &normal, &endless);
        let bits = self.pick(&is_small, &small, &bits);
        let bits = self.binary(Binary::Or, &bits, &sign, Numerics::Strict);
        self.viewed(Form::F32, &bits)
    }

    /// The nearest number of 16 bits (ties to even), infinity beyond the largest; the canonical NaN.
    pub(super) fn rounded(&mut self, a: &Group, form: Form) -> Group {
        debug_assert_eq!(a.form, Form::F32);
        let x = self.viewed(Form::I32, a);
        let (bits, nan) = match form {
            Form::Bf16 => (self.nearest(&x, 16), bf16::NAN.to_bits()),
            _ => (self.half(&x), f16::NAN.to_bits()),
        };
        let nan = self.number(&x, u64::from(nan));
        let is_number = self.fcmp(FloatCC::Ordered, a, a);
        let bits = self.pick(&is_number, &bits, &nan);
        Group { form, ..bits }
    }

    /// The bits of a number as an `f16`, of its bits as an `f32`.
    fn half(&mut self, x: &Group) -> Group {
        let size = self.masked(x, 0x7fff_ffff);
        let sign = self.down(x, 16);
        let sign = self.masked(&sign, 0x8000);
        // From 2¹⁶ on, where 65520 rounds to as well, it is infinity.
        let [most, rebias, least] =
            [(127 + 16) << 23, REBIAS.wrapping_neg() & 0xffff_ffff, (127 - 14) << 23].map(|bits| self.number(x, bits));
        let normal = self.binary(Binary::Min, &size, &most, Numerics::Strict);
        let normal = self.sum(&normal, &rebias);
        let normal = self.nearest(&normal, 13);
        // Below 2⁻¹⁴ it is a multiple of 2⁻²⁴, to which adding 1/2 rounds.
        let number = self.viewed(Form::F32, &size);
        let half = self.splat_float(Form::F32, x.lanes, 0.5);
        let moved = self.binary(Binary::Add, &number, &half, Numerics::Strict);
        let moved = self.viewed(Form::I32, &moved);
        let half = self.viewed(Form::I32, &half);
        let small = self.binary(Binary::Sub, &moved, &half, Numerics::Strict);
        let is_small = self.icmp(IntCC::SignedLessThan, &size, &least);
        let bits = self.pick(&is_small, &small, &normal);
        self.binary(Binary::Or, &bits, &sign, Numerics::Strict)
    }

    /// The bits of x from place `places` on, rounded to the nearest by those below, ties to even.
    fn nearest(&mut self, x: &Group, places: i64) -> Group {
        let last = self.down(x, places);
        let odd = self.masked(&last, 1);
        let under_half = self.number(x, (1 << (places - 1)) - 1);
        let sum = self.sum(x, &under_half);
        let sum = self.sum(&sum, &odd);
        self.down(&sum, places)
    }

    fn up(&mut self, x: &Group, places: i64) -> Group {
        self.map1(x.form, x, |c, v| {
            let k = c.f.ins().iconst(I32, places);
            c.f.ins().ishl(v, k)
        })
    }

    fn down(&mut self, x: &Group, places: i64) -> Group {
        self.map1(x.form, x, |c, v| {
            let k = c.f.ins().iconst(I32, places);
            c.f.ins().ushr(v, k)
        })
    }

    fn masked(&mut self, x: &Group, bits: u64) -> Group {
        let mask = self.number(x, bits);
        self.binary(Binary::And, x, &mask, Numerics::Strict)
    }

    fn sum(&mut self, x: &Group, y: &Group) -> Group {
        self.binary(Binary::Add, x, y, Numerics::Strict)
    }

    /// An integer in as many lanes.
    fn number(&mut self, like: &Group, bits: u64) -> Group {
        self.splat_bits(Form::I32, like.lanes, bits)
    }

    /// The same bits as another type.
    fn viewed(&mut self, form: Form, a: &Group) -> Group {
        let ty = form.ty(a.lanes);
        self.map1(form, a, |c, v| c.cast(ty, v))
    }
}
