"""What sources are made of: several components, one of two, another kind, one more like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from deblend import Component, Point, Source, make_source
from deblend.detect import snapped
from deblend.scene import MORPHOLOGIES, joined, start_components, start_morphology
from deblend.scene.source import BULGE_AND_DISK
from napari_deblend.document import named
from napari_deblend.parameter_lines import LARGEST_BOX

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

ASIDE = 3.0
"""How far beside a source its duplicate is placed, along x [pix]."""
LEAST_SIZE = 1.0
"""Of the half-light radius of what is made of a star [pix]."""
APART = 1.0
"""Two stars further apart than this are something extended [pix]."""


def kinds() -> list[str]:
    """Return every kind that a source can be made, those of several components last."""
    return [*MORPHOLOGIES, BULGE_AND_DISK]


def retyped(source: Source, kind: str) -> Source:
    """Return a source of another kind, of about its size; position, fluxes and box stay."""
    if kind != BULGE_AND_DISK:
        return source.retyped(kind)
    flux, old = source.flux, source.components[0]
    parts = start_components(kind, max(size_of(source), LEAST_SIZE), source.radius, n_channels=len(flux), flux=flux)
    return replace(
        source,
        components=tuple(
            replace(part, is_variable=old.is_variable, shines_in=old.shines_in, law=old.law) for part in parts
        ),
    )


def with_component(source: Source, index: int, kind: str) -> Source:
    """Return a source with one of its components of another kind, of about the size that it has."""
    old = source.components[index]
    size = old.morphology.half_light_radius_guess or LEAST_SIZE
    new = replace(old, morphology=start_morphology(kind, size, old.radius))
    return replace(source, components=tuple(new if k == index else c for k, c in enumerate(source.components)))


def duplicated(source: Source) -> Source:
    """Return another source like one, beside it and without its name; its flux is to be solved for."""
    x, y = source.x + ASIDE, source.y
    parts = tuple(replace(c, spectrum=c.spectrum.at(np.full_like(c.spectrum.value, np.nan))) for c in source.components)
    center = source.center.at((x, y))
    return replace(
        source, center=center, anchor=(x, y), components=parts, id=uuid4().hex[:8], name="", host=None, claimed=None
    )


def merged(sources: Sequence[Source], shape: tuple[int, int]) -> Source:
    """Return one source in place of several: of all their light, in the middle of it, as large as all of it, but not
    larger than the scene's grid, of this shape (y, x).

    It has the kind and the name of the brightest one, or is a galaxy where stars lie apart.
    """
    weights = np.array([max(float(np.nansum(s.flux)), 0.0) for s in sources])
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(sources), 1.0 / len(sources))
    x, y = (float(weights @ [getattr(s, axis) for s in sources]) for axis in "xy")
    off = np.array([np.hypot(s.x - x, s.y - y) for s in sources])
    size = float(np.sqrt(weights @ (np.array([size_of(s) for s in sources]) ** 2 + off**2)))
    brightest = sources[int(np.argmax(weights))]
    flux = np.sum([np.nan_to_num(s.flux) for s in sources], axis=0)
    if all(not np.isfinite(s.flux).any() for s in sources):
        flux = np.full_like(flux, np.nan)
    kind = brightest.kind
    if kind == Point.label and off.max() > APART:
        kind = "galaxy"
    first = brightest.components[0]
    if kind in MORPHOLOGIES:
        # of sources that lie far apart no box holds all; one that is hardly larger than what is compiled is cut to it
        radius = snapped(int(np.ceil(max(o + s.radius for o, s in zip(off, sources, strict=True)))))
        radius = min(radius, int(np.ceil(max(x, y, shape[1] - x, shape[0] - y))), LARGEST_BOX)
        one = make_source(kind, x, y, n_channels=len(flux), flux=flux, half_light_radius=size, radius=radius)
        parts: tuple[Component, ...] = (replace(one.components[0], is_variable=first.is_variable, law=first.law),)
    else:
        parts = _sharing(brightest.components, flux)
    # its light is that of all of them: what was painted out of one may be another's
    claimed = joined(source.claimed for source in sources)
    center = brightest.center.at((x, y))
    return replace(brightest, center=center, anchor=(x, y), components=parts, claimed=claimed, barred=None)


def size_of(source: Source) -> float:
    """Return about how far half of its light reaches [pix]."""
    return max(c.morphology.half_light_radius_guess for c in source.components)


def _sharing(parts: Sequence[Component], flux: np.ndarray) -> tuple[Component, ...]:
    """Return components with all of a flux, shared as it was."""
    own = np.array([np.nan_to_num(c.spectrum.value) for c in parts])
    total = own.sum(axis=0)
    shares = np.where(total > 0, own / np.where(total > 0, total, 1.0), 1.0 / len(parts))
    return tuple(replace(c, spectrum=c.spectrum.at(share * flux)) for c, share in zip(parts, shares, strict=True))


# actions ---------------------------------------------------------------------------------------------------------


def duplicate_sources(bench: Workbench) -> None:
    """Place another one beside every selected source."""
    sources = [s for s in _selected(bench) if s.track is None]
    if not sources:
        raise ValueError("What moves cannot be duplicated; place another one that moves (J).")
    bench.document.add(*map(duplicated, sources), label=f"Duplicate {named(sources)}")


def merge_sources(bench: Workbench) -> None:
    """Make one source of those that are selected."""
    sources = _selected(bench)
    if len(sources) < 2:
        raise ValueError("Select two sources at least to merge them; Ctrl-click adds one to the selection.")
    if any(s.track is not None for s in sources):
        raise ValueError("What moves cannot be merged: each of its epochs is a source of its own.")
    if locked := [s for s in sources if s.is_locked]:
        raise ValueError(f"Cannot merge {named(locked)}: locked; unlock first.")
    one = merged(sources, bench.document.scene.grid.shape)
    gone = [s.id for s in sources if s.id != one.id]
    document = bench.document
    scene = document.scene.remove(*gone).replace(one)
    document.replace_scene(scene, f"Merge {len(sources)} sources")
    document.select([one.id])


def split_sources(bench: Workbench) -> None:
    """Make every selected source one of bulge and disk."""
    sources = [s for s in _selected(bench) if s.track is None and len(s.components) == 1]
    if not sources:
        raise ValueError("Only a source of one component that stands still can be split into bulge and disk.")
    bench.document.change(
        [s.id for s in sources],
        lambda s: retyped(s, BULGE_AND_DISK),
        f"Split {named(sources)} into bulge and disk",
        "split",
    )


def _selected(bench: Workbench) -> tuple[Source, ...]:
    if not bench.document.selected:
        raise ValueError("No source is selected; click its marker or its row first.")
    return bench.document.selected
