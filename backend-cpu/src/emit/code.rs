//! Building a function: constants, loops, memory.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::types::{F32, F64, I8, I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, ConstantData, Endianness, InstBuilder, MemFlagsData, Signature, StackSlot,
    StackSlotData, StackSlotKind, Type, Value,
};
use cranelift_frontend::FunctionBuilder;
use cranelift_jit::JITModule;
use cranelift_module::{Linkage, Module};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// A function being built.
pub(crate) struct Code<'f> {
    pub(crate) f: FunctionBuilder<'f>,
    /// Where it will be defined.
    pub(crate) module: &'f mut JITModule,
    /// The first block: constants are put at its head, so that they are made once.
    entry: Block,
    /// Whether vector constants are loaded where they are used instead: of more than a few, the
    /// registers would hold none anyway, and spilling and reloading them costs more.
    beside: bool,
    constants: HashMap<(Type, SmallVec<[u8; 16]>), Value>,
}

/// Values carried from one iteration of a loop to the next.
pub(crate) type Carried = SmallVec<[Value; 8]>;

/// Where a block out of line rejoins.
pub(crate) struct Rejoin {
    after: Block,
}

/// A loop that has been started.
pub(crate) struct Loop {
    block: Block,
    exit: Block,
    /// The index in this iteration.
    pub(crate) index: Value,
    /// What is carried, as this iteration got it.
    pub(crate) carried: Carried,
}

impl<'f> Code<'f> {
    /// Starts a function of one pointer argument; returns it with that argument. `many`: there will
    /// be many constants.
    pub(crate) fn new(mut f: FunctionBuilder<'f>, module: &'f mut JITModule, many: bool) -> (Code<'f>, Value) {
        let entry = f.create_block();
        f.append_block_params_for_function_params(entry);
        f.switch_to_block(entry);
        f.seal_block(entry);
        let argument = f.block_params(entry)[0];
        (Code { f, module, entry, beside: many, constants: HashMap::new() }, argument)
    }

    /// Flags of accesses to buffers: they never trap, and users' memory need not be aligned.
    pub(crate) fn memory() -> MemFlagsData {
        MemFlagsData::new().with_notrap()
    }

    /// A word of the argument block.
    pub(crate) fn argument(&mut self, block: Value, slot: usize) -> Value {
        self.f.ins().load(I64, MemFlagsData::trusted().with_readonly().with_can_move(), block, (slot * 8) as i32)
    }

    /// A constant made of these bits in every lane of `ty`.
    pub(crate) fn constant(&mut self, ty: Type, bits: u64) -> Value {
        let lane = ty.lane_type().bytes() as usize;
        let pattern: SmallVec<[u8; 16]> =
            bits.to_le_bytes()[..lane].iter().copied().cycle().take(ty.bytes() as usize).collect();
        self.pattern(ty, pattern)
    }

    /// A constant vector with these lanes.
    pub(crate) fn lanes(&mut self, ty: Type, lanes: &[u64]) -> Value {
        let lane = ty.lane_type().bytes() as usize;
        self.pattern(ty, lanes.iter().flat_map(|bits| bits.to_le_bytes().into_iter().take(lane)).collect())
    }

    fn pattern(&mut self, ty: Type, bytes: SmallVec<[u8; 16]>) -> Value {
        if self.beside && ty.is_vector() {
            let data = self.f.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
            return self.f.ins().vconst(ty, data);
        }
        if let Some(v) = self.constants.get(&(ty, bytes.clone())) {
            return *v;
        }
        let mut at = FuncCursor::new(self.f.func).at_first_insertion_point(self.entry);
        let value = if ty.is_vector() {
            let data = at.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
            at.ins().vconst(ty, data)
        } else {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(&bytes);
            let bits = u64::from_le_bytes(word);
            match ty {
                F32 => at.ins().f32const(Ieee32::with_bits(bits as u32)),
                F64 => at.ins().f64const(Ieee64::with_bits(bits)),
                _ => at.ins().iconst(ty, bits as i64),
            }
        };
        self.constants.insert((ty, bytes), value);
        value
    }

    /// Writes instructions at the head of the function.
    pub(crate) fn at_entry(&mut self, write: impl FnOnce(&mut FuncCursor<'_>)) {
        write(&mut FuncCursor::new(self.f.func).at_first_insertion_point(self.entry));
    }

    /// A constant index.
    pub(crate) fn index(&mut self, n: usize) -> Value {
        self.constant(I64, n as u64)
    }

    /// `v · n`, for an index.
    pub(crate) fn scale(&mut self, v: Value, n: usize) -> Value {
        if n == 1 {
            return v;
        }
        // Constants beside their use: the instruction selector folds them.
        let power = n.is_power_of_two();
        let k = self.f.ins().iconst(I64, if power { i64::from(n.trailing_zeros()) } else { n as i64 });
        if power { self.f.ins().ishl(v, k) } else { self.f.ins().imul(v, k) }
    }

    /// `v + n`, for an index or an address.
    pub(crate) fn offset(&mut self, v: Value, n: usize) -> Value {
        if n == 0 {
            return v;
        }
        let k = self.f.ins().iconst(I64, n as i64);
        self.f.ins().iadd(v, k)
    }

    /// `v` as a value of another type of the same width, lane for lane.
    pub(crate) fn cast(&mut self, ty: Type, v: Value) -> Value {
        if self.ty(v) == ty {
            return v;
        }
        let flags =
            if ty.is_vector() { MemFlagsData::new().with_endianness(Endianness::Little) } else { MemFlagsData::new() };
        self.f.ins().bitcast(ty, flags, v)
    }

    /// The type of a value.
    pub(crate) fn ty(&self, v: Value) -> Type {
        self.f.func.dfg.value_type(v)
    }

    /// A vector shuffle by bytes: below 16 from `a`, from 16 on from `b`.
    pub(crate) fn shuffle(&mut self, a: Value, b: Value, bytes: [u8; 16]) -> Value {
        let ty = self.ty(a);
        let bytes_type = cranelift_codegen::ir::types::I8X16;
        let (a, b) = (self.cast(bytes_type, a), self.cast(bytes_type, b));
        let mask = self.f.func.dfg.immediates.push(ConstantData::from(&bytes[..]));
        let r = self.f.ins().shuffle(a, b, mask);
        self.cast(ty, r)
    }

    /// The high half of `a` in both halves.
    pub(crate) fn high(&mut self, a: Value) -> Value {
        self.shuffle(a, a, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    /// The low half of `a` and then that of `b`.
    pub(crate) fn low_halves(&mut self, a: Value, b: Value) -> Value {
        self.shuffle(a, b, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])
    }

    /// The even 32-bit lanes of `a` and then those of `b`.
    pub(crate) fn even_words(&mut self, a: Value, b: Value) -> Value {
        self.shuffle(a, b, [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27])
    }

    /// Memory on the stack, aligned to 16 bytes, and its address.
    pub(crate) fn stack(&mut self, bytes: usize) -> (StackSlot, Value) {
        let slot = self.f.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes as u32, 4));
        (slot, self.f.ins().stack_addr(I64, slot, 0))
    }

    /// Starts a loop over `start, start + step, …` that carries values; it runs at least once.
    pub(crate) fn begin_loop(&mut self, start: Value, carried: &[Value]) -> Loop {
        let block = self.f.create_block();
        let exit = self.f.create_block();
        self.f.append_block_param(block, I64);
        for v in carried {
            let ty = self.ty(*v);
            self.f.append_block_param(block, ty);
            self.f.append_block_param(exit, ty);
        }
        let entering: SmallVec<[BlockArg; 8]> = [start].iter().chain(carried).map(|v| (*v).into()).collect();
        self.f.ins().jump(block, &entering);
        self.f.switch_to_block(block);
        let params = self.f.block_params(block);
        Loop { block, exit, index: params[0], carried: params[1..].into() }
    }

    /// Ends a loop: runs it again while the next index is below `end`. Returns what it carried.
    pub(crate) fn end_loop(&mut self, this: &Loop, end: Value, step: usize, carried: &[Value]) -> Carried {
        let next = self.offset(this.index, step);
        let more = self.f.ins().icmp(IntCC::UnsignedLessThan, next, end);
        let again: SmallVec<[BlockArg; 8]> = [next].iter().chain(carried).map(|v| (*v).into()).collect();
        let leaving: SmallVec<[BlockArg; 8]> = carried.iter().map(|v| (*v).into()).collect();
        self.f.ins().brif(more, this.block, &again, this.exit, &leaving);
        self.f.seal_block(this.block);
        self.f.seal_block(this.exit);
        self.f.switch_to_block(this.exit);
        self.f.block_params(this.exit).into()
    }

    /// Starts a block that runs when `condition` holds, out of line; where it rejoins, `usual`
    /// values may have become others.
    pub(crate) fn begin_rarely(&mut self, condition: Value, usual: &[Value]) -> Rejoin {
        let (cold, after) = (self.f.create_block(), self.f.create_block());
        self.f.set_cold_block(cold);
        for v in usual {
            let ty = self.ty(*v);
            self.f.append_block_param(after, ty);
        }
        let usual: SmallVec<[BlockArg; 8]> = usual.iter().map(|v| (*v).into()).collect();
        self.f.ins().brif(condition, cold, &[], after, &usual);
        self.f.seal_block(cold);
        self.f.switch_to_block(cold);
        Rejoin { after }
    }

    /// Ends that block with other values; returns those that hold from here on.
    pub(crate) fn end_rarely(&mut self, this: &Rejoin, values: &[Value]) -> Carried {
        let values: SmallVec<[BlockArg; 8]> = values.iter().map(|v| (*v).into()).collect();
        self.f.ins().jump(this.after, &values);
        self.f.seal_block(this.after);
        self.f.switch_to_block(this.after);
        self.f.block_params(this.after).into()
    }

    /// Calls the function of that name in [`crate::symbols`], which takes words and gives nothing.
    pub(crate) fn call(&mut self, name: &str, arguments: &[Value]) {
        let mut signature = Signature::new(self.f.func.signature.call_conv);
        signature.params.extend(arguments.iter().map(|_| AbiParam::new(I64)));
        let id = self.module.declare_function(name, Linkage::Import, &signature).expect("one signature a name");
        let callee = self.module.declare_func_in_func(id, self.f.func);
        self.f.ins().call(callee, arguments);
    }

    /// A truth value as bits of a type of that width.
    pub(crate) fn wide_mask(&mut self, ty: Type, mask: Value) -> Value {
        if self.ty(mask) == I8 { self.f.ins().uextend(ty, mask) } else { mask }
    }

    /// The smaller of two indices.
    pub(crate) fn smaller(&mut self, a: Value, b: Value) -> Value {
        let c = self.f.ins().icmp(IntCC::UnsignedLessThan, a, b);
        self.f.ins().select(c, a, b)
    }

    /// A byte extended to 32 bits.
    pub(crate) fn byte_to_i32(&mut self, v: Value) -> Value {
        debug_assert_eq!(self.ty(v), I8);
        self.f.ins().uextend(I32, v)
    }
}
