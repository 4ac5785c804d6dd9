"""Dust in front of the selected sources: put there and taken away, as one step of the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from deblend import Channel, Dust, Source, start_dust
from deblend.scene import start_morphology
from deblend.scene.dust import FREE
from napari_deblend.document import named
from napari_deblend.source_look import wavelength

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

SMALLER = 0.5
"""Half-depth radius of new dust over the half-light radius of what it dims: dust of the same extent as the light cannot
be told from fainter, redder light."""
LAW = "G23"


def dust_for(source: Source, channels: Sequence[Channel], law: str = LAW, part: int | None = None) -> Dust:
    """Return dust to start with in front of a source, or of one of its components.

    Raises ValueError where what it would dim has no extent.
    """
    dimmed = source.components if part is None else (source.components[part],)
    size = max(component.morphology.half_light_radius_guess for component in dimmed)
    if not size > 0:
        raise ValueError(
            f"Dust in front of {named([source])} could not be told from a fainter, redder star; choose an extended one."
        )
    behind = None if part is None else (part,)
    return start_dust(SMALLER * size, source.radius, n_channels=len(channels), extinction=law, behind=behind)


def with_dust_kind(source: Source, kind: str) -> Source:
    """Return a source with its dust of another morphology; raises ValueError where dust cannot have that."""
    assert source.dust is not None, "there is no dust to change"
    old = source.dust
    size = max(old.morphology.half_light_radius_guess, 1.0)
    # what a fit sees is how deep it is
    return source.dimmed(replace(old, morphology=start_morphology(kind, size, old.radius)).with_depths(old.depths))


def toggle_dust(bench: Workbench) -> None:
    """Put a layer of dust in front of the selected sources, or take it away where all of them have one.

    Where the row of a component is chosen, that component alone is dimmed.
    """
    document = bench.document
    selected, channels = document.selected, document.scene.channels
    if not selected:
        raise ValueError("No source is selected; click its marker or its row first.")
    if all(source.dust is not None for source in selected):
        document.change(
            [s.id for s in selected], lambda s: s.dimmed(None), f"Take the dust off {named(selected)}", "take dust off"
        )
        return
    known = document.scene.passbands
    is_known = all((c.survey, c.band) in known or wavelength(c.survey, c.band) is not None for c in channels)
    law = LAW if is_known else FREE
    part = bench.constraining.part if len(selected) == 1 and len(selected[0].components) > 1 else None

    def dim(source: Source) -> Source:
        return source if source.dust is not None else source.dimmed(dust_for(source, channels, law, part))

    document.change([s.id for s in selected], dim, f"Put dust in front of {named(selected)}", "put dust in front of")
    if not is_known:
        bench.tell("The wavelengths of some bands are not known, so the dust has an optical depth of its own in each.")
