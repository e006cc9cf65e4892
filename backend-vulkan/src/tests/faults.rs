//! Memory that is refused, and devices that are lost: errors, no leaks, and others go on.

use super::programs::{counting, diamond};
use super::{with, with_options};
use crate::{Faults, Options, Selection, Vulkan, Without};
use egrad_ir::kernel::Backend;
use egrad_ir::{Array, Error, Result};
use std::sync::atomic::Ordering;

/// Compiles a program, runs it twice, and sums up what the last run gives.
fn everything(vulkan: &Vulkan) -> Result<f64> {
    let x = counting(1000);
    let program = vulkan.compile(diamond(1000))?;
    let first = program.run(&[&x, &x])?.outputs;
    let second = program.run(&[&first[0], &vulkan.put(&x)?])?.outputs;
    second.iter().try_for_each(Array::fetch)?;
    Ok(second[0].to_f64().iter().sum())
}

fn options(without: Without, faults: Faults) -> Options {
    Options { without, faults, cache: None, ..Options::from_env(Selection::Any) }
}

fn kinds() -> [Without; 2] {
    [Without::default(), Without { shared_memory: true, ..Without::default() }]
}

/// Whichever request for memory is refused: a clean error, nothing left behind (the layers would
/// say so), and what comes after works.
#[test]
fn memory_refused() {
    for without in kinds() {
        let (mut requests, mut expect) = (0, 0.0);
        with(without.clone(), |vulkan| {
            expect = everything(vulkan).unwrap();
            requests = vulkan.context.queue.allocations.load(Ordering::Relaxed);
        });
        let mut refused = 0;
        for first in 0..requests {
            // Once for all, as memory that can't be had is asked for again.
            let faults = Faults { allocations: Some((first, 2)), ..Faults::default() };
            with_options(options(without.clone(), faults), |vulkan| {
                match everything(vulkan) {
                    Ok(sum) => assert_eq!(sum, expect),
                    Err(Error::Memory(report)) => {
                        refused += 1;
                        let name = &vulkan.device().name;
                        let start = format!("`{name}` is out of memory: can't ");
                        assert!(report.message.starts_with(&start), "{}", report.message);
                    }
                    Err(e) => panic!("{first}: {e}"),
                }
                // What wasn't asked for before is refused now, and no more.
                let again = (0..2).find_map(|_| everything(vulkan).ok());
                assert_eq!(again.map_or_else(|| everything(vulkan), Ok), Ok(expect), "after {first}");
            });
        }
        assert!(requests == 0 || refused >= requests / 2, "{refused} of {requests}");
    }
}

/// What is refused once is had at the second try, when others gave back what they had.
#[test]
fn memory_is_asked_for_twice() {
    with_options(options(Without::default(), Faults { allocations: Some((0, 1)), ..Faults::default() }), |vulkan| {
        let x = vulkan.put(&counting(100)).unwrap();
        assert_eq!(x, counting(100));
    });
}

/// The device is lost at any submission: an error then and from then on, for this device alone.
#[test]
fn device_lost() {
    for without in kinds() {
        let mut submissions = 0;
        with(without.clone(), |vulkan| {
            everything(vulkan).unwrap();
            submissions = vulkan.context.queue.submissions.load(Ordering::Relaxed);
        });
        for at in 0..submissions {
            let faults = Faults { submission: Some(at), ..Faults::default() };
            with_options(options(without.clone(), faults), |vulkan| {
                let lost = |e: Error| {
                    let text = e.to_string();
                    assert!(matches!(e, Error::Device(_)) && text.contains("was lost: can't "), "{text}");
                    assert!(text.ends_with("; open the device anew and compile for it"), "{text}");
                };
                let x = counting(1000);
                let program = vulkan.compile(diamond(1000)).unwrap();
                // What is computed when the device is lost is lost with it.
                let before = program.run(&[&x, &x]).map(|run| run.outputs);
                lost(
                    everything(vulkan)
                        .or_else(|e| if vulkan.is_lost() { Err(e) } else { everything(vulkan) })
                        .unwrap_err(),
                );
                assert!(vulkan.is_lost());
                lost(program.run(&[&x, &x]).unwrap_err());
                if let Ok(outputs) = before {
                    lost(outputs[0].fetch().unwrap_err());
                }
                with(Without::default(), |other| {
                    assert!(everything(other).is_ok());
                });
            });
        }
    }
}
