"""NumPyro's NUTS, vectorized over rows and chains: ``python numpyro_script.py QUESTION.npz ANSWER.npz`` in its own environment.

The density is that of :class:`benchmarks.sampling.density.Density`, written again in JAX: every row and chain is a NUTS of its own
(step size, mass matrix, tree), all mapped into one compiled program. It is run twice; the second run is timed without compilation.
"""

import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import log_ndtr
from numpyro.infer.hmc import hmc


def potential(z, y, mask, net):
    """Return minus the log density of a row's latents, up to a constant."""
    hidden = z
    for i in range(net["layers"]):
        hidden = hidden @ net[f"weight{i}"].T + net[f"bias{i}"]
        if i + 1 < net["layers"]:
            hidden = jnp.maximum(hidden, 0)
    mean = z @ net["linear"].T + net["shift"] + hidden
    seen = -0.5 * ((y - mean) / net["scale"]) ** 2
    score = (net["slope"] * mean + net["intercept"]) / jnp.sqrt(1 + (net["slope"] * net["scale"]) ** 2)
    lost = jnp.where(net["modeled"], log_ndtr(score), 0.0)
    return 0.5 * jnp.sum(z**2) - jnp.sum(jnp.where(mask, seen, lost))


def chain(key, start, y, mask, net, warmup, draws, dense):
    """Return the draws (M, L) of one chain of one row, with its divergences and gradients."""
    init_kernel, sample_kernel = hmc(potential_fn=partial(potential, y=y, mask=mask, net=net), algo="NUTS")
    state = init_kernel(start, num_warmup=warmup, dense_mass=dense, target_accept_prob=0.8, rng_key=key)
    state = lax.fori_loop(0, warmup, lambda _, s: sample_kernel(s), state)

    def step(s, _):
        s = sample_kernel(s)
        return s, (s.z, s.diverging, s.num_steps)

    return lax.scan(step, state, None, length=draws)[1]


def main(question, answer):
    """Read density, rows and starts; sample; write."""
    with np.load(question) as asked:
        net = {name: jnp.asarray(asked[name]) for name in asked.files if name not in ("starts", "y", "mask", "layers", "settings")}
        net["layers"] = int(asked["layers"])
        starts, y, mask = (jnp.asarray(asked[name]) for name in ("starts", "y", "mask"))
        warmup, draws, dense, seed = (int(value) for value in asked["settings"])
    one = partial(chain, net=net, warmup=warmup, draws=draws, dense=bool(dense))
    every = jax.jit(jax.vmap(jax.vmap(one, (0, 0, 0, 0)), (0, 0, None, None)))
    seconds = []
    for run in range(2):
        keys = jax.random.split(jax.random.PRNGKey(seed + run), starts.shape[:2])
        begin, wall = time.process_time(), time.perf_counter()
        z, diverging, gradients = jax.block_until_ready(every(keys, starts, y, mask))
        seconds.append((time.process_time() - begin, time.perf_counter() - wall))
    np.savez(answer, z=np.asarray(z), diverging=np.asarray(diverging), gradients=np.asarray(gradients), seconds=np.asarray(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
