//! Loads at positions that may lie outside, scatters and sorts.

use super::{alone, check, with};
use crate::Without;
use egrad_ir::kernel::Kernel;
use egrad_ir::{Array, Dtype};

/// Elements that tell positions apart; integers are positions, inside and far outside.
fn numbers(dtype: Dtype, len: usize, seed: usize) -> Array {
    let wild = [0.0, 3.0, -1.0, 7.0, 2147483647.0, -2147483648.0, 5.0, 2.0];
    let number = |i: usize| match dtype {
        Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => ((i * 7 + seed * 3) % 11) as f64 * 0.25 - 1.0,
        Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8 => wild[(i * 5 + seed) % 8],
        Dtype::Bool => f64::from(u8::from((i + seed).is_multiple_of(3))),
    };
    Array::from_f64(dtype, &(0..len).map(number).collect::<Vec<_>>(), [len]).unwrap()
}

#[track_caller]
fn run(texts: &[String]) {
    for without in [Without::default(), Without { subgroups: true, ..Without::default() }] {
        with(without, |vulkan| {
            for text in texts {
                let kernel = Kernel::parse(text).unwrap();
                let inputs: Vec<Array> = kernel
                    .operands
                    .iter()
                    .enumerate()
                    .filter(|(_, o)| !o.written)
                    .map(|(i, o)| numbers(o.dtype, o.len, i))
                    .collect();
                check(vulkan, alone(kernel), &inputs.iter().collect::<Vec<_>>(), 8.0);
            }
        });
    }
}

#[test]
fn positions_of_every_type() {
    let text = |dtype: &str| {
        format!(
            "kernel windows(b0: read {dtype}[12], b1: read i32[4], b2: write {dtype}[24], b3: write bool[24]) fast {{
  parallel p0 in 0..4, p1 in 0..6 {{
    once {{
      %0 = load b1[p0]
      %1 = load b0[0] at %0 in 0..3 by 4, -1*p1 + 4 in 0..4 by 1
      %2 = within %0 in 0..3, -1*p1 + 4 in 0..4
      store b2[6*p0 + p1] = %1
      store b3[6*p0 + p1] = %2
    }}
  }}
}}
"
        )
    };
    run(&Dtype::ALL.map(|dtype| text(dtype.name())));
}

#[test]
fn positions_along_loops() {
    // Sums of what is inside, by single invocations and by teams, with and without values added.
    let text = |points: usize, loops: usize| {
        format!(
            "kernel sums(b0: read f32[40], b1: read i32[{points}], b2: read f32[{points}], b3: write f32[{points}]) fast {{
  parallel p0 in 0..{points} {{
    once {{
      %0 = load b1[p0]
      %1 = load b2[p0]
    }}
    for r0 in 0..{loops}, r1 in 0..3 {{
      %2 = load b0[0] at -1*r0 + 2*r1 + p0 + 9 in 0..40 by 1
      %3 = within r0 + %0 + -2 in 0..9
      %4 = select %3 %2 %1
      %5 = reduce_sum %4
    }}
    once {{
      store b3[p0] = %5
    }}
  }}
}}
"
        )
    };
    run(&[text(1, 1), text(5, 7), text(3, 100), text(300, 20)]);
}

#[test]
fn scatters_and_sorts() {
    let scatter = |kind: &str, dtype: &str| {
        format!(
            "kernel s(b0: read {dtype}[72], b1: read i32[14], b2: read {dtype}[84], b3: write {dtype}[72]) fast {{
  scatter {kind} batch 2 between 3 length 6 inner 2 taken 7 {{
    x = b0
    indices = b1
    updates = b2
    result = b3
  }}
}}
"
        )
    };
    let sort = |dtype: &str| {
        format!(
            "kernel s(b0: read {dtype}[300], b1: write i32[300]) fast {{
  argsort outer 3 length 50 inner 2 {{
    x = b0
    result = b1
  }}
}}
"
        )
    };
    run(&[
        scatter("reduce_sum", "f32"),
        scatter("reduce_max", "f32"),
        scatter("reduce_sum", "i32"),
        scatter("reduce_max", "f64"),
        sort("f32"),
        sort("i32"),
        sort("bool"),
    ]);
}
