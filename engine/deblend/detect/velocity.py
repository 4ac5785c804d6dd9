"""How fast something moves that was seen at one epoch: images are shifted along all straight lines, and added.

At every epoch the signal to noise of a point source in every pixel is known by its matched filter (psi and phi of
Zackay & Ofek 2017, section 2). Digital tracking (Bernstein et al. 2004, section 3; Whidden et al. 2019, section 2.2)
adds that along a line through the place of the click, for many velocities. What stands still is taken off: the median
of the other epochs of the passband, at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from jaxtyping import Float

from deblend.detect.stack import FULL_WIDTH
from deblend.observe import Observation, full_width_half_maximum
from deblend.scene import Scene, Source
from deblend.scene.track import epochs_of
from deblend.sky import PixelAffine, same_passbands

MOST_STEPS = 80
"""How many widths of the PSF it may go, over the longest time from the click, along either axis."""
STANDS_OUT = 6.0
"""Signal to noise along a line from which on it is believed: of 26,000 lines through noise the best has about 4.2."""
SEEN = 3.0
"""Signal to noise from which on a place is not empty at an epoch, or at others."""
NOT_BRIGHTER = 2.0
"""How much brighter than at the click it may be: else what is left of a bright star would be taken for it."""


@dataclass(frozen=True)
class FoundVelocity:
    """The line that has most light on it."""

    velocity: tuple[float, float]
    """Along x and y [pix of the scene/day]; (0, 0) where nothing stands out."""
    signal_to_noise: float
    """Of all epochs but the brightest together: a line through one star that blinks is none."""

    signal_to_noise_here: float
    """Of what is there at the click, and not at other epochs."""

    @property
    def stands_out(self) -> bool:
        """Whether it is believed: something is at the click, and along the line."""
        return self.signal_to_noise >= STANDS_OUT and self.signal_to_noise_here >= SEEN


@dataclass(frozen=True, eq=False)
class _Filtered:
    """One channel: what a point source at each pixel would be."""

    flux: Float[np.ndarray, "y x"]
    """[nJy]"""
    root_information: Float[np.ndarray, "y x"]
    """One over its error [1/nJy]; 0 where nothing is seen."""
    to_pixel: PixelAffine
    """From the scene."""

    def at(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return flux and one over its error at places of the scene, from the nearest pixels."""
        rows, columns = (np.floor(axis + 0.5).astype(int) for axis in self.to_pixel(y, x))
        height, width = self.flux.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = np.where(inside, rows, 0), np.where(inside, columns, 0)
        return self.flux[rows, columns], np.where(inside, self.root_information[rows, columns], 0.0)


def find_velocity(
    observations: Sequence[Observation],
    scene: Scene,
    models: Sequence[Float[np.ndarray, "band y x"]],
    x: float,
    y: float,
    time: float,
) -> FoundVelocity:
    """Return how fast what is seen at (x, y) [pix of the scene] at a time [MJD] moves.

    `models` are what the scene explains of each observation [nJy/pix]. Raises ValueError where channels have no
    epochs, or all have the same.
    """
    epochs = epochs_of(scene.channels)
    here = min(epochs, key=lambda when: abs(when - time))
    filtered = [f for o, model in zip(observations, models, strict=True) for f in _filter(o, model, scene)]
    rivals = {k: [j for j in members if j != k] for members in same_passbands(scene.channels) for k in members}
    longest = max(abs(when - here) for when in epochs)
    steps = np.arange(-MOST_STEPS, MOST_STEPS + 1) * max(1.0, _narrowest(observations, scene)) / longest
    reach = max(scene.grid.shape) / longest
    steps = steps[np.abs(steps) <= reach]
    velocity_y, velocity_x = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))

    def signal_at(when: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the signal to noise of light that is there at one epoch only, over its channels."""
        total = np.zeros(np.shape(rows))
        for k in epochs[when]:
            flux, root = filtered[k].at(rows, columns)
            others = [filtered[j].at(rows, columns) for j in rivals[k]]
            if others:
                fluxes = np.stack([np.where(r > 0, f, np.nan) for f, r in others])
                # where no other epoch sees the place, nothing can be told to stand still
                fluxes[0, np.isnan(fluxes).all(axis=0)] = 0.0
                flux = flux - np.nanmedian(fluxes, axis=0)
            total = total + flux * root
        return total / np.sqrt(len(epochs[when]))

    at_click = float(signal_at(here, np.array([y]), np.array([x]))[0])
    cap = NOT_BRIGHTER * max(at_click, STANDS_OUT)
    others = [when for when in epochs if when != here]
    along = np.array(
        [signal_at(when, y + velocity_y * (when - here), x + velocity_x * (when - here)) for when in others]
    )
    best = int(np.argmax(np.clip(along, -cap, cap).sum(axis=0)))
    each = np.append(along[:, best], at_click)
    found = float((each.sum() - each.max()) / np.sqrt(len(others)))
    result = FoundVelocity((float(velocity_x[best]), float(velocity_y[best])), found, at_click)
    return result if result.stands_out else replace(result, velocity=(0.0, 0.0))


def taken_for_still(observations: Sequence[Observation], scene: Scene, moving: Sequence[Source]) -> tuple[Source, ...]:
    """Return the sources of a scene that only what moves has made: one lies at its place at an epoch, and there is no
    light at that place at the others. Locked ones are never among them."""
    filtered = [f for o in observations for f in _filter(o, np.zeros_like(o.images), scene)]
    width = FULL_WIDTH * _narrowest(observations, scene)
    found = []
    for source in scene.sources:
        near = [m for m in moving if m.track and np.hypot(m.x - source.x, m.y - source.y) < width]
        if not near or source.track is not None or source.is_locked:
            continue
        times = {m.track.time for m in near if m.track}
        elsewhen = [k for k, channel in enumerate(scene.channels) if channel.time not in times]
        flux, root = (
            np.array([filtered[k].at(np.array(source.y), np.array(source.x)) for k in elsewhen]).reshape(-1, 2).T
        )
        if (root > 0).any() and np.sum(flux * root) / np.sqrt(np.count_nonzero(root)) < SEEN:
            found.append(source)
    return tuple(found)


def _filter(observation: Observation, model: Float[np.ndarray, "band y x"], scene: Scene) -> list[_Filtered]:
    to_pixel = scene.grid.affine_to(observation.grid)
    result = []
    for image, bright, weight, psf in zip(observation.images, model, observation.weights, observation.psf, strict=True):
        turned = psf[::-1, ::-1]
        light = np.where(weight > 0, image - bright, 0.0)
        psi = scipy.signal.fftconvolve(light * weight, turned, mode="same")
        phi = np.maximum(scipy.signal.fftconvolve(weight, turned**2, mode="same"), 0.0)
        # a place whose light is mostly masked tells nothing
        phi = np.where(phi > 0.3 * weight.max() * np.sum(psf**2), phi, 0.0)
        result.append(_Filtered(psi / np.where(phi > 0, phi, np.inf), np.sqrt(phi), to_pixel))
    return result


def _narrowest(observations: Sequence[Observation], scene: Scene) -> float:
    """Return the width of the sharpest PSF, as a Gaussian's [pix of the scene]."""
    return (
        min(full_width_half_maximum(psf) * o.grid.affine_to(scene.grid).scale for o in observations for psf in o.psf)
        / FULL_WIDTH
    )
