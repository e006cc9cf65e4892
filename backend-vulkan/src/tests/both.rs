//! The two ways to a module, beside each other: kernels run as SPIR-V and, with the feature
//! `shaderc`, as GLSL, and both give what the interpreter of kernels gives.

use super::random::Numbers;
use super::random::maker::{Maker, work};
use super::{alone, near, run_as, valid, with};
use crate::run::Program;
use crate::spread::{self, Form, Spread, Tile};
use crate::{Shaders, Vulkan, Without, glsl, spirv};
use egrad_ir::kernel::{Body, Executable, Kernel};
use egrad_ir::scalar::Elementary;
use egrad_ir::{Array, Dtype, Numerics};
use std::io::Write;
use std::path::Path;

/// Whether this build compiles GLSL.
const GLSL: bool = cfg!(feature = "shaderc");

/// How many kernels ran, and how many modules of them in each way.
#[derive(Default)]
struct Counts {
    kernels: usize,
    spirv: usize,
    glsl: usize,
}

impl Counts {
    /// Says so whether or not the output of tests is shown.
    fn say(&self, what: &str) {
        let Counts { kernels, spirv, glsl } = self;
        let said = writeln!(std::io::stderr(), "{kernels} {what}: {spirv} modules by SPIR-V, {glsl} by GLSL");
        said.expect("standard error");
    }
}

/// The launches of a kernel; of that form, where it has one that can be chosen.
fn launches(vulkan: &Vulkan, kernel: &Kernel, team: Option<u32>) -> Spread {
    let mut spread = spread::spread(kernel, &vulkan.context.caps).unwrap();
    for launch in &mut spread.launches {
        if let (Body::Loops(_), Some(team)) = (&launch.kernel.body, team) {
            launch.form = Form::Team(team);
        }
    }
    spread
}

/// Runs a kernel in every way on random inputs.
#[track_caller]
fn check(vulkan: &Vulkan, kernel: &Kernel, team: Option<u32>, numbers: &mut Numbers, counts: &mut Counts) {
    let caps = &vulkan.context.caps;
    let read = kernel.operands.iter().filter(|o| !o.written);
    let inputs: Vec<Array> = read.map(|o| numbers.array(o.dtype, o.len)).collect();
    let inputs: Vec<&Array> = inputs.iter().collect();
    let expect = kernel.eval(&inputs, Elementary::Std).unwrap();
    let spread = launches(vulkan, kernel, team);
    let mut ways = vec![Shaders::Spirv];
    for launch in &spread.launches {
        valid(&spirv::emit(launch, caps, "test").unwrap().words);
        let shader = glsl::print(launch, caps, "test").unwrap();
        if GLSL {
            valid(&glsl::compile(&shader).unwrap().words);
        }
    }
    if GLSL {
        counts.glsl += spread.launches.len();
        ways.push(Shaders::Glsl);
    }
    counts.kernels += 1;
    counts.spirv += spread.launches.len();
    for shaders in ways {
        let what = || format!("{shaders:?}, teams of {team:?}\n{kernel}");
        let program = Program::of(&vulkan.runtime, shaders, alone(kernel.clone()), std::slice::from_ref(&spread));
        let run = program.unwrap_or_else(|e| panic!("{e}\n{}", what())).run(&inputs).unwrap();
        for (got, want) in run.outputs.iter().zip(&expect) {
            near(got, want, &inputs).unwrap_or_else(|e| panic!("{e}\n{}", what()));
        }
    }
}

/// The kernels of every built-in program and of every program of the tests, as golden files have
/// them.
#[test]
fn golden_kernels() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frontend/tests/golden/kernels");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 14, "{files:?}");
    with(Without::default(), |vulkan| {
        let (mut numbers, mut counts) = (Numbers(1), Counts::default());
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            for kernel in text.split_inclusive("\n}\n") {
                let kernel = Kernel::parse(kernel).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
                check(vulkan, &kernel, None, &mut numbers, &mut counts);
            }
        }
        counts.say(&format!("golden kernels of {} programs", files.len()));
    });
}

#[test]
fn random_kernels() {
    with(Without::default(), |vulkan| {
        let (mut numbers, mut counts) = (Numbers(7), Counts::default());
        for seed in 0.. {
            if counts.kernels == 150 {
                break;
            }
            let kernel = Kernel { numerics: Numerics::Fast, ..Maker::kernel(seed, 6, true) };
            if kernel.verify().is_err() || work(&kernel) > 20_000 {
                continue;
            }
            let team = 1 << (seed % 9);
            check(vulkan, &kernel, Some(team), &mut numbers, &mut counts);
        }
        counts.say("random kernels");
    });
}

/// A matrix product with these extents of the batch, m, n and k; strides by `transposed`.
fn product(dtype: Dtype, batch: &[usize], [m, n, k]: [usize; 3], transposed: [bool; 2]) -> Kernel {
    use egrad_ir::kernel::{Contract, Matrix, Operand};
    let count: usize = batch.iter().product();
    let matrix = |operand, rows: usize, columns: usize, transposed: bool| {
        let mut strides = vec![0; batch.len()];
        let mut below = rows * columns;
        for (stride, extent) in strides.iter_mut().zip(batch).rev() {
            *stride = below;
            below *= extent;
        }
        let (row, column) = if transposed { (1, rows) } else { (columns, 1) };
        Matrix { operand, offset: 0, batch_strides: strides, row, column }
    };
    let (a, b, c) = (matrix(0, m, k, transposed[0]), matrix(1, k, n, transposed[1]), matrix(2, m, n, false));
    let operand = |len, written| Operand { dtype, len, written };
    Kernel {
        name: "product".into(),
        operands: vec![operand(count * m * k, false), operand(count * k * n, false), operand(count * m * n, true)],
        body: Body::Contract(Contract { dtype, batch: batch.into(), m, n, k, a, b, c }),
        numerics: Numerics::Fast,
    }
}

#[test]
fn products() {
    let extents = [[1, 1, 1], [64, 64, 16], [65, 63, 17], [3, 130, 5], [130, 2, 33], [16, 16, 0], [7, 1, 100]];
    with(Without::default(), |vulkan| {
        let (mut numbers, mut counts) = (Numbers(3), Counts::default());
        for dtype in [Dtype::F32, Dtype::F64] {
            for (i, sizes) in extents.into_iter().enumerate() {
                for batch in [&[][..], &[3], &[2, 2]] {
                    let kernel = product(dtype, batch, sizes, [i % 2 == 1, i % 3 == 1]);
                    check(vulkan, &kernel, None, &mut numbers, &mut counts);
                }
            }
        }
        counts.say("matrix products");
    });
}

/// llvmpipe counts the iterations of all loops of an invocation, also those inside functions.
#[test]
fn functions_in_long_loops() {
    let kernel = "kernel long(b0: read f32[30000], b1: write f32[1]) fast {
  parallel {
    for r0 in 0..30000 {
      %0 = load b0[r0]
      %1 = constant f32 1000.0
      %2 = mul %0 %1
      %3 = sin %2
      %4 = integer_pow 13 %0
      %5 = mul %3 %4
      %6 = reduce_sum %5
    }
    once {
      store b1[0] = %6
    }
  }
}
";
    let kernel = Kernel::parse(kernel).unwrap();
    with(Without::default(), |vulkan| {
        let x = Numbers(5).array(Dtype::F32, 30_000);
        let want = kernel.eval(&[&x], Elementary::Std).unwrap();
        let got = run_as(vulkan, &kernel, Form::Team(1), &[&x]);
        near(&got[0], &want[0], &[&x]).unwrap();

        let long = product(Dtype::F32, &[], [1, 1, 30_000], [false; 2]);
        let inputs = [5, 6].map(|seed| Numbers(seed).array(Dtype::F32, 30_000));
        let want = long.eval(&inputs.each_ref(), Elementary::Std).unwrap();
        for tile in Tile::ALL {
            let got = run_as(vulkan, &long, Form::Tile(tile), &inputs.each_ref());
            near(&got[0], &want[0], &inputs.each_ref()).unwrap();
        }
    });
}
