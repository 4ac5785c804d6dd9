"""Starting scenes: sources of about the right size, before the PSF, with jointly solved fluxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from deblend.detect.peaks import find_peaks
from deblend.detect.stack import box_radius, reference_sigma, signal_to_noise
from deblend.observe import Observation, full_width_half_maximum
from deblend.program import Program
from deblend.program.layout import SIDES
from deblend.scene import MODEL_PSF_SIGMA, Scene, Source, make_source

LARGEST_RADIUS = SIDES[-1] // 2
LEAST_MODEL_SIGMA = 0.5
MODEL_TO_PSF = 0.8


def detect(
    observations: Sequence[Observation], threshold: float = 5.0, *, kind: str = "galaxy", box_scale: float = 1.0
) -> Scene:
    """Find sources and return a scene that is ready to be fitted.

    Parameters
    ----------
    threshold
        Signal to noise of a point source, over all bands.
    kind
        What every source is taken for: the label of a morphology.
    box_scale
        Factor on the size of the boxes.
    """
    peaks = find_peaks(observations, threshold)
    return scene_from_positions(observations, peaks.x, peaks.y, kind=kind, box_scale=box_scale)


def scene_from_positions(
    observations: Sequence[Observation],
    x: Sequence[float] | Float[np.ndarray, " source"],
    y: Sequence[float] | Float[np.ndarray, " source"],
    *,
    kind: str = "galaxy",
    box_scale: float = 1.0,
) -> Scene:
    """Return a scene with a source at each position (0-based pixels of the first observation), fluxes solved jointly.

    Raises ValueError where a position is not on the image.
    """
    scene = empty_scene(observations)
    height, width = scene.grid.shape
    picture = signal_to_noise(observations)
    for row, (px, py) in enumerate(zip(x, y, strict=True)):
        if not (-0.5 <= px <= width - 0.5 and -0.5 <= py <= height - 0.5):
            raise ValueError(
                f"Position {row} (x {px:.1f}, y {py:.1f}) is not on the image of {width}×{height} px (x by y); "
                "positions are 0-based pixels of the first image."
            )
        scene = scene.add(start_source(observations, scene, float(px), float(py), kind, box_scale, picture))
    return Program(observations, scene).scene if len(scene) else scene


def empty_scene(observations: Sequence[Observation]) -> Scene:
    """Return a scene without sources on the pixels of the first observation."""
    channels = tuple(channel for o in observations for channel in o.channels)
    return Scene(observations[0].grid, channels, model_psf_sigma=model_psf_sigma(observations))


def model_psf_sigma(observations: Sequence[Observation]) -> float:
    """Return the width of the model PSF [pix]: narrow, but well sampled and narrower than the sharpest PSF."""
    sharpest = min(full_width_half_maximum(psf) for o in observations for psf in o.psf) / 2.3548
    return float(np.clip(MODEL_TO_PSF * sharpest, LEAST_MODEL_SIGMA, MODEL_PSF_SIGMA))


def start_source(
    observations: Sequence[Observation],
    scene: Scene,
    x: float,
    y: float,
    kind: str = "galaxy",
    box_scale: float = 1.0,
    picture: Float[np.ndarray, "y x"] | None = None,
) -> Source:
    """Return a source for a place on the image, of about the size of the light there; its fluxes are to be solved for.

    `picture` is `signal_to_noise(observations)`, where it is known already.
    """
    if picture is None:
        picture = signal_to_noise(observations)
    radius = box_radius(picture, x, y)
    psf_sigma = reference_sigma(observations[0])
    size = half_light_radius(picture, x, y, psf_sigma)
    radius = int(np.clip(round(radius * box_scale), 3, LARGEST_RADIUS))
    # the profile's widths suit galaxies of a few pixels; larger ones stretch them
    scale = max(size / 3.0, 1.0)
    return make_source(
        kind, x, y, n_channels=len(scene.channels), half_light_radius=size, radius=radius, scale=scale
    )


def half_light_radius(picture: Float[np.ndarray, "y x"], x: float, y: float, psf_sigma: float) -> float:
    """Return about the half-light radius of a source before the PSF [pix].

    From where the azimuthal median, which a neighbour on one side does not move, has fallen to half of the peak.
    """
    height, width = picture.shape
    yy, xx = np.mgrid[:height, :width]
    distance = np.hypot(yy - y, xx - x)
    peak = float(np.median(picture[distance < 1.5])) if np.any(distance < 1.5) else 0.0
    if not peak > 0:
        return psf_sigma
    reach = 40.0
    for radius in np.arange(1.0, 40.0, 0.5):
        ring = picture[np.abs(distance - radius) <= 0.5]
        if ring.size == 0 or np.median(ring) < 0.5 * peak:
            reach = float(radius)
            break
    # a Gaussian of width s falls to half at 1.18 s, which is its half-light radius
    return float(np.sqrt(max(reach**2 - (1.1774 * psf_sigma) ** 2, (0.4 * psf_sigma) ** 2)))
