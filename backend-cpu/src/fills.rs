//! What scatters start from, if that is one number everywhere: it needn't be written first, as the
//! scatter writes its whole result anyway.

use egrad_ir::Literal;
use egrad_ir::kernel::{Body, Inst, Kernel};
use egrad_ir::schedule::{BufferId, Schedule};
use hashbrown::HashMap;

/// A buffer of one number that only scatters start from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fill {
    /// The step that fills it, which isn't needed.
    pub(crate) step: usize,
    pub(crate) number: Literal,
}

/// Those of a verified schedule.
pub(crate) fn find(schedule: &Schedule) -> HashMap<BufferId, Fill> {
    let mut fills = HashMap::new();
    for (i, step) in schedule.steps.iter().enumerate() {
        if let (Some(number), [buffer]) = (number(&step.kernel), &step.operands[..]) {
            fills.insert(*buffer, Fill { step: i, number });
        }
    }
    for (id, _) in &schedule.outputs {
        fills.remove(id);
    }
    for (i, step) in schedule.steps.iter().enumerate() {
        let start = if let Body::Scatter(s) = &step.kernel.body { Some(s.x) } else { None };
        for (at, id) in step.operands.iter().enumerate() {
            if Some(at) != start && fills.get(id).is_some_and(|fill| fill.step != i) {
                fills.remove(id);
            }
        }
    }
    fills
}

/// The number that a kernel writes everywhere in its only operand.
fn number(kernel: &Kernel) -> Option<Literal> {
    let (Body::Loops(nest), [operand]) = (&kernel.body, &kernel.operands[..]) else { return None };
    let [pass] = &nest.passes[..] else { return None };
    let ([Inst::Literal(number)], [_], true) = (&pass.insts[..], &pass.stores[..], pass.accs.is_empty()) else {
        return None;
    };
    // Distinct points store to distinct elements.
    let points: usize = nest.domain.iter().chain(&pass.loops).product();
    (operand.written && points == operand.len).then_some(*number)
}

#[cfg(test)]
mod tests {
    use super::{Fill, find};
    use crate::Cpu;
    use egrad_ir::kernel::{Backend, Kernel};
    use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
    use egrad_ir::{Array, Aval, Dtype, Element};

    const FILL: &str = "kernel full(b0: write f32[4]) fast {
  parallel p0 in 0..4 {
    once {
      %0 = constant f32 2.5
      store b0[p0] = %0
    }
  }
}
";

    const SCATTER: &str = "kernel scatter(b0: read f32[4], b1: read i32[3], b2: read f32[3], b3: write f32[4]) fast {
  scatter reduce_sum batch 1 between 1 length 4 inner 1 taken 3 {
    x = b0
    indices = b1
    updates = b2
    result = b3
  }
}
";

    const NEG: &str = "kernel neg(b0: read f32[4], b1: write f32[4]) fast {
  parallel p0 in 0..4 {
    once {
      %0 = load b0[p0]
      %1 = neg %0
      store b1[p0] = %1
    }
  }
}
";

    /// Indices and updates to sums: buffers 0 and 1 are given, 2 is filled.
    fn scattering(more: &[(&str, [usize; 2])], outputs: &[usize]) -> Schedule {
        let lens = [(Dtype::I32, 3), (Dtype::F32, 3), (Dtype::F32, 4), (Dtype::F32, 4), (Dtype::F32, 4)];
        let slot = |i: &usize| (BufferId::from(*i), Aval::new(lens[*i].0, [lens[*i].1]));
        let step = |text: &str, operands: &[usize]| Step {
            kernel: Kernel::parse(text).unwrap(),
            operands: operands.iter().map(|i| BufferId::from(*i)).collect(),
        };
        let mut steps = vec![step(FILL, &[2]), step(SCATTER, &[2, 0, 1, 3])];
        steps.extend(more.iter().map(|(text, operands)| step(text, operands)));
        let buffers = lens[..4 + more.len()].iter().map(|(dtype, len)| Buffer { dtype: *dtype, len: *len }).collect();
        let schedule = Schedule {
            buffers,
            inputs: [0, 1].iter().map(slot).collect(),
            outputs: outputs.iter().map(slot).collect(),
            steps,
        };
        schedule.verify().unwrap();
        schedule
    }

    fn run(schedule: Schedule) -> Vec<Vec<f64>> {
        let indices = Array::from_vec(vec![1, 3, 1], [3]).unwrap();
        let updates = Array::from_vec(vec![1.0f32, 10.0, 100.0], [3]).unwrap();
        let program = Cpu::with_threads(1).unwrap().compile(schedule).unwrap();
        // Twice: what a run leaves in its memory is no fill of the next one.
        let first = program.run(&[&indices, &updates]).unwrap().outputs;
        let second = program.run(&[&indices, &updates]).unwrap().outputs;
        assert!(first.iter().zip(&second).all(|(a, b)| a.to_f64() == b.to_f64()));
        first.iter().map(Array::to_f64).collect()
    }

    const SUMS: [f64; 4] = [2.5, 103.5, 2.5, 12.5];

    #[test]
    fn scatters_start_from_numbers() {
        let schedule = scattering(&[], &[3]);
        let fills = find(&schedule);
        assert_eq!(fills.get(&BufferId::from(2)), Some(&Fill { step: 0, number: 2.5f32.literal() }));
        assert_eq!(run(schedule), [SUMS]);
    }

    #[test]
    fn what_something_else_needs_is_written() {
        let read = scattering(&[(NEG, [2, 4])], &[3, 4]);
        assert!(find(&read).is_empty());
        assert_eq!(run(read), [SUMS, [-2.5; 4]]);
        let given = scattering(&[], &[3, 2]);
        assert!(find(&given).is_empty());
        assert_eq!(run(given), [SUMS, [2.5; 4]]);
    }
}
