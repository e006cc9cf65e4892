//! Rust's operators on tensors.
//!
//! On the left of an operator stand `f64` and `i32` alone: with a second float type there, Rust
//! could not tell what `2.0 * x` is before it settles on a type for `2.0`, and `(2.0 * x).sin()`
//! would not compile.

use super::{Operand, Tensor, common_dtype, pair};
use crate::raise;
use egrad_ir::{Binary, Error, Op, Span, Unary};
use std::ops;

macro_rules! operators {
    ($($Trait:ident $method:ident $Assign:ident $assign:ident $pair:ident $Op:ident;)*) => {$(
        impl<T: Operand> ops::$Trait<T> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: T) -> Tensor {
                $pair(Op::Binary(Binary::$Op), self, other)
            }
        }
        operators!(@literal $Trait $method $pair $Op f64 i32);
        impl<T: Operand> ops::$Assign<T> for Tensor {
            #[track_caller]
            fn $assign(&mut self, other: T) {
                *self = ops::$Trait::$method(*self, other);
            }
        }
    )*};
    (@literal $Trait:ident $method:ident $pair:ident $Op:ident $($T:ty)*) => {$(
        impl ops::$Trait<Tensor> for $T {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                $pair(Op::Binary(Binary::$Op), self, other)
            }
        }
    )*};
}
operators! {
    Add add AddAssign add_assign pair Add;
    Sub sub SubAssign sub_assign pair Sub;
    Mul mul MulAssign mul_assign pair Mul;
    Div div DivAssign div_assign quotient Div;
    Rem rem RemAssign rem_assign pair Rem;
}

/// `/` of floats. Integers have no quotient of their type that everybody means.
#[track_caller]
fn quotient(op: Op, a: impl Operand, b: impl Operand) -> Tensor {
    let dtype = common_dtype(a, b);
    if dtype.is_integer() {
        let m = format!(
            "`/` doesn't take {dtype}: `div_trunc` and `floor_div` divide integers, `convert` makes floats of them"
        );
        raise::throw(Error::dtype(m).at(Span::here()));
    }
    pair(op, a, b)
}

impl ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        self.unary(Unary::Neg)
    }
}

impl ops::Not for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn not(self) -> Tensor {
        self.unary(Unary::Not)
    }
}

impl ops::BitAnd for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn bitand(self, other: Tensor) -> Tensor {
        self.and(other)
    }
}

impl ops::BitOr for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn bitor(self, other: Tensor) -> Tensor {
        self.or(other)
    }
}

impl<T: Operand> ops::BitXor<T> for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn bitxor(self, other: T) -> Tensor {
        self.xor(other)
    }
}

impl<T: Operand> ops::Shl<T> for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn shl(self, places: T) -> Tensor {
        self.shift_left(places)
    }
}

impl<T: Operand> ops::Shr<T> for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn shr(self, places: T) -> Tensor {
        if self.dtype().is_unsigned() { self.shift_right_logical(places) } else { self.shift_right_arithmetic(places) }
    }
}
