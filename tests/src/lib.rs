//! What egrad's tests across packages share.

pub mod vectors;

use egrad::Device;
use egrad_vulkan::{Selection, Vulkan};
use std::sync::LazyLock;

/// The interpreter, the CPU, and Vulkan where there is a device; with `EGRAD_REQUIRE_VULKAN=1` there
/// has to be one.
///
/// # Panics
/// If there has to be one and isn't.
pub fn devices() -> &'static [Device] {
    static ALL: LazyLock<Vec<Device>> = LazyLock::new(|| {
        let required = std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some_and(|v| v == "1");
        let mut all = vec![Device::Interpreter, Device::Cpu];
        match Vulkan::new(Selection::Any) {
            Ok(_) => all.push(Device::Vulkan),
            Err(e) if required => panic!("EGRAD_REQUIRE_VULKAN is set: {e}"),
            Err(e) => eprintln!("WITHOUT VULKAN: {e}"),
        }
        all
    });
    &ALL
}
