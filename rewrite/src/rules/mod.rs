//! The rule tables: every derivative, every batching rule and every simplification is a line here.
//!
//! ```text
//! "pull/mul-0"      Exact: "(pull:mul:0 ?x ?y ?z ?c)" => "(mul ?c ?y)";
//! "pull/sign"       Exact: "(pull:sign:0 ?x ?y ?c)"   => absent;
//! "batch/binary-11" Exact: "(batch:@binary:11 ?x ?y)" => "(@binary ?x ?y)";
//! "simplify/add-zero" SignedZero: "(add ?x ?z)"       => "?x", if "constant ?z 0";
//! ```
//!
//! A line has a name (`stage/op[-case]`), a float class, a pattern, a [template] and guards.
//! `@unary`, `@binary`, `@compare`, `@reduce`, `@scatter` and `@factor` stand for every primitive of the class. `absent`
//! says that the edge doesn't exist: no marker is made, which is not the same as a zero (zero times
//! infinity is NaN). The mathematics stands in a `///` comment above the lines it is about, which
//! keep it ([`Line::about`]) so that it can be printed with them; `/// #` begins a section.
//!
//! Lines are compiled when they are first needed, once per process.

pub mod attrs;
pub mod batch;
mod complete;
pub mod fuse;
pub mod linalg;
pub mod notation;
pub mod pull;
pub mod push;
mod search;
pub mod simplify;
pub mod template;

use crate::analysis::{EGraph, Facts};
use crate::clock;
use crate::term::{Head, Key, Term};
use egg::{Applier, Id, Pattern, PatternAst, Rewrite, SearchMatches, Subst, Symbol, Var};
use egrad_ir::op::scatter_name;
use egrad_ir::{Binary, Compare, Error, Factor, Literal, Numerics, Reduce, Result, Unary};
use hashbrown::{HashMap, HashSet};
use search::{Guard, Search};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use template::{Template, wrong};

/// What a rule does to floating-point results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FloatClass {
    /// Both sides have the same bits for every input, NaN, infinities and -0 included.
    Exact,
    /// The sign of a zero may change.
    SignedZero,
    /// Rounding may change: sums and products are reordered.
    Reassociates,
    /// The sides differ where infinities or NaN occur.
    AssumesFinite,
    /// The sides differ outside of the natural domain (`log (exp x) = x`).
    AssumesDomain,
}

impl FloatClass {
    /// Whether rules of this class may fire.
    pub fn allowed(self, numerics: Numerics) -> bool {
        match (numerics, self) {
            (_, FloatClass::Exact) => true,
            (Numerics::Fast, FloatClass::SignedZero | FloatClass::Reassociates) => true,
            (Numerics::Strict, FloatClass::SignedZero | FloatClass::Reassociates) => false,
            (_, FloatClass::AssumesFinite | FloatClass::AssumesDomain) => false,
        }
    }

    /// The name used in text: `exact`, `signed-zero`, ….
    pub fn name(self) -> &'static str {
        match self {
            FloatClass::Exact => "exact",
            FloatClass::SignedZero => "signed-zero",
            FloatClass::Reassociates => "reassociates",
            FloatClass::AssumesFinite => "assumes-finite",
            FloatClass::AssumesDomain => "assumes-domain",
        }
    }
}

/// The right-hand side of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// A [template].
    Text(Cow<'static, str>),
    /// The edge doesn't exist.
    Absent,
}

/// One line of a table, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `stage/op[-case]`.
    pub name: &'static str,
    /// What it does to floats.
    pub float: FloatClass,
    /// The pattern.
    pub left: Cow<'static, str>,
    /// What is equal to it.
    pub right: Right,
    /// Conditions on what the pattern bound.
    pub guards: Vec<Cow<'static, str>>,
    /// The mathematics of this line and of those after it that have none of their own.
    pub about: &'static [&'static str],
}

impl Line {
    /// The section that begins here, if one does.
    pub fn section(&self) -> Option<&'static str> {
        self.about.iter().find_map(|text| text.trim_start().strip_prefix("# "))
    }

    /// The mathematics, a text line each; none where what stands above goes on.
    pub fn mathematics(&self) -> impl Iterator<Item = &'static str> {
        self.about.iter().map(|text| text.trim()).filter(|text| !text.starts_with("# "))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {} => ", self.name, self.float.name(), self.left)?;
        match &self.right {
            Right::Text(t) => f.write_str(t)?,
            Right::Absent => f.write_str("absent")?,
        }
        self.guards.iter().try_for_each(|g| write!(f, ", if {g}"))
    }
}

/// Writes a table; one that begins with `every` and its stage says something of every primitive that has
/// a derivative by [`first_without`](complete::first_without), or else compiling stops.
macro_rules! lines {
    (every $stage:literal; $($(#[doc = $about:literal])* $name:literal $float:ident: $left:literal => $right:tt $(, if $guard:literal)*;)*) => {{
        const NAMES: &[&str] = &[$($name),*];
        const _: () = match $crate::rules::complete::first_without($stage, NAMES) {
            None => {}
            Some(name) => panic!("{}", name), // has no line in this table
        };
        $crate::rules::lines! { $($(#[doc = $about])* $name $float: $left => $right $(, if $guard)*;)* }
    }};
    ($($(#[doc = $about:literal])* $name:literal $float:ident: $left:literal => $right:tt $(, if $guard:literal)*;)*) => {
        vec![$(
            $crate::rules::Line {
                name: $name,
                float: $crate::rules::FloatClass::$float,
                left: std::borrow::Cow::Borrowed($left),
                right: $crate::rules::lines!(@right $right),
                guards: vec![$(std::borrow::Cow::Borrowed($guard)),*],
                about: &[$($about),*],
            },
        )*]
    };
    (@right absent) => { $crate::rules::Right::Absent };
    (@right $text:literal) => { $crate::rules::Right::Text(std::borrow::Cow::Borrowed($text)) };
}
pub(crate) use lines;

/// A rule for one root: a line, or one primitive of the class that a line covers.
pub struct Rule {
    /// The line's name.
    pub name: &'static str,
    /// What it does to floats.
    pub float: FloatClass,
    /// What its pattern's root is.
    pub head: Head,
    /// Its position in the table.
    index: usize,
    line: Arc<Line>,
    /// The class the line covers and the primitive of it that this rule is about.
    member: Option<(&'static str, &'static str)>,
    /// Both sides, once they are asked for: most rules of a table are about primitives that a
    /// program doesn't use.
    text: OnceLock<[String; 2]>,
    /// The heads its pattern asks for, its root's included.
    needs: OnceLock<SmallVec<[Key; 4]>>,
    compiled: OnceLock<Result<Rewrite<Term, Facts>>>,
}

impl Rule {
    /// The pattern's text.
    pub fn left(&self) -> &str {
        &self.text()[0]
    }

    /// The template's text.
    pub fn right(&self) -> &str {
        &self.text()[1]
    }

    fn text(&self) -> &[String; 2] {
        self.text.get_or_init(|| {
            let right = match &self.line.right {
                Right::Text(t) => t,
                Right::Absent => "",
            };
            [&*self.line.left, right].map(|side| match self.member {
                Some((class, member)) => side.replace(class, member),
                None => side.to_owned(),
            })
        })
    }

    /// The heads its pattern asks for, its root's included.
    fn needs(&self) -> &[Key] {
        self.needs.get_or_init(|| {
            let names = self.left().split('(').skip(1).filter_map(|part| part.split([' ', ')']).next());
            names.filter_map(Head::parse).map(|h| h.key()).collect()
        })
    }

    /// The egg rewrite, compiled at the first call.
    ///
    /// # Errors
    /// If the line is malformed.
    pub fn rewrite(&self) -> Result<&Rewrite<Term, Facts>> {
        self.compiled.get_or_init(|| self.compile()).as_ref().map_err(Clone::clone)
    }

    fn compile(&self) -> Result<Rewrite<Term, Facts>> {
        let malformed = |e: &dyn fmt::Display| Error::internal(format!("rule `{}`: {e}", self.name));
        let pattern: Pattern<Term> = self.left().parse().map_err(|e| malformed(&e))?;
        let template = Template::parse(self.right()).map_err(|e| malformed(&e.report().message))?;
        let guards = self.line.guards.iter().map(|g| Guard::parse(g)).collect::<Result<Vec<_>>>();
        let guards = guards.map_err(|e| malformed(&e.report().message))?;
        let guards: Arc<[Guard]> = guards.into();
        let build = Build { rule: self.name, index: self.index, template, guards, bound: pattern.vars() };
        let search = Search::new(pattern, Arc::clone(&build.guards));
        Rewrite::new(self.name, search, build).map_err(|e| malformed(&e))
    }
}

/// Applies a rule: checks the guards, builds the template, unites.
struct Build {
    rule: &'static str,
    index: usize,
    template: Template,
    guards: Arc<[Guard]>,
    /// What the pattern binds.
    bound: Vec<Var>,
}

impl Build {
    /// What is about to be done, if somebody wants to know.
    fn applied(&self, egraph: &EGraph, class: Id, subst: &Subst) -> Option<Applied> {
        egraph.analysis.applied.as_ref()?;
        let bound = |v: &Var| subst.get(*v).map(|id| (*v, *id, egraph[*id].data.constant()));
        let bound = self.bound.iter().filter_map(bound).collect();
        Some(Applied { rule: self.index, class, bound, made: egraph.nodes().len(), result: class })
    }
}

impl Applier<Term, Facts> for Build {
    fn apply_one(
        &self,
        egraph: &mut EGraph,
        class: Id,
        subst: &Subst,
        _pattern: Option<&PatternAst<Term>>,
        _name: Symbol,
    ) -> Vec<Id> {
        egraph.analysis.rule = Some(self.rule);
        for guard in self.guards.iter() {
            match guard.holds(egraph, |v| subst.get(v).copied()) {
                Some(true) => {}
                Some(false) => return Vec::new(),
                None => {
                    egraph.analysis.fault(format!("has a guard `{}` on other types", guard.function.name));
                    return Vec::new();
                }
            }
        }
        let applied = self.applied(egraph, class, subst);
        match self.template.build(egraph, subst) {
            Ok(Some(id)) if egraph.union(class, id) => {
                if let (Some(log), Some(applied)) = (&mut egraph.analysis.applied, applied) {
                    log.push(Applied { result: id, ..applied });
                }
                vec![class]
            }
            Ok(_) => Vec::new(),
            Err(e) => {
                egraph.analysis.fault(e.report().message.clone());
                Vec::new()
            }
        }
    }

    fn vars(&self) -> Vec<Var> {
        let guards = self.guards.iter().flat_map(Guard::vars);
        self.template.vars().into_iter().chain(guards).collect()
    }
}

/// One application of a rule that said something new.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The rule's position in its table.
    pub(crate) rule: usize,
    /// What its pattern matched.
    pub(crate) class: Id,
    /// What the pattern bound, with the constant that was known of it.
    pub(crate) bound: SmallVec<[(Var, Id, Option<Literal>); 4]>,
    /// How many e-nodes had been made before it.
    pub(crate) made: usize,
    /// What it built.
    pub(crate) result: Id,
}

/// The rules of one stage, found by the root of their pattern.
#[derive(Default)]
pub struct Table {
    rules: Vec<Rule>,
    by_key: HashMap<Key, Vec<usize>>,
    absent: HashSet<Key>,
}

impl Table {
    /// Every rule.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a line says that this edge doesn't exist.
    pub fn is_absent(&self, head: &Head) -> bool {
        self.absent.contains(&head.key())
    }

    fn add(&mut self, line: &Line) -> Result<()> {
        let line = Arc::new(line.clone());
        for member in members(&line) {
            let head = root(&line.left, member);
            let head = head.ok_or_else(|| wrong(&line.left, "is no pattern with a term at its root"))?;
            match line.right {
                Right::Absent => {
                    self.absent.insert(head.key());
                }
                Right::Text(_) => {
                    self.by_key.entry(head.key()).or_default().push(self.rules.len());
                    self.rules.push(Rule {
                        name: line.name,
                        float: line.float,
                        head,
                        index: self.rules.len(),
                        line: Arc::clone(&line),
                        member,
                        text: OnceLock::new(),
                        needs: OnceLock::new(),
                        compiled: OnceLock::new(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The rules whose heads all occur in the e-graph and that `allow` lets pass, in table order.
    fn applicable<'t>(&'t self, egraph: &EGraph, allow: &dyn Fn(&Rule) -> bool) -> Vec<&'t Rule> {
        let present = |key: &Key| egraph.classes_for_op(key).is_some_and(|c| c.len() > 0);
        let mut found: Vec<usize> =
            self.by_key.iter().filter(|(k, _)| present(k)).flat_map(|(_, rules)| rules).copied().collect();
        found.sort_unstable();
        let possible = |r: &&Rule| allow(r) && r.needs().iter().all(present);
        found.into_iter().map(|i| &self.rules[i]).filter(possible).collect()
    }

    /// Runs the rules to saturation, at most `limit` times over the whole e-graph, every match of
    /// every rule each time. The e-graph must have been rebuilt, and is afterwards.
    ///
    /// # Errors
    /// If a rule is malformed or faulty.
    pub fn run(&self, egraph: &mut EGraph, limit: usize, allow: &dyn Fn(&Rule) -> bool) -> Result<Report> {
        let mut report = Report::default();
        while report.iterations.len() < limit {
            let start = Instant::now();
            let rules = self.applicable(egraph, allow);
            let rewrites = rules.iter().map(|r| r.rewrite()).collect::<Result<Vec<_>>>()?;
            let mut found: Vec<Vec<SearchMatches<'_, Term>>> = rules.iter().map(|_| Vec::new()).collect();
            let timed = egraph.analysis.timed;
            let mut micros = vec![0.0; rules.len()];
            let mut by_root: HashMap<Key, SmallVec<[usize; 8]>> = HashMap::new();
            rules.iter().enumerate().for_each(|(i, r)| by_root.entry(r.head.key()).or_default().push(i));
            for (root, rules) in &by_root {
                // In order of age: nodes made together lie together, and nothing depends on hashes.
                let mut classes: Vec<Id> = egraph.classes_for_op(root).map(Iterator::collect).unwrap_or_default();
                classes.sort_unstable();
                for class in classes {
                    for i in rules {
                        let search = || rewrites[*i].searcher.search_eclass(egraph, class);
                        found[*i].extend(if timed { stopwatch(&mut micros[*i], search) } else { search() });
                    }
                }
            }
            let mut iteration = Iteration::default();
            for (((rule, rewrite), matches), mut micros) in rules.iter().zip(rewrites).zip(found).zip(micros) {
                if matches.is_empty() {
                    continue;
                }
                let applied = stopwatch(&mut micros, || rewrite.apply(egraph, &matches).len());
                let matches = matches.iter().map(|m| m.substs.len()).sum();
                iteration.rules.push(Fired { rule: rule.name, float: rule.float, matches, applied, micros });
            }
            let changed = iteration.rules.iter().any(|f| f.applied > 0);
            if changed || !egraph.clean {
                clock::stopped(|| egraph.rebuild());
            }
            egraph.analysis.rule = None;
            egraph.analysis.check()?;
            iteration.nodes = egraph.total_number_of_nodes();
            iteration.classes = egraph.number_of_classes();
            iteration.micros = start.elapsed().as_secs_f64() * 1e6;
            report.iterations.push(iteration);
            if !changed {
                report.saturated = true;
                break;
            }
        }
        Ok(report)
    }
}

/// Runs `f` and adds its microseconds to `total`.
fn stopwatch<T>(total: &mut f64, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    *total += start.elapsed().as_secs_f64() * 1e6;
    result
}

/// What running a table did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One entry per time over the e-graph.
    pub iterations: Vec<Iteration>,
    /// Whether nothing was left to do.
    pub saturated: bool,
}

/// One time over the e-graph.
#[derive(Clone, Debug, Default)]
pub struct Iteration {
    /// The rules that matched, in table order.
    pub rules: Vec<Fired>,
    /// E-nodes afterwards.
    pub nodes: usize,
    /// Classes afterwards.
    pub classes: usize,
    /// How long it took.
    pub micros: f64,
}

/// What one rule did in one iteration.
#[derive(Clone, Debug)]
pub struct Fired {
    /// The line's name.
    pub rule: &'static str,
    /// Its float class.
    pub float: FloatClass,
    /// How often the pattern matched.
    pub matches: usize,
    /// How many matches said something new.
    pub applied: usize,
    /// How many microseconds applying it took; with searching for it, if that was
    /// [timed](crate::Options::watch).
    pub micros: f64,
}

/// The stages that have a table.
pub const STAGES: [&str; 5] = ["pull", "push", "batch", "simplify", "fuse"];

/// What the lines of a stage are about and how they are written: what the file that holds them says
/// at its head.
pub fn about(stage: &str) -> Option<String> {
    let source = match stage {
        "pull" => include_str!("pull.rs"),
        "push" => include_str!("push.rs"),
        "batch" => include_str!("batch.rs"),
        "simplify" => include_str!("simplify.rs"),
        "fuse" => include_str!("fuse.rs"),
        _ => return None,
    };
    let head = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text = head.filter(|line| !line.trim_start().starts_with("```"));
    Some(text.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n"))
}

/// The tables of every stage.
#[derive(Default)]
pub struct Tables {
    lines: Vec<Line>,
    /// Reverse mode.
    pub pull: Table,
    /// Forward mode.
    pub push: Table,
    /// Vectorisation.
    pub batch: Table,
    /// Simplification.
    pub simplify: Table,
    /// Fusion.
    pub fuse: Table,
}

impl Tables {
    /// egrad's tables.
    pub fn standard() -> &'static Tables {
        static STANDARD: OnceLock<Tables> = OnceLock::new();
        STANDARD.get_or_init(|| {
            let lines = [
                pull::lines(),
                linalg::pull(),
                push::lines(),
                linalg::push(),
                batch::lines(),
                linalg::batch(),
                simplify::lines(),
                fuse::lines(),
            ]
            .concat();
            Tables::new(lines).expect("the tables are well-formed: a test compiles every line")
        })
    }

    /// Tables of these lines; a line's stage is the first part of its name.
    ///
    /// # Errors
    /// If a line has no stage or its pattern no root.
    pub fn new(lines: Vec<Line>) -> Result<Tables> {
        let mut tables = Tables::default();
        for line in &lines {
            let table = match line.name.split('/').next() {
                Some("pull") => &mut tables.pull,
                Some("push") => &mut tables.push,
                Some("batch") => &mut tables.batch,
                Some("simplify") => &mut tables.simplify,
                Some("fuse") => &mut tables.fuse,
                _ => return Err(wrong(line.name, "names no stage")),
            };
            table.add(line)?;
        }
        tables.lines = lines;
        Ok(tables)
    }

    /// The lines as written.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The table of a stage: `pull`, `push`, `batch`, `simplify` or `fuse`.
    pub fn table(&self, stage: &str) -> Option<&Table> {
        match stage {
            "pull" => Some(&self.pull),
            "push" => Some(&self.push),
            "batch" => Some(&self.batch),
            "simplify" => Some(&self.simplify),
            "fuse" => Some(&self.fuse),
            _ => None,
        }
    }

    /// Compiles every rule.
    ///
    /// # Errors
    /// If one is malformed, naming it.
    pub fn check(&self) -> Result<()> {
        let all = [&self.pull, &self.push, &self.batch, &self.simplify, &self.fuse];
        all.iter().flat_map(|t| &t.rules).try_for_each(|r| r.rewrite().map(|_| ()))
    }
}

/// The class a line covers with each primitive of it; one entry, `None`, for a line without one.
fn members(line: &Line) -> Vec<Option<(&'static str, &'static str)>> {
    fn of<T: Copy>(
        class: &'static str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Vec<Option<(&'static str, &'static str)>> {
        all.iter().map(|p| Some((class, name(*p)))).collect()
    }
    match line.left.split_once('@').map(|(_, rest)| rest) {
        Some(rest) if rest.starts_with("unary") => of("@unary", Unary::ALL, Unary::name),
        Some(rest) if rest.starts_with("binary") => of("@binary", Binary::ALL, Binary::name),
        Some(rest) if rest.starts_with("compare") => of("@compare", Compare::ALL, Compare::name),
        Some(rest) if rest.starts_with("reduce") => of("@reduce", Reduce::ALL, Reduce::name),
        Some(rest) if rest.starts_with("factor") => of("@factor", Factor::ALL, Factor::name),
        Some(rest) if rest.starts_with("scatter") => of("@scatter", Reduce::ALL, scatter_name),
        Some(_) | None => vec![None],
    }
}

/// What a pattern's root is.
fn root(left: &str, member: Option<(&str, &str)>) -> Option<Head> {
    let name = left.trim_start().strip_prefix('(')?.split([' ', ')']).next()?;
    match member {
        Some((class, member)) => Head::parse(&name.replace(class, member)),
        None => Head::parse(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_compiles() {
        let tables = Tables::standard();
        tables.check().unwrap();
        let names: HashSet<_> = tables.lines().iter().map(|l| l.name).collect();
        assert_eq!(names.len(), tables.lines().len(), "names are unique");
    }
}
