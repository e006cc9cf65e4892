//! The functions that rules compute attributes with, and the guards they are subject to.
//!
//! In a right-hand side `{except ?axes ?x}` calls the function `except` of the table below; in a
//! guard `constant ?x 0` calls the guard `constant`. Arguments are typed: a rule that passes
//! another kind of thing is a fault.

use crate::analysis::Fact;
use crate::term::Attr;
use egrad_ir::scalar::{self, Elementary};
use egrad_ir::{Aval, Binary, Dtype, Literal};

/// What a function or guard is given.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// An attribute, computed or bound by the pattern.
    Attr(&'a Attr),
    /// What is known about a value.
    Value(&'a Fact),
    /// A number written in the rule.
    Number(f64),
}

/// A named function of attributes and values.
pub struct Function<T: 'static> {
    /// Its name in rules.
    pub name: &'static str,
    /// What it takes, as `name: Type` per argument.
    pub takes: &'static [&'static str],
    /// What it computes; `None` if the arguments are of other types.
    pub apply: fn(&[Arg<'_>]) -> Option<T>,
}

/// Reads one argument as a type.
trait FromArg<'a>: Sized {
    fn from_arg(arg: Arg<'a>) -> Option<Self>;
}

/// Axes, a permutation or a shape.
type Dims<'a> = &'a [usize];
/// A value's aval.
type Value<'a> = &'a Aval;
/// Everything known about a value.
type Known<'a> = &'a Fact;
/// An integer attribute.
type Int = i64;
/// A number written in the rule.
type Number = f64;

impl<'a> FromArg<'a> for Dims<'a> {
    fn from_arg(arg: Arg<'a>) -> Option<Dims<'a>> {
        match arg {
            Arg::Attr(a) => a.as_dims(),
            Arg::Value(_) | Arg::Number(_) => None,
        }
    }
}
impl<'a> FromArg<'a> for Value<'a> {
    fn from_arg(arg: Arg<'a>) -> Option<Value<'a>> {
        match arg {
            Arg::Value(fact) => fact.aval(),
            Arg::Attr(_) | Arg::Number(_) => None,
        }
    }
}
impl<'a> FromArg<'a> for Known<'a> {
    fn from_arg(arg: Arg<'a>) -> Option<Known<'a>> {
        match arg {
            Arg::Value(fact) => Some(fact),
            Arg::Attr(_) | Arg::Number(_) => None,
        }
    }
}
impl FromArg<'_> for Int {
    fn from_arg(arg: Arg<'_>) -> Option<Int> {
        match arg {
            Arg::Attr(a) => a.as_int(),
            Arg::Value(_) | Arg::Number(_) => None,
        }
    }
}
impl FromArg<'_> for Number {
    fn from_arg(arg: Arg<'_>) -> Option<Number> {
        match arg {
            Arg::Number(n) => Some(n),
            Arg::Attr(_) | Arg::Value(_) => None,
        }
    }
}
impl FromArg<'_> for Dtype {
    fn from_arg(arg: Arg<'_>) -> Option<Dtype> {
        match arg {
            Arg::Attr(Attr::Dtype(d)) => Some(*d),
            Arg::Attr(_) | Arg::Value(_) | Arg::Number(_) => None,
        }
    }
}

macro_rules! table {
    ($(#[$doc:meta])* $TABLE:ident: $T:ty; $($(#[$line:meta])* $name:ident($($arg:ident: $Type:ty),*) = $body:expr;)*) => {
        $(#[$doc])*
        pub static $TABLE: &[Function<$T>] = &[$(
            Function {
                name: stringify!($name),
                takes: &[$(concat!(stringify!($arg), ": ", stringify!($Type))),*],
                apply: |args| {
                    let mut args = args.iter();
                    $(let $arg = <$Type as FromArg>::from_arg(*args.next()?)?;)*
                    Some($body)
                },
            },
        )*];
    };
}

table! {
    /// The attribute functions.
    FUNCTIONS: Attr;

    // What a value is.
    /// The shape of x.
    shape(x: Value) = Attr::dims(x.shape.iter().copied());
    /// The element type of x.
    dtype(x: Value) = Attr::Dtype(x.dtype);

    // Sets and lists of axes.
    /// The axes of x that are not among `axes`.
    except(axes: Dims, x: Value) = Attr::dims((0..x.shape.rank()).filter(|a| !axes.contains(a)));
    /// Axes of an operand that are neither contracted nor shared.
    free(contract: Dims, batch: Dims, x: Value) =
        Attr::dims((0..x.shape.rank()).filter(|a| !contract.contains(a) && !batch.contains(a)));
    /// 0, 1, … for every entry of `axes`.
    count(axes: Dims) = Attr::dims(0..axes.len());
    /// As many numbers as `b` has entries, beginning after as many as `a` has.
    after(a: Dims, b: Dims) = Attr::dims(a.len()..a.len() + b.len());
    /// The last axes of x, as many as `axes` has entries.
    last(axes: Dims, x: Value) = Attr::dims(x.shape.rank().checked_sub(axes.len())?..x.shape.rank());
    /// One list after the other.
    concat(a: Dims, b: Dims) = Attr::dims(a.iter().chain(b).copied());
    /// `a` in the order that sorts `key`.
    sort_by(a: Dims, key: Dims) = {
        let mut pairs: Vec<_> = key.iter().zip(a).collect();
        pairs.sort_unstable();
        Attr::dims(pairs.into_iter().map(|(_, a)| *a))
    };
    /// The permutation that undoes `perm`.
    inverse(perm: Dims) = {
        let mut inverse = vec![0; perm.len()];
        for (i, p) in perm.iter().enumerate() {
            *inverse.get_mut(*p)? = i;
        }
        Attr::dims(inverse)
    };
    /// The operand's axes that a broadcast repeats: the result axes that no operand axis goes to,
    /// and those that stretch a length of 1.
    repeated(x: Value, shape: Dims, dims: Dims) = Attr::dims((0..shape.len()).filter(|a| {
        dims.iter().position(|d| d == a).is_none_or(|i| x.shape.get(i) != shape.get(*a))
    }));
    /// The entries of `shape` at the positions `dims`.
    pick(shape: Dims, dims: Dims) = Attr::dims(entries(shape, dims)?);
    /// The entries of `shape` at the positions that are not among `axes`.
    without(shape: Dims, axes: Dims) = Attr::dims((0..shape.len()).filter(|a| !axes.contains(a)).map(|a| shape[a]));
    /// The shape of one axis with as many elements as the axes have together.
    total(shape: Dims, axes: Dims) = Attr::dims([entries(shape, axes)?.into_iter().product()]);
    /// The entries of `dims` that are not among `axes`.
    except_from(dims: Dims, axes: Dims) = Attr::dims(dims.iter().copied().filter(|d| !axes.contains(d)));
    /// What `dims` are called once `axes` have disappeared.
    renumber(dims: Dims, axes: Dims) = Attr::dims(dims.iter().map(|d| d - axes.iter().filter(|a| *a < d).count().min(*d)));
    /// Where in `dims` the entries of `axes` are, if they are.
    positions(axes: Dims, dims: Dims) = Attr::dims((0..dims.len()).filter(|i| axes.contains(&dims[*i])));
    /// The axes of x that reducing `first` and then `next` of what is left reduces.
    merge(first: Dims, next: Dims, x: Value) = {
        let left: Vec<usize> = (0..x.shape.rank()).filter(|a| !first.contains(a)).collect();
        let mut all = [first, &entries(&left, next)?].concat();
        all.sort_unstable();
        Attr::dims(all)
    };

    // Parts of axes.
    /// 0 for every axis of x.
    origin(x: Value) = Attr::dims(x.shape.iter().map(|_| 0));
    /// Entry by entry, how far `limit` is from the end of x.
    beyond(limit: Dims, x: Value) = Attr::dims(x.shape.iter().zip(limit).map(|(n, l)| n.saturating_sub(*l)));
    /// Entry by entry the sum.
    plus(a: Dims, b: Dims) = Attr::dims(a.iter().zip(b).map(|(a, b)| a + b));
    /// The length of x along the axis, 0 for its other axes.
    along(axis: Int, x: Value) =
        Attr::dims(x.shape.iter().enumerate().map(|(i, n)| if i as i64 == axis { *n } else { 0 }));
    /// Each axis of `axes` that is not among `others`, and the other way round.
    either(axes: Dims, others: Dims) = {
        let mut either: Vec<usize> = axes.iter().filter(|a| !others.contains(a)).copied().collect();
        either.extend(others.iter().filter(|a| !axes.contains(a)));
        either.sort_unstable();
        Attr::dims(either)
    };

    // Matrices: the last two axes.
    /// The axes before.
    lead(x: Value) = Attr::dims(0..x.shape.rank().checked_sub(2)?);
    /// The axis from row to row.
    rows(x: Value) = Attr::dims([x.shape.rank().checked_sub(2)?]);
    /// The axis from column to column.
    columns(x: Value) = Attr::dims([x.shape.rank().checked_sub(1)?]);
    /// The axis that a product with the matrix, or where `transpose` is 1 its transpose, sums over.
    summed(transpose: Int, x: Value) = Attr::dims([x.shape.rank().checked_sub(if transpose == 1 { 2 } else { 1 })?]);
    /// The number of the axis from row to row.
    row_axis(x: Value) = Attr::Int(x.shape.rank().checked_sub(2)? as i64);
    /// Both axes.
    matrix_axes(x: Value) = Attr::dims(x.shape.rank().checked_sub(2)?..x.shape.rank());
    /// The shape of one matrix.
    matrix(x: Value) = Attr::dims(x.shape[x.shape.rank().checked_sub(2)?..].iter().copied());
    /// How many rows there are.
    height(x: Value) = Attr::Int(x.shape[x.shape.rank().checked_sub(2)?] as i64);
    /// How many columns there are.
    width(x: Value) = Attr::Int(*x.shape.last()? as i64);
    /// The permutation that exchanges rows and columns.
    turned(x: Value) = {
        let lead = x.shape.rank().checked_sub(2)?;
        Attr::dims((0..lead).chain([lead + 1, lead]))
    };
    /// Every axis of x.
    axes(x: Value) = Attr::dims(0..x.shape.rank());
    /// The shape of x with so many rows.
    rows_as(n: Int, x: Value) = with(x.shape.iter().copied(), x.shape.rank().checked_sub(2)?, n)?;
    /// The shape of x with so many columns.
    columns_as(n: Int, x: Value) = with(x.shape.iter().copied(), x.shape.rank().checked_sub(1)?, n)?;
    /// 0 for every axis, but this number for the rows.
    rows_from(n: Int, x: Value) = with(x.shape.iter().map(|_| 0), x.shape.rank().checked_sub(2)?, n)?;
    /// 0 for every axis, but that of the last column.
    last_column(x: Value) = with(x.shape.iter().map(|_| 0), x.shape.rank().checked_sub(1)?, *x.shape.last()? as i64 - 1)?;
    /// 0 for every axis, but how many rows are missing from n.
    rows_more(n: Int, x: Value) = {
        let axis = x.shape.rank().checked_sub(2)?;
        with(x.shape.iter().map(|_| 0), axis, n - x.shape[axis] as i64)?
    };
    /// 0 for every axis, but how many columns are missing from n.
    columns_more(n: Int, x: Value) = {
        let axis = x.shape.rank().checked_sub(1)?;
        with(x.shape.iter().map(|_| 0), axis, n - x.shape[axis] as i64)?
    };
    /// The permutation that brings the first axis between rows and columns.
    batch_inside(x: Value) = Attr::dims((1..x.shape.rank().checked_sub(1)?).chain([0, x.shape.rank() - 1]));
    /// The shape of x with the last two axes as one.
    joined(x: Value) = {
        let lead = x.shape.rank().checked_sub(2)?;
        Attr::dims(x.shape[..lead].iter().copied().chain([x.shape[lead] * x.shape[lead + 1]]))
    };

    // The batch axis, always at the front.
    /// 1, 2, … for every axis of x: where they go when a batch axis is put before them.
    tail(x: Value) = Attr::dims(1..x.shape.rank() + 1);
    /// Every axis one further.
    shift(axes: Dims) = Attr::dims(axes.iter().map(|a| a + 1));
    /// 0, then every axis one further.
    behind_batch(axes: Dims) = Attr::dims(std::iter::once(0).chain(axes.iter().map(|a| a + 1)));
    /// 0, then the same numbers.
    unpadded(amounts: Dims) = Attr::dims(std::iter::once(0).chain(amounts.iter().copied()));
    /// `shape` with the batch size of x before it.
    batched(shape: Dims, x: Value) = Attr::dims(std::iter::once(*x.shape.first()?).chain(shape.iter().copied()));
    /// The permutation of a dot's result that brings the batch axis, the first free axis of the
    /// left operand x, to the front.
    left_front(contract: Dims, batch: Dims, x: Value, y: Value) =
        Attr::dims(to_front(x.shape.rank(), y.shape.rank(), contract, batch, batch.len())?);
    /// Likewise where the batch axis is the first free axis of the right operand y.
    right_front(contract: Dims, batch: Dims, x: Value, y: Value) = {
        let from = x.shape.rank().checked_sub(contract.len())?;
        Attr::dims(to_front(x.shape.rank(), y.shape.rank(), contract, batch, from)?)
    };

    // Windows along an axis.
    /// The permutation that brings the axis after `axis`, of offsets, to the front.
    offsets_first(axis: Int, x: Value) = {
        let offsets = usize::try_from(axis + 1).ok()?;
        Attr::dims(std::iter::once(offsets).chain((0..x.shape.rank()).filter(|a| *a != offsets)))
    };
    /// How far windows at these positions are apart.
    stride(i: Known) = Attr::Int(i.places()?.stride(i.aval()?)?);
    /// The shape of x with an axis of length 1 after `axis`.
    unit_after(axis: Int, x: Value) = Attr::dims(x.shape.insert(usize::try_from(axis + 1).ok()?, 1).iter().copied());
    /// 0 for every axis, but n − 1 for `axis`.
    fewer(axis: Int, n: Int, x: Value) = with(x.shape.iter().map(|_| 0), usize::try_from(axis).ok()?, n - 1)?;
    /// The shape of x with `axis` and the one after it as one.
    joined_at(axis: Int, x: Value) = {
        let axis = usize::try_from(axis).ok()?;
        let joined = x.shape.get(axis)? * x.shape.get(axis + 1)?;
        Attr::dims(x.shape[..axis].iter().copied().chain([joined]).chain(x.shape[axis + 2..].iter().copied()))
    };
    /// The shape of positions along the axis of x, for each of the others' offsets: the axes of `i` but
    /// that one, then the axis of x.
    for_each(but: Int, i: Value, axis: Int, x: Value) = {
        let own = (0..i.shape.rank()).filter(|a| *a as i64 != but).map(|a| i.shape[a]);
        Attr::dims(own.chain([*x.shape.get(usize::try_from(axis).ok()?)?]))
    };
    /// The shape of x with length 1 along the axis.
    first_of(axis: Int, x: Value) = with(x.shape.iter().copied(), usize::try_from(axis).ok()?, 1)?;
    /// The shape of x without the axis.
    without_axis(axis: Int, x: Value) = Attr::dims((0..x.shape.rank()).filter(|a| *a as i64 != axis).map(|a| x.shape[a]));
    /// The first axes, so many.
    first(n: Int) = Attr::dims(0..usize::try_from(n).ok()?);
    /// Every axis of x but the last.
    but_last(x: Value) = Attr::dims(0..x.shape.rank().checked_sub(1)?);
    /// The number of the last axis of x.
    last_axis(x: Value) = Attr::Int(x.shape.rank().checked_sub(1)? as i64);

    // Numbers.
    /// The one number all elements of x are.
    value(x: Known) = Attr::Literal(x.constant()?);
    /// 1 / x of a constant.
    reciprocal(x: Known) = {
        let x = x.constant()?;
        scalar::binary(Binary::Div, Literal::new(x.dtype(), 1.0), x, Elementary::Std).map(Attr::Literal)?
    };
    /// How often the axes that a broadcast to `shape` adds among `axes` repeat each element.
    repeats(axes: Dims, shape: Dims, dims: Dims) =
        Attr::Int(axes.iter().filter(|a| !dims.contains(a)).filter_map(|a| shape.get(*a)).map(|n| *n as i64).product());
    /// n + 1.
    succ(n: Int) = Attr::Int(n + 1);
    /// The zero of x's element type.
    zero(x: Value) = Attr::Literal(Literal::new(x.dtype, 0.0));
    /// n − 1.
    pred(n: Int) = Attr::Int(n - 1);
    /// 1 for 0, 0 for 1.
    not(n: Int) = Attr::Int(1 - n);
    /// 1 for 1, −1 for 0.
    sign(n: Int) = Attr::Int(*[-1, 1].get(usize::try_from(n).ok()?)?);
    /// −n.
    minus(n: Int) = Attr::Int(-n);
}

table! {
    /// The guards.
    GUARDS: bool;

    /// Every element of x is this number, bit for bit (`-0` is not `0`).
    constant(x: Known, n: Number) = match (x.constant(), x.aval()) {
        // An unsigned 0 is not what -1 saturates to.
        (Some(l), Some(aval)) => l == Literal::new(aval.dtype, n) && (aval.dtype.is_float() || l.to_f64() == n),
        _ => false,
    };
    /// All elements of x are one known constant.
    known(x: Known) = x.constant().is_some();
    /// x is a float.
    float(x: Value) = x.dtype.is_float();
    /// x is an integer.
    integer(x: Value) = x.dtype.is_integer();
    /// x is a truth value.
    truth(x: Value) = x.dtype == Dtype::Bool;
    /// x and y have the same element type and shape.
    same_aval(x: Value, y: Value) = x == y;
    /// x is a constant power of two whose reciprocal is one as well.
    power_of_two(x: Known) = x.constant().is_some_and(|x| {
        let (x, dtype) = (x.to_f64(), x.dtype());
        dtype.is_float() && invertible(dtype, x) && x.abs().log2().fract() == 0.0 && (1.0 / x).recip() == x
    });
    /// x is a constant float whose reciprocal neither overflows nor loses digits.
    invertible(x: Known) = x.constant().is_some_and(|x| x.dtype().is_float() && invertible(x.dtype(), x.to_f64()));
    /// The integer attribute is this number.
    int(n: Int, want: Number) = n as f64 == want;
    /// The integer attribute is another number.
    not_int(n: Int, other: Number) = n as f64 != other;
    /// There are no axes.
    empty(axes: Dims) = axes.is_empty();
    /// There are axes.
    not_empty(axes: Dims) = !axes.is_empty();
    /// The axes have length 1, and there are some.
    length_one(x: Value, axes: Dims) = !axes.is_empty() && axes.iter().all(|a| x.shape.get(*a) == Some(&1));
    /// `perm` leaves the axes `dims` in increasing order.
    keeps_order(perm: Dims, dims: Dims) = {
        let order = |d: &usize| perm.iter().position(|p| p == d);
        dims.windows(2).all(|d| order(&d[0]) < order(&d[1]))
    };
    /// `perm` moves axes of length 1 alone, and moves some.
    moves_ones(perm: Dims, x: Value) = perm.len() == x.shape.rank() && !perm.iter().copied().eq(0..perm.len())
        && perm.iter().filter(|p| x.shape.get(**p) != Some(&1)).is_sorted();
    /// Along the last axis, after so many shared ones, positions count up one by one.
    shifts(i: Known, shared: Int) = taken(i, shared)? == Taken::Part;
    /// Positions are those of windows that go up.
    slides(i: Known, shared: Int) = taken(i, shared)? == Taken::Windows;
    /// There is one position for each index of the shared axes.
    single(i: Known, shared: Int) = taken(i, shared)? == Taken::One;
    /// Positions are none of these.
    strewn(i: Known, shared: Int) = taken(i, shared)? == Taken::Strewn;
    /// Converting x to `through` and then to `dtype` is converting it to `dtype`: `through` holds every
    /// value of x, and integers that pass through floats are not saturated where they would wrap around.
    transparent(dtype: Dtype, through: Dtype, x: Value) =
        through.holds(x.dtype) && (through.is_float() == x.dtype.is_float() || !dtype.is_integer() || dtype.holds(x.dtype));
    /// A broadcast of x to `shape` stretches no axis.
    unstretched(x: Value, shape: Dims, dims: Dims) = dims.iter().enumerate().all(|(i, d)| x.shape.get(i) == shape.get(*d));
    /// Among `axes` are some that a broadcast to `shape` adds, and none of them is empty.
    repeats_some(axes: Dims, shape: Dims, dims: Dims) =
        axes.iter().any(|a| !dims.contains(a)) && axes.iter().all(|a| shape.get(*a) > Some(&0));
    /// `perm` exchanges the free axes of the operands of a dot and keeps the shared ones.
    swaps(perm: Dims, contract: Dims, batch: Dims, x: Value, y: Value) = {
        let shared = batch.len();
        let left = x.shape.rank().checked_sub(contract.len() + shared)?;
        let right = y.shape.rank().checked_sub(contract.len() + shared)?;
        let swapped = (0..shared).chain(shared + left..shared + left + right).chain(shared..shared + left);
        perm.iter().copied().eq(swapped)
    };
    /// `perm` leaves a dot's free axes of the operand in increasing order.
    keeps_free(perm: Dims, contract: Dims, batch: Dims) = {
        let free = (0..perm.len()).filter(|a| !contract.contains(a) && !batch.contains(a));
        let moved: Vec<usize> = free.map(|a| perm[a]).collect();
        moved.is_sorted()
    };
    /// There are as many rows as columns.
    square(x: Value) = matches!(x.shape[..], [.., m, n] if m == n);
    /// There are more rows than columns.
    tall(x: Value) = matches!(x.shape[..], [.., m, n] if m > n);
    /// x has this shape.
    has_shape(x: Value, shape: Dims) = *x.shape == *shape;
    /// Every number is 0.
    starts(start: Dims) = start.iter().all(|s| *s == 0);
    /// From `low` on, all of x is before `limit`, and nothing else.
    ends(x: Value, low: Dims, limit: Dims) = x.shape.iter().zip(low).zip(limit).all(|((n, low), limit)| n + low == *limit);
    /// x has this element type.
    has_dtype(x: Value, dtype: Dtype) = x.dtype == dtype;
    /// The axes are 0, 1, … in order, one per axis of x: moving them there moves nothing.
    in_place(axes: Dims, x: Value) = axes.len() == x.shape.rank() && axes.iter().copied().eq(0..axes.len());
}

/// What kind of positions are taken.
#[derive(PartialEq)]
enum Taken {
    Part,
    Windows,
    One,
    Strewn,
}

fn taken(i: &Fact, shared: i64) -> Option<Taken> {
    let (aval, shared) = (i.aval()?, usize::try_from(shared).ok()?);
    let own = aval.shape.get(shared..)?;
    Some(match i.places() {
        Some(places) if own.len() == 1 && places.counts(aval) => Taken::Part,
        Some(places) if shared == 0 && places.stride(aval).is_some() => Taken::Windows,
        _ if shared > 0 && own.iter().all(|n| *n == 1) => Taken::One,
        _ => Taken::Strewn,
    })
}

/// The list with another number at a position.
fn with(list: impl Iterator<Item = usize>, at: usize, n: i64) -> Option<Attr> {
    let mut list: Vec<usize> = list.collect();
    *list.get_mut(at)? = usize::try_from(n).ok()?;
    Some(Attr::dims(list))
}

/// The entries of a list at these positions.
fn entries(list: &[usize], at: &[usize]) -> Option<Vec<usize>> {
    at.iter().map(|i| list.get(*i).copied()).collect()
}

/// The permutation that brings axis `from` of a dot's result to the front; `left` and `right` are
/// the operands' ranks.
fn to_front(left: usize, right: usize, contract: &[usize], batch: &[usize], from: usize) -> Option<egrad_ir::op::Axes> {
    let rank = (left + right).checked_sub(2 * contract.len() + batch.len())?;
    (from < rank).then(|| egrad_ir::graph::move_axis(rank, from, 0))
}

/// Whether multiplying by 1/x is dividing by x up to rounding: both are finite and normal.
fn invertible(dtype: Dtype, x: f64) -> bool {
    match dtype {
        Dtype::F32 => (x as f32).is_normal() && (x as f32).recip().is_normal(),
        Dtype::F64 => x.is_normal() && x.recip().is_normal(),
        Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => false,
    }
}

/// The attribute function of that name.
pub fn function(name: &str) -> Option<&'static Function<Attr>> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// The guard of that name.
pub fn guard(name: &str) -> Option<&'static Function<bool>> {
    GUARDS.iter().find(|f| f.name == name)
}
