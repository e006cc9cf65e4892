//! Loops and branches: their text, what they mean on both levels, and what is refused.

use egrad_ir::eval::{Elementary, run};
use egrad_ir::kernel::*;
use egrad_ir::schedule::Schedule;
use egrad_ir::*;
use std::sync::Arc;

/// A scan over rows with everything there is, a loop with a condition, and a branch.
const ALL: &str = "egrad 1

fn @0 step(%0: f32[], %1: f32[2], %2: i32[], %3: f32[2]) -> (f32[2], i32[], f32[]) {
  %4: f32[2] = broadcast_in_dim %0 {shape = [2], dims = []}
  %5: f32[2] = mul %1 %4
  %6: f32[2] = add %5 %3
  %7: i32[] = add %2 %2
  %8: f32[] = reduce_sum %6 {axes = [0]}
  return %6 %7 %8
}

fn @1 small(%0: f32[], %1: f32[]) -> (bool[]) {
  %2: bool[] = lt %1 %0
  return %2
}

fn @2 double(%0: f32[]) -> (f32[]) {
  %1: f32[] = add %0 %0
  return %1
}

fn @3 minus(%0: f32[]) -> (f32[]) {
  %1: f32[] = neg %0
  return %1
}

fn @4 main(%0: f32[], %1: f32[2], %2: i32[], %3: f32[3,2]) -> (f32[2], i32[], f32[3], f32[], f32[]) {
  %4: (f32[2], i32[], f32[3]) = scan @0 %0 %1 %2 %3 {consts = 1, carry = 2, length = 3, reverse = true}
  %5: f32[2] = get %4 {index = 0}
  %6: i32[] = get %4 {index = 1}
  %7: f32[3] = get %4 {index = 2}
  %8: f32[] = reduce_sum %7 {axes = [0]}
  %9: (f32[]) = while @1 @2 %8 %0 {cond_consts = 1, body_consts = 0}
  %10: f32[] = get %9 {index = 0}
  %11: (f32[]) = switch @2 @3 @2 %6 %10
  %12: f32[] = get %11 {index = 0}
  return %5 %6 %7 %10 %12
}
";

#[test]
fn the_text_is_what_it_parses_to() {
    let program = Program::parse(ALL).unwrap();
    program.verify().unwrap();
    program.entry().verify().unwrap();
    assert_eq!(program.to_string(), ALL);
    assert!(program.has_control() && !program.entry().is_plain());
    // A function and those it needs, under other numbers.
    let about = program.about(FnId(4));
    assert_eq!(about, program);
    assert!(!program.about(FnId(2)).has_control());
}

#[test]
fn the_interpreter_takes_steps() {
    let program = Program::parse(ALL).unwrap();
    let xs = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 2]).unwrap();
    let (half, zero) = (Array::from(0.5f32), Array::from_vec(vec![0.0f32, 0.0], [2]).unwrap());
    let go = |k: i32| run(&program, &[&half, &zero, &Array::from(k), &xs], Elementary::Std).unwrap();
    let got = go(1);
    // 5 6; 3 + 2.5, 4 + 3; 1 + 2.75, 2 + 3.5.
    assert_eq!(got.outputs[0].to_f64(), [3.75, 5.5]);
    assert_eq!(got.outputs[1].to_f64(), [8.0]);
    assert_eq!(got.outputs[2].to_f64(), [9.25, 12.5, 11.0]);
    // 0.5 doubled until it isn't below 32.75; then branch 8, which is the last, doubles it again.
    assert_eq!(got.outputs[3].to_f64(), [64.0]);
    assert_eq!(got.outputs[4].to_f64(), [128.0]);
    // Three steps of five, a sum, eight questions and seven doublings, and one branch of one.
    assert_eq!(got.dispatches, 15 + 1 + 8 + 7 + 1);
    // Branch 0 below, and 1 in between (its index is 8 times this one).
    assert_eq!(go(-1).outputs[4].to_f64(), [128.0]);
    let text = ALL.replace("add %2 %2", "neg %2");
    let program = Program::parse(&text).unwrap();
    let go = |k: i32| run(&program, &[&half, &zero, &Array::from(k), &xs], Elementary::Std).unwrap();
    assert_eq!(go(-1).outputs[4].to_f64(), [-64.0]);
}

#[test]
fn a_loop_may_have_no_steps() {
    let text = "egrad 1
      fn @0 f(%0: f32[2], %1: i32[]) { %2 = exp %0 return %2 %1 }
      fn @1 main(%0: f32[2]) {
        %1 = scan @0 %0 %2 {consts = 0, carry = 1, length = 0, reverse = false}
        return %0
      }";
    // Elements are missing.
    assert!(Program::parse(text).is_err());
    let text = text
        .replace("(%0: f32[2]) {\n", "(%0: f32[2], %2: i32[0]) {\n")
        .replace("return %0\n", "%3 = get %1 {index = 0} %4 = get %1 {index = 1} return %3 %4\n");
    let program = Program::parse(&text).unwrap();
    let (x, none) =
        (Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap(), Array::from_vec(Vec::<i32>::new(), [0]).unwrap());
    let got = run(&program, &[&x, &none], Elementary::Std).unwrap();
    assert_eq!(got.outputs[0], x);
    assert_eq!(got.outputs[1], none);
    assert_eq!(got.dispatches, 0);
}

#[test]
fn what_does_not_fit_is_refused_with_the_place() {
    #[track_caller]
    fn refused(change: &[(&str, &str)], expect: &str) {
        let text = change.iter().fold(ALL.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let error = Program::parse(&text).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
        assert!(error.contains("line "), "{error}");
    }
    refused(&[("scan @0 %0", "scan %0")], "`scan` needs a function");
    refused(&[("scan @0 %0", "scan @0 @1 %0")], "`scan` takes 1 of them");
    refused(&[("while @1 @2", "while @1")], "`while` needs a condition and a body");
    refused(&[("switch @2 @3 @2 %6", "switch %6")], "`switch` needs a function");
    refused(&[("switch @2 @3 @2 %6", "switch @2 @9 @2 %6")], "`@9` is not defined");
    refused(&[("add %0 %0", "add @0 %0")], "`add` takes no function");
    refused(&[(", length = 3", "")], "`scan` needs the attribute `length`");
    refused(&[("reverse = true", "reverse = 1")], "expected `true` or `false` for `reverse`");
    refused(&[("consts = 1, carry = 2", "consts = 4, carry = 2")], "has no 4 consts and 2 carries");
    refused(&[("length = 3", "length = 4")], "operand 3 must have 4 elements of f32[2], f32[4,2], not be f32[3,2]");
    refused(&[("scan @0 %0 %1 %2 %3", "scan @0 %0 %1 %2")], "the body's parameters number 4, not 3");
    refused(&[("scan @0 %0 %1", "scan @0 %2 %1")], "operand 0 must be f32[], not i32[]");
    refused(
        &[("-> (f32[2], i32[], f32[])", ""), ("return %6 %7 %8", "return %8 %7 %6")],
        "carry 0 is f32[2] before a step and f32[] after it",
    );
    refused(
        &[("-> (bool[])", ""), ("lt %1 %0", "sub %1 %0"), ("%2: bool[] = sub", "%2 = sub")],
        "the condition must give one bool[]",
    );
    refused(
        &[("cond_consts = 1, body_consts = 0", "cond_consts = 0, body_consts = 0")],
        "the body's parameters number 1, not 2",
    );
    refused(&[("cond_consts = 1, body_consts = 0", "cond_consts = 9, body_consts = 0")], "has no 9 and 0 consts");
    refused(&[("switch @2 @3 @2 %6 %10", "switch @2 @3 @2 %10 %10")], "the index must be i32[], not f32[]");
    refused(
        &[("switch @2 @3 @2 %6 %10", "switch @2 @1 @2 %6 %10")],
        "the parameters of branch 1 and of branch 0 number 2, not 1",
    );
    refused(&[("switch @2 @3 @2 %6 %10", "switch @2 @3 @2 %6 %6")], "operand 0 must be f32[], not i32[]");
    refused(&[("switch @2 @3 @2 %6 %10", "switch @2 @3 @2")], "`switch` needs an index");
}

#[test]
fn mutants_are_refused() {
    let program = Program::parse(ALL).unwrap();
    let mutant = |control: Control| {
        let mut all = Program::new();
        for (_, f) in program.functions() {
            let mut f = f.clone();
            for node in f.nodes_mut() {
                if node.kind.is_tuple() && node.args.len() == 4 {
                    node.kind = NodeKind::Control(control.clone());
                }
            }
            all.add(f);
        }
        all.verify().unwrap_err().to_string()
    };
    let scan = |body| Control::Scan { body, consts: 1, carry: 2, length: 3, reverse: false };
    assert!(mutant(scan(FnId(4))).contains("callee @4 does not come before its caller @4"));
    assert!(mutant(scan(FnId(2))).contains("the body's parameters number 1, not 4"));
    assert!(mutant(Control::Switch { branches: vec![] }).contains("needs a branch"));
    assert_eq!(program.control_avals(&scan(FnId(9)), &[]).unwrap_err().kind(), "tree");
}

fn parse(text: &str) -> Kernel {
    let kernel = Kernel::parse(text).unwrap_or_else(|e| panic!("{e}"));
    kernel.verify().unwrap();
    assert_eq!(kernel.to_string(), text);
    kernel
}

/// `(c, x) -> (c + x, c + x)`.
const STEP: &str = "      buffer b0: f32[1], input 0 f32[]
      buffer b1: f32[1], input 1 f32[]
      buffer b2: f32[1], output 0 f32[], output 1 f32[]

      step 0 on (b0, b1, b2):
      kernel add(b0: read f32[1], b1: read f32[1], b2: write f32[1]) strict {
        parallel {
          once {
            %0 = load b0[0]
            %1 = load b1[0]
            %2 = add %0 %1
            store b2[0] = %2
          }
        }
      }
";

fn sums() -> Kernel {
    parse(&format!(
        "kernel scan_add(b0: read f32[1], b1: read f32[3], b2: write f32[1], b3: write f32[3]) strict {{
  scan backward length 3 consts 0 carry 1 {{
    input b0 stride 0
    input b1 stride 1
    output b2 stride 0
    output b3 stride 1
    body {{
{STEP}    }}
  }}
}}
"
    ))
}

fn numbers(of: &[f32]) -> Array {
    Array::from_vec(of.to_vec(), [of.len()]).unwrap()
}

#[test]
fn kernels_scan() {
    let got = sums().eval(&[&numbers(&[1.0]), &numbers(&[1.0, 2.0, 4.0])], Elementary::Std).unwrap();
    assert_eq!(got[0].to_f64(), [8.0]);
    assert_eq!(got[1].to_f64(), [8.0, 7.0, 5.0]);
}

#[test]
fn kernels_loop_and_branch() {
    // Adds the first operand until the sum isn't below 10.
    let small = "      buffer b0: f32[1], input 0 f32[]
      buffer b1: bool[1], output 0 bool[]

      step 0 on (b0, b1):
      kernel lt(b0: read f32[1], b1: write bool[1]) strict {
        parallel {
          once {
            %0 = load b0[0]
            %1 = constant f32 10.0
            %2 = lt %0 %1
            store b1[0] = %2
          }
        }
      }
";
    let step = STEP.replace(", output 1 f32[]", "");
    let kernel = parse(&format!(
        "kernel while_add(b0: read f32[1], b1: read f32[1], b2: write f32[1]) strict {{
  while cond_consts 0 body_consts 1 {{
    input b0 stride 0
    input b1 stride 0
    output b2 stride 0
    cond {{
{small}    }}
    body {{
{step}    }}
  }}
}}
"
    ));
    let up = |by: f32, from: f32| kernel.eval(&[&numbers(&[by]), &numbers(&[from])], Elementary::Std).unwrap();
    assert_eq!(up(3.0, 0.0)[0].to_f64(), [12.0]);
    assert_eq!(up(3.0, 11.0)[0].to_f64(), [11.0]);

    let other = step.replace("= add", "= sub");
    let kernel = parse(&format!(
        "kernel switch_add(b0: read i32[1], b1: read f32[1], b2: write f32[1]) strict {{
  switch b0 {{
    input b1 stride 0
    input b1 stride 0
    output b2 stride 0
    branch {{
{step}    }}
    branch {{
{other}    }}
  }}
}}
"
    ));
    for (index, want) in [(-3, 10.0), (0, 10.0), (1, 0.0), (7, 0.0)] {
        let got = kernel.eval(&[&Array::from_vec(vec![index], [1]).unwrap(), &numbers(&[5.0])], Elementary::Std);
        assert_eq!(got.unwrap()[0].to_f64(), [want], "branch {index}");
    }
}

#[test]
fn mutant_kernels_are_refused() {
    let check = |mutate: &dyn Fn(&mut Kernel, &mut Scan), expect: &str| {
        let mut kernel = sums();
        let Body::Scan(mut scan) = kernel.body.clone() else { panic!("a scan") };
        mutate(&mut kernel, &mut scan);
        kernel.body = Body::Scan(scan);
        let error = kernel.verify().expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    };
    fn body(s: &mut Scan) -> &mut Schedule {
        Arc::make_mut(&mut s.body)
    }
    check(&|_, s| s.length = 4, "input 1: b1, read f32[3], is no place for f32[], 4 elements");
    check(&|_, s| s.consts = 2, "has no 2 consts and 1 carries");
    check(&|_, s| s.carry = usize::MAX, "consts and");
    check(&|_, s| s.inputs[1].stride = 0, "input 1: b1 has stride 0, not 1");
    check(&|_, s| s.inputs[0].stride = 1, "input 0: b0 has stride 1, not 0");
    check(&|_, s| s.inputs.truncate(1), "has 1 inputs, not 2");
    check(&|_, s| s.inputs[0].operand = 7, "there is no operand b7");
    check(&|_, s| s.outputs.truncate(1), "has 1 outputs, not 2");
    check(&|_, s| s.outputs[0].operand = 0, "b0, read f32[1], is no place");
    check(&|k, _| k.operands.push(k.operands[2].clone()), "b4 is written, but is no output");
    check(&|k, _| k.operands[3].dtype = Dtype::F64, "output 1: b3, written f64[3], is no place for f32[]");
    check(&|_, s| body(s).steps.clear(), "body: schedule: output 0: b2 is never written");
    check(
        &|_, s| body(s).outputs[0].1 = Aval::new(Dtype::F32, [1]),
        "carry 0 is f32[] before a step and f32[1] after it",
    );
}

/// Prints have a text on both levels, and what doesn't fit the format or the levels is refused.
#[test]
fn prints_have_a_text() {
    let text = "egrad 1

fn @0 f(%0: i32[], %1: f32[2,3], %2: i32[2]) -> (i32[]) {
  %3: (i32[]) = print %0 %1 %2 {format = \"{{x}} = {}\\n\\\"{}\\\"\", levels = [2]}
  %4: i32[] = get %3 {index = 0}
  return %4
}
";
    let program = Program::parse(text).unwrap();
    assert_eq!(program.to_string(), text);
    for (what, by, message) in [
        ("{{x}}", "{x}", "braces are doubled"),
        ("= {}\\n", "= \\n", "the operands number 2, not 3"),
        ("levels = [2]", "levels = [3]", "has not the leading axes [3]"),
        ("print %0", "print %2", "the token must be i32[]"),
    ] {
        let error = Program::parse(&text.replace(what, by)).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let text = "\
kernel print(b0: read i32[1], b1: read f32[6], b2: write i32[1]) strict {
  print \"x = {}\" levels [2] {
    token = b0
    value b1 shape [2, 3]
    result = b2
  }
}
";
    parse(text);
    for (what, by, message) in [
        ("x = {}", "x = {", "braces are doubled"),
        ("x = {}", "x", "prints 1 values with 0 placeholders"),
        ("[2, 3]", "[3, 2]", "has not the levels [2]"),
        ("[2, 3]", "[2, 4]", "b1 is 6 f32, not 8 f32"),
    ] {
        let error = Kernel::parse(&text.replace(what, by)).unwrap().verify().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
