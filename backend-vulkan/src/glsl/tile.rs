//! Matrix products: a workgroup per tile of the result, by the template `tile.glsl`.

use super::Parts;
use super::expression::type_name;
use super::library::{Included, typed};
use super::nest::unsigned;
use crate::device::Caps;
use egrad_ir::kernel::{Contract, Matrix};

const TEMPLATE: &str = include_str!("tile.glsl");

/// Prints the shader of a matrix product.
pub(super) fn print(c: &Contract, caps: &Caps) -> Parts {
    // Every device has workgroups of 128, and shared memory for two tiles of 16 * 64 doubles.
    let side: u32 = if caps.workgroup >= 256 { 16 } else { 8 };
    let tile = 4 * side as usize;
    let batch: u64 = c.batch.iter().map(|e| *e as u64).product();
    let points = batch * c.m.div_ceil(tile) as u64 * c.n.div_ceil(tile) as u64;
    let ty = type_name(c.dtype);
    let at = |m: &Matrix| format!("b{}[{}]", m.operand, element(m, &c.batch));
    let load = |name: &str, m: &Matrix| {
        format!("{ty} {name}(uint batch, uint row, uint column) {{\n    return {};\n}}\n", at(m))
    };
    let text = format!(
        "\nconst uint M = {}, N = {}, K = {};\nconst uint SIDE = {side};\n\n{}\n{}\n\
         void store_c(uint batch, uint row, uint column, {ty} sum) {{\n    {} = sum;\n}}\n\n{}",
        c.m,
        c.n,
        c.k,
        load("a", &c.a),
        load("b", &c.b),
        at(&c.c),
        typed(TEMPLATE, c.dtype),
    );
    let about = format!("a workgroup for each of {points} tiles of {tile} by {tile}");
    Parts { about, included: Included::default(), team: 1, text, points, per_group: 1, workgroup: side * side }
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
