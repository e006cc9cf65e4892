use egrad::Tree;

#[derive(Tree)]
struct Params<T, U> {
    w: T,
    b: U,
}

fn main() {}
