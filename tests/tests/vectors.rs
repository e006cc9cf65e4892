//! The reference vectors, on every device that this machine has for certain, in both widths.

use egrad::{Calls, Device, Dtype};
use egrad_tests::vectors::{Report, Settings, Verdict, files, other_signs, run_files};
use std::path::{Path, PathBuf};

/// How many cases there are.
const CASES: usize = 954;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn run(settings: &Settings) -> Vec<Report> {
    let mut reports = Vec::new();
    run_files(&files(&[directory()]).unwrap(), settings, |r| reports.push(r)).unwrap();
    reports
}

#[track_caller]
fn check(device: Device, strict: bool, calls: Calls) {
    for width in [Dtype::F64, Dtype::F32] {
        let reports = run(&Settings { device, width, strict, calls, only: None });
        let mut wrong = Vec::new();
        for (case, verdict) in reports.iter().flat_map(|r| &r.cases) {
            match verdict {
                Verdict::Passed => {}
                Verdict::Failed(what) => wrong.extend(what.iter().map(|w| format!("{case}: {w}"))),
                Verdict::Unsupported(what) if width == Dtype::F32 && what == &["f64_only"] => {}
                Verdict::Unsupported(what) => wrong.push(format!("{case} lacks {}", what.join(", "))),
            }
        }
        assert!(wrong.is_empty(), "{device} {width}:\n{}", wrong.join("\n"));
        assert_eq!(reports.iter().map(|r| r.cases.len()).sum::<usize>(), CASES);
    }
}

#[test]
fn interpreter() {
    check(Device::Interpreter, false, Calls::Auto);
}

#[test]
fn interpreter_strict() {
    check(Device::Interpreter, true, Calls::Auto);
}

#[test]
fn cpu() {
    check(Device::Cpu, false, Calls::Auto);
}

#[test]
fn cpu_pushing_every_function_in() {
    check(Device::Cpu, false, Calls::PushIn);
}

#[test]
fn cpu_dispatching_every_function() {
    check(Device::Cpu, false, Calls::Dispatch);
}

#[test]
fn cpu_strict() {
    check(Device::Cpu, true, Calls::Auto);
}

/// What strict runs let pass is about cases that exist (that they need it, the strict runs check).
#[test]
fn exceptions_are_about_cases() {
    for (case, part) in other_signs().iter().flat_map(|(_, parts)| *parts) {
        let only = Some((*case).to_owned());
        let settings =
            Settings { device: Device::Interpreter, width: Dtype::F64, strict: true, calls: Calls::Auto, only };
        assert_eq!(run(&settings).iter().map(|r| r.counts()[0]).sum::<usize>(), 1, "{case} {part}");
    }
}

/// A case, each part of which is recorded.
const CASE: &str = "layernorm";

/// Each part counts: a case in which one number of one part is changed fails in that part alone.
#[test]
fn a_wrong_number_fails_in_its_part() {
    let text = std::fs::read_to_string(directory().join("programs_ml.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["cases"].as_array_mut().unwrap().retain(|c| c["name"] == CASE);
    let places = [
        ("forward", "/cases/0/outputs/0/data/0"),
        ("vjp", "/cases/0/vjp/grads/0/data/0"),
        ("jvp", "/cases/0/jvp/outputs/0/data/0"),
        ("vmap[0]", "/cases/0/vmap/0/outputs/0/data/0"),
        ("vmap[0] vjp", "/cases/0/vmap/0/vjp/grads/0/data/0"),
    ];
    let path = std::env::temp_dir().join(format!("egrad-vectors-{}.json", std::process::id()));
    for (part, place) in places {
        let mut file = file.clone();
        let number = file.pointer_mut(place).unwrap();
        *number = (number.as_f64().unwrap() * (1.0 + 1e-9) + 1e-9).into();
        std::fs::write(&path, file.to_string()).unwrap();
        let settings =
            Settings { device: Device::Interpreter, width: Dtype::F64, strict: false, calls: Calls::Auto, only: None };
        let mut verdicts = Vec::new();
        run_files(std::slice::from_ref(&path), &settings, |r| verdicts.extend(r.cases)).unwrap();
        let [(_, Verdict::Failed(wrong))] = verdicts.as_slice() else { panic!("{part}: {verdicts:?}") };
        assert_eq!(wrong.len(), 1, "{part}: {wrong:?}");
        assert!(wrong[0].starts_with(&format!("{part}: result 0[0]: expected ")), "{part}: {wrong:?}");
    }
    std::fs::remove_file(&path).unwrap();
}

/// What is no file of reference vectors is said to be none.
#[test]
fn malformed_files_are_errors() {
    let settings =
        Settings { device: Device::Interpreter, width: Dtype::F64, strict: false, calls: Calls::Auto, only: None };
    let path = std::env::temp_dir().join(format!("egrad-malformed-{}.json", std::process::id()));
    for (text, error) in [
        ("{", "EOF"),
        (
            "{\"schema\": \"egrad-vectors/2\", \"family\": \"f\", \"seed\": 1, \"reference\": \"\", \"cases\": []}",
            "egrad-vectors/2",
        ),
        ("{\"schema\": \"egrad-vectors/1\", \"cases\": [{\"name\": 1}]}", "invalid type"),
    ] {
        std::fs::write(&path, text).unwrap();
        let e = run_files(std::slice::from_ref(&path), &settings, |_| {}).unwrap_err();
        assert!(e.contains(error) && e.contains("egrad-malformed"), "{e}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(run_files(&[path], &settings, |_| {}).is_err());
}

/// `--only` and its pattern.
#[test]
fn cases_are_selected_by_name() {
    let some = |only: &str| {
        let only = Some(only.to_owned());
        let settings =
            Settings { device: Device::Interpreter, width: Dtype::F64, strict: false, calls: Calls::Auto, only };
        run(&settings).iter().map(|r| r.cases.len()).sum::<usize>()
    };
    assert_eq!(some("layernorm"), 1);
    assert_eq!(some("programs_ml/layernorm"), 1);
    assert_eq!(some("unary/*"), 131);
    assert_eq!(some("*/*"), CASES);
    assert_eq!(some("no such case"), 0);
}
