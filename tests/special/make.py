"""Special functions and distributions by JAX, in f64 and in f32: values, and gradients by every argument.

    JAX_PLATFORMS=cpu python make.py > values.json

With names of functions it makes those alone, and `python make.py halves > halves.json` what floats of 16 bits
are compared with: results in f64 of a few arguments that such a type holds, without those beyond its range.
Otherwise where JAX itself is off by more than the test allows there is
another formula or no case: its betaln by 1e-6 if an argument is a little above 8 (so its beta has no such case), its
trigamma at negative arguments, its gammainc where both arguments are large.

The last cases of a distribution are of parameters that it doesn't have, and of values that are none: for them
there is a value alone.

A case has the arguments (numbers that f32 holds) and for each width the value and the gradients of its
sum, null where JAX has none. In lists of numbers null is NaN and a string an infinity.
"""

import itertools
import json
import sys

import jax
import jax.numpy as jnp
import jax.scipy.special as sp
import jax.scipy.stats as st
import numpy as np

jax.config.update("jax_enable_x64", True)

INF = float("inf")
POSITIVE = [1e-30, 1e-4, 0.01, 0.3, 0.5, 0.999, 1.0, 1.5, 2.0, 2.5, 3.0, 7.9, 8.0, 8.1, 20.5, 170.0, 1e4, 1e8, 1e30]
REAL = [-1e30, -200.0, -38.0, -27.2, -26.0, -13.0, -12.0, -9.6, -6.0, -5.0, -2.5, -1.0, -0.5, -0.01, -1e-4, -1e-30,
        0.0, 1e-30, 1e-4, 0.01, 0.5, 1.0, 1.5, 2.5, 5.0, 6.1, 9.0, 10.1, 12.1, 15.0, 20.1, 26.5, 27.0, 60.0, 200.0,
        1e4, 1e30]
UNIT = [0.0, 1e-30, 1e-10, 1e-4, 0.01, 0.09, 0.1, 0.11, 0.25, 0.4, 0.5, 0.6, 0.75, 0.95, 0.99, 0.9999, 0.9999999, 1.0]
GAMMA = POSITIVE + [0.0, -0.5, -0.01, -1.5, -2.25, -7.75, -20.3, INF]

UNARY = {
    "gammaln": (sp.gammaln, GAMMA),
    "gamma": (sp.gamma, [x for x in GAMMA if abs(x) < 1e7]),
    "gammasgn": (sp.gammasgn, GAMMA + [-1.0, -2.0]),
    "digamma": (sp.digamma, [x for x in GAMMA if -2.0 < x < INF]),
    "factorial": (sp.factorial, [0.0, 1.0, 2.5, 5.0, 20.0, -1.5]),
    "multigammaln_3": (lambda a: sp.multigammaln(a, 3), [1.25, 2.0, 7.5, 100.0]),
    "polygamma_1": (lambda x: sp.polygamma(1, x), [x for x in POSITIVE if 1e-9 < x < 1e9]),
    "polygamma_2": (lambda x: sp.polygamma(2, x), [x for x in POSITIVE if 1e-3 < x < 1e9]),
    "polygamma_5": (lambda x: sp.polygamma(5, x), [x for x in POSITIVE if 1e-3 < x < 1e4]),
    "erf": (sp.erf, REAL),
    "erfc": (sp.erfc, REAL),
    "erfcx": (sp.erfcx, REAL + [INF]),
    "erfinv": (sp.erfinv, [-1.0, -0.999, -0.5, 0.0, 1e-20, 0.25, 0.9999]),
    "ndtr": (sp.ndtr, REAL + [INF, -INF]),
    "log_ndtr": (sp.log_ndtr, [x for x in REAL if abs(x) < 1e15] + [INF, -INF]),
    "ndtri": (sp.ndtri, UNIT + [-0.5, 1.5]),
    "entr": (sp.entr, [0.0, 1e-30, 0.3, 1.0, 2.0, 1e30, -1.0]),
    "logit": (sp.logit, UNIT),
    "expit": (sp.expit, REAL),
    "i0": (sp.i0, [x for x in REAL if abs(x) < 100.0]),
    "i0e": (sp.i0e, REAL),
    "i1": (sp.i1, [x for x in REAL if abs(x) < 100.0]),
    "i1e": (sp.i1e, REAL),
}


def grid(*lists):
    return list(itertools.product(*lists))


def betaln(a, b):
    most = jnp.maximum(a, b)
    return jnp.where((most >= 8.0) & (most < 1e3), sp.gammaln(a) + sp.gammaln(b) - sp.gammaln(a + b), sp.betaln(a, b))


SHAPES = [1e-4, 0.3, 1.0, 2.5, 30.0, 1e3, 1e5]
INCOMPLETE = [p for p in grid(SHAPES, [0.0, 1e-4, 0.5, 1.0, 2.0, 10.0, 31.0, 1000.0, 1e5]) if p != (1e5, 1e5)]
BINARY = {
    "betaln": (betaln, grid(POSITIVE[1:-1], POSITIVE[1:-1])),
    "beta": (sp.beta, grid([0.01, 0.5, 2.0], [0.3, 1.0, 7.5]) + [(-0.5, 0.75), (-1.5, 2.25)]),
    "xlogy": (sp.xlogy, grid([0.0, 1e-30, 0.5, -2.0], [1e-30, 0.5, 1.0, 1e30])),
    "xlog1py": (sp.xlog1py, grid([0.0, 1e-30, 0.5, -2.0], [-1.0, -0.5, 1e-30, 0.0, 2.0, 1e30])),
    "rel_entr": (sp.rel_entr, grid([0.0, 1e-30, 0.5, 3.0, -1.0], [0.0, 1e-30, 0.25, 2.0, -1.0])),
    "kl_div": (sp.kl_div, grid([0.0, 0.5, 3.0, -1.0], [0.0, 0.25, 2.0, -1.0])),
    "gammainc": (sp.gammainc, INCOMPLETE),
    "gammaincc": (sp.gammaincc, INCOMPLETE),
    "zeta": (sp.zeta, grid([1.0, 1.25, 2.0, 3.5, 9.0, 30.0], [0.25, 1.0, 2.5, 10.0, 100.0, 1e4])),
}
TERNARY = {
    "betainc": (sp.betainc, grid([1e-3, 0.5, 1.0, 2.5, 40.0, 3e3], [0.02, 0.5, 2.0, 30.0, 1e3],
                                 [0.0, 1e-20, 1e-4, 0.2, 0.5, 0.77, 0.999, 1.0])
                + [(0.0, 1.0, 0.5), (1.0, 0.0, 0.5), (INF, 1.0, 0.5), (1.0, INF, 0.5), (-1.0, 1.0, 0.5),
                   (1.0, 1.0, 1.5), (1.0, 1.0, -0.5)]),
}

LOCS = [(0.0, 1.0), (1.5, 0.25), (-2.0, 1e3)]
LINE = [-1e4, -40.0, -6.0, -1.0, -1e-3, 0.0, 0.3, 1.5, 2.0, 7.0, 50.0, 1e4]
QUANTILES = [0.001, 0.25, 0.5, 0.75, 0.999]


def placed(values, *params):
    """z as x = loc + z * scale, with the other parameters."""
    return [(np.float32(loc + z * scale), *p, loc, scale)
            for z, p, (loc, scale) in itertools.product(values, grid(*params), LOCS)]


def quantiles(*params):
    return [(q, *p, loc, scale) for q, p, (loc, scale) in itertools.product(QUANTILES, grid(*params), LOCS)]


HALF = [-3.0, -0.25, 1e-3, 0.5, 1.0, 3.0, 25.0, 1e3]
INNER = [-0.5, 1e-3, 0.25, 0.5, 0.9, 1.25]
COUNTS = [-1.0, 0.0, 1.0, 2.0, 3.0, 7.0, 40.0]
PROBABILITIES = [1e-4, 0.25, 0.5, 0.9]

DISTRIBUTIONS = {
    "norm": (placed([-200.0] + LINE[1:-1] + [200.0]), quantiles(), "logpdf pdf cdf logcdf sf logsf ppf isf"),
    "cauchy": (placed(LINE), quantiles(), "logpdf pdf cdf logcdf sf logsf ppf isf"),
    "laplace": (placed(LINE), None, "logpdf pdf cdf"),
    "logistic": (placed(LINE), quantiles(), "logpdf pdf cdf sf ppf isf"),
    "t": (placed(LINE, [0.5, 3.0, 40.0, 400.0]), None, "logpdf pdf"),
    "expon": (placed(HALF), quantiles(), "logpdf pdf cdf logcdf sf logsf ppf"),
    "gamma": (placed(HALF, [0.3, 1.0, 4.5, 100.0]), None, "logpdf pdf cdf logcdf sf logsf"),
    "chi2": (placed(HALF, [0.5, 2.0, 9.0]), None, "logpdf pdf cdf logcdf sf logsf"),
    "pareto": (placed([-2.0, 0.5, 1.25, 3.0, 100.0], [0.3, 1.0, 4.0]), quantiles([0.3, 4.0]),
               "logpdf pdf cdf logcdf sf logsf ppf"),
    "beta": (placed(INNER, [0.3, 1.0, 4.0], [0.5, 1.0, 6.0]), None, "logpdf pdf cdf logcdf sf logsf"),
    "uniform": (placed(INNER), quantiles(), "logpdf pdf cdf ppf"),
    "truncnorm": (placed([-3.0, -0.9, 0.25, 1.5, 6.5, 9.0], [-2.0, -0.5], [0.5, 2.0])
                  + placed([5.5, 6.5, 30.0], [5.0, 6.0], [7.0, 40.0])
                  + placed([-5.5, -6.5, -30.0], [-40.0, -7.0], [-6.0, -5.0]), None,
                  "logpdf pdf cdf logcdf sf logsf"),
    "poisson": (grid(COUNTS + [2.5], [0.1, 1.0, 35.0], [0.0, 1.0]), None, "logpmf pmf cdf"),
    "bernoulli": (grid([-1.0, 0.0, 1.0, 2.0], PROBABILITIES, [0.0, 1.0]), None, "logpmf pmf"),
    "binom": (grid(COUNTS, [3.0, 7.0, 100.0], PROBABILITIES, [0.0, 1.0]), None, "logpmf pmf"),
    "geom": (grid(COUNTS, PROBABILITIES, [0.0, 1.0]), None, "logpmf pmf"),
    "nbinom": (grid(COUNTS, [0.5, 3.0, 50.0], PROBABILITIES, [0.0, 1.0]), None, "logpmf pmf"),
}


def elementwise():
    for name, (f, points) in UNARY.items():
        yield name, f, [points]
    for name, (f, points) in (BINARY | TERNARY).items():
        yield name, f, list(zip(*points))
    for name, (points, of_quantiles, functions) in DISTRIBUTIONS.items():
        for function in functions.split():
            inverse = function in ("ppf", "isf")
            f = getattr(getattr(st, name), function)
            yield f"{name}::{function}", f, list(zip(*(of_quantiles if inverse else points)))
    bernoulli = grid([-1.0, 0.0, 0.5, 1.0, 2.0], PROBABILITIES)
    yield "bernoulli::cdf", st.bernoulli.cdf, list(zip(*bernoulli))
    yield "bernoulli::ppf", st.bernoulli.ppf, list(zip(*grid([-0.5, 0.0, 0.2, 0.8, 1.0], PROBABILITIES)))


NAN = float("nan")
ANY = [-1.5, 0.0, 0.5, 2.0, INF, -INF, NAN]
SCALES = [-1.0, 0.0, 2.0]
PARAMETERS = [-1.5, 0.0, 2.0, NAN]
CHANCES = [-0.5, 0.0, 0.25, 1.0, 1.5, NAN]
# For each distribution its parameters before loc and scale, or all.
OUTSIDE = {
    "norm": [], "cauchy": [], "laplace": [], "logistic": [], "expon": [], "uniform": [],
    "t": [PARAMETERS], "gamma": [PARAMETERS], "chi2": [PARAMETERS], "pareto": [PARAMETERS],
    "beta": [PARAMETERS, PARAMETERS], "truncnorm": [[-1.0, 1.0, INF], [-2.0, 0.5, 1.0, -INF]],
}
OUTSIDE_OF_COUNTS = {
    "poisson": [[-1.0, 0.0, INF, NAN], [0.0]],
    "bernoulli": [CHANCES, [0.0]],
    "binom": [[-1.0, 0.0, 2.0, NAN], CHANCES, [0.0]],
    "geom": [CHANCES, [0.0]],
    "nbinom": [[-1.0, 0.0, 2.0, NAN], CHANCES, [0.0]],
}


def outside():
    for name, parameters in OUTSIDE.items():
        for function in DISTRIBUTIONS[name][2].split():
            values = CHANCES if function in ("ppf", "isf") else ANY
            yield f"{name}::{function}", getattr(getattr(st, name), function), grid(values, *parameters, [0.5], SCALES)
    for name, parameters in OUTSIDE_OF_COUNTS.items():
        for function in DISTRIBUTIONS[name][2].split():
            yield f"{name}::{function}", getattr(getattr(st, name), function), grid([-1.0, 0.0, 0.5, 2.0, INF, NAN], *parameters)
    yield "bernoulli::cdf", st.bernoulli.cdf, grid([-1.0, 0.0, 2.0, NAN], CHANCES)
    yield "bernoulli::ppf", st.bernoulli.ppf, grid(CHANCES, CHANCES)


def vectors():
    draw = np.random.default_rng(7).uniform
    root = draw(-1.0, 1.0, (3, 3))
    cov = root @ root.T + np.eye(3)
    several = np.stack([cov, np.diag([1.0, 4.0, 0.25])])
    x, mean = draw(-2.0, 2.0, (2, 3)), draw(-1.0, 1.0, 3)
    for function in ("logpdf", "pdf"):
        f = getattr(st.multivariate_normal, function)
        name = f"multivariate_normal::{function}"
        yield name, f, [x[0], mean, cov]
        yield name, f, [x, mean, cov]
        yield name, f, [x, mean, several]
        yield name, f, [x, mean, np.array(0.5)]
        yield name, f, [x, np.array(0.5), np.array(2.0)]
        f = getattr(st.dirichlet, function)
        name = f"dirichlet::{function}"
        points = np.array([[0.5, 0.125, 0.25], [0.25, 0.75, 0.5], [0.25, 0.125, 0.5]])
        yield name, f, [points, np.array([0.5, 1.0, 3.0])]
        yield name, f, [points[:2, 0], np.array([0.5, 2.0, 3.0])]
    counts, p = np.array([2.0, 0.0, 5.0]), np.array([0.25, 0.125, 0.625])
    for function in ("logpmf", "pmf"):
        f = getattr(st.multinomial, function)
        g = lambda x, n, p, f=f: f(x.astype(int), n.astype(int), p)
        yield f"multinomial::{function}", g, [counts, np.array(7.0), p]
        yield f"multinomial::{function}", g, [counts, np.array(6.0), p]


def number(x):
    # Of f32 as few digits as tell it.
    x = float(str(x)) if isinstance(x, np.float32) else float(x)
    return None if x != x else x if abs(x) < INF else "inf" if x > 0 else "-inf"


def listed(x):
    return [number(v) for v in np.asarray(x).ravel()]


def evaluated(f, arguments, dtype, slopes=True):
    x = [jnp.asarray(a, dtype) for a in arguments]
    if not slopes:
        return {"value": listed(jax.jit(f)(*x)), "gradients": [None] * len(x)}
    gradients = lambda by: jax.grad(lambda *x: jnp.sum(f(*x)), by)
    every = tuple(range(len(x)))
    try:
        value, slopes = jax.jit(lambda *x: (f(*x), gradients(every)(*x)))(*x)
    except ValueError:
        # By the last argument alone.
        value, slope = jax.jit(lambda *x: (f(*x), gradients(every[-1])(*x)))(*x)
        slopes = [None] * (len(x) - 1) + [slope]
    return {"value": listed(value), "gradients": [None if g is None else listed(g) for g in slopes]}


def halves():
    """For each function and type a few of its points, rounded, whose results have no infinities or large numbers."""
    cases = [(name, f, points) for name, f, points in elementwise()] + list(vectors())
    for name, f, arguments in cases:
        for dtype, most in ((jnp.float16, 1e4), (jnp.bfloat16, 1e30)):
            rounded = [np.asarray(np.asarray(a, dtype), np.float64) for a in arguments]
            together = "multi" in name or "dirichlet" in name
            found = evaluated(f, rounded, jnp.float64)
            if not together:
                rows = range(len(rounded[0]))
                numbers = [listed(a) for a in rounded] + [found["value"]] + [g for g in found["gradients"] if g]
                fits = lambda x: isinstance(x, float) and (x == 0.0 or 1e-3 < abs(x) < most)
                # A logarithm of less is one of 0 in f32.
                there = lambda i: "log" not in name or found["value"][i] > -80.0
                rows = [i for i in rows if all(fits(column[i]) for column in numbers) and there(i)]
                rows = rows[:: max(1, len(rows) // 8)][:9]
                rounded = [a[rows] for a in rounded]
                found["value"] = [found["value"][i] for i in rows]
                found["gradients"] = [g and [g[i] for i in rows] for g in found["gradients"]]
            if found["value"]:
                arguments_of = [{"shape": list(a.shape), "data": listed(a)} for a in rounded]
                yield {"function": name, "dtype": {jnp.float16: "f16", jnp.bfloat16: "bf16"}[dtype],
                       "arguments": arguments_of, **found}


def main():
    if sys.argv[1:] == ["halves"]:
        print("[\n", ",\n".join(json.dumps(case) for case in halves()), "\n]", sep="")
        return
    print("[")
    outer = ((name, f, list(zip(*points)), False) for name, f, points in outside())
    cases = itertools.chain(((*case, True) for case in itertools.chain(elementwise(), vectors())), outer)
    cases = (case for case in cases if len(sys.argv) == 1 or case[0] in sys.argv[1:])
    for number_of, (name, f, arguments, slopes) in enumerate(cases):
        arguments = [np.asarray(np.asarray(a, np.float32), np.float64) for a in arguments]
        case = {
            "function": name,
            "arguments": [{"shape": list(a.shape), "data": listed(a)} for a in arguments],
            "f64": evaluated(f, arguments, jnp.float64, slopes),
            "f32": evaluated(f, arguments, jnp.float32, slopes),
        }
        print("," if number_of else "", json.dumps(case), sep="", flush=True)
    print("]")


main()
