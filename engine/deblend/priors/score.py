"""A prior that is a learned denoiser (score-based; Karras et al. 2022, EDM): no density, only its slope behind noise.

D(x, σ) = c_skip x + c_out F(c_in x, ¼ ln σ), with coefficients such that the network F sees and makes numbers of
variance 1 at any noise level (their table 1). Pictures are linear in flux, with their brightest pixel at 1: a logarithm
of the picture would need its Jacobian in every likelihood (Sampson & Melchior 2024 leave it out).
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.priors.interface import AbstractPrior
from deblend.priors.network import UNet

SIGMA_DATA = 0.1
"""Root mean square of a pixel of peak-normalized stamps, about."""
LEVELS = (0.004, 3.0)
"""Noise levels that are learned [peak]."""
SIDES = (16, 128)
"""Of stamps [pix]; a multiple of 4."""


class ScorePrior(AbstractPrior):
    """Galaxies with their brightest pixel at 1, as a U-Net has learned them."""

    network: UNet
    shape: tuple[int, int] = eqx.field(static=True)
    levels: tuple[float, float] = eqx.field(static=True, default=LEVELS)
    sigma_data: float = eqx.field(static=True, default=SIGMA_DATA)

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        total = jnp.sqrt(sigma**2 + self.sigma_data**2)
        made = self.network(x / total, 0.25 * jnp.log(sigma))
        return (self.sigma_data / total) ** 2 * x + sigma * self.sigma_data / total * made


def new_score_prior(key: PRNGKeyArray, side: int, width: int = 48, deep_width: int = 80) -> ScorePrior:
    """Return a prior that has learned nothing yet; raises ValueError where a U-Net of that size is not to be had."""
    if side % 4 or not SIDES[0] <= side <= SIDES[1]:
        raise ValueError(f"The side of stamps must be a multiple of 4 from {SIDES[0]} to {SIDES[1]}, got {side}.")
    if width % 8 or deep_width % 8 or min(width, deep_width) < 8:
        raise ValueError(f"Widths of the network must be positive multiples of 8, got {width} and {deep_width}.")
    return ScorePrior(UNet(key, width, deep_width), (side, side))
