//! How a kernel is spread over a device: the launches it takes, how invocations share the work of
//! each, and the memory in between.
//!
//! ```text
//! kernel ── call ──▶ ── split ──▶ ── window ──▶ launches: a kernel, its form, its bindings
//! ```
//!
//! Every step is from kernel IR to kernel IR, so that the reference interpreter of kernels tells
//! whether it is right; what a launch's kernel means is what it means anywhere.

use crate::device::Caps;
use egrad_ir::kernel::{Body, Kernel};
use egrad_ir::schedule::Buffer;
use egrad_ir::{Error, Result};

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

/// How invocations share the work of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// A team of so many invocations (a power of two, no more than a workgroup) for each point of
    /// a loop nest's domain. The team shares out the loops of a pass and combines what each of its
    /// members accumulated; a workgroup holds as many teams as fit.
    Team(u32),
    /// A workgroup for each tile of a matrix product.
    Tile,
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

/// The launches of a kernel on a device of these capabilities.
///
/// # Errors
/// If the device can't run it: what is lacking.
pub(crate) fn spread(kernel: &Kernel, _caps: &Caps, _device: &str) -> Result<Spread> {
    let form = match &kernel.body {
        Body::Loops(_) => Form::Team(1),
        Body::Contract(_) => Form::Tile,
        Body::Call(_) => {
            let (name, what) = (&kernel.name, "calls of functions compiled by themselves");
            let m = format!("the Vulkan backend doesn't run {what} yet, which kernel `{name}` has: use `--device cpu`");
            return Err(Error::device(m));
        }
    };
    let whole =
        |(i, o): (usize, &egrad_ir::kernel::Operand)| Binding { memory: Memory::Operand(i), first: 0, len: o.len };
    let bindings = kernel.operands.iter().enumerate().map(whole).collect();
    Ok(Spread { launches: vec![Launch { kernel: kernel.clone(), form, bindings }], scratch: Vec::new() })
}
