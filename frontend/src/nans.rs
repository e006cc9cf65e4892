//! The search for the operation that made a NaN.

use egrad_ir::eval::{Elementary, run_each};
use egrad_ir::print::silently;
use egrad_ir::{Array, Error, NodeId, NodeKind, Program, Result};
use egrad_rewrite::{Calls, first_ways, rules::Tables, transform};

/// A program whose transforms are expanded, to be run op by op.
#[derive(Clone)]
pub(crate) struct Nans {
    program: Program,
    /// How many of the parameters are leaves of arguments; the others are captured arrays.
    arguments: usize,
}

impl Nans {
    /// # Errors
    /// Whatever expanding the program's transforms gives.
    pub(crate) fn new(program: &Program, arguments: usize) -> Result<Nans> {
        let transformed = transform(program, Tables::standard(), Calls::Inline)?;
        Ok(Nans { program: first_ways(&transformed, Calls::Inline)?, arguments })
    }

    /// Looks for NaN among the results.
    ///
    /// # Errors
    /// [`Error::Numeric`] if there is one, at the line of the operation that it comes from.
    pub(crate) fn check(&self, inputs: &[&Array], results: &[Array]) -> Result<()> {
        let Some(result) = results.iter().position(has_nan) else { return Ok(()) };
        let function = self.program.entry();
        let mut nan = vec![false; function.len()];
        // What it prints has been printed.
        let again =
            silently(|| run_each(&self.program, inputs, Elementary::Std, |id, x| nan[id.index()] |= has_nan(x)))?;
        let name = &function.name;
        if !has_nan(&again[result]) {
            let m = format!("result {result} of `{name}` holds NaN on the device, but not when it is run op by op");
            return Err(Error::numeric(m));
        }
        // From the result back to where it starts.
        let mut at: NodeId = function.results()[result];
        while let Some(operand) = function.node(at).args.iter().find(|a| nan[a.index()]) {
            at = *operand;
        }
        let node = function.node(at);
        let from = match &node.kind {
            NodeKind::Param(i) if *i < self.arguments => {
                format!("leaf {i} of the arguments, {}, holds it", node.avals[0])
            }
            NodeKind::Param(_) => format!("a captured array, {}, holds it", node.avals[0]),
            NodeKind::Op(op) => {
                let operands: Vec<String> = node.args.iter().map(|a| function.aval(*a).to_string()).collect();
                match operands.is_empty() {
                    true => format!("`{}` makes it", op.name()),
                    false => format!("`{}` of {} makes it", op.name(), operands.join(" and ")),
                }
            }
            NodeKind::Control(control) => format!("something in `{}` makes it", control.name()),
            NodeKind::Apply(..) | NodeKind::Get(_) => "something in a call makes it".to_owned(),
        };
        Err(Error::numeric(format!("result {result} of `{name}` holds NaN: {from}")).at(node.span))
    }
}

fn has_nan(x: &Array) -> bool {
    x.dtype().is_float() && x.to_f64().iter().any(|x| x.is_nan())
}
