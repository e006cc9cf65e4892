//! Losses, computed without overflow: one number per prediction, or per distribution along the last
//! axis. Sum or average them as you like.
//!
//! ```
//! use egrad::{Array, Tensor, grad, jit, losses};
//! # fn main() -> egrad::Result<()> {
//! let loss = |logits: Tensor, labels: Tensor| losses::cross_entropy(logits, labels).mean();
//! let logits = Array::from_vec(vec![0.0f32, 1e4, 0.0, 0.0], [2, 2])?;
//! let labels = Array::from_vec(vec![1, 0], [2])?;
//! assert_eq!(jit(loss)(&logits, &labels)?.item::<f32>()?, 0.5 * 2f32.ln());
//! assert_eq!(jit(grad(loss))(&logits, &labels)?.as_slice::<f32>().unwrap(), [0.0, 0.0, -0.25, 0.25]);
//! # Ok(()) }
//! ```

use crate::raise;
use crate::tensor::Tensor;
use egrad_ir::{Dtype, Error, Span};

/// Two float tensors of one type and shape: predictions and targets broadcast only by mistake.
#[track_caller]
fn alike(name: &str, x: Tensor, y: Tensor, what: [&str; 2], span: Span) {
    let (x, y) = (x.aval(), y.aval());
    if !x.dtype.is_float() || x.dtype != y.dtype {
        let m = format!("`{name}`: the {} and the {} must be floats of one type, not {x} and {y}", what[0], what[1]);
        raise::throw(Error::dtype(m).at(span));
    }
    if x.shape != y.shape {
        let m = format!("`{name}`: the {} and the {} must have one shape, not {x} and {y}", what[0], what[1]);
        raise::throw(Error::shape(m).at(span));
    }
}

/// A float tensor with a last axis.
#[track_caller]
fn distributions(name: &str, x: Tensor, what: &str, span: Span) -> usize {
    let aval = x.aval();
    match aval.shape.last() {
        _ if !aval.dtype.is_float() => {
            raise::throw(Error::dtype(format!("`{name}`: the {what} must be floats, not {aval}")).at(span))
        }
        Some(classes) => *classes,
        None => raise::throw(Error::axis(format!("`{name}`: the {what} need an axis of classes, not {aval}")).at(span)),
    }
}

/// (x − y)², element by element.
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`] and [`Error::Dtype`] if the two aren't floats of one
/// type and shape.
#[track_caller]
pub fn squared_error(predictions: Tensor, targets: Tensor) -> Tensor {
    let _in = crate::raise::within("squared_error");
    alike("squared_error", predictions, targets, ["predictions", "targets"], Span::here());
    (predictions - targets).powi(2)
}

/// |x − y|, element by element; the derivative where they are equal is 1.
///
/// # Errors and panics
/// As [`squared_error`].
#[track_caller]
pub fn absolute_error(predictions: Tensor, targets: Tensor) -> Tensor {
    let _in = crate::raise::within("absolute_error");
    alike("absolute_error", predictions, targets, ["predictions", "targets"], Span::here());
    (predictions - targets).abs()
}

/// The mean of [`squared_error`].
///
/// ```
/// use egrad::{Array, jit, losses};
/// let x = Array::from_vec(vec![1.0f32, 3.0], [2]).unwrap();
/// let y = Array::from_vec(vec![0.0f32, 0.0], [2]).unwrap();
/// assert_eq!(jit(losses::mse)(&x, &y).unwrap().item::<f32>().unwrap(), 5.0);
/// ```
///
/// # Errors and panics
/// As [`squared_error`].
#[track_caller]
pub fn mse(predictions: Tensor, targets: Tensor) -> Tensor {
    let _in = crate::raise::within("mse");
    squared_error(predictions, targets).mean()
}

/// The mean of [`absolute_error`].
///
/// # Errors and panics
/// As [`squared_error`].
#[track_caller]
pub fn mae(predictions: Tensor, targets: Tensor) -> Tensor {
    let _in = crate::raise::within("mae");
    absolute_error(predictions, targets).mean()
}

/// Huber's loss: (x − y)²/2 up to a distance of `delta`, beyond it a line of that slope.
///
/// # Errors and panics
/// As [`squared_error`].
#[track_caller]
pub fn huber(predictions: Tensor, targets: Tensor, delta: f64) -> Tensor {
    let _in = crate::raise::within("huber");
    alike("huber", predictions, targets, ["predictions", "targets"], Span::here());
    let distance = (predictions - targets).abs();
    let near = distance.minimum(delta);
    near.powi(2) * 0.5 + (distance - near) * delta
}

/// −ln softmax(logits) at the label: the last axis of `logits` counts the classes, `labels` are their
/// numbers. NaN where a label is out of range.
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Dtype`] if labels aren't integers or logits not floats,
/// [`Error::Shape`] if labels don't have the shape of `logits` without its last axis.
#[track_caller]
pub fn cross_entropy(logits: Tensor, labels: Tensor) -> Tensor {
    let _in = crate::raise::within("cross_entropy");
    let span = Span::here();
    let classes = distributions("cross_entropy", logits, "logits", span);
    let (x, y) = (logits.aval(), labels.aval());
    if !y.dtype.is_integer() {
        let m = format!(
            "`cross_entropy` takes labels that are numbers of classes, integers, not {y}; for probabilities there is `cross_entropy_with_probabilities`"
        );
        raise::throw(Error::dtype(m).at(span));
    }
    if x.shape[..x.shape.rank() - 1] != y.shape[..] {
        let m = format!("`cross_entropy`: labels of {x} have one axis less, and are {y}");
        raise::throw(Error::shape(m).at(span));
    }
    let labels = labels.index("cross_entropy");
    let hit = labels.one_hot(classes, Dtype::Bool);
    let chosen = hit.select(logits.log_softmax(-1), 0.0).sum_axes(-1);
    labels.ge(0).and(labels.lt(classes as i32)).select(-chosen, f64::NAN)
}

/// −Σ p ln softmax(logits) along the last axis, of probabilities p such as one-hot labels.
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`], [`Error::Dtype`] and [`Error::Axis`] if the two
/// aren't floats of one type and shape, with an axis.
#[track_caller]
pub fn cross_entropy_with_probabilities(logits: Tensor, probabilities: Tensor) -> Tensor {
    let _in = crate::raise::within("cross_entropy_with_probabilities");
    let (name, span) = ("cross_entropy_with_probabilities", Span::here());
    alike(name, logits, probabilities, ["logits", "probabilities"], span);
    distributions(name, logits, "logits", span);
    -(probabilities * logits.log_softmax(-1)).sum_axes(-1)
}

/// −p ln σ(x) − (1−p) ln(1−σ(x)) of logits x and labels p between 0 and 1, element by element.
///
/// # Errors and panics
/// As [`squared_error`].
#[track_caller]
pub fn binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor {
    let _in = crate::raise::within("binary_cross_entropy");
    alike("binary_cross_entropy", logits, labels, ["logits", "labels"], Span::here());
    labels * (-logits).softplus() + (1.0 - labels) * logits.softplus()
}

/// The Kullback–Leibler divergence Σ q (ln q − ln p) along the last axis, of `log_predictions` ln p
/// and targets q, of which those that are 0 add nothing.
///
/// # Errors and panics
/// As [`cross_entropy_with_probabilities`].
#[track_caller]
pub fn kl_divergence(log_predictions: Tensor, targets: Tensor) -> Tensor {
    let _in = crate::raise::within("kl_divergence");
    let span = Span::here();
    alike("kl_divergence", log_predictions, targets, ["logarithms of predictions", "targets"], span);
    distributions("kl_divergence", targets, "targets", span);
    let zero = targets.equal(0.0);
    let log = zero.select(0.0, zero.select(1.0, targets).log());
    (targets * (log - log_predictions)).sum_axes(-1)
}

/// max(0, 1 − xy) of predictions x and labels y, each 1 or −1, element by element.
///
/// # Errors and panics
/// As [`squared_error`].
#[track_caller]
pub fn hinge(predictions: Tensor, labels: Tensor) -> Tensor {
    let _in = crate::raise::within("hinge");
    alike("hinge", predictions, labels, ["predictions", "labels"], Span::here());
    (1.0 - predictions * labels).maximum(0.0)
}
