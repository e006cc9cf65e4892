//! Loops and reductions, by teams of every size, with and without subgroups.

use super::random::Numbers;
use super::random::maker::{Maker, work};
use super::{alone, near, run_as, with};
use crate::spread::Form;
use crate::{Vulkan, Without};
use egrad_ir::kernel::Kernel;
use egrad_ir::scalar::Elementary;
use egrad_ir::{Array, Dtype, Numerics};

const LANES: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

fn no_subgroups() -> Without {
    Without { subgroups: true, ..Without::default() }
}

fn parse(text: &str) -> Kernel {
    let kernel = Kernel::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    kernel.verify().unwrap_or_else(|e| panic!("{e}\n{text}"));
    kernel
}

/// Runs the kernel by teams of that size and compares with the interpreter.
#[track_caller]
fn check(vulkan: &Vulkan, kernel: &Kernel, lanes: u32, inputs: &[&Array]) -> Vec<Array> {
    let expect = kernel.eval(inputs, Elementary::Std).unwrap();
    let got = run_as(vulkan, kernel, Form::Team(lanes), inputs);
    for (got, want) in got.iter().zip(&expect) {
        near(got, want, inputs).unwrap_or_else(|e| panic!("teams of {lanes}: {e}\n{kernel}"));
    }
    got
}

/// Runs the kernel on random elements by teams of several sizes, with and without subgroups, and
/// in the form the backend would choose.
#[track_caller]
fn check_all(kernel: &Kernel) {
    let read = || kernel.operands.iter().filter(|o| !o.written);
    let inputs: Vec<Array> = read().enumerate().map(|(i, o)| Numbers(i as u64).array(o.dtype, o.len)).collect();
    let inputs: Vec<&Array> = inputs.iter().collect();
    for without in [Without::default(), no_subgroups()] {
        with(without, |vulkan| {
            for lanes in [1, 2, 8, 64, 256] {
                check(vulkan, kernel, lanes, &inputs);
            }
            let expect = kernel.eval(&inputs, Elementary::Std).unwrap();
            let program = egrad_ir::kernel::Backend::compile(vulkan, alone(kernel.clone())).unwrap();
            for (got, want) in program.run(&inputs).unwrap().outputs.iter().zip(&expect) {
                near(got, want, &inputs).unwrap_or_else(|e| panic!("as chosen: {e}\n{kernel}"));
            }
        });
    }
}

#[test]
fn softmax_of_rows() {
    for (rows, length) in [(1, 1), (3, 2), (5, 33), (9, 257), (2, 1000), (300, 7)] {
        let n = rows * length;
        check_all(&parse(&format!(
            "kernel softmax(b0: read f32[{n}], b1: write f32[{n}]) fast {{
  parallel p0 in 0..{rows} {{
    for r0 in 0..{length} {{
      %0 = load b0[{length}*p0 + r0]
      %1 = reduce_max %0
    }}
    for r0 in 0..{length} {{
      %2 = load b0[{length}*p0 + r0]
      %3 = sub %2 %1
      %4 = exp %3
      %5 = reduce_sum %4
    }}
    for r0 in 0..{length} {{
      %6 = load b0[{length}*p0 + r0]
      %7 = sub %6 %1
      %8 = exp %7
      %9 = div %8 %5
      store b1[{length}*p0 + r0] = %9
    }}
  }}
}}
"
        )));
    }
}

#[test]
fn layernorm_through_memory() {
    // The middle pass stores what the last loads, in another order of the loops.
    check_all(&parse(
        "kernel layernorm(b0: read f64[210], b1: read f32[42], b2: write f64[210], b3: write f64[210], b4: write f64[5]) fast {
  parallel p0 in 0..5 {
    for r0 in 0..6, r1 in 0..7 {
      %0 = load b0[42*p0 + 7*r0 + r1]
      %1 = mul %0 %0
      %2 = reduce_sum %0
      %3 = reduce_sum %1
    }
    once {
      %4 = constant f64 42.0
      %5 = div %2 %4
      %6 = div %3 %4
      %7 = integer_pow 2 %5
      %8 = sub %6 %7
      %9 = sqrt %8
      store b4[p0] = %9
    }
    for r0 in 0..6, r1 in 0..7 {
      %10 = load b0[42*p0 + 7*r0 + r1]
      %11 = sub %10 %5
      store b2[42*p0 + 7*r0 + r1] = %11
    }
    for r0 in 0..7, r1 in 0..6 {
      %12 = load b2[42*p0 + r0 + 7*r1]
      %13 = load b4[p0]
      %14 = div %12 %13
      %15 = load b1[r0 + 7*r1]
      %16 = convert f64 %15
      %17 = mul %14 %16
      store b3[42*p0 + r0 + 7*r1] = %17
    }
  }
}
",
    ));
}

#[test]
fn sums_of_columns() {
    for (rows, columns) in [(1, 5), (77, 3), (40, 300), (1000, 32), (200, 1)] {
        let n = rows * columns;
        check_all(&parse(&format!(
            "kernel columns(b0: read f32[{n}], b1: write f32[{columns}]) fast {{
  parallel p0 in 0..{columns} {{
    for r0 in 0..{rows} {{
      %0 = load b0[p0 + {columns}*r0]
      %1 = reduce_sum %0
    }}
    once {{
      store b1[p0] = %1
    }}
  }}
}}
"
        )));
    }
}

#[test]
fn sums_over_outer_and_inner_axes_of_a_transpose() {
    check_all(&parse(
        "kernel axes(b0: read f32[840], b1: write f32[10], b2: write f32[840]) fast {
  parallel p0 in 0..5, p1 in 0..2 {
    for r0 in 0..7, r1 in 0..12 {
      %0 = load b0[12*p0 + 60*r0 + r1 + 420*p1]
      store b2[168*p0 + 84*p1 + r0 + 7*r1] = %0
      %1 = reduce_sum %0
    }
    once {
      store b1[2*p0 + p1] = %1
    }
  }
}
",
    ));
}

#[test]
fn accumulators_of_every_type_together() {
    for length in [1, 9, 64, 500] {
        let n = 3 * length;
        check_all(&parse(&format!(
            "kernel many(b0: read f32[{n}], b1: read f64[{n}], b2: read i32[{n}], b3: read bool[{n}], b4: write f32[3], b5: write f64[3], b6: write i32[3], b7: write f64[3], b8: write bool[3], b9: write bool[{n}], b10: write i32[3]) fast {{
  parallel p0 in 0..3 {{
    once {{
      %0 = index p0 + 3
    }}
    for r0 in 0..{length} {{
      %1 = load b0[{length}*p0 + r0]
      %2 = load b1[{length}*p0 + r0]
      %3 = load b2[{length}*p0 + r0]
      %4 = load b3[{length}*p0 + r0]
      %5 = select %4 %3 %0
      %6 = index r0
      %7 = not %4
      store b9[{length}*p0 + r0] = %7
      %8 = reduce_max %1
      %9 = reduce_sum %2
      %10 = reduce_sum %5
      %11 = reduce_max %2
      %12 = reduce_max %3
      %13 = reduce_sum %1
      %14 = reduce_max %6
    }}
    once {{
      %15 = lt %12 %14
      %16 = add %13 %8
      %17 = add %10 %12
      store b4[p0] = %16
      store b5[p0] = %9
      store b6[p0] = %17
      store b7[p0] = %11
      store b8[p0] = %15
      store b10[p0] = %0
    }}
  }}
}}
"
        )));
    }
}

/// Sums of five and more axes, none of which can be merged with another.
#[test]
fn loops_in_loops() {
    check_all(&parse(
        "kernel deep(b0: read f32[1680], b1: write f32[2]) fast {
  parallel p0 in 0..2 {
    for r0 in 0..5, r1 in 0..1, r2 in 0..6, r3 in 0..7, r4 in 0..4 {
      %0 = load b0[840*p0 + r0 + 5*r2 + 30*r3 + 210*r4]
      %1 = reduce_sum %0
    }
    once {
      store b1[p0] = %1
    }
  }
}
",
    ));
}

#[test]
fn maxima_keep_nan_and_zeros() {
    let text = "kernel maxima(b0: read f32[240], b1: write f32[6]) fast {
  parallel p0 in 0..6 {
    for r0 in 0..40 {
      %0 = load b0[40*p0 + r0]
      %1 = reduce_max %0
    }
    once {
      store b1[p0] = %1
    }
  }
}
";
    let mut values = vec![-1.0_f32; 240];
    values[17] = f32::NAN;
    values[40..80].fill(-0.0);
    values[61] = 0.0;
    values[80..120].fill(f32::NEG_INFINITY);
    values[120..160].fill(-0.0);
    values[199] = f32::INFINITY;
    values[205] = -f32::NAN;
    let x = Array::from_vec(values, [240]).unwrap();
    let (kernel, wide) = (parse(text), parse(&text.replace("f32", "f64")));
    for without in [Without::default(), no_subgroups()] {
        with(without, |vulkan| {
            for lanes in LANES {
                for (kernel, x) in
                    [(&kernel, x.clone()), (&wide, Array::from_f64(Dtype::F64, &x.to_f64(), [240]).unwrap())]
                {
                    let out = run_as(vulkan, kernel, Form::Team(lanes), &[&x])[0].to_f64();
                    assert!(out[0].is_nan() && out[5].is_nan(), "{out:?}");
                    let rest = [0.0, f64::NEG_INFINITY, -0.0, f64::INFINITY];
                    assert_eq!(out[1..5].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), rest.map(f64::to_bits));
                }
            }
        });
    }
}

/// A long sum is at least as close as that of the documented eight lanes.
#[test]
fn long_sums_are_close() {
    for (outer, inner) in [(1, 30_000), (470, 64), (9_001, 3)] {
        let n = outer * inner;
        let kernel = parse(&format!(
            "kernel total(b0: read f32[{n}], b1: write f32[1]) fast {{
  parallel {{
    for r0 in 0..{outer}, r1 in 0..{inner} {{
      %0 = load b0[r0 + {outer}*r1]
      %1 = reduce_sum %0
    }}
    once {{
      store b1[0] = %1
    }}
  }}
}}
"
        ));
        let x = Array::full([n], egrad_ir::Literal::new(Dtype::F32, 0.1)).unwrap();
        let exact = n as f64 * f64::from(0.1_f32);
        let eight = kernel.eval(&[&x], Elementary::Std).unwrap()[0].to_f64()[0];
        with(Without::default(), |vulkan| {
            for lanes in LANES {
                let got = run_as(vulkan, &kernel, Form::Team(lanes), &[&x])[0].to_f64()[0];
                let (ours, theirs) = ((got - exact).abs(), (eight - exact).abs());
                assert!(ours <= theirs.max(1e-6 * exact), "{lanes} lanes: {got}, eight lanes {eight}, exactly {exact}");
            }
        });
    }
}

/// Random kernels, by teams of every size.
fn random(seed: u64, without: Without) {
    with(without, |vulkan| {
        let (mut numbers, mut kernels, mut seeds) = (Numbers(seed), 0, seed..);
        while kernels < 5 * LANES.len() {
            let size = 3 + numbers.below(9);
            let kernel = Maker::kernel(seeds.next().unwrap(), size, true);
            if work(&kernel) > 40_000 || kernel.verify().is_err() {
                continue;
            }
            let kernel = Kernel { numerics: Numerics::Fast, ..kernel };
            let read = kernel.operands.iter().filter(|o| !o.written);
            let inputs: Vec<Array> = read.map(|o| numbers.array(o.dtype, o.len)).collect();
            check(vulkan, &kernel, LANES[kernels % LANES.len()], &inputs.iter().collect::<Vec<_>>());
            kernels += 1;
        }
    });
}

#[test]
fn random_kernels() {
    random(0, Without::default());
}

#[test]
fn random_kernels_without_subgroups() {
    random(1000, no_subgroups());
}

#[test]
fn random_kernels_of_few_groups_in_a_row() {
    random(2000, Without { groups: Some(2), ..Without::default() });
}
