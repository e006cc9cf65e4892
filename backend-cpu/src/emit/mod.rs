//! From a loop nest to a Cranelift function.
//!
//! * [`code`]: constants, loops, memory;
//! * [`group`]: values in several lanes;
//! * [`ops`]: the primitives on groups; [`convert`]: their types;
//! * [`nest`]: axes, addresses and instructions;
//! * [`pass`]: loops, accumulators and tails;
//! * [`block`]: reductions of long columns;
//! * [`control`]: loops and branches over compiled functions;
//! * [`math`]: the elementary functions, emitted through `egrad_ir::math`.

mod block;
mod code;
pub(crate) mod control;
mod convert;
mod group;
mod math;
mod nest;
mod ops;
mod pass;
mod short;
mod within;

pub(crate) use nest::HEADER;

use crate::plan::Plan;
use code::Code;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, Signature, types::I64};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::JITModule;
use cranelift_module::Module;
use egrad_ir::kernel::Kernel;

/// Builds the function of a planned kernel in `context`, to be defined in `module`.
pub(crate) fn function(
    module: &mut JITModule,
    context: &mut Context,
    builder: &mut FunctionBuilderContext,
    kernel: &Kernel,
    plan: &Plan,
) {
    context.func.signature = Signature::new(module.isa().default_call_conv());
    context.func.signature.params.push(AbiParam::new(I64));
    let f = FunctionBuilder::new(&mut context.func, builder);
    let (code, block) = Code::new(f, module, plan.heavy);
    let code = nest::Nest::emit(code, block, kernel, plan);
    code.f.finalize(code.module.isa().frontend_config());
}
