//! Which parts of a slab are free.

/// Free ranges of bytes, in order and apart from one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    free: Vec<(u64, u64)>,
}

impl Ranges {
    /// So many bytes, all free.
    pub(crate) fn whole(size: u64) -> Ranges {
        Ranges { free: vec![(0, size)] }
    }

    /// Takes `size` bytes from the smallest range that has them, and says from where on. What is
    /// given out is aligned if all sizes are multiples of the alignment.
    pub(crate) fn take(&mut self, size: u64) -> Option<u64> {
        let fits = self.free.iter().enumerate().filter(|(_, (_, n))| *n >= size);
        let (at, (offset, n)) = fits.min_by_key(|(_, (_, n))| *n).map(|(at, range)| (at, *range))?;
        if n == size {
            self.free.remove(at);
        } else {
            self.free[at] = (offset + size, n - size);
        }
        Some(offset)
    }

    /// Gives back what was taken, joined with what is free beside it.
    pub(crate) fn give(&mut self, offset: u64, size: u64) {
        let at = self.free.partition_point(|(o, _)| *o < offset);
        self.free.insert(at, (offset, size));
        if self.free.get(at + 1).is_some_and(|(o, _)| *o == offset + size) {
            self.free[at].1 += self.free.remove(at + 1).1;
        }
        if let Some(before) = at.checked_sub(1)
            && self.free[before].0 + self.free[before].1 == offset
        {
            self.free[before].1 += self.free.remove(at).1;
        }
    }

    /// Whether all of so many bytes are free.
    pub(crate) fn is_whole(&self, size: u64) -> bool {
        self.free == [(0, size)]
    }

    /// How many bytes are free.
    pub(crate) fn bytes(&self) -> u64 {
        self.free.iter().map(|(_, n)| n).sum()
    }

    /// Takes the free range that ends at `end`, and says where it begins.
    pub(crate) fn cut(&mut self, end: u64) -> Option<u64> {
        self.free.pop_if(|(offset, size)| *offset + *size == end).map(|(offset, _)| offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_fit() {
        let mut ranges = Ranges::whole(100);
        let parts: Vec<u64> = [10, 20, 30, 40].iter().map(|n| ranges.take(*n).unwrap()).collect();
        assert_eq!((parts, ranges.take(1)), (vec![0, 10, 30, 60], None));
        ranges.give(60, 40);
        ranges.give(10, 20);
        assert_eq!((ranges.cut(99), ranges.cut(100)), (None, Some(60)));
        ranges.give(60, 40);
        assert_eq!(ranges.take(20), Some(10));
        assert_eq!((ranges.take(15), ranges.take(26), ranges.take(25)), (Some(60), None, Some(75)));
    }

    /// Whatever is taken and given back in whatever order: parts never overlap, and all given back
    /// is one range again.
    #[test]
    fn random_orders() {
        let (mut ranges, mut held, mut seed) = (Ranges::whole(1 << 12), Vec::<(u64, u64)>::new(), 1u64);
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        for _ in 0..5000 {
            let size = (random(20) + 1) * 16;
            if random(2) == 0
                && let Some(offset) = ranges.take(size)
            {
                assert!(offset + size <= 1 << 12 && offset % 16 == 0);
                assert!(held.iter().all(|(o, n)| offset + size <= *o || o + n <= offset));
                held.push((offset, size));
            } else if !held.is_empty() {
                let (offset, size) = held.swap_remove(random(held.len() as u64) as usize);
                ranges.give(offset, size);
            }
        }
        held.iter().for_each(|(o, n)| ranges.give(*o, *n));
        assert!(ranges.is_whole(1 << 12));
    }
}
