//! Simplification, after the last transform: oriented rules that end, and alternatives among which
//! extraction chooses.
//!
//! A constant is any value whose elements are all one known number. Numbers are compared bit for
//! bit, so `-0` names the zero that adding changes nothing by, also to -0 (and an integer's only
//! zero).

use super::{Line, lines};

/// The lines.
#[rustfmt::skip]
pub fn lines() -> Vec<Line> {
    lines! {
        /// # What moves nothing
        "simplify/stop-gradient"      Exact: "(stop_gradient ?x)"          => "?x";
        "simplify/convert-same"       Exact: "(convert ?d ?x)"             => "?x", if "has_dtype ?x ?d";
        "simplify/reshape-same"       Exact: "(reshape ?s ?x)"             => "?x", if "has_shape ?x ?s";
        "simplify/broadcast-same"     Exact: "(broadcast_in_dim ?s ?d ?x)" => "?x", if "has_shape ?x ?s";
        "simplify/transpose-same"     Exact: "(transpose ?p ?x)"           => "?x", if "in_place ?p ?x";
        "simplify/transpose-ones"     Exact: "(transpose ?p ?x)"           => "(reshape {pick {shape ?x} ?p} ?x)", if "moves_ones ?p ?x";
        "simplify/reduce-none"        Exact: "(@reduce ?a ?x)"             => "?x", if "empty ?a";
        /// A maximum over axes of length 1; a sum starts from 0, and 0 + (−0) = 0.
        "simplify/max-one"            Exact: "(reduce_max ?a ?x)" => "(reshape {without {shape ?x} ?a} ?x)", if "length_one ?x ?a";
        "simplify/prod-one"           Exact: "(reduce_prod ?a ?x)" => "(reshape {without {shape ?x} ?a} ?x)", if "length_one ?x ?a";
        "simplify/sum-one"       SignedZero: "(reduce_sum ?a ?x)" => "(reshape {without {shape ?x} ?a} ?x)", if "length_one ?x ?a";

        /// # Moves of moves
        "simplify/transpose-transpose" Exact: "(transpose ?q (transpose ?p ?x))" => "(transpose {pick ?p ?q} ?x)";
        "simplify/reshape-reshape"     Exact: "(reshape ?s (reshape ?t ?x))"     => "(reshape ?s ?x)";
        "simplify/broadcast-broadcast" Exact: "(broadcast_in_dim ?s ?d (broadcast_in_dim ?t ?e ?x))" => "(broadcast_in_dim ?s {pick ?d ?e} ?x)";
        "simplify/transpose-broadcast" Exact: "(transpose ?p (broadcast_in_dim ?s ?d ?x))"
            => "(broadcast_in_dim {pick ?s ?p} {pick {inverse ?p} ?d} ?x)", if "keeps_order ?p ?d";
        /// Through a type that changes no value of x.
        "simplify/convert-convert"     Exact: "(convert ?d (convert ?e ?x))"     => "(convert ?d ?x)", if "transparent ?d ?e ?x";

        /// # Computing before repeating
        "simplify/broadcast-unary"   Exact: "(@unary (broadcast_in_dim ?s ?d ?x))"         => "(broadcast_in_dim ?s ?d (@unary ?x))";
        "simplify/broadcast-power"   Exact: "(integer_pow ?n (broadcast_in_dim ?s ?d ?x))" => "(broadcast_in_dim ?s ?d (integer_pow ?n ?x))";
        "simplify/broadcast-convert" Exact: "(convert ?t (broadcast_in_dim ?s ?d ?x))"     => "(broadcast_in_dim ?s ?d (convert ?t ?x))";
        "simplify/broadcast-binary"  Exact: "(@binary (broadcast_in_dim ?s ?d ?x) (broadcast_in_dim ?s ?d ?y))"  => "(broadcast_in_dim ?s ?d (@binary ?x ?y))", if "same_aval ?x ?y";
        "simplify/broadcast-compare" Exact: "(@compare (broadcast_in_dim ?s ?d ?x) (broadcast_in_dim ?s ?d ?y))" => "(broadcast_in_dim ?s ?d (@compare ?x ?y))", if "same_aval ?x ?y";
        "simplify/broadcast-constant-right" Exact: "(@binary (broadcast_in_dim ?s ?d ?x) ?k)" => "(broadcast_in_dim ?s ?d (@binary ?x (full {value ?k} ?x)))", if "known ?k";
        "simplify/broadcast-constant-left"  Exact: "(@binary ?k (broadcast_in_dim ?s ?d ?x))" => "(broadcast_in_dim ?s ?d (@binary (full {value ?k} ?x) ?x))", if "known ?k";

        /// # Signs
        "simplify/neg-neg"       Exact: "(neg (neg ?x))"          => "?x";
        "simplify/abs-neg"       Exact: "(abs (neg ?x))"          => "(abs ?x)";
        "simplify/floor-floor"   Exact: "(floor (floor ?x))"      => "(floor ?x)";
        "simplify/round-round"   Exact: "(round (round ?x))"      => "(round ?x)";
        "simplify/abs-abs"       Exact: "(abs (abs ?x))"          => "(abs ?x)";
        "simplify/add-neg"       Exact: "(add ?x (neg ?y))"       => "(sub ?x ?y)";
        "simplify/neg-add"       Exact: "(add (neg ?x) ?y)"       => "(sub ?y ?x)";
        "simplify/sub-neg"       Exact: "(sub ?x (neg ?y))"       => "(add ?x ?y)";
        "simplify/mul-neg"       Exact: "(mul ?x (neg ?y))"       => "(neg (mul ?x ?y))";
        "simplify/neg-mul"       Exact: "(mul (neg ?x) ?y)"       => "(neg (mul ?x ?y))";
        "simplify/div-neg"       Exact: "(div ?x (neg ?y))"       => "(neg (div ?x ?y))", if "float ?x";
        "simplify/neg-div"       Exact: "(div (neg ?x) ?y)"       => "(neg (div ?x ?y))", if "float ?x";
        "simplify/neg-sub"  SignedZero: "(neg (sub ?x ?y))"       => "(sub ?y ?x)";
        "simplify/sum-neg"  SignedZero: "(reduce_sum ?a (neg ?x))" => "(neg (reduce_sum ?a ?x))";
        "simplify/mul-minus-one" Exact: "(mul ?x ?k)"             => "(neg ?x)", if "constant ?k -1";
        "simplify/minus-one-mul" Exact: "(mul ?k ?x)"             => "(neg ?x)", if "constant ?k -1";

        /// # Neutral and absorbing elements
        "simplify/add-zero"           Exact: "(add ?x ?k)" => "?x", if "constant ?k -0";
        "simplify/zero-add"           Exact: "(add ?k ?x)" => "?x", if "constant ?k -0";
        "simplify/add-plus-zero" SignedZero: "(add ?x ?k)" => "?x", if "constant ?k 0";
        "simplify/plus-zero-add" SignedZero: "(add ?k ?x)" => "?x", if "constant ?k 0";
        "simplify/sub-zero"           Exact: "(sub ?x ?k)" => "?x", if "constant ?k 0";
        "simplify/sub-minus-zero" SignedZero: "(sub ?x ?k)" => "?x", if "constant ?k -0";
        "simplify/zero-sub"           Exact: "(sub ?k ?x)" => "(neg ?x)", if "constant ?k -0";
        "simplify/plus-zero-sub" SignedZero: "(sub ?k ?x)" => "(neg ?x)", if "constant ?k 0";
        "simplify/mul-one"            Exact: "(mul ?x ?k)" => "?x", if "constant ?k 1";
        "simplify/one-mul"            Exact: "(mul ?k ?x)" => "?x", if "constant ?k 1";
        "simplify/div-one"            Exact: "(div ?x ?k)" => "?x", if "constant ?k 1";
        "simplify/integer-mul-zero"   Exact: "(mul ?x ?k)" => "?k", if "constant ?k 0", if "integer ?k";
        "simplify/integer-zero-mul"   Exact: "(mul ?k ?x)" => "?k", if "constant ?k 0", if "integer ?k";
        "simplify/integer-sub-self"   Exact: "(sub ?x ?x)" => "(full 0 ?x)", if "integer ?x";
        "simplify/mul-zero"   AssumesFinite: "(mul ?x ?k)" => "?k", if "constant ?k 0";
        "simplify/zero-mul"   AssumesFinite: "(mul ?k ?x)" => "?k", if "constant ?k 0";
        "simplify/sub-self"   AssumesFinite: "(sub ?x ?x)" => "(full 0 ?x)";
        "simplify/div-self"   AssumesFinite: "(div ?x ?x)" => "(full 1 ?x)", if "float ?x";
        "simplify/xor-zero"           Exact: "(xor ?x ?k)" => "?x", if "constant ?k 0";
        "simplify/zero-xor"           Exact: "(xor ?k ?x)" => "?x", if "constant ?k 0";
        "simplify/xor-self"           Exact: "(xor ?x ?x)" => "(full 0 ?x)";
        "simplify/shift-left-none"    Exact: "(shift_left ?x ?k)" => "?x", if "constant ?k 0";
        "simplify/shift-right-none"   Exact: "(shift_right_logical ?x ?k)" => "?x", if "constant ?k 0";
        "simplify/shift-sign-none"    Exact: "(shift_right_arithmetic ?x ?k)" => "?x", if "constant ?k 0";
        "simplify/exp-log"    AssumesDomain: "(exp (log ?x))" => "?x";
        "simplify/log-exp"    AssumesDomain: "(log (exp ?x))" => "?x";
        /// Division by a power of two is exact; by anything else it rounds twice.
        "simplify/div-power"          Exact: "(div ?x ?k)" => "(mul ?x (full {reciprocal ?k} ?x))", if "power_of_two ?k";
        "simplify/div-constant" Reassociates: "(div ?x ?k)" => "(mul ?x (full {reciprocal ?k} ?x))", if "invertible ?k";

        /// # Powers: repeated squaring, written out where that is one operation
        "simplify/power-zero"         Exact: "(integer_pow ?n ?x)" => "(full 1 ?x)",            if "int ?n 0";
        "simplify/power-one"          Exact: "(integer_pow ?n ?x)" => "?x",                     if "int ?n 1";
        "simplify/power-two"          Exact: "(integer_pow ?n ?x)" => "(mul ?x ?x)",            if "int ?n 2";
        "simplify/power-minus-one"    Exact: "(integer_pow ?n ?x)" => "(div (full 1 ?x) ?x)",   if "int ?n -1", if "float ?x";

        /// # Logic and choice
        "simplify/not-not"        Exact: "(not (not ?x))"       => "?x";
        "simplify/and-self"       Exact: "(and ?x ?x)"          => "?x";
        "simplify/or-self"        Exact: "(or ?x ?x)"           => "?x";
        "simplify/and-true"       Exact: "(and ?x ?k)"          => "?x", if "constant ?k 1", if "truth ?k";
        "simplify/true-and"       Exact: "(and ?k ?x)"          => "?x", if "constant ?k 1", if "truth ?k";
        "simplify/and-false"      Exact: "(and ?x ?k)"          => "?k", if "constant ?k 0";
        "simplify/false-and"      Exact: "(and ?k ?x)"          => "?k", if "constant ?k 0";
        "simplify/or-false"       Exact: "(or ?x ?k)"           => "?x", if "constant ?k 0";
        "simplify/false-or"       Exact: "(or ?k ?x)"           => "?x", if "constant ?k 0";
        "simplify/or-true"        Exact: "(or ?x ?k)"           => "?k", if "constant ?k 1", if "truth ?k";
        "simplify/true-or"        Exact: "(or ?k ?x)"           => "?k", if "constant ?k 1", if "truth ?k";
        "simplify/max-self"       Exact: "(max ?x ?x)"          => "?x";
        "simplify/min-self"       Exact: "(min ?x ?x)"          => "?x";
        "simplify/select-same"    Exact: "(select ?p ?x ?x)"    => "?x";
        "simplify/select-true"    Exact: "(select ?p ?x ?y)"    => "?x", if "constant ?p 1";
        "simplify/select-false"   Exact: "(select ?p ?x ?y)"    => "?y", if "constant ?p 0";
        "simplify/select-not"     Exact: "(select (not ?p) ?x ?y)" => "(select ?p ?y ?x)";

        /// # Constants
        "simplify/fold-unary"     Exact: "(@unary ?x)"          => "(fold @unary ?x)",      if "known ?x";
        "simplify/fold-binary"    Exact: "(@binary ?x ?y)"      => "(fold @binary ?x ?y)",  if "known ?x", if "known ?y";
        "simplify/fold-compare"   Exact: "(@compare ?x ?y)"     => "(fold @compare ?x ?y)", if "known ?x", if "known ?y";
        "simplify/fold-power"     Exact: "(integer_pow ?n ?x)"  => "(fold integer_pow ?n ?x)", if "known ?x";
        "simplify/fold-convert"   Exact: "(convert ?d ?x)"      => "(fold convert ?d ?x)",  if "known ?x";

        /// # Parts
        "simplify/slice-slice"     Exact: "(slice ?s ?l (slice ?t ?m ?x))"   => "(slice {plus ?s ?t} {plus ?l ?t} ?x)";
        "simplify/reverse-reverse" Exact: "(reverse ?a (reverse ?b ?x))"     => "(reverse {either ?a ?b} ?x)";
        "simplify/slice-pad"       Exact: "(slice ?l ?m (pad ?l ?h ?x ?v))"  => "?x", if "ends ?x ?l ?m";
        "simplify/slice-first"     Exact: "(slice ?s ?l (concatenate ?a ?x ?y))" => "?x", if "starts ?s", if "has_shape ?x ?l";

        /// # Sums
        "simplify/sum-sum" Reassociates: "(reduce_sum ?a (reduce_sum ?b ?x))" => "(reduce_sum {merge ?b ?a ?x} ?x)";
        "simplify/prod-prod" Reassociates: "(reduce_prod ?a (reduce_prod ?b ?x))" => "(reduce_prod {merge ?b ?a ?x} ?x)";
        "simplify/max-max"        Exact: "(reduce_max ?a (reduce_max ?b ?x))" => "(reduce_max {merge ?b ?a ?x} ?x)";
        /// What is repeated n times sums to n times itself.
        "simplify/sum-broadcast" Reassociates: "(reduce_sum ?a (broadcast_in_dim ?s ?d ?x))"
            => "(mul (broadcast_in_dim {without ?s ?a} {renumber {except_from ?d ?a} ?a} (reduce_sum {positions ?a ?d} ?x))
                     (full {repeats ?a ?s ?d} (broadcast_in_dim {without ?s ?a} {renumber {except_from ?d ?a} ?a} (reduce_sum {positions ?a ?d} ?x))))", if "unstretched ?x ?s ?d", if "repeats_some ?a ?s ?d";

        /// # Products
        /// Contracting nothing: an outer product.
        "simplify/dot-outer" Exact: "(dot_general ?cx ?cy ?bx ?by ?x ?y)"
            => "(mul (broadcast_in_dim {concat {pick {shape ?x} {concat ?bx {free ?cx ?bx ?x}}} {pick {shape ?y} {free ?cy ?by ?y}}}
                                       {count {concat ?bx {free ?cx ?bx ?x}}}
                                       (transpose {concat ?bx {free ?cx ?bx ?x}} ?x))
                     (broadcast_in_dim {concat {pick {shape ?x} {concat ?bx {free ?cx ?bx ?x}}} {pick {shape ?y} {free ?cy ?by ?y}}}
                                       {concat {count ?by} {after {concat ?bx {free ?cx ?bx ?x}} {free ?cy ?by ?y}}}
                                       (transpose {concat ?by {free ?cy ?by ?y}} ?y)))", if "empty ?cx";
        /// A product is a sum of products, added up in this order.
        "simplify/dot-reduce" Exact: "(dot_general ?cx ?cy ?bx ?by ?x ?y)"
            => "(reduce_sum {after {concat {concat ?bx {free ?cx ?bx ?x}} {free ?cy ?by ?y}} ?cx}
                  (mul (broadcast_in_dim {concat {concat {pick {shape ?x} {concat ?bx {free ?cx ?bx ?x}}} {pick {shape ?y} {free ?cy ?by ?y}}} {pick {shape ?x} ?cx}}
                                         {concat {count {concat ?bx {free ?cx ?bx ?x}}} {after {concat {concat ?bx {free ?cx ?bx ?x}} {free ?cy ?by ?y}} ?cx}}
                                         (transpose {concat {concat ?bx {free ?cx ?bx ?x}} ?cx} ?x))
                       (broadcast_in_dim {concat {concat {pick {shape ?x} {concat ?bx {free ?cx ?bx ?x}}} {pick {shape ?y} {free ?cy ?by ?y}}} {pick {shape ?x} ?cx}}
                                         {concat {count ?by} {after {concat ?bx {free ?cx ?bx ?x}} {concat {free ?cy ?by ?y} ?cy}}}
                                         (transpose {concat {concat ?by {free ?cy ?by ?y}} ?cy} ?y))))", if "not_empty ?cx";
        /// Transposing the result exchanges the operands; an operand may be read where it lies.
        "simplify/dot-swap" Exact: "(transpose ?p (dot_general ?cx ?cy ?bx ?by ?x ?y))" => "(dot_general ?cy ?cx ?by ?bx ?y ?x)", if "swaps ?p ?cx ?bx ?x ?y";
        "simplify/dot-transpose-0" Exact: "(dot_general ?cx ?cy ?bx ?by (transpose ?p ?x) ?y)" => "(dot_general {pick ?p ?cx} ?cy {pick ?p ?bx} ?by ?x ?y)", if "keeps_free ?p ?cx ?bx";
        "simplify/dot-transpose-1" Exact: "(dot_general ?cx ?cy ?bx ?by ?x (transpose ?p ?y))" => "(dot_general ?cx {pick ?p ?cy} ?bx {pick ?p ?by} ?x ?y)", if "keeps_free ?p ?cy ?by";
    }
}
