//! Calls: three ways to run a function inside another, and which one pays.
//!
//! * *inline*: a copy of the function's operations among the caller's;
//! * *push-in*: a call of the function, or of what `vmap` makes of it; compiled by itself and run
//!   once, which keeps the boundary (what JAX does);
//! * *dispatch*: the function's own kernels, run for every element of a batch by their stride.
//!
//! In the e-graph a call's results are equal whichever way they come about: a result's class holds
//! `(get i (call …))` per way, and the primitive that inlining makes of it. Extraction prices each.
//!
//! Loops and branches are calls that there is one way to make: over functions compiled by themselves.
//!
//! Functions are compiled once per content and options, and shared by all that call them, as long
//! as somebody holds the compiled program.

use crate::analysis::What;
use crate::choices::{Callee, Choices};
use crate::either::{self, Choice, Picked, Way};
use crate::extract::{Plan, extract};
use crate::rules::Tables;
use crate::saturate::Saturated;
use crate::transform::functions::Functions;
use crate::transform::{Opened, Values, Workspace, open};
use crate::{Fusion, Options, compile_transformed};
use egg::Id;
use egrad_ir::graph::not_plain;
use egrad_ir::schedule::Schedule;
use egrad_ir::{Control, Error, FnId, Function, Numerics, Program, Result, Span, Transform};
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What becomes of calls: `jit` inside traced code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Calls {
    /// Whatever costs least: inlining, unless another way is at least 5 % cheaper by the prices.
    /// Under strict numerics, in programs of more than 20,000 operations written out, and in those
    /// with loops or branches, it is inlining without asking.
    #[default]
    Auto,
    /// A copy of the function's operations among the caller's.
    Inline,
    /// A call of the function, or of what `vmap` makes of it: it is compiled by itself.
    PushIn,
    /// The function's own kernels, run for every element of a batch.
    Dispatch,
}

impl Calls {
    /// Every mode.
    pub const ALL: [Calls; 4] = [Calls::Auto, Calls::Inline, Calls::PushIn, Calls::Dispatch];

    /// The name, as in `--calls`.
    pub fn name(self) -> &'static str {
        match self {
            Calls::Auto => "auto",
            Calls::Inline => "inline",
            Calls::PushIn => "push-in",
            Calls::Dispatch => "dispatch",
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Calls {
    type Err = Error;
    fn from_str(name: &str) -> Result<Calls> {
        let names = || Calls::ALL.map(Calls::name).join(", ");
        let found = Calls::ALL.into_iter().find(|c| c.name() == name);
        found.ok_or_else(|| Error::parse(format!("calls are one of {}, not {name:?}", names())))
    }
}

/// The ways to run one function where it is called: per way its site.
pub(crate) type Ways = SmallVec<[u32; 2]>;

/// A transformed program's entry in a workspace.
pub(crate) struct Loaded {
    pub(crate) values: Values,
    /// Per function that is called, looped over or branched to.
    pub(crate) groups: Vec<Ways>,
    /// Choices between functions.
    pub(crate) choices: Vec<Choice>,
}

/// Puts a transformed program's entry into a workspace, its calls in the ways `calls` says.
///
/// # Errors
/// If a primitive has no batching rule.
pub(crate) fn load(
    work: &mut Workspace,
    program: &Program,
    functions: &mut Functions<'_>,
    calls: Calls,
) -> Result<Loaded> {
    // Where loops or branches are left, inlining has been done.
    let opened = match calls {
        Calls::Auto | Calls::Inline if !program.has_control() => open(program, Tables::standard())?,
        Calls::Auto | Calls::Inline | Calls::PushIn | Calls::Dispatch => Default::default(),
    };
    let mut loader = Loader { functions, calls, opened, groups: Vec::new(), choices: Vec::new() };
    let values =
        work.load_with(program.entry(), |work, what, operands, span| loader.run(work, what, operands, span))?;
    Ok(Loaded { values, groups: loader.groups, choices: loader.choices })
}

/// What is being loaded.
struct Loader<'a, 't, 'p> {
    functions: &'a mut Functions<'t>,
    calls: Calls,
    opened: Opened<'p>,
    groups: Vec<Ways>,
    choices: Vec<Choice>,
}

impl Loader<'_, '_, '_> {
    /// The results of a call, a loop, a branch or a choice.
    fn run(&mut self, work: &mut Workspace, what: &What, operands: &[Id], span: Span) -> Result<Vec<Id>> {
        match what {
            What::Function(transform, callee) => self.call(work, (transform, *callee), operands, span),
            What::Control(Control::Either { ways }) => self.either(work, ways, operands, span),
            What::Control(_) => {
                let called = work.call(self.functions, what, operands, span)?;
                self.group(Ways::from_slice(&[called.site]));
                Ok(called.results)
            }
        }
    }

    fn group(&mut self, ways: Ways) {
        if !ways.is_empty() && !self.groups.contains(&ways) {
            self.groups.push(ways);
        }
    }

    /// All ways of making a call that are asked for.
    fn call(
        &mut self,
        work: &mut Workspace,
        (transform, callee): (&Transform, FnId),
        operands: &[Id],
        span: Span,
    ) -> Result<Vec<Id>> {
        let (calls, over_some) = (self.calls, over_some(transform));
        let mut ways = Ways::new();
        let mut results: Option<Vec<Id>> = None;
        if matches!(calls, Calls::Auto | Calls::Inline) {
            let f = self.inlined(transform, callee).ok_or_else(|| Error::internal("a call of nothing"))?;
            results = Some(work.open(f, operands)?);
        }
        if matches!(calls, Calls::Auto | Calls::PushIn) || (calls == Calls::Dispatch && !over_some) {
            let pushed = self.functions.pushed_in(transform, callee, span)?;
            ways.push(join(work, self.functions, (&Transform::Call, pushed), operands, span, &mut results)?);
        }
        if matches!(calls, Calls::Auto | Calls::Dispatch) && over_some {
            ways.push(join(work, self.functions, (transform, callee), operands, span, &mut results)?);
        }
        self.group(ways);
        Ok(results.unwrap_or_default())
    }

    /// What is written out in place of a call.
    fn inlined(&self, transform: &Transform, callee: FnId) -> Option<&Function> {
        let (plain, transformed) = &self.opened;
        match transform {
            Transform::Call => plain[callee.index()].as_deref(),
            Transform::Jvp { .. }
            | Transform::Vjp { .. }
            | Transform::Vmap { .. }
            | Transform::CustomJvp { .. }
            | Transform::CustomVjp { .. }
            | Transform::Checkpoint { .. }
            | Transform::Named { .. } => transformed.get(&(callee, transform.clone())),
        }
    }

    /// The results of functions that compute the same, which are equal.
    fn either(&mut self, work: &mut Workspace, ways: &[FnId], operands: &[Id], span: Span) -> Result<Vec<Id>> {
        let mut made: Vec<Way> = Vec::with_capacity(ways.len());
        for way in ways {
            let f = self.functions.program.function(*way).clone();
            let mut run = |work: &mut Workspace, what: &What, args: &[Id], span: Span| self.run(work, what, args, span);
            let classes = work.open_with(&f, operands, span, &mut run)?;
            let results = f.results().iter().map(|r| classes[r.index()].ok_or_else(|| not_plain(&f)));
            let results: Vec<Id> = results.collect::<Result<_>>()?;
            if let Some(first) = made.first() {
                first.results.iter().zip(&results).for_each(|(x, y)| work.unite(*x, *y));
            }
            let mut classes: Vec<Id> = classes.into_iter().flatten().filter(|id| !operands.contains(id)).collect();
            let tuples = classes.iter().filter_map(|id| work.tuple(*id)).collect::<Vec<Id>>();
            classes.extend(tuples);
            made.push(Way { name: f.name, classes, results });
        }
        let results = made.first().map(|way| way.results.clone()).unwrap_or_default();
        let choice = Choice { span, ways: made };
        if ways.len() > 1 && !self.choices.contains(&choice) {
            self.choices.push(choice);
        }
        Ok(results)
    }
}

/// Whether the transform runs a function for the elements of a batch, and there are any.
fn over_some(transform: &Transform) -> bool {
    match transform {
        Transform::Vmap { size, .. } => *size > 0,
        Transform::Call
        | Transform::Jvp { .. }
        | Transform::Vjp { .. }
        | Transform::CustomJvp { .. }
        | Transform::CustomVjp { .. }
        | Transform::Checkpoint { .. }
        | Transform::Named { .. } => false,
    }
}

/// Adds a way of calling; its results are equal to those there are. Gives the way's site.
fn join(
    work: &mut Workspace,
    functions: &Functions<'_>,
    (transform, callee): (&Transform, FnId),
    operands: &[Id],
    span: Span,
    results: &mut Option<Vec<Id>>,
) -> Result<u32> {
    let called = work.call(functions, &What::Function(transform.clone(), callee), operands, span)?;
    match results {
        Some(results) => results.iter().zip(&called.results).for_each(|(r, by)| work.unite(*r, *by)),
        None => *results = Some(called.results),
    }
    Ok(called.site)
}

/// What extraction chooses from once it is settled which calls are made, and which functions are taken
/// of those that compute the same.
///
/// # Errors
/// If no kernel can make some value, or as compiling what is called.
pub(crate) fn choose(
    saturated: &Saturated,
    program: &Program,
    (groups, choices): (&[Ways], &[Choice]),
    options: &Options,
) -> Result<(Choices, Vec<Picked>)> {
    let (all, called) = settled_calls(saturated, program, groups, options)?;
    if choices.is_empty() {
        return Ok((all, Vec::new()));
    }
    let of = |without: &HashSet<Id>| {
        Choices::of_egraph(&saturated.egraph, &saturated.results, &|id| saturated.span(id), &called, without)
    };
    let (without, picked) =
        either::pick(saturated, choices, |without| Ok(extracted(&of(without)?, options).map(|plan| plan.total_ns())))?;
    Ok((of(&without)?, picked))
}

/// What extraction chooses from once it is settled which calls are made, and those.
fn settled_calls(
    saturated: &Saturated,
    program: &Program,
    groups: &[Ways],
    options: &Options,
) -> Result<(Choices, HashMap<u32, Callee>)> {
    let egraph = &saturated.egraph;
    let callee = |site: u32| -> Result<Callee> {
        let site = egraph.analysis.sites[site as usize].clone();
        let callees = site.what.kind().callees();
        let name = callees.last().map_or_else(String::new, |f| program.function(*f).name.clone());
        let schedules = callees.iter().map(|f| compiled(program, *f, options)).collect::<Result<_>>()?;
        Ok(Callee { schedules, name, site })
    };
    let is_control =
        |ways: &&Ways| ways.iter().all(|site| matches!(egraph.analysis.sites[*site as usize].what, What::Control(_)));
    let choices = |called: &HashMap<u32, Callee>| {
        Choices::of_egraph(egraph, &saturated.results, &|id| saturated.span(id), called, &HashSet::new())
    };
    let mut called: HashMap<u32, Callee> = HashMap::new();
    // Loops and branches are never written out.
    for site in groups.iter().filter(is_control).flatten() {
        called.insert(*site, callee(*site)?);
    }
    match options.calls() {
        Calls::Inline => return Ok((choices(&called)?, called)),
        Calls::PushIn | Calls::Dispatch => {
            for site in groups.iter().flatten() {
                called.insert(*site, callee(*site)?);
            }
            return Ok((choices(&called)?, called));
        }
        Calls::Auto => {}
    }
    let mut best = choices(&called)?;
    let (mut ns, kernels) = {
        let inlined = plan(&best, options)?;
        (inlined.total_ns(), inlined.groups().count())
    };
    // Each call runs a kernel at least, over no less memory.
    if kernels <= groups.len() {
        return Ok((best, called));
    }
    for ways in groups.iter().filter(|ways| !is_control(ways)).take(MOST_TRIED) {
        for way in ways {
            let mut with = called.clone();
            with.retain(|site, _| !ways.contains(site));
            with.insert(*way, callee(*way)?);
            let other = choices(&with)?;
            let price = extracted(&other, options).map(|plan| plan.total_ns());
            if let Some(price) = price.filter(|price| *price < ns * WORTHWHILE) {
                (called, best, ns) = (with, other, price);
            }
        }
    }
    Ok((best, called))
}

/// How many functions are tried by their calls: each takes a search per way.
const MOST_TRIED: usize = 8;

/// What a call must bring its price down to, of the price without it: prices are estimates, and
/// inlining is the surer way. ([`Calls::Auto`] says so to users.)
pub(crate) const WORTHWHILE: f64 = 0.95;

/// The plan for these choices.
///
/// # Errors
/// If a call's operands depend on its results, which is a bug where no choice is left.
pub(crate) fn plan<'a>(choices: &'a Choices, options: &'a Options) -> Result<Plan<'a>> {
    extracted(choices, options).ok_or_else(|| Error::internal("the operands of a call depend on its results"))
}

fn extracted<'a>(choices: &'a Choices, options: &'a Options) -> Option<Plan<'a>> {
    extract(choices, &options.machine, options.numerics == Numerics::Strict, options.fusion)
}

/// A function that is called, looped over or branched to, compiled.
///
/// # Errors
/// As compiling it.
pub(crate) fn compiled(program: &Program, callee: FnId, options: &Options) -> Result<Arc<Schedule>> {
    let callee = program.about(callee);
    let key = {
        let mut h = DefaultHasher::new();
        callee.hash(&mut h);
        h.finish()
    };
    // Prices were asked for: what is called in turn is inlined, or every level would ask again.
    let calls = if options.calls() == Calls::Auto { Calls::Inline } else { options.calls() };
    let options = Options { fusion: Fusion::Search, calls, ..options.clone() };
    let lock = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |c: &&Compiled| c.program == callee && c.options == options;
    if let Some(known) = lock().get(&key).and_then(|all| all.iter().find(same)?.schedule.upgrade()) {
        return Ok(known);
    }
    let schedule = Arc::new(compile_transformed(&callee, &options)?.schedule);
    let mut all = lock();
    // Another thread may have been quicker.
    if let Some(known) = all.get(&key).and_then(|all| all.iter().find(same)?.schedule.upgrade()) {
        return Ok(known);
    }
    all.retain(|_, same_key| {
        same_key.retain(|c| c.schedule.strong_count() > 0);
        !same_key.is_empty()
    });
    all.entry(key).or_default().push(Compiled { program: callee, options, schedule: Arc::downgrade(&schedule) });
    Ok(schedule)
}

/// A function that has been compiled, as long as somebody holds it.
struct Compiled {
    program: Program,
    options: Options,
    schedule: Weak<Schedule>,
}

/// By a hash of the program.
static COMPILED: Mutex<BTreeMap<u64, Vec<Compiled>>> = Mutex::new(BTreeMap::new());
