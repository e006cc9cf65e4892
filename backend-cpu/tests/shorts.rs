//! Floats of 16 bits as those of 32 and back, as the crate `half` has it: to the bit, in vectors and one by
//! one.

mod common;

use common::{kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::Backend;
use egrad_ir::{Array, Dtype, Element, Literal, bf16, f16};

/// The elements as another type; `rows` says how many are converted at a time.
fn converted(x: &Array, to: Dtype, alone: bool) -> Array {
    let n = x.shape().size();
    let from = x.dtype();
    // A stride that no vector has makes each a scalar.
    let (stride, len) = if alone { (3, 3 * n) } else { (1, n) };
    let text = format!(
        "kernel k(b0: read {from}[{n}], b1: write {to}[{len}]) strict {{
           parallel p0 in 0..{n} {{
             for r0 in 0..{stride} {{
               %0 = load b0[p0]
               %1 = convert {to} %0
               store b1[{stride}*p0 + r0] = %1
             }}
           }}
         }}"
    );
    let program = Cpu::new().unwrap().compile(schedule(kernel(&text))).unwrap();
    program.run(&[x]).unwrap().outputs[0].clone()
}

#[track_caller]
fn check(x: &Array, to: Dtype, want: impl Fn(usize) -> Literal) {
    for alone in [false, true] {
        let got = converted(x, to, alone);
        for i in 0..got.shape().size() {
            let from = if alone { i / 3 } else { i };
            assert_eq!(got.literal(i), want(from), "{:?} as {to}", x.literal(from));
        }
    }
}

/// Every element of a type; as `f32`, NaN is the canonical one.
fn widening<T: Element>(element: fn(u16) -> T, number: fn(T) -> f32) {
    let all: Vec<T> = (0..=u16::MAX).map(element).collect();
    let x = Array::from_vec(all.clone(), [all.len()]).unwrap();
    check(&x, Dtype::F32, |i| {
        let wide = number(all[i]);
        if wide.is_nan() { f32::NAN.literal() } else { wide.literal() }
    });
}

#[test]
fn every_one_of_16_bits_widens() {
    widening(f16::from_bits, f16::to_f32);
    widening(bf16::from_bits, bf16::to_f32);
}

#[test]
fn those_of_32_bits_round_to_the_nearest() {
    let mut wide: Vec<f32> = Vec::new();
    for high in 0..=u16::MAX {
        // What a bf16 keeps, and about a half of its last digit; then the same for f16.
        wide.extend([0, 0x7fff, 0x8000, 0x8001].map(|low| f32::from_bits(u32::from(high) << 16 | low)));
        let (x, next) = (f16::from_bits(high & 0x7fff), f16::from_bits((high & 0x7fff) + 1));
        let middle = (x.to_f32() + next.to_f32()) / 2.0;
        let sign = if high >> 15 == 1 { -1.0 } else { 1.0 };
        wide.extend([x.to_f32(), middle, middle.next_up(), middle.next_down()].map(|x| sign * x));
    }
    wide.extend([65519.996, 65520.0, 1e-40, -1e-40, f32::from_bits(1), f32::MAX, f32::MIN, 3.39e38]);
    wide.extend((0..100_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))));
    let x = Array::from_vec(wide.clone(), [wide.len()]).unwrap();
    check(&x, Dtype::F16, |i| if wide[i].is_nan() { f16::NAN } else { f16::from_f32(wide[i]) }.literal());
    check(&x, Dtype::Bf16, |i| if wide[i].is_nan() { bf16::NAN } else { bf16::from_f32(wide[i]) }.literal());
}
