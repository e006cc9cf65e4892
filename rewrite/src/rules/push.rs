//! Forward mode: what a result's tangent gets of an operand's.
//!
//! In `(push:op:k attributes… operands… ?y ?t)`, `?y` is the primal result (`?z` where `?y` is an
//! operand) and `?t` the tangent of operand k; the right-hand side is ∂y t. The contributions of
//! the operands are summed by the structural rule.

use super::{Line, lines};

/// The lines.
#[rustfmt::skip]
pub fn lines() -> Vec<Line> {
    lines! {
        every "push";

        /// d(−x) = −dx.   |x| has slope 1 at 0 (and −1 at NaN).
        "push/neg"         Exact: "(push:neg:0 ?x ?y ?t)"         => "(neg ?t)";
        "push/abs"         Exact: "(push:abs:0 ?x ?y ?t)"         => "(select (ge ?x (full 0 ?x)) ?t (neg ?t))";

        /// Piecewise constant, or said to be.
        "push/sign"          Exact: "(push:sign:0 ?x ?y ?t)"          => absent;
        "push/floor"         Exact: "(push:floor:0 ?x ?y ?t)"         => absent;
        "push/round"         Exact: "(push:round:0 ?x ?y ?t)"         => absent;
        "push/stop_gradient" Exact: "(push:stop_gradient:0 ?x ?y ?t)" => absent;

        /// The identity.
        "push/barrier"     Exact: "(push:barrier:0 ?x ?y ?t)"     => "?t";

        /// y = √x: 1 / 2y.   y = x^(−1/2): −y / 2x.
        "push/sqrt"        Exact: "(push:sqrt:0 ?x ?y ?t)"        => "(mul ?t (div (full 0.5 ?x) ?y))";
        "push/rsqrt"       Exact: "(push:rsqrt:0 ?x ?y ?t)"       => "(mul ?t (mul (full -0.5 ?x) (div ?y ?x)))";

        /// y = eˣ: y.   y = eˣ − 1: y + 1.   ln x: 1/x.   ln(1+x): 1/(1+x).
        "push/exp"         Exact: "(push:exp:0 ?x ?y ?t)"         => "(mul ?t ?y)";
        "push/expm1"       Exact: "(push:expm1:0 ?x ?y ?t)"       => "(mul ?t (add ?y (full 1 ?x)))";
        "push/log"         Exact: "(push:log:0 ?x ?y ?t)"         => "(div ?t ?x)";
        "push/log1p"       Exact: "(push:log1p:0 ?x ?y ?t)"       => "(div ?t (add ?x (full 1 ?x)))";

        /// sin' = cos.   cos' = −sin.
        "push/sin"         Exact: "(push:sin:0 ?x ?y ?t)"         => "(mul ?t (cos ?x))";
        "push/cos"         Exact: "(push:cos:0 ?x ?y ?t)"         => "(neg (mul ?t (sin ?x)))";

        /// y = tanh x: 1 − y² = (1 + y)(1 − y).   y = logistic x: y (1 − y).
        "push/tanh"        Exact: "(push:tanh:0 ?x ?y ?t)"        => "(mul (add ?t (mul ?t ?y)) (sub (full 1 ?x) ?y))";
        "push/logistic"    Exact: "(push:logistic:0 ?x ?y ?t)"    => "(mul ?t (mul ?y (sub (full 1 ?x) ?y)))";

        /// arcsin: 1/√(1 − x²), where (1 − x)(1 + x) keeps its digits near ±1.   arccos: the negative.
        /// arctan: 1/(1 + x²).
        "push/asin"        Exact: "(push:asin:0 ?x ?y ?t)"         => "(mul ?t (rsqrt (mul (sub (full 1 ?x) ?x) (add (full 1 ?x) ?x))))";
        "push/acos"        Exact: "(push:acos:0 ?x ?y ?t)"         => "(neg (mul ?t (rsqrt (mul (sub (full 1 ?x) ?x) (add (full 1 ?x) ?x)))))";
        "push/atan"        Exact: "(push:atan:0 ?x ?y ?t)"         => "(div ?t (add (full 1 ?x) (mul ?x ?x)))";

        /// erf: 2/√π e^(−x²).   1 − erf: the negative.   y with erf y = x: √π/2 e^(y²).
        "push/erf"         Exact: "(push:erf:0 ?x ?y ?t)"          => "(mul ?t (mul (full 1.1283791670955126 ?x) (exp (neg (mul ?x ?x)))))";
        "push/erfc"        Exact: "(push:erfc:0 ?x ?y ?t)"         => "(mul ?t (mul (full -1.1283791670955126 ?x) (exp (neg (mul ?x ?x)))))";
        "push/erf_inv"     Exact: "(push:erf_inv:0 ?x ?y ?t)"      => "(mul ?t (mul (full 0.886226925452758 ?x) (exp (mul ?y ?y))))";

        /// Linear in each operand.
        "push/add-0"       Exact: "(push:add:0 ?x ?y ?z ?t)"      => "?t";
        "push/add-1"       Exact: "(push:add:1 ?x ?y ?z ?t)"      => "?t";
        "push/sub-0"       Exact: "(push:sub:0 ?x ?y ?z ?t)"      => "?t";
        "push/sub-1"       Exact: "(push:sub:1 ?x ?y ?z ?t)"      => "(neg ?t)";
        "push/mul-0"       Exact: "(push:mul:0 ?x ?y ?z ?t)"      => "(mul ?t ?y)";
        "push/mul-1"       Exact: "(push:mul:1 ?x ?y ?z ?t)"      => "(mul ?t ?x)";

        /// z = x/y: ∂x = 1/y, ∂y = −z/y.
        "push/div-0"       Exact: "(push:div:0 ?x ?y ?z ?t)"      => "(div ?t ?y)";
        "push/div-1"       Exact: "(push:div:1 ?x ?y ?z ?t)"      => "(neg (mul ?t (div ?z ?y)))";

        /// z = x^y: ∂x = y x^(y−1), ∂y = z ln x, with ln 1 in place of ln 0.
        "push/pow-0"       Exact: "(push:pow:0 ?x ?y ?z ?t)"      => "(mul ?t (mul ?y (pow ?x (sub ?y (full 1 ?y)))))";
        "push/pow-1"       Exact: "(push:pow:1 ?x ?y ?z ?t)"      => "(mul ?t (mul (log (select (eq ?x (full 0 ?x)) (full 1 ?x) ?x)) ?z))";

        /// x − n y, n the quotient rounded to zero: ∂x = 1, ∂y = −n.
        "push/rem-0"       Exact: "(push:rem:0 ?x ?y ?z ?t)"       => "?t";
        "push/rem-1"       Exact: "(push:rem:1 ?x ?y ?z ?t)"       => "(neg (mul ?t (mul (sign (div ?x ?y)) (floor (abs (div ?x ?y))))))";

        /// The angle of (y, x), here the operands (x, y): ∂x = y/(x² + y²), ∂y = −x/(x² + y²).
        "push/atan2-0"     Exact: "(push:atan2:0 ?x ?y ?z ?t)"     => "(mul ?t (div ?y (add (mul ?x ?x) (mul ?y ?y))))";
        "push/atan2-1"     Exact: "(push:atan2:1 ?x ?y ?z ?t)"     => "(neg (mul ?t (div ?x (add (mul ?x ?x) (mul ?y ?y)))))";

        /// Where an operand is the result it counts fully, where both are, each counts half.
        "push/max-0"       Exact: "(push:max:0 ?x ?y ?z ?t)"      => "(mul ?t (select (eq ?x ?z) (select (eq ?y ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";
        "push/max-1"       Exact: "(push:max:1 ?x ?y ?z ?t)"      => "(mul ?t (select (eq ?y ?z) (select (eq ?x ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";
        "push/min-0"       Exact: "(push:min:0 ?x ?y ?z ?t)"      => "(mul ?t (select (eq ?x ?z) (select (eq ?y ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";
        "push/min-1"       Exact: "(push:min:1 ?x ?y ?z ?t)"      => "(mul ?t (select (eq ?y ?z) (select (eq ?x ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";

        /// The tangent of where the value came from.
        "push/select-1"    Exact: "(push:select:1 ?p ?x ?y ?z ?t)" => "(select ?p ?t (full 0 ?t))";
        "push/select-2"    Exact: "(push:select:2 ?p ?x ?y ?z ?t)" => "(select ?p (full 0 ?t) ?t)";

        /// xⁿ: n x^(n−1); x⁰ is constant, also where x^(−1) is infinite.
        "push/integer_pow"      Exact: "(push:integer_pow:0 ?n ?x ?y ?t)" => "(mul ?t (mul (full ?n ?x) (integer_pow {pred ?n} ?x)))", if "not_int ?n 0", if "not_int ?n -2147483648";
        "push/integer_pow-least" Exact: "(push:integer_pow:0 ?n ?x ?y ?t)" => "(mul ?t (mul (full ?n ?x) (div ?y ?x)))", if "int ?n -2147483648";
        "push/integer_pow-zero" Exact: "(push:integer_pow:0 ?n ?x ?y ?t)" => "(full 0 ?x)", if "int ?n 0";

        /// Linear: the tangent moves as the value did.
        "push/convert"          Exact: "(push:convert:0 ?d ?x ?y ?t)"             => "(convert ?d ?t)";
        "push/broadcast_in_dim" Exact: "(push:broadcast_in_dim:0 ?s ?d ?x ?y ?t)" => "(broadcast_in_dim ?s ?d ?t)";
        "push/reshape"          Exact: "(push:reshape:0 ?s ?x ?y ?t)"             => "(reshape ?s ?t)";
        "push/transpose"        Exact: "(push:transpose:0 ?p ?x ?y ?t)"           => "(transpose ?p ?t)";
        "push/reduce_sum"       Exact: "(push:reduce_sum:0 ?a ?x ?y ?t)"          => "(reduce_sum ?a ?t)";
        "push/dot_general-0"    Exact: "(push:dot_general:0 ?cx ?cy ?bx ?by ?x ?y ?z ?t)" => "(dot_general ?cx ?cy ?bx ?by ?t ?y)";
        "push/dot_general-1"    Exact: "(push:dot_general:1 ?cx ?cy ?bx ?by ?x ?y ?z ?t)" => "(dot_general ?cx ?cy ?bx ?by ?x ?t)";

        "push/slice"            Exact: "(push:slice:0 ?s ?l ?x ?y ?t)"            => "(slice ?s ?l ?t)";
        "push/pad-0"            Exact: "(push:pad:0 ?l ?h ?x ?v ?z ?t)"           => "(pad ?l ?h ?t (constant {zero ?t}))";
        "push/pad-1"            Exact: "(push:pad:1 ?l ?h ?x ?v ?z ?t)"           => "(pad ?l ?h (full 0 ?x) ?t)";
        "push/reverse"          Exact: "(push:reverse:0 ?a ?x ?y ?t)"             => "(reverse ?a ?t)";
        "push/concatenate-0"    Exact: "(push:concatenate:0 ?a ?x ?y ?z ?t)"      => "(concatenate ?a ?t (full 0 ?y))";
        "push/concatenate-1"    Exact: "(push:concatenate:1 ?a ?x ?y ?z ?t)"      => "(concatenate ?a (full 0 ?x) ?t)";
        "push/take"             Exact: "(push:take:0 ?a ?b ?x ?i ?y ?t)"          => "(take ?a ?b ?t ?i)";
        "push/scatter_add-0"    Exact: "(push:scatter_add:0 ?a ?b ?x ?i ?u ?z ?t)" => "?t";
        "push/scatter_add-2"    Exact: "(push:scatter_add:2 ?a ?b ?x ?i ?u ?z ?t)" => "(scatter_add ?a ?b (full 0 ?x) ?i ?t)";

        /// The mean tangent of the elements that equal the maximum.
        "push/reduce_max"       Exact: "(push:reduce_max:0 ?a ?x ?y ?t)"
            => "(div (reduce_sum ?a (select (eq ?x (broadcast_in_dim {shape ?x} {except ?a ?x} ?y)) ?t (full 0 ?t)))
                     (reduce_sum ?a (convert {dtype ?x} (eq ?x (broadcast_in_dim {shape ?x} {except ?a ?x} ?y)))))";

        /// The sum over the elements of the tangent times the product of the others, as in `pull`.
        "push/reduce_prod"      Exact: "(push:reduce_prod:0 ?a ?x ?y ?t)"
            => "(reduce_sum ?a (mul ?t
                     (reduce_prod {after {shape ?x} ?a}
                           (select (eq (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} ?a
                                         (reshape {pick {shape ?x} ?a} (iota i32 {total {shape ?x} ?a} 0)))
                                       (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} {after {shape ?x} ?a}
                                         (reshape {pick {shape ?x} ?a} (iota i32 {total {shape ?x} ?a} 0))))
                                   (full 1 (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} {concat {except ?a ?x} {after {shape ?x} ?a}}
                                     (transpose {concat {except ?a ?x} ?a} ?x)))
                                   (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} {concat {except ?a ?x} {after {shape ?x} ?a}}
                                     (transpose {concat {except ?a ?x} ?a} ?x))))))";
    }
}
