//! egrad's benchmarks: what `benches/compare` runs beside JAX.
