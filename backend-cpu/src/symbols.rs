//! What generated code calls: the rare part of an elementary function when some lane needs it, and
//! what this machine has no instruction for.
#![allow(unsafe_code)]

use crate::contract::Products;
use egrad_ir::math::Rare;

/// The name of what does the rare work. It takes the address of five arrays of `lanes` elements,
/// one after the other (two arguments, two results, and a mask), and the number of lanes, and
/// replaces the results of the lanes whose mask isn't 0.
pub(crate) fn rare(work: Rare) -> &'static str {
    match work {
        Rare::HugeAngle32 => "egrad_huge_angle32",
        Rare::HugeAngle64 => "egrad_huge_angle64",
        Rare::LargeQuotient32 => "egrad_large_quotient32",
        Rare::LargeQuotient64 => "egrad_large_quotient64",
    }
}

/// What copies bytes: from where, to where, how many.
pub(crate) fn copy() -> *const u8 {
    unsafe extern "C" fn copy(from: *const u8, to: *mut u8, bytes: usize) {
        // SAFETY: generated code, which alone calls this, passes places of operands of that many
        // bytes that don't overlap, as the verifier has checked.
        unsafe { from.copy_to_nonoverlapping(to, bytes) };
    }
    copy as *const u8
}

/// What multiplies matrices: which ones, and the addresses of the operands.
pub(crate) fn products() -> *const u8 {
    unsafe extern "C" fn products(products: *const Products, operands: *const u64) {
        // SAFETY: generated code, which alone calls this, passes products that live as long as the
        // code does, and its own stack memory of three addresses: those of the operands, which are
        // live memory of their lengths, the third of which nothing else accesses.
        let (products, operands) = unsafe { (&*products, std::slice::from_raw_parts(operands, 3)) };
        for number in 0..products.batch {
            // SAFETY: as above.
            unsafe { products.run(number, 1, operands) };
        }
    }
    products as *const u8
}

/// The function of that name; those with a C name are `cranelift_module::default_libcall_names`.
pub(crate) fn address(name: &str) -> Option<*const u8> {
    extern "C" fn fma_f32(x: f32, y: f32, z: f32) -> f32 {
        x.mul_add(y, z)
    }
    extern "C" fn fma_f64(x: f64, y: f64, z: f64) -> f64 {
        x.mul_add(y, z)
    }
    extern "C" fn floor_f32(x: f32) -> f32 {
        x.floor()
    }
    extern "C" fn floor_f64(x: f64) -> f64 {
        x.floor()
    }
    extern "C" fn nearest_f32(x: f32) -> f32 {
        x.round_ties_even()
    }
    extern "C" fn nearest_f64(x: f64) -> f64 {
        x.round_ties_even()
    }
    Some(match name {
        "egrad_huge_angle32" => huge_angle32 as *const u8,
        "egrad_huge_angle64" => huge_angle64 as *const u8,
        "egrad_large_quotient32" => large_quotient32 as *const u8,
        "egrad_large_quotient64" => large_quotient64 as *const u8,
        "fmaf" => fma_f32 as *const u8,
        "fma" => fma_f64 as *const u8,
        "floorf" => floor_f32 as *const u8,
        "floor" => floor_f64 as *const u8,
        "nearbyintf" => nearest_f32 as *const u8,
        "nearbyint" => nearest_f64 as *const u8,
        _ => return None,
    })
}

macro_rules! helpers {
    ($($name:ident, $rare:ident, $eval:ident, $Float:ty, $Bits:ty;)*) => {$(
        unsafe extern "C" fn $name(memory: *mut $Float, lanes: usize) {
            // SAFETY: generated code, which alone calls this, passes its own stack memory, aligned
            // to 16 bytes, of five times `lanes` elements, all of which it has just written; a mask
            // element is an integer of the float's width, of which every bit pattern is a float.
            let memory = unsafe { std::slice::from_raw_parts_mut(memory, 5 * lanes) };
            for lane in 0..lanes {
                let mask: $Bits = memory[4 * lanes + lane].to_bits();
                if mask != 0 {
                    let [a, b] = Rare::$rare.$eval([memory[lane], memory[lanes + lane]]);
                    memory[2 * lanes + lane] = a;
                    memory[3 * lanes + lane] = b;
                }
            }
        }
    )*};
}
helpers! {
    huge_angle32, HugeAngle32, eval32, f32, u32;
    huge_angle64, HugeAngle64, eval64, f64, u64;
    large_quotient32, LargeQuotient32, eval32, f32, u32;
    large_quotient64, LargeQuotient64, eval64, f64, u64;
}
