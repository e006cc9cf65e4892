//! From a loop nest to a Cranelift function.
//!
//! * [`code`]: constants, loops, memory;
//! * [`group`]: values in several lanes;
//! * [`ops`]: the primitives on groups;
//! * [`nest`]: axes, addresses and instructions;
//! * [`pass`]: loops, accumulators and tails;
//! * [`block`]: reductions of long columns;
//! * [`math`]: the elementary functions, emitted through `egrad_ir::math`.

mod block;
mod code;
mod group;
mod math;
mod nest;
mod ops;
mod pass;

pub(crate) use nest::HEADER;

use crate::plan::Plan;
use code::Code;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, Signature, types::I64};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use egrad_ir::kernel::Kernel;

/// Builds the function of a planned kernel in `context`.
pub(crate) fn function(
    isa: &dyn TargetIsa,
    context: &mut Context,
    builder: &mut FunctionBuilderContext,
    kernel: &Kernel,
    plan: &Plan,
) {
    context.func.signature = Signature::new(isa.default_call_conv());
    context.func.signature.params.push(AbiParam::new(I64));
    let f = FunctionBuilder::new(&mut context.func, builder);
    let (code, block) = Code::new(f, plan.heavy);
    let code = nest::Nest::emit(code, block, kernel, plan);
    code.f.finalize(isa.frontend_config());
}
