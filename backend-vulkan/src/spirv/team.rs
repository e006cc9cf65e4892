//! What the members of a team tell each other.
//!
//! Members exchange what they accumulated with the member whose number differs in one bit, then in
//! the next, and so on: afterwards every member has the whole, and all have the same bits, as the
//! operations are commutative. Bits below a subgroup's size are exchanged by shuffles, others (all,
//! on devices without) through memory that the workgroup shares:
//!
//! ```text
//! shared[half][invocation] = x;  barrier;  y = shared[half][invocation ^ bit];  half = !half
//! ```
//!
//! The two halves take turns, so that one barrier a step keeps writers from readers.

use super::control::Shares;
use super::{Emitter, Value, built};
use egrad_ir::Dtype;
use egrad_ir::op::{Binary, Reduce};
use hashbrown::HashMap;
use rspirv::spirv::{Capability, Scope, StorageClass, Word};

/// Values exchanged by one step. Two, in halves for 256 invocations, of each of f32, f64 and i32, are
/// the 16 KiB that every device has.
const TOGETHER: usize = 2;

/// The teams of a workgroup.
pub(super) struct Team {
    /// Members of a team.
    pub(super) lanes: u32,
    /// From one member's number in the workgroup to the next one's.
    stride: u32,
    /// Invocations of the workgroup.
    workgroup: u32,
    /// Invocations of a subgroup, if some exchange is by shuffles.
    pub(super) subgroup: Option<u32>,
    /// This invocation's number in its workgroup.
    pub(super) invocation: Word,
    /// And in its team.
    pub(super) member: Word,
    /// The half to write next.
    half: u32,
    /// Memory of the workgroup, by element type and position among the values exchanged together.
    shared: HashMap<(Dtype, usize), Word>,
}

/// The operation of a reduction.
pub(super) fn operation(kind: Reduce) -> Binary {
    match kind {
        Reduce::Sum => Binary::Add,
        Reduce::Max => Binary::Max,
        Reduce::Prod => Binary::Mul,
    }
}

/// Whether teams whose members are so many invocations apart need shared memory to combine what they
/// accumulated.
pub(super) fn exceeds_subgroup(span: u32, subgroup: Option<u32>) -> bool {
    span > subgroup.unwrap_or(1)
}

impl Team {
    pub(super) fn new(
        lanes: u32,
        stride: u32,
        workgroup: u32,
        subgroup: Option<u32>,
        invocation: Word,
        member: Word,
    ) -> Team {
        Team { lanes, stride, workgroup, subgroup, invocation, member, half: 0, shared: HashMap::new() }
    }

    /// What all members of the team accumulated, to each of them.
    pub(super) fn combine(&mut self, e: &mut Emitter, kinds: &[Reduce], values: &mut [Value]) {
        for (kinds, values) in kinds.chunks(TOGETHER).zip(values.chunks_mut(TOGETHER)) {
            let mut bit = 1;
            while bit < self.lanes {
                let others = self.exchange(e, values, bit);
                for ((value, other), kind) in values.iter_mut().zip(others).zip(kinds) {
                    *value = e.binary(operation(*kind), *value, other);
                }
                bit *= 2;
            }
        }
    }

    /// The values of the member whose number differs in that bit.
    fn exchange(&mut self, e: &mut Emitter, values: &[Value], bit: u32) -> Vec<Value> {
        let bit = bit * self.stride;
        if self.subgroup.is_some_and(|size| bit < size) {
            e.capability(Capability::GroupNonUniformShuffle);
            let (scope, mask) = (e.u32(Scope::Subgroup as u32), e.u32(bit));
            let shuffle = |v: &Value| {
                if v.dtype != Dtype::I64 {
                    return e.value(v.dtype, |b, ty| b.group_non_uniform_shuffle_xor(ty, None, scope, v.id, mask));
                }
                // Subgroups need not know integers of 64 bits.
                let pair = e.b.type_vector(e.types.u32, 2);
                let halves = built(e.b.bitcast(pair, None, v.id));
                let halves = built(e.b.group_non_uniform_shuffle_xor(pair, None, scope, halves, mask));
                e.value(v.dtype, |b, ty| b.bitcast(ty, None, halves))
            };
            return values.iter().map(shuffle).collect();
        }
        let u32 = e.types.u32;
        let (half, bit) = (e.u32(self.half * self.workgroup), e.u32(bit));
        let own = built(e.b.i_add(u32, None, half, self.invocation));
        let other = built(e.b.bitwise_xor(u32, None, self.invocation, bit));
        let other = built(e.b.i_add(u32, None, half, other));
        self.half = 1 - self.half;
        let arrays: Vec<Word> = values.iter().enumerate().map(|(i, v)| self.array(e, v.dtype, i)).collect();
        for (array, value) in arrays.iter().zip(values) {
            e.share(*array, value.dtype, own, value.id);
        }
        e.barrier(Shares::Workgroup);
        arrays.iter().zip(values).map(|(array, v)| e.shared(*array, v.dtype, other)).collect()
    }

    fn array(&mut self, e: &mut Emitter, dtype: Dtype, at: usize) -> Word {
        let elements = 2 * self.workgroup;
        *self.shared.entry((dtype, at)).or_insert_with(|| e.shared_array(dtype, elements))
    }
}

impl Emitter {
    /// An array that the invocations of a workgroup share.
    pub(super) fn shared_array(&mut self, dtype: Dtype, elements: u32) -> Word {
        let (element, length) = (self.computed(dtype), self.u32(elements));
        let array = self.b.type_array(element, length);
        let pointer = self.b.type_pointer(None, StorageClass::Workgroup, array);
        self.global(pointer, StorageClass::Workgroup)
    }

    fn shared_element(&mut self, array: Word, dtype: Dtype, at: Word) -> Word {
        let ty = self.computed(dtype);
        let pointer = self.b.type_pointer(None, StorageClass::Workgroup, ty);
        built(self.b.access_chain(pointer, None, array, [at]))
    }

    /// Writes an element of a shared array.
    pub(super) fn share(&mut self, array: Word, dtype: Dtype, at: Word, value: Word) {
        let pointer = self.shared_element(array, dtype, at);
        built(self.b.store(pointer, value, None, []));
    }

    /// Reads an element of a shared array.
    pub(super) fn shared(&mut self, array: Word, dtype: Dtype, at: Word) -> Value {
        let pointer = self.shared_element(array, dtype, at);
        self.value(dtype, |b, ty| b.load(ty, None, pointer, None, []))
    }
}
