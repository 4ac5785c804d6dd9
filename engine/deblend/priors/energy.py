"""A prior that is a learned energy: its denoiser is a gradient, so that it has a density, too.

With E(x, σ) = -ln p_σ(x) + a number that depends on σ alone, Tweedie's formula (Robbins 1956; Efron 2011) says

    D(x, σ) = x - σ² ∇ₓE(x, σ),

so that an energy is learned as denoisers are (Salimans & Ho 2021, "Should EBMs model the energy or the score?") and
gives samplers what they accept or refuse by (Du et al. 2023, "Reduce, reuse, recycle"). With the coefficients of EDM
(Karras et al. 2022, table 1) and u = x / √(σ² + σ_d²),

    E(x, σ) = ½ |u|² - (σ_d / σ) Φ(u),   D(x, σ) = c_skip x + c_out ∇Φ(u):

the gradient of Φ stands where a denoiser has its network F, so that what has to be learned is of variance 1 at any
noise level. Φ = ½ ⟨u, F(u)⟩ (the inner product of Guth, Kadkhodaie & Simoncelli 2025, "Learning normalized image
densities via dual score matching"): with a linear F it is any Gaussian, and where F says nothing yet D is c_skip x.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from deblend.priors.interface import AbstractDensityPrior
from deblend.priors.network import UNet
from deblend.priors.score import LEVELS, SIGMA_DATA, new_score_prior


class AbstractEnergyPrior(AbstractDensityPrior):
    """A prior of which an energy is all that is said: one function of a picture and a noise level.

    The density is that of pictures behind the least noise, `levels[0]`, and not normalized: two pictures can be
    compared under one prior, and not one picture under two priors, or at two noise levels.
    """

    @abstractmethod
    def energy(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        """Return E(x, σ), minus the logarithm of the density of pictures behind noise of σ but for a number of σ alone
        [nats]."""

    def denoise(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, "y x"]:
        return x - sigma**2 * jax.grad(self.energy)(x, sigma)

    def log_prob(self, x: Float[Array, "y x"]) -> Float[Array, ""]:
        return -self.energy(x, jnp.asarray(self.levels[0], x.dtype))


class EnergyPrior(AbstractEnergyPrior):
    """Galaxies with their brightest pixel at 1, as the energy of a U-Net has learned them."""

    network: UNet
    shape: tuple[int, int] = eqx.field(static=True)
    levels: tuple[float, float] = eqx.field(static=True, default=LEVELS)
    sigma_data: float = eqx.field(static=True, default=SIGMA_DATA)

    def energy(self, x: Float[Array, "y x"], sigma: Float[Array, ""]) -> Float[Array, ""]:
        u = x / jnp.sqrt(sigma**2 + self.sigma_data**2)
        told = 0.5 * jnp.sum(u * self.network(u, 0.25 * jnp.log(sigma)))
        return 0.5 * jnp.sum(u**2) - self.sigma_data / sigma * told


def new_energy_prior(key: PRNGKeyArray, side: int, width: int = 48, deep_width: int = 80) -> EnergyPrior:
    """Return a prior that has learned nothing yet; raises ValueError where a U-Net of that size is not to be had."""
    denoiser = new_score_prior(key, side, width, deep_width)
    return EnergyPrior(denoiser.network, denoiser.shape, denoiser.levels, denoiser.sigma_data)
