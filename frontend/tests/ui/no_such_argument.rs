use egrad::{Arg, Tensor, grad_argnums};

fn main() {
    let _ = grad_argnums(|x: Tensor| x.sin(), Arg::<1>);
}
