use egrad::{Array, Tensor, grad};

fn main() {
    let _ = grad(|x: Tensor| x.sin())(Array::from(2.0f32));
}
