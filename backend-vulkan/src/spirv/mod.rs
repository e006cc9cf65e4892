//! Kernels as SPIR-V.
//!
//! A module has one storage buffer per operand (set 0, binding = position) and one more if it is
//! guarded, push constants (how many points there are, how many workgroups a row of the grid has, and
//! what counters of loops move its operands) and a workgroup size that is specialised. The workgroups
//! of the grid are numbered row by row, and each does as many points:
//!
//! * `nest`: of a loop nest's domain, each by a team of invocations (`team`);
//! * `tile`, `cooperative`: a tile of a matrix product.
//!
//! `index` makes indices, `control` loops and barriers, `ops` and `math` the primitives.
//!
//! Integers are 32 or 64 bits wide and unsigned in type; operations choose the sign. Bools are bytes in
//! memory and `OpTypeBool` in computation; a `u8` is a byte in memory and 32 bits below 256 in
//! computation. Floats of 16 bits are 32 bits below 2^16 in computation, where they are moved and
//! converted (`short`).

mod check;
mod control;
mod cooperative;
mod index;
mod math;
mod nest;
mod ops;
mod short;
mod team;
mod tile;

pub(crate) use check::check;

use crate::device::{Caps, FloatCaps};
use crate::spread::{Form, Launch, Moves};
use egrad_ir::kernel::Body;
use egrad_ir::{Dtype, Error, Literal, Result};
use hashbrown::HashMap;
use math::Fma;
use rspirv::binary::{Assemble, Disassemble};
use rspirv::dr::{Builder, Instruction, Operand as Arg};
use rspirv::spirv::{
    AddressingModel, BuiltIn, Capability, Decoration, ExecutionMode, ExecutionModel, FunctionControl, MemoryModel, Op,
    StorageClass, Word,
};

/// Push constants, of four bytes each, before those that are counters: the number of points, and of
/// workgroups in a row.
pub(crate) const PUSHED: usize = 2;

/// The specialisation constant that is the workgroup size.
pub(crate) const WORKGROUP_SPEC: u32 = 0;

/// A kernel in SPIR-V.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) words: Vec<u32>,
    /// Storage buffers, from binding 0 on.
    pub(crate) bindings: u32,
    /// Counters of loops among the push constants.
    pub(crate) counters: usize,
    /// How many points there are: of the domain, or tiles.
    pub(crate) points: u64,
    /// How many of them a workgroup does.
    pub(crate) per_group: u32,
    /// Invocations per workgroup, the value of [`WORKGROUP_SPEC`].
    pub(crate) workgroup: u32,
    /// The size that subgroups must have, where that matters.
    pub(crate) subgroup: Option<u32>,
}

impl Module {
    /// The module as text.
    pub(crate) fn disassemble(&self) -> String {
        match rspirv::dr::load_words(&self.words) {
            Ok(module) => module.disassemble(),
            Err(e) => format!("; rspirv can't read it: {e}"),
        }
    }
}

/// The module of a launch.
///
/// # Errors
/// If the backend, or a device of these capabilities, can't run the kernel: what is lacking.
pub(crate) fn emit(launch: &Launch, caps: &Caps, device: &str) -> Result<Module> {
    let kernel = &launch.kernel;
    check(launch, caps, device)?;
    let mut emitter = Emitter::new(launch, caps);
    let grid = match (&kernel.body, launch.form) {
        (Body::Loops(nest), Form::Team(lanes)) => nest::emit(&mut emitter, kernel, nest, lanes, caps)?,
        (Body::Contract(c), Form::Tile(tile)) => tile::emit(&mut emitter, c, tile),
        (Body::Contract(c), Form::Cooperative(by)) => cooperative::emit(&mut emitter, c, by, caps),
        (
            Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Scan(_)
            | Body::While(_)
            | Body::Switch(_)
            | Body::Linalg(_)
            | Body::Print(_),
            _,
        )
        | (Body::Loops(_), Form::Tile(_) | Form::Cooperative(_))
        | (Body::Contract(_), Form::Team(_)) => {
            return Err(Error::internal(format!("kernel `{}` can't be launched as {:?}", kernel.name, launch.form)));
        }
    };
    let Grid { points, per_group, workgroup, subgroup } = grid;
    let (bindings, counters) = (launch.buffers() as u32, launch.counters());
    Ok(Module { words: emitter.finish(), bindings, counters, points, per_group, workgroup, subgroup })
}

/// How a module's invocations are laid out.
struct Grid {
    points: u64,
    per_group: u32,
    workgroup: u32,
    subgroup: Option<u32>,
}

/// What the function begins with.
struct Entry {
    main: Word,
    /// How many points there are to work on; none where a guard says so.
    points: Word,
    /// The number of the workgroup.
    group: Word,
    /// Of the invocation in it.
    invocation: Word,
}

/// A value in computation: its id and its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    id: Word,
    dtype: Dtype,
}

/// Takes the result of a builder call: all of them happen inside a block.
fn built<T>(result: std::result::Result<T, rspirv::dr::Error>) -> T {
    result.expect("instructions are put inside a block")
}

struct Types {
    void: Word,
    boolean: Word,
    u32: Word,
    f32: Word,
    /// Declared where the kernel uses it, as are the following.
    f64: Option<Word>,
    u64: Option<Word>,
    u8: Option<Word>,
    u16: Option<Word>,
}

/// An operand of the kernel, or its guard.
struct Buffer {
    variable: Word,
    /// A pointer to an element.
    element: Word,
    dtype: Dtype,
    moves: Moves,
    /// By how many elements it is moved, where it is.
    moved: Option<Word>,
}

struct Emitter {
    b: Builder,
    types: Types,
    /// The GLSL.std.450 instruction set.
    glsl: Word,
    buffers: Vec<Buffer>,
    /// Of the buffer after the operands the element without which nothing is done.
    guard: Option<usize>,
    push: Word,
    /// The variable of the workgroup's position.
    group: Word,
    /// All variables of the module.
    interface: Vec<Word>,
    /// Constants by type and bits.
    constants: HashMap<(Word, u64), Word>,
    /// The label of the block being filled.
    block: Word,
    f32_caps: FloatCaps,
    f64_caps: FloatCaps,
    /// Of f32 and f64.
    fma: [Fma; 2],
}

impl Emitter {
    fn new(launch: &Launch, caps: &Caps) -> Emitter {
        let mut b = Builder::new();
        b.set_version(1, 5);
        b.capability(Capability::Shader);
        let glsl = b.ext_inst_import("GLSL.std.450");
        b.memory_model(AddressingModel::Logical, MemoryModel::GLSL450);
        let types = Types {
            void: b.type_void(),
            boolean: b.type_bool(),
            u32: b.type_int(32, 0),
            f32: b.type_float(32, None),
            f64: None,
            u64: None,
            u8: None,
            u16: None,
        };
        let mut emitter = Emitter {
            b,
            types,
            glsl,
            buffers: Vec::new(),
            guard: launch.guard.as_ref().map(|g| g.at),
            push: 0,
            group: 0,
            interface: Vec::new(),
            constants: HashMap::new(),
            block: 0,
            f32_caps: caps.f32,
            f64_caps: caps.f64,
            fma: [Dtype::F32, Dtype::F64].map(|dtype| Fma::of(dtype, caps)),
        };
        emitter.interface(launch);
        emitter
    }

    /// Declares the buffers, the push constants, the invocation's id and the workgroup's size.
    fn interface(&mut self, launch: &Launch) {
        let (u32, literal) = (self.types.u32, |n: usize| [Arg::LiteralBit32(n as u32)]);
        // By the type in memory, which several element types may share.
        let mut blocks: HashMap<Word, (Word, Word)> = HashMap::new();
        let operands = launch.kernel.operands.iter().enumerate();
        let operands = operands.map(|(i, o)| (o.dtype, o.written, launch.moves(i).cloned().unwrap_or_default()));
        let guard = launch.guard.iter().map(|g| (Dtype::I32, false, g.flags.moves.clone()));
        for (at, (dtype, written, moves)) in operands.chain(guard).enumerate() {
            let stored = self.stored(dtype);
            let b = &mut self.b;
            let (block, element) = *blocks.entry(stored).or_insert_with(|| {
                let array = b.type_runtime_array(stored);
                b.decorate(array, Decoration::ArrayStride, literal(dtype.bytes()));
                let block = b.type_struct([array]);
                b.decorate(block, Decoration::Block, []);
                b.member_decorate(block, 0, Decoration::Offset, literal(0));
                let block = b.type_pointer(None, StorageClass::StorageBuffer, block);
                (block, b.type_pointer(None, StorageClass::StorageBuffer, stored))
            });
            let variable = self.global(block, StorageClass::StorageBuffer);
            let b = &mut self.b;
            b.name(variable, format!("b{at}"));
            b.decorate(variable, Decoration::DescriptorSet, literal(0));
            b.decorate(variable, Decoration::Binding, literal(at));
            if !written {
                b.decorate(variable, Decoration::NonWritable, []);
            }
            self.buffers.push(Buffer { variable, element, dtype, moves, moved: None });
        }
        let one = self.u32(1);
        let b = &mut self.b;
        let members = PUSHED + launch.counters();
        let push = b.type_struct(vec![u32; members]);
        b.decorate(push, Decoration::Block, []);
        for member in 0..members {
            b.member_decorate(push, member as u32, Decoration::Offset, literal(4 * member));
        }
        let pointer = b.type_pointer(None, StorageClass::PushConstant, push);
        b.member_name(push, 0, "points");
        b.member_name(push, 1, "row");
        self.push = self.global(pointer, StorageClass::PushConstant);
        self.b.name(self.push, "launch");

        let vector = self.b.type_vector(u32, 3);
        self.group = self.builtin(vector, BuiltIn::WorkgroupId);
        let workgroup = self.b.spec_constant_bit32(u32, 64);
        self.b.decorate(workgroup, Decoration::SpecId, [Arg::LiteralBit32(WORKGROUP_SPEC)]);
        let size = self.b.spec_constant_composite(vector, [workgroup, one, one]);
        self.b.decorate(size, Decoration::BuiltIn, [Arg::BuiltIn(BuiltIn::WorkgroupSize)]);
    }

    /// A variable of the module.
    fn global(&mut self, pointer: Word, class: StorageClass) -> Word {
        let id = self.b.id();
        let variable = Instruction::new(Op::Variable, Some(pointer), Some(id), vec![Arg::StorageClass(class)]);
        // Not by the builder, which would put it into the block being filled.
        self.b.module_mut().types_global_values.push(variable);
        self.interface.push(id);
        id
    }

    /// The variable of a built-in input.
    fn builtin(&mut self, ty: Word, what: BuiltIn) -> Word {
        let pointer = self.b.type_pointer(None, StorageClass::Input, ty);
        let variable = self.global(pointer, StorageClass::Input);
        self.b.decorate(variable, Decoration::BuiltIn, [Arg::BuiltIn(what)]);
        variable
    }

    fn capability(&mut self, capability: Capability) {
        let declared = &self.b.module_ref().capabilities;
        if !declared.iter().any(|i| i.operands == [Arg::Capability(capability)]) {
            self.b.capability(capability);
        }
    }

    /// Begins the function. Where subgroups matter, an invocation's number in its workgroup is that
    /// of its subgroup and in it; that of other built-ins need not be.
    fn enter(&mut self, subgroup: Option<u32>) -> Entry {
        let Types { void, u32, .. } = self.types;
        let inputs = match subgroup {
            None => vec![self.builtin(u32, BuiltIn::LocalInvocationIndex)],
            Some(_) => {
                self.capability(Capability::GroupNonUniform);
                [BuiltIn::SubgroupLocalInvocationId, BuiltIn::SubgroupId].map(|b| self.builtin(u32, b)).into()
            }
        };
        let function = self.b.type_function(void, []);
        let main = built(self.b.begin_function(void, None, FunctionControl::NONE, function));
        let start = self.b.id();
        self.begin(start);
        let vector = self.b.type_vector(u32, 3);
        let id = built(self.b.load(vector, None, self.group, None, []));
        let x = built(self.b.composite_extract(u32, None, id, [0]));
        let y = built(self.b.composite_extract(u32, None, id, [1]));
        let (points, row) = (self.pushed(0), self.pushed(1));
        let above = built(self.b.i_mul(u32, None, y, row));
        let group = built(self.b.i_add(u32, None, above, x));
        let inputs: Vec<Word> = inputs.into_iter().map(|v| built(self.b.load(u32, None, v, None, []))).collect();
        let mut invocation = inputs[0];
        if let (Some(size), Some(number)) = (subgroup, inputs.get(1)) {
            let size = self.u32(size);
            let first = built(self.b.i_mul(u32, None, *number, size));
            invocation = built(self.b.i_add(u32, None, first, invocation));
        }
        self.move_buffers();
        let points = self.guarded(points);
        Entry { main, points, group, invocation }
    }

    /// Adds up by how many elements counters move each buffer.
    fn move_buffers(&mut self) {
        let all = self.buffers.iter().map(|b| b.moves.by.len()).max().unwrap_or(0);
        let counters: Vec<Word> = (0..all).map(|i| self.pushed((PUSHED + i) as u32)).collect();
        for at in 0..self.buffers.len() {
            let Moves { by, once } = self.buffers[at].moves.clone();
            // Negative numbers wrap around, and so does what they are added to.
            let once = (once != 0).then(|| self.u32(once as u32));
            self.buffers[at].moved = index::steps(self, once, &by, &counters);
        }
    }

    /// How many points there are, or none where the guard is 0.
    fn guarded(&mut self, points: Word) -> Word {
        let Some(at) = self.guard else { return points };
        let (u32, boolean, at, zero) = (self.types.u32, self.types.boolean, self.u32(at as u32), self.u32(0));
        let flag = self.load(self.buffers.len() - 1, at);
        let holds = built(self.b.i_not_equal(boolean, None, flag.id, zero));
        built(self.b.select(u32, None, holds, points, zero))
    }

    /// Ends the function.
    fn leave(&mut self, entry: Entry) {
        built(self.b.ret());
        built(self.b.end_function());
        let interface = std::mem::take(&mut self.interface);
        self.b.entry_point(ExecutionModel::GLCompute, entry.main, "main", interface);
        self.b.execution_mode(entry.main, ExecutionMode::LocalSize, [64, 1, 1]);
        self.float_modes(entry.main);
    }

    /// Requires of the device's floats what it offers.
    fn float_modes(&mut self, main: Word) {
        let wide = self.types.f64.map(|_| (64, self.f64_caps));
        for (width, caps) in [Some((32, self.f32_caps)), wide].into_iter().flatten() {
            use {Capability as C, ExecutionMode as M};
            let modes = [
                (caps.keeps_nan, C::SignedZeroInfNanPreserve, M::SignedZeroInfNanPreserve),
                (caps.keeps_denormals, C::DenormPreserve, M::DenormPreserve),
                (caps.rounds_to_even, C::RoundingModeRTE, M::RoundingModeRTE),
            ];
            for (_, capability, mode) in modes.into_iter().filter(|(offered, ..)| *offered) {
                self.capability(capability);
                self.b.execution_mode(main, mode, [width]);
            }
        }
    }

    /// Begins the block of that label.
    fn begin(&mut self, label: Word) {
        self.block = built(self.b.begin_block(Some(label)));
    }

    fn finish(self) -> Vec<u32> {
        self.b.module().assemble()
    }

    fn f64_type(&mut self) -> Word {
        *self.types.f64.get_or_insert_with(|| {
            self.b.capability(Capability::Float64);
            self.b.type_float(64, None)
        })
    }

    fn u64_type(&mut self) -> Word {
        *self.types.u64.get_or_insert_with(|| {
            self.b.capability(Capability::Int64);
            self.b.type_int(64, 0)
        })
    }

    /// The type of elements in computation.
    fn computed(&mut self, dtype: Dtype) -> Word {
        match dtype {
            Dtype::F32 => self.types.f32,
            Dtype::F64 => self.f64_type(),
            Dtype::I32 | Dtype::U32 | Dtype::U8 | Dtype::F16 | Dtype::Bf16 => self.types.u32,
            Dtype::I64 => self.u64_type(),
            Dtype::Bool => self.types.boolean,
        }
    }

    /// The type of elements in memory.
    fn stored(&mut self, dtype: Dtype) -> Word {
        match dtype {
            Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::I64 | Dtype::U32 => self.computed(dtype),
            Dtype::U8 | Dtype::Bool => *self.types.u8.get_or_insert_with(|| {
                self.b.capability(Capability::StorageBuffer8BitAccess);
                self.b.type_int(8, 0)
            }),
            Dtype::F16 | Dtype::Bf16 => *self.types.u16.get_or_insert_with(|| {
                self.b.capability(Capability::StorageBuffer16BitAccess);
                self.b.type_int(16, 0)
            }),
        }
    }

    /// A constant of these bits.
    fn constant(&mut self, dtype: Dtype, bits: u64) -> Word {
        let (ty, b) = (self.computed(dtype), &mut self.b);
        *self.constants.entry((ty, bits)).or_insert_with(|| match dtype {
            Dtype::F32 | Dtype::I32 | Dtype::U32 | Dtype::U8 | Dtype::F16 | Dtype::Bf16 => {
                b.constant_bit32(ty, bits as u32)
            }
            Dtype::F64 | Dtype::I64 => b.constant_bit64(ty, bits),
            Dtype::Bool if bits == 0 => b.constant_false(ty),
            Dtype::Bool => b.constant_true(ty),
        })
    }

    fn u64(&mut self, n: u64) -> Word {
        let (ty, b) = (self.u64_type(), &mut self.b);
        *self.constants.entry((ty, n)).or_insert_with(|| b.constant_bit64(ty, n))
    }

    fn u32(&mut self, n: u32) -> Word {
        self.constant(Dtype::I32, u64::from(n))
    }

    fn literal(&mut self, l: Literal) -> Value {
        Value { id: self.constant(l.dtype(), l.bits()), dtype: l.dtype() }
    }

    fn pushed(&mut self, member: u32) -> Word {
        let u32 = self.types.u32;
        let member = self.u32(member);
        let pointer = self.b.type_pointer(None, StorageClass::PushConstant, u32);
        let pointer = built(self.b.access_chain(pointer, None, self.push, [member]));
        built(self.b.load(u32, None, pointer, None, []))
    }

    fn element(&mut self, operand: usize, mut index: Word) -> Word {
        let (zero, u32) = (self.u32(0), self.types.u32);
        let Buffer { variable, element, moved, .. } = self.buffers[operand];
        if let Some(moved) = moved {
            index = built(self.b.i_add(u32, None, moved, index));
        }
        built(self.b.access_chain(element, None, variable, [zero, index]))
    }

    fn load(&mut self, operand: usize, index: Word) -> Value {
        let dtype = self.buffers[operand].dtype;
        let pointer = self.element(operand, index);
        let stored = self.stored(dtype);
        let id = built(self.b.load(stored, None, pointer, None, []));
        if dtype.bytes() >= 4 {
            return Value { id, dtype };
        }
        // These are only loaded, widened and stored, which needs no arithmetic on them.
        let (boolean, u32, zero) = (self.types.boolean, self.types.u32, self.u32(0));
        let wide = built(self.b.u_convert(u32, None, id));
        if dtype != Dtype::Bool {
            return Value { id: wide, dtype };
        }
        Value { id: built(self.b.i_not_equal(boolean, None, wide, zero)), dtype }
    }

    fn store(&mut self, operand: usize, index: Word, value: Value) {
        let pointer = self.element(operand, index);
        let mut id = value.id;
        if value.dtype == Dtype::Bool {
            let (one, zero, u32, stored) = (self.u32(1), self.u32(0), self.types.u32, self.stored(Dtype::Bool));
            let wide = built(self.b.select(u32, None, id, one, zero));
            id = built(self.b.u_convert(stored, None, wide));
        } else if value.dtype.bytes() < 4 {
            let stored = self.stored(value.dtype);
            id = built(self.b.u_convert(stored, None, id));
        }
        built(self.b.store(pointer, id, None, []));
    }
}
