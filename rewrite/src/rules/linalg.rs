//! The lines of linear algebra and Fourier transforms, for the tables of the stages.
//!
//! A matrix is the last two axes, all others are a batch; [`NOTATION`](super::notation::NOTATION) has
//! names for what is done to them. The factors of a factorisation are parts of one result, one above
//! the other.

use super::{Line, lines};

/// Forward mode.
#[rustfmt::skip]
pub fn push() -> Vec<Line> {
    lines! {
        /// # Linear algebra
        /// S = (A + Aᵀ)/2 = L Lᵀ:  dL = L φ(L⁻¹ dS L⁻ᵀ), where φ halves the diagonal and drops what is above.
        "push/cholesky" Exact: "(push:cholesky:0 ?x ?y ?t)"
            => "(matmul ?y (half_lower (triangular_solve 1 0 0 ?y (turned (triangular_solve 1 0 0 ?y (symmetric ?t))))))";

        /// A x = b, of which A's triangle is T:  dx = A⁻¹ (db − dT x).
        "push/triangular_solve-0" Exact: "(push:triangular_solve:0 ?l ?t ?u ?a ?b ?x ?d)"
            => "(neg (triangular_solve ?l ?t ?u ?a (dot_general {summed ?t ?a} {rows ?x} {lead ?a} {lead ?a} (part ?l ?u ?d) ?x)))";
        "push/triangular_solve-1" Exact: "(push:triangular_solve:1 ?l ?t ?u ?a ?b ?x ?d)" => "(triangular_solve ?l ?t ?u ?a ?d)";

        /// P A = L U, F = L⁻¹ P dA U⁻¹ (L with as many columns as rows):  dL = L (F below the diagonal),
        /// dU = (F from the diagonal up) U. Which row is where doesn't change.
        "push/lu" Exact: "(push:lu:0 ?x ?y ?t)"
            => "(let ?f (columns_until {width ?x} ?y)
                (let ?l (widened {height ?f} ?f)
                (let ?u (rows_between 0 {width ?x} ?f)
                (let ?g (turned (triangular_solve 0 1 0 ?u (turned (triangular_solve 1 0 1 ?l (take {row_axis ?x} {row_axis ?x} ?t (order ?y))))))
                (let ?below (part 1 1 ?g)
                (widened {width ?y} (add (add ?below (matmul (part 1 1 ?l) ?below))
                                         (heightened {height ?x} (matmul (part 0 0 (rows_between 0 {width ?x} ?g)) (part 0 0 ?u))))))))))";

        /// A = Q R, W = Qᵀ dA R⁻¹, K what is below W's diagonal less its transpose:
        /// dQ = dA R⁻¹ + Q (K − W),  dR = (W − K) R.
        "push/qr" Exact: "(push:qr:0 ?x ?y ?t)"
            => "(let ?q (rows_between 0 {height ?x} ?y)
                (let ?r (rows_between {height ?x} {height ?y} ?y)
                (let ?z (turned (triangular_solve 0 1 0 ?r (turned ?t)))
                (let ?w (turned_matmul ?q ?z)
                (let ?k (sub (part 1 1 ?w) (turned (part 1 1 ?w)))
                (concatenate {row_axis ?y} (add ?z (matmul ?q (sub ?k ?w))) (matmul (sub ?w ?k) ?r)))))))";

        /// (A + Aᵀ)/2 = V Λ Vᵀ, P = Vᵀ d(A + Aᵀ)/2 V:  dλ is P's diagonal,
        /// dV = V F with fᵢⱼ = pᵢⱼ / (λⱼ − λᵢ), and 0 on the diagonal.
        "push/eigh" Exact: "(push:eigh:0 ?x ?y ?t)"
            => "(let ?w (rows_between 0 1 ?y)
                (let ?v (rows_between 1 {height ?y} ?y)
                (let ?p (turned_matmul ?v (matmul (symmetric ?t) ?v))
                (let ?c (stretched {shape ?v} ?w)
                (concatenate {row_axis ?y} (diagonal ?p) (matmul ?v (ratio (off_diagonal ?p) (sub ?c (turned ?c)))))))))";

        /// A = U Σ Vᵀ, P = Uᵀ dA V:  dσ is P's diagonal; dU = U F, dV = V G with
        /// fᵢⱼ = (pᵢⱼ σⱼ + σᵢ pⱼᵢ) / (σⱼ² − σᵢ²),  gᵢⱼ = (σᵢ pᵢⱼ + pⱼᵢ σⱼ) / (σⱼ² − σᵢ²), and 0 on the diagonal.
        /// Where A has more rows than columns, dU has what is outside of U as well: (1 − U Uᵀ) dA V Σ⁻¹.
        "push/svd" Exact: "(push:svd:0 ?x ?y ?t)"
            => "(let ?u (rows_between 1 {succ {height ?x}} ?y)
                (let ?v (rows_between {succ {height ?x}} {height ?y} ?y)
                (let ?p (turned_matmul ?u (matmul ?t ?v))
                (let ?c (stretched {shape ?v} (rows_between 0 1 ?y))
                (let ?d (mul (add ?c (turned ?c)) (sub ?c (turned ?c)))
                (concatenate {row_axis ?y} (concatenate {row_axis ?y} (diagonal ?p)
                    (matmul ?u (ratio (off_diagonal (doubled (mul ?p ?c))) ?d)))
                    (matmul ?v (ratio (off_diagonal (doubled (mul (turned ?c) ?p))) ?d))))))))", if "square ?x";
        "push/svd-tall" Exact: "(push:svd:0 ?x ?y ?t)"
            => "(let ?u (rows_between 1 {succ {height ?x}} ?y)
                (let ?v (rows_between {succ {height ?x}} {height ?y} ?y)
                (let ?tv (matmul ?t ?v)
                (let ?p (turned_matmul ?u ?tv)
                (let ?s (rows_between 0 1 ?y)
                (let ?c (stretched {shape ?v} ?s)
                (let ?d (mul (add ?c (turned ?c)) (sub ?c (turned ?c)))
                (concatenate {row_axis ?y} (concatenate {row_axis ?y} (diagonal ?p)
                    (add (matmul ?u (ratio (off_diagonal (doubled (mul ?p ?c))) ?d))
                         (ratio (sub ?tv (matmul ?u ?p)) (stretched {shape ?u} ?s))))
                    (matmul ?v (ratio (off_diagonal (doubled (mul (turned ?c) ?p))) ?d))))))))))", if "tall ?x";

        /// Linear.
        "push/fft" Exact: "(push:fft:0 ?i ?x ?y ?t)" => "(fft ?i ?t)";
    }
}

/// Reverse mode: the transposes of the above.
#[rustfmt::skip]
pub fn pull() -> Vec<Line> {
    lines! {
        /// # Linear algebra
        /// S = (A + Aᵀ)/2 = L Lᵀ: the symmetric part of L⁻ᵀ φ(Lᵀ C) L⁻¹, where φ halves the diagonal and
        /// drops what is above.
        "pull/cholesky" Exact: "(pull:cholesky:0 ?x ?y ?c)"
            => "(symmetric (triangular_solve 1 1 0 ?y (turned (triangular_solve 1 1 0 ?y (half_lower (turned_matmul ?y ?c))))))";

        /// A x = b: b gets G = A⁻ᵀ C, and A's triangle what it has of −G xᵀ.
        "pull/triangular_solve-0" Exact: "(pull:triangular_solve:0 ?l ?t ?u ?a ?b ?x ?c)"
            => "(neg (part ?l ?u (matmul_turned (triangular_solve ?l 1 ?u ?a ?c) ?x)))", if "int ?t 0";
        "pull/triangular_solve-0-transpose" Exact: "(pull:triangular_solve:0 ?l ?t ?u ?a ?b ?x ?c)"
            => "(neg (part ?l ?u (matmul_turned ?x (triangular_solve ?l 0 ?u ?a ?c))))", if "int ?t 1";
        "pull/triangular_solve-1" Exact: "(pull:triangular_solve:1 ?l ?t ?u ?a ?b ?x ?c)" => "(triangular_solve ?l {not ?t} ?u ?a ?c)";

        /// P A = L U: Pᵀ L⁻ᵀ F U⁻ᵀ, where F is Lᵀ C below the diagonal and C Uᵀ from the diagonal up.
        "pull/lu" Exact: "(pull:lu:0 ?x ?y ?c)"
            => "(let ?f (columns_until {width ?x} ?y)
                (let ?l (widened {height ?f} ?f)
                (let ?u (rows_between 0 {width ?x} ?f)
                (let ?cl (part 1 1 (columns_until {width ?x} ?c))
                (let ?cu (part 0 0 (rows_between 0 {width ?x} (columns_until {width ?x} ?c)))
                (let ?g (add (part 1 1 (add ?cl (turned_matmul (part 1 1 ?l) ?cl)))
                             (heightened {height ?x} (part 0 0 (matmul_turned ?cu (part 0 0 ?u)))))
                (take {row_axis ?x} {row_axis ?x} (turned (triangular_solve 0 0 0 ?u (turned (triangular_solve 1 1 1 ?l ?g))))
                      (argsort {row_axis ?x} (order ?y)))))))))";

        /// A = Q R: (C_Q + Q M) R⁻ᵀ, with M the symmetric matrix that is R C_Rᵀ − C_Qᵀ Q from the diagonal down.
        "pull/qr" Exact: "(pull:qr:0 ?x ?y ?c)"
            => "(let ?q (rows_between 0 {height ?x} ?y)
                (let ?r (rows_between {height ?x} {height ?y} ?y)
                (let ?cq (rows_between 0 {height ?x} ?c)
                (let ?m (sub (matmul_turned ?r (rows_between {height ?x} {height ?y} ?c)) (turned_matmul ?cq ?q))
                (let ?s (add (part 1 0 ?m) (turned (part 1 1 ?m)))
                (turned (triangular_solve 0 0 0 ?r (turned (add ?cq (matmul ?q ?s))))))))))";

        /// (A + Aᵀ)/2 = V Λ Vᵀ: the symmetric part of V F Vᵀ, with c_λ on F's diagonal and beside it
        /// (Vᵀ C_V)ᵢⱼ / (λⱼ − λᵢ).
        "pull/eigh" Exact: "(pull:eigh:0 ?x ?y ?c)"
            => "(let ?v (rows_between 1 {height ?y} ?y)
                (let ?w (stretched {shape ?v} (rows_between 0 1 ?y))
                (let ?g (ratio (off_diagonal (turned_matmul ?v (rows_between 1 {height ?y} ?c))) (sub ?w (turned ?w)))
                (symmetric (matmul_turned (matmul ?v (on_diagonal (rows_between 0 1 ?c) ?g)) ?v)))))";

        /// A = U Σ Vᵀ: U F Vᵀ, with c_σ on F's diagonal and beside it (J + Jᵀ)ᵢⱼ σⱼ + σᵢ (K + Kᵀ)ᵢⱼ, where
        /// jᵢⱼ = (Uᵀ C_U)ᵢⱼ / (σⱼ² − σᵢ²),  kᵢⱼ = (Vᵀ C_V)ᵢⱼ / (σⱼ² − σᵢ²). Where A has more rows than columns,
        /// what C_U has outside of U adds (1 − U Uᵀ) C_U Σ⁻¹ Vᵀ.
        "pull/svd" Exact: "(pull:svd:0 ?x ?y ?c)"
            => "(let ?u (rows_between 1 {succ {height ?x}} ?y)
                (let ?v (rows_between {succ {height ?x}} {height ?y} ?y)
                (let ?s (stretched {shape ?v} (rows_between 0 1 ?y))
                (let ?d (mul (add ?s (turned ?s)) (sub ?s (turned ?s)))
                (let ?j (ratio (off_diagonal (turned_matmul ?u (rows_between 1 {succ {height ?x}} ?c))) ?d)
                (let ?k (ratio (off_diagonal (turned_matmul ?v (rows_between {succ {height ?x}} {height ?y} ?c))) ?d)
                (let ?f (on_diagonal (rows_between 0 1 ?c) (add (mul (doubled ?j) ?s) (mul (turned ?s) (doubled ?k))))
                (matmul_turned (matmul ?u ?f) ?v))))))))", if "square ?x";
        "pull/svd-tall" Exact: "(pull:svd:0 ?x ?y ?c)"
            => "(let ?u (rows_between 1 {succ {height ?x}} ?y)
                (let ?v (rows_between {succ {height ?x}} {height ?y} ?y)
                (let ?cu (rows_between 1 {succ {height ?x}} ?c)
                (let ?s (stretched {shape ?v} (rows_between 0 1 ?y))
                (let ?d (mul (add ?s (turned ?s)) (sub ?s (turned ?s)))
                (let ?j (ratio (off_diagonal (turned_matmul ?u ?cu)) ?d)
                (let ?k (ratio (off_diagonal (turned_matmul ?v (rows_between {succ {height ?x}} {height ?y} ?c))) ?d)
                (let ?f (on_diagonal (rows_between 0 1 ?c) (add (mul (doubled ?j) ?s) (mul (turned ?s) (doubled ?k))))
                (let ?g (ratio (sub ?cu (matmul ?u (turned_matmul ?u ?cu))) (stretched {shape ?u} (rows_between 0 1 ?y)))
                (matmul_turned (add (matmul ?u ?f) ?g) ?v))))))))))", if "tall ?x";

        /// Linear, with a symmetric matrix: the transform with conjugate roots.
        "pull/fft" Exact: "(pull:fft:0 ?i ?x ?y ?c)" => "(fft {not ?i} ?c)";
    }
}

/// Vectorisation.
#[rustfmt::skip]
pub fn batch() -> Vec<Line> {
    lines! {
        /// # Linear algebra
        /// All axes but the last two are a batch.
        "batch/factor" Exact: "(batch:@factor:1 ?x)"  => "(@factor ?x)";
        "batch/fft"    Exact: "(batch:fft:1 ?i ?x)"   => "(fft ?i ?x)";
        "batch/triangular_solve-11" Exact: "(batch:triangular_solve:11 ?l ?t ?u ?a ?b)" => "(triangular_solve ?l ?t ?u ?a ?b)";
        "batch/triangular_solve-10" Exact: "(batch:triangular_solve:10 ?l ?t ?u ?a ?b)"
            => "(triangular_solve ?l ?t ?u ?a (broadcast_in_dim {batched {shape ?b} ?a} {tail ?b} ?b))";
        /// A batch of right-hand sides of one triangle are more columns.
        "batch/triangular_solve-01" Exact: "(batch:triangular_solve:01 ?l ?t ?u ?a ?b)"
            => "(let ?m (transpose {batch_inside ?b} ?b)
                (transpose {inverse {batch_inside ?b}} (reshape {shape ?m} (triangular_solve ?l ?t ?u ?a (reshape {joined ?m} ?m)))))";
    }
}
