"""Learning a prior from what was observed: expectation and maximization with draws (Rozet et al. 2024).

Of stamps y = a A x + n, with a known PSF and noise and a brightness a, the pictures x are drawn from their posteriors
under the prior so far (E), and a prior is learned of these draws (M); then again. Draws, and not means: means would
make galaxies ever more alike. The first prior is the Gaussian that the observations have most likely come from, found
by the same steps with posteriors that are known exactly.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.infer.diffusion.guidance import Problem, Rule
from deblend.infer.diffusion.linear import AbstractLinearMap, Blend, Data
from deblend.infer.diffusion.sampling import DiffusionSettings, every_problem
from deblend.priors.gaussian_prior import GaussianPrior
from deblend.priors.interface import AbstractPrior
from deblend.priors.model_file import write_bytes
from deblend.priors.stamps import HELD_OUT_SHARE, Stamps

GAUSSIAN_LAPS = 16
"""Of the first prior; each is a few dense solutions."""
NOISE_BINS = 4
"""Within which stamps are taken for equally noisy there."""
LEAST_SPREAD = 1e-3
"""Of a pixel of a Gaussian [peak]."""
RANK = 64
"""Modes of the Gaussian that stands for a learned prior's covariance."""
FAINTEST = 5.0
"""Signal-to-noise ratio below which a stamp tells nothing of a galaxy's shape."""
PIECE = 64
"""Stamps that are drawn between two looks at whether somebody wants an end."""


class Dimmed(AbstractLinearMap):
    """A linear map times a number."""

    whole: AbstractLinearMap
    scale: Float[Array, ""]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.whole.shape

    def __call__(self, x: Float[Array, "source y x"]) -> Data:
        return tuple(self.scale * part for part in self.whole(x))

    def transposed(self, u: Data) -> Float[Array, "source y x"]:
        return self.scale * self.whole.transposed(u)


@dataclass(frozen=True, eq=False)
class Observed:
    """Stamps of single galaxies in one band, as a telescope sees them; frames whose ends are joined."""

    images: Float[np.ndarray, "stamp y x"]
    kernel: Float[np.ndarray, "side side"]
    """From the pictures of the prior to the images, of sum 1 and odd side."""
    noise: float
    """Standard deviation of a pixel [unit of images]."""
    brightness: Float[np.ndarray, " stamp"]
    """Of a picture's brightest pixel, where that of the prior is 1 [unit of images]."""

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or len(self.images) < 2 or self.images.shape[1] != self.images.shape[2]:
            raise ValueError(f"Observed stamps are a cube (stamp, y, x), square, two or more; got {self.images.shape}.")
        side = self.kernel.shape[0]
        if self.kernel.shape != (side, side) or side % 2 == 0 or side > self.images.shape[1]:
            raise ValueError(f"The PSF needs an odd side, no wider than the stamps, got {self.kernel.shape}.")
        if not self.noise > 0:
            raise ValueError(f"The noise of a pixel must be positive, got {self.noise}.")

    @classmethod
    def of(
        cls, images: Float[np.ndarray, "stamp y x"], kernel: Float[np.ndarray, "side side"], noise: float
    ) -> Observed:
        """Return stamps with a first guess of how bright each is; those too faint to tell anything are left out.

        Raises ValueError where fewer than two are bright enough.
        """
        first = cls(images.astype(np.float32), kernel, noise, np.ones(len(images)))
        mean = np.clip(images.mean(axis=0), 0.0, None)
        norm = float(np.sum(mean**2))
        # how much of the mean stamp there is in each, told by its peak
        share = np.tensordot(images, mean, axes=2) / max(norm, 1e-30)
        bright = share * norm**0.5 / noise > FAINTEST
        if np.count_nonzero(bright) < 2:
            raise ValueError(
                f"{np.count_nonzero(bright)} of {len(images)} stamps are {FAINTEST:g} times brighter than their noise; "
                "give more or brighter ones, or check the noise."
            )
        return replace(first, images=first.images[bright], brightness=share[bright] * mean.max())

    @property
    def operator(self) -> Blend:
        """What is seen of a picture of brightness 1."""
        return Blend.of(np.ones((1, 1)), self.kernel[None], np.ones((1, *self.images.shape[1:]), np.float32))

    @property
    def data(self) -> Float[np.ndarray, "stamp 1 y x"]:
        """The images in units of the noise."""
        return (self.images[:, None] / self.noise).astype(np.float32)

    def seen(self, pictures: Float[np.ndarray, "n y x"]) -> Float[np.ndarray, "n y x"]:
        """Return what is seen of pictures, without noise and of brightness 1."""
        return np.asarray(_all_seen(self.operator, jnp.asarray(pictures, jnp.float32)))

    def brightened(self, pictures: Float[np.ndarray, "stamp y x"]) -> Observed:
        """Return the stamps as bright as their pictures say: least squares, never below a tenth of what it was."""
        seen = self.seen(pictures)
        found = np.sum(seen * self.images, axis=(1, 2)) / np.maximum(np.sum(seen**2, axis=(1, 2)), 1e-30)
        return replace(self, brightness=np.maximum(found, 0.1 * self.brightness))


def posterior_draws(
    observed: Observed,
    prior: AbstractPrior,
    reference: GaussianPrior,
    settings: DiffusionSettings,
    seed: int,
    going: Callable[[int], bool] = lambda _: True,
) -> Float[np.ndarray, "stamp y x"] | None:
    """Return one draw from the posterior of every stamp; None once `going`, told how many there are, says no."""
    scales = (observed.brightness / observed.noise).astype(np.float32)
    operator = Dimmed(observed.operator, jnp.float32(scales[0]))
    problem = Problem(prior, operator, (jnp.asarray(observed.data[0]),), reference)
    drawn: list[Float[np.ndarray, "piece y x"]] = []
    n = len(scales)
    for first in range(0, n, PIECE):
        # the last piece is filled up, so that nothing compiles for it
        place = np.minimum(np.arange(first, first + PIECE), n - 1)
        made = every_problem(problem, (observed.data[place],), settings, seed + 7919 * first, scales[place])
        drawn.append(made[: n - first, 0])
        if not going(min(first + PIECE, n)):
            return None
    return np.concatenate(drawn)


def gaussian_of(observed: Observed, count: int = GAUSSIAN_LAPS, rank: int | None = None) -> GaussianPrior:
    """Return the Gaussian of pictures that the images have most likely come from, after some exact rounds of EM.

    With a `rank` it has so many modes, and what these leave is scatter of each pixel.
    """
    shape = observed.images.shape[1:]
    n = shape[0] * shape[1]
    seen = np.asarray(observed.seen(np.eye(n).reshape(n, *shape)), np.float64).reshape(n, n).T
    scaled = (observed.images / observed.brightness[:, None, None]).reshape(-1, n).astype(np.float64)
    noise = observed.noise / observed.brightness
    order = np.array_split(np.argsort(noise), NOISE_BINS if np.ptp(noise) > 0 else 1)
    bins = [(scaled[rows], float(np.sqrt(np.mean(noise[rows] ** 2)))) for rows in order if len(rows)]
    mean = scaled.mean(axis=0)
    off = scaled - mean
    covariance = off.T @ off / len(off) + LEAST_SPREAD**2 * np.eye(n)
    for _ in range(count):
        mean, covariance = better(mean, covariance, seen, bins)
    values, axes = np.linalg.eigh(covariance)
    kept = np.flatnonzero(values > LEAST_SPREAD**2)[::-1][:rank]
    modes = (np.sqrt(values[kept] - LEAST_SPREAD**2) * axes[:, kept]).T
    left = np.maximum(np.diagonal(covariance) - np.sum(modes**2, axis=0), LEAST_SPREAD**2) if rank else LEAST_SPREAD**2
    spread = np.broadcast_to(np.sqrt(left), n)
    arrays = [part.reshape(-1, *shape).astype(np.float32) for part in (mean, modes, spread)]
    return GaussianPrior(arrays[0][0], arrays[1], arrays[2][0])


Bin = tuple[Float[np.ndarray, "stamp datum"], float]
"""Images of one brightness, and their noise."""


def better(
    mean: Float[np.ndarray, " pixel"],
    covariance: Float[np.ndarray, "pixel pixel"],
    seen: Float[np.ndarray, "datum pixel"],
    bins: list[Bin],
) -> tuple[Float[np.ndarray, " pixel"], Float[np.ndarray, "pixel pixel"]]:
    """Return the Gaussian of all posteriors together: the scatter of their means, and their own."""
    means, own, total = [], np.zeros_like(covariance), 0
    across = seen @ covariance
    for images, noise in bins:
        gain = np.linalg.solve(across @ seen.T + noise**2 * np.eye(len(seen)), across).T
        means.append(mean + (images - seen @ mean) @ gain.T)
        own += len(images) * (covariance - gain @ across)
        total += len(images)
    every = np.concatenate(means)
    middle = every.mean(axis=0)
    off = every - middle
    return middle, off.T @ off / total + 0.5 * (own + own.T) / total


def posterior_means(observed: Observed, prior: GaussianPrior) -> Float[np.ndarray, "stamp y x"]:
    """Return the mean of the posterior of every stamp under a Gaussian."""
    n = observed.images[0].size
    basis = np.eye(n).reshape(n, *observed.images.shape[1:])
    seen = np.asarray(observed.seen(basis), np.float64).reshape(n, n).T
    covariance, mean = prior.covariance(), np.asarray(prior.mean, np.float64).ravel()
    values, axes = np.linalg.eigh(seen @ covariance @ seen.T)
    # one decomposition for all noises
    along = (observed.images.reshape(len(observed.images), -1) / observed.brightness[:, None] - seen @ mean) @ axes
    along /= np.maximum(values, 0.0) + ((observed.noise / observed.brightness) ** 2)[:, None]
    found: Float[np.ndarray, "stamp y x"] = (mean + along @ axes.T @ seen @ covariance).reshape(observed.images.shape)
    return found


class Laps:
    """Where expectation and maximization stand: the prior so far, and draws under it that the next one learns from."""

    def __init__(self, observed: Observed, seed: int, first: GaussianPrior | None = None) -> None:
        """Begin with the Gaussian `first`, or with that which the stamps have most likely come from; the means of
        posteriors under it tell how bright each stamp is."""
        rough = gaussian_of(observed) if first is None else first
        self.observed = observed.brightened(normalized(posterior_means(observed, rough), keep_all=True))
        self.prior: AbstractPrior = gaussian_of(self.observed, rank=RANK) if first is None else first
        self._seed, self.number = seed, 1
        self._reference: GaussianPrior | None = None
        self.draws: Float[np.ndarray, "stamp y x"] | None = None
        """Of the present lap; None where they are still to be made."""

    def draw(self, going: Callable[[int], bool] = lambda _: True) -> Float[np.ndarray, "stamp y x"] | None:
        """Return a picture drawn of every stamp; None once `going`, told how many there are, says no."""
        reference = self._reference
        if reference is None:
            assert isinstance(self.prior, GaussianPrior)
            reference = self.prior
        self.draws = posterior_draws(self.observed, self.prior, reference, DRAWING, self._seed + self.number, going)
        return self.draws

    def go_on(self, prior: AbstractPrior) -> None:
        """Go to the next lap with what was learned of the draws."""
        assert self.draws is not None
        self._take(prior, self.draws)
        self.number, self.draws = self.number + 1, None

    def _take(self, prior: AbstractPrior, draws: Float[np.ndarray, "stamp y x"]) -> None:
        self.observed = self.observed.brightened(normalized(draws, keep_all=True))
        self._reference, self.prior = reference_of(normalized(draws)), prior

    def keep(self, path: Path, *, is_learned: bool = False) -> None:
        """Write the draws of this lap, and whether its model is learned of them: all that is needed beside the model of
        the last lap that was."""
        assert self.draws is not None
        data = io.BytesIO()
        brightness, first = self.observed.brightness, float(self.observed.images.sum(dtype=np.float64))
        np.savez(data, number=self.number, draws=self.draws, brightness=brightness, first=first, learned=is_learned)
        write_bytes(path, data.getvalue())

    def resume(self, path: Path, prior: Callable[[], AbstractPrior]) -> None:
        """Go on from what `keep` wrote; `prior` reads the last model that was learned. Without a file nothing is done.

        Raises ValueError where the file is of other stamps.
        """
        if not path.exists():
            return
        with np.load(path, allow_pickle=False) as kept:
            names = "number", "draws", "brightness", "first", "learned"
            number, draws, brightness, first, learned = (kept[name] for name in names)
        if draws.shape != self.observed.images.shape or float(first) != float(
            self.observed.images.sum(dtype=np.float64)
        ):
            raise ValueError(f"{path}: these draws are of other stamps; give the same ones, or begin anew.")
        self.number, self.draws = int(number), draws
        self.observed = replace(self.observed, brightness=brightness)
        if learned:
            self.go_on(prior())
        elif self.number > 1:
            self.prior = prior()


def observed_as_stamps(draws: Float[np.ndarray, "stamp y x"], about: str, seed: int) -> Stamps:
    """Return draws to learn from, a tenth of them held out."""
    order = np.random.default_rng(seed).permutation(len(draws))
    held_out = max(round(HELD_OUT_SHARE * len(draws)), 2)
    # the first row and column once more at the end: the middle pixel stays the middle in mirrors
    wide = np.pad(draws[order[held_out:]], ((0, 0), (0, 1), (0, 1)), mode="wrap")
    return Stamps(wide, draws[order[:held_out]], about)


def reference_of(draws: Float[np.ndarray, "stamp y x"]) -> GaussianPrior:
    """Return the Gaussian of draws that a prior was learned of: its covariance guides the next draws."""
    return GaussianPrior.fitted(draws, min(RANK, len(draws) - 1), LEAST_SPREAD)


def normalized(draws: Float[np.ndarray, "stamp y x"], *, keep_all: bool = False) -> Float[np.ndarray, "stamp y x"]:
    """Return pictures with their brightest pixel at 1; those without light are left out, or left as they are."""
    peak = draws.max(axis=(1, 2))
    if keep_all:
        peak = np.where(peak > 0.1, peak, 1.0)
    lit = peak > 0.1
    return np.asarray(draws[lit] / peak[lit, None, None], np.float32)


DRAWING = DiffusionSettings(Rule.JFPS, steps=32)
"""How posteriors are drawn."""


@eqx.filter_jit
def _all_seen(operator: Blend, pictures: Float[Array, "stamp y x"]) -> Float[Array, "stamp y x"]:
    return jax.lax.map(lambda x: operator(x[None])[0][0], pictures, batch_size=64)
