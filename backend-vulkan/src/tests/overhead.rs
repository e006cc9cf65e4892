//! What a run costs beside its kernels. Prints figures: run it with `--ignored --nocapture`.

use super::{Build, affine, alone, loops};
use crate::{Options, Selection, Vulkan};
use egrad_ir::kernel::{Backend, Inst};
use egrad_ir::op::Binary;
use egrad_ir::{Array, Dtype};
use std::time::Instant;

#[test]
#[ignore = "measures; nothing to fail"]
fn overhead() {
    let vulkan = Vulkan::open(&Options { validation: false, ..Options::from_env(Selection::Any) }).unwrap();
    for n in [8, 1 << 20] {
        let mut k = Build::over([n]);
        let x = k.read(Dtype::F32, n, affine(0, &[1]));
        let y = k.inst(Inst::Binary(Binary::Add, x, x));
        k.write(Dtype::F32, y);
        let program = vulkan.compile(alone(k.kernel("double"))).unwrap();
        let x = Array::from_vec(vec![1.0f32; n], [n]).unwrap();
        let rounds = if n > 1000 { 200 } else { 5000 };
        let mut times = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            let out = program.run(&[&x]).unwrap().outputs;
            assert_eq!(out[0].as_slice::<f32>().unwrap()[n - 1], 2.0);
            times.push(start.elapsed());
        }
        times.sort();
        println!("{n} elements, host to host: {:?} a run (best {:?})", times[rounds / 2], times[0]);
    }
}

#[test]
#[ignore = "measures; nothing to fail"]
fn steps() {
    let vulkan = Vulkan::open(&Options { validation: false, ..Options::from_env(Selection::Any) }).unwrap();
    for branches in [false, true] {
        let length = 20_000;
        let program = vulkan.compile(alone(loops::rows(8, length, branches))).unwrap();
        let inputs = loops::rows_read(8, length, branches);
        for _ in 0..3 {
            let start = Instant::now();
            let run = program.run(&inputs.iter().collect::<Vec<_>>()).unwrap();
            run.outputs[0].fetch().unwrap();
            let (each, launches) = (start.elapsed() / length as u32, run.dispatches);
            println!("{length} steps of a scan, {launches} launches: {each:?} a step");
        }
    }
    let program = vulkan.compile(alone(loops::halving())).unwrap();
    for steps in [1, 4, 100] {
        let start = Instant::now();
        let outputs = program.run(&loops::halving_read(steps).each_ref()).unwrap().outputs;
        outputs[0].fetch().unwrap();
        println!("{steps} steps of a loop with a condition: {:?}", start.elapsed());
    }
}
