//! Running one kernel on the CPU backend and on the kernel interpreter.
#![allow(dead_code, reason = "every test binary uses a part of it")]

pub(crate) mod functions;
pub(crate) mod maker;

use egrad_cpu::Cpu;
use egrad_ir::kernel::{Backend, Kernel, Run};
use egrad_ir::scalar::Elementary;
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::{Array, Aval, Dtype, Literal, Numerics, bf16, f16};

/// Whether random functions are of kernels whose results change little when their arguments do.
pub(crate) const SMOOTH: bool = false;

/// Numbers that come out the same everywhere, from a seed (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Between -1 and 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// What an operand is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fill {
    /// Numbers between -4 and 4.
    Tame,
    /// Those, and everything odd there is: NaN, infinities, signed zeros, subnormal and huge numbers.
    Wild,
}

pub(crate) fn filled(dtype: Dtype, len: usize, fill: Fill, numbers: &mut Numbers) -> Array {
    const ODD: [f64; 22] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1e-40,
        -3e-42,
        1e30,
        -1e30,
        3.4e38,
        1e-310,
        2147483648.0,
        -2147483648.0,
        1e10,
        -1e10,
        88.8,
        -104.5,
        1e7,
        2.0,
    ];
    let data: Vec<f64> = (0..len)
        .map(|_| {
            if fill == Fill::Wild && numbers.below(3) == 0 {
                ODD[numbers.below(ODD.len())]
            } else if dtype == Dtype::Bool {
                numbers.below(2) as f64
            } else {
                4.0 * numbers.unit()
            }
        })
        .collect();
    // Now and then any bits at all; unsigned numbers wrap around instead of becoming 0.
    let bits: Vec<Option<i64>> = data
        .iter()
        .map(|x| match numbers.below(4) {
            0 => Some(numbers.bits() as i64),
            _ => (dtype.is_unsigned() && *x < 0.0).then_some(*x as i64),
        })
        .collect();
    let whole = |(x, any): (&f64, &Option<i64>)| any.unwrap_or(*x as i64);
    let all = data.iter().zip(&bits);
    match dtype {
        Dtype::I32 => Array::from_vec(all.map(|x| whole(x) as i32).collect(), [len]).unwrap(),
        Dtype::I64 => Array::from_vec(all.map(whole).collect(), [len]).unwrap(),
        Dtype::U32 => Array::from_vec(all.map(|x| whole(x) as u32).collect(), [len]).unwrap(),
        Dtype::U8 => Array::from_vec(all.map(|x| whole(x) as u8).collect(), [len]).unwrap(),
        Dtype::F16 => {
            let any = |(x, any): (&f64, &Option<i64>)| any.map_or(f16::from_f64(*x), |b| f16::from_bits(b as u16));
            Array::from_vec(all.map(any).collect(), [len]).unwrap()
        }
        Dtype::Bf16 => {
            let any = |(x, any): (&f64, &Option<i64>)| any.map_or(bf16::from_f64(*x), |b| bf16::from_bits(b as u16));
            Array::from_vec(all.map(any).collect(), [len]).unwrap()
        }
        Dtype::F32 | Dtype::F64 | Dtype::Bool => Array::from_f64(dtype, &data, [len]).unwrap(),
    }
}

/// The schedule that runs a kernel once: its reads are the inputs, its writes the results.
pub(crate) fn schedule(kernel: Kernel) -> Schedule {
    let mut schedule = Schedule::default();
    let mut operands = Vec::new();
    for operand in &kernel.operands {
        let id = BufferId::from(schedule.buffers.len());
        schedule.buffers.push(Buffer { dtype: operand.dtype, len: operand.len });
        let aval = Aval::new(operand.dtype, [operand.len]);
        if operand.written {
            schedule.outputs.push((id, aval))
        } else {
            schedule.inputs.push((id, aval))
        }
        operands.push(id);
    }
    schedule.steps.push(Step { kernel, operands });
    schedule
}

/// Inputs for a schedule.
pub(crate) fn inputs(schedule: &Schedule, fill: Fill, numbers: &mut Numbers) -> Vec<Array> {
    let one = |(_, aval): &(BufferId, Aval)| {
        filled(aval.dtype, aval.shape.size(), fill, numbers).reshape(aval.shape.clone()).unwrap()
    };
    schedule.inputs.iter().map(one).collect()
}

/// How close two results have to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Close {
    /// The same bits.
    Bits,
    /// Within this share of the largest number in sight; NaN and infinity in the same places.
    Within(f64),
}

#[track_caller]
pub(crate) fn assert_close(got: &Array, want: &Array, close: Close, what: &dyn Fn() -> String) {
    assert_eq!(got.aval(), want.aval(), "{}", what());
    let scale = want.to_f64().into_iter().filter(|x| x.is_finite()).fold(1e-30, |m: f64, x| m.max(x.abs()));
    for i in 0..want.shape().size() {
        let (g, w) = (got.literal(i), want.literal(i));
        let ok = match close {
            Close::Bits => g == w,
            Close::Within(share) => {
                let (g, w) = (g.to_f64(), w.to_f64());
                g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= share * scale
            }
        };
        assert!(ok, "element {i} is {g:?}, not {w:?}\n{}", what());
    }
}

/// Runs a kernel in strict mode, where every bit must be the interpreter's, and in fast mode, where
/// results must be within `fast` of the interpreter's (`None`: not run).
#[track_caller]
pub(crate) fn check(kernel: &Kernel, fill: Fill, fast: Option<f64>) {
    check_on(&[Cpu::new().unwrap()], kernel, fill, fast);
}

/// As [`check`], on several backends, whose results must all have the same bits.
#[track_caller]
pub(crate) fn check_on(cpus: &[Cpu], kernel: &Kernel, fill: Fill, fast: Option<f64>) {
    let mut numbers = Numbers(kernel.operands.iter().map(|o| o.len as u64).sum());
    let modes = [(Numerics::Strict, Some(Close::Bits)), (Numerics::Fast, fast.map(Close::Within))];
    for (numerics, close) in modes {
        let Some(close) = close else { continue };
        let schedule = schedule(Kernel { numerics, ..kernel.clone() });
        let inputs = inputs(&schedule, fill, &mut numbers);
        let inputs: Vec<&Array> = inputs.iter().collect();
        let want = schedule.eval(&inputs, Elementary::Shared).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
        let mut first: Option<Run> = None;
        for cpu in cpus {
            let compiled = cpu.compile(schedule.clone()).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
            let got = compiled.run(&inputs).unwrap();
            assert_eq!(got.dispatches, schedule.launches());
            let what = || {
                let clif = compiled.listing("clif").unwrap().concat();
                format!("{cpu:?} {numerics:?} {kernel}\ninputs {inputs:?}\n{clif}")
            };
            for (i, (got, want)) in got.outputs.iter().zip(&want.outputs).enumerate() {
                assert_close(got, want, close, &what);
                if let Some(first) = &first {
                    assert_close(got, &first.outputs[i], Close::Bits, &what);
                }
            }
            first.get_or_insert(got);
        }
    }
}

/// The kernel of this text.
#[track_caller]
pub(crate) fn kernel(text: &str) -> Kernel {
    Kernel::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A literal as kernel text has it.
pub(crate) fn literal(dtype: Dtype, x: f64) -> String {
    format!("{dtype} {}", Literal::new(dtype, x))
}
