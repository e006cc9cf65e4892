//! What a program is: a function of arrays with its inputs, and what is known of it.

use egrad::{Array, Device, Options, Result};
use egrad_ir::kernel::Body;
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use std::collections::{HashMap, HashSet};

/// A program by name.
pub struct Program {
    /// Its name, as in JAX's list.
    pub name: String,
    /// What it does.
    pub what: &'static str,
    /// The arithmetic operations that its mathematics asks for, elementary functions apart.
    pub flops: u64,
    build: Build,
}

/// Makes a program's inputs and function.
type Build = Box<dyn Fn(&Options) -> Result<Case>>;

impl Program {
    pub(crate) fn new(
        name: impl Into<String>,
        what: &'static str,
        flops: u64,
        build: impl Fn(&Options) -> Result<Case> + 'static,
    ) -> Program {
        Program { name: name.into(), what, flops, build: Box::new(build) }
    }

    /// Makes its inputs, on the device, and the function, which is neither traced nor compiled yet.
    ///
    /// # Errors
    /// If the device doesn't exist.
    pub fn build(&self, options: &Options) -> Result<Case> {
        (self.build)(options)
    }
}

/// A program ready for its first call.
pub struct Case {
    pub(crate) inputs: Vec<Array>,
    pub(crate) call: Box<dyn Fn() -> Result<()>>,
    pub(crate) results: Box<dyn Fn() -> Result<Vec<Array>>>,
    pub(crate) compiled: Box<dyn Fn() -> Result<(Device, Option<Schedule>)>>,
}

impl Case {
    /// Calls the function, waits until the device has computed all of it, and drops the result where
    /// it is: nothing is copied to the host.
    ///
    /// # Errors
    /// As the function.
    #[inline]
    pub fn call(&self) -> Result<()> {
        (self.call)()
    }

    /// Calls the function and lists its results.
    ///
    /// # Errors
    /// As the function.
    pub fn results(&self) -> Result<Vec<Array>> {
        (self.results)()
    }

    /// Where and how it runs.
    ///
    /// # Errors
    /// As the function.
    pub fn facts(&self) -> Result<Facts> {
        let (device, schedule) = (self.compiled)()?;
        let (kernels, peak_bytes) = (schedule.as_ref().map(Schedule::launches), schedule.as_ref().map(peak_bytes));
        Ok(Facts { device, kernels, peak_bytes })
    }

    /// The kernels it runs; `None` on the interpreter, which has none.
    ///
    /// # Errors
    /// As the function.
    pub fn schedule(&self) -> Result<Option<Schedule>> {
        Ok((self.compiled)()?.1)
    }

    /// The bytes of inputs and results: no implementation moves less.
    pub fn least_bytes(&self, results: &[Array]) -> usize {
        self.inputs.iter().chain(results).map(bytes).sum()
    }
}

/// How much memory an array takes.
fn bytes(array: &Array) -> usize {
    array.shape().size() * array.dtype().bytes()
}

/// Where and how a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The device.
    pub device: Device,
    /// How many kernels a call launches; `None` on the interpreter, which has none.
    pub kernels: Option<usize>,
    /// See [`peak_bytes`]; `None` on the interpreter.
    pub peak_bytes: Option<usize>,
}

/// The most bytes that a schedule's buffers take at one time: inputs and results live throughout, a
/// temporary from the step that writes it to the last one that reads it.
pub fn peak_bytes(schedule: &Schedule) -> usize {
    let ends: HashSet<BufferId> = schedule.inputs.iter().chain(&schedule.outputs).map(|(id, _)| *id).collect();
    ends.iter().map(|id| buffer_bytes(schedule.buffer(*id))).sum::<usize>() + temporary_bytes(schedule, &ends)
}

/// The most bytes of temporaries at one time, those of callees once for each element of a batch.
fn temporary_bytes(schedule: &Schedule, ends: &HashSet<BufferId>) -> usize {
    let mut lives: HashMap<BufferId, (usize, usize)> = HashMap::new();
    for (i, step) in schedule.steps.iter().enumerate() {
        for id in step.operands.iter().filter(|id| !ends.contains(id)) {
            lives.entry(*id).or_insert((i, i)).1 = i;
        }
    }
    let inside = |callee: &Schedule| {
        let ends = callee.inputs.iter().chain(&callee.outputs).map(|(id, _)| *id).collect();
        temporary_bytes(callee, &ends)
    };
    let at = |(i, step): (usize, &Step)| {
        let live = lives.iter().filter(|(_, (first, last))| (*first..=*last).contains(&i));
        let inside = match &step.kernel.body {
            Body::Loops(_)
            | Body::Contract(_)
            | Body::Scatter(_)
            | Body::Argsort(_)
            | Body::Linalg(_)
            | Body::Print(_) => 0,
            Body::Call(call) => call.count * inside(&call.callee),
            // Steps share their temporaries; what they carry has two places.
            body @ (Body::Scan(_) | Body::While(_) | Body::Switch(_)) => {
                body.callees().into_iter().map(|callee| inside(callee)).max().unwrap_or(0)
            }
        };
        live.map(|(id, _)| buffer_bytes(schedule.buffer(*id))).sum::<usize>() + inside
    };
    schedule.steps.iter().enumerate().map(at).max().unwrap_or(0)
}

fn buffer_bytes(buffer: &Buffer) -> usize {
    buffer.len * buffer.dtype.bytes()
}

/// A tree of arrays whose leaves can be listed.
pub trait Leaves {
    /// Lists its arrays, in the order that JAX lists them in.
    fn leaves(&self, into: &mut Vec<Array>);
}

impl Leaves for Array {
    fn leaves(&self, into: &mut Vec<Array>) {
        into.push(self.clone());
    }
}

impl<T: Leaves> Leaves for Vec<T> {
    fn leaves(&self, into: &mut Vec<Array>) {
        self.iter().for_each(|x| x.leaves(into));
    }
}

macro_rules! tuple {
    ($($T:ident $i:tt),+) => {
        impl<$($T: Leaves),+> Leaves for ($($T,)+) {
            fn leaves(&self, into: &mut Vec<Array>) {
                $(self.$i.leaves(into);)+
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);

/// The leaves of a tree.
pub(crate) fn leaves(tree: &impl Leaves) -> Vec<Array> {
    let mut leaves = Vec::new();
    tree.leaves(&mut leaves);
    leaves
}

/// Waits for the results of a call, where a device works on its own.
pub(crate) fn finish(results: &impl Leaves) -> Result<()> {
    leaves(results).iter().try_for_each(Array::wait)
}

/// A [`Case`]: what `jit` or `eager` returned, under these options, and a variable per argument. The
/// arguments are put on the device first, where they stay.
macro_rules! case {
    ($options:expr, $f:expr, $($arg:ident),+) => {{
        use std::rc::Rc;
        let options: egrad::Options = $options.clone();
        let device = options.device;
        // The CPU and the interpreter are done when they return.
        let waits = matches!(device, egrad::Device::Auto | egrad::Device::Vulkan);
        let f = Rc::new($f.options(options));
        egrad::device_put(&($($arg,)+), device).map(|args| {
            let args = Rc::new(args);
            let inputs = $crate::program::leaves(&*args);
            let call = {
                let (f, args) = (Rc::clone(&f), Rc::clone(&args));
                move || {
                    let ($($arg,)+) = &*args;
                    let out = std::hint::black_box(f($($arg),+)?);
                    if waits { $crate::program::finish(&out) } else { Ok(()) }
                }
            };
            let results = {
                let (f, args) = (Rc::clone(&f), Rc::clone(&args));
                move || {
                    let ($($arg,)+) = &*args;
                    f($($arg),+).map(|out| $crate::program::leaves(&out))
                }
            };
            let compiled = move || {
                let compiled = f.compile(&args)?;
                Ok((compiled.device(), compiled.schedule().cloned()))
            };
            $crate::program::Case {
                inputs,
                call: Box::new(call),
                results: Box::new(results),
                compiled: Box::new(compiled),
            }
        })
    }};
}
pub(crate) use case;

#[cfg(test)]
mod tests {
    use super::peak_bytes;
    use egrad::{Array, Calls, Options, Tensor, jit, vmap};

    /// Of a chain of products only neighbours live at one time.
    #[test]
    fn temporaries_count_while_they_live() {
        let n = 64;
        let x = Array::from_vec(vec![0.5f32; n * n], [n, n]).unwrap();
        let chain = jit(|x: Tensor| x.matmul(x).matmul(x).matmul(x).matmul(x));
        let compiled = chain.compile(&(x,)).unwrap();
        let schedule = compiled.schedule().unwrap();
        assert_eq!(schedule.steps.len(), 4);
        // The input, the result, and two of the three products between.
        assert_eq!(peak_bytes(schedule), 4 * n * n * 4);
    }

    /// Those of a function dispatched over a batch are there for every element.
    #[test]
    fn temporaries_of_callees_count() {
        let (batch, n) = (3, 32);
        let x = Array::from_vec(vec![0.5f32; batch * n * n], [batch, n, n]).unwrap();
        let f = jit(vmap(jit(|x: Tensor| x.matmul(x).matmul(x)), 0));
        let options = Options { calls: Calls::Dispatch, ..Options::default() };
        let compiled = f.options(options).compile(&(x,)).unwrap();
        // The input, the result, and the first product of each element.
        assert_eq!(peak_bytes(compiled.schedule().unwrap()), 3 * batch * n * n * 4);
    }
}
