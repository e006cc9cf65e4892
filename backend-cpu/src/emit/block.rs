//! Reductions of long columns, in blocks.
//!
//! ```text
//! for each panel of columns                     what they come to fits on the stack
//!   for each group of its columns               start from the identity
//!   for each block of rows                      as many streams as the processor prefetches
//!     for each group of columns in the panel
//!       for each row of the block               accumulate in registers
//!   for each group of columns in the panel      the other passes
//! ```

use super::code::{Code, Loop};
use super::group::{Form, Group};
use super::nest::{Axis, Nest};
use super::pass::Accs;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, Value};
use egrad_ir::kernel::Acc;

/// Rows of a block.
const ROWS: usize = 8;

/// Bytes on the stack for what the columns of a panel have come to.
const STACK: usize = 1 << 14;

/// Where the groups of a panel are kept.
struct Panel {
    /// The first column, and the end of the columns.
    start: Value,
    end: Value,
    /// The last place a group can start at.
    last: Value,
    memory: Value,
    /// Bytes per column.
    bytes: usize,
}

/// A loop over the groups of a panel.
struct Groups {
    this: Loop,
    /// The group's first column.
    index: Value,
    /// Where what it has come to is kept.
    address: Value,
}

impl Nest<'_, '_> {
    /// The last domain axis and the passes, the first of them in blocks.
    pub(super) fn blocks(&mut self, (start, end): (Value, Value)) {
        let plan = self.plan;
        let lanes = plan.points;
        self.lanes = lanes;
        let pass = &plan.nest.passes[0];
        let rows = pass.loops[0];
        // As they are computed with, which may take more than in a buffer.
        let width = |acc: &Acc| 16 / Form::of(self.dtype(acc.value), lanes).per_vector();
        let bytes: usize = pass.accs.iter().map(width).sum();
        let columns = STACK / bytes / lanes * lanes;
        let (_, memory) = self.code.stack(columns * bytes);
        let back = self.code.f.ins().iconst(I64, lanes as i64);
        let last = self.code.f.ins().isub(end, back);
        let panels = self.code.begin_loop(start, &[]);
        let panel_end = self.code.offset(panels.index, columns);
        let panel_end = self.code.smaller(panel_end, end);
        let panel = Panel { start: panels.index, end: panel_end, last, memory, bytes };

        let groups = self.begin_groups(&panel);
        let identities: Vec<Group> = pass.accs.iter().map(|acc| self.identity(acc, lanes)).collect();
        self.keep(&identities, groups.address);
        self.end_groups(&groups, &panel);

        let zero = self.code.index(0);
        let all = self.code.index(rows);
        let blocks = self.code.begin_loop(zero, &[]);
        let block_end = self.code.offset(blocks.index, ROWS);
        let block_end = self.code.smaller(block_end, all);
        let groups = self.begin_groups(&panel);
        let entered = self.enter(Axis { value: Some(groups.index), plus: 0 }, None);
        self.level(0, self.axes.len());
        let accs = Accs::Carried(self.kept(&identities, groups.address));
        let this = self.code.begin_loop(blocks.index, &accs.carried());
        let inside = accs.with(&this.carried);
        let after = self.at(0, 0, Axis { value: Some(this.index), plus: 0 }, inside, None);
        let out = self.code.end_loop(&this, block_end, 1, &after.carried());
        if let Accs::Carried(groups_after) = accs.with(&out) {
            self.keep(&groups_after, groups.address);
        }
        self.leave(entered);
        self.end_groups(&groups, &panel);
        self.code.end_loop(&blocks, all, ROWS, &[]);

        let groups = self.begin_groups(&panel);
        let entered = self.enter(Axis { value: Some(groups.index), plus: 0 }, None);
        let results = self.kept(&identities, groups.address);
        let first = plan.passes[0].first + pass.insts.len();
        for (i, result) in results.into_iter().enumerate() {
            self.hold_result(first + i, result);
        }
        self.passes_from(1);
        self.leave(entered);
        self.end_groups(&groups, &panel);
        self.code.end_loop(&panels, end, columns, &[]);
    }

    fn begin_groups(&mut self, panel: &Panel) -> Groups {
        let this = self.code.begin_loop(panel.start, &[]);
        // The last group is moved back; it is kept where it would be if it were not.
        let index = self.code.smaller(this.index, panel.last);
        let column = self.code.f.ins().isub(this.index, panel.start);
        let offset = self.code.scale(column, panel.bytes);
        let address = self.code.f.ins().iadd(panel.memory, offset);
        Groups { this, index, address }
    }

    fn end_groups(&mut self, groups: &Groups, panel: &Panel) {
        self.code.end_loop(&groups.this, panel.end, self.plan.points, &[]);
    }

    fn keep(&mut self, groups: &[Group], address: Value) {
        let mut disp = 0;
        for group in groups {
            self.code.keep(group, address, disp);
            disp += (group.v.len() * 16) as i32;
        }
    }

    /// Groups like `like`, as they were kept.
    fn kept(&mut self, like: &[Group], address: Value) -> Vec<Group> {
        let mut disp = 0;
        let mut load = |group: &Group| {
            let ty = group.form.ty(group.lanes);
            let v = (group.v.iter())
                .map(|_| {
                    let v = self.code.f.ins().load(ty, Code::memory(), address, disp);
                    disp += 16;
                    v
                })
                .collect();
            Group { form: group.form, lanes: group.lanes, v }
        };
        like.iter().map(&mut load).collect()
    }
}
