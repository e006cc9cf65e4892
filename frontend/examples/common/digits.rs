//! The hand-written digits: see `frontend/data/README.md`.

use egrad::{Array, Result};

/// Pixels of an image, eight rows of eight.
pub(crate) const PIXELS: usize = 64;

/// An image: its pixels, 0 to 1, and its digit.
pub(crate) type Image = ([f32; PIXELS], i32);

/// The images to train on and those held out, every fifth.
pub(crate) fn images() -> (Vec<Image>, Vec<Image>) {
    let parse = |line: &str| {
        let mut numbers = line.split(',').map(|n| n.parse::<i16>().expect("the file holds integers"));
        let pixels = std::array::from_fn(|_| f32::from(numbers.next().expect("64 pixels")) / 16.0);
        (pixels, i32::from(numbers.next().expect("a digit")))
    };
    let lines = include_str!("../../data/digits.csv").lines().map(parse).enumerate();
    let (held_out, train): (Vec<_>, Vec<_>) = lines.partition(|(i, _)| i % 5 == 4);
    let images = |part: Vec<(usize, Image)>| part.into_iter().map(|(_, image)| image).collect();
    (images(train), images(held_out))
}

/// Images as a matrix `[n, 64]` and their digits `[n]`.
pub(crate) fn arrays<'a>(images: impl Iterator<Item = &'a Image> + Clone) -> Result<(Array, Array)> {
    let digits: Vec<i32> = images.clone().map(|(_, digit)| *digit).collect();
    let n = digits.len();
    Ok((Array::from_vec(images.flat_map(|(x, _)| *x).collect(), [n, PIXELS])?, Array::from_vec(digits, [n])?))
}

/// Which part of the images has its largest score, of ten a row, at its digit.
pub(crate) fn accuracy(scores: &Array, digits: &Array) -> Result<f64> {
    let (scores, digits) = (scores.elements::<f32>()?, digits.elements::<i32>()?);
    let best = |row: &[f32]| (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    let right = scores.chunks(10).zip(digits).filter(|(row, digit)| best(row) == Some(**digit as usize));
    Ok(right.count() as f64 / digits.len() as f64)
}
