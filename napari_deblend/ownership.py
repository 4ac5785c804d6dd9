"""Which source owns the light of a pixel, and how much of it: the sources of the last quiet state, in their windows.

The windows are asked of the machine when nothing has changed for a moment; under the pointer only the few sources
are looked at whose windows hold the pixel. The array is replaced as a whole, so that any thread may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from deblend import Observation, Source
from napari_deblend.jobs import OWNERS
from napari_deblend.machine import Machine

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

FAINTEST = 0.02
"""Pixels with less light of all sources than this have no owner [sigma of the noise]."""
LEAST_SHARE = 0.005
"""Sources with a smaller share of a pixel are not named."""
MOST_NAMED = 3


class Owner(NamedTuple):
    """A source and its share of the light of all sources in a pixel."""

    source_id: str
    share: float


@dataclass(frozen=True, eq=False)
class Owners:
    """The light of every source as one observation sees it, each in its window."""

    observation: Observation
    source_ids: tuple[str, ...]
    bounds: np.ndarray
    """(source, 4): first row, row behind the last, first column, column behind the last."""
    patches: tuple[Float[np.ndarray, "band height width"], ...]
    """[nJy/pix]"""

    @classmethod
    def of(cls, machine: Machine, index: int) -> Owners:
        """Return the sources of what a machine shows, as an observation sees them."""
        seen = [columns[index] for columns in machine.shown.sources()]
        height, width = machine.observations[index].shape
        bounds = [(*c.window[0].indices(height)[:2], *c.window[1].indices(width)[:2]) for c in seen]
        ids = tuple(source.id for source in machine.scene.sources)
        patches = tuple(np.asarray(column.patch) for column in seen)
        return cls(machine.observations[index], ids, np.array(bounds, int).reshape(-1, 4), patches)

    def light_at(self, row: int, column: int) -> tuple[np.ndarray, Float[np.ndarray, "source band"]]:
        """Return which sources reach a pixel, and their light there [nJy/pix]."""
        top, bottom, left, right = self.bounds.T
        here = np.flatnonzero((top <= row) & (row < bottom) & (left <= column) & (column < right))
        n_bands = len(self.observation.channels)
        light = [self.patches[k][:, row - top[k], column - left[k]] for k in here]
        return here, np.array(light, float).reshape(-1, n_bands)

    def at(self, row: int, column: int, band: int | None) -> list[Owner]:
        """Return who owns a pixel in a band, or in all bands by their noise where it is None; the largest first."""
        here, light = self.light_at(row, column)
        # masked pixels have no noise; then all bands count by their light
        weights = self.observation.weights[:, row, column]
        sigmas = np.maximum(light, 0.0) * np.sqrt(weights if weights.all() else np.ones_like(weights))
        of_each = sigmas.sum(axis=1) if band is None else sigmas[:, min(band, sigmas.shape[1] - 1)]
        total = of_each.sum()
        if not total > FAINTEST:
            return []
        order = np.argsort(-of_each, kind="stable")
        shares = of_each / total
        return [Owner(self.source_ids[here[k]], float(shares[k])) for k in order if shares[k] >= LEAST_SHARE]


class Ownership:
    """The owners of one workbench's pixels, for the observation that is looked through."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.owners: Owners | None = None
        """None until they are known."""
        self._answers: tuple[int, int, int] | None = None
        bench.settled.connect(self._ask)
        bench.layers.view_changed.connect(self._on_view)
        bench.result.connect(self._on_result)
        bench.document.observations_changed.connect(self._forget)

    def text(self, row: int, column: int, band: int | None) -> str:
        """Return who owns a pixel, in words: "galaxy 3: 82 %, star 5: 11 %"; empty where nobody does."""
        owners = self.owners
        if owners is None:
            return ""
        sources = {source.id: source for source in self._bench.document.scene.sources}
        found = [(sources[o.source_id], o.share) for o in owners.at(row, column, band) if o.source_id in sources]
        return ", ".join(f"{called(source)}: {100 * share:.0f} %" for source, share in found[:MOST_NAMED])

    def _forget(self) -> None:
        self.owners = self._answers = None

    def _on_view(self) -> None:
        layers = self._bench.layers
        if self.owners is not None and self.owners.observation is not layers.observations[layers.seen_by]:
            self._ask()

    def _ask(self) -> None:
        bench = self._bench
        frame, index = bench.frame, bench.layers.seen_by
        if bench.runner is None or frame is None or not frame.scene.sources:
            return
        wanted = (frame.revision, frame.fit_number * 1_000_000 + frame.iteration, index)
        if wanted != self._answers:
            self._answers = wanted
            bench.runner.submit(OWNERS, lambda machine: Owners.of(machine, index))

    def _on_result(self, name: str, outcome: object) -> None:
        if name == OWNERS and isinstance(outcome, Owners):
            layers = self._bench.layers
            if any(outcome.observation is o for o in layers.observations):
                self.owners = outcome


def called(source: Source) -> str:
    """Return what a source is called in a sentence: its kind with a number, or the name that it was given."""
    kind = "star" if source.kind == "point" else source.kind
    return f"{kind} {source.name}" if source.name.isdigit() else source.name
