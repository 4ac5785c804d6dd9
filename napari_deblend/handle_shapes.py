"""Where the handles of a source are, and what a drag of one makes of the source; pure geometry.

The ellipse has twice the half-light radius, which is about what is seen.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

import numpy as np
from jaxtyping import Float

from deblend import Component, Source
from deblend.scene import axis_ratio, ellipticity_of, major_angle
from napari_deblend.parameter_lines import LARGEST_BOX

SEEN = 2.0
"""Size of the ellipse that is drawn [half-light radii]."""
SEGMENTS = 48
LEAST_LIMIT = 0.1
"""Of the circle that a center stays in, while it is dragged [pix]."""
LEAST_SIZE = 0.05
"""Of an ellipse's half axis while it is dragged [pix]."""
KEY_SHARE, LEAST_KEY_STEP = 0.02, 0.1
"""How far a key moves a handle: a share of its distance from the center, and the least [pix]."""
ALONG = 0.38
"""Least cosine between a key's direction and an edge's way outward that moves the edge: that of 3/8 of a quarter turn
to each side, so that on a turned sky two keys do."""


class Handle(Enum):
    """What can be dragged; the value is where it is along the two axes of the ellipse, or of the box."""

    MAJOR = (1, 0)
    MAJOR_BEHIND = (-1, 0)
    MINOR = (0, 1)
    MINOR_BEHIND = (0, -1)
    RIGHT = (2, 0)
    LEFT = (-2, 0)
    TOP = (0, 2)
    BOTTOM = (0, -2)
    LIMIT = (-3, 3)
    """Of the circle that the center stays in; up and to the left, where no other handle is."""

    @property
    def is_of_box(self) -> bool:
        return 2 in map(abs, self.value)

    @property
    def is_major(self) -> bool:
        return self in (Handle.MAJOR, Handle.MAJOR_BEHIND)


def dragged(start: Source, part: int, handle: Handle, dx: float, dy: float, keeps_shape: bool = False) -> Source:
    """Return a source after one of its handles was dragged to (dx, dy) from its center [pix].

    An end of the major axis goes where it is dragged, and turns the ellipse; one of the minor axis keeps the angle.
    """
    if handle is Handle.LIMIT:
        return replace(start, center_limit=max(float(np.hypot(dx, dy)), LEAST_LIMIT))
    if handle.is_of_box:
        far = abs(dx) if handle in (Handle.LEFT, Handle.RIGHT) else abs(dy)
        return start.resized(int(np.clip(round(far - 0.5), 1, LARGEST_BOX)))
    component = start.components[part]
    morphology = component.morphology
    shape = morphology.parameters.get("ellipticity")
    a, b, angle = _axes(component)
    if shape is None:
        a = b = float(np.hypot(dx, dy))
    elif handle.is_major:
        ratio = b / a
        a, angle = float(np.hypot(dx, dy)), float(np.arctan2(dy, dx))
        b = ratio * a if keeps_shape else b
    else:
        ratio = b / a
        b = abs(-np.sin(angle) * dx + np.cos(angle) * dy)
        a = b / ratio if keeps_shape else a
    a, b = max(a, LEAST_SIZE), max(b, LEAST_SIZE)
    morphology = morphology.with_half_light_radius(np.sqrt(a * b) / SEEN)
    if shape is not None:
        morphology = morphology.with_parameters(ellipticity=shape.edited(ellipticity_of(b / a, angle)))
    parts = list(start.components)
    parts[part] = replace(component, morphology=morphology)
    return replace(start, components=tuple(parts))


def keyed(source: Source, part: int, handle: Handle, dx: float, dy: float) -> Source:
    """Return a source after a key has moved a handle in the direction (dx, dy): an ellipse's end or the circle by a
    fiftieth of how far out it is, an edge of the box by a pixel."""
    middle = np.array(source.anchor if handle is Handle.LIMIT else (source.x, source.y))
    if handle.is_of_box:
        middle = np.round(middle)
    component = source.components[part]
    arm = drawn(source, component)[1][handles_of(source, component).index(handle)][::-1] - middle
    direction = np.array([dx, dy]) / np.hypot(dx, dy)
    if handle.is_of_box:
        outward = arm / np.hypot(*arm)
        along = float(direction @ outward)
        step = outward * np.sign(along) * (abs(along) > ALONG)
    else:
        step = direction * max(KEY_SHARE * float(np.hypot(*arm)), LEAST_KEY_STEP)
    x, y = arm + step
    return dragged(source, part, handle, float(x), float(y))


def like(source: Source, dragged_one: Source) -> Source:
    """Return a source with shape and box of another, and with what a fit has found of it meanwhile."""
    if len(source.components) != len(dragged_one.components):
        return source
    pairs = zip(source.components, dragged_one.components, strict=True)
    parts = tuple(
        replace(old, morphology=new.morphology, radius=new.radius, is_box_held=new.is_box_held) for old, new in pairs
    )
    return replace(source, components=parts, center_limit=dragged_one.center_limit)


def verb_of(handle: Handle) -> str:
    """Return what is done with a handle, as the beginning of a step's label."""
    if handle is Handle.LIMIT:
        return "Limit the center of"
    return "Resize the box of" if handle.is_of_box else "Reshape"


def has_handles(source: Source) -> bool:
    """Tell whether there is something to drag: an extent, or a circle for the center."""
    return np.isfinite(source.center_limit) or _is_extended(source)


def _is_extended(source: Source) -> bool:
    return any(c.morphology.half_light_radius_guess > 0 for c in source.components)


def _axes(component: Component) -> tuple[float, float, float]:
    """Return the half axes of the ellipse that is drawn [pix], and where the major one points [rad]."""
    morphology = component.morphology
    size, shape = SEEN * morphology.half_light_radius_guess, morphology.parameters.get("ellipticity")
    if shape is None:
        return size, size, 0.0
    root = np.sqrt(axis_ratio(shape.value))
    return size / root, size * root, major_angle(shape.value)


def handles_of(source: Source, component: Component) -> tuple[Handle, ...]:
    """Return the handles of a source while one of its components has the ellipse, in the order of their drawing."""
    has_size, has_box = component.morphology.has_size, _is_extended(source)
    extent = tuple(h for h in Handle if h is not Handle.LIMIT and (has_box if h.is_of_box else has_size))
    return (*extent, Handle.LIMIT) if np.isfinite(source.center_limit) else extent


def drawn(source: Source, component: Component) -> tuple[Float[np.ndarray, "line 2 2"], Float[np.ndarray, "handle 2"]]:
    """Return lines as (start, direction) and handles, both as (y, x) [pix of the scene]."""
    a, b, angle = _axes(component)
    center, along = np.array([source.y, source.x]), np.array([np.sin(angle), np.cos(angle)])
    across = np.array([np.cos(angle), -np.sin(angle)])
    half = source.radius + 0.5
    corners = np.round(center) + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1], [-1, -1]])
    strokes = [corners] if _is_extended(source) else []
    turn = np.linspace(0.0, 2.0 * np.pi, SEGMENTS + 1)[:, None]
    anchor = np.array(source.anchor[::-1])
    if np.isfinite(source.center_limit):
        strokes.append(anchor + source.center_limit * np.concatenate([np.sin(turn), np.cos(turn)], axis=1))
    if component.morphology.has_size:
        strokes.append(center + a * np.cos(turn) * along + b * np.sin(turn) * across)
    lines = np.concatenate([np.stack([s[:-1], np.diff(s, axis=0)], axis=1) for s in strokes])
    places = []
    for handle in handles_of(source, component):
        first, second = handle.value
        if handle is Handle.LIMIT:
            places.append(anchor + source.center_limit * np.array([second, first]) / np.hypot(first, second))
        elif handle.is_of_box:
            places.append(np.round(center) + half * np.array([second, first]) / 2.0)
        else:
            places.append(center + first * a * along + second * b * across)
    return lines, np.array(places)
