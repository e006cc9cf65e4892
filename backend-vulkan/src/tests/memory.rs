//! Where arrays are, what is copied, and whose memory is used again.

use super::programs::{counting, diamond, steps};
use super::{Build, affine, alone, with, with_options};
use crate::run::{Home, Plan};
use crate::{Options, Selection, Traffic, Vulkan, Without, spirv, spread};
use egrad_ir::kernel::{Backend, Executable, Inst};
use egrad_ir::op::{Binary, Unary};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Dtype, Error};
use std::fs;

/// Devices with memory that the host sees, and without, with a ring of few bytes too.
fn kinds() -> [Without; 3] {
    let shared_memory = true;
    let ring = Some(1000);
    [
        Without::default(),
        Without { shared_memory, ..Without::default() },
        Without { shared_memory, ring, ..Without::default() },
    ]
}

/// y = x + x.
fn double(n: usize) -> Schedule {
    let mut k = Build::over([n]);
    let x = k.read(Dtype::F32, n, affine(0, &[1]));
    let y = k.inst(Inst::Binary(Binary::Add, x, x));
    k.write(Dtype::F32, y);
    alone(k.kernel("double"))
}

fn run(program: &dyn Executable, x: &Array) -> Array {
    program.run(&[x]).unwrap().outputs[0].clone()
}

fn doubled(n: usize, times: i32) -> Vec<f32> {
    counting(n).as_slice::<f32>().unwrap().iter().map(|x| x * 2f32.powi(times)).collect()
}

#[test]
fn results_stay_on_the_device() {
    for without in kinds() {
        with(without, |vulkan| {
            let (n, bytes) = (3001, 3001 * 4);
            let (first, second) = (vulkan.compile(double(n)).unwrap(), vulkan.compile(double(n)).unwrap());
            let y = run(&*first, &counting(n));
            assert_eq!(vulkan.traffic(), Traffic { up: bytes, down: 0 });
            assert_eq!(y.device(), Some(&*vulkan.device().name));
            // Through reshapes and clones, too: nothing is copied.
            let y = y.reshape([n, 1]).unwrap().clone().reshape([n]).unwrap();
            let mut z = run(&*second, &y);
            for _ in 0..20 {
                z = run(&*first, &z);
            }
            assert_eq!(vulkan.traffic(), Traffic { up: bytes, down: 0 });
            assert_eq!(z.as_slice::<f32>().unwrap(), doubled(n, 22));
            assert_eq!(z.literal(5).to_f64(), -1.75 * 4194304.0);
            assert_eq!(vulkan.traffic(), Traffic { up: bytes, down: bytes }, "fetched once");
            let host = z.to_host().unwrap();
            assert_eq!((host.device(), &host), (None, &z));
            assert_eq!(z.to_ndarray::<f32>().unwrap()[[2]], -2.5 * 4194304.0);
            // The results before are as they were.
            assert_eq!(y.to_f64()[..3], [-6.0, -5.5, -5.0]);
        });
    }
}

#[test]
fn arrays_are_put_once() {
    for without in kinds() {
        with(without, |vulkan| {
            let n = 2500;
            let x = vulkan.put(&counting(n)).unwrap();
            assert_eq!(
                (x.device(), vulkan.put(&x).unwrap().shares_elements_with(&x)),
                (Some(&*vulkan.device().name), true)
            );
            let program = vulkan.compile(double(n)).unwrap();
            for _ in 0..5 {
                assert_eq!(run(&*program, &x).as_slice::<f32>().unwrap(), doubled(n, 1));
            }
            assert_eq!(vulkan.traffic(), Traffic { up: 4 * 2500, down: 5 * 4 * 2500 });
            assert_eq!(x, counting(n));
            assert!(format!("{x:?}").starts_with("f32[2500] [-3.0, -2.75, "), "{x:?}");
            let bools = Array::from_vec(vec![true, false, true], [3]).unwrap();
            assert_eq!(vulkan.put(&bools).unwrap(), bools);
            let none = Array::from_vec(Vec::<f32>::new(), [0]).unwrap();
            assert_eq!(vulkan.put(&none).unwrap(), none);
            // For writing, the host's copy is the array's own.
            let mut own = vulkan.put(&counting(4)).unwrap();
            own.as_mut_slice::<f32>().unwrap()[0] = 9.0;
            assert_eq!((own.device(), own.to_f64()), (None, vec![9.0, -2.75, -2.5, -2.25]));
        });
    }
}

#[test]
fn arrays_outlive_their_device_and_go_to_another() {
    with(Without::default(), |one| {
        with(Without { shared_memory: true, ..Without::default() }, |two| {
            let x = two.put(&counting(100)).unwrap();
            let program = one.compile(double(100)).unwrap();
            assert_eq!(run(&*program, &x).as_slice::<f32>().unwrap(), doubled(100, 1));
            assert_eq!(two.traffic().down, 400);
        });
    });
    let mut kept = None;
    let mut messages = None;
    with(Without::default(), |vulkan| {
        messages = Some(vulkan.messages());
        let own = Vulkan::open(&Options { validation: true, ..Options::from_env(Selection::Any) });
        let Ok(own) = own else { return };
        messages = Some(own.messages());
        let program = own.compile(double(100)).unwrap();
        kept = Some(run(&*program, &counting(100)));
    });
    if let Some(kept) = kept {
        assert_eq!(kept.as_slice::<f32>().unwrap(), doubled(100, 1));
    }
    assert_eq!(messages.map(|m| m.texts()), Some(Vec::new()));
}

#[test]
fn memory_comes_back_with_the_last_clone() {
    for without in &kinds()[..2] {
        with(without.clone(), |vulkan| {
            assert_eq!(vulkan.memory().used, 0);
            let program = vulkan.compile(double(1 << 20)).unwrap();
            let x = vulkan.put(&counting(1 << 20)).unwrap();
            let mut all = Vec::new();
            for _ in 0..4 {
                all.push(run(&*program, &x));
            }
            all.iter().for_each(|y| y.fetch().unwrap());
            assert_eq!(vulkan.memory().used, 5 << 22);
            let again = all[0].clone();
            drop(all);
            assert_eq!(vulkan.memory().used, 2 << 22);
            drop(again);
            // A large slab nothing is in serves again; what is given back is what was had.
            let allocated = vulkan.memory().allocated;
            let large = Array::full([5 << 20], egrad_ir::Literal::new(Dtype::F32, 1.0)).unwrap();
            for _ in 0..3 {
                vulkan.put(&large).unwrap().fetch().unwrap();
            }
            let slabs = vulkan.memory().allocated;
            assert!(slabs - allocated <= 5 << 22 && slabs > allocated, "{slabs} {allocated}");
            drop((x, program));
            assert_eq!(vulkan.memory().used, 0);
        });
    }
}

#[test]
fn many_runs_under_way() {
    with(Without::default(), |vulkan| {
        let program = vulkan.compile(double(100)).unwrap();
        let results: Vec<Array> = (0..300).map(|_| run(&*program, &counting(100))).collect();
        assert!(results.iter().all(|y| y.as_slice::<f32>().unwrap() == doubled(100, 1)));
        // Threads chain their own runs on what another thread computed.
        let shared = run(&*program, &counting(100));
        std::thread::scope(|scope| {
            for times in 2..6 {
                let (program, shared) = (&program, &shared);
                scope.spawn(move || {
                    let mut y = shared.clone();
                    for _ in 1..times {
                        y = run(&**program, &y);
                    }
                    assert_eq!(y.as_slice::<f32>().unwrap(), doubled(100, times));
                });
            }
        });
    });
}

fn plan(vulkan: &Vulkan, schedule: &Schedule) -> Plan {
    let caps = &vulkan.context.caps;
    let spread: Vec<_> = schedule.steps.iter().map(|s| spread::spread(&s.kernel, caps).unwrap()).collect();
    let modules: Vec<_> =
        spread.iter().flat_map(|s| &s.launches).map(|l| spirv::emit(l, caps, "test").unwrap()).collect();
    Plan::new(&vulkan.context, schedule, &spread, &modules).unwrap()
}

/// Launches wait for what they read, and for nothing else.
#[test]
fn barriers_where_something_waits() {
    with(Without::default(), |vulkan| {
        let waits = |schedule: &Schedule| plan(vulkan, schedule).launches.iter().map(|l| l.waits).collect::<Vec<_>>();
        // 2 = 0 + 1, 3 = 0 · 0: apart; 4 = 2 - 3; 5 = 4 max 2: each waits; 6 = 5 + 5.
        assert_eq!(waits(&diamond(100)), [false, false, true, true, true]);
        let apart = [(Binary::Add, [0, 1], 2), (Binary::Mul, [0, 0], 3), (Binary::Sub, [1, 0], 4)];
        assert_eq!(waits(&steps(100, 2, &apart, &[2, 3, 4])), [false; 3]);
        // One barrier serves all that read what came before it.
        let pairs =
            [(Binary::Add, [0, 1], 2), (Binary::Mul, [0, 1], 3), (Binary::Add, [2, 0], 4), (Binary::Add, [3, 0], 5)];
        assert_eq!(waits(&steps(100, 2, &pairs, &[4, 5])), [false, false, true, false]);
    });
}

/// A chain of any length needs room for two temporaries, or three as what is read may not be
/// written; a wide one room for all of its own.
#[test]
fn temporaries_share_memory() {
    with(Without::default(), |vulkan| {
        let n = 1000;
        let bytes = (n as u64 * 4).next_multiple_of(vulkan.context.caps.alignment);
        let chain: Vec<_> = (0..10).map(|i| (Binary::Add, [i, i], i + 1)).collect();
        let schedule = steps(n, 1, &chain, &[10]);
        let chained = plan(vulkan, &schedule);
        assert_eq!(chained.temporaries.bytes(), 2 * bytes);
        assert!(chained.launches[1..].iter().all(|l| l.waits));
        super::check(vulkan, schedule, &[&counting(n)], 0.0);
        // 1 + 2 live until the end.
        let wide: Vec<_> = [([0, 0], 1), ([0, 0], 2), ([1, 1], 3), ([3, 3], 4), ([4, 1], 5), ([5, 2], 6)]
            .map(|(from, to)| (Binary::Add, from, to))
            .into();
        let schedule = steps(n, 1, &wide, &[6]);
        assert_eq!(plan(vulkan, &schedule).temporaries.bytes(), 4 * bytes);
        super::check(vulkan, schedule, &[&counting(n)], 0.0);
        let homes: Vec<Home> = chained.launches.iter().flat_map(|l| l.homes()).collect();
        assert_eq!((homes[0], homes[19]), (Home::Input(0), Home::Temporary(0)));
    });
}

/// Beside one another: what was compiled is kept on disk, and damage to it does no harm.
#[test]
fn pipelines_are_kept_on_disk() {
    let directory = crate::cache::tests::Directory::new("pipelines");
    let open = |check: &dyn Fn(&Vulkan)| {
        let options = Options { cache: Some(directory.0.clone()), ..Options::from_env(Selection::Any) };
        with_options(options, |vulkan| {
            let program = vulkan.compile(double(10)).unwrap();
            assert_eq!(run(&*program, &counting(10)).as_slice::<f32>().unwrap(), doubled(10, 1));
            check(vulkan);
        });
    };
    let mut opened = false;
    with(Without::default(), |_| opened = true);
    if !opened {
        return;
    }
    open(&|_| {});
    let files: Vec<_> = fs::read_dir(&directory.0).unwrap().map(|f| f.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let whole = fs::read(file).unwrap();
    open(&|_| {});
    for damaged in
        [whole[..whole.len() / 2].to_vec(), [whole.clone(), vec![1; 99]].concat(), vec![0xff; 4096], Vec::new()]
    {
        fs::write(file, &damaged).unwrap();
        open(&|_| {});
        assert_ne!(fs::read(file).unwrap(), damaged, "written anew");
    }
    // As if the directory were a file: nothing can be kept, and everything works.
    fs::remove_dir_all(&directory.0).unwrap();
    fs::write(&directory.0, b"in the way").unwrap();
    open(&|_| {});
    fs::remove_file(&directory.0).unwrap();
}

/// What isn't this backend's is fetched by its own.
struct Elsewhere;

impl egrad_ir::Resident for Elsewhere {
    fn device(&self) -> &str {
        "elsewhere"
    }

    fn wait(&self) -> egrad_ir::Result<()> {
        Ok(())
    }

    fn fetch(&self) -> egrad_ir::Result<Array> {
        Err(Error::device("`elsewhere` was lost: can't fetch f32[4]"))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn what_cannot_be_fetched_is_an_error_everywhere() {
    let x = Array::on_device(egrad_ir::Aval::new(Dtype::F32, [4]), Box::new(Elsewhere));
    let text = "device error: `elsewhere` was lost: can't fetch f32[4]";
    assert_eq!(x.fetch().unwrap_err().to_string(), text);
    assert_eq!(x.elements::<f32>().unwrap_err().to_string(), text);
    assert_eq!(x.view::<f32>().unwrap_err().to_string(), text);
    assert_eq!(x.to_host().unwrap_err().to_string(), text);
    assert_eq!(x.to_string(), "f32[4] (`elsewhere` was lost: can't fetch f32[4])");
    assert_eq!(x.as_slice::<f32>(), None);
    assert_eq!(x.clone().as_mut_slice::<f32>(), None);
    assert!(x == x.clone() && x != counting(4));
    let schedule = {
        let mut k = Build::over([4]);
        let v = k.read(Dtype::F32, 4, affine(0, &[1]));
        let y = k.inst(Inst::Unary(Unary::Neg, v));
        k.write(Dtype::F32, y);
        alone(k.kernel("neg"))
    };
    with(Without::default(), |vulkan| {
        assert_eq!(vulkan.put(&x).unwrap_err().to_string(), text);
        let program = vulkan.compile(schedule).unwrap();
        assert_eq!(program.run(&[&x]).unwrap_err().to_string(), text);
        program.run(&[&counting(4)]).unwrap().outputs[0].fetch().unwrap();
    });
}
