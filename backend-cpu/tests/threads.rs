//! Kernels on several threads: from several users at once, beside panics, as the environment says.

mod common;

use common::{Close, Fill, Numbers, assert_close, inputs, kernel, schedule};
use egrad_cpu::Cpu;
use egrad_ir::Array;
use egrad_ir::kernel::{Backend, Executable, Kernel};
use egrad_ir::scalar::Elementary;
use egrad_ir::schedule::Schedule;
use std::process::Command;

/// Row sums and a function of them: what a user runs.
fn rows(n: usize, m: usize) -> Kernel {
    kernel(&format!(
        "kernel rows(b0: read f32[{0}], b1: write f32[{n}], b2: write f32[{0}]) strict {{
           parallel p0 in 0..{n} {{
             for r0 in 0..{m} {{
               %0 = load b0[{m}*p0 + r0]
               %1 = reduce_max %0
             }}
             once {{
               store b1[p0] = %1
             }}
             for r0 in 0..{m} {{
               %2 = load b0[{m}*p0 + r0]
               %3 = sub %2 %1
               %4 = exp %3
               store b2[{m}*p0 + r0] = %4
             }}
           }}
         }}",
        n * m
    ))
}

/// Runs it on new inputs and compares with the interpreter.
fn check(compiled: &dyn Executable, schedule: &Schedule, seed: u64) {
    let x = inputs(schedule, Fill::Wild, &mut Numbers(seed));
    let x: Vec<&Array> = x.iter().collect();
    let want = schedule.eval(&x, Elementary::Shared).unwrap();
    let got = compiled.run(&x).unwrap();
    for (got, want) in got.outputs.iter().zip(&want.outputs) {
        assert_close(got, want, Close::Bits, &|| format!("seed {seed}"));
    }
}

#[test]
fn users_share_the_threads() {
    for threads in [1, 2, 4] {
        for cpu in [Cpu::with_threads(threads).unwrap(), Cpu::sharing_anything(threads).unwrap()] {
            let all: Vec<(Schedule, Box<dyn Executable>)> = [(100, 17), (3, 500), (70, 300)]
                .into_iter()
                .map(|(n, m)| {
                    let schedule = schedule(rows(n, m));
                    (schedule.clone(), cpu.compile(schedule).unwrap())
                })
                .collect();
            std::thread::scope(|scope| {
                for user in 0..4 {
                    let all = &all;
                    scope.spawn(move || {
                        for i in 0..6 {
                            let (schedule, compiled) = &all[(user + i) % all.len()];
                            check(&**compiled, schedule, (user * 100 + i) as u64);
                        }
                    });
                }
            });
        }
    }
}

#[test]
fn a_panic_in_one_user_leaves_the_others_their_threads() {
    let cpu = Cpu::sharing_anything(2).unwrap();
    let schedule = schedule(rows(64, 64));
    let compiled = &cpu.compile(schedule.clone()).unwrap();
    for i in 0..20 {
        std::thread::scope(|scope| {
            let dies = scope.spawn(|| {
                check(&**compiled, &schedule, i);
                // Not by `panic!`, whose message would be printed.
                std::panic::resume_unwind(Box::new("dies"));
            });
            check(&**compiled, &schedule, 100 + i);
            assert_eq!(dies.join().unwrap_err().downcast_ref::<&str>(), Some(&"dies"));
        });
    }
    check(&**compiled, &schedule, 1000);
}

#[test]
fn numbers_of_threads_that_are_none_are_refused() {
    for threads in [0, 1025] {
        let error = Cpu::with_threads(threads).unwrap_err();
        assert_eq!(error.kind(), "device");
        assert!(error.report().message.contains(&threads.to_string()), "{error}");
    }
}

/// What a new process says, whose environment asks for that many threads.
fn with_variable(value: &str) -> String {
    let test = Command::new(std::env::current_exe().unwrap())
        .args(["says_how_many_threads_it_has", "--exact", "--ignored", "--nocapture"])
        .env("EGRAD_NUM_THREADS", value)
        .output()
        .unwrap();
    assert!(test.status.success(), "{test:?}");
    String::from_utf8(test.stdout).unwrap()
}

#[test]
fn the_environment_says_how_many_threads() {
    for n in ["1", "3"] {
        let said = with_variable(n);
        assert!(said.contains(&format!("Pool({n} threads)")), "{said}");
    }
    for bad in ["0", "many", "-2", "4096"] {
        let said = with_variable(bad);
        assert!(said.contains(&format!("EGRAD_NUM_THREADS is `{bad}`")), "{said}");
    }
}

#[test]
#[ignore = "run by `the_environment_says_how_many_threads`, in a process of its own"]
fn says_how_many_threads_it_has() {
    match Cpu::new() {
        Ok(cpu) => println!("{cpu:?}"),
        Err(error) => println!("{error}"),
    }
}
