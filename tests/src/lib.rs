//! What egrad's tests across packages share.

pub mod vectors;
