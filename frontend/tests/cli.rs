//! The binary: its commands, what they print, and what they say of bad input.
//!
//! `EGRAD_BLESS=1` writes the golden texts anew.

mod common;

use common::{file, golden, programs};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Command, Stdio};

/// What a command did.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, &*self.err), (0, ""), "{}", self.out);
        self.out
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egrad"));
    command.args(args).current_dir(programs()).env_remove("EGRAD_DEVICE");
    command
}

#[track_caller]
fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran =
        Ran { code: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    ran
}

#[track_caller]
fn egrad(args: &[&str]) -> Ran {
    run(command(args))
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    serde_json::from_str(&egrad(args).ok()).unwrap()
}

/// Every program that `explore` knows by name.
fn builtins() -> Vec<String> {
    let list = json(&["explore", "--list", "--json"]);
    list["programs"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
}

const STAGES: [&str; 6] = ["trace", "transformed", "egraph", "extracted", "kernels", "clif"];

#[test]
fn the_tour_passes_its_checks() {
    for device in ["cpu", "interpreter"] {
        let out = egrad(&["tour", "--device", device]).ok();
        assert!(!out.contains('✗'), "{out}");
        for check in [
            "✓ eager and compiled results match",
            "✓ dw is 2(wx + b - y)x, and db 2(wx + b - y)",
            "✓ they are equal",
            "✓ both calls agree with the formulas",
            "✓ the order of jit and vmap makes no difference",
            "✓ jit(vmap(jit(grad))) gives the same by auto",
            "✓ jit(vmap(jit(grad))) gives the same by inline",
            "✓ jit(vmap(jit(grad))) gives the same by push-in",
            "✓ jit(vmap(jit(grad))) gives the same by dispatch",
            "✓ the loss fell",
            "✓ at least 95 % of the held-out digits are read right",
        ] {
            assert!(out.contains(check), "{check}: {out}");
        }
        let kernels = [
            "✓ one kernel writes both gradients",
            "✓ where it may choose, by the same kernels",
            "parallel p0 in 0..100000 {",
        ];
        assert!(kernels.iter().all(|k| out.contains(k) == (device == "cpu")), "{out}");
        let all = out.matches('✓').count();
        assert!(out.contains(&format!("{all} of {all} checks passed")), "{out}");
    }
}

#[test]
fn the_tour_says_which_device_can_not_run_it() {
    let mut command = command(&["tour", "--device", "vulkan"]);
    command.env("EGRAD_VULKAN_LOADER", "/no/such/loader");
    let ran = run(command);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no Vulkan loader at /no/such/loader"), "{}", ran.err);
}

#[test]
fn every_stage_of_every_builtin() {
    let names = builtins();
    assert!(names.len() >= 8, "{names:?}");
    for name in &names {
        for stage in STAGES {
            let explore = |format: &str| {
                let mut args = vec!["explore", name, "--stage", stage, "--device", "cpu"];
                args.extend(Some(format).filter(|f| !f.is_empty()));
                egrad(&args)
            };
            let text = explore("").ok();
            let start = match stage {
                "trace" | "transformed" | "extracted" => "egrad 1\n\nfn ",
                "clif" => "; ",
                _ => "",
            };
            assert!(text.starts_with(start) && text.ends_with('\n') && text.len() > 50, "{name} {stage}: {text}");
            let value: Value = serde_json::from_str(&explore("--json").ok()).unwrap();
            let list = |key: &str| value[key].as_array().map_or(0, Vec::len);
            assert!(
                list("functions") + list("nodes") + list("kernels") + list("stages") > 0,
                "{name} {stage}: {value}"
            );
            let dot = explore("--dot");
            if stage == "clif" {
                assert_eq!((dot.code, &*dot.err), (2, "egrad: --dot: stage `clif` is no graph\n"));
                continue;
            }
            let dot = dot.ok();
            assert!(dot.starts_with("digraph {") && dot.ends_with("}\n"), "{name} {stage}: {dot}");
            assert!(dot.contains(" -> ") && dot.contains("label="), "{name} {stage}: {dot}");
            assert_eq!(dot.matches('{').count(), dot.matches('}').count(), "{name} {stage}: {dot}");
        }
    }
}

#[test]
fn golden_texts() {
    golden("list.txt", &egrad(&["explore", "--list"]).ok());
    for name in ["sinx", "per_example_grad"] {
        for stage in ["trace", "transformed", "extracted", "kernels"] {
            let text = egrad(&["explore", name, "--stage", stage]).ok();
            // What a kernel is thought to cost changes with the cost model.
            let lines = text.lines().map(|l| l.split(", predicted").next().unwrap_or(l).to_owned() + "\n");
            golden(&format!("{name}.{stage}.txt"), &lines.collect::<String>());
        }
    }
    // The kernels of every program, which the Vulkan backend's tests run too.
    let built_in = builtins().into_iter().map(|name| (name.clone(), name));
    let files = std::fs::read_dir(programs()).unwrap().map(|f| f.unwrap().path());
    let files = files.map(|f| (f.file_stem().unwrap().to_str().unwrap().to_owned(), f.to_str().unwrap().to_owned()));
    for (name, program) in built_in.chain(files) {
        let text = egrad(&["explore", &program, "--stage", "kernels"]).ok();
        let mut kernels = String::new();
        for line in text.lines().skip_while(|l| !l.starts_with("kernel ")).filter(|l| !l.starts_with("step ")) {
            kernels += &format!("{line}\n");
        }
        golden(&format!("kernels/{name}.txt"), &kernels);
    }
    golden("sinx.trace.dot", &egrad(&["explore", "sinx", "--stage", "trace", "--dot"]).ok());
}

/// Checks the form of `--stage kernels --json` and gives the kernels.
#[track_caller]
fn kernels(args: &[&str]) -> Vec<Value> {
    let mut all = vec!["explore"];
    all.extend(args);
    all.extend(["--stage", "kernels", "--json"]);
    let value = json(&all);
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let set = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(keys(&value), set(&["kernels"]));
    let kernels = value["kernels"].as_array().unwrap().clone();
    for kernel in &kernels {
        assert_eq!(keys(kernel), set(&["name", "inputs", "outputs", "ops", "predicted_us"]));
        assert!(!kernel["name"].as_str().unwrap().is_empty());
        assert!(kernel["predicted_us"].as_f64().unwrap() >= 0.0);
        assert!(kernel["ops"].as_array().unwrap().iter().all(Value::is_string));
        let (inputs, outputs) = (kernel["inputs"].as_array().unwrap(), kernel["outputs"].as_array().unwrap());
        assert!(!outputs.is_empty());
        for buffer in inputs.iter().chain(outputs) {
            assert_eq!(keys(buffer), set(&["buffer", "dtype", "len"]));
            assert!(buffer["buffer"].is_string() && buffer["dtype"].is_string() && buffer["len"].is_u64());
        }
    }
    kernels
}

#[test]
fn one_kernel_writes_every_gradient() {
    const N: u64 = 100_000;
    for (program, outputs) in [
        ("per_example_grad", &[N, N][..]),
        ("per_example_grad_vmap_jit", &[N, N]),
        ("per_example_grad_renamed.eg", &[N, N]),
        ("per_example_grad_reordered.eg", &[N, N]),
        ("per_example_grad_three.eg", &[N, N, N]),
        ("per_example_grad_vector.eg", &[N, 8 * N]),
        ("per_example_grad_dot.eg", &[N, 8 * N]),
    ] {
        let kernels = kernels(&[program]);
        assert_eq!(kernels.len(), 1, "{program}: {kernels:#?}");
        let lens = kernels[0]["outputs"].as_array().unwrap().iter().map(|b| b["len"].as_u64().unwrap());
        let mut lens: Vec<u64> = lens.collect();
        lens.sort();
        assert_eq!(lens, outputs, "{program}");
        let ops: Vec<&str> = kernels[0]["ops"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
        assert!(ops.contains(&"mul") && ops.contains(&"sub"), "{program}: {ops:?}");
    }
}

#[test]
fn kernels_follow_from_the_rules_and_the_machine() {
    let searched = kernels(&["mlp"]).len();
    let apart = kernels(&["mlp", "--no-fusion"]);
    assert!(apart.len() > searched);
    assert!(apart.iter().all(|k| k["ops"].as_array().unwrap().len() <= 1), "{apart:#?}");
    // Without a rule of fusion, more come out; and dear launches make for fewer.
    assert!(kernels(&["mlp", "--disable", "fuse/inline-unary"]).len() > searched);
    let cheap = kernels(&["mlp_per_example_grad", "--launch-ns", "0"]);
    let dear = kernels(&["mlp_per_example_grad", "--launch-ns", "1000000"]);
    assert!(dear.len() < cheap.len(), "{cheap:#?} {dear:#?}");
    let us = |kernels: &[Value]| kernels.iter().map(|k| k["predicted_us"].as_f64().unwrap()).sum::<f64>();
    assert!(us(&dear) > 999.0 * dear.len() as f64, "{dear:#?}");
    // Without its rule, a derivative fails by name.
    let ran = egrad(&["explore", "mean_grad", "--disable", "pull/mul-0"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("missing rule error: `mul` has no reverse-mode rule"), "{}", ran.err);
    // `strict` computes what is written.
    let strict = egrad(&["explore", "per_example_grad", "--strict"]).ok();
    assert!(strict.contains(") strict {") && !strict.contains(") fast {"), "{strict}");
}

#[test]
fn the_egraph_as_json() {
    let value = json(&["explore", "per_example_grad", "--stage", "egraph", "--json"]);
    let nodes = value["nodes"].as_object().unwrap();
    assert_eq!(value["size"]["nodes"], nodes.len());
    let classes: BTreeSet<&str> = nodes.values().map(|n| n["eclass"].as_str().unwrap()).collect();
    assert_eq!(value["size"]["classes"], classes.len());
    for node in nodes.values() {
        assert!(node["children"].as_array().unwrap().iter().all(|c| nodes.contains_key(c.as_str().unwrap())));
    }
    let roots = value["root_eclasses"].as_array().unwrap();
    assert!(roots.len() == 2 && roots.iter().all(|r| classes.contains(r.as_str().unwrap())));
    let stages = value["stages"].as_array().unwrap();
    let fired = |s: &Value| {
        let rules = s["iterations"].as_array().unwrap().iter().flat_map(|i| i["rules"].as_array().unwrap());
        rules.map(|r| r["applied"].as_u64().unwrap()).sum::<u64>()
    };
    assert!(stages.iter().any(|s| s["stage"] == "simplify" && fired(s) > 0), "{stages:?}");
    assert!(stages.iter().any(|s| s["stage"] == "fuse" && fired(s) > 0), "{stages:?}");
}

const LINE: [&str; 7] = ["line.eg", "--arg", "2", "--arg", "-1", "--arg", "[1, nan, -inf]"];

#[test]
fn runs_programs() {
    for device in ["interpreter", "cpu"] {
        for strict in [&[][..], &["--strict"]] {
            let on = [&["run"], &LINE[..], &["--device", device], strict].concat();
            assert_eq!(egrad(&on).ok(), "0: f32[3] [1.0, nan, -inf]\n1: bool[3] [true, false, false]\n");
            let value = json(&[&on[..], &["--json"]].concat());
            let results = serde_json::json!([
                {"dtype": "f32", "shape": [3], "data": [1.0, "nan", "-inf"]},
                {"dtype": "bool", "shape": [3], "data": [true, false, false]},
            ]);
            assert_eq!(value, serde_json::json!({"device": device, "results": results}));
        }
    }
}

#[test]
fn runs_on_vulkan() {
    let ran = egrad(&[&["run"], &LINE[..], &["--device", "vulkan"]].concat());
    let missing = ran.code == 1 && ran.err.contains("no Vulkan");
    if missing && std::env::var_os("EGRAD_REQUIRE_VULKAN").is_none() {
        return eprintln!("SKIPPED: {}", ran.err);
    }
    assert_eq!(ran.ok(), "0: f32[3] [1.0, nan, -inf]\n1: bool[3] [true, false, false]\n");
}

/// A recurrent cell over five inputs, and a loop with a condition.
const LOOPS: &str = "egrad 1
// h = tanh(w h + x).
fn @0 cell(%0: f32[2,2], %1: f32[2], %2: f32[2]) {
  %3 = dot_general %0 %1 {contract = [[1], [0]], batch = [[], []]}
  %4 = add %3 %2
  %5 = tanh %4
  return %5
}
// The last h, whose largest element is halved until it is below 0.1.
fn @1 large(%0: f32[2]) {
  %1 = reduce_max %0 {axes = [0]}
  %2: f32[] = constant {value = 0.1}
  %3 = gt %1 %2
  return %3
}
fn @2 half(%0: f32[2]) {
  %1: f32[] = constant {value = 0.5}
  %2 = broadcast_in_dim %1 {shape = [2], dims = []}
  %3 = mul %0 %2
  return %3
}
fn main(%0: f32[2,2], %1: f32[2], %2: f32[5,2]) {
  %3 = scan @0 %0 %1 %2 {consts = 1, carry = 1, length = 5, reverse = false}
  %4 = get %3 {index = 0}
  %5 = while @1 @2 %4 {cond_consts = 0, body_consts = 0}
  %6 = get %5 {index = 0}
  return %4 %6
}";

#[test]
fn programs_have_loops() {
    let loops = file("loops.eg", LOOPS);
    let traced = egrad(&["explore", &loops, "--stage", "trace"]).ok();
    assert!(traced.contains("scan @0 %0 %1 %2 {consts = 1, carry = 1, length = 5, reverse = false}"), "{traced}");
    assert!(traced.contains("while @1 @2 %4 {cond_consts = 0, body_consts = 0}"), "{traced}");
    for stage in ["transformed", "extracted", "kernels", "clif"] {
        for format in [&[][..], &["--json"], &["--dot"]] {
            if stage == "clif" && format == ["--dot"] {
                continue;
            }
            let shown = egrad(&[&["explore", &loops, "--stage", stage], format].concat()).ok();
            assert!(shown.contains("scan") && shown.contains("while"), "{stage} {format:?}: {shown}");
        }
    }
    let kernels = egrad(&["explore", &loops, "--stage", "kernels"]).ok();
    assert!(kernels.contains("scan forward length 5 consts 1 carry 1 {"), "{kernels}");
    for device in ["interpreter", "cpu"] {
        let given = [
            "--arg",
            "[[0.5, -0.25], [0.125, 1]]",
            "--arg",
            "[0, 3]",
            "--arg",
            "[[1, 2], [0, 1], [-1, 0], [2, 2], [1, 0]]",
        ];
        let ran = egrad(&[&["run", &loops, "--device", device], &given[..]].concat()).ok();
        let lines: Vec<_> = ran.lines().map(|line| &line[..line.len().min(10)]).collect();
        assert_eq!(lines, ["0: f32[2] ", "1: f32[2] "], "{ran}");
    }
    for args in [&["explore", &loops, "--timeline"][..], &["explore", &loops, "why", "%6"]] {
        let ran = egrad(args);
        assert!(ran.err.contains("about programs without loops and branches"), "{}", ran.err);
    }
    let ran = egrad(&["diff", &loops, "line.eg"]);
    assert!(ran.err.contains("`main` has loops or branches"), "{}", ran.err);
}

#[test]
fn shows_what_vulkan_runs() {
    for (stage, expect) in [("glsl", ["void main() {", "b3[point] = "]), ("spirv", ["OpFAdd", "OpStore"])] {
        let ran = egrad(&["explore", "line.eg", "--stage", stage]);
        if ran.err.contains("no Vulkan") && std::env::var_os("EGRAD_REQUIRE_VULKAN").is_none() {
            return eprintln!("SKIPPED: {}", ran.err);
        }
        let text = ran.ok();
        assert!(expect.iter().all(|e| text.contains(e)), "{text}");
    }
}

#[test]
fn auto_says_that_it_falls_back() {
    let mut auto = command(&[&["run"], &LINE[..]].concat());
    auto.env("EGRAD_VULKAN_LOADER", "/no/such/loader");
    let ran = run(auto);
    assert_eq!(ran.code, 0);
    assert!(ran.err.starts_with("egrad: running on the CPU: no Vulkan loader"), "{}", ran.err);
    let mut named = command(&[&["run"], &LINE[..], &["--json"]].concat());
    named.env("EGRAD_DEVICE", "interpreter");
    assert!(run(named).ok().contains("\"device\": \"interpreter\""));
}

#[test]
fn reads_inputs_from_a_file_and_stages_back() {
    let inputs = file("inputs.json", "[2, 1.5,\n [0.5, \"nan\", 1e2]]");
    let expected = "0: f32[3] [2.5, nan, 201.5]\n1: bool[3] [true, false, true]\n";
    assert_eq!(egrad(&["run", "line.eg", "--input", &inputs, "--device", "cpu"]).ok(), expected);
    for stage in ["trace", "transformed", "extracted"] {
        let again = file(&format!("line.{stage}.eg"), egrad(&["explore", "line.eg", "--stage", stage]).ok());
        let device = ["--device", "interpreter"];
        assert_eq!(egrad(&[&["run", &again, "--input", &inputs], &device[..]].concat()).ok(), expected, "{stage}");
    }
    // What JSON prints, JSON reads.
    let value = json(&["run", "line.eg", "--input", &inputs, "--device", "cpu", "--json"]);
    let back = file("back.json", format!("[1, 0, {}]", value["results"][0]["data"]));
    assert!(
        egrad(&["run", "line.eg", "--input", &back, "--device", "cpu"]).ok().starts_with("0: f32[3] [2.5, nan, 201.5]")
    );
}

/// Functions that compute the same: which was taken, and at what price, wherever it is asked.
#[test]
fn explores_choices() {
    let program = file(
        "either.eg",
        "egrad 1
         fn @0 forward(%0: f32[40,40]) { %1 = transpose %0 {perm = [1, 0]} %2 = dot_general %1 %0 {contract = [[1], [0]], batch = [[], []]} return %2 }
         fn @1 reverse(%0: f32[40,40]) { %1: f32[] = constant {value = 2.0} %2 = broadcast_in_dim %1 {shape = [40, 40], dims = []} %3 = mul %0 %2 return %3 }
         fn @2 main(%0: f32[40,40]) { %1 = either @0 @1 %0 %2 = get %1 {index = 0} %3 = exp %2 return %3 }",
    );
    let kernels = egrad(&["explore", &program]).ok();
    let said = kernels.lines().find(|l| l.starts_with("either")).expect("a line about the choice");
    assert!(said.contains("forward") && said.contains("reverse") && said.ends_with("; taken: reverse"), "{said}");
    assert!(!kernels.contains("dot_general"), "{kernels}");
    let picked = &json(&["explore", &program, "--json"])["picked"][0];
    assert_eq!(picked["taken"], "reverse");
    let [forward, reverse] = [0, 1].map(|w| picked["ways"][w]["predicted_us"].as_f64().unwrap());
    assert!(reverse < forward, "{picked}");
    for asked in [&["why", "result", "0"][..], &["--timeline"]] {
        let text = egrad(&[&["explore", &program], asked].concat()).ok();
        assert!(text.contains("; taken: reverse"), "{text}");
    }
    // Without prices it is the first.
    let plain = egrad(&["explore", &program, "--no-fusion"]).ok();
    assert!(plain.contains("dot_general") && !plain.contains("either"), "{plain}");
    assert!(egrad(&["explore", &program, "--no-fusion", "why", "result", "0"]).ok().contains("dot_general"));
}

/// What a function with a derivative of its own becomes is explained from where it is opened.
#[test]
fn explains_what_has_its_own_derivative() {
    let program = file(
        "custom.eg",
        "egrad 1
         fn @0 f(%0: f32[3], %1: f32[3]) { %2 = sin %0 %3 = cos %0 %4 = mul %3 %1 return %2 %2 %4 }
         fn @1 g(%0: f32[3]) { %1 = custom_jvp @0 %0 {params = 1, results = 1} %2 = get %1 {index = 0} %3 = reduce_sum %2 {axes = [0]} return %3 }
         fn @2 main(%0: f32[3], %1: f32[]) { %2 = vjp @1 %0 %1 {wrt = [0]} %3 = get %2 {index = 1} return %3 }",
    );
    let said = egrad(&["explore", &program, "why", "result", "0"]).ok();
    assert!(said.contains("opened: there is a function with a derivative of its own"), "{said}");
    assert!(said.contains("made of what is written at line"), "{said}");
    let json = json(&["explore", &program, "--why", "all", "--json"]);
    let origins = json["why"][0]["origins"].as_array().unwrap();
    assert!(origins.iter().any(|o| o["opened"] == true && o["at"].is_string()), "{json}");
}

#[test]
fn runs_small_and_large_arrays() {
    let empty =
        file("empty.eg", "egrad 1 fn f(%0: f32[2,0]) { %1 = exp %0 %2 = reduce_sum %0 {axes = [1]} return %1 %2 }");
    let wide = file("wide.eg", "egrad 1 fn f() { %0 = iota {dtype = i32, shape = [2000], axis = 0} return %0 }");
    for device in ["interpreter", "cpu"] {
        let out = egrad(&["run", &empty, "--arg", "[[], []]", "--device", device]).ok();
        assert_eq!(out, "0: f32[2,0] []\n1: f32[2] [0.0, 0.0]\n");
        let out = egrad(&["run", &wide, "--device", device]).ok();
        assert!(out.ends_with("14, 15, … 1984 more] (--json prints all)\n"), "{out}");
        let value = json(&["run", &wide, "--device", device, "--json"]);
        assert_eq!(value["results"][0]["data"].as_array().unwrap().len(), 2000);
    }
}

#[test]
fn deep_programs() {
    const DEPTH: usize = 20_000;
    let lines: String = (0..DEPTH).map(|i| format!("%{} = neg %{i}\n", i + 1)).collect();
    let deep = file("deep.eg", format!("egrad 1 fn f(%0: f32[]) {{\n{lines}return %{DEPTH}\n}}"));
    assert_eq!(egrad(&["run", &deep, "--arg", "3", "--device", "interpreter"]).ok(), "0: f32[] 3.0\n");
    for stage in ["transformed", "egraph"] {
        for format in [&[][..], &["--json"], &["--dot"]] {
            assert!(!egrad(&[&["explore", &deep, "--stage", stage], format].concat()).ok().is_empty());
        }
    }
}

#[test]
fn devices() {
    let out = egrad(&["devices"]).ok();
    let names: Vec<&str> = out.lines().filter_map(|l| l.split(' ').next()).filter(|n| !n.is_empty()).collect();
    assert_eq!(names, ["interpreter", "cpu", "vulkan", "auto"], "{out}");
    assert!(out.contains(std::env::consts::ARCH), "{out}");
    let mut command = command(&["devices"]);
    command.env("EGRAD_VULKAN_LOADER", "/no/such/loader");
    let out = run(command).ok();
    assert!(out.contains("vulkan       none: no Vulkan loader at /no/such/loader"), "{out}");
    assert!(out.contains("auto         cpu"), "{out}");
}

#[test]
fn a_reader_that_stops_is_no_error() {
    for args in [&["explore", "mlp", "--stage", "egraph", "--json"][..], &["tour", "--device", "cpu"], &["--help"]] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*err), (Some(0), ""), "{args:?}");
    }
    // An output that takes nothing is one.
    if let Ok(full) = std::fs::File::create("/dev/full") {
        let mut child = command(&["devices"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(err.starts_with("egrad: the output can't be written"), "{err}");
    }
}

#[test]
fn bad_input() {
    let utf8 = file("utf8.eg", b"egrad 1\nfn f(\xff");
    let undefined = file("undefined.eg", "egrad 1\nfn f(%0: f32[2]) { %1 = add %0 %2 return %1 }");
    let types = file("types.eg", "egrad 1\nfn f(%0: f32[2], %1: f32[3]) {\n  %2 = add %0 %1\n  return %2\n}");
    let parens = file("parens.eg", "(".repeat(1 << 20));
    let axes = file("axes.eg", format!("egrad 1 fn f(%0: f32[{}1]) {{ return %0 }}", "1,".repeat(100_000)));
    let huge = file(
        "huge.eg",
        "egrad 1 fn f(%0: f32[]) { %1 = broadcast_in_dim %0 {shape = [1000000,1000000], dims = []} return %1 }",
    );
    let vast = file("vast.eg", "egrad 1 fn f(%0: f32[10000000000,10000000000]) { return %0 }");
    let nothing = file("nothing.eg", "");
    let long = file("long.eg", "egrad 1");
    std::fs::File::options().write(true).open(&long).unwrap().set_len((64 << 20) + 1).unwrap();
    let object = file("object.json", "{\"x\": 1}");
    let few = file("few.json", "[1, 2]");

    let cases: &[(&[&str], i32, &str)] = &[
        // Files and names.
        (&["run", "no.eg"], 1, "egrad: no.eg: the file can't be read: "),
        (&["run", "."], 1, "egrad: .: the file can't be read: "),
        (
            &["explore", "no"],
            1,
            "no: there is no such file, and no built-in program of that name; built in are sinx, predict",
        ),
        (&["explore", "no.eg"], 1, "egrad: no.eg: the file can't be read: "),
        (&["run", &utf8], 1, "the file is not UTF-8 text: byte 0xff begins no character\n  --> line 2, column 6"),
        (&["run", &long], 1, "the file is longer than 64 MiB, the most that is read"),
        // Programs.
        (&["run", &nothing], 1, "parse error: expected `egrad`, found the end of the text"),
        (&["run", &parens], 1, "parse error: expected `egrad`, found `(`"),
        (
            &["explore", &undefined],
            1,
            "`%2` is not defined: values are defined before they are used\n  --> line 2, column 32",
        ),
        (
            &["explore", &types],
            1,
            "  --> line 3, column 3\n  note: operand 0, f32[2], comes from here\n    --> line 2, column 6",
        ),
        (&["explore", &axes], 1, "parse error: more than 64 axes"),
        (&["run", &huge, "--arg", "1", "--device", "cpu"], 1, "memory error: can't allocate 1000000000000 elements"),
        (&["run", &huge, "--arg", "1", "--device", "interpreter"], 1, "memory error: can't allocate"),
        (&["explore", &vast], 1, "more than any memory holds"),
        // Inputs.
        (&["run", "line.eg"], 1, "`line` takes 3 inputs (f32[], f32[], f32[3]); none is given by --arg"),
        (&["run", "line.eg", "--arg", "1"], 1, "one is given by --arg"),
        (
            &["run", "line.eg", "--arg", "1", "--arg", "2", "--arg", "3"],
            1,
            "--arg 2: shape error: parameter 2 of `line` is f32[3]: a list is expected",
        ),
        (
            &["run", "line.eg", "--arg", "1", "--arg", "[2]", "--arg", "[1, 2, 3]"],
            1,
            "--arg 1: shape error: parameter 1 of `line` is f32[]: no list belongs here",
        ),
        (
            &["run", "line.eg", "--arg", "1", "--arg", "2", "--arg", "[1, 2]"],
            1,
            "the list for axis 0 has 2 elements, not 3",
        ),
        (
            &["run", "line.eg", "--arg", "1", "--arg", "true", "--arg", "[1, 2, 3]"],
            1,
            "--arg 1: dtype error: parameter 1 of `line` is f32: `true` is not a number",
        ),
        (
            &["run", "line.eg", "--arg", "1", "--arg", "2", "--arg", "[1, 2, 3"],
            1,
            "`,` or `]` is expected, the text ends\n  --> line 1, column 9",
        ),
        (
            &["run", "line.eg", "--input", &object],
            1,
            "a list of 3 inputs, one for each parameter is expected, there is '{'",
        ),
        (
            &["run", "line.eg", "--input", &few],
            1,
            "a list of 3 inputs, one for each parameter is expected, this one has 2\n  --> line 1, column 6",
        ),
        (&["run", "line.eg", "--input", "no.json"], 1, "no.json: the file can't be read"),
        // Options.
        (&["run", "line.eg", "--input", &few, "--arg", "1"], 2, "cannot be used with"),
        (&["run", "line.eg", "--device", "gpu"], 2, "[possible values: auto, interpreter, cpu, vulkan]"),
        (
            &["explore", "sinx", "--stage", "nope"],
            2,
            "[possible values: trace, transformed, egraph, extracted, kernels, clif",
        ),
        (&["explore", "sinx", "--json", "--dot"], 2, "cannot be used with"),
        (&["explore"], 2, "required"),
        (&["explore", "sinx", "--launch-ns", "-1"], 2, "it must be a number from 0"),
        (&["explore", "sinx", "--launch-ns", "nan"], 2, "it must be a number from 0"),
        (
            &["explore", "sinx", "--disable", "nope"],
            2,
            "there is no rule `nope`: names are `stage/rule`, the stages are batch, fuse, pull, push, simplify",
        ),
        (&["explore", "sinx", "--disable", "fuse/nope"], 2, "there is no rule `fuse/nope`; the rules of `fuse` are "),
        (
            &["explore", "sinx", "--stage", "clif", "--device", "interpreter"],
            1,
            "device `interpreter` has no stage `clif`; `--device cpu` has",
        ),
        (&["explore", "sinx", "--disable", "fuse/kernel-unary"], 1, "no fuse rule makes a kernel of `sin`"),
        (&["dance"], 2, "unrecognized subcommand"),
        (&[], 2, "Usage: egrad <COMMAND>"),
    ];
    for (args, code, expected) in cases {
        let ran = egrad(args);
        assert_eq!(ran.code, *code, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(expected), "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{args:?}");
    }
    let mut named = command(&["tour"]);
    named.env("EGRAD_DEVICE", "gpu");
    let ran = run(named);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("EGRAD_DEVICE: there is no device \"gpu\": it must be one of auto"), "{}", ran.err);
}
