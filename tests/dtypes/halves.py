"""Writes halves.json: derivatives of functions of 16-bit floats, and the training of a small network in
mixed precision. Made with jax 0.10.2 on its CPU backend.

A case is a function's name, its operands, directions, and what JAX makes of them: value, gradient by the
first operand, tangent, gradient of gradient times direction, and the values of a batch.
"""

import json
import os

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import lax

TYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}


def network(w, x, b):
    return jnp.sum(jnp.tanh(x @ w + b) ** 2)


def entropy(x, y):
    return -jnp.sum(jax.nn.log_softmax(x, axis=-1) * y)


def normed(x, g):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    deviation = jnp.sqrt(jnp.mean((x - mean) ** 2, axis=-1, keepdims=True) + 1e-3)
    return jnp.sum(jnp.sin((x - mean) / deviation * g))


def waves(x, y):
    return jnp.sum(jnp.sin(x) * jnp.exp(-x * x) + x / (1 + y * y))


def gathered(x, y):
    return jnp.sum(x[jnp.array([0, 2, 2, 1, 2, 0])] ** 2 * y)


def windows(x, k):
    y = lax.conv_general_dilated(x, k, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))
    return jnp.sum(jax.nn.silu(y))


FUNCTIONS = [
    (network, [(4, 5), (3, 4), (5,)]),
    (entropy, [(3, 7), (3, 7)]),
    (normed, [(2, 9), (9,)]),
    (waves, [(5,), (5,)]),
    (waves, [(), ()]),
    (waves, [(0,), (0,)]),
    (gathered, [(3, 3), (6, 3)]),
    (windows, [(2, 8, 3), (3, 3, 2)]),
]


def tensor(x):
    x = np.asarray(x)
    return {"shape": list(x.shape), "data": x.astype(np.float64).flatten().tolist()}


def derivatives():
    random = np.random.default_rng(7)
    for name, dtype in TYPES.items():
        for f, shapes in FUNCTIONS:
            operands = [random.normal(0, 0.7, s).astype(dtype) for s in shapes]
            direction = random.normal(0, 1, shapes[0]).astype(dtype)
            batch = random.normal(0, 0.7, (3,) + shapes[0]).astype(dtype)
            rest = operands[1:]
            of = lambda x: f(x, *rest)
            slope = lambda x: jnp.sum(jax.grad(of)(x) * direction)
            yield {
                "function": f.__name__,
                "dtype": name,
                "operands": [tensor(x) for x in operands],
                "direction": tensor(direction),
                "batch": tensor(batch),
                "value": tensor(jax.jit(of)(operands[0])),
                "gradient": tensor(jax.jit(jax.grad(of))(operands[0])),
                "tangent": tensor(jax.jit(lambda x: jax.jvp(of, (x,), (direction,))[1])(operands[0])),
                "second": tensor(jax.jit(jax.grad(slope))(operands[0])),
                "values": tensor(jax.jit(jax.vmap(of))(batch)),
                "gradients": tensor(jax.jit(jax.vmap(jax.grad(of)))(batch)),
            }


def loss(params, x, y):
    w, b, v = [p.astype(jnp.bfloat16) for p in params]
    hidden = jnp.tanh(x.astype(jnp.bfloat16) @ w + b)
    return jnp.mean(((hidden @ v).astype(jnp.float32) - y) ** 2)


def training():
    random = np.random.default_rng(3)
    params = [random.normal(0, 0.5, s).astype(np.float32) for s in [(4, 16), (16,), (16, 1)]]
    x = random.normal(0, 1, (32, 4)).astype(np.float32)
    y = np.sin(x[:, :1]) + 0.3 * x[:, 1:2]
    step = jax.jit(jax.value_and_grad(loss))
    start, losses, first = [tensor(p) for p in params], [], None
    for _ in range(30):
        value, gradient = step(params, x, y)
        first = first or [tensor(g) for g in gradient]
        losses.append(float(value))
        params = [p - 0.1 * g for p, g in zip(params, gradient)]
    return {"x": tensor(x), "y": tensor(y), "params": start, "losses": losses, "gradient": first}


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    with open("halves.json", "w") as file:
        json.dump({"derivatives": list(derivatives()), "training": training()}, file, separators=(",", ":"))
        file.write("\n")
