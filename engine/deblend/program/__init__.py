"""The machine: a scene and its observations as compiled arrays."""

from deblend.program.compiled import compilations
from deblend.program.goodness import residual_sigma
from deblend.program.layout import GroupLayout
from deblend.program.priority import give_way, stand_back
from deblend.program.program import Program

__all__ = ["GroupLayout", "Program", "compilations", "give_way", "residual_sigma", "stand_back"]
