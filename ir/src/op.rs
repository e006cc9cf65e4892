//! Every primitive, grouped by class.
//!
//! What holds for a class (shape, batching, fusion, code generation) is written once per class;
//! what holds for one primitive is a row in an exhaustive `match`. **To add a primitive**, add its
//! line here and follow the compiler.

use crate::dtype::{Dtype, Literal};
use crate::shape::Shape;
use smallvec::SmallVec;

macro_rules! class {
    ($(#[$doc:meta])* $Class:ident { $($(#[$line:meta])* $Variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Class { $($(#[$line])* $Variant,)* }
        impl $Class {
            /// Every primitive of the class.
            pub const ALL: &[$Class] = &[$($Class::$Variant,)*];
            /// The primitive's name in text, rules and errors.
            pub const fn name(self) -> &'static str {
                match self { $($Class::$Variant => $name,)* }
            }
            /// The primitive of that name.
            pub fn parse(name: &str) -> Option<$Class> {
                match name { $($name => Some($Class::$Variant),)* _ => None }
            }
        }
    };
    // A class with some that hold together, as a pattern of that name: what holds for all of them is one
    // arm of a `match`.
    ($(#[$doc:meta])* $Class:ident {
        $($before:tt)*
    } $(#[$doc_some:meta])* $some:ident {
        $($(#[$line:meta])* $Variant:ident = $name:literal,)*
    } and {
        $($after:tt)*
    }) => {
        class! { $(#[$doc])* $Class { $($before)* $($(#[$line])* $Variant = $name,)* $($after)* } }

        $(#[$doc_some])*
        #[macro_export]
        macro_rules! $some {
            () => { $($crate::$Class::$Variant)|* };
        }
    };
}

class! {
    /// Elementwise functions of one operand; the result has the operand's type.
    Unary {
        /// -x; of unsigned integers, what wraps around to it.
        Neg = "neg",
        /// |x|, of floats and signed integers.
        Abs = "abs",
        /// -1, 0 or 1 by the sign of x; a float zero keeps its sign, NaN stays NaN.
        Sign = "sign",
        /// The largest integer that isn't above x, as a float.
        Floor = "floor",
        /// The integer nearest to x, as a float; halves go to the even one.
        Round = "round",
        /// √x
        Sqrt = "sqrt",
        /// 1/√x
        Rsqrt = "rsqrt",
    }
    /// The functions of floats that [`math`](crate::math) computes, as a pattern.
    elementary {
        /// eˣ
        Exp = "exp",
        /// eˣ − 1
        Expm1 = "expm1",
        /// ln x
        Log = "log",
        /// ln (1 + x)
        Log1p = "log1p",
        /// sin x
        Sin = "sin",
        /// cos x
        Cos = "cos",
        /// arcsin x, in [−π/2, π/2].
        Asin = "asin",
        /// arccos x, in [0, π].
        Acos = "acos",
        /// arctan x, in [−π/2, π/2].
        Atan = "atan",
        /// tanh x
        Tanh = "tanh",
        /// 1 / (1 + e⁻ˣ)
        Logistic = "logistic",
        /// The error function, 2/√π ∫₀ˣ e^(−t²) dt.
        Erf = "erf",
        /// 1 − erf x, which keeps its digits for large x.
        Erfc = "erfc",
        /// The inverse of the error function, from (−1, 1).
        ErfInv = "erf_inv",
    }
    and {
        /// Logical complement of a bool, bitwise of an integer.
        Not = "not",
        /// x, with no derivative.
        StopGradient = "stop_gradient",
        /// x, which nothing is simplified through: what is computed from it is not what is computed from x.
        Barrier = "barrier",
    }
}

class! {
    /// Elementwise functions of two operands of one type and shape; the result has that type.
    Binary {
        /// x + y
        Add = "add",
        /// x − y
        Sub = "sub",
        /// x · y
        Mul = "mul",
        /// x / y. Of integers the quotient rounded to zero; where y is 0 every bit is set (−1, or the
        /// largest unsigned number), and it is x where y is −1 and −x overflows.
        Div = "div",
        /// What the quotient of x and y rounded to zero leaves, with the sign of x. Of integers x
        /// where y is 0, and 0 where y is −1.
        Rem = "rem",
        /// The angle of the point (y, x), in [−π, π]: `atan2 y x`.
        Atan2 = "atan2",
        /// x to the power y, of floats.
        Pow = "pow",
        /// The larger; NaN if either is NaN.
        Max = "max",
        /// The smaller; NaN if either is NaN.
        Min = "min",
        /// Logical (bool) or bitwise (integer) and.
        And = "and",
        /// Logical (bool) or bitwise (integer) or.
        Or = "or",
        /// Logical (bool) or bitwise (integer) exclusive or.
        Xor = "xor",
        /// The bits of x moved y places up; 0 where y is negative or not below how many bits x has.
        ShiftLeft = "shift_left",
        /// The bits of x moved y places down, zeros after them; 0 where y is negative or not below how
        /// many bits x has.
        ShiftRightLogical = "shift_right_logical",
        /// The bits of x moved y places down, copies of the highest one (a sign, if x has one) after
        /// them; nothing but that where y is negative or not below how many bits x has.
        ShiftRightArithmetic = "shift_right_arithmetic",
    }
}

class! {
    /// Elementwise comparisons of two operands of one type and shape; the result is `bool`.
    Compare {
        /// x = y
        Eq = "eq",
        /// x ≠ y (true when either is NaN)
        Ne = "ne",
        /// x < y
        Lt = "lt",
        /// x ≤ y
        Le = "le",
        /// x > y
        Gt = "gt",
        /// x ≥ y
        Ge = "ge",
    }
}

class! {
    /// Reductions over some axes, which disappear from the shape.
    Reduce {
        /// The sum; 0 over an empty axis.
        Sum = "reduce_sum",
        /// The largest, NaN if any is NaN; -inf (or the smallest integer) over an empty axis.
        Max = "reduce_max",
        /// The product; 1 over an empty axis.
        Prod = "reduce_prod",
    }
}

class! {
    /// Factorisations of matrices, the last two axes of an operand of floats; other axes are a batch.
    /// The factors are parts of one result, along its rows (in `lu` its columns too).
    Factor {
        /// `[n, n]`: the lower L with L Lᵀ = (x + xᵀ)/2, zero above the diagonal; NaN where the matrix is
        /// not positive definite.
        Cholesky = "cholesky",
        /// `[m, n]`, m ≥ n, to `[m, n + 1]`: of P x = L U, by partial pivoting, U and below it L, whose
        /// diagonal is 1; in the last column per row of P x the row of x that it is.
        Lu = "lu",
        /// `[m, n]`, m ≥ n, to `[m + n, n]`: of x = Q R the `[m, n]` Q, and below it the upper R.
        Qr = "qr",
        /// `[n, n]` to `[1 + n, n]`: of (x + xᵀ)/2 the eigenvalues, ascending, and below each its vector
        /// of length 1, of which the first component above half the largest is positive.
        Eigh = "eigh",
        /// `[m, n]`, m ≥ n, to `[1 + m + n, n]`: of x = U diag(σ) Vᵀ the singular values, descending, and
        /// below each its column of U and its column of V, signed as those of `eigh`.
        Svd = "svd",
    }
}

/// Which triangle a [`Linalg::TriangularSolve`] reads, and what of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Triangle {
    /// The triangle below the diagonal, else the one above it.
    pub lower: bool,
    /// The transpose of the triangle is what is solved with.
    pub transpose: bool,
    /// The diagonal is 1 and is not read.
    pub unit: bool,
}

/// What is computed of whole matrices, the last two axes of the operands; other axes are a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Linalg {
    /// A factorisation.
    Factor(Factor),
    /// `(a, b)`: the x with `a x = b`, for a triangle a `[n, n]` and b `[n, k]`.
    TriangularSolve(Triangle),
    /// `[2, n]`, n complex numbers as a row of real and a row of imaginary parts: their discrete
    /// Fourier transform Σ xⱼ e^(∓2πi jk/n), not divided by n.
    Fft {
        /// Whether the exponent's sign is +.
        inverse: bool,
    },
}

impl Linalg {
    /// The primitive's name.
    pub const fn name(self) -> &'static str {
        match self {
            Linalg::Factor(factor) => factor.name(),
            Linalg::TriangularSolve(_) => "triangular_solve",
            Linalg::Fft { .. } => "fft",
        }
    }

    /// How many operands it takes.
    pub const fn arity(self) -> usize {
        match self {
            Linalg::Factor(_) | Linalg::Fft { .. } => 1,
            Linalg::TriangularSolve(_) => 2,
        }
    }

    /// The rows and columns of the result for an operand (of a triangular solve the second) of so
    /// many; `None` if it takes none such, or they can't be counted.
    pub fn result(self, rows: usize, columns: usize) -> Option<[usize; 2]> {
        let tall = || (rows >= columns).then_some(());
        Some(match self {
            Linalg::Factor(Factor::Cholesky) => (rows == columns).then_some([rows, rows])?,
            // Rows are counted in the matrix's own floats.
            Linalg::Factor(Factor::Lu) => (rows <= 1 << 24).then_some(tall()?).map(|()| [rows, columns + 1])?,
            Linalg::Factor(Factor::Qr) => [tall().and(rows.checked_add(columns))?, columns],
            Linalg::Factor(Factor::Eigh) => [(rows == columns).then_some(rows.checked_add(1))??, columns],
            Linalg::Factor(Factor::Svd) => [tall().and(rows.checked_add(columns)?.checked_add(1))?, columns],
            Linalg::TriangularSolve(_) => [rows, columns],
            Linalg::Fft { .. } => (rows == 2).then_some([2, columns])?,
        })
    }
}

/// Axis numbers, in an order that means something (a permutation, pairs of contracted axes).
pub type Axes = SmallVec<[usize; 4]>;

/// Which axes a [`Op::DotGeneral`] contracts and which it shares.
///
/// The result's axes are the batch axes (in the order of `batch`), then what is left of the left
/// operand, then what is left of the right one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct DotDims {
    /// Contracted axes of the left and of the right operand, in pairs.
    pub contract: [Axes; 2],
    /// Shared axes of the left and of the right operand, in pairs.
    pub batch: [Axes; 2],
}

impl DotDims {
    /// The operand's axes that are neither contracted nor shared, in order. `side` is 0 for the
    /// left operand and 1 for the right one.
    ///
    /// # Panics
    /// If `side > 1`.
    pub fn free(&self, side: usize, rank: usize) -> Axes {
        (0..rank).filter(|a| !self.contract[side].contains(a) && !self.batch[side].contains(a)).collect()
    }
}

/// A primitive with its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// A scalar literal.
    Constant(Literal),
    /// Counts up along one axis: `0, 1, 2, …`.
    Iota {
        /// Not `bool`; integers wrap around.
        dtype: Dtype,
        /// The result's shape.
        shape: Shape,
        /// The axis that is counted along.
        axis: usize,
    },
    /// An elementwise function of one operand.
    Unary(Unary),
    /// An elementwise function of two operands.
    Binary(Binary),
    /// An elementwise comparison.
    Compare(Compare),
    /// `(predicate, on_true, on_false)`, elementwise; all three of one shape.
    Select,
    /// xⁿ for an integer n of any sign, by repeated multiplication.
    IntegerPow(i32),
    /// The same numbers as another type: float to integer truncates and saturates (NaN becomes 0),
    /// integer to integer keeps the low bits, to bool is `x != 0`.
    Convert(Dtype),
    /// Operand axis `i` becomes axis `dims[i]` of a result of shape `shape` (increasing dims);
    /// axes of length 1 stretch, the others are repeated over the new axes.
    BroadcastInDim {
        /// The result's shape.
        shape: Shape,
        /// Where each operand axis goes.
        dims: Axes,
    },
    /// The same elements in row-major order under another shape.
    Reshape(Shape),
    /// Result axis `i` is operand axis `perm[i]`.
    Transpose(Axes),
    /// A reduction over the axes listed (increasing).
    Reduce {
        /// Which reduction.
        kind: Reduce,
        /// The axes that disappear.
        axes: Axes,
    },
    /// Generalised matrix product of floats or integers.
    DotGeneral(DotDims),
    /// The elements from `start` up to `limit` along each axis.
    Slice {
        /// Per axis the first.
        start: Axes,
        /// Per axis the first beyond; not below `start`.
        limit: Axes,
    },
    /// `(x, value)`: x with a scalar around it.
    Pad {
        /// Per axis how often before x.
        low: Axes,
        /// Per axis how often after x.
        high: Axes,
    },
    /// The same elements in reverse along the axes listed (increasing).
    Reverse(Axes),
    /// One operand after the other along an axis.
    Concatenate(usize),
    /// `(x, indices)`: the elements of x at these positions along an axis; zero (false) at positions
    /// outside. The first `batch` axes are shared; then x's axes up to the axis, the other axes of
    /// the indices in its place, and x's axes after it.
    Take {
        /// The axis of x.
        axis: usize,
        /// How many leading axes x and the indices share; not above `axis`.
        batch: usize,
    },
    /// `(x, indices, updates)`: x with the updates, which are as [`Op::Take`] would give them,
    /// combined into where they were taken from, in row-major order of the updates; those outside
    /// are dropped.
    Scatter {
        /// What combines: sums or the largest.
        kind: Reduce,
        /// The axis of x.
        axis: usize,
        /// How many leading axes x and the indices share; not above `axis`.
        batch: usize,
    },
    /// Along an axis, where the elements are in ascending order: equals in the order they stand in,
    /// NaN last, zeros of both signs equal. The result is `i32`.
    Argsort(usize),
    /// A factorisation, a triangular solve or a Fourier transform of whole matrices.
    Linalg(Linalg),
}

impl Op {
    /// The primitive's name in text, rules and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Constant(_) => "constant",
            Op::Iota { .. } => "iota",
            Op::Unary(u) => u.name(),
            Op::Binary(b) => b.name(),
            Op::Compare(c) => c.name(),
            Op::Select => "select",
            Op::IntegerPow(_) => "integer_pow",
            Op::Convert(_) => "convert",
            Op::BroadcastInDim { .. } => "broadcast_in_dim",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Reduce { kind, .. } => kind.name(),
            Op::DotGeneral(_) => "dot_general",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Reverse(_) => "reverse",
            Op::Concatenate(_) => "concatenate",
            Op::Take { .. } => "take",
            Op::Scatter { kind, .. } => scatter_name(*kind),
            Op::Argsort(_) => "argsort",
            Op::Linalg(l) => l.name(),
        }
    }

    /// How many operands it takes.
    pub fn arity(&self) -> usize {
        match self {
            Op::Constant(_) | Op::Iota { .. } => 0,
            Op::Unary(_)
            | Op::IntegerPow(_)
            | Op::Convert(_)
            | Op::BroadcastInDim { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Reduce { .. }
            | Op::Slice { .. }
            | Op::Reverse(_)
            | Op::Argsort(_) => 1,
            Op::Linalg(l) => l.arity(),
            Op::Binary(_)
            | Op::Compare(_)
            | Op::DotGeneral(_)
            | Op::Pad { .. }
            | Op::Concatenate(_)
            | Op::Take { .. } => 2,
            Op::Select | Op::Scatter { .. } => 3,
        }
    }

    /// Whether result element `i` depends on element `i` of each operand alone.
    pub fn is_elementwise(&self) -> bool {
        match self {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::IntegerPow(_) | Op::Convert(_) => true,
            Op::Constant(_)
            | Op::Iota { .. }
            | Op::BroadcastInDim { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Reduce { .. }
            | Op::DotGeneral(_)
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Reverse(_)
            | Op::Concatenate(_)
            | Op::Take { .. }
            | Op::Scatter { .. }
            | Op::Argsort(_)
            | Op::Linalg(_) => false,
        }
    }

    /// One operation of every kind, for tests that must cover all primitives: names are unique.
    pub fn names() -> Vec<&'static str> {
        let mut names = vec!["constant", "iota", "select", "integer_pow", "convert"];
        names.extend(["broadcast_in_dim", "reshape", "transpose", "dot_general"]);
        names.extend(["slice", "pad", "reverse", "concatenate", "take", "argsort"]);
        names.extend(Reduce::ALL.iter().map(|r| scatter_name(*r)));
        names.extend(["triangular_solve", "fft"]);
        names.extend(Factor::ALL.iter().map(|f| f.name()));
        names.extend(Unary::ALL.iter().map(|u| u.name()));
        names.extend(Binary::ALL.iter().map(|b| b.name()));
        names.extend(Compare::ALL.iter().map(|c| c.name()));
        names.extend(Reduce::ALL.iter().map(|r| r.name()));
        names
    }
}

/// The name of the scatter that combines so.
pub const fn scatter_name(kind: Reduce) -> &'static str {
    match kind {
        Reduce::Sum => "scatter_add",
        Reduce::Max => "scatter_max",
        Reduce::Prod => "scatter_mul",
    }
}
