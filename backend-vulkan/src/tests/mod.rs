//! Kernels run on whatever Vulkan device there is, under validation, beside the interpreter.
//!
//! Without a device these tests skip, and say so; with `EGRAD_REQUIRE_VULKAN=1` they fail.

mod both;
mod bounds;
mod contract;
mod faults;
mod loops;
mod memory;
mod nests;
mod ops;
mod overhead;
mod positions;
mod programs;
pub(crate) mod random;
mod refusals;
mod texts;

use crate::device::Caps;
use crate::run::Program;
use crate::spread::{Binding, Form, Launch, Memory, Node, Spread};
use crate::{Options, Selection, Shaders, Vulkan, Without, glsl, spirv, spread};
use egrad_ir::kernel::{Affine, Backend, Body, Executable, Inst, Kernel, LoopNest, Operand, Pass, Store, ValueId};
use egrad_ir::scalar::Elementary;
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Array, Aval, Dtype, Literal, Numerics};
use std::process::Command;

/// Opens a device under validation, runs the test, closes the device, and expects no message of
/// the validation layers, about the closing neither.
#[track_caller]
fn with(without: Without, test: impl FnOnce(&Vulkan)) {
    with_options(Options { without, cache: None, ..Options::from_env(Selection::Any) }, test);
}

#[track_caller]
fn with_options(options: Options, test: impl FnOnce(&Vulkan)) {
    let required = std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some_and(|v| v == "1");
    let mut options = Options { validation: true, ..options };
    let mut opened = Vulkan::open(&options);
    if !required && opened.as_ref().is_err_and(|e| e.to_string().contains("lacks the validation layers")) {
        eprintln!("WITHOUT VALIDATION: {}", opened.unwrap_err());
        options.validation = false;
        opened = Vulkan::open(&options);
    }
    let vulkan = match opened {
        Ok(vulkan) => vulkan,
        Err(e) if required => panic!("EGRAD_REQUIRE_VULKAN is set: {e}"),
        Err(e) => return eprintln!("SKIPPED: {e}"),
    };
    let messages = vulkan.messages();
    test(&vulkan);
    drop(vulkan);
    assert_eq!(messages.texts(), Vec::<String>::new());
}

/// A kernel of one pass, in the making.
#[derive(Default)]
struct Build {
    domain: Vec<usize>,
    operands: Vec<Operand>,
    pass: Pass,
}

impl Build {
    fn over(domain: impl Into<Vec<usize>>) -> Build {
        Build { domain: domain.into(), ..Build::default() }
    }

    fn operand(&mut self, dtype: Dtype, len: usize, written: bool) -> usize {
        self.operands.push(Operand { dtype, len, written });
        self.operands.len() - 1
    }

    fn inst(&mut self, inst: Inst) -> ValueId {
        self.pass.insts.push(inst);
        ValueId::from(self.pass.insts.len() - 1)
    }

    /// A new operand, read at that index.
    fn read(&mut self, dtype: Dtype, len: usize, index: Affine) -> ValueId {
        let operand = self.operand(dtype, len, false);
        self.inst(Inst::Load { operand, index })
    }

    /// A new operand, written row by row.
    fn write(&mut self, dtype: Dtype, value: ValueId) {
        let operand = self.operand(dtype, self.domain.iter().product(), true);
        self.pass.stores.push(Store { operand, index: rows(&self.domain), value });
    }

    fn kernel(self, name: &str) -> Kernel {
        let nest = LoopNest { domain: self.domain, passes: vec![self.pass] };
        Kernel { name: name.into(), operands: self.operands, body: Body::Loops(nest), numerics: Numerics::Fast }
    }
}

fn affine(offset: usize, strides: &[usize]) -> Affine {
    Affine { offset, strides: strides.into() }
}

/// Elements in row-major order.
fn rows(domain: &[usize]) -> Affine {
    affine(0, &egrad_ir::Shape::from(domain).strides())
}

/// One launch of a kernel: what it reads is the inputs, what it writes the results.
fn alone(kernel: Kernel) -> Schedule {
    let mut schedule = Schedule::default();
    let operands = (0..kernel.operands.len()).map(BufferId::from).collect();
    for (at, o) in kernel.operands.iter().enumerate() {
        schedule.buffers.push(Buffer { dtype: o.dtype, len: o.len });
        let list = if o.written { &mut schedule.outputs } else { &mut schedule.inputs };
        list.push((BufferId::from(at), Aval::new(o.dtype, [o.len])));
    }
    schedule.steps.push(Step { kernel, operands });
    schedule
}

/// The module of the kernel's one launch.
#[track_caller]
fn launch(kernel: &Kernel, caps: &Caps) -> spirv::Module {
    let spread = spread::spread(kernel, caps).unwrap();
    assert_eq!(spread.launches.len(), 1);
    spirv::emit(&spread.launches[0], caps, "test").unwrap()
}

/// Runs a kernel in one launch of that form.
#[track_caller]
fn run_as(vulkan: &Vulkan, kernel: &Kernel, form: Form, inputs: &[&Array]) -> Vec<Array> {
    let bind = |(i, o): (usize, &Operand)| Binding::fixed(Memory::Operand(i), o.len);
    let bindings = kernel.operands.iter().enumerate().map(bind).collect();
    let launch = Launch::plain(kernel.clone(), form, bindings);
    let module = spirv::emit(&launch, &vulkan.context.caps, "test").unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    valid(&module.words);
    let spread = Spread { launches: vec![launch], nodes: vec![Node::Launches(0..1)], scratch: Vec::new() };
    let run = |shaders| {
        let program = Program::of(&vulkan.runtime, shaders, alone(kernel.clone()), std::slice::from_ref(&spread));
        let run = program.and_then(|p| p.run(inputs)).unwrap_or_else(|e| panic!("{form:?}: {e}\n{kernel}"));
        run.outputs.into_vec()
    };
    let outputs = run(Shaders::Spirv);
    if cfg!(feature = "shaderc") {
        for (got, want) in run(Shaders::Glsl).iter().zip(&outputs) {
            // Each may be as far from the truth, on either side of it.
            let result = within(2.0, got, want, inputs);
            result.unwrap_or_else(|e| panic!("{form:?}, GLSL beside SPIR-V: {e}\n{kernel}"));
        }
    }
    outputs
}

/// Integers and bools are equal; floats within a share of the largest number in sight.
fn near(got: &Array, want: &Array, inputs: &[&Array]) -> Result<(), String> {
    within(1.0, got, want, inputs)
}

/// As [`near`], with the share so many times as large.
fn within(times: f64, got: &Array, want: &Array, inputs: &[&Array]) -> Result<(), String> {
    let finite = |a: &Array| a.to_f64().into_iter().filter(|x| x.is_finite()).fold(1.0, |m: f64, x| m.max(x.abs()));
    let share = match want.dtype() {
        Dtype::F32 => 2e-5,
        Dtype::F64 => 1e-13,
        Dtype::F16 => 2e-3,
        Dtype::Bf16 => 2e-2,
        Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => 0.0,
    };
    // What an f64 was computed from may have been an f32.
    let share = if inputs.iter().any(|a| a.dtype() == Dtype::F32) && share > 0.0 { 2e-5 } else { share };
    let floats = inputs.iter().filter(|a| a.dtype().is_float());
    let most = times * share * floats.map(|a| finite(a)).fold(finite(want), f64::max);
    for (i, (g, w)) in got.to_f64().into_iter().zip(want.to_f64()).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= most;
        if !same {
            return Err(format!("element {i} of {:?}: got {g}, expected {w}", want.aval()));
        }
    }
    Ok(())
}

/// Runs a schedule and compares with the interpreter: integers, bools, NaN, infinities and zeros
/// exactly, other floats within `ulps`. Denormals may be zero: devices flush them.
#[track_caller]
fn check(vulkan: &Vulkan, schedule: Schedule, inputs: &[&Array], ulps: f64) -> Vec<Array> {
    let caps = &vulkan.context.caps;
    let mut launches = 0;
    for step in &schedule.steps {
        for launch in spread::spread(&step.kernel, caps).expect("a kernel").launches {
            valid(&spirv::emit(&launch, caps, "test").expect("a launch").words);
            launches += 1;
        }
    }
    let expect = schedule.eval(inputs, Elementary::Std).unwrap().outputs;
    let names: Vec<String> = schedule.steps.iter().map(|s| s.kernel.name.clone()).collect();
    let program = vulkan.compile(schedule).unwrap_or_else(|e| panic!("{names:?}: {e}"));
    let run = program.run(inputs).unwrap();
    assert_eq!(run.dispatches, launches);
    compare(&run.outputs, &expect, inputs, ulps, &names);
    if cfg!(feature = "shaderc") {
        in_glsl(vulkan, program.schedule(), inputs, ulps);
    }
    run.outputs.into_vec()
}

/// Runs a schedule whose kernels were compiled from GLSL, and compares with the interpreter. Its
/// elementary functions and sums are others than those of SPIR-V: they may be a little further off.
#[track_caller]
fn in_glsl(vulkan: &Vulkan, schedule: &Schedule, inputs: &[&Array], ulps: f64) {
    let caps = &vulkan.context.caps;
    for step in &schedule.steps {
        for launch in spread::spread(&step.kernel, caps).expect("a kernel").launches {
            valid(&glsl::compile(&glsl::print(&launch, caps, "test").expect("a launch")).expect("a shader").words);
        }
    }
    let expect = schedule.eval(inputs, Elementary::Std).unwrap().outputs;
    let names: Vec<String> = schedule.steps.iter().map(|s| format!("{} in GLSL", s.kernel.name)).collect();
    let vulkan = Vulkan { shaders: Shaders::Glsl, ..vulkan.clone() };
    let program = vulkan.compile(schedule.clone()).unwrap_or_else(|e| panic!("{names:?}: {e}"));
    compare(&program.run(inputs).unwrap().outputs, &expect, inputs, if ulps > 0.0 { ulps + 1.0 } else { 0.0 }, &names);
}

#[track_caller]
fn compare(outputs: &[Array], expect: &[Array], inputs: &[&Array], ulps: f64, names: &[String]) {
    assert_eq!(outputs.len(), expect.len());
    for (got, want) in outputs.iter().zip(expect) {
        assert_eq!(got.aval(), want.aval());
        for i in 0..want.shape().size() {
            let (g, w) = (got.literal(i), want.literal(i));
            let at = || {
                let inputs: Vec<_> = inputs.iter().map(|a| a.literal(i % a.shape().size().max(1))).collect();
                format!("{names:?} element {i} (inputs there {inputs:?}): got {g}, expected {w}")
            };
            assert!(close(g, w, ulps), "{}", at());
        }
    }
}

fn close(got: Literal, want: Literal, ulps: f64) -> bool {
    let (g, w) = (got.to_f64(), want.to_f64());
    let (tiny, epsilon) = match want.dtype() {
        Dtype::F32 => (f64::from(f32::MIN_POSITIVE), f64::from(f32::EPSILON)),
        Dtype::F64 => (f64::MIN_POSITIVE, f64::EPSILON),
        // Converted and moved, which is exact.
        Dtype::F16 | Dtype::Bf16 => return got == want || (g.is_nan() && w.is_nan()),
        Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => return got == want,
    };
    if w.is_nan() || g.is_nan() {
        return w.is_nan() && g.is_nan();
    }
    if w != 0.0 && w.abs() < tiny {
        return g.abs() <= tiny;
    }
    if got == want {
        return true;
    }
    // A result on the other side of a boundary is an error of one ulp like any other.
    let error = match (w.is_infinite(), g.is_infinite()) {
        (false, false) => (g - w).abs(),
        _ => return false,
    };
    w != 0.0 && error <= ulps * epsilon * w.abs()
}

/// Asks spirv-val, where it is installed.
#[track_caller]
fn valid(words: &[u32]) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("egrad-{}-{}.spv", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let run = Command::new("spirv-val").args(["--target-env", "vulkan1.3"]).arg(&path).output();
    std::fs::remove_file(&path).unwrap();
    match run {
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr)),
        Err(e) => eprintln!("WITHOUT spirv-val: {e}"),
    }
}
