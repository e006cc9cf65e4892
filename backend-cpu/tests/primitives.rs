//! Every primitive on every element type it takes, at every length that vectors could get wrong.

mod common;

use common::{Fill, check, kernel};
use egrad_ir::{Binary, Compare, Dtype, Unary, elementary};

const LENGTHS: [usize; 17] = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 64, 100, 1000];

/// `result = op operands`, elementwise, at every length.
#[track_caller]
fn elementwise(op: &str, operands: &[Dtype], result: Dtype) {
    for n in LENGTHS {
        elementwise_at(op, operands, result, n);
    }
}

#[track_caller]
fn elementwise_at(op: &str, operands: &[Dtype], result: Dtype, n: usize) {
    let mut parameters = String::new();
    let mut loads = String::new();
    for (i, dtype) in operands.iter().enumerate() {
        parameters += &format!("b{i}: read {dtype}[{n}], ");
        loads += &format!("%{i} = load b{i}[p0]\n");
    }
    let last = operands.len();
    let text = format!(
        "kernel k({parameters}b{last}: write {result}[{n}]) fast {{
           parallel p0 in 0..{n} {{
             once {{
               {loads}%{last} = {op}
               store b{last}[p0] = %{last}
             }}
           }}
         }}"
    );
    // Sums and products of wild numbers are the same in both modes: nothing is reordered here.
    check(&kernel(&text), Fill::Wild, Some(1e-5));
}

/// Whether kernels compute with elements of the type.
fn computes(dtype: Dtype) -> bool {
    dtype.computed() == dtype
}

#[test]
fn unary_functions() {
    for op in Unary::ALL {
        for dtype in Dtype::ALL {
            let takes = match op {
                Unary::Abs => dtype != Dtype::Bool && !dtype.is_unsigned(),
                Unary::Neg | Unary::Sign => dtype != Dtype::Bool,
                Unary::Not => !dtype.is_float(),
                Unary::StopGradient | Unary::Barrier => true,
                Unary::Floor | Unary::Round | Unary::Sqrt | Unary::Rsqrt | elementary!() => dtype.is_float(),
            };
            let moves = matches!(op, Unary::StopGradient | Unary::Barrier);
            if takes && (moves || computes(dtype)) {
                elementwise(&format!("{} %0", op.name()), &[dtype], dtype);
            }
        }
    }
}

#[test]
fn binary_functions() {
    for op in Binary::ALL {
        for dtype in Dtype::ALL {
            let takes = match op {
                Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem | Binary::Max | Binary::Min => {
                    dtype != Dtype::Bool
                }
                Binary::Pow | Binary::Atan2 => dtype.is_float(),
                Binary::And | Binary::Or | Binary::Xor => !dtype.is_float(),
                Binary::ShiftLeft | Binary::ShiftRightLogical | Binary::ShiftRightArithmetic => dtype.is_integer(),
            };
            if takes && computes(dtype) {
                elementwise(&format!("{} %0 %1", op.name()), &[dtype, dtype], dtype);
            }
        }
    }
}

#[test]
fn shifts_by_literals() {
    for op in [Binary::ShiftLeft, Binary::ShiftRightLogical, Binary::ShiftRightArithmetic] {
        for dtype in Dtype::ALL.into_iter().filter(|d| d.is_integer()) {
            let bits = 8 * dtype.bytes() as i64;
            let negative = (!dtype.is_unsigned()).then_some(-1);
            for places in [0, 1, 5, bits - 1, bits, bits + 9].into_iter().chain(negative) {
                for n in [1, 5, 16, 33] {
                    let text = format!(
                        "kernel k(b0: read {dtype}[{n}], b1: write {dtype}[{n}]) fast {{
                           parallel p0 in 0..{n} {{
                             once {{
                               %0 = load b0[p0]
                               %1 = constant {dtype} {places}
                               %2 = {} %0 %1
                               store b1[p0] = %2
                             }}
                           }}
                         }}",
                        op.name()
                    );
                    check(&kernel(&text), Fill::Wild, Some(1e-5));
                }
            }
        }
    }
}

#[test]
fn comparisons() {
    for op in Compare::ALL {
        for dtype in Dtype::ALL.into_iter().filter(|d| computes(*d)) {
            elementwise(&format!("{} %0 %1", op.name()), &[dtype, dtype], Dtype::Bool);
        }
    }
}

#[test]
fn conversions() {
    for from in Dtype::ALL {
        for to in Dtype::ALL {
            elementwise(&format!("convert {to} %0"), &[from], to);
        }
    }
}

#[test]
fn selections() {
    for dtype in Dtype::ALL {
        elementwise("select %0 %1 %2", &[Dtype::Bool, dtype, dtype], dtype);
    }
}

#[test]
fn integer_powers() {
    for n in [0, 1, 2, 3, 4, 5, 7, 8, 13, -1, -2, -3, -7] {
        for dtype in Dtype::ALL.into_iter().filter(|d| *d != Dtype::Bool && computes(*d)) {
            if dtype.is_float() || n >= 0 {
                for len in [1, 5, 16, 33] {
                    elementwise_at(&format!("integer_pow {n} %0"), &[dtype], dtype, len);
                }
            }
        }
    }
}

#[test]
fn indices_and_literals() {
    for (n, m) in [(1, 1), (3, 5), (5, 3), (7, 16), (2, 33), (40, 9)] {
        let text = format!(
            "kernel k(b0: write i32[{0}], b1: write f32[{0}], b2: write bool[{0}], b3: write f64[{0}]) fast {{
               parallel p0 in 0..{n}, p1 in 0..{m} {{
                 once {{
                   %0 = index 7*p0 + 3*p1 + 5
                   %1 = constant f32 2.5
                   %2 = constant bool true
                   %3 = index p1
                   %4 = convert f64 %3
                   store b0[{m}*p0 + p1] = %0
                   store b1[{m}*p0 + p1] = %1
                   store b2[{m}*p0 + p1] = %2
                   store b3[{m}*p0 + p1] = %4
                 }}
               }}
             }}",
            n * m
        );
        check(&kernel(&text), Fill::Tame, Some(0.0));
    }
}
