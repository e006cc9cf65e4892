//! Matrix products: a workgroup for each tile of the result.
//!
//! ```text
//! for k0 in 0..k step depth {
//!   barrier;  a's rows × depth and b's depth × columns into shared memory;  barrier
//!   for kk in 0..depth { every invocation: sums[i][j] += a[kk][i] * b[kk][j] }
//! }
//! store the sums
//! ```
//!
//! An invocation has elements at equal distances, so that neighbours read neighbouring words of
//! shared memory and store neighbouring elements. What is beyond a matrix's edge is zero.

use super::control::Shares;
use super::index::{Axes, steps};
use super::{Emitter, Grid, Value, built};
use crate::spread::Tile;
use egrad_ir::kernel::{Affine, Contract, Matrix};
use egrad_ir::op::Binary;
use rspirv::spirv::Word;

/// The function of a matrix product.
pub(super) fn emit(e: &mut Emitter, c: &Contract, tile: Tile) -> Grid {
    let entry = e.enter(None);
    let boolean = e.types.boolean;
    let inside = built(e.b.u_less_than(boolean, None, entry.group, entry.points));
    let only = e.only(inside);
    let Corner { points, bases: [a, b, result], row: first_row, column: first_column } =
        corner(e, c, entry.group, [tile.rows, tile.columns]);
    let shared = [tile.rows, tile.columns].map(|n| e.shared_array(c.dtype, tile.padded(n)));
    let invocation = entry.invocation;
    let side = |matrix: &Matrix, base, first, shared| Side { operand: matrix.operand, base, first, shared, invocation };
    let a = Strip {
        side: side(&c.a, a, first_row, shared[0]),
        width: tile.rows,
        limit: c.m,
        across: c.a.row,
        along: c.a.column,
    };
    let b = Strip {
        side: side(&c.b, b, first_column, shared[1]),
        width: tile.columns,
        limit: c.n,
        across: c.b.column,
        along: c.b.row,
    };

    let [high, wide] = tile.invocations();
    let (y, x) = e.div_rem(invocation, wide);
    let [zero, k, depth] = [0, c.k, tile.depth].map(|n| e.u32(n as u32));
    let sums = vec![e.number(c.dtype, 0.0); tile.each[0] * tile.each[1]];
    let sums = e.repeat([zero, k, depth], sums, &mut |e, k0, sums| {
        e.barrier(Shares::Workgroup);
        for strip in [&a, &b] {
            strip.stage(e, c, tile, k0);
        }
        e.barrier(Shares::Workgroup);
        let one = e.u32(1);
        e.repeat([zero, depth, one], sums, &mut |e, kk, sums| {
            let column = a.read(e, c, tile, kk, y, high, tile.each[0]);
            let row = b.read(e, c, tile, kk, x, wide, tile.each[1]);
            let pairs = column.iter().flat_map(|x| row.iter().map(move |y| (*x, *y)));
            pairs.zip(sums).map(|((x, y), sum)| e.multiply_add(x, y, sum)).collect()
        })
    });

    let rows = e.spaced(first_row, y, high, tile.each[0]);
    let columns = e.spaced(first_column, x, wide, tile.each[1]);
    let mut sums = sums.into_iter();
    for row in rows {
        let row_inside = e.below(row, c.m, tile.rows);
        for (column, sum) in columns.iter().zip(&mut sums) {
            let inside = [row_inside, e.below(*column, c.n, tile.columns)];
            let only = e.all(inside).map(|inside| e.only(inside));
            let at = steps(e, Some(result), &[c.c.row, c.c.column], &[row, *column]).unwrap_or(result);
            e.store(c.c.operand, at, sum);
            if let Some(only) = only {
                e.everywhere(only, &mut []);
            }
        }
    }
    e.everywhere(only, &mut []);
    e.leave(entry);
    Grid { points, per_group: 1, workgroup: (high * wide) as u32, subgroup: None }
}

/// Where a workgroup's tile is.
pub(super) struct Corner {
    /// How many tiles there are.
    pub(super) points: u64,
    /// The first elements of the matrices a, b and c of its batch index.
    pub(super) bases: [Word; 3],
    /// Its first row and column.
    pub(super) row: Word,
    pub(super) column: Word,
}

/// Where the tile of that number is, of so many rows and columns.
pub(super) fn corner(e: &mut Emitter, c: &Contract, number: Word, [rows, columns]: [usize; 2]) -> Corner {
    let index = |m: &Matrix| Affine { offset: m.offset, strides: m.batch_strides.as_slice().into() };
    let indices = [&c.a, &c.b, &c.c].map(index);
    let batch = Axes::merged(&c.batch, 0, &indices.each_ref());
    let [down, right] = [c.m.div_ceil(rows), c.n.div_ceil(columns)];
    let (rest, column) = e.div_rem(number, right);
    let (rest, row) = e.div_rem(rest, down);
    let ids = batch.split(e, rest);
    let bases = indices.map(|affine| {
        let offset = (affine.offset != 0).then(|| e.u32(affine.offset as u32));
        steps(e, offset, &batch.strides(&affine), &ids).unwrap_or_else(|| e.u32(0))
    });
    let [row, column] = [(row, rows), (column, columns)].map(|(number, size)| {
        let (u32, size) = (e.types.u32, e.u32(size as u32));
        built(e.b.i_mul(u32, None, number, size))
    });
    Corner { points: batch.points() * (down * right) as u64, bases, row, column }
}

/// A matrix that tiles are read from.
struct Side {
    operand: usize,
    /// Its first element.
    base: Word,
    /// The tile's first row (of the left matrix) or column (of the right one).
    first: Word,
    shared: Word,
    invocation: Word,
}

/// A strip of it, as wide as the tile and as long as `k`.
struct Strip {
    side: Side,
    width: usize,
    /// How many rows or columns there are.
    limit: usize,
    /// From one of them to the next.
    across: usize,
    /// And along `k`.
    along: usize,
}

impl Strip {
    /// Brings the part from `k0` on into shared memory.
    fn stage(&self, e: &mut Emitter, c: &Contract, tile: Tile, k0: Word) {
        let u32 = e.types.u32;
        let [high, wide] = tile.invocations();
        let invocations = high * wide;
        let zero = e.number(c.dtype, 0.0);
        for part in 0..self.width * tile.depth / invocations {
            let skipped = e.u32((part * invocations) as u32);
            let number = built(e.b.i_add(u32, None, self.side.invocation, skipped));
            // Neighbours read neighbouring elements.
            let (at, kk) = if self.along == 1 && self.across != 1 {
                e.div_rem(number, tile.depth)
            } else {
                let (kk, at) = e.div_rem(number, self.width);
                (at, kk)
            };
            let across = built(e.b.i_add(u32, None, self.side.first, at));
            let along = built(e.b.i_add(u32, None, k0, kk));
            let inside = [e.below(across, self.limit, self.width), e.below(along, c.k, tile.depth)];
            let inside = e.all(inside);
            let base = self.side.base;
            let mut element = steps(e, Some(base), &[self.across, self.along], &[across, along]).unwrap_or(base);
            if let Some(inside) = inside {
                element = built(e.b.select(u32, None, inside, element, base));
            }
            let mut value = e.load(self.side.operand, element);
            if let Some(inside) = inside {
                value = e.value(c.dtype, |b, ty| b.select(ty, None, inside, value.id, zero.id));
            }
            let to = self.place(e, tile, kk, at);
            e.share(self.side.shared, c.dtype, to, value.id);
        }
    }

    /// The elements of an invocation: `count` of them from `first` on, `distance` apart.
    #[expect(clippy::too_many_arguments, reason = "they are the numbers of a tile")]
    fn read(
        &self,
        e: &mut Emitter,
        c: &Contract,
        tile: Tile,
        kk: Word,
        first: Word,
        distance: usize,
        count: usize,
    ) -> Vec<Value> {
        let begin = self.place(e, tile, kk, first);
        let zero = e.u32(0);
        let places = e.spaced(begin, zero, distance, count);
        places.into_iter().map(|at| e.shared(self.side.shared, c.dtype, at)).collect()
    }

    /// Where an element is in shared memory.
    fn place(&self, e: &mut Emitter, tile: Tile, kk: Word, at: Word) -> Word {
        let u32 = e.types.u32;
        let pitch = e.u32(tile.padded(self.width) / tile.depth as u32);
        let begin = built(e.b.i_mul(u32, None, kk, pitch));
        built(e.b.i_add(u32, None, begin, at))
    }
}

impl Emitter {
    /// Whether an index is inside, where tiles of that size go beyond the limit.
    fn below(&mut self, index: Word, limit: usize, tile: usize) -> Option<Word> {
        let boolean = self.types.boolean;
        (!limit.is_multiple_of(tile)).then(|| {
            let limit = self.u32(limit as u32);
            built(self.b.u_less_than(boolean, None, index, limit))
        })
    }

    /// Whether both hold; `None` stands for yes.
    fn all(&mut self, conditions: [Option<Word>; 2]) -> Option<Word> {
        let boolean = self.types.boolean;
        match conditions {
            [Some(x), Some(y)] => Some(built(self.b.logical_and(boolean, None, x, y))),
            [x, y] => x.or(y),
        }
    }

    /// `first + place + i·distance` for each `i`.
    pub(super) fn spaced(&mut self, first: Word, place: Word, distance: usize, count: usize) -> Vec<Word> {
        let u32 = self.types.u32;
        let begin = built(self.b.i_add(u32, None, first, place));
        let at = |i: usize| {
            let skipped = self.u32((i * distance) as u32);
            built(self.b.i_add(u32, None, begin, skipped))
        };
        (0..count).map(at).collect()
    }

    /// x·y + z, in one rounding where the device has that.
    fn multiply_add(&mut self, x: Value, y: Value, z: Value) -> Value {
        if self.fuses(x.dtype) {
            return self.fused(x, y, z);
        }
        let product = self.binary(Binary::Mul, x, y);
        self.binary(Binary::Add, product, z)
    }
}
