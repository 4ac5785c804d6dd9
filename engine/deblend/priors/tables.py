"""What was learned of galaxies as `deblend.render` takes it: size classes as tables of spline coefficients, and the
decoder of a VAE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy import ndimage

from deblend.priors.classes import SizeClass, learned_classes
from deblend.priors.model_file import packaged_path, read_model
from deblend.priors.vae import VaePrior
from deblend.render.decoded import Decoder, spline_coefficients
from deblend.render.learned import LearnedTables

WIDE = 95
"""Side of what means and scatters are continued to; beyond, no light of a class is expected [pix]."""
EDGE = 5.0
"""Width of the ring, at the edge of what was learned, that tells how light falls on beyond [pix]."""


@lru_cache(maxsize=2)
def learned_tables(dtype: np.dtype) -> LearnedTables:
    """Return the tables of the classes that come with the package."""
    return tables_of(learned_classes(), dtype)


def tables_of(classes: Sequence[SizeClass], dtype: np.dtype) -> LearnedTables:
    """Return the tables of classes."""

    def splines(pictures: Iterable[np.ndarray]) -> Any:
        return np.array([_coefficients(picture) for picture in pictures], dtype)

    modes: Any = np.array([splines(c.modes) for c in classes], dtype)
    weight: Any = np.array([c.weight for c in classes], dtype)
    mean, spread = splines(continued(c.mean) for c in classes), splines(continued(c.spread) for c in classes)
    return LearnedTables(mean, spread, modes, weight)


@lru_cache(maxsize=2)
def packaged_decoder(dtype: np.dtype) -> Decoder:
    """Return the decoder that comes with the package."""
    # whoever asks may be tracing a program of its own
    with jax.ensure_compile_time_eval():
        prior, _ = read_model(packaged_path("vae"))
        assert isinstance(prior, VaePrior)
        return decoder_of(prior, dtype)


def decoder_of(prior: VaePrior, dtype: np.dtype) -> Decoder:
    """Return the decoder of a VAE."""
    spline = spline_coefficients(prior.shape[0])
    decoder = Decoder(prior.decoder.weights, prior.decoder.biases, prior.flow, prior.turn, spline)  # type: ignore[arg-type]
    result: Decoder = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), decoder)
    return result


def _coefficients(picture: Float[np.ndarray, "side side"]) -> Float[np.ndarray, "side side"]:
    result: Float[np.ndarray, "side side"] = ndimage.spline_filter(picture, order=3, output=np.float64, mode="mirror")
    return result


def continued(picture: Float[np.ndarray, "side side"]) -> Float[np.ndarray, "wide wide"]:
    """Return a positive picture on a wider box: beyond its own it falls exponentially, as it does at its edge."""
    half = picture.shape[0] // 2
    own, wide = (np.hypot(*np.indices((n, n)) - n // 2) for n in (picture.shape[0], WIDE))
    ring = (own > half - EDGE) & (own <= half)
    slope, level = np.polyfit(own[ring] - half, np.log(np.maximum(picture[ring], 1e-12)), 1)
    result: Float[np.ndarray, "wide wide"] = np.exp(level + min(slope, 0.0) * (wide - half))
    inner = slice(WIDE // 2 - half, WIDE // 2 + half + 1)
    result[inner, inner] = picture
    return result
