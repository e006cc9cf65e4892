//! Element types and scalar literals.

use half::{bf16, f16};
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// 32-bit IEEE 754 floating point.
    F32,
    /// 64-bit IEEE 754 floating point.
    F64,
    /// 16-bit IEEE 754 floating point, with 5 bits of exponent; computed with in `f32`, as [`Bf16`](Self::Bf16).
    F16,
    /// The upper half of an `f32`: 16 bits, 8 of them exponent.
    Bf16,
    /// 32-bit signed integer; arithmetic wraps around, as that of every integer type.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 32-bit unsigned integer.
    U32,
    /// 8-bit unsigned integer.
    U8,
    /// Truth value, stored as one byte holding 0 or 1.
    Bool,
}

impl Dtype {
    /// Every element type.
    pub const ALL: [Dtype; 9] =
        [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::I32, Dtype::I64, Dtype::U32, Dtype::U8, Dtype::Bool];

    /// The name used in text: `f32`, `f64`, `f16`, `bf16`, `i32`, `i64`, `u32`, `u8`, `bool`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::I32 => "i32",
            Dtype::I64 => "i64",
            Dtype::U32 => "u32",
            Dtype::U8 => "u8",
            Dtype::Bool => "bool",
        }
    }

    /// The element type of that [`name`](Self::name).
    pub fn parse(name: &str) -> Option<Dtype> {
        Dtype::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Bytes per element in memory.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// Whether values of this type have tangents and cotangents.
    pub fn is_float(self) -> bool {
        match self {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => true,
            Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => false,
        }
    }

    /// Whether values of this type are integers.
    pub fn is_integer(self) -> bool {
        match self {
            Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 => true,
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::Bool => false,
        }
    }

    /// Whether values of this type are integers that are never negative.
    pub fn is_unsigned(self) -> bool {
        match self {
            Dtype::U32 | Dtype::U8 => true,
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::I32 | Dtype::I64 | Dtype::Bool => false,
        }
    }

    /// The type that operations on this one compute in, which holds all its numbers: `f32` for floats of
    /// 16 bits, of which kernels know how to store and to convert them, and the type itself for others.
    ///
    /// ```
    /// use egrad_ir::Dtype;
    /// assert_eq!(Dtype::Bf16.computed(), Dtype::F32);
    /// assert_eq!(Dtype::U8.computed(), Dtype::U8);
    /// ```
    pub fn computed(self) -> Dtype {
        match self {
            Dtype::F16 | Dtype::Bf16 => Dtype::F32,
            Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => self,
        }
    }

    /// Whether every number of `other` is one of this type as well.
    ///
    /// ```
    /// use egrad_ir::Dtype;
    /// assert!(Dtype::I64.holds(Dtype::U32) && Dtype::F64.holds(Dtype::I32));
    /// assert!(!Dtype::F32.holds(Dtype::I32) && !Dtype::U32.holds(Dtype::I32));
    /// ```
    pub fn holds(self, other: Dtype) -> bool {
        match (other, self) {
            (from, to) if from == to => true,
            (Dtype::Bool, _) => true,
            (Dtype::U8, to) => to != Dtype::Bool,
            (Dtype::F32, to) => to == Dtype::F64,
            (Dtype::F16 | Dtype::Bf16, to) => matches!(to, Dtype::F32 | Dtype::F64),
            (Dtype::I32 | Dtype::U32, to) => matches!(to, Dtype::I64 | Dtype::F64),
            (Dtype::F64 | Dtype::I64, _) => false,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is a tensor element.
pub trait Element: Copy + PartialEq + fmt::Debug + Send + Sync + 'static + crate::array::Stored {
    /// The element type it stands for.
    const DTYPE: Dtype;
    /// The value as a literal.
    fn literal(self) -> Literal;
}

macro_rules! element {
    ($($T:ty, $D:ident, $to:expr;)*) => {$(
        impl Element for $T {
            const DTYPE: Dtype = Dtype::$D;
            fn literal(self) -> Literal {
                let bits: fn($T) -> u64 = $to;
                Literal { dtype: Dtype::$D, bits: bits(self) }
            }
        }
    )*};
}
element! {
    f32,  F32,  |x| u64::from(x.to_bits());
    f64,  F64,  |x| x.to_bits();
    f16,  F16,  |x| u64::from(x.to_bits());
    bf16, Bf16, |x| u64::from(x.to_bits());
    i32,  I32,  |x| u64::from(x as u32);
    i64,  I64,  |x| x as u64;
    u32,  U32,  u64::from;
    u8,   U8,   u64::from;
    bool, Bool, |x| u64::from(x);
}

/// A scalar constant, compared and hashed by its bits (so NaN equals itself and -0 differs from 0).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Literal {
    dtype: Dtype,
    bits: u64,
}

impl Literal {
    /// `value` rounded to `dtype`: to the nearest float (of 16 bits: that of the nearest `f32`), truncated
    /// towards zero (saturating) for integers, and `value != 0` for `bool`.
    pub fn new(dtype: Dtype, value: f64) -> Literal {
        match dtype {
            Dtype::F32 => (value as f32).literal(),
            Dtype::F64 => value.literal(),
            Dtype::F16 => f16::from_f32(value as f32).literal(),
            Dtype::Bf16 => bf16::from_f32(value as f32).literal(),
            Dtype::I32 => (value as i32).literal(),
            Dtype::I64 => (value as i64).literal(),
            Dtype::U32 => (value as u32).literal(),
            Dtype::U8 => (value as u8).literal(),
            Dtype::Bool => (value != 0.0).literal(),
        }
    }

    /// `value` as `dtype`: the float that [`new`](Self::new) says, the low bits for integers, and `value != 0` for `bool`.
    ///
    /// ```
    /// use egrad_ir::{Dtype, Element, Literal};
    /// assert_eq!(Literal::wrapped(Dtype::U8, -1), 255u8.literal());
    /// ```
    pub fn wrapped(dtype: Dtype, value: i64) -> Literal {
        match dtype {
            Dtype::F32 => (value as f32).literal(),
            Dtype::F64 => (value as f64).literal(),
            Dtype::F16 => f16::from_f32(value as f32).literal(),
            Dtype::Bf16 => bf16::from_f32(value as f32).literal(),
            Dtype::I32 => (value as i32).literal(),
            Dtype::I64 => value.literal(),
            Dtype::U32 => (value as u32).literal(),
            Dtype::U8 => (value as u8).literal(),
            Dtype::Bool => (value != 0).literal(),
        }
    }

    /// The whole number of that text as an integer type; `None` if it is none, or `dtype` doesn't
    /// hold it or is no integer type.
    pub fn parse_integer(dtype: Dtype, text: &str) -> Option<Literal> {
        match dtype {
            Dtype::I32 => text.parse::<i32>().ok().map(Element::literal),
            Dtype::I64 => text.parse::<i64>().ok().map(Element::literal),
            Dtype::U32 => text.parse::<u32>().ok().map(Element::literal),
            Dtype::U8 => text.parse::<u8>().ok().map(Element::literal),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 | Dtype::Bool => None,
        }
    }

    /// Its element type.
    pub fn dtype(self) -> Dtype {
        self.dtype
    }

    /// The element's bits, zero-extended.
    pub fn bits(self) -> u64 {
        self.bits
    }

    /// A literal of `dtype` with these bits; `None` if they are no element of it.
    pub fn from_bits(dtype: Dtype, bits: u64) -> Option<Literal> {
        let fits = match dtype {
            Dtype::F32 | Dtype::I32 | Dtype::U32 => bits <= u64::from(u32::MAX),
            Dtype::F64 | Dtype::I64 => true,
            Dtype::F16 | Dtype::Bf16 => bits <= u64::from(u16::MAX),
            Dtype::U8 => bits <= u64::from(u8::MAX),
            Dtype::Bool => bits <= 1,
        };
        fits.then_some(Literal { dtype, bits })
    }

    /// The value as `f64`, which is exact but for an `i64` beyond 2⁵³: of that, the nearest.
    pub fn to_f64(self) -> f64 {
        match self.dtype {
            Dtype::F32 => f64::from(f32::from_bits(self.bits as u32)),
            Dtype::F64 => f64::from_bits(self.bits),
            Dtype::F16 => f16::from_bits(self.bits as u16).to_f64(),
            Dtype::Bf16 => bf16::from_bits(self.bits as u16).to_f64(),
            Dtype::I32 => f64::from(self.bits as u32 as i32),
            Dtype::I64 => self.bits as i64 as f64,
            Dtype::U32 | Dtype::U8 | Dtype::Bool => self.bits as f64,
        }
    }

    /// The value of an integer or a `bool` (0 or 1); `None` of a float.
    pub fn to_i64(self) -> Option<i64> {
        match self.dtype {
            Dtype::I32 => Some(i64::from(self.bits as u32 as i32)),
            Dtype::I64 | Dtype::U32 | Dtype::U8 | Dtype::Bool => Some(self.bits as i64),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => None,
        }
    }
}

impl fmt::Display for Literal {
    /// Shortest text that reads back to the same bits; NaNs other than the canonical one are
    /// written as `nan(0x…)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.to_f64();
        match self.dtype {
            Dtype::Bool => write!(f, "{}", self.bits == 1),
            Dtype::I32 => write!(f, "{}", self.bits as u32 as i32),
            Dtype::I64 => write!(f, "{}", self.bits as i64),
            Dtype::U32 | Dtype::U8 => write!(f, "{}", self.bits),
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 if v.is_nan() => {
                if *self == Literal::new(self.dtype, f64::NAN) {
                    f.write_str("nan")
                } else {
                    write!(f, "nan({:#x})", self.bits)
                }
            }
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 if v.is_infinite() => {
                f.write_str(if v > 0.0 { "inf" } else { "-inf" })
            }
            Dtype::F32 => write!(f, "{:?}", f32::from_bits(self.bits as u32)),
            Dtype::F64 => write!(f, "{v:?}"),
            Dtype::F16 | Dtype::Bf16 => {
                // Few digits tell apart what has few bits.
                let rounded = |digits: usize| format!("{v:.digits$e}").parse::<f64>().ok();
                let short = (0..10).filter_map(rounded).find(|short| Literal::new(self.dtype, *short) == *self);
                write!(f, "{:?}", short.unwrap_or(v))
            }
        }
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}{}", self.dtype)
    }
}
