//! Fusion: how kernels can make values, in an encoding that stays linear.
//!
//! ```text
//! v        ∋ (kernel (body v))                   a kernel can make v
//! (body v) ∋ (compute:op (source a) (source b))  from its operands, in loops
//!          ∋ (contract … (source a) (source b))  or as a matrix product
//! (source v) ∋ (load v)                          a reader finds v in memory
//!            ∋ (inline (body v))                 or computes it itself
//! ```
//!
//! `body` and `source` are classes of their own: were they the value's, computing a value inline
//! would make it its own operand. Which alternative pays, and which values share a kernel, is
//! extraction's choice.

use super::{Line, lines};

/// The lines.
#[rustfmt::skip]
pub fn lines() -> Vec<Line> {
    lines! {
        /// A value of any primitive can be made by a kernel of its own.
        "fuse/kernel-unary"      Exact: "(@unary ?x)"                    => "(kernel (body (@unary ?x)))";
        "fuse/kernel-binary"     Exact: "(@binary ?x ?y)"                => "(kernel (body (@binary ?x ?y)))";
        "fuse/kernel-compare"    Exact: "(@compare ?x ?y)"               => "(kernel (body (@compare ?x ?y)))";
        "fuse/kernel-select"     Exact: "(select ?p ?x ?y)"              => "(kernel (body (select ?p ?x ?y)))";
        "fuse/kernel-power"      Exact: "(integer_pow ?n ?x)"            => "(kernel (body (integer_pow ?n ?x)))";
        "fuse/kernel-convert"    Exact: "(convert ?d ?x)"                => "(kernel (body (convert ?d ?x)))";
        "fuse/kernel-iota"       Exact: "(iota ?d ?s ?a)"                => "(kernel (body (iota ?d ?s ?a)))";
        "fuse/kernel-broadcast"  Exact: "(broadcast_in_dim ?s ?d ?x)"    => "(kernel (body (broadcast_in_dim ?s ?d ?x)))";
        "fuse/kernel-reshape"    Exact: "(reshape ?s ?x)"                => "(kernel (body (reshape ?s ?x)))";
        "fuse/kernel-transpose"  Exact: "(transpose ?p ?x)"              => "(kernel (body (transpose ?p ?x)))";
        "fuse/kernel-reduce"     Exact: "(@reduce ?a ?x)"                => "(kernel (body (@reduce ?a ?x)))";
        "fuse/kernel-dot"        Exact: "(dot_general ?k ?l ?b ?c ?x ?y)" => "(kernel (body (dot_general ?k ?l ?b ?c ?x ?y)))";
        "fuse/kernel-slice"      Exact: "(slice ?s ?l ?x)"                => "(kernel (body (slice ?s ?l ?x)))";
        "fuse/kernel-pad"        Exact: "(pad ?l ?h ?x ?v)"               => "(kernel (body (pad ?l ?h ?x ?v)))";
        "fuse/kernel-reverse"    Exact: "(reverse ?a ?x)"                 => "(kernel (body (reverse ?a ?x)))";
        "fuse/kernel-concat"     Exact: "(concatenate ?a ?x ?y)"          => "(kernel (body (concatenate ?a ?x ?y)))";
        "fuse/kernel-take"       Exact: "(take ?a ?b ?x ?i)"              => "(kernel (body (take ?a ?b ?x ?i)))";
        "fuse/kernel-scatter"    Exact: "(@scatter ?a ?b ?x ?i ?u)"       => "(kernel (body (@scatter ?a ?b ?x ?i ?u)))";
        "fuse/kernel-argsort"    Exact: "(argsort ?a ?x)"                 => "(kernel (body (argsort ?a ?x)))";

        "fuse/kernel-factor"     Exact: "(@factor ?x)"                    => "(kernel (body (@factor ?x)))";
        "fuse/kernel-triangular" Exact: "(triangular_solve ?l ?t ?u ?a ?b)" => "(kernel (body (triangular_solve ?l ?t ?u ?a ?b)))";
        "fuse/kernel-fft"        Exact: "(fft ?i ?x)"                     => "(kernel (body (fft ?i ?x)))";

        /// A kernel computes it in loops, from sources.
        "fuse/compute-unary"     Exact: "(body (@unary ?x))"             => "(compute:@unary (source ?x))";
        "fuse/compute-binary"    Exact: "(body (@binary ?x ?y))"         => "(compute:@binary (source ?x) (source ?y))";
        "fuse/compute-compare"   Exact: "(body (@compare ?x ?y))"        => "(compute:@compare (source ?x) (source ?y))";
        "fuse/compute-select"    Exact: "(body (select ?p ?x ?y))"       => "(compute:select (source ?p) (source ?x) (source ?y))";
        "fuse/compute-power"     Exact: "(body (integer_pow ?n ?x))"     => "(compute:integer_pow ?n (source ?x))";
        "fuse/compute-convert"   Exact: "(body (convert ?d ?x))"         => "(compute:convert ?d (source ?x))";
        "fuse/compute-iota"      Exact: "(body (iota ?d ?s ?a))"         => "(compute:iota ?d ?s ?a)";
        "fuse/compute-broadcast" Exact: "(body (broadcast_in_dim ?s ?d ?x))" => "(compute:broadcast_in_dim ?s ?d (source ?x))";
        "fuse/compute-reshape"   Exact: "(body (reshape ?s ?x))"         => "(compute:reshape ?s (source ?x))";
        "fuse/compute-transpose" Exact: "(body (transpose ?p ?x))"       => "(compute:transpose ?p (source ?x))";
        "fuse/compute-reduce"    Exact: "(body (@reduce ?a ?x))"         => "(compute:@reduce ?a (source ?x))";
        "fuse/compute-dot"       Exact: "(body (dot_general ?k ?l ?b ?c ?x ?y))"
                                                                         => "(compute:dot_general ?k ?l ?b ?c (source ?x) (source ?y))";
        "fuse/compute-slice"     Exact: "(body (slice ?s ?l ?x))"         => "(compute:slice ?s ?l (source ?x))";
        "fuse/compute-pad"       Exact: "(body (pad ?l ?h ?x ?v))"        => "(compute:pad ?l ?h (source ?x) (source ?v))";
        "fuse/compute-reverse"   Exact: "(body (reverse ?a ?x))"          => "(compute:reverse ?a (source ?x))";
        "fuse/compute-concat"    Exact: "(body (concatenate ?a ?x ?y))"   => "(compute:concatenate ?a (source ?x) (source ?y))";
        "fuse/compute-take"      Exact: "(body (take ?a ?b ?x ?i))"       => "(compute:take ?a ?b (source ?x) (source ?i))";
        "fuse/compute-scatter"   Exact: "(body (@scatter ?a ?b ?x ?i ?u))"=> "(compute:@scatter ?a ?b (source ?x) (source ?i) (source ?u))";
        "fuse/compute-argsort"   Exact: "(body (argsort ?a ?x))"          => "(compute:argsort ?a (source ?x))";

        "fuse/compute-factor"    Exact: "(body (@factor ?x))"             => "(compute:@factor (source ?x))";
        "fuse/compute-triangular" Exact: "(body (triangular_solve ?l ?t ?u ?a ?b))"
                                                                         => "(compute:triangular_solve ?l ?t ?u (source ?a) (source ?b))";
        "fuse/compute-fft"       Exact: "(body (fft ?i ?x))"              => "(compute:fft ?i (source ?x))";

        /// A product of floats may be left to a matrix kernel, which sums in its own order.
        "fuse/contract"   Reassociates: "(body (dot_general ?k ?l ?b ?c ?x ?y))"
                                                                         => "(contract ?k ?l ?b ?c (source ?x) (source ?y))", if "float ?x";

        /// A reader finds the value in memory,
        "fuse/load"              Exact: "(source ?v)"                    => "(load ?v)";

        /// or computes it itself: whatever needs no loop of its own.
        "fuse/inline-unary"      Exact: "(source (@unary ?x))"           => "(inline (body (@unary ?x)))";
        "fuse/inline-binary"     Exact: "(source (@binary ?x ?y))"       => "(inline (body (@binary ?x ?y)))";
        "fuse/inline-compare"    Exact: "(source (@compare ?x ?y))"      => "(inline (body (@compare ?x ?y)))";
        "fuse/inline-select"     Exact: "(source (select ?p ?x ?y))"     => "(inline (body (select ?p ?x ?y)))";
        "fuse/inline-power"      Exact: "(source (integer_pow ?n ?x))"   => "(inline (body (integer_pow ?n ?x)))";
        "fuse/inline-convert"    Exact: "(source (convert ?d ?x))"       => "(inline (body (convert ?d ?x)))";
        "fuse/inline-iota"       Exact: "(source (iota ?d ?s ?a))"       => "(inline (body (iota ?d ?s ?a)))";
        "fuse/inline-broadcast"  Exact: "(source (broadcast_in_dim ?s ?d ?x))" => "(inline (body (broadcast_in_dim ?s ?d ?x)))";
        "fuse/inline-reshape"    Exact: "(source (reshape ?s ?x))"       => "(inline (body (reshape ?s ?x)))";
        "fuse/inline-transpose"  Exact: "(source (transpose ?p ?x))"     => "(inline (body (transpose ?p ?x)))";
        "fuse/inline-slice"      Exact: "(source (slice ?s ?l ?x))"       => "(inline (body (slice ?s ?l ?x)))";
        "fuse/inline-pad"        Exact: "(source (pad ?l ?h ?x ?v))"      => "(inline (body (pad ?l ?h ?x ?v)))";
        "fuse/inline-reverse"    Exact: "(source (reverse ?a ?x))"        => "(inline (body (reverse ?a ?x)))";
        "fuse/inline-concat"     Exact: "(source (concatenate ?a ?x ?y))" => "(inline (body (concatenate ?a ?x ?y)))";
        "fuse/inline-take"       Exact: "(source (take ?a ?b ?x ?i))"     => "(inline (body (take ?a ?b ?x ?i)))";
        "fuse/inline-dot"        Exact: "(source (dot_general ?k ?l ?b ?c ?x ?y))"
                                                                         => "(inline (body (dot_general ?k ?l ?b ?c ?x ?y)))", if "empty ?k";
    }
}
