//! What generated code calls when some lane needs the rare part of an elementary function.
#![allow(unsafe_code)]

use egrad_ir::math::Rare;

/// The function to call; it takes the address of four arrays of `lanes` elements, one after the
/// other (the argument, two results, and a mask), and the number of lanes, and replaces the
/// results of the lanes whose mask isn't 0.
pub(crate) fn helper(rare: Rare) -> usize {
    match rare {
        Rare::HugeAngle32 => huge_angle32 as *const () as usize,
        Rare::HugeAngle64 => huge_angle64 as *const () as usize,
    }
}

macro_rules! helpers {
    ($($name:ident, $rare:ident, $eval:ident, $Float:ty, $Bits:ty;)*) => {$(
        unsafe extern "C" fn $name(memory: *mut $Float, lanes: usize) {
            // SAFETY: generated code, which alone calls this, passes its own stack memory, aligned
            // to 16 bytes, of four times `lanes` elements, all of which it has just written; a mask
            // element is an integer of the float's width, of which every bit pattern is a float.
            let memory = unsafe { std::slice::from_raw_parts_mut(memory, 4 * lanes) };
            for lane in 0..lanes {
                let mask: $Bits = memory[3 * lanes + lane].to_bits();
                if mask != 0 {
                    let [a, b] = Rare::$rare.$eval(memory[lane]);
                    memory[lanes + lane] = a;
                    memory[2 * lanes + lane] = b;
                }
            }
        }
    )*};
}
helpers! {
    huge_angle32, HugeAngle32, eval32, f32, u32;
    huge_angle64, HugeAngle64, eval64, f64, u64;
}
