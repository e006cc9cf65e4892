//! What transforms make of loops and branches, as text and in what it costs. `EGRAD_BLESS=1` writes the
//! golden files anew; read the difference before committing it. (What it computes:
//! `tests/tests/random.rs`.)

use egrad_ir::eval::{Elementary, run};
use egrad_ir::{Array, Control, Function, NodeKind, Program, Result};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::{Calls, Options, compile, transform};

#[track_caller]
fn transformed(text: &str) -> Result<Program> {
    let program = Program::parse(text).unwrap_or_else(|e| panic!("{e}"));
    let done = transform(&program, Tables::standard(), Calls::Inline)?;
    done.verify().unwrap_or_else(|e| panic!("{e}\n{done}"));
    Ok(done)
}

/// Compares the transformed program with the golden file of that name.
#[track_caller]
fn check(name: &str, text: &str) {
    let text = transformed(text).unwrap_or_else(|e| panic!("{e}")).to_string();
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("EGRAD_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{path} differs; EGRAD_BLESS=1 writes it anew. Now it is:\n{text}");
}

/// `h = tanh(w h + x)` over `x`s, and a count of the steps; the last `h` and all of them.
const CELL: &str = "egrad 1
  fn @0 cell(%0: f32[2,2], %1: f32[2], %2: i32[], %3: f32[2]) {
    %4 = dot_general %0 %1 {contract = [[1], [0]], batch = [[], []]}
    %5 = add %4 %3
    %6 = tanh %5
    %7: i32[] = constant {value = 1}
    %8 = add %2 %7
    return %6 %8 %6
  }
  fn @1 rnn(%0: f32[2,2], %1: f32[2], %2: i32[], %3: f32[5,2]) {
    %4 = scan @0 %0 %1 %2 %3 {consts = 1, carry = 2, length = 5, reverse = false}
    %5 = get %4 {index = 0}
    %6 = get %4 {index = 1}
    %7 = get %4 {index = 2}
    return %5 %6 %7
  }
";

fn scans(f: &Function) -> Vec<(usize, usize, usize, usize)> {
    let of = |n: &egrad_ir::Node| match &n.kind {
        NodeKind::Control(Control::Scan { consts, carry, .. }) => {
            Some((*consts, *carry, n.args.len() - consts - carry, n.avals.len() - carry))
        }
        _ => None,
    };
    f.nodes().filter_map(|(_, n)| of(n)).collect()
}

#[test]
fn goldens() {
    check(
        "scan.vjp",
        &format!(
            "{CELL}
      fn @2 main(%0: f32[2,2], %1: f32[2], %2: i32[], %3: f32[5,2], %4: f32[2]) {{
        %5: f32[] = constant {{value = 0.0}}
        %6 = broadcast_in_dim %5 {{shape = [5, 2], dims = []}}
        %7 = vjp @1 %0 %1 %2 %3 %4 %6 {{wrt = [0, 1, 3]}}
        %8 = get %7 {{index = 3}}
        %9 = get %7 {{index = 4}}
        %10 = get %7 {{index = 5}}
        return %8 %9 %10
      }}"
        ),
    );
    check(
        "scan.jvp",
        &format!(
            "{CELL}
      fn @2 main(%0: f32[2,2], %1: f32[2], %2: i32[], %3: f32[5,2], %4: f32[5,2]) {{
        %5 = jvp @1 %0 %1 %2 %3 %4 {{wrt = [3]}}
        %6 = get %5 {{index = 3}}
        %7 = get %5 {{index = 4}}
        return %6 %7
      }}"
        ),
    );
    check(
        "scan.vmap",
        &format!(
            "{CELL}
      fn @2 main(%0: f32[2,2], %1: f32[2], %2: i32[], %3: f32[5,2,7]) {{
        %4 = vmap @1 %0 %1 %2 %3 {{in_axes = [_, _, _, 2], out_axes = [0, 0, 1], size = 7}}
        %5 = get %4 {{index = 0}}
        %6 = get %4 {{index = 1}}
        %7 = get %4 {{index = 2}}
        return %5 %6 %7
      }}"
        ),
    );
    // The condition differs between elements; then it doesn't.
    const HALVING: &str = "egrad 1
      fn @0 more(%0: f32[], %1: f32[]) { %2 = gt %1 %0 return %2 }
      fn @1 half(%0: f32[], %1: f32[]) { %2 = mul %0 %1 return %2 }
      fn @2 f(%0: f32[], %1: f32[], %2: f32[]) {
        %3 = while @0 @1 %0 %1 %2 {cond_consts = 1, body_consts = 1}
        %4 = get %3 {index = 0}
        return %4
      }
      ";
    check(
        "while.vmap",
        &format!(
            "{HALVING}
      fn @3 main(%0: f32[], %1: f32[], %2: f32[3]) {{
        %4 = vmap @2 %0 %1 %2 {{in_axes = [_, _, 0], out_axes = [0], size = 3}} %5 = get %4 {{index = 0}} return %5
      }}"
        ),
    );
    check(
        "while.jvp",
        &format!(
            "{HALVING}
      fn @3 main(%0: f32[], %1: f32[], %2: f32[], %3: f32[]) {{
        %4 = jvp @2 %0 %1 %2 %3 {{wrt = [2]}} %5 = get %4 {{index = 1}} return %5
      }}"
        ),
    );
    const CHOICE: &str = "egrad 1
      fn @0 wave(%0: f32[3]) { %1 = sin %0 return %1 }
      fn @1 bent(%0: f32[3]) { %1 = tanh %0 %2 = mul %1 %0 return %2 }
      fn @2 f(%0: i32[], %1: f32[3]) { %2 = switch @0 @1 %0 %1 %3 = get %2 {index = 0} return %3 }
      ";
    check(
        "switch.vjp",
        &format!(
            "{CHOICE}
      fn @3 main(%0: i32[], %1: f32[3], %2: f32[3]) {{
        %4 = vjp @2 %0 %1 %2 {{wrt = [1]}} %5 = get %4 {{index = 1}} return %5
      }}"
        ),
    );
    check(
        "switch.vmap",
        &format!(
            "{CHOICE}
      fn @3 main(%0: i32[2], %1: f32[3]) {{
        %4 = vmap @2 %0 %1 {{in_axes = [0, _], out_axes = [0], size = 2}} %5 = get %4 {{index = 0}} return %5
      }}"
        ),
    );
}

/// The gradient of a scan is two scans. Forward, only what going back needs is kept of every step;
/// what isn't used (the count, the results) isn't carried or kept.
#[test]
fn gradients_keep_what_they_need() {
    let program = transformed(&format!(
        "{CELL}
      fn @2 main(%0: f32[2,2], %1: f32[2], %2: i32[], %3: f32[5,2], %4: f32[2]) {{
        %5: f32[] = constant {{value = 0.0}}
        %6 = broadcast_in_dim %5 {{shape = [5, 2], dims = []}}
        %7 = vjp @1 %0 %1 %2 %3 %4 %6 {{wrt = [0]}}
        %8 = get %7 {{index = 3}}
        return %8
      }}"
    ))
    .unwrap();
    // Forward: w; h; x -> h; the h before and the tanh. Back: w; the cotangent of h and the sum for w;
    // both kept values and the cotangent of each result.
    assert_eq!(scans(program.entry()), [(1, 1, 1, 2), (1, 2, 3, 0)], "{program}");
}

/// What is the same in every step is saved once.
#[test]
fn what_steps_share_is_no_residual() {
    let program = transformed(
        "egrad 1
      fn @0 step(%0: f32[4], %1: f32[4]) { %2 = exp %0 %3 = mul %1 %2 return %3 }
      fn @1 f(%0: f32[4], %1: f32[4]) {
        %2 = scan @0 %0 %1 {consts = 1, carry = 1, length = 9, reverse = false} %3 = get %2 {index = 0} return %3
      }
      fn @2 main(%0: f32[4], %1: f32[4], %2: f32[4]) {
        %3 = vjp @1 %0 %1 %2 {wrt = [1]} %4 = get %3 {index = 1} return %4
      }",
    )
    .unwrap();
    // The first scan isn't needed at all; exp of the shared operand stands outside.
    assert_eq!(scans(program.entry()), [(1, 1, 0, 0)], "{program}");
    let exps = program.entry().nodes().filter(|(_, n)| matches!(&n.kind, NodeKind::Op(op) if op.name() == "exp"));
    assert_eq!(exps.count(), 1, "{program}");
}

#[test]
fn loops_without_a_known_length_have_no_reverse_mode() {
    let error = transformed(
        "egrad 1
      fn @0 more(%0: f32[]) { %1: f32[] = constant {value = 9.0} %2 = lt %0 %1 return %2 }
      fn @1 double(%0: f32[]) { %1 = add %0 %0 return %1 }
      fn @2 f(%0: f32[]) { %1 = while @0 @1 %0 {cond_consts = 0, body_consts = 0} %2 = get %1 {index = 0} return %2 }
      fn @3 main(%0: f32[]) { %1 = vjp @2 %0 %0 {wrt = [0]} %2 = get %1 {index = 1} return %2 }",
    )
    .unwrap_err();
    assert_eq!(error.kind(), "missing_rule");
    let text = error.to_string();
    assert!(text.contains("`while` has no reverse-mode derivative") && text.contains("line 4"), "{text}");
    assert!(text.contains("`fori_loop`") && text.contains("the vjp of `f` is taken here"), "{text}");
}

/// A chain of scans in scans has a gradient of its own size, in loops.
#[test]
fn nesting_is_linear() {
    let size = |depth: usize| {
        let mut text = "egrad 1 fn @0 f(%0: f32[2], %1: f32[2]) { %2 = mul %0 %1 %3 = sin %2 return %3 }".to_owned();
        for d in 0..depth {
            text += &format!(
                " fn @{} f(%0: f32[2], %1: f32[2]) {{
                    %2 = scan @{d} %0 %1 {{consts = 1, carry = 1, length = 3, reverse = false}}
                    %3 = get %2 {{index = 0}} return %3
                  }}",
                d + 1
            );
        }
        text += &format!(
            " fn @{} main(%0: f32[2], %1: f32[2]) {{
                %2 = vjp @{depth} %0 %1 %1 {{wrt = [0, 1]}} %3 = get %2 {{index = 1}} %4 = get %2 {{index = 2}} return %3 %4
              }}",
            depth + 1
        );
        let program = transformed(&text).unwrap();
        program.functions().map(|(_, f)| f.len()).sum::<usize>()
    };
    let [one, two, four] = [1, 2, 4].map(size);
    assert!(four - two <= 2 * (two - one) + 16, "{one}, {two}, {four} nodes");
}

/// Loops nest deep, and their gradients are taken in a thread's own stack. What is saved has an axis per
/// level, of which there can be 64.
#[test]
fn loops_may_nest_deep() {
    const DEEP: usize = 60;
    let mut text = "egrad 1 fn @0 f(%0: f32[]) { %1 = sin %0 return %1 }".to_owned();
    for d in 0..DEEP {
        text += &format!(
            " fn @{} f(%0: f32[]) {{
                %1 = scan @{d} %0 {{consts = 0, carry = 1, length = 1, reverse = false}} %2 = get %1 {{index = 0}} return %2
              }}",
            d + 1
        );
    }
    text += &format!(
        " fn @{} main(%0: f32[]) {{ %1 = vjp @{DEEP} %0 %0 {{wrt = [0]}} %2 = get %1 {{index = 1}} return %2 }}",
        DEEP + 1
    );
    let program = transformed(&text).unwrap();
    let x = Array::from(0.5f32);
    let got = run(&program, &[&x], Elementary::Std).unwrap().outputs[0].item::<f32>().unwrap();
    assert!((got - 0.5 * 0.5f32.cos()).abs() < 1e-6, "{got}");
}

/// The transformed program, its kernels in strict mode, and op by op: the same bits.
#[test]
fn kernels_compute_what_the_program_says() {
    let text = format!(
        "{CELL}
      fn @2 main(%0: f32[2,2], %1: f32[2], %2: i32[], %3: f32[5,2]) {{
        %4 = vjp @1 %0 %1 %2 %3 %1 %3 {{wrt = [0, 1, 3]}}
        %5 = get %4 {{index = 1}}
        %6 = get %4 {{index = 2}}
        %8 = get %4 {{index = 3}}
        %9 = get %4 {{index = 4}}
        %10 = get %4 {{index = 5}}
        return %5 %6 %8 %9 %10
      }}"
    );
    let data = |n: usize| (0..n).map(|i| 0.3 - 0.17 * i as f32).collect::<Vec<f32>>();
    let inputs = [
        Array::from_vec(data(4), [2, 2]).unwrap(),
        Array::from_vec(data(2), [2]).unwrap(),
        Array::from(3i32),
        Array::from_vec(data(10), [5, 2]).unwrap(),
    ];
    let inputs: Vec<&Array> = inputs.iter().collect();
    let want = run(&transformed(&text).unwrap(), &inputs, Elementary::Shared).unwrap().outputs;
    assert_eq!(want[0].to_f64(), [8.0]);
    for fusion in [egrad_rewrite::Fusion::Search, egrad_rewrite::Fusion::Off] {
        for calls in Calls::ALL {
            let options = Options { numerics: egrad_ir::Numerics::Strict, fusion, calls, ..Options::default() };
            let compiled = compile(&Program::parse(&text).unwrap(), &options).unwrap();
            compiled.schedule.verify().unwrap();
            assert!(compiled.program().has_control() && compiled.program().verify().is_ok());
            let got = compiled.schedule.eval(&inputs, Elementary::Shared).unwrap().outputs;
            assert_eq!(got, want, "{fusion:?} {calls}");
        }
    }
}
