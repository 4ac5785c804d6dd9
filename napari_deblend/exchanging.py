"""Other observations under the same sources: a piece of what is open, or the same images understood otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deblend import Observation, PixelAffine, Scene, Source
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
    along = None if before.grid.wcs is not None else PixelAffine(offset=(-boxes[0].y[0], -boxes[0].x[0]))
    scene, outside = carried(before, pieces, along)
    for piece, box in zip(pieces, boxes, strict=True):
        hidden = before.hidden_in(piece.channels[0])
        scene = scene.hiding(piece.channels[0], None if hidden is None else hidden[box.slices])
    document.exchange(pieces, scene, f"Cut out {boxes[0]}")
    return f"Cut out; {_those(outside)} back with Undo." if outside else "Cut out; Undo brings the whole back."


def exchange_for_corrected(document: Document, index: int, wanted: Interpretation) -> str:
    """Understand one observation otherwise, as one step that is remembered; return what to say.

    Raises ValueError with a sentence, and changes nothing, where that makes no sense.
    """
    old = document.observations[index]
    new = wanted.applied(old)
    if new is old:
        return "Nothing was changed."
    observations = tuple(new if k == index else o for k, o in enumerate(document.observations))
    scene, outside = _seen_so(document, observations)
    remembers = wanted.of_its_kind != Interpretation.of(old)
    if remembers:
        remember(signature(old), wanted)
    document.exchange(observations, scene, f"Correct {old.name}")
    said = [new.notes[-1], "Remembered for files of this kind; Undo takes it back here." if remembers else ""]
    if outside:
        those = _those(outside)
        said.append(f"{those[0].upper()}{those[1:]} back with Undo.")
    return " ".join(filter(None, said))


def as_remembered(observation: Observation) -> Observation:
    """Return the observation as a person has corrected the last one of its kind."""
    wanted = recall(signature(observation))
    if wanted is None:
        return observation
    corrected = wanted.applied(observation)
    note = f"{observation.name}: corrected as the last files of this kind were."
    return replace(corrected, notes=(*corrected.notes, note))


def _seen_so(document: Document, observations: Sequence[Observation]) -> tuple[Scene, tuple[Source, ...]]:
    """Return the document's scene under observations that were corrected, and the sources that are on none of them.

    Sources stay where the sharpest image has them, whatever its place on the sky or the pixels that its PSF asks for.
    Fluxes are solved for anew.
    """
    before, start = document.scene, empty_scene(observations)
    if len(set(start.channels)) != len(start.channels):
        raise ValueError("Two observations would have a channel of one name; name survey or bands apart.")
    k = int(np.argmin([o.grid.affine_to(before.grid).scale for o in document.observations]))
    to_image = before.grid.affine_to(document.observations[k].grid)
    along = to_image.then(observations[k].grid.affine_to(start.grid))
    scene, outside = carried(replace(before, channels=start.channels), observations, along)
    for old, new in zip(document.observations, observations, strict=True):
        scene = scene.hiding(new.channels[0], before.hidden_in(old.channels[0]))
    unsolved = np.full(len(start.channels), np.nan)

    def updated(source: Source) -> Source:
        parts = tuple(replace(c, spectrum=c.spectrum.at(unsolved)) for c in source.components)
        return replace(source, components=parts)

    sources = tuple(updated(source) for source in scene.sources)
    return replace(scene, sources=sources, model_psf_sigma=start.model_psf_sigma), outside


def _those(outside: Sequence[Source]) -> str:
    """Return the sources that an image does not hold, as the beginning of a sentence."""
    verbs = "lies outside of it and comes" if len(outside) == 1 else "lie outside of it and come"
    return f"{named(outside)} {verbs}"
