"""Thresholds: pixels too faint to tell anything are dark."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

BINS = 50


def without_faint(
    picture: Float[Array, "side side"],
    spectrum: Float[Array, " band"],
    noise: Float[Array, " band"],
    strength: Float[Array, ""],
) -> Float[Array, "side side"]:
    """Return S with S ← 0 where A_c S < t σ_c in every band, t being the strength; 0 leaves the picture.

    `noise` is σ_c, the standard deviation of a pixel per band in the unit of A ⊗ S. The LSST pipeline uses t ≈ 0.25
    (scarlet's successor scarlet_lite, of the Rubin Science Pipelines); it cuts wings, and light with them.
    """
    # the largest of A_c S / σ_c over bands, for either sign of S
    ratio = spectrum / noise
    significance = jnp.maximum(picture * jnp.max(ratio), picture * jnp.min(ratio))
    return jnp.where((strength > 0) & (significance < strength), 0.0, picture)


def without_detached_values(
    picture: Float[Array, "side side"], strength: Float[Array, ""]
) -> Float[Array, "side side"]:
    """Return a picture without the pixels below the last gap in the histogram of ln S; strength 0 leaves the picture.

    The logarithms of positive pixels are counted in `BINS` bins from the least to the largest; what lies below the
    right-most empty bin is set to 0, and negative light, too. What iterations have nearly taken out forms a heap of
    tiny values, apart from those that matter (Melchior et al. 2018, and the threshold constraint of scarlet v1).
    """
    is_lit = picture > 0
    logarithm = jnp.log(jnp.where(is_lit, picture, 1.0))
    least = jnp.min(jnp.where(is_lit, logarithm, jnp.inf))
    largest = jnp.max(jnp.where(is_lit, logarithm, -jnp.inf))
    # where all pixels are alike there is one heap, and the last bin is theirs
    width = jnp.where(largest > least, largest - least, 1.0)
    place = jnp.where(largest > least, (logarithm - least) / width * BINS, BINS - 1.0)
    place = jnp.where(is_lit, jnp.clip(jnp.floor(place), 0, BINS - 1), -1.0)
    bins = jnp.arange(BINS, dtype=place.dtype)
    is_empty = ~jnp.any(place[None] == bins[:, None, None], axis=(1, 2))
    gap = jnp.max(jnp.where(is_empty, bins, -1.0))
    return jnp.where((strength > 0) & ~(place > gap), 0.0, picture)
