//! Random loop nests.

use super::Numbers;
use egrad_ir::kernel::{Acc, Affine, Along, Body, Inst, Kernel, LoopNest, Operand, Pass, Positions, Store, ValueId};
use egrad_ir::{Binary, Compare, Dtype, Literal, Numerics, Reduce, Unary};

/// Makes a kernel from random numbers; `size` bounds its passes and instructions.
pub(crate) struct Maker {
    numbers: Numbers,
    size: usize,
    /// Only functions whose results change little when their arguments do.
    smooth: bool,
    domain: Vec<usize>,
    operands: Vec<Operand>,
    /// The element type of every value so far.
    dtypes: Vec<Dtype>,
    /// Values later passes may use.
    lasting: Vec<usize>,
    /// What has been stored: operand, index, loops.
    stored: Vec<(usize, Affine, Vec<usize>)>,
}

impl Maker {
    /// The kernel of that seed; not all are valid.
    pub(crate) fn kernel(seed: u64, size: usize, smooth: bool) -> Kernel {
        let mut numbers = Numbers(seed);
        let domain = (0..numbers.below(4)).map(|_| extent(&mut numbers)).collect();
        let mut maker = Maker {
            numbers,
            size,
            smooth,
            domain,
            operands: Vec::new(),
            dtypes: Vec::new(),
            lasting: Vec::new(),
            stored: Vec::new(),
        };
        let count = 1 + maker.numbers.below(size.min(4));
        let passes: Vec<Pass> = (0..count).map(|p| maker.pass(p + 1 == count)).collect();
        Kernel {
            name: "random".into(),
            body: Body::Loops(LoopNest { domain: maker.domain, passes }),
            operands: maker.operands,
            numerics: Numerics::Strict,
        }
    }

    fn pass(&mut self, last: bool) -> Pass {
        let loops: Vec<usize> = match self.numbers.below(3) {
            0 => Vec::new(),
            n => (0..n).map(|_| extent(&mut self.numbers)).collect(),
        };
        let first = self.dtypes.len();
        let mut pass = Pass { loops, ..Pass::default() };
        for _ in 0..1 + self.numbers.below(self.size) {
            let inst = self.inst(&pass, first);
            pass.insts.push(inst);
        }
        let own: Vec<usize> = (first..self.dtypes.len()).collect();
        if pass.loops.is_empty() {
            self.lasting.extend(&own);
        } else {
            for _ in 0..self.numbers.below(3) {
                let value = own[self.numbers.below(own.len())];
                let dtype = self.dtypes[value];
                if dtype != Dtype::Bool && dtype.computed() == dtype {
                    let kind = match self.numbers.below(6) {
                        0 | 1 => Reduce::Max,
                        2 if !self.smooth => Reduce::Prod,
                        _ => Reduce::Sum,
                    };
                    pass.accs.push(Acc { kind, value: ValueId::from(value) });
                }
            }
            for acc in &pass.accs {
                self.lasting.push(self.dtypes.len());
                self.dtypes.push(self.dtypes[acc.value.index()]);
            }
        }
        for _ in 0..self.numbers.below(3) + usize::from(last) {
            let mut choice: Vec<usize> = own.clone();
            choice.extend(self.lasting.iter().filter(|v| **v < first));
            let value = choice[self.numbers.below(choice.len())];
            self.store(&mut pass, value);
        }
        pass
    }

    /// A store to an operand of its own, dense, its axes in any order.
    fn store(&mut self, pass: &mut Pass, value: usize) {
        let extents: Vec<usize> = self.domain.iter().chain(&pass.loops).copied().collect();
        // The loops stay innermost, so that one domain point stores one stretch.
        let mut order: Vec<usize> = (0..extents.len()).collect();
        let d = self.domain.len();
        for i in (1..d).rev() {
            order.swap(i, self.numbers.below(i + 1));
        }
        for i in (d + 1..extents.len()).rev() {
            order.swap(i, d + self.numbers.below(i + 1 - d));
        }
        let mut index = Affine { offset: 0, strides: extents.iter().map(|_| 0).collect() };
        let mut len = 1;
        for axis in order.into_iter().rev() {
            index.strides[axis] = len;
            len *= extents[axis];
        }
        let operand = self.operands.len();
        self.operands.push(Operand { dtype: self.dtypes[value], len, written: true });
        self.stored.push((operand, index.clone(), pass.loops.clone()));
        pass.stores.push(Store { operand, index, value: ValueId::from(value) });
    }

    fn inst(&mut self, pass: &Pass, first: usize) -> Inst {
        loop {
            let visible: Vec<usize> =
                (first..self.dtypes.len()).chain(self.lasting.iter().copied().filter(|v| *v < first)).collect();
            let any = |m: &mut Numbers| (!visible.is_empty()).then(|| visible[m.below(visible.len())]);
            let (inst, dtype) = match self.numbers.below(10) {
                0 => match self.load_within(pass, &visible) {
                    Some(load) => load,
                    None => continue,
                },
                1..3 => match self.load(pass) {
                    Some(load) => load,
                    None => continue,
                },
                3 => {
                    let dtype = Dtype::ALL[self.numbers.below(Dtype::ALL.len())];
                    (Inst::Literal(Literal::new(dtype, 3.0 * self.numbers.unit())), dtype)
                }
                4 if !self.smooth && self.numbers.below(2) == 0 => (Inst::Index(self.affine(pass).0), Dtype::I32),
                4 => {
                    let count = 1 + self.numbers.below(2);
                    let along = (0..count).map(|_| Along { by: 0, ..self.along(pass, &visible) }).collect();
                    (Inst::Within(along), Dtype::Bool)
                }
                n => {
                    let Some(x) = any(&mut self.numbers) else { continue };
                    match self.function(n, x, &visible) {
                        Some(inst) => inst,
                        None => continue,
                    }
                }
            };
            self.dtypes.push(dtype);
            return inst;
        }
    }

    fn function(&mut self, n: usize, x: usize, visible: &[usize]) -> Option<(Inst, Dtype)> {
        let of = |m: &mut Maker, dtype: Dtype| {
            let all: Vec<usize> = visible.iter().copied().filter(|v| m.dtypes[*v] == dtype).collect();
            (!all.is_empty()).then(|| all[m.numbers.below(all.len())])
        };
        let dtype = self.dtypes[x];
        let moved = |op| matches!(op, Unary::StopGradient | Unary::Barrier);
        // Of these the kernels know no arithmetic.
        let short = dtype.computed() != dtype;
        let id = ValueId::from;
        Some(match n {
            4 | 5 => {
                let smooth = [Unary::Neg, Unary::Abs, Unary::Sin, Unary::Cos, Unary::Tanh, Unary::Logistic];
                let all = if self.smooth { &smooth[..] } else { Unary::ALL };
                let op = all[self.numbers.below(all.len())];
                let takes = match op {
                    Unary::Abs => dtype != Dtype::Bool && !dtype.is_unsigned(),
                    Unary::Neg | Unary::Sign => dtype != Dtype::Bool,
                    Unary::Not => !dtype.is_float(),
                    Unary::StopGradient | Unary::Barrier => true,
                    _ => dtype.is_float(),
                };
                (takes && (!short || moved(op))).then_some((Inst::Unary(op, id(x)), dtype))?
            }
            6 | 7 if short => return None,
            6 | 7 => {
                let y = of(self, dtype)?;
                let smooth = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min];
                let all = if self.smooth { &smooth[..] } else { Binary::ALL };
                let op = all[self.numbers.below(all.len())];
                let takes = match op {
                    Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem | Binary::Max | Binary::Min => {
                        dtype != Dtype::Bool
                    }
                    Binary::Pow | Binary::Atan2 => dtype.is_float(),
                    Binary::And | Binary::Or | Binary::Xor => !dtype.is_float(),
                    Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => dtype.is_integer(),
                };
                takes.then_some((Inst::Binary(op, id(x), id(y)), dtype))?
            }
            8 if self.numbers.below(2) == 0 => {
                let (p, y) = (of(self, Dtype::Bool)?, of(self, dtype)?);
                (Inst::Select(id(p), id(x), id(y)), dtype)
            }
            8 => {
                let to = Dtype::ALL[self.numbers.below(Dtype::ALL.len())];
                if self.smooth && !(dtype.is_float() && to.is_float()) {
                    return None;
                }
                (Inst::Convert(to, id(x)), to)
            }
            _ if self.smooth || short => return None,
            _ if self.numbers.below(2) == 0 => {
                let y = of(self, dtype)?;
                (Inst::Compare(Compare::ALL[self.numbers.below(6)], id(x), id(y)), Dtype::Bool)
            }
            _ => {
                let n = self.numbers.below(9) as i32 - 3;
                let takes = dtype.is_float() || (dtype.is_integer() && n >= 0);
                takes.then_some((Inst::IntegerPow(n, id(x)), dtype))?
            }
        })
    }

    /// Any index of the axes in scope, and one more than the largest it makes.
    fn affine(&mut self, pass: &Pass) -> (Affine, usize) {
        let extents: Vec<usize> = self.domain.iter().chain(&pass.loops).copied().collect();
        let mut index = Affine { offset: self.numbers.below(3), strides: extents.iter().map(|_| 0).collect() };
        let mut dense = 1;
        let kind = self.numbers.below(3);
        for axis in (0..extents.len()).rev() {
            index.strides[axis] = match kind {
                0 => dense,
                1 => [0, 1, 2, 5][self.numbers.below(4)],
                _ => [0, dense][self.numbers.below(2)],
            };
            dense *= extents[axis];
        }
        let largest: usize = index.strides.iter().zip(&extents).map(|(s, n)| s * (n - 1)).sum();
        let end = index.offset + largest + 1;
        (index, end)
    }

    /// A position that is inside now and then, or always.
    fn along(&mut self, pass: &Pass, visible: &[usize]) -> Along {
        let extents: Vec<usize> = self.domain.iter().chain(&pass.loops).copied().collect();
        let strides = (0..extents.len()).map(|_| [0, 0, 1, 1, -1, 3, -2][self.numbers.below(7)]).collect();
        let integers: Vec<usize> = visible.iter().copied().filter(|v| self.dtypes[*v] == Dtype::I32).collect();
        let added = !integers.is_empty() && self.numbers.below(3) == 0;
        Along {
            offset: self.numbers.below(40) as isize - 15,
            strides,
            plus: added.then(|| ValueId::from(integers[self.numbers.below(integers.len())])),
            extent: 1 + self.numbers.below(30),
            by: [0, 1, 1, 1, 2, 7][self.numbers.below(6)],
        }
    }

    fn load_within(&mut self, pass: &Pass, visible: &[usize]) -> Option<(Inst, Dtype)> {
        let count = 1 + self.numbers.below(2);
        let along: Positions = (0..count).map(|_| self.along(pass, visible)).collect();
        let (index, len) = match self.numbers.below(2) {
            0 => self.affine(pass),
            _ => (Affine { offset: 0, strides: self.domain.iter().chain(&pass.loops).map(|_| 0).collect() }, 1),
        };
        let len = len + along.iter().map(|a| a.by * (a.extent - 1)).sum::<usize>();
        if len > 1 << 16 {
            return None;
        }
        let dtype = Dtype::ALL[self.numbers.below(Dtype::ALL.len())];
        self.operands.push(Operand { dtype, len, written: false });
        let operand = self.operands.len() - 1;
        Some((Inst::LoadWithin { operand, index, along }, dtype))
    }

    fn load(&mut self, pass: &Pass) -> Option<(Inst, Dtype)> {
        if self.numbers.below(4) == 0 {
            // What an earlier pass stored at this point.
            let again: Vec<_> = self.stored.iter().filter(|(_, _, loops)| *loops == pass.loops).cloned().collect();
            if !again.is_empty() {
                let (operand, index, _) = again[self.numbers.below(again.len())].clone();
                return Some((Inst::Load { operand, index }, self.operands[operand].dtype));
            }
        }
        let (index, len) = self.affine(pass);
        if len > 1 << 16 {
            return None;
        }
        let old = self.operands.iter().position(|o| !o.written && o.len >= len);
        let operand = match old {
            Some(operand) if self.numbers.below(3) == 0 => operand,
            _ => {
                let dtype = Dtype::ALL[self.numbers.below(Dtype::ALL.len())];
                self.operands.push(Operand { dtype, len, written: false });
                self.operands.len() - 1
            }
        };
        Some((Inst::Load { operand, index }, self.operands[operand].dtype))
    }
}

fn extent(numbers: &mut Numbers) -> usize {
    match numbers.below(4) {
        0 => 1 + numbers.below(3),
        1 => [4, 8, 16][numbers.below(3)],
        _ => 1 + numbers.below(21),
    }
}

/// How many instructions running a loop nest takes.
pub(crate) fn work(kernel: &Kernel) -> usize {
    let Body::Loops(nest) = &kernel.body else { panic!("{kernel} is no loop nest") };
    let points = |pass: &Pass| nest.domain.iter().chain(&pass.loops).product::<usize>();
    nest.passes.iter().map(|pass| points(pass) * (pass.insts.len() + 1)).sum()
}
