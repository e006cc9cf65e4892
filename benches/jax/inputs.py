"""The inputs of the programs, bit by bit those of `benches/src/data.rs`, which says what they are.

Run by itself it prints the numbers that the tests of data.rs expect.
"""

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)
BLOCK = 1 << 20  # elements made at a time: the words' intermediates stay in the cache


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def words(n, seed):
    """Blocks of the stream of that seed, n words in all."""
    key = mix(np.array([seed], np.uint64) + GAMMA)
    for start in range(0, n, BLOCK):
        i = np.arange(start + 1, min(start + BLOCK, n) + 1, dtype=np.uint64)
        yield mix(key + i * GAMMA)


def filled(shape, seed, f, dtype):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    n = int(np.prod(shape))
    out = np.empty(n, dtype)
    for k, word in enumerate(words(n, seed)):
        out[k * BLOCK :][: len(word)] = f(word)
    return out.reshape(shape)


def unit(word):
    return (word >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def standard(word):
    total = sum((word >> np.uint64(16 * field)) & np.uint64(0xFFFF) for field in range(4))
    fine = mix(word) >> np.uint64(58)
    units = (total * np.uint64(64) + fine).astype(np.int64) - (131070 * 64 + 32)
    return units.astype(np.float32) * np.float32(2**-22) * np.float32(1.7320508)


def uniform(shape, seed, low=0.0, high=1.0):
    low, high = np.float32(low), np.float32(high)
    return filled(shape, seed, lambda word: unit(word) * (high - low) + low, np.float32)


def normal(shape, seed, scale=1.0):
    return filled(shape, seed, lambda word: standard(word) * np.float32(scale), np.float32)


def below(shape, seed, n):
    def number(word):
        return ((word >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)

    return filled(shape, seed, number, np.int32)


def coins(shape, seed):
    return (uniform(shape, seed) < 0.5).astype(np.float32)


def weights(n):
    """What the weighted mean of `benches/src/values.rs` multiplies elements with."""
    return uniform(n, 0).astype(np.float64) - 0.5


if __name__ == "__main__":
    print("words", [hex(int(w)) for w in next(words(3, 7))])
    print("uniform", [hex(w) for w in uniform(3, 7).view(np.uint32)])
    print("normal", [hex(w) for w in normal(3, 7).view(np.uint32)])
    print("below", below(3, 7, 1000).tolist())
