"""What is learned, and by which measure it is tried: everything that differs between kinds of priors in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.priors.energy import EnergyPrior, new_energy_prior
from deblend.priors.flow_training import with_flow
from deblend.priors.heads import Head
from deblend.priors.interface import AbstractNormalizedPrior, AbstractPrior
from deblend.priors.network import UNet
from deblend.priors.pixel_cnn import PixelCNN, PixelNetwork, bits_per_pixel, new_pixel_cnn
from deblend.priors.score import LEVELS, ScorePrior, new_score_prior
from deblend.priors.stamps import CENTER_JITTER, RADII_OF_SIDE, Stamps, every_way
from deblend.priors.vae import Layers, VaePrior, aligned, half_light_radii, new_vae

if TYPE_CHECKING:
    from deblend.priors.training import TrainingSettings, Trial

LEVEL_CENTER, LEVEL_SPREAD = 0.06, 1.4
"""Of the log-normal that noise levels of training are drawn from."""
TRIED_LEVELS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0)
"""Noise levels of held-out stamps [peak]."""
PIXEL_NOISE = 0.01
"""Of pictures that a density is learned of [peak]."""
MOST_FOR_GAUSSIAN = 2000
"""Stamps, before they are turned and mirrored, that the Gaussian of all of them is made of."""
AT_ONCE = 64
VAE_NOISE, VAE_RELATIVE_NOISE = 0.004, 0.05
"""Of a pixel that an autoencoder draws: of the peak, and of the pixel's own light. Wings are as faint as a thousandth
of the peak and hold a good part of the light, so that noise of the peak alone would leave them to chance."""
MOST_FOR_FLOW, MOST_FOR_TURN = 16_000, 500
"""Stamps, before they are turned and mirrored, that an autoencoder's flow is learned of, and that its numbers are
ordered by."""
STEPS_PER_FLOW_STEP = 8


class Measured(NamedTuple):
    """How a network does on held-out stamps."""

    loss: float
    relative_errors: tuple[float, ...] = ()
    """Root mean square error over σ, at each of `TRIED_LEVELS`, of a denoiser."""


class AbstractLesson(ABC):
    """One kind of prior to learn."""

    kind: ClassVar[str]
    """What a person calls it."""
    radii_of_side: ClassVar[tuple[float, float]] = RADII_OF_SIDE
    """Range of half-light radii, PSF included, of galaxies that are generated for it [side of a stamp]."""
    center_jitter: ClassVar[float] = CENTER_JITTER
    """How far off the middle these lie, per axis [pix]."""

    @abstractmethod
    def __init__(self, stamps: Stamps, settings: TrainingSettings) -> None: ...

    @abstractmethod
    def begun(self, key: PRNGKeyArray) -> AbstractPrior:
        """Return a prior that has learned nothing yet."""

    @staticmethod
    @abstractmethod
    def learning(prior: Any) -> Any:
        """Return the part of a prior that learns."""

    @staticmethod
    @abstractmethod
    def loss(prior: Any, batch: Float[Array, "stamp y x"], key: PRNGKeyArray) -> Float[Array, ""]:
        """Return what a step makes less."""

    @abstractmethod
    def tried(self, prior: Any, stamps: Float[np.ndarray, "stamp y x"], seed: int) -> Measured:
        """Return how a prior does on stamps that it has not learned from."""

    def finished(self, prior: Any) -> Any:
        """Return a prior that has learned all it will, as it is to be kept."""
        return prior

    def measured(self, prior: Any) -> dict[str, Any]:
        """Return what else of a finished prior belongs on its card."""
        return {}

    @abstractmethod
    def card(self, best: Trial | None, n_tried: int) -> dict[str, Any]:
        """Return what is to be known of this kind of prior, and of its best trial."""


class AbstractDenoiserLesson(AbstractLesson):
    """A denoiser, by the loss of EDM (Karras et al. 2022, eq. 8 with their table 1): λ(σ) |D(x + σ z, σ) - x|² with
    λ = (σ² + σ_d²) / (σ σ_d)² and ln σ normal, so that the network's own error counts alike at every noise level."""

    what: ClassVar[str]
    """In words, for the card; and by which network."""
    network: ClassVar[str]

    def __init__(self, stamps: Stamps, settings: TrainingSettings) -> None:
        self.side, self.widths = stamps.side, (settings.width, settings.deep_width)

    @staticmethod
    def learning(prior: ScorePrior | EnergyPrior) -> UNet:
        return prior.network

    @staticmethod
    def loss(prior: ScorePrior | EnergyPrior, batch: Float[Array, "stamp y x"], key: PRNGKeyArray) -> Float[Array, ""]:
        own, other = jax.random.split(key)
        low, high = prior.levels
        sigma = jnp.exp(jnp.log(LEVEL_CENTER) + LEVEL_SPREAD * jax.random.normal(own, (len(batch),)))
        sigma = jnp.clip(sigma, low, high)
        noisy = batch + sigma[:, None, None] * jax.random.normal(other, batch.shape, batch.dtype)
        off = jax.vmap(prior.denoise)(noisy, sigma) - batch
        return jnp.mean(_weight(sigma, prior.sigma_data)[:, None, None] * off**2)

    def tried(self, prior: ScorePrior | EnergyPrior, stamps: Float[np.ndarray, "stamp y x"], seed: int) -> Measured:
        clean, key = jnp.asarray(stamps), jax.random.fold_in(jax.random.key(seed), 2**31 - 2)
        errors = tuple(float(_relative_error(prior, clean, jnp.float32(sigma), key)) for sigma in TRIED_LEVELS)
        levels = np.array(TRIED_LEVELS)
        return Measured(float(np.mean(_weight(levels, prior.sigma_data) * (levels * np.array(errors)) ** 2)), errors)

    def card(self, best: Trial | None, n_tried: int) -> dict[str, Any]:
        errors = () if best is None else best.relative_errors
        told = {str(s): round(e, 4) for s, e in zip(TRIED_LEVELS, errors, strict=False)}
        return {
            "what": f"{self.what} of single galaxies: stamps with their brightest pixel at 1, linear in flux",
            "method": f"EDM (Karras et al. 2022): preconditioned {self.network}, loss of log-normal noise, averaged "
            "over steps",
            "held_out": None if best is None else {**_of(best, n_tried), "rms_error_over_sigma": told},
        }


class ScoreLesson(AbstractDenoiserLesson):
    """A denoiser that is what a network makes of a picture."""

    kind = "score"
    what = "denoiser"
    network = "U-Net"

    def begun(self, key: PRNGKeyArray) -> ScorePrior:
        return new_score_prior(key, self.side, *self.widths)


class EnergyLesson(AbstractDenoiserLesson):
    """A denoiser that is the gradient of an energy, which is a density but for a factor."""

    kind = "energy"
    what = f"energy, whose gradient is the denoiser and which is minus a log density behind noise of {LEVELS[0]:g},"
    network = "gradient of half the inner product of a picture and a U-Net of it (Guth et al. 2025)"

    def begun(self, key: PRNGKeyArray) -> EnergyPrior:
        return new_energy_prior(key, self.side, *self.widths)


class PixelLesson(AbstractLesson):
    """A density, by its own logarithm: bits per pixel, next to those of the Gaussian of all stamps."""

    kind = "pixelcnn"

    def __init__(self, stamps: Stamps, settings: TrainingSettings) -> None:
        side = stamps.side
        self._head, self._width, self._depth = Head(settings.head), settings.width, settings.depth
        # of all mirrors and transposes, as batches have them
        self._stamps = every_way(stamps.learn[:MOST_FOR_GAUSSIAN, :side, :side])
        self._gaussian_bits: float | None = None

    def begun(self, key: PRNGKeyArray) -> PixelCNN:
        return new_pixel_cnn(key, self._stamps, PIXEL_NOISE, self._head, self._width, self._depth)

    @staticmethod
    def learning(prior: PixelCNN) -> PixelNetwork:
        return prior.network

    @staticmethod
    def loss(prior: PixelCNN, batch: Float[Array, "stamp y x"], key: PRNGKeyArray) -> Float[Array, ""]:
        noisy = batch + prior.noise * jax.random.normal(key, batch.shape, batch.dtype)
        return -jnp.mean(jax.vmap(prior.log_prob)(noisy)) / (batch[0].size * jnp.log(2.0))

    def tried(self, prior: PixelCNN, stamps: Float[np.ndarray, "stamp y x"], seed: int) -> Measured:
        noisy = noisy_stamps(stamps, prior.noise, seed)
        n_pixels = noisy[0].size
        if self._gaussian_bits is None:
            self._gaussian_bits = bits_per_pixel(_log_probs(prior.gaussian, noisy), n_pixels)
        return Measured(bits_per_pixel(_log_probs(prior, noisy), n_pixels))

    def card(self, best: Trial | None, n_tried: int) -> dict[str, Any]:
        told: dict[str, Any] | None = None
        if best is not None and self._gaussian_bits is not None:
            told = {
                **_of(best, n_tried),
                "bits_per_pixel": round(best.loss, 4),
                "bits_per_pixel_of_its_gaussian": round(self._gaussian_bits, 4),
                "bins": "1/256 of the peak",
            }
        return {
            "what": f"density of single galaxies: stamps with their brightest pixel at 1, with noise of {PIXEL_NOISE}",
            "method": f"PixelCNN, {self._head.value}, over the whitened numbers of the Gaussian of the same stamps",
            "held_out": told,
        }


class VaeLesson(AbstractLesson):
    """An autoencoder, by the bound of its evidence (Kingma & Welling 2014): what noise that grows with the light leaves
    of a picture, and how far its latent vector is from a normal one."""

    kind = "vae"
    radii_of_side = 0.021, 0.16
    # in a fit the center is another number
    center_jitter = 0.12

    def __init__(self, stamps: Stamps, settings: TrainingSettings) -> None:
        self._stamps, self._latent, self._width = stamps, settings.latent, settings.width
        self._flow_steps, self._seed = max(settings.steps // STEPS_PER_FLOW_STEP, 1), settings.seed

    def begun(self, key: PRNGKeyArray) -> VaePrior:
        return new_vae(key, self._stamps.side, self._latent, self._width)

    @staticmethod
    def learning(prior: VaePrior) -> tuple[Layers, Layers]:
        return prior.encoder, prior.decoder

    @staticmethod
    def loss(prior: VaePrior, batch: Float[Array, "stamp y x"], key: PRNGKeyArray) -> Float[Array, ""]:
        def one(stamp: Any, key: Any) -> Any:
            middle, scatter = prior.encode(stamp)
            drawn = prior.drawn(middle + jnp.exp(scatter) * jax.random.normal(key, middle.shape))
            variance = VAE_NOISE**2 + (VAE_RELATIVE_NOISE * stamp) ** 2
            missed = jnp.sum((drawn - stamp) ** 2 / variance)
            return 0.5 * (missed + jnp.sum(middle**2 + jnp.exp(2.0 * scatter) - 2.0 * scatter - 1.0))

        return jnp.mean(jax.vmap(one)(batch, jax.random.split(key, len(batch))))

    def tried(self, prior: VaePrior, stamps: Float[np.ndarray, "stamp y x"], seed: int) -> Measured:
        key = jax.random.fold_in(jax.random.key(seed), 2**31 - 2)
        return Measured(float(_compiled_loss(VaeLesson, prior, jnp.asarray(stamps), key)))

    def finished(self, prior: VaePrior) -> VaePrior:
        side = self._stamps.side
        stamps = self._stamps.learn[:MOST_FOR_FLOW, :side, :side]
        flowing = with_flow(prior, stamps, self._flow_steps, self._seed)
        return aligned(flowing, every_way(stamps[:MOST_FOR_TURN]))

    def card(self, best: Trial | None, n_tried: int) -> dict[str, Any]:
        return {
            "what": "decoder of single galaxies: pictures with their brightest pixel at about 1, of latent vectors "
            "that are standard normal",
            "method": "variational autoencoder (Kingma & Welling 2014) of dense layers, and a flow (Dinh et al. 2017) "
            f"in front of its decoder; noise of {VAE_NOISE:g} of the peak and {VAE_RELATIVE_NOISE:g} of the light of "
            "a pixel",
            "held_out": None if best is None else _of(best, n_tried),
        }

    def measured(self, prior: VaePrior) -> dict[str, Any]:
        """Return how well a finished prior draws held-out stamps, and how its numbers are distributed there."""
        stamps = jnp.asarray(self._stamps.held_out)
        latent, drawn = (np.asarray(part, float) for part in _autoencoded(prior, stamps))
        true = np.asarray(stamps, float)
        light = drawn.sum((1, 2)) / true.sum((1, 2)) - 1.0
        sizes = half_light_radii(true)
        at_zero, slope = prior.sizes
        guessed = np.exp(at_zero + slope * latent[:, 0])
        return {
            "rms_error": round(float(np.sqrt(np.mean((drawn - true) ** 2))), 5),
            "median_error_of_light": round(float(np.median(np.abs(light))), 4),
            "bias_of_light": round(float(np.mean(light)), 4),
            "median_error_of_size_by_first_number": round(float(np.median(np.abs(guessed / sizes - 1.0))), 4),
            "scatter_of_numbers": [round(float(each), 2) for each in latent.std(axis=0)],
        }


LESSON_TYPES: tuple[type[AbstractLesson], ...] = (ScoreLesson, EnergyLesson, PixelLesson, VaeLesson)
LESSONS: dict[str, type[AbstractLesson]] = {each.kind: each for each in LESSON_TYPES}
"""Every kind of prior that can be learned, by what a person calls it."""


def noisy_stamps(stamps: Float[np.ndarray, "stamp y x"], noise: float, seed: int) -> Float[np.ndarray, "stamp y x"]:
    """Return stamps with noise, the same for the same seed."""
    drawn = np.random.default_rng([seed, 77]).standard_normal(stamps.shape)
    return (stamps + noise * drawn).astype(np.float32)


@eqx.filter_jit
def _relative_error(prior: AbstractPrior, clean: Float[Array, "stamp y x"], sigma: Array, key: PRNGKeyArray) -> Array:
    noisy = clean + sigma * jax.random.normal(key, clean.shape, clean.dtype)
    # a few at once: the network's layers of all of them would fill the memory
    denoised = jax.lax.map(lambda x: prior.denoise(x, sigma), noisy, batch_size=AT_ONCE)
    return jnp.sqrt(jnp.mean((denoised - clean) ** 2)) / sigma


@eqx.filter_jit
def _compiled_loss(lesson: type[AbstractLesson], prior: Any, stamps: Float[Array, "stamp y x"], key: Array) -> Array:
    return lesson.loss(prior, stamps, key)


@eqx.filter_jit
def _autoencoded(prior: VaePrior, stamps: Float[Array, "stamp y x"]) -> tuple[Array, Array]:
    latent = jax.vmap(prior.latent_of)(stamps)
    return latent, jax.vmap(prior.decode)(latent)


def _log_probs(prior: AbstractNormalizedPrior, stamps: Float[np.ndarray, "stamp y x"]) -> Float[np.ndarray, " stamp"]:
    return np.asarray(_compiled_log_probs(prior, jnp.asarray(stamps)))


@eqx.filter_jit
def _compiled_log_probs(prior: AbstractNormalizedPrior, stamps: Float[Array, "stamp y x"]) -> Float[Array, " stamp"]:
    return jax.lax.map(prior.log_prob, stamps, batch_size=AT_ONCE)


def _weight(sigma: Any, sigma_data: float) -> Any:
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2


def _of(best: Trial, n_tried: int) -> dict[str, Any]:
    return {"stamps": n_tried, "at_step": best.step, "loss": round(best.loss, 5)}
