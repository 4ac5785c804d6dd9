"""What the numbers were that weights were made of, so that they can be understood otherwise.

Maps of noise come as inverse variances, as variances and as standard deviations, and not every file says which. All
three are powers of one another: what was taken for the one and is the other needs no second look into the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float


class NoiseForm(Enum):
    """What the numbers of a map say of the noise of a pixel."""

    VARIANCE = "variance"
    RMS = "rms"
    INVERSE_VARIANCE = "inverse variance"

    @property
    def power(self) -> int:
        """The power of the numbers that inverse variances are."""
        return {NoiseForm.VARIANCE: -1, NoiseForm.RMS: -2, NoiseForm.INVERSE_VARIANCE: 1}[self]


@dataclass(frozen=True)
class WeightOrigin:
    """How the weights of a band were made: a factor on the inverse variances that the numbers of a map are."""

    form: NoiseForm = NoiseForm.INVERSE_VARIANCE
    factor: float = 1.0
    """Other than 1 where weights were made to agree with the noise of the image."""

    def understood_as(self, form: NoiseForm, weights: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
        """Return the weights [1/(unit/pix)²] of a band if the numbers that `weights` were made of were of another form.

        They are taken as they are, without a factor. A masked pixel stays so.
        """
        good = weights > 0
        inverse_variance = np.where(good, weights, 1.0) / self.factor
        return np.where(good, inverse_variance ** (form.power / self.form.power), 0.0)
