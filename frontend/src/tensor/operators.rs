//! Rust's operators on tensors.
//!
//! On the left of an operator stand `f64` and `i32` alone: with a second float type there, Rust
//! could not tell what `2.0 * x` is before it settles on a type for `2.0`, and `(2.0 * x).sin()`
//! would not compile.

use super::{Operand, Tensor, pair};
use egrad_ir::{Binary, Op, Unary};
use std::ops;

macro_rules! operators {
    ($($Trait:ident $method:ident $Assign:ident $assign:ident $Op:ident;)*) => {$(
        impl<T: Operand> ops::$Trait<T> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: T) -> Tensor {
                pair(Op::Binary(Binary::$Op), self, other)
            }
        }
        operators!(@literal $Trait $method $Op f64 i32);
        impl<T: Operand> ops::$Assign<T> for Tensor {
            #[track_caller]
            fn $assign(&mut self, other: T) {
                *self = ops::$Trait::$method(*self, other);
            }
        }
    )*};
    (@literal $Trait:ident $method:ident $Op:ident $($T:ty)*) => {$(
        impl ops::$Trait<Tensor> for $T {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                pair(Op::Binary(Binary::$Op), self, other)
            }
        }
    )*};
}
operators! {
    Add add AddAssign add_assign Add;
    Sub sub SubAssign sub_assign Sub;
    Mul mul MulAssign mul_assign Mul;
    Div div DivAssign div_assign Div;
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
