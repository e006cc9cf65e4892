//! Shapes and index arithmetic.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// The lengths of a tensor's axes, outermost first; a scalar's is empty. Derefs to `[usize]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Shape(SmallVec<[usize; 4]>);

impl Shape {
    /// The most axes a value can have.
    pub const MAX_RANK: usize = 64;

    /// The shape with these axis lengths.
    pub fn new(dims: impl IntoIterator<Item = usize>) -> Shape {
        Shape(dims.into_iter().collect())
    }

    /// A scalar's shape, `[]`.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// Number of elements: 1 for a scalar, 0 when any axis is empty.
    ///
    /// # Panics
    /// If the product overflows `usize`; shapes that passed inference don't
    /// (see [`checked_size`](Self::checked_size)).
    pub fn size(&self) -> usize {
        self.checked_size().expect("shape whose element count overflows")
    }

    /// Number of elements, or `None` if that overflows.
    pub fn checked_size(&self) -> Option<usize> {
        if self.contains(&0) {
            return Some(0);
        }
        self.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> SmallVec<[usize; 4]> {
        let mut strides: SmallVec<[usize; 4]> = SmallVec::from_elem(1, self.rank());
        for i in (1..self.rank()).rev() {
            strides[i - 1] = strides[i].saturating_mul(self.0[i]);
        }
        strides
    }

    /// The shape with an axis of length `n` put before position `axis`.
    ///
    /// # Panics
    /// If `axis > rank`.
    pub fn insert(&self, axis: usize, n: usize) -> Shape {
        let mut s = self.clone();
        s.0.insert(axis, n);
        s
    }

    /// The shape without the axes listed.
    pub fn without(&self, axes: &[usize]) -> Shape {
        Shape::new(self.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| *d))
    }

    /// Every index of the shape in row-major order.
    ///
    /// ```
    /// let all: Vec<Vec<usize>> = egrad_ir::Shape::from([2, 2]).indices().collect();
    /// assert_eq!(all, [vec![0, 0], vec![0, 1], vec![1, 0], vec![1, 1]]);
    /// ```
    pub fn indices(&self) -> impl Iterator<Item = Vec<usize>> + use<> {
        let dims = self.to_vec();
        (0..self.size()).map(move |mut k| {
            let mut index = vec![0; dims.len()];
            for (i, d) in index.iter_mut().zip(&dims).rev() {
                *i = k % d;
                k /= d;
            }
            index
        })
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Shape {
        Shape(dims.into())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Shape {
        Shape(dims.into())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Shape {
        Shape(dims.as_slice().into())
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Shape {
        Shape::new(dims)
    }
}

impl fmt::Display for Shape {
    /// `[2,3]`, no spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { "," } else { "" })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
