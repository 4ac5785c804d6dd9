"""Tables of learned galaxies, put where programs run once for all programs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from deblend.priors.tables import learned_tables
from deblend.program.compiled import on_device
from deblend.render.learned import LearnedTables


@lru_cache(maxsize=2)
def device_tables(dtype: Any) -> LearnedTables:
    """Return the tables that come with the package, on the device."""
    tables: LearnedTables = on_device(learned_tables(np.dtype(dtype)))
    return tables
