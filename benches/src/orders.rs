//! What the order of `jit` and `vmap` costs: the same functions, batched in every way.
//!
//! `cargo bench` times each [`Subject`] in each [`Order`] over [`BATCHES`], after its results have
//! been compared with those of `jit(vmap f)`.

use crate::data::normal;
use crate::program::{Case, case};
use crate::programs::{Params, SIZES, labels, layernorm, params, pixels, predict, softmax, squared_error, xent};
use egrad::{Array, Calls, Device, Options, Result, Tensor, eager, grad, jit, vmap};
use egrad_ir::schedule::Schedule;

/// Batch sizes: how many examples.
pub const BATCHES: [usize; 7] = [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// How a function is batched and compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `jit(vmap f)`.
    JitVmap,
    /// `vmap(jit f)`, itself compiled, with calls compiled in that mode.
    VmapJit(Calls),
    /// `vmap f`, run op by op.
    NoJit,
    /// `jit(vmap f)` on a Vulkan device. There `vmap(jit f)` is inlined, and so the same.
    Vulkan,
}

impl Order {
    /// Every order: `jit(vmap f)` first, with which the others are compared.
    pub fn all() -> Vec<Order> {
        let modes = Calls::ALL.map(Order::VmapJit);
        [Order::JitVmap].into_iter().chain(modes).chain([Order::NoJit, Order::Vulkan]).collect()
    }

    /// Its name, as in criterion's folders.
    pub fn name(self) -> String {
        match self {
            Order::JitVmap => "jit_vmap".to_owned(),
            Order::VmapJit(calls) => format!("vmap_jit_{}", calls.name()),
            Order::NoJit => "no_jit".to_owned(),
            Order::Vulkan => "jit_vmap_vulkan".to_owned(),
        }
    }

    /// Its name for readers.
    pub fn title(self) -> String {
        match self {
            Order::JitVmap => "jit(vmap f)".to_owned(),
            Order::VmapJit(calls) => format!("vmap(jit f), {}", calls.name()),
            Order::NoJit => "no jit".to_owned(),
            Order::Vulkan => "jit(vmap f), Vulkan".to_owned(),
        }
    }

    /// The device it runs on, and how it makes calls.
    fn options(self) -> Options {
        match self {
            Order::JitVmap | Order::NoJit => Options { device: Device::Cpu, ..Options::default() },
            Order::VmapJit(calls) => Options { device: Device::Cpu, calls, ..Options::default() },
            Order::Vulkan => Options { device: Device::Vulkan, ..Options::default() },
        }
    }
}

/// A function to batch.
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Bytes of inputs and results per example.
    bytes: usize,
    build: fn(Order, usize) -> Result<Case>,
}

/// How many bytes of inputs and results are batched at most, and run op by op at most: there every
/// value in between takes memory, too.
const MOST_BYTES: usize = 1 << 30;
const MOST_BYTES_NO_JIT: usize = 1 << 28;

impl Subject {
    /// Whether a batch of that size fits memory in that order.
    pub fn fits(&self, order: Order, batch: usize) -> bool {
        let most = match order {
            Order::JitVmap | Order::VmapJit(_) | Order::Vulkan => MOST_BYTES,
            Order::NoJit => MOST_BYTES_NO_JIT,
        };
        batch.saturating_mul(self.bytes) <= most
    }

    /// The function batched in that order, with inputs for that many examples.
    ///
    /// # Errors
    /// If there is no Vulkan device for [`Order::Vulkan`], or its memory runs out.
    pub fn build(&self, order: Order, batch: usize) -> Result<Case> {
        (self.build)(order, batch)
    }
}

/// Whether a batch of that size is computed by the same kernels in both orders: then they take the
/// same time, whatever else the machine does while it is measured.
///
/// # Errors
/// What compiling gives.
pub fn same_kernels(subject: &Subject, batch: usize, orders: [Order; 2]) -> Result<bool> {
    let [a, b] = orders.map(|order| subject.build(order, batch).and_then(|case| case.schedule()));
    let (Some(a), Some(b)) = (a?, b?) else { return Ok(false) };
    Ok(plain(a) == plain(b))
}

/// A schedule whose kernels have no names: they come from the functions', and change nothing.
fn plain(mut schedule: Schedule) -> Schedule {
    schedule.steps.iter_mut().for_each(|step| step.kernel.name.clear());
    schedule
}

/// A [`Case`] of a function batched over these axes in that order, and a variable per argument.
macro_rules! batched {
    ($order:expr, $f:expr, $axes:expr, $($arg:ident),+) => {
        match $order {
            Order::NoJit => case!($order.options(), eager(vmap($f, $axes)), $($arg),+),
            Order::JitVmap | Order::Vulkan => case!($order.options(), jit(vmap($f, $axes)), $($arg),+),
            Order::VmapJit(_) => case!($order.options(), jit(vmap(jit($f), $axes)), $($arg),+),
        }
    };
}

/// A [`Case`] of the gradient of a loss's mean over a batch, where the loss is batched.
macro_rules! mean_gradient {
    ($order:expr, $loss:expr, $($arg:ident: $T:ty),+) => {{
        let of = || |$($arg: $T),+| vmap($loss, (None, 0, 0))($($arg),+).mean();
        match $order {
            Order::NoJit => case!($order.options(), eager(grad(of())), $($arg),+),
            Order::JitVmap | Order::Vulkan => case!($order.options(), jit(grad(of())), $($arg),+),
            Order::VmapJit(_) => {
                let of = |$($arg: $T),+| vmap(jit($loss), (None, 0, 0))($($arg),+).mean();
                case!($order.options(), jit(grad(of)), $($arg),+)
            }
        }
    }};
}

fn line() -> (Array, Array) {
    (Array::from(1.5f32), Array::from(-0.25f32))
}

/// Elements of a row.
const COLUMNS: usize = 128;

fn rows(batch: usize) -> Array {
    normal([batch, COLUMNS], 5, 1.0)
}

/// Every function.
pub fn subjects() -> Vec<Subject> {
    let network = 4 * SIZES.windows(2).map(|io| (io[0] + 1) * io[1]).sum::<usize>();
    let image = 4 * (SIZES[0] + 1);
    vec![
        Subject {
            name: "predict",
            what: "w*x + b",
            bytes: 2 * 4,
            build: |order, n| {
                let (params, x) = (line(), normal([n], 1, 1.0));
                batched!(order, predict, (None, 0), params, x)
            },
        },
        Subject {
            name: "squared_error",
            what: "(w*x + b - y)²",
            bytes: 3 * 4,
            build: |order, n| {
                let (params, x, y) = (line(), normal([n], 1, 1.0), normal([n], 2, 1.0));
                batched!(order, squared_error, (None, 0, 0), params, x, y)
            },
        },
        Subject {
            name: "per_example_grad",
            what: "the gradient of squared_error by w and b, of each example",
            bytes: 4 * 4,
            build: |order, n| {
                let (params, x, y) = (line(), normal([n], 1, 1.0), normal([n], 2, 1.0));
                batched!(order, grad(squared_error), (None, 0, 0), params, x, y)
            },
        },
        Subject {
            name: "mean_grad",
            what: "the gradient of the mean of squared_error over the batch",
            bytes: 2 * 4,
            build: |order, n| {
                let (params, x, y) = (line(), normal([n], 1, 1.0), normal([n], 2, 1.0));
                mean_gradient!(order, squared_error, params: (Tensor, Tensor), x: Tensor, y: Tensor)
            },
        },
        Subject {
            name: "mlp_mean_grad",
            what: "the gradient of a 64-128-128-10 network's mean cross-entropy",
            // The values of the hidden layers are there, too, and so are their derivatives.
            bytes: image + 4 * 4 * SIZES.iter().sum::<usize>(),
            build: |order, n| {
                let (net, x, y) = (params(&SIZES), pixels(n), labels(n));
                mean_gradient!(order, xent, net: Params<Tensor>, x: Tensor, y: Tensor)
            },
        },
        Subject {
            name: "mlp_per_example_grad",
            what: "the gradient of the same network's cross-entropy, of each example",
            bytes: image + network,
            build: |order, n| {
                let (net, x, y) = (params(&SIZES), pixels(n), labels(n));
                batched!(order, grad(xent), (None, 0, 0), net, x, y)
            },
        },
        Subject {
            name: "softmax",
            what: "softmax of rows of 128",
            bytes: 2 * 4 * COLUMNS,
            build: |order, n| {
                let x = rows(n);
                batched!(order, softmax, 0, x)
            },
        },
        Subject {
            name: "layernorm",
            what: "layernorm of rows of 128, with scale and shift",
            bytes: 2 * 4 * COLUMNS,
            build: |order, n| {
                let (x, gamma, beta) = (rows(n), normal([COLUMNS], 6, 1.0), normal([COLUMNS], 7, 1.0));
                batched!(order, layernorm, (0, None, None), x, gamma, beta)
            },
        },
    ]
}

/// Whether results are those of `jit(vmap f)`, as far as rounding allows: to 10⁻⁴ of the root of
/// the mean square of each result's elements.
///
/// # Errors
/// What differs.
pub fn same(got: &[Array], want: &[Array]) -> std::result::Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} results instead of {}", got.len(), want.len()));
    }
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        if got.aval() != want.aval() {
            return Err(format!("result {i} is {} instead of {}", got.aval(), want.aval()));
        }
        let (got, want) = (got.to_f64(), want.to_f64());
        let size = (want.iter().map(|x| x * x).sum::<f64>() / want.len() as f64).sqrt();
        // NaN is near nothing.
        let near = |k: &usize| (got[*k] - want[*k]).abs() <= 1e-4 * size;
        if let Some(at) = (0..want.len()).find(|k| !near(k)) {
            return Err(format!("element {at} of result {i} is {} instead of {}", got[at], want[at]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_gives_the_same_results() {
        let vulkan = match crate::machine::vulkan() {
            Ok(_) => true,
            Err(e) if std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some() => panic!("EGRAD_REQUIRE_VULKAN is set: {e}"),
            Err(e) => {
                eprintln!("SKIPPED on Vulkan: {e}");
                false
            }
        };
        for subject in subjects() {
            let want = subject.build(Order::JitVmap, 30).unwrap().results().unwrap();
            for order in Order::all().into_iter().filter(|o| vulkan || *o != Order::Vulkan) {
                assert!(subject.fits(order, 30));
                let got = subject.build(order, 30).unwrap().results().unwrap();
                assert_eq!(same(&got, &want), Ok(()), "{} by {}", subject.name, order.title());
            }
        }
    }

    #[test]
    fn inlined_calls_become_the_kernels_of_jit_vmap() {
        let all = subjects();
        let predict = all.iter().find(|s| s.name == "predict").unwrap();
        let same = |calls| same_kernels(predict, 1000, [Order::VmapJit(calls), Order::JitVmap]).unwrap();
        assert!(same(Calls::Inline));
        assert!(!same(Calls::Dispatch));
    }

    #[test]
    fn differences_are_found() {
        let given = |data: &[f32]| vec![Array::from_vec(data.to_vec(), [data.len()]).unwrap()];
        assert_eq!(same(&given(&[1.0, 2.0]), &given(&[1.0, 2.00001])), Ok(()));
        let off = same(&given(&[1.0, 2.0]), &given(&[1.0, 2.1]));
        assert!(off.unwrap_err().starts_with("element 1 of result 0 is 2 instead of 2.0"));
        assert!(same(&given(&[1.0, f32::NAN]), &given(&[1.0, 2.0])).is_err());
        assert!(same(&given(&[1.0]), &given(&[1.0, 2.0])).is_err());
    }
}
