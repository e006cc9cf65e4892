//! Structured control flow: selections, loops and barriers.

use super::{Emitter, Value, built};
use egrad_ir::Dtype;
use rspirv::spirv::{LoopControl, MemorySemantics, Scope, SelectionControl, Word};

/// A selection in the making: code that runs where a condition holds.
pub(super) struct Only {
    /// The label of the block before it.
    before: Word,
    /// The label of the block after it.
    end: Word,
}

/// What a barrier makes visible to the workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shares {
    /// Memory of the workgroup.
    Workgroup,
    /// Buffers.
    Buffers,
}

/// What an iteration makes of the loop's state, given its index.
type Iteration<'a, V> = dyn FnMut(&mut Emitter, Word, Vec<V>) -> Vec<V> + 'a;

impl Emitter {
    /// Begins code that runs where `condition` holds.
    pub(super) fn only(&mut self, condition: Word) -> Only {
        let (before, body, end) = (self.block, self.b.id(), self.b.id());
        built(self.b.selection_merge(end, SelectionControl::NONE));
        built(self.b.branch_conditional(condition, body, end, []));
        self.begin(body);
        Only { before, end }
    }

    /// Ends it. The values it made that are used afterwards become what they are there: elsewhere
    /// they are zero.
    pub(super) fn everywhere(&mut self, only: Only, carried: &mut [&mut Value]) {
        let last = self.block;
        built(self.b.branch(only.end));
        let zeros: Vec<Value> = carried.iter().map(|v| self.number(v.dtype, 0.0)).collect();
        self.begin(only.end);
        for (value, zero) in carried.iter_mut().zip(zeros) {
            let ty = self.computed(value.dtype);
            value.id = built(self.b.phi(ty, None, [(value.id, last), (zero.id, only.before)]));
        }
    }

    /// `for (i = from; i < to; i += step) state = body(i, state)`; what the state is afterwards.
    pub(super) fn repeat(
        &mut self,
        range: [Word; 3],
        state: Vec<Value>,
        body: &mut Iteration<'_, Value>,
    ) -> Vec<Value> {
        let dtypes: Vec<Dtype> = state.iter().map(|v| v.dtype).collect();
        let values = |ids: Vec<Word>| ids.into_iter().zip(&dtypes).map(|(id, d)| Value { id, dtype: *d }).collect();
        let typed = state.iter().map(|v| (self.computed(v.dtype), v.id)).collect();
        let after = self
            .repeat_typed(range, typed, &mut |e, i, ids| body(e, i, values(ids)).into_iter().map(|v| v.id).collect());
        values(after)
    }

    /// The same for a state of any types: `(type, id)`.
    pub(super) fn repeat_typed(
        &mut self,
        [from, to, step]: [Word; 3],
        state: Vec<(Word, Word)>,
        body: &mut Iteration<'_, Word>,
    ) -> Vec<Word> {
        let (u32, boolean, before) = (self.types.u32, self.types.boolean, self.block);
        let [head, inside, next, end, i, following] = std::array::from_fn(|_| self.b.id());
        built(self.b.branch(head));
        self.begin(head);
        built(self.b.phi(u32, Some(i), [(from, before), (following, next)]));
        let mut kept = Vec::new();
        let mut afterwards = Vec::new();
        for (ty, id) in &state {
            let after = self.b.id();
            kept.push(built(self.b.phi(*ty, None, [(*id, before), (after, next)])));
            afterwards.push(after);
        }
        let more = built(self.b.u_less_than(boolean, None, i, to));
        built(self.b.loop_merge(end, next, LoopControl::NONE, []));
        built(self.b.branch_conditional(more, inside, end, []));
        self.begin(inside);
        let results = body(self, i, kept.clone());
        built(self.b.branch(next));
        self.begin(next);
        for ((result, after), (ty, _)) in results.iter().zip(afterwards).zip(&state) {
            built(self.b.copy_object(*ty, Some(after), *result));
        }
        built(self.b.i_add(u32, Some(following), i, step));
        built(self.b.branch(head));
        self.begin(end);
        kept
    }

    /// Waits for the workgroup; what its invocations wrote before can be read after. All of them
    /// come here.
    pub(super) fn barrier(&mut self, shares: Shares) {
        let mut semantics = MemorySemantics::ACQUIRE_RELEASE;
        semantics |= match shares {
            Shares::Workgroup => MemorySemantics::WORKGROUP_MEMORY,
            Shares::Buffers => MemorySemantics::UNIFORM_MEMORY,
        };
        let [scope, semantics] = [Scope::Workgroup as u32, semantics.bits()].map(|n| self.u32(n));
        built(self.b.control_barrier(scope, scope, semantics));
    }
}
