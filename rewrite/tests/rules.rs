//! Every rule alone: on random well-shaped terms made from its own left-hand side it fires, and
//! both sides have the same value. And: wrong rules are caught.

mod support;

use egg::Id;
use egrad_ir::{Array, Aval, Binary, Dtype, Literal, Op, Program, Reduce, Shape, Transform, Unary, infer};
use egrad_rewrite::analysis::{EGraph, Facts};
use egrad_rewrite::expand_with;
use egrad_rewrite::rules::{FloatClass, Line, Right, Rule, Table, Tables, template};
use egrad_rewrite::term::{Attr, Head, Prim, Term, decode};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use support::denote::{Agreement, check, special};
use support::samples::conditioned;
use support::*;

/// A pattern, read.
enum Tree {
    Atom(String),
    Node(String, Vec<Tree>),
}

fn read(text: &str) -> Tree {
    fn tree(tokens: &mut std::iter::Peekable<std::vec::IntoIter<String>>) -> Tree {
        match tokens.next().unwrap().as_str() {
            "(" => {
                let name = tokens.next().unwrap();
                let mut args = Vec::new();
                while tokens.peek().unwrap() != ")" {
                    args.push(tree(tokens));
                }
                tokens.next();
                Tree::Node(name, args)
            }
            atom => Tree::Atom(atom.to_owned()),
        }
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    tree(&mut tokens.into_iter().peekable())
}

/// A random term that a pattern matches, in an e-graph.
struct Instance<'r> {
    random: &'r mut Random,
    egraph: EGraph,
    bound: HashMap<String, Id>,
    guards: &'r [Cow<'static, str>],
    base: Shape,
    dtype: Dtype,
    /// An axis, and how many axes are shared, that suit the operands of the primitive being built.
    place: (usize, usize),
}

impl Instance<'_> {
    fn leaf(&mut self, attr: Attr) -> Id {
        self.egraph.add(Term::leaf(Head::Attr(attr)))
    }

    fn aval(&self, id: Id) -> Aval {
        self.egraph[id].data.aval().unwrap().clone()
    }

    fn attr(&self, id: Id) -> Option<Attr> {
        self.egraph[id].data.attr().cloned()
    }

    /// A value for a variable: a parameter, or a constant where a guard asks for one.
    fn value(&mut self, name: &str, aval: Aval) -> Id {
        if let Some(id) = self.bound.get(name) {
            return *id;
        }
        let asked = self.guards.iter().find_map(|g| {
            let words: Vec<&str> = g.split(' ').collect();
            match words[..] {
                ["constant", v, n] if v == name => Some(vec![n.parse::<f64>().unwrap()]),
                ["known", v] if v == name => Some(vec![0.0, -0.0, 1.0, 2.5, -3.0, f64::INFINITY, f64::NAN]),
                ["power_of_two", v] if v == name => Some(vec![2.0, 0.25, -8.0]),
                ["invertible", v] if v == name => Some(vec![3.0, -0.7, 1e3]),
                _ => None,
            }
        });
        let counts = self.guards.iter().any(|g| {
            let words: Vec<&str> = g.split(' ').collect();
            matches!(words[..], ["slides" | "shifts", v, _] if v == name)
        });
        let id = match asked {
            _ if counts && aval.dtype == Dtype::I32 => self.counted(&aval.shape),
            Some(numbers) => {
                let number = numbers[self.random.below(numbers.len())];
                template::full(&mut self.egraph, Literal::new(aval.dtype, number), &aval.shape)
            }
            None => {
                self.egraph.analysis.params.push(aval);
                let i = self.egraph.analysis.params.len() as u32 - 1;
                self.egraph.add(Term::leaf(Head::Param(i)))
            }
        };
        self.bound.insert(name.to_owned(), id);
        id
    }

    /// Positions that go on by a step along each axis, mostly up.
    fn counted(&mut self, shape: &Shape) -> Id {
        let mut sum =
            template::full(&mut self.egraph, Literal::new(Dtype::I32, self.random.below(5) as f64 - 2.0), shape);
        for axis in 0..shape.rank() {
            let attrs = [Attr::Dtype(Dtype::I32), Attr::dims(shape.iter().copied()), Attr::Int(axis as i64)];
            let args: Vec<Id> = attrs.into_iter().map(|a| self.leaf(a)).collect();
            let iota = self.egraph.add(Term::new(Head::Prim(Prim::Iota), args));
            let step = [1.0, 1.0, 2.0, 3.0, -1.0][self.random.below(5)];
            let step = template::full(&mut self.egraph, Literal::new(Dtype::I32, step), shape);
            let far = self.egraph.add(Term::new(Head::Prim(Prim::Binary(Binary::Mul)), [iota, step]));
            sum = self.egraph.add(Term::new(Head::Prim(Prim::Binary(Binary::Add)), [sum, far]));
        }
        sum
    }

    /// Axes of a few lengths, now and then an empty one.
    fn shape(&mut self, rank: usize) -> Shape {
        let length = |random: &mut Random| match random.below(40) {
            0 => 0,
            n => [1, 2, 2, 3, 3][n % 5],
        };
        (0..rank).map(|_| length(self.random)).collect()
    }

    /// An operand's aval for a primitive, given those of its siblings.
    fn operand(&mut self, prim: Prim, k: usize, siblings: &[Option<Aval>]) -> Aval {
        let sibling = siblings.iter().flatten().next().cloned();
        let shape = sibling.as_ref().map_or_else(|| self.base.clone(), |a| a.shape.clone());
        let dtype = sibling.as_ref().map_or(self.dtype, |a| a.dtype);
        match prim {
            Prim::Select if k == 0 => Aval::new(Dtype::Bool, shape),
            Prim::Select => Aval::new(if dtype == Dtype::Bool { self.dtype } else { dtype }, shape),
            Prim::DotGeneral => {
                let rank = self.random.below(4);
                Aval::new(dtype, self.shape(rank))
            }
            Prim::Pad if k == 1 => Aval::new(dtype, Shape::scalar()),
            Prim::Concatenate if k == 1 && shape.rank() > 0 => {
                let axis = self.random.below(shape.rank());
                self.place = (axis, 0);
                Aval::new(dtype, shape.without(&[axis]).insert(axis, self.random.below(3)))
            }
            Prim::Take | Prim::Scatter(_) if k == 1 && shape.rank() > 0 => {
                let asked = |guard: &str| self.guards.iter().any(|g| g == guard);
                let axis = match (asked("int ?a 0"), asked("not_int ?a 0") || asked("not_int ?b 0")) {
                    (true, _) => 0,
                    (_, true) => 1 + self.random.below(shape.rank().saturating_sub(1).max(1)),
                    _ if asked("single ?i ?b") => shape.rank() - 1,
                    _ => self.random.below(shape.rank()),
                };
                let single = asked("single ?i ?b");
                let batch = match (asked("int ?b 0"), asked("not_int ?b 0")) {
                    (true, _) => 0,
                    (_, true) => axis,
                    _ if single => 1 + self.random.below(axis.max(1)),
                    _ => self.random.below(axis + 1),
                };
                self.place = (axis, batch);
                let own = self.random.below(3);
                let own: Vec<usize> = (0..own).map(|_| if single { 1 } else { 1 + self.random.below(3) }).collect();
                Aval::new(Dtype::I32, [&shape[..batch.min(shape.rank())], &own].concat())
            }
            Prim::Scatter(_) if k == 2 => {
                let (axis, batch) = self.place;
                let [Some(x), Some(indices), ..] = siblings else { return Aval::new(dtype, shape) };
                infer::infer(&Op::Take { axis, batch }, &[x, indices]).unwrap_or(Aval::new(dtype, shape))
            }
            Prim::Factor(_) => {
                let tall = usize::from(self.guards.iter().any(|g| g.starts_with("tall")));
                let n = 1 + self.random.below(3);
                Aval::new(dtype, [&shape[..shape.rank().min(1)], &[n + tall, n]].concat())
            }
            Prim::TriangularSolve if k == 1 => {
                let lead = shape.rank() - 2;
                Aval::new(dtype, [&shape[..=lead], &[self.random.below(4)]].concat())
            }
            Prim::TriangularSolve => {
                let n = 1 + self.random.below(3);
                Aval::new(dtype, [&shape[..shape.rank().min(1)], &[n, n]].concat())
            }
            Prim::Fft => Aval::new(dtype, [&shape[..shape.rank().min(1)], &[2, self.random.below(5)]].concat()),
            Prim::Constant
            | Prim::Iota
            | Prim::Unary(_)
            | Prim::Binary(_)
            | Prim::Compare(_)
            | Prim::IntegerPow
            | Prim::Convert
            | Prim::BroadcastInDim
            | Prim::Reshape
            | Prim::Transpose
            | Prim::Reduce(_)
            | Prim::Slice
            | Prim::Pad
            | Prim::Reverse
            | Prim::Concatenate
            | Prim::Take
            | Prim::Scatter(_)
            | Prim::Argsort => Aval::new(dtype, shape),
        }
    }

    /// Attributes that suit operands of these avals.
    fn attributes(&mut self, prim: Prim, operands: &[Aval]) -> Option<Vec<Attr>> {
        let keep = self.random.below(3) == 0;
        let x = operands.first();
        Some(match prim {
            Prim::Unary(_) | Prim::Binary(_) | Prim::Compare(_) | Prim::Select => vec![],
            Prim::Constant | Prim::Iota => return None,
            Prim::IntegerPow => {
                let asked = self.guards.iter().find_map(|g| g.strip_prefix("int ?n ")).map(|n| n.parse().unwrap());
                vec![Attr::Int(asked.unwrap_or_else(|| [-2, -1, 1, 2, 3, 5][self.random.below(6)]))]
            }
            Prim::Convert if keep => vec![Attr::Dtype(x?.dtype)],
            Prim::Convert => vec![Attr::Dtype(Dtype::ALL[self.random.below(Dtype::ALL.len())])],
            Prim::Transpose => {
                let mut perm: Vec<usize> = (0..x?.shape.rank()).collect();
                for i in (1..perm.len()).rev().filter(|_| !keep) {
                    perm.swap(i, self.random.below(i + 1));
                }
                vec![Attr::dims(perm)]
            }
            Prim::Reduce(_) => {
                let some: Vec<usize> = (0..x?.shape.rank()).filter(|_| self.random.below(2) == 0).collect();
                vec![Attr::dims(some)]
            }
            Prim::Reshape => {
                let mut dims = x?.shape.to_vec();
                if !keep {
                    dims.sort_unstable();
                    if self.random.below(2) == 0 && dims.len() > 1 {
                        let last = dims.pop().unwrap();
                        *dims.last_mut().unwrap() *= last;
                    }
                    if self.random.below(2) == 0 {
                        dims.insert(self.random.below(dims.len() + 1), 1);
                    }
                }
                vec![Attr::dims(dims)]
            }
            Prim::BroadcastInDim => {
                let mut shape = x?.shape.to_vec();
                let mut dims: Vec<usize> = (0..shape.len()).collect();
                for _ in 0..if keep { 0 } else { self.random.below(3) } {
                    let at = self.random.below(shape.len() + 1);
                    shape.insert(at, 1 + self.random.below(3));
                    dims.iter_mut().filter(|d| **d >= at).for_each(|d| *d += 1);
                }
                for (i, d) in dims.iter().enumerate() {
                    if x?.shape[i] == 1 && !keep && self.random.below(3) == 0 {
                        shape[*d] = 2;
                    }
                }
                vec![Attr::dims(shape), Attr::dims(dims)]
            }
            Prim::Slice => {
                let part = |n: &usize, random: &mut Random| {
                    let start = if keep { 0 } else { random.below(n + 1) };
                    (start, start + random.below(n - start + 1))
                };
                let (start, limit): (Vec<_>, Vec<_>) = x?.shape.iter().map(|n| part(n, self.random)).unzip();
                vec![Attr::dims(start), Attr::dims(limit)]
            }
            Prim::Pad => {
                let mut amounts = || Attr::dims((0..x.map_or(0, |x| x.shape.rank())).map(|_| self.random.below(3)));
                vec![amounts(), amounts()]
            }
            Prim::Reverse => {
                vec![Attr::dims((0..x?.shape.rank()).filter(|_| self.random.below(2) == 0))]
            }
            Prim::Concatenate => vec![Attr::Int(self.place.0 as i64)],
            Prim::Take | Prim::Scatter(_) => vec![Attr::Int(self.place.0 as i64), Attr::Int(self.place.1 as i64)],
            Prim::Factor(_) => vec![],
            Prim::TriangularSolve => {
                let asked = self.guards.iter().find_map(|g| g.strip_prefix("int ?t ")).map(|n| n.parse().unwrap());
                let mut flag = || Attr::Int(self.random.below(2) as i64);
                let (lower, transpose, unit) = (flag(), flag(), flag());
                vec![lower, asked.map_or(transpose, Attr::Int), unit]
            }
            Prim::Fft => vec![Attr::Int(self.random.below(2) as i64)],
            Prim::Argsort => vec![Attr::Int(self.random.below(x?.shape.rank().max(1)) as i64)],
            Prim::DotGeneral => {
                let [x, y] = operands else { return None };
                let (mut contract, mut batch) = ([vec![], vec![]], [vec![], vec![]]);
                for a in 0..x.shape.rank() {
                    let free: Vec<usize> = (0..y.shape.rank())
                        .filter(|b| x.shape[a] == y.shape[*b] && !contract[1].contains(b) && !batch[1].contains(b))
                        .collect();
                    if free.is_empty() {
                        continue;
                    }
                    let b = free[self.random.below(free.len())];
                    let into = match self.random.below(3) {
                        0 => &mut contract,
                        1 => &mut batch,
                        _ => continue,
                    };
                    let at = self.random.below(into[0].len() + 1);
                    into[0].insert(at, a);
                    into[1].insert(at, b);
                }
                let [cx, cy] = contract;
                let [bx, by] = batch;
                [cx, cy, bx, by].into_iter().map(Attr::dims).collect()
            }
        })
    }

    /// Builds a term; `None` if what came out so far doesn't fit together.
    fn build(&mut self, tree: &Tree) -> Option<Id> {
        let Tree::Node(name, args) = tree else { return None };
        let head = Head::parse(name).unwrap();
        let (prim, mask) = match head {
            Head::Prim(p) | Head::Pull(p, _) | Head::Push(p, _) => (p, None),
            Head::Batch(p, m) => (p, Some(m)),
            _ => return None,
        };
        let (attrs, rest) = args.split_at(prim.attrs());
        // Terms first, then variables, which take after them.
        let mut operands: Vec<Option<Id>> = vec![None; prim.arity()];
        for k in 0..prim.arity() {
            if let Tree::Node(..) = &rest[k] {
                operands[k] = Some(self.build(&rest[k])?);
            }
        }
        let mut elements: Vec<Aval> = Vec::new();
        for k in 0..prim.arity() {
            if let Tree::Atom(variable) = &rest[k] {
                // Batched operands get their axis below; siblings are compared by element.
                let siblings: Vec<Option<Aval>> = match mask {
                    Some(_) => elements.iter().cloned().map(Some).collect(),
                    None => operands.iter().map(|o| o.map(|id| self.aval(id))).collect(),
                };
                let mut aval = self.operand(prim, k, &siblings);
                elements.push(aval.clone());
                if mask.is_some_and(|m| m.get(k)) {
                    aval.shape = aval.shape.insert(0, 3);
                }
                operands[k] = Some(self.value(variable, aval));
            }
        }
        let operands: Vec<Id> = operands.into_iter().collect::<Option<_>>()?;
        let avals: Vec<Aval> = match mask {
            Some(_) => elements,
            None => operands.iter().map(|o| self.aval(*o)).collect(),
        };
        let fresh = self.attributes(prim, &avals)?;
        let mut ids: Vec<Id> = Vec::new();
        for (attr, tree) in fresh.into_iter().zip(attrs) {
            let Tree::Atom(text) = tree else { return None };
            let id = match (self.bound.get(text), Attr::parse(text)) {
                (Some(id), _) => *id,
                (None, Some(written)) => self.leaf(written),
                (None, None) => {
                    let id = self.leaf(attr);
                    self.bound.insert(text.clone(), id);
                    id
                }
            };
            ids.push(id);
        }
        let known: Vec<Attr> = ids.iter().map(|id| self.attr(*id)).collect::<Option<_>>()?;
        let op = decode(prim, &known.iter().collect::<Vec<_>>()).ok()?;
        infer::infer(&op, &avals.iter().collect::<Vec<_>>()).ok()?;
        ids.extend(&operands);
        if let [Tree::Atom(y), Tree::Atom(c)] = &rest[prim.arity()..] {
            let primal = self.egraph.add(Term::new(Head::Prim(prim), ids.iter().copied()));
            self.bound.insert(y.clone(), primal);
            // The structural rules make no markers where there is no derivative.
            let k = if let Head::Pull(_, k) | Head::Push(_, k) = head { usize::from(k) } else { 0 };
            if !avals[k].dtype.is_float() || !self.aval(primal).dtype.is_float() {
                return None;
            }
            let aval = match head {
                Head::Push(_, k) => avals[usize::from(k)].clone(),
                _ => self.aval(primal),
            };
            ids.push(primal);
            let c = self.value(c, aval);
            ids.push(c);
        }
        let id = self.egraph.add(Term::new(head, ids));
        self.egraph.analysis.check().ok()?;
        Some(id)
    }
}

/// Numbers for the inputs of a rule: where its derivative is smooth, where its class allows, or
/// anything at all.
fn inputs(rule: &Rule, random: &mut Random, params: &[Aval]) -> Vec<Array> {
    let (low, high) = match &rule.head {
        Head::Pull(p, _) | Head::Push(p, _) => match p {
            Prim::Unary(Unary::Sqrt | Unary::Rsqrt | Unary::Log | Unary::Log1p) => (0.3, 2.0),
            Prim::Binary(Binary::Div | Binary::Pow) => (0.3, 2.0),
            Prim::IntegerPow => (0.4, 1.5),
            _ => (-2.0, 2.0),
        },
        _ => match rule.float {
            FloatClass::Exact | FloatClass::SignedZero => {
                return params.iter().map(|a| special(random, a)).collect();
            }
            FloatClass::Reassociates | FloatClass::AssumesFinite => (-2.0, 2.0),
            FloatClass::AssumesDomain => (0.3, 2.0),
        },
    };
    let mut inputs: Vec<Array> = params.iter().map(|a| random.array(a, low, high)).collect();
    if let Head::Pull(p, _) | Head::Push(p, _) = &rule.head {
        inputs[0] = conditioned(*p, &inputs[0]);
    }
    inputs
}

/// Fires a rule on random terms from its left-hand side; how often it fired, and what was wrong.
fn exercise(table: &Table, rule: &Rule, line: &Line, seed: u64, times: usize) -> (usize, Vec<String>) {
    let mut random = Random(seed);
    let tree = read(rule.left());
    let derivative = matches!(rule.head, Head::Pull(..) | Head::Push(..));
    let (mut fired, mut wrong) = (0, Vec::new());
    for _ in 0..4000 {
        if fired == times || wrong.len() > 3 {
            break;
        }
        let dtype = if derivative { Dtype::F64 } else { Dtype::ALL[random.below(Dtype::ALL.len())] };
        let rank = random.below(4);
        let mut instance = Instance {
            egraph: EGraph::new(Facts::default()),
            bound: HashMap::new(),
            guards: &line.guards,
            base: Shape::scalar(),
            place: (0, 0),
            dtype,
            random: &mut random,
        };
        instance.base = instance.shape(rank);
        if instance.build(&tree).is_none() {
            continue;
        }
        let mut egraph = instance.egraph;
        // Differences need the digits of f64.
        if derivative && egraph.classes().any(|c| c.data.aval().is_some_and(|a| a.dtype == Dtype::F32)) {
            continue;
        }
        egraph.rebuild();
        match table.run(&mut egraph, 1, &|_| true) {
            Err(e) => {
                fired += 1;
                wrong.push(e.to_string());
            }
            Ok(report) if report.iterations[0].rules.iter().all(|r| r.applied == 0) => continue,
            Ok(_) => {
                fired += 1;
                let params = egraph.analysis.params.clone();
                let inputs = inputs(rule, &mut random, &params);
                let agreement = match rule.float {
                    FloatClass::Exact => Agreement::Bits,
                    FloatClass::SignedZero => Agreement::Within(0.0),
                    // f32 sums and products of a few terms.
                    _ => Agreement::Within(if params.iter().any(|p| p.dtype == Dtype::F32) { 2e-6 } else { 1e-12 }),
                };
                wrong.extend(check(&egraph, &inputs, agreement).1);
            }
        }
    }
    (fired, wrong)
}

fn alone(line: &Line) -> Tables {
    Tables::new(vec![line.clone()]).unwrap_or_else(|e| panic!("{}: {e}", line.name))
}

fn tables_of(tables: &Tables) -> [&Table; 4] {
    [&tables.pull, &tables.push, &tables.batch, &tables.simplify]
}

#[test]
fn every_rule_fires_and_its_sides_agree() {
    for line in Tables::standard().lines() {
        if line.right == Right::Absent || line.name.starts_with("fuse/") {
            continue;
        }
        let tables = alone(line);
        let mut fired: BTreeMap<String, usize> = BTreeMap::new();
        for table in tables_of(&tables) {
            for rule in table.rules() {
                let (count, wrong) = exercise(table, rule, line, 1, 25);
                assert!(wrong.is_empty(), "{line}\n{}: {}", rule.left(), wrong.join("\n"));
                *fired.entry(rule.left().to_owned()).or_default() += count;
            }
        }
        // A line over a class covers primitives that its guards or folding leave alone.
        let least = fired.values().copied().max().unwrap_or(0);
        assert!(least >= 10, "{line} fired {least} times");
        let silent: Vec<_> = fired.iter().filter(|(_, n)| **n == 0).map(|(left, _)| left.as_str()).collect();
        if !line.name.starts_with("simplify/fold") {
            assert!(silent.is_empty(), "{} never fired on {silent:?}", line.name);
        }
    }
}

/// Wrong versions of a right-hand side: one operation exchanged, one variable in place of another,
/// one number or attribute function changed.
fn mutants(line: &Line) -> Vec<String> {
    let Right::Text(right) = &line.right else { return Vec::new() };
    let spaced = right.replace('(', " ( ").replace(')', " ) ").replace('{', " { ").replace('}', " } ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let left = line.left.replace(['(', ')'], " ");
    let mut variables: Vec<&str> = left.split_whitespace().filter(|w| w.starts_with('?')).collect();
    variables.sort_unstable();
    variables.dedup();
    let exchange: &[(&str, &str)] = &[
        ("add", "sub"),
        ("sub", "add"),
        ("mul", "add"),
        ("div", "mul"),
        ("neg", "abs"),
        ("abs", "neg"),
        ("sin", "cos"),
        ("cos", "sin"),
        ("log", "exp"),
        ("ge", "lt"),
        ("eq", "ne"),
        ("reduce_sum", "reduce_max"),
        ("reduce_max", "reduce_sum"),
        ("full", "full -"),
        ("shift", "count"),
        ("behind_batch", "shift"),
        ("inverse", "count"),
        ("sort_by", "concat"),
        ("after", "concat"),
        ("left_front", "right_front"),
        ("right_front", "left_front"),
        ("pred", "minus"),
        ("except", "repeated"),
        ("0.5", "1"),
        ("-0.5", "0.5"),
        ("0", "1"),
        ("1", "2"),
    ];
    let mut out = Vec::new();
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        let mut add = |new: &str| {
            let mut changed = tokens.clone();
            changed[i] = new;
            out.push(changed.join(" ").replace("full - ", "full -"));
        };
        if let Some((_, new)) = exchange.iter().find(|(old, _)| old == token) {
            // The sign of a zero, and what a number is like, make no difference.
            if !(*token == "full" && tokens[i + 1] == "0") {
                add(new);
            }
        }
        let like = i > 1 && (tokens[i - 2] == "full" || tokens[i - 5.min(i)] == "full");
        if token.starts_with('?') && depth == 0 && !like {
            variables.iter().filter(|v| *v != token).for_each(|v| add(v));
        }
    }
    out
}

/// A function at a tie, kink or pole: its operands, the cotangent or tangent, and the derivative by
/// each operand.
struct Kink(Op, Vec<Vec<f64>>, Vec<f64>, Vec<Vec<f64>>);

/// What JAX has there (`tests/vectors/edge_kinks.json`).
fn kinks() -> Vec<Kink> {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let unary =
        |u, x: &[f64], c: &[f64], want: &[f64]| Kink(Op::Unary(u), vec![x.to_vec()], c.to_vec(), vec![want.to_vec()]);
    let power = |n, x: &[f64], c: &[f64], want: &[f64]| {
        Kink(Op::IntegerPow(n), vec![x.to_vec()], c.to_vec(), vec![want.to_vec()])
    };
    let ties = (vec![1.0, 2.0, -2.0, 0.0, nan], vec![0.0, 2.0, -2.0, 1.0, 1.0], vec![0.5, 4.0, -6.0, 2.0, 3.0]);
    let binary = |b, dx: &[f64], dy: &[f64]| {
        Kink(Op::Binary(b), vec![ties.0.clone(), ties.1.clone()], ties.2.clone(), vec![dx.to_vec(), dy.to_vec()])
    };
    vec![
        unary(Unary::Abs, &[-1.0, 0.0, -0.0, 2.0, nan], &[3.0, 4.0, 5.0, 6.0, 7.0], &[-3.0, 4.0, 5.0, 6.0, -7.0]),
        unary(Unary::Sign, &[-1.0, 0.0, 2.0], &[1.0, inf, nan], &[0.0, 0.0, 0.0]),
        unary(Unary::Sqrt, &[0.0, 1.0], &[2.0, 2.0], &[inf, 1.0]),
        power(0, &[0.0, inf], &[2.0, 3.0], &[0.0, 0.0]),
        power(1, &[0.0, -1.0], &[2.0, 3.0], &[2.0, 3.0]),
        power(2, &[0.0, -1.0], &[2.0, 3.0], &[0.0, -6.0]),
        binary(Binary::Max, &[0.5, 2.0, -3.0, 0.0, 0.0], &[0.0, 2.0, -3.0, 2.0, 0.0]),
        binary(Binary::Min, &[0.0, 2.0, -3.0, 2.0, 0.0], &[0.5, 2.0, -3.0, 0.0, 0.0]),
        Kink(
            Op::Binary(Binary::Pow),
            vec![vec![0.0, 0.0, 0.0, -2.0, -2.0], vec![0.0, 1.0, 2.0, 2.0, 3.0]],
            vec![-0.5, 1.0, -0.25, -1.0, -0.5],
            vec![vec![nan, 1.0, 0.0, 4.0, -6.0], vec![0.0, 0.0, 0.0, nan, nan]],
        ),
        unary(Unary::Floor, &[-1.0, 0.5, nan], &[1.0, inf, nan], &[0.0, 0.0, 0.0]),
        unary(Unary::Round, &[-1.0, 0.5, nan], &[1.0, inf, nan], &[0.0, 0.0, 0.0]),
        unary(Unary::Asin, &[1.0, -1.0, 1.5], &[2.0, -2.0, 1.0], &[inf, -inf, nan]),
        unary(Unary::Acos, &[1.0, -1.0, 1.5], &[2.0, -2.0, 1.0], &[-inf, inf, nan]),
        Kink(
            Op::Binary(Binary::Rem),
            vec![vec![7.0, -7.0, inf, 3.0, 3.0], vec![2.0, 2.0, 0.0, 0.0, -0.0]],
            vec![1.0, 2.0, 1.0, 1.0, 2.0],
            vec![vec![1.0, 2.0, 1.0, 1.0, 2.0], vec![-3.0, 6.0, -inf, -inf, inf]],
        ),
    ]
}

/// What is wrong with the derivatives at kinks.
fn wrong_at_kinks(tables: &Tables) -> Vec<String> {
    let mut wrong = Vec::new();
    let array = |data: &[f64]| Array::from_f64(Dtype::F64, data, [data.len()]).unwrap();
    let mut expect = |what: String, program: Program, inputs: &[Array], want: &[f64]| {
        let got = expand_with(&program, tables).map(|f| run(&f, inputs)[1].to_f64());
        let alike = |got: &Vec<f64>| got.iter().zip(want).all(|(g, w)| g == w || (g.is_nan() && w.is_nan()));
        if !got.as_ref().is_ok_and(alike) {
            wrong.push(format!("{what}: {got:?}, not {want:?}"));
        }
    };
    for Kink(op, operands, c, want) in kinks() {
        let avals: Vec<Aval> = operands.iter().map(|x| Aval::new(Dtype::F64, [x.len()])).collect();
        let f = function("f", &avals, |b, p| vec![b.op(op.clone(), p)]);
        let mut inputs: Vec<Array> = operands.iter().map(|x| array(x)).collect();
        inputs.push(array(&c));
        for (k, want) in want.iter().enumerate() {
            for transform in [Transform::Vjp { wrt: vec![k] }, Transform::Jvp { wrt: vec![k] }] {
                expect(format!("{transform:?} {op:?}"), transformed(&f, &transform), &inputs, want);
            }
        }
    }
    // Equal maxima share the cotangent, and average the tangents.
    let f = function("f", &[Aval::new(Dtype::F64, [2, 4])], |b, p| {
        vec![b.op(Op::Reduce { kind: Reduce::Max, axes: vec![1].into() }, p)]
    });
    let x = Array::from_f64(Dtype::F64, &[2.0, 2.0, 2.0, 0.0, -1.0, 5.0, 5.0, 1.0], [2, 4]).unwrap();
    let t = Array::from_f64(Dtype::F64, &[1.0, 2.0, 6.0, 9.0, 9.0, -1.0, 4.0, 9.0], [2, 4]).unwrap();
    let c = array(&[3.0, -8.0]);
    let vjp = transformed(&f, &Transform::Vjp { wrt: vec![0] });
    expect("vjp of reduce_max".into(), vjp, &[x.clone(), c], &[1.0, 1.0, 1.0, 0.0, 0.0, -4.0, -4.0, 0.0]);
    let jvp = transformed(&f, &Transform::Jvp { wrt: vec![0] });
    expect("jvp of reduce_max".into(), jvp, &[x, t], &[3.0, 1.5]);
    // Zeros are factors as others are.
    let f = function("f", &[Aval::new(Dtype::F64, [3, 3])], |b, p| {
        vec![b.op(Op::Reduce { kind: Reduce::Prod, axes: vec![1].into() }, p)]
    });
    let y = Array::from_f64(Dtype::F64, &[2.0, 3.0, 4.0, 2.0, 0.0, 5.0, 0.0, 0.0, 7.0], [3, 3]).unwrap();
    let u = Array::from_f64(Dtype::F64, &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0], [3, 3]).unwrap();
    let vjp = transformed(&f, &Transform::Vjp { wrt: vec![0] });
    let gradient = [12.0, 8.0, 6.0, 0.0, 20.0, 0.0, 0.0, 0.0, 0.0];
    expect("vjp of reduce_prod".into(), vjp, &[y.clone(), array(&[1.0, 2.0, 3.0])], &gradient);
    let jvp = transformed(&f, &Transform::Jvp { wrt: vec![0] });
    expect("jvp of reduce_prod".into(), jvp, &[y, u], &[46.0, 20.0, 0.0]);
    let f = function("f", &[Aval::new(Dtype::F64, [2, 4])], |b, p| {
        vec![b.op(Op::Reduce { kind: Reduce::Max, axes: vec![1].into() }, p)]
    });
    // Of NaN, no element is the maximum.
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let x = Array::from_f64(Dtype::F64, &[1.0, nan, 3.0, -inf, inf, 0.0, inf, nan], [2, 4]).unwrap();
    let t = Array::from_f64(Dtype::F64, &[1.0; 8], [2, 4]).unwrap();
    let vjp = transformed(&f, &Transform::Vjp { wrt: vec![0] });
    expect("vjp of reduce_max of NaN".into(), vjp, &[x.clone(), array(&[3.0, -8.0])], &[0.0; 8]);
    let jvp = transformed(&f, &Transform::Jvp { wrt: vec![0] });
    expect("jvp of reduce_max of NaN".into(), jvp, &[x, t], &[nan, nan]);
    wrong
}

#[test]
fn derivatives_at_kinks_are_those_of_jax() {
    let wrong = wrong_at_kinks(Tables::standard());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_rules_are_caught() {
    let (mut caught, mut survivors) = (0, Vec::new());
    for line in Tables::standard().lines().iter().filter(|l| !l.name.starts_with("fuse/")) {
        for right in mutants(line) {
            let mutant = Line { right: Right::Text(Cow::Owned(right)), ..line.clone() };
            let Ok(tables) = Tables::new(vec![mutant.clone()]) else { continue };
            if tables.check().is_err() {
                continue;
            }
            let mut wrong = false;
            for table in tables_of(&tables) {
                for rule in table.rules() {
                    let times = if line.left.contains("dot_general") { 150 } else { 40 };
                    wrong |= !exercise(table, rule, &mutant, 7, times).1.is_empty();
                    wrong |= matches!(rule.head, Head::Pull(..) | Head::Push(..)) && {
                        let changed = |l: &Line| if l.name == line.name { mutant.clone() } else { l.clone() };
                        let lines = Tables::standard().lines().iter().map(changed).collect();
                        !wrong && !wrong_at_kinks(&Tables::new(lines).unwrap()).is_empty()
                    };
                    if wrong {
                        break;
                    }
                }
            }
            if wrong { caught += 1 } else { survivors.push(mutant.to_string()) }
        }
    }
    // What survives is no mistake: of x = z and y = z, z may be x or y; a fold of attributes folds
    // nothing; what a number is like is its type.
    let equivalent = |text: &String| {
        let ties = text.contains("( eq ?y ?x )") || text.contains("( eq ?x ?y )");
        let one_like_t = text.starts_with("push/reduce_prod") && text.contains("} ?t ) ) ) ( broadcast_in_dim");
        ties || one_like_t || text.starts_with("simplify/fold-") || text.starts_with("simplify/sum-broadcast")
    };
    survivors.retain(|s| !equivalent(s));
    assert!(survivors.is_empty(), "caught {caught}, survived:\n{}", survivors.join("\n"));
    assert!(caught > 1000, "only {caught} mutants");
}
