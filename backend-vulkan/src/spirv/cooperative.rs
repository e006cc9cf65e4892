//! Matrix products by cooperative matrices (`VK_KHR_cooperative_matrix`): a workgroup for each tile
//! of the result, its subgroups side by side, each with a block of cooperative matrices.
//!
//! ```text
//! for k0 in 0..k step depth { sums[i][j] = a[i] (rows × depth) · b[j] (depth × columns) + sums[i][j] }
//! store the sums
//! ```
//!
//! Matrices are loaded from and stored to buffers as they lie, row by row or column by column; only
//! products of whole tiles are computed in this way. No device has run this: those at hand list no
//! shape whose matrices and sums are all f32 or all f64.

use super::tile::{Corner, corner};
use super::{Emitter, Grid, built};
use crate::device::Caps;
use crate::spread::Cooperative;
use egrad_ir::kernel::{Contract, Matrix};
use rspirv::dr::Operand as Arg;
use rspirv::spirv::{
    AddressingModel, Capability, CooperativeMatrixLayout, CooperativeMatrixUse, MemoryModel, Scope, Word,
};

/// The function of a matrix product.
pub(super) fn emit(e: &mut Emitter, c: &Contract, by: Cooperative, caps: &Caps) -> Grid {
    let subgroup = caps.subgroup.expect("cooperative matrices are those of subgroups");
    // Cooperative matrices need the memory model of Vulkan, and modules of its newest version.
    e.b.set_version(1, 6);
    e.b.memory_model(AddressingModel::Logical, MemoryModel::Vulkan);
    e.b.extension("SPV_KHR_cooperative_matrix");
    for capability in [Capability::VulkanMemoryModel, Capability::CooperativeMatrixKHR] {
        e.capability(capability);
    }
    let [rows, columns] = by.tile();
    let entry = e.enter(Some(subgroup));
    let u32 = e.types.u32;
    let inside = {
        let boolean = e.types.boolean;
        built(e.b.u_less_than(boolean, None, entry.group, entry.points))
    };
    let only = e.only(inside);
    let Corner { points, bases: [a, b, result], row, column } = corner(e, c, entry.group, [rows, columns]);
    let (number, _) = e.div_rem(entry.invocation, subgroup as usize);
    let (down, right) = e.div_rem(number, by.subgroups[1]);

    let [m, n, k] = by.shape;
    let ty = |e: &mut Emitter, rows: usize, columns: usize, usage: CooperativeMatrixUse| {
        let component = e.computed(c.dtype);
        let [scope, rows, columns, usage] =
            [Scope::Subgroup as u32, rows as u32, columns as u32, usage as u32].map(|n| e.u32(n));
        e.b.type_cooperative_matrix_khr(component, scope, rows, columns, usage)
    };
    let left = ty(e, m, k, CooperativeMatrixUse::MatrixAKHR);
    let other = ty(e, k, n, CooperativeMatrixUse::MatrixBKHR);
    let sum = ty(e, m, n, CooperativeMatrixUse::MatrixAccumulatorKHR);
    // The first row of each matrix of this subgroup, and the first column.
    let edges = |e: &mut Emitter, tile: Word, subgroup: Word, count: usize, size: usize| -> Vec<Word> {
        let width = e.u32((count * size) as u32);
        let skipped = built(e.b.i_mul(u32, None, subgroup, width));
        e.spaced(tile, skipped, size, count)
    };
    let rows = edges(e, row, down, by.blocks[0], m);
    let columns = edges(e, column, right, by.blocks[1], n);

    let number = e.number(c.dtype, 0.0).id;
    let zero = e.b.constant_composite(sum, [number]);
    let range = [0, c.k, k].map(|n| e.u32(n as u32));
    let sums = vec![(sum, zero); rows.len() * columns.len()];
    let sums = e.repeat_typed(range, sums, &mut |e, k0, sums| {
        let lefts: Vec<Word> = rows.iter().map(|row| e.matrix(&c.a, a, [*row, k0], left)).collect();
        let others: Vec<Word> = columns.iter().map(|column| e.matrix(&c.b, b, [k0, *column], other)).collect();
        let pairs = lefts.iter().flat_map(|x| others.iter().map(move |y| (*x, *y)));
        pairs.zip(sums).map(|((x, y), z)| built(e.b.cooperative_matrix_mul_add_khr(sum, None, x, y, z, None))).collect()
    });
    let places = rows.iter().flat_map(|row| columns.iter().map(move |column| [*row, *column]));
    for (at, value) in places.zip(sums) {
        let (pointer, layout, stride) = e.matrix_at(&c.c, result, at);
        built(e.b.cooperative_matrix_store_khr(pointer, value, layout, Some(stride), None, []));
    }
    e.everywhere(only, &mut []);
    e.leave(entry);
    let workgroup = by.subgroups.iter().product::<usize>() as u32 * subgroup;
    Grid { points, per_group: 1, workgroup, subgroup: Some(subgroup) }
}

impl Emitter {
    /// A cooperative matrix of that type from the row and column on.
    fn matrix(&mut self, matrix: &Matrix, base: Word, at: [Word; 2], ty: Word) -> Word {
        let (pointer, layout, stride) = self.matrix_at(matrix, base, at);
        built(self.b.cooperative_matrix_load_khr(ty, None, pointer, layout, Some(stride), None, Vec::<Arg>::new()))
    }

    /// Where the matrix begins at that row and column, how it lies, and how far its rows (or columns)
    /// are apart.
    fn matrix_at(&mut self, matrix: &Matrix, base: Word, at: [Word; 2]) -> (Word, Word, Word) {
        let index = super::index::steps(self, Some(base), &[matrix.row, matrix.column], &at).unwrap_or(base);
        let pointer = self.element(matrix.operand, index);
        let (layout, stride) = match matrix.column {
            1 => (CooperativeMatrixLayout::RowMajorKHR, matrix.row),
            _ => (CooperativeMatrixLayout::ColumnMajorKHR, matrix.column),
        };
        let [layout, stride] = [layout as u32, stride as u32].map(|n| self.u32(n));
        (pointer, layout, stride)
    }
}
