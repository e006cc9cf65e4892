//! Compiling and dropping, over and over; alone in its process, whose memory it watches.

mod common;

use common::{kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::Backend;

/// A number from `/proc/self/status`, in KiB.
fn status(key: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find(|l| l.starts_with(key))?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn dropped_programs_give_their_memory_back() {
    let cpu = Cpu::new().unwrap();
    let schedule = schedule(kernel(
        "kernel k(b0: read f32[64], b1: write f32[64]) fast {
           parallel p0 in 0..64 {
             once {
               %0 = load b0[p0]
               %1 = neg %0
               store b1[p0] = %1
             }
           }
         }",
    ));
    let cycles = |n: usize| {
        for _ in 0..n {
            drop(cpu.compile(schedule.clone()).unwrap());
        }
    };
    cycles(200);
    let Some(before) = status("VmSize") else { return };
    let resident = status("VmRSS").unwrap();
    cycles(3000);
    // One leaked page a program would be 12 MB.
    assert!(status("VmSize").unwrap() < before + 4096, "address space grew");
    assert!(status("VmRSS").unwrap() < resident + 4096, "resident memory grew");
}
