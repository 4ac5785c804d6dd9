"""What a session remembers of the fits of a command, so that `deblend run` does them again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deblend import Fit, FitState, Observation, Scene
    from deblend.io import Edit, Run


@dataclass
class Recording:
    """The fits of a command, one after another."""

    observations: Sequence[Observation]
    runs: list[Run] = field(default_factory=list)
    _begun: float = 0.0
    _start: Scene | None = None
    _curve: list[float] = field(default_factory=list)
    _edits: list[Edit] = field(default_factory=list)

    def begin(self, start: Scene) -> None:
        """Say which scene a fit starts from."""
        self._begun, self._start, self._curve, self._edits = time.time(), start, [], []

    def passed(self, state: FitState) -> None:
        """Say that the fit has come to a state."""
        self._curve.append(float(state.chi2))

    def edited(self, scene: Scene) -> None:
        """Say that the fit goes on from another scene."""
        from deblend.io import Edit

        self._edits.append(Edit(len(self._curve), scene))

    def end(self, fit: Fit, outcome: str) -> None:
        """Say that the fit is over; what it is to be done again with are its settings of now."""
        from deblend.io import Run

        assert self._start is not None, "a fit that ends was begun"
        numbers = tuple(self._edits), tuple(self._curve)
        best = fit.best
        self.runs.append(
            Run(
                *(self._begun, fit.settings, tuple(self.observations), self._start, *numbers),
                *(best.scene, float(best.chi2), outcome),
                standard_groups=False,
            )
        )
