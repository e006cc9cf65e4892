"""Times JAX on the first programs of egrad's tour: one JSON line per program and setting.

Each line comes from a process of its own. `first_call_us` is the first call of the
jitted function there (trace, compile and run; arrays made before it), `us_min` and
`us_median` are of later calls, each waited for. A sample is the mean over enough
calls to last 100 us.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PROGRAMS = ("per_example_grad.100k", "per_example_grad.10m", "sinx")

KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
ENVIRONMENTS = {
    "default": {},
    "sync": {},
    "keep": KEEP,  # glibc keeps freed memory: no page faults on the next call
    "keep+sync": KEEP,
    "no-ynn": {"XLA_FLAGS": "--xla_cpu_experimental_ynn_fusion_type="},
}


def apply(setting):
    """`sync` runs programs on the calling thread. JAX reads no environment for it."""
    import jax

    if setting.endswith("sync"):
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def build(name):
    """The jitted function and its arguments, on the device."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    if name == "sinx":
        return jax.jit(lambda x: jnp.sin(x) * x), (jnp.float32(0.7),)

    def squared_error(params, x, y):
        w, b = params
        return (w * x + b - y) ** 2

    n = {"100k": 100_000, "10m": 10_000_000}[name.split(".")[1]]
    rng = np.random.default_rng(0)
    x = rng.random(n, np.float32)
    y = 2.5 * x + 0.5 + 0.1 * rng.standard_normal(n, np.float32)
    params = (jnp.float32(2.0), jnp.float32(1.0))
    f = jax.jit(jax.vmap(jax.grad(squared_error), (None, 0, 0)))
    return f, jax.block_until_ready((params, jnp.asarray(x), jnp.asarray(y)))


def measure(name, setting, seconds):
    import jax

    apply(setting)
    f, args = build(name)

    def call(times):
        start = time.perf_counter()
        for _ in range(times):
            jax.block_until_ready(f(*args))
        return (time.perf_counter() - start) / times * 1e6

    first = call(1)
    once = min(call(1) for _ in range(5))
    repeat = max(1, round(100 / once))
    samples = []
    end = time.perf_counter() + seconds
    while len(samples) < 10 or time.perf_counter() < end:
        samples.append(call(repeat))
    return {
        "name": name,
        "setting": setting,
        "first_call_us": round(first, 1),
        "us_min": round(min(samples), 3),
        "us_median": round(statistics.median(samples), 3),
        "samples": len(samples),
        "jax": jax.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PROGRAMS, help="one program")
    parser.add_argument("--setting", choices=ENVIRONMENTS, help="one setting")
    parser.add_argument("--seconds", type=float, default=1.0, help="sampling time of each")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.only, args.setting, args.seconds)))
        return
    for name in [args.only] if args.only else PROGRAMS:
        for setting in [args.setting] if args.setting else ENVIRONMENTS:
            command = [sys.executable, __file__, "--here", "--only", name]
            command += ["--setting", setting, "--seconds", str(args.seconds)]
            subprocess.run(command, check=True, env=os.environ | ENVIRONMENTS[setting])


if __name__ == "__main__":
    main()
