//! Threads that have nothing to do; alone in its process, whose threads it watches.

mod common;

use common::{Fill, Numbers, inputs, kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::kernel::Backend;
use std::fs::read_to_string;
use std::time::Duration;

/// How long each worker of this process has run so far, in ns; `None` where the system doesn't say.
fn times() -> Option<Vec<u64>> {
    let mut all = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let task = task.ok()?.path();
        if read_to_string(task.join("comm")).ok()?.starts_with("egrad-") {
            let text = read_to_string(task.join("schedstat")).ok()?;
            all.push(text.split_whitespace().next()?.parse().ok()?);
        }
    }
    Some(all)
}

#[test]
fn idle_workers_use_no_time_and_end_with_their_backend() {
    let cpu = Cpu::sharing_anything(4).unwrap();
    let schedule = schedule(kernel(
        "kernel k(b0: read f32[100000], b1: write f32[100000]) fast {
           parallel p0 in 0..100000 {
             once {
               %0 = load b0[p0]
               %1 = sin %0
               store b1[p0] = %1
             }
           }
         }",
    ));
    let x = inputs(&schedule, Fill::Tame, &mut Numbers(1));
    let compiled = cpu.compile(schedule).unwrap();
    let Some(before) = times() else { return };
    assert!(before.is_empty(), "workers start with the first job");
    for _ in 0..100 {
        compiled.run(&[&x[0]]).unwrap();
    }
    assert_eq!(times().unwrap().len(), 3);
    // Sooner or later none of them runs any more; one that polls never stops.
    let sooner_or_later = |holds: &dyn Fn(&[u64], &[u64]) -> bool| {
        (0..100).any(|_| {
            let before = times().unwrap();
            std::thread::sleep(Duration::from_millis(50));
            holds(&before, &times().unwrap())
        })
    };
    assert!(sooner_or_later(&|before, now| before == now), "{:?}", times());
    drop(cpu);
    assert_eq!(times().unwrap().len(), 3, "what is compiled keeps the threads");
    drop(compiled);
    assert!(sooner_or_later(&|_, now| now.is_empty()), "nobody can give them work");
}
