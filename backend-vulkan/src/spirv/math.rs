//! Elementary functions: those of [`egrad_ir::math`], which the CPU runs as well, in SPIR-V.
//!
//! Vulkan keeps the contract of [`Lanes`] but for this: division and square root are a few units
//! in the last place off, subnormal numbers may be flushed, and `Fma` need not be fused. Where it
//! isn't (software devices), it is computed in wider floats, or in two of them, so that what the
//! functions make of its one rounding holds.

use super::{Emitter, Value, built};
use crate::device::Caps;
use egrad_ir::Dtype;
use egrad_ir::math::{self, Elementary, Lanes, Rare};
use egrad_ir::op::{Binary, Compare};
use rspirv::dr::{Builder, Error, Operand as Arg};
use rspirv::spirv::{GlslStd450Op as Glsl, SelectionControl, Word};

/// How a·b + c is computed with one rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fma {
    /// By the device.
    Fused,
    /// In f64, for f32: the product is exact there.
    Wide,
    /// With the errors of the product and of the sum carried along.
    Split,
}

impl Fma {
    pub(super) fn of(dtype: Dtype, caps: &Caps) -> Fma {
        if caps.fused {
            Fma::Fused
        } else if dtype == Dtype::F32 && caps.float64 {
            Fma::Wide
        } else {
            Fma::Split
        }
    }
}

impl Emitter {
    pub(super) fn elementary(&mut self, function: Elementary, x: Value) -> Value {
        let of = if x.dtype == Dtype::F64 { math::unary64 } else { math::unary32 };
        let id = of(&mut Shader::new(self, x.dtype), function, x.id);
        Value { id, dtype: x.dtype }
    }

    /// Whether the device computes a·b + c with one rounding.
    pub(super) fn fuses(&self, dtype: Dtype) -> bool {
        self.fma[usize::from(dtype == Dtype::F64)] == Fma::Fused
    }

    /// a·b + c by the device.
    pub(super) fn fused(&mut self, a: Value, b: Value, c: Value) -> Value {
        let id = Shader::new(self, a.dtype).glsl(Glsl::Fma, &[a.id, b.id, c.id]);
        Value { id, dtype: a.dtype }
    }

    pub(super) fn pow(&mut self, x: Value, y: Value) -> Value {
        let of = if x.dtype == Dtype::F64 { math::double::pow } else { math::single::pow };
        let id = of(&mut Shader::new(self, x.dtype), x.id, y.id);
        Value { id, dtype: x.dtype }
    }

    pub(super) fn atan2(&mut self, y: Value, x: Value) -> Value {
        let of = if x.dtype == Dtype::F64 { math::double::atan2 } else { math::single::atan2 };
        let id = of(&mut Shader::new(self, x.dtype), y.id, x.id);
        Value { id, dtype: x.dtype }
    }

    /// What x/y rounded to zero leaves, of floats.
    pub(super) fn remainder(&mut self, x: Value, y: Value) -> Value {
        let of = if x.dtype == Dtype::F64 { math::double::rem } else { math::single::rem };
        let id = of(&mut Shader::new(self, x.dtype), x.id, y.id);
        Value { id, dtype: x.dtype }
    }
}

/// One lane: an invocation's. Ids of floats, of integers as wide, and of `OpTypeBool`.
struct Shader<'a> {
    e: &'a mut Emitter,
    dtype: Dtype,
    float: Word,
    int: Word,
}

impl Shader<'_> {
    fn new(e: &mut Emitter, dtype: Dtype) -> Shader<'_> {
        let (float, int) = match dtype {
            Dtype::F64 => (e.f64_type(), e.u64_type()),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                (e.types.f32, e.types.u32)
            }
        };
        Shader { e, dtype, float, int }
    }

    /// A float operation that stays as it is.
    fn exact(&mut self, f: impl FnOnce(&mut Builder, Word) -> Result<Word, Error>) -> Word {
        let id = built(f(&mut self.e.b, self.float));
        self.e.exactly(Value { id, dtype: self.dtype });
        id
    }

    fn integer(&mut self, f: impl FnOnce(&mut Builder, Word) -> Result<Word, Error>) -> Word {
        built(f(&mut self.e.b, self.int))
    }

    fn compare(&mut self, op: Compare, x: Word, y: Word) -> Word {
        let [x, y] = [x, y].map(|id| Value { id, dtype: self.dtype });
        self.e.compare(op, x, y).id
    }

    fn logic(&mut self, op: Binary, x: Word, y: Word) -> Word {
        let [x, y] = [x, y].map(|id| Value { id, dtype: Dtype::Bool });
        self.e.binary(op, x, y).id
    }

    /// a·b + c in f64, rounded to f32 at the end.
    fn wide_fma(&mut self, terms: [Word; 3]) -> Word {
        let wide = self.e.f64_type();
        let [a, b, c] = terms.map(|t| built(self.e.b.f_convert(wide, None, t)));
        let product = built(self.e.b.f_mul(wide, None, a, b));
        self.e.exactly(Value { id: product, dtype: Dtype::F64 });
        let sum = built(self.e.b.f_add(wide, None, product, c));
        self.e.exactly(Value { id: sum, dtype: Dtype::F64 });
        built(self.e.b.f_convert(self.float, None, sum))
    }

    /// `a` as a sum of two floats of half the digits (Veltkamp).
    fn halves(&mut self, a: Word) -> [Word; 2] {
        let digits = if self.dtype == Dtype::F64 { 27 } else { 12 };
        let factor = self.float(f64::from((1u32 << digits) + 1));
        let scaled = self.mul(factor, a);
        let above = self.sub(scaled, a);
        let high = self.sub(scaled, above);
        [high, self.sub(a, high)]
    }

    /// a·b + c from the product and its error (Dekker) and the sum and its error (Knuth); where
    /// that overflows, the operations as they are.
    fn split_fma(&mut self, [a, b, c]: [Word; 3]) -> Word {
        let product = self.mul(a, b);
        let plain = self.add(product, c);
        let ([ah, al], [bh, bl]) = (self.halves(a), self.halves(b));
        let mut error = self.mul(ah, bh);
        error = self.sub(error, product);
        for (x, y) in [(ah, bl), (al, bh), (al, bl)] {
            let part = self.mul(x, y);
            error = self.add(error, part);
        }
        let c_part = self.sub(plain, product);
        let product_part = self.sub(plain, c_part);
        let product_rest = self.sub(product, product_part);
        let c_rest = self.sub(c, c_part);
        let rest = self.add(product_rest, c_rest);
        let rest = self.add(rest, error);
        let sum = self.add(plain, rest);
        let size = self.abs(sum);
        let infinity = self.float(f64::INFINITY);
        let finite = self.lt(size, infinity);
        self.select(finite, sum, plain)
    }

    fn glsl(&mut self, op: Glsl, args: &[Word]) -> Word {
        let set = self.e.glsl;
        let args = args.iter().map(|a| Arg::IdRef(*a));
        built(self.e.b.ext_inst(self.float, None, set, op as Word, args))
    }
}

impl Lanes for Shader<'_> {
    type F = Word;
    type I = Word;
    type M = Word;

    fn float(&mut self, value: f64) -> Word {
        self.e.number(self.dtype, value).id
    }
    fn int(&mut self, value: i64) -> Word {
        match self.dtype {
            Dtype::F64 => self.e.u64(value as u64),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                self.e.u32(value as u32)
            }
        }
    }

    fn add(&mut self, a: Word, b: Word) -> Word {
        self.exact(|e, ty| e.f_add(ty, None, a, b))
    }
    fn sub(&mut self, a: Word, b: Word) -> Word {
        self.exact(|e, ty| e.f_sub(ty, None, a, b))
    }
    fn mul(&mut self, a: Word, b: Word) -> Word {
        self.exact(|e, ty| e.f_mul(ty, None, a, b))
    }
    fn div(&mut self, a: Word, b: Word) -> Word {
        self.exact(|e, ty| e.f_div(ty, None, a, b))
    }
    fn fma(&mut self, a: Word, b: Word, c: Word) -> Word {
        let fma = match self.dtype {
            Dtype::F64 => self.e.fma[1],
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                self.e.fma[0]
            }
        };
        match fma {
            Fma::Fused => {
                let id = self.glsl(Glsl::Fma, &[a, b, c]);
                self.e.exactly(Value { id, dtype: self.dtype });
                id
            }
            Fma::Wide => self.wide_fma([a, b, c]),
            Fma::Split => self.split_fma([a, b, c]),
        }
    }
    fn neg(&mut self, a: Word) -> Word {
        self.exact(|e, ty| e.f_negate(ty, None, a))
    }
    fn abs(&mut self, a: Word) -> Word {
        self.glsl(Glsl::FAbs, &[a])
    }
    fn sqrt(&mut self, a: Word) -> Word {
        self.e.sqrt(Value { id: a, dtype: self.dtype }).id
    }

    fn lt(&mut self, a: Word, b: Word) -> Word {
        self.compare(Compare::Lt, a, b)
    }
    fn le(&mut self, a: Word, b: Word) -> Word {
        self.compare(Compare::Le, a, b)
    }
    fn eq(&mut self, a: Word, b: Word) -> Word {
        self.compare(Compare::Eq, a, b)
    }
    fn ne(&mut self, a: Word, b: Word) -> Word {
        self.compare(Compare::Ne, a, b)
    }
    fn any_bit(&mut self, a: Word, bits: i64) -> Word {
        let (bits, zero, boolean) = (self.int(bits), self.int(0), self.e.types.boolean);
        let shared = self.int_and(a, bits);
        built(self.e.b.i_not_equal(boolean, None, shared, zero))
    }

    fn both(&mut self, a: Word, b: Word) -> Word {
        self.logic(Binary::And, a, b)
    }
    fn either(&mut self, a: Word, b: Word) -> Word {
        self.logic(Binary::Or, a, b)
    }
    fn not(&mut self, a: Word) -> Word {
        let boolean = self.e.types.boolean;
        built(self.e.b.logical_not(boolean, None, a))
    }
    fn select(&mut self, mask: Word, yes: Word, no: Word) -> Word {
        built(self.e.b.select(self.float, None, mask, yes, no))
    }

    fn bits_of(&mut self, a: Word) -> Word {
        built(self.e.b.bitcast(self.int, None, a))
    }
    fn of_bits(&mut self, a: Word) -> Word {
        built(self.e.b.bitcast(self.float, None, a))
    }

    fn int_add(&mut self, a: Word, b: Word) -> Word {
        self.integer(|e, ty| e.i_add(ty, None, a, b))
    }
    fn int_sub(&mut self, a: Word, b: Word) -> Word {
        self.integer(|e, ty| e.i_sub(ty, None, a, b))
    }
    fn int_and(&mut self, a: Word, b: Word) -> Word {
        self.integer(|e, ty| e.bitwise_and(ty, None, a, b))
    }
    fn int_or(&mut self, a: Word, b: Word) -> Word {
        self.integer(|e, ty| e.bitwise_or(ty, None, a, b))
    }
    fn int_xor(&mut self, a: Word, b: Word) -> Word {
        self.integer(|e, ty| e.bitwise_xor(ty, None, a, b))
    }
    fn shl(&mut self, a: Word, bits: u32) -> Word {
        let bits = self.e.u32(bits);
        self.integer(|e, ty| e.shift_left_logical(ty, None, a, bits))
    }
    fn shr(&mut self, a: Word, bits: u32) -> Word {
        let bits = self.e.u32(bits);
        self.integer(|e, ty| e.shift_right_logical(ty, None, a, bits))
    }

    /// A branch: invocations that don't ask skip the work.
    fn rarely(&mut self, when: Word, x: [Word; 2], usual: [Word; 2], rare: Rare) -> [Word; 2] {
        let (before, work, end) = (self.e.block, self.e.b.id(), self.e.b.id());
        built(self.e.b.selection_merge(end, SelectionControl::NONE));
        built(self.e.b.branch_conditional(when, work, end, []));
        self.e.begin(work);
        let results = rare.emit(self, x);
        let after = self.e.block;
        built(self.e.b.branch(end));
        self.e.begin(end);
        [0, 1].map(|i| {
            let sources = [(results[i], after), (usual[i], before)];
            built(self.e.b.phi(self.float, None, sources))
        })
    }
}
