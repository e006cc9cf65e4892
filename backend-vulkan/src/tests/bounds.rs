//! GPU-assisted validation: whether the layers see what kernels access.

use super::programs::counting;
use super::{Build, affine, alone, with, with_options};
use crate::run::Program;
use crate::{Options, Selection, Shaders, Vulkan, Without, spread};
use egrad_ir::kernel::{Body, Executable, Inst};
use egrad_ir::op::Binary;
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Dtype, Result};

fn square(n: usize) -> Schedule {
    let mut k = Build::over([n]);
    let x = k.read(Dtype::F32, n, affine(0, &[1]));
    let y = k.inst(Inst::Binary(Binary::Mul, x, x));
    k.write(Dtype::F32, y);
    alone(k.kernel("square"))
}

/// Squares 100 numbers, reading and writing so many elements too far.
fn run(vulkan: &Vulkan, read: usize, written: usize) -> Result<Array> {
    let schedule = square(100);
    let mut spread = spread::spread(&schedule.steps[0].kernel, &vulkan.context.caps)?;
    if let Body::Loops(nest) = &mut spread.launches[0].kernel.body {
        nest.passes[0].insts[0] = Inst::Load { operand: 0, index: affine(read, &[1]) };
        nest.passes[0].stores[0].index = affine(written, &[1]);
    }
    let program = Program::of(&vulkan.runtime, Shaders::Spirv, schedule, &[spread])?;
    let out = program.run(&[&counting(100)])?.outputs.remove(0);
    out.fetch()?;
    Ok(out)
}

fn options() -> Options {
    Options { validation: true, bounds: true, cache: None, ..Options::from_env(Selection::Any) }
}

#[test]
fn accesses_inside() {
    with_options(options(), |vulkan| {
        let squares: Vec<f64> = counting(100).to_f64().iter().map(|x| x * x).collect();
        assert_eq!(run(vulkan, 0, 0).unwrap().to_f64(), squares);
    });
}

#[test]
fn accesses_outside_are_reported() {
    let mut there = false;
    with(Without::default(), |_| there = true);
    if !there {
        return;
    }
    for (read, written) in [(1, 0), (0, 1)] {
        let vulkan = Vulkan::open(&options()).unwrap();
        run(&vulkan, read, written).unwrap();
        let texts = vulkan.messages().texts();
        assert!(texts.iter().any(|t| t.contains("out of bounds")), "{read}, {written}: {texts:?}");
    }
}
