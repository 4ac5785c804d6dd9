"""What kinds of galaxies that were learned are drawn from."""

from __future__ import annotations

from typing import NamedTuple

from deblend.render.decoded import Decoder
from deblend.render.learned import LearnedTables


class GalaxyTables(NamedTuple):
    """Numbers that were learned; data to whatever is compiled. None of what no source needs."""

    classes: LearnedTables | None = None
    decoder: Decoder | None = None
