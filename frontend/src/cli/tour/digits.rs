//! A network learns to read digits.

use super::data::{Digits, Random};
use super::{Outcome, Tour};
use crate::cli::programs::{Layer, Mlp, SIZES, cross_entropy, logits};
use crate::cli::time::{Time, timed};
use egrad::{Array, Result, Tensor, device_get, jit, value_and_grad};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;

const EPOCHS: usize = 20;
const BATCH: usize = 64;
const RATE: f64 = 0.1;
const MOMENTUM: f64 = 0.9;

/// The network and the velocity of each weight, after one step on a batch, and the batch's loss.
type State<T> = (Mlp<T>, Mlp<T>);

fn step((net, velocity): State<Tensor>, x: Tensor, digits: Tensor) -> (State<Tensor>, Tensor) {
    let (loss, gradient) = value_and_grad(cross_entropy)(net.clone(), x, digits);
    let velocity = velocity.zip(gradient, |v, g| v * MOMENTUM - g * RATE);
    (((net.zip(velocity.clone(), |w, v| w + v)), velocity), loss)
}

/// Trains on the digits and counts how many of those held out are read right.
pub(super) fn train<W: Write>(tour: &mut Tour<'_, W>) -> Outcome {
    let (train, held_out) = Digits::load();
    let [pixels, units, digits] = SIZES;
    tour.title(&format!(
        "6. A {pixels}-{units}-{digits} network learns {} digits: {EPOCHS} epochs of minibatch SGD",
        train.len()
    ))?;
    let mut random = Random::new(7);
    let mut state = start(&mut random)?;
    let step = jit(step).options(tour.options.clone());
    let mut order: Vec<usize> = (0..train.len()).collect();

    let (compiled, compiling) = timed(|| -> Result<_> {
        let (x, y) = train.batch(&order[..BATCH])?;
        step.compile(&(state.clone(), x, y))
    });
    let compiled = compiled?;
    tour.say("compiling a training step", compiling)?;

    let steps = train.len() / BATCH;
    let bar = ProgressBar::new((EPOCHS * steps) as u64);
    bar.set_style(
        ProgressStyle::with_template("   {bar:34} {pos}/{len} steps, {msg}").unwrap_or(ProgressStyle::default_bar()),
    );
    let mut losses = Vec::new();
    let (trained, time) = timed(|| -> Result<()> {
        for _ in 0..EPOCHS {
            random.shuffle(&mut order);
            let mut total = 0.0;
            for batch in order.chunks_exact(BATCH) {
                let (x, y) = train.batch(batch)?;
                let (next, loss) = step(&state, &x, &y)?;
                state = next;
                total += f64::from(loss.item::<f32>()?);
                bar.inc(1);
            }
            losses.push(total / steps as f64);
            bar.set_message(format!("loss {:.4}", total / steps as f64));
        }
        Ok(())
    });
    bar.finish_and_clear();
    trained?;
    let each = Time(time.0 / (EPOCHS * steps) as u32);
    tour.say("training", format!("{time}, {each} per step of {BATCH} images"))?;
    let (first, last) = (losses[0], losses[EPOCHS - 1]);
    tour.say("mean loss, first and last epoch", format!("{first:.4}, {last:.4}"))?;
    tour.kernels(&compiled)?;

    let read = jit(logits).options(tour.options.clone());
    let (x, _) = held_out.batch(&(0..held_out.len()).collect::<Vec<_>>())?;
    let right = count_right(&device_get(&read(&state.0, &x)?)?, held_out.digits());
    let percent = 100.0 * right as f64 / held_out.len() as f64;
    tour.say("held-out digits read right", format!("{right} of {}: {percent:.1} %", held_out.len()))?;
    tour.check("the loss fell", last < first)?;
    tour.check("at least 95 % of the held-out digits are read right", percent >= 95.0)?;
    Ok(())
}

/// Random weights (He's scale), zero biases, no velocity.
fn start(random: &mut Random) -> Result<State<Array>> {
    let [pixels, units, digits] = SIZES;
    let mut layer = |inputs: usize, outputs: usize, scale: f64| -> Result<Layer<Array>> {
        let sd = scale * (2.0 / inputs as f64).sqrt();
        let w = (0..inputs * outputs).map(|_| (sd * random.normal()) as f32).collect();
        Ok(Layer { w: Array::from_vec(w, [inputs, outputs])?, b: Array::from_vec(vec![0.0f32; outputs], [outputs])? })
    };
    let mut net =
        |scale| -> Result<_> { Ok(Mlp { hidden: layer(pixels, units, scale)?, out: layer(units, digits, scale)? }) };
    Ok((net(1.0)?, net(0.0)?))
}

/// How many rows have their largest number at the digit.
fn count_right(logits: &Array, digits: &[i32]) -> usize {
    let classes = SIZES[2];
    let rows = logits.to_f64();
    let argmax = |row: &[f64]| (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    rows.chunks(classes).zip(digits).filter(|(row, digit)| argmax(row) == Some(**digit as usize)).count()
}
