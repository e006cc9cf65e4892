//! What is computed with floats of 16 bits is computed in `f32`, and nothing else is touched.

use egrad_ir::eval::{self, Elementary};
use egrad_ir::{Array, Dtype, Function, NodeKind, Numerics, Op, Program};
use egrad_rewrite::explain::{Explanation, Subject};
use egrad_rewrite::rules::Tables;
use egrad_rewrite::{Options, compile, expand, widened};

/// The operations of a function of `x: bf16[2,3]`, `i: i32[2]` and `p: bool[2,3]`, widened.
#[track_caller]
fn check(body: &str, want: &str) {
    let text = format!("egrad 1 fn f(%0: bf16[2,3], %1: i32[2], %2: bool[2,3], %3: f32[2,3]) {{ {body} }}");
    let program = Program::parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let f = program.entry();
    let wide = widened(f).unwrap();
    let ops = wide.nodes().filter_map(|(_, node)| match &node.kind {
        NodeKind::Op(Op::Convert(to)) => Some(to.name()),
        NodeKind::Op(op) => Some(op.name()),
        NodeKind::Param(_) | NodeKind::Apply(..) | NodeKind::Control(_) | NodeKind::Get(_) => None,
    });
    assert_eq!(ops.collect::<Vec<_>>().join(" "), want, "{body}");
    assert_eq!(wide.result_avals(), f.result_avals());
    // Once is enough.
    assert_eq!(*widened(&wide).unwrap(), *wide);
}

#[test]
fn what_computes_is_wide() {
    check("%4 = sin %0 return %4", "f32 sin bf16");
    check("%4 = mul %0 %0 %5 = add %4 %0 return %5", "f32 mul bf16 f32 add bf16");
    check("%4 = lt %0 %0 return %4", "f32 lt");
    check("%4 = integer_pow %0 {n = 3} return %4", "f32 integer_pow bf16");
    check("%4 = reduce_sum %0 {axes = [1]} return %4", "f32 reduce_sum bf16");
    check("%4 = argsort %0 {axis = 1} return %4", "f32 argsort");
    check("%4 = iota {dtype = f16, shape = [5], axis = 0} return %4", "iota f16");
    check("%4 = dot_general %0 %0 {contract = [[1], [1]], batch = [[], []]} return %4", "f32 dot_general bf16");
    check("%4 = scatter_add %0 %1 %0 {axis = 0, batch = 0} return %4", "f32 scatter_add bf16");
}

#[test]
fn what_moves_is_not() {
    check("%4 = stop_gradient %0 return %4", "stop_gradient");
    check("%4 = barrier %0 return %4", "barrier");
    check("%4 = select %2 %0 %0 return %4", "select");
    check("%4 = transpose %0 {perm = [1, 0]} %5 = reshape %4 {shape = [6]} return %5", "transpose reshape");
    check("%4 = take %0 %1 {axis = 0, batch = 0} return %4", "take");
    check("%4 = concatenate %0 %0 {axis = 0} return %4", "concatenate");
    check("%4 = convert %0 {dtype = f16} return %4", "f16");
    check("%4 = mul %3 %3 return %4", "mul");
}

/// A gradient of 16-bit floats.
fn program() -> Program {
    Program::parse(
        "egrad 1
         fn @0 f(%0: bf16[3,5], %1: bf16[5]) {
           %2 = broadcast_in_dim %1 {shape = [3, 5], dims = [1]}
           %3 = mul %0 %2
           %4 = tanh %3
           %5 = mul %4 %0
           %6 = reduce_sum %5 {axes = [0, 1]}
           return %6
         }
         fn @1 main(%0: bf16[3,5], %1: bf16[5]) {
           %2: bf16[] = constant {value = 1.0}
           %3 = vjp @0 %0 %1 %2 {wrt = [0, 1]}
           %4 = get %3 {index = 0}
           %5 = get %3 {index = 1}
           %6 = get %3 {index = 2}
           return %4 %5 %6
         }",
    )
    .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn strict_kernels_have_the_interpreters_bits() {
    let program = program();
    let data = |n: usize| (0..n).map(|i| (i as f64 * 0.83).sin() * 1.7).collect::<Vec<_>>();
    let x = Array::from_f64(Dtype::Bf16, &data(15), [3, 5]).unwrap();
    let y = Array::from_f64(Dtype::Bf16, &data(5), [5]).unwrap();
    let want = eval::eval(&expand(&program).unwrap(), &[&x, &y], Elementary::Shared).unwrap();
    for numerics in [Numerics::Strict, Numerics::Fast] {
        let compiled = compile(&program, &Options { numerics, ..Options::default() }).unwrap();
        let got = compiled.schedule.eval(&[&x, &y], Elementary::Shared).unwrap();
        for (got, want) in got.outputs.iter().zip(&want) {
            match numerics {
                Numerics::Strict => assert_eq!(got, want),
                Numerics::Fast => {
                    for (g, w) in got.to_f64().into_iter().zip(want.to_f64()) {
                        assert!((g - w).abs() <= 0.02 * w.abs().max(1.0), "{got}, not {want}");
                    }
                }
            }
        }
    }
}

fn conversions(f: &Function) -> usize {
    f.nodes().filter(|(_, node)| matches!(node.kind, NodeKind::Op(Op::Convert(_)))).count()
}

/// Conversions are part of the kernels of what they are around.
#[test]
fn conversions_take_no_kernel() {
    let chain = "egrad 1 fn f(%0: f16[1000], %1: f16[1000]) {
       %2 = mul %0 %1 %3 = exp %2 %4 = add %3 %1 %5 = reduce_max %4 {axes = [0]} return %5 }";
    let compiled = compile(&Program::parse(chain).unwrap(), &Options::default()).unwrap();
    assert_eq!(compiled.schedule.steps.len(), 1, "{:?}", compiled.schedule);
    let there_and_back = "egrad 1 fn f(%0: f16[1000]) {
       %1 = convert %0 {dtype = f32} %2 = convert %1 {dtype = f16} return %2 }";
    let compiled = compile(&Program::parse(there_and_back).unwrap(), &Options::default()).unwrap();
    assert_eq!(conversions(&compiled.extracted), 0, "{}", compiled.extracted);
    let rounded = "egrad 1 fn f(%0: f32[1000]) {
       %1 = convert %0 {dtype = f16} %2 = convert %1 {dtype = f32} return %2 }";
    let compiled = compile(&Program::parse(rounded).unwrap(), &Options::default()).unwrap();
    assert_eq!(conversions(&compiled.extracted), 2, "{}", compiled.extracted);
}

#[test]
fn every_node_is_explained() {
    let program = program();
    let options = Options { watch: true, ..Options::default() };
    let compiled = compile(&program, &options).unwrap();
    let mut all = Explanation::new(Some(&program), &compiled, &options, Tables::standard()).unwrap();
    let live = compiled.transformed.live();
    let mut origins = 0;
    for (id, _) in compiled.transformed.nodes().filter(|(id, _)| live[id.index()]) {
        let why = all.why(Subject::Transformed(id)).unwrap_or_else(|e| panic!("{id}: {e}"));
        origins += why.origins.len();
    }
    assert!(origins > 0);
}
