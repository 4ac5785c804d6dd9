"""Fits that have ended: what is known of each, and the states that it passed through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from deblend import Scene
from deblend.io import Run

MOST_WITH_STATES = 5
"""How many of the last runs keep the state of every iteration; older ones keep how they began and ended."""


@dataclass(frozen=True, eq=False)
class PastRun:
    """A run, with the scene at every point of its curve where that is still known."""

    run: Run
    states: tuple[Scene, ...] = ()

    @cached_property
    def without_states(self) -> PastRun:
        return PastRun(self.run)

    @property
    def when(self) -> str:
        """The time at which it was begun, with the day where that is another one."""
        then, now = datetime.fromtimestamp(self.run.time), datetime.now()
        return f"{then:%H:%M:%S}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"

    @property
    def n_iterations(self) -> int:
        return max(len(self.run.curve) - 1, 0)

    def state(self, point: int) -> Scene:
        """Return the scene at a point of the curve; raises ValueError with a sentence where it is no longer kept."""
        if not self.states:
            raise ValueError(
                f"Of this run its start and its end are kept; every state is, of the last {MOST_WITH_STATES} runs."
            )
        return self.states[point]
