//! Loop nests of every form: layouts, reductions, rows passed over several times, mixed types.

mod common;

use common::{Fill, check, kernel};
use egrad_ir::Dtype;

#[test]
fn two_dimensional_layouts() {
    // (stride of p0, stride of p1) for the first operand: row-major, transposed, odd, broadcast.
    for (n, m) in [(1, 1), (2, 3), (3, 2), (5, 8), (8, 5), (4, 100), (100, 4), (33, 17), (7, 40)] {
        for [r, c] in [[m, 1], [1, n], [2 * m + 1, 2], [3, 3 * n + 2], [0, 1], [1, 0], [0, 0], [5, 0], [0, 3]] {
            for dtype in Dtype::ALL {
                let (len, out) = (1 + r * (n - 1) + c * (m - 1), n * m);
                let sum = match dtype {
                    Dtype::Bool => "or %0 %1",
                    _ if dtype.computed() != dtype => "stop_gradient %1",
                    _ => "add %0 %1",
                };
                let text = format!(
                    "kernel k(b0: read {dtype}[{len}], b1: read {dtype}[{m}], b2: write {dtype}[{out}],
                              b3: write {dtype}[{out}]) fast {{
                       parallel p0 in 0..{n}, p1 in 0..{m} {{
                         once {{
                           %0 = load b0[{r}*p0 + {c}*p1]
                           %1 = load b1[p1]
                           %2 = {sum}
                           store b2[{m}*p0 + p1] = %2
                           store b3[p0 + {n}*p1] = %0
                         }}
                       }}
                     }}"
                );
                check(&kernel(&text), Fill::Wild, Some(0.0));
            }
        }
    }
}

#[test]
fn three_axes() {
    for [a, b, c] in [[2, 3, 4], [5, 1, 7], [1, 6, 9], [4, 4, 16], [3, 20, 2]] {
        let n = a * b * c;
        let text = format!(
            "kernel k(b0: read f32[{n}], b1: read f64[{0}], b2: read i32[{a}], b3: write f64[{n}], b4: write bool[{n}]) fast {{
               parallel p0 in 0..{a}, p1 in 0..{b}, p2 in 0..{c} {{
                 once {{
                   %0 = load b0[{0}*p0 + {c}*p1 + p2]
                   %1 = load b1[{c}*p1 + p2]
                   %2 = load b2[p0]
                   %3 = convert f64 %0
                   %4 = mul %3 %1
                   %5 = convert f64 %2
                   %6 = lt %4 %5
                   %7 = select %6 %4 %5
                   store b3[{0}*p0 + {c}*p1 + p2] = %7
                   store b4[p0 + {a}*p1 + {1}*p2] = %6
                 }}
               }}
             }}",
            b * c,
            a * b
        );
        check(&kernel(&text), Fill::Wild, Some(0.0));
    }
}

#[test]
fn sums_and_maxima_of_rows() {
    for (n, m) in
        [(1, 1), (1, 7), (3, 2), (2, 8), (3, 9), (5, 15), (4, 16), (2, 33), (3, 100), (1, 1000), (40, 3), (9, 6)]
    {
        for dtype in Dtype::ALL.into_iter().filter(|d| *d != Dtype::Bool && d.computed() == *d) {
            for kind in ["reduce_sum", "reduce_max"] {
                let text = format!(
                    "kernel k(b0: read {dtype}[{0}], b1: write {dtype}[{n}], b2: write {dtype}[{0}]) fast {{
                       parallel p0 in 0..{n} {{
                         for r0 in 0..{m} {{
                           %0 = load b0[{m}*p0 + r0]
                           %1 = mul %0 %0
                           store b2[{m}*p0 + r0] = %1
                           %2 = {kind} %1
                         }}
                         once {{
                           %3 = neg %2
                           store b1[p0] = %3
                         }}
                       }}
                     }}",
                    n * m
                );
                check(&kernel(&text), Fill::Wild, None);
                check(&kernel(&text), Fill::Tame, Some(1e-5));
            }
        }
    }
}

#[test]
fn sums_of_columns() {
    for (n, m) in [(1, 4), (7, 1), (2, 3), (3, 8), (9, 5), (15, 4), (16, 40), (33, 17), (100, 9), (1000, 6)] {
        for dtype in Dtype::ALL.into_iter().filter(|d| *d != Dtype::Bool && d.computed() == *d) {
            let text = format!(
                "kernel k(b0: read {dtype}[{}], b1: write {dtype}[{m}]) fast {{
                   parallel p0 in 0..{m} {{
                     for r0 in 0..{n} {{
                       %0 = load b0[{m}*r0 + p0]
                       %1 = reduce_sum %0
                       %2 = reduce_max %0
                     }}
                     once {{
                       %3 = sub %1 %2
                       store b1[p0] = %3
                     }}
                   }}
                 }}",
                n * m
            );
            check(&kernel(&text), Fill::Wild, None);
            check(&kernel(&text), Fill::Tame, Some(1e-5));
        }
    }
}

#[test]
fn sums_of_long_columns() {
    // Long enough for blocks; the last column group overlaps, and several panels are needed.
    for (n, m, dtype) in [
        (130, 1100, Dtype::F32),
        (200, 6001, Dtype::F32),
        (131, 2500, Dtype::F64),
        (140, 5000, Dtype::I32),
        (131, 2500, Dtype::I64),
        (130, 1100, Dtype::U32),
        (200, 5003, Dtype::U8),
    ] {
        let text = format!(
            "kernel k(b0: read {dtype}[{}], b1: read {dtype}[{m}], b2: write {dtype}[{m}]) fast {{
               parallel p0 in 0..{m} {{
                 for r0 in 0..{n} {{
                   %0 = load b0[{m}*r0 + p0]
                   %1 = load b1[p0]
                   %2 = add %0 %1
                   %3 = reduce_sum %2
                   %4 = reduce_max %0
                 }}
                 once {{
                   %5 = sub %3 %4
                   store b2[p0] = %5
                 }}
               }}
             }}",
            n * m
        );
        check(&kernel(&text), Fill::Tame, Some(1e-5));
    }
}

#[test]
fn transposed_copies() {
    for (n, m) in [(5, 4), (33, 70), (100, 9), (64, 64)] {
        let text = format!(
            "kernel k(b0: read f32[{0}], b1: write f32[{0}]) fast {{
               parallel p0 in 0..{m}, p1 in 0..{n} {{
                 once {{
                   %0 = load b0[p0 + {m}*p1]
                   store b1[{n}*p0 + p1] = %0
                 }}
               }}
             }}",
            n * m
        );
        check(&kernel(&text), Fill::Wild, Some(0.0));
    }
}

#[test]
fn several_loops() {
    for [a, b, c] in [[2, 3, 4], [1, 1, 8], [3, 8, 2], [4, 5, 16], [2, 9, 1], [1, 2, 11]] {
        for order in [[b * c, c, 1], [1, a, a * b], [c, a * c, 1]] {
            let [p, q, r] = order;
            let n = a * b * c;
            let text = format!(
                "kernel k(b0: read f32[{n}], b1: read f64[{c}], b2: write f32[{a}], b3: write f64[{a}]) fast {{
                   parallel p0 in 0..{a} {{
                     for r0 in 0..{b}, r1 in 0..{c} {{
                       %0 = load b0[{p}*p0 + {q}*r0 + {r}*r1]
                       %1 = load b1[r1]
                       %2 = convert f64 %0
                       %3 = mul %1 %2
                       %4 = reduce_sum %0
                       %5 = reduce_sum %3
                     }}
                     once {{
                       store b2[p0] = %4
                       store b3[p0] = %5
                     }}
                   }}
                 }}"
            );
            let kernel = kernel(&text);
            if kernel.verify().is_ok() {
                check(&kernel, Fill::Wild, None);
                check(&kernel, Fill::Tame, Some(1e-5));
            }
        }
    }
}

#[test]
fn whole_sum() {
    for n in [1, 3, 4, 8, 31, 32, 33, 1000] {
        let text = format!(
            "kernel k(b0: read f32[{n}], b1: read f32[{n}], b2: write f32[1]) fast {{
               parallel {{
                 for r0 in 0..{n} {{
                   %0 = load b0[r0]
                   %1 = load b1[r0]
                   %2 = mul %0 %1
                   %3 = reduce_sum %2
                 }}
                 once {{
                   store b2[0] = %3
                 }}
               }}
             }}"
        );
        check(&kernel(&text), Fill::Wild, None);
        check(&kernel(&text), Fill::Tame, Some(1e-5));
    }
}

#[test]
fn row_softmax() {
    for (n, m) in [(1, 1), (3, 5), (2, 8), (3, 13), (2, 100), (20, 4), (4, 1001)] {
        for dtype in [Dtype::F32, Dtype::F64] {
            let text = format!(
                "kernel softmax(b0: read {dtype}[{0}], b1: write {dtype}[{0}], b2: write {dtype}[{0}]) fast {{
                   parallel p0 in 0..{n} {{
                     for r0 in 0..{m} {{
                       %0 = load b0[{m}*p0 + r0]
                       %1 = reduce_max %0
                     }}
                     for r0 in 0..{m} {{
                       %2 = load b0[{m}*p0 + r0]
                       %3 = sub %2 %1
                       %4 = exp %3
                       store b1[{m}*p0 + r0] = %4
                       %5 = reduce_sum %4
                     }}
                     for r0 in 0..{m} {{
                       %6 = load b1[{m}*p0 + r0]
                       %7 = div %6 %5
                       store b2[{m}*p0 + r0] = %7
                     }}
                   }}
                 }}",
                n * m
            );
            check(&kernel(&text), Fill::Wild, None);
            check(&kernel(&text), Fill::Tame, Some(1e-5));
        }
    }
}

#[test]
fn row_layernorm() {
    for (n, m) in [(1, 4), (3, 5), (2, 32), (3, 77), (30, 6)] {
        let text = format!(
            "kernel layernorm(b0: read f32[{0}], b1: read f32[{m}], b2: read f32[{m}], b3: write f32[{0}]) fast {{
               parallel p0 in 0..{n} {{
                 for r0 in 0..{m} {{
                   %0 = load b0[{m}*p0 + r0]
                   %1 = reduce_sum %0
                 }}
                 once {{
                   %2 = constant f32 {1:?}
                   %3 = mul %1 %2
                 }}
                 for r0 in 0..{m} {{
                   %4 = load b0[{m}*p0 + r0]
                   %5 = sub %4 %3
                   %6 = mul %5 %5
                   %7 = reduce_sum %6
                 }}
                 once {{
                   %8 = mul %7 %2
                   %9 = constant f32 1e-5
                   %10 = add %8 %9
                   %11 = rsqrt %10
                 }}
                 for r0 in 0..{m} {{
                   %12 = load b0[{m}*p0 + r0]
                   %13 = sub %12 %3
                   %14 = mul %13 %11
                   %15 = load b1[r0]
                   %16 = mul %14 %15
                   %17 = load b2[r0]
                   %18 = add %16 %17
                   store b3[{m}*p0 + r0] = %18
                 }}
               }}
             }}",
            n * m,
            1.0 / m as f32
        );
        check(&kernel(&text), Fill::Wild, None);
        check(&kernel(&text), Fill::Tame, Some(1e-5));
    }
}

#[test]
fn negated_products_contract() {
    for op in ["add %2 %0", "add %0 %2", "sub %2 %0", "sub %0 %2"] {
        let text = format!(
            "kernel k(b0: read f32[50], b1: read f32[50], b2: write f32[50]) fast {{
               parallel p0 in 0..50 {{
                 once {{
                   %0 = load b0[p0]
                   %1 = load b1[p0]
                   %2 = mul %0 %1
                   %3 = {op}
                   store b2[p0] = %3
                 }}
               }}
             }}"
        );
        check(&kernel(&text), Fill::Wild, None);
        check(&kernel(&text), Fill::Tame, Some(1e-6));
    }
}

#[test]
fn in_place_rows() {
    for m in [3, 8, 13, 16, 100] {
        let text = format!(
            "kernel k(b0: read f32[{0}], b1: write f32[{0}]) fast {{
               parallel p0 in 0..3 {{
                 for r0 in 0..{m} {{
                   %0 = load b0[{m}*p0 + r0]
                   store b1[{m}*p0 + r0] = %0
                   %1 = reduce_sum %0
                 }}
                 for r0 in 0..{m} {{
                   %2 = load b1[{m}*p0 + r0]
                   %3 = mul %2 %1
                   store b1[{m}*p0 + r0] = %3
                 }}
               }}
             }}",
            3 * m
        );
        let kernel = kernel(&text);
        check(&kernel, Fill::Tame, Some(1e-5));
    }
}
