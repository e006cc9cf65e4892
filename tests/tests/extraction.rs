//! Kernels come from extraction: other prices and other rules give other kernels, and all of them
//! compute the same.

use egrad_cpu::Cpu;
use egrad_ir::eval::{Elementary, eval};
use egrad_ir::kernel::Backend;
use egrad_ir::{Array, Dtype, Numerics, Program};
use egrad_rewrite::cost::Machine;
use egrad_rewrite::{Compilation, Fusion, Options, compile};

/// Attention-like: two products, a softmax with a bias between them, and a gate that is used twice.
const PROGRAM: &str = "egrad 1
fn @0 attention(%0: f32[48,16], %1: f32[40,16], %2: f32[40,8], %3: f32[48], %20: f32[40]) -> (f32[48,8], f32[48], f32[]) {
  %21 = dot_general %0 %1 {contract = [[1],[1]], batch = [[],[]]}
  %22 = sin %20
  %23 = broadcast_in_dim %22 {shape = [48,40], dims = [1]}
  %4 = add %21 %23
  %5 = reduce_max %4 {axes = [1]}
  %6 = broadcast_in_dim %5 {shape = [48,40], dims = [0]}
  %7 = sub %4 %6
  %8 = exp %7
  %9 = reduce_sum %8 {axes = [1]}
  %10 = broadcast_in_dim %9 {shape = [48,40], dims = [0]}
  %11 = div %8 %10
  %12 = dot_general %11 %2 {contract = [[1],[0]], batch = [[],[]]}
  %13 = tanh %3
  %14 = broadcast_in_dim %13 {shape = [48,8], dims = [0]}
  %15 = mul %12 %14
  %16 = mul %13 %3
  %17 = reduce_sum %15 {axes = [0,1]}
  return %15 %16 %17
}
";

fn inputs(program: &Program) -> Vec<Array> {
    let avals = program.entry().param_avals();
    let numbers = |n: usize, seed: usize| (0..n).map(move |i| ((i * 37 + seed * 11) % 101) as f64 / 50.0 - 1.0);
    let array = |(i, a): (usize, &egrad_ir::Aval)| {
        let data: Vec<f64> = numbers(a.shape.size(), i).collect();
        Array::from_f64(Dtype::F32, &data, a.shape.clone()).unwrap()
    };
    avals.iter().enumerate().map(array).collect()
}

/// The kernels that some options give, checked against the interpreter.
fn kernels(options: &Options) -> Vec<String> {
    let program = Program::parse(PROGRAM).unwrap();
    let Compilation { schedule, transformed, .. } = compile(&program, options).unwrap();
    let names: Vec<String> = schedule.steps.iter().map(|s| s.kernel.to_string()).collect();
    let inputs = inputs(&program);
    let inputs: Vec<&Array> = inputs.iter().collect();
    let run = Cpu::new().unwrap().compile(schedule).unwrap().run(&inputs).unwrap();
    assert_eq!(run.dispatches, names.len());
    for (want, got) in eval(&transformed, &inputs, Elementary::Std).unwrap().iter().zip(&run.outputs) {
        assert_eq!(want.aval(), got.aval());
        for (w, g) in want.to_f64().iter().zip(got.to_f64()) {
            assert!((w - g).abs() <= 1e-5 * w.abs().max(1.0), "{w} {g} with {options:?}");
        }
    }
    names
}

fn launch(ns: f64) -> Options {
    Options { machine: Machine { launch_ns: ns, ..Machine::default() }, ..Options::default() }
}

#[test]
fn the_price_of_a_launch_decides_how_many_there_are() {
    let (free, dear) = (kernels(&launch(0.0)), kernels(&launch(1e6)));
    assert_ne!(free, dear);
    assert!(dear.len() < free.len(), "{} kernels with free launches, {} at 1 ms each", free.len(), dear.len());
}

#[test]
fn every_fuse_rule_that_is_disabled_still_leaves_right_kernels() {
    let usual = kernels(&Options::default());
    let without = |rule: &str| kernels(&Options { disabled: vec![rule.to_owned()], ..Options::default() });
    for rule in ["fuse/inline-broadcast", "fuse/contract"] {
        assert_ne!(usual, without(rule), "{rule} changes nothing");
    }
    let mut inline: Vec<String> = egrad_rewrite::rules::Tables::standard()
        .lines()
        .iter()
        .map(|l| l.name)
        .filter(|n| n.starts_with("fuse/inline"))
        .map(str::to_owned)
        .collect();
    assert!(inline.len() > 5);
    let none = kernels(&Options { disabled: inline.clone(), ..Options::default() });
    assert_ne!(usual, none);
    inline.push("fuse/contract".to_owned());
    kernels(&Options { disabled: inline, ..Options::default() });
}

#[test]
fn op_by_op_is_one_kernel_per_primitive() {
    let usual = kernels(&Options::default());
    let each = kernels(&Options { fusion: Fusion::Off, ..Options::default() });
    assert_eq!(each.len(), 17, "{each:#?}");
    assert!(usual.len() < each.len());
}

#[test]
fn strict_kernels_have_the_interpreters_bits() {
    let program = Program::parse(PROGRAM).unwrap();
    let options = Options { numerics: Numerics::Strict, ..Options::default() };
    let compiled = compile(&program, &options).unwrap();
    let inputs = inputs(&program);
    let inputs: Vec<&Array> = inputs.iter().collect();
    let run = Cpu::new().unwrap().compile(compiled.schedule).unwrap().run(&inputs).unwrap();
    let want = eval(&compiled.transformed, &inputs, Elementary::Shared).unwrap();
    assert_eq!(want, run.outputs.to_vec());
}
