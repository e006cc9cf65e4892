use egrad::Tree;

#[derive(Tree)]
struct Params<T> {
    w: T,
    #[tree(skip)]
    rate: f32,
}

fn main() {}
