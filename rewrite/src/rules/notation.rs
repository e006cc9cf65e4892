//! Short forms for what right-hand sides do to matrices, the last two axes of a value, and windows.

/// A name, what it is given, and the [template](super::template) it stands for.
pub struct Notation {
    /// The name, where the name of a primitive could stand.
    pub name: &'static str,
    /// What its arguments are called in `body`.
    pub takes: &'static [&'static str],
    /// What it stands for.
    pub body: &'static str,
}

macro_rules! notation {
    ($($(#[doc = $about:literal])* $name:literal [$($arg:literal),*] = $body:literal;)*) => {
        &[$(Notation { name: $name, takes: &[$($arg),*], body: $body }),*]
    };
}

/// The short forms.
#[rustfmt::skip]
pub static NOTATION: &[Notation] = notation! {
    /// xᵀ, and the products x y, xᵀ y and x yᵀ.
    "turned"        ["?x"]       = "(transpose {turned ?x} ?x)";
    "matmul"        ["?x", "?y"] = "(dot_general {columns ?x} {rows ?y} {lead ?x} {lead ?y} ?x ?y)";
    "turned_matmul" ["?x", "?y"] = "(dot_general {rows ?x} {rows ?y} {lead ?x} {lead ?y} ?x ?y)";
    "matmul_turned" ["?x", "?y"] = "(dot_general {columns ?x} {columns ?y} {lead ?x} {lead ?y} ?x ?y)";

    /// x + xᵀ, and half of it.
    "doubled"       ["?x"]       = "(add ?x (turned ?x))";
    "symmetric"     ["?x"]       = "(mul (full 0.5 ?x) (doubled ?x))";

    /// How far elements are below the diagonal.
    "depth"         ["?x"]       = "(broadcast_in_dim {shape ?x} {matrix_axes ?x} (sub (iota i32 {matrix ?x} 0) (iota i32 {matrix ?x} 1)))";
    /// The lower (1) or upper (0) triangle, with the diagonal (0) or without (1), and zeros.
    "part"          ["?l", "?u", "?x"] = "(let ?i (depth ?x) (select (ge (mul (full {sign ?l} ?i) ?i) (full ?u ?i)) ?x (full 0 ?x)))";
    /// The lower triangle with half the diagonal.
    "half_lower"    ["?x"]       = "(let ?i (depth ?x) (select (eq ?i (full 0 ?i)) (mul (full 0.5 ?x) ?x) (part 1 1 ?x)))";
    /// x with zeros on the diagonal, or with a row there.
    "off_diagonal"  ["?x"]       = "(let ?i (depth ?x) (select (eq ?i (full 0 ?i)) (full 0 ?x) ?x))";
    "on_diagonal"   ["?r", "?x"] = "(let ?i (depth ?x) (select (eq ?i (full 0 ?i)) (stretched {shape ?x} ?r) ?x))";
    /// The diagonal, as a row.
    "diagonal"      ["?x"]       = "(let ?i (depth ?x) (reshape {rows_as 1 ?x} (reduce_sum {rows ?x} (select (eq ?i (full 0 ?i)) ?x (full 0 ?x)))))";

    /// x / y, where 0 / 0 is 0.
    "ratio"         ["?x", "?y"] = "(let ?none (and (eq ?x (full 0 ?x)) (eq ?y (full 0 ?y))) (select ?none (full 0 ?x) (div ?x (select ?none (full 1 ?y) ?y))))";

    /// Parts of a matrix, and a matrix with zeros to the right or below up to a size.
    "rows_between"  ["?from", "?to", "?x"] = "(slice {rows_from ?from ?x} {rows_as ?to ?x} ?x)";
    "columns_until" ["?to", "?x"] = "(slice {origin ?x} {columns_as ?to ?x} ?x)";
    "widened"       ["?n", "?x"] = "(pad {origin ?x} {columns_more ?n ?x} ?x (constant {zero ?x}))";
    "heightened"    ["?n", "?x"] = "(pad {origin ?x} {rows_more ?n ?x} ?x (constant {zero ?x}))";
    /// Axes of length 1 repeated.
    "stretched"     ["?s", "?x"] = "(broadcast_in_dim ?s {axes ?x} ?x)";

    /// Along axis ?a of ?x, where what was taken from there at ?i is, by the offsets that the axes of ?i
    /// but ?p make.
    "placed"        ["?p", "?i", "?a", "?x"] = "(sub (iota i32 {for_each ?p ?i ?a ?x} {last_axis ?i})
        (broadcast_in_dim {for_each ?p ?i ?a ?x} {but_last ?i} (reshape {without_axis ?p ?i} (slice {origin ?i} {first_of ?p ?i} ?i))))";
    /// ?n - 1 zeros after every element along an axis.
    "gapped"        ["?a", "?n", "?x"] = "(let ?u (reshape {unit_after ?a ?x} ?x)
        (let ?v (pad {origin ?u} {fewer {succ ?a} ?n ?u} ?u (constant {zero ?x})) (reshape {joined_at ?a ?v} ?v)))";

    /// Of a result of `lu`, which row of the operand each row is.
    "order"         ["?y"]       = "(convert i32 (reshape {without {shape ?y} {columns ?y}} (slice {last_column ?y} {shape ?y} ?y)))";
};

/// The short form of that name.
pub fn find(name: &str) -> Option<&'static Notation> {
    NOTATION.iter().find(|n| n.name == name)
}
