"""Scenes whose galaxies are pictures: which of them a learned prior can draw, and the scene with these as pixels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.ndimage import gaussian_filter

from deblend.priors.population import SEEING
from deblend.priors.stamps import RADII_OF_SIDE
from deblend.program.layout import SIDES
from deblend.program.origins import box_origin
from deblend.program.ties import has_epochs
from deblend.render import shift_matrix
from deblend.scene import Component, FreeForm, Parameter, Point, Scene, Source

SIZE_SLACK = 1.1
"""How much larger than all that it has learned from a galaxy may be for a prior to draw it."""
MOST_DRAWN = 32
"""Galaxies at once: all of them are one problem."""
FURTHEST = 4
"""How far off the middle of its stamp a picture's center is looked for, per axis [pix]."""


@dataclass(frozen=True)
class Sought:
    """Which sources of a scene are drawn as pictures."""

    ids: tuple[str, ...]
    held: tuple[str, ...]
    """Sentences about those whose shape stays as it was fitted."""


def side_in_scene(side: int) -> int:
    """Return the side of the box that stands for stamps of a side in a program [pix]."""
    return max(own for own in SIDES if own <= side)


def check_scene(scene: Scene) -> None:
    """Raise ValueError, in one sentence, where diffusion sampling does not know what a scene has."""
    if scene.calibrations or any(source.dust is not None for source in scene.sources):
        raise ValueError("Diffusion sampling does not know dust or fitted calibrations; remove them from the scene.")
    if has_epochs(scene.channels) or any(source.track is not None for source in scene.sources):
        raise ValueError("Diffusion sampling does not know epochs or moving sources; use the method 'gaussian'.")
    if any(c.law is not None for source in scene.sources for c in source.components):
        raise ValueError(
            "Diffusion sampling does not know spectra that follow a law; let the spectrum be free in every channel, or "
            "use the method 'gaussian'."
        )
    if any(source.barred is not None or source.claimed is not None for source in scene.sources):
        raise ValueError(
            "Diffusion sampling does not know where light is painted to be or not to be; clear what is painted, or use "
            "the method 'gaussian'."
        )


def sought(scene: Scene, side: int) -> Sought:
    """Return which sources a prior of stamps of a side [pix] draws: galaxies with one spectrum whose shape is free.

    Raises ValueError where there is none, or where they are too many.
    """
    ids, held = [], []
    for source in scene.sources:
        name = source.name or source.id
        components = [c for c in source.components if not isinstance(c.morphology, Point)]
        if not components or not any(p.is_free for c in components for p in c.morphology.parameters.values()):
            continue
        size = source.components[0].morphology.half_light_radius_guess
        if len(source.components) > 1:
            held.append(f"Source {name} has several components and keeps its shape; a learned prior draws one picture.")
        elif not source.components[0].spectrum.is_free:
            held.append(f"Source {name} has fluxes that are fixed and keeps its shape, too; set them free to draw it.")
        elif size > SIZE_SLACK * RADII_OF_SIDE[1] * side:
            held.append(
                f"Source {name} is larger (half-light radius {size:.1f} px) than the galaxies of the prior and keeps "
                "its shape."
            )
        else:
            ids.append(source.id)
    if not ids:
        why = f" {held[0]}" if held else " Stars have no shape, and what is held keeps it."
        raise ValueError(f"The scene has no galaxy that the learned prior could draw.{why}")
    if len(ids) > MOST_DRAWN:
        raise ValueError(
            f"Diffusion sampling draws up to {MOST_DRAWN} galaxies at once, got {len(ids)}; hold the shapes of those "
            "that do not matter, or cut out a smaller piece."
        )
    return Sought(tuple(ids), tuple(held))


def pictured(scene: Scene, ids: Collection[str], side: int) -> Scene:
    """Return the scene with these sources as pixels, on the middles of their boxes, as the prior draws them."""
    radius = side_in_scene(side) // 2

    def as_pixels(source: Source) -> Source:
        old = source.components[0]
        y, x = box_origin(source, scene.grid.shape)
        start = FreeForm.of_size(max(old.morphology.half_light_radius_guess, 1.0), radius)
        component = Component(replace(start, constraints=()), old.spectrum, radius, shines_in=old.shines_in)
        center = Parameter((float(x), float(y)))
        # gradients and offsets of channels are in the data as fitted, and not in pictures
        offsets = Parameter(np.zeros_like(source.channel_offsets.value))
        return replace(
            source, center=center, anchor=(float(x), float(y)), components=(component,), channel_offsets=offsets
        )

    chosen = set(ids)
    drawn = scene.with_sources(as_pixels(s) if s.id in chosen else s for s in scene.sources)
    # links are of shapes, of which those drawn have no numbers
    return replace(drawn, links=())


def centers_of(pictures: Float[np.ndarray, "source y x"]) -> Float[np.ndarray, "source 2"]:
    """Return where each picture is brightest behind a blur of `SEEING`, as (y, x) from its middle pixel [pix].

    That is where galaxies of the generator have their center, and where a detection would place one.
    """
    result = np.zeros((len(pictures), 2))
    for k, picture in enumerate(pictures):
        blurred = gaussian_filter(np.asarray(picture, np.float64), SEEING, mode="constant")
        middle = np.array(picture.shape) // 2
        near = blurred[tuple(slice(m - FURTHEST, m + FURTHEST + 1) for m in middle)]
        top = np.array(np.unravel_index(np.argmax(near), near.shape)) + middle - FURTHEST
        for axis in (0, 1):
            step = np.eye(2, dtype=int)[axis]
            before, at, behind = (blurred[tuple(top + move)] for move in (-step, 0 * step, step))
            bend = before - 2.0 * at + behind
            off = 0.5 * (before - behind) / bend if bend < 0 else 0.0
            result[k, axis] = top[axis] - middle[axis] + np.clip(off, -0.5, 0.5)
    return result


@jax.jit
def unmoved_pixels(
    pictures: Float[Array, "source side side"], centers: Float[Array, "source 2"]
) -> Float[Array, "source side side"]:
    """Return the pixels that, moved to these centers, are the pictures: free-form pixels are kept around a center."""
    side = pictures.shape[-1]

    def one(picture: Float[Array, "side side"], center: Float[Array, "2"]) -> Float[Array, "side side"]:
        return shift_matrix(-center[0], side) @ picture @ shift_matrix(-center[1], side).T

    return jax.vmap(one)(pictures, centers)
