//! Loop nests: a team of invocations per point of the domain.
//!
//! A team of one leaves the function when there is no point for it. Larger ones must meet at
//! barriers: those beyond the last point do its work again, and store nothing.

use super::expression::{Expression, Expressions, Rank, narrowed, type_name};
use super::library::Included;
use super::{Parts, element, leave};
use crate::device::Caps;
use crate::spread::Launch;
use egrad_ir::kernel::{Affine, Along, Body, Inst, Kernel, LoopNest, Pass, ValueId};
use egrad_ir::op::Reduce;
use egrad_ir::scalar::identity;
use egrad_ir::{Dtype, Literal, Result};
use hashbrown::HashMap;
use std::borrow::Cow;

/// Expressions beyond this many characters get a name.
const LONGEST: usize = 60;

/// Floats beyond this many are summed in parts of so many.
const LONG: usize = 256;

/// An axis of a loop nest in the shader; neighbours that every index steps through as through one
/// are one.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    name: String,
    extent: usize,
    /// The position of its stride in indices: that of the innermost axis in it.
    at: usize,
}

/// Prints the shader of a loop nest, for teams of so many invocations.
pub(super) fn print(launch: &Launch, nest: &LoopNest, team: u32, caps: &Caps) -> Result<Parts> {
    let kernel = &launch.kernel;
    let workgroup = caps.workgroup / team * team;
    let points: u64 = nest.domain.iter().map(|e| *e as u64).product();
    let mut printer = Printer {
        launch,
        kernel,
        nest,
        team,
        included: Included::default(),
        dtypes: nest.dtypes(&kernel.operands)?,
        uses: uses(nest),
        values: Vec::new(),
        axes: HashMap::new(),
        text: String::new(),
        depth: 1,
    };
    printer.main();
    let about = match (team, points) {
        (1, 1) => "one invocation".to_owned(),
        (1, _) => format!("an invocation for each of {points} points"),
        (_, 1) => format!("a team of {team} invocations"),
        _ => format!("a team of {team} invocations for each of {points} points"),
    };
    let Printer { included, text, .. } = printer;
    Ok(Parts { about, included, team, text, points, per_group: workgroup / team, workgroup })
}

/// Whether the kernel loads that operand.
pub(super) fn is_loaded(kernel: &Kernel, operand: usize) -> bool {
    match &kernel.body {
        Body::Loops(nest) => nest.passes.iter().any(|pass| loads(pass, operand)),
        Body::Contract(c) => [c.a.operand, c.b.operand].contains(&operand),
        Body::Call(_)
        | Body::Scatter(_)
        | Body::Argsort(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => false,
    }
}

fn loads(pass: &Pass, of: usize) -> bool {
    pass.insts.iter().any(|inst| match inst {
        Inst::Load { operand, .. } | Inst::LoadWithin { operand, .. } => *operand == of,
        Inst::Within(_)
        | Inst::Literal(_)
        | Inst::Index(_)
        | Inst::Unary(..)
        | Inst::Binary(..)
        | Inst::Compare(..)
        | Inst::Select(..)
        | Inst::IntegerPow(..)
        | Inst::Convert(..) => false,
    })
}

/// Per value the passes that use it, once per use.
fn uses(nest: &LoopNest) -> Vec<Vec<usize>> {
    let values = nest.passes.iter().map(|p| p.insts.len() + p.accs.len()).sum();
    let mut uses = vec![Vec::new(); values];
    for (at, pass) in nest.passes.iter().enumerate() {
        let args = pass.insts.iter().flat_map(Inst::args);
        let used = args.chain(pass.accs.iter().map(|a| a.value)).chain(pass.stores.iter().map(|s| s.value));
        for value in used {
            uses[value.index()].push(at);
        }
    }
    uses
}

/// The indices a pass makes, and its positions, of which negative numbers wrap around.
fn indices(pass: &Pass) -> Vec<Cow<'_, Affine>> {
    let wrapped = |a: &Along| {
        let strides = a.strides.iter().map(|s| *s as usize).collect();
        Cow::Owned(Affine { offset: a.offset as usize, strides })
    };
    let mut all: Vec<Cow<'_, Affine>> = Vec::new();
    for inst in &pass.insts {
        match inst {
            Inst::Index(index) | Inst::Load { index, .. } => all.push(Cow::Borrowed(index)),
            Inst::LoadWithin { index, along, .. } => {
                all.push(Cow::Borrowed(index));
                all.extend(along.iter().map(wrapped));
            }
            Inst::Within(along) => all.extend(along.iter().map(wrapped)),
            Inst::Literal(_)
            | Inst::Unary(..)
            | Inst::Binary(..)
            | Inst::Compare(..)
            | Inst::Select(..)
            | Inst::IntegerPow(..)
            | Inst::Convert(..) => {}
        }
    }
    all.extend(pass.stores.iter().map(|s| Cow::Borrowed(&s.index)));
    all
}

fn stride(index: &Affine, axis: usize) -> usize {
    index.strides.get(axis).copied().unwrap_or(0)
}

/// The axes of those extents, whose strides are from `first` on, as few as the indices allow.
fn axes(letter: char, extents: &[usize], first: usize, indices: &[Cow<'_, Affine>]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for (i, extent) in extents.iter().copied().enumerate().filter(|(_, extent)| *extent > 1) {
        match axes.last_mut() {
            Some(outer) if indices.iter().all(|a| stride(a, outer.at) == stride(a, first + i).wrapping_mul(extent)) => {
                (outer.extent, outer.at) = (outer.extent * extent, first + i);
            }
            Some(_) | None => axes.push(Axis { name: format!("{letter}{i}"), extent, at: first + i }),
        }
    }
    axes
}

struct Printer<'a> {
    launch: &'a Launch,
    kernel: &'a Kernel,
    nest: &'a LoopNest,
    team: u32,
    included: Included,
    dtypes: Vec<Dtype>,
    uses: Vec<Vec<usize>>,
    values: Vec<Expression>,
    /// What the axis is called whose stride is at that position; others are 0 or not stepped along.
    axes: HashMap<usize, String>,
    text: String,
    depth: usize,
}

impl Printer<'_> {
    fn line(&mut self, line: &str) {
        self.text += &format!("{}{line}\n", "    ".repeat(self.depth));
    }

    fn open(&mut self, line: &str) {
        self.line(&format!("{line} {{"));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    fn main(&mut self) {
        self.text += "\nvoid main() {\n";
        if let Some(line) = leave(self.launch) {
            self.line(&line);
        }
        self.line("uint group = gl_WorkGroupID.y * launch.row + gl_WorkGroupID.x;");
        if self.team == 1 {
            self.line("uint point = group * gl_WorkGroupSize.x + gl_LocalInvocationIndex;");
            self.line("if (point >= launch.points) return;");
        } else {
            let team = self.team;
            self.line(&format!("uint member = gl_LocalInvocationIndex % {team};"));
            self.line(&format!(
                "uint point = group * (gl_WorkGroupSize.x / {team}) + gl_LocalInvocationIndex / {team};"
            ));
            self.line("bool inside = point < launch.points;");
            self.line("point = min(point, launch.points - 1);");
        }
        let nest = self.nest;
        let all: Vec<Cow<'_, Affine>> = nest.passes.iter().flat_map(indices).collect();
        self.digits("point", &axes('p', &nest.domain, 0, &all), &all);
        for (at, pass) in nest.passes.iter().enumerate() {
            if self.team > 1 && at > 0 && self.meets_memory(at) {
                self.line("memoryBarrierBuffer();");
                self.line("barrier();");
            }
            self.pass(at, pass);
        }
        self.depth = 0;
        self.line("}");
    }

    /// Whether members may depend on each other's loads and stores before pass `at`.
    fn meets_memory(&self, at: usize) -> bool {
        let kept = |o: usize| self.kernel.operands[o].written && is_loaded(self.kernel, o);
        let touches = |pass: &Pass| {
            let loads = (0..self.kernel.operands.len()).any(|o| kept(o) && loads(pass, o));
            loads || pass.stores.iter().any(|s| kept(s.operand))
        };
        touches(&self.nest.passes[at]) && self.nest.passes[..at].iter().any(touches)
    }

    /// Names the digits of a number in the radix of the axes, those that some index needs.
    fn digits(&mut self, number: &str, axes: &[Axis], indices: &[Cow<'_, Affine>]) {
        let mut below = 1;
        for (i, axis) in axes.iter().enumerate().rev() {
            let needed = indices.iter().any(|a| stride(a, axis.at) != 0);
            let digit = match (below, i) {
                (1, 0) => number.to_owned(),
                (_, 0) => format!("{number} / {below}"),
                (1, _) => format!("{number} % {}", axis.extent),
                _ => format!("{number} / {below} % {}", axis.extent),
            };
            below *= axis.extent;
            if !needed {
                continue;
            }
            if digit == number {
                self.axes.insert(axis.at, number.to_owned());
            } else {
                self.line(&format!("uint {} = {digit};", axis.name));
                self.axes.insert(axis.at, axis.name.clone());
            }
        }
    }

    fn pass(&mut self, at: usize, pass: &Pass) {
        let first = self.values.len();
        let result = |i: usize| ValueId::from(first + pass.insts.len() + i);
        for (i, acc) in pass.accs.iter().enumerate() {
            let dtype = self.dtypes[result(i).index()];
            let identity = identity(acc.kind, dtype).expect("verified: a type that is reduced");
            let start = self.expressions().literal(identity).text;
            self.line(&format!("{} {} = {start};", type_name(dtype), accumulator(acc.kind, result(i))));
            if self.in_parts(pass, acc.kind, dtype) {
                self.line(&format!("{} part{} = {start};", type_name(dtype), result(i).index()));
            }
        }
        let parts = self.is_long(pass)
            && pass.accs.iter().enumerate().any(|(i, a)| self.in_parts(pass, a.kind, self.dtypes[result(i).index()]));
        if parts {
            self.line("uint steps = 0;");
        }
        if pass.loops.is_empty() {
            self.body(at, pass, first);
            return;
        }
        let loops = axes('r', &pass.loops, self.nest.domain.len(), &indices(pass));
        let opened = self.loops(&loops, pass);
        self.body(at, pass, first);
        if parts {
            self.line("steps++;");
        }
        for _ in 0..opened {
            self.close();
        }
        for (i, acc) in pass.accs.iter().enumerate() {
            let (name, dtype) = (accumulator(acc.kind, result(i)), self.dtypes[result(i).index()]);
            if self.in_parts(pass, acc.kind, dtype) {
                self.line(&format!("{name} += part{};", result(i).index()));
            }
            if self.team > 1 {
                let of_team = match acc.kind {
                    Reduce::Sum => "sum_of_team",
                    Reduce::Max => "maximum_of_team",
                    Reduce::Prod => "product_of_team",
                };
                self.included.function(dtype, of_team);
                self.line(&format!("{name} = {of_team}({name});{}", narrowed(&name, dtype)));
            }
            self.values.push(Expression::whole(name, dtype));
        }
    }

    /// Whether an invocation runs so many iterations of the pass that one float sum would lose digits.
    fn is_long(&self, pass: &Pass) -> bool {
        pass.loops.iter().product::<usize>().div_ceil(self.team as usize) > LONG
    }

    /// Whether a reduction sums parts before it sums those.
    fn in_parts(&self, pass: &Pass, kind: Reduce, dtype: Dtype) -> bool {
        kind == Reduce::Sum && dtype.is_float() && self.is_long(pass)
    }

    /// Begins the loops of a pass, and says how many blocks that opened.
    fn loops(&mut self, loops: &[Axis], pass: &Pass) -> usize {
        self.axes.retain(|at, _| *at < self.nest.domain.len());
        let iterations: usize = pass.loops.iter().product();
        if self.team > 1 {
            let (team, shared) = (self.team, if loops.len() == 1 { &loops[0].name } else { "step" });
            self.open(&format!("for (uint {shared} = member; {shared} < {iterations}; {shared} += {team})"));
            self.digits(shared, loops, &indices(pass));
            return 1;
        }
        if iterations == 1 {
            self.line("{");
            self.depth += 1;
            return 1;
        }
        for Axis { name, extent, at } in loops {
            self.open(&format!("for (uint {name} = 0; {name} < {extent}; {name}++)"));
            self.axes.insert(*at, name.clone());
        }
        loops.len()
    }

    /// The instructions, stores and accumulations of a pass whose first value is `first`.
    fn body(&mut self, at: usize, pass: &Pass, first: usize) {
        for (i, inst) in pass.insts.iter().enumerate() {
            let value = first + i;
            let expression = self.expression(inst);
            let named = match inst {
                Inst::Literal(_) => false,
                // A later store may change what a written operand has.
                Inst::Load { operand, .. } if self.kernel.operands[*operand].written => true,
                Inst::Index(_)
                | Inst::Load { .. }
                | Inst::LoadWithin { .. }
                | Inst::Within(_)
                | Inst::Unary(..)
                | Inst::Binary(..)
                | Inst::Compare(..)
                | Inst::Select(..)
                | Inst::IntegerPow(..)
                | Inst::Convert(..) => {
                    let alone = self.uses[value] == [at] && expression.text.len() <= LONGEST;
                    !alone && !expression.is_name()
                }
            };
            let expression = match named {
                true => {
                    self.line(&format!("{} v{value} = {};", type_name(expression.dtype), expression.text));
                    Expression::whole(format!("v{value}"), expression.dtype)
                }
                false => expression,
            };
            self.values.push(expression);
        }
        for store in &pass.stores {
            let value = self.values[store.value.index()].clone();
            let (index, operand) = (self.index(&store.index), store.operand);
            let stored = match value.dtype {
                Dtype::Bool => format!("uint8_t(uint({}))", value.text),
                Dtype::U8 => format!("uint8_t({})", value.text),
                Dtype::F16 | Dtype::Bf16 => format!("uint16_t({})", value.text),
                Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::I64 | Dtype::U32 => value.text,
            };
            let guard = match (self.team, pass.loops.is_empty()) {
                (1, _) => "",
                (_, false) => "if (inside) ",
                (_, true) => "if (inside && member == 0) ",
            };
            let to = element(self.launch, operand, &index);
            self.line(&format!("{guard}{to} = {stored};"));
        }
        for (i, acc) in pass.accs.iter().enumerate() {
            let name = accumulator(acc.kind, ValueId::from(first + pass.insts.len() + i));
            let value = self.values[acc.value.index()].clone();
            let line = match acc.kind {
                Reduce::Sum if self.in_parts(pass, acc.kind, value.dtype) => {
                    let part = format!("part{}", first + pass.insts.len() + i);
                    self.line(&format!("{part} += {};", value.text));
                    format!("if (steps % {LONG} == {}) {{ {name} += {part}; {part} = 0; }}", LONG - 1)
                }
                Reduce::Sum => format!("{name} += {};{}", value.text, narrowed(&name, value.dtype)),
                Reduce::Prod => format!("{name} *= {};{}", value.text, narrowed(&name, value.dtype)),
                Reduce::Max => {
                    self.included.function(value.dtype, "maximum");
                    format!("{name} = maximum({name}, {});", value.text)
                }
            };
            self.line(&line);
        }
    }

    fn expressions(&mut self) -> Expressions<impl FnMut(Dtype, &str)> {
        Expressions { call: |dtype, name: &str| self.included.function(dtype, name) }
    }

    fn expression(&mut self, inst: &Inst) -> Expression {
        let value = |p: &Self, id: &ValueId| p.values[id.index()].clone();
        match inst {
            Inst::Literal(literal) => self.expressions().literal(*literal),
            Inst::Index(index) => Expression::whole(format!("int({})", self.index(index)), Dtype::I32),
            Inst::Load { operand, index } => {
                let element = element(self.launch, *operand, &self.index(index));
                match self.kernel.operands[*operand].dtype {
                    Dtype::Bool => {
                        Expression { text: format!("uint({element}) != 0"), rank: Rank::Equality, dtype: Dtype::Bool }
                    }
                    dtype @ (Dtype::U8 | Dtype::F16 | Dtype::Bf16) => {
                        Expression::whole(format!("uint({element})"), dtype)
                    }
                    dtype @ (Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::I64 | Dtype::U32) => {
                        Expression::whole(element, dtype)
                    }
                }
            }
            Inst::LoadWithin { operand, index, along } => {
                // What lies outside is not read: position 0 is, and its element not used.
                let inside = format!("inside{}", self.values.len());
                let test = self.within(along);
                self.line(&format!("bool {inside} = {test};"));
                let moved: Vec<String> = along.iter().map(|a| self.elements(a)).collect();
                let (base, moved) = (self.index(index), moved.join(" + "));
                let element = element(self.launch, *operand, &format!("{base} + ({inside} ? {moved} : 0u)"));
                match self.kernel.operands[*operand].dtype {
                    Dtype::Bool => Expression::whole(format!("({inside} && uint({element}) != 0)"), Dtype::Bool),
                    dtype @ (Dtype::U8 | Dtype::F16 | Dtype::Bf16) => {
                        Expression::whole(format!("({inside} ? uint({element}) : 0u)"), dtype)
                    }
                    dtype @ (Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::I64 | Dtype::U32) => {
                        let nothing = self.expressions().literal(Literal::new(dtype, 0.0)).text;
                        Expression::whole(format!("({inside} ? {element} : {nothing})"), dtype)
                    }
                }
            }
            Inst::Within(along) => Expression::whole(format!("({})", self.within(along)), Dtype::Bool),
            Inst::Unary(op, x) => {
                let x = value(self, x);
                self.expressions().unary(*op, x)
            }
            Inst::Binary(op, x, y) => {
                let (x, y) = (value(self, x), value(self, y));
                self.expressions().binary(*op, &x, &y)
            }
            Inst::Compare(op, x, y) => {
                let (x, y) = (value(self, x), value(self, y));
                self.expressions().compare(*op, &x, &y)
            }
            Inst::Select(p, x, y) => {
                let (p, x, y) = (value(self, p), value(self, x), value(self, y));
                self.expressions().select(&p, &x, &y)
            }
            Inst::IntegerPow(n, x) => {
                let x = value(self, x);
                self.expressions().integer_pow(*n, x)
            }
            Inst::Convert(to, x) => {
                let x = value(self, x);
                self.expressions().convert(*to, x)
            }
        }
    }

    /// Whether all positions are inside.
    fn within(&self, along: &[Along]) -> String {
        let test = |a: &Along| format!("uint({}) < {}u", self.position(a), a.extent);
        along.iter().map(test).collect::<Vec<_>>().join(" && ")
    }

    /// How many elements a position is from the first.
    fn elements(&self, a: &Along) -> String {
        match a.by {
            1 => format!("uint({})", self.position(a)),
            by => format!("uint({}) * {by}u", self.position(a)),
        }
    }

    /// A position by the names of its axes: `-1 * int(p0) + v3 + 4`.
    fn position(&self, a: &Along) -> String {
        let mut terms = Vec::new();
        for (axis, stride) in a.strides.iter().enumerate().filter(|(_, stride)| **stride != 0) {
            match (self.axes.get(&axis), stride) {
                (Some(name), 1) => terms.push(format!("int({name})")),
                (Some(name), stride) => terms.push(format!("{stride} * int({name})")),
                (None, _) => {}
            }
        }
        terms.extend(a.plus.map(|v| format!("({})", self.values[v.index()].text)));
        if a.offset != 0 || terms.is_empty() {
            terms.push(format!("{}", a.offset));
        }
        terms.join(" + ")
    }

    /// An index by the names of its axes: `35 * p0 + p1 + 3`.
    fn index(&self, index: &Affine) -> String {
        let mut terms = Vec::new();
        for (axis, stride) in index.strides.iter().enumerate().filter(|(_, stride)| **stride > 0) {
            // An axis without a name is inside another one, or of extent 1.
            match (self.axes.get(&axis), stride) {
                (Some(name), 1) => terms.push(name.clone()),
                (Some(name), stride) => terms.push(format!("{} * {name}", unsigned(*stride))),
                (None, _) => {}
            }
        }
        if index.offset > 0 || terms.is_empty() {
            terms.push(unsigned(index.offset));
        }
        terms.join(" + ")
    }
}

/// A number that may be beyond what `int` holds.
pub(super) fn unsigned(n: usize) -> String {
    if i32::try_from(n).is_ok() { n.to_string() } else { format!("{n}u") }
}

fn accumulator(kind: Reduce, id: ValueId) -> String {
    match kind {
        Reduce::Sum => format!("sum{}", id.index()),
        Reduce::Max => format!("most{}", id.index()),
        Reduce::Prod => format!("product{}", id.index()),
    }
}
