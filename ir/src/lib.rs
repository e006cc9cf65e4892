//! egrad's intermediate representation.
//!
//! Two levels live here, and nothing that rewrites or compiles them:
//!
//! * the **graph** level: [`Op`] (the primitives), [`Function`] and [`Program`] (dataflow graphs of
//!   primitives and of transforms applied to functions), with shape inference, a verifier, a text
//!   format and [`eval`], the reference interpreter every other part is tested against;
//! * the **kernel** level: [`kernel::Kernel`] (loop nests and contractions) and
//!   [`schedule::Schedule`] (kernels over buffers), which the backends compile.
//!
//! [`Array`] is the concrete tensor both levels run on, [`Error`] the one error type, and [`math`]
//! the elementary functions shared by the interpreter and the backends.

// First, for its pattern `elementary!`.
#[macro_use]
pub mod op;

pub mod array;
pub mod builder;
pub mod dtype;
mod erf;
pub mod error;
pub mod eval;
pub mod graph;
pub mod infer;
pub mod kernel;
pub mod linalg;
pub mod math;
pub mod print;
mod resident;
pub mod scalar;
pub mod schedule;
pub mod shape;
mod sortable;
pub mod text;
mod verify;

pub use array::Array;
pub use dtype::{Dtype, Element, Literal};
pub use error::{Error, Report, Result, Span};
pub use graph::{Aval, Control, FnId, Function, Node, NodeId, NodeKind, Policy, Program, Transform};
pub use half::{bf16, f16};
pub use op::{Binary, Compare, DotDims, Factor, Linalg, Op, Reduce, Triangle, Unary};
pub use resident::Resident;
pub use shape::Shape;
pub use sortable::Sortable;

/// How much freedom the compiler has with floating-point results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Numerics {
    /// Rounding may differ from the program as written: sums may be reordered, products and sums
    /// contracted, and the sign of a zero may change. NaN and infinity stay where they were.
    #[default]
    Fast,
    /// Every result has the bits the reference interpreter computes in its strict mode.
    Strict,
}
