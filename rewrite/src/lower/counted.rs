//! Positions that are known without data, as windows' are: sums of multiples of axes.
//!
//! A `take` at `2·i + k - 1`, with `i` and `k` from iotas, reads at strides that are known here, so that
//! nothing of it need be computed for each element, and what lies in a row is read as one.

use super::index::{Index, Position, Term};
use crate::places::Places;

/// What a kernel's axes make of a position stays below this in size, as its verifier wants it.
const FAR: usize = 1 << 30;

/// What is at that index of a tensor of such places, if the index depends on the axes alone.
pub(super) fn counted(places: &Places, index: &Index) -> Option<Position> {
    let mut x = Position { offset: places.start as isize, ..Position::default() };
    for (place, step) in index.iter().zip(&places.steps).filter(|(_, step)| **step != 0) {
        if place.taken.is_some() {
            return None;
        }
        let step = *step as isize;
        x.offset += place.offset * step;
        for term in place.steps() {
            match x.terms.iter_mut().find(|t| t.digit == term.digit) {
                Some(own) => own.by += term.by * step,
                None => x.terms.push(Term { by: term.by * step, ..term }),
            }
        }
    }
    x.terms.retain(|t| t.by != 0);
    let parts = x.offset.unsigned_abs() + x.terms.iter().map(|t| t.by.unsigned_abs() * t.digit.extent).sum::<usize>();
    (parts < FAR).then_some(x)
}
