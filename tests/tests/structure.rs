//! The shape of the source itself: who may import whom, and that nothing matches primitives with
//! a wildcard, so that the compiler names every place a new primitive needs.

use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::Visit;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The names under `[dependencies]` in a package's manifest.
fn dependencies(package: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
    let section = text.split("\n[dependencies]\n").nth(1).expect("a manifest lists its dependencies");
    let lines = section.lines().take_while(|l| !l.starts_with('['));
    lines.filter_map(|l| l.split(['.', ' ', '=']).next()).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

#[test]
fn packages_import_only_what_they_may() {
    // (package, the egrad packages it may import, others it must not)
    let rules: [(&str, &[&str], &[&str]); 6] = [
        ("ir", &[], &["egg", "cranelift-codegen", "cranelift-jit", "gemm", "ash", "rspirv"]),
        ("rewrite", &["egrad-ir"], &["cranelift-codegen", "cranelift-jit", "gemm", "ash", "rspirv"]),
        ("backend-cpu", &["egrad-ir"], &["egg", "ash", "rspirv"]),
        ("backend-vulkan", &["egrad-ir"], &["egg", "cranelift-codegen", "cranelift-jit", "gemm"]),
        ("frontend/derive", &[], &["egg", "ash"]),
        (
            "frontend",
            &["egrad-ir", "egrad-rewrite", "egrad-cpu", "egrad-vulkan", "egrad-derive"],
            &["cranelift-codegen", "ash", "rspirv", "gemm"],
        ),
    ];
    for (package, may, must_not) in rules {
        let names = dependencies(package);
        assert!(!names.is_empty());
        for name in &names {
            let ours = name == "egrad" || name.starts_with("egrad-");
            assert!(!ours || may.contains(&name.as_str()), "{package} may not import {name}");
            assert!(!must_not.contains(&name.as_str()), "{package} must not import {name}");
        }
    }
}

/// Every Rust file of the product (tests and generated files apart).
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["ir", "rewrite", "backend-cpu", "backend-vulkan", "frontend", "frontend/derive"]
        .iter()
        .map(|p| root().join(p).join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|n| n != "tests") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 30);
    files
}

/// The enums over primitives.
const PRIMITIVES: [&str; 9] = ["Op", "Unary", "Binary", "Compare", "Reduce", "Factor", "Linalg", "Prim", "Inst"];

/// Finds matches over primitives that have a wildcard arm.
struct Wildcards {
    found: Vec<usize>,
    matches: usize,
}

/// What a pattern names at its root: `Some(enum)` for `Enum::Variant…`.
fn names(pattern: &syn::Pat) -> Option<String> {
    let path = match pattern {
        syn::Pat::Path(p) => &p.path,
        syn::Pat::TupleStruct(p) => &p.path,
        syn::Pat::Struct(p) => &p.path,
        syn::Pat::Or(p) => return p.cases.first().and_then(names),
        syn::Pat::Reference(p) => return names(&p.pat),
        syn::Pat::Paren(p) => return names(&p.pat),
        _ => return None,
    };
    let at = path.segments.len().checked_sub(2)?;
    Some(path.segments[at].ident.to_string())
}

impl<'ast> Visit<'ast> for Wildcards {
    fn visit_expr_match(&mut self, m: &'ast syn::ExprMatch) {
        let over = m.arms.iter().filter(|a| names(&a.pat).is_some_and(|n| PRIMITIVES.contains(&n.as_str()))).count();
        if over >= 2 {
            self.matches += 1;
            // A single variable is a wildcard too.
            let wild = |p: &syn::Pat| matches!(p, syn::Pat::Wild(_) | syn::Pat::Ident(_));
            for arm in m.arms.iter().filter(|a| wild(&a.pat) && a.guard.is_none()) {
                self.found.push(syn::spanned::Spanned::span(&arm.pat).start().line);
            }
        }
        syn::visit::visit_expr_match(self, m);
    }
}

#[test]
fn no_match_over_primitives_has_a_wildcard_arm() {
    let (mut matches, mut wrong) = (0, Vec::new());
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut visitor = Wildcards { found: Vec::new(), matches: 0 };
        visitor.visit_file(&parsed);
        matches += visitor.matches;
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        wrong.extend(visitor.found.iter().map(|line| format!("{name}:{line}")));
    }
    assert!(matches > 20, "only {matches} matches over primitives were seen");
    assert!(wrong.is_empty(), "wildcard arms over primitives: {wrong:?}");
}

#[test]
fn unsafe_code_is_in_the_backends_alone() {
    for file in sources() {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        if name.starts_with("backend-") {
            continue;
        }
        let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
        assert!(!code.clone().any(|l| l.contains("unsafe {") || l.contains("unsafe fn")), "{name} has unsafe code");
        assert!(!code.clone().any(|l| l.contains("allow(unsafe_code)")), "{name} allows unsafe code");
    }
}

#[test]
fn derivatives_and_batching_live_in_their_tables() {
    // Markers are made by the structural rules and rewritten by tables; nothing else names them.
    for file in sources() {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let may = ["rewrite/src/term.rs", "rewrite/src/analysis.rs", "rewrite/src/transform/", "rewrite/src/rules/"];
        if may.iter().any(|m| name.starts_with(m)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for marker in ["Head::Pull", "Head::Push", "Head::Batch"] {
            assert!(!text.contains(marker), "{name} names {marker}");
        }
    }
}
