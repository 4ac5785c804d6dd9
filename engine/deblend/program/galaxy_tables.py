"""What galaxies look like, put where programs run once for all programs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from deblend.priors.tables import learned_tables, packaged_decoder
from deblend.program.compiled import on_device
from deblend.render.decoded import Decoder
from deblend.render.kinds import Kind
from deblend.render.learned import LearnedTables
from deblend.render.tables import GalaxyTables


def device_tables(dtype: Any, kinds: Iterable[Kind]) -> GalaxyTables | None:
    """Return, on the device, what comes with the package for sources of these kinds; None where they need nothing."""
    kinds = list(kinds)
    if not any(kind.has_tables for kind in kinds):
        return None
    classes = _classes(np.dtype(dtype)) if any(kind.is_learned for kind in kinds) else None
    return GalaxyTables(classes, _decoder(np.dtype(dtype)) if any(kind.is_decoded for kind in kinds) else None)


@lru_cache(maxsize=2)
def _classes(dtype: np.dtype) -> LearnedTables:
    tables: LearnedTables = on_device(learned_tables(dtype))
    return tables


@lru_cache(maxsize=2)
def _decoder(dtype: np.dtype) -> Decoder:
    decoder: Decoder = on_device(packaged_decoder(dtype))
    return decoder
