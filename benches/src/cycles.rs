//! Compiled functions give their memory back: many small programs, each compiled, called once and
//! dropped, while the memory of the process is watched.

use crate::data::{Stream, uniform};
use egrad::{Array, Device, Error, Result, Tensor, grad, jit, vmap};

/// An operation of a random program on values made before it. All keep values within [-1, 1].
#[derive(Clone, Copy, Debug)]
enum Step {
    Sin(usize),
    Cos(usize),
    Tanh(usize),
    /// The mean of two values.
    Middle(usize, usize),
    /// Half of their difference.
    Difference(usize, usize),
    Product(usize, usize),
    Larger(usize, usize),
    /// The mean of all elements, beside each of them.
    Mean(usize),
    /// A value times a number.
    Scaled(usize, f32),
}

impl Step {
    fn apply(self, values: &[Tensor]) -> Tensor {
        match self {
            Step::Sin(x) => values[x].sin(),
            Step::Cos(x) => values[x].cos(),
            Step::Tanh(x) => values[x].tanh(),
            Step::Middle(x, y) => 0.5 * (values[x] + values[y]),
            Step::Difference(x, y) => 0.5 * (values[x] - values[y]),
            Step::Product(x, y) => values[x] * values[y],
            Step::Larger(x, y) => values[x].maximum(values[y]),
            Step::Mean(x) => values[x].mean().broadcast_to(values[x].shape()),
            Step::Scaled(x, by) => values[x] * by,
        }
    }
}

/// What is done with the function before it is compiled.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Gradient,
    Batched,
}

/// A small random program of two arguments: number `index` of those that a seed stands for.
#[derive(Clone, Debug)]
pub struct Random {
    steps: Vec<Step>,
    form: Form,
    shape: &'static [usize],
    seed: u64,
}

const SHAPES: [&[usize]; 6] = [&[1], &[7], &[64], &[130], &[4, 5], &[16, 3]];

impl Random {
    /// The program.
    pub fn new(seed: u64, index: u64) -> Random {
        let seed = Stream::new(seed).word(index);
        let stream = Stream::new(seed);
        let mut drawn = 0;
        let mut below = |n: usize| {
            drawn += 1;
            stream.below(drawn, n as u32) as usize
        };
        let shape = SHAPES[below(SHAPES.len())];
        let form = [Form::Plain, Form::Gradient, Form::Batched][below(3)];
        let mut steps = Vec::new();
        for made in 2..3 + below(8) {
            let (x, y) = (below(made), below(made));
            steps.push(match below(9) {
                0 => Step::Sin(x),
                1 => Step::Cos(x),
                2 => Step::Tanh(x),
                3 => Step::Middle(x, y),
                4 => Step::Difference(x, y),
                5 => Step::Product(x, y),
                6 => Step::Larger(x, y),
                7 => Step::Mean(x),
                _ => Step::Scaled(x, below(1000) as f32 / 1000.0),
            });
        }
        Random { steps, form, shape, seed }
    }

    fn function(&self) -> impl Fn(Tensor, Tensor) -> Tensor + use<> {
        let steps = self.steps.clone();
        move |x, y| {
            let mut values = vec![x, y];
            for step in &steps {
                values.push(step.apply(&values));
            }
            values[values.len() - 1]
        }
    }

    /// Compiles it for a device, calls it once and drops it.
    ///
    /// # Errors
    /// What compiling and running give.
    pub fn run(&self, device: Device) -> Result<Array> {
        let x = uniform(self.shape.to_vec(), self.seed, -1.0, 1.0);
        let y = uniform(self.shape.to_vec(), self.seed ^ 1, -1.0, 1.0);
        let f = self.function();
        match self.form {
            Form::Plain => jit(f).device(device)(&x, &y),
            Form::Gradient => jit(grad(move |x: Tensor, y: Tensor| f(x, y).mean())).device(device)(&x, &y),
            Form::Batched => jit(vmap(f, 0)).device(device)(&x, &y),
        }
    }

    /// As [`run`](Self::run) on the CPU, with the result compared with the interpreter's.
    ///
    /// # Errors
    /// What compiling and running give, and if the results differ.
    pub fn check(&self) -> Result<()> {
        let (got, want) = (self.run(Device::Cpu)?, self.run(Device::Interpreter)?);
        let near = got.to_f64().iter().zip(want.to_f64()).all(|(g, w)| (g - w).abs() <= 1e-4);
        match near && got.aval() == want.aval() {
            true => Ok(()),
            false => Err(Error::internal(format!("{self:?} gives {got}, and the interpreter {want}"))),
        }
    }
}

/// How many cycles there are between two checks of a result.
const CHECKED: u64 = 1000;

/// Compiles, calls and drops the programs number `from..to` of a seed; every thousandth result is
/// checked.
///
/// # Errors
/// What a program gives, and if a result is wrong.
pub fn cycle(seed: u64, from: u64, to: u64) -> Result<()> {
    for index in from..to {
        let program = Random::new(seed, index);
        match index % CHECKED {
            0 => program.check()?,
            _ => drop(program.run(Device::Cpu)?),
        }
    }
    Ok(())
}

/// Bytes of memory that the process has resident; `None` where the system doesn't say.
pub fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Whether memory grew from `warm` to `end` by more than allocators do: 2 % and 4 MiB.
pub fn grew(warm: usize, end: usize) -> bool {
    end > warm + warm / 50 + (4 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_programs_give_the_interpreters_results() {
        for index in 0..60 {
            Random::new(1, index).check().unwrap();
        }
    }

    #[test]
    fn programs_differ_and_are_reproducible() {
        let texts: Vec<String> = (0..50).map(|i| format!("{:?}", Random::new(2, i))).collect();
        assert!((0..50).all(|i| texts[i] == format!("{:?}", Random::new(2, i as u64))));
        let distinct: std::collections::HashSet<_> = texts.iter().collect();
        assert_eq!(distinct.len(), texts.len());
        for form in ["Plain", "Gradient", "Batched"] {
            assert!(texts.iter().any(|t| t.contains(form)), "{form}");
        }
    }
}
