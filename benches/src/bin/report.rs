//! Writes what `cargo bench` timed as tables and plots into `benches/report/`.

use clap::Parser;
use egrad::Calls;
use egrad_benches::estimates::{self, Medians};
use egrad_benches::machine::Machine;
use egrad_benches::orders::{BATCHES, Order, Subject, same_kernels, subjects};
use egrad_benches::plot::{self, Series, count, time};
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Writes what `cargo bench` timed as tables and plots.
#[derive(Parser)]
struct Args {
    /// Where criterion wrote to.
    #[arg(long, default_value_os_t = estimates::folder())]
    from: PathBuf,
    /// Where to write report.md and its plots.
    #[arg(long, default_value_os_t = Path::new(env!("CARGO_MANIFEST_DIR")).join("report"))]
    to: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match write(&args) {
        Ok(()) => {
            println!("wrote {}", args.to.join("report.md").display());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e}; has `cargo bench -p egrad-benches` run?");
            ExitCode::FAILURE
        }
    }
}

/// The ratio that `vmap(jit f)` in auto mode may have to `jit(vmap f)` at most, and the batch size
/// from which it must keep to that.
const MOST: f64 = 1.05;
const FROM: usize = 1_000;

const AUTO: Order = Order::VmapJit(Calls::Auto);

fn write(args: &Args) -> Result<(), Box<dyn Error>> {
    let machine = Machine::read(&args.from).map_err(|e| format!("{}: {e}", args.from.display()))?;
    let mut timed = Vec::new();
    for subject in subjects() {
        let medians = Medians::read(&args.from, &subject)?;
        if !medians.is_empty() {
            timed.push((subject, medians));
        }
    }
    std::fs::create_dir_all(&args.to)?;
    for (subject, medians) in &timed {
        std::fs::write(args.to.join(picture(subject)), times(subject, medians)?)?;
    }
    std::fs::write(args.to.join("ratios.svg"), ratios(&timed)?)?;
    std::fs::write(args.to.join("report.md"), text(&machine, &timed)?)?;
    Ok(())
}

fn picture(subject: &Subject) -> String {
    format!("{}.svg", subject.name)
}

fn times(subject: &Subject, medians: &Medians) -> Result<String, Box<dyn Error>> {
    let series = |order: Order| Series { name: order.title(), points: medians.series(order) };
    let all: Vec<Series> = Order::all().into_iter().map(series).filter(|s| !s.points.is_empty()).collect();
    plot::times(&format!("{}: {}", subject.name, subject.what), &all)
}

fn ratios(timed: &[(Subject, Medians)]) -> Result<String, Box<dyn Error>> {
    let series = |(subject, medians): &(Subject, Medians)| Series {
        name: subject.name.to_owned(),
        points: medians.ratios(AUTO, Order::JitVmap).into_iter().map(|(n, r)| (n as f64, r)).collect(),
    };
    let all: Vec<Series> = timed.iter().map(series).filter(|s| !s.points.is_empty()).collect();
    plot::ratios(&format!("time of {} over that of {}", AUTO.title(), Order::JitVmap.title()), &all, &[1.0, MOST])
}

fn text(machine: &Machine, timed: &[(Subject, Medians)]) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    writeln!(out, "# What the order of `jit` and `vmap` costs\n")?;
    writeln!(out, "{}", machine.sentence())?;
    writeln!(
        out,
        "\nMedian times per call, by `cargo bench -p egrad-benches`; every order's results were compared with\n\
         those of `jit(vmap f)` first. A call on Vulkan counts until the device has computed its results, which stay\n\
         there, as the inputs do; tracing and compiling are over before. Left out is what takes too much memory, and calls that would take more than two\n\
         seconds by the batch before. Written by `cargo run --release -p egrad-benches --bin report`.\n"
    )?;
    writeln!(out, "## vmap(jit f) beside jit(vmap f)\n")?;
    writeln!(out, "![ratios over batch size](ratios.svg)\n")?;
    ratio_table(&mut out, timed)?;
    gradients(&mut out, timed)?;
    for (subject, medians) in timed {
        writeln!(
            out,
            "\n## {}\n\n{}.\n\n![times over batch size]({})\n",
            subject.name,
            subject.what,
            picture(subject)
        )?;
        let orders: Vec<Order> = Order::all().into_iter().filter(|o| !medians.series(*o).is_empty()).collect();
        writeln!(out, "| batch | {} |", orders.iter().map(|o| o.title()).collect::<Vec<_>>().join(" | "))?;
        writeln!(out, "|--:|{}", "--:|".repeat(orders.len()))?;
        for batch in medians.batches() {
            let cells = orders.iter().map(|o| medians.get(*o, batch).map_or(String::new(), time));
            writeln!(out, "| {} | {} |", count(batch as f64), cells.collect::<Vec<_>>().join(" | "))?;
        }
    }
    Ok(out)
}

/// The ratios of every function, and which are too large.
fn ratio_table(out: &mut String, timed: &[(Subject, Medians)]) -> Result<(), Box<dyn Error>> {
    let batches: Vec<usize> =
        BATCHES.into_iter().filter(|n| timed.iter().any(|(_, m)| m.batches().contains(n))).collect();
    writeln!(
        out,
        "Time of {} over that of {}; in bold above {MOST} at batches of {} and more. Where both are the\n\
         same kernels, marked with =, the ratio is 1 and what is measured besides is the machine's noise.\n",
        AUTO.title(),
        Order::JitVmap.title(),
        count(FROM as f64)
    )?;
    writeln!(out, "| function | {} |", batches.iter().map(|n| count(*n as f64)).collect::<Vec<_>>().join(" | "))?;
    writeln!(out, "|---|{}", "--:|".repeat(batches.len()))?;
    for (subject, medians) in timed {
        let ratios = medians.ratios(AUTO, Order::JitVmap);
        let mut cells = Vec::new();
        for n in &batches {
            cells.push(match ratios.iter().find(|(batch, _)| batch == n) {
                None => String::new(),
                Some((n, r)) if same_kernels(subject, *n, [AUTO, Order::JitVmap])? => format!("{r:.2} ="),
                Some((n, r)) if *n >= FROM && *r > MOST => format!("**{r:.2}**"),
                Some((_, r)) => format!("{r:.2}"),
            });
        }
        writeln!(out, "| {} | {} |", subject.name, cells.join(" | "))?;
    }
    Ok(())
}

/// The gradient of the mean beside the gradient of each example.
fn gradients(out: &mut String, timed: &[(Subject, Medians)]) -> Result<(), Box<dyn Error>> {
    writeln!(out, "\n## jit(grad(mean loss)) beside jit(vmap(grad))")?;
    let of = |name: &str| timed.iter().find(|(subject, _)| subject.name == name).map(|(_, medians)| medians);
    for (mean, each) in [("mean_grad", "per_example_grad"), ("mlp_mean_grad", "mlp_per_example_grad")] {
        let (Some(a), Some(b)) = (of(mean), of(each)) else { continue };
        writeln!(out, "\n| batch | {mean} | {each} | ratio |\n|--:|--:|--:|--:|")?;
        for n in BATCHES {
            if let (Some(a), Some(b)) = (a.get(Order::JitVmap, n), b.get(Order::JitVmap, n)) {
                writeln!(out, "| {} | {} | {} | {:.2} |", count(n as f64), time(a), time(b), a / b)?;
            }
        }
    }
    Ok(())
}
