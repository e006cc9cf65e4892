//! What kernels become, on the reference interpreter of kernels.

use super::machine_tests::{check_nodes, open};
use super::split::{Worth, split};
use super::window::{Limits, windows};
use super::{Node, Part, Spread};
use egrad_ir::kernel::{Body, Kernel};
use egrad_ir::schedule::Buffer;
use egrad_ir::{Array, Dtype};

/// Elements of that type that tell positions apart.
fn numbers(dtype: Dtype, len: usize, seed: usize) -> Array {
    let number = |i: usize| match dtype {
        Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => ((i * 7 + seed * 3) % 11) as f64 * 0.25 - 1.0,
        Dtype::I32 | Dtype::I64 => ((i * 5 + seed) % 13) as f64 - 6.0,
        Dtype::U32 | Dtype::U8 => ((i * 5 + seed) % 13) as f64,
        Dtype::Bool => f64::from(u8::from((i + seed).is_multiple_of(3))),
    };
    Array::from_f64(dtype, &(0..len).map(number).collect::<Vec<_>>(), [len]).unwrap()
}

/// Runs the parts, one after the other, and expects what the whole kernel gives.
#[track_caller]
fn check(kernel: &Kernel, parts: &[Part], scratch: &[Buffer]) {
    let read = kernel.operands.iter().enumerate().filter(|(_, o)| !o.written);
    let read = read.map(|(i, o)| numbers(o.dtype, o.len, i)).collect();
    check_nodes(kernel, read, &[Node::Launches(0..parts.len())], parts, scratch);
}

fn parse(text: &str) -> Kernel {
    let kernel = Kernel::parse(text).unwrap();
    kernel.verify().unwrap();
    kernel
}

/// Splits by `worth`, runs the parts, and gives how many there are.
#[track_caller]
fn check_split(text: &str, points: usize, piece: usize) -> usize {
    let (kernel, mut spread) = (parse(text), Spread::default());
    let parts = split(Part::whole(kernel.clone()), Worth { points, piece }, &mut spread).unwrap();
    check(&kernel, &parts, &spread.scratch);
    parts.len()
}

const SUM: &str = "kernel total(b0: read f32[103], b1: write f32[1]) fast {
  parallel {
    for r0 in 0..103 {
      %0 = load b0[r0]
      %1 = reduce_sum %0
    }
    once {
      %2 = neg %1
      store b1[0] = %2
    }
  }
}
";

const SOFTMAX: &str = "kernel softmax(b0: read f32[74], b1: read f32[2], b2: write f32[74]) fast {
  parallel p0 in 0..2 {
    once {
      %0 = load b1[p0]
      %1 = constant f32 2.0
      %2 = mul %0 %1
    }
    for r0 in 0..37 {
      %3 = load b0[37*p0 + r0]
      %4 = add %3 %2
      %5 = reduce_max %4
    }
    for r0 in 0..37 {
      %6 = load b0[37*p0 + r0]
      %7 = add %6 %2
      %8 = sub %7 %5
      %9 = exp %8
      store b2[37*p0 + r0] = %9
      %10 = reduce_sum %9
    }
    once {
      %11 = mul %10 %1
    }
  }
}
";

const SCALED: &str = "kernel scaled(b0: read f32[60], b1: write f32[60], b2: write i32[3], b3: write f32[60]) fast {
  parallel p0 in 0..3 {
    for r0 in 0..4, r1 in 0..5 {
      %0 = load b0[20*p0 + 5*r0 + r1]
      %1 = index r0 + 4*r1
      %2 = reduce_sum %0
      %3 = reduce_max %1
    }
    once {
      %4 = exp %2
      store b2[p0] = %3
    }
    for r0 in 0..5, r1 in 0..4 {
      %5 = load b0[20*p0 + r0 + 5*r1]
      %6 = mul %5 %4
      store b1[20*p0 + r0 + 5*r1] = %6
    }
    for r0 in 0..5, r1 in 0..4 {
      %7 = load b1[20*p0 + r0 + 5*r1]
      %8 = sub %7 %2
      store b3[20*p0 + 4*r0 + r1] = %8
    }
  }
}
";

#[test]
fn long_loops_are_cut() {
    assert_eq!(check_split(SUM, 256, 4096), 1);
    // Ten pieces of 11 would be 110: nine, and one of 4 elements; then all of them together.
    assert_eq!(check_split(SUM, 256, 10), 3);
    // 103 is prime but for itself: pieces of one element leave nothing over.
    assert_eq!(check_split(SUM, 256, 1), 2);
    assert_eq!(check_split(SUM, 2, 10), 3);
    for (points, piece) in [(4, 4), (256, 4), (256, 1), (3, 9), (2, 1)] {
        let parts = check_split(SOFTMAX, points, piece);
        assert_eq!(parts == 1, points <= 2, "{points} {piece}: {parts} parts");
        check_split(SCALED, points, piece);
    }
    assert_eq!(check_split(SCALED, 256, 3), 4);
}

#[test]
fn what_two_parts_would_write_stays_together() {
    let text = "kernel halves(b0: read f32[40], b1: write f32[80]) fast {
  parallel {
    for r0 in 0..40 {
      %0 = load b0[r0]
      store b1[r0] = %0
    }
    for r0 in 0..40 {
      %1 = load b0[r0]
      store b1[r0 + 40] = %1
    }
  }
}
";
    assert_eq!(check_split(text, 256, 4), 1);
}

/// Opens the kernel's call, runs the parts, and gives them.
#[track_caller]
fn check_call(text: &str) -> Vec<Part> {
    let kernel = parse(text);
    let (nodes, parts, scratch) = open(&kernel).unwrap();
    assert_eq!(nodes, [Node::Launches(0..parts.len())]);
    check(&kernel, &parts, &scratch);
    parts
}

/// A call of a function with a temporary, a result that is read again, a shared operand, a result
/// that is an input, and one that is another result.
fn call_of(count: usize) -> String {
    let (x, s) = (3 * count, count);
    format!(
        "kernel call_f(b0: read f32[{x}], b1: read f32[3], b2: write f32[{s}], b3: write f32[{x}], b4: write f32[{x}], b5: write f32[{s}]) fast {{
  call count {count} {{
    input b0 stride 3
    input b1 stride 0
    output b2 stride 1
    output b3 stride 3
    output b4 stride 3
    output b5 stride 1
    buffer b0: f32[3], input 0 f32[3]
    buffer b1: f32[3], input 1 f32[3], output 2 f32[3]
    buffer b2: f32[3]
    buffer b3: f32[1], output 0 f32[], output 3 f32[1]
    buffer b4: f32[3], output 1 f32[3]

    step 0 on (b0, b1, b2):
    kernel mul(b0: read f32[3], b1: read f32[3], b2: write f32[3]) fast {{
      parallel p0 in 0..3 {{
        once {{
          %0 = load b0[p0]
          %1 = load b1[p0]
          %2 = mul %0 %1
          store b2[p0] = %2
        }}
      }}
    }}

    step 1 on (b2, b3):
    kernel reduce_sum(b0: read f32[3], b1: write f32[1]) fast {{
      parallel {{
        for r0 in 0..3 {{
          %0 = load b0[r0]
          %1 = reduce_sum %0
        }}
        once {{
          store b1[0] = %1
        }}
      }}
    }}

    step 2 on (b2, b3, b4):
    kernel product(b0: read f32[3], b1: read f32[1], b2: write f32[3]) fast {{
      contract f32 batch [] m 3 n 1 k 1 {{
        a = b0 offset 0 batch [] row 1 column 1
        b = b1 offset 0 batch [] row 1 column 1
        c = b2 offset 0 batch [] row 1 column 1
      }}
    }}
  }}
}}
"
    )
}

#[test]
fn calls_become_their_kernels_over_the_batch() {
    for count in [1, 2, 7] {
        let parts = check_call(&call_of(count));
        assert_eq!(parts.len(), 3 + 2, "three kernels and two copies");
    }
}

#[test]
fn calls_in_calls() {
    let inner: String = call_of(2).lines().map(|l| format!("    {l}\n")).collect();
    let text = format!(
        "kernel call_g(b0: read f32[24], b1: read f32[3], b2: write f32[8], b3: write f32[24], b4: write f32[24], b5: write f32[8]) fast {{
  call count 4 {{
    input b0 stride 6
    input b1 stride 0
    output b2 stride 2
    output b3 stride 6
    output b4 stride 6
    output b5 stride 2
    buffer b0: f32[6], input 0 f32[6]
    buffer b1: f32[3], input 1 f32[3]
    buffer b2: f32[2], output 0 f32[2]
    buffer b3: f32[6], output 1 f32[2,3]
    buffer b4: f32[6], output 2 f32[2,3]
    buffer b5: f32[2], output 3 f32[2]

    step 0 on (b0, b1, b2, b3, b4, b5):
{inner}  }}
}}
"
    );
    assert_eq!(check_call(&text).len(), 5);
}

/// Windows of so many bytes, aligned to 16, run by the interpreter.
#[track_caller]
fn check_windows(text: &str, range: u64, points: usize) -> Vec<Part> {
    let kernel = parse(text);
    let parts = windows(Part::whole(kernel.clone()), Limits { range, alignment: 16, points });
    for part in &parts {
        for (o, b) in part.kernel.operands.iter().zip(&part.bindings) {
            assert!(o.len as u64 * o.dtype.bytes() as u64 <= range, "{part:?}");
            assert_eq!(b.first * o.dtype.bytes() % 16, 0, "{part:?}");
        }
    }
    check(&kernel, &parts, &[]);
    parts
}

#[test]
fn kernels_on_long_buffers_are_divided() {
    // Rows of 5 elements.
    let rows = "kernel rows(b0: read f32[100], b1: read f32[5], b2: write f32[20]) fast {
  parallel p0 in 0..20 {
    for r0 in 0..5 {
      %0 = load b0[5*p0 + r0]
      %1 = load b1[r0]
      %2 = mul %0 %1
      %3 = reduce_sum %2
    }
    once {
      store b2[p0] = %3
    }
  }
}
";
    assert_eq!(check_windows(rows, 400, 1000).len(), 1);
    // Halves begin at elements 50 and 10, off the alignment.
    assert_eq!(check_windows(rows, 208, 1000).len(), 2);
    assert_eq!(check_windows(rows, 400, 5).len(), 4);
    assert_eq!(check_windows(rows, 400, 3).len(), 8);
    let product = "kernel product(b0: read f32[48], b1: read f32[20], b2: write f32[60]) fast {
  contract f32 batch [] m 12 n 5 k 4 {
    a = b0 offset 0 batch [] row 4 column 1
    b = b1 offset 0 batch [] row 5 column 1
    c = b2 offset 0 batch [] row 5 column 1
  }
}
";
    assert_eq!(check_windows(product, 208, 1000).len(), 2);
}

#[test]
fn launches_of_a_kernel_within_the_limits_are_the_kernel() {
    let kernel = parse(SUM);
    let parts = windows(Part::whole(kernel.clone()), Limits { range: 1 << 20, alignment: 64, points: 1 << 20 });
    assert_eq!(parts, [Part::whole(kernel)]);
}

#[test]
fn batches_of_any_size_have_the_same_kernels_but_for_extents() {
    let domains = |count| -> Vec<Vec<usize>> {
        let parts = check_call(&call_of(count));
        let domain = |p: &Part| match &p.kernel.body {
            Body::Loops(nest) => nest.domain.clone(),
            Body::Contract(c) => c.batch.clone(),
            Body::Call(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Scan(_)
            | Body::While(_)
            | Body::Switch(_)
            | Body::Linalg(_)
            | Body::Print(_) => {
                panic!("a call is left")
            }
        };
        parts.iter().map(domain).collect()
    };
    for (small, large) in domains(2).iter().zip(domains(7)) {
        assert_eq!((small[0], large[0]), (2, 7));
        assert_eq!(small[1..], large[1..]);
    }
}

/// Runs the loop nests a scatter or sort becomes.
#[track_caller]
fn check_rows(text: &str) {
    let kernel = parse(text);
    let (_, parts, scratch) = open(&kernel).unwrap();
    assert!(!parts.is_empty());
    check(&kernel, &parts, &scratch);
}

#[test]
fn scatters_and_sorts_become_loop_nests() {
    for kind in ["reduce_sum", "reduce_max"] {
        for dtype in ["f32", "i32"] {
            check_rows(&format!(
                "kernel s(b0: read {dtype}[72], b1: read i32[14], b2: read {dtype}[84], b3: write {dtype}[72]) fast {{
  scatter {kind} batch 2 between 3 length 6 inner 2 taken 7 {{
    x = b0
    indices = b1
    updates = b2
    result = b3
  }}
}}
"
            ));
        }
    }
    check_rows(
        "kernel s(b0: read f32[4], b1: read i32[0], b2: read f32[0], b3: write f32[4]) fast {
  scatter reduce_sum batch 1 between 1 length 4 inner 1 taken 0 {
    x = b0
    indices = b1
    updates = b2
    result = b3
  }
}
",
    );
    for dtype in ["f32", "i32", "bool"] {
        check_rows(&format!(
            "kernel s(b0: read {dtype}[60], b1: write i32[60]) fast {{
  argsort outer 3 length 10 inner 2 {{
    x = b0
    result = b1
  }}
}}
"
        ));
    }
}

#[test]
fn positions_are_cut_and_halved_with_the_axes() {
    let text = "kernel shifted(b0: read f32[20], b1: read i32[3], b2: write f32[3]) fast {
  parallel p0 in 0..3 {
    once {
      %0 = load b1[p0]
    }
    for r0 in 0..30 {
      %1 = load b0[0] at -1*r0 + p0 + 22 in 0..20 by 1
      %2 = within r0 + %0 + -5 in 0..11
      %3 = constant f32 0.5
      %4 = select %2 %1 %3
      %5 = reduce_sum %4
    }
    once {
      store b2[p0] = %5
    }
  }
}
";
    assert_eq!(check_split(text, 256, 7), 4);
    assert_eq!(check_windows(text, 400, 1).len(), 3);
}
