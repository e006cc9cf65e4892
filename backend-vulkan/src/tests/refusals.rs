//! What can't be run or opened says so, by name and with the remedy, before anything runs.

use super::{Build, affine, alone, with};
use crate::device::Caps;
use crate::spread::{Form, Launch};
use crate::{Options, Selection, Shaders, Vulkan, Without, devices, glsl, spirv, spread};
use egrad_ir::kernel::{Backend, Body, Inst, Kernel, LoopNest, Pass};
use egrad_ir::op::Unary;
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

#[test]
fn strict_kernels() {
    let strict = Kernel { numerics: Numerics::Strict, ..unary(Unary::Exp, Dtype::F32) };
    refused(Without::default(), strict, "can't run kernel `exp` under strict numerics");
}

#[test]
fn linear_algebra() {
    let text = "kernel l(b0: read f32[4], b1: write f32[4]) fast {
                  linalg cholesky batch 1 rows 2 columns 2 {
                    x = b0
                    result = b1
                  }
                }";
    let expect =
        "the Vulkan backend doesn't do linear algebra and Fourier transforms, as kernel `l` does by `cholesky`";
    refused(Without::default(), Kernel::parse(text).unwrap(), expect);
}

#[test]
fn devices_that_lack_something() {
    let wide = Without { float64: true, ..Without::default() };
    refused(wide, unary(Unary::Neg, Dtype::F64), "lacks 64-bit floats (`shaderFloat64`), which kernel `neg` needs");
    let whole = Without { int64: true, ..Without::default() };
    refused(whole, unary(Unary::Exp, Dtype::F64), "lacks 64-bit integers (`shaderInt64`), for elementary functions");
    let bytes = Without { storage8: true, ..Without::default() };
    refused(bytes.clone(), unary(Unary::Not, Dtype::Bool), "`storageBuffer8BitAccess`");
    refused(bytes, unary(Unary::Not, Dtype::U8), "`storageBuffer8BitAccess`");
    let shorts = Without { storage16: true, ..Without::default() };
    refused(shorts.clone(), unary(Unary::Barrier, Dtype::F16), "`storageBuffer16BitAccess`");
    refused(shorts, unary(Unary::Barrier, Dtype::Bf16), "`storageBuffer16BitAccess`), as `f16` and `bf16` are stored");
    let long = Without { int64: true, ..Without::default() };
    refused(long, unary(Unary::Neg, Dtype::I64), "lacks 64-bit integers (`shaderInt64`), which kernel `neg` needs");
    let range = Without { range: Some(12), ..Without::default() };
    refused(range, unary(Unary::Abs, Dtype::F32), "buffers beyond 12 bytes (`maxStorageBufferRange`), here 16");
}

/// What indices of 32 bits and a driver's limits don't allow, on a device whose limits are low enough
/// to be met.
#[test]
fn loops_that_are_too_long() {
    #[track_caller]
    fn check(text: &str, caps: &Caps, expect: &str) {
        let kernel = Kernel::parse(text).unwrap();
        kernel.verify().unwrap();
        let launches = spread::spread(&kernel, caps).unwrap().launches;
        let e = launches.iter().find_map(|l| spirv::emit(l, caps, "test").err()).expect("a refusal");
        assert!(matches!(e, Error::Device(_)) && e.to_string().contains(expect), "{e}");
    }
    with(Without::default(), |vulkan| {
        let sum = |points: usize, n: usize| {
            format!(
                "kernel sum(b0: read f32[{points}], b1: write f32[{points}]) fast {{
  parallel p0 in 0..{points} {{
    for r0 in 0..{n} {{
      %0 = load b0[p0]
      %1 = reduce_sum %0
    }}
    once {{
      store b1[p0] = %1
    }}
  }}
}}
"
            )
        };
        let mut caps = vulkan.context.caps.clone();
        caps.iterations = 100;
        let most = 50 * caps.workgroup as usize;
        let kernel = Kernel::parse(&sum(300, most)).unwrap();
        let launches = spread::spread(&kernel, &caps).unwrap().launches;
        assert!(launches.iter().all(|l| spirv::emit(l, &caps, "test").is_ok()));
        check(&sum(300, most + 1), &caps, "lacks more than 100 iterations of an invocation's loops");
        caps.iterations = usize::MAX;
        check(&sum(300, 1 << 31), &caps, "lacks loops of more than 2147483647 iterations");
        caps.range = u64::MAX;
        let bytes = "kernel not(b0: read bool[2147483648], b1: write bool[2147483648]) fast {
  parallel p0 in 0..2147483648 {
    once {
      %0 = load b0[p0]
      %1 = not %0
      store b1[p0] = %1
    }
  }
}
";
        check(bytes, &caps, "lacks buffers of more than 2147483647 elements, here 2147483648");
    });
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
            let launch = Launch::plain(kernel, Form::Team(1), Vec::new());
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
    refused(Without::default(), long, "lacks loops of more than 2147483647 iterations");
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
