//! The parser of programs.

use super::cursor::{Cursor, Item, Token, literal, wrong};
use crate::dtype::Dtype;
use crate::error::{Error, Result, Span};
use crate::graph::{Aval, Control, FnId, Function, NodeId, NodeKind, Policy, Program, Transform};
use crate::infer;
use crate::op::{Axes, Binary, Compare, DotDims, Factor, Linalg, Op, Reduce, Triangle, Unary, scatter_name};
use crate::shape::Shape;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// No operation has more attributes.
const MOST_ATTRIBUTES: usize = 4;

impl Program {
    /// Reads a program's text; see the [text format](crate::text). Nodes carry their lines and
    /// columns.
    ///
    /// # Errors
    /// [`Error::Parse`] with the place, what was found there and what was expected; for operands
    /// that don't fit an operation, the error of [`infer`] with the place. A program without any
    /// function is refused.
    ///
    /// ```
    /// let text = "egrad 1 fn f(%0: f32[2]) { %1 = exp %0 return %1 }";
    /// let program = egrad_ir::Program::parse(text)?;
    /// assert_eq!(program.entry().result_avals()[0].to_string(), "f32[2]");
    /// assert_eq!(egrad_ir::Program::parse(&program.to_string())?, program);
    ///
    /// let error = egrad_ir::Program::parse("egrad 1\nfn f() { return %0 }").unwrap_err();
    /// assert!(error.to_string().contains("line 2, column 17"));
    /// # Ok::<(), egrad_ir::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Program> {
        let mut parser = Parser {
            cursor: Cursor::new(text)?,
            program: Program::new(),
            functions: HashMap::new(),
            results_left: text.len() + (1 << 20),
        };
        parser.program()?;
        Ok(parser.program)
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    program: Program,
    /// Functions by the ids they were given.
    functions: HashMap<u32, FnId>,
    /// How many more results of transforms will be accepted: a short text can call a function of
    /// many results many times over.
    results_left: usize,
}

/// A function being parsed.
struct Body {
    function: Function,
    values: HashMap<u32, NodeId>,
}

impl Body {
    fn define(&mut self, id: u32, span: Span) -> Result<()> {
        match self.values.insert(id, NodeId::from(self.function.len())) {
            Some(first) => Err(wrong(span, format!("`%{id}` is defined twice"))
                .note("it was first defined here", self.function.node(first).span)),
            None => Ok(()),
        }
    }

    fn find(&self, id: u32, span: Span) -> Result<NodeId> {
        let unknown = || wrong(span, format!("`%{id}` is not defined: values are defined before they are used"));
        self.values.get(&id).copied().ok_or_else(unknown)
    }

    fn is_tuple(&self, id: NodeId) -> bool {
        self.function.node(id).kind.is_tuple()
    }
}

/// What is written to the left of a `=`.
enum Written {
    Nothing,
    One(Aval),
    Tuple(Vec<Aval>),
}

impl<'a> Parser<'a> {
    fn program(&mut self) -> Result<()> {
        self.cursor.keyword("egrad")?;
        match self.cursor.peek() {
            Token::Number("1") => self.cursor.next()?,
            _ => return Err(self.cursor.expected("`1`, the only version of the format there is")),
        };
        loop {
            match self.cursor.peek() {
                Token::Word("fn") => self.function()?,
                Token::End if self.program.functions().len() > 0 => return Ok(()),
                _ => return Err(self.cursor.expected("a function, which starts with `fn`")),
            }
        }
    }

    fn function(&mut self) -> Result<()> {
        self.cursor.keyword("fn")?;
        let id = match self.cursor.peek() {
            Token::Function(id) => {
                if self.functions.contains_key(&id) {
                    return Err(wrong(self.cursor.span(), format!("`@{id}` is defined twice")));
                }
                self.cursor.next()?;
                Some(id)
            }
            _ => None,
        };
        let name = self.cursor.name("the function's name")?;
        let mut body = Body { function: Function::new(name, []), values: HashMap::new() };
        self.params(&mut body)?;
        let span = self.cursor.span();
        let declared = if self.cursor.eat(Token::Arrow)? { Some(self.avals()?) } else { None };
        self.cursor.expect(Token::Mark('{'), "that starts the function's body")?;
        loop {
            match self.cursor.peek() {
                Token::Value(id) => self.statement(id, &mut body)?,
                Token::Word("return") => break,
                _ => return Err(self.cursor.expected("a value's definition (`%1 = …`) or `return`")),
            }
        }
        self.cursor.keyword("return")?;
        let mut results = Vec::new();
        while let Token::Value(id) = self.cursor.peek() {
            let result = body.find(id, self.cursor.span())?;
            if body.is_tuple(result) {
                return Err(wrong(self.cursor.span(), format!("`%{id}` is a tuple: return its parts, taken by `get`")));
            }
            self.cursor.next()?;
            results.push(result);
        }
        self.cursor.expect(Token::Mark('}'), "or a value to return")?;
        body.function.set_results(results);
        let avals = body.function.result_avals();
        if let Some(declared) = declared.filter(|d| *d != avals) {
            return Err(wrong(span, format!("the function returns {}, not {}", tuple(&avals), tuple(&declared))));
        }
        let added = self.program.add(body.function);
        if let Some(id) = id {
            self.functions.insert(id, added);
        }
        Ok(())
    }

    fn params(&mut self, body: &mut Body) -> Result<()> {
        self.cursor.expect(Token::Mark('('), "that starts the parameters")?;
        while !self.cursor.eat(Token::Mark(')'))? {
            if !body.function.is_empty() {
                self.cursor.expect(Token::Mark(','), "or `)` after a parameter")?;
            }
            let span = self.cursor.span();
            let id = self.cursor.value("a parameter, such as `%0: f32[]`")?;
            body.define(id, span)?;
            self.cursor.expect(Token::Mark(':'), "and the parameter's type")?;
            let aval = self.cursor.aval()?;
            infer::check_size("the parameter", &aval).map_err(|e| e.at(span))?;
            body.function.add_param(aval, span);
        }
        Ok(())
    }

    /// `(aval, …)`
    fn avals(&mut self) -> Result<Vec<Aval>> {
        self.cursor.expect(Token::Mark('('), "that starts a list of types")?;
        let mut avals = Vec::new();
        while !self.cursor.eat(Token::Mark(')'))? {
            if !avals.is_empty() {
                self.cursor.expect(Token::Mark(','), "or `)` after a type")?;
            }
            avals.push(self.cursor.aval()?);
        }
        Ok(avals)
    }

    fn statement(&mut self, id: u32, body: &mut Body) -> Result<()> {
        let span = self.cursor.span();
        self.cursor.next()?;
        let mut written_at = self.cursor.span();
        let written = if self.cursor.eat(Token::Mark(':'))? {
            written_at = self.cursor.span();
            match self.cursor.peek() {
                Token::Mark('(') => Written::Tuple(self.avals()?),
                _ => Written::One(self.cursor.aval()?),
            }
        } else {
            Written::Nothing
        };
        self.cursor.expect(Token::Mark('='), "and what the value is")?;
        let name_at = self.cursor.span();
        let name = self.cursor.word("the name of an operation or a transform")?;
        let mut callees: Vec<(FnId, Span)> = Vec::new();
        while let Token::Function(id) = self.cursor.peek() {
            let at = self.cursor.span();
            self.cursor.next()?;
            let unknown = || wrong(at, format!("`@{id}` is not defined: functions come before those that use them"));
            callees.push((self.functions.get(&id).copied().ok_or_else(unknown)?, at));
        }
        let args = self.args(body)?;
        let mut attrs = self.attrs()?;

        let (least, most) = match name {
            "call" | "jvp" | "vjp" | "vmap" | "custom_jvp" | "custom_vjp" | "checkpoint" | "named" | "scan" => (1, 1),
            "while" => (2, 2),
            "switch" | "either" => (1, usize::MAX),
            _ => (0, 0),
        };
        match callees.get(most) {
            Some((_, at)) if most == 0 => return Err(wrong(*at, format!("`{name}` takes no function"))),
            Some((_, at)) => return Err(wrong(*at, format!("`{name}` takes {most} of them, no more"))),
            None if callees.len() < least && least == 2 => {
                return Err(wrong(name_at, format!("`{name}` needs a condition and a body: `{name} @0 @1 …`")));
            }
            None if callees.len() < least => {
                return Err(wrong(name_at, format!("`{name}` needs a function: `{name} @0 …`")));
            }
            None => {}
        }
        if let Some((arg, at)) = args.iter().find(|(arg, _)| body.is_tuple(*arg) && name != "get") {
            return Err(wrong(*at, format!("operand {arg} is a tuple: take its parts by `get`")));
        }
        let ids: SmallVec<[NodeId; 3]> = args.iter().map(|(arg, _)| *arg).collect();
        if least > 0 || BEYOND.contains(&name) {
            let callees: Vec<FnId> = callees.iter().map(|(f, _)| *f).collect();
            let kind = match attrs.control(name, &callees, name_at)? {
                Some(control) => NodeKind::Control(control),
                None => NodeKind::Apply(attrs.transform(name, name_at)?, callees[0]),
            };
            attrs.finish(name)?;
            self.apply(kind, &ids, body, span)?;
        } else if name == "get" {
            let index: usize = attrs.number("index", name, name_at)?;
            attrs.finish(name)?;
            let part = match args[..] {
                [(tuple, at)] => {
                    let avals = &body.function.node(tuple).avals;
                    let count = avals.len();
                    let missing = || wrong(at, format!("there is no result {index} of a tuple of {count}"));
                    match body.is_tuple(tuple) {
                        true => avals.get(index).cloned().ok_or_else(missing)?,
                        false => return Err(wrong(at, "`get` takes a tuple, the result of a transform")),
                    }
                }
                _ => return Err(wrong(name_at, format!("`get` takes one tuple, not {} operands", args.len()))),
            };
            body.function.push(NodeKind::Get(index), &ids, SmallVec::from_elem(part, 1), span);
        } else {
            let op = attrs.op(name, name_at, &written)?;
            attrs.finish(name)?;
            if op.arity() != ids.len() {
                let (want, got) = (op.arity(), ids.len());
                return Err(wrong(name_at, format!("`{name}` takes {want} operands, found {got}")));
            }
            body.function.add(op, &ids, span)?;
        }

        // The node is in place; its id was not, so that it can't be its own operand.
        let node = NodeId::from(body.function.len() - 1);
        if let Some(first) = body.values.insert(id, node) {
            let error = wrong(span, format!("`%{id}` is defined twice"));
            return Err(error.note("it was first defined here", body.function.node(first).span));
        }
        let found = &body.function.node(node).avals[..];
        let differ = |want: String, found: String| Err(wrong(written_at, format!("`%{id}` is {found}, not {want}")));
        match written {
            Written::One(want) if body.is_tuple(node) || found != [want.clone()] => {
                differ(want.to_string(), if body.is_tuple(node) { tuple(found) } else { found[0].to_string() })
            }
            Written::Tuple(want) if !body.is_tuple(node) => differ(tuple(&want), found[0].to_string()),
            Written::Tuple(want) if found != want => differ(tuple(&want), tuple(found)),
            Written::Nothing | Written::One(_) | Written::Tuple(_) => Ok(()),
        }
    }

    /// A node over functions.
    fn apply(&mut self, kind: NodeKind, args: &[NodeId], body: &mut Body, span: Span) -> Result<()> {
        let avals: Vec<Aval> = args.iter().map(|a| body.function.aval(*a).clone()).collect();
        let results = match &kind {
            NodeKind::Apply(transform, callee) => self.program.apply_avals(transform, *callee, &avals),
            NodeKind::Control(control) => self.program.control_avals(control, &avals),
            NodeKind::Param(_) | NodeKind::Op(_) | NodeKind::Get(_) => Err(Error::internal("a node over no function")),
        };
        let results = results.map_err(|e| e.at(span))?;
        let left = self.results_left.checked_sub(results.len());
        self.results_left = left.ok_or_else(|| wrong(span, "the transforms of this text have too many results"))?;
        body.function.push(kind, args, results.into(), span);
        Ok(())
    }

    /// Values up to what is no value, or starts the next definition.
    fn args(&mut self, body: &Body) -> Result<SmallVec<[(NodeId, Span); 3]>> {
        let mut args = SmallVec::new();
        while let Token::Value(id) = self.cursor.peek() {
            if let Token::Mark(':' | '=') = self.cursor.peek_second()? {
                break;
            }
            let span = self.cursor.span();
            args.push((body.find(id, span)?, span));
            self.cursor.next()?;
        }
        Ok(args)
    }

    /// `{name = value, …}`, or nothing.
    fn attrs(&mut self) -> Result<Attrs<'a>> {
        let mut attrs = Attrs { list: Vec::new() };
        if !self.cursor.eat(Token::Mark('{'))? {
            return Ok(attrs);
        }
        while !self.cursor.eat(Token::Mark('}'))? {
            if !attrs.list.is_empty() {
                self.cursor.expect(Token::Mark(','), "or `}` after an attribute")?;
            }
            let span = self.cursor.span();
            let name = self.cursor.word("an attribute's name")?;
            if attrs.list.iter().any(|a| a.name == name) {
                return Err(wrong(span, format!("attribute `{name}` is given twice")));
            }
            if attrs.list.len() == MOST_ATTRIBUTES {
                return Err(wrong(span, format!("no operation has more than {MOST_ATTRIBUTES} attributes")));
            }
            self.cursor.expect(Token::Mark('='), "and the attribute's value")?;
            let span = self.cursor.span();
            attrs.list.push(Attr { name, span, item: self.cursor.item(2)? });
        }
        Ok(attrs)
    }
}

/// What is over no function, but looks or speaks beyond its own.
const BEYOND: [&str; 3] = ["all_gather", "axis_index", "print"];

struct Attr<'a> {
    name: &'a str,
    span: Span,
    item: Item<'a>,
}

/// The attributes not yet used.
struct Attrs<'a> {
    list: Vec<Attr<'a>>,
}

impl<'a> Attrs<'a> {
    fn find(&mut self, name: &str) -> Option<Attr<'a>> {
        let at = self.list.iter().position(|a| a.name == name)?;
        Some(self.list.swap_remove(at))
    }

    fn take(&mut self, name: &str, op: &str, at: Span) -> Result<Attr<'a>> {
        self.find(name).ok_or_else(|| wrong(at, format!("`{op}` needs the attribute `{name}`")))
    }

    fn finish(&self, op: &str) -> Result<()> {
        match self.list.first() {
            Some(a) => Err(wrong(a.span, format!("`{op}` has no attribute `{}`", a.name))),
            None => Ok(()),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str, op: &str, at: Span) -> Result<T> {
        let attr = self.take(name, op, at)?;
        number(&attr.item).ok_or_else(|| wrong(attr.span, format!("expected a number for `{name}` that fits it")))
    }

    fn list<T>(&mut self, name: &str, op: &str, at: Span, element: impl Fn(&Item<'_>) -> Option<T>) -> Result<Vec<T>> {
        let attr = self.take(name, op, at)?;
        let Item::List(items) = &attr.item else {
            return Err(wrong(attr.span, format!("expected a list for `{name}`")));
        };
        let list: Option<Vec<T>> = items.iter().map(element).collect();
        list.ok_or_else(|| wrong(attr.span, format!("an element of `{name}` is not what `{op}` takes")))
    }

    /// Axes or lengths: no more than a shape can have.
    fn axes(&mut self, name: &str, op: &str, at: Span) -> Result<Axes> {
        let axes = self.list(name, op, at, number)?;
        few(&axes, name, at)?;
        Ok(axes.into())
    }

    fn shape(&mut self, op: &str, at: Span) -> Result<Shape> {
        self.axes("shape", op, at).map(|dims| dims.into_iter().collect())
    }

    fn axes_pair(&mut self, name: &str, op: &str, at: Span) -> Result<[Axes; 2]> {
        let axes = |item: &Item<'_>| match item {
            Item::List(items) => items.iter().map(number).collect::<Option<Axes>>(),
            Item::Word(_) | Item::Number(_) | Item::Nan(_) | Item::Text(_) => None,
        };
        let pair = self.list(name, op, at, axes)?;
        let pair: std::result::Result<[Axes; 2], _> = pair.try_into();
        let pair = pair.map_err(|_| wrong(at, format!("`{name}` is a pair of lists, one per operand")))?;
        pair.iter().try_for_each(|axes| few(axes, name, at))?;
        Ok(pair)
    }

    fn dtype(&mut self, op: &str, at: Span) -> Result<Dtype> {
        let attr = self.take("dtype", op, at)?;
        match attr.item {
            Item::Word(word) => Dtype::parse(word),
            Item::Number(_) | Item::Nan(_) | Item::Text(_) | Item::List(_) => None,
        }
        .ok_or_else(|| {
            wrong(
                attr.span,
                "expected an element type (`f32`, `f64`, `f16`, `bf16`, `i32`, `i64`, `u32`, `u8` or `bool`)",
            )
        })
    }

    fn transform(&mut self, name: &str, at: Span) -> Result<Transform> {
        Ok(match name {
            "call" => Transform::Call,
            "jvp" => Transform::Jvp { wrt: self.list("wrt", name, at, number)? },
            "vjp" => Transform::Vjp { wrt: self.list("wrt", name, at, number)? },
            "checkpoint" => Transform::Checkpoint { policy: self.policy(name, at)? },
            "named" => Transform::Named { name: self.text("name", name, at)? },
            "custom_jvp" | "custom_vjp" => {
                let params = self.number("params", name, at)?;
                let results = self.number("results", name, at)?;
                match name {
                    "custom_jvp" => Transform::CustomJvp { params, results },
                    _ => Transform::CustomVjp { params, results },
                }
            }
            _ => Transform::Vmap {
                in_axes: self.list("in_axes", name, at, |item| match item {
                    Item::Word("_") => Some(None),
                    item => number(item).map(Some),
                })?,
                out_axes: self.list("out_axes", name, at, number)?,
                size: self.number("size", name, at)?,
            },
        })
    }

    fn policy(&mut self, op: &str, at: Span) -> Result<Policy> {
        let attr = self.take("policy", op, at)?;
        Ok(match attr.item {
            Item::Word("nothing") => Policy::Nothing,
            Item::Word("everything") => Policy::Everything,
            Item::Word("dots") => Policy::Dots,
            Item::Word("dots_without_batch") => Policy::DotsWithoutBatch,
            Item::Word("names") => Policy::Names(self.list("names", op, at, text)?),
            Item::Word(_) | Item::Number(_) | Item::Nan(_) | Item::Text(_) | Item::List(_) => {
                let known = "`nothing`, `everything`, `dots`, `dots_without_batch` or `names`";
                return Err(wrong(attr.span, format!("expected a policy: {known}")));
            }
        })
    }

    fn text(&mut self, name: &str, op: &str, at: Span) -> Result<String> {
        let attr = self.take(name, op, at)?;
        text(&attr.item).ok_or_else(|| wrong(attr.span, format!("expected a text in quotes for `{name}`")))
    }

    fn flag(&mut self, name: &str, op: &str, at: Span) -> Result<bool> {
        let attr = self.take(name, op, at)?;
        match attr.item {
            Item::Word("true") => Ok(true),
            Item::Word("false") => Ok(false),
            Item::Word(_) | Item::Number(_) | Item::Nan(_) | Item::Text(_) | Item::List(_) => {
                Err(wrong(attr.span, format!("expected `true` or `false` for `{name}`")))
            }
        }
    }

    /// The loop or branch of that name over these functions; `None` if it is another name.
    fn control(&mut self, name: &str, callees: &[FnId], at: Span) -> Result<Option<Control>> {
        Ok(Some(match (name, callees) {
            ("scan", [body]) => Control::Scan {
                body: *body,
                consts: self.number("consts", name, at)?,
                carry: self.number("carry", name, at)?,
                length: self.number("length", name, at)?,
                reverse: self.flag("reverse", name, at)?,
            },
            ("while", [cond, body]) => Control::While {
                cond: *cond,
                body: *body,
                cond_consts: self.number("cond_consts", name, at)?,
                body_consts: self.number("body_consts", name, at)?,
            },
            ("switch", branches) => Control::Switch { branches: branches.to_vec() },
            ("either", ways) => Control::Either { ways: ways.to_vec() },
            ("all_gather", _) => {
                Control::AllGather { up: self.number("up", name, at)?, size: self.number("size", name, at)? }
            }
            ("axis_index", _) => {
                Control::AxisIndex { up: self.number("up", name, at)?, size: self.number("size", name, at)? }
            }
            ("print", _) => Control::Print {
                format: self.text("format", name, at)?,
                levels: self.list("levels", name, at, number)?,
            },
            _ => return Ok(None),
        }))
    }

    fn op(&mut self, name: &str, at: Span, written: &Written) -> Result<Op> {
        if let Some(u) = Unary::parse(name) {
            return Ok(Op::Unary(u));
        }
        if let Some(b) = Binary::parse(name) {
            return Ok(Op::Binary(b));
        }
        if let Some(c) = Compare::parse(name) {
            return Ok(Op::Compare(c));
        }
        if let Some(kind) = Reduce::parse(name) {
            return Ok(Op::Reduce { kind, axes: self.axes("axes", name, at)? });
        }
        if let Some(factor) = Factor::parse(name) {
            return Ok(Op::Linalg(Linalg::Factor(factor)));
        }
        Ok(match name {
            "select" => Op::Select,
            "constant" => {
                let value = self.take("value", name, at)?;
                let dtype = match (written, &value.item) {
                    (Written::One(aval), _) => aval.dtype,
                    (_, Item::Word("true" | "false")) => Dtype::Bool,
                    _ => return Err(wrong(at, "a constant needs its type: `%1: f32[] = constant {value = 1.5}`")),
                };
                Op::Constant(literal(dtype, &value.item).map_err(|e| wrong(value.span, e))?)
            }
            "iota" => Op::Iota {
                dtype: self.dtype(name, at)?,
                shape: self.shape(name, at)?,
                axis: self.number("axis", name, at)?,
            },
            "integer_pow" => Op::IntegerPow(self.number("n", name, at)?),
            "convert" => Op::Convert(self.dtype(name, at)?),
            "broadcast_in_dim" => {
                Op::BroadcastInDim { shape: self.shape(name, at)?, dims: self.axes("dims", name, at)? }
            }
            "reshape" => Op::Reshape(self.shape(name, at)?),
            "transpose" => Op::Transpose(self.axes("perm", name, at)?),
            "dot_general" => Op::DotGeneral(DotDims {
                contract: self.axes_pair("contract", name, at)?,
                batch: self.axes_pair("batch", name, at)?,
            }),
            "slice" => Op::Slice { start: self.axes("start", name, at)?, limit: self.axes("limit", name, at)? },
            "pad" => Op::Pad { low: self.axes("low", name, at)?, high: self.axes("high", name, at)? },
            "reverse" => Op::Reverse(self.axes("axes", name, at)?),
            "concatenate" => Op::Concatenate(self.number("axis", name, at)?),
            "argsort" => Op::Argsort(self.number("axis", name, at)?),
            "triangular_solve" => Op::Linalg(Linalg::TriangularSolve(Triangle {
                lower: self.flag("lower", name, at)?,
                transpose: self.flag("transpose", name, at)?,
                unit: self.flag("unit", name, at)?,
            })),
            "fft" => Op::Linalg(Linalg::Fft { inverse: self.flag("inverse", name, at)? }),
            "take" => Op::Take { axis: self.number("axis", name, at)?, batch: self.number("batch", name, at)? },
            _ => match Reduce::ALL.iter().find(|kind| scatter_name(**kind) == name) {
                Some(kind) => Op::Scatter {
                    kind: *kind,
                    axis: self.number("axis", name, at)?,
                    batch: self.number("batch", name, at)?,
                },
                None => return Err(unknown(name, at)),
            },
        })
    }
}

fn text(item: &Item<'_>) -> Option<String> {
    match item {
        Item::Text(text) => Some(text.clone()),
        Item::Word(_) | Item::Number(_) | Item::Nan(_) | Item::List(_) => None,
    }
}

fn number<T: std::str::FromStr>(item: &Item<'_>) -> Option<T> {
    match item {
        Item::Number(digits) => digits.parse().ok(),
        Item::Word(_) | Item::Nan(_) | Item::Text(_) | Item::List(_) => None,
    }
}

fn few(axes: &[usize], name: &str, at: Span) -> Result<()> {
    if axes.len() <= Shape::MAX_RANK {
        return Ok(());
    }
    Err(wrong(at, format!("`{name}` names {} axes; {} are the most there can be", axes.len(), Shape::MAX_RANK)))
}

/// The error of a name that means nothing, with the nearest that does.
fn unknown(name: &str, at: Span) -> Error {
    if name.len() > 40 {
        return wrong(at, format!("there is no operation of that name, of {} letters", name.len()));
    }
    let names = Op::names().into_iter().chain([
        "call",
        "jvp",
        "vjp",
        "vmap",
        "custom_jvp",
        "custom_vjp",
        "checkpoint",
        "named",
        "scan",
        "while",
        "switch",
        "either",
        "all_gather",
        "axis_index",
        "get",
    ]);
    let near = names.map(|n| (distance(name, n), n)).min().filter(|(d, n)| *d <= 2 && *d < n.len());
    match near {
        Some((_, near)) => wrong(at, format!("there is no operation `{name}`; did you mean `{near}`?")),
        None => wrong(at, format!("there is no operation `{name}`")),
    }
}

/// How many letters must be put in, left out or changed to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn tuple(avals: &[Aval]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = avals.iter().take(SHOWN).map(|a| a.to_string()).collect();
    let more = if avals.len() > SHOWN { format!(", … {} more", avals.len() - SHOWN) } else { String::new() };
    format!("({}{more})", shown.join(", "))
}
