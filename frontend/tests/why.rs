//! What the binary says of the rules: `explore … why`, `--rules`, `--timeline`, `diff`.
//!
//! `EGRAD_BLESS=1` writes the golden texts anew.

mod common;

use common::{file, golden, programs};
use egrad::{Aval, Dtype};
use egrad_rewrite::explain::RuleStep;
use egrad_rewrite::rules::{Right, STAGES, Tables};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The exit status, what was printed, and what was said of errors.
#[track_caller]
fn egrad(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egrad"));
    let output = command.args(args).current_dir(programs()).env_remove("EGRAD_DEVICE").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn out(args: &[&str]) -> String {
    let (code, out, err) = egrad(args);
    assert_eq!((code, &*err), (0, ""), "{args:?}: {out}");
    out
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    serde_json::from_str(&out(&[args, &["--json"]].concat())).unwrap()
}

/// Every built-in program, and every one kept as text.
fn every_program() -> Vec<String> {
    let list = json(&["explore", "--list"]);
    let builtin = list["programs"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned());
    let files = std::fs::read_dir(programs()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<String> = builtin.chain(files.filter(|f| f.ends_with(".eg"))).collect();
    all.sort();
    assert!(all.len() > 12, "{all:?}");
    all
}

fn aval(text: &str) -> Aval {
    let (dtype, shape) = text.split_once('[').unwrap();
    let dims = shape.trim_end_matches(']').split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap());
    Aval::new(Dtype::parse(dtype).unwrap(), dims.collect::<Vec<usize>>())
}

/// A step as it was printed, by the rule of that name.
fn step(value: &Value, rule: &str) -> RuleStep {
    let line = Tables::standard().lines().iter().find(|l| l.name == rule).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    let leaf = |l: &Value| (l["number"].as_u64().unwrap() as u32, aval(l["type"].as_str().unwrap()));
    if line.name == text("rule") {
        assert_eq!(line.float.name(), text("class"));
    }
    RuleStep {
        rule: line.name,
        float: line.float,
        forward: value["forward"].as_bool().unwrap(),
        before: text("before"),
        after: text("after"),
        leaves: value["leaves"].as_array().unwrap().iter().map(leaf).collect(),
    }
}

/// Every printed step by a rule, wherever it is.
fn steps(value: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    let mut stack = vec![value];
    while let Some(value) = stack.pop() {
        if value["rule"].is_string() {
            found.push(value);
        } else if let Some(fields) = value.as_object() {
            stack.extend(fields.values());
        } else if let Some(items) = value.as_array() {
            stack.extend(items);
        }
    }
    found
}

#[test]
fn every_step_of_every_program_replays() {
    let mut rules = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for program in every_program() {
        let said = json(&["explore", &program, "why", "all"]);
        let said = said["why"].as_array().unwrap();
        assert!(said.len() >= 3, "{program}");
        for why in said {
            // Chains lead on, and rest on earlier ones alone.
            let chains = why["chains"].as_array().unwrap();
            for (i, chain) in chains.iter().enumerate() {
                let mut at = &chain["from"];
                for step in chain["steps"].as_array().unwrap() {
                    assert_eq!(at, &step["from"], "{program}: {chain}");
                    at = &step["to"];
                    for differ in step["operands"].as_array().into_iter().flatten() {
                        assert!(differ["chain"].as_u64().unwrap() < i as u64, "{program}: {chain}");
                    }
                }
                assert_eq!(at, &chain["to"], "{program}: {chain}");
            }
            for printed in steps(why) {
                let rule = printed["rule"].as_str().unwrap();
                if seen.insert(printed.to_string()) {
                    let step = step(printed, rule);
                    assert!(step.replays(Tables::standard()).unwrap(), "{program}: {step:?}");
                }
                rules.insert(rule.to_owned());
            }
        }
    }
    assert!(rules.len() > 40, "{rules:?}");
    for stage in ["pull", "batch", "simplify", "fuse"] {
        assert!(rules.iter().any(|r| r.starts_with(stage)), "{stage}: {rules:?}");
    }
}

#[test]
fn a_step_by_another_rule_does_not_replay() {
    let said = json(&["explore", "mlp", "why", "result", "1"]);
    let (mut seen, mut both) = (BTreeSet::new(), BTreeSet::new());
    for printed in steps(&said).into_iter().filter(|s| seen.insert(s.to_string())) {
        let rule = printed["rule"].as_str().unwrap();
        for line in Tables::standard().lines().iter().filter(|l| l.name != rule) {
            if step(printed, line.name).replays(Tables::standard()).unwrap() {
                both.insert((rule, line.name));
            }
        }
    }
    assert!(seen.len() > 20, "{}", seen.len());
    // What is exact for powers of two is said, more loosely, of every constant.
    assert_eq!(both, BTreeSet::from([("simplify/div-power", "simplify/div-constant")]));
}

/// Without the places in egrad's own source, which move.
fn without_places(text: &str) -> String {
    let mut parts = text.split("programs.rs:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += "programs.rs:…";
        out += part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
    }
    out
}

#[test]
fn why_in_words() {
    let text = without_places(&out(&["explore", "per_example_grad", "why", "result", "1"]));
    golden("per_example_grad.why.txt", &text);
    assert_eq!(without_places(&out(&["explore", "per_example_grad", "--why", "result 1"])), text);
    for rule in ["pull/integer_pow", "batch/binary-01", "simplify/power-one", "simplify/one-mul", "fuse/compute-binary"]
    {
        assert!(text.contains(&format!("{rule} [exact]")), "{rule}: {text}");
    }
    // What was dropped, what was made up, what stayed.
    let dropped = out(&["explore", "per_example_grad", "why", "%5"]);
    assert!(dropped.contains("nothing: no chosen value needs it"), "{dropped}");
    let stayed = out(&["explore", "per_example_grad", "why", "%9"]);
    assert!(stayed.contains("chosen, as it was written\n"), "{stayed}");
    let input = out(&["explore", "per_example_grad", "why", "extracted", "%2"]);
    assert!(input.contains("%2 is an input"), "{input}");
    let made = out(&["explore", "mlp", "why", "extracted", "%5"]);
    assert!(made.contains("extracted function"), "{made}");
}

#[test]
fn deep_programs() {
    const DEPTH: usize = 20_000;
    let lines: String = (0..DEPTH).map(|i| format!("%{} = neg %{i}\n", i + 1)).collect();
    let deep = file("why.deep.eg", format!("egrad 1 fn f(%0: f32[]) {{\n{lines}return %{DEPTH}\n}}"));
    let value = json(&["explore", &deep, "why", "result", "0"]);
    let chain = value["why"][0]["chains"].as_array().unwrap().last().unwrap();
    assert_eq!((&chain["from"], &chain["to"]), (&Value::from(DEPTH), &Value::from(0)));
    let text = out(&["diff", &deep, &deep, "--no-measure"]);
    assert!(text.contains("in the same e-class"), "{text}");
}

#[test]
fn rules_with_their_mathematics() {
    let all = out(&["explore", "--rules"]);
    let flat = all.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in Tables::standard().lines() {
        let right = match &line.right {
            Right::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Right::Absent => "absent".to_owned(),
        };
        let guards: String = line.guards.iter().map(|g| format!(", if {g}")).collect();
        let printed = format!("{} {} {} => {right}{guards}", line.name, line.float.name(), line.left);
        assert!(flat.contains(&printed), "{printed}");
    }
    // Every comment in the source of a table is there.
    let mut comments = 0;
    for stage in STAGES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../rewrite/src/rules/{stage}.rs"));
        let source = std::fs::read_to_string(source).unwrap();
        let table = source.split_once("lines! {").unwrap().1;
        assert!(!table.lines().any(|l| l.trim_start().starts_with("// ")), "{stage}: a comment that isn't printed");
        for comment in table.lines().filter_map(|l| l.trim_start().strip_prefix("/// ")) {
            let shown = comment.strip_prefix("# ").map_or(comment.to_owned(), str::to_uppercase);
            assert!(all.contains(&shown), "{shown}");
            comments += 1;
        }
        let one = out(&["explore", "--rules", stage]);
        assert!(all.contains(&one) && one.starts_with(&format!("{stage}: ")), "{one}");
    }
    assert!(comments > 50, "{comments}");

    let sets = json(&["explore", "--rules", "pull"]);
    let rules = sets["sets"][0]["rules"].as_array().unwrap();
    let rule = |name: &str| rules.iter().find(|r| r["name"] == name).unwrap();
    assert_eq!(rule("pull/cos")["mathematics"], "sin' = cos.   cos' = −sin.");
    assert_eq!(rule("pull/cos")["right"], "(neg (mul ?c (sin ?x)))");
    assert_eq!(rule("pull/sign")["right"], "absent");
    assert_eq!(rule("pull/integer_pow")["guards"], serde_json::json!(["not_int ?n 0", "not_int ?n -2147483648"]));
    assert!(sets["sets"][0]["about"].as_str().unwrap().starts_with("Reverse mode"));
    let all = json(&["explore", "--rules"]);
    let count: usize = all["sets"].as_array().unwrap().iter().map(|s| s["rules"].as_array().unwrap().len()).sum();
    assert_eq!(count, Tables::standard().lines().len());
    let simplify = &all["sets"][3]["rules"];
    assert_eq!(simplify[0]["section"], "What moves nothing");
}

#[test]
fn timelines() {
    for program in ["per_example_grad", "mlp"] {
        let value = json(&["explore", program, "--timeline"]);
        let stages = value["stages"].as_array().unwrap();
        let names: BTreeSet<&str> = stages.iter().map(|s| s["stage"].as_str().unwrap()).collect();
        assert!(names.is_superset(&BTreeSet::from(["pull", "simplify", "fuse"])), "{names:?}");
        assert!(value["extraction_us"].as_f64().unwrap() > 0.0);
        let text = out(&["explore", program, "--timeline"]);
        // The e-graph of the stage `egraph` is what the last pass of fusion left.
        let last = stages.last().unwrap()["iterations"].as_array().unwrap().last().unwrap();
        assert_eq!(last["nodes"], json(&["explore", program, "--stage", "egraph"])["size"]["nodes"]);
        for stage in stages {
            assert_eq!(stage["of"].is_string(), ["pull", "push", "batch"].contains(&stage["stage"].as_str().unwrap()));
            for iteration in stage["iterations"].as_array().unwrap() {
                assert!(iteration["nodes"].as_u64().unwrap() >= iteration["classes"].as_u64().unwrap());
                for rule in iteration["rules"].as_array().unwrap() {
                    let [matches, applied] = ["matches", "applied"].map(|k| rule[k].as_u64().unwrap());
                    assert!(matches >= applied && matches > 0, "{rule}");
                    assert!(rule["us"].as_f64().unwrap() > 0.0, "{rule}");
                    assert!(text.contains(rule["rule"].as_str().unwrap()), "{rule}");
                }
            }
        }
    }
}

#[test]
fn the_order_of_jit_and_vmap_makes_no_difference() {
    let value = json(&["diff", "per_example_grad", "per_example_grad_vmap_jit", "--no-measure"]);
    let results = value["results"].as_array().unwrap();
    assert!(results.len() == 2 && results.iter().all(|r| r["same"] == true), "{value}");
    let kernels = value["kernels"].as_array().unwrap();
    assert_eq!(kernels, &[serde_json::json!({"a": 0, "b": 0, "same": true, "diff": null})]);
    assert_eq!(value["a"]["predicted_us"], value["b"]["predicted_us"]);
    assert!(value["a"]["measured_us"].is_null());
    let measured = json(&["diff", "per_example_grad", "per_example_grad_vmap_jit"]);
    assert!(["a", "b"].iter().all(|s| measured[s]["measured_us"].as_f64().unwrap() > 0.0), "{measured}");
}

#[test]
fn programs_that_differ() {
    let a = file(
        "diff.a.eg",
        "egrad 1 fn f(%0: f32[9], %1: f32[9]) { %2 = sin %0 %3 = mul %2 %1 %4 = exp %3 return %4 %2 }",
    );
    let b = file(
        "diff.b.eg",
        "egrad 1 fn f(%0: f32[9], %1: f32[9]) { %2 = sin %0 %3 = cos %1 %4 = mul %2 %3 %5 = exp %4 return %5 %2 }",
    );
    let value = json(&["diff", &a, &b, "--no-measure"]);
    let first = &value["results"][0];
    let difference = serde_json::json!({
        "path": [0, 1], "a": "%1: f32[9]", "b": "%3: f32[9] = cos %1", "operations": [3, 4], "shared": [1, 1],
    });
    assert_eq!((&first["same"], &first["difference"]), (&Value::Bool(false), &difference));
    assert_eq!(value["results"][1], serde_json::json!({"type": "f32[9]", "same": true, "difference": null}));
    let text = out(&["diff", &a, &b, "--no-measure"]);
    for part in [
        "0: f32[9] not known to be the same",
        "1 of A's 3 operations are in B's, 1 of B's 4 in A's",
        "first difference, at operand 1 of operand 0 of the result:",
        "kernels: 1 of A, 1 of B, 0 the same",
        "    -       %4 = exp %3\n",
        "    +       %3 = cos %2\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A kernel more is a kernel more; the rest is the same.
    let c = file(
        "diff.c.eg",
        "egrad 1 fn f(%0: f32[4,4]) { %1 = dot_general %0 %0 {contract = [[1], [0]], batch = [[], []]} return %1 }",
    );
    let d = file(
        "diff.d.eg",
        "egrad 1 fn f(%0: f32[4,4]) { %1 = dot_general %0 %0 {contract = [[1], [0]], batch = [[], []]}
         %2 = exp %1 %3 = dot_general %2 %0 {contract = [[1], [0]], batch = [[], []]} return %3 }",
    );
    let value = json(&["diff", &c, &d, "--no-measure"]);
    let one = value["kernels"].as_array().unwrap();
    assert!(one.len() > 1 && one.iter().any(|k| k["a"].is_null()), "{value}");
}

#[test]
fn what_can_not_be_asked() {
    let other = file("diff.other.eg", "egrad 1 fn f(%0: f32[], %1: f32[], %2: f32[100000]) { return %0 }");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["explore", "sinx", "why", "%99"], 1, "the transformed function has no %99: its nodes are %0 to %"),
        (&["explore", "sinx", "why", "result", "7"], 1, "there is no result 7: `sinx` has 1"),
        (&["explore", "sinx", "why", "extracted", "%99"], 1, "the extracted function has no %99"),
        (&["explore", "sinx", "why", "here"], 2, "why here: it must be `%12`"),
        (&["explore", "sinx", "what", "%1"], 2, "explore PROGRAM what %1: only `why NODE` goes here"),
        (&["explore", "sinx", "--why", "%1", "--timeline"], 2, "cannot be used with"),
        (&["explore", "--rules", "nope"], 2, "[possible values: pull, push, batch, simplify, fuse, all]"),
        (&["diff", "sinx"], 2, "required"),
        (&["diff", "sinx", "predict"], 1, "tree error: the first program has 1 parameter, the second 3"),
        (
            &["diff", "per_example_grad", "mean_grad"],
            1,
            "result 0 is f32[100000] in the first program and f32[] in the",
        ),
        (&["diff", "predict", &other], 1, "result 0 is f32[100000] in the first program and f32[] in the second"),
    ];
    for (args, code, expected) in cases {
        let (status, out, err) = egrad(args);
        assert_eq!(status, *code, "{args:?}: {out}{err}");
        assert!(err.contains(expected), "{args:?}: {err}");
        assert_eq!(out, "", "{args:?}");
    }
}
