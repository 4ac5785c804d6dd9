"""What tells whether chains can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MOST_R_HAT = 1.01
"""Chains that disagree by more have not seen the same posterior (Vehtari et al. 2021)."""
LEAST_ESS = 100
"""Effective draws, all chains together, that anything is told from."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """R-hat, effective draws and divergences of chains so far."""

    names: Sequence[str]
    """Of what is free."""
    r_hat: Float[np.ndarray, " number"]
    """1 where chains agree; NaN where they are too short to tell."""
    ess: Float[np.ndarray, " number"]
    """Effective draws of the bulk of each."""
    n_divergent: int
    """Trajectories that met a place where the posterior is too steep to be followed."""
    n_chains: int
    n_draws: int
    """Of all chains together."""

    @property
    def worst_r_hat(self) -> float:
        """The largest R-hat; NaN where nothing can be said yet."""
        return float(np.max(self.r_hat))

    @property
    def least_ess(self) -> float:
        """The least number of effective draws; NaN where nothing can be said yet."""
        return float(np.min(self.ess))

    @property
    def is_clean(self) -> bool:
        """Whether nothing speaks against the draws."""
        return not self.doubts

    @property
    def summary(self) -> str:
        """R-hat, effective draws and divergences in one line."""
        r_hat = "–" if np.isnan(self.worst_r_hat) else f"{self.worst_r_hat:.3f}"
        ess = "–" if np.isnan(self.least_ess) else f"{self.least_ess:.0f}"
        clean = "; nothing speaks against them" if self.is_clean else ""
        return f"{self.n_chains} chains: R-hat {r_hat}, effective draws {ess}, divergent {self.n_divergent}{clean}."

    @property
    def doubts(self) -> list[str]:
        """Sentences about what speaks against the draws."""
        if np.isnan(self.worst_r_hat):
            return [f"{self.n_draws} draws of {self.n_chains} chains are too few to tell whether these agree: draw on."]
        doubts = []
        if self.worst_r_hat > MOST_R_HAT:
            name = self.names[int(np.argmax(self.r_hat))]
            doubts.append(
                f"The chains do not agree (R-hat {self.worst_r_hat:.3g} for {name}, and 1.01 is the most for chains "
                "that do): draw on, and where that does not help the data allow scenes that chains do not cross "
                "between; hold or bound what they differ in."
            )
        if self.least_ess < LEAST_ESS:
            name = self.names[int(np.argmin(self.ess))]
            doubts.append(
                f"The draws are worth {self.least_ess:.0f} independent ones for {name}: draw on for errors of errors "
                f"below {100 / np.sqrt(2 * LEAST_ESS):.0f} %."
            )
        if self.n_divergent:
            doubts.append(
                f"{self.n_divergent} of {self.n_draws} trajectories diverged: the posterior has a place too steep to "
                "be followed, and draws may be missing there; bound or hold what is hardly known."
            )
        return doubts
