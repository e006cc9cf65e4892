//! How a kernel is spread over a device: the launches it takes, how invocations share the work of
//! each, and the memory in between.
//!
//! ```text
//! kernel ── call ──▶ ── split ──▶ ── window ──▶ ── form ──▶ launches: a kernel, its form, its bindings
//! ```
//!
//! Every step is from kernel IR to kernel IR, so that the reference interpreter of kernels tells
//! whether it is right; what a launch's kernel means is what it means anywhere.

mod call;
mod form;
#[cfg(test)]
mod form_tests;
mod rows;
mod split;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use form::{Cooperative, Form, Tile, across, iterations, tile_iterations};
pub(crate) use split::Worth;

use crate::device::Caps;
use egrad_ir::kernel::{Body, Kernel, Linalg, Operand};
use egrad_ir::schedule::Buffer;
use egrad_ir::{Error, Result};
use window::Limits;

/// What one kernel becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    /// In an order that can run.
    pub(crate) launches: Vec<Launch>,
    /// Buffers between the launches.
    pub(crate) scratch: Vec<Buffer>,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    /// What it computes: a loop nest or a matrix product.
    pub(crate) kernel: Kernel,
    /// How invocations share it.
    pub(crate) form: Form,
    /// Per operand of `kernel` what it is bound to.
    pub(crate) bindings: Vec<Binding>,
}

/// Where an operand's elements are: `len` of them (the operand's), from element `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) memory: Memory,
    pub(crate) first: usize,
    pub(crate) len: usize,
}

/// A buffer of a spread kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// The kernel's operand of that position.
    Operand(usize),
    /// [`Spread::scratch`] of that position.
    Scratch(usize),
}

/// A kernel on its way to becoming a launch.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    kernel: Kernel,
    bindings: Vec<Binding>,
}

/// The launches of a kernel on a device of these capabilities.
///
/// # Errors
/// If the memory a called function needs for its batch can't be counted, or the kernel is invalid.
pub(crate) fn spread(kernel: &Kernel, caps: &Caps) -> Result<Spread> {
    let mut spread = Spread::default();
    let whole = |(i, o): (usize, &Operand)| Binding { memory: Memory::Operand(i), first: 0, len: o.len };
    let parts = match &kernel.body {
        Body::Call(call) => call::expand(kernel, call, &mut spread)?,
        Body::Scan(_) | Body::While(_) | Body::Switch(_) => return Err(no_loops(kernel)),
        Body::Linalg(linalg) => return Err(no_linalg(kernel, linalg)),
        Body::Scatter(_) | Body::Argsort(_) => rows(kernel, &mut spread),
        Body::Loops(_) | Body::Contract(_) => {
            vec![Part { kernel: kernel.clone(), bindings: kernel.operands.iter().enumerate().map(whole).collect() }]
        }
    };
    let limits = Limits { range: caps.range, alignment: caps.alignment, points: MOST_POINTS };
    for Part { kernel, bindings } in parts {
        let part = Part { kernel: form::untiled(kernel, caps), bindings };
        for part in split::split(part, caps.worth, &mut spread)? {
            for Part { kernel, bindings } in fit(part, limits, &mut spread)? {
                let (kernel, form) = form::form(kernel, caps);
                spread.launches.push(Launch { kernel, form, bindings });
            }
        }
    }
    Ok(spread)
}

/// The error of linear algebra.
fn no_linalg(kernel: &Kernel, linalg: &Linalg) -> Error {
    let m = format!(
        "the Vulkan backend doesn't do linear algebra and Fourier transforms, as kernel `{}` does by `{}`; \
         use `--device cpu`",
        kernel.name,
        linalg.kind.name()
    );
    Error::device(m)
}

/// The error of a loop or a branch.
fn no_loops(kernel: &Kernel) -> Error {
    let m = format!(
        "the Vulkan backend doesn't run loops and branches over compiled functions yet, as kernel `{}` has them; \
         use `--device cpu`",
        kernel.name
    );
    Error::device(m)
}

/// The loop nests of a scatter or sort.
fn rows(kernel: &Kernel, spread: &mut Spread) -> Vec<Part> {
    let Some(rows::Rows { kernels, between }) = rows::loops(kernel) else { return Vec::new() };
    let first = spread.scratch.len();
    spread.scratch.extend(between);
    let own = kernel.operands.len();
    let bind = |operand: usize, len: usize| {
        let memory = operand.checked_sub(own).map_or(Memory::Operand(operand), |i| Memory::Scratch(first + i));
        Binding { memory, first: 0, len }
    };
    let part = |(kernel, operands): (Kernel, Vec<usize>)| {
        let bindings = operands.iter().zip(&kernel.operands).map(|(i, o)| bind(*i, o.len)).collect();
        Part { kernel, bindings }
    };
    kernels.into_iter().map(part).collect()
}

/// The part within the limits where that can be: by windows, and where a point's loops are what is
/// too long, by cutting those.
fn fit(part: Part, limits: Limits, spread: &mut Spread) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for part in window::windows(part, limits) {
        let (pieces, points) = (window::pieces(&part, limits), window::points(&part.kernel.body));
        if pieces == 1 {
            parts.push(part);
            continue;
        }
        for piece in split::split(part, Worth::at_least(points, pieces), spread)? {
            parts.extend(window::windows(piece, limits));
        }
    }
    Ok(parts)
}

/// Points of one launch: their numbers fit 32 bits, and so do those of the last row of workgroups.
const MOST_POINTS: usize = 1 << 31;
