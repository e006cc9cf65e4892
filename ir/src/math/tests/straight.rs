//! The functions as a recording backend sees them: how many operations they take, and that the
//! straight-line form of [`Lanes::rarely`] gives the bits of the branching one.

use super::super::{Elementary, Lanes, Rare, Scalar32, unary32};

/// f32 arithmetic that counts its operations, constants and changes of type aside, and never branches.
/// The work of [`Lanes::rarely`] counts for nothing.
#[derive(Default)]
struct Straight {
    operations: usize,
}

macro_rules! count {
    ($($name:ident($($arg:ident: $Arg:ty),*) -> $Out:ty;)*) => {
        $(fn $name(&mut self, $($arg: $Arg),*) -> $Out {
            self.operations += 1;
            Scalar32.$name($($arg),*)
        })*
    };
}

impl Lanes for Straight {
    type F = f32;
    type I = i32;
    type M = bool;

    fn float(&mut self, value: f64) -> f32 {
        Scalar32.float(value)
    }
    fn int(&mut self, value: i64) -> i32 {
        Scalar32.int(value)
    }
    fn bits_of(&mut self, a: f32) -> i32 {
        Scalar32.bits_of(a)
    }
    fn of_bits(&mut self, a: i32) -> f32 {
        Scalar32.of_bits(a)
    }

    count! {
        add(a: f32, b: f32) -> f32;
        sub(a: f32, b: f32) -> f32;
        mul(a: f32, b: f32) -> f32;
        div(a: f32, b: f32) -> f32;
        fma(a: f32, b: f32, c: f32) -> f32;
        neg(a: f32) -> f32;
        abs(a: f32) -> f32;
        sqrt(a: f32) -> f32;
        lt(a: f32, b: f32) -> bool;
        le(a: f32, b: f32) -> bool;
        eq(a: f32, b: f32) -> bool;
        ne(a: f32, b: f32) -> bool;
        any_bit(a: i32, bits: i64) -> bool;
        both(a: bool, b: bool) -> bool;
        either(a: bool, b: bool) -> bool;
        not(a: bool) -> bool;
        select(mask: bool, yes: f32, no: f32) -> f32;
        int_add(a: i32, b: i32) -> i32;
        int_sub(a: i32, b: i32) -> i32;
        int_and(a: i32, b: i32) -> i32;
        int_or(a: i32, b: i32) -> i32;
        int_xor(a: i32, b: i32) -> i32;
        shl(a: i32, bits: u32) -> i32;
        shr(a: i32, bits: u32) -> i32;
    }

    fn rarely(&mut self, when: bool, x: [f32; 2], usual: [f32; 2], rare: Rare) -> [f32; 2] {
        let operations = self.operations;
        let work = rare.emit(self, x);
        self.operations = operations;
        if when { work } else { usual }
    }
}

/// A change here is a change in the speed of every program that uses the function.
#[test]
fn operations() {
    let counted: Vec<(Elementary, usize)> = Elementary::ALL
        .map(|function| {
            let mut l = Straight::default();
            unary32(&mut l, function, 0.5);
            (function, l.operations)
        })
        .into();
    let expected = [
        (Elementary::Exp, 21),
        (Elementary::Expm1, 21),
        (Elementary::Log, 31),
        (Elementary::Log1p, 40),
        (Elementary::Sin, 23),
        (Elementary::Cos, 23),
        (Elementary::Asin, 29),
        (Elementary::Acos, 32),
        (Elementary::Atan, 25),
        (Elementary::Tanh, 22),
        (Elementary::Logistic, 22),
        (Elementary::Erf, 32),
        (Elementary::Erfc, 69),
        (Elementary::ErfInv, 65),
    ];
    assert_eq!(counted, expected);
}

#[test]
fn needs_no_branches() {
    for function in Elementary::ALL {
        for bits in (0..=u32::MAX).step_by(99_991) {
            let x = f32::from_bits(bits);
            let branching = unary32(&mut Scalar32, function, x);
            let straight = unary32(&mut Straight::default(), function, x);
            assert!(
                branching.to_bits() == straight.to_bits() || (branching.is_nan() && straight.is_nan()),
                "{function:?}({x:e}): {branching:e} and {straight:e}"
            );
        }
    }
}
