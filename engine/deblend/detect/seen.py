"""Free-form sources that start as the image shows them, rather than round.

Of the stack of all bands around a source that part is taken that hangs together with its center without rising on
the way (the monotonic mask of scarlet v1 and scarlet_lite), so that neighbours are left out, and of that what lies
above the last gap in the histogram of its logarithms. A few steps of Richardson and Lucy (1972, 1974), which keep light
positive and its sum, undo the PSF as far as the noise lets them: a start that is blurred twice is far from any fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Float
from scipy import ndimage

from deblend.constraints import monotonic_mask, without_detached_values
from deblend.detect.rescaled import resampled
from deblend.detect.stack import Stack, cutout, stacks
from deblend.observe import Observation
from deblend.scene import FreeForm, Scene, Source

SHARPENING = 10
"""Steps of Richardson and Lucy: more make noise into stars."""
SMOOTHED = 0.8
"""Width of the filter before light is followed outward [width of the PSF]: single pixels of noise are no slopes."""

_mask = jax.jit(monotonic_mask)
_without_gap = jax.jit(without_detached_values)


def as_seen(scene: Scene, source_id: str, observations: Sequence[Observation], *, tolerance: float = 1.0) -> Source:
    """Return a source of free pixels that starts as the images show it; fluxes stay to be solved for.

    Parameters
    ----------
    tolerance
        By how much light may rise from a pixel to the next one outward, and still be the source's, in units of the
        noise of the smoothed image.

    Raises ValueError where there is no light at its place, or it has several components.
    """
    source = scene[source_id]
    if len(source.components) > 1:
        raise ValueError(f"Source {source.name or source.id} has several components; choose one that has one.")
    stack = stacks(observations)[0]
    to_scene = stack.grid.affine_to(scene.grid)
    y, x = (float(place) for place in to_scene.inverse(source.y, source.x))
    component = source.components[0]
    reach = int(np.ceil(component.radius / to_scene.scale))
    light = _own_light(stack, x, y, reach, tolerance)
    if not light.sum() > 0:
        raise ValueError(f"The images show no light at source {source.name or source.id}; move it, or leave it round.")
    sharp = _sharpened(light, np.sqrt(max(stack.psf_sigma**2 - (scene.model_psf_sigma / to_scene.scale) ** 2, 0.0)))
    pixels = np.maximum(resampled(sharp, component.radius, to_scene.scale), 0.0)
    old = component.morphology
    morphology = old if isinstance(old, FreeForm) else FreeForm.of_size(1.0, component.radius)
    morphology = replace(morphology, pixels=morphology.pixels.at(pixels / pixels.sum()))
    unsolved = component.spectrum.at(np.full_like(component.spectrum.value, np.nan))
    return replace(source, components=(replace(component, morphology=morphology, spectrum=unsolved),))


def _own_light(stack: Stack, x: float, y: float, reach: int, tolerance: float) -> Float[np.ndarray, "side side"]:
    """Return the light of a source in a box around its central pixel, 0 where it is another's or noise."""
    width = SMOOTHED * stack.psf_sigma
    smooth = ndimage.gaussian_filter(stack.light, width)
    noise = stack.noise / (2.0 * np.sqrt(np.pi) * width)
    box = np.nan_to_num(cutout(smooth, x, y, reach)).astype(np.float32)
    center = np.zeros(2, np.float32)
    is_own = np.asarray(_mask(box, center, np.float32(tolerance * noise))) & (box > noise)
    light = np.where(is_own, np.nan_to_num(cutout(stack.light, x, y, reach)), 0.0)
    kept = _without_gap(np.maximum(light, 0.0).astype(np.float32), np.float32(1.0))
    return np.asarray(kept, np.float64)


def _sharpened(light: Float[np.ndarray, "side side"], width: float) -> Float[np.ndarray, "side side"]:
    """Return light before a Gaussian blur of a width [pix], about."""
    if width < 0.3:
        return light
    found = light.copy()
    for _ in range(SHARPENING):
        blurred = ndimage.gaussian_filter(found, width, mode="constant")
        ratio = light / np.maximum(blurred, 1e-3 * max(float(light.max()), 1e-30))
        found *= ndimage.gaussian_filter(ratio, width, mode="constant")
    return found * (light.sum() / max(float(found.sum()), 1e-30))
