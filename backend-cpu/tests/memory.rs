//! Compiling and dropping, over and over; alone in its process, whose memory it watches.

mod common;

use common::{kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::{Backend, Body, Call, Kernel, Operand, Slot};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Dtype, Numerics};
use std::sync::Arc;

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
    let called = |callee: &Arc<Schedule>| {
        let slot = |operand| Slot { operand, stride: 64 };
        let call = Call { callee: callee.clone(), count: 2, inputs: vec![slot(0)], outputs: vec![slot(1)] };
        let operand = |written| Operand { dtype: Dtype::F32, len: 128, written };
        let operands = vec![operand(false), operand(true)];
        Kernel { name: "call".into(), operands, body: Body::Call(call), numerics: Numerics::Fast }
    };
    let cycles = |n: usize| {
        for _ in 0..n {
            drop(cpu.compile(schedule.clone()).unwrap());
            // A callee of its own each time, called by two programs.
            let callee = Arc::new(schedule.clone());
            let one = cpu.compile(common::schedule(called(&callee))).unwrap();
            let other = cpu.compile(common::schedule(called(&callee))).unwrap();
            assert_eq!(one.code(), other.code());
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
