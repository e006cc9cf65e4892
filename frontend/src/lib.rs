//! egrad.
mod axes;
mod device;
mod function;
mod functions;
mod jit;
mod raise;
mod tensor;
mod trace;
mod transform;
mod tree;

pub use egrad_derive::Tree;
pub use device::{Device, Options};
pub use egrad_ir::{Array, Aval, Dtype, Element, Error, Literal, Numerics, Program, Result, Shape, Span};
pub use function::{ArgAt, Args, Function};
pub use functions::stack;
pub use axes::Axes;
pub use jit::{Compiled, Jit, Report, eager, jit, trace, trace_avals};
pub use tensor::*;
pub use transform::*;
pub use tree::{Flat, Leaf, Parts, Traced, Tree};
