use egrad::jit;

fn main() {
    let _ = jit(|x: f32| x);
}
