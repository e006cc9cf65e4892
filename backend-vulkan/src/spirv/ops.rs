//! The primitives on values of a shader, by what `egrad_ir::scalar` means by them.
//!
//! GLSL's `FMax`, `FMin`, `FSign` and `Sqrt` leave NaN, zeros or negative operands to the driver,
//! and `ConvertFToS` all it can't represent: here they are comparisons and selects.

use super::{Emitter, Value, built};
use egrad_ir::math::Elementary;
use egrad_ir::op::{Binary, Compare, Unary};
use egrad_ir::{Dtype, Literal, elementary};
use rspirv::dr::{Error, Operand as Arg};
use rspirv::spirv::{Decoration, GlslStd450Op as Glsl, Word};

/// A builder's method for an instruction with two operands.
type Two = fn(&mut rspirv::dr::Builder, Word, Option<Word>, Word, Word) -> Result<Word, Error>;

impl Emitter {
    pub(super) fn unary(&mut self, op: Unary, x: Value) -> Value {
        let float = x.dtype.is_float();
        match op {
            Unary::Neg if float => self.value(x.dtype, |b, ty| b.f_negate(ty, None, x.id)),
            Unary::Neg => {
                let y = self.value(x.dtype, |b, ty| b.s_negate(ty, None, x.id));
                self.narrow(y)
            }
            Unary::Abs if float => self.glsl(Glsl::FAbs, x),
            Unary::Abs => {
                let (zero, minus) = (self.number(x.dtype, 0.0), self.unary(Unary::Neg, x));
                let negative = self.compare(Compare::Lt, x, zero);
                self.select(negative, minus, x)
            }
            Unary::Sign => {
                let [zero, one, minus] = [0.0, 1.0, -1.0].map(|n| self.number(x.dtype, n));
                let (above, below) = (self.compare(Compare::Gt, x, zero), self.compare(Compare::Lt, x, zero));
                let rest = self.select(below, minus, x);
                self.select(above, one, rest)
            }
            Unary::Floor => {
                let rounded = self.glsl(Glsl::Floor, x);
                self.integral(rounded, x)
            }
            Unary::Round => {
                // Floats from 2ᵐ on have no fraction: adding that rounds. Drivers' `RoundEven` of f64
                // is not to be relied on.
                let whole = if x.dtype == Dtype::F64 { 2f64.powi(52) } else { 2f64.powi(23) };
                let (whole, size) = (self.number(x.dtype, whole), self.glsl(Glsl::FAbs, x));
                let moved = self.value(x.dtype, |b, ty| b.f_add(ty, None, size.id, whole.id));
                self.exactly(moved);
                let rounded = self.value(x.dtype, |b, ty| b.f_sub(ty, None, moved.id, whole.id));
                self.exactly(rounded);
                let minus = self.unary(Unary::Neg, rounded);
                let zero = self.number(x.dtype, 0.0);
                let below = self.compare(Compare::Lt, x, zero);
                let signed = self.select(below, minus, rounded);
                self.integral(signed, x)
            }
            Unary::Sqrt => self.sqrt(x),
            Unary::Rsqrt => {
                let (one, root) = (self.number(x.dtype, 1.0), self.sqrt(x));
                self.binary(Binary::Div, one, root)
            }
            elementary!() => {
                let function = Elementary::of(op).expect("one of the elementary functions");
                self.elementary(function, x)
            }
            Unary::Not if x.dtype == Dtype::Bool => self.value(x.dtype, |b, ty| b.logical_not(ty, None, x.id)),
            Unary::Not => {
                let y = self.value(x.dtype, |b, ty| b.not(ty, None, x.id));
                self.narrow(y)
            }
            Unary::StopGradient | Unary::Barrier => x,
        }
    }

    pub(super) fn binary(&mut self, op: Binary, x: Value, y: Value) -> Value {
        type B = rspirv::dr::Builder;
        let (float, boolean) = (x.dtype.is_float(), x.dtype == Dtype::Bool);
        let two: Two = match op {
            Binary::Add if float => B::f_add,
            Binary::Add => B::i_add,
            Binary::Sub if float => B::f_sub,
            Binary::Sub => B::i_sub,
            Binary::Mul if float => B::f_mul,
            Binary::Mul => B::i_mul,
            Binary::Div if float => B::f_div,
            Binary::Div => return self.quotient(x, y),
            Binary::Rem if float => return self.remainder(x, y),
            Binary::Rem => {
                let quotient = self.quotient(x, y);
                let product = self.binary(Binary::Mul, quotient, y);
                return self.binary(Binary::Sub, x, product);
            }
            Binary::Atan2 => return self.atan2(x, y),
            Binary::And if boolean => B::logical_and,
            Binary::And => B::bitwise_and,
            Binary::Or if boolean => B::logical_or,
            Binary::Or => B::bitwise_or,
            Binary::Xor if boolean => B::logical_not_equal,
            Binary::Xor => B::bitwise_xor,
            Binary::ShiftLeft => return self.shift(B::shift_left_logical, x, y),
            Binary::ShiftRightLogical => return self.shift(B::shift_right_logical, x, y),
            Binary::ShiftRightArithmetic => {
                // The highest bit is all that is left after as many places as there are others, and
                // after more.
                let (places, most) = (self.places(y), self.number(y.dtype, last_place(y.dtype)));
                let y = self.select(places, y, most);
                let x = self.signed(x);
                return self.shift(B::shift_right_arithmetic, x, y);
            }
            Binary::Pow => return self.pow(x, y),
            Binary::Max => return self.extremum(Compare::Gt, B::bitwise_and, x, y),
            Binary::Min => return self.extremum(Compare::Lt, B::bitwise_or, x, y),
        };
        let value = self.value(x.dtype, |b, ty| two(b, ty, None, x.id, y.id));
        // A device that may ignore NaN is at least kept from rearranging.
        let keeps_nan = match x.dtype {
            Dtype::F32 => self.f32_caps.keeps_nan,
            Dtype::F64 => self.f64_caps.keeps_nan,
            Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => true,
        };
        if !keeps_nan {
            self.exactly(value);
        }
        self.narrow(value)
    }

    pub(super) fn compare(&mut self, op: Compare, x: Value, y: Value) -> Value {
        type B = rspirv::dr::Builder;
        let not = |e: &mut Emitter, v: Value| e.unary(Unary::Not, v);
        let two: Two = match (x.dtype, op) {
            (Dtype::F32 | Dtype::F64, Compare::Eq) => B::f_ord_equal,
            (Dtype::F32 | Dtype::F64, Compare::Ne) => B::f_unord_not_equal,
            (Dtype::F32 | Dtype::F64, Compare::Lt) => B::f_ord_less_than,
            (Dtype::F32 | Dtype::F64, Compare::Le) => B::f_ord_less_than_equal,
            (Dtype::F32 | Dtype::F64, Compare::Gt) => B::f_ord_greater_than,
            (Dtype::F32 | Dtype::F64, Compare::Ge) => B::f_ord_greater_than_equal,
            (Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8, Compare::Eq) => B::i_equal,
            (Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8, Compare::Ne) => B::i_not_equal,
            (Dtype::I32 | Dtype::I64, Compare::Lt) => B::s_less_than,
            (Dtype::I32 | Dtype::I64, Compare::Le) => B::s_less_than_equal,
            (Dtype::I32 | Dtype::I64, Compare::Gt) => B::s_greater_than,
            (Dtype::I32 | Dtype::I64, Compare::Ge) => B::s_greater_than_equal,
            (Dtype::U32 | Dtype::U8, Compare::Lt) => B::u_less_than,
            (Dtype::U32 | Dtype::U8, Compare::Le) => B::u_less_than_equal,
            (Dtype::U32 | Dtype::U8, Compare::Gt) => B::u_greater_than,
            (Dtype::U32 | Dtype::U8, Compare::Ge) => B::u_greater_than_equal,
            (Dtype::F16 | Dtype::Bf16, _) => unreachable!("verified: they are compared as `f32`"),
            (Dtype::Bool, Compare::Eq) => B::logical_equal,
            (Dtype::Bool, Compare::Ne) => B::logical_not_equal,
            (Dtype::Bool, Compare::Lt) => {
                let x = not(self, x);
                return self.binary(Binary::And, x, y);
            }
            (Dtype::Bool, Compare::Le) => {
                let x = not(self, x);
                return self.binary(Binary::Or, x, y);
            }
            (Dtype::Bool, Compare::Gt) => return self.compare(Compare::Lt, y, x),
            (Dtype::Bool, Compare::Ge) => return self.compare(Compare::Le, y, x),
        };
        self.value(Dtype::Bool, |b, ty| two(b, ty, None, x.id, y.id))
    }

    pub(super) fn select(&mut self, p: Value, x: Value, y: Value) -> Value {
        self.value(x.dtype, |b, ty| b.select(ty, None, p.id, x.id, y.id))
    }

    /// xⁿ by repeated squaring; for negative n the reciprocal of the positive power.
    pub(super) fn integer_pow(&mut self, n: i32, x: Value) -> Value {
        let one = self.number(x.dtype, 1.0);
        let (mut exponent, mut square, mut result) = (n.unsigned_abs(), x, None);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = Some(result.map_or(square, |r| self.binary(Binary::Mul, r, square)));
            }
            exponent >>= 1;
            if exponent > 0 {
                square = self.binary(Binary::Mul, square, square);
            }
        }
        match result {
            None => one,
            Some(r) if n < 0 => self.binary(Binary::Div, one, r),
            Some(r) => r,
        }
    }

    pub(super) fn convert(&mut self, to: Dtype, x: Value) -> Value {
        if x.dtype == to {
            return x;
        }
        let zero = self.number(x.dtype, 0.0);
        match (x.dtype, to) {
            (Dtype::F16 | Dtype::Bf16, _) => {
                let wide = self.widened(x);
                self.convert(to, wide)
            }
            (_, Dtype::Bool) => self.compare(Compare::Ne, x, zero),
            (Dtype::Bool, _) => {
                let [one, zero] = [1.0, 0.0].map(|n| self.number(to, n));
                self.select(x, one, zero)
            }
            (_, Dtype::F16 | Dtype::Bf16) => {
                let wide = self.convert(Dtype::F32, x);
                self.rounded(to, wide)
            }
            (Dtype::F32 | Dtype::F64, Dtype::F32 | Dtype::F64) => self.value(to, |b, ty| b.f_convert(ty, None, x.id)),
            (Dtype::I32 | Dtype::I64, Dtype::F32 | Dtype::F64) => {
                self.value(to, |b, ty| b.convert_s_to_f(ty, None, x.id))
            }
            (Dtype::U32 | Dtype::U8, Dtype::F32 | Dtype::F64) => {
                self.value(to, |b, ty| b.convert_u_to_f(ty, None, x.id))
            }
            (Dtype::F32 | Dtype::F64, Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8) => self.saturated(to, x),
            (Dtype::I32, Dtype::I64) => {
                // Not by `OpSConvert`: Mesa takes comparisons of what that gives with constants for false.
                let wide = self.value(to, |b, ty| b.u_convert(ty, None, x.id));
                let sign = self.literal(Literal::wrapped(to, 1 << 31));
                let flipped = self.binary(Binary::Xor, wide, sign);
                self.binary(Binary::Sub, flipped, sign)
            }
            (Dtype::U32 | Dtype::U8, Dtype::I64) | (Dtype::I64, _) => {
                let y = self.value(to, |b, ty| b.u_convert(ty, None, x.id));
                self.narrow(y)
            }
            (Dtype::I32 | Dtype::U32 | Dtype::U8, Dtype::I32 | Dtype::U32 | Dtype::U8) => {
                self.narrow(Value { id: x.id, dtype: to })
            }
        }
    }

    /// A float as an integer: where truncation gives what the type holds, that; 0 elsewhere (NaN too),
    /// and then the ends.
    fn saturated(&mut self, to: Dtype, x: Value) -> Value {
        type B = rspirv::dr::Builder;
        // What lies between these is truncated to an integer of the type.
        let places = last_place(to) as i32;
        let (low, high) = match (to.is_unsigned(), x.dtype) {
            (true, _) => (0.0, 2f64.powi(places + 1)),
            (false, Dtype::F64) if to != Dtype::I64 => (-2f64.powi(places) - 1.0, 2f64.powi(places)),
            // There is no float between the least and the next one below.
            (false, Dtype::F64) => ((-2f64.powi(places)).next_down(), 2f64.powi(places)),
            (false, _) => (f64::from((-2f32.powi(places)).next_down()), 2f64.powi(places)),
        };
        let [low, high, zero] = [low, high, 0.0].map(|n| self.number(x.dtype, n));
        let (above, below) = (self.compare(Compare::Ge, x, high), self.compare(Compare::Le, x, low));
        let inside = (self.compare(Compare::Gt, x, low), self.compare(Compare::Lt, x, high));
        let inside = self.binary(Binary::And, inside.0, inside.1);
        let safe = self.select(inside, x, zero);
        let by = if to.is_unsigned() { B::convert_f_to_u } else { B::convert_f_to_s };
        let number = self.value(to, |b, ty| by(b, ty, None, safe.id));
        let [least, most] = [f64::NEG_INFINITY, f64::INFINITY].map(|n| self.number(to, n));
        let number = self.select(below, least, number);
        self.select(above, most, number)
    }

    /// The low bits that elements of the type have.
    fn narrow(&mut self, x: Value) -> Value {
        if x.dtype != Dtype::U8 {
            return x;
        }
        let low = self.u32(0xff);
        self.value(x.dtype, |b, ty| b.bitwise_and(ty, None, x.id, low))
    }

    /// The highest bit in all places that are computed with above it.
    fn signed(&mut self, x: Value) -> Value {
        if x.dtype != Dtype::U8 {
            return x;
        }
        let places = self.u32(24);
        let high = self.value(x.dtype, |b, ty| b.shift_left_logical(ty, None, x.id, places));
        self.value(x.dtype, |b, ty| b.shift_right_arithmetic(ty, None, high.id, places))
    }

    /// The quotient of integers rounded to zero; all bits where y is 0, x where y is -1 and -x
    /// overflows. SPIR-V leaves both cases open.
    fn quotient(&mut self, x: Value, y: Value) -> Value {
        let [ones, zero, one] = [-1, 0, 1].map(|n| self.literal(Literal::wrapped(y.dtype, n)));
        let by_zero = self.compare(Compare::Eq, y, zero);
        if y.dtype.is_unsigned() {
            let divisor = self.select(by_zero, one, y);
            let quotient = self.value(x.dtype, |b, ty| b.u_div(ty, None, x.id, divisor.id));
            return self.select(by_zero, ones, quotient);
        }
        let negates = self.compare(Compare::Eq, y, ones);
        let odd = self.binary(Binary::Or, by_zero, negates);
        let divisor = self.select(odd, one, y);
        let quotient = self.value(x.dtype, |b, ty| b.s_div(ty, None, x.id, divisor.id));
        let negated = self.unary(Unary::Neg, x);
        let rest = self.select(negates, negated, quotient);
        self.select(by_zero, ones, rest)
    }

    /// Whether a shift by y leaves anything: it is not negative, and below how many bits there are.
    fn places(&mut self, y: Value) -> Value {
        let far = self.literal(Literal::wrapped(y.dtype, !(last_place(y.dtype) as i64)));
        let far = self.binary(Binary::And, y, far);
        let zero = self.number(y.dtype, 0.0);
        self.compare(Compare::Eq, far, zero)
    }

    /// x shifted by y places, 0 where SPIR-V leaves open what that is.
    fn shift(&mut self, by: Two, x: Value, y: Value) -> Value {
        let (places, zero) = (self.places(y), self.number(x.dtype, 0.0));
        let shift = self.select(places, y, zero);
        let shifted = self.value(x.dtype, |b, ty| by(b, ty, None, x.id, shift.id));
        let shifted = self.narrow(shifted);
        self.select(places, shifted, zero)
    }

    /// What x is rounded to, in the sign of x where it is a zero; zero, large, infinite and NaN as they
    /// are.
    fn integral(&mut self, rounded: Value, x: Value) -> Value {
        let whole = if x.dtype == Dtype::F64 { 2f64.powi(52) } else { 2f64.powi(23) };
        let [minus_zero, zero, whole] = [-0.0, 0.0, whole].map(|n| self.number(x.dtype, n));
        let (below, gone) = (self.compare(Compare::Lt, x, zero), self.compare(Compare::Eq, rounded, zero));
        let signed = self.select(below, minus_zero, zero);
        let rounded = self.select(gone, signed, rounded);
        let size = self.glsl(Glsl::FAbs, x);
        let (some, small) = (self.compare(Compare::Gt, size, zero), self.compare(Compare::Lt, size, whole));
        let changes = self.binary(Binary::And, some, small);
        self.select(changes, rounded, x)
    }

    /// NaN if either is; else the one that wins; of equals, the bits combined: those of zeros of
    /// both signs give the right sign, all others are the same.
    fn extremum(&mut self, wins: Compare, combine: Two, x: Value, y: Value) -> Value {
        let x_wins = self.compare(wins, x, y);
        if !x.dtype.is_float() {
            return self.select(x_wins, x, y);
        }
        let y_wins = self.compare(wins, y, x);
        let ty = self.bits(x.dtype);
        let bits = [x, y].map(|v| built(self.b.bitcast(ty, None, v.id)));
        let bits = built(combine(&mut self.b, ty, None, bits[0], bits[1]));
        let equal = self.value(x.dtype, |b, ty| b.bitcast(ty, None, bits));
        let (nan, x_nan, y_nan) = (self.number(x.dtype, f64::NAN), self.is_nan(x), self.is_nan(y));
        let rest = self.select(y_wins, y, equal);
        let rest = self.select(x_wins, x, rest);
        let either = self.binary(Binary::Or, x_nan, y_nan);
        self.select(either, nan, rest)
    }

    /// √x: NaN below 0; zeros, infinity and NaN stay.
    pub(super) fn sqrt(&mut self, x: Value) -> Value {
        let root = self.glsl(Glsl::Sqrt, x);
        let [zero, infinity, nan] = [0.0, f64::INFINITY, f64::NAN].map(|n| self.number(x.dtype, n));
        let (above, below) = (self.compare(Compare::Gt, x, zero), self.compare(Compare::Lt, x, zero));
        let finite = self.compare(Compare::Lt, x, infinity);
        let ordinary = self.binary(Binary::And, above, finite);
        let rest = self.select(below, nan, x);
        self.select(ordinary, root, rest)
    }

    pub(super) fn is_nan(&mut self, x: Value) -> Value {
        match x.dtype {
            // By the bits: a device need not honour NaN in comparisons.
            Dtype::F32 => {
                let (u32, boolean) = (self.types.u32, self.types.boolean);
                let (mask, infinity) = (self.u32(0x7fff_ffff), self.u32(0x7f80_0000));
                let bits = built(self.b.bitcast(u32, None, x.id));
                let bits = built(self.b.bitwise_and(u32, None, bits, mask));
                let id = built(self.b.u_greater_than(boolean, None, bits, infinity));
                Value { id, dtype: Dtype::Bool }
            }
            Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                self.compare(Compare::Ne, x, x)
            }
        }
    }

    /// The type of a float's bits: an integer, or two.
    fn bits(&mut self, dtype: Dtype) -> Word {
        match dtype {
            Dtype::F64 => self.b.type_vector(self.types.u32, 2),
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => {
                self.types.u32
            }
        }
    }

    /// Keeps the device from contracting or rearranging what makes this value.
    pub(super) fn exactly(&mut self, value: Value) {
        self.b.decorate(value.id, Decoration::NoContraction, []);
    }

    pub(super) fn number(&mut self, dtype: Dtype, n: f64) -> Value {
        self.literal(Literal::new(dtype, n))
    }

    /// An instruction's result.
    pub(super) fn value(
        &mut self,
        dtype: Dtype,
        f: impl FnOnce(&mut rspirv::dr::Builder, Word) -> Result<Word, Error>,
    ) -> Value {
        let ty = self.computed(dtype);
        Value { id: built(f(&mut self.b, ty)), dtype }
    }

    fn glsl(&mut self, op: Glsl, x: Value) -> Value {
        let set = self.glsl;
        self.value(x.dtype, |b, ty| b.ext_inst(ty, None, set, op as Word, [Arg::IdRef(x.id)]))
    }
}

/// The highest bit of an integer of the type.
fn last_place(dtype: Dtype) -> f64 {
    (8 * dtype.bytes() - 1) as f64
}
