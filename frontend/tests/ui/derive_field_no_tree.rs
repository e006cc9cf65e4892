use egrad::Tree;

#[derive(Tree)]
struct Params<T> {
    w: T,
    rate: f32,
}

fn main() {}
