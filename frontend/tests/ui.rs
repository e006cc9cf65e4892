//! What the compiler says where types don't fit: `tests/ui/*.rs` with what is printed beside them.
//!
//! `UPDATE_EXPECT=1` writes it anew. The programs are checked against the library that this test is linked
//! with: building it and all it depends on once more, as a package of their own, would take minutes.

use expect_test::expect_file;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler whose messages are kept; others word theirs differently.
const RUSTC: &str = "rustc 1.95.";

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
}

#[test]
fn messages() {
    let version = rustc().arg("--version").output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    if !version.as_ref().is_ok_and(|v| v.starts_with(RUSTC)) {
        eprintln!("not compared: the messages kept are those of {RUSTC}*, and this is {version:?}");
        return;
    }
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let mut programs: Vec<PathBuf> = std::fs::read_dir(&ui).unwrap().map(|e| e.unwrap().path()).collect();
    programs.retain(|p| p.extension().is_some_and(|e| e == "rs"));
    assert!(programs.len() > 10, "{programs:?}");
    programs.sort();
    for program in programs {
        expect_file![program.with_extension("stderr")].assert_eq(&checked(&program));
    }
}

/// What the compiler says of a program that is wrong.
fn checked(program: &Path) -> String {
    let libraries = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut library = OsString::from("egrad=");
    library.push(newest(&libraries));
    let mut search = OsString::from("dependency=");
    search.push(&libraries);
    let out = rustc()
        .current_dir(root)
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata", "--color", "never", "-o"])
        .arg(std::env::temp_dir().join(format!("egrad-ui-{}", std::process::id())))
        .arg("--extern")
        .arg(library)
        .arg("-L")
        .arg(search)
        .arg(program.strip_prefix(root).unwrap())
        .output()
        .unwrap();
    assert!(!out.status.success(), "{} compiles", program.display());
    let said = String::from_utf8(out.stderr).unwrap();
    let lines: String = said.replace(&format!("{}/", root.display()), "").lines().filter_map(line()).collect();
    format!("{}\n", lines.trim_end())
}

/// The library as it was built last.
fn newest(directory: &Path) -> PathBuf {
    let files = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
    let libraries = files.filter(|p| {
        let name = p.file_name().unwrap().to_string_lossy();
        name.starts_with("libegrad-") && name.ends_with(".rlib")
    });
    libraries.max_by_key(|p| p.metadata().unwrap().modified().unwrap()).expect("this test's own library")
}

/// A line of a message, without where it is in the library, how wide its numbers are, and what it shows of
/// the standard library (whose source isn't installed everywhere).
fn line() -> impl FnMut(&str) -> Option<String> {
    let (mut own, mut standard) = (true, false);
    move |line| {
        let text = line.trim_start();
        let (number, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        if line.starts_with("error: aborting") || line.starts_with("For more information") {
            return None;
        }
        if text.starts_with("--> ") || text.starts_with("::: ") {
            own = text.contains("tests/ui/");
            standard = !own && !text.contains("frontend/");
            if standard {
                return None;
            }
            let file = if own { text } else { text.rsplitn(3, ':').last().unwrap_or(text) };
            return Some(format!(" {file}\n"));
        }
        let shows = text.starts_with('|') || text.starts_with("...") || !number.is_empty() && rest.starts_with(" |");
        standard &= shows;
        if standard {
            return None;
        }
        Some(match (number, rest.starts_with(" |"), text.starts_with(['|', '='])) {
            ("", _, true) => format!("  {text}\n"),
            (number, true, _) if own && !number.is_empty() => format!("{number}{rest}\n"),
            (number, true, _) if !number.is_empty() => format!(" {rest}\n"),
            _ if line.starts_with(' ') => format!("      {text}\n"),
            _ => format!("{line}\n"),
        })
    }
}
