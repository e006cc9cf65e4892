"""Writes table.json: what JAX makes of numbers of every element type. Made with jax 0.10.2 on its CPU
backend.

Each case is an operation, its operands and its result. 64-bit types need JAX's 64-bit mode; everything
else is computed without it, as that decides which type a sum of bytes has.
"""

import json
import os

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import lax

TYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i32": np.int32,
    "i64": np.int64,
    "u32": np.uint32,
    "u8": np.uint8,
    "bool": np.bool_,
}
NAMES = {np.dtype(t): name for name, t in TYPES.items()}
INTEGERS = ["i32", "i64", "u32", "u8"]
SHORT = ["f16", "bf16"]
WIDE = {"f64", "i64"}

FLOATS = [0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 2.9, 127.6, 255.0, 255.9, 256.0, -1.0, 300.7, -300.7, 2147483520.0]
FLOATS += [2147483648.0, -2147483648.0, 4294967040.0, 4294967296.0, -3e9, 9.3e18, -9.3e18, 1e30, -1e30]
FLOATS += [float("inf"), float("-inf"), float("nan")]
TINY = [6e-8, 1e-7, 3.1e-5, 6.1e-5, 65504.0, 65519.0, 65520.0, 1.00390625, 1.01171875, 1.00048828125, 257.0, 2049.0]
VALUES = {
    "f32": FLOATS + TINY,
    "f16": FLOATS + TINY,
    "bf16": FLOATS + TINY,
    "f64": FLOATS + TINY + [1.00390625 + 2.0**-40, 2147483647.5, -2147483648.5, 4294967295.5, 9007199254740993.0],
    "i32": [0, 1, -1, 2, -3, 7, 31, 32, 46341, 16777217, 2**31 - 1, -(2**31)],
    "i64": [0, 1, -1, 2, -3, 7, 63, 64, 2**31, 2**32 + 5, 2**53 + 1, 2**63 - 1, -(2**63)],
    "u32": [0, 1, 2, 3, 7, 31, 32, 65537, 16777217, 2**31, 2**32 - 1],
    "u8": [0, 1, 2, 3, 7, 8, 9, 31, 32, 100, 127, 128, 200, 255],
    "bool": [False, True],
}

UNARY = {"neg": lax.neg, "sign": lax.sign, "not": lax.bitwise_not, "abs": jnp.abs}
BINARY = {
    "add": lax.add,
    "sub": lax.sub,
    "mul": lax.mul,
    "div_trunc": lax.div,
    "rem": lax.rem,
    "floor_div": jnp.floor_divide,
    "max": lax.max,
    "min": lax.min,
    "and": lax.bitwise_and,
    "or": lax.bitwise_or,
    "xor": lax.bitwise_xor,
    "shift_left": lax.shift_left,
    "shift_right_logical": lax.shift_right_logical,
    "shift_right_arithmetic": lax.shift_right_arithmetic,
    ">>": jnp.right_shift,
    "eq": lax.eq,
    "ne": lax.ne,
    "lt": lax.lt,
    "le": lax.le,
    "gt": lax.gt,
    "ge": lax.ge,
}
# Of rows, along the last axis.
ROWS = {
    "sum": lambda x: jnp.sum(x, axis=-1),
    "prod": lambda x: jnp.prod(x, axis=-1),
    "max": lambda x: jnp.max(x, axis=-1),
    "min": lambda x: jnp.min(x, axis=-1),
    "mean": lambda x: jnp.mean(x, axis=-1),
    "any": lambda x: jnp.any(x, axis=-1),
    "all": lambda x: jnp.all(x, axis=-1),
    "argmax": lambda x: jnp.argmax(x, axis=-1),
    "argmin": lambda x: jnp.argmin(x, axis=-1),
    "cumsum": lambda x: jnp.cumsum(x, axis=-1),
    "cumprod": lambda x: jnp.cumprod(x, axis=-1),
    "cummax": lambda x: lax.cummax(x, axis=1),
    "sort": lambda x: jnp.sort(x, axis=-1),
    "argsort": lambda x: jnp.argsort(x, axis=-1),
}

# Of floats of 16 bits.
FUNCTIONS = {
    "neg": lax.neg,
    "sign": lax.sign,
    "abs": jnp.abs,
    "floor": jnp.floor,
    "round": jnp.round,
    "sqrt": jnp.sqrt,
    "exp": jnp.exp,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "expm1": jnp.expm1,
    "sin": jnp.sin,
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "erf": jax.scipy.special.erf,
}
OF_TWO = {name: f for name, f in BINARY.items() if name in ["add", "sub", "mul", "rem", "max", "min", "eq", "ne", "lt", "le", "gt", "ge"]}
OF_TWO |= {"div": lax.div, "pow": lax.pow, "atan2": lax.atan2}
# JAX rounds every step of cumulative sums.
SHORT_ROWS = {name: f for name, f in ROWS.items() if name not in ["cumsum", "cumprod"]}


def number(x):
    """JSON has no number for these, and no sign for a zero that readers keep."""
    if isinstance(x, float) and not np.isfinite(x):
        return "nan" if np.isnan(x) else ("inf" if x > 0 else "-inf")
    return x


def tensor(x):
    x = np.asarray(x)
    name = NAMES[x.dtype]
    data = x.astype(np.float32) if name in SHORT else x
    return {"dtype": name, "shape": list(x.shape), "data": [number(v) for v in data.flatten().tolist()]}


def case(op, f, *operands, **attributes):
    wide = any(NAMES[x.dtype] in WIDE for x in operands) or attributes.get("to") in WIDE
    with jax.enable_x64(wide):
        y = np.asarray(f(*[jnp.asarray(x) for x in operands]))
    if wide and op in ("argmax", "argmin", "argsort"):
        y = y.astype(np.int32)
    if wide and op == "mean":
        return None
    return {"op": op, **attributes, "operands": [tensor(x) for x in operands], "result": tensor(y)}


def cases():
    random = np.random.default_rng(1)
    for name in INTEGERS:
        dtype = TYPES[name]
        values = np.array(VALUES[name], dtype)
        x, y = np.repeat(values, len(values)), np.tile(values, len(values))
        for op, f in UNARY.items():
            yield case(op, f, values)
        for op, f in BINARY.items():
            yield case(op, f, x, y)
        # JAX gives 0 where y is 0.
        yield case("modulo", jnp.remainder, x[y != 0], y[y != 0])
        for n in [0, 1, 2, 3, 8]:
            yield case("powi", lambda x, n=n: lax.integer_pow(x, n), values, n=n)
        bits = np.iinfo(dtype)
        for n in [1, 7, 33]:
            rows = random.integers(bits.min, bits.max, (3, n), dtype, endpoint=True)
            rows[0] %= 5
            for op, f in ROWS.items():
                yield case(op, f, rows)
            others = random.integers(bits.min, bits.max, (n, 5), dtype, endpoint=True)
            yield case("matmul", jnp.matmul, rows, others)
        places = np.array([0, 3, 4, 5, 100, 1, 2] + ([-1, -5, -6] if bits.min < 0 else [int(bits.max)]), dtype)
        taken = random.integers(0, 100, (5, 2), np.int32)
        yield case("take", lambda x, i: jnp.take(x, i, axis=0, mode="fill", fill_value=-7), taken, places)
        updates = random.integers(0, 100, (len(places), 2), np.int32)
        yield case("scatter_add", lambda x, i, u: x.at[i].add(u), taken, places, updates)
        # Not more classes than a byte counts: JAX's count would wrap around.
        yield case("one_hot", lambda i: jax.nn.one_hot(i, 200, dtype=jnp.int32), places[:3])
        missing = jnp.take(jnp.asarray(random.integers(0, 9, 3, np.int32)), jnp.asarray([9]), mode="fill")
        assert missing[0] == -(2**31)
        short = random.integers(0, 9, 3, dtype)
        yield case("take_missing", lambda x, i: jnp.take(x, i, mode="fill"), short, np.array([0, 9, 2], np.int32))
        yield case("iota", lambda x: lax.iota(x.dtype, 300) + x, np.array(3, dtype))
    yield from short_cases(random)
    for a in TYPES:
        for b in TYPES:
            yield case("convert", lambda x, b=b: x.astype(TYPES[b]), np.array(VALUES[a], TYPES[a]), to=b)


def short_cases(random):
    for name in SHORT:
        dtype = TYPES[name]
        few = [0.0, -0.0, 1.0, -1.5, 2.9, 0.3333, 1e-6, -3e-8, 300.0, 60000.0, float("inf"), float("-inf"), float("nan")]
        values = np.array(few, dtype)
        x, y = np.repeat(values, len(values)), np.tile(values, len(values))
        for op, f in FUNCTIONS.items():
            yield case(op, f, values)
        for op, f in OF_TWO.items():
            yield case(op, f, x, y)
        # JAX rounds every product of higher powers.
        for n in [-1, 0, 1, 2]:
            yield case("powi", lambda x, n=n: lax.integer_pow(x, n), values, n=n)
        for n in [1, 7, 33]:
            rows = random.normal(0, 3, (3, n)).astype(dtype)
            rows[0] = np.round(rows[0].astype(np.float32))
            for op, f in SHORT_ROWS.items():
                yield case(op, f, rows)
            yield case("matmul", jnp.matmul, rows, random.normal(0, 1, (n, 5)).astype(dtype))
        taken = random.normal(0, 1, (5, 2)).astype(dtype)
        places = np.array([0, 3, 4, 5, 100, 1, 2, -1, -6], np.int32)
        yield case("take_missing", lambda x, i: jnp.take(x, i, axis=0, mode="fill"), taken, places)
        updates = random.integers(0, 4, (len(places), 2)).astype(dtype)
        yield case("scatter_add", lambda x, i, u: x.at[i].add(u), taken, places, updates)
        yield case("iota", lambda x: lax.iota(x.dtype, 300) + x, np.array(3, dtype))


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    with np.errstate(all="ignore"):
        lines = [json.dumps(c, separators=(",", ":")) for c in cases() if c]
    with open("table.json", "w") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
