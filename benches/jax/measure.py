"""Times JAX on one program under one setting, in this process: a line of JSON.

    benches/jax/run measure.py PROGRAM [--setting SETTING] [--seconds S]

`first_call_us` is the first call (trace, compile and run; the arguments are on the device
before it), `us_min` and `us_median` are of later calls, each waited for. A sample is the
mean over enough calls to last 100 us, as for egrad.
"""

import argparse
import json
import os
import statistics
import sys
import time

KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}

# What each setting puts into the environment.
SETTINGS = {
    "default": {},
    "sync": {},
    "keep": KEEP,  # glibc keeps freed memory: no page faults in the next call
    "keep+sync": KEEP,
    "no-ynn": {"XLA_FLAGS": "--xla_cpu_experimental_ynn_fusion_type="},
}


def measure(name, setting, seconds):
    import jax

    if setting.endswith("sync"):
        # Programs run on the calling thread. No variable of the environment does that.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    from programs import PROGRAMS

    f, args = PROGRAMS[name]()
    args = jax.block_until_ready(jax.device_put(args))

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
    while len(samples) < 5 or time.perf_counter() < end:
        samples.append(call(repeat))
    return {
        "name": name,
        "setting": setting,
        "first_call_us": round(first, 1),
        "us_min": round(min(samples), 3),
        "us_median": round(statistics.median(samples), 3),
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--setting", choices=SETTINGS, default="default")
    parser.add_argument("--seconds", type=float, default=1.0, help="sampling time")
    args = parser.parse_args()
    missing = {k: v for k, v in SETTINGS[args.setting].items() if os.environ.get(k) != v}
    if missing:  # allocators and XLA read the environment as the process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | missing)
    print(json.dumps(measure(args.program, args.setting, args.seconds)))


if __name__ == "__main__":
    main()
