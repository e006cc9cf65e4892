"""Writes reference.rs: correctly rounded values of the elementary functions in double precision.

    pip install mpmath; python3 reference.py > reference.rs
"""

import math
import random
import struct

from mpmath import mp, mpf

mp.prec = 2400  # enough to reduce the largest angles by multiples of pi


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def rounded(value):
    """The nearest double, ties to even, subnormal numbers and infinity included."""
    if value == 0:
        return 0.0
    sign, man, exp, bc = mpf(value)._mpf_
    unit = max(exp + bc - 53, -1074)
    scaled = mp.nint(mpf(value) * mpf(2) ** -unit)
    if abs(scaled) * mpf(2) ** unit >= mpf(2) ** 1024:
        return math.inf if scaled > 0 else -math.inf
    return math.ldexp(int(scaled), unit)


def spread(rng, count, low, high, signed=True):
    """Doubles whose exponents are spread evenly over the range."""
    for _ in range(count):
        x = math.ldexp(1 + rng.random(), rng.randint(low, high))
        yield -x if signed and rng.random() < 0.5 else x


def near(centre):
    """A double and its neighbours."""
    yield from (math.nextafter(centre, -math.inf), centre, math.nextafter(centre, math.inf))


def exponential_points(rng, count):
    yield from spread(rng, count, -60, -1)
    yield from (rng.uniform(-745, 709.7) for _ in range(count))
    yield from (rng.uniform(-2, 2) for _ in range(count))
    yield from (n * math.log(2) / 2 for n in (-2149, -2099, -2045, -3, -1, 1, 3, 5, 2047))
    yield from (5e-324, -5e-324, 709.782712893384, -708.3964185322641, -745.1332191019411, -745.1332191019412)


def logarithm_points(rng, count):
    yield from spread(rng, 2 * count, -1022, 1023, signed=False)
    yield from (1 + x for x in spread(rng, count, -50, -1))
    yield from near(1.0)
    yield from near(math.sqrt(0.5))
    yield from near(math.sqrt(2))
    yield from (5e-324, 1.5e-323, 1e-310, 2.2250738585072014e-308, 1.7976931348623157e308)


def log1p_points(rng, count):
    yield from spread(rng, count, -1022, -55)
    yield from spread(rng, count, -54, -1)
    yield from spread(rng, count, 0, 1023, signed=False)
    yield from near(math.sqrt(0.5) - 1)
    yield from near(math.sqrt(2) - 1)
    yield from (5e-324, -5e-324, -0.9999999999999999, 9007199254740992.0, 9007199254740993.0, 1.7976931348623157e308)


def angle_points(rng, count):
    yield from spread(rng, count, -60, 10)
    yield from spread(rng, count, 11, 40)
    yield from spread(rng, count, 41, 1023)
    for n in (1, 2, 3, 5, 22, 355, 10**6, 2**29 + 1, 2**33 + 1, 2**41 + 3, 3**60):
        yield rounded(n * mp.pi / 2)
    # The double nearest, in proportion, to a multiple of pi/2 (Kahan), and other large ones.
    yield from (math.ldexp(6381956970095103, 797), 1e22, math.ldexp(1, 1023), 1.7976931348623157e308)
    yield from (2.0**30, math.nextafter(2.0**30, math.inf), math.ldexp(1, 107), math.ldexp(1, 160), 5e-324)


def tanh_points(rng, count):
    yield from spread(rng, count, -1022, -28)
    yield from spread(rng, 2 * count, -27, 4)
    yield from (5e-324, 0.17, 0.34, 0.35, 0.52, 18.9, 19.0, 19.06154746539849, 19.1, 22.0, 700.0)


def logistic_points(rng, count):
    yield from spread(rng, count, -60, 5)
    yield from (rng.uniform(-745, 40) for _ in range(2 * count))
    yield from (5e-324, 36.7, 37.0, -708.4, -740.0, -745.1332191019411, -745.2)


def ratio_points(rng, count):
    yield from spread(rng, count, -40, -1)
    yield from (rng.uniform(-1, 1) for _ in range(count))
    yield from (1 - x for x in spread(rng, count, -53, -2, signed=False))
    yield from (5e-324, 1e-310, math.sqrt(0.5), -math.sqrt(0.5), 0.5, -0.9999999999999999, 0.9999999999999999)


def slope_points(rng, count):
    yield from spread(rng, count, -1022, -28)
    yield from spread(rng, 2 * count, -27, 4)
    yield from spread(rng, count, 5, 1023)
    yield from near(1.0)
    yield from (5e-324, 0.41421356237309503, 2.414213562373095, 1.7976931348623157e308)


def error_points(rng, count):
    yield from spread(rng, count, -60, -1)
    yield from (rng.uniform(-3, 27.2) for _ in range(2 * count))
    yield from (rng.uniform(0, 2) for _ in range(count))
    yield from near(0.5)
    yield from near(1.0)
    yield from (5e-324, 5.9, 26.5, 26.6, 27.2, -5.9, -30.0)


def point_points(rng, count):
    for _ in range(2 * count):
        yield next(spread(rng, 1, -1022, 1023)), next(spread(rng, 1, -1022, 1023))
    for _ in range(2 * count):
        x = next(spread(rng, 1, -1000, 1000))
        yield x * rng.uniform(-3, 3), x
    yield from ((5e-324, 5e-324), (-5e-324, 1e-323), (1.7976931348623157e308, -1.7976931348623157e308))


def pow_points(rng, count):
    for _ in range(2 * count):
        x = math.ldexp(1 + rng.random(), rng.randint(-1022, 1022))
        yield x, rng.uniform(-1070, 1023) / math.log2(x)
    for _ in range(count):
        x = 1 + math.ldexp(rng.random() - 0.5, -rng.randint(1, 40))
        yield x, rng.uniform(-1070, 1023) / math.log2(x)
    yield from ((2.0, 1023.0), (2.0, -1074.0), (2.0, -1075.0), (10.0, 308.0), (10.0, -323.0), (0.1, 2.0), (3.0, 40.0))
    yield from ((5e-324, 0.5), (5e-324, -0.5), (1.7976931348623157e308, 0.5), (1.7976931348623157e308, 1.0))
    yield from ((0.9999999999999999, 1e18), (1.0000000000000002, 1e18), (math.e, 1e-20), (1.5, 5e-324))


def erf_inv(y):
    """mpmath's own where it converges, with a step of Newton's for the last digits."""
    with mp.workprec(400):
        x = mp.erfinv(y)
        return x - (mp.erf(x) - y) * mp.sqrt(mp.pi) / 2 * mp.exp(x * x)


UNARY = {
    "exp": (exponential_points, mp.exp),
    "expm1": (exponential_points, mp.expm1),
    "log": (logarithm_points, mp.log),
    "log1p": (log1p_points, mp.log1p),
    "sin": (angle_points, mp.sin),
    "cos": (angle_points, mp.cos),
    "tanh": (tanh_points, mp.tanh),
    "logistic": (logistic_points, lambda x: 1 / (1 + mp.exp(-x))),
    "asin": (ratio_points, mp.asin),
    "acos": (ratio_points, mp.acos),
    "atan": (slope_points, mp.atan),
    "erf": (error_points, mp.erf),
    "erfc": (error_points, mp.erfc),
    "erf_inv": (ratio_points, erf_inv),
}


def rows(points, function, count, seed):
    """Rows (arguments, rounded value, exact value)."""
    for point in points(random.Random(seed), count):
        arguments = point if isinstance(point, tuple) else (point,)
        value = function(*map(mpf, arguments))
        yield arguments, rounded(value), value


def table(name, width, entries, per_line):
    kind = ", ".join(["u64"] * width)
    print(f"\npub(super) const {name.upper()}: &[({kind})] = &[")
    texts = ["(" + ", ".join(f"0x{bits(v):016x}" for v in entry) + ")," for entry in entries]
    for start in range(0, len(texts), per_line):
        print("    " + " ".join(texts[start : start + per_line]))
    print("];")


if __name__ == "__main__":
    print("//! Correctly rounded values in double precision, as bits: arguments, then the result.")
    print("//!")
    print("//! Written by reference.py with mpmath; do not edit.")
    for seed, (name, (points, function)) in enumerate(UNARY.items()):
        entries = [(x, y) for (x,), y, _ in rows(points, function, 20, seed)]
        table(name, 2, entries, 2)
    entries = [(x, y, z) for (x, y), z, _ in rows(pow_points, mp.power, 20, 100)]
    table("pow", 3, entries, 1)
    entries = [(y, x, z) for (y, x), z, _ in rows(point_points, mp.atan2, 20, 101)]
    table("atan2", 3, entries, 1)
