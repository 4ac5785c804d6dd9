"""Small pictures of a component before and after its constraints, in colors; made in a thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap

from deblend.infer import Lights

FAINT = 0.01
"""Of the brightest pixel: below it the brightness is linear, above it logarithmic."""
SHOWN, MARGIN = 0.02, 1.25
"""Pictures hold what is brighter than that [peak], with so much room around it."""
UNSEEN = 5e-4
"""A change of less than this share of the light is none."""


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Three pictures, (y, x, 3) as uint8, first row at the bottom, and a sentence."""

    before: np.ndarray
    after: np.ndarray
    change: np.ndarray
    """Purple where light is taken, orange where it is added."""
    sentence: str

    @classmethod
    def of(cls, lights: Lights) -> Thumbnails:
        before, after = np.asarray(lights.before, float), np.asarray(lights.after, float)
        side = _side_of_light(before, after)
        before, after = _on_box(before, side), _on_box(after, side)
        top = max(float(before.max(initial=0.0)), float(after.max(initial=0.0)), 1e-30)
        change = _stretched((after - before) / top)
        light = ensure_colormap("inferno")
        return cls(
            _colored(_stretched(before / top), light),
            _colored(_stretched(after / top), light),
            _colored(0.5 - 0.5 * change, ensure_colormap("PuOr")),
            _sentence(lights),
        )


def _stretched(light: np.ndarray) -> np.ndarray:
    return np.arcsinh(light / FAINT) / np.arcsinh(1.0 / FAINT)


def _colored(values: np.ndarray, colormap: Colormap) -> np.ndarray:
    colors = colormap.map(np.clip(values, 0.0, 1.0).astype(np.float32).ravel())
    return np.ascontiguousarray((255 * colors[:, :3]).astype(np.uint8).reshape(*values.shape, 3))


def _sentence(lights: Lights) -> str:
    """Say how much light is taken and added, and by how much colors change."""
    before, after = np.asarray(lights.before, float), np.asarray(lights.after, float)
    whole = max(float(np.abs(before).sum()), 1e-30)
    taken, added = (float(np.clip(sign * (before - after), 0, None).sum()) / whole for sign in (1, -1))
    parts = [
        f"{share:.1%} of the light {verb}" for share, verb in ((taken, "taken"), (added, "added")) if share > UNSEEN
    ]
    fluxes = np.abs(lights.flux_before)
    recolored = float(
        np.max(np.abs(lights.flux_after - lights.flux_before) / np.maximum(fluxes, fluxes.max() * 1e-3 + 1e-30))
    )
    if recolored > UNSEEN:
        parts.append(f"fluxes changed by up to {recolored:.1%}")
    if not parts:
        return "It meets what is asked of it; nothing would change."
    return f"{', '.join(parts)}: then the fit weighs that against the data."


@dataclass(frozen=True, eq=False)
class DragPictures:
    """A component while it is being changed, three pictures as in `Thumbnails`, and a sentence."""

    was: np.ndarray
    """When the drag began."""
    now: np.ndarray
    asked: np.ndarray
    """Now, after its constraints have acted once."""
    sentence: str

    @classmethod
    def of(cls, before: Lights, now: Lights) -> DragPictures:
        is_, asked = np.asarray(now.before, float), np.asarray(now.after, float)
        was = _on_box(np.asarray(before.before, float), len(is_))
        whole = max(float(np.abs(was).sum()), 1e-30)
        less, more = (float(np.clip(sign * (asked - was), 0, None).sum()) / whole for sign in (-1, 1))
        # what is seen stays as large while it is dragged, but for what grows out of it
        side = max(_side_of_light(was), _side_of_light(is_, asked))
        was, is_, asked = (_on_box(picture, side) for picture in (was, is_, asked))
        top = max(float(picture.max(initial=0.0)) for picture in (was, is_, asked, np.array([1e-30])))
        light = ensure_colormap("inferno")
        sentence = f"before → as asked: {less:.1%} of its light goes, {more:.1%} comes"
        was, is_, asked = (_colored(_stretched(picture / top), light) for picture in (was, is_, asked))
        return cls(was, is_, asked, sentence)


def _side_of_light(*pictures: np.ndarray) -> int:
    """Return the side of the box around the middle, odd, that has what is seen of pictures of one size, with a margin;
    the whole of them where nothing is."""
    size = len(pictures[0])
    seen = np.max(
        [np.abs(picture) / max(float(np.abs(picture).max(initial=0.0)), 1e-30) for picture in pictures], axis=0
    )
    rows, columns = np.nonzero(seen > SHOWN)
    if not len(rows):
        return size
    half = int(np.abs(np.concatenate([rows, columns]) - size // 2).max())
    return min(2 * round(MARGIN * half + 1) + 1, size)


def _on_box(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture cut to a box around its middle, or with nothing around it."""
    half, own = side // 2, len(picture) // 2
    wide = np.pad(picture, max(half - own, 0))
    middle = len(wide) // 2
    return wide[middle - half : middle + half + 1, middle - half : middle + half + 1]
