//! Integer quotients and rounding.

use crate::tensor::{Operand, Tensor};

impl Tensor {
    /// The least integer that isn't below x, of floats; the derivative is 0.
    #[track_caller]
    pub fn ceil(self) -> Tensor {
        -(-self).floor()
    }

    /// x rounded to zero, of floats; the derivative is 0.
    #[track_caller]
    pub fn trunc(self) -> Tensor {
        self.lt(0).select(self.ceil(), self.floor())
    }

    /// x/y rounded to zero, of integers or floats. Of integers it is -1 (of unsigned ones the largest)
    /// where y is 0.
    #[track_caller]
    pub fn div_trunc(self, other: impl Operand) -> Tensor {
        let y = self.like(other);
        if self.dtype().is_float() { ((self - self.rem(y)) / y).round() } else { self.quotient(y) }
    }

    /// x/y rounded down, of integers or floats: Python's `//`. The derivative is 0.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| (x.floor_div(2), x.modulo(2), x.div_trunc(2), x.rem(2)));
    /// let (floor_div, modulo, div_trunc, rem) = f(&Array::from(-7i32)).unwrap();
    /// assert_eq!([floor_div, modulo].map(|y| y.item::<i32>().unwrap()), [-4, 1]);
    /// assert_eq!([div_trunc, rem].map(|y| y.item::<i32>().unwrap()), [-3, -1]);
    /// ```
    #[track_caller]
    pub fn floor_div(self, other: impl Operand) -> Tensor {
        let y = self.like(other);
        if self.dtype().is_unsigned() {
            return self.quotient(y);
        }
        let rest = self.rem(y);
        if self.dtype().is_float() {
            let down = rest.not_equal(0).and(rest.sign().not_equal(y.sign()));
            let quotient = (self - rest) / y;
            down.select(quotient - 1, quotient).round()
        } else {
            let quotient = self.quotient(y);
            let down = rest.not_equal(0).and(self.sign().not_equal(y.sign()));
            down.select(quotient - 1, quotient)
        }
    }

    /// What x/y rounded down leaves, with the sign of y, of integers or floats: Python's `%`.
    /// [`rem`](Tensor::rem) has the sign of x.
    #[track_caller]
    pub fn modulo(self, other: impl Operand) -> Tensor {
        let y = self.like(other);
        let rest = self.rem(y);
        if self.dtype().is_unsigned() {
            return rest;
        }
        let other_side = rest.not_equal(0).and(rest.lt(0).not_equal(y.lt(0)));
        other_side.select(rest + y, rest)
    }

    /// x/y of integers, rounded to zero.
    #[track_caller]
    fn quotient(self, other: Tensor) -> Tensor {
        self.binary(egrad_ir::Binary::Div, other)
    }
}
