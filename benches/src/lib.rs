//! egrad's benchmarks.
//!
//! * [`programs`]: the programs that `benches/compare` times beside JAX, by the binary `programs`;
//!   their results are checked against [`values`] that JAX computed;
//! * [`orders`]: what the order of `jit` and `vmap` costs, timed by `cargo bench`, and reported by
//!   the binary `report` in tables and [`plot`]s;
//! * [`cycles`]: that compiled functions give their memory back.

pub mod cycles;
pub mod data;
pub mod estimates;
pub mod machine;
pub mod orders;
pub mod plot;
pub mod program;
pub mod programs;
pub mod sample;
pub mod values;
