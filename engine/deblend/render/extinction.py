"""Laws of extinction in passbands: k = A(λ)/A(V), of dust_extinction (K. Gordon 2024, JOSS 9, 7023) or a power law.

The light of a passband is dimmed as that at its pivot wavelength is. For the smooth laws of the optical this is right
to about a hundredth of k for a flat spectrum and τ < 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import astropy.units as u
import numpy as np
from jaxtyping import Float

from deblend.scene.dust import POWER_LAW, Extinction
from deblend.scene.law import PIVOT
from deblend.sky import Passband


def extinction_in(extinction: Extinction, passbands: Sequence[Passband]) -> Float[np.ndarray, " channel"]:
    """Return k for every passband; 1 where each channel has an optical depth of its own.

    Raises ValueError where a law does not reach so far.
    """
    if extinction.is_free:
        return np.ones(len(passbands))
    wavelengths = np.array([p.pivot for p in passbands]) / (1.0 + extinction.redshift)
    if extinction.law == POWER_LAW:
        return np.asarray((wavelengths / PIVOT) ** -extinction.slope)
    model = _model(extinction.law, extinction.total_to_selective)
    low, high = model.x_range  # [1/μm]
    if np.any((wavelengths < 1e4 / high) | (wavelengths > 1e4 / low)):
        raise ValueError(
            f"The law of extinction {extinction.law} holds from {1e4 / high:.0f} to {1e4 / low:.0f} Å, and the dust is "
            f"seen from {wavelengths.min():.0f} to {wavelengths.max():.0f} Å; take 'power-law' or 'G23'."
        )
    return np.asarray(model(wavelengths * u.AA), np.float64)


@lru_cache(maxsize=32)
def _model(law: str, total_to_selective: float) -> Any:
    # some hundred milliseconds, and only for those who have dust
    from dust_extinction import averages, parameter_averages

    if law in ("G23", "F99", "CCM89"):
        return getattr(parameter_averages, law)(Rv=total_to_selective)
    return {"LMC": averages.G03_LMCAvg, "SMC": averages.G03_SMCBar}[law]()
