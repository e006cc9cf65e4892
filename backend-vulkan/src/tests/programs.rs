//! Shapes, strides, several outputs, several steps, memory that is staged, many threads.

use super::{Build, affine, alone, check, rows, with};
use crate::Without;
use egrad_ir::kernel::{Backend, Body, Inst, Kernel, LoopNest, Operand, Pass, Store, ValueId};
use egrad_ir::op::{Binary, Compare, Unary};
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Array, Aval, Dtype, Literal, Numerics};

pub(super) fn counting(n: usize) -> Array {
    Array::from_vec((0..n).map(|i| i as f32 * 0.25 - 3.0).collect(), [n]).unwrap()
}

/// x + y over a domain, each read through its own index.
fn sum(domain: &[usize], x: (usize, egrad_ir::kernel::Affine), y: (usize, egrad_ir::kernel::Affine)) -> Kernel {
    let mut k = Build::over(domain);
    let [x, y] = [x, y].map(|(len, index)| k.read(Dtype::F32, len, index));
    let sum = k.inst(Inst::Binary(Binary::Add, x, y));
    k.write(Dtype::F32, sum);
    k.kernel("add")
}

#[test]
fn lengths() {
    with(Without::default(), |vulkan| {
        for n in [1, 2, 7, 63, 64, 65, 255, 256, 257, 1000, 4099] {
            let (x, index) = (counting(n), affine(0, &[1]));
            check(vulkan, alone(sum(&[n], (n, index.clone()), (n, index))), &[&x, &x], 0.0);
        }
    });
}

#[test]
fn strides() {
    let domain = [3, 5, 7];
    let row_major = || (105, rows(&domain));
    let cases = [
        (105, affine(0, &[35, 7, 1])),
        (105, affine(0, &[1, 3, 15])),
        (105, affine(0, &[7, 21, 1])),
        (1, affine(0, &[0, 0, 0])),
        (7, affine(0, &[0, 0, 1])),
        (15, affine(0, &[5, 1, 0])),
        (21, affine(0, &[7, 0, 1])),
        (5, affine(0, &[0, 1, 0])),
        (300, affine(11, &[71, 14, 2])),
        (9, affine(8, &[0, 0, 0])),
    ];
    with(Without::default(), |vulkan| {
        for (len, index) in cases {
            let inputs = [&counting(len), &counting(105)];
            check(vulkan, alone(sum(&domain, (len, index), row_major())), &inputs, 0.0);
        }
        // Extents of 1, no axes at all, and seven of them.
        check(
            vulkan,
            alone(sum(&[1, 4, 1], (4, rows(&[1, 4, 1])), (1, affine(0, &[0; 3])))),
            &[&counting(4), &counting(1)],
            0.0,
        );
        check(vulkan, alone(sum(&[], (1, affine(0, &[])), (3, affine(2, &[])))), &[&counting(1), &counting(3)], 0.0);
        let deep = [2, 3, 2, 2, 3, 2, 2];
        let reversed = affine(0, &[1, 2, 6, 12, 24, 72, 144]);
        check(vulkan, alone(sum(&deep, (288, rows(&deep)), (288, reversed))), &[&counting(288), &counting(288)], 0.0);
    });
}

#[test]
fn stores_are_strided_too() {
    // Writes a transposed copy and, with it, where each element came from.
    let mut k = Build::over([4, 6]);
    let x = k.read(Dtype::F32, 24, affine(0, &[6, 1]));
    let at = k.inst(Inst::Index(affine(0, &[6, 1])));
    for (dtype, value) in [(Dtype::F32, x), (Dtype::I32, at)] {
        let operand = k.operand(dtype, 24, true);
        k.pass.stores.push(Store { operand, index: affine(0, &[1, 4]), value });
    }
    let schedule = alone(k.kernel("transpose"));
    with(Without::default(), |vulkan| {
        check(vulkan, schedule, &[&counting(24)], 0.0);
    });
}

#[test]
fn several_outputs_of_several_types() {
    with(Without::default(), |vulkan| {
        let mut k = Build::over([9, 11]);
        let x = k.read(Dtype::F32, 99, rows(&[9, 11]));
        let row = k.inst(Inst::Index(affine(5, &[1, 0])));
        let limit = k.inst(Inst::Literal(Literal::new(Dtype::F32, 2.0)));
        let small = k.inst(Inst::Compare(Compare::Lt, x, limit));
        let wide = k.inst(Inst::Convert(Dtype::F64, x));
        let either = k.inst(Inst::Select(small, x, limit));
        for (dtype, v) in [(Dtype::F32, either), (Dtype::Bool, small), (Dtype::I32, row), (Dtype::F64, wide)] {
            k.write(dtype, v);
        }
        check(vulkan, alone(k.kernel("four")), &[&counting(99)], 0.0);
    });
}

#[test]
fn a_later_pass_reads_what_an_earlier_one_stored() {
    let index = affine(0, &[1]);
    let operand = |written| Operand { dtype: Dtype::F32, len: 100, written };
    let store = |operand, value| Store { operand, index: index.clone(), value: ValueId(value) };
    let first = Pass {
        insts: vec![Inst::Load { operand: 0, index: index.clone() }, Inst::Binary(Binary::Mul, ValueId(0), ValueId(0))],
        stores: vec![store(1, 1)],
        ..Pass::default()
    };
    let second = Pass {
        insts: vec![Inst::Load { operand: 1, index: index.clone() }, Inst::Binary(Binary::Sub, ValueId(2), ValueId(0))],
        stores: vec![store(2, 3)],
        ..Pass::default()
    };
    let kernel = Kernel {
        name: "two_passes".into(),
        operands: vec![operand(false), operand(true), operand(true)],
        body: Body::Loops(LoopNest { domain: vec![100], passes: vec![first, second] }),
        numerics: Numerics::Fast,
    };
    with(Without::default(), |vulkan| {
        check(vulkan, alone(kernel), &[&counting(100)], 0.0);
    });
}

/// Steps over buffers of one length: `(operation, operands, result)`, by buffer.
pub(super) fn steps(n: usize, inputs: usize, steps: &[(Binary, [usize; 2], usize)], outputs: &[usize]) -> Schedule {
    let count = inputs + steps.len();
    let listed = |ids: &[usize]| ids.iter().map(|i| (BufferId::from(*i), Aval::new(Dtype::F32, [n]))).collect();
    let step = |(op, args, result): &(Binary, [usize; 2], usize)| {
        let mut k = Build::over([n]);
        let [x, y] = [0, 1].map(|_| k.read(Dtype::F32, n, affine(0, &[1])));
        let z = k.inst(Inst::Binary(*op, x, y));
        k.write(Dtype::F32, z);
        Step { kernel: k.kernel(op.name()), operands: [args[0], args[1], *result].map(BufferId::from).into() }
    };
    Schedule {
        buffers: (0..count).map(|_| Buffer { dtype: Dtype::F32, len: n }).collect(),
        inputs: listed(&(0..inputs).collect::<Vec<_>>()),
        outputs: listed(outputs),
        steps: steps.iter().map(step).collect(),
    }
}

/// A diamond, a chain, and results that are inputs or appear twice.
pub(super) fn diamond(n: usize) -> Schedule {
    let all = [
        (Binary::Add, [0, 1], 2),
        (Binary::Mul, [0, 0], 3),
        (Binary::Sub, [2, 3], 4),
        (Binary::Max, [4, 2], 5),
        (Binary::Add, [5, 5], 6),
    ];
    steps(n, 2, &all, &[6, 1, 4, 6])
}

#[test]
pub(super) fn steps_wait_for_what_they_read() {
    with(Without::default(), |vulkan| {
        for n in [1, 1000, 70_001] {
            check(vulkan, diamond(n), &[&counting(n), &counting(n)], 0.0);
        }
    });
}

#[test]
fn memory_of_a_card_of_its_own() {
    let without = Without { shared_memory: true, ..Without::default() };
    with(without, |vulkan| {
        for n in [1, 1000, 70_001] {
            check(vulkan, diamond(n), &[&counting(n), &counting(n)], 0.0);
        }
        let bools = Array::from_vec(vec![true, false, true, true, false], [5]).unwrap();
        let mut k = Build::over([5]);
        let x = k.read(Dtype::Bool, 5, affine(0, &[1]));
        let y = k.inst(Inst::Unary(Unary::Not, x));
        k.write(Dtype::Bool, y);
        check(vulkan, alone(k.kernel("not")), &[&bools], 0.0);
    });
}

#[test]
fn grids_of_many_rows() {
    // As if a row held 3 workgroups: a grid of 3 by many.
    let without = Without { groups: Some(3), ..Without::default() };
    with(without, |vulkan| {
        for n in [1, 768, 769, 20_011] {
            let (x, index) = (counting(n), affine(0, &[1]));
            check(vulkan, alone(sum(&[n], (n, index.clone()), (n, index))), &[&x, &x], 0.0);
        }
    });
}

#[test]
fn beyond_65535_groups() {
    // 17 million points: more workgroups of 256 than one row of any grid holds.
    let n = 65_535 * 256 + 12_345;
    let mut k = Build::over([n]);
    let at = k.inst(Inst::Index(affine(0, &[1])));
    k.write(Dtype::I32, at);
    let schedule = alone(k.kernel("iota"));
    with(Without::default(), |vulkan| {
        let out = vulkan.compile(schedule).unwrap().run(&[]).unwrap().outputs;
        let out = out[0].as_slice::<i32>().unwrap();
        assert!(out.iter().enumerate().all(|(i, x)| *x == i as i32));
    });
}

#[test]
fn programs_without_steps_and_empty_arrays() {
    let mut schedule = steps(6, 1, &[], &[0, 0]);
    schedule.outputs[1].1 = Aval::new(Dtype::F32, [2, 3]);
    schedule.buffers.push(Buffer { dtype: Dtype::I32, len: 0 });
    schedule.outputs.push((BufferId(1), Aval::new(Dtype::I32, [0, 4])));
    with(Without::default(), |vulkan| {
        let x = counting(6);
        let run = vulkan.compile(schedule).unwrap().run(&[&x]).unwrap();
        assert_eq!(run.dispatches, 0);
        assert_eq!(run.outputs[0], x);
        assert_eq!(run.outputs[1], x.reshape([2, 3]).unwrap());
        assert_eq!(run.outputs[2].aval(), &Aval::new(Dtype::I32, [0, 4]));
        let mut more = diamond(4);
        more.buffers.push(Buffer { dtype: Dtype::Bool, len: 0 });
        more.inputs.push((BufferId::from(more.buffers.len() - 1), Aval::new(Dtype::Bool, [0])));
        more.buffers.push(Buffer { dtype: Dtype::F64, len: 0 });
        more.outputs.push((BufferId::from(more.buffers.len() - 1), Aval::new(Dtype::F64, [3, 0])));
        let none = Array::from_vec(Vec::<bool>::new(), [0]).unwrap();
        check(vulkan, more, &[&counting(4), &counting(4), &none], 0.0);
    });
}

#[test]
fn runs_repeat_and_threads_share_a_program() {
    with(Without::default(), |vulkan| {
        let program = vulkan.compile(diamond(3001)).unwrap();
        let expected = |k: f32| {
            let one = |x: f32| (((x + k) - x * x).max(x + k)) * 2.0;
            counting(3001).as_slice::<f32>().unwrap().iter().map(|x| one(*x)).collect::<Vec<f32>>()
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let program = &program;
                scope.spawn(move || {
                    for round in 0..20 {
                        let k = (thread * 100 + round) as f32;
                        let y = Array::from_vec(vec![k; 3001], [3001]).unwrap();
                        let run = program.run(&[&counting(3001), &y]).unwrap();
                        assert_eq!(run.outputs[0].as_slice::<f32>().unwrap(), expected(k));
                        assert_eq!(run.outputs[1], y);
                    }
                });
            }
        });
        // Programs outlive the handle they were compiled by.
        let (vulkan, program) = (vulkan.clone(), program);
        drop(vulkan);
        program.run(&[&counting(3001), &counting(3001)]).unwrap();
    });
}

#[test]
fn a_listing_is_readable() {
    with(Without::default(), |vulkan| {
        let program = vulkan.compile(diamond(8)).unwrap();
        let listing = program.listing("spirv").unwrap();
        assert_eq!(listing.len(), 5);
        assert!(listing[0].contains("OpFAdd") && listing[1].contains("OpFMul"), "{}", listing[0]);
        assert!(listing[0].contains("OpName %") && listing[0].contains("\"b2\""), "{}", listing[0]);
        assert_eq!(program.listing("clif"), None);
        assert_eq!((vulkan.name(), program.schedule().steps.len()), ("vulkan", 5));
    });
}
