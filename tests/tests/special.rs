//! Special functions and distributions against JAX (`tests/special/values.json`, made by `make.py` beside
//! it): values and gradients by every argument in both widths, of whole arrays and of batches.

use egrad::{Array, Device, Dtype, Options, Tensor, bf16, f16, grad, jit, special, stats, vmap};
use serde::Deserialize;
use std::path::Path;

/// A number as JSON has it: NaN is null, an infinity a string.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Finite(f64),
            Infinite(String),
        }
        Ok(Number(match Option::<Text>::deserialize(from)? {
            None => f64::NAN,
            Some(Text::Finite(x)) => x,
            Some(Text::Infinite(x)) => x.parse().map_err(serde::de::Error::custom)?,
        }))
    }
}

#[derive(Deserialize)]
struct Argument {
    shape: Vec<usize>,
    data: Vec<Number>,
}

#[derive(Deserialize)]
struct Results {
    value: Vec<Number>,
    gradients: Vec<Option<Vec<Number>>>,
}

#[derive(Deserialize)]
struct Case {
    function: String,
    arguments: Vec<Argument>,
    f64: Results,
    f32: Results,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("special/values.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns what the function of that name is of the arguments, if it is among these.
macro_rules! among {
    ($name:expr, $x:expr; $($module:ident $arguments:tt: $($function:ident)+;)+) => {
        $($(
            if $name == concat!(stringify!($module), "::", stringify!($function)) {
                return stats::$module::$function $arguments;
            }
        )+)+
    };
}

/// The functions that `make.py` has, by name.
fn function(name: &str, x: &[Tensor]) -> Tensor {
    among! { name, x;
        norm(x[0], x[1], x[2]): logpdf pdf cdf logcdf sf logsf ppf isf;
        cauchy(x[0], x[1], x[2]): logpdf pdf cdf logcdf sf logsf ppf isf;
        laplace(x[0], x[1], x[2]): logpdf pdf cdf;
        logistic(x[0], x[1], x[2]): logpdf pdf cdf sf ppf isf;
        t(x[0], x[1], x[2], x[3]): logpdf pdf;
        expon(x[0], x[1], x[2]): logpdf pdf cdf logcdf sf logsf ppf;
        gamma(x[0], x[1], x[2], x[3]): logpdf pdf cdf logcdf sf logsf;
        chi2(x[0], x[1], x[2], x[3]): logpdf pdf cdf logcdf sf logsf;
        pareto(x[0], x[1], x[2], x[3]): logpdf pdf cdf logcdf sf logsf ppf;
        beta(x[0], x[1], x[2], x[3], x[4]): logpdf pdf cdf logcdf sf logsf;
        uniform(x[0], x[1], x[2]): logpdf pdf cdf ppf;
        truncnorm(x[0], x[1], x[2], x[3], x[4]): logpdf pdf cdf logcdf sf logsf;
        poisson(x[0], x[1], x[2]): logpmf pmf cdf;
        bernoulli(x[0], x[1], x[2]): logpmf pmf;
        bernoulli(x[0], x[1]): cdf ppf;
        binom(x[0], x[1], x[2], x[3]): logpmf pmf;
        geom(x[0], x[1], x[2]): logpmf pmf;
        nbinom(x[0], x[1], x[2], x[3]): logpmf pmf;
        multivariate_normal(x[0], x[1], x[2]): logpdf pdf;
        dirichlet(x[0], x[1]): logpdf pdf;
        multinomial(x[0], x[1], x[2]): logpmf pmf;
    }
    match name {
        "gammaln" => special::gammaln(x[0]),
        "gamma" => special::gamma(x[0]),
        "gammasgn" => special::gammasgn(x[0]),
        "digamma" => special::digamma(x[0]),
        "factorial" => special::factorial(x[0]),
        "multigammaln_3" => special::multigammaln(x[0], 3),
        "polygamma_1" => special::polygamma(1, x[0]),
        "polygamma_2" => special::polygamma(2, x[0]),
        "polygamma_5" => special::polygamma(5, x[0]),
        "erf" => special::erf(x[0]),
        "erfc" => special::erfc(x[0]),
        "erfcx" => special::erfcx(x[0]),
        "erfinv" => special::erfinv(x[0]),
        "ndtr" => special::ndtr(x[0]),
        "log_ndtr" => special::log_ndtr(x[0]),
        "ndtri" => special::ndtri(x[0]),
        "entr" => special::entr(x[0]),
        "logit" => special::logit(x[0]),
        "expit" => special::expit(x[0]),
        "i0" => special::i0(x[0]),
        "i0e" => special::i0e(x[0]),
        "i1" => special::i1(x[0]),
        "i1e" => special::i1e(x[0]),
        "betaln" => special::betaln(x[0], x[1]),
        "beta" => special::beta(x[0], x[1]),
        "xlogy" => special::xlogy(x[0], x[1]),
        "xlog1py" => special::xlog1py(x[0], x[1]),
        "rel_entr" => special::rel_entr(x[0], x[1]),
        "kl_div" => special::kl_div(x[0], x[1]),
        "gammainc" => special::gammainc(x[0], x[1]),
        "gammaincc" => special::gammaincc(x[0], x[1]),
        "zeta" => special::zeta(x[0], x[1]),
        "betainc" => special::betainc(x[0], x[1], x[2]),
        other => panic!("no function {other}"),
    }
}

/// Not element by element.
fn of_vectors(name: &str) -> bool {
    ["multivariate_normal", "dirichlet", "multinomial"].iter().any(|module| name.starts_with(module))
}

/// What a run is compared by.
#[derive(Clone, Copy)]
struct Run {
    device: Device,
    dtype: Dtype,
    /// Of a batch of scalars instead of whole arrays.
    batch: bool,
}

fn check(run: Run, wanted: impl Fn(&str) -> bool) {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for case in cases().iter().filter(|case| wanted(&case.function)) {
        let name: &'static str = case.function.clone().leak();
        let array = |a: &Argument| {
            let data: Vec<f64> = a.data.iter().map(|x| x.0).collect();
            Array::from_f64(run.dtype, &data, a.shape.clone()).unwrap()
        };
        let arguments: Vec<Array> = case.arguments.iter().map(array).collect();
        let all = move |x: Vec<Tensor>| (function(name, &x), grad(move |x: Vec<Tensor>| function(name, &x).sum())(x));
        let options = Options { device: run.device, ..Options::default() };
        let results = if run.batch && !of_vectors(name) {
            jit(vmap(all, (0,))).options(options)(&arguments)
        } else {
            jit(all).options(options)(&arguments)
        };
        let (value, gradients) = match results {
            Ok(results) => results,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        compare(&mut wrong, run, case, "the value", &value, |of| Some(&of.value));
        for (i, gradient) in gradients.iter().enumerate() {
            // JAX takes no floats for counts, so it has no gradients by them.
            if name.starts_with("multinomial") && i < 2 {
                continue;
            }
            compare(&mut wrong, run, case, &format!("the gradient by {i}"), gradient, |of| of.gradients[i].as_ref());
        }
        checked += 1;
    }
    assert!(checked > 0);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Compares with JAX in f64, or else in the run's own width: only where JAX computes a NaN there may be one.
fn compare<'a>(
    wrong: &mut Vec<String>,
    run: Run,
    case: &'a Case,
    what: &str,
    got: &Array,
    of: impl Fn(&'a Results) -> Option<&'a Vec<Number>>,
) {
    let own = if run.dtype == Dtype::F64 { &case.f64 } else { &case.f32 };
    let (Some(exact), Some(own)) = (of(&case.f64), of(own)) else { return };
    let got = got.to_f64();
    assert_eq!(got.len(), exact.len(), "{}", case.function);
    let mut said = 0;
    for (i, got) in got.into_iter().enumerate() {
        let [exact, own] =
            [exact[i].0, own[i].0].map(|x| if run.dtype == Dtype::F32 { f64::from(x as f32) } else { x });
        let slope = what != "the value";
        let fits = |want: f64| close(got, want, tolerance(&case.function, run.dtype, slope));
        let at: Vec<f64> = case.arguments.iter().filter_map(|a| a.data.get(i)).map(|x| x.0).collect();
        let free_value = !slope && of_outside(case) && fits_better(&case.function, &at, got);
        // A derivative where JAX computes a NaN is nobody's.
        let free = slope && (own.is_nan() || exact.is_nan() || jax_is_wrong(&case.function, &at));
        if !(fits(exact) || fits(own) || free || free_value) && said < 4 {
            said += 1;
            wrong.push(format!("{} at {at:?}: {what} is {got:e}, not {exact:e} (or {own:e})", case.function));
        }
    }
}

fn close(got: f64, want: f64, (relative, absolute): (f64, f64)) -> bool {
    got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= absolute.max(relative * want.abs())
}

/// Whether JAX's derivative isn't the function's: that of I₀ at 0 is 1 there, and that of the normal
/// quantile 0 at the ends, where it is infinite.
fn jax_is_wrong(name: &str, at: &[f64]) -> bool {
    match name {
        "i0" => at[0] == 0.0,
        "ndtri" => at[0] == 0.0 || at[0] == 1.0,
        _ => false,
    }
}

/// Whether the case is one of parameters that the distribution doesn't have, and of values that are none.
fn of_outside(case: &Case) -> bool {
    case.f64.gradients.iter().all(Option::is_none)
}

/// Whether JAX's value there is an accident of its formula. It has numbers where a parameter makes no
/// distribution or the value is NaN, NaN where 0 · ∞ is 0, and numbers for what is infinite.
fn fits_better(name: &str, at: &[f64], got: f64) -> bool {
    let (x, scale) = (at[0], at[at.len() - 1]);
    let none = at.iter().any(|x| x.is_nan()) || at[1..].iter().any(|p| *p < 0.0) || scale == 0.0;
    match name {
        "cauchy::ppf" | "cauchy::isf" if x == 0.0 || x == 1.0 => got.is_infinite() || scale == 0.0,
        "cauchy::logcdf" | "cauchy::logsf" => got == f64::NEG_INFINITY,
        // Half a degree of freedom less one is 0.
        "chi2::logpdf" | "chi2::pdf" if at[1] == 2.0 => (x == at[2] && got.is_finite()) || x == f64::INFINITY,
        // There is no distribution of shape 0, and below it JAX doesn't look at the shape.
        name if name.starts_with("gamma::") || name.starts_with("pareto::") => got.is_nan() && (none || at[1] == 0.0),
        _ => got.is_nan() && none,
    }
}

/// How far values and slopes may be off, relatively and absolutely.
fn tolerance(name: &str, dtype: Dtype, slope: bool) -> (f64, f64) {
    match (dtype, slope) {
        // JAX's series begins too early at −20, and its slope is made of it.
        (Dtype::F64, false) if name == "log_ndtr" => (1e-11, 1e-14),
        (Dtype::F64, true) if name == "log_ndtr" => (1e-8, 1e-12),
        // Powers of large numbers.
        (Dtype::F64, _) if name == "betainc" => (1e-9, 1e-12),
        (_, false) if name == "betainc" => (2e-4, 1e-6),
        (_, true) if name == "betainc" => (1e-3, 1e-5),
        // A small difference of logarithms of 20.
        (Dtype::F32, false) if name == "truncnorm::logpdf" => (1e-5, 1e-5),
        (Dtype::F64, false) => (1e-12, 1e-14),
        (Dtype::F64, true) => (1e-10, 1e-12),
        (_, false) => (1e-5, 1e-6),
        (_, true) => (1e-4, 1e-5),
    }
}

#[derive(Deserialize)]
struct Half {
    function: String,
    dtype: String,
    arguments: Vec<Argument>,
    #[serde(flatten)]
    results: Results,
}

/// Floats of 16 bits are computed with in f32 and rounded once, the arguments of distributions too: results
/// are the nearest to those of f64, or the next.
fn check_halves(device: Device) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("special/halves.json");
    let cases: Vec<Half> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    // Factorisations are not on devices.
    let here = |case: &&Half| device != Device::Vulkan || !case.function.starts_with("multivariate_normal");
    for case in cases.iter().filter(here) {
        let name: &'static str = case.function.clone().leak();
        let dtype = if case.dtype == "f16" { Dtype::F16 } else { Dtype::Bf16 };
        let unit = if dtype == Dtype::F16 { f16::EPSILON.to_f64() } else { bf16::EPSILON.to_f64() };
        let array = |a: &Argument| {
            let data: Vec<f64> = a.data.iter().map(|x| x.0).collect();
            Array::from_f64(dtype, &data, a.shape.clone()).unwrap()
        };
        let arguments: Vec<Array> = case.arguments.iter().map(array).collect();
        let all = move |x: Vec<Tensor>| (function(name, &x), grad(move |x: Vec<Tensor>| function(name, &x).sum())(x));
        let (value, slopes) = jit(all).device(device)(&arguments).unwrap_or_else(|e| panic!("{name} of {dtype}: {e}"));
        assert_eq!(value.dtype(), dtype);
        let by_counts = |i: usize| name.starts_with("multinomial") && i < 2;
        let slopes = slopes.iter().zip(&case.results.gradients).enumerate().filter(|(i, _)| !by_counts(*i));
        let slopes = slopes.filter_map(|(i, (got, want))| Some((format!("the gradient by {i}"), got, want.as_ref()?)));
        for (what, got, want) in [("the value".to_owned(), &value, &case.results.value)].into_iter().chain(slopes) {
            for (i, (got, want)) in got.to_f64().into_iter().zip(want).enumerate() {
                let at: Vec<f64> = case.arguments.iter().filter_map(|a| a.data.get(i)).map(|x| x.0).collect();
                if what != "the value" && jax_is_wrong(name, &at) {
                    continue;
                }
                let near = (got - want.0).abs() <= 1.01 * unit * want.0.abs().max(1e-2);
                if !(near || want.0.is_nan() || got == want.0) {
                    wrong.push(format!("{name} of {dtype}: {what} is {got:e}, not {:e}", want.0));
                }
            }
        }
        checked += 1;
    }
    assert!(checked > 200, "{checked} cases");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn halves_on_the_interpreter() {
    check_halves(Device::Interpreter);
}

#[test]
fn halves_on_the_cpu() {
    check_halves(Device::Cpu);
}

fn is_special(name: &str) -> bool {
    !name.contains("::")
}

#[test]
fn functions_on_the_interpreter() {
    check(Run { device: Device::Interpreter, dtype: Dtype::F64, batch: false }, is_special);
}

#[test]
fn functions_of_batches_on_the_cpu() {
    check(Run { device: Device::Cpu, dtype: Dtype::F64, batch: true }, is_special);
}

#[test]
fn functions_in_single_precision() {
    check(Run { device: Device::Cpu, dtype: Dtype::F32, batch: false }, is_special);
}

#[test]
fn distributions_on_the_interpreter() {
    check(Run { device: Device::Interpreter, dtype: Dtype::F64, batch: false }, |name| !is_special(name));
}

#[test]
fn distributions_of_batches_on_the_cpu() {
    check(Run { device: Device::Cpu, dtype: Dtype::F64, batch: true }, |name| !is_special(name));
}

#[test]
fn distributions_in_single_precision() {
    check(Run { device: Device::Cpu, dtype: Dtype::F32, batch: false }, |name| !is_special(name));
}

/// On devices, in the width that all of them have.
#[test]
fn on_vulkan() {
    if std::env::var_os("EGRAD_REQUIRE_VULKAN").is_some() {
        // Factorisations are not on devices.
        let wanted = |name: &str| !name.starts_with("multivariate_normal");
        check(Run { device: Device::Vulkan, dtype: Dtype::F32, batch: false }, wanted);
        check_halves(Device::Vulkan);
    }
}

/// The slopes that JAX doesn't have, and some that it has, by differences.
#[test]
fn slopes_are_those_of_differences() {
    let h = 1e-5;
    type Function = fn(&[Tensor]) -> Tensor;
    let functions: [(Function, &[f64]); 9] = [
        (|x| special::betainc(x[0], x[1], x[2]), &[2.5, 0.75, 0.3]),
        (|x| special::betainc(x[0], x[1], x[2]), &[40.0, 20.5, 0.7]),
        (|x| special::betainc(x[0], x[1], x[2]), &[0.5, 3.0, 0.9]),
        (|x| special::zeta(x[0], x[1]), &[2.5, 0.75]),
        (|x| special::polygamma(3, x[0]), &[-2.3]),
        (|x| special::i1e(x[0]), &[-21.0]),
        (|x| special::erfcx(x[0]), &[13.0]),
        (|x| special::ndtri(x[0]), &[1e-3]),
        (|x| stats::beta::cdf(x[0], x[1], x[2], x[3], x[4]), &[1.2, 2.5, 0.75, 1.0, 0.5]),
    ];
    for (i, (f, at)) in functions.into_iter().enumerate() {
        let scalars = |at: &[f64]| at.iter().map(|x| Array::from(*x)).collect::<Vec<_>>();
        let value = jit(move |x: Vec<Tensor>| f(&x));
        let slopes = jit(grad(move |x: Vec<Tensor>| f(&x)))(&scalars(at)).unwrap();
        for (k, slope) in slopes.iter().enumerate() {
            let moved = |by: f64| {
                let mut at = at.to_vec();
                at[k] += by * at[k].abs();
                value(&scalars(&at)).unwrap().item::<f64>().unwrap()
            };
            let difference = (moved(h) - moved(-h)) / (2.0 * h * at[k].abs());
            let slope = slope.item::<f64>().unwrap();
            assert!((slope - difference).abs() < 1e-6 * difference.abs().max(1e-3), "{i} by {k}: {slope} {difference}");
        }
    }
}

/// What is known exactly, far outside of where series are usual.
#[test]
fn extreme_arguments() {
    let close = |got: f64, want: f64| assert!((got - want).abs() <= 1e-13 * want.abs(), "{got:e}, not {want:e}");
    let at = |f: fn(Tensor, Tensor) -> Tensor, x: f64, y: f64| {
        jit(f)(&Array::from(x), &Array::from(y)).unwrap().item::<f64>().unwrap()
    };
    // By SciPy 1.17, whose results agree with 30 digits' arithmetic.
    close(at(Tensor::igamma, 1e5, 1e5), 0.5004205221103651);
    close(at(|x, _| special::log_ndtr(x), -26.0, 0.0), -342.17850892992794);
    close(at(|a, b| special::betaln(a, b), 8.0, f64::from(1e-4f32)), 9.210081119089159);
    close(at(|a, x| special::betainc(a, 0.5, x), 3000.0, f64::from(0.999f32)), 0.014286232835750114);
    // ψ₁(x) + ψ₁(1 − x) = π²/sin² πx.
    let left = at(|x, y| special::polygamma(1, x) + special::polygamma(1, y), -20.25, 21.25);
    close(left, 2.0 * std::f64::consts::PI.powi(2));
}

/// Shapes broadcast, empty ones too, and whole numbers take the type of floats.
#[test]
fn shapes_and_types() {
    let f = jit(|k: Tensor, mu: Tensor| stats::poisson::logpmf(k, mu.expand_dims(1), 0));
    let (k, mu) = (Array::from_vec(vec![0i32, 1, 2], [3]).unwrap(), Array::from_vec(vec![1.0f64, 2.0], [2]).unwrap());
    let all = f(&k, &mu).unwrap();
    assert_eq!((all.shape().to_vec(), all.dtype()), (vec![2, 3], Dtype::F64));
    let want: Vec<f64> =
        [1.0f64, 2.0].iter().flat_map(|mu| [0.0, mu.ln(), 2.0 * mu.ln() - 2f64.ln()].map(|log| log - mu)).collect();
    assert!(all.to_f64().iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-14), "{all}");
    let empty = Array::from_vec(Vec::<f32>::new(), [0, 2]).unwrap();
    let f = jit(|x: Tensor| (special::betainc(x, 2, 0.5), stats::norm::logcdf(x, 0, 1), special::i0e(x)));
    let (a, b, c) = f(&empty).unwrap();
    assert!([a, b, c].iter().all(|y| y.shape()[..] == [0, 2] && y.dtype() == Dtype::F32));

    let refused = |f: fn(Tensor, Tensor) -> Tensor, x: Array, y: Array| {
        let error = jit(f)(&x, &y).unwrap_err();
        assert!(error.to_string().contains(file!()), "{error}");
        error.report().message.clone()
    };
    let (single, double, whole) = (Array::from(1.0f32), Array::from(1.0f64), Array::from(1i32));
    let betaln = |a: Tensor, b: Tensor| special::betaln(a, b);
    assert_eq!(
        refused(betaln, single, double.clone()),
        "`betaln` takes floats of one type, not f32[] and f64[]: convert one of them"
    );
    assert_eq!(refused(betaln, whole.clone(), whole), "`betaln` takes floats, not i32[]: convert it");
    let cdf = |x: Tensor, a: Tensor| stats::gamma::cdf(x, a, 0, 1);
    let bools = Array::from(true);
    assert_eq!(refused(cdf, double.clone(), bools), "`gamma::cdf` takes numbers, not bool[]");
    let normal = |x: Tensor, cov: Tensor| stats::multivariate_normal::logpdf(x, x, cov);
    let (x, cov) = (Array::from_vec(vec![0.0f64; 3], [3]).unwrap(), Array::from_vec(vec![0.0f64; 4], [2, 2]).unwrap());
    assert_eq!(
        refused(normal, x, cov),
        "`multivariate_normal::logpdf` of vectors of length 3, f64[3] − f64[3]: the covariance is f64[2,2]"
    );
}
