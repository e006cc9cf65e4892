//! Every primitive on every element type that takes it, over special values.

use super::{Build, affine, alone, check, with};
use crate::{Shaders, Vulkan, Without};
use egrad_ir::infer::infer;
use egrad_ir::kernel::{Backend, Inst, Kernel};
use egrad_ir::op::{Binary, Compare, Op, Unary};
use egrad_ir::{Array, Aval, Dtype, Literal, bf16, elementary, f16};

/// Values at which functions differ or fail.
fn special(dtype: Dtype) -> Vec<f64> {
    let int = f64::from(i32::MAX);
    match dtype {
        Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => {
            let mut all = vec![0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 7.25, 20.0, 88.0, 89.0, 104.0, 710.0, 1e-3, 1e-6];
            all.extend([1e-20, 1e10, int, int + 1.0, int + 1025.0, 1e30, 3e38, f64::INFINITY, f64::NAN]);
            all.extend([1.0 - 1e-7, 1.0 + 1e-6, std::f64::consts::PI, 2.5e4, 1.175_494_4e-38, 16_777_217.0]);
            all.iter().flat_map(|x| [*x, -*x]).collect()
        }
        Dtype::I32 => vec![0.0, 1.0, -1.0, 2.0, -3.0, 7.0, 46341.0, -65536.0, int, -int, -int - 1.0, 16_777_217.0],
        Dtype::I64 => {
            let mut all = vec![0.0, 1.0, -1.0, 2.0, -3.0, 7.0, 63.0, 64.0, int, -int - 1.0, 3_037_000_500.0];
            all.extend([4_294_967_296.0, -4_294_967_295.0, 9_007_199_254_740_992.0, f64::INFINITY, f64::NEG_INFINITY]);
            all
        }
        Dtype::U32 => vec![0.0, 1.0, 2.0, 3.0, 7.0, 31.0, 32.0, 65536.0, int, int + 1.0, 16_777_217.0, f64::INFINITY],
        Dtype::U8 => vec![0.0, 1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 31.0, 32.0, 127.0, 128.0, 200.0, 255.0],
        Dtype::Bool => vec![0.0, 1.0],
    }
}

fn array(dtype: Dtype, values: &[f64]) -> Array {
    Array::from_f64(dtype, values, [values.len()]).unwrap()
}

/// All pairs of special values.
fn pairs(dtype: Dtype) -> [Array; 2] {
    let all = special(dtype);
    let pair = |pick: fn(f64, f64) -> f64| -> Vec<f64> {
        all.iter().flat_map(|x| all.iter().map(move |y| pick(*x, *y))).collect()
    };
    [pair(|x, _| x), pair(|_, y| y)].map(|v| array(dtype, &v))
}

/// An elementwise kernel of these inputs.
fn kernel(
    name: &str,
    inputs: &[&Array],
    out: Dtype,
    inst: impl FnOnce(&[egrad_ir::kernel::ValueId]) -> Inst,
) -> Kernel {
    let n = inputs[0].shape().size();
    let mut k = Build::over([n]);
    let args: Vec<_> = inputs.iter().map(|a| k.read(a.dtype(), n, affine(0, &[1]))).collect();
    let result = k.inst(inst(&args));
    k.write(out, result);
    k.kernel(name)
}

/// The element type of the primitive's result, if kernels compute it of operands of these types.
fn takes(op: &Op, args: &[Dtype]) -> Option<Dtype> {
    let moves = matches!(op, Op::Unary(Unary::StopGradient | Unary::Barrier));
    if !moves && args.iter().any(|d| d.computed() != *d) {
        return None;
    }
    let avals: Vec<Aval> = args.iter().map(|d| Aval::new(*d, [2])).collect();
    infer(op, &avals.iter().collect::<Vec<_>>()).ok().map(|a| a.dtype)
}

fn is_elementary(op: Unary) -> bool {
    matches!(op, elementary!())
}

/// How far an elementary function may be off, in units in the last place.
fn tolerance(op: Unary) -> f64 {
    match op {
        Unary::Asin | Unary::Acos | Unary::Atan | Unary::Erf => 4.0,
        Unary::Erfc | Unary::ErfInv => 8.0,
        _ => 3.0,
    }
}

#[test]
fn unary() {
    with(Without::default(), |vulkan| {
        for (dtype, op) in Dtype::ALL.iter().flat_map(|d| Unary::ALL.iter().map(move |op| (*d, *op))) {
            if takes(&Op::Unary(op), &[dtype]).is_none() {
                continue;
            }
            let x = array(dtype, &special(dtype));
            let k = kernel(op.name(), &[&x], dtype, |a| Inst::Unary(op, a[0]));
            let ulps = match op {
                Unary::Sqrt | Unary::Rsqrt => 4.0,
                _ if is_elementary(op) => tolerance(op),
                _ => 0.0,
            };
            check(vulkan, alone(k), &[&x], ulps);
        }
    });
}

/// Points of every size, from a fixed seed.
fn scattered(dtype: Dtype, n: usize) -> Array {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // Half of them with any bits, half of sizes at which functions are interesting.
    let value = |i: usize, bits: u64| match (i % 2, dtype) {
        (0, Dtype::F32) => f64::from(f32::from_bits(bits as u32)),
        (0, _) => f64::from_bits(bits),
        _ => (bits as i64 as f64 / 2f64.powi(63)) * [1.0, 10.0, 100.0, 1e6][i / 2 % 4],
    };
    let least = if dtype == Dtype::F32 { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
    let values: Vec<f64> = (0..n).map(|i| value(i, next())).map(|x| if x.abs() < least { 1.25 } else { x }).collect();
    array(dtype, &values)
}

/// Elementary functions at many points: without f64, `fma` is split in two floats.
fn elementary(without: Without, dtype: Dtype) {
    with(without, |vulkan| {
        let x = scattered(dtype, 20_000);
        for op in Unary::ALL.iter().filter(|op| is_elementary(**op)) {
            let k = kernel(op.name(), &[&x], dtype, |a| Inst::Unary(*op, a[0]));
            check(vulkan, alone(k), &[&x], tolerance(*op));
        }
        let n = 10_000;
        let half = |from| array(dtype, &x.to_f64()[from..from + n]);
        let [x, y] = [half(0), half(n)];
        for (op, ulps) in [(Binary::Pow, 3.0), (Binary::Atan2, 4.0), (Binary::Rem, 0.0)] {
            let k = kernel(op.name(), &[&x, &y], dtype, |a| Inst::Binary(op, a[0], a[1]));
            check(vulkan, alone(k), &[&x, &y], ulps);
        }
    });
}

#[test]
fn elementary_f32() {
    elementary(Without::default(), Dtype::F32);
}

#[test]
fn elementary_f32_without_f64() {
    elementary(Without { float64: true, ..Without::default() }, Dtype::F32);
}

#[test]
fn elementary_f64() {
    elementary(Without::default(), Dtype::F64);
}

/// How many float operations a device may contract or rearrange.
fn contractible(words: &[u32]) -> usize {
    use rspirv::dr::{Instruction, Operand};
    use rspirv::spirv::{Decoration, GlslStd450Op, Op as Code};
    let module = rspirv::dr::load_words(words).unwrap();
    let kept = |id: u32| {
        let decoration = [Operand::IdRef(id), Operand::Decoration(Decoration::NoContraction)];
        module.annotations.iter().any(|i| i.operands == decoration)
    };
    let arithmetic = |i: &&Instruction| match i.class.opcode {
        Code::FAdd | Code::FSub | Code::FMul | Code::FDiv => true,
        Code::ExtInst => i.operands[1] == Operand::LiteralExtInstInteger(GlslStd450Op::Fma as u32),
        _ => false,
    };
    module.all_inst_iter().filter(arithmetic).filter(|i| !kept(i.result_id.unwrap())).count()
}

/// What other devices than this one would be given is valid as well.
#[test]
fn modules_for_other_devices() {
    with(Without::default(), |vulkan| {
        for (fused, denormals) in [(true, true), (false, true), (true, false)] {
            let mut caps = vulkan.context.caps.clone();
            caps.fused = fused;
            for float in [&mut caps.f32, &mut caps.f64] {
                (float.keeps_denormals, float.rounds_to_even, float.keeps_nan) = (denormals, denormals, !denormals);
            }
            for (dtype, op) in [Dtype::F32, Dtype::F64].iter().flat_map(|d| Unary::ALL.iter().map(move |op| (*d, *op)))
            {
                if takes(&Op::Unary(op), &[dtype]).is_some() {
                    let k = kernel(op.name(), &[&array(dtype, &[1.0])], dtype, |a| Inst::Unary(op, a[0]));
                    let words = crate::tests::launch(&k, &caps).words;
                    super::valid(&words);
                    assert!(!is_elementary(op) || contractible(&words) == 0, "{}", op.name());
                }
            }
        }
    });
}

#[test]
fn binary() {
    with(Without::default(), |vulkan| {
        for (dtype, op) in Dtype::ALL.iter().flat_map(|d| Binary::ALL.iter().map(move |op| (*d, *op))) {
            if takes(&Op::Binary(op), &[dtype, dtype]).is_none() {
                continue;
            }
            let [x, y] = pairs(dtype);
            let k = kernel(op.name(), &[&x, &y], dtype, |a| Inst::Binary(op, a[0], a[1]));
            let ulps = match op {
                Binary::Div => 3.0,
                Binary::Pow => 3.0,
                Binary::Atan2 => 4.0,
                _ => 0.0,
            };
            check(vulkan, alone(k), &[&x, &y], ulps);
        }
    });
}

#[test]
fn compare_and_select() {
    with(Without::default(), |vulkan| {
        for dtype in Dtype::ALL {
            let [x, y] = pairs(dtype);
            for op in Compare::ALL {
                let wide = [&x, &y].map(|a| Array::from_f64(dtype.computed(), &a.to_f64(), a.shape().clone()).unwrap());
                let wide = [&wide[0], &wide[1]];
                let k = kernel(op.name(), &wide, Dtype::Bool, |a| Inst::Compare(*op, a[0], a[1]));
                let p = check(vulkan, alone(k), &wide, 0.0).remove(0);
                let k = kernel("select", &[&p, &x, &y], dtype, |a| Inst::Select(a[0], a[1], a[2]));
                check(vulkan, alone(k), &[&p, &x, &y], 0.0);
            }
        }
    });
}

#[test]
fn integer_pow() {
    with(Without::default(), |vulkan| {
        for dtype in Dtype::ALL {
            let x = array(dtype, &special(dtype));
            for n in [-7, -2, -1, 0, 1, 2, 3, 10, 31] {
                if takes(&Op::IntegerPow(n), &[dtype]).is_some() {
                    let k = kernel("integer_pow", &[&x], dtype, |a| Inst::IntegerPow(n, a[0]));
                    check(vulkan, alone(k), &[&x], if n < 0 { 3.0 } else { 0.0 });
                }
            }
        }
    });
}

#[test]
fn convert() {
    with(Without::default(), |vulkan| {
        for (from, to) in Dtype::ALL.iter().flat_map(|d| Dtype::ALL.iter().map(move |to| (*d, *to))) {
            let x = array(from, &special(from));
            let k = kernel(&format!("{from}_to_{to}"), &[&x], to, |a| Inst::Convert(to, a[0]));
            check(vulkan, alone(k), &[&x], 0.0);
        }
    });
}

/// Every float of 16 bits as one of 32, and those with what lies between and beyond them back, to the bit.
#[test]
fn floats_of_16_bits() {
    let mut wide: Vec<f32> = Vec::new();
    for high in 0..=u16::MAX {
        let bits = u32::from(high) << 16;
        wide.extend([0x7fff, 0x8000, 0x8001].map(|low| f32::from_bits(bits | low)));
        let (x, next) = (f16::from_bits(high & 0x7fff), f16::from_bits((high & 0x7fff) + 1));
        let middle = (x.to_f32() + next.to_f32()) / 2.0;
        let signed = if high >> 15 == 1 { -1.0 } else { 1.0 };
        wide.extend([middle, middle.next_up(), middle.next_down()].map(|x| signed * x));
    }
    wide.extend((0..60_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))));
    // A device may take numbers that f32 has no exponent for as 0.
    let least = |x: &f32| x.abs() >= f32::MIN_POSITIVE || *x == 0.0;
    let wide: Vec<f32> = wide.into_iter().filter(|x| x.is_nan() || least(x)).collect();
    let wide = Array::from_vec(wide.clone(), [wide.len()]).unwrap();
    let all = 0..=u16::MAX;
    let shorts = [
        Array::from_vec(all.clone().map(f16::from_bits).collect(), [1 << 16]).unwrap(),
        Array::from_vec(all.map(bf16::from_bits).collect(), [1 << 16]).unwrap(),
    ];
    let compiled = |vulkan: &Vulkan, from, to, x: &Array, glsl: bool| {
        let k = kernel("convert", &[x], to, |a| Inst::Convert(to, a[0]));
        let vulkan = Vulkan { shaders: if glsl { Shaders::Glsl } else { Shaders::Spirv }, ..vulkan.clone() };
        let program = vulkan.compile(alone(k)).unwrap_or_else(|e| panic!("{from} to {to}: {e}"));
        program.run(&[x]).unwrap().outputs[0].clone()
    };
    with(Without::default(), |vulkan| {
        for glsl in [false, true].into_iter().filter(|glsl| !glsl || cfg!(feature = "shaderc")) {
            for short in &shorts {
                let dtype = short.dtype();
                let got = compiled(vulkan, dtype, Dtype::F32, short, glsl);
                let want = short.to_f64();
                for (i, (got, want)) in got.to_f64().into_iter().zip(&want).enumerate() {
                    let same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
                    assert!(same, "{dtype} {i:#x}: {got:?}, not {want:?}; GLSL: {glsl}");
                }
                let got = compiled(vulkan, Dtype::F32, dtype, &wide, glsl);
                for (i, x) in wide.elements::<f32>().unwrap().iter().enumerate() {
                    let want = Literal::new(dtype, if x.is_nan() { f64::NAN } else { f64::from(*x) });
                    assert_eq!(got.literal(i), want, "{dtype} of {x:?} ({:#x}); GLSL: {glsl}", x.to_bits());
                }
            }
        }
    });
}

#[test]
fn literals_keep_their_bits() {
    let bits = |dtype, bits| Literal::from_bits(dtype, bits).unwrap();
    let nan32 = bits(Dtype::F32, 0xffc0_1234);
    let nan64 = bits(Dtype::F64, 0x7ff8_0000_0000_4321);
    let others = Dtype::ALL.iter().flat_map(|d| special(*d).into_iter().map(|x| Literal::new(*d, x)));
    with(Without::default(), |vulkan| {
        for literal in [nan32, nan64].into_iter().chain(others) {
            let mut k = Build::over([3]);
            let v = k.inst(Inst::Literal(literal));
            k.write(literal.dtype(), v);
            let out = check(vulkan, alone(k.kernel("literal")), &[], 0.0).remove(0);
            assert_eq!([0, 1, 2].map(|i| out.literal(i)), [literal; 3]);
        }
    });
}

/// Drivers see through conversions.
#[test]
fn widened_integers() {
    with(Without::default(), |vulkan| {
        let x = array(Dtype::I64, &[5.0, -7.0, 4e15, -4e15, 1.0, 2.0]);
        for (from, places) in
            [(Dtype::I32, [0.0, 1.0, 63.0, 64.0, -1.0, 5.0]), (Dtype::U8, [0.0, 1.0, 63.0, 64.0, 255.0, 5.0])]
        {
            let y = array(from, &places);
            for op in [Binary::ShiftLeft, Binary::ShiftRightLogical, Binary::ShiftRightArithmetic] {
                let mut k = Build::over([6]);
                let [a, b] = [Dtype::I64, from].map(|dtype| k.read(dtype, 6, affine(0, &[1])));
                let wide = k.inst(Inst::Convert(Dtype::I64, b));
                let shifted = k.inst(Inst::Binary(op, a, wide));
                k.write(Dtype::I64, shifted);
                check(vulkan, alone(k.kernel(op.name())), &[&x, &y], 0.0);
            }
            for op in Compare::ALL {
                let mut k = Build::over([6]);
                let y = k.read(from, 6, affine(0, &[1]));
                let wide = k.inst(Inst::Convert(Dtype::I64, y));
                let zero = k.inst(Inst::Literal(Literal::new(Dtype::I64, 0.0)));
                let compared = k.inst(Inst::Compare(*op, wide, zero));
                k.write(Dtype::Bool, compared);
                check(vulkan, alone(k.kernel(op.name())), &[&array(from, &places)], 0.0);
            }
        }
    });
}
