//! Kernels as text.
//!
//! ```text
//! kernel row_sum(b0: read f32[4096], b1: write f32[4]) fast {
//!   parallel p0 in 0..4 {
//!     for r0 in 0..1024 {
//!       %0 = load b0[1024*p0 + r0]
//!       %1 = reduce_sum %0
//!     }
//!     once {
//!       store b1[p0] = %1
//!     }
//!   }
//! }
//!
//! kernel shifted(b0: read f32[4], b1: write f32[6]) fast {
//!   parallel p0 in 0..6 {
//!     once {
//!       %0 = load b0[0] at p0 + -1 in 0..4 by 1
//!       %1 = within p0 + -1 in 0..4
//!       store b1[p0] = %0
//!     }
//!   }
//! }
//!
//! kernel product(b0: read f32[6], b1: read f32[6], b2: write f32[4]) strict {
//!   contract f32 batch [] m 2 n 2 k 3 {
//!     a = b0 offset 0 batch [] row 3 column 1
//!     b = b1 offset 0 batch [] row 2 column 1
//!     c = b2 offset 0 batch [] row 2 column 1
//!   }
//! }
//!
//! kernel histogram(b0: read f32[4], b1: read i32[6], b2: read f32[6], b3: write f32[4]) fast {
//!   scatter reduce_sum batch 1 between 1 length 4 inner 1 taken 6 {
//!     x = b0
//!     indices = b1
//!     updates = b2
//!     result = b3
//!   }
//! }
//!
//! kernel order(b0: read f32[6], b1: write i32[6]) fast {
//!   argsort outer 2 length 3 inner 1 {
//!     x = b0
//!     result = b1
//!   }
//! }
//!
//! kernel solve(b0: read f32[9], b1: read f32[3], b2: write f32[3]) fast {
//!   linalg triangular_solve lower plain read batch 1 rows 3 columns 1 {
//!     a = b0
//!     b = b1
//!     result = b2
//!   }
//! }
//!
//! kernel call_scale(b0: read f32[6], b1: write f32[6]) fast {
//!   call count 2 {
//!     input b0 stride 3
//!     output b1 stride 3
//!     buffer b0: f32[3], input 0 f32[3]
//!     buffer b1: f32[3], output 0 f32[3]
//!
//!     step 0 on (b0, b1):
//!     kernel scale(b0: read f32[3], b1: write f32[3]) fast {
//!       …
//!     }
//!   }
//! }
//!
//! kernel scan_step(b0: read f32[1], b1: read f32[4], b2: write f32[1], b3: write f32[4]) fast {
//!   scan forward length 4 consts 0 carry 1 {
//!     input b0 stride 0
//!     input b1 stride 1
//!     output b2 stride 0
//!     output b3 stride 1
//!     body {
//!       buffer b0: f32[1], input 0 f32[]
//!       …
//!     }
//!   }
//! }
//! ```
//!
//! A `linalg triangular_solve` is of a triangle that is `lower` or `upper`, `plain` or `transposed`, whose
//! diagonal is `read` or `unit`; a `linalg fft` is `forward` or `inverse`; others, such as
//! `linalg cholesky`, have an operand `x`.
//!
//! A `while cond_consts 0 body_consts 1` has the parts `cond` and `body`, a `switch b0` its `branch`es.

use super::{
    Affine, Along, Argsort, Body, Call, Contract, Inst, Kernel, Linalg, LoopNest, Matrix, Print, Scan, Scatter, Slot,
    Switch, ValueId, While,
};
use crate::Numerics;
use crate::op::Triangle;
use crate::schedule::Schedule;
use crate::text::{Name, Quoted};
use std::fmt;

impl fmt::Display for Kernel {
    /// The text [`Kernel::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}(", Name(&self.name))?;
        for (i, o) in self.operands.iter().enumerate() {
            let (comma, access) = (if i > 0 { ", " } else { "" }, if o.written { "write" } else { "read" });
            write!(f, "{comma}b{i}: {access} {}[{}]", o.dtype, o.len)?;
        }
        let numerics = match self.numerics {
            Numerics::Fast => "fast",
            Numerics::Strict => "strict",
        };
        writeln!(f, ") {numerics} {{")?;
        match &self.body {
            Body::Loops(nest) => loops(f, nest)?,
            Body::Contract(c) => contract(f, c)?,
            Body::Call(c) => call(f, c)?,
            Body::Scan(s) => scan(f, s)?,
            Body::While(w) => while_loop(f, w)?,
            Body::Switch(s) => switch(f, s)?,
            Body::Scatter(c) => scatter(f, c)?,
            Body::Argsort(c) => argsort(f, c)?,
            Body::Print(p) => print(f, p)?,
            Body::Linalg(c) => linalg(f, c)?,
        }
        f.write_str("}\n")
    }
}

fn loops(f: &mut fmt::Formatter<'_>, nest: &LoopNest) -> fmt::Result {
    f.write_str("  parallel ")?;
    axes(f, 'p', &nest.domain)?;
    f.write_str("{\n")?;
    let mut next = 0usize;
    for pass in &nest.passes {
        f.write_str(if pass.loops.is_empty() { "    once " } else { "    for " })?;
        axes(f, 'r', &pass.loops)?;
        f.write_str("{\n")?;
        let index = |a| Index { affine: a, domain: nest.domain.len() };
        for inst in &pass.insts {
            write!(f, "      {} = ", ValueId::from(next))?;
            next += 1;
            match inst {
                Inst::Literal(literal) => write!(f, "constant {} {literal}", literal.dtype())?,
                Inst::Index(a) => write!(f, "index {}", index(a))?,
                Inst::Load { operand, index: a } => write!(f, "load b{operand}[{}]", index(a))?,
                Inst::LoadWithin { operand, index: a, along } => {
                    write!(f, "load b{operand}[{}] at ", index(a))?;
                    positions(f, along, nest.domain.len())?;
                }
                Inst::Within(along) => {
                    f.write_str("within ")?;
                    positions(f, along, nest.domain.len())?;
                }
                Inst::Unary(u, x) => write!(f, "{} {x}", u.name())?,
                Inst::Binary(b, x, y) => write!(f, "{} {x} {y}", b.name())?,
                Inst::Compare(c, x, y) => write!(f, "{} {x} {y}", c.name())?,
                Inst::Select(p, x, y) => write!(f, "select {p} {x} {y}")?,
                Inst::IntegerPow(n, x) => write!(f, "integer_pow {n} {x}")?,
                Inst::Convert(d, x) => write!(f, "convert {d} {x}")?,
            }
            f.write_str("\n")?;
        }
        for store in &pass.stores {
            writeln!(f, "      store b{}[{}] = {}", store.operand, index(&store.index), store.value)?;
        }
        for acc in &pass.accs {
            writeln!(f, "      {} = {} {}", ValueId::from(next), acc.kind.name(), acc.value)?;
            next += 1;
        }
        f.write_str("    }\n")?;
    }
    f.write_str("  }\n")
}

fn axes(f: &mut fmt::Formatter<'_>, prefix: char, extents: &[usize]) -> fmt::Result {
    for (i, n) in extents.iter().enumerate() {
        write!(f, "{prefix}{i} in 0..{n}{}", if i + 1 < extents.len() { ", " } else { " " })?;
    }
    Ok(())
}

/// An affine with its axes' names: `p…` of the domain, `r…` of the pass.
struct Index<'a> {
    affine: &'a Affine,
    domain: usize,
}

impl fmt::Display for Index<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plus = "";
        for (i, stride) in self.affine.strides.iter().enumerate().filter(|(_, s)| **s != 0) {
            f.write_str(plus)?;
            plus = " + ";
            if *stride != 1 {
                write!(f, "{stride}*")?;
            }
            match i.checked_sub(self.domain) {
                None => write!(f, "p{i}")?,
                Some(r) => write!(f, "r{r}")?,
            }
        }
        if plus.is_empty() || self.affine.offset != 0 {
            write!(f, "{plus}{}", self.affine.offset)?;
        }
        Ok(())
    }
}

/// `r0 + -2 in 0..5 by 1, %4 in 0..7 by 6`
fn positions(f: &mut fmt::Formatter<'_>, along: &[Along], domain: usize) -> fmt::Result {
    for (i, a) in along.iter().enumerate() {
        let mut plus = if i > 0 { ", " } else { "" };
        for (axis, stride) in a.strides.iter().enumerate().filter(|(_, s)| **s != 0) {
            f.write_str(plus)?;
            plus = " + ";
            if *stride != 1 {
                write!(f, "{stride}*")?;
            }
            match axis.checked_sub(domain) {
                None => write!(f, "p{axis}")?,
                Some(r) => write!(f, "r{r}")?,
            }
        }
        if let Some(value) = a.plus {
            write!(f, "{plus}{value}")?;
            plus = " + ";
        }
        if plus != " + " || a.offset != 0 {
            write!(f, "{plus}{}", a.offset)?;
        }
        write!(f, " in 0..{}", a.extent)?;
        if a.by != 0 {
            write!(f, " by {}", a.by)?;
        }
    }
    Ok(())
}

fn contract(f: &mut fmt::Formatter<'_>, c: &Contract) -> fmt::Result {
    writeln!(f, "  contract {} batch {:?} m {} n {} k {} {{", c.dtype, c.batch, c.m, c.n, c.k)?;
    for (name, m) in [("a", &c.a), ("b", &c.b), ("c", &c.c)] {
        let Matrix { operand, offset, batch_strides, row, column } = m;
        writeln!(f, "    {name} = b{operand} offset {offset} batch {batch_strides:?} row {row} column {column}")?;
    }
    f.write_str("  }\n")
}

fn scatter(f: &mut fmt::Formatter<'_>, c: &Scatter) -> fmt::Result {
    let Scatter { kind, batch, between, length, inner, taken, x, indices, updates, result } = c;
    writeln!(
        f,
        "  scatter {} batch {batch} between {between} length {length} inner {inner} taken {taken} {{",
        kind.name()
    )?;
    writeln!(f, "    x = b{x}\n    indices = b{indices}\n    updates = b{updates}\n    result = b{result}\n  }}")
}

fn argsort(f: &mut fmt::Formatter<'_>, c: &Argsort) -> fmt::Result {
    let Argsort { outer, length, inner, x, result } = c;
    writeln!(f, "  argsort outer {outer} length {length} inner {inner} {{\n    x = b{x}\n    result = b{result}\n  }}")
}

fn print(f: &mut fmt::Formatter<'_>, p: &Print) -> fmt::Result {
    let Print { format, levels, token, values, result } = p;
    writeln!(f, "  print {} levels {levels:?} {{\n    token = b{token}", Quoted(format))?;
    for (operand, shape) in values {
        writeln!(f, "    value b{operand} shape {shape:?}")?;
    }
    writeln!(f, "    result = b{result}\n  }}")
}

fn linalg(f: &mut fmt::Formatter<'_>, c: &Linalg) -> fmt::Result {
    let Linalg { kind, batch, rows, columns, read, result } = c;
    write!(f, "  linalg {}", kind.name())?;
    match kind {
        crate::Linalg::Factor(_) => {}
        crate::Linalg::TriangularSolve(Triangle { lower, transpose, unit }) => {
            f.write_str(if *lower { " lower" } else { " upper" })?;
            f.write_str(if *transpose { " transposed" } else { " plain" })?;
            f.write_str(if *unit { " unit" } else { " read" })?;
        }
        crate::Linalg::Fft { inverse } => f.write_str(if *inverse { " inverse" } else { " forward" })?,
    }
    writeln!(f, " batch {batch} rows {rows} columns {columns} {{")?;
    let names: &[&str] = if read.len() == 1 { &["x"] } else { &["a", "b"] };
    for (name, operand) in names.iter().zip(read) {
        writeln!(f, "    {name} = b{operand}")?;
    }
    writeln!(f, "    result = b{result}\n  }}")
}

fn call(f: &mut fmt::Formatter<'_>, c: &Call) -> fmt::Result {
    writeln!(f, "  call count {} {{", c.count)?;
    slots(f, &c.inputs, &c.outputs)?;
    indented(f, &c.callee, "    ")?;
    f.write_str("  }\n")
}

fn slots(f: &mut fmt::Formatter<'_>, inputs: &[Slot], outputs: &[Slot]) -> fmt::Result {
    for (role, slots) in [("input", inputs), ("output", outputs)] {
        for Slot { operand, stride } in slots {
            writeln!(f, "    {role} b{operand} stride {stride}")?;
        }
    }
    Ok(())
}

fn indented(f: &mut fmt::Formatter<'_>, schedule: &Schedule, by: &str) -> fmt::Result {
    for line in schedule.to_string().lines() {
        let indent = if line.is_empty() { "" } else { by };
        writeln!(f, "{indent}{line}")?;
    }
    Ok(())
}

/// A part of a loop or branch: a schedule with what it is for.
fn part(f: &mut fmt::Formatter<'_>, role: &str, schedule: &Schedule) -> fmt::Result {
    writeln!(f, "    {role} {{")?;
    indented(f, schedule, "      ")?;
    f.write_str("    }\n")
}

fn scan(f: &mut fmt::Formatter<'_>, s: &Scan) -> fmt::Result {
    let direction = if s.reverse { "backward" } else { "forward" };
    writeln!(f, "  scan {direction} length {} consts {} carry {} {{", s.length, s.consts, s.carry)?;
    slots(f, &s.inputs, &s.outputs)?;
    part(f, "body", &s.body)?;
    f.write_str("  }\n")
}

fn while_loop(f: &mut fmt::Formatter<'_>, w: &While) -> fmt::Result {
    writeln!(f, "  while cond_consts {} body_consts {} {{", w.cond_consts, w.body_consts)?;
    slots(f, &w.inputs, &w.outputs)?;
    part(f, "cond", &w.cond)?;
    part(f, "body", &w.body)?;
    f.write_str("  }\n")
}

fn switch(f: &mut fmt::Formatter<'_>, s: &Switch) -> fmt::Result {
    writeln!(f, "  switch b{} {{", s.index)?;
    slots(f, &s.inputs, &s.outputs)?;
    s.branches.iter().try_for_each(|branch| part(f, "branch", branch))?;
    f.write_str("  }\n")
}

impl fmt::Display for Schedule {
    /// The buffers and their roles, then each step: its buffers and its kernel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, buffer) in self.buffers.iter().enumerate() {
            write!(f, "buffer b{i}: {}[{}]", buffer.dtype, buffer.len)?;
            for (role, list) in [("input", &self.inputs), ("output", &self.outputs)] {
                for (n, (_, aval)) in list.iter().enumerate().filter(|(_, (b, _))| b.index() == i) {
                    write!(f, ", {role} {n} {aval}")?;
                }
            }
            f.write_str("\n")?;
        }
        for (i, step) in self.steps.iter().enumerate() {
            let buffers: Vec<String> = step.operands.iter().map(|b| b.to_string()).collect();
            write!(f, "\nstep {i} on ({}):\n{}", buffers.join(", "), step.kernel)?;
        }
        Ok(())
    }
}
