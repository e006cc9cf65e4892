//! Programs as text: what is printed parses back to the same program.
//!
//! ```text
//! egrad 1
//!
//! fn @0 squared_error(%0: f32[], %1: f32[], %2: f32[], %3: f32[]) -> (f32[]) {
//!   %4: f32[] = mul %0 %2
//!   %5: f32[] = add %4 %1
//!   %6: f32[] = sub %5 %3
//!   %7: f32[] = integer_pow %6 {n = 2}
//!   return %7
//! }
//!
//! fn @1 main(%0: f32[], %1: f32[], %2: f32[5], %3: f32[5]) -> (f32[5]) {
//!   %4: (f32[5]) = vmap @0 %0 %1 %2 %3 {in_axes = [_, _, 0, 0], out_axes = [0], size = 5}
//!   %5: f32[5] = get %4 {index = 0}   # or // a comment
//!   return %5
//! }
//! ```
//!
//! Loops and branches are over functions too; a `while` has its condition first:
//!
//! ```text
//!   %3: (f32[], f32[4]) = scan @0 %0 %1 %2 {consts = 1, carry = 1, length = 4, reverse = false}
//!   %4: (f32[]) = while @1 @2 %0 {cond_consts = 0, body_consts = 0}
//!   %5: (f32[]) = switch @3 @4 @5 %6 %0
//! ```
//!
//! What looks at the elements of a batch says how many `vmap`s further out that is, and its size:
//!
//! ```text
//!   %6: (f32[3]) = all_gather %0 {up = 0, size = 3}
//!   %7: (i32[]) = axis_index {up = 1, size = 5}
//! ```
//!
//! Line breaks and indentation are free. Ids name values within their function and functions
//! within the program; any distinct numbers will do, and printing renumbers them. The types of
//! parameters must be written; those of other values may be left out (but for a `constant`'s,
//! unless its value is `true` or `false`), as may a function's id and result types. What is written
//! is checked.

pub(crate) mod cursor;
mod parse;

use crate::graph::{Control, Function, Node, NodeId, NodeKind, Policy, Program, Transform};
use crate::op::{Linalg, Op, Triangle};
use std::fmt;

/// A name as text: bare where it is an identifier, else quoted.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.bytes();
        let bare = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        if bare { f.write_str(self.0) } else { Quoted(self.0).fmt(f) }
    }
}

/// A text between quotes.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Things with a separator between them.
struct Join<I>(I, &'static str);

impl<T: fmt::Display, I: Iterator<Item = T> + Clone> fmt::Display for Join<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, x) in self.0.clone().enumerate() {
            write!(f, "{}{x}", if i > 0 { self.1 } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Program {
    /// The text [`Program::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("egrad 1\n")?;
        for (id, function) in self.functions() {
            write!(f, "\nfn {id} ")?;
            body(f, function)?;
        }
        Ok(())
    }
}

impl fmt::Display for Function {
    /// The function as it stands in a program's text, without an id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fn ")?;
        body(f, self)
    }
}

fn body(f: &mut fmt::Formatter<'_>, function: &Function) -> fmt::Result {
    write!(f, "{}(", Name(&function.name))?;
    for (i, p) in function.params().enumerate() {
        write!(f, "{}{p}: {}", if i > 0 { ", " } else { "" }, function.aval(p))?;
    }
    f.write_str(") -> (")?;
    for (i, r) in function.results().iter().enumerate() {
        write!(f, "{}{}", if i > 0 { ", " } else { "" }, function.aval(*r))?;
    }
    f.write_str(") {\n")?;
    for (id, node) in function.nodes().skip(function.params().len()) {
        line(f, id, node)?;
    }
    f.write_str("  return")?;
    function.results().iter().try_for_each(|r| write!(f, " {r}"))?;
    f.write_str("\n}\n")
}

fn line(f: &mut fmt::Formatter<'_>, id: NodeId, node: &Node) -> fmt::Result {
    match &node.kind {
        NodeKind::Apply(..) | NodeKind::Control(_) => {
            write!(f, "  {id}: ({}) = ", Join(node.avals.iter(), ", "))?;
        }
        NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => {
            write!(f, "  {id}: {} = ", Join(node.avals.iter(), ", "))?;
        }
    }
    match &node.kind {
        NodeKind::Param(i) => write!(f, "param {i}")?,
        NodeKind::Op(op) => f.write_str(op.name())?,
        NodeKind::Apply(transform, callee) => write!(f, "{} {callee}", transform.name())?,
        NodeKind::Control(control) => {
            f.write_str(control.name())?;
            control.callees().iter().try_for_each(|callee| write!(f, " {callee}"))?;
        }
        NodeKind::Get(_) => f.write_str("get")?,
    }
    node.args.iter().try_for_each(|a| write!(f, " {a}"))?;
    match &node.kind {
        NodeKind::Param(_) => {}
        NodeKind::Op(op) => op_attrs(f, op)?,
        NodeKind::Apply(Transform::Call, _) => {}
        NodeKind::Apply(Transform::Jvp { wrt } | Transform::Vjp { wrt }, _) => {
            write!(f, " {{wrt = [{}]}}", Join(wrt.iter(), ", "))?;
        }
        NodeKind::Apply(Transform::Vmap { in_axes, out_axes, size }, _) => {
            f.write_str(" {in_axes = [")?;
            for (i, axis) in in_axes.iter().enumerate() {
                f.write_str(if i > 0 { ", " } else { "" })?;
                match axis {
                    Some(axis) => write!(f, "{axis}")?,
                    None => f.write_str("_")?,
                }
            }
            write!(f, "], out_axes = [{}], size = {size}}}", Join(out_axes.iter(), ", "))?;
        }
        NodeKind::Apply(Transform::CustomJvp { params, results } | Transform::CustomVjp { params, results }, _) => {
            write!(f, " {{params = {params}, results = {results}}}")?;
        }
        NodeKind::Apply(Transform::Checkpoint { policy }, _) => {
            write!(f, " {{policy = {}", policy.name())?;
            if let Policy::Names(names) = policy {
                write!(f, ", names = [{}]", Join(names.iter().map(|n| Quoted(n)), ", "))?;
            }
            f.write_str("}")?;
        }
        NodeKind::Apply(Transform::Named { name }, _) => write!(f, " {{name = {}}}", Quoted(name))?,
        NodeKind::Control(Control::Scan { consts, carry, length, reverse, .. }) => {
            write!(f, " {{consts = {consts}, carry = {carry}, length = {length}, reverse = {reverse}}}")?;
        }
        NodeKind::Control(Control::While { cond_consts, body_consts, .. }) => {
            write!(f, " {{cond_consts = {cond_consts}, body_consts = {body_consts}}}")?;
        }
        NodeKind::Control(Control::Switch { .. } | Control::Either { .. }) => {}
        NodeKind::Control(Control::AllGather { up, size } | Control::AxisIndex { up, size }) => {
            write!(f, " {{up = {up}, size = {size}}}")?;
        }
        NodeKind::Control(Control::Print { format, levels }) => {
            write!(f, " {{format = {}, levels = {levels:?}}}", Quoted(format))?;
        }
        NodeKind::Get(i) => write!(f, " {{index = {i}}}")?,
    }
    f.write_str("\n")
}

fn op_attrs(f: &mut fmt::Formatter<'_>, op: &Op) -> fmt::Result {
    match op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select => Ok(()),
        Op::Constant(literal) => write!(f, " {{value = {literal}}}"),
        Op::Iota { dtype, shape, axis } => write!(f, " {{dtype = {dtype}, shape = {shape}, axis = {axis}}}"),
        Op::IntegerPow(n) => write!(f, " {{n = {n}}}"),
        Op::Convert(dtype) => write!(f, " {{dtype = {dtype}}}"),
        Op::BroadcastInDim { shape, dims } => write!(f, " {{shape = {shape}, dims = {dims:?}}}"),
        Op::Reshape(shape) => write!(f, " {{shape = {shape}}}"),
        Op::Transpose(perm) => write!(f, " {{perm = {perm:?}}}"),
        Op::Reduce { axes, .. } => write!(f, " {{axes = {axes:?}}}"),
        Op::DotGeneral(dims) => {
            let ([x, y], [a, b]) = (&dims.contract, &dims.batch);
            write!(f, " {{contract = [{x:?}, {y:?}], batch = [{a:?}, {b:?}]}}")
        }
        Op::Slice { start, limit } => write!(f, " {{start = {start:?}, limit = {limit:?}}}"),
        Op::Pad { low, high } => write!(f, " {{low = {low:?}, high = {high:?}}}"),
        Op::Reverse(axes) => write!(f, " {{axes = {axes:?}}}"),
        Op::Concatenate(axis) | Op::Argsort(axis) => write!(f, " {{axis = {axis}}}"),
        Op::Linalg(Linalg::Factor(_)) => Ok(()),
        Op::Linalg(Linalg::TriangularSolve(Triangle { lower, transpose, unit })) => {
            write!(f, " {{lower = {lower}, transpose = {transpose}, unit = {unit}}}")
        }
        Op::Linalg(Linalg::Fft { inverse }) => write!(f, " {{inverse = {inverse}}}"),
        Op::Take { axis, batch } | Op::Scatter { kind: _, axis, batch } => {
            write!(f, " {{axis = {axis}, batch = {batch}}}")
        }
    }
}
