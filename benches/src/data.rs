//! Inputs of the programs: numbered streams of numbers that anything can reproduce.
//!
//! Element i of a stream depends on the seed and on i alone. It is made from a 64-bit word, the
//! output of SplitMix64, by operations that are exact, or rounded once, in any IEEE arithmetic; so
//! `benches/jax/inputs.py` makes the same bits with numpy.

use egrad::{Array, Element, Shape};

/// SplitMix64's increment: 2⁶⁴ divided by the golden ratio, made odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The stream of that seed.
    pub fn new(seed: u64) -> Stream {
        Stream { key: mix(seed.wrapping_add(GAMMA)) }
    }

    /// Word i: any of 2⁶⁴, equally likely.
    pub fn word(self, i: u64) -> u64 {
        mix(self.key.wrapping_add(i.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// Number i, uniform over the multiples of 2⁻²⁴ in [0, 1).
    pub fn uniform(self, i: u64) -> f32 {
        (self.word(i) >> 40) as f32 * (-24f32).exp2()
    }

    /// Number i, nearly normal, of mean 0 and variance 1, between -3.47 and 3.47: a sum of four
    /// uniform numbers of 16 bits, with six bits more, so that equal numbers are rare.
    pub fn normal(self, i: u64) -> f32 {
        let word = self.word(i);
        let sum: u64 = (0..4).map(|field| word >> (16 * field) & 0xffff).sum();
        let units = (sum * 64 + (mix(word) >> 58)) as i64 - (131_070 * 64 + 32);
        // The sum's standard deviation is 2¹⁶/√3, and a unit 1/64 of its last place.
        units as f32 * (-22f32).exp2() * 1.732_050_8
    }

    /// Number i, a whole one in 0..n.
    pub fn below(self, i: u64, n: u32) -> i32 {
        (((self.word(i) >> 32) * u64::from(n)) >> 32) as i32
    }
}

/// An array whose elements are `f` of their positions.
fn filled<T: Element>(shape: impl Into<Shape>, f: impl Fn(u64) -> T) -> Array {
    let shape = shape.into();
    let data: Vec<T> = (0..shape.size() as u64).map(f).collect();
    Array::from_vec(data, shape).expect("as many elements as the shape says")
}

/// Nearly normal numbers times `scale`.
pub fn normal(shape: impl Into<Shape>, seed: u64, scale: f32) -> Array {
    let stream = Stream::new(seed);
    filled(shape, |i| stream.normal(i) * scale)
}

/// Numbers uniform in [low, high).
pub fn uniform(shape: impl Into<Shape>, seed: u64, low: f32, high: f32) -> Array {
    let stream = Stream::new(seed);
    filled(shape, |i| stream.uniform(i) * (high - low) + low)
}

/// Whole numbers in 0..n.
pub fn below(shape: impl Into<Shape>, seed: u64, n: u32) -> Array {
    let stream = Stream::new(seed);
    filled(shape, |i| stream.below(i, n))
}

/// Zeros and ones (as floats), equally likely.
pub fn coins(shape: impl Into<Shape>, seed: u64) -> Array {
    let stream = Stream::new(seed);
    filled(shape, |i| if stream.uniform(i) < 0.5 { 1.0f32 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `python3 benches/jax/inputs.py` prints them.
    #[test]
    fn the_bits_are_those_that_numpy_makes() {
        let stream = Stream::new(7);
        let words: Vec<u64> = (0..3).map(|i| stream.word(i)).collect();
        assert_eq!(words, WORDS);
        let bits = |f: fn(Stream, u64) -> f32| -> Vec<u32> { (0..3).map(|i| f(stream, i).to_bits()).collect() };
        assert_eq!(bits(Stream::uniform), UNIFORM);
        assert_eq!(bits(Stream::normal), NORMAL);
        assert_eq!((0..3).map(|i| stream.below(i, 1000)).collect::<Vec<_>>(), BELOW);
    }

    const WORDS: [u64; 3] = [0xb8b4_c297_7eab_ce45, 0xa653_05fd_338e_c8fe, 0x8ca3_cbb6_ca63_129b];
    const UNIFORM: [u32; 3] = [0x3f38_b4c2, 0x3f26_5305, 0x3f0c_a3cb];
    const NORMAL: [u32; 3] = [0x3fad_6970, 0xbf16_eab1, 0x3eb8_ce0c];
    const BELOW: [i32; 3] = [721, 649, 549];

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let stream = Stream::new(1);
        let n = 1 << 20;
        let (mut sum, mut squares, mut largest) = (0.0, 0.0, 0.0f64);
        for i in 0..n {
            let x = f64::from(stream.normal(i));
            sum += x;
            squares += x * x;
            largest = largest.max(x.abs());
        }
        // Five standard deviations of the mean of 2²⁰ numbers.
        assert!((sum / n as f64).abs() < 5.0 / 1024.0);
        assert!((squares / n as f64 - 1.0).abs() < 5.0 / 1024.0);
        assert!(largest < 3.47 && largest > 3.0);
    }
}
