//! The generator, and what keys and bits are made of. The word type is named here alone.

use super::key::Key;
use crate::raise;
use crate::tensor::{Tensor, iota, operand};
use egrad_ir::{Dtype, Error, Shape, Span};

/// The element type of a word of 32 bits.
pub(super) const WORD: Dtype = Dtype::U32;

/// A constant word.
#[track_caller]
pub(super) fn word(bits: u32) -> Tensor {
    operand("word", bits, WORD)
}

/// By how many places the rounds rotate, in two turns.
const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];

/// What the third key word is made with.
const PARITY: u32 = 0x1BD1_1BDA;

/// Threefry-2x32 with 20 rounds, on the host.
pub(super) fn hash_on_host(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let keys = [key[0], key[1], key[0] ^ key[1] ^ PARITY];
    let [mut x, mut y] = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for group in 0..5 {
        for places in ROTATIONS[group % 2] {
            x = x.wrapping_add(y);
            y = y.rotate_left(places) ^ x;
        }
        x = x.wrapping_add(keys[(group + 1) % 3]);
        y = y.wrapping_add(keys[(group + 2) % 3]).wrapping_add(group as u32 + 1);
    }
    [x, y]
}

/// Threefry-2x32 with 20 rounds, for a counter whose upper word is 0.
#[track_caller]
pub(super) fn hash(key: [Tensor; 2], counter: Tensor) -> [Tensor; 2] {
    let keys = [key[0], key[1], key[0] ^ key[1] ^ word(PARITY)];
    let shape = counter.shape();
    let [mut x, mut y] = [keys[0].broadcast_to(shape), counter + keys[1]];
    for group in 0..5 {
        for places in ROTATIONS[group % 2] {
            x += y;
            y = rotated(y, places) ^ x;
        }
        x += keys[(group + 1) % 3];
        y += keys[(group + 2) % 3] + word(group as u32 + 1);
    }
    [x, y]
}

/// The words' bits moved up, those at the top to the bottom.
#[track_caller]
fn rotated(x: Tensor, places: u32) -> Tensor {
    x.shift_left(word(places)) | x.shift_right_logical(word(32 - places))
}

/// Per element of this shape two words, of the element's number as a counter.
#[track_caller]
pub(super) fn words(name: &str, key: [Tensor; 2], shape: &Shape, span: Span) -> [Tensor; 2] {
    let size = shape.checked_size().unwrap_or(usize::MAX);
    if u32::try_from(size).is_err() {
        let m = format!("`{name}` of shape {shape}: no more than {} elements are drawn at once", u32::MAX);
        raise::throw(Error::shape(m).at(span));
    }
    hash(key, iota([size], 0, WORD).reshape(shape.clone()))
}

/// Per element of this shape a word.
#[track_caller]
pub(super) fn word_each(name: &str, key: [Tensor; 2], shape: &Shape, span: Span) -> Tensor {
    let [x, y] = words(name, key, shape, span);
    x ^ y
}

/// Numbers in [0, 1), all multiples of the distance of floats from 1 up with equal probability.
#[track_caller]
pub(super) fn fraction(name: &str, key: [Tensor; 2], shape: &Shape, dtype: Dtype, span: Span) -> Tensor {
    // Of how many of a word's lowest bits how many of the highest make the number.
    let (of, bits) = match dtype {
        Dtype::F16 => (16, 10),
        Dtype::Bf16 => (8, 7),
        Dtype::F32 => (32, 23),
        _ => {
            // 52 bits, 32 of the first word and 20 of the second.
            let [high, low] = words(name, key, shape, span);
            return high.convert(dtype) * 2f64.powi(-32) + highest(low, 32, 20, dtype) * 2f64.powi(-52);
        }
    };
    highest(word_each(name, key, shape, span), of, bits, dtype) * 2f64.powi(-bits)
}

/// The number that of so many of a word's lowest bits so many of the highest make, not all of them. By way
/// of signed integers, which machines convert faster.
#[track_caller]
fn highest(x: Tensor, of: i32, bits: i32, dtype: Dtype) -> Tensor {
    let x = if of < 32 { x & word((1 << of) - 1) } else { x };
    signed(x.shift_right_logical(word((of - bits) as u32))).convert(dtype)
}

/// A word as the `i32` of its bits.
#[track_caller]
pub(super) fn signed(x: Tensor) -> Tensor {
    x.convert(Dtype::I32)
}

/// An `i32`'s bits as a word.
#[track_caller]
pub(super) fn from_signed(x: Tensor) -> Tensor {
    x.convert(WORD)
}

/// 32 random bits for each element of this shape, as `u32`.
///
/// ```
/// # use egrad::{Array, Tensor, jit, random, random::Key};
/// let f = jit(|key: Key| random::bits(key, [2]));
/// assert_eq!(f(&random::key(0)).unwrap().as_slice::<u32>().unwrap(), [4070199207, 4202968722]);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`] if the key is a batch of keys, or the shape has more
/// elements than `u32` counts.
#[track_caller]
pub fn bits(key: Key, shape: impl Into<Shape>) -> Tensor {
    let span = Span::here();
    word_each("bits", key.used("bits", span), &shape.into(), span)
}
