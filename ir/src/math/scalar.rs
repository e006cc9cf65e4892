//! [`Lanes`] that compute: one plain Rust number.

use super::{Lanes, Rare};

macro_rules! scalar {
    ($(#[$doc:meta])* $Scalar:ident, $Float:ty, $Int:ty, $Bits:ty, $eval:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $Scalar;

        impl Lanes for $Scalar {
            type F = $Float;
            type I = $Int;
            type M = bool;

            #[inline]
            fn float(&mut self, value: f64) -> $Float {
                value as $Float
            }
            #[inline]
            fn int(&mut self, value: i64) -> $Int {
                value as $Int
            }

            #[inline]
            fn add(&mut self, a: $Float, b: $Float) -> $Float {
                a + b
            }
            #[inline]
            fn sub(&mut self, a: $Float, b: $Float) -> $Float {
                a - b
            }
            #[inline]
            fn mul(&mut self, a: $Float, b: $Float) -> $Float {
                a * b
            }
            #[inline]
            fn div(&mut self, a: $Float, b: $Float) -> $Float {
                a / b
            }
            #[inline]
            fn fma(&mut self, a: $Float, b: $Float, c: $Float) -> $Float {
                a.mul_add(b, c)
            }
            #[inline]
            fn neg(&mut self, a: $Float) -> $Float {
                -a
            }
            #[inline]
            fn abs(&mut self, a: $Float) -> $Float {
                a.abs()
            }
            #[inline]
            fn sqrt(&mut self, a: $Float) -> $Float {
                a.sqrt()
            }

            #[inline]
            fn lt(&mut self, a: $Float, b: $Float) -> bool {
                a < b
            }
            #[inline]
            fn le(&mut self, a: $Float, b: $Float) -> bool {
                a <= b
            }
            #[inline]
            fn eq(&mut self, a: $Float, b: $Float) -> bool {
                a == b
            }
            #[inline]
            fn ne(&mut self, a: $Float, b: $Float) -> bool {
                a != b
            }
            #[inline]
            fn any_bit(&mut self, a: $Int, bits: i64) -> bool {
                a & bits as $Int != 0
            }

            #[inline]
            fn both(&mut self, a: bool, b: bool) -> bool {
                a & b
            }
            #[inline]
            fn either(&mut self, a: bool, b: bool) -> bool {
                a | b
            }
            #[inline]
            fn not(&mut self, a: bool) -> bool {
                !a
            }
            #[inline]
            fn select(&mut self, mask: bool, yes: $Float, no: $Float) -> $Float {
                if mask { yes } else { no }
            }

            #[inline]
            fn bits_of(&mut self, a: $Float) -> $Int {
                a.to_bits() as $Int
            }
            #[inline]
            fn of_bits(&mut self, a: $Int) -> $Float {
                <$Float>::from_bits(a as $Bits)
            }

            #[inline]
            fn int_add(&mut self, a: $Int, b: $Int) -> $Int {
                a.wrapping_add(b)
            }
            #[inline]
            fn int_sub(&mut self, a: $Int, b: $Int) -> $Int {
                a.wrapping_sub(b)
            }
            #[inline]
            fn int_and(&mut self, a: $Int, b: $Int) -> $Int {
                a & b
            }
            #[inline]
            fn int_or(&mut self, a: $Int, b: $Int) -> $Int {
                a | b
            }
            #[inline]
            fn int_xor(&mut self, a: $Int, b: $Int) -> $Int {
                a ^ b
            }
            #[inline]
            fn shl(&mut self, a: $Int, bits: u32) -> $Int {
                a << bits
            }
            #[inline]
            fn shr(&mut self, a: $Int, bits: u32) -> $Int {
                (a as $Bits >> bits) as $Int
            }

            #[inline]
            fn rarely(&mut self, when: bool, x: [$Float; 2], usual: [$Float; 2], rare: Rare) -> [$Float; 2] {
                if when { rare.$eval(x) } else { usual }
            }
        }
    };
}

scalar! {
    /// One `f32` at a time, computed here and now.
    Scalar32, f32, i32, u32, eval32
}
scalar! {
    /// One `f64` at a time, computed here and now.
    Scalar64, f64, i64, u64, eval64
}
