"""Observations made ready for the machine: noise units, difference kernels and their transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float

from deblend.observe import Observation
from deblend.observe.kernel import difference_kernel, kernel_radius, transfer, trimmed
from deblend.program.arrays import ObservationData
from deblend.program.columns import column_fft_shape
from deblend.program.layout import GroupLayout, Layout, ObservationLayout, observation_layout
from deblend.scene import Scene


@dataclass(frozen=True, eq=False)
class PreparedObservation:
    """One observation in units of the noise of its channels, with its kernels."""

    observation: Observation
    layout: ObservationLayout
    noise: Float[np.ndarray, " band"]
    """Unit of flux: the median noise of a pixel [nJy]."""
    images: Float[np.ndarray, "band y x"]
    weights: Float[np.ndarray, "band y x"]
    kernels: Float[np.ndarray, "band side side"]

    def data(self, groups: Sequence[GroupLayout]) -> ObservationData:
        """Return the arrays of the compiled program."""
        radius = self.layout.radius
        dtype = self.images.dtype
        power = []
        for group in groups:
            # on a box smaller than the kernel the wings fold back, as they do for the box's own periodic transform
            period = group.side + 1
            wide = max(period, 2 * radius + 1)
            modulus = np.abs(transfer(self.kernels, (wide, wide))) ** 2
            power.append(_resampled(modulus, wide, period).astype(dtype))
        energy = np.sum(self.kernels**2, axis=(1, 2)).astype(dtype)
        return ObservationData(
            images=self.images,
            weights=self.weights,
            transfer=_as_complex(transfer(self.kernels, self.layout.fft_shape), dtype),
            near_transfer=_as_complex(transfer(self.kernels, self.layout.near.fft_shape), dtype),
            power=tuple(power),
            kernel_energy=energy,
        )

    def column_transfer(self, side: int) -> Complex[np.ndarray, "band y f"]:
        """Return the transform of the kernels on the canvas of one box of this side."""
        return _as_complex(transfer(self.kernels, column_fft_shape(side, self.layout.radius)), self.images.dtype)


def _as_complex(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return array.astype(np.complex128 if dtype == np.float64 else np.complex64)


def _resampled(modulus: np.ndarray, wide: int, side: int) -> np.ndarray:
    """Return the power at the frequencies of a smaller box, by taking the nearest ones."""
    rows = np.round(scipy.fft.fftfreq(side) * wide).astype(int) % wide
    columns = np.minimum(np.round(scipy.fft.rfftfreq(side) * wide).astype(int), modulus.shape[-1] - 1)
    return modulus[:, rows][:, :, columns]


def prepare_observations(
    observations: Sequence[Observation], scene: Scene, dtype: np.dtype
) -> tuple[PreparedObservation, ...]:
    """Return the observations in units of the noise; raises ValueError where they do not fit the scene."""
    keys = tuple(channel for o in observations for channel in o.channels)
    if keys != scene.channels:
        raise ValueError(
            f"The scene has the channels {', '.join(map(str, scene.channels))}; "
            f"the observations have {', '.join(map(str, keys))}."
        )
    prepared = []
    start = 0
    for observation in observations:
        if not observation.grid.is_same_as(scene.grid):
            own, others = ("×".join(map(str, shape)) for shape in (observation.shape, scene.grid.shape))
            raise ValueError(
                f"{observation.name} lies on other pixels ({own}) than the scene ({others}); this version fits "
                "observations of one pixel grid only: resample it, or fit it by itself."
            )
        noise = np.array([1.0 / np.sqrt(np.median(w[w > 0])) for w in observation.weights])
        kernels = np.stack([difference_kernel(psf, scene.model_psf_sigma) for psf in observation.psf])
        radius = min(kernel_radius(kernels), observation.psf.shape[-1] // 2, max(observation.shape))
        layout = observation_layout(start, start + len(noise), observation.shape, radius)
        scale = noise[:, None, None]
        prepared.append(
            PreparedObservation(
                observation,
                layout,
                noise,
                (observation.images / scale).astype(dtype),
                (observation.weights * scale**2).astype(dtype),
                trimmed(kernels, radius),
            )
        )
        start += len(noise)
    return tuple(prepared)


def noise_units(prepared: Sequence[PreparedObservation]) -> Float[np.ndarray, " channel"]:
    """Return the unit of flux of every channel of the scene [nJy]."""
    return np.concatenate([p.noise for p in prepared])


def make_layout(
    prepared: Sequence[PreparedObservation], groups: Sequence[GroupLayout], shape: tuple[int, int]
) -> Layout:
    """Return the static shape of the program."""
    return Layout(tuple(groups), tuple(p.layout for p in prepared), shape)
