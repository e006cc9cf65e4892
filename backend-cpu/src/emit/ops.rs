//! The primitives on groups, with the semantics of [`egrad_ir::scalar`].

use super::code::Code;
use super::group::{Form, Group};
use crate::unroll::joining;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{I8, I32};
use cranelift_codegen::ir::{InstBuilder, Value};
use egrad_ir::math::Elementary;
use egrad_ir::{Binary, Compare, Dtype, Numerics, Reduce, Unary, elementary};

impl Code<'_> {
    /// An elementwise function of one operand.
    pub(crate) fn unary(&mut self, op: Unary, x: &Group) -> Group {
        let form = x.form;
        let float = form.is_float();
        match op {
            Unary::Neg if float => self.map1(form, x, |c, v| c.f.ins().fneg(v)),
            Unary::Neg => {
                let y = self.map1(form, x, |c, v| c.f.ins().ineg(v));
                self.narrow(y)
            }
            Unary::Abs if float => self.map1(form, x, |c, v| c.f.ins().fabs(v)),
            Unary::Abs => self.map1(form, x, |c, v| c.f.ins().iabs(v)),
            Unary::Sign if float => {
                let (one, sign) = (self.splat_float(form, x.lanes, 1.0), self.splat_float(form, x.lanes, -0.0));
                let signed = self.map2(form, x, &sign, |c, v, sign| c.f.ins().band(v, sign));
                let signed = self.map2(form, &signed, &one, |c, v, one| c.f.ins().bor(v, one));
                let size = self.map1(form, x, |c, v| c.f.ins().fabs(v));
                let zero = self.splat_bits(form, x.lanes, 0);
                // False for zeros and for NaN, which stay as they are.
                let nonzero = self.fcmp(FloatCC::LessThan, &zero, &size);
                self.pick(&nonzero, &signed, x)
            }
            Unary::Sign if matches!(form, Form::U32 | Form::U8) => {
                let one = self.splat_bits(form, x.lanes, 1);
                self.map2(form, x, &one, |c, v, one| c.f.ins().umin(v, one))
            }
            Unary::Sign => {
                let last = i64::from(form.bits() - 1);
                let negative = self.map1(form, x, |c, v| {
                    let k = c.f.ins().iconst(I32, last);
                    c.f.ins().sshr(v, k)
                });
                self.map2(form, x, &negative, |c, v, negative| {
                    let minus = c.f.ins().ineg(v);
                    let k = c.f.ins().iconst(I32, last);
                    let positive = c.f.ins().ushr(minus, k);
                    c.f.ins().bor(negative, positive)
                })
            }
            Unary::Floor => self.map1(form, x, |c, v| c.f.ins().floor(v)),
            Unary::Round => self.map1(form, x, |c, v| c.f.ins().nearest(v)),
            Unary::Sqrt => self.map1(form, x, |c, v| c.f.ins().sqrt(v)),
            Unary::Rsqrt => {
                let root = self.map1(form, x, |c, v| c.f.ins().sqrt(v));
                let one = self.splat_float(form, x.lanes, 1.0);
                self.map2(form, &one, &root, |c, one, v| c.f.ins().fdiv(one, v))
            }
            Unary::Not if form == Form::Bit => self.map1(form, x, |c, v| {
                let one = c.f.ins().iconst(I8, 1);
                c.f.ins().bxor(v, one)
            }),
            Unary::Not => {
                let y = self.map1(form, x, |c, v| c.f.ins().bnot(v));
                self.narrow(y)
            }
            Unary::StopGradient | Unary::Barrier => x.clone(),
            elementary!() => {
                let function = Elementary::of(op).expect("one of the elementary functions");
                self.elementary(function, x)
            }
        }
    }

    /// An elementwise function of two operands.
    pub(crate) fn binary(&mut self, op: Binary, x: &Group, y: &Group, numerics: Numerics) -> Group {
        let float = x.form.is_float();
        let each = |c: &mut Self, f: fn(&mut Self, Value, Value) -> Value| c.map2(x.form, x, y, f);
        match op {
            Binary::Add if float => each(self, |c, a, b| c.f.ins().fadd(a, b)),
            Binary::Add => {
                let sum = each(self, |c, a, b| c.f.ins().iadd(a, b));
                self.narrow(sum)
            }
            Binary::Sub if float => each(self, |c, a, b| c.f.ins().fsub(a, b)),
            Binary::Sub => {
                let difference = each(self, |c, a, b| c.f.ins().isub(a, b));
                self.narrow(difference)
            }
            Binary::Mul if float => each(self, |c, a, b| c.f.ins().fmul(a, b)),
            Binary::Mul => {
                let product = each(self, |c, a, b| c.f.ins().imul(a, b));
                self.narrow(product)
            }
            Binary::Div if float => each(self, |c, a, b| c.f.ins().fdiv(a, b)),
            Binary::Div => self.integer_quotient(x, y),
            Binary::Rem if float => self.remainder(x, y),
            Binary::Rem => {
                let quotient = self.integer_quotient(x, y);
                let product = self.map2(x.form, &quotient, y, |c, q, y| c.f.ins().imul(q, y));
                self.map2(x.form, x, &product, |c, x, product| c.f.ins().isub(x, product))
            }
            Binary::Atan2 => self.angle(x, y),
            Binary::Pow => self.power(x, y),
            // Two instructions and a blend, which leave the sign of a zero open.
            Binary::Max if float && x.lanes > 1 && numerics == Numerics::Fast => self.larger(x, y, false),
            Binary::Min if float && x.lanes > 1 && numerics == Numerics::Fast => self.larger(x, y, true),
            Binary::Max if float => each(self, |c, a, b| c.f.ins().fmax(a, b)),
            Binary::Min if float => each(self, |c, a, b| c.f.ins().fmin(a, b)),
            Binary::Max | Binary::Min if x.form == Form::I64 && x.lanes > 1 => {
                let more = self.icmp(IntCC::SignedGreaterThan, x, y);
                if op == Binary::Max { self.pick(&more, x, y) } else { self.pick(&more, y, x) }
            }
            Binary::Max if x.form == Form::U32 => each(self, |c, a, b| c.f.ins().umax(a, b)),
            Binary::Min if x.form == Form::U32 => each(self, |c, a, b| c.f.ins().umin(a, b)),
            Binary::Max => each(self, |c, a, b| c.f.ins().smax(a, b)),
            Binary::Min => each(self, |c, a, b| c.f.ins().smin(a, b)),
            Binary::And => self.bits(x, y, |c, a, b| c.f.ins().band(a, b)),
            Binary::Or => self.bits(x, y, |c, a, b| c.f.ins().bor(a, b)),
            Binary::Xor => self.bits(x, y, |c, a, b| c.f.ins().bxor(a, b)),
            Binary::ShiftLeft => self.shift(x, y, |c, v, k| c.f.ins().ishl(v, k)),
            Binary::ShiftRightLogical => self.shift(x, y, |c, v, k| c.f.ins().ushr(v, k)),
            Binary::ShiftRightArithmetic => {
                // The highest bit is all that is left after as many places as there are others, and
                // after more.
                let most = self.splat_bits(x.form, x.lanes, u64::from(x.form.bits() - 1));
                let near = self.near(y);
                let y = self.pick(&near, y, &most);
                let x = self.signed(x);
                self.shift(&x, &y, |c, v, k| c.f.ins().sshr(v, k))
            }
        }
    }

    /// The quotient of integers rounded to zero; all bits where y is 0, x where y is -1 and -x
    /// overflows.
    fn integer_quotient(&mut self, x: &Group, y: &Group) -> Group {
        let (form, lanes) = (x.form, x.lanes);
        let [ones, zero] = [form.ones(), 0].map(|bits| self.splat_bits(form, lanes, bits));
        let by_zero = self.icmp(IntCC::Equal, y, &zero);
        if matches!(form, Form::U32 | Form::U8) {
            let quotient = self.quotient_in_f64(x, y);
            return self.pick(&by_zero, &ones, &quotient);
        }
        let negated = self.map1(form, x, |c, v| c.f.ins().ineg(v));
        let negates = self.icmp(IntCC::Equal, y, &ones);
        let quotient = if form == Form::I64 {
            // By 1 instead, where the instruction traps.
            let one = self.splat_bits(form, lanes, 1);
            let safe = self.pick(&negates, &one, y);
            let safe = self.pick(&by_zero, &one, &safe);
            self.each_lane(form, x, |c, lane, x| {
                let y = c.lane(&safe, lane);
                c.f.ins().sdiv(x, y)
            })
        } else {
            self.quotient_in_f64(x, y)
        };
        // 2³¹ saturates to 2³¹ - 1; negating wraps.
        let quotient = self.pick(&negates, &negated, &quotient);
        self.pick(&by_zero, &ones, &quotient)
    }

    /// x shifted by so many places, if the function is a shift: one instruction, of bytes a few more.
    pub(crate) fn shift_by(&mut self, op: Binary, x: &Group, places: i64) -> Option<Group> {
        let by: fn(&mut Self, Value, Value) -> Value = match op {
            Binary::ShiftLeft => |c, v, k| c.f.ins().ishl(v, k),
            Binary::ShiftRightLogical => |c, v, k| c.f.ins().ushr(v, k),
            Binary::ShiftRightArithmetic => |c, v, k| c.f.ins().sshr(v, k),
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Atan2
            | Binary::Pow
            | Binary::Max
            | Binary::Min
            | Binary::And
            | Binary::Or
            | Binary::Xor => return None,
        };
        let (bits, sign) = (i64::from(x.form.bits()), op == Binary::ShiftRightArithmetic);
        let near = (0..bits).contains(&places);
        if !near && !sign {
            return Some(self.splat_bits(x.form, x.lanes, 0));
        }
        let (x, places) = (if sign { self.signed(x) } else { x.clone() }, if near { places } else { bits - 1 });
        let shifted = self.map1(x.form, &x, |c, v| {
            let k = c.f.ins().iconst(I32, places);
            by(c, v, k)
        });
        Some(if op == Binary::ShiftRightLogical { shifted } else { self.narrow(shifted) })
    }

    /// The quotient of integers of at most 32 bits in f64, which holds both and rounds no quotient of
    /// theirs up to an integer.
    fn quotient_in_f64(&mut self, x: &Group, y: &Group) -> Group {
        let dtype = match x.form {
            Form::U32 => Dtype::U32,
            Form::U8 => Dtype::U8,
            _ => Dtype::I32,
        };
        let [wide_x, wide_y] = [x, y].map(|v| self.convert(v, Dtype::F64));
        let quotient = self.map2(wide_x.form, &wide_x, &wide_y, |c, a, b| c.f.ins().fdiv(a, b));
        self.convert(&quotient, dtype)
    }

    /// Where y is one of the shifts that leave something of an element: 0 to as many as it has bits.
    fn near(&mut self, y: &Group) -> Group {
        let far = self.splat_bits(y.form, y.lanes, y.form.ones() & !u64::from(y.form.bits() - 1));
        let far = self.map2(y.form, y, &far, |c, y, far| c.f.ins().band(y, far));
        let zero = self.splat_bits(y.form, y.lanes, 0);
        self.icmp(IntCC::Equal, &far, &zero)
    }

    /// The highest bit in all places that are computed with above it.
    fn signed(&mut self, x: &Group) -> Group {
        if x.form != Form::U8 {
            return x.clone();
        }
        self.map1(x.form, x, |c, v| {
            let k = c.f.ins().iconst(I32, 24);
            let high = c.f.ins().ishl(v, k);
            c.f.ins().sshr(high, k)
        })
    }

    /// An operation on the bits of integers or truth values.
    fn bits(&mut self, x: &Group, y: &Group, op: fn(&mut Self, Value, Value) -> Value) -> Group {
        let (x, y) = self.agree(x, y);
        self.map2(x.form, &x, &y, op)
    }

    /// x shifted by y places, nothing where y is negative or as many as x has bits.
    ///
    /// Vectors shift all lanes by one amount: so by 1, 2, 4, … where y has those bits.
    fn shift(&mut self, x: &Group, y: &Group, by: fn(&mut Self, Value, Value) -> Value) -> Group {
        let (form, lanes) = (x.form, x.lanes);
        let zero = self.splat_bits(form, lanes, 0);
        let shifted = if lanes == 1 {
            self.map2(form, x, y, by)
        } else {
            let mut shifted = x.clone();
            for bit in 0..form.bits().trailing_zeros() {
                let mask = self.splat_bits(form, lanes, 1 << bit);
                let set = self.map2(form, y, &mask, |c, y, mask| c.f.ins().band(y, mask));
                let clear = self.icmp(IntCC::Equal, &set, &zero);
                let moved = self.map1(form, &shifted, |c, v| {
                    let k = c.f.ins().iconst(I32, 1 << bit);
                    by(c, v, k)
                });
                shifted = self.pick(&clear, &shifted, &moved);
            }
            shifted
        };
        let near = self.near(y);
        let shifted = self.pick(&near, &shifted, &zero);
        self.narrow(shifted)
    }

    /// The larger (or smaller) of two vectors; NaN where either is.
    fn larger(&mut self, x: &Group, y: &Group, smaller: bool) -> Group {
        // `y` where the two don't compare, which is right if that is the NaN.
        let first = if smaller { self.fcmp(FloatCC::LessThan, x, y) } else { self.fcmp(FloatCC::LessThan, y, x) };
        let chosen = self.pick(&first, x, y);
        let nan = self.fcmp(FloatCC::Unordered, x, x);
        self.pick(&nan, x, &chosen)
    }

    /// An elementwise comparison.
    pub(crate) fn compare(&mut self, op: Compare, x: &Group, y: &Group) -> Group {
        if x.form.is_float() {
            let cc = match op {
                Compare::Eq => FloatCC::Equal,
                Compare::Ne => FloatCC::NotEqual,
                Compare::Lt => FloatCC::LessThan,
                Compare::Le => FloatCC::LessThanOrEqual,
                Compare::Gt => FloatCC::GreaterThan,
                Compare::Ge => FloatCC::GreaterThanOrEqual,
            };
            return self.fcmp(cc, x, y);
        }
        let (x, y) = self.agree(x, y);
        // A true mask is -1, below 0: masks compare the other way round.
        let (x, y) = if matches!(x.form, Form::Mask32 | Form::Mask64) { (y, x) } else { (x, y) };
        let unsigned = x.form == Form::U32;
        let cc = match op {
            Compare::Eq => IntCC::Equal,
            Compare::Ne => IntCC::NotEqual,
            Compare::Lt if unsigned => IntCC::UnsignedLessThan,
            Compare::Le if unsigned => IntCC::UnsignedLessThanOrEqual,
            Compare::Gt if unsigned => IntCC::UnsignedGreaterThan,
            Compare::Ge if unsigned => IntCC::UnsignedGreaterThanOrEqual,
            Compare::Lt => IntCC::SignedLessThan,
            Compare::Le => IntCC::SignedLessThanOrEqual,
            Compare::Gt => IntCC::SignedGreaterThan,
            Compare::Ge => IntCC::SignedGreaterThanOrEqual,
        };
        self.icmp(cc, &x, &y)
    }

    /// `on` or `off` by a truth value; those may be truth values too.
    pub(crate) fn select(&mut self, mask: &Group, on: &Group, off: &Group) -> Group {
        let (on, off) = self.agree(on, off);
        self.pick(mask, &on, &off)
    }

    /// xⁿ by repeated squaring, multiplying in the interpreter's order.
    pub(crate) fn integer_pow(&mut self, n: i32, x: &Group) -> Group {
        let mul = |c: &mut Self, a: &Group, b: &Group| c.binary(Binary::Mul, a, b, Numerics::Strict);
        let one = |c: &mut Self| {
            if x.form.is_float() { c.splat_float(x.form, x.lanes, 1.0) } else { c.splat_bits(x.form, x.lanes, 1) }
        };
        let mut exponent = n.unsigned_abs();
        let (mut square, mut result) = (x.clone(), None);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = Some(match result {
                    None => square.clone(),
                    Some(r) => mul(self, &r, &square),
                });
            }
            exponent >>= 1;
            if exponent > 0 {
                square = mul(self, &square, &square);
            }
        }
        match result {
            None => one(self),
            Some(r) if n < 0 => {
                let one = one(self);
                self.binary(Binary::Div, &one, &r, Numerics::Strict)
            }
            Some(r) => r,
        }
    }

    /// One step of a reduction.
    pub(crate) fn reduce(&mut self, kind: Reduce, acc: &Group, x: &Group, numerics: Numerics) -> Group {
        self.binary(joining(kind), acc, x, numerics)
    }

    /// The canonical NaN where `x` is any NaN.
    pub(crate) fn canonical(&mut self, x: &Group) -> Group {
        let nan = self.splat_float(x.form, x.lanes, f64::NAN);
        let number = self.fcmp(FloatCC::Ordered, x, x);
        self.pick(&number, x, &nan)
    }
}
