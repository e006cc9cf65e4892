//! Scatters and sorts as loop nests, which need neither order nor atomic operations: every element
//! of the result looks at all that might concern it. That takes as many steps as the axis is long
//! times what is taken (or the axis again), and gives the same result on every device.

use egrad_ir::kernel::{Acc, Affine, Argsort, Body, Inst, Kernel, LoopNest, Operand, Pass, Scatter, Store, ValueId};
use egrad_ir::op::{Binary, Compare, Reduce, Unary};
use egrad_ir::schedule::Buffer;
use egrad_ir::{Dtype, Literal, scalar};

/// What a scatter or sort becomes.
pub(super) struct Rows {
    /// In order; with each its operands among those of the kernel and then `between`.
    pub(super) kernels: Vec<(Kernel, Vec<usize>)>,
    /// Buffers between them.
    pub(super) between: Vec<Buffer>,
}

/// The loop nests of a scatter or sort; `None` for other kernels.
pub(super) fn loops(kernel: &Kernel) -> Option<Rows> {
    match &kernel.body {
        Body::Scatter(s) => Some(scatter(kernel, s)),
        Body::Argsort(s) => Some(argsort(kernel, s)),
        Body::Loops(_)
        | Body::Contract(_)
        | Body::Call(_)
        | Body::Scan(_)
        | Body::While(_)
        | Body::Switch(_)
        | Body::Linalg(_)
        | Body::Print(_) => None,
    }
}

fn affine(strides: &[usize]) -> Affine {
    Affine { offset: 0, strides: strides.into() }
}

/// A pass in the making; its first value has that number.
struct Making {
    pass: Pass,
    next: usize,
}

impl Making {
    fn new(loops: Vec<usize>, next: usize) -> Making {
        Making { pass: Pass { loops, ..Pass::default() }, next }
    }

    fn inst(&mut self, inst: Inst) -> ValueId {
        self.pass.insts.push(inst);
        self.next += 1;
        ValueId::from(self.next - 1)
    }

    fn load(&mut self, operand: usize, strides: &[usize]) -> ValueId {
        self.inst(Inst::Load { operand, index: affine(strides) })
    }

    fn binary(&mut self, op: Binary, x: ValueId, y: ValueId) -> ValueId {
        self.inst(Inst::Binary(op, x, y))
    }

    fn compare(&mut self, op: Compare, x: ValueId, y: ValueId) -> ValueId {
        self.inst(Inst::Compare(op, x, y))
    }

    /// Ends with an accumulator; its value.
    fn reduce(mut self, kind: Reduce, value: ValueId) -> (Pass, ValueId) {
        self.pass.accs.push(Acc { kind, value });
        (self.pass, ValueId::from(self.next))
    }
}

/// Every element combines itself with the updates whose index is its own.
fn scatter(kernel: &Kernel, s: &Scatter) -> Rows {
    let dtype = kernel.operands[s.x].dtype;
    let row = [s.between * s.length * s.inner, s.length * s.inner, s.inner, 1];
    let mut passes = Vec::new();
    let mut next = 0;
    let mut combined = None;
    if s.taken > 0 {
        let mut each = Making::new(vec![s.taken], 0);
        let index = each.load(s.indices, &[s.taken, 0, 0, 0, 1]);
        let own = each.inst(Inst::Index(affine(&[0, 0, 1, 0, 0])));
        let here = each.compare(Compare::Eq, index, own);
        let update = each.load(s.updates, &[s.between * s.taken * s.inner, s.taken * s.inner, 0, 1, s.inner]);
        let nothing = scalar::identity(s.kind, dtype).unwrap_or(Literal::new(dtype, 0.0));
        let nothing = each.inst(Inst::Literal(nothing));
        let value = each.inst(Inst::Select(here, update, nothing));
        let (pass, acc) = each.reduce(s.kind, value);
        passes.push(pass);
        next = acc.index() + 1;
        combined = Some(acc);
    }
    let mut last = Making::new(Vec::new(), next);
    let mut value = last.load(s.x, &row);
    if let Some(acc) = combined {
        let op = match s.kind {
            Reduce::Sum => Binary::Add,
            Reduce::Max => Binary::Max,
            Reduce::Prod => Binary::Mul,
        };
        value = last.binary(op, value, acc);
    }
    last.pass.stores.push(Store { operand: s.result, index: affine(&row), value });
    passes.push(last.pass);
    let nest = LoopNest { domain: vec![s.batch, s.between, s.length, s.inner], passes };
    let whole = Kernel { body: Body::Loops(nest), ..kernel.clone() };
    Rows { kernels: vec![(whole, (0..kernel.operands.len()).collect())], between: Vec::new() }
}

/// Every element counts those that come before it, which is where it goes; then every place looks
/// for what goes there.
fn argsort(kernel: &Kernel, s: &Argsort) -> Rows {
    let Operand { dtype, len, .. } = kernel.operands[s.x];
    let (own, other) = ([s.length * s.inner, s.inner, 1, 0], [s.length * s.inner, 0, 1, s.inner]);
    let domain = vec![s.outer, s.length, s.inner];
    let mut each = Making::new(vec![s.length], 0);
    let (mut x, mut y) = (each.load(0, &own), each.load(0, &other));
    if dtype == Dtype::Bool {
        x = each.inst(Inst::Convert(Dtype::I32, x));
        y = each.inst(Inst::Convert(Dtype::I32, y));
    }
    let (i, j) = (each.inst(Inst::Index(affine(&[0, 1, 0, 0]))), each.inst(Inst::Index(affine(&[0, 0, 0, 1]))));
    let (less, mut equal) = (each.compare(Compare::Lt, y, x), each.compare(Compare::Eq, y, x));
    let mut before = less;
    if dtype.is_float() {
        // NaN after all others, and like each other.
        let (x_nan, y_nan) = (each.compare(Compare::Ne, x, x), each.compare(Compare::Ne, y, y));
        let y_number = each.inst(Inst::Unary(Unary::Not, y_nan));
        let last = each.binary(Binary::And, x_nan, y_number);
        before = each.binary(Binary::Or, before, last);
        let both = each.binary(Binary::And, x_nan, y_nan);
        equal = each.binary(Binary::Or, equal, both);
    }
    let earlier = each.compare(Compare::Lt, j, i);
    let tied = each.binary(Binary::And, equal, earlier);
    let before = each.binary(Binary::Or, before, tied);
    let one = each.inst(Inst::Convert(Dtype::I32, before));
    let (count, rank) = each.reduce(Reduce::Sum, one);
    let store = |value| Pass { stores: vec![Store { operand: 1, index: affine(&own[..3]), value }], ..Pass::default() };
    let operands = |dtype| [(dtype, false), (Dtype::I32, true)].map(|(dtype, written)| Operand { dtype, len, written });
    let of = |name: &str, dtype, passes| Kernel {
        name: format!("{}_{name}", kernel.name),
        operands: operands(dtype).into(),
        body: Body::Loops(LoopNest { domain: domain.clone(), passes }),
        numerics: kernel.numerics,
    };
    let ranks = of("rank", dtype, vec![count, store(rank)]);

    let mut each = Making::new(vec![s.length], 0);
    let rank = each.load(0, &other);
    let (i, j) = (each.inst(Inst::Index(affine(&[0, 1, 0, 0]))), each.inst(Inst::Index(affine(&[0, 0, 0, 1]))));
    let here = each.compare(Compare::Eq, rank, i);
    let zero = each.inst(Inst::Literal(Literal::new(Dtype::I32, 0.0)));
    let value = each.inst(Inst::Select(here, j, zero));
    let (find, found) = each.reduce(Reduce::Sum, value);
    let places = of("place", Dtype::I32, vec![find, store(found)]);
    let between = kernel.operands.len();
    Rows {
        kernels: vec![(ranks, vec![s.x, between]), (places, vec![between, s.result])],
        between: vec![Buffer { dtype: Dtype::I32, len }],
    }
}
