//! Host memory through which data goes to the device's own and back.

use super::{Slab, Spot, Use};
use crate::device::Context;
use egrad_ir::{Error, Result};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;

/// A slab used from one end to the other and again from the start, piece by piece.
pub(crate) struct Ring {
    slab: Slab,
    /// Where the next piece begins, if it fits.
    head: u64,
    /// Pieces in use, the oldest first.
    pieces: VecDeque<Piece>,
}

/// A piece in use until the device reaches `value`; `None` as long as nothing was submitted.
struct Piece {
    offset: u64,
    size: u64,
    value: Option<u64>,
}

impl Ring {
    pub(crate) fn new(context: &Arc<Context>, size: u64) -> Result<Ring> {
        Ok(Ring { slab: Slab::new(context, size, Use::Staging)?, head: 0, pieces: VecDeque::new() })
    }

    /// So many bytes, and where the host sees them. Waits until the device is done with what was
    /// there. Pieces taken before one submission don't meet one another if together they have no
    /// more than half of the ring's bytes.
    pub(crate) fn take(&mut self, context: &Context, size: u64) -> Result<(Spot, NonNull<u8>)> {
        let offset = if self.head + size <= self.slab.size { self.head } else { 0 };
        let meets = |p: &Piece| p.offset < offset + size && offset < p.offset + p.size;
        while self.pieces.iter().any(meets) {
            let oldest = self.pieces.front().and_then(|p| p.value);
            let value = oldest.ok_or_else(|| Error::internal(format!("{size} bytes don't fit what is staged")))?;
            context.wait(value).map_err(|e| context.error("stage data", e))?;
            self.pieces.pop_front();
        }
        self.head = offset + size;
        self.pieces.push_back(Piece { offset, size, value: None });
        Ok((self.slab.spot(offset, size), self.slab.address(offset, size)))
    }

    /// What was taken since the last call is in use until the device reaches that value.
    pub(crate) fn submitted(&mut self, value: u64) {
        self.pieces.iter_mut().rev().take_while(|p| p.value.is_none()).for_each(|p| p.value = Some(value));
    }

    /// What was taken since then was not submitted.
    pub(crate) fn cancel(&mut self) {
        while self.pieces.back().is_some_and(|p| p.value.is_none()) {
            self.pieces.pop_back();
        }
    }
}
