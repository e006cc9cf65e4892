//! The examples. Each compares its results with what is known of them, and draws a picture. In small
//! they take seconds; in full, minutes: `cargo test --release --test examples full -- --ignored`.

#![allow(dead_code, reason = "each example has a `main`")]
#![allow(clippy::duplicate_mod, reason = "and what they share")]

#[path = "../examples/arenstorf.rs"]
mod arenstorf;
#[path = "../examples/black_scholes.rs"]
mod black_scholes;
#[path = "../examples/digits_cnn.rs"]
mod digits_cnn;
#[path = "../examples/digits_mlp.rs"]
mod digits_mlp;
#[path = "../examples/dp_sgd.rs"]
mod dp_sgd;
#[path = "../examples/gaussian_process.rs"]
mod gaussian_process;
#[path = "../examples/heat_control.rs"]
mod heat_control;
#[path = "../examples/hmc.rs"]
mod hmc;
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

macro_rules! run {
    ($name:ident, quick: $quick:literal) => {{
        let size = if $quick { "small" } else { "full" };
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{size}.svg", stringify!($name)));
        let _ = std::fs::remove_file(&out);
        let args = $name::common::Args { quick: $quick, out: Some(out.clone()) };
        $name::run(&args).unwrap();
        let picture = std::fs::read_to_string(out).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");
    }};
}

macro_rules! examples {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run!($name, quick: true);
            }
        )*

        mod full {
            use super::*;
            $(
                #[test]
                #[ignore = "minutes, without optimisation"]
                fn $name() {
                    run!($name, quick: false);
                }
            )*
        }
    };
}

examples! {
    arenstorf black_scholes digits_cnn digits_mlp dp_sgd gaussian_process heat_control hmc k_means language_model lstm
    n_body neural_ode newton_logistic
}
