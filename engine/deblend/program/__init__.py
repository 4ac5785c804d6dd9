"""The machine: a scene and its observations as compiled arrays."""

from deblend.program.compiled import compilations
from deblend.program.goodness import residual_sigma
from deblend.program.priority import give_way
from deblend.program.program import Program

__all__ = ["Program", "compilations", "give_way", "residual_sigma"]
