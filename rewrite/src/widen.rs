//! What is computed with floats of 16 bits is computed in `f32`.
//!
//! Kernels store, move and convert elements of such types ([`Dtype::computed`](egrad_ir::Dtype)), and
//! know nothing else of them. So when the last transform is done, every operation that computes gets
//! conversions around it, of which fusion makes kernels as of any others:
//!
//! ```text
//! (mul x y)       =>  (convert f16 (mul (convert f32 x) (convert f32 y)))
//! (reduce_sum x)  =>  (convert f16 (reduce_sum (convert f32 x)))      added up in f32, rounded once
//! (lt x y)        =>  (lt (convert f32 x) (convert f32 y))
//! ```
//!
//! Rules of derivatives and batches see the operations as they were written. No rule drops the
//! conversion to 16 bits of what is converted back: it rounds.

use egrad_ir::{Function, NodeId, NodeKind, Op, Program, Result, Unary};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The program with [`widened`] functions, by the same numbers.
///
/// # Errors
/// As [`widened`].
pub(crate) fn widened_program(program: &Program) -> Result<Cow<'_, Program>> {
    if program.functions().all(|(_, f)| is_wide(f)) {
        return Ok(Cow::Borrowed(program));
    }
    let mut wide = Program::new();
    for (_, f) in program.functions() {
        wide.add(widened(f)?.into_owned());
    }
    Ok(Cow::Owned(wide))
}

/// The function with every operation on floats of 16 bits in `f32`; loops, branches and calls as they
/// are. What was made for a node has its line.
///
/// # Errors
/// If an operation doesn't take its operands.
///
/// ```
/// use egrad_ir::Program;
/// let program = Program::parse("egrad 1 fn @0 f(%0: bf16[3]) { %1 = sin %0 return %1 }")?;
/// let wide = egrad_rewrite::widened(program.entry())?;
/// let text = wide.to_string();
/// assert!(text.contains("convert %0 {dtype = f32}") && text.contains("sin %1") && text.contains("convert %2 {dtype = bf16}"));
/// # Ok::<(), egrad_ir::Error>(())
/// ```
pub fn widened(f: &Function) -> Result<Cow<'_, Function>> {
    if is_wide(f) {
        return Ok(Cow::Borrowed(f));
    }
    let mut wide = Function::new(f.name.clone(), f.params().map(|p| (f.aval(p).clone(), f.node(p).span)));
    let mut at: Vec<NodeId> = f.params().collect();
    // Per node of the new function what it is as the type that is computed in.
    let mut converted: HashMap<NodeId, NodeId> = HashMap::new();
    for (id, node) in f.nodes().skip(f.params().len()) {
        let mut args: SmallVec<[NodeId; 3]> = node.args.iter().map(|a| at[a.index()]).collect();
        let op = match &node.kind {
            NodeKind::Op(op) if computes(op) && stored_only(f, id) => op,
            kind @ (NodeKind::Param(_)
            | NodeKind::Op(_)
            | NodeKind::Apply(..)
            | NodeKind::Control(_)
            | NodeKind::Get(_)) => {
                at.push(wide.push(kind.clone(), &args, node.avals.clone(), node.span));
                continue;
            }
        };
        for arg in &mut args {
            let own = wide.aval(*arg).dtype;
            if own.computed() == own {
                continue;
            }
            *arg = match converted.get(arg) {
                Some(known) => *known,
                None => {
                    let value = wide.add(Op::Convert(own.computed()), &[*arg], node.span)?;
                    converted.insert(*arg, value);
                    value
                }
            };
        }
        let op = match op {
            Op::Iota { dtype, shape, axis } => Op::Iota { dtype: dtype.computed(), shape: shape.clone(), axis: *axis },
            op => op.clone(),
        };
        let mut value = wide.add(op, &args, node.span)?;
        let own = node.avals[0].dtype;
        if wide.aval(value).dtype != own {
            value = wide.add(Op::Convert(own), &[value], node.span)?;
        }
        at.push(value);
    }
    wide.set_results(f.results().iter().map(|r| at[r.index()]).collect());
    Ok(Cow::Owned(wide))
}

/// Whether nothing is computed in a type that kernels only store.
fn is_wide(f: &Function) -> bool {
    f.nodes().all(|(id, node)| match &node.kind {
        NodeKind::Op(op) => !(computes(op) && stored_only(f, id)),
        NodeKind::Param(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => true,
    })
}

/// Whether an operand or the result of a node is of a type that kernels only store.
fn stored_only(f: &Function, id: NodeId) -> bool {
    let node = f.node(id);
    let operands = node.args.iter().map(|a| f.aval(*a).dtype);
    operands.chain([node.avals[0].dtype]).any(|d| d.computed() != d)
}

/// Whether an operation does more with elements than to move or to convert them.
fn computes(op: &Op) -> bool {
    match op {
        Op::Unary(Unary::StopGradient | Unary::Barrier)
        | Op::Constant(_)
        | Op::Select
        | Op::Convert(_)
        | Op::BroadcastInDim { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Take { .. } => false,
        Op::Unary(_)
        | Op::Iota { .. }
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::IntegerPow(_)
        | Op::Reduce { .. }
        | Op::DotGeneral(_)
        | Op::Scatter { .. }
        | Op::Argsort(_)
        | Op::Linalg(_) => true,
    }
}
