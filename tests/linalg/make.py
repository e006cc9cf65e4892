"""Values, gradients and second derivatives of linear algebra and Fourier transforms by JAX, in f64.

    JAX_PLATFORMS=cpu python make.py > values.json

A case is a function of matrices with several results y. Of L = sum over results of sum(y * c), where
the element i of c is cos(1 + i) in row-major order, `gradient` is the gradient by every argument and
`second` that of sum(gradient * t), where the element i of t is sin(1 + i). Results that are determined
up to a sign alone (eigenvectors, singular vectors) appear in functions that the sign drops out of.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)


def cosines(y):
    return jnp.cos(1.0 + jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)


def sines(x):
    return jnp.sin(1.0 + jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)


def turned(x):
    return jnp.swapaxes(x, -1, -2)


def eigh(x):
    w, v = jnp.linalg.eigh(x, symmetrize_input=True)
    return w, (v * jnp.exp(-w)[..., None, :]) @ turned(v)


def svd(x):
    u, s, vt = jnp.linalg.svd(x, full_matrices=False)
    return s, u @ vt


def lu(x):
    packed, _, _ = jax.lax.linalg.lu(x)
    return jnp.tril(packed, -1) + jnp.eye(x.shape[-1]), jnp.triu(packed)


def pair(z):
    return jnp.real(z), jnp.imag(z)


def triangular(lower, transpose, unit):
    return lambda a, b: (jax.lax.linalg.triangular_solve(
        a, b, left_side=True, lower=lower, transpose_a=transpose, unit_diagonal=unit),)


FUNCTIONS = {
    "cholesky": lambda x: (jnp.linalg.cholesky(x),),
    "solve": lambda a, b: (jnp.linalg.solve(a, b),),
    "inv": lambda x: (jnp.linalg.inv(x),),
    "det": lambda x: (jnp.linalg.det(x),),
    "slogdet": lambda x: tuple(jnp.linalg.slogdet(x)),
    "lu": lu,
    "qr": lambda x: tuple(jnp.linalg.qr(x)),
    "eigh": eigh,
    "svd": svd,
    "pinv": lambda x: (jnp.linalg.pinv(x),),
    "matrix_power": lambda x: (jnp.linalg.matrix_power(x, 3), jnp.linalg.matrix_power(x, -2)),
    "expm": lambda x: (jax.scipy.linalg.expm(x), jax.scipy.linalg.expm(9 * x)),
    "cond": lambda x: tuple(jnp.linalg.cond(x, k) for k in [2, "fro", 1, jnp.inf]),
    "vector_norms": lambda x: tuple(jnp.linalg.norm(x, k, axis=-1) for k in [jnp.inf, -jnp.inf, 0, 1, 2, 3, 0.5]),
    "trace": lambda x: (jnp.trace(x, axis1=-2, axis2=-1),),
    "norms": lambda x: tuple(jnp.linalg.norm(x, k, axis=(-2, -1)) for k in ["fro", "nuc", 2, 1, jnp.inf]),
    "fft": lambda x, y: pair(jnp.fft.fft(x + 1j * y)),
    "ifft": lambda x, y: pair(jnp.fft.ifft(x + 1j * y)),
    "rfft": lambda x: pair(jnp.fft.rfft(x)),
    "irfft4": lambda x, y: (jnp.fft.irfft(x + 1j * y, n=4),),
    "irfft5": lambda x, y: (jnp.fft.irfft(x + 1j * y, n=5),),
    "fft2": lambda x, y: pair(jnp.fft.fft2(x + 1j * y)),
    "ifft2": lambda x, y: pair(jnp.fft.ifft2(x + 1j * y)),
    **{f"triangular_solve_{l}{t}{u}": triangular(bool(l), bool(t), bool(u))
       for l in (0, 1) for t in (0, 1) for u in (0, 1)},
}


def numbers(seed, shape):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape)


def dominant(seed, shape):
    x = numbers(seed, shape)
    i = np.arange(min(shape[-2:]))
    x[..., i, i] += 2.0 + 1.5 * i
    return x


def definite(seed, shape):
    x = numbers(seed, shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


def cases():
    square = [(1, 1), (2, 2), (5, 5), (2, 3, 3)]
    tall = square + [(3, 2), (5, 1), (2, 4, 3)]
    wide = [(2, 3), (1, 4), (2, 3, 5)]
    for name in FUNCTIONS:
        if name == "cholesky":
            yield from ((name, [definite(i, s)]) for i, s in enumerate(square + [(17, 17)]))
        elif name in ("det", "slogdet", "inv", "matrix_power", "expm", "cond"):
            yield from ((name, [numbers(40 + i, s) + 0.2]) for i, s in enumerate(square + [(4, 4)]))
        elif name in ("eigh", "trace", "vector_norms"):
            yield from ((name, [numbers(60 + i, s)]) for i, s in enumerate(square))
        elif name == "lu":
            yield from ((name, [numbers(80 + i, s)]) for i, s in enumerate(square + [(4, 4)]))
        elif name == "qr":
            yield from ((name, [numbers(100 + i, s)]) for i, s in enumerate(tall))
        elif name in ("svd", "pinv", "norms"):
            yield from ((name, [numbers(120 + i, s)]) for i, s in enumerate(tall + wide))
        elif name == "solve":
            for i, (a, b) in enumerate([((1, 1), (1, 2)), ((3, 3), (3,)), ((5, 5), (5, 2)), ((2, 3, 3), (2, 3, 2))]):
                yield name, [dominant(140 + i, a)[..., ::-1, :].copy(), numbers(160 + i, b)]
        elif name.startswith("triangular"):
            for i, (a, b) in enumerate([((1, 1), (1, 2)), ((3, 3), (3, 4)), ((2, 2, 2), (2, 2, 3))]):
                yield name, [dominant(180 + i, a), numbers(200 + i, b)]
        elif name in ("fft2", "ifft2"):
            for i, s in enumerate([(2, 3), (2, 4, 5)]):
                yield name, [numbers(220 + i, s), numbers(240 + i, s)]
        elif name in ("irfft4", "irfft5"):
            for i, s in enumerate([(3,), (2, 2), (4,)]):
                yield name, [numbers(260 + i, s), numbers(280 + i, s)]
        elif name == "rfft":
            yield from ((name, [numbers(300 + i, s)]) for i, s in enumerate([(1,), (4,), (5,), (2, 17)]))
        else:
            for i, s in enumerate([(1,), (4,), (5,), (2, 17), (3, 12)]):
                yield name, [numbers(320 + i, s), numbers(340 + i, s)]


def listed(arrays):
    return [{"shape": list(x.shape), "data": [float(v) for v in np.asarray(x).ravel()]} for x in arrays]


def main():
    print("[")
    for number, (name, inputs) in enumerate(cases()):
        f = FUNCTIONS[name]
        inputs = [jnp.asarray(x) for x in inputs]
        argnums = tuple(range(len(inputs)))
        loss = lambda *x: sum(jnp.sum(y * cosines(y)) for y in f(*x))
        gradient = jax.grad(loss, argnums)
        along = lambda *x: sum(jnp.sum(g * sines(g)) for g in gradient(*x))
        every = jax.jit(lambda *x: (f(*x), gradient(*x), jax.grad(along, argnums)(*x)))
        results, first, second = every(*inputs)
        case = {
            "function": name,
            "inputs": listed(inputs),
            "results": listed(results),
            "gradient": listed(first),
            "second": listed(second),
        }
        print("," if number else "", json.dumps(case), sep="", flush=True)
    print("]")


main()
