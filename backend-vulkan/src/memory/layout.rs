//! Where a program's temporaries lie.

use super::ranges::Ranges;

/// Part of one of a layout's slabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) slab: usize,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// Places for temporaries, in as few slabs as is reasonable. What is given back is used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) slabs: Vec<u64>,
    free: Vec<Ranges>,
}

/// Slabs grow up to this size; a larger buffer has a slab of its own, which later ones share.
pub(super) const SLAB: u64 = 64 << 20;

impl Layout {
    /// A place of that many bytes (1 at least, as Vulkan has no empty buffers).
    pub(crate) fn place(&mut self, size: u64, alignment: u64) -> Place {
        let size = size.max(1).next_multiple_of(alignment);
        let taken = self.free.iter_mut().enumerate().find_map(|(slab, free)| Some((slab, free.take(size)?)));
        if let Some((slab, offset)) = taken {
            return Place { slab, offset, size };
        }
        if let (Some(end), Some(free)) = (self.slabs.last_mut(), self.free.last_mut()) {
            // What is free at the slab's end is the beginning of the place.
            let offset = free.cut(*end).unwrap_or(*end);
            if offset + size <= SLAB {
                *end = offset + size;
                return Place { slab: self.slabs.len() - 1, offset, size };
            }
            if offset < *end {
                free.give(offset, *end - offset);
            }
        }
        self.slabs.push(size);
        self.free.push(Ranges::default());
        Place { slab: self.slabs.len() - 1, offset: 0, size }
    }

    /// Gives a place back.
    pub(crate) fn give(&mut self, place: Place) {
        self.free[place.slab].give(place.offset, place.size);
    }

    /// All of it, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.slabs.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_aligned_and_apart() {
        let mut layout = Layout::default();
        let sizes = [3, 0, 100, SLAB - 192, 80, SLAB + 64, 7];
        let places: Vec<Place> = sizes.iter().map(|s| layout.place(*s, 64)).collect();
        let at: Vec<(usize, u64)> = places.iter().map(|p| (p.slab, p.offset)).collect();
        assert_eq!(at, [(0, 0), (0, 64), (0, 128), (1, 0), (1, SLAB - 192), (2, 0), (3, 0)]);
        assert_eq!(layout.slabs, [256, SLAB - 64, SLAB + 64, 64]);
        assert_eq!(layout.bytes(), 2 * SLAB + 320);
    }

    #[test]
    fn what_is_given_back_is_used_again() {
        let mut layout = Layout::default();
        let [a, b, c] = [128, 64, 192].map(|n| layout.place(n, 64));
        layout.give(a);
        assert_eq!(layout.place(64, 64), Place { size: 64, ..a });
        layout.give(c);
        // Larger than what is free at the end: that is extended.
        assert_eq!(layout.place(256, 64), Place { size: 256, ..c });
        assert_eq!((layout.slabs.as_slice(), b.offset), ([448].as_slice(), 128));
        let large = layout.place(SLAB * 2, 64);
        layout.give(large);
        assert_eq!(layout.place(SLAB, 64).slab, large.slab);
    }
}
