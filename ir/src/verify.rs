//! The verifier of functions and programs: what every pass may rely on, checked from scratch.

use crate::error::{Error, Result};
use crate::graph::{Aval, FnId, Function, Node, NodeId, NodeKind, Program};
use crate::infer;

/// What is wrong; the caller says where.
type Check<T = ()> = std::result::Result<T, String>;

impl Program {
    /// Checks every function: parameters first, operands earlier than their users and no tuples
    /// (but of `get`), avals as inference has them, tuple indices in range, callees earlier than
    /// their callers, results that exist.
    ///
    /// # Errors
    /// [`Error::Internal`] naming the function, the node and its operation.
    pub fn verify(&self) -> Result<()> {
        for (id, f) in self.functions() {
            check(f, Some((self, id)))?;
        }
        Ok(())
    }
}

impl Function {
    /// Checks a function by itself, as [`Program::verify`] does; of an applied transform, a
    /// loop or a branch it can check all but what depends on the callees.
    ///
    /// # Errors
    /// [`Error::Internal`] naming the function, the node and its operation.
    pub fn verify(&self) -> Result<()> {
        check(self, None)
    }
}

fn check(f: &Function, program: Option<(&Program, FnId)>) -> Result<()> {
    let params = f.params().len();
    for (id, node) in f.nodes() {
        let fail = |what: String| -> Error {
            let message = format!("in function `{}`, node {id} (`{}`): {what}", f.name, name(node));
            Error::internal(message).at(node.span)
        };
        if let Some(a) = node.args.iter().find(|a| **a >= id) {
            return Err(fail(format!("operand {a} is not an earlier node")));
        }
        match &node.kind {
            NodeKind::Param(i) => {
                if *i != id.index() || *i >= params {
                    return Err(fail(format!("parameter {i} of {params} stands at position {id}")));
                }
                if !node.args.is_empty() || node.avals.len() != 1 {
                    return Err(fail("a parameter has one result and no operands".into()));
                }
            }
            NodeKind::Op(op) => {
                let avals = arg_avals(f, node).map_err(fail)?;
                let aval = infer::infer(op, &avals).map_err(|e| fail(e.report().message.clone()))?;
                expect(&[aval], &node.avals).map_err(fail)?;
            }
            NodeKind::Apply(transform, callee) => {
                let avals: Vec<Aval> = arg_avals(f, node).map_err(fail)?.into_iter().cloned().collect();
                if let Some((program, caller)) = program {
                    if *callee >= caller {
                        return Err(fail(format!("callee {callee} does not come before its caller {caller}")));
                    }
                    let results = program.apply_avals(transform, *callee, &avals);
                    let results = results.map_err(|e| fail(e.report().message.clone()))?;
                    expect(&results, &node.avals).map_err(fail)?;
                }
            }
            NodeKind::Control(control) => {
                let avals: Vec<Aval> = arg_avals(f, node).map_err(fail)?.into_iter().cloned().collect();
                if let Some((program, caller)) = program {
                    if let Some(callee) = control.callees().into_iter().find(|c| *c >= caller) {
                        return Err(fail(format!("callee {callee} does not come before its caller {caller}")));
                    }
                    let results = program.control_avals(control, &avals);
                    let results = results.map_err(|e| fail(e.report().message.clone()))?;
                    expect(&results, &node.avals).map_err(fail)?;
                }
            }
            NodeKind::Get(i) => {
                let [tuple] = node.args[..] else {
                    return Err(fail(format!("takes one operand, not {}", node.args.len())));
                };
                let tuple_node = f.node(tuple);
                if !tuple_node.kind.is_tuple() {
                    return Err(fail(format!("operand {tuple} is not a tuple")));
                }
                let Some(aval) = tuple_node.avals.get(*i) else {
                    return Err(fail(format!(
                        "there is no result {i} of {tuple}, which has {}",
                        tuple_node.avals.len()
                    )));
                };
                expect(std::slice::from_ref(aval), &node.avals).map_err(fail)?;
            }
        }
    }
    if f.len() < params {
        return Err(Error::internal(format!("function `{}` has {params} parameters but {} nodes", f.name, f.len())));
    }
    for (i, r) in f.results().iter().enumerate() {
        let fail = |what: &str| Err(Error::internal(format!("in function `{}`, result {i}: {r} {what}", f.name)));
        if r.index() >= f.len() {
            return fail("does not exist");
        }
        if f.node(*r).kind.is_tuple() {
            return fail("is a tuple");
        }
    }
    Ok(())
}

fn name(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Param(_) => "param",
        NodeKind::Op(op) => op.name(),
        NodeKind::Apply(transform, _) => transform.name(),
        NodeKind::Control(control) => control.name(),
        NodeKind::Get(_) => "get",
    }
}

fn arg_avals<'f>(f: &'f Function, node: &Node) -> Check<Vec<&'f Aval>> {
    let aval = |a: &NodeId| match &f.node(*a) {
        n if n.kind.is_tuple() => Err(format!("operand {a} is a tuple")),
        n => n.avals.first().ok_or_else(|| format!("operand {a} has no aval")),
    };
    node.args.iter().map(aval).collect()
}

fn expect(want: &[Aval], got: &[Aval]) -> Check {
    if want == got { Ok(()) } else { Err(format!("should be {want:?} but is recorded as {got:?}")) }
}

#[cfg(test)]
mod tests {
    use crate::*;

    /// `f(x) = (sin x · x, i)`, and `main`, which differentiates it.
    fn program() -> Program {
        let text = "egrad 1
            fn @0 f(%0: f32[], %1: i32[]) { %2 = sin %0 %3 = mul %2 %0 return %3 %1 }
            fn @1 main(%0: f32[], %1: i32[]) {
              %2 = vjp @0 %0 %1 %0 {wrt = [0]} %3 = get %2 {index = 2} %4 = add %3 %0 return %4
            }";
        Program::parse(text).unwrap()
    }

    /// The program with one function changed.
    fn with(changed: usize, mutate: impl Fn(&mut Function)) -> Program {
        let mut mutant = Program::new();
        for (id, f) in program().functions() {
            let mut f = f.clone();
            if id.index() == changed {
                mutate(&mut f);
            }
            mutant.add(f);
        }
        mutant
    }

    #[track_caller]
    fn refused(changed: usize, mutate: impl Fn(&mut Function), expect: &str) {
        let error = with(changed, mutate).verify().expect_err("the mutant should be refused");
        assert_eq!(error.kind(), "internal");
        assert!(error.to_string().contains(expect), "{error}\nshould say: {expect}");
    }

    #[test]
    fn good_programs_verify() {
        program().verify().unwrap();
        program().entry().verify().unwrap();
        Program::new().verify().unwrap();
    }

    #[test]
    fn mutants_are_refused() {
        let scalar = || Aval::new(Dtype::F32, []);
        refused(
            0,
            |f| f.nodes[3].args[0] = NodeId(3),
            "in function `f`, node %3 (`mul`): operand %3 is not an earlier",
        );
        refused(0, |f| f.nodes[2].args[0] = NodeId(9), "node %2 (`sin`): operand %9 is not an earlier");
        refused(0, |f| f.nodes[2].args[0] = NodeId(1), "`sin` doesn't take i32[]");
        refused(0, |f| f.nodes[3].args.truncate(1), "`mul` takes 2 operands, not 1");
        refused(
            0,
            |f| f.nodes[2].avals[0] = Aval::new(Dtype::F32, [1]),
            "should be [f32[]] but is recorded as [f32[1]]",
        );
        refused(0, |f| f.nodes[2].avals.push(scalar()), "is recorded as [f32[], f32[]]");
        refused(0, |f| f.nodes[2].avals.clear(), "is recorded as []");
        refused(0, |f| f.nodes[1].kind = NodeKind::Param(0), "parameter 0 of 2 stands at position %1");
        refused(0, |f| f.nodes[3].kind = NodeKind::Param(3), "parameter 3 of 2");
        refused(0, |f| f.nodes[1].avals.clear(), "one result and no operands");
        refused(0, |f| f.nodes.truncate(1), "has 2 parameters but 1 nodes");
        refused(0, |f| f.set_results(vec![NodeId(4)]), "result 0: %4 does not exist");
        refused(1, |f| f.set_results(vec![NodeId(2)]), "result 0: %2 is a tuple");
        refused(1, |f| f.nodes[3].kind = NodeKind::Get(3), "there is no result 3 of %2, which has 3");
        refused(1, |f| f.nodes[3].kind = NodeKind::Get(1), "should be [i32[]] but is recorded as [f32[]]");
        refused(1, |f| f.nodes[3].args[0] = NodeId(0), "operand %0 is not a tuple");
        refused(1, |f| f.nodes[3].args.push(NodeId(0)), "takes one operand, not 2");
        refused(1, |f| f.nodes[4].args[0] = NodeId(2), "operand %2 is a tuple");
        refused(1, |f| f.nodes[2].kind = NodeKind::Apply(Transform::Call, FnId(0)), "takes 2 argument");
        refused(1, |f| f.nodes[2].kind = NodeKind::Apply(Transform::Call, FnId(1)), "callee @1 does not come before");
        refused(1, |f| f.nodes[2].avals.truncate(2), "is recorded as [f32[], i32[]]");
        let twice = || NodeKind::Apply(Transform::Vjp { wrt: vec![0, 0] }, FnId(0));
        refused(1, |f| f.nodes[2].kind = twice(), "must increase");
    }
}
