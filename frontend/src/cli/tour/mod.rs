//! `egrad tour`: the tutorial's programs, timed and checked.

mod data;
mod digits;

use super::explore::{buffers, count, ops};
use super::programs::{mean_loss, predict, squared_error};
use super::time::timed;
use super::{Failure, Outcome, Target};
use clap::Args;
use data::Random;
use egrad::{Array, Calls, Compiled, Device, Result, device_get, eager, grad, jit, vmap};
use egrad_rewrite as rewrite;
use std::io::{self, Write};

/// The arguments of `egrad tour`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
pub(crate) fn tour(options: &Options, out: &mut impl Write) -> Outcome {
    let device = super::device::named(options.target.device)?;
    let options = egrad::Options { device, numerics: options.target.numerics(), ..egrad::Options::default() };
    let mut tour = Tour { out, options, checks: 0, failed: 0 };
    let (outcome, time) = timed(|| {
        tour.batch()?;
        tour.per_example()?;
        tour.mean()?;
        tour.compiled()?;
        digits::train(&mut tour)
    });
    outcome?;
    let (checks, failed) = (tour.checks, tour.failed);
    writeln!(tour.out, "\n{} of {checks} checks passed, in {time}", checks - failed)?;
    if failed > 0 { Err(Failure::Checks(failed)) } else { Ok(()) }
}

/// The tour under way.
struct Tour<'a, W> {
    out: &'a mut W,
    options: egrad::Options,
    checks: usize,
    failed: usize,
}

impl<W: Write> Tour<'_, W> {
    fn title(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "{}{title}", if self.checks > 0 { "\n" } else { "" })?;
        // What follows may take a moment.
        self.out.flush()
    }

    fn say(&mut self, what: &str, value: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.out, "   {what:<34} {value}")?;
        self.out.flush()
    }

    fn check(&mut self, what: &str, holds: bool) -> io::Result<()> {
        self.checks += 1;
        self.failed += usize::from(!holds);
        writeln!(self.out, " {} {what}", if holds { "✓" } else { "✗ FAILED:" })?;
        self.out.flush()
    }

    /// Lists the kernels a compiled function runs.
    fn kernels<A, O>(&mut self, compiled: &Compiled<A, O>) -> io::Result<()> {
        let device = compiled.device();
        let Some(schedule) = compiled.schedule() else {
            return self.say("kernels", format!("none: the {device} goes primitive by primitive"));
        };
        self.say("kernels picked", format!("{} for {device}", schedule.steps.len()))?;
        // Many kernels are listed by name, with how often each occurs.
        let mut lines: Vec<(String, usize)> = Vec::new();
        for step in &schedule.steps {
            let written = buffers(step, true).count();
            let line = format!(
                "{} ({}; {})",
                step.kernel.name,
                count(ops(&step.kernel).len(), "op"),
                count(written, "output")
            );
            match lines.iter_mut().find(|(l, _)| *l == line) {
                Some((_, n)) => *n += 1,
                None => lines.push((line, 1)),
            }
        }
        for (line, n) in lines {
            let times = if n > 1 { format!("{n} × ") } else { String::new() };
            writeln!(self.out, "     {times}{line}")?;
        }
        Ok(())
    }

    /// A batch of predictions.
    fn batch(&mut self) -> Outcome {
        self.title("1. vmap: predict over 10,000 numbers, in_axes = (None, 0)")?;
        let params = (Array::from(2.0f32), Array::from(1.0f32));
        let xs = vector((0..10_000).map(|i| i as f32).collect())?;
        let eager = eager(vmap(predict, (None, 0))).options(self.options.clone());
        let jitted = jit(vmap(predict, (None, 0))).options(self.options.clone());
        let mut call = |what: &str, f: &dyn Fn() -> Result<Array>| -> std::result::Result<Array, Failure> {
            let (result, time) = timed(|| device_get(&f()?));
            let result = result?;
            self.say(what, time)?;
            Ok(result)
        };
        call("eager(vmap(predict)), first call", &|| eager(&params, &xs))?;
        let plain = call("eager(vmap(predict)), second call", &|| eager(&params, &xs))?;
        let first = call("jit(vmap(predict)), first call", &|| jitted(&params, &xs))?;
        let second = call("jit(vmap(predict)), second call", &|| jitted(&params, &xs))?;
        self.check("eager and compiled results match", close(&plain, &first) && first == second)?;
        let right: Vec<f64> = xs.to_f64().iter().map(|x| 2.0 * x + 1.0).collect();
        self.check("they are 2x + 1", close_to(&first, &right))?;
        Ok(())
    }

    /// Gradients of each example.
    fn per_example(&mut self) -> Outcome {
        self.title("2. vmap(grad): the gradient of each of 5 examples' squared error")?;
        let (params, xs, ys) = five()?;
        let per_example = jit(vmap(grad(squared_error), (None, 0, 0))).options(self.options.clone());
        let (dw, db) = device_get(&per_example(&params, &xs, &ys)?)?;
        self.say("(w, b)", "(2, 1)")?;
        self.say("x", &xs)?;
        self.say("y = 2.5x + 0.5", &ys)?;
        self.say("dw", &dw)?;
        self.say("db", &db)?;
        let (x, y) = (xs.to_f64(), ys.to_f64());
        let (right_dw, right_db) = formula(&x, &y);
        self.check("dw is 2(wx + b - y)x, and db 2(wx + b - y)", close_to(&dw, &right_dw) && close_to(&db, &right_db))?;
        Ok(())
    }

    /// The gradient of the mean.
    fn mean(&mut self) -> Outcome {
        self.title("3. grad of the mean loss, with vmap inside")?;
        let (params, xs, ys) = five()?;
        let (dw, db) = jit(grad(mean_loss)).options(self.options.clone())(&params, &xs, &ys)?;
        let each = jit(vmap(grad(squared_error), (None, 0, 0))).options(self.options.clone());
        let each = device_get(&each(&params, &xs, &ys)?)?;
        self.say("(dw, db)", format!("({:.6}, {:.6})", dw.item::<f32>()?, db.item::<f32>()?))?;
        let mean = |a: &Array| vec![a.to_f64().iter().sum::<f64>() / a.shape().size() as f64];
        let (mean_dw, mean_db) = (mean(&each.0), mean(&each.1));
        self.say("means of the examples' gradients", format!("({:.6}, {:.6})", mean_dw[0], mean_db[0]))?;
        self.check("they are equal", close_to(&dw, &mean_dw) && close_to(&db, &mean_db))?;
        Ok(())
    }

    /// All three transforms on a large batch.
    fn compiled(&mut self) -> Outcome {
        self.title("4. jit(vmap(grad)): the gradients of 100,000 generated examples")?;
        let mut random = Random::new(42);
        let x: Vec<f32> = (0..100_000).map(|_| random.uniform() as f32).collect();
        let y: Vec<f32> = x.iter().map(|x| 2.5 * x + 0.5 + 0.1 * random.normal() as f32).collect();
        let (right_dw, right_db) = formula(&widen(&x), &widen(&y));
        let args = ((Array::from(2.0f32), Array::from(1.0f32)), vector(x)?, vector(y)?);

        let gradients = jit(vmap(grad(squared_error), (None, 0, 0))).options(self.options.clone());
        let (first, time) = timed(|| device_get(&gradients(&args.0, &args.1, &args.2)?));
        let first = first?;
        self.say("first call, which compiles", time)?;
        let (second, time) = timed(|| device_get(&gradients(&args.0, &args.1, &args.2)?));
        let second = second?;
        self.say("second call", time)?;
        let compiled = gradients.compile(&args)?;
        self.kernels(&compiled)?;
        if let Some(schedule) = compiled.schedule() {
            for step in &schedule.steps {
                for line in step.kernel.to_string().lines() {
                    writeln!(self.out, "       {line}")?;
                }
            }
            let both = matches!(&schedule.steps[..], [one] if buffers(one, true).count() == 2);
            self.check("one kernel writes both gradients", both)?;
        }
        self.check("both calls agree with the formulas", {
            first == second && close_to(&first.0, &right_dw) && close_to(&first.1, &right_db)
        })?;

        self.orders(&compiled, &args, &first)
    }

    /// The same with `jit` inside `vmap`, its call made in every way.
    fn orders(&mut self, inside: &Compiled<Examples, Gradients>, args: &Examples, want: &Gradients) -> Outcome {
        self.title("5. jit(vmap(jit(grad))): the same with a jit inside, its call made in every way")?;
        let outer = jit(vmap(jit(grad(squared_error)), (None, 0, 0))).options(self.options.clone()).compile(args)?;
        let [a, b] = [inside.program(), outer.program()].map(rewrite::expand);
        let compared = rewrite::compare(&a?, &b?, &rewrite::Options::default())?;
        let shared = compared.results.iter().filter(|r| r.difference.is_none()).count();
        let all = compared.results.len();
        self.say("egrad diff", format!("{shared} of {all} results in the same e-class as those of jit(vmap(grad))"))?;
        self.check("the order of jit and vmap makes no difference", shared == all)?;
        let (again, time) = timed(|| device_get(&inside.call(args)?));
        again?;
        self.say("jit(vmap(grad))", time)?;
        for calls in Calls::ALL {
            // A GPU has no other way yet.
            if inside.device() == Device::Vulkan && matches!(calls, Calls::PushIn | Calls::Dispatch) {
                continue;
            }
            let options = egrad::Options { calls, ..self.options.clone() };
            let outer = jit(vmap(jit(grad(squared_error)), (None, 0, 0))).options(options);
            let compiled = outer.compile(args)?;
            compiled.call(args)?;
            let (got, time) = timed(|| device_get(&compiled.call(args)?));
            let got = got?;
            let kernels = match (inside.schedule(), compiled.schedule()) {
                (Some(one), Some(other)) if one == other => ", by the same kernels",
                (Some(_), Some(_)) => ", by other kernels",
                _ => "",
            };
            self.say(&format!("  --calls {calls}"), format!("{time}{kernels}"))?;
            let same = close(&got.0, &want.0) && close(&got.1, &want.1);
            self.check(&format!("jit(vmap(jit(grad))) gives the same by {calls}"), same)?;
            if inside.schedule().is_some() && calls == Calls::Auto {
                self.check("where it may choose, by the same kernels", kernels == ", by the same kernels")?;
            }
        }
        Ok(())
    }
}

type Examples = ((Array, Array), Array, Array);
type Gradients = (Array, Array);

/// The tutorial's parameters and five examples.
fn five() -> Result<Examples> {
    let x: Vec<f32> = (0..5).map(|i| i as f32 / 4.0).collect();
    let y = x.iter().map(|x| 2.5 * x + 0.5).collect();
    Ok(((Array::from(2.0f32), Array::from(1.0f32)), vector(x)?, vector(y)?))
}

/// The gradients of the squared error of 2x + 1, by hand.
fn formula(x: &[f64], y: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let db: Vec<f64> = x.iter().zip(y).map(|(x, y)| 2.0 * (2.0 * x + 1.0 - y)).collect();
    let dw = db.iter().zip(x).map(|(d, x)| d * x).collect();
    (dw, db)
}

fn vector(data: Vec<f32>) -> Result<Array> {
    let n = data.len();
    Array::from_vec(data, [n])
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn close(a: &Array, b: &Array) -> bool {
    a.aval() == b.aval() && close_to(a, &b.to_f64())
}

/// Whether an f32 array is this, but for rounding.
fn close_to(a: &Array, b: &[f64]) -> bool {
    let a = a.to_f64();
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 + 1e-5 * b.abs())
}
