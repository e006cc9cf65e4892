use egrad::{Tensor, jit};

fn main() {
    let f = jit(|x: Tensor| x.sin());
    let _ = f(&2.0f32);
}
