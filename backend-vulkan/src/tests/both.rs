//! The two ways to a module, beside each other: kernels run as SPIR-V and, with the feature
//! `shaderc`, as GLSL, and both give what the interpreter of kernels gives.

use super::{alone, valid, with};
use crate::run::Program;
use crate::spread::{self, Form, Spread};
use crate::{Shaders, Vulkan, Without, glsl, spirv};
use egrad_ir::kernel::{Body, Executable, Kernel};
use egrad_ir::scalar::Elementary;
use egrad_ir::{Array, Dtype, Numerics};
use maker::{Maker, work};
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

#[path = "../../../backend-cpu/tests/common/maker.rs"]
mod maker;

/// Numbers that come out the same everywhere, from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Between -1 and 1.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Elements between -2 and 2.
    fn array(&mut self, dtype: Dtype, len: usize) -> Array {
        let element = |numbers: &mut Numbers| match dtype {
            Dtype::Bool => numbers.below(2) as f64,
            Dtype::F32 | Dtype::F64 | Dtype::I32 => 2.0 * numbers.unit(),
        };
        Array::from_f64(dtype, &(0..len).map(|_| element(self)).collect::<Vec<_>>(), [len]).unwrap()
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
    let mut ways = Vec::new();
    let spirv = spread.launches.iter().map(|launch| spirv::emit(launch, caps, "test"));
    match spirv.collect::<Result<Vec<_>, _>>() {
        Ok(modules) => {
            modules.iter().for_each(|m| valid(&m.words));
            counts.spirv += modules.len();
            ways.push(Shaders::Spirv);
        }
        Err(e) => assert!(e.to_string().contains("doesn't run"), "{e}"),
    }
    for launch in &spread.launches {
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
    for shaders in ways {
        let what = || format!("{shaders:?}, teams of {team:?}\n{kernel}");
        let program = Program::of(&vulkan.context, shaders, alone(kernel.clone()), std::slice::from_ref(&spread));
        let run = program.unwrap_or_else(|e| panic!("{e}\n{}", what())).run(&inputs).unwrap();
        for (got, want) in run.outputs.iter().zip(&expect) {
            near(got, want, &inputs).unwrap_or_else(|e| panic!("{e}\n{}", what()));
        }
    }
}

/// Integers and bools are equal; floats within a share of the largest number in sight.
fn near(got: &Array, want: &Array, inputs: &[&Array]) -> Result<(), String> {
    let finite = |a: &Array| a.to_f64().into_iter().filter(|x| x.is_finite()).fold(1.0, |m: f64, x| m.max(x.abs()));
    let share = match want.dtype() {
        Dtype::F32 => 2e-5,
        Dtype::F64 => 1e-13,
        Dtype::I32 | Dtype::Bool => 0.0,
    };
    // What an f64 was computed from may have been an f32.
    let share = if inputs.iter().any(|a| a.dtype() == Dtype::F32) && share > 0.0 { 2e-5 } else { share };
    let most = share * inputs.iter().map(|a| finite(a)).fold(finite(want), f64::max);
    for (i, (g, w)) in got.to_f64().into_iter().zip(want.to_f64()).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= most;
        if !same {
            return Err(format!("element {i} of {:?}: got {g}, expected {w}", want.aval()));
        }
    }
    Ok(())
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
