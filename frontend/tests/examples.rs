//! The examples, in small.

#![allow(dead_code, reason = "each example has a `main`")]

#[path = "../examples/digits_mlp.rs"]
mod digits_mlp;
#[path = "../examples/n_body.rs"]
mod n_body;
#[path = "../examples/newton_logistic.rs"]
mod newton_logistic;

#[test]
fn the_perceptron_learns_digits() {
    let epochs = digits_mlp::train(6).unwrap();
    assert!(epochs[5].loss < 0.5 * epochs[0].loss, "{epochs:?}");
    assert!(epochs[5].accuracy > 0.9, "{epochs:?}");
}

#[test]
fn three_bodies_come_back_and_keep_their_energy() {
    let (coarse, fine) = (n_body::orbit(800).unwrap(), n_body::orbit(1600).unwrap());
    assert_eq!(fine.len(), 8);
    assert!(fine.iter().all(|row| row.drift.abs() < 2e-5), "{fine:?}");
    // Half a period is not enough; a whole one is, and leapfrog is of second order.
    assert!(fine[3].distance > 0.1, "{fine:?}");
    let ratio = coarse[7].distance / fine[7].distance;
    assert!(fine[7].distance < 1e-3 && (3.5..4.5).contains(&ratio), "{coarse:?}\n{fine:?}");
}

#[test]
fn newton_converges_quadratically() {
    let steps = newton_logistic::minimise(300).unwrap();
    let last = steps.len() - 1;
    assert!(steps[last].norm < 1e-12 && last < 15, "{steps:?}");
    assert!(steps[last].loss < steps[0].loss, "{steps:?}");
    assert!((steps[0].loss - 2f64.ln()).abs() < 1e-12, "{steps:?}");
    assert!(steps[last - 1].norm < 1e-3 * steps[last - 2].norm.sqrt(), "{steps:?}");
}
