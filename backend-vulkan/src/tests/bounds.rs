//! GPU-assisted validation: whether the layers see what kernels access.

use super::programs::counting;
use super::{Build, affine, alone, with, with_options};
use crate::run::Program;
use crate::{Options, Selection, Shaders, Vulkan, Without, spread};
use egrad_ir::kernel::{Executable, Inst};
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

/// Squares 100 numbers with so many bytes of an operand missing from what is bound.
fn run(vulkan: &Vulkan, operand: usize, missing: u64) -> Result<Array> {
    let schedule = square(100);
    let spread = spread::spread(&schedule.steps[0].kernel, &vulkan.context.caps)?;
    let mut program = Program::of(&vulkan.runtime, Shaders::Spirv, schedule, &[spread])?;
    program.plan.launches[0].shorten(operand, missing);
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
    for operand in [0, 1] {
        let vulkan = Vulkan::open(&options()).unwrap();
        run(&vulkan, operand, 40).unwrap();
        let texts = vulkan.messages().texts();
        assert!(texts.iter().any(|t| t.contains("out of bounds")), "operand {operand}: {texts:?}");
    }
}
