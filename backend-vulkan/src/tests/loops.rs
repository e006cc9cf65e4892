//! Loops and branches on the device, beside the interpreter of kernels.

use super::programs::counting;
use super::random::functions::{call, function, scan, switch, while_loop};
use super::random::{Numbers, fast};
use super::{alone, near, valid, with, with_options};
use crate::{Faults, Options, Selection, Vulkan, Without, glsl, spirv, spread};
use egrad_ir::kernel::{Backend, Kernel};
use egrad_ir::scalar::Elementary;
use egrad_ir::{Array, Dtype, Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn kinds() -> [Without; 2] {
    [Without::default(), Without { shared_memory: true, ..Without::default() }]
}

/// Runs a kernel twice, and expects what the interpreter gives. How many launches that was.
#[track_caller]
fn check(vulkan: &Vulkan, kernel: &Kernel, inputs: &[Array]) -> usize {
    kernel.verify().unwrap();
    let inputs: Vec<&Array> = inputs.iter().collect();
    let expect = kernel.eval(&inputs, Elementary::Std).unwrap();
    let program = vulkan.compile(alone(kernel.clone())).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    let mut launches = 0;
    for again in [false, true] {
        let run = program.run(&inputs).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
        for (got, want) in run.outputs.iter().zip(&expect) {
            near(got, want, &inputs).unwrap_or_else(|e| panic!("{again} {e}\n{kernel}"));
        }
        launches = run.dispatches;
    }
    launches
}

/// Checks random kernels, made down to some depth.
fn random(seeds: u64, make: fn(&mut Numbers, usize) -> Kernel) {
    for without in kinds() {
        with(without, |vulkan| {
            let mut launches = 0;
            for seed in 1000..1000 + seeds {
                let mut numbers = Numbers(seed);
                let depth = numbers.below(3);
                let kernel = fast(make(&mut numbers, depth));
                if kernel.operands.iter().map(|o| o.len).sum::<usize>() > 30_000 {
                    continue;
                }
                let inputs = numbers.read(&kernel);
                let caps = &vulkan.context.caps;
                for launch in spread::spread(&kernel, caps).unwrap().launches {
                    if seed % 8 == 0 {
                        valid(&spirv::emit(&launch, caps, "test").unwrap().words);
                        let shader = glsl::print(&launch, caps, "test").unwrap();
                        if cfg!(feature = "shaderc") {
                            valid(&glsl::compile(&shader).unwrap().words);
                        }
                    }
                }
                launches += check(vulkan, &kernel, &inputs);
            }
            assert!(launches as u64 > seeds, "{launches}");
        });
    }
}

#[test]
fn scans_run_as_their_steps_would() {
    random(24, scan);
}

#[test]
fn loops_end_when_their_condition_does() {
    random(24, while_loop);
}

#[test]
fn one_branch_runs() {
    random(24, switch);
}

#[test]
fn batches_of_loops_run_as_their_elements_would() {
    random(24, |numbers, depth| {
        let callee = Arc::new(function(numbers, depth + 1, true));
        let count = [1, 2, 3, 7][numbers.below(4)];
        call(&callee, count, numbers)
    });
}

/// A scan of `c = (c + x) / 2` over that many rows of `n` elements, of which every other one is
/// multiplied by itself instead if `branches`.
pub(super) fn rows(n: usize, length: usize, branches: bool) -> Kernel {
    let step = |name: &str, op: &str| {
        format!(
            "kernel {name}(b0: read f32[{n}], b1: read f32[{n}], b2: write f32[{n}]) fast {{
              parallel p0 in 0..{n} {{
                once {{
                  %0 = load b0[p0]
                  %1 = load b1[p0]
                  %2 = add %0 %1
                  %3 = constant f32 0.5
                  %4 = mul %2 {op}
                  store b2[p0] = %4
                }}
              }}
            }}"
        )
    };
    let buffers = format!(
        "buffer b0: f32[{n}], input 0 f32[{n}]
         buffer b1: f32[{n}], input 1 f32[{n}]
         buffer b2: f32[{n}], output 0 f32[{n}]"
    );
    let body = if branches {
        format!(
            "{buffers}, output 1 f32[{n}]
             buffer b3: i32[1], input 2 i32[]
             step 0 on (b3, b0, b1, b2):
             kernel either(b0: read i32[1], b1: read f32[{n}], b2: read f32[{n}], b3: write f32[{n}]) fast {{
               switch b0 {{
                 input b1 stride 0
                 input b2 stride 0
                 output b3 stride 0
                 branch {{ {buffers} step 0 on (b0, b1, b2): {} }}
                 branch {{ {buffers} step 0 on (b0, b1, b2): {} }}
               }}
             }}",
            step("halve", "%3"),
            step("square", "%2")
        )
    } else {
        format!("{buffers}, output 1 f32[{n}] step 0 on (b0, b1, b2): {}", step("halve", "%3"))
    };
    let (reads, indices) = match branches {
        true => (format!(", b4: read i32[{length}]"), "input b4 stride 1"),
        false => (String::new(), ""),
    };
    let all = n * length;
    let text = format!(
        "kernel scan_rows(b0: read f32[{n}], b1: read f32[{all}], b2: write f32[{n}], b3: write f32[{all}]{reads}) fast {{
          scan forward length {length} consts 0 carry 1 {{
            input b0 stride 0
            input b1 stride {n}
            {indices}
            output b2 stride 0
            output b3 stride {n}
            body {{ {body} }}
          }}
        }}"
    );
    Kernel::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// What the kernel of [`rows`] reads.
pub(super) fn rows_read(n: usize, length: usize, branches: bool) -> Vec<Array> {
    let mut read = vec![Numbers(1).array(Dtype::F32, n), Numbers(2).array(Dtype::F32, n * length)];
    let which: Vec<i32> = (0..length).map(|i| (i % 2) as i32).collect();
    read.extend(branches.then(|| Array::from_vec(which, [length]).unwrap()));
    read
}

/// Loops of several command buffers, and of more than a frame has; memory doesn't grow with them.
#[test]
fn long_loops() {
    for without in kinds() {
        with(without, |vulkan| {
            let run = |length: usize, branches: bool| {
                let launches = check(vulkan, &rows(3, length, branches), &rows_read(3, length, branches));
                // A step's result is copied, as it is carried and an element of the rows.
                assert_eq!(launches, 2 + length * if branches { 4 } else { 2 });
                vulkan.memory().allocated
            };
            let memory = [1, 2, 510, 511, 5000].map(|length| run(length, false));
            assert!(memory.iter().all(|m| *m == memory[0]), "{memory:?}");
            run(600, true);
        });
    }
}

/// Steps on rows of which all together are longer than a device binds.
#[test]
fn rows_beyond_what_a_device_binds() {
    let without = Without { range: Some(1 << 12), ..Without::default() };
    with(without, |vulkan| {
        for (n, length) in [(100, 40), (7, 700)] {
            check(vulkan, &rows(n, length, false), &rows_read(n, length, false));
        }
    });
}

/// `(x, n)`: x is halved as long as it is above 1; `n` counts.
pub(super) fn halving() -> Kernel {
    let text = "kernel while_above(b0: read f32[1], b1: read i32[1], b2: write f32[1], b3: write i32[1]) fast {
      while cond_consts 0 body_consts 0 {
        input b0 stride 0
        input b1 stride 0
        output b2 stride 0
        output b3 stride 0
        cond {
          buffer b0: f32[1], input 0 f32[]
          buffer b1: i32[1], input 1 i32[]
          buffer b2: bool[1], output 0 bool[]
          step 0 on (b0, b2):
          kernel above(b0: read f32[1], b1: write bool[1]) fast {
            parallel {
              once {
                %0 = load b0[0]
                %1 = constant f32 1.0
                %2 = gt %0 %1
                store b1[0] = %2
              }
            }
          }
        }
        body {
          buffer b0: f32[1], input 0 f32[]
          buffer b1: i32[1], input 1 i32[]
          buffer b2: f32[1], output 0 f32[]
          buffer b3: i32[1], output 1 i32[]
          step 0 on (b0, b1, b2, b3):
          kernel halve(b0: read f32[1], b1: read i32[1], b2: write f32[1], b3: write i32[1]) fast {
            parallel {
              once {
                %0 = load b0[0]
                %1 = constant f32 0.5
                %2 = mul %0 %1
                %3 = load b1[0]
                %4 = constant i32 1
                %5 = add %3 %4
                store b2[0] = %2
                store b3[0] = %5
              }
            }
          }
        }
      }
    }";
    Kernel::parse(text).unwrap()
}

/// What it reads, to take so many steps.
pub(super) fn halving_read(steps: i32) -> [Array; 2] {
    [Array::from_vec(vec![2f32.powi(steps)], [1]).unwrap(), Array::from_vec(vec![0i32], [1]).unwrap()]
}

/// However many steps a loop takes: none, fewer and more than are submitted together.
#[test]
fn steps_are_counted_on_the_device() {
    for without in kinds() {
        with(without, |vulkan| {
            let kernel = halving();
            for steps in [0, 1, 2, 3, 4, 5, 11, 12, 13, 100] {
                let program = vulkan.compile(alone(kernel.clone())).unwrap();
                let outputs = program.run(&halving_read(steps).each_ref()).unwrap().outputs;
                assert_eq!(outputs[0].to_f64(), [1.0]);
                assert_eq!(outputs[1].to_f64(), [f64::from(steps)]);
            }
        });
    }
}

/// Threads run one program with loops at once.
#[test]
fn threads_share_a_program_of_loops() {
    for without in kinds() {
        with(without, |vulkan| {
            let program = vulkan.compile(alone(halving())).unwrap();
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let program = &program;
                    scope.spawn(move || {
                        for round in 0..6 {
                            let steps = thread * 7 + round;
                            let outputs = program.run(&halving_read(steps).each_ref()).unwrap().outputs;
                            assert_eq!(outputs[1].to_f64(), [f64::from(steps)]);
                        }
                    });
                }
            });
        });
    }
}

/// Compiles and runs loops that are recorded in several parts, and one the device decides about.
fn everything(vulkan: &Vulkan) -> Result<f64> {
    let mut sum = 0.0;
    for (length, branches) in [(260, false), (9, true)] {
        let program = vulkan.compile(alone(rows(5, length, branches)))?;
        let inputs = rows_read(5, length, branches);
        let outputs = program.run(&inputs.iter().collect::<Vec<_>>())?.outputs;
        outputs.iter().try_for_each(Array::fetch)?;
        sum += outputs[0].to_f64().iter().sum::<f64>();
    }
    let program = vulkan.compile(alone(halving()))?;
    let outputs = program.run(&halving_read(10).each_ref())?.outputs;
    outputs.iter().try_for_each(Array::fetch)?;
    Ok(sum + outputs[1].to_f64()[0])
}

fn options(without: Without, faults: Faults) -> Options {
    Options { without, faults, cache: None, ..Options::from_env(Selection::Any) }
}

/// Whichever request for memory is refused in the middle of loops (every other one): an error, nothing left in use, and
/// what comes after works.
#[test]
fn memory_refused_in_loops() {
    for (kind, without) in kinds().into_iter().enumerate() {
        let (mut requests, mut expect) = (0, 0.0);
        with(without.clone(), |vulkan| {
            expect = everything(vulkan).unwrap();
            requests = vulkan.context.queue.allocations.load(Ordering::Relaxed);
            assert_eq!(vulkan.memory().used, 0);
        });
        for first in (kind..requests).step_by(2) {
            let faults = Faults { allocations: Some((first, 2)), ..Faults::default() };
            with_options(options(without.clone(), faults), |vulkan| {
                match everything(vulkan) {
                    Ok(sum) => assert_eq!(sum, expect),
                    Err(Error::Memory(report)) => {
                        assert!(report.message.contains("is out of memory: can't "), "{report:?}")
                    }
                    Err(e) => panic!("{first}: {e}"),
                }
                let again = (0..3).find_map(|_| everything(vulkan).ok());
                assert_eq!(again, Some(expect), "after {first}");
                assert_eq!(vulkan.memory().used, 0);
            });
        }
    }
}

/// The device is lost in the middle of a loop.
#[test]
fn device_lost_in_loops() {
    for without in kinds() {
        let mut submissions = 0;
        with(without.clone(), |vulkan| {
            everything(vulkan).unwrap();
            submissions = vulkan.context.queue.submissions.load(Ordering::Relaxed);
        });
        for at in 0..submissions {
            let faults = Faults { submission: Some(at), ..Faults::default() };
            with_options(options(without.clone(), faults), |vulkan| {
                let e = everything(vulkan).unwrap_err();
                assert!(matches!(e, Error::Device(_)) && e.to_string().contains("was lost: can't "), "{e}");
                assert!(vulkan.is_lost());
            });
        }
    }
}

/// What a body needs and the device lacks is refused before anything runs.
#[test]
fn bodies_that_need_what_a_device_lacks() {
    let wide = Kernel::parse(&rows(3, 2, true).to_string().replace("f32", "f64")).unwrap();
    with(Without { float64: true, ..Without::default() }, |vulkan| {
        let e = vulkan.compile(alone(wide)).err().unwrap().to_string();
        assert!(e.contains("lacks 64-bit floats (`shaderFloat64`), which kernel `"), "{e}");
        assert_eq!(vulkan.context.queue.submissions.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn loops_of_elements_that_are_none() {
    with(Without::default(), |vulkan| {
        assert_eq!(counting(0).shape().size(), 0);
        let none = Array::from_vec(Vec::<f32>::new(), [0]).unwrap();
        let program = vulkan.compile(alone(rows(4, 0, false))).unwrap();
        let outputs = program.run(&[&counting(4), &none]).unwrap().outputs;
        assert_eq!((outputs[0].to_f64(), outputs[1].shape().size()), (counting(4).to_f64(), 0));
    });
}

/// What loops run is listed, with the guards and the counters that move operands.
#[test]
fn bodies_are_listed() {
    with(Without::default(), |vulkan| {
        let program = vulkan.compile(alone(halving())).unwrap();
        let listing = program.listing("glsl").unwrap();
        for name in ["begin_loop", "above", "continue_loop", "halve"] {
            assert!(listing.iter().any(|text| text.contains(&format!("\n// {name}: "))), "{listing:?}");
        }
        let body = listing.iter().find(|text| text.contains("\n// halve: ")).unwrap();
        for part in [
            "#define at0 (1u * launch.counter0)",
            "#define at2 (1u * launch.counter1)",
            "if (b4[at4 + 0] == 0) return;",
        ] {
            assert!(body.contains(part), "{body}");
        }
        assert_eq!(program.listing("spirv").unwrap().len(), listing.len());
    });
}
