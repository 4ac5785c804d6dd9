"""A network that takes a blend of two galaxies apart in one pass, for comparison: adversarial, in two branches.

In the spirit of Reiman & Göhre (2019): one image in, two galaxies out, with a trunk of residual blocks that parts into
two branches, and a second network that tells what comes out from true galaxies while the first one learns to mislead
it. Theirs blends by the brightest of each pixel and deeper networks; here blends are sums with noise, as telescopes
make them, and both networks are small. It is told no PSF: what it knows of one is what it has learned behind.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from learned_blends import BANDS, PSFS, TRAINING, generated, make
from safetensors.numpy import save

from deblend.priors.model_file import named_arrays, read_arrays, with_arrays, write_bytes
from deblend.priors.network import Convolution, Dense, folded, normalized, unfolded
from deblend.priors.optimizer import optimizer_of

WEIGHTS = Path(__file__).parent / "results" / "one_pass.safetensors"
WIDTH, N_TRUNK, N_BRANCH = 32, 4, 1
N_BLENDS, BATCH, STEPS = 3000, 32, 1200
RATE = 1e-3
ADVERSARIAL = 1e-3
"""Weight of misleading the other network, beside the error of pixels (Ledig et al. 2017, as there)."""
WELL_LIT = 10.0
"""Weight of an absolute error of light, next to one of pixels."""
SEED = 5_000_000
"""Blends of this seed are learned from, and in no table."""
FOLDED = 4 * len(BANDS)


class Residual(eqx.Module):
    """Two convolutions beside the identity."""

    first: Convolution
    second: Convolution

    def __init__(self, key: PRNGKeyArray) -> None:
        one, other = jax.random.split(key)
        self.first, self.second = Convolution(3, WIDTH, WIDTH, one), Convolution(3, WIDTH, WIDTH, other, scale=0.0)

    def __call__(self, x: Float[Array, "y x channel"]) -> Float[Array, "y x channel"]:
        return x + self.second(jax.nn.silu(normalized(self.first(jax.nn.silu(normalized(x))))))


class Parting(eqx.Module):
    """From an image, its brightest pixel at 1, to two galaxies."""

    enter: Convolution
    trunk: tuple[Residual, ...]
    branches: tuple[tuple[tuple[Residual, ...], Convolution], ...]

    def __init__(self, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 4)
        self.enter = Convolution(3, FOLDED, WIDTH, keys[0])
        self.trunk = tuple(Residual(k) for k in jax.random.split(keys[1], N_TRUNK))
        self.branches = tuple(
            (
                tuple(Residual(own) for own in jax.random.split(k, N_BRANCH)),
                Convolution(3, WIDTH, FOLDED, jax.random.fold_in(k, 9), scale=0.1),
            )
            for k in keys[2:]
        )

    def __call__(self, image: Float[Array, "band y x"]) -> Float[Array, "2 band y x"]:
        x = jnp.moveaxis(image, 0, -1)
        h = self.enter(folded(x))
        for block in self.trunk:
            h = block(h)
        return jnp.stack([self._galaxy(h, x, *branch) for branch in self.branches])

    @staticmethod
    def _galaxy(h: Array, x: Array, blocks: tuple[Residual, ...], leave: Convolution) -> Float[Array, "band y x"]:
        for block in blocks:
            h = block(h)
        told = unfolded(leave(jax.nn.silu(normalized(h))))
        # light is positive; far from any it is as good as none
        return jnp.moveaxis(jax.nn.softplus(8.0 * told - 4.0) / 8.0, -1, 0)


class Judge(eqx.Module):
    """Tells a true galaxy (above zero) from one of the other network."""

    layers: tuple[Convolution, ...]
    leave: Dense

    def __init__(self, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 3)
        self.layers = (Convolution(3, FOLDED, WIDTH, keys[0]), Convolution(3, 4 * WIDTH, WIDTH, keys[1]))
        self.leave = Dense(WIDTH, 1, keys[2])

    def __call__(self, galaxy: Float[Array, "band y x"]) -> Float[Array, ""]:
        h = jnp.moveaxis(galaxy, 0, -1)
        for layer in self.layers:
            h = jax.nn.leaky_relu(layer(folded(h)), 0.2)
        return self.leave(h.mean(axis=(0, 1)))[0]


Networks = tuple[Parting, Judge]


def new_networks(key: PRNGKeyArray) -> Networks:
    one, other = jax.random.split(key)
    return Parting(one), Judge(other)


def losses(
    networks: Networks, images: Float[Array, "blend band y x"], truth: Float[Array, "blend 2 band y x"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return what each of the two makes less; each is to be differentiated by its own network alone."""
    parting, judge = networks
    made = jax.vmap(parting)(images)
    of_pixels = jnp.mean(jnp.sum((made - truth) ** 2, axis=(1, 2, 3, 4)))
    light, true_light = made.sum(axis=(3, 4)), truth.sum(axis=(3, 4))
    off = jnp.mean(jnp.abs(light - true_light)) / jnp.mean(true_light)
    frozen = jax.lax.stop_gradient
    fooled = jax.nn.softplus(-_judged(jax.tree.map(frozen, judge), made)).mean()
    told_apart = (jax.nn.softplus(_judged(judge, frozen(made))) + jax.nn.softplus(-_judged(judge, truth))).mean()
    return of_pixels + WELL_LIT * off + ADVERSARIAL * fooled, told_apart


def _judged(judge: Judge, galaxies: Float[Array, "blend 2 band y x"]) -> Float[Array, "blend 2"]:
    return jax.vmap(jax.vmap(judge))(galaxies)


@eqx.filter_jit
def _learn(
    optimizer: optax.GradientTransformation, networks: Networks, state: Any, images: Array, truth: Array
) -> tuple[Networks, Any, Array]:
    def total(networks: Networks) -> tuple[Array, Array]:
        own, other = losses(networks, images, truth)
        return own + other, own

    (_, loss), slope = eqx.filter_value_and_grad(total, has_aux=True)(networks)
    update, state = optimizer.update(slope, state)
    return eqx.apply_updates(networks, update), state, loss


def lessons(n: int) -> tuple[Float[np.ndarray, "blend source y x"], Float[np.ndarray, "blend source band"]]:
    """Return pictures of flux 1 and fluxes of generated blends, behind the training PSF."""
    blends = [make(generated, SEED, k, PSFS[TRAINING]) for k in range(n)]
    return np.stack([b.templates[:, 0] for b in blends]).astype(np.float32), np.stack([b.flux for b in blends])


def learned(steps: int = STEPS, n_blends: int = N_BLENDS) -> tuple[Parting, float]:
    """Return the network that takes blends apart, and the CPU seconds that it has learned."""
    started = time.process_time()
    pictures, fluxes = lessons(n_blends)
    networks = new_networks(jax.random.key(1))
    optimizer = optimizer_of(RATE, steps)
    state = optimizer.init(eqx.filter(networks, eqx.is_array))
    for step in range(steps):
        images, truth = batch(pictures, fluxes, np.random.default_rng([SEED, step]))
        networks, state, loss = _learn(optimizer, networks, state, jnp.asarray(images), jnp.asarray(truth))
        if step % 100 == 99:
            print(
                f"one pass: step {step + 1}, loss {float(loss):.3f}, {time.process_time() - started:.0f} s", flush=True
            )
    return networks[0], time.process_time() - started


def batch(
    pictures: Float[np.ndarray, "blend source y x"],
    fluxes: Float[np.ndarray, "blend source band"],
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "some band y x"], Float[np.ndarray, "some source band y x"]]:
    """Return some blends with noise of 1, turned over the diagonal at random, in units of the brightest pixel."""
    chosen = rng.integers(len(pictures), size=BATCH)
    truth = fluxes[chosen][..., None, None] * pictures[chosen][:, :, None]
    across = rng.random(BATCH) < 0.5
    truth[across] = truth[across].swapaxes(-1, -2)
    images = truth.sum(axis=1) + rng.normal(size=truth[:, 0].shape)
    unit = images.max(axis=(1, 2, 3))
    scaled = images / unit[:, None, None, None], truth / unit[:, None, None, None, None]
    return scaled[0].astype(np.float32), scaled[1].astype(np.float32)


def kept() -> Parting:
    """Return the network that was learned before; raises ValueError where there is none."""
    parting, _ = new_networks(jax.random.key(1))
    _, arrays = read_arrays(WEIGHTS)
    result: Any = with_arrays(parting, arrays, WEIGHTS)
    return result


def keep(parting: Parting, seconds: float) -> None:
    WEIGHTS.parent.mkdir(exist_ok=True)
    write_bytes(WEIGHTS, save(named_arrays(parting), metadata={"cpu_seconds": f"{seconds:.0f}"}))


def parted(parting: Parting, images: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "2 band y x"]:
    """Return the two galaxies of an image, in its unit."""
    unit = float(images.max())
    return unit * np.asarray(_parted(parting, jnp.asarray(images / unit, jnp.float32)), float)


_parted = eqx.filter_jit(lambda parting, image: parting(image))
