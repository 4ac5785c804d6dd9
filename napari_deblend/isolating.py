"""A source freed of its neighbours: its model, the data minus all other models, or its share of the data.

What is left of the data when all others are taken away keeps what the model of the source misses, and what those of
the others do; shares (`deblend.measure.share`) lose and make no flux, and keep in each pixel whose it is in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float32

from deblend import Observation
from deblend.measure import share

if TYPE_CHECKING:
    from deblend.program.columns import Column
    from napari_deblend.machine import Machine
    from napari_deblend.workbench import Workbench


class Isolation(Enum):
    """What is shown of isolated sources."""

    MODEL = "model alone"
    DATA = "data minus others"
    SHARE = "share of the data"

    @property
    def next(self) -> Isolation:
        """Which one follows, around."""
        every = list(Isolation)
        return every[(every.index(self) + 1) % len(every)]


class Isolated(NamedTuple):
    """Which sources are isolated, and how."""

    source_ids: tuple[str, ...] = ()
    manner: Isolation = Isolation.DATA


def isolated_light(machine: Machine, isolated: Isolated, index: int) -> Float32[np.ndarray, "band y x"]:
    """Return isolated sources of what a machine shows, as observation `index` sees them [nJy/pix].

    Masked pixels are NaN, but in models; sources that are there no more count for nothing.
    """
    observation, scene = machine.observations[index], machine.scene
    rows = [k for k, source in enumerate(scene.sources) if source.id in isolated.source_ids]
    if isolated.manner is Isolation.SHARE:
        shares = share(scene, machine.observations, machine.apart()).columns
        light = _sum(observation, [shares[k][index] for k in rows])
    else:
        sources = machine.shown.sources()
        light = _sum(observation, [sources[k][index] for k in rows])
        if isolated.manner is Isolation.MODEL:
            return light
        light += observation.images - machine.shown.model(index)
    return np.where(observation.weights > 0, light, np.nan).astype(np.float32)


def _sum(observation: Observation, parts: Sequence[Column]) -> Float32[np.ndarray, "band y x"]:
    total = np.zeros(observation.images.shape, np.float32)
    for part in parts:
        total[:, *part.window] += part.patch
    return total


class Isolating:
    """Has the selected sources of one workbench isolated."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        bench.document.selection_changed.connect(self._follow)

    def look(self, manner: Isolation | None = None) -> None:
        """Look at the selected sources alone; raises ValueError where there are none."""
        from napari_deblend.views import View

        bench = self._bench
        if not bench.document.selection:
            raise ValueError("No source is selected; click its marker or its row first.")
        self._follow()
        bench.layers.isolate(bench.layers.isolated._replace(manner=manner or bench.layers.isolated.manner))
        bench.layers.look_at(View.ISOLATED)

    def _follow(self) -> None:
        """Isolate what is selected now; where nothing is, the last ones stay."""
        if ids := self._bench.document.selection:
            layers = self._bench.layers
            layers.isolate(layers.isolated._replace(source_ids=tuple(ids)))


# actions ---------------------------------------------------------------------------------------------------------


def look_isolated(manner: Isolation | None = None) -> Callable[[Workbench], None]:
    """Return the action that shows the selected sources alone, in a manner or in the last one."""

    def isolate(bench: Workbench) -> None:
        bench.isolating.look(manner)

    return isolate


def next_isolation(bench: Workbench) -> None:
    """Look at the selected sources alone; looking at them already, take the next manner."""
    from napari_deblend.views import View

    layers = bench.layers
    bench.isolating.look(layers.isolated.manner.next if layers.view is View.ISOLATED else None)
