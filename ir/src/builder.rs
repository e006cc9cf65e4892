//! Building graphs by hand, and the one place where NumPy's broadcasting becomes explicit.
//!
//! [`Recorder`] is what operations are recorded into: a [`Function`], a [`GraphBuilder`], or a
//! tracer with values of its own. Its provided methods insert the `broadcast_in_dim`s that
//! primitives of mixed shapes need, and normalise axes counted from the end.

use crate::dtype::{Dtype, Literal};
use crate::error::{Error, Result, Span};
use crate::graph::{Aval, Control, FnId, Function, NodeId, Program, Transform};
use crate::infer;
use crate::op::{Axes, Binary, Compare, DotDims, Linalg, Op, Reduce, Unary};
use crate::shape::Shape;
use smallvec::SmallVec;

/// Something operations are recorded into.
///
/// Implement the first three methods; the others are the same for everyone.
pub trait Recorder {
    /// What stands for a value that was recorded.
    type Value: Copy;

    /// A value's aval.
    ///
    /// # Errors
    /// If it is no value of this recorder.
    fn aval_of(&self, value: Self::Value) -> Result<Aval>;

    /// Where a value was made.
    fn span_of(&self, value: Self::Value) -> Span;

    /// Records a primitive as it stands, without broadcasting.
    ///
    /// # Errors
    /// If the operands don't fit the primitive or are no values of this recorder.
    fn record(&mut self, op: Op, args: &[Self::Value], span: Span) -> Result<Self::Value>;

    /// Broadcasts `x` to `shape` by NumPy's rule: the last axes are aligned, axes of length 1
    /// stretch. Records nothing if `x` has that shape.
    ///
    /// # Errors
    /// If `x` doesn't broadcast to that shape.
    fn broadcast_to(&mut self, x: Self::Value, shape: &Shape, span: Span) -> Result<Self::Value> {
        let aval = self.aval_of(x).map_err(|e| e.at(span))?;
        if aval.shape == *shape {
            return Ok(x);
        }
        if infer::broadcast(&aval.shape, shape).ok().as_ref() != Some(shape) {
            let m = format!("can't broadcast {aval} to {shape}: from the last axis, its lengths must be equal or 1");
            return Err(Error::shape(m).at(span).note(format!("{aval} was made here"), self.span_of(x)));
        }
        let dims = infer::broadcast_dims(&aval.shape, shape.rank());
        self.record(Op::BroadcastInDim { shape: shape.clone(), dims }, &[x], span)
    }

    /// Broadcasts values to the one shape they all broadcast to. `name` is the operation that
    /// wants it, for the error.
    ///
    /// # Errors
    /// If their shapes don't broadcast to one.
    fn broadcast_all(&mut self, name: &str, args: &[Self::Value], span: Span) -> Result<SmallVec<[Self::Value; 3]>> {
        let avals: Result<SmallVec<[Aval; 3]>> = args.iter().map(|a| self.aval_of(*a)).collect();
        let avals = avals.map_err(|e| e.at(span))?;
        let mut shape = avals.first().map_or(Shape::scalar(), |a| a.shape.clone());
        for aval in avals.iter().skip(1) {
            if aval.shape != shape {
                shape = infer::broadcast(&shape, &aval.shape).map_err(|_| {
                    let m = "don't broadcast: from the last axis, lengths must be equal or 1";
                    self.blame(Error::shape(format!("the operands of `{name}`, {}, {m}", list(&avals))), args, span)
                })?;
            }
        }
        args.iter().map(|a| self.broadcast_to(*a, &shape, span)).collect()
    }

    /// Records an elementwise primitive (of any class), its operands broadcast to one shape.
    ///
    /// # Errors
    /// If the operands' shapes don't broadcast or their types don't fit.
    fn elementwise(&mut self, op: Op, args: &[Self::Value], span: Span) -> Result<Self::Value> {
        let values = if let Op::Select = op { args.get(1..).unwrap_or_default() } else { args };
        let avals: Result<SmallVec<[Aval; 3]>> = values.iter().map(|a| self.aval_of(*a)).collect();
        let avals = avals.map_err(|e| e.at(span))?;
        if avals.iter().any(|a| a.dtype != avals[0].dtype) {
            let m = format!("`{}` takes operands of one type, not {}: convert one of them", op.name(), list(&avals));
            return Err(self.blame(Error::dtype(m), values, span));
        }
        let args = self.broadcast_all(op.name(), args, span)?;
        self.record(op, &args, span)
    }

    /// The literal in every element of a tensor of that shape.
    ///
    /// # Errors
    /// If the tensor would be too large for any memory.
    fn full(&mut self, shape: &Shape, value: Literal, span: Span) -> Result<Self::Value> {
        let scalar = self.record(Op::Constant(value), &[], span)?;
        self.broadcast_to(scalar, shape, span)
    }

    /// A reduction over axes that may count from the end; with `keep` they stay, with length 1.
    ///
    /// # Errors
    /// If an axis is out of range or repeated, or the type doesn't fit.
    fn reduce(&mut self, kind: Reduce, x: Self::Value, axes: &[isize], keep: bool, span: Span) -> Result<Self::Value> {
        let shape = self.aval_of(x).map_err(|e| e.at(span))?.shape;
        let axes = normalize_axes(axes, shape.rank()).map_err(|e| self.blame(e, &[x], span))?;
        let reduced = self.record(Op::Reduce { kind, axes: axes.clone() }, &[x], span)?;
        if !keep || axes.is_empty() {
            return Ok(reduced);
        }
        let kept = shape.iter().enumerate().map(|(i, n)| if axes.contains(&i) { 1 } else { *n });
        self.record(Op::Reshape(kept.collect()), &[reduced], span)
    }

    /// Result axis `i` is operand axis `perm[i]`, which may count from the end.
    ///
    /// # Errors
    /// If `perm` is no permutation of the axes.
    fn transpose(&mut self, x: Self::Value, perm: &[isize], span: Span) -> Result<Self::Value> {
        let rank = self.aval_of(x).map_err(|e| e.at(span))?.shape.rank();
        let perm: Result<Axes> = perm.iter().map(|a| normalize_axis(*a, rank)).collect();
        let perm = perm.map_err(|e| self.blame(e, &[x], span))?;
        self.record(Op::Transpose(perm), &[x], span)
    }

    /// The error, placed at `span`, with a note on where each operand was made.
    fn blame(&self, error: Error, args: &[Self::Value], span: Span) -> Error {
        args.iter().enumerate().fold(error.at(span), |e, (i, a)| match self.aval_of(*a) {
            Ok(aval) => e.note(format!("operand {i}, {aval}, was made here"), self.span_of(*a)),
            Err(_) => e,
        })
    }
}

fn list(avals: &[Aval]) -> String {
    avals.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(" and ")
}

/// The axis `axis` stands for in a tensor of `rank` axes: negative ones count from the end.
///
/// # Errors
/// If there is no such axis.
///
/// ```
/// use egrad_ir::builder::normalize_axis;
/// assert_eq!(normalize_axis(-1, 3)?, 2);
/// assert!(normalize_axis(3, 3).is_err());
/// # Ok::<(), egrad_ir::Error>(())
/// ```
pub fn normalize_axis(axis: isize, rank: usize) -> Result<usize> {
    let index = if axis < 0 { rank.checked_sub(axis.unsigned_abs()) } else { Some(axis.unsigned_abs()) };
    index.filter(|i| *i < rank).ok_or_else(|| match rank {
        0 => Error::axis(format!("axis {axis} is out of range: a scalar has no axes")),
        n => Error::axis(format!("axis {axis} is out of range for rank {n}: it must be from -{n} to {}", n - 1)),
    })
}

/// The axes in increasing order, negative ones counted from the end.
///
/// # Errors
/// If there is no such axis, or one is named twice.
pub fn normalize_axes(axes: &[isize], rank: usize) -> Result<Axes> {
    let normal: Result<Axes> = axes.iter().map(|a| normalize_axis(*a, rank)).collect();
    let mut normal = normal?;
    normal.sort_unstable();
    match normal.windows(2).find(|w| w[0] == w[1]) {
        Some(w) => Err(Error::axis(format!("axis {} is named twice in {axes:?}", w[0]))),
        None => Ok(normal),
    }
}

impl Recorder for Function {
    type Value = NodeId;

    fn aval_of(&self, value: NodeId) -> Result<Aval> {
        if value.index() >= self.len() {
            let m = format!("{value} is no value of function `{}`, which has {} nodes", self.name, self.len());
            return Err(Error::trace(m));
        }
        if self.node(value).kind.is_tuple() {
            return Err(Error::trace(format!("{value} is a tuple of function `{}`: take a result of it", self.name)));
        }
        Ok(self.aval(value).clone())
    }

    fn span_of(&self, value: NodeId) -> Span {
        if value.index() < self.len() { self.node(value).span } else { Span::Unknown }
    }

    fn record(&mut self, op: Op, args: &[NodeId], span: Span) -> Result<NodeId> {
        for a in args {
            self.aval_of(*a).map_err(|e| e.at(span))?;
        }
        self.add(op, args, span)
    }
}

/// Builds one function of a [`Program`] without tracing: a method per primitive.
///
/// Elementwise operations broadcast as NumPy's do; axes may be negative and count from the end.
/// Every method's errors name the operands, the line that called it and the lines the operands
/// were made on.
///
/// ```
/// use egrad_ir::{Array, Dtype, Program, builder::GraphBuilder, eval::{Elementary, eval}};
/// let mut program = Program::new();
///
/// // The squared distance from a centre.
/// let mut b = GraphBuilder::new(&mut program, "distance");
/// let x = b.param(Dtype::F32, [3])?;
/// let two = b.constant(Dtype::F32, 2.0)?;
/// let offset = b.sub(x, two)?; // broadcasts
/// let squares = b.mul(offset, offset)?;
/// let sum = b.reduce_sum(squares, &[-1])?;
/// let distance = b.finish(&[sum])?;
///
/// let x = Array::from_vec(vec![2.0f32, 3.0, 5.0], [3])?;
/// let out = eval(program.function(distance), &[&x], Elementary::Std)?;
/// assert_eq!(out[0].item::<f32>()?, 10.0);
///
/// // The same of every row.
/// let mut b = GraphBuilder::new(&mut program, "main");
/// let rows = b.param(Dtype::F32, [2, 3])?;
/// let sums = b.vmap(distance, &[Some(0)], &[0], 2, &[rows])?;
/// b.finish(&sums)?;
/// program.verify()?;
/// # Ok::<(), egrad_ir::Error>(())
/// ```
#[derive(Debug)]
pub struct GraphBuilder<'p> {
    program: &'p mut Program,
    function: Function,
}

impl Recorder for GraphBuilder<'_> {
    type Value = NodeId;

    fn aval_of(&self, value: NodeId) -> Result<Aval> {
        self.function.aval_of(value)
    }

    fn span_of(&self, value: NodeId) -> Span {
        self.function.span_of(value)
    }

    fn record(&mut self, op: Op, args: &[NodeId], span: Span) -> Result<NodeId> {
        self.function.record(op, args, span)
    }
}

/// One-line methods for the primitives of a class.
macro_rules! methods {
    ($Class:ident $args:tt $($(#[$doc:meta])* $name:ident = $Variant:ident;)*) => {
        $(methods! { @ $Class $args $(#[$doc])* $name $Variant })*
    };
    (@ $Class:ident ($($arg:ident),*) $(#[$doc:meta])* $name:ident $Variant:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// If the operands' shapes don't broadcast to one or their types don't fit.
        #[track_caller]
        pub fn $name(&mut self, $($arg: NodeId),*) -> Result<NodeId> {
            self.elementwise(Op::$Class($Class::$Variant), &[$($arg),*], Span::here())
        }
    };
}

impl<'p> GraphBuilder<'p> {
    /// Starts a function of the program. The functions it applies transforms to are finished
    /// before.
    pub fn new(program: &'p mut Program, name: impl Into<String>) -> GraphBuilder<'p> {
        GraphBuilder { program, function: Function::new(name, []) }
    }

    /// Adds a parameter after those there are.
    ///
    /// # Errors
    /// If something else was recorded already.
    #[track_caller]
    pub fn param(&mut self, dtype: Dtype, shape: impl Into<Shape>) -> Result<NodeId> {
        let span = Span::here();
        if self.function.len() != self.function.params().len() {
            return Err(Error::tree("declare the parameters before recording anything else").at(span));
        }
        let aval = Aval::new(dtype, shape);
        infer::check_size("a parameter", &aval).map_err(|e| e.at(span))?;
        Ok(self.function.add_param(aval, span))
    }

    /// Says what the function returns and adds it to the program.
    ///
    /// # Errors
    /// If a result is no value of this function.
    #[track_caller]
    pub fn finish(mut self, results: &[NodeId]) -> Result<FnId> {
        let span = Span::here();
        for r in results {
            self.function.aval_of(*r).map_err(|e| e.at(span))?;
        }
        self.function.set_results(results.to_vec());
        Ok(self.program.add(self.function))
    }

    /// The function as built so far.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The program it is built for.
    pub fn program(&self) -> &Program {
        self.program
    }

    methods! { Unary (x)
        /// −x
        neg = Neg;
        /// |x|
        abs = Abs;
        /// −1, 0 or 1 by the sign of x; a float zero keeps its sign, NaN stays NaN.
        sign = Sign;
        /// The largest integer that isn't above x.
        floor = Floor;
        /// The integer nearest to x; halves go to the even one.
        round = Round;
        /// √x
        sqrt = Sqrt;
        /// 1/√x
        rsqrt = Rsqrt;
        /// eˣ
        exp = Exp;
        /// eˣ − 1
        expm1 = Expm1;
        /// ln x
        log = Log;
        /// ln (1 + x)
        log1p = Log1p;
        /// sin x
        sin = Sin;
        /// cos x
        cos = Cos;
        /// arcsin x
        asin = Asin;
        /// arccos x
        acos = Acos;
        /// arctan x
        atan = Atan;
        /// tanh x
        tanh = Tanh;
        /// 1 / (1 + e⁻ˣ)
        logistic = Logistic;
        /// The error function.
        erf = Erf;
        /// 1 − erf x
        erfc = Erfc;
        /// The inverse of the error function.
        erf_inv = ErfInv;
        /// Logical complement of bools, bitwise of integers.
        not = Not;
        /// x, with no derivative.
        stop_gradient = StopGradient;
        /// x, which nothing is simplified through.
        barrier = Barrier;
    }

    methods! { Binary (x, y)
        /// x + y
        add = Add;
        /// x − y
        sub = Sub;
        /// x · y
        mul = Mul;
        /// x / y; of integers rounded to zero.
        div = Div;
        /// What that quotient, rounded to zero, leaves.
        rem = Rem;
        /// The angle of the point (y, x).
        atan2 = Atan2;
        /// x to the power y, of floats.
        pow = Pow;
        /// The larger; NaN if either is NaN.
        max = Max;
        /// The smaller; NaN if either is NaN.
        min = Min;
        /// Logical (bool) or bitwise (integer) and.
        and = And;
        /// Logical (bool) or bitwise (integer) or.
        or = Or;
        /// Logical (bool) or bitwise (integer) exclusive or.
        xor = Xor;
        /// The bits of an integer moved y places up.
        shift_left = ShiftLeft;
        /// The bits of an integer moved y places down, zeros after them.
        shift_right_logical = ShiftRightLogical;
        /// The bits of an integer moved y places down, copies of the sign after them.
        shift_right_arithmetic = ShiftRightArithmetic;
    }

    methods! { Compare (x, y)
        /// x = y
        eq = Eq;
        /// x ≠ y
        ne = Ne;
        /// x < y
        lt = Lt;
        /// x ≤ y
        le = Le;
        /// x > y
        gt = Gt;
        /// x ≥ y
        ge = Ge;
    }

    /// `on_true` where the predicate holds, `on_false` elsewhere; all three broadcast.
    ///
    /// # Errors
    /// If the shapes don't broadcast to one, the predicate is no bool, or the values' types differ.
    #[track_caller]
    pub fn select(&mut self, predicate: NodeId, on_true: NodeId, on_false: NodeId) -> Result<NodeId> {
        self.elementwise(Op::Select, &[predicate, on_true, on_false], Span::here())
    }

    /// xⁿ by repeated multiplication.
    ///
    /// # Errors
    /// If x is a bool, or an integer and n negative.
    #[track_caller]
    pub fn integer_pow(&mut self, x: NodeId, n: i32) -> Result<NodeId> {
        self.record(Op::IntegerPow(n), &[x], Span::here())
    }

    /// The same numbers as another type; nothing is recorded if it is theirs.
    ///
    /// # Errors
    /// If `x` is no value of this function.
    #[track_caller]
    pub fn convert(&mut self, x: NodeId, dtype: Dtype) -> Result<NodeId> {
        let span = Span::here();
        if self.aval_of(x).map_err(|e| e.at(span))?.dtype == dtype {
            return Ok(x);
        }
        self.record(Op::Convert(dtype), &[x], span)
    }

    /// The scalar `value`, rounded as by [`Literal::new`].
    ///
    /// # Errors
    /// None today.
    #[track_caller]
    pub fn constant(&mut self, dtype: Dtype, value: f64) -> Result<NodeId> {
        self.record(Op::Constant(Literal::new(dtype, value)), &[], Span::here())
    }

    /// A scalar literal.
    ///
    /// # Errors
    /// None today.
    #[track_caller]
    pub fn literal(&mut self, value: Literal) -> Result<NodeId> {
        self.record(Op::Constant(value), &[], Span::here())
    }

    /// `0, 1, 2, …` along `axis`.
    ///
    /// # Errors
    /// If there is no such axis or the type is bool.
    #[track_caller]
    pub fn iota(&mut self, dtype: Dtype, shape: impl Into<Shape>, axis: isize) -> Result<NodeId> {
        let (span, shape) = (Span::here(), shape.into());
        let axis = normalize_axis(axis, shape.rank()).map_err(|e| e.at(span))?;
        self.record(Op::Iota { dtype, shape, axis }, &[], span)
    }

    /// Broadcasts to a shape by NumPy's rule; nothing is recorded if `x` has it.
    ///
    /// # Errors
    /// If `x` doesn't broadcast to that shape.
    #[track_caller]
    pub fn broadcast_to(&mut self, x: NodeId, shape: impl Into<Shape>) -> Result<NodeId> {
        Recorder::broadcast_to(self, x, &shape.into(), Span::here())
    }

    /// Operand axis `i` becomes axis `dims[i]` of a result of that shape.
    ///
    /// # Errors
    /// If the axes don't increase, are out of range, or have lengths that don't stretch.
    #[track_caller]
    pub fn broadcast_in_dim(&mut self, x: NodeId, shape: impl Into<Shape>, dims: &[usize]) -> Result<NodeId> {
        self.record(Op::BroadcastInDim { shape: shape.into(), dims: dims.into() }, &[x], Span::here())
    }

    /// The same elements in row-major order under another shape.
    ///
    /// # Errors
    /// If the element counts differ.
    #[track_caller]
    pub fn reshape(&mut self, x: NodeId, shape: impl Into<Shape>) -> Result<NodeId> {
        self.record(Op::Reshape(shape.into()), &[x], Span::here())
    }

    /// Result axis `i` is operand axis `perm[i]`.
    ///
    /// # Errors
    /// If `perm` is no permutation of the axes.
    #[track_caller]
    pub fn transpose(&mut self, x: NodeId, perm: &[isize]) -> Result<NodeId> {
        Recorder::transpose(self, x, perm, Span::here())
    }

    /// The sum over some axes, which disappear.
    ///
    /// # Errors
    /// If an axis is out of range or repeated, or `x` is bool.
    #[track_caller]
    pub fn reduce_sum(&mut self, x: NodeId, axes: &[isize]) -> Result<NodeId> {
        self.reduce(Reduce::Sum, x, axes, false, Span::here())
    }

    /// The largest over some axes, which disappear.
    ///
    /// # Errors
    /// If an axis is out of range or repeated, or `x` is bool.
    #[track_caller]
    pub fn reduce_max(&mut self, x: NodeId, axes: &[isize]) -> Result<NodeId> {
        self.reduce(Reduce::Max, x, axes, false, Span::here())
    }

    /// The product over some axes, which disappear.
    ///
    /// # Errors
    /// If an axis is out of range or repeated, or `x` is bool.
    #[track_caller]
    pub fn reduce_prod(&mut self, x: NodeId, axes: &[isize]) -> Result<NodeId> {
        self.reduce(Reduce::Prod, x, axes, false, Span::here())
    }

    /// The generalised matrix product.
    ///
    /// # Errors
    /// If the axes don't pair up or the types don't fit.
    #[track_caller]
    pub fn dot_general(&mut self, x: NodeId, y: NodeId, dims: DotDims) -> Result<NodeId> {
        self.record(Op::DotGeneral(dims), &[x, y], Span::here())
    }

    /// The elements from `start` up to `limit` along each axis.
    ///
    /// # Errors
    /// If a part isn't inside its axis.
    #[track_caller]
    pub fn slice(&mut self, x: NodeId, start: &[usize], limit: &[usize]) -> Result<NodeId> {
        self.record(Op::Slice { start: start.into(), limit: limit.into() }, &[x], Span::here())
    }

    /// `x` with the scalar `value` around it, so often before and after along each axis.
    ///
    /// # Errors
    /// If the value isn't a scalar of x's type or an axis has no numbers.
    #[track_caller]
    pub fn pad(&mut self, x: NodeId, value: NodeId, low: &[usize], high: &[usize]) -> Result<NodeId> {
        self.record(Op::Pad { low: low.into(), high: high.into() }, &[x, value], Span::here())
    }

    /// The same elements in reverse along these axes, which increase.
    ///
    /// # Errors
    /// If an axis is out of range.
    #[track_caller]
    pub fn reverse(&mut self, x: NodeId, axes: &[usize]) -> Result<NodeId> {
        self.record(Op::Reverse(axes.into()), &[x], Span::here())
    }

    /// `x`, then `y`, along an axis.
    ///
    /// # Errors
    /// If their types or other axes differ.
    #[track_caller]
    pub fn concatenate(&mut self, x: NodeId, y: NodeId, axis: usize) -> Result<NodeId> {
        self.record(Op::Concatenate(axis), &[x, y], Span::here())
    }

    /// The elements of `x` at positions along an axis; see [`Op::Take`].
    ///
    /// # Errors
    /// If the indices aren't i32 or don't share `batch` leading axes with x.
    #[track_caller]
    pub fn take(&mut self, x: NodeId, indices: NodeId, axis: usize, batch: usize) -> Result<NodeId> {
        self.record(Op::Take { axis, batch }, &[x, indices], Span::here())
    }

    /// `x` with updates combined into these positions along an axis; see [`Op::Scatter`].
    ///
    /// # Errors
    /// As [`take`](Self::take), or if the updates aren't what it would give.
    #[track_caller]
    pub fn scatter(
        &mut self,
        kind: Reduce,
        x: NodeId,
        indices: NodeId,
        updates: NodeId,
        axis: usize,
        batch: usize,
    ) -> Result<NodeId> {
        self.record(Op::Scatter { kind, axis, batch }, &[x, indices, updates], Span::here())
    }

    /// Where the elements are in ascending order along an axis; see [`Op::Argsort`].
    ///
    /// # Errors
    /// If the axis is out of range.
    #[track_caller]
    pub fn argsort(&mut self, x: NodeId, axis: usize) -> Result<NodeId> {
        self.record(Op::Argsort(axis), &[x], Span::here())
    }

    /// A factorisation, triangular solve or Fourier transform; see [`Op::Linalg`].
    ///
    /// # Errors
    /// If the operands are no floats, or no matrices of the shapes it takes.
    #[track_caller]
    pub fn linalg(&mut self, kind: Linalg, operands: &[NodeId]) -> Result<NodeId> {
        self.record(Op::Linalg(kind), operands, Span::here())
    }

    /// The results of a transformed function. See [`Transform`] for its operands.
    ///
    /// # Errors
    /// If there is no such function or the operands don't fit.
    #[track_caller]
    pub fn apply(&mut self, transform: Transform, callee: FnId, args: &[NodeId]) -> Result<Vec<NodeId>> {
        let span = Span::here();
        if callee.index() >= self.program.functions().len() {
            return Err(Error::tree(format!("the program has no function {callee}: finish it first")).at(span));
        }
        let avals: Result<Vec<Aval>> = args.iter().map(|a| self.aval_of(*a)).collect();
        let avals = self.program.apply_avals(&transform, callee, &avals.map_err(|e| e.at(span))?);
        let avals = avals.map_err(|e| self.blame(e, args, span))?;
        Ok(self.function.apply(transform, callee, args, avals, span))
    }

    /// The results of a loop or branch. See [`Control`] for its operands.
    ///
    /// # Errors
    /// If there is no such function, or the functions or the operands don't fit.
    #[track_caller]
    pub fn control(&mut self, control: Control, args: &[NodeId]) -> Result<Vec<NodeId>> {
        let span = Span::here();
        let avals: Result<Vec<Aval>> = args.iter().map(|a| self.aval_of(*a)).collect();
        let avals = self.program.control_avals(&control, &avals.map_err(|e| e.at(span))?);
        let avals = avals.map_err(|e| self.blame(e, args, span))?;
        Ok(self.function.control(control, args, avals, span))
    }

    /// The results of a function itself.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    #[track_caller]
    pub fn call(&mut self, callee: FnId, args: &[NodeId]) -> Result<Vec<NodeId>> {
        self.apply(Transform::Call, callee, args)
    }

    /// The results, then their tangents: `args` are the parameters, then a tangent per `wrt`.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    #[track_caller]
    pub fn jvp(&mut self, callee: FnId, wrt: &[usize], args: &[NodeId]) -> Result<Vec<NodeId>> {
        self.apply(Transform::Jvp { wrt: wrt.to_vec() }, callee, args)
    }

    /// The results, then a gradient per `wrt`: `args` are the parameters, then a cotangent per
    /// float result.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    #[track_caller]
    pub fn vjp(&mut self, callee: FnId, wrt: &[usize], args: &[NodeId]) -> Result<Vec<NodeId>> {
        self.apply(Transform::Vjp { wrt: wrt.to_vec() }, callee, args)
    }

    /// The function of every element along an axis of the operands.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    #[track_caller]
    pub fn vmap(
        &mut self,
        callee: FnId,
        in_axes: &[Option<usize>],
        out_axes: &[usize],
        size: usize,
        args: &[NodeId],
    ) -> Result<Vec<NodeId>> {
        let transform = Transform::Vmap { in_axes: in_axes.to_vec(), out_axes: out_axes.to_vec(), size };
        self.apply(transform, callee, args)
    }
}
