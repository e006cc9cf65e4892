//! The tour's data: numbers at random and the digits.

use egrad::{Array, Result};

/// Random numbers that are the same in every run (Steele, Lea and Flood's SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal, of mean 0 and variance 1 (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Puts a slice in random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, (self.uniform() * (i + 1) as f64) as usize);
        }
    }
}

/// Pixels per image.
pub(super) const PIXELS: usize = 64;

/// Images and their digits.
#[derive(Default)]
pub(super) struct Digits {
    /// Per image its pixels, 0 to 1.
    pixels: Vec<[f32; PIXELS]>,
    digits: Vec<i32>,
}

impl Digits {
    /// What to train on, and what is held out: every fifth image. See `data/README.md`.
    pub(super) fn load() -> (Digits, Digits) {
        const TEXT: &str = include_str!("../../../data/digits.csv");
        let mut parts = (Digits::default(), Digits::default());
        for (i, line) in TEXT.lines().enumerate() {
            let mut numbers = line.split(',').map(|n| n.parse::<i32>().expect("the file holds integers"));
            let part = if i % 5 == 4 { &mut parts.1 } else { &mut parts.0 };
            part.pixels.push(std::array::from_fn(|_| numbers.next().expect("64 pixels") as f32 / 16.0));
            part.digits.push(numbers.next().expect("a digit"));
        }
        parts
    }

    pub(super) fn len(&self) -> usize {
        self.digits.len()
    }

    /// The digits.
    pub(super) fn digits(&self) -> &[i32] {
        &self.digits
    }

    /// The images of these indices and their digits, as arrays.
    pub(super) fn batch(&self, indices: &[usize]) -> Result<(Array, Array)> {
        let pixels = indices.iter().flat_map(|i| self.pixels[*i]).collect();
        let digits = indices.iter().map(|i| self.digits[*i]).collect();
        let n = indices.len();
        Ok((Array::from_vec::<f32>(pixels, [n, PIXELS])?, Array::from_vec::<i32>(digits, [n])?))
    }
}
