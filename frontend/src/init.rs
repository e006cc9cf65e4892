//! Starting values of parameters, as `jax.nn.initializers` draws them.
//!
//! All take a key, a shape and an element type, so that a layer can take any of them. Those named
//! after people scale with how many numbers an output is made of (*fan in*) or an input goes to (*fan
//! out*): the last axis is that of the outputs, the one before it that of the inputs, as in `x.matmul(w)`,
//! and those before are a convolution's window, whose size multiplies both.
//!
//! ```
//! use egrad::random::{self, Key};
//! use egrad::{Dtype, Tensor, init, jit, zeros};
//!
//! let layers = jit(|key: Key| {
//!     let sizes = [784, 128, 10];
//!     let keys: [Key; 2] = random::split(key);
//!     let layer = |(key, n): (Key, &[usize])| (init::he_normal(key, n, Dtype::F32), zeros([n[1]], Dtype::F32));
//!     keys.into_iter().zip(sizes.windows(2)).map(layer).collect::<Vec<(Tensor, Tensor)>>()
//! });
//! let layers = layers(&random::key(0)).unwrap();
//! assert_eq!(layers[1].0.shape()[..], [128, 10]);
//! ```

use crate::raise;
use crate::random::{self, Key};
use crate::tensor::Tensor;
use egrad_ir::{Dtype, Error, Literal, Shape, Span};

/// What the variance is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fan {
    /// By how many numbers an output is made of.
    In,
    /// By how many outputs a number goes to.
    Out,
    /// By the mean of the two.
    Mean,
}

/// How the values are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spread {
    /// Evenly around 0.
    Uniform,
    /// Normally.
    Normal,
    /// Normally, without values beyond two deviations (before those are made up for).
    TruncatedNormal,
}

/// The fans of a shape.
#[track_caller]
fn fans(name: &str, shape: &Shape, span: Span) -> [f64; 2] {
    let [window @ .., ins, outs] = &shape[..] else {
        let m = format!("`{name}` of shape {shape}: there must be an axis of inputs and one of outputs");
        raise::throw(Error::shape(m).at(span))
    };
    let window: f64 = window.iter().map(|n| *n as f64).product();
    [*ins as f64 * window, *outs as f64 * window]
}

/// Rounded to the element type.
fn rounded(x: f64, dtype: Dtype) -> f64 {
    Literal::new(dtype, x).to_f64()
}

/// Values of mean 0 and variance `scale` / fan.
///
/// ```
/// # use egrad::{Dtype, init::{self, Fan, Spread}, jit, random, random::Key};
/// let f = jit(|key: Key| {
///     init::variance_scaling(key, [100, 50], Dtype::F32, 3.0, Fan::Out, Spread::Uniform).abs().max()
/// });
/// // A uniform number's variance is a third of its bound's square.
/// assert!(f(&random::key(0)).unwrap().item::<f32>().unwrap() <= (9.0f32 / 50.0).sqrt());
/// ```
///
/// # Errors and panics
/// As [`random::uniform`]; [`Error::Shape`] if there are fewer than two axes.
#[track_caller]
pub fn variance_scaling(
    key: Key,
    shape: impl Into<Shape>,
    dtype: Dtype,
    scale: f64,
    fan: Fan,
    spread: Spread,
) -> Tensor {
    scaled("variance_scaling", key, &shape.into(), dtype, (scale, fan, spread))
}

#[track_caller]
fn scaled(name: &str, key: Key, shape: &Shape, dtype: Dtype, (scale, fan, spread): (f64, Fan, Spread)) -> Tensor {
    let [ins, outs] = fans(name, shape, Span::here());
    let divisor = match fan {
        Fan::In => ins,
        Fan::Out => outs,
        Fan::Mean => (ins + outs) / 2.0,
    };
    // Where nothing is drawn, by nothing.
    let variance = rounded(if divisor == 0.0 { 0.0 } else { scale / divisor }, dtype);
    let root = |x: f64| rounded(rounded(x, dtype).sqrt(), dtype);
    let shape = shape.clone();
    match spread {
        Spread::Uniform => random::uniform_between(key, shape, dtype, -1.0, 1.0) * root(3.0 * variance),
        Spread::Normal => random::normal(key, shape, dtype) * root(variance),
        Spread::TruncatedNormal => {
            // The deviation of what lies within two.
            let within = rounded(0.879_625_661_034_239_8, dtype);
            random::truncated_normal(key, shape, dtype, -2.0, 2.0) * rounded(root(variance) / within, dtype)
        }
    }
}

macro_rules! named {
    ($($name:ident: $scale:literal, $fan:ident, $spread:ident, $source:literal;)*) => { $(
        #[doc = concat!("[`variance_scaling`] by ", $scale, ", [`Fan::", stringify!($fan), "`] and [`Spread::",
            stringify!($spread), "`].\n\n", $source, "\n\n```\n# use egrad::{Dtype, init, jit, random, random::Key};\n",
            "let w = jit(|key: Key| init::", stringify!($name), "(key, [3, 4], Dtype::F32))(&random::key(0)).unwrap();\n",
            "assert_eq!(w.shape()[..], [3, 4]);\n```\n\n# Errors and panics\nAs [`variance_scaling`].")]
        #[track_caller]
        pub fn $name(key: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
            let _in = crate::raise::within(stringify!($name));
            scaled(stringify!($name), key, &shape.into(), dtype, ($scale, Fan::$fan, Spread::$spread))
        }
    )* };
}

named! {
    glorot_uniform: 1.0, Mean, Uniform, "Glorot and Bengio, \"Understanding the difficulty of training deep feedforward neural networks\", 2010.";
    glorot_normal: 1.0, Mean, TruncatedNormal, "Glorot and Bengio, \"Understanding the difficulty of training deep feedforward neural networks\", 2010.";
    lecun_uniform: 1.0, In, Uniform, "LeCun, Bottou, Orr and Müller, \"Efficient backprop\", 1998.";
    lecun_normal: 1.0, In, TruncatedNormal, "LeCun, Bottou, Orr and Müller, \"Efficient backprop\", 1998.";
    he_uniform: 2.0, In, Uniform, "He, Zhang, Ren and Sun, \"Delving deep into rectifiers\", 2015.";
    he_normal: 2.0, In, TruncatedNormal, "He, Zhang, Ren and Sun, \"Delving deep into rectifiers\", 2015.";
}

/// Numbers in [0, scale).
///
/// # Errors and panics
/// As [`random::uniform`].
#[track_caller]
pub fn uniform(key: Key, shape: impl Into<Shape>, dtype: Dtype, scale: f64) -> Tensor {
    random::uniform(key, shape, dtype) * rounded(scale, dtype)
}

/// Normal numbers of this deviation.
///
/// # Errors and panics
/// As [`random::normal`].
#[track_caller]
pub fn normal(key: Key, shape: impl Into<Shape>, dtype: Dtype, deviation: f64) -> Tensor {
    random::normal(key, shape, dtype) * rounded(deviation, dtype)
}

/// Normal numbers in (low, high), times this deviation.
///
/// # Errors and panics
/// As [`random::truncated_normal`].
#[track_caller]
pub fn truncated_normal(
    key: Key,
    shape: impl Into<Shape>,
    dtype: Dtype,
    deviation: f64,
    low: f64,
    high: f64,
) -> Tensor {
    random::truncated_normal(key, shape, dtype, low, high) * rounded(deviation, dtype)
}

/// All 0, for where another initializer could stand.
#[track_caller]
pub fn zeros(_: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    crate::zeros(shape, dtype)
}

/// All 1, for where another initializer could stand.
#[track_caller]
pub fn ones(_: Key, shape: impl Into<Shape>, dtype: Dtype) -> Tensor {
    crate::ones(shape, dtype)
}
