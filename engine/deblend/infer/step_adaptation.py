"""How long the steps of a chain are: as long as most of them are accepted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIRST_ANGLE, MOST_ANGLE = 1.0, 1.6
"""Of a step [rad]. Two quarter turns take a Gaussian to the other side, so that means are known better than from
independent draws, at three gradients a draw."""
WANTED_ACCEPTANCE = 0.8


@dataclass
class Adaptation:
    """The size of a step, found by dual averaging (Hoffman & Gelman 2014)."""

    center: float = float(np.log(1.5 * FIRST_ANGLE))
    error: float = 0.0
    count: int = 0
    mean: float = 0.0
    log: float = float(np.log(FIRST_ANGLE))

    def learn(self, acceptance: float) -> None:
        """Take what a draw's trajectory was accepted with."""
        self.count += 1
        weight = 1.0 / (self.count + 10.0)
        self.error = (1.0 - weight) * self.error + weight * (WANTED_ACCEPTANCE - acceptance)
        self.log = min(self.center - np.sqrt(self.count) / 0.05 * self.error, float(np.log(MOST_ANGLE)))
        share = self.count**-0.75
        self.mean = share * self.log + (1.0 - share) * self.mean

    def settle(self) -> None:
        """Keep the mean from now on."""
        self.log = self.mean

    @property
    def angle(self) -> float:
        return float(np.exp(self.log))
