//! Integer quotients, rounding, and the gamma function's family.
//!
//! ln |Γ| and its derivative are written out in primitives, so that derivatives of every order come
//! from the rules (as a primitive, each order would need one more). All pieces are analytic series of
//! the function itself, whose derivatives converge as they do.

use crate::tensor::{Operand, Tensor};
use egrad_ir::Dtype;
use std::f64::consts::{PI, SQRT_2};

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

    /// The Gaussian error linear unit, x · P(N ≤ x) of a standard normal N. See
    /// [`gelu_tanh`](Tensor::gelu_tanh) for the approximation.
    #[track_caller]
    pub fn gelu(self) -> Tensor {
        self * (0.5 * (self * (-1.0 / SQRT_2)).erfc())
    }

    /// The logarithm of |Γ(x)|, of floats; ∞ at 0 and the negative integers. Every derivative
    /// exists: the first is [`digamma`](Tensor::digamma).
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.lgamma());
    /// let y = f(&Array::from(5.0f64)).unwrap().item::<f64>().unwrap();
    /// assert!((y - 24f64.ln()).abs() < 1e-14);
    /// ```
    #[track_caller]
    pub fn lgamma(self) -> Tensor {
        if self.dtype().computed() != self.dtype() {
            return self.wide().lgamma().convert(self.dtype());
        }
        let finite = self.abs().lt(f64::INFINITY);
        let x = finite.select(self, 1.0);
        // Below ½, Γ(x) Γ(1 - x) = π / sin πx.
        let reflected = x.lt(0.5);
        let y = reflected.select(1.0 - x, x).lgamma_from_half();
        let sine = (reflected.select(x - x.round(), 0.5) * PI).sin().abs();
        finite.select(reflected.select(PI.ln() - sine.log() - y, y), self * self)
    }

    /// ln Γ(x) for x ≥ ½.
    #[track_caller]
    fn lgamma_from_half(self) -> Tensor {
        let single = self.dtype() == Dtype::F32;
        let large = self.ge(8.0);

        // From 8 on by Stirling's series.
        let z = large.select(self, 8.0);
        let series = inverse_powers(z, if single { &STIRLING[..5] } else { &STIRLING });
        let far = (z - 0.5) * (z.log() - 1.0) + (HALF_LN_2PI - 0.5) + series / z;

        // Up to there, brought to y = x - 2 between -½ and ½ by Γ(x + 1) = x Γ(x); there by the
        // series in y that the values of ζ make.
        let x = large.select(2.0, self);
        let below = x.lt(1.5);
        let (mut y, mut product) = (below.select(x + 1.0, x), below.select(x, 1.0));
        for _ in 0..6 {
            let above = y.ge(2.5);
            y = above.select(y - 1.0, y);
            product *= above.select(y, 1.0);
        }
        let y = y - 2.0;
        let near = y * polynomial(y, if single { &NEAR_TWO[..14] } else { &NEAR_TWO });
        let logarithm = product.log();
        let near = near + below.select(-logarithm, logarithm);
        large.select(far, near)
    }

    /// The derivative of ln |Γ(x)|, of floats; NaN at 0 and the negative integers. Every derivative
    /// exists.
    #[track_caller]
    pub fn digamma(self) -> Tensor {
        if self.dtype().computed() != self.dtype() {
            return self.wide().digamma().convert(self.dtype());
        }
        // Below ½, ψ(x) = ψ(1 - x) - π / tan πx.
        let x = self;
        let reflected = x.lt(0.5);
        let y = reflected.select(1.0 - x, x).digamma_from_half();
        let rest = x - x.round();
        let pole = rest.equal(0);
        let angle = reflected.and(pole.not()).select(rest, 0.5) * PI;
        let mirrored = pole.select(f64::NAN, y - PI * (angle.cos() / angle.sin()));
        reflected.select(mirrored, y)
    }

    /// ψ(x) for x ≥ ½.
    #[track_caller]
    fn digamma_from_half(self) -> Tensor {
        let single = self.dtype() == Dtype::F32;
        // Up to 8, ψ(x) = ψ(x + 8) - 1/x - 1/(x + 1) - … - 1/(x + 7).
        let small = self.lt(8.0);
        let x = small.select(self, 1.0);
        let sum = (1..8).fold(1.0 / x, |sum, k| sum + 1.0 / (x + k));
        // From there on by Stirling's series.
        let z = small.select(self + 8.0, self);
        let series = inverse_powers(z, if single { &DIGAMMA[..5] } else { &DIGAMMA });
        let far = z.log() - 0.5 / z - series / (z * z);
        small.select(far - sum, far)
    }

    /// x/y of integers, rounded to zero.
    #[track_caller]
    fn quotient(self, other: Tensor) -> Tensor {
        self.binary(egrad_ir::Binary::Div, other)
    }
}

/// c₀ + c₁x + c₂x² + …
#[track_caller]
fn polynomial(x: Tensor, coefficients: &[f64]) -> Tensor {
    let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
    rest.iter().rev().fold(crate::tensor::operand("constant", *last, x.dtype()), |sum, c| sum * x + *c)
}

/// c₀ + c₁/z² + c₂/z⁴ + …
#[track_caller]
fn inverse_powers(z: Tensor, coefficients: &[f64]) -> Tensor {
    polynomial(1.0 / (z * z), coefficients)
}

/// ½ ln 2π
const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// ln Γ(2 + y)/y = (1 − γ) + Σ (−1)ᵏ (ζ(k) − 1)/k · yᵏ⁻¹, for k from 2 on.
const NEAR_TWO: [f64; 30] = [
    0.42278433509846713,
    0.3224670334241132,
    -0.0673523010531981,
    0.020580808427784546,
    -0.007385551028673986,
    0.0028905103307415234,
    -0.001192753911703261,
    0.0005096695247430425,
    -0.00022315475845357939,
    9.945751278180853e-05,
    -4.492623673813314e-05,
    2.050721277567069e-05,
    -9.439488275268397e-06,
    4.374866789907488e-06,
    -2.039215753801366e-06,
    9.55141213040742e-07,
    -4.492469198764566e-07,
    2.1207184805554665e-07,
    -1.0043224823968099e-07,
    4.7698101693639804e-08,
    -2.2711094608943164e-08,
    1.0838659214896955e-08,
    -5.183475041970047e-09,
    2.4836745438024785e-09,
    -1.1921401405860912e-09,
    5.731367241678862e-10,
    -2.7595228851242334e-10,
    1.330476437424449e-10,
    -6.4229645638381e-11,
    3.1044247747322276e-11,
];

/// B₂ₖ/(2k (2k − 1)), with the Bernoulli numbers B, for k from 1 on.
const STIRLING: [f64; 10] = [
    0.08333333333333333,
    -0.002777777777777778,
    0.0007936507936507937,
    -0.0005952380952380953,
    0.0008417508417508417,
    -0.0019175269175269176,
    0.00641025641025641,
    -0.029550653594771242,
    0.17964437236883057,
    -1.3924322169059011,
];

/// B₂ₖ/2k for k from 1 on.
const DIGAMMA: [f64; 10] = [
    0.08333333333333333,
    -0.008333333333333333,
    0.003968253968253968,
    -0.004166666666666667,
    0.007575757575757576,
    -0.021092796092796094,
    0.08333333333333333,
    -0.4432598039215686,
    3.0539543302701198,
    -26.456212121212122,
];
