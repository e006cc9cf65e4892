//! What can't be run or opened says so, by name and with the remedy, before anything runs.

use super::{Build, affine, alone, with};
use crate::spread::{Form, Launch};
use crate::{Options, Selection, Shaders, Vulkan, Without, devices, glsl};
use egrad_ir::kernel::{Acc, Backend, Body, Contract, Inst, Kernel, LoopNest, Matrix, Pass, Store, ValueId};
use egrad_ir::op::{Reduce, Unary};
use egrad_ir::{Array, Dtype, Error, Literal, Numerics};
use std::process::Command;

#[track_caller]
fn refused(without: Without, kernel: Kernel, expect: &str) {
    with(without, |vulkan| match vulkan.compile(alone(kernel)) {
        Err(e @ Error::Device(_)) => assert!(e.to_string().contains(expect), "{e}"),
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("compiled"),
    });
}

fn unary(op: Unary, dtype: Dtype) -> Kernel {
    let mut k = Build::over([4]);
    let x = k.read(dtype, 4, affine(0, &[1]));
    let y = k.inst(Inst::Unary(op, x));
    k.write(dtype, y);
    k.kernel(op.name())
}

/// A pass over the rows of a matrix: a sum, or a copy in a loop.
fn rows(accs: bool) -> Kernel {
    let mut k = Build::over([4]);
    k.operand(Dtype::F32, 20, false);
    k.operand(Dtype::F32, if accs { 4 } else { 20 }, true);
    let load = Inst::Load { operand: 0, index: affine(0, &[5, 1]) };
    let mut loops = Pass { loops: vec![5], insts: vec![load], ..Pass::default() };
    let mut after = Pass::default();
    if accs {
        loops.accs.push(Acc { kind: Reduce::Sum, value: ValueId(0) });
        after.stores.push(Store { operand: 1, index: affine(0, &[1]), value: ValueId(1) });
    } else {
        loops.stores.push(Store { operand: 1, index: affine(0, &[5, 1]), value: ValueId(0) });
    }
    let nest = LoopNest { domain: vec![4], passes: vec![loops, after] };
    Kernel { body: Body::Loops(nest), ..k.kernel("rows") }
}

#[test]
fn kernels_not_run_yet() {
    let none = Without::default;
    refused(none(), rows(true), "the Vulkan backend doesn't run reductions yet, which kernel `rows` has");
    refused(none(), rows(false), "doesn't run loops inside a point yet");
    let matrix = |operand| Matrix { operand, offset: 0, batch_strides: vec![], row: 2, column: 1 };
    let [a, b, c] = [0, 1, 2].map(matrix);
    let contract = Contract { dtype: Dtype::F32, batch: vec![], m: 2, n: 2, k: 2, a, b, c };
    let mut k = Build::default();
    for written in [false, false, true] {
        k.operand(Dtype::F32, 4, written);
    }
    let product = Kernel { body: Body::Contract(contract), ..k.kernel("dot") };
    refused(none(), product, "doesn't run matrix products yet, which kernel `dot` has");
    let strict = Kernel { numerics: Numerics::Strict, ..unary(Unary::Exp, Dtype::F32) };
    refused(none(), strict, "can't run kernel `exp` under strict numerics");
}

#[test]
fn devices_that_lack_something() {
    let wide = Without { float64: true, ..Without::default() };
    refused(wide, unary(Unary::Neg, Dtype::F64), "lacks 64-bit floats (`shaderFloat64`), which kernel `neg` needs");
    let whole = Without { int64: true, ..Without::default() };
    refused(whole, unary(Unary::Exp, Dtype::F64), "lacks 64-bit integers (`shaderInt64`), for elementary functions");
    let bytes = Without { storage8: true, ..Without::default() };
    refused(bytes, unary(Unary::Not, Dtype::Bool), "`storageBuffer8BitAccess`");
    let range = Without { range: Some(12), ..Without::default() };
    refused(range, unary(Unary::Abs, Dtype::F32), "buffers beyond 12 bytes (`maxStorageBufferRange`), here 16");
}

/// Kernels that break the contract are found as well: a device would read anything.
#[test]
fn kernels_that_reach_outside() {
    with(Without::default(), |vulkan| {
        let mut k = Build::over([4]);
        let x = k.read(Dtype::F32, 6, affine(3, &[1]));
        k.write(Dtype::F32, x);
        let e = vulkan.compile(alone(k.kernel("beyond"))).err().unwrap();
        assert!(matches!(e, Error::Internal(_)) && e.to_string().contains("`beyond`"), "{e}");

        let mut schedule = alone(unary(Unary::Neg, Dtype::F32));
        schedule.buffers[0].len = 3;
        let e = vulkan.compile(schedule).err().unwrap();
        assert!(matches!(e, Error::Internal(_)), "{e}");

        let program = vulkan.compile(alone(unary(Unary::Neg, Dtype::F32))).unwrap();
        let e = program.run(&[&Array::full([5], Literal::new(Dtype::F32, 1.0)).unwrap()]).unwrap_err();
        assert!(matches!(e, Error::Internal(_)), "{e}");
    });
}

#[test]
fn no_loader() {
    let loader = Some("/nonexistent/libvulkan.so.1".into());
    let e = Vulkan::open(&Options { loader, ..Options::default() }).unwrap_err();
    assert!(matches!(e, Error::Device(_)));
    let text = e.to_string();
    assert!(text.contains("no Vulkan loader at /nonexistent/libvulkan.so.1 (") && text.contains("libvulkan1"), "{e}");
    // A library that is there and no loader.
    let loader = Some("libc.so.6".into());
    let e = Vulkan::open(&Options { loader, ..Options::default() }).unwrap_err();
    assert!(e.to_string().contains("no Vulkan loader at libc.so.6"), "{e}");
}

/// Runs a test of this file in a process with another environment.
fn elsewhere(test: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("tests::refusals::{test}"), "--ignored", "--nocapture"]);
    let out = command.envs(environment.iter().copied()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"), "{test} is no test");
}

#[test]
fn no_driver() {
    with(Without::default(), |_| elsewhere("finds_no_driver", &[("VK_DRIVER_FILES", "/nonexistent/icd.json")]));
}

#[test]
#[ignore = "run by `no_driver` in an environment of its own"]
fn finds_no_driver() {
    let e = Vulkan::new(Selection::Any).unwrap_err().to_string();
    assert!(e.contains("no Vulkan driver (") && e.contains("mesa-vulkan-drivers"), "{e}");
    assert!(e.contains("VK_DRIVER_FILES allows /nonexistent/icd.json alone"), "{e}");
    assert_eq!(devices().unwrap_err().to_string(), e);
}

#[test]
fn choosing_by_environment() {
    with(Without::default(), |_| {
        elsewhere("takes_the_named_device", &[("EGRAD_VULKAN_DEVICE", "0"), ("EGRAD_VULKAN_VALIDATION", "1")]);
        elsewhere("finds_no_named_device", &[("EGRAD_VULKAN_DEVICE", "Voodoo 2")]);
    });
}

#[test]
#[ignore = "run by `choosing_by_environment` in an environment of its own"]
fn takes_the_named_device() {
    let vulkan = Vulkan::new(Selection::Hardware).unwrap();
    assert_eq!(vulkan.device(), &devices().unwrap()[0]);
    assert!(crate::Options::from_env(Selection::Any).validation);
}

#[test]
#[ignore = "run by `choosing_by_environment` in an environment of its own"]
fn finds_no_named_device() {
    let e = Vulkan::new(Selection::Any).unwrap_err().to_string();
    assert!(e.contains("no Vulkan device: there is no Vulkan device `Voodoo 2`, as named by EGRAD"), "{e}");
}

#[test]
fn listing_devices() {
    with(Without::default(), |vulkan| {
        let all = devices().unwrap();
        assert!(all.contains(vulkan.device()));
        assert!(all.is_sorted_by_key(|d| d.kind));
        let text = format!("{vulkan:?}");
        assert!(text.contains("Vulkan 1."), "{text}");
    });
}

#[test]
fn shaders_for_devices_that_lack_something() {
    let refused = |without: Without, kernel: Kernel, expect: &str| {
        with(without, |vulkan| {
            let launch = Launch { kernel, form: Form::Team(1), bindings: Vec::new() };
            let e = glsl::print(&launch, &vulkan.context.caps, "some card").unwrap_err();
            assert!(e.to_string().contains(expect), "{e}");
        });
    };
    let no_f64 = Without { float64: true, ..Without::default() };
    refused(no_f64, unary(Unary::Neg, Dtype::F64), "`some card` lacks 64-bit floats");
    let no_bytes = Without { storage8: true, ..Without::default() };
    refused(no_bytes, unary(Unary::Not, Dtype::Bool), "lacks bytes in storage buffers");
    let short = Without { range: Some(12), ..Without::default() };
    refused(short, unary(Unary::Neg, Dtype::F32), "buffers beyond 12 bytes (`maxStorageBufferRange`), here 16");
    let strict = Kernel { numerics: Numerics::Strict, ..unary(Unary::Exp, Dtype::F32) };
    refused(Without::default(), strict, "under strict numerics");
    let mut long = unary(Unary::Neg, Dtype::F32);
    let pass = Pass { loops: vec![1 << 20, 1 << 12], ..Pass::default() };
    long.body = Body::Loops(LoopNest { domain: vec![4], passes: vec![pass] });
    refused(Without::default(), long, "a loop of 4294967296 iterations at each point");
}

/// Whether kernels can be compiled from GLSL is known before there is a kernel.
#[test]
fn builds_without_shaderc() {
    let options = Options { shaders: Shaders::Glsl, ..Options::from_env(Selection::Any) };
    let opened = Vulkan::open(&options);
    if cfg!(feature = "shaderc") {
        assert!(!opened.is_err_and(|e| e.to_string().contains("shaderc")));
    } else {
        assert!(opened.unwrap_err().to_string().contains("build it with `--features shaderc`"));
    }
}
