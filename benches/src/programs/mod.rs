//! The programs timed beside JAX, by the names they have in `benches/jax/programs.py`, which
//! computes the same from the same inputs.

mod contract;
mod grids;
mod loops;
mod micro;
mod mlp;
mod prices;
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
        prices::programs(),
        contract::programs(),
        grids::programs(),
        loops::programs(),
        tiny::programs(),
        micro::programs(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    /// All of JAX's programs are here, each once, and no others.
    #[test]
    fn the_names_are_those_of_jax() {
        let ours: Vec<String> = super::all().into_iter().map(|p| p.name).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/jax/programs.txt");
        let theirs = std::fs::read_to_string(path).unwrap();
        let names = |of: &[String]| of.iter().cloned().collect::<HashSet<_>>();
        let theirs: Vec<String> = theirs.lines().map(str::to_owned).collect();
        assert_eq!(names(&ours), names(&theirs));
        assert_eq!(theirs.len(), 69);
        assert_eq!(ours.len(), theirs.len());
        assert_eq!(names(&ours).len(), ours.len());
    }
}
