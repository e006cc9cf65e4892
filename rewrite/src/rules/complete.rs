//! Whether a table of derivatives is complete, asked while it is compiled.

use egrad_ir::{Binary, Reduce, Unary, elementary};

/// The first elementwise primitive or reduction that has a derivative and no line of the stage, of these
/// names of lines.
pub(super) const fn first_without(stage: &str, names: &[&str]) -> Option<&'static str> {
    let mut i = 0;
    while i < Unary::ALL.len() {
        let op = Unary::ALL[i];
        let differs = match op {
            Unary::Not => false,
            Unary::Neg
            | Unary::Abs
            | Unary::Sign
            | Unary::Floor
            | Unary::Round
            | Unary::Sqrt
            | Unary::Rsqrt
            | elementary!()
            | Unary::StopGradient
            | Unary::Barrier => true,
        };
        if differs && !is_named(names, [stage, "/", op.name(), ""]) {
            return Some(op.name());
        }
        i += 1;
    }
    i = 0;
    while i < Binary::ALL.len() {
        let op = Binary::ALL[i];
        let differs = match op {
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Atan2
            | Binary::Pow
            | Binary::Max
            | Binary::Min => true,
            Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::ShiftLeft
            | Binary::ShiftRightLogical
            | Binary::ShiftRightArithmetic => false,
        };
        let first = is_named(names, [stage, "/", op.name(), "-0"]);
        if differs && !(first && is_named(names, [stage, "/", op.name(), "-1"])) {
            return Some(op.name());
        }
        i += 1;
    }
    i = 0;
    while i < Reduce::ALL.len() {
        if !is_named(names, [stage, "/", Reduce::ALL[i].name(), ""]) {
            return Some(Reduce::ALL[i].name());
        }
        i += 1;
    }
    None
}

/// Whether these words together are among the names.
const fn is_named(names: &[&str], words: [&str; 4]) -> bool {
    let mut i = 0;
    while i < names.len() {
        let (name, mut at, mut word) = (names[i].as_bytes(), 0, 0);
        let mut same = true;
        while same && word < words.len() {
            let mut j = 0;
            while same && j < words[word].len() {
                same = at < name.len() && name[at] == words[word].as_bytes()[j];
                (j, at) = (j + 1, at + 1);
            }
            word += 1;
        }
        if same && at == name.len() {
            return true;
        }
        i += 1;
    }
    false
}
