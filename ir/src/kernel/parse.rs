//! The parser of kernels' text.

use super::{
    Acc, Affine, Along, Argsort, Body, Call, Contract, Inst, Kernel, Linalg, LoopNest, Matrix, Operand, Pass,
    Positions, Print, Scan, Scatter, Slot, Store, Switch, ValueId, While,
};
use crate::error::Result;
use crate::op::{Binary, Compare, Factor, Reduce, Triangle, Unary};
use crate::schedule::{Buffer, BufferId, Schedule, Step};
use crate::shape::Shape;
use crate::text::cursor::{Cursor, Token, literal, wrong};
use crate::{Aval, Numerics};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

impl Kernel {
    /// Reads the text a kernel prints as. What it means is not judged: see
    /// [`verify`](Kernel::verify).
    ///
    /// # Errors
    /// [`Error::Parse`](crate::Error::Parse) with the place, what was found there and what was
    /// expected.
    ///
    /// ```
    /// use egrad_ir::kernel::Kernel;
    /// let text = "kernel double(b0: read f32[4], b1: write f32[4]) fast {
    ///   parallel p0 in 0..4 {
    ///     once {
    ///       %0 = load b0[p0]
    ///       %1 = add %0 %0
    ///       store b1[p0] = %1
    ///     }
    ///   }
    /// }
    /// ";
    /// let kernel = Kernel::parse(text)?;
    /// kernel.verify()?;
    /// assert_eq!(kernel.to_string(), text);
    /// # Ok::<(), egrad_ir::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Kernel> {
        let mut parser = Parser { cursor: Cursor::new(text)?, domain: 0, length: text.len() };
        let kernel = parser.kernel(MOST_NESTED)?;
        match parser.cursor.peek() {
            Token::End => Ok(kernel),
            _ => Err(parser.cursor.expected("the end of the text after the kernel")),
        }
    }
}

/// How deep calls in a kernel's text may nest.
const MOST_NESTED: usize = 64;

struct Parser<'a> {
    cursor: Cursor<'a>,
    /// How many axes the domain has.
    domain: usize,
    /// How long the text is.
    length: usize,
}

impl Parser<'_> {
    /// A kernel in which calls nest at most `depth` deep.
    fn kernel(&mut self, depth: usize) -> Result<Kernel> {
        self.cursor.keyword("kernel")?;
        let name = self.cursor.name("the kernel's name")?;
        self.cursor.expect(Token::Mark('('), "that starts the operands")?;
        let mut operands = Vec::new();
        while !self.cursor.eat(Token::Mark(')'))? {
            if !operands.is_empty() {
                self.cursor.expect(Token::Mark(','), "or `)` after an operand")?;
            }
            let want = format!("operand `b{}`", operands.len());
            if self.position('b') != Some(operands.len()) {
                return Err(self.cursor.expected(&want));
            }
            self.cursor.next()?;
            self.cursor.expect(Token::Mark(':'), "and what the operand is for")?;
            let written = self.choice("read", "write")?;
            let dtype = self.cursor.dtype()?;
            self.cursor.expect(Token::Mark('['), "and how many elements there are")?;
            let len = self.cursor.number("a number of elements")?;
            self.cursor.expect(Token::Mark(']'), "after the number of elements")?;
            operands.push(Operand { dtype, len, written });
        }
        let numerics = if self.choice("fast", "strict")? { Numerics::Strict } else { Numerics::Fast };
        self.cursor.expect(Token::Mark('{'), "that starts the kernel's body")?;
        let body = match self.cursor.peek() {
            Token::Word("parallel") => Body::Loops(self.loops()?),
            Token::Word("contract") => Body::Contract(self.contract()?),
            Token::Word("call") => Body::Call(self.call(depth)?),
            Token::Word("scan") => Body::Scan(self.scan(depth)?),
            Token::Word("while") => Body::While(self.while_loop(depth)?),
            Token::Word("switch") => Body::Switch(self.switch(depth)?),
            Token::Word("scatter") => Body::Scatter(self.scatter()?),
            Token::Word("argsort") => Body::Argsort(self.argsort()?),
            Token::Word("print") => Body::Print(self.print()?),
            Token::Word("linalg") => Body::Linalg(self.linalg()?),
            _ => {
                let all = "`parallel`, `contract`, `call`, `scatter`, `argsort`, `linalg`, `print`, `scan`, `while` or `switch`";
                return Err(self.cursor.expected(all));
            }
        };
        self.cursor.expect(Token::Mark('}'), "that ends the kernel")?;
        Ok(Kernel { name, operands, body, numerics })
    }

    /// Takes one of two words; whether it is the second.
    fn choice(&mut self, first: &str, second: &str) -> Result<bool> {
        if self.cursor.eat(Token::Word(first))? {
            return Ok(false);
        }
        if self.cursor.eat(Token::Word(second))? {
            Ok(true)
        } else {
            Err(self.cursor.expected(&format!("`{first}` or `{second}`")))
        }
    }

    /// The number in the current word, which is that letter and a number.
    fn position(&self, letter: char) -> Option<usize> {
        match self.cursor.peek() {
            Token::Word(word) => word.strip_prefix(letter)?.parse().ok(),
            _ => None,
        }
    }

    fn loops(&mut self) -> Result<LoopNest> {
        self.cursor.keyword("parallel")?;
        let domain = self.axes('p')?;
        self.domain = domain.len();
        self.cursor.expect(Token::Mark('{'), "that starts the passes")?;
        let mut passes = Vec::new();
        let mut next = 0u32;
        while !self.cursor.eat(Token::Mark('}'))? {
            passes.push(self.pass(&mut next)?);
        }
        Ok(LoopNest { domain, passes })
    }

    /// `p0 in 0..4, p1 in 0..8`
    fn axes(&mut self, letter: char) -> Result<Vec<usize>> {
        let mut axes = Vec::new();
        while self.cursor.peek() != Token::Mark('{') {
            if !axes.is_empty() {
                self.cursor.expect(Token::Mark(','), "or `{` after an axis")?;
            }
            if self.position(letter) != Some(axes.len()) {
                return Err(self.cursor.expected(&format!("axis `{letter}{}`", axes.len())));
            }
            if axes.len() == Shape::MAX_RANK {
                return Err(wrong(self.cursor.span(), format!("more than {} axes", Shape::MAX_RANK)));
            }
            self.cursor.next()?;
            self.cursor.keyword("in")?;
            self.cursor.expect(Token::Number("0"), "where the axis starts")?;
            self.cursor.expect(Token::Dots, "and the axis's length")?;
            axes.push(self.cursor.number("the axis's length")?);
        }
        Ok(axes)
    }

    fn pass(&mut self, next: &mut u32) -> Result<Pass> {
        let at = self.cursor.span();
        let loops = match self.cursor.word("`once`, `for` or `}`")? {
            "once" => Vec::new(),
            "for" => {
                let loops = self.axes('r')?;
                if loops.is_empty() {
                    return Err(self.cursor.expected("axis `r0`"));
                }
                loops
            }
            _ => return Err(wrong(at, "a pass starts with `once` or `for`")),
        };
        let mut pass = Pass { loops, ..Pass::default() };
        let rank = self.domain + pass.loops.len();
        self.cursor.expect(Token::Mark('{'), "that starts the pass")?;
        loop {
            match self.cursor.peek() {
                Token::Mark('}') => {
                    self.cursor.next()?;
                    return Ok(pass);
                }
                Token::Word("store") if pass.accs.is_empty() => {
                    self.cursor.next()?;
                    let (operand, index) = self.element(rank)?;
                    self.cursor.expect(Token::Mark('='), "and the value stored")?;
                    pass.stores.push(Store { operand, index, value: self.value()? });
                }
                Token::Value(id) if id == *next => {
                    self.cursor.next()?;
                    *next += 1;
                    self.cursor.expect(Token::Mark('='), "and what the value is")?;
                    self.definition(&mut pass, rank)?;
                }
                _ => {
                    let what = format!("`%{next} = …`, `store` (before the reductions) or `}}`");
                    return Err(self.cursor.expected(&what));
                }
            }
        }
    }

    fn definition(&mut self, pass: &mut Pass, rank: usize) -> Result<()> {
        let at = self.cursor.span();
        let name = self.cursor.word("an instruction")?;
        if let Some(kind) = Reduce::parse(name) {
            pass.accs.push(Acc { kind, value: self.value()? });
            return Ok(());
        }
        if !pass.accs.is_empty() || !pass.stores.is_empty() {
            return Err(wrong(at, "a pass's instructions come before its stores, and those before its reductions"));
        }
        let inst = if let Some(u) = Unary::parse(name) {
            Inst::Unary(u, self.value()?)
        } else if let Some(b) = Binary::parse(name) {
            Inst::Binary(b, self.value()?, self.value()?)
        } else if let Some(c) = Compare::parse(name) {
            Inst::Compare(c, self.value()?, self.value()?)
        } else {
            match name {
                "constant" => {
                    let dtype = self.cursor.dtype()?;
                    let at = self.cursor.span();
                    let item = self.cursor.item(0)?;
                    Inst::Literal(literal(dtype, &item).map_err(|e| wrong(at, e))?)
                }
                "index" => Inst::Index(self.affine(rank)?),
                "load" => {
                    let (operand, index) = self.element(rank)?;
                    if self.cursor.eat(Token::Word("at"))? {
                        Inst::LoadWithin { operand, index, along: self.positions(rank)? }
                    } else {
                        Inst::Load { operand, index }
                    }
                }
                "within" => Inst::Within(self.positions(rank)?),
                "select" => Inst::Select(self.value()?, self.value()?, self.value()?),
                "integer_pow" => {
                    let n = self.cursor.number("the power, an i32")?;
                    Inst::IntegerPow(n, self.value()?)
                }
                "convert" => {
                    let dtype = self.cursor.dtype()?;
                    Inst::Convert(dtype, self.value()?)
                }
                _ => return Err(wrong(at, format!("there is no instruction {}", Token::Word(name)))),
            }
        };
        pass.insts.push(inst);
        Ok(())
    }

    fn value(&mut self) -> Result<ValueId> {
        self.cursor.value("a value, such as `%0`").map(ValueId)
    }

    /// `b0`
    fn operand(&mut self) -> Result<usize> {
        let operand = self.position('b').ok_or_else(|| self.cursor.expected("an operand, such as `b0`"))?;
        self.cursor.next()?;
        Ok(operand)
    }

    /// `b0[5*p0 + r0]`
    fn element(&mut self, rank: usize) -> Result<(usize, Affine)> {
        let operand = self.operand()?;
        self.cursor.expect(Token::Mark('['), "and an index")?;
        let index = self.affine(rank)?;
        self.cursor.expect(Token::Mark(']'), "or `+` after the index")?;
        Ok((operand, index))
    }

    /// `5*p0 + r0 + 3`: each axis at most once, the constant part last.
    fn affine(&mut self, rank: usize) -> Result<Affine> {
        let mut index = Affine { offset: 0, strides: SmallVec::from_elem(0, rank) };
        loop {
            let stride = match self.cursor.peek() {
                Token::Number(_) => Some(self.cursor.number("a stride or an offset")?),
                _ => None,
            };
            if let Some(offset) = stride
                && !self.cursor.eat(Token::Mark('*'))?
            {
                index.offset = offset;
                return Ok(index);
            }
            let axis = self.axis(rank)?;
            if index.strides[axis] != 0 {
                return Err(wrong(self.cursor.span(), "this axis is already part of the index"));
            }
            self.cursor.next()?;
            index.strides[axis] = stride.unwrap_or(1);
            if !self.cursor.eat(Token::Mark('+'))? {
                return Ok(index);
            }
        }
    }

    /// `r0 + -2 in 0..5 by 1, %4 in 0..7 by 6`
    fn positions(&mut self, rank: usize) -> Result<Positions> {
        let mut positions = Positions::new();
        loop {
            positions.push(self.along(rank)?);
            if !self.cursor.eat(Token::Mark(','))? {
                return Ok(positions);
            }
        }
    }

    /// `-1*p0 + r0 + %4 + -2 in 0..5 by 1`: axes, the value to add, the constant part.
    fn along(&mut self, rank: usize) -> Result<Along> {
        let mut along = Along { strides: SmallVec::from_elem(0, rank), ..Along::default() };
        loop {
            let stride = match self.cursor.peek() {
                Token::Number(_) => Some(self.cursor.number("a stride or an offset")?),
                _ => None,
            };
            if let Some(offset) = stride
                && !self.cursor.eat(Token::Mark('*'))?
            {
                along.offset = offset;
                break;
            }
            if let Token::Value(id) = self.cursor.peek() {
                if along.plus.is_some() || stride.is_some() {
                    return Err(self.cursor.expected("one value to add"));
                }
                self.cursor.next()?;
                along.plus = Some(ValueId(id));
            } else {
                let axis = self.axis(rank)?;
                if along.strides[axis] != 0 {
                    return Err(wrong(self.cursor.span(), "this axis is already part of the position"));
                }
                self.cursor.next()?;
                along.strides[axis] = stride.unwrap_or(1);
            }
            if !self.cursor.eat(Token::Mark('+'))? {
                break;
            }
        }
        self.cursor.keyword("in")?;
        self.cursor.expect(Token::Number("0"), "where the positions start")?;
        self.cursor.expect(Token::Dots, "and how many there are")?;
        along.extent = self.cursor.number("a number of positions")?;
        if self.cursor.eat(Token::Word("by"))? {
            along.by = self.cursor.number("a number of elements")?;
        }
        Ok(along)
    }

    /// The axis in scope that comes next, not taken yet.
    fn axis(&self, rank: usize) -> Result<usize> {
        let axis = self.position('p').filter(|p| *p < self.domain);
        let axis = axis.or_else(|| self.position('r')?.checked_add(self.domain).filter(|a| *a < rank));
        axis.ok_or_else(|| self.cursor.expected("an axis in scope (`p0`, `r0`) or a number"))
    }

    fn contract(&mut self) -> Result<Contract> {
        self.cursor.keyword("contract")?;
        let dtype = self.cursor.dtype()?;
        self.cursor.keyword("batch")?;
        let batch = self.cursor.numbers()?.to_vec();
        let m = self.field("m")?;
        let n = self.field("n")?;
        let k = self.field("k")?;
        self.cursor.expect(Token::Mark('{'), "that starts the matrices")?;
        let a = self.matrix("a")?;
        let b = self.matrix("b")?;
        let c = self.matrix("c")?;
        self.cursor.expect(Token::Mark('}'), "that ends the contraction")?;
        Ok(Contract { dtype, batch, m, n, k, a, b, c })
    }

    fn scatter(&mut self) -> Result<Scatter> {
        self.cursor.keyword("scatter")?;
        let at = self.cursor.span();
        let kind = Reduce::parse(self.cursor.word("a reduction")?);
        let kind = kind.ok_or_else(|| wrong(at, "a scatter combines by a reduction, such as `reduce_sum`"))?;
        let [batch, between, length] = [self.field("batch")?, self.field("between")?, self.field("length")?];
        let [inner, taken] = [self.field("inner")?, self.field("taken")?];
        self.cursor.expect(Token::Mark('{'), "that starts the operands")?;
        let [x, indices] = [self.named("x")?, self.named("indices")?];
        let [updates, result] = [self.named("updates")?, self.named("result")?];
        self.cursor.expect(Token::Mark('}'), "that ends the scatter")?;
        Ok(Scatter { kind, batch, between, length, inner, taken, x, indices, updates, result })
    }

    fn argsort(&mut self) -> Result<Argsort> {
        self.cursor.keyword("argsort")?;
        let [outer, length, inner] = [self.field("outer")?, self.field("length")?, self.field("inner")?];
        self.cursor.expect(Token::Mark('{'), "that starts the operands")?;
        let [x, result] = [self.named("x")?, self.named("result")?];
        self.cursor.expect(Token::Mark('}'), "that ends the argsort")?;
        Ok(Argsort { outer, length, inner, x, result })
    }

    fn print(&mut self) -> Result<Print> {
        self.cursor.keyword("print")?;
        let format = self.cursor.name("a format")?;
        self.cursor.keyword("levels")?;
        let levels = self.cursor.numbers()?.to_vec();
        self.cursor.expect(Token::Mark('{'), "that starts the operands")?;
        let token = self.named("token")?;
        let mut values = Vec::new();
        while self.cursor.eat(Token::Word("value"))? {
            let operand = self.operand()?;
            self.cursor.keyword("shape")?;
            values.push((operand, self.cursor.numbers()?.to_vec()));
        }
        let result = self.named("result")?;
        self.cursor.expect(Token::Mark('}'), "that ends the print")?;
        Ok(Print { format, levels, token, values, result })
    }

    fn linalg(&mut self) -> Result<Linalg> {
        self.cursor.keyword("linalg")?;
        let at = self.cursor.span();
        let kind = match self.cursor.word("what is computed")? {
            "triangular_solve" => crate::Linalg::TriangularSolve(Triangle {
                lower: self.choice("upper", "lower")?,
                transpose: self.choice("plain", "transposed")?,
                unit: self.choice("read", "unit")?,
            }),
            "fft" => crate::Linalg::Fft { inverse: self.choice("forward", "inverse")? },
            name => match Factor::parse(name) {
                Some(factor) => crate::Linalg::Factor(factor),
                None => return Err(wrong(at, "`linalg` computes a factorisation, `triangular_solve` or `fft`")),
            },
        };
        let [batch, rows, columns] = [self.field("batch")?, self.field("rows")?, self.field("columns")?];
        self.cursor.expect(Token::Mark('{'), "that starts the operands")?;
        let read = match kind.arity() {
            1 => smallvec![self.named("x")?],
            _ => smallvec![self.named("a")?, self.named("b")?],
        };
        let result = self.named("result")?;
        self.cursor.expect(Token::Mark('}'), "that ends the operands")?;
        Ok(Linalg { kind, batch, rows, columns, read, result })
    }

    /// `x = b0`
    fn named(&mut self, name: &str) -> Result<usize> {
        self.cursor.keyword(name)?;
        self.cursor.expect(Token::Mark('='), "and the operand")?;
        self.operand()
    }

    /// Takes the word a call, loop or branch starts with; how deep others may nest in it.
    fn nested(&mut self, word: &str, depth: usize) -> Result<usize> {
        let at = self.cursor.span();
        self.cursor.keyword(word)?;
        depth.checked_sub(1).ok_or_else(|| wrong(at, format!("calls nest more than {MOST_NESTED} deep")))
    }

    fn scan(&mut self, depth: usize) -> Result<Scan> {
        let depth = self.nested("scan", depth)?;
        let reverse = self.choice("forward", "backward")?;
        let length = self.field("length")?;
        let consts = self.field("consts")?;
        let carry = self.field("carry")?;
        self.cursor.expect(Token::Mark('{'), "that starts the loop")?;
        let inputs = self.slots("input")?;
        let outputs = self.slots("output")?;
        let body = self.part("body", depth)?;
        self.cursor.expect(Token::Mark('}'), "that ends the loop")?;
        Ok(Scan { body, consts, carry, length, reverse, inputs, outputs })
    }

    fn while_loop(&mut self, depth: usize) -> Result<While> {
        let depth = self.nested("while", depth)?;
        let cond_consts = self.field("cond_consts")?;
        let body_consts = self.field("body_consts")?;
        self.cursor.expect(Token::Mark('{'), "that starts the loop")?;
        let inputs = self.slots("input")?;
        let outputs = self.slots("output")?;
        let cond = self.part("cond", depth)?;
        let body = self.part("body", depth)?;
        self.cursor.expect(Token::Mark('}'), "that ends the loop")?;
        Ok(While { cond, body, cond_consts, body_consts, inputs, outputs })
    }

    fn switch(&mut self, depth: usize) -> Result<Switch> {
        let depth = self.nested("switch", depth)?;
        let index = self.operand()?;
        self.cursor.expect(Token::Mark('{'), "that starts the branches")?;
        let inputs = self.slots("input")?;
        let outputs = self.slots("output")?;
        let mut branches = Vec::new();
        while !self.cursor.eat(Token::Mark('}'))? {
            branches.push(self.part("branch", depth)?);
        }
        Ok(Switch { branches, index, inputs, outputs })
    }

    /// `body { buffers and steps }`
    fn part(&mut self, role: &str, depth: usize) -> Result<Arc<Schedule>> {
        self.cursor.keyword(role)?;
        self.cursor.expect(Token::Mark('{'), "that starts the schedule")?;
        let schedule = self.schedule(depth)?;
        self.cursor.expect(Token::Mark('}'), "that ends the schedule")?;
        Ok(Arc::new(schedule))
    }

    fn call(&mut self, depth: usize) -> Result<Call> {
        let depth = self.nested("call", depth)?;
        self.cursor.keyword("count")?;
        let count = self.cursor.number("a number of elements")?;
        self.cursor.expect(Token::Mark('{'), "that starts the call")?;
        let inputs = self.slots("input")?;
        let outputs = self.slots("output")?;
        let callee = Arc::new(self.schedule(depth)?);
        self.cursor.expect(Token::Mark('}'), "that ends the call")?;
        Ok(Call { callee, count, inputs, outputs })
    }

    /// `input b0 stride 3`, any number of them.
    fn slots(&mut self, role: &str) -> Result<Vec<Slot>> {
        let mut slots = Vec::new();
        while self.cursor.eat(Token::Word(role))? {
            slots.push(Slot { operand: self.operand()?, stride: self.field("stride")? });
        }
        Ok(slots)
    }

    /// Buffers with their roles, then steps.
    fn schedule(&mut self, depth: usize) -> Result<Schedule> {
        let mut schedule = Schedule::default();
        // Inputs and outputs by their numbers, which buffers list in any order.
        let mut roles: [Vec<Option<(BufferId, Aval)>>; 2] = Default::default();
        while self.cursor.eat(Token::Word("buffer"))? {
            let id = BufferId::from(schedule.buffers.len());
            if self.position('b') != Some(id.index()) {
                return Err(self.cursor.expected(&format!("buffer `{id}`")));
            }
            self.cursor.next()?;
            self.cursor.expect(Token::Mark(':'), "and the buffer's type")?;
            let dtype = self.cursor.dtype()?;
            self.cursor.expect(Token::Mark('['), "and how many elements there are")?;
            let len = self.cursor.number("a number of elements")?;
            self.cursor.expect(Token::Mark(']'), "after the number of elements")?;
            schedule.buffers.push(Buffer { dtype, len });
            while self.cursor.eat(Token::Mark(','))? {
                let list = &mut roles[usize::from(self.choice("input", "output")?)];
                let at = self.cursor.span();
                let number: usize = self.cursor.number("the number of the input or output")?;
                // Every number is there in the end, so it is below the length of the text.
                if number >= self.length {
                    return Err(wrong(at, format!("there is no input or output {number}")));
                }
                list.resize(list.len().max(number + 1), None);
                let aval = self.cursor.aval()?;
                if list[number].replace((id, aval)).is_some() {
                    return Err(wrong(at, format!("{number} is another buffer already")));
                }
            }
        }
        let [inputs, outputs] = roles.map(|list| list.into_iter().collect::<Option<Vec<_>>>());
        let missing = || self.cursor.expected("a buffer for every input and output");
        schedule.inputs = inputs.ok_or_else(missing)?;
        schedule.outputs = outputs.ok_or_else(missing)?;
        while self.cursor.eat(Token::Word("step"))? {
            let at = self.cursor.span();
            if self.cursor.number::<usize>("the step's number")? != schedule.steps.len() {
                return Err(wrong(at, format!("this is step {}", schedule.steps.len())));
            }
            self.cursor.keyword("on")?;
            self.cursor.expect(Token::Mark('('), "that starts the buffers")?;
            let mut operands = Vec::new();
            while !self.cursor.eat(Token::Mark(')'))? {
                if !operands.is_empty() {
                    self.cursor.expect(Token::Mark(','), "or `)` after a buffer")?;
                }
                let (at, buffer) = (self.cursor.span(), self.operand()?);
                if buffer >= schedule.buffers.len() {
                    return Err(wrong(at, format!("there is no buffer `b{buffer}`")));
                }
                operands.push(BufferId::from(buffer));
            }
            self.cursor.expect(Token::Mark(':'), "and the kernel")?;
            let kernel = self.kernel(depth)?;
            schedule.steps.push(Step { kernel, operands });
        }
        Ok(schedule)
    }

    fn field(&mut self, name: &str) -> Result<usize> {
        self.cursor.keyword(name)?;
        self.cursor.number("a number of elements")
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix> {
        self.cursor.keyword(name)?;
        self.cursor.expect(Token::Mark('='), "and the matrix")?;
        let operand = self.operand()?;
        let offset = self.field("offset")?;
        self.cursor.keyword("batch")?;
        let batch_strides = self.cursor.numbers()?.to_vec();
        Ok(Matrix { operand, offset, batch_strides, row: self.field("row")?, column: self.field("column")? })
    }
}
