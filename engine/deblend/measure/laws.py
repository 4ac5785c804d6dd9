"""Laws of spectra in the catalog: which one a source follows, and with which numbers."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable

from deblend.infer.errors import Draws
from deblend.scene import Scene

UNITS = {"temperature": u.K, "wavelength": u.AA, "width": u.AA}
"""Of what is no pure number."""


def add_laws(table: QTable, scene: Scene, draws: Draws | None = None) -> None:
    """Add, where sources follow laws, what they are called and a column for every number, NaN where a law has none.

    Columns: `law`, and `law_PARAMETER` with `law_PARAMETER_err` where there are draws (0 for what is fixed). Of a
    parameter with several numbers, as shares of templates, each has a column, counted from 1.
    """
    laws = [source.law for source in scene.sources]
    if all(law is None for law in laws):
        return
    table["law"] = ["" if law is None else law.label for law in laws]
    columns: dict[str, np.ndarray] = {}
    errors: dict[str, np.ndarray] = {}
    for row, (source, law) in enumerate(zip(scene.sources, laws, strict=True)):
        if law is None:
            continue
        told = {} if draws is None else draws.law_errors(source.id)
        for name, parameter in law.parameters.items():
            deviations = told.get(name, np.zeros_like(parameter.value))
            for k, (value, deviation) in enumerate(zip(parameter.value.flat, np.ravel(deviations), strict=True)):
                key = name if parameter.value.size == 1 else f"{name}_{k + 1}"
                for found, number in ((columns, value), (errors, deviation)):
                    found.setdefault(key, np.full(len(laws), np.nan))[row] = number
    for key, values in columns.items():
        unit = UNITS.get(key, u.one)
        table[f"law_{key}"] = values * unit
        if draws is not None:
            table[f"law_{key}_err"] = errors[key] * unit
