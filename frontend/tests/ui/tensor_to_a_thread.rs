use egrad::{Tensor, jit};

fn main() {
    let _ = jit(|x: Tensor| {
        std::thread::spawn(move || x.sin());
        x
    });
}
