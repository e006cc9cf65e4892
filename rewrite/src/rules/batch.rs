//! Vectorisation: a primitive of every element.
//!
//! In `(batch:op:mask attributes… operands…)` the mask has a digit per operand, 1 = batched. The
//! attributes are those of one element; batched operands and the result have the batch axis at
//! position 0. What is not batched stays unbatched as long as it can.

use super::{Line, lines};

/// The lines.
#[rustfmt::skip]
pub fn lines() -> Vec<Line> {
    lines! {
        /// Elementwise: an unbatched operand is repeated.
        "batch/unary"       Exact: "(batch:@unary:1 ?x)"               => "(@unary ?x)";
        "batch/integer_pow" Exact: "(batch:integer_pow:1 ?n ?x)"       => "(integer_pow ?n ?x)";
        "batch/convert"     Exact: "(batch:convert:1 ?d ?x)"           => "(convert ?d ?x)";
        "batch/binary-11"   Exact: "(batch:@binary:11 ?x ?y)"          => "(@binary ?x ?y)";
        "batch/binary-10"   Exact: "(batch:@binary:10 ?x ?y)"          => "(@binary ?x (broadcast_in_dim {shape ?x} {tail ?y} ?y))";
        "batch/binary-01"   Exact: "(batch:@binary:01 ?x ?y)"          => "(@binary (broadcast_in_dim {shape ?y} {tail ?x} ?x) ?y)";
        "batch/compare-11"  Exact: "(batch:@compare:11 ?x ?y)"         => "(@compare ?x ?y)";
        "batch/compare-10"  Exact: "(batch:@compare:10 ?x ?y)"         => "(@compare ?x (broadcast_in_dim {shape ?x} {tail ?y} ?y))";
        "batch/compare-01"  Exact: "(batch:@compare:01 ?x ?y)"         => "(@compare (broadcast_in_dim {shape ?y} {tail ?x} ?x) ?y)";
        "batch/select-111"  Exact: "(batch:select:111 ?p ?x ?y)"       => "(select ?p ?x ?y)";
        "batch/select-110"  Exact: "(batch:select:110 ?p ?x ?y)"       => "(select ?p ?x (broadcast_in_dim {shape ?p} {tail ?y} ?y))";
        "batch/select-101"  Exact: "(batch:select:101 ?p ?x ?y)"       => "(select ?p (broadcast_in_dim {shape ?p} {tail ?x} ?x) ?y)";
        "batch/select-100"  Exact: "(batch:select:100 ?p ?x ?y)"       => "(select ?p (broadcast_in_dim {shape ?p} {tail ?x} ?x) (broadcast_in_dim {shape ?p} {tail ?y} ?y))";
        "batch/select-011"  Exact: "(batch:select:011 ?p ?x ?y)"       => "(select (broadcast_in_dim {shape ?x} {tail ?p} ?p) ?x ?y)";
        "batch/select-010"  Exact: "(batch:select:010 ?p ?x ?y)"       => "(select (broadcast_in_dim {shape ?x} {tail ?p} ?p) ?x (broadcast_in_dim {shape ?x} {tail ?y} ?y))";
        "batch/select-001"  Exact: "(batch:select:001 ?p ?x ?y)"       => "(select (broadcast_in_dim {shape ?y} {tail ?p} ?p) (broadcast_in_dim {shape ?y} {tail ?x} ?x) ?y)";

        /// Moves and reductions: every axis is one further, the batch axis stays in front.
        "batch/broadcast_in_dim" Exact: "(batch:broadcast_in_dim:1 ?s ?d ?x)" => "(broadcast_in_dim {batched ?s ?x} {behind_batch ?d} ?x)";
        "batch/reshape"          Exact: "(batch:reshape:1 ?s ?x)"             => "(reshape {batched ?s ?x} ?x)";
        "batch/transpose"        Exact: "(batch:transpose:1 ?p ?x)"           => "(transpose {behind_batch ?p} ?x)";
        "batch/reduce"           Exact: "(batch:@reduce:1 ?a ?x)"             => "(@reduce {shift ?a} ?x)";

        /// A batched pair shares the batch axis; a single batched operand has one more free axis,
        /// which goes to the front.
        "batch/dot_general-11" Exact: "(batch:dot_general:11 ?cx ?cy ?bx ?by ?x ?y)"
            => "(dot_general {shift ?cx} {shift ?cy} {behind_batch ?bx} {behind_batch ?by} ?x ?y)";
        "batch/dot_general-10" Exact: "(batch:dot_general:10 ?cx ?cy ?bx ?by ?x ?y)"
            => "(transpose {left_front ?cx ?bx ?x ?y} (dot_general {shift ?cx} ?cy {shift ?bx} ?by ?x ?y))";
        "batch/dot_general-01" Exact: "(batch:dot_general:01 ?cx ?cy ?bx ?by ?x ?y)"
            => "(transpose {right_front ?cx ?bx ?x ?y} (dot_general ?cx {shift ?cy} ?bx {shift ?by} ?x ?y))";
    }
}
