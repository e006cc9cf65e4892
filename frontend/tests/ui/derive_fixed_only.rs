use egrad::Tree;

#[derive(Tree)]
enum Choice<T> {
    One(#[tree(fixed)] Option<T>),
    Two,
}

fn main() {}
