"""Other observations under the same sources: a piece of what is open, or the same images understood otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deblend import Observation, Scene, Source
from deblend.detect import carried, empty_scene
from deblend.io import Interpretation, boxes_in, cut_out, signature
from napari_deblend.document import Document, named
from napari_deblend.remembered import recall, remember


def exchange_for_piece(document: Document, said: str) -> str:
    """Go on with a piece of what is open and the sources on it, as one step; return what to say.

    Raises ValueError with a sentence where `said` is no cut-out, or misses an observation.
    """
    before = document.scene
    boxes, pieces = boxes_in(document.observations, said), cut_out(document.observations, said)
    corner = None if before.grid.wcs is not None else (boxes[0].x[0], boxes[0].y[0])
    scene, outside = carried(before, pieces, corner)
    document.exchange(pieces, scene, f"Cut out {boxes[0]}")
    if not outside:
        return "Cut out; Undo brings the whole back."
    verbs = "lies outside of it and comes" if len(outside) == 1 else "lie outside of it and come"
    return f"Cut out; {named(outside)} {verbs} back with Undo."


def exchange_for_corrected(document: Document, index: int, wanted: Interpretation) -> str:
    """Understand one observation otherwise, as one step that is remembered; return what to say.

    Raises ValueError with a sentence, and changes nothing, where that makes no sense.
    """
    old = document.observations[index]
    new = wanted.applied(old)
    if new is old:
        return "Nothing was changed."
    observations = tuple(new if k == index else o for k, o in enumerate(document.observations))
    scene = _with_channels_of(document.scene, observations)
    remember(signature(old), wanted)
    document.exchange(observations, scene, f"Correct {old.name}")
    return f"{new.notes[-1]} Remembered for files of this kind; Undo takes it back here."


def as_remembered(observation: Observation) -> Observation:
    """Return the observation as a person has corrected the last one of its kind."""
    wanted = recall(signature(observation))
    if wanted is None:
        return observation
    corrected = wanted.applied(observation)
    note = f"{observation.name}: corrected as the last files of this kind were."
    return replace(corrected, notes=(*corrected.notes, note))


def _with_channels_of(scene: Scene, observations: Sequence[Observation]) -> Scene:
    """Return the scene with the channels of these observations, its fluxes still to be solved for."""
    start = empty_scene(observations)
    if len(set(start.channels)) != len(start.channels):
        raise ValueError("Two observations would have a channel of one name; name survey or bands apart.")
    if start.grid != scene.grid and scene.sources:
        raise ValueError(
            "With this PSF sources live on other pixels than they do now; delete the sources, correct, and detect anew."
        )
    unsolved = np.full(len(start.channels), np.nan)

    def updated(source: Source) -> Source:
        parts = tuple(replace(c, spectrum=c.spectrum.at(unsolved)) for c in source.components)
        return replace(source, components=parts)

    sources = tuple(updated(source) for source in scene.sources)
    return replace(start, sources=sources, calibrations=scene.calibrations)
