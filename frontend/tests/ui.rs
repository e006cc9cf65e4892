//! What the compiler says where types don't fit: `tests/ui/*.rs` with what is printed beside them.
//!
//! `TRYBUILD=overwrite` writes it anew.

use std::process::Command;

/// The compiler whose messages are kept; others word theirs differently.
const RUSTC: &str = "rustc 1.95.";

#[test]
fn messages() {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let version =
        Command::new(rustc).arg("--version").output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    match version {
        Ok(version) if version.starts_with(RUSTC) => trybuild::TestCases::new().compile_fail("tests/ui/*.rs"),
        other => eprintln!("not compared: the messages kept are those of {RUSTC}*, and this is {other:?}"),
    }
}
