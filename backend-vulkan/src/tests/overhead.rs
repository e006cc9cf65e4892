//! What a run costs beside its kernels. Prints figures: run it with `--ignored --nocapture`.

use super::{Build, affine, alone};
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
