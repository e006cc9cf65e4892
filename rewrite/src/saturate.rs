//! The e-graph that extraction chooses from: a plain function, simplified.

use crate::Options;
use crate::analysis::EGraph;
use crate::rules::{Report, Tables};
use crate::transform::functions::Functions;
use crate::transform::{Values, Workspace};
use egg::Id;
use egrad_ir::{Aval, Error, Function, NodeId, Result, Span};

/// How often the simplification table goes over the whole e-graph at most. Each time a rewrite can
/// move one node further, so a fixed number keeps deep graphs linear.
const PASSES: usize = 4;

/// A function's values in an e-graph, with everything the rules know to be equal to them.
#[derive(Clone, Debug)]
pub struct Saturated {
    /// The e-graph, rebuilt.
    pub egraph: EGraph,
    /// The class of every live node and parameter.
    pub classes: Vec<Option<Id>>,
    /// The classes of the results.
    pub results: Vec<Id>,
    /// The function's parameters.
    pub params: Vec<(Aval, Span)>,
    /// What the rules did.
    pub report: Report,
    spans: Vec<Span>,
}

impl Saturated {
    /// The user's line that a class comes from; unknown for what a rule made up.
    pub fn span(&self, id: Id) -> Span {
        self.spans.get(usize::from(self.egraph.find(id))).copied().unwrap_or_default()
    }

    /// Follows the classes that later rules have merged.
    pub(crate) fn refresh(&mut self) {
        let mut spans = vec![Span::Unknown; self.spans.len()];
        for (i, span) in self.spans.iter().enumerate() {
            let class = usize::from(self.egraph.find(Id::from(i)));
            if class >= spans.len() {
                spans.resize(class + 1, Span::Unknown);
            }
            spans[class] = spans[class].or(*span);
        }
        self.spans = spans;
        self.results.iter_mut().for_each(|r| *r = self.egraph.find(*r));
    }

    /// The class of a live node.
    ///
    /// # Errors
    /// If the node is dead.
    pub fn class(&self, node: NodeId) -> Result<Id> {
        let class = self.classes.get(node.index()).copied().flatten();
        class.map(|id| self.egraph.find(id)).ok_or_else(|| Error::internal(format!("{node} has no class")))
    }
}

/// Simplifies a plain function by egrad's tables.
///
/// # Errors
/// If the function applies transforms.
pub fn saturate(function: &Function, options: &Options) -> Result<Saturated> {
    saturate_with(function, options, Tables::standard())
}

/// Simplifies a plain function by these tables.
///
/// # Errors
/// If the function applies transforms, or a rule is faulty.
pub fn saturate_with(function: &Function, options: &Options, tables: &Tables) -> Result<Saturated> {
    run(function, options, tables, false)
}

/// As [`saturate_with`]; the e-graph keeps [what each rule did](crate::analysis::Facts::applied).
pub(crate) fn saturate_logged(function: &Function, options: &Options, tables: &Tables) -> Result<Saturated> {
    run(function, options, tables, true)
}

fn run(function: &Function, options: &Options, tables: &Tables, log: bool) -> Result<Saturated> {
    let mut work = Workspace::new(function.param_avals());
    work.egraph.analysis.applied = log.then(Vec::new);
    let values = work.load(function, &Functions::new(tables))?;
    saturated(work, &values, function, options, tables)
}

/// Simplifies what has been loaded of a function.
///
/// # Errors
/// If a rule is faulty.
pub(crate) fn saturated(
    mut work: Workspace,
    values: &Values,
    function: &Function,
    options: &Options,
    tables: &Tables,
) -> Result<Saturated> {
    work.egraph.analysis.timed = options.watch;
    work.settle();
    let params = function.params().map(|p| (function.aval(p).clone(), function.node(p).span)).collect();
    let allow = |name: &str| !options.disabled.iter().any(|d| d == name);
    let report = tables
        .simplify
        .run(&mut work.egraph, PASSES, &|rule| rule.float.allowed(options.numerics) && allow(rule.name))?;
    let spans = work.spans_by_class();
    let find = |id: Id| work.egraph.find(id);
    let results = function.results().iter().map(|r| values.class[r.index()].map(find)).collect::<Option<_>>();
    let results = results.ok_or_else(|| Error::internal("a result without a class"))?;
    let classes = values.class.iter().map(|c| c.map(find)).collect();
    Ok(Saturated { classes, results, params, report, spans, egraph: work.egraph })
}
