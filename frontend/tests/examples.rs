//! The examples, in small. Each compares its results with what is known of them, and draws a picture.

#![allow(dead_code, reason = "each example has a `main`")]

#[path = "../examples/arenstorf.rs"]
mod arenstorf;
#[path = "../examples/digits_cnn.rs"]
mod digits_cnn;
#[path = "../examples/digits_mlp.rs"]
mod digits_mlp;
#[path = "../examples/heat_control.rs"]
mod heat_control;
#[path = "../examples/k_means.rs"]
mod k_means;
#[path = "../examples/language_model.rs"]
mod language_model;
#[path = "../examples/lstm.rs"]
mod lstm;
#[path = "../examples/n_body.rs"]
mod n_body;
#[path = "../examples/neural_ode.rs"]
mod neural_ode;
#[path = "../examples/newton_logistic.rs"]
mod newton_logistic;

use std::path::Path;

macro_rules! examples {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!(stringify!($name), ".svg"));
            let _ = std::fs::remove_file(&out);
            let args = $name::common::Args { quick: true, out: Some(out.clone()) };
            $name::run(&args).unwrap();
            let picture = std::fs::read_to_string(out).unwrap();
            assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");
        }
    )*};
}

examples! {
    arenstorf digits_cnn digits_mlp heat_control k_means language_model lstm n_body neural_ode newton_logistic
}
