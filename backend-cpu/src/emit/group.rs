//! Groups: a value of the loop nest for several lanes at once.
//!
//! A group of `n` lanes (a multiple of 4) is `n / 4` vectors of elements of up to 32 bits or `n / 2` of
//! 64-bit ones, and each operation is emitted for all of them before the next operation: independent
//! instructions stand side by side, and types of different widths line up. One lane is a scalar.

use super::code::Code;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I8, I8X16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use egrad_ir::Dtype;
use smallvec::SmallVec;

/// What a group's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    F32,
    F64,
    I32,
    /// 64-bit integers; the elementary functions of `f64` use them, too.
    I64,
    U32,
    /// Bytes in memory, and 32-bit integers below 256 in computation.
    U8,
    /// 16 bits in memory, and in computation the low ones of 32, which are only moved and converted.
    F16,
    Bf16,
    /// A truth value per lane as a byte 0 or 1: scalars only.
    Bit,
    /// A truth value per lane as 32 equal bits: vectors only.
    Mask32,
    /// A truth value per lane as 64 equal bits: vectors only.
    Mask64,
}

/// The values, vector by vector.
pub(crate) type Values = SmallVec<[Value; 4]>;

/// A value in several lanes.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) form: Form,
    pub(crate) lanes: usize,
    pub(crate) v: Values,
}

impl Form {
    /// How values of a type are held in so many lanes; truth values as masks of 32 bits.
    pub(crate) fn of(dtype: Dtype, lanes: usize) -> Form {
        match dtype {
            Dtype::F32 => Form::F32,
            Dtype::F64 => Form::F64,
            Dtype::I32 => Form::I32,
            Dtype::I64 => Form::I64,
            Dtype::U32 => Form::U32,
            Dtype::U8 => Form::U8,
            Dtype::F16 => Form::F16,
            Dtype::Bf16 => Form::Bf16,
            Dtype::Bool if lanes == 1 => Form::Bit,
            Dtype::Bool => Form::Mask32,
        }
    }

    /// The type of one value of the group.
    pub(crate) fn ty(self, lanes: usize) -> Type {
        match (self, lanes) {
            (Form::F32, 1) => F32,
            (Form::F64, 1) => F64,
            (Form::I32 | Form::U32 | Form::U8 | Form::F16 | Form::Bf16, 1) => I32,
            (Form::I64, 1) => I64,
            (Form::Bit, _) => I8,
            (Form::F32, _) => F32X4,
            (Form::F64, _) => F64X2,
            (Form::I32 | Form::U32 | Form::U8 | Form::F16 | Form::Bf16 | Form::Mask32, _) => I32X4,
            (Form::I64 | Form::Mask64, _) => I64X2,
        }
    }

    /// How many values a group of that form has.
    pub(crate) fn count(self, lanes: usize) -> usize {
        if lanes == 1 { 1 } else { lanes / self.per_vector() }
    }

    /// Lanes per vector.
    pub(crate) fn per_vector(self) -> usize {
        match self {
            Form::F32 | Form::I32 | Form::U32 | Form::U8 | Form::F16 | Form::Bf16 | Form::Mask32 | Form::Bit => 4,
            Form::F64 | Form::I64 | Form::Mask64 => 2,
        }
    }

    /// The form of the result of a comparison.
    pub(crate) fn compared(self, lanes: usize) -> Form {
        match self {
            _ if lanes == 1 => Form::Bit,
            Form::F32 | Form::I32 | Form::U32 | Form::U8 | Form::F16 | Form::Bf16 | Form::Mask32 | Form::Bit => {
                Form::Mask32
            }
            Form::F64 | Form::I64 | Form::Mask64 => Form::Mask64,
        }
    }

    /// Whether its elements are computed with as floats.
    pub(crate) fn is_float(self) -> bool {
        match self {
            Form::F32 | Form::F64 => true,
            Form::I32
            | Form::I64
            | Form::U32
            | Form::U8
            | Form::F16
            | Form::Bf16
            | Form::Bit
            | Form::Mask32
            | Form::Mask64 => false,
        }
    }

    /// How many bits an element has where it is a number.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Form::U8 => 8,
            Form::F16 | Form::Bf16 => 16,
            Form::F32 | Form::I32 | Form::U32 | Form::Bit | Form::Mask32 => 32,
            Form::F64 | Form::I64 | Form::Mask64 => 64,
        }
    }

    /// All bits of an element.
    pub(crate) fn ones(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
}

impl Code<'_> {
    /// These bits in every lane.
    pub(crate) fn splat_bits(&mut self, form: Form, lanes: usize, bits: u64) -> Group {
        let v = self.constant(form.ty(lanes), bits);
        Group { form, lanes, v: SmallVec::from_elem(v, form.count(lanes)) }
    }

    /// A float in every lane, rounded to the form.
    pub(crate) fn splat_float(&mut self, form: Form, lanes: usize, x: f64) -> Group {
        let bits = if form == Form::F32 { u64::from((x as f32).to_bits()) } else { x.to_bits() };
        self.splat_bits(form, lanes, bits)
    }

    /// A group with the operation applied to each value.
    pub(crate) fn map1(&mut self, form: Form, a: &Group, mut op: impl FnMut(&mut Self, Value) -> Value) -> Group {
        Group { form, lanes: a.lanes, v: a.v.iter().map(|x| op(self, *x)).collect() }
    }

    /// A group with the operation applied to each pair of values.
    pub(crate) fn map2(
        &mut self,
        form: Form,
        a: &Group,
        b: &Group,
        mut op: impl FnMut(&mut Self, Value, Value) -> Value,
    ) -> Group {
        debug_assert_eq!(a.v.len(), b.v.len());
        Group { form, lanes: a.lanes, v: a.v.iter().zip(&b.v).map(|(x, y)| op(self, *x, *y)).collect() }
    }

    /// `a·b + c`, rounded once.
    pub(crate) fn fma(&mut self, a: &Group, b: &Group, c: &Group) -> Group {
        let v = (0..a.v.len()).map(|k| self.f.ins().fma(a.v[k], b.v[k], c.v[k])).collect();
        Group { form: a.form, lanes: a.lanes, v }
    }

    /// A comparison of floats.
    pub(crate) fn fcmp(&mut self, cc: FloatCC, a: &Group, b: &Group) -> Group {
        self.map2(a.form.compared(a.lanes), a, b, |c, x, y| c.f.ins().fcmp(cc, x, y))
    }

    /// A comparison of integers.
    pub(crate) fn icmp(&mut self, cc: IntCC, a: &Group, b: &Group) -> Group {
        self.map2(a.form.compared(a.lanes), a, b, |c, x, y| c.f.ins().icmp(cc, x, y))
    }

    /// `on` where the truth value holds, else `off`; those are of one form.
    pub(crate) fn pick(&mut self, mask: &Group, on: &Group, off: &Group) -> Group {
        debug_assert_eq!(on.form, off.form);
        if on.lanes == 1 {
            let v = self.f.ins().select(mask.v[0], on.v[0], off.v[0]);
            return Group { form: on.form, lanes: 1, v: [v].into_iter().collect() };
        }
        let mask = self.mask(mask, on.form.compared(on.lanes));
        let ty = on.form.ty(on.lanes);
        let v = (0..on.v.len())
            .map(|k| {
                let m = self.cast(ty, mask.v[k]);
                self.f.ins().bitselect(m, on.v[k], off.v[k])
            })
            .collect();
        Group { form: on.form, lanes: on.lanes, v }
    }

    /// A truth value in masks of that form.
    pub(crate) fn mask(&mut self, a: &Group, form: Form) -> Group {
        let mut v = Values::new();
        match (a.form, form) {
            (from, to) if from == to => return a.clone(),
            (Form::Mask32, Form::Mask64) => {
                for x in &a.v {
                    v.push(self.f.ins().swiden_low(*x));
                    v.push(self.f.ins().swiden_high(*x));
                }
            }
            (Form::Mask64, Form::Mask32) => {
                for pair in a.v.chunks(2) {
                    let (x, y) = (self.cast(I32X4, pair[0]), self.cast(I32X4, pair[1]));
                    v.push(self.even_words(x, y));
                }
            }
            (from, to) => unreachable!("{from:?} as {to:?}"),
        }
        Group { form, lanes: a.lanes, v }
    }

    /// Two truth values in one form.
    pub(crate) fn agree(&mut self, a: &Group, b: &Group) -> (Group, Group) {
        if a.form == b.form {
            return (a.clone(), b.clone());
        }
        (self.mask(a, Form::Mask32), self.mask(b, Form::Mask32))
    }

    /// `op` applied lane by lane to scalars, which no vector instruction does.
    pub(crate) fn each_lane(
        &mut self,
        form: Form,
        a: &Group,
        mut op: impl FnMut(&mut Self, usize, Value) -> Value,
    ) -> Group {
        let scalars: SmallVec<[Value; 32]> = (0..a.lanes)
            .map(|lane| {
                let x = self.lane(a, lane);
                op(self, lane, x)
            })
            .collect();
        self.gather(form, &scalars)
    }

    /// The low bits that the form's elements have.
    pub(crate) fn narrow(&mut self, a: Group) -> Group {
        if a.form != Form::U8 {
            return a;
        }
        let low = self.splat_bits(a.form, a.lanes, a.form.ones());
        self.map2(a.form, &a, &low, |c, x, low| c.f.ins().band(x, low))
    }

    /// A scalar in every lane.
    pub(crate) fn splat(&mut self, a: &Group, lanes: usize) -> Group {
        debug_assert_eq!(a.lanes, 1);
        let form = if a.form == Form::Bit { Form::Mask32 } else { a.form };
        let x = if a.form == Form::Bit {
            let wide = self.byte_to_i32(a.v[0]);
            self.f.ins().ineg(wide)
        } else {
            a.v[0]
        };
        let v = self.f.ins().splat(form.ty(lanes), x);
        Group { form, lanes, v: SmallVec::from_elem(v, form.count(lanes)) }
    }

    /// One lane as a scalar (a mask as a byte).
    pub(crate) fn lane(&mut self, a: &Group, lane: usize) -> Value {
        if a.lanes == 1 {
            return a.v[0];
        }
        let per = a.form.per_vector();
        let x = self.f.ins().extractlane(a.v[lane / per], (lane % per) as u8);
        match a.form {
            Form::Mask32 | Form::Mask64 => {
                let byte = self.f.ins().ireduce(I8, x);
                let one = self.f.ins().iconst(I8, 1);
                self.f.ins().band(byte, one)
            }
            Form::F32
            | Form::F64
            | Form::I32
            | Form::I64
            | Form::U32
            | Form::U8
            | Form::F16
            | Form::Bf16
            | Form::Bit => x,
        }
    }

    /// A group of scalars, one per lane; truth values come as bytes.
    pub(crate) fn gather(&mut self, form: Form, scalars: &[Value]) -> Group {
        let lanes = scalars.len();
        if lanes == 1 {
            return Group { form, lanes, v: scalars.iter().copied().collect() };
        }
        let ty = form.ty(lanes);
        let mut v = Values::new();
        for chunk in scalars.chunks(form.per_vector()) {
            let chunk: Values = match form {
                Form::Mask32 => chunk.iter().map(|x| self.byte_to_i32(*x)).collect(),
                Form::F32
                | Form::F64
                | Form::I32
                | Form::I64
                | Form::U32
                | Form::U8
                | Form::F16
                | Form::Bf16
                | Form::Bit
                | Form::Mask64 => chunk.iter().copied().collect(),
            };
            let mut x = self.f.ins().scalar_to_vector(ty, chunk[0]);
            for (i, y) in chunk.iter().enumerate().skip(1) {
                x = self.f.ins().insertlane(x, *y, i as u8);
            }
            if form == Form::Mask32 {
                let zero = self.constant(I32X4, 0);
                x = self.f.ins().icmp(IntCC::NotEqual, x, zero);
            }
            v.push(x);
        }
        Group { form, lanes, v }
    }

    /// Loads `lanes` neighbouring elements from `address + disp`.
    pub(crate) fn load(&mut self, dtype: Dtype, lanes: usize, address: Value, disp: i32) -> Group {
        let form = Form::of(dtype, lanes);
        let ty = form.ty(lanes);
        let v = (0..form.count(lanes))
            .map(|k| match form {
                Form::U8 if lanes == 1 => self.f.ins().uload8(I32, Code::memory(), address, disp),
                Form::F16 | Form::Bf16 if lanes == 1 => self.f.ins().uload16(I32, Code::memory(), address, disp),
                Form::F16 | Form::Bf16 => self.load_shorts(address, disp + 8 * k as i32),
                Form::U8 | Form::Mask32 => {
                    let x = self.load_bytes(address, disp + 4 * k as i32);
                    if form == Form::U8 {
                        return x;
                    }
                    let zero = self.constant(I32X4, 0);
                    self.f.ins().icmp(IntCC::NotEqual, x, zero)
                }
                Form::F32 | Form::F64 | Form::I32 | Form::I64 | Form::U32 | Form::Bit | Form::Mask64 => {
                    self.f.ins().load(ty, Code::memory(), address, disp + 16 * k as i32)
                }
            })
            .collect();
        Group { form, lanes, v }
    }

    /// Four bytes, widened.
    fn load_bytes(&mut self, address: Value, disp: i32) -> Value {
        let bytes = self.f.ins().load(I32, Code::memory(), address, disp);
        let x = self.f.ins().scalar_to_vector(I32X4, bytes);
        let x = self.cast(I8X16, x);
        let x = self.f.ins().uwiden_low(x);
        self.f.ins().uwiden_low(x)
    }

    /// Four times 16 bits, widened.
    fn load_shorts(&mut self, address: Value, disp: i32) -> Value {
        let shorts = self.f.ins().load(I64, Code::memory(), address, disp);
        let x = self.f.ins().scalar_to_vector(I64X2, shorts);
        let x = self.cast(I16X8, x);
        self.f.ins().uwiden_low(x)
    }

    /// Stores a group to neighbouring elements at `address + disp`.
    pub(crate) fn store(&mut self, a: &Group, address: Value, disp: i32) {
        match a.form {
            Form::Mask32 | Form::Mask64 => {
                let masks = self.mask(a, Form::Mask32);
                for (k, x) in masks.v.iter().enumerate() {
                    let x = self.f.ins().snarrow(*x, *x);
                    debug_assert_eq!(self.ty(x), I16X8);
                    let x = self.f.ins().snarrow(x, x);
                    let ones = self.constant(I8X16, 1);
                    let x = self.f.ins().band(x, ones);
                    self.store_bytes(x, address, disp + 4 * k as i32);
                }
            }
            Form::U8 if a.lanes > 1 => {
                for (k, x) in a.v.iter().enumerate() {
                    let x = self.f.ins().snarrow(*x, *x);
                    let x = self.f.ins().unarrow(x, x);
                    self.store_bytes(x, address, disp + 4 * k as i32);
                }
            }
            Form::F16 | Form::Bf16 if a.lanes > 1 => {
                for (k, x) in a.v.iter().enumerate() {
                    let x = self.f.ins().unarrow(*x, *x);
                    let x = self.cast(I64X2, x);
                    let x = self.f.ins().extractlane(x, 0);
                    self.f.ins().store(Code::memory(), x, address, disp + 8 * k as i32);
                }
            }
            Form::U8 | Form::F16 | Form::Bf16 => self.store_lane(a.form, a.v[0], address, disp),
            Form::F32 | Form::F64 | Form::I32 | Form::I64 | Form::U32 | Form::Bit => self.keep(a, address, disp),
        }
    }

    /// Stores the first four bytes of a vector of them.
    fn store_bytes(&mut self, x: Value, address: Value, disp: i32) {
        let x = self.cast(I32X4, x);
        let x = self.f.ins().extractlane(x, 0);
        self.f.ins().store(Code::memory(), x, address, disp);
    }

    /// Stores one lane of a group of that form.
    pub(crate) fn store_lane(&mut self, form: Form, x: Value, address: Value, disp: i32) {
        match form {
            Form::U8 => self.f.ins().istore8(Code::memory(), x, address, disp),
            Form::F16 | Form::Bf16 => self.f.ins().istore16(Code::memory(), x, address, disp),
            Form::F32 | Form::F64 | Form::I32 | Form::I64 | Form::U32 | Form::Bit | Form::Mask32 | Form::Mask64 => {
                self.f.ins().store(Code::memory(), x, address, disp)
            }
        };
    }

    /// Stores a group as it is computed with, in memory of the function's own.
    pub(crate) fn keep(&mut self, a: &Group, address: Value, disp: i32) {
        for (k, x) in a.v.iter().enumerate() {
            self.f.ins().store(Code::memory(), *x, address, disp + 16 * k as i32);
        }
    }
}
