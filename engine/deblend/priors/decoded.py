"""Galaxies that a VAE of a person's own draws, as a kind of source."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.priors.vae import VaePrior
from deblend.render.decoded import spline_coefficients
from deblend.render.learned import spline_at
from deblend.scene import LEARNED_SIGMA, OwnParameter
from deblend.scene.vae import LATENT_BOUND, size_number


class DecodedGalaxies:
    """A morphology for `deblend.register_morphology`: pictures that a VAE draws of a latent vector.

    The vector is fitted, and believed to be standard normal; sources start as large as they are seen to be. It is taken
    that the VAE was learned behind a Gaussian PSF of 0.8 pixels, as stamps of the generator are.
    """

    def __init__(self, prior: VaePrior, label: str) -> None:
        self.prior, self.label = prior, label
        start = np.zeros(prior.n_latent)
        self.parameters = {
            "latent": OwnParameter(
                start, lower=-LATENT_BOUND, upper=LATENT_BOUND, scatter=1.0, step=1.0, of_size=self._of_size
            )
        }
        self._spline = jnp.asarray(spline_coefficients(prior.shape[0]), jnp.float32)

    def picture(self, parameters: Any, y: Any, x: Any, psf_sigma: Any) -> Float[Array, "side side"]:
        """Return light per pixel at places y (a column) and x (a row) from the center [pix]."""
        stretch, n = psf_sigma / LEARNED_SIGMA, self.prior.shape[0]
        rows, columns = (spline_at(jnp.ravel(axis) / stretch, n) @ self._spline for axis in (y, x))
        light: Float[Array, "side side"] = rows @ self.prior.decode(parameters["latent"]) @ columns.T
        return light

    def _of_size(self, half_light_radius: float) -> np.ndarray:
        """Return the latent vector of an ordinary galaxy of a half-light radius before any PSF [pix]."""
        at_zero, slope = self.prior.sizes
        result = np.zeros(self.prior.n_latent)
        if slope:
            result[0] = size_number(half_light_radius, at_zero, slope)
        return result
