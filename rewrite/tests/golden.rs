//! What the transforms and the simplification make of programs, as text. `EGRAD_BLESS=1` writes
//! the files anew; read the difference before committing it.

mod support;

use egg::Id;
use egrad_ir::{Aval, Dtype, Function, NodeId, NodeKind, Op, Program, Reduce, Transform};
use egrad_rewrite::analysis::operation;
use egrad_rewrite::saturate::{Saturated, saturate};
use egrad_rewrite::term::Head;
use egrad_rewrite::{Options, expand};
use std::collections::HashMap;
use support::*;

/// Compares text with the golden file of that name.
#[track_caller]
fn check(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("EGRAD_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{path} differs; EGRAD_BLESS=1 writes it anew. Now it is:\n{text}");
}

/// A plain function as text.
fn print(f: &Function) -> String {
    let mut program = Program::new();
    program.add(f.clone());
    program.to_string()
}

/// The terms of fewest operations that a saturated e-graph holds: a simple extraction, to see what
/// the rules did. (egrad's own weighs kernels.)
fn smallest(saturated: &Saturated, name: &str) -> Function {
    let egraph = &saturated.egraph;
    let mut best: HashMap<Id, (u64, usize)> = HashMap::new();
    loop {
        let mut changed = false;
        for class in egraph.classes() {
            for (i, term) in class.nodes.iter().enumerate().filter(|(_, t)| t.head.is_plain()) {
                let own = u64::from(matches!(term.head, Head::Prim(_))) * 10
                    + egrad_rewrite::analysis::aval(egraph, class.id).shape.size() as u64;
                let parts = term.operands().iter().map(|o| best.get(&egraph.find(*o)).map(|b| b.0));
                let Some(cost) = parts.sum::<Option<u64>>().map(|c| c + own) else { continue };
                if best.get(&class.id).is_none_or(|b| cost < b.0) {
                    best.insert(class.id, (cost, i));
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let mut f = Function::new(name, saturated.params.iter().cloned());
    let mut at: HashMap<Id, NodeId> = HashMap::new();
    let mut stack: Vec<(Id, bool)> = saturated.results.iter().rev().map(|r| (egraph.find(*r), false)).collect();
    while let Some((id, ready)) = stack.pop() {
        if at.contains_key(&id) {
            continue;
        }
        let term = &egraph[id].nodes[best[&id].1];
        match term.head {
            Head::Param(i) => {
                at.insert(id, NodeId(i));
            }
            Head::Prim(prim) if ready => {
                let op = operation(egraph, prim, term.attrs()).unwrap();
                let args: Vec<NodeId> = term.operands().iter().map(|o| at[&egraph.find(*o)]).collect();
                at.insert(id, f.add(op, &args, saturated.span(id)).unwrap());
            }
            _ => {
                stack.push((id, true));
                stack.extend(term.operands().iter().rev().map(|o| (egraph.find(*o), false)));
            }
        }
    }
    f.set_results(saturated.results.iter().map(|r| at[&egraph.find(*r)]).collect());
    f
}

/// Expands, prints, simplifies and prints a program.
fn stages(name: &str, program: &Program) {
    let f = expand(program).unwrap();
    check(&format!("{name}.transformed"), &print(&f));
    let saturated = saturate(&f, &Options::default()).unwrap();
    check(&format!("{name}.simplified"), &print(&smallest(&saturated, &f.name)));
}

fn f32s(shape: &[usize]) -> Aval {
    Aval::new(Dtype::F32, shape)
}

/// The tutorial's squared error: (w, b, x, y) -> (w·x + b − y)².
fn squared_error(program: &mut Program) -> egrad_ir::FnId {
    program.add(function("squared_error", &vec![f32s(&[]); 4], |b, p| {
        let y = b.binary("mul", p[0], p[2]);
        let y = b.binary("add", y, p[1]);
        let e = b.binary("sub", y, p[3]);
        vec![b.op(Op::IntegerPow(2), &[e])]
    }))
}

/// Its gradient by w and b.
fn gradient(program: &mut Program) -> egrad_ir::FnId {
    let f = squared_error(program);
    let g = function("gradient", &vec![f32s(&[]); 4], |b, p| {
        let one = b.op(Op::Constant(egrad_ir::Literal::new(Dtype::F32, 1.0)), &[]);
        let vjp = Transform::Vjp { wrt: vec![0, 1] };
        b.apply(program, vjp, f, &[p[0], p[1], p[2], p[3], one])[1..].to_vec()
    });
    program.add(g)
}

#[test]
fn vjp() {
    let mut program = Program::new();
    gradient(&mut program);
    stages("gradient", &program);
}

#[test]
fn jvp() {
    let mut program = Program::new();
    let f = squared_error(&mut program);
    let entry =
        function("entry", &vec![f32s(&[]); 6], |b, p| b.apply(&program, Transform::Jvp { wrt: vec![0, 1] }, f, p));
    program.add(entry);
    stages("jvp", &program);
}

#[test]
fn per_example_gradients() {
    let mut program = Program::new();
    let g = gradient(&mut program);
    let vmap = Transform::Vmap { in_axes: vec![None, None, Some(0), Some(0)], out_axes: vec![0, 0], size: 100 };
    let entry = function("per_example", &[f32s(&[]), f32s(&[]), f32s(&[100]), f32s(&[100])], |b, p| {
        b.apply(&program, vmap, g, p)
    });
    program.add(entry);
    stages("per_example_gradients", &program);
}

#[test]
fn layer_under_vmap_and_grad() {
    let mut program = Program::new();
    let f = program.add(function("layer", &[f32s(&[3, 2]), f32s(&[3]), f32s(&[2])], |b, p| {
        let dims = egrad_ir::DotDims { contract: [vec![1].into(), vec![0].into()], batch: Default::default() };
        let y = b.op(Op::DotGeneral(dims), &[p[0], p[2]]);
        let y = b.binary("add", y, p[1]);
        vec![b.unary("tanh", y)]
    }));
    let batched = function("loss", &[f32s(&[3, 2]), f32s(&[3]), f32s(&[8, 2])], |b, p| {
        let vmap = Transform::Vmap { in_axes: vec![None, None, Some(0)], out_axes: vec![0], size: 8 };
        let y = b.apply(&program, vmap, f, p)[0];
        let y = b.binary("mul", y, y);
        vec![b.op(Op::Reduce { kind: Reduce::Sum, axes: vec![0, 1].into() }, &[y])]
    });
    let loss = program.add(batched);
    let entry = function("gradient", &[f32s(&[3, 2]), f32s(&[3]), f32s(&[8, 2])], |b, p| {
        let one = b.op(Op::Constant(egrad_ir::Literal::new(Dtype::F32, 1.0)), &[]);
        let vjp = Transform::Vjp { wrt: vec![0, 1] };
        b.apply(&program, vjp, loss, &[p[0], p[1], p[2], one])[1..].to_vec()
    });
    program.add(entry);
    stages("layer", &program);
    // Dead code and applications are gone.
    let f = expand(&program).unwrap();
    assert!(f.is_plain() && f.nodes().all(|(_, n)| !matches!(n.kind, NodeKind::Apply(..))));
}
