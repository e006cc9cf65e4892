use egrad::{Tensor, vmap};

fn main() {
    let _ = vmap(|x: Tensor, y: Tensor| x + y, (0, 0, 0));
}
