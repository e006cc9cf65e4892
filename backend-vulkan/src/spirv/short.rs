//! Floats of 16 bits as floats of 32, and back: in integers, as a device may round, flush and lack
//! instructions of its own for it.

use super::{Emitter, Value, built};
use egrad_ir::{Binary, Compare, Dtype, bf16, f16};

/// How far the exponent of an `f16` is moved to be that of an `f32`, where it lies there.
const REBIAS: u32 = (127 - 15) << 23;

impl Emitter {
    /// The same number as `f32`, exactly; NaN as NaN.
    pub(super) fn widened(&mut self, x: Value) -> Value {
        let bits = Value { dtype: Dtype::U32, ..x };
        if x.dtype == Dtype::Bf16 {
            let high = self.up(bits, 16);
            return self.viewed(Dtype::F32, high);
        }
        let (sign, size) = (self.masked(bits, 0x8000), self.masked(bits, 0x7fff));
        let sign = self.up(sign, 16);
        let (moved, rebias) = (self.up(size, 13), self.whole(REBIAS));
        let normal = self.binary(Binary::Add, moved, rebias);
        // The largest exponent stays the largest.
        let endless = self.binary(Binary::Add, normal, rebias);
        // Below 2⁻¹⁴ numbers are multiples of 2⁻²⁴.
        let (count, unit) = (self.convert(Dtype::F32, size), self.number(Dtype::F32, 2f64.powi(-24)));
        let small = self.binary(Binary::Mul, count, unit);
        let small = self.viewed(Dtype::U32, small);
        let [infinity, least] = [0x7c00, 0x0400].map(|bits| self.whole(bits));
        let (is_finite, is_small) = (self.compare(Compare::Lt, size, infinity), self.compare(Compare::Lt, size, least));
        let bits = self.select(is_finite, normal, endless);
        let bits = self.select(is_small, small, bits);
        let bits = self.binary(Binary::Or, bits, sign);
        self.viewed(Dtype::F32, bits)
    }

    /// An `f32` as the nearest number of 16 bits (ties to even), infinity beyond the largest; NaN is the
    /// canonical one.
    pub(super) fn rounded(&mut self, to: Dtype, x: Value) -> Value {
        let bits = self.viewed(Dtype::U32, x);
        let (rounded, nan) = match to {
            Dtype::Bf16 => {
                let places = self.whole(16);
                (self.nearest(bits, places), bf16::NAN.to_bits())
            }
            _ => (self.half(bits), f16::NAN.to_bits()),
        };
        let (is_nan, nan) = (self.is_nan(x), self.whole(u32::from(nan)));
        Value { dtype: to, ..self.select(is_nan, nan, rounded) }
    }

    /// The bits of a number as an `f16`, of its bits as an `f32`.
    fn half(&mut self, bits: Value) -> Value {
        let size = self.masked(bits, 0x7fff_ffff);
        let sign = self.down(bits, 16);
        let sign = self.masked(sign, 0x8000);
        // From 2¹⁶ on, where 65520 rounds to as well, it is infinity.
        let [most, rebias, least] = [(127 + 16) << 23, REBIAS, (127 - 14) << 23].map(|bits| self.whole(bits));
        let normal = self.binary(Binary::Min, size, most);
        let normal = self.binary(Binary::Sub, normal, rebias);
        let places = self.whole(13);
        let normal = self.nearest(normal, places);
        // Below 2⁻¹⁴ it is a multiple of 2⁻²⁴; from 25 places on, nothing is left.
        let (exponent, fraction) = (self.down(size, 23), self.masked(size, 0x007f_ffff));
        let [first, from, all] = [1 << 23, 126, 25].map(|n| self.whole(n));
        let digits = self.binary(Binary::Or, fraction, first);
        let places = self.binary(Binary::Sub, from, exponent);
        let places = self.binary(Binary::Min, places, all);
        let small = self.nearest(digits, places);
        let is_small = self.compare(Compare::Lt, size, least);
        let size = self.select(is_small, small, normal);
        self.binary(Binary::Or, size, sign)
    }

    /// The bits of x from place `places` on, which is not 0 and below 32, rounded to the nearest by those
    /// below, ties to even.
    fn nearest(&mut self, x: Value, places: Value) -> Value {
        let one = self.whole(1);
        let last = self.value(x.dtype, |b, ty| b.shift_right_logical(ty, None, x.id, places.id));
        let odd = self.masked(last, 1);
        let before = self.binary(Binary::Sub, places, one);
        let half = self.value(x.dtype, |b, ty| b.shift_left_logical(ty, None, one.id, before.id));
        let under_half = self.binary(Binary::Sub, half, one);
        let sum = self.binary(Binary::Add, x, under_half);
        let sum = self.binary(Binary::Add, sum, odd);
        self.value(x.dtype, |b, ty| b.shift_right_logical(ty, None, sum.id, places.id))
    }

    fn up(&mut self, x: Value, places: u32) -> Value {
        let places = self.u32(places);
        self.value(x.dtype, |b, ty| b.shift_left_logical(ty, None, x.id, places))
    }

    fn down(&mut self, x: Value, places: u32) -> Value {
        let places = self.u32(places);
        self.value(x.dtype, |b, ty| b.shift_right_logical(ty, None, x.id, places))
    }

    fn masked(&mut self, x: Value, bits: u32) -> Value {
        let mask = self.whole(bits);
        self.binary(Binary::And, x, mask)
    }

    fn whole(&mut self, n: u32) -> Value {
        Value { id: self.u32(n), dtype: Dtype::U32 }
    }

    /// The same bits as another type of 32 bits.
    fn viewed(&mut self, dtype: Dtype, x: Value) -> Value {
        let ty = self.computed(dtype);
        Value { id: built(self.b.bitcast(ty, None, x.id)), dtype }
    }
}
