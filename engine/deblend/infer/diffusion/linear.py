"""What is seen of a stack of pictures: a linear map to data in units of the noise, and its transpose."""

from abc import abstractmethod
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from equinox import AbstractVar
from jaxtyping import Array, Complex, Float

Data = tuple[Float[Array, "..."], ...]
"""Pictures (…, y, x) of every observation in units of the noise: weights are taken in."""


class AbstractLinearMap(eqx.Module):
    """A linear map, √W A, from pictures (source, y, x) to what is seen of them."""

    if TYPE_CHECKING:

        @property
        def shape(self) -> tuple[int, int, int]:
            """(source, y, x) of the pictures."""
            raise NotImplementedError

    else:
        shape: AbstractVar[tuple[int, int, int]]

    @abstractmethod
    def __call__(self, x: Float[Array, "source y x"]) -> Data:
        """Return √W A x."""

    @abstractmethod
    def transposed(self, u: Data) -> Float[Array, "source y x"]:
        """Return Aᵀ √W u."""


class Blend(AbstractLinearMap):
    """Sources of known spectra and places in one frame, seen in some bands through PSFs, with the frame's ends joined.

    The whole map of a frame without a scene around it; scenes have `deblend.infer.diffusion.scene_map`.
    """

    transfer: Complex[Array, "band source ky kx"]
    """Of every wave, on half of the plane: spectrum, place and PSF."""
    root_weights: Float[Array, "band y x"]

    @classmethod
    def of(
        cls,
        spectra: Float[np.ndarray, "band source"],
        psfs: Float[np.ndarray, "band side side"],
        weights: Float[np.ndarray, "band y x"],
        offsets: Float[np.ndarray, "source 2"] | None = None,
    ) -> "Blend":
        """Return the blend of these spectra, PSFs of odd side and inverse variances.

        `offsets` are how far (y, x) sources are seen from where their pictures have them [pix]; none by default.
        """
        n_bands, *shape = weights.shape
        side = psfs.shape[-1]
        wide = np.zeros((n_bands, *shape))
        wide[:, :side, :side] = psfs
        wide = np.roll(wide, (-(side // 2), -(side // 2)), axis=(1, 2))
        places = np.zeros((spectra.shape[1], 2)) if offsets is None else np.asarray(offsets, float)
        along_y, along_x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
        turn = places[:, 0, None, None] * along_y + places[:, 1, None, None] * along_x
        transfer = spectra[:, :, None, None] * np.fft.rfft2(wide)[:, None] * np.exp(-2j * np.pi * turn)
        kind = np.complex128 if weights.dtype == np.float64 else np.complex64
        return cls(jnp.asarray(transfer.astype(kind)), jnp.asarray(np.sqrt(weights)))

    @property
    def shape(self) -> tuple[int, int, int]:
        _, height, width = self.root_weights.shape
        return self.transfer.shape[1], height, width

    def __call__(self, x: Float[Array, "source y x"]) -> Data:
        waves = jnp.einsum("bskl,skl->bkl", self.transfer, jnp.fft.rfft2(x))
        return (self.root_weights * jnp.fft.irfft2(waves, s=x.shape[1:]),)

    def transposed(self, u: Data) -> Float[Array, "source y x"]:
        waves = jnp.einsum("bskl,bkl->skl", jnp.conj(self.transfer), jnp.fft.rfft2(self.root_weights * u[0]))
        return jnp.fft.irfft2(waves, s=u[0].shape[1:])
