//! A loop or branch as one function, which calls the functions of its steps.
//!
//! It takes an argument block as kernels do, of the kernel's operands and one more: memory for what
//! is carried and for its steps' temporaries. What a step is called with, an argument block too, lies
//! on the stack; the parts of it that no step changes are written once.

use super::HEADER;
use super::code::Code;
use crate::contract::Products;
use crate::control::{Control, Kind};
use crate::run::{ALIGN, Home, Program, Work};
use cranelift_codegen::Context;
use cranelift_codegen::cursor::FuncCursor;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{
    AbiParam, BlockArg, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Value,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::JITModule;
use cranelift_module::Module;
use smallvec::SmallVec;

type Values = SmallVec<[Value; 8]>;

/// Builds the function of a loop or branch in `context`, to be defined in `module`, for a kernel of so
/// many operands beside the memory. The callees must live as long as the function.
pub(crate) fn function(
    module: &mut JITModule,
    context: &mut Context,
    builder: &mut FunctionBuilderContext,
    control: &Control,
    operands: usize,
) {
    let conv = module.isa().default_call_conv();
    context.func.signature = Signature::new(conv);
    context.func.signature.params.push(AbiParam::new(I64));
    let f = FunctionBuilder::new(&mut context.func, builder);
    let (mut code, block) = Code::new(f, module, false);
    let all = operands + 1;
    let first = code.argument(block, 2);
    let end = code.argument(block, 3);
    let bases: Values = (0..all).map(|i| code.argument(block, HEADER + i)).collect();
    let strides: Values = (0..all).map(|i| code.argument(block, HEADER + all + i)).collect();
    let element = code.begin_loop(first, &[]);
    let mut driver = Driver { code, control };
    let at = |driver: &mut Driver<'_, '_>, i: usize| {
        let offset = driver.code.f.ins().imul(element.index, strides[i]);
        driver.code.f.ins().iadd(bases[i], offset)
    };
    let places: Values = (0..all).map(|i| at(&mut driver, i)).collect();
    driver.element(&places[..operands], places[operands]);
    driver.code.end_loop(&element, end, 1, &[]);
    driver.code.f.ins().return_(&[]);
    let code = driver.code;
    code.f.finalize(code.module.isa().frontend_config());
}

struct Driver<'f, 'c> {
    code: Code<'f>,
    control: &'c Control,
}

impl Driver<'_, '_> {
    /// The loop or branch on operands at these addresses.
    fn element(&mut self, places: &[Value], memory: Value) {
        let control = self.control;
        let of = |slots: &[crate::run::Slot]| slots.iter().map(|s| places[s.operand]).collect::<Values>();
        let (inputs, outputs) = (of(&control.inputs), of(&control.outputs));
        let mut spare = Values::new();
        let mut offset = 0;
        for bytes in &control.carry {
            spare.push(self.code.offset(memory, offset));
            offset += bytes.next_multiple_of(ALIGN);
        }
        let predicate = self.code.offset(memory, offset);
        let block = self.code.offset(memory, offset + ALIGN);
        match control.kind {
            Kind::Scan { consts, length, reverse } => {
                self.scan((consts, length, reverse), &inputs, &outputs, &spare, block);
            }
            Kind::While { cond_consts, body_consts } => {
                self.repeat((cond_consts, body_consts), &inputs, &outputs, &spare, (predicate, block));
            }
            Kind::Switch { index } => self.switch(places[index], &inputs, &outputs, block),
        }
    }

    fn scan(
        &mut self,
        (consts, length, reverse): (usize, usize, bool),
        inputs: &[Value],
        outputs: &[Value],
        spare: &[Value],
        block: Value,
    ) {
        let control = self.control;
        let (carry, fixed) = (spare.len(), consts + spare.len());
        if length == 0 {
            for i in 0..carry {
                self.copy(inputs[consts + i], outputs[i], control.carry[i]);
            }
            return;
        }
        let (out, ys) = outputs.split_at(carry);
        // The last step writes the outputs.
        let (to, other) = if length % 2 == 1 { (out, spare) } else { (spare, out) };
        let slots = control.inputs[fixed..].iter().chain(&control.outputs[carry..]);
        let strides: SmallVec<[usize; 8]> = slots.map(|slot| slot.stride as usize).collect();
        let elements = inputs[fixed..].iter().chain(ys);
        let mut carried: Values = inputs[consts..fixed].iter().chain(to).chain(other).copied().collect();
        for (start, stride) in elements.zip(&strides) {
            let first = if reverse { (length - 1) * stride } else { 0 };
            carried.push(self.code.offset(*start, first));
        }
        let zero = self.code.index(0);
        let this = self.code.begin_loop(zero, &carried);
        let (state, elements) = this.carried.split_at(3 * carry);
        let (from, rest) = state.split_at(carry);
        let (to, other) = rest.split_at(carry);
        let (xs, ys) = elements.split_at(inputs.len() - fixed);
        let given: Values = inputs[..consts].iter().chain(from).chain(xs).copied().collect();
        let made: Values = to.iter().chain(ys).copied().collect();
        self.run(&control.callees[0].program, &given, &made, block);
        let mut next: Values = to.iter().chain(other).chain(to).copied().collect();
        for (at, stride) in elements.iter().zip(&strides) {
            let step = if reverse { (*stride as i64).wrapping_neg() } else { *stride as i64 };
            let step = self.code.f.ins().iconst(I64, step);
            next.push(self.code.f.ins().iadd(*at, step));
        }
        let end = self.code.index(length);
        self.code.end_loop(&this, end, 1, &next);
    }

    fn repeat(
        &mut self,
        (cond_consts, body_consts): (usize, usize),
        inputs: &[Value],
        outputs: &[Value],
        spare: &[Value],
        (predicate, block): (Value, Value),
    ) {
        let control = self.control;
        let carry = spare.len();
        let consts = cond_consts + body_consts;
        let blocks = [(); 3].map(|()| self.code.f.create_block());
        let [ask, step, leave] = blocks;
        for _ in 0..3 * carry {
            self.code.f.append_block_param(ask, I64);
        }
        let entering: SmallVec<[BlockArg; 8]> =
            inputs[consts..].iter().chain(outputs).chain(spare).map(|v| (*v).into()).collect();
        self.code.f.ins().jump(ask, &entering);

        self.code.f.switch_to_block(ask);
        let state: Values = self.code.f.block_params(ask).into();
        let (from, rest) = state.split_at(carry);
        let (to, other) = rest.split_at(carry);
        let asked: Values = inputs[..cond_consts].iter().chain(from).copied().collect();
        self.run(&control.callees[0].program, &asked, &[predicate], block);
        let more = self.code.f.ins().load(I8, Code::memory(), predicate, 0);
        self.code.f.ins().brif(more, step, &[], leave, &[]);
        self.code.f.seal_block(step);
        self.code.f.seal_block(leave);

        self.code.f.switch_to_block(step);
        let given: Values = inputs[cond_consts..consts].iter().chain(from).copied().collect();
        self.run(&control.callees[1].program, &given, to, block);
        let again: SmallVec<[BlockArg; 8]> = to.iter().chain(other).chain(to).map(|v| (*v).into()).collect();
        self.code.f.ins().jump(ask, &again);
        self.code.f.seal_block(ask);

        self.code.f.switch_to_block(leave);
        for i in 0..carry {
            let (last, output) = (from[i], outputs[i]);
            let elsewhere = self.code.f.ins().icmp(IntCC::NotEqual, last, output);
            let [copy, after] = [(); 2].map(|()| self.code.f.create_block());
            self.code.f.ins().brif(elsewhere, copy, &[], after, &[]);
            self.code.f.seal_block(copy);
            self.code.f.switch_to_block(copy);
            self.copy(last, output, control.carry[i]);
            self.code.f.ins().jump(after, &[]);
            self.code.f.seal_block(after);
            self.code.f.switch_to_block(after);
        }
    }

    fn switch(&mut self, index: Value, inputs: &[Value], outputs: &[Value], block: Value) {
        let control = self.control;
        let index = self.code.f.ins().load(I32, Code::memory(), index, 0);
        let after = self.code.f.create_block();
        let last = control.callees.len() - 1;
        for (b, callee) in control.callees.iter().enumerate() {
            let next = (b < last).then(|| {
                let [here, next] = [(); 2].map(|()| self.code.f.create_block());
                let bound = self.code.f.ins().iconst(I32, b as i64);
                // Whatever is below the first branch is the first.
                let is = self.code.f.ins().icmp(IntCC::SignedLessThanOrEqual, index, bound);
                self.code.f.ins().brif(is, here, &[], next, &[]);
                self.code.f.seal_block(here);
                self.code.f.seal_block(next);
                self.code.f.switch_to_block(here);
                next
            });
            self.run(&callee.program, inputs, outputs, block);
            self.code.f.ins().jump(after, &[]);
            if let Some(next) = next {
                self.code.f.switch_to_block(next);
            }
        }
        self.code.f.seal_block(after);
        self.code.f.switch_to_block(after);
    }

    /// Runs a schedule once, as [`Program::step`] does.
    fn run(&mut self, program: &Program, inputs: &[Value], outputs: &[Value], block: Value) {
        let made = program.made.iter().map(|result| outputs[*result]);
        let given: Values = inputs.iter().copied().chain(made).collect();
        for launch in &program.launches {
            let mut places = Values::new();
            for buffer in &launch.operands {
                places.push(match program.homes[*buffer] {
                    Home::Given(i) => given[i],
                    Home::Scratch { offset, .. } => self.code.offset(block, offset),
                    Home::None => unreachable!("every operand has been placed"),
                });
            }
            match &launch.work {
                Work::Function(function) | Work::Loop(function, _) => {
                    let entry = program.code.entry(function.number) as usize;
                    self.launch(entry, function.extent, &places);
                }
                Work::Products(products) => self.products(products, &places),
                Work::Call(call) => {
                    let [inputs, outputs] =
                        call.slots().map(|slots| slots.iter().map(|s| places[s.operand]).collect::<Values>());
                    let inner = self.code.offset(block, program.scratch);
                    self.run(&call.callee().program, &inputs, &outputs, inner);
                }
                Work::Rows(_) | Work::Control(_) | Work::Print(_) => {
                    unreachable!("loops over such schedules aren't compiled")
                }
            }
        }
        for (result, from, bytes) in program.handed_out(inputs.len()) {
            self.copy(given[from], outputs[result], bytes);
        }
    }

    /// Calls a kernel for one element.
    fn launch(&mut self, entry: usize, extent: usize, places: &[Value]) {
        let words = HEADER + 2 * places.len();
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, (8 * words) as u32, 4);
        let slot = self.code.f.create_sized_stack_slot(slot);
        // Header and strides never change.
        let header = [0, extent as u64, 0, 1];
        let fixed = header.into_iter().enumerate().chain((HEADER + places.len()..words).map(|i| (i, 0)));
        for (i, word) in fixed {
            self.code.at_entry(|at: &mut FuncCursor<'_>| {
                let value = at.ins().iconst(I64, word as i64);
                at.ins().stack_store(I64, value, slot, (8 * i) as i32);
            });
        }
        for (i, place) in places.iter().enumerate() {
            self.code.f.ins().stack_store(I64, *place, slot, (8 * (HEADER + i)) as i32);
        }
        let block = self.code.f.ins().stack_addr(I64, slot, 0);
        self.call_address(entry, &[block]);
    }

    /// Calls what multiplies matrices.
    fn products(&mut self, products: &Products, places: &[Value]) {
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, (8 * places.len()) as u32, 4);
        let slot = self.code.f.create_sized_stack_slot(slot);
        for (i, place) in places.iter().enumerate() {
            self.code.f.ins().stack_store(I64, *place, slot, (8 * i) as i32);
        }
        let block = self.code.f.ins().stack_addr(I64, slot, 0);
        let which = self.code.f.ins().iconst(I64, std::ptr::from_ref(products) as i64);
        self.call_address(crate::symbols::products() as usize, &[which, block]);
    }

    /// Calls a function of words that gives nothing.
    fn call_address(&mut self, address: usize, arguments: &[Value]) {
        let mut signature = Signature::new(self.code.f.func.signature.call_conv);
        signature.params.extend(arguments.iter().map(|_| AbiParam::new(I64)));
        let signature = self.code.f.import_signature(signature);
        let address = self.code.f.ins().iconst(I64, address as i64);
        self.code.f.ins().call_indirect(signature, address, arguments);
    }

    /// Copies so many bytes.
    fn copy(&mut self, from: Value, to: Value, bytes: usize) {
        let ty = match bytes {
            0 => return,
            1 => I8,
            2 => I16,
            4 => I32,
            8 => I64,
            _ => {
                let bytes = self.code.f.ins().iconst(I64, bytes as i64);
                return self.call_address(crate::symbols::copy() as usize, &[from, to, bytes]);
            }
        };
        let flags: MemFlagsData = Code::memory();
        let value = self.code.f.ins().load(ty, flags, from, 0);
        self.code.f.ins().store(flags, value, to, 0);
    }
}
