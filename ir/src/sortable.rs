//! What sorts and scatters need of elements.

use crate::dtype::{Element, Literal};
use crate::op::Reduce;
use crate::scalar::Scalar;
use half::{bf16, f16};
use std::cmp::Ordering;

/// What backends that sort and scatter in plain Rust need of elements.
pub trait Sortable: Element {
    /// An element with its position: in the order of sorting, equals by their positions.
    type Placed: Ord + Copy;
    /// The element a literal of this type stands for.
    fn of(literal: Literal) -> Self;
    /// The order of sorting: ascending, NaN last, zeros of both signs equal.
    fn ascending(&self, other: &Self) -> Ordering;
    /// The element with its position.
    fn placed(self, position: u32) -> Self::Placed;
    /// The position it was given.
    fn position(placed: Self::Placed) -> u32;
    /// What a reduction makes of two elements, as [`Numerics::Strict`](crate::Numerics) has it: NaN is
    /// the canonical one. The first of two bools, which have no reductions.
    fn combine(kind: Reduce, x: Self, y: Self) -> Self;
}

macro_rules! sortable {
    ($($T:ty: $Placed:ty = $placed:expr, $position:expr;)*) => {$(
        impl Sortable for $T {
            type Placed = $Placed;
            fn of(literal: Literal) -> $T {
                <$T as Scalar>::from_literal(literal)
            }
            fn ascending(&self, other: &$T) -> Ordering {
                let nan = |x: &$T| x.partial_cmp(x).is_none();
                self.partial_cmp(other).unwrap_or_else(|| nan(self).cmp(&nan(other)))
            }
            #[inline]
            fn placed(self, position: u32) -> $Placed {
                let placed: fn($T, u32) -> $Placed = $placed;
                placed(self, position)
            }
            #[inline]
            fn position(placed: $Placed) -> u32 {
                let position: fn($Placed) -> u32 = $position;
                position(placed)
            }
            #[inline]
            fn combine(kind: Reduce, x: $T, y: $T) -> $T {
                <$T as Scalar>::reduce(kind).map_or(x, |(_, op)| {
                    <$T as Scalar>::narrow(op(x.widen(), y.widen())).canonical()
                })
            }
        }
    )*};
}
sortable! {
    // Bits of floats are in order as integers with a sign and a magnitude are; zeros have none.
    f32: u64 = |x, at| {
        let bits = (x + 0.0).to_bits();
        let key = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        beside(if x.is_nan() { u32::MAX } else { key }, at)
    }, |placed| placed as u32;
    f64: (u64, u32) = |x, at| {
        let bits = (x + 0.0).to_bits();
        let key = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        (if x.is_nan() { u64::MAX } else { key }, at)
    }, |placed| placed.1;
    f16: u64 = |x, at| <f32 as Sortable>::placed(x.to_f32(), at), |placed| placed as u32;
    bf16: u64 = |x, at| <f32 as Sortable>::placed(x.to_f32(), at), |placed| placed as u32;
    i32: u64 = |x, at| beside(x as u32 ^ 1 << 31, at), |placed| placed as u32;
    i64: (u64, u32) = |x, at| (x as u64 ^ 1 << 63, at), |placed| placed.1;
    u32: u64 = beside, |placed| placed as u32;
    u8: u64 = |x, at| beside(u32::from(x), at), |placed| placed as u32;
    bool: u64 = |x, at| beside(u32::from(x), at), |placed| placed as u32;
}

fn beside(key: u32, position: u32) -> u64 {
    u64::from(key) << 32 | u64::from(position)
}

#[cfg(test)]
mod tests {
    use super::Sortable;

    /// Placed elements are in the order that the interpreter sorts by, equals by position.
    #[track_caller]
    fn check<T: Sortable>(elements: &[T]) {
        for (i, x) in elements.iter().enumerate() {
            for (j, y) in elements.iter().enumerate() {
                let (a, b) = (x.placed(i as u32), y.placed(j as u32));
                assert_eq!(a.cmp(&b), x.ascending(y).then(i.cmp(&j)), "elements {i} and {j}");
                assert_eq!(T::position(a), i as u32);
            }
        }
    }

    #[test]
    fn placed_elements_are_in_order() {
        let tiny = f32::from_bits(1);
        let inf = f32::INFINITY;
        check(&[0.0, -0.0, 1.5, -1.5, tiny, -tiny, inf, -inf, f32::NAN, -f32::NAN, f32::MAX, f32::MIN, 1.5]);
        let (tiny, inf) = (f64::from_bits(1), f64::INFINITY);
        check(&[0.0, -0.0, 1.5, -1.5, tiny, -tiny, inf, -inf, f64::NAN, -f64::NAN, f64::MAX, f64::MIN, 1.5]);
        check(&[0, 1, -1, i32::MAX, i32::MIN, 7, 7]);
        check(&[0, 1, -1, i64::MAX, i64::MIN, 7, 7]);
        check(&[0, 1, u32::MAX, 1 << 31, 7, 7]);
        check(&[0, 1, u8::MAX, 128, 7, 7]);
        check(&[true, false, true, false]);
    }
}
