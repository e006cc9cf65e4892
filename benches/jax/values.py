"""Writes what `programs` checks egrad's results against.

    benches/jax/run values.py [--only GLOB]...     into benches/jax/values/

Elements and means are JAX's in double precision, of the same single-precision inputs;
tolerances are taken from JAX's results in single precision. `benches/src/values.rs`
describes the files. `programs.txt` gets the names.
"""

import argparse
import fnmatch
import json
from pathlib import Path

import jax
import numpy as np
from inputs import weights
from programs import PROGRAMS

HERE = Path(__file__).resolve().parent
SAMPLES = 12

# The least tolerance of some programs, relative to the root mean square of the result.
LEAST = {
    # Two centres may be as near as rounding to a point, which then counts for either: a
    # point moves the mean of its 1,500 or so by about 1/1500.
    "kmeans.step": 2e-3,
    # The terms nearly cancel: rounding is relative to them, not to their sum.
    "micro.sum_all.4096x1024": 2e-5,
    "micro.sum_axis0.4096x1024": 2e-5,
    "micro.sum_axis1.4096x1024": 2e-5,
}


def results(name, double):
    """The results as numpy arrays, in double precision if so asked."""
    with jax.enable_x64(double):
        f, args = PROGRAMS[name]()
        if double:
            wide = lambda x: np.asarray(x, np.float64) if np.asarray(x).dtype.kind == "f" else x
            args = jax.tree.map(wide, args)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(f(*args))]


def stored(name, single, double):
    """A result's record."""
    kind = {"f": "f32", "i": "i32"}[single.dtype.kind]
    aval = f"{kind}[{','.join(map(str, single.shape))}]"
    got, want = (x.astype(np.float64).ravel() for x in (single, double))
    n = len(want)
    at = sorted({0, n - 1} | set(np.random.default_rng(n).integers(0, n, SAMPLES - 2).tolist()))
    size = float(np.sqrt(np.mean(want**2)))
    least = LEAST.get(name, 4e-6) * size
    means = lambda x: (float(np.mean(x)), float(np.mean(x * weights(n))))
    off = max(abs(a - b) for a, b in zip(means(got), means(want)))
    if kind == "i32":
        # Near ties may fall either way: a few elements of the sum, and none of those stored.
        at = [i for i in at if got[i] == want[i]]
        tolerance, least_off = 0.5, 1e-4 * size
    else:
        tolerance, least_off = max(8 * float(np.max(np.abs(got - want))), least), least / 2
    return {
        "aval": aval,
        "at": at,
        "values": [float(want[i]) for i in at],
        "mean": means(want)[0],
        "weighted_mean": means(want)[1],
        "tolerance": float(f"{tolerance:.3g}"),
        "mean_tolerance": float(f"{max(8 * off, least_off):.3g}"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="GLOB")
    only = parser.parse_args().only or ["*"]
    for name in PROGRAMS:
        if any(fnmatch.fnmatch(name, pattern) for pattern in only):
            records = [stored(name, s, d)
                       for s, d in zip(results(name, False), results(name, True), strict=True)]
            lines = ",\n".join(json.dumps(r) for r in records)
            (HERE / "values").mkdir(exist_ok=True)
            (HERE / "values" / f"{name}.json").write_text(f"[\n{lines}\n]\n")
            print(name, flush=True)
    (HERE / "programs.txt").write_text("".join(f"{name}\n" for name in PROGRAMS))


if __name__ == "__main__":
    main()
