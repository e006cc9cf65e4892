//! Matrix products: a workgroup per tile of the result, by the template `tile.glsl`.

use super::expression::type_name;
use super::library::{Included, typed};
use super::nest::unsigned;
use super::{Parts, leave};
use crate::spread::{Launch, Tile};
use egrad_ir::kernel::{Contract, Matrix};

const TEMPLATE: &str = include_str!("tile.glsl");

/// Prints the shader of a matrix product.
pub(super) fn print(launch: &Launch, c: &Contract, tile: Tile) -> Parts {
    let batch: u64 = c.batch.iter().map(|e| *e as u64).product();
    let points = batch * c.m.div_ceil(tile.rows) as u64 * c.n.div_ceil(tile.columns) as u64;
    let ty = type_name(c.dtype);
    let at = |m: &Matrix| super::element(launch, m.operand, &element(m, &c.batch));
    let load = |name: &str, m: &Matrix| {
        format!("{ty} {name}(uint batch, uint row, uint column) {{\n    return {};\n}}\n", at(m))
    };
    let leave = leave(launch).map_or_else(String::new, |line| format!("    {line}\n"));
    let [high, wide] = tile.each;
    let text = format!(
        "\nconst uint M = {}, N = {}, K = {};\n\n// Of a tile, and of each invocation's part of it.\n\
         const uint ROWS = {}, COLUMNS = {}, DEPTH = {};\nconst uint HIGH = {high}, WIDE = {wide};\n\n{}\n{}\n\
         void store_c(uint batch, uint row, uint column, {ty} sum) {{\n    {} = sum;\n}}\n\n{}",
        c.m,
        c.n,
        c.k,
        tile.rows,
        tile.columns,
        tile.depth,
        load("a", &c.a),
        load("b", &c.b),
        at(&c.c),
        typed(TEMPLATE, c.dtype).replace("    // LEAVE\n", &leave),
    );
    let about = format!("a workgroup for each of {points} tiles of {} by {}", tile.rows, tile.columns);
    let [down, across] = tile.invocations();
    let workgroup = (down * across) as u32;
    Parts { about, included: Included::default(), team: 1, text, points, per_group: 1, workgroup }
}

/// Where an element of a matrix is, by `batch`, `row` and `column`.
fn element(m: &Matrix, extents: &[usize]) -> String {
    let mut terms = Vec::new();
    let mut below = 1;
    for (i, (extent, stride)) in extents.iter().zip(&m.batch_strides).enumerate().rev() {
        if *extent > 1 && *stride > 0 {
            let outer = extents[..i].iter().all(|e| *e == 1);
            let above = if below > 1 { format!("batch / {below}") } else { "batch".to_owned() };
            let index = if outer { above } else { format!("{above} % {extent}") };
            let index = if index == "batch" { index } else { format!("({index})") };
            terms.push(scaled(*stride, &index));
        }
        below *= extent;
    }
    terms.reverse();
    terms.extend([(m.row, "row"), (m.column, "column")].into_iter().filter(|(s, _)| *s > 0).map(|(s, n)| scaled(s, n)));
    if m.offset > 0 || terms.is_empty() {
        terms.push(unsigned(m.offset));
    }
    terms.join(" + ")
}

fn scaled(stride: usize, index: &str) -> String {
    if stride == 1 { index.to_owned() } else { format!("{} * {index}", unsigned(stride)) }
}
