//! Instructions as expressions of GLSL.

use super::library::elementary;
use egrad_ir::op::{Binary, Compare, Unary};
use egrad_ir::{Dtype, Literal, elementary};

/// How tightly an expression holds together, by GLSL's precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Choice,
    Or,
    And,
    BitOr,
    BitXor,
    BitAnd,
    Equality,
    Order,
    Sum,
    Product,
    Prefix,
    Whole,
}

/// An expression and its type.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) text: String,
    pub(super) rank: Rank,
    pub(super) dtype: Dtype,
}

/// GLSL's name of a type in computation.
pub(super) fn type_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "float",
        Dtype::F64 => "double",
        Dtype::I32 => "int",
        Dtype::I64 => "int64_t",
        Dtype::U32 | Dtype::U8 | Dtype::F16 | Dtype::Bf16 => "uint",
        Dtype::Bool => "bool",
    }
}

impl Expression {
    /// A name, a call, or anything else that no operator can take apart.
    pub(super) fn whole(text: impl Into<String>, dtype: Dtype) -> Expression {
        Expression { text: text.into(), rank: Rank::Whole, dtype }
    }

    /// Whether writing it twice computes nothing twice.
    pub(super) fn is_name(&self) -> bool {
        self.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    }

    /// The text as an operand of an operator of that rank.
    fn inside(&self, rank: Rank) -> String {
        if self.rank >= rank { self.text.clone() } else { format!("({})", self.text) }
    }

    /// `self operator other`, evaluated from the left.
    fn joined(&self, operator: &str, rank: Rank, other: &Expression, dtype: Dtype) -> Expression {
        // Equals on the right keep their parentheses: float sums have an order.
        let right = if other.rank > rank { other.text.clone() } else { format!("({})", other.text) };
        Expression { text: format!("{} {operator} {right}", self.inside(rank)), rank, dtype }
    }

    fn prefixed(&self, operator: char) -> Expression {
        let operand = match self.text.starts_with(operator) {
            true => format!("({})", self.text),
            false => self.inside(Rank::Prefix),
        };
        Expression { text: format!("{operator}{operand}"), rank: Rank::Prefix, dtype: self.dtype }
    }
}

/// Makes expressions of instructions; `call` is told which functions of the library they call.
pub(super) struct Expressions<F> {
    pub(super) call: F,
}

impl<F: FnMut(Dtype, &str)> Expressions<F> {
    /// A call of a function of the library.
    fn called(&mut self, name: &str, args: &[&str], of: Dtype, dtype: Dtype) -> Expression {
        (self.call)(of, name);
        Expression::whole(format!("{name}({})", args.join(", ")), dtype)
    }

    pub(super) fn literal(&mut self, literal: Literal) -> Expression {
        let dtype = literal.dtype();
        let (text, rank) = match dtype {
            Dtype::F32 => float(f32::from_bits(literal.bits() as u32)),
            Dtype::F64 => double(f64::from_bits(literal.bits())),
            Dtype::I32 => match literal.bits() as u32 as i32 {
                i32::MIN => ("int(0x80000000u)".into(), Rank::Whole),
                n => (n.to_string(), if n < 0 { Rank::Prefix } else { Rank::Whole }),
            },
            Dtype::I64 => match literal.bits() as i64 {
                i64::MIN => ("int64_t(0x8000000000000000UL)".into(), Rank::Whole),
                n => (format!("{n}L"), if n < 0 { Rank::Prefix } else { Rank::Whole }),
            },
            Dtype::U32 | Dtype::U8 | Dtype::F16 | Dtype::Bf16 => (format!("{}u", literal.bits()), Rank::Whole),
            Dtype::Bool => ((literal.bits() == 1).to_string(), Rank::Whole),
        };
        Expression { text, rank, dtype }
    }

    pub(super) fn unary(&mut self, op: Unary, x: Expression) -> Expression {
        let dtype = x.dtype;
        let mut library = |name: &str| self.called(name, &[&x.text], dtype, dtype);
        match op {
            Unary::Neg => narrow(x.prefixed('-')),
            Unary::Abs => Expression::whole(format!("abs({})", x.text), dtype),
            Unary::Sign if dtype.is_unsigned() => Expression::whole(format!("min({}, 1u)", x.text), dtype),
            Unary::Sign if dtype.is_integer() => Expression::whole(format!("sign({})", x.text), dtype),
            Unary::Sign => library("sign_of"),
            Unary::Floor => library("floor_of"),
            Unary::Round => library("rounded"),
            Unary::Sqrt => library("square_root"),
            Unary::Rsqrt => {
                let root = library("square_root");
                self.literal(Literal::new(dtype, 1.0)).joined("/", Rank::Product, &root, dtype)
            }
            elementary!() => library(&elementary(op)),
            Unary::Not if dtype == Dtype::Bool => x.prefixed('!'),
            Unary::Not => narrow(x.prefixed('~')),
            Unary::StopGradient | Unary::Barrier => x,
        }
    }

    pub(super) fn binary(&mut self, op: Binary, x: &Expression, y: &Expression) -> Expression {
        let dtype = x.dtype;
        let boolean = dtype == Dtype::Bool;
        narrow(match op {
            Binary::Add => x.joined("+", Rank::Sum, y, dtype),
            Binary::Sub => x.joined("-", Rank::Sum, y, dtype),
            Binary::Mul => x.joined("*", Rank::Product, y, dtype),
            Binary::Div if dtype.is_integer() => self.called("quotient", &[&x.text, &y.text], dtype, dtype),
            Binary::Div => x.joined("/", Rank::Product, y, dtype),
            Binary::And if boolean => x.joined("&&", Rank::And, y, dtype),
            Binary::And => x.joined("&", Rank::BitAnd, y, dtype),
            Binary::Or if boolean => x.joined("||", Rank::Or, y, dtype),
            Binary::Or => x.joined("|", Rank::BitOr, y, dtype),
            Binary::Xor if boolean => x.joined("!=", Rank::Equality, y, dtype),
            Binary::Xor => x.joined("^", Rank::BitXor, y, dtype),
            Binary::ShiftLeft => self.called("shifted_left", &[&x.text, &y.text], dtype, dtype),
            Binary::ShiftRightLogical => self.called("shifted_right", &[&x.text, &y.text], dtype, dtype),
            Binary::ShiftRightArithmetic if dtype == Dtype::U8 => {
                let signed = format!("int({} << 24u) >> 24u", x.inside(Rank::Prefix));
                let places = format!("int({})", y.text);
                let shifted = self.called("shifted_right_with_sign", &[&signed, &places], Dtype::I32, Dtype::I32);
                Expression::whole(format!("uint({})", shifted.text), dtype)
            }
            Binary::ShiftRightArithmetic => self.called("shifted_right_with_sign", &[&x.text, &y.text], dtype, dtype),
            Binary::Rem => self.called("remainder_of", &[&x.text, &y.text], dtype, dtype),
            Binary::Atan2 => self.called("accurate_atan2", &[&x.text, &y.text], dtype, dtype),
            Binary::Pow => self.called("accurate_pow", &[&x.text, &y.text], dtype, dtype),
            Binary::Max => self.called("maximum", &[&x.text, &y.text], dtype, dtype),
            Binary::Min if dtype.is_integer() => Expression::whole(format!("min({}, {})", x.text, y.text), dtype),
            Binary::Min => self.called("minimum", &[&x.text, &y.text], dtype, dtype),
        })
    }

    pub(super) fn compare(&mut self, op: Compare, x: &Expression, y: &Expression) -> Expression {
        let not = |x: &Expression| x.prefixed('!');
        let ordered = |x: &Expression, operator: &str, y| x.joined(operator, Rank::Order, y, Dtype::Bool);
        match (op, x.dtype) {
            (Compare::Eq, _) => x.joined("==", Rank::Equality, y, Dtype::Bool),
            (Compare::Ne, _) => x.joined("!=", Rank::Equality, y, Dtype::Bool),
            (Compare::Lt, Dtype::Bool) => not(x).joined("&&", Rank::And, y, Dtype::Bool),
            (Compare::Le, Dtype::Bool) => not(x).joined("||", Rank::Or, y, Dtype::Bool),
            (Compare::Gt, Dtype::Bool) => not(y).joined("&&", Rank::And, x, Dtype::Bool),
            (Compare::Ge, Dtype::Bool) => not(y).joined("||", Rank::Or, x, Dtype::Bool),
            (Compare::Lt, _) => ordered(x, "<", y),
            (Compare::Le, _) => ordered(x, "<=", y),
            (Compare::Gt, _) => ordered(x, ">", y),
            (Compare::Ge, _) => ordered(x, ">=", y),
        }
    }

    pub(super) fn select(&mut self, p: &Expression, x: &Expression, y: &Expression) -> Expression {
        let or = Rank::Or;
        let text = format!("{} ? {} : {}", p.inside(or), x.inside(or), y.inside(or));
        Expression { text, rank: Rank::Choice, dtype: x.dtype }
    }

    pub(super) fn integer_pow(&mut self, n: i32, x: Expression) -> Expression {
        let dtype = x.dtype;
        match n {
            1 => x,
            2 if x.is_name() => narrow(x.joined("*", Rank::Product, &x, dtype)),
            _ => narrow(self.called("integer_pow", &[&x.text, &n.to_string()], dtype, dtype)),
        }
    }

    pub(super) fn convert(&mut self, to: Dtype, x: Expression) -> Expression {
        let zero = self.literal(Literal::new(x.dtype, 0.0));
        match (x.dtype, to) {
            (from, to) if from == to => x,
            (Dtype::F16, Dtype::F32) => self.called("from_f16", &[&x.text], to, to),
            (Dtype::Bf16, Dtype::F32) => self.called("from_bf16", &[&x.text], to, to),
            (Dtype::F32, Dtype::F16) => self.called("to_f16", &[&x.text], x.dtype, to),
            (Dtype::F32, Dtype::Bf16) => self.called("to_bf16", &[&x.text], x.dtype, to),
            (Dtype::F16 | Dtype::Bf16, _) | (_, Dtype::F16 | Dtype::Bf16) => {
                let wide = self.convert(Dtype::F32, x);
                self.convert(to, wide)
            }
            (_, Dtype::Bool) => x.joined("!=", Rank::Equality, &zero, to),
            (Dtype::F32 | Dtype::F64, Dtype::I32) => self.called("to_int", &[&x.text], x.dtype, to),
            (Dtype::F32 | Dtype::F64, Dtype::I64) => self.called("to_long", &[&x.text], x.dtype, to),
            (Dtype::F32 | Dtype::F64, Dtype::U32) => self.called("to_uint", &[&x.text], x.dtype, to),
            (Dtype::F32 | Dtype::F64, Dtype::U8) => {
                let number = self.called("to_uint", &[&x.text], x.dtype, to);
                Expression::whole(format!("min({}, 255u)", number.text), to)
            }
            (Dtype::U8, Dtype::U32) => Expression { dtype: to, ..x },
            (Dtype::I32, Dtype::I64) => self.called("widened", &[&x.text], to, to),
            (_, Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8) => {
                narrow(Expression::whole(format!("{}({})", type_name(to), x.text), to))
            }
        }
    }
}

/// The low bits that elements of the type have.
fn narrow(x: Expression) -> Expression {
    if x.dtype != Dtype::U8 {
        return x;
    }
    x.joined("&", Rank::BitAnd, &Expression::whole("255u", Dtype::U8), Dtype::U8)
}

/// What keeps a variable to those bits.
pub(super) fn narrowed(name: &str, dtype: Dtype) -> String {
    if dtype == Dtype::U8 { format!(" {name} &= 255u;") } else { String::new() }
}

/// A float: in digits where a compiler that reads them as doubles gets the same bits.
fn float(x: f32) -> (String, Rank) {
    let text = format!("{x:?}");
    let read = text.parse::<f64>().map(|d| (d as f32).to_bits());
    if x.is_nan() || x.is_infinite() || x.is_subnormal() || read != Ok(x.to_bits()) {
        return (format!("uintBitsToFloat({:#x}u)", x.to_bits()), Rank::Whole);
    }
    (text, if x.is_sign_negative() { Rank::Prefix } else { Rank::Whole })
}

fn double(x: f64) -> (String, Rank) {
    if !x.is_finite() || x.is_subnormal() {
        let bits = x.to_bits();
        return (format!("packDouble2x32(uvec2({:#x}u, {:#x}u))", bits as u32, bits >> 32), Rank::Whole);
    }
    (format!("{x:?}lf"), if x.is_sign_negative() { Rank::Prefix } else { Rank::Whole })
}
