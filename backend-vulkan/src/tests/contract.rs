//! Matrix products, by tiles of every size and as chosen.

use super::random::Numbers;
use super::{alone, launch, near, run_as, with};
use crate::device::Caps;
use crate::spread::{Form, Tile};
use crate::{Vulkan, Without};
use egrad_ir::kernel::{Backend, Body, Contract, Kernel, Matrix, Operand};
use egrad_ir::scalar::Elementary;
use egrad_ir::{Array, Dtype, Numerics};

/// How the elements of a matrix lie.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Rows,
    Columns,
    /// Rows, every other element, after a few that aren't the matrix's.
    Apart,
    /// The same row-major matrix for every index of the batch.
    Shared,
}

fn product(dtype: Dtype, batch: &[usize], [m, n, k]: [usize; 3], [a, b, c]: [Lie; 3]) -> Kernel {
    let mut operands = Vec::new();
    let mut matrix = |rows: usize, columns: usize, lie: Lie, written: bool| {
        let (offset, row, column, size) = match lie {
            Lie::Rows | Lie::Shared => (0, columns, 1, rows * columns),
            Lie::Columns => (0, 1, rows, rows * columns),
            Lie::Apart => (5, 2 * columns + 3, 2, rows * (2 * columns + 3)),
        };
        let shared = matches!(lie, Lie::Shared);
        let strides = egrad_ir::Shape::from(batch).strides();
        let batch_strides = strides.iter().map(|s| if shared { 0 } else { s * size }).collect();
        let count = if shared { 1 } else { batch.iter().product() };
        operands.push(Operand { dtype, len: offset + count * size, written });
        Matrix { operand: operands.len() - 1, offset, batch_strides, row, column }
    };
    let (a, b, c) = (matrix(m, k, a, false), matrix(k, n, b, false), matrix(m, n, c, true));
    let body = Body::Contract(Contract { dtype, batch: batch.into(), m, n, k, a, b, c });
    let kernel = Kernel { name: "dot".into(), operands, body, numerics: Numerics::Fast };
    kernel.verify().unwrap();
    kernel
}

#[track_caller]
fn check(vulkan: &Vulkan, kernel: &Kernel, tile: Option<Tile>) {
    let inputs = [0, 1].map(|i| Numbers(i as u64).array(kernel.operands[i].dtype, kernel.operands[i].len));
    let inputs = inputs.each_ref();
    let expect = kernel.eval(&inputs, Elementary::Std).unwrap();
    let got: Vec<Array> = match tile {
        Some(tile) => run_as(vulkan, kernel, Form::Tile(tile), &inputs),
        None => vulkan.compile(alone(kernel.clone())).unwrap().run(&inputs).unwrap().outputs.into_vec(),
    };
    near(&got[0], &expect[0], &inputs).unwrap_or_else(|e| panic!("{tile:?}: {e}\n{kernel}"));
}

#[test]
fn tiles_of_every_size() {
    use Lie::{Apart, Columns, Rows, Shared};
    let cases: [(&[usize], [usize; 3], [Lie; 3]); 9] = [
        (&[], [1, 1, 1], [Rows; 3]),
        (&[], [128, 128, 16], [Rows; 3]),
        (&[], [64, 128, 32], [Columns, Rows, Rows]),
        (&[], [65, 33, 17], [Rows, Columns, Rows]),
        (&[], [130, 7, 40], [Columns, Columns, Columns]),
        (&[], [31, 129, 3], [Apart, Apart, Rows]),
        (&[], [20, 20, 0], [Rows; 3]),
        (&[3], [33, 40, 20], [Rows, Shared, Rows]),
        (&[2, 1, 3], [40, 5, 31], [Shared, Columns, Columns]),
    ];
    with(Without::default(), |vulkan| {
        for dtype in [Dtype::F32, Dtype::F64] {
            for tile in Tile::ALL.into_iter().filter(|t| t.fits(dtype, &vulkan.context.caps)) {
                // Drivers take long over the largest.
                let cases = cases.into_iter().enumerate().filter(|(i, _)| tile.rows < 128 || i % 4 == 3);
                for (_, (batch, sizes, lie)) in cases {
                    check(vulkan, &product(dtype, batch, sizes, lie), Some(tile));
                }
            }
        }
    });
}

#[test]
fn products_as_chosen() {
    use Lie::{Apart, Columns, Rows, Shared};
    let cases: [(&[usize], [usize; 3], [Lie; 3]); 10] = [
        (&[], [1, 1, 1000], [Rows; 3]),
        (&[], [200, 1, 70], [Rows; 3]),
        (&[], [1, 200, 70], [Rows, Columns, Rows]),
        (&[], [50, 60, 1], [Rows; 3]),
        (&[], [3, 4, 0], [Rows; 3]),
        (&[], [64, 64, 64], [Rows; 3]),
        (&[], [70, 50, 90], [Columns, Apart, Columns]),
        (&[40], [3, 5, 7], [Rows, Shared, Rows]),
        (&[5, 4], [17, 16, 8], [Columns, Rows, Rows]),
        (&[], [16, 16, 33_000], [Rows; 3]),
    ];
    for without in [Without::default(), Without { subgroups: true, groups: Some(3), ..Without::default() }] {
        with(without, |vulkan| {
            for (dtype, (batch, sizes, lie)) in [Dtype::F32, Dtype::F64].iter().flat_map(|d| cases.map(|c| (*d, c))) {
                check(vulkan, &product(dtype, batch, sizes, lie), None);
            }
        });
    }
}

/// Infinities and NaN beyond the edge of a tile, or in other rows, don't reach a result.
#[test]
fn what_is_not_finite_stays_where_it_is() {
    with(Without::default(), |vulkan| {
        let kernel = product(Dtype::F32, &[], [40, 40, 20], [Lie::Rows; 3]);
        let mut values = vec![1.0_f32; 800];
        values[0] = f32::INFINITY;
        values[799] = f32::NAN;
        let x = Array::from_vec(values, [800]).unwrap();
        let ones = Array::from_vec(vec![1.0_f32; 800], [800]).unwrap();
        for tile in Tile::ALL {
            let out = run_as(vulkan, &kernel, Form::Tile(tile), &[&x, &ones])[0].to_f64();
            let row = |i: usize| &out[40 * i..40 * (i + 1)];
            assert!(row(0).iter().all(|x| *x == f64::INFINITY) && row(39).iter().all(|x| x.is_nan()));
            assert!(out[40..39 * 40].iter().all(|x| *x == 20.0), "{out:?}");
        }
    });
}

/// A device that lists cooperative matrices, as far as the backend can tell.
fn with_matrices(caps: &Caps) -> Caps {
    let cooperative = vec![(Dtype::F64, [8, 8, 4]), (Dtype::F32, [16, 16, 8])];
    Caps { cooperative, subgroup: Some(32), workgroup: 256, ..caps.clone() }
}

/// No device at hand lists a shape of one type; what such a device would be given is looked at.
#[test]
fn modules_of_cooperative_matrices() {
    use rspirv::dr::{Instruction, Operand as Arg};
    use rspirv::spirv::{Capability, MemoryModel, Op};
    with(Without::default(), |vulkan| {
        let caps = with_matrices(&vulkan.context.caps);
        let kernel = product(Dtype::F32, &[3], [128, 64, 40], [Lie::Rows, Lie::Columns, Lie::Rows]);
        let module = launch(&kernel, &caps);
        assert_eq!((module.points, module.per_group, module.workgroup, module.subgroup), (6, 1, 128, Some(32)));
        let text = module.disassemble();
        let loaded = rspirv::dr::load_words(&module.words).unwrap();
        for capability in [Capability::CooperativeMatrixKHR, Capability::VulkanMemoryModel, Capability::GroupNonUniform]
        {
            assert!(loaded.capabilities.iter().any(|i| i.operands == [Arg::Capability(capability)]), "{text}");
        }
        assert!(text.contains("OpExtension \"SPV_KHR_cooperative_matrix\""), "{text}");
        let model = &loaded.memory_model.as_ref().unwrap().operands[1];
        assert_eq!(*model, Arg::MemoryModel(MemoryModel::Vulkan));
        let constant = |id: &Arg| {
            let is = |i: &&Instruction| i.result_id == id.id_ref_any();
            match loaded.types_global_values.iter().find(is).unwrap().operands[0] {
                Arg::LiteralBit32(n) => n,
                ref other => panic!("{other}"),
            }
        };
        // Of a subgroup: rows, columns, use.
        let types = loaded.types_global_values.iter().filter(|i| i.class.opcode == Op::TypeCooperativeMatrixKHR);
        let types: Vec<Vec<u32>> = types.map(|i| i.operands[1..].iter().map(constant).collect()).collect();
        assert_eq!(types, [[3, 16, 8, 0], [3, 8, 16, 1], [3, 16, 16, 2]]);
        let all = |op: Op| loaded.all_inst_iter().filter(move |i| i.class.opcode == op);
        // Row by row with rows 40 apart; column by column with columns 40 apart.
        let loads: Vec<[u32; 2]> =
            all(Op::CooperativeMatrixLoadKHR).map(|i| [1, 2].map(|at| constant(&i.operands[at]))).collect();
        assert_eq!(loads, [[0, 40], [0, 40], [1, 40], [1, 40]]);
        let stores: Vec<[u32; 2]> =
            all(Op::CooperativeMatrixStoreKHR).map(|i| [2, 3].map(|at| constant(&i.operands[at]))).collect();
        assert_eq!(stores, [[0, 64]; 4]);
        assert_eq!(all(Op::CooperativeMatrixMulAddKHR).count(), 4);
        assert_eq!(all(Op::ControlBarrier).count(), 0);
    });
}

/// Elements beyond the edge of a matrix are not read: what is read instead would change no result,
/// but may be anyone's memory.
#[test]
fn reads_stay_inside() {
    use rspirv::spirv::Op;
    with(Without::default(), |vulkan| {
        let selects = |sizes| {
            let kernel = product(Dtype::F32, &[], sizes, [Lie::Rows; 3]);
            let module = launch(&kernel, &vulkan.context.caps);
            let module = rspirv::dr::load_words(&module.words).unwrap();
            module.all_inst_iter().filter(|i| i.class.opcode == Op::Select).count()
        };
        // Of each of the eight elements an invocation brings of each matrix, where it is and what.
        assert_eq!([[64, 64, 64], [65, 64, 64], [64, 65, 64], [64, 64, 65]].map(selects), [0, 16, 16, 32]);
    });
}
