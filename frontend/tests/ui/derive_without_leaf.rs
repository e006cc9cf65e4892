use egrad::{Tensor, Tree};

#[derive(Tree)]
struct Params {
    w: Tensor,
}

fn main() {}
