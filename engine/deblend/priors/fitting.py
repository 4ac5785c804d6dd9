"""A prior where pictures are other than it knows them: of another brightness, wider or narrower, or cut.

Each is a prior again, so that they can be put into one another. Densities pass through where there are any.
"""

from __future__ import annotations

from enum import Enum

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.priors.energy import AbstractEnergyPrior
from deblend.priors.interface import AbstractDensityPrior, AbstractPrior, require_density

PAD_ROUNDS = 8
"""How often what lies beyond a box is guessed anew."""


class Convention(Enum):
    """What is 1 of a picture: a prior of one convention fixes how brightness is shared with the spectrum."""

    PEAK = "peak"
    SUM = "sum"

    def scale_of(self, picture: Float[np.ndarray, "y x"]) -> float:
        """Return what a picture is to be divided by; raises ValueError where that is not positive."""
        scale = float(np.max(picture) if self is Convention.PEAK else np.sum(picture))
        if not scale > 0:
            raise ValueError(f"The {self.value} of a picture must be positive to be made 1, got {scale:.3g}.")
        return scale


class Scaled(AbstractPrior):
    """Pictures `scale` times as bright."""

    prior: AbstractPrior
    scale: float = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        return self.prior.shape

    @property
    def levels(self) -> tuple[float, float]:
        return self.scale * self.prior.levels[0], self.scale * self.prior.levels[1]

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        return self.scale * self.prior.denoise(x / self.scale, sigma / self.scale)


class ScaledDensity(Scaled, AbstractDensityPrior):
    """The same for a prior with a density, which is as much normalized as that one is."""

    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        density = require_density(self.prior, "A density of brighter pictures")
        return density.log_prob(x / self.scale) - x.size * jnp.log(self.scale)


class Tempered(AbstractPrior):
    """A density to the power of 1/T: above 1 it holds pictures less, below 1 more.

    The denoiser is D(x, σ / √T). Where noise is small its slope is the score over T, as it should be, and for a
    Gaussian, whose covariance becomes T C, it is exact at every noise level; dividing the score by T is not.
    """

    prior: AbstractPrior
    temperature: float = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        return self.prior.shape

    @property
    def levels(self) -> tuple[float, float]:
        root = self.temperature**0.5
        return root * self.prior.levels[0], root * self.prior.levels[1]

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        return self.prior.denoise(x, sigma / self.temperature**0.5)


class TemperedDensity(Tempered, AbstractDensityPrior):
    """The same for a prior with a density, which it then knows but for a factor."""

    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        return require_density(self.prior, "A tempered density").log_prob(x) / self.temperature


class Behind(AbstractPrior):
    """Pictures that have noise of their own: its variance adds to that of whatever they are seen through."""

    prior: AbstractPrior
    noise: float = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, int]:
        return self.prior.shape

    @property
    def levels(self) -> tuple[float, float]:
        return self.prior.levels

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        return x + sigma**2 * self.prior.score(x, jnp.sqrt(sigma**2 + self.noise**2))


class EnergyBehind(Behind, AbstractEnergyPrior):
    """The same for a prior that is an energy, which is known behind any noise."""

    def energy(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        assert isinstance(self.prior, AbstractEnergyPrior)
        return self.prior.energy(x, jnp.sqrt(sigma**2 + self.noise**2))


class Cut(AbstractPrior):
    """Pictures on a part of the stamps that a prior knows, middle on middle.

    Zeros beyond the box would tell the prior that light ends there. Instead what lies beyond is what the prior makes
    of it, given what is inside: x_out ← D_out(x), some rounds. Where that has settled no score acts beyond the box;
    for a Gaussian the score inside is then exactly that of the box alone, since a linear score may be averaged by
    taking it at the mean.
    """

    prior: AbstractPrior
    shape: tuple[int, int] = eqx.field(static=True)
    rounds: int = eqx.field(static=True, default=PAD_ROUNDS)

    @property
    def levels(self) -> tuple[float, float]:
        return self.prior.levels

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        corner = corner_of(self.prior.shape, self.shape)
        edges = [(c, n - c - m) for c, n, m in zip(corner, self.prior.shape, self.shape, strict=True)]
        inside = jnp.pad(jnp.ones(self.shape, bool), edges)
        own = jnp.pad(x, edges)
        # from beyond the box no prior knows better at first than to take noise away from nothing
        around = lax.fori_loop(
            0, self.rounds, lambda _, guess: jnp.where(inside, own, self.prior.denoise(guess, sigma)), own
        )
        return lax.dynamic_slice(self.prior.denoise(around, sigma), corner, self.shape)


class Tiled(AbstractPrior):
    """Pictures larger than the stamps that a prior knows, in tiles that overlap by half and fade into each other.

    The prior must be one of pieces (noise, textures, fields of galaxies): a prior of single, centered galaxies believes
    in one of them per tile.
    """

    prior: AbstractPrior
    shape: tuple[int, int] = eqx.field(static=True)

    @property
    def levels(self) -> tuple[float, float]:
        return self.prior.levels

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        height, width = self.prior.shape
        rows, columns = (tile_starts(n, m) for n, m in zip(self.shape, self.prior.shape, strict=True))
        corners = jnp.array([(row, column) for row in rows for column in columns])
        weight = jnp.asarray(np.outer(_fading(height), _fading(width)), x.dtype)

        def tile(carry: tuple[Array, Array], corner: Float[Array, "2"]) -> tuple[tuple[Array, Array], None]:
            place = corner[0], corner[1]
            made = self.prior.denoise(lax.dynamic_slice(x, place, self.prior.shape), sigma)
            added = []
            for total, part in zip(carry, (weight * made, weight), strict=True):
                before = lax.dynamic_slice(total, place, self.prior.shape)
                added.append(lax.dynamic_update_slice(total, before + part, place))
            return (added[0], added[1]), None

        (total, shares), _ = lax.scan(tile, (jnp.zeros_like(x), jnp.zeros_like(x)), corners)
        return total / shares


def scaled(prior: AbstractPrior, scale: float) -> AbstractPrior:
    """Return the prior of pictures `scale` times as bright, with a density if it had one."""
    if not scale > 0:
        raise ValueError(f"The scale of pictures must be positive, got {scale}.")
    return (ScaledDensity if isinstance(prior, AbstractDensityPrior) else Scaled)(prior, float(scale))


def tempered(prior: AbstractPrior, temperature: float) -> AbstractPrior:
    """Return the prior to the power of one over a temperature, with a density if it had one."""
    if not temperature > 0:
        raise ValueError(f"A temperature must be positive, got {temperature}.")
    return (TemperedDensity if isinstance(prior, AbstractDensityPrior) else Tempered)(prior, float(temperature))


def behind(prior: AbstractPrior, noise: float) -> AbstractPrior:
    """Return the prior of its pictures with noise [unit of pictures], with a density if it is an energy.

    Of a learned energy little is known where noise is much less than what pictures scatter by: densities are to be
    taken behind some.
    """
    if not noise > 0:
        raise ValueError(f"The noise of pictures must be positive, got {noise}.")
    return (EnergyBehind if isinstance(prior, AbstractEnergyPrior) else Behind)(prior, float(noise))


def on_box(prior: AbstractPrior, shape: tuple[int, int]) -> AbstractPrior:
    """Return the prior of pictures of another shape (y, x): cut where smaller, tiled where larger."""
    smaller = tuple(n < m for n, m in zip(shape, prior.shape, strict=True))
    larger = tuple(n > m for n, m in zip(shape, prior.shape, strict=True))
    if min(shape) < 1:
        raise ValueError(f"A box must hold a pixel, got the shape {shape}.")
    if any(smaller):
        least = min(shape[0], prior.shape[0]), min(shape[1], prior.shape[1])
        prior = Cut(prior, least)
    return Tiled(prior, shape) if any(larger) else prior


def corner_of(wide: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the pixel (y, x) of a stamp on which a box begins whose middle, n // 2, is that of the stamp."""
    return wide[0] // 2 - box[0] // 2, wide[1] // 2 - box[1] // 2


def tile_starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin that overlap by about a half and cover a length [pix]."""
    n = max(int(np.ceil((length - tile) / max(tile // 2, 1))), 0) + 1
    return [round(k * (length - tile) / max(n - 1, 1)) for k in range(n)]


def _fading(n: int) -> Float[np.ndarray, " n"]:
    """Return Hann's window, positive everywhere."""
    result: Float[np.ndarray, " n"] = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    return result


__all__ = [
    "Behind",
    "Convention",
    "Cut",
    "Scaled",
    "Tempered",
    "Tiled",
    "behind",
    "corner_of",
    "on_box",
    "scaled",
    "tempered",
]
