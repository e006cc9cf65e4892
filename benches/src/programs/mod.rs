//! The programs timed beside JAX, by the names they have in `benches/jax/programs.py`, which
//! computes the same from the same inputs.

mod contract;
mod micro;
mod mlp;
mod rows;
mod science;
mod seed;
mod tiny;

use crate::program::Program;

pub use mlp::{Params, SIZES, labels, params, pixels, xent};
pub use rows::{layernorm, softmax};
pub use seed::{predict, squared_error};

/// Every program, in the order of JAX's list.
pub fn all() -> Vec<Program> {
    [
        seed::programs(),
        mlp::programs(),
        rows::programs(),
        science::programs(),
        contract::programs(),
        tiny::programs(),
        micro::programs(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The programs of JAX's list that egrad can't run yet, and the operations they wait for.
pub const ABSENT: &[(&str, &str)] = &[
    ("black_scholes.price.1m", "erf"),
    ("black_scholes.greeks.1m", "erf"),
    ("black_scholes.gamma.1m", "erf"),
    ("heat.1step.512", "pad and slice"),
    ("heat.10steps.512", "pad and slice"),
    ("heat.100steps.512", "pad, slice and loops"),
    ("heat.grad_10steps.512", "pad and slice"),
    ("conv2d.fwd", "convolution"),
    ("conv2d.grad", "convolution"),
    ("conv2d.per_example_grad", "convolution"),
    ("scan.rnn_fwd", "loops"),
    ("scan.rnn_grad", "loops"),
    ("scan.lstm_fwd", "loops"),
    ("scan.lstm_grad", "loops"),
    ("scan.scalar_10000", "loops"),
    ("micro.scatter_add.1m", "scatter"),
    ("micro.gather.1m", "gather"),
    ("micro.embedding_grad", "gather"),
    ("micro.cumsum.4m", "cumulative sums"),
    ("micro.sort.1m", "sort"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    /// The names are unique, and together with those left out they are JAX's.
    #[test]
    fn the_names_are_those_of_jax() {
        let ours: Vec<String> =
            super::all().into_iter().map(|p| p.name).chain(super::ABSENT.iter().map(|(n, _)| n.to_string())).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/jax/programs.txt");
        let theirs = std::fs::read_to_string(path).unwrap();
        let names = |of: &[String]| of.iter().cloned().collect::<HashSet<_>>();
        let theirs: Vec<String> = theirs.lines().map(str::to_owned).collect();
        assert_eq!(names(&ours), names(&theirs));
        assert_eq!(ours.len(), theirs.len());
        assert_eq!(names(&ours).len(), ours.len());
    }
}
