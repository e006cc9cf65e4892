use egrad::Tree;

#[derive(Tree)]
enum Params<T> {
    One(T),
    Two(T, T),
}

fn main() {}
