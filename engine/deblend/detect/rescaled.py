"""A source said in other pixels: as large and as bright on the sky as before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from deblend.program.layout import SIDES
from deblend.scene import Component, Dust, FreeForm, Galaxy, Learned, Morphology, Parameter, Source, Vae

LEAST_RADIUS = 3
"""[pix]"""


def rescaled(source: Source, scale: float) -> Source:
    """Return a source on pixels that are `scale` times finer; where it is, is said in them already.

    Profiles stay exactly what they are. Free-form pictures are interpolated by cubic splines, and keep their light.
    """
    return replace(
        source,
        components=tuple(_component(component, scale) for component in source.components),
        dust=None if source.dust is None else _dust(source.dust, scale),
        center_scatter=source.center_scatter * scale,
        center_limit=source.center_limit * scale,
        channel_offsets=source.channel_offsets.at(source.channel_offsets.value * scale),
    )


def _dust(dust: Dust, scale: float) -> Dust:
    # the same depth on pixels that are so many times more
    total = replace(dust.total, value=dust.total.value * scale**2, upper=dust.total.upper * scale**2)
    radius = int(np.clip(round(dust.radius * scale), LEAST_RADIUS, SIDES[-1] // 2))
    return replace(dust, radius=radius, morphology=_morphology(dust.morphology, radius, scale), total=total)


def _component(component: Component, scale: float) -> Component:
    radius = int(np.clip(round(component.radius * scale), LEAST_RADIUS, SIDES[-1] // 2))
    return replace(component, radius=radius, morphology=_morphology(component.morphology, radius, scale))


def _morphology(morphology: Morphology, radius: int, scale: float) -> Morphology:
    changed: dict[str, Parameter] = {}
    parameters = morphology.parameters
    if size := parameters.get("half_light_radius"):
        changed["half_light_radius"] = replace(
            size, value=size.value * scale, lower=size.lower * scale, upper=size.upper * scale
        )
    if isinstance(morphology, (Galaxy, Vae)):
        light = resampled(morphology.correction.value, radius, scale)
        return replace(morphology, scale=morphology.scale * scale, correction=morphology.correction.at(light))
    if isinstance(morphology, Learned):
        # its pixels are in units of a scatter that they do not keep
        empty = morphology.correction.at(np.zeros((2 * radius + 1,) * 2))
        return replace(morphology, scale=morphology.scale * scale, correction=empty)
    if isinstance(morphology, FreeForm):
        light = resampled(morphology.pixels.value, radius, scale)
        if light.sum() > 0:
            light *= morphology.pixels.value.sum() / light.sum()
        changed["pixels"] = morphology.pixels.at(np.maximum(light, 0.0))
    return morphology.with_parameters(**changed) if changed else morphology


def resampled(picture: Float[np.ndarray, "old old"], radius: int, scale: float) -> Float[np.ndarray, "side side"]:
    """Return a centered picture of light per pixel on a box of pixels that are `scale` times finer."""
    index = np.arange(-radius, radius + 1) / scale + picture.shape[0] // 2
    places = np.meshgrid(index, index, indexing="ij")
    light: Float[np.ndarray, "side side"] = ndimage.map_coordinates(picture, places, order=3, mode="constant")
    return light / scale**2
