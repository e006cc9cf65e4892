"""The programs that JAX runs beside egrad.

Each entry of PROGRAMS builds a function and its arguments (numpy arrays). egrad's are
in `benches/src/programs/`, under the same names, with the same inputs.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from inputs import below, coins, normal, uniform

PROGRAMS = {}


def program(name):
    """Registers a builder of (function, arguments)."""

    def register(build):
        PROGRAMS[name] = build
        return build

    return register


# --- the tutorial's programs --------------------------------------------------


def predict(params, x):
    w, b = params
    return w * x + b


def squared_error(params, x, y):
    return (predict(params, x) - y) ** 2


def mean_loss(params, x, y):
    return jnp.mean(jax.vmap(squared_error, (None, 0, 0))(params, x, y))


LINE = (np.float32(1.5), np.float32(-0.25))

ORDERS = {
    "vmap": lambda f, axes: jax.vmap(f, axes),
    "jit_vmap": lambda f, axes: jax.jit(jax.vmap(f, axes)),
    "vmap_jit": lambda f, axes: jax.vmap(jax.jit(f), axes),
}

for _name, _order in ORDERS.items():
    program(f"seed_predict.{_name}")(
        lambda order=_order: (order(predict, (None, 0)), (LINE, normal(10_000, 1))))
for _label, _n in (("100k", 100_000), ("10m", 10_000_000)):
    for _name, _order in ORDERS.items():
        program(f"seed_per_example_grad.{_label}.{_name}")(
            lambda order=_order, n=_n: (order(jax.grad(squared_error), (None, 0, 0)),
                                        (LINE, normal(n, 1), normal(n, 2))))


@program("seed_mean_grad.100k")
def _():
    n = 100_000
    return jax.jit(jax.grad(mean_loss)), (LINE, normal(n, 1), normal(n, 2))


# --- a network ----------------------------------------------------------------

SIZES = (64, 128, 128, 10)


def mlp_params(sizes=SIZES):
    return [(normal((m, n), 300 + 2 * i, 1 / math.sqrt(m)), normal(n, 301 + 2 * i, 0.1))
            for i, (m, n) in enumerate(zip(sizes, sizes[1:]))]


def mlp_args(batch=256):
    return mlp_params(), normal((batch, SIZES[0]), 400), below(batch, 401, SIZES[-1])


def logits(params, x):
    for w, b in params[:-1]:
        x = jnp.tanh(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def xent(params, x, label):
    return -jnp.take(jax.nn.log_softmax(logits(params, x)), label, axis=-1)


def mlp_mean_loss(params, x, y):
    return jnp.mean(jax.vmap(xent, (None, 0, 0))(params, x, y))


def sgd_step(params, x, y):
    grads = jax.grad(mlp_mean_loss)(params, x, y)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)


def dp_sgd_step(params, x, y):
    def clipped(p, xi, yi):
        g = jax.grad(xent)(p, xi, yi)
        norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(g)))
        scale = 1.0 / jnp.maximum(norm, 1.0)
        return jax.tree.map(lambda leaf: leaf * scale, g)

    grads = jax.vmap(clipped, (None, 0, 0))(params, x, y)
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), grads)


program("mlp.per_example_grad.256")(
    lambda: (jax.jit(jax.vmap(jax.grad(xent), (None, 0, 0))), mlp_args()))
program("mlp.mean_grad.256")(lambda: (jax.jit(jax.grad(mlp_mean_loss)), mlp_args()))
program("mlp.sgd_step.256")(lambda: (jax.jit(sgd_step), mlp_args()))
program("dp_sgd_step.256")(lambda: (jax.jit(dp_sgd_step), mlp_args()))

# --- rows and activations -----------------------------------------------------

ROWS, COLUMNS = 4096, 1024


def matrix(seed):
    return normal((ROWS, COLUMNS), seed)


def layernorm(x, gamma, beta):
    d = x - jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.mean(d * d, axis=-1, keepdims=True)
    return d * (1.0 / jnp.sqrt(var + 1e-5)) * gamma + beta


def layernorm_args():
    return matrix(5), normal(COLUMNS, 6), normal(COLUMNS, 7)


def nll(x, labels):
    log_p = jax.nn.log_softmax(x, axis=-1)
    return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=1))


def gelu(x):
    return 0.5 * x * (1.0 + jnp.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def gelu_chain(x):
    y = x
    for _ in range(4):
        y = gelu(y) + 0.1 * x
    return y


@program("softmax.4096x1024")
def _():
    return jax.jit(lambda x: jax.nn.softmax(x, axis=-1)), (matrix(5),)


program("layernorm.4096x1024")(lambda: (jax.jit(layernorm), layernorm_args()))


@program("layernorm_grad.4096x1024")
def _():
    def f(x, gamma, beta, c):
        return jnp.sum(layernorm(x, gamma, beta) * c)

    return jax.jit(jax.grad(f, argnums=(0, 1, 2))), (*layernorm_args(), matrix(8))


program("log_softmax_nll_grad.4096x1024")(
    lambda: (jax.jit(jax.grad(nll)), (matrix(5), below(ROWS, 9, COLUMNS))))
program("gelu_chain.4m")(lambda: (jax.jit(gelu_chain), (normal(4 << 20, 10),)))
program("gelu_chain_grad.4m")(
    lambda: (jax.jit(jax.grad(lambda x: jnp.sum(gelu_chain(x)))), (normal(4 << 20, 10),)))

# --- logistic regression ------------------------------------------------------


def logistic_loss(w, x, y):
    z = x @ w
    return jnp.mean(jnp.logaddexp(0.0, z) - y * z)


def regression(rows, columns):
    return normal(columns, 1100, 0.1), normal((rows, columns), 1101), coins(rows, 1102)


program("logreg.grad.100kx64")(
    lambda: (jax.jit(jax.grad(logistic_loss)), regression(100_000, 64)))
program("logreg.hessian.1000x64")(
    lambda: (jax.jit(jax.jacfwd(jax.jacrev(logistic_loss))), regression(1000, 64)))

# --- option prices ------------------------------------------------------------


def black_scholes(spot, strike, t, rate, vol):
    cdf = lambda z: 0.5 * (1.0 + jax.scipy.special.erf(z * 0.7071067811865476))
    sd = vol * jnp.sqrt(t)
    d1 = (jnp.log(spot / strike) + (rate + 0.5 * vol * vol) * t) / sd
    d2 = d1 - sd
    return spot * cdf(d1) - strike * jnp.exp(-rate * t) * cdf(d2)


def options(n=1_000_000):
    ranges = ((80, 120), (80, 120), (0.1, 2.0), (0.0, 0.05), (0.1, 0.6))
    return tuple(uniform(n, 1200 + i, *r) for i, r in enumerate(ranges))


program("black_scholes.price.1m")(lambda: (jax.jit(jax.vmap(black_scholes)), options()))
program("black_scholes.greeks.1m")(
    lambda: (jax.jit(jax.vmap(jax.value_and_grad(black_scholes, argnums=(0, 1, 2, 3, 4)))),
             options()))
program("black_scholes.gamma.1m")(
    lambda: (jax.jit(jax.vmap(jax.grad(jax.grad(black_scholes)))), options()))

# --- pairs of points ----------------------------------------------------------


def distances(x):
    d = x[:, None, :] - x[None, :, :]
    return jnp.sqrt(jnp.sum(d * d, axis=-1) + 1e-6)


def forces(x, m):
    d = x[None, :, :] - x[:, None, :]
    r2 = jnp.sum(d * d, axis=-1) + 1e-2
    inverse = 1.0 / (r2 * jnp.sqrt(r2))
    return jnp.sum(d * (m[None, :] * inverse)[:, :, None], axis=1)


def energy(x, m):
    d = x[None, :, :] - x[:, None, :]
    r2 = jnp.sum(d * d, axis=-1) + 1e-2
    return -0.5 * jnp.sum(m[:, None] * m[None, :] / jnp.sqrt(r2))


def bodies(n=2048):
    return normal((n, 3), 13), uniform(n, 14, 0.5, 1.5)


program("pairwise.dist.2048")(lambda: (jax.jit(distances), bodies()[:1]))
program("nbody.forces.2048")(lambda: (jax.jit(forces), bodies()))
program("nbody.energy_grad.2048")(lambda: (jax.jit(jax.grad(energy)), bodies()))

# --- matrix products ----------------------------------------------------------


def product(a, b):
    return a @ b


def attention(q, k, v):
    s = jnp.einsum("bhtd,bhsd->bhts", q, k) / q.shape[-1] ** 0.5
    return jnp.einsum("bhts,bhsd->bhtd", jax.nn.softmax(s, axis=-1), v)


def heads(*seeds):
    return tuple(normal((8, 8, 128, 64), seed) for seed in seeds)


for _n in (512, 1024):
    program(f"matmul.{_n}")(
        lambda n=_n: (jax.jit(product), (normal((n, n), 15), normal((n, n), 16))))
program("matmul.batched_1024x32")(
    lambda: (jax.jit(product), (normal((1024, 32, 32), 17), normal((1024, 32, 32), 18))))
program("matvec.2048")(
    lambda: (jax.jit(product), (normal((2048, 2048), 15), normal(2048, 16))))
program("attention.fwd")(lambda: (jax.jit(attention), heads(19, 20, 21)))


@program("attention.grad")
def _():
    def f(q, k, v, c):
        return jnp.sum(attention(q, k, v) * c)

    return jax.jit(jax.grad(f, argnums=(0, 1, 2))), heads(19, 20, 21, 22)


# --- stencils and convolution -------------------------------------------------


def heat_step(u):
    p = jnp.pad(u, 1)
    around = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    return u + 0.1 * (around - 4.0 * u)


def heat10(u):
    for _ in range(10):
        u = heat_step(u)
    return u


def heat100(u):
    return jax.lax.fori_loop(0, 10, lambda i, v: heat10(v), u)


def conv(x, w):
    return jax.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def conv_args():
    return (normal((32, 28, 28, 16), 24), normal((3, 3, 16, 32), 25, 0.1),
            normal((32, 28, 28, 32), 26))


for _name, _f in (("1step", heat_step), ("10steps", heat10), ("100steps", heat100),
                  ("grad_10steps", jax.grad(lambda u: jnp.sum(heat10(u) ** 2)))):
    program(f"heat.{_name}.512")(lambda f=_f: (jax.jit(f), (normal((512, 512), 23),)))

program("conv2d.fwd")(lambda: (jax.jit(conv), conv_args()[:2]))


@program("conv2d.grad")
def _():
    f = jax.grad(lambda x, w, c: jnp.sum(conv(x, w) * c), argnums=(0, 1))
    return jax.jit(f), conv_args()


@program("conv2d.per_example_grad")
def _():
    x, w, c = conv_args()
    g = jax.grad(lambda w, x, c: jnp.sum(conv(x[None], w)[0] * c))
    return jax.jit(jax.vmap(g, (None, 0, 0))), (w, x, c)


# --- k-means ------------------------------------------------------------------

POINTS, D, K = 100_000, 16, 64


def clusters():
    return normal((POINTS, D), 27), normal((K, D), 28)


def nearest(x, c):
    return jnp.argmin(jnp.sum(c * c, axis=1) - 2.0 * (x @ c.T), axis=1)


def kmeans_step(x, c):
    label = nearest(x, c)
    total = jax.ops.segment_sum(x, label, num_segments=K)
    count = jax.ops.segment_sum(jnp.ones(POINTS), label, num_segments=K)
    return total / jnp.maximum(count, 1.0)[:, None]


@program("kmeans.assign_broadcast")
def _():
    f = lambda x, c: jnp.argmin(jnp.sum((x[:, None, :] - c[None]) ** 2, axis=-1), axis=1)
    return jax.jit(f), clusters()


program("kmeans.assign_matmul")(lambda: (jax.jit(nearest), clusters()))
program("kmeans.step")(lambda: (jax.jit(kmeans_step), clusters()))

# --- loops --------------------------------------------------------------------

T, H, B = 64, 128, 32


def recurrent_args(gates):
    return (normal((H, gates * H), 29, 0.05), normal((H, gates * H), 30, 0.05),
            normal(gates * H, 31, 0.1), normal((T, B, H), 32))


def rnn(w, u, b, xs):
    def cell(h, x):
        h = jnp.tanh(x @ w + h @ u + b)
        return h, h

    return jax.lax.scan(cell, jnp.zeros((B, H)), xs)[1]


def lstm(w, u, b, xs):
    def cell(carry, x):
        h, c = carry
        i, f, g, o = jnp.split(x @ w + h @ u + b, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((B, H))
    return jax.lax.scan(cell, (zero, zero), xs)[1]


for _name, _net, _gates in (("rnn", rnn, 1), ("lstm", lstm, 4)):
    program(f"scan.{_name}_fwd")(
        lambda net=_net, gates=_gates: (jax.jit(net), recurrent_args(gates)))
    program(f"scan.{_name}_grad")(
        lambda net=_net, gates=_gates: (
            jax.jit(jax.grad(lambda *a: jnp.mean(net(*a) ** 2), argnums=(0, 1, 2))),
            recurrent_args(gates)))


@program("scan.scalar_10000")
def _():
    step = lambda i, v: 0.999 * v + jnp.sin(v) * 1e-3
    return jax.jit(lambda x: jax.lax.fori_loop(0, 10_000, step, x)), (np.float32(1.0),)


# --- calls and compilation ----------------------------------------------------


def sinx(x):
    return jnp.sin(x) * x


def chain(n):
    def f(x):
        for _ in range(n // 4):
            x = jnp.sin(x * 1.01) + 0.1 * x
        return x

    return f


for _name, _f in (("jit", jax.jit(sinx)), ("eager", sinx),
                  ("jit_grad", jax.jit(jax.grad(sinx))), ("eager_grad", jax.grad(sinx))):
    program(f"tiny.sinx_{_name}")(lambda f=_f: (f, (np.float32(0.7),)))
program("tiny.chain100_jit")(lambda: (jax.jit(chain(100)), (normal(16, 33),)))
program("tiny.chain100_eager")(lambda: (chain(100), (normal(16, 33),)))
program("tiny.args100_jit")(
    lambda: (jax.jit(lambda *a: sum(a[1:], a[0])), tuple(np.float32(i) for i in range(100))))
program("compile.chain1000")(lambda: (jax.jit(chain(1000)), (normal(16, 33),)))


@program("compile.mlp32_grad")
def _():
    f = lambda params, x: jnp.mean(logits(params, x) ** 2)
    return jax.jit(jax.grad(f)), (mlp_params((32,) * 33), normal((16, 32), 45))


# --- single operations --------------------------------------------------------


@program("micro.scatter_add.1m")
def _():
    n, m = 1_000_000, 65536
    return jax.jit(lambda i, v: jnp.zeros(m).at[i].add(v)), (below(n, 34, m), normal(n, 35))


@program("micro.gather.1m")
def _():
    n, m = 1_000_000, 65536
    return jax.jit(lambda t, i: t[i]), (normal(m, 35), below(n, 34, m))


@program("micro.embedding_grad")
def _():
    f = jax.grad(lambda t, i, c: jnp.sum(t[i] * c))
    return jax.jit(f), (normal((32768, 64), 36), below(8192, 37, 32768), normal((8192, 64), 38))


program("micro.cumsum.4m")(lambda: (jax.jit(jnp.cumsum), (normal(4 << 20, 39),)))
program("micro.sort.1m")(lambda: (jax.jit(jnp.sort), (normal(1_000_000, 40),)))
for _name, _axis in (("all", None), ("axis0", 0), ("axis1", 1)):
    program(f"micro.sum_{_name}.4096x1024")(
        lambda axis=_axis: (jax.jit(lambda x: jnp.sum(x, axis=axis)), (matrix(41),)))
program("micro.argmax_rows.4096x1024")(
    lambda: (jax.jit(lambda x: jnp.argmax(x, axis=1)), (matrix(41),)))
program("micro.transpose.2048")(
    lambda: (jax.jit(lambda x: x.T + 1.0), (normal((2048, 2048), 42),)))


@program("micro.maxpool2x2_grad")
def _():
    def f(x, c):
        window = (1, 2, 2, 1)
        y = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        return jnp.sum(y * c)

    return jax.jit(jax.grad(f)), (normal((32, 28, 28, 32), 43), normal((32, 14, 14, 32), 44))
