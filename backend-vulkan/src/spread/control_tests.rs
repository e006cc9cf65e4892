//! What loops and branches become, on the reference interpreter of kernels.

use super::machine_tests::{check_nodes, open};
use super::window::{Limits, windows};
use super::{Asks, Node, Part};
use crate::tests::random::functions::{call, function, scan, switch, while_loop};
use crate::tests::random::{Numbers, fast};
use egrad_ir::Dtype;
use egrad_ir::kernel::Kernel;
use std::sync::Arc;

/// Nodes of each kind, and launches with a guard.
#[derive(Debug, Default)]
struct Kinds {
    repeats: usize,
    whiles: usize,
    guarded_whiles: usize,
    switches: usize,
    guarded: usize,
}

impl Kinds {
    fn count(&mut self, nodes: &[Node], parts: &[Part]) {
        for node in nodes {
            match node {
                Node::Launches(range) => {
                    self.guarded += parts[range.clone()].iter().filter(|p| p.guard.is_some()).count()
                }
                Node::Repeat(repeat) => {
                    self.repeats += 1;
                    self.count(&repeat.body, parts);
                }
                Node::While(w) => {
                    self.whiles += 1;
                    self.guarded_whiles += usize::from(matches!(w.asks, Asks::AfterSteps(_)));
                    [&w.cond, &w.body, &w.after].into_iter().for_each(|n| self.count(n, parts));
                }
                Node::Switch(_, branches) => {
                    self.switches += 1;
                    branches.iter().for_each(|n| self.count(n, parts));
                }
            }
        }
    }
}

/// Opens random kernels, made down to some depth, and runs their nodes.
#[track_caller]
fn check(seeds: u64, make: fn(&mut Numbers, usize) -> Kernel) -> Kinds {
    let (mut kinds, mut ran) = (Kinds::default(), 0);
    for seed in 0..seeds {
        let mut numbers = Numbers(seed);
        let depth = numbers.below(3);
        let kernel = fast(make(&mut numbers, depth));
        if kernel.operands.iter().map(|o| o.len).sum::<usize>() > 5_000 {
            continue;
        }
        let read = numbers.read(&kernel);
        let (nodes, parts, scratch) = open(&kernel).unwrap();
        kinds.count(&nodes, &parts);
        ran += check_nodes(&kernel, read, &nodes, &parts, &scratch);
    }
    assert!(ran as u64 > seeds, "{ran} launches");
    kinds
}

#[test]
fn scans_are_their_steps() {
    let kinds = check(60, scan);
    assert!(kinds.repeats > 60 && kinds.switches + kinds.whiles > 0, "{kinds:?}");
}

#[test]
fn loops_end_when_their_condition_does() {
    let kinds = check(60, while_loop);
    assert!(kinds.guarded_whiles > 20 && kinds.whiles > kinds.guarded_whiles + 5, "{kinds:?}");
}

#[test]
fn one_branch_runs() {
    let kinds = check(60, switch);
    assert!(kinds.switches > 5 && kinds.guarded > 50, "{kinds:?}");
}

#[test]
fn elements_of_a_batch_decide_for_themselves() {
    let kinds = check(60, |numbers, depth| {
        let callee = Arc::new(function(numbers, depth + 1, true));
        let count = [1, 2, 3, 7][numbers.below(4)];
        call(&callee, count, numbers)
    });
    assert!(kinds.repeats > 20, "{kinds:?}");
}

/// Buffers longer than a device binds: launches for some of the steps each.
#[test]
fn steps_are_halved_where_buffers_are_long() {
    let text = "kernel scan_rows(b0: read f32[5], b1: read f32[150], b2: write f32[5], b3: write f32[150]) fast {
  scan backward length 30 consts 0 carry 1 {
    input b0 stride 0
    input b1 stride 5
    output b2 stride 0
    output b3 stride 5
    body {
      buffer b0: f32[5], input 0 f32[5]
      buffer b1: f32[5], input 1 f32[5]
      buffer b2: f32[5], output 0 f32[5], output 1 f32[5]

      step 0 on (b0, b1, b2):
      kernel sub(b0: read f32[5], b1: read f32[5], b2: write f32[5]) fast {
        parallel p0 in 0..5 {
          once {
            %0 = load b0[p0]
            %1 = load b1[p0]
            %2 = sub %1 %0
            store b2[p0] = %2
          }
        }
      }
    }
  }
}
";
    let kernel = Kernel::parse(text).unwrap();
    kernel.verify().unwrap();
    let (nodes, parts, scratch) = open(&kernel).unwrap();
    for range in [600, 320, 160] {
        let limits = Limits { range, alignment: 32, points: 1 << 20 };
        let (mut fitting, mut first) = (Vec::new(), Vec::new());
        for part in &parts {
            first.push(fitting.len());
            fitting.extend(windows(part.clone(), limits));
        }
        first.push(fitting.len());
        for part in &fitting {
            for (o, b) in part.kernel.operands.iter().zip(&part.bindings) {
                let size = o.dtype.bytes();
                assert!(
                    b.reach(&part.when) * size <= range as usize && (b.first * size).is_multiple_of(32),
                    "{part:?}"
                );
            }
        }
        assert_eq!(fitting.len() > parts.len(), range < 600);
        let numbered = |node: &Node| node.clone().map(&|range| first[range.start]..first[range.end], &Ok).unwrap();
        let nodes: Vec<Node> = nodes.iter().map(numbered).collect();
        let read = [5, 150].map(|n| Numbers(n).array(Dtype::F32, n as usize)).to_vec();
        check_nodes(&kernel, read, &nodes, &fitting, &scratch);
    }
}

#[test]
fn what_is_too_deep_is_refused() {
    let mut kernel = "kernel scan_f(b0: read f32[1], b1: write f32[1]) fast {
      scan forward length 2 consts 0 carry 1 {
        input b0 stride 0
        output b1 stride 0
        body { buffer b0: f32[1], input 0 f32[], output 0 f32[] }
      }
    }"
    .to_owned();
    for depth in 1.. {
        let parsed = Kernel::parse(&kernel).unwrap();
        match open(&parsed) {
            Ok(_) => assert!(depth <= 10),
            Err(e) => {
                assert_eq!((depth, e.kind()), (11, "device"));
                assert!(e.to_string().contains("up to a depth of 10, and kernel `scan_f` is deeper"), "{e}");
                break;
            }
        }
        kernel = format!(
            "kernel scan_f(b0: read f32[1], b1: write f32[1]) fast {{
              scan forward length 2 consts 0 carry 1 {{
                input b0 stride 0
                output b1 stride 0
                body {{
                  buffer b0: f32[1], input 0 f32[]
                  buffer b1: f32[1], output 0 f32[]
                  step 0 on (b0, b1): {kernel}
                }}
              }}
            }}"
        );
    }
}
