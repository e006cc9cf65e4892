//! With the feature `shaderc`: finds the static libraries that Debian's shaderc leaves out.
//!
//! `libshaderc_combined.a` of a source build or of the Vulkan SDK holds glslang and SPIRV-Tools;
//! Debian's doesn't, and its packages `glslang-dev` and `spirv-tools` have them apart.

use std::env;
use std::path::{Path, PathBuf};

const SHADERC: &str = "libshaderc_combined.a";

/// Each needs what comes after it.
const REST: [&str; 8] = [
    "glslang",
    "MachineIndependent",
    "GenericCodeGen",
    "OSDependent",
    "OGLCompiler",
    "SPIRV",
    "SPIRV-Tools-opt",
    "SPIRV-Tools",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SHADERC_LIB_DIR");
    println!("cargo::rerun-if-env-changed=VULKAN_SDK");
    if env::var_os("CARGO_FEATURE_SHADERC").is_none() {
        return;
    }
    let folders = folders();
    let Some(folder) = folders.iter().find(|f| f.join(SHADERC).exists()) else {
        println!(
            "cargo::error=the feature `shaderc` needs {SHADERC}, which is in none of {folders:?}: \
             install Debian's libshaderc-dev, glslang-dev and spirv-tools, or set SHADERC_LIB_DIR to its folder"
        );
        return;
    };
    println!("cargo::rustc-link-search=native={}", folder.display());
    let file = |name: &str| folder.join(format!("lib{name}.a"));
    // What a newer glslang has merged into another of them is no file any more.
    let there: Vec<&str> = REST.into_iter().filter(|name| file(name).exists()).collect();
    if there.is_empty() {
        return; // a combined library that is complete
    }
    for name in ["glslang", "SPIRV-Tools", "SPIRV-Tools-opt"] {
        if !there.contains(&name) {
            println!(
                "cargo::error=the feature `shaderc` needs {}: install Debian's glslang-dev and spirv-tools",
                file(name).display()
            );
        }
    }
    for name in there {
        println!("cargo::rustc-link-lib=static:-bundle={name}");
    }
}

/// Where the libraries may be, the first choice first.
fn folders() -> Vec<PathBuf> {
    if let Some(folder) = env::var_os("SHADERC_LIB_DIR") {
        return vec![folder.into()];
    }
    if let Some(sdk) = env::var_os("VULKAN_SDK") {
        return vec![Path::new(&sdk).join("lib")];
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let debian = if arch == "x86" { "i386" } else { &arch };
    [format!("/usr/lib/{debian}-linux-gnu"), "/usr/lib64".into(), "/usr/lib".into(), "/usr/local/lib".into()]
        .into_iter()
        .map(PathBuf::from)
        .collect()
}
