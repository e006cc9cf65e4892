//! Discrete Fourier transforms, of complex numbers as pairs `(re, im)` of tensors.
//!
//! One primitive transforms rows of real and imaginary parts; the rest is composed. On the CPU it is
//! [rustfft](https://docs.rs/rustfft)'s, of any length; under strict numerics it is Cooley and Tukey's
//! recursion as it stands. Vulkan devices refuse it by name. All are linear, so that derivatives of
//! every order are transforms again.
//!
//! ```
//! use egrad::{Array, Tensor, fft, jit};
//!
//! // A circular convolution is a product of transforms.
//! let convolve = jit(|x: Tensor, y: Tensor| {
//!     let ((a, b), (c, d)) = (fft::rfft(x, -1), fft::rfft(y, -1));
//!     fft::irfft((a * c - b * d, a * d + b * c), 4, -1)
//! });
//! let x = Array::from_vec(vec![1.0f64, 2.0, 3.0, 4.0], [4]).unwrap();
//! let y = Array::from_vec(vec![0.0f64, 1.0, 0.0, 0.0], [4]).unwrap();
//! let z = convolve(&x, &y).unwrap();
//! assert!(z.as_slice::<f64>().unwrap().iter().zip([4.0, 1.0, 2.0, 3.0]).all(|(z, want)| (z - want).abs() < 1e-12));
//! ```

use crate::functions::stack;
use crate::tensor::{AxisList, Tensor, arange, concatenate, normalize_axis, zeros_like};
use crate::trace::Tape;
use crate::{raise, trace};
use egrad_ir::builder::Recorder;
use egrad_ir::{Dtype, Error, Linalg, Op, Span};

/// Complex numbers: real and imaginary parts, of one shape and element type.
pub type Complex = (Tensor, Tensor);

/// Both parts, checked, and the axis counted from the front.
#[track_caller]
fn along(name: &str, (re, im): Complex, axis: isize) -> usize {
    let (x, y, span) = (re.aval(), im.aval(), Span::here());
    let fail = |e: Error| raise::throw(Tape.blame(e, &[re, im], span));
    if !x.dtype.is_float() {
        fail(Error::dtype(format!("`{name}` takes floats, not {x}: convert it")));
    }
    if x != y {
        fail(Error::shape(format!("`{name}` of {x} and {y}: real and imaginary parts must be alike")));
    }
    match normalize_axis(name, axis, x.shape.rank()) {
        Ok(axis) => axis,
        Err(e) => fail(e),
    }
}

#[track_caller]
fn transform(name: &str, z: Complex, axis: isize, inverse: bool) -> Complex {
    let axis = along(name, z, axis) as isize;
    let rows = stack([z.0.move_axis(axis, -1), z.1.move_axis(axis, -1)], -2);
    let rows = trace::add(Op::Linalg(Linalg::Fft { inverse }), &[rows], Span::here());
    let part = |i: usize| rows.slice_axis(-2, i, i + 1).squeeze([-2]).move_axis(-1, axis);
    (part(0), part(1))
}

#[track_caller]
fn scaled(z: Complex, axis: usize) -> Complex {
    let n = z.0.shape()[axis];
    let by = 1.0 / n.max(1) as f64;
    (z.0 * by, z.1 * by)
}

/// Along an axis of n numbers, Σⱼ zⱼ e^(−2πi jk/n) for k = 0, …, n − 1.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor, y: Tensor| fft::fft((x, y), -1));
/// let x = Array::from_vec(vec![1.0f64, 0.0, 0.0, 0.0], [4]).unwrap();
/// let zero = Array::from_vec(vec![0.0f64; 4], [4]).unwrap();
/// let (re, im) = f(&x, &zero).unwrap();
/// assert_eq!(re.as_slice::<f64>().unwrap(), [1.0; 4]);
/// assert_eq!(im.as_slice::<f64>().unwrap(), [0.0; 4]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if the parts differ, are no floats, or have no such axis.
#[track_caller]
pub fn fft(z: Complex, axis: isize) -> Complex {
    let _in = crate::raise::within("fft");
    transform("fft", z, axis, false)
}

/// The inverse of [`fft`](fft()): with e^(+2πi jk/n), divided by n.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor, y: Tensor| fft::ifft(fft::fft((x, y), -1), -1));
/// let x = Array::from_vec(vec![1.0f64, 2.0], [2]).unwrap();
/// let (re, _) = f(&x, &x).unwrap();
/// assert_eq!(re.as_slice::<f64>().unwrap(), [1.0, 2.0]);
/// ```
///
/// # Errors and panics
/// As [`fft`](fft()).
#[track_caller]
pub fn ifft(z: Complex, axis: isize) -> Complex {
    let _in = crate::raise::within("ifft");
    let at = along("ifft", z, axis);
    scaled(transform("ifft", z, axis, true), at)
}

/// The first n/2 + 1 numbers (rounded down) that [`fft`](fft()) makes of n real ones: the others are the
/// conjugates of these.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::rfft(x, -1));
/// let (re, im) = f(&Array::from_vec(vec![1.0f64, 0.0, -1.0, 0.0], [4]).unwrap()).unwrap();
/// assert_eq!(re.as_slice::<f64>().unwrap(), [0.0, 2.0, 0.0]);
/// # let _ = im;
/// ```
///
/// # Errors and panics
/// As [`fft`](fft()).
#[track_caller]
pub fn rfft(x: Tensor, axis: isize) -> Complex {
    let _in = crate::raise::within("rfft");
    let at = along("rfft", (x, x), axis);
    let n = x.shape()[at];
    let (re, im) = transform("rfft", (x, zeros_like(x)), axis, false);
    let half = |t: Tensor| t.slice_axis(axis, 0, (n / 2 + 1).min(n));
    (half(re), half(im))
}

/// The n real numbers of which [`rfft`] makes these: of more than n/2 + 1 the first, of fewer as if zeros
/// followed. The imaginary part of the first, and for even n of the last, is ignored.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::irfft(fft::rfft(x, -1), 3, -1));
/// let x = f(&Array::from_vec(vec![1.0f64, 2.0, 4.0], [3]).unwrap()).unwrap();
/// assert!(x.as_slice::<f64>().unwrap().iter().zip([1.0, 2.0, 4.0]).all(|(x, want)| (x - want).abs() < 1e-12));
/// ```
///
/// # Errors and panics
/// As [`fft`](fft()).
#[track_caller]
pub fn irfft(z: Complex, n: usize, axis: isize) -> Tensor {
    let _in = crate::raise::within("irfft");
    let at = along("irfft", z, axis);
    let half = if n == 0 { 0 } else { n / 2 + 1 };
    let fitted = |t: Tensor| {
        let t = t.move_axis(at as isize, -1);
        let have = t.shape()[t.rank() - 1];
        let last = t.rank() - 1;
        t.slice_axis(-1, 0, have.min(half)).pad_axis(last, (0, half.saturating_sub(have) as isize).into(), 0.0)
    };
    let (re, im) = (fitted(z.0), fitted(z.1));
    if n == 0 {
        return re.move_axis(-1, at as isize);
    }
    // What the second half of the inverse's operand is.
    let mirrored = |t: Tensor| t.slice_axis(-1, 1, 1 + (n - 1) / 2).flip(-1);
    let k = arange(half, Dtype::I32);
    let real = k.equal(0).or((2 * k).equal(n as i32));
    let im = real.broadcast_to(im.shape()).select(zeros_like(im), im);
    let whole = (concatenate([re, mirrored(re)], -1), concatenate([im, -mirrored(im)], -1));
    let last = re.rank() - 1;
    scaled(transform("irfft", whole, -1, true), last).0.move_axis(-1, at as isize)
}

/// [`fft`](fft()) along each of these axes.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::fftn((x, x), [0, 1]));
/// let (re, _) = f(&Array::from_vec(vec![1.0f64; 4], [2, 2]).unwrap()).unwrap();
/// assert_eq!(re.as_slice::<f64>().unwrap(), [4.0, 0.0, 0.0, 0.0]);
/// ```
///
/// # Errors and panics
/// As [`fft`](fft()).
#[track_caller]
pub fn fftn(mut z: Complex, axes: impl Into<AxisList>) -> Complex {
    let _in = crate::raise::within("fftn");
    for axis in axes.into().iter() {
        z = transform("fftn", z, axis, false);
    }
    z
}

/// [`ifft`] along each of these axes.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::ifftn(fft::fftn((x, x), [0, 1]), [0, 1]));
/// let (re, _) = f(&Array::from_vec(vec![1.0f64, 2.0, 3.0, 4.0], [2, 2]).unwrap()).unwrap();
/// assert_eq!(re.as_slice::<f64>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
/// ```
///
/// # Errors and panics
/// As [`fft`](fft()).
#[track_caller]
pub fn ifftn(mut z: Complex, axes: impl Into<AxisList>) -> Complex {
    let _in = crate::raise::within("ifftn");
    for axis in axes.into().iter() {
        z = ifft(z, axis);
    }
    z
}

/// [`fftn`] along the last two axes.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::fft2((x, x)));
/// let (re, _) = f(&Array::from_vec(vec![1.0f64; 4], [2, 2]).unwrap()).unwrap();
/// assert_eq!(re.as_slice::<f64>().unwrap(), [4.0, 0.0, 0.0, 0.0]);
/// ```
///
/// # Errors and panics
/// As [`fft`](fft()).
#[track_caller]
pub fn fft2(z: Complex) -> Complex {
    let _in = crate::raise::within("fft2");
    fftn(z, [-2, -1])
}

/// [`ifftn`] along the last two axes.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::ifft2((x, x)));
/// let (re, _) = f(&Array::from_vec(vec![4.0f64, 0.0, 0.0, 0.0], [2, 2]).unwrap()).unwrap();
/// assert_eq!(re.as_slice::<f64>().unwrap(), [1.0; 4]);
/// ```
///
/// # Errors and panics
/// As [`fft`](fft()).
#[track_caller]
pub fn ifft2(z: Complex) -> Complex {
    let _in = crate::raise::within("ifft2");
    ifftn(z, [-2, -1])
}

/// The frequencies of [`fft`](fft())'s n results for samples d apart: 0, 1, …, −2, −1 over n d.
///
/// ```
/// # use egrad::{Array, Dtype, Tensor, fft, jit};
/// let f = jit(|x: Tensor| x * fft::fftfreq(4, 0.5, Dtype::F32));
/// assert_eq!(f(&Array::from(1.0f32)).unwrap().as_slice::<f32>().unwrap(), [0.0, 0.5, -1.0, -0.5]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if the type is no float.
#[track_caller]
pub fn fftfreq(n: usize, d: f64, dtype: Dtype) -> Tensor {
    let _in = crate::raise::within("fftfreq");
    let k = arange(n, Dtype::I32);
    let signed = k.lt(n.div_ceil(2) as i32).select(k, k - n as i32);
    frequencies("fftfreq", signed, n, d, dtype)
}

/// The frequencies of [`rfft`]'s results for n samples d apart: 0, 1, …, n/2 over n d.
///
/// ```
/// # use egrad::{Array, Dtype, Tensor, fft, jit};
/// let f = jit(|x: Tensor| x * fft::rfftfreq(4, 0.5, Dtype::F32));
/// assert_eq!(f(&Array::from(1.0f32)).unwrap().as_slice::<f32>().unwrap(), [0.0, 0.5, 1.0]);
/// ```
///
/// # Errors and panics
/// As [`fftfreq`].
#[track_caller]
pub fn rfftfreq(n: usize, d: f64, dtype: Dtype) -> Tensor {
    let _in = crate::raise::within("rfftfreq");
    frequencies("rfftfreq", arange(n / 2 + 1, Dtype::I32), n, d, dtype)
}

#[track_caller]
fn frequencies(name: &str, k: Tensor, n: usize, d: f64, dtype: Dtype) -> Tensor {
    if !dtype.is_float() {
        raise::throw(Error::dtype(format!("`{name}` gives floats, not {dtype}")).at(Span::here()));
    }
    (k.convert(dtype.computed()) / (n as f64 * d)).convert(dtype)
}

/// The results of [`fft`](fft()) along these axes with frequency 0 in the middle.
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::fftshift(x, 0));
/// let x = Array::from_vec(vec![0i32, 1, 2, -2, -1], [5]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<i32>().unwrap(), [-2, -1, 0, 1, 2]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if there is no such axis.
#[track_caller]
pub fn fftshift(x: Tensor, axes: impl Into<AxisList>) -> Tensor {
    let _in = crate::raise::within("fftshift");
    shifted("fftshift", x, axes.into(), |n| n / 2)
}

/// The inverse of [`fftshift`].
///
/// ```
/// # use egrad::{Array, Tensor, fft, jit};
/// let f = jit(|x: Tensor| fft::ifftshift(fft::fftshift(x, 0), 0));
/// let x = Array::from_vec(vec![0i32, 1, -1], [3]).unwrap();
/// assert_eq!(f(&x).unwrap().as_slice::<i32>().unwrap(), [0, 1, -1]);
/// ```
///
/// # Errors and panics
/// As [`fftshift`].
#[track_caller]
pub fn ifftshift(x: Tensor, axes: impl Into<AxisList>) -> Tensor {
    let _in = crate::raise::within("ifftshift");
    shifted("ifftshift", x, axes.into(), |n| n.div_ceil(2))
}

#[track_caller]
fn shifted(name: &str, mut x: Tensor, axes: AxisList, by: fn(usize) -> usize) -> Tensor {
    for axis in axes.iter() {
        let at = raise::get(normalize_axis(name, axis, x.rank()).map_err(|e| e.at(Span::here())));
        x = x.roll(by(x.shape()[at]) as isize, axis);
    }
    x
}
