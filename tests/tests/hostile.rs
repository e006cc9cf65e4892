//! Every public function with what it doesn't take: an error that names the function, what it was given,
//! and the user's line; never a panic. (The doors and transforms: `bad_input.rs`. Each operator's whole
//! text: `frontend/tests/errors.rs`.)

use egrad::*;

fn f(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::F32, 0.5)).unwrap()
}
fn i(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::I32, 1.0)).unwrap()
}
fn u(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::U8, 1.0)).unwrap()
}
fn b(shape: impl Into<Shape>) -> Array {
    Array::full(shape, Literal::new(Dtype::Bool, 1.0)).unwrap()
}
fn none() -> Array {
    f([0])
}

/// Asserts the error's kind, that it says the function's name and these parts, and its line.
#[track_caller]
fn refused<T>(result: Result<T>, line: u32, name: &str, kind: &str, parts: &[&str]) {
    let Err(error) = result else { panic!("`{name}` takes it") };
    let message = &error.report().message;
    assert_eq!(error.kind(), kind, "{error}");
    assert!(message.contains(&format!("`{name}`")), "`{name}` is not in: {error}");
    assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} are not in: {error}");
    match error.report().at {
        Span::Rust(at) => assert_eq!((at.file(), at.line()), (file!(), line), "{error}"),
        other => panic!("placed at {other}: {error}"),
    }
}

/// A row: the function, a use of it, what it is given, the error's kind, and parts of its text.
macro_rules! bad {
    ($name:literal, $f:expr, ($($x:expr),*), $kind:literal, [$($part:literal),*]) => {
        refused(trace($f, &($($x,)*)), line!(), $name, $kind, &[$($part),*])
    };
}

use linalg::{
    Norm, Triangle, cho_solve, cholesky, det, eigh, expm, inv, lstsq, lu, matrix_power, matrix_rank, pinv, qr, qr_full,
    slogdet, solve, svd, svd_full, triangular_solve, triangular_solve_right, vector_norm,
};
use random::{
    bernoulli, categorical, choice, choice_weighted, choice_without_replacement, dirichlet, gamma, key, normal,
    randint, shuffle, uniform,
};

fn k() -> random::Key {
    key(0)
}

/// A convolution along one axis, with these dilations of its operands.
fn wide(lhs: usize, rhs: usize) -> Convolution {
    let layouts = ["NWC", "WIO", "NWC"].map(str::to_owned);
    Convolution { layouts, lhs_dilation: vec![lhs], rhs_dilation: vec![rhs], ..Convolution::default() }
}

#[rustfmt::skip]
#[test]
fn elementwise() {
    bad!("cbrt", |x: Tensor| x.cbrt(), (i([2])), "dtype", []);
    bad!("exp2", |x: Tensor| x.exp2(), (i([2])), "dtype", []);
    bad!("log2", |x: Tensor| x.log2(), (i([2])), "dtype", []);
    bad!("tan", |x: Tensor| x.tan(), (i([2])), "dtype", []);
    bad!("sinh", |x: Tensor| x.sinh(), (i([2])), "dtype", []);
    bad!("sinc", |x: Tensor| x.sinc(), (i([2])), "dtype", []);
    bad!("softplus", |x: Tensor| x.softplus(), (i([2])), "dtype", []);
    bad!("silu", |x: Tensor| x.silu(), (i([2])), "dtype", []);
    bad!("elu", |x: Tensor| x.elu(1.0), (i([2])), "dtype", []);
    bad!("relu", |x: Tensor| x.relu(), (b([2])), "dtype", []);
    bad!("leaky_relu", |x: Tensor| x.leaky_relu(0.1), (i([2])), "dtype", []);
    bad!("gelu_tanh", |x: Tensor| x.gelu_tanh(), (i([2])), "dtype", []);
    bad!("hypot", |x: Tensor, y: Tensor| x.hypot(y), (f([2]), f([3])), "shape", []);
    bad!("logaddexp", |x: Tensor, y: Tensor| x.logaddexp(y), (f([2]), f([3])), "shape", []);
    bad!("logaddexp", |x: Tensor, y: Tensor| x.logaddexp(y), (i([2]), i([2])), "dtype", []);
    bad!("xlogy", |x: Tensor, y: Tensor| x.xlogy(y), (f([2]), f([3])), "shape", []);
    bad!("copysign", |x: Tensor, y: Tensor| x.copysign(y), (i([2]), i([2])), "dtype", []);
    bad!("clamp", |x: Tensor, y: Tensor| x.clamp(y, 1.0), (f([2]), f([3])), "shape", []);
    bad!("clamp", |x: Tensor, y: Tensor| x.clamp(0.0, y), (f([2]), f([3])), "shape", []);
    bad!("pow", |x: Tensor, y: Tensor| x.pow(y), (f([2]), i([2])), "dtype", []);
    bad!("rem", |x: Tensor, y: Tensor| x.rem(y), (f([2]), f([3])), "shape", []);
    bad!("not", |x: Tensor| x.not(), (f([2])), "dtype", []);
    bad!("select", |p: Tensor, x: Tensor, y: Tensor| p.select(x, y), (b([2]), f([2]), i([2])), "dtype", []);
    bad!("select", |p: Tensor, x: Tensor, y: Tensor| p.select(x, y), (b([2]), f([3]), f([3])), "shape", []);
    bad!("erf", |x: Tensor| x.erf(), (i([2])), "dtype", []);
    bad!("atan2", |x: Tensor, y: Tensor| x.atan2(y), (f([2]), f([3])), "shape", []);
    bad!("add", |x: Tensor| x + 300, (u([2])), "dtype", []);
    bad!("add", |x: Tensor| x + (-1), (u([2])), "dtype", []);
}

#[rustfmt::skip]
#[test]
fn shapes_and_indices() {
    bad!("softmax", |x: Tensor| x.softmax(0), (f([])), "axis", []);
    bad!("softmax", |x: Tensor| x.softmax(0), (i([2])), "dtype", []);
    bad!("log_softmax", |x: Tensor| x.log_softmax(5), (f([2])), "axis", []);
    bad!("repeat", |x: Tensor| x.repeat(2, 1), (f([2])), "axis", []);
    bad!("repeat", |x: Tensor| x.repeat(usize::MAX, 0), (f([2])), "memory", []);
    bad!("tril", |x: Tensor| x.tril(0), (f([2])), "axis", []);
    bad!("norm", |x: Tensor| x.norm(3), (f([2])), "axis", []);
    bad!("norm", |x: Tensor| x.norm(0), (i([2])), "dtype", []);
    bad!("stack", |x: Tensor, y: Tensor| stack([x, y], 0), (f([2]), f([3])), "shape", []);
    bad!("stack", |x: Tensor, y: Tensor| stack([x, y], 2), (f([2]), f([2])), "axis", []);
    bad!("stack", |_: Tensor| stack(Vec::<Tensor>::new(), 0), (f([2])), "tree", []);
    bad!("concatenate", |_: Tensor| concatenate(Vec::<Tensor>::new(), 0), (f([2])), "tree", []);
    bad!("concatenate", |x: Tensor, y: Tensor| concatenate([x, y], 0), (f([2]), f([2, 2])), "shape", []);
    bad!("concatenate", |x: Tensor, y: Tensor| concatenate([x, y], 0), (f([2]), i([2])), "dtype", []);
    bad!("concatenate", |x: Tensor, y: Tensor| concatenate([x, y], 0), (f([]), f([])), "axis", []);
    bad!("slice", |x: Tensor| x.slice([0], [5]), (f([2])), "shape", []);
    bad!("slice", |x: Tensor| x.slice([2], [1]), (f([2])), "shape", []);
    bad!("slice", |x: Tensor| x.slice([0, 0], [1, 1]), (f([2])), "axis", []);
    bad!("slice_strided", |x: Tensor| x.slice_strided([0], [2], [0]), (f([2])), "axis", []);
    bad!("slice_strided", |x: Tensor| x.slice_strided([0], [2], [1, 1]), (f([2])), "axis", []);
    bad!("slice_axis", |x: Tensor| x.slice_axis(1, 0, 1), (f([2])), "axis", []);
    bad!("slice_axis", |x: Tensor| x.slice_axis(0, 1, 4), (f([2])), "shape", []);
    bad!("pad", |x: Tensor| x.pad(0.0, [(1, 1), (1, 1)]), (f([2])), "axis", []);
    bad!("pad", |x: Tensor| x.pad(0.0, [(-3, 0)]), (f([2])), "shape", []);
    bad!("pad", |x: Tensor, v: Tensor| x.pad(v, [(1, 1)]), (f([2]), f([2])), "dtype", []);
    bad!("pad", |x: Tensor| x.pad(0.5, [(1, 1)]), (i([2])), "dtype", []);
    bad!("pad", |x: Tensor| x.pad(0.0, [(isize::MAX, isize::MAX)]), (f([2])), "memory", []);
    bad!("flip", |x: Tensor| x.flip(1), (f([2])), "axis", []);
    bad!("split", |x: Tensor| x.split(&[1, 2], 0), (f([2])), "shape", []);
    bad!("split", |x: Tensor| x.split(&[usize::MAX, 3], 0), (f([2])), "shape", []);
    bad!("split", |x: Tensor| x.split(&[1, 1], 1), (f([2])), "axis", []);
    bad!("roll", |x: Tensor| x.roll(1, 1), (f([2])), "axis", []);
    bad!("diagonal", |x: Tensor| x.diagonal(), (f([2])), "axis", []);
    bad!("take", |x: Tensor, y: Tensor| x.take(y, 0, Outside::Fill), (f([2]), f([2])), "dtype", []);
    bad!("take", |x: Tensor, y: Tensor| x.take(y, 1, Outside::Fill), (f([2]), i([2])), "axis", []);
    bad!("take_along_axis", |x: Tensor, y: Tensor| x.take_along_axis(y, 0), (f([2, 2]), i([2])), "shape", []);
    bad!("take_along_axis", |x: Tensor, y: Tensor| x.take_along_axis(y, 0), (f([2, 2]), f([2, 2])), "dtype", []);
    bad!("take_along_axis", |x: Tensor, y: Tensor| x.take_along_axis(y, 0), (f([2, 2]), i([2, 3])), "shape", []);
    bad!("gather", |x: Tensor, y: Tensor| x.gather(&[y, y]), (f([2]), i([2])), "axis", []);
    bad!("gather", |x: Tensor, y: Tensor, z: Tensor| x.gather(&[y, z]), (f([2, 2]), i([2]), i([3])), "shape", []);
    bad!("gather", |x: Tensor, y: Tensor| x.gather(&[y]), (f([2]), f([2])), "dtype", []);
    bad!("gather", |x: Tensor| x.gather(&[]), (f([2])), "axis", []);
    bad!("scatter_add", |x: Tensor, y: Tensor, z: Tensor| x.scatter_add(y, z), (f([2]), i([2]), f([3])), "shape", []);
    bad!("scatter_add", |x: Tensor, y: Tensor, z: Tensor| x.scatter_add(y, z), (f([2]), f([2]), f([2])), "dtype", []);
    bad!("scatter_add", |x: Tensor, y: Tensor, z: Tensor| x.scatter_add(y, z), (f([]), i([]), f([])), "axis", []);
    bad!("scatter_set", |x: Tensor, y: Tensor, z: Tensor| x.scatter_set(y, z), (f([2]), i([2]), i([2])), "shape", []);
    bad!("scatter_mul", |x: Tensor, y: Tensor, z: Tensor| x.scatter_mul(y, z), (b([2]), i([2]), b([2])), "dtype", []);
    bad!("scatter_add_at", |x: Tensor, y: Tensor, z: Tensor| x.scatter_add_at(&[y, y, y], z), (f([2, 2]), i([2]), f([2])), "axis", []);
    bad!("scatter_add_at", |x: Tensor, z: Tensor| x.scatter_add_at(&[], z), (f([2, 2]), f([2, 2])), "axis", []);
    bad!("segment_sum", |x: Tensor, y: Tensor| x.segment_sum(y, 2), (f([2]), f([2])), "dtype", []);
    bad!("segment_sum", |x: Tensor, y: Tensor| x.segment_sum(y, 2), (f([2]), i([3])), "shape", []);
    bad!("dynamic_slice", |x: Tensor, y: Tensor| x.dynamic_slice(&[y], &[3]), (f([2]), i([])), "shape", []);
    bad!("dynamic_slice", |x: Tensor, y: Tensor| x.dynamic_slice(&[y], &[1]), (f([2]), f([])), "dtype", []);
    bad!("dynamic_slice", |x: Tensor, y: Tensor| x.dynamic_slice(&[y], &[1]), (f([2]), i([1])), "shape", []);
    bad!("dynamic_slice", |x: Tensor, y: Tensor| x.dynamic_slice(&[y, y], &[1]), (f([2]), i([])), "axis", []);
    bad!("dynamic_update_slice", |x: Tensor, y: Tensor, z: Tensor| x.dynamic_update_slice(z, &[y]), (f([2]), i([]), f([3])), "shape", []);
    bad!("dynamic_update_slice", |x: Tensor, y: Tensor, z: Tensor| x.dynamic_update_slice(z, &[y]), (f([2]), i([]), i([2])), "dtype", []);
    bad!("argsort", |x: Tensor| x.argsort(1), (f([2])), "axis", []);
    bad!("sort", |x: Tensor| x.sort(0), (f([])), "axis", []);
    bad!("top_k", |x: Tensor| x.top_k(5), (f([2])), "shape", []);
    bad!("top_k", |x: Tensor| x.top_k(0), (f([])), "shape", []);
    bad!("argmax", |x: Tensor| x.argmax(0), (none()), "shape", []);
    bad!("argmin", |x: Tensor| x.argmin(1), (f([2])), "axis", []);
    bad!("cumsum", |x: Tensor| x.cumsum(1, false), (f([2])), "axis", []);
    bad!("cumsum", |x: Tensor| x.cumsum(0, false), (b([2])), "dtype", []);
    bad!("cumlogsumexp", |x: Tensor| x.cumlogsumexp(0, false), (i([2])), "dtype", []);
    bad!("window_sum", |x: Tensor| x.window_sum(&[0], &[1], &[(0, 0)]), (f([2])), "axis", []);
    bad!("window_sum", |x: Tensor| x.window_sum(&[1], &[0], &[(0, 0)]), (f([2])), "axis", []);
    bad!("window_sum", |x: Tensor| x.window_sum(&[1, 1], &[1], &[(0, 0)]), (f([2])), "axis", []);
    bad!("window_max", |x: Tensor| x.window_max(&[1], &[1], &[(usize::MAX, 1)]), (f([2])), "memory", []);
    bad!("window_sum", |x: Tensor| x.window_sum(&[usize::MAX], &[1], &[(0, 0)]), (f([2])), "memory", ["windows of 1844"]);
    bad!("window_sum", |x: Tensor| x.window_sum(&[1], &[1 << 40], &[(0, 0)]), (f([2])), "memory", ["strides of 1099511627776"]);
    bad!("window_sum", |x: Tensor| x.window_sum(&[1], &[1], &[(1 << 40, 0)]), (f([2])), "memory", ["padding of (1099511627776, 0)"]);
    bad!("conv", |x: Tensor, y: Tensor| conv(x, y, &wide(1, 1 << 40)), (f([1, 4, 1]), f([2, 1, 1])), "memory", ["2 elements with a dilation of 1099511627776"]);
    bad!("conv", |x: Tensor, y: Tensor| conv(x, y, &wide(1 << 40, 1)), (f([1, 4, 1]), f([2, 1, 1])), "memory", ["input dilation of 1099511627776"]);
    bad!("conv", |x: Tensor, y: Tensor| conv(x, y, &Convolution::default()), (f([2]), f([2])), "shape", []);
    bad!("conv", |x: Tensor, y: Tensor| conv(x, y, &Convolution::default()), (f([1, 2, 4]), f([1, 3, 2])), "shape", []);
    bad!("conv", |x: Tensor, y: Tensor| conv(x, y, &Convolution::default()), (f([1, 2, 4]), i([1, 2, 2])), "shape", []);
    bad!("iota", |_: Tensor| iota([2], 1, Dtype::F32), (f([])), "axis", []);
    bad!("arange", |_: Tensor| arange(3, Dtype::Bool), (f([])), "dtype", []);
    bad!("arange", |_: Tensor| arange(usize::MAX, Dtype::F32), (f([])), "memory", []);
    bad!("eye", |_: Tensor| eye(1 << 32, 1 << 32, Dtype::F32), (f([])), "memory", []);
    bad!("arange", |_: Tensor| arange(300, Dtype::U8), (f([])), "dtype", ["the numbers up to 299", "u8"]);
    bad!("iota", |_: Tensor| iota([2, 257], 1, Dtype::U8), (f([])), "dtype", ["the numbers up to 256 along axis 1", "u8"]);
    bad!("transpose", |x: Tensor| x.transpose([0, 0]), (f([2, 2])), "axis", []);
    bad!("swap_axes", |x: Tensor| x.swap_axes(0, 2), (f([2])), "axis", []);
    bad!("move_axis", |x: Tensor| x.move_axis(0, 2), (f([2])), "axis", []);
    bad!("broadcast_in_dim", |x: Tensor| x.broadcast_in_dim([3], 0), (f([2])), "shape", []);
    bad!("broadcast_in_dim", |x: Tensor| x.broadcast_in_dim([2, 2], [1, 0]), (f([2])), "axis", []);
    bad!("expand_dims", |x: Tensor| x.expand_dims(5), (f([2])), "axis", []);
    bad!("expand_dims", |x: Tensor| x.expand_dims([0, 0]), (f([2])), "axis", []);
    bad!("squeeze", |x: Tensor| x.squeeze(0), (f([2])), "shape", []);
    bad!("dot_general", |x: Tensor, y: Tensor| x.dot_general(y, (0, 0), (0, 0)), (f([2]), f([2])), "axis", []);
    bad!("dot_general", |x: Tensor, y: Tensor| x.dot_general(y, (&[0, 1][..], &[0][..]), (&[] as &[i32], &[] as &[i32])), (f([2, 2]), f([2])), "axis", []);
    bad!("dot_general", |x: Tensor, y: Tensor| x.dot(y), (f([2]), f([3])), "shape", []);
    bad!("einsum", |x: Tensor| einsum("ij", [x]), (f([2])), "axis", []);
    bad!("einsum", |x: Tensor| einsum("i->k", [x]), (f([2])), "axis", []);
    bad!("einsum", |x: Tensor| einsum("i,i->i", [x]), (f([2])), "axis", []);
    bad!("einsum", |x: Tensor, y: Tensor| einsum("i,i->i", [x, y]), (f([2]), f([3])), "axis", []);
    bad!("einsum", |x: Tensor| einsum("->", [x]), (f([2])), "axis", []);
    bad!("einsum", |x: Tensor| einsum("i->ii", [x]), (f([2])), "axis", []);
    bad!("einsum", |x: Tensor| einsum("", [x]), (f([2])), "axis", []);
}

#[rustfmt::skip]
#[test]
fn libraries() {
    bad!("cholesky", |x: Tensor| cholesky(x), (f([2, 3])), "shape", []);
    bad!("cholesky", |x: Tensor| cholesky(x), (f([2])), "shape", []);
    bad!("cholesky", |x: Tensor| cholesky(x), (i([2, 2])), "dtype", []);
    bad!("lu", |x: Tensor| lu(x).0, (i([2, 2])), "dtype", []);
    bad!("lu", |x: Tensor| lu(x).0, (f([2])), "shape", []);
    bad!("qr", |x: Tensor| qr(x).0, (f([2])), "shape", []);
    bad!("eigh", |x: Tensor| eigh(x).0, (f([2, 3])), "shape", []);
    bad!("svd", |x: Tensor| svd(x).0, (f([])), "shape", []);
    bad!("solve", |a: Tensor, c: Tensor| solve(a, c), (f([2, 2]), f([3])), "shape", []);
    bad!("solve", |a: Tensor, c: Tensor| solve(a, c), (f([2, 3]), f([2])), "shape", []);
    bad!("solve", |a: Tensor, c: Tensor| solve(a, c), (f([2, 2]), i([2])), "dtype", []);
    bad!("solve", |a: Tensor, c: Tensor| solve(a, c), (f([2, 2]), f([])), "shape", []);
    bad!("cho_solve", |a: Tensor, c: Tensor| cho_solve(a, c), (f([2, 2]), f([3])), "shape", []);
    bad!("inv", |a: Tensor| inv(a), (f([2, 3])), "shape", []);
    bad!("pinv", |a: Tensor| pinv(a), (f([2])), "shape", []);
    bad!("lstsq", |a: Tensor, c: Tensor| lstsq(a, c), (f([3, 2]), f([2])), "shape", []);
    bad!("det", |a: Tensor| det(a), (f([2, 3])), "shape", []);
    bad!("slogdet", |a: Tensor| slogdet(a).0, (f([2])), "shape", []);
    bad!("trace", |a: Tensor| linalg::trace(a), (f([2])), "axis", []);
    bad!("matrix_power", |a: Tensor| matrix_power(a, 2), (f([2, 3])), "shape", []);
    bad!("expm", |a: Tensor| expm(a), (f([2, 3])), "shape", ["f32[2,3]"]);
    bad!("expm", |a: Tensor| expm(a), (i([2, 2])), "dtype", ["i32[2,2]"]);
    bad!("qr_full", |x: Tensor| qr_full(x).0, (f([2])), "shape", ["f32[2]"]);
    bad!("svd_full", |x: Tensor| svd_full(x).1, (i([2, 2])), "dtype", ["i32[2,2]"]);
    bad!("cond", |x: Tensor| linalg::cond(x, Norm::One), (f([2, 3])), "shape", ["f32[2,3]"]);
    bad!("cond", |x: Tensor| linalg::cond(x, Norm::Spectral), (f([0, 3])), "shape", ["f32[0,3]"]);
    bad!("matrix_rank", |x: Tensor| matrix_rank(x, None), (f([2])), "shape", ["f32[2]"]);
    bad!("vector_norm", |x: Tensor| vector_norm(x, 3.0, [1]), (f([2])), "axis", []);
    bad!("vector_norm", |x: Tensor| vector_norm(x, 3.0, [0]), (i([2])), "dtype", ["i32[2]"]);
    bad!("norm", |a: Tensor| linalg::norm(a, Norm::Nuclear), (f([2])), "shape", []);
    bad!("triangular_solve", |a: Tensor, c: Tensor| triangular_solve(a, c, Triangle::default()), (f([2, 2]), f([3, 1])), "shape", []);
    bad!("triangular_solve_right", |a: Tensor, c: Tensor| triangular_solve_right(a, c, Triangle::default()), (f([2, 2]), f([1, 3])), "shape", []);
    bad!("fft", |x: Tensor| fft::fft((x, x), 1).0, (f([2])), "axis", []);
    bad!("fft", |x: Tensor, y: Tensor| fft::fft((x, y), 0).0, (f([2]), f([3])), "shape", []);
    bad!("fft", |x: Tensor| fft::fft((x, x), 0).0, (i([2])), "dtype", []);
    bad!("rfft", |x: Tensor| fft::rfft(x, 0).0, (i([2])), "dtype", []);
    bad!("fft2", |x: Tensor| fft::fft2((x, x)).0, (f([2])), "axis", []);
    bad!("fftfreq", |_: Tensor| fft::fftfreq(3, 1.0, Dtype::I32), (f([])), "dtype", []);
    bad!("fftshift", |x: Tensor| fft::fftshift(x, 2), (f([2])), "axis", []);
    bad!("uniform", |_: Tensor| uniform(k(), [2], Dtype::I32), (f([])), "dtype", []);
    bad!("normal", |_: Tensor| normal(k(), [2], Dtype::Bool), (f([])), "dtype", []);
    bad!("normal", |_: Tensor| normal(k(), [1 << 40, 1 << 40], Dtype::F32), (f([])), "shape", []);
    bad!("bernoulli", |p: Tensor| bernoulli(k(), p, [3]), (f([2])), "shape", []);
    bad!("bernoulli", |p: Tensor| bernoulli(k(), p, [2]), (i([2])), "dtype", []);
    bad!("randint", |p: Tensor| randint(k(), [3], p, 5), (i([2])), "shape", []);
    bad!("randint", |p: Tensor| randint(k(), [2], p, 5.5), (f([2])), "dtype", []);
    bad!("shuffle", |x: Tensor| shuffle(k(), x, 1), (f([2])), "axis", []);
    bad!("choice", |x: Tensor| choice(k(), x, [2]), (none()), "shape", []);
    bad!("choice", |x: Tensor| choice(k(), x, [2]), (f([])), "axis", []);
    bad!("choice_without_replacement", |x: Tensor| choice_without_replacement(k(), x, [3]), (f([2])), "shape", []);
    bad!("choice_weighted", |x: Tensor, p: Tensor| choice_weighted(k(), x, p, [3]), (f([2]), f([3])), "shape", []);
    bad!("categorical", |x: Tensor| categorical(k(), x, 1), (f([2])), "axis", []);
    bad!("categorical", |x: Tensor| categorical(k(), x, 0), (i([2])), "dtype", []);
    bad!("categorical", |x: Tensor| categorical(k(), x, 0), (none()), "shape", []);
    bad!("gamma", |x: Tensor| gamma(k(), x, [3], Dtype::F32), (f([2])), "shape", []);
    bad!("gamma", |x: Tensor| gamma(k(), x, [2], Dtype::I32), (f([2])), "dtype", []);
    bad!("dirichlet", |x: Tensor| dirichlet(k(), x, [3]), (f([])), "axis", []);
    bad!("seed", |x: Tensor| uniform(random::seed(x), [2], Dtype::F32), (f([])), "dtype", []);
    bad!("seed", |x: Tensor| uniform(random::seed(x), [2], Dtype::F32), (i([2])), "shape", []);
    bad!("mse", |x: Tensor, y: Tensor| losses::mse(x, y), (f([2]), f([3])), "shape", []);
    bad!("mse", |x: Tensor, y: Tensor| losses::mse(x, y), (f([2]), f([2, 2])), "shape", []);
    bad!("cross_entropy", |x: Tensor, y: Tensor| losses::cross_entropy(x, y), (f([2, 3]), f([2])), "dtype", []);
    bad!("cross_entropy", |x: Tensor, y: Tensor| losses::cross_entropy(x, y), (f([2, 3]), i([3])), "shape", []);
    bad!("cross_entropy", |x: Tensor, y: Tensor| losses::cross_entropy(x, y), (f([]), i([])), "axis", []);
    bad!("cross_entropy_with_probabilities", |x: Tensor, y: Tensor| losses::cross_entropy_with_probabilities(x, y), (f([2, 3]), f([2])), "shape", []);
    bad!("binary_cross_entropy", |x: Tensor, y: Tensor| losses::binary_cross_entropy(x, y), (f([2]), i([2])), "dtype", []);
    bad!("kl_divergence", |x: Tensor, y: Tensor| losses::kl_divergence(x, y), (f([2]), f([3])), "shape", []);
    bad!("hinge", |x: Tensor, y: Tensor| losses::hinge(x, y), (f([2]), f([3])), "shape", []);
    bad!("glorot_uniform", |_: Tensor| init::glorot_uniform(k(), [3], Dtype::F32), (f([])), "shape", []);
    bad!("glorot_uniform", |_: Tensor| init::glorot_uniform(k(), [3, 3], Dtype::I32), (f([])), "dtype", []);
    let go = |y: Tensor, t: Tensor, _: Tensor| -y * t;
    bad!("odeint", move |y: Tensor, ts: Tensor| ode::odeint(go, y, ts, Tensor::from(0.0f32), ode::Tolerance::default()), (f([2]), f([])), "shape", []);
    bad!("odeint", move |y: Tensor, ts: Tensor| ode::odeint(go, y, ts, Tensor::from(0.0f32), ode::Tolerance::default()), (f([2]), i([3])), "dtype", []);
    bad!("odeint", move |y: Tensor, ts: Tensor| ode::odeint(go, y, ts, Tensor::from(0.0f32), ode::Tolerance::default()), (f([2]), none()), "shape", []);
    bad!("odeint", move |y: Tensor, ts: Tensor| ode::odeint(|y: Tensor, _: Tensor, _: Tensor| y.sum(), y, ts, Tensor::from(0.0f32), ode::Tolerance::default()), (f([2]), f([3])), "shape", []);
    bad!("zip_map", |x: Vec<Tensor>, y: Vec<Tensor>| tree::zip_map(|a, b| *a + *b, &x, &y), (vec![f([])], vec![]), "tree", []);
}

#[rustfmt::skip]
#[test]
fn transforms() {
    bad!("psum", |x: Tensor| psum(x, "i"), (f([2])), "axis", []);
    bad!("axis_size", |x: Tensor| x * axis_size("i") as f64, (f([2])), "axis", []);
    bad!("ppermute", vmap_named(|x: Tensor| ppermute(x, "i", &[(0, 9)]), 0, "i"), (f([2])), "axis", []);
    bad!("ppermute", vmap_named(|x: Tensor| ppermute(x, "i", &[(0, 1), (1, 1)]), 0, "i"), (f([2])), "axis", []);
    bad!("jvp", |x: Tensor| jvp(|x: Tensor| x.sin())((x,), (x.sum(),)).1, (f([2])), "shape", []);
    bad!("jvp", |x: Vec<Tensor>| jvp(|x: Vec<Tensor>| x[0].sin())((x.clone(),), (vec![],)).1, (vec![f([2])]), "tree", []);
    bad!("vjp", |x: Tensor| vjp(|x: Tensor| x.sin())((x,), x.sum()).1.0, (f([2])), "shape", []);
    bad!("hvp", |x: Tensor| hvp(|x: Tensor| x.sin())((x,), x), (f([2])), "shape", []);
    bad!("hvp", |x: Tensor| hvp(|x: Tensor| x.sin().sum())((x,), x.sum()), (f([2])), "shape", []);
    bad!("hessian", hessian(|x: Tensor| x.convert(Dtype::I32)), (f([2])), "dtype", []);
    bad!("hessian", hessian(|(x, _): (Tensor, Vec<Tensor>)| x.sum()), ((f([2]), vec![i([2])])), "dtype", ["argument 0 at `.1[0]`"]);
    bad!("hessian_argnums", hessian_argnums(|x: Tensor, _: Tensor| x.sum(), (Arg::<0>, Arg::<1>)), (f([2]), i([2])), "dtype", ["argument 1"]);
    bad!("jacobian", jacobian(|(x, _): (Tensor, Tensor)| x.sum()), ((f([2]), i([2]))), "dtype", ["argument 0 at `.1`"]);
    bad!("linearize", |x: Tensor| { let (_, l) = linearize(|x: Tensor| x.sin())(x); l((x.sum(),)) }, (f([2])), "shape", []);
    bad!("custom_jvp", custom_jvp(|x: Tensor| x.sin(), |(x,), (dx,)| (x.sin(), dx.sum())), (f([2])), "shape", []);
    bad!("custom_vjp", custom_vjp(|x: Tensor| x.sin(), |x: Tensor| (x.sin(), x), |_: Tensor, c: Tensor| (c.sum(),)), (f([2])), "shape", []);
    bad!("custom_vjp", custom_vjp(|x: Tensor| x.sin(), |x: Tensor| (x.sum(), x), |_: Tensor, c: Tensor| (c,)), (f([2])), "shape", []);
    bad!("scan", |x: Tensor| scan(|c: Tensor, x: Tensor| (c.convert(Dtype::F64), x), x.sum(), x).0, (f([2])), "dtype", ["f32[] before a step and f64[] after"]);
    bad!("scan", |x: (Tensor, Vec<Tensor>)| scan(|c: (Tensor, Vec<Tensor>), y: Tensor| ((c.0, vec![c.1[0] * y.gt(0).select(ones([2], Dtype::F32), 1.0)]), y), x.clone(), x.0).0, ((f([2]), vec![f([])])), "shape", ["the carry at `.1[0]`"]);
    bad!("scan", |x: Vec<Tensor>| scan(|_: Vec<Tensor>, y: Tensor| (vec![], y), x.clone(), x[0]).0, (vec![f([2])]), "tree", []);
    bad!("scan", |x: Tensor| scan(|c: Tensor, y: Tensor| (c, y), x, x).0, (f([])), "axis", []);
    bad!("while_loop", |x: Tensor| while_loop(|x: Tensor| x, |x: Tensor| x, x), (f([])), "dtype", []);
    bad!("while_loop", |x: Tensor| while_loop(|x: Tensor| x.gt(0), |x: Tensor| x, x), (f([2])), "dtype", []);
    bad!("while_loop", |x: Tensor| while_loop(|x: Tensor| x.sum().gt(0), |x: Tensor| x.sum(), x), (f([2])), "shape", []);
    bad!("fori_loop", |x: Tensor| fori_loop(0, x, |_: Tensor, y: Tensor| y, x), (f([])), "dtype", []);
    bad!("fori_loop", |x: Tensor| fori_loop(0, 3, |_: Tensor, y: Tensor| y.sum(), x), (f([2])), "shape", []);
    bad!("cond", |x: Tensor| cond(x, |x: Tensor| x, |x: Tensor| x, (x,)), (f([])), "dtype", []);
    bad!("cond", |x: Tensor| cond(x.sum().gt(0), |x: Tensor| x, |x: Tensor| x.sum(), (x,)), (f([2])), "shape", []);
    bad!("cond", |x: Tensor| cond(x.sum().gt(0), |x: Tensor| (x, vec![x]), |x: Tensor| (x, vec![]), (x,)).0, (f([2])), "tree", []);
    bad!("switch", |x: Tensor| switch(x, [|x: Tensor| x], (x,)), (f([])), "dtype", []);
    bad!("switch", |x: Tensor| switch(x, Vec::<fn(Tensor) -> Tensor>::new(), (x,)), (i([])), "tree", []);
    bad!("debug_print", |x: Tensor| { debug_print("{} {}", x); x }, (f([2])), "tree", []);
    bad!("debug_print", |x: Tensor| { debug_print("{", x); x }, (f([2])), "parse", []);
    bad!("vmap", vmap(|x: Vec<Tensor>| x[0], (vec![Some(0), None],)), (vec![f([2])]), "tree", []);
    bad!("grad", grad(|x: Tensor| jit(|x: Tensor| x.sin()).call((x,))), (f([2])), "shape", []);
}

/// What is merely unusual has a value, on every device the same.
#[test]
fn unusual_values() {
    macro_rules! gives {
        ($f:expr, ($($x:expr),*), $want:expr) => {
            for device in [Device::Interpreter, Device::Cpu] {
                let got = jit($f).device(device)($(&$x),*).unwrap().to_f64();
                let same = |(g, w): (&f64, &f64)| g == w || (g.is_nan() && w.is_nan());
                let want: &[f64] = &$want;
                assert!(got.len() == want.len() && got.iter().zip(want).all(same), "{device}: {got:?}, not {want:?}");
            }
        };
    }
    let v = |data: &[f32]| Array::from_vec(data.to_vec(), [data.len()]).unwrap();
    gives!(|x: Tensor| x.roll(isize::MIN, 0), (v(&[1.0, 2.0])), [1.0, 2.0]);
    gives!(|x: Tensor| x.roll(3, 0), (none()), []);
    gives!(|x: Tensor| x.window_sum(&[3], &[1], &[(0, 0)]), (f([2])), []);
    gives!(|x: Tensor| x.var_ddof(0, 3), (v(&[1.0, 1.0])), [f64::NAN]);
    gives!(|x: Tensor| x.one_hot(0, Dtype::F32), (i([2])), []);
    gives!(|x: Tensor| linalg::inv(x), (Array::full([1, 1], Literal::new(Dtype::F32, 0.0)).unwrap()), [f64::INFINITY]);
    // From nothing, zeros.
    gives!(|x: Tensor, at: Tensor| x.take(at, 0, Outside::Clip), (none(), i([2])), [0.0, 0.0]);
    gives!(|x: Tensor, at: Tensor| x.take(at, 0, Outside::Fill), (none(), i([2])), [f64::NAN, f64::NAN]);
    gives!(
        |x: Tensor, at: Tensor| x.take(at, 0, Outside::Fill),
        (v(&[5.0, 6.0]), Array::from_vec(vec![i32::MIN, i32::MAX, -1], [3]).unwrap()),
        [f64::NAN, f64::NAN, 6.0]
    );
    gives!(
        |x: Tensor, at: Tensor, u: Tensor| x.scatter_add(at, u),
        (v(&[5.0, 6.0]), Array::from_vec(vec![i32::MIN, i32::MAX, -1], [3]).unwrap(), v(&[1.0, 2.0, 3.0])),
        [5.0, 9.0]
    );
}

/// JAX 0.10.2's of `x.at[i].multiply(u, unique_indices=True)`: by x, and by u.
#[test]
fn scatter_mul_has_derivatives() {
    let v = |data: &[f64]| Array::from_vec(data.to_vec(), [data.len()]).unwrap();
    let (x, u, at) = (v(&[1.0, 2.0, 3.0, 4.0]), v(&[5.0, 0.0]), Array::from_vec(vec![3i32, 1], [2]).unwrap());
    let f = |x: Tensor, u: Tensor, at: Tensor| x.scatter_mul(at, u).sin().sum();
    for device in [Device::Interpreter, Device::Cpu] {
        let (dx, du) = jit(grad_argnums(f, (Arg::<0>, Arg::<1>))).device(device)(&x, &u, &at).unwrap();
        let close = |got: &Array, want: &[f64]| {
            let near = got.to_f64().iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12);
            assert!(near && got.to_f64().len() == want.len(), "{device}: {got}, not {want:?}");
        };
        close(&dx, &[1f64.cos(), 0.0, 3f64.cos(), 5.0 * 20f64.cos()]);
        close(&du, &[4.0 * 20f64.cos(), 2.0]);
        let forward = jit(jacfwd_argnums(f, (Arg::<0>, Arg::<1>))).device(device)(&x, &u, &at).unwrap();
        close(&forward.0, &dx.to_f64());
        close(&forward.1, &du.to_f64());
    }
}

/// A jitted function inside a transform: every place that an error names is the user's.
#[test]
fn lines_of_jitted_functions() {
    let grows = |x: Tensor| while_loop(|x: Tensor| x.lt(10.0), |x: Tensor| 2.0 * x, x);
    let line = line!() + 1;
    let error = jit(grad(jit(grows)))(&f([])).unwrap_err();
    let places = error.report().notes.iter().map(|(_, at)| *at).chain([error.report().at]);
    for at in places {
        assert!(matches!(at, Span::Rust(at) if at.file() == file!()), "{error}");
    }
    assert!(error.to_string().contains(&format!("is taken here\n    --> {}:{line}", file!())), "{error}");
    let error = jit(grad(jit(|x: Tensor| x.sin())))(&f([2])).unwrap_err();
    assert!(!error.to_string().contains("frontend/src"), "{error}");
    let error = jit(grad(vmap(jit(|x: Tensor| x.sin()), 0)))(&f([2])).unwrap_err();
    assert!(!error.to_string().contains("frontend/src"), "{error}");
}
