//! The operations of the reference vectors as the frontend's methods.

use super::schema::{Equation, Kind, Number};
use egrad::{AxisList, Convolution, Dtype, Outside, Tensor, concatenate, conv, einsum, eye, iota, stack};

/// An equation's operation with its attributes, on the operands.
pub(super) type Method = Box<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

/// The operation of an equation other than `apply`, where floats are `width` wide; `None` if the
/// frontend doesn't offer it.
///
/// # Errors
/// If an attribute is missing or of a wrong type.
#[rustfmt::skip]
pub(super) fn method(equation: &Equation, width: Dtype) -> Result<Option<Method>, String> {
    let attrs = &equation.attrs;
    let axis = || attrs.get::<isize>("axis");
    let axes = || attrs.get::<Vec<isize>>("axes");
    let shape = || attrs.get::<Vec<usize>>("shape");
    let dtype = || attrs.get::<Kind>("dtype").map(|k| k.dtype(width));
    let reduction = |over, keeping| reduction(equation, over, keeping);
    Ok(Some(match equation.op.as_str() {
        "const" => constant(attrs.get::<Number>("value")?.0, dtype()?, shape()?),
        "iota" => { let (s, a, d) = (shape()?, axis()?, dtype()?); nullary(move || iota(s.clone(), a, d)) }
        "eye" => { let (n, m) = (attrs.get("n")?, attrs.get("m")?); nullary(move || eye(n, m, width)) }

        "neg"           => one(|x| -x),
        "abs"           => one(Tensor::abs),
        "sign"          => one(Tensor::sign),
        "square"        => one(Tensor::square),
        "reciprocal"    => one(Tensor::reciprocal),
        "sqrt"          => one(Tensor::sqrt),
        "rsqrt"         => one(Tensor::rsqrt),
        "cbrt"          => one(Tensor::cbrt),
        "exp"           => one(Tensor::exp),
        "exp2"          => one(Tensor::exp2),
        "expm1"         => one(Tensor::expm1),
        "log"           => one(Tensor::log),
        "log2"          => one(Tensor::log2),
        "log10"         => one(Tensor::log10),
        "log1p"         => one(Tensor::log1p),
        "sin"           => one(Tensor::sin),
        "cos"           => one(Tensor::cos),
        "tan"           => one(Tensor::tan),
        "sinh"          => one(Tensor::sinh),
        "cosh"          => one(Tensor::cosh),
        "tanh"          => one(Tensor::tanh),
        "asin"          => one(Tensor::asin),
        "acos"          => one(Tensor::acos),
        "atan"          => one(Tensor::atan),
        "erf"           => one(Tensor::erf),
        "erfc"          => one(Tensor::erfc),
        "erf_inv"       => one(Tensor::erf_inv),
        "lgamma"        => one(Tensor::lgamma),
        "digamma"       => one(Tensor::digamma),
        "floor"         => one(Tensor::floor),
        "ceil"          => one(Tensor::ceil),
        "round"         => one(Tensor::round),
        "asinh"         => one(Tensor::asinh),
        "acosh"         => one(Tensor::acosh),
        "atanh"         => one(Tensor::atanh),
        "sinc"          => one(Tensor::sinc),
        "sigmoid"       => one(Tensor::sigmoid),
        "relu"          => one(Tensor::relu),
        "softplus"      => one(Tensor::softplus),
        "silu"          => one(Tensor::silu),
        "log_sigmoid"   => one(Tensor::log_sigmoid),
        "elu"           => { let alpha = attrs.get("alpha")?; one(move |x| x.elu(alpha)) }
        "leaky_relu"    => { let slope = attrs.get("slope")?; one(move |x| x.leaky_relu(slope)) }
        "gelu" if attrs.get("approximate")? => one(Tensor::gelu_tanh),
        "gelu"          => one(Tensor::gelu),
        "integer_pow"   => { let n = attrs.get("n")?; one(move |x| x.powi(n)) }
        "is_finite"     => one(Tensor::is_finite),
        "is_nan"        => one(Tensor::is_nan),
        "stop_gradient" => one(Tensor::stop_gradient),
        "convert"       => { let d = dtype()?; one(move |x| x.convert(d)) }

        "add"       => two(|x, y| x + y),
        "sub"       => two(|x, y| x - y),
        "mul"       => two(|x, y| x * y),
        "div"       => two(|x, y| x / y),
        "pow"       => two(|x, y| x.pow(y)),
        "max"       => two(|x, y| x.maximum(y)),
        "min"       => two(|x, y| x.minimum(y)),
        "mod"       => two(|x, y| x.modulo(y)),
        "floor_div" => two(|x, y| x.floor_div(y)),
        "rem"       => two(|x, y| x.rem(y)),
        "div_trunc" => two(|x, y| x.div_trunc(y)),
        "atan2"     => two(|x, y| x.atan2(y)),
        "hypot"     => two(|x, y| x.hypot(y)),
        "logaddexp" => two(|x, y| x.logaddexp(y)),
        "copysign"  => two(|x, y| x.copysign(y)),
        "xlogy"     => two(|x, y| x.xlogy(y)),
        "eq"        => two(|x, y| x.equal(y)),
        "ne"        => two(|x, y| x.not_equal(y)),
        "lt"        => two(|x, y| x.lt(y)),
        "le"        => two(|x, y| x.le(y)),
        "gt"        => two(|x, y| x.gt(y)),
        "ge"        => two(|x, y| x.ge(y)),
        "and"       => two(|x, y| x & y),
        "or"        => two(|x, y| x | y),
        "xor"       => two(|x, y| x.not_equal(y)),
        "not"       => one(|x| !x),
        "bit_and"   => two(|x, y| x & y),
        "bit_or"    => two(|x, y| x | y),
        "bit_xor"   => two(|x, y| x ^ y),
        "shift_left" => two(|x, y| x << y),
        "shift_right_logical" => two(|x, y| x.shift_right_logical(y)),
        "shift_right_arithmetic" => two(|x, y| x >> y),
        "bit_not"   => one(|x| !x),
        "select"    => three(|p, x, y| p.select(x, y)),
        "clamp"     => three(|low, x, high| x.clamp(low, high)),

        "reduce_sum"  => reduction(Tensor::sum_axes, Tensor::sum_keepdims)?,
        "reduce_mean" => reduction(Tensor::mean_axes, Tensor::mean_keepdims)?,
        "reduce_prod" => reduction(Tensor::prod_axes, Tensor::prod_keepdims)?,
        "reduce_max"  => reduction(Tensor::max_axes, Tensor::max_keepdims)?,
        "reduce_min"  => reduction(Tensor::min_axes, Tensor::min_keepdims)?,
        "reduce_any"  => reduction(Tensor::any_axes, Tensor::any_keepdims)?,
        "reduce_all"  => reduction(Tensor::all_axes, Tensor::all_keepdims)?,
        "logsumexp"   => reduction(Tensor::logsumexp_axes, Tensor::logsumexp_keepdims)?,
        "reduce_var"  => match attrs.maybe("ddof")?.unwrap_or(0) {
            0 => reduction(Tensor::var_axes, Tensor::var_keepdims)?,
            ddof => variance(equation, ddof)?,
        },
        "softmax"     => { let a = axis()?; one(move |x| x.softmax(a)) }
        "log_softmax" => { let a = axis()?; one(move |x| x.log_softmax(a)) }

        "reshape"      => { let s = shape()?; one(move |x| x.reshape(s.clone())) }
        "broadcast_to" => { let s = shape()?; one(move |x| x.broadcast_to(s.clone())) }
        "broadcast_in_dim" => {
            let (s, dims) = (shape()?, attrs.get::<Vec<usize>>("dims")?);
            one(move |x| x.broadcast_in_dim(s.clone(), dims.clone()))
        }
        "transpose"   => { let perm = attrs.get::<Vec<isize>>("perm")?; one(move |x| x.transpose(perm.clone())) }
        "expand_dims" => { let a = axes()?; one(move |x| x.expand_dims(a.clone())) }
        "squeeze"     => { let a = axes()?; one(move |x| x.squeeze(a.clone())) }
        "tile"        => { let reps = attrs.get::<Vec<usize>>("reps")?; one(move |x| x.tile(&reps)) }
        "repeat"      => { let (n, a) = (attrs.get("n")?, axis()?); one(move |x| x.repeat(n, a)) }
        "tril"        => { let k = attrs.maybe("k")?.unwrap_or(0); one(move |x| x.tril(k)) }
        "triu"        => { let k = attrs.maybe("k")?.unwrap_or(0); one(move |x| x.triu(k)) }
        "one_hot"     => { let n = attrs.get("n")?; one(move |x| x.one_hot(n, width)) }
        "stack"       => { let a = axis()?; Box::new(move |xs| vec![stack(xs, a)]) }

        "flip"        => { let a = axes()?; one(move |x| x.flip(a.clone())) }
        "slice"       => {
            let (s, l) = (attrs.get::<Vec<usize>>("start")?, attrs.get::<Vec<usize>>("limit")?);
            let stride = attrs.maybe::<Vec<usize>>("stride")?.unwrap_or(vec![1; s.len()]);
            one(move |x| x.slice_strided(&s, &l, &stride))
        }
        "pad"         => {
            let (low, high) = (attrs.get::<Vec<isize>>("low")?, attrs.get::<Vec<isize>>("high")?);
            let interior = attrs.maybe::<Vec<usize>>("interior")?.unwrap_or(vec![0; low.len()]);
            let padding: Vec<_> = (0..low.len()).map(|i| (low[i], high[i], interior[i])).collect();
            two(move |x, value| x.pad(value, padding.clone()))
        }
        "concatenate" => { let a = axis()?; Box::new(move |xs| vec![concatenate(xs, a)]) }
        "split"       => { let (s, a) = (attrs.get::<Vec<usize>>("sizes")?, axis()?); Box::new(move |x| x[0].split(&s, a)) }
        "roll"        => { let (n, a) = (attrs.get("shift")?, axis()?); one(move |x| x.roll(n, a)) }
        "diagonal"    => one(Tensor::diagonal),

        "take"        => {
            let a = axis()?;
            let outside = match attrs.maybe::<String>("mode")?.as_deref() {
                None | Some("fill") => Outside::Fill,
                Some("clip") => Outside::Clip,
                Some("wrap") => Outside::Wrap,
                Some(other) => return Err(format!("there is no mode `{other}`")),
            };
            two(move |x, i| x.take(i, a, outside))
        }
        "take_along_axis" => { let a = axis()?; two(move |x, i| x.take_along_axis(i, a)) }
        "gather_nd"   => Box::new(|x| vec![x[0].gather(&x[1..])]),
        "scatter_add" => three(Tensor::scatter_add),
        "scatter_set" => three(Tensor::scatter_set),
        "scatter_mul" => three(Tensor::scatter_mul),
        "scatter_max" => three(Tensor::scatter_max),
        "scatter_add_nd" => Box::new(|x| vec![x[0].scatter_add_at(&x[2..], x[1])]),
        "segment_sum" => { let n = attrs.get("n")?; two(move |x, s| x.segment_sum(s, n)) }
        "dynamic_slice" => { let s = attrs.get::<Vec<usize>>("sizes")?; Box::new(move |x| vec![x[0].dynamic_slice(&x[1..], &s)]) }
        "dynamic_update_slice" => Box::new(|x| vec![x[0].dynamic_update_slice(x[1], &x[2..])]),

        "sort"        => { let a = axis()?; one(move |x| x.sort(a)) }
        "argsort"     => { let a = axis()?; one(move |x| x.argsort(a)) }
        "top_k"       => { let k = attrs.get("k")?; Box::new(move |x| { let (v, i) = x[0].top_k(k); vec![v, i] }) }
        "argmax"      => extreme(equation, Tensor::argmax)?,
        "argmin"      => extreme(equation, Tensor::argmin)?,
        "cumsum"      => cumulative(equation, Tensor::cumsum)?,
        "cumprod"     => cumulative(equation, Tensor::cumprod)?,
        "cummax"      => cumulative(equation, Tensor::cummax)?,
        "cummin"      => cumulative(equation, Tensor::cummin)?,
        "cumlogsumexp" => cumulative(equation, Tensor::cumlogsumexp)?,

        "window_sum"  => window(equation, Tensor::window_sum)?,
        "window_max"  => window(equation, Tensor::window_max)?,
        "window_min"  => window(equation, Tensor::window_min)?,
        "conv"        => {
            let how = Convolution {
                layouts: [attrs.get("lhs")?, attrs.get("rhs")?, attrs.get("out")?],
                strides: attrs.maybe("strides")?.unwrap_or_default(),
                padding: attrs.maybe("padding")?.unwrap_or_default(),
                lhs_dilation: attrs.maybe("lhs_dilation")?.unwrap_or_default(),
                rhs_dilation: attrs.maybe("rhs_dilation")?.unwrap_or_default(),
                groups: attrs.maybe("groups")?.unwrap_or(1),
            };
            two(move |x, k| conv(x, k, &how))
        }

        "matmul"      => two(|x, y| x.matmul(y)),
        "einsum"      => { let spec: String = attrs.get("spec")?; Box::new(move |xs| vec![einsum(&spec, xs)]) }
        "dot_general" => {
            let [cx, cy]: [Vec<usize>; 2] = attrs.get("contract")?;
            let [bx, by]: [Vec<usize>; 2] = attrs.get("batch")?;
            two(move |x, y| x.dot_general(y, (cx.clone(), cy.clone()), (bx.clone(), by.clone())))
        }
        _ => return Ok(None),
    }))
}

fn nullary(f: impl Fn() -> Tensor + 'static) -> Method {
    Box::new(move |_| vec![f()])
}

fn one(f: impl Fn(Tensor) -> Tensor + 'static) -> Method {
    Box::new(move |x| vec![f(x[0])])
}

fn two(f: impl Fn(Tensor, Tensor) -> Tensor + 'static) -> Method {
    Box::new(move |x| vec![f(x[0], x[1])])
}

fn three(f: impl Fn(Tensor, Tensor, Tensor) -> Tensor + 'static) -> Method {
    Box::new(move |x| vec![f(x[0], x[1], x[2])])
}

fn constant(value: f64, dtype: Dtype, shape: Vec<usize>) -> Method {
    nullary(move || {
        let scalar = match dtype {
            Dtype::F32 => Tensor::from(value as f32),
            Dtype::F64 => Tensor::from(value),
            Dtype::F16 | Dtype::Bf16 => Tensor::from(value).convert(dtype),
            Dtype::I32 => Tensor::from(value as i32),
            Dtype::I64 => Tensor::from(value as i64),
            Dtype::U32 => Tensor::from(value as u32),
            Dtype::U8 => Tensor::from(value as u8),
            Dtype::Bool => Tensor::from(value != 0.0),
        };
        scalar.broadcast_to(shape.clone())
    })
}

type Over = fn(Tensor, AxisList) -> Tensor;

/// A reduction over `axes` (null: all), keeping them if `keepdims`.
fn reduction(equation: &Equation, over: Over, keeping: Over) -> Result<Method, String> {
    let axes = equation.attrs.maybe::<Vec<isize>>("axes")?;
    let f = if equation.attrs.maybe("keepdims")?.unwrap_or(false) { keeping } else { over };
    Ok(one(move |x| f(x, all_or(&axes, x))))
}

/// The variance with `ddof` taken off the divisor.
fn variance(equation: &Equation, ddof: usize) -> Result<Method, String> {
    let axes = equation.attrs.maybe::<Vec<isize>>("axes")?;
    let shape = equation.types[0].shape.clone();
    Ok(one(move |x| x.var_ddof(all_or(&axes, x), ddof).reshape(shape.clone())))
}

/// The position of an extreme along `axis`, keeping the axis if `keepdims`.
fn extreme(equation: &Equation, f: fn(Tensor, isize) -> Tensor) -> Result<Method, String> {
    let axis = equation.attrs.get::<isize>("axis")?;
    let keep = equation.attrs.maybe("keepdims")?.unwrap_or(false);
    Ok(one(move |x| {
        let y = f(x, axis);
        if keep { y.expand_dims(if axis < 0 { axis + x.rank() as isize } else { axis }) } else { y }
    }))
}

fn cumulative(equation: &Equation, f: fn(Tensor, isize, bool) -> Tensor) -> Result<Method, String> {
    let axis = equation.attrs.get::<isize>("axis")?;
    let reverse = equation.attrs.maybe("reverse")?.unwrap_or(false);
    Ok(one(move |x| f(x, axis, reverse)))
}

type Windowed = fn(Tensor, &[usize], &[usize], &[(usize, usize)]) -> Tensor;

fn window(equation: &Equation, f: Windowed) -> Result<Method, String> {
    let window = equation.attrs.get::<Vec<usize>>("window")?;
    let strides = equation.attrs.get::<Vec<usize>>("strides")?;
    let padding = equation.attrs.get::<Vec<(usize, usize)>>("padding")?;
    Ok(one(move |x| f(x, &window, &strides, &padding)))
}

fn all_or(axes: &Option<Vec<isize>>, x: Tensor) -> AxisList {
    match axes {
        Some(axes) => AxisList::from(axes.clone()),
        None => AxisList::from((0..x.rank()).collect::<Vec<usize>>()),
    }
}
