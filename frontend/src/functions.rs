//! Functions composed of primitives.
//!
//! Values and derivatives follow JAX's conventions, at kinks, at infinity and for NaN too. Where a
//! branch not taken has an infinite derivative, its operand is replaced as well as its result:
//! `0 · ∞` would otherwise make the derivative NaN.

use crate::raise;
use crate::tensor::{AxisList, Operand, Tensor, iota, normalize_axis, zeros_like};
use egrad_ir::{Dtype, Error, Shape, Span};
use std::f64::consts::{LN_2, LN_10, PI};

impl Tensor {
    /// x².
    #[track_caller]
    pub fn square(self) -> Tensor {
        let _in = crate::raise::within("square");
        self.powi(2)
    }

    /// 1/x of floats.
    #[track_caller]
    pub fn reciprocal(self) -> Tensor {
        let _in = crate::raise::within("reciprocal");
        1.0 / self
    }

    /// ∛x of floats, negative ones too; the derivative at 0 is ∞.
    #[track_caller]
    pub fn cbrt(self) -> Tensor {
        let _in = crate::raise::within("cbrt");
        let (negative, a) = self.fold();
        let root = a.pow(1.0 / 3.0);
        negative.select(-root, root)
    }

    /// 2ˣ of floats.
    #[track_caller]
    pub fn exp2(self) -> Tensor {
        let _in = crate::raise::within("exp2");
        (self * LN_2).exp()
    }

    /// The logarithm to base 2, of floats.
    #[track_caller]
    pub fn log2(self) -> Tensor {
        let _in = crate::raise::within("log2");
        self.log() / LN_2
    }

    /// The logarithm to base 10, of floats.
    #[track_caller]
    pub fn log10(self) -> Tensor {
        let _in = crate::raise::within("log10");
        self.log() / LN_10
    }

    /// tan x of floats.
    #[track_caller]
    pub fn tan(self) -> Tensor {
        let _in = crate::raise::within("tan");
        self.sin() / self.cos()
    }

    /// sinh x of floats; exact for small x, and finite wherever the result is.
    #[track_caller]
    pub fn sinh(self) -> Tensor {
        let _in = crate::raise::within("sinh");
        let small = self.abs().lt(1.0);
        let u = small.select(self, 0.0).expm1();
        let near = (u + u / (u + 1.0)) * 0.5;
        let (up, down) = self.half_exponentials();
        small.select(near, up - down)
    }

    /// cosh x of floats; finite wherever the result is.
    #[track_caller]
    pub fn cosh(self) -> Tensor {
        let _in = crate::raise::within("cosh");
        let (up, down) = self.half_exponentials();
        up + down
    }

    /// eˣ/2 and e⁻ˣ/2, which overflow no sooner than they must.
    #[track_caller]
    fn half_exponentials(self) -> (Tensor, Tensor) {
        let half = self * 0.5;
        let (up, down) = (half.exp(), (-half).exp());
        ((up * 0.5) * up, (down * 0.5) * down)
    }

    /// arsinh x of floats.
    #[track_caller]
    pub fn asinh(self) -> Tensor {
        let _in = crate::raise::within("asinh");
        // ln(a + √(a² + 1)) of a = |x|, as log1p so that small x keep their digits; for large ones,
        // where a² would overflow, it is ln a + ln 2.
        let (negative, a) = self.fold();
        let large = a.gt(1e10);
        let s = large.select(1.0, a);
        let near = (s + s * s / ((s * s + 1.0).sqrt() + 1.0)).log1p();
        let far = large.select(a, 1.0).log() + LN_2;
        let y = large.select(far, near);
        negative.select(-y, y)
    }

    /// arcosh x of floats from 1; NaN below.
    #[track_caller]
    pub fn acosh(self) -> Tensor {
        let _in = crate::raise::within("acosh");
        // On |x|; below -1, JAX's derivative of the NaN is that of -arcosh(-x).
        let a = self.abs();
        let large = a.gt(1e10);
        let s = large.select(2.0, a) - 1.0;
        let near = (s + s.sqrt() * (s + 2.0).sqrt()).log1p();
        let far = large.select(a, 1.0).log() + LN_2;
        let y = large.select(far, near);
        self.lt(0.0).select(f64::NAN - y, y)
    }

    /// artanh x of floats between -1 and 1; NaN beyond.
    #[track_caller]
    pub fn atanh(self) -> Tensor {
        let _in = crate::raise::within("atanh");
        (self.log1p() - (-self).log1p()) * 0.5
    }

    /// sin(πx) / (πx), and 1 at 0.
    #[track_caller]
    pub fn sinc(self) -> Tensor {
        let _in = crate::raise::within("sinc");
        let x = self * PI;
        let zero = x.equal(0.0);
        let safe = zero.select(1.0, x);
        // The derivative at 0 is 0, and the second one -1/3.
        zero.select(1.0 - x * x / 6.0, safe.sin() / safe)
    }

    /// x where it is positive, else 0; NaN stays NaN. The derivative at 0 is 0.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, grad, jit};
    /// let slope = jit(grad(|x: Tensor| x.relu()));
    /// assert_eq!(slope(&Array::from(0.0f32)).unwrap().item::<f32>().unwrap(), 0.0);
    /// ```
    #[track_caller]
    pub fn relu(self) -> Tensor {
        let _in = crate::raise::within("relu");
        let positive = self.gt(0);
        positive.select(self, self.maximum(0).stop_gradient())
    }

    /// ln(1 + eˣ), which neither overflows nor loses small results.
    #[track_caller]
    pub fn softplus(self) -> Tensor {
        let _in = crate::raise::within("softplus");
        let positive = self.gt(0.0);
        // e^-|x|, with the derivative 1 at 0.
        let decay = positive.select(-self, self).exp();
        positive.select(self, 0.0) + decay.log1p()
    }

    /// x · sigmoid(x), also called swish.
    #[track_caller]
    pub fn silu(self) -> Tensor {
        let _in = crate::raise::within("silu");
        self * self.sigmoid()
    }

    /// ln sigmoid(x) = -softplus(-x).
    #[track_caller]
    pub fn log_sigmoid(self) -> Tensor {
        let _in = crate::raise::within("log_sigmoid");
        -(-self).softplus()
    }

    /// x where it is positive, else alpha · (eˣ − 1).
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Tensor {
        let _in = crate::raise::within("elu");
        let positive = self.gt(0.0);
        positive.select(self, alpha * positive.select(0.0, self).expm1())
    }

    /// x where it isn't negative, else slope · x.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Tensor {
        let _in = crate::raise::within("leaky_relu");
        self.ge(0.0).select(self, slope * self)
    }

    /// The Gaussian error linear unit in its tanh form:
    /// x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
    #[track_caller]
    pub fn gelu_tanh(self) -> Tensor {
        let _in = crate::raise::within("gelu_tanh");
        let inner = (2.0 / PI).sqrt() * (self + 0.044715 * self.powi(3));
        self * (0.5 * (1.0 + inner.tanh()))
    }

    /// Whether x is neither infinite nor NaN.
    #[track_caller]
    pub fn is_finite(self) -> Tensor {
        let _in = crate::raise::within("is_finite");
        if self.dtype().is_float() { self.abs().lt(f64::INFINITY) } else { self.equal(self) }
    }

    /// Whether x is NaN.
    #[track_caller]
    pub fn is_nan(self) -> Tensor {
        let _in = crate::raise::within("is_nan");
        self.not_equal(self)
    }

    /// √(x² + y²), finite wherever the result is.
    #[track_caller]
    pub fn hypot(self, other: impl Operand) -> Tensor {
        let _in = crate::raise::within("hypot");
        let (x, y) = (self.abs(), self.like(other).abs());
        let (long, short) = (x.maximum(y), x.minimum(y));
        let zero = long.equal(0.0);
        let ratio = short / zero.select(1.0, long);
        let length = zero.select(long, long * (1.0 + ratio.powi(2)).sqrt());
        let infinite = x.equal(f64::INFINITY).or(y.equal(f64::INFINITY));
        infinite.select(f64::INFINITY, length)
    }

    /// ln(eˣ + eʸ), computed without overflow.
    #[track_caller]
    pub fn logaddexp(self, other: impl Operand) -> Tensor {
        let _in = crate::raise::within("logaddexp");
        let (x, y) = (self, self.like(other));
        // Where the result is ∞, JAX's derivatives are those of x + y with eˣ for a finite x.
        let infinite = x.maximum(y).equal(f64::INFINITY);
        let sum = x.or_exp(infinite) + y.or_exp(infinite);
        let (a, b) = (infinite.select(0.0, x), infinite.select(0.0, y));
        let d = a - b;
        let above = d.gt(0.0);
        let log = above.select(a, b) + above.select(-d, d).exp().log1p();
        // Both -∞, or one NaN: then the sum of exponentials can't overflow, and its derivative is NaN.
        let lost = d.is_nan();
        let plain = (lost.select(a, 0.0).exp() + lost.select(b, 0.0).exp()).log();
        infinite.select(sum, lost.select(plain, log))
    }

    /// x where it is ∞, else eˣ, which is only used `where_` that holds.
    #[track_caller]
    fn or_exp(self, where_: Tensor) -> Tensor {
        let own = self.equal(f64::INFINITY);
        own.select(self, where_.and(own.not()).select(self, 0.0).exp())
    }

    /// x · ln y, and 0 where x is 0.
    ///
    /// The derivatives are ln y and x/y, also where x is 0 and y not negative; where x is 0 and y
    /// negative, infinite or NaN, they are 0.
    #[track_caller]
    pub fn xlogy(self, other: impl Operand) -> Tensor {
        let _in = crate::raise::within("xlogy");
        let (x, y) = (self, self.like(other));
        let zero = x.equal(0.0);
        let origin = zero.and(y.equal(0.0));
        let plain = zero.not().or(y.gt(0.0).and(y.lt(f64::INFINITY)));
        let product = plain.select(x, 0.0) * plain.select(y, 1.0).log();
        // At (0, 0): 0, with the derivatives -∞ and NaN.
        let (p, q) = (origin.select(x, 1.0), origin.select(y, 1.0));
        origin.select(p * q.sqrt() - p.sqrt(), product)
    }

    /// Whether the sign is negative, that of a zero too.
    #[track_caller]
    pub(crate) fn is_negative(self) -> Tensor {
        let x = self.stop_gradient();
        x.lt(0.0).or(x.equal(0.0).and((1.0 / x).lt(0.0)))
    }

    /// The sign and |x|: what an odd function is computed from. Unlike [`abs`](Tensor::abs), whose
    /// derivative is 1 at a negative zero, this one's is -1 there, so that the sign put back gives
    /// an odd function's.
    #[track_caller]
    fn fold(self) -> (Tensor, Tensor) {
        let negative = self.is_negative();
        (negative, negative.select(-self, self))
    }

    /// |x| with the sign of y, that of a zero too.
    #[track_caller]
    pub fn copysign(self, other: impl Operand) -> Tensor {
        let _in = crate::raise::within("copysign");
        let negative = self.like(other).is_negative();
        let x = self.abs();
        negative.select(-x, x)
    }

    /// x, but no less than `low` and no more than `high`.
    #[track_caller]
    pub fn clamp(self, low: impl Operand, high: impl Operand) -> Tensor {
        let _in = crate::raise::within("clamp");
        self.maximum(low).minimum(high)
    }

    /// eˣ divided by its sum along an axis.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| x.softmax(-1));
    /// let y = f(&Array::from_vec(vec![1.0f32, 1.0], [2]).unwrap()).unwrap();
    /// assert_eq!(y.as_slice::<f32>().unwrap(), [0.5, 0.5]);
    /// ```
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Tensor {
        let _in = crate::raise::within("softmax");
        let e = (self - self.stop_gradient().max_keepdims(axis)).exp();
        e / e.sum_keepdims(axis)
    }

    /// The logarithm of [`softmax`](Tensor::softmax), computed without rounding small values off.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Tensor {
        let _in = crate::raise::within("log_softmax");
        let x = self - self.stop_gradient().max_keepdims(axis);
        x - x.exp().sum_keepdims(axis).log()
    }

    /// A new last axis of length n that is 1 at the index this integer tensor holds and 0
    /// elsewhere; all zeros where the index is out of range.
    #[track_caller]
    pub fn one_hot(self, n: usize, dtype: Dtype) -> Tensor {
        let _in = crate::raise::within("one_hot");
        let mut shape = self.shape().to_vec();
        let axis = shape.len() as isize;
        shape.push(n);
        let index = if self.dtype().is_integer() { self.index("one_hot") } else { self };
        index.expand_dims(axis).equal(iota(shape, axis, index.dtype())).convert(dtype)
    }

    /// The tensor repeated `reps[i]` times along axis i, as a whole; missing axes are put in front.
    ///
    /// ```
    /// # use egrad::{Array, Tensor, jit};
    /// let f = jit(|x: Tensor| (x.tile([2]), x.repeat(2, 0)));
    /// let (tiled, repeated) = f(&Array::from_vec(vec![1i32, 2], [2]).unwrap()).unwrap();
    /// assert_eq!(tiled.as_slice::<i32>().unwrap(), [1, 2, 1, 2]);
    /// assert_eq!(repeated.as_slice::<i32>().unwrap(), [1, 1, 2, 2]);
    /// ```
    #[track_caller]
    pub fn tile(self, reps: impl AsRef<[usize]>) -> Tensor {
        let _in = crate::raise::within("tile");
        let (shape, reps) = (self.shape(), reps.as_ref());
        let rank = shape.rank().max(reps.len());
        let at = |of: &[usize], i: usize| (i + of.len()).checked_sub(rank).map_or(1, |i| of[i]);
        let (mut spread, mut wide, mut merged) = (vec![], vec![], vec![]);
        for i in 0..rank {
            let (n, r) = (at(&shape, i), at(reps, i));
            spread.extend([1, n]);
            wide.extend([r, n]);
            merged.push(r * n);
        }
        self.reshape(spread).broadcast_to(wide).reshape(merged)
    }

    /// Each element repeated n times along an axis.
    #[track_caller]
    pub fn repeat(self, n: usize, axis: isize) -> Tensor {
        let _in = crate::raise::within("repeat");
        let (span, shape) = (Span::here(), self.shape());
        let axis = raise::get(normalize_axis("repeat", axis, shape.rank()).map_err(|e| e.at(span)));
        let wide = shape.insert(axis + 1, n);
        let mut merged = shape.to_vec();
        merged[axis] = match merged[axis].checked_mul(n) {
            Some(length) => length,
            None => {
                let m = format!("`repeat` of {} {n} times has more elements than any memory holds", self.aval());
                raise::throw(Error::memory(m).at(span))
            }
        };
        self.reshape(shape.insert(axis + 1, 1)).broadcast_to(wide).reshape(merged)
    }

    /// The last two axes' lower triangle, up to the k-th diagonal above the main one; 0 elsewhere.
    #[track_caller]
    pub fn tril(self, k: i32) -> Tensor {
        let _in = crate::raise::within("tril");
        let (row, column) = self.rows_and_columns("tril");
        (row + self.nearest_diagonal(k)).ge(column).select(self, zeros_like(self))
    }

    /// The last two axes' upper triangle, from the k-th diagonal above the main one; 0 elsewhere.
    #[track_caller]
    pub fn triu(self, k: i32) -> Tensor {
        let _in = crate::raise::within("triu");
        let (row, column) = self.rows_and_columns("triu");
        (row + self.nearest_diagonal(k)).le(column).select(self, zeros_like(self))
    }

    /// A diagonal beyond the matrix is as good as the first one outside of it.
    fn nearest_diagonal(self, k: i32) -> i32 {
        let shape = self.aval().shape;
        let length = |axis: usize| i32::try_from(shape[shape.rank() - axis]).unwrap_or(i32::MAX / 2);
        k.clamp(-length(2), length(1))
    }

    #[track_caller]
    fn rows_and_columns(self, name: &str) -> (Tensor, Tensor) {
        let aval = self.aval();
        let rank = aval.shape.rank();
        if rank < 2 {
            let m = format!("`{name}` takes a tensor of at least two axes, not {aval}");
            raise::throw(Error::axis(m).at(Span::here()));
        }
        let matrix = Shape::from(&aval.shape[rank - 2..]);
        (iota(matrix.clone(), 0, Dtype::I32), iota(matrix, 1, Dtype::I32))
    }

    /// The norm: the square root of the sum of squares over these axes.
    #[track_caller]
    pub fn norm(self, axes: impl Into<AxisList>) -> Tensor {
        let _in = crate::raise::within("norm");
        self.powi(2).sum_axes(axes).sqrt()
    }

    /// An operand as a tensor of this one's element type.
    #[track_caller]
    pub(crate) fn like(self, other: impl Operand) -> Tensor {
        match other.as_tensor() {
            Some(t) => t,
            None => crate::tensor::operand("operand", other, self.dtype()),
        }
    }
}

/// Tensors of one shape and element type along a new axis.
///
/// ```
/// # use egrad::{Array, Tensor, jit, stack};
/// let f = jit(|x: Tensor, y: Tensor| stack([x, y], 0));
/// let z = f(&Array::from(1.0f32), &Array::from(2.0f32)).unwrap();
/// assert_eq!(z.as_slice::<f32>().unwrap(), [1.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if there are no tensors or their shapes differ.
#[track_caller]
pub fn stack(tensors: impl AsRef<[Tensor]>, axis: isize) -> Tensor {
    let _in = crate::raise::within("stack");
    let (span, tensors) = (Span::here(), tensors.as_ref());
    let Some(first) = tensors.first() else { raise::throw(Error::tree("`stack` needs a tensor").at(span)) };
    let aval = first.aval();
    for (i, t) in tensors.iter().enumerate() {
        let other = t.aval();
        if other != aval {
            let m = format!(
                "`stack` takes tensors of one shape and element type: tensor 0 is {aval}, tensor {i} is {other}"
            );
            raise::throw(Error::shape(m).at(span));
        }
    }
    let axis = raise::get(normalize_axis("stack", axis, aval.shape.rank() + 1).map_err(|e| e.at(span)));
    let position = iota(aval.shape.insert(axis, tensors.len()), axis as isize, Dtype::I32);
    let mut stacked = first.expand_dims(axis);
    for (i, t) in tensors.iter().enumerate().skip(1) {
        stacked = position.ge(i as i32).select(t.expand_dims(axis), stacked);
    }
    stacked.broadcast_to(aval.shape.insert(axis, tensors.len()))
}
