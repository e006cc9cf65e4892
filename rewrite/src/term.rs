//! The e-graph's language: primitives, the markers of pending transforms, and the fusion terms.
//!
//! A primitive's attributes (axes, shapes, exponents) are leaf e-nodes of their own, so that
//! patterns bind them and rules compute with them. A [`Prim`] is therefore a primitive *without*
//! attributes; [`encode`] and [`decode`] go between it and [`Op`].
//!
//! Markers carry everything their rule needs as operands: "operand 0 of this class" would mean
//! nothing once a class holds several e-nodes.

use egg::{FromOp, Id, Language};
use egrad_ir::op::{Axes, scatter_name};
use egrad_ir::{
    Binary, Compare, DotDims, Dtype, Error, Factor, Linalg, Literal, Op, Reduce, Result, Shape, Triangle, Unary,
};
use smallvec::SmallVec;
use std::fmt;

/// An attribute: a leaf of the e-graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attr {
    /// A constant's value.
    Literal(Literal),
    /// Axes, a permutation or a shape.
    Dims(Box<[usize]>),
    /// An exponent or one axis.
    Int(i64),
    /// An element type.
    Dtype(Dtype),
}

impl Attr {
    /// An attribute of dims.
    pub fn dims(dims: impl IntoIterator<Item = usize>) -> Attr {
        Attr::Dims(dims.into_iter().collect())
    }

    /// The dims, if it is dims.
    pub fn as_dims(&self) -> Option<&[usize]> {
        match self {
            Attr::Dims(d) => Some(d),
            Attr::Literal(_) | Attr::Int(_) | Attr::Dtype(_) => None,
        }
    }

    /// The number, if it is a number.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Attr::Int(n) => Some(*n),
            Attr::Literal(_) | Attr::Dims(_) | Attr::Dtype(_) => None,
        }
    }
}

impl fmt::Display for Attr {
    /// `[0,1]`, `3`, `f32`, `1.5f32`: what [`Attr::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attr::Literal(l) => write!(f, "{l:?}"),
            Attr::Dims(d) => {
                f.write_str("[")?;
                for (i, d) in d.iter().enumerate() {
                    write!(f, "{}{d}", if i > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Attr::Int(n) => write!(f, "{n}"),
            Attr::Dtype(d) => write!(f, "{d}"),
        }
    }
}

impl Attr {
    /// The attribute of that text.
    pub fn parse(text: &str) -> Option<Attr> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']')?;
            let parts = inner.split(',').filter(|p| !p.is_empty());
            return parts.map(|p| p.trim().parse().ok()).collect::<Option<_>>().map(Attr::Dims);
        }
        if let Ok(n) = text.parse() {
            return Some(Attr::Int(n));
        }
        if let Some(d) = Dtype::parse(text) {
            return Some(Attr::Dtype(d));
        }
        Dtype::ALL.into_iter().find_map(|d| {
            let value = text.strip_suffix(d.name())?;
            let value = match value {
                "true" => Literal::new(d, 1.0),
                "false" => Literal::new(d, 0.0),
                number if d.is_integer() => Literal::parse_integer(d, number)?,
                number => Literal::new(d, number.parse().ok()?),
            };
            Some(Attr::Literal(value))
        })
    }
}

/// A primitive without its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Prim {
    /// Attribute: the literal.
    Constant,
    /// Attributes: element type, shape, axis.
    Iota,
    /// No attribute.
    Unary(Unary),
    /// No attribute.
    Binary(Binary),
    /// No attribute.
    Compare(Compare),
    /// No attribute.
    Select,
    /// Attribute: the exponent.
    IntegerPow,
    /// Attribute: the element type.
    Convert,
    /// Attributes: shape, dims.
    BroadcastInDim,
    /// Attribute: the shape.
    Reshape,
    /// Attribute: the permutation.
    Transpose,
    /// Attribute: the axes.
    Reduce(Reduce),
    /// Attributes: contracted axes of the left and the right operand, shared axes likewise.
    DotGeneral,
    /// Attributes: starts, limits.
    Slice,
    /// Attributes: how often before, how often after.
    Pad,
    /// Attribute: the axes.
    Reverse,
    /// Attribute: the axis.
    Concatenate,
    /// Attributes: the axis, how many axes are shared.
    Take,
    /// Attributes: the axis, how many axes are shared.
    Scatter(Reduce),
    /// Attribute: the axis.
    Argsort,
    /// No attribute.
    Factor(Factor),
    /// Attributes: whether it is the lower triangle, its transpose, with a diagonal of 1 (0 or 1 each).
    TriangularSolve,
    /// Attribute: whether it is the inverse (0 or 1).
    Fft,
}

impl Prim {
    /// Every primitive.
    pub fn all() -> impl Iterator<Item = Prim> {
        (Prim::SINGLE.into_iter())
            .chain(Unary::ALL.iter().map(|u| Prim::Unary(*u)))
            .chain(Binary::ALL.iter().map(|b| Prim::Binary(*b)))
            .chain(Compare::ALL.iter().map(|c| Prim::Compare(*c)))
            .chain(Factor::ALL.iter().map(|f| Prim::Factor(*f)))
            .chain(Reduce::ALL.iter().flat_map(|r| [Prim::Reduce(*r), Prim::Scatter(*r)]))
    }

    /// Those that are of no class.
    const SINGLE: [Prim; 17] = [
        Prim::Constant,
        Prim::Iota,
        Prim::Select,
        Prim::IntegerPow,
        Prim::Convert,
        Prim::BroadcastInDim,
        Prim::Reshape,
        Prim::Transpose,
        Prim::DotGeneral,
        Prim::Slice,
        Prim::Pad,
        Prim::Reverse,
        Prim::Concatenate,
        Prim::Take,
        Prim::Argsort,
        Prim::TriangularSolve,
        Prim::Fft,
    ];

    /// The primitive's name, as [`Op::name`].
    pub fn name(self) -> &'static str {
        match self {
            Prim::Constant => "constant",
            Prim::Iota => "iota",
            Prim::Unary(u) => u.name(),
            Prim::Binary(b) => b.name(),
            Prim::Compare(c) => c.name(),
            Prim::Select => "select",
            Prim::IntegerPow => "integer_pow",
            Prim::Convert => "convert",
            Prim::BroadcastInDim => "broadcast_in_dim",
            Prim::Reshape => "reshape",
            Prim::Transpose => "transpose",
            Prim::Reduce(r) => r.name(),
            Prim::DotGeneral => "dot_general",
            Prim::Slice => "slice",
            Prim::Pad => "pad",
            Prim::Reverse => "reverse",
            Prim::Concatenate => "concatenate",
            Prim::Take => "take",
            Prim::Scatter(kind) => scatter_name(kind),
            Prim::Argsort => "argsort",
            Prim::Factor(f) => f.name(),
            Prim::TriangularSolve => "triangular_solve",
            Prim::Fft => "fft",
        }
    }

    /// The primitive of that name.
    pub fn parse(name: &str) -> Option<Prim> {
        (Unary::parse(name).map(Prim::Unary))
            .or_else(|| Binary::parse(name).map(Prim::Binary))
            .or_else(|| Compare::parse(name).map(Prim::Compare))
            .or_else(|| Reduce::parse(name).map(Prim::Reduce))
            .or_else(|| Factor::parse(name).map(Prim::Factor))
            .or_else(|| Prim::SINGLE.into_iter().find(|p| p.name() == name))
            .or_else(|| Reduce::ALL.iter().map(|r| Prim::Scatter(*r)).find(|p| p.name() == name))
    }

    /// How many attribute leaves come before the operands.
    pub fn attrs(self) -> usize {
        match self {
            Prim::Unary(_) | Prim::Binary(_) | Prim::Compare(_) | Prim::Select | Prim::Factor(_) => 0,
            Prim::Constant
            | Prim::IntegerPow
            | Prim::Convert
            | Prim::Reshape
            | Prim::Transpose
            | Prim::Reduce(_)
            | Prim::Reverse
            | Prim::Concatenate
            | Prim::Argsort
            | Prim::Fft => 1,
            Prim::BroadcastInDim | Prim::Slice | Prim::Pad | Prim::Take | Prim::Scatter(_) => 2,
            Prim::Iota | Prim::TriangularSolve => 3,
            Prim::DotGeneral => 4,
        }
    }

    /// How many operands it takes.
    pub fn arity(self) -> usize {
        match self {
            Prim::Constant | Prim::Iota => 0,
            Prim::Unary(_)
            | Prim::IntegerPow
            | Prim::Convert
            | Prim::BroadcastInDim
            | Prim::Reshape
            | Prim::Transpose
            | Prim::Reduce(_)
            | Prim::Slice
            | Prim::Reverse
            | Prim::Argsort
            | Prim::Factor(_)
            | Prim::Fft => 1,
            Prim::Binary(_)
            | Prim::Compare(_)
            | Prim::DotGeneral
            | Prim::Pad
            | Prim::Concatenate
            | Prim::Take
            | Prim::TriangularSolve => 2,
            Prim::Select | Prim::Scatter(_) => 3,
        }
    }

    /// A number of its own, below 2^12.
    fn code(self) -> u32 {
        match self {
            Prim::Constant => 0,
            Prim::Iota => 1,
            Prim::Select => 2,
            Prim::IntegerPow => 3,
            Prim::Convert => 4,
            Prim::BroadcastInDim => 5,
            Prim::Reshape => 6,
            Prim::Transpose => 7,
            Prim::DotGeneral => 8,
            Prim::Slice => 9,
            Prim::Pad => 10,
            Prim::Reverse => 11,
            Prim::Concatenate => 12,
            Prim::Take => 13,
            Prim::Argsort => 14,
            Prim::TriangularSolve => 15,
            Prim::Fft => 16,
            Prim::Factor(f) => 0x600 + f as u32,
            Prim::Scatter(r) => 0x500 + r as u32,
            Prim::Unary(u) => 0x100 + u as u32,
            Prim::Binary(b) => 0x200 + b as u32,
            Prim::Compare(c) => 0x300 + c as u32,
            Prim::Reduce(r) => 0x400 + r as u32,
        }
    }
}

impl fmt::Display for Prim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The attributes of one primitive.
pub type Attrs = SmallVec<[Attr; 4]>;

/// The primitive and its attributes, in the order [`decode`] takes them.
pub fn encode(op: &Op) -> (Prim, Attrs) {
    let dims = |d: &[usize]| Attr::Dims(d.into());
    let int = |n: usize| Attr::Int(n as i64);
    let (prim, attrs): (Prim, Attrs) = match op {
        Op::Constant(l) => (Prim::Constant, [Attr::Literal(*l)].into_iter().collect()),
        Op::Iota { dtype, shape, axis } => {
            (Prim::Iota, [Attr::Dtype(*dtype), dims(shape), Attr::Int(*axis as i64)].into_iter().collect())
        }
        Op::Unary(u) => (Prim::Unary(*u), Attrs::new()),
        Op::Binary(b) => (Prim::Binary(*b), Attrs::new()),
        Op::Compare(c) => (Prim::Compare(*c), Attrs::new()),
        Op::Select => (Prim::Select, Attrs::new()),
        Op::IntegerPow(n) => (Prim::IntegerPow, [Attr::Int(i64::from(*n))].into_iter().collect()),
        Op::Convert(d) => (Prim::Convert, [Attr::Dtype(*d)].into_iter().collect()),
        Op::BroadcastInDim { shape, dims: to } => (Prim::BroadcastInDim, [dims(shape), dims(to)].into_iter().collect()),
        Op::Reshape(shape) => (Prim::Reshape, [dims(shape)].into_iter().collect()),
        Op::Transpose(perm) => (Prim::Transpose, [dims(perm)].into_iter().collect()),
        Op::Reduce { kind, axes } => (Prim::Reduce(*kind), [dims(axes)].into_iter().collect()),
        Op::DotGeneral(d) => (
            Prim::DotGeneral,
            [dims(&d.contract[0]), dims(&d.contract[1]), dims(&d.batch[0]), dims(&d.batch[1])].into_iter().collect(),
        ),
        Op::Slice { start, limit } => (Prim::Slice, [dims(start), dims(limit)].into_iter().collect()),
        Op::Pad { low, high } => (Prim::Pad, [dims(low), dims(high)].into_iter().collect()),
        Op::Reverse(axes) => (Prim::Reverse, [dims(axes)].into_iter().collect()),
        Op::Concatenate(axis) => (Prim::Concatenate, [int(*axis)].into_iter().collect()),
        Op::Take { axis, batch } => (Prim::Take, [int(*axis), int(*batch)].into_iter().collect()),
        Op::Scatter { kind, axis, batch } => (Prim::Scatter(*kind), [int(*axis), int(*batch)].into_iter().collect()),
        Op::Argsort(axis) => (Prim::Argsort, [int(*axis)].into_iter().collect()),
        Op::Linalg(Linalg::Factor(f)) => (Prim::Factor(*f), Attrs::new()),
        Op::Linalg(Linalg::TriangularSolve(Triangle { lower, transpose, unit })) => {
            (Prim::TriangularSolve, [*lower, *transpose, *unit].into_iter().map(|b| Attr::Int(b.into())).collect())
        }
        Op::Linalg(Linalg::Fft { inverse }) => (Prim::Fft, [Attr::Int((*inverse).into())].into_iter().collect()),
    };
    debug_assert_eq!(attrs.len(), prim.attrs());
    (prim, attrs)
}

/// The operation of a primitive with these attributes: the inverse of [`encode`].
///
/// # Errors
/// If the attributes are not the ones the primitive takes.
pub fn decode(prim: Prim, attrs: &[&Attr]) -> Result<Op> {
    let wrong = || {
        let list: Vec<String> = attrs.iter().map(|a| a.to_string()).collect();
        Error::internal(format!("`{prim}` can't have the attributes {}", list.join(" ")))
    };
    let axes = |d: &[usize]| -> Axes { d.into() };
    let count = |n: &i64| usize::try_from(*n).map_err(|_| wrong());
    let flag = |n: &i64| match n {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(wrong()),
    };
    Ok(match (prim, attrs) {
        (Prim::Constant, [Attr::Literal(l)]) => Op::Constant(*l),
        (Prim::Iota, [Attr::Dtype(dtype), Attr::Dims(shape), Attr::Int(axis)]) => {
            Op::Iota { dtype: *dtype, shape: Shape::from(&**shape), axis: count(axis)? }
        }
        (Prim::Unary(u), []) => Op::Unary(u),
        (Prim::Binary(b), []) => Op::Binary(b),
        (Prim::Compare(c), []) => Op::Compare(c),
        (Prim::Select, []) => Op::Select,
        (Prim::IntegerPow, [Attr::Int(n)]) => Op::IntegerPow(i32::try_from(*n).map_err(|_| wrong())?),
        (Prim::Convert, [Attr::Dtype(d)]) => Op::Convert(*d),
        (Prim::BroadcastInDim, [Attr::Dims(shape), Attr::Dims(dims)]) => {
            Op::BroadcastInDim { shape: Shape::from(&**shape), dims: axes(dims) }
        }
        (Prim::Reshape, [Attr::Dims(shape)]) => Op::Reshape(Shape::from(&**shape)),
        (Prim::Transpose, [Attr::Dims(perm)]) => Op::Transpose(axes(perm)),
        (Prim::Reduce(kind), [Attr::Dims(a)]) => Op::Reduce { kind, axes: axes(a) },
        (Prim::DotGeneral, [Attr::Dims(cl), Attr::Dims(cr), Attr::Dims(bl), Attr::Dims(br)]) => {
            Op::DotGeneral(DotDims { contract: [axes(cl), axes(cr)], batch: [axes(bl), axes(br)] })
        }
        (Prim::Slice, [Attr::Dims(start), Attr::Dims(limit)]) => Op::Slice { start: axes(start), limit: axes(limit) },
        (Prim::Pad, [Attr::Dims(low), Attr::Dims(high)]) => Op::Pad { low: axes(low), high: axes(high) },
        (Prim::Reverse, [Attr::Dims(a)]) => Op::Reverse(axes(a)),
        (Prim::Concatenate, [Attr::Int(axis)]) => Op::Concatenate(count(axis)?),
        (Prim::Take, [Attr::Int(axis), Attr::Int(batch)]) => Op::Take { axis: count(axis)?, batch: count(batch)? },
        (Prim::Scatter(kind), [Attr::Int(axis), Attr::Int(batch)]) => {
            Op::Scatter { kind, axis: count(axis)?, batch: count(batch)? }
        }
        (Prim::Argsort, [Attr::Int(axis)]) => Op::Argsort(count(axis)?),
        (Prim::Factor(f), []) => Op::Linalg(Linalg::Factor(f)),
        (Prim::TriangularSolve, [Attr::Int(lower), Attr::Int(transpose), Attr::Int(unit)]) => {
            let triangle = Triangle { lower: flag(lower)?, transpose: flag(transpose)?, unit: flag(unit)? };
            Op::Linalg(Linalg::TriangularSolve(triangle))
        }
        (Prim::Fft, [Attr::Int(inverse)]) => Op::Linalg(Linalg::Fft { inverse: flag(inverse)? }),
        (
            Prim::Constant
            | Prim::Iota
            | Prim::Unary(_)
            | Prim::Binary(_)
            | Prim::Compare(_)
            | Prim::Select
            | Prim::IntegerPow
            | Prim::Convert
            | Prim::BroadcastInDim
            | Prim::Reshape
            | Prim::Transpose
            | Prim::Reduce(_)
            | Prim::DotGeneral
            | Prim::Slice
            | Prim::Pad
            | Prim::Reverse
            | Prim::Concatenate
            | Prim::Take
            | Prim::Scatter(_)
            | Prim::Argsort
            | Prim::Factor(_)
            | Prim::TriangularSolve
            | Prim::Fft,
            _,
        ) => return Err(wrong()),
    })
}

/// Which operands of a batched primitive carry the batch axis: bit `k` for operand `k`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mask(pub u8);

impl Mask {
    /// Whether operand `k` is batched.
    pub fn get(self, k: usize) -> bool {
        self.0 & (1 << k) != 0
    }

    /// The mask with operand `k` batched.
    #[must_use]
    pub fn with(self, k: usize) -> Mask {
        Mask(self.0 | (1 << k))
    }

    /// One digit per operand, 1 = batched.
    pub fn text(self, arity: usize) -> String {
        (0..arity).map(|k| if self.get(k) { '1' } else { '0' }).collect()
    }
}

/// What an e-node is, its arguments apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Head {
    /// An attribute: a leaf.
    Attr(Attr),
    /// A parameter of the function at hand: a leaf, typed by the analysis.
    Param(u32),
    /// A primitive: attribute leaves, then operands.
    Prim(Prim),
    /// The cotangent's contribution to operand `k`: attributes, operands, the primal result, the
    /// result's cotangent. Its value has the aval of operand `k`.
    Pull(Prim, u8),
    /// The contribution of operand `k`'s tangent to the result's: attributes, operands, the primal
    /// result, the operand's tangent. Its value has the aval of the result.
    Push(Prim, u8),
    /// The primitive of every element: attributes (those of one element), operands. Batched
    /// operands and the result have the batch axis at position 0.
    Batch(Prim, Mask),
    /// A call, by its number among the [sites](crate::analysis::Facts::sites), of this many operands:
    /// a tuple of results.
    Call(u32, u16),
    /// The result of that position of a call.
    Get(u32),
    /// A value made by a kernel of this [`Head::Body`].
    Kernel,
    /// A value as the body of a kernel: the value.
    Body,
    /// A value as a kernel reads it: the value.
    Source,
    /// A source that loads the materialised value.
    Load,
    /// A source that computes the body again in place.
    Inline,
    /// A body: the primitive of sources (attribute leaves, then sources), in loops.
    Compute(Prim),
    /// A body: a `dot_general` of sources (attribute leaves, then sources), as a matrix product.
    Contract,
}

/// What e-matching compares: one number for every kind, primitive, and operand or mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u32);

impl Head {
    /// The number e-matching compares. All attributes share one, as do all parameters, all calls, and
    /// all their results.
    pub fn key(&self) -> Key {
        let key = |kind: u32, prim: Prim, detail: u8| Key(kind << 24 | prim.code() << 8 | u32::from(detail));
        match self {
            Head::Attr(_) => Key(0),
            Head::Param(_) => Key(1 << 24),
            Head::Prim(p) => key(2, *p, 0),
            Head::Pull(p, k) => key(3, *p, *k),
            Head::Push(p, k) => key(4, *p, *k),
            Head::Batch(p, m) => key(5, *p, m.0),
            Head::Kernel => Key(6 << 24),
            Head::Body => Key(7 << 24),
            Head::Source => Key(8 << 24),
            Head::Load => Key(9 << 24),
            Head::Inline => Key(10 << 24),
            Head::Compute(p) => key(11, *p, 0),
            Head::Contract => Key(12 << 24),
            Head::Call(..) => Key(13 << 24),
            Head::Get(_) => Key(14 << 24),
        }
    }

    /// Whether it stands for a transform that has not been carried out.
    pub fn is_marker(&self) -> bool {
        match self {
            Head::Pull(..) | Head::Push(..) | Head::Batch(..) => true,
            Head::Attr(_)
            | Head::Param(_)
            | Head::Prim(_)
            | Head::Call(..)
            | Head::Get(_)
            | Head::Kernel
            | Head::Body
            | Head::Source
            | Head::Load
            | Head::Inline
            | Head::Compute(_)
            | Head::Contract => false,
        }
    }

    /// Which argument is the primal result, for the markers that carry it.
    pub fn primal(&self) -> Option<usize> {
        match self {
            Head::Pull(p, _) | Head::Push(p, _) => Some(p.attrs() + p.arity()),
            Head::Attr(_)
            | Head::Param(_)
            | Head::Prim(_)
            | Head::Batch(..)
            | Head::Call(..)
            | Head::Get(_)
            | Head::Kernel
            | Head::Body
            | Head::Source
            | Head::Load
            | Head::Inline
            | Head::Compute(_)
            | Head::Contract => None,
        }
    }

    /// Whether it computes a value, with no transform or choice pending: a primitive, a parameter, or
    /// a call and its results.
    pub fn is_plain(&self) -> bool {
        match self {
            Head::Param(_) | Head::Prim(_) | Head::Call(..) | Head::Get(_) => true,
            Head::Attr(_)
            | Head::Pull(..)
            | Head::Push(..)
            | Head::Batch(..)
            | Head::Kernel
            | Head::Body
            | Head::Source
            | Head::Load
            | Head::Inline
            | Head::Compute(_)
            | Head::Contract => false,
        }
    }

    /// How many arguments it has.
    pub fn args(&self) -> usize {
        match self {
            Head::Attr(_) | Head::Param(_) => 0,
            Head::Prim(p) | Head::Batch(p, _) | Head::Compute(p) => p.attrs() + p.arity(),
            Head::Contract => Prim::DotGeneral.attrs() + Prim::DotGeneral.arity(),
            Head::Pull(p, _) | Head::Push(p, _) => p.attrs() + p.arity() + 2,
            Head::Call(_, n) => usize::from(*n),
            Head::Get(_) | Head::Kernel | Head::Body | Head::Source | Head::Load | Head::Inline => 1,
        }
    }

    /// The head of that text: `mul`, `pull:mul:0`, `batch:dot_general:10`, `call:0:3`, `get:1`, an
    /// attribute, `%3`.
    pub fn parse(text: &str) -> Option<Head> {
        let mut parts = text.split(':');
        let first = parts.next()?;
        let head = match (first, parts.next(), parts.next(), parts.next()) {
            ("pull", Some(p), Some(k), None) => Head::Pull(Prim::parse(p)?, k.parse().ok()?),
            ("push", Some(p), Some(k), None) => Head::Push(Prim::parse(p)?, k.parse().ok()?),
            ("batch", Some(p), Some(digits), None) => {
                let prim = Prim::parse(p)?;
                let mut mask = Mask::default();
                for (k, digit) in digits.chars().enumerate() {
                    match digit {
                        '1' => mask = mask.with(k),
                        '0' => {}
                        _ => return None,
                    }
                }
                (digits.len() == prim.arity()).then_some(Head::Batch(prim, mask))?
            }
            ("compute", Some(p), None, None) => Head::Compute(Prim::parse(p)?),
            ("call", Some(site), Some(n), None) => Head::Call(site.parse().ok()?, n.parse().ok()?),
            ("get", Some(i), None, None) => Head::Get(i.parse().ok()?),
            (_, Some(_), _, _) => return None,
            ("contract", None, ..) => Head::Contract,
            ("kernel", None, ..) => Head::Kernel,
            ("body", None, ..) => Head::Body,
            ("source", None, ..) => Head::Source,
            ("load", None, ..) => Head::Load,
            ("inline", None, ..) => Head::Inline,
            (name, None, ..) => match name.strip_prefix('%') {
                Some(n) => Head::Param(n.parse().ok()?),
                None => Prim::parse(name).map(Head::Prim).or_else(|| Attr::parse(name).map(Head::Attr))?,
            },
        };
        match &head {
            Head::Pull(p, k) | Head::Push(p, k) if usize::from(*k) >= p.arity() => None,
            _ => Some(head),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Head::Attr(a) => write!(f, "{a}"),
            Head::Param(i) => write!(f, "%{i}"),
            Head::Prim(p) => write!(f, "{p}"),
            Head::Pull(p, k) => write!(f, "pull:{p}:{k}"),
            Head::Push(p, k) => write!(f, "push:{p}:{k}"),
            Head::Batch(p, m) => write!(f, "batch:{p}:{}", m.text(p.arity())),
            Head::Kernel => f.write_str("kernel"),
            Head::Body => f.write_str("body"),
            Head::Source => f.write_str("source"),
            Head::Load => f.write_str("load"),
            Head::Inline => f.write_str("inline"),
            Head::Compute(p) => write!(f, "compute:{p}"),
            Head::Contract => f.write_str("contract"),
            Head::Call(site, n) => write!(f, "call:{site}:{n}"),
            Head::Get(i) => write!(f, "get:{i}"),
        }
    }
}

/// An e-node: a head and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// What it is.
    pub head: Head,
    /// Attribute leaves first, then operands, then whatever else the head takes.
    pub args: SmallVec<[Id; 4]>,
}

impl Term {
    /// An e-node of these arguments.
    pub fn new(head: Head, args: impl IntoIterator<Item = Id>) -> Term {
        let term = Term { head, args: args.into_iter().collect() };
        debug_assert_eq!(term.args.len(), term.head.args(), "{}", term.head);
        term
    }

    /// A leaf.
    pub fn leaf(head: Head) -> Term {
        Term::new(head, [])
    }

    /// The attribute leaves among the arguments.
    pub fn attrs(&self) -> &[Id] {
        &self.args[..self.attr_count()]
    }

    /// The operands: what comes after the attributes (for `pull` and `push` also the result and
    /// the cotangent or tangent).
    pub fn operands(&self) -> &[Id] {
        &self.args[self.attr_count()..]
    }

    fn attr_count(&self) -> usize {
        match &self.head {
            Head::Prim(p) | Head::Pull(p, _) | Head::Push(p, _) | Head::Batch(p, _) | Head::Compute(p) => p.attrs(),
            Head::Contract => Prim::DotGeneral.attrs(),
            Head::Attr(_)
            | Head::Param(_)
            | Head::Call(..)
            | Head::Get(_)
            | Head::Kernel
            | Head::Body
            | Head::Source
            | Head::Load
            | Head::Inline => 0,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.head, f)
    }
}

impl Language for Term {
    type Discriminant = Key;

    fn discriminant(&self) -> Key {
        self.head.key()
    }

    fn matches(&self, other: &Term) -> bool {
        self.head == other.head && self.args.len() == other.args.len()
    }

    fn children(&self) -> &[Id] {
        &self.args
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.args
    }
}

impl FromOp for Term {
    type Error = String;

    fn from_op(op: &str, children: Vec<Id>) -> std::result::Result<Term, String> {
        let head = Head::parse(op).ok_or_else(|| format!("there is no term `{op}`"))?;
        if children.len() != head.args() {
            return Err(format!("`{op}` takes {} arguments, not {}", head.args(), children.len()));
        }
        Ok(Term { head, args: children.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egrad_ir::op;
    use smallvec::smallvec;

    #[test]
    fn primitives_are_those_of_the_ir() {
        let mut ours: Vec<_> = Prim::all().map(Prim::name).collect();
        let mut theirs = op::Op::names();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
        for p in Prim::all() {
            assert_eq!(Prim::parse(p.name()), Some(p));
        }
    }

    #[test]
    fn encoding_round_trips() {
        let ops = [
            Op::Constant(Literal::new(Dtype::F32, 1.5)),
            Op::Iota { dtype: Dtype::I32, shape: Shape::from([2, 3]), axis: 1 },
            Op::Unary(Unary::Sin),
            Op::Binary(Binary::Mul),
            Op::Compare(Compare::Lt),
            Op::Select,
            Op::IntegerPow(-3),
            Op::Convert(Dtype::F64),
            Op::BroadcastInDim { shape: Shape::from([2, 3]), dims: smallvec![1] },
            Op::Reshape(Shape::from([6])),
            Op::Transpose(smallvec![1, 0]),
            Op::Reduce { kind: Reduce::Max, axes: smallvec![0] },
            Op::DotGeneral(DotDims {
                contract: [smallvec![1], smallvec![0]],
                batch: [smallvec![2, 0], smallvec![1, 2]],
            }),
            Op::Slice { start: smallvec![1, 0], limit: smallvec![2, 2] },
            Op::Pad { low: smallvec![1, 0], high: smallvec![2, 2] },
            Op::Reverse(smallvec![1]),
            Op::Concatenate(1),
            Op::Take { axis: 2, batch: 1 },
            Op::Scatter { kind: Reduce::Max, axis: 2, batch: 1 },
            Op::Argsort(1),
            Op::Linalg(Linalg::Factor(Factor::Lu)),
            Op::Linalg(Linalg::TriangularSolve(Triangle { lower: true, transpose: false, unit: true })),
            Op::Linalg(Linalg::Fft { inverse: true }),
        ];
        for op in ops {
            let (prim, attrs) = encode(&op);
            assert_eq!((prim.name(), prim.arity()), (op.name(), op.arity()));
            assert_eq!(decode(prim, &attrs.iter().collect::<Vec<_>>()).unwrap(), op);
            for a in attrs {
                assert_eq!(Attr::parse(&a.to_string()), Some(a));
            }
        }
    }

    #[test]
    fn heads_have_text_and_a_key_of_their_own() {
        let mut heads = vec![Head::Param(3), Head::Kernel, Head::Body, Head::Source, Head::Load, Head::Inline];
        heads.extend([Head::Attr(Attr::dims([0, 1])), Head::Call(2, 5), Head::Get(1)]);
        for p in Prim::all() {
            heads.extend([Head::Prim(p), Head::Compute(p)]);
            heads.extend((0..p.arity()).flat_map(|k| [Head::Pull(p, k as u8), Head::Push(p, k as u8)]));
            heads.extend((1..1u8 << p.arity()).map(|m| Head::Batch(p, Mask(m))));
        }
        let mut keys = std::collections::HashSet::new();
        for h in heads {
            assert!(keys.insert(h.key()), "{h}");
            assert_eq!(Head::parse(&h.to_string()), Some(h));
        }
        assert_eq!(Head::parse("pull:mul:2"), None);
        assert_eq!(Head::parse("batch:mul:1"), None);
    }
}
