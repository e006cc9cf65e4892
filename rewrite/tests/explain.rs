//! Explanations: every step of every proof is what the rule it names, alone, makes of the printed
//! term, and the steps lead from what was written to what was chosen.

mod support;

use egg::{Id, RecExpr};
use egrad_ir::{Aval, Dtype, Function, Literal, NodeId, NodeKind, Numerics, Op, Program, Transform};
use egrad_rewrite::analysis::{EGraph, Facts};
use egrad_rewrite::explain::{Chain, Explanation, Origin, Reason, RuleStep, Subject, Whence, Why};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::term::{Attr, Head, Prim, Term, encode};
use egrad_rewrite::{Compilation, Fusion, Options, Place, compile_plain, expand};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use support::programs::{Choices, random_function};
use support::*;

/// Terms of a compilation, by what they are: two are the same e-class exactly if they are the same
/// text, because no rule runs here.
struct Book<'w> {
    egraph: EGraph,
    written: Vec<Id>,
    named: HashMap<u32, &'w str>,
    ids: HashMap<u32, Id>,
}

fn load(egraph: &mut EGraph, f: &Function) -> Vec<Id> {
    let mut ids: Vec<Id> = Vec::new();
    for (_, node) in f.nodes() {
        let term = match &node.kind {
            NodeKind::Param(i) => Term::leaf(Head::Param(*i as u32)),
            NodeKind::Op(op) => {
                let (prim, attrs) = encode(op);
                let mut args: Vec<Id> = attrs.into_iter().map(|a| egraph.add(Term::leaf(Head::Attr(a)))).collect();
                args.extend(node.args.iter().map(|a| ids[a.index()]));
                Term::new(Head::Prim(prim), args)
            }
            NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => panic!("not plain"),
        };
        ids.push(egraph.add(term));
    }
    ids
}

impl<'w> Book<'w> {
    fn new(transformed: &Function, why: &'w Why) -> Book<'w> {
        let mut egraph = EGraph::new(Facts::new(transformed.param_avals()));
        let written = load(&mut egraph, transformed);
        let named = why.terms.iter().map(|t| (t.number, t.text.as_str())).collect();
        let mut book = Book { egraph, written, named, ids: HashMap::new() };
        // What is said of a written node is what was written.
        for t in why.terms.iter().filter(|t| !t.text.is_empty()) {
            assert_eq!(book.read(&t.text), book.number(t.number), "%{}", t.number);
            assert_eq!(book.egraph[book.ids[&t.number]].data.aval(), Some(&t.aval));
        }
        book
    }

    fn number(&mut self, n: u32) -> Id {
        if let Some(id) = self.ids.get(&n) {
            return *id;
        }
        let id = match self.written.get(n as usize) {
            Some(id) => *id,
            None => {
                let text = self.named.get(&n).unwrap_or_else(|| panic!("%{n} has no definition"));
                self.read(text)
            }
        };
        self.ids.insert(n, id);
        id
    }

    fn read(&mut self, text: &str) -> Id {
        *self.parts(text).last().unwrap()
    }

    /// Every term within a text, the whole one last.
    fn parts(&mut self, text: &str) -> Vec<Id> {
        let expr: RecExpr<Term> = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut ids: Vec<Id> = Vec::new();
        for term in expr.as_ref() {
            let id = match term.head {
                Head::Param(n) => self.number(n),
                _ => self.egraph.add(Term::new(term.head.clone(), term.args.iter().map(|a| ids[usize::from(*a)]))),
            };
            ids.push(id);
        }
        self.egraph.analysis.check().unwrap();
        ids
    }
}

/// Checks one chain, of which the earlier ones have been checked.
fn check_chain(book: &mut Book<'_>, chains: &[Chain], chain: &Chain, steps: &mut Vec<RuleStep>) {
    let mut at = chain.from;
    for step in &chain.steps {
        assert_eq!(step.from, at, "{chain:?}");
        at = step.to;
        let (from, to) = (book.number(step.from), book.number(step.to));
        match &step.reason {
            Reason::Rule(rule) => {
                assert!(rule.replays(Tables::standard()).unwrap(), "{rule:?}");
                assert_eq!((book.read(&rule.before), book.read(&rule.after)), (from, to), "{step:?}");
                steps.push(rule.clone());
            }
            Reason::Operands(differ) => {
                let [a, b] = [from, to].map(|id| book.egraph.id_to_node(id).clone());
                assert_eq!(a.head, b.head, "{step:?}");
                let known: BTreeMap<usize, usize> = differ.iter().copied().collect();
                assert!(!known.is_empty() && known.len() == differ.len(), "{step:?}");
                for (k, (x, y)) in a.args.iter().zip(&b.args).enumerate() {
                    match known.get(&k) {
                        None => assert_eq!(x, y, "{step:?}"),
                        Some(j) => {
                            let lemma: &Chain = &chains[*j];
                            assert_eq!((book.number(lemma.from), book.number(lemma.to)), (*x, *y), "{step:?}");
                        }
                    }
                }
            }
            Reason::Constant(literal) => {
                for id in [from, to] {
                    assert_eq!(book.egraph[id].data.constant(), Some(*literal), "{step:?}");
                }
            }
        }
    }
    assert_eq!(at, chain.to);
}

/// Checks that what the last transform's rules are said to have made of a node is the node.
fn check_origin(book: &mut Book<'_>, node: NodeId, origins: &[Origin]) {
    let Some(Origin { whence: Whence::Rules { steps, part }, terms, node: said, .. }) = origins.first() else { return };
    assert_eq!(*said, node);
    let len = book.written.len() as u32;
    for term in terms.iter().filter(|t| t.number < len && !t.text.is_empty() && !t.text.contains('_')) {
        assert_eq!(book.read(&term.text), book.number(term.number), "{node}: {term:?}");
    }
    for step in steps {
        // What the node doesn't need may have been dropped: then it has a number of this step alone.
        let dropped: Vec<&(u32, Aval)> = step.leaves.iter().filter(|(n, _)| *n >= len).collect();
        assert!(*part || dropped.iter().all(|(n, _)| !step.after.contains(&format!("%{n}"))), "{node}: {step:?}");
        let known = book.ids.clone();
        for (n, aval) in dropped {
            assert!(terms.iter().any(|t| t.number == *n && t.aval == *aval), "{node}: {step:?}");
            book.egraph.analysis.params.push(aval.clone());
            let param = book.egraph.analysis.params.len() as u32 - 1;
            let id = book.egraph.add(Term::leaf(Head::Param(param)));
            book.ids.insert(*n, id);
        }
        let parts = book.parts(&step.after);
        book.ids = known;
        let id = book.number(node.0);
        assert!(if *part { parts.contains(&id) } else { parts.last() == Some(&id) }, "{node}: {step:?}");
    }
}

/// Checks what is said of one node; the steps by rules.
fn check(compilation: &Compilation, why: &Why) -> Vec<RuleStep> {
    let mut book = Book::new(&compilation.transformed, why);
    let mut steps = Vec::new();
    for (i, chain) in why.chains.iter().enumerate() {
        assert!(!chain.steps.is_empty());
        check_chain(&mut book, &why.chains[..i], chain, &mut steps);
    }
    if let Some(chosen) = why.chosen {
        let chosen = load(&mut book.egraph, &compilation.extracted)[chosen.index()];
        let written = book.written[why.written.index()];
        match why.chains.last() {
            Some(last) => assert_eq!((book.number(last.from), book.number(last.to)), (written, chosen)),
            None => assert_eq!(written, chosen),
        }
    } else {
        assert!(why.chains.is_empty() && why.fused.is_empty());
    }
    check_origin(&mut book, why.written, &why.origins);
    why.inner.iter().for_each(|(node, origins)| check_origin(&mut book, *node, origins));
    for step in &why.fused {
        assert!(step.replays(Tables::standard()).unwrap(), "{step:?}");
        steps.push(step.clone());
    }
    for origin in why.origins.iter().chain(why.inner.iter().flat_map(|(_, origins)| origins)) {
        if let Whence::Rules { steps: rules, .. } = &origin.whence {
            assert!(!rules.is_empty(), "{origin:?}");
            for step in rules {
                assert!(step.replays(Tables::standard()).unwrap(), "{step:?}");
                steps.push(step.clone());
            }
        }
    }
    steps
}

/// Checks everything that is said of a program; the steps by rules.
fn check_all(program: &Program) -> Vec<RuleStep> {
    check_with(program, Options::default())
}

fn check_with(program: &Program, options: Options) -> Vec<RuleStep> {
    let options = Options { watch: true, ..options };
    let compilation = compile_plain(expand(program).unwrap(), &options).unwrap();
    let mut all = Explanation::new(Some(program), &compilation, &options, Tables::standard()).unwrap();
    let mut steps = Vec::new();
    let results = compilation.transformed.results().len();
    let mut subjects: Vec<Subject> = (0..results).map(Subject::Result).collect();
    subjects.extend((0..compilation.transformed.len()).map(|i| Subject::Transformed(NodeId::from(i))));
    subjects.extend((0..compilation.extracted.len()).map(|i| Subject::Extracted(NodeId::from(i))));
    let live = compilation.transformed.live();
    for subject in subjects {
        let why = all.why(subject);
        let why = match (subject, why) {
            (Subject::Transformed(node), Err(e)) if !live[node.index()] => {
                assert!(e.to_string().contains("no result depends on"), "{e}");
                continue;
            }
            (_, why) => why.unwrap_or_else(|e| panic!("{subject:?}: {e}\n{}", compilation.transformed)),
        };
        // It goes back to what was written.
        let last = why.origins.last().unwrap();
        assert!(matches!(last.whence, Whence::Written { .. } | Whence::Structure), "{last:?}");
        let is_op = |f: &Function, n: NodeId| matches!(f.node(n).kind, NodeKind::Op(_));
        if let Some(node) = why.part.or(why.chosen) {
            let kernel = matches!(why.place, Some(Place::Kernel(_) | Place::Inline(_)));
            assert_eq!(kernel, !why.fused.is_empty(), "{why:?}");
            assert!(is_op(&compilation.extracted, node) || !kernel);
        }
        steps.extend(check(&compilation, &why));
    }
    steps
}

fn f32s(shape: &[usize]) -> Aval {
    Aval::new(Dtype::F32, shape)
}

fn squared_error() -> Program {
    let mut program = Program::new();
    let f = program.add(function("squared_error", &vec![f32s(&[]); 4], |b, p| {
        let y = b.binary("mul", p[0], p[2]);
        let y = b.binary("add", y, p[1]);
        let e = b.binary("sub", y, p[3]);
        vec![b.op(Op::IntegerPow(2), &[e])]
    }));
    let g = function("gradient", &vec![f32s(&[]); 4], |b, p| {
        let one = b.op(Op::Constant(Literal::new(Dtype::F32, 1.0)), &[]);
        let vjp = Transform::Vjp { wrt: vec![0, 1] };
        b.apply(&program, vjp, f, &[p[0], p[1], p[2], p[3], one])[1..].to_vec()
    });
    let g = program.add(g);
    let vmap = Transform::Vmap { in_axes: vec![None, None, Some(0), Some(0)], out_axes: vec![0, 0], size: 100 };
    let entry = function("per_example", &[f32s(&[]), f32s(&[]), f32s(&[100]), f32s(&[100])], |b, p| {
        b.apply(&program, vmap, g, p)
    });
    program.add(entry);
    program
}

fn names(steps: &[RuleStep]) -> BTreeSet<&'static str> {
    steps.iter().map(|s| s.rule).collect()
}

#[test]
fn the_tutorials_gradient() {
    let program = squared_error();
    let options = Options { watch: true, ..Options::default() };
    let compilation = compile_plain(expand(&program).unwrap(), &options).unwrap();
    let mut all = Explanation::new(Some(&program), &compilation, &options, Tables::standard()).unwrap();
    let why = all.why(Subject::Result(1)).unwrap();
    let steps = check(&compilation, &why);
    for rule in ["batch/binary-01", "pull/integer_pow", "pull/sub-0", "pull/add-1", "simplify/power-one"] {
        assert!(names(&steps).contains(rule), "{rule}: {:?}", names(&steps));
    }
    assert_eq!(why.place, Some(Place::Kernel(0)));
}

#[test]
fn every_step_of_every_node_replays() {
    let steps = check_all(&squared_error());
    let stages: BTreeSet<&str> = steps.iter().filter_map(|s| s.rule.split('/').next()).collect();
    assert_eq!(stages, BTreeSet::from(["batch", "fuse", "pull", "simplify"]));
}

#[test]
fn other_options_make_other_proofs() {
    let program = squared_error();
    let strict = names(&check_with(&program, Options { numerics: Numerics::Strict, ..Options::default() }));
    assert!(strict.contains("simplify/one-mul"), "{strict:?}");
    let disabled = vec!["simplify/one-mul".to_owned(), "fuse/inline-binary".to_owned()];
    let without = names(&check_with(&program, Options { disabled, ..Options::default() }));
    assert!(without.contains("simplify/power-one") && !without.contains("simplify/one-mul"), "{without:?}");
    assert!(without.contains("fuse/kernel-binary") && !without.contains("fuse/inline-binary"), "{without:?}");
    let apart = names(&check_with(&program, Options { fusion: Fusion::Off, ..Options::default() }));
    assert!(apart.contains("fuse/load") && !apart.iter().any(|r| r.starts_with("simplify/")), "{apart:?}");
}

#[test]
fn functions_that_are_applied_twice() {
    // Copies of one gradient, of which a node's origin must name its own.
    let mut program = Program::new();
    let f = program.add(function("f", &vec![f32s(&[3]); 2], |b, p| {
        let y = b.unary("tanh", p[0]);
        let y = b.binary("mul", y, p[1]);
        vec![b.binary("mul", y, p[0])]
    }));
    let entry = function("twice", &vec![f32s(&[3]); 2], |b, p| {
        let vjp = Transform::Vjp { wrt: vec![0, 1] };
        let first = b.apply(&program, vjp.clone(), f, &[p[0], p[1], p[1]]);
        let second = b.apply(&program, vjp.clone(), f, &[p[1], first[1], p[0]]);
        let third = b.apply(&program, vjp, f, &[second[2], p[0], second[1]]);
        vec![third[0], third[1], third[2], second[0]]
    });
    program.add(entry);
    let names = names(&check_all(&program));
    assert!(names.contains("pull/tanh") && names.contains("pull/mul-1"), "{names:?}");
}

#[test]
fn a_step_by_another_rule_does_not_replay() {
    let mut tried = 0;
    let mut seen = BTreeSet::new();
    for step in check_all(&squared_error()) {
        if !seen.insert((step.rule, step.before.clone())) {
            continue;
        }
        for line in Tables::standard().lines().iter().filter(|l| l.name != step.rule) {
            let mutant = RuleStep { rule: line.name, ..step.clone() };
            assert!(!mutant.replays(Tables::standard()).unwrap(), "{mutant:?}");
            tried += 1;
        }
        // Nor does it the other way, or with sides exchanged.
        let turned = RuleStep { forward: !step.forward, ..step.clone() };
        assert!(!turned.replays(Tables::standard()).unwrap(), "{turned:?}");
        let nothing = RuleStep { after: step.before.clone(), ..step.clone() };
        assert!(!nothing.replays(Tables::standard()).unwrap(), "{nothing:?}");
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn constants_that_only_the_analysis_knows() {
    // (x · (2 − 1)) · reshape(1): the rules ask for constants that are computed or moved.
    let f = function("f", &[f32s(&[2, 3])], |b, p| {
        let full = |b: &mut Build, value: f64, shape: &[usize]| {
            let k = b.op(Op::Constant(Literal::new(Dtype::F32, value)), &[]);
            b.op(Op::BroadcastInDim { shape: shape.into(), dims: Default::default() }, &[k])
        };
        let (two, one) = (full(b, 2.0, &[2, 3]), full(b, 1.0, &[2, 3]));
        let k = b.binary("sub", two, one);
        let y = b.binary("mul", p[0], k);
        let k = full(b, 1.0, &[6]);
        let k = b.op(Op::Reshape([2, 3].into()), &[k]);
        let k = b.op(Op::Transpose(vec![1, 0].into()), &[k]);
        let k = b.op(Op::Transpose(vec![1, 0].into()), &[k]);
        let y = b.binary("mul", y, k);
        let y = b.binary("add", y, k);
        vec![b.unary("sin", y)]
    });
    let mut program = Program::new();
    program.add(f);
    let steps = check_all(&program);
    let names = names(&steps);
    assert!(names.contains("simplify/fold-binary") && names.contains("simplify/mul-one"), "{names:?}");
}

#[test]
fn what_there_is_not() {
    let program = squared_error();
    let options = Options { watch: true, ..Options::default() };
    let compilation = compile_plain(expand(&program).unwrap(), &options).unwrap();
    let mut all = Explanation::new(None, &compilation, &options, Tables::standard()).unwrap();
    let mut error = |subject| all.why(subject).unwrap_err().to_string();
    assert!(error(Subject::Result(2)).contains("there is no result 2: `per_example` has 2"));
    let last = compilation.transformed.len() - 1;
    let message = format!("the transformed function has no %99: its nodes are %0 to %{last}");
    assert!(error(Subject::Transformed(NodeId(99))).contains(&message));
    assert!(error(Subject::Extracted(NodeId(99))).contains("the extracted function has no %99"));
}

/// Transforms of a random function, with the simplifier's favourite attributes.
fn transforms(f: &Function) -> Vec<Program> {
    let vmap = Transform::Vmap {
        in_axes: f.params().map(|p| (p.index() == 0).then_some(0)).collect(),
        out_axes: vec![0; f.results().len()],
        size: 3,
    };
    let wrt = vec![0];
    [Transform::Vjp { wrt: wrt.clone() }, Transform::Jvp { wrt }, vmap].iter().map(|t| transformed(f, t)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_programs(choices in proptest::collection::vec(any::<u16>(), 4..60)) {
        let f = random_function(&mut Choices { left: &choices });
        for program in transforms(&f) {
            check_all(&program);
        }
    }
}

#[test]
fn attributes_of_printed_terms_read_back() {
    let step = |before: &str, after: &str| RuleStep {
        rule: "simplify/mul-one",
        float: egrad_rewrite::rules::FloatClass::Exact,
        forward: true,
        before: before.to_owned(),
        after: after.to_owned(),
        leaves: vec![(7, f32s(&[2]))],
    };
    let tables = Tables::standard();
    assert!(step("(mul %7 (broadcast_in_dim [2] [] (constant 1.0f32)))", "%7").replays(tables).unwrap());
    assert!(!step("(mul %7 (broadcast_in_dim [2] [] (constant 2.0f32)))", "%7").replays(tables).unwrap());
    assert!(step("(mul %7 %8)", "%7").replays(tables).is_err());
    assert!(step("(mul %7", "%7").replays(tables).is_err());
    assert_eq!(Head::parse("constant"), Some(Head::Prim(Prim::Constant)));
    assert_eq!(Attr::parse("[2]"), Some(Attr::dims([2])));
}
