//! Simplification, after the last transform: oriented rules that end, and alternatives among which
//! extraction chooses.

use super::{Line, lines};

/// The lines.
#[rustfmt::skip]
pub fn lines() -> Vec<Line> {
    lines! {
        // −(−x) = x.
        "simplify/neg-neg" Exact: "(neg (neg ?x))" => "?x";
    }
}
