//! Reverse mode: what an operand gets of its result's cotangent.
//!
//! In `(pull:op:k attributes… operands… ?y ?c)`, `?y` is the primal result (`?z` where `?y` is an
//! operand) and `?c` its cotangent; the right-hand side is the contribution to operand k, which is
//! the transpose of the derivative, ∂yᵀ c. Values at ties, kinks and poles are JAX's.

use super::{Line, lines};

/// The lines.
#[rustfmt::skip]
pub fn lines() -> Vec<Line> {
    lines! {
        every "pull";

        /// d(−x) = −dx.   |x| has slope 1 at 0 (and −1 at NaN).
        "pull/neg"         Exact: "(pull:neg:0 ?x ?y ?c)"         => "(neg ?c)";
        "pull/abs"         Exact: "(pull:abs:0 ?x ?y ?c)"         => "(select (ge ?x (full 0 ?x)) ?c (neg ?c))";

        /// Piecewise constant, or said to be.
        "pull/sign"          Exact: "(pull:sign:0 ?x ?y ?c)"          => absent;
        "pull/floor"         Exact: "(pull:floor:0 ?x ?y ?c)"         => absent;
        "pull/round"         Exact: "(pull:round:0 ?x ?y ?c)"         => absent;
        "pull/stop_gradient" Exact: "(pull:stop_gradient:0 ?x ?y ?c)" => absent;

        /// The identity.
        "pull/barrier"     Exact: "(pull:barrier:0 ?x ?y ?c)"     => "?c";

        /// y = √x: 1 / 2y.   y = x^(−1/2): −y / 2x.
        "pull/sqrt"        Exact: "(pull:sqrt:0 ?x ?y ?c)"        => "(mul ?c (div (full 0.5 ?x) ?y))";
        "pull/rsqrt"       Exact: "(pull:rsqrt:0 ?x ?y ?c)"       => "(mul ?c (mul (full -0.5 ?x) (div ?y ?x)))";

        /// y = eˣ: y.   y = eˣ − 1: y + 1.   ln x: 1/x.   ln(1+x): 1/(1+x).
        "pull/exp"         Exact: "(pull:exp:0 ?x ?y ?c)"         => "(mul ?c ?y)";
        "pull/expm1"       Exact: "(pull:expm1:0 ?x ?y ?c)"       => "(mul ?c (add ?y (full 1 ?x)))";
        "pull/log"         Exact: "(pull:log:0 ?x ?y ?c)"         => "(div ?c ?x)";
        "pull/log1p"       Exact: "(pull:log1p:0 ?x ?y ?c)"       => "(div ?c (add ?x (full 1 ?x)))";

        /// sin' = cos.   cos' = −sin.
        "pull/sin"         Exact: "(pull:sin:0 ?x ?y ?c)"         => "(mul ?c (cos ?x))";
        "pull/cos"         Exact: "(pull:cos:0 ?x ?y ?c)"         => "(neg (mul ?c (sin ?x)))";

        /// y = tanh x: 1 − y² = (1 + y)(1 − y), of which the product keeps its digits near ±1.
        /// y = logistic x: y (1 − y).
        "pull/tanh"        Exact: "(pull:tanh:0 ?x ?y ?c)"        => "(mul (add ?c (mul ?c ?y)) (sub (full 1 ?x) ?y))";
        "pull/logistic"    Exact: "(pull:logistic:0 ?x ?y ?c)"    => "(mul ?c (mul ?y (sub (full 1 ?x) ?y)))";

        /// arcsin: 1/√(1 − x²), where (1 − x)(1 + x) keeps its digits near ±1.   arccos: the negative.
        /// arctan: 1/(1 + x²).
        "pull/asin"        Exact: "(pull:asin:0 ?x ?y ?c)"         => "(mul ?c (rsqrt (mul (sub (full 1 ?x) ?x) (add (full 1 ?x) ?x))))";
        "pull/acos"        Exact: "(pull:acos:0 ?x ?y ?c)"         => "(neg (mul ?c (rsqrt (mul (sub (full 1 ?x) ?x) (add (full 1 ?x) ?x)))))";
        "pull/atan"        Exact: "(pull:atan:0 ?x ?y ?c)"         => "(div ?c (add (full 1 ?x) (mul ?x ?x)))";

        /// erf: 2/√π e^(−x²).   1 − erf: the negative.   y with erf y = x: √π/2 e^(y²).
        "pull/erf"         Exact: "(pull:erf:0 ?x ?y ?c)"          => "(mul ?c (mul (full 1.1283791670955126 ?x) (exp (neg (mul ?x ?x)))))";
        "pull/erfc"        Exact: "(pull:erfc:0 ?x ?y ?c)"         => "(mul ?c (mul (full -1.1283791670955126 ?x) (exp (neg (mul ?x ?x)))))";
        "pull/erf_inv"     Exact: "(pull:erf_inv:0 ?x ?y ?c)"      => "(mul ?c (mul (full 0.886226925452758 ?x) (exp (mul ?y ?y))))";

        /// Linear in each operand.
        "pull/add-0"       Exact: "(pull:add:0 ?x ?y ?z ?c)"      => "?c";
        "pull/add-1"       Exact: "(pull:add:1 ?x ?y ?z ?c)"      => "?c";
        "pull/sub-0"       Exact: "(pull:sub:0 ?x ?y ?z ?c)"      => "?c";
        "pull/sub-1"       Exact: "(pull:sub:1 ?x ?y ?z ?c)"      => "(neg ?c)";
        "pull/mul-0"       Exact: "(pull:mul:0 ?x ?y ?z ?c)"      => "(mul ?c ?y)";
        "pull/mul-1"       Exact: "(pull:mul:1 ?x ?y ?z ?c)"      => "(mul ?c ?x)";

        /// z = x/y: ∂x = 1/y, ∂y = −z/y.
        "pull/div-0"       Exact: "(pull:div:0 ?x ?y ?z ?c)"      => "(div ?c ?y)";
        "pull/div-1"       Exact: "(pull:div:1 ?x ?y ?z ?c)"      => "(neg (mul ?c (div ?z ?y)))";

        /// z = x^y: ∂x = y x^(y−1), ∂y = z ln x, with ln 1 in place of ln 0.
        "pull/pow-0"       Exact: "(pull:pow:0 ?x ?y ?z ?c)"      => "(mul ?c (mul ?y (pow ?x (sub ?y (full 1 ?y)))))";
        "pull/pow-1"       Exact: "(pull:pow:1 ?x ?y ?z ?c)"      => "(mul ?c (mul (log (select (eq ?x (full 0 ?x)) (full 1 ?x) ?x)) ?z))";

        /// x − n y, n the quotient rounded to zero: ∂x = 1, ∂y = −n.
        "pull/rem-0"       Exact: "(pull:rem:0 ?x ?y ?z ?c)"       => "?c";
        "pull/rem-1"       Exact: "(pull:rem:1 ?x ?y ?z ?c)"       => "(neg (mul ?c (mul (sign (div ?x ?y)) (floor (abs (div ?x ?y))))))";

        /// The angle of (y, x), here the operands (x, y): ∂x = y/(x² + y²), ∂y = −x/(x² + y²).
        "pull/atan2-0"     Exact: "(pull:atan2:0 ?x ?y ?z ?c)"     => "(mul ?c (div ?y (add (mul ?x ?x) (mul ?y ?y))))";
        "pull/atan2-1"     Exact: "(pull:atan2:1 ?x ?y ?z ?c)"     => "(neg (mul ?c (div ?x (add (mul ?x ?x) (mul ?y ?y)))))";

        /// Where an operand is the result it gets all of c, where both are, each gets half.
        "pull/max-0"       Exact: "(pull:max:0 ?x ?y ?z ?c)"      => "(mul ?c (select (eq ?x ?z) (select (eq ?y ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";
        "pull/max-1"       Exact: "(pull:max:1 ?x ?y ?z ?c)"      => "(mul ?c (select (eq ?y ?z) (select (eq ?x ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";
        "pull/min-0"       Exact: "(pull:min:0 ?x ?y ?z ?c)"      => "(mul ?c (select (eq ?x ?z) (select (eq ?y ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";
        "pull/min-1"       Exact: "(pull:min:1 ?x ?y ?z ?c)"      => "(mul ?c (select (eq ?y ?z) (select (eq ?x ?z) (full 0.5 ?x) (full 1 ?x)) (full 0 ?x)))";

        /// c goes where the value came from.
        "pull/select-1"    Exact: "(pull:select:1 ?p ?x ?y ?z ?c)" => "(select ?p ?c (full 0 ?c))";
        "pull/select-2"    Exact: "(pull:select:2 ?p ?x ?y ?z ?c)" => "(select ?p (full 0 ?c) ?c)";

        /// xⁿ: n x^(n−1), as n xⁿ/x where n − 1 is no `i32`; x⁰ is constant, also where x^(−1) is infinite.
        "pull/integer_pow"      Exact: "(pull:integer_pow:0 ?n ?x ?y ?c)" => "(mul ?c (mul (full ?n ?x) (integer_pow {pred ?n} ?x)))", if "not_int ?n 0", if "not_int ?n -2147483648";
        "pull/integer_pow-least" Exact: "(pull:integer_pow:0 ?n ?x ?y ?c)" => "(mul ?c (mul (full ?n ?x) (div ?y ?x)))", if "int ?n -2147483648";
        "pull/integer_pow-zero" Exact: "(pull:integer_pow:0 ?n ?x ?y ?c)" => "(full 0 ?x)", if "int ?n 0";

        /// Moves are linear: their transposes move back, and sum what was repeated.
        "pull/convert"          Exact: "(pull:convert:0 ?d ?x ?y ?c)"            => "(convert {dtype ?x} ?c)";
        "pull/broadcast_in_dim" Exact: "(pull:broadcast_in_dim:0 ?s ?d ?x ?y ?c)" => "(reshape {shape ?x} (reduce_sum {repeated ?x ?s ?d} ?c))";
        "pull/reshape"          Exact: "(pull:reshape:0 ?s ?x ?y ?c)"            => "(reshape {shape ?x} ?c)";
        "pull/transpose"        Exact: "(pull:transpose:0 ?p ?x ?y ?c)"          => "(transpose {inverse ?p} ?c)";
        "pull/reduce_sum"       Exact: "(pull:reduce_sum:0 ?a ?x ?y ?c)"         => "(broadcast_in_dim {shape ?x} {except ?a ?x} ?c)";

        /// What was cut off gets nothing; what a pad put around gets all that lies there.
        "pull/slice"         Exact: "(pull:slice:0 ?s ?l ?x ?y ?c)"           => "(pad ?s {beyond ?l ?x} ?c (constant {zero ?c}))";
        "pull/pad-0"         Exact: "(pull:pad:0 ?l ?h ?x ?v ?z ?c)"          => "(slice ?l {plus ?l {shape ?x}} ?c)";
        "pull/pad-1"         Exact: "(pull:pad:1 ?l ?h ?x ?v ?z ?c)"
            => "(reduce_sum {count {shape ?c}} (select (pad ?l ?h (full 0 (convert bool ?x)) (constant truebool)) ?c (full 0 ?c)))";
        "pull/reverse"       Exact: "(pull:reverse:0 ?a ?x ?y ?c)"            => "(reverse ?a ?c)";
        "pull/concatenate-0" Exact: "(pull:concatenate:0 ?a ?x ?y ?z ?c)"     => "(slice {origin ?x} {shape ?x} ?c)";
        "pull/concatenate-1" Exact: "(pull:concatenate:1 ?a ?x ?y ?z ?c)"     => "(slice {along ?a ?x} {shape ?c} ?c)";

        /// What was taken adds up where it was taken from, and the other way round.
        "pull/take"          Exact: "(pull:take:0 ?a ?b ?x ?i ?y ?c)"         => "(scatter_add ?a ?b (full 0 ?x) ?i ?c)", if "strewn ?i ?b";
        /// Of a part it is put back where it was, of one element each there, and of windows each element
        /// gets what those got that see it: c is taken for every offset, with gaps where windows are apart.
        "pull/take-part"     Exact: "(pull:take:0 ?a ?b ?x ?i ?y ?c)"         => "(take ?a ?b ?c (placed {last_axis ?i} ?i ?a ?x))", if "shifts ?i ?b";
        "pull/take-one"      Exact: "(pull:take:0 ?a ?b ?x ?i ?y ?c)"
            => "(select (eq (iota i32 {shape ?x} ?a) (broadcast_in_dim {shape ?x} {first ?b} (reshape {pick {shape ?i} {first ?b}} ?i)))
                        (stretched {shape ?x} (reshape {first_of ?a ?x} ?c)) (full 0 ?x))", if "single ?i ?b";
        "pull/take-windows"  Exact: "(pull:take:0 ?a ?b ?x ?i ?y ?c)"
            => "(reduce_sum [0] (take {succ ?a} 1 (gapped {succ ?a} {stride ?i} (transpose {offsets_first ?a ?c} ?c)) (placed 0 ?i ?a ?x)))", if "slides ?i ?b";
        "pull/scatter_add-0" Exact: "(pull:scatter_add:0 ?a ?b ?x ?i ?u ?z ?c)" => "?c";
        "pull/scatter_add-2" Exact: "(pull:scatter_add:2 ?a ?b ?x ?i ?u ?z ?c)" => "(take ?a ?b ?c ?i)";

        /// The elements that equal the maximum share c equally; if it is NaN, none gets any.
        "pull/reduce_max"       Exact: "(pull:reduce_max:0 ?a ?x ?y ?c)"
            => "(select (eq ?x (broadcast_in_dim {shape ?x} {except ?a ?x} ?y))
                        (broadcast_in_dim {shape ?x} {except ?a ?x}
                          (div ?c (reduce_sum ?a (convert {dtype ?x} (eq ?x (broadcast_in_dim {shape ?x} {except ?a ?x} ?y))))))
                        (full 0 ?x))";

        /// Each element gets the product of the others: of as many copies of the axes as they have
        /// elements, the k-th with a 1 for its k-th element. No division, so zeros are no exception.
        "pull/reduce_prod"      Exact: "(pull:reduce_prod:0 ?a ?x ?y ?c)"
            => "(mul (broadcast_in_dim {shape ?x} {except ?a ?x} ?c)
                     (reduce_prod {after {shape ?x} ?a}
                           (select (eq (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} ?a
                                         (reshape {pick {shape ?x} ?a} (iota i32 {total {shape ?x} ?a} 0)))
                                       (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} {after {shape ?x} ?a}
                                         (reshape {pick {shape ?x} ?a} (iota i32 {total {shape ?x} ?a} 0))))
                                   (full 1 (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} {concat {except ?a ?x} {after {shape ?x} ?a}}
                                     (transpose {concat {except ?a ?x} ?a} ?x)))
                                   (broadcast_in_dim {concat {shape ?x} {pick {shape ?x} ?a}} {concat {except ?a ?x} {after {shape ?x} ?a}}
                                     (transpose {concat {except ?a ?x} ?a} ?x)))))";

        /// z[b,i,j] = Σₖ x[b,i,k] y[b,k,j]: ∂x = Σⱼ c[b,i,j] y[b,k,j], ∂y = Σᵢ x[b,i,k] c[b,i,j];
        /// then the axes go back to where the operand has them.
        "pull/dot_general-0" Exact: "(pull:dot_general:0 ?cx ?cy ?bx ?by ?x ?y ?z ?c)"
            => "(transpose {inverse {concat {concat ?bx {free ?cx ?bx ?x}} {sort_by ?cx ?cy}}}
                  (dot_general {last {free ?cy ?by ?y} ?z} {free ?cy ?by ?y} {count ?by} ?by ?c ?y))";
        "pull/dot_general-1" Exact: "(pull:dot_general:1 ?cx ?cy ?bx ?by ?x ?y ?z ?c)"
            => "(transpose {inverse {concat {concat ?by {sort_by ?cy ?cx}} {free ?cy ?by ?y}}}
                  (dot_general {free ?cx ?bx ?x} {after ?bx {free ?cx ?bx ?x}} ?bx {count ?bx} ?x ?c))";
    }
}
