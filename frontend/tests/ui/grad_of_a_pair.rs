use egrad::{Tensor, grad};

fn main() {
    let _ = grad(|x: Tensor| (x, x));
}
