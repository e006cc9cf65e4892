//! The arithmetic an elementary function is emitted in.

use super::Rare;

/// Lanes of IEEE 754 arithmetic, all of one width: the vocabulary in which this module writes every
/// elementary function.
///
/// An implementation either computes (the interpreter's [`Scalar32`](super::Scalar32) and
/// [`Scalar64`](super::Scalar64)) or records instructions (the compiling backends). Two
/// implementations that keep the contract below give the same bits for every function of this
/// module, because they run the same operations in the same order.
///
/// The contract:
///
/// * `add`, `sub`, `mul`, `div`, `sqrt` and `fma` are rounded to nearest even, once;
/// * subnormal numbers are neither flushed on the way in nor on the way out;
/// * nothing is contracted or reassociated behind the function's back;
/// * comparisons are IEEE's: a NaN is unequal to everything and ordered with nothing;
/// * integers are as wide as the floats and wrap around.
///
/// Which NaN an operation returns is left open.
///
/// There is no conversion between the numbers of floats and those of integers, nor an arithmetic
/// shift right: short vectors of 64-bit lanes have neither everywhere, and adding 1.5·2ᵐ (m bits of
/// mantissa) rounds to an integer and leaves it in the low bits of the sum.
pub trait Lanes {
    /// Floats, one per lane.
    type F: Copy;
    /// Integers of the floats' width, one per lane.
    type I: Copy;
    /// Truth values, one per lane.
    type M: Copy;

    /// A float in every lane: `value` rounded to the lanes' width.
    fn float(&mut self, value: f64) -> Self::F;
    /// An integer in every lane: `value`'s low bits.
    fn int(&mut self, value: i64) -> Self::I;

    /// `a + b`
    fn add(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`
    fn mul(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(&mut self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(&mut self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `-a`: the sign bit turned over, of a zero and a NaN too.
    fn neg(&mut self, a: Self::F) -> Self::F;
    /// `|a|`: the sign bit cleared, of a zero and a NaN too.
    fn abs(&mut self, a: Self::F) -> Self::F;
    /// `√a`
    fn sqrt(&mut self, a: Self::F) -> Self::F;

    /// `a < b`; false where either is NaN.
    fn lt(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a ≤ b`; false where either is NaN.
    fn le(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a > b`; false where either is NaN.
    fn gt(&mut self, a: Self::F, b: Self::F) -> Self::M {
        self.lt(b, a)
    }
    /// `a ≥ b`; false where either is NaN.
    fn ge(&mut self, a: Self::F, b: Self::F) -> Self::M {
        self.le(b, a)
    }
    /// `a = b`; false where either is NaN, true of zeros of either sign.
    fn eq(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// `a ≠ b`; true where either is NaN.
    fn ne(&mut self, a: Self::F, b: Self::F) -> Self::M;
    /// Lanes where `a` and `bits` share a set bit.
    fn any_bit(&mut self, a: Self::I, bits: i64) -> Self::M;

    /// Both.
    fn both(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Either or both.
    fn either(&mut self, a: Self::M, b: Self::M) -> Self::M;
    /// Not.
    fn not(&mut self, a: Self::M) -> Self::M;
    /// `yes` where the mask holds, `no` elsewhere; whatever the lane not taken holds.
    fn select(&mut self, mask: Self::M, yes: Self::F, no: Self::F) -> Self::F;

    /// The bit patterns of floats.
    fn bits_of(&mut self, a: Self::F) -> Self::I;
    /// The floats of bit patterns.
    fn of_bits(&mut self, a: Self::I) -> Self::F;

    /// `a + b`, wrapping.
    fn int_add(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    fn int_sub(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn int_and(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn int_or(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn int_xor(&mut self, a: Self::I, b: Self::I) -> Self::I;
    /// Shift left by `bits`, less than the width.
    fn shl(&mut self, a: Self::I, bits: u32) -> Self::I;
    /// Logical shift right by `bits`, less than the width.
    fn shr(&mut self, a: Self::I, bits: u32) -> Self::I;

    /// `rare` of `x` where `when` holds, `usual` elsewhere.
    ///
    /// Written here as straight-line code that does both. An implementation that can branch should
    /// do the rare work only when some lane asks for it, out of line if its code is long: any way
    /// that gives the bits of [`Rare::emit`] in the lanes that ask, for instance a call of
    /// [`Rare::eval32`] or [`Rare::eval64`] per lane.
    fn rarely(&mut self, when: Self::M, x: [Self::F; 2], usual: [Self::F; 2], rare: Rare) -> [Self::F; 2]
    where
        Self: Sized,
    {
        let [a, b] = rare.emit(self, x);
        [self.select(when, a, usual[0]), self.select(when, b, usual[1])]
    }
}
