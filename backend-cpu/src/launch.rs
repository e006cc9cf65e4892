//! Launching kernels on buffers: argument blocks, and which part of the work each thread gets.
#![allow(unsafe_code)]

use crate::contract::Products;
use crate::emit::HEADER;
use crate::jit::Entry;
use crate::pool::Pool;
use crate::rows::Rows;
use smallvec::SmallVec;
use std::ops::Range;

/// A compiled kernel.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    /// Its number in the code.
    pub(crate) number: usize,
    /// The extent of the domain axis that threads can share.
    pub(crate) extent: usize,
    /// Indices of it that stay together.
    pub(crate) grain: usize,
    /// About how long it takes, in ns.
    pub(crate) time: f64,
}

/// Where an operand is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The address of its first element, for the first element of the batch.
    pub(crate) address: u64,
    /// Bytes from one element of the batch to the next.
    pub(crate) stride: u64,
}

impl Place {
    /// The place for a batch that begins with that element.
    pub(crate) fn at(self, element: u64) -> Place {
        Place { address: self.address + element * self.stride, ..self }
    }
}

/// The pool, if so much work (in ns) is worth sharing, and in how many parts.
fn shared(pool: Option<&Pool>, time: f64) -> Option<(&Pool, usize)> {
    pool.and_then(|pool| Some((pool, pool.parts(time)?)))
}

/// Copies so many bytes for each element of a batch.
///
/// # Safety
/// Both places are live memory of that many bytes for every element; nothing else accesses what is
/// written, or writes what is read, meanwhile.
pub(crate) unsafe fn copy(from: Place, to: Place, bytes: usize, count: usize) {
    let dense = |place: Place| place.stride == bytes as u64;
    let (bytes, count) = if dense(from) && dense(to) { (bytes * count, 1) } else { (bytes, count) };
    for i in 0..count as u64 {
        let (from, to) = (from.at(i).address as *const u8, to.at(i).address as *mut u8);
        // SAFETY: by the caller's promise; where both lie element by element without gaps, the
        // elements are one stretch.
        unsafe { from.copy_to_nonoverlapping(to, bytes) };
    }
}

/// Part `i` of `parts` of an axis; `grain` indices stay together, what is left over is the last
/// part's.
pub(crate) fn part(extent: usize, grain: usize, parts: usize, i: usize) -> Range<usize> {
    let units = extent / grain;
    let edge = |i: usize| if i == parts { extent } else { i * units / parts * grain };
    edge(i)..edge(i + 1)
}

/// Runs a compiled kernel for so many elements of a batch.
///
/// # Safety
/// `entry` is the code of `function`, which was compiled from a verified kernel whose operands are
/// at `places`: for every element of the batch, live memory of the operand's length, aligned to its
/// type, which nothing writes meanwhile; what a written operand covers nothing else accesses, and
/// it differs from one element of the batch to the next.
pub(crate) unsafe fn kernel(
    entry: Entry,
    function: &Function,
    places: impl Iterator<Item = Place> + Clone,
    count: usize,
    pool: Option<&Pool>,
) {
    let mut arguments: SmallVec<[u64; 24]> = SmallVec::new();
    arguments.extend([0, function.extent as u64, 0, count as u64]);
    debug_assert_eq!(arguments.len(), HEADER);
    arguments.extend(places.clone().map(|place| place.address));
    arguments.extend(places.map(|place| place.stride));
    let Some((pool, parts)) = shared(pool, function.time * count as f64) else {
        // SAFETY: the function reads from the block what `arguments` has in that order: the whole of
        // the axis, the batch, one address and one stride per operand. The verifier has checked that
        // every index the kernel makes is below its operand's length; the rest the caller promises.
        return unsafe { call(entry, arguments.as_ptr()) };
    };
    let batches = count.min(parts);
    let ranges = parts.div_ceil(batches).min(function.extent / function.grain).max(1);
    pool.run(batches * ranges, &|chunk| {
        let mut arguments = arguments.clone();
        let along = part(function.extent, function.grain, ranges, chunk % ranges);
        let elements = part(count, 1, batches, chunk / ranges);
        let header = [along.start, along.end, elements.start, elements.end];
        arguments[..HEADER].copy_from_slice(&header.map(|n| n as u64));
        // SAFETY: as above, for a part of the axis that the function can run by itself and a part of
        // the batch. Distinct points of a kernel's domain store to distinct elements, and load of
        // what is stored only what the same point stored, so the parts may run at the same time.
        unsafe { call(entry, arguments.as_ptr()) };
    });
}

/// Runs matrix products for so many elements of a batch.
///
/// # Safety
/// As for [`kernel`], of the contraction.
pub(crate) unsafe fn contraction(
    products: &Products,
    places: impl Iterator<Item = Place>,
    count: usize,
    pool: Option<&Pool>,
) {
    let places: SmallVec<[Place; 3]> = places.collect();
    let run = |strips: usize, number: usize| {
        let each = products.batch * strips;
        let element = (number / each) as u64;
        let operands: SmallVec<[u64; 3]> = places.iter().map(|p| p.at(element).address).collect();
        // SAFETY: by the caller's promise, for an element of the batch; distinct products of it write
        // distinct elements of the result.
        unsafe { products.run(number % each, strips, &operands) };
    };
    let total = count * products.batch;
    let Some((pool, parts)) = shared(pool, products.time * count as f64) else {
        return (0..total).for_each(|number| run(1, number));
    };
    let strips = products.strips;
    let total = total * strips;
    let parts = parts.min(total);
    pool.run(parts, &|chunk| part(total, 1, parts, chunk).for_each(|number| run(strips, number)));
}

/// Scatters or sorts for so many elements of a batch.
///
/// # Safety
/// As for [`kernel`], of the scatter or sort.
pub(crate) unsafe fn rows(rows: &Rows, places: impl Iterator<Item = Place>, count: usize, pool: Option<&Pool>) {
    let places: SmallVec<[Place; 4]> = places.collect();
    let run = |strips: usize, number: usize| {
        let (row, strip) = (number / strips, number % strips);
        let operands = places.iter().map(|p| p.at((row / rows.count) as u64).address).collect();
        // SAFETY: by the caller's promise, for an element of the batch; distinct rows of it, and
        // distinct strips of a row, write distinct elements of the result.
        unsafe { rows.run(row % rows.count, strip, strips, operands) };
    };
    let total = count * rows.count;
    let Some((pool, parts)) = shared(pool, rows.time * count as f64) else {
        return (0..total).for_each(|number| run(1, number));
    };
    let strips = parts.div_ceil(total.max(1)).clamp(1, rows.positions.max(1));
    let total = total * strips;
    let parts = parts.min(total).max(1);
    pool.run(parts, &|chunk| part(total, 1, parts, chunk).for_each(|number| run(strips, number)));
}

/// Calls a compiled kernel.
///
/// # Safety
/// As the kernel demands of its argument block.
pub(crate) unsafe fn call(entry: Entry, arguments: *const u64) {
    // Code before us may have left the upper halves of the vector registers dirty, which makes
    // every 128-bit instruction depend on them.
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the machine has the instruction; callees may clobber the vector registers, and
        // the upper halves hold nothing anyone preserved.
        unsafe {
            std::arch::asm!("vzeroupper", options(nostack, nomem, preserves_flags), out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _)
        };
    }
    // SAFETY: by the caller's promise.
    unsafe { entry(arguments) }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn parts_cover_an_axis_in_whole_grains() {
        for extent in [1, 2, 63, 64, 65, 127, 128, 1000, 4096] {
            for grain in [1, 32, 64] {
                for parts in (1..=16).filter(|parts| parts * grain <= extent) {
                    let mut next = 0;
                    for i in 0..parts {
                        let range = part(extent, grain, parts, i);
                        assert_eq!((range.start, range.start % grain), (next, 0));
                        assert!(range.len() >= grain);
                        next = range.end;
                    }
                    assert_eq!(next, extent);
                }
            }
        }
    }
}
