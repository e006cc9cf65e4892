use egrad::Tree;

#[derive(Tree)]
union Params<T: Copy> {
    one: T,
    two: (T, T),
}

fn main() {}
