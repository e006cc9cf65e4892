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

        /// Every axis is one further; an unbatched operand is repeated.
        "batch/slice" Exact: "(batch:slice:1 ?s ?l ?x)" => "(slice {unpadded ?s} {batched ?l ?x} ?x)";
        "batch/reverse" Exact: "(batch:reverse:1 ?a ?x)" => "(reverse {shift ?a} ?x)";
        "batch/argsort" Exact: "(batch:argsort:1 ?a ?x)" => "(argsort {succ ?a} ?x)";
        "batch/concatenate-11" Exact: "(batch:concatenate:11 ?a ?x ?y)" => "(concatenate {succ ?a} ?x ?y)";
        "batch/concatenate-10" Exact: "(batch:concatenate:10 ?a ?x ?y)" => "(concatenate {succ ?a} ?x (broadcast_in_dim {batched {shape ?y} ?x} {tail ?y} ?y))";
        "batch/concatenate-01" Exact: "(batch:concatenate:01 ?a ?x ?y)" => "(concatenate {succ ?a} (broadcast_in_dim {batched {shape ?x} ?y} {tail ?x} ?x) ?y)";
        "batch/pad-10" Exact: "(batch:pad:10 ?l ?h ?x ?v)" => "(pad {unpadded ?l} {unpadded ?h} ?x ?v)";
        /// Around each element is what belongs to it.
        "batch/pad-11" Exact: "(batch:pad:11 ?l ?h ?x ?v)"
            => "(select (pad {unpadded ?l} {unpadded ?h} (full 0 (convert bool ?x)) (constant truebool))
                        (broadcast_in_dim {plus {plus {unpadded ?l} {unpadded ?h}} {shape ?x}} [0] ?v)
                        (pad {unpadded ?l} {unpadded ?h} ?x (constant {zero ?x})))";
        "batch/pad-01" Exact: "(batch:pad:01 ?l ?h ?x ?v)"
            => "(select (broadcast_in_dim {batched {plus {plus ?l ?h} {shape ?x}} ?v} {tail ?x} (pad ?l ?h (full 0 (convert bool ?x)) (constant truebool)))
                        (broadcast_in_dim {batched {plus {plus ?l ?h} {shape ?x}} ?v} [0] ?v)
                        (broadcast_in_dim {batched {plus {plus ?l ?h} {shape ?x}} ?v} {tail ?x} (pad ?l ?h ?x (constant {zero ?x}))))";

        /// A batch of either shares the batch axis; indices of no batch and of no shared axes serve all,
        /// and so does what a batch of indices takes whole elements from.
        "batch/take-11" Exact: "(batch:take:11 ?a ?b ?x ?i)" => "(take {succ ?a} {succ ?b} ?x ?i)";
        "batch/take-10" Exact: "(batch:take:10 ?a ?b ?x ?i)" => "(take {succ ?a} ?b ?x ?i)", if "int ?b 0";
        "batch/take-10-shared" Exact: "(batch:take:10 ?a ?b ?x ?i)" => "(take {succ ?a} {succ ?b} ?x (broadcast_in_dim {batched {shape ?i} ?x} {tail ?i} ?i))", if "not_int ?b 0";
        "batch/take-01" Exact: "(batch:take:01 ?a ?b ?x ?i)" => "(take 0 0 ?x ?i)", if "int ?a 0";
        "batch/take-01-inner" Exact: "(batch:take:01 ?a ?b ?x ?i)" => "(take {succ ?a} {succ ?b} (broadcast_in_dim {batched {shape ?x} ?i} {tail ?x} ?x) ?i)", if "not_int ?a 0";
        "batch/scatter-111" Exact: "(batch:@scatter:111 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} {succ ?b} ?x ?i ?u)";
        "batch/scatter-110" Exact: "(batch:@scatter:110 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} {succ ?b} ?x ?i (broadcast_in_dim {batched {shape ?u} ?x} {tail ?u} ?u))";
        "batch/scatter-101" Exact: "(batch:@scatter:101 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} ?b ?x ?i ?u)", if "int ?b 0";
        "batch/scatter-101-shared" Exact: "(batch:@scatter:101 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} {succ ?b} ?x (broadcast_in_dim {batched {shape ?i} ?x} {tail ?i} ?i) ?u)", if "not_int ?b 0";
        "batch/scatter-011" Exact: "(batch:@scatter:011 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} {succ ?b} (broadcast_in_dim {batched {shape ?x} ?i} {tail ?x} ?x) ?i ?u)";
        "batch/scatter-100" Exact: "(batch:@scatter:100 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} ?b ?x ?i (broadcast_in_dim {batched {shape ?u} ?x} {tail ?u} ?u))", if "int ?b 0";
        "batch/scatter-100-shared" Exact: "(batch:@scatter:100 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} {succ ?b} ?x (broadcast_in_dim {batched {shape ?i} ?x} {tail ?i} ?i) (broadcast_in_dim {batched {shape ?u} ?x} {tail ?u} ?u))", if "not_int ?b 0";
        "batch/scatter-010" Exact: "(batch:@scatter:010 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} {succ ?b} (broadcast_in_dim {batched {shape ?x} ?i} {tail ?x} ?x) ?i (broadcast_in_dim {batched {shape ?u} ?i} {tail ?u} ?u))";
        "batch/scatter-001" Exact: "(batch:@scatter:001 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} ?b (broadcast_in_dim {batched {shape ?x} ?u} {tail ?x} ?x) ?i ?u)", if "int ?b 0";
        "batch/scatter-001-shared" Exact: "(batch:@scatter:001 ?a ?b ?x ?i ?u)" => "(@scatter {succ ?a} {succ ?b} (broadcast_in_dim {batched {shape ?x} ?u} {tail ?x} ?x) (broadcast_in_dim {batched {shape ?i} ?u} {tail ?i} ?i) ?u)", if "not_int ?b 0";

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
